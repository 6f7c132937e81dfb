/* Inside service/net/: the run's network and its sockets. */
#ifndef CIS_SERVICE_NET_INTERNAL_H
#define CIS_SERVICE_NET_INTERNAL_H

#include <netinet/in.h>
#include <stdio.h>
#include "service/net/net.h"

#define CIS_NET_SOCKET_BYTES 4096u /* what a socket or a look-up is taken to cost the host */
#define CIS_NET_ALIASES_MAX 256u   /* addresses of names that are remembered; then the oldest go */

struct cis_net {
    struct cis_net_options options;
    char *dns_servers;
    uint32_t nsockets;
    struct cis_net_alias *aliases; /* hosts owned */
    size_t naliases, next_alias;
    char refusal[128], told[128];
};

struct cis_sock {
    cis_net *net;
    int fd; /* -1: closed */
    enum cis_net_kind kind;
    int family;
    enum cis_sock_state state;
    int backlog;
    enum cis_sock_code failed; /* of a connect that failed at once */
    size_t room, room_asked;   /* TCP: the least that is free in the kernel, and when last asked */
    bool client;   /* UDP: bound as clients are, hears those alone that it may send to */
    bool has_peer; /* UDP */
    struct sockaddr_storage peer, bound; /* bound: UDP */
};

/* ---- net.c ---- */
/* One more socket or look-up: LIMIT, NOMEM. */
enum cis_sock_code cis_net_take(cis_net *net);
void cis_net_give_back(cis_net *net);
enum cis_sock_code cis_net_refuse(cis_net *net, const char *kind, const struct sockaddr *addr);
bool cis_net_may_connect(const cis_net *net, enum cis_net_kind kind, const struct sockaddr *addr);
/* A public address that a look-up gave for a host that some grant names. */
enum cis_sock_code cis_net_remember(cis_net *net, const char *host, const struct sockaddr *addr);

/* ---- sock.c, tcp.c ---- */
/* Around a descriptor of the caller, counted already. */
enum cis_sock_code cis_sock_of_fd(cis_net *net, enum cis_net_kind kind, int family, int fd,
                                  cis_sock **out_sock);
/* Something was started and is not finished. */
bool cis_sock_busy(const cis_sock *sock);
void cis_sock_no_delay(int fd);

/* ---- addr.c ---- */
socklen_t cis_net_addr_len(const struct sockaddr *addr);
uint16_t cis_net_addr_port(const struct sockaddr *addr);
/* Of the family; no IPv4 address in the clothes of IPv6. */
bool cis_net_addr_fits(const struct sockaddr *addr, int family);
bool cis_net_addr_unicast(const struct sockaddr *addr);
bool cis_net_addr_unspecified(const struct sockaddr *addr);
bool cis_net_addr_same(const struct sockaddr *a, const struct sockaddr *b); /* port too */

#endif
