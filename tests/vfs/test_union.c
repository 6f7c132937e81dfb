/* A union over a folder that has something in it: what the contract cannot see. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include "base/mem.h"
#include "vfs/backend_layered.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/ops.h"
#include "vfs/union/union.h"

static char lower[4200];

static int setup(void **state)
{
    int failed = fx_setup(state);
    backend_union_lower(fx.place, lower, sizeof lower);
    return failed;
}
#define T(f) cmocka_unit_test_setup_teardown(f, setup, fx_teardown)

static const char *below(const char *name)
{
    static char path[2][4400];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", lower, name);
    return path[turn];
}

static void host_file(const char *name, const char *text)
{
    int fd = open(below(name), O_CREAT | O_WRONLY | O_TRUNC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void host_dir(const char *name)
{
    assert_int_equal(mkdir(below(name), 0750), 0);
}

static void assert_host(const char *name, const char *text)
{
    char got[100] = "";
    int fd = open(below(name), O_RDONLY);
    assert_true(fd >= 0);
    assert_true(read(fd, got, sizeof got - 1) >= 0);
    close(fd);
    assert_string_equal(got, text);
}

static bool list_each(void *self, const struct cis_vfs_entry *entry,
                      const struct cis_vfs_attr *attr)
{
    struct cis_buf *out = self;
    (void)attr;
    cis_buf_printf(out, "%.*s\n", (int)entry->name.len, entry->name.ptr);
    return true;
}

static void assert_list(const char *path, const char *want)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf got = CIS_BUF_INIT(65536);
    cis_vfs_file *file = NULL;
    assert_no(0, t_open(path, O_RDONLY | O_DIRECTORY, &file));
    assert_no(0, cis_vfs_readdir(file, &fx.call, 0, false, list_each, &got));
    cis_vfs_file_close(file);
    assert_string_equal(cis_buf_cstr(&got), want);
}

static uint32_t links(const char *path)
{
    struct cis_vfs_attr attr;
    assert_no(0, t_lstat(path, &attr));
    return attr.nlink;
}

static uint64_t ino(const char *path)
{
    struct cis_vfs_attr attr;
    assert_no(0, t_lstat(path, &attr));
    return attr.ino;
}

static void changes_go_to_the_upper_part_only(void **state)
{
    (void)state;
    host_dir("d");
    host_file("d/f", "below");
    host_file("g", "stays");
    assert_content("d/f", "below");
    t_write_file("d/f", "above");
    assert_no(0, t_unlink("g"));
    assert_no(0, t_mkdir("d/new"));
    assert_content("d/f", "above");
    assert_host("d/f", "below");
    assert_host("g", "stays");
    fx_reopen(false);
    assert_content("d/f", "above");
    assert_list("/", ".\n..\nd\n");
    assert_int_equal(links("d"), 3);
    assert_int_equal(links("/"), 3);
}

static bool change_each(void *self, const struct cis_union_change *c)
{
    cis_buf_printf(self, "%c %.*s%s%.*s\n", c->what, (int)c->path.len, c->path.ptr,
                   c->from.len != 0 ? " < " : "", (int)c->from.len, c->from.ptr);
    return true;
}

static int line_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of lines: folders are looked at in no order. */
static void assert_changes(const char *want)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf got = CIS_BUF_INIT(65536);
    CIS_CLEANUP(cis_buf_done) struct cis_buf sorted = CIS_BUF_INIT(65536);
    char *lines[100];
    size_t n = 0;
    assert_no(0, cis_union_changes(fx.vfs, &fx.call, change_each, &got));
    cis_buf_byte(&got, 0);
    for (char *save = NULL, *l = strtok_r((char *)got.ptr, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        lines[n++] = l;
    }
    qsort(lines, n, sizeof *lines, line_cmp);
    for (size_t i = 0; i < n; i++) {
        cis_buf_printf(&sorted, "%s\n", lines[i]);
    }
    assert_string_equal(cis_buf_cstr(&sorted), want);
}

