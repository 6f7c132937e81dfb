/* What the test server answers. */
#include "service_http/server_internal.h"

#include <stdio.h>
#include <stdlib.h>

static bool send_text(struct httpd_conn *conn, const char *text)
{
    return httpd_write(conn, text, strlen(text));
}

bool httpd_reply(struct httpd_conn *conn, unsigned status, const char *type, const char *extra,
                 const void *body, size_t len)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf head = CIS_BUF_INIT(1u << 20);
    bool bodiless = status == 204 || status == 304 || status < 200;
    cis_buf_printf(&head, "HTTP/1.1 %u Status\r\n%s", status, extra != NULL ? extra : "");
    if (!bodiless) {
        cis_buf_printf(&head, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, len);
    }
    cis_buf_text(&head, "\r\n");
    return httpd_write(conn, head.ptr, head.len) &&
           (bodiless || conn->head || httpd_write(conn, body, len));
}

static bool reply_text(struct httpd_conn *conn, unsigned status, const char *text)
{
    return httpd_reply(conn, status, "text/plain", NULL, text, strlen(text));
}

/* The value of a query parameter, percent-decoded, into out. */
static void query_text(const char *target, const char *name, char *out, size_t cap)
{
    out[0] = 0;
    const char *at = strchr(target, '?');
    size_t n = strlen(name);
    while (at != NULL && !(strncmp(at + 1, name, n) == 0 && at[1 + n] == '=')) {
        at = strchr(at + 1, '&');
    }
    if (at == NULL) {
        return;
    }
    at += n + 2;
    size_t len = 0;
    /* "to" is the last parameter and runs to the end, so that it may hold '&' itself. */
    while (*at != 0 && (*at != '&' || strcmp(name, "to") == 0) && len + 1 < cap) {
        uint8_t byte;
        if (*at == '%' && cis_unhex((struct cis_str){at + 1, strnlen(at + 1, 2)}, &byte, 1)) {
            out[len++] = (char)byte;
            at += 3;
        } else {
            out[len++] = *at++;
        }
    }
    out[len] = 0;
}

static uint64_t query_number(const char *target, const char *name, uint64_t otherwise)
{
    char text[32];
    uint64_t v;
    query_text(target, name, text, sizeof text);
    return cis_str_u64(cis_str_of(text), &v) ? v : otherwise;
}

static bool route_echo(struct httpd_conn *conn, struct httpd_request *request)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf body = CIS_BUF_INIT(128u << 20);
    cis_buf_add(&body, request->head.ptr, request->head.len);
    cis_buf_add(&body, request->body.ptr, request->body.len);
    return httpd_reply(conn, 200, "text/plain", NULL, body.ptr, body.len);
}

static bool route_hello(struct httpd_conn *conn, struct httpd_request *request)
{
    (void)request;
    return reply_text(conn, 200, "hello");
}

static bool route_status(struct httpd_conn *conn, struct httpd_request *request)
{
    uint64_t status = 500;
    cis_str_u64((struct cis_str){request->target + 8, strcspn(request->target + 8, "?")}, &status);
    return reply_text(conn, (unsigned)status, "status");
}

static bool redirect_to(struct httpd_conn *conn, unsigned status, const char *to)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf extra = CIS_BUF_INIT(64u * 1024u);
    cis_buf_printf(&extra, "Location: %s\r\n", to);
    return httpd_reply(conn, status, "text/plain", cis_buf_cstr(&extra), "moved", 5);
}

static bool route_redirect(struct httpd_conn *conn, struct httpd_request *request)
{
    char to[8192];
    query_text(request->target, "to", to, sizeof to);
    return redirect_to(conn, (unsigned)query_number(request->target, "status", 302), to);
}

static bool route_loop(struct httpd_conn *conn, struct httpd_request *request)
{
    (void)request;
    return redirect_to(conn, 302, "/loop");
}

static bool route_slow(struct httpd_conn *conn, struct httpd_request *request)
{
    return httpd_sleep(conn, (int)query_number(request->target, "ms", 1000)) &&
           reply_text(conn, 200, "late");
}

static bool route_hang(struct httpd_conn *conn, struct httpd_request *request)
{
    (void)request;
    return httpd_sleep(conn, -1);
}

static bool route_drip(struct httpd_conn *conn, struct httpd_request *request)
{
    (void)request;
    bool more = send_text(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    while (more) {
        more = httpd_write(conn, "x", 1) && httpd_sleep(conn, 10);
    }
    return false;
}

static bool route_huge(struct httpd_conn *conn, struct httpd_request *request)
{
    static const char block[65536] = {0};
    uint64_t left = query_number(request->target, "bytes", 1 << 20);
    char head[128];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n",
             (unsigned long long)left);
    bool more = send_text(conn, head);
    while (more && left > 0) {
        size_t n = left < sizeof block ? (size_t)left : sizeof block;
        more = httpd_write(conn, block, n);
        left -= n;
    }
    return more;
}

