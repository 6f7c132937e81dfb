/* The merge matrix: what each side did to the same name or file, and what comes of it. */
#include "fixture.h"

#include "history/maintain.h"

static bool note_conflict(void *self, const struct cis_conflict *c)
{
    cis_buf_printf(self, "%.*s: %s\n", (int)c->path.len, c->path.ptr, c->why);
    return true;
}

static void nothing(struct fx *fx, const char *ref)
{
    (void)fx;
    (void)ref;
}
static void change(struct fx *fx, const char *ref)
{
    fx_text(fx, ref, "d/f", ref);
}
static void change_alike(struct fx *fx, const char *ref)
{
    fx_text(fx, ref, "d/f", "the same on both");
}
static void mode(struct fx *fx, const char *ref)
{
    fx_chmod(fx, ref, "d/f", 0600);
}
static void drop(struct fx *fx, const char *ref)
{
    fx_remove(fx, ref, "d/f");
}
static void drop_all(struct fx *fx, const char *ref)
{
    fx_remove(fx, ref, "d");
}
static void rename_file(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "d/f", "d/renamed");
}
static void rename_other(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "d/f", ref);
}
static void rename_dir(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "d", "moved");
}
static void move_dir(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "d", "elsewhere");
}
static void add(struct fx *fx, const char *ref)
{
    char name[64];
    snprintf(name, sizeof name, "d/new-%s", ref);
    fx_text(fx, ref, name, ref);
}
static void add_alike(struct fx *fx, const char *ref)
{
    fx_text(fx, ref, "d/new", ref);
}
static void add_link(struct fx *fx, const char *ref)
{
    fx_link(fx, ref, "d/f", "d/second");
}
static void replace(struct fx *fx, const char *ref)
{
    fx_remove(fx, ref, "d/f");
    fx_text(fx, ref, "d/f", ref);
}
static void below_e(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "d", "e/d");
}
static void below_d(struct fx *fx, const char *ref)
{
    fx_rename(fx, ref, "e", "d/e");
}
static void memory(struct fx *fx, const char *ref)
{
    fx_memory(fx, ref, "key", ref);
}
static void dir_mode(struct fx *fx, const char *ref)
{
    fx_chmod(fx, ref, "d", ref[0] == 'o' ? 0711 : 0700);
}
static void big_change(struct fx *fx, const char *ref)
{
    char *text = calloc(1, 200001);
    memset(text, ref[0], 200000);
    fx_text(fx, ref, "d/big", text);
    free(text);
}