static void changes_are_told_as_paths(void **state)
{
    (void)state;
    host_dir("d");
    host_dir("d/deep");
    host_file("d/deep/f", "below");
    host_file("d/same", "opened, never written");
    host_file("gone", "x");
    host_file("kind", "a file");
    host_dir("old");
    host_file("old/inside", "x");
    host_dir("emptied");
    host_file("emptied/f", "x");
    host_file("one", "linked");
    assert_int_equal(link(below("one"), below("d/two")), 0);
    assert_changes("");
    cis_vfs_file *file = NULL;
    assert_no(0, t_open("d/same", O_RDWR, &file));
    cis_vfs_file_close(file);
    assert_changes("");
    t_write_file("d/deep/f", "above and longer");
    t_write_file("d/added", "new");
    assert_no(0, t_unlink("gone"));
    assert_no(0, t_unlink("kind"));
    assert_no(0, t_mkdir("kind"));
    assert_no(0, t_rename("old", "d/new", 0));
    assert_no(0, t_unlink("emptied/f"));
    assert_no(0, t_rmdir("emptied"));
    assert_no(0, t_mkdir("emptied"));
    t_write_file("emptied/other", "x");
    t_write_file("one", "both names");
    static const char want[] = "A d/added\nA emptied/other\nA kind\nD emptied/f\n"
                               "D gone\nD kind\nD old\nM d/deep/f\nM d/two\nM emptied\nM one\n"
                               "R d/new < old\n";
    assert_changes(want);
    fx_reopen(false);
    assert_changes(want);
    assert_no(0, t_rename("d/new", "old", 0));
    assert_no(0, t_unlink("d/added"));
    assert_changes("A emptied/other\nA kind\nD emptied/f\nD gone\nD kind\n"
                   "M d/deep/f\nM d/two\nM emptied\nM one\n");
    /* What was done below as well is no change any more. */
    assert_no(0, t_rename("old", "d/new", 0));
    assert_int_equal(rename(below("old"), below("d/new")), 0);
    assert_int_equal(unlink(below("gone")), 0);
    assert_int_equal(unlink(below("emptied/f")), 0);
    assert_changes("A emptied/other\nA kind\nD kind\nM d/deep/f\nM d/two\nM emptied\nM one\n");
}

/* As an apply does, or the user. */
static void a_folder_that_was_renamed_below_as_well_stays_whole(void **state)
{
    (void)state;
    host_dir("d");
    host_dir("d/in");
    host_file("d/f", "f");
    host_file("d/in/g", "g");
    t_write_file("d/in/own", "own");
    assert_no(0, t_rename("d", "e", 0));
    assert_int_equal(rename(below("d"), below("e")), 0);
    fx_reopen(false);
    assert_content("e/f", "f");
    assert_content("e/in/g", "g");
    assert_content("e/in/own", "own");
    assert_changes("A e/in/own\n");
    host_dir("d"); /* another one at the old place is not taken for it */
    host_file("d/f", "other");
    fx_reopen(false);
    assert_content("e/f", "f");
    assert_changes("A e/in/own\nD d\n");
    assert_no(0, t_rename("e", "h", 0));
    assert_int_equal(rename(below("e"), below("h")), 0);
    fx_reopen(false);
    assert_content("h/f", "f");
    assert_content("h/in/g", "g");
    assert_changes("A h/in/own\nD d\n");
}

static void what_is_at_the_old_place_of_a_renamed_folder_is_new(void **state)
{
    (void)state;
    host_dir("a");
    host_dir("a/c");
    host_file("a/f", "f");
    assert_no(0, t_rename("a", "e", 0));
    assert_no(0, t_mkdir("a"));
    assert_no(0, t_mkdir("a/c")); /* looks as the one that went */
    t_write_file("a/f", "f");
    assert_changes("A a\nA a/c\nA a/f\nD a\nR e < a\n");
    assert_no(0, t_rename("e", "a/c/deep", 0));
    assert_changes("A a\nA a/c\nA a/f\nD a\nR a/c/deep < a\n");
}

