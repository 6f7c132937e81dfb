#include "fake_txn.h"

#include <sys/stat.h>
#include "harness.h"

void fake_txn_init(cis_commit_txn *txn)
{
    memset(txn, 0, sizeof *txn);
    txn->head.head = (struct cis_view){1, 1};
    txn->head.now_ms = 1000;
    txn->inodes[txn->ninodes++] =
        (struct cis_fs_inode){.ino = CIS_FS_ROOT, .mode = S_IFDIR | 0755, .nlink = 2, .parent = 1};
}

void fake_txn_done(cis_commit_txn *txn)
{
    for (size_t i = 0; i < txn->ncommits; i++) {
        free(txn->commits[i].keys);
    }
}

/* ---- the primitives ---- */

static cis_code take_head(cis_commit_txn *txn, struct cis_str ref, struct cis_commit_head *out,
                          struct cis_error *err)
{
    (void)ref;
    (void)err;
    txn->asked_head++;
    *out = txn->head;
    return CIS_OK;
}

static cis_code give_keys_bytes(cis_commit_txn *txn, uint64_t branch, uint64_t after, uint64_t upto,
                                uint64_t *out, struct cis_error *err)
{
    (void)branch;
    (void)err;
    *out = 0;
    for (size_t i = 0; i < txn->ncommits; i++) {
        const struct fake_commit *c = &txn->commits[i];
        *out += c->epoch > after && c->epoch <= upto ? c->len : 0;
    }
    return CIS_OK;
}

static cis_code give_keys(cis_commit_txn *txn, uint64_t branch, uint64_t after, uint64_t upto,
                          cis_fs_commit_each *each, void *self, struct cis_error *err)
{
    (void)err;
    txn->asked_keys++;
    for (size_t i = 0; i < txn->ncommits; i++) {
        const struct fake_commit *c = &txn->commits[i];
        struct cis_fs_commit_row row = {.branch = branch,
                                        .epoch = c->epoch,
                                        .kind = cis_str_of(c->kind),
                                        .keys = {c->keys, c->len}};
        if (!c->lost && c->epoch > after && c->epoch <= upto && !each(self, &row)) {
            break;
        }
    }
    return CIS_OK;
}

static const struct cis_fs_inode *inode_at(const cis_commit_txn *txn, uint64_t ino, uint64_t epoch)
{
    const struct cis_fs_inode *found = NULL;
    for (size_t i = 0; i < txn->ninodes; i++) {
        const struct cis_fs_inode *row = &txn->inodes[i];
        if (row->ino == ino && row->epoch <= epoch &&
            (found == NULL || found->epoch <= row->epoch)) {
            found = row;
        }
    }
    return found != NULL && !found->gone ? found : NULL;
}

static cis_code give_inodes(cis_commit_txn *txn, struct cis_view at, const uint64_t *inos, size_t n,
                            cis_fs_inode_each *each, void *self, struct cis_error *err)
{
    (void)err;
    txn->asked_inodes++;
    for (size_t i = 0; i < n; i++) {
        const struct cis_fs_inode *row = inode_at(txn, inos[i], at.epoch);
        if (row != NULL && !each(self, row)) {
            break;
        }
    }
    return CIS_OK;
}

static cis_code grow_kv(cis_commit_txn *txn, struct cis_view at, const struct cis_kv_op *ops,
                        size_t n, int64_t *out_bytes, int64_t *out_keys, struct cis_error *err)
{
    (void)ops;
    (void)err;
    assert_true(n > 0 && at.epoch == txn->head.head.epoch + 1);
    *out_bytes = txn->kv_bytes;
    *out_keys = txn->kv_keys;
    return CIS_OK;
}

