/* Run records. */
#include "store/sqlite/internal.h"

#define PRUNE_EVERY 64 /* records between two looks at what is too old */

static cis_code prune(struct sql_conn *conn, int64_t newest, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_RUN_PRUNE, &st, err));
    sqlite3_bind_int64(st, 1, newest - (int64_t)CIS_STORE_RUNS_KEPT);
    return cis_sql_done(conn, st, "forgetting old runs", err);
}

cis_code cis_sql_run_put(struct sql_conn *conn, const struct cis_run_row *run, uint64_t version,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_RUN_PUT, &st, err));
    cis_sql_bind_str(st, 1, cis_str_of(run->id));
    cis_sql_bind_str(st, 2, run->skill);
    cis_sql_bind_str(st, 3, run->status);
    sqlite3_bind_int(st, 4, run->exit_code);
    sqlite3_bind_int64(st, 5, run->started_ms);
    sqlite3_bind_int64(st, 6, run->ended_ms);
    if (version != 0) {
        sqlite3_bind_int64(st, 7, (int64_t)version);
    }
    cis_sql_bind_str(st, 8, run->report);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_CONSTRAINT_UNIQUE) {
        return cis_fail(err, CIS_E_EXISTS, "run %s: recorded already", run->id);
    }
    if (rc != SQLITE_DONE) {
        return cis_sql_fail(conn, rc, "recording the run", err);
    }
    int64_t n = sqlite3_last_insert_rowid(conn->db);
    return n > (int64_t)CIS_STORE_RUNS_KEPT && n % PRUNE_EVERY == 0 ? prune(conn, n, err) : CIS_OK;
}

static void row_of(sqlite3_stmt *st, struct cis_run_row *out)
{
    struct cis_str id = cis_sql_str(st, 0);
    *out = (struct cis_run_row){.skill = cis_sql_str(st, 1),
                                .status = cis_sql_str(st, 2),
                                .exit_code = sqlite3_column_int(st, 3),
                                .started_ms = sqlite3_column_int64(st, 4),
                                .ended_ms = sqlite3_column_int64(st, 5),
                                .report = cis_sql_str(st, 6)};
    size_t n = id.len < sizeof out->id - 1 ? id.len : sizeof out->id - 1;
    memcpy(out->id, id.ptr, n);
}

/* The report may be megabytes, so the row is shown from the statement; that it is the only one is
 * known from a first pass that stops after two. */
cis_code cis_sql_run_get(cis_store *store, struct cis_str tenant, struct cis_str id,
                         cis_run_each *each, void *self, const struct cis_stop *stop,
                         struct cis_error *err)
{
    struct cis_run_row row;
    if (id.len == 0 || id.len >= sizeof row.id) {
        return cis_fail(err, CIS_E_USAGE, "run id of %zu characters: 1 to 26 are allowed", id.len);
    }
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    int rows = 0;
    if (conn != NULL) {
        char end[sizeof row.id];
        memcpy(end, id.ptr, id.len);
        memset(end + id.len, 0x7f, sizeof end - id.len);
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_RUN_GET, &st, err));
        cis_sql_bind_str(st, 1, id);
        cis_sql_bind(st, 2, end, sizeof end);
        for (bool more = true; more;) {
            CIS_TRY(cis_sql_row(conn, st, "reading a run", &more, err));
            rows += more;
        }
        if (rows == 1) {
            sqlite3_reset(st);
            bool again;
            CIS_TRY(cis_sql_row(conn, st, "reading a run", &again, err));
            if (again) {
                row_of(st, &row);
                (void)each(self, &row);
                return CIS_OK;
            }
            rows = 0;
        }
    }
    return cis_fail(err, rows == 0 ? CIS_E_NOTFOUND : CIS_E_USAGE, "run " CIS_STR_FMT ": %s",
                    CIS_STR_ARG(id), rows == 0 ? "no such run" : "more than one run begins so");
}

cis_code cis_sql_run_list(cis_store *store, struct cis_str tenant,
                          const struct cis_run_query *query, cis_run_each *each, void *self,
                          const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn == NULL) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(
        cis_sql_get(conn, query->skill.ptr != NULL ? SQL_RUN_LIST_SKILL : SQL_RUN_LIST, &st, err));
    sqlite3_bind_int64(st, 1, query->limit != 0 ? (int64_t)query->limit : -1);
    if (query->skill.ptr != NULL) {
        cis_sql_bind_str(st, 2, query->skill);
    }
    for (bool more = true, wanted = true; more && wanted;) {
        CIS_TRY(cis_sql_row(conn, st, "listing runs", &more, err));
        if (more) {
            struct cis_run_row row;
            row_of(st, &row);
            wanted = each(self, &row);
        }
    }
    return CIS_OK;
}

struct report {
    struct cis_str id, was, now;
};

static cis_code report_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct report *r = arg;
    bool done, there;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_RUN_REPORT, &st, err));
    cis_sql_bind_str(st, 1, r->id);
    cis_sql_bind_str(st, 2, r->was);
    cis_sql_bind_str(st, 3, r->now);
    CIS_TRY(cis_sql_row(conn, st, "noting in the record of a run", &done, err));
    if (done) { /* counted here (store/cost.h): no trigger is for what changes in this table alone
                 */
        conn->grown += (int64_t)r->now.len - (int64_t)r->was.len;
        return cis_sql_row(conn, st, "noting in the record of a run", &done, err);
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *look = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_RUN_THERE, &look, err));
    cis_sql_bind_str(look, 1, r->id);
    CIS_TRY(cis_sql_row(conn, look, "reading a run", &there, err));
    return cis_fail(err, there ? CIS_E_CONFLICT : CIS_E_NOTFOUND, "run " CIS_STR_FMT ": %s",
                    CIS_STR_ARG(r->id), there ? "its record changed meanwhile" : "no such run");
}

cis_code cis_sql_run_report(cis_store *store, struct cis_str tenant, struct cis_str id,
                            struct cis_str was, struct cis_str now, const struct cis_stop *stop,
                            struct cis_error *err)
{
    struct report r = {id, was, now};
    CIS_TRY(cis_run_report_check(id, now, err));
    return cis_sql_write_existing((struct sql_store *)store, tenant, report_apply, &r,
                                  SQL_DURABLE | SQL_RECORD, stop, err);
}
