/* What differs between two views of one tenant. All branches descend from one, so two views always
 * have a last common state: what the commits since then touched is looked up in both, and nothing
 * else is. */
#include "history/internal.h"

#include <stdlib.h>

#define PATHS_MAX ((size_t)64 << 20)

/* A name at a view, whose path is built when it is wanted. */
struct spot {
    uint64_t parent;     /* 0: there is none */
    struct cis_str name; /* empty: the directory `parent` itself */
    int side;
};

struct found {
    struct cis_change change;
    struct spot at, from;
    size_t order;
    bool late; /* its paths are built when it is told */
};

struct diff {
    const struct cis_history *h;
    struct cis_view view[2];
    struct cis_branches branches;
    struct touched touched;
    struct rows rows[2];
    struct places places[2];
    struct numbers inos;
    struct {
        struct found *at;
        size_t n, cap;
        struct cis_bound *bound;
    } found;
    struct arena arena;
    size_t kept; /* bytes of paths in it */
    struct cis_bound bound;
    struct cis_error *err;
};

static void diff_done(struct diff *d)
{
    cis_branches_done(&d->branches);
    cis_touched_done(&d->touched);
    cis_numbers_done(&d->inos);
    for (int i = 0; i < 2; i++) {
        cis_rows_done(&d->rows[i]);
        cis_places_done(&d->places[i]);
    }
    vec_done(&d->found);
    cis_arena_done(&d->arena);
}

static void bind(struct diff *d)
{
    cis_bound_init(&d->bound, d->h);
    cis_touched_bind(&d->touched, &d->bound);
    d->inos.bound = &d->bound;
    for (int i = 0; i < 2; i++) {
        cis_rows_bind(&d->rows[i], &d->bound);
        d->places[i].arena.bound = &d->bound;
    }
    d->found.bound = &d->bound;
    d->arena.bound = &d->bound;
}

static bool times_same(struct cis_fs_time a, struct cis_fs_time b)
{
    return a.s == b.s && a.ns == b.ns;
}

/* Only the very same row says that nothing has to be read: all times can be the same by chance. */
static cis_code content_differs(struct diff *d, const struct cis_fs_inode *a,
                                const struct cis_fs_inode *b, bool *out)
{
    bool same = true;
    *out = !is_dir(a->mode) && (a->size != b->size || !times_same(a->mtime, b->mtime));
    if (*out || is_dir(a->mode) ||
        cis_history_row_same(&d->branches, d->view[0], a, d->view[1], b)) {
        return CIS_OK;
    }
    if (!is_file(a->mode) || a->is_inline || b->is_inline) {
        *out = a->is_inline != b->is_inline || a->data.len != b->data.len ||
               (a->data.len != 0 && memcmp(a->data.ptr, b->data.ptr, a->data.len) != 0);
        return CIS_OK;
    }
    CIS_TRY(cis_history_content_same(d->h, d->view[0], a->ino, d->view[1], b->ino, &d->bound, &same,
                                     d->err));
    *out = !same;
    return CIS_OK;
}

static bool attributes_differ(const struct cis_fs_inode *a, const struct cis_fs_inode *b)
{
    return a->mode != b->mode || a->uid != b->uid || a->gid != b->gid || a->rdev != b->rdev;
}

static cis_code path_of(struct diff *d, const struct spot *spot, struct cis_buf *out, bool *cut)
{
    bool this = false;
    if (spot->parent == 0) {
        return CIS_OK;
    }
    CIS_TRY(cis_places_path(&d->places[spot->side], spot->parent, spot->name, out, &this, d->err));
    if (spot->name.len == 0 && out->len != 0) {
        out->len--; /* the slash behind it */
    }
    *cut = *cut || this;
    return CIS_OK;
}

/* The order is that of paths. They are kept for it, up to a bound: what is beyond comes last. */
static cis_code keep_paths(struct diff *d, struct found *f)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(2 * CIS_HISTORY_PATH_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf from = CIS_BUF_INIT(2 * CIS_HISTORY_PATH_MAX);
    f->late = d->kept >= PATHS_MAX;
    if (f->late) {
        return CIS_OK;
    }
    CIS_TRY(path_of(d, &f->at, &path, &f->change.cut));
    CIS_TRY(path_of(d, &f->from, &from, &f->change.cut));
    CIS_TRY(cis_arena_str(&d->arena, cis_buf_view(&path), &f->change.path, d->err));
    CIS_TRY(cis_arena_str(&d->arena, cis_buf_view(&from), &f->change.from, d->err));
    d->kept = cis_size_add(d->kept, cis_size_add(path.len, from.len));
    return CIS_OK;
}

