/* The contract of the reflog: what a ref left is kept by the move itself, is no snapshot, is
 * bounded, and holds its state until it is trimmed. */
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>
#include "tree.h"
#include "store/calls.h"

#define ENTRIES 2048

struct entries {
    struct cis_fs_reflog at[ENTRIES];
    char why[ENTRIES][64];
    size_t n;
};

static bool take_entry(void *self, const struct cis_fs_reflog *entry)
{
    struct entries *all = self;
    assert_true(all->n < ENTRIES);
    all->at[all->n] = *entry;
    snprintf(all->why[all->n++], sizeof all->why[0], "%.*s", CIS_STR_ARG(entry->why));
    return true;
}

/* Borrowed until the next call. */
static const struct entries *reflog(cis_store *s, const char *ref)
{
    static struct entries all;
    all.n = 0;
    assert_ok(cis_store_reflog(s, T, cis_str_of(ref), take_entry, &all, NULL, err));
    return &all;
}

static struct cis_view add(cis_store *s, const char *ref, const char *name)
{
    struct tree *t = tree_new(s, ref);
    tree_file(t, CIS_FS_ROOT, name, name);
    return tree_commit(t);
}

static struct cis_view move_to(cis_store *s, const char *ref, struct cis_view to, const char *why)
{
    struct cis_view head;
    assert_ok(cis_store_ref_move(
        s, T,
        &(struct cis_fs_move_request){cis_str_of(ref), tree_head(s, ref), to, 0, cis_str_of(why)},
        &head, NULL, err));
    return head;
}

static void same_view(struct cis_view a, struct cis_view b)
{
    assert_int_equal(a.branch, b.branch);
    assert_int_equal(a.epoch, b.epoch);
}

static void what_a_ref_left_is_in_the_reflog_newest_first(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view one = add(s, "main", "a"), two = add(s, "main", "b");
    struct cis_str side[] = {CIS_STR("side"), CIS_STR("main2")};
    assert_int_equal(reflog(s, "main")->n, 0);
    move_to(s, "main", one, "first");
    struct cis_view three = add(s, "main", "c");
    move_to(s, "main", two, "second");
    assert_ok(cis_store_fork(s, T, one, side, 2, NULL, err));
    move_to(s, "main2", three, "another name");
    const struct entries *all = reflog(s, "main");
    assert_int_equal(all->n, 2);
    same_view(all->at[0].view, three);
    same_view(all->at[1].view, two);
    assert_string_equal(all->why[0], "second");
    assert_string_equal(all->why[1], "first");
    assert_string_equal(all->at[1].ref, "main");
    assert_true(all->at[1].files == 2 && all->at[1].bytes == 2 && all->at[1].time_ms > 0);
    assert_names(s, all->at[0].view, "", "a c");
    all = reflog(s, "main2");
    assert_int_equal(all->n, 1);
    same_view(all->at[0].view, one); /* by the branch that owns it: the fork committed nothing */
    assert_int_equal(reflog(s, "")->n, 3);
    assert_int_equal(reflog(s, "side")->n, 0);
}

static void a_removed_ref_leaves_an_entry_unless_it_was_a_programs_own(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_str names[] = {CIS_STR("side"), CIS_STR("own")};
    assert_ok(cis_store_fork(s, T, add(s, "main", "a"), names, 2, NULL, err));
    struct cis_view last = add(s, "side", "b");
    assert_ok(cis_store_ref_remove(s, T, names[0], CIS_STR("dropped"), NULL, err));
    assert_ok(cis_store_ref_remove(s, T, names[1], CIS_STR(""), NULL, err));
    const struct entries *all = reflog(s, "side");
    assert_int_equal(all->n, 1);
    same_view(all->at[0].view, last);
    assert_string_equal(all->why[0], "dropped");
    assert_int_equal(reflog(s, "own")->n, 0);
    /* It is named, and a branch again. */
    assert_ok(cis_store_fork(s, T, last, names, 1, NULL, err));
    assert_names(s, tree_head(s, "side"), "", "a b");
    assert_int_equal(reflog(s, "side")->n, 1);
}

static void a_move_to_the_state_of_the_head_makes_nothing(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view one = add(s, "main", "a"), two = add(s, "main", "b");
    struct cis_view head = tree_head(s, "main");
    same_view(move_to(s, "main", two, "nowhere"), head);
    head = move_to(s, "main", one, "back");
    same_view(move_to(s, "main", one, "to the same by another branch"), head);
    same_view(tree_head(s, "main"), head);
    assert_int_equal(reflog(s, "main")->n, 1);
    assert_fails(CIS_E_CONFLICT, "changed meanwhile",
                 cis_store_ref_move(
                     s, T, &(struct cis_fs_move_request){CIS_STR("main"), two, two, 0, CIS_STR("")},
                     &head, NULL, err));
}

static bool count_snapshot(void *self, const struct cis_fs_snapshot *snapshot)
{
    (void)snapshot;
    ++*(int *)self;
    return true;
}

