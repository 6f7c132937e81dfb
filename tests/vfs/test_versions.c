/* A branch and its history against the model: random operations on several open files, and between
 * them commits, discards, views opened anew, snapshots, forks, rollbacks, overlays saved as forks.
 * The model's states are deep copies. Old history is squashed and swept, too, caches are emptied,
 * and fsck proves the whole in between. Each state that is kept is opened now and then and has to
 * be as it was, to the byte. --seed N --ops N repeats. */
#include "history/maintain.h"
#include "vfs/backend_layered.h"
#include "vfs/random.h"
#include "store/calls.h"

#define KEPT 10

struct state { /* of the past; content is the model's */
    struct cis_view view;
    subject *content;
    bool held; /* a snapshot: gc leaves it */
};

struct world {
    struct random_run run;
    struct layered_place *place;
    cis_vfs *vfs;
    char ref[64];
    subject *committed; /* what the head of ref holds */
    struct state kept[KEPT];
    size_t nkept, made; /* made: names given */
    uint64_t counts[16];
};

static struct random_args args;

static void attach(struct world *w)
{
    w->vfs = layered_open(w->place, w->ref, (struct cis_view){0, 0}, false);
    subject *s = subject_vfs("layered", w->vfs);
    if (w->run.nothers == 0) {
        random_add(&w->run, s);
    } else {
        w->run.others[0] = s;
    }
}

static void detach(struct world *w)
{
    w->run.others[0]->ops->free(w->run.others[0]);
    cis_vfs_close(w->vfs);
    subject_close_slots(w->run.model);
}

static void keep(struct world *w, struct cis_view view, const subject *content, bool held)
{
    size_t at = w->nkept < KEPT ? w->nkept++ : random_next(&w->run) % KEPT;
    if (w->kept[at].content != NULL) {
        w->kept[at].content->ops->free(w->kept[at].content);
    }
    w->kept[at] = (struct state){view, model_copy(content), held};
}

/* ---- what happens between operations ---- */

static bool do_commit(struct world *w)
{
    struct cis_fs_committed done = {0};
    random_note(&w->run, "commit");
    assert_ok(cis_layered_commit(w->vfs, NULL, &done, NULL, err));
    assert_false(cis_layered_dirty(w->vfs));
    model_assign(w->committed, w->run.model);
    keep(w, done.view, w->committed, false);
    return true;
}

static bool do_discard(struct world *w)
{
    random_note(&w->run, "discard");
    subject_close_slots(w->run.others[0]);
    cis_layered_discard(w->vfs);
    model_assign(w->run.model, w->committed);
    return true;
}

static bool do_reopen(struct world *w)
{
    random_note(&w->run, "the view is closed without a commit and opened again");
    detach(w);
    model_assign(w->run.model, w->committed);
    attach(w);
    return true;
}

static const struct state *some_kept(struct world *w)
{
    return w->nkept > 0 ? &w->kept[random_next(&w->run) % w->nkept] : NULL;
}

static bool compare_with(struct world *w, cis_vfs *vfs, subject *content)
{
    struct random_run old;
    random_begin(&old, w->run.seed, model_copy(content));
    random_add(&old, subject_vfs("another view", vfs));
    bool same = random_compare(&old);
    random_end(&old);
    cis_vfs_close(vfs);
    return same;
}

static bool do_look_back(struct world *w)
{
    const struct state *s = some_kept(w);
    if (s == NULL) {
        return true;
    }
    random_note(&w->run, "an old state is looked at");
    cis_vfs *vfs = layered_open(w->place, "", s->view, true);
    assert_true(vfs->read_only);
    return compare_with(w, vfs, s->content);
}

static bool snapshot_each(void *self, const struct cis_fs_snapshot *snapshot)
{
    *(struct cis_view *)self = snapshot->view;
    return true;
}

/* What a snapshot is of, its row says: a branch that was just forked has its state from its parent,
 * and may be gone one day. */
