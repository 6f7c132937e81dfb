/* Programs through the public header alone: files, streams, arguments, limits, and that nothing is
 * there unless it was given. */
#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cis/cis.h"
#include "harness.h"
#include "base/file.h"

struct place {
    char *dir, *folder; /* the store, and a folder of the host with a file in it */
    cis_runtime *runtime;
    cis_module *tool;
};

static struct cis_buf tool_bytes = CIS_BUF_INIT(1u << 20);

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    struct cis_error err;
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    char path[256];
    p->dir = test_dir_new();
    p->folder = test_dir_new();
    snprintf(path, sizeof path, "%s/given", p->folder);
    config.data_dir = p->dir;
    config.compile_in_process = true;
    *state = p;
    return cis_file_write(path, cis_bytes_of("host text", 9), 0644, &err) == CIS_OK &&
                   cis_runtime_new(&config, &p->runtime, &err) == CIS_OK &&
                   cis_module_load(p->runtime, tool_bytes.ptr, tool_bytes.len, "tool", &p->tool,
                                   &err) == CIS_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    struct place *p = *state;
    struct cis_error err;
    cis_module_unref(p->tool);
    cis_runtime_free(p->runtime);
    int failed = cis_file_remove_tree(p->dir, &err) != CIS_OK ||
                 cis_file_remove_tree(p->folder, &err) != CIS_OK;
    free(p->dir);
    free(p->folder);
    free(p);
    return failed;
}

static cis_wasi_config *run_new(struct place *p)
{
    cis_wasi_config *run = NULL;
    assert_ok(cis_wasi_config_new(p->runtime, &run, err));
    return run;
}

/* Runs the tool with these words and ends it with this exit code. */
static cis_result *start(struct place *p, cis_wasi_config *run, int32_t expected,
                         const char *const *words)
{
    cis_result *result = NULL;
    int32_t code = -1;
    cis_wasi_config_arg(run, "tool");
    for (; *words != NULL; words++) {
        cis_wasi_config_arg(run, *words);
    }
    assert_ok(cis_wasi_run(run, p->tool, &result, err));
    if (!cis_result_exit(result, &code) || code != expected) {
        fail_msg("exit %d, not %d: %s%s", code, expected, cis_result_message(result),
                 cis_result_stream(result, 2, NULL, NULL));
    }
    return result;
}
#define START(p, run, code, ...) start(p, run, code, (const char *const[]){__VA_ARGS__, NULL})

static void assert_stream(const cis_result *result, int stream, const char *text)
{
    size_t len = 0;
    assert_string_equal(cis_result_stream(result, stream, &len, NULL), text);
    assert_int_equal(len, strlen(text));
}

/* ---- files ---- */

static bool in_workspace(struct place *p, const char *state, const char *path, const char *text)
{
    struct cis_workspace_options o = CIS_WORKSPACE_OPTIONS_INIT;
    cis_workspace *w = NULL;
    struct cis_error why;
    char got[64];
    size_t n = 0;
    o.state = state;
    cis_tenant *tenant = NULL;
    assert_ok(cis_tenant_open(p->runtime, NULL, &tenant, err));
    assert_ok(cis_workspace_open(tenant, &o, &w, err));
    cis_tenant_close(tenant);
    bool there = cis_workspace_read(w, path, 0, got, sizeof got, &n, &why) == CIS_OK;
    cis_workspace_close(w);
    return there && n == strlen(text) && memcmp(got, text, n) == 0;
}

static void what_a_program_writes_is_committed_when_it_ends_well(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    cis_wasi_config_workspace(run, "/w", NULL);
    cis_result *r = START(p, run, 0, "write", "/w/a", "text");
    assert_int_equal(cis_result_code(r), CIS_OK);
    assert_int_equal(strlen(cis_result_id(r)), 26);
    assert_string_equal(cis_result_branch(r), "main");
    assert_true(in_workspace(p, NULL, "a", "text"));
    assert_true(in_workspace(p, cis_result_id(r), "a", "text")); /* the run is a state */
    cis_result_free(r);
    cis_wasi_config_free(run);
}

