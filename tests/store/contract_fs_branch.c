/* The contract of trees over branches: forks, forks of forks, rollback, and commits that meet. */
#include "harness.h"

#include <sys/stat.h>
#include "tree.h"
#include "store/calls.h"

static void fork_one(cis_store *s, struct cis_view from, const char *name)
{
    struct cis_str n = cis_str_of(name);
    assert_ok(cis_store_fork(s, T, from, &n, 1, NULL, err));
}

static struct cis_view write_text(cis_store *s, const char *ref, const char *name, const char *text)
{
    struct tree *t = tree_new(s, ref);
    uint64_t ino = tree_find(s, t->fs.base, name);
    if (ino != 0) {
        tree_text(t, ino, text);
    } else {
        tree_file(t, CIS_FS_ROOT, name, text);
    }
    return tree_commit(t);
}

static struct cis_view remove_file(cis_store *s, const char *ref, const char *name)
{
    struct tree *t = tree_new(s, ref);
    tree_unlink(t, CIS_FS_ROOT, name, tree_find(s, t->fs.base, name));
    return tree_commit(t);
}

static void a_fork_sees_its_base_and_its_own_changes_only(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view base = write_text(s, "main", "f", "base");
    fork_one(s, base, "work");
    struct cis_view ours = write_text(s, "work", "f", "ours");
    struct cis_view theirs = write_text(s, "main", "f", "theirs");
    write_text(s, "main", "new", "x");
    assert_text(s, base, "f", "base");
    assert_text(s, ours, "f", "ours");
    assert_text(s, theirs, "f", "theirs");
    assert_text(s, tree_head(s, "work"), "new", NULL);
    assert_names(s, tree_head(s, "work"), "", "f");
    assert_names(s, tree_head(s, "main"), "", "f new");
    assert_true(ours.branch != theirs.branch);
}

static void what_a_fork_removed_stays_in_its_parent(void **state)
{
    cis_store *s = fs_store(state);
    struct tree *t = tree_new(s, "main");
    uint64_t dir = tree_mkdir(t, CIS_FS_ROOT, "d"), f = tree_file(t, dir, "f", "x");
    struct cis_view base = tree_commit(t);
    fork_one(s, base, "one");
    t = tree_new(s, "one");
    tree_unlink(t, dir, "f", f);
    tree_commit(t);
    t = tree_new(s, "one");
    tree_rmdir(t, CIS_FS_ROOT, "d", dir);
    struct cis_view gone = tree_commit(t);
    fork_one(s, gone, "two");
    t = tree_new(s, "two"); /* the same name again, in a fork of the fork */
    uint64_t again = tree_mkdir(t, CIS_FS_ROOT, "d");
    tree_file(t, again, "g", "y");
    struct cis_view two = tree_commit(t);
    struct cis_fs_inode row;
    assert_names(s, tree_head(s, "main"), "d", "f");
    assert_names(s, gone, "", "");
    assert_false(tree_stat(s, gone, dir, &row, NULL));
    assert_false(tree_stat(s, gone, f, &row, NULL));
    assert_true(tree_stat(s, base, f, &row, NULL));
    assert_names(s, two, "", "d/");
    assert_names(s, two, "d", "g");
    assert_false(tree_stat(s, two, f, &row, NULL));
}

/* A fork taken from the past of a fork must not see what its grandparent did after the point where
 * its parent left it: the bound of an ancestor is the smaller of both. */
