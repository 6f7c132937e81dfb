/* Removing a branch: closed first, so that no view of it is opened any more, then emptied in short
 * transactions, and its own row last. Cut short, it is closed, and removing it again goes on. */
#include <inttypes.h>
#include "base/clock.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/read.h"
#include "store/text.h"

#define ROWS 2000 /* of each table in one transaction */

struct removal {
    uint64_t branch;
    bool *more;
};

static cis_code ask(struct sql_conn *conn, enum sql_id id, uint64_t branch, int64_t second,
                    bool *out_row, bool *out_true, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, id, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(branch));
    if (sqlite3_bind_parameter_count(st) > 1) {
        sqlite3_bind_int64(st, 2, second);
    }
    CIS_TRY(cis_sql_row(conn, st, "removing a branch", out_row, err));
    *out_true = *out_row && sqlite3_column_int64(st, 0) != 0;
    return CIS_OK;
}

static cis_code close_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct removal *r = arg;
    bool row, there, used;
    CIS_TRY(ask(conn, SQL_BRANCH_THERE, r->branch, 0, &row, &there, err));
    if (!there) {
        return cis_fail(err, CIS_E_NOTFOUND, "branch %" PRIu64 ": no such branch", r->branch);
    }
    CIS_TRY(ask(conn, SQL_BRANCH_USED, r->branch, cis_sql_lease_ms(conn->store), &row, &used, err));
    if (used) {
        return cis_fail(err, CIS_E_CONFLICT,
                        "branch %" PRIu64 ": a ref, a fork, a snapshot or a pin is on it",
                        r->branch);
    }
    return ask(conn, SQL_BRANCH_FLOOR, r->branch, INT64_MAX, &row, &there, err);
}

static cis_code memory_remove(struct sql_conn *conn, uint64_t branch, bool *out_more,
                              struct cis_error *err)
{
    int n = 0;
    for (bool row = true; row && n < ROWS; n++) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_MEMORY_OF_BRANCH, &st, err));
        sqlite3_bind_int64(st, 1, cis_sql_i64(branch));
        sqlite3_bind_int64(st, 2, 1);
        CIS_TRY(cis_sql_row(conn, st, "removing a branch", &row, err));
        if (!row) {
            break;
        }
        int64_t id = sqlite3_column_int64(st, 0);
        if (sqlite3_column_int64(st, 3) == 0) {
            CIS_TRY(cis_sql_text_change(conn, SQL_TEXT_REMOVE, id, cis_sql_str(st, 1),
                                        cis_text_of(cis_sql_bytes(st, 2)), err));
        }
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *del = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_KV_DELETE, &del, err));
        sqlite3_bind_int64(del, 1, id);
        CIS_TRY(cis_sql_done(conn, del, "removing a branch", err));
    }
    *out_more |= n != 0;
    return CIS_OK;
}

static cis_code empty_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    static const enum sql_id ids[] = {SQL_REMOVE_DIRENT, SQL_REMOVE_INODE, SQL_REMOVE_EXTENT,
                                      SQL_REMOVE_EPOCH};
    const struct removal *r = arg;
    bool more = false, row, yes;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        CIS_TRY(ask(conn, ids[i], r->branch, ROWS, &row, &yes, err));
        more |= sqlite3_changes(conn->db) != 0;
    }
    CIS_TRY(memory_remove(conn, r->branch, &more, err));
    if (!more) {
        CIS_TRY(ask(conn, SQL_REMOVE_LINEAGE, r->branch, 0, &row, &yes, err));
        CIS_TRY(ask(conn, SQL_REMOVE_BRANCH, r->branch, 0, &row, &yes, err));
    }
    *r->more = more;
    return CIS_OK;
}

cis_code cis_sql_branch_remove(cis_store *store, struct cis_str tenant, uint64_t branch,
                               const struct cis_stop *stop, struct cis_error *err)
{
    struct sql_store *s = (struct sql_store *)store;
    bool more = true;
    struct removal r = {branch, &more};
    CIS_TRY(cis_sql_tenant_require(s, tenant, err));
    CIS_TRY(cis_sql_write(s, tenant, close_apply, &r, SQL_DURABLE | SQL_FREES, stop, err));
    while (more) {
        CIS_TRY(cis_sql_write(s, tenant, empty_apply, &r, SQL_DURABLE | SQL_FREES, stop, err));
    }
    return CIS_OK;
}
