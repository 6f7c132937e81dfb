/* Grants: what a skill may do. Pure functions over parsed sets; deny by default; no I/O.
 *
 * One grammar for manifest, --allow and the C API (one grant a string):
 *   memory | memory=read | memory=write      the skill's own memory namespace
 *   ai                                       AI calls, within the run's budget
 *   network                                  HTTP(S) to any public host (never loopback or private)
 *   http=SCHEME://HOST[:PORT]                one origin; HOST may be *.example.com, [v6], localhost
 *   net=tcp:HOST:PORT | net=udp:HOST:PORT | net=listen:HOST:PORT | net=bind:CIDR
 *   dns | fs=ro | fs=rw | env=NAME | clocks | random | command
 * HOST localhost means 127.0.0.1 and ::1. A path, query, userinfo or fragment in http= is an error.
 * Threads: a set is plain data; share it read-only. */
#ifndef CIS_POLICY_GRANT_H
#define CIS_POLICY_GRANT_H

#include "base/buf.h"

/* What a host-function row needs, and what audit counts. */
enum cis_grant {
    CIS_GRANT_NONE, /* needs nothing: log, input, output */
    CIS_GRANT_MEMORY_READ,
    CIS_GRANT_MEMORY_WRITE,
    CIS_GRANT_AI,
    CIS_GRANT_HTTP, /* some origin or network; the handler checks the URL */
    CIS_GRANT_NET,
    CIS_GRANT_DNS,
    CIS_GRANT_FS_READ,
    CIS_GRANT_FS_WRITE,
    CIS_GRANT_ENV,
    CIS_GRANT_CLOCKS,
    CIS_GRANT_RANDOM,
    CIS_GRANT_COMMAND,
    CIS_GRANT_COUNT
};
#define CIS_GRANT_BIT(g) (1u << (g))

/* "memory_read", "http", …; static. */
const char *cis_grant_name(enum cis_grant grant);

struct cis_origin {
    char *scheme;  /* "http" or "https" */
    char *host;    /* canonical: lower case, no trailing dot, v6 without brackets, RFC 5952 */
    bool wildcard; /* host is what follows "*." */
    uint16_t port; /* always explicit */
};

enum cis_net_kind { CIS_NET_TCP, CIS_NET_UDP, CIS_NET_LISTEN, CIS_NET_BIND };
struct cis_net_rule {
    enum cis_net_kind kind;
    char *host;    /* canonical host or CIDR */
    uint16_t port; /* 0 = any, for BIND unused */
};

struct cis_grants {
    uint32_t bits; /* CIS_GRANT_BIT of every coarse grant present; NONE is always allowed */
    bool network;  /* any public origin */
    struct cis_origin *http;
    size_t nhttp;
    struct cis_net_rule *net;
    size_t nnet;
    char **env;
    size_t nenv;
};

#define CIS_GRANTS_INIT ((struct cis_grants){0})
#define CIS_GRANTS_MAX 1000 /* entries of one set */

void cis_grants_done(struct cis_grants *grants);
/* Adds one grant in the grammar above; CIS_E_USAGE names the grant and what is wrong. */
cis_code cis_grants_add(struct cis_grants *grants, struct cis_str text, struct cis_error *err);
/* Removes a grant (same grammar; removing "memory" removes both halves) and all that it covers.
 * Absent is no error. What a wider grant of the set still allows cannot be taken out of it:
 * CIS_E_USAGE names the wider one, and the set is as before. */
cis_code cis_grants_remove(struct cis_grants *grants, struct cis_str text, struct cis_error *err);
cis_code cis_grants_copy(const struct cis_grants *from, struct cis_grants *out,
                         struct cis_error *err);
/* What both sets allow (manifest asked ∩ user granted). */
cis_code cis_grants_intersect(const struct cis_grants *a, const struct cis_grants *b,
                              struct cis_grants *out, struct cis_error *err);
/* True when everything `inner` allows is allowed by `outer` (a reinstall adds nothing). */
bool cis_grants_cover(const struct cis_grants *outer, const struct cis_grants *inner);
/* Canonical text, one grant per item, sorted, as a JSON array of strings. */
void cis_grants_json(const struct cis_grants *grants, struct cis_buf *out);
static inline bool cis_grants_has(const struct cis_grants *grants, enum cis_grant grant)
{
    return grant == CIS_GRANT_NONE || (grants->bits & CIS_GRANT_BIT(grant)) != 0;
}
bool cis_grants_env(const struct cis_grants *grants, struct cis_str name);

#endif
