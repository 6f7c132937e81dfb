/* `cis run` and `cis runs` as a user has them. The same tests run on SQLite and on a private
 * PostgreSQL server. */
#include "stored.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include "history/maintain.h"
#include "store/postgres/postgres.h"
#include "store/sqlite/sqlite.h"
#include "store/calls.h"

#define TOOL CIS_GUESTS_DIR "/tool.wasm"

#define run(s, ...) cis((s), "run", __VA_ARGS__)
#define run_ok(s, ...) assert_exit((s), 0, run((s), __VA_ARGS__))
#define ok(s, ...) assert_exit((s), 0, cis((s), __VA_ARGS__))

/* In the test's folder; $CIS and $TOOL name the two programs. */
static int shell(struct sys *s, const char *script)
{
    char line[16384];
    snprintf(line, sizeof line, "cd %s || exit 99; CIS=%s; TOOL=%s; %s", s->home, CIS_PROGRAM, TOOL,
             script);
    return sys_exec(s, (const char *const[]){"/bin/sh", "-c", line, NULL});
}

static void file_is(struct sys *s, const char *path, const char *text)
{
    ok(s, "fs", "cat", path);
    assert_string_equal(sys_out(s), text);
}

/* A file of the test's folder. */
static char *here(struct sys *s, const char *name)
{
    size_t len = strlen(s->home) + strlen(name) + 2;
    char *path = malloc(len);
    snprintf(path, len, "%s/%s", s->home, name);
    return path;
}

static void host_is(struct sys *s, const char *name, const char *text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf have = CIS_BUF_INIT(1u << 20);
    char *path = here(s, name);
    struct cis_error err;
    cis_code code = cis_file_read(path, &have, &err);
    assert_int_equal(code, text != NULL ? CIS_OK : CIS_E_NOTFOUND);
    if (text != NULL) {
        assert_string_equal(cis_buf_cstr(&have), text);
    }
    free(path);
}

