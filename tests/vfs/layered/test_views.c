/* Views: what each sees, what a commit makes of the overlay, conflicts, forks, changes, what is
 * left of files without a name. */
#include "fixture.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "vfs/layered/view.h"
#include "vfs/walk.h"
#include "store/calls.h"

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

static uint64_t store_reads(struct fixture *f)
{
    struct cis_fs_cache_stats stats;
    cis_fs_cache_stats(f->fs_cache, &stats);
    return stats.store_reads;
}

static int remove_file(cis_vfs *vfs, uint64_t dir, const char *name)
{
    return cis_vfs_unlink(vfs, &nobody, dir, cis_str_of(name));
}

static int move(cis_vfs *vfs, uint64_t dir, const char *name, uint64_t to, const char *to_name)
{
    return vfs->ops->rename(vfs, &nobody, dir, cis_str_of(name), to, cis_str_of(to_name), 0);
}

/* ---- happy ---- */

static void a_commit_is_seen_by_later_views_and_by_none_before(void **state)
{
    struct fixture *f = *state;
    cis_vfs *a = view_main(f), *b = view_main(f);
    must_write(a, 1, "hello", "world", 5);
    assert_int_equal(find(b, 1, "hello", &(uint64_t){0}, NULL), ENOENT);
    must_commit(a);
    assert_int_equal(find(b, 1, "hello", &(uint64_t){0}, NULL), ENOENT);
    must_hold(a, 1, "hello", "world");
    cis_vfs *c = view_main(f);
    must_hold(c, 1, "hello", "world");
    assert_int_equal(find(b, 1, "hello", &(uint64_t){0}, NULL), ENOENT);
    assert_true(cis_layered_view(c).epoch > cis_layered_view(b).epoch);
    cis_vfs_close(a);
    cis_vfs_close(b);
    cis_vfs_close(c);
}

static void views_of_old_epochs_see_their_own_state_through_shared_caches(void **state)
{
    struct fixture *f = *state;
    enum { EPOCHS = 20 };
    struct cis_view at[EPOCHS];
    cis_vfs *w = view_main(f);
    for (int i = 0; i < EPOCHS; i++) {
        char text[32], name[32];
        snprintf(text, sizeof text, "state %d", i);
        snprintf(name, sizeof name, "only%d", i);
        must_write(w, 1, "file", text, strlen(text));
        must_write(w, 1, name, "x", 1);
        if (i > 0) {
            snprintf(name, sizeof name, "only%d", i - 1);
            assert_int_equal(remove_file(w, 1, name), 0);
        }
        must_commit(w);
        at[i] = cis_layered_view(w);
    }
    for (int turn = 0; turn < 2; turn++) { /* once filling the caches, once from them */
        for (int i = EPOCHS - 1; i >= 0; i--) {
            char text[32], want[64];
            cis_vfs *v = view_at(f, at[i]);
            snprintf(text, sizeof text, "state %d", i);
            snprintf(want, sizeof want, "file only%d ", i);
            must_hold(v, 1, "file", text);
            char *list = must_list(v, 1);
            assert_string_equal(list, want);
            free(list);
            cis_vfs_close(v);
        }
    }
    cis_vfs_close(w);
}

static void what_a_commit_wrote_is_not_read_again(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    uint64_t dir = must_mkdir(v, 1, "dir");
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        must_write(v, dir, name, "small", 5);
    }
    must_commit(v);
    uint64_t before = store_reads(f);
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        must_hold(v, dir, name, "small");
    }
    assert_int_equal(store_reads(f), before);
    cis_vfs_close(v);
}

static void caches_move_on_with_the_commits_of_others(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    must_write(v, 1, "a", "one", 3);
    must_write(v, 1, "b", "two", 3);
    must_commit(v);
    must_hold(v, 1, "a", "one");
    /* Another process: an fs cache of its own. */
    cis_fs_cache *other = NULL;
    assert_ok(cis_fs_cache_new(f->store, NULL, &other, err));
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    cis_vfs *w = NULL;
    assert_ok(cis_layered_open(other, &o, NULL, &w, err));
    must_write(w, 1, "b", "changed", 7);
    must_commit(w);
    cis_vfs *now = view_main(f);
    uint64_t before = store_reads(f);
    must_hold(now, 1, "a", "one");
    assert_int_equal(store_reads(f), before); /* still cached */
    must_hold(now, 1, "b", "changed");
    assert_true(store_reads(f) > before);
    must_hold(v, 1, "b", "two");
    cis_vfs_close(now);
    cis_vfs_close(w);
    cis_vfs_close(v);
    cis_fs_cache_free(other);
}

static void times_of_a_directory_where_a_file_came_and_went_reach_other_caches(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    uint64_t dir = must_mkdir(v, 1, "dir"), sub = must_mkdir(v, dir, "sub");
    must_commit(v);
    struct cis_vfs_attr was = must_stat(v, dir), sub_was = must_stat(v, sub);
    cis_fs_cache *other = NULL;
    assert_ok(cis_fs_cache_new(f->store, NULL, &other, err));
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    cis_vfs *w = NULL;
    assert_ok(cis_layered_open(other, &o, NULL, &w, err));
    must_write(w, dir, "moment", "x", 1);
    assert_int_equal(remove_file(w, dir, "moment"), 0);
    must_commit(w);
    assert_int_equal(move(w, dir, "sub", dir, "named"), 0);
    must_commit(w);
    cis_vfs *now = view_main(f);
    struct cis_vfs_attr is = must_stat(now, dir), sub_is = must_stat(now, sub);
    assert_memory_not_equal(&is.mtime, &was.mtime, sizeof is.mtime);
    assert_memory_not_equal(&sub_is.ctime, &sub_was.ctime, sizeof is.ctime);
    assert_memory_equal(&sub_is.mtime, &sub_was.mtime, sizeof is.mtime);
    cis_vfs_close(now);
    cis_vfs_close(w);
    cis_vfs_close(v);
    cis_fs_cache_free(other);
}

