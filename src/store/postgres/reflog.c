/* The reflog: what a ref named before it was moved or removed (store/fs.h). */
#include "store/postgres/internal.h"

static cis_code cut(struct pg_conn *conn, enum pg_id id, struct cis_str ref, int64_t last,
                    struct cis_error *err)
{
    struct cis_fs_reflog_name from, to;
    struct pg_args args = {0};
    cis_fs_reflog_range(ref, &from, &to);
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, from.name);
    cis_pg_arg_str(&args, to.name);
    cis_pg_arg_int(&args, last);
    return cis_pg_ask(conn, id, &args, NULL, err);
}

/* The head is locked: until the commit its branch holds the state that it was forked from. */
cis_code cis_pg_reflog_put(struct pg_conn *conn, struct cis_str ref, struct cis_view head,
                           struct cis_str why, struct cis_error *err)
{
    struct cis_fs_reflog_name row;
    struct pg_args args = {0};
    cis_fs_reflog_make(ref, &row);
    why.len = cis_utf8_floor(why.ptr, why.len, CIS_FS_NOTE_MAX);
    cis_pg_args_view(&args, conn, head);
    cis_pg_arg_str(&args, row.name);
    cis_pg_arg_str(&args, why);
    cis_pg_arg_str(&args,
                   (struct cis_str){row.name.ptr + row.name.len - CIS_ID_CHARS, CIS_ID_CHARS});
    CIS_TRY(cis_pg_ask(conn, PG_REFLOG_PUT, &args, NULL, err));
    return cut(conn, PG_REFLOG_CUT, ref, CIS_FS_REFLOG_MAX, err);
}

cis_code cis_pg_reflog_cut_lost(struct pg_conn *conn, struct cis_error *err)
{
    return cut(conn, PG_REFLOG_CUT_LOST, CIS_STR(""), CIS_FS_REFLOG_LOST, err);
}

struct query {
    struct cis_str ref;
    cis_fs_reflog_each *each;
    void *self;
};

static cis_code list(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct query *q = arg;
    struct cis_fs_reflog_name from, to;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_fs_reflog_range(q->ref, &from, &to);
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, from.name);
    cis_pg_arg_str(&args, to.name);
    CIS_TRY(cis_pg_ask(conn, PG_REFLOG, &args, &res, err));
    if (PQntuples(res) == 0) {
        return cis_pg_alive(conn, err);
    }
    conn->told = true;
    for (int i = 0; i < PQntuples(res); i++) {
        struct cis_fs_reflog entry = {.view = {cis_pg_u64(res, i, 1), cis_pg_u64(res, i, 2)},
                                      .time_ms = cis_pg_int(res, i, 3),
                                      .files = cis_pg_u64(res, i, 4),
                                      .bytes = cis_pg_u64(res, i, 5),
                                      .why = cis_pg_str(res, i, 6)};
        cis_fs_reflog_ref(cis_pg_str(res, i, 0), &entry);
        if (!q->each(q->self, &entry)) {
            break;
        }
    }
    return CIS_OK;
}

cis_code cis_pg_reflog(cis_store *store, struct cis_str tenant, struct cis_str ref,
                       cis_fs_reflog_each *each, void *self, const struct cis_stop *stop,
                       struct cis_error *err)
{
    struct query q = {ref, each, self};
    bool absent;
    return cis_pg_read((struct pg_store *)store, tenant, list, &q, &absent, stop, err);
}

static cis_code trim(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    return cut(conn, PG_REFLOG_TRIM, CIS_STR(""), *(const int64_t *)arg, err);
}

cis_code cis_pg_reflog_trim(cis_store *store, struct cis_str tenant, int64_t before_ms,
                            const struct cis_stop *stop, struct cis_error *err)
{
    struct pg_write write = {.work = trim, .arg = &before_ms, .repeatable = true, .frees = true};
    return cis_pg_write((struct pg_store *)store, tenant, &write, stop, err);
}