/* The branch has b in a; below, a is in b by now. */
static void folders_that_were_moved_into_each_other_do_not_lie_in_themselves(void **state)
{
    (void)state;
    host_dir("a");
    host_dir("b");
    host_dir("b/d");
    host_file("a/f", "f");
    assert_no(0, t_rename("a", "b/d/a", 0));
    assert_no(0, t_rename("b/d", "d", 0));
    assert_int_equal(rename(below("b/d"), below("a/d")), 0);
    assert_int_equal(rename(below("b"), below("a/b")), 0);
    assert_int_equal(rename(below("a"), below("d")), 0);
    fx_reopen(false);
    char path[600] = "";
    struct cis_vfs_attr attr;
    int depth = 0;
    static const char *const names[] = {"a", "b", "d"};
    for (int no = 0; no == 0 && depth < 100; depth++) {
        size_t len = strlen(path);
        no = ENOENT;
        for (int i = 0; i < 3 && no != 0; i++) {
            snprintf(path + len, sizeof path - len, "%s%s", len != 0 ? "/" : "", names[i]);
            no = t_lstat(path, &attr);
        }
    }
    assert_true(depth < 100);
    CIS_CLEANUP(cis_buf_done) struct cis_buf got = CIS_BUF_INIT(65536);
    assert_no(0, cis_union_changes(fx.vfs, &fx.call, change_each, &got));
}

static void nothing_of_the_union_itself_is_shown(void **state)
{
    (void)state;
    struct cis_vfs_attr attr;
    struct cis_vfs_make device = {.mode = S_IFCHR | 0600};
    host_dir("d");
    host_file("d/f", "x");
    host_file("d/.cis-union-below", "hidden");
    assert_no(0, t_unlink("d/f"));
    assert_list("/", ".\n..\nd\n");
    assert_list("d", ".\n..\n");
    static const char *const hidden[] = {".cis-union", "d/.cis-union-lower", "d/.cis-union-below",
                                         "d/f", "d/.cis-union/x"};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        assert_no(ENOENT, t_lstat(hidden[i], &attr));
    }
    assert_no(EPERM, t_mkdir(".cis-union"));
    assert_no(EPERM, t_mkdir("d/.cis-union-mine"));
    t_write_file("f", "");
    assert_no(EPERM, t_rename("f", ".cis-union-f", 0));
    assert_no(EPERM, t_link("f", "d/.cis-union-f"));
    assert_no(EPERM, cis_at_make(fx.root, &fx.call, CIS_STR("whiteout"), 0, &device));
    assert_no(0, t_rmdir("d")); /* what it holds is not shown, so it is empty */
    fx_reopen(false);
    assert_list("/", ".\n..\nf\n");
}

static void a_lower_file_with_several_names_stays_one_file(void **state)
{
    (void)state;
    host_dir("d");
    host_file("a", "one");
    assert_int_equal(link(below("a"), below("b")), 0);
    assert_int_equal(link(below("a"), below("d/c")), 0);
    assert_int_equal(links("a"), 3);
    cis_vfs_file *reader = NULL;
    assert_no(0, t_open("b", O_RDONLY, &reader));
    t_write_file("a", "two!");
    assert_file_bytes(reader, 0, "two!", 4);
    cis_vfs_file_close(reader);
    for (int opened = 0; opened < 2; opened++) {
        assert_content("b", "two!");
        assert_content("d/c", "two!");
        assert_int_equal(links("d/c"), 3);
        assert_int_equal(ino("a"), ino("b"));
        assert_int_equal(ino("a"), ino("d/c"));
        fx_reopen(false);
    }
    assert_no(0, t_unlink("a"));
    assert_int_equal(links("b"), 2);
    assert_no(0, t_link("d/c", "e"));
    assert_int_equal(links("b"), 3);
    assert_no(0, t_rename("b", "d/b", 0));
    assert_int_equal(links("e"), 3);
    t_write_file("d/b", "three");
    fx_reopen(false);
    assert_content("e", "three");
    assert_content("d/c", "three");
    assert_no(0, t_unlink("e"));
    assert_no(0, t_unlink("d/b"));
    assert_int_equal(links("d/c"), 1);
    assert_no(0, t_unlink("d/c"));
    assert_list("/", ".\n..\nd\n");
    assert_host("a", "one");
}