static void a_cold_path_of_five_names_costs_two_trips_at_most(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    uint64_t dir = 1;
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        dir = must_mkdir(v, dir, names[i]);
    }
    must_write(v, dir, "file", "x", 1);
    must_commit(v);
    cis_vfs_close(v);
    fixture_reopen(f, NULL);
    v = view_main(f);
    cis_ns *ns = NULL;
    cis_dir *root = NULL;
    assert_ok(cis_ns_new(&ns, err));
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), v, 0, false, err));
    assert_int_equal(cis_dir_root(ns, &nobody, CIS_STR("/"), &root), 0);
    struct cis_vfs_attr attr;
    uint64_t before = store_reads(f);
    assert_int_equal(cis_at_stat(root, &nobody, CIS_STR("a/b/c/d/file"), 0, &attr), 0);
    assert_true(store_reads(f) - before <= 2);
    before = store_reads(f);
    assert_int_equal(cis_at_stat(root, &nobody, CIS_STR("a/b/c/d/file"), 0, &attr), 0);
    assert_int_equal(store_reads(f), before);
    cis_dir_free(root);
    cis_ns_free(ns);
    cis_vfs_close(v);
}

static void content_survives_commit_and_reopening(void **state)
{
    struct fixture *f = *state;
    static const size_t sizes[] = {0, 1, 1024, 1025, 4096, 65535, 65536, 65537, 300000};
    size_t most = 300000;
    uint8_t *data = malloc(most);
    cis_vfs *v = view_main(f);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char name[32];
        noise(i, data, sizes[i]);
        snprintf(name, sizeof name, "s%zu", sizes[i]);
        must_write(v, 1, name, data, sizes[i]);
    }
    must_commit(v);
    cis_vfs_close(v);
    fixture_reopen(f, NULL);
    v = view_main(f);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char name[32];
        size_t n;
        noise(i, data, sizes[i]);
        snprintf(name, sizeof name, "s%zu", sizes[i]);
        char *have = must_read(v, 1, name, &n);
        assert_int_equal(n, sizes[i]);
        assert_memory_equal(have, data, n);
        free(have);
    }
    cis_vfs_close(v);
    free(data);
}

static void what_was_cut_off_stays_zero(void **state)
{
    struct fixture *f = *state;
    size_t len = 200000;
    uint8_t *data = malloc(len), *zeros = calloc(1, len);
    noise(7, data, len);
    cis_vfs *v = view_main(f);
    must_write(v, 1, "file", data, len);
    must_commit(v);
    uint64_t ino = must_find(v, 1, "file");
    cis_vfs_file *file = must_open(v, ino, O_RDWR);
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE, .size = 70000};
    assert_int_equal(cis_vfs_setattr(v, &nobody, ino, &set, NULL), 0);
    must_commit(v);
    set.size = len;
    assert_int_equal(cis_vfs_setattr(v, &nobody, ino, &set, NULL), 0);
    for (int turn = 0; turn < 2; turn++) {
        uint8_t *have = malloc(len);
        assert_int_equal(read_at(file, 0, have, len), len);
        assert_memory_equal(have, data, 70000);
        assert_memory_equal(have + 70000, zeros, len - 70000);
        free(have);
        must_commit(v);
    }
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    cis_vfs_close(v);
    free(data);
    free(zeros);
}

struct seen {
    char text[4096];
};

static bool see(void *self, const struct cis_layered_change *c)
{
    struct seen *s = self;
    size_t at = strlen(s->text);
    snprintf(s->text + at, sizeof s->text - at, "%c %.*s%s%.*s\n", c->what, (int)c->path.len,
             c->path.ptr, c->from.len != 0 ? " < " : "", (int)c->from.len,
             c->from.ptr != NULL ? c->from.ptr : "");
    return true;
}

static void changes_are_shown_as_paths_in_order(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    uint64_t dir = must_mkdir(v, 1, "dir");
    uint64_t deep = must_mkdir(v, dir, "deep");
    must_write(v, deep, "gone", "1", 1);
    must_write(v, deep, "moved", "2", 1);
    must_write(v, deep, "edited", "3", 1);
    must_write(v, 1, "replaced", "4", 1);
    must_write(v, 1, "same", "5", 1);
    must_commit(v);
    struct seen s = {""};
    assert_ok(cis_layered_changes(v, see, &s, NULL, err));
    assert_string_equal(s.text, "");
    assert_int_equal(remove_file(v, deep, "gone"), 0);
    assert_int_equal(move(v, deep, "moved", 1, "arrived"), 0);
    must_write(v, deep, "edited", "33", 2);
    must_write(v, 1, "tmp", "44", 2);
    assert_int_equal(move(v, 1, "tmp", 1, "replaced"), 0);
    must_write(v, deep, "added", "6", 1);
    must_write(v, deep, "for a moment", "7", 1);
    assert_int_equal(remove_file(v, deep, "for a moment"), 0);
    assert_ok(cis_layered_changes(v, see, &s, NULL, err));
    assert_string_equal(s.text, "R arrived < dir/deep/moved\n"
                                "A dir/deep/added\n"
                                "M dir/deep/edited\n"
                                "D dir/deep/gone\n"
                                "M replaced\n");
    assert_true(cis_layered_dirty(v));
    cis_vfs_close(v);
}

static void changes_of_files_found_by_path_or_by_nobody_have_their_paths(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    uint64_t dir = must_mkdir(v, 1, "dir"), sub = must_mkdir(v, dir, "sub");
    must_write(v, sub, "by path", "1", 1);
    must_write(v, sub, "by number", "2", 1);
    must_commit(v);
    uint64_t ino = must_find(v, sub, "by number");
    cis_vfs_forget(v, ino, 1);
    cis_vfs_close(v);
    v = view_main(f);
    cis_ns *ns = NULL;
    cis_dir *root = NULL;
    assert_ok(cis_ns_new(&ns, err));
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), v, 0, false, err));
    assert_int_equal(cis_dir_root(ns, &nobody, CIS_STR("/"), &root), 0);
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    assert_int_equal(cis_at_open(root, &nobody, CIS_STR("dir/sub/by path"),
                                 &(struct cis_open_how){0, O_RDWR, 0}, &file, &attr),
                     0);
    assert_int_equal(write_at(file, 0, "x", 1), 0);
    cis_vfs_release(file);
    file = must_open(v, ino, O_RDWR);
    assert_int_equal(write_at(file, 0, "y", 1), 0);
    cis_vfs_release(file);
    struct seen s = {""};
    assert_ok(cis_layered_changes(v, see, &s, NULL, err));
    assert_string_equal(s.text, "M dir/sub/by number\nM dir/sub/by path\n");
    cis_dir_free(root);
    cis_ns_free(ns);
    cis_vfs_close(v);
}

