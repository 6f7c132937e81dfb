/* `cis runs diff|apply|undo` beside other runs, and beside what a user does in the folder. The same
 * tests run on SQLite and on a private PostgreSQL server. */
#include "stored.h"

#include <jansson.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define TOOL CIS_GUESTS_DIR "/tool.wasm"

#define run_ok(s, ...) assert_exit((s), 0, cis((s), "run", __VA_ARGS__))
#define ok(s, ...) assert_exit((s), 0, cis((s), __VA_ARGS__))

/* In the test's folder. */
static void shell(struct sys *s, const char *script)
{
    char line[16384];
    snprintf(line, sizeof line, "cd %s || exit 99; CIS=%s; TOOL=%s; %s", s->home, CIS_PROGRAM, TOOL,
             script);
    assert_exit(s, 0, sys_exec(s, (const char *const[]){"/bin/sh", "-c", line, NULL}));
}

/* A path in the test's folder; one of a few that stay valid. */
/* May a file system of one's own be mounted, where nobody else sees it? */
static bool can_mount(struct sys *s)
{
    return sys_exec(s, (const char *const[]){"/bin/sh", "-c", "unshare -m true", NULL}) == 0;
}

static const char *here(struct sys *s, const char *name)
{
    static char paths[8][4400];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", s->home, name);
    return path;
}

static void host_is(struct sys *s, const char *name, const char *text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf have = CIS_BUF_INIT(1u << 20);
    struct cis_error err;
    cis_code code = cis_file_read(here(s, name), &have, &err);
    if (code != (text != NULL ? CIS_OK : CIS_E_NOTFOUND)) {
        fail_msg("%s: code %d", name, (int)code);
    }
    if (text != NULL) {
        assert_string_equal(cis_buf_cstr(&have), text);
    }
}

/* The newest run. */
static void last_run(struct sys *s, char out[27])
{
    ok(s, "runs", "list", "--limit", "1", "--json");
    json_t *root = json_loads(sys_out(s), 0, NULL);
    const char *id =
        json_string_value(json_object_get(json_array_get(json_object_get(root, "runs"), 0), "id"));
    assert_non_null(id);
    snprintf(out, 27, "%s", id);
    json_decref(root);
}

/* ---- which run ---- */

static void a_second_cow_mount_shows_and_applies_its_own_run_only(void **state)
{
    struct sys *s = *state;
    char one[27];
    shell(s, "mkdir a b && printf x > b/f");
    run_ok(s, "--dir", here(s, "a::/a:cow=wa"), "--dir", here(s, "b::/b:cow=wb"), TOOL, "write",
           "/a/made", "1", "write", "/b/f", "reviewed");
    last_run(s, one);
    run_ok(s, "--dir", here(s, "b::/b:cow=wb"), TOOL, "write", "/b/f", "unreviewed work", "write",
           "/b/more", "2");
    ok(s, "runs", "diff", one);
    assert_string_equal(sys_out(s), "A made  1\nM f  1 -> 8\n");
    ok(s, "runs", "apply", one, "--mount", "/b");
    host_is(s, "b/f", "reviewed");
    host_is(s, "b/more", NULL);
    ok(s, "runs", "apply", one, "--mount", "/a");
    host_is(s, "a/made", "1");
}

/* A backup may be another host's, or anybody's: what its records call a folder is not one of here.
 */
static void what_a_backup_says_of_folders_changes_none(void **state)
{
    struct sys *s = *state;
    char one[27], store[700];
    shell(s, "mkdir a to && printf old > a/f && printf old > to/f");
    run_ok(s, "--dir", here(s, "a::/a:cow"), TOOL, "write", "/a/f", "evil");
    last_run(s, one);
    ok(s, "runs", "apply", one);
    ok(s, "store", "backup", here(s, "backup"));
    shell(s, "printf mine > a/f");
    snprintf(store, sizeof store, "sqlite:%s/restored", s->home);
    ok(s, "store", "restore", here(s, "backup"), "--store", store);
    assert_exit(s, 4, cis(s, "runs", "apply", one, "--force", "--store", store));
    assert_contains(sys_err(s), "restored from a backup");
    host_is(s, "a/f", "mine");
    ok(s, "runs", "undo", one, "--store", store); /* the branch's changes, and no folder's */
    assert_contains(sys_err(s), "no folder is changed here");
    host_is(s, "a/f", "mine");
    ok(s, "runs", "redo", one, "--store", store);
    host_is(s, "a/f", "mine");
    ok(s, "runs", "apply", one, "--to", here(s, "to"), "--store", store); /* what the user names */
    host_is(s, "to/f", "evil");
    ok(s, "runs", "undo", one, "--store", store);
    host_is(s, "to/f", "old");
    host_is(s, "a/f", "mine");
    ok(s, "runs", "redo", one, "--store", store);
    host_is(s, "to/f", "evil");
    host_is(s, "a/f", "mine");
}

/* The record of an apply goes with gc, or with `fs drop`; that there was an apply stays known. */
static void an_undo_says_which_folder_it_cannot_bring_back(void **state)
{
    struct sys *s = *state;
    char one[27], ref[64];
    for (int way = 0; way < 2; way++) {
        shell(s, "rm -rf a b && mkdir a b && printf old > a/f && printf old > b/f");
        run_ok(s, "--dir", here(s, "a::/a:cow"), TOOL, "write", "/a/f", "new");
        last_run(s, one);
        ok(s, "runs", "apply", one);
        snprintf(ref, sizeof ref, "applied/%s-1", one);
        if (way == 1) { /* what is younger than ten minutes is not gc's, whatever the age */
            usleep(1100000);
            ok(s, "fs", "gc", "--keep-age", "1s", "--keep-runs", "1");
        }
        ok(s, "fs", "drop", ref);
        if (way == 0) {
            ok(s, "runs", "apply", one, "--to", here(s, "b"));
        }
        for (int again = 0; again < 2; again++) {
            assert_exit(s, 7, cis(s, "runs", "undo", one));
            assert_contains(sys_err(s), here(s, "a: "));
            assert_contains(sys_err(s), "--leave-lost");
            host_is(s, "a/f", "new");
            host_is(s, "b/f", way == 0 ? "new" : "old");
        }
        run_ok(s, "--dir", here(s, "a::/a:cow"), TOOL, "read", "/a/f"); /* nor was the branch */
        assert_exit(s, 7, cis(s, "runs", "undo", one, "--dry-run"));
        ok(s, "runs", "undo", one, "--leave-lost");
        assert_contains(sys_err(s), "left as it is: ");
        assert_contains(sys_err(s), here(s, "a: "));
        host_is(s, "a/f", "new");
        host_is(s, "b/f", "old");
        assert_exit(s, 7, cis(s, "runs", "undo", one)); /* it is still not taken back there */
        ok(s, "runs", "redo", one);
        host_is(s, "b/f", way == 0 ? "new" : "old");
        ok(s, "runs", "show", one);
    }
}

static void what_was_undone_before_its_record_went_is_applied_again(void **state)
{
    struct sys *s = *state;
    char one[27], ref[64];
    shell(s, "mkdir a && printf old > a/f");
    run_ok(s, "--dir", here(s, "a::/a:cow"), TOOL, "write", "/a/f", "new");
    last_run(s, one);
    ok(s, "runs", "apply", one);
    ok(s, "runs", "undo", one);
    snprintf(ref, sizeof ref, "applied/%s-1", one);
    ok(s, "fs", "drop", ref);
    ok(s, "runs", "redo", one);
    host_is(s, "a/f", "new");
    ok(s, "runs", "undo", one);
    host_is(s, "a/f", "old");
}

/* A forged record says what an earlier apply of the branch left: an edit of the user's. */
static void a_restored_record_is_not_believed_when_the_folder_is_checked(void **state)
{
    struct sys *s = *state;
    char one[27], store[700];
    shell(s, "mkdir a && printf old > a/f");
    run_ok(s, "--dir", here(s, "a::/a:cow=w"), TOOL, "write", "/a/f", "left by one");
    last_run(s, one);
    ok(s, "runs", "apply", one);
    run_ok(s, "--dir", here(s, "a::/a:cow=w"), TOOL, "write", "/a/f", "by two");
    last_run(s, one);
    ok(s, "store", "backup", here(s, "backup"));
    snprintf(store, sizeof store, "sqlite:%s/elsewhere", s->home);
    ok(s, "store", "restore", here(s, "backup"), "--store", store);
    /* There the folder is another one, and what it has is the user's. */
    assert_exit(s, 8, cis(s, "runs", "apply", one, "--to", here(s, "a"), "--store", store));
    host_is(s, "a/f", "left by one");
    ok(s, "runs", "apply", one); /* here it is what the branch left */
    host_is(s, "a/f", "by two");
}

