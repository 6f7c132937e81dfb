#include "service_http/dns_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28

struct dns_server {
    const struct dns_row *rows;
    unsigned nrows;
    unsigned asked[32];        /* A questions by row, for rebinding */
    int fd, listener, stop_fd; /* UDP and TCP on the same port */
    int tcp;                   /* the one TCP connection at a time, or -1 */
    char address[32];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned questions;
    struct cis_buf names;
};

static void put16(struct cis_buf *b, unsigned v)
{
    cis_buf_byte(b, (uint8_t)(v >> 8));
    cis_buf_byte(b, (uint8_t)v);
}

static void put_name(struct cis_buf *b, const char *name)
{
    struct cis_str rest = cis_str_of(name), label;
    bool more;
    do {
        more = cis_str_split(&rest, '.', &label);
        cis_buf_byte(b, (uint8_t)label.len);
        cis_buf_str(b, label);
    } while (more);
    cis_buf_byte(b, 0);
}

/* Owner: the question's name (a pointer to it), or `owner`. TTL 0: nothing may be cached. */
static void put_record(struct cis_buf *b, const char *owner, unsigned type, const void *data,
                       size_t len)
{
    if (owner == NULL) {
        put16(b, 0xC00C);
    } else {
        put_name(b, owner);
    }
    put16(b, type);
    put16(b, 1);
    put16(b, 0);
    put16(b, 0);
    put16(b, (unsigned)len);
    cis_buf_add(b, data, len);
}

static unsigned put_addr(struct cis_buf *b, const char *owner, unsigned type, const char *text)
{
    uint8_t bytes[16];
    int family = type == TYPE_A ? AF_INET : AF_INET6;
    if (inet_pton(family, text, bytes) != 1) {
        return 0;
    }
    put_record(b, owner, type, bytes, type == TYPE_A ? 4 : 16);
    return 1;
}

static unsigned put_list(struct cis_buf *b, const char *owner, unsigned type,
                         const char *const list[4])
{
    unsigned n = 0;
    for (size_t i = 0; i < 4 && list[i] != NULL; i++) {
        n += put_addr(b, owner, type, list[i]);
    }
    return n;
}

static unsigned put_rebind(struct dns_server *s, const struct dns_row *row, struct cis_buf *b)
{
    size_t at = 0;
    unsigned *asked = &s->asked[row - s->rows];
    while (at < 3 && at < *asked && row->v4[at + 1] != NULL) {
        at++;
    }
    (*asked)++;
    return put_addr(b, NULL, TYPE_A, row->v4[at]);
}

/* Answer records; *out_rcode when there is an error to tell. */
static unsigned put_answers(struct dns_server *s, const struct dns_row *row, unsigned type,
                            struct cis_buf *b, unsigned *out_rcode)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf alias = CIS_BUF_INIT(512);
    unsigned n = 0;
    switch (row->kind) {
    case DNS_ADDRS:
        return put_list(b, NULL, type, type == TYPE_A ? row->v4 : row->v6);
    case DNS_REBIND:
        return type == TYPE_A ? put_rebind(s, row, b) : 0;
    case DNS_NXDOMAIN:
        *out_rcode = 3;
        return 0;
    case DNS_SERVFAIL:
        *out_rcode = 2;
        return 0;
    case DNS_CNAME_LOOP:
        put_record(b, NULL, TYPE_CNAME, "\xC0\x0C", 2);
        return 1;
    case DNS_CNAME_TO:
        put_name(&alias, row->alias);
        put_record(b, NULL, TYPE_CNAME, alias.ptr, alias.len);
        return 1 + put_list(b, row->alias, type, type == TYPE_A ? row->v4 : row->v6);
    case DNS_MANY:
        for (unsigned i = 0; type == TYPE_A && i < 200; i++) {
            n += put_addr(b, NULL, TYPE_A, row->v4[0]);
        }
        return n;
    case DNS_EMPTY:
    case DNS_SILENT:
    case DNS_GARBAGE:
        return 0;
    }
    return 0;
}