static cis_code tell(struct diff *d, struct found *f, cis_change_each *each, void *self, bool *more)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(2 * CIS_HISTORY_PATH_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf from = CIS_BUF_INIT(2 * CIS_HISTORY_PATH_MAX);
    if (f->late) {
        CIS_TRY(path_of(d, &f->at, &path, &f->change.cut));
        CIS_TRY(path_of(d, &f->from, &from, &f->change.cut));
        f->change.path = cis_buf_view(&path);
        f->change.from = cis_buf_view(&from);
    }
    *more = each(self, &f->change);
    return CIS_OK;
}

/* A change of what is called `was` at the first view and `is` at the second; NULL: not there. */
static cis_code add(struct diff *d, char what, const struct link *was, const struct link *is)
{
    struct found *f = vec_add(&d->found);
    if (f == NULL) {
        return cis_history_nomem(d->err);
    }
    *f = (struct found){.change = {.what = what}, .order = d->found.n};
    struct cis_change *c = &f->change;
    const struct cis_fs_inode *a = NULL, *b = NULL;
    if (was != NULL) {
        c->old_ino = was->ino[0];
        a = cis_rows_find(&d->rows[0], c->old_ino);
    }
    if (is != NULL) {
        c->ino = is->ino[1];
        b = cis_rows_find(&d->rows[1], c->ino);
    }
    c->old_mode = a != NULL ? a->mode : 0;
    c->old_size = a != NULL ? a->size : 0;
    c->mode = b != NULL ? b->mode : 0;
    c->size = b != NULL ? b->size : 0;
    bool content = a == NULL || b == NULL;
    if (!content) {
        CIS_TRY(content_differs(d, a, b, &content));
    }
    c->content = content;
    if (is != NULL) {
        f->at = (struct spot){is->parent, is->name, 1};
    }
    if (is == NULL || what == 'R') {
        *(is == NULL ? &f->at : &f->from) = (struct spot){was->parent, was->name, 0};
    }
    return keep_paths(d, f);
}

struct end {
    uint64_t ino;
    struct link *link;
    bool paired;
};

static int end_cmp(const void *a, const void *b)
{
    const struct end *x = a, *y = b;
    if (x->ino != y->ino) {
        return x->ino < y->ino ? -1 : 1;
    }
    return x->link < y->link ? -1 : x->link > y->link;
}

struct ends {
    struct end *at;
    size_t n, cap;
    struct cis_bound *bound;
};

static cis_code add_end(struct ends *v, uint64_t ino, struct link *link, struct cis_error *err)
{
    struct end *e = vec_add(v);
    if (e == NULL) {
        return cis_history_nomem(err);
    }
    *e = (struct end){.ino = ino, .link = link};
    return CIS_OK;
}

static cis_code pair_renames(struct diff *d, struct ends *gone, struct ends *come)
{
    qsort(gone->at, gone->n, sizeof *gone->at, end_cmp);
    qsort(come->at, come->n, sizeof *come->at, end_cmp);
    for (size_t i = 0, k = 0; i < gone->n && k < come->n;) {
        if (gone->at[i].ino < come->at[k].ino) {
            i++;
        } else if (gone->at[i].ino > come->at[k].ino) {
            k++;
        } else {
            gone->at[i].paired = come->at[k].paired = true;
            CIS_TRY(add(d, 'R', gone->at[i].link, come->at[k].link));
            i++;
            k++;
        }
    }
    return CIS_OK;
}

static int end_link_cmp(const void *a, const void *b)
{
    const struct end *x = a, *y = b;
    return x->link < y->link ? -1 : x->link > y->link;
}

/* Another file by the same name: told unless it looks the same in all respects. */
static cis_code replaced(struct diff *d, const struct link *link)
{
    const struct cis_fs_inode *a = cis_rows_find(&d->rows[0], link->ino[0]);
    const struct cis_fs_inode *b = cis_rows_find(&d->rows[1], link->ino[1]);
    bool differs = true;
    if (a != NULL && b != NULL && !attributes_differ(a, b)) {
        CIS_TRY(content_differs(d, a, b, &differs));
    }
    return differs ? add(d, 'M', link, link) : CIS_OK;
}

