#include "history/threeway.h"

#include <stdlib.h>

void cis_threeway_bind(struct threeway *t)
{
    struct cis_bound *bound = &t->edit.bound;
    struct numbers *numbers[] = {&t->inos, &t->unsure, &t->removed, &t->moved, &t->kept};
    struct rows *rows[] = {&t->theirs, &t->ours, &t->settled};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        numbers[i]->bound = bound;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cis_rows_bind(rows[i], bound);
    }
    for (size_t i = 0; i <= THREE_BASES; i++) {
        t->base[i].links.bound = bound;
        cis_rows_bind(&t->base[i].rows, bound);
    }
    cis_touched_bind(&t->touched, bound);
    cis_touched_bind(&t->mine, bound);
    t->conflicts.bound = bound;
    t->kv.bound = bound;
    t->arena.bound = bound;
}

/* Rows at the base of the edit stay, as its own are made of them. */
void cis_threeway_shrink(struct threeway *t)
{
    size_t counted = cis_size_add(t->inos.n, 1);
    vec_done(&t->touched.links);
    for (size_t i = 0; i <= THREE_BASES; i++) {
        vec_done(&t->base[i].links);
    }
    cis_numbers_done(&t->touched.inos);
    cis_numbers_done(&t->touched.named);
    cis_touched_done(&t->mine);
    cis_rows_done(&t->theirs);
    t->rows[THEIRS] = NULL;
    cis_bound_release(&t->edit.bound,
                      t->meant != NULL ? cis_size_mul(counted, sizeof *t->meant) : 0);
    cis_free(t->meant);
    t->meant = NULL;
}

void cis_threeway_done(struct threeway *t)
{
    cis_history_pin_drop(t->h, &t->pin);
    for (size_t i = 0; i <= THREE_BASES; i++) {
        cis_history_pin_drop(t->h, &t->base[i].pin);
        vec_done(&t->base[i].links);
        cis_rows_done(&t->base[i].rows);
    }
    cis_edit_done(&t->edit);
    cis_touched_done(&t->touched);
    cis_touched_done(&t->mine);
    cis_free(t->meant);
    cis_free(t->from);
    cis_numbers_done(&t->unsure);
    cis_numbers_done(&t->inos);
    cis_numbers_done(&t->removed);
    cis_numbers_done(&t->moved);
    cis_numbers_done(&t->kept);
    cis_rows_done(&t->theirs);
    cis_rows_done(&t->ours);
    cis_rows_done(&t->settled);
    vec_done(&t->conflicts);
    vec_done(&t->kv);
    cis_arena_done(&t->arena);
}

cis_code cis_threeway_conflict(struct threeway *t, const struct link *link, uint64_t ino,
                               const char *why)
{
    struct threeway_conflict *c = vec_add(&t->conflicts);
    if (c == NULL) {
        return cis_history_nomem(t->err);
    }
    *c = (struct threeway_conflict){.why = why};
    if (link != NULL) {
        c->link = *link;
    } else {
        c->link.ino[OURS] = ino;
    }
    return CIS_OK;
}

static const struct cis_fs_inode *row_at(const struct threeway *t, int side, uint64_t ino)
{
    return cis_rows_find(t->rows[side], ino);
}

