/* TCP: connecting, listening, accepting, bytes. */
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "service/net/internal.h"

/* Of the kernel's buffer: what a write is taken to cost beside its bytes; and with less than this
 * the kernel is asked again. */
#define SEND_COSTS 4096u
#define ROOM_KNOWN 16384u

/* Guests cannot ask for it, and write what belongs together in one piece or wait for nobody. */
void cis_sock_no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* ---- connecting ---- */

static enum cis_sock_code connect_code(int rc)
{
    switch (rc) {
    case EADDRNOTAVAIL: /* no port is free for the way there */
        return CIS_SOCK_IN_USE;
    case EINVAL: /* no way there has such a source */
        return CIS_SOCK_UNREACHABLE;
    default:
        return cis_sock_code_of(rc);
    }
}

enum cis_sock_code cis_sock_connect_start(cis_sock *sock, const struct sockaddr *addr)
{
    if (cis_sock_busy(sock)) {
        return CIS_SOCK_CONFLICT;
    }
    if (sock->kind != CIS_NET_TCP ||
        (sock->state != CIS_SOCK_UNBOUND && sock->state != CIS_SOCK_BOUND)) {
        return CIS_SOCK_STATE;
    }
    if (!cis_net_addr_fits(addr, sock->family) || !cis_net_addr_unicast(addr) ||
        cis_net_addr_unspecified(addr) || cis_net_addr_port(addr) == 0) {
        return CIS_SOCK_INVALID;
    }
    if (!cis_net_may_connect(sock->net, CIS_NET_TCP, addr)) {
        return cis_net_refuse(sock->net, "tcp", addr);
    }
    sock->state = CIS_SOCK_CONNECTING;
    sock->failed = CIS_SOCK_OK;
    memset(&sock->peer, 0, sizeof sock->peer);
    memcpy(&sock->peer, addr, cis_net_addr_len(addr));
    if (connect(sock->fd, addr, cis_net_addr_len(addr)) != 0 && errno != EINPROGRESS &&
        errno != EINTR) {
        sock->failed = connect_code(errno); /* told by finish */
    }
    return CIS_SOCK_OK;
}

static enum cis_sock_code connect_result(cis_sock *sock)
{
    struct pollfd now = {.fd = sock->fd, .events = POLLOUT};
    int rc = 0;
    socklen_t len = sizeof rc;
    if (sock->failed != CIS_SOCK_OK) {
        return sock->failed;
    }
    if (poll(&now, 1, 0) <= 0) {
        return CIS_SOCK_AGAIN;
    }
    if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &rc, &len) != 0) {
        rc = errno;
    }
    return rc != 0 ? connect_code(rc) : CIS_SOCK_OK;
}

enum cis_sock_code cis_sock_connect_finish(cis_sock *sock)
{
    if (sock->state != CIS_SOCK_CONNECTING) {
        return CIS_SOCK_NOT_IN_PROGRESS;
    }
    enum cis_sock_code code = connect_result(sock);
    if (code == CIS_SOCK_OK) {
        sock->state = CIS_SOCK_CONNECTED;
    } else if (code != CIS_SOCK_AGAIN) {
        cis_sock_close(sock);
    }
    return code;
}

/* ---- listening ---- */

enum cis_sock_code cis_sock_listen_start(cis_sock *sock)
{
    struct sockaddr_storage local;
    if (cis_sock_busy(sock)) {
        return CIS_SOCK_CONFLICT;
    }
    if (sock->kind != CIS_NET_TCP || sock->state != CIS_SOCK_BOUND) {
        return CIS_SOCK_STATE;
    }
    enum cis_sock_code code = cis_sock_local(sock, &local);
    if (code != CIS_SOCK_OK) {
        return code;
    }
    const struct sockaddr *addr = (const struct sockaddr *)&local;
    if (!cis_policy_listen_allowed(sock->net->options.grants, addr)) {
        return cis_net_refuse(sock->net, "listen", addr);
    }
    if (listen(sock->fd, sock->backlog) != 0) {
        return cis_sock_code_of(errno);
    }
    sock->state = CIS_SOCK_LISTEN_STARTED;
    return CIS_SOCK_OK;
}

enum cis_sock_code cis_sock_listen_finish(cis_sock *sock)
{
    if (sock->state != CIS_SOCK_LISTEN_STARTED) {
        return CIS_SOCK_NOT_IN_PROGRESS;
    }
    sock->state = CIS_SOCK_LISTENING;
    return CIS_SOCK_OK;
}

