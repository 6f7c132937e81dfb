#include "tools/pgproxy.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINKS_MAX 256
#define LATE_MS 300

struct pgproxy {
    char dir[64], server[64];
    int listener;
    pthread_t accepter;
    pthread_t links[LINKS_MAX];
    int nlinks;
    atomic_int cut, trips;
    atomic_bool fired, shut, shut_at_cut, ending;
};

/* One direction: bytes that wait for the rest of their message. */
struct stream {
    uint8_t *ptr;
    size_t len, cap;
    bool started; /* the first message of a client has no type */
};

struct link {
    struct pgproxy *proxy;
    int client, server;
    struct stream up, down;
    int at;     /* messages of COMMIT seen from the client: 1 Bind, 2 …, 0 none */
    bool asked; /* all of them were passed on: its answer is to be looked for */
    bool gone;  /* the client was cut off, what follows is for the server only */
};

static void nap_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void set_address(struct sockaddr_un *at, const char *dir)
{
    memset(at, 0, sizeof *at);
    at->sun_family = AF_UNIX;
    snprintf(at->sun_path, sizeof at->sun_path, "%s/.s.PGSQL.5432", dir);
}

static void send_all(int fd, const uint8_t *ptr, size_t len)
{
    while (len != 0) {
        ssize_t n = send(fd, ptr, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return; /* the other side is gone; reading will say so */
        }
        ptr += n;
        len -= (size_t)n;
    }
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Length of the message at the stream's start, 0 when it is not whole yet. */
static size_t message(const struct stream *s)
{
    size_t head = s->started ? 1 : 0;
    if (s->len < head + 4 || s->len < head + be32(s->ptr + head)) {
        return 0;
    }
    return head + be32(s->ptr + head);
}

static void consume(struct stream *s, size_t n)
{
    memmove(s->ptr, s->ptr + n, s->len - n);
    s->len -= n;
    s->started = true;
}

static bool fire(struct link *l)
{
    struct pgproxy *p = l->proxy;
    if (atomic_load(&p->shut_at_cut)) {
        atomic_store(&p->shut, true);
    }
    atomic_store(&p->cut, PGPROXY_NONE);
    atomic_store(&p->fired, true);
    return false;
}

/* Bind: portal, then the statement's name. */
static bool binds_commit(const uint8_t *m, size_t len)
{
    const uint8_t *name = len > 5 && m[0] == 'B' ? memchr(m + 5, 0, len - 5) : NULL;
    return name != NULL && (size_t)(m + len - name) > 8 && memcmp(name + 1, "COMMIT", 7) == 0;
}

/* A message of the client. False: cut here. */
static bool upward(struct link *l, const uint8_t *m, size_t len)
{
    int cut = atomic_load(&l->proxy->cut);
    bool typed = l->up.started;
    if (typed && m[0] == 'S') {
        atomic_fetch_add(&l->proxy->trips, 1);
    }
    if (cut == PGPROXY_NONE || !typed) {
        send_all(l->server, m, len);
        return true;
    }
    if (binds_commit(m, len)) {
        l->at = 1;
        if (cut == PGPROXY_BEFORE_BIND) {
            return fire(l);
        }
        if (cut == PGPROXY_IN_BIND) {
            send_all(l->server, m, len / 2);
            return fire(l);
        }
        if (cut == PGPROXY_LATE) {
            (void)fire(l); /* first: a client that comes back at once finds it shut */
            shutdown(l->client, SHUT_RDWR);
            l->gone = true;
            nap_ms(LATE_MS);
        }
    }
    if (l->at != 0 && m[0] == 'E' && cut == PGPROXY_BEFORE_EXECUTE) {
        return fire(l);
    }
    send_all(l->server, m, len);
    if (l->at != 0 && ((m[0] == 'B' && cut == PGPROXY_AFTER_BIND) ||
                       (m[0] == 'E' && cut == PGPROXY_AFTER_EXECUTE) ||
                       (m[0] == 'S' && cut == PGPROXY_AFTER_SYNC))) {
        nap_ms(30); /* let the server work on what it got before it sees the end */
        return fire(l);
    }
    if (l->at != 0 && m[0] == 'S') {
        l->asked = true;
    }
    return true;
}

/* A message of the server. */
static bool downward(struct link *l, const uint8_t *m, size_t len)
{
    int cut = atomic_load(&l->proxy->cut);
    bool done = l->asked && m[0] == 'C' && len == 12 && memcmp(m + 5, "COMMIT", 7) == 0;
    bool ready = l->asked && m[0] == 'Z';
    if (done && cut == PGPROXY_BEFORE_DONE) {
        return fire(l);
    }
    if ((done && cut == PGPROXY_IN_DONE) || (ready && cut == PGPROXY_IN_READY)) {
        send_all(l->client, m, len / 2);
        return fire(l);
    }
    send_all(l->client, m, len);
    return done && cut == PGPROXY_AFTER_DONE ? fire(l) : true;
}

static bool take(struct stream *s, int fd)
{
    if (s->cap - s->len < 65536) {
        s->cap = s->cap * 2 + 131072;
        s->ptr = realloc(s->ptr, s->cap);
    }
    ssize_t n = recv(fd, s->ptr + s->len, s->cap - s->len, 0);
    if (n <= 0) {
        return false;
    }
    s->len += (size_t)n;
    return true;
}

static bool pass(struct link *l, struct stream *s,
                 bool (*one)(struct link *l, const uint8_t *m, size_t len))
{
    size_t n;
    while ((n = message(s)) != 0) {
        if (!one(l, s->ptr, n)) {
            return false;
        }
        consume(s, n);
    }
    return true;
}

static void *link_main(void *arg)
{
    struct link *l = arg;
    struct sockaddr_un at;
    set_address(&at, l->proxy->server);
    l->server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    l->down.started = true;
    bool open = connect(l->server, (struct sockaddr *)&at, sizeof at) == 0;
    while (open && !atomic_load(&l->proxy->ending)) {
        struct pollfd fds[2] = {{.fd = l->gone ? -1 : l->client, .events = POLLIN},
                                {.fd = l->server, .events = POLLIN}};
        if (poll(fds, 2, 20) <= 0) {
            open = !l->gone || poll(fds, 2, 200) > 0;
            continue;
        }
        if (fds[0].revents != 0) {
            open = take(&l->up, l->client) && pass(l, &l->up, upward);
        }
        if (open && fds[1].revents != 0) {
            open = take(&l->down, l->server) && pass(l, &l->down, downward);
        }
    }
    close(l->client);
    close(l->server);
    free(l->up.ptr);
    free(l->down.ptr);
    free(l);
    return NULL;
}

static void *accept_main(void *arg)
{
    struct pgproxy *p = arg;
    while (!atomic_load(&p->ending)) {
        struct pollfd fd = {.fd = p->listener, .events = POLLIN};
        if (poll(&fd, 1, 20) <= 0) {
            continue;
        }
        int client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0) {
            continue;
        }
        if (atomic_load(&p->shut) || p->nlinks == LINKS_MAX) {
            close(client);
            continue;
        }
        struct link *l = calloc(1, sizeof *l);
        l->proxy = p;
        l->client = client;
        if (pthread_create(&p->links[p->nlinks], NULL, link_main, l) != 0) {
            abort();
        }
        p->nlinks++;
    }
    return NULL;
}

