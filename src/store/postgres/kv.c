/* Reading memory at a view. */
#include "store/postgres/internal.h"

void cis_pg_kv_entry(const PGresult *res, int row, struct cis_kv_entry *out)
{
    struct cis_bytes value = cis_pg_bytes(res, row, 2);
    if (PQgetisnull(res, row, 2)) { /* listed without values */
        value = (struct cis_bytes){NULL, (size_t)cis_pg_u64(res, row, 3)};
    }
    *out = (struct cis_kv_entry){.ns = cis_pg_str(res, row, 0),
                                 .key = cis_pg_str(res, row, 1),
                                 .value = value,
                                 .is_public = cis_pg_int(res, row, 4) == 1,
                                 .category = cis_pg_str(res, row, 5),
                                 .updated_ms = cis_pg_int(res, row, 6),
                                 .version = cis_pg_u64(res, row, 7)};
}

/* A view that was never there is an error, not an empty memory; the head always is. */
static cis_code enter(struct pg_conn *conn, struct cis_view *at, struct cis_error *err)
{
    struct pg_own own = {*at, false};
    if (at->branch != 0) {
        CIS_TRY(cis_pg_view_enter(conn, *at, &own, err));
    }
    *at = own.view;
    return CIS_OK;
}

struct get {
    const struct cis_kv_get_query *query;
    bool found;
};

static cis_code get(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct get *g = arg;
    struct cis_view at = g->query->at;
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(enter(conn, &at, err));
    struct pg_args args = {0};
    cis_pg_args_view(&args, conn, at);
    cis_pg_arg_str(&args, g->query->ns);
    cis_pg_arg_str(&args, g->query->key);
    CIS_TRY(cis_pg_ask(conn, PG_KV_GET, &args, &res, err));
    g->found = PQntuples(res) == 1 && cis_pg_int(res, 0, 8) == 0;
    if (!g->found) {
        return cis_pg_alive(conn, err);
    }
    struct cis_kv_entry entry;
    cis_pg_kv_entry(res, 0, &entry);
    conn->told = true;
    (void)g->query->each(g->query->self, &entry);
    return CIS_OK;
}

cis_code cis_pg_kv_get(cis_store *store, struct cis_str tenant,
                       const struct cis_kv_get_query *query, bool *out_found,
                       const struct cis_stop *stop, struct cis_error *err)
{
    struct get g = {query, false};
    bool absent = false;
    CIS_TRY(cis_pg_read((struct pg_store *)store, tenant, get, &g, &absent, stop, err));
    *out_found = g.found;
    return CIS_OK;
}

/* ---- lists ---- */
struct list {
    struct cis_view at;
    const struct cis_kv_query *query;
    struct cis_kv_range range;
    cis_kv_each *each;
    void *self;
};

static cis_code list_send(struct pg_conn *conn, const struct list *l, enum pg_id id,
                          struct cis_view at, struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_args_view(&args, conn, at);
    if (id == PG_KV_LIST) {
        cis_pg_arg_str(&args, l->query->ns);
        cis_pg_arg_bytes(&args, l->range.lower, l->range.nlower);
        cis_pg_arg_bytes(&args, l->range.upper, l->range.nupper);
    }
    cis_pg_arg_int(&args, l->query->limit != 0 ? (int64_t)l->query->limit : INT64_MAX);
    cis_pg_arg_int(&args, l->query->values);
    CIS_TRY(cis_pg_send(conn, id, &args, err));
    return cis_pg_sync(conn, err);
}

static cis_code entry_tell(void *self, const PGresult *row, bool *out_more, struct cis_error *err)
{
    const struct list *l = self;
    struct cis_kv_entry entry;
    (void)err;
    cis_pg_kv_entry(row, 0, &entry);
    *out_more = l->each(l->self, &entry);
    return CIS_OK;
}

static cis_code list(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct list *l = arg;
    struct cis_view at = l->at;
    enum pg_id id = l->query->ns.ptr != NULL ? PG_KV_LIST : PG_KV_LIST_ALL;
    CIS_TRY(enter(conn, &at, err));
    CIS_TRY(list_send(conn, l, id, at, err));
    return cis_pg_rows(conn, id, entry_tell, l, err);
}

cis_code cis_pg_kv_list(cis_store *store, struct cis_str tenant, const struct cis_kv_query *query,
                        cis_kv_each *each, void *self, const struct cis_stop *stop,
                        struct cis_error *err)
{
    struct list l = {.at = query->at, .query = query, .each = each, .self = self};
    bool absent = false;
    CIS_TRY(cis_kv_range_of(query, &l.range, err));
    return cis_pg_read((struct pg_store *)store, tenant, list, &l, &absent, stop, err);
}

static cis_code namespaces(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct list *l = arg;
    struct cis_view at = l->at;
    CIS_TRY(enter(conn, &at, err));
    struct pg_args args = {0};
    cis_pg_args_view(&args, conn, at);
    CIS_TRY(cis_pg_send(conn, PG_KV_NAMESPACES, &args, err));
    CIS_TRY(cis_pg_sync(conn, err));
    return cis_pg_rows(conn, PG_KV_NAMESPACES, entry_tell, l, err);
}

cis_code cis_pg_kv_namespaces(cis_store *store, struct cis_str tenant, struct cis_view at,
                              cis_kv_each *each, void *self, const struct cis_stop *stop,
                              struct cis_error *err)
{
    struct list l = {.at = at, .each = each, .self = self};
    bool absent = false;
    return cis_pg_read((struct pg_store *)store, tenant, namespaces, &l, &absent, stop, err);
}

/* ---- usage ---- */
struct usage {
    struct cis_view at;
    uint64_t bytes, keys;
};

static cis_code usage(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct usage *u = arg;
    if (u->at.branch != 0) {
        struct pg_owner owner;
        CIS_TRY(cis_pg_view_owner(conn, u->at, false, &owner, err));
        u->bytes = owner.kv_bytes;
        u->keys = owner.kv_keys;
        return CIS_OK;
    }
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_args_view(&args, conn, u->at);
    CIS_TRY(cis_pg_ask(conn, PG_KV_USAGE, &args, &res, err));
    u->bytes = cis_pg_u64(res, 0, 0);
    u->keys = cis_pg_u64(res, 0, 1);
    return PQntuples(res) != 0 ? CIS_OK : cis_pg_alive(conn, err);
}

cis_code cis_pg_kv_usage(cis_store *store, struct cis_str tenant, struct cis_view at,
                         uint64_t *out_bytes, uint64_t *out_keys, const struct cis_stop *stop,
                         struct cis_error *err)
{
    struct usage u = {at, 0, 0};
    bool absent = false;
    CIS_TRY(cis_pg_read((struct pg_store *)store, tenant, usage, &u, &absent, stop, err));
    *out_bytes = u.bytes;
    *out_keys = u.keys;
    return CIS_OK;
}