/* What is left: a name whose file is another one now, names that went, names that came. */
static cis_code tell_ends(struct diff *d, struct ends *gone, struct ends *come)
{
    qsort(gone->at, gone->n, sizeof *gone->at, end_link_cmp);
    qsort(come->at, come->n, sizeof *come->at, end_link_cmp);
    size_t k = 0;
    for (size_t i = 0; i < gone->n; i++) {
        struct end *g = &gone->at[i];
        while (k < come->n && come->at[k].link < g->link) {
            k++;
        }
        struct end *c = k < come->n && come->at[k].link == g->link ? &come->at[k] : NULL;
        if (c != NULL && c->paired) {
            continue; /* replaced by a rename, which says so */
        }
        if (g->paired) {
            continue;
        }
        if (c != NULL && !is_dir(g->link->type[0]) && !is_dir(g->link->type[1])) {
            c->paired = true;
            CIS_TRY(replaced(d, g->link));
        } else {
            CIS_TRY(add(d, 'D', g->link, NULL));
        }
    }
    for (size_t i = 0; i < come->n; i++) {
        if (!come->at[i].paired) {
            CIS_TRY(add(d, 'A', NULL, come->at[i].link));
        }
    }
    return CIS_OK;
}

static cis_code names(struct diff *d)
{
    struct ends gone = {.bound = &d->bound}, come = gone;
    cis_code code = CIS_OK;
    for (size_t i = 0; i < d->touched.links.n && code == CIS_OK; i++) {
        struct link *l = &d->touched.links.at[i];
        if (l->ino[0] == l->ino[1]) {
            continue;
        }
        if (l->ino[0] != 0) {
            code = add_end(&gone, l->ino[0], l, d->err);
        }
        if (code == CIS_OK && l->ino[1] != 0) {
            code = add_end(&come, l->ino[1], l, d->err);
        }
    }
    if (code == CIS_OK && gone.n != 0 && come.n != 0) {
        code = pair_renames(d, &gone, &come);
    }
    if (code == CIS_OK && (gone.n != 0 || come.n != 0)) {
        struct end none;
        gone.at = gone.at != NULL ? gone.at : &none;
        come.at = come.at != NULL ? come.at : &none;
        code = tell_ends(d, &gone, &come);
        gone.at = gone.at != &none ? gone.at : NULL;
        come.at = come.at != &none ? come.at : NULL;
    }
    vec_done(&gone);
    vec_done(&come);
    return code;
}

/* ---- files that changed under names that did not ---- */

/* How many of the file's names at the second view are among the touched ones; tells those that the
 * file had at both. */
static cis_code known_names(struct diff *d, const struct ends *by_ino, uint64_t ino, size_t *out)
{
    size_t low = 0, high = by_ino->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (by_ino->at[mid].ino < ino) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    for (*out = 0; low < by_ino->n && by_ino->at[low].ino == ino; low++) {
        struct link *l = by_ino->at[low].link;
        ++*out;
        if (l->ino[0] == l->ino[1]) {
            CIS_TRY(add(d, 'M', l, l));
        }
    }
    return CIS_OK;
}

static cis_code directory(struct diff *d, uint64_t ino)
{
    struct link self = {.parent = ino, .ino = {ino, ino}};
    return add(d, 'M', &self, &self);
}

static cis_code files_by(struct diff *d, const struct ends *by_ino)
{
    struct numbers hidden = {.bound = &d->bound};
    struct links links = {.bound = &d->bound};
    cis_code code = CIS_OK;
    for (size_t i = 0; i < d->touched.inos.n && code == CIS_OK; i++) {
        uint64_t ino = d->touched.inos.at[i];
        const struct cis_fs_inode *a = cis_rows_find(&d->rows[0], ino);
        const struct cis_fs_inode *b = cis_rows_find(&d->rows[1], ino);
        size_t known = 0;
        bool differs = false;
        if (a == NULL || b == NULL) {
            continue;
        }
        code = content_differs(d, a, b, &differs);
        if (code != CIS_OK || (!differs && !attributes_differ(a, b))) {
            continue;
        }
        if (is_dir(b->mode)) {
            code = directory(d, ino);
            continue;
        }
        code = known_names(d, by_ino, ino, &known);
        if (code == CIS_OK && known < b->nlink) {
            code = cis_numbers_add(&hidden, ino, d->err);
        }
    }
    if (code == CIS_OK && hidden.n != 0) {
        code = cis_places_find(d->h, d->view[1], &hidden, &links, &d->arena, d->err);
    }
    for (size_t i = 0; i < links.n && code == CIS_OK; i++) {
        struct link *l = &links.at[i];
        l->ino[1] = l->ino[0];
        bool told = d->touched.links.n != 0 && bsearch(l, d->touched.links.at, d->touched.links.n,
                                                       sizeof *l, cis_link_cmp) != NULL;
        if (!told) {
            code = add(d, 'M', l, l);
        }
    }
    cis_numbers_done(&hidden);
    vec_done(&links);
    return code;
}