static void a_run_on_two_cow_mounts_is_undone_on_both(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir a b && printf x > b/f");
    run_ok(s, "--dir", here(s, "a::/a:cow=wa"), "--dir", here(s, "b::/b:cow=wb"), TOOL, "write",
           "/a/made", "1", "write", "/b/f", "other");
    ok(s, "runs", "undo", "last");
    assert_contains(sys_out(s), "branch wb: ");
    for (int i = 0; i < 2; i++) {
        run_ok(s, "--dir", here(s, "b::/b:cow=wb"), TOOL, "read", "/b/f");
        assert_string_equal(sys_out(s), "x");
        run_ok(s, "--dir", here(s, "a::/a:cow=wa"), TOOL, "list", "/a");
        assert_string_equal(sys_out(s), "");
    }
}

static void only_the_second_cow_mount_was_changed(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir a b");
    run_ok(s, "--dir", here(s, "a::/a:cow"), "--dir", here(s, "b::/b:cow"), TOOL, "write", "/b/f",
           "1");
    ok(s, "runs", "diff", "last");
    assert_string_equal(sys_out(s), "A f  1\n");
    ok(s, "runs", "apply", "last", "--mount", "/a"); /* unchanged, and that is no error */
    assert_string_equal(sys_out(s), "nothing to do: the run changed nothing there\n");
    ok(s, "runs", "apply", "last", "--mount", "/b");
    host_is(s, "b/f", "1");
}

/* The first run makes what tells that the branch is a folder's: later ones build on it. */
static void the_first_run_of_a_cow_branch_is_undone_and_the_branch_goes_on(void **state)
{
    struct sys *s = *state;
    char one[27], two[27], three[27];
    shell(s, "mkdir a && printf x > a/f");
    run_ok(s, "--dir", here(s, "a::/a:cow=w"), TOOL, "write", "/a/one", "1");
    last_run(s, one);
    run_ok(s, "--dir", here(s, "a::/a:cow=w"), TOOL, "write", "/a/two", "2");
    last_run(s, two);
    ok(s, "runs", "undo", one);
    run_ok(s, "--dir", here(s, "a::/a:cow=w"), TOOL, "read", "/a/two", "write", "/a/three", "3");
    assert_string_equal(sys_out(s), "2");
    last_run(s, three);
    assert_exit(s, 10, cis(s, "run", "--dir", here(s, "a::/a:cow=w"), TOOL, "read", "/a/one"));
    ok(s, "runs", "redo", one);
    run_ok(s, "--dir", here(s, "a::/a:cow=w"), TOOL, "read", "/a/one");
    assert_string_equal(sys_out(s), "1");
    ok(s, "runs", "undo", one);
    ok(s, "runs", "undo", two);
    ok(s, "runs", "undo", three);
    run_ok(s, "--dir", here(s, "a::/a:cow=w"), TOOL, "write", "/a/last", "4");
    ok(s, "runs", "apply", "last");
    host_is(s, "a/last", "4");
    host_is(s, "a/one", NULL);
    host_is(s, "a/two", NULL);
    ok(s, "fs", "fsck", "--data");
}

/* A folder that a run copied to change something in it is not what the run changed. */
static void a_run_is_undone_below_what_later_runs_did_in_the_same_folders(void **state)
{
    struct sys *s = *state;
    char one[27], two[27], three[27];
    shell(s, "mkdir -p a/d/sub/in a/other && for f in f h k sub/g sub/h sub/in/x; do "
             "printf old > a/d/$f; done");
    const char *mount = here(s, "a::/a:cow=w");
    run_ok(s, "--dir", mount, TOOL, "write", "/a/d/f", "1", "write", "/a/d/sub/in/x", "1", "write",
           "/a/d/new", "1");
    last_run(s, one);
    run_ok(s, "--dir", mount, TOOL, "write", "/a/d/h", "2", "write", "/a/d/sub/h", "2", "rm",
           "/a/d/k");
    last_run(s, two);
    ok(s, "runs", "undo", one);
    run_ok(s, "--dir", mount, TOOL, "read", "/a/d/f", "read", "/a/d/h", "read", "/a/d/sub/g",
           "read", "/a/d/sub/h", "read", "/a/d/sub/in/x");
    assert_string_equal(sys_out(s), "old2old2old");
    assert_exit(s, 10, cis(s, "run", "--dir", mount, TOOL, "read", "/a/d/k"));
    assert_exit(s, 10, cis(s, "run", "--dir", mount, TOOL, "read", "/a/d/new"));
    ok(s, "runs", "redo", one);
    run_ok(s, "--dir", mount, TOOL, "read", "/a/d/f", "read", "/a/d/h", "read", "/a/d/new");
    assert_string_equal(sys_out(s), "121");
    ok(s, "runs", "undo", one);
    run_ok(s, "--dir", mount, TOOL, "write", "/a/z", "3");
    last_run(s, three);
    ok(s, "runs", "diff", three);
    assert_string_equal(sys_out(s), "M d/h  3 -> 1\nD d/k  3\nM d/sub/h  3 -> 1\nA z  1\n");
    ok(s, "runs", "apply", three);
    host_is(s, "a/d/f", "old");
    host_is(s, "a/d/h", "2");
    host_is(s, "a/d/k", NULL);
    host_is(s, "a/d/new", NULL);
    host_is(s, "a/d/sub/h", "2");
    host_is(s, "a/d/sub/in/x", "old");
    ok(s, "runs", "undo", three);
    host_is(s, "a/d/h", "old");
    ok(s, "runs", "undo", two);
    run_ok(s, "--dir", mount, TOOL, "read", "/a/d/h", "read", "/a/d/k", "read", "/a/d/sub/h");
    assert_string_equal(sys_out(s), "oldoldold");
    ok(s, "fs", "fsck", "--data");
}

static void a_folder_that_a_later_run_moved_is_left_where_it_is(void **state)
{
    struct sys *s = *state;
    char one[27], two[27];
    shell(s, "mkdir -p a/d/sub && printf old > a/d/f && printf old > a/d/sub/g");
    const char *mount = here(s, "a::/a:cow=w");
    run_ok(s, "--dir", mount, TOOL, "write", "/a/other", "0"); /* so that `one` makes no root */
    run_ok(s, "--dir", mount, TOOL, "write", "/a/d/f", "1", "write", "/a/d/sub/g", "1");
    last_run(s, one);
    run_ok(s, "--dir", mount, TOOL, "mv", "/a/d", "/a/e");
    ok(s, "runs", "undo", one);
    run_ok(s, "--dir", mount, TOOL, "read", "/a/e/f", "read", "/a/e/sub/g");
    assert_string_equal(sys_out(s), "oldold");
    assert_exit(s, 10, cis(s, "run", "--dir", mount, TOOL, "read", "/a/d/f"));
    ok(s, "runs", "redo", one);
    run_ok(s, "--dir", mount, TOOL, "read", "/a/e/f", "write", "/a/e/h", "3");
    assert_string_equal(sys_out(s), "1");
    /* One that the run itself moved has nowhere to be once that is taken back. */
    run_ok(s, "--dir", mount, TOOL, "mv", "/a/e", "/a/x");
    last_run(s, two);
    run_ok(s, "--dir", mount, TOOL, "write", "/a/x/i", "4");
    assert_int_not_equal(cis(s, "runs", "undo", one), 2);
    run_ok(s, "--dir", mount, TOOL, "read", "/a/x/i");
    assert_string_equal(sys_out(s), "4");
    ok(s, "fs", "fsck", "--data");
}

static void a_run_that_moved_a_folder_is_not_undone_below_later_ones(void **state)
{
    struct sys *s = *state;
    char one[27];
    shell(s, "mkdir -p a/d && printf old > a/d/f");
    const char *mount = here(s, "a::/a:cow=w");
    run_ok(s, "--dir", mount, TOOL, "write", "/a/other", "0");
    run_ok(s, "--dir", mount, TOOL, "mv", "/a/d", "/a/e");
    last_run(s, one);
    run_ok(s, "--dir", mount, TOOL, "write", "/a/e/g", "2");
    assert_exit(s, 8, cis(s, "runs", "undo", one));
    run_ok(s, "--dir", mount, TOOL, "read", "/a/e/f", "read", "/a/e/g");
    assert_string_equal(sys_out(s), "old2");
    assert_exit(s, 10, cis(s, "run", "--dir", mount, TOOL, "read", "/a/d/f"));
    ok(s, "fs", "fsck", "--data");
}

