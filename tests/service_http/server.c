/* Listening, connections, reading requests. What is answered is in routes.c. */
#include "service_http/server_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"

#define HEAD_MAX (1024u * 1024u)
#define BODY_MAX (64u << 20)

static void bell_ring(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

/* Waits until the descriptor is ready; false when the server stops. */
static bool wait_for(struct httpd_conn *conn, short events)
{
    struct pollfd fds[2] = {{.fd = conn->fd, .events = events},
                            {.fd = conn->server->stop_fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    return fds[1].revents == 0;
}

bool httpd_sleep(struct httpd_conn *conn, int ms)
{
    struct pollfd fds[2] = {{.fd = conn->fd, .events = POLLRDHUP},
                            {.fd = conn->server->stop_fd, .events = POLLIN}};
    int n;
    while ((n = poll(fds, 2, ms)) < 0 && errno == EINTR) {
    }
    return n == 0;
}

/* Bytes moved, 0 at the end, -1 when broken. Sockets do not block: TLS may want the other way. */
static ssize_t move(struct httpd_conn *conn, void *in, const void *out, size_t len)
{
    for (;;) {
        ssize_t n;
        short wanted = in != NULL ? POLLIN : POLLOUT;
        if (conn->ssl != NULL) {
            int cap = len > (1 << 30) ? 1 << 30 : (int)len;
            int r = in != NULL ? SSL_read(conn->ssl, in, cap) : SSL_write(conn->ssl, out, cap);
            if (r > 0) {
                return r;
            }
            int why = SSL_get_error(conn->ssl, r);
            if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
                return why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
            }
            wanted = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        } else {
            n = in != NULL ? recv(conn->fd, in, len, 0) : send(conn->fd, out, len, MSG_NOSIGNAL);
            if (n >= 0) {
                return n;
            }
            if (errno != EAGAIN && errno != EINTR) {
                return -1;
            }
        }
        if (!wait_for(conn, wanted)) {
            return -1;
        }
    }
}

bool httpd_write(struct httpd_conn *conn, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = move(conn, NULL, p, len);
        if (n <= 0) {
            return false;
        }
        p += n;
        len -= (size_t)n;
    }
    return true;
}

struct cis_str httpd_header(const struct httpd_request *request, const char *name)
{
    struct cis_str rest = cis_buf_view(&request->head), line;
    while (cis_str_split(&rest, '\n', &line)) {
        struct cis_str value = line, key;
        if (cis_str_split(&value, ':', &key) && key.len == strlen(name) &&
            strncasecmp(key.ptr, name, key.len) == 0) {
            return cis_str_trim(value);
        }
    }
    return (struct cis_str){"", 0};
}

static bool read_head(struct httpd_conn *conn, struct httpd_request *request)
{
    while (request->head.len < 4 ||
           memcmp(request->head.ptr + request->head.len - 4, "\r\n\r\n", 4) != 0) {
        char byte; /* one at a time, so that nothing of the body is taken along */
        if (move(conn, &byte, NULL, 1) != 1) {
            return false;
        }
        cis_buf_byte(&request->head, (uint8_t)byte);
        bool letter = (byte >= 'A' && byte <= 'Z') || request->head.len > 1;
        if (request->head.failed != CIS_OK || !letter) { /* not HTTP, a TLS greeting perhaps */
            return false;
        }
    }
    return sscanf(cis_buf_cstr(&request->head), "%15s %8192s HTTP/1.1", request->method,
                  request->target) == 2;
}

/* A line with its end, at most cap - 1 bytes. */
static bool read_line(struct httpd_conn *conn, char *line, size_t cap)
{
    size_t n = 0;
    while (n + 1 < cap && move(conn, line + n, NULL, 1) == 1) {
        if (line[n++] == '\n') {
            line[n] = 0;
            return true;
        }
    }
    return false;
}

static bool next_chunk(struct httpd_conn *conn, struct httpd_request *request)
{
    char line[4096];
    if (!read_line(conn, line, sizeof line)) {
        return false;
    }
    request->left = strtoull(line, NULL, 16);
    while (request->left == 0 && !request->ended) {
        if (!read_line(conn, line, sizeof line)) {
            return false;
        }
        request->ended = strcmp(line, "\r\n") == 0;
        cis_buf_text(&request->trailers, request->ended ? "" : line);
    }
    return true;
}

ssize_t httpd_body(struct httpd_conn *conn, struct httpd_request *request, void *to, size_t cap)
{
    char end[2];
    if (request->chunked && request->left == 0 && !request->ended && !next_chunk(conn, request)) {
        return -1;
    }
    if (request->left == 0) {
        return 0;
    }
    ssize_t n = move(conn, to, NULL, cap < request->left ? cap : (size_t)request->left);
    if (n <= 0) {
        return -1;
    }
    request->left -= (size_t)n;
    if (request->chunked && request->left == 0 &&
        (move(conn, end, NULL, 1) != 1 || move(conn, end + 1, NULL, 1) != 1)) {
        return -1;
    }
    return n;
}

static bool read_body(struct httpd_conn *conn, struct httpd_request *request)
{
    struct cis_str text = httpd_header(request, "content-length");
    request->close = cis_str_is(httpd_header(request, "connection"), "close");
    request->chunked = cis_str_is(httpd_header(request, "transfer-encoding"), "chunked");
    if (text.len > 0 && (!cis_str_u64(text, &request->left) || request->chunked)) {
        return false;
    }
    if (strncmp(request->target, "/stream/", 8) == 0) {
        return true;
    }
    ssize_t n;
    do {
        uint8_t *to = cis_buf_reserve(&request->body, 65536);
        n = to != NULL ? httpd_body(conn, request, to, 65536) : -1;
        request->body.len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    return n == 0;
}

static void record(struct httpd *server, const struct httpd_request *request)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(HEAD_MAX + BODY_MAX + 16);
    cis_buf_add(&text, request->head.ptr, request->head.len);
    cis_buf_add(&text, request->body.ptr, request->body.len);
    cis_buf_add(&text, request->trailers.ptr, request->trailers.len);
    pthread_mutex_lock(&server->lock);
    if (server->log_file != NULL) {
        int fd = open(server->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd >= 0) {
            cis_fd_write_all(fd, text.ptr, text.len);
            cis_fd_write_all(fd, "\n----\n", 6);
            close(fd);
        }
    }
    cis_free(server->last);
    server->last = (char *)cis_buf_take(&text, NULL);
    server->nrequests++;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static bool handshake(struct httpd_conn *conn)
{
    if (conn->server->tls == NULL) {
        return true;
    }
    conn->ssl = SSL_new(conn->server->tls);
    if (conn->ssl == NULL || SSL_set_fd(conn->ssl, conn->fd) != 1) {
        return false;
    }
    for (;;) {
        int r = SSL_accept(conn->ssl);
        if (r == 1) {
            return true;
        }
        int why = SSL_get_error(conn->ssl, r);
        if ((why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) ||
            !wait_for(conn, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT)) {
            return false;
        }
    }
}

static void *serve(void *arg)
{
    struct httpd_conn *conn = arg;
    bool more = handshake(conn);
    while (more) {
        struct httpd_request request = {.head = CIS_BUF_INIT(HEAD_MAX),
                                        .body = CIS_BUF_INIT(BODY_MAX),
                                        .trailers = CIS_BUF_INIT(HEAD_MAX)};
        more = read_head(conn, &request) && read_body(conn, &request);
        if (more) {
            record(conn->server, &request);
            more = httpd_route(conn, &request) && !request.close;
        }
        cis_buf_done(&request.head);
        cis_buf_done(&request.body);
        cis_buf_done(&request.trailers);
    }
    if (conn->ssl != NULL) {
        SSL_shutdown(conn->ssl);
        SSL_free(conn->ssl);
    }
    shutdown(conn->fd, SHUT_RDWR);
    pthread_mutex_lock(&conn->server->lock);
    conn->done = true;
    pthread_cond_broadcast(&conn->server->changed);
    pthread_mutex_unlock(&conn->server->lock);
    return NULL;
}

/* Joins threads that ended (all: also those that are about to). */
static void reap(struct httpd *server, bool all)
{
    struct httpd_conn *gone = NULL;
    pthread_mutex_lock(&server->lock);
    for (struct httpd_conn **at = &server->conns; *at != NULL;) {
        struct httpd_conn *conn = *at;
        if (!all && !conn->done) {
            at = &conn->next;
            continue;
        }
        *at = conn->next;
        conn->next = gone;
        gone = conn;
    }
    pthread_mutex_unlock(&server->lock);
    while (gone != NULL) {
        struct httpd_conn *next = gone->next;
        pthread_join(gone->thread, NULL);
        close(gone->fd);
        cis_free(gone);
        gone = next;
    }
}

static void add_conn(struct httpd *server, int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct httpd_conn *conn = cis_zalloc(sizeof *conn);
    if (conn == NULL) {
        close(fd);
        return;
    }
    conn->server = server;
    conn->fd = fd;
    pthread_mutex_lock(&server->lock);
    server->nconns++;
    if (pthread_create(&conn->thread, NULL, serve, conn) == 0) {
        conn->next = server->conns;
        server->conns = conn;
        conn = NULL;
    }
    pthread_mutex_unlock(&server->lock);
    if (conn != NULL) {
        close(fd);
        cis_free(conn);
    }
}

static void *accept_all(void *arg)
{
    struct httpd *server = arg;
    for (;;) {
        struct pollfd fds[2] = {{.fd = server->listener, .events = POLLIN},
                                {.fd = server->stop_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            return NULL;
        }
        if (fds[1].revents != 0) {
            return NULL;
        }
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            add_conn(server, fd);
        }
        reap(server, false);
    }
}

static bool listen_on(struct httpd *server, const char *address, uint16_t port)
{
    struct sockaddr_storage addr = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addr;
    socklen_t len = sizeof *v4;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
    } else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        len = sizeof *v6;
    } else {
        return false;
    }
    int on = 1;
    server->listener = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listener < 0) {
        return false;
    }
    setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(server->listener, (struct sockaddr *)&addr, len) != 0 ||
        listen(server->listener, 1024) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&addr, &len) != 0) {
        return false;
    }
    server->port = ntohs(addr.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
    return true;
}

