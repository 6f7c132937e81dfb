/* Connections as the scheduler sees them. Each form of it has its own file behind this:
 * wasi:sockets, scheduler:core-libs, or the sockets of the machine it is built for.
 *
 * Where nothing has to wait, a call that would is NET_AGAIN, and net_wait waits for many. Where
 * calls wait by themselves (core-libs), NET_AGAIN is never said. */
#ifndef SCHEDULER_NET_H
#define SCHEDULER_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum net_error {
    NET_OK,
    NET_AGAIN,
    NET_REFUSED,
    NET_RESET,
    NET_ABORTED,
    NET_UNREACHABLE,
    NET_IN_USE,
    NET_NOT_AVAILABLE,
    NET_TIMEOUT,
    NET_INVALID,
    NET_DENIED,
    NET_NO_NAME,
    NET_LIMIT,
    NET_TLS,
    NET_CERTIFICATE,
    NET_OTHER
};
/* "Connection refused". */
const char *net_error_text(enum net_error e);

struct net_address {
    bool v6;
    uint16_t port;
    uint8_t ip[16];
};
struct net_socket {
    bool ready; /* set by net_wait: try again */
    /* Of WASI, what says when; it stays the socket's. NULL: nothing ever waits for it. */
    unsigned (*pollable)(struct net_socket *s);
};

enum net_error net_open(bool v6, struct net_socket **out);
enum net_error net_bind(struct net_socket *s, const struct net_address *at);
/* NET_AGAIN: net_connected says when it is there. */
enum net_error net_connect(struct net_socket *s, const struct net_address *to);
enum net_error net_connected(struct net_socket *s);
/* Some of it. Once it was all, the socket waits for an answer, not for more to send. */
enum net_error net_send(struct net_socket *s, const char *at, size_t n, size_t *out_sent);
/* 0 bytes: the end. */
enum net_error net_receive(struct net_socket *s, char *at, size_t n, size_t *out_got);
void net_close(struct net_socket *s);

/* Waits until one of them may go on, or for a time. Nothing is ready after the time. */
void net_wait(struct net_socket *const *list, size_t n, uint64_t until_ns);
/* A clock that only goes forward. */
uint64_t net_now(void);
/* The first address of a name. */
enum net_error net_resolve(const char *name, struct net_address *out);
/* An address in text: four numbers, or IPv6. */
bool net_address_of(const char *text, struct net_address *out);

#endif