static json_t *out_json(const struct sys *s)
{
    json_error_t why;
    json_t *root = json_loads(sys_out(s), 0, &why);
    if (root == NULL) {
        fail_msg("not JSON: %s: %.2000s", why.text, sys_out(s));
    }
    assert_int_equal(json_integer_value(json_object_get(root, "schema")), 1);
    return root;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

/* The newest run; free it. */
static char *last_run(struct sys *s)
{
    ok(s, "runs", "list", "--limit", "1", "--json");
    json_t *root = out_json(s);
    char *id = strdup(text_of(json_array_get(json_object_get(root, "runs"), 0), "id"));
    json_decref(root);
    return id;
}

static void last_status(struct sys *s, const char *status, int exit_code)
{
    ok(s, "runs", "list", "--limit", "1", "--json");
    json_t *root = out_json(s), *row = json_array_get(json_object_get(root, "runs"), 0);
    assert_string_equal(text_of(row, "status"), status);
    assert_int_equal(json_integer_value(json_object_get(row, "exit_code")), exit_code);
    json_decref(root);
}

/* ---- happy ---- */

static void a_program_gets_its_words_and_its_code_is_ours(void **state)
{
    struct sys *s = *state;
    run_ok(s, TOOL, "args", "-x", "--json", "--", "--dir", "");
    assert_string_equal(sys_out(s), "-x\n--json\n--\n--dir\n\n");
    assert_exit(s, 7, run(s, TOOL, "say", "x", "exit", "7"));
    assert_string_equal(sys_out(s), "x\n");
    assert_string_equal(sys_err(s), "");
    assert_exit(s, 255, run(s, TOOL, "exit", "-1"));
    last_status(s, "failed", 255);
    assert_exit(s, 124, run(s, "--time", "200ms", TOOL, "say", "first", ",", "loop"));
    assert_contains(sys_err(s), "time limit of 200 ms");
    assert_exit(s, 124, run(s, "--max-execution-time", "200", TOOL, "sleep", "60000"));
    last_status(s, "limit", 124);
    assert_exit(s, 134, run(s, TOOL, "trap"));
    last_status(s, "trap", 134);
    assert_exit(s, 125, run(s, "--fuel", "1000", TOOL, "loop"));
    last_status(s, "limit", 125);
    run_ok(s, "--env", "ONE=1=2", "--env", "LC_ALL", "--env", "NOT_SET_AT_ALL", TOOL, "env", "ONE",
           "env", "LC_ALL", "env", "NOT_SET_AT_ALL", "env", "CIS_HOME");
    assert_string_equal(sys_out(s), "1=2\nC.UTF-8\n(not set)\n(not set)\n");
}

static void modules_come_as_text_from_stdin_and_as_reactors(void **state)
{
    struct sys *s = *state;
    static const char adder[] =
        "(module (func (export \"_initialize\")) (func (export \"add\") (param i32 i32) (result "
        "i32) (i32.add (local.get 0) (local.get 1))))";
    char *wat = sys_wat(s, "add.wat", adder);
    run_ok(s, wat);
    run_ok(s, "--invoke", "add", wat, "40", "2");
    assert_string_equal(sys_out(s), "42\n");
    assert_exit(s, 2, run(s, "--invoke", "add", wat));
    assert_contains(sys_err(s), "add(i32, i32) -> i32: takes 2 numbers, 0 given");
    assert_exit(s, 126, run(s, "--invoke", "sub", wat));
    s->input = cis_bytes_of(adder, sizeof adder - 1);
    run_ok(s, "--invoke", "add", "-", "1", "2");
    assert_string_equal(sys_out(s), "3\n");
    s->input = cis_bytes_of(NULL, 0);
    free(wat);
}

static void streams_are_those_of_the_command(void **state)
{
    struct sys *s = *state;
    s->input = cis_bytes_of("one\ntwo", 7);
    run_ok(s, TOOL, "cat");
    assert_string_equal(sys_out(s), "one\ntwo");
    s->input = cis_bytes_of(NULL, 0);
    char *file = strdup(sys_file(s, "in", "from a file", 11));
    run_ok(s, "--stdin", file, TOOL, "cat", "isatty");
    assert_string_equal(sys_out(s), "from a file000\n");
    free(file);
    run_ok(s, TOOL, "say", "a", "flush", "complain", "b");
    assert_string_equal(sys_out(s), "a\n");
    assert_string_equal(sys_err(s), "b\n");
    /* A reader that goes away is an error of the write, and no end of the process by a signal. */
    assert_exit(s, 0,
                shell(s, "($CIS run $TOOL spam 50000000; echo \"code $?\" >&2) | head -c 10"));
    assert_contains(sys_err(s), "Broken pipe");
    assert_contains(sys_err(s), "code 10");
    assert_exit(s, 0, shell(s, "$CIS run $TOOL spam 1 >&-; echo code $? > code; cat code"));
    assert_contains(sys_out(s), "code 10");
    run_ok(s, "--json", TOOL, "say", "kept", "complain", "too");
    json_t *root = out_json(s);
    assert_string_equal(text_of(root, "stdout"), "kept\n");
    assert_string_equal(text_of(root, "stderr"), "too\n");
    json_decref(root);
}

static void terminals_are_told_from_pipes(void **state)
{
    struct sys *s = *state;
    int master;
    char out[200] = "";
    size_t n = 0;
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("CIS_HOME", s->home, 1);
        putenv((char *)(uintptr_t)s->env[0]);
        execl(CIS_PROGRAM, CIS_PROGRAM, "run", TOOL, "isatty", NULL);
        _exit(99);
    }
    for (ssize_t got;
         n < sizeof out - 1 && (got = read(master, out + n, sizeof out - 1 - n)) > 0;) {
        n += (size_t)got;
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_string_equal(out, "111\r\n");
    close(master);
}

static void a_workspace_is_one_commit_at_the_end(void **state)
{
    struct sys *s = *state;
    run_ok(s, "-w", TOOL, "write", "/workspace/f", "one");
    file_is(s, "f", "one");
    ok(s, "tenant", "create", "ada");
    run_ok(s, "--tenant", "ada", "--workspace", "/workspace", TOOL, "write", "/workspace/f",
           "hers");
    file_is(s, "f", "one");
    ok(s, "fs", "cat", "f", "--tenant", "ada");
    assert_string_equal(sys_out(s), "hers");
    run_ok(s, "-w/data", TOOL, "append", "/data/f", "+two", "read", "/data/f");
    assert_string_equal(sys_out(s), "one+two");
    assert_exit(s, 3, run(s, "-w", TOOL, "write", "/workspace/f", "lost", "exit", "3"));
    assert_contains(sys_err(s), "its changes were discarded");
    file_is(s, "f", "one+two");
    assert_exit(s, 3,
                run(s, "-w", "--tx", "always", TOOL, "write", "/workspace/f", "kept", "exit", "3"));
    file_is(s, "f", "kept");
    run_ok(s, "-w", "--tx", "discard", TOOL, "write", "/workspace/f", "lost");
    file_is(s, "f", "kept");
    run_ok(s, "-w", "--tx", "fork=try", TOOL, "write", "/workspace/f", "tried");
    file_is(s, "f", "kept");
    char *forked = last_run(s);
    run_ok(s, "--workspace", "/w=try", TOOL, "read", "/w/f");
    assert_string_equal(sys_out(s), "tried");
    ok(s, "runs", "diff", forked);
    assert_string_equal(sys_out(s), "M f  4 -> 5\n");
    ok(s, "runs", "undo", forked); /* on the branch that it made */
    ok(s, "fs", "cat", "f", "--branch", "try");
    assert_string_equal(sys_out(s), "kept");
    free(forked);
    ok(s, "fs", "snapshot", "before");
    run_ok(s, "-w", TOOL, "write", "/workspace/f", "after");
    run_ok(s, "--snapshot", "before", TOOL, "read", "/workspace/f");
    assert_string_equal(sys_out(s), "kept");
    assert_exit(s, 10, run(s, "--snapshot", "before", TOOL, "write", "/workspace/f", "x"));
    assert_contains(sys_err(s), "Read-only file system");
    run_ok(s, "-w", "--workspace", "/old=before", TOOL, "read", "/old/f", "read", "/workspace/f");
    assert_string_equal(sys_out(s), "keptafter");
    assert_exit(s, 10, run(s, "-w", "--read-only", TOOL, "rm", "/workspace/f"));
    ok(s, "fs", "fsck", "--data");
}

static void a_run_is_shown_undone_and_brought_back(void **state)
{
    struct sys *s = *state;
    run_ok(s, "-w", TOOL, "write", "/workspace/f", "one", "mkdir", "/workspace/d", "write",
           "/workspace/d/g", "g");
    run_ok(s, "-w", TOOL, "write", "/workspace/f", "two", "rm", "/workspace/d/g", "write",
           "/workspace/h", "h");
    char *id = last_run(s);
    run_ok(s, "-w", TOOL, "write", "/workspace/later", "x");
    ok(s, "runs", "diff", id);
    assert_string_equal(sys_out(s), "D d/g  1\nM f  3 -> 3\nA h  1\n");
    ok(s, "runs", "diff", id, "--text");
    assert_contains(sys_out(s), "-one\n");
    assert_contains(sys_out(s), "+two\n");
    ok(s, "runs", "diff", id, "--json");
    json_t *root = out_json(s);
    assert_int_equal(json_array_size(json_object_get(root, "changes")), 3);
    json_decref(root);
    ok(s, "runs", "show", id);
    assert_contains(sys_out(s), "\"modified\":1");
    assert_contains(sys_out(s), "/workspace/d/g");
    ok(s, "runs", "undo", id, "--dry-run");
    file_is(s, "f", "two");
    ok(s, "runs", "undo", id);
    file_is(s, "f", "one");
    file_is(s, "d/g", "g");
    file_is(s, "later", "x");
    assert_exit(s, 2, cis(s, "runs", "undo", id));
    ok(s, "runs", "redo", id);
    file_is(s, "f", "two");
    assert_exit(s, 2, cis(s, "runs", "redo", id));
    ok(s, "runs", "undo", id);
    ok(s, "runs", "redo", id);
    file_is(s, "h", "h");
    ok(s, "fs", "undo", id); /* the same by the other command */
    assert_contains(sys_out(s), id);
    assert_exit(s, 2, cis(s, "runs", "undo", id));
    ok(s, "fs", "redo");
    assert_exit(s, 2, cis(s, "runs", "redo", id));
    run_ok(s, "-w", TOOL, "write", "/workspace/f", "three");
    assert_exit(s, 8, cis(s, "runs", "undo", id));
    assert_contains(sys_err(s), "conflict: f:");
    file_is(s, "f", "three");
    file_is(s, "h", "h");
    run_ok(s, TOOL, "say", "nothing");
    char *idle = last_run(s);
    ok(s, "runs", "diff", idle); /* nothing, and that is an answer */
    assert_string_equal(sys_out(s), "");
    assert_exit(s, 3, cis(s, "runs", "undo", idle));
    assert_exit(s, 3, cis(s, "runs", "diff", "00000000000000000000000000"));
    free(idle);
    free(id);
}

static void a_folder_is_changed_beside_and_then_brought_there(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0,
                shell(s, "mkdir -p d/sub/deep d/old && cd d && printf below > a && printf gone > g "
                         "&& printf x > sub/deep/f && printf y > old/inside && chmod 640 a && "
                         "printf linked > one && ln one two && sleep 0.05"));
    char *spec = here(s, "d::/d:cow"), *folder = here(s, "d");
    run_ok(s, "--dir", spec, TOOL, "write", "/d/a", "above and longer", "rm", "/d/g", "write",
           "/d/sub/new", "n", "mv", "/d/old", "/d/sub/moved", "append", "/d/one", "+more",
           "symlink", "sub/new", "/d/link", "mkdir", "/d/made");
    char *id = last_run(s);
    host_is(s, "d/a", "below");
    host_is(s, "d/g", "gone");
    host_is(s, "d/sub/new", NULL);
    static const char changes[] =
        "M a  5 -> 16\nD g  4\nA link -> sub/new\nA made/\nD old/\nM one  6 -> 11\n"
        "R old -> sub/moved/\nA sub/new  1\nM two  6 -> 11\n";
    ok(s, "runs", "diff", id);
    assert_string_equal(sys_out(s), changes);
    ok(s, "runs", "diff", id, "--text");
    assert_contains(sys_out(s), "--- a/a\n+++ b/a\n");
    ok(s, "runs", "apply", id, "--dry-run");
    assert_string_equal(sys_out(s), changes);
    host_is(s, "d/a", "below");
    ok(s, "runs", "undo", id); /* counts what was shown, not the records that the branch has */
    assert_string_equal(sys_out(s), "9 changes\n");
    ok(s, "runs", "redo", id);
    assert_string_equal(sys_out(s), "9 changes\n");
    ok(s, "runs", "apply", id);
    assert_string_equal(sys_out(s), changes);
    host_is(s, "d/a", "above and longer");
    host_is(s, "d/g", NULL);
    host_is(s, "d/sub/new", "n");
    host_is(s, "d/sub/moved/inside", "y");
    host_is(s, "d/old/inside", NULL);
    host_is(s, "d/two", "linked+more");
    assert_exit(s, 0,
                shell(s, "ls -A d d/made && stat -c %a d/a && readlink d/link && "
                         "stat -c %h d/one"));
    assert_contains(sys_out(s), "d:\na\nlink\nmade\none\nsub\ntwo\n");
    assert_contains(sys_out(s), "640\nsub/new\n2\n");
    ok(s, "runs", "apply", id);
    assert_string_equal(sys_out(s), "nothing to do\n");
    ok(s, "runs", "diff", id);
    assert_string_equal(sys_out(s), "");
    free(id);
    free(spec);
    free(folder);
}