/* Reads the question's name into text; the offset behind type and class, or 0. */
static size_t read_question(const uint8_t *msg, size_t len, struct cis_buf *text, unsigned *type)
{
    size_t at = 12;
    while (at < len && msg[at] != 0) {
        size_t n = msg[at];
        if (n > 63 || at + 1 + n >= len) {
            return 0;
        }
        cis_buf_add(text, msg + at + 1, n);
        cis_buf_byte(text, '.');
        at += 1 + n;
    }
    if (at + 5 > len) {
        return 0;
    }
    *type = (unsigned)(msg[at + 1] << 8 | msg[at + 2]);
    return at + 5;
}

static const struct dns_row *find_row(const struct dns_server *s, const char *name)
{
    size_t n = strcspn(name, ".");
    for (unsigned i = 0; i < s->nrows; i++) {
        if (strlen(s->rows[i].label) == n && strncasecmp(s->rows[i].label, name, n) == 0) {
            return &s->rows[i];
        }
    }
    return NULL;
}

static void note(struct dns_server *s, const char *name)
{
    pthread_mutex_lock(&s->lock);
    s->questions++;
    cis_buf_printf(&s->names, "%s ", name);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* from NULL: fd is a TCP connection, where a length goes first. */
static void send_answer(int fd, const struct cis_buf *out, const struct sockaddr *from,
                        socklen_t from_len)
{
    if (from != NULL) {
        sendto(fd, out->ptr, out->len, 0, from, from_len);
        return;
    }
    uint8_t head[2] = {(uint8_t)(out->len >> 8), (uint8_t)out->len};
    cis_fd_write_all(fd, head, 2);
    cis_fd_write_all(fd, out->ptr, out->len);
}

static void answer(struct dns_server *s, int fd, const uint8_t *msg, size_t len,
                   const struct sockaddr *from, socklen_t from_len)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(512);
    CIS_CLEANUP(cis_buf_done) struct cis_buf records = CIS_BUF_INIT(60000);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(60000);
    unsigned type = 0, rcode = 0, n = 0;
    size_t end = len > 12 ? read_question(msg, len, &name, &type) : 0;
    if (end == 0) {
        return;
    }
    note(s, cis_buf_cstr(&name)); /* before the answer: who has the answer sees it counted */
    const struct dns_row *row = find_row(s, cis_buf_cstr(&name));
    if (row == NULL) {
        rcode = 3;
    } else if (row->kind != DNS_SILENT && row->kind != DNS_GARBAGE) {
        n = put_answers(s, row, type, &records, &rcode);
    }
    if (row != NULL && row->kind == DNS_GARBAGE) {
        cis_buf_add(&out, msg, 2); /* the right id, and then nonsense */
        cis_buf_text(&out, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xc0\xff");
    } else {
        cis_buf_add(&out, msg, 2);
        put16(&out, 0x8180 | rcode);
        put16(&out, 1);
        put16(&out, n);
        put16(&out, 0);
        put16(&out, 0);
        cis_buf_add(&out, msg + 12, end - 12);
        cis_buf_add(&out, records.ptr, records.len);
    }
    if (row == NULL || row->kind != DNS_SILENT) {
        if (from != NULL && out.len > 512) { /* too long for a datagram: the header says so */
            out.ptr[2] |= 0x02;
            out.ptr[7] = 0;
            out.len = end;
        }
        send_answer(fd, &out, from, from_len);
    }
}

static bool read_all(int fd, uint8_t *to, size_t len)
{
    while (len > 0) {
        ssize_t n = recv(fd, to, len, 0);
        if (n <= 0) {
            return false;
        }
        to += n;
        len -= (size_t)n;
    }
    return true;
}

/* One question of the TCP connection; it closes with its client. */
static void serve_tcp(struct dns_server *s)
{
    uint8_t head[2], msg[1500];
    size_t len = 0;
    bool more = read_all(s->tcp, head, 2);
    if (more) {
        len = (size_t)(head[0] << 8 | head[1]);
        more = len <= sizeof msg && read_all(s->tcp, msg, len);
    }
    if (more) {
        answer(s, s->tcp, msg, len, NULL, 0);
    } else {
        close(s->tcp);
        s->tcp = -1;
    }
}

static void *serve(void *arg)
{
    struct dns_server *s = arg;
    for (;;) {
        struct pollfd fds[4] = {{.fd = s->fd, .events = POLLIN},
                                {.fd = s->stop_fd, .events = POLLIN},
                                {.fd = s->tcp < 0 ? s->listener : -1, .events = POLLIN},
                                {.fd = s->tcp, .events = POLLIN}};
        if ((poll(fds, 4, -1) < 0 && errno != EINTR) || fds[1].revents != 0) {
            return NULL;
        }
        if (fds[3].revents != 0) {
            serve_tcp(s);
        }
        if (fds[2].revents != 0) {
            s->tcp = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        }
        uint8_t msg[1500];
        struct sockaddr_storage from;
        socklen_t from_len = sizeof from;
        ssize_t n =
            recvfrom(s->fd, msg, sizeof msg, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
        if (n > 0) {
            answer(s, s->fd, msg, (size_t)n, (struct sockaddr *)&from, from_len);
        }
    }
}

/* UDP and TCP on one port: another program may have the one that is free for UDP, so try again. */
static bool bind_both(struct dns_server *s)
{
    for (int tries = 0; tries < 100; tries++) {
        struct sockaddr_in addr = {.sin_family = AF_INET};
        socklen_t len = sizeof addr;
        inet_pton(AF_INET, "127.0.0.1", &addr.sin_addr);
        s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (s->fd >= 0 && s->listener >= 0 && bind(s->fd, (struct sockaddr *)&addr, len) == 0 &&
            getsockname(s->fd, (struct sockaddr *)&addr, &len) == 0 &&
            bind(s->listener, (struct sockaddr *)&addr, len) == 0 && listen(s->listener, 16) == 0) {
            snprintf(s->address, sizeof s->address, "127.0.0.1:%u", (unsigned)ntohs(addr.sin_port));
            return true;
        }
        close(s->fd);
        close(s->listener);
    }
    return false;
}

dns_server *dns_start(const struct dns_row *rows, unsigned n)
{
    struct dns_server *s = cis_zalloc(sizeof *s);
    if (s == NULL || n > sizeof s->asked / sizeof *s->asked) {
        cis_free(s);
        return NULL;
    }
    s->rows = rows;
    s->nrows = n;
    s->names = CIS_BUF_INIT(1u << 20);
    s->tcp = -1;
    s->stop_fd = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (s->stop_fd < 0 || !bind_both(s) || pthread_create(&s->thread, NULL, serve, s) != 0) {
        cis_free(s);
        return NULL;
    }
    return s;
}

void dns_stop(dns_server *server)
{
    if (server == NULL) {
        return;
    }
    uint64_t one = 1;
    while (write(server->stop_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
    pthread_join(server->thread, NULL);
    close(server->fd);
    close(server->listener);
    if (server->tcp >= 0) {
        close(server->tcp);
    }
    close(server->stop_fd);
    cis_buf_done(&server->names);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->changed);
    cis_free(server);
}

const char *dns_address(const dns_server *server)
{
    return server->address;
}

unsigned dns_questions(dns_server *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned n = server->questions;
    pthread_mutex_unlock(&server->lock);
    return n;
}

char *dns_names(dns_server *server)
{
    pthread_mutex_lock(&server->lock);
    char *copy = cis_strdup(cis_buf_cstr(&server->names));
    pthread_mutex_unlock(&server->lock);
    return copy;
}

void dns_wait_questions(dns_server *server, unsigned n)
{
    pthread_mutex_lock(&server->lock);
    while (server->questions < n) {
        pthread_cond_wait(&server->changed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}