/* A run that changed nothing shows nothing; one whose changes were forgotten is an error. */
static void a_run_that_changed_nothing_has_an_empty_diff(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir a");
    run_ok(s, "--dir", here(s, "a::/a:cow"), TOOL, "say", "hi");
    ok(s, "runs", "diff", "last");
    assert_string_equal(sys_out(s), "");
    ok(s, "runs", "diff", "last", "--json");
    assert_string_equal(sys_out(s), "{\"schema\":1,\"changes\":[]}\n");
    ok(s, "runs", "apply", "last");
    assert_exit(
        s, 1,
        cis(s, "run", "--dir", here(s, "a::/a:cow"), TOOL, "write", "/a/f", "x", "exit", "1"));
    assert_exit(s, 3, cis(s, "runs", "diff", "last"));
    assert_contains(sys_err(s), "none of its changes were kept");
    assert_exit(s, 3, cis(s, "runs", "apply", "last"));
}

static void a_cow_mount_beside_a_workspace_is_named_by_its_commit(void **state)
{
    struct sys *s = *state;
    char one[27];
    shell(s, "mkdir a && printf old > a/f");
    run_ok(s, "-w", "--dir", here(s, "a::/a:cow=w"), TOOL, "write", "/a/f", "first", "write",
           "/workspace/x", "1");
    last_run(s, one);
    run_ok(s, "-w", "--dir", here(s, "a::/a:cow=w"), TOOL, "write", "/a/f", "second", "write",
           "/workspace/y", "1");
    ok(s, "runs", "diff", one, "--text");
    assert_contains(sys_out(s), "+first\n");
    assert_lacks(sys_out(s), "second");
    ok(s, "runs", "apply", one);
    host_is(s, "a/f", "first");
    ok(s, "runs", "show", one, "--json");
    assert_contains(sys_out(s), "\"carries\":true");
}

static void a_branch_that_was_rolled_back_keeps_every_run_to_itself(void **state)
{
    struct sys *s = *state;
    char one[27], two[27], three[27];
    const char *spec = here(s, "a::/a:cow=w");
    shell(s, "mkdir a && printf old > a/f");
    run_ok(s, "--dir", spec, TOOL, "write", "/a/f", "one");
    last_run(s, one);
    run_ok(s, "--dir", spec, TOOL, "write", "/a/f", "two");
    last_run(s, two);
    ok(s, "fs", "rollback", one, "--branch", "w");
    run_ok(s, "--dir", spec, TOOL, "write", "/a/f", "three");
    last_run(s, three);
    ok(s, "runs", "diff", two, "--text");
    assert_contains(sys_out(s), "+two\n");
    assert_exit(s, 2, cis(s, "runs", "undo", two));
    assert_contains(sys_err(s), "no longer contains its commit");
    ok(s, "runs", "apply", two);
    host_is(s, "a/f", "two");
    ok(s, "runs", "diff", one, "--text");
    assert_contains(sys_out(s), "+one\n");
    ok(s, "runs", "diff", three, "--text");
    assert_contains(sys_out(s), "+three\n");
}

/* What a guest writes under one name does not decide whether its other files are shown. */
static void a_file_that_cannot_be_compared_does_not_end_the_list(void **state)
{
    struct sys *s = *state;
    shell(s, "yes '' | head -n 1048577 > lines; printf 'first\\n' > one; printf 'last\\n' > two;"
             "mkdir a && ln -s nowhere a/link && printf x > a/was-file && cp lines a/m");
    ok(s, "fs", "put", here(s, "one"), "/a");
    ok(s, "fs", "put", here(s, "lines"), "/m");
    ok(s, "fs", "put", here(s, "two"), "/z");
    ok(s, "fs", "diff", "@0", "@3", "--text");
    assert_contains(sys_out(s), "+first\n");
    assert_contains(sys_out(s),
                    "files /dev/null and b/m differ: more than 1048576 lines\n--- /dev/null\n");
    assert_contains(sys_out(s), "+last\n");
    run_ok(s, "--dir", here(s, "a::/a:cow"), TOOL, "write", "/a/a", "first", "append", "/a/m", "x",
           "rm", "/a/link", "write", "/a/link", "text", "rm", "/a/was-file", "symlink", "a",
           "/a/was-file", "write", "/a/z", "last");
    ok(s, "runs", "diff", "last", "--text");
    assert_contains(sys_out(s), "+first\n");
    assert_contains(sys_out(s), "files a/m and b/m differ: more than 1048576 lines\n");
    assert_contains(sys_out(s), "b/link");
    assert_contains(sys_out(s), "+last\n");
}

static void what_a_guest_wrote_gets_no_set_id_bits(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d && printf tool > d/suid && printf tool > d/moved && printf tool > d/same "
             "&& chmod 6755 d/*");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "append", "/d/suid", "EVIL", "mv", "/d/moved",
           "/d/there");
    for (int i = 0; i < 2; i++) { /* the second finds its content there already */
        ok(s, "runs", "apply", "last");
        shell(s, "cd d && stat -c '%n %a' *");
        assert_string_equal(sys_out(s), "same 6755\nsuid 755\nthere 755\n");
        host_is(s, "d/suid", "toolEVIL");
    }
    ok(s, "runs", "undo", "last"); /* the user's own content, as it was */
    shell(s, "cd d && stat -c '%n %a' *");
    assert_string_equal(sys_out(s), "moved 6755\nsame 6755\nsuid 6755\n");
    host_is(s, "d/suid", "tool");
}

static void last_is_the_newest_run_in_every_command(void **state)
{
    struct sys *s = *state;
    char id[27], again[27];
    assert_exit(s, 3, cis(s, "runs", "show", "last"));
    assert_contains(sys_err(s), "there are no runs");
    shell(s, "mkdir a");
    run_ok(s, "--dir", here(s, "a::/a:cow"), TOOL, "write", "/a/f", "1");
    last_run(s, id);
    ok(s, "runs", "show", "last");
    assert_contains(sys_out(s), id);
    ok(s, "runs", "diff", "last");
    ok(s, "runs", "apply", "last");
    ok(s, "runs", "undo", "last");
    ok(s, "runs", "redo", "last");
    last_run(s, again); /* none of these was a run */
    assert_string_equal(again, id);
    ok(s, "runs", "show", "last");
    assert_contains(sys_out(s), id);
}

/* ---- the user's files ---- */

/* All of it, as text: names, permissions, contents, targets, which names are one file. */
static char *tree_of(struct sys *s, const char *name)
{
    char line[4600];
    snprintf(line, sizeof line,
             "cd %s && find . -printf '%%p %%M %%l %%n\\n' | sort && find . -type f | sort | "
             "xargs -r md5sum",
             name);
    shell(s, line);
    return strdup(sys_out(s));
}

static void an_apply_is_taken_back_and_made_again(void **state)
{
    struct sys *s = *state;
    shell(s,
          "mkdir -p d/old/deep d/gone d/ro && printf 1 > d/a && chmod 640 d/a && printf 2 > d/one "
          "&& printf 3 > d/old/deep/f && printf 4 > d/gone/g && ln -s a d/link "
          "&& printf 5 > d/ro/f");
    char *before = tree_of(s, "d");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "write", "/d/a", "changed", "append", "/d/one",
           "+more", "mv", "/d/old", "/d/moved", "write", "/d/moved/deep/f", "33", "rm", "/d/gone/g",
           "rmdir", "/d/gone", "rm", "/d/link", "symlink", "one", "/d/link", "mkdir", "/d/new",
           "write", "/d/new/x", "x", "mv", "/d/ro", "/d/new/ro");
    ok(s, "runs", "apply", "last");
    char *after = tree_of(s, "d");
    host_is(s, "d/one", "2+more");
    host_is(s, "d/moved/deep/f", "33");
    host_is(s, "d/new/ro/f", "5");
    ok(s, "runs", "undo", "last");
    assert_contains(sys_out(s), "changes taken back");
    char *undone = tree_of(s, "d");
    assert_string_equal(undone, before);
    assert_exit(s, 2, cis(s, "runs", "undo", "last"));
    ok(s, "runs", "redo", "last");
    char *redone = tree_of(s, "d");
    assert_string_equal(redone, after);
    ok(s, "runs", "undo", "last", "--json");
    assert_contains(sys_out(s), "\"folder_changes\":");
    free(undone);
    undone = tree_of(s, "d");
    assert_string_equal(undone, before);
    ok(s, "fs", "fsck", "--data");
    free(undone);
    free(redone);
    free(before);
    free(after);
}

