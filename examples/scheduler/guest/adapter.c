/* wasi-socket-adapter: exports scheduler:core-libs/wasi-{network,tcp,udp} and imports wasi:sockets.
 *
 * Calls wait, as the host's provider of the same interfaces has it: connect, accept, send and
 * receive block; an empty list from receive is the end of the connection, and only that;
 * would-block is never said. wasi:sockets always lets an address be used again, so
 * set-reuse-address(true) is ok and (false) is not supported. */
#include <stdlib.h>
#include <string.h>
#include "corelibs.h"
#include "text.h"
#include "wasi.h"

GUEST_WIT("adapter.wit", GUEST_PACKAGE("wasi.wit") GUEST_PACKAGE("core-libs.wit"));

#define RECEIVE_MAX ((uint64_t)65536)

GUEST_IMPORT("[export]" CORELIBS_NETWORK, "[resource-new]network") handle network_new(void *rep);
GUEST_IMPORT("[export]" CORELIBS_TCP, "[resource-new]tcp-socket") handle tcp_socket_new(void *rep);
GUEST_IMPORT("[export]" CORELIBS_UDP, "[resource-new]udp-socket") handle udp_socket_new(void *rep);

enum state { FRESH, BOUND, LISTENS, CONNECTED };

struct tcp {
    handle socket, in, out;
    enum state state;
    bool v6, shut_in, shut_out;
};
struct udp {
    handle socket, in, out;
    bool v6;
};

/* Results, as they lie in memory. One call is under way at a time. */
static union wasi_result said;

/* ---- network ---- */
static handle network(void)
{
    static handle net;
    if (net == 0) {
        net = instance_network();
    }
    return net;
}

GUEST_EXPORT(CORELIBS_NETWORK "#get-network") handle get_network(void)
{
    return network_new(need(1));
}

GUEST_EXPORT(CORELIBS_NETWORK "#[dtor]network") void network_dtor(void *rep)
{
    free(rep);
}

/* ---- errors ---- */
static uint8_t code_of(unsigned e)
{
    static const uint8_t codes[] = {
        [WASI_UNKNOWN] = CORELIBS_UNKNOWN,
        [WASI_ACCESS_DENIED] = CORELIBS_ACCESS_DENIED,
        [WASI_NOT_SUPPORTED] = CORELIBS_NOT_SUPPORTED,
        [WASI_INVALID_ARGUMENT] = CORELIBS_INVALID_ARGUMENT,
        [WASI_OUT_OF_MEMORY] = CORELIBS_OUT_OF_MEMORY,
        [WASI_TIMEOUT] = CORELIBS_TIMEOUT,
        [WASI_CONCURRENCY_CONFLICT] = CORELIBS_INVALID_ARGUMENT,
        [WASI_NOT_IN_PROGRESS] = CORELIBS_INVALID_ARGUMENT,
        [WASI_WOULD_BLOCK] = CORELIBS_UNKNOWN, /* is waited for, never said */
        [WASI_INVALID_STATE] = CORELIBS_INVALID_ARGUMENT,
        [WASI_NEW_SOCKET_LIMIT] = CORELIBS_OUT_OF_MEMORY,
        [WASI_ADDRESS_NOT_BINDABLE] = CORELIBS_ADDRESS_NOT_AVAILABLE,
        [WASI_ADDRESS_IN_USE] = CORELIBS_ADDRESS_IN_USE,
        [WASI_REMOTE_UNREACHABLE] = CORELIBS_HOST_UNREACHABLE,
        [WASI_CONNECTION_REFUSED] = CORELIBS_CONNECTION_REFUSED,
        [WASI_CONNECTION_RESET] = CORELIBS_CONNECTION_RESET,
        [WASI_CONNECTION_ABORTED] = CORELIBS_CONNECTION_ABORTED,
        [WASI_DATAGRAM_TOO_LARGE] = CORELIBS_INVALID_ARGUMENT,
        [WASI_NAME_UNRESOLVABLE] = CORELIBS_UNKNOWN,
        [WASI_TEMPORARY_RESOLVER_FAILURE] = CORELIBS_UNKNOWN,
        [WASI_PERMANENT_RESOLVER_FAILURE] = CORELIBS_UNKNOWN,
    };
    return e < sizeof codes ? codes[e] : CORELIBS_UNKNOWN;
}

