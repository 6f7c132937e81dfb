/* A commit: key-value and config changes, the run's record, and the quota, in the transaction that
 * the queue holds open. */
#include <inttypes.h>
#include "base/clock.h"
#include "store/sqlite/internal.h"
#include "store/text.h"

struct head {
    int64_t version, bytes, keys;
};

static cis_code head_get(struct sql_conn *conn, struct head *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_HEAD_GET, &st, err));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading the head", &row, err));
    if (!row) {
        return cis_fail(err, CIS_E_STORE, "%s: the file is damaged (no head)", conn->path);
    }
    *out = (struct head){sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1),
                         sqlite3_column_int64(st, 2)};
    return CIS_OK;
}

static cis_code head_set(struct sql_conn *conn, const struct head *head, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_HEAD_SET, &st, err));
    sqlite3_bind_int64(st, 1, head->version);
    sqlite3_bind_int64(st, 2, head->bytes);
    sqlite3_bind_int64(st, 3, head->keys);
    return cis_sql_done(conn, st, "writing the head", err);
}

static cis_code index_change(struct sql_conn *conn, enum sql_id id, int64_t row, struct cis_str key,
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

static cis_code insert(struct sql_conn *conn, const struct cis_kv_op *op, struct head *head,
                       struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_KV_INSERT, &st, err));
    cis_sql_bind_str(st, 1, op->ns);
    cis_sql_bind_str(st, 2, op->key);
    cis_sql_bind(st, 3, op->value.ptr, op->value.len);
    sqlite3_bind_int(st, 4, op->is_public == 1);
    cis_sql_bind_str(st, 5, op->category);
    sqlite3_bind_int64(st, 6, cis_clock_wall_ms());
    sqlite3_bind_int64(st, 7, head->version);
    CIS_TRY(cis_sql_done(conn, st, "writing memory", err));
    head->keys++;
    head->bytes += (int64_t)(op->key.len + op->value.len);
    return index_change(conn, SQL_TEXT_ADD, sqlite3_last_insert_rowid(conn->db), op->key,
                        cis_text_of(op->value), err);
}

/* old: the row of SQL_KV_OLD, whose texts the index was given. */
static cis_code change(struct sql_conn *conn, const struct cis_kv_op *op, sqlite3_stmt *old,
                       struct head *head, struct cis_error *err)
{
    int64_t id = sqlite3_column_int64(old, 0);
    struct cis_str text = cis_text_of(cis_sql_bytes(old, 5));
    struct cis_str fresh = op->remove ? (struct cis_str){"", 0} : cis_text_of(op->value);
    head->bytes -= sqlite3_column_int64(old, 1);
    if (op->remove || !cis_str_eq(text, fresh)) {
        CIS_TRY(index_change(conn, SQL_TEXT_REMOVE, id, op->key, text, err));
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, op->remove ? SQL_KV_DELETE : SQL_KV_UPDATE, &st, err));
    sqlite3_bind_int64(st, 1, id);
    if (op->remove) {
        head->keys--;
        head->bytes -= (int64_t)op->key.len;
        return cis_sql_done(conn, st, "deleting memory", err);
    }
    bool keep_category = op->category.ptr == NULL;
    struct cis_bytes category = cis_sql_bytes(old, 3);
    cis_sql_bind(st, 2, op->value.ptr, op->value.len);
    sqlite3_bind_int64(st, 3, op->is_public < 0 ? sqlite3_column_int64(old, 2) : op->is_public);
    cis_sql_bind(st, 4, keep_category ? (const void *)category.ptr : op->category.ptr,
                 keep_category ? category.len : op->category.len);
    sqlite3_bind_int64(st, 5, cis_clock_wall_ms());
    sqlite3_bind_int64(st, 6, head->version);
    CIS_TRY(cis_sql_done(conn, st, "writing memory", err));
    head->bytes += (int64_t)op->value.len;
    return cis_str_eq(text, fresh) ? CIS_OK
                                   : index_change(conn, SQL_TEXT_ADD, id, op->key, fresh, err);
}

static cis_code kv_apply(struct sql_conn *conn, const struct cis_kv_op *op, struct head *head,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *old = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_KV_OLD, &old, err));
    cis_sql_bind_str(old, 1, op->ns);
    cis_sql_bind_str(old, 2, op->key);
    bool row;
    CIS_TRY(cis_sql_row(conn, old, "reading memory", &row, err));
    if (row) {
        return change(conn, op, old, head, err);
    }
    return op->remove ? CIS_OK : insert(conn, op, head, err);
}

