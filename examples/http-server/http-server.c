/* A small HTTP/1.1 server to try clients and load tests against: one thread, loopback by default.
 *
 *   http-server [--address IP] [--port N] [--port-file FILE] [--log FILE]
 *
 * Its routes are in routes.h. Each request is a line of the log: METHOD PATH PEER MILLISECONDS
 * STATUS, the time since the server began. SIGTERM and SIGINT end it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "routes.h"

#define REQUEST_MAX ((size_t)1 << 20) /* a request with its body */
#define CONNECTIONS_MAX 4096

struct connection {
    int fd;
    uint32_t waits_for; /* what epoll was told */
    char *in, *out;
    size_t in_len, in_cap, out_len, out_at;
    uint64_t due; /* the answer is held back until then; 0: it is not */
    bool close;   /* after the answer */
    char peer[INET_ADDRSTRLEN];
    struct connection *before, *after; /* those with an answer that is held back */
};

static struct {
    int epoll, listener;
    FILE *log;
    uint64_t began;
    unsigned connections;
    struct connection held; /* a ring */
} server;

static volatile sig_atomic_t ended;

static void end(int signal)
{
    (void)signal;
    ended = 1;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- connections ---- */
static void unhold(struct connection *c)
{
    if (c->before != NULL) {
        c->before->after = c->after;
        c->after->before = c->before;
        c->before = c->after = NULL;
    }
    c->due = 0;
}

static void drop(struct connection *c)
{
    unhold(c);
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
    server.connections--;
}

static void wait_for(struct connection *c, uint32_t events)
{
    if (c->waits_for != events) {
        struct epoll_event e = {.events = events, .data.ptr = c};
        epoll_ctl(server.epoll, EPOLL_CTL_MOD, c->fd, &e);
        c->waits_for = events;
    }
}

static void accept_all(void)
{
    for (;;) {
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        int fd =
            accept4(server.listener, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        struct connection *c = server.connections < CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;
        if (c == NULL) {
            close(fd);
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        inet_ntop(AF_INET, &from.sin_addr, c->peer, sizeof c->peer);
        c->fd = fd;
        c->waits_for = EPOLLIN;
        server.connections++;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
            drop(c);
        }
    }
}

/* ---- answers ---- */
static bool put(struct connection *c, const char *bytes, size_t n)
{
    char *grown = realloc(c->out, c->out_len + n);
    if (grown == NULL) {
        return false;
    }
    c->out = grown;
    memcpy(c->out + c->out_len, bytes, n);
    c->out_len += n;
    return true;
}

static bool answer(struct connection *c, const struct reply *r)
{
    char head[256], length[64] = "";
    size_t n = r->len, half = n / 2;
    if (r->framing == REPLY_CHUNKS) {
        snprintf(length, sizeof length, "Transfer-Encoding: chunked\r\n");
    } else if (r->framing != REPLY_END && !r->bare) {
        snprintf(length, sizeof length, "Content-Length: %zu\r\n",
                 r->framing == REPLY_SHORT ? n + REPLY_MISSING : n);
    }
    c->close |= r->framing == REPLY_END || r->framing == REPLY_SHORT;
    int len = snprintf(
        head, sizeof head,
        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%sConnection: %s\r\n\r\n", r->status,
        r->status < 400 ? "OK" : "Error", length, c->close ? "close" : "keep-alive");
    bool ok = put(c, head, (size_t)len);
    if (r->framing == REPLY_CHUNKS) {
        static const char last[] = "\r\n0\r\nX-Parts: 2\r\n\r\n";
        char size[32];
        len = snprintf(size, sizeof size, "%zx;part=1\r\n", half);
        ok = ok && put(c, size, (size_t)len) && put(c, r->body, half) && put(c, "\r\n", 2);
        len = snprintf(size, sizeof size, "%zX\r\n", n - half);
        ok = ok && put(c, size, (size_t)len) && put(c, r->body + half, n - half) &&
             put(c, last, sizeof last - 1);
    } else if (!r->bare) {
        ok = ok && put(c, r->body, n);
    }
    return ok;
}

/* The status that was answered, 0: none. false: the connection is to be closed. */
static bool route(struct connection *c, const char *method, const char *path, const char *body,
                  size_t body_len, int *out_status)
{
    struct sockaddr_in here = {0};
    socklen_t len = sizeof here;
    char ip[INET_ADDRSTRLEN] = "";
    struct reply r;
    getsockname(c->fd, (struct sockaddr *)&here, &len);
    inet_ntop(AF_INET, &here.sin_addr, ip, sizeof ip);
    bool ok = reply_of(method, path, body, body_len, ip, ntohs(here.sin_port), &r);
    *out_status = ok ? r.status : 0;
    if (ok && r.delay_ms != 0) {
        c->due = now_ms() + r.delay_ms;
    }
    ok = ok && answer(c, &r);
    reply_done(&r);
    return ok;
}

/* ---- requests ---- */
/* The value of a header field, or NULL. Ends at the end of the line. */
static const char *field(const char *head, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
            return line + n + 1 + strspn(line + n + 1, " \t");
        }
    }
    return NULL;
}

