#include "history/graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- ancestry: of every branch the last epoch that a state descends from ---- */
struct ancestry {
    uint64_t *upto; /* by place: epoch + 1, 0: nothing of it */
    size_t cap;
    struct numbers places; /* that are not 0 */
    struct views todo;
};

static void ancestry_done(struct ancestry *a)
{
    cis_free(a->upto);
    cis_numbers_done(&a->places);
    cis_free(a->todo.at);
    *a = (struct ancestry){0};
}

void cis_graph_done(struct graph *g)
{
    for (size_t i = 0; g->lines != NULL && i < g->branches->n; i++) {
        cis_free(g->lines[i].merges.at);
    }
    cis_free(g->lines);
    cis_free(g->taken.at);
    cis_map_done(&g->places, NULL);
    cis_numbers_done(&g->gone);
    *g = (struct graph){0};
}

cis_code cis_graph_open(struct graph *g, const struct cis_history *h,
                        const struct cis_branches *branches, struct cis_error *err)
{
    *g = (struct graph){.h = h, .branches = branches, .places = CIS_MAP_INIT};
    g->lines = cis_calloc(cis_size_add(branches->n, 1), sizeof *g->lines);
    if (g->lines == NULL) {
        return cis_history_nomem(err);
    }
    for (size_t i = 0; i < branches->n; i++) {
        CIS_TRY(cis_ids_set(&g->places, branches->at[i].id, (void *)(uintptr_t)(i + 1), err));
    }
    return CIS_OK;
}

static cis_code place_of(struct graph *g, uint64_t branch, size_t *out, struct cis_error *err)
{
    uintptr_t place = (uintptr_t)cis_ids_get(&g->places, branch);
    if (place == 0) {
        uint64_t *slot = vec_add(&g->gone);
        if (slot == NULL) {
            return cis_history_nomem(err);
        }
        *slot = branch;
        place = g->branches->n + g->gone.n;
        CIS_TRY(cis_ids_set(&g->places, branch, (void *)place, err));
    }
    *out = place - 1;
    return CIS_OK;
}

static struct cis_view view_at(const struct graph *g, const struct ancestry *a, size_t place)
{
    uint64_t branch =
        place < g->branches->n ? g->branches->at[place].id : g->gone.at[place - g->branches->n];
    return (struct cis_view){branch, a->upto[place] - 1};
}

static uint64_t upto(const struct ancestry *a, size_t place)
{
    return place < a->cap ? a->upto[place] : 0;
}

static cis_code raise_to(struct ancestry *a, size_t place, uint64_t epoch, struct cis_error *err)
{
    if (place >= a->cap) {
        size_t cap = cis_size_add(place, 64);
        uint64_t *more = cis_realloc_array(a->upto, cap, sizeof *more);
        if (more == NULL) {
            return cis_history_nomem(err);
        }
        memset(more + a->cap, 0, (cap - a->cap) * sizeof *more);
        a->upto = more;
        a->cap = cap;
    }
    if (a->upto[place] == 0) {
        CIS_TRY(cis_numbers_add(&a->places, place, err));
    }
    a->upto[place] = epoch + 1;
    return CIS_OK;
}

static cis_code visit_later(struct ancestry *a, struct cis_view view, struct cis_error *err)
{
    struct cis_view *slot = vec_add(&a->todo);
    if (slot == NULL) {
        return cis_history_nomem(err);
    }
    *slot = view;
    return CIS_OK;
}

static void ancestry_reset(struct ancestry *a)
{
    for (size_t i = 0; i < a->places.n; i++) {
        a->upto[a->places.at[i]] = 0;
    }
    a->places.n = 0;
    a->todo.n = 0;
}

/* ---- records ---- */
static bool parse_view(struct cis_str text, struct cis_view *out)
{
    struct cis_str branch;
    return cis_str_split(&text, '@', &branch) && cis_str_u64(branch, &out->branch) &&
           cis_str_u64(text, &out->epoch) && out->branch != 0;
}

/* The text between the last mark and the bracket at the note's end. */
static bool find_mark(struct cis_str note, struct cis_str mark, struct cis_str *out)
{
    if (note.len == 0 || note.ptr[note.len - 1] != ']') {
        return false;
    }
    for (size_t i = note.len; i-- > 0;) {
        struct cis_str rest = {note.ptr + i, note.len - i};
        if (note.ptr[i] == '[') {
            *out = (struct cis_str){rest.ptr + mark.len, rest.len - mark.len - 1};
            return cis_str_starts(rest, mark) && rest.len > mark.len;
        }
    }
    return false;
}

struct parsing {
    struct graph *g;
    struct graph_line *line;
    cis_code code;
    struct cis_error *err;
};

