/* The walk and the namespace over a filesystem that counts references: mounts, where ".." and
 * absolute paths end, handles, limits. */
#include <errno.h>
#include "base/clock.h"
#include "base/mem.h"
#include "harness.h"
#include "vfs/memfs.h"
#include "vfs/walk.h"

static const char *const tree[] = {
    "a/b/c/d/e=five",     "a/up>..",       "a/b/upup>../..", "a/out>../../..",
    "a/abs>/a/b",         "a/absroot>/",   "top=file",       "a/b/here>.",
    "a/into>../m/x",      "m/n",           "a/b/toc>c/d",    "long>a/b/c/../c/../c/d/e",
    "a/twice>b/toc/../d", "etc/passwd=no",
};
static const char *const other[] = {"x/y=other", "x/back>../..", "n/deep=2"};

static cis_vfs *fs, *second;
static cis_ns *ns;
static const struct cis_vfs_call call = {0};

static int setup(void **state)
{
    (void)state;
    fs = memfs_new(tree, sizeof tree / sizeof *tree);
    second = memfs_new(other, sizeof other / sizeof *other);
    assert_ok(cis_ns_new(&ns, err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cis_ns_free(ns);
    assert_int_equal(memfs_held(fs), 0); /* every reference was given back */
    assert_int_equal(memfs_held(second), 0);
    cis_vfs_close(fs);
    cis_vfs_close(second);
    return 0;
}

static cis_dir *dir_at(const char *path)
{
    cis_dir *dir = NULL;
    assert_int_equal(cis_dir_root(ns, &call, cis_str_of(path), &dir), 0);
    return dir;
}

static int stat_at(const cis_dir *dir, const char *path, unsigned flags, uint64_t *out_ino)
{
    struct cis_vfs_attr attr = {0};
    int no = cis_at_stat(dir, &call, cis_str_of(path), flags, &attr);
    *out_ino = attr.ino;
    return no;
}

static void assert_same_place(const cis_dir *dir, const char *a, const char *b, unsigned flags)
{
    uint64_t x = 0, y = 1;
    assert_int_equal(stat_at(dir, a, flags, &x), 0);
    assert_int_equal(stat_at(dir, b, flags, &y), 0);
    assert_int_equal(x, y);
}

static void assert_errno(const cis_dir *dir, const char *path, unsigned flags, int no)
{
    uint64_t ino;
    assert_int_equal(stat_at(dir, path, flags, &ino), no);
}

/* Given inner ones first, as anybody may. */
static void a_mount_without_a_folder_to_stand_on_stands_apart(void **state)
{
    (void)state;
    struct cis_error why;
    uint64_t ino;
    assert_ok(cis_ns_mount_anyway(ns, CIS_STR("/no/n"), fs, false, err));
    assert_ok(cis_ns_mount_anyway(ns, CIS_STR("/no"), second, true, err));
    assert_ok(cis_ns_mount_anyway(ns, CIS_STR("/no/none/x"), second, false, err));
    assert_ok(cis_ns_mount_anyway(ns, CIS_STR("/"), fs, false, err));
    assert_int_equal(cis_ns_mount(ns, CIS_STR("/none/strict"), fs, 0, false, &why), CIS_E_INVALID);
    cis_dir *root = dir_at("/"), *no = dir_at("/no"), *in = dir_at("/no/n"),
            *x = dir_at("/no/none/x"), *below = dir_at("/no/n/a/b"), *deep = dir_at("/no/none/x/n");
    assert_errno(root, "no", 0, ENOENT); /* nothing of it shows in the outer one */
    assert_errno(no, "none", 0, ENOENT);
    assert_int_equal(stat_at(no, "x/y", 0, &ino), 0);
    assert_same_place(no, "n/top", "n/a/../top", 0); /* this one stands there */
    assert_int_equal(stat_at(in, "top", 0, &ino), 0);
    assert_int_equal(stat_at(below, "c/d/e", 0, &ino), 0);
    assert_int_equal(stat_at(deep, "deep", 0, &ino), 0);
    assert_errno(no, "..", 0, EPERM);
    assert_errno(x, "../none", 0, EPERM);
    assert_true(cis_str_is(cis_dir_path(no), "/no"));
    assert_true(cis_str_is(cis_dir_path(x), "/no/none/x"));
    assert_true(cis_str_is(cis_dir_path(deep), "/no/none/x/n"));
    assert_true(cis_dir_together(root, x));
    assert_int_equal(cis_at_link(no, CIS_STR("n/top"), no, CIS_STR("top"), &call, 0), EROFS);
    assert_int_equal(cis_at_rename(x, CIS_STR("n/deep"), no, CIS_STR("n/d"), &call, 0, 0), EXDEV);
    assert_int_equal(cis_at_rename(no, CIS_STR("n/top"), x, CIS_STR("n/top"), &call, 0, 0), EXDEV);
    assert_int_equal(cis_at_rename(no, CIS_STR("x"), no, CIS_STR("y"), &call, 0, 0), EROFS);
    for (size_t i = 0; i < 6; i++) {
        cis_dir_free(((cis_dir *[]){root, no, in, x, below, deep})[i]);
    }
}

static void names_dots_and_links_are_walked(void **state)
{
    (void)state;
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), fs, 0, false, err));
    cis_dir *root = dir_at("/");
    assert_same_place(root, "a/b/c/d/e", "a//b/./c/../c/d/e", 0);
    assert_same_place(root, "a/b/c/d/e", "long", 0);
    assert_same_place(root, "a/b/c/d", "a/twice", 0);
    assert_same_place(root, "a/b", "a/b/here/here/here", 0);
    assert_same_place(root, ".", "a/up", 0);
    assert_same_place(root, ".", "a/b/upup/a/..", 0);
    assert_errno(root, "", 0, ENOENT);
    assert_errno(root, "a/none", 0, ENOENT);
    assert_errno(root, "a/none/x", 0, ENOENT);
    assert_errno(root, "top/x", 0, ENOTDIR);
    assert_errno(root, "top/", 0, ENOTDIR);
    assert_errno(root, "top/..", 0, ENOTDIR);
    struct cis_vfs_attr attr;
    assert_int_equal(cis_at_stat(root, &call, (struct cis_str){"a\0b", 3}, 0, &attr), EINVAL);
    cis_dir_free(root);
}

