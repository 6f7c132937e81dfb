/* `cis skill run` as a user sees it: what goes where, codes, conventions, memory. Row ids are those
 * of the requirements (docs/architecture.md). */
#include "system/system.h"

#include <jansson.h>
#include "base/json.h"
#include "system/guests.h"

static void s0_5_one_and_one_is_two(void **state)
{
    struct sys *s = *state;
    char *add = sys_wat(s, "add.wat", GUEST_ADD);
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", add, "--method", "add", "--input", "[1,1]"));
    assert_string_equal(sys_out(s), "2\n");
    assert_string_equal(sys_err(s), "");
    free(add);
}

static void the_output_alone_goes_to_stdout_and_logs_to_stderr(void **state)
{
    struct sys *s = *state;
    char *guest = sys_wat(
        s, "talk.wat",
        "(module (import \"env\" \"log\" (func $log (param i32 i32 i32 i32)))"
        " (import \"cis\" \"output_write\" (func $out (param i32 i32) (result i32)))"
        " (memory (export \"memory\") 1) (data (i32.const 0) \"infohello{\\22ok\\22:true}\")"
        " (func (export \"main\") (result i32)"
        "  (call $log (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 5))"
        "  (drop (call $out (i32.const 9) (i32.const 11))) (i32.const 0)))");
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", guest, "--input", "{\"a\":1}"));
    assert_string_equal(sys_out(s), "{\"ok\":true}");
    assert_contains(sys_err(s), "INFO  file:talk: hello");
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", guest, "--json"));
    json_t *report = json_loads(sys_out(s), 0, NULL);
    assert_non_null(report);
    assert_int_equal(json_integer_value(json_object_get(report, "schema")), 1);
    assert_string_equal(json_string_value(json_object_get(report, "status")), "ok");
    assert_true(json_is_true(json_object_get(json_object_get(report, "result"), "ok")));
    assert_int_equal(json_integer_value(json_object_get(report, "log_lines")), 1);
    json_decref(report);
    free(guest);
}

static void input_comes_from_text_file_or_stdin(void **state)
{
    struct sys *s = *state;
    char *echo = sys_wat(s, "echo.wat", GUEST_ECHO),
         *file = sys_wat(s, "in.json", "{\"from\":\"file\"}");
    char at[4200];
    snprintf(at, sizeof at, "@%s", file);
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", echo, "--input", at));
    assert_string_equal(sys_out(s), "{\"from\":\"file\"}");
    s->input = cis_bytes_of("[\"stdin\"]", 9);
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", echo, "--input", "-"));
    assert_string_equal(sys_out(s), "[\"stdin\"]");
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", echo));
    assert_string_equal(sys_out(s), "{}");
    free(echo);
    free(file);
}

static void wrong_usage_is_told_before_anything_runs(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 2, cis(s, "skill", "run", "--wasm", set, "--input", "{not json}"));
    assert_contains(sys_err(s), "not JSON (at byte 1)");
    assert_exit(s, 2, cis(s, "skill", "run"));
    assert_exit(s, 2, cis(s, "skill", "run", "name", "--wasm", set));
    assert_exit(s, 2, cis(s, "skill", "run", "--wasm", set, "--nope"));
    assert_contains(sys_err(s), "unknown option --nope");
    assert_exit(s, 2, cis(s, "skill", "run", "--wasm", set, "--memory", "lots"));
    assert_exit(s, 2, cis(s, "skill", "run", "--wasm", set, "--time", "-5"));
    assert_exit(s, 2, cis(s, "skill", "run", "--wasm", set, "--tenant", "../x"));
    assert_exit(s, 2,
                cis(s, "skill", "run", "--wasm", set, "--allow", "http=https://a.example/path"));
    assert_exit(s, 2, cis(s, "skill", "run", "--wasm", set, "--allow", "everything"));
    assert_exit(s, 2, cis(s, "skill", "run", "--wasm", set, "--convention", "morse"));
    assert_exit(s, 2, cis(s, "skill", "run", "--wasm", set, "--config", "novalue"));
    assert_exit(s, 2, cis(s, "skill", "nope"));
    assert_exit(s, 2, cis(s, "nope"));
    assert_exit(s, 0, cis(s, "runs", "list", "--json"));
    assert_contains(sys_out(s), "\"runs\":[]");
    free(set);
}

