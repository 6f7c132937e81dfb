/* What gc keeps for later merges: the bases that branches have with each other and with snapshots,
 * as pins that do not lapse. Without it a merge would have to go from where the branches parted. */
#include "history/graph.h"
#include "store/calls.h"

#include <stdlib.h>

struct held_pin {
    uint64_t id;
    struct cis_view view;
};
struct hold {
    const struct cis_history *h;
    struct {
        struct held_pin *at;
        size_t n, cap;
        struct cis_bound *bound;
    } pins;                     /* by view */
    struct views wanted, heads; /* heads: of branches, then snapshots */
    size_t branches;
    struct numbers made; /* places in heads of branches that cis made */
    bool *merged;        /* of each head: a merge led to it */
    bool full;
    struct cis_error *err;
};

static void hold_done(struct hold *x)
{
    vec_done(&x->pins);
    vec_done(&x->wanted);
    vec_done(&x->heads);
    cis_numbers_done(&x->made);
    cis_free(x->merged);
}

void cis_graph_keep(const struct cis_history *h, struct cis_view view)
{
    struct cis_error ignored;
    uint64_t id;
    (void)!cis_store_pin(h->store, h->tenant,
                         &(struct cis_fs_pin_request){.view = view, .ttl_ms = CIS_FS_PIN_LASTING},
                         &id, h->stop, &ignored);
}

static bool take_pin(void *self, const struct cis_fs_pin *pin)
{
    struct hold *x = self;
    if (pin->until_ms == INT64_MAX) {
        struct held_pin *slot = vec_add(&x->pins);
        x->full = slot == NULL;
        if (slot != NULL) {
            *slot = (struct held_pin){pin->id, pin->view};
        }
    }
    return !x->full;
}

static bool take_view(struct hold *x, struct cis_view view)
{
    struct cis_view *slot = vec_add(&x->heads);
    x->full = slot == NULL;
    if (slot != NULL) {
        *slot = view;
    }
    return !x->full;
}

static bool take_head(void *self, const struct cis_fs_ref *ref)
{
    struct hold *x = self;
    if (cis_fs_ref_is_made(cis_str_of(ref->name))) {
        x->full = cis_numbers_add(&x->made, x->heads.n, NULL) != CIS_OK;
    }
    return !x->full && take_view(x, ref->head);
}

static bool take_snapshot(void *self, const struct cis_fs_snapshot *snapshot)
{
    return take_view(self, snapshot->view);
}

static int pin_cmp(const void *a, const void *b)
{
    const struct held_pin *x = a, *y = b;
    int order = cis_graph_view_cmp(&x->view, &y->view);
    return order != 0 ? order : x->id < y->id ? -1 : x->id > y->id;
}

static cis_code want(struct hold *x, struct cis_view view)
{
    if (view.branch == 0 || view.epoch == 0) { /* the empty tree is always kept */
        return CIS_OK;
    }
    struct cis_view *slot = vec_add(&x->wanted);
    if (slot == NULL) {
        return cis_history_nomem(x->err);
    }
    *slot = view;
    return CIS_OK;
}

/* Does the state's own branch, or one it was forked from, record a merge? */
static cis_code was_merged(struct graph *g, struct cis_view view, bool *out, struct cis_error *err)
{
    view = cis_branches_owner(g->branches, view);
    for (*out = false; !*out && view.branch != 0;) {
        size_t place;
        CIS_TRY(cis_graph_place(g, view.branch, &place, err));
        if (place >= g->branches->n) {
            break;
        }
        const struct cis_branch *b = &g->branches->at[place];
        const struct graph_line *line = &g->lines[place];
        for (size_t i = 0; i < line->merges.n && !*out; i++) {
            *out = line->merges.at[i].epoch <= view.epoch;
        }
        view = (struct cis_view){b->parent < b->id ? b->parent : 0, b->fork_epoch};
    }
    return CIS_OK;
}

/* Of the branches that cis made, one for a run or an apply, there may be very many. Those that no
 * merge took and that took none have no base but where they parted. */
static cis_code drop_made(struct hold *x, struct graph *g)
{
    CIS_CLEANUP(cis_numbers_done) struct numbers taken = {0};
    size_t kept = 0, branches = x->branches;
    for (size_t i = 0; i < g->taken.n; i++) {
        CIS_TRY(cis_numbers_add(&taken, g->taken.at[i].branch, x->err));
    }
    cis_numbers_sort(&taken);
    for (size_t i = 0; i < x->heads.n; i++) {
        bool drop = false;
        if (cis_numbers_has(&x->made, i)) {
            size_t place;
            CIS_TRY(cis_graph_place(g, x->heads.at[i].branch, &place, x->err));
            drop = !cis_numbers_has(&taken, x->heads.at[i].branch) &&
                   (place >= g->branches->n || g->lines[place].merges.n == 0);
            branches -= drop ? 1 : 0;
        }
        if (!drop) {
            x->heads.at[kept++] = x->heads.at[i];
        }
    }
    x->heads.n = kept;
    x->branches = branches;
    return CIS_OK;
}

static cis_code want_pair(struct hold *x, struct graph *g, size_t i, size_t k)
{
    struct graph_bases bases;
    CIS_TRY(cis_graph_bases(g, x->heads.at[i], x->heads.at[k], &bases, x->err));
    bool parted = bases.n == 1 && cis_graph_view_cmp(&bases.at[0], &bases.fork) == 0;
    for (size_t b = 0; b < bases.n && !parted; b++) {
        CIS_TRY(want(x, bases.at[b]));
    }
    return want(x, bases.root);
}

