#include "history/sync.h"
#include "store/calls.h"

#include <inttypes.h>
#include <stdlib.h>

void cis_sync_done(struct sync *s)
{
    cis_history_pin_drop(s->from, &s->from_pin);
    if (s->edit.h != NULL) {
        cis_history_pin_drop(s->edit.h, &s->to_pin);
    }
    cis_edit_done(&s->edit);
    cis_map_done(&s->inos, NULL);
    cis_map_done(&s->taken, NULL);
    vec_done(&s->dirs);
    cis_chunk_map_free(s->chunks);
}

/* ---- one directory of one side, whole ---- */
#define PAGE 2048u
struct entries {
    struct links links; /* in byte order of the name */
    struct rows rows;
    struct arena arena;
};

static void entries_bind(struct entries *v, struct cis_bound *bound)
{
    v->links.bound = bound;
    v->arena.bound = bound;
    cis_rows_bind(&v->rows, bound);
}

static void entries_done(struct entries *v)
{
    vec_done(&v->links);
    cis_rows_done(&v->rows);
    cis_arena_done(&v->arena);
}

struct listing {
    struct entries *out;
    uint32_t seen;
    cis_code code;
    struct cis_error *err;
};

static bool take_entry(void *self, const struct cis_fs_dirent *dirent,
                       const struct cis_fs_inode *inode)
{
    struct listing *l = self;
    (void)inode;
    struct link *link = vec_add(&l->out->links);
    if (link == NULL) {
        l->code = cis_history_nomem(l->err);
        return false;
    }
    l->seen++;
    *link = (struct link){.parent = dirent->parent, .ino = {dirent->ino}, .type = {dirent->mode}};
    l->code = cis_arena_str(&l->out->arena, dirent->name, &link->name, l->err);
    return l->code == CIS_OK;
}

