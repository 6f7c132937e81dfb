/* Where files and directories are at a view. A directory's row says its parent, and its name is
 * found by listing that once; a file's names are known from the changes, or found by one pass over
 * all names of the view's lineage. */
#include "history/internal.h"
#include "base/wraps.h"

#include <stdlib.h>

#define DEPTH_MAX 65536u
#define PAGE 4096u

void cis_places_init(struct places *p, const struct cis_history *h, struct cis_view view)
{
    *p = (struct places){.h = h, .view = view, .dirs = CIS_MAP_INIT, .listed = CIS_MAP_INIT};
}

void cis_places_done(struct places *p)
{
    cis_map_done(&p->dirs, NULL);
    cis_map_done(&p->listed, NULL);
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
        l->code = cis_ids_set(&l->p->dirs, dirent->ino, link, l->err);
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
        CIS_TRY(h->store->fs->list(h->store, h->tenant, p->view, dir,
                                   (struct cis_str){l.last, l.last_len}, PAGE, false, note_dir, &l,
                                   h->stop, err));
        CIS_TRY(l.code);
    } while (l.seen == PAGE);
    return cis_ids_set(&p->listed, dir, &mark, err);
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

CIS_WRAPS cis_code cis_places_path(struct places *p, uint64_t parent, struct cis_str name,
                                   struct cis_buf *out, struct cis_error *err)
{
    struct {
        struct cis_str *at;
        size_t n, cap;
    } parts = {0};
    cis_code code = CIS_OK;
    while (code == CIS_OK && parent != CIS_FS_ROOT) {
        const struct link *link = NULL;
        struct cis_str *part;
        code = find_dir(p, parent, &link, err);
        if (code != CIS_OK) {
            break;
        }
        part = vec_add(&parts);
        if (part == NULL || parts.n > DEPTH_MAX) {
            code = part == NULL ? cis_history_nomem(err)
                                : cis_fail(err, CIS_E_DAMAGED, "directory %llu is below itself",
                                           (unsigned long long)parent);
            break;
        }
        *part = link->name;
        parent = link->parent;
    }
    for (size_t i = parts.n; i-- > 0 && code == CIS_OK;) {
        cis_buf_str(out, parts.at[i]);
        cis_buf_byte(out, '/');
    }
    cis_free(parts.at);
    CIS_TRY(code);
    cis_buf_str(out, name);
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
        CIS_TRY(h->store->fs->scan(h->store, h->tenant, CIS_FS_DIRENTS, branch,
                                   first ? NULL : &s->after, PAGE, scan_one, s, h->stop, err));
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
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(1u << 24);
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
        code = cis_places_path(&places, links.at[i].parent, links.at[i].name, &path, err);
        if (code == CIS_OK && !each(self, links.at[i].ino[0], cis_buf_view(&path))) {
            break;
        }
    }
    cis_places_done(&places);
    cis_numbers_done(&wanted);
    cis_arena_done(&arena);
    cis_free(links.at);
    return code;
}
