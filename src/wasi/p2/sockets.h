/* What the interfaces of wasi:sockets share: how their values look in C, sockets as sources, and
 * errors. Files: sock_network.c (network, instance-network), sock_names.c (ip-name-lookup),
 * sock_tcp.c with its streams in sock_tcp_stream.c (tcp, tcp-create-socket), sock_udp.c (udp,
 * udp-create-socket). */
#ifndef CIS_WASI_P2_SOCKETS_H
#define CIS_WASI_P2_SOCKETS_H

#include <netinet/in.h>
#include <poll.h>
#include "service/net/net.h"
#include "wasi/p2/held.h"
#include "wasi/p2/source.h"

/* ---- types, as text and as C ---- */
#define P2_NET_ERROR                                                                               \
    "enum{unknown,access-denied,not-supported,invalid-argument,out-of-memory,timeout,"             \
    "concurrency-conflict,not-in-progress,would-block,invalid-state,new-socket-limit,"             \
    "address-not-bindable,address-in-use,remote-unreachable,connection-refused,"                   \
    "connection-reset,connection-aborted,datagram-too-large,name-unresolvable,"                    \
    "temporary-resolver-failure,permanent-resolver-failure}"
#define P2_NET_FAMILY "enum{ipv4,ipv6}"
#define P2_NET_V4 "tuple<u8,u8,u8,u8>"
#define P2_NET_V6 "tuple<u16,u16,u16,u16,u16,u16,u16,u16>"
#define P2_NET_IP "variant{ipv4(" P2_NET_V4 "),ipv6(" P2_NET_V6 ")}"
#define P2_NET_ADDRESS                                                                             \
    "variant{ipv4(record{port:u16,address:" P2_NET_V4 "}),"                                        \
    "ipv6(record{port:u16,flow-info:u32,address:" P2_NET_V6 ",scope-id:u32})}"

struct p2_ip {
    uint32_t is; /* 0 ipv4, 1 ipv6 */
    union {
        uint8_t v4[4];
        uint16_t v6[8];
    };
};
struct p2_address {
    uint32_t is;
    union {
        struct {
            uint16_t port;
            uint8_t ip[4];
        } v4;
        struct {
            uint16_t port;
            uint32_t flow;
            uint16_t ip[8];
            uint32_t scope;
        } v6;
    };
};
struct p2_maybe_address {
    bool has;
    struct p2_address address;
};

/* Arguments. */
struct p2_self {
    uint32_t self;
};
struct p2_self_address {
    uint32_t self, network;
    struct p2_address address;
};
struct p2_self_number {
    uint32_t self;
    uint32_t n; /* an enum */
};
struct p2_self_u32 {
    uint32_t self, n;
};
struct p2_self_u8 {
    uint32_t self;
    uint8_t n;
};
struct p2_self_bool {
    uint32_t self;
    bool on;
};
/* Results: `failed` first, then what was made or the case of the error. */
struct p2_net_done {
    bool failed;
    uint32_t error;
};
struct p2_net_u64 {
    bool failed;
    union {
        uint64_t n;
        uint32_t error;
    };
};
struct p2_net_u32 {
    bool failed;
    union {
        uint32_t n;
        uint32_t error;
    };
};
struct p2_net_u8 {
    bool failed;
    union {
        uint8_t n;
        uint32_t error;
    };
};
struct p2_net_bool {
    bool failed;
    union {
        bool on;
        uint32_t error;
    };
};
struct p2_net_one {
    bool failed;
    union {
        uint32_t rep;
        uint32_t error;
    };
};
struct p2_net_two {
    bool failed;
    union {
        uint32_t rep[2];
        uint32_t error;
    };
};
struct p2_net_three {
    bool failed;
    union {
        uint32_t rep[3];
        uint32_t error;
    };
};
struct p2_net_address {
    bool failed;
    union {
        struct p2_address address;
        uint32_t error;
    };
};
struct p2_net_maybe_ip {
    bool failed;
    union {
        struct {
            bool has;
            struct p2_ip ip;
        };
        uint32_t error;
    };
};

