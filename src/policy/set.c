/* Sets of grants: copy, intersection, cover, and the relations between single grants. */
#include "policy/set.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include "base/mem.h"
#include "base/wraps.h"
#include "policy/host.h"

static bool is_loopback_text(const char *host)
{
    struct sockaddr_storage addr;
    return cis_host_sockaddr(host, &addr) && cis_addr_is_localhost((const struct sockaddr *)&addr);
}

/* "a.example.com" under "example.com", and exactly one label more. */
static bool one_label_under(const char *host, const char *parent)
{
    struct sockaddr_storage addr;
    const char *dot = strchr(host, '.');
    return dot != NULL && dot != host && strcmp(dot + 1, parent) == 0 &&
           !cis_host_sockaddr(host, &addr);
}

bool cis_origin_covers(const struct cis_origin *outer, const struct cis_origin *inner)
{
    if (outer->port != inner->port || strcmp(outer->scheme, inner->scheme) != 0) {
        return false;
    }
    if (outer->wildcard) {
        return inner->wildcard ? strcmp(outer->host, inner->host) == 0
                               : one_label_under(inner->host, outer->host);
    }
    if (inner->wildcard) {
        return false;
    }
    return strcmp(outer->host, inner->host) == 0 ||
           (strcmp(outer->host, "localhost") == 0 && is_loopback_text(inner->host));
}

struct cidr {
    int family;
    unsigned bits;
    uint8_t bytes[16];
};

/* Rules hold canonical text only, so this cannot fail on them. */
static struct cidr read_cidr(const char *text)
{
    struct cidr c = {0};
    char addr[64];
    const char *slash = strchr(text, '/');
    size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
    if (n >= sizeof addr) {
        return c;
    }
    memcpy(addr, text, n);
    addr[n] = 0;
    c.family = strchr(addr, ':') != NULL ? AF_INET6 : AF_INET;
    uint64_t bits = c.family == AF_INET6 ? 128 : 32;
    if (slash != NULL && !cis_str_u64(cis_str_of(slash + 1), &bits)) {
        bits = 128;
    }
    c.bits = (unsigned)bits;
    inet_pton(c.family, addr, c.bytes);
    return c;
}

static bool cidr_covers(const char *outer_text, const char *inner_text)
{
    struct cidr outer = read_cidr(outer_text), inner = read_cidr(inner_text);
    if (outer.family != inner.family || outer.bits > inner.bits) {
        return false;
    }
    for (unsigned i = 0; i < outer.bits; i++) {
        unsigned mask = 0x80u >> (i % 8);
        if ((outer.bytes[i / 8] & mask) != (inner.bytes[i / 8] & mask)) {
            return false;
        }
    }
    return true;
}

/* A socket that waits at 0.0.0.0 or :: waits at every address of the family. */
static bool is_everywhere(const struct cis_net_rule *rule)
{
    return rule->kind == CIS_NET_LISTEN &&
           (strcmp(rule->host, "0.0.0.0") == 0 || strcmp(rule->host, "::") == 0);
}

static bool host_covers(const struct cis_net_rule *outer, const char *inner)
{
    struct sockaddr_storage addr;
    return strcmp(outer->host, inner) == 0 ||
           (strcmp(outer->host, "localhost") == 0 && is_loopback_text(inner)) ||
           (is_everywhere(outer) && cis_host_sockaddr(inner, &addr) &&
            addr.ss_family == (strchr(outer->host, ':') != NULL ? AF_INET6 : AF_INET));
}

bool cis_net_rule_covers(const struct cis_net_rule *outer, const struct cis_net_rule *inner)
{
    if (outer->kind != inner->kind) {
        return false;
    }
    if (outer->kind == CIS_NET_BIND) {
        return cidr_covers(outer->host, inner->host);
    }
    return (outer->port == 0 || outer->port == inner->port) && host_covers(outer, inner->host);
}

/* What localhost is of that family: each half of it is a rule of its own. */
static const char *half_of_localhost(const struct cis_net_rule *everywhere)
{
    return strchr(everywhere->host, ':') != NULL ? "::1" : "127.0.0.1";
}

const char *cis_net_rules_meet(const struct cis_net_rule *a, const struct cis_net_rule *b)
{
    if (a->kind != b->kind ||
        (a->kind != CIS_NET_BIND && a->port != 0 && b->port != 0 && a->port != b->port)) {
        return NULL;
    }
    struct cis_net_rule x = *a, y = *b;
    x.port = y.port = 0;
    if (cis_net_rule_covers(&x, &y)) {
        return b->host;
    }
    if (cis_net_rule_covers(&y, &x)) {
        return a->host;
    }
    if (is_everywhere(a) && strcmp(b->host, "localhost") == 0) {
        return half_of_localhost(a);
    }
    return is_everywhere(b) && strcmp(a->host, "localhost") == 0 ? half_of_localhost(b) : NULL;
}