/* ---- names ---- */
static cis_code take_name(struct threeway *t, const struct link *l)
{
    if (l->ino[OURS] == l->ino[THEIRS] || cis_threeway_stays(t, l)) {
        return CIS_OK;
    }
    if (l->unsure) {
        return cis_threeway_conflict(t, l, 0, CIS_THREE_UNSURE);
    }
    if (l->ino[BASE] == l->ino[THEIRS]) {
        return CIS_OK;
    }
    if (l->ino[OURS] != l->ino[BASE]) {
        return cis_threeway_conflict(t, l, 0,
                                     l->ino[BASE] == 0     ? "added on both sides"
                                     : l->ino[THEIRS] == 0 ? "removed there, another file here"
                                     : l->ino[OURS] == 0   ? "another file there, removed here"
                                                           : "another file on both sides");
    }
    if (l->ino[THEIRS] != 0) {
        const struct cis_fs_inode *dir = row_at(t, OURS, l->parent);
        bool made = dir == NULL && row_at(t, BASE, l->parent) == NULL;
        if (dir == NULL && !made) {
            return cis_threeway_conflict(t, l, 0, "its directory was removed here");
        }
        const struct cis_fs_inode *was = row_at(t, OURS, l->ino[THEIRS]);
        if (is_dir(l->type[THEIRS]) && was != NULL) {
            CIS_TRY(cis_numbers_add(&t->moved, l->ino[THEIRS], t->err));
        }
    }
    return cis_edit_name(&t->edit, l->parent, l->name,
                         (struct edit_end){l->ino[OURS], l->type[OURS]},
                         (struct edit_end){l->ino[THEIRS], l->type[THEIRS]}, t->err);
}

/* ---- directories ---- */
static cis_code take_attributes(struct threeway *t, const struct cis_fs_inode *base,
                                const struct cis_fs_inode *theirs, const struct cis_fs_inode *ours)
{
    struct edit_file *dir;
    struct cis_fs_inode *row;
    /* Names that come and go change times too: only those that were set are taken. A directory that
     * was removed and brought back has a mode of that time and no key of its attributes. */
    bool times = cis_numbers_has(&t->touched.attrs, base->ino) &&
                 cis_fs_time_cmp(base->mtime, theirs->mtime) != 0;
    if (owner_same(base, theirs) && !times) {
        return CIS_OK;
    }
    if (ours == NULL) { /* times alone are no loss */
        return owner_same(base, theirs)
                   ? CIS_OK
                   : cis_threeway_conflict(t, NULL, base->ino, "changed there, removed here");
    }
    if (!owner_same(ours, base) && !owner_same(ours, theirs) && !owner_same(base, theirs)) {
        return cis_threeway_conflict(t, NULL, base->ino, "attributes changed on both sides");
    }
    CIS_TRY(cis_edit_file(&t->edit, ours->ino, &dir, t->err));
    CIS_TRY(cis_edit_row(&t->edit, dir, &row, t->err));
    dir->attrs = true;
    if (!owner_same(base, theirs)) {
        row->mode = theirs->mode;
        row->uid = theirs->uid;
        row->gid = theirs->gid;
    }
    if (times && cis_fs_time_cmp(ours->mtime, base->mtime) == 0) {
        row->mtime = theirs->mtime;
    }
    row->ctime = t->edit.now;
    return CIS_OK;
}