/* err(code), whose payload is at `at`. */
static void *failed(size_t at, uint8_t code)
{
    said.b[0] = 1;
    said.b[at] = code;
    return &said;
}

static void *fine(void)
{
    memset(&said, 0, sizeof said);
    return &said;
}

static void wait_for(handle pollable)
{
    pollable_block(pollable);
    drop_pollable(pollable);
}

/* A stream failed; it was closed, or its error is dropped. `at`: where its stream-error is. */
static void drop_stream_error(const union wasi_result *r, size_t at)
{
    if (r->b[at] == 0) {
        drop_error(r->w[at / 4 + 1]);
    }
}

/* ---- addresses ---- */
static struct net_address address_in(int32_t is, const int32_t part[8], int32_t port)
{
    struct net_address a = {.v6 = is != 0, .port = (uint16_t)port};
    for (int i = 0; i < 8; i++) {
        if (a.v6) {
            a.ip[2 * i] = (uint8_t)(part[i] >> 8);
            a.ip[2 * i + 1] = (uint8_t)part[i];
        } else if (i < 4) {
            a.ip[i] = (uint8_t)part[i];
        }
    }
    return a;
}
#define ADDRESS_IN(port) address_in(is, (int32_t[]){a0, a1, a2, a3, a4, a5, a6, a7}, (port))

/* An ip-socket-address of WASI: case, then behind four bytes port, and the rest by its case. */
static struct net_address wasi_address(const uint8_t *p)
{
    struct net_address a = {.v6 = p[0] != 0};
    memcpy(&a.port, p + 4, 2);
    if (!a.v6) {
        memcpy(a.ip, p + 6, 4);
        return a;
    }
    for (int i = 0; i < 8; i++) {
        a.ip[2 * i] = p[12 + 2 * i + 1];
        a.ip[2 * i + 1] = p[12 + 2 * i];
    }
    return a;
}

/* tuple<ip-address, u16>. */
static void put_address(uint8_t *p, const struct net_address *a)
{
    p[0] = a->v6;
    for (int i = 0; i < 8; i++) {
        if (a->v6) {
            p[2 + 2 * i] = a->ip[2 * i + 1];
            p[2 + 2 * i + 1] = a->ip[2 * i];
        } else if (i < 4) {
            p[2 + i] = a->ip[i];
        }
    }
    memcpy(p + 18, &a->port, 2);
}

/* result<tuple<ip-address, u16>, error-code> of one of WASI's. */
static void *address_said(const union wasi_result *r)
{
    if (r->b[0] != 0) {
        return failed(2, code_of(r->b[4]));
    }
    struct net_address a = wasi_address(&r->b[4]);
    fine();
    put_address(&said.b[2], &a);
    return &said;
}

/* ---- tcp ---- */
#define TCP(name) GUEST_EXPORT(CORELIBS_TCP "#" name)

TCP("[static]tcp-socket.new") void *tcp_new(int32_t family)
{
    union wasi_result r;
    tcp_create(family, &r);
    if (r.b[0] != 0) {
        return failed(4, code_of(r.b[4]));
    }
    struct tcp *t = need(sizeof *t);
    t->socket = r.w[1];
    t->v6 = family != 0;
    fine();
    said.w[1] = tcp_socket_new(t);
    return &said;
}

TCP("[dtor]tcp-socket") void tcp_dtor(struct tcp *t)
{
    if (t->in != 0) {
        drop_in(t->in);
        drop_out(t->out);
    }
    drop_tcp(t->socket);
    free(t);
}

