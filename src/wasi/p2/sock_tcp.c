/* wasi:sockets/tcp and tcp-create-socket. A connection's streams stand in sock_tcp_stream.c. */
#include <sys/socket.h>
#include "wasi/p2/sockets.h"

/* ---- making ---- */

static cis_code hand_out(cis_engine_instance *instance, cis_sock *sock, uint32_t *out_rep,
                         struct p2_sock **out, struct cis_error *err)
{
    CIS_TRY(cis_p2_sock_new(instance, sock, &cis_p2_tcp_ops, out, err));
    cis_code code = cis_p2_sock_hand(instance, *out, P2_TCP, P2_NO_PARENT, out_rep, err);
    cis_p2_source_unref(cis_host_of(instance),
                        &(*out)->base); /* the handle has it now, or nobody */
    return code;
}

cis_code cis_p2_tcp_create(cis_engine_instance *instance, const void *args, void *result,
                           struct cis_error *err)
{
    const uint32_t *family = args;
    struct p2_net_one *r = result;
    struct p2_sock *s;
    cis_net *net;
    cis_sock *sock = NULL;
    CIS_TRY(cis_host_net(cis_host_of(instance), &net, err));
    enum cis_sock_code code =
        cis_sock_new(net, CIS_NET_TCP, *family == 0 ? AF_INET : AF_INET6, &sock);
    if (p2_net_failed(instance, code, "tcp socket", &r->failed, &r->error)) {
        return CIS_OK;
    }
    return hand_out(instance, sock, &r->rep, &s, err);
}

/* Of the socket `of`. */
static cis_code streams(cis_engine_instance *instance, struct p2_sock *s, uint32_t of,
                        uint32_t *out_in, uint32_t *out_out, struct cis_error *err)
{
    CIS_TRY(cis_p2_sock_hand(instance, s, P2_INPUT, of, out_in, err));
    return cis_p2_sock_hand(instance, s, P2_OUTPUT, of, out_out, err);
}

/* ---- connecting ---- */

cis_code cis_p2_tcp_start_connect(cis_engine_instance *instance, const void *args, void *result,
                                  struct cis_error *err)
{
    const struct p2_self_address *a = args;
    struct p2_net_done *r = result;
    struct sockaddr_storage addr;
    (void)err;
    cis_p2_address_in(&a->address, &addr);
    enum cis_sock_code code =
        cis_sock_connect_start(p2_sock_at(instance, a->self)->sock, (const struct sockaddr *)&addr);
    p2_net_failed(instance, code, "tcp connect", &r->failed, &r->error);
    return CIS_OK;
}

cis_code cis_p2_tcp_finish_connect(cis_engine_instance *instance, const void *args, void *result,
                                   struct cis_error *err)
{
    const struct p2_self *a = args;
    struct p2_net_two *r = result;
    struct p2_sock *s = p2_sock_at(instance, a->self);
    enum cis_sock_code code = cis_sock_connect_finish(s->sock);
    if (p2_net_failed(instance, code, "tcp connect", &r->failed, &r->error)) {
        return CIS_OK;
    }
    return streams(instance, s, a->self, &r->rep[0], &r->rep[1], err);
}

/* ---- listening ---- */

#define STEP(name, step, what)                                                                     \
    cis_code name(cis_engine_instance *instance, const void *args, void *result,                   \
                  struct cis_error *err)                                                           \
    {                                                                                              \
        const struct p2_self *a = args;                                                            \
        struct p2_net_done *r = result;                                                            \
        (void)err;                                                                                 \
        p2_net_failed(instance, step(p2_sock_at(instance, a->self)->sock), what, &r->failed,       \
                      &r->error);                                                                  \
        return CIS_OK;                                                                             \
    }
STEP(cis_p2_tcp_start_listen, cis_sock_listen_start, "tcp listen")
STEP(cis_p2_tcp_finish_listen, cis_sock_listen_finish, "tcp listen")

