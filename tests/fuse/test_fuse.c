/* The mount over a folder of the host: what programs see is what they see without it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "harness.h"
#include "base/file.h"
#include "mounted.h"
#include "transcript.h"
#include "fuse/fuse.h"
#include "vfs/hostdir/hostdir.h"

static cis_vfs *open_host(const void *arg)
{
    struct cis_hostdir_options o = CIS_HOSTDIR_OPTIONS_INIT;
    o.devices = true;
    o.nodes_max = 16384;
    cis_vfs *vfs = NULL;
    struct cis_error err;
    return cis_hostdir_open(arg, &o, &vfs, &err) == CIS_OK ? vfs : NULL;
}

static void run_in(const char *base, const struct transcript_row *row, struct cis_buf *out)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", base, row->name);
    if (mkdir(path, 0755) != 0) {
        fail_msg("%s: %s", path, strerror(errno));
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    row->run(fd, out);
    close(fd);
}

static void programs_see_the_same_through_the_mount(void **state)
{
    (void)state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    char *under = test_dir_new(), *beside = test_dir_new();
    struct mounted m;
    assert_true(mounted_start(&m, open_host, under));
    for (size_t i = 0; i < transcript_count; i++) {
        const struct transcript_row *row = &transcript_rows[i];
        if (row->owners) {
            continue; /* in a folder of the host everything belongs to who serves it */
        }
        struct cis_buf host = CIS_BUF_INIT(16 << 20), mount = CIS_BUF_INIT(16 << 20);
        run_in(beside, row, &host);
        run_in(m.dir, row, &mount);
        transcript_compare(row->name, &host, &mount);
        cis_buf_done(&host);
        cis_buf_done(&mount);
    }
    assert_int_equal(mounted_stop(&m), 0);
    struct cis_error err;
    assert_int_equal(cis_file_remove_tree(under, &err), CIS_OK);
    assert_int_equal(cis_file_remove_tree(beside, &err), CIS_OK);
    free(under);
    free(beside);
}

static void a_mount_ends_while_files_are_open(void **state)
{
    (void)state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    char *under = test_dir_new();
    struct mounted m;
    assert_true(mounted_start(&m, open_host, under));
    char path[512];
    snprintf(path, sizeof path, "%s/f", m.dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(mounted_stop(&m), 0);
    char byte;
    assert_int_equal(pread(fd, &byte, 1, 0), -1);
    close(fd);
    snprintf(path, sizeof path, "%s/f", under);
    assert_true(cis_file_exists(path));
    struct cis_error err;
    assert_int_equal(cis_file_remove_tree(under, &err), CIS_OK);
    free(under);
}

static void *serve(void *fuse)
{
    struct cis_error err;
    (void)cis_fuse_run(fuse, &err);
    return NULL;
}

/* In a process of its own: were it to wait for itself, only the alarm would end it. */
static int call_into_own_mount(const char *under, const char *dir)
{
    cis_fuse *fuse;
    struct cis_error err;
    struct cis_fuse_options o = CIS_FUSE_OPTIONS_INIT;
    cis_vfs *vfs = open_host(under);
    pthread_t thread;
    struct stat st;
    char path[512];
    alarm(30);
    if (cis_fuse_mount(vfs, dir, &o, &fuse, &err) != CIS_OK ||
        pthread_create(&thread, NULL, serve, fuse) != 0) {
        return 2;
    }
    snprintf(path, sizeof path, "%s/f", dir);
    bool refused = stat(path, &st) != 0 && errno == EDEADLK;
    refused &= stat(dir, &st) != 0 && errno == EDEADLK;
    refused &= open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644) < 0 && errno == EDEADLK;
    pid_t other = fork(); /* another process is answered */
    if (other == 0) {
        _exit(stat(path, &st) == 0 ? 0 : 1);
    }
    int status = 1;
    waitpid(other, &status, 0);
    cis_fuse_stop(fuse);
    pthread_join(thread, NULL);
    cis_fuse_free(fuse);
    cis_vfs_close(vfs);
    return refused && status == 0 ? 0 : 1;
}

static void a_server_does_not_wait_for_itself(void **state)
{
    (void)state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    char *under = test_dir_new(), *dir = test_dir_new(), path[512];
    struct cis_error failed;
    int status = 0;
    snprintf(path, sizeof path, "%s/f", under);
    assert_ok(cis_file_write(path, cis_bytes_of("x", 1), 0644, err));
    pid_t pid = fork();
    if (pid == 0) {
        _exit(call_into_own_mount(under, dir));
    }
    waitpid(pid, &status, 0);
    (void)umount2(dir, MNT_DETACH);
    assert_int_equal(status, 0);
    assert_int_equal(cis_file_remove_tree(under, &failed), CIS_OK);
    rmdir(dir);
    free(under);
    free(dir);
}

/* ---- a filesystem in which some names cannot be looked at ---- */

static const struct cis_vfs_ops *sound;
static struct cis_vfs_ops faulty;

static int faulty_lookup(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                         struct cis_str name, cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    return cis_str_is(name, "damaged")       ? EIO
           : cis_str_is(name, "interrupted") ? EINTR
           : cis_str_is(name, "gone")        ? ENOENT
                                      : sound->lookup(vfs, call, dir, name, out_node, out_attr);
}

static cis_vfs *open_faulty(const void *arg)
{
    cis_vfs *vfs = open_host(arg);
    sound = vfs->ops;
    faulty = *sound;
    faulty.lookup = faulty_lookup;
    faulty.jump = NULL;
    vfs->ops = &faulty;
    return vfs;
}

/* What a listing leaves out is not copied, not backed up, and removed with the folder. */
static void a_listing_leaves_out_only_what_is_gone(void **state)
{
    (void)state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    static const char *const names[] = {"a", "damaged", "gone", "interrupted", "z"};
    char *under = test_dir_new(), path[512], list[512] = "";
    struct mounted m;
    struct cis_error failed;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", under, names[i]);
        assert_ok(cis_file_write(path, cis_bytes_of("x", 1), 0644, err));
    }
    assert_true(mounted_start(&m, open_faulty, under));
    struct dirent **entries;
    int n = scandir(m.dir, &entries, NULL, alphasort);
    for (int i = 0, at = 0; i < n; i++) {
        at += snprintf(list + at, sizeof list - (size_t)at, "%s ", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    assert_string_equal(list, ". .. a damaged interrupted z ");
    struct stat st;
    snprintf(path, sizeof path, "%s/damaged", m.dir);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(errno, EIO);
    assert_int_equal(mounted_stop(&m), 0);
    assert_int_equal(cis_file_remove_tree(under, &failed), CIS_OK);
    free(under);
}

static void a_place_that_is_not_there_is_named(void **state)
{
    (void)state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    char *under = test_dir_new();
    cis_vfs *vfs = open_host(under);
    cis_fuse *fuse;
    struct cis_fuse_options o = CIS_FUSE_OPTIONS_INIT;
    assert_fails(CIS_E_NOTFOUND, "/nowhere/at/all",
                 cis_fuse_mount(vfs, "/nowhere/at/all", &o, &fuse, err));
    assert_fails(CIS_E_USAGE, "not a directory",
                 cis_fuse_mount(vfs, "/proc/self/status", &o, &fuse, err));
    cis_vfs_close(vfs);
    rmdir(under);
    free(under);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_see_the_same_through_the_mount),
        cmocka_unit_test(a_mount_ends_while_files_are_open),
        cmocka_unit_test(a_listing_leaves_out_only_what_is_gone),
        cmocka_unit_test(a_server_does_not_wait_for_itself),
        cmocka_unit_test(a_place_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