static cis_code take_dir(struct threeway *t, uint64_t ino, const struct cis_fs_inode *base,
                         const struct cis_fs_inode *theirs, const struct cis_fs_inode *ours)
{
    if (base == NULL && theirs != NULL) {
        if (ours == NULL) {
            return cis_edit_put(&t->edit, theirs, t->err);
        }
        return owner_same(ours, theirs)
                   ? CIS_OK
                   : cis_threeway_conflict(t, NULL, ino, "attributes changed on both sides");
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
    return base != NULL ? take_attributes(t, base, theirs, ours) : CIS_OK;
}

/* ---- files ---- */
static struct cis_view view_of(const struct threeway *t, int side, const struct cis_fs_inode *row)
{
    return side == BASE && t->from != NULL ? t->base[t->from[row - t->settled.at]].view
                                           : t->view[side];
}

cis_code cis_threeway_same(const struct threeway *t, struct cis_view x,
                           const struct cis_fs_inode *a, struct cis_view y,
                           const struct cis_fs_inode *b, bool *out)
{
    *out = cis_history_row_same(t->branches, x, a, y, b);
    if (*out) {
        return CIS_OK;
    }
    *out = owner_same(a, b);
    if (!*out || is_dir(a->mode)) {
        return CIS_OK;
    }
    *out = a->rdev == b->rdev && a->size == b->size && cis_fs_time_cmp(a->mtime, b->mtime) == 0 &&
           a->is_inline == b->is_inline && a->data.len == b->data.len &&
           (a->data.len == 0 || memcmp(a->data.ptr, b->data.ptr, a->data.len) == 0);
    if (*out && is_file(a->mode) && !a->is_inline) {
        return cis_history_content_same(t->h, x, a->ino, y, b->ino, t->inos.bound, out, t->err);
    }
    return CIS_OK;
}

static cis_code same(struct threeway *t, int x, const struct cis_fs_inode *a, int y,
                     const struct cis_fs_inode *b, bool *out)
{
    return cis_threeway_same(t, view_of(t, x, a), a, view_of(t, y, b), b, out);
}

static cis_code put_file(struct threeway *t, const struct cis_fs_inode *theirs)
{
    struct cis_fs_inode row = *theirs;
    struct extents want = {.bound = &t->edit.bound};
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

static cis_code take_file(struct threeway *t, uint64_t ino, const struct cis_fs_inode *base,
                          const struct cis_fs_inode *theirs, const struct cis_fs_inode *ours)
{
    bool kept = base == NULL && theirs == NULL, ours_base = false, ours_theirs = false;
    if (base != NULL && theirs != NULL) {
        CIS_TRY(same(t, BASE, base, THEIRS, theirs, &kept));
    }
    if (kept) {
        return CIS_OK;
    }
    if (ours != NULL && base != NULL) {
        CIS_TRY(same(t, OURS, ours, BASE, base, &ours_base));
    }
    if (ours != NULL && theirs != NULL) {
        CIS_TRY(same(t, OURS, ours, THEIRS, theirs, &ours_theirs));
    }
    if (theirs == NULL) { /* its names are dealt with one by one */
        return ours == NULL || ours_base
                   ? CIS_OK
                   : cis_threeway_conflict(t, NULL, ino, "removed there, changed here");
    }
    if (ours_theirs) {
        return CIS_OK;
    }
    if (base != NULL && ours == NULL) {
        return cis_threeway_conflict(t, NULL, ino, "changed there, removed here");
    }
    if (ours != NULL && !ours_base) {
        return cis_threeway_conflict(t, NULL, ino, "changed on both sides");
    }
    return put_file(t, theirs);
}

/* Without a base both sides have to agree. */
static cis_code take_unsure(struct threeway *t, uint64_t ino, const struct cis_fs_inode *theirs,
                            const struct cis_fs_inode *ours)
{
    bool agree = theirs == NULL && ours == NULL;
    if (theirs != NULL && ours != NULL) {
        CIS_TRY(same(t, OURS, ours, THEIRS, theirs, &agree));
    }
    return agree ? CIS_OK : cis_threeway_conflict(t, NULL, ino, CIS_THREE_UNSURE);
}

static cis_code take_inode(struct threeway *t, uint64_t ino)
{
    const struct cis_fs_inode *row[3];
    const struct cis_fs_inode *any = NULL;
    for (int side = 0; side < 3; side++) {
        row[side] = row_at(t, side, ino);
        any = row[side] != NULL ? row[side] : any;
    }
    if (any == NULL || cis_numbers_has(&t->kept, ino)) {
        return CIS_OK;
    }
    if (cis_numbers_has(&t->unsure, ino)) {
        return take_unsure(t, ino, row[THEIRS], row[OURS]);
    }
    return is_dir(any->mode) ? take_dir(t, ino, row[BASE], row[THEIRS], row[OURS])
                             : take_file(t, ino, row[BASE], row[THEIRS], row[OURS]);
}

cis_code cis_threeway_run(struct threeway *t)
{
    CIS_TRY(cis_threeway_read(t));
    CIS_TRY(cis_threeway_marks(t));
    for (size_t i = 0; i < t->touched.links.n; i++) {
        CIS_TRY(take_name(t, &t->touched.links.at[i]));
    }
    for (size_t i = 0; i < t->inos.n; i++) {
        CIS_TRY(take_inode(t, t->inos.at[i]));
    }
    if (t->conflicts.n == 0) {
        CIS_TRY(cis_threeway_whole(t));
    }
    return cis_threeway_memory(t);
}