static void what_a_guest_changed_has_no_set_id_bits_in_any_mount(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0,
                shell(s,
                      "mkdir a rw cow && printf tool > a/tool && printf tool > a/same && "
                      "chmod 6755 a/* && cp -p a/* rw && cp -p a/* cow && $CIS fs put -r a /a && "
                      "$CIS run -w --dir rw::/rw --dir cow::/cow:cow=kept $TOOL append "
                      "/workspace/a/tool x , append /rw/tool x , append /cow/tool x"));
    assert_exit(s, 0,
                shell(s, "(ls -l rw; $CIS fs ls -l /a; $CIS fs ls -l --branch kept /) | "
                         "awk '/tool|same/ {print $1, $NF}'"));
    assert_string_equal(sys_out(s), "-rwsr-sr-x same\n-rwxr-xr-x tool\n"
                                    "-rwsr-sr-x same\n-rwxr-xr-x tool\n"
                                    "-rwxr-xr-x tool\n");
    /* What users do to their own files is theirs. */
    assert_exit(s, 0,
                shell(s, "printf new | $CIS fs put - /a/same && "
                         "$CIS fs ls -l /a | awk '/same/ {print $1, $5}'"));
    assert_string_equal(sys_out(s), "-rwsr-sr-x 3\n");
}