static void an_ancestor_is_seen_up_to_the_smallest_bound_on_the_way(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view one = write_text(s, "main", "f", "1");
    struct cis_view two = write_text(s, "main", "f", "2");
    fork_one(s, two, "child");
    struct cis_view three = write_text(s, "main", "f", "3");
    struct cis_view child = write_text(s, "child", "g", "child");
    fork_one(s, child, "grand"); /* at the child's head: main up to two, not three */
    assert_text(s, tree_head(s, "grand"), "f", "2");
    assert_text(s, tree_head(s, "grand"), "g", "child");
    /* The child at an epoch before it was forked: that is main at one. */
    struct cis_view owner, past = {child.branch, one.epoch};
    assert_ok(cis_store_view_check(s, T, past, &owner, NULL, err));
    assert_true(owner.branch == one.branch && owner.epoch == one.epoch);
    assert_text(s, past, "f", "1");
    fork_one(s, past, "old");
    assert_text(s, tree_head(s, "old"), "f", "1");
    assert_text(s, tree_head(s, "old"), "g", NULL);
    struct cis_view old = write_text(s, "old", "h", "old");
    fork_one(s, old, "older");
    write_text(s, "main", "f", "4");
    assert_text(s, tree_head(s, "older"), "f", "1");
    assert_text(s, tree_head(s, "older"), "h", "old");
    assert_text(s, three, "f", "3");
}

static void a_chain_of_forks_is_read_through(void **state)
{
    cis_store *s = fs_store(state);
    char name[16], parent[16] = "main", text[16];
    for (int i = 0; i < 33; i++) {
        snprintf(text, sizeof text, "file%02d", i);
        write_text(s, parent, text, text);
        if (i % 3 == 2) {
            snprintf(text, sizeof text, "file%02d", i - 2);
            remove_file(s, parent, text);
        }
        snprintf(name, sizeof name, "fork%d", i);
        fork_one(s, tree_head(s, parent), name);
        memcpy(parent, name, sizeof parent);
    }
    struct cis_view at = tree_head(s, parent);
    for (int i = 0; i < 33; i++) {
        snprintf(text, sizeof text, "file%02d", i);
        assert_text(s, at, text, i % 3 == 0 ? NULL : text);
    }
    assert_names(s, tree_head(s, "fork2"), "", "file01 file02 file03");
}