static void what_cannot_be_loaded_is_exit_3(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", "/nothere.wasm"));
    assert_contains(sys_err(s), "/nothere.wasm");
    assert_exit(s, 3, cis(s, "skill", "run", "not-installed"));
    assert_contains(sys_err(s), "not-installed");
    char *bad = strdup(sys_file(s, "bad.wasm", "MZ\x90\x00xxxx", 8));
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", bad));
    free(bad);
    bad = strdup(sys_file(s, "v2.wasm", "\0asm\x02\0\0\0", 8));
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", bad));
    assert_contains(sys_err(s), "version");
    free(bad);
    bad = strdup(sys_file(s, "elf.wasm",
                          "\x7f"
                          "ELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
                          16));
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", bad));
    free(bad);
    char *lone = sys_wat(s, "lone.wat",
                         "(module (memory (export \"memory\") 1) (func (export \"helper_a\") "
                         "(param i32 i32 i32) (result i32) (i32.const 0)))");
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", lone));
    assert_contains(sys_err(s), "helper_a");
    free(lone);
    char *gpu = sys_wat(
        s, "gpu.wat",
        "(module (import \"env\" \"host_gpu_alloc\" (func (param i32) (result i32))) (memory "
        "(export \"memory\") 1) (func (export \"main\") (result i32) (i32.const 0)))");
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", gpu));
    assert_contains(sys_err(s), "env.host_gpu_alloc");
    free(gpu);
}

static void s1_3_each_refused_feature_has_its_message_and_switch(void **state)
{
    struct sys *s = *state;
    char *m64 = sys_wat(s, "m64.wat",
                        "(module (memory (export \"memory\") i64 1) (func (export \"main\") "
                        "(result i32) (i32.const 9)))");
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", m64));
    assert_contains(sys_err(s), "--enable memory64");
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", m64, "--enable", "memory64"));
    assert_string_equal(sys_out(s), "9\n");
    free(m64);
    char *eh =
        sys_wat(s, "eh.wat",
                "(module (tag $t) (memory (export \"memory\") 1) (func (export \"main\") (result "
                "i32) (block $h (try_table (catch $t $h) (throw $t))) (i32.const 4)))");
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", eh));
    assert_contains(sys_err(s), "--enable exceptions");
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", eh, "--enable", "exceptions"));
    assert_string_equal(sys_out(s), "4\n");
    free(eh);
    char *shared = sys_wat(s, "shared.wat",
                           "(module (memory (export \"memory\") 1 1 shared) (func (export "
                           "\"main\") (result i32) (i32.const 0)))");
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", shared));
    assert_contains(sys_err(s), "shared memory");
    assert_lacks(sys_err(s), "--enable");
    free(shared);
}

static void s0_1_the_second_start_compiles_nothing(void **state)
{
    struct sys *s = *state;
    char *add = sys_wat(s, "add.wat", GUEST_ADD);
    assert_exit(
        s, 0,
        cis(s, "skill", "run", "--wasm", add, "--method", "add", "--input", "[2,3]", "--json"));
    assert_contains(sys_out(s), "\"compiled_code\":\"compiled\"");
    assert_exit(
        s, 0,
        cis(s, "skill", "run", "--wasm", add, "--method", "add", "--input", "[2,3]", "--json"));
    assert_contains(sys_out(s), "\"compiled_code\":\"disk\"");
    assert_exit(s, 0, cis(s, "cache", "list"));
    assert_contains(sys_out(s), "1 entries");
    assert_exit(s, 0, cis(s, "cache", "clear"));
    assert_exit(
        s, 0,
        cis(s, "skill", "run", "--wasm", add, "--method", "add", "--input", "[2,3]", "--json"));
    assert_contains(sys_out(s), "\"compiled_code\":\"compiled\"");
    free(add);
}

static void a_trap_shows_a_backtrace_with_names(void **state)
{
    struct sys *s = *state;
    char *trap = sys_wat(s, "trap.wat", GUEST_TRAP);
    assert_exit(s, 5, cis(s, "skill", "run", "--wasm", trap));
    assert_contains(sys_err(s), "unreachable");
    assert_contains(sys_err(s), "inner_most");
    assert_contains(sys_err(s), "middle");
    assert_string_equal(sys_out(s), "");
    assert_exit(s, 5, cis(s, "skill", "run", "--wasm", trap, "--json"));
    assert_contains(sys_out(s), "\"status\":\"trap\"");
    assert_contains(sys_out(s), "inner_most");
    free(trap);
}