/* A branch that is turned while a folder cannot be is neither undone nor redone. */
static void a_redo_looks_at_its_folders_before_anything_is_changed(void **state)
{
    struct sys *s = *state;
    char one[27];
    shell(s, "mkdir a b && printf old > a/f && printf old > b/f");
    run_ok(s, "--dir", here(s, "a::/a:cow=w"), TOOL, "write", "/a/f", "new");
    last_run(s, one);
    ok(s, "runs", "apply", one);
    ok(s, "runs", "apply", one, "--to", here(s, "b"));
    ok(s, "runs", "undo", one);
    shell(s, "mv a away");
    ok(s, "fs", "log", "--branch", "w");
    char *log = strdup(sys_out(s));
    for (int i = 0; i < 2; i++) {
        assert_exit(s, 3, cis(s, "runs", "redo", one));
        assert_contains(sys_err(s), here(s, "a: nothing was done"));
        host_is(s, "b/f", "old");
        ok(s, "fs", "log", "--branch", "w");
        assert_string_equal(sys_out(s), log);
    }
    shell(s, "mv away a");
    ok(s, "runs", "redo", one);
    host_is(s, "a/f", "new");
    host_is(s, "b/f", "new");
    free(log);
}

/* The record of a run is JSON: of another path it would keep something else, and undo and redo
 * would look for that. */
static void a_folder_whose_path_is_not_utf8_is_refused_before_anything_is_done(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir a \"$(printf 'b\\377')\" && printf old > a/f && cp a/f b*");
    assert_exit(s, 2,
                cis(s, "run", "--dir", here(s, "b\377::/b:cow"), TOOL, "write", "/b/f", "new"));
    assert_contains(sys_err(s), "the path of a cow folder must be UTF-8");
    run_ok(s, "--dir", here(s, "b\377::/b:ro"), TOOL, "read", "/b/f");
    assert_string_equal(sys_out(s), "old");
    run_ok(s, "--dir", here(s, "a::/a:cow"), TOOL, "write", "/a/f", "new");
    assert_exit(s, 2, cis(s, "runs", "apply", "last", "--to", here(s, "b\377")));
    assert_contains(sys_err(s),
                    "must be UTF-8, because the run's record contains it; nothing was done");
    host_is(s, "b\377/f", "old");
    ok(s, "runs", "apply", "last");
    host_is(s, "a/f", "new");
}

/* One run applied to more folders than any list in the program once held. */
static void a_run_that_was_applied_to_many_folders_is_undone_in_all_of_them(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d && printf old > d/f && for i in $(seq 66); do cp -r d to$i; done");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "write", "/d/f", "new");
    shell(s, "for i in $(seq 66); do $CIS runs apply last --to to$i > /dev/null || exit 1; done; "
             "cat to*/f | tr -d '\n' | sed s/new//g");
    assert_string_equal(sys_out(s), "");
    ok(s, "runs", "undo", "last");
    shell(s, "cat to*/f | tr -d '\n' | sed s/old//g");
    assert_string_equal(sys_out(s), "");
    ok(s, "runs", "redo", "last");
    shell(s, "cat to*/f | tr -d '\n' | sed s/new//g");
    assert_string_equal(sys_out(s), "");
}

static void what_was_changed_since_an_apply_is_not_taken_back(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir -p d && printf old > d/a && printf gone > d/g");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "write", "/d/a", "new", "rm", "/d/g", "mkdir",
           "/d/m", "write", "/d/m/f", "f");
    ok(s, "runs", "apply", "last");
    shell(s, "printf mine > d/a; printf mine > d/g; printf mine > d/m/mine");
    char *now = tree_of(s, "d");
    assert_exit(s, 8, cis(s, "runs", "undo", "last"));
    assert_contains(sys_err(s), "conflict: a: changed in the folder since");
    assert_contains(sys_err(s), "conflict: g: made in the folder since");
    assert_contains(sys_err(s), "conflict: m/mine: made in the folder since");
    assert_exit(s, 8, cis(s, "runs", "undo", "last", "--json"));
    json_t *told = json_loads(sys_out(s), 0, NULL);
    assert_non_null(told); /* one value */
    assert_int_equal(json_array_size(json_object_get(told, "conflicts")), 3);
    json_decref(told);
    char *then = tree_of(s, "d");
    assert_string_equal(then, now);
    shell(s, "printf new > d/a; rm d/g d/m/mine");
    ok(s, "runs", "undo", "last");
    host_is(s, "d/a", "old");
    host_is(s, "d/g", "gone");
    host_is(s, "d/m/f", NULL);
    free(now);
    free(then);
}

static void a_forced_apply_is_taken_back_to_what_the_user_had(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir -p d/sub && printf old > d/a && printf b > d/sub/b");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "write", "/d/a", "new", "rm", "/d/sub/b",
           "rmdir", "/d/sub", "write", "/d/made", "x");
    shell(s,
          "printf mine > d/a; printf mine > d/sub/other; printf mine > d/made; chmod 600 d/made");
    char *before = tree_of(s, "d");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    ok(s, "runs", "apply", "last", "--force");
    host_is(s, "d/a", "new");
    host_is(s, "d/sub/other", NULL);
    ok(s, "runs", "undo", "last");
    char *after = tree_of(s, "d");
    assert_string_equal(after, before);
    free(before);
    free(after);
}

static void a_folder_that_was_moved_in_since_stays(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir -p d/sub other && printf b > d/sub/b && printf precious > other/b && printf "
             "more > other/c && mkdir -p x/new && printf theirs > x/new/f && sleep 0.05");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "rm", "/d/sub/b", "rmdir", "/d/sub", "mkdir",
           "/d/new", "write", "/d/new/g", "g");
    /* Renames leave the times of what is in a folder as they were. */
    shell(s, "rm -r d/sub && mv other d/sub && mv x/new d/new");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "conflict: sub/b: changed in the folder since");
    assert_contains(sys_err(s), "conflict: sub/c: made in the folder since");
    assert_contains(sys_err(s), "conflict: new/f: made in the folder since");
    host_is(s, "d/sub/b", "precious");
    host_is(s, "d/new/f", "theirs");
}

static void a_renamed_folder_that_is_another_one_now_stays(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir -p d/a other && printf 1 > d/a/f && printf 2 > other/f && sleep 0.05");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "mv", "/d/a", "/d/b");
    shell(s, "mv d/a gone && mv other d/a");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "conflict: a: another folder since");
    host_is(s, "d/a/f", "2");
}

static void edits_with_old_times_are_seen(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d && printf aaaa > d/f && printf aaaa > d/g && sleep 0.05");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "write", "/d/f", "bbbb", "rm", "/d/g");
    shell(s, "cp -p d/f keep && printf cccc > d/f && touch -r keep d/f && printf dddd > d/g && "
             "touch -r keep d/g");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "conflict: f: changed in the folder since");
    assert_contains(sys_err(s), "conflict: g: changed in the folder since");
    host_is(s, "d/f", "cccc");
    host_is(s, "d/g", "dddd");
}

static void edits_after_a_fork_or_a_rollback_are_seen(void **state)
{
    struct sys *s = *state;
    const char *spec = here(s, "d::/d:cow=w"), *forked = here(s, "d::/d:cow=w2");
    char one[27];
    shell(s, "mkdir d && printf old > d/f && printf old > d/g");
    run_ok(s, "--dir", spec, TOOL, "write", "/d/f", "first");
    last_run(s, one);
    shell(s, "sleep 0.05; printf mine > d/f");
    ok(s, "fs", "fork", "w2", "--from", one);
    run_ok(s, "--dir", forked, TOOL, "write", "/d/g", "second");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    host_is(s, "d/f", "mine");
    ok(s, "fs", "rollback", one, "--branch", "w");
    run_ok(s, "--dir", spec, TOOL, "write", "/d/g", "third");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "conflict: f: changed in the folder since");
    host_is(s, "d/f", "mine");
    host_is(s, "d/g", "old");
}

static void runs_of_one_branch_are_applied_one_after_the_other(void **state)
{
    struct sys *s = *state;
    const char *spec = here(s, "d::/d:cow=w");
    char one[27], two[27];
    shell(s, "mkdir -p d/r && printf 0 > d/f && printf 0 > d/g && printf 0 > d/r/x");
    run_ok(s, "--dir", spec, TOOL, "write", "/d/f", "1", "rm", "/d/g", "mv", "/d/r", "/d/s");
    last_run(s, one);
    ok(s, "runs", "apply", one);
    run_ok(s, "--dir", spec, TOOL, "write", "/d/f", "22", "write", "/d/g", "22");
    last_run(s, two);
    ok(s, "runs", "apply", two);
    host_is(s, "d/f", "22");
    host_is(s, "d/g", "22");
    assert_exit(s, 8, cis(s, "runs", "undo", one)); /* the second stands on it */
    ok(s, "runs", "undo", two);
    host_is(s, "d/f", "1");
    host_is(s, "d/g", NULL);
    host_is(s, "d/s/x", "0");
    ok(s, "runs", "undo", one);
    host_is(s, "d/f", "0");
    host_is(s, "d/g", "0");
    host_is(s, "d/r/x", "0");
}