static void the_work_of_a_conflict_is_saved_as_a_fork(void **state)
{
    struct fixture *f = *state;
    cis_vfs *a = view_main(f), *b = view_main(f);
    must_write(a, 1, "file", "first", 5);
    must_write(b, 1, "file", "second", 6);
    uint8_t *big = malloc(300000);
    noise(3, big, 300000);
    must_write(b, 1, "big", big, 300000);
    must_commit(a);
    assert_fails(CIS_E_CONFLICT, "file", cis_layered_commit(b, NULL, NULL, NULL, err));
    must_hold(b, 1, "file", "second"); /* as it was */
    assert_ok(cis_layered_commit_fork(b, CIS_STR("lost"), NULL, NULL, NULL, err));
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    o.ref = CIS_STR("lost");
    cis_vfs *fork = view_open(f, &o);
    must_hold(fork, 1, "file", "second");
    size_t n;
    char *have = must_read(fork, 1, "big", &n);
    assert_int_equal(n, 300000);
    assert_memory_equal(have, big, n);
    free(have);
    free(big);
    cis_layered_discard(b);
    assert_false(cis_layered_dirty(b));
    assert_int_equal(find(b, 1, "file", &(uint64_t){0}, NULL), ENOENT);
    cis_vfs *main = view_main(f);
    must_hold(main, 1, "file", "first");
    cis_vfs_close(main);
    cis_vfs_close(fork);
    cis_vfs_close(a);
    cis_vfs_close(b);
}

static void the_empty_tree_is_changed_into_a_branch_of_its_own(void **state)
{
    struct fixture *f = *state;
    cis_vfs *main = view_main(f);
    must_write(main, 1, "theirs", "x", 1);
    must_commit(main);
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    o.empty = true;
    cis_vfs *v = view_open(f, &o);
    char *list = must_list(v, 1);
    assert_string_equal(list, "");
    free(list);
    uint8_t *big = malloc(300000);
    noise(3, big, 300000);
    must_write(v, 1, "mine", big, 300000);
    free(big);
    assert_fails(CIS_E_USAGE, "fork", cis_layered_commit(v, NULL, NULL, NULL, err));
    struct cis_fs_committed done;
    assert_ok(cis_layered_commit_fork(v, CIS_STR("apart"), NULL, &done, NULL, err));
    assert_int_equal(done.files, 1);
    assert_int_equal(done.bytes, 300000);
    assert_fails(CIS_E_EXISTS, "apart",
                 cis_layered_commit_fork(v, CIS_STR("apart"), NULL, NULL, NULL, err));
    cis_vfs_close(v);
    o.empty = false;
    o.ref = CIS_STR("apart");
    v = view_open(f, &o);
    list = must_list(v, 1);
    assert_string_equal(list, "mine ");
    free(list);
    must_write(v, 1, "more", "x", 1);
    must_commit(v);
    cis_vfs_close(v);
    cis_vfs_close(main);
}

/* ---- edge ---- */

static void a_file_without_a_name_lives_on_for_those_who_hold_it(void **state)
{
    struct fixture *f = *state;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    o.auto_commit = true;
    o.kind = "mount";
    cis_vfs *v = view_open(f, &o);
    uint8_t data[100000], have[100000];
    noise(1, data, sizeof data);
    must_write(v, 1, "old", data, sizeof data);
    must_write(v, 1, "small", "inline", 6);
    assert_int_equal(cis_vfs_flush(v, &nobody), 0);
    uint64_t old = must_find(v, 1, "old"), small = must_find(v, 1, "small");
    cis_vfs_file *a = must_open(v, old, O_RDWR), *b = must_open(v, small, O_RDONLY);
    must_write(v, 1, "fresh", "never committed", 15);
    uint64_t fresh = must_find(v, 1, "fresh");
    cis_vfs_file *c = must_open(v, fresh, O_RDWR);
    assert_int_equal(remove_file(v, 1, "old"), 0);
    assert_int_equal(remove_file(v, 1, "small"), 0);
    assert_int_equal(remove_file(v, 1, "fresh"), 0);
    for (int turn = 0; turn < 3; turn++) {
        assert_int_equal(read_at(a, 0, have, sizeof have), sizeof have);
        assert_memory_equal(have, data, sizeof data);
        assert_int_equal(read_at(b, 0, have, sizeof have), 6);
        assert_int_equal(read_at(c, 0, have, sizeof have), 15);
        assert_int_equal(must_stat(v, old).nlink, 0);
        data[50] = (uint8_t)turn;
        assert_int_equal(write_at(a, 50, data + 50, 1), 0);
        must_write(v, 1, "other", &turn, sizeof turn);
        assert_int_equal(cis_vfs_flush(v, &nobody), 0);
    }
    cis_vfs_release(a);
    cis_vfs_release(b);
    cis_vfs_release(c);
    cis_vfs_forget(v, old, 1);
    cis_vfs_forget(v, small, 1);
    cis_vfs_forget(v, fresh, 1);
    assert_int_equal(cis_vfs_flush(v, &nobody), 0);
    assert_false(cis_layered_dirty(v));
    char *list = must_list(v, 1);
    assert_string_equal(list, "other ");
    free(list);
    struct cis_vfs_usage usage;
    assert_int_equal(cis_vfs_statfs(v, &nobody, &usage), 0);
    assert_int_equal(usage.files, 1);
    assert_int_equal(usage.bytes, 4);
    cis_vfs_close(v);
}

static void a_run_that_changed_nothing_makes_no_epoch(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    must_write(v, 1, "a", "x", 1);
    must_commit(v);
    struct cis_view at = cis_layered_view(v);
    must_hold(v, 1, "a", "x");
    must_commit(v);
    assert_int_equal(cis_layered_view(v).epoch, at.epoch);
    cis_vfs_close(v);
}

static void removed_names_and_moved_directories_are_committed(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    uint64_t a = must_mkdir(v, 1, "a"), b = must_mkdir(v, 1, "b");
    uint64_t in = must_mkdir(v, a, "in");
    must_write(v, in, "file", "x", 1);
    must_commit(v);
    assert_int_equal(move(v, a, "in", b, "there"), 0);
    assert_int_equal(cis_vfs_rmdir(v, &nobody, 1, CIS_STR("a")), 0);
    assert_int_equal(move(v, 1, "b", in, "self"), EINVAL);
    must_commit(v);
    cis_vfs_close(v);
    fixture_reopen(f, NULL);
    v = view_main(f);
    char *list = must_list(v, 1);
    assert_string_equal(list, "b ");
    free(list);
    b = must_find(v, 1, "b");
    assert_int_equal(must_stat(v, b).nlink, 3);
    in = must_find(v, b, "there");
    must_hold(v, in, "file", "x");
    cis_vfs_close(v);
}

