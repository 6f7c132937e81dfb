/* A component that answers HTTP requests, behind a socket: one connection after the other, a
 * request each. What a real server has besides (TLS, many connections, keep-alive) is left out;
 * what is here holds: the head is bounded, the body is read as the guest asks for it, and an answer
 * that was cut ends without its last chunk, so that nobody takes it for whole.
 *
 *   serve COMPONENT [REQUESTS]      on a free port of 127.0.0.1, which it prints */
#include <arpa/inet.h>
#include <cis/cis.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 16384u
#define HEADERS_MAX 100u

struct connection {
    int fd;
    char head[HEAD_MAX + 1]; /* and what came behind it: the body's beginning */
    size_t len, body_at;
    struct cis_http_header headers[HEADERS_MAX];
    size_t nheaders;
    const char *method, *path, *host;
    bool chunked_in, has_length;
    bool begun, bodiless, chunked; /* of the answer */
    char out[HEAD_MAX * 4];
    size_t nout; /* of it that the socket did not take yet */
};

/* ---- the request's head ---- */

static bool belongs_to_the_connection(const char *name)
{
    static const char *const names[] = {"connection", "keep-alive",    "te", "trailer", "upgrade",
                                        "expect",     "http2-settings"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcasecmp(name, names[i]) == 0) {
            return true;
        }
    }
    return strncasecmp(name, "proxy-", 6) == 0;
}

static bool take_line(struct connection *c, char *line)
{
    char *value = strchr(line, ':');
    if (value == NULL || c->nheaders == HEADERS_MAX) {
        return false;
    }
    *value++ = 0;
    value += strspn(value, " \t");
    if (strcasecmp(line, "host") == 0) {
        c->host = value;
    } else if (strcasecmp(line, "transfer-encoding") == 0) {
        c->chunked_in = true;
    } else if (!belongs_to_the_connection(line)) {
        c->has_length |= strcasecmp(line, "content-length") == 0;
        c->headers[c->nheaders++] = (struct cis_http_header){line, value};
    }
    return true;
}

/* "GET /path HTTP/1.1", then lines; false: it is not that. libcis checks the parts again. */
static bool read_head(struct connection *c)
{
    char *end = NULL;
    while (end == NULL) {
        ssize_t n = recv(c->fd, c->head + c->len, HEAD_MAX - c->len, 0);
        if (n <= 0) {
            return false;
        }
        c->len += (size_t)n;
        c->head[c->len] = 0;
        end = strstr(c->head, "\r\n\r\n");
    }
    c->body_at = (size_t)(end - c->head) + 4;
    *end = 0;
    char *save = NULL, *line = strtok_r(c->head, "\r\n", &save), *words = NULL;
    c->method = line != NULL ? strtok_r(line, " ", &words) : NULL;
    c->path = c->method != NULL ? strtok_r(NULL, " ", &words) : NULL;
    bool good = c->path != NULL;
    while (good && (line = strtok_r(NULL, "\r\n", &save)) != NULL) {
        good = take_line(c, line);
    }
    return good;
}

/* ---- what the guest reads and writes ---- */

static enum cis_code read_body(void *self, void *to, size_t cap, size_t *out_n,
                               struct cis_error *why)
{
    struct connection *c = self;
    size_t left = c->len - c->body_at;
    if (left != 0) { /* what came with the head */
        *out_n = left < cap ? left : cap;
        memcpy(to, c->head + c->body_at, *out_n);
        c->body_at += *out_n;
        return CIS_E_OK;
    }
    ssize_t n = recv(c->fd, to, cap, MSG_DONTWAIT);
    if (n == 0) {
        return cis_error_errno(why, ECONNRESET); /* before the length was reached */
    }
    *out_n = n > 0 ? (size_t)n : 0;
    return cis_error_errno(why, n < 0 ? errno : 0);
}

