/* What both kinds of sockets share: waiting, errors, addresses. */
#include "provider/corelibs/internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

cis_code cis_corelibs_wait(cis_engine_instance *instance, const cis_sock *sock, bool writes,
                           struct cis_error *err)
{
    const struct cis_host *host = cis_host_of(instance);
    int fd;
    short events;
    if (!cis_sock_wish(sock, writes, &fd, &events)) {
        return cis_host_alive(host, err);
    }
    cis_engine_instance_block(instance);
    cis_code waited = cis_stop_wait(host->call.stop, fd, events, "socket", err);
    cis_code back = cis_engine_instance_unblock(instance, waited == CIS_OK ? err : NULL);
    return waited != CIS_OK ? waited : back;
}

/* Names do not occur here: the interfaces have addresses alone. */
static uint32_t error_of(enum cis_sock_code code)
{
    switch (code) {
    case CIS_SOCK_DENIED:
        return CORELIBS_ACCESS_DENIED;
    case CIS_SOCK_UNSUPPORTED:
        return CORELIBS_NOT_SUPPORTED;
    case CIS_SOCK_INVALID:
    case CIS_SOCK_CONFLICT:
    case CIS_SOCK_NOT_IN_PROGRESS:
    case CIS_SOCK_STATE:
    case CIS_SOCK_TOO_LARGE:
        return CORELIBS_INVALID_ARGUMENT;
    case CIS_SOCK_NOMEM:
    case CIS_SOCK_LIMIT:
        return CORELIBS_OUT_OF_MEMORY;
    case CIS_SOCK_TIMEOUT:
        return CORELIBS_TIMEOUT;
    case CIS_SOCK_AGAIN:
        return CORELIBS_WOULD_BLOCK;
    case CIS_SOCK_NOT_BINDABLE:
        return CORELIBS_ADDRESS_NOT_AVAILABLE;
    case CIS_SOCK_IN_USE:
        return CORELIBS_ADDRESS_IN_USE;
    case CIS_SOCK_UNREACHABLE:
        return CORELIBS_NETWORK_UNREACHABLE;
    case CIS_SOCK_REFUSED:
        return CORELIBS_CONNECTION_REFUSED;
    case CIS_SOCK_RESET:
        return CORELIBS_CONNECTION_RESET;
    case CIS_SOCK_ABORTED:
        return CORELIBS_CONNECTION_ABORTED;
    case CIS_SOCK_OK:
    case CIS_SOCK_UNKNOWN:
    case CIS_SOCK_NO_NAME:
    case CIS_SOCK_TRY_LATER:
    case CIS_SOCK_NO_RESOLVER:
        break;
    }
    return CORELIBS_UNKNOWN;
}

bool cis_corelibs_failed(cis_engine_instance *instance, enum cis_sock_code code, const char *what,
                         bool *out_failed, uint32_t *out_error)
{
    if (code == CIS_SOCK_OK) {
        return false;
    }
    if (code == CIS_SOCK_DENIED) {
        cis_host_net_refused(cis_host_of(instance), instance, what);
    }
    *out_failed = true;
    *out_error = error_of(code);
    return true;
}

/* ---- addresses ---- */

void cis_corelibs_addr_in(const struct corelibs_ip *ip, uint16_t port, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (ip->is == 0) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, ip->v4, sizeof ip->v4);
        return;
    }
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)out;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    for (size_t i = 0; i < 8; i++) {
        in->sin6_addr.s6_addr[2 * i] = (uint8_t)(ip->v6[i] >> 8);
        in->sin6_addr.s6_addr[2 * i + 1] = (uint8_t)ip->v6[i];
    }
}

void cis_corelibs_addr_out(const struct sockaddr_storage *addr, struct corelibs_ip *out_ip,
                           uint16_t *out_port)
{
    if (addr->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
        out_ip->is = 0;
        memcpy(out_ip->v4, &in->sin_addr, sizeof out_ip->v4);
        *out_port = ntohs(in->sin_port);
        return;
    }
    const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)addr;
    out_ip->is = 1;
    for (size_t i = 0; i < 8; i++) {
        const uint8_t *b = &in->sin6_addr.s6_addr[2 * i];
        out_ip->v6[i] = (uint16_t)(b[0] << 8 | b[1]);
    }
    *out_port = ntohs(in->sin6_port);
}

/* ---- functions of both ---- */

cis_code cis_corelibs_get_network(cis_engine_instance *instance, const void *args, void *result,
                                  struct cis_error *err)
{
    (void)instance, (void)args, (void)err;
    *(uint32_t *)result = 1; /* there is one network, and nothing behind the handle */
    return CIS_OK;
}

cis_code cis_corelibs_new(cis_engine_instance *instance, enum cis_net_kind kind, uint32_t family,
                          struct corelibs_made *r, struct cis_error *err)
{
    cis_net *net;
    cis_sock *sock = NULL;
    CIS_TRY(cis_corelibs_net(instance, &net, err));
    enum cis_sock_code code = cis_sock_new(net, kind, family == 0 ? AF_INET : AF_INET6, &sock);
    if (cis_corelibs_failed(instance, code, "socket", &r->failed, &r->error)) {
        return CIS_OK;
    }
    return cis_corelibs_add(instance, sock, &r->socket, err);
}

cis_code cis_corelibs_bind(cis_engine_instance *instance, const void *args, void *result,
                           struct cis_error *err)
{
    const struct corelibs_at *a = args;
    struct corelibs_done *r = result;
    cis_sock *sock = cis_corelibs_at(instance, a->self);
    struct sockaddr_storage addr;
    (void)err;
    cis_corelibs_addr_in(&a->ip, a->port, &addr);
    enum cis_sock_code code = cis_sock_bind_start(sock, (const struct sockaddr *)&addr);
    if (code == CIS_SOCK_OK) {
        code = cis_sock_bind_finish(sock);
    }
    cis_corelibs_failed(instance, code, "bind", &r->failed, &r->error);
    return CIS_OK;
}

cis_code cis_corelibs_local(cis_engine_instance *instance, const void *args, void *result,
                            struct cis_error *err)
{
    const struct corelibs_self *a = args;
    struct corelibs_where *r = result;
    struct sockaddr_storage addr;
    (void)err;
    enum cis_sock_code code = cis_sock_local(cis_corelibs_at(instance, a->self), &addr);
    if (!cis_corelibs_failed(instance, code, "local address", &r->failed, &r->error)) {
        cis_corelibs_addr_out(&addr, &r->place.ip, &r->place.port);
    }
    return CIS_OK;
}

cis_code cis_corelibs_reuse(cis_engine_instance *instance, const void *args, void *result,
                            struct cis_error *err)
{
    const struct corelibs_self_on *a = args;
    struct corelibs_done *r = result;
    (void)err;
    enum cis_sock_code code =
        cis_sock_set(cis_corelibs_at(instance, a->self), CIS_SOCK_REUSE_ADDRESS, a->on);
    cis_corelibs_failed(instance, code, "reuse address", &r->failed, &r->error);
    return CIS_OK;
}