static void a_spilled_file_is_whole(void **state)
{
    struct fixture *f = *state;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    o.dirty_bytes = 256 * 1024;
    cis_vfs *v = view_open(f, &o);
    size_t len = 5000000;
    uint8_t *data = malloc(len);
    noise(9, data, len);
    must_write(v, 1, "file", data, len);
    uint64_t ino = must_find(v, 1, "file");
    cis_vfs_file *file = must_open(v, ino, O_RDWR);
    for (size_t i = 0; i < 200; i++) { /* into spilled blocks too */
        size_t at = (i * 7919 * 113) % (len - 100);
        noise(i, data + at, 100);
        assert_int_equal(write_at(file, at, data + at, 100), 0);
    }
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    for (int turn = 0; turn < 2; turn++) {
        size_t n;
        char *have = must_read(v, 1, "file", &n);
        assert_int_equal(n, len);
        assert_memory_equal(have, data, len);
        free(have);
        must_commit(v);
    }
    cis_vfs_close(v);
    free(data);
}

static void a_small_edit_of_a_large_file_stores_at_most_two_chunks(void **state)
{
    struct fixture *f = *state;
    size_t len = 64u << 20;
    uint8_t *data = malloc(len);
    noise(5, data, len);
    cis_vfs *v = view_main(f);
    must_write(v, 1, "large", data, len);
    must_commit(v);
    struct cis_tenant before, after;
    assert_ok(cis_store_tenant_get(f->store, TENANT, &before, NULL, err));
    uint64_t ino = must_find(v, 1, "large");
    cis_vfs_file *file = must_open(v, ino, O_RDWR);
    noise(6, data, 4096);
    assert_int_equal(write_at(file, (len / 2) + 65536 - 2048, data, 4096), 0);
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    must_commit(v);
    assert_ok(cis_store_tenant_get(f->store, TENANT, &after, NULL, err));
    assert_true(after.stored > before.stored);
    assert_true(after.stored - before.stored <= 2 * CIS_FS_BLOCK + 4096 /* rows */);
    cis_vfs_close(v);
    free(data);
}

static void holes_are_found_and_made(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    uint8_t one[1] = {1};
    must_write(v, 1, "sparse", one, 1);
    uint64_t ino = must_find(v, 1, "sparse"), at;
    cis_vfs_file *file = must_open(v, ino, O_RDWR);
    assert_int_equal(write_at(file, 1ull << 40, one, 1), 0);
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(cis_vfs_seek(file, &nobody, 65536, SEEK_DATA, &at), 0);
        assert_int_equal(at, 1ull << 40);
        assert_int_equal(cis_vfs_seek(file, &nobody, 0, SEEK_HOLE, &at), 0);
        assert_int_equal(at, 65536);
        assert_true(must_stat(v, ino).blocks <= 512);
        must_commit(v);
    }
    assert_int_equal(
        cis_vfs_allocate(file, &nobody, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536), 0);
    must_commit(v);
    assert_int_equal(cis_vfs_seek(file, &nobody, 0, SEEK_DATA, &at), 0);
    assert_int_equal(at, 1ull << 40);
    uint8_t have = 9;
    assert_int_equal(read_at(file, 0, &have, 1), 1);
    assert_int_equal(have, 0);
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    cis_vfs_close(v);
}

/* ---- denied ---- */

/* A block of the overlay for each block of the hole took 10 s and 250 MB for 200 GiB. */
static void a_hole_costs_what_it_takes_away(void **state)
{
    struct fixture *f = *state;
    struct cis_budget budget = {.limit = 64u << 20};
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    const uint64_t size = 1ull << 42;
    uint64_t out = 0;
    char byte;
    o.tenant = TENANT;
    o.ref = CIS_STR("main");
    o.budget = &budget;
    cis_vfs *v = view_open(f, &o);
    must_write(v, 1, "file", "begin", 5);
    uint64_t ino = must_find(v, 1, "file");
    cis_vfs_file *file = must_open(v, ino, O_RDWR);
    for (uint64_t i = 1; i <= 8; i++) {
        assert_int_equal(write_at(file, i * (size / 8) - 6, "middle", 6), 0);
    }
    must_commit(v);
    uint64_t used = budget.used;
    for (int turn = 0; turn < 2; turn++) { /* of the base, and of what is above it */
        assert_int_equal(cis_vfs_allocate(file, &nobody, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                          3, size - 6),
                         0);
        assert_true(budget.used < used + 65536);
        char begin[5];
        assert_int_equal(read_at(file, 0, begin, 5), 5);
        assert_memory_equal(begin, "beg\0\0", 5);
        for (uint64_t i = 1; i < 8; i++) {
            assert_int_equal(read_at(file, i * (size / 8) - 6, &byte, 1), 1);
            assert_int_equal(byte, 0);
        }
        assert_int_equal(read_at(file, size - 3, &byte, 1), 1);
        assert_int_equal(byte, 'd');
        assert_int_equal(cis_vfs_seek(file, &nobody, CIS_FS_BLOCK, SEEK_DATA, &out), 0);
        assert_int_equal(out, size - CIS_FS_BLOCK);
        must_commit(v);
        assert_int_equal(write_at(file, 3, "in", 2), 0);
        assert_int_equal(write_at(file, size / 2, "middle", 6), 0);
    }
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    cis_vfs_close(v);
}

static void a_view_that_is_not_the_head_is_read_only(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    must_write(v, 1, "a", "x", 1);
    must_commit(v);
    struct cis_view old = cis_layered_view(v);
    must_write(v, 1, "a", "y", 1);
    must_commit(v);
    cis_vfs *at = view_at(f, old);
    struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
    uint64_t ino = must_find(at, 1, "a");
    struct cis_vfs_attr attr;
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE};
    cis_vfs_file *file;
    assert_int_equal(cis_vfs_make(at, &nobody, 1, CIS_STR("n"), &make, &ino, &attr), EROFS);
    assert_int_equal(cis_vfs_setattr(at, &nobody, ino, &set, NULL), EROFS);
    assert_int_equal(remove_file(at, 1, "a"), EROFS);
    assert_int_equal(cis_vfs_open(at, &nobody, ino, O_RDWR, &file), EROFS);
    assert_int_equal(cis_vfs_open(at, &nobody, ino, O_RDONLY | O_TRUNC, &file), EROFS);
    assert_fails(CIS_E_DENIED, "read-only", cis_layered_commit(at, NULL, NULL, NULL, err));
    must_hold(at, 1, "a", "x");
    cis_vfs_close(at);
    cis_vfs_close(v);
}

