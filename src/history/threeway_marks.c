/* What a union keeps in its upper filesystem, when a commit of it is taken back while later ones
 * build on it. The root has the union's own files: without them the branch is no union's any more.
 * A folder that has a mark continues the lower folder that the mark names; nobody sees whether it
 * is there, but for the names in it. One that the commit made at the place of its lower folder
 * stays when later commits put names into it, or moved it; what the commit put there goes. One that
 * the commit moved goes with its place, and what is in it since is a conflict as any other. */
#include "history/threeway.h"

#include <stdlib.h>
#include "vfs/vfs.h"

/* A folder with a mark, which the base has and theirs has not. */
struct marked {
    const struct link *mark, *name; /* name: NULL: it has none at the base */
    uint64_t dir, parent, above;    /* above: the mark of the parent; 0: it has none */
    uint64_t left;                  /* names that it will have, the mark among them */
    bool kept;
};
struct all {
    struct marked *at; /* by dir, as links are by parent */
    size_t n, cap;
    struct cis_bound *bound;
};

static struct marked *find(const struct all *all, uint64_t dir)
{
    size_t low = 0, high = all->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (all->at[mid].dir < dir) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < all->n && all->at[low].dir == dir ? &all->at[low] : NULL;
}

/* The name goes when the commit is taken back. */
static bool goes(const struct link *l)
{
    return l->ino[THEIRS] == 0 && l->ino[BASE] != 0 && l->ino[OURS] == l->ino[BASE];
}

static bool is_mark(const struct threeway *t, const struct link *l)
{
    return goes(l) && l->parent != CIS_FS_ROOT && S_ISLNK(l->type[BASE]) &&
           cis_str_starts(l->name, CIS_STR(CIS_VFS_KEPT)) &&
           cis_rows_find(t->rows[BASE], l->parent) != NULL &&
           cis_rows_find(t->rows[THEIRS], l->parent) == NULL &&
           cis_rows_find(t->rows[OURS], l->parent) != NULL;
}

static cis_code collect(struct threeway *t, struct all *all)
{
    for (size_t i = 0; i < t->touched.links.n; i++) {
        const struct link *l = &t->touched.links.at[i];
        if (!is_mark(t, l) || find(all, l->parent) != NULL) {
            continue;
        }
        struct marked *m = vec_add(all);
        if (m == NULL) {
            return cis_history_nomem(t->err);
        }
        *m = (struct marked){
            .mark = l, .dir = l->parent, .parent = cis_rows_find(t->rows[BASE], l->parent)->parent};
    }
    for (size_t i = 0; i < t->touched.links.n; i++) {
        const struct link *l = &t->touched.links.at[i];
        struct marked *m = l->ino[BASE] != 0 ? find(all, l->ino[BASE]) : NULL;
        if (m != NULL) {
            m->name = l;
        }
    }
    return CIS_OK;
}

/* ---- is a folder where its lower one is? ---- */

/* The lower path that a mark names, without what identifies the folder. */
static struct cis_str path_of(const struct cis_fs_inode *mark)
{
    struct cis_str path = {(const char *)mark->data.ptr, mark->data.len};
    for (size_t at = path.len; at > 1; at--) {
        if (path.ptr[at - 1] == '/' && path.ptr[at - 2] == '/') {
            path.len = at - 2;
            break;
        }
    }
    return path;
}

static bool in_place(const struct threeway *t, const struct marked *m, const struct rows *above)
{
    const struct cis_fs_inode *mark = cis_rows_find(t->rows[BASE], m->mark->ino[BASE]);
    const struct cis_fs_inode *upper = cis_rows_find(above, m->above);
    if (mark == NULL || m->name == NULL || (m->parent != CIS_FS_ROOT && upper == NULL)) {
        return false;
    }
    struct cis_str path = path_of(mark), name = m->name->name;
    struct cis_str parent = m->parent != CIS_FS_ROOT ? path_of(upper) : CIS_STR("");
    return path.len == parent.len + 1 + name.len && cis_str_starts(path, parent) &&
           path.ptr[parent.len] == '/' &&
           memcmp(path.ptr + parent.len + 1, name.ptr, name.len) == 0;
}