static void nothing_leads_out_without_chroot(void **state)
{
    (void)state;
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), fs, 0, false, err));
    cis_dir *root = dir_at("/"), *a = dir_at("/a");
    static const char *const bad[] = {
        "..",  "../etc/passwd", "/etc/passwd", "/",      "b/../..",  "up",  "up/etc/passwd",
        "out", "abs",           "absroot/etc", "b/upup", "./.././a", "into"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_errno(a, bad[i], 0, EPERM);
    }
    assert_errno(a, "up", CIS_WALK_NOFOLLOW, 0);
    assert_errno(a, "up/", CIS_WALK_NOFOLLOW, EPERM);
    assert_errno(root, "..", 0, EPERM);
    assert_errno(root, "a/out", 0, EPERM);
    /* A handle below goes no higher than itself, either. */
    cis_dir *b = NULL;
    assert_int_equal(cis_at_dir(a, &call, CIS_STR("b"), 0, &b), 0);
    assert_errno(b, "..", 0, EPERM);
    assert_errno(b, "c/../..", 0, EPERM);
    cis_dir_free(b);
    cis_dir_free(a);
    cis_dir_free(root);
}

static void a_chroot_keeps_dots_and_absolute_paths_inside(void **state)
{
    (void)state;
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), fs, 0, false, err));
    cis_dir *a = dir_at("/a");
    assert_same_place(a, "..", ".", CIS_WALK_CHROOT);
    assert_same_place(a, "/b", "b", CIS_WALK_CHROOT);
    assert_same_place(a, "out/out/b", "b", CIS_WALK_CHROOT);
    assert_same_place(a, "absroot", ".", CIS_WALK_CHROOT);
    assert_errno(a, "abs", CIS_WALK_CHROOT, ENOENT); /* /a/b is not below /a */
    assert_errno(a, "/etc/passwd", CIS_WALK_CHROOT, ENOENT);
    cis_dir_free(a);
}

