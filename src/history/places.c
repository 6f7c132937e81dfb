/* Where files and directories are at a view. A directory's row says its parent, and its name is
 * found by listing that once; a file's names are known from the changes, or found by one pass over
 * all names of the view's lineage. */
#include "history/internal.h"
#include "store/calls.h"

#include <stdlib.h>

#define PAGE 4096u

void cis_places_init(struct places *p, const struct cis_history *h, struct cis_view view)
{
    *p = (struct places){.h = h,
                         .view = view,
                         .dirs = CIS_MAP_INIT,
                         .listed = CIS_MAP_INIT,
                         .near_path = CIS_BUF_INIT(2 * CIS_HISTORY_PATH_MAX)};
}

void cis_places_done(struct places *p)
{
    cis_map_done(&p->dirs, NULL);
    cis_map_done(&p->listed, NULL);
    cis_buf_done(&p->near_path);
    cis_arena_done(&p->arena);
}

struct listing {
    struct places *p;
    uint64_t dir;
    uint32_t seen;
    char last[CIS_FS_NAME_MAX + 1];
    size_t last_len;
    cis_code code;
    struct cis_error *err;
};

static bool note_dir(void *self, const struct cis_fs_dirent *dirent,
                     const struct cis_fs_inode *inode)
{
    struct listing *l = self;
    (void)inode;
    l->seen++;
    if (dirent->name.len > CIS_FS_NAME_MAX) {
        l->code = cis_fail(l->err, CIS_E_DAMAGED, "directory %llu: a name is too long",
                           (unsigned long long)l->dir);
        return false;
    }
    memcpy(l->last, dirent->name.ptr, dirent->name.len);
    l->last_len = dirent->name.len;
    if (!is_dir(dirent->mode)) {
        return true;
    }
    struct link *link = cis_arena_alloc(&l->p->arena, sizeof *link, l->err);
    if (link == NULL) {
        l->code = CIS_E_NOMEM;
        return false;
    }
    *link = (struct link){.parent = l->dir};
    l->code = cis_arena_str(&l->p->arena, dirent->name, &link->name, l->err);
    if (l->code == CIS_OK) {
        l->code = cis_ids_set(&l->p->dirs, dirent->ino, link, l->p->arena.bound, l->err);
    }
    return l->code == CIS_OK;
}

static cis_code list_dir(struct places *p, uint64_t dir, struct cis_error *err)
{
    static char mark;
    const struct cis_history *h = p->h;
    struct listing l = {.p = p, .dir = dir, .err = err};
    if (cis_ids_get(&p->listed, dir) != NULL) {
        return CIS_OK;
    }
    do {
        l.seen = 0;
        CIS_TRY(cis_store_list(
            h->store, h->tenant,
            &(struct cis_fs_list_query){.at = p->view,
                                        .dir = dir,
                                        .after = (struct cis_str){l.last, l.last_len},
                                        .max = PAGE},
            note_dir, &l, h->stop, err));
        CIS_TRY(l.code);
    } while (l.seen == PAGE);
    return cis_ids_set(&p->listed, dir, &mark, p->arena.bound, err);
}

static cis_code find_dir(struct places *p, uint64_t dir, const struct link **out,
                         struct cis_error *err)
{
    *out = cis_ids_get(&p->dirs, dir);
    if (*out != NULL) {
        return CIS_OK;
    }
    struct cis_fs_inode row;
    CIS_TRY(cis_history_row_read(p->h, p->view, dir, &row, err));
    if (row.ino == dir && is_dir(row.mode) && row.parent != 0) {
        CIS_TRY(list_dir(p, row.parent, err));
        *out = cis_ids_get(&p->dirs, dir);
    }
    return *out != NULL ? CIS_OK
                        : cis_fail(err, CIS_E_DAMAGED, "directory %llu has no name",
                                   (unsigned long long)dir);
}

/* The end of a path, from where a name begins, at most `max` bytes. */
static struct cis_str tail(struct cis_str path, size_t max)
{
    size_t from = path.len > max ? path.len - max : 0;
    while (from != 0 && from < path.len && path.ptr[from - 1] != '/') {
        from++;
    }
    return (struct cis_str){path.ptr + from, path.len - from};
}

