/* Run records. */
#include "store/postgres/internal.h"

enum { PRUNE_EVERY = 64 }; /* records between two looks at what is too old */

cis_code cis_pg_run_send(struct pg_conn *conn, const struct cis_run_row *run, uint64_t version,
                         struct cis_error *err)
{
    struct pg_args args = {0}, prune = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, cis_str_of(run->id));
    cis_pg_arg_str(&args, run->skill);
    cis_pg_arg_str(&args, run->status);
    cis_pg_arg_int(&args, run->exit_code);
    cis_pg_arg_int(&args, run->started_ms);
    cis_pg_arg_int(&args, run->ended_ms);
    cis_pg_arg_u64(&args, version);
    cis_pg_arg_str(&args, run->report);
    CIS_TRY(cis_pg_send(conn, PG_RUN_PUT, &args, err));
    if (atomic_fetch_add(&conn->store->records, 1) % PRUNE_EVERY != PRUNE_EVERY - 1) {
        return CIS_OK;
    }
    cis_pg_arg_int(&prune, conn->tenant);
    cis_pg_arg_int(&prune, CIS_STORE_RUNS_KEPT);
    return cis_pg_send(conn, PG_RUN_PRUNE, &prune, err);
}

static void row_of(const PGresult *res, int row, struct cis_run_row *out)
{
    *out = (struct cis_run_row){.skill = cis_pg_str(res, row, 1),
                                .status = cis_pg_str(res, row, 2),
                                .exit_code = (int32_t)cis_pg_int(res, row, 3),
                                .started_ms = cis_pg_int(res, row, 4),
                                .ended_ms = cis_pg_int(res, row, 5),
                                .report = cis_pg_str(res, row, 6)};
    cis_pg_text(res, row, 0, out->id, sizeof out->id);
}

struct query {
    struct cis_str text; /* id or its beginning; skill */
    uint32_t limit;
    cis_run_each *each;
    void *self;
};

static cis_code get(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct query *q = arg;
    char end[sizeof((struct cis_run_row *)NULL)->id];
    memcpy(end, q->text.ptr, q->text.len);
    memset(end + q->text.len, 0x7f, sizeof end - q->text.len);
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, q->text);
    cis_pg_arg_bytes(&args, end, sizeof end);
    CIS_TRY(cis_pg_ask(conn, PG_RUN_GET, &args, &res, err));
    int n = PQntuples(res);
    if (n == 0) {
        CIS_TRY(cis_pg_alive(conn, err));
    }
    if (n != 1) {
        return cis_fail(err, n == 0 ? CIS_E_NOTFOUND : CIS_E_USAGE, "run " CIS_STR_FMT ": %s",
                        CIS_STR_ARG(q->text),
                        n == 0 ? "no such run" : "more than one run begins so");
    }
    struct cis_run_row row;
    row_of(res, 0, &row);
    conn->told = true;
    (void)q->each(q->self, &row);
    return CIS_OK;
}

cis_code cis_pg_run_get(cis_store *store, struct cis_str tenant, struct cis_str id,
                        cis_run_each *each, void *self, const struct cis_stop *stop,
                        struct cis_error *err)
{
    struct query q = {id, 0, each, self};
    bool absent = false;
    if (id.len == 0 || id.len >= sizeof((struct cis_run_row *)NULL)->id) {
        return cis_fail(err, CIS_E_USAGE, "run id of %zu characters: 1 to 26 are allowed", id.len);
    }
    CIS_TRY(cis_pg_read((struct pg_store *)store, tenant, get, &q, &absent, stop, err));
    return absent
               ? cis_fail(err, CIS_E_NOTFOUND, "run " CIS_STR_FMT ": no such run", CIS_STR_ARG(id))
               : CIS_OK;
}

static cis_code tell(void *self, const PGresult *res, bool *out_more, struct cis_error *err)
{
    const struct query *q = self;
    struct cis_run_row row;
    (void)err;
    row_of(res, 0, &row);
    *out_more = q->each(q->self, &row);
    return CIS_OK;
}

static cis_code list(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct query *q = arg;
    struct pg_args args = {0};
    enum pg_id id = q->text.ptr != NULL ? PG_RUN_LIST_SKILL : PG_RUN_LIST;
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_int(&args, q->limit != 0 ? (int64_t)q->limit : INT64_MAX);
    if (q->text.ptr != NULL) {
        cis_pg_arg_str(&args, q->text);
    }
    CIS_TRY(cis_pg_send(conn, id, &args, err));
    CIS_TRY(cis_pg_sync(conn, err));
    return cis_pg_rows(conn, id, tell, q, err);
}

cis_code cis_pg_run_list(cis_store *store, struct cis_str tenant, const struct cis_run_query *query,
                         cis_run_each *each, void *self, const struct cis_stop *stop,
                         struct cis_error *err)
{
    struct query q = {query->skill, query->limit, each, self};
    bool absent = false;
    return cis_pg_read((struct pg_store *)store, tenant, list, &q, &absent, stop, err);
}

struct report {
    struct cis_str id, was, now;
};

static cis_code report(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct report *r = arg;
    struct pg_args which = {0}, args = {0}, grown = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *row = NULL;
    cis_pg_arg_int(&which, conn->tenant);
    cis_pg_arg_str(&which, r->id);
    CIS_TRY(cis_pg_ask(conn, PG_RUN_LOCK, &which, &row, err));
    if (PQntuples(row) == 0) {
        CIS_TRY(cis_pg_alive(conn, err));
        return cis_fail(err, CIS_E_NOTFOUND, "run " CIS_STR_FMT ": no such run",
                        CIS_STR_ARG(r->id));
    }
    if (!cis_str_eq(cis_pg_str(row, 0, 0), r->was)) {
        return cis_fail(err, CIS_E_CONFLICT, "run " CIS_STR_FMT ": its record changed meanwhile",
                        CIS_STR_ARG(r->id));
    }
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, r->id);
    cis_pg_arg_str(&args, r->now);
    CIS_TRY(cis_pg_send(conn, PG_RUN_REPORT, &args, err));
    cis_pg_arg_int(&grown, (int64_t)r->now.len - (int64_t)r->was.len);
    return cis_pg_send(conn, PG_GROWN, &grown, err); /* no trigger counts it (store/cost.h) */
}

cis_code cis_pg_run_report(cis_store *store, struct cis_str tenant, struct cis_str id,
                           struct cis_str was, struct cis_str now, const struct cis_stop *stop,
                           struct cis_error *err)
{
    struct report r = {id, was, now};
    struct pg_write write = {.work = report, .arg = &r, .room = CIS_STORED_RECORD};
    CIS_TRY(cis_run_report_check(id, now, err));
    return cis_pg_write((struct pg_store *)store, tenant, &write, stop, err);
}
