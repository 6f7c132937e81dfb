/* A commit: memory, config changes and the run's record beside the rows of files (fs_commit.c), in
 * the transaction that the queue holds open. */
#include "base/clock.h"
#include "store/commit.h"
#include "store/sqlite/fs_commit.h"
#include "store/sqlite/internal.h"
#include "store/text.h"

cis_code cis_sql_text_change(struct sql_conn *conn, enum sql_id id, int64_t row, struct cis_str key,
                             struct cis_str text, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, id, &st, err));
    struct cis_str shown = cis_text_of(cis_bytes_of(key.ptr, key.len));
    sqlite3_bind_int64(st, 1, row);
    sqlite3_bind_text64(st, 2, shown.len != 0 ? shown.ptr : "", shown.len, SQLITE_STATIC,
                        SQLITE_UTF8);
    sqlite3_bind_text64(st, 3, text.len != 0 ? text.ptr : "", text.len, SQLITE_STATIC, SQLITE_UTF8);
    return cis_sql_done(conn, st, "indexing memory", err);
}

struct grown {
    int64_t bytes, keys;
};

/* The row of the entry's new version. old: of SQL_KV_OLD, on a row or NULL. */
static cis_code put_version(struct sql_conn *conn, struct cis_view at, const struct cis_kv_op *op,
                            sqlite3_stmt *old, struct cis_error *err)
{
    struct cis_bytes category = {(const uint8_t *)op->category.ptr, op->category.len};
    int64_t is_public = op->is_public == 1;
    if (old != NULL && op->category.ptr == NULL) {
        category = cis_sql_bytes(old, 3);
    }
    if (old != NULL && op->is_public < 0) {
        is_public = sqlite3_column_int64(old, 2);
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_KV_INSERT, &st, err));
    cis_sql_bind_view(st, at);
    cis_sql_bind_str(st, 3, op->ns);
    cis_sql_bind_str(st, 4, op->key);
    sqlite3_bind_int(st, 5, op->remove);
    sqlite3_bind_int64(st, 6, op->remove ? 0 : is_public);
    cis_sql_bind(st, 7, category.ptr, op->remove ? 0 : category.len);
    sqlite3_bind_int64(st, 8, cis_clock_wall_ms());
    cis_sql_bind(st, 9, op->value.ptr, op->remove ? 0 : op->value.len);
    CIS_TRY(cis_sql_done(conn, st, "writing memory", err));
    return op->remove ? CIS_OK
                      : cis_sql_text_change(conn, SQL_TEXT_ADD, sqlite3_last_insert_rowid(conn->db),
                                            op->key, cis_text_of(op->value), err);
}

/* Takes back what this very commit wrote for the key before. */
static cis_code drop_version(struct sql_conn *conn, const struct cis_kv_op *op, sqlite3_stmt *old,
                             struct cis_error *err)
{
    int64_t id = sqlite3_column_int64(old, 0);
    if (sqlite3_column_int64(old, 4) == 0) {
        CIS_TRY(cis_sql_text_change(conn, SQL_TEXT_REMOVE, id, op->key,
                                    cis_text_of(cis_sql_bytes(old, 7)), err));
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_KV_DELETE, &st, err));
    sqlite3_bind_int64(st, 1, id);
    return cis_sql_done(conn, st, "writing memory", err);
}