static void unlinking_lower_names_counts_without_a_copy(void **state)
{
    (void)state;
    host_file("a", "x");
    assert_int_equal(link(below("a"), below("b")), 0);
    assert_no(0, t_unlink("a"));
    assert_int_equal(links("b"), 1);
    fx_reopen(false);
    assert_int_equal(links("b"), 1);
    assert_content("b", "x");
}

static void lower_folders_are_renamed_with_all_they_hold(void **state)
{
    (void)state;
    host_dir("d");
    host_dir("d/e");
    host_dir("d/e/f");
    host_file("d/e/f/g", "deep");
    assert_no(0, t_rename("d/e", "moved", 0));
    assert_content("moved/f/g", "deep");
    assert_list("d", ".\n..\n");
    assert_no(0, t_rename("moved/f", "d/e", 0));
    assert_content("d/e/g", "deep");
    t_write_file("d/e/g", "changed");
    fx_reopen(false);
    assert_content("d/e/g", "changed");
    assert_list("moved", ".\n..\n");
    assert_no(0, t_rename("d", "moved", 0));
    assert_content("moved/e/g", "changed");
    assert_list("/", ".\n..\nmoved\n");
    assert_no(EINVAL, t_rename("moved", "moved/e/x", 0));
    assert_host("d/e/f/g", "deep");
    assert_int_equal(links("moved"), 3);
}

static void a_new_folder_over_a_removed_one_is_empty(void **state)
{
    (void)state;
    host_dir("d");
    host_file("d/f", "old");
    host_dir("d/sub");
    assert_no(ENOTEMPTY, t_rmdir("d"));
    assert_no(0, t_unlink("d/f"));
    assert_no(0, t_rmdir("d/sub"));
    assert_no(0, t_rmdir("d"));
    assert_no(0, t_mkdir("d"));
    assert_list("d", ".\n..\n");
    t_write_file("d/f", "new");
    fx_reopen(false);
    assert_list("d", ".\n..\nf\n");
    assert_content("d/f", "new");
    assert_int_equal(links("d"), 2);
}

static void copies_keep_attributes_and_leave_their_folder_alone(void **state)
{
    (void)state;
    struct timespec times[2] = {{1000, 1}, {2000, 999999999}};
    struct cis_vfs_set mode = {.bits = CIS_VFS_SET_MODE, .mode = 0604};
    struct cis_vfs_attr a;
    host_dir("d");
    host_file("d/f", "x");
    assert_int_equal(symlink("target", below("d/s")), 0);
    assert_int_equal(utimensat(AT_FDCWD, below("d/f"), times, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, below("d"), times, 0), 0);
    assert_no(0, t_set("d/f", &mode));
    fx_reopen(false);
    assert_no(0, t_stat("d/f", &a));
    assert_int_equal(a.mode, S_IFREG | 0604);
    assert_memory_equal(&a.mtime, &times[1], sizeof a.mtime);
    assert_no(0, t_stat("d", &a));
    assert_int_equal(a.mode, S_IFDIR | 0750);
    assert_memory_equal(&a.mtime, &times[1], sizeof a.mtime);
    assert_no(0, t_link("d/s", "s"));
    assert_int_equal(links("s"), 2);
}

