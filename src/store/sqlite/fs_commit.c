/* What store/commit.h asks of a backend inside its transaction, inode numbers, and the log. Rows go
 * in one by one in key order through statements that stay prepared and bound: no row allocates. */
#include "store/sqlite/fs_commit.h"

#include <inttypes.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/row.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/read.h"

struct cis_commit_txn {
    struct sql_conn *conn;
    uint64_t epoch; /* written; 0: none yet */
};

static cis_code txn_head(cis_commit_txn *txn, struct cis_str ref, struct cis_commit_head *out,
                         struct cis_error *err)
{
    struct sql_conn *conn = txn->conn;
    int64_t now = cis_clock_wall_ms();
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_COMMIT_HEAD, &st, err));
    cis_sql_bind_str(st, 1, ref);
    sqlite3_bind_int64(st, 2, cis_sql_lease_ms(conn->store));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading the head", &row, err));
    if (!row) {
        CIS_TRY(cis_sql_tree_check(conn, err));
        return cis_fail(err, CIS_E_NOTFOUND, "branch " CIS_STR_FMT ": no such branch",
                        CIS_STR_ARG(ref));
    }
    uint64_t n[11];
    for (int i = 0; i < 11; i++) {
        n[i] = (uint64_t)sqlite3_column_int64(st, i);
    }
    *out = (struct cis_commit_head){.head = {n[0], n[1]},
                                    .files = n[2],
                                    .bytes = n[3],
                                    .kv_bytes = n[4],
                                    .kv_keys = n[5],
                                    .fence = n[6],
                                    .quota_files = n[7],
                                    .quota_bytes = n[8],
                                    .floor = n[9],
                                    .fork_epoch = n[10],
                                    .now_ms = now};
    struct cis_str holder = cis_sql_str(st, 11);
    snprintf(out->holder, sizeof out->holder, CIS_STR_FMT, CIS_STR_ARG(holder));
    return CIS_OK;
}

static cis_code txn_fork(cis_commit_txn *txn, struct cis_str ref, struct cis_view from,
                         struct cis_error *err)
{
    return cis_sql_fork_in(txn->conn, from, &ref, 1, err);
}

static void commit_row_of(sqlite3_stmt *st, struct cis_fs_commit_row *out)
{
    *out = (struct cis_fs_commit_row){.branch = (uint64_t)sqlite3_column_int64(st, 0),
                                      .epoch = (uint64_t)sqlite3_column_int64(st, 1),
                                      .kind = cis_sql_str(st, 3),
                                      .note = cis_sql_str(st, 4),
                                      .time_ms = sqlite3_column_int64(st, 5),
                                      .files = (uint64_t)sqlite3_column_int64(st, 6),
                                      .bytes = (uint64_t)sqlite3_column_int64(st, 7),
                                      .keys = cis_sql_bytes(st, 8)};
    struct cis_bytes run = cis_sql_bytes(st, 2);
    if (run.len == sizeof out->run - 1) {
        memcpy(out->run, run.ptr, run.len);
    }
}

/* The keys of a commit that are too long for a row, by SQLite's pages. */
static cis_code each_piece(struct sql_conn *conn, sqlite3_stmt *st, struct cis_fs_commit_row *row,
                           cis_fs_commit_each *each, void *self, bool *out_wanted,
                           struct cis_error *err)
{
    uint64_t len = (uint64_t)sqlite3_column_int64(st, 9);
    CIS_CLEANUP(cis_keys_cut_done) struct cis_keys_cut cut = {NULL, 0, 0};
    CIS_CLEANUP(cis_freep) uint8_t *part = cis_alloc(CIS_KEYS_PART);
    sqlite3_blob *blob = NULL;
    if (part == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "reading commits: out of memory");
    }
    int rc = sqlite3_blob_open(conn->db, "main", "epoch", "keys", sqlite3_column_int64(st, 10), 0,
                               &blob);
    cis_code code = rc == SQLITE_OK ? CIS_OK : cis_sql_fail(conn, rc, "reading commits", err);
    *out_wanted = true;
    for (uint64_t at = 0; code == CIS_OK && *out_wanted && at < len;) {
        size_t take = len - at < CIS_KEYS_PART ? (size_t)(len - at) : CIS_KEYS_PART;
        rc = sqlite3_blob_read(blob, part, (int)take, (int)at);
        row->keys = (struct cis_bytes){part, take};
        code = rc == SQLITE_OK ? cis_keys_part(&cut, row, len, each, self, out_wanted, err)
                               : cis_sql_fail(conn, rc, "reading commits", err);
        at += take;
    }
    sqlite3_blob_close(blob);
    return code;
}

