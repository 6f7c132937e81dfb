/* One test for each exit code of `cis skill run` (docs/errors.md), and what a run leaves behind. */
#include "system/system.h"

#include <jansson.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "system/guests.h"

#define RUN(s, ...) cis(s, "skill", "run", "--wasm", __VA_ARGS__)
/* Writes a value of 100,000 bytes under k. */
#define GUEST_SET_LARGE                                                                            \
    "(module (import \"env\" \"memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"     \
    " (memory (export \"memory\") 4) (data (i32.const 16) \"k\")"                                  \
    " (func (export \"main\") (result i32) (drop (call $set (i32.const 16) (i32.const 1)"          \
    "  (i32.const 17) (i32.const 100000))) (i32.const 7)))"

static void runs_are(struct sys *s, size_t expected)
{
    size_t n = 0;
    assert_exit(s, 0, cis(s, "runs", "list"));
    for (const char *at = sys_out(s); (at = strchr(at, '\n')) != NULL; at++) {
        n++;
    }
    assert_int_equal(n, expected);
}

static void exit_0_a_run_that_went_well(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 0, RUN(s, set, "--json"));
    assert_contains(sys_out(s), "\"status\":\"ok\",\"code\":\"OK\",\"exit_code\":0");
    assert_contains(sys_out(s), "\"committed\":true");
    runs_are(s, 1);
    free(set);
}

static void exit_1_the_skill_reported_failure(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 1, RUN(s, set, "--method", "skill_fail", "--json"));
    assert_contains(sys_out(s), "\"status\":\"failed\",\"code\":\"FAILED\",\"exit_code\":1");
    assert_contains(sys_out(s), "\"skill_code\":-3");
    assert_contains(sys_out(s), "\"committed\":false");
    runs_are(s, 1);
    free(set);
}

static void exit_1_of_a_wasi_command_has_no_backtrace_and_is_an_exit_in_the_trace(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 1, RUN(s, CIS_GUESTS_DIR "/cat.wasm", "--input", "\"fail\"", "--trace", "host"));
    assert_contains(sys_err(s), "proc_exit(code=3) exit 3 [");
    assert_lacks(sys_err(s), "FAILED");
    assert_lacks(sys_err(s), "_start");
    assert_contains(sys_err(s), "WARN  file:cat: told to fail");
    assert_exit(s, 1, RUN(s, CIS_GUESTS_DIR "/cat.wasm", "--input", "\"fail\"", "--json"));
    assert_contains(sys_out(s), "\"skill_code\":3");
    assert_lacks(sys_out(s), "\"backtrace\"");
}

static void exit_2_wrong_usage_leaves_no_record(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 2, RUN(s, set, "--input", "nonsense"));
    assert_exit(s, 2, RUN(s, set, "--input", ""));
    assert_exit(s, 2, RUN(s, set, "--deny", "x=y"));
    assert_exit(s, 2, RUN(s, set, "--input", "@/nothere.json"));
    assert_contains(sys_err(s), "--input: /nothere.json: No such file");
    runs_are(s, 0);
    free(set);
}

