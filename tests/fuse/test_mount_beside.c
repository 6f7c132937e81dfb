/* Commands beside a mounted branch: what writes memory alone goes on, what writes files is refused
 * by the mount's name, and a mount that could not start leaves nothing behind. Other users beside
 * the one who mounted. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/file.h"
#include "system/system.h"
#include "mounted.h"
#include "waits.h"

static const char REMEMBER[] =
    "(module (import \"env\" \"host_memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"
    "(memory (export \"memory\") 1) (data (i32.const 16) \"kv\")"
    "(func (export \"skill_execute\") (param i32 i32) (result i32)"
    " (drop (call $set (i32.const 16) (i32.const 1) (i32.const 17) (i32.const 1))) (i32.const 0)))";

static void a_skill_that_only_remembers_runs_on_a_mounted_branch(void **state)
{
    struct sys *s = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    char *dir = test_dir_new(), *skill = sys_wat(s, "remember.wat", REMEMBER);
    assert_exit(s, 0,
                cis(s, "skill", "install", skill, "--name", "r", "--allow", "memory", "--yes"));
    assert_exit(s, 0, cis(s, "fs", "mount", dir));
    int ran = cis(s, "skill", "run", "r");
    int set = cis(s, "memory", "set", "key", "value", "--skill", "r");
    int put = cis(s, "fs", "put", skill, "/f");
    bool told = strstr(sys_err(s), "mount") != NULL;
    assert_exit(s, 0, cis(s, "fs", "umount", dir));
    assert_int_equal(ran, 0);
    assert_int_equal(set, 0);
    assert_int_equal(put, 8);
    assert_true(told);
    assert_exit(s, 0, cis(s, "memory", "get", "k", "--skill", "r"));
    assert_string_equal(sys_out(s), "v");
    assert_exit(s, 0, cis(s, "fs", "put", skill, "/f"));
    assert_exit(s, 0, cis(s, "fs", "fsck"));
    free(skill);
    free(dir);
}

static void a_mount_that_cannot_start_leaves_the_branch_free(void **state)
{
    struct sys *s = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    char *skill = sys_wat(s, "remember.wat", REMEMBER), *dir = test_dir_new(), missing[600];
    snprintf(missing, sizeof missing, "%s/no/such/folder", s->home);
    assert_int_not_equal(cis(s, "fs", "mount", skill), 0);
    assert_int_not_equal(cis(s, "fs", "mount", missing), 0);
    const char *const few[] = {"/bin/sh",   "-c", "ulimit -n 12; exec \"$0\" fs mount \"$1\"",
                               CIS_PROGRAM, dir,  NULL};
    assert_int_not_equal(sys_exec(s, few), 0);
    assert_exit(s, 0, cis(s, "fs", "put", skill, "/f"));
    assert_exit(s, 0, cis(s, "fs", "branches"));
    assert_lacks(sys_out(s), "mount");
    free(skill);
    free(dir);
}

static size_t list_all(const char *path)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    size_t n = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL; n += e->d_name[0] == 'e') {
    }
    closedir(dir);
    return n;
}

/* As `rm -r` does, while others list: their listings begin anew what the kernel knows. */
static void what_is_removed_while_it_is_listed_hides_nothing(void **state)
{
    enum { FILES = 3000 };
    struct sys *s = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    char *dir = test_dir_new(), path[600];
    assert_exit(s, 0, cis(s, "fs", "mount", dir));
    int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "e%05d", i);
        int fd = openat(d, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    size_t before = list_all(dir), seen = 0, removed = 0;
    DIR *list = fdopendir(d);
    for (const struct dirent *e; (e = readdir(list)) != NULL;) {
        if (e->d_name[0] == 'e') {
            removed += unlinkat(d, e->d_name, 0) == 0;
            if (++seen % 300 == 0) {
                (void)list_all(dir);
            }
        }
    }
    closedir(list);
    size_t left = list_all(dir);
    assert_exit(s, 0, cis(s, "fs", "umount", dir));
    assert_int_equal(before, FILES);
    assert_int_equal(seen, FILES);
    assert_int_equal(removed, FILES);
    assert_int_equal(left, 0);
    free(dir);
}