static void open_files_of_discarded_inodes_are_stale(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    must_write(v, 1, "old", "kept", 4);
    must_commit(v);
    must_write(v, 1, "new", "x", 1);
    must_write(v, 1, "old", "changed", 7);
    uint64_t ino = must_find(v, 1, "new");
    cis_vfs_file *file = must_open(v, ino, O_RDWR);
    cis_layered_discard(v);
    struct iovec iov = {&(char){0}, 1};
    size_t n;
    uint64_t end;
    assert_int_equal(cis_vfs_read(file, &nobody, &iov, 1, 0, &n), ESTALE);
    assert_int_equal(cis_vfs_write(file, &nobody, &iov, 1, 0, &n, &end), ESTALE);
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    must_hold(v, 1, "old", "kept");
    must_commit(v);
    cis_vfs_close(v);
}

static uint64_t stored_now(struct fixture *f)
{
    struct cis_tenant t;
    assert_ok(cis_store_tenant_get(f->store, TENANT, &t, NULL, err));
    return t.stored;
}

static void what_was_on_its_way_to_the_store_is_discarded_too(void **state)
{
    enum { PIECE = 65536 };
    struct fixture *f = *state;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    static uint8_t data[PIECE];
    o.tenant = TENANT;
    cis_vfs *v = view_open(f, &o);
    must_write(v, 1, "f", "", 0);
    uint64_t ino = must_find(v, 1, "f");
    cis_vfs_file *file = must_open(v, ino, O_WRONLY);
    uint64_t at = 0;
    while (lay_of(v)->load == NULL && at < 64u << 20) {
        noise(at + 1, data, PIECE);
        assert_int_equal(write_at(file, at, data, PIECE), 0);
        at += PIECE;
    }
    assert_non_null(lay_of(v)->load);
    uint64_t before = stored_now(f);
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    cis_layered_discard(v);
    must_write(v, 1, "small", "x", 1);
    must_commit(v);
    assert_true(stored_now(f) < before + PIECE / 2);
    cis_vfs_close(v);
}

static void the_quota_is_met_to_the_last_byte_and_file(void **state)
{
    struct fixture *f = *state;
    cis_vfs_close(view_main(f));
    struct cis_tenant quota = {.quota_files = 3, .quota_bytes = 100000};
    assert_ok(cis_store_tenant_quota(f->store, TENANT, &quota, NULL, err));
    cis_vfs *v = view_main(f);
    uint8_t *data = calloc(1, 200000);
    must_write(v, 1, "a", data, 99999);
    must_write(v, 1, "b", "", 0);
    uint64_t ino = must_find(v, 1, "b"), end, made;
    cis_vfs_file *file = must_open(v, ino, O_RDWR);
    struct iovec iov = {data, 5000};
    size_t n = 0;
    assert_int_equal(cis_vfs_write(file, &nobody, &iov, 1, 0, &n, &end), 0);
    assert_int_equal(n, 1); /* what fits */
    assert_int_equal(cis_vfs_write(file, &nobody, &iov, 1, 1, &n, &end), EDQUOT);
    struct cis_vfs_make make = {.mode = S_IFREG | 0644};
    struct cis_vfs_attr attr;
    assert_int_equal(cis_vfs_make(v, &nobody, 1, CIS_STR("c"), &make, &made, &attr), 0);
    assert_int_equal(cis_vfs_make(v, &nobody, 1, CIS_STR("d"), &make, &made, &attr), EDQUOT);
    must_commit(v);
    assert_int_equal(cis_vfs_write(file, &nobody, &iov, 1, 1, &n, &end), EDQUOT);
    assert_int_equal(cis_vfs_make(v, &nobody, 1, CIS_STR("d"), &make, &made, &attr), EDQUOT);
    assert_int_equal(remove_file(v, 1, "c"), 0);
    assert_int_equal(remove_file(v, 1, "a"), 0);
    assert_int_equal(cis_vfs_write(file, &nobody, &iov, 1, 1, &n, &end), 0);
    assert_int_equal(n, 5000);
    must_commit(v);
    struct cis_vfs_usage usage;
    assert_int_equal(cis_vfs_statfs(v, &nobody, &usage), 0);
    assert_int_equal(usage.files, 1);
    assert_int_equal(usage.bytes, 5001);
    assert_int_equal(usage.bytes_free, 100000 - 5001);
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    cis_vfs_forget(v, made, 1);
    cis_vfs_close(v);
    free(data);
}

/* Both fit when they are written; the second commit does not. */
static void refused(struct fixture *f, const char *mine, const char *theirs, const char *said)
{
    struct cis_error why = {0};
    uint8_t *data = calloc(1, 700);
    cis_vfs *v = view_main(f), *other = view_main(f);
    uint64_t dir = must_mkdir(v, 1, mine);
    must_write(v, dir, "small", data, 100);
    must_write(v, dir, "big", data, 600);
    must_write(other, 1, theirs, data, 500);
    must_commit(other);
    assert_int_equal(cis_layered_commit(v, NULL, NULL, NULL, &why), CIS_E_QUOTA);
    if (strstr(why.msg, said) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", why.msg, said);
    }
    assert_true(cis_layered_dirty(v));
    cis_vfs_close(other);
    cis_vfs_close(v);
    free(data);
}

static void a_commit_that_a_quota_refuses_names_the_quota_and_a_file(void **state)
{
    struct fixture *f = *state;
    struct cis_tenant quota = {.quota_bytes = 1000};
    cis_vfs_close(view_main(f));
    assert_ok(cis_store_tenant_quota(f->store, TENANT, &quota, NULL, err));
    refused(f, "mine", "theirs",
            "bytes of files: 1200 would be used, the quota is 1000; mine/big grew the most, by 600 "
            "bytes");
    quota = (struct cis_tenant){.quota_files = 4};
    assert_ok(cis_store_tenant_quota(f->store, TENANT, &quota, NULL, err));
    refused(f, "more", "others",
            "files: 5 would be used, the quota is 4; more is one of 3 new ones");
}

