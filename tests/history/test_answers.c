/* What history answers where its work is cut into pieces or comes to nothing: content from any
 * place, folders of more than a page of names, a merge with nothing to take, a store that fails
 * where a name is looked for, rows that lead in a circle. */
#include "fixture.h"

#include "base/crypto.h"
#include "history/move.h"
#include "store/calls.h"

enum { LEN = 1200000, NAMES = 5000 };

static void content_is_read_from_any_place(void **state)
{
    struct fx *fx = *state;
    static const struct {
        uint32_t from, len;
    } pieces[] = {{0, LEN},           {70000, 1000},    {65536, 70000},    {131071, 2},
                  {LEN - 100, 100},   {1, LEN - 1},     {500000, 700000},  {65535, 1000000},
                  {LEN - 1000, 1000}, {983040, 100000}, {983039, 100001u}, {100, 0}};
    uint8_t *data = malloc(LEN);
    struct cis_fs_inode row;
    cis_random_bytes(data, LEN);
    fx_write(fx, "main", "f", data, LEN);
    struct cis_view view = fx_head(fx, "main");
    assert_ok(cis_history_row_read(&fx->h, view, fx_ino(fx, "main", "f"), &row, err));
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        uint8_t *got = malloc(pieces[i].len + 1);
        got[pieces[i].len] = 77;
        assert_ok(cis_history_read(&fx->h, view, &row, pieces[i].from, got, pieces[i].len, err));
        assert_memory_equal(got, data + pieces[i].from, pieces[i].len);
        assert_int_equal(got[pieces[i].len], 77);
        free(got);
    }
    free(data);
}

static void folders_of_more_than_a_page_are_whole_and_sent(void **state)
{
    struct fx *fx = *state;
    struct cis_move_counts counts = {0};
    fx_text(fx, "main", "first", "x");
    fx_many(fx, "main", NAMES);
    fx_whole(fx);
    assert_ok(cis_history_send(&fx->h, fx_head(fx, "main"), &fx->h, CIS_STR("copy"), "sent", NULL,
                               NULL, &counts, err));
    char *a = fx_dump(&fx->h, fx_head(fx, "main")), *b = fx_dump(&fx->h, fx_head(fx, "copy"));
    assert_string_equal(a, b);
    free(a);
    free(b);
}

static void a_merge_with_nothing_to_take_answers_the_head(void **state)
{
    struct fx *fx = *state;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "merge"};
    struct cis_history_done done = {.changes = 7};
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "main", "g", "12345");
    struct cis_view head = fx_head(fx, "main");
    assert_ok(cis_history_merge(&fx->h, fx_head(fx, "side"), &how, &done, err));
    assert_int_equal(done.changes, 0);
    assert_int_equal(done.at.view.branch, head.branch);
    assert_int_equal(done.at.view.epoch, head.epoch);
    assert_int_equal(done.at.files, 2);
    assert_int_equal(done.at.bytes, 6);
}

/* ---- a store that fails ---- */
static cis_code no_ref(cis_store *store, struct cis_str tenant, struct cis_str name,
                       struct cis_fs_ref *out, const struct cis_stop *stop, struct cis_error *err)
{
    (void)store, (void)tenant, (void)name, (void)out, (void)stop;
    return cis_fail(err, CIS_E_STORE, "broken on purpose");
}

static void a_branch_that_cannot_be_asked_for_is_not_taken_for_a_dropped_one(void **state)
{
    struct fx *fx = *state;
    static const char *const names[] = {"main", "main@{0}", "main@{1}", "@{1}"};
    const struct cis_store_fs_ops *real = fx->store->fs;
    struct cis_store_fs_ops ops = *real;
    struct cis_rev rev;
    fx_text(fx, "main", "f", "0");
    struct cis_view first = fx_head(fx, "main"), head;
    fx_text(fx, "main", "f", "1");
    assert_ok(cis_history_rollback(&fx->h, CIS_STR("main"), first, CIS_STR("back"), &head, err));
    ops.ref_get = no_ref;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_ok(cis_history_resolve(&fx->h, cis_str_of(names[i]), &rev, err));
        fx->store->fs = &ops;
        struct cis_error why = {0};
        cis_code code = cis_history_resolve(&fx->h, cis_str_of(names[i]), &rev, &why);
        fx->store->fs = real;
        if (code != CIS_E_STORE || strstr(why.msg, "broken on purpose") == NULL) {
            fail_msg("%s: %s (%s)", names[i], cis_code_name(code), why.msg);
        }
    }
}

/* ---- rows that lead in a circle ---- */
static void name_below(struct fx *fx, uint64_t parent, const char *name, uint64_t ino)
{
    struct cis_fs_dirent d = {
        .parent = parent, .name = cis_str_of(name), .ino = ino, .mode = S_IFDIR};
    struct cis_fs_change c = {.kind = CIS_FS_MOVED};
    assert_ok(cis_history_row_read(&fx->h, fx_head(fx, "main"), ino, &c.inode, err));
    c.inode.parent = parent;
    struct cis_fs_committed out;
    struct cis_fs_commit fs = {
        .base = fx_head(fx, "main"), .dirents = &d, .ndirents = 1, .changes = &c, .nchanges = 1};
    struct cis_store_commit commit = {
        .ref = CIS_STR("main"), .fs = &fs, .out = &out, .kind = "fs", .note = "damage"};
    assert_ok(cis_store_commit(fx->store, fx->h.tenant, &commit, NULL, err));
}

/* Of one folder, of two, of five. */
static void a_path_through_a_circle_is_damage(void **state)
{
    struct fx *fx = *state;
    static const char *const ways[] = {"a", "b/b", "c/c/c/c/c"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct places places;
        CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(1u << 20);
        char top[2] = {ways[i][0], 0};
        fx_mkdir(fx, "main", ways[i]);
        uint64_t last = fx_ino(fx, "main", ways[i]);
        name_below(fx, last, "round", fx_ino(fx, "main", top));
        cis_places_init(&places, &fx->h, fx_head(fx, "main"));
        assert_fails(CIS_E_DAMAGED, "is below itself",
                     cis_places_path(&places, last, CIS_STR("file"), &path, NULL, err));
        cis_places_done(&places);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(content_is_read_from_any_place),
        TEST(folders_of_more_than_a_page_are_whole_and_sent),
        TEST(a_merge_with_nothing_to_take_answers_the_head),
        TEST(a_branch_that_cannot_be_asked_for_is_not_taken_for_a_dropped_one),
        TEST(a_path_through_a_circle_is_damage),
    };
    return cmocka_run_group_tests_name("answers", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
