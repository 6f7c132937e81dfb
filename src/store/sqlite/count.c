/* What rows count in a tenant's stored bytes (store/cost.h). A connection that writes has temporary
 * triggers, which are no part of the file (those of the file are switched off): they add up, in the
 * connection, what comes and goes, so that no statement can forget to. When a write of the queue is
 * complete its sum goes into the tree's row, in the same transaction. */
#include <inttypes.h>
#include "store/commit.h"
#include "store/cost.h"
#include "store/sqlite/internal.h"

static void grow(sqlite3_context *context, int n, sqlite3_value **values)
{
    struct sql_conn *conn = sqlite3_user_data(context);
    int64_t by = n == 1 ? sqlite3_value_int64(values[0]) : 0;
    if (__builtin_add_overflow(conn->grown, by, &conn->grown)) {
        sqlite3_result_error(context, "what is stored cannot be counted", -1);
    }
}

#define ROWS(table, cost)                                                                          \
    "CREATE TEMP TRIGGER IF NOT EXISTS count_" table "_add AFTER INSERT ON main." table            \
    " BEGIN SELECT cis_grow(" cost("NEW.") "); END;"                                               \
                                           "CREATE TEMP TRIGGER IF NOT EXISTS count_" table        \
                                           "_remove AFTER DELETE ON main." table                   \
                                           " BEGIN SELECT cis_grow(-" cost("OLD.") "); END;"
#define CHANGE(table, column, cost)                                                                \
    "CREATE TEMP TRIGGER IF NOT EXISTS count_" table "_change AFTER UPDATE OF " column             \
    " ON main." table " BEGIN SELECT cis_grow(" cost("NEW.") " - " cost("OLD.") "); END;"
static const char triggers[] = CIS_COST_TABLES(ROWS) CIS_COST_CHANGES(CHANGE);
#undef ROWS
#undef CHANGE

cis_code cis_sql_count_begin(struct sql_conn *conn, struct cis_error *err)
{
    if (conn->counting) {
        return CIS_OK;
    }
    int rc = sqlite3_create_function_v2(conn->db, "cis_grow", 1, SQLITE_UTF8 | SQLITE_INNOCUOUS,
                                        conn, grow, NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        return cis_sql_fail(conn, rc, "begin", err);
    }
    CIS_TRY(cis_sql_exec(conn, triggers, "begin", err));
    conn->counting = true;
    return CIS_OK;
}

cis_code cis_sql_count_settle(struct sql_conn *conn, unsigned how, struct cis_error *err)
{
    if (conn->grown == 0) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_STORED_ADD, &st, err));
    sqlite3_bind_int64(st, 1, conn->grown);
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "counting what is stored", &row, err));
    if (!row) {
        return cis_fail(err, CIS_E_NOTFOUND, "%s: the tenant is deleted", conn->path);
    }
    int64_t stored = sqlite3_column_int64(st, 0), quota = sqlite3_column_int64(st, 1);
    enum cis_stored_room room = (how & SQL_ACCEPTED) != 0 ? CIS_STORED_ACCEPTED
                                : (how & (SQL_FREES | SQL_REMOVES | SQL_HELPS)) != 0
                                    ? CIS_STORED_REMOVAL
                                : (how & SQL_UNDO) != 0   ? CIS_STORED_UNDO
                                : (how & SQL_RECORD) != 0 ? CIS_STORED_RECORD
                                                          : CIS_STORED_GROWTH;
    if (conn->grown > 0 && stored > 0 &&
        (uint64_t)stored > cis_stored_limit(room, (uint64_t)quota)) {
        return cis_stored_refuse((uint64_t)stored, (uint64_t)quota, err);
    }
    return CIS_OK;
}

#define SUM(table, cost) " + (SELECT coalesce(sum(" cost("") "), 0) FROM " table ")"
#define TOTAL "(0" CIS_COST_TABLES(SUM) ")"
const char cis_sql_count_fault[] = "SELECT 'stored bytes are counted as '||stored||', there are '"
                                   "||total FROM tree, (SELECT " TOTAL " AS total)"
                                   " WHERE stored <> total";

cis_code cis_sql_count_all(struct sql_conn *conn, struct cis_error *err)
{
    return cis_sql_exec(conn, "UPDATE tree SET stored = " TOTAL, "migration", err);
}
#undef SUM
#undef TOTAL
