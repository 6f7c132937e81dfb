#include "harness.h"

#include <sqlite3.h>
#include "base/file.h"
#include "store/cost.h"
#include "store/sqlite/internal.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"
#include "workload.h"
#include "store/calls.h"

static long long number(sqlite3 *db, const char *text)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    }
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    long long n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

#define SUM(table, cost) " + (SELECT coalesce(sum(" cost("") "), 0) FROM " table ")"
static const char *const faults[] = {
    WORKLOAD_FAULTS("x'6d61696e'", "CAST('@' || r.name || ' ' AS BLOB)", "tree"),
    "SELECT stored <> 0" CIS_COST_TABLES(SUM) " FROM tree",
};

static void audit_rows(cis_store *s)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    assert_ok(cis_sql_take((struct sql_store *)s, T, true, NULL, &conn, err));
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (number(conn->db, faults[i]) != 0) {
            fail_msg("not 0: %s", faults[i]);
        }
    }
    assert_ok(cis_sql_exec(conn, "INSERT INTO memory_text (memory_text) VALUES ('integrity-check')",
                           "checking the index", err));
}

unsigned workload_audit(const char *dir, unsigned acked)
{
    cis_store *s = NULL;
    char path[1024];
    assert_ok(cis_store_sqlite_open(dir, &s, err));
    unsigned n = workload_audit_store(s, acked);
    snprintf(path, sizeof path, "%s/tenants/default.db", dir);
    if (cis_file_exists(path)) {
        audit_rows(s);
    }
    cis_store_close(s);
    return n;
}

cis_code workload_fold(const char *dir, bool cut, struct cis_error *err)
{
    char path[600];
    struct sql_conn *conn = NULL;
    snprintf(path, sizeof path, "%s/tenants/default.db", dir);
    if (!cis_file_exists(path)) {
        return CIS_OK;
    }
    CIS_TRY(cis_sql_tenant_file_open(path, &conn, err));
    cis_code code = cis_sql_exec(
        conn, cut ? "PRAGMA wal_checkpoint(TRUNCATE)" : "PRAGMA wal_checkpoint(RESTART)", "fold",
        err);
    if (code == CIS_OK && !cut) { /* by this connection, which still knows that it is folded in */
        code = cis_sql_exec(conn, "BEGIN IMMEDIATE; CREATE TABLE t (x); DROP TABLE t; COMMIT",
                            "fold", err);
    }
    cis_sql_conn_close(conn);
    return code;
}
