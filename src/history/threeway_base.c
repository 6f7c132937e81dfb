/* What the three-way rule looks at: names and rows of all sides, and what the base of each name and
 * file is when there are several bases, or one that is older than it should be (threeway.h). */
#include "history/threeway.h"

#include <stdlib.h>

/* ---- what was touched ---- */
static cis_code touched_since(struct threeway *t, struct cis_view base)
{
    struct cis_view common = cis_branches_common(t->branches, base, t->view[THEIRS]);
    if (common.branch == 0) {
        return cis_fail(t->err, CIS_E_DAMAGED, "the branches have no common state");
    }
    CIS_TRY(cis_touched_add(t->h, t->branches, common, base, &t->touched, t->err));
    return cis_touched_add(t->h, t->branches, common, t->view[THEIRS], &t->touched, t->err);
}

static cis_code add_all(struct numbers *out, const struct numbers *in, struct cis_error *err)
{
    for (size_t i = 0; i < in->n; i++) {
        CIS_TRY(cis_numbers_add(out, in->at[i], err));
    }
    return CIS_OK;
}

static cis_code read_touched(struct threeway *t)
{
    for (size_t i = 0; i < t->nbases; i++) {
        CIS_TRY(touched_since(t, t->base[i].view));
    }
    cis_touched_sort(&t->touched);
    cis_touched_sort(&t->mine);
    return CIS_OK;
}

/* ---- names ---- */
static cis_code read_base_links(struct threeway *t, struct threeway_base *b)
{
    for (size_t i = 0; i < t->touched.links.n; i++) {
        struct link *l = vec_add(&b->links);
        if (l == NULL) {
            return cis_history_nomem(t->err);
        }
        *l = (struct link){.parent = t->touched.links.at[i].parent,
                           .name = t->touched.links.at[i].name};
    }
    return cis_links_read(t->h, b->view, &b->links, 0, t->err);
}

/* What the bases made of what they all come from; false: several things, or that is not known. */
static bool settle_link(const struct threeway *t, size_t at, const struct link **out)
{
    const struct link *first = &t->base[0].links.at[at], *changed = NULL;
    const struct link *root = t->rooted ? &t->base[t->nbases].links.at[at] : NULL;
    bool all = true;
    *out = first;
    for (size_t i = 1; i < t->nbases; i++) {
        all &= t->base[i].links.at[at].ino[0] == first->ino[0];
    }
    if (all || root == NULL) {
        return all;
    }
    for (size_t i = 0; i < t->nbases; i++) {
        const struct link *l = &t->base[i].links.at[at];
        if (l->ino[0] == root->ino[0]) {
            continue;
        }
        if (changed != NULL && changed->ino[0] != l->ino[0]) {
            return false;
        }
        changed = l;
    }
    *out = changed;
    return true;
}

static bool doubted(const struct threeway *t, const struct link *link)
{
    return t->careful && cis_touched_link(&t->mine, link);
}

static cis_code read_links(struct threeway *t)
{
    struct links *links = &t->touched.links;
    CIS_TRY(cis_links_read(t->h, t->view[THEIRS], links, THEIRS, t->err));
    CIS_TRY(cis_links_read(t->h, t->view[OURS], links, OURS, t->err));
    if (t->nbases == 1) {
        CIS_TRY(cis_links_read(t->h, t->base[0].view, links, BASE, t->err));
        for (size_t i = 0; i < links->n; i++) {
            links->at[i].unsure = doubted(t, &links->at[i]);
        }
        return CIS_OK;
    }
    for (size_t i = 0; i < t->nbases + (t->rooted ? 1 : 0); i++) {
        CIS_TRY(read_base_links(t, &t->base[i]));
    }
    for (size_t i = 0; i < links->n; i++) {
        const struct link *base;
        bool settled = settle_link(t, i, &base);
        links->at[i].ino[BASE] = base->ino[0];
        links->at[i].type[BASE] = base->type[0];
        links->at[i].unsure = !settled || doubted(t, &links->at[i]);
    }
    return CIS_OK;
}

/* ---- rows ---- */
static cis_code collect_inos(struct threeway *t)
{
    CIS_TRY(add_all(&t->inos, &t->touched.inos, t->err));
    for (size_t i = 0; i < t->touched.links.n; i++) {
        const struct link *l = &t->touched.links.at[i];
        CIS_TRY(cis_numbers_add(&t->inos, l->parent, t->err));
        for (int side = 0; side < 3; side++) {
            if (l->ino[side] != 0) {
                CIS_TRY(cis_numbers_add(&t->inos, l->ino[side], t->err));
            }
        }
        for (size_t k = 0; t->nbases > 1 && k < t->nbases; k++) {
            if (t->base[k].links.at[i].ino[0] != 0) {
                CIS_TRY(cis_numbers_add(&t->inos, t->base[k].links.at[i].ino[0], t->err));
            }
        }
    }
    cis_numbers_sort(&t->inos);
    return CIS_OK;
}

static cis_code rows_same(const struct threeway *t, size_t x, const struct cis_fs_inode *a,
                          size_t y, const struct cis_fs_inode *b, bool *out)
{
    *out = a == NULL && b == NULL;
    return a == NULL || b == NULL
               ? CIS_OK
               : cis_threeway_same(t, t->base[x].view, a, t->base[y].view, b, out);
}