TCP("[method]tcp-socket.connect")
void *tcp_connect(struct tcp *t, handle net, CORELIBS_ADDRESS, int32_t port)
{
    union wasi_result r;
    struct net_address to = ADDRESS_IN(port);
    (void)net;
    if (t->state == CONNECTED) {
        return failed(1, CORELIBS_ALREADY_CONNECTED);
    }
    tcp_start_connect(t->socket, network(), WASI_FLAT(&to), &r);
    if (r.b[0] != 0) {
        return failed(1, code_of(r.b[1]));
    }
    for (;;) {
        tcp_finish_connect(t->socket, &r);
        if (r.b[0] == 0) {
            break;
        }
        if (r.b[4] != WASI_WOULD_BLOCK) {
            return failed(1, code_of(r.b[4]));
        }
        wait_for(tcp_subscribe(t->socket));
    }
    t->in = r.w[1];
    t->out = r.w[2];
    t->state = CONNECTED;
    return fine();
}

/* finish-bind or finish-listen, until it is done. */
static void *finished(struct tcp *t, void (*finish)(handle, void *), enum state then)
{
    union wasi_result r;
    for (;;) {
        finish(t->socket, &r);
        if (r.b[0] == 0) {
            t->state = then;
            return fine();
        }
        if (r.b[1] != WASI_WOULD_BLOCK) {
            return failed(1, code_of(r.b[1]));
        }
        wait_for(tcp_subscribe(t->socket));
    }
}

TCP("[method]tcp-socket.bind")
void *tcp_bind(struct tcp *t, handle net, CORELIBS_ADDRESS, int32_t port)
{
    union wasi_result r;
    struct net_address at = ADDRESS_IN(port);
    (void)net;
    tcp_start_bind(t->socket, network(), WASI_FLAT(&at), &r);
    return r.b[0] != 0 ? failed(1, code_of(r.b[1])) : finished(t, tcp_finish_bind, BOUND);
}

TCP("[method]tcp-socket.listen") void *tcp_listen(struct tcp *t, uint32_t backlog)
{
    union wasi_result r;
    tcp_set_backlog(t->socket, backlog != 0 ? backlog : 1, &r);
    tcp_start_listen(t->socket, &r);
    return r.b[0] != 0 ? failed(1, code_of(r.b[1])) : finished(t, tcp_finish_listen, LISTENS);
}

TCP("[method]tcp-socket.accept") void *tcp_accept_one(struct tcp *t)
{
    union wasi_result r, peer;
    for (;;) {
        tcp_accept(t->socket, &r);
        if (r.b[0] == 0) {
            break;
        }
        if (r.b[4] != WASI_WOULD_BLOCK) {
            return failed(4, code_of(r.b[4]));
        }
        wait_for(tcp_subscribe(t->socket));
    }
    struct tcp *made = need(sizeof *made);
    *made = (struct tcp){
        .socket = r.w[1], .in = r.w[2], .out = r.w[3], .state = CONNECTED, .v6 = t->v6};
    tcp_remote(made->socket, &peer);
    struct net_address a = {0};
    if (peer.b[0] == 0) {
        a = wasi_address(&peer.b[4]);
    }
    fine();
    said.w[1] = tcp_socket_new(made);
    put_address(&said.b[8], &a);
    return &said;
}

/* All of it, or how much before it failed. */
TCP("[method]tcp-socket.send") void *tcp_send(struct tcp *t, char *at, size_t n)
{
    union wasi_result r = {0};
    size_t sent = 0;
    bool ok = t->state == CONNECTED && !t->shut_out;
    while (ok && sent < n) {
        out_check(t->out, &r);
        if (r.b[0] != 0) {
            drop_stream_error(&r, 8);
            break;
        }
        size_t some = r.d[1] < n - sent ? (size_t)r.d[1] : n - sent;
        if (some == 0) {
            wait_for(out_subscribe(t->out));
            continue;
        }
        out_write(t->out, at + sent, some, &r);
        if (r.b[0] != 0) {
            drop_stream_error(&r, 4);
            break;
        }
        sent += some;
    }
    guest_free(at);
    if (sent < n && sent == 0) {
        return failed(8, t->state == CONNECTED ? CORELIBS_CONNECTION_RESET
                                               : CORELIBS_INVALID_ARGUMENT);
    }
    if (t->state != CONNECTED) {
        return failed(8, CORELIBS_INVALID_ARGUMENT);
    }
    fine();
    said.d[1] = sent;
    return &said;
}

