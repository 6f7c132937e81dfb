/* A commit. In one trip: begin, chunks of the commit, the locks (a statement each: ref, branch),
 * what memory was, config. Then what store/commit.h asks for to check it, and in the last trip all
 * rows, the record of the run, the token and COMMIT. */
#include <inttypes.h>
#include "base/mem.h"
#include "store/commit.h"
#include "store/postgres/internal.h"
#include "store/row.h"

struct cis_commit_txn {
    struct pg_conn *conn;
    const struct cis_store_commit *commit;
    struct pg_kv *kv; /* NULL: no memory */
    uint32_t *order;  /* of the commit's chunks */
    uint64_t *chunks; /* ids by the commit's own index */
    size_t nordered;
    struct pg_stored stored; /* the ordered ones */
    uint64_t epoch;          /* written; 0: none */
    struct cis_fs_committed out;
};

static void txn_done(cis_commit_txn *txn)
{
    cis_pg_kv_free(txn->kv);
    cis_free(txn->order);
    cis_free(txn->stored.ids);
    cis_free(txn->stored.unsure);
    cis_free(txn->chunks);
}

/* ---- the first trip ---- */
static cis_code lock_send(cis_commit_txn *txn, struct cis_str ref, struct cis_error *err)
{
    struct pg_conn *conn = txn->conn;
    const struct cis_store_commit *c = txn->commit;
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, ref);
    if (txn->nordered != 0) {
        CIS_TRY(cis_pg_chunks_send(conn, c->fs->chunks, txn->order, txn->nordered, err));
    }
    CIS_TRY(cis_pg_send(conn, PG_REF_LOCK, &args, err));
    CIS_TRY(cis_pg_send(conn, PG_BRANCH_LOCK, &args, err));
    struct pg_args tenant = {0};
    cis_pg_arg_int(&tenant, conn->tenant);
    CIS_TRY(cis_pg_send(conn, PG_QUOTA, &tenant, err)); /* as it is when the lock was got */
    if (txn->kv != NULL) {
        CIS_TRY(cis_pg_kv_old_send(conn, txn->kv, ref, err));
    }
    CIS_TRY(cis_pg_config_send(conn, c->config, c->nconfig, err));
    return cis_pg_sync(conn, err);
}

static cis_code chunks_next(cis_commit_txn *txn, struct cis_error *err)
{
    const struct cis_fs_commit *fs = txn->commit->fs;
    CIS_TRY(
        cis_pg_chunks_next(txn->conn, fs->chunks, txn->order, txn->nordered, &txn->stored, err));
    for (size_t i = 0; i < fs->nchunks; i++) {
        for (size_t k = 0; k < txn->nordered; k++) { /* few: they fit into one block together */
            if (memcmp(fs->chunks[txn->order[k]].hash, fs->chunks[i].hash,
                       sizeof fs->chunks->hash) == 0) {
                txn->chunks[i] = txn->stored.ids[k];
            }
        }
    }
    return CIS_OK;
}

static cis_code head_of(cis_commit_txn *txn, struct cis_str ref, const PGresult *name,
                        const PGresult *branch, const PGresult *quota, struct cis_commit_head *out,
                        struct cis_error *err)
{
    if (PQntuples(name) == 0 || PQntuples(branch) == 0 || PQntuples(quota) == 0) {
        CIS_TRY(cis_pg_alive(txn->conn, err));
        return cis_fail(err, CIS_E_NOTFOUND, "branch " CIS_STR_FMT ": no such branch",
                        CIS_STR_ARG(ref));
    }
    if (cis_pg_int(name, 0, 1) != cis_pg_int(branch, 0, 0)) {
        txn->conn->again = true; /* switched between the two locks */
        return cis_fail(err, CIS_E_CONFLICT, "the current branch was switched meanwhile");
    }
    int64_t now = cis_pg_int(name, 0, 5);
    *out =
        (struct cis_commit_head){.head = {cis_pg_u64(branch, 0, 0), cis_pg_u64(branch, 0, 1)},
                                 .floor = cis_pg_u64(branch, 0, 2),
                                 .files = cis_pg_u64(branch, 0, 3),
                                 .bytes = cis_pg_u64(branch, 0, 4),
                                 .kv_bytes = cis_pg_u64(branch, 0, 5),
                                 .kv_keys = cis_pg_u64(branch, 0, 6),
                                 .quota_files = cis_pg_u64(quota, 0, 0),
                                 .quota_bytes = cis_pg_u64(quota, 0, 1),
                                 .fork_epoch = cis_pg_u64(branch, 0, 7),
                                 .fence = cis_pg_int(name, 0, 4) > now ? cis_pg_u64(name, 0, 3) : 0,
                                 .now_ms = now};
    struct cis_str holder = cis_pg_str(name, 0, 2);
    snprintf(out->holder, sizeof out->holder, CIS_STR_FMT, CIS_STR_ARG(holder));
    return CIS_OK;
}

