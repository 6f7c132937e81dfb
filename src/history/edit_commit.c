/* From the records of an edit to one commit: which rows change, and what the counts become. */
#include "history/edit.h"
#include "store/calls.h"

#include <inttypes.h>
#include <stdlib.h>

struct building {
    struct {
        struct cis_fs_change *at;
        size_t n, cap;
        struct cis_bound *bound;
    } changes;
    struct {
        struct cis_fs_delta *at;
        size_t n, cap;
        struct cis_bound *bound;
    } deltas;
    int64_t files, bytes;
};

static cis_code add_change(struct building *b, enum cis_fs_inode_kind kind, bool is_new,
                           const struct cis_fs_inode *row, struct cis_error *err)
{
    struct cis_fs_change *c = vec_add(&b->changes);
    if (c == NULL) {
        return cis_history_nomem(err);
    }
    *c = (struct cis_fs_change){.kind = kind, .is_new = is_new, .inode = *row};
    c->inode.gone = kind == CIS_FS_GONE;
    return CIS_OK;
}

static struct cis_fs_inode *last_row(const struct building *b)
{
    return &b->changes.at[b->changes.n - 1].inode;
}

static int64_t counted(const struct cis_fs_inode *row)
{
    return is_file(row->mode) ? (int64_t)row->size : 0;
}

static cis_code build_dir(struct edit *e, struct building *b, struct edit_file *f,
                          struct cis_error *err)
{
    bool is_new = f->head->ino == 0;
    if (f->gone || f->links < 0 || (is_new && f->links <= 0)) {
        b->files -= is_new ? 0 : 1;
        return is_new ? CIS_OK : add_change(b, CIS_FS_GONE, false, f->head, err);
    }
    if (is_new) {
        b->files++;
        CIS_TRY(add_change(b, CIS_FS_PUT, true, f->row, err));
        last_row(b)->nlink = (uint32_t)(2 + f->subdirs);
        return CIS_OK;
    }
    if (f->attrs || (f->exact && f->names)) {
        CIS_TRY(add_change(b, CIS_FS_DIRATTR, false, f->row, err));
    }
    if (f->moved && f->row->parent != f->head->parent) {
        CIS_TRY(add_change(b, CIS_FS_MOVED, false, f->row, err));
    }
    if (f->names) {
        struct cis_fs_delta *d = vec_add(&b->deltas);
        if (d == NULL) {
            return cis_history_nomem(err);
        }
        *d = (struct cis_fs_delta){f->head->ino, f->subdirs, e->now, e->now};
    }
    return CIS_OK;
}

static cis_code build_file(struct edit *e, struct building *b, struct edit_file *f,
                           struct cis_error *err)
{
    bool is_new = f->head->ino == 0;
    int64_t nlink = (is_new ? 0 : (int64_t)f->head->nlink) + f->links;
    if (!f->put && f->links == 0) {
        return CIS_OK;
    }
    if (is_new && (!f->put || nlink <= 0)) {
        return nlink <= 0
                   ? CIS_OK
                   : cis_fail(err, CIS_E_DAMAGED, "inode %" PRIu64 " has a name but does not exist",
                              f->row->ino);
    }
    b->bytes -= is_new ? 0 : counted(f->head);
    if (nlink <= 0) {
        b->files--;
        return add_change(b, CIS_FS_GONE, false, f->head, err);
    }
    b->files += is_new ? 1 : 0;
    b->bytes += counted(f->row);
    CIS_TRY(add_change(b, CIS_FS_PUT, is_new, f->row, err));
    last_row(b)->nlink = (uint32_t)nlink;
    if (!f->put) {
        last_row(b)->ctime = e->now;
    }
    return CIS_OK;
}

static int dirent_cmp(const void *a, const void *b)
{
    const struct cis_fs_dirent *x = a, *y = b;
    struct link p = {.parent = x->parent, .name = x->name};
    struct link q = {.parent = y->parent, .name = y->name};
    return cis_link_cmp(&p, &q);
}

static int change_cmp(const void *a, const void *b)
{
    const struct cis_fs_change *x = a, *y = b;
    if (x->inode.ino != y->inode.ino) {
        return x->inode.ino < y->inode.ino ? -1 : 1;
    }
    return (int)x->kind - (int)y->kind;
}

static int extent_cmp(const void *a, const void *b)
{
    const struct cis_fs_new_extent *x = a, *y = b;
    if (x->ino != y->ino) {
        return x->ino < y->ino ? -1 : 1;
    }
    return x->block < y->block ? -1 : x->block > y->block;
}

