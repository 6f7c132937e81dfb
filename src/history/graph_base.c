/* The last states that two descend from, and the note that records a merge. */
#include "history/graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the last common states ---- */
static cis_code intersect(const struct graph *g, const struct ancestry *a, const struct ancestry *b,
                          struct views *out, struct cis_error *err)
{
    for (size_t i = 0; i < a->places.n; i++) {
        size_t place = a->places.at[i];
        struct cis_view x = cis_ancestry_view(g, a, place);
        if (cis_ancestry_upto(b, place) == 0) {
            continue;
        }
        struct cis_view y = cis_ancestry_view(g, b, place);
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
    CIS_CLEANUP(cis_ancestry_done) struct ancestry a = {0};
    for (size_t i = 0; i < views->n; i++) {
        if (views->at[i].branch == 0) {
            continue;
        }
        CIS_TRY(cis_graph_walk(g, views->at[i], NULL, &a, err));
        for (size_t k = 0; k < views->n; k++) {
            size_t place;
            if (k == i || views->at[k].branch == 0) {
                continue;
            }
            CIS_TRY(cis_graph_place(g, views->at[k].branch, &place, err));
            if (cis_ancestry_upto(&a, place) > views->at[k].epoch) {
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
    CIS_CLEANUP(cis_ancestry_done) struct ancestry all = {0};
    CIS_CLEANUP(cis_ancestry_done) struct ancestry one = {0};
    struct views common = {0};
    cis_code code = cis_graph_walk(g, of->at[0], NULL, &all, err);
    for (size_t i = 1; i < of->n && code == CIS_OK; i++) {
        code = cis_graph_walk(g, of->at[i], NULL, &one, err);
        for (size_t k = 0; k < all.places.n && code == CIS_OK; k++) {
            size_t place = all.places.at[k];
            all.upto[place] = cis_ancestry_upto(&one, place) < all.upto[place]
                                  ? cis_ancestry_upto(&one, place)
                                  : all.upto[place];
        }
    }
    for (size_t k = 0; k < all.places.n && code == CIS_OK; k++) {
        if (all.upto[all.places.at[k]] != 0) {
            struct cis_view *slot = vec_add(&common);
            code = slot != NULL ? CIS_OK : cis_history_nomem(err);
            if (slot != NULL) {
                *slot = cis_ancestry_view(g, &all, all.places.at[k]);
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
    vec_done(&common);
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

int cis_graph_view_cmp(const void *a, const void *b)
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
    struct ancestry *a = &g->sides[0], *b = &g->sides[1];
    struct views common = {0};
    /* Above the fork point first: mostly there is nothing but it. */
    CIS_TRY(cis_graph_walk(g, ours, &out->fork, a, err));
    CIS_TRY(cis_graph_walk(g, theirs, &out->fork, b, err));
    out->complete = !g->incomplete;
    cis_code code = intersect(g, a, b, &common, err);
    if (code == CIS_OK && common.n == 0) {
        out->at[0] = out->fork;
        out->n = 1;
        return CIS_OK;
    }
    common.n = 0;
    if (code == CIS_OK) {
        code = cis_graph_walk(g, ours, NULL, a, err);
    }
    if (code == CIS_OK) {
        code = cis_graph_walk(g, theirs, NULL, b, err);
    }
    if (code == CIS_OK) {
        code = intersect(g, a, b, &common, err);
    }
    if (code == CIS_OK) {
        code = keep_last(g, &common, err);
    }
    if (code == CIS_OK && common.n != 0) {
        qsort(common.at, common.n, sizeof *common.at, cis_graph_view_cmp);
        code = choose(g, &common, out, err);
    }
    vec_done(&common);
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
    CIS_CLEANUP(cis_ancestry_done) struct ancestry a = {0};
    bool dropped = false;
    CIS_TRY(cis_graph_walk(g, view, &fork, &a, err));
    for (size_t i = 0; i < a.places.n; i++) {
        struct cis_view to = cis_ancestry_view(g, &a, a.places.at[i]);
        const struct cis_branch *b = cis_branches_find(g->branches, to.branch);
        uint64_t seen = 0;
        if (b != NULL) { /* else nobody knows any more */
            bool below = cis_graph_seen(g, fork, b->id, &seen);
            CIS_TRY(cis_touched_branch(g->h, b->id,
                                       below && seen > b->fork_epoch ? seen : b->fork_epoch,
                                       to.epoch, out, &dropped, err));
        }
    }
    return dropped ? cis_touched_memory_rows(g->h, fork, view, out, err) : CIS_OK;
}

/* ---- the record of a merge ---- */
#define MARK_MAX 512

cis_code cis_graph_note(struct graph *g, struct cis_view ours, struct cis_view theirs,
                        const char *said, char out[CIS_FS_NOTE_MAX + 1], struct cis_error *err)
{
    CIS_CLEANUP(cis_ancestry_done) struct ancestry a = {0};
    CIS_CLEANUP(cis_ancestry_done) struct ancestry b = {0};
    struct cis_view fork = cis_branches_common(g->branches, ours, theirs);
    char mark[MARK_MAX];
    theirs = cis_branches_owner(g->branches, theirs);
    CIS_TRY(cis_graph_walk(g, ours, &fork, &a, err));
    CIS_TRY(cis_graph_walk(g, theirs, &fork, &b, err));
    size_t n = (size_t)snprintf(mark, sizeof mark, "[merges %" PRIu64 "@%" PRIu64, theirs.branch,
                                theirs.epoch);
    for (size_t i = 0; i < b.places.n; i++) {
        struct cis_view view = cis_ancestry_view(g, &b, b.places.at[i]);
        if (view.branch == theirs.branch || cis_ancestry_upto(&a, b.places.at[i]) > view.epoch) {
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
