#include "history/gc_roots.h"
#include "store/calls.h"

void cis_gc_roots_done(struct retain *r)
{
    for (size_t i = 0; i < r->n; i++) {
        cis_numbers_done(&r->at[i].held);
    }
    cis_free(r->at);
    cis_branches_done(&r->branches);
    *r = (struct retain){0};
}

struct window {
    struct kept *kept;
    uint64_t runs, seen;
    int64_t after_ms; /* what was replaced later than this stays */
};

/* Newest first: a commit that is recent keeps the state before it too, since that was the head
 * until then. */
static bool widen(void *self, const struct cis_fs_commit_row *row)
{
    struct window *w = self;
    bool young = row->time_ms > w->after_ms;
    if (w->seen++ >= w->runs && !young) {
        return false;
    }
    uint64_t from = young && row->epoch > 0 ? row->epoch - 1 : row->epoch;
    if (from < w->kept->branch.fork_epoch) {
        from = w->kept->branch.fork_epoch;
    }
    if (from < w->kept->from) {
        w->kept->from = from;
    }
    return true;
}

cis_code cis_gc_roots_windows(const struct cis_history *h, const struct cis_retention *keep,
                              struct retain *out, struct cis_error *err)
{
    struct retain r = {.grace_ms = cis_retention_grace_ms(keep)};
    int64_t age = cis_retention_age_ms(keep);
    CIS_TRY(cis_store_clock(h->store, &r.now_ms, NULL, h->stop, err));
    CIS_TRY(cis_branches_load(h, &r.branches, err));
    r.at = cis_calloc(cis_size_add(r.branches.n, 1), sizeof *r.at);
    r.n = r.at != NULL ? r.branches.n : 0;
    cis_code code = r.at != NULL ? CIS_OK : cis_history_nomem(err);
    for (size_t i = 0; i < r.n && code == CIS_OK; i++) {
        struct kept *k = &r.at[i];
        k->branch = r.branches.at[i];
        k->live = k->branch.named || k->branch.created_ms > r.now_ms - age;
        k->from = k->branch.head;
        if (k->live) {
            struct window w = {.kept = k, .runs = keep->runs, .after_ms = r.now_ms - age};
            code = cis_store_commits(h->store, h->tenant,
                                     &(struct cis_fs_log_query){.branch = k->branch.id,
                                                                .after = k->branch.fork_epoch,
                                                                .upto = k->branch.head,
                                                                .newest = true},
                                     widen, &w, h->stop, err);
        }
    }
    if (code != CIS_OK) {
        cis_gc_roots_done(&r);
        return code;
    }
    *out = r;
    return CIS_OK;
}

static struct kept *find(struct retain *r, uint64_t branch)
{
    size_t low = 0, high = r->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (r->at[mid].branch.id < branch) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < r->n && r->at[low].branch.id == branch ? &r->at[low] : NULL;
}

/* A view holds the state of its branch at its epoch, and of every ancestor at what it sees of it.
 * counts: it is somebody's, and not just there for ever. */
static cis_code hold(struct retain *r, struct cis_view view, bool counts, struct cis_error *err)
{
    r->views += counts;
    for (struct kept *k = find(r, view.branch); k != NULL;) {
        CIS_TRY(cis_numbers_add(&k->held, view.epoch, err));
        if (counts) {
            k->seen_upto = k->seen_by == 0 || view.epoch < k->seen_upto ? view.epoch : k->seen_upto;
            k->seen_by++;
        }
        if (k->branch.parent == 0 || k->branch.parent >= k->branch.id) {
            break;
        }
        view.epoch = view.epoch < k->branch.fork_epoch ? view.epoch : k->branch.fork_epoch;
        k = find(r, k->branch.parent);
    }
    return CIS_OK;
}

struct holding {
    struct retain *r;
    cis_code code;
    struct cis_error *err;
};

/* A fork that was there when the windows were looked at counts by what is alive of it. */
static bool take_hold(void *self, const struct cis_fs_hold *found)
{
    struct holding *x = self;
    if (found->by != CIS_FS_BY_FORK || find(x->r, found->fork) == NULL) {
        x->code = hold(x->r, found->view, true, x->err);
    }
    return x->code == CIS_OK;
}

cis_code cis_gc_roots_held(const struct cis_history *h, struct retain *r, struct cis_error *err)
{
    struct holding x = {.r = r, .err = err};
    /* All of one moment: what hands a state on from one holder to the next is never between two
     * looks. */
    CIS_TRY(cis_store_holds(h->store, h->tenant, take_hold, &x, h->stop, err));
    CIS_TRY(x.code);
    for (size_t i = 0; i < r->n; i++) {
        const struct kept *k = &r->at[i];
        if (k->branch.parent == 0) { /* the empty tree that everything began with (store/fs.h) */
            CIS_TRY(hold(r, (struct cis_view){k->branch.id, 0}, false, err));
        }
        if (k->live) {
            CIS_TRY(hold(r, (struct cis_view){k->branch.id, k->from}, true, err));
        }
    }
    for (size_t i = 0; i < r->n; i++) {
        cis_numbers_sort(&r->at[i].held);
    }
    return CIS_OK;
}

uint64_t cis_gc_roots_keys_upto(const struct retain *r, const struct kept *k)
{
    return k->seen_by == r->views ? k->seen_upto : 0;
}

bool cis_gc_roots_shows(const struct kept *k, uint64_t epoch, uint64_t next)
{
    if (k->live && next > k->from) {
        return true;
    }
    size_t i = cis_numbers_at(&k->held, epoch);
    return i < k->held.n && k->held.at[i] < next;
}