static int delta_cmp(const void *a, const void *b)
{
    const struct cis_fs_delta *x = a, *y = b;
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

#define SORT(v, cmp)                                                                               \
    do {                                                                                           \
        if ((v)->n > 1) {                                                                          \
            qsort((v)->at, (v)->n, sizeof *(v)->at, (cmp));                                        \
        }                                                                                          \
    } while (0)

/* Files that are gone after all keep no extents. */
static void drop_extents(struct edit *e)
{
    size_t kept = 0;
    for (size_t i = 0; i < e->extents.n; i++) {
        const struct edit_file *f = cis_ids_get(&e->files, e->extents.at[i].ino);
        int64_t nlink = f == NULL ? 0 : (int64_t)f->head->nlink + f->links;
        if (nlink > 0) {
            e->extents.at[kept++] = e->extents.at[i];
        }
    }
    e->extents.n = kept;
}

static cis_code touch(struct edit *e, struct cis_error *err)
{
    bool lost[1024];
    cis_numbers_sort(&e->chunks);
    for (size_t i = 0; i < e->chunks.n; i += 1024) {
        size_t n = e->chunks.n - i < 1024 ? e->chunks.n - i : 1024;
        memset(lost, 0, sizeof lost);
        CIS_TRY(cis_store_chunk_touch(e->h->store, e->h->tenant, e->chunks.at + i, n, lost,
                                      e->h->stop, err));
        for (size_t k = 0; k < n; k++) {
            if (lost[k]) {
                return cis_fail(err, CIS_E_EXPIRED, "chunk %" PRIu64 " is no longer kept",
                                e->chunks.at[i + k]);
            }
        }
    }
    return CIS_OK;
}

/* The store writes no commit without a change: the root's time of change is one. */
static cis_code mark(struct edit *e, struct building *b, struct cis_error *err)
{
    struct edit_file *root;
    struct cis_fs_delta *d = vec_add(&b->deltas);
    if (d == NULL) {
        return cis_history_nomem(err);
    }
    CIS_TRY(cis_edit_file(e, CIS_FS_ROOT, &root, err));
    *d = (struct cis_fs_delta){CIS_FS_ROOT, 0, root->head->mtime, e->now};
    return CIS_OK;
}

static cis_code write_all(struct edit *e, struct building *b, const char *kind, const char *note,
                          struct cis_history_done *out, struct cis_error *err)
{
    SORT(&e->dirents, dirent_cmp);
    SORT(&b->changes, change_cmp);
    SORT(&b->deltas, delta_cmp);
    SORT(&e->extents, extent_cmp);
    struct cis_fs_commit fs = {.base = e->base,
                               .dirents = e->dirents.at,
                               .ndirents = e->dirents.n,
                               .changes = b->changes.at,
                               .nchanges = b->changes.n,
                               .deltas = b->deltas.at,
                               .ndeltas = b->deltas.n,
                               .extents = e->extents.at,
                               .nextents = e->extents.n,
                               .files = b->files,
                               .bytes = b->bytes};
    enum cis_quota quota = CIS_QUOTA_OTHER;
    struct cis_store_commit commit = {.ref = cis_str_of(e->ref.name),
                                      .fs = &fs,
                                      .out = &out->at,
                                      .out_quota = &quota,
                                      .takes_back = e->takes_back,
                                      .budget = &e->bound.budget,
                                      .kind = kind,
                                      .note = note,
                                      .kv = e->kv,
                                      .nkv = e->nkv};
    out->changes = e->dirents.n + b->changes.n + e->nkv;
    if (out->changes == 0 && !e->always) {
        out->at = (struct cis_fs_committed){e->base, e->ref.files, e->ref.bytes};
        return CIS_OK;
    }
    CIS_TRY(touch(e, err));
    cis_code code = cis_store_commit(e->h->store, e->h->tenant, &commit, e->h->stop, err);
    if (code == CIS_E_QUOTA) {
        cis_edit_refused(e, quota, err);
    }
    return code;
}

cis_code cis_edit_commit(struct edit *e, const char *kind, const char *full,
                         struct cis_history_done *out, struct cis_error *err)
{
    char note[CIS_FS_NOTE_MAX + 1];
    size_t n = cis_utf8_floor(full, strlen(full), CIS_FS_NOTE_MAX);
    memcpy(note, full, n);
    note[n] = 0;
    struct building b = {.changes.bound = &e->bound, .deltas.bound = &e->bound};
    struct cis_history_done done = {0};
    cis_code code = CIS_OK;
    drop_extents(e);
    code = cis_edit_check(e, err);
    cis_map_foreach (&e->files, entry) {
        struct edit_file *f = entry->value;
        if (code == CIS_OK) {
            code = is_dir(f->row->mode) ? build_dir(e, &b, f, err) : build_file(e, &b, f, err);
        }
    }
    if (code == CIS_OK && e->always && e->dirents.n + b.changes.n + b.deltas.n + e->nkv == 0) {
        code = mark(e, &b, err);
    }
    if (code == CIS_OK) {
        code = write_all(e, &b, kind, note, &done, err);
    }
    if (code == CIS_OK) {
        *out = done;
    }
    vec_done(&b.changes);
    vec_done(&b.deltas);
    return code;
}
