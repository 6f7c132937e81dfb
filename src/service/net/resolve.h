/* Names to addresses with c-ares, because a look-up must end at the deadline and when cancelled.
 * Whether a run may ask, and which answers it may have, is the caller's to check (policy/net.h): a
 * look-up only asks.
 *
 * A look-up belongs to one thread. It is one descriptor and one time to wait for, and a step that
 * never waits; cis_net_resolve is all of it in one call. */
#ifndef CIS_SERVICE_NET_RESOLVE_H
#define CIS_SERVICE_NET_RESOLVE_H

#include <sys/socket.h>
#include "cis/service.h"
#include "policy/net.h"

#define CIS_NET_ADDRS_MAX 64u /* of one name; more of them is no answer */

struct cis_net_addrs {
    struct sockaddr_storage *list; /* owned: cis_net_addrs_done */
    size_t n;
};
void cis_net_addrs_done(struct cis_net_addrs *addrs);

/* "127.0.0.1:5353,…": CIS_E_USAGE when it is no list of addresses. NULL: the system's, fine. */
cis_code cis_net_dns_check(const char *servers, struct cis_error *err);

typedef struct cis_net_lookup cis_net_lookup;

/* Starts to ask for the addresses of `host` in canonical form (policy/host.h). Literal addresses
 * and localhost are answered at once, without a question to anybody. After limit_ns without an
 * answer the look-up has failed. The texts are not needed afterwards. */
cis_code cis_net_lookup_start(const char *servers, const char *host, uint64_t limit_ns,
                              cis_net_lookup **out_lookup, struct cis_error *err);
void cis_net_lookup_free(cis_net_lookup *lookup);
/* What to wait for before the next step: a descriptor that becomes readable, or a time. -1 and 0:
 * it is over. */
void cis_net_lookup_wish(const cis_net_lookup *lookup, int *out_fd, uint64_t *out_at_ns);
/* Does what is due; true once it is over. */
bool cis_net_lookup_step(cis_net_lookup *lookup);

enum cis_net_found {
    CIS_NET_FOUND,
    CIS_NET_NO_NAME,   /* no such name, or no address */
    CIS_NET_TOO_MANY,  /* addresses */
    CIS_NET_NO_ANSWER, /* in time, or none that could be read: it may be better later */
    CIS_NET_NO_MEMORY,
    CIS_NET_BROKEN, /* the servers refuse, or are none */
};
/* Of one that is over; the list is the look-up's, without ports. *out_why: static text. */
enum cis_net_found cis_net_lookup_result(const cis_net_lookup *lookup,
                                         const struct sockaddr_storage **out_list, size_t *out_n,
                                         const char **out_why);

/* The same as a list of one's own, with ports, or as an error: codes as of cis_net_resolve. */
cis_code cis_net_lookup_addrs(const cis_net_lookup *lookup, const char *host, uint16_t port,
                              struct cis_net_addrs *out, struct cis_error *err);

/* All of it, for a thread that may wait, under the deadline and cancellation of `call`. Addresses
 * get `port`. CIS_E_DENIED: no address, or too many; CIS_E_NET: no answer. */
cis_code cis_net_resolve(const char *servers, const char *host, uint16_t port, uint64_t limit_ns,
                         const struct cis_call *call, struct cis_net_addrs *out,
                         struct cis_error *err);

#endif
