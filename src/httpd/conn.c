/* One connection: its requests one after the other. Only the thread that serves is in here. What
 * ends a connection sets its state; it is freed when no event of this turn can name it any more. */
#include "httpd/internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"

#define TAIL ((size_t)16384) /* read at once, behind the head */
#define IN_MAX (CIS_HTTPD_HEAD_MAX + TAIL)
#define OUT_MAX ((size_t)65536) /* of what this file itself says, and is kept of a buffer */
#define PIECE ((size_t)65536)
#define DRAIN_NS (2 * CIS_NS_PER_S)
#define REST_NS (100 * CIS_NS_PER_MS)

#define KEEP_IDLE_S 60
#define KEEP_EACH_S 20
#define KEEP_MOST 3

static void deadline(struct httpd_conn *c, uint64_t span_ns)
{
    c->deadline_ns = cis_clock_after(cis_clock_mono_ns(), span_ns);
}

/* Asks for the events that are missing. `came`: those that came; one without use is asked for no
 * longer. So a request that is answered at once costs no call of epoll. */
static void watch(struct httpd_conn *c, uint32_t came)
{
    uint32_t want = (!c->half ? EPOLLRDHUP : 0u) | (c->state != CONN_BUSY ? EPOLLIN : 0u) |
                    (c->out.len != c->out_at ? EPOLLOUT : 0u);
    bool needed = (want & ~c->events) != 0 || (came & c->events & ~want) != 0;
    struct epoll_event event = {.events = want, .data.ptr = c};
    if (c->state != CONN_GONE && needed &&
        epoll_ctl(c->server->epoll, EPOLL_CTL_MOD, c->fd, &event) == 0) {
        c->events = want;
    }
}

/* ---- the end ---- */

static void forget_body(struct httpd_conn *c)
{
    c->server->bodies -= c->body.len;
    cis_buf_done(&c->body);
}

static void leave_exchange(struct httpd_conn *c) CIS_TAKES(httpd_lock)
{
    cis_httpd_exchange *x = c->exchange;
    cis_httpd *s = c->server;
    if (x == NULL) {
        return;
    }
    cis_mutex_lock(&s->shared->lock, httpd_lock);
    bool open = !x->ended;
    void *tag = x->tag;
    x->conn = NULL;
    cis_mutex_unlock(&s->shared->lock, httpd_lock);
    c->exchange = NULL;
    s->busy--;
    if (open && tag != NULL && s->o.gone != NULL) {
        s->o.gone(s->o.self, tag);
    }
    cis_httpd_unref(x);
}