/* What would be left of the grant cannot be said: nothing is taken away in silence. */
static void exit_2_a_part_of_a_wider_grant_is_not_denied_in_silence(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    static const char *const rows[][2] = {
        {"http=https://*.example.com", "http=https://a.example.com"},
        {"http=http://localhost", "http=http://127.0.0.1"},
        {"network", "http=https://a.example.com"},
        {"net=listen:0.0.0.0:80", "net=listen:127.0.0.1:80"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_exit(s, 2, RUN(s, set, "--allow", rows[i][0], "--deny", rows[i][1]));
        assert_contains(sys_err(s), rows[i][0]);
        assert_contains(sys_err(s), "also allows it");
    }
    runs_are(s, 0);
    free(set);
}

static void exit_3_what_cannot_be_loaded_leaves_no_record(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 3, RUN(s, "/nothere.wasm", "--json"));
    assert_contains(sys_out(s), "{\"schema\":1,\"error\":{\"code\":\"NOTFOUND\"");
    assert_exit(s, 3, cis(s, "skill", "run", "not-installed"));
    runs_are(s, 0);
    char *locked = sys_wat(s, "locked.wat", GUEST_SET);
    assert_int_equal(chmod(locked, 0), 0);
    if (access(locked, R_OK) != 0) { /* not for root */
        assert_exit(s, 3, RUN(s, locked));
        assert_contains(sys_err(s), "Permission denied");
    }
    free(locked);
    /* A module that loads and does not fit does leave one. */
    char *gpu = sys_wat(s, "gpu.wat",
                        "(module (import \"env\" \"gpu\" (func (param i32) (result i64))) (func"
                        " (export \"main\") (result i32) (i32.const 0)))");
    assert_exit(s, 3, RUN(s, gpu, "--json"));
    assert_contains(sys_out(s), "\"status\":\"error\",\"code\":\"IMPORT\",\"exit_code\":3");
    assert_contains(sys_err(s), "env.gpu of type (i32) -> i64");
    runs_are(s, 1);
    free(gpu);
}

static void exit_4_a_commit_over_the_quota_keeps_nothing_and_names_it(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "large.wat", GUEST_SET_LARGE);
    s->env[0] = "CIS_LIMITS_MEMORY_QUOTA=1000";
    assert_exit(s, 4, RUN(s, set));
    assert_string_equal(sys_out(s), ""); /* what was not kept is not told as a result */
    assert_contains(sys_err(s), "the quota is 1000");
    assert_exit(s, 4, RUN(s, set, "--json"));
    assert_contains(sys_out(s), "\"status\":\"quota\",\"code\":\"QUOTA\",\"exit_code\":4");
    assert_contains(sys_out(s), "\"committed\":false,\"memory_set\":0");
    assert_contains(sys_out(s), "\"result\":7");
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "large"));
    runs_are(s, 2);
    s->env[0] = NULL;
    assert_exit(s, 0, RUN(s, set));
    free(set);
}

static void exit_5_a_trap_keeps_nothing(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 5, RUN(s, set, "--method", "skill_trap", "--json"));
    assert_contains(sys_out(s), "\"status\":\"trap\",\"code\":\"TRAP\",\"exit_code\":5");
    assert_contains(sys_out(s), "\"backtrace\":");
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "set"));
    runs_are(s, 1);
    free(set);
}

/* Each limit: its name, what was configured, what was reached, in the unit of docs/report.md. */
static void exit_6_every_limit_says_which_and_how_much(void **state)
{
    struct sys *s = *state;
    char *loop = sys_wat(s, "loop.wat", GUEST_LOOP), *echo = sys_wat(s, "echo.wat", GUEST_ECHO);
    char *big = sys_wat(s, "big.wat",
                        "(module (memory (export \"memory\") 100) (func (export \"main\") (result"
                        " i32) (i32.const 0)))");
    assert_exit(s, 6, RUN(s, loop, "--time", "70ms", "--json"));
    assert_contains(sys_out(s), "\"limit_hit\":{\"limit\":\"time\",\"configured\":70,\"reached\":");
    assert_exit(s, 6, RUN(s, loop, "--fuel", "5000", "--json"));
    assert_contains(sys_out(s), "{\"limit\":\"fuel\",\"configured\":5000,\"reached\":5000}");
    assert_exit(s, 6, RUN(s, echo, "--input", "\"0123456789\"", "--output", "8", "--json"));
    assert_contains(sys_out(s), "{\"limit\":\"output\",\"configured\":8,\"reached\":12}");
    assert_exit(s, 6, RUN(s, big, "--memory", "1MiB", "--json"));
    assert_contains(sys_out(s),
                    "{\"limit\":\"memory\",\"configured\":1048576,\"reached\":6553600}");
    s->env[0] = "CIS_LIMITS_HOST_BYTES=1MiB";
    char *text = malloc(2000000);
    memset(text, '1', 2000000);
    s->input = cis_bytes_of(text, 2000000);
    assert_exit(s, 6, RUN(s, echo, "--input", "-", "--json"));
    assert_contains(sys_out(s), "\"limit_hit\":{\"limit\":\"host-bytes\",\"configured\":1048576,"
                                "\"reached\":");
    s->env[0] = NULL;
    s->input = cis_bytes_of(NULL, 0);
    runs_are(s, 5);
    free(text);
    free(loop);
    free(echo);
    free(big);
}

