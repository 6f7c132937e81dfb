/* Network policy: which origin, and which address behind it, a run may reach (security.md). Pure
 * functions: DNS and sockets are elsewhere; what they found is judged here. */
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

#endif