static cis_code each_commit(struct sql_conn *conn, sqlite3_stmt *st, cis_fs_commit_each *each,
                            void *self, size_t *out_n, struct cis_error *err)
{
    *out_n = 0;
    for (bool wanted = true; wanted;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "reading commits", &row, err));
        if (!row) {
            break;
        }
        struct cis_fs_commit_row commit;
        commit_row_of(st, &commit);
        ++*out_n;
        if (sqlite3_column_int64(st, 9) <= CIS_KEYS_PIECE) {
            wanted = each(self, &commit);
            continue;
        }
        CIS_TRY(each_piece(conn, st, &commit, each, self, &wanted, err));
    }
    return CIS_OK;
}

static cis_code log_read(struct sql_conn *conn, const struct cis_fs_log_query *query,
                         cis_fs_commit_each *each, void *self, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, query->newest ? SQL_COMMITS_NEWEST : SQL_COMMITS, &st, err));
    cis_sql_bind_view(st, (struct cis_view){query->branch, query->after});
    sqlite3_bind_int64(st, 3, cis_sql_i64(query->upto));
    sqlite3_bind_int64(st, 4, query->limit != 0 ? (int64_t)query->limit : -1);
    sqlite3_bind_int(st, 5, query->keys);
    sqlite3_bind_int64(st, 6, CIS_KEYS_PIECE);
    size_t n;
    return each_commit(conn, st, each, self, &n, err);
}

/* length() of a blob reads none of it. */
static cis_code txn_keys_bytes(cis_commit_txn *txn, uint64_t branch, uint64_t after, uint64_t upto,
                               uint64_t *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(txn->conn, SQL_KEYS_BYTES, &st, err));
    cis_sql_bind_view(st, (struct cis_view){branch, after});
    sqlite3_bind_int64(st, 3, cis_sql_i64(upto));
    bool row;
    CIS_TRY(cis_sql_row(txn->conn, st, "reading commits", &row, err));
    *out = row ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    return CIS_OK;
}

static cis_code txn_keys(cis_commit_txn *txn, uint64_t branch, uint64_t after, uint64_t upto,
                         cis_fs_commit_each *each, void *self, struct cis_error *err)
{
    struct cis_fs_log_query query = {.branch = branch, .after = after, .upto = upto, .keys = true};
    return log_read(txn->conn, &query, each, self, err);
}

static cis_code txn_inodes(cis_commit_txn *txn, struct cis_view at, const uint64_t *inos, size_t n,
                           cis_fs_inode_each *each, void *self, struct cis_error *err)
{
    struct sql_conn *conn = txn->conn;
    for (size_t i = 0; i < n; i++) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_INODE_SEEN, &st, err));
        cis_sql_bind_view(st, at);
        sqlite3_bind_int64(st, 3, cis_sql_i64(inos[i]));
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "reading an inode", &row, err));
        if (!row) {
            continue;
        }
        struct cis_fs_inode inode = {.ino = inos[i],
                                     .epoch = (uint64_t)sqlite3_column_int64(st, 0),
                                     .data = cis_sql_bytes(st, 2)};
        CIS_TRY(cis_inode_unpack(cis_sql_bytes(st, 1), &inode, err));
        if (!inode.gone && !each(self, &inode)) {
            break;
        }
    }
    return CIS_OK;
}

static cis_code txn_kv(cis_commit_txn *txn, struct cis_view at, const struct cis_kv_op *ops,
                       size_t n, int64_t *out_bytes, int64_t *out_keys, struct cis_error *err)
{
    return cis_sql_kv_apply(txn->conn, at, ops, n, out_bytes, out_keys, err);
}

static cis_code txn_kept(cis_commit_txn *txn, struct cis_view view, bool *out,
                         struct cis_error *err)
{
    return cis_sql_view_kept(txn->conn, view, out, err);
}