static int flush(struct connection *c)
{
    while (c->nout != 0) {
        ssize_t n = send(c->fd, c->out, c->nout, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            return errno;
        }
        c->nout -= (size_t)n;
        memmove(c->out, c->out + n, c->nout);
    }
    return 0;
}

/* These three, one after the other. */
static bool put(struct connection *c, const char *a, const char *b, const char *d)
{
    int n = snprintf(c->out + c->nout, sizeof c->out - c->nout, "%s%s%s", a, b, d);
    bool fits = n >= 0 && (size_t)n < sizeof c->out - c->nout;
    c->nout += fits ? (size_t)n : 0;
    return fits;
}

/* A line of a header. */
static bool put_line(struct connection *c, const char *name, const char *value)
{
    return put(c, name, ": ", value) && put(c, "\r\n", "", "");
}

static enum cis_code write_head(void *self, const struct cis_http_head *head, struct cis_error *why)
{
    struct connection *c = self;
    char text[24];
    bool fits = true;
    if (head->status == 0) { /* no answer: main says 502 */
        return CIS_E_OK;
    }
    c->begun = true;
    c->bodiless = head->status == 204 || head->status == 304 || strcmp(c->method, "HEAD") == 0;
    c->chunked = head->length == UINT64_MAX && !c->bodiless;
    snprintf(text, sizeof text, "%u", (unsigned)head->status);
    fits = put(c, "HTTP/1.1 ", text, " \r\n");
    for (size_t i = 0; i < head->nheaders && fits; i++) {
        fits = put_line(c, head->headers[i].name, head->headers[i].value);
    }
    snprintf(text, sizeof text, "%llu", (unsigned long long)head->length);
    if (c->chunked) {
        fits = fits && put_line(c, "Transfer-Encoding", "chunked");
    } else if (head->length != UINT64_MAX) {
        fits = fits && put_line(c, "Content-Length", text);
    }
    return cis_error_errno(why, fits && put(c, "Connection: close", "\r\n", "\r\n") ? 0 : EMSGSIZE);
}

static enum cis_code write_body(void *self, const void *data, size_t len, size_t *out_n,
                                struct cis_error *why)
{
    struct connection *c = self;
    char size[24];
    int no = flush(c);
    size_t n = len < HEAD_MAX ? len : HEAD_MAX;
    if (no != 0) {
        return cis_error_errno(why, no); /* EAGAIN: asked again when there is room */
    }
    if (c->bodiless) {
        *out_n = len; /* whatever the guest wrote */
        return CIS_E_OK;
    }
    if (c->chunked) {
        snprintf(size, sizeof size, "%zx", n);
        put(c, size, "\r\n", "");
    }
    memcpy(c->out + c->nout, data, n);
    c->nout += n;
    if (c->chunked) {
        put(c, "\r\n", "", "");
    }
    *out_n = n;
    return CIS_E_OK;
}

static enum cis_code write_end(void *self, const struct cis_http_header *trailers, size_t n,
                               struct cis_error *why)
{
    struct connection *c = self;
    bool fits = true;
    int no = flush(c);
    if (no != 0 || !c->chunked) {
        return cis_error_errno(why, no);
    }
    c->chunked = false; /* once */
    fits = put(c, "0\r\n", "", "");
    for (size_t i = 0; i < n && fits; i++) {
        fits = put_line(c, trailers[i].name, trailers[i].value);
    }
    return cis_error_errno(why, fits && put(c, "\r\n", "", "") ? flush(c) : EMSGSIZE);
}

/* ---- connections ---- */

