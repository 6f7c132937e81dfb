/* Names under the policy: who may ask, and what an answer opens. */
#include <string.h>
#include "base/mem.h"
#include "policy/host.h"
#include "service/net/internal.h"

struct cis_names {
    cis_net *net;
    cis_net_lookup *lookup;
    struct cis_host_text host;
    bool checked;
    enum cis_sock_code failed;
    const struct sockaddr_storage *list; /* the look-up's */
    size_t n, next;
};

/* As a URL has it, and IPv6 without brackets as well. */
static bool read_name(struct cis_str name, struct cis_host_text *out)
{
    return cis_host_parse(name, out) == NULL || cis_host_parse_v6(name, out) == NULL;
}

/* ::ffff:1.2.3.4 is the IPv4 address, as which it is never told. */
static void unmap(struct cis_host_text *host)
{
    struct sockaddr_storage addr;
    struct sockaddr_in6 v6;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    if (host->kind != CIS_HOST_V6 || !cis_host_sockaddr(host->text, &addr)) {
        return;
    }
    memcpy(&v6, &addr, sizeof v6);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
        memcpy(&v4.sin_addr, &v6.sin6_addr.s6_addr[12], 4);
        cis_addr_text((const struct sockaddr *)&v4, host->text);
        host->kind = CIS_HOST_V4;
    }
}

static enum cis_sock_code start(cis_names *names)
{
    struct cis_error why;
    const struct cis_net_options *o = &names->net->options;
    cis_code code =
        cis_net_lookup_start(o->dns_servers, names->host.text, o->lookup_ns, &names->lookup, &why);
    return code == CIS_OK        ? CIS_SOCK_OK
           : code == CIS_E_NOMEM ? CIS_SOCK_NOMEM
                                 : CIS_SOCK_NO_RESOLVER;
}

enum cis_sock_code cis_names_ask(cis_net *net, struct cis_str name, cis_names **out_names)
{
    struct cis_host_text host;
    if (!read_name(name, &host)) {
        return CIS_SOCK_INVALID;
    }
    unmap(&host);
    if (host.kind == CIS_HOST_NAME && strcmp(host.text, "localhost") != 0 &&
        !cis_policy_lookup_allowed(net->options.grants, host.text)) {
        snprintf(net->refusal, sizeof net->refusal, "dns");
        return CIS_SOCK_DENIED;
    }
    enum cis_sock_code code = cis_net_take(net);
    if (code != CIS_SOCK_OK) {
        return code;
    }
    cis_names *names = cis_zalloc(sizeof *names);
    if (names == NULL) {
        cis_net_give_back(net);
        return CIS_SOCK_NOMEM;
    }
    names->net = net;
    names->host = host;
    code = start(names);
    if (code != CIS_SOCK_OK) {
        cis_names_free(names);
        return code;
    }
    *out_names = names;
    return CIS_SOCK_OK;
}

void cis_names_free(cis_names *names)
{
    if (names == NULL) {
        return;
    }
    cis_net_lookup_free(names->lookup);
    cis_net_give_back(names->net);
    cis_free(names);
}

bool cis_names_step(cis_names *names)
{
    return cis_net_lookup_step(names->lookup);
}

bool cis_names_wish(const cis_names *names, int *out_fd, uint64_t *out_at_ns)
{
    cis_net_lookup_wish(names->lookup, out_fd, out_at_ns);
    return *out_fd >= 0 || *out_at_ns != 0;
}

static enum cis_sock_code code_of(enum cis_net_found found)
{
    switch (found) {
    case CIS_NET_FOUND:
        return CIS_SOCK_OK;
    case CIS_NET_NO_NAME:
    case CIS_NET_TOO_MANY:
        return CIS_SOCK_NO_NAME;
    case CIS_NET_NO_ANSWER:
        return CIS_SOCK_TRY_LATER;
    case CIS_NET_NO_MEMORY:
        return CIS_SOCK_NOMEM;
    case CIS_NET_BROKEN:
        break;
    }
    return CIS_SOCK_NO_RESOLVER;
}

/* The whole answer, before anything of it is told. */
static enum cis_sock_code check(cis_names *names)
{
    const char *why;
    enum cis_sock_code code =
        code_of(cis_net_lookup_result(names->lookup, &names->list, &names->n, &why));
    bool literal = names->host.kind != CIS_HOST_NAME; /* the guest's own words */
    for (size_t i = 0; i < names->n && code == CIS_SOCK_OK && !literal; i++) {
        const struct sockaddr *addr = (const struct sockaddr *)&names->list[i];
        if (!cis_policy_answer_allowed(names->net->options.grants, addr)) {
            struct sockaddr_storage any = names->list[i];
            code = cis_net_refuse(names->net, "tcp", (const struct sockaddr *)&any);
        }
    }
    for (size_t i = 0; i < names->n && code == CIS_SOCK_OK && !literal; i++) {
        code = cis_net_remember(names->net, names->host.text,
                                (const struct sockaddr *)&names->list[i]);
    }
    return code;
}

enum cis_sock_code cis_names_next(cis_names *names, struct sockaddr_storage *out, bool *out_more)
{
    *out_more = false;
    if (!cis_net_lookup_step(names->lookup)) {
        return CIS_SOCK_AGAIN;
    }
    if (!names->checked) {
        names->checked = true;
        names->failed = check(names);
    }
    if (names->failed != CIS_SOCK_OK) {
        return names->failed;
    }
    if (names->next < names->n) {
        *out = names->list[names->next++];
        *out_more = true;
    }
    return CIS_SOCK_OK;
}
