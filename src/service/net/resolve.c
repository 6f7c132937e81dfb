/* One c-ares channel a look-up: channels are not thread safe, and making one is cheap beside the
 * network. Its sockets are gathered in an epoll descriptor, so that there is one to wait for. */
#include "service/net/resolve.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "policy/host.h"

#define TRY_MS 2000
#define TRIES 3
#define EVENTS 16

struct cis_net_lookup {
    ares_channel channel;      /* NULL: nobody has to be asked */
    int epoll;                 /* -1: none */
    uint64_t until_ns, due_ns; /* due: c-ares' own next step */
    bool answered, late;
    int status;
    size_t seen; /* records in the answer, kept or not */
    struct sockaddr_storage list[CIS_NET_ADDRS_MAX];
    size_t n;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int library_status;

static void library_init(void)
{
    library_status = ares_library_init(ARES_LIB_INIT_ALL);
}

void cis_net_addrs_done(struct cis_net_addrs *addrs)
{
    cis_free(addrs->list);
    *addrs = (struct cis_net_addrs){NULL, 0};
}

/* ---- the channel ---- */

/* c-ares tells which of its sockets wait for what. */
static void watch(void *self, ares_socket_t sock, int readable, int writable)
{
    cis_net_lookup *lookup = self;
    struct epoll_event event = {.events = (readable != 0 ? (unsigned)EPOLLIN : 0) |
                                          (writable != 0 ? EPOLLOUT : 0),
                                .data.fd = sock};
    if (lookup->epoll < 0) {
        return;
    }
    if (event.events == 0) {
        epoll_ctl(lookup->epoll, EPOLL_CTL_DEL, sock, NULL);
    } else if (epoll_ctl(lookup->epoll, EPOLL_CTL_MOD, sock, &event) != 0 && errno == ENOENT) {
        epoll_ctl(lookup->epoll, EPOLL_CTL_ADD, sock, &event);
    }
}

static cis_code channel_open(const char *servers, cis_net_lookup *lookup, struct cis_error *err)
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
                                   .lookups = servers != NULL ? dns_only : files_first,
                                   .sock_state_cb = watch,
                                   .sock_state_cb_data = lookup};
    int status = library_status;
    if (status == ARES_SUCCESS) {
        status = ares_init_options(&lookup->channel, &options,
                                   ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                       ARES_OPT_NDOTS | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS |
                                       ARES_OPT_SOCK_STATE_CB);
    }
    if (status != ARES_SUCCESS) {
        lookup->channel = NULL;
        return cis_fail(err, status == ARES_ENOMEM ? CIS_E_NOMEM : CIS_E_NET, "dns: %s",
                        ares_strerror(status));
    }
    if (servers != NULL && ares_set_servers_ports_csv(lookup->channel, servers) != ARES_SUCCESS) {
        return cis_fail(err, CIS_E_USAGE, "dns servers \"%s\": not a list of addresses with ports",
                        servers);
    }
    return CIS_OK;
}

static cis_code lookup_new(cis_net_lookup **out, struct cis_error *err)
{
    cis_net_lookup *lookup = cis_zalloc(sizeof *lookup);
    if (lookup == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "dns: out of memory");
    }
    lookup->epoll = -1;
    *out = lookup;
    return CIS_OK;
}

static void lookup_freep(cis_net_lookup **lookup)
{
    cis_net_lookup_free(*lookup);
}

void cis_net_lookup_free(cis_net_lookup *lookup)
{
    if (lookup == NULL) {
        return;
    }
    if (lookup->channel != NULL) {
        ares_destroy(lookup->channel);
    }
    if (lookup->epoll >= 0) {
        close(lookup->epoll);
    }
    cis_free(lookup);
}

cis_code cis_net_dns_check(const char *servers, struct cis_error *err)
{
    CIS_CLEANUP(lookup_freep) cis_net_lookup *lookup = NULL;
    CIS_TRY(lookup_new(&lookup, err));
    return channel_open(servers, lookup, err);
}

/* ---- the answer ---- */