static bool name_hold(void *self, const struct cis_fs_hold *hold)
{
    struct cis_view *view = self;
    if (hold->by == CIS_FS_BY_SNAPSHOT) {
        *view = hold->view;
    }
    return true;
}

static void entries_of_the_reflog_are_no_snapshots(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_tenant tenant;
    struct cis_view one = add(s, "main", "a"), held = {0, 0};
    struct cis_view two = add(s, "main", "b");
    assert_ok(cis_store_tenant_get(s, T, &tenant, NULL, err));
    tenant.quota_snapshots = 1;
    assert_ok(cis_store_tenant_quota(s, T, &tenant, NULL, err));
    move_to(s, "main", one, "one");
    move_to(s, "main", two, "two");
    move_to(s, "main", one, "three");
    int n = 0;
    assert_ok(cis_store_snapshots(s, T, CIS_STR(""), count_snapshot, &n, NULL, err));
    assert_int_equal(n, 0);
    assert_ok(cis_store_tenant_get(s, T, &tenant, NULL, err));
    assert_int_equal(tenant.snapshots, 0);
    struct cis_fs_snapshot shot = {.name = "s", .view = one, .note = CIS_STR("")};
    assert_ok(cis_store_snapshot_put(s, T, &shot, NULL, err)); /* the one that the quota allows */
    shot.name[0] = 't';
    assert_fails(CIS_E_QUOTA, "quota", cis_store_snapshot_put(s, T, &shot, NULL, err));
    assert_ok(cis_store_snapshot_remove(s, T, CIS_STR("s"), NULL, err));
    assert_ok(cis_store_holds(s, T, name_hold, &held, NULL, err));
    assert_true(held.branch != 0);
}

/* A note is a user's, and so is a name: neither makes an entry, and no snapshot's verb reaches one.
 */
static void nobody_makes_or_removes_an_entry_by_its_name(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view one = add(s, "main", "a");
    struct cis_fs_snapshot forged = {.view = one, .note = CIS_STR("main\nrollback")};
    struct cis_fs_reflog_name row;
    int n = 0;
    cis_fs_reflog_make(CIS_STR("main"), &row);
    memcpy(forged.name, row.name.ptr, row.name.len);
    assert_fails(CIS_E_INVALID, "not a valid name",
                 cis_store_snapshot_put(s, T, &forged, NULL, err));
    struct cis_str ref = row.name;
    assert_fails(CIS_E_INVALID, "not a valid name", cis_store_fork(s, T, one, &ref, 1, NULL, err));
    add(s, "main", "b");
    move_to(s, "main", one, "moved");
    struct cis_fs_reflog_name from, to;
    cis_fs_reflog_range(CIS_STR("main"), &from, &to);
    assert_fails(CIS_E_NOTFOUND, "", cis_store_snapshot_remove(s, T, from.name, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "",
                 cis_store_snapshots(s, T, from.name, count_snapshot, &n, NULL, err));
    assert_int_equal(reflog(s, "main")->n, 1);
}

static void the_reflog_of_a_name_is_bounded(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view state_of[2] = {add(s, "main", "a"), add(s, "main", "b")};
    struct cis_str side = CIS_STR("side");
    char why[16];
    assert_ok(cis_store_fork(s, T, state_of[0], &side, 1, NULL, err));
    move_to(s, "side", state_of[1], "the other's");
    for (int i = 0; i < (int)CIS_FS_REFLOG_MAX + 7; i++) {
        snprintf(why, sizeof why, "%d", i);
        move_to(s, "main", state_of[i % 2], why);
    }
    const struct entries *all = reflog(s, "main");
    assert_int_equal(all->n, CIS_FS_REFLOG_MAX);
    snprintf(why, sizeof why, "%d", (int)CIS_FS_REFLOG_MAX + 6);
    assert_string_equal(all->why[0], why);
    assert_string_equal(all->why[all->n - 1], "7");
    assert_int_equal(reflog(s, "side")->n, 1);
}

static void the_reflog_of_removed_names_is_bounded_together(void **state)
{
    enum { MORE = 9, N = CIS_FS_REFLOG_LOST + MORE };
    cis_store *s = fs_store(state);
    struct cis_view one = add(s, "main", "a");
    static char text[N][16];
    static struct cis_str names[N];
    for (size_t i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "n%zu", i);
        names[i] = cis_str_of(text[i]);
    }
    add(s, "main", "b");
    move_to(s, "main", one, "of a name that is there");
    assert_ok(cis_store_fork(s, T, one, names, N, NULL, err));
    for (size_t i = 0; i < N; i++) {
        assert_ok(cis_store_ref_remove(s, T, names[i], CIS_STR("drop"), NULL, err));
    }
    assert_int_equal(reflog(s, "")->n, CIS_FS_REFLOG_LOST + 1);
    assert_int_equal(reflog(s, "main")->n, 1);
    assert_int_equal(reflog(s, text[MORE - 1])->n, 0);
    assert_int_equal(reflog(s, text[MORE])->n, 1);
}