static void holes_stay_holes_and_memory_stays_small(void **state)
{
    (void)state;
    enum { MIB = 1 << 20, DATA = 64 };
    char *bytes = malloc(MIB);
    memset(bytes, 'x', MIB);
    int fd = open(below("big"), O_CREAT | O_WRONLY, 0644);
    for (int i = 0; i < DATA; i++) {
        bytes[0] = (char)i;
        assert_int_equal(pwrite(fd, bytes, MIB, (off_t)i * 16 * MIB), MIB);
    }
    assert_int_equal(ftruncate(fd, (off_t)4096 * MIB), 0);
    close(fd);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    cis_vfs_file *file = NULL;
    assert_no(0, t_open("big", O_RDWR, &file));
    getrusage(RUSAGE_SELF, &after);
    print_message("copied 64 MiB of data in a file of 4 GiB: %ld KiB more memory\n",
                  after.ru_maxrss - before.ru_maxrss);
#ifndef __SANITIZE_ADDRESS__ /* which keeps freed memory for a while */
    assert_true(after.ru_maxrss - before.ru_maxrss < 48 * 1024);
#endif
    struct cis_vfs_attr attr;
    assert_no(0, t_stat("big", &attr));
    assert_int_equal(attr.size, 4096ull * MIB);
    assert_true(attr.blocks * 512 < 200ull * MIB);
    for (int i = 0; i < DATA; i += 9) {
        bytes[0] = (char)i;
        assert_file_bytes(file, (uint64_t)i * 16 * MIB, bytes, MIB);
    }
    memset(bytes, 0, MIB);
    assert_file_bytes(file, 5 * (uint64_t)MIB, bytes, MIB);
    cis_vfs_file_close(file);
    free(bytes);
}

static void emptying_a_file_copies_nothing(void **state)
{
    (void)state;
    host_file("f", "long text that nobody wants");
    t_write_file("f", "short");
    assert_content("f", "short");
    host_file("g", "too");
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE};
    assert_no(0, t_set("g", &set));
    assert_content("g", "");
}

static void an_unlinked_lower_file_may_still_be_changed_by_who_holds_it(void **state)
{
    (void)state;
    cis_vfs_file *reader = NULL, *writer = NULL;
    struct cis_vfs_attr attr;
    host_file("f", "below");
    assert_no(0, t_open("f", O_RDONLY, &reader));
    assert_no(0, t_unlink("f"));
    assert_file_bytes(reader, 0, "below", 5);
    assert_no(0, cis_vfs_getattr(fx.vfs, &fx.call, reader->node, &attr));
    assert_int_equal(attr.nlink, 0);
    assert_no(0, cis_vfs_open(fx.vfs, &fx.call, reader->node, O_RDWR, &writer));
    assert_no(0, t_write(writer, 0, "B", 1));
    assert_file_bytes(reader, 0, "Below", 5);
    assert_no(ENOENT,
              fx.vfs->ops->link(fx.vfs, &fx.call, reader->node, fx.vfs->root, CIS_STR("x"), &attr));
    cis_vfs_file_close(reader);
    cis_vfs_file_close(writer);
    assert_list("/", ".\n..\n");
    assert_host("f", "below");
}

static void what_changes_below_shows_where_nothing_was_copied(void **state)
{
    (void)state;
    struct cis_vfs_attr attr;
    host_dir("d");
    t_write_file("d/own", "own");
    host_file("d/later", "later");
    assert_content("d/later", "later");
    assert_list("d", ".\n..\nown\nlater\n");
    assert_int_equal(rename(below("d"), below("elsewhere")), 0);
    fx_reopen(false);
    assert_content("d/own", "own"); /* the copy stays, what it continued is gone */
    assert_no(ENOENT, t_lstat("d/later", &attr));
    assert_content("elsewhere/later", "later");
}