static void other_exit_code_or_discard_leaves_nothing(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    cis_wasi_config_workspace(run, "/w", NULL);
    cis_wasi_config_tx(run, CIS_WASI_DISCARD, NULL);
    cis_result_free(START(p, run, 0, "write", "/w/a", "text"));
    cis_wasi_config_free(run);
    assert_false(in_workspace(p, NULL, "a", "text"));

    run = run_new(p);
    cis_wasi_config_workspace(run, "/w", NULL);
    cis_result *r = START(p, run, 1, "cat", "/w/a");
    assert_int_equal(cis_result_code(r), CIS_E_FAILED);
    assert_stream(r, 2, "/w/a: No such file or directory\n");
    cis_result_free(r);
    cis_wasi_config_free(run);
}

static void fork_takes_the_changes_and_leaves_the_branch(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    cis_wasi_config_workspace(run, "/w", NULL);
    cis_wasi_config_tx(run, CIS_WASI_FORK, "try");
    cis_result *r = START(p, run, 0, "write", "/w/a", "text");
    assert_string_equal(cis_result_branch(r), "try");
    assert_true(in_workspace(p, "try", "a", "text"));
    assert_false(in_workspace(p, NULL, "a", "text"));
    cis_result_free(r);
    cis_wasi_config_free(run);
}

static void folder_is_read_written_or_left_as_it_is(void **state)
{
    struct place *p = *state;
    char path[256];
    snprintf(path, sizeof path, "%s/new", p->folder);
    static const enum cis_dir_mode modes[] = {CIS_DIR_RO, CIS_DIR_COW, CIS_DIR_RW};
    for (int i = 0; i < 3; i++) {
        cis_wasi_config *run = run_new(p);
        cis_wasi_config_dir(run, p->folder, "/d", modes[i],
                            modes[i] == CIS_DIR_COW ? "copy" : NULL);
        cis_result_free(START(p, run, modes[i] == CIS_DIR_RO, "write", "/d/new", "x"));
        cis_wasi_config_free(run);
        assert_int_equal(access(path, F_OK), modes[i] == CIS_DIR_RW ? 0 : -1);
        run = run_new(p);
        cis_wasi_config_dir(run, p->folder, "/d", modes[i],
                            modes[i] == CIS_DIR_COW ? "copy" : NULL);
        cis_result *r = START(p, run, 0, "cat", "/d/given");
        assert_stream(r, 1, "host text");
        cis_result_free(r);
        cis_wasi_config_free(run);
    }
    assert_true(in_workspace(p, "copy", "new", "x"));
}

static void state_and_read_only_mounts_refuse_changes(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    cis_wasi_config_workspace(run, "/w", NULL);
    cis_result *r = START(p, run, 0, "write", "/w/a", "old");
    cis_wasi_config_free(run);
    run = run_new(p);
    cis_wasi_config_workspace(run, "/w", NULL);
    cis_wasi_config_state(run, "/old", cis_result_id(r));
    cis_result_free(START(p, run, 1, "write", "/old/a", "new"));
    cis_wasi_config_free(run);
    run = run_new(p);
    cis_wasi_config_workspace(run, "/w", NULL);
    cis_wasi_config_read_only(run);
    cis_result_free(START(p, run, 1, "write", "/w/a", "new"));
    cis_wasi_config_free(run);
    cis_result_free(r);
    assert_true(in_workspace(p, NULL, "a", "old"));
}

static void nothing_is_there_unless_it_was_given(void **state)
{
    struct place *p = *state;
    char path[256];
    snprintf(path, sizeof path, "%s/given", p->folder);
    cis_wasi_config *run = run_new(p);
    cis_result_free(START(p, run, 1, "cat", path));
    cis_wasi_config_free(run);
    run = run_new(p);
    cis_result_free(START(p, run, 1, "ls", "/"));
    cis_wasi_config_free(run);
    run = run_new(p);
    cis_result *r = START(p, run, 0, "env");
    assert_stream(r, 1, "");
    cis_result_free(r);
    cis_wasi_config_free(run);
    run = run_new(p);
    cis_wasi_config_no_random(run);
    cis_result_free(START(p, run, 1, "random", "4"));
    cis_wasi_config_free(run);
    run = run_new(p);
    cis_wasi_config_no_clock(run);
    cis_result_free(START(p, run, 1, "clock"));
    cis_wasi_config_free(run);
}