/* Takes one whole request from what came in. false: the connection is to be closed. */
static bool take_request(struct connection *c, bool *out_took)
{
    char method[16], path[1024];
    *out_took = false;
    char *end_of_head = c->in_len > 0 ? memmem(c->in, c->in_len, "\r\n\r\n", 4) : NULL;
    if (end_of_head == NULL) {
        return c->in_len < REQUEST_MAX;
    }
    end_of_head[2] = '\0'; /* the head ends with its last line's end */
    size_t head = (size_t)(end_of_head - c->in) + 4, length = 0;
    const char *announced = field(c->in, "content-length");
    if (announced != NULL) {
        errno = 0;
        length = strtoul(announced, NULL, 10);
        if (errno != 0 || *announced < '0' || *announced > '9' || length > REQUEST_MAX - head) {
            return false;
        }
    }
    if (field(c->in, "transfer-encoding") != NULL ||
        sscanf(c->in, "%15[A-Z] %1023[^ \r\n] HTTP/1.", method, path) != 2) {
        return false;
    }
    if (c->in_len - head < length) {
        end_of_head[2] = '\r';
        return true;
    }
    const char *wanted = field(c->in, "connection");
    c->close = wanted != NULL && strncasecmp(wanted, "close", 5) == 0;
    int status;
    bool ok = route(c, method, path, c->in + head, length, &status);
    if (server.log != NULL) {
        fprintf(server.log, "%s %s %s %llu %d\n", method, path, c->peer,
                (unsigned long long)(now_ms() - server.began), status);
        fflush(server.log);
    }
    c->in_len -= head + length;
    memmove(c->in, c->in + head + length, c->in_len);
    *out_took = true;
    return ok;
}

/* false: nothing more can be sent to it. */
static bool send_some(struct connection *c)
{
    while (c->out_at < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);
        if (n < 0) {
            wait_for(c, EPOLLOUT);
            return errno == EAGAIN || errno == EINTR;
        }
        c->out_at += (size_t)n;
    }
    c->out_len = c->out_at = 0;
    wait_for(c, EPOLLIN);
    return !c->close;
}

/* Answers what is there, one request after the other. */
static bool go_on(struct connection *c)
{
    for (;;) {
        if (c->due != 0) {
            return true;
        }
        if (c->out_len > 0 && (!send_some(c) || c->out_len > 0)) {
            return c->out_len > c->out_at;
        }
        bool took;
        if (!take_request(c, &took)) {
            return false;
        }
        if (!took) {
            return true;
        }
        if (c->due != 0) {
            c->after = &server.held;
            c->before = server.held.before;
            c->before->after = c->after->before = c;
            wait_for(c, 0);
        }
    }
}

