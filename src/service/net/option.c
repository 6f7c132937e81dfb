/* Options of sockets: what the kernel refuses as too large is made fit instead. */
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "service/net/internal.h"

#define SECONDS_MAX 32767u /* of the kernel's keep-alive times */
#define COUNT_MAX 127u

struct place {
    int level, name;
    bool tcp_only;
};

static struct place place_of(const cis_sock *sock, enum cis_sock_option option)
{
    bool v6 = sock->family == AF_INET6;
    switch (option) {
    case CIS_SOCK_KEEP_ALIVE:
        return (struct place){SOL_SOCKET, SO_KEEPALIVE, true};
    case CIS_SOCK_KEEP_IDLE:
        return (struct place){IPPROTO_TCP, TCP_KEEPIDLE, true};
    case CIS_SOCK_KEEP_INTERVAL:
        return (struct place){IPPROTO_TCP, TCP_KEEPINTVL, true};
    case CIS_SOCK_KEEP_COUNT:
        return (struct place){IPPROTO_TCP, TCP_KEEPCNT, true};
    case CIS_SOCK_HOP_LIMIT:
        return v6 ? (struct place){IPPROTO_IPV6, IPV6_UNICAST_HOPS, false}
                  : (struct place){IPPROTO_IP, IP_TTL, false};
    case CIS_SOCK_RECEIVE_BUFFER:
        return (struct place){SOL_SOCKET, SO_RCVBUF, false};
    case CIS_SOCK_SEND_BUFFER:
        return (struct place){SOL_SOCKET, SO_SNDBUF, false};
    case CIS_SOCK_REUSE_ADDRESS:
        return (struct place){SOL_SOCKET, SO_REUSEADDR, false};
    case CIS_SOCK_BACKLOG:
        break;
    }
    return (struct place){-1, 0, true};
}

static bool is_time(enum cis_sock_option option)
{
    return option == CIS_SOCK_KEEP_IDLE || option == CIS_SOCK_KEEP_INTERVAL;
}

static bool is_buffer(enum cis_sock_option option)
{
    return option == CIS_SOCK_RECEIVE_BUFFER || option == CIS_SOCK_SEND_BUFFER;
}

enum cis_sock_code cis_sock_get(const cis_sock *sock, enum cis_sock_option option,
                                uint64_t *out_value)
{
    struct place place = place_of(sock, option);
    int value = 0;
    socklen_t len = sizeof value;
    if (sock->fd < 0) {
        return CIS_SOCK_STATE;
    }
    if (place.level < 0 || (place.tcp_only && sock->kind != CIS_NET_TCP)) {
        return CIS_SOCK_UNSUPPORTED;
    }
    if (getsockopt(sock->fd, place.level, place.name, &value, &len) != 0) {
        return cis_sock_code_of(errno);
    }
    uint64_t n = value > 0 ? (uint64_t)value : 0;
    /* The kernel doubles what it is told, for what a buffer costs beside its bytes. */
    *out_value = is_time(option) ? n * CIS_NS_PER_S : is_buffer(option) ? n / 2 : n;
    return CIS_SOCK_OK;
}

static enum cis_sock_code set_backlog(cis_sock *sock, uint64_t value)
{
    if (value == 0) {
        return CIS_SOCK_INVALID;
    }
    if (sock->kind != CIS_NET_TCP || sock->state == CIS_SOCK_CONNECTING ||
        sock->state == CIS_SOCK_CONNECTED || sock->state == CIS_SOCK_CLOSED) {
        return CIS_SOCK_STATE;
    }
    sock->backlog = value < SOMAXCONN ? (int)value : SOMAXCONN;
    bool listens = sock->state == CIS_SOCK_LISTENING || sock->state == CIS_SOCK_LISTEN_STARTED;
    return listens && listen(sock->fd, sock->backlog) != 0 ? cis_sock_code_of(errno) : CIS_SOCK_OK;
}

static uint64_t clamp(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

enum cis_sock_code cis_sock_set(cis_sock *sock, enum cis_sock_option option, uint64_t value)
{
    struct place place = place_of(sock, option);
    bool is_switch = option == CIS_SOCK_KEEP_ALIVE || option == CIS_SOCK_REUSE_ADDRESS;
    if (option == CIS_SOCK_BACKLOG) {
        return set_backlog(sock, value);
    }
    if (value == 0 && !is_switch) {
        return CIS_SOCK_INVALID;
    }
    if (sock->fd < 0) {
        return CIS_SOCK_STATE;
    }
    if (place.tcp_only && sock->kind != CIS_NET_TCP) {
        return CIS_SOCK_UNSUPPORTED;
    }
    if (is_time(option)) {
        value = clamp(value / CIS_NS_PER_S + (value % CIS_NS_PER_S != 0), SECONDS_MAX);
    } else if (option == CIS_SOCK_KEEP_COUNT) {
        value = clamp(value, COUNT_MAX);
    } else if (is_switch) {
        value = value != 0;
    } else if (option == CIS_SOCK_HOP_LIMIT) {
        value = clamp(value, 255);
    }
    if (option == CIS_SOCK_SEND_BUFFER) {
        sock->room = 0; /* to be asked again */
    }
    int n = (int)clamp(value, INT32_MAX / 2);
    return setsockopt(sock->fd, place.level, place.name, &n, sizeof n) == 0
               ? CIS_SOCK_OK
               : cis_sock_code_of(errno);
}
