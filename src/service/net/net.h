/* Sockets of a run, whatever the ABI: non-blocking, close-on-exec sockets of Linux under the
 * network policy (policy/net.h). Nothing is opened, bound, connected or sent without a grant; each
 * datagram is checked by where it goes.
 *
 * A struct cis_net belongs to one run and one thread, and so do its sockets and look-ups. No call
 * here waits: what is not ready is CIS_SOCK_AGAIN, and cis_sock_wish says what to wait for. A
 * caller that wants to wait does so with the run's CPU slot given back and calls again.
 *
 * Limits: sockets_max sockets and look-ups at once (CIS_SOCK_LIMIT); each of them is charged to the
 * run's budget (CIS_SOCK_NOMEM). The kernel's own buffers are capped by the kernel (rmem_max,
 * wmem_max). IPv6 sockets are never dual-stack. */
#ifndef CIS_SERVICE_NET_NET_H
#define CIS_SERVICE_NET_NET_H

#include "base/budget.h"
#include "service/net/resolve.h"

#define CIS_NET_SOCKETS_MAX 1024u /* of a run, when nothing else is said */

/* The cases of wasi:sockets, in its order, one higher. */
enum cis_sock_code {
    CIS_SOCK_OK,
    CIS_SOCK_UNKNOWN,
    CIS_SOCK_DENIED, /* by the policy (cis_net_refusal says what is missing) or by the kernel */
    CIS_SOCK_UNSUPPORTED,
    CIS_SOCK_INVALID,
    CIS_SOCK_NOMEM,
    CIS_SOCK_TIMEOUT,
    CIS_SOCK_CONFLICT,        /* another operation has been started and is not finished */
    CIS_SOCK_NOT_IN_PROGRESS, /* finish without start */
    CIS_SOCK_AGAIN,
    CIS_SOCK_STATE, /* not in this state of the socket */
    CIS_SOCK_LIMIT,
    CIS_SOCK_NOT_BINDABLE,
    CIS_SOCK_IN_USE,
    CIS_SOCK_UNREACHABLE,
    CIS_SOCK_REFUSED,
    CIS_SOCK_RESET,
    CIS_SOCK_ABORTED,
    CIS_SOCK_TOO_LARGE, /* a datagram */
    CIS_SOCK_NO_NAME,
    CIS_SOCK_TRY_LATER,
    CIS_SOCK_NO_RESOLVER,
};
/* What an errno of Linux is. EPIPE is RESET; streams know it as their end. */
enum cis_sock_code cis_sock_code_of(int rc);
/* An errno that is this code: for what speaks errno, as streams do. */
int cis_sock_errno(enum cis_sock_code code);

/* ---- the run's network ---- */
typedef struct cis_net cis_net;

struct cis_net_options {
    const struct cis_grants *grants; /* borrowed: outlives the network */
    struct cis_budget *budget;       /* as well; NULL: nothing is charged */
    const char *dns_servers;         /* copied; NULL: the system's */
    uint32_t sockets_max;            /* 0: CIS_NET_SOCKETS_MAX */
    uint64_t lookup_ns;              /* 0: 10 s */
};
cis_code cis_net_new(const struct cis_net_options *options, cis_net **out_net,
                     struct cis_error *err);
/* After its sockets and look-ups. NULL is allowed. */
void cis_net_free(cis_net *net);
/* The grant that the last CIS_SOCK_DENIED of the policy lacked ("net=tcp:192.0.2.1:80"), or "".
 * Reading it forgets it. */
const char *cis_net_refusal(cis_net *net);

/* ---- sockets ---- */
enum cis_sock_state { /* of UDP: UNBOUND, BINDING, BOUND, CLOSED */
                      CIS_SOCK_UNBOUND,
                      CIS_SOCK_BINDING,
                      CIS_SOCK_BOUND,
                      CIS_SOCK_LISTEN_STARTED,
                      CIS_SOCK_LISTENING,
                      CIS_SOCK_CONNECTING,
                      CIS_SOCK_CONNECTED,
                      CIS_SOCK_CLOSED, /* a connection that failed, or closed by cis_sock_close */
};
typedef struct cis_sock cis_sock;

/* kind: CIS_NET_TCP or CIS_NET_UDP; family: AF_INET or AF_INET6. Needs no grant: it reaches nothing
 * yet. */
enum cis_sock_code cis_sock_new(cis_net *net, enum cis_net_kind kind, int family,
                                cis_sock **out_sock);
/* NULL is allowed. */
void cis_sock_free(cis_sock *sock);
/* Gives the descriptor back now; every call from here on is CIS_SOCK_STATE. */
void cis_sock_close(cis_sock *sock);
enum cis_sock_state cis_sock_state(const cis_sock *sock);
enum cis_net_kind cis_sock_kind(const cis_sock *sock);
int cis_sock_family(const cis_sock *sock);
/* What to wait for, by what a caller wants next: to write (else: to read, to accept), and of a
 * socket that is connecting always the end of that. False: nothing, it is ready. */
