/* What TCP and UDP have in common: making, binding, addresses, the end. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/mem.h"
#include "service/net/internal.h"

#define BACKLOG 128

static enum cis_sock_code no_dual_stack(int fd, int family)
{
    int on = 1;
    return family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0
               ? cis_sock_code_of(errno)
               : CIS_SOCK_OK;
}

enum cis_sock_code cis_sock_of_fd(cis_net *net, enum cis_net_kind kind, int family, int fd,
                                  cis_sock **out_sock)
{
    cis_sock *sock = cis_zalloc(sizeof *sock);
    if (sock == NULL) {
        return CIS_SOCK_NOMEM;
    }
    sock->net = net;
    sock->fd = fd;
    sock->kind = kind;
    sock->family = family;
    sock->backlog = BACKLOG;
    *out_sock = sock;
    return CIS_SOCK_OK;
}

static enum cis_sock_code make(cis_net *net, enum cis_net_kind kind, int family,
                               cis_sock **out_sock)
{
    int type = kind == CIS_NET_TCP ? SOCK_STREAM : SOCK_DGRAM;
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return cis_sock_code_of(errno);
    }
    enum cis_sock_code code = no_dual_stack(fd, family);
    if (code == CIS_SOCK_OK) {
        code = cis_sock_of_fd(net, kind, family, fd, out_sock);
    }
    if (code != CIS_SOCK_OK) {
        close(fd);
        return code;
    }
    int on = 1;
    if (kind == CIS_NET_TCP) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        cis_sock_no_delay(fd);
    }
    return CIS_SOCK_OK;
}

enum cis_sock_code cis_sock_new(cis_net *net, enum cis_net_kind kind, int family,
                                cis_sock **out_sock)
{
    if (family != AF_INET && family != AF_INET6) {
        return CIS_SOCK_UNSUPPORTED;
    }
    enum cis_sock_code code = cis_net_take(net);
    if (code != CIS_SOCK_OK) {
        return code;
    }
    code = make(net, kind, family, out_sock);
    if (code != CIS_SOCK_OK) {
        cis_net_give_back(net);
    }
    return code;
}

void cis_sock_close(cis_sock *sock)
{
    if (sock->fd >= 0) {
        close(sock->fd);
    }
    sock->fd = -1;
    sock->state = CIS_SOCK_CLOSED;
}

void cis_sock_free(cis_sock *sock)
{
    if (sock == NULL) {
        return;
    }
    cis_sock_close(sock);
    cis_net_give_back(sock->net);
    cis_free(sock);
}

enum cis_sock_state cis_sock_state(const cis_sock *sock)
{
    return sock->state;
}

enum cis_net_kind cis_sock_kind(const cis_sock *sock)
{
    return sock->kind;
}

int cis_sock_family(const cis_sock *sock)
{
    return sock->family;
}

bool cis_sock_wish(const cis_sock *sock, bool writes, int *out_fd, short *out_events)
{
    *out_fd = sock->fd;
    *out_events = writes ? POLLOUT : POLLIN | POLLRDHUP;
    switch (sock->state) {
    case CIS_SOCK_CONNECTING:
        *out_events = POLLOUT;
        return sock->failed == CIS_SOCK_OK;
    case CIS_SOCK_LISTENING:
        *out_events = POLLIN;
        return true;
    case CIS_SOCK_CONNECTED:
        return true;
    case CIS_SOCK_BOUND:
        return sock->kind == CIS_NET_UDP;
    case CIS_SOCK_UNBOUND:
    case CIS_SOCK_BINDING:
    case CIS_SOCK_LISTEN_STARTED:
    case CIS_SOCK_CLOSED:
        break;
    }
    return false;
}

bool cis_sock_busy(const cis_sock *sock)
{
    return sock->state == CIS_SOCK_BINDING || sock->state == CIS_SOCK_LISTEN_STARTED ||
           sock->state == CIS_SOCK_CONNECTING;
}

/* ---- binding ---- */

enum cis_sock_code cis_sock_bind_start(cis_sock *sock, const struct sockaddr *addr)
{
    bool client;
    if (cis_sock_busy(sock)) {
        return CIS_SOCK_CONFLICT;
    }
    if (sock->state != CIS_SOCK_UNBOUND) {
        return CIS_SOCK_STATE;
    }
    if (!cis_net_addr_fits(addr, sock->family) || !cis_net_addr_unicast(addr)) {
        return CIS_SOCK_INVALID;
    }
    if (!cis_policy_bind_allowed(sock->net->options.grants, sock->kind, addr, &client)) {
        return cis_net_refuse(sock->net, "listen", addr);
    }
    if (bind(sock->fd, addr, cis_net_addr_len(addr)) != 0) {
        /* EINVAL: an address that is of no interface in this form. */
        return errno == EINVAL || errno == ENODEV ? CIS_SOCK_NOT_BINDABLE : cis_sock_code_of(errno);
    }
    sock->client = client;
    sock->state = CIS_SOCK_BINDING;
    return CIS_SOCK_OK;
}

enum cis_sock_code cis_sock_bind_finish(cis_sock *sock)
{
    if (sock->state != CIS_SOCK_BINDING) {
        return CIS_SOCK_NOT_IN_PROGRESS;
    }
    sock->state = CIS_SOCK_BOUND;
    return CIS_SOCK_OK;
}

/* ---- addresses ---- */

enum cis_sock_code cis_sock_local(const cis_sock *sock, struct sockaddr_storage *out)
{
    socklen_t len = sizeof *out;
    memset(out, 0, sizeof *out);
    if (sock->state == CIS_SOCK_UNBOUND || sock->state == CIS_SOCK_BINDING ||
        sock->state == CIS_SOCK_CONNECTING || sock->state == CIS_SOCK_CLOSED) {
        return CIS_SOCK_STATE;
    }
    return getsockname(sock->fd, (struct sockaddr *)out, &len) == 0 ? CIS_SOCK_OK
                                                                    : cis_sock_code_of(errno);
}

enum cis_sock_code cis_sock_remote(const cis_sock *sock, struct sockaddr_storage *out)
{
    /* Not getpeername(2): it knows of a peer only as long as neither side has ended. */
    memset(out, 0, sizeof *out);
    if (!sock->has_peer && sock->state != CIS_SOCK_CONNECTED) {
        return CIS_SOCK_STATE;
    }
    *out = sock->peer;
    return CIS_SOCK_OK;
}
