/* The sockets of a run that handles stand for. */
#include "provider/corelibs/internal.h"

#include "base/mem.h"

struct entry {
    cis_sock *sock; /* NULL: free */
    uint32_t next_free;
};

struct cis_corelibs {
    struct entry *at;
    uint32_t n, cap, free; /* entry 0 is not used */
    uint64_t charged;
    uint8_t *room;
    size_t room_len;
};

static cis_code of(cis_engine_instance *instance, struct cis_corelibs **out, struct cis_error *err)
{
    struct cis_host *host = cis_host_of(instance);
    if (host->corelibs == NULL) {
        CIS_TRY(cis_budget_charge(&host->budget, sizeof *host->corelibs, "sockets", err));
        host->corelibs = cis_zalloc(sizeof *host->corelibs);
        if (host->corelibs == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "sockets: out of memory");
        }
        host->corelibs->n = 1;
    }
    *out = host->corelibs;
    return CIS_OK;
}

cis_code cis_corelibs_net(cis_engine_instance *instance, cis_net **out, struct cis_error *err)
{
    return cis_host_net(cis_host_of(instance), out, err);
}

static cis_code grow(cis_engine_instance *instance, struct cis_corelibs *c, struct cis_error *err)
{
    /* The network caps how many there can be. */
    size_t cap = cis_cap_next(c->cap, 8, UINT32_MAX);
    CIS_TRY(cis_budget_charge(&cis_host_of(instance)->budget,
                              cis_size_mul(cap - c->cap, sizeof *c->at), "sockets", err));
    struct entry *at = cis_realloc_array(c->at, cap, sizeof *at);
    if (at == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "sockets: out of memory");
    }
    c->at = at;
    c->cap = (uint32_t)cap;
    return CIS_OK;
}

cis_code cis_corelibs_add(cis_engine_instance *instance, cis_sock *sock, uint32_t *out_rep,
                          struct cis_error *err)
{
    struct cis_corelibs *c = NULL;
    cis_code code = of(instance, &c, err);
    uint32_t rep = c != NULL ? c->free : 0;
    if (code == CIS_OK && rep == 0 && c->n >= c->cap) {
        code = grow(instance, c, err);
    }
    if (code != CIS_OK) {
        cis_sock_free(sock);
        return code;
    }
    if (rep != 0) {
        c->free = c->at[rep].next_free;
    } else {
        rep = c->n++;
    }
    c->at[rep] = (struct entry){.sock = sock};
    *out_rep = rep;
    return CIS_OK;
}

cis_sock *cis_corelibs_at(cis_engine_instance *instance, uint32_t rep)
{
    return cis_host_of(instance)->corelibs->at[rep].sock; /* a handle is never of nothing */
}

/* The network is nothing by itself. */
bool cis_corelibs_is(cis_engine_instance *instance, uint32_t kind, uint32_t rep)
{
    const struct cis_corelibs *c = cis_host_of(instance)->corelibs;
    if (kind == CORELIBS_NETWORK) {
        return true;
    }
    return c != NULL && rep != 0 && rep < c->n && c->at[rep].sock != NULL &&
           cis_sock_kind(c->at[rep].sock) == (kind == CORELIBS_TCP ? CIS_NET_TCP : CIS_NET_UDP);
}

cis_code cis_corelibs_drop(cis_engine_instance *instance, uint32_t rep, struct cis_error *err)
{
    (void)err;
    struct cis_corelibs *c = cis_host_of(instance)->corelibs;
    cis_sock_free(c->at[rep].sock);
    c->at[rep] = (struct entry){.next_free = c->free};
    c->free = rep;
    return CIS_OK;
}

cis_code cis_corelibs_room(cis_engine_instance *instance, size_t len, uint8_t **out,
                           struct cis_error *err)
{
    struct cis_corelibs *c = NULL;
    CIS_TRY(of(instance, &c, err));
    if (c->room_len < len) {
        CIS_TRY(
            cis_budget_charge(&cis_host_of(instance)->budget, len - c->room_len, "sockets", err));
        uint8_t *more = cis_realloc(c->room, len);
        if (more == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "sockets: out of memory");
        }
        c->room = more;
        c->room_len = len;
    }
    *out = c->room;
    return CIS_OK;
}

void cis_corelibs_end(struct cis_host *host)
{
    struct cis_corelibs *c = host->corelibs;
    if (c == NULL) {
        return;
    }
    for (uint32_t i = 1; i < c->n; i++) {
        cis_sock_free(c->at[i].sock);
    }
    cis_free(c->at);
    cis_free(c->room);
    cis_free(c);
    host->corelibs = NULL;
}