static cis_code add_record(struct parsing *p, uint64_t epoch, struct cis_str list, bool alone)
{
    struct graph_merge merge = {.epoch = epoch, .from = p->g->taken.n, .alone = alone};
    struct cis_str one;
    for (bool more = list.len != 0; more;) {
        struct cis_view view;
        more = cis_str_split(&list, ' ', &one);
        if (cis_str_is(one, "+")) {
            merge.cut = true;
        } else if (parse_view(one, &view)) {
            struct cis_view *slot = vec_add(&p->g->taken);
            if (slot == NULL) {
                return cis_history_nomem(p->err);
            }
            *slot = view;
            merge.n++;
        } else {
            break; /* nothing that a merge writes: what was read counts */
        }
    }
    struct graph_merge *slot = merge.n != 0 ? vec_add(&p->line->merges) : NULL;
    if (merge.n != 0 && slot == NULL) {
        return cis_history_nomem(p->err);
    }
    if (slot != NULL) {
        *slot = merge;
    }
    return CIS_OK;
}

static bool take_commit(void *self, const struct cis_fs_commit_row *row)
{
    struct parsing *p = self;
    struct cis_str list;
    if (!cis_str_is(row->kind, "merge")) {
        return true;
    }
    if (find_mark(row->note, CIS_STR("[merges "), &list)) {
        p->code = add_record(p, row->epoch, list, false);
    } else if (find_mark(row->note, CIS_STR("[merged "), &list)) {
        p->code = add_record(p, row->epoch, list, true);
    }
    return p->code == CIS_OK;
}

/* Reads the branch's log after the epoch, once. */
static cis_code read_line(struct graph *g, size_t place, uint64_t after, struct cis_error *err)
{
    const struct cis_branch *b = &g->branches->at[place];
    struct graph_line *line = &g->lines[place];
    struct parsing p = {.g = g, .line = line, .err = err};
    uint64_t to = line->begun ? line->read_from : b->head;
    if (after < to) {
        CIS_TRY(g->h->store->fs->commits(g->h->store, g->h->tenant, b->id, after, to, false, 0,
                                         false, take_commit, &p, g->h->stop, err));
        CIS_TRY(p.code);
    }
    line->read_from = after < to ? after : to;
    line->begun = true;
    return CIS_OK;
}

cis_code cis_graph_read(struct graph *g, size_t place, struct cis_error *err)
{
    const struct cis_branch *b = &g->branches->at[place];
    return read_line(g, place, b->parent != 0 ? b->fork_epoch : 0, err);
}

/* ---- walking ---- */
/* What `below` sees of the branch: its last epoch of it; false: nothing. */
static bool seen_of(const struct graph *g, struct cis_view below, uint64_t branch, uint64_t *out)
{
    while (below.branch > branch) {
        const struct cis_branch *b = cis_branches_find(g->branches, below.branch);
        if (b == NULL || b->parent == 0 || b->parent >= b->id) {
            return false;
        }
        below.branch = b->parent;
        below.epoch = below.epoch < b->fork_epoch ? below.epoch : b->fork_epoch;
    }
    *out = below.epoch;
    return below.branch == branch;
}

static cis_code visit_known(struct graph *g, struct ancestry *a, size_t place, uint64_t epoch,
                            const struct cis_view *below, struct cis_error *err)
{
    const struct cis_branch *b = &g->branches->at[place];
    const struct graph_line *line = &g->lines[place];
    uint64_t before = upto(a, place), from = b->parent != 0 ? b->fork_epoch : 0, seen;
    if (below != NULL && seen_of(g, *below, b->id, &seen)) {
        from = seen > from ? seen : from;
    }
    CIS_TRY(read_line(g, place, from, err));
    uint64_t after = before != 0 && before - 1 > from ? before - 1 : from;
    for (size_t i = 0; i < line->merges.n; i++) {
        const struct graph_merge *m = &line->merges.at[i];
        for (size_t k = 0; m->epoch > after && m->epoch <= epoch && k < m->n; k++) {
            struct cis_view view = g->taken.at[m->from + k];
            g->incomplete |= m->alone && cis_branches_find(g->branches, view.branch) == NULL;
            CIS_TRY(visit_later(a, view, err));
        }
    }
    if (before == 0 && b->parent != 0 && b->parent < b->id) {
        CIS_TRY(visit_later(a, (struct cis_view){b->parent, b->fork_epoch}, err));
    }
    return raise_to(a, place, epoch, err);
}

/* Everything that `from` descends from and itself; below: but for that state and what it sees of
 * its own branches. */