/* ---- streams, arguments, determinism ---- */

struct echo {
    const char *text;
    char got[64];
    size_t at, len;
};

static enum cis_code echo_read(void *self, void *buf, size_t len, size_t *out_n,
                               struct cis_error *why)
{
    struct echo *e = self;
    (void)why;
    *out_n = e->text[e->at] != 0 && len != 0;
    memcpy(buf, e->text + e->at, *out_n);
    e->at += *out_n;
    return CIS_E_OK;
}

static enum cis_code echo_write(void *self, const void *data, size_t len, size_t *out_n,
                                struct cis_error *why)
{
    struct echo *e = self;
    if (len > sizeof e->got - e->len) {
        return cis_error_errno(why, ENOSPC);
    }
    memcpy(e->got + e->len, data, len);
    e->len += len;
    *out_n = len;
    return CIS_E_OK;
}

static void streams_are_bytes_descriptors_or_functions(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    cis_wasi_config_stdin(run, "bytes", 5);
    cis_result *r = START(p, run, 0, "copy");
    assert_stream(r, 1, "bytes");
    cis_result_free(r);
    cis_wasi_config_free(run);

    struct echo echo = {.text = "a function"};
    run = run_new(p);
    cis_wasi_config_reader(run, echo_read, &echo);
    cis_wasi_config_writer(run, 1, echo_write, &echo);
    cis_result_free(START(p, run, 0, "copy"));
    cis_wasi_config_free(run);
    assert_int_equal(echo.len, 10);
    assert_memory_equal(echo.got, "a function", 10);

    int in[2], out[2];
    char got[32] = "";
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(write(in[1], "a pipe", 6), 6);
    close(in[1]);
    run = run_new(p);
    cis_wasi_config_fd(run, 0, in[0]);
    cis_wasi_config_fd(run, 1, out[1]);
    cis_result_free(START(p, run, 0, "copy"));
    cis_wasi_config_free(run);
    assert_int_equal(read(out[0], got, sizeof got), 6);
    assert_string_equal(got, "a pipe");
    close(in[0]);
    close(out[0]);
    close(out[1]);
}

static void output_beyond_what_is_kept_is_counted_and_the_run_goes_on(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    size_t len = 0;
    uint64_t dropped = 0;
    cis_wasi_config_stdin(run, "0123456789", 10);
    cis_wasi_config_keep(run, 1, 4);
    cis_result *r = START(p, run, 0, "copy");
    assert_string_equal(cis_result_stream(r, 1, &len, &dropped), "0123");
    assert_int_equal(dropped, 6);
    cis_result_free(r);
    cis_wasi_config_free(run);
}

static void output_is_kept_whole_when_all_there_is_may_be_kept(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    size_t len = 0, n = 100000;
    uint64_t dropped = 1;
    char *text = malloc(n);
    memset(text, 'x', n);
    cis_wasi_config_stdin(run, text, n);
    cis_wasi_config_keep(run, 1, UINT64_MAX);
    cis_result *r = START(p, run, 0, "copy");
    assert_memory_equal(cis_result_stream(r, 1, &len, &dropped), text, n);
    assert_int_equal(len, n);
    assert_int_equal(dropped, 0);
    free(text);
    cis_result_free(r);
    cis_wasi_config_free(run);
}

static void arguments_environment_clock_and_seed_are_as_given(void **state)
{
    struct place *p = *state;
    cis_wasi_config *run = run_new(p);
    cis_wasi_config_env(run, "A", "1");
    cis_wasi_config_env(run, "B", "x=y");
    cis_result *r = START(p, run, 0, "env");
    assert_stream(r, 1, "A=1\nB=x=y\n");
    cis_result_free(r);
    cis_wasi_config_free(run);
    run = run_new(p);
    r = START(p, run, 0, "args", "", "two words");
    assert_stream(r, 1, "tool\nargs\n\ntwo words\n");
    cis_result_free(r);
    cis_wasi_config_free(run);
    run = run_new(p);
    cis_wasi_config_fixed_clock(run, 1234567890000000042u);
    r = START(p, run, 0, "clock");
    assert_stream(r, 1, "1234567890.000000042");
    cis_result_free(r);
    cis_wasi_config_free(run);
    char first[65] = "";
    for (int i = 0; i < 2; i++) {
        run = run_new(p);
        cis_wasi_config_seed(run, "seed", 4);
        r = START(p, run, 0, "random", "32");
        const char *got = cis_result_stream(r, 1, NULL, NULL);
        assert_int_equal(strlen(got), 64);
        if (i == 0) {
            memcpy(first, got, 64);
        }
        assert_string_equal(got, first);
        cis_result_free(r);
        cis_wasi_config_free(run);
    }
}

