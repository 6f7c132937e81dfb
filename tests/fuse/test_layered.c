/* The mount of a branch: what programs see is what they see in a folder of the host, owners and
 * all, and it is there again in the next mount. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "harness.h"
#include "base/crypto.h"
#include "base/file.h"
#include "mounted.h"
#include "store/sqlite/sqlite.h"
#include "transcript.h"
#include "vfs/control/control.h"
#include "vfs/layered/layered.h"

/* In the server's process, which ends with it. */
static cis_vfs *open_layered(const void *arg)
{
    struct cis_error err = {0};
    struct cis_forest_options fo = CIS_FOREST_OPTIONS_INIT;
    struct cis_layered_options lo = CIS_LAYERED_OPTIONS_INIT;
    struct cis_control_options co = CIS_CONTROL_OPTIONS_INIT;
    cis_store *store = NULL;
    cis_forest *forest = NULL;
    cis_vfs *head = NULL, *vfs = NULL;
    lo.tenant = co.tenant = CIS_STR("default");
    co.ref = CIS_STR("main");
    lo.auto_commit = true;
    if (cis_crypto_init(&err) != CIS_OK || cis_store_sqlite_open(arg, &store, &err) != CIS_OK ||
        cis_forest_new(store, &fo, &forest, &err) != CIS_OK ||
        cis_layered_open(forest, &lo, NULL, &head, &err) != CIS_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return NULL;
    }
    co.store = store;
    return cis_control_new(head, &co, &vfs, &err) == CIS_OK ? vfs : NULL;
}

static int enter(const char *base, const char *name, bool fresh)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", base, name);
    if (fresh) {
        assert_int_equal(mkdir(path, 0755), 0);
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void compare_row(const char *beside, const char *dir, const struct transcript_row *row)
{
    struct cis_buf host = CIS_BUF_INIT(16 << 20), mount = CIS_BUF_INIT(16 << 20);
    int there = enter(beside, row->name, true), here = enter(dir, row->name, true);
    row->run(there, &host);
    row->run(here, &mount);
    close(there);
    close(here);
    transcript_compare(row->name, &host, &mount);
    cis_buf_done(&host);
    cis_buf_done(&mount);
}

static void programs_see_in_a_branch_what_they_see_on_the_host(void **state)
{
    (void)state;
    if (!mounted_possible()) {
        skip();
    }
    char *store = test_dir_new(), *beside = test_dir_new();
    struct mounted m;
    assert_true(mounted_start(&m, open_layered, store));
    assert_int_equal(chmod(beside, 0755), 0);
    for (size_t i = 0; i < transcript_count; i++) {
        if (!transcript_rows[i].owners || geteuid() == 0) {
            compare_row(beside, m.dir, &transcript_rows[i]);
        }
    }
    assert_int_equal(mounted_stop(&m), 0);
    assert_ok(cis_file_remove_tree(store, err));
    assert_ok(cis_file_remove_tree(beside, err));
    free(store);
    free(beside);
}

static void what_was_synced_is_there_in_the_next_mount(void **state)
{
    (void)state;
    if (!mounted_possible()) {
        skip();
    }
    char *store = test_dir_new(), path[512], text[16] = "";
    struct mounted m;
    assert_true(mounted_start(&m, open_layered, store));
    int dir = enter(m.dir, "sub", true);
    int fd = openat(dir, "file", O_CREAT | O_RDWR | O_CLOEXEC, 0640);
    assert_int_equal(write(fd, "kept", 4), 4);
    assert_int_equal(fsync(fd), 0);
    close(fd);
    close(dir);
    assert_int_equal(mounted_stop(&m), 0);
    assert_true(mounted_start(&m, open_layered, store));
    snprintf(path, sizeof path, "%s/sub/file", m.dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof text - 1), 4);
    assert_string_equal(text, "kept");
    close(fd);
    assert_int_equal(mounted_stop(&m), 0);
    assert_ok(cis_file_remove_tree(store, err));
    free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_see_in_a_branch_what_they_see_on_the_host),
        cmocka_unit_test(what_was_synced_is_there_in_the_next_mount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