/* ---- rows ---- */

/* Bindings stay from row to row; cis_sql_release drops them at the end. */
static cis_code put_row(struct sql_conn *conn, sqlite3_stmt *st, const char *what,
                        struct cis_error *err)
{
    int rc = sqlite3_step(st);
    sqlite3_reset(st);
    return rc == SQLITE_DONE ? CIS_OK : cis_sql_fail(conn, rc, what, err);
}

static cis_code put_dirents(struct sql_conn *conn, const struct cis_commit_rows *rows,
                            struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_DIRENT_PUT, &st, err));
    cis_sql_bind_view(st, rows->at);
    for (size_t i = 0; i < rows->ndirents; i++) {
        const struct cis_fs_dirent *d = &rows->dirents[i];
        sqlite3_bind_int64(st, 3, cis_sql_i64(d->parent));
        cis_sql_bind_str(st, 4, d->name);
        sqlite3_bind_int64(st, 5, cis_sql_i64(d->ino));
        sqlite3_bind_int64(st, 6, d->mode);
        CIS_TRY(put_row(conn, st, "writing a name", err));
    }
    return CIS_OK;
}

static cis_code put_inodes(struct sql_conn *conn, const struct cis_commit_rows *rows,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_INODE_PUT, &st, err));
    cis_sql_bind_view(st, rows->at);
    for (size_t i = 0; i < rows->ninodes; i++) {
        const struct cis_fs_inode *inode = &rows->inodes[i];
        uint8_t attr[CIS_ROW_MAX];
        sqlite3_bind_int64(st, 3, cis_sql_i64(inode->ino));
        cis_sql_bind(st, 4, attr, cis_inode_pack(inode, attr));
        cis_sql_bind(st, 5, inode->data.ptr, inode->data.len);
        CIS_TRY(put_row(conn, st, "writing an inode", err));
    }
    return CIS_OK;
}

static cis_code put_extents(struct sql_conn *conn, const struct cis_commit_rows *rows,
                            const uint64_t *chunks, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_EXTENT_PUT, &st, err));
    cis_sql_bind_view(st, rows->at);
    for (size_t i = 0; i < rows->nextents; i++) {
        const struct cis_fs_new_extent *x = &rows->extents[i];
        uint64_t chunk = x->chunk;
        if (x->new_chunk >= 0) {
            if ((size_t)x->new_chunk >= rows->nchunks) {
                return cis_fail(err, CIS_E_INVALID, "commit: an extent names no chunk");
            }
            chunk = chunks[x->new_chunk];
        }
        sqlite3_bind_int64(st, 3, cis_sql_i64(x->ino));
        sqlite3_bind_int64(st, 4, cis_sql_i64(x->block));
        sqlite3_bind_int64(st, 5, cis_sql_i64(chunk));
        CIS_TRY(put_row(conn, st, "writing an extent", err));
        if (sqlite3_changes(conn->db) != 1) {
            return cis_fail(err, CIS_E_EXPIRED, "commit: chunk %" PRIu64 " is gone", chunk);
        }
    }
    return CIS_OK;
}

static cis_code put_commit(struct sql_conn *conn, const struct cis_commit_rows *rows,
                           struct cis_error *err)
{
    const struct cis_fs_commit_row *c = rows->row;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_EPOCH_PUT, &st, err));
    cis_sql_bind_view(st, rows->at);
    if (c->run[0] != 0) {
        cis_sql_bind_str(st, 3, cis_str_of(c->run));
    }
    cis_sql_bind_str(st, 4, c->kind);
    cis_sql_bind_str(st, 5, c->note);
    sqlite3_bind_int64(st, 6, c->time_ms);
    const uint64_t counts[4] = {rows->files, rows->bytes, rows->kv_bytes, rows->kv_keys};
    for (int i = 0; i < 4; i++) {
        sqlite3_bind_int64(st, 7 + i, cis_sql_i64(counts[i]));
    }
    cis_sql_bind(st, 11, c->keys.ptr, c->keys.len);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_CONSTRAINT_UNIQUE && c->run[0] != 0) {
        return cis_fail(err, CIS_E_EXISTS, "run %s: recorded already", c->run);
    }
    if (rc != SQLITE_DONE) {
        return cis_sql_fail(conn, rc, "writing the commit", err);
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *move = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_HEAD_MOVE, &move, err));
    cis_sql_bind_view(move, rows->at);
    for (int i = 0; i < 4; i++) {
        sqlite3_bind_int64(move, 3 + i, cis_sql_i64(counts[i]));
    }
    CIS_TRY(cis_sql_done(conn, move, "moving the head", err));
    return sqlite3_changes(conn->db) == 1
               ? CIS_OK
               : cis_fail(err, CIS_E_INTERNAL, "commit: the head is not where it was");
}