/* ---- sock_common.c ---- */
/* Case of the interface's error; a refusal of the policy is counted and told. */
uint32_t cis_p2_net_error(cis_engine_instance *instance, enum cis_sock_code code, const char *what);
static inline bool p2_net_failed(cis_engine_instance *instance, enum cis_sock_code code,
                                 const char *what, bool *out_failed, uint32_t *out_error)
{
    if (code != CIS_SOCK_OK) {
        *out_failed = true;
        *out_error = cis_p2_net_error(instance, code, what);
    }
    return code != CIS_SOCK_OK;
}
/* The same for functions with a shape. */
cis_code cis_p2_net_answer(cis_engine_instance *instance, enum cis_sock_code code, const char *what,
                           struct cis_answer *out);
void cis_p2_address_in(const struct p2_address *from, struct sockaddr_storage *out);
void cis_p2_ip_out(const struct sockaddr_storage *from, struct p2_ip *out);

/* A socket behind handles. It is given back when no handle is left that can use it, pollables not
 * counted. */
struct p2_sock {
    struct p2_source base; /* first */
    cis_sock *sock;
    uint32_t handles;
    bool in_shut, out_shut; /* TCP: by shutdown, or the stream was dropped */
    int failed;             /* TCP: why nothing can be sent any more; 0 */
    struct p2_held
        pending;         /* TCP: bytes that were taken and not sent; charged once there was one */
    uint64_t generation; /* UDP: of the streams that work */
};
/* Takes the socket over, failed or not. The caller drops the first reference when he has handed out
 * what is over it. */
cis_code cis_p2_sock_new(cis_engine_instance *instance, cis_sock *sock,
                         const struct p2_source_ops *ops, struct p2_sock **out,
                         struct cis_error *err);
/* One more handle: an entry of this kind. */
cis_code cis_p2_sock_hand(cis_engine_instance *instance, struct p2_sock *s, enum p2_kind kind,
                          uint32_t parent, uint32_t *out_rep, struct cis_error *err);
/* One less; closes the socket after the last. */
void cis_p2_sock_let_go(struct p2_sock *s);
void cis_p2_sock_free(struct cis_host *host, struct p2_source *self);
static inline struct p2_sock *p2_sock_at(cis_engine_instance *instance, uint64_t rep)
{
    return (struct p2_sock *)cis_p2_at(instance, rep)->source;
}

extern const struct p2_source_ops cis_p2_tcp_ops; /* sock_tcp_stream.c */
/* shutdown(send): after what is pending. */
void cis_p2_tcp_shut_out(struct p2_sock *s);

extern const struct cis_iface_table cis_p2_network_table, cis_p2_names_table, cis_p2_tcp_table,
    cis_p2_udp_table;

/* ---- handlers ---- */
#define P2(name) cis_typed_handler name
P2(cis_p2_source_subscribe);
P2(cis_p2_tcp_set_backlog);
P2(cis_p2_sock_set_idle);
P2(cis_p2_sock_set_interval);
P2(cis_p2_sock_set_receive);
P2(cis_p2_sock_set_send);
P2(cis_p2_udp_receive);
P2(cis_p2_udp_check_send);
P2(cis_p2_udp_send);
P2(cis_p2_udp_in_subscribe);
P2(cis_p2_udp_out_subscribe);
#undef P2
#define P2(name) cis_structs_handler name
P2(cis_p2_names_resolve);
P2(cis_p2_names_next);
P2(cis_p2_tcp_create);
P2(cis_p2_tcp_start_connect);
P2(cis_p2_tcp_finish_connect);
P2(cis_p2_tcp_keep_alive);
P2(cis_p2_tcp_set_keep_alive);
P2(cis_p2_tcp_idle);
P2(cis_p2_tcp_interval);
P2(cis_p2_tcp_count);
P2(cis_p2_tcp_set_count);
P2(cis_p2_tcp_shutdown);
P2(cis_p2_udp_create);
P2(cis_p2_udp_stream);
P2(cis_p2_sock_start_bind);
P2(cis_p2_sock_finish_bind);
P2(cis_p2_sock_local);
P2(cis_p2_sock_remote);
P2(cis_p2_sock_family);
P2(cis_p2_sock_hops);
P2(cis_p2_sock_set_hops);
P2(cis_p2_sock_receive_size);
P2(cis_p2_sock_send_size);
#undef P2

