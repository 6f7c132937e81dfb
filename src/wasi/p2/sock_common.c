/* What tcp and udp have in common: binding, addresses, options, handles; and addresses both ways.
 */
#include <string.h>
#include "base/mem.h"
#include "wasi/p2/sockets.h"

/* ---- errors ---- */

uint32_t cis_p2_net_error(cis_engine_instance *instance, enum cis_sock_code code, const char *what)
{
    if (code == CIS_SOCK_DENIED) {
        cis_host_net_refused(cis_host_of(instance), instance, what);
    }
    return (uint32_t)code - 1; /* the same cases in the same order */
}

cis_code cis_p2_net_answer(cis_engine_instance *instance, enum cis_sock_code code, const char *what,
                           struct cis_answer *out)
{
    p2_net_failed(instance, code, what, &out->failed, &out->error);
    return CIS_OK;
}

/* ---- addresses ---- */

void cis_p2_address_in(const struct p2_address *from, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (from->is == 0) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(from->v4.port);
        memcpy(&v4->sin_addr, from->v4.ip, 4);
        return;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(from->v6.port);
    v6->sin6_flowinfo = htonl(from->v6.flow);
    v6->sin6_scope_id = from->v6.scope;
    for (size_t i = 0; i < 8; i++) {
        uint16_t word = htons(from->v6.ip[i]);
        memcpy(&v6->sin6_addr.s6_addr[2 * i], &word, 2);
    }
}

void cis_p2_ip_out(const struct sockaddr_storage *from, struct p2_ip *out)
{
    *out = (struct p2_ip){.is = from->ss_family == AF_INET6};
    if (out->is == 0) {
        memcpy(out->v4, &((const struct sockaddr_in *)from)->sin_addr, 4);
        return;
    }
    for (size_t i = 0; i < 8; i++) {
        uint16_t word;
        memcpy(&word, &((const struct sockaddr_in6 *)from)->sin6_addr.s6_addr[2 * i], 2);
        out->v6[i] = ntohs(word);
    }
}