static void a_thousand_forks_are_one_command(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view base = write_text(s, "main", "f", "base");
    static char text[1000][16];
    static struct cis_str names[1001];
    for (int i = 0; i < 1000; i++) {
        snprintf(text[i], sizeof text[i], "agent/%d", i);
        names[i] = cis_str_of(text[i]);
    }
    assert_ok(cis_store_fork(s, T, base, names, 1000, NULL, err));
    write_text(s, "agent/7", "f", "seven");
    assert_text(s, tree_head(s, "agent/7"), "f", "seven");
    assert_text(s, tree_head(s, "agent/999"), "f", "base");
    struct cis_str bad[3] = {CIS_STR("fine"), CIS_STR("agent/5"), CIS_STR("also")};
    struct cis_fs_ref r;
    assert_fails(CIS_E_EXISTS, "agent/5", cis_store_fork(s, T, base, bad, 3, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "fine", cis_store_ref_get(s, T, bad[0], &r, NULL, err));
}

static void a_rollback_shows_the_past_and_goes_on_from_there(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view one = write_text(s, "main", "f", "1"), head;
    struct cis_view two = write_text(s, "main", "g", "2");
    assert_fails(CIS_E_CONFLICT, "",
                 cis_store_ref_move(
                     s, T, &(struct cis_fs_move_request){CIS_STR("main"), one, one, 0, CIS_STR("")},
                     &head, NULL, err));
    assert_ok(cis_store_ref_move(
        s, T, &(struct cis_fs_move_request){CIS_STR("main"), two, one, 0, CIS_STR("")}, &head, NULL,
        err));
    assert_true(head.branch != one.branch);
    assert_names(s, tree_head(s, "main"), "", "f");
    struct tree *late = tree_new_at(s, "main", two); /* began before the rollback */
    tree_file(late, CIS_FS_ROOT, "late", "x");
    assert_fails(CIS_E_CONFLICT, "rolled back", tree_try(late, NULL, err));
    write_text(s, "main", "h", "3");
    assert_names(s, tree_head(s, "main"), "", "f h");
    assert_names(s, two, "", "f g");
    /* And forward again: nothing was destroyed. */
    assert_ok(cis_store_ref_move(
        s, T,
        &(struct cis_fs_move_request){CIS_STR("main"), tree_head(s, "main"), two, 0, CIS_STR("")},
        &head, NULL, err));
    assert_names(s, tree_head(s, "main"), "", "f g");
}

static void counts_of_files_and_bytes_follow_every_branch(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_fs_ref r;
    write_text(s, "main", "f", "12345");
    struct cis_view two = write_text(s, "main", "g", "678");
    remove_file(s, "main", "f");
    assert_ok(cis_store_ref_get(s, T, CIS_STR("main"), &r, NULL, err));
    assert_true(r.files == 1 && r.bytes == 3);
    fork_one(s, two, "fork");
    assert_ok(cis_store_ref_get(s, T, CIS_STR("fork"), &r, NULL, err));
    assert_true(r.files == 2 && r.bytes == 8 && r.parent == two.branch &&
                r.fork_epoch == two.epoch);
    struct cis_view head;
    assert_ok(cis_store_ref_move(
        s, T,
        &(struct cis_fs_move_request){CIS_STR("main"), tree_head(s, "main"), two, 0, CIS_STR("")},
        &head, NULL, err));
    assert_ok(cis_store_ref_get(s, T, CIS_STR("main"), &r, NULL, err));
    assert_true(r.files == 2 && r.bytes == 8);
}

static void runs_from_one_base_merge_in_a_directory_and_conflict_in_a_file(void **state)
{
    cis_store *s = fs_store(state);
    struct tree *t = tree_new(s, "main");
    uint64_t dir = tree_mkdir(t, CIS_FS_ROOT, "dir"), f = tree_file(t, dir, "f", "x");
    struct cis_view base = tree_commit(t), head;
    struct tree *runs[5];
    for (int i = 0; i < 5; i++) {
        runs[i] = tree_new_at(s, "main", base);
    }
    tree_mkdir(runs[0], dir, "one");
    tree_mkdir(runs[1], dir, "two");
    tree_text(runs[1], f, "by two");
    tree_text(runs[2], f, "by three");
    tree_file(runs[3], dir, "one", "a file where a directory is now");
    tree_unlink(runs[4], dir, "f", f);
    tree_commit(runs[0]);
    head = tree_commit(runs[1]);
    assert_fails(CIS_E_CONFLICT, "inode", tree_try(runs[2], NULL, err));
    assert_fails(CIS_E_CONFLICT, "\"one\"", tree_try(runs[3], NULL, err));
    assert_fails(CIS_E_CONFLICT, "", tree_try(runs[4], NULL, err));
    struct cis_fs_inode row;
    assert_true(tree_stat(s, head, dir, &row, NULL) && row.nlink == 4);
    assert_names(s, head, "dir", "f one/ two/");
    assert_text(s, head, "dir/f", "by two");
    assert_true(tree_head(s, "main").epoch == head.epoch);
}

static void a_directory_that_others_filled_or_removed_is_a_conflict(void **state)
{
    cis_store *s = fs_store(state);
    struct tree *t = tree_new(s, "main");
    uint64_t a = tree_mkdir(t, CIS_FS_ROOT, "a"), b = tree_mkdir(t, CIS_FS_ROOT, "b");
    struct cis_view base = tree_commit(t);
    struct tree *fill = tree_new_at(s, "main", base), *empty = tree_new_at(s, "main", base);
    struct tree *late = tree_new_at(s, "main", base), *knot = tree_new_at(s, "main", base);
    struct tree *move = tree_new_at(s, "main", base);
    tree_file(fill, a, "x", "x");
    tree_rmdir(empty, CIS_FS_ROOT, "a", a);
    tree_rmdir(late, CIS_FS_ROOT, "b", b);
    tree_move(move, CIS_FS_ROOT, "a", b, a);
    tree_move(knot, CIS_FS_ROOT, "b", a, b);
    tree_commit(fill);
    assert_fails(CIS_E_CONFLICT, "\"x\"", tree_try(empty, NULL, err));
    tree_commit(move); /* what is inside moves along */
    assert_fails(CIS_E_CONFLICT, "inside itself", tree_try(knot, NULL, err));
    assert_fails(CIS_E_CONFLICT, "", tree_try(late, NULL, err));
    assert_names(s, tree_head(s, "main"), "b/a", "x");
}

/* One base, a commit of another branch beside it: branches do not meet. */
static void commits_of_other_branches_do_not_conflict(void **state)
{
    cis_store *s = fs_store(state);
    write_text(s, "main", "before", "x");
    struct cis_view base = write_text(s, "main", "f", "base");
    fork_one(s, base, "side");
    struct tree *main_run = tree_new(s, "main"), *side_run = tree_new(s, "side");
    uint64_t f = tree_find(s, base, "f");
    tree_text(main_run, f, "main");
    tree_text(side_run, f, "side");
    tree_commit(main_run);
    tree_commit(side_run);
    assert_text(s, tree_head(s, "main"), "f", "main");
    assert_text(s, tree_head(s, "side"), "f", "side");
    struct tree *astray = tree_new_at(s, "side", tree_head(s, "main"));
    tree_text(astray, f, "x");
    assert_fails(CIS_E_CONFLICT, "", tree_try(astray, NULL, err));
    /* A view of the side from before it was forked is no base either: what came between is not in
     * its log. */
    struct cis_view past = {tree_head(s, "side").branch, base.epoch - 1};
    astray = tree_new_at(s, "side", past);
    tree_file(astray, CIS_FS_ROOT, "f", "x");
    assert_fails(CIS_E_INVALID, "not in the branch", tree_try(astray, NULL, err));
}

static void a_leased_branch_takes_commits_of_its_holder_only(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view base = write_text(s, "main", "f", "base");
    uint64_t fence = 0;
    assert_ok(cis_store_lease(
        s, T, &(struct cis_fs_lease_request){CIS_STR("main"), "mount of here", 0, 600000}, &fence,
        NULL, err));
    struct tree *other = tree_new(s, "main"), *mine = tree_new(s, "main");
    struct tree *old = tree_new(s, "main");
    tree_file(other, CIS_FS_ROOT, "other", "x");
    tree_file(mine, CIS_FS_ROOT, "mine", "x");
    tree_file(old, CIS_FS_ROOT, "old", "x");
    mine->commit.fence = fence;
    old->commit.fence = fence;
    assert_fails(CIS_E_CONFLICT, "in use by mount of here", tree_try(other, NULL, err));
    struct cis_kv_op op = {.ns = CIS_STR("a"), .key = CIS_STR("k"), .value = cis_bytes_of("w", 1)};
    struct tree *both = tree_new(s, "main"); /* files, and memory beside them */
    tree_file(both, CIS_FS_ROOT, "both", "x");
    both->commit.kv = &op;
    both->commit.nkv = 1;
    assert_fails(CIS_E_CONFLICT, "in use by mount of here", tree_try(both, NULL, err));
    struct cis_store_commit alone = {.kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(s, T, &alone, NULL, err)); /* memory alone passes the holder by */
    tree_commit(mine);
    uint64_t next = 0;
    struct cis_view head;
    assert_fails(
        CIS_E_CONFLICT, "mount of here",
        cis_store_ref_move(s, T,
                           &(struct cis_fs_move_request){CIS_STR("main"), tree_head(s, "main"),
                                                         base, 0, CIS_STR("")},
                           &head, NULL, err));
    assert_ok(cis_store_lease(
        s, T, &(struct cis_fs_lease_request){CIS_STR("main"), "mount of here", fence, 0}, &next,
        NULL, err));
    assert_ok(cis_store_lease(
        s, T, &(struct cis_fs_lease_request){CIS_STR("main"), "the next", 0, 600000}, &next, NULL,
        err));
    assert_true(next > fence);
    assert_fails(CIS_E_CONFLICT, "lease on the branch was lost", tree_try(old, NULL, err));
    assert_names(s, tree_head(s, "main"), "", "f mine");
}

static void a_branch_is_made_by_its_first_commit_or_not_at_all(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_view base = write_text(s, "main", "f", "base");
    struct cis_fs_ref ref;
    struct tree *t = tree_new_at(s, "main", base);
    tree_text(t, tree_find(s, base, "f"), "mine");
    t->commit.ref = CIS_STR("mine");
    t->commit.fork = true;
    struct cis_run_row run = {.id = "01AAAAAAAAAAAAAAAAAAAAAAAA",
                              .skill = CIS_STR("x"),
                              .status = CIS_STR("ok"),
                              .report = CIS_STR("{}")};
    t->commit.run = &run;
    struct cis_view made = tree_commit(t);
    assert_int_equal(made.epoch, base.epoch + 1);
    assert_true(made.branch != base.branch);
    assert_ok(cis_store_ref_get(s, T, CIS_STR("mine"), &ref, NULL, err));
    assert_true(ref.head.branch == made.branch && ref.head.epoch == made.epoch);
    assert_true(ref.parent == base.branch && ref.fork_epoch == base.epoch);
    assert_text(s, made, "f", "mine");
    assert_text(s, tree_head(s, "main"), "f", "base");
    /* The name is taken: nothing of the commit is there. */
    t = tree_new_at(s, "main", base);
    tree_file(t, CIS_FS_ROOT, "g", "other");
    t->commit.ref = CIS_STR("mine");
    t->commit.fork = true;
    assert_fails(CIS_E_EXISTS, "mine", tree_try(t, NULL, err));
    assert_names(s, tree_head(s, "mine"), "", "f");
    t = tree_new_at(s, "main", base);
    tree_file(t, CIS_FS_ROOT, "g", "other");
    t->commit.ref = CIS_STR("../x");
    t->commit.fork = true;
    assert_fails(CIS_E_INVALID, "not a valid name", tree_try(t, NULL, err));
    /* Without changes the branch is made all the same. */
    t = tree_new_at(s, "main", base);
    t->commit.ref = CIS_STR("same");
    t->commit.fork = true;
    made = tree_commit(t);
    assert_int_equal(made.epoch, base.epoch);
    assert_text(s, tree_head(s, "same"), "f", "base");
}

static void the_empty_tree_is_there_below_every_floor(void **state)
{
    cis_store *s = fs_store(state);
    write_text(s, "main", "f", "one");
    struct cis_view head = write_text(s, "main", "f", "two");
    assert_ok(cis_store_squash(
        s, T, &(struct cis_fs_squash_request){head.branch, head.epoch, NULL, 0}, NULL, err));
    struct cis_view old = {head.branch, head.epoch - 1}, zero = {head.branch, 0}, owner;
    assert_fails(CIS_E_EXPIRED, "expired", cis_store_view_check(s, T, old, &owner, NULL, err));
    assert_ok(cis_store_view_check(s, T, zero, &owner, NULL, err));
    assert_int_equal(owner.epoch, 0);
    assert_names(s, owner, "", "");
    struct tree *t = tree_new_at(s, "main", owner);
    tree_file(t, CIS_FS_ROOT, "alone", "x");
    t->commit.ref = CIS_STR("apart");
    t->commit.fork = true;
    tree_commit(t);
    assert_names(s, tree_head(s, "apart"), "", "alone");
    struct cis_view far = tree_head(s, "apart");
    far.epoch = 0; /* of a fork it is the same one */
    assert_names(s, far, "", "");
}

const struct fs_test fs_tests_branch[] = {
    FS_TEST(a_branch_is_made_by_its_first_commit_or_not_at_all),
    FS_TEST(the_empty_tree_is_there_below_every_floor),
    FS_TEST(a_fork_sees_its_base_and_its_own_changes_only),
    FS_TEST(what_a_fork_removed_stays_in_its_parent),
    FS_TEST(an_ancestor_is_seen_up_to_the_smallest_bound_on_the_way),
    FS_TEST(a_chain_of_forks_is_read_through),
    FS_TEST(a_thousand_forks_are_one_command),
    FS_TEST(a_rollback_shows_the_past_and_goes_on_from_there),
    FS_TEST(counts_of_files_and_bytes_follow_every_branch),
    FS_TEST(runs_from_one_base_merge_in_a_directory_and_conflict_in_a_file),
    FS_TEST(a_directory_that_others_filled_or_removed_is_a_conflict),
    FS_TEST(commits_of_other_branches_do_not_conflict),
    FS_TEST(a_leased_branch_takes_commits_of_its_holder_only),
    {NULL, NULL},
};
