/* `cis runs diff|apply|undo` beside other runs, and beside what a user does in the folder. The same
 * tests run on SQLite and on a private PostgreSQL server. */
#include "stored.h"

#include <jansson.h>
#include <sys/stat.h>

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

static void only_the_second_cow_mount_was_changed(void **state)
{
    struct sys *s = *state;
    shell(s, "mkdir a b");
    run_ok(s, "--dir", here(s, "a::/a:cow"), "--dir", here(s, "b::/b:cow"), TOOL, "write", "/b/f",
           "1");
    ok(s, "runs", "diff", "last");
    assert_string_equal(sys_out(s), "A f  1\n");
    assert_exit(s, 3, cis(s, "runs", "apply", "last", "--mount", "/a"));
    assert_contains(sys_err(s), "nothing of it was kept");
    ok(s, "runs", "apply", "last", "--mount", "/b");
    host_is(s, "b/f", "1");
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
    assert_contains(sys_err(s), "does not hold its commit");
    ok(s, "runs", "apply", two);
    host_is(s, "a/f", "two");
    ok(s, "runs", "diff", one, "--text");
    assert_contains(sys_out(s), "+one\n");
    ok(s, "runs", "diff", three, "--text");
    assert_contains(sys_out(s), "+three\n");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_cow_mount_shows_and_applies_its_own_run_only),
        TEST(only_the_second_cow_mount_was_changed),
        TEST(a_cow_mount_beside_a_workspace_is_named_by_its_commit),
        TEST(a_branch_that_was_rolled_back_keeps_every_run_to_itself),
        TEST(last_is_the_newest_run_in_every_command),
    };
    return STORED_MAIN("runs_apply", tests);
}