void cis_httpd_conn_close(struct httpd_conn *c)
{
    cis_httpd *s = c->server;
    if (c->state == CONN_GONE) {
        return;
    }
    c->state = CONN_GONE;
    leave_exchange(c);
    forget_body(c);
    atomic_fetch_sub(&s->shared->waiting, c->owed);
    if (c->out_at < c->out.len) { /* the kernel is not to keep for a peer what he does not read */
        const struct linger none = {.l_onoff = 1};
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    /* A child that was forked and has not become its program yet has this socket too: without this,
     * epoll would go on naming a connection that is no more. */
    struct epoll_event none = {0};
    (void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->fd, &none);
    close(c->fd);
    *(c->before != NULL ? &c->before->next : &s->conns) = c->next;
    if (c->next != NULL) {
        c->next->before = c->before;
    }
    s->nconns--;
    c->next = s->gone;
    s->gone = c;
}

void cis_httpd_conns_free(cis_httpd *s)
{
    while (s->gone != NULL) {
        struct httpd_conn *c = s->gone;
        s->gone = c->next;
        cis_buf_done(&c->in);
        cis_buf_done(&c->out);
        cis_free(c);
    }
}

/* ---- writing ---- */

static void written(struct httpd_conn *c)
{
    atomic_fetch_sub(&c->server->shared->waiting, c->owed);
    c->owed = c->out_at = 0;
    if (c->out.cap > OUT_MAX) {
        cis_buf_done(&c->out);
    }
    c->out.max = OUT_MAX;
    cis_buf_reset(&c->out);
    if (c->state == CONN_DRAIN) {
        shutdown(c->fd, SHUT_WR);
        deadline(c, DRAIN_NS);
    } else if (c->state == CONN_BUSY) {
        c->deadline_ns = CIS_NEVER;
    }
}

/* n bytes were written: so much of the time to read is given back, and no more than there was. Who
 * reads a byte now and then does not keep an answer here for ever. */
static void wrote(struct httpd_conn *c, size_t n)
{
    const struct cis_httpd_options *o = &c->server->o;
    size_t counted = n < c->owed ? n : c->owed;
    uint64_t most = cis_clock_after(cis_clock_mono_ns(), o->stall_ns);
    c->out_at += n;
    c->owed -= counted;
    atomic_fetch_sub(&c->server->shared->waiting, counted);
    if (c->state == CONN_BUSY || c->state == CONN_DRAIN) {
        uint64_t more = cis_clock_after(c->deadline_ns, n * CIS_NS_PER_S / o->read_min);
        c->deadline_ns = more < most ? more : most;
    }
}

static void write_out(struct httpd_conn *c)
{
    while (c->out_at < c->out.len) {
        ssize_t n = send(c->fd, c->out.ptr + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        }
        if (n <= 0) {
            cis_httpd_conn_close(c);
            return;
        }
        wrote(c, (size_t)n);
    }
    written(c);
}

/* After what is in out nothing more is said: what still comes is thrown away for a while, because
 * closing over unread bytes takes the answer away from the peer. */
static void drain(struct httpd_conn *c)
{
    forget_body(c);
    c->state = CONN_DRAIN;
    deadline(c, c->server->o.stall_ns);
    c->since_ns = cis_clock_mono_ns();
    write_out(c);
}

static void refuse(struct httpd_conn *c, const struct cis_httpd_refusal *why)
{
    struct cis_str text = cis_str_of(why->text);
    bool silent = cis_str_is(c->head.request.method, "HEAD");
    cis_httpd_head_write(&c->out, why->status, why->type != NULL ? why->type : "text/plain",
                         why->fields, text.len + 1, true);
    if (!silent) {
        cis_buf_str(&c->out, text);
        cis_buf_byte(&c->out, '\n');
    }
    drain(c);
}

static void refuse_for(struct httpd_conn *c, unsigned status, const char *text)
{
    struct cis_httpd_refusal why;
    cis_httpd_refuse(&why, status, "%s", text);
    refuse(c, &why);
}

/* ---- requests ---- */

static void begin(struct httpd_conn *c)
{
    cis_httpd *s = c->server;
    c->exchange = cis_httpd_exchange_new(c);
    if (c->exchange == NULL) {
        refuse_for(c, 503, "out of memory");
        return;
    }
    c->state = CONN_BUSY;
    c->closing = c->head.close;
    c->deadline_ns = CIS_NEVER;
    s->busy++;
    c->head.request.body = cis_buf_view(&c->body);
    s->o.request(s->o.self, c->exchange, &c->head.request);
    forget_body(c);
    memmove(c->in.ptr, c->in.ptr + c->used, c->in.len - c->used);
    c->in.len -= c->used;
    c->head = (struct httpd_head){0};
    c->seen = c->used = 0;
}

/* False: more has to be read. */
static bool take_head(struct httpd_conn *c)
{
    cis_httpd *s = c->server;
    struct cis_httpd_refusal why = {0};
    enum httpd_status status = cis_httpd_head(cis_buf_bytes(&c->in), &c->seen, &c->head, &why);
    if (status == HTTPD_PART) {
        return false;
    }
    if (status == HTTPD_WHOLE) {
        c->head.request.local = cis_str_of(c->local);
        s->o.head(s->o.self, &c->head.request, &why);
        if (why.status == 0 && c->head.length > s->o.body_max) {
            cis_httpd_refuse(&why, 413, "a body of more than %zu bytes", s->o.body_max);
        } else if (why.status == 0 && c->head.length > s->o.bodies_max - s->bodies) {
            cis_httpd_refuse(&why, 503, "too many bodies at once: try again");
        }
    }
    if (why.status != 0) {
        refuse(c, &why);
        return true;
    }
    c->known = true;
    c->active_ns = cis_clock_mono_ns();
    c->used = c->head.len;
    if (c->head.body == HTTPD_NO_BODY) {
        begin(c);
        return true;
    }
    if (c->head.expects && c->in.len == c->used) {
        cis_buf_text(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    c->state = CONN_BODY;
    c->left = c->head.length;
    c->chunks = (struct httpd_chunks){0};
    c->body = CIS_BUF_INIT(s->o.body_max);
    deadline(c, s->o.body_ns);
    write_out(c);
    return true;
}

/* What is behind the head belongs to the body as far as it goes. False: more has to be read. */
static bool take_body(struct httpd_conn *c)
{
    cis_httpd *s = c->server;
    struct cis_httpd_refusal why = {0};
    struct cis_bytes rest = {c->in.ptr + c->used, c->in.len - c->used};
    size_t n = rest.len, before = c->body.len;
    if (c->head.body == HTTPD_CHUNKED) {
        cis_httpd_chunks(&c->chunks, rest, &n, &c->body, &why);
    } else {
        n = c->left < n ? (size_t)c->left : n;
        cis_buf_add(&c->body, rest.ptr, n);
        c->left -= n;
    }
    s->bodies += c->body.len - before;
    if (why.status == 0 && (s->bodies > s->o.bodies_max || c->body.failed != CIS_OK)) {
        cis_httpd_refuse(&why, 503, "too many bodies at once: try again");
    }
    if (why.status != 0) {
        refuse(c, &why);
        return true;
    }
    c->used += n;
    if (c->head.body == HTTPD_CHUNKED ? c->chunks.at == CHUNK_DONE : c->left == 0) {
        begin(c);
        return true;
    }
    c->in.len = c->used = c->head.len; /* all of it was taken */
    return false;
}

static void advance(struct httpd_conn *c)
{
    bool more = true;
    while (more && (c->state == CONN_HEAD || c->state == CONN_BODY)) {
        more = c->state == CONN_HEAD ? take_head(c) : take_body(c);
    }
}

/* The answer is written: the next request, of which something may be there already. */
static void next_request(struct httpd_conn *c)
{
    leave_exchange(c);
    c->active_ns = cis_clock_mono_ns();
    if (c->closing || c->server->ending) {
        drain(c);
        return;
    }
    c->state = CONN_HEAD;
    if (c->in.len == 0) {
        cis_buf_done(&c->in); /* an idle connection holds nothing */
    }
    deadline(c, c->in.len != 0 ? c->server->o.head_ns : c->server->o.idle_ns);
    advance(c);
}

/* A reader who is always a little behind has not all that was ever told to him kept. Half of it at
 * a time: each byte is moved once on the average. */
static void forget_written(struct httpd_conn *c)
{
    if (c->out_at != 0 && c->out_at >= c->out.len - c->out_at) {
        c->out.len -= c->out_at;
        memmove(c->out.ptr, c->out.ptr + c->out_at, c->out.len);
        c->out_at = 0;
    }
}

/* Moves what the exchange has to out. True: that was the end of it. */
static bool take_answer(struct httpd_conn *c) CIS_TAKES(httpd_lock)
{
    cis_httpd_exchange *x = c->exchange;
    struct cis_buf more;
    cis_mutex_lock(&c->server->shared->lock, httpd_lock);
    bool ended = x->ended, lost = x->lost;
    more = x->out;
    x->out = CIS_BUF_INIT(CIS_MEM_MAX);
    cis_mutex_unlock(&c->server->shared->lock, httpd_lock);
    c->owed += more.len;
    if (c->out.len == c->out_at && more.len != 0) {
        cis_buf_done(&c->out);
        c->out = more;
        c->out_at = 0;
    } else {
        forget_written(c);
        c->out.max = CIS_MEM_MAX;
        cis_buf_str(&c->out, cis_buf_view(&more));
        cis_buf_done(&more);
    }
    if (lost || c->out.failed != CIS_OK ||
        (!ended && c->out.len - c->out_at > c->server->o.stream_max)) {
        cis_httpd_conn_close(c);
        return false;
    }
    return ended;
}

void cis_httpd_conn_flush(struct httpd_conn *c)
{
    if (c->state != CONN_BUSY) {
        return;
    }
    bool fresh = c->out.len == c->out_at;
    bool ended = take_answer(c);
    fresh = fresh || c->deadline_ns == CIS_NEVER;
    if (c->state == CONN_BUSY && fresh && c->out.len != 0) {
        deadline(c, c->server->o.stall_ns);
        c->since_ns = cis_clock_mono_ns();
    }
    if (c->state == CONN_BUSY) {
        write_out(c);
    }
    if (c->state == CONN_BUSY && ended && c->out.len == 0) {
        next_request(c);
    }
    watch(c, 0);
}

/* ---- reading ---- */

/* A body with a length is read to where it belongs, everything else behind what is in `in`. */
static void read_in(struct httpd_conn *c)
{
    bool direct = c->state == CONN_BODY && c->head.body == HTTPD_LENGTH;
    if (c->in.ptr == NULL) {
        c->in = CIS_BUF_INIT(IN_MAX);
    }
    struct cis_buf *to = direct ? &c->body : &c->in;
    size_t room = direct ? (c->left < PIECE ? (size_t)c->left : PIECE) : IN_MAX - to->len;
    uint8_t *at = cis_buf_reserve(to, room);
    if (at == NULL) {
        refuse_for(c, 503, "out of memory");
        return;
    }
    ssize_t n = recv(c->fd, at, room, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) {
        return;
    }
    if (n <= 0) {
        cis_httpd_conn_close(c);
        return;
    }
    if (c->state == CONN_HEAD && c->in.len == 0) {
        deadline(c, c->server->o.head_ns);
    }
    to->len += (size_t)n;
    if (direct) {
        c->left -= (size_t)n;
        c->server->bodies += (size_t)n;
    }
    advance(c);
}

static void throw_away(struct httpd_conn *c)
{
    char piece[16384];
    ssize_t n = recv(c->fd, piece, sizeof piece, 0);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) {
        cis_httpd_conn_close(c);
    }
}

/* He says no more. Whether he reads cannot be seen: where that he goes means something he is gone,
 * else he is answered. */
static bool half_closed(struct httpd_conn *c) CIS_TAKES(httpd_lock)
{
    cis_httpd_exchange *x = c->exchange;
    cis_mutex_lock(&c->server->shared->lock, httpd_lock);
    c->half = x->half = x->tag == NULL;
    cis_mutex_unlock(&c->server->shared->lock, httpd_lock);
    return c->half;
}

void cis_httpd_conn_ready(struct httpd_conn *c, uint32_t events)
{
    if (c->state == CONN_GONE) {
        return;
    }
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 ||
        (c->state == CONN_BUSY && (events & EPOLLRDHUP) != 0 && !half_closed(c))) {
        cis_httpd_conn_close(c);
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        write_out(c);
        if (c->state == CONN_BUSY && c->out.len == 0) {
            cis_httpd_conn_flush(c); /* it may have been the end */
        }
    }
    if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) {
        if (c->state == CONN_HEAD || c->state == CONN_BODY) {
            read_in(c);
        } else if (c->state == CONN_DRAIN) {
            throw_away(c);
        }
    }
    watch(c, events);
}