/* Names from a directory upwards, as many as are told. */
struct climb {
    struct {
        struct cis_str *at;
        size_t n, cap;
        struct cis_bound *bound;
    } parts;
    size_t left;  /* bytes that may still be told */
    uint64_t top; /* where it ended */
    bool cut;
};

/* A directory below itself is met again: at the latest when as many steps were made as it is
 * round. */
static cis_code climb(struct places *p, uint64_t dir, struct climb *c, struct cis_error *err)
{
    uint64_t mark = dir, steps = 0, turn = 1;
    for (c->top = dir; c->top != CIS_FS_ROOT && c->top != p->near;) {
        const struct link *link = NULL;
        CIS_TRY(find_dir(p, c->top, &link, err));
        c->cut = link->name.len >= c->left;
        if (c->cut) {
            break;
        }
        struct cis_str *part = vec_add(&c->parts);
        if (part == NULL) {
            return cis_history_nomem(err);
        }
        *part = link->name;
        c->left -= link->name.len + 1;
        c->top = link->parent;
        if (c->top == mark) {
            return cis_fail(err, CIS_E_DAMAGED, "directory %llu is below itself",
                            (unsigned long long)mark);
        }
        if (++steps == turn) {
            mark = c->top;
            turn *= 2;
            steps = 0;
        }
    }
    return CIS_OK;
}

/* The directory's path with a slash behind it becomes the nearest known one. */
static cis_code dir_path(struct places *p, uint64_t dir, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(2 * CIS_HISTORY_PATH_MAX);
    struct climb c = {.left = CIS_HISTORY_PATH_MAX};
    cis_code code = climb(p, dir, &c, err);
    if (code == CIS_OK && !c.cut && c.top != CIS_FS_ROOT) {
        struct cis_str known = cis_buf_view(&p->near_path), end = tail(known, c.left);
        cis_buf_str(&path, end);
        c.cut = p->near_cut || end.len != known.len;
    }
    for (size_t i = c.parts.n; i > 0 && code == CIS_OK;) {
        i--;
        cis_buf_str(&path, c.parts.at[i]);
        cis_buf_byte(&path, '/');
    }
    vec_done(&c.parts);
    CIS_TRY(code);
    CIS_TRY(cis_buf_check(&path, "path", err));
    struct cis_buf old = p->near_path;
    p->near_path = path;
    path = old;
    p->near = dir;
    p->near_cut = c.cut;
    return CIS_OK;
}

cis_code cis_places_path(struct places *p, uint64_t parent, struct cis_str name,
                         struct cis_buf *out, bool *out_cut, struct cis_error *err)
{
    bool cut = false;
    if (name.len > CIS_FS_NAME_MAX) {
        return cis_fail(err, CIS_E_DAMAGED, "directory %llu: a name is too long",
                        (unsigned long long)parent);
    }
    if (parent != CIS_FS_ROOT) {
        if (parent != p->near) {
            CIS_TRY(dir_path(p, parent, err));
        }
        struct cis_str known = cis_buf_view(&p->near_path);
        struct cis_str end = tail(known, CIS_HISTORY_PATH_MAX - name.len);
        cut = p->near_cut || end.len != known.len;
        cis_buf_text(out, cut ? CIS_HISTORY_CUT : "");
        cis_buf_str(out, end);
    }
    cis_buf_str(out, name);
    if (out_cut != NULL) {
        *out_cut = cut;
    }
    return cis_buf_check(out, "path", err);
}

/* ---- names of files, by a pass over all names ---- */
struct scanning {
    const struct numbers *inos;
    struct links *out;
    struct arena *arena;
    struct cis_fs_key after;
    char last[CIS_FS_NAME_MAX + 1];
    uint32_t seen;
    cis_code code;
    struct cis_error *err;
};

