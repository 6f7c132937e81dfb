/* Commit, discard, save as a fork. One commit of a view at a time; operations go on above it. */
#include "vfs/layered/view.h"

#include <stdio.h>
#include "base/crypto.h"
#include "store/commit.h"
#include "store/calls.h"

enum { ATTEMPTS = 3 }; /* of a commit whose content is lost and written again */

static cis_code code_of(int rc, const struct cis_error *err)
{
    if (rc == 0 || err->code != CIS_OK) {
        return rc == 0 ? CIS_OK : err->code;
    }
    return cis_code_of_errno(rc);
}

/* Both locks end here. */
static cis_code finish(struct lay_view *v, cis_code code, const struct cis_error *why,
                       struct cis_error *err) CIS_RELEASES(lay_lock_committing, lay_lock_spilling)
{
    cis_mutex_unlock(&v->spilling, lay_lock_spilling);
    cis_mutex_unlock(&v->committing, lay_lock_committing);
    if (code != CIS_OK && err != NULL) {
        *err = *why;
        if (err->code == CIS_OK) {
            cis_fail(err, code, "commit: %s", cis_code_name(code));
        }
    }
    return code;
}

static cis_code told(struct lay_view *v, cis_code code, const struct lay_captured *f,
                     const struct cis_stop *stop, struct cis_error *err)
{
    if (code == CIS_E_QUOTA && err != NULL) {
        cis_lay_refused(v, f->quota, stop, err);
    }
    if (f->lost != 0 && err != NULL) {
        cis_lay_lost(v, f->lost, f->nlost, stop, err);
    }
    return code;
}

static bool changes_something(const struct lay_captured *f)
{
    return f->ndirents != 0 || f->nchanges != 0 || f->ndeltas != 0 || f->nextents != 0;
}

static struct cis_fs_commit commit_of(const struct lay_captured *f, struct cis_view base)
{
    return (struct cis_fs_commit){
        .base = base,
        .dirents = f->dirents,
        .ndirents = f->ndirents,
        .changes = f->changes,
        .nchanges = f->nchanges,
        .deltas = f->deltas,
        .ndeltas = f->ndeltas,
        .extents = f->extents,
        .nextents = f->nextents,
        .chunks = f->chunks,
        .nchunks = f->nchunks,
        .files = f->files,
        .bytes = f->bytes,
    };
}

/* ---- what others committed in between, against what is left of the overlay ---- */
struct between {
    struct lay_view *v;
    const struct lay_captured *captured;
    bool broken;
};

static bool is_mine(const struct between *b, const struct cis_key *key)
{
    const struct lay_view *v = b->v;
    if (key->kind == CIS_KEY_DIRENT) {
        struct lay_hash hash = cis_lay_hash(&v->fs_cache->key, key->ino, key->name);
        return cis_lay_name_find(v, hash) != NULL;
    }
    const struct lay_node *node = cis_lay_table_get(&v->nodes, key->ino);
    if (node == NULL) {
        return false;
    }
    switch (key->kind) {
    case CIS_KEY_INODE:
        return node->row || node->gone;
    case CIS_KEY_DIRATTR:
        return node->dirattr || node->gone;
    case CIS_KEY_DIRGONE:
        return true;
    case CIS_KEY_MOVED:
        return node->moved;
    default:
        return false;
    }
}

static bool see_commit(void *self, const struct cis_fs_commit_row *row)
{
    struct between *b = self;
    size_t at = 0;
    bool more = true;
    cis_lay_lock_all(b->v);
    while (more && !b->broken) {
        struct cis_key key;
        b->broken = cis_keys_next(row->keys, &at, &key, &more, NULL) != CIS_OK ||
                    (more && key.kind != CIS_KEY_MEMORY && is_mine(b, &key));
    }
    cis_lay_unlock_all(b->v);
    return !b->broken;
}

/* The rest of the overlay began at the old base: it may not go over what others did since. */
static void check_between(struct lay_view *v, const struct lay_captured *f, uint64_t upto,
                          const struct cis_stop *stop) CIS_REQUIRES(lay_lock_committing)
{
    struct between b = {v, f, false};
    if (upto <= f->base.epoch) {
        return;
    }
    cis_code code = CIS_E_STORE;
    for (int i = 0; i < 3 && code == CIS_E_STORE && !b.broken; i++) { /* cut off in the middle */
        code = cis_store_commits(
            v->fs_cache->store, v->who,
            &(struct cis_fs_log_query){
                .branch = f->base.branch, .after = f->base.epoch, .upto = upto, .keys = true},
            see_commit, &b, stop, NULL);
    }
    if (code != CIS_OK || b.broken) {
        snprintf(v->conflict, sizeof v->conflict,
                 "another run changed the same files while an earlier part was committed");
    }
}