static bool load_tls(struct httpd *server, const char *cert, const char *key)
{
    if (cert == NULL) {
        return true;
    }
    server->tls = SSL_CTX_new(TLS_server_method());
    return server->tls != NULL && SSL_CTX_use_certificate_chain_file(server->tls, cert) == 1 &&
           SSL_CTX_use_PrivateKey_file(server->tls, key, SSL_FILETYPE_PEM) == 1;
}

/* Scripted responses are the server's own: a connection may still send one when the test that wrote
 * it has returned. */
static bool copy_raw(struct httpd *server, const struct httpd_options *o)
{
    size_t bytes = (o->nraw + 1) * sizeof *server->raw;
    for (size_t i = 0; i < o->nraw; i++) {
        bytes += o->raw[i].len != 0 ? o->raw[i].len : strlen(o->raw[i].bytes);
    }
    server->raw = cis_zalloc(bytes);
    if (server->raw == NULL) {
        return false;
    }
    char *at = (char *)(server->raw + o->nraw + 1);
    for (; server->nraw < o->nraw; server->nraw++) {
        struct httpd_raw *to = &server->raw[server->nraw];
        *to = o->raw[server->nraw];
        to->len = to->len != 0 ? to->len : strlen(to->bytes);
        memcpy(at, to->bytes, to->len);
        to->bytes = at;
        at += to->len;
    }
    return true;
}