static cis_code walk(struct graph *g, struct cis_view from, const struct cis_view *below,
                     struct ancestry *a, struct cis_error *err)
{
    ancestry_reset(a);
    CIS_TRY(visit_later(a, from, err));
    while (a->todo.n != 0) {
        struct cis_view view = cis_branches_owner(g->branches, a->todo.at[--a->todo.n]);
        size_t place;
        uint64_t seen;
        CIS_TRY(place_of(g, view.branch, &place, err));
        if (upto(a, place) > view.epoch ||
            (below != NULL && seen_of(g, *below, view.branch, &seen) && view.epoch <= seen)) {
            continue;
        }
        CIS_TRY(place < g->branches->n ? visit_known(g, a, place, view.epoch, below, err)
                                       : raise_to(a, place, view.epoch, err));
    }
    return CIS_OK;
}

/* ---- the last common states ---- */
static cis_code intersect(const struct graph *g, const struct ancestry *a, const struct ancestry *b,
                          struct views *out, struct cis_error *err)
{
    for (size_t i = 0; i < a->places.n; i++) {
        size_t place = a->places.at[i];
        struct cis_view x = view_at(g, a, place);
        if (upto(b, place) == 0) {
            continue;
        }
        struct cis_view y = view_at(g, b, place);
        struct cis_view *slot = vec_add(out);
        if (slot == NULL) {
            return cis_history_nomem(err);
        }
        *slot = x.epoch < y.epoch ? x : y;
    }
    return CIS_OK;
}