static void a_walk_may_start_below_where_it_has_to_stay(void **state)
{
    (void)state;
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), fs, 0, false, err));
    cis_dir *root = dir_at("/"), *c = NULL, *a = dir_at("/a"), *m = dir_at("/m");
    assert_int_equal(cis_at_dir(root, &call, CIS_STR("a/b/c"), 0, &c), 0);
    struct cis_found found;
    assert_int_equal(cis_walk(c, root, &call, CIS_STR("../../../top"), 0, &found), 0);
    assert_true(found.node != 0);
    cis_found_done(&found);
    assert_int_equal(cis_walk(c, root, &call, CIS_STR("../../../.."), 0, &found), EPERM);
    assert_int_equal(cis_walk(c, a, &call, CIS_STR("../.."), 0, &found), 0);
    cis_found_done(&found);
    assert_int_equal(cis_walk(c, a, &call, CIS_STR("../../.."), 0, &found), EPERM);
    assert_int_equal(cis_walk(c, a, &call, CIS_STR("/b"), CIS_WALK_CHROOT, &found), 0);
    cis_found_done(&found);
    assert_int_equal(cis_walk(c, m, &call, CIS_STR("."), 0, &found), EINVAL);
    cis_dir_free(root); /* c still stands: it holds its chain */
    assert_int_equal(cis_walk(c, a, &call, CIS_STR("../.."), 0, &found), 0);
    cis_found_done(&found);
    cis_dir_free(m);
    cis_dir_free(a);
    cis_dir_free(c);
}

static void handles_know_their_paths(void **state)
{
    (void)state;
    assert_ok(cis_ns_mount(ns, CIS_STR("/w"), fs, 0, false, err));
    cis_dir *root = dir_at("/"), *w = dir_at("/w"), *d = NULL, *up = NULL;
    assert_true(cis_str_is(cis_dir_path(root), "/"));
    assert_true(cis_str_is(cis_dir_path(w), "/w"));
    assert_int_equal(cis_at_dir(w, &call, CIS_STR("a/twice"), 0, &d), 0);
    assert_true(cis_str_is(cis_dir_path(d), "/w/a/b/c/d"));
    assert_int_equal(cis_at_dir(w, &call, CIS_STR("a/b/.."), 0, &up), 0);
    assert_true(cis_str_is(cis_dir_path(up), "/w/a"));
    assert_int_equal(cis_at_dir(w, &call, CIS_STR("top"), 0, &d), ENOTDIR);
    assert_int_equal(cis_at_dir(w, &call, CIS_STR("none"), 0, &d), ENOENT);
    cis_dir_free(up);
    cis_dir_free(d);
    cis_dir_free(w);
    cis_dir_free(root);
}

static void mounts_are_crossed_down_and_up(void **state)
{
    (void)state;
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), fs, 0, false, err));
    assert_ok(cis_ns_mount(ns, CIS_STR("/m"), second, 0, true, err));
    cis_dir *root = dir_at("/");
    struct cis_found found;
    assert_int_equal(cis_walk(root, NULL, &call, CIS_STR("m/x/y"), 0, &found), 0);
    assert_ptr_equal(found.vfs, second);
    assert_true(found.read_only);
    cis_found_done(&found);
    assert_int_equal(cis_walk(root, NULL, &call, CIS_STR("a/into/y"), 0, &found), 0);
    assert_ptr_equal(found.vfs, second);
    cis_found_done(&found);
    assert_same_place(root, "m/../top", "top", 0);
    assert_same_place(root, "m/x/../../top", "top", 0);
    assert_same_place(root, "m/x/back/top", "top", 0);
    assert_int_equal(cis_walk(root, NULL, &call, CIS_STR("m"), 0, &found), 0);
    assert_true(found.is_mount);
    assert_ptr_equal(found.vfs, second);
    assert_int_equal(found.dir, 0);
    cis_found_done(&found);
    assert_int_equal(cis_at_rmdir(root, &call, CIS_STR("m"), 0), EBUSY);
    assert_int_equal(cis_at_unlink(root, &call, CIS_STR("m"), 0), EISDIR);
    assert_int_equal(cis_at_rename(root, CIS_STR("m"), root, CIS_STR("q"), &call, 0, 0), EBUSY);
    cis_dir_free(root);
}

