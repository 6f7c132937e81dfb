/* Programs: what they are linked with, how they are entered, what they find, how they end. */
#include "fixture.h"

#include <pthread.h>
#include "base/clock.h"
#include "base/mem.h"

static cis_engine_module *load(const char *wat)
{
    struct cis_engine_module_options io = {.name = "guest", .stop = {CIS_NEVER, NULL}};
    cis_engine_module *image = NULL;
    assert_ok(cis_engine_module_load(fx_engine, cis_bytes_of(wat, strlen(wat)), &io, &image, err));
    return image;
}

static cis_code run_wat(struct fx *fx, const char *wat, const char *invoke, const char *words)
{
    struct job job;
    job_init(&job, fx, words);
    job.request.module = load(wat);
    job.program.invoke = invoke;
    job.program.invoke_args = job.args + 1;
    cis_code code = fx_go(fx, &job);
    cis_engine_module_unref(job.request.module);
    job_done(&job);
    return code;
}

#define NUMBERS                                                                                    \
    "(module (func (export \"add\") (param i32 i32) (result i32) (i32.add (local.get 0) "          \
    "(local.get 1))) (func (export \"half\") (param f64) (result f64) (f64.mul (local.get 0) "     \
    "(f64.const 0.5))) (func (export \"wide\") (param i64) (result i64) (local.get 0))"            \
    " (func (export \"two\") (result i32 f32) (i32.const -1) (f32.const 0.1))"                     \
    " (func (export \"none\")))"

static void assert_result(struct fx *fx, const char *name, const char *words, const char *expected)
{
    if (run_wat(fx, NUMBERS, name, words) != CIS_OK) {
        fail_msg("%s %s: %s", name, words, fx->last.error.msg);
    }
    assert_string_equal(cis_buf_cstr(&fx->last.output), expected);
}

static void exports_are_called_with_numbers(void **state)
{
    struct fx *fx = *state;
    assert_result(fx, "add", "40 2", "42\n");
    assert_result(fx, "add", "-1 0xffffffff", "-2\n");
    assert_result(fx, "half", "3", "1.5\n");
    assert_result(fx, "half", "-inf", "-inf\n");
    assert_result(fx, "wide", "-9223372036854775808", "-9223372036854775808\n");
    assert_result(fx, "wide", "18446744073709551615", "-1\n");
    assert_result(fx, "two", "", "-1\n0.1\n");
    assert_result(fx, "none", "", "");
}