/* A trip of its own: the locks that follow are on its rows. */
static cis_code txn_fork(cis_commit_txn *txn, struct cis_str ref, struct cis_view from,
                         struct cis_error *err)
{
    CIS_TRY(cis_pg_fork_in(txn->conn, from, &ref, 1, err));
    CIS_TRY(cis_pg_sync(txn->conn, err));
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_next(txn->conn, PG_FORK, &res, err));
    return cis_pg_finish(txn->conn, err);
}

static cis_code txn_head(cis_commit_txn *txn, struct cis_str ref, struct cis_commit_head *out,
                         struct cis_error *err)
{
    struct pg_conn *conn = txn->conn;
    CIS_CLEANUP(cis_pg_clear) PGresult *name = NULL, *branch = NULL, *quota = NULL;
    CIS_TRY(lock_send(txn, ref, err));
    if (txn->nordered != 0) {
        CIS_TRY(chunks_next(txn, err));
    }
    CIS_TRY(cis_pg_next(conn, PG_REF_LOCK, &name, err));
    CIS_TRY(cis_pg_next(conn, PG_BRANCH_LOCK, &branch, err));
    CIS_TRY(cis_pg_next(conn, PG_QUOTA, &quota, err));
    if (txn->kv != NULL) {
        CIS_TRY(cis_pg_kv_old_next(conn, txn->kv, err));
    }
    CIS_TRY(cis_pg_config_check(conn, txn->commit->config, txn->commit->nconfig, err));
    CIS_TRY(cis_pg_finish(conn, err));
    if (txn->nordered != 0) {
        CIS_TRY(cis_pg_chunks_verify(conn, txn->commit->fs->chunks, txn->order, txn->nordered,
                                     &txn->stored, err));
    }
    return head_of(txn, ref, name, branch, quota, out, err);
}

/* ---- what the check asks ---- */
static cis_code txn_keys_bytes(cis_commit_txn *txn, uint64_t branch, uint64_t after, uint64_t upto,
                               uint64_t *out, struct cis_error *err)
{
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_args_view(&args, txn->conn, (struct cis_view){branch, after});
    cis_pg_arg_u64(&args, upto);
    CIS_TRY(cis_pg_ask(txn->conn, PG_KEYS_BYTES, &args, &res, err));
    *out = cis_pg_u64(res, 0, 0);
    return CIS_OK;
}

/* Part by part: the keys of one commit may be 256 MiB, and there may be many. */
static cis_code txn_keys(cis_commit_txn *txn, uint64_t branch, uint64_t after, uint64_t upto,
                         cis_fs_commit_each *each, void *self, struct cis_error *err)
{
    CIS_CLEANUP(cis_keys_cut_done) struct cis_keys_cut cut = {NULL, 0, 0};
    struct pg_conn *conn = txn->conn;
    struct pg_args args = {0};
    cis_code code = CIS_OK;
    cis_pg_args_view(&args, conn, (struct cis_view){branch, after});
    cis_pg_arg_u64(&args, upto);
    cis_pg_arg_int(&args, INT64_MAX);
    cis_pg_arg_int(&args, CIS_KEYS_PART);
    CIS_TRY(cis_pg_send(conn, PG_COMMITS, &args, err));
    CIS_TRY(cis_pg_sync(conn, err));
    for (bool more = true;;) {
        CIS_CLEANUP(cis_pg_clear) PGresult *row = NULL;
        CIS_TRY(cis_pg_next_row(conn, PG_COMMITS, &row, err));
        conn->told = false; /* the check's own: the commit may begin again */
        if (row == NULL) {
            return code != CIS_OK ? code : cis_pg_finish(conn, err);
        }
        struct cis_fs_commit_row commit;
        cis_pg_commit_row(row, 0, &commit);
        if (code == CIS_OK && more) { /* the rest is read all the same */
            code = cis_pg_commit_part(row, &cut, &commit, each, self, &more, err);
        }
    }
}

