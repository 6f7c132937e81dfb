/* One request and its response on one lane: curl does the talking, the loop here keeps the deadline
 * and listens for the cancellation. Everything that curl could take from its surroundings (proxies,
 * .netrc, cookies, HSTS and alt-svc caches, other protocols, its own redirects and names) is off.
 */
#include "service/http/internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "base/mem.h"
#include "policy/host.h"

struct exchange {
    struct cis_http_lane *lane;
    struct cis_http_reply *reply;
    CURLU *url;
    struct curl_slist *pins;
    char message[CURL_ERROR_SIZE];
};

static void exchange_done(struct exchange *x)
{
    curl_url_cleanup(x->url);
    curl_slist_free_all(x->pins);
}

static size_t on_line(char *data, size_t size, size_t n, void *self)
{
    struct exchange *x = self;
    return cis_http_reply_line(x->reply, (struct cis_str){data, size * n}) ? size * n : 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *self)
{
    struct exchange *x = self;
    return cis_http_reply_body(x->reply, data, size * n) ? size * n : 0;
}

/* The last word before a connection: no address that was not vetted, whatever curl found. */
static curl_socket_t on_socket(void *self, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct exchange *x = self;
    for (size_t i = 0; purpose == CURLSOCKTYPE_IPCXN && i < x->lane->addrs.n; i++) {
        if (cis_addr_equal(&to->addr, (const struct sockaddr *)&x->lane->addrs.list[i])) {
            return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
        }
    }
    x->reply->code = cis_fail(&x->reply->err, CIS_E_DENIED, "%s: an address that was not vetted",
                              x->reply->host);
    return CURL_SOCKET_BAD;
}

/* curl's own reading of our canonical URL has to be ours: one object, vetted and sent. */
static bool reads_the_same(CURLU *u, const struct cis_url *url)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL, wanted[CIS_HOST_TEXT_MAX + 2];
    char number[8];
    bool v6 = strchr(url->host, ':') != NULL;
    snprintf(wanted, sizeof wanted, v6 ? "[%s]" : "%s", url->host);
    snprintf(number, sizeof number, "%u", (unsigned)url->port);
    bool same = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
                strcmp(scheme, url->scheme) == 0 && strcmp(host, wanted) == 0 &&
                strcmp(port, number) == 0;
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    return same;
}

static cis_code set_url(struct exchange *x, const struct cis_url *url, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(64u * 1024u);
    bool v6 = strchr(url->host, ':') != NULL;
    cis_buf_printf(&text, v6 ? "%s://[%s]:%u" : "%s://%s:%u", url->scheme, url->host,
                   (unsigned)url->port);
    cis_buf_text(&text, url->target);
    CIS_TRY(cis_buf_check(&text, "url", err));
    x->url = curl_url();
    if (x->url == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", url->host);
    }
    if (curl_url_set(x->url, CURLUPART_URL, cis_buf_cstr(&text), CURLU_DISALLOW_USER) !=
            CURLUE_OK ||
        !reads_the_same(x->url, url)) {
        return cis_fail(err, CIS_E_INVALID, "url: host \"%s\": not read the same by all",
                        url->host);
    }
    return CIS_OK;
}

static cis_code set_pins(struct exchange *x, const struct cis_url *url, struct cis_error *err)
{
    if (url->is_address) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(16u * 1024u);
    cis_buf_printf(&line, "%s:%u:", url->host, (unsigned)url->port);
    for (size_t i = 0; i < x->lane->addrs.n; i++) {
        const struct sockaddr *addr = (const struct sockaddr *)&x->lane->addrs.list[i];
        char text[64];
        cis_addr_text(addr, text);
        cis_buf_printf(&line, addr->sa_family == AF_INET6 ? "%s[%s]" : "%s%s", i > 0 ? "," : "",
                       text);
    }
    CIS_TRY(cis_buf_check(&line, url->host, err));
    x->pins = curl_slist_append(NULL, cis_buf_cstr(&line));
    return x->pins != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "%s: out of memory", url->host);
}

static CURLcode set_surroundings(CURL *c, const struct cis_http_client *client, struct exchange *x)
{
    CURLcode e = CURLE_OK;
#define SET(option, value) (e = e != CURLE_OK ? e : curl_easy_setopt(c, CURLOPT_##option, (value)))
    SET(CURLU, x->url);
    SET(PROTOCOLS_STR, "http,https");
    SET(REDIR_PROTOCOLS_STR, "http,https");
    SET(FOLLOWLOCATION, 0L);
    SET(PROXY, ""); /* and so no proxy from the environment */
    SET(NOPROXY, "*");
    SET(NETRC, (long)CURL_NETRC_IGNORED);
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(HTTP09_ALLOWED, 0L);
    SET(NOSIGNAL, 1L);
    SET(SSL_VERIFYPEER, 1L);
    SET(SSL_VERIFYHOST, 2L);
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (client->ca_file != NULL) { /* beside the system's folder of certificates */
        SET(CAINFO, client->ca_file);
    }
    if (x->pins != NULL) {
        SET(RESOLVE, x->pins);
    }
    SET(OPENSOCKETFUNCTION, on_socket);
    SET(OPENSOCKETDATA, x);
    SET(CONNECTTIMEOUT_MS, (long)(client->connect_ns / CIS_NS_PER_MS));
    SET(HEADERFUNCTION, on_line);
    SET(HEADERDATA, x);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, x);
    SET(ERRORBUFFER, x->message);
    SET(BUFFERSIZE, 64L * 1024L);
    return e;
}

