/* Checking and writing a commit: see commit.h for the rules. The order is that of what a refusal
 * costs: who may write, what changed since, quotas, and only then rows. */
#include "store/commit.h"

#include <sys/stat.h>
#include "base/budget.h"
#include "base/mem.h"
#include "base/wraps.h"
#include "store/circle.h"
#include "store/conflict_check.h"

struct apply {
    const struct cis_commit_txn_ops *ops;
    cis_commit_txn *txn;
    const struct cis_store_commit *commit;
    struct cis_conflict_check check;
    struct cis_commit_head head;
    struct cis_buf keys;       /* packed */
    struct cis_fs_inode *rows; /* by inode; ino 0: dropped */
    size_t nrows;
    struct merge *merges; /* by inode */
    size_t nmerges;
    uint64_t charged; /* to the commit's budget */
};

/* A directory of the head that changes: what is laid on its row there. */
struct merge {
    uint64_t ino;
    size_t row;
    const struct cis_fs_change *attr, *moved;
    const struct cis_fs_delta *delta;
    struct cis_fs_inode head, base;
    bool at_head, at_base;
};

static cis_code charge(struct apply *a, uint64_t bytes, struct cis_error *err)
{
    if (a->commit->budget != NULL) {
        CIS_TRY(cis_budget_charge(a->commit->budget, bytes, "commit of files", err));
        a->charged += bytes;
    }
    return CIS_OK;
}

static void apply_done(struct apply *a)
{
    if (a->commit->budget != NULL) {
        cis_budget_release(a->commit->budget, a->charged);
    }
    cis_conflict_check_done(&a->check);
    cis_buf_done(&a->keys);
    cis_free(a->rows);
    cis_free(a->merges);
}

/* ---- who may write, and from where ---- */

/* A lease is on the files of a branch: memory goes onto whatever its head is. */
static cis_code fence_check(const struct apply *a, bool files, struct cis_error *err)
{
    uint64_t mine = a->commit->fence, theirs = a->head.fence;
    if (mine == theirs || (mine == 0 && !files)) {
        return CIS_OK;
    }
    return mine == 0
               ? cis_fail(err, CIS_E_CONFLICT,
                          "the branch is in use by %s, which alone may write to it", a->head.holder)
               : cis_fail(err, CIS_E_CONFLICT, "the lease on the branch was lost");
}

static cis_code base_check(struct apply *a, struct cis_error *err)
{
    struct cis_view base = a->check.base, head = a->head.head;
    if (base.branch != head.branch) {
        return cis_fail(err, CIS_E_CONFLICT,
                        "the branch was rolled back or switched since this run began");
    }
    if (base.epoch > head.epoch || base.epoch < a->head.fork_epoch) {
        return cis_fail(err, CIS_E_INVALID,
                        "the commit's base %llu is not in the branch's %llu to %llu",
                        (unsigned long long)base.epoch, (unsigned long long)a->head.fork_epoch,
                        (unsigned long long)head.epoch);
    }
    bool kept = base.epoch >= a->head.floor;
    if (!kept) {
        CIS_TRY(a->ops->kept(a->txn, base, &kept, err));
    }
    if (!kept) {
        return cis_fail(err, CIS_E_EXPIRED, "the state this run began from is no longer kept");
    }
    return CIS_OK;
}

/* ---- rows of the head and of the base ---- */

struct fetch {
    struct merge *at, *end;
    bool base;
};

static bool fetch_row(void *self, const struct cis_fs_inode *inode)
{
    struct fetch *fetch = self;
    while (fetch->at < fetch->end && fetch->at->ino < inode->ino) {
        fetch->at++;
    }
    if (fetch->at < fetch->end && fetch->at->ino == inode->ino && !inode->gone) {
        *(fetch->base ? &fetch->at->base : &fetch->at->head) = *inode;
        *(fetch->base ? &fetch->at->at_base : &fetch->at->at_head) = true;
    }
    return true;
}

static cis_code fetch_rows(struct apply *a, struct cis_view view, bool base, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) uint64_t *inos = cis_calloc(a->nmerges, sizeof *inos);
    struct fetch fetch = {a->merges, a->merges + a->nmerges, base};
    size_t n = 0;
    if (inos == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "commit: out of memory");
    }
    for (size_t i = 0; i < a->nmerges; i++) {
        if (!base || a->merges[i].attr != NULL) {
            inos[n++] = a->merges[i].ino;
        }
    }
    return n != 0 ? a->ops->inodes(a->txn, view, inos, n, fetch_row, &fetch, err) : CIS_OK;
}

