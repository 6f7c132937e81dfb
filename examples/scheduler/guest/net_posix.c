/* net.h over the sockets of the machine: the scheduler as a native program, for its tests. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "net.h"
#include "text.h"

struct socket_posix {
    struct net_socket is;
    int fd;
    short waits_for;
};

static struct socket_posix *of(struct net_socket *s)
{
    return (struct socket_posix *)s;
}

static enum net_error error_of(int e)
{
    switch (e) {
    case 0:
        return NET_OK;
    case EAGAIN:
    case EINTR:
    case EINPROGRESS:
        return NET_AGAIN;
    case ECONNREFUSED:
        return NET_REFUSED;
    case ECONNRESET:
    case EPIPE:
        return NET_RESET;
    case ECONNABORTED:
        return NET_ABORTED;
    case ENETUNREACH:
    case EHOSTUNREACH:
        return NET_UNREACHABLE;
    case EADDRINUSE:
        return NET_IN_USE;
    case EADDRNOTAVAIL:
        return NET_NOT_AVAILABLE;
    case ETIMEDOUT:
        return NET_TIMEOUT;
    case EINVAL:
    case EAFNOSUPPORT:
        return NET_INVALID;
    case EACCES:
    case EPERM:
        return NET_DENIED;
    case EMFILE:
    case ENFILE:
        return NET_LIMIT;
    default:
        return NET_OTHER;
    }
}

static socklen_t to_sockaddr(const struct net_address *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (a->v6) {
        struct sockaddr_in6 *to = (struct sockaddr_in6 *)out;
        to->sin6_family = AF_INET6;
        to->sin6_port = htons(a->port);
        memcpy(&to->sin6_addr, a->ip, 16);
        return sizeof *to;
    }
    struct sockaddr_in *to = (struct sockaddr_in *)out;
    to->sin_family = AF_INET;
    to->sin_port = htons(a->port);
    memcpy(&to->sin_addr, a->ip, 4);
    return sizeof *to;
}

enum net_error net_open(bool v6, struct net_socket **out)
{
    int on = 1;
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return error_of(errno);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct socket_posix *s = need(sizeof *s);
    s->is.ready = true;
    s->fd = fd;
    *out = &s->is;
    return NET_OK;
}

enum net_error net_bind(struct net_socket *s, const struct net_address *at)
{
    struct sockaddr_storage to;
    socklen_t n = to_sockaddr(at, &to);
    return bind(of(s)->fd, (struct sockaddr *)&to, n) == 0 ? NET_OK : error_of(errno);
}

enum net_error net_connect(struct net_socket *s, const struct net_address *at)
{
    struct sockaddr_storage to;
    socklen_t n = to_sockaddr(at, &to);
    of(s)->waits_for = POLLOUT;
    return connect(of(s)->fd, (struct sockaddr *)&to, n) == 0 ? NET_OK : error_of(errno);
}

enum net_error net_connected(struct net_socket *s)
{
    struct pollfd p = {.fd = of(s)->fd, .events = POLLOUT};
    int e = 0;
    socklen_t n = sizeof e;
    if (poll(&p, 1, 0) <= 0) {
        return NET_AGAIN;
    }
    getsockopt(of(s)->fd, SOL_SOCKET, SO_ERROR, &e, &n);
    return error_of(e);
}

enum net_error net_send(struct net_socket *s, const char *at, size_t n, size_t *out_sent)
{
    ssize_t sent = send(of(s)->fd, at, n, MSG_NOSIGNAL);
    *out_sent = sent > 0 ? (size_t)sent : 0;
    of(s)->waits_for = *out_sent == n ? POLLIN : POLLOUT;
    return sent >= 0 ? NET_OK : error_of(errno);
}

enum net_error net_receive(struct net_socket *s, char *at, size_t n, size_t *out_got)
{
    ssize_t got = recv(of(s)->fd, at, n, 0);
    *out_got = got > 0 ? (size_t)got : 0;
    of(s)->waits_for = POLLIN;
    return got >= 0 ? NET_OK : error_of(errno);
}

void net_close(struct net_socket *s)
{
    close(of(s)->fd);
    free(s);
}

uint64_t net_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void net_wait(struct net_socket *const *list, size_t n, uint64_t until)
{
    struct pollfd *p = need((n + 1) * sizeof *p);
    for (size_t i = 0; i < n; i++) {
        p[i] = (struct pollfd){.fd = of(list[i])->fd, .events = of(list[i])->waits_for};
    }
    uint64_t now = net_now(), left = until > now ? until - now : 0;
    struct timespec t = {.tv_sec = (time_t)(left / 1000000000 % 1000000000),
                         .tv_nsec = (long)(left % 1000000000)};
    ppoll(p, n, &t, NULL);
    for (size_t i = 0; i < n; i++) {
        list[i]->ready = p[i].revents != 0;
    }
    free(p);
}

enum net_error net_resolve(const char *name, struct net_address *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(name, NULL, &hints, &found) != 0) {
        return NET_NO_NAME;
    }
    *out = (struct net_address){.v6 = found->ai_family == AF_INET6};
    if (out->v6) {
        memcpy(out->ip, &((struct sockaddr_in6 *)found->ai_addr)->sin6_addr, 16);
    } else {
        memcpy(out->ip, &((struct sockaddr_in *)found->ai_addr)->sin_addr, 4);
    }
    freeaddrinfo(found);
    return NET_OK;
}