static cis_code kv_apply(struct sql_conn *conn, struct cis_view at, const struct cis_kv_op *op,
                         struct grown *grown, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *old = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_KV_OLD, &old, err));
    cis_sql_bind_view(old, at);
    cis_sql_bind_str(old, 3, op->ns);
    cis_sql_bind_str(old, 4, op->key);
    bool row;
    CIS_TRY(cis_sql_row(conn, old, "reading memory", &row, err));
    bool live = row && sqlite3_column_int64(old, 4) == 0;
    if (op->remove && !live) {
        return CIS_OK;
    }
    if (live) {
        grown->keys--;
        grown->bytes -= sqlite3_column_int64(old, 1) + (int64_t)op->key.len;
    }
    if (!op->remove) {
        grown->keys++;
        grown->bytes += (int64_t)(op->key.len + op->value.len);
    }
    /* The old row's columns are read until the new row is in: two rows of one epoch cannot be. */
    struct cis_kv_op kept = *op;
    char category[CIS_STORE_CATEGORY_MAX];
    if (row && sqlite3_column_int64(old, 5) != 0) {
        if (live && op->category.ptr == NULL) {
            struct cis_bytes was = cis_sql_bytes(old, 3);
            size_t len = was.len < sizeof category ? was.len : sizeof category;
            memcpy(category, was.ptr, len);
            kept.category = (struct cis_str){category, len};
        }
        if (live && op->is_public < 0) {
            kept.is_public = (int8_t)(sqlite3_column_int64(old, 2) == 1);
        }
        CIS_TRY(drop_version(conn, op, old, err));
        live = false;
    }
    return put_version(conn, at, &kept, live ? old : NULL, err);
}

cis_code cis_sql_kv_apply(struct sql_conn *conn, struct cis_view at, const struct cis_kv_op *ops,
                          size_t n, int64_t *out_bytes, int64_t *out_keys, struct cis_error *err)
{
    struct grown grown = {0, 0};
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(kv_apply(conn, at, &ops[i], &grown, err));
    }
    *out_bytes = grown.bytes;
    *out_keys = grown.keys;
    return CIS_OK;
}

struct job {
    const struct cis_store_commit *commit;
    struct cis_fs_committed done;
};

static cis_code apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    struct job *job = *(struct job *const *)arg;
    const struct cis_store_commit *c = job->commit;
    uint64_t epoch = 0;
    if (c->nkv != 0 || c->fs != NULL || c->out != NULL || c->fork) {
        CIS_TRY(cis_sql_commit_rows(conn, c, &job->done, &epoch, err));
    }
    CIS_TRY(cis_sql_config_put(conn, c->config, c->nconfig, err));
    return c->run != NULL ? cis_sql_run_put(conn, c->run, epoch, err) : CIS_OK;
}

static bool changes_files(const struct cis_fs_commit *fs)
{
    return fs != NULL && (fs->ndirents | fs->nchanges | fs->ndeltas | fs->nextents) != 0;
}

cis_code cis_sql_commit(cis_store *store, struct cis_str tenant,
                        const struct cis_store_commit *commit, const struct cis_stop *stop,
                        struct cis_error *err)
{
    CIS_TRY(cis_store_commit_check(commit, err));
    bool durable =
        commit->nkv != 0 || commit->nconfig != 0 || commit->fork || changes_files(commit->fs);
    if (commit->run == NULL && !durable && commit->out == NULL) {
        return CIS_OK;
    }
    struct job job = {.commit = commit}, *arg = &job;
    static const unsigned rooms[] = {[CIS_STORED_GROWTH] = 0,
                                     [CIS_STORED_RECORD] = SQL_RECORD,
                                     [CIS_STORED_UNDO] = SQL_UNDO,
                                     [CIS_STORED_REMOVAL] = SQL_REMOVES,
                                     [CIS_STORED_ACCEPTED] = SQL_ACCEPTED};
    unsigned how = (durable ? SQL_DURABLE : SQL_LAZY) | rooms[cis_commit_room(commit)];
    CIS_TRY(cis_sql_write((struct sql_store *)store, tenant, apply, &arg, how, stop, err));
    if (commit->out != NULL) {
        *commit->out = job.done;
    }
    return CIS_OK;
}

cis_code cis_sql_config_apply(cis_store *store, struct cis_str tenant, const struct cis_kv_op *ops,
                              size_t nops, const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_store_commit commit = {.config = ops, .nconfig = nops};
    return cis_sql_commit(store, tenant, &commit, stop, err);
}