/* ---- merging ---- */

static void later(struct cis_fs_time *time, struct cis_fs_time other)
{
    if (cis_fs_time_cmp(*time, other) < 0) {
        *time = other;
    }
}

/* A time of a row that came with explicit attributes: exactly what was set, but one that nobody set
 * (as at the base, or just what adding names made of it) gives way to what others made of it. */
static struct cis_fs_time explicit_time(const struct merge *m, struct cis_fs_time given,
                                        struct cis_fs_time base, struct cis_fs_time merged)
{
    bool untouched = m->at_base && cis_fs_time_cmp(given, base) == 0;
    return untouched ? merged : given;
}

static cis_code merge_row(const struct merge *m, struct cis_fs_inode *out, struct cis_error *err)
{
    struct cis_fs_inode row = m->head;
    row.data = (struct cis_bytes){NULL, 0};
    if (m->moved != NULL) {
        row.parent = m->moved->inode.parent;
        later(&row.ctime, m->moved->inode.ctime);
    }
    if (m->delta != NULL) {
        int64_t nlink = (int64_t)row.nlink + m->delta->nlink;
        if (!S_ISDIR(row.mode) || nlink < 2 || nlink > UINT32_MAX) {
            return cis_fail(err, CIS_E_DAMAGED, "directory %llu has a link count of %u",
                            (unsigned long long)m->ino, row.nlink);
        }
        row.nlink = (uint32_t)nlink;
        later(&row.mtime, m->delta->mtime);
        later(&row.ctime, m->delta->ctime);
    }
    if (m->attr != NULL) {
        const struct cis_fs_inode *given = &m->attr->inode;
        row.mode = (row.mode & S_IFMT) | (given->mode & 07777);
        row.uid = given->uid;
        row.gid = given->gid;
        row.atime = explicit_time(m, given->atime, m->base.atime, row.atime);
        bool by_names =
            m->at_base && m->delta != NULL && cis_fs_time_cmp(given->mtime, m->delta->mtime) == 0;
        if (!by_names) {
            row.mtime = explicit_time(m, given->mtime, m->base.mtime, row.mtime);
        }
        later(&row.ctime, given->ctime);
    }
    *out = row;
    return CIS_OK;
}

static cis_code merge_rows(struct apply *a, struct cis_error *err)
{
    bool behind = a->check.base.epoch != a->head.head.epoch;
    if (a->nmerges == 0) {
        return CIS_OK;
    }
    CIS_TRY(fetch_rows(a, a->head.head, false, err));
    if (behind) {
        CIS_TRY(fetch_rows(a, a->check.base, true, err));
    }
    for (size_t i = 0; i < a->nmerges; i++) {
        const struct merge *m = &a->merges[i];
        if (m->at_head) {
            CIS_TRY(merge_row(m, &a->rows[m->row], err));
        } else if (behind && m->attr == NULL && m->moved == NULL) {
            a->rows[m->row].ino = 0; /* removed, and no name of mine is in it: only times go */
        } else {
            return cis_fail(err, CIS_E_DAMAGED, "directory %llu has no row",
                            (unsigned long long)m->ino);
        }
    }
    return CIS_OK;
}

/* ---- rows ---- */

static struct cis_fs_inode tombstone(const struct cis_fs_inode *inode)
{
    return (struct cis_fs_inode){.ino = inode->ino,
                                 .mode = inode->mode,
                                 .parent = S_ISDIR(inode->mode) ? inode->parent : 0,
                                 .mtime = inode->ctime,
                                 .atime = inode->ctime,
                                 .ctime = inode->ctime,
                                 .btime = inode->ctime,
                                 .gone = true};
}

/* All changes of one inode and its delta make one row. */
static void row_add(struct apply *a, const struct cis_fs_change *change, size_t n,
                    const struct cis_fs_delta *delta)
{
    struct cis_fs_inode *row = &a->rows[a->nrows++];
    if (n != 0 && (change->kind == CIS_FS_PUT || change->kind == CIS_FS_GONE)) {
        *row = change->kind == CIS_FS_PUT ? change->inode : tombstone(&change->inode);
        return;
    }
    struct merge *m = &a->merges[a->nmerges++];
    m->ino = row->ino = n != 0 ? change->inode.ino : delta->ino;
    m->row = a->nrows - 1;
    m->delta = delta;
    for (size_t i = 0; i < n; i++) {
        *(change[i].kind == CIS_FS_MOVED ? &m->moved : &m->attr) = &change[i];
    }
}

