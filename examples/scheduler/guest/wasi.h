/* WASI 0.2 in C: the functions that are used here as the canonical ABI flattens them. */
#ifndef SCHEDULER_WASI_H
#define SCHEDULER_WASI_H

#include "guest.h"
#include "net.h"

#define WASI(interface, name) GUEST_IMPORT("wasi:" interface "@0.2.12", name)
typedef uint32_t handle; /* 0 is none here: the first one is 1 */

WASI("io/error", "[resource-drop]error") void drop_error(handle h);
WASI("io/poll", "[resource-drop]pollable") void drop_pollable(handle h);
WASI("io/poll", "[method]pollable.block") void pollable_block(handle h);
WASI("io/poll", "poll") void poll_many(const handle *list, size_t n, void *out);
WASI("io/streams", "[resource-drop]input-stream") void drop_in(handle h);
WASI("io/streams", "[resource-drop]output-stream") void drop_out(handle h);
WASI("io/streams", "[method]input-stream.read") void in_read(handle h, uint64_t n, void *out);
WASI("io/streams", "[method]input-stream.subscribe") handle in_subscribe(handle h);
WASI("io/streams", "[method]output-stream.check-write") void out_check(handle h, void *out);
WASI("io/streams", "[method]output-stream.write")
void out_write(handle h, const void *at, size_t n, void *out);
WASI("io/streams", "[method]output-stream.subscribe") handle out_subscribe(handle h);
WASI("clocks/monotonic-clock", "now") uint64_t clock_now(void);
WASI("clocks/monotonic-clock", "subscribe-instant") handle clock_subscribe(uint64_t when);

/* An ip-socket-address as it is passed: its case and eleven words. */
#define WASI_ADDRESS                                                                               \
    int32_t is, int32_t a0, int32_t a1, int32_t a2, int32_t a3, int32_t a4, int32_t a5,            \
        int32_t a6, int32_t a7, int32_t a8, int32_t a9, int32_t a10
WASI("sockets/network", "[resource-drop]network") void drop_network(handle h);
WASI("sockets/instance-network", "instance-network") handle instance_network(void);
WASI("sockets/ip-name-lookup", "[resource-drop]resolve-address-stream") void drop_lookup(handle h);
WASI("sockets/ip-name-lookup", "resolve-addresses")
void resolve_addresses(handle net, const char *at, size_t n, void *out);
WASI("sockets/ip-name-lookup", "[method]resolve-address-stream.resolve-next-address")
void resolve_next(handle h, void *out);
WASI("sockets/ip-name-lookup", "[method]resolve-address-stream.subscribe")
handle resolve_subscribe(handle h);
WASI("sockets/tcp-create-socket", "create-tcp-socket") void tcp_create(int32_t family, void *out);
#define WASI_TCP(name) WASI("sockets/tcp", "[method]tcp-socket." name)
WASI("sockets/tcp", "[resource-drop]tcp-socket") void drop_tcp(handle h);
WASI_TCP("start-bind") void tcp_start_bind(handle h, handle net, WASI_ADDRESS, void *out);
WASI_TCP("finish-bind") void tcp_finish_bind(handle h, void *out);
WASI_TCP("start-connect") void tcp_start_connect(handle h, handle net, WASI_ADDRESS, void *out);
WASI_TCP("finish-connect") void tcp_finish_connect(handle h, void *out);
WASI_TCP("start-listen") void tcp_start_listen(handle h, void *out);
WASI_TCP("finish-listen") void tcp_finish_listen(handle h, void *out);
WASI_TCP("accept") void tcp_accept(handle h, void *out);
WASI_TCP("local-address") void tcp_local(handle h, void *out);
WASI_TCP("remote-address") void tcp_remote(handle h, void *out);
WASI_TCP("set-listen-backlog-size") void tcp_set_backlog(handle h, uint64_t n, void *out);
WASI_TCP("subscribe") handle tcp_subscribe(handle h);
WASI_TCP("shutdown") void tcp_shutdown(handle h, int32_t how, void *out);