static void what_was_changed_in_the_folder_since_is_not_overwritten(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0,
                shell(s, "mkdir -p d/sub && printf a > d/a && printf b > d/sub/b && printf c > "
                         "d/c && sleep 0.05"));
    char *spec = here(s, "d::/d:cow=work"), *copy = here(s, "copy");
    run_ok(s, "--dir", spec, TOOL, "write", "/d/a", "new", "rm", "/d/sub/b", "rmdir", "/d/sub",
           "write", "/d/made", "x");
    run_ok(s, "--dir", spec, TOOL, "append", "/d/a", "er"); /* on the same branch */
    char *id = last_run(s);
    assert_exit(s, 0,
                shell(s, "sleep 0.05; printf mine > d/a; printf mine > d/sub/other; printf "
                         "mine > d/made; printf free > d/c"));
    assert_exit(s, 8, cis(s, "runs", "apply", id));
    assert_contains(sys_err(s), "conflict: a: changed in the folder since");
    assert_contains(sys_err(s), "conflict: sub/other: made in the folder since");
    assert_contains(sys_err(s), "conflict: made: ");
    assert_lacks(sys_err(s), "conflict: c:");
    host_is(s, "d/a", "mine");
    host_is(s, "d/sub/b", "b");
    ok(s, "runs", "apply", id, "--force");
    host_is(s, "d/a", "newer");
    host_is(s, "d/made", "x");
    host_is(s, "d/sub/other", NULL);
    host_is(s, "d/c", "free");
    assert_exit(s, 0, shell(s, "mkdir copy && printf b > copy/a"));
    assert_exit(s, 8, cis(s, "runs", "apply", id, "--to", copy));
    ok(s, "runs", "apply", id, "--to", copy, "--force");
    host_is(s, "copy/a", "newer");
    ok(s, "runs", "undo", id); /* on the branch: the second run's part goes */
    run_ok(s, "--dir", spec, TOOL, "read", "/d/a");
    assert_string_equal(sys_out(s), "new");
    free(id);
    free(spec);
    free(copy);
}