static cis_code config_limits(struct sql_conn *conn, struct cis_str skill, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_CONFIG_SIZE, &st, err));
    cis_sql_bind_str(st, 1, skill);
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading config", &row, err));
    if (row && (sqlite3_column_int64(st, 0) > CIS_STORE_CONFIG_KEYS_MAX ||
                sqlite3_column_double(st, 1) > CIS_STORE_CONFIG_BYTES_MAX)) {
        return cis_fail(err, CIS_E_QUOTA,
                        "config of " CIS_STR_FMT ": more than %u keys or %u bytes",
                        CIS_STR_ARG(skill), CIS_STORE_CONFIG_KEYS_MAX, CIS_STORE_CONFIG_BYTES_MAX);
    }
    return CIS_OK;
}

static cis_code config_apply(struct sql_conn *conn, const struct cis_kv_op *ops, size_t n,
                             struct cis_error *err)
{
    for (size_t i = 0; i < n; i++) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, ops[i].remove ? SQL_CONFIG_DELETE : SQL_CONFIG_PUT, &st, err));
        cis_sql_bind_str(st, 1, ops[i].ns);
        cis_sql_bind_str(st, 2, ops[i].key);
        if (!ops[i].remove) {
            cis_sql_bind(st, 3, ops[i].value.ptr, ops[i].value.len);
        }
        CIS_TRY(cis_sql_done(conn, st, "writing config", err));
    }
    for (size_t i = 0; i < n; i++) { /* once a skill: ops of one skill follow each other */
        if (i + 1 == n || !cis_str_eq(ops[i].ns, ops[i + 1].ns)) {
            CIS_TRY(config_limits(conn, ops[i].ns, err));
        }
    }
    return CIS_OK;
}

static cis_code quota_check(const struct cis_store_commit *c, const struct head *before,
                            const struct head *after, struct cis_error *err)
{
    if (c->quota_bytes != 0 && after->bytes > before->bytes &&
        (uint64_t)after->bytes > c->quota_bytes) {
        return cis_fail(err, CIS_E_QUOTA,
                        "memory: %" PRId64 " bytes after this run, the quota is %" PRIu64,
                        after->bytes, c->quota_bytes);
    }
    if (c->quota_keys != 0 && after->keys > before->keys && (uint64_t)after->keys > c->quota_keys) {
        return cis_fail(err, CIS_E_QUOTA,
                        "memory: %" PRId64 " keys after this run, the quota is %" PRIu64,
                        after->keys, c->quota_keys);
    }
    return CIS_OK;
}

static cis_code apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct cis_store_commit *c = arg;
    struct head before = {0, 0, 0};
    uint64_t version = 0;
    if (c->nkv != 0 || c->nconfig != 0) {
        CIS_TRY(head_get(conn, &before, err));
        struct head head = before;
        version = (uint64_t)++head.version;
        for (size_t i = 0; i < c->nkv; i++) {
            CIS_TRY(kv_apply(conn, &c->kv[i], &head, err));
        }
        CIS_TRY(config_apply(conn, c->config, c->nconfig, err));
        CIS_TRY(quota_check(c, &before, &head, err));
        CIS_TRY(head_set(conn, &head, err));
    }
    return c->run != NULL ? cis_sql_run_put(conn, c->run, version, err) : CIS_OK;
}

cis_code cis_sql_commit(cis_store *store, struct cis_str tenant,
                        const struct cis_store_commit *commit, const struct cis_stop *stop,
                        struct cis_error *err)
{
    CIS_TRY(cis_store_commit_check(commit, err));
    if (commit->run == NULL && commit->nkv == 0 && commit->nconfig == 0) {
        return CIS_OK;
    }
    bool durable = commit->nkv != 0 || commit->nconfig != 0;
    return cis_sql_write((struct sql_store *)store, tenant, apply, commit, durable, stop, err);
}

cis_code cis_sql_config_apply(cis_store *store, struct cis_str tenant, const struct cis_kv_op *ops,
                              size_t nops, const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_store_commit commit = {.config = ops, .nconfig = nops};
    return cis_sql_commit(store, tenant, &commit, stop, err);
}