TCP("[method]tcp-socket.receive") void *tcp_receive(struct tcp *t, uint64_t max)
{
    union wasi_result r = {0};
    if (t->state != CONNECTED) {
        return failed(4, CORELIBS_INVALID_ARGUMENT);
    }
    max = max < RECEIVE_MAX ? max : RECEIVE_MAX;
    while (max > 0 && !t->shut_in) {
        in_read(t->in, max, &r);
        if (r.b[0] == 0 && r.w[2] > 0) {
            said = (union wasi_result){.w = {0, r.w[1], r.w[2]}};
            return &said;
        }
        if (r.b[0] != 0) {
            bool closed = r.b[4] == 1;
            drop_stream_error(&r, 4);
            if (!closed) {
                return failed(4, CORELIBS_CONNECTION_RESET);
            }
            break;
        }
        wait_for(in_subscribe(t->in));
    }
    fine();
    said.w[1] = 1; /* an empty list: nothing to free */
    return &said;
}

GUEST_EXPORT("cabi_post_" CORELIBS_TCP "#[method]tcp-socket.receive")
void tcp_receive_post(const union wasi_result *r)
{
    if (r->b[0] == 0) {
        guest_free((void *)r->w[1]);
    }
}

TCP("[method]tcp-socket.local-address") void *tcp_local_address(struct tcp *t)
{
    union wasi_result r;
    tcp_local(t->socket, &r);
    return address_said(&r);
}

TCP("[method]tcp-socket.remote-address") void *tcp_remote_address(struct tcp *t)
{
    union wasi_result r;
    tcp_remote(t->socket, &r);
    return address_said(&r);
}

TCP("[method]tcp-socket.set-reuse-address") void *tcp_reuse(struct tcp *t, int32_t on)
{
    (void)t;
    return on != 0 ? fine() : failed(1, CORELIBS_NOT_SUPPORTED);
}

TCP("[method]tcp-socket.shutdown") void *tcp_shut(struct tcp *t, int32_t how)
{
    union wasi_result r;
    tcp_shutdown(t->socket, how, &r);
    if (r.b[0] != 0) {
        return failed(1, code_of(r.b[1]));
    }
    t->shut_in = t->shut_in || how != 1;
    t->shut_out = t->shut_out || how != 0;
    return fine();
}

/* ---- udp ---- */
#define UDP(name) GUEST_EXPORT(CORELIBS_UDP "#" name)

UDP("[static]udp-socket.new") void *udp_new(int32_t family)
{
    union wasi_result r;
    udp_create(family, &r);
    if (r.b[0] != 0) {
        return failed(4, code_of(r.b[4]));
    }
    struct udp *u = need(sizeof *u);
    u->socket = r.w[1];
    u->v6 = family != 0;
    fine();
    said.w[1] = udp_socket_new(u);
    return &said;
}

UDP("[dtor]udp-socket") void udp_dtor(struct udp *u)
{
    if (u->in != 0) {
        drop_udp_in(u->in);
        drop_udp_out(u->out);
    }
    drop_udp(u->socket);
    free(u);
}

/* Binds, and opens its streams. `at`: where the caller's result has its error. */
static bool bind_udp(struct udp *u, const struct net_address *to, size_t at)
{
    union wasi_result r;
    udp_start_bind(u->socket, network(), WASI_FLAT(to), &r);
    while (r.b[0] == 0) {
        udp_finish_bind(u->socket, &r);
        if (r.b[0] == 0) {
            break;
        }
        if (r.b[1] != WASI_WOULD_BLOCK) {
            break;
        }
        wait_for(udp_subscribe(u->socket));
        r.b[0] = 0;
    }
    if (r.b[0] != 0) {
        failed(at, code_of(r.b[1]));
        return false;
    }
    udp_stream(u->socket, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, &r);
    if (r.b[0] != 0) {
        failed(at, code_of(r.b[4]));
        return false;
    }
    u->in = r.w[1];
    u->out = r.w[2];
    return true;
}

