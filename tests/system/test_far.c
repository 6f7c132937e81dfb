/* What a run made deeper than a path of the host is long, brought to the folder and taken back. The
 * same tests run on SQLite and on a private PostgreSQL server; with an argument there are as many
 * levels as in the long form. */
#include "stored.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CROWD CIS_GUESTS_DIR "/crowd.wasm"
#define ok(s, ...) assert_exit((s), 0, cis((s), __VA_ARGS__))

/* A guest asks a server for each name that it makes. */
#ifdef FS_POSTGRES
#define LEVELS "2100"
#else
#define LEVELS "3000"
#endif
static const char *levels = LEVELS;

/* The folder, the mount of it, and one of a branch of its own. */
struct place {
    char folder[4200], mount[4300];
};

static struct place begin(struct sys *s, const char *with)
{
    struct place p;
    s->timeout_ns = 600 * CIS_NS_PER_S;
    snprintf(p.folder, sizeof p.folder, "%s/folder", s->home);
    snprintf(p.mount, sizeof p.mount, "%s::/w:cow%s", p.folder, with);
    assert_int_equal(mkdir(p.folder, 0755), 0);
    return p;
}

/* The innermost folder, open. */
static int innermost(const struct place *p)
{
    int at = open(p->folder, O_RDONLY | O_DIRECTORY);
    for (long i = strtol(levels, NULL, 10); i > 0; i--) {
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    return at;
}

static unsigned names_in(int fd)
{
    unsigned n = 0;
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY);
    DIR *list = fdopendir(again);
    assert_non_null(list);
    while (readdir(list) != NULL) {
        n++;
    }
    closedir(list);
    return n - 2;
}

static void assert_innermost(const struct place *p, unsigned names)
{
    int fd = innermost(p);
    assert_int_equal(names_in(fd), names);
    close(fd);
}

static void assert_empty(const struct place *p)
{
    int fd = open(p->folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(names_in(fd), 0);
    close(fd);
}

static void newest(struct sys *s, char id[27])
{
    ok(s, "runs", "list", "--limit", "1", "--json");
    const char *at = strstr(sys_out(s), "\"id\":\"");
    assert_non_null(at);
    snprintf(id, 27, "%s", at + 6);
}

static void what_no_path_reaches_is_applied_shown_and_undone(void **state)
{
    struct sys *s = *state;
    struct place p = begin(s, "");
    ok(s, "run", "--dir", p.mount, CROWD, "below", "/w", levels, "3");
    ok(s, "runs", "diff", "last");
    assert_contains(sys_out(s), "/d/d/d/n0000002");
    ok(s, "runs", "apply", "--dry-run", "last");
    assert_empty(&p);
    ok(s, "runs", "apply", "last");
    assert_innermost(&p, 3);
    ok(s, "runs", "diff", "last");
    assert_string_equal(sys_out(s), "");
    ok(s, "runs", "apply", "last");
    assert_contains(sys_out(s), "nothing to do");
    ok(s, "runs", "undo", "--dry-run", "last");
    assert_innermost(&p, 3);
    ok(s, "runs", "undo", "last");
    assert_empty(&p);
    ok(s, "fs", "fsck");
}

static void what_a_user_changes_far_down_stays(void **state)
{
    struct sys *s = *state;
    struct place p = begin(s, "");
    ok(s, "run", "--dir", p.mount, CROWD, "below", "/w", levels, "3");
    ok(s, "runs", "apply", "last");
    int fd = innermost(&p);
    int mine = openat(fd, "mine", O_WRONLY | O_CREAT | O_EXCL, 0644);
    assert_true(mine >= 0);
    close(mine);
    assert_exit(s, 8, cis(s, "runs", "undo", "last"));
    assert_contains(sys_err(s), "changed in the folder since");
    assert_int_equal(names_in(fd), 4);
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_int_equal(names_in(fd), 4);
    assert_int_equal(unlinkat(fd, "mine", 0), 0);
    assert_int_equal(fchmodat(fd, "n0000001", 0600, 0), 0);
    assert_exit(s, 8, cis(s, "runs", "undo", "last"));
    assert_int_equal(fchmodat(fd, "n0000001", 0644, 0), 0);
    close(fd);
    ok(s, "runs", "undo", "last");
    assert_empty(&p);
}

static void a_later_run_far_down_is_applied_over_the_first_and_taken_back(void **state)
{
    struct sys *s = *state;
    struct place p = begin(s, "=mine");
    char first[27];
    ok(s, "run", "--dir", p.mount, CROWD, "below", "/w", levels, "3");
    newest(s, first);
    ok(s, "runs", "apply", "last");
    ok(s, "run", "--dir", p.mount, CROWD, "more", "/w", levels, "0");
    ok(s, "runs", "diff", "last");
    assert_contains(sys_out(s), "/d/d/more");
    ok(s, "runs", "apply", "last");
    assert_innermost(&p, 4);
    ok(s, "runs", "undo", "last");
    assert_innermost(&p, 3);
    ok(s, "runs", "undo", first);
    assert_empty(&p);
    ok(s, "fs", "fsck");
}

#ifndef FS_POSTGRES /* the host's side of these is the same */
/* Before anything is done. */
static void what_is_not_made_far_down_is_named(void **state)
{
    struct sys *s = *state;
    struct place p = begin(s, "=mine");
    ok(s, "run", "--dir", p.mount, CROWD, "below", "/w", levels, "3");
    ok(s, "run", "--dir", p.mount, CROWD, "more", "/w", levels, "1");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "leads out of the folder");
    assert_contains(sys_err(s), "to d/../../elsewhere");
    assert_empty(&p);
    ok(s, "run", "--dir", p.mount, CROWD, "more", "/w", levels, "4");
    ok(s, "run", "--dir", p.mount, CROWD, "more", "/w", levels, "2");
    assert_exit(s, 3, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "a file with several names");
    assert_empty(&p);
    ok(s, "run", "--dir", p.mount, CROWD, "more", "/w", levels, "5");
    ok(s, "runs", "apply", "last");
    assert_innermost(&p, 3);
    ok(s, "runs", "undo", "last");
    assert_empty(&p);
}