static size_t merges_most(const struct cis_fs_commit *fs)
{
    size_t n = fs->ndeltas;
    for (size_t i = 0; i < fs->nchanges; i++) {
        enum cis_fs_inode_kind kind = fs->changes[i].kind;
        n += kind == CIS_FS_DIRATTR || kind == CIS_FS_MOVED;
    }
    return n;
}

/* Of one key beside its name: its kind and four numbers at most. */
#define KEY_COST 32u

static uint64_t keys_most(const struct cis_conflict_check *check)
{
    const struct cis_fs_commit *fs = check->fs;
    size_t n = cis_size_add(cis_size_add(fs->ndirents, fs->nchanges), fs->ndeltas);
    uint64_t bytes = cis_size_mul(n, KEY_COST);
    for (size_t i = 0; i < fs->ndirents; i++) {
        bytes = cis_size_add(bytes, fs->dirents[i].name.len);
    }
    for (size_t i = 0; i < check->nkv; i++) {
        bytes = cis_size_add(bytes, cis_size_add(check->kv[i]->ns.len, check->kv[i]->key.len));
        bytes = cis_size_add(bytes, KEY_COST);
    }
    return bytes;
}

static cis_code rows_build(struct apply *a, struct cis_error *err)
{
    const struct cis_fs_commit *fs = a->check.fs;
    size_t most = cis_size_add(fs->nchanges, fs->ndeltas), merges = merges_most(fs), c = 0, d = 0;
    if (most == 0) {
        return CIS_OK;
    }
    CIS_TRY(charge(
        a,
        cis_size_add(cis_size_mul(most, sizeof *a->rows), cis_size_mul(merges, sizeof *a->merges)),
        err));
    a->rows = cis_calloc(most, sizeof *a->rows);
    a->merges = cis_calloc(cis_size_add(merges, 1), sizeof *a->merges);
    if (a->rows == NULL || a->merges == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "commit: out of memory");
    }
    while (c < fs->nchanges || d < fs->ndeltas) {
        uint64_t change = c < fs->nchanges ? fs->changes[c].inode.ino : UINT64_MAX;
        uint64_t delta = d < fs->ndeltas ? fs->deltas[d].ino : UINT64_MAX;
        size_t n = 0;
        while (change <= delta && c + n < fs->nchanges && fs->changes[c + n].inode.ino == change) {
            n++;
        }
        bool has_delta = delta <= change && d < fs->ndeltas;
        row_add(a, fs->changes + c, n, has_delta ? &fs->deltas[d] : NULL);
        c += n;
        d += has_delta;
    }
    return CIS_OK;
}

static void rows_finish(struct apply *a, uint64_t epoch)
{
    size_t n = 0;
    for (size_t i = 0; i < a->nrows; i++) {
        if (a->rows[i].ino != 0) {
            a->rows[n] = a->rows[i];
            a->rows[n++].epoch = epoch;
        }
    }
    a->nrows = n;
}

/* ---- quotas ---- */

struct counted {
    enum cis_quota which;
    const char *what;
    uint64_t now;
    int64_t growth;
    uint64_t quota;
};

CIS_WRAPS static cis_code count(const struct apply *a, const struct counted *c, uint64_t *out,
                                struct cis_error *err)
{
    uint64_t after = c->now + (uint64_t)c->growth;
    if (c->growth < 0 ? after > c->now : after < c->now) {
        return cis_fail(err, CIS_E_DAMAGED, "%s: %llu and a growth of %lld cannot be", c->what,
                        (unsigned long long)c->now, (long long)c->growth);
    }
    bool checked = c->which == CIS_QUOTA_MEMORY || !a->commit->accepted;
    if (c->growth > 0 && c->quota != 0 && after > c->quota && checked) {
        if (a->commit->out_quota != NULL) {
            *a->commit->out_quota = c->which;
        }
        return cis_fail(err, CIS_E_QUOTA, "%s: %llu would be used, the quota is %llu", c->what,
                        (unsigned long long)after, (unsigned long long)c->quota);
    }
    *out = after;
    return CIS_OK;
}

/* ---- all of it ---- */

static cis_code memory_apply(struct apply *a, struct cis_commit_rows *rows, struct cis_error *err)
{
    const struct cis_store_commit *commit = a->commit;
    int64_t bytes = 0, keys = 0;
    if (commit->nkv != 0) {
        CIS_TRY(a->ops->kv(a->txn, rows->at, commit->kv, commit->nkv, &bytes, &keys, err));
    }
    const struct counted c[] = {
        {CIS_QUOTA_MEMORY, "memory bytes", a->head.kv_bytes, bytes, commit->quota_bytes},
        {CIS_QUOTA_MEMORY, "memory keys", a->head.kv_keys, keys, commit->quota_keys}};
    CIS_TRY(count(a, &c[0], &rows->kv_bytes, err));
    return count(a, &c[1], &rows->kv_keys, err);
}