UDP("[method]udp-socket.bind")
void *udp_bind(struct udp *u, handle net, CORELIBS_ADDRESS, int32_t port)
{
    struct net_address at = ADDRESS_IN(port);
    (void)net;
    if (u->in != 0) {
        return failed(1, CORELIBS_INVALID_ARGUMENT);
    }
    return bind_udp(u, &at, 1) ? fine() : (void *)&said;
}

/* An outgoing-datagram as it lies in memory. */
struct outgoing {
    uint32_t at, len;
    uint8_t has;
    uint8_t address[35];
};

static void put_wasi_address(uint8_t *p, const struct net_address *a)
{
    p[0] = a->v6;
    memcpy(p + 4, &a->port, 2);
    if (!a->v6) {
        memcpy(p + 6, a->ip, 4);
        return;
    }
    for (int i = 0; i < 8; i++) {
        p[12 + 2 * i] = a->ip[2 * i + 1];
        p[12 + 2 * i + 1] = a->ip[2 * i];
    }
}

static void *send_one(struct udp *u, const struct outgoing *one)
{
    union wasi_result r;
    for (;;) {
        udp_check(u->out, &r);
        if (r.b[0] != 0) {
            return failed(8, code_of(r.b[8]));
        }
        if (r.d[1] > 0) {
            break;
        }
        wait_for(udp_out_subscribe(u->out));
    }
    udp_send(u->out, one, 1, &r);
    if (r.b[0] != 0) {
        return failed(8, code_of(r.b[8]));
    }
    fine();
    said.d[1] = r.d[1] > 0 ? one->len : 0;
    return &said;
}

/* 15 parameters. What is not bound is bound by it. */
UDP("[method]udp-socket.send-to")
void *udp_send_to(struct udp *u, char *at, size_t n, handle net, CORELIBS_ADDRESS, int32_t port)
{
    struct net_address to = ADDRESS_IN(port), any = {.v6 = u->v6};
    struct outgoing one = {.at = (uint32_t)at, .len = n, .has = 1};
    void *out = &said;
    (void)net;
    put_wasi_address(&one.address[3], &to);
    if (to.v6 != u->v6 || to.port == 0) {
        out = failed(8, CORELIBS_INVALID_ARGUMENT);
    } else if (u->in != 0 || bind_udp(u, &any, 8)) {
        out = send_one(u, &one);
    }
    guest_free(at);
    return out;
}

UDP("[method]udp-socket.receive-from") void *udp_receive_from(struct udp *u, uint64_t max)
{
    union wasi_result r;
    if (u->in == 0) {
        return failed(4, CORELIBS_INVALID_ARGUMENT);
    }
    for (;;) {
        udp_receive(u->in, 1, &r);
        if (r.b[0] != 0) {
            return failed(4, code_of(r.b[4]));
        }
        if (r.w[2] > 0) {
            break;
        }
        wait_for(udp_in_subscribe(u->in));
    }
    /* incoming-datagram: data, then its address */
    uint8_t *datagram = (uint8_t *)r.w[1];
    struct net_address from = wasi_address(datagram + 8);
    uint32_t data, len;
    memcpy(&data, datagram, 4);
    memcpy(&len, datagram + 4, 4);
    free(datagram);
    fine();
    said.w[1] = data;
    said.w[2] = len < max ? len : (uint32_t)max;
    put_address(&said.b[12], &from);
    return &said;
}

GUEST_EXPORT("cabi_post_" CORELIBS_UDP "#[method]udp-socket.receive-from")
void udp_receive_post(const union wasi_result *r)
{
    if (r->b[0] == 0) {
        guest_free((void *)r->w[1]);
    }
}

UDP("[method]udp-socket.local-address") void *udp_local_address(struct udp *u)
{
    union wasi_result r;
    udp_local(u->socket, &r);
    return address_said(&r);
}

UDP("[method]udp-socket.set-reuse-address") void *udp_reuse(struct udp *u, int32_t on)
{
    (void)u;
    return on != 0 ? fine() : failed(1, CORELIBS_NOT_SUPPORTED);
}
