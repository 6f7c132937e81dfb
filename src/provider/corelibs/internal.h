/* Inside provider/corelibs: types of the interfaces as C structs, and the table of sockets. */
#ifndef CIS_PROVIDER_CORELIBS_INTERNAL_H
#define CIS_PROVIDER_CORELIBS_INTERNAL_H

#include <sys/socket.h>
#include "provider/corelibs/corelibs.h"
#include "service/net/net.h"

/* Kinds of resources, apart from those of WASI. */
enum { CORELIBS_NETWORK = 0x2000, CORELIBS_TCP, CORELIBS_UDP };

/* error-code, in the order of the interface. */
enum corelibs_error {
    CORELIBS_ACCESS_DENIED,
    CORELIBS_ADDRESS_IN_USE,
    CORELIBS_ADDRESS_NOT_AVAILABLE,
    CORELIBS_ALREADY_CONNECTED,
    CORELIBS_CONNECTION_REFUSED,
    CORELIBS_CONNECTION_RESET,
    CORELIBS_CONNECTION_ABORTED,
    CORELIBS_HOST_UNREACHABLE,
    CORELIBS_NETWORK_UNREACHABLE,
    CORELIBS_TIMEOUT,
    CORELIBS_WOULD_BLOCK,
    CORELIBS_INVALID_ARGUMENT,
    CORELIBS_NOT_SUPPORTED,
    CORELIBS_OUT_OF_MEMORY,
    CORELIBS_UNKNOWN
};

struct corelibs_ip { /* ip-address */
    uint32_t is;     /* 0 ipv4, 1 ipv6: also the cases of ip-address-family */
    union {
        uint8_t v4[4];
        uint16_t v6[8];
    };
};
struct corelibs_place { /* tuple<ip-address, u16> */
    struct corelibs_ip ip;
    uint16_t port;
};

/* Arguments. */
struct corelibs_self {
    uint32_t self;
};
struct corelibs_self_n {
    uint32_t self, n;
};
struct corelibs_self_on {
    uint32_t self;
    bool on;
};
struct corelibs_at { /* connect, bind */
    uint32_t self, net;
    struct corelibs_ip ip;
    uint16_t port;
};
struct corelibs_send_to {
    uint32_t self;
    struct cis_bytes data;
    uint32_t net;
    struct corelibs_ip ip;
    uint16_t port;
};
struct corelibs_receive {
    uint32_t self;
    uint64_t max;
};

/* Results. */
struct corelibs_done {
    bool failed;
    uint32_t error;
};
struct corelibs_made {
    bool failed;
    union {
        uint32_t socket;
        uint32_t error;
    };
};
struct corelibs_accepted {
    bool failed;
    union {
        struct {
            uint32_t socket;
            struct corelibs_ip ip;
            uint16_t port;
        } ok;
        uint32_t error;
    };
};
struct corelibs_count {
    bool failed;
    union {
        uint64_t n;
        uint32_t error;
    };
};
struct corelibs_where {
    bool failed;
    union {
        struct corelibs_place place;
        uint32_t error;
    };
};
struct corelibs_datagram {
    bool failed;
    union {
        struct {
            struct cis_bytes data;
            struct corelibs_ip ip;
            uint16_t port;
        } ok;
        uint32_t error;
    };
};

/* table.c */
/* The run's network, made at its first use. */
cis_code cis_corelibs_net(cis_engine_instance *instance, cis_net **out, struct cis_error *err);
/* Owns the socket from here on, also when it fails. */
cis_code cis_corelibs_add(cis_engine_instance *instance, cis_sock *sock, uint32_t *out_rep,
                          struct cis_error *err);
cis_sock *cis_corelibs_at(cis_engine_instance *instance, uint32_t rep);
cis_code cis_corelibs_drop(cis_engine_instance *instance, uint32_t rep, struct cis_error *err);
bool cis_corelibs_is(cis_engine_instance *instance, uint32_t kind, uint32_t rep);
/* Room for one receive: `len` bytes, at most CIS_SOCK_DATAGRAM_MAX or CIS_CORELIBS_CHUNK; until the
 * next call. */
cis_code cis_corelibs_room(cis_engine_instance *instance, size_t len, uint8_t **out,
                           struct cis_error *err);

/* common.c */
/* Waits until the socket is ready; the run may be over instead. */
cis_code cis_corelibs_wait(cis_engine_instance *instance, const cis_sock *sock, bool writes,
                           struct cis_error *err);
/* Sets both fields of a result when the code is a failure. */
bool cis_corelibs_failed(cis_engine_instance *instance, enum cis_sock_code code, const char *what,
                         bool *out_failed, uint32_t *out_error);
void cis_corelibs_addr_in(const struct corelibs_ip *ip, uint16_t port,
                          struct sockaddr_storage *out);
void cis_corelibs_addr_out(const struct sockaddr_storage *addr, struct corelibs_ip *out_ip,
                           uint16_t *out_port);
/* What TCP and UDP share. */
cis_code cis_corelibs_new(cis_engine_instance *instance, enum cis_net_kind kind, uint32_t family,
                          struct corelibs_made *r, struct cis_error *err);

cis_structs_handler cis_corelibs_get_network, cis_corelibs_bind, cis_corelibs_local,
    cis_corelibs_reuse;
cis_structs_handler cis_corelibs_tcp_new, cis_corelibs_connect, cis_corelibs_listen,
    cis_corelibs_accept, cis_corelibs_remote, cis_corelibs_shutdown;
cis_typed_handler cis_corelibs_tcp_send, cis_corelibs_tcp_receive;
cis_structs_handler cis_corelibs_udp_new, cis_corelibs_udp_send, cis_corelibs_udp_receive;

#endif