static int ino_cmp(const void *a, const void *b)
{
    const struct cis_fs_inode *x = a, *y = b;
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static cis_code read_dir(const struct cis_history *h, struct cis_view view, uint64_t dir,
                         struct entries *out, struct cis_error *err)
{
    struct listing l = {.out = out, .err = err};
    struct cis_str after = {NULL, 0};
    struct numbers inos = {.bound = out->links.bound};
    do {
        l.seen = 0;
        CIS_TRY(cis_store_list(
            h->store, h->tenant,
            &(struct cis_fs_list_query){.at = view, .dir = dir, .after = after, .max = PAGE},
            take_entry, &l, h->stop, err));
        CIS_TRY(l.code);
        after = out->links.n != 0 ? out->links.at[out->links.n - 1].name : after;
    } while (l.seen == PAGE);
    cis_code code = CIS_OK;
    for (size_t i = 0; i < out->links.n && code == CIS_OK; i++) {
        code = cis_numbers_add(&inos, out->links.at[i].ino[0], err);
    }
    if (code == CIS_OK) {
        cis_numbers_sort(&inos);
        code = cis_rows_read(h, view, &inos, &out->rows, err);
    }
    if (out->rows.n > 1) {
        qsort(out->rows.at, out->rows.n, sizeof *out->rows.at, ino_cmp);
    }
    cis_numbers_done(&inos);
    return code;
}

/* ---- one entry ---- */
static cis_code tell(struct sync *s, const struct cis_fs_inode *src, struct cis_str name)
{
    if (s->counts != NULL) {
        s->counts->files++;
        s->counts->bytes += is_file(src->mode) ? src->size : 0;
        if (s->progress != NULL && !s->progress(s->self, s->counts, name)) {
            return cis_fail(s->err, CIS_E_CANCELLED, "cancelled");
        }
    }
    return CIS_OK;
}

/* Each directory of the source once: one that is met again has two names or is within itself. No
 * commit makes such a tree, but rows of a damaged store or of a backup may be one, and going
 * through it would not end. */
static cis_code push(struct sync *s, uint64_t from, uint64_t to, bool is_new, struct cis_str name)
{
    if (cis_ids_get(&s->inos, from) != NULL) {
        return cis_fail(s->err, CIS_E_DAMAGED,
                        "%.*s (inode %" PRIu64 "): the directory has two names or is inside "
                        "itself; nothing was changed (run cis fs fsck)",
                        (int)(name.len < 120 ? name.len : 120), name.ptr, from);
    }
    CIS_TRY(cis_ids_set(&s->inos, from, (void *)(uintptr_t)to, &s->edit.bound, s->err));
    s->dirs.bound = &s->edit.bound;
    struct link *todo = vec_add(&s->dirs);
    if (todo == NULL) {
        return cis_history_nomem(s->err);
    }
    *todo = (struct link){.parent = from, .ino = {to, is_new ? 1 : 0}};
    return CIS_OK;
}

/* The number that the source's file gets at the target: its own when it is the same tenant and
 * nothing there has it, so that what was removed comes back as what it was. */
static cis_code number(struct sync *s, const struct cis_fs_inode *src, uint64_t *out)
{
    if (s->chunks == NULL) {
        struct edit_file *file;
        CIS_TRY(cis_edit_file(&s->edit, src->ino, &file, s->err));
        if (file->head->ino == 0 && !file->put) {
            *out = src->ino;
            return CIS_OK;
        }
    }
    return cis_edit_number(&s->edit, out, s->err);
}

static bool attributes_same(const struct cis_fs_inode *a, const struct cis_fs_inode *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->rdev == b->rdev &&
           cis_fs_time_cmp(a->mtime, b->mtime) == 0;
}

static bool data_same(const struct cis_fs_inode *a, const struct cis_fs_inode *b)
{
    return a->size == b->size && a->is_inline == b->is_inline && a->data.len == b->data.len &&
           (a->data.len == 0 || memcmp(a->data.ptr, b->data.ptr, a->data.len) == 0);
}

/* The content of src as the target's chunks: into dst_ino unless dst is the same already. */
static cis_code put_file(struct sync *s, const struct cis_fs_inode *src, uint64_t ino,
                         const struct cis_fs_inode *dst)
{
    struct extents want = {.bound = &s->edit.bound}, have = {.bound = &s->edit.bound};
    struct cis_fs_inode row = *src;
    row.ino = ino;
    row.parent = 0;
    row.ctime = s->edit.now;
    cis_code code = CIS_OK;
    if (is_file(src->mode) && !src->is_inline) {
        code = cis_extents_read(s->from, s->view, src->ino, &want, s->err);
        if (code == CIS_OK && s->chunks != NULL) {
            code = cis_chunk_map_extents(s->chunks, &want, s->err);
        }
    }
    bool same = dst != NULL && attributes_same(src, dst) && data_same(src, dst);
    if (code == CIS_OK && same && is_file(src->mode)) {
        code = cis_extents_read(s->edit.h, s->edit.base, ino, &have, s->err);
        same = cis_extents_same(&want, &have);
    }
    if (code == CIS_OK && !same) {
        code = cis_edit_put(&s->edit, &row, s->err);
        if (code == CIS_OK && is_file(src->mode)) {
            code = cis_edit_content(&s->edit, ino, &want, s->err);
        }
    }
    cis_extents_done(&want);
    cis_extents_done(&have);
    return code;
}

/* A target's file is written over when it is the very same file; in another tenant, whose whole
 * tree is gone through, when nothing else was written over it. */
static bool may_reuse(const struct sync *s, const struct cis_fs_inode *src,
                      const struct cis_fs_inode *dst)
{
    if (dst == NULL || (src->mode & 0170000) != (dst->mode & 0170000)) {
        return false;
    }
    return s->chunks == NULL ? src->ino == dst->ino
                             : is_file(src->mode) && cis_ids_get(&s->taken, dst->ino) == NULL;
}

/* Another file that looks the same in every respect may stay (same tenant only). */
static cis_code may_stay(struct sync *s, const struct cis_fs_inode *src,
                         const struct cis_fs_inode *dst, bool *out)
{
    struct extents a = {.bound = &s->edit.bound}, b = a;
    *out = s->chunks == NULL && dst != NULL && attributes_same(src, dst) && data_same(src, dst) &&
           src->nlink == dst->nlink;
    if (!*out || !is_file(src->mode)) {
        return CIS_OK;
    }
    cis_code code = cis_extents_read(s->from, s->view, src->ino, &a, s->err);
    if (code == CIS_OK) {
        code = cis_extents_read(s->edit.h, s->edit.base, dst->ino, &b, s->err);
    }
    *out = cis_extents_same(&a, &b);
    cis_extents_done(&a);
    cis_extents_done(&b);
    return code;
}

static struct edit_end end_of(const struct cis_fs_inode *row)
{
    return row != NULL ? (struct edit_end){row->ino, row->mode} : (struct edit_end){0, 0};
}

static cis_code sync_file(struct sync *s, uint64_t parent, struct cis_str name,
                          const struct cis_fs_inode *src, const struct cis_fs_inode *dst)
{
    uint64_t ino = (uint64_t)(uintptr_t)cis_ids_get(&s->inos, src->ino);
    bool first = ino == 0, stays = false;
    if (first) {
        CIS_TRY(may_stay(s, src, dst, &stays));
    }
    if (stays) {
        ino = dst->ino;
    } else if (first && may_reuse(s, src, dst)) {
        static char mark;
        ino = dst->ino;
        CIS_TRY(cis_ids_set(&s->taken, ino, &mark, &s->edit.bound, s->err));
    } else if (first) {
        CIS_TRY(number(s, src, &ino));
    }
    if (first && !stays) {
        CIS_TRY(put_file(s, src, ino, dst != NULL && ino == dst->ino ? dst : NULL));
    }
    if (first) {
        CIS_TRY(cis_ids_set(&s->inos, src->ino, (void *)(uintptr_t)ino, &s->edit.bound, s->err));
    }
    if (dst != NULL && is_dir(dst->mode)) {
        CIS_TRY(cis_edit_empty(&s->edit, dst->ino, s->err));
    }
    return cis_edit_name(&s->edit, parent, name, end_of(dst), (struct edit_end){ino, src->mode},
                         s->err);
}

static cis_code make_dir(struct sync *s, uint64_t parent, struct cis_str name,
                         const struct cis_fs_inode *src, const struct cis_fs_inode *dst,
                         uint64_t *out)
{
    struct cis_fs_inode row = *src;
    CIS_TRY(number(s, src, &row.ino));
    row.parent = parent;
    row.ctime = s->edit.now;
    CIS_TRY(cis_edit_put(&s->edit, &row, s->err));
    *out = row.ino;
    return cis_edit_name(&s->edit, parent, name, end_of(dst), end_of(&row), s->err);
}

static cis_code set_dir(struct sync *s, const struct cis_fs_inode *src,
                        const struct cis_fs_inode *dst)
{
    struct edit_file *dir;
    struct cis_fs_inode *row;
    CIS_TRY(cis_edit_file(&s->edit, dst->ino, &dir, s->err));
    dir->exact = true;
    if (attributes_same(src, dst)) {
        return CIS_OK;
    }
    dir->attrs = true;
    CIS_TRY(cis_edit_row(&s->edit, dir, &row, s->err));
    row->mode = src->mode;
    row->uid = src->uid;
    row->gid = src->gid;
    row->mtime = src->mtime;
    row->ctime = s->edit.now;
    return CIS_OK;
}

static cis_code sync_entry(struct sync *s, uint64_t parent, struct cis_str name,
                           const struct cis_fs_inode *src, const struct cis_fs_inode *dst)
{
    CIS_TRY(tell(s, src, name));
    if (!is_dir(src->mode)) {
        return sync_file(s, parent, name, src, dst);
    }
    if (dst != NULL && is_dir(dst->mode)) {
        CIS_TRY(set_dir(s, src, dst));
        return push(s, src->ino, dst->ino, false, name);
    }
    uint64_t made;
    CIS_TRY(make_dir(s, parent, name, src, dst, &made));
    return push(s, src->ino, made, true, name);
}

static cis_code remove_entry(struct sync *s, uint64_t parent, const struct link *l)
{
    if (is_dir(l->type[0])) {
        CIS_TRY(cis_edit_empty(&s->edit, l->ino[0], s->err));
    }
    return cis_edit_name(&s->edit, parent, l->name, (struct edit_end){l->ino[0], l->type[0]},
                         end_of(NULL), s->err);
}

static cis_code missing(struct sync *s, const struct link *l)
{
    return cis_fail(s->err, CIS_E_DAMAGED, "%.*s: its inode %llu does not exist", (int)l->name.len,
                    l->name.ptr, (unsigned long long)l->ino[0]);
}

static cis_code sync_dir(struct sync *s, const struct link *todo)
{
    CIS_CLEANUP(entries_done) struct entries src = {0};
    CIS_CLEANUP(entries_done) struct entries dst = {0};
    uint64_t to = todo->ino[0];
    entries_bind(&src, &s->edit.bound);
    entries_bind(&dst, &s->edit.bound);
    CIS_TRY(read_dir(s->from, s->view, todo->parent, &src, s->err));
    if (todo->ino[1] == 0) {
        CIS_TRY(read_dir(s->edit.h, s->edit.base, to, &dst, s->err));
    }
    size_t i = 0, k = 0;
    while (i < src.links.n || k < dst.links.n) {
        const struct link *a = i < src.links.n ? &src.links.at[i] : NULL;
        const struct link *b = k < dst.links.n ? &dst.links.at[k] : NULL;
        int order = a == NULL ? 1 : b == NULL ? -1 : cis_str_cmp(a->name, b->name);
        if (order > 0) {
            CIS_TRY(remove_entry(s, to, b));
            k++;
            continue;
        }
        const struct cis_fs_inode *from = cis_rows_find(&src.rows, a->ino[0]);
        const struct cis_fs_inode *was = order == 0 ? cis_rows_find(&dst.rows, b->ino[0]) : NULL;
        if (from == NULL || (order == 0 && was == NULL)) {
            return missing(s, from == NULL ? a : b);
        }
        CIS_TRY(sync_entry(s, to, a->name, from, was));
        i++;
        k += order == 0 ? 1 : 0;
    }
    return CIS_OK;
}

static cis_code keep_pins(struct sync *s)
{
    if (s->from_pin.id != 0) {
        CIS_TRY(cis_history_pin_keep(s->from, &s->from_pin, s->err));
    }
    return s->to_pin.id != 0 ? cis_history_pin_keep(s->edit.h, &s->to_pin, s->err) : CIS_OK;
}

static cis_code sync_all(struct sync *s)
{
    while (s->dirs.n != 0) {
        struct link todo = s->dirs.at[--s->dirs.n];
        CIS_TRY(keep_pins(s));
        CIS_TRY(sync_dir(s, &todo));
    }
    return CIS_OK;
}

cis_code cis_sync_dirs(struct sync *s, uint64_t from, uint64_t to)
{
    struct rows src = {0}, dst = {0};
    struct numbers a = {.at = &from, .n = 1}, b = {.at = &to, .n = 1};
    cis_code code = cis_rows_read(s->from, s->view, &a, &src, s->err);
    if (code == CIS_OK) {
        code = cis_rows_read(s->edit.h, s->edit.base, &b, &dst, s->err);
    }
    if (code == CIS_OK && (src.n == 0 || dst.n == 0)) {
        code = cis_fail(s->err, CIS_E_DAMAGED, "the root does not exist");
    }
    if (code == CIS_OK) {
        code = set_dir(s, &src.at[0], &dst.at[0]);
    }
    cis_rows_done(&src);
    cis_rows_done(&dst);
    CIS_TRY(code);
    CIS_TRY(push(s, from, to, false, CIS_STR("/")));
    return sync_all(s);
}

/* ---- a path on both sides ---- */

static cis_code step(const struct cis_history *h, struct cis_view view, uint64_t dir,
                     struct cis_str name, struct rows *out, struct cis_error *err)
{
    struct links one = {.at = &(struct link){.parent = dir, .name = name}, .n = 1};
    CIS_TRY(cis_links_read(h, view, &one, 0, err));
    struct numbers ino = {.at = &one.at[0].ino[0], .n = one.at[0].ino[0] != 0 ? 1 : 0};
    return cis_rows_read(h, view, &ino, out, err);
}

static cis_code sync_last(struct sync *s, uint64_t src_dir, uint64_t dst_dir, bool dst_new,
                          struct cis_str name, bool last, uint64_t *out_src, uint64_t *out_dst,
                          bool *out_new)
{
    struct rows src = {0}, dst = {0};
    cis_code code = step(s->from, s->view, src_dir, name, &src, s->err);
    if (code == CIS_OK && !dst_new) {
        code = step(s->edit.h, s->edit.base, dst_dir, name, &dst, s->err);
    }
    const struct cis_fs_inode *a = src.n != 0 ? &src.at[0] : NULL;
    const struct cis_fs_inode *b = dst.n != 0 ? &dst.at[0] : NULL;
    if (code == CIS_OK && (a == NULL || (!last && !is_dir(a->mode)))) {
        code = cis_fail(s->err, CIS_E_NOTFOUND, "%.*s does not exist", (int)name.len, name.ptr);
    } else if (code == CIS_OK && last) {
        code = sync_entry(s, dst_dir, name, a, b);
    } else if (code == CIS_OK) {
        *out_src = a->ino;
        *out_new = b == NULL || !is_dir(b->mode);
        *out_dst = *out_new ? 0 : b->ino;
        if (*out_new) {
            code = make_dir(s, dst_dir, name, a, b, out_dst);
        }
    }
    cis_rows_done(&src);
    cis_rows_done(&dst);
    return code;
}

/* `path` of the target's head becomes what it is at the source. */
static cis_code sync_path(struct sync *s, struct cis_str path)
{
    uint64_t src = CIS_FS_ROOT, dst = CIS_FS_ROOT;
    bool is_new = false;
    struct cis_str name;
    while (path.len != 0 && path.ptr[path.len - 1] == '/') {
        path.len--;
    }
    for (bool more = true; more && path.len != 0;) {
        more = cis_str_split(&path, '/', &name);
        if (name.len == 0 || cis_str_is(name, ".")) {
            continue;
        }
        if (!cis_fs_name_valid(name)) {
            return cis_fail(s->err, CIS_E_USAGE, "%.*s: not a valid name", (int)name.len, name.ptr);
        }
        CIS_TRY(sync_last(s, src, dst, is_new, name, !more, &src, &dst, &is_new));
        if (!more) {
            return sync_all(s);
        }
    }
    return cis_sync_dirs(s, CIS_FS_ROOT, CIS_FS_ROOT);
}

static cis_code restore(struct sync *s, struct cis_str path, const struct cis_history_commit *how,
                        struct cis_history_done *out, struct cis_error *err)
{
    cis_code code = sync_path(s, path);
    if (code == CIS_E_NOTFOUND) {
        return cis_error_prefix(err, code, "%.*s", (int)(path.len < 120 ? path.len : 120),
                                path.ptr);
    }
    CIS_TRY(code);
    if (how->dry_run) {
        out->at = (struct cis_fs_committed){s->edit.base, s->edit.ref.files, s->edit.ref.bytes};
        out->changes = s->edit.dirents.n + s->edit.files.live;
        return CIS_OK;
    }
    return cis_edit_commit(&s->edit, "restore", how->note != NULL ? how->note : "restore", out,
                           err);
}

cis_code cis_history_restore(const struct cis_history *h, struct cis_view from, struct cis_str path,
                             const struct cis_history_commit *how, struct cis_history_done *out,
                             struct cis_error *err)
{
    CIS_CLEANUP(cis_sync_done)
    struct sync s = {
        .from = h, .view = from, .inos = CIS_MAP_INIT, .taken = CIS_MAP_INIT, .err = err};
    CIS_TRY(cis_history_pin(h, from, &s.from_pin, err));
    CIS_TRY(cis_edit_open(&s.edit, h, how->ref, err));
    return cis_bound_told(&s.edit.bound, restore(&s, path, how, out, err), "restore", err);
}