/* ---- rows of a kind of sockets: "tcp", "udp" ---- */
#define P2_SELF(kind) "borrow<" kind "-socket>"
#define P2_NET_ERR ", " P2_NET_ERROR ">"
#define P2_SOCK_ROW(kind, n, t, h, a, r, text)                                                     \
    {                                                                                              \
        .interface = "wasi:sockets/" kind, .name = "[method]" kind "-socket." n, .type = (t),      \
        CIS_STRUCTS(h, a, r), .denied = -1, .cost = 1, .params = "", .doc = (text)                 \
    }
#define P2_SOCK_GET(kind, n, of, r, h, text)                                                       \
    P2_SOCK_ROW(kind, n, "func(" P2_SELF(kind) ") -> result<" of P2_NET_ERR, h, struct p2_self,    \
                struct r, text)
#define P2_SOCK_SET(kind, n, of, a, h, text)                                                       \
    P2_SOCK_ROW(kind, n, "func(" P2_SELF(kind) ", " of ") -> result<_" P2_NET_ERR, h, struct a,    \
                struct p2_net_done, text)
#define P2_SOCK_SHAPED(kind, n, t, s, h, text)                                                     \
    {                                                                                              \
        .interface = "wasi:sockets/" kind, .name = "[method]" n, .type = (t),                      \
        .shape = CIS_SHAPE_##s, .typed = (h), .denied = -1, .cost = 1, .params = "", .doc = (text) \
    }
#define P2_SOCK_SET_U64(kind, n, h, text)                                                          \
    P2_SOCK_SHAPED(kind, kind "-socket." n, "func(" P2_SELF(kind) ", u64) -> result<_" P2_NET_ERR, \
                   NET_U64, h, text)
/* Those that both have. */
#define P2_SOCK_ROWS(kind, create, peer, ready)                                                    \
    {.interface = "wasi:sockets/" kind "-create-socket",                                           \
     .name = "create-" kind "-socket",                                                             \
     .type = "func(" P2_NET_FAMILY ") -> result<own<" kind "-socket>" P2_NET_ERR,                  \
     CIS_STRUCTS(create, uint32_t, struct p2_net_one),                                             \
     .denied = -1,                                                                                 \
     .cost = 1,                                                                                    \
     .params = "address-family",                                                                   \
     .doc = "A socket that reaches nothing yet."},                                                 \
        P2_SOCK_SET(kind, "start-bind", "borrow<network>, " P2_NET_ADDRESS, p2_self_address,       \
                    cis_p2_sock_start_bind, "Begins to bind it to an address."),                   \
        P2_SOCK_GET(kind, "finish-bind", "_", p2_net_done, cis_p2_sock_finish_bind, "Ends that."), \
        P2_SOCK_GET(kind, "local-address", P2_NET_ADDRESS, p2_net_address, cis_p2_sock_local,      \
                    "Where it is bound."),                                                         \
        P2_SOCK_GET(kind, "remote-address", P2_NET_ADDRESS, p2_net_address, cis_p2_sock_remote,    \
                    peer),                                                                         \
        P2_SOCK_ROW(kind, "address-family", "func(" P2_SELF(kind) ") -> " P2_NET_FAMILY,           \
                    cis_p2_sock_family, struct p2_self, uint32_t, "IPv4 or IPv6."),                \
        P2_SOCK_GET(kind, "receive-buffer-size", "u64", p2_net_u64, cis_p2_sock_receive_size,      \
                    "The kernel's buffer."),                                                       \
        P2_SOCK_SET_U64(kind, "set-receive-buffer-size", cis_p2_sock_set_receive,                  \
                        "Asks for another."),                                                      \
        P2_SOCK_GET(kind, "send-buffer-size", "u64", p2_net_u64, cis_p2_sock_send_size,            \
                    "The kernel's buffer."),                                                       \
        P2_SOCK_SET_U64(kind, "set-send-buffer-size", cis_p2_sock_set_send, "Asks for another."),  \
        P2_SOCK_SHAPED(kind, kind "-socket.subscribe", "func(" P2_SELF(kind) ") -> own<pollable>", \
                       CHILD, cis_p2_source_subscribe, ready)

#endif
