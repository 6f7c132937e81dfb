/* What diff, undo, redo, merge, restore and sending to another tenant may hold in memory: below the
 * bound they work, above it they are refused by the setting's name, wherever the room ends, and the
 * branch is as it was. */
#include "fixture.h"

#include "history/move.h"
#include "history/sync.h"

#define FOLDERS 1500
#define STEP ((uint64_t)150000) /* from one bound to the next: each refusal is somewhere else */
#define ENOUGH ((uint64_t)16 << 20)

typedef cis_code verb(struct fx *fx, struct cis_error *error);

static struct cis_history_commit on_main(void)
{
    return (struct cis_history_commit){.ref = CIS_STR("main")};
}

static cis_code undo(struct fx *fx, struct cis_error *error)
{
    struct cis_history_commit how = on_main();
    struct cis_history_done done;
    return cis_history_undo(&fx->h, (struct cis_view){0, 0}, &how, &done, error);
}

static cis_code redo(struct fx *fx, struct cis_error *error)
{
    struct cis_history_commit how = on_main();
    struct cis_history_done done;
    return cis_history_redo(&fx->h, &how, &done, error);
}

static cis_code merge(struct fx *fx, struct cis_error *error)
{
    struct cis_history_commit how = on_main();
    struct cis_history_done done;
    return cis_history_merge(&fx->h, fx_head(fx, "theirs"), &how, &done, error);
}

static cis_code restore(struct fx *fx, struct cis_error *error)
{
    struct cis_history_commit how = on_main();
    struct cis_history_done done;
    return cis_history_restore(&fx->h, fx_head(fx, "theirs"), CIS_STR("/"), &how, &done, error);
}

static cis_code restore_nothing(struct fx *fx, struct cis_error *error)
{
    struct cis_history_commit how = on_main();
    struct cis_history_done done;
    return cis_history_restore(&fx->h, fx_head(fx, "small"), CIS_STR("/"), &how, &done, error);
}

static cis_code send(struct fx *fx, struct cis_error *error)
{
    struct cis_move_counts counts;
    return cis_history_send(&fx->h, fx_head(fx, "theirs"), &fx->h, CIS_STR("main"), "sent", NULL,
                            NULL, &counts, error);
}

/* How often it was refused before it was done. */
static unsigned at_every_bound(struct fx *fx, verb *act)
{
    unsigned refused = 0;
    struct cis_view before = fx_head(fx, "main");
    char *was = fx_dump_exact(&fx->h, before);
    for (uint64_t room = STEP / 2;; room += STEP) {
        struct cis_error why = {0};
        fx->h.bytes_max = room;
        cis_code code = act(fx, &why);
        fx->h.bytes_max = 0;
        if (code == CIS_OK) {
            free(was);
            fx_whole(fx);
            return refused;
        }
        assert_int_equal(code, CIS_E_BUDGET);
        assert_non_null(strstr(why.msg, "limits.history_bytes"));
        struct cis_view now = fx_head(fx, "main");
        assert_int_equal(now.branch, before.branch);
        assert_int_equal(now.epoch, before.epoch);
        char *is = fx_dump_exact(&fx->h, now);
        assert_string_equal(is, was);
        free(is);
        refused++;
        assert_true(room < ENOUGH);
    }
}

static void undo_and_redo_hold_no_more_than_their_bound(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "first", "x");
    fx_many(fx, "main", FOLDERS);
    assert_true(at_every_bound(fx, undo) > 3);
    assert_true(at_every_bound(fx, redo) > 3);
}

static void merge_and_restore_hold_no_more_than_their_bound(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "first", "x");
    fx_fork(fx, fx_head(fx, "main"), "theirs");
    fx_fork(fx, fx_head(fx, "main"), "small");
    fx_many(fx, "theirs", FOLDERS);
    assert_true(at_every_bound(fx, restore) > 3);
    assert_true(at_every_bound(fx, restore_nothing) > 3);
    fx_text(fx, "main", "second", "y");
    assert_true(at_every_bound(fx, merge) > 3);
}

static void a_branch_is_sent_within_the_bound(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "first", "x");
    fx_fork(fx, fx_head(fx, "main"), "theirs");
    fx_many(fx, "theirs", FOLDERS);
    assert_true(at_every_bound(fx, send) > 3);
}

/* Of a folder all folders in it wait until it is done. */
static void folders_that_wait_to_be_sent_count(void **state)
{
    struct fx *fx = *state;
    struct cis_error why = {0};
    fx_text(fx, "main", "first", "x");
    fx_fork(fx, fx_head(fx, "main"), "theirs");
    fx_many(fx, "theirs", FOLDERS);
    struct sync s = {.from = &fx->h,
                     .view = fx_head(fx, "theirs"),
                     .inos = CIS_MAP_INIT,
                     .taken = CIS_MAP_INIT,
                     .err = &why};
    assert_ok(cis_edit_open(&s.edit, &fx->h, CIS_STR("main"), err));
    assert_int_equal(cis_sync_dirs(&s, CIS_FS_ROOT, CIS_FS_ROOT), CIS_OK);
    uint64_t held = s.edit.bound.budget.used, room = s.dirs.cap * sizeof *s.dirs.at;
    assert_true(room >= FOLDERS * sizeof *s.dirs.at);
    vec_done(&s.dirs);
    assert_int_equal(held - s.edit.bound.budget.used, room);
    cis_sync_done(&s);
}

/* Files whose content is in blocks. */
static bool count(void *self, const struct cis_change *change)
{
    unsigned *n = self;
    (void)change;
    ++*n;
    return true;
}

static void a_comparison_holds_no_more_than_its_bound(void **state)
{
    struct fx *fx = *state;
    unsigned n = 0;
    fx_text(fx, "main", "first", "x");
    struct cis_view before = fx_head(fx, "main");
    fx_many(fx, "main", FOLDERS);
    fx->h.bytes_max = 500000;
    assert_fails(CIS_E_BUDGET, "limits.history_bytes",
                 cis_history_diff(&fx->h, before, fx_head(fx, "main"), count, &n, err));
    assert_int_equal(n, 0);
    fx->h.bytes_max = ENOUGH;
    assert_ok(cis_history_diff(&fx->h, before, fx_head(fx, "main"), count, &n, err));
    assert_in_range(n, FOLDERS, FOLDERS + 1); /* and the root */
}

static void content_counts_while_it_is_looked_at(void **state)
{
    struct fx *fx = *state;
    static uint8_t data[200000];
    char path[32];
    memset(data, 'x', sizeof data);
    fx_text(fx, "main", "first", "x");
    fx_fork(fx, fx_head(fx, "main"), "theirs");
    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "file%d", i);
        data[0] = (uint8_t)i;
        fx_write(fx, "theirs", path, data, sizeof data);
    }
    assert_true(at_every_bound(fx, merge) > 0);
    assert_true(at_every_bound(fx, restore) < 4); /* nothing is left to do */
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(undo_and_redo_hold_no_more_than_their_bound, fx_setup,
                                        fx_teardown),
        cmocka_unit_test_setup_teardown(merge_and_restore_hold_no_more_than_their_bound, fx_setup,
                                        fx_teardown),
        cmocka_unit_test_setup_teardown(a_branch_is_sent_within_the_bound, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(folders_that_wait_to_be_sent_count, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(a_comparison_holds_no_more_than_its_bound, fx_setup,
                                        fx_teardown),
        cmocka_unit_test_setup_teardown(content_counts_while_it_is_looked_at, fx_setup,
                                        fx_teardown),
    };
    return cmocka_run_group_tests_name("room", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