/* ---- commit ---- */
/* Rows for the caches: all that are known exactly. Directories that others may have changed too are
 * read again. */
static cis_code tell_line(struct lay_view *v, struct lay_captured *f, struct cis_view at,
                          struct lay_branch_cache **line, const struct cis_stop *stop,
                          struct cis_error *err)
{
    struct lay_news news = {.dirents = f->dirents,
                            .ndirents = f->ndirents,
                            .changes = f->changes,
                            .nchanges = f->nchanges,
                            .deltas = f->deltas,
                            .ndeltas = f->ndeltas};
    return cis_lay_branch_cache_committed(v->fs_cache, line, at, &news, stop, err);
}

static void move_on(struct lay_view *v, struct lay_captured *f, const struct cis_fs_committed *done,
                    const struct cis_stop *stop) CIS_REQUIRES(lay_lock_committing)
{
    struct lay_branch_cache *old = v->line, *line = old;
    cis_lay_branch_cache_hold(old); /* operations may still look at it through v->line */
    if (tell_line(v, f, done->view, &line, stop, NULL) != CIS_OK) {
        atomic_store(&v->ended, ESTALE); /* out of memory: committed, but of no more use */
    }
    cis_lay_settle(f, line, done);
    cis_lay_branch_cache_leave(v->fs_cache, old);
    check_between(v, f, done->view.epoch - 1, stop);
}

static cis_code commit_captured(struct lay_view *v, struct lay_captured *f,
                                const struct cis_store_commit *with, struct cis_fs_committed *out,
                                const struct cis_stop *stop, struct cis_error *err)
    CIS_REQUIRES(lay_lock_committing, lay_lock_spilling)
{
    struct cis_vfs_call call = {.stop = stop, .err = err};
    struct cis_fs_committed done = {
        .view = f->base, .files = v->base_files, .bytes = v->base_bytes};
    int rc = cis_lay_commit_content(f, &call);
    if (rc != 0) {
        cis_lay_thaw(f);
        return code_of(rc, err);
    }
    if (changes_something(f) || with != NULL) {
        struct cis_fs_commit fs = commit_of(f, f->base);
        struct cis_store_commit c = with != NULL ? *with : (struct cis_store_commit){0};
        c.fs = &fs;
        c.ref = cis_str_of(v->ref);
        c.base = f->base;
        c.out = &done;
        c.budget = &f->rows;
        c.out_quota = &f->quota;
        c.fence = v->fence != 0 ? v->fence : c.fence;
        c.accepted = v->auto_commit || v->takes_back;
        c.takes_back = v->takes_back;
        c.kind = c.kind != NULL || v->kind[0] == 0 ? c.kind : v->kind;
        c.note = c.note != NULL || v->note[0] == 0 ? c.note : v->note;
        cis_code code = cis_store_commit(v->fs_cache->store, v->who, &c, stop, err);
        if (code != CIS_OK) {
            cis_lay_thaw(f);
            return code;
        }
    }
    if (done.view.branch == f->base.branch && done.view.epoch > f->base.epoch) {
        move_on(v, f, &done, stop);
    } else {
        done.view = f->base;
        cis_lay_thaw(f);
    }
    if (out != NULL) {
        *out = done;
    }
    return CIS_OK;
}

/* One that loses its last name after this, and before the overlay is captured, is pinned by the
 * commit after it: superseded rows stay for minutes whoever wants them. */
static bool has_gone(struct lay_view *v)
{
    struct lay_stripe *s = cis_lay_lock_one(v);
    bool gone = v->ngone > 0;
    cis_lay_unlock_one(s);
    return gone;
}

