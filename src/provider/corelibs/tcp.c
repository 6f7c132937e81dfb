/* wasi-tcp: connections whose calls wait. */
#include "provider/corelibs/internal.h"

cis_code cis_corelibs_tcp_new(cis_engine_instance *instance, const void *args, void *result,
                              struct cis_error *err)
{
    return cis_corelibs_new(instance, CIS_NET_TCP, *(const uint32_t *)args, result, err);
}

cis_code cis_corelibs_connect(cis_engine_instance *instance, const void *args, void *result,
                              struct cis_error *err)
{
    const struct corelibs_at *a = args;
    struct corelibs_done *r = result;
    cis_sock *sock = cis_corelibs_at(instance, a->self);
    struct sockaddr_storage addr;
    if (cis_sock_state(sock) == CIS_SOCK_CONNECTED) {
        r->failed = true;
        r->error = CORELIBS_ALREADY_CONNECTED;
        return CIS_OK;
    }
    cis_corelibs_addr_in(&a->ip, a->port, &addr);
    enum cis_sock_code code = cis_sock_connect_start(sock, (const struct sockaddr *)&addr);
    while (code == CIS_SOCK_OK && (code = cis_sock_connect_finish(sock)) == CIS_SOCK_AGAIN) {
        CIS_TRY(cis_corelibs_wait(instance, sock, true, err));
        code = CIS_SOCK_OK;
    }
    cis_corelibs_failed(instance, code, "connect", &r->failed, &r->error);
    return CIS_OK;
}

cis_code cis_corelibs_listen(cis_engine_instance *instance, const void *args, void *result,
                             struct cis_error *err)
{
    const struct corelibs_self_n *a = args;
    struct corelibs_done *r = result;
    cis_sock *sock = cis_corelibs_at(instance, a->self);
    (void)err;
    enum cis_sock_code code = cis_sock_set(sock, CIS_SOCK_BACKLOG, a->n != 0 ? a->n : 1);
    code = code == CIS_SOCK_OK ? cis_sock_listen_start(sock) : code;
    code = code == CIS_SOCK_OK ? cis_sock_listen_finish(sock) : code;
    cis_corelibs_failed(instance, code, "listen", &r->failed, &r->error);
    return CIS_OK;
}

cis_code cis_corelibs_accept(cis_engine_instance *instance, const void *args, void *result,
                             struct cis_error *err)
{
    const struct corelibs_self *a = args;
    struct corelibs_accepted *r = result;
    cis_sock *sock = cis_corelibs_at(instance, a->self), *got = NULL;
    struct sockaddr_storage addr;
    enum cis_sock_code code;
    while ((code = cis_sock_accept(sock, &got)) == CIS_SOCK_AGAIN) {
        CIS_TRY(cis_corelibs_wait(instance, sock, false, err));
    }
    if (code == CIS_SOCK_OK && (code = cis_sock_remote(got, &addr)) != CIS_SOCK_OK) {
        cis_sock_free(got);
    }
    if (cis_corelibs_failed(instance, code, "accept", &r->failed, &r->error)) {
        return CIS_OK;
    }
    cis_corelibs_addr_out(&addr, &r->ok.ip, &r->ok.port);
    return cis_corelibs_add(instance, got, &r->ok.socket, err);
}

/* ---- bytes: slices of the guest's memory, which does not run meanwhile ---- */

static cis_code fails(cis_engine_instance *instance, enum cis_sock_code code, const char *what,
                      struct cis_answer *out)
{
    cis_corelibs_failed(instance, code, what, &out->failed, &out->error);
    return CIS_OK;
}

/* All of it; what went out before a failure is told instead of the failure. */
cis_code cis_corelibs_tcp_send(cis_engine_instance *instance, const struct cis_typed *args,
                               struct cis_answer *out, struct cis_error *err)
{
    cis_sock *sock = cis_corelibs_at(instance, (uint32_t)args[0].n);
    struct cis_bytes data = args[1].bytes;
    size_t done = 0;
    CIS_TRY(cis_engine_instance_burn(instance, data.len / 64, err)); /* as wasi's streams do */
    while (done < data.len) {
        size_t n = 0;
        enum cis_sock_code code =
            cis_sock_send(sock, cis_bytes_of(data.ptr + done, data.len - done), &n, NULL);
        if (code == CIS_SOCK_AGAIN) {
            CIS_TRY(cis_corelibs_wait(instance, sock, true, err));
        } else if (code != CIS_SOCK_OK && done == 0) {
            return fails(instance, code, "send", out);
        } else if (code != CIS_SOCK_OK) {
            break;
        }
        done += n;
    }
    out->n[0] = done;
    return CIS_OK;
}

cis_code cis_corelibs_tcp_receive(cis_engine_instance *instance, const struct cis_typed *args,
                                  struct cis_answer *out, struct cis_error *err)
{
    cis_sock *sock = cis_corelibs_at(instance, (uint32_t)args[0].n);
    size_t cap = args[1].n < CIS_CORELIBS_CHUNK ? (size_t)args[1].n : CIS_CORELIBS_CHUNK, n = 0;
    uint8_t *room = NULL;
    enum cis_sock_code code;
    if (cap == 0) {
        code = cis_sock_state(sock) == CIS_SOCK_CONNECTED ? CIS_SOCK_OK : CIS_SOCK_STATE;
        return fails(instance, code, "receive", out);
    }
    CIS_TRY(cis_corelibs_room(instance, cap, &room, err));
    while ((code = cis_sock_receive(sock, room, cap, &n, NULL)) == CIS_SOCK_AGAIN) {
        CIS_TRY(cis_corelibs_wait(instance, sock, false, err));
    }
    CIS_TRY(cis_engine_instance_burn(instance, n / 64, err));
    out->bytes = cis_bytes_of(room, code == CIS_SOCK_OK ? n : 0);
    return fails(instance, code, "receive", out);
}

/* ---- addresses and the end ---- */

cis_code cis_corelibs_remote(cis_engine_instance *instance, const void *args, void *result,
                             struct cis_error *err)
{
    const struct corelibs_self *a = args;
    struct corelibs_where *r = result;
    struct sockaddr_storage addr;
    (void)err;
    enum cis_sock_code code = cis_sock_remote(cis_corelibs_at(instance, a->self), &addr);
    if (!cis_corelibs_failed(instance, code, "remote address", &r->failed, &r->error)) {
        cis_corelibs_addr_out(&addr, &r->place.ip, &r->place.port);
    }
    return CIS_OK;
}

cis_code cis_corelibs_shutdown(cis_engine_instance *instance, const void *args, void *result,
                               struct cis_error *err)
{
    static const int hows[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
    const struct corelibs_self_n *a = args;
    struct corelibs_done *r = result;
    (void)err;
    enum cis_sock_code code = cis_sock_shutdown(cis_corelibs_at(instance, a->self), hows[a->n]);
    cis_corelibs_failed(instance, code, "shutdown", &r->failed, &r->error);
    return CIS_OK;
}