static void a_file_without_a_name_takes_its_space_until_it_is_closed(void **state)
{
    struct fixture *f = *state;
    cis_vfs_close(view_main(f));
    struct cis_tenant quota = {.quota_bytes = 100000};
    assert_ok(cis_store_tenant_quota(f->store, TENANT, &quota, NULL, err));
    cis_vfs *v = view_main(f);
    uint8_t *data = calloc(1, 200000);
    struct iovec iov = {data, 200000};
    cis_vfs_file *files[8];
    uint64_t end, kept = 0, inos[8];
    for (int i = 0; i < 8; i++) { /* again and again: written, unlinked, held */
        size_t n = 0;
        must_write(v, 1, "f", "", 0);
        inos[i] = must_find(v, 1, "f");
        files[i] = must_open(v, inos[i], O_RDWR);
        int no = cis_vfs_write(files[i], &nobody, &iov, 1, 0, &n, &end);
        assert_true(no == 0 || no == EDQUOT);
        kept += n;
        assert_int_equal(remove_file(v, 1, "f"), 0);
        n = 0; /* and goes on without its name */
        no = cis_vfs_write(files[i], &nobody, &iov, 1, 100000, &n, &end);
        assert_int_equal(no, EDQUOT);
        struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE, .size = 100001};
        assert_int_equal(cis_vfs_setattr(v, &nobody, inos[i], &set, NULL), EDQUOT);
        must_commit(v);
    }
    assert_int_equal(kept, 100000);
    for (int i = 0; i < 8; i++) {
        cis_vfs_release(files[i]);
        cis_vfs_forget(v, inos[i], 1);
    }
    must_write(v, 1, "f", data, 100000); /* all of it is free again */
    must_commit(v);
    cis_vfs_close(v);
    free(data);
}

static void the_stored_cap_refuses_before_the_write_is_accepted(void **state)
{
    struct fixture *f = *state;
    cis_vfs_close(view_main(f));
    struct cis_tenant quota = {.quota_stored = 2u << 20};
    assert_ok(cis_store_tenant_quota(f->store, TENANT, &quota, NULL, err));
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    o.auto_commit = true;
    cis_vfs *v = view_open(f, &o);
    must_write(v, 1, "file", "", 0);
    uint64_t ino = must_find(v, 1, "file"), end, done = 0;
    cis_vfs_file *file = must_open(v, ino, O_RDWR);
    uint8_t *data = malloc(65536);
    int no = 0;
    while (no == 0 && done < 8u << 20) {
        struct iovec iov = {data, 65536};
        size_t n = 0;
        noise(done, data, 65536);
        no = cis_vfs_write(file, &nobody, &iov, 1, done, &n, &end);
        done += no == 0 ? n : 0;
    }
    assert_int_equal(no, ENOSPC);
    assert_true(done >= 1u << 20 && done < 3u << 20);
    assert_int_equal(cis_vfs_sync(file, &nobody, false), 0); /* what was accepted is kept */
    for (uint64_t at = 0; at < done; at += 65536) {
        uint8_t have[65536];
        noise(at, data, 65536);
        assert_int_equal(read_at(file, at, have, 65536), 65536);
        assert_memory_equal(have, data, 65536);
    }
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    cis_vfs_close(v);
    free(data);
}

/* Of a run, what it wrote and what it writes count together: its commit is not the first to say it.
 */
static void the_stored_cap_counts_all_that_a_run_wrote(void **state)
{
    enum { FIRST = 500 << 10, SECOND = 700 << 10 };
    struct fixture *f = *state;
    struct cis_tenant had;
    cis_vfs_close(view_main(f));
    assert_ok(cis_store_tenant_get(f->store, TENANT, &had, NULL, err));
    struct cis_tenant quota = {.quota_stored = had.stored + (1u << 20)};
    assert_ok(cis_store_tenant_quota(f->store, TENANT, &quota, NULL, err));
    uint8_t *data = malloc(SECOND);
    for (int wrote = 0; wrote < 2; wrote++) { /* by itself the second one fits */
        cis_vfs *v = view_main(f);
        struct iovec iov = {data, SECOND};
        size_t n = 0;
        uint64_t end;
        noise(1, data, FIRST);
        must_write(v, 1, "first", data, wrote == 1 ? FIRST : 0);
        must_write(v, 1, "second", "", 0);
        uint64_t ino = must_find(v, 1, "second");
        cis_vfs_file *file = must_open(v, ino, O_WRONLY);
        noise(2, data, SECOND);
        assert_int_equal(cis_vfs_write(file, &nobody, &iov, 1, 0, &n, &end),
                         wrote == 1 ? ENOSPC : 0);
        assert_int_equal(n, wrote == 1 ? 0 : SECOND);
        cis_vfs_release(file);
        cis_vfs_forget(v, ino, 1);
        cis_vfs_close(v);
    }
    free(data);
}

/* Nothing else flushes here: what was accepted has to fit by itself. */
static void names_that_a_mount_accepted_fit_its_next_flush(void **state)
{
    struct fixture *f = *state;
    uint64_t fence;
    cis_vfs_close(view_main(f));
    assert_ok(cis_store_lease(f->store, TENANT,
                              &(struct cis_fs_lease_request){CIS_STR("main"), "a mount", 0, 60000},
                              &fence, NULL, err));
    for (int kind = 0; kind < 3; kind++) {
        struct cis_tenant had, quota = {0};
        struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
        assert_ok(cis_store_tenant_get(f->store, TENANT, &had, NULL, err));
        quota.quota_stored = had.stored + (1u << 20);
        assert_ok(cis_store_tenant_quota(f->store, TENANT, &quota, NULL, err));
        o.tenant = TENANT;
        o.auto_commit = true;
        o.fence = fence;
        cis_vfs *v = view_open(f, &o);
        char name[256], target[4001];
        memset(target, 't', 4000);
        target[4000] = 0;
        must_write(v, 1, "first", "", 0);
        uint64_t first = must_find(v, 1, "first");
        int no = 0, made = 0;
        for (; no == 0 && made < 20000; made += no == 0) {
            struct cis_vfs_make make = {.mode = S_IFREG | 0644};
            struct cis_vfs_attr attr;
            uint64_t ino = 0;
            snprintf(name, sizeof name, "%d-%d-%0*d", kind, made, kind == 1 ? 10 : 200, 0);
            if (kind == 2) {
                no = v->ops->link(v, &nobody, first, 1, cis_str_of(name), &attr);
                continue;
            }
            if (kind == 1) {
                make = (struct cis_vfs_make){.mode = S_IFLNK | 0777, .target = cis_str_of(target)};
            }
            no = cis_vfs_make(v, &nobody, 1, cis_str_of(name), &make, &ino, &attr);
            if (no == 0) {
                cis_vfs_forget(v, ino, 1);
            }
        }
        assert_true(no == ENOSPC || no == EDQUOT);
        assert_true(made > 100 && made < 20000);
        assert_ok(cis_layered_commit(v, NULL, NULL, NULL, err)); /* all that was accepted */
        cis_vfs_forget(v, first, 1);
        if (kind != 2) { /* and there is room to remove it */
            assert_int_equal(cis_vfs_unlink(v, &nobody, 1, CIS_STR("first")), 0);
        }
        assert_ok(cis_layered_commit(v, NULL, NULL, NULL, err));
        cis_vfs_close(v);
    }
}