static void files_with_several_names_stay_one_file(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d && printf 2 > d/one && ln d/one d/two && ln d/one d/three");
    char *before = tree_of(s, "d");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "append", "/d/one", "+more");
    ok(s, "runs", "apply", "last");
    host_is(s, "d/three", "2+more");
    shell(s, "stat -c %h d/one d/two");
    assert_string_equal(sys_out(s), "3\n3\n");
    ok(s, "runs", "undo", "last");
    char *after = tree_of(s, "d");
    assert_string_equal(after, before);
    free(before);
    free(after);
}

/* The other names may be anywhere: a copy made of links, a store of packages. */
static void what_a_run_wrote_stays_when_the_file_loses_its_other_names(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d && printf x > d/a && ln d/a outside");
    run_ok(s, "--dir", here(s, "d::/d:cow=links"), TOOL, "append", "/d/a", "+y");
    ok(s, "runs", "diff", "last");
    assert_contains(sys_out(s), "M a  1 -> 3\n");
    shell(s, "rm outside");
    ok(s, "runs", "diff", "last");
    assert_contains(sys_out(s), "M a  1 -> 3\n");
    run_ok(s, "--dir", here(s, "d::/d:cow=links"), TOOL, "append", "/d/a", "+z");
    ok(s, "runs", "apply", "last");
    host_is(s, "d/a", "x+y+z");
    ok(s, "runs", "undo", "last");
    host_is(s, "d/a", "x");
}

/* The file that an undo puts back is another one than the run saw. */
static void files_with_several_names_are_redone_again_and_again(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d && printf 2 > d/one && ln d/one d/two && ln d/one d/three && "
             "printf shared > d/f && ln d/f outside");
    char *before = tree_of(s, "d");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "append", "/d/one", "+more", "append", "/d/f",
           "+1");
    ok(s, "runs", "apply", "last");
    char *applied = tree_of(s, "d");
    for (int i = 0; i < 3; i++) {
        ok(s, "runs", "undo", "last");
        shell(s, "cat d/one d/two d/three d/f outside && stat -c %h d/one");
        assert_string_equal(sys_out(s), "222sharedshared3\n");
        ok(s, "runs", "diff", "last");
        assert_contains(sys_out(s), "M one  1 -> 6\n");
        ok(s, "runs", "redo", "last");
        char *redone = tree_of(s, "d");
        assert_string_equal(redone, applied);
        free(redone);
    }
    ok(s, "runs", "undo", "last");
    shell(s, "printf mine >> d/two"); /* the same file still, with other content */
    assert_exit(s, 8, cis(s, "runs", "redo", "last"));
    assert_contains(sys_err(s), "conflict: two: changed in the folder since");
    host_is(s, "d/one", "2mine");
    free(before);
    free(applied);
}

static void names_outside_the_folder_keep_their_file(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d && printf shared > d/f && ln d/f outside");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "write", "/d/f", "changed");
    ok(s, "runs", "apply", "last");
    host_is(s, "d/f", "changed");
    host_is(s, "outside", "shared");
}

static void holes_stay_holes_when_a_run_is_applied(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d && truncate -s 4T d/f && truncate -s 4T d/gone && printf x >> d/f");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "append", "/d/f", "+", "rm", "/d/gone");
    ok(s, "runs", "apply", "last");
    shell(s, "test $(stat -c %s d/f) = 4398046511106 && test $(stat -c %b d/f) -lt 1000 && tail -c "
             "2 d/f");
    assert_string_equal(sys_out(s), "x+");
    ok(s, "runs", "undo", "last");
    shell(s, "test $(stat -c %s d/gone) = 4398046511104 && test $(stat -c %b d/gone) -lt 1000");
}

/* 1,000 bytes far apart: a page of the host each, and not a block of the store. */
static void bytes_far_apart_take_pages_when_a_run_is_applied(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d && truncate -s 130G d/old");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "spread", "/d/new", "1000", "131072", "spread",
           "/d/old", "1000", "131072");
    ok(s, "runs", "apply", "last");
    shell(s, "for f in d/new d/old; do test $(stat -c %b $f) -ge 1000 && "
             "test $(stat -c %b $f) -le 10000 && test $(head -c 131072000 $f | tr -d '\\0' | "
             "wc -c) = 1000 || exit 1; done; test $(stat -c %s d/new) = 130940929");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "rm", "/d/new");
    ok(s, "runs", "apply", "last");
    ok(s, "runs", "undo", "last");
    shell(s, "test $(stat -c %b d/new) -ge 1000 && test $(stat -c %b d/new) -le 10000");
}

static void what_an_interrupted_apply_left_is_kept(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d && printf old > d/f && printf left > d/.cis-apply");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "write", "/d/f", "new");
    ok(s, "runs", "apply", "last");
    host_is(s, "d/f", "new");
    host_is(s, "d/.cis-apply", NULL);
    char id[27], ref[64];
    last_run(s, id);
    snprintf(ref, sizeof ref, "applied/%s-1", id);
    ok(s, "fs", "cat", "/kept/.cis-apply", "--branch", ref);
    assert_string_equal(sys_out(s), "left");
    shell(s, "mkdir d/.cis-apply-0");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "write", "/d/f", "newer");
    assert_exit(s, 4, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "an interrupted apply");
}

static void a_folder_that_comes_makes_no_symlink_of_the_users_lead_out(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir out d && ln -s x/../../out d/l");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "mkdir", "/d/x");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "conflict: l");
    shell(s, "test ! -e d/x");
    shell(s, "mkdir e e/b e/b/c && ln -s b/c e/a && ln -s a/../../out e/l && test ! -e e/l");
    run_ok(s, "--dir", here(s, "e::/e:cow"), TOOL, "rm", "/e/a", "mkdir", "/e/a");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    shell(s, "test -L e/a");
}

static void text_below_a_folder_that_was_renamed_is_compared(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir -p d/a/in && printf 'one\ntwo\n' > d/a/in/f");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "mv", "/d/a", "/d/b", "write", "/d/b/in/f",
           "one\nEVIL\n");
    ok(s, "runs", "diff", "last", "--text");
    assert_contains(sys_out(s), "--- a/a/in/f\n+++ b/b/in/f\n");
    assert_contains(sys_out(s), "-two\n+EVIL\n");
    assert_lacks(sys_out(s), "binary");
}

static void an_apply_goes_through_no_symlink_to_its_folder(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir -p p/sub out && printf old > p/sub/f");
    run_ok(s, "--dir", here(s, "p/sub::/d:cow"), TOOL, "write", "/d/made", "m");
    shell(s, "mv p/sub p/was && ln -s ../out p/sub");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "a symlink is in its path now");
    shell(s, "test -z \"$(ls out)\"");
    shell(s, "rm p/sub && mv p/was p/sub");
    ok(s, "runs", "apply", "last");
    shell(s, "mv p/sub p/was && cp -r p/was out/sub && mv p q && ln -s out p");
    assert_exit(s, 8, cis(s, "runs", "undo", "last"));
    shell(s, "test -e out/sub/made && rm p && mv q p && mv p/was p/sub");
    ok(s, "runs", "undo", "last");
    host_is(s, "p/sub/made", NULL);
}

