/* The network of a run: how many sockets it has, what its names mean, what it was refused. */
#include "service/net/internal.h"

#include <errno.h>
#include <string.h>
#include "base/mem.h"
#include "policy/host.h"

#define LOOKUP_NS (10ull * 1000000000ull)

static const struct {
    int rc;
    enum cis_sock_code code;
} codes[] = {{0, CIS_SOCK_OK},
             {EACCES, CIS_SOCK_DENIED},
             {EPERM, CIS_SOCK_DENIED},
             {EINVAL, CIS_SOCK_INVALID},
             {EFAULT, CIS_SOCK_INVALID},
             {ENOMEM, CIS_SOCK_NOMEM},
             {ENOBUFS, CIS_SOCK_NOMEM},
             {ETIMEDOUT, CIS_SOCK_TIMEOUT},
             {EALREADY, CIS_SOCK_CONFLICT},
             {EAGAIN, CIS_SOCK_AGAIN},
             {EISCONN, CIS_SOCK_STATE},
             {ENOTCONN, CIS_SOCK_STATE},
             {EDESTADDRREQ, CIS_SOCK_STATE},
             {EMFILE, CIS_SOCK_LIMIT},
             {ENFILE, CIS_SOCK_LIMIT},
             {EADDRNOTAVAIL, CIS_SOCK_NOT_BINDABLE},
             {EADDRINUSE, CIS_SOCK_IN_USE},
             {ENETUNREACH, CIS_SOCK_UNREACHABLE},
             {ENETDOWN, CIS_SOCK_UNREACHABLE},
             {EHOSTUNREACH, CIS_SOCK_UNREACHABLE},
             {EHOSTDOWN, CIS_SOCK_UNREACHABLE},
             {ENONET, CIS_SOCK_UNREACHABLE},
             {ECONNREFUSED, CIS_SOCK_REFUSED},
             {ECONNRESET, CIS_SOCK_RESET},
             {ENETRESET, CIS_SOCK_RESET},
             {EPIPE, CIS_SOCK_RESET},
             {ECONNABORTED, CIS_SOCK_ABORTED},
             {EMSGSIZE, CIS_SOCK_TOO_LARGE},
             {EOPNOTSUPP, CIS_SOCK_UNSUPPORTED},
             {ENOPROTOOPT, CIS_SOCK_UNSUPPORTED},
             {EPROTONOSUPPORT, CIS_SOCK_UNSUPPORTED},
             {ESOCKTNOSUPPORT, CIS_SOCK_UNSUPPORTED},
             {EPFNOSUPPORT, CIS_SOCK_UNSUPPORTED},
             {EAFNOSUPPORT, CIS_SOCK_UNSUPPORTED}};

enum cis_sock_code cis_sock_code_of(int rc)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i].rc == rc) {
            return codes[i].code;
        }
    }
    return CIS_SOCK_UNKNOWN;
}

int cis_sock_errno(enum cis_sock_code code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i].code == code) {
            return codes[i].rc;
        }
    }
    return EIO;
}

cis_code cis_net_new(const struct cis_net_options *options, cis_net **out_net,
                     struct cis_error *err)
{
    cis_net *net = cis_zalloc(sizeof *net);
    if (net == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "network: out of memory");
    }
    net->options = *options;
    if (options->dns_servers != NULL) {
        net->dns_servers = cis_strdup(options->dns_servers);
        if (net->dns_servers == NULL) {
            cis_net_free(net);
            return cis_fail(err, CIS_E_NOMEM, "network: out of memory");
        }
    }
    net->options.dns_servers = net->dns_servers;
    if (net->options.sockets_max == 0) {
        net->options.sockets_max = CIS_NET_SOCKETS_MAX;
    }
    if (net->options.lookup_ns == 0) {
        net->options.lookup_ns = LOOKUP_NS;
    }
    *out_net = net;
    return CIS_OK;
}

