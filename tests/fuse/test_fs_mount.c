/* `cis fs mount` and `cis fs umount` as a user has them: what programs see through the mount is
 * what they see in a folder of the host, it is there again after the next mount, and the branch is
 * held while it is mounted. On SQLite and on a private PostgreSQL server. */
#include "system/stored.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "mounted.h"
#include "transcript.h"
#include "waits.h"

struct place {
    struct sys *sys; /* of a struct world */
    char *dir;
};

static int run(struct place *p, const char *verb, const char *option, const char *value)
{
    const char *argv[8] = {CIS_PROGRAM, "fs", verb};
    int n = 3;
    if (option != NULL) {
        argv[n++] = option;
        if (value != NULL) {
            argv[n++] = value;
        }
    }
    argv[n++] = p->dir;
    return sys_exec(p->sys, argv);
}

static void mount_it(struct place *p, const char *option, const char *value)
{
    if (run(p, "mount", option, value) != 0) {
        fail_msg("cis fs mount: %s", cis_buf_cstr(&p->sys->last.errors));
    }
}

static void umount_it(struct place *p)
{
    if (run(p, "umount", NULL, NULL) != 0) {
        fail_msg("cis fs umount: %s", cis_buf_cstr(&p->sys->last.errors));
    }
}

static int place_setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    void *world;
    (void)setup(&world);
    p->sys = world;
    p->dir = test_dir_new();
    *state = p;
    return 0;
}

static int place_teardown(void **state)
{
    struct place *p = *state;
    void *world = p->sys;
    servers_end(&p->sys->servers); /* the test failed: nothing may stay mounted */
    rmdir(p->dir);
    free(p->dir);
    int failed = teardown(&world);
    free(p);
    return failed;
}

/* A file that is open keeps a mount that nobody sees any more, and so its server. */
static void a_test_that_fails_leaves_no_server(void **state)
{
    struct place *p;
    void *failed;
    (void)state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    (void)place_setup(&failed);
    p = failed;
    mount_it(p, NULL, NULL);
    int served = dup(p->sys->servers.at[0].fd), held = open(p->dir, O_RDONLY | O_CLOEXEC);
    assert_true(p->sys->servers.at[0].fd != 0 && served >= 0 && held >= 0);
    assert_true(servers_runs(served));
    assert_int_equal(place_teardown(&failed), 0);
    assert_false(servers_runs(served));
    close(held);
    close(served);
}

static void in_folder(const char *base, const struct transcript_row *row, struct cis_buf *out)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", base, row->name);
    if (mkdir(path, 0755) != 0) {
        fail_msg("%s: %s", path, strerror(errno));
    }
    bool was[256]; /* not a row's: the test's own, of its server */
    for (int i = 0; i < 256; i++) {
        was[i] = fcntl(i, F_GETFD) >= 0;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    row->run(fd, out);
    for (int i = 0; i < 256; i++) { /* and what the row left open */
        if (!was[i]) {
            close(i);
        }
    }
}

static void programs_see_in_a_mount_what_they_see_in_a_folder(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    char *beside = test_dir_new();
    bool root = geteuid() == 0;
    mount_it(p, root ? "--allow-other" : NULL, NULL);
    if (root) { /* other users walk in: the root of the tree is ours to open */
        assert_int_equal(chmod(p->dir, 0755), 0);
        assert_int_equal(chmod(beside, 0755), 0);
    }
    for (size_t i = 0; i < transcript_count; i++) {
        const struct transcript_row *row = &transcript_rows[i];
        if (row->owners && !root) {
            continue;
        }
        struct cis_buf host = CIS_BUF_INIT(16 << 20), mount = CIS_BUF_INIT(16 << 20);
        in_folder(beside, row, &host);
        in_folder(p->dir, row, &mount);
        transcript_compare(row->name, &host, &mount);
        cis_buf_done(&host);
        cis_buf_done(&mount);
    }
    umount_it(p);
    struct cis_error err;
    assert_int_equal(cis_file_remove_tree(beside, &err), CIS_OK);
    free(beside);
}

