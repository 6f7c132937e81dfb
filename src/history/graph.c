#include "history/graph.h"
#include "store/calls.h"

/* ---- ancestry ---- */
void cis_ancestry_done(struct ancestry *a)
{
    cis_free(a->upto);
    cis_numbers_done(&a->places);
    vec_done(&a->todo);
    *a = (struct ancestry){0};
}

void cis_graph_done(struct graph *g)
{
    for (size_t i = 0; g->lines != NULL && i < g->branches->n; i++) {
        vec_done(&g->lines[i].merges);
    }
    cis_free(g->lines);
    vec_done(&g->taken);
    cis_map_done(&g->places, NULL);
    cis_numbers_done(&g->gone);
    cis_ancestry_done(&g->sides[0]);
    cis_ancestry_done(&g->sides[1]);
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
        CIS_TRY(cis_ids_set(&g->places, branches->at[i].id, (void *)(uintptr_t)(i + 1), NULL, err));
    }
    return CIS_OK;
}

cis_code cis_graph_place(struct graph *g, uint64_t branch, size_t *out, struct cis_error *err)
{
    uintptr_t place = (uintptr_t)cis_ids_get(&g->places, branch);
    if (place == 0) {
        uint64_t *slot = vec_add(&g->gone);
        if (slot == NULL) {
            return cis_history_nomem(err);
        }
        *slot = branch;
        place = g->branches->n + g->gone.n;
        CIS_TRY(cis_ids_set(&g->places, branch, (void *)place, NULL, err));
    }
    *out = place - 1;
    return CIS_OK;
}

struct cis_view cis_ancestry_view(const struct graph *g, const struct ancestry *a, size_t place)
{
    uint64_t branch =
        place < g->branches->n ? g->branches->at[place].id : g->gone.at[place - g->branches->n];
    return (struct cis_view){branch, a->upto[place] - 1};
}

uint64_t cis_ancestry_upto(const struct ancestry *a, size_t place)
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
    for (size_t i = note.len; i > 0;) {
        i--;
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
        CIS_TRY(cis_store_commits(
            g->h->store, g->h->tenant,
            &(struct cis_fs_log_query){.branch = b->id, .after = after, .upto = to}, take_commit,
            &p, g->h->stop, err));
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
bool cis_graph_seen(const struct graph *g, struct cis_view below, uint64_t branch, uint64_t *out)
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
    uint64_t before = cis_ancestry_upto(a, place), from = b->parent != 0 ? b->fork_epoch : 0, seen;
    if (below != NULL && cis_graph_seen(g, *below, b->id, &seen)) {
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
cis_code cis_graph_walk(struct graph *g, struct cis_view from, const struct cis_view *below,
                        struct ancestry *a, struct cis_error *err)
{
    ancestry_reset(a);
    CIS_TRY(visit_later(a, from, err));
    while (a->todo.n != 0) {
        struct cis_view view = cis_branches_owner(g->branches, a->todo.at[--a->todo.n]);
        size_t place;
        uint64_t seen;
        CIS_TRY(cis_graph_place(g, view.branch, &place, err));
        if (cis_ancestry_upto(a, place) > view.epoch ||
            (below != NULL && cis_graph_seen(g, *below, view.branch, &seen) &&
             view.epoch <= seen)) {
            continue;
        }
        CIS_TRY(place < g->branches->n ? visit_known(g, a, place, view.epoch, below, err)
                                       : raise_to(a, place, view.epoch, err));
    }
    return CIS_OK;
}
