/* What only a folder of the host has: names it does not show, its table of nodes, memory that runs
 * out, files made and opened without a second look at their names. */
#include "vfs/hostdir/hostdir.h"
#include <errno.h>
#include <fcntl.h>
#include "base/mem.h"
#include "vfs/backend_layered.h"

static const char *below(const char *name)
{
    static char path[4400];
    snprintf(path, sizeof path, "%s/%s", (const char *)fx.place, name);
    return path;
}

static size_t open_descriptors(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 1024; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

static void what_is_not_shown_is_neither_opened_nor_replaced(void **state)
{
    (void)state;
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    assert_int_equal(mkfifo(below("pipe"), 0600), 0);
    t_write_file("f", "x");
    assert_no(ENOENT, t_lstat("pipe", &attr));
    assert_no(ENOENT, t_open("pipe", O_RDONLY, &file));
    assert_no(ENOENT, t_unlink("pipe"));
    assert_no(ENOENT, t_rename("pipe", "q", 0));
    assert_no(EACCES, t_rename("f", "pipe", 0));
    assert_no(EEXIST, t_mkdir("pipe"));
    assert_no(EEXIST, t_open("pipe", O_RDWR | O_CREAT, &file));
    struct stat st;
    assert_int_equal(lstat(below("pipe"), &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
}

static void a_fifo_without_a_reader_does_not_block(void **state)
{
    (void)state;
    struct cis_hostdir_options options = CIS_HOSTDIR_OPTIONS_INIT;
    struct cis_vfs_attr attr;
    cis_vfs *vfs = NULL;
    cis_vfs_file *file = NULL;
    cis_node node = 0;
    options.devices = true;
    assert_int_equal(mkfifo(below("pipe"), 0600), 0);
    assert_ok(cis_hostdir_open(fx.place, &options, &vfs, err));
    assert_no(0, cis_vfs_lookup(vfs, &fx.call, vfs->root, CIS_STR("pipe"), &node, &attr));
    assert_true(S_ISFIFO(attr.mode));
    assert_no(ENXIO, cis_vfs_open(vfs, &fx.call, node, O_WRONLY, &file));
    assert_no(0, cis_vfs_open(vfs, &fx.call, node, O_RDONLY, &file));
    cis_vfs_release(file);
    cis_vfs_forget(vfs, node, 1);
    cis_vfs_close(vfs);
}

static void a_full_table_of_nodes_is_enfile(void **state)
{
    (void)state;
    struct cis_hostdir_options options = CIS_HOSTDIR_OPTIONS_INIT;
    struct cis_vfs_attr attr;
    cis_vfs *vfs = NULL;
    cis_node nodes[4] = {0};
    char name[8];
    options.nodes_max = 3;
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "f%d", i);
        t_write_file(name, "");
    }
    assert_ok(cis_hostdir_open(fx.place, &options, &vfs, err));
    size_t before = open_descriptors();
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_no(i < 3 ? 0 : ENFILE,
                  cis_vfs_lookup(vfs, &fx.call, vfs->root, cis_str_of(name), &nodes[i], &attr));
    }
    assert_int_equal(open_descriptors(), before + 3);
    for (int i = 0; i < 3; i++) {
        cis_vfs_forget(vfs, nodes[i], 1);
    }
    assert_int_equal(open_descriptors(), before);
    assert_no(0, cis_vfs_lookup(vfs, &fx.call, vfs->root, CIS_STR("f3"), &nodes[3], &attr));
    cis_vfs_forget(vfs, nodes[3], 1);
    cis_vfs_close(vfs);
}

static bool count_each(void *self, const struct cis_vfs_entry *entry,
                       const struct cis_vfs_attr *attr)
{
    (void)entry;
    (void)attr;
    ++*(size_t *)self;
    return true;
}

static void what_a_folder_holds_is_charged_and_given_back(void **state)
{
    (void)state;
    enum { NAMES = 500 };
    struct cis_budget budget = {.limit = 30000};
    struct cis_hostdir_options options = CIS_HOSTDIR_OPTIONS_INIT;
    struct cis_vfs_attr attr;
    cis_vfs *vfs = NULL;
    cis_node nodes[NAMES];
    cis_vfs_file *files[NAMES], *dir = NULL;
    char name[32];
    size_t nnodes = 0, nfiles = 0, listed = 0, before = open_descriptors();
    int no = 0;
    options.budget = &budget;
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "a-name-of-some-length-%03d", i);
        t_write_file(name, "");
    }
    assert_ok(cis_hostdir_open(fx.place, &options, &vfs, err));
    size_t with_root = open_descriptors();
    while (no == 0 && nnodes < NAMES) {
        snprintf(name, sizeof name, "a-name-of-some-length-%03d", (int)nnodes);
        no = cis_vfs_lookup(vfs, &fx.call, vfs->root, cis_str_of(name), &nodes[nnodes], &attr);
        nnodes += no == 0;
    }
    assert_int_equal(no, ENOMEM);
    assert_in_range(nnodes, 20, 200);
    assert_int_equal(open_descriptors(), with_root + nnodes); /* what failed holds nothing */
    cis_vfs_forget(vfs, nodes[--nnodes], 1);
    cis_vfs_forget(vfs, nodes[--nnodes], 1);
    for (no = 0; no == 0 && nfiles < NAMES;) {
        no = cis_vfs_open(vfs, &fx.call, nodes[0], O_RDONLY, &files[nfiles]);
        nfiles += no == 0;
    }
    assert_int_equal(no, ENOMEM);
    assert_in_range(nfiles, 1, 4);
    struct stat st;
    cis_node made = 0;
    cis_vfs_file *file = NULL;
    assert_no(ENOMEM, cis_vfs_create(
                          vfs, &fx.call,
                          &(struct cis_vfs_create_request){vfs->root, CIS_STR("new"), 0600, O_RDWR},
                          &file, &made, &attr));
    assert_int_equal(lstat(below("new"), &st), -1); /* not half made */
    while (nfiles > 0) {
        cis_vfs_release(files[--nfiles]);
    }
    while (nnodes > 0) {
        cis_vfs_forget(vfs, nodes[--nnodes], 1);
    }
    assert_int_equal(budget.used, 0);
    budget.limit = 4000; /* less than so many names take */
    assert_no(0, cis_vfs_open(vfs, &fx.call, vfs->root, O_RDONLY | O_DIRECTORY, &dir));
    assert_no(ENOMEM, cis_vfs_readdir(dir, &fx.call, 0, false, count_each, &listed));
    budget.limit = 1000000;
    assert_no(0, cis_vfs_readdir(dir, &fx.call, 0, false, count_each, &listed));
    assert_int_equal(listed, NAMES + 2);
    assert_true(budget.used > NAMES * 20);
    cis_vfs_release(dir);
    assert_int_equal(budget.used, 0);
    assert_no(0, cis_vfs_lookup(vfs, &fx.call, vfs->root, CIS_STR("a-name-of-some-length-001"),
                                &nodes[0], &attr));
    cis_vfs_close(vfs); /* also what was never forgotten */
    assert_int_equal(budget.used, 0);
    assert_int_equal(open_descriptors(), before);
}