static void keep(cis_net_lookup *lookup, const struct sockaddr *addr, socklen_t len)
{
    lookup->seen++;
    if (lookup->n == CIS_NET_ADDRS_MAX || len > sizeof *lookup->list) {
        return;
    }
    struct sockaddr_storage *to = &lookup->list[lookup->n++];
    memset(to, 0, sizeof *to);
    memcpy(to, addr, len);
}

static void keep_text(cis_net_lookup *lookup, const char *text)
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
    cis_net_lookup *lookup = arg;
    lookup->answered = true;
    lookup->status = status;
    if (result == NULL) {
        return;
    }
    for (struct ares_addrinfo_node *node = result->nodes; node != NULL; node = node->ai_next) {
        keep(lookup, node->ai_addr, node->ai_addrlen);
    }
    ares_freeaddrinfo(result);
}

/* When c-ares wants to be called although nothing came; a look at the clock of the moment. */
static void set_due(cis_net_lookup *lookup)
{
    struct timeval left;
    const struct timeval *next = ares_timeout(lookup->channel, NULL, &left);
    lookup->due_ns = lookup->until_ns;
    if (next != NULL) {
        uint64_t us = (uint64_t)next->tv_sec * 1000000u + (uint64_t)next->tv_usec;
        uint64_t at = cis_clock_after(cis_clock_mono_ns(), us * 1000u + CIS_NS_PER_MS);
        lookup->due_ns = at < lookup->until_ns ? at : lookup->until_ns;
    }
}

static cis_code ask(const char *servers, const char *host, uint64_t limit_ns,
                    cis_net_lookup *lookup, struct cis_error *err)
{
    lookup->until_ns = cis_clock_after(cis_clock_mono_ns(), limit_ns);
    lookup->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (lookup->epoll < 0) {
        return cis_fail(err, CIS_E_NET, "dns: %s", strerror(errno));
    }
    CIS_TRY(channel_open(servers, lookup, err));
    struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(lookup->channel, host, NULL, &hints, answered, lookup);
    set_due(lookup);
    return CIS_OK;
}

cis_code cis_net_lookup_start(const char *servers, const char *host, uint64_t limit_ns,
                              cis_net_lookup **out_lookup, struct cis_error *err)
{
    CIS_CLEANUP(lookup_freep) cis_net_lookup *lookup = NULL;
    CIS_TRY(lookup_new(&lookup, err));
    keep_text(lookup, host);
    if (lookup->n == 0 && strcmp(host, "localhost") == 0) {
        keep_text(lookup, "127.0.0.1");
        keep_text(lookup, "::1");
    }
    lookup->answered = lookup->n != 0;
    if (!lookup->answered) {
        CIS_TRY(ask(servers, host, limit_ns, lookup, err));
    }
    *out_lookup = cis_take(&lookup);
    return CIS_OK;
}

/* ---- waiting ---- */

void cis_net_lookup_wish(const cis_net_lookup *lookup, int *out_fd, uint64_t *out_at_ns)
{
    *out_fd = -1;
    *out_at_ns = 0;
    if (lookup->answered || lookup->late) {
        return;
    }
    *out_fd = lookup->epoll;
    *out_at_ns = lookup->due_ns;
}