WASI("sockets/udp-create-socket", "create-udp-socket") void udp_create(int32_t family, void *out);
#define WASI_UDP(name) WASI("sockets/udp", "[method]udp-socket." name)
WASI("sockets/udp", "[resource-drop]udp-socket") void drop_udp(handle h);
WASI("sockets/udp", "[resource-drop]incoming-datagram-stream") void drop_udp_in(handle h);
WASI("sockets/udp", "[resource-drop]outgoing-datagram-stream") void drop_udp_out(handle h);
WASI_UDP("start-bind") void udp_start_bind(handle h, handle net, WASI_ADDRESS, void *out);
WASI_UDP("finish-bind") void udp_finish_bind(handle h, void *out);
WASI_UDP("stream") void udp_stream(handle h, int32_t has, WASI_ADDRESS, void *out);
WASI_UDP("local-address") void udp_local(handle h, void *out);
WASI_UDP("subscribe") handle udp_subscribe(handle h);
WASI("sockets/udp", "[method]incoming-datagram-stream.receive")
void udp_receive(handle h, uint64_t n, void *out);
WASI("sockets/udp", "[method]incoming-datagram-stream.subscribe")
handle udp_in_subscribe(handle h);
WASI("sockets/udp", "[method]outgoing-datagram-stream.check-send")
void udp_check(handle h, void *out);
WASI("sockets/udp", "[method]outgoing-datagram-stream.send")
void udp_send(handle h, const void *list, size_t n, void *out);
WASI("sockets/udp", "[method]outgoing-datagram-stream.subscribe")
handle udp_out_subscribe(handle h);

enum wasi_error {
    WASI_UNKNOWN,
    WASI_ACCESS_DENIED,
    WASI_NOT_SUPPORTED,
    WASI_INVALID_ARGUMENT,
    WASI_OUT_OF_MEMORY,
    WASI_TIMEOUT,
    WASI_CONCURRENCY_CONFLICT,
    WASI_NOT_IN_PROGRESS,
    WASI_WOULD_BLOCK,
    WASI_INVALID_STATE,
    WASI_NEW_SOCKET_LIMIT,
    WASI_ADDRESS_NOT_BINDABLE,
    WASI_ADDRESS_IN_USE,
    WASI_REMOTE_UNREACHABLE,
    WASI_CONNECTION_REFUSED,
    WASI_CONNECTION_RESET,
    WASI_CONNECTION_ABORTED,
    WASI_DATAGRAM_TOO_LARGE,
    WASI_NAME_UNRESOLVABLE,
    WASI_TEMPORARY_RESOLVER_FAILURE,
    WASI_PERMANENT_RESOLVER_FAILURE
};

/* A result as it lies in memory: its case in the first byte, then by its type. */
union wasi_result {
    uint8_t b[64];
    uint16_t h[32];
    uint32_t w[16];
    uint64_t d[8];
};

static inline int32_t wasi_word(const struct net_address *a, int i)
{
    return a->ip[2 * i] << 8 | a->ip[2 * i + 1];
}
/* A net_address as WASI_ADDRESS. */
#define WASI_FLAT(a)                                                                               \
    (a)->v6, (a)->port, (a)->v6 ? 0 : (a)->ip[0], (a)->v6 ? wasi_word((a), 0) : (a)->ip[1],        \
        (a)->v6 ? wasi_word((a), 1) : (a)->ip[2], (a)->v6 ? wasi_word((a), 2) : (a)->ip[3],        \
        (a)->v6 ? wasi_word((a), 3) : 0, (a)->v6 ? wasi_word((a), 4) : 0,                          \
        (a)->v6 ? wasi_word((a), 5) : 0, (a)->v6 ? wasi_word((a), 6) : 0,                          \
        (a)->v6 ? wasi_word((a), 7) : 0, 0

#endif
