#include "history/edit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

cis_code cis_edit_open(struct edit *e, const struct cis_history *h, struct cis_str ref,
                       struct cis_error *err)
{
    int64_t now;
    *e = (struct edit){.h = h, .files = CIS_MAP_INIT};
    CIS_TRY(h->store->fs->ref_get(h->store, h->tenant, ref, &e->ref, h->stop, err));
    if (e->ref.holder[0] != 0) {
        return cis_fail(err, CIS_E_CONFLICT,
                        "branch %s is mounted (%s): change it there, or unmount it first",
                        e->ref.name, e->ref.holder);
    }
    CIS_TRY(h->store->fs->clock(h->store, &now, h->stop, err));
    e->now = (struct cis_fs_time){now / 1000, (uint32_t)(now % 1000) * 1000000u};
    e->base = e->ref.head;
    return CIS_OK;
}

void cis_edit_done(struct edit *e)
{
    cis_map_done(&e->files, NULL);
    cis_free(e->dirents.at);
    cis_free(e->extents.at);
    cis_numbers_done(&e->chunks);
    cis_arena_done(&e->arena);
}

struct loading {
    struct edit *e;
    struct edit_file *file;
    cis_code code;
    struct cis_error *err;
};

static cis_code keep_data(struct edit *e, struct cis_fs_inode *row, struct cis_error *err)
{
    struct cis_str data;
    CIS_TRY(cis_arena_str(&e->arena, (struct cis_str){(const char *)row->data.ptr, row->data.len},
                          &data, err));
    row->data = (struct cis_bytes){(const uint8_t *)data.ptr, data.len};
    return CIS_OK;
}

static bool load(void *self, const struct cis_fs_inode *inode)
{
    struct loading *l = self;
    l->file->head = *inode;
    l->code = keep_data(l->e, &l->file->head, l->err);
    l->file->row = l->file->head;
    return false;
}

cis_code cis_edit_file(struct edit *e, uint64_t ino, struct edit_file **out, struct cis_error *err)
{
    struct edit_file *file = cis_ids_get(&e->files, ino);
    if (file == NULL) {
        file = cis_arena_alloc(&e->arena, sizeof *file, err);
        if (file == NULL) {
            return CIS_E_NOMEM;
        }
        *file = (struct edit_file){.row.ino = ino};
        struct loading l = {.e = e, .file = file, .err = err};
        CIS_TRY(e->h->store->fs->inodes(e->h->store, e->h->tenant, e->base, &ino, 1, load, &l,
                                        e->h->stop, err));
        CIS_TRY(l.code);
        CIS_TRY(cis_ids_set(&e->files, ino, file, err));
    }
    *out = file;
    return CIS_OK;
}

#define NUMBERS 1024u

cis_code cis_edit_number(struct edit *e, uint64_t *out, struct cis_error *err)
{
    if (e->left_inos == 0) {
        CIS_TRY(e->h->store->fs->reserve_inodes(e->h->store, e->h->tenant, NUMBERS, &e->next_ino,
                                                e->h->stop, err));
        e->left_inos = NUMBERS;
    }
    e->left_inos--;
    *out = e->next_ino++;
    return CIS_OK;
}

cis_code cis_edit_name(struct edit *e, uint64_t parent, struct cis_str name, uint64_t old_ino,
                       uint32_t old_mode, uint64_t ino, uint32_t mode, struct cis_error *err)
{
    struct edit_file *dir, *child;
    if (old_ino == ino) {
        return CIS_OK;
    }
    CIS_TRY(cis_edit_file(e, parent, &dir, err));
    dir->names = true;
    if (old_ino != 0) {
        CIS_TRY(cis_edit_file(e, old_ino, &child, err));
        child->links--;
        dir->subdirs -= is_dir(old_mode) ? 1 : 0;
    }
    if (ino != 0) {
        CIS_TRY(cis_edit_file(e, ino, &child, err));
        child->links++;
        dir->subdirs += is_dir(mode) ? 1 : 0;
        if (is_dir(mode) && child->row.parent != parent) {
            child->row.parent = parent;
            child->moved = true;
        }
    }
    struct cis_fs_dirent *d = vec_add(&e->dirents);
    if (d == NULL) {
        return cis_history_nomem(err);
    }
    *d = (struct cis_fs_dirent){.parent = parent, .ino = ino, .mode = mode & 0170000};
    return cis_arena_str(&e->arena, name, &d->name, err);
}

