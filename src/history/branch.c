/* How branches descend from each other, and the log along them. */
#include "history/internal.h"
#include "store/calls.h"

#include <stdlib.h>

struct loading {
    struct cis_branches *out;
    bool full;
};

static bool load_one(void *self, const struct cis_fs_ref *ref)
{
    struct loading *l = self;
    struct cis_branch *b = vec_add(l->out);
    if (b == NULL) {
        l->full = true;
        return false;
    }
    *b = (struct cis_branch){.id = ref->head.branch,
                             .parent = ref->parent,
                             .fork_epoch = ref->fork_epoch,
                             .head = ref->head.epoch,
                             .created_ms = ref->created_ms,
                             .named = ref->name[0] != 0};
    return true;
}

static int branch_cmp(const void *a, const void *b)
{
    const struct cis_branch *x = a, *y = b;
    if (x->id != y->id) {
        return x->id < y->id ? -1 : 1;
    }
    return (int)y->named - (int)x->named;
}

cis_code cis_branches_load(const struct cis_history *h, struct cis_branches *out,
                           struct cis_error *err)
{
    struct cis_branches all = {0};
    struct loading l = {.out = &all};
    cis_code code = cis_store_branches(h->store, h->tenant, load_one, &l, h->stop, err);
    if (code == CIS_OK && l.full) {
        code = cis_history_nomem(err);
    }
    if (code != CIS_OK) {
        cis_branches_done(&all);
        return code;
    }
    if (all.n != 0) {
        qsort(all.at, all.n, sizeof *all.at, branch_cmp);
    }
    size_t kept = 0; /* a branch that two refs name comes twice */
    for (size_t i = 0; i < all.n; i++) {
        if (kept == 0 || all.at[kept - 1].id != all.at[i].id) {
            all.at[kept++] = all.at[i];
        }
    }
    all.n = kept;
    *out = all;
    return CIS_OK;
}

void cis_branches_done(struct cis_branches *branches)
{
    vec_done(branches);
    *branches = (struct cis_branches){0};
}

const struct cis_branch *cis_branches_find(const struct cis_branches *branches, uint64_t id)
{
    size_t low = 0, high = branches->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (branches->at[mid].id < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < branches->n && branches->at[low].id == id ? &branches->at[low] : NULL;
}

struct cis_view cis_branches_owner(const struct cis_branches *branches, struct cis_view view)
{
    for (size_t steps = 0; steps <= branches->n; steps++) {
        const struct cis_branch *b = cis_branches_find(branches, view.branch);
        if (b == NULL || b->parent == 0 || view.epoch > b->fork_epoch) {
            break;
        }
        view.branch = b->parent;
    }
    return view;
}

/* A fork's number is greater than its parent's: the younger of two branches steps up until both are
 * one. */
struct cis_view cis_branches_common(const struct cis_branches *branches, struct cis_view a,
                                    struct cis_view b)
{
    while (a.branch != b.branch) {
        struct cis_view *young = a.branch > b.branch ? &a : &b;
        const struct cis_branch *branch = cis_branches_find(branches, young->branch);
        if (branch == NULL || branch->parent == 0 || branch->parent >= branch->id) {
            return (struct cis_view){0, 0};
        }
        young->branch = branch->parent;
        if (young->epoch > branch->fork_epoch) {
            young->epoch = branch->fork_epoch;
        }
    }
    return (struct cis_view){a.branch, a.epoch < b.epoch ? a.epoch : b.epoch};
}

struct logging {
    cis_fs_commit_each *each;
    void *self;
    uint32_t n;
    bool stopped;
};

static bool log_one(void *self, const struct cis_fs_commit_row *row)
{
    struct logging *l = self;
    l->n++;
    l->stopped = !l->each(l->self, row);
    return !l->stopped;
}

cis_code cis_history_log(const struct cis_history *h, struct cis_view view, uint32_t limit,
                         bool keys, cis_fs_commit_each *each, void *self, struct cis_error *err)
{
    CIS_CLEANUP(cis_branches_done) struct cis_branches branches = {0};
    struct logging l = {.each = each, .self = self};
    CIS_TRY(cis_branches_load(h, &branches, err));
    view = cis_branches_owner(&branches, view);
    while (!l.stopped && (limit == 0 || l.n < limit)) {
        const struct cis_branch *b = cis_branches_find(&branches, view.branch);
        CIS_TRY(cis_store_commits(h->store, h->tenant,
                                  &(struct cis_fs_log_query){.branch = view.branch,
                                                             .after = b != NULL ? b->fork_epoch : 0,
                                                             .upto = view.epoch,
                                                             .newest = true,
                                                             .limit = limit == 0 ? 0 : limit - l.n,
                                                             .keys = keys},
                                  log_one, &l, h->stop, err));
        if (b == NULL || b->parent == 0 || b->parent >= b->id) {
            break;
        }
        view.branch = b->parent;
        view.epoch = view.epoch < b->fork_epoch ? view.epoch : b->fork_epoch;
    }
    return CIS_OK;
}