struct cell {
    void (*theirs)(struct fx *fx, const char *ref), (*ours)(struct fx *fx, const char *ref);
    const char *conflicts; /* NULL: it merges */
    const char *there;     /* a line of the result, without inode and time */
};
#define THIS "theirs"
static const struct cell cells[] = {
    {change, nothing, NULL, "d/f 100644 1 6 "},
    {nothing, change, NULL, "d/f 100644 1 4 "},
    {change, change, "d/f: changed on both sides\n", NULL},
    {change, add, NULL, "d/f 100644 1 6 "},
    {change, mode, "d/f: changed on both sides\n", NULL},
    {mode, nothing, NULL, "d/f 100600 "},
    {change, drop, "d/f: changed there, removed here\n", NULL},
    {drop, change, "d/f: removed there, changed here\n", NULL},
    {drop, drop, NULL, NULL},
    {drop, nothing, NULL, NULL},
    {drop_all, nothing, NULL, "e 40755"},
    {drop_all, add, "d: removed there, has other names here\n", NULL},
    {add, drop_all, "d/new-theirs: its directory was removed here\n", NULL},
    {change, rename_file, NULL, "d/renamed 100644 1 6 "},
    {rename_file, change, NULL, "d/renamed 100644 1 4 "},
    {rename_file, rename_file, NULL, "d/renamed 100644 1 3 "},
    {rename_other, rename_other, "ours: renamed on both sides\n", NULL},
    {rename_dir, move_dir, "elsewhere: renamed on both sides\n", NULL},
    {rename_dir, rename_dir, NULL, "moved/f 100644 1 3 "},
    {rename_dir, change, NULL, "moved/f 100644 1 4 "},
    {change, rename_dir, NULL, "moved/f 100644 1 6 "},
    {add, rename_dir, NULL, "moved/new-theirs 100644 1 6 "},
    {rename_dir, drop_all, "moved: named anew there, removed here\n", NULL},
    {add, add, NULL, "d/new-theirs 100644 1 6 "},
    {add_alike, add_alike, "d/new: added on both sides\n", NULL},
    {add_link, nothing, NULL, "d/second 100644 2 3 "},
    {add_link, change, NULL, "d/second 100644 2 4 "},
    {add_link, drop, "named anew there, removed here\n", NULL},
    {replace, nothing, NULL, "d/f 100644 1 6 "},
    {replace, replace, "d/f: another file on both sides\n", NULL},
    {replace, change, "d/f: removed there, changed here\n", NULL},
    {below_e, below_d, "would be below itself", NULL},
    {below_e, nothing, NULL, "e/d/f 100644 1 3 "},
    {memory, nothing, NULL, NULL},
    {memory, memory, "memory skill key: changed on both sides\n", NULL},
    {dir_mode, nothing, NULL, "d 40700 "},
    {dir_mode, dir_mode, "d: attributes changed on both sides\n", NULL},
    {dir_mode, add, NULL, "d 40700 "},
    {big_change, nothing, NULL, "d/big 100644 1 200000 "},
    {big_change, big_change, "d/big: changed on both sides\n", NULL},
};

static void run_cell(struct fx *fx, size_t n)
{
    const struct cell *c = &cells[n];
    struct cis_history_done done = {0};
    struct cis_error why = {0};
    CIS_CLEANUP(cis_buf_done) struct cis_buf told = CIS_BUF_INIT(65536);
    struct cis_view main_head = fx_head(fx, "main");
    fx_fork(fx, main_head, "ours");
    fx_fork(fx, main_head, THIS);
    c->ours(fx, "ours");
    c->theirs(fx, THIS);
    struct cis_view before = fx_head(fx, "ours");
    struct cis_history_commit how = {
        .ref = CIS_STR("ours"), .note = "merge", .conflict = note_conflict, .self = &told};
    cis_code code = cis_history_merge(&fx->h, fx_head(fx, THIS), &how, &done, &why);
    if (c->conflicts != NULL) {
        if (code != CIS_E_CONFLICT || strstr(cis_buf_cstr(&told), c->conflicts) == NULL) {
            fail_msg("cell %zu: %s \"%s\": conflicts \"%s\", not \"%s\"", n, cis_code_name(code),
                     why.msg, cis_buf_cstr(&told), c->conflicts);
        }
        assert_int_equal(fx_head(fx, "ours").epoch, before.epoch); /* nothing half done */
    } else {
        char *dump = fx_dump(&fx->h, fx_head(fx, "ours"));
        if (code != CIS_OK || (c->there != NULL && strstr(dump, c->there) == NULL)) {
            fail_msg("cell %zu: %s \"%s\"\n%s lacks \"%s\"", n, cis_code_name(code), why.msg, dump,
                     c->there != NULL ? c->there : "");
        }
        free(dump);
        /* A second time there is nothing to take. */
        before = fx_head(fx, "ours");
        assert_ok(cis_history_merge(&fx->h, fx_head(fx, THIS), &how, &done, err));
        assert_int_equal(done.changes, 0);
        assert_int_equal(fx_head(fx, "ours").epoch, before.epoch);
    }
    fx_whole(fx);
    assert_ok(fx->store->fs->ref_remove(fx->store, fx->h.tenant, CIS_STR("ours"), NULL, err));
    assert_ok(fx->store->fs->ref_remove(fx->store, fx->h.tenant, CIS_STR(THIS), NULL, err));
}

