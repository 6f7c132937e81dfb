/* Statements and errors of one connection. */
#include <errno.h>
#include "base/clock.h"
#include "store/sqlite/internal.h"
#include "store/sqlite/integrity/log_check.h"
#include "store/sqlite/integrity/pagesum.h"

static const char *const texts[SQL_COUNT] = {
#define SQL(id, text) [SQL_##id] = (text),
#include "store/sqlite/statements.def"
#undef SQL
};

static cis_code damaged_log(const struct sql_conn *conn, const struct sql_loss *loss,
                            struct cis_error *err)
{
    char until[32] = "a time that is not known";
    if (loss->until_ms != 0) {
        cis_clock_iso(loss->until_ms, until);
    }
    switch (loss->what) {
    case SQL_LOSS_GONE:
        return cis_fail(
            err, CIS_E_DAMAGED,
            "%s-wal: the log is missing (removed by another program?) or its head is damaged; it "
            "held commits, the last of %s; put it back, or run cis store repair",
            conn->path, until);
    case SQL_LOSS_OTHER:
        return cis_fail(err, CIS_E_DAMAGED,
                        "%s-wal: this log does not belong to the database: one of the two is an "
                        "older copy; put the right one back, or run cis store repair",
                        conn->path);
    case SQL_LOSS_OLD:
        return cis_fail(
            err, CIS_E_DAMAGED,
            "%s: older or newer than %s-mark (commits until %s); restore files that belong "
            "together, or give up what is missing: cis store repair --accept-loss",
            conn->path, strrchr(conn->path, '/') + 1, until);
    case SQL_LOSS_FRAME:
        break;
    }
    return cis_fail(err, CIS_E_DAMAGED,
                    "%s-wal: the log is damaged at page %lld of %lld; after it come %lld commits, "
                    "the last of %s; run cis store repair",
                    conn->path, (long long)loss->frame, (long long)loss->frames,
                    (long long)loss->commits, until);
}

static cis_code damaged_page(struct sql_conn *conn, const char *what, struct cis_error *err)
{
    const struct sql_loss *loss = NULL;
    (void)sqlite3_file_control(conn->db, NULL, CIS_SQL_FCNTL_LOSS, &loss);
    if (loss != NULL) {
        return damaged_log(conn, loss, err);
    }
    sqlite3_int64 page = 0;
    (void)sqlite3_file_control(conn->db, NULL, CIS_SQL_FCNTL_BAD_PAGE, &page);
    if (page < 0) {
        return cis_fail(err, CIS_E_DAMAGED,
                        "%s: %s: page %lld has no checksum: damaged, or written by another program",
                        conn->path, what, -(long long)page);
    }
    return cis_fail(err, CIS_E_DAMAGED, "%s: %s: page %lld of the file is damaged", conn->path,
                    what, (long long)page);
}

static cis_code full(struct cis_error *err, const char *path, const char *what)
{
    cis_code code = cis_fail(err, CIS_E_STORE, "%s: %s: the disk is full", path, what);
    if (err != NULL) {
        err->sys = ENOSPC;
    }
    return code;
}

cis_code cis_sql_fail(struct sql_conn *conn, int rc, const char *what, struct cis_error *err)
{
    const char *path = conn->path;
    switch (rc & 0xff) {
    case SQLITE_INTERRUPT:
        if (conn->stop != NULL) {
            CIS_TRY(cis_stop_check(conn->stop, what, err));
        }
        return cis_fail(err, CIS_E_CANCELLED, "%s: %s: interrupted", path, what);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        if (conn->stop != NULL) {
            CIS_TRY(cis_stop_check(conn->stop, what, err));
        }
        return cis_fail(err, CIS_E_STORE, "%s: %s: locked by another process", path, what);
    case SQLITE_NOMEM:
        return cis_fail(err, CIS_E_NOMEM, "%s: %s: out of memory", path, what);
    case SQLITE_FULL:
        return full(err, path, what);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        conn->broken = true;
        return cis_fail(err, CIS_E_DAMAGED, "%s: %s: the file is damaged (%s)", path, what,
                        sqlite3_errstr(rc));
    case SQLITE_IOERR:
        conn->broken = true;
        if (rc == SQLITE_IOERR_DATA) {
            return damaged_page(conn, what, err);
        }
        return cis_fail_sys(err, CIS_E_STORE, sqlite3_system_errno(conn->db), "%s: %s: %s", path,
                            what, sqlite3_errstr(rc));
    default:
        return cis_fail(err, CIS_E_STORE, "%s: %s: %s", path, what,
                        conn->db != NULL ? sqlite3_errmsg(conn->db) : sqlite3_errstr(rc));
    }
}

cis_code cis_sql_exec(struct sql_conn *conn, const char *text, const char *what,
                      struct cis_error *err)
{
    int rc = sqlite3_exec(conn->db, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? CIS_OK : cis_sql_fail(conn, rc, what, err);
}

cis_code cis_sql_prepare(struct sql_conn *conn, enum sql_id id, sqlite3_stmt **out_stmt,
                         struct cis_error *err)
{
    int rc = sqlite3_prepare_v3(conn->db, texts[id], -1, SQLITE_PREPARE_PERSISTENT, out_stmt, NULL);
    return rc == SQLITE_OK ? CIS_OK : cis_sql_fail(conn, rc, "preparing a statement", err);
}

cis_code cis_sql_get(struct sql_conn *conn, enum sql_id id, sqlite3_stmt **out_stmt,
                     struct cis_error *err)
{
    if (conn->stmts[id] == NULL) {
        CIS_TRY(cis_sql_prepare(conn, id, &conn->stmts[id], err));
    }
    *out_stmt = conn->stmts[id];
    return CIS_OK;
}

void cis_sql_release(sqlite3_stmt **stmt)
{
    if (*stmt != NULL) {
        sqlite3_reset(*stmt);
        sqlite3_clear_bindings(*stmt);
    }
}

/* A failed bind leaves NULL there, which every NOT NULL column and comparison turns into a failure
 * or an empty answer; it can only fail for blobs above the connection's limit. */
void cis_sql_bind(sqlite3_stmt *stmt, int at, const void *ptr, size_t len)
{
    (void)sqlite3_bind_blob64(stmt, at, len != 0 ? ptr : "", len, SQLITE_STATIC);
}

cis_code cis_sql_done(struct sql_conn *conn, sqlite3_stmt *stmt, const char *what,
                      struct cis_error *err)
{
    int rc = sqlite3_step(stmt);
    return rc == SQLITE_DONE ? CIS_OK : cis_sql_fail(conn, rc, what, err);
}

cis_code cis_sql_row(struct sql_conn *conn, sqlite3_stmt *stmt, const char *what, bool *out_row,
                     struct cis_error *err)
{
    int rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        return cis_sql_fail(conn, rc, what, err);
    }
    *out_row = rc == SQLITE_ROW;
    return CIS_OK;
}

struct cis_bytes cis_sql_bytes(sqlite3_stmt *stmt, int column)
{
    const void *ptr = sqlite3_column_blob(stmt, column);
    int len = sqlite3_column_bytes(stmt, column);
    if (ptr == NULL || len <= 0) {
        return (struct cis_bytes){(const uint8_t *)"", 0};
    }
    return (struct cis_bytes){ptr, (size_t)len};
}

struct cis_str cis_sql_str(sqlite3_stmt *stmt, int column)
{
    struct cis_bytes b = cis_sql_bytes(stmt, column);
    return (struct cis_str){(const char *)b.ptr, b.len};
}
