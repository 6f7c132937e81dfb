/* What curl is told of a request, and what it tells. Everything that it could take from its
 * surroundings (proxies, .netrc, cookies, HSTS and alt-svc caches, other protocols, its own
 * redirects and names) is off. */
#include "service/http/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "policy/host.h"

void cis_http_wire_done(struct cis_http_wire *x)
{
    curl_url_cleanup(x->url);
    curl_slist_free_all(x->pins);
    x->url = NULL;
    x->pins = NULL;
}

static size_t on_line(char *data, size_t size, size_t n, void *self)
{
    struct cis_http_wire *x = self;
    return cis_http_reply_line(x->reply, (struct cis_str){data, size * n}) ? size * n : 0;
}

/* The last word before a connection: no address that was not vetted, whatever curl found. */
static curl_socket_t on_socket(void *self, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct cis_http_wire *x = self;
    for (size_t i = 0; purpose == CURLSOCKTYPE_IPCXN && i < x->lane->addrs.n; i++) {
        if (cis_addr_equal(&to->addr, (const struct sockaddr *)&x->lane->addrs.list[i])) {
            return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
        }
    }
    x->reply->code =
        cis_fail(&x->reply->err, CIS_E_DENIED,
                 "%s: this address was not checked against the grants", x->reply->host);
    return CURL_SOCKET_BAD;
}

static bool is_one_of(const char *method, const char *const *methods)
{
    while (*methods != NULL && strcmp(method, *methods) != 0) {
        methods++;
    }
    return *methods != NULL;
}

/* May the request be sent again on a new connection, when the server has closed the kept one
 * without a byte of an answer? It may have read the request and acted on it: what only asks may be
 * billed or counted too. So it is sent again only if no byte of it went out, and doing it twice is
 * doing it once (RFC 9110 §9.2.2). That a kept connection is closed already is seen before anything
 * is written: curl looks for the end, or for bytes that nobody asked for, before it takes one. */
static bool may_repeat(const struct cis_http_wire *x)
{
    static const char *const idempotent[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", NULL};
    long sent = 0;
    return curl_easy_getinfo(x->lane->easy, CURLINFO_REQUEST_SIZE, &sent) == CURLE_OK &&
           sent == 0 && is_one_of(x->method, idempotent);
}

/* curl asks before it sends the request, and again before it sends it again. */
static int on_request(void *self, char *remote, char *local, int remote_port, int local_port)
{
    (void)remote, (void)local, (void)remote_port, (void)local_port;
    struct cis_http_wire *x = self;
    x->begun++;
    if (x->begun > 2 || (x->begun == 2 && !may_repeat(x))) {
        return CURL_PREREQFUNC_ABORT;
    }
    if (x->connected != NULL) {
        x->connected(x->connected_self);
    }
    return CURL_PREREQFUNC_OK;
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

static cis_code set_url(struct cis_http_wire *x, const struct cis_url *url, struct cis_error *err)
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
        return cis_fail(
            err, CIS_E_INVALID,
            "url: host \"%s\": programs read it in different ways; write it in its usual form",
            url->host);
    }
    return CIS_OK;
}

static cis_code set_pins(struct cis_http_wire *x, const struct cis_url *url, struct cis_error *err)
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

static CURLcode set_surroundings(CURL *c, const struct cis_http_client *client,
                                 struct cis_http_wire *x)
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
    SET(PREREQFUNCTION, on_request);
    SET(PREREQDATA, x);
    SET(CONNECTTIMEOUT_MS, (long)(client->connect_ns / CIS_NS_PER_MS));
    SET(HEADERFUNCTION, on_line);
    SET(HEADERDATA, x);
    SET(ERRORBUFFER, x->message);
    SET(BUFFERSIZE, 64L * 1024L);
#undef SET
    return e;
}

cis_code cis_http_wire_set(struct cis_http_wire *x, const struct cis_http_client *client,
                           const struct cis_url *url, struct cis_error *err)
{
    CIS_TRY(set_url(x, url, err));
    CIS_TRY(set_pins(x, url, err));
    CURLcode e = set_surroundings(x->lane->easy, client, x);
    return e == CURLE_OK ? CIS_OK
           : e == CURLE_OUT_OF_MEMORY
               ? cis_fail(err, CIS_E_NOMEM, "%s: out of memory", url->host)
               : cis_fail(err, CIS_E_NET, "%s: %s", url->host, curl_easy_strerror(e));
}

