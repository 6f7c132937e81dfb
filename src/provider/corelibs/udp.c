/* wasi-udp: datagrams. */
#include "provider/corelibs/internal.h"

cis_code cis_corelibs_udp_new(cis_engine_instance *instance, const void *args, void *result,
                              struct cis_error *err)
{
    return cis_corelibs_new(instance, CIS_NET_UDP, *(const uint32_t *)args, result, err);
}

/* The first send-to binds a socket that nobody bound. */
static enum cis_sock_code bind_any(cis_sock *sock)
{
    struct corelibs_ip any = {.is = cis_sock_family(sock) == AF_INET ? 0 : 1};
    struct sockaddr_storage addr;
    if (cis_sock_state(sock) != CIS_SOCK_UNBOUND) {
        return CIS_SOCK_OK;
    }
    cis_corelibs_addr_in(&any, 0, &addr);
    enum cis_sock_code code = cis_sock_bind_start(sock, (const struct sockaddr *)&addr);
    return code == CIS_SOCK_OK ? cis_sock_bind_finish(sock) : code;
}

cis_code cis_corelibs_udp_send(cis_engine_instance *instance, const void *args, void *result,
                               struct cis_error *err)
{
    const struct corelibs_send_to *a = args;
    struct corelibs_count *r = result;
    cis_sock *sock = cis_corelibs_at(instance, a->self);
    struct sockaddr_storage addr;
    cis_corelibs_addr_in(&a->ip, a->port, &addr);
    CIS_TRY(cis_engine_instance_burn(instance, a->data.len / 64, err));
    enum cis_sock_code code = bind_any(sock);
    while (code == CIS_SOCK_OK &&
           (code = cis_sock_send_to(sock, a->data, (const struct sockaddr *)&addr)) ==
               CIS_SOCK_AGAIN) {
        CIS_TRY(cis_corelibs_wait(instance, sock, true, err));
        code = CIS_SOCK_OK;
    }
    if (!cis_corelibs_failed(instance, code, "send to", &r->failed, &r->error)) {
        r->n = a->data.len;
    }
    return CIS_OK;
}

cis_code cis_corelibs_udp_receive(cis_engine_instance *instance, const void *args, void *result,
                                  struct cis_error *err)
{
    const struct corelibs_receive *a = args;
    struct corelibs_datagram *r = result;
    cis_sock *sock = cis_corelibs_at(instance, a->self);
    size_t cap = a->max < CIS_SOCK_DATAGRAM_MAX ? (size_t)a->max : CIS_SOCK_DATAGRAM_MAX, n = 0;
    struct sockaddr_storage from;
    uint8_t *room = NULL;
    enum cis_sock_code code;
    CIS_TRY(cis_corelibs_room(instance, cap != 0 ? cap : 1, &room, err));
    while ((code = cis_sock_receive_from(sock, room, cap, &n, &from)) == CIS_SOCK_AGAIN) {
        CIS_TRY(cis_corelibs_wait(instance, sock, false, err));
    }
    CIS_TRY(cis_engine_instance_burn(instance, n / 64, err));
    if (!cis_corelibs_failed(instance, code, "receive from", &r->failed, &r->error)) {
        r->ok.data = cis_bytes_of(room, n);
        cis_corelibs_addr_out(&from, &r->ok.ip, &r->ok.port);
    }
    return CIS_OK;
}