static void a_rename_ends_on_a_long_way_up_when_it_is_told_to(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    cis_cancel *cancel = NULL;
    assert_ok(cis_cancel_new(&cancel, err));
    struct cis_stop stop = {CIS_NEVER, cancel};
    struct cis_vfs_call call = {.stop = &stop};
    uint64_t moved = must_mkdir(v, 1, "moved"), dir = must_mkdir(v, 1, "d");
    for (int i = 0; i < 200; i++) {
        uint64_t in = must_mkdir(v, dir, "d");
        cis_vfs_forget(v, dir, 1);
        dir = in;
    }
    cis_cancel_fire(cancel);
    assert_int_equal(v->ops->rename(v, &call, 1, CIS_STR("moved"), dir, CIS_STR("m"), 0), EINTR);
    assert_int_equal(v->ops->rename(v, &nobody, 1, CIS_STR("moved"), dir, CIS_STR("m"), 0), 0);
    cis_vfs_forget(v, dir, 1);
    cis_vfs_forget(v, moved, 1);
    cis_layered_discard(v);
    cis_vfs_close(v);
    cis_cancel_unref(cancel);
}

/* A reference is counted with or without memory: else the file goes while it is held. */
static void a_reference_that_finds_no_memory_holds_its_file(void **state)
{
    struct fixture *f = *state;
    for (int files = 1; files <= 40; files++) {
        cis_vfs *v = view_main(f);
        struct cis_vfs_make make = {.mode = S_IFREG | 0644};
        struct cis_vfs_attr attr;
        uint64_t inos[40];
        char name[16];
        for (int i = 0; i < files; i++) {
            snprintf(name, sizeof name, "f%d", i);
            assert_int_equal(cis_vfs_make(v, &nobody, 1, cis_str_of(name), &make, &inos[i], &attr),
                             0);
        }
        cis_mem_fail_after(0);
        cis_vfs_ref(v, inos[0], 1);
        cis_mem_fail_after(SIZE_MAX);
        cis_vfs_forget(v, inos[0], 1);
        assert_int_equal(cis_vfs_unlink(v, &nobody, 1, CIS_STR("f0")), 0);
        assert_int_equal(cis_vfs_getattr(v, &nobody, inos[0], &attr), 0);
        for (int i = 0; i < files; i++) {
            cis_vfs_forget(v, inos[i], 1);
        }
        assert_int_not_equal(cis_vfs_getattr(v, &nobody, inos[0], &attr), 0);
        cis_layered_discard(v);
        cis_vfs_close(v);
    }
}

/* What a commit asks the store for afterwards: the first who asks waits until it may go on. */
static struct {
    const struct cis_store_fs_ops *real;
    atomic_int asked;
    atomic_bool go, left;
} after;

static cis_code slow_tenant(cis_store *store, struct cis_str name, struct cis_tenant *out,
                            const struct cis_stop *stop, struct cis_error *err)
{
    if (atomic_fetch_add(&after.asked, 1) == 0) {
        uint64_t until = cis_clock_mono_ns() + 120 * CIS_NS_PER_S;
        while (!after.go && cis_clock_mono_ns() < until) {
            usleep(1000);
        }
        after.left = true;
    }
    return after.real->tenant_get(store, name, out, stop, err);
}

static void *commit_main(void *view)
{
    return cis_layered_commit(view, NULL, NULL, NULL, NULL) == CIS_OK ? view : NULL;
}

static void a_commit_waits_for_no_question_after_another(void **state)
{
    struct fixture *f = *state;
    struct cis_tenant quota = {.quota_stored = 1u << 30};
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    uint64_t fence = 0;
    cis_vfs_close(view_main(f));
    assert_ok(cis_store_tenant_quota(f->store, TENANT, &quota, NULL, err));
    assert_ok(cis_store_lease(f->store, TENANT,
                              &(struct cis_fs_lease_request){CIS_STR("main"), "test", 0, 600000},
                              &fence, NULL, err));
    o.tenant = TENANT;
    o.auto_commit = true;
    o.fence = fence;
    cis_vfs *v = view_open(f, &o);
    struct cis_store_fs_ops ops = *f->store->fs;
    after.real = f->store->fs;
    after.asked = 0;
    after.go = after.left = false;
    ops.tenant_get = slow_tenant;
    must_write(v, 1, "a", "1", 1);
    f->store->fs = &ops;
    pthread_t thread;
    void *done = NULL;
    assert_int_equal(pthread_create(&thread, NULL, commit_main, v), 0);
    while (after.asked == 0) {
        usleep(1000);
    }
    must_write(v, 1, "b", "2", 1);
    assert_ok(cis_layered_commit(v, NULL, NULL, NULL, err));
    bool waited = after.left;
    after.go = true;
    pthread_join(thread, &done);
    f->store->fs = after.real;
    assert_ptr_equal(done, v);
    assert_false(waited);
    cis_vfs_close(v);
}

static void overlay_metadata_is_charged_to_the_budget(void **state)
{
    struct fixture *f = *state;
    struct cis_budget budget = {.limit = 100000};
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    o.budget = &budget;
    cis_vfs *v = view_open(f, &o);
    struct cis_vfs_make make = {.mode = S_IFREG | 0644};
    int no = 0, made = 0;
    struct cis_error err = {0};
    struct cis_vfs_call call = {.err = &err};
    for (; no == 0 && made < 100000; made += no == 0) {
        char name[16];
        struct cis_vfs_attr attr;
        uint64_t ino;
        snprintf(name, sizeof name, "f%d", made);
        no = cis_vfs_make(v, &call, 1, cis_str_of(name), &make, &ino, &attr);
        if (no == 0) {
            cis_vfs_forget(v, ino, 1);
        }
    }
    assert_int_equal(no, ENOSPC);
    assert_true(made > 50 && made < 1000);
    assert_non_null(strstr(err.msg, "budget"));
    assert_true(budget.used > 0 && budget.used <= budget.limit);
    must_commit(v);
    assert_int_equal(budget.used, 0);
    must_write(v, 1, "again", "x", 1);
    cis_layered_discard(v);
    assert_int_equal(budget.used, 0);
    cis_vfs_close(v);
}