void cis_net_free(cis_net *net)
{
    if (net == NULL) {
        return;
    }
    for (size_t i = 0; i < net->naliases; i++) {
        cis_free((void *)(uintptr_t)net->aliases[i].host);
    }
    if (net->aliases != NULL && net->options.budget != NULL) {
        cis_budget_release(net->options.budget, CIS_NET_ALIASES_MAX * sizeof *net->aliases);
    }
    cis_free(net->aliases);
    cis_free(net->dns_servers);
    cis_free(net);
}

/* ---- how many ---- */

enum cis_sock_code cis_net_take(cis_net *net)
{
    struct cis_error why;
    if (net->nsockets >= net->options.sockets_max) {
        return CIS_SOCK_LIMIT;
    }
    if (net->options.budget != NULL &&
        cis_budget_charge(net->options.budget, CIS_NET_SOCKET_BYTES, "socket", &why) != CIS_OK) {
        return CIS_SOCK_NOMEM;
    }
    net->nsockets++;
    return CIS_SOCK_OK;
}

void cis_net_give_back(cis_net *net)
{
    net->nsockets--;
    if (net->options.budget != NULL) {
        cis_budget_release(net->options.budget, CIS_NET_SOCKET_BYTES);
    }
}

/* ---- refusals ---- */

enum cis_sock_code cis_net_refuse(cis_net *net, const char *kind, const struct sockaddr *addr)
{
    char text[64];
    cis_addr_text(addr, text);
    bool v6 = addr->sa_family == AF_INET6;
    char port[8] = "*";
    if (cis_net_addr_port(addr) != 0) {
        snprintf(port, sizeof port, "%u", (unsigned)cis_net_addr_port(addr));
    }
    snprintf(net->refusal, sizeof net->refusal, "net=%s:%s%s%s:%s", kind, v6 ? "[" : "", text,
             v6 ? "]" : "", port);
    return CIS_SOCK_DENIED;
}

const char *cis_net_refusal(cis_net *net)
{
    memcpy(net->told, net->refusal, sizeof net->told);
    net->refusal[0] = 0;
    return net->told;
}

/* ---- what names mean ---- */

bool cis_net_may_connect(const cis_net *net, enum cis_net_kind kind, const struct sockaddr *addr)
{
    return cis_policy_connect_allowed(net->options.grants, kind, addr, net->aliases, net->naliases);
}

static bool known(const cis_net *net, const char *host, const struct sockaddr *addr)
{
    for (size_t i = 0; i < net->naliases; i++) {
        if (strcmp(net->aliases[i].host, host) == 0 &&
            cis_addr_equal((const struct sockaddr *)&net->aliases[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

enum cis_sock_code cis_net_remember(cis_net *net, const char *host, const struct sockaddr *addr)
{
    if (!cis_addr_is_public(addr) || !cis_policy_names_host(net->options.grants, host) ||
        known(net, host, addr)) {
        return CIS_SOCK_OK;
    }
    struct cis_error why;
    if (net->aliases == NULL &&
        (net->options.budget == NULL ||
         cis_budget_charge(net->options.budget, CIS_NET_ALIASES_MAX * sizeof *net->aliases, "names",
                           &why) == CIS_OK)) {
        net->aliases = cis_calloc(CIS_NET_ALIASES_MAX, sizeof *net->aliases);
    }
    char *copy = net->aliases != NULL ? cis_strdup(host) : NULL;
    if (copy == NULL) {
        return CIS_SOCK_NOMEM;
    }
    struct cis_net_alias *alias = &net->aliases[net->next_alias];
    net->next_alias = (net->next_alias + 1) % CIS_NET_ALIASES_MAX;
    if (net->naliases < CIS_NET_ALIASES_MAX) {
        net->naliases++;
    } else {
        cis_free((void *)(uintptr_t)alias->host);
    }
    memset(alias, 0, sizeof *alias);
    alias->host = copy;
    memcpy(&alias->addr, addr, cis_net_addr_len(addr));
    return CIS_SOCK_OK;
}