static void empty(const struct place *p)
{
    char command[4400];
    snprintf(command, sizeof command, "rm -rf '%s/d'", p->folder);
    assert_int_equal(system(command), 0);
}

static void what_no_path_reaches_is_got_into_a_folder_and_put_from_there(void **state)
{
    struct sys *s = *state;
    struct place p = begin(s, "");
    char to[4300];
    snprintf(to, sizeof to, "%s/d", p.folder);
    const char *before = levels;
    levels = "5000"; /* more than folders are held open */
    ok(s, "run", "-w", CROWD, "below", "/workspace", levels, "3");
    ok(s, "fs", "get", "-r", "/d", to);
    assert_innermost(&p, 3);
    ok(s, "fs", "put", "-r", to, "/again");
    ok(s, "fs", "fsck");
    empty(&p);
    ok(s, "fs", "get", "-r", "/again", to);
    assert_innermost(&p, 3);
    empty(&p);
    levels = before;
}

static void a_folder_of_the_user_s_is_not_moved_far_down(void **state)
{
    struct sys *s = *state;
    struct place p = begin(s, "");
    char moved[4300];
    snprintf(moved, sizeof moved, "%s/moved", p.folder);
    assert_int_equal(mkdir(moved, 0755), 0);
    snprintf(p.mount, sizeof p.mount, "%s::/w:cow=mine", p.folder);
    ok(s, "run", "--dir", p.mount, CROWD, "below", "/w", levels, "3");
    ok(s, "run", "--dir", p.mount, CROWD, "more", "/w", levels, "3");
    assert_exit(s, 3, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "a folder that was moved");
    assert_int_equal(rmdir(moved), 0);
    assert_empty(&p);
}

#endif

/* What a step leaves that is killed while it copies, or while it removes. */
static void what_was_interrupted_far_down_is_ended_by_the_next_command(void **state)
{
    struct sys *s = *state;
    struct place p = begin(s, "");
    char left[4300];
    snprintf(left, sizeof left, "%s/.cis-apply", p.folder);
    ok(s, "run", "--dir", p.mount, CROWD, "below", "/w", levels, "3");
    ok(s, "runs", "apply", "last");
    assert_int_equal(mkdir(left, 0700), 0);
    assert_int_equal(chmod(left, 01700), 0);
    assert_exit(s, 4, cis(s, "runs", "apply", "--dry-run", "last"));
    assert_contains(sys_err(s), "this dry run does not");
    ok(s, "runs", "apply", "last");
    assert_contains(sys_out(s), "nothing to do");
    assert_innermost(&p, 3);
    assert_int_equal(mkdir(left, 0700), 0);
    assert_int_equal(chmod(left, 01700), 0);
    assert_exit(s, 4, cis(s, "runs", "undo", "--dry-run", "last"));
    assert_contains(sys_err(s), "this dry run does not");
    assert_int_equal(chmod(left, 0700), 0); /* no half of a folder has these permissions */
    assert_exit(s, 4, cis(s, "runs", "undo", "last"));
    assert_contains(sys_err(s), "is not its own: move it away");
    assert_exit(s, 4, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "is not its own: move it away");
    assert_innermost(&p, 3);
    assert_int_equal(rmdir(left), 0);
    ok(s, "runs", "undo", "last");
    assert_empty(&p);
}