/* ---- ends ---- */

static void exit_codes_traps_and_limits_are_told_apart(void **state)
{
    struct place *p = *state;
    int32_t code;
    cis_wasi_config *run = run_new(p);
    cis_result *r = START(p, run, 42, "exit", "42");
    assert_int_equal(cis_result_code(r), CIS_E_FAILED);
    cis_result_free(r);
    cis_wasi_config_free(run);
    static const struct {
        const char *verb;
        enum cis_code code;
    } ends[] = {{"trap", CIS_E_TRAP}, {"spin", CIS_E_DEADLINE}};
    for (int i = 0; i < 2; i++) {
        run = run_new(p);
        cis_wasi_config_limits(run, 0, 200, 0);
        cis_wasi_config_arg(run, "tool");
        cis_wasi_config_arg(run, ends[i].verb);
        assert_ok(cis_wasi_run(run, p->tool, &r, err));
        assert_int_equal(cis_result_code(r), ends[i].code);
        assert_false(cis_result_exit(r, &code));
        cis_result_free(r);
        cis_wasi_config_free(run);
    }
}

static void first_step_that_fails_is_what_the_start_reports(void **state)
{
    struct place *p = *state;
    cis_result *r = NULL;
    cis_wasi_config *run = run_new(p);
    cis_wasi_config_tenant(run, "No Such Name");
    cis_wasi_config_env(run, "A=B", "x");
    cis_wasi_config_arg(run, "later");
    assert_fails(CIS_E_USAGE, "tenant", cis_wasi_run(run, p->tool, &r, err));
    cis_wasi_config_free(run);
    run = run_new(p);
    cis_wasi_config_fd(run, 7, 0);
    assert_fails(CIS_E_USAGE, "stream 7", cis_wasi_run(run, p->tool, &r, err));
    cis_wasi_config_free(run);
    run = run_new(p);
    cis_wasi_config_dir(run, "/no/such/folder", "/d", CIS_DIR_RO, NULL);
    cis_wasi_config_arg(run, "tool");
    enum cis_code code = cis_wasi_run(run, p->tool, &r, NULL);
    if (code == CIS_OK) { /* a run that could not begin may leave its record */
        assert_int_equal(cis_result_code(r), CIS_E_NOTFOUND);
        cis_result_free(r);
    } else {
        assert_int_equal(code, CIS_E_NOTFOUND);
    }
    cis_wasi_config_free(run);
}

/* ---- the short way, from many threads ---- */

struct many {
    cis_wasi_host *host;
    int number;
    bool ok;
};

static void *many_thread(void *arg)
{
    struct many *m = arg;
    char path[32], text[16];
    snprintf(path, sizeof path, "/workspace/%d", m->number);
    snprintf(text, sizeof text, "n%d", m->number);
    const char *const args[] = {"tool", "write", path, text, NULL};
    cis_result *r = NULL;
    struct cis_error err;
    if (cis_wasi_host_run(m->host, tool_bytes.ptr, tool_bytes.len, args, &r, &err) == CIS_OK) {
        m->ok = cis_result_code(r) == CIS_OK;
        cis_result_free(r);
    }
    return NULL;
}

