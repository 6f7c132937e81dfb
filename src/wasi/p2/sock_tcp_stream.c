/* Streams over a TCP connection. What check-write has promised is taken: nearly always by the
 * kernel; what it does not take after all waits here, and goes out whenever the run waits. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "base/mem.h"
#include "wasi/p2/sockets.h"

static struct p2_sock *of(struct p2_source *self)
{
    return (struct p2_sock *)self;
}

static bool alive(const struct p2_sock *s)
{
    return cis_sock_state(s->sock) == CIS_SOCK_CONNECTED;
}

/* ---- sending ---- */

/* Sends what it can; an error stays for the next who asks. */
static size_t send_some(struct p2_sock *s, struct cis_bytes data)
{
    size_t sent = 0;
    while (sent < data.len) {
        size_t n;
        bool end = false;
        struct cis_bytes rest = {data.ptr + sent, data.len - sent};
        enum cis_sock_code code = cis_sock_send(s->sock, rest, &n, &end);
        if (code == CIS_SOCK_AGAIN) {
            break;
        }
        if (code != CIS_SOCK_OK) {
            s->failed = end ? EPIPE : cis_sock_errno(code);
            break;
        }
        sent += n;
    }
    return sent;
}

/* What is pending; when it is gone, what waited for that is done. */
static void push(struct p2_sock *s)
{
    if (s->pending.len == 0) {
        return;
    }
    cis_p2_held_gone(&s->pending, send_some(s, p2_held_bytes(&s->pending)));
    if (s->failed != 0) {
        cis_p2_held_gone(&s->pending, s->pending.len); /* nobody will have it */
    }
    if (s->pending.len == 0 && s->out_shut && alive(s)) {
        cis_sock_shutdown(s->sock, SHUT_WR);
    }
    if (s->pending.len == 0 && s->handles == 0) {
        cis_sock_close(s->sock);
    }
}

void cis_p2_tcp_shut_out(struct p2_sock *s)
{
    s->out_shut = true;
    if (s->pending.len == 0 && alive(s)) {
        cis_sock_shutdown(s->sock, SHUT_WR);
    }
}

static cis_code no_room(cis_engine_instance *instance)
{
    struct cis_budget *budget = cis_engine_instance_budget(instance);
    return cis_engine_instance_limit(instance, CIS_E_BUDGET, "host-bytes", budget->limit,
                                     budget->used + P2_CHUNK, NULL);
}

/* Keeps what the kernel did not take, behind what it did not take before. */
static int keep(cis_engine_instance *instance, struct p2_sock *s, struct cis_bytes rest)
{
    struct cis_error why;
    bool first = s->pending.at == NULL;
    if (first && cis_budget_charge(cis_engine_instance_budget(instance), P2_CHUNK, "socket",
                                   &why) != CIS_OK) {
        (void)no_room(instance);
        return ENOBUFS;
    }
    int rc = cis_p2_held_add(instance, &s->pending, rest);
    if (first && s->pending.at == NULL) {
        cis_budget_release(cis_engine_instance_budget(instance), P2_CHUNK);
    }
    cis_p2_source_busy(instance, &s->base, s->pending.len != 0);
    return rc;
}

static void settle(cis_engine_instance *instance, struct p2_sock *s)
{
    push(s);
    if (s->pending.len == 0) {
        cis_p2_source_busy(instance, &s->base, false);
    }
}

/* ---- the source ---- */

static void wish(struct p2_source *self, enum p2_way way, struct p2_wish *out)
{
    struct p2_sock *s = of(self);
    enum cis_sock_state state = cis_sock_state(s->sock);
    bool waits = way == P2_STATE ? state == CIS_SOCK_CONNECTING || state == CIS_SOCK_LISTENING
                 : way == P2_READS
                     ? alive(s) && !s->in_shut
                     : alive(s) && (s->pending.len != 0 || (!s->out_shut && s->failed == 0));
    if (!waits || !cis_sock_wish(s->sock, way == P2_WRITES, &out->fd, &out->events)) {
        *out = (struct p2_wish){.fd = -1};
    }
}

static bool ready(cis_engine_instance *instance, struct p2_source *self, enum p2_way way)
{
    struct p2_sock *s = of(self);
    if (way != P2_WRITES) {
        return true;
    }
    settle(instance, s);
    return s->pending.len == 0 &&
           (!alive(s) || s->failed != 0 || s->out_shut || cis_sock_room(s->sock) > 0);
}

static int tcp_read(cis_engine_instance *instance, struct p2_source *self, uint8_t *to, size_t cap,
                    size_t *out_n, bool *out_end)
{
    struct p2_sock *s = of(self);
    (void)instance;
    if (s->in_shut || !alive(s)) {
        *out_end = true;
        return 0;
    }
    return cis_sock_errno(cis_sock_receive(s->sock, to, cap, out_n, out_end));
}

/* An error is told once; then the stream is closed. */
static int fault(struct p2_sock *s)
{
    int rc = s->failed;
    s->failed = rc != 0 ? EPIPE : 0;
    return rc;
}

static int room(cis_engine_instance *instance, struct p2_source *self, size_t *out_n)
{
    struct p2_sock *s = of(self);
    settle(instance, s);
    *out_n = 0;
    if (s->failed != 0) {
        return fault(s);
    }
    if (s->out_shut || !alive(s)) {
        return EPIPE;
    }
    if (s->pending.len == 0) {
        size_t n = cis_sock_room(s->sock);
        *out_n = n < P2_CHUNK ? n : P2_CHUNK;
    }
    return 0;
}

static int tcp_write(cis_engine_instance *instance, struct p2_source *self, struct cis_bytes data)
{
    struct p2_sock *s = of(self);
    if (s->failed != 0) {
        return fault(s);
    }
    if (s->out_shut || !alive(s)) {
        return EPIPE;
    }
    settle(instance, s);
    size_t n = s->pending.len == 0 && s->failed == 0 ? send_some(s, data) : 0;
    if (s->failed != 0) {
        return fault(s);
    }
    return n < data.len ? keep(instance, s, cis_bytes_of(data.ptr + n, data.len - n)) : 0;
}

static int flush(cis_engine_instance *instance, struct p2_source *self)
{
    struct p2_sock *s = of(self);
    settle(instance, s);
    return s->failed != 0 ? fault(s) : s->pending.len != 0 ? EAGAIN : 0;
}

static void tcp_close(struct cis_host *host, struct p2_source *self, enum p2_way way)
{
    struct p2_sock *s = of(self);
    (void)host;
    if (way == P2_READS) {
        s->in_shut = true;
        if (alive(s)) {
            cis_sock_shutdown(s->sock, SHUT_RD);
        }
    } else if (way == P2_WRITES) {
        cis_p2_tcp_shut_out(s);
    } else if (!alive(s)) {
        cis_sock_close(s->sock); /* nobody listens or connects for nobody */
    }
    cis_p2_sock_let_go(s);
}

const struct p2_source_ops cis_p2_tcp_ops = {.wish = wish,
                                             .ready = ready,
                                             .read = tcp_read,
                                             .room = room,
                                             .write = tcp_write,
                                             .flush = flush,
                                             .close = tcp_close,
                                             .free = cis_p2_sock_free};