static void a_folder_with_the_name_of_what_is_replaced_is_named_and_stays(void **state)
{
    struct sys *s = *state;
    struct place p = begin(s, "");
    char theirs[4300];
    snprintf(theirs, sizeof theirs, "%s/.cis-apply-old", p.folder);
    ok(s, "run", "--dir", p.mount, CROWD, "below", "/w", levels, "3");
    ok(s, "runs", "apply", "last");
    assert_int_equal(mkdir(theirs, 0755), 0);
    for (int dry = 0; dry < 2; dry++) {
        const char *option = dry != 0 ? "--dry-run" : "--tenant=default";
        assert_exit(s, 4, cis(s, "runs", "apply", option, "last"));
        assert_contains(sys_err(s), ".cis-apply-old: cis uses this name itself");
        assert_exit(s, 4, cis(s, "runs", "undo", option, "last"));
        assert_contains(sys_err(s), ".cis-apply-old: cis uses this name itself");
        assert_lacks(sys_out(s), "changes");
    }
    assert_innermost(&p, 3);
    assert_int_equal(rmdir(theirs), 0);
    ok(s, "runs", "undo", "last");
    assert_empty(&p);
}

#ifndef FS_POSTGRES
/* The folder that a far step is about goes to a name in the folder. */
static void far_to(const struct place *p, const char *first, const char *name)
{
    int root = open(p->folder, O_RDONLY | O_DIRECTORY);
    int at = openat(root, first, O_RDONLY | O_DIRECTORY);
    for (size_t path = strlen(first) + 2; path < 3700; path += 2) { /* of the next one's "d" */
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        close(at);
        at = next;
    }
    assert_int_equal(renameat(at, "d", root, name), 0);
    close(at);
    close(root);
}

static void what_an_older_apply_left_is_no_user_s(void **state)
{
    struct sys *s = *state;
    struct place p = begin(s, "");
    char path[4300];
    for (int i = 1; i <= 2; i++) {
        snprintf(path, sizeof path, "%s/%d", p.folder, i);
        assert_int_equal(mkdir(path, 0755), 0);
        snprintf(path, sizeof path, "/w/%d", i);
        ok(s, "run", "--dir", p.mount, CROWD, "below", path, levels, i == 1 ? "3" : "4");
        ok(s, "runs", "apply", "last");
    }
    far_to(&p, "1", ".cis-apply");
    snprintf(path, sizeof path, "%s/.cis-apply", p.folder);
    assert_int_equal(access(path, F_OK), 0);
    ok(s, "runs", "apply", "last");
    assert_int_not_equal(access(path, F_OK), 0);
    const char *const gone[] = {"/bin/rm", "-r", p.folder, NULL};
    assert_exit(s, 0, sys_exec(s, gone));
}
#endif

/* What another apply or undo is making is no leftover of a killed one. */
static void one_apply_or_undo_at_a_time_changes_a_folder(void **state)
{
    struct sys *s = *state;
    struct place p = begin(s, "");
    ok(s, "run", "--dir", p.mount, CROWD, "below", "/w", levels, "3");
    int fd = open(p.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "another apply or undo is changing this folder");
    assert_int_equal(flock(fd, LOCK_UN), 0);
    ok(s, "runs", "apply", "last");
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_exit(s, 8, cis(s, "runs", "undo", "last"));
    assert_contains(sys_err(s), "another apply or undo is changing this folder");
    assert_innermost(&p, 3);
    close(fd);
    ok(s, "runs", "undo", "last");
    assert_empty(&p);
}

int main(int argc, char **argv)
{
    (void)argv;
    levels = argc > 1 ? "100000" : levels;
    const struct CMUnitTest tests[] = {
        TEST(what_no_path_reaches_is_applied_shown_and_undone),
        TEST(a_later_run_far_down_is_applied_over_the_first_and_taken_back),
        TEST(what_a_user_changes_far_down_stays),
#ifndef FS_POSTGRES
        TEST(what_no_path_reaches_is_got_into_a_folder_and_put_from_there),
        TEST(what_is_not_made_far_down_is_named),
        TEST(a_folder_of_the_user_s_is_not_moved_far_down),
#endif
        TEST(what_was_interrupted_far_down_is_ended_by_the_next_command),
        TEST(a_folder_with_the_name_of_what_is_replaced_is_named_and_stays),
#ifndef FS_POSTGRES
        TEST(what_an_older_apply_left_is_no_user_s),
#endif
        TEST(one_apply_or_undo_at_a_time_changes_a_folder),
    };
    return STORED_MAIN("far", tests);
}