static void one_host_runs_programs_on_many_threads(void **state)
{
    enum { N = 16 };
    struct place *p = *state;
    cis_wasi_host *host = NULL;
    struct many many[N];
    pthread_t threads[N];
    assert_ok(cis_wasi_host_new(p->runtime, NULL, NULL, &host, err));
    for (int i = 0; i < N; i++) {
        many[i] = (struct many){host, i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, many_thread, &many[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        char path[16], text[16];
        pthread_join(threads[i], NULL);
        assert_true(many[i].ok);
        snprintf(path, sizeof path, "%d", i);
        snprintf(text, sizeof text, "n%d", i);
        assert_true(in_workspace(p, NULL, path, text));
    }
    cis_wasi_host_free(host);
}

/* ---- recording ---- */

static void a_recorded_run_is_played_with_nothing_of_its_world(void **state)
{
    struct place *p = *state;
    struct cis_error why = {0};
    cis_wasi_config *run = run_new(p), *again = run_new(p);
    cis_result *played = NULL;
    char recording[300], given[300];
    int32_t code = -1;
    snprintf(recording, sizeof recording, "%s/run.recording", p->dir);
    snprintf(given, sizeof given, "%s/given", p->folder);
    cis_wasi_config_dir(run, p->folder, "/d", CIS_DIR_RO, NULL);
    cis_wasi_config_record(run, recording);
    cis_result *r = START(p, run, 0, "cat", "/d/given");
    assert_stream(r, 1, "host text");
    cis_result_free(r);
    assert_int_equal(unlink(given), 0);
    assert_ok(cis_wasi_replay(again, recording, &played, err));
    assert_int_equal(cis_result_code(played), CIS_OK);
    assert_true(cis_result_exit(played, &code));
    assert_int_equal(code, 0);
    assert_stream(played, 1, "host text");
    cis_result_free(played);
    played = NULL;
    /* More than there are nanoseconds for: none, and not what is left of the product. */
    cis_wasi_config_limits(again, 0, 1ull << 58, 0); /* times 10^6: a multiple of 2^64 */
    assert_ok(cis_wasi_replay(again, recording, &played, err));
    assert_int_equal(cis_result_code(played), CIS_OK);
    cis_result_free(played);
    played = NULL;
    assert_int_equal(truncate(recording, 5000), 0);
    assert_int_equal(cis_wasi_replay(again, recording, &played, &why), CIS_E_DAMAGED);
    assert_null(played);
    assert_int_equal(cis_wasi_replay(again, "/nowhere/recording", &played, &why), CIS_E_NOTFOUND);
    cis_wasi_config_free(run);
    cis_wasi_config_free(again);
}

static void a_run_whose_recording_cannot_be_made_does_not_begin(void **state)
{
    struct place *p = *state;
    struct cis_error err = {0};
    cis_wasi_config *run = run_new(p);
    cis_result *result = NULL;
    cis_wasi_config_workspace(run, "/w", NULL);
    cis_wasi_config_record(run, "/nowhere/at/all/run.recording");
    cis_wasi_config_arg(run, "tool");
    cis_wasi_config_arg(run, "write");
    cis_wasi_config_arg(run, "/w/a");
    cis_wasi_config_arg(run, "text");
    assert_int_equal(cis_wasi_run(run, p->tool, &result, &err), CIS_E_IO);
    assert_null(result);
    assert_false(in_workspace(p, NULL, "/a", "text"));
    cis_wasi_config_free(run);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    struct cis_error err;
    if (cis_file_read(CIS_GUESTS_DIR "/verbs.wasm", &tool_bytes, &err) != CIS_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        TEST(a_recorded_run_is_played_with_nothing_of_its_world),
        TEST(a_run_whose_recording_cannot_be_made_does_not_begin),
        TEST(what_a_program_writes_is_committed_when_it_ends_well),
        TEST(other_exit_code_or_discard_leaves_nothing),
        TEST(fork_takes_the_changes_and_leaves_the_branch),
        TEST(folder_is_read_written_or_left_as_it_is),
        TEST(state_and_read_only_mounts_refuse_changes),
        TEST(nothing_is_there_unless_it_was_given),
        TEST(streams_are_bytes_descriptors_or_functions),
        TEST(output_beyond_what_is_kept_is_counted_and_the_run_goes_on),
        TEST(output_is_kept_whole_when_all_there_is_may_be_kept),
        TEST(arguments_environment_clock_and_seed_are_as_given),
        TEST(exit_codes_traps_and_limits_are_told_apart),
        TEST(first_step_that_fails_is_what_the_start_reports),
        TEST(one_host_runs_programs_on_many_threads),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cis_buf_done(&tool_bytes);
    return failed;
}