static CURLcode set_request(CURL *c, const struct cis_http_hop *hop)
{
    CURLcode e = CURLE_OK;
    SET(HTTPHEADER, hop->fields);
    if (strcmp(hop->method, "HEAD") == 0) {
        SET(NOBODY, 1L);
    } else if (hop->has_body) {
        SET(POST, 1L);
        SET(POSTFIELDSIZE_LARGE, (curl_off_t)hop->body_len);
        SET(POSTFIELDS, hop->body != NULL ? hop->body : "");
        SET(CUSTOMREQUEST, hop->method);
    } else {
        SET(HTTPGET, 1L);
        SET(CUSTOMREQUEST, hop->method);
    }
#undef SET
    return e;
}

/* Runs the transfer to its end. *out_result is curl's verdict when the return is CIS_OK. */
static cis_code drive(const struct cis_http_lane *lane, const struct cis_call *call,
                      CURLcode *out_result, struct cis_error *err)
{
    struct curl_waitfd bell = {.fd = cis_call_wait_fd(call), .events = CURL_WAIT_POLLIN};
    for (;;) {
        int running = 0, left = 0;
        CURLMcode m = curl_multi_perform(lane->multi, &running);
        if (m == CURLM_OK && running == 0) {
            const CURLMsg *msg = curl_multi_info_read(lane->multi, &left);
            *out_result = msg != NULL ? msg->data.result : CURLE_FAILED_INIT;
            return CIS_OK;
        }
        CIS_TRY(cis_http_stop_check(call, lane->host, err));
        if (m == CURLM_OK) {
            m = curl_multi_poll(lane->multi, &bell, bell.fd >= 0 ? 1 : 0,
                                cis_http_wait_ms(call, CIS_NEVER), NULL);
        }
        if (m != CURLM_OK) {
            return cis_fail(err, m == CURLM_OUT_OF_MEMORY ? CIS_E_NOMEM : CIS_E_NET, "%s: %s",
                            lane->host, curl_multi_strerror(m));
        }
        CIS_TRY(cis_http_stop_check(call, lane->host, err));
    }
}

static cis_code verdict(const struct exchange *x, CURLcode result, const char *host,
                        struct cis_error *err)
{
    const char *why = x->message[0] != 0 ? x->message : curl_easy_strerror(result);
    switch (result) {
    case CURLE_OK:
        return x->reply->final ? CIS_OK : cis_fail(err, CIS_E_NET, "%s: no response", host);
    case CURLE_OUT_OF_MEMORY:
        if (x->reply->in_block || x->reply->bytes > 0) {
            /* curl 7.88 says so of one header line above 100 KiB, too. */
            return cis_fail(err, CIS_E_LIMIT, "%s: a response header is too long", host);
        }
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", host);
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return cis_fail(err, CIS_E_NET, "%s: the server closed early (%s)", host, why);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return cis_fail(err, CIS_E_NET, "%s: TLS: %s", host, why);
    default:
        return cis_fail(err, CIS_E_NET, "%s: %s", host, why);
    }
}

cis_code cis_http_exchange(struct cis_http_client *client, struct cis_http_lane *lane,
                           const struct cis_http_hop *hop, const struct cis_call *call,
                           struct cis_http_reply *reply, struct cis_error *err)
{
    CIS_CLEANUP(exchange_done) struct exchange x = {.lane = lane, .reply = reply};
    CIS_TRY(set_url(&x, &hop->url, err));
    CIS_TRY(set_pins(&x, &hop->url, err));
    CURLcode result = set_surroundings(lane->easy, client, &x);
    result = result != CURLE_OK ? result : set_request(lane->easy, hop);
    cis_code code = CIS_OK;
    if (result == CURLE_OK && curl_multi_add_handle(lane->multi, lane->easy) != CURLM_OK) {
        result = CURLE_FAILED_INIT;
    }
    if (result == CURLE_OK) {
        code = drive(lane, call, &result, err);
        curl_multi_remove_handle(lane->multi, lane->easy);
    }
    /* Forgets every option, also the pointers into this frame; the connection stays. */
    curl_easy_reset(lane->easy);
    curl_easy_setopt(lane->easy, CURLOPT_NOSIGNAL, 1L); /* also while it is cleaned up */
    if (code != CIS_OK) {
        return code;
    }
    if (reply->code != CIS_OK) {
        return cis_fail(err, reply->code, "%s", reply->err.msg);
    }
    if (reply->enough) {
        return CIS_OK;
    }
    return verdict(&x, result, hop->url.host, err);
}