/* A run that cannot be reported does not begin; one whose report fails later says what it kept. */
static void a_report_that_cannot_be_written_is_refused_before_the_run(void **state)
{
    struct sys *s = *state;
    char *lost = here(s, "nowhere/report.json"), *node = here(s, "node");
    assert_exit(s, 125, run(s, "--report", lost, "-w", TOOL, "write", "/workspace/x", "y"));
    assert_contains(sys_err(s), "nowhere/report.json");
    assert_exit(s, 125, run(s, "--report", s->home, "-w", TOOL, "write", "/workspace/x", "y"));
    assert_exit(s, 3, cis(s, "fs", "cat", "/x"));
    ok(s, "runs", "list");
    assert_lacks(sys_out(s), "tool");
    if (mknod(node, S_IFCHR | 0600, makedev(1, 7)) == 0) { /* /dev/full, made by root alone */
        assert_exit(s, 125, run(s, "--report", node, "-w", TOOL, "write", "/workspace/x", "y"));
        assert_contains(sys_err(s), "its changes are kept in branch main");
        ok(s, "fs", "cat", "/x");
        assert_exit(s, 5, run(s, "--report", node, TOOL, "exit", "5"));
    }
    free(lost);
    free(node);
}

static void a_report_is_written_and_says_what_was_mounted(void **state)
{
    struct sys *s = *state;
    char *file = here(s, "report.json"), *spec = here(s, "d:ro");
    assert_exit(s, 0, shell(s, "mkdir d"));
    assert_exit(s, 5,
                run(s, "--report", file, "-w", "--dir", spec, TOOL, "write", "/workspace/x", "y",
                    "exit", "5"));
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_file_read(file, &text, err));
    json_t *root = json_loadb((const char *)text.ptr, text.len, 0, NULL);
    assert_string_equal(text_of(root, "status"), "failed");
    assert_int_equal(json_integer_value(json_object_get(root, "guest_exit_code")), 5);
    const json_t *mounts = json_object_get(root, "mounts");
    assert_int_equal(json_array_size(mounts), 2);
    assert_string_equal(text_of(json_array_get(mounts, 0), "kind"), "workspace");
    assert_string_equal(text_of(json_array_get(mounts, 1), "kind"), "host");
    assert_true(json_is_true(json_object_get(json_array_get(mounts, 1), "read_only")));
    const json_t *changes = json_object_get(root, "changes");
    assert_true(json_is_false(json_object_get(changes, "committed")));
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(changes, "files"), "added")), 1);
    json_decref(root);
    free(file);
    free(spec);
}

#ifdef FS_POSTGRES
/* A bit of every piece of content. */
static void damage_content(struct sys *s)
{
    const struct world *w = (const struct world *)s;
    const char *name = strstr(w->url, "@/");
    assert_non_null(name);
    char *db = strndup(name + 2, strcspn(name + 2, "?"));
    pgcluster_run(cluster, db,
                  "update cis.chunk set data = set_byte(data, length(data) / 2, "
                  "get_byte(data, length(data) / 2) # 1)");
    free(db);
}
#else
/* A bit in every 1,000 bytes of content. */
static void damage_content(struct sys *s)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/store/tenants/default.chunks", s->home);
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    for (off_t at = 500; at < st.st_size; at += 1000) {
        uint8_t byte = 0;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
}
#endif

static void damaged_content_is_named_and_repaired_by_writing_it_again(void **state)
{
    struct sys *s = *state;
    enum { SMALL = 60000, LARGE = 8 << 20 };
    CIS_CLEANUP(cis_freep) char *text = cis_alloc(LARGE + 1);
    uint32_t random = 1;
    for (size_t i = 0; i < LARGE; i++) { /* it does not pack to nothing */
        random = (uint32_t)(random * UINT64_C(1664525) + 1013904223);
        text[i] = (char)('0' + (random >> 26));
    }
    char *folder = here(s, "in"), *small = here(s, "in/small"), *large = here(s, "in/large"),
         *report = here(s, "report");
    assert_exit(s, 0, shell(s, "mkdir in"));
    assert_ok(cis_file_write(large, cis_bytes_of(text, LARGE), 0600, err));
    text[SMALL] = 0;
    assert_ok(cis_file_write(small, cis_bytes_of(text, SMALL), 0600, err));
    ok(s, "fs", "put", "-r", folder, "/in");
    damage_content(s);
    assert_exit(s, 7, cis(s, "fs", "fsck", "--data"));
    assert_contains(sys_out(s), "is damaged");
    assert_contains(sys_out(s), "cis fs put FILE PATH");
    assert_exit(s, 7, cis(s, "fs", "cat", "/in/small"));
    run_ok(s, "--report", report, "-w", TOOL, "write", "/workspace/third", text);
    CIS_CLEANUP(cis_buf_done) struct cis_buf told = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_file_read(report, &told, err));
    assert_contains(cis_buf_cstr(&told), "\"store_repaired\":1,");
    file_is(s, "in/small", text);
    assert_exit(s, 7, cis(s, "fs", "fsck", "--data"));
    ok(s, "fs", "put", "-r", folder, "/again");
    assert_contains(sys_err(s), "128 damaged pieces of the store were repaired");
    ok(s, "fs", "fsck", "--data");
    assert_lacks(sys_out(s), "cis fs put");
    ok(s, "fs", "put", "-r", folder, "/whole");
    assert_lacks(sys_err(s), "repaired");
    free(folder);
    free(small);
    free(large);
    free(report);
}