static void every_pair_of_changes_merges_or_is_a_named_conflict(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "d/f", "old");
    fx_text(fx, "main", "d/g", "old");
    fx_mkdir(fx, "main", "e");
    fx_memory(fx, "main", "key", "old");
    char *text = calloc(1, 150001);
    memset(text, 'x', 150000);
    fx_text(fx, "main", "d/big", text);
    free(text);
    for (size_t n = 0; n < sizeof cells / sizeof *cells; n++) {
        run_cell(fx, n);
    }
}

static void changes_that_are_alike_are_no_conflict(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "merge"};
    fx_text(fx, "main", "d/f", "old");
    fx_fork(fx, fx_head(fx, "main"), "side");
    change_alike(fx, "side");
    struct cis_history_commit to_side = {.ref = CIS_STR("side"), .note = "merge"};
    assert_ok(cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
    fx_text(fx, "main", "other", "x");
    assert_ok(cis_history_merge(&fx->h, fx_head(fx, "main"), &to_side, &done, err));
    char *a = fx_dump(&fx->h, fx_head(fx, "main")), *b = fx_dump(&fx->h, fx_head(fx, "side"));
    assert_string_equal(a, b);
    free(a);
    free(b);
}

static void branches_that_merge_again_and_again_go_from_the_last_time(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "merge"};
    struct cis_history_commit back = {.ref = CIS_STR("side"), .note = "merge"};
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    for (int i = 0; i < 6; i++) {
        char text[16], name[16];
        snprintf(text, sizeof text, "round %d", i);
        snprintf(name, sizeof name, "m%d", i);
        fx_text(fx, "side", "f", text); /* changed on one side since the last merge */
        fx_text(fx, "main", name, text);
        assert_ok(cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
        if (i % 2 == 0) {
            assert_ok(cis_history_merge(&fx->h, fx_head(fx, "main"), &back, &done, err));
            char *a = fx_dump(&fx->h, fx_head(fx, "main"));
            char *b = fx_dump(&fx->h, fx_head(fx, "side"));
            assert_string_equal(a, b);
            free(a);
            free(b);
        }
    }
    fx_text(fx, "main", "f", "here");
    fx_text(fx, "side", "f", "there");
    assert_fails(CIS_E_CONFLICT, "f: changed on both sides",
                 cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
    fx_whole(fx);
}

static void a_mounted_branch_takes_no_merge(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "merge"};
    uint64_t fence;
    struct cis_view head;
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "f", "1");
    assert_ok(fx->store->fs->lease(fx->store, fx->h.tenant, CIS_STR("main"), "mount /mnt", 0, 60000,
                                   &fence, NULL, err));
    assert_fails(CIS_E_CONFLICT, "mount /mnt",
                 cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
    assert_fails(CIS_E_CONFLICT, "mount /mnt",
                 cis_history_rollback(&fx->h, CIS_STR("main"), fx_head(fx, "side"), &head, err));
}

static void a_dry_run_finds_conflicts_and_changes_nothing(void **state)
{
    struct fx *fx = *state;
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "merge", .dry_run = true};
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "f", "1");
    struct cis_view before = fx_head(fx, "main");
    assert_ok(cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
    assert_true(done.changes > 0);
    assert_int_equal(fx_head(fx, "main").epoch, before.epoch);
    fx_text(fx, "main", "f", "2");
    assert_fails(CIS_E_CONFLICT, "f: changed on both sides",
                 cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_pair_of_changes_merges_or_is_a_named_conflict),
        TEST(changes_that_are_alike_are_no_conflict),
        TEST(branches_that_merge_again_and_again_go_from_the_last_time),
        TEST(a_mounted_branch_takes_no_merge),
        TEST(a_dry_run_finds_conflicts_and_changes_nothing),
    };
    return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