/* The marks of the folders around, at the base. */
static cis_code read_above(struct threeway *t, struct all *all, struct links *links,
                           struct numbers *inos, struct rows *rows)
{
    for (size_t i = 0; i < all->n; i++) {
        struct link *l = vec_add(links);
        if (l == NULL) {
            return cis_history_nomem(t->err);
        }
        *l = (struct link){.parent = all->at[i].parent, .name = all->at[i].mark->name};
    }
    if (links->n != 0) {
        qsort(links->at, links->n, sizeof *links->at, cis_link_cmp);
    }
    CIS_TRY(cis_links_read(t->h, t->base[0].view, links, BASE, t->err));
    for (size_t i = 0; i < links->n; i++) {
        CIS_TRY(links->at[i].ino[BASE] != 0 ? cis_numbers_add(inos, links->at[i].ino[BASE], t->err)
                                            : CIS_OK);
    }
    cis_numbers_sort(inos);
    for (size_t i = 0; i < all->n; i++) {
        struct link key = {.parent = all->at[i].parent, .name = all->at[i].mark->name};
        const struct link *l = bsearch(&key, links->at, links->n, sizeof *links->at, cis_link_cmp);
        all->at[i].above = l != NULL ? l->ino[BASE] : 0;
    }
    return cis_rows_read(t->h, t->base[0].view, inos, rows, t->err);
}

static cis_code check_places(struct threeway *t, struct all *all)
{
    struct links links = {.bound = &t->edit.bound};
    struct numbers inos = {.bound = &t->edit.bound};
    struct rows rows = {0};
    cis_rows_bind(&rows, &t->edit.bound);
    cis_code code = read_above(t, all, &links, &inos, &rows);
    for (size_t i = 0; i < all->n && code == CIS_OK; i++) {
        all->at[i].kept = in_place(t, &all->at[i], &rows);
    }
    vec_done(&links);
    cis_numbers_done(&inos);
    cis_rows_done(&rows);
    return code;
}

/* ---- does anything build on it? ---- */

/* Of those that would have nothing but the mark; and then of the ones around them. */
static void drop_idle(struct all *all, struct marked *m)
{
    while (m != NULL && m->kept && m->left == 1 && goes(m->name)) {
        m->kept = false;
        m = find(all, m->parent);
        if (m != NULL) {
            m->left--;
        }
    }
}

static cis_code count_left(struct threeway *t, struct all *all)
{
    for (size_t i = 0; i < all->n; i++) {
        struct marked *m = &all->at[i];
        struct edit_file *dir;
        if (m->kept) {
            CIS_TRY(cis_edit_file(&t->edit, m->dir, &dir, t->err));
            CIS_TRY(cis_edit_entries(&t->edit, dir, &m->left, t->err));
        }
    }
    for (size_t i = 0; i < t->touched.links.n; i++) {
        const struct link *l = &t->touched.links.at[i];
        struct marked *m = find(all, l->parent);
        const struct marked *child = find(all, l->ino[BASE]);
        if (m != NULL && m->kept && l != m->mark && goes(l) && (child == NULL || !child->kept)) {
            m->left--;
        }
    }
    return CIS_OK;
}

cis_code cis_threeway_marks(struct threeway *t)
{
    struct all all = {.bound = &t->edit.bound};
    cis_code code = t->keeps_marks ? collect(t, &all) : CIS_OK;
    code = code == CIS_OK && all.n != 0 ? check_places(t, &all) : code;
    code = code == CIS_OK && all.n != 0 ? count_left(t, &all) : code;
    for (size_t i = 0; i < all.n && code == CIS_OK; i++) {
        drop_idle(&all, &all.at[i]);
    }
    for (size_t i = 0; i < all.n && code == CIS_OK; i++) {
        const struct marked *m = &all.at[i];
        code = m->kept ? cis_numbers_add(&t->kept, m->dir, t->err) : CIS_OK;
        code = m->kept && code == CIS_OK ? cis_numbers_add(&t->kept, m->mark->ino[BASE], t->err)
                                         : code;
    }
    for (size_t i = 0; t->keeps_marks && i < t->touched.links.n && code == CIS_OK; i++) {
        const struct link *l = &t->touched.links.at[i];
        bool own =
            l->parent == CIS_FS_ROOT && goes(l) && cis_str_starts(l->name, CIS_STR(CIS_VFS_KEPT));
        code = own ? cis_numbers_add(&t->kept, l->ino[BASE], t->err) : CIS_OK;
    }
    cis_numbers_sort(&t->kept);
    vec_done(&all);
    return code;
}

/* Also the name of a folder that has another one now: what is there is a later commit's. */
bool cis_threeway_stays(const struct threeway *t, const struct link *l)
{
    return t->kept.n != 0 && l->ino[THEIRS] == 0 && l->ino[BASE] != 0 &&
           cis_numbers_has(&t->kept, l->ino[BASE]);
}