static void a_listening_socket_is_handed_on(void **state)
{
    struct sys *s = *state;
    run_ok(s, "--listen", "127.0.0.1:0", "--listen", "[::1]:0", TOOL, "say", "x");
    assert_exit(s, 2, run(s, "--listen", "example.com:80", TOOL));
    assert_exit(s, 2, run(s, "--listen", "127.0.0.1", TOOL));
    assert_exit(s, 2, run(s, "--listen", "127.0.0.1:70000", TOOL));
}

static void clocks_and_random_numbers_are_what_was_said(void **state)
{
    struct sys *s = *state;
    run_ok(s, "--fixed-clock", "2001-09-09T01:46:40.25Z", TOOL, "time");
    assert_string_equal(sys_out(s), "1000000000.250000000\n");
    run_ok(s, "--fixed-clock", "2001-09-09T03:46:40+02:00", TOOL, "time");
    assert_string_equal(sys_out(s), "1000000000.000000000\n");
    run_ok(s, "--fixed-clock", "1000000000000000001", TOOL, "time");
    assert_string_equal(sys_out(s), "1000000000.000000001\n");
    run_ok(s, "--seed", "7", TOOL, "random");
    char *first = strdup(sys_out(s));
    run_ok(s, "--seed", "0700000000000000000000000000000000000000000000000000000000000000", TOOL,
           "random");
    assert_string_equal(sys_out(s), first);
    run_ok(s, "--seed", "8", TOOL, "random");
    assert_string_not_equal(sys_out(s), first);
    free(first);
    assert_exit(s, 10, run(s, "--no-random", TOOL, "random"));
    assert_exit(s, 2, run(s, "--fixed-clock", "yesterday", TOOL, "time"));
    assert_exit(s, 2, run(s, "--seed", "abc", TOOL, "time"));
}

/* ---- wrong ---- */

