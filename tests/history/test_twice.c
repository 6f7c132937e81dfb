/* Directories that have two names or are within themselves. No commit of this room makes such a
 * tree; rows of a damaged store or of a backup may be one. Here the store is given the rows as they
 * are. Whatever goes through a tree ends there, names the directory and changes nothing. */
#include "fixture.h"

#include "base/clock.h"
#include "base/file.h"
#include "history/move.h"
#include "history/tree.h"
#include "vfs/layered/layered.h"
#include "store/calls.h"

#define LADDER 40

static void name_it(struct fx *fx, const char *ref, uint64_t parent, const char *name, uint64_t ino)
{
    struct cis_fs_dirent d = {
        .parent = parent, .name = cis_str_of(name), .ino = ino, .mode = S_IFDIR};
    struct cis_fs_commit fs = {.base = fx_head(fx, ref), .dirents = &d, .ndirents = 1};
    struct cis_fs_committed out;
    struct cis_store_commit commit = {
        .ref = cis_str_of(ref), .fs = &fs, .out = &out, .kind = "fs", .note = "damage"};
    assert_ok(cis_store_commit(fx->store, fx->h.tenant, &commit, NULL, err));
}

/* a/b, and in b a name that leads back to a. */
static struct cis_view circle(struct fx *fx, const char *ref)
{
    fx_text(fx, ref, "a/b/file", "1");
    name_it(fx, ref, fx_ino(fx, ref, "a/b"), "a", fx_ino(fx, ref, "a"));
    return fx_head(fx, ref);
}

/* Each of 40 directories has two names for the next one: 2^40 paths. */
static struct cis_view ladder(struct fx *fx, const char *ref)
{
    uint64_t ino[LADDER + 1] = {CIS_FS_ROOT};
    char path[2 * LADDER + 2] = "";
    fx_deep(fx, ref, "x", LADDER);
    for (int i = 1; i <= LADDER; i++) {
        snprintf(path + strlen(path), 3, i == 1 ? "x" : "/x");
        ino[i] = fx_ino(fx, ref, path);
        name_it(fx, ref, ino[i - 1], "y", ino[i]);
    }
    return fx_head(fx, ref);
}

/* One that does not end would end here. */
static void hurry(struct fx *fx, struct cis_stop *stop)
{
    *stop = (struct cis_stop){cis_clock_mono_ns() + 5ull * CIS_NS_PER_S, NULL};
    fx->h.stop = stop;
}

typedef struct cis_view maker(struct fx *fx, const char *ref);

static void restore_is_refused(struct fx *fx, maker *make)
{
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = CIS_STR("main"), .note = "restore"};
    struct cis_stop stop;
    fx_fork(fx, fx_head(fx, "main"), "damaged");
    struct cis_view bad = make(fx, "damaged"), good = fx_head(fx, "main");
    hurry(fx, &stop);
    assert_fails(CIS_E_DAMAGED, "two names or is inside itself",
                 cis_history_restore(&fx->h, bad, CIS_STR("/"), &how, &done, err));
    struct cis_view now = fx_head(fx, "main");
    assert_int_equal(now.epoch, good.epoch);
    how.ref = CIS_STR("damaged"); /* and back to what was whole: the rows go */
    assert_fails(CIS_E_DAMAGED, "two names or is inside itself",
                 cis_history_restore(&fx->h, good, CIS_STR("/"), &how, &done, err));
    now = fx_head(fx, "damaged");
    assert_int_equal(now.epoch, bad.epoch);
}

static void restore_ends_on_a_directory_within_itself(void **state)
{
    struct fx *fx = *state;
    restore_is_refused(fx, circle);
}

static void restore_ends_on_directories_with_two_names(void **state)
{
    struct fx *fx = *state;
    restore_is_refused(fx, ladder);
}