static void a_foreign_upper_part_is_refused(void **state)
{
    (void)state;
    cis_vfs *vfs = NULL;
    t_write_file("f", "");
    /* The union itself, as an upper part, has content and no mark. */
    assert_fails(CIS_E_INVALID, "no union made", cis_union_open(fx.vfs, fx.vfs, NULL, &vfs, err));
}

static bool count_each(void *self, const struct cis_vfs_entry *entry,
                       const struct cis_vfs_attr *attr)
{
    (void)entry;
    (void)attr;
    ++*(size_t *)self;
    return true;
}

static void what_a_union_holds_is_charged_and_given_back(void **state)
{
    (void)state;
    enum { NAMES = 100 };
    struct cis_budget budget = {.limit = 12000};
    struct cis_hostdir_options devices = CIS_HOSTDIR_OPTIONS_INIT;
    struct cis_vfs_attr attr;
    cis_vfs *low = NULL, *up = NULL, *vfs = NULL;
    cis_vfs_file *file = NULL;
    cis_node nodes[NAMES];
    char name[32], *upper = test_dir_new();
    size_t n = 0, listed = 0;
    int no = 0;
    devices.devices = true;
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "name-%03d", i);
        host_file(name, "lower");
    }
    assert_ok(cis_hostdir_open(lower, NULL, &low, err));
    assert_ok(cis_hostdir_open(upper, &devices, &up, err));
    assert_ok(cis_union_open(low, up, &budget, &vfs, err));
    for (; no == 0 && n < NAMES; n += no == 0) {
        snprintf(name, sizeof name, "name-%03d", (int)n);
        no = cis_vfs_lookup(vfs, &fx.call, vfs->root, cis_str_of(name), &nodes[n], &attr);
    }
    assert_int_equal(no, ENOMEM);
    assert_in_range(n, 20, 95);
    while (n > 1) {
        cis_vfs_forget(vfs, nodes[--n], 1);
    }
    /* A copy needs its buffer: without room for it nothing is copied, and the file is what it was.
     */
    assert_no(ENOMEM, cis_vfs_open(vfs, &fx.call, nodes[0], O_RDWR, &file));
    assert_no(0, cis_vfs_open(vfs, &fx.call, nodes[0], O_RDONLY, &file));
    char text[8] = "";
    struct iovec iov = {text, 5};
    size_t got = 0;
    assert_no(0, cis_vfs_read(file, &fx.call, &iov, 1, 0, &got));
    assert_string_equal(text, "lower");
    cis_vfs_release(file);
    budget.limit = 100000;
    assert_no(0, cis_vfs_open(vfs, &fx.call, nodes[0], O_RDWR, &file));
    assert_true(budget.peak > 65536 && budget.used < 12000); /* the buffer was for the copy */
    cis_vfs_release(file);
    uint64_t held = budget.used;
    budget.limit = held + 1000;
    assert_no(0, cis_vfs_open(vfs, &fx.call, vfs->root, O_RDONLY | O_DIRECTORY, &file));
    assert_no(ENOMEM, cis_vfs_readdir(file, &fx.call, 0, false, count_each, &listed));
    budget.limit = 1000000;
    assert_no(0, cis_vfs_readdir(file, &fx.call, 0, false, count_each, &listed));
    assert_int_equal(listed, NAMES + 2);
    assert_true(budget.used > held + NAMES * 10);
    cis_vfs_release(file);
    assert_int_equal(budget.used, held);
    cis_vfs_forget(vfs, nodes[0], 1);
    cis_vfs_close(vfs);
    assert_int_equal(budget.used, 0);
    cis_vfs_close(up);
    cis_vfs_close(low);
    remove_deep(upper);
    free(upper);
}

