#include "history/three.h"

#include <stdlib.h>

void cis_three_done(struct three *t)
{
    cis_history_pin_drop(t->h, &t->pin[BASE]);
    cis_history_pin_drop(t->h, &t->pin[THEIRS]);
    cis_edit_done(&t->edit);
    cis_touched_done(&t->touched);
    cis_numbers_done(&t->inos);
    cis_numbers_done(&t->removed);
    cis_numbers_done(&t->moved);
    for (int i = 0; i < 3; i++) {
        cis_rows_done(&t->rows[i]);
    }
    cis_free(t->conflicts.at);
    cis_free(t->kv.at);
    cis_arena_done(&t->arena);
}

cis_code cis_three_conflict(struct three *t, const struct link *link, uint64_t ino, const char *why)
{
    struct three_conflict *c = vec_add(&t->conflicts);
    if (c == NULL) {
        return cis_history_nomem(t->err);
    }
    *c = (struct three_conflict){.why = why};
    if (link != NULL) {
        c->link = *link;
    } else {
        c->link.ino[OURS] = ino;
    }
    return CIS_OK;
}

static const struct cis_fs_inode *row_at(const struct three *t, int side, uint64_t ino)
{
    return cis_rows_find(&t->rows[side], ino);
}

/* ---- names ---- */
static cis_code take_name(struct three *t, const struct link *l)
{
    if (l->ino[BASE] == l->ino[THEIRS] || l->ino[OURS] == l->ino[THEIRS]) {
        return CIS_OK;
    }
    if (l->ino[OURS] != l->ino[BASE]) {
        return cis_three_conflict(t, l, 0,
                                  l->ino[BASE] == 0     ? "added on both sides"
                                  : l->ino[THEIRS] == 0 ? "removed there, another file here"
                                  : l->ino[OURS] == 0   ? "another file there, removed here"
                                                        : "another file on both sides");
    }
    if (l->ino[THEIRS] != 0) {
        const struct cis_fs_inode *dir = row_at(t, OURS, l->parent);
        bool made = dir == NULL && row_at(t, BASE, l->parent) == NULL;
        if (dir == NULL && !made) {
            return cis_three_conflict(t, l, 0, "its directory was removed here");
        }
        const struct cis_fs_inode *was = row_at(t, OURS, l->ino[THEIRS]);
        if (is_dir(l->type[THEIRS]) && was != NULL) {
            CIS_TRY(cis_numbers_add(&t->moved, l->ino[THEIRS], t->err));
        }
    }
    return cis_edit_name(&t->edit, l->parent, l->name, l->ino[OURS], l->type[OURS], l->ino[THEIRS],
                         l->type[THEIRS], t->err);
}