static cis_code commit_forked(struct lay_view *v, struct cis_str ref, struct lay_captured *f,
                              const struct cis_store_commit *with, struct cis_fs_committed *out,
                              const struct cis_stop *stop, struct cis_error *err)
    CIS_REQUIRES(lay_lock_committing, lay_lock_spilling)
{
    struct cis_vfs_call call = {.stop = stop, .err = err};
    int rc = cis_lay_commit_content(f, &call);
    if (rc != 0) {
        return code_of(rc, err);
    }
    struct cis_fs_commit fs = commit_of(f, f->base);
    struct cis_fs_committed done = {.view = f->base};
    struct cis_store_commit c = with != NULL ? *with : (struct cis_store_commit){.kind = "fs"};
    c.fs = &fs;
    c.ref = ref;
    c.base = f->base;
    c.fork = true;
    c.fence = 0;
    c.accepted = v->auto_commit || v->takes_back;
    c.takes_back = v->takes_back;
    c.out = &done;
    if (v->kind[0] != 0 && (with == NULL || c.kind == NULL)) {
        c.kind = v->kind;
    }
    c.note = c.note != NULL ? c.note : v->note[0] != 0 ? v->note : "saved as a fork";
    c.budget = &f->rows;
    c.out_quota = &f->quota;
    CIS_TRY(cis_store_commit(v->fs_cache->store, v->who, &c, stop, err));
    if (out != NULL) {
        *out = done;
    }
    return CIS_OK;
}

/* Onto a new branch when ref is given. *out_again: it failed because of content that was lost
 * meanwhile and is in memory again. */
static cis_code commit_once(struct lay_view *v, const struct cis_str *ref, struct lay_captured *f,
                            const struct cis_store_commit *with, struct cis_fs_committed *out,
                            const struct cis_stop *stop, bool *out_again, struct cis_error *err)
    CIS_REQUIRES(lay_lock_committing, lay_lock_spilling)
{
    struct cis_vfs_call call = {.stop = stop, .err = err};
    *out_again = false;
    int rc = cis_lay_spill_end(v, &call);
    if (rc == 0 && ref == NULL && has_gone(v)) { /* files without a name that are still held */
        rc = cis_lay_errno(cis_lay_pin(v, v->at, stop, err));
    }
    rc = rc != 0 ? rc : cis_lay_capture(v, &call, f);
    if (rc != 0) {
        return code_of(rc, err);
    }
    cis_code code = ref == NULL ? commit_captured(v, f, with, out, stop, err)
                                : commit_forked(v, *ref, f, with, out, stop, err);
    if (ref != NULL) {
        cis_lay_thaw(f);
    }
    *out_again = code != CIS_OK && cis_lay_mend(f, &call, &code);
    cis_lay_captured_done(f);
    return code;
}

static cis_code commit_again(struct lay_view *v, const struct cis_str *ref, struct lay_captured *f,
                             const struct cis_store_commit *with, struct cis_fs_committed *out,
                             const struct cis_stop *stop, struct cis_error *err)
    CIS_REQUIRES(lay_lock_committing, lay_lock_spilling)
{
    bool again = true;
    cis_code code = CIS_OK;
    for (int i = 0; again && i < ATTEMPTS; i++) {
        *err = (struct cis_error){0};
        code = commit_once(v, ref, f, with, out, stop, &again, err);
    }
    v->lost = f->lost;
    v->nlost = f->nlost;
    return code;
}

/* A view that goes on learns what its rows took, so that it stops to accept more in time. */
static void stored_again(struct lay_view *v, const struct cis_stop *stop)
{
    struct cis_error why;
    struct lay_stripe *s = cis_lay_lock_one(v);
    bool capped = v->quota_stored != 0;
    cis_lay_unlock_one(s);
    if (v->auto_commit && capped) {
        (void)!cis_lay_quota_again(v, stop, &why);
    }
}

cis_code cis_layered_quota(cis_vfs *vfs, const struct cis_stop *stop, struct cis_error *err)
{
    struct lay_view *v = lay_of(vfs);
    return v->auto_commit ? cis_lay_quota_again(v, stop, err) : CIS_OK;
}

cis_code cis_layered_commit(cis_vfs *vfs, const struct cis_store_commit *with,
                            struct cis_fs_committed *out, const struct cis_stop *stop,
                            struct cis_error *err)
{
    struct lay_view *v = lay_of(vfs);
    struct cis_error why = {0};
    struct lay_captured captured = {.v = NULL};
    if (vfs->read_only && (with == NULL || v->reader[0] != 0)) {
        return cis_fail(err, CIS_E_DENIED, "a read-only view has nothing to commit");
    }
    if (v->empty) {
        return cis_fail(err, CIS_E_USAGE,
                        "an empty tree is not the head of a branch; commit it as a fork");
    }
    cis_mutex_lock(&v->committing, lay_lock_committing);
    cis_mutex_lock(&v->spilling, lay_lock_spilling);
    if (v->conflict[0] != 0) {
        return finish(v, cis_fail(&why, CIS_E_CONFLICT, "%s", v->conflict), &why, err);
    }
    if (atomic_load(&v->ended) != 0) {
        return finish(v, cis_fail(&why, CIS_E_EXPIRED, "the view has expired"), &why, err);
    }
    cis_code code = commit_again(v, NULL, &captured, with, out, stop, &why);
    struct lay_pin idle = code == CIS_OK ? cis_lay_unpin_idle(v) : (struct lay_pin){0};
    code = finish(v, code, &why, err);
    if (code == CIS_OK) { /* trips that no other commit waits for */
        cis_lay_unpin_end(v, idle);
        stored_again(v, stop);
    }
    return told(v, code, &captured, stop, err);
}

