/* What a commit would change, told as paths: order, cost, and its end. */
#include "fixture.h"

#include "base/budget.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/clock.h"

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open(f, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

static void must_create(cis_vfs *v, uint64_t dir, const char *name)
{
    cis_vfs_file *file;
    cis_node node;
    struct cis_vfs_attr attr;
    assert_int_equal(cis_vfs_create(v, &nobody,
                                    &(struct cis_vfs_create_request){dir, cis_str_of(name), 0644,
                                                                     O_RDWR | O_CREAT},
                                    &file, &node, &attr),
                     0);
    cis_vfs_release(file);
    cis_vfs_forget(v, node, 1);
}

static bool see(void *self, const struct cis_layered_change *c)
{
    cis_buf_printf(self, "%c%s " CIS_STR_FMT "%s" CIS_STR_FMT "\n", c->what, c->cut ? "…" : "",
                   CIS_STR_ARG(c->path), c->from.len != 0 ? " < " : "", CIS_STR_ARG(c->from));
    return true;
}

static void assert_changes(cis_vfs *v, const char *want)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf got = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_layered_changes(v, see, &got, NULL, err));
    assert_string_equal(cis_buf_cstr(&got), want);
}

static bool count(void *self, const struct cis_layered_change *c)
{
    (void)c;
    ++*(size_t *)self;
    return true;
}

/* ---- happy ---- */
static void a_folder_comes_before_what_is_in_it_and_that_before_longer_names(void **state)
{
    cis_vfs *v = view_main(*state);
    must_write(v, 1, "a.b", "1", 1);
    uint64_t a = must_mkdir(v, 1, "a");
    must_write(v, a, "z", "1", 1);
    must_write(v, a, "b", "1", 1);
    must_mkdir(v, 1, "a-");
    assert_changes(v, "A a\nA a/b\nA a/z\nA a-\nA a.b\n");
    cis_vfs_close(v);
}

static void what_was_in_a_renamed_folder_is_told_at_its_old_place(void **state)
{
    cis_vfs *v = view_main(*state);
    uint64_t a = must_mkdir(v, 1, "a"), in = must_mkdir(v, a, "in");
    must_write(v, in, "gone", "1", 1);
    must_write(v, in, "edited", "1", 1);
    must_commit(v);
    struct cis_str old = CIS_STR("a"), now = CIS_STR("b");
    assert_int_equal(v->ops->rename(v, &nobody, 1, old, 1, now, 0), 0);
    assert_int_equal(cis_vfs_unlink(v, &nobody, in, CIS_STR("gone")), 0);
    must_write(v, in, "edited", "22", 2);
    must_write(v, in, "added", "1", 1);
    assert_changes(v, "D a/in/gone\nR b < a\nA b/in/added\nM b/in/edited\n");
    cis_vfs_close(v);
}

/* The number of a link's names is told by the names. */
static void a_new_name_of_a_file_changes_no_other(void **state)
{
    cis_vfs *v = view_main(*state);
    uint64_t d = must_mkdir(v, 1, "d");
    must_write(v, 1, "f", "1", 1);
    must_commit(v);
    uint64_t f = must_find(v, 1, "f");
    struct cis_vfs_attr attr;
    assert_int_equal(v->ops->link(v, &nobody, f, d, CIS_STR("g"), &attr), 0);
    assert_changes(v, "A d/g\n");
    cis_vfs_forget(v, f, 1);
    cis_vfs_close(v);
}

/* ---- edge ---- */
static void what_the_caches_do_not_hold_is_found_in_the_store(void **state)
{
    enum { FOLDERS = 2000 };
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    struct cis_fs_cache_options small = CIS_FS_CACHE_OPTIONS_INIT;
    uint64_t ino[FOLDERS];
    char name[32];
    size_t n = 0;
    for (int i = 0; i < FOLDERS; i++) {
        snprintf(name, sizeof name, "d%d", i);
        uint64_t in = must_mkdir(v, must_mkdir(v, 1, name), "in");
        must_write(v, in, "file", "1", 1);
        ino[i] = must_find(v, in, "file");
    }
    must_commit(v);
    cis_vfs_close(v);
    small.entries = small.inodes = 64;
    fixture_reopen(f, &small);
    v = view_main(f);
    for (int i = 0; i < FOLDERS; i++) {
        cis_vfs_file *file = must_open(v, ino[i], O_RDWR);
        assert_int_equal(write_at(file, 0, "2", 1), 0);
        cis_vfs_release(file);
    }
    assert_ok(cis_layered_changes(v, count, &n, NULL, err));
    assert_int_equal(n, FOLDERS);
    cis_vfs_close(v);
}

static void of_a_path_that_is_too_long_the_end_is_told(void **state)
{
    cis_vfs *v = view_main(*state);
    char name[256];
    uint64_t dir = 1;
    size_t n = 0;
    memset(name, 'x', 255);
    name[255] = 0;
    for (int i = 0; i < 300; i++) {
        dir = must_mkdir(v, dir, name);
    }
    must_create(v, dir, "end");
    CIS_CLEANUP(cis_buf_done) struct cis_buf got = CIS_BUF_INIT(64u << 20);
    assert_ok(cis_layered_changes(v, see, &got, NULL, err));
    assert_ok(cis_layered_changes(v, count, &n, NULL, err));
    assert_int_equal(n, 301);
    const char *last = strstr(cis_buf_cstr(&got), "xxx/end\n");
    assert_non_null(last);
    while (last[-1] != '\n') {
        last--;
    }
    assert_memory_equal(last, "A… xxx", strlen("A… xxx"));
    assert_in_range(strlen(last), CIS_LAYERED_PATH_MAX - 256, CIS_LAYERED_PATH_MAX + 16);
    cis_vfs_close(v);
}

