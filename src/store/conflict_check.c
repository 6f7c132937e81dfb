#include "store/conflict_check.h"

#include <stdlib.h>
#include <sys/stat.h>
#include "base/budget.h"
#include "base/mem.h"

#define NAMES_MAX 64u
#define KEYS_MAX (256u << 20) /* bytes of one commit's changed keys: some ten million names */

void cis_conflict_check_done(struct cis_conflict_check *check)
{
    cis_free(check->kv);
    cis_free(check->names);
    check->kv = NULL;
    check->names = NULL;
}

static int kv_cmp(const struct cis_kv_op *a, const struct cis_kv_op *b)
{
    int ns = cis_str_cmp(a->ns, b->ns);
    return ns != 0 ? ns : cis_str_cmp(a->key, b->key);
}

static int kv_sort(const void *a, const void *b)
{
    return kv_cmp(*(const struct cis_kv_op *const *)a, *(const struct cis_kv_op *const *)b);
}

cis_code cis_conflict_check_init(struct cis_conflict_check *check,
                                 const struct cis_store_commit *commit, struct cis_error *err)
{
    static const struct cis_fs_commit none;
    *check = (struct cis_conflict_check){
        .fs = commit->fs != NULL ? commit->fs : &none,
        .strict = commit->strict_memory,
        .most = commit->checked_max != 0 ? commit->checked_max : KEYS_MAX,
        .budget = commit->budget,
        .base = commit->fs != NULL ? commit->fs->base : commit->base};
    for (size_t i = 0; i < check->fs->nchanges; i++) {
        check->moved |= check->fs->changes[i].kind == CIS_FS_MOVED;
    }
    if (commit->nkv == 0) {
        return CIS_OK;
    }
    check->kv = cis_calloc(commit->nkv, sizeof *check->kv);
    if (check->kv == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "commit: out of memory");
    }
    for (size_t i = 0; i < commit->nkv; i++) {
        check->kv[i] = &commit->kv[i];
    }
    qsort(check->kv, commit->nkv, sizeof *check->kv, kv_sort);
    for (size_t i = 0; i < commit->nkv; i++) {
        if (check->nkv == 0 || kv_cmp(check->kv[check->nkv - 1], check->kv[i]) != 0) {
            check->kv[check->nkv++] = check->kv[i];
        }
    }
    return CIS_OK;
}

/* ---- my keys ---- */

/* What a change's key is; false: it has none. */
static bool change_key(const struct cis_fs_change *change, struct cis_key *out)
{
    const struct cis_fs_inode *in = &change->inode;
    bool dir = S_ISDIR(in->mode);
    *out = (struct cis_key){.ino = in->ino};
    switch (change->kind) {
    case CIS_FS_PUT:
        out->kind = CIS_KEY_INODE;
        return !change->is_new;
    case CIS_FS_GONE:
        out->kind = dir ? CIS_KEY_DIRGONE : CIS_KEY_INODE;
        out->target = dir ? 0 : 1;
        return true;
    case CIS_FS_DIRATTR:
        out->kind = CIS_KEY_DIRATTR;
        return true;
    case CIS_FS_MOVED:
        out->kind = CIS_KEY_MOVED;
        out->target = in->parent;
        return true;
    }
    return false;
}