bool cis_net_rule_binds(const struct cis_net_rule *listen, const struct cis_net_rule *bind)
{
    static const char *const loopback[] = {"127.0.0.1", "::1"};
    if (listen->kind != CIS_NET_LISTEN || bind->kind != CIS_NET_BIND) {
        return false;
    }
    if (strcmp(listen->host, "localhost") == 0) {
        return cidr_covers(bind->host, loopback[0]) || cidr_covers(bind->host, loopback[1]);
    }
    if (is_everywhere(listen)) {
        return (strchr(listen->host, ':') != NULL) == (strchr(bind->host, ':') != NULL);
    }
    return cidr_covers(bind->host, listen->host);
}

static bool origin_equal(const struct cis_origin *a, const struct cis_origin *b)
{
    return a->port == b->port && a->wildcard == b->wildcard && strcmp(a->scheme, b->scheme) == 0 &&
           strcmp(a->host, b->host) == 0;
}

static bool rule_equal(const struct cis_net_rule *a, const struct cis_net_rule *b)
{
    return a->kind == b->kind && a->port == b->port && strcmp(a->host, b->host) == 0;
}

void cis_grants_recount(struct cis_grants *grants)
{
    grants->bits &= ~CIS_GRANT_BITS_LISTED;
    if (grants->network || grants->nhttp > 0) {
        grants->bits |= CIS_GRANT_BIT(CIS_GRANT_HTTP);
    }
    if (grants->nnet > 0) {
        grants->bits |= CIS_GRANT_BIT(CIS_GRANT_NET);
    }
    if (grants->nenv > 0) {
        grants->bits |= CIS_GRANT_BIT(CIS_GRANT_ENV);
    }
}

static cis_code no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "grants: out of memory");
}

/* Room for one more entry of a list: capacity doubles at powers of two. */
CIS_WRAPS static cis_code grow(const struct cis_grants *grants, void **list, size_t n, size_t size,
                               struct cis_error *err)
{
    if (grants->nhttp + grants->nnet + grants->nenv >= CIS_GRANTS_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "grants: more than %d entries", CIS_GRANTS_MAX);
    }
    if ((n & (n - 1)) == 0) {
        void *more = cis_realloc_array(*list, cis_cap_next(n, 1, CIS_MEM_MAX), size);
        if (more == NULL) {
            return no_memory(err);
        }
        *list = more;
    }
    return CIS_OK;
}

cis_code cis_grants_push_origin(struct cis_grants *grants, const struct cis_origin *origin,
                                struct cis_error *err)
{
    for (size_t i = 0; i < grants->nhttp; i++) {
        if (origin_equal(&grants->http[i], origin)) {
            return CIS_OK;
        }
    }
    void *list = grants->http;
    CIS_TRY(grow(grants, &list, grants->nhttp, sizeof *grants->http, err));
    grants->http = list;
    struct cis_origin copy = *origin;
    copy.scheme = cis_strdup(origin->scheme);
    copy.host = cis_strdup(origin->host);
    if (copy.scheme == NULL || copy.host == NULL) {
        cis_free(copy.scheme);
        cis_free(copy.host);
        return no_memory(err);
    }
    grants->http[grants->nhttp++] = copy;
    cis_grants_recount(grants);
    return CIS_OK;
}

cis_code cis_grants_push_net(struct cis_grants *grants, const struct cis_net_rule *rule,
                             struct cis_error *err)
{
    for (size_t i = 0; i < grants->nnet; i++) {
        if (rule_equal(&grants->net[i], rule)) {
            return CIS_OK;
        }
    }
    void *list = grants->net;
    CIS_TRY(grow(grants, &list, grants->nnet, sizeof *grants->net, err));
    grants->net = list;
    struct cis_net_rule copy = *rule;
    copy.host = cis_strdup(rule->host);
    if (copy.host == NULL) {
        return no_memory(err);
    }
    grants->net[grants->nnet++] = copy;
    cis_grants_recount(grants);
    return CIS_OK;
}

cis_code cis_grants_push_env(struct cis_grants *grants, struct cis_str name, struct cis_error *err)
{
    if (cis_grants_env(grants, name)) {
        return CIS_OK;
    }
    void *list = grants->env;
    CIS_TRY(grow(grants, &list, grants->nenv, sizeof *grants->env, err));
    grants->env = list;
    char *copy = cis_strndup(name.ptr, name.len);
    if (copy == NULL) {
        return no_memory(err);
    }
    grants->env[grants->nenv++] = copy;
    cis_grants_recount(grants);
    return CIS_OK;
}

