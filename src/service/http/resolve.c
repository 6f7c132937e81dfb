/* Names to addresses with c-ares, because a lookup must end at the deadline and when cancelled. One
 * channel a lookup: channels are not thread safe, and making one is cheap beside the network. */
#include "service/http/internal.h"

#include <ares.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include "base/clock.h"
#include "base/mem.h"
#include "policy/host.h"

#define TRY_MS 2000
#define TRIES 3

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int library_status;

static void library_init(void)
{
    library_status = ares_library_init(ARES_LIB_INIT_ALL);
}

void cis_http_addrs_done(struct cis_http_addrs *addrs)
{
    cis_free(addrs->list);
    *addrs = (struct cis_http_addrs){NULL, 0};
}

static void channel_done(ares_channel *channel)
{
    if (*channel != NULL) {
        ares_destroy(*channel);
    }
}

static cis_code channel_open(const char *servers, ares_channel *out, struct cis_error *err)
{
    pthread_once(&once, library_init);
    /* No search domains and no HOSTALIASES: a name means itself. The hosts file is the user's own
     * word, except when the user named servers. What either says is vetted all the same. */
    char files_first[] = "fb", dns_only[] = "b";
    struct ares_options options = {.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
                                   .timeout = TRY_MS,
                                   .tries = TRIES,
                                   .ndots = 0,
                                   .ndomains = 0,
                                   .lookups = servers != NULL ? dns_only : files_first};
    int status = library_status;
    if (status == ARES_SUCCESS) {
        status = ares_init_options(out, &options,
                                   ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                       ARES_OPT_NDOTS | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS);
    }
    if (status != ARES_SUCCESS) {
        *out = NULL;
        return cis_fail(err, status == ARES_ENOMEM ? CIS_E_NOMEM : CIS_E_NET, "dns: %s",
                        ares_strerror(status));
    }
    if (servers != NULL && ares_set_servers_ports_csv(*out, servers) != ARES_SUCCESS) {
        return cis_fail(err, CIS_E_USAGE, "dns servers \"%s\": not a list of addresses with ports",
                        servers);
    }
    return CIS_OK;
}

cis_code cis_http_dns_check(const char *servers, struct cis_error *err)
{
    CIS_CLEANUP(channel_done) ares_channel channel = NULL;
    return channel_open(servers, &channel, err);
}

struct lookup {
    bool done;
    int status;
    size_t seen; /* records in the answer, kept or not */
    struct sockaddr_storage list[CIS_HTTP_ADDRS_MAX];
    size_t n;
    uint16_t port;
};

static void keep(struct lookup *lookup, const struct sockaddr *addr, socklen_t len)
{
    lookup->seen++;
    if (lookup->n == CIS_HTTP_ADDRS_MAX || len > sizeof *lookup->list) {
        return;
    }
    struct sockaddr_storage *to = &lookup->list[lookup->n++];
    memset(to, 0, sizeof *to);
    memcpy(to, addr, len);
    if (to->ss_family == AF_INET) {
        ((struct sockaddr_in *)to)->sin_port = htons(lookup->port);
    } else if (to->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)to)->sin6_port = htons(lookup->port);
    }
}

static void keep_text(struct lookup *lookup, const char *text)
{
    struct sockaddr_storage addr;
    if (cis_host_sockaddr(text, &addr)) {
        keep(lookup, (const struct sockaddr *)&addr,
             addr.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    }
}

static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
    (void)timeouts;
    struct lookup *lookup = arg;
    lookup->done = true;
    lookup->status = status;
    if (result == NULL) {
        return;
    }
    for (struct ares_addrinfo_node *node = result->nodes; node != NULL; node = node->ai_next) {
        keep(lookup, node->ai_addr, node->ai_addrlen);
    }
    ares_freeaddrinfo(result);
}

/* Waits for one of c-ares' sockets, its timer, the deadline or the cancellation, then lets it work.
 * ares_fds would need select and so descriptors below 1024. */