/* Whoever asks is told how many entries were read for it, and a folder in which nothing has changed
 * is not read again. */
static void entries_that_are_read_are_counted(void **state)
{
    (void)state;
    enum { MANY = 300 };
    struct cis_hostdir_options options = CIS_HOSTDIR_OPTIONS_INIT;
    cis_vfs *vfs = NULL;
    cis_vfs_file *dir;
    char name[32];
    uint64_t entries = 0, before = 1;
    size_t listed = 0;
    struct cis_vfs_call call = fx.call;
    call.entries = &entries;
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%d", i);
        t_write_file(name, "");
    }
    assert_ok(cis_hostdir_open(fx.place, &options, &vfs, err));
    assert_no(0, cis_vfs_open(vfs, &call, vfs->root, O_RDONLY | O_DIRECTORY, &dir));
    assert_no(0, cis_vfs_readdir(dir, &call, 0, false, count_each, &listed));
    assert_int_equal(listed, MANY + 2);
    assert_int_equal(entries, MANY + 2);
    for (int i = 0; i < 50 && before != entries; i++) {
        before = entries;
        usleep(150000); /* until its times are old enough to be trusted */
        assert_no(0, cis_vfs_readdir(dir, &call, 0, false, count_each, &listed));
    }
    for (int i = 0; i < 100; i++) {
        assert_no(0, cis_vfs_readdir(dir, &call, 0, false, count_each, &listed));
    }
    assert_int_equal(entries, before);
    assert_int_equal(unlink(below("7")), 0);
    listed = 0;
    assert_no(0, cis_vfs_readdir(dir, &call, 0, false, count_each, &listed));
    assert_int_equal(listed, MANY + 1);
    assert_int_equal(entries, before + MANY + 1);
    cis_vfs_release(dir);
    cis_vfs_close(vfs);
}

static void folders_that_cannot_be_opened_say_why(void **state)
{
    (void)state;
    cis_vfs *vfs = NULL;
    t_write_file("f", "");
    assert_fails(CIS_E_NOTFOUND, "none", cis_hostdir_open(below("none"), NULL, &vfs, err));
    assert_fails(CIS_E_INVALID, "/f", cis_hostdir_open(below("f"), NULL, &vfs, err));
}

static int one_of_each(size_t step)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    switch (step) {
    case 0:
        return t_mkdir("d");
    case 1:
    case 2: {
        int no = t_open("d/f", step == 1 ? O_CREAT | O_RDWR : O_RDONLY, &file);
        if (no == 0) {
            cis_vfs_file_close(file);
        }
        return no;
    }
    case 3:
        return t_symlink("d", "s");
    case 4:
        return t_stat("s/f", &attr);
    case 5:
        return t_link("d/f", "g");
    default:
        return t_rename("d", "e", 0);
    }
}

/* Every step with each allocation failing in turn: an errno, and nothing is left open. */
static void memory_that_runs_out_is_an_errno(void **state)
{
    (void)state;
    size_t before = open_descriptors(), failures = 0;
    for (size_t step = 0; step < 7; step++) {
        for (size_t n = 0;; n++) {
            cis_mem_fail_after(n);
            int no = one_of_each(step);
            cis_mem_fail_after(SIZE_MAX);
            assert_int_equal(open_descriptors(), before);
            if (no == 0 || no == EEXIST) { /* it was made before memory ran out */
                break;
            }
            assert_no(ENOMEM, no);
            failures++;
        }
    }
    assert_true(failures > 5);
    assert_content("e/f", "");
}

int main(void)
{
    umask(022);
    fx.backend = &backend_hostdir;
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(what_is_not_shown_is_neither_opened_nor_replaced),
        CONTRACT_TEST(a_fifo_without_a_reader_does_not_block),
        CONTRACT_TEST(a_full_table_of_nodes_is_enfile),
        CONTRACT_TEST(what_a_folder_holds_is_charged_and_given_back),
        CONTRACT_TEST(entries_that_are_read_are_counted),
        CONTRACT_TEST(folders_that_cannot_be_opened_say_why),
        CONTRACT_TEST(memory_that_runs_out_is_an_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
