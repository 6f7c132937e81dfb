/* Network policy: which origin, and which address behind it, a run may reach (security.md). Pure
 * functions: DNS and sockets are elsewhere; what they found is checked here. */
#ifndef CIS_POLICY_NET_H
#define CIS_POLICY_NET_H

#include <sys/socket.h>
#include "policy/grant.h"

/* A vetted URL in canonical form. Everything owned; cis_url_done. */
struct cis_url {
    char *scheme;    /* "http" | "https" */
    char *host;      /* canonical; v6 without brackets */
    uint16_t port;   /* explicit */
    char *target;    /* path and query, at least "/" */
    bool is_address; /* host is a literal IPv4 or IPv6 address */
};
void cis_url_done(struct cis_url *url);
/* Refuses (CIS_E_DENIED or CIS_E_INVALID) everything that two parsers could read differently:
 * userinfo, control characters, spaces, tabs, backslashes, zone ids, non-ASCII hosts, IPv4 in other
 * than four decimal parts (octal, hex, short, integer), empty labels, schemes other than http and
 * https, ports 0 and > 65535. One trailing dot is removed. ≤ 8192 bytes. Fragments are dropped. */
cis_code cis_url_parse(struct cis_str text, struct cis_url *out, struct cis_error *err);
/* Does some grant name this origin (or network allows any public host)? */
bool cis_policy_origin_allowed(const struct cis_grants *grants, const struct cis_url *url);
/* Globally reachable unicast by the IANA registries (security.md lists what is not). IPv4-mapped,
 * IPv4-compatible, NAT64, 6to4 and Teredo forms are never public. */
bool cis_addr_is_public(const struct sockaddr *addr);
/* May the run connect to this address for this URL? Public, or granted as that very address with
 * this scheme and port (localhost grants 127.0.0.1 and ::1). */
cis_code cis_policy_addr_check(const struct cis_grants *grants, const struct cis_url *url,
                               const struct sockaddr *addr, struct cis_error *err);

/* ---- sockets ----
 * tcp:HOST:PORT is where a run may connect to, udp:HOST:PORT where it may send datagrams to. HOST
 * as an address means that address and localhost 127.0.0.1 and ::1; as a name it means the public
 * addresses that a look-up by this very run gave for it. listen:ADDR:PORT is where it may wait for
 * connections or datagrams (0.0.0.0 and ::, as there: on every address of the family); bind:CIDR
 * what it may bind to without that, any port. Addresses with a scope (fe80::…%eth0) can be bound to
 * by CIDR alone. `network` is for HTTP and opens nothing here. */

/* What a look-up said; the port is not looked at. */
struct cis_net_alias {
    const char *host; /* canonical */
    struct sockaddr_storage addr;
};
/* CIS_NET_TCP: may it connect there? CIS_NET_UDP: may it send datagrams there? */
bool cis_policy_connect_allowed(const struct cis_grants *grants, enum cis_net_kind kind,
                                const struct sockaddr *addr, const struct cis_net_alias *aliases,
                                size_t naliases);
/* May a socket that is bound there wait for connections? */
bool cis_policy_listen_allowed(const struct cis_grants *grants, const struct sockaddr *addr);
/* May a socket be bound there? What connect and the first datagram do by themselves, port 0 of the
 * unspecified address, is allowed with any grant of that kind: *out_client, when nothing else
 * allows it. Datagrams of others than those it may send to are then none of its business. */
bool cis_policy_bind_allowed(const struct cis_grants *grants, enum cis_net_kind kind,
                             const struct sockaddr *addr, bool *out_client);
/* May it ask for the addresses of this name? `dns` allows every name, tcp: and udp: those that they
 * name. Literal addresses are no question. */
bool cis_policy_lookup_allowed(const struct cis_grants *grants, const char *host);
/* Does a rule tcp:HOST or udp:HOST name it, so that what it means has to be remembered? */
bool cis_policy_names_host(const struct cis_grants *grants, const char *host);
/* May it be told of this address as an answer? Public, or named by some rule. */
bool cis_policy_answer_allowed(const struct cis_grants *grants, const struct sockaddr *addr);

#endif