cis_code cis_p2_tcp_accept(cis_engine_instance *instance, const void *args, void *result,
                           struct cis_error *err)
{
    const struct p2_self *a = args;
    struct p2_net_three *r = result;
    struct p2_sock *s;
    cis_sock *sock = NULL;
    enum cis_sock_code code = cis_sock_accept(p2_sock_at(instance, a->self)->sock, &sock);
    if (p2_net_failed(instance, code, "tcp accept", &r->failed, &r->error)) {
        return CIS_OK;
    }
    CIS_TRY(hand_out(instance, sock, &r->rep[0], &s, err));
    return streams(instance, s, r->rep[0], &r->rep[1], &r->rep[2], err);
}

cis_code cis_p2_tcp_is_listening(cis_engine_instance *instance, const void *args, void *result,
                                 struct cis_error *err)
{
    const struct p2_self *a = args;
    (void)err;
    *(bool *)result = cis_sock_state(p2_sock_at(instance, a->self)->sock) == CIS_SOCK_LISTENING;
    return CIS_OK;
}

/* ---- the end ---- */

cis_code cis_p2_tcp_shutdown(cis_engine_instance *instance, const void *args, void *result,
                             struct cis_error *err)
{
    enum { RECEIVE, SEND, BOTH };
    const struct p2_self_number *a = args;
    struct p2_net_done *r = result;
    struct p2_sock *s = p2_sock_at(instance, a->self);
    (void)err;
    if (cis_sock_state(s->sock) != CIS_SOCK_CONNECTED) {
        p2_net_failed(instance, CIS_SOCK_STATE, "tcp shutdown", &r->failed, &r->error);
        return CIS_OK;
    }
    if (a->n != SEND) {
        s->in_shut = true;
        cis_sock_shutdown(s->sock, SHUT_RD);
    }
    if (a->n != RECEIVE) {
        cis_p2_tcp_shut_out(s);
    }
    return CIS_OK;
}

/* ---- rows ---- */

#define TCP "wasi:sockets/tcp"
#define SELF "borrow<tcp-socket>"
#define ERR ", " P2_NET_ERROR ">"
#define ROW(n, t, h, a, r, text)                                                                   \
    {                                                                                              \
        .interface = TCP, .name = "[method]tcp-socket." n, .type = (t), CIS_STRUCTS(h, a, r),      \
        .denied = -1, .cost = 1, .params = "", .doc = (text)                                       \
    }
#define DONE(n, h, text)                                                                           \
    ROW(n, "func(" SELF ") -> result<_" ERR, h, struct p2_self, struct p2_net_done, text)
#define GET(n, of, r, h, text)                                                                     \
    ROW(n, "func(" SELF ") -> result<" of ERR, h, struct p2_self, struct r, text)
#define SET(n, of, a, h, text)                                                                     \
    ROW(n, "func(" SELF ", " of ") -> result<_" ERR, h, struct a, struct p2_net_done, text)
#define SET_U64(n, h, text)                                                                        \
    {                                                                                              \
        .interface = TCP, .name = "[method]tcp-socket." n,                                         \
        .type = "func(" SELF ", u64) -> result<_" ERR, .shape = CIS_SHAPE_NET_U64, .typed = (h),   \
        .denied = -1, .cost = 1, .params = "", .doc = (text)                                       \
    }

