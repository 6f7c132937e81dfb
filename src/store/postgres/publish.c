/* Branches that other tenants may read. A published branch is read in sessions that are bound to
 * the publisher, after its own row said that the reader may; so row security stays a plain compare,
 * and a session of the reader's sees nothing of the publisher but which branches it may ask for. */
#include "store/postgres/internal.h"

struct publish {
    struct cis_str tenant, ref;
    const struct cis_str *to;
    size_t n;
};

static void args_ref(struct pg_args *args, const struct pg_conn *conn, struct cis_str ref)
{
    cis_pg_arg_int(args, conn->tenant);
    cis_pg_arg_str(args, ref);
}

/* The numbers of the readers, in their order; 0: there is no such tenant. */
static cis_code find_readers(struct pg_conn *conn, const struct publish *p, PGresult **out_ids,
                             struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_array_done) struct pg_array names = PG_ARRAY_INIT;
    struct pg_args args = {0};
    for (size_t i = 0; i < p->n; i++) {
        cis_pg_array_bytes(&names, p->to[i].ptr, p->to[i].len);
    }
    cis_pg_arg_blobs(&args, &names);
    return cis_pg_ask(conn, PG_TENANTS_NAMED, &args, out_ids, err);
}

static void readers_add(struct pg_array *readers, const PGresult *ids)
{
    for (int i = 0; i < PQntuples(ids); i++) {
        cis_pg_array_int(readers, cis_pg_int(ids, i, 0));
    }
}

static cis_code put(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct publish *p = arg;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array ref = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array readers = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_clear) PGresult *there = NULL, *ids = NULL;
    struct pg_args look = {0}, args = {0};
    cis_pg_array_bytes(&ref, p->ref.ptr, p->ref.len);
    cis_pg_arg_int(&look, conn->tenant);
    cis_pg_arg_blobs(&look, &ref);
    CIS_TRY(cis_pg_ask(conn, PG_REFS_TAKEN, &look, &there, err));
    if (PQntuples(there) == 0) {
        CIS_TRY(cis_pg_alive(conn, err));
        return cis_fail(err, CIS_E_NOTFOUND, "branch " CIS_STR_FMT ": no such branch",
                        CIS_STR_ARG(p->ref));
    }
    CIS_TRY(find_readers(conn, p, &ids, err));
    for (int i = 0; i < PQntuples(ids); i++) {
        if (cis_pg_int(ids, i, 0) == 0) {
            return cis_fail(err, CIS_E_NOTFOUND, "tenant " CIS_STR_FMT ": no such tenant",
                            CIS_STR_ARG(p->to[i]));
        }
    }
    readers_add(&readers, ids);
    args_ref(&args, conn, p->ref);
    cis_pg_arg_ints(&args, &readers);
    return cis_pg_ask(conn, PG_PUBLISH_PUT, &args, NULL, err);
}

static cis_code put_explain(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct publish *p = arg;
    return conn->failed == PG_PUBLISH_PUT && strcmp(conn->sqlstate, "23503") == 0
               ? cis_fail(err, CIS_E_CONFLICT,
                          "branch " CIS_STR_FMT
                          ": the branch, or a tenant it was to be published to, is being removed",
                          CIS_STR_ARG(p->ref))
               : CIS_OK;
}

cis_code cis_pg_publish_put(cis_store *store, struct cis_str tenant, struct cis_str ref,
                            const struct cis_str *to, size_t n, const struct cis_stop *stop,
                            struct cis_error *err)
{
    struct publish p = {tenant, ref, to, n};
    struct pg_write write = {.work = put, .arg = &p, .explain = put_explain, .repeatable = true};
    CIS_TRY(cis_fs_ref_check(ref, err));
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(cis_store_tenant_check(to[i], err));
        if (cis_str_eq(to[i], tenant)) {
            return cis_fail(err, CIS_E_INVALID,
                            "tenant " CIS_STR_FMT ": it can read its own branches anyway",
                            CIS_STR_ARG(tenant));
        }
    }
    return cis_pg_write((struct pg_store *)store, tenant, &write, stop, err);
}

static cis_code not_published(const struct publish *p, struct cis_str whom, struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOTFOUND, "branch " CIS_STR_FMT ": is not published to " CIS_STR_FMT,
                    CIS_STR_ARG(p->ref), CIS_STR_ARG(whom));
}

/* Which of those asked for did not change. */
static cis_code check_ended(struct pg_conn *conn, const struct publish *p, const PGresult *ids,
                            const PGresult *res, struct cis_error *err)
{
    if (PQntuples(res) == 0) {
        CIS_TRY(cis_pg_alive(conn, err));
    }
    if (p->n == 0) {
        return PQntuples(res) != 0 ? CIS_OK : not_published(p, CIS_STR("anybody"), err);
    }
    for (int i = 0; i < PQntuples(ids); i++) {
        bool found = false;
        for (int k = 0; k < PQntuples(res) && !found; k++) {
            found = cis_pg_int(res, k, 0) == cis_pg_int(ids, i, 0);
        }
        if (!found) {
            return not_published(p, p->to[i], err);
        }
    }
    return CIS_OK;
}

static cis_code end(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct publish *p = arg;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array readers = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_clear) PGresult *ids = NULL, *res = NULL;
    struct pg_args args = {0};
    if (p->n != 0) {
        CIS_TRY(find_readers(conn, p, &ids, err));
        readers_add(&readers, ids);
    }
    args_ref(&args, conn, p->ref);
    cis_pg_arg_ints(&args, &readers);
    CIS_TRY(cis_pg_ask(conn, PG_PUBLISH_END, &args, &res, err));
    return check_ended(conn, p, ids, res, err);
}