struct pgproxy *pgproxy_start(const char *server_dir)
{
    struct pgproxy *p = calloc(1, sizeof *p);
    struct sockaddr_un at;
    snprintf(p->dir, sizeof p->dir, "/tmp/cis-px-XXXXXX");
    snprintf(p->server, sizeof p->server, "%s", server_dir);
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (mkdtemp(p->dir) == NULL) {
        abort();
    }
    set_address(&at, p->dir);
    if (bind(p->listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(p->listener, 64) != 0 ||
        pthread_create(&p->accepter, NULL, accept_main, p) != 0) {
        abort();
    }
    return p;
}

void pgproxy_stop(struct pgproxy *p)
{
    struct sockaddr_un at;
    atomic_store(&p->ending, true);
    pthread_join(p->accepter, NULL);
    for (int i = 0; i < p->nlinks; i++) {
        pthread_join(p->links[i], NULL);
    }
    close(p->listener);
    set_address(&at, p->dir);
    unlink(at.sun_path);
    rmdir(p->dir);
    free(p);
}

const char *pgproxy_dir(const struct pgproxy *p)
{
    return p->dir;
}

void pgproxy_arm(struct pgproxy *p, enum pgproxy_cut cut)
{
    atomic_store(&p->fired, false);
    atomic_store(&p->cut, cut);
}

bool pgproxy_fired(struct pgproxy *p)
{
    return atomic_load(&p->fired);
}

int pgproxy_trips(struct pgproxy *p)
{
    return atomic_exchange(&p->trips, 0);
}

void pgproxy_shut(struct pgproxy *p, bool shut)
{
    atomic_store(&p->shut_at_cut, false);
    atomic_store(&p->shut, shut);
}

void pgproxy_shut_at_cut(struct pgproxy *p)
{
    atomic_store(&p->shut_at_cut, true);
}