/* docs/report.md names every field that is written. */
static void every_field_of_the_report_is_documented(void **state)
{
    struct sys *s = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf page = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_file_read(CIS_TEST_SOURCE_DIR "/docs/report.md", &page, err));
    char *trap = sys_wat(s, "trap.wat", GUEST_TRAP), *add = sys_wat(s, "add.wat", GUEST_ADD);
    char *loop = sys_wat(s, "loop.wat", GUEST_LOOP);
    for (int i = 0; i < 3; i++) {
        if (i == 0) {
            assert_exit(s, 5, RUN(s, trap, "--json"));
        } else if (i == 1) {
            assert_exit(s, 0, RUN(s, add, "--method", "add", "--input", "[1,1]", "--json"));
        } else {
            assert_exit(s, 6, RUN(s, loop, "--fuel", "1000", "--json"));
        }
        json_t *report = json_loads(sys_out(s), 0, NULL);
        assert_non_null(report);
        const char *name;
        json_t *value;
        json_object_foreach(report, name, value)
        {
            char quoted[64];
            snprintf(quoted, sizeof quoted, "`%s`", name);
            assert_contains(cis_buf_cstr(&page), quoted);
        }
        json_decref(report);
    }
    free(trap);
    free(add);
    free(loop);
}

static void exit_7_a_store_that_cannot_be_written_or_read(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "large.wat", GUEST_SET_LARGE), script[9000];
    /* A disk that is full: no file may grow past a limit. */
    snprintf(script, sizeof script, "ulimit -f 100; exec '%s' skill run --wasm '%s'", CIS_PROGRAM,
             set);
    assert_exit(s, 7, sys_exec(s, (const char *const[]){"/bin/sh", "-c", script, NULL}));
    assert_string_equal(sys_out(s), "");
    assert_contains(sys_err(s), ".db");
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "large"));
    assert_exit(s, 0, RUN(s, set)); /* there is room again, and nothing is broken */
    assert_exit(s, 0, cis(s, "memory", "get", "k", "--skill", "large"));
    assert_int_equal(s->last.output.len, 100000);
    /* A database that is none. */
    char path[4400];
    snprintf(path, sizeof path, "%s/data/tenants/default.db-wal", s->home);
    unlink(path);
    sys_file(s, "data/tenants/default.db", "this is no database, by no means", 32);
    assert_exit(s, 7, RUN(s, set));
    assert_contains(sys_err(s), "default.db");
    /* A place where no folder can be. */
    char *file = sys_wat(s, "file", "");
    assert_exit(s, 7, RUN(s, set, "--home", file));
    assert_contains(sys_err(s), "Not a directory");
    free(file);
    free(set);
}

/* What the program writes to its terminal, until it has asked its question. */
static void await_question(int terminal)
{
    char text[4096] = "";
    size_t n = 0;
    while (n + 1 < sizeof text) {
        ssize_t got = read(terminal, text + n, sizeof text - 1 - n);
        if (got <= 0) {
            fail_msg("no question: %s", text);
        }
        n += (size_t)got;
        text[n] = 0;
        if (strstr(text, "[y/N] ") != NULL) {
            return;
        }
    }
    fail_msg("no question in %s", text);
}

