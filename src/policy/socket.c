/* Sockets: which addresses a run may connect to, send to, bind to and wait on. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include "policy/host.h"
#include "policy/net.h"
#include "policy/set.h"

static uint16_t port_of(const struct sockaddr *addr)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (addr->sa_family == AF_INET) {
        memcpy(&v4, addr, sizeof v4);
        return ntohs(v4.sin_port);
    }
    memcpy(&v6, addr, sizeof v6);
    return ntohs(v6.sin6_port);
}

static bool has_scope(const struct sockaddr *addr)
{
    struct sockaddr_in6 v6;
    if (addr->sa_family != AF_INET6) {
        return false;
    }
    memcpy(&v6, addr, sizeof v6);
    return v6.sin6_scope_id != 0;
}

static bool is_unspecified(const struct sockaddr *addr)
{
    struct sockaddr_storage v4, v6;
    cis_host_sockaddr("0.0.0.0", &v4);
    cis_host_sockaddr("::", &v6);
    return cis_addr_equal(addr, (const struct sockaddr *)&v4) ||
           cis_addr_equal(addr, (const struct sockaddr *)&v6);
}

/* The address as a rule of its own, which those of the run may cover. */
static bool as_rule(enum cis_net_kind kind, const struct sockaddr *addr, char text[64],
                    struct cis_net_rule *out)
{
    if (addr->sa_family != AF_INET && addr->sa_family != AF_INET6) {
        return false;
    }
    cis_addr_text(addr, text);
    *out = (struct cis_net_rule){.kind = kind, .host = text, .port = port_of(addr)};
    return true;
}

static bool in_aliases(const struct cis_net_rule *rule, const struct sockaddr *addr,
                       const struct cis_net_alias *aliases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(aliases[i].host, rule->host) == 0 &&
            cis_addr_equal((const struct sockaddr *)&aliases[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

bool cis_policy_connect_allowed(const struct cis_grants *grants, enum cis_net_kind kind,
                                const struct sockaddr *addr, const struct cis_net_alias *aliases,
                                size_t naliases)
{
    char text[64];
    struct cis_net_rule wanted;
    if (!as_rule(kind, addr, text, &wanted) || wanted.port == 0 || has_scope(addr)) {
        return false;
    }
    bool is_public = cis_addr_is_public(addr);
    for (size_t i = 0; i < grants->nnet; i++) {
        const struct cis_net_rule *rule = &grants->net[i];
        bool same_port = rule->port == 0 || rule->port == wanted.port;
        if (cis_net_rule_covers(rule, &wanted) || (is_public && rule->kind == kind && same_port &&
                                                   in_aliases(rule, addr, aliases, naliases))) {
            return true;
        }
    }
    return false;
}

bool cis_policy_listen_allowed(const struct cis_grants *grants, const struct sockaddr *addr)
{
    char text[64];
    struct cis_net_rule wanted;
    if (!as_rule(CIS_NET_LISTEN, addr, text, &wanted) || has_scope(addr)) {
        return false;
    }
    for (size_t i = 0; i < grants->nnet; i++) {
        if (cis_net_rule_covers(&grants->net[i], &wanted)) {
            return true;
        }
    }
    return false;
}

static bool in_cidrs(const struct cis_grants *grants, const struct sockaddr *addr)
{
    char text[64];
    struct cis_net_rule wanted;
    if (!as_rule(CIS_NET_BIND, addr, text, &wanted)) {
        return false;
    }
    for (size_t i = 0; i < grants->nnet; i++) {
        if (cis_net_rule_covers(&grants->net[i], &wanted)) {
            return true;
        }
    }
    return false;
}

bool cis_policy_bind_allowed(const struct cis_grants *grants, enum cis_net_kind kind,
                             const struct sockaddr *addr, bool *out_client)
{
    *out_client = false;
    if (cis_policy_listen_allowed(grants, addr) || in_cidrs(grants, addr)) {
        return true;
    }
    if (!is_unspecified(addr) || port_of(addr) != 0 || has_scope(addr)) {
        return false;
    }
    for (size_t i = 0; i < grants->nnet && !*out_client; i++) {
        *out_client = grants->net[i].kind == kind;
    }
    return *out_client;
}

bool cis_policy_names_host(const struct cis_grants *grants, const char *host)
{
    for (size_t i = 0; i < grants->nnet; i++) {
        const struct cis_net_rule *rule = &grants->net[i];
        if ((rule->kind == CIS_NET_TCP || rule->kind == CIS_NET_UDP) &&
            strcmp(rule->host, host) == 0) {
            return true;
        }
    }
    return false;
}

bool cis_policy_lookup_allowed(const struct cis_grants *grants, const char *host)
{
    return cis_grants_has(grants, CIS_GRANT_DNS) || cis_policy_names_host(grants, host);
}

bool cis_policy_answer_allowed(const struct cis_grants *grants, const struct sockaddr *addr)
{
    struct sockaddr_storage literal;
    if (cis_addr_is_public(addr)) {
        return true;
    }
    for (size_t i = 0; i < grants->nnet; i++) {
        const struct cis_net_rule *rule = &grants->net[i];
        if (rule->kind == CIS_NET_BIND) {
            continue;
        }
        if (strcmp(rule->host, "localhost") == 0
                ? cis_addr_is_localhost(addr)
                : cis_host_sockaddr(rule->host, &literal) &&
                      cis_addr_equal((const struct sockaddr *)&literal, addr)) {
            return true;
        }
    }
    return false;
}
