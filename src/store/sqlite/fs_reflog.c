/* The reflog: what a ref named before it was moved or removed (store/fs.h). */
#include "base/clock.h"
#include "store/sqlite/fs_commit.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/internal.h"

static cis_code cut(struct sql_conn *conn, enum sql_id id, struct cis_str ref, int64_t third,
                    struct cis_error *err)
{
    struct cis_fs_reflog_name from, to;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, id, &st, err));
    cis_fs_reflog_range(ref, &from, &to);
    cis_sql_bind_str(st, 1, from.name);
    cis_sql_bind_str(st, 2, to.name);
    sqlite3_bind_int64(st, 3, third);
    return cis_sql_done(conn, st, "the reflog", err);
}

cis_code cis_sql_reflog_put(struct sql_conn *conn, const struct cis_fs_ref *ref,
                            struct cis_view owner, struct cis_str why, struct cis_error *err)
{
    struct cis_str name = cis_str_of(ref->name);
    struct cis_fs_reflog_name row;
    cis_fs_reflog_make(name, &row);
    why.len = cis_utf8_floor(why.ptr, why.len, CIS_FS_NOTE_MAX);
    {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_SNAPSHOT_PUT, &st, err));
        cis_sql_bind_str(st, 1, row.name);
        cis_sql_bind_str(
            st, 2, (struct cis_str){row.name.ptr + row.name.len - CIS_ID_CHARS, CIS_ID_CHARS});
        /* What the ref's row counts: a state whose commit is damaged can be left, too. */
        const int64_t rest[5] = {cis_sql_i64(owner.branch), cis_sql_i64(owner.epoch),
                                 cis_clock_wall_ms(), cis_sql_i64(ref->files),
                                 cis_sql_i64(ref->bytes)};
        for (int i = 0; i < 5; i++) {
            sqlite3_bind_int64(st, 3 + i, rest[i]);
        }
        cis_sql_bind_str(st, 8, why);
        CIS_TRY(cis_sql_done(conn, st, "the reflog", err));
    }
    return cut(conn, SQL_REFLOG_CUT, name, CIS_FS_REFLOG_MAX, err);
}

cis_code cis_sql_reflog_cut_lost(struct sql_conn *conn, struct cis_error *err)
{
    return cut(conn, SQL_REFLOG_CUT_LOST, CIS_STR(""), CIS_FS_REFLOG_LOST, err);
}

static void entry_of(sqlite3_stmt *st, struct cis_fs_reflog *out)
{
    *out = (struct cis_fs_reflog){
        .view = {(uint64_t)sqlite3_column_int64(st, 2), (uint64_t)sqlite3_column_int64(st, 3)},
        .time_ms = sqlite3_column_int64(st, 4),
        .files = (uint64_t)sqlite3_column_int64(st, 5),
        .bytes = (uint64_t)sqlite3_column_int64(st, 6),
        .why = cis_sql_str(st, 7)};
    cis_fs_reflog_ref(cis_sql_str(st, 0), out);
}

cis_code cis_sql_reflog(cis_store *store, struct cis_str tenant, struct cis_str ref,
                        cis_fs_reflog_each *each, void *self, const struct cis_stop *stop,
                        struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn == NULL) {
        return CIS_OK;
    }
    struct cis_fs_reflog_name from, to;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_REFLOG_LIST, &st, err));
    cis_fs_reflog_range(ref, &from, &to);
    cis_sql_bind_str(st, 1, from.name);
    cis_sql_bind_str(st, 2, to.name);
    for (bool wanted = true; wanted;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "listing the reflog", &row, err));
        if (!row) {
            break;
        }
        struct cis_fs_reflog entry;
        entry_of(st, &entry);
        wanted = each(self, &entry);
    }
    return CIS_OK;
}

static cis_code trim_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    return cut(conn, SQL_REFLOG_TRIM, CIS_STR(""), *(const int64_t *)arg, err);
}

cis_code cis_sql_reflog_trim(cis_store *store, struct cis_str tenant, int64_t before_ms,
                             const struct cis_stop *stop, struct cis_error *err)
{
    return cis_sql_write_existing((struct sql_store *)store, tenant, trim_apply, &before_ms,
                                  SQL_DURABLE | SQL_FREES, stop, err);
}