static bool scan_one(void *self, const struct cis_fs_key *key, const struct cis_fs_dirent *dirent,
                     const struct cis_fs_inode *inode, const struct cis_fs_extent *extent)
{
    struct scanning *s = self;
    (void)inode;
    (void)extent;
    s->seen++;
    s->after = *key;
    if (key->name.len <= CIS_FS_NAME_MAX) {
        memcpy(s->last, key->name.ptr, key->name.len);
        s->after.name = (struct cis_str){s->last, key->name.len};
    }
    if (dirent->ino == 0 || !cis_numbers_has(s->inos, dirent->ino)) {
        return true;
    }
    struct link *link = vec_add(s->out);
    if (link == NULL) {
        s->code = cis_history_nomem(s->err);
        return false;
    }
    *link = (struct link){.parent = dirent->parent};
    s->code = cis_arena_str(s->arena, dirent->name, &link->name, s->err);
    return s->code == CIS_OK;
}

static cis_code scan_branch(const struct cis_history *h, uint64_t branch, struct scanning *s,
                            struct cis_error *err)
{
    bool first = true;
    do {
        s->seen = 0;
        CIS_TRY(cis_store_scan(h->store, h->tenant,
                               &(struct cis_fs_scan_query){.table = CIS_FS_DIRENTS,
                                                           .branch = branch,
                                                           .after = first ? NULL : &s->after,
                                                           .limit = PAGE},
                               scan_one, s, h->stop, err));
        CIS_TRY(s->code);
        first = false;
    } while (s->seen == PAGE);
    return CIS_OK;
}

cis_code cis_places_find(const struct cis_history *h, struct cis_view view,
                         const struct numbers *inos, struct links *out, struct arena *arena,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_branches_done) struct cis_branches branches = {0};
    struct scanning s = {.inos = inos, .out = out, .arena = arena, .err = err};
    CIS_TRY(cis_branches_load(h, &branches, err));
    for (uint64_t branch = view.branch; branch != 0;) {
        const struct cis_branch *b = cis_branches_find(&branches, branch);
        CIS_TRY(scan_branch(h, branch, &s, err));
        branch = b != NULL && b->parent < b->id ? b->parent : 0;
    }
    if (out->n == 0) {
        return CIS_OK;
    }
    qsort(out->at, out->n, sizeof *out->at, cis_link_cmp);
    size_t kept = 0;
    for (size_t i = 0; i < out->n; i++) { /* the same name at several epochs */
        if (kept == 0 || cis_link_cmp(&out->at[kept - 1], &out->at[i]) != 0) {
            out->at[kept++] = out->at[i];
        }
    }
    out->n = kept;
    CIS_TRY(cis_links_list(h, view, out, 0, err));
    kept = 0;
    for (size_t i = 0; i < out->n; i++) { /* what the view has no more */
        if (cis_numbers_has(inos, out->at[i].ino[0])) {
            out->at[kept++] = out->at[i];
        }
    }
    out->n = kept;
    return CIS_OK;
}

cis_code cis_history_paths(const struct cis_history *h, struct cis_view view, const uint64_t *inos,
                           size_t n, cis_path_each *each, void *self, struct cis_error *err)
{
    struct numbers wanted = {0};
    struct links links = {0};
    struct arena arena = {0};
    struct places places;
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(2 * CIS_HISTORY_PATH_MAX);
    cis_code code = CIS_OK;
    cis_places_init(&places, h, view);
    for (size_t i = 0; i < n && code == CIS_OK; i++) {
        code = cis_numbers_add(&wanted, inos[i], err);
    }
    if (code == CIS_OK) {
        cis_numbers_sort(&wanted);
        code = cis_places_find(h, view, &wanted, &links, &arena, err);
    }
    for (size_t i = 0; i < links.n && code == CIS_OK; i++) {
        cis_buf_reset(&path);
        code = cis_places_path(&places, links.at[i].parent, links.at[i].name, &path, NULL, err);
        if (code == CIS_OK && !each(self, links.at[i].ino[0], cis_buf_view(&path))) {
            break;
        }
    }
    cis_places_done(&places);
    cis_numbers_done(&wanted);
    cis_arena_done(&arena);
    vec_done(&links);
    return code;
}
