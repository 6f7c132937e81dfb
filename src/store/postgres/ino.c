/* Inode numbers: taken from the database in blocks, handed out from memory. */
#include "store/postgres/internal.h"

#define INO_BLOCK 1024u

struct take {
    int64_t n;
    uint64_t first;
    int64_t tenant;
};

static cis_code take(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct take *t = arg;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_int(&args, t->n);
    CIS_TRY(cis_pg_ask(conn, PG_INO_TAKE, &args, &res, err));
    t->first = cis_pg_u64(res, 0, 0);
    t->tenant = conn->tenant;
    return t->first != 0 ? CIS_OK : cis_pg_alive(conn, err);
}

struct wish {
    struct cis_str tenant;
    int64_t instance; /* 0: any */
    uint32_t n;
};

/* From what is left in memory; else *out_take is the tenant for which this thread shall get more,
 * as the only one. */
static cis_code hand_out(struct pg_store *s, const struct wish *wish, uint64_t *out_first,
                         struct pg_tenant **out_take, const struct cis_stop *stop,
                         struct cis_error *err)
{
    cis_code code = CIS_OK;
    uint32_t n = wish->n;
    cis_mutex_lock(&s->lock, pg_lock_store);
    struct pg_tenant *t = cis_pg_tenant_of(s, wish->tenant);
    bool left = false; /* what is left is of the tenant that has the name, as far as is known */
    while (t != NULL && code == CIS_OK &&
           !(left = t->ino_left >= n && (wish->instance == 0 || wish->instance == t->id)) &&
           t->ino_taking) {
        code = cis_pg_wait(s, stop, "waiting for inode numbers", err);
    }
    if (t == NULL) {
        code = cis_fail(err, CIS_E_NOMEM, "store: out of memory");
    } else if (code == CIS_OK && left) {
        *out_first = t->ino_next;
        t->ino_next += n;
        t->ino_left -= n;
    } else if (code == CIS_OK) {
        t->ino_taking = true;
        *out_take = t;
    }
    cis_mutex_unlock(&s->lock, pg_lock_store);
    return code;
}

cis_code cis_pg_reserve_inodes(cis_store *store, struct cis_str tenant, uint32_t n,
                               uint64_t *out_first, const struct cis_stop *stop,
                               struct cis_error *err)
{
    struct pg_store *s = (struct pg_store *)store;
    struct pg_tenant *mine = NULL;
    struct wish wish = {.n = n};
    CIS_TRY(cis_pg_tenant_split(tenant, &wish.tenant, &wish.instance, err));
    if (n == 0) {
        return cis_fail(err, CIS_E_INVALID, "inode numbers: none asked for");
    }
    CIS_TRY(hand_out(s, &wish, out_first, &mine, stop, err));
    if (mine == NULL) {
        return CIS_OK;
    }
    /* On the disk at once: numbers that a crash of the server took back would be given twice. */
    struct take t = {.n = (int64_t)n + INO_BLOCK};
    struct pg_write write = {
        .work = take, .arg = &t, .create = true, .repeatable = true, .frees = true};
    cis_code code = cis_pg_write(s, tenant, &write, stop, err);
    cis_mutex_lock(&s->lock, pg_lock_store);
    mine->ino_taking = false;
    if (code == CIS_OK) {
        *out_first = t.first;
        if (mine->id == t.tenant) {
            mine->ino_next = t.first + n;
            mine->ino_left = INO_BLOCK;
        }
    }
    pthread_cond_broadcast(&s->freed);
    cis_mutex_unlock(&s->lock, pg_lock_store);
    return code;
}