bool cis_sock_wish(const cis_sock *sock, bool writes, int *out_fd, short *out_events);

/* Start and finish stand apart for callers that poll in between; others call one after the other.
 * After a start that failed, nothing is in progress. */
enum cis_sock_code cis_sock_bind_start(cis_sock *sock, const struct sockaddr *addr);
enum cis_sock_code cis_sock_bind_finish(cis_sock *sock);
enum cis_sock_code cis_sock_connect_start(cis_sock *sock, const struct sockaddr *addr);
/* AGAIN while it goes on; any other failure closes the socket. */
enum cis_sock_code cis_sock_connect_finish(cis_sock *sock);
enum cis_sock_code cis_sock_listen_start(cis_sock *sock);
enum cis_sock_code cis_sock_listen_finish(cis_sock *sock);
enum cis_sock_code cis_sock_accept(cis_sock *sock, cis_sock **out_sock);

/* TCP, connected. 0 bytes with *out_end: the peer has ended; with cap 0 nothing is taken, and AGAIN
 * is what else there is. Sending takes a part, at least one
 * byte, or says AGAIN; EPIPE is told apart by *out_end (both sides: NULL when not wanted). */
enum cis_sock_code cis_sock_receive(cis_sock *sock, void *to, size_t cap, size_t *out_n,
                                    bool *out_end);
enum cis_sock_code cis_sock_send(cis_sock *sock, struct cis_bytes data, size_t *out_n,
                                 bool *out_end);
/* Bytes that a send is sure, or nearly, to take at once: what is free in the kernel's buffer. */
size_t cis_sock_room(cis_sock *sock);
/* how: SHUT_RD, SHUT_WR, SHUT_RDWR; again is no error. What was received before SHUT_RD is gone. */
enum cis_sock_code cis_sock_shutdown(cis_sock *sock, int how);

/* UDP, bound. */
#define CIS_SOCK_DATAGRAM_MAX 65535u
/* From now on to and from this address alone; NULL: any that is granted. */
enum cis_sock_code cis_sock_peer(cis_sock *sock, const struct sockaddr *addr);
/* One datagram; what is longer than `cap` is cut. What comes from where the run has no business is
 * dropped unseen. */
enum cis_sock_code cis_sock_receive_from(cis_sock *sock, void *to, size_t cap, size_t *out_n,
                                         struct sockaddr_storage *out_from);
/* addr NULL: to its peer. */
enum cis_sock_code cis_sock_send_to(cis_sock *sock, struct cis_bytes data,
                                    const struct sockaddr *addr);

enum cis_sock_code cis_sock_local(const cis_sock *sock, struct sockaddr_storage *out);
enum cis_sock_code cis_sock_remote(const cis_sock *sock, struct sockaddr_storage *out);

enum cis_sock_option {
    CIS_SOCK_KEEP_ALIVE, /* 0 or 1 */
    CIS_SOCK_KEEP_IDLE,  /* nanoseconds, whole seconds in fact: rounded up and clamped */
    CIS_SOCK_KEEP_INTERVAL,
    CIS_SOCK_KEEP_COUNT,
    CIS_SOCK_HOP_LIMIT, /* 1 to 255 */
    CIS_SOCK_RECEIVE_BUFFER,
    CIS_SOCK_SEND_BUFFER,
    CIS_SOCK_BACKLOG,       /* set only */
    CIS_SOCK_REUSE_ADDRESS, /* 0 or 1; on for TCP, so that a port is free again at once */
};
enum cis_sock_code cis_sock_get(const cis_sock *sock, enum cis_sock_option option,
                                uint64_t *out_value);
/* INVALID for 0, but where 0 means off; what is too large is clamped. */
enum cis_sock_code cis_sock_set(cis_sock *sock, enum cis_sock_option option, uint64_t value);

/* ---- names ---- */
typedef struct cis_names cis_names; /* one question of the run */

/* A name or a literal address, as a guest writes it. INVALID: neither; DENIED: it may not ask. */
enum cis_sock_code cis_names_ask(cis_net *net, struct cis_str name, cis_names **out_names);
void cis_names_free(cis_names *names);
/* Does what is due; true once there is an answer. Never waits. */
bool cis_names_step(cis_names *names);
/* False: nothing, it is ready. The time alone when *out_fd is -1. */
bool cis_names_wish(const cis_names *names, int *out_fd, uint64_t *out_at_ns);
/* The next address, port 0; *out_more false: that was all. AGAIN: no answer yet. An answer with an
 * address that this run may not hear of (not public, and named by none of its grants) is DENIED as
 * a whole. From here on the run may reach public addresses under the grants that name their host.
 */
enum cis_sock_code cis_names_next(cis_names *names, struct sockaddr_storage *out, bool *out_more);

#endif
