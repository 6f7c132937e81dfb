/* Sockets of WASI 0.2, one scene a run; both sides are in this program, so that each scene is one
 * guest with one poll. Prints "ok", or where it went otherwise:
 *   tcp 4|6 | many N 4|6 | big BYTES | states | options 4|6 | refused | inuse | reset PORT |
 * early N | forget N | unlimited N | udp 4|6 | udp-peer | udp-trap | udp-crowd N | drops | denied |
 * lookup NAME | connect NAME PORT | hang accept|connect|read|udp|write | linger */
#include "wasi_net.h"

static handle net;

static void fail(void)
{
    fflush(stdout);
    exit(1);
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("net.c:%d: %s\n", __LINE__, #condition);                                        \
            fail();                                                                                \
        }                                                                                          \
    } while (0)
#define IS(call, expected)                                                                         \
    do {                                                                                           \
        int got_ = (call);                                                                         \
        if (got_ != (expected)) {                                                                  \
            printf("net.c:%d: %s is %d\n", __LINE__, #call, got_);                                 \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

#define STEP(name)                                                                                 \
    static int do_##name(handle h)                                                                 \
    {                                                                                              \
        union result r;                                                                            \
        name(h, &r);                                                                               \
        return error_at(&r, 1);                                                                    \
    }
STEP(tcp_finish_bind)
STEP(tcp_start_listen)
STEP(tcp_finish_listen)
STEP(udp_finish_bind)

static handle tcp_new(bool v6)
{
    union result r;
    tcp_create(v6, &r);
    IS(error_at(&r, 4), OK);
    return r.w[1];
}

static handle udp_new(bool v6)
{
    union result r;
    udp_create(v6, &r);
    IS(error_at(&r, 4), OK);
    return r.w[1];
}

static int bind_start(handle s, struct address a)
{
    union result r;
    tcp_start_bind(s, net, FLAT(a), &r);
    return error_at(&r, 1);
}

static int connect_start(handle s, struct address a)
{
    union result r;
    tcp_start_connect(s, net, FLAT(a), &r);
    return error_at(&r, 1);
}

static int connect_finish(handle s, handle *in, handle *out)
{
    union result r;
    tcp_finish_connect(s, &r);
    if (r.b[0] == 0) {
        *in = r.w[1];
        *out = r.w[2];
    }
    return error_at(&r, 4);
}

static void block_on(handle pollable)
{
    pollable_block(pollable);
    drop_pollable(pollable);
}

static int connect_wait(handle s, handle *in, handle *out)
{
    int code;
    while ((code = connect_finish(s, in, out)) == AGAIN) {
        block_on(tcp_subscribe(s));
    }
    return code;
}

static int accept_now(handle s, handle *sock, handle *in, handle *out)
{
    union result r;
    tcp_accept(s, &r);
    if (r.b[0] == 0) {
        *sock = r.w[1];
        *in = r.w[2];
        *out = r.w[3];
    }
    return error_at(&r, 4);
}

static void accept_wait(handle s, handle *sock, handle *in, handle *out)
{
    int code;
    while ((code = accept_now(s, sock, in, out)) == AGAIN) {
        block_on(tcp_subscribe(s));
    }
    IS(code, OK);
}

static struct address local_of(handle s)
{
    union result r;
    tcp_local(s, &r);
    IS(error_at(&r, 4), OK);
    return address_at(&r.b[4]);
}

static handle listen_on(bool v6, struct address *where)
{
    handle s = tcp_new(v6);
    IS(bind_start(s, loopback(v6, 0)), OK);
    IS(do_tcp_finish_bind(s), OK);
    IS(do_tcp_start_listen(s), OK);
    IS(do_tcp_finish_listen(s), OK);
    *where = local_of(s);
    CHECK(where->port != 0 && where->v6 == v6);
    return s;
}

/* Bytes now: how many, CLOSED and FAILED are negative. */
static int network_error;
static long read_now(handle in, void *to, size_t most)
{
    union result r;
    in_read(in, most, &r);
    if (r.b[0] != 0) {
        return -stream_code(&r, &network_error);
    }
    memcpy(to, (void *)r.w[1], r.w[2]);
    if (r.w[2] != 0) {
        free((void *)r.w[1]);
    }
    return (long)r.w[2];
}

static long read_wait(handle in, void *to, size_t most)
{
    long n;
    while ((n = read_now(in, to, most)) == 0) {
        block_on(in_subscribe(in));
    }
    return n;
}

static long may_write(handle out)
{
    union result r;
    out_check(out, &r);
    return r.b[0] == 0 ? (long)r.d[1] : -(r.b[8] == 1 ? CLOSED : (drop_error(r.w[3]), FAILED));
}

static int write_now(handle out, const void *at, size_t n)
{
    union result r;
    out_write(out, at, n, &r);
    return r.b[0] == 0 ? OK : stream_code(&r, &network_error);
}

static int write_flush(handle out, const void *at, size_t n)
{
    union result r;
    out_blocking_write(out, at, n, &r);
    return r.b[0] == 0 ? OK : stream_code(&r, &network_error);
}

static int shut(handle s, int how)
{
    union result r;
    tcp_shutdown(s, how, &r);
    return error_at(&r, 1);
}

struct pair {
    handle listener, client, in, out, server, sin, sout;
};

static struct pair connected(bool v6)
{
    struct pair p;
    struct address at;
    p.listener = listen_on(v6, &at);
    p.client = tcp_new(v6);
    IS(connect_start(p.client, at), OK);
    accept_wait(p.listener, &p.server, &p.sin, &p.sout);
    IS(connect_wait(p.client, &p.in, &p.out), OK);
    return p;
}

static void pair_drop(struct pair *p)
{
    drop_in(p->in), drop_out(p->out), drop_tcp(p->client);
    drop_in(p->sin), drop_out(p->sout), drop_tcp(p->server);
    drop_tcp(p->listener);
}

/* ---- TCP ---- */

static void tcp(bool v6)
{
    char got[64];
    struct pair p = connected(v6);
    union result r;
    IS(write_flush(p.out, "hello", 5), OK);
    IS((int)read_wait(p.sin, got, sizeof got), 5);
    CHECK(memcmp(got, "hello", 5) == 0);
    IS((int)read_now(p.sin, got, 0), 0); /* nothing is there, and it goes on */
    IS(write_flush(p.out, "x", 1), OK);
    block_on(in_subscribe(p.sin));
    IS((int)read_now(p.sin, got, 0), 0); /* a byte is there */
    IS((int)read_now(p.sin, got, 1), 1);
    IS(shut(p.client, 1), OK);
    IS(shut(p.client, 1), OK);
    block_on(in_subscribe(p.sin));
    IS((int)read_now(p.sin, got, 0), -CLOSED);
    IS((int)read_now(p.sin, got, 0), -CLOSED);
    IS((int)read_wait(p.sin, got, sizeof got), -CLOSED);
    IS((int)read_now(p.sin, got, sizeof got), -CLOSED);
    IS((int)may_write(p.out), -CLOSED);
    IS(write_flush(p.sout, "half closed", 11), OK);
    IS((int)read_wait(p.in, got, sizeof got), 11);
    drop_out(p.sout); /* says the end by itself */
    IS((int)read_wait(p.in, got, sizeof got), -CLOSED);
    tcp_remote(p.client, &r);
    IS(error_at(&r, 4), OK);
    CHECK(address_at(&r.b[4]).port == local_of(p.listener).port);
    IS(tcp_family(p.client), v6);
    CHECK(tcp_is_listening(p.listener) && !tcp_is_listening(p.client));
    IS(shut(p.client, 0), OK);
    IS(shut(p.listener, 2), STATE);
}

struct talk {
    handle sock, in, out;
    int state; /* client: 0 connecting, 1 answer awaited, 2 over; server: 0 reading, 2 over */
    char got[16];
    size_t n;
};

static void many(int n, bool v6)
{
    struct address at;
    handle listener = listen_on(v6, &at);
    struct talk *clients = calloc(n, sizeof *clients), *servers = calloc(n, sizeof *servers);
    handle *polled = calloc(2 * n + 1, sizeof *polled);
    int *who = calloc(2 * n + 1, sizeof *who), accepted = 0, done = 0, polls = 0;
    union result r;
    tcp_set_backlog(listener, 1024, &r);
    IS(error_at(&r, 1), OK);
    for (int i = 0; i < n; i++) {
        clients[i].sock = tcp_new(v6);
        IS(connect_start(clients[i].sock, at), OK);
    }
    while (done < n) {
        int np = 0;
        for (int i = 0; i < n; i++) {
            struct talk *c = &clients[i], *s = &servers[i];
            if (c->state != 2) {
                who[np] = i;
                polled[np++] = c->state == 0 ? tcp_subscribe(c->sock) : in_subscribe(c->in);
            }
            if (i < accepted && s->state != 2) {
                who[np] = n + i;
                polled[np++] = in_subscribe(s->in);
            }
        }
        if (accepted < n) {
            who[np] = 2 * n;
            polled[np++] = tcp_subscribe(listener);
        }
        poll_many(polled, np, &r);
        for (int i = 0; i < np; i++) {
            drop_pollable(polled[i]);
        }
        const uint32_t *ready = (const uint32_t *)r.w[0];
        CHECK(r.w[1] != 0);
        polls++;
        for (uint32_t k = 0; k < r.w[1]; k++) {
            int i = who[ready[k]];
            if (i == 2 * n) {
                struct talk *s = &servers[accepted];
                int code = accept_now(listener, &s->sock, &s->in, &s->out);
                CHECK(code == OK || code == AGAIN);
                accepted += code == OK;
            } else if (i >= n) { /* echo */
                struct talk *s = &servers[i - n];
                long got = read_now(s->in, s->got, sizeof s->got);
                CHECK(got >= 0 || got == -CLOSED);
                if (got > 0) {
                    IS(write_flush(s->out, s->got, got), OK);
                } else if (got == -CLOSED) {
                    s->state = 2;
                    drop_in(s->in), drop_out(s->out), drop_tcp(s->sock);
                }
            } else if (clients[i].state == 0) {
                struct talk *c = &clients[i];
                int code = connect_finish(c->sock, &c->in, &c->out);
                CHECK(code == OK || code == AGAIN);
                if (code == OK) {
                    char text[16];
                    snprintf(text, sizeof text, "client %08d", i);
                    IS(write_flush(c->out, text, 15), OK);
                    c->state = 1;
                }
            } else {
                struct talk *c = &clients[i];
                long got = read_now(c->in, c->got + c->n, sizeof c->got - c->n);
                CHECK(got >= 0);
                c->n += got;
                if (c->n == 15) {
                    char text[16];
                    snprintf(text, sizeof text, "client %08d", i);
                    CHECK(memcmp(text, c->got, 15) == 0);
                    c->state = 2;
                    done++;
                    drop_in(c->in), drop_out(c->out), drop_tcp(c->sock);
                }
            }
        }
        free((void *)r.w[0]);
    }
    CHECK(polls > 1);
}

/* A writer that uses every promise, a reader that begins when nothing more goes. */
static void big(size_t total)
{
    struct pair p = connected(false);
    static uint8_t block[65536], got[65536];
    size_t sent = 0, received = 0;
    bool reads = false, ended = false;
    handle in = in_subscribe(p.sin), out = out_subscribe(p.out);
    while (!ended) {
        long may = sent < total ? may_write(p.out) : 0;
        CHECK(may >= 0);
        if (may > 0) {
            size_t n = total - sent < (size_t)may ? total - sent : (size_t)may;
            n = n < sizeof block ? n : sizeof block;
            for (size_t i = 0; i < n; i++) {
                block[i] = (uint8_t)((sent + i) * 7 / 5);
            }
            IS(write_now(p.out, block, n), OK);
            sent += n;
            if (sent == total) {
                drop_pollable(out);
                drop_out(p.out); /* what is still held back goes out all the same */
                reads = true;
            }
            continue;
        }
        reads = true;
        handle both[2] = {in, out};
        union result r;
        poll_many(both, sent < total ? 2 : 1, &r);
        free((void *)r.w[0]);
        long n;
        while (reads && (n = read_now(p.sin, got, sizeof got)) != 0) {
            if (n < 0) {
                IS((int)n, -CLOSED);
                ended = true;
                break;
            }
            for (long i = 0; i < n; i++) {
                CHECK(got[i] == (uint8_t)((received + i) * 7 / 5));
            }
            received += n;
        }
    }
    CHECK(received == total);
}

static void states(void)
{
    struct address at = loopback(false, 0), where;
    handle s = tcp_new(false), a, b, c;
    union result r;
    IS(do_tcp_finish_bind(s), NOT_IN_PROGRESS);
    IS(do_tcp_finish_listen(s), NOT_IN_PROGRESS);
    IS(connect_finish(s, &a, &b), NOT_IN_PROGRESS);
    IS(do_tcp_start_listen(s), STATE);
    IS(accept_now(s, &a, &b, &c), STATE);
    IS(shut(s, 2), STATE);
    tcp_local(s, &r);
    IS(error_at(&r, 4), STATE);
    tcp_remote(s, &r);
    IS(error_at(&r, 4), STATE);
    IS(bind_start(s, loopback(true, 0)), INVALID);
    IS(bind_start(s, at), OK);
    IS(bind_start(s, at), CONFLICT);
    IS(do_tcp_start_listen(s), CONFLICT);
    IS(connect_start(s, at), CONFLICT);
    IS(do_tcp_finish_bind(s), OK);
    IS(bind_start(s, at), STATE);
    IS(connect_start(s, at), INVALID); /* port 0 */
    IS(do_tcp_start_listen(s), OK);
    IS(do_tcp_finish_listen(s), OK);
    IS(do_tcp_start_listen(s), STATE);
    IS(accept_now(s, &a, &b, &c), AGAIN);
    where = local_of(s);
    IS(connect_start(s, where), STATE);
    handle t = tcp_new(true);
    IS(connect_start(t, where), INVALID);
    drop_tcp(t);
    t = tcp_new(false);
    IS(connect_start(t, where), OK);
    IS(connect_start(t, where), CONFLICT);
    IS(connect_wait(t, &a, &b), OK);
    IS(connect_finish(t, &a, &b), NOT_IN_PROGRESS);
    IS(connect_start(t, where), STATE);
    tcp_set_backlog(t, 5, &r);
    IS(error_at(&r, 1), STATE);
    tcp_set_backlog(s, 0, &r);
    IS(error_at(&r, 1), INVALID);
    CHECK(pollable_ready(tcp_subscribe(t)));
}

#define RANGE(kind, get, set, type, at_ok, big_value)                                              \
    do {                                                                                           \
        union result r_;                                                                           \
        set(s, 0, &r_);                                                                            \
        IS(error_at(&r_, 1), INVALID);                                                             \
        set(s, big_value, &r_);                                                                    \
        IS(error_at(&r_, 1), OK);                                                                  \
        set(s, 1, &r_);                                                                            \
        IS(error_at(&r_, 1), OK);                                                                  \
        memset(&r_, 0, sizeof r_);                                                                 \
        get(s, &r_);                                                                               \
        IS(error_at(&r_, at_ok), OK);                                                              \
        type value_;                                                                               \
        memcpy(&value_, &r_.b[at_ok], sizeof value_);                                              \
        CHECK(value_ != 0);                                                                        \
    } while (0)

static void options(bool v6)
{
    union result r;
    handle s = tcp_new(v6);
    RANGE(tcp, tcp_idle, tcp_set_idle, uint64_t, 8, UINT64_MAX);
    RANGE(tcp, tcp_interval, tcp_set_interval, uint64_t, 8, UINT64_MAX);
    RANGE(tcp, tcp_count, tcp_set_count, uint32_t, 4, -1);
    RANGE(tcp, tcp_hops, tcp_set_hops, uint8_t, 1, 255);
    RANGE(tcp, tcp_receive_size, tcp_set_receive_size, uint64_t, 8, UINT64_MAX);
    RANGE(tcp, tcp_send_size, tcp_set_send_size, uint64_t, 8, UINT64_MAX);
    for (int on = 1; on >= 0; on--) {
        tcp_set_keep_alive(s, on, &r);
        IS(error_at(&r, 1), OK);
        tcp_keep_alive(s, &r);
        IS(error_at(&r, 1), OK);
        CHECK(r.b[1] == on);
    }
    IS(tcp_family(s), v6);
    s = udp_new(v6);
    RANGE(udp, udp_hops, udp_set_hops, uint8_t, 1, 255);
    RANGE(udp, udp_receive_size, udp_set_receive_size, uint64_t, 8, UINT64_MAX);
    RANGE(udp, udp_send_size, udp_set_send_size, uint64_t, 8, UINT64_MAX);
    IS(udp_family(s), v6);
}

static void refused(void)
{
    handle held = tcp_new(false), s = tcp_new(false), a, b;
    union result r;
    IS(bind_start(held, loopback(false, 0)), OK);
    IS(do_tcp_finish_bind(held), OK);
    IS(connect_start(s, local_of(held)), OK);
    IS(connect_wait(s, &a, &b), REFUSED);
    IS(connect_finish(s, &a, &b), NOT_IN_PROGRESS);
    IS(connect_start(s, local_of(held)), STATE);
    tcp_keep_alive(s, &r);
    IS(error_at(&r, 1), STATE);
    CHECK(pollable_ready(tcp_subscribe(s)));
}

static void inuse(void)
{
    struct address at;
    handle s = listen_on(false, &at), t = tcp_new(false), u = udp_new(false), v = udp_new(false);
    union result r;
    IS(bind_start(t, at), IN_USE);
    at = loopback(false, 0);
    IS(bind_start(t, at), OK); /* the first one was none */
    udp_start_bind(u, net, FLAT(at), &r);
    IS(error_at(&r, 1), OK);
    IS(do_udp_finish_bind(u), OK);
    udp_local(u, &r);
    at = address_at(&r.b[4]);
    udp_start_bind(v, net, FLAT(at), &r);
    IS(error_at(&r, 1), IN_USE);
    drop_tcp(s);
}

/* The peer throws the connection away. */
static void reset(uint16_t port)
{
    char got[8];
    handle s = tcp_new(false), in, out;
    IS(connect_start(s, loopback(false, port)), OK);
    IS(connect_wait(s, &in, &out), OK);
    IS(write_flush(out, "never read", 10), OK);
    IS((int)read_wait(in, got, sizeof got), -FAILED);
    IS(network_error, RESET);
    IS((int)read_now(in, got, sizeof got), -CLOSED);
    CHECK(pollable_ready(in_subscribe(in)));
    IS(write_flush(out, "x", 1), CLOSED);
    IS((int)may_write(out), -CLOSED);
}

/* Every order in which the handles of a connection can go, with and without a pollable of each. */
/* Children first, everything else in any order. */
static void drops(void)
{
    for (int order = 0; order < 6; order++) {
        for (int polled = 0; polled < 2; polled++) {
            struct pair p = connected(false);
            handle pollables[3] = {in_subscribe(p.in), out_subscribe(p.out),
                                   tcp_subscribe(p.client)};
            int left[3] = {0, 1, 2}, n = 3, code = order;
            char got[8];
            for (int i = 0; !polled && i < 3; i++) {
                drop_pollable(pollables[i]);
            }
            while (n > 0) {
                int i = code % n, what = left[i];
                code /= n;
                left[i] = left[--n];
                if (what == 2) {
                    drop_tcp(p.listener);
                    continue;
                }
                if (polled) {
                    drop_pollable(pollables[what]);
                }
                if (what == 0) {
                    drop_in(p.in);
                } else {
                    drop_out(p.out);
                }
            }
            if (polled) {
                drop_pollable(pollables[2]);
            }
            drop_tcp(p.client);
            IS((int)read_wait(p.sin, got, sizeof got), -CLOSED);
            drop_in(p.sin), drop_out(p.sout), drop_tcp(p.server);
        }
    }
    struct address at;
    handle s = listen_on(false, &at), p = tcp_subscribe(s), a, b, t = tcp_new(false);
    CHECK(!pollable_ready(p));
    drop_pollable(p);
    drop_tcp(s); /* nobody listens any more */
    IS(connect_start(t, at), OK);
    IS(connect_wait(t, &a, &b), REFUSED);
}

static handle udp_with_streams(handle *in, handle *out);

/* A parent before its children: each of these traps. */
static void early(int which)
{
    struct pair p = connected(false);
    handle in, out, s;
    switch (which) {
    case 0:
        tcp_subscribe(p.listener);
        drop_tcp(p.listener);
        break;
    case 1:
        in_subscribe(p.in);
        drop_in(p.in);
        break;
    case 2:
        out_subscribe(p.out);
        drop_out(p.out);
        break;
    case 3:
        drop_in(p.in);
        drop_tcp(p.client);
        break;
    case 4:
        drop_out(p.sout);
        drop_tcp(p.server);
        break;
    case 5:
        s = udp_with_streams(&in, &out);
        drop_udp_in(in);
        drop_udp(s);
        break;
    case 6:
        udp_with_streams(&in, &out);
        udp_in_subscribe(in);
        drop_udp_in(in);
        break;
    case 7:
        udp_with_streams(&in, &out);
        udp_out_subscribe(out);
        drop_udp_out(out);
        break;
    default:
        fail();
    }
    printf("no trap\n");
}

/* Pollables that nobody drops. */
static void forget(int n)
{
    handle s = tcp_new(false);
    for (int i = 0; i < n; i++) {
        tcp_subscribe(s);
    }
    printf("%d forgotten\n", n);
}

static void unlimited(int n)
{
    union result r;
    int made = 0;
    for (int i = 0; i < n; i++) {
        tcp_create(0, &r);
        if (r.b[0] != 0) {
            printf("%s", r.b[4] == 4 ? "out of memory\n" : "");
            CHECK(r.b[4] == LIMIT || r.b[4] == 4);
            break;
        }
        made++;
    }
    printf("%d sockets\n", made);
}

/* ---- UDP ---- */

struct datagram_out {
    const void *at;
    size_t n;
    uint32_t has;
    uint8_t address[32];
};
_Static_assert(sizeof(struct datagram_out) == 44, "as the canonical ABI has it");

static handle udp_bound(bool v6, struct address *where)
{
    union result r;
    struct address at = loopback(v6, 0);
    handle s = udp_new(v6);
    udp_start_bind(s, net, FLAT(at), &r);
    IS(error_at(&r, 1), OK);
    IS(do_udp_finish_bind(s), OK);
    udp_local(s, &r);
    IS(error_at(&r, 4), OK);
    *where = address_at(&r.b[4]);
    return s;
}

static int streams_of(handle s, const struct address *peer, handle *in, handle *out)
{
    union result r;
    struct address at = peer != NULL ? *peer : loopback(false, 0);
    udp_stream(s, peer != NULL, FLAT(at), &r);
    if (r.b[0] == 0) {
        *in = r.w[1];
        *out = r.w[2];
    }
    return error_at(&r, 4);
}

/* One datagram; datagrams that went, or the error as a negative number below. */
static int send_one(handle out, const void *at, size_t n, const struct address *to)
{
    union result r;
    struct datagram_out d = {.at = at, .n = n, .has = to != NULL};
    if (to != NULL) {
        address_to(to, d.address);
    }
    do {
        udp_check(out, &r);
        if (r.b[0] != 0) {
            return -2 - r.b[8];
        }
        if (r.d[1] == 0) {
            block_on(udp_out_subscribe(out));
        }
    } while (r.d[1] == 0);
    udp_send(out, &d, 1, &r);
    return r.b[0] != 0 ? -2 - r.b[8] : (int)r.d[1];
}

static int receive_now(handle in, void *to, size_t most, struct address *from)
{
    union result r;
    udp_receive(in, 1, &r);
    if (r.b[0] != 0) {
        return -2 - r.b[4];
    }
    if (r.w[2] == 0) {
        return -1;
    }
    const uint8_t *d = (const uint8_t *)r.w[1];
    uint32_t data[2];
    memcpy(data, d, 8);
    CHECK(data[1] <= most);
    memcpy(to, (void *)data[0], data[1]);
    *from = address_at(d + 8);
    return (int)data[1];
}

static int receive_wait(handle in, void *to, size_t most, struct address *from)
{
    int n;
    while ((n = receive_now(in, to, most, from)) == -1) {
        block_on(udp_in_subscribe(in));
    }
    return n;
}

static void udp(bool v6)
{
    struct address here, there, from;
    handle a = udp_bound(v6, &here), b = udp_bound(v6, &there), ain, aout, bin, bout;
    static char got[70000], large[70000];
    IS(streams_of(a, NULL, &ain, &aout), OK);
    IS(streams_of(b, NULL, &bin, &bout), OK);
    IS(send_one(aout, "ping", 4, &there), 1);
    IS(receive_wait(bin, got, sizeof got, &from), 4);
    CHECK(from.port == here.port && from.v6 == v6 && memcmp(got, "ping", 4) == 0);
    IS(send_one(bout, "", 0, &from), 1); /* an empty one is one */
    IS(receive_wait(ain, got, sizeof got, &from), 0);
    CHECK(from.port == there.port);
    memset(large, 'x', sizeof large);
    IS(send_one(aout, large, 60000, &there), 1);
    IS(receive_wait(bin, got, sizeof got, &from), 60000);
    IS(send_one(aout, large, sizeof large, &there), -2 - TOO_LARGE);
    IS(send_one(aout, "x", 1, NULL), -2 - INVALID);
    struct address other = loopback(!v6, 9), none = loopback(v6, 0);
    IS(send_one(aout, "x", 1, &other), -2 - INVALID);
    IS(send_one(aout, "x", 1, &none), -2 - INVALID);
    IS(receive_now(ain, got, sizeof got, &from), -1);
    handle polled[3] = {udp_subscribe(a), udp_in_subscribe(ain), udp_out_subscribe(aout)};
    CHECK(pollable_ready(polled[0]) && !pollable_ready(polled[1]));
    pollable_block(polled[2]);
    drop_pollable(polled[0]), drop_pollable(polled[1]), drop_pollable(polled[2]);
    drop_udp_out(aout);
    IS(send_one(bout, "still", 5, &here), 1); /* one direction is gone, the other is not */
    IS(receive_wait(ain, got, sizeof got, &from), 5);
    drop_udp_in(ain);
    drop_udp(a);
}

static void udp_peer(void)
{
    struct address here, there, third, from;
    handle a = udp_bound(false, &here), b = udp_bound(false, &there), c = udp_bound(false, &third);
    handle ain, aout, bin, bout, cin, cout, oldin, oldout;
    char got[64];
    union result r;
    IS(streams_of(a, NULL, &oldin, &oldout), OK);
    IS(streams_of(b, NULL, &bin, &bout), OK);
    IS(streams_of(c, NULL, &cin, &cout), OK);
    udp_remote(a, &r);
    IS(error_at(&r, 4), STATE);
    IS(send_one(cout, "too early", 9, &here), 1);
    IS(streams_of(a, &there, &ain, &aout), OK);
    /* The pair before is over. */
    IS(send_one(oldout, "x", 1, &there), -2 - STATE);
    IS(receive_now(oldin, got, sizeof got, &from), -2 - STATE);
    handle old = udp_in_subscribe(oldin);
    CHECK(pollable_ready(old));
    drop_pollable(old);
    drop_udp_in(oldin), drop_udp_out(oldout);
    udp_remote(a, &r);
    IS(error_at(&r, 4), OK);
    CHECK(address_at(&r.b[4]).port == there.port);
    IS(send_one(aout, "to b", 4, NULL), 1);
    IS(send_one(aout, "to b", 4, &there), 1);
    IS(send_one(aout, "to c", 4, &third), -2 - INVALID);
    IS(receive_wait(bin, got, sizeof got, &from), 4);
    IS(send_one(cout, "stranger", 8, &here), 1);
    IS(send_one(bout, "friend", 6, &here), 1);
    IS(receive_wait(ain, got, sizeof got, &from), 6);
    CHECK(from.port == there.port);
    /* And back to all: on the same port. */
    IS(streams_of(a, NULL, &oldin, &oldout), OK);
    udp_local(a, &r);
    IS(error_at(&r, 4), OK);
    CHECK(address_at(&r.b[4]).port == here.port);
    IS(send_one(cout, "anyone", 6, &here), 1);
    IS(receive_wait(oldin, got, sizeof got, &from), 6);
    handle unbound = udp_new(false);
    IS(streams_of(unbound, NULL, &cin, &cout), STATE);
}

static handle udp_with_streams(handle *in, handle *out)
{
    struct address here;
    handle s = udp_bound(false, &here);
    IS(streams_of(s, NULL, in, out), OK);
    return s;
}

static void udp_trap(void)
{
    struct address here;
    handle a = udp_bound(false, &here), in, out;
    union result r;
    struct datagram_out d[17] = {0};
    IS(streams_of(a, NULL, &in, &out), OK);
    udp_check(out, &r);
    CHECK(r.d[1] < 17);
    printf("asks\n");
    fflush(stdout);
    udp_send(out, d, 17, &r);
}

static void udp_crowd(int n)
{
    struct address at, from, *all = calloc(n, sizeof *all);
    handle s = udp_bound(false, &at), in, out, *ins = calloc(n, sizeof *ins),
           *polled = calloc(n + 1, sizeof *polled);
    int echoed = 0, back = 0;
    char got[64];
    IS(streams_of(s, NULL, &in, &out), OK);
    for (int i = 0; i < n; i++) {
        handle sock = udp_bound(false, &all[i]), to;
        IS(streams_of(sock, &at, &ins[i], &to), OK);
        snprintf(got, sizeof got, "%d", i);
        IS(send_one(to, got, strlen(got), NULL), 1);
        polled[i] = udp_in_subscribe(ins[i]);
    }
    polled[n] = udp_in_subscribe(in);
    while (back < n) {
        union result r;
        poll_many(polled, n + 1, &r);
        const uint32_t *ready = (const uint32_t *)r.w[0];
        for (uint32_t k = 0; k < r.w[1]; k++) {
            if ((int)ready[k] == n) {
                int len = receive_now(in, got, sizeof got, &from);
                if (len > 0) {
                    IS(send_one(out, got, len, &from), 1);
                    echoed++;
                }
            } else {
                int len = receive_now(ins[ready[k]], got, sizeof got - 1, &from);
                CHECK(len > 0);
                got[len] = 0;
                IS(atoi(got), (int)ready[k]);
                CHECK(from.port == at.port);
                back++;
            }
        }
        free((void *)r.w[0]);
    }
    IS(echoed, n);
}

/* ---- what is not granted, names ---- */

static void denied(void)
{
    union result r;
    struct address any = {.v6 = false}, here = loopback(false, 0), web = loopback(false, 80),
                   far = {.port = 443, .ip = {8, 8, 8, 8}}, six = loopback(true, 80);
    handle s = tcp_new(false), t = tcp_new(true), u = udp_new(false), a, b;
    IS(bind_start(s, any), DENIED);
    IS(bind_start(s, here), DENIED);
    IS(bind_start(t, loopback(true, 0)), DENIED);
    IS(connect_start(s, web), DENIED);
    IS(connect_start(s, far), DENIED);
    IS(connect_start(t, six), DENIED);
    udp_start_bind(u, net, FLAT(any), &r);
    IS(error_at(&r, 1), DENIED);
    udp_start_bind(u, net, FLAT(here), &r);
    IS(error_at(&r, 1), DENIED);
    IS(streams_of(u, &far, &a, &b), STATE);
    resolve_addresses(net, "example.com", 11, &r);
    IS(error_at(&r, 4), DENIED);
}

/* As many datagrams as come from strangers are none for a client. */
static void udp_client(uint16_t port)
{
    union result r;
    struct address any = {0}, to = loopback(false, port), other = loopback(false, port ^ 1), from;
    handle u = udp_new(false), in, out;
    char got[64];
    udp_start_bind(u, net, FLAT(any), &r);
    IS(error_at(&r, 1), OK);
    IS(do_udp_finish_bind(u), OK);
    IS(streams_of(u, NULL, &in, &out), OK);
    IS(send_one(out, "x", 1, &other), -2 - DENIED);
    IS(send_one(out, "hello", 5, &to), 1);
    IS(receive_wait(in, got, sizeof got, &from), 7);
    CHECK(memcmp(got, "granted", 7) == 0 && from.port == port);
    IS(streams_of(u, &other, &in, &out), DENIED);
}

static int lookup(const char *name, struct address *first)
{
    union result r;
    int n = 0;
    resolve_addresses(net, name, strlen(name), &r);
    if (r.b[0] != 0) {
        return -2 - r.b[4];
    }
    handle h = r.w[1];
    for (;;) {
        resolve_next(h, &r);
        if (r.b[0] != 0 && r.b[2] == AGAIN) {
            block_on(resolve_subscribe(h));
            continue;
        }
        if (r.b[0] != 0) {
            drop_lookup(h);
            return -2 - r.b[2];
        }
        if (r.b[2] == 0) {
            drop_lookup(h);
            return n;
        }
        struct address a = {.v6 = r.b[4]};
        if (!a.v6) {
            memcpy(a.ip, &r.b[6], 4);
            printf("%d.%d.%d.%d\n", a.ip[0], a.ip[1], a.ip[2], a.ip[3]);
        } else {
            for (int i = 0; i < 8; i++) {
                a.ip[2 * i] = (uint8_t)(r.h[3 + i] >> 8);
                a.ip[2 * i + 1] = (uint8_t)r.h[3 + i];
                printf("%s%x", i != 0 ? ":" : "", r.h[3 + i]);
            }
            printf("\n");
        }
        if (n++ == 0) {
            *first = a;
        }
    }
}

static void connect_to(const char *name, uint16_t port)
{
    struct address at;
    handle in, out;
    char got[64];
    int n = lookup(name, &at);
    if (n < 1) {
        printf("lookup: %d\n", -2 - n);
        return;
    }
    handle s = tcp_new(at.v6);
    at.port = port;
    int code = connect_start(s, at);
    code = code == OK ? connect_wait(s, &in, &out) : code;
    printf("connect: %d\n", code);
    if (code == OK) {
        IS(write_flush(out, "hi", 2), OK);
        IS((int)read_wait(in, got, sizeof got), 2);
    }
}

/* ---- waiting for ever ---- */

static void hang(const char *what)
{
    struct address at;
    static uint8_t block[65536];
    handle a, b, c;
    union result r;
    printf("waits\n");
    fflush(stdout);
    if (strcmp(what, "accept") == 0) {
        accept_wait(listen_on(false, &at), &a, &b, &c);
    } else if (strcmp(what, "read") == 0) {
        struct pair p = connected(false);
        in_blocking_read(p.in, 1, &r);
    } else if (strcmp(what, "write") == 0) {
        struct pair p = connected(false);
        for (;;) {
            out_blocking_write(p.out, block, 4096, &r);
        }
    } else if (strcmp(what, "udp") == 0) {
        handle s = udp_bound(false, &at);
        IS(streams_of(s, NULL, &a, &b), OK);
        pollable_block(udp_in_subscribe(a));
    } else if (strcmp(what, "lookup") == 0) {
        lookup("silent.test", &at);
    }
}

/* A time beside sockets that never are ready. */
static void times(void)
{
    struct address at;
    handle polled[3] = {tcp_subscribe(listen_on(false, &at)), in_subscribe(connected(false).in),
                        subscribe_duration(20000000)};
    union result r;
    poll_many(polled, 3, &r);
    CHECK(r.w[1] == 1 && *(uint32_t *)r.w[0] == 2);
    CHECK(!pollable_ready(polled[0]) && !pollable_ready(polled[1]) && pollable_ready(polled[2]));
}

static void splice(void)
{
    struct pair p = connected(false), q = connected(false);
    char got[64];
    union result r;
    IS(write_flush(p.out, "through and through", 19), OK);
    block_on(in_subscribe(p.sin));
    out_splice(q.out, p.sin, 64, &r);
    CHECK(r.b[0] == 0 && r.d[1] == 19);
    IS((int)read_wait(q.sin, got, sizeof got), 19);
    CHECK(memcmp(got, "through and through", 19) == 0);
    pair_drop(&p);
    pair_drop(&q);
}

/* Everything is dropped while most of it was not read: nothing is lost. */
static void linger(void)
{
    struct pair p = connected(false);
    static uint8_t block[65536], got[65536];
    size_t sent = 0, received = 0;
    long may, n;
    while ((may = may_write(p.out)) > 0) {
        may = may < (long)sizeof block ? may : (long)sizeof block;
        IS(write_now(p.out, block, may), OK);
        sent += may;
    }
    drop_in(p.in), drop_out(p.out), drop_tcp(p.client);
    while ((n = read_wait(p.sin, got, sizeof got)) > 0) {
        received += n;
    }
    IS((int)n, -CLOSED);
    CHECK(received == sent);
}

static int scene(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "", *a = argc > 2 ? argv[2] : "";
    struct address first;
    net = instance_network();
    if (strcmp(verb, "tcp") == 0) {
        tcp(*a == '6');
    } else if (strcmp(verb, "many") == 0) {
        many(atoi(a), argv[3][0] == '6');
    } else if (strcmp(verb, "big") == 0) {
        big((size_t)atoi(a));
    } else if (strcmp(verb, "states") == 0) {
        states();
    } else if (strcmp(verb, "options") == 0) {
        options(*a == '6');
    } else if (strcmp(verb, "refused") == 0) {
        refused();
    } else if (strcmp(verb, "inuse") == 0) {
        inuse();
    } else if (strcmp(verb, "reset") == 0) {
        reset((uint16_t)atoi(a));
    } else if (strcmp(verb, "drops") == 0) {
        drops();
    } else if (strcmp(verb, "early") == 0) {
        early(atoi(a));
    } else if (strcmp(verb, "forget") == 0) {
        forget(atoi(a));
    } else if (strcmp(verb, "unlimited") == 0) {
        unlimited(atoi(a));
    } else if (strcmp(verb, "udp") == 0) {
        udp(*a == '6');
    } else if (strcmp(verb, "udp-peer") == 0) {
        udp_peer();
    } else if (strcmp(verb, "udp-trap") == 0) {
        udp_trap();
    } else if (strcmp(verb, "udp-crowd") == 0) {
        udp_crowd(atoi(a));
    } else if (strcmp(verb, "udp-client") == 0) {
        udp_client((uint16_t)atoi(a));
    } else if (strcmp(verb, "denied") == 0) {
        denied();
    } else if (strcmp(verb, "lookup") == 0) {
        int n = lookup(a, &first);
        if (n < 0) {
            printf("error %d\n", -2 - n);
            return 1;
        }
    } else if (strcmp(verb, "connect") == 0) {
        connect_to(a, (uint16_t)atoi(argv[3]));
        return 0;
    } else if (strcmp(verb, "hang") == 0) {
        hang(a);
    } else if (strcmp(verb, "times") == 0) {
        times();
    } else if (strcmp(verb, "splice") == 0) {
        splice();
    } else if (strcmp(verb, "linger") == 0) {
        linger();
    } else {
        return 2;
    }
    printf("ok\n");
    return 0;
}

int main(int argc, char **argv)
{
    __wasm_call_ctors();
    int code = scene(argc, argv);
    fflush(stdout);
    return code;
}
