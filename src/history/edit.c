#include "history/edit.h"

#include <inttypes.h>
#include "store/holder.h"
#include "store/calls.h"

cis_code cis_edit_open(struct edit *e, const struct cis_history *h, struct cis_str ref,
                       struct cis_error *err)
{
    int64_t now;
    *e = (struct edit){.h = h, .files = CIS_MAP_INIT};
    cis_bound_init(&e->bound, h);
    e->dirents.bound = &e->bound;
    e->extents.bound = &e->bound;
    e->chunks.bound = &e->bound;
    e->arena.bound = &e->bound;
    CIS_TRY(cis_store_ref_held(h->store, h->tenant, ref, &e->ref, h->stop, err));
    if (e->ref.holder[0] != 0) {
        return cis_fail(err, CIS_E_CONFLICT,
                        "branch %s is mounted (%s): change it there, or unmount it first",
                        e->ref.name, e->ref.holder);
    }
    CIS_TRY(cis_store_clock(h->store, &now, NULL, h->stop, err));
    e->now = (struct cis_fs_time){now / 1000, (uint32_t)(now % 1000) * 1000000u};
    e->base = e->ref.head;
    return CIS_OK;
}

void cis_edit_done(struct edit *e)
{
    cis_map_done(&e->files, NULL);
    vec_done(&e->dirents);
    vec_done(&e->extents);
    cis_numbers_done(&e->chunks);
    cis_arena_done(&e->arena);
}

struct loading {
    struct edit *e;
    struct cis_fs_inode *row;
    cis_code code;
    struct cis_error *err;
};

static cis_code keep_data(struct edit *e, struct cis_fs_inode *row, struct cis_error *err)
{
    struct cis_str data;
    if (row->data.len == 0) {
        row->data = (struct cis_bytes){NULL, 0};
        return CIS_OK;
    }
    CIS_TRY(cis_arena_str(&e->arena, (struct cis_str){(const char *)row->data.ptr, row->data.len},
                          &data, err));
    row->data = (struct cis_bytes){(const uint8_t *)data.ptr, data.len};
    return CIS_OK;
}

static bool load(void *self, const struct cis_fs_inode *inode)
{
    struct loading *l = self;
    *l->row = *inode;
    l->code = keep_data(l->e, l->row, l->err);
    return false;
}

static cis_code new_row(struct edit *e, const struct cis_fs_inode *from, struct cis_fs_inode **out,
                        struct cis_error *err)
{
    struct cis_fs_inode *row = cis_arena_alloc(&e->arena, sizeof *row, err);
    if (row == NULL) {
        return CIS_E_NOMEM;
    }
    *row = *from;
    *out = row;
    return CIS_OK;
}

static cis_code read_head(struct edit *e, struct edit_file *file, uint64_t ino,
                          struct cis_error *err)
{
    struct cis_fs_inode row = {0};
    struct cis_fs_inode *head;
    struct loading l = {.e = e, .row = &row, .err = err};
    if (e->asked != NULL && cis_numbers_has(e->asked, ino)) {
        file->head = cis_rows_find(e->known, ino);
        return CIS_OK;
    }
    CIS_TRY(cis_store_inodes(e->h->store, e->h->tenant,
                             &(struct cis_fs_inode_query){.at = e->base, .inos = &ino, .n = 1},
                             load, &l, e->h->stop, err));
    CIS_TRY(l.code);
    if (row.ino != 0) {
        CIS_TRY(new_row(e, &row, &head, err));
        file->head = head;
    }
    return CIS_OK;
}

cis_code cis_edit_row(struct edit *e, struct edit_file *file, struct cis_fs_inode **out,
                      struct cis_error *err)
{
    if (file->own == NULL) {
        CIS_TRY(new_row(e, file->row, &file->own, err));
        file->row = file->own;
    }
    *out = file->own;
    return CIS_OK;
}

cis_code cis_edit_file(struct edit *e, uint64_t ino, struct edit_file **out, struct cis_error *err)
{
    static const struct cis_fs_inode nothing;
    struct edit_file *file = cis_ids_get(&e->files, ino);
    struct cis_fs_inode *row;
    if (file == NULL) {
        file = cis_arena_alloc(&e->arena, sizeof *file, err);
        if (file == NULL) {
            return CIS_E_NOMEM;
        }
        *file = (struct edit_file){0};
        CIS_TRY(read_head(e, file, ino, err));
        if (file->head == NULL) {
            file->row = file->head = &nothing;
            CIS_TRY(cis_edit_row(e, file, &row, err));
            row->ino = ino;
        }
        file->row = file->own != NULL ? file->own : file->head;
        CIS_TRY(cis_ids_set(&e->files, ino, file, &e->bound, err));
    }
    *out = file;
    return CIS_OK;
}

#define NUMBERS 1024u

cis_code cis_edit_number(struct edit *e, uint64_t *out, struct cis_error *err)
{
    if (e->left_inos == 0) {
        CIS_TRY(cis_store_reserve_inodes(e->h->store, e->h->tenant, NUMBERS, &e->next_ino,
                                         e->h->stop, err));
        e->left_inos = NUMBERS;
    }
    e->left_inos--;
    *out = e->next_ino++;
    return CIS_OK;
}