static void wrong_arguments_show_the_type(void **state)
{
    struct fx *fx = *state;
    static const struct {
        const char *name, *words;
    } rows[] = {{"add", ""},    {"add", "1"},     {"add", "1 2 3"},
                {"add", "1 x"}, {"add", "1 1.5"}, {"add", "4294967296 1"},
                {"add", "1 -"}, {"add", "0x 1"},  {"add", "-2147483649 1"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (run_wat(fx, NUMBERS, rows[i].name, rows[i].words) != CIS_E_USAGE ||
            strstr(fx->last.error.msg, "add(i32, i32) -> i32") == NULL) {
            fail_msg("%s: %s", rows[i].words, fx->last.error.msg);
        }
    }
    assert_int_equal(run_wat(fx, NUMBERS, "wide", "9223372036854775808 1"), CIS_E_USAGE);
    assert_int_equal(run_wat(fx, NUMBERS, "sub", "1"), CIS_E_ENTRY);
    assert_non_null(strstr(fx->last.error.msg, "add, half, wide, two, none"));
    assert_int_equal(run_wat(fx, NUMBERS, NULL, ""), CIS_E_ENTRY);
    assert_non_null(strstr(fx->last.error.msg, "--invoke"));
    assert_int_equal(run_wat(fx, "(module (func (export \"v\") (param v128)))", "v", "1"),
                     CIS_E_USAGE);
}

#define REACTOR                                                                                    \
    "(module (global $n (mut i32) (i32.const 0)) (func (export \"_initialize\") (global.set $n "   \
    "(i32.const 7))) (func (export \"n\") (result i32) (global.get $n)))"

static void a_reactor_is_initialised_once_and_then_called(void **state)
{
    struct fx *fx = *state;
    assert_int_equal(run_wat(fx, REACTOR, NULL, ""), CIS_OK);
    assert_true(fx->last.exited);
    assert_int_equal(run_wat(fx, REACTOR, "n", ""), CIS_OK);
    assert_string_equal(cis_buf_cstr(&fx->last.output), "7\n");
}

#define UNKNOWN                                                                                    \
    "(module (import \"env\" \"one\" (func $one (param i32))) (import \"env\" \"two\" (func $two " \
    "(result i64))) (func (export \"_start\")) (func (export \"call\") (result i64) (call $two)))"

static void imports_that_nobody_provides_are_named_or_trap(void **state)
{
    struct fx *fx = *state;
    assert_int_equal(run_wat(fx, UNKNOWN, NULL, ""), CIS_E_IMPORT);
    assert_non_null(strstr(fx->last.error.msg, "env.one"));
    assert_non_null(strstr(fx->last.error.msg, "and 1 more"));
    for (int turn = 0; turn < 2; turn++) { /* the second one finds the program of the first */
        struct job job;
        job_init(&job, fx, "");
        job.request.module = load(UNKNOWN);
        job.program.trap_unknown_imports = true;
        job.program.invoke_args = job.args + 1;
        assert_int_equal(fx_go(fx, &job), CIS_OK);
        job.program.invoke = "call";
        job.program.std[1].kept = CIS_BUF_INIT(100);
        assert_int_equal(fx_go(fx, &job), CIS_E_TRAP);
        assert_non_null(strstr(fx->last.error.msg, "called env.two, which nothing provides"));
        cis_engine_module_unref(job.request.module);
        job_done(&job);
    }
    assert_int_equal(run_wat(fx,
                             "(module (import \"env\" \"g\" (global i32)) (func (export "
                             "\"_start\")))",
                             NULL, ""),
                     CIS_E_IMPORT);
    /* A skill's functions are no program's. */
    assert_int_equal(run_wat(fx,
                             "(module (import \"env\" \"host_log\" (func (param i32 i32 i32))) "
                             "(func (export \"_start\")))",
                             NULL, ""),
                     CIS_E_IMPORT);
}

static void a_component_that_is_no_command_is_refused(void **state)
{
    struct fx *fx = *state;
    assert_int_equal(run_wat(fx, "(component)", NULL, ""), CIS_E_ENTRY);
    assert_non_null(strstr(fx->last.error.msg, "wasi:cli/run"));
}

static void a_program_finds_what_it_was_given_and_nothing_else(void **state)
{
    struct fx *fx = *state;
    struct job job;
    static const char *const env[] = {"ONE=1", "EMPTY=", NULL};
    setenv("SECRET", "of the host", 1);
    job_init(&job, fx, "env ONE , env EMPTY , env SECRET , isatty , time , random , args a b");
    job.program.env = env;
    job.program.fixed_clock = true;
    job.program.clock_ns = 1234567890123456789ull;
    job.program.seeded = true;
    job.program.seed[0] = 1;
    assert_int_equal(fx_go(fx, &job), CIS_OK);
    const char *out = cis_buf_cstr(&fx->last.std[1].kept);
    static const char begin[] = "1\n\n(not set)\n000\n1234567890.123456789\n";
    assert_memory_equal(out, begin, sizeof begin - 1);
    char *first = strdup(out);
    assert_non_null(strstr(first, "\na\nb\n"));
    for (int i = 1; i < 3; i++) {
        job.program.std[i].kept = CIS_BUF_INIT(65536);
    }
    assert_int_equal(fx_go(fx, &job), CIS_OK);
    assert_string_equal(cis_buf_cstr(&fx->last.std[1].kept), first); /* the same random bytes */
    free(first);
    job_done(&job);
    job_init(&job, fx, "list /");
    assert_int_equal(fx_go(fx, &job), CIS_E_FAILED);
    assert_int_equal(fx->last.exit_code, 10);
    job_done(&job);
}

static void output_beyond_the_cap_is_cut_and_counted(void **state)
{
    struct fx *fx = *state;
    struct job job;
    job_init(&job, fx, "spam 1048576 , complain end");
    assert_int_equal(fx_go(fx, &job), CIS_OK);
    assert_int_equal(fx->last.std[1].kept.len, 65536);
    assert_int_equal(fx->last.std[1].dropped, 1048576 - 65536);
    assert_string_equal(cis_buf_cstr(&fx->last.std[2].kept), "end\n");
    json_t *record = fx_record(fx);
    assert_int_equal(json_integer_value(json_object_get(record, "stdout_dropped")),
                     1048576 - 65536);
    json_decref(record);
    job_done(&job);
}

static void input_is_read_from_bytes(void **state)
{
    struct fx *fx = *state;
    struct job job;
    job_init(&job, fx, "cat");
    job.program.std[0] =
        (struct cis_host_stream){.kind = CIS_STREAM_BYTES, .bytes = cis_bytes_of("line\nend", 8)};
    assert_int_equal(fx_go(fx, &job), CIS_OK);
    assert_string_equal(cis_buf_cstr(&fx->last.std[1].kept), "line\nend");
    job_done(&job);
}

static void *fire_soon(void *cancel)
{
    usleep(200000);
    cis_cancel_fire(cancel);
    return NULL;
}

static void a_cancelled_run_ends_at_once_and_keeps_nothing(void **state)
{
    struct fx *fx = *state;
    static const char *const words[] = {"write /w/f x , loop", "write /w/f x , sleep 60000"};
    for (size_t i = 0; i < 2; i++) {
        struct job job;
        cis_cancel *cancel = NULL;
        assert_ok(cis_cancel_new(&cancel, err));
        job_init(&job, fx, words[i]);
        job_mount(&job, "/w", NULL, CIS_MOUNT_RW, NULL);
        job.request.cancel = cancel;
        job.request.time_ns = CIS_NEVER;
        uint64_t start = cis_clock_mono_ns();
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, fire_soon, cancel), 0);
        assert_int_equal(fx_go(fx, &job), CIS_E_CANCELLED);
        assert_true(cis_clock_mono_ns() - start < 20 * CIS_NS_PER_S);
        pthread_join(thread, NULL);
        cis_cancel_unref(cancel);
        job_done(&job);
    }
    assert_int_equal(fx_commits(fx, "main"), 0);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(exports_are_called_with_numbers),
        T(wrong_arguments_show_the_type),
        T(a_reactor_is_initialised_once_and_then_called),
        T(imports_that_nobody_provides_are_named_or_trap),
        T(a_component_that_is_no_command_is_refused),
        T(a_program_finds_what_it_was_given_and_nothing_else),
        T(output_beyond_the_cap_is_cut_and_counted),
        T(input_is_read_from_bytes),
        T(a_cancelled_run_ends_at_once_and_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return fx_run(all_tests);
}