static void a_bare_file_gets_log_and_its_own_memory_and_nothing_else(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", set));
    assert_string_equal(sys_out(s), "{\"success\":true,\"code\":0,\"skill\":\"file:set\"}\n");
    assert_exit(s, 0, cis(s, "memory", "get", "k", "--skill", "set"));
    assert_string_equal(sys_out(s), "v");
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "other"));
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "set", "--tenant", "acme"));
    free(set);
    char *http = sys_wat(
        s, "post.wat",
        "(module (import \"env\" \"http_post\" (func $p (param i32 i32 i32 i32 i32) (result i32)))"
        " (import \"env\" \"ai_chat\" (func $a (param i32 i32 i32) (result i32)))"
        " (memory (export \"memory\") 1) (data (i32.const 0) \"http://127.0.0.1:1/\")"
        " (func (export \"both\") (result i32)"
        "  (i32.add (i32.mul (i32.const 10) (call $p (i32.const 0) (i32.const 19) (i32.const 0)"
        "   (i32.const 0) (i32.const 100))) (call $a (i32.const 0) (i32.const 4) (i32.const "
        "108)))))");
    assert_exit(
        s, 0,
        cis(s, "skill", "run", "--wasm", http, "--method", "both", "--input", "[]", "--json"));
    assert_contains(sys_out(s), "\"result\":-11");
    assert_contains(sys_out(s), "\"refused\":{\"ai\":1,\"http\":1}");
    free(http);
}

static void a_failed_skill_is_exit_1_and_its_writes_are_discarded(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 1, cis(s, "skill", "run", "--wasm", set, "--method", "skill_fail"));
    assert_contains(sys_out(s), "\"success\":false");
    assert_contains(sys_out(s), "-3");
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "set"));
    assert_exit(s, 5,
                cis(s, "skill", "run", "--wasm", set, "--method", "skill_trap", "--tx", "always"));
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "set"));
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", set, "--tx", "discard"));
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "set"));
    assert_exit(s, 1,
                cis(s, "skill", "run", "--wasm", set, "--method", "skill_fail", "--tx", "always"));
    assert_exit(s, 0, cis(s, "memory", "get", "k", "--skill", "set"));
    free(set);
}

static void s2_3_the_c_example_leaves_my_value_under_my_key(void **state)
{
    struct sys *s = *state;
    assert_exit(
        s, 0,
        cis(s, "skill", "run", "--wasm", CIS_GUESTS_DIR "/seed002.wasm", "--method", "example"));
    assert_contains(sys_err(s), "INFO  file:seed002: Hello from WASM!");
    assert_exit(s, 0, cis(s, "memory", "get", "my_key", "--skill", "seed002"));
    assert_string_equal(sys_out(s), "my_value");
}

static void s1_4_memory_is_exported_or_imported(void **state)
{
    struct sys *s = *state;
    char *import = sys_wat(s, "import.wat",
                           "(module (import \"env\" \"memory\" (memory 1 8192))"
                           " (data (i32.const 5000) \"{\\22n\\22:5}\\00\")"
                           " (func (export \"main\") (result i32) (i32.const 5000)))");
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", import));
    assert_string_equal(sys_out(s), "{\"n\":5}\n");
    free(import);
}

static void s0_3_sixty_four_mebibytes_go_in_and_come_out(void **state)
{
    struct sys *s = *state;
    char *echo = sys_wat(s, "echo.wat", GUEST_ECHO);
    size_t len = 64u << 20;
    char *text = malloc(len);
    memset(text, 'x', len);
    text[0] = '"';
    text[len - 1] = '"';
    s->input = cis_bytes_of(text, len);
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", echo, "--input", "-", "--time", "90s"));
    assert_int_equal(s->last.output.len, len);
    assert_memory_equal(s->last.output.ptr, text, len);
    /* A guest that must hold it all: under the default the run ends with a limit that is named. */
    char *hold = sys_wat(
        s, "hold.wat",
        "(module (memory (export \"memory\") 16) (global $top (mut i32) (i32.const 65536))"
        " (func (export \"malloc\") (param $n i32) (result i32) (local $p i32)"
        "  (local.set $p (i32.mul (memory.size) (i32.const 65536)))"
        "  (if (result i32) (i32.eq (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $n)"
        "    (i32.const 16)))) (i32.const -1)) (then (i32.const 0)) (else (local.get $p))))"
        " (func (export \"free\") (param i32))"
        " (func (export \"execute\") (param $p i32) (result i32) (local.get $p)))");
    assert_exit(s, 0,
                cis(s, "skill", "run", "--wasm", hold, "--input", "-", "--memory", "512MiB",
                    "--time", "90s"));
    assert_int_equal(s->last.output.len, len + 1);
    assert_exit(s, 6, cis(s, "skill", "run", "--wasm", hold, "--input", "-", "--memory", "32MiB"));
    assert_contains(sys_err(s), "memory");
    free(hold);
    free(text);
    free(echo);
}