cis_code cis_edit_name(struct edit *e, uint64_t parent, struct cis_str name, struct edit_end was,
                       struct edit_end now, struct cis_error *err)
{
    struct edit_file *dir, *child;
    struct cis_fs_inode *moved;
    if (was.ino == now.ino) {
        return CIS_OK;
    }
    CIS_TRY(cis_edit_file(e, parent, &dir, err));
    dir->names = true;
    dir->entries += (now.ino != 0) - (was.ino != 0);
    if (was.ino != 0) {
        CIS_TRY(cis_edit_file(e, was.ino, &child, err));
        child->links--;
        dir->subdirs -= is_dir(was.mode) ? 1 : 0;
    }
    if (now.ino != 0) {
        CIS_TRY(cis_edit_file(e, now.ino, &child, err));
        child->links++;
        dir->subdirs += is_dir(now.mode) ? 1 : 0;
        if (is_dir(now.mode) && child->row->parent != parent) {
            CIS_TRY(cis_edit_row(e, child, &moved, err));
            moved->parent = parent;
            child->moved = true;
        }
    }
    struct cis_fs_dirent *d = vec_add(&e->dirents);
    if (d == NULL) {
        return cis_history_nomem(err);
    }
    *d = (struct cis_fs_dirent){.parent = parent, .ino = now.ino, .mode = now.mode & 0170000};
    return cis_arena_str(&e->arena, name, &d->name, err);
}

cis_code cis_edit_put(struct edit *e, const struct cis_fs_inode *row, struct cis_error *err)
{
    struct edit_file *file;
    struct cis_fs_inode *own;
    CIS_TRY(cis_edit_file(e, row->ino, &file, err));
    CIS_TRY(cis_edit_row(e, file, &own, err));
    uint64_t parent = own->parent;
    *own = *row;
    if (is_dir(row->mode) && parent != 0) {
        own->parent = parent;
    }
    file->put = true;
    return keep_data(e, own, err);
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

/* Blocks of a file that is gone at the head are still found behind its tombstone, until gc takes
 * them: one that comes back hides those it has no use for and names all others anew. */
cis_code cis_edit_content(struct edit *e, uint64_t ino, const struct extents *want,
                          struct cis_error *err)
{
    struct extents have = {.bound = &e->bound};
    struct edit_file *file;
    CIS_TRY(cis_edit_file(e, ino, &file, err));
    bool anew = file->head->ino == 0;
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
        bool same = !anew && b == w && have.at[k].chunk == want->at[i].chunk;
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
        CIS_TRY(cis_store_list(
            e->h->store, e->h->tenant,
            &(struct cis_fs_list_query){.at = e->base, .dir = dir, .after = after, .max = PAGE},
            take_entry, &m, e->h->stop, err));
        CIS_TRY(m.code);
        after = todo->n != 0 ? todo->at[todo->n - 1].name : after;
    } while (m.seen == PAGE);
    return CIS_OK;
}

cis_code cis_edit_entries(struct edit *e, struct edit_file *dir, uint64_t *out,
                          struct cis_error *err)
{
    if (dir->counted == 0) {
        struct links found = {.bound = &e->bound};
        cis_code code = list_all(e, dir->row->ino, &found, err);
        dir->counted = (int64_t)found.n + 1;
        vec_done(&found);
        if (code != CIS_OK) {
            dir->counted = 0;
            return code;
        }
    }
    *out = (uint64_t)(dir->counted - 1);
    return CIS_OK;
}

/* The directory goes, and its names are to be removed next. One that goes already has two names or
 * is within itself, as a damaged store may say: listing it again and again would not end. */
static cis_code empty_one(struct edit *e, uint64_t dir, struct links *todo, struct cis_error *err)
{
    struct edit_file *file;
    size_t before = todo->n;
    CIS_TRY(cis_edit_file(e, dir, &file, err));
    if (file->gone) {
        return cis_fail(err, CIS_E_DAMAGED,
                        "inode %" PRIu64 ": the directory has two names or is inside itself; "
                        "nothing was changed (run cis fs fsck)",
                        dir);
    }
    CIS_TRY(list_all(e, dir, todo, err));
    file->gone = true;
    file->counted = (int64_t)(todo->n - before) + 1;
    return CIS_OK;
}

cis_code cis_edit_empty(struct edit *e, uint64_t dir, struct cis_error *err)
{
    struct links todo = {.bound = &e->bound};
    cis_code code = empty_one(e, dir, &todo, err);
    for (size_t i = 0; i < todo.n && code == CIS_OK; i++) {
        struct link l = todo.at[i];
        code = cis_edit_name(e, l.parent, l.name, (struct edit_end){l.ino[0], l.type[0]},
                             (struct edit_end){0, 0}, err);
        if (code == CIS_OK && is_dir(l.type[0])) {
            code = empty_one(e, l.ino[0], &todo, err);
        }
    }
    vec_done(&todo);
    return code;
}