static bool route_endless(struct httpd_conn *conn, struct httpd_request *request)
{
    (void)request;
    bool more = send_text(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (more) {
        more = send_text(conn, "10\r\n0123456789abcdef\r\n");
    }
    return false;
}

static bool route_chunked(struct httpd_conn *conn, struct httpd_request *request)
{
    (void)request;
    return send_text(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "5\r\nhello\r\n1;ext=\"x\"\r\n,\r\n6\r\n world\r\n0\r\n"
                           "X-Trailer: late\r\n\r\n");
}

static bool route_lie(struct httpd_conn *conn, struct httpd_request *request)
{
    (void)request;
    send_text(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
    return false;
}

static bool route_close(struct httpd_conn *conn, struct httpd_request *request)
{
    (void)conn;
    (void)request;
    return false;
}

static bool route_headers(struct httpd_conn *conn, struct httpd_request *request)
{
    uint64_t n = query_number(request->target, "n", 10);
    bool more = send_text(conn, "HTTP/1.1 200 OK\r\n");
    for (uint64_t i = 0; more && i < n; i++) {
        char line[64];
        snprintf(line, sizeof line, "X-%llu: v\r\n", (unsigned long long)i);
        more = send_text(conn, line);
    }
    return more && send_text(conn, "Content-Length: 2\r\n\r\nok");
}

static bool route_gzip(struct httpd_conn *conn, struct httpd_request *request)
{
    (void)request;
    return httpd_reply(conn, 200, "text/plain", "Content-Encoding: gzip\r\n", "\x1f\x8bnot", 5);
}

static bool route_raw(struct httpd_conn *conn, struct httpd_request *request)
{
    uint64_t i;
    struct cis_str text = {request->target + 5, strcspn(request->target + 5, "?/")};
    if (!cis_str_u64(text, &i) || i >= conn->server->nraw) {
        return reply_text(conn, 404, "no such script");
    }
    const struct httpd_raw *raw = &conn->server->raw[i];
    bool more = httpd_write(conn, raw->bytes, raw->len);
    if (more && raw->hold) {
        httpd_sleep(conn, -1);
    }
    return false;
}

static bool route_sink(struct httpd_conn *conn, struct httpd_request *request)
{
    char block[65536], head[64];
    uint64_t total = 0;
    ssize_t n;
    while ((n = httpd_body(conn, request, block, sizeof block)) > 0) {
        total += (uint64_t)n;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf body = CIS_BUF_INIT(2u << 20);
    snprintf(head, sizeof head, "%llu bytes, trailers: ", (unsigned long long)total);
    cis_buf_text(&body, head);
    cis_buf_add(&body, request->trailers.ptr, request->trailers.len);
    return n == 0 && httpd_reply(conn, 200, "text/plain", NULL, body.ptr, body.len);
}

static bool route_mirror(struct httpd_conn *conn, struct httpd_request *request)
{
    char block[65536], head[64];
    uint64_t total = 0;
    ssize_t n = 0;
    bool more = send_text(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (more && (n = httpd_body(conn, request, block, sizeof block)) > 0) {
        total += (uint64_t)n;
        snprintf(head, sizeof head, "%zx\r\n", (size_t)n);
        more =
            send_text(conn, head) && httpd_write(conn, block, (size_t)n) && send_text(conn, "\r\n");
    }
    snprintf(head, sizeof head, "X-Bytes: %llu\r\n\r\n", (unsigned long long)total);
    return more && n == 0 && send_text(conn, "0\r\n") &&
           httpd_write(conn, request->trailers.ptr, request->trailers.len) && send_text(conn, head);
}

static bool route_ignore(struct httpd_conn *conn, struct httpd_request *request)
{
    (void)request;
    return reply_text(conn, 200, "early") && httpd_sleep(conn, -1);
}

bool httpd_route(struct httpd_conn *conn, struct httpd_request *request)
{
    static const struct {
        const char *path;
        bool prefix;
        bool (*handler)(struct httpd_conn *conn, struct httpd_request *request);
    } routes[] = {
        {"/echo", false, route_echo},
        {"/hello", false, route_hello},
        {"/status/", true, route_status},
        {"/redirect", false, route_redirect},
        {"/loop", false, route_loop},
        {"/slow", false, route_slow},
        {"/hang", false, route_hang},
        {"/drip", false, route_drip},
        {"/huge", false, route_huge},
        {"/endless", false, route_endless},
        {"/chunked", false, route_chunked},
        {"/lie", false, route_lie},
        {"/close", false, route_close},
        {"/headers", false, route_headers},
        {"/gzip", false, route_gzip},
        {"/raw/", true, route_raw},
        {"/stream/sink", false, route_sink},
        {"/stream/mirror", false, route_mirror},
        {"/stream/ignore", false, route_ignore},
        {"/stream/hang", false, route_hang},
    };
    size_t len = strcspn(request->target, "?");
    conn->head = strcmp(request->method, "HEAD") == 0;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        size_t n = strlen(routes[i].path);
        if ((routes[i].prefix ? len > n : len == n) &&
            strncmp(request->target, routes[i].path, n) == 0) {
            return routes[i].handler(conn, request);
        }
    }
    bool known = false;
    bool more = httpd_route_ai(conn, request, &known);
    return known ? more : reply_text(conn, 404, "not found");
}