static void the_reflog_holds_a_state_until_it_is_trimmed(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view one = add(s, "main", "a"), two = add(s, "main", "b"), owner;
    int64_t now = 0;
    move_to(s, "main", one, "back");
    assert_ok(cis_store_squash(
        s, T, &(struct cis_fs_squash_request){two.branch, two.epoch + 1, NULL, 0}, NULL, err));
    assert_ok(cis_store_view_check(s, T, two, &owner, NULL, err));
    assert_fails(CIS_E_CONFLICT, "", cis_store_branch_remove(s, T, two.branch, NULL, err));
    assert_ok(cis_store_clock(s, &now, NULL, NULL, err));
    assert_ok(cis_store_reflog_trim(s, T, now - 60000, NULL, err));
    assert_int_equal(reflog(s, "main")->n, 1);
    assert_ok(cis_store_reflog_trim(s, T, now + 60000, NULL, err));
    assert_int_equal(reflog(s, "main")->n, 0);
    assert_fails(CIS_E_EXPIRED, "expired", cis_store_view_check(s, T, two, &owner, NULL, err));
    assert_ok(cis_store_view_check(s, T, one, &owner, NULL, err)); /* the branch was forked there */
}

static void the_reflog_is_there_when_the_store_is_opened_again(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view one = add(s, "main", "a"), two = add(s, "main", "b");
    move_to(s, "main", one, "back");
    s = fs_reopen(state);
    const struct entries *all = reflog(s, "main");
    assert_int_equal(all->n, 1);
    same_view(all->at[0].view, two);
}

/* ---- two at once ---- */
#define MOVERS 6
#define TURNS 12

struct mover {
    cis_store *s;
    struct cis_view to[2];
    struct cis_view left[TURNS];
    int n, refused;
};

static void *move_often(void *arg)
{
    struct mover *m = arg;
    for (int i = 0; i < TURNS; i++) {
        struct cis_error why = {0};
        struct cis_fs_ref ref;
        struct cis_view made;
        assert_ok(cis_store_ref_get(m->s, T, CIS_STR("main"), &ref, NULL, err));
        struct cis_view to = m->to[ref.head.epoch == m->to[0].epoch];
        cis_code code = cis_store_ref_move(
            m->s, T,
            &(struct cis_fs_move_request){CIS_STR("main"), ref.head, to, 0, CIS_STR("race")}, &made,
            NULL, &why);
        if (code == CIS_OK) {
            m->left[m->n++] = ref.head;
        } else {
            assert_int_equal(code, CIS_E_CONFLICT);
            m->refused++;
        }
    }
    return NULL;
}

/* Each move that is answered has its entry, each that is refused has none. */
static void rollbacks_that_race_leave_one_entry_each(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view one = add(s, "main", "a"), two = add(s, "main", "b");
    struct mover movers[MOVERS];
    pthread_t threads[MOVERS];
    int moved = 0, refused = 0, from_two = 0, entries_of_two = 0;
    for (int i = 0; i < MOVERS; i++) {
        movers[i] = (struct mover){.s = s, .to = {two, one}};
        assert_int_equal(pthread_create(&threads[i], NULL, move_often, &movers[i]), 0);
    }
    for (int i = 0; i < MOVERS; i++) {
        pthread_join(threads[i], NULL);
        moved += movers[i].n;
        refused += movers[i].refused;
        for (int k = 0; k < movers[i].n; k++) {
            from_two += movers[i].left[k].epoch == two.epoch;
        }
    }
    assert_int_equal(moved + refused, MOVERS * TURNS);
    const struct entries *all = reflog(s, "main");
    assert_int_equal(all->n, moved);
    for (size_t i = 0; i < all->n; i++) { /* a chain: what one came from another had gone to */
        entries_of_two += all->at[i].view.epoch == two.epoch;
        assert_int_equal(all->at[i].view.epoch,
                         (i + (size_t)moved) % 2 == 0 ? one.epoch : two.epoch);
    }
    assert_int_equal(entries_of_two, from_two);
}

const struct fs_test fs_tests_reflog[] = {
    FS_TEST(what_a_ref_left_is_in_the_reflog_newest_first),
    FS_TEST(a_removed_ref_leaves_an_entry_unless_it_was_a_programs_own),
    FS_TEST(a_move_to_the_state_of_the_head_makes_nothing),
    FS_TEST(entries_of_the_reflog_are_no_snapshots),
    FS_TEST(nobody_makes_or_removes_an_entry_by_its_name),
    FS_TEST(the_reflog_of_a_name_is_bounded),
    FS_TEST(the_reflog_of_removed_names_is_bounded_together),
    FS_TEST(the_reflog_holds_a_state_until_it_is_trimmed),
    FS_TEST(the_reflog_is_there_when_the_store_is_opened_again),
    FS_TEST(rollbacks_that_race_leave_one_entry_each),
    {NULL, NULL},
};