static void the_order_of_mounts_does_not_matter(void **state)
{
    (void)state;
    assert_ok(cis_ns_mount(ns, CIS_STR("/m/n"), second, 0, false, err));
    assert_fails(CIS_E_INVALID, "/m/n", /* which that has not */
                 cis_ns_mount(ns, CIS_STR("/m"), fs, 0, false, err));
    cis_dir *root = dir_at("/");
    struct cis_found found;
    assert_int_equal(cis_walk(root, NULL, &call, CIS_STR("m/n/x/y"), 0, &found), 0);
    cis_found_done(&found);
    cis_dir_free(root);
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), fs, 0, false, err));
    root = dir_at("/");
    assert_int_equal(cis_walk(root, NULL, &call, CIS_STR("m/n/x/y"), 0, &found), 0);
    assert_ptr_equal(found.vfs, second);
    cis_found_done(&found);
    assert_errno(root, "top", 0, 0);
    cis_dir_free(root);
}

static void wrong_mounts_are_refused_and_change_nothing(void **state)
{
    (void)state;
    cis_node file = 0;
    struct cis_vfs_attr attr;
    assert_ok(cis_ns_mount(ns, CIS_STR("/w"), second, 0, false, err));
    assert_fails(CIS_E_EXISTS, "/w", cis_ns_mount(ns, CIS_STR("//w/"), fs, 0, false, err));
    assert_fails(CIS_E_INVALID, "/w", cis_ns_mount(ns, CIS_STR("/"), fs, 0, false, err));
    assert_fails(CIS_E_INVALID, "none", cis_ns_mount(ns, CIS_STR("/w/none"), fs, 0, false, err));
    assert_fails(CIS_E_INVALID, "/w/x/y", cis_ns_mount(ns, CIS_STR("/w/x/y"), fs, 0, false, err));
    assert_fails(CIS_E_INVALID, "absolute", cis_ns_mount(ns, CIS_STR("w"), fs, 0, false, err));
    assert_fails(CIS_E_INVALID, "must not contain",
                 cis_ns_mount(ns, CIS_STR("/w/../q"), fs, 0, false, err));
    assert_int_equal(second->ops->lookup(fs, &call, 1, CIS_STR("top"), &file, &attr), 0);
    assert_fails(CIS_E_INVALID, "", cis_ns_mount(ns, CIS_STR("/q"), fs, file, false, err));
    cis_vfs_forget(fs, file, 1);
    cis_dir *root = dir_at("/");
    assert_errno(root, "w/x/y", 0, 0);
    assert_errno(root, "q", 0, ENOENT);
    cis_dir_free(root);
}

static void sixty_four_mounts_and_no_more(void **state)
{
    (void)state;
    char path[32];
    for (int i = 0; i < 64; i++) {
        snprintf(path, sizeof path, "/mnt/%d", i);
        assert_ok(cis_ns_mount(ns, cis_str_of(path), i % 2 == 0 ? fs : second, 0, false, err));
    }
    assert_fails(CIS_E_LIMIT, "64", cis_ns_mount(ns, CIS_STR("/more"), fs, 0, false, err));
    cis_dir *root = dir_at("/");
    assert_errno(root, "mnt/62/top", 0, 0);
    assert_errno(root, "mnt/63/x/y", 0, 0);
    cis_dir_free(root);
}

static bool count_names(void *self, const struct cis_vfs_entry *entry,
                        const struct cis_vfs_attr *attr)
{
    struct cis_buf *out = self;
    cis_buf_printf(out, "%.*s%s ", (int)entry->name.len, entry->name.ptr, attr != NULL ? "+" : "");
    return true;
}