cis_code cis_edit_put(struct edit *e, const struct cis_fs_inode *row, struct cis_error *err)
{
    struct edit_file *file;
    CIS_TRY(cis_edit_file(e, row->ino, &file, err));
    uint64_t parent = file->row.parent;
    file->row = *row;
    if (is_dir(row->mode) && parent != 0) {
        file->row.parent = parent;
    }
    file->put = true;
    return keep_data(e, &file->row, err);
}

static cis_code add_extent(struct edit *e, uint64_t ino, uint64_t block, uint64_t chunk,
                           struct cis_error *err)
{
    struct cis_fs_new_extent *x = vec_add(&e->extents);
    if (x == NULL) {
        return cis_history_nomem(err);
    }
    *x = (struct cis_fs_new_extent){.ino = ino, .block = block, .chunk = chunk, .new_chunk = -1};
    return chunk != 0 ? cis_numbers_add(&e->chunks, chunk, err) : CIS_OK;
}

/* What the head has of the inode counts even when it is gone there: its blocks may still be seen.
 */
cis_code cis_edit_content(struct edit *e, uint64_t ino, const struct extents *want,
                          struct cis_error *err)
{
    struct extents have = {0};
    cis_code code = cis_extents_read(e->h, e->base, ino, &have, err);
    size_t i = 0, k = 0;
    while (code == CIS_OK && (i < want->n || k < have.n)) {
        uint64_t w = i < want->n ? want->at[i].block : UINT64_MAX;
        uint64_t b = k < have.n ? have.at[k].block : UINT64_MAX;
        if (b < w) {
            if (have.at[k].chunk != 0) {
                code = add_extent(e, ino, b, 0, err);
            }
            k++;
            continue;
        }
        bool same = b == w && have.at[k].chunk == want->at[i].chunk;
        if (!same && !(b != w && want->at[i].chunk == 0)) {
            code = add_extent(e, ino, w, want->at[i].chunk, err);
        }
        k += b == w ? 1 : 0;
        i++;
    }
    cis_extents_done(&have);
    return code;
}

/* ---- removing whole trees ---- */
#define PAGE 1024u
struct emptying {
    struct edit *e;
    uint64_t dir;
    struct links *todo; /* entries found; directories among them are emptied later */
    uint32_t seen;
    cis_code code;
    struct cis_error *err;
};

static bool take_entry(void *self, const struct cis_fs_dirent *dirent,
                       const struct cis_fs_inode *inode)
{
    struct emptying *m = self;
    (void)inode;
    m->seen++;
    struct link *link = vec_add(m->todo);
    if (link == NULL) {
        m->code = cis_history_nomem(m->err);
        return false;
    }
    *link = (struct link){.parent = m->dir, .ino = {dirent->ino}, .type = {dirent->mode}};
    m->code = cis_arena_str(&m->e->arena, dirent->name, &link->name, m->err);
    return m->code == CIS_OK;
}

static cis_code list_all(struct edit *e, uint64_t dir, struct links *todo, struct cis_error *err)
{
    struct emptying m = {.e = e, .dir = dir, .todo = todo, .err = err};
    struct cis_str after = {NULL, 0};
    do {
        m.seen = 0;
        CIS_TRY(e->h->store->fs->list(e->h->store, e->h->tenant, e->base, dir, after, PAGE, false,
                                      take_entry, &m, e->h->stop, err));
        CIS_TRY(m.code);
        after = todo->n != 0 ? todo->at[todo->n - 1].name : after;
    } while (m.seen == PAGE);
    return CIS_OK;
}

cis_code cis_edit_empty(struct edit *e, uint64_t dir, struct cis_error *err)
{
    struct links todo = {0};
    struct edit_file *file;
    CIS_TRY(cis_edit_file(e, dir, &file, err));
    file->gone = true;
    cis_code code = list_all(e, dir, &todo, err);
    for (size_t i = 0; i < todo.n && code == CIS_OK; i++) {
        struct link l = todo.at[i];
        code = cis_edit_name(e, l.parent, l.name, l.ino[0], l.type[0], 0, 0, err);
        if (code == CIS_OK && is_dir(l.type[0])) {
            code = cis_edit_file(e, l.ino[0], &file, err);
            if (code == CIS_OK) {
                file->gone = true;
                code = list_all(e, l.ino[0], &todo, err);
            }
        }
    }
    cis_free(todo.at);
    return code;
}