#define HIDDEN "nobodys-affair"
enum { OTHER = 65534 };

static size_t closed, texts; /* folders and files that the walk below came to */

/* Ends the walk where the name is shown, by a listing or in a file. */
static int shows_it(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    static char text[1 << 20];
    (void)where;
    closed += kind == FTW_DNR;
    int fd = kind == FTW_F && S_ISREG(st->st_mode) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : 0;
    texts += fd >= 0;
    if (fd >= 0) {
        close(fd);
    }
    bool shown = strstr(path, HIDDEN) != NULL ||
                 (n > 0 && memmem(text, (size_t)n, HIDDEN, strlen(HIDDEN)) != NULL);
    if (shown && geteuid() == OTHER) {
        fprintf(stderr, "%s\n", path);
    }
    return shown;
}

/* All that this user comes to below the folder and its controls. */
static bool is_shown(const char *dir)
{
    char controls[600];
    snprintf(controls, sizeof controls, "%s/.tarbox", dir);
    closed = texts = 0;
    return nftw(dir, shows_it, 16, FTW_PHYS) != 0 || nftw(controls, shows_it, 16, FTW_PHYS) != 0;
}

static int as_another(const char *dir)
{
    char path[600];
    struct stat st;
    if (setgroups(0, NULL) != 0 || setresgid(OTHER, OTHER, OTHER) != 0 ||
        setresuid(OTHER, OTHER, OTHER) != 0) {
        return 2;
    }
    snprintf(path, sizeof path, "%s/closed/" HIDDEN, dir);
    if (stat(path, &st) == 0 || errno != EACCES) {
        return 3;
    }
    snprintf(path, sizeof path, "%s/.tarbox/snapshots/first/closed/" HIDDEN, dir);
    if (stat(path, &st) == 0 || errno != EACCES) {
        return 4;
    }
    snprintf(path, sizeof path, "%s/.tarbox/layers/diff", dir);
    if (open(path, O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES) {
        return 5;
    }
    return is_shown(dir) ? 1 : closed < 2 || texts < 2 ? 6 : 0;
}

static void write_in(const char *dir, const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

/* A name is the secret of the folder that holds it: no listing tells it to who may not look there,
 * and no file beside it. */
static void what_a_closed_folder_holds_is_named_to_its_owner_alone(void **state)
{
    struct sys *s = *state;
    char *dir = test_dir_new(), path[600];
    int status = 0;
    pid_t done = 0;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    if (geteuid() != 0) {
        not_tested("root", "another user is needed");
    }
    assert_exit(s, 0, cis(s, "fs", "mount", "--allow-other", dir));
    assert_int_equal(chmod(dir, 0755), 0);
    snprintf(path, sizeof path, "%s/closed", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    write_in(dir, "open", "text");
    write_in(dir, "closed/" HIDDEN, "text");
    write_in(dir, ".tarbox/layers/new", "first");
    write_in(dir, "closed/" HIDDEN "-2", "text");
    pid_t other = fork();
    if (other == 0) {
        _exit(as_another(dir));
    }
    assert_comes((done = waitpid(other, &status, WNOHANG)) != 0);
    bool owner = is_shown(dir);
    assert_exit(s, 0, cis(s, "fs", "umount", dir));
    assert_true(done == other && WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(owner);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_skill_that_only_remembers_runs_on_a_mounted_branch,
                                        sys_setup, sys_teardown),
        cmocka_unit_test_setup_teardown(what_a_closed_folder_holds_is_named_to_its_owner_alone,
                                        sys_setup, sys_teardown),
        cmocka_unit_test_setup_teardown(a_mount_that_cannot_start_leaves_the_branch_free, sys_setup,
                                        sys_teardown),
        cmocka_unit_test_setup_teardown(what_is_removed_while_it_is_listed_hides_nothing, sys_setup,
                                        sys_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