static bool do_snapshot(struct world *w)
{
    struct cis_fs_snapshot snapshot = {.view = cis_layered_view(w->vfs)};
    random_note(&w->run, "snapshot");
    snprintf(snapshot.name, sizeof snapshot.name, "s%zu", w->made++);
    assert_ok(cis_store_snapshot_put(w->place->store, LAYERED_TENANT, &snapshot, NULL, err));
    struct cis_view view = {0, 0};
    assert_ok(cis_store_snapshots(w->place->store, LAYERED_TENANT, cis_str_of(snapshot.name),
                                  snapshot_each, &view, NULL, err));
    assert_true(view.branch != 0);
    keep(w, view, w->committed, true);
    return true;
}

static bool do_fork(struct world *w)
{
    const struct state *s = some_kept(w);
    if (s == NULL) {
        return true;
    }
    random_note(&w->run, "fork of an old state, and work goes on there");
    char name[64];
    snprintf(name, sizeof name, "fork%zu", w->made++);
    struct cis_str names = cis_str_of(name);
    assert_ok(cis_store_fork(w->place->store, LAYERED_TENANT, s->view, &names, 1, NULL, err));
    detach(w);
    model_assign(w->committed, s->content);
    model_assign(w->run.model, s->content);
    memcpy(w->ref, name, sizeof name);
    attach(w);
    return true;
}

static bool do_rollback(struct world *w)
{
    const struct state *s = some_kept(w);
    if (s == NULL) {
        return true;
    }
    struct cis_fs_ref ref;
    struct cis_view head;
    random_note(&w->run, "rollback");
    detach(w);
    assert_ok(
        cis_store_ref_get(w->place->store, LAYERED_TENANT, cis_str_of(w->ref), &ref, NULL, err));
    assert_ok(cis_store_ref_move(
        w->place->store, LAYERED_TENANT,
        &(struct cis_fs_move_request){cis_str_of(w->ref), ref.head, s->view, 0, CIS_STR("")}, &head,
        NULL, err));
    model_assign(w->committed, s->content);
    model_assign(w->run.model, s->content);
    attach(w);
    return true;
}

static bool do_save_fork(struct world *w)
{
    char name[64];
    random_note(&w->run, "the overlay is saved as a fork");
    snprintf(name, sizeof name, "saved%zu", w->made++);
    assert_ok(cis_layered_commit_fork(w->vfs, cis_str_of(name), NULL, NULL, NULL, err));
    cis_vfs *vfs = layered_open(w->place, name, (struct cis_view){0, 0}, true);
    return compare_with(w, vfs, w->run.model);
}

/* The branch's row says how much it holds. */
static bool do_count(struct world *w)
{
    struct cis_fs_ref ref;
    random_note(&w->run, "usage");
    assert_ok(
        cis_store_ref_get(w->place->store, LAYERED_TENANT, cis_str_of(w->ref), &ref, NULL, err));
    if (ref.files != model_files(w->committed)) {
        print_message("files: %llu, in the model %llu\n", (unsigned long long)ref.files,
                      (unsigned long long)model_files(w->committed));
        return false;
    }
    return true;
}

/* Store and fs cache are opened again: nothing is cached. */
static bool do_cold(struct world *w)
{
    random_note(&w->run, "everything is closed and opened again");
    detach(w);
    model_assign(w->run.model, w->committed);
    layered_reopen(w->place);
    attach(w);
    return true;
}

/* The server ends without warning: what was committed is there afterwards, and a view that stays
 * has what it had. */
static bool do_crash(struct world *w)
{
    random_note(&w->run, "the server is killed");
    if (!store_place_crash(w->place->store_place) || random_next(&w->run) % 2 == 0) {
        return do_cold(w);
    }
    return random_compare(&w->run);
}

static bool fault_each(void *self, const struct cis_fault *fault)
{
    (void)self;
    print_message("%s " CIS_STR_FMT ": " CIS_STR_FMT "\n", fault->what, CIS_STR_ARG(fault->path),
                  CIS_STR_ARG(fault->text));
    return true;
}

static bool do_fsck(struct world *w)
{
    struct cis_history h = {w->place->store, LAYERED_TENANT, NULL, 0};
    struct cis_fsck_counts counts = {0};
    random_note(&w->run, "fsck");
    assert_ok(cis_history_fsck(&h, true, fault_each, NULL, &counts, err));
    return counts.faults == 0;
}