static cis_code txn_inodes(cis_commit_txn *txn, struct cis_view at, const uint64_t *inos, size_t n,
                           cis_fs_inode_each *each, void *self, struct cis_error *err)
{
    for (size_t from = 0; from < n; from += PG_ROWS_MAX) {
        CIS_CLEANUP(cis_pg_array_done) struct pg_array array = PG_ARRAY_INIT;
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        struct pg_args args = {0};
        for (size_t i = from; i < n && i < from + PG_ROWS_MAX; i++) {
            cis_pg_array_u64(&array, inos[i]);
        }
        cis_pg_args_view(&args, txn->conn, at);
        cis_pg_arg_ints(&args, &array);
        CIS_TRY(cis_pg_ask(txn->conn, PG_INODES_FORKED, &args, &res, err));
        for (int i = 0; i < PQntuples(res); i++) {
            struct cis_fs_inode inode;
            CIS_TRY(cis_pg_inode_row(res, i, 1, cis_pg_u64(res, i, 0), &inode, err));
            if (!inode.gone && !each(self, &inode)) {
                return CIS_OK;
            }
        }
    }
    return CIS_OK;
}

static cis_code txn_kv(cis_commit_txn *txn, struct cis_view at, const struct cis_kv_op *ops,
                       size_t n, int64_t *out_bytes, int64_t *out_keys, struct cis_error *err)
{
    (void)ops;
    (void)n;
    return cis_pg_kv_write(txn->conn, txn->kv, at, out_bytes, out_keys, err);
}

static cis_code txn_kept(cis_commit_txn *txn, struct cis_view view, bool *out,
                         struct cis_error *err)
{
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_args_view(&args, txn->conn, view);
    CIS_TRY(cis_pg_ask(txn->conn, PG_KEPT, &args, &res, err));
    *out = cis_pg_int(res, 0, 0) != 0;
    return CIS_OK;
}

/* ---- rows ---- */
static cis_code put_dirents(struct pg_conn *conn, const struct cis_commit_rows *rows,
                            struct cis_error *err)
{
    for (size_t from = 0; from < rows->ndirents; from += PG_ROWS_MAX) {
        CIS_CLEANUP(cis_pg_array_done) struct pg_array parents = PG_ARRAY_INIT;
        CIS_CLEANUP(cis_pg_array_done) struct pg_array names = PG_ARRAY_INIT;
        CIS_CLEANUP(cis_pg_array_done) struct pg_array inos = PG_ARRAY_INIT;
        CIS_CLEANUP(cis_pg_array_done) struct pg_array modes = PG_ARRAY_INIT;
        for (size_t i = from; i < rows->ndirents && i < from + PG_ROWS_MAX; i++) {
            const struct cis_fs_dirent *d = &rows->dirents[i];
            cis_pg_array_u64(&parents, d->parent);
            cis_pg_array_bytes(&names, d->name.ptr, d->name.len);
            cis_pg_array_u64(&inos, d->ino);
            cis_pg_array_int(&modes, d->mode);
        }
        struct pg_args args = {0};
        cis_pg_args_view(&args, conn, rows->at);
        cis_pg_arg_ints(&args, &parents);
        cis_pg_arg_blobs(&args, &names);
        cis_pg_arg_ints(&args, &inos);
        cis_pg_arg_ints(&args, &modes);
        CIS_TRY(cis_pg_send(conn, PG_DIRENTS_PUT, &args, err));
        CIS_TRY(cis_pg_drain(conn, err));
    }
    return CIS_OK;
}