/* What a record says is done to a folder of the host. */
static void nothing_but_apply_and_undo_writes_to_the_record_of_an_apply(void **state)
{
    struct sys *s = *state;
    char id[27], ref[64], work[80], cow[4500], fork[80], fresh[4500];
    shell(s, "mkdir d e && printf old > d/f");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "write", "/d/f", "new");
    ok(s, "runs", "apply", "last");
    last_run(s, id);
    snprintf(ref, sizeof ref, "applied/%s-1", id);
    snprintf(work, sizeof work, "/w=%s", ref);
    snprintf(cow, sizeof cow, "%s/e::/e:cow=%s", s->home, ref);
    snprintf(fresh, sizeof fresh, "%s/e::/e:cow=applied/%s-2", s->home, id);
    snprintf(fork, sizeof fork, "fork=applied/%s-3", id);
    assert_exit(s, 125, cis(s, "run", "--workspace", work, TOOL, "write", "/w/steps", "x"));
    assert_contains(sys_err(s), "the record of an apply");
    assert_exit(s, 125, cis(s, "run", "--dir", cow, TOOL, "write", "/e/steps", "x"));
    assert_contains(sys_err(s), "the record of an apply");
    assert_exit(s, 2, cis(s, "run", "--dir", fresh, TOOL, "write", "/e/steps", "x"));
    assert_contains(sys_err(s), "are made by cis");
    assert_exit(s, 2, cis(s, "run", "-w", "--tx", fork, TOOL, "write", "/workspace/a", "x"));
    assert_contains(sys_err(s), "are made by cis");
    assert_exit(s, 2, cis(s, "fs", "fork", "applied/mine"));
    assert_exit(s, 2, cis(s, "fs", "switch", "--create", "conflict/mine"));
    assert_exit(s, 4, cis(s, "fs", "switch", ref));
    assert_exit(s, 4, cis(s, "fs", "put", here(s, "d/f"), "/steps", "--branch", ref));
    assert_exit(s, 4, cis(s, "fs", "rm", "/steps", "--branch", ref));
    ok(s, "fs", "put", here(s, "d/f"), "/f");
    assert_exit(s, 4, cis(s, "fs", "merge", "main", "--branch", ref));
    assert_exit(s, 4, cis(s, "fs", "undo", "--branch", ref));
    assert_exit(s, 4, cis(s, "fs", "rollback", "main", "--branch", ref));
    ok(s, "fs", "ls", "--branch", ref); /* it is read like any branch */
    ok(s, "fs", "fork", "copy", "--from", ref);
    ok(s, "runs", "undo", id);
    host_is(s, "d/f", "old");
}

#ifdef FS_POSTGRES /* an SQLite store does not open after another program wrote to it */
static void a_record_that_something_else_wrote_to_is_not_used(void **state)
{
    struct sys *s = *state;
    const struct world *w = *state;
    shell(s, "mkdir d && printf old > d/f");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "write", "/d/f", "new");
    ok(s, "runs", "apply", "last");
    const char *name = strstr(w->url, "@/");
    assert_non_null(name);
    char *db = strndup(name + 2, strcspn(name + 2, "?"));
    pgcluster_run(cluster, db, "update cis.epoch set kind = 'run' where kind = 'apply'");
    free(db);
    assert_exit(s, 7, cis(s, "runs", "undo", "last"));
    assert_contains(sys_err(s), "something other than an apply wrote to this record");
    host_is(s, "d/f", "new");
}
#endif

static void symlinks_that_lead_out_are_shown_and_made_when_asked_for(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir -p d/sub && printf f > d/f");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "symlink", "../f", "/d/sub/in", "symlink",
           "../../outside", "/d/sub/out", "symlink", "sub/../../outside", "/d/over", "write",
           "/d/made", "m");
    ok(s, "runs", "diff", "last");
    assert_string_equal(sys_out(s), "A made  1\nA over -> sub/../../outside\nA sub/in -> ../f\n"
                                    "A sub/out -> ../../outside\n");
    ok(s, "runs", "diff", "last", "--json");
    assert_contains(sys_out(s), "\"target\":\"../../outside\"");
    for (int i = 0; i < 2; i++) {
        const char *how = i == 0 ? "--dry-run" : "--force";
        assert_exit(s, 8, cis(s, "runs", "apply", "last", how));
        assert_contains(sys_err(s), "conflict: sub/out: a symlink that leads out of the folder, to "
                                    "../../outside");
        assert_contains(sys_err(s), "conflict: over: ");
        assert_contains(sys_err(s), "symlinks that lead out of the folder: 2");
        host_is(s, "d/made", NULL);
    }
    ok(s, "runs", "apply", "last", "--outward-links");
    host_is(s, "d/made", "m");
    shell(s, "test $(readlink d/sub/out) = ../../outside && test $(readlink d/sub/in) = ../f");
    ok(s, "runs", "undo", "last");
    shell(s, "test ! -L d/sub/out");
    ok(s, "runs", "redo", "last");
    shell(s, "test -L d/sub/out");
}

/* Where it is now it may stand for something else than where the user put it. */
static void an_absolute_symlink_that_a_run_moves_is_shown_and_refused(void **state)
{
    struct sys *s = *state;
    static const char *const moves[][3] = {
        {"/d/far", "/d/sub/near",
         "conflict: sub/near/abs: a symlink that leads out of the folder from where it is moved "
         "to, to /etc/passwd\n"},
        {"/d/own", "/d/sub/own",
         "conflict: sub/own: a symlink that leads out of the folder, to /etc/group\n"}};
    shell(s, "mkdir -p d/far d/sub && ln -s /etc/passwd d/far/abs && ln -s /etc/group d/own");
    char *before = tree_of(s, "d");
    for (int i = 0; i < 2; i++) {
        run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "mv", moves[i][0], moves[i][1]);
        assert_exit(s, 8, cis(s, "runs", "apply", "last", "--force"));
        assert_contains(sys_err(s), moves[i][2]);
        char *still = tree_of(s, "d");
        assert_string_equal(still, before);
        ok(s, "runs", "apply", "last", "--outward-links");
        shell(s, i == 0 ? "test $(readlink d/sub/near/abs) = /etc/passwd && test ! -e d/far"
                        : "test $(readlink d/sub/own) = /etc/group && test ! -L d/own");
        ok(s, "runs", "undo", "last");
        free(still);
        still = tree_of(s, "d");
        assert_string_equal(still, before);
        free(still);
    }
    free(before);
}

/* What a run did not make itself may lead out by what the run moved. */
static void symlinks_that_come_to_lead_out_are_shown_and_refused(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir -p d/a/b/c/e d/deep/er d/p/q d/far/in && ln -s ../../../etc/x d/a/b/c/l && "
             "ln -s ../../../../etc/y d/a/b/c/e/m && ln -s p/q/../../f d/through && "
             "ln -s ../outside d/own && ln -s /etc d/abs && ln -s ../a d/far/near && touch d/f");
    char *before = tree_of(s, "d");
    static const char *const moves[][2] = {
        {"/d/a/b/c", "/d/c"}, /* itself, and one that a folder in it has */
        {"/d/a", "/d/z"},     /* as deep as before */
        {"/d/a/b", "/d/b"},   /* the folder around it */
    };
    static const char *const told[][2] = {
        {"conflict: c/l: a symlink that leads out of the folder from where it is moved to, to "
         "../../../etc/x\n",
         "conflict: c/e/m: "},
        {NULL, NULL},
        {"conflict: b/c/l: ", "conflict: b/c/e/m: "}};
    for (int i = 0; i < 3; i++) {
        char from[64], to[64];
        snprintf(from, sizeof from, "%s", moves[i][0]);
        snprintf(to, sizeof to, "%s", moves[i][1]);
        run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "mv", from, to, "write", "/d/made", "m");
        assert_exit(s, told[i][0] != NULL ? 8 : 0, cis(s, "runs", "apply", "last", "--dry-run"));
        if (told[i][0] == NULL) {
            continue;
        }
        assert_contains(sys_err(s), told[i][0]);
        assert_contains(sys_err(s), told[i][1]);
        assert_contains(
            sys_err(s),
            "symlinks that lead out of the folder: 2"); /* and not the user's own ones */
        assert_exit(s, 8, cis(s, "runs", "apply", "last", "--force"));
        char *still = tree_of(s, "d");
        assert_string_equal(still, before);
        free(still);
    }
    ok(s, "runs", "apply", "last", "--outward-links");
    shell(s, "test -L d/b/c/l && test -f d/made");
    ok(s, "runs", "undo", "last");
    ok(s, "runs", "redo", "last");
    shell(s, "test -L d/b/c/l && test -f d/made");
    ok(s, "runs", "undo", "last");
    char *undone = tree_of(s, "d");
    assert_string_equal(undone, before);
    free(undone);
    /* A folder that the user's own symlink goes through is one elsewhere. */
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "rmdir", "/d/p/q", "symlink", "../far",
           "/d/p/q");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "conflict: through: a symlink that leads out of the folder by what "
                                "it leads through, to p/q/../../f\n");
    assert_contains(sys_err(s), "symlinks that lead out of the folder: 1");
    /* A symlink of the run through one of the user's that leads out. */
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "symlink", "abs/passwd", "/d/mine");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "conflict: mine: ");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "symlink", "far/near/b", "/d/fine");
    ok(s, "runs", "apply", "last");
    free(before);
}

static void refused_and_unchanged(struct sys *s, const char *why)
{
    char *before = tree_of(s, "d");
    for (int i = 0; i < 3; i++) {
        static const char *const how[] = {"--dry-run", "--force", "--json"};
        assert_int_not_equal(cis(s, "runs", "apply", "last", how[i]), 0);
        assert_contains(sys_err(s), why);
        char *after = tree_of(s, "d");
        assert_string_equal(after, before);
        free(after);
    }
    free(before);
}