static void refuse(struct connection *c, const char *status)
{
    c->nout = 0;
    put(c, "HTTP/1.1 ", status, "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    (void)flush(c);
}

static void serve(struct connection *c, cis_component *component)
{
    struct cis_http_incoming in = CIS_HTTP_INCOMING_INIT;
    struct cis_http_answer answer = CIS_HTTP_ANSWER_INIT;
    struct cis_error err = {0};
    if (!read_head(c) || c->chunked_in) {
        refuse(c, c->chunked_in ? "411 Length Required" : "400 Bad Request");
        return;
    }
    in.method = c->method;
    in.scheme = "http";
    in.authority = c->host;
    in.path = c->path;
    in.headers = c->headers;
    in.nheaders = c->nheaders;
    in.self = c;
    in.read = c->has_length ? read_body : NULL; /* without a length there is no body */
    in.head = write_head;
    in.write = write_body;
    in.end = write_end;
    in.read_fd = in.write_fd = c->fd;
    enum cis_code code = cis_component_handle(component, &in, &answer, &err);
    if (!c->begun) {
        bool bad = code == CIS_E_INVALID || code == CIS_E_LIMIT;
        refuse(c, bad ? "400 Bad Request" : "502 Bad Gateway");
    }
    bool whole = code == CIS_E_OK && answer.fault == CIS_HTTP_FINE;
    fprintf(stderr, "%s: %u, %s\n", c->method, (unsigned)answer.status,
            code != CIS_E_OK ? err.msg
            : whole          ? "whole"
                             : "cut");
    if (c->begun && !whole) {
        (void)flush(c); /* what there is of it, without its end */
    }
}

static char *read_file(const char *path, size_t *out_len)
{
    FILE *file = fopen(path, "rb");
    long len = file != NULL && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    char *bytes = len > 0 ? calloc(1, (size_t)len) : NULL;
    *out_len = 0;
    if (bytes != NULL && fseek(file, 0, SEEK_SET) == 0) {
        *out_len = fread(bytes, 1, (size_t)len, file);
    }
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

static int listen_anywhere(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        return -1;
    }
    printf("http://127.0.0.1:%u/\n", (unsigned)ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

/* An instance for each request: most guests expect to answer one, and nothing of it is left for the
 * next. It costs far less than a millisecond. */
static enum cis_code serve_all(cis_wasi_config *wasi, cis_module *module, int fd, long requests,
                               struct cis_error *err)
{
    enum cis_code code = CIS_E_OK;
    while (requests-- != 0 && code == CIS_E_OK) {
        cis_component *component = NULL;
        struct connection *c = calloc(1, sizeof *c);
        if (c == NULL) {
            return CIS_E_NOMEM;
        }
        c->fd = accept(fd, NULL, NULL);
        code = cis_component_open(wasi, module, &component, err);
        if (code == CIS_E_OK) {
            serve(c, component);
        }
        cis_component_close(component);
        shutdown(c->fd, SHUT_WR);
        close(c->fd);
        free(c);
    }
    return code;
}

int main(int argc, char **argv)
{
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct cis_error err = {0};
    cis_runtime *runtime = NULL;
    cis_module *module = NULL;
    cis_wasi_config *wasi = NULL;
    config.compile_in_process = true;
    if (argc < 2) {
        fprintf(stderr, "usage: serve COMPONENT [REQUESTS]\n");
        return 2;
    }
    int fd = listen_anywhere();
    enum cis_code code = cis_runtime_new(&config, &runtime, &err);
    if (code == CIS_E_OK) {
        size_t len;
        char *wasm = read_file(argv[1], &len);
        code = cis_module_load(runtime, wasm, len, argv[1], &module, &err);
        free(wasm);
    }
    if (code == CIS_E_OK) {
        code = cis_wasi_config_new(runtime, &wasi, &err);
    }
    if (code == CIS_E_OK) {
        cis_wasi_config_limits(wasi, 0, 10000, 0); /* of each request */
        code = fd < 0
                   ? CIS_E_IO
                   : serve_all(wasi, module, fd, argc > 2 ? strtol(argv[2], NULL, 10) : -1, &err);
    }
    if (code != CIS_E_OK) {
        fprintf(stderr, "serve: %s\n", err.msg);
    }
    cis_wasi_config_free(wasi);
    cis_module_unref(module);
    cis_runtime_free(runtime);
    return code != CIS_E_OK;
}