static cis_code txn_write(cis_commit_txn *txn, const struct cis_commit_rows *rows,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_freep)
    uint64_t *chunks = cis_calloc(cis_size_add(rows->nchunks, 1), sizeof *chunks);
    if (chunks == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "commit: out of memory");
    }
    for (size_t i = 0; i < rows->nchunks; i++) {
        CIS_TRY(cis_sql_chunk_store(txn->conn, &rows->chunks[i], &chunks[i], err));
    }
    CIS_TRY(put_dirents(txn->conn, rows, err));
    CIS_TRY(put_inodes(txn->conn, rows, err));
    CIS_TRY(put_extents(txn->conn, rows, chunks, err));
    CIS_TRY(put_commit(txn->conn, rows, err));
    txn->epoch = rows->at.epoch;
    return CIS_OK;
}

static const struct cis_commit_txn_ops txn_ops = {.fork = txn_fork,
                                                  .head = txn_head,
                                                  .keys_bytes = txn_keys_bytes,
                                                  .keys = txn_keys,
                                                  .inodes = txn_inodes,
                                                  .kv = txn_kv,
                                                  .write = txn_write,
                                                  .kept = txn_kept};

cis_code cis_sql_commit_rows(struct sql_conn *conn, const struct cis_store_commit *commit,
                             struct cis_fs_committed *out, uint64_t *out_epoch,
                             struct cis_error *err)
{
    struct cis_commit_txn txn = {conn, 0};
    CIS_TRY(cis_commit_apply(&txn_ops, &txn, commit, out, err));
    *out_epoch = txn.epoch;
    return CIS_OK;
}

/* ---- inode numbers ---- */

struct reserve {
    uint32_t n;
    uint64_t *first;
};

static cis_code reserve(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct reserve *r = arg;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_INO_RESERVE, &st, err));
    sqlite3_bind_int64(st, 1, r->n);
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reserving inode numbers", &row, err));
    if (!row) {
        return cis_sql_tree_check(conn, err);
    }
    *r->first = (uint64_t)sqlite3_column_int64(st, 0);
    CIS_TRY(cis_sql_row(conn, st, "reserving inode numbers", &row, err));
    return CIS_OK;
}

cis_code cis_sql_reserve_inodes(cis_store *store, struct cis_str tenant, uint32_t n,
                                uint64_t *out_first, const struct cis_stop *stop,
                                struct cis_error *err)
{
    if (n == 0) {
        return cis_fail(err, CIS_E_INVALID, "inode numbers: none asked for");
    }
    uint64_t first = 0;
    struct reserve r = {n, &first};
    CIS_TRY(cis_sql_write((struct sql_store *)store, tenant, reserve, &r, SQL_HELPS, stop, err));
    *out_first = first;
    return CIS_OK;
}

/* ---- the log ---- */

cis_code cis_sql_commits(cis_store *store, struct cis_str tenant,
                         const struct cis_fs_log_query *query, cis_fs_commit_each *each, void *self,
                         const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn == NULL) {
        return CIS_OK;
    }
    return log_read(conn, query, each, self, err);
}

cis_code cis_sql_commit_of_run(cis_store *store, struct cis_str tenant, const char *run,
                               cis_fs_commit_each *each, void *self, const struct cis_stop *stop,
                               struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    size_t n = 0;
    if (conn != NULL) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_COMMIT_OF_RUN, &st, err));
        cis_sql_bind_str(st, 1, cis_str_of(run));
        CIS_TRY(each_commit(conn, st, each, self, &n, err));
    }
    return n != 0 ? CIS_OK : cis_fail(err, CIS_E_NOTFOUND, "run %s: no commit", run);
}