static bool count_pin(void *self, const struct cis_fs_pin *pin)
{
    *(int *)self += pin->view.epoch != 0;
    return true;
}

static void a_view_that_became_old_takes_a_pin_before_it_asks(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    must_write(v, 1, "a", "x", 1);
    must_commit(v);
    int pins = 0;
    assert_ok(cis_store_pins(f->store, TENANT, count_pin, &pins, NULL, err));
    assert_int_equal(pins, 0);
    cis_vfs *old = view_main(f);
    atomic_fetch_sub(&lay_of(old)->opened_ns, 10ull * 60 * 1000000000); /* ten minutes */
    must_hold(v, 1, "a", "x");
    assert_int_equal(find(old, 1, "nothing", &(uint64_t){0}, NULL), ENOENT);
    assert_ok(cis_store_pins(f->store, TENANT, count_pin, &pins, NULL, err));
    assert_int_equal(pins, 1);
    must_write(v, 1, "a", "y", 1);
    must_commit(v);
    struct cis_view head = cis_layered_view(v);
    assert_ok(cis_store_squash(f->store, TENANT,
                               &(struct cis_fs_squash_request){head.branch, head.epoch, NULL, 0},
                               NULL, err));
    must_hold(old, 1, "a", "x"); /* kept */
    cis_vfs_close(old);
    pins = 0;
    assert_ok(cis_store_pins(f->store, TENANT, count_pin, &pins, NULL, err));
    assert_int_equal(pins, 0);
    cis_vfs_close(v);
}

static void an_expired_view_is_stale(void **state)
{
    struct fixture *f = *state;
    cis_vfs *v = view_main(f);
    must_write(v, 1, "a", "x", 1);
    must_commit(v);
    struct cis_view old = cis_layered_view(v);
    must_write(v, 1, "a", "y", 1);
    must_commit(v);
    struct cis_view head = cis_layered_view(v);
    assert_ok(cis_store_squash(f->store, TENANT,
                               &(struct cis_fs_squash_request){head.branch, head.epoch, NULL, 0},
                               NULL, err));
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    o.at = old;
    cis_vfs *at;
    assert_fails(CIS_E_EXPIRED, "", cis_layered_open(f->fs_cache, &o, NULL, &at, err));
    cis_vfs_close(v);
}

static uint64_t cached_bytes(struct fixture *f)
{
    struct cis_fs_cache_stats stats;
    cis_fs_cache_stats(f->fs_cache, &stats);
    return stats.chunk_bytes;
}

static void read_all(cis_vfs *vfs, const char *name)
{
    size_t len;
    free(must_read(vfs, 1, name, &len));
}

static void cached_content_gives_way_to_the_changes_of_a_long_file(void **state)
{
    struct fixture *f = *state;
    enum { CACHE = 4 << 20, BLOCKS = 8000 };
    struct cis_fs_cache_options small = CIS_FS_CACHE_OPTIONS_INIT;
    small.chunk_bytes = CACHE;
    fixture_reopen(f, &small);
    uint8_t *data = malloc(2 * CACHE);
    noise(1, data, 2 * CACHE);
    cis_vfs *vfs = view_main(f);
    must_write(vfs, 1, "content", data, 2 * CACHE);
    must_write(vfs, 1, "long", "", 0);
    must_commit(vfs);
    read_all(vfs, "content");
    uint64_t before = cached_bytes(f);
    assert_true(before > CACHE / 4 * 3);
    cis_vfs_file *file = must_open(vfs, must_find(vfs, 1, "long"), O_WRONLY);
    for (uint64_t i = 0; i < BLOCKS; i++) {
        assert_int_equal(write_at(file, i * CIS_FS_BLOCK, "x", 1), 0);
    }
    cis_vfs_file_close(file);
    read_all(vfs, "content");
    assert_true(cached_bytes(f) < before - BLOCKS * 200);
    must_commit(vfs); /* nothing is held any more */
    read_all(vfs, "content");
    assert_true(cached_bytes(f) > CACHE / 4 * 3);
    cis_vfs_close(vfs);
    free(data);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_commit_is_seen_by_later_views_and_by_none_before),
        TEST(views_of_old_epochs_see_their_own_state_through_shared_caches),
        TEST(what_a_commit_wrote_is_not_read_again),
        TEST(caches_move_on_with_the_commits_of_others),
        TEST(times_of_a_directory_where_a_file_came_and_went_reach_other_caches),
        TEST(a_cold_path_of_five_names_costs_two_trips_at_most),
        TEST(content_survives_commit_and_reopening),
        TEST(what_was_cut_off_stays_zero),
        TEST(changes_are_shown_as_paths_in_order),
        TEST(changes_of_files_found_by_path_or_by_nobody_have_their_paths),
        TEST(the_work_of_a_conflict_is_saved_as_a_fork),
        TEST(the_empty_tree_is_changed_into_a_branch_of_its_own),
        TEST(a_file_without_a_name_lives_on_for_those_who_hold_it),
        TEST(a_run_that_changed_nothing_makes_no_epoch),
        TEST(removed_names_and_moved_directories_are_committed),
        TEST(a_spilled_file_is_whole),
        TEST(a_small_edit_of_a_large_file_stores_at_most_two_chunks),
        TEST(holes_are_found_and_made),
        TEST(a_hole_costs_what_it_takes_away),
        TEST(a_view_that_is_not_the_head_is_read_only),
        TEST(open_files_of_discarded_inodes_are_stale),
        TEST(what_was_on_its_way_to_the_store_is_discarded_too),
        TEST(the_quota_is_met_to_the_last_byte_and_file),
        TEST(a_commit_that_a_quota_refuses_names_the_quota_and_a_file),
        TEST(a_file_without_a_name_takes_its_space_until_it_is_closed),
        TEST(the_stored_cap_refuses_before_the_write_is_accepted),
        TEST(the_stored_cap_counts_all_that_a_run_wrote),
        TEST(names_that_a_mount_accepted_fit_its_next_flush),
        TEST(a_rename_ends_on_a_long_way_up_when_it_is_told_to),
        TEST(a_reference_that_finds_no_memory_holds_its_file),
        TEST(a_commit_waits_for_no_question_after_another),
        TEST(overlay_metadata_is_charged_to_the_budget),
        TEST(cached_content_gives_way_to_the_changes_of_a_long_file),
        TEST(a_view_that_became_old_takes_a_pin_before_it_asks),
        TEST(an_expired_view_is_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