static void put(struct place *p, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void assert_text(struct place *p, const char *name, const char *text)
{
    char path[512], got[256] = "";
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_non_null(fgets(got, sizeof got, f));
    fclose(f);
    assert_string_equal(got, text);
}

static void names_of_a_union_are_not_made_in_a_mount(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    mount_it(p, NULL, NULL);
    int dir = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    assert_int_equal(mkdirat(dir, "mine", 0755), 0);
    put(p, "mine/f", "x");
    struct {
        int result, no;
    } got[] = {
        {mkdirat(dir, ".cis-union", 0755), errno},
        {symlinkat("/", dir, "mine/.cis-union-lower"), errno},
        {openat(dir, ".cis-union-f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644), errno},
        {renameat(dir, "mine", dir, ".cis-union"), errno},
        {linkat(dir, "mine/f", dir, ".cis-union-g", 0), errno},
        {mknodat(dir, "mine/.cis-union", S_IFIFO | 0644, 0), errno},
    };
    for (size_t i = 0; i < sizeof got / sizeof *got; i++) {
        assert_int_equal(got[i].result, -1);
        assert_int_equal(got[i].no, EPERM);
    }
    close(dir);
    umount_it(p);
}

static void what_was_written_is_there_at_the_next_mount(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    mount_it(p, NULL, NULL);
    put(p, "kept", "once written");
    umount_it(p);
    mount_it(p, NULL, NULL);
    assert_text(p, "kept", "once written");
    umount_it(p);
}

static void a_copied_range_keeps_its_holes(void **state)
{
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    struct place *p = *state;
    char from[600], to[600];
    mount_it(p, NULL, NULL);
    snprintf(from, sizeof from, "%s/from", p->dir);
    snprintf(to, sizeof to, "%s/to", p->dir);
    int in = open(from, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    int out = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(ftruncate(in, 64 << 20), 0);
    assert_int_equal(pwrite(in, "data", 4, 40 << 20), 4);
    for (off_t done = 0; done < 64 << 20;) { /* a request of it is bounded */
        ssize_t n = copy_file_range(in, NULL, out, NULL, (size_t)((64 << 20) - done), 0);
        assert_true(n > 0);
        done += n;
    }
    struct stat st;
    char text[4];
    assert_int_equal(fstat(out, &st), 0);
    assert_int_equal(st.st_size, 64 << 20);
    assert_int_equal(pread(out, text, 4, 40 << 20), 4);
    assert_memory_equal(text, "data", 4);
    assert_int_equal(lseek(out, 0, SEEK_DATA), 40 << 20);
    assert_int_equal(lseek(out, 40 << 20, SEEK_HOLE), (40 << 20) + 65536);
    assert_int_equal(lseek(out, (40 << 20) + 65536, SEEK_DATA), -1);
    assert_int_equal(errno, ENXIO);
    close(in);
    close(out);
    umount_it(p);
}

static void a_mounted_branch_is_held(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    mount_it(p, NULL, NULL);
    char *second = test_dir_new();
    assert_int_equal(
        sys_exec(p->sys, (const char *const[]){CIS_PROGRAM, "fs", "mount", second, NULL}), 8);
    assert_non_null(strstr(cis_buf_cstr(&p->sys->last.errors), "in use by mount"));
    umount_it(p);
    assert_int_equal(
        sys_exec(p->sys, (const char *const[]){CIS_PROGRAM, "fs", "mount", second, NULL}), 0);
    assert_int_equal(
        sys_exec(p->sys, (const char *const[]){CIS_PROGRAM, "fs", "umount", second, NULL}), 0);
    rmdir(second);
    free(second);
}

static void a_read_only_mount_changes_nothing(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    mount_it(p, NULL, NULL);
    put(p, "f", "text");
    umount_it(p);
    mount_it(p, "--read-only", NULL);
    char path[512];
    snprintf(path, sizeof path, "%s/f", p->dir);
    static const int flags[] = {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_APPEND,
                                O_RDWR | O_CREAT};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        assert_int_equal(open(path, flags[i] | O_CLOEXEC, 0644), -1);
        assert_int_equal(errno, EROFS);
    }
    assert_int_equal(unlink(path), -1);
    assert_int_equal(errno, EROFS);
    assert_text(p, "f", "text");
    umount_it(p);
}

static int exec(struct place *p, const char *const *argv)
{
    const char *all[16] = {CIS_PROGRAM};
    for (size_t i = 0; i < 14 && argv[i] != NULL; i++) {
        all[i + 1] = argv[i];
    }
    return sys_exec(p->sys, all);
}
#define cis_cmd(p, ...) exec((p), (const char *const[]){__VA_ARGS__, NULL})

static void another_tenants_branch_is_mounted_until_it_is_taken_back(void **state)
{
    struct place *p = *state;
    char path[512];
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    mount_it(p, NULL, NULL);
    put(p, "f", "published");
    umount_it(p);
    assert_int_equal(cis_cmd(p, "fs", "snapshot", "kept"), 0);
    assert_int_equal(cis_cmd(p, "tenant", "create", "bob"), 0);
#define MOUNT "fs", "mount", p->dir, "--from", "default", "--branch", "main", "--tenant", "bob"
    assert_int_equal(cis_cmd(p, MOUNT), 3);
    assert_non_null(strstr(cis_buf_cstr(&p->sys->last.errors), "no branch main is published to"));
    assert_int_equal(cis_cmd(p, "fs", "publish", "main", "--to", "bob"), 0);
    assert_int_equal(cis_cmd(p, MOUNT, "--snapshot", "kept"), 2);
    assert_int_equal(cis_cmd(p, MOUNT), 0);
    assert_text(p, "f", "published");
    snprintf(path, sizeof path, "%s/f", p->dir);
    assert_int_equal(open(path, O_WRONLY | O_CLOEXEC), -1);
    assert_int_equal(errno, EROFS);
    snprintf(path, sizeof path, "%s/new", p->dir);
    assert_int_equal(mkdir(path, 0755), -1);
    assert_int_equal(errno, EROFS);
    /* Of the publisher's snapshots nothing is shown. */
    snprintf(path, sizeof path, "%s/.tarbox/snapshots", p->dir);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/.tarbox/layers", p->dir);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/.tarbox/stats/usage", p->dir);
    assert_int_equal(access(path, R_OK), 0);
    umount_it(p);
    assert_int_equal(cis_cmd(p, MOUNT), 0);
    assert_text(p, "f", "published");
    assert_int_equal(cis_cmd(p, "fs", "unpublish", "main", "--all"), 0);
    snprintf(path, sizeof path, "%s/f", p->dir);
    assert_comes(access(path, F_OK) != 0);
    assert_comes(access(path, F_OK) != 0 && errno == ENOENT); /* the mount is on its way out */
#undef MOUNT
}

/* What the mount has that was not committed yet is kept beside the branch. */
static void a_branch_is_taken_from_a_mount_that_hangs(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    assert_int_equal(cis_cmd(p, "fs", "put", "/etc/hostname", "/before"), 0);
    assert_int_equal(cis_cmd(p, "fs", "unlock", "main"), 0);
    assert_non_null(strstr(cis_buf_cstr(&p->sys->last.output), "main: not in use"));
    mount_it(p, NULL, NULL);
    assert_int_equal(cis_cmd(p, "fs", "put", "/etc/hostname", "/f"), 8);
    assert_int_equal(cis_cmd(p, "fs", "unlock", "gone"), 3);
    assert_int_equal(cis_cmd(p, "fs", "unlock", "main"), 0);
    assert_non_null(strstr(cis_buf_cstr(&p->sys->last.output), "main: was in use by mount"));
    assert_int_equal(cis_cmd(p, "fs", "put", "/etc/hostname", "/f"), 0);
    char path[512];
    snprintf(path, sizeof path, "%s/late", p->dir);
    FILE *late = fopen(path, "we");
    assert_non_null(late);
    assert_true(fputs("kept", late) >= 0);
    (void)fclose(late);
    int code = 1; /* not while there is something that it alone has */
    assert_comes((code = run(p, "umount", NULL, NULL)) == 0);
    assert_int_equal(code, 0);
    assert_int_equal(cis_cmd(p, "fs", "ls", "/"), 0);
    assert_string_equal(cis_buf_cstr(&p->sys->last.output), "before\nf\n");
    assert_int_equal(cis_cmd(p, "fs", "branches"), 0);
    const char *lost = strstr(cis_buf_cstr(&p->sys->last.output), "main@lost-");
    assert_non_null(lost);
    snprintf(path, sizeof path, "%.*s", (int)strcspn(lost, " \n"), lost);
    assert_int_equal(cis_cmd(p, "fs", "cat", "/late", "--branch", path), 0);
    assert_string_equal(cis_buf_cstr(&p->sys->last.output), "kept");
}

static void assert_device(const char *dir, const char *name, mode_t type, dev_t rdev)
{
    char path[600];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (lstat(path, &st) != 0 || (st.st_mode & S_IFMT) != type || st.st_rdev != rdev) {
        fail_msg("%s: %s, %o %lx, not %lx", path, strerror(errno), st.st_mode,
                 (unsigned long)st.st_rdev, (unsigned long)rdev);
    }
}

/* Into the store from a folder and from an archive, through the mount, and out again. */
static void devices_keep_their_numbers(void **state)
{
    struct place *p = *state;
    static const unsigned numbers[][2] = {{1, 3}, {259, 70000}, {4095, 1048575}, {0, 300}};
    char *out = test_dir_new(), path[600], name[8];
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    if (geteuid() != 0) {
        not_tested("root", "only root makes devices");
    }
    snprintf(path, sizeof path, "%s/devices", out);
    assert_int_equal(mkdir(path, 0755), 0);
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/devices/d%zu", out, i);
        mode_t type = i % 2 == 0 ? S_IFCHR : S_IFBLK;
        if (mknod(path, type | 0600, makedev(numbers[i][0], numbers[i][1])) != 0) {
            not_tested("device", strerror(errno));
        }
    }
    snprintf(path, sizeof path, "%s/devices", out);
    assert_int_equal(cis_cmd(p, "fs", "put", "-r", path, "/a"), 0);
    mount_it(p, NULL, NULL);
    for (size_t i = 0; i < 4; i++) {
        char from[16];
        dev_t rdev = makedev(numbers[i][0], numbers[i][1]);
        snprintf(from, sizeof from, "a/d%zu", i);
        assert_device(p->dir, from, i % 2 == 0 ? S_IFCHR : S_IFBLK, rdev);
        snprintf(path, sizeof path, "%s/m%zu", p->dir, i);
        assert_int_equal(mknod(path, S_IFCHR | 0600, rdev), 0);
    }
    umount_it(p);
    snprintf(path, sizeof path, "%s/all.tar", out);
    assert_int_equal(cis_cmd(p, "fs", "export", path), 0);
    assert_int_equal(cis_cmd(p, "tenant", "create", "bob"), 0);
    assert_int_equal(cis_cmd(p, "fs", "import", "--tenant", "bob", path), 0);
    snprintf(path, sizeof path, "%s/back", out);
    assert_int_equal(cis_cmd(p, "fs", "get", "-r", "--tenant", "bob", "/", path), 0);
    for (size_t i = 0; i < 4; i++) {
        dev_t rdev = makedev(numbers[i][0], numbers[i][1]);
        snprintf(name, sizeof name, "m%zu", i);
        assert_device(path, name, S_IFCHR, rdev);
        snprintf(name, sizeof name, "a/d%zu", i);
        assert_device(path, name, i % 2 == 0 ? S_IFCHR : S_IFBLK, rdev);
    }
    struct cis_error failed;
    assert_int_equal(cis_file_remove_tree(out, &failed), CIS_OK);
    free(out);
}

#ifndef FS_POSTGRES
/* It would wait for itself at its first look into the store. */
static void a_folder_of_the_store_is_not_mounted(void **state)
{
    struct place *p = *state;
    static const char *const names[] = {"", "/store", "/store/tenants", "/way/store"};
    char path[600], *dir = p->dir;
    assert_int_equal(cis_cmd(p, "fs", "mkdir", "/d"), 0);
    snprintf(path, sizeof path, "%s/way", p->sys->home);
    assert_int_equal(symlink(".", path), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s%s", p->sys->home, names[i]);
        p->dir = path;
        int foreground = i % 2, code = run(p, "mount", foreground ? "-f" : NULL, NULL);
        p->dir = dir;
        assert_int_equal(code, 2);
        assert_non_null(strstr(cis_buf_cstr(&p->sys->last.errors), "the store's folder"));
    }
    assert_int_equal(cis_cmd(p, "fs", "ls", "/d"), 0);
}
#endif

static void places_and_states_that_are_not_there_are_named(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    assert_int_equal(run(p, "mount", "--snapshot", "never"), 3);
    assert_non_null(strstr(cis_buf_cstr(&p->sys->last.errors), "never"));
    assert_int_equal(run(p, "mount", "--branch", "never"), 3);
    assert_int_equal(run(p, "umount", NULL, NULL), 3);
    assert_non_null(strstr(cis_buf_cstr(&p->sys->last.errors), "mount"));
    assert_int_equal(sys_exec(p->sys, (const char *const[]){CIS_PROGRAM, "fs", "mount",
                                                            "/nowhere/at/all", NULL}),
                     3);
}

/* A mount that is given to a run as a folder. */
static void a_guest_sees_no_controls_of_a_mount(void **state)
{
    struct place *p = *state;
    char path[512], dir[512], host[512];
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    mount_it(p, NULL, NULL);
    put(p, "f", "text");
    snprintf(host, sizeof host, "%s/.tarbox/layers/new", p->dir);
    assert_int_equal(access(host, F_OK), 0); /* the user has them */
    static const char *const names[] = {"/d/.tarbox/layers/new", "/d/./.tarbox/layers/new",
                                        "/d/sub/../.tarbox/layers/new", "/d/l/layers/new"};
    snprintf(path, sizeof path, "%s/sub", p->dir);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/l", p->dir);
    assert_int_equal(symlink(".tarbox", path), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(dir, sizeof dir, "%s::/d:rw", p->dir);
        assert_int_not_equal(
            sys_exec(p->sys, (const char *const[]){CIS_PROGRAM, "run", "--dir", dir,
                                                   CIS_GUESTS_DIR "/tool.wasm", "write", names[i],
                                                   "theirs", NULL}),
            0);
    }
    assert_int_equal(sys_exec(p->sys, (const char *const[]){CIS_PROGRAM, "run", "--dir", dir,
                                                            CIS_GUESTS_DIR "/tool.wasm", "write",
                                                            "/d/sub/own", "x", NULL}),
                     0);
    assert_int_equal(sys_exec(p->sys, (const char *const[]){CIS_PROGRAM, "fs", "snapshots", NULL}),
                     0);
    assert_null(strstr(cis_buf_cstr(&p->sys->last.output), "theirs"));
    umount_it(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)
        cmocka_unit_test(a_test_that_fails_leaves_no_server),
        ROW(a_guest_sees_no_controls_of_a_mount),
        ROW(programs_see_in_a_mount_what_they_see_in_a_folder),
        ROW(names_of_a_union_are_not_made_in_a_mount),
        ROW(what_was_written_is_there_at_the_next_mount),
        ROW(a_copied_range_keeps_its_holes),
        ROW(a_mounted_branch_is_held),
        ROW(a_branch_is_taken_from_a_mount_that_hangs),
        ROW(a_read_only_mount_changes_nothing),
        ROW(another_tenants_branch_is_mounted_until_it_is_taken_back),
        ROW(devices_keep_their_numbers),
        ROW(places_and_states_that_are_not_there_are_named),
#ifndef FS_POSTGRES
        ROW(a_folder_of_the_store_is_not_mounted),
#endif
#undef ROW
    };
    return STORED_MAIN("fs_mount", tests);
}