static void what_cannot_be_run_says_why(void **state)
{
    struct sys *s = *state;
    char *none = here(s, "none"), *dir = here(s, "folder"),
         *junk = strdup(sys_file(s, "junk", "x", 1));
    assert_exit(s, 0, shell(s, "mkdir folder"));
    struct {
        int exit;
        const char *text;
        const char *args[8];
    } rows[] = {
        {2, "is missing", {NULL}},
        {2, "unknown option --nope", {"--nope", TOOL}},
        {126, "none", {none}},
        {126, "folder", {dir}},
        {126, "junk", {junk}},
        {126, "none", {"--dir", none, TOOL}},
        {126, "junk", {"--dir", junk, TOOL}},
        {2, "not HOST", {"--dir", "::/x", TOOL}},
        {2, "not HOST", {"--dir", "/tmp::", TOOL}},
        {2, "not HOST", {"--dir", "", TOOL}},
        {2, "valid name for a branch", {"--dir", "/tmp:cow=", TOOL}},
        {2, "valid name for a branch", {"--dir", "/tmp:cow=a b", TOOL}},
        {2, "one of :ro, :rw and :cow", {"--dir", "/tmp:ro:rw", TOOL}},
        {2, "without \"..\"", {"--dir", "../x", TOOL}},
        {126, "/tmp:wr", {"--dir", "/tmp:wr", TOOL}},
        {2, "this place already", {"--dir", "/etc::/x", "--dir", "/var::/x", TOOL}},
        {2, "this place already", {"-w", "--workspace", "/workspace", TOOL}},
        {2, "writes to", {"-w", "--workspace", "/other", TOOL}},
        {2, "not GUEST[=BRANCH]", {"--workspace", "=main", TOOL}},
        {2, "without \"..\"", {"--workspace", "../up", TOOL}},
        {2, "not GUEST[=BRANCH]", {"--workspace", "/w=", TOOL}},
        {126, "nope", {"--workspace", "/w=nope", TOOL}},
        {126, "nope", {"--snapshot", "nope", TOOL}},
        {2, "there is no workspace", {"--tx", "fork=x", TOOL}},
        {2, "not one of", {"--tx", "maybe", TOOL}},
        {2, "not a size", {"--memory", "much", TOOL}},
        {2, "--stdin", {"--stdin", none, TOOL}},
        {2, "not NAME=VALUE", {"--env", "=x", TOOL}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *argv[12] = {CIS_PROGRAM, "run"};
        memcpy(argv + 2, rows[i].args, sizeof rows[i].args);
        int exit = sys_exec(s, argv);
        if (exit != rows[i].exit || strstr(sys_err(s), rows[i].text) == NULL) {
            fail_msg("row %zu: exit %d, not %d: %s", i, exit, rows[i].exit, sys_err(s));
        }
        assert_string_equal(sys_out(s), "");
    }
    free(none);
    free(dir);
    free(junk);
}

static void unknown_imports_are_named_each(void **state)
{
    struct sys *s = *state;
    char *wat = sys_wat(s, "odd.wat",
                        "(module (import \"env\" \"one\" (func (param i32 i64) (result f32))) "
                        "(import \"odd\" \"two\" (func)) (func (export \"_start\")))");
    assert_exit(s, 126, run(s, wat));
    assert_contains(sys_err(s), "  env.one(i32, i64) -> f32\n");
    assert_contains(sys_err(s), "  odd.two()\n");
    run_ok(s, "--trap-unknown-imports", wat);
    free(wat);
}

/* ---- ended from outside ---- */

static void ctrl_c_cancels_and_keeps_nothing(void **state)
{
    struct sys *s = *state;
    run_ok(s, "-w", TOOL, "write", "/workspace/f", "before");
    static const char *const waits[] = {"loop", "sleep 60000", "cat"};
    for (size_t i = 0; i < 3; i++) {
        char line[1000];
        snprintf(line, sizeof line,
                 "rm -f p out; mkfifo p; sleep 60 > p & k=$!; $CIS run -w $TOOL write /workspace/f "
                 "during say ready flush %s < p > out & p=$!; until grep -q ready "
                 "out 2>/dev/null; do sleep 0.05; done; kill -INT $p; wait $p; echo code "
                 "$?; kill $k",
                 waits[i]);
        assert_exit(s, 0, shell(s, line));
        assert_contains(sys_out(s), "code 130");
        file_is(s, "f", "before");
        last_status(s, "cancelled", 130);
    }
}

static uint64_t stored_bytes(cis_store *store)
{
    struct cis_tenant t;
    assert_ok(cis_store_tenant_get(store, CIS_STR("default"), &t, NULL, err));
    return t.stored;
}

static bool drop_pin(void *self, const struct cis_fs_pin *pin)
{
    uint64_t *ids = self;
    assert_true(ids[0] < 31);
    ids[++ids[0]] = pin->id;
    return true;
}

static bool count_row(void *self, const struct cis_fs_key *key, const struct cis_fs_dirent *dirent,
                      const struct cis_fs_inode *inode, const struct cis_fs_extent *extent)
{
    (void)key;
    (void)dirent;
    (void)inode;
    (void)extent;
    ++*(uint64_t *)self;
    return true;
}

/* Pins of the dead lapse after half an hour, and chunks are young for ten minutes: both are made to
 * have passed. */
static void collect(cis_store *store)
{
    uint64_t ids[32] = {0}, ignored;
    struct cis_history h = {store, CIS_STR("default"), NULL, 0};
    struct cis_retention keep = {.runs = 100, .age_ms = 0, .grace_ms = 1};
    struct cis_gc_counts counts;
    assert_ok(cis_store_pins(store, h.tenant, drop_pin, ids, NULL, err));
    for (uint64_t i = 1; i <= ids[0]; i++) {
        assert_ok(cis_store_pin(store, h.tenant, &(struct cis_fs_pin_request){{1, 0}, ids[i], 0},
                                &ignored, NULL, err));
    }
    usleep(5000);
    assert_ok(cis_history_gc(&h, &keep, &counts, err));
}

static uint64_t rows_of(cis_store *store)
{
    struct cis_fs_ref ref;
    uint64_t n = 0;
    assert_ok(cis_store_ref_get(store, CIS_STR("default"), CIS_STR("main"), &ref, NULL, err));
    for (int table = CIS_FS_DIRENTS; table <= CIS_FS_EXTENTS; table++) {
        assert_ok(cis_store_scan(
            store, CIS_STR("default"),
            &(struct cis_fs_scan_query){(enum cis_fs_table)table, ref.head.branch, NULL, 0},
            count_row, &n, NULL, err));
    }
    return n;
}

/* Killed while it writes more than is held in memory, while it waits, and about its commit; on the
 * workspace and on a folder that is mounted as cow. */
static void a_killed_run_leaves_the_head_and_nothing_else(void **state)
{
    struct world *w = *state;
    struct sys *s = &w->sys;
    unsigned seed = test_seed();
    cis_store *store = NULL;
    run_ok(s, "-w", TOOL, "write", "/workspace/f", "before");
    assert_exit(s, 0, shell(s, "mkdir d && printf below > d/a"));
    char *place = here(s, "store");
    if (cluster != NULL) {
        assert_ok(cis_store_postgres_open(w->url, NULL, &store, NULL, err));
    } else {
        assert_ok(cis_store_sqlite_open(place, &store, err));
    }
    collect(store);
    uint64_t stored = stored_bytes(store), rows = rows_of(store);
    ok(s, "fs", "branches");
    char *branches = strdup(sys_out(s));
    for (int i = 0; i < 6; i++) {
        char line[1000];
        snprintf(
            line, sizeof line,
            "$CIS run -w --dir d::/d:cow $TOOL write /workspace/f during fill /workspace/big "
            "40000000 write /d/a above fill /d/big 20000000 %s >/dev/null & p=$!; sleep 0.%03d; "
            "kill -9 $p; wait $p; echo code $?",
            i < 5 ? "loop" : "sleep 60000", 50 + rand_r(&seed) % 900);
        assert_exit(s, 0, shell(s, line));
        assert_contains(sys_out(s), "code 137");
        file_is(s, "f", "before");
        ok(s, "fs", "branches");
        assert_string_equal(sys_out(s), branches);
    }
    collect(store);
    assert_int_equal(stored_bytes(store), stored);
    assert_int_equal(rows_of(store), rows);
    cis_store_close(store);
    ok(s, "fs", "fsck", "--data");
    free(branches);
    free(place);
}

static void runs_beside_each_other_end_as_they_should(void **state)
{
    struct sys *s = *state;
    run_ok(s, "-w", TOOL, "write", "/workspace/f", "base");
    assert_exit(s, 0,
                shell(s, "for i in 1 2 3 4 5 6 7 8; do $CIS run -w $TOOL write /workspace/g$i "
                         "x & done; wait"));
    ok(s, "fs", "ls");
    assert_string_equal(sys_out(s), "f\ng1\ng2\ng3\ng4\ng5\ng6\ng7\ng8\n");
    assert_exit(s, 0,
                shell(s,
                      "$CIS run -w $TOOL write /workspace/f slow say ready flush sleep 1500 > out "
                      "2> err & p=$!; until grep -q ready out; do sleep 0.05; done; "
                      " $CIS run -w $TOOL write /workspace/f quick; wait $p; echo code "
                      "$?; cat err"));
    assert_contains(sys_out(s), "code 125");
    assert_contains(sys_out(s), "kept as branch conflict/");
    file_is(s, "f", "quick");
    char *id = last_run(s), fork[64];
    ok(s, "runs", "list", "--json", "--limit", "2");
    json_t *root = out_json(s), *row;
    size_t i;
    json_array_foreach(json_object_get(root, "runs"), i, row)
    {
        if (strcmp(text_of(row, "status"), "conflict") == 0) {
            snprintf(fork, sizeof fork, "conflict/%s", text_of(row, "id"));
            ok(s, "runs", "diff", text_of(row, "id"));
            assert_contains(sys_out(s), "M f");
        }
    }
    json_decref(root);
    ok(s, "fs", "cat", "f", "--branch", fork);
    assert_string_equal(sys_out(s), "slow");
    free(id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_program_gets_its_words_and_its_code_is_ours),
        TEST(modules_come_as_text_from_stdin_and_as_reactors),
        TEST(streams_are_those_of_the_command),
        TEST(terminals_are_told_from_pipes),
        TEST(a_workspace_is_one_commit_at_the_end),
        TEST(a_run_is_shown_undone_and_brought_back),
        TEST(a_folder_is_changed_beside_and_then_brought_there),
        TEST(what_a_guest_changed_has_no_set_id_bits_in_any_mount),
        TEST(what_was_changed_in_the_folder_since_is_not_overwritten),
        TEST(a_report_is_written_and_says_what_was_mounted),
        TEST(a_report_that_cannot_be_written_is_refused_before_the_run),
        TEST(damaged_content_is_named_and_repaired_by_writing_it_again),
        TEST(a_listening_socket_is_handed_on),
        TEST(clocks_and_random_numbers_are_what_was_said),
        TEST(what_cannot_be_run_says_why),
        TEST(unknown_imports_are_named_each),
        TEST(ctrl_c_cancels_and_keeps_nothing),
        TEST(a_killed_run_leaves_the_head_and_nothing_else),
        TEST(runs_beside_each_other_end_as_they_should),
    };
    return STORED_MAIN("run", tests);
}
