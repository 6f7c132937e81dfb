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
    static cis_code name(cis_engine_instance *instance, const void *args, void *result,            \
                         struct cis_error *err)                                                    \
    {                                                                                              \
        const struct p2_self *a = args;                                                            \
        struct p2_net_done *r = result;                                                            \
        (void)err;                                                                                 \
        p2_net_failed(instance, step(p2_sock_at(instance, a->self)->sock), what, &r->failed,       \
                      &r->error);                                                                  \
        return CIS_OK;                                                                             \
    }
STEP(tcp_start_listen, cis_sock_listen_start, "tcp listen")
STEP(tcp_finish_listen, cis_sock_listen_finish, "tcp listen")

static cis_code tcp_accept(cis_engine_instance *instance, const void *args, void *result,
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

static cis_code tcp_is_listening(cis_engine_instance *instance, const void *args, void *result,
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

#define SELF P2_SELF("tcp")
#define ROW(n, t, h, a, r, text) P2_SOCK_ROW("tcp", n, t, h, a, r, text)
#define GET(n, of, r, h, text) P2_SOCK_GET("tcp", n, of, r, h, text)
#define SET(n, of, a, h, text) P2_SOCK_SET("tcp", n, of, a, h, text)
#define SET_U64(n, h, text) P2_SOCK_SET_U64("tcp", n, h, text)

static const struct cis_ifacefn rows[] = {
    P2_SOCK_ROWS("tcp", cis_p2_tcp_create, "Whom it is connected to.",
                 "Ready when what was started can be finished, or a connection waits."),
    SET("start-connect", "borrow<network>, " P2_NET_ADDRESS, p2_self_address,
        cis_p2_tcp_start_connect, "Begins to connect to an address that was granted."),
    ROW("finish-connect",
        "func(" SELF ") -> result<tuple<own<input-stream>,own<output-stream>>" P2_NET_ERR,
        cis_p2_tcp_finish_connect, struct p2_self, struct p2_net_two,
        "Ends that: the connection's streams."),
    GET("start-listen", "_", p2_net_done, tcp_start_listen, "Begins to wait for connections."),
    GET("finish-listen", "_", p2_net_done, tcp_finish_listen, "Ends that."),
    ROW("accept",
        "func(" SELF
        ") -> result<tuple<own<tcp-socket>,own<input-stream>,own<output-stream>>" P2_NET_ERR,
        tcp_accept, struct p2_self, struct p2_net_three, "The next connection."),
    ROW("is-listening", "func(" SELF ") -> bool", tcp_is_listening, struct p2_self, bool,
        "Does it wait for connections?"),
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
    SET("shutdown", "enum{receive,send,both}", p2_self_number, cis_p2_tcp_shutdown,
        "Ends one direction, or both."),
};
const struct cis_iface_table cis_p2_tcp_table = {
    .abi = "wasi", .version = "0.2.12", .rows = rows, .nrows = sizeof rows / sizeof *rows};