/* Each of these took the square of the number, or more. */
static void it_takes_time_in_proportion_to_what_changed(void **state)
{
    struct fixture *f = *state;
    enum { LEVELS = 10000, FILES = 30000 };
    cis_vfs *v = view_main(f);
    uint64_t deep = must_mkdir(v, 1, "deep"), wide = must_mkdir(v, 1, "wide");
    char name[32];
    size_t n = 0;
    for (int i = 0; i < LEVELS; i++) {
        deep = must_mkdir(v, deep, "d");
    }
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%d", i);
        must_create(v, wide, name);
    }
    uint64_t began = cis_clock_mono_ns();
    assert_ok(cis_layered_changes(v, count, &n, NULL, err));
    assert_int_equal(n, LEVELS + FILES + 2);
    must_commit(v);
    for (int i = 0; i < FILES; i++) { /* changed in their place: their names are only in the base */
        snprintf(name, sizeof name, "f%d", i);
        uint64_t ino = must_find(v, wide, name);
        struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = 0600};
        assert_int_equal(cis_vfs_setattr(v, &nobody, ino, &set, NULL), 0);
        cis_vfs_forget(v, ino, 1);
    }
    n = 0;
    assert_ok(cis_layered_changes(v, count, &n, NULL, err));
    assert_int_equal(n, FILES);
    uint64_t took = cis_clock_mono_ns() - began;
    if (took > 8 * CIS_NS_PER_S) {
        fail_msg("took %llu ms", (unsigned long long)(took / CIS_NS_PER_MS));
    }
    cis_vfs_close(v);
}

/* ---- refused ---- */
static void its_memory_is_charged_and_given_back(void **state)
{
    struct cis_budget budget = {.limit = 1u << 30};
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    o.ref = CIS_STR("main");
    o.budget = &budget;
    cis_vfs *v = view_open(*state, &o);
    char name[32];
    size_t n = 0;
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "f%d", i);
        must_create(v, 1, name);
    }
    uint64_t used = budget.used;
    assert_ok(cis_layered_changes(v, count, &n, NULL, err));
    assert_int_equal(n, 5000);
    assert_int_equal(budget.used, used);
    assert_true(budget.peak >= used + 5000 * 64);
    budget.limit = used + 5000 * 32;
    assert_fails(CIS_E_BUDGET, "budget", cis_layered_changes(v, count, &n, NULL, err));
    assert_int_equal(budget.used, used);
    assert_int_equal(n, 5000);
    cis_vfs_close(v);
}

/* A block costs the overlay little and the commit more. */
static void a_commit_has_the_memory_that_the_overlay_may_have(void **state)
{
    enum { BLOCKS = 2000 };
    struct cis_budget budget = {.limit = 300000};
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    o.ref = CIS_STR("main");
    o.budget = &budget;
    cis_vfs *v = view_open(*state, &o);
    must_create(v, 1, "f");
    uint64_t ino = must_find(v, 1, "f");
    cis_vfs_file *file = must_open(v, ino, O_RDWR);
    for (uint64_t i = 0; i < BLOCKS; i++) {
        assert_int_equal(write_at(file, i * 65536 + 1024, "x", 1), 0);
    }
    assert_fails(CIS_E_BUDGET, "commit of files", cis_layered_commit(v, NULL, NULL, NULL, err));
    char byte = 0;
    assert_int_equal(read_at(file, (BLOCKS - 1) * 65536ull + 1024, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    budget.limit = 1u << 20;
    must_commit(v);
    assert_int_equal(read_at(file, (BLOCKS - 1) * 65536ull + 1024, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    cis_vfs_close(v);
}

static void it_ends_when_it_is_told_to(void **state)
{
    cis_vfs *v = view_main(*state);
    char name[32];
    size_t n = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "f%d", i);
        must_create(v, 1, name);
    }
    struct cis_stop over = {1, NULL}, stop = {CIS_NEVER, NULL};
    assert_fails(CIS_E_DEADLINE, "time limit", cis_layered_changes(v, count, &n, &over, err));
    assert_ok(cis_cancel_new(&stop.cancel, err));
    cis_cancel_fire(stop.cancel);
    assert_fails(CIS_E_CANCELLED, "cancelled", cis_layered_changes(v, count, &n, &stop, err));
    cis_cancel_unref(stop.cancel);
    assert_int_equal(n, 0);
    cis_vfs_close(v);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_comes_before_what_is_in_it_and_that_before_longer_names),
        TEST(what_was_in_a_renamed_folder_is_told_at_its_old_place),
        TEST(a_new_name_of_a_file_changes_no_other),
        TEST(what_the_caches_do_not_hold_is_found_in_the_store),
        TEST(of_a_path_that_is_too_long_the_end_is_told),
        TEST(it_takes_time_in_proportion_to_what_changed),
        TEST(its_memory_is_charged_and_given_back),
        TEST(a_commit_has_the_memory_that_the_overlay_may_have),
        TEST(it_ends_when_it_is_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