static int one_of_each(size_t step)
{
    cis_vfs_file *file = NULL;
    int no;
    switch (step) {
    case 0:
        no = t_open("d/f", O_RDWR, &file);
        if (no == 0) {
            cis_vfs_file_close(file);
        }
        return no;
    case 1:
        return t_unlink("d/g");
    case 2:
        return t_rename("d", "e", 0);
    case 3:
        return t_link("a", "e/c");
    case 4:
        return t_rename("b", "e/h", 0);
    default:
        return t_mkdir("e/new");
    }
}

/* Every step with each allocation failing in turn: it is done or not, and what is there is whole.
 */
static void memory_that_runs_out_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    size_t failures = 0;
    host_dir("d");
    host_file("d/f", "f");
    host_file("d/g", "g");
    host_file("d/h", "h");
    host_file("a", "two names");
    assert_int_equal(link(below("a"), below("b")), 0);
    for (size_t step = 0; step < 6; step++) {
        int no = ENOMEM;
        for (size_t n = 0; no != 0; n++) {
            cis_mem_fail_after(n);
            no = one_of_each(step);
            cis_mem_fail_after(SIZE_MAX);
            if (no == (step == 1 || step == 2 || step == 4 ? ENOENT : EEXIST)) {
                break; /* it was done before memory ran out */
            }
            if (no != 0) {
                if (no != ENOMEM && no != ENOSPC && no != EIO) {
                    fail_msg("step %zu, allocation %zu: %s", step, n, strerror(no));
                }
                failures++;
            }
        }
    }
    assert_true(failures > 10);
    fx_reopen(false);
    assert_list("/", ".\n..\ne\na\n");
    assert_content("e/f", "f");
    assert_content("e/c", "two names");
    assert_content("e/h", "two names");
    struct cis_vfs_attr attr;
    assert_no(ENOENT, t_lstat("e/g", &attr));
    assert_no(0, t_lstat("e/new", &attr));
    assert_no(ENOENT, t_lstat("b", &attr));
}

static void *open_for_writing(void *arg)
{
    struct cis_vfs_call call = fx.call;
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    int *failed = arg;
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof name, "d/f%d", i);
        *failed += cis_at_open(fx.root, &call, cis_str_of(name),
                               &(struct cis_open_how){0, O_RDWR, 0}, &file, &attr) != 0;
        if (*failed != 0) {
            return NULL;
        }
        char got[8] = "";
        struct iovec iov = {got, 7};
        size_t n = 0;
        *failed += cis_vfs_read(file, &call, &iov, 1, 0, &n) != 0 || strcmp(got, "content") != 0;
        cis_vfs_file_close(file);
    }
    return NULL;
}

static void threads_copy_each_file_once(void **state)
{
    (void)state;
    char name[32], want[600] = ".\n..\n";
    host_dir("d");
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "d/f%d", i);
        host_file(name, "content");
    }
    pthread_t threads[4];
    int failed[4] = {0};
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, open_for_writing, &failed[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(failed[i], 0);
    }
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "d/f%d", i);
        assert_content(name, "content");
        assert_int_equal(links(name), 1);
        assert_no(0, t_unlink(name));
    }
    assert_list("d", want);
}

struct told {
    struct cis_buf names;
    size_t with; /* attributes */
};

static bool tell_each(void *self, const struct cis_vfs_entry *entry,
                      const struct cis_vfs_attr *attr)
{
    struct told *t = self;
    t->with += attr != NULL;
    return list_each(&t->names, entry, attr);
}

/* What a look-up tells of the file is what asking for it tells. */
static void assert_looked(cis_node dir, const char *name, uint64_t size, uint32_t nlink)
{
    struct cis_vfs_attr seen, asked;
    cis_node node = 0;
    assert_no(0, cis_vfs_lookup(fx.vfs, &fx.call, dir, cis_str_of(name), &node, &seen));
    assert_no(0, cis_vfs_getattr(fx.vfs, &fx.call, node, &asked));
    cis_vfs_forget(fx.vfs, node, 1);
    assert_int_equal(seen.size, size);
    assert_int_equal(seen.nlink, nlink);
    assert_int_equal(seen.ino, asked.ino);
    assert_int_equal(seen.mode, asked.mode);
    assert_int_equal(seen.size, asked.size);
    assert_int_equal(seen.nlink, asked.nlink);
    assert_int_equal(seen.version, asked.version);
}