/* As settle_link; *out is the base whose row it is. */
static cis_code settle_row(const struct threeway *t, uint64_t ino, size_t *out, bool *out_settled)
{
    const struct cis_fs_inode *row[THREE_BASES + 1];
    size_t changed = SIZE_MAX;
    bool same = true, all = true;
    *out = 0;
    *out_settled = true;
    for (size_t i = 0; i < t->nbases + (t->rooted ? 1 : 0); i++) {
        row[i] = cis_rows_find(&t->base[i].rows, ino);
    }
    for (size_t i = 1; i < t->nbases && all; i++) {
        CIS_TRY(rows_same(t, 0, row[0], i, row[i], &all));
    }
    if (all || !t->rooted) {
        *out_settled = all;
        return CIS_OK;
    }
    for (size_t i = 0; i < t->nbases && *out_settled; i++) {
        CIS_TRY(rows_same(t, i, row[i], t->nbases, row[t->nbases], &same));
        if (same) {
            continue;
        }
        if (changed != SIZE_MAX) {
            CIS_TRY(rows_same(t, i, row[i], changed, row[changed], out_settled));
        } else {
            changed = i;
        }
    }
    *out = changed != SIZE_MAX ? changed : 0;
    return CIS_OK;
}

static cis_code settle_rows(struct threeway *t)
{
    size_t marks = cis_size_add(t->inos.n, 1);
    t->rows[BASE] = &t->settled;
    t->from = cis_bound_charge(&t->edit.bound, marks) ? cis_zalloc(marks) : NULL;
    if (t->from == NULL) {
        return cis_history_nomem(t->err);
    }
    for (size_t i = 0; i < t->inos.n; i++) {
        size_t base = 0;
        bool settled = true;
        CIS_TRY(settle_row(t, t->inos.at[i], &base, &settled));
        if (!settled) {
            CIS_TRY(cis_numbers_add(&t->unsure, t->inos.at[i], t->err));
        }
        const struct cis_fs_inode *row = cis_rows_find(&t->base[base].rows, t->inos.at[i]);
        struct cis_fs_inode *slot = row != NULL ? vec_add(&t->settled) : NULL;
        if (row != NULL && slot == NULL) {
            return cis_history_nomem(t->err);
        }
        if (row != NULL) { /* its data stays the base's */
            *slot = *row;
            t->from[t->settled.n - 1] = (uint8_t)base;
        }
    }
    return CIS_OK;
}

/* What both sides touched since a base that is too old. */
static cis_code doubt_rows(struct threeway *t)
{
    struct numbers theirs = {.bound = &t->edit.bound};
    cis_code code = add_all(&theirs, &t->touched.inos, t->err);
    if (code == CIS_OK) {
        code = add_all(&theirs, &t->touched.named, t->err);
    }
    for (size_t i = 0; i < t->touched.links.n && code == CIS_OK; i++) {
        const struct link *l = &t->touched.links.at[i];
        code = l->ino[BASE] != 0 ? cis_numbers_add(&theirs, l->ino[BASE], t->err) : CIS_OK;
    }
    cis_numbers_sort(&theirs);
    for (size_t i = 0; i < t->inos.n && code == CIS_OK; i++) {
        uint64_t ino = t->inos.at[i];
        if (cis_numbers_has(&theirs, ino) &&
            (cis_numbers_has(&t->mine.inos, ino) || cis_numbers_has(&t->mine.named, ino))) {
            code = cis_numbers_add(&t->unsure, ino, t->err);
        }
    }
    cis_numbers_done(&theirs);
    cis_numbers_sort(&t->unsure);
    return code;
}

static cis_code count_meant(struct threeway *t)
{
    size_t n = cis_size_add(t->inos.n, 1);
    bool room = cis_bound_charge(&t->edit.bound, cis_size_mul(n, sizeof *t->meant));
    t->meant = room ? cis_calloc(n, sizeof *t->meant) : NULL;
    if (t->meant == NULL) {
        return cis_history_nomem(t->err);
    }
    for (size_t i = 0; i < t->touched.links.n; i++) {
        const struct link *l = &t->touched.links.at[i];
        if (l->ino[THEIRS] == l->ino[BASE]) {
            continue;
        }
        if (l->ino[THEIRS] != 0) {
            t->meant[cis_numbers_at(&t->inos, l->ino[THEIRS])]++;
        }
        if (l->ino[BASE] != 0) {
            t->meant[cis_numbers_at(&t->inos, l->ino[BASE])]--;
        }
    }
    return CIS_OK;
}

static bool view_same(const struct threeway *t, struct cis_view a, struct cis_view b)
{
    a = cis_branches_owner(t->branches, a);
    b = cis_branches_owner(t->branches, b);
    return a.branch == b.branch && a.epoch == b.epoch;
}

static cis_code read_rows(struct threeway *t)
{
    const struct rows *base = &t->base[0].rows;
    for (size_t i = 0; i < t->nbases + (t->rooted ? 1 : 0); i++) {
        CIS_TRY(cis_rows_read(t->h, t->base[i].view, &t->inos, &t->base[i].rows, t->err));
    }
    CIS_TRY(cis_rows_read(t->h, t->view[THEIRS], &t->inos, &t->theirs, t->err));
    bool same = t->nbases == 1 && view_same(t, t->view[OURS], t->base[0].view);
    CIS_TRY(same ? CIS_OK : cis_rows_read(t->h, t->view[OURS], &t->inos, &t->ours, t->err));
    t->rows[BASE] = base;
    t->rows[THEIRS] = &t->theirs;
    t->rows[OURS] = same ? base : &t->ours;
    t->edit.asked = &t->inos;
    t->edit.known = t->rows[OURS];
    return CIS_OK;
}

cis_code cis_threeway_read(struct threeway *t)
{
    CIS_TRY(read_touched(t));
    CIS_TRY(read_links(t));
    CIS_TRY(collect_inos(t));
    CIS_TRY(read_rows(t));
    CIS_TRY(t->nbases == 1 ? CIS_OK : settle_rows(t));
    CIS_TRY(t->careful ? doubt_rows(t) : CIS_OK);
    return count_meant(t);
}