/* Where branches parted is held by the fork itself, and without a merge there is no other base. A
 * snapshot is merged into branches only. The logs of all branches are read. */
static cis_code want_bases(struct hold *x, struct graph *g)
{
    CIS_TRY(drop_made(x, g));
    x->merged = cis_calloc(cis_size_add(x->heads.n, 1), sizeof *x->merged);
    if (x->merged == NULL) {
        return cis_history_nomem(x->err);
    }
    for (size_t i = 0; i < x->heads.n; i++) {
        CIS_TRY(was_merged(g, x->heads.at[i], &x->merged[i], x->err));
    }
    for (size_t i = 0; i < x->branches; i++) {
        CIS_TRY(x->h->stop != NULL ? cis_stop_check(x->h->stop, "gc", x->err) : CIS_OK);
        for (size_t k = i + 1; k < x->heads.n; k++) {
            if (x->merged[i] || x->merged[k]) {
                CIS_TRY(want_pair(x, g, i, k));
            }
        }
    }
    return CIS_OK;
}

/* Squashing follows: what cannot be pinned now would be lost, but for what is gone already. */
static cis_code pin_base(struct hold *x, struct cis_view view)
{
    const struct cis_history *h = x->h;
    struct cis_error why = {0};
    uint64_t id;
    cis_code code =
        cis_store_pin(h->store, h->tenant,
                      &(struct cis_fs_pin_request){.view = view, .ttl_ms = CIS_FS_PIN_LASTING}, &id,
                      h->stop, &why);
    return code == CIS_OK || code == CIS_E_EXPIRED || code == CIS_E_NOTFOUND
               ? CIS_OK
               : cis_fail(x->err, code, "%s", why.msg);
}

/* Pins and views are sorted: each view gets one pin, pins of no view go. */
static cis_code settle(struct hold *x)
{
    const struct cis_history *h = x->h;
    size_t i = 0, k = 0;
    while (i < x->wanted.n || k < x->pins.n) {
        const struct cis_view *view = i < x->wanted.n ? &x->wanted.at[i] : NULL;
        const struct held_pin *pin = k < x->pins.n ? &x->pins.at[k] : NULL;
        int order = view == NULL ? 1 : pin == NULL ? -1 : cis_graph_view_cmp(view, &pin->view);
        if (order > 0) {
            uint64_t id;
            CIS_TRY(cis_store_pin(h->store, h->tenant,
                                  &(struct cis_fs_pin_request){.view = pin->view, .id = pin->id},
                                  &id, h->stop, x->err));
            k++;
            continue;
        }
        if (order < 0) {
            CIS_TRY(pin_base(x, *view));
        }
        k += order == 0 ? 1 : 0;
        while (i + 1 < x->wanted.n && cis_graph_view_cmp(view, &x->wanted.at[i + 1]) == 0) {
            i++;
        }
        i++;
    }
    return CIS_OK;
}

static cis_code find_needed(struct graph *g, struct numbers *out, struct cis_error *err)
{
    for (size_t i = 0; i < g->branches->n; i++) {
        CIS_TRY(cis_graph_read(g, i, err));
        const struct graph_line *line = &g->lines[i];
        for (size_t k = 0; k < line->merges.n; k++) {
            if (line->merges.at[k].cut) {
                CIS_TRY(cis_numbers_add(out, g->taken.at[line->merges.at[k].from].branch, err));
            }
        }
    }
    cis_numbers_sort(out);
    return CIS_OK;
}

/* Pins are listed before branches: one that a merge makes meanwhile is not taken for one of no use.
 */
cis_code cis_graph_hold(const struct cis_history *h, bool dry_run, struct numbers *out_needed,
                        struct cis_error *err)
{
    CIS_CLEANUP(cis_branches_done) struct cis_branches branches = {0};
    CIS_CLEANUP(cis_graph_done) struct graph g = {0};
    CIS_CLEANUP(hold_done) struct hold x = {.h = h, .err = err};
    CIS_TRY(cis_store_pins(h->store, h->tenant, take_pin, &x, h->stop, err));
    CIS_TRY(cis_store_ref_list(h->store, h->tenant, take_head, &x, h->stop, err));
    x.branches = x.heads.n;
    if (!x.full) {
        CIS_TRY(
            cis_store_snapshots(h->store, h->tenant, CIS_STR(""), take_snapshot, &x, h->stop, err));
    }
    CIS_TRY(x.full ? cis_history_nomem(err) : CIS_OK);
    CIS_TRY(cis_branches_load(h, &branches, err));
    CIS_TRY(cis_graph_open(&g, h, &branches, err));
    CIS_TRY(find_needed(&g, out_needed, err));
    if (dry_run) {
        return CIS_OK;
    }
    CIS_TRY(want_bases(&x, &g));
    if (x.wanted.n > 1) {
        qsort(x.wanted.at, x.wanted.n, sizeof *x.wanted.at, cis_graph_view_cmp);
    }
    if (x.pins.n > 1) {
        qsort(x.pins.at, x.pins.n, sizeof *x.pins.at, pin_cmp);
    }
    return settle(&x);
}