static enum cis_sock_code accept_one(cis_sock *sock, cis_sock **out_sock)
{
    /* What the kernel says of the connection it had is an end of that one (accept(2)). */
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    int fd = accept4(sock->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        enum cis_sock_code code = cis_sock_code_of(errno);
        return errno == EPROTO || code == CIS_SOCK_UNREACHABLE ? CIS_SOCK_ABORTED : code;
    }
    enum cis_sock_code code = cis_sock_of_fd(sock->net, CIS_NET_TCP, sock->family, fd, out_sock);
    if (code != CIS_SOCK_OK) {
        close(fd);
        return code;
    }
    (*out_sock)->state = CIS_SOCK_CONNECTED;
    (*out_sock)->peer = peer;
    return CIS_SOCK_OK;
}

enum cis_sock_code cis_sock_accept(cis_sock *sock, cis_sock **out_sock)
{
    if (sock->state != CIS_SOCK_LISTENING) {
        return CIS_SOCK_STATE;
    }
    enum cis_sock_code code = cis_net_take(sock->net);
    if (code != CIS_SOCK_OK) {
        return code;
    }
    code = accept_one(sock, out_sock);
    if (code != CIS_SOCK_OK) {
        cis_net_give_back(sock->net);
    }
    return code;
}

/* ---- bytes ---- */

enum cis_sock_code cis_sock_receive(cis_sock *sock, void *to, size_t cap, size_t *out_n,
                                    bool *out_end)
{
    *out_n = 0;
    if (sock->state != CIS_SOCK_CONNECTED || sock->kind != CIS_NET_TCP) {
        return CIS_SOCK_STATE;
    }
    uint8_t first;
    ssize_t n;
    do {
        n = cap != 0 ? recv(sock->fd, to, cap, 0) : recv(sock->fd, &first, 1, MSG_PEEK);
    } while (n < 0 && errno == EINTR);
    if (n < 0 || (cap == 0 && n != 0)) {
        return n < 0 ? cis_sock_code_of(errno) : CIS_SOCK_AGAIN;
    }
    *out_n = (size_t)n;
    if (out_end != NULL) {
        *out_end = n == 0;
    }
    return CIS_SOCK_OK;
}

enum cis_sock_code cis_sock_send(cis_sock *sock, struct cis_bytes data, size_t *out_n,
                                 bool *out_end)
{
    *out_n = 0;
    if (sock->state != CIS_SOCK_CONNECTED || sock->kind != CIS_NET_TCP) {
        return CIS_SOCK_STATE;
    }
    if (data.len == 0) {
        return CIS_SOCK_OK;
    }
    ssize_t n;
    do {
        n = send(sock->fd, data.ptr, data.len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    size_t costs = data.len + SEND_COSTS;
    sock->room = n == (ssize_t)data.len && costs < sock->room ? sock->room - costs : 0;
    if (n < 0) {
        if (out_end != NULL) {
            *out_end = errno == EPIPE;
        }
        return cis_sock_code_of(errno);
    }
    *out_n = (size_t)n;
    return CIS_SOCK_OK;
}

/* The kernel counts what a buffer costs it, not its bytes; half of what is free is on the safe side
 * of that for all but the smallest writes. */
static size_t ask_room(const cis_sock *sock)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof info;
    struct pollfd now = {.fd = sock->fd, .events = POLLOUT};
    if (sock->state != CIS_SOCK_CONNECTED || poll(&now, 1, 0) <= 0 ||
        getsockopt(sock->fd, SOL_SOCKET, SO_MEMINFO, info, &len) != 0) {
        return 0;
    }
    uint32_t most = info[SK_MEMINFO_SNDBUF], used = info[SK_MEMINFO_WMEM_QUEUED];
    return used < most ? (most - used) / 2 + 1 : 1;
}

/* An answer holds, less what was sent since, until half of it is gone: the peer only makes room. */
size_t cis_sock_room(cis_sock *sock)
{
    if (sock->state != CIS_SOCK_CONNECTED || sock->room < ROOM_KNOWN ||
        sock->room < sock->room_asked / 2) {
        sock->room = sock->room_asked = ask_room(sock);
    }
    return sock->room;
}

enum cis_sock_code cis_sock_shutdown(cis_sock *sock, int how)
{
    if (sock->kind != CIS_NET_TCP || sock->state != CIS_SOCK_CONNECTED) {
        return CIS_SOCK_STATE;
    }
    /* ENOTCONN: the peer has reset it, there is nothing left to shut. */
    return shutdown(sock->fd, how) == 0 || errno == ENOTCONN ? CIS_SOCK_OK
                                                             : cis_sock_code_of(errno);
}