static cis_code files(struct diff *d)
{
    struct ends by_ino = {.bound = &d->bound};
    cis_code code = CIS_OK;
    for (size_t i = 0; i < d->touched.links.n && code == CIS_OK; i++) {
        struct link *l = &d->touched.links.at[i];
        if (l->ino[1] != 0) {
            code = add_end(&by_ino, l->ino[1], l, d->err);
        }
    }
    if (by_ino.n != 0) {
        qsort(by_ino.at, by_ino.n, sizeof *by_ino.at, end_cmp);
    }
    if (code == CIS_OK) {
        code = files_by(d, &by_ino);
    }
    vec_done(&by_ino);
    return code;
}

static int found_cmp(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->late || y->late) {
        return x->late != y->late ? (x->late ? 1 : -1)
                                  : (x->order > y->order) - (x->order < y->order);
    }
    int order = cis_str_cmp(x->change.path, y->change.path);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

static cis_code read_both(struct diff *d)
{
    for (size_t i = 0; i < d->touched.inos.n; i++) {
        CIS_TRY(cis_numbers_add(&d->inos, d->touched.inos.at[i], d->err));
    }
    for (int side = 0; side < 2; side++) {
        CIS_TRY(cis_links_read(d->h, d->view[side], &d->touched.links, side, d->err));
        for (size_t i = 0; i < d->touched.links.n; i++) {
            if (d->touched.links.at[i].ino[side] != 0) {
                CIS_TRY(cis_numbers_add(&d->inos, d->touched.links.at[i].ino[side], d->err));
            }
        }
    }
    cis_numbers_sort(&d->inos);
    for (int side = 0; side < 2; side++) {
        CIS_TRY(cis_rows_read(d->h, d->view[side], &d->inos, &d->rows[side], d->err));
    }
    return CIS_OK;
}

static cis_code run(struct diff *d)
{
    CIS_TRY(cis_branches_load(d->h, &d->branches, d->err));
    struct cis_view common = cis_branches_common(&d->branches, d->view[0], d->view[1]);
    if (common.branch == 0) {
        return cis_fail(d->err, CIS_E_DAMAGED, "the branches have no common state");
    }
    for (int side = 0; side < 2; side++) {
        CIS_TRY(cis_touched_add(d->h, &d->branches, common, d->view[side], &d->touched, d->err));
    }
    cis_touched_sort(&d->touched);
    CIS_TRY(read_both(d));
    CIS_TRY(names(d));
    CIS_TRY(files(d));
    if (d->found.n != 0) {
        qsort(d->found.at, d->found.n, sizeof *d->found.at, found_cmp);
    }
    return CIS_OK;
}

cis_code cis_history_diff(const struct cis_history *h, struct cis_view a, struct cis_view b,
                          cis_change_each *each, void *self, struct cis_error *err)
{
    struct diff d = {.h = h, .view = {a, b}, .err = err};
    struct cis_history_pin pin[2] = {{0}, {0}};
    cis_code code = CIS_OK;
    for (int side = 0; side < 2; side++) {
        cis_places_init(&d.places[side], h, d.view[side]);
    }
    bind(&d);
    for (int side = 0; side < 2 && code == CIS_OK; side++) { /* nothing goes while it is read */
        code = cis_history_pin(h, d.view[side], &pin[side], err);
    }
    if (code == CIS_OK) {
        code = run(&d);
    }
    bool more = true;
    for (size_t i = 0; i < d.found.n && code == CIS_OK && more; i++) {
        code = tell(&d, &d.found.at[i], each, self, &more);
    }
    for (int side = 0; side < 2; side++) {
        cis_history_pin_drop(h, &pin[side]);
    }
    code = cis_bound_told(&d.bound, code, "diff", err);
    diff_done(&d);
    return code;
}