static cis_code put_inodes(struct pg_conn *conn, const struct cis_commit_rows *rows,
                           struct cis_error *err)
{
    for (size_t from = 0; from < rows->ninodes; from += PG_ROWS_MAX) {
        CIS_CLEANUP(cis_pg_array_done) struct pg_array inos = PG_ARRAY_INIT;
        CIS_CLEANUP(cis_pg_array_done) struct pg_array attrs = PG_ARRAY_INIT;
        CIS_CLEANUP(cis_pg_array_done) struct pg_array data = PG_ARRAY_INIT;
        for (size_t i = from; i < rows->ninodes && i < from + PG_ROWS_MAX; i++) {
            const struct cis_fs_inode *inode = &rows->inodes[i];
            uint8_t attr[CIS_ROW_MAX];
            cis_pg_array_u64(&inos, inode->ino);
            cis_pg_array_bytes(&attrs, attr, cis_inode_pack(inode, attr));
            cis_pg_array_bytes(&data, inode->data.ptr, inode->data.len);
        }
        struct pg_args args = {0};
        cis_pg_args_view(&args, conn, rows->at);
        cis_pg_arg_ints(&args, &inos);
        cis_pg_arg_blobs(&args, &attrs);
        cis_pg_arg_blobs(&args, &data);
        CIS_TRY(cis_pg_send(conn, PG_INODES_PUT, &args, err));
        CIS_TRY(cis_pg_drain(conn, err));
    }
    return CIS_OK;
}

static cis_code put_extents(const cis_commit_txn *txn, const struct cis_commit_rows *rows,
                            struct cis_error *err)
{
    for (size_t from = 0; from < rows->nextents; from += PG_ROWS_MAX) {
        CIS_CLEANUP(cis_pg_array_done) struct pg_array inos = PG_ARRAY_INIT;
        CIS_CLEANUP(cis_pg_array_done) struct pg_array blocks = PG_ARRAY_INIT;
        CIS_CLEANUP(cis_pg_array_done) struct pg_array chunks = PG_ARRAY_INIT;
        for (size_t i = from; i < rows->nextents && i < from + PG_ROWS_MAX; i++) {
            const struct cis_fs_new_extent *x = &rows->extents[i];
            cis_pg_array_u64(&inos, x->ino);
            cis_pg_array_u64(&blocks, x->block);
            cis_pg_array_u64(&chunks, x->new_chunk >= 0 ? txn->chunks[x->new_chunk] : x->chunk);
        }
        struct pg_args args = {0};
        cis_pg_args_view(&args, txn->conn, rows->at);
        cis_pg_arg_ints(&args, &inos);
        cis_pg_arg_ints(&args, &blocks);
        cis_pg_arg_ints(&args, &chunks);
        CIS_TRY(cis_pg_send(txn->conn, PG_EXTENTS_PUT, &args, err));
        CIS_TRY(cis_pg_drain(txn->conn, err));
    }
    return CIS_OK;
}

static cis_code put_epoch(struct pg_conn *conn, const struct cis_commit_rows *rows,
                          struct cis_error *err)
{
    const struct cis_fs_commit_row *row = rows->row;
    const uint64_t counts[4] = {rows->files, rows->bytes, rows->kv_bytes, rows->kv_keys};
    struct pg_args args = {0}, head = {0};
    cis_pg_args_view(&args, conn, rows->at);
    if (row->run[0] != 0) {
        cis_pg_arg_str(&args, cis_str_of(row->run));
    } else {
        cis_pg_arg_null(&args);
    }
    cis_pg_arg_str(&args, row->kind);
    cis_pg_arg_str(&args, row->note);
    cis_pg_arg_int(&args, row->time_ms);
    cis_pg_args_view(&head, conn, rows->at);
    for (int i = 0; i < 4; i++) {
        cis_pg_arg_u64(&args, counts[i]);
        cis_pg_arg_u64(&head, counts[i]);
    }
    cis_pg_arg_bytes(&args, row->keys.ptr, row->keys.len);
    CIS_TRY(cis_pg_send(conn, PG_EPOCH_PUT, &args, err));
    return cis_pg_send(conn, PG_BRANCH_SET, &head, err);
}

