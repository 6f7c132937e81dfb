/* A merge that cannot go on says so, wherever that is: a question that the store does not answer,
 * and no room for what it holds. */
#include "fixture.h"

#include <sys/stat.h>
#include "history/threeway.h"
#include "store/calls.h"

/* ---- a store that does not answer one question ---- */
static struct {
    const struct cis_store_fs_ops *fs;
    const struct cis_store_ops *ops;
    long left; /* questions until that one */
} broken;

static cis_code fails(struct cis_error *error)
{
    return broken.left-- == 0 ? cis_fail(error, CIS_E_STORE, "broken on purpose") : CIS_OK;
}

#define TAIL const struct cis_stop *stop, struct cis_error *err
#define PASS_ON(table, name, ...)                                                                  \
    do {                                                                                           \
        CIS_TRY(fails(err));                                                                       \
        return broken.table->name(store, t, __VA_ARGS__, stop, err);                               \
    } while (0)

static cis_code b_walk(cis_store *store, struct cis_str t, const struct cis_fs_walk_query *query,
                       cis_fs_step_each *each, void *self, TAIL)
{
    PASS_ON(fs, walk, query, each, self);
}
static cis_code b_inodes(cis_store *store, struct cis_str t, const struct cis_fs_inode_query *query,
                         cis_fs_inode_each *each, void *self, TAIL)
{
    PASS_ON(fs, inodes, query, each, self);
}
static cis_code b_list(cis_store *store, struct cis_str t, const struct cis_fs_list_query *query,
                       cis_fs_dirent_each *each, void *self, TAIL)
{
    PASS_ON(fs, list, query, each, self);
}
static cis_code b_extents(cis_store *store, struct cis_str t,
                          const struct cis_fs_extent_query *query, cis_fs_extent_each *each,
                          void *self, TAIL)
{
    PASS_ON(fs, extents, query, each, self);
}
static cis_code b_ref_get(cis_store *store, struct cis_str t, struct cis_str name,
                          struct cis_fs_ref *out, TAIL)
{
    PASS_ON(fs, ref_get, name, out);
}
static cis_code b_commits(cis_store *store, struct cis_str t, const struct cis_fs_log_query *query,
                          cis_fs_commit_each *each, void *self, TAIL)
{
    PASS_ON(fs, commits, query, each, self);
}
static cis_code b_branches(cis_store *store, struct cis_str t, cis_fs_ref_each *each, void *self,
                           TAIL)
{
    PASS_ON(fs, branches, each, self);
}
/* One that is given back may stay: it lapses. */
static cis_code b_pin(cis_store *store, struct cis_str t, const struct cis_fs_pin_request *request,
                      uint64_t *out, TAIL)
{
    if (request->ttl_ms == 0) {
        return broken.fs->pin(store, t, request, out, stop, err);
    }
    PASS_ON(fs, pin, request, out);
}
static cis_code b_kv_get(cis_store *store, struct cis_str t, const struct cis_kv_get_query *query,
                         bool *out_found, TAIL)
{
    PASS_ON(ops, kv_get, query, out_found);
}

/* Whether it came to the n-th question. */
static bool merge_without(struct fx *fx, struct cis_view theirs, long n, cis_code *out,
                          struct cis_error *why)
{
    struct cis_history_commit how = {.ref = CIS_STR("b"), .note = "merge", .dry_run = true};
    struct cis_history_done done;
    broken.fs = fx->store->fs;
    broken.ops = fx->store->ops;
    broken.left = n;
    struct cis_store_fs_ops fs = *broken.fs;
    struct cis_store_ops ops = *broken.ops;
    fs.walk = b_walk;
    fs.inodes = b_inodes;
    fs.list = b_list;
    fs.extents = b_extents;
    fs.ref_get = b_ref_get;
    fs.commits = b_commits;
    fs.branches = b_branches;
    fs.pin = b_pin;
    ops.kv_get = b_kv_get;
    fx->store->fs = &fs;
    fx->store->ops = &ops;
    *out = cis_history_merge(&fx->h, theirs, &how, &done, why);
    fx->store->fs = broken.fs;
    fx->store->ops = broken.ops;
    return broken.left < 0;
}

static void blocks_of(struct fx *fx, const char *ref, char c)
{
    char *text = malloc(100000);
    memset(text, c, 100000);
    fx_write(fx, ref, "blocks", text, 100000);
    free(text);
}

static void merge_now(struct fx *fx, const char *ref, struct cis_view theirs)
{
    struct cis_history_commit how = {.ref = cis_str_of(ref), .note = "merge"};
    struct cis_history_done done;
    assert_ok(cis_history_merge(&fx->h, theirs, &how, &done, err));
}

/* a and b have two bases: each merged the other before it saw that the other did. Files of one size
 * and time, so that their content is asked for. */