/* A run moves a folder, and does one thing more that the host does not take. */
static void what_the_host_would_refuse_is_found_before_anything_moves(void **state)
{
    struct sys *s = *state;
    const char *spec = here(s, "d::/d:cow");
    shell(s, "mkdir -p d/proj/src d/sub/fifo d/m && touch d/proj/src/main.c d/f && "
             "mkfifo d/pipe d/sub/fifo/p");
    run_ok(s, "--dir", spec, TOOL, "mv", "/d/proj", "/d/zproj", "write", "/d/f", "new", "truncate",
           "/d/big", "288230376151711744");
    if (sys_exec(s, (const char *const[]){"/bin/sh", "-c", "truncate -s 288230376151711744 $0",
                                          here(s, "probe"), NULL}) != 0) {
        refused_and_unchanged(
            s, "big: nothing was done, because the folder's filesystem cannot hold a "
               "file of this size: File too large");
    }
    run_ok(s, "--dir", spec, TOOL, "mv", "/d/proj", "/d/zproj", "write", "/d/pipe", "new");
    refused_and_unchanged(s, "pipe: something is there that is not a file");
    run_ok(s, "--dir", spec, TOOL, "mv", "/d/proj", "/d/zproj", "rmdir", "/d/sub/fifo");
    refused_and_unchanged(s, "sub/fifo: it contains something that is not a file");
    run_ok(s, "--dir", spec, TOOL, "mv", "/d/proj", "/d/zproj", "write", "/d/sub/new", "x");
    if (sys_exec(s, (const char *const[]){"/bin/sh", "-c", "chattr +i $0", here(s, "d/sub"),
                                          NULL}) == 0) {
        refused_and_unchanged(s, "sub/new: nothing was done, because its folder cannot be changed");
        shell(s, "chattr -i d/sub");
    } else {
        note_not_tested("immutable", __func__, "no file can be made immutable");
    }
    run_ok(s, "--dir", spec, TOOL, "mv", "/d/proj", "/d/zproj", "write", "/d/m/new", "x");
    if (can_mount(s)) {
        shell(s, "export CIS TOOL; unshare -m sh -c 'mount -t tmpfs none d/m || exit 2; "
                 "! $CIS runs apply last 2>err || exit 1; "
                 "grep \"m/new: nothing was done\" err >/dev/null && test -d d/proj'");
    } else {
        note_not_tested("namespace", __func__, "no file system of one's own can be mounted");
    }
    ok(s, "runs", "apply", "last");
    host_is(s, "d/m/new", "x");
    shell(s, "test -d d/zproj/src");
}

static void a_full_disk_leaves_the_folder_as_it_was(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d");
    if (!can_mount(s)) {
        not_tested("namespace", "no file system of one's own can be mounted");
    }
    shell(s, "export CIS TOOL; unshare -m sh -c 'mount -t tmpfs -o size=1m none d || exit 1; "
             "mkdir -p d/proj/src && echo main > d/proj/src/main.c && echo old > d/f && "
             "$CIS run --dir d::/d:cow $TOOL mv /d/proj /d/zproj write /d/f new "
             "fill /d/n1 400000 fill /d/n2 400000 fill /d/n3 400000 || exit 2; "
             "find d | sort > before; ! $CIS runs apply last 2>err >out || exit 3; "
             "find d | sort > after; cmp before after || exit 4; "
             "grep \"the changes made so far were taken back\" err >/dev/null || exit 5; "
             "test \"$(cat d/f)\" = old || exit 6; "
             "mount -o remount,size=4m d && $CIS runs apply last >out || exit 7; "
             "test \"$(cat d/f)\" = new && test -f d/zproj/src/main.c && test -f d/n3 || exit 8'");
}

static void extended_attributes_stay_or_are_named(void **state)
{
    struct sys *s = *state;
    char value[16] = "";
    shell(s, "mkdir d && printf 1 > d/f && printf 2 > d/gone");
    assert_int_equal(setxattr(here(s, "d/f"), "user.note", "kept", 4, 0), 0);
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "write", "/d/f", "changed");
    ok(s, "runs", "apply", "last");
    assert_int_equal(getxattr(here(s, "d/f"), "user.note", value, sizeof value), 4);
    host_is(s, "d/f", "changed");
    ok(s, "runs", "undo", "last");
    host_is(s, "d/f", "1");
    assert_int_equal(getxattr(here(s, "d/f"), "user.note", value, sizeof value), 4);
    assert_memory_equal(value, "kept", 4);
    assert_int_equal(setxattr(here(s, "d/gone"), "user.note", "lost", 4, 0), 0);
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "rm", "/d/gone");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "conflict: gone: would go, and its attribute user.note could not");
    host_is(s, "d/gone", "2");
    ok(s, "runs", "apply", "last", "--force");
    host_is(s, "d/gone", NULL);
    shell(s, "mkdir d/dir");
    assert_int_equal(setxattr(here(s, "d/dir"), "user.note", "lost", 4, 0), 0);
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "rmdir", "/d/dir");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "conflict: dir: would go, and its attribute user.note could not");
    shell(s, "test -d d/dir");
}

static void a_folder_whose_owner_would_be_lost_is_named(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir -p d/plain d/in/handed && chmod 2755 d/in");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "rmdir", "/d/plain", "rmdir", "/d/in/handed");
    ok(s, "runs", "apply", "last"); /* of the user's own, which an undo makes again as they were */
    ok(s, "runs", "undo", "last");
    if (geteuid() != 0) {
        print_message("the rest needs root\n");
        return;
    }
    shell(s,
          "chown 1000:1000 d/plain && chgrp 1001 d/in && rmdir d/in/handed && mkdir d/in/handed");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "rmdir", "/d/in/handed");
    ok(s, "runs", "apply", "last"); /* its group is the outer folder's, then as now */
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "rmdir", "/d/plain");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "conflict: plain: would go, and its owner 1000:1000 could not");
    shell(s, "test \"$(stat -c %u d/plain)\" = 1000");
    ok(s, "runs", "apply", "last", "--force");
    shell(s, "test ! -e d/plain");
}

static void the_umask_holds_for_what_a_program_makes(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d c && printf x > c/f && chmod 664 c/f && umask 077 && "
             "$CIS run --dir d::/d $TOOL write /d/f 1 mkdir /d/sub && "
             "$CIS run --dir c::/c:cow $TOOL write /c/f 2 write /c/g 3 mkdir /c/sub && "
             "$CIS runs apply last >/dev/null && "
             "stat -c '%a %n' d/f d/sub c/f c/g c/sub");
    assert_string_equal(sys_out(s), "600 d/f\n700 d/sub\n664 c/f\n600 c/g\n700 c/sub\n");
    ok(s, "runs", "diff", "last");
    assert_string_equal(sys_out(s), "");
    shell(s, "umask 077 && $CIS run -w $TOOL write /workspace/f 1 mkdir /workspace/sub && "
             "$CIS fs stat /f /sub --json");
    assert_contains(sys_out(s), "\"mode\":\"0600\"");
    assert_contains(sys_out(s), "\"mode\":\"0700\"");
}

/* What a cow branch keeps of the names that its runs saw is not a guest's to write, and no
 * workspace becomes a cow branch by a guest. */
static void a_guest_cannot_forge_what_a_cow_branch_keeps(void **state)
{
    struct sys *s = *state;
    static const char *const tries[][4] = {
        {"symlink", "100644 4 - 1-1", "/w/.cis-union/sforged", NULL},
        {"symlink", "/", "/w/.cis-union-lower", NULL},
        {"write", "/w/.cis-union/fforged", "x", NULL},
        {"mkdir", "/w/.cis-union-x", NULL, NULL},
        {"mv", "/w/.cis-union", "/w/away", NULL},
        {"mv", "/w/g", "/w/.cis-union/g", NULL},
        {"link", "/w/g", "/w/.cis-union/g", NULL},
        {"rm", "/w/.cis-union-lower", NULL, NULL},
    };
    shell(s, "mkdir d && printf old > d/f");
    run_ok(s, "--dir", here(s, "d::/d:cow=w"), TOOL, "write", "/d/f", "new", "write", "/d/g", "g");
    for (size_t branch = 0; branch < 2; branch++) {
        for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
            assert_exit(s, 10,
                        cis(s, "run", "--workspace", branch == 0 ? "/w=w" : "/w=main", TOOL,
                            tries[i][0], tries[i][1], tries[i][2], tries[i][3]));
        }
    }
    shell(s, "export CIS TOOL; set -e; H=$(printf /f | sha256sum | cut -c1-48); printf mine > d/f; "
             "! $CIS run --workspace /w=w $TOOL rm /w/.cis-union/s$H 2>/dev/null; "
             "$CIS run --workspace /w=w $TOOL write /w/more x");
    run_ok(s, "--dir", here(s, "d::/d:cow=w"), TOOL, "read", "/d/more", "write", "/d/h", "h");
    assert_exit(s, 8, cis(s, "runs", "apply", "last"));
    assert_contains(sys_err(s), "conflict: f: changed in the folder since");
    host_is(s, "d/f", "mine");
}