static cis_code txn_write(cis_commit_txn *txn, const struct cis_commit_rows *rows,
                          struct cis_error *err)
{
    CIS_TRY(put_dirents(txn->conn, rows, err));
    CIS_TRY(put_inodes(txn->conn, rows, err));
    CIS_TRY(put_extents(txn, rows, err));
    CIS_TRY(put_epoch(txn->conn, rows, err));
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

/* ---- all of it ---- */
static bool changes(const struct cis_store_commit *c)
{
    const struct cis_fs_commit *fs = c->fs;
    return c->fork || c->nkv != 0 ||
           (fs != NULL &&
            (fs->ndirents != 0 || fs->nchanges != 0 || fs->ndeltas != 0 || fs->nextents != 0));
}

static cis_code work(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    cis_commit_txn *txn = arg;
    const struct cis_store_commit *c = txn->commit;
    txn->conn = conn;
    txn->epoch = txn->stored.healed = 0;
    cis_code code = cis_commit_apply(&txn_ops, txn, c, &txn->out, err);
    if (code == CIS_E_EXPIRED && conn->again && c->fs != NULL) {
        /* Deleted, and maybe made again under the same name: what this run began from and the
         * numbers of its new files were the other tenant's. */
        conn->again = false;
    }
    CIS_TRY(code);
    if (!changes(c) && c->nconfig != 0) { /* else it went with the locks */
        CIS_TRY(cis_pg_config_send(conn, c->config, c->nconfig, err));
        CIS_TRY(cis_pg_sync(conn, err));
        CIS_TRY(cis_pg_config_check(conn, c->config, c->nconfig, err));
        CIS_TRY(cis_pg_finish(conn, err));
    }
    return c->run != NULL ? cis_pg_run_send(conn, c->run, txn->epoch, err) : CIS_OK;
}

static cis_code explain(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const cis_commit_txn *txn = arg;
    const struct cis_run_row *run = txn->commit->run;
    if ((conn->failed == PG_RUN_PUT || conn->failed == PG_EPOCH_PUT) && run != NULL &&
        strcmp(conn->sqlstate, "23505") == 0) {
        return cis_fail(err, CIS_E_EXISTS, "run %s: recorded already", run->id);
    }
    if (txn->commit->fork) {
        CIS_TRY(cis_pg_fork_explain(conn, txn->commit->ref, err));
    }
    if (conn->failed == PG_EXTENTS_PUT && strcmp(conn->sqlstate, "23502") == 0) {
        return cis_fail(err, CIS_E_EXPIRED, "commit: a chunk that it names is gone");
    }
    return CIS_OK;
}

static cis_code prepare(cis_commit_txn *txn, struct cis_error *err)
{
    const struct cis_store_commit *c = txn->commit;
    if (c->nkv != 0) {
        CIS_TRY(cis_pg_kv_new(c->kv, c->nkv, &txn->kv, err));
    }
    size_t n = c->fs != NULL ? c->fs->nchunks : 0;
    if (n != 0) {
        txn->order = cis_calloc(n, sizeof *txn->order);
        txn->stored.ids = cis_calloc(n, sizeof *txn->stored.ids);
        txn->stored.unsure = cis_calloc(n, sizeof *txn->stored.unsure);
        txn->chunks = cis_calloc(n, sizeof *txn->chunks);
        if (txn->order == NULL || txn->stored.ids == NULL || txn->stored.unsure == NULL ||
            txn->chunks == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "commit: out of memory");
        }
        txn->nordered = cis_pg_chunks_order(c->fs->chunks, n, txn->order);
    }
    return CIS_OK;
}

cis_code cis_pg_commit(cis_store *store, struct cis_str tenant,
                       const struct cis_store_commit *commit, const struct cis_stop *stop,
                       struct cis_error *err)
{
    CIS_CLEANUP(txn_done) cis_commit_txn txn = {.commit = commit};
    CIS_TRY(cis_store_commit_check(commit, err));
    bool durable = changes(commit) || commit->nconfig != 0;
    if (durable || commit->run != NULL) {
        CIS_TRY(prepare(&txn, err));
        struct pg_write write = {
            .work = work, .arg = &txn, .explain = explain, .create = true, .lazy = !durable};
        write.room = cis_commit_room(commit);
        write.frees = write.room == CIS_STORED_REMOVAL;
        CIS_TRY(cis_pg_write((struct pg_store *)store, tenant, &write, stop, err));
        atomic_fetch_add(&store->healed, txn.stored.healed);
    } else {
        txn.out.view = commit->fs != NULL ? commit->fs->base : commit->base;
    }
    if (commit->out != NULL) {
        *commit->out = txn.out;
    }
    return CIS_OK;
}