int cis_lay_flush(cis_vfs *vfs, const struct cis_vfs_call *call)
{
    struct lay_view *v = lay_of(vfs);
    if (!v->auto_commit) {
        return cis_lay_ended(v, call);
    }
    if (!cis_layered_dirty(vfs)) {
        return 0;
    }
    cis_vfs_waits(call);
    struct cis_error why = {0};
    cis_code code = cis_layered_commit(vfs, NULL, NULL, lay_stop(call), &why);
    int rc = cis_lay_errno_of(call, code, &why);
    return code == CIS_E_QUOTA ? EDQUOT : code == CIS_E_CONFLICT ? EIO : rc;
}

int cis_lay_sync(cis_vfs_file *file, const struct cis_vfs_call *call, bool data_only)
{
    (void)data_only;
    return file->vfs->read_only ? 0 : cis_lay_flush(file->vfs, call);
}

/* ---- the rest ---- */
cis_code cis_layered_commit_fork(cis_vfs *vfs, struct cis_str ref,
                                 const struct cis_store_commit *with, struct cis_fs_committed *out,
                                 const struct cis_stop *stop, struct cis_error *err)
{
    struct lay_view *v = lay_of(vfs);
    struct cis_error why = {0};
    struct lay_captured captured = {.v = NULL};
    if (v->reader[0] != 0) {
        return cis_fail(err, CIS_E_DENIED, "another tenant's branch can only be read");
    }
    cis_mutex_lock(&v->committing, lay_lock_committing);
    cis_mutex_lock(&v->spilling, lay_lock_spilling);
    cis_code code = commit_again(v, &ref, &captured, with, out, stop, &why);
    return told(v, finish(v, code, &why, err), &captured, stop, err);
}

void cis_lay_drop_all(struct lay_view *v)
{
    for (size_t i = 0; i < v->nodes.cap;) {
        if (v->nodes.slots[i].value != NULL) {
            cis_lay_node_drop(v, v->nodes.slots[i].value); /* another one may move here */
        } else {
            i++;
        }
    }
    /* What moved over the end of the table to its start. */
    while (v->nodes.count != 0) {
        lay_table_each(&v->nodes, s)
        {
            cis_lay_node_drop(v, s->value);
            break;
        }
    }
}

void cis_layered_discard(cis_vfs *vfs)
{
    struct lay_view *v = lay_of(vfs);
    cis_mutex_lock(&v->committing, lay_lock_committing);
    cis_mutex_lock(&v->spilling, lay_lock_spilling);
    cis_lay_load_free(v, cis_take(&v->load));
    cis_lay_lock_all(v);
    cis_lay_drop_all(v);
    v->files = v->bytes = 0;
    v->gen++;
    v->moves++;
    v->name_changes++;
    v->conflict[0] = 0;
    cis_lay_unlock_all(v);
    cis_mutex_unlock(&v->spilling, lay_lock_spilling);
    cis_mutex_unlock(&v->committing, lay_lock_committing);
}

bool cis_layered_dirty(cis_vfs *vfs)
{
    struct lay_view *v = lay_of(vfs);
    bool dirty = false;
    cis_lay_lock_all(v);
    lay_table_each(&v->nodes, s)
    {
        const struct lay_node *n = s->value;
        dirty = n->is_new ? !n->gone
                          : n->names != NULL || n->row || n->dirattr || n->moved || n->touched ||
                                n->blocks.count > 0 || (n->gone && !n->gone_committed);
        if (n->gone && n->gone_committed) {
            dirty = false;
        }
        if (dirty) {
            break;
        }
    }
    cis_lay_unlock_all(v);
    return dirty;
}

struct cis_str cis_layered_tenant(cis_vfs *vfs)
{
    return lay_of(vfs)->who;
}

struct cis_view cis_layered_view(cis_vfs *vfs)
{
    struct lay_view *v = lay_of(vfs);
    struct lay_stripe *s = cis_lay_lock_one(v);
    struct cis_view at = v->at;
    cis_lay_unlock_one(s);
    return at;
}