static cis_code write_rows(cis_commit_txn *txn, const struct cis_commit_rows *rows,
                           struct cis_error *err)
{
    (void)err;
    assert_true(txn->ninodes + rows->ninodes < FAKE_ROWS);
    assert_true(txn->ndirents + rows->ndirents < FAKE_ROWS && txn->ncommits + 1 < FAKE_ROWS);
    for (size_t i = 0; i < rows->ninodes; i++) {
        assert_true(rows->inodes[i].epoch == rows->at.epoch);
        assert_true(i == 0 || rows->inodes[i - 1].ino < rows->inodes[i].ino);
        txn->inodes[txn->ninodes] = rows->inodes[i];
        txn->inodes[txn->ninodes++].data = (struct cis_bytes){NULL, 0};
    }
    for (size_t i = 0; i < rows->ndirents; i++) {
        struct cis_fs_dirent *e = &txn->dirents[txn->ndirents];
        *e = rows->dirents[i];
        e->epoch = rows->at.epoch;
        memcpy(txn->names[txn->ndirents], e->name.ptr, e->name.len);
        e->name.ptr = txn->names[txn->ndirents++];
    }
    struct fake_commit *c = &txn->commits[txn->ncommits++];
    c->epoch = rows->row->epoch;
    c->len = rows->row->keys.len;
    c->keys = malloc(c->len + 1);
    memcpy(c->keys, rows->row->keys.ptr, c->len);
    snprintf(c->kind, sizeof c->kind, CIS_STR_FMT, CIS_STR_ARG(rows->row->kind));
    memcpy(c->run, rows->row->run, sizeof c->run);
    txn->nextents += rows->nextents;
    txn->head.head = rows->at;
    txn->head.files = rows->files;
    txn->head.bytes = rows->bytes;
    txn->head.kv_bytes = rows->kv_bytes;
    txn->head.kv_keys = rows->kv_keys;
    return CIS_OK;
}

static cis_code is_kept(cis_commit_txn *txn, struct cis_view view, bool *out, struct cis_error *err)
{
    (void)view;
    (void)err;
    *out = txn->kept;
    return CIS_OK;
}

const struct cis_commit_txn_ops fake_txn_ops = {.head = take_head,
                                                .keys_bytes = give_keys_bytes,
                                                .keys = give_keys,
                                                .inodes = give_inodes,
                                                .kv = grow_kv,
                                                .write = write_rows,
                                                .kept = is_kept};

/* ---- what the head holds ---- */

const struct cis_fs_inode *fake_inode(const cis_commit_txn *txn, uint64_t ino)
{
    return inode_at(txn, ino, txn->head.head.epoch);
}

static bool current(const cis_commit_txn *txn, size_t at)
{
    const struct cis_fs_dirent *e = &txn->dirents[at];
    for (size_t i = at + 1; i < txn->ndirents; i++) {
        if (txn->dirents[i].parent == e->parent && cis_str_eq(txn->dirents[i].name, e->name)) {
            return false;
        }
    }
    return e->ino != 0;
}

uint64_t fake_lookup(const cis_commit_txn *txn, uint64_t dir, const char *name)
{
    for (size_t i = 0; i < txn->ndirents; i++) {
        const struct cis_fs_dirent *e = &txn->dirents[i];
        if (e->parent == dir && cis_str_is(e->name, name) && current(txn, i)) {
            return e->ino;
        }
    }
    return 0;
}

static void inode_check(const cis_commit_txn *txn, const struct cis_fs_inode *in)
{
    uint32_t names = 0, subdirs = 0;
    for (size_t i = 0; i < txn->ndirents; i++) {
        const struct cis_fs_dirent *e = &txn->dirents[i];
        if (!current(txn, i)) {
            continue;
        }
        names += e->ino == in->ino;
        subdirs += e->parent == in->ino && S_ISDIR(e->mode);
        if (e->ino == in->ino && S_ISDIR(in->mode)) {
            assert_true(in->parent == e->parent);
        }
    }
    if (!S_ISDIR(in->mode)) {
        assert_int_equal(in->nlink, names);
        return;
    }
    assert_int_equal(in->nlink, 2 + subdirs);
    assert_int_equal(names, in->ino == CIS_FS_ROOT ? 0 : 1);
    uint64_t at = in->ino;
    for (int steps = 0; at != CIS_FS_ROOT; steps++) {
        const struct cis_fs_inode *dir = fake_inode(txn, at);
        assert_non_null(dir);
        assert_true(steps < 1000);
        at = dir->parent;
    }
}

void fake_tree_check(const cis_commit_txn *txn)
{
    for (size_t i = 0; i < txn->ndirents; i++) {
        if (current(txn, i)) {
            const struct cis_fs_inode *in = fake_inode(txn, txn->dirents[i].ino);
            const struct cis_fs_inode *dir = fake_inode(txn, txn->dirents[i].parent);
            assert_true(in != NULL && (in->mode & S_IFMT) == txn->dirents[i].mode);
            assert_true(dir != NULL && S_ISDIR(dir->mode));
        }
    }
    for (size_t i = 0; i < txn->ninodes; i++) {
        if (fake_inode(txn, txn->inodes[i].ino) == &txn->inodes[i]) {
            inode_check(txn, &txn->inodes[i]);
        }
    }
}