/* The first entry of mine at or after (dir, name). */
static size_t dirent_floor(const struct cis_fs_commit *fs, uint64_t dir, struct cis_str name)
{
    size_t low = 0, high = fs->ndirents;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct cis_fs_dirent *e = &fs->dirents[mid];
        if (e->parent < dir || (e->parent == dir && cis_str_cmp(e->name, name) < 0)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

cis_code cis_conflict_check_keys(const struct cis_conflict_check *check, struct cis_buf *out,
                                 struct cis_error *err)
{
    const struct cis_fs_commit *fs = check->fs;
    struct cis_key key;
    out->max = KEYS_MAX;
    for (size_t i = 0; i < fs->ndirents; i++) {
        const struct cis_fs_dirent *e = &fs->dirents[i];
        key = (struct cis_key){.kind = CIS_KEY_DIRENT,
                               .ino = e->parent,
                               .name = e->name,
                               .target = e->ino,
                               .type = e->mode};
        cis_keys_add(out, &key);
    }
    for (enum cis_key_kind kind = CIS_KEY_INODE; kind <= CIS_KEY_MOVED; kind++) {
        for (size_t i = 0; i < fs->nchanges; i++) {
            if (change_key(&fs->changes[i], &key) && key.kind == kind) {
                cis_keys_add(out, &key);
            }
        }
    }
    for (size_t i = 0; i < check->nkv; i++) {
        key = (struct cis_key){
            .kind = CIS_KEY_MEMORY, .ns = check->kv[i]->ns, .name = check->kv[i]->key};
        cis_keys_add(out, &key);
    }
    for (size_t i = 0; i < fs->ndeltas; i++) {
        size_t at = dirent_floor(fs, fs->deltas[i].ino, (struct cis_str){"", 0});
        if (at == fs->ndirents || fs->dirents[at].parent != fs->deltas[i].ino) {
            key = (struct cis_key){.kind = CIS_KEY_DIRTIME, .ino = fs->deltas[i].ino};
            cis_keys_add(out, &key);
        }
    }
    return cis_buf_check(out, "commit: changed keys", err);
}

/* ---- look-ups among my changes ---- */

const struct cis_fs_change *cis_conflict_check_change(const struct cis_fs_commit *fs, uint64_t ino,
                                                      size_t *out_n)
{
    size_t low = 0, high = fs->nchanges, n = 0;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (fs->changes[mid].inode.ino < ino) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    while (low + n < fs->nchanges && fs->changes[low + n].inode.ino == ino) {
        n++;
    }
    *out_n = n;
    return fs->changes + low;
}

/* Does one of my changes of the inode have a key of this kind? */
static bool changed_as(const struct cis_fs_commit *fs, uint64_t ino, enum cis_key_kind kind)
{
    size_t n;
    const struct cis_fs_change *change = cis_conflict_check_change(fs, ino, &n);
    struct cis_key key;
    for (size_t i = 0; i < n; i++) {
        if (change_key(&change[i], &key) && key.kind == kind) {
            return true;
        }
    }
    return false;
}

static bool remembered(const struct cis_conflict_check *check, const struct cis_key *key)
{
    struct cis_kv_op op = {.ns = key->ns, .key = key->name};
    size_t low = 0, high = check->nkv;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = kv_cmp(check->kv[mid], &op);
        if (order == 0) {
            return true;
        }
        *(order < 0 ? &low : &high) = order < 0 ? mid + 1 : mid;
    }
    return false;
}

/* ---- messages: by a name where this commit knows one ---- */

static cis_code lost_name(struct cis_conflict_check *check, struct cis_str name)
{
    return cis_fail(check->err, CIS_E_CONFLICT, "another run changed \"" CIS_STR_FMT "\" first",
                    CIS_STR_ARG(name));
}

static cis_code lost_inode(struct cis_conflict_check *check, uint64_t ino, const char *how)
{
    const struct cis_fs_commit *fs = check->fs;
    for (size_t i = 0; i < fs->ndirents; i++) {
        if (fs->dirents[i].ino == ino) {
            return cis_fail(check->err, CIS_E_CONFLICT, "another run %s \"" CIS_STR_FMT "\" first",
                            how, CIS_STR_ARG(fs->dirents[i].name));
        }
    }
    return cis_fail(check->err, CIS_E_CONFLICT, "another run %s inode %llu first", how,
                    (unsigned long long)ino);
}

/* ---- their keys ---- */

static cis_code filled(const struct cis_conflict_check *check, struct cis_str name)
{
    return cis_fail(check->err, CIS_E_CONFLICT,
                    "another run put \"" CIS_STR_FMT "\" into a directory that was to be removed",
                    CIS_STR_ARG(name));
}

/* Another name in a directory that I removed: a conflict if it is still there in the end. Looked at
 * under the lock, so only few are remembered; that all of more than these went again is not worth
 * the time. */
static cis_code name_note(struct cis_conflict_check *check, const struct cis_key *key)
{
    size_t i = 0;
    while (i < check->nnames &&
           (check->names[i].dir != key->ino ||
            !cis_str_eq((struct cis_str){check->names[i].text, check->names[i].len}, key->name))) {
        i++;
    }
    if (key->target == 0) {
        if (i < check->nnames) {
            check->names[i] = check->names[--check->nnames];
        }
        return CIS_OK;
    }
    if (i < check->nnames) {
        return CIS_OK;
    }
    if (check->nnames == NAMES_MAX) {
        return filled(check, key->name);
    }
    if (check->nnames == check->names_cap) {
        size_t cap = cis_cap_next(check->names_cap, 8, CIS_MEM_MAX);
        void *more = cis_realloc_array(check->names, cap, sizeof *check->names);
        if (more == NULL) {
            return cis_fail(check->err, CIS_E_NOMEM, "commit: out of memory");
        }
        check->names = more;
        check->names_cap = cap;
    }
    struct cis_conflict_check_name *name = &check->names[check->nnames++];
    name->dir = key->ino;
    name->len = (uint16_t)key->name.len;
    memcpy(name->text, key->name.ptr, key->name.len);
    return CIS_OK;
}

/* A file that this commit brings back under its old number, as merges do: no key of an inode shows
 * that two commits do so. */
static bool comes_back(const struct cis_fs_commit *fs, uint64_t ino)
{
    size_t n;
    const struct cis_fs_change *change = cis_conflict_check_change(fs, ino, &n);
    return n != 0 && change->kind == CIS_FS_PUT && change->is_new;
}

static cis_code dirent_check(struct cis_conflict_check *check, const struct cis_key *key)
{
    const struct cis_fs_commit *fs = check->fs;
    size_t at = dirent_floor(fs, key->ino, key->name);
    if (at < fs->ndirents && fs->dirents[at].parent == key->ino &&
        cis_str_eq(fs->dirents[at].name, key->name)) {
        return lost_name(check, key->name);
    }
    if (key->target != 0 && comes_back(fs, key->target)) {
        return lost_name(check, key->name);
    }
    return changed_as(fs, key->ino, CIS_KEY_DIRGONE) ? name_note(check, key) : CIS_OK;
}

/* They removed a directory: nothing of mine may have happened to it or in it. */
static cis_code dirgone_check(struct cis_conflict_check *check, uint64_t dir)
{
    const struct cis_fs_commit *fs = check->fs;
    size_t at = dirent_floor(fs, dir, (struct cis_str){"", 0});
    if (at < fs->ndirents && fs->dirents[at].parent == dir) {
        return cis_fail(check->err, CIS_E_CONFLICT,
                        "another run removed the directory of \"" CIS_STR_FMT "\" first",
                        CIS_STR_ARG(fs->dirents[at].name));
    }
    if (changed_as(fs, dir, CIS_KEY_DIRATTR) || changed_as(fs, dir, CIS_KEY_MOVED) ||
        changed_as(fs, dir, CIS_KEY_DIRGONE)) {
        return lost_inode(check, dir, "removed");
    }
    return CIS_OK;
}

static cis_code key_check(struct cis_conflict_check *check, const struct cis_key *key)
{
    const struct cis_fs_commit *fs = check->fs;
    switch (key->kind) {
    case CIS_KEY_DIRENT:
        return dirent_check(check, key);
    case CIS_KEY_INODE:
        return changed_as(fs, key->ino, CIS_KEY_INODE)
                   ? lost_inode(check, key->ino, key->target != 0 ? "removed" : "changed")
                   : CIS_OK;
    case CIS_KEY_DIRATTR:
        return changed_as(fs, key->ino, CIS_KEY_DIRATTR) ||
                       changed_as(fs, key->ino, CIS_KEY_DIRGONE)
                   ? lost_inode(check, key->ino, "changed the attributes of")
                   : CIS_OK;
    case CIS_KEY_DIRGONE:
        return dirgone_check(check, key->ino);
    case CIS_KEY_MOVED:
        check->their_moved = true;
        return changed_as(fs, key->ino, CIS_KEY_MOVED) ? lost_inode(check, key->ino, "moved")
                                                       : CIS_OK;
    case CIS_KEY_MEMORY:
        return check->strict && remembered(check, key)
                   ? cis_fail(check->err, CIS_E_CONFLICT,
                              "another run changed the memory key \"" CIS_STR_FMT "\" first",
                              CIS_STR_ARG(key->name))
                   : CIS_OK;
    case CIS_KEY_DIRTIME:
        return CIS_OK;
    }
    return CIS_OK;
}

/* The names of a key are those of its piece, which goes. */
static void keep_before(struct cis_conflict_check *check, const struct cis_key *key)
{
    check->before = *key;
    if (key->ns.len <= CIS_STORE_NAME_MAX && key->name.len <= CIS_STORE_KEY_MAX) {
        char *at = check->before_text;
        if (key->ns.len != 0) {
            memcpy(at, key->ns.ptr, key->ns.len);
        }
        check->before.ns.ptr = at;
        at += key->ns.len;
        if (key->name.len != 0) {
            memcpy(at, key->name.ptr, key->name.len);
        }
        check->before.name.ptr = at;
    }
}

static bool commit_check(void *self, const struct cis_fs_commit_row *row)
{
    struct cis_conflict_check *check = self;
    struct cis_key key, before = check->before;
    size_t at = 0;
    bool more = true;
    if (row->epoch != check->next_epoch) {
        check->code =
            cis_fail(check->err, CIS_E_DAMAGED, "commit %llu of branch %llu is missing",
                     (unsigned long long)check->next_epoch, (unsigned long long)check->base.branch);
        return false;
    }
    for (bool first = !check->within; check->code == CIS_OK; first = false) {
        check->code = cis_keys_next(row->keys, &at, &key, &more, check->err);
        if (check->code != CIS_OK || !more) {
            break;
        }
        if (!first && cis_key_cmp(&before, &key) >= 0) {
            check->code = cis_fail(check->err, CIS_E_DAMAGED, "changed keys: not in order");
            break;
        }
        check->code = key_check(check, &key);
        before = key;
    }
    check->within = row->keys_more;
    if (row->keys_more) {
        keep_before(check, &before);
    } else {
        check->next_epoch++;
    }
    return check->code == CIS_OK;
}

/* Everybody waits meanwhile, so what is looked at is bounded before anything is read: a base that
 * is one commit old can be checked, an older one when all commits since together are no more than
 * one may be. Who cannot be checked has the way of a conflict: nothing of it is lost. Keys are in
 * memory in pieces. */
static cis_code check_room(const struct cis_conflict_check *check,
                           const struct cis_commit_txn_ops *ops, cis_commit_txn *txn,
                           struct cis_view head, uint64_t *out_held, struct cis_error *err)
{
    uint64_t bytes = 0, commits = head.epoch - check->base.epoch;
    if (commits > 1 || check->budget != NULL) {
        CIS_TRY(ops->keys_bytes(txn, head.branch, check->base.epoch, head.epoch, &bytes, err));
    }
    *out_held = bytes < CIS_KEYS_HELD ? bytes : CIS_KEYS_HELD;
    if (*out_held > cis_budget_left(check->budget)) {
        return cis_fail(err, CIS_E_CONFLICT,
                        "%llu commits since it began changed more names than there is memory to "
                        "compare with (%llu bytes are needed, %llu are left): commit it as a "
                        "branch and merge",
                        (unsigned long long)commits, (unsigned long long)*out_held,
                        (unsigned long long)cis_budget_left(check->budget));
    }
    return commits <= 1 || bytes <= check->most
               ? CIS_OK
               : cis_fail(err, CIS_E_CONFLICT,
                          "%llu commits since it began changed too many names to compare with "
                          "(%llu bytes of them, most are %llu): commit it as a branch and merge",
                          (unsigned long long)commits, (unsigned long long)bytes,
                          (unsigned long long)check->most);
}

cis_code cis_conflict_check_since(struct cis_conflict_check *check,
                                  const struct cis_commit_txn_ops *ops, cis_commit_txn *txn,
                                  struct cis_view head, struct cis_error *err)
{
    uint64_t after = check->base.epoch;
    if (after == head.epoch) {
        return CIS_OK;
    }
    check->next_epoch = after + 1;
    check->within = false;
    check->err = err;
    check->code = CIS_OK;
    uint64_t held;
    CIS_TRY(check_room(check, ops, txn, head, &held, err));
    if (check->budget != NULL) {
        CIS_TRY(cis_budget_charge(check->budget, held, "commit of files", err));
    }
    cis_code code = ops->keys(txn, head.branch, after, head.epoch, commit_check, check, err);
    if (check->budget != NULL) {
        cis_budget_release(check->budget, held);
    }
    CIS_TRY(code);
    CIS_TRY(check->code);
    if (check->next_epoch != head.epoch + 1) {
        return cis_fail(err, CIS_E_DAMAGED, "commit %llu of branch %llu is missing",
                        (unsigned long long)check->next_epoch, (unsigned long long)head.branch);
    }
    if (check->nnames != 0) {
        return filled(check, (struct cis_str){check->names[0].text, check->names[0].len});
    }
    return CIS_OK;
}