/* Leaves those of the views that no other of them descends from. */
static cis_code keep_last(struct graph *g, struct views *views, struct cis_error *err)
{
    CIS_CLEANUP(ancestry_done) struct ancestry a = {0};
    for (size_t i = 0; i < views->n; i++) {
        if (views->at[i].branch == 0) {
            continue;
        }
        CIS_TRY(walk(g, views->at[i], NULL, &a, err));
        for (size_t k = 0; k < views->n; k++) {
            size_t place;
            if (k == i || views->at[k].branch == 0) {
                continue;
            }
            CIS_TRY(place_of(g, views->at[k].branch, &place, err));
            if (upto(&a, place) > views->at[k].epoch) {
                views->at[k].branch = 0;
            }
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < views->n; i++) {
        if (views->at[i].branch != 0) {
            views->at[kept++] = views->at[i];
        }
    }
    views->n = kept;
    return CIS_OK;
}

/* The one state that several come from. */
static cis_code find_root(struct graph *g, const struct views *of, struct cis_view *out,
                          struct cis_error *err)
{
    CIS_CLEANUP(ancestry_done) struct ancestry all = {0};
    CIS_CLEANUP(ancestry_done) struct ancestry one = {0};
    struct views common = {0};
    cis_code code = walk(g, of->at[0], NULL, &all, err);
    for (size_t i = 1; i < of->n && code == CIS_OK; i++) {
        code = walk(g, of->at[i], NULL, &one, err);
        for (size_t k = 0; k < all.places.n && code == CIS_OK; k++) {
            size_t place = all.places.at[k];
            all.upto[place] =
                upto(&one, place) < all.upto[place] ? upto(&one, place) : all.upto[place];
        }
    }
    for (size_t k = 0; k < all.places.n && code == CIS_OK; k++) {
        if (all.upto[all.places.at[k]] != 0) {
            struct cis_view *slot = vec_add(&common);
            code = slot != NULL ? CIS_OK : cis_history_nomem(err);
            if (slot != NULL) {
                *slot = view_at(g, &all, all.places.at[k]);
            }
        }
    }
    if (code == CIS_OK) {
        code = keep_last(g, &common, err);
    }
    if (code == CIS_OK) {
        bool known = common.n == 1 && cis_branches_find(g->branches, common.at[0].branch) != NULL;
        *out = known ? common.at[0] : (struct cis_view){0, 0};
    }
    cis_free(common.at);
    return code;
}

static cis_code choose(struct graph *g, const struct views *last, struct graph_bases *out,
                       struct cis_error *err)
{
    bool known = last->n != 0 && last->n <= GRAPH_BASES;
    for (size_t i = 0; i < last->n && known; i++) {
        known = cis_branches_find(g->branches, last->at[i].branch) != NULL;
        out->at[i] = last->at[i];
    }
    out->n = known ? last->n : 0;
    return out->n > 1 ? find_root(g, last, &out->root, err) : CIS_OK;
}

static int view_cmp(const void *a, const void *b)
{
    const struct cis_view *x = a, *y = b;
    if (x->branch != y->branch) {
        return x->branch < y->branch ? -1 : 1;
    }
    return x->epoch < y->epoch ? -1 : x->epoch > y->epoch;
}

static cis_code search(struct graph *g, struct cis_view ours, struct cis_view theirs,
                       struct graph_bases *out, struct cis_error *err)
{
    CIS_CLEANUP(ancestry_done) struct ancestry a = {0};
    CIS_CLEANUP(ancestry_done) struct ancestry b = {0};
    struct views common = {0};
    /* Above the fork point first: mostly there is nothing but it. */
    CIS_TRY(walk(g, ours, &out->fork, &a, err));
    CIS_TRY(walk(g, theirs, &out->fork, &b, err));
    out->complete = !g->incomplete;
    cis_code code = intersect(g, &a, &b, &common, err);
    if (code == CIS_OK && common.n == 0) {
        out->at[0] = out->fork;
        out->n = 1;
        return CIS_OK;
    }
    common.n = 0;
    if (code == CIS_OK) {
        code = walk(g, ours, NULL, &a, err);
    }
    if (code == CIS_OK) {
        code = walk(g, theirs, NULL, &b, err);
    }
    if (code == CIS_OK) {
        code = intersect(g, &a, &b, &common, err);
    }
    if (code == CIS_OK) {
        code = keep_last(g, &common, err);
    }
    if (code == CIS_OK && common.n != 0) {
        qsort(common.at, common.n, sizeof *common.at, view_cmp);
        code = choose(g, &common, out, err);
    }
    cis_free(common.at);
    return code;
}

cis_code cis_graph_bases(struct graph *g, struct cis_view ours, struct cis_view theirs,
                         struct graph_bases *out, struct cis_error *err)
{
    *out = (struct graph_bases){.complete = true};
    ours = cis_branches_owner(g->branches, ours);
    theirs = cis_branches_owner(g->branches, theirs);
    out->fork = cis_branches_common(g->branches, ours, theirs);
    out->fork = cis_branches_owner(g->branches, out->fork);
    if (out->fork.branch == 0) {
        return cis_fail(err, CIS_E_DAMAGED, "the branches have no common state");
    }
    g->incomplete = false;
    CIS_TRY(search(g, ours, theirs, out, err));
    out->within =
        out->n == 1 && out->at[0].branch == theirs.branch && out->at[0].epoch == theirs.epoch;
    return CIS_OK;
}

cis_code cis_graph_touched(struct graph *g, struct cis_view view, struct cis_view fork,
                           struct touched *out, struct cis_error *err)
{
    CIS_CLEANUP(ancestry_done) struct ancestry a = {0};
    CIS_TRY(walk(g, view, &fork, &a, err));
    for (size_t i = 0; i < a.places.n; i++) {
        struct cis_view to = view_at(g, &a, a.places.at[i]);
        const struct cis_branch *b = cis_branches_find(g->branches, to.branch);
        uint64_t seen = 0;
        if (b != NULL) { /* else nobody knows any more */
            bool below = seen_of(g, fork, b->id, &seen);
            CIS_TRY(cis_touched_branch(g->h, b->id,
                                       below && seen > b->fork_epoch ? seen : b->fork_epoch,
                                       to.epoch, out, err));
        }
    }
    return CIS_OK;
}

/* ---- the record of a merge ---- */
#define MARK_MAX 512

cis_code cis_graph_note(struct graph *g, struct cis_view ours, struct cis_view theirs,
                        const char *said, char out[CIS_FS_NOTE_MAX + 1], struct cis_error *err)
{
    CIS_CLEANUP(ancestry_done) struct ancestry a = {0};
    CIS_CLEANUP(ancestry_done) struct ancestry b = {0};
    struct cis_view fork = cis_branches_common(g->branches, ours, theirs);
    char mark[MARK_MAX];
    theirs = cis_branches_owner(g->branches, theirs);
    CIS_TRY(walk(g, ours, &fork, &a, err));
    CIS_TRY(walk(g, theirs, &fork, &b, err));
    size_t n = (size_t)snprintf(mark, sizeof mark, "[merges %" PRIu64 "@%" PRIu64, theirs.branch,
                                theirs.epoch);
    for (size_t i = 0; i < b.places.n; i++) {
        struct cis_view view = view_at(g, &b, b.places.at[i]);
        if (view.branch == theirs.branch || upto(&a, b.places.at[i]) > view.epoch) {
            continue;
        }
        if (n + 48 > sizeof mark) {
            n += (size_t)snprintf(mark + n, sizeof mark - n, " +");
            break;
        }
        n += (size_t)snprintf(mark + n, sizeof mark - n, " %" PRIu64 "@%" PRIu64, view.branch,
                              view.epoch);
    }
    size_t room = CIS_FS_NOTE_MAX - n - 2; /* a blank and the bracket */
    snprintf(out, CIS_FS_NOTE_MAX + 1, "%.*s %s]", (int)cis_utf8_floor(said, strlen(said), room),
             said, mark);
    return CIS_OK;
}