static const struct cis_ifacefn rows[] = {
    {.interface = "wasi:sockets/tcp-create-socket",
     .name = "create-tcp-socket",
     .type = "func(" P2_NET_FAMILY ") -> result<own<tcp-socket>" ERR,
     CIS_STRUCTS(cis_p2_tcp_create, uint32_t, struct p2_net_one),
     .denied = -1,
     .cost = 1,
     .params = "address-family",
     .doc = "A socket that reaches nothing yet."},
    ROW("start-bind", "func(" SELF ", borrow<network>, " P2_NET_ADDRESS ") -> result<_" ERR,
        cis_p2_sock_start_bind, struct p2_self_address, struct p2_net_done,
        "Begins to bind it to an address."),
    DONE("finish-bind", cis_p2_sock_finish_bind, "Ends that."),
    ROW("start-connect", "func(" SELF ", borrow<network>, " P2_NET_ADDRESS ") -> result<_" ERR,
        cis_p2_tcp_start_connect, struct p2_self_address, struct p2_net_done,
        "Begins to connect to an address that was granted."),
    ROW("finish-connect",
        "func(" SELF ") -> result<tuple<own<input-stream>,own<output-stream>>" ERR,
        cis_p2_tcp_finish_connect, struct p2_self, struct p2_net_two,
        "Ends that: the connection's streams."),
    DONE("start-listen", cis_p2_tcp_start_listen, "Begins to wait for connections."),
    DONE("finish-listen", cis_p2_tcp_finish_listen, "Ends that."),
    ROW("accept",
        "func(" SELF ") -> result<tuple<own<tcp-socket>,own<input-stream>,own<output-stream>>" ERR,
        cis_p2_tcp_accept, struct p2_self, struct p2_net_three, "The next connection."),
    GET("local-address", P2_NET_ADDRESS, p2_net_address, cis_p2_sock_local, "Where it is bound."),
    GET("remote-address", P2_NET_ADDRESS, p2_net_address, cis_p2_sock_remote,
        "Whom it is connected to."),
    ROW("is-listening", "func(" SELF ") -> bool", cis_p2_tcp_is_listening, struct p2_self, bool,
        "Does it wait for connections?"),
    ROW("address-family", "func(" SELF ") -> " P2_NET_FAMILY, cis_p2_sock_family, struct p2_self,
        uint32_t, "IPv4 or IPv6."),
    SET_U64("set-listen-backlog-size", cis_p2_tcp_set_backlog, "Connections that may wait."),
    GET("keep-alive-enabled", "bool", p2_net_bool, cis_p2_tcp_keep_alive, "Is keep-alive on?"),
    SET("set-keep-alive-enabled", "bool", p2_self_bool, cis_p2_tcp_set_keep_alive,
        "Switches keep-alive."),
    GET("keep-alive-idle-time", "u64", p2_net_u64, cis_p2_tcp_idle,
        "Time without traffic before keep-alive asks."),
    SET_U64("set-keep-alive-idle-time", cis_p2_sock_set_idle, "Sets it; whole seconds."),
    GET("keep-alive-interval", "u64", p2_net_u64, cis_p2_tcp_interval,
        "Time between its questions."),
    SET_U64("set-keep-alive-interval", cis_p2_sock_set_interval, "Sets it; whole seconds."),
    GET("keep-alive-count", "u32", p2_net_u32, cis_p2_tcp_count, "Questions without an answer."),
    SET("set-keep-alive-count", "u32", p2_self_u32, cis_p2_tcp_set_count, "Sets it."),
    GET("hop-limit", "u8", p2_net_u8, cis_p2_sock_hops, "How far its packets go."),
    SET("set-hop-limit", "u8", p2_self_u8, cis_p2_sock_set_hops, "Sets it."),
    GET("receive-buffer-size", "u64", p2_net_u64, cis_p2_sock_receive_size, "The kernel's buffer."),
    SET_U64("set-receive-buffer-size", cis_p2_sock_set_receive, "Asks for another."),
    GET("send-buffer-size", "u64", p2_net_u64, cis_p2_sock_send_size, "The kernel's buffer."),
    SET_U64("set-send-buffer-size", cis_p2_sock_set_send, "Asks for another."),
    {.interface = TCP,
     .name = "[method]tcp-socket.subscribe",
     .type = "func(" SELF ") -> own<pollable>",
     .shape = CIS_SHAPE_CHILD,
     .typed = cis_p2_source_subscribe,
     .denied = -1,
     .cost = 1,
     .params = "self",
     .doc = "Ready when what was started can be finished, or a connection waits."},
    ROW("shutdown", "func(" SELF ", enum{receive,send,both}) -> result<_" ERR, cis_p2_tcp_shutdown,
        struct p2_self_number, struct p2_net_done, "Ends one direction, or both."),
};
const struct cis_iface_table cis_p2_tcp_table = {
    .abi = "wasi", .version = "0.2.12", .rows = rows, .nrows = sizeof rows / sizeof *rows};