static void send_is_refused(struct fx *fx, maker *make)
{
    struct fx other = {.dir = test_dir_new()};
    struct cis_move_counts counts;
    struct cis_error ignored;
    struct cis_stop stop;
    struct cis_fs_ref ref;
    fx_open(&other, other.dir);
    struct cis_view bad = make(fx, "main");
    hurry(fx, &stop);
    hurry(&other, &stop);
    assert_fails(
        CIS_E_DAMAGED, "two names or is inside itself",
        cis_history_send(&fx->h, bad, &other.h, CIS_STR("copy"), "send", NULL, NULL, &counts, err));
    cis_code code =
        cis_store_ref_get(other.store, other.h.tenant, CIS_STR("copy"), &ref, NULL, &ignored);
    assert_true(code == CIS_E_NOTFOUND || ref.head.epoch == 0 || ref.files == 0);
    fx_close(&other);
    assert_ok(cis_file_remove_tree(other.dir, err));
    free(other.dir);
}

static void sending_ends_on_a_directory_within_itself(void **state)
{
    struct fx *fx = *state;
    send_is_refused(fx, circle);
}

static void sending_ends_on_directories_with_two_names(void **state)
{
    struct fx *fx = *state;
    send_is_refused(fx, ladder);
}

/* ---- walks of the tree as a filesystem ---- */
struct seen {
    uint64_t visits, failures;
    const struct cis_vfs_call *call;
};

static cis_code see(void *self, const struct cis_tree_entry *e, bool *descend,
                    struct cis_error *err)
{
    struct seen *s = self;
    (void)descend;
    if (e->rc != 0) {
        s->failures++;
        assert_non_null(strstr(s->call->err->msg, "two names or is inside itself"));
    }
    return ++s->visits < 10000 ? CIS_OK : cis_fail(err, CIS_E_LIMIT, "the walk does not end");
}

static void walk_of(struct fx *fx, struct cis_view at, uint64_t failures)
{
    struct cis_fs_cache_options fs_cache = CIS_FS_CACHE_OPTIONS_INIT;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    struct cis_error deep = {0};
    struct cis_stop stop = {CIS_NEVER, NULL};
    struct cis_vfs_call call = {.stop = &stop, .err = &deep};
    struct cis_vfs_attr attr;
    struct seen s = {.call = &call};
    cis_fs_cache *f;
    cis_vfs *vfs;
    o.tenant = fx->h.tenant;
    o.at = at;
    o.read_only = true;
    assert_ok(cis_fs_cache_new(fx->store, &fs_cache, &f, err));
    assert_ok(cis_layered_open(f, &o, &stop, &vfs, err));
    assert_int_equal(cis_vfs_getattr(vfs, &call, vfs->root, &attr), 0);
    for (unsigned flags = 0; flags <= CIS_TREE_AFTER; flags += CIS_TREE_AFTER) {
        assert_fails(
            CIS_E_DAMAGED, "two names or is inside itself",
            cis_tree_walk(vfs, vfs->root, &attr, CIS_STR("/"), flags, &call, see, &s, err));
    }
    s = (struct seen){.call = &call}; /* one that goes on leaves out the second name alone */
    assert_ok(
        cis_tree_walk(vfs, vfs->root, &attr, CIS_STR("/"), CIS_TREE_FAILURES, &call, see, &s, err));
    assert_int_equal(s.failures, failures);
    cis_vfs_close(vfs);
    cis_fs_cache_free(f);
}

static void a_walk_visits_a_directory_within_itself_once(void **state)
{
    struct fx *fx = *state;
    walk_of(fx, circle(fx, "main"), 1);
}

static void a_walk_visits_directories_with_two_names_once(void **state)
{
    struct fx *fx = *state;
    walk_of(fx, ladder(fx, "main"), LADDER);
}

static int run(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
    const struct CMUnitTest tests[] = {
        TEST(restore_ends_on_a_directory_within_itself),
        TEST(restore_ends_on_directories_with_two_names),
        TEST(sending_ends_on_a_directory_within_itself),
        TEST(sending_ends_on_directories_with_two_names),
        TEST(a_walk_visits_a_directory_within_itself_once),
        TEST(a_walk_visits_directories_with_two_names_once),
    };
    return cmocka_run_group_tests_name("history_twice", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