/* ---- the commit ---- */
struct building {
    struct {
        struct cis_fs_change *at;
        size_t n, cap;
    } changes;
    struct {
        struct cis_fs_delta *at;
        size_t n, cap;
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

static int64_t counted(const struct cis_fs_inode *row)
{
    return is_file(row->mode) ? (int64_t)row->size : 0;
}

static cis_code build_dir(struct edit *e, struct building *b, struct edit_file *f,
                          struct cis_error *err)
{
    bool is_new = f->head.ino == 0;
    if (f->gone || f->links < 0 || (is_new && f->links <= 0)) {
        b->files -= is_new ? 0 : 1;
        return is_new ? CIS_OK : add_change(b, CIS_FS_GONE, false, &f->head, err);
    }
    if (is_new) {
        f->row.nlink = (uint32_t)(2 + f->subdirs);
        b->files++;
        return add_change(b, CIS_FS_PUT, true, &f->row, err);
    }
    if (f->attrs || (f->exact && f->names)) {
        CIS_TRY(add_change(b, CIS_FS_DIRATTR, false, &f->row, err));
    }
    if (f->moved && f->row.parent != f->head.parent) {
        CIS_TRY(add_change(b, CIS_FS_MOVED, false, &f->row, err));
    }
    if (f->names) {
        struct cis_fs_delta *d = vec_add(&b->deltas);
        if (d == NULL) {
            return cis_history_nomem(err);
        }
        *d = (struct cis_fs_delta){f->head.ino, f->subdirs, e->now, e->now};
    }
    return CIS_OK;
}

static cis_code build_file(struct edit *e, struct building *b, struct edit_file *f,
                           struct cis_error *err)
{
    bool is_new = f->head.ino == 0;
    int64_t nlink = (is_new ? 0 : (int64_t)f->head.nlink) + f->links;
    if (!f->put && f->links == 0) {
        return CIS_OK;
    }
    if (is_new && (!f->put || nlink <= 0)) {
        return nlink <= 0 ? CIS_OK
                          : cis_fail(err, CIS_E_DAMAGED, "inode %" PRIu64 " is named and not there",
                                     f->row.ino);
    }
    b->bytes -= is_new ? 0 : counted(&f->head);
    if (nlink <= 0) {
        b->files--;
        return add_change(b, CIS_FS_GONE, false, &f->head, err);
    }
    f->row.nlink = (uint32_t)nlink;
    if (!f->put) {
        f->row.ctime = e->now;
    }
    b->files += is_new ? 1 : 0;
    b->bytes += counted(&f->row);
    return add_change(b, CIS_FS_PUT, is_new, &f->row, err);
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
        int64_t nlink = f == NULL ? 0 : (int64_t)f->head.nlink + f->links;
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
        CIS_TRY(e->h->store->fs->chunk_touch(e->h->store, e->h->tenant, e->chunks.at + i, n, lost,
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
    struct cis_store_commit commit = {.ref = cis_str_of(e->ref.name),
                                      .fs = &fs,
                                      .out = &out->at,
                                      .kind = kind,
                                      .note = note,
                                      .kv = e->kv,
                                      .nkv = e->nkv};
    out->changes = e->dirents.n + b->changes.n + e->nkv;
    if (out->changes == 0) {
        out->at = (struct cis_fs_committed){e->base, e->ref.files, e->ref.bytes};
        return CIS_OK;
    }
    CIS_TRY(touch(e, err));
    return e->h->store->ops->commit(e->h->store, e->h->tenant, &commit, e->h->stop, err);
}

cis_code cis_edit_commit(struct edit *e, const char *kind, const char *note,
                         struct cis_history_done *out, struct cis_error *err)
{
    struct building b = {0};
    struct cis_history_done done = {0};
    cis_code code = CIS_OK;
    drop_extents(e);
    cis_map_foreach (&e->files, entry) {
        struct edit_file *f = entry->value;
        if (code == CIS_OK) {
            code = is_dir(f->row.mode) ? build_dir(e, &b, f, err) : build_file(e, &b, f, err);
        }
    }
    if (code == CIS_OK) {
        code = write_all(e, &b, kind, note, &done, err);
    }
    if (code == CIS_OK) {
        *out = done;
    }
    cis_free(b.changes.at);
    cis_free(b.deltas.at);
    return code;
}
