/* UDP: datagrams, each checked by its address. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "service/net/internal.h"

/* Datagrams of strangers that one call looks at and drops. */
#define DROPS 64

static enum cis_sock_code to_code(int rc)
{
    switch (rc) {
    case EINVAL:
        return CIS_SOCK_UNREACHABLE; /* no way there has such a source */
    case EDESTADDRREQ:
        return CIS_SOCK_INVALID;
    case ENOBUFS:
        return CIS_SOCK_AGAIN;
    default:
        return cis_sock_code_of(rc);
    }
}

static enum cis_sock_code check_target(const cis_sock *sock, const struct sockaddr *addr)
{
    if (!cis_net_addr_fits(addr, sock->family) || cis_net_addr_unspecified(addr) ||
        cis_net_addr_port(addr) == 0) {
        return CIS_SOCK_INVALID;
    }
    return cis_net_may_connect(sock->net, CIS_NET_UDP, addr)
               ? CIS_SOCK_OK
               : cis_net_refuse(sock->net, "udp", addr);
}

/* Linux forgets with the peer also a port that it had chosen itself. */
static enum cis_sock_code leave_peer(cis_sock *sock)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct sockaddr_storage now;
    socklen_t len = sizeof now;
    if (!sock->has_peer) {
        return CIS_SOCK_OK;
    }
    sock->has_peer = false;
    if (connect(sock->fd, &none, sizeof none) != 0 && errno != EAFNOSUPPORT) {
        return cis_sock_code_of(errno);
    }
    if (getsockname(sock->fd, (struct sockaddr *)&now, &len) == 0 &&
        cis_net_addr_port((const struct sockaddr *)&now) != 0) {
        return CIS_SOCK_OK;
    }
    const struct sockaddr *bound = (const struct sockaddr *)&sock->bound;
    return bind(sock->fd, bound, cis_net_addr_len(bound)) == 0 ? CIS_SOCK_OK
                                                               : cis_sock_code_of(errno);
}

enum cis_sock_code cis_sock_peer(cis_sock *sock, const struct sockaddr *addr)
{
    if (sock->kind != CIS_NET_UDP || sock->state != CIS_SOCK_BOUND) {
        return CIS_SOCK_STATE;
    }
    enum cis_sock_code code = addr != NULL ? check_target(sock, addr) : CIS_SOCK_OK;
    if (code != CIS_SOCK_OK) {
        return code;
    }
    bool had = sock->has_peer;
    if (!had) {
        code = cis_sock_local(sock, &sock->bound);
    }
    if (code == CIS_SOCK_OK) {
        code = leave_peer(sock);
    }
    if (code != CIS_SOCK_OK || addr == NULL) {
        return code;
    }
    if (connect(sock->fd, addr, cis_net_addr_len(addr)) != 0) {
        int why = errno;
        const struct sockaddr *old = (const struct sockaddr *)&sock->peer;
        sock->has_peer = had && connect(sock->fd, old, cis_net_addr_len(old)) == 0;
        return to_code(why); /* its streams are still for the peer that it had */
    }
    memset(&sock->peer, 0, sizeof sock->peer);
    memcpy(&sock->peer, addr, cis_net_addr_len(addr));
    sock->has_peer = true;
    return CIS_SOCK_OK;
}

/* Is a datagram from there for this socket? What was queued before it had a peer may be anybody's.
 */
static bool wanted(const cis_sock *sock, const struct sockaddr *from)
{
    if (sock->has_peer) {
        return cis_net_addr_same(from, (const struct sockaddr *)&sock->peer);
    }
    return !sock->client || cis_net_may_connect(sock->net, CIS_NET_UDP, from);
}

enum cis_sock_code cis_sock_receive_from(cis_sock *sock, void *to, size_t cap, size_t *out_n,
                                         struct sockaddr_storage *out_from)
{
    if (sock->kind != CIS_NET_UDP || sock->state != CIS_SOCK_BOUND) {
        return CIS_SOCK_STATE;
    }
    for (int dropped = 0; dropped < DROPS; dropped++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(sock->fd, to, cap, 0, (struct sockaddr *)&from, &len);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return to_code(errno);
        }
        if (wanted(sock, (const struct sockaddr *)&from)) {
            *out_n = (size_t)n;
            *out_from = from;
            return CIS_SOCK_OK;
        }
    }
    return CIS_SOCK_AGAIN;
}

enum cis_sock_code cis_sock_send_to(cis_sock *sock, struct cis_bytes data,
                                    const struct sockaddr *addr)
{
    if (sock->kind != CIS_NET_UDP || sock->state != CIS_SOCK_BOUND) {
        return CIS_SOCK_STATE;
    }
    if (addr == NULL && !sock->has_peer) {
        return CIS_SOCK_INVALID;
    }
    if (addr != NULL && sock->has_peer) {
        if (!cis_net_addr_same(addr, (const struct sockaddr *)&sock->peer)) {
            return CIS_SOCK_INVALID;
        }
        addr = NULL;
    }
    enum cis_sock_code code = addr != NULL ? check_target(sock, addr) : CIS_SOCK_OK;
    if (code != CIS_SOCK_OK) {
        return code;
    }
    if (data.len > CIS_SOCK_DATAGRAM_MAX) {
        return CIS_SOCK_TOO_LARGE;
    }
    ssize_t n;
    do {
        n = sendto(sock->fd, data.ptr, data.len, MSG_NOSIGNAL, addr,
                   addr != NULL ? cis_net_addr_len(addr) : 0);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? CIS_SOCK_OK : to_code(errno);
}