cis_code cis_pg_publish_remove(cis_store *store, struct cis_str tenant, struct cis_str ref,
                               const struct cis_str *to, size_t n, const struct cis_stop *stop,
                               struct cis_error *err)
{
    struct publish p = {tenant, ref, to, n};
    struct pg_write write = {.work = end, .arg = &p, .frees = true};
    CIS_TRY(cis_fs_ref_check(ref, err));
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(cis_store_tenant_check(to[i], err));
    }
    return cis_pg_write((struct pg_store *)store, tenant, &write, stop, err);
}

/* ---- lists ---- */

struct listing {
    struct cis_str tenant;
    bool to;
    cis_fs_publish_each *each;
    void *self;
};

static cis_code list(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct listing *l = arg;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    CIS_TRY(cis_pg_ask(conn, l->to ? PG_PUBLISHED_TO : PG_PUBLISHED_BY, &args, &res, err));
    if (PQntuples(res) == 0) {
        return cis_pg_alive(conn, err);
    }
    conn->told = true;
    for (int i = 0; i < PQntuples(res); i++) {
        struct cis_fs_publish row = {.since_ms = cis_pg_int(res, i, 2)};
        cis_pg_text(res, i, 0, row.ref, sizeof row.ref);
        cis_pg_text(res, i, 1, l->to ? row.tenant : row.to, sizeof row.to);
        memcpy(l->to ? row.to : row.tenant, l->tenant.ptr, l->tenant.len);
        if (row.tenant[0] != 0 && row.to[0] != 0 && !l->each(l->self, &row)) {
            break;
        }
    }
    return CIS_OK;
}

static cis_code read_list(cis_store *store, const struct listing *l, const struct cis_stop *stop,
                          struct cis_error *err)
{
    struct listing copy = *l;
    bool absent;
    CIS_TRY(cis_store_tenant_check(l->tenant, err));
    return cis_pg_read((struct pg_store *)store, l->tenant, list, &copy, &absent, stop, err);
}

cis_code cis_pg_published_by(cis_store *store, struct cis_str tenant, cis_fs_publish_each *each,
                             void *self, const struct cis_stop *stop, struct cis_error *err)
{
    struct listing l = {tenant, false, each, self};
    return read_list(store, &l, stop, err);
}

cis_code cis_pg_published_to(cis_store *store, struct cis_str tenant, cis_fs_publish_each *each,
                             void *self, const struct cis_stop *stop, struct cis_error *err)
{
    struct listing l = {tenant, true, each, self};
    return read_list(store, &l, stop, err);
}

/* ---- reading ---- */

struct check {
    struct cis_str ref, reader;
    struct pg_pin pin;
    struct cis_fs_ref out;
    bool asked, never, was;
};

static cis_code check(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct check *c = arg;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    args_ref(&args, conn, c->ref);
    cis_pg_arg_str(&args, c->reader);
    CIS_TRY(cis_pg_ask(conn, PG_PUBLISH_GET, &args, &res, err));
    c->asked = true;
    c->never = PQntuples(res) == 0;
    if (c->never) {
        CIS_TRY(cis_pg_alive(conn, err));
        return cis_fail(err, CIS_E_NOTFOUND, "not published"); /* the caller says it properly */
    }
    c->was = cis_pg_int(res, 0, 0) != 0;
    if (c->was) {
        return cis_fail(err, CIS_E_NOTFOUND, "not published");
    }
    struct pg_pin pin = c->pin;
    if (pin.id == 0) {
        pin.view = (struct cis_view){cis_pg_u64(res, 0, 1), cis_pg_u64(res, 0, 2)};
        c->out = (struct cis_fs_ref){
            .head = pin.view, .files = cis_pg_u64(res, 0, 3), .bytes = cis_pg_u64(res, 0, 4)};
        memcpy(c->out.name, c->ref.ptr, c->ref.len);
    }
    CIS_TRY(cis_pg_pin_work(conn, &pin, err));
    c->pin.out = pin.out;
    return CIS_OK;
}

cis_code cis_pg_publish_check(cis_store *store, struct cis_str tenant,
                              const struct cis_fs_publish_query *query, struct cis_fs_ref *out,
                              uint64_t *out_pin, const struct cis_stop *stop, struct cis_error *err)
{
    struct check c = {.ref = query->ref,
                      .reader = query->reader,
                      .pin = {{0, 0}, query->pin, query->ttl_ms, 0, 0}};
    struct pg_write write = {
        .work = check, .arg = &c, .lazy = query->pin != 0, .repeatable = true, .frees = true};
    struct cis_error why = {0};
    CIS_TRY(cis_fs_ref_check(query->ref, err));
    CIS_TRY(cis_store_tenant_check(query->reader, err));
    cis_code code = cis_pg_write((struct pg_store *)store, tenant, &write, stop, &why);
    /* Not asked: that very tenant is gone, so nothing of it is published. */
    if (code == CIS_E_NOTFOUND || (code == CIS_E_EXPIRED && (c.never || !c.asked))) {
        return cis_fs_publish_refuse(tenant, query->ref, query->reader, c.was, err);
    }
    if (code != CIS_OK) {
        if (err != NULL) {
            *err = why;
        }
        return code;
    }
    if (query->pin == 0) {
        *out = c.out;
    }
    *out_pin = c.pin.out;
    return CIS_OK;
}