/* What gc may take goes at once: states that nothing holds are forgotten here as well. */
static bool do_gc(struct world *w)
{
    struct cis_history h = {w->place->store, LAYERED_TENANT, NULL, 0};
    struct cis_retention keep_little = {.runs = 1, .grace_ms = 1, .batch = 50};
    struct cis_gc_counts counts = {0};
    random_note(&w->run, "gc");
    assert_ok(cis_history_gc(&h, &keep_little, &counts, err));
    size_t n = 0;
    for (size_t i = 0; i < w->nkept; i++) {
        if (w->kept[i].held) {
            w->kept[n++] = w->kept[i];
        } else {
            w->kept[i].content->ops->free(w->kept[i].content);
        }
    }
    for (size_t i = n; i < w->nkept; i++) {
        w->kept[i].content = NULL;
    }
    w->nkept = n;
    return true;
}

static const struct {
    bool (*run)(struct world *);
    unsigned weight;
    const char *name;
} events[] = {
    {do_commit, 40, "commits"},
    {do_discard, 6, "discards"},
    {do_reopen, 8, "reopened"},
    {do_look_back, 20, "looked back"},
    {do_snapshot, 5, "snapshots"},
    {do_fork, 4, "forks"},
    {do_cold, 2, "cold"},
    {do_fsck, 2, "fsck"},
    {do_gc, 1, "gc"},
    {do_rollback, 4, "rollbacks"},
    {do_save_fork, 3, "saved"},
    {do_count, 10, "counted"},
    {do_crash, 1, "crashes"},
};
#define EVENTS (sizeof events / sizeof *events)

static bool event(struct world *w)
{
    unsigned at = (unsigned)(random_next(&w->run) % 106);
    for (size_t i = 0; i < EVENTS; i++) {
        if (at < events[i].weight) {
            w->counts[i]++;
            return events[i].run(w);
        }
        at -= events[i].weight;
    }
    return true;
}

/* Shorter than a whole run, so that the store of one round stays small. */
static bool round_of(uint64_t seed, uint64_t ops, uint64_t counts[EVENTS])
{
    struct world w = {.place = layered_begin(), .ref = "main"};
    random_begin(&w.run, seed, model_new());
    w.committed = model_copy(w.run.model);
    attach(&w);
    bool same = do_commit(&w);
    while (same && w.run.done < ops) {
        same = random_step(&w.run);
        if (same && random_next(&w.run) % 50 == 0) {
            same = event(&w);
        }
        if (same && w.run.done % 2500 == 0) {
            same = random_compare(&w.run);
        }
    }
    for (size_t i = 0; same && i < w.nkept; i++) {
        same = compare_with(&w, layered_open(w.place, "", w.kept[i].view, true), w.kept[i].content);
    }
    same = same && random_compare(&w.run) && do_fsck(&w);
    for (size_t i = 0; i < EVENTS; i++) {
        counts[i] += w.counts[i];
    }
    if (!same) {
        print_message("in the round with --seed %llu --ops %llu\n", (unsigned long long)seed,
                      (unsigned long long)ops);
        for (uint64_t i = w.run.done > 20 ? w.run.done - 20 : 0; i < w.run.done; i++) {
            print_message("  %s\n", w.run.last[i % 50]);
        }
    }
    random_end(&w.run);
    cis_vfs_close(w.vfs);
    w.committed->ops->free(w.committed);
    for (size_t i = 0; i < w.nkept; i++) {
        w.kept[i].content->ops->free(w.kept[i].content);
    }
    layered_end(w.place);
    return same;
}

static void a_branch_and_its_history_are_as_the_model(void **state)
{
    (void)state;
    uint64_t counts[EVENTS] = {0}, each = 20000;
    for (uint64_t done = 0; done < args.ops; done += each) {
        uint64_t ops = args.ops - done < each ? args.ops - done : each;
        assert_true(round_of(args.seed + done, ops, counts));
    }
    for (size_t i = 0; i < EVENTS; i++) {
        print_message("%llu %s, ", (unsigned long long)counts[i], events[i].name);
    }
    print_message("\n");
}

int main(int argc, char **argv)
{
    args = random_arguments(argc, argv, 20000);
    umask(0);
    stores_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_branch_and_its_history_are_as_the_model),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stores_stop();
    return failed;
}