static cis_code step(ares_channel channel, const struct cis_call *call, uint64_t until_ns,
                     struct cis_error *err)
{
    ares_socket_t socks[ARES_GETSOCK_MAXNUM];
    struct pollfd fds[ARES_GETSOCK_MAXNUM + 1];
    /* Bit i: wants to read socket i, bit 16 + i: to write (the macros shift a signed 1). */
    unsigned mask = (unsigned)ares_getsock(channel, socks, ARES_GETSOCK_MAXNUM);
    nfds_t n = 0;
    for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
        short events = (short)(((mask >> i & 1) != 0 ? POLLIN : 0) |
                               ((mask >> (16 + i) & 1) != 0 ? POLLOUT : 0));
        if (events != 0) {
            fds[n++] = (struct pollfd){.fd = socks[i], .events = events};
        }
    }
    nfds_t nsocks = n;
    fds[n++] = (struct pollfd){.fd = cis_call_wait_fd(call), .events = POLLIN};
    int ms = cis_http_wait_ms(call, until_ns);
    struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}, left;
    const struct timeval *next = ares_timeout(channel, &limit, &left);
    int wait = (int)(next->tv_sec * 1000 + (next->tv_usec + 999) / 1000);
    int ready = poll(fds, n, wait);
    CIS_TRY(cis_http_stop_check(call, "dns", err));
    if (ready <= 0) {
        ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        return CIS_OK;
    }
    for (nfds_t i = 0; i < nsocks; i++) {
        if (fds[i].revents != 0) {
            bool out_only = fds[i].events == POLLOUT;
            ares_process_fd(channel, out_only ? ARES_SOCKET_BAD : fds[i].fd,
                            (fds[i].events & POLLOUT) != 0 ? fds[i].fd : ARES_SOCKET_BAD);
        }
    }
    return CIS_OK;
}

static cis_code ask(const cis_http_client *client, const char *host, const struct cis_call *call,
                    struct lookup *lookup, struct cis_error *err)
{
    uint64_t until = cis_clock_after(cis_clock_mono_ns(), client->connect_ns);
    CIS_CLEANUP(channel_done) ares_channel channel = NULL;
    CIS_TRY(channel_open(client->dns_servers, &channel, err));
    struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(channel, host, NULL, &hints, answered, lookup);
    while (!lookup->done) {
        CIS_TRY(step(channel, call, until, err));
        if (!lookup->done && cis_clock_mono_ns() >= until) {
            return cis_fail(err, CIS_E_NET, "%s: no answer from the name servers", host);
        }
    }
    switch (lookup->status) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
        return CIS_OK; /* judged by the number of records */
    case ARES_ENOMEM:
        return cis_fail(err, CIS_E_NOMEM, "%s: dns: out of memory", host);
    default:
        return cis_fail(err, CIS_E_NET, "%s: dns: %s", host, ares_strerror(lookup->status));
    }
}

cis_code cis_http_resolve(cis_http_client *client, const struct cis_grants *grants,
                          const struct cis_url *url, const struct cis_call *call,
                          struct cis_http_addrs *out, struct cis_error *err)
{
    CIS_TRY(cis_http_stop_check(call, url->host, err));
    if (!cis_policy_origin_allowed(grants, url)) { /* not even a question to a name server */
        return cis_fail(err, CIS_E_DENIED, "%s://%s:%u: not granted", url->scheme, url->host,
                        (unsigned)url->port);
    }
    struct lookup *lookup CIS_CLEANUP(cis_freep) = cis_zalloc(sizeof *lookup);
    if (lookup == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", url->host);
    }
    lookup->port = url->port;
    if (url->is_address) {
        keep_text(lookup, url->host);
    } else if (strcmp(url->host, "localhost") == 0) {
        keep_text(lookup, "127.0.0.1");
        keep_text(lookup, "::1");
    } else {
        CIS_TRY(ask(client, url->host, call, lookup, err));
    }
    if (lookup->n == 0) {
        return cis_fail(err, CIS_E_DENIED, "%s: no address", url->host);
    }
    if (lookup->seen > lookup->n) {
        return cis_fail(err, CIS_E_DENIED, "%s: more than %u addresses", url->host,
                        CIS_HTTP_ADDRS_MAX);
    }
    for (size_t i = 0; i < lookup->n; i++) {
        CIS_TRY(cis_policy_addr_check(grants, url, (const struct sockaddr *)&lookup->list[i], err));
    }
    struct sockaddr_storage *list = cis_calloc(lookup->n, sizeof *list);
    if (list == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", url->host);
    }
    memcpy(list, lookup->list, lookup->n * sizeof *list);
    *out = (struct cis_http_addrs){list, lookup->n};
    return CIS_OK;
}