static void overlap(struct fx *fx)
{
    fx_at(1000000);
    blocks_of(fx, "main", '0');
    fx_text(fx, "main", "d/f", "0");
    fx_memory(fx, "main", "key", "0");
    fx_fork(fx, fx_head(fx, "main"), "a");
    fx_fork(fx, fx_head(fx, "main"), "b");
    blocks_of(fx, "a", '1');
    fx_text(fx, "b", "d/f", "1");
    struct cis_view a = fx_head(fx, "a"), b = fx_head(fx, "b");
    merge_now(fx, "a", b);
    merge_now(fx, "b", a);
    fx_text(fx, "a", "d/more", "1");
    fx_memory(fx, "a", "key", "1");
    fx_chmod(fx, "a", "d", 0700);
    fx_at(0);
}

static void a_merge_ends_with_the_question_that_is_not_answered(void **state)
{
    struct fx *fx = *state;
    long n = 0;
    overlap(fx);
    struct cis_view theirs = fx_head(fx, "a");
    for (bool came = true; came; n++) {
        struct cis_error why = {0};
        cis_code code;
        came = merge_without(fx, theirs, n, &code, &why);
        if (code != (came ? CIS_E_STORE : CIS_OK)) {
            fail_msg("question %ld: %s (%s)", n, cis_code_name(code), why.msg);
        }
    }
    print_message("%ld questions\n", n - 1);
    assert_true(n > 20);
    merge_now(fx, "b", theirs);
    fx_whole(fx);
}

/* ---- no room ---- */
static void conflicts_count_while_they_are_gathered(void **state)
{
    enum { ROOM = 100000 };
    struct fx *fx = *state;
    struct cis_error why = {0};
    struct threeway t = {.h = &fx->h, .err = &why};
    uint64_t n = 0;
    cis_code code = CIS_OK;
    fx_text(fx, "main", "f", "0");
    fx->h.bytes_max = ROOM;
    assert_ok(cis_edit_open(&t.edit, &fx->h, CIS_STR("main"), err));
    cis_threeway_bind(&t);
    while (code == CIS_OK && n < ROOM) {
        code = cis_threeway_conflict(&t, NULL, ++n, "changed on both sides");
    }
    assert_true(n < ROOM / sizeof(struct threeway_conflict));
    assert_int_equal(cis_bound_told(&t.edit.bound, code, "merge", &why), CIS_E_BUDGET);
    cis_threeway_done(&t);
    assert_int_equal(t.edit.bound.budget.used, 0);
}

#define FOLDERS 1500

/* Attributes of all of them, by one commit. */
static void close_all(struct fx *fx, const char *ref)
{
    struct edit e;
    struct cis_history_done done;
    char name[32];
    assert_ok(cis_edit_open(&e, &fx->h, cis_str_of(ref), err));
    for (int i = 0; i < FOLDERS; i++) {
        struct edit_file *dir;
        struct cis_fs_inode *row;
        snprintf(name, sizeof name, "folder%05d", i);
        assert_ok(cis_edit_file(&e, fx_ino(fx, ref, name), &dir, err));
        assert_ok(cis_edit_row(&e, dir, &row, err));
        row->mode = S_IFDIR | 0700;
        dir->attrs = true;
    }
    assert_ok(cis_edit_commit(&e, "fs", "close", &done, err));
    cis_edit_done(&e);
}

/* By small steps: each row that is to be changed takes room, too. */
static void attributes_count_while_they_are_merged(void **state)
{
    struct fx *fx = *state;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "merge", .dry_run = true};
    struct cis_history_done done = {0};
    unsigned refused = 0;
    cis_code code = CIS_E_BUDGET;
    fx_many(fx, "main", FOLDERS);
    fx_fork(fx, fx_head(fx, "main"), "theirs");
    close_all(fx, "theirs");
    fx_text(fx, "main", "f", "0");
    struct cis_view theirs = fx_head(fx, "theirs");
    for (uint64_t room = 20000; code == CIS_E_BUDGET && refused < 500; room += 20000) {
        struct cis_error why = {0};
        fx->h.bytes_max = room;
        code = cis_history_merge(&fx->h, theirs, &how, &done, &why);
        refused += code != CIS_OK;
    }
    assert_int_equal(code, CIS_OK);
    assert_int_equal(done.changes, FOLDERS);
    assert_true(refused > 20);
    fx->h.bytes_max = 0;
    merge_now(fx, "main", theirs);
    fx_whole(fx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_merge_ends_with_the_question_that_is_not_answered),
        TEST(conflicts_count_while_they_are_gathered),
        TEST(attributes_count_while_they_are_merged),
    };
    return cmocka_run_group_tests_name("merge_ends", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