static void address_out(const struct sockaddr_storage *from, struct p2_address *out)
{
    struct p2_ip ip;
    cis_p2_ip_out(from, &ip);
    *out = (struct p2_address){.is = ip.is};
    if (ip.is == 0) {
        out->v4.port = ntohs(((const struct sockaddr_in *)from)->sin_port);
        memcpy(out->v4.ip, ip.v4, sizeof ip.v4);
        return;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
    out->v6.port = ntohs(v6->sin6_port);
    out->v6.flow = ntohl(v6->sin6_flowinfo);
    out->v6.scope = v6->sin6_scope_id;
    memcpy(out->v6.ip, ip.v6, sizeof ip.v6);
}

/* ---- handles ---- */

cis_code cis_p2_sock_new(cis_engine_instance *instance, cis_sock *sock,
                         const struct p2_source_ops *ops, struct p2_sock **out,
                         struct cis_error *err)
{
    (void)instance; /* the socket was charged when it was made */
    struct p2_sock *s = cis_zalloc(sizeof *s);
    if (s == NULL) {
        cis_sock_free(sock);
        return cis_fail(err, CIS_E_NOMEM, "sockets: out of memory");
    }
    p2_source_init(&s->base, ops);
    s->sock = sock;
    *out = s;
    return CIS_OK;
}

cis_code cis_p2_sock_hand(cis_engine_instance *instance, struct p2_sock *s, enum p2_kind kind,
                          uint32_t parent, uint32_t *out_rep, struct cis_error *err)
{
    CIS_TRY(cis_p2_new_over(instance, kind, parent, &s->base, P2_STATE, out_rep, err));
    s->handles++;
    return CIS_OK;
}

void cis_p2_sock_let_go(struct p2_sock *s)
{
    if (--s->handles == 0 && s->pending.len == 0) {
        cis_sock_close(s->sock);
    }
}

void cis_p2_sock_free(struct cis_host *host, struct p2_source *self)
{
    struct p2_sock *s = (struct p2_sock *)self;
    cis_sock_free(s->sock);
    if (s->pending.at != NULL) {
        cis_budget_release(&host->budget, P2_CHUNK);
        cis_p2_held_done(&s->pending);
    }
    cis_free(s);
}

cis_code cis_p2_source_subscribe(cis_engine_instance *instance, const struct cis_typed *args,
                                 struct cis_answer *out, struct cis_error *err)
{
    return cis_p2_give_pollable(instance, args[0].n, P2_STATE, out, err);
}

/* ---- binding ---- */

cis_code cis_p2_sock_start_bind(cis_engine_instance *instance, const void *args, void *result,
                                struct cis_error *err)
{
    const struct p2_self_address *a = args;
    struct p2_net_done *r = result;
    struct sockaddr_storage addr;
    (void)err;
    cis_p2_address_in(&a->address, &addr);
    enum cis_sock_code code =
        cis_sock_bind_start(p2_sock_at(instance, a->self)->sock, (const struct sockaddr *)&addr);
    p2_net_failed(instance, code, "bind", &r->failed, &r->error);
    return CIS_OK;
}

cis_code cis_p2_sock_finish_bind(cis_engine_instance *instance, const void *args, void *result,
                                 struct cis_error *err)
{
    const struct p2_self *a = args;
    struct p2_net_done *r = result;
    (void)err;
    p2_net_failed(instance, cis_sock_bind_finish(p2_sock_at(instance, a->self)->sock), "bind",
                  &r->failed, &r->error);
    return CIS_OK;
}

/* ---- addresses of sockets ---- */

typedef enum cis_sock_code address_of(const cis_sock *sock, struct sockaddr_storage *out);

static cis_code tell_address(cis_engine_instance *instance, const struct p2_self *a, address_of *of,
                             struct p2_net_address *r)
{
    struct sockaddr_storage addr;
    enum cis_sock_code code = of(p2_sock_at(instance, a->self)->sock, &addr);
    if (!p2_net_failed(instance, code, "address", &r->failed, &r->error)) {
        address_out(&addr, &r->address);
    }
    return CIS_OK;
}

cis_code cis_p2_sock_local(cis_engine_instance *instance, const void *args, void *result,
                           struct cis_error *err)
{
    (void)err;
    return tell_address(instance, args, cis_sock_local, result);
}

cis_code cis_p2_sock_remote(cis_engine_instance *instance, const void *args, void *result,
                            struct cis_error *err)
{
    (void)err;
    return tell_address(instance, args, cis_sock_remote, result);
}

cis_code cis_p2_sock_family(cis_engine_instance *instance, const void *args, void *result,
                            struct cis_error *err)
{
    const struct p2_self *a = args;
    (void)err;
    *(uint32_t *)result = cis_sock_family(p2_sock_at(instance, a->self)->sock) == AF_INET6;
    return CIS_OK;
}

/* ---- options ---- */

static bool get(cis_engine_instance *instance, uint32_t self, enum cis_sock_option option,
                uint64_t *out_n, bool *out_failed, uint32_t *out_error)
{
    enum cis_sock_code code = cis_sock_get(p2_sock_at(instance, self)->sock, option, out_n);
    return !p2_net_failed(instance, code, "option", out_failed, out_error);
}

#define GET(name, option, type, field, as)                                                         \
    cis_code name(cis_engine_instance *instance, const void *args, void *result,                   \
                  struct cis_error *err)                                                           \
    {                                                                                              \
        const struct p2_self *a = args;                                                            \
        struct type *r = result;                                                                   \
        uint64_t n;                                                                                \
        (void)err;                                                                                 \
        if (get(instance, a->self, option, &n, &r->failed, &r->error)) {                           \
            r->field = (as)n;                                                                      \
        }                                                                                          \
        return CIS_OK;                                                                             \
    }
GET(cis_p2_tcp_keep_alive, CIS_SOCK_KEEP_ALIVE, p2_net_bool, on, bool)
GET(cis_p2_tcp_idle, CIS_SOCK_KEEP_IDLE, p2_net_u64, n, uint64_t)
GET(cis_p2_tcp_interval, CIS_SOCK_KEEP_INTERVAL, p2_net_u64, n, uint64_t)
GET(cis_p2_tcp_count, CIS_SOCK_KEEP_COUNT, p2_net_u32, n, uint32_t)
GET(cis_p2_sock_hops, CIS_SOCK_HOP_LIMIT, p2_net_u8, n, uint8_t)
GET(cis_p2_sock_receive_size, CIS_SOCK_RECEIVE_BUFFER, p2_net_u64, n, uint64_t)
GET(cis_p2_sock_send_size, CIS_SOCK_SEND_BUFFER, p2_net_u64, n, uint64_t)

#define SET(name, option, type, field)                                                             \
    cis_code name(cis_engine_instance *instance, const void *args, void *result,                   \
                  struct cis_error *err)                                                           \
    {                                                                                              \
        const struct type *a = args;                                                               \
        struct p2_net_done *r = result;                                                            \
        (void)err;                                                                                 \
        p2_net_failed(instance,                                                                    \
                      cis_sock_set(p2_sock_at(instance, a->self)->sock, option, a->field),         \
                      "option", &r->failed, &r->error);                                            \
        return CIS_OK;                                                                             \
    }
SET(cis_p2_tcp_set_keep_alive, CIS_SOCK_KEEP_ALIVE, p2_self_bool, on)
SET(cis_p2_tcp_set_count, CIS_SOCK_KEEP_COUNT, p2_self_u32, n)
SET(cis_p2_sock_set_hops, CIS_SOCK_HOP_LIMIT, p2_self_u8, n)

#define SET_U64(name, option)                                                                      \
    cis_code name(cis_engine_instance *instance, const struct cis_typed *args,                     \
                  struct cis_answer *out, struct cis_error *err)                                   \
    {                                                                                              \
        (void)err;                                                                                 \
        return cis_p2_net_answer(                                                                  \
            instance, cis_sock_set(p2_sock_at(instance, args[0].n)->sock, option, args[1].n),      \
            "option", out);                                                                        \
    }
SET_U64(cis_p2_tcp_set_backlog, CIS_SOCK_BACKLOG)
SET_U64(cis_p2_sock_set_idle, CIS_SOCK_KEEP_IDLE)
SET_U64(cis_p2_sock_set_interval, CIS_SOCK_KEEP_INTERVAL)
SET_U64(cis_p2_sock_set_receive, CIS_SOCK_RECEIVE_BUFFER)
SET_U64(cis_p2_sock_set_send, CIS_SOCK_SEND_BUFFER)