static void free_server(struct httpd *server)
{
    cis_free(server->raw);
    if (server->listener >= 0) {
        close(server->listener);
    }
    if (server->stop_fd >= 0) {
        close(server->stop_fd);
    }
    SSL_CTX_free(server->tls);
    cis_free(server->require);
    cis_free(server->log_file);
    cis_free(server->last);
    cis_free(server);
}

httpd *httpd_start(const struct httpd_options *options)
{
    static const struct httpd_options none = {0};
    struct httpd *server = cis_zalloc(sizeof *server);
    if (server == NULL) {
        return NULL;
    }
    struct sigaction ignore = {.sa_handler = SIG_IGN}; /* TLS writes have no MSG_NOSIGNAL */
    sigaction(SIGPIPE, &ignore, NULL);
    server->listener = -1;
    server->stop_fd = eventfd(0, EFD_CLOEXEC);
    const struct httpd_options *o = options != NULL ? options : &none;
    server->require = o->require != NULL ? cis_strdup(o->require) : NULL;
    server->log_file = o->log_file != NULL ? cis_strdup(o->log_file) : NULL;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    if (server->stop_fd < 0 || !copy_raw(server, o) || !load_tls(server, o->cert, o->key) ||
        !listen_on(server, o->address != NULL ? o->address : "127.0.0.1", o->port) ||
        pthread_create(&server->acceptor, NULL, accept_all, server) != 0) {
        free_server(server);
        return NULL;
    }
    return server;
}

void httpd_stop(httpd *server)
{
    if (server == NULL) {
        return;
    }
    bell_ring(server->stop_fd);
    pthread_join(server->acceptor, NULL);
    reap(server, true);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->changed);
    free_server(server);
}

uint16_t httpd_port(const httpd *server)
{
    return server->port;
}

unsigned httpd_connections(httpd *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned n = server->nconns;
    pthread_mutex_unlock(&server->lock);
    return n;
}

unsigned httpd_requests(httpd *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned n = server->nrequests;
    pthread_mutex_unlock(&server->lock);
    return n;
}

void httpd_wait_closed(httpd *server)
{
    pthread_mutex_lock(&server->lock);
    for (struct httpd_conn *conn = server->conns; conn != NULL;) {
        if (conn->done) {
            conn = conn->next;
            continue;
        }
        pthread_cond_wait(&server->changed, &server->lock);
        conn = server->conns; /* the list may be another one now */
    }
    pthread_mutex_unlock(&server->lock);
}

void httpd_wait_requests(httpd *server, unsigned n)
{
    pthread_mutex_lock(&server->lock);
    while (server->nrequests < n) {
        pthread_cond_wait(&server->changed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

char *httpd_last(httpd *server)
{
    pthread_mutex_lock(&server->lock);
    char *copy = server->last != NULL ? cis_strdup(server->last) : NULL;
    pthread_mutex_unlock(&server->lock);
    return copy;
}