static void a_listing_leaves_looking_to_a_caller_that_does_it(void **state)
{
    (void)state;
    host_dir("d");
    host_file("d/below", "1");
    host_file("d/copied", "12");
    host_file("d/gone", "123");
    host_file("d/one", "1234");
    assert_int_equal(link(below("d/one"), below("d/two")), 0);
    t_write_file("d/copied", "12345");
    t_write_file("d/new", "123456");
    assert_no(0, t_unlink("d/gone"));
    CIS_CLEANUP(cis_buf_done) struct cis_buf want = CIS_BUF_INIT(65536);
    struct told told = {.names = CIS_BUF_INIT(65536)};
    struct cis_vfs_call call = fx.call;
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    cis_node dir = 0;
    assert_no(0, t_open("d", O_RDONLY | O_DIRECTORY, &file));
    assert_no(0, cis_vfs_readdir(file, &fx.call, 0, false, list_each, &want));
    assert_no(0, cis_vfs_readdir(file, &call, 0, true, tell_each, &told));
    assert_string_equal(cis_buf_cstr(&told.names), cis_buf_cstr(&want));
    assert_int_equal(told.with, 7);
    call.looks = true;
    told.with = 0;
    cis_buf_reset(&told.names);
    assert_no(0, cis_vfs_readdir(file, &call, 0, true, tell_each, &told));
    assert_string_equal(cis_buf_cstr(&told.names), cis_buf_cstr(&want));
    assert_int_equal(told.with, 0);
    cis_vfs_file_close(file);
    assert_no(0, cis_vfs_lookup(fx.vfs, &fx.call, fx.vfs->root, CIS_STR("d"), &dir, &attr));
    assert_looked(dir, "below", 1, 1);
    assert_looked(dir, "copied", 5, 1);
    assert_looked(dir, "new", 6, 1);
    assert_looked(dir, "two", 4, 2);
    t_write_file("d/one", "1234567");
    assert_looked(dir, "two", 7, 2); /* the copy stands for both */
    host_file("d/below", "12345678");
    assert_looked(dir, "below", 8, 1);
    cis_vfs_forget(fx.vfs, dir, 1);
    cis_buf_done(&told.names);
}

int main(void)
{
    umask(022);
    stores_start();
    fx.backend = &CONTRACT_BACKEND;
    const struct CMUnitTest tests[] = {
        T(changes_go_to_the_upper_part_only),
        T(changes_are_told_as_paths),
        T(a_folder_that_was_renamed_below_as_well_stays_whole),
        T(what_is_at_the_old_place_of_a_renamed_folder_is_new),
        T(folders_that_were_moved_into_each_other_do_not_lie_in_themselves),
        T(nothing_of_the_union_itself_is_shown),
        T(a_lower_file_with_several_names_stays_one_file),
        T(unlinking_lower_names_counts_without_a_copy),
        T(lower_folders_are_renamed_with_all_they_hold),
        T(a_new_folder_over_a_removed_one_is_empty),
        T(copies_keep_attributes_and_leave_their_folder_alone),
        T(holes_stay_holes_and_memory_stays_small),
        T(emptying_a_file_copies_nothing),
        T(an_unlinked_lower_file_may_still_be_changed_by_who_holds_it),
        T(what_changes_below_shows_where_nothing_was_copied),
        T(a_foreign_upper_part_is_refused),
        T(what_a_union_holds_is_charged_and_given_back),
        T(memory_that_runs_out_leaves_the_old_or_the_new),
        T(threads_copy_each_file_once),
        T(a_listing_leaves_looking_to_a_caller_that_does_it),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stores_stop();
    return failed;
}