bool cis_grants_env(const struct cis_grants *grants, struct cis_str name)
{
    for (size_t i = 0; i < grants->nenv; i++) {
        if (cis_str_is(name, grants->env[i])) {
            return true;
        }
    }
    return false;
}

void cis_grants_done(struct cis_grants *grants)
{
    for (size_t i = 0; i < grants->nhttp; i++) {
        cis_free(grants->http[i].scheme);
        cis_free(grants->http[i].host);
    }
    for (size_t i = 0; i < grants->nnet; i++) {
        cis_free(grants->net[i].host);
    }
    for (size_t i = 0; i < grants->nenv; i++) {
        cis_free(grants->env[i]);
    }
    cis_free(grants->http);
    cis_free(grants->net);
    cis_free(grants->env);
    *grants = CIS_GRANTS_INIT;
}

static bool network_covers(const struct cis_grants *outer, const struct cis_origin *inner)
{
    return outer->network && cis_policy_public_origin(inner->host, inner->wildcard, inner->port);
}

static bool set_covers_origin(const struct cis_grants *outer, const struct cis_origin *inner)
{
    for (size_t i = 0; i < outer->nhttp; i++) {
        if (cis_origin_covers(&outer->http[i], inner)) {
            return true;
        }
    }
    return network_covers(outer, inner);
}

static bool set_covers_rule(const struct cis_grants *outer, const struct cis_net_rule *inner)
{
    for (size_t i = 0; i < outer->nnet; i++) {
        if (cis_net_rule_covers(&outer->net[i], inner)) {
            return true;
        }
    }
    return false;
}

/* Entries of `from` that `other` covers. */
static cis_code add_covered(const struct cis_grants *from, const struct cis_grants *other,
                            struct cis_grants *out, struct cis_error *err)
{
    for (size_t i = 0; i < from->nhttp; i++) {
        if (set_covers_origin(other, &from->http[i])) {
            CIS_TRY(cis_grants_push_origin(out, &from->http[i], err));
        }
    }
    for (size_t i = 0; i < from->nnet; i++) {
        if (set_covers_rule(other, &from->net[i])) {
            CIS_TRY(cis_grants_push_net(out, &from->net[i], err));
        }
    }
    return CIS_OK;
}

/* tcp:h:* against tcp:localhost:80 and the like: neither covers the other, yet both allow some. */
static cis_code add_crossed_rules(const struct cis_grants *a, const struct cis_grants *b,
                                  struct cis_grants *out, struct cis_error *err)
{
    for (size_t i = 0; i < a->nnet; i++) {
        for (size_t j = 0; j < b->nnet; j++) {
            const struct cis_net_rule *x = &a->net[i], *y = &b->net[j];
            const char *host = x->kind != CIS_NET_BIND ? cis_net_rules_meet(x, y) : NULL;
            if (host == NULL) {
                continue;
            }
            struct cis_net_rule both = {x->kind, (char *)(uintptr_t)host,
                                        x->port != 0 ? x->port : y->port};
            CIS_TRY(cis_grants_push_net(out, &both, err));
        }
    }
    return CIS_OK;
}

cis_code cis_grants_intersect(const struct cis_grants *a, const struct cis_grants *b,
                              struct cis_grants *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_grants_done) struct cis_grants both = CIS_GRANTS_INIT;
    both.bits = a->bits & b->bits & ~CIS_GRANT_BITS_LISTED;
    both.network = a->network && b->network;
    CIS_TRY(add_covered(a, b, &both, err));
    CIS_TRY(add_covered(b, a, &both, err));
    CIS_TRY(add_crossed_rules(a, b, &both, err));
    for (size_t i = 0; i < a->nenv; i++) {
        struct cis_str name = cis_str_of(a->env[i]);
        if (cis_grants_env(b, name)) {
            CIS_TRY(cis_grants_push_env(&both, name, err));
        }
    }
    cis_grants_recount(&both);
    *out = both;
    both = CIS_GRANTS_INIT;
    return CIS_OK;
}

cis_code cis_grants_copy(const struct cis_grants *from, struct cis_grants *out,
                         struct cis_error *err)
{
    return cis_grants_intersect(from, from, out, err);
}

bool cis_grants_cover(const struct cis_grants *outer, const struct cis_grants *inner)
{
    uint32_t plain = inner->bits & ~CIS_GRANT_BITS_LISTED;
    if ((plain & ~outer->bits) != 0 || (inner->network && !outer->network)) {
        return false;
    }
    for (size_t i = 0; i < inner->nhttp; i++) {
        if (!set_covers_origin(outer, &inner->http[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < inner->nnet; i++) {
        if (!set_covers_rule(outer, &inner->net[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < inner->nenv; i++) {
        if (!cis_grants_env(outer, cis_str_of(inner->env[i]))) {
            return false;
        }
    }
    return true;
}