cis_code cis_http_verdict(const struct cis_http_wire *x, CURLcode result, const char *host,
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
    case CURLE_ABORTED_BY_CALLBACK: /* on_request */
        return cis_fail(err, CIS_E_NET,
                        "%s: the server closed the connection before it answered; it may have "
                        "received the request, which is not sent again",
                        host);
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

/* ---- the same as faults of an exchange: one table ---- */

static const struct {
    CURLcode result;
    enum cis_http_fault fault;
} faults[] = {
    {CURLE_OK, CIS_HTTP_FINE},
    {CURLE_COULDNT_RESOLVE_HOST, CIS_HTTP_DNS_ERROR},
    {CURLE_COULDNT_CONNECT, CIS_HTTP_REFUSED},
    {CURLE_OPERATION_TIMEDOUT, CIS_HTTP_CONNECT_TIMEOUT},
    {CURLE_SEND_ERROR, CIS_HTTP_TERMINATED},
    {CURLE_RECV_ERROR, CIS_HTTP_TERMINATED},
    {CURLE_SEND_FAIL_REWIND, CIS_HTTP_TERMINATED},
    {CURLE_GOT_NOTHING, CIS_HTTP_TERMINATED},
    {CURLE_ABORTED_BY_CALLBACK, CIS_HTTP_TERMINATED}, /* on_request */
    {CURLE_PARTIAL_FILE, CIS_HTTP_INCOMPLETE},
    {CURLE_PEER_FAILED_VERIFICATION, CIS_HTTP_TLS_CERTIFICATE},
    {CURLE_SSL_CERTPROBLEM, CIS_HTTP_TLS_CERTIFICATE},
    {CURLE_SSL_ISSUER_ERROR, CIS_HTTP_TLS_CERTIFICATE},
    {CURLE_SSL_CACERT_BADFILE, CIS_HTTP_CONFIGURATION},
    {CURLE_SSL_CONNECT_ERROR, CIS_HTTP_TLS_PROTOCOL},
    {CURLE_SSL_CIPHER, CIS_HTTP_TLS_PROTOCOL},
    {CURLE_UPLOAD_FAILED, CIS_HTTP_LENGTH_REQUIRED}, /* chunks for a server of HTTP/1.0 */
    {CURLE_WEIRD_SERVER_REPLY, CIS_HTTP_PROTOCOL},
    {CURLE_UNSUPPORTED_PROTOCOL, CIS_HTTP_PROTOCOL},
    {CURLE_BAD_CONTENT_ENCODING, CIS_HTTP_PROTOCOL},
};

static enum cis_http_fault reply_fault(const struct cis_http_reply *reply)
{
    switch (reply->code) {
    case CIS_E_LIMIT:
        return reply->final ? CIS_HTTP_RESPONSE_TRAILERS_SIZE : CIS_HTTP_RESPONSE_HEADERS_SIZE;
    case CIS_E_DENIED:
        return CIS_HTTP_IP_PROHIBITED;
    case CIS_E_NET:
        return reply->coding ? CIS_HTTP_TRANSFER_CODING : CIS_HTTP_PROTOCOL;
    default:
        return CIS_HTTP_INTERNAL;
    }
}

enum cis_http_fault cis_http_verdict_fault(const struct cis_http_wire *x, CURLcode result)
{
    const struct cis_http_reply *reply = x->reply;
    long rc = 0, verified = 0;
    if (reply->code != CIS_OK) {
        return reply_fault(reply);
    }
    if (result == CURLE_OK) {
        return reply->final ? CIS_HTTP_FINE : CIS_HTTP_TERMINATED;
    }
    if (result == CURLE_OUT_OF_MEMORY && (reply->in_block || reply->bytes > 0)) {
        return CIS_HTTP_RESPONSE_HEADER_SIZE; /* as above */
    }
    curl_easy_getinfo(x->lane->easy, CURLINFO_OS_ERRNO, &rc);
    if (result == CURLE_COULDNT_CONNECT && (rc == EHOSTUNREACH || rc == ENETUNREACH)) {
        return CIS_HTTP_IP_UNROUTABLE;
    }
    if (result == CURLE_COULDNT_CONNECT && rc == ETIMEDOUT) {
        return CIS_HTTP_CONNECT_TIMEOUT;
    }
    curl_easy_getinfo(x->lane->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
    if (result == CURLE_SSL_CONNECT_ERROR && verified != 0) {
        return CIS_HTTP_TLS_CERTIFICATE; /* one whose signature is not its issuer's */
    }
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (faults[i].result == result) {
            return faults[i].fault;
        }
    }
    return CIS_HTTP_INTERNAL;
}