/* Nor is it the user's tools' to write: an archive or a folder of somebody else may hold such
 * names. Nothing of them is kept, whether the branch was a cow branch before or not. */
static void what_a_cow_branch_keeps_is_not_brought_in_from_outside(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir d && printf old > d/f && mkdir -p in/.cis-union deep/sub && printf x > in/f && "
             "ln -s '100644 4 - 1-1' in/.cis-union/sforged && ln -s / deep/sub/.cis-union-lower && "
             "tar -C in -cf in.tar . && tar -C deep -cf deep.tar . && "
             "tar -C in --transform 's,.cis-union/sforged,g,' -cf named.tar f .cis-union/sforged");
    run_ok(s, "--dir", here(s, "d::/d:cow=w"), TOOL, "write", "/d/f", "new", "write", "/d/g", "g");
    static const char *const branches[] = {"w", "main"};
    for (size_t i = 0; i < sizeof branches / sizeof *branches; i++) {
        const char *b = branches[i];
        static const char said[] = ".cis-union are reserved for the branches of cow mounts";
        ok(s, "fs", "mkdir", "--branch", b, "/mine");
#define REFUSED(...)                                                                               \
    do {                                                                                           \
        assert_exit(s, 4, cis(s, "fs", __VA_ARGS__));                                              \
        assert_contains(sys_err(s), said);                                                         \
    } while (0)
        REFUSED("import", "--branch", b, here(s, "in.tar"));
        REFUSED("import", "--branch", b, here(s, "deep.tar"));
        REFUSED("put", "--branch", b, "-r", here(s, "in"), "/brought");
        REFUSED("put", "--branch", b, "-r", here(s, "deep/sub"), "/brought");
        REFUSED("put", "--branch", b, here(s, "in/f"), "/.cis-union-f");
        REFUSED("put", "--branch", b, here(s, "in/f"), "/mine/.cis-union");
        REFUSED("mkdir", "--branch", b, "/.cis-union-x");
        REFUSED("mv", "--branch", b, "/mine", "/.cis-union-mine");
        REFUSED("ln", "--branch", b, "-s", "/", "/mine/.cis-union-lower");
#undef REFUSED
        ok(s, "fs", "find", "--branch", b, "/");
        assert_null(strstr(sys_out(s), "forged"));
        assert_null(strstr(sys_out(s), "brought"));
    }
    assert_exit(s, 4, cis(s, "fs", "mv", "--branch", "w", "/.cis-union", "/away"));
    assert_exit(s, 4, cis(s, "fs", "mv", "--branch", "w", "/mine", "/.cis-union/mine"));
    assert_exit(s, 4, cis(s, "fs", "put", "--branch", "w", here(s, "in/f"), "/.cis-union/ff"));
    ok(s, "fs", "import", "--branch", "main", here(s, "named.tar"));
    ok(s, "fs", "rm", "--branch", "w", "-r", "/mine");
    /* "main" has become no cow branch, and "w" still is one. */
    assert_exit(s, 2, cis(s, "run", "--dir", here(s, "d::/d:cow=main"), TOOL, "read", "/d/f"));
    run_ok(s, "--dir", here(s, "d::/d:cow=w"), TOOL, "write", "/d/f", "newer");
    ok(s, "runs", "apply", "last");
    host_is(s, "d/f", "newer");
}

static void an_outward_symlink_is_replaced_by_a_folder(void **state)
{
    struct sys *s = *state;
    shell(s,
          "mkdir d other && printf o > other/f && ln -s $PWD/other d/abs && ln -s ../other d/up");
    char *before = tree_of(s, "d");
    run_ok(s, "--dir", here(s, "d::/d:cow"), TOOL, "rm", "/d/abs", "mkdir", "/d/abs", "write",
           "/d/abs/f", "x", "rm", "/d/up", "mkdir", "/d/up", "write", "/d/up/f", "y");
    ok(s, "runs", "apply", "last");
    host_is(s, "d/abs/f", "x");
    host_is(s, "d/up/f", "y");
    host_is(s, "other/f", "o");
    shell(s, "test ! -L d/abs && test ! -L d/up");
    ok(s, "runs", "undo", "last");
    char *undone = tree_of(s, "d");
    assert_string_equal(undone, before);
    host_is(s, "other/f", "o");
    free(before);
    free(undone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_cow_mount_shows_and_applies_its_own_run_only),
        TEST(what_a_backup_says_of_folders_changes_none),
        TEST(an_undo_says_which_folder_it_cannot_bring_back),
        TEST(what_was_undone_before_its_record_went_is_applied_again),
        TEST(a_restored_record_is_not_believed_when_the_folder_is_checked),
        TEST(a_run_on_two_cow_mounts_is_undone_on_both),
        TEST(only_the_second_cow_mount_was_changed),
        TEST(the_first_run_of_a_cow_branch_is_undone_and_the_branch_goes_on),
        TEST(a_run_is_undone_below_what_later_runs_did_in_the_same_folders),
        TEST(a_folder_that_a_later_run_moved_is_left_where_it_is),
        TEST(a_run_that_moved_a_folder_is_not_undone_below_later_ones),
        TEST(a_run_that_changed_nothing_has_an_empty_diff),
        TEST(a_cow_mount_beside_a_workspace_is_named_by_its_commit),
        TEST(a_branch_that_was_rolled_back_keeps_every_run_to_itself),
        TEST(a_file_that_cannot_be_compared_does_not_end_the_list),
        TEST(what_a_guest_wrote_gets_no_set_id_bits),
        TEST(last_is_the_newest_run_in_every_command),
        TEST(an_apply_is_taken_back_and_made_again),
        TEST(a_redo_looks_at_its_folders_before_anything_is_changed),
        TEST(a_folder_whose_path_is_not_utf8_is_refused_before_anything_is_done),
        TEST(a_run_that_was_applied_to_many_folders_is_undone_in_all_of_them),
        TEST(what_was_changed_since_an_apply_is_not_taken_back),
        TEST(a_forced_apply_is_taken_back_to_what_the_user_had),
        TEST(a_folder_that_was_moved_in_since_stays),
        TEST(a_renamed_folder_that_is_another_one_now_stays),
        TEST(edits_with_old_times_are_seen),
        TEST(edits_after_a_fork_or_a_rollback_are_seen),
        TEST(runs_of_one_branch_are_applied_one_after_the_other),
        TEST(files_with_several_names_stay_one_file),
        TEST(what_a_run_wrote_stays_when_the_file_loses_its_other_names),
        TEST(files_with_several_names_are_redone_again_and_again),
        TEST(names_outside_the_folder_keep_their_file),
        TEST(holes_stay_holes_when_a_run_is_applied),
        TEST(bytes_far_apart_take_pages_when_a_run_is_applied),
        TEST(what_an_interrupted_apply_left_is_kept),
        TEST(a_folder_that_comes_makes_no_symlink_of_the_users_lead_out),
        TEST(text_below_a_folder_that_was_renamed_is_compared),
        TEST(an_apply_goes_through_no_symlink_to_its_folder),
        TEST(nothing_but_apply_and_undo_writes_to_the_record_of_an_apply),
#ifdef FS_POSTGRES
        TEST(a_record_that_something_else_wrote_to_is_not_used),
#endif
        TEST(symlinks_that_lead_out_are_shown_and_made_when_asked_for),
        TEST(an_absolute_symlink_that_a_run_moves_is_shown_and_refused),
        TEST(symlinks_that_come_to_lead_out_are_shown_and_refused),
        TEST(what_the_host_would_refuse_is_found_before_anything_moves),
        TEST(a_full_disk_leaves_the_folder_as_it_was),
        TEST(a_guest_cannot_forge_what_a_cow_branch_keeps),
        TEST(what_a_cow_branch_keeps_is_not_brought_in_from_outside),
        TEST(an_outward_symlink_is_replaced_by_a_folder),
        TEST(extended_attributes_stay_or_are_named),
        TEST(a_folder_whose_owner_would_be_lost_is_named),
        TEST(the_umask_holds_for_what_a_program_makes),
    };
    return STORED_MAIN("runs_apply", tests);
}
