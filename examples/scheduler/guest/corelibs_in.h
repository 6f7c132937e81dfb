/* scheduler:core-libs/wasi-{network,tcp,udp} for those who import them. */
#ifndef SCHEDULER_CORELIBS_IN_H
#define SCHEDULER_CORELIBS_IN_H

#include "corelibs.h"

typedef uint32_t handle;
#define TCP(name) GUEST_IMPORT(CORELIBS_TCP, name)
GUEST_IMPORT(CORELIBS_NETWORK, "get-network") handle get_network(void);
TCP("[static]tcp-socket.new") void tcp_new(int32_t family, void *out);
TCP("[resource-drop]tcp-socket") void drop_tcp(handle h);
TCP("[method]tcp-socket.connect")
void tcp_connect(handle h, handle net, CORELIBS_ADDRESS, int32_t port, void *out);
TCP("[method]tcp-socket.bind")
void tcp_bind(handle h, handle net, CORELIBS_ADDRESS, int32_t port, void *out);
TCP("[method]tcp-socket.send") void tcp_send(handle h, const void *at, size_t n, void *out);
TCP("[method]tcp-socket.receive") void tcp_receive(handle h, uint64_t n, void *out);
TCP("[method]tcp-socket.listen") void tcp_listen(handle h, uint32_t backlog, void *out);
TCP("[method]tcp-socket.accept") void tcp_accept(handle h, void *out);
TCP("[method]tcp-socket.local-address") void tcp_local(handle h, void *out);
TCP("[method]tcp-socket.remote-address") void tcp_remote(handle h, void *out);
TCP("[method]tcp-socket.set-reuse-address") void tcp_reuse(handle h, int32_t on, void *out);

#define UDP(name) GUEST_IMPORT(CORELIBS_UDP, name)
UDP("[static]udp-socket.new") void udp_new(int32_t family, void *out);
UDP("[resource-drop]udp-socket") void drop_udp(handle h);
UDP("[method]udp-socket.bind")
void udp_bind(handle h, handle net, CORELIBS_ADDRESS, int32_t port, void *out);
UDP("[method]udp-socket.send-to")
void udp_send_to(handle h, const void *at, size_t n, handle net, CORELIBS_ADDRESS, int32_t port,
                 void *out);
UDP("[method]udp-socket.receive-from") void udp_receive_from(handle h, uint64_t n, void *out);
UDP("[method]udp-socket.local-address") void udp_local(handle h, void *out);
UDP("[method]udp-socket.set-reuse-address") void udp_reuse(handle h, int32_t on, void *out);

/* A result as it lies in memory: its case in the first byte, then by its type. */
union corelibs_result {
    uint8_t b[32];
    uint32_t w[8];
    uint64_t d[4];
};

static inline int32_t corelibs_part(const struct net_address *a, int i)
{
    return a->v6 ? a->ip[2 * i] << 8 | a->ip[2 * i + 1] : i < 4 ? a->ip[i] : 0;
}
#define CORELIBS_FLAT(a)                                                                           \
    (a)->v6, corelibs_part((a), 0), corelibs_part((a), 1), corelibs_part((a), 2),                  \
        corelibs_part((a), 3), corelibs_part((a), 4), corelibs_part((a), 5),                       \
        corelibs_part((a), 6), corelibs_part((a), 7), (a)->port

#endif