static void an_empty_namespace_shows_mount_points_and_changes_nothing(void **state)
{
    (void)state;
    assert_ok(cis_ns_mount(ns, CIS_STR("/w"), fs, 0, false, err));
    assert_ok(cis_ns_mount(ns, CIS_STR("/data/set"), second, 0, false, err));
    cis_dir *root = dir_at("/");
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
    CIS_CLEANUP(cis_buf_done) struct cis_buf names = CIS_BUF_INIT(1000);
    assert_int_equal(
        cis_at_open(root, &call, CIS_STR("."), &(struct cis_open_how){0, 0, 0}, &file, &attr), 0);
    assert_int_equal(cis_vfs_readdir(file, &call, 0, true, count_names, &names), 0);
    assert_string_equal(cis_buf_cstr(&names), ".+ ..+ w+ data+ ");
    cis_vfs_file_close(file);
    assert_int_equal(cis_at_make(root, &call, CIS_STR("new"), 0, &make), EROFS);
    assert_int_equal(cis_at_make(root, &call, CIS_STR("w"), 0, &make), EEXIST);
    assert_int_equal(cis_at_rmdir(root, &call, CIS_STR("data"), 0), EROFS);
    assert_int_equal(
        cis_at_open(root, &call, CIS_STR("f"), &(struct cis_open_how){0, 0102, 0644}, &file, &attr),
        EROFS);
    assert_int_equal(cis_at_stat(root, &call, CIS_STR("data"), 0, &attr), 0);
    assert_int_equal(attr.nlink, 3);
    cis_dir_free(root);
}

static void look_ups_are_told_what_comes_after(void **state)
{
    (void)state;
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), fs, 0, false, err));
    cis_dir *root = dir_at("/");
    assert_errno(root, "a/none//c/d", 0, ENOENT);
    assert_string_equal(memfs_ahead(fs), "c/d");
    assert_errno(root, "top", 0, 0);
    assert_string_equal(memfs_ahead(fs), "");
    cis_dir_free(root);
}

static void no_reference_is_lost_when_memory_runs_out(void **state)
{
    (void)state;
    char deep[400] = "";
    for (int i = 0; i < 40; i++) {
        snprintf(deep + strlen(deep), sizeof deep - strlen(deep), "a/up/");
    }
    for (int i = 0; i < 30; i++) {
        snprintf(deep + strlen(deep), sizeof deep - strlen(deep), "a/../");
    }
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), fs, 0, false, err));
    cis_dir *root = dir_at("/");
    for (size_t n = 0;; n++) {
        cis_dir *dir = NULL;
        cis_mem_fail_after(n);
        int no = cis_at_dir(root, &call, cis_str_of("a/twice/../../../b/c/d"), 0, &dir);
        cis_mem_fail_after(SIZE_MAX);
        cis_dir_free(dir);
        if (no == 0) {
            assert_true(n > 3);
            break;
        }
        assert_int_equal(no, ENOMEM);
    }
    assert_errno(root, deep, CIS_WALK_CHROOT, 0);
    cis_dir_free(root);
}

/* Not a promise but a figure; it fails only when something is badly wrong. */
static void walks_are_fast(void **state)
{
    (void)state;
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), fs, 0, false, err));
    cis_dir *root = dir_at("/");
    enum { N = 300000 };
    uint64_t ino, start = cis_clock_mono_ns();
    for (int i = 0; i < N; i++) {
        if (stat_at(root, "a/b/c/d/e", 0, &ino) != 0) {
            fail();
        }
    }
    uint64_t ns_each = (cis_clock_mono_ns() - start) / N;
    print_message("a walk of 5 components: %llu ns\n", (unsigned long long)ns_each);
    assert_true(ns_each < 20000);
    cis_dir_free(root);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_mount_without_a_folder_to_stand_on_stands_apart),
        T(names_dots_and_links_are_walked),
        T(nothing_leads_out_without_chroot),
        T(a_chroot_keeps_dots_and_absolute_paths_inside),
        T(a_walk_may_start_below_where_it_has_to_stay),
        T(handles_know_their_paths),
        T(mounts_are_crossed_down_and_up),
        T(the_order_of_mounts_does_not_matter),
        T(wrong_mounts_are_refused_and_change_nothing),
        T(sixty_four_mounts_and_no_more),
        T(an_empty_namespace_shows_mount_points_and_changes_nothing),
        T(look_ups_are_told_what_comes_after),
        T(no_reference_is_lost_when_memory_runs_out),
        T(walks_are_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