void cis_httpd_conn_late(struct httpd_conn *c)
{
    bool begun = c->state == CONN_BODY || (c->state == CONN_HEAD && c->in.len != 0);
    if (!begun) {
        cis_httpd_conn_close(c);
        return;
    }
    refuse_for(c, 408, "the request took too long");
    watch(c, 0);
}

/* ---- new ones ---- */

/* Who is closed first when there is room for no more: a lower rank, then whoever has been waiting
 * longest. Silent connections of anybody are not to take the place of clients. */
static unsigned rank(const struct httpd_conn *c)
{
    return !c->known || c->half ? 0 : c->state == CONN_BODY ? 2 : 1;
}

static bool make_room(cis_httpd *s)
{
    struct httpd_conn *oldest = NULL;
    for (struct httpd_conn *c = s->conns; c != NULL; c = c->next) {
        if ((c->state != CONN_BUSY || c->half) &&
            (oldest == NULL || rank(c) < rank(oldest) ||
             (rank(c) == rank(oldest) && c->active_ns < oldest->active_ns))) {
            oldest = c;
        }
    }
    if (oldest != NULL) {
        cis_httpd_conn_close(oldest);
    }
    return oldest != NULL;
}

static bool add(cis_httpd *s, int fd)
{
    struct httpd_conn *c = cis_zalloc(sizeof *c);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
    struct sockaddr_storage local = {0};
    socklen_t len = sizeof local;
    int one = 1, idle = KEEP_IDLE_S, each = KEEP_EACH_S, most = KEEP_MOST;
    if (c == NULL || getsockname(fd, (struct sockaddr *)&local, &len) != 0 ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        cis_free(c);
        return false;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* A peer that went without a word is found out, though nothing is told him for hours. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &each, sizeof each);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &most, sizeof most);
    cis_httpd_name(&local, c->local);
    c->server = s;
    c->fd = fd;
    c->events = event.events;
    c->out = CIS_BUF_INIT(OUT_MAX);
    c->active_ns = cis_clock_mono_ns();
    c->next = s->conns;
    if (s->conns != NULL) {
        s->conns->before = c;
    }
    s->conns = c;
    s->nconns++;
    deadline(c, s->o.head_ns);
    return true;
}

void cis_httpd_accept(cis_httpd *s)
{
    for (unsigned i = 0; i < 64; i++) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            make_room(s);
            s->rest_ns = cis_clock_after(cis_clock_mono_ns(), REST_NS);
        }
        if (fd < 0) {
            return;
        }
        if ((s->nconns >= s->o.connections_max && !make_room(s)) || !add(s, fd)) {
            close(fd);
        }
    }
}