static void host_calls_are_traced_on_request(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", set, "--trace", "host"));
    assert_contains(sys_err(s), "env.memory_set(");
    assert_contains(sys_err(s), " ns]");
    free(set);
}

static void runs_are_listed_and_shown(void **state)
{
    struct sys *s = *state;
    char *add = sys_wat(s, "add.wat", GUEST_ADD);
    assert_exit(
        s, 0,
        cis(s, "skill", "run", "--wasm", add, "--method", "add", "--input", "[1,1]", "--json"));
    json_t *report = json_loads(sys_out(s), 0, NULL);
    char *id = strdup(json_string_value(json_object_get(report, "id")));
    json_decref(report);
    assert_exit(s, 0, cis(s, "runs", "list"));
    assert_contains(sys_out(s), id);
    assert_exit(s, 0, cis(s, "runs", "show", id, "--json"));
    assert_contains(sys_out(s), "\"entry\":\"add\"");
    assert_exit(s, 3, cis(s, "runs", "show", "00000000000000000000000000"));
    free(id);
    free(add);
}

static void inspect_never_compiles_and_says_what_would_be_used(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    assert_exit(s, 0, cis(s, "inspect", set));
    assert_contains(sys_out(s), "env.memory_set");
    assert_contains(sys_out(s), "memory_write");
    assert_contains(sys_out(s), "entry: skill_execute");
    assert_exit(s, 0, cis(s, "inspect", set, "--json"));
    assert_true(cis_json_valid(sys_out(s), strlen(sys_out(s)), NULL));
    assert_exit(s, 0, cis(s, "cache", "list"));
    assert_contains(sys_out(s), "0 entries");
    assert_exit(s, 3, cis(s, "inspect", "/nothere"));
    free(set);
}

static void every_command_has_help_and_version_names_the_engine(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, cis(s, "--version"));
    assert_contains(sys_out(s), "Wasmtime 48");
    assert_contains(sys_out(s), "Apache-2.0");
    assert_exit(s, 0, cis(s, "--help"));
    assert_exit(s, 0, cis(s, "skill", "run", "--help"));
    assert_contains(sys_out(s), "--wasm FILE");
    assert_exit(s, 0, cis(s, "help", "skill"));
    assert_contains(sys_out(s), "skill keygen");
    assert_lacks(sys_out(s), "memory get");
    assert_exit(s, 2, cis(s, "help", "nothing"));
    assert_exit(s, 0, cis(s, "doctor"));
    assert_contains(sys_out(s), "max_map_count");
    assert_exit(s, 0, cis(s, "config", "show"));
    assert_contains(sys_out(s), "default");
}

#define T(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(s0_5_one_and_one_is_two),
        T(the_output_alone_goes_to_stdout_and_logs_to_stderr),
        T(input_comes_from_text_file_or_stdin),
        T(wrong_usage_is_told_before_anything_runs),
        T(what_cannot_be_loaded_is_exit_3),
        T(s1_3_each_refused_feature_has_its_message_and_switch),
        T(s0_1_the_second_start_compiles_nothing),
        T(a_trap_shows_a_backtrace_with_names),
        T(a_bare_file_gets_log_and_its_own_memory_and_nothing_else),
        T(a_failed_skill_is_exit_1_and_its_writes_are_discarded),
        T(s2_3_the_c_example_leaves_my_value_under_my_key),
        T(s1_4_memory_is_exported_or_imported),
        T(s0_3_sixty_four_mebibytes_go_in_and_come_out),
        T(host_calls_are_traced_on_request),
        T(runs_are_listed_and_shown),
        T(inspect_never_compiles_and_says_what_would_be_used),
        T(every_command_has_help_and_version_names_the_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