bool cis_net_lookup_step(cis_net_lookup *lookup)
{
    struct epoll_event events[EVENTS];
    if (lookup->answered || lookup->late) {
        return true;
    }
    int n = epoll_wait(lookup->epoll, events, EVENTS, 0);
    for (int i = 0; i < n; i++) {
        bool in = (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0;
        ares_process_fd(lookup->channel, in ? events[i].data.fd : ARES_SOCKET_BAD,
                        (events[i].events & EPOLLOUT) != 0 ? events[i].data.fd : ARES_SOCKET_BAD);
    }
    if (n <= 0) {
        ares_process_fd(lookup->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
    set_due(lookup);
    lookup->late = !lookup->answered && cis_clock_mono_ns() >= lookup->until_ns;
    return lookup->answered || lookup->late;
}

enum cis_net_found cis_net_lookup_result(const cis_net_lookup *lookup,
                                         const struct sockaddr_storage **out_list, size_t *out_n,
                                         const char **out_why)
{
    *out_list = lookup->list;
    *out_n = 0;
    *out_why = lookup->late ? "no answer from the name servers" : ares_strerror(lookup->status);
    if (lookup->late) {
        return CIS_NET_NO_ANSWER;
    }
    switch (lookup->status) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
        break; /* checked by the number of records */
    case ARES_ENOMEM:
        return CIS_NET_NO_MEMORY;
    case ARES_ESERVFAIL:
    case ARES_ETIMEOUT:
    case ARES_EBADRESP:
    case ARES_ECONNREFUSED:
        return CIS_NET_NO_ANSWER;
    default:
        return CIS_NET_BROKEN;
    }
    if (lookup->n == 0 || lookup->seen > lookup->n) {
        *out_why = lookup->n == 0 ? "no address" : "too many addresses";
        return lookup->n == 0 ? CIS_NET_NO_NAME : CIS_NET_TOO_MANY;
    }
    *out_n = lookup->n;
    return CIS_NET_FOUND;
}

/* ---- all at once ---- */

static cis_code stopped(const struct cis_call *call, struct cis_error *err)
{
    if (cis_call_cancelled(call)) {
        return cis_fail(err, CIS_E_CANCELLED, "dns: cancelled");
    }
    if (call->deadline_ns != CIS_NEVER && cis_clock_mono_ns() >= call->deadline_ns) {
        return cis_fail(err, CIS_E_DEADLINE, "dns: time limit reached");
    }
    return CIS_OK;
}

static cis_code await(cis_net_lookup *lookup, const struct cis_call *call, struct cis_error *err)
{
    while (!cis_net_lookup_step(lookup)) {
        uint64_t at;
        struct pollfd fds[2] = {{.events = POLLIN},
                                {.fd = cis_call_wait_fd(call), .events = POLLIN}};
        cis_net_lookup_wish(lookup, &fds[0].fd, &at);
        int ms = cis_clock_poll_ms(at < call->deadline_ns ? at : call->deadline_ns);
        if (call->stop != NULL && fds[1].fd < 0 && (ms < 0 || ms > 20)) {
            ms = 20; /* no descriptor would tell of a cancellation */
        }
        poll(fds, 2, ms);
        CIS_TRY(stopped(call, err));
    }
    return CIS_OK;
}

static void set_port(struct sockaddr_storage *addr, uint16_t port)
{
    if (addr->ss_family == AF_INET) {
        ((struct sockaddr_in *)addr)->sin_port = htons(port);
    } else {
        ((struct sockaddr_in6 *)addr)->sin6_port = htons(port);
    }
}

cis_code cis_net_lookup_addrs(const cis_net_lookup *lookup, const char *host, uint16_t port,
                              struct cis_net_addrs *out, struct cis_error *err)
{
    const struct sockaddr_storage *found;
    size_t n;
    const char *why;
    switch (cis_net_lookup_result(lookup, &found, &n, &why)) {
    case CIS_NET_FOUND:
        break;
    case CIS_NET_NO_NAME:
        return cis_fail(err, CIS_E_DENIED, "%s: no address", host);
    case CIS_NET_TOO_MANY:
        return cis_fail(err, CIS_E_DENIED, "%s: more than %u addresses", host, CIS_NET_ADDRS_MAX);
    case CIS_NET_NO_MEMORY:
        return cis_fail(err, CIS_E_NOMEM, "%s: dns: out of memory", host);
    case CIS_NET_NO_ANSWER:
    case CIS_NET_BROKEN:
        return cis_fail(err, CIS_E_NET, "%s: dns: %s", host, why);
    }
    struct sockaddr_storage *list = cis_calloc(n, sizeof *list);
    if (list == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", host);
    }
    memcpy(list, found, n * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        set_port(&list[i], port);
    }
    *out = (struct cis_net_addrs){list, n};
    return CIS_OK;
}

cis_code cis_net_resolve(const char *servers, const char *host, uint16_t port, uint64_t limit_ns,
                         const struct cis_call *call, struct cis_net_addrs *out,
                         struct cis_error *err)
{
    CIS_CLEANUP(lookup_freep) cis_net_lookup *lookup = NULL;
    CIS_TRY(stopped(call, err));
    CIS_TRY(cis_net_lookup_start(servers, host, limit_ns, &lookup, err));
    CIS_TRY(await(lookup, call, err));
    return cis_net_lookup_addrs(lookup, host, port, out, err);
}