/* A question waits for its answer as long as the user thinks; the world goes on meanwhile. */
static void exit_8_a_skill_that_was_installed_while_the_question_waited(void **state)
{
    struct sys *s = *state;
    char *folder = NULL, *home = NULL;
    assert_true(asprintf(&folder, "%s/new", s->home) > 0 &&
                asprintf(&home, "CIS_HOME=%s", s->home) > 0);
    assert_ok(cis_file_mkdirs(folder, 0700, err));
    static const char manifest[] = "[skill]\nname = \"new\"\nversion = \"1.0.0\"\n"
                                   "[permissions]\nai_call = true\n";
    sys_file(s, "new/skill.toml", manifest, sizeof manifest - 1);
    sys_file(s, "new/skill.wasm", GUEST_SET, sizeof GUEST_SET - 1); /* text is a module too */
    int terminal;
    pid_t pid = forkpty(&terminal, NULL, NULL, NULL);
    assert_true(pid >= 0);
    if (pid == 0) {
        putenv(home);
        execl(CIS_PROGRAM, "cis", "skill", "install", folder, (char *)NULL);
        _exit(99);
    }
    await_question(terminal);
    assert_exit(s, 0, cis(s, "skill", "install", folder, "--yes"));
    assert_int_equal(write(terminal, "y\n", 2), 2);
    char text[4096];
    while (read(terminal, text, sizeof text) > 0) { /* until it has ended and hung up */
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 8);
    close(terminal);
    assert_exit(s, 0, cis(s, "skill", "info", "new")); /* the other one's stands */
    free(home);
    free(folder);
}

static void exit_130_a_cancelled_run_keeps_nothing(void **state)
{
    struct sys *s = *state;
    char *guest = sys_wat(
        s, "set-loop.wat",
        "(module (import \"env\" \"memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"
        " (import \"env\" \"log\" (func $log (param i32 i32 i32 i32))) (memory (export \"memory\")"
        " 1) (data (i32.const 0) \"infogo\") (func (export \"main\") (result i32)"
        " (drop (call $set (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))"
        " (call $log (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 2))"
        " (loop $l (br $l)) (i32.const 0)))");
    char script[13000]; /* the log line says that the guest is in its loop */
    snprintf(
        script, sizeof script,
        "mkfifo '%s/e'; '%s' skill run --wasm '%s' --time 90s 2>'%s/e' & pid=$!; exec 3<'%s/e';"
        " read -r line <&3; kill -TERM $pid; wait $pid; echo \"$line, code $?\"",
        s->home, CIS_PROGRAM, guest, s->home, s->home);
    assert_exit(s, 0, sys_exec(s, (const char *const[]){"/bin/sh", "-c", script, NULL}));
    assert_string_equal(sys_out(s), "INFO  file:set-loop: go, code 130\n");
    assert_exit(s, 3, cis(s, "memory", "get", "i", "--skill", "set-loop"));
    assert_exit(s, 0, cis(s, "runs", "list"));
    assert_contains(sys_out(s), "cancelled");
    free(guest);
}

#define T(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(exit_0_a_run_that_went_well),
        T(exit_1_the_skill_reported_failure),
        T(exit_1_of_a_wasi_command_has_no_backtrace_and_is_an_exit_in_the_trace),
        T(exit_2_wrong_usage_leaves_no_record),
        T(exit_2_a_part_of_a_wider_grant_is_not_denied_in_silence),
        T(exit_3_what_cannot_be_loaded_leaves_no_record),
        T(exit_4_a_commit_over_the_quota_keeps_nothing_and_names_it),
        T(exit_5_a_trap_keeps_nothing),
        T(exit_6_every_limit_says_which_and_how_much),
        T(every_field_of_the_report_is_documented),
        T(exit_7_a_store_that_cannot_be_written_or_read),
        T(exit_8_a_skill_that_was_installed_while_the_question_waited),
        T(exit_130_a_cancelled_run_keeps_nothing),
    };
    return cmocka_run_group_tests_name("exit codes", tests, NULL, NULL);
}
