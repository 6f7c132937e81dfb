/* The loop: what is ready, what is late, the end. */
#include "httpd/internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"

#define EVENTS 256
#define TICK_MS 250 /* deadlines are looked at so often */

cis_code cis_httpd_open(const struct cis_httpd_options *options, cis_httpd **out_server,
                        struct cis_error *err)
{
    cis_httpd *s = cis_zalloc(sizeof *s);
    if (s == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    s->o = *options;
    s->listener = s->epoll = -1;
    cis_code code = cis_httpd_listen(s->o.address, &s->listener, &s->loopback, s->address, err);
    if (code == CIS_OK) {
        s->shared = cis_httpd_shared_new(&s->o);
        s->epoll = epoll_create1(EPOLL_CLOEXEC);
        /* The data of an event is a connection, or one of these two addresses. */
        struct epoll_event listener = {.events = EPOLLIN, .data.ptr = &s->listener};
        struct epoll_event wake = {.events = EPOLLIN | EPOLLET, .data.ptr = &s->shared};
        if (s->shared == NULL || s->epoll < 0 ||
            epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &listener) != 0 ||
            epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->shared->wake, &wake) != 0) {
            code = cis_fail_sys(err, CIS_E_IO, errno, "%s: epoll", s->address);
        }
    }
    if (code != CIS_OK) {
        cis_httpd_free(s);
        return code;
    }
    *out_server = s;
    return CIS_OK;
}

const char *cis_httpd_address(const cis_httpd *s)
{
    return s->address;
}

bool cis_httpd_is_loopback(const cis_httpd *s)
{
    return s->loopback;
}

static void close_all(cis_httpd *s)
{
    while (s->conns != NULL) {
        cis_httpd_conn_close(s->conns);
    }
    cis_httpd_conns_free(s);
}

static void close_listener(cis_httpd *s)
{
    if (s->listener >= 0) {
        close(s->listener);
        s->listener = -1;
    }
}

/* ---- a turn of the loop ---- */

static cis_httpd_exchange *next_ready(cis_httpd *s, struct httpd_conn **out) CIS_TAKES(httpd_lock)
{
    cis_mutex_lock(&s->shared->lock, httpd_lock);
    cis_httpd_exchange *x = s->shared->ready;
    if (x != NULL) {
        s->shared->ready = x->next;
        x->listed = false;
        *out = x->conn;
    }
    cis_mutex_unlock(&s->shared->lock, httpd_lock);
    return x;
}

static void flush_ready(cis_httpd *s)
{
    cis_httpd_exchange *x;
    struct httpd_conn *conn = NULL;
    while ((x = next_ready(s, &conn)) != NULL) {
        if (conn != NULL) {
            cis_httpd_conn_flush(conn);
        }
        cis_httpd_unref(x);
    }
}

void cis_httpd_free(cis_httpd *s)
{
    if (s == NULL) {
        return;
    }
    close_all(s);
    close_listener(s);
    if (s->shared != NULL) {
        flush_ready(s); /* answered while all were closed: it holds them, as they hold it */
    }
    if (s->epoll >= 0) {
        close(s->epoll);
    }
    cis_httpd_shared_unref(s->shared);
    cis_free(s);
}

static void close_late(cis_httpd *s)
{
    uint64_t now = cis_clock_mono_ns();
    for (struct httpd_conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (c->deadline_ns <= now) {
            cis_httpd_conn_late(c);
        }
    }
}

/* While too much waits to be read, whoever has most of it and had time to read it is closed, one at
 * a look: it is he who keeps others from their calls. */
static void close_fullest(cis_httpd *s)
{
    uint64_t now = cis_clock_mono_ns();
    struct httpd_conn *most = NULL;
    if (atomic_load(&s->shared->waiting) <= s->o.answers_max) {
        return;
    }
    for (struct httpd_conn *c = s->conns; c != NULL; c = c->next) {
        if (c->owed > (most != NULL ? most->owed : 0) &&
            cis_clock_after(c->since_ns, s->o.full_ns) <= now) {
            most = c;
        }
    }
    if (most != NULL) {
        cis_httpd_conn_close(most);
    }
}

/* Nothing new is taken; who waits for an answer has a while to get it. */
static void end(cis_httpd *s, uint64_t *out_until_ns)
{
    s->ending = true;
    close_listener(s);
    for (struct httpd_conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (c->state != CONN_BUSY && c->state != CONN_DRAIN) {
            cis_httpd_conn_close(c);
        }
    }
    if (s->o.ending != NULL) {
        s->o.ending(s->o.self);
    }
    *out_until_ns = cis_clock_after(cis_clock_mono_ns(), s->o.end_ns);
}

static cis_code turn(cis_httpd *s, struct cis_error *err)
{
    struct epoll_event events[EVENTS];
    bool accepts = false;
    bool ticks = s->nconns != 0 || s->ending || s->rest_ns != 0;
    int n = epoll_wait(s->epoll, events, EVENTS, ticks ? TICK_MS : -1);
    if (n < 0 && errno != EINTR) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s: epoll", s->address);
    }
    for (int i = 0; i < n; i++) {
        void *what = events[i].data.ptr;
        accepts = accepts || what == &s->listener;
        if (what != &s->listener && what != &s->shared && what != &s->o.cancel) {
            cis_httpd_conn_ready(what, events[i].events);
        }
    }
    flush_ready(s);
    if (accepts && s->listener >= 0 && s->rest_ns <= cis_clock_mono_ns()) {
        s->rest_ns = 0;
        cis_httpd_accept(s);
    } else if (accepts) {
        struct timespec rest = {.tv_nsec = 10 * 1000 * 1000}; /* descriptors ran out */
        nanosleep(&rest, NULL);
    }
    return CIS_OK;
}

cis_code cis_httpd_serve(cis_httpd *s, struct cis_error *err)
{
    uint64_t looked_ns = 0, until_ns = CIS_NEVER;
    cis_code code = CIS_OK;
    int cancel = cis_cancel_fd(s->o.cancel);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &s->o.cancel};
    if (cancel < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, cancel, &event) != 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s: epoll", s->address);
    }
    while (code == CIS_OK && (!s->ending || s->nconns != 0)) {
        code = turn(s, err);
        uint64_t now = cis_clock_mono_ns();
        if (now - looked_ns >= TICK_MS * CIS_NS_PER_MS) {
            looked_ns = now;
            close_late(s);
            close_fullest(s);
        }
        if (!s->ending && cis_cancel_fired(s->o.cancel)) {
            end(s, &until_ns);
        }
        if (now >= until_ns) {
            close_all(s);
        }
        cis_httpd_conns_free(s);
    }
    close_listener(s);
    close_all(s);
    return code;
}