static bool receive(struct connection *c)
{
    if (c->in_len == c->in_cap) {
        size_t cap = c->in_cap == 0 ? 4096 : c->in_cap * 2;
        char *grown = cap <= 2 * REQUEST_MAX ? realloc(c->in, cap) : NULL;
        if (grown == NULL) {
            return false;
        }
        c->in = grown;
        c->in_cap = cap;
    }
    ssize_t n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
    if (n <= 0) {
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
    c->in_len += (size_t)n;
    return go_on(c);
}

static int send_due(void)
{
    uint64_t now = now_ms(), next = now + 1000;
    for (struct connection *c = server.held.after, *after; c != &server.held; c = after) {
        after = c->after;
        if (c->due > now) {
            next = c->due < next ? c->due : next;
            continue;
        }
        unhold(c);
        if (!go_on(c)) {
            drop(c);
        }
    }
    return (int)(next - now);
}

static int serve(void)
{
    struct epoll_event events[64], e = {.events = EPOLLIN, .data.ptr = NULL};
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (server.epoll < 0 || epoll_ctl(server.epoll, EPOLL_CTL_ADD, server.listener, &e) != 0) {
        perror("http-server: epoll");
        return 1;
    }
    server.held.before = server.held.after = &server.held;
    while (ended == 0) {
        int n = epoll_wait(server.epoll, events, 64, send_due());
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c == NULL) {
                accept_all();
            } else if ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0 ||
                       !((events[i].events & EPOLLOUT) != 0 ? go_on(c) : receive(c))) {
                drop(c);
            }
        }
    }
    return 0;
}

static int usage(void)
{
    fputs("usage: http-server [--address IP] [--port N] [--port-file FILE] [--log FILE]\n", stderr);
    return 2;
}

/* Listens, and says where. */
static bool listen_at(const char *address, long port, const char *port_file)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof at;
    int on = 1;
    if (inet_pton(AF_INET, address, &at.sin_addr) != 1) {
        fprintf(stderr, "http-server: %s is not an IPv4 address\n", address);
        return false;
    }
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server.listener < 0 ||
        setsockopt(server.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(server.listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(server.listener, 1024) != 0 ||
        getsockname(server.listener, (struct sockaddr *)&at, &len) != 0) {
        fprintf(stderr, "http-server: cannot listen at %s:%ld: %s\n", address, port,
                strerror(errno));
        return false;
    }
    printf("HTTP test server listening on http://%s:%d\n", address, ntohs(at.sin_port));
    fflush(stdout);
    FILE *file = port_file != NULL ? fopen(port_file, "we") : NULL;
    if (port_file != NULL &&
        (file == NULL || fprintf(file, "%d\n", ntohs(at.sin_port)) < 0 || fclose(file) != 0)) {
        fprintf(stderr, "http-server: %s: %s\n", port_file, strerror(errno));
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    const char *address = "127.0.0.1", *port_file = NULL, *log = NULL;
    long port = 8080;
    for (int i = 1; i < argc; i += 2) {
        char *rest = NULL;
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (value == NULL) {
            return usage();
        } else if (strcmp(argv[i], "--address") == 0) {
            address = value;
        } else if (strcmp(argv[i], "--port-file") == 0) {
            port_file = value;
        } else if (strcmp(argv[i], "--log") == 0) {
            log = value;
        } else if (strcmp(argv[i], "--port") == 0) {
            port = strtol(value, &rest, 10);
            if (rest == value || *rest != '\0' || port < 0 || port > 65535) {
                return usage();
            }
        } else {
            return usage();
        }
    }
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files = {.rlim_cur = CONNECTIONS_MAX + 64, .rlim_max = CONNECTIONS_MAX + 64};
    setrlimit(RLIMIT_NOFILE, &files);
    server.began = now_ms();
    if (log != NULL && (server.log = fopen(log, "we")) == NULL) {
        fprintf(stderr, "http-server: %s: %s\n", log, strerror(errno));
        return 1;
    }
    return listen_at(address, port, port_file) ? serve() : 1;
}