/* ---- directories ---- */
static bool owner_same(const struct cis_fs_inode *a, const struct cis_fs_inode *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

static cis_code take_attributes(struct three *t, const struct cis_fs_inode *base,
                                const struct cis_fs_inode *theirs, const struct cis_fs_inode *ours)
{
    struct edit_file *dir;
    bool times = cis_fs_time_cmp(base->mtime, theirs->mtime) != 0;
    if (owner_same(base, theirs) && !times) {
        return CIS_OK;
    }
    if (ours == NULL) {
        return cis_three_conflict(t, NULL, base->ino, "changed there, removed here");
    }
    if (!owner_same(ours, base) && !owner_same(ours, theirs) && !owner_same(base, theirs)) {
        return cis_three_conflict(t, NULL, base->ino, "attributes changed on both sides");
    }
    CIS_TRY(cis_edit_file(&t->edit, ours->ino, &dir, t->err));
    dir->attrs = true;
    if (!owner_same(base, theirs)) {
        dir->row.mode = theirs->mode;
        dir->row.uid = theirs->uid;
        dir->row.gid = theirs->gid;
    }
    if (times && cis_fs_time_cmp(ours->mtime, base->mtime) == 0) {
        dir->row.mtime = theirs->mtime;
    }
    dir->row.ctime = t->edit.now;
    return CIS_OK;
}

static cis_code take_dir(struct three *t, uint64_t ino, const struct cis_fs_inode *base,
                         const struct cis_fs_inode *theirs, const struct cis_fs_inode *ours)
{
    if (base == NULL && theirs != NULL) {
        return ours == NULL ? cis_edit_put(&t->edit, theirs, t->err) : CIS_OK;
    }
    if (base != NULL && theirs == NULL) {
        struct edit_file *dir;
        if (ours == NULL) {
            return CIS_OK;
        }
        CIS_TRY(cis_edit_file(&t->edit, ino, &dir, t->err));
        dir->gone = true;
        return cis_numbers_add(&t->removed, ino, t->err);
    }
    return base != NULL && cis_numbers_has(&t->touched.attrs, ino)
               ? take_attributes(t, base, theirs, ours)
               : CIS_OK;
}

/* ---- files ---- */
static cis_code contents_same(struct three *t, int x, int y, uint64_t ino, bool *out)
{
    struct extents a = {0}, b = {0};
    cis_code code = cis_extents_read(t->h, t->view[x], ino, &a, t->err);
    if (code == CIS_OK) {
        code = cis_extents_read(t->h, t->view[y], ino, &b, t->err);
    }
    *out = cis_extents_same(&a, &b);
    cis_extents_done(&a);
    cis_extents_done(&b);
    return code;
}

/* Link counts and times of change are not compared: they follow from names. */
static cis_code same(struct three *t, int x, int y, uint64_t ino, bool *out)
{
    const struct cis_fs_inode *a = row_at(t, x, ino), *b = row_at(t, y, ino);
    *out = owner_same(a, b) && a->rdev == b->rdev && a->size == b->size &&
           cis_fs_time_cmp(a->mtime, b->mtime) == 0 && a->is_inline == b->is_inline &&
           a->data.len == b->data.len &&
           (a->data.len == 0 || memcmp(a->data.ptr, b->data.ptr, a->data.len) == 0);
    if (*out && is_file(a->mode) && !a->is_inline && a->epoch != b->epoch) {
        return contents_same(t, x, y, ino, out);
    }
    return CIS_OK;
}

static cis_code put_file(struct three *t, const struct cis_fs_inode *theirs)
{
    struct cis_fs_inode row = *theirs;
    struct extents want = {0};
    row.ctime = t->edit.now;
    CIS_TRY(cis_edit_put(&t->edit, &row, t->err));
    if (!is_file(row.mode)) {
        return CIS_OK;
    }
    cis_code code =
        row.is_inline ? CIS_OK : cis_extents_read(t->h, t->view[THEIRS], row.ino, &want, t->err);
    if (code == CIS_OK) {
        code = cis_edit_content(&t->edit, row.ino, &want, t->err);
    }
    cis_extents_done(&want);
    return code;
}

static cis_code take_file(struct three *t, uint64_t ino, const struct cis_fs_inode *base,
                          const struct cis_fs_inode *theirs, const struct cis_fs_inode *ours)
{
    bool kept = base == NULL && theirs == NULL, ours_base = false, ours_theirs = false;
    if (base != NULL && theirs != NULL) {
        CIS_TRY(same(t, BASE, THEIRS, ino, &kept));
    }
    if (kept) {
        return CIS_OK;
    }
    if (ours != NULL && base != NULL) {
        CIS_TRY(same(t, OURS, BASE, ino, &ours_base));
    }
    if (ours != NULL && theirs != NULL) {
        CIS_TRY(same(t, OURS, THEIRS, ino, &ours_theirs));
    }
    if (theirs == NULL) { /* its names are dealt with one by one */
        return ours == NULL || ours_base
                   ? CIS_OK
                   : cis_three_conflict(t, NULL, ino, "removed there, changed here");
    }
    if (ours_theirs) {
        return CIS_OK;
    }
    if (base != NULL && ours == NULL) {
        return cis_three_conflict(t, NULL, ino, "changed there, removed here");
    }
    if (ours != NULL && !ours_base) {
        return cis_three_conflict(t, NULL, ino, "changed on both sides");
    }
    return put_file(t, theirs);
}

static cis_code take_inode(struct three *t, uint64_t ino)
{
    const struct cis_fs_inode *row[3];
    const struct cis_fs_inode *any = NULL;
    for (int side = 0; side < 3; side++) {
        row[side] = row_at(t, side, ino);
        any = row[side] != NULL ? row[side] : any;
    }
    if (any == NULL) {
        return CIS_OK;
    }
    return is_dir(any->mode) ? take_dir(t, ino, row[BASE], row[THEIRS], row[OURS])
                             : take_file(t, ino, row[BASE], row[THEIRS], row[OURS]);
}

/* ---- what only holds for all changes together ---- */
struct counting {
    uint64_t n;
};

static bool count_entry(void *self, const struct cis_fs_dirent *dirent,
                        const struct cis_fs_inode *inode)
{
    struct counting *c = self;
    (void)dirent;
    (void)inode;
    c->n++;
    return true;
}

static cis_code check_removed(struct three *t)
{
    cis_numbers_sort(&t->removed);
    for (size_t i = 0; i < t->removed.n; i++) {
        uint64_t dir = t->removed.at[i], going = 0;
        struct counting c = {0};
        CIS_TRY(t->h->store->fs->list(t->h->store, t->h->tenant, t->view[OURS], dir, CIS_STR(""),
                                      UINT32_MAX, false, count_entry, &c, t->h->stop, t->err));
        for (size_t k = 0; k < t->edit.dirents.n; k++) {
            const struct cis_fs_dirent *d = &t->edit.dirents.at[k];
            going += d->parent == dir && d->ino == 0 ? 1 : 0;
        }
        if (going != c.n) {
            CIS_TRY(cis_three_conflict(t, NULL, dir, "removed there, has other names here"));
        }
    }
    return CIS_OK;
}

/* Both gave one file new names: it would end with more than anybody gave it. */
static cis_code check_names(struct three *t)
{
    for (size_t i = 0; i < t->inos.n; i++) {
        uint64_t ino = t->inos.at[i];
        const struct cis_fs_inode *base = row_at(t, BASE, ino), *theirs = row_at(t, THEIRS, ino);
        const struct edit_file *file = cis_ids_get(&t->edit.files, ino);
        if (base == NULL || theirs == NULL || file == NULL) {
            continue;
        }
        if (file->head.ino == 0) {
            if (file->links > 0 && !file->put) {
                CIS_TRY(cis_three_conflict(t, NULL, ino, "named anew there, removed here"));
            }
            continue;
        }
        int64_t meant = is_dir(base->mode) ? 0 : (int64_t)theirs->nlink - (int64_t)base->nlink;
        if (file->links > meant) {
            CIS_TRY(cis_three_conflict(t, NULL, ino, "renamed on both sides"));
        }
    }
    return CIS_OK;
}

#define DEPTH_MAX 65536

static cis_code check_moved(struct three *t)
{
    for (size_t i = 0; i < t->moved.n; i++) {
        struct edit_file *dir;
        CIS_TRY(cis_edit_file(&t->edit, t->moved.at[i], &dir, t->err));
        int depth = 0;
        for (uint64_t up = dir->row.parent; up != CIS_FS_ROOT && depth <= DEPTH_MAX; depth++) {
            struct edit_file *next;
            CIS_TRY(cis_edit_file(&t->edit, up, &next, t->err));
            if (up == t->moved.at[i] || next->row.parent == 0) {
                CIS_TRY(cis_three_conflict(t, NULL, t->moved.at[i], "would be below itself"));
                break;
            }
            up = next->row.parent;
        }
    }
    return CIS_OK;
}

cis_code cis_three_run(struct three *t, const struct cis_branches *branches)
{
    struct cis_view common = cis_branches_common(branches, t->view[BASE], t->view[THEIRS]);
    if (common.branch == 0) {
        return cis_fail(t->err, CIS_E_DAMAGED, "the branches have no common state");
    }
    CIS_TRY(cis_touched_add(t->h, branches, common, t->view[BASE], &t->touched, t->err));
    CIS_TRY(cis_touched_add(t->h, branches, common, t->view[THEIRS], &t->touched, t->err));
    cis_touched_sort(&t->touched);
    for (size_t i = 0; i < t->touched.inos.n; i++) {
        CIS_TRY(cis_numbers_add(&t->inos, t->touched.inos.at[i], t->err));
    }
    for (int side = 0; side < 3; side++) {
        CIS_TRY(cis_links_read(t->h, t->view[side], &t->touched.links, side, t->err));
        for (size_t i = 0; i < t->touched.links.n; i++) {
            const struct link *l = &t->touched.links.at[i];
            CIS_TRY(cis_numbers_add(&t->inos, l->parent, t->err));
            if (l->ino[side] != 0) {
                CIS_TRY(cis_numbers_add(&t->inos, l->ino[side], t->err));
            }
        }
    }
    cis_numbers_sort(&t->inos);
    for (int side = 0; side < 3; side++) {
        CIS_TRY(cis_rows_read(t->h, t->view[side], &t->inos, &t->rows[side], t->err));
    }
    for (size_t i = 0; i < t->touched.links.n; i++) {
        CIS_TRY(take_name(t, &t->touched.links.at[i]));
    }
    for (size_t i = 0; i < t->inos.n; i++) {
        CIS_TRY(take_inode(t, t->inos.at[i]));
    }
    if (t->conflicts.n == 0) {
        CIS_TRY(check_removed(t));
        CIS_TRY(check_names(t));
        CIS_TRY(check_moved(t));
    }
    return cis_three_memory(t);
}