static cis_code write_rows(struct apply *a, struct cis_fs_committed *out, struct cis_error *err)
{
    const struct cis_store_commit *commit = a->commit;
    const struct cis_fs_commit *fs = a->check.fs;
    static const uint8_t no_keys[1];
    const char *kind = commit->kind != NULL ? commit->kind : commit->run != NULL ? "run" : "memory";
    struct cis_fs_commit_row row = {
        .kind = cis_str_of(kind),
        .note = cis_str_of(commit->note != NULL ? commit->note : ""),
        .time_ms = a->head.now_ms,
        .keys = {a->keys.ptr != NULL ? a->keys.ptr : no_keys, a->keys.len}};
    struct cis_commit_rows rows = {.at = {a->head.head.branch, a->head.head.epoch + 1},
                                   .dirents = fs->dirents,
                                   .ndirents = fs->ndirents,
                                   .inodes = a->rows,
                                   .extents = fs->extents,
                                   .nextents = fs->nextents,
                                   .chunks = fs->chunks,
                                   .nchunks = fs->nchunks,
                                   .kv = commit->kv,
                                   .nkv = commit->nkv,
                                   .row = &row};
    const struct counted c[] = {
        {CIS_QUOTA_FILES, "files", a->head.files, fs->files, a->head.quota_files},
        {CIS_QUOTA_BYTES, "bytes of files", a->head.bytes, fs->bytes, a->head.quota_bytes}};
    CIS_TRY(count(a, &c[0], &rows.files, err));
    CIS_TRY(count(a, &c[1], &rows.bytes, err));
    CIS_TRY(merge_rows(a, err));
    CIS_TRY(memory_apply(a, &rows, err));
    rows_finish(a, rows.at.epoch);
    rows.ninodes = a->nrows;
    row.branch = rows.at.branch;
    row.epoch = rows.at.epoch;
    row.files = rows.files;
    row.bytes = rows.bytes;
    if (commit->run != NULL) {
        memcpy(row.run, commit->run->id, sizeof row.run);
    }
    CIS_TRY(a->ops->write(a->txn, &rows, err));
    *out = (struct cis_fs_committed){rows.at, rows.files, rows.bytes};
    return CIS_OK;
}

cis_code cis_commit_apply(const struct cis_commit_txn_ops *ops, cis_commit_txn *txn,
                          const struct cis_store_commit *commit, struct cis_fs_committed *out,
                          struct cis_error *err)
{
    CIS_CLEANUP(apply_done) struct apply a = {.ops = ops, .txn = txn, .commit = commit};
    bool files = commit->fs != NULL && cis_fs_commit_changes(commit->fs);
    bool changes = files || commit->nkv != 0;
    struct cis_view base = commit->fs != NULL ? commit->fs->base : commit->base;
    if (!changes && !commit->fork) {
        *out = (struct cis_fs_committed){.view = base};
        return CIS_OK;
    }
    CIS_TRY(cis_conflict_check_init(&a.check, commit, err));
    CIS_TRY(charge(&a, keys_most(&a.check), err));
    CIS_TRY(cis_conflict_check_keys(&a.check, &a.keys, err));
    CIS_TRY(rows_build(&a, err));
    if (commit->fork) {
        CIS_TRY(ops->fork(txn, commit->ref, base, err));
    }
    CIS_TRY(ops->head(txn, commit->ref, &a.head, err));
    if (commit->fork) {
        a.check.base = a.head.head;
    }
    if (!changes) {
        *out = (struct cis_fs_committed){a.head.head, a.head.files, a.head.bytes};
        return CIS_OK;
    }
    CIS_TRY(fence_check(&a, files, err));
    /* Memory alone goes onto whatever the head is, unless it asked to be checked by its base. */
    if (files || (commit->strict_memory && a.check.base.branch != 0)) {
        CIS_TRY(base_check(&a, err));
        CIS_TRY(cis_conflict_check_since(&a.check, ops, txn, a.head.head, err));
        if (a.check.moved && a.check.their_moved) {
            CIS_TRY(cis_circle_check(a.check.fs, ops, txn, a.head.head, commit->budget, err));
        }
    }
    return write_rows(&a, out, err);
}
