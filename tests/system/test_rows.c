/* Rows of the requirements (docs/requirements.md) that no other system test shows: each test is
 * named after its row. Real guests, the program as a user runs it. */
#include "system/system.h"

#include <jansson.h>
#include "system/guests.h"

#define GUEST(name) CIS_GUESTS_DIR "/" name ".wasm"
#define SKILL(name) CIS_SKILLS_DIR "/" name
#define RUN(s, ...) cis(s, "skill", "run", "--wasm", __VA_ARGS__)

/* One member of the report on stdout, as compact JSON; valid until the next call. */
static const char *report_of(const struct sys *s, const char *name)
{
    static char text[4096];
    json_t *report = json_loads(sys_out(s), 0, NULL);
    char *one = json_dumps(json_object_get(report, name), JSON_COMPACT | JSON_ENCODE_ANY);
    snprintf(text, sizeof text, "%s", one != NULL ? one : "");
    free(one);
    json_decref(report);
    return text;
}

static void configure(struct sys *s, const char *text)
{
    CIS_CLEANUP(cis_freep) char *dir = cis_path_join(s->home, "config");
    assert_ok(cis_file_mkdirs(dir, 0700, err));
    sys_file(s, "config/config.toml", text, strlen(text));
}

/* ---- S0 ---- */

/* Memory, AI (a program that answers with the prompt), log and a refused HTTP request, from C. */
static void s0_2_and_s0_5_every_function_of_every_abi_is_called_from_c(void **state)
{
    struct sys *s = *state;
    configure(s, "[ai]\nprovider = \"command\"\ncommand = \"/bin/cat\"\nunsafe_command = true\n");
    assert_exit(s, 0, RUN(s, GUEST("abi_packed"), "--input", "5", "--allow", "ai"));
    assert_string_equal(sys_out(s), "{\"set\":0,\"get\":\"5\",\"set_empty\":0,\"get_empty\":\"\","
                                    "\"delete\":0,\"absent\":0,\"ai\":\"hi\",\"http\":0}");
    assert_contains(sys_err(s), "INFO  file:abi_packed: packed");
    assert_exit(s, 0, RUN(s, GUEST("abi_buffer"), "--input", "51", "--allow", "ai"));
    assert_string_equal(sys_out(s),
                        "{\"set\":1,\"get\":\"51\",\"small\":-8,\"search\":2,\"delete\":1,"
                        "\"absent\":0,\"config_set\":1,\"config_get\":\"kind\",\"ai\":\"hi\","
                        "\"http\":-1}");
    assert_contains(sys_err(s), "WARN  file:abi_buffer: buffer");
    assert_exit(s, 0, RUN(s, GUEST("abi_sdk"), "--input", "5", "--allow", "ai"));
    assert_contains(sys_out(s), "\"absent\":-9,\"set\":0,\"get\":\"value\",\"delete\":0,"
                                "\"ai\":\"hi\",\"http\":-8,\"now\":1,\"again\":1}");
    assert_contains(sys_err(s), "TRACE file:abi_sdk: shutdown");
    assert_exit(s, 0, RUN(s, GUEST("abi_plain"), "--input", "5", "--allow", "ai"));
    assert_contains(sys_out(s), "\"set\":0,\"get\":0,\"value\":\"5\",\"ai\":0,\"answer\":\"hi\","
                                "\"http\":-1");
    assert_contains(sys_err(s), "WARN  file:abi_plain: plain");
}

static void s0_2_guests_built_with_go_run_as_command_and_as_reactor(void **state)
{
#if defined(__SANITIZE_THREAD__)
    skip(); /* nearly all of it is compiling, in a process of one thread */
#endif
    struct sys *s = *state;
    if (access(GUEST("go_command"), R_OK) != 0) {
        not_tested("go", "its guests were not built");
    }
    assert_exit(s, 0, RUN(s, GUEST("go_command"), "--input", "{\"Name\":\"Ada\"}"));
    assert_string_equal(sys_out(s), "{\"hello\":\"Ada\",\"set\":0}\n");
    assert_contains(sys_err(s), "INFO  file:go_command: hello from Go");
    assert_exit(s, 0, cis(s, "memory", "get", "name", "--skill", "go_command"));
    assert_string_equal(sys_out(s), "Ada");
    assert_exit(s, 1, RUN(s, GUEST("go_command"), "--input", "[]"));
    assert_exit(s, 0, RUN(s, GUEST("go_reactor"), "--input", "{\"a\":[1,2]}"));
    assert_string_equal(sys_out(s), "{\"set\":1,\"value\":{\"a\":[1,2]}}");
    assert_exit(s, 0, RUN(s, GUEST("go_reactor"), "--method", "add", "--input", "[3,4]"));
    assert_string_equal(sys_out(s), "7\n");
}

/* Each ABI with another entry point; the guest starts with 1 MiB and has no allocator. */
static void s0_3_sixty_four_mebibytes_pass_every_abi_and_entry_point(void **state)
{
    struct sys *s = *state;
    static const struct {
        const char *import, *method;
        size_t more; /* bytes around the input: the newline of a returned value, an event */
    } rows[] = {
        {"\"env\" \"host_memory_get\" (func (param i32 i32) (result i64))", "skill_on_event", 0},
        {"\"env\" \"host_memory_get\" (func (param i32 i32 i32 i32) (result i32))", "skill_execute",
         0},
        {"\"cis\" \"memory_get\" (func (param i32 i32 i32 i32) (result i32))", "execute", 1},
        {"\"cis\" \"host_memory_get\" (func (param i32 i32 i32 i32) (result i32))",
         "skill_handle_event",
         strlen("{\"type\":\"Custom\",\"data\":{\"name\":\"run\",\"data\":}}")},
        {"\"env\" \"memory_get\" (func (param i32 i32 i32) (result i32))", "main", 1},
    };
    size_t len = 64u << 20;
    char *text = malloc(len);
    memset(text, 'y', len);
    text[0] = text[len - 1] = '"';
    s->input = cis_bytes_of(text, len);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char wat[4096];
        snprintf(
            wat, sizeof wat,
            "(module (import %s) (import \"cis\" \"input_len\" (func $len (result i64)))"
            " (import \"cis\" \"input_read\" (func $read (param i64 i32 i32) (result i32)))"
            " (import \"cis\" \"output_write\" (func $out (param i32 i32) (result i32)))"
            " (memory (export \"memory\") 16)"
            " (func (export \"skill_on_event\") (param i32 i32 i32 i32) (result i32)"
            "  (call $out (local.get 2) (local.get 3)))"
            " (func (export \"skill_handle_event\") (param i32 i32) (result i32)"
            "  (call $out (local.get 0) (local.get 1)))"
            " (func (export \"skill_execute\") (param i32 i32) (result i32)"
            "  (call $out (local.get 0) (local.get 1)))"
            " (func (export \"execute\") (param i32) (result i32) (local.get 0))"
            " (func (export \"main\") (result i32) (local $n i32) (local $p i32)"
            "  (local.set $n (i32.wrap_i64 (call $len)))"
            "  (local.set $p (i32.mul (i32.const 65536) (memory.grow (i32.add (i32.const 1)"
            "   (i32.shr_u (local.get $n) (i32.const 16))))))"
            "  (drop (call $read (i64.const 0) (local.get $p) (local.get $n))) (local.get $p)))",
            rows[i].import);
        char *guest = sys_wat(s, "big.wat", wat);
        assert_exit(
            s, 0, RUN(s, guest, "--method", rows[i].method, "--input", "-", "--memory", "512MiB"));
        assert_int_equal(s->last.output.len, len + rows[i].more);
        const char *at = memmem(s->last.output.ptr, s->last.output.len, "\"yy", 3);
        assert_non_null(at);
        assert_memory_equal(at, text, len);
        free(guest);
    }
    /* One that must hold it twice: more than the default of 128 MiB, which is named. */
    char *twice = sys_wat(
        s, "twice.wat",
        "(module (import \"cis\" \"output_write\" (func $out (param i32 i32) (result i32)))"
        " (memory (export \"memory\") 16) (func (export \"skill_execute\") (param $p i32) (param $n"
        " i32) (result i32) (local $q i32) (local.set $q (memory.grow (i32.add (i32.const 1)"
        "  (i32.shr_u (local.get $n) (i32.const 16)))))"
        " (if (i32.eq (local.get $q) (i32.const -1)) (then (return (i32.const -2))))"
        " (local.set $q (i32.mul (local.get $q) (i32.const 65536)))"
        " (memory.copy (local.get $q) (local.get $p) (local.get $n))"
        " (call $out (local.get $q) (local.get $n))))");
    assert_exit(s, 1, RUN(s, twice, "--input", "-", "--json"));
    assert_string_equal(report_of(s, "skill_code"), "-2");
    assert_contains(report_of(s, "limit_hit"), "\"limit\":\"memory\"");
    assert_contains(report_of(s, "limit_hit"), "\"configured\":134217728");
    assert_exit(s, 0, RUN(s, twice, "--input", "-", "--memory", "512MiB"));
    assert_int_equal(s->last.output.len, len);
    assert_memory_equal(s->last.output.ptr, text, len);
    free(twice);
    /* A WASI command, and cis.input_read in steps: these hold a part at a time. */
    assert_exit(s, 0, RUN(s, GUEST("cat"), "--input", "-"));
    assert_int_equal(s->last.output.len, len);
    assert_memory_equal(s->last.output.ptr, text, len);
    assert_exit(
        s, 0,
        RUN(s, GUEST("echo"), "--method", "skill_chunks", "--input", "-", "--memory", "2MiB"));
    assert_int_equal(s->last.output.len, len);
    assert_memory_equal(s->last.output.ptr, text, len);
    s->input = cis_bytes_of(NULL, 0);
    free(text);
}

static void s0_6_a_program_with_libcis_executes_bytes_and_gets_the_value(void **state)
{
    struct sys *s = *state;
    const char *argv[] = {CIS_EXAMPLES_DIR "/example_embed", GUEST("echo"), "{\"a\":[1,2]}", NULL};
    assert_exit(s, 0, sys_exec(s, argv));
    assert_string_equal(sys_out(s), "{\"a\":[1,2]}\n");
    argv[1] = GUEST("shape_wizard");
    assert_exit(s, 0, sys_exec(s, argv));
    assert_contains(sys_out(s), "\"done\":true");
}

static void s0_7_an_init_wizard_runs_from_a_bare_file_with_log_and_memory_in_sight(void **state)
{
    struct sys *s = *state;
    static const char input[] = "{\"project\":\"bot\",\"language\":\"c\",\"features\":[\"ai\"]}";
    assert_exit(s, 0, RUN(s, SKILL("init-wizard/init-wizard.wasm"), "--input", input));
    assert_contains(sys_out(s), "\"success\":true,\"first_run\":true");
    assert_contains(sys_err(s), "INFO  file:init-wizard: first run: writing the profile");
    assert_exit(s, 0, cis(s, "memory", "list", "--skill", "init-wizard"));
    assert_contains(sys_out(s), "profile");
    assert_exit(s, 0, cis(s, "memory", "get", "profile", "--skill", "init-wizard"));
    assert_contains(sys_out(s), "\"bot\"");
    assert_exit(s, 0, RUN(s, SKILL("init-wizard/init-wizard.wasm"), "--input", input));
    assert_contains(sys_out(s), "\"first_run\":false");
}

/* ---- S1 ---- */

static void s1_1_a_skill_is_registered_loaded_run_and_its_result_reported(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, cis(s, "skill", "install", SKILL("init-wizard"), "--yes"));
    static const char input[] = "{\"project\":\"bot\",\"language\":\"c\",\"features\":[]}";
    assert_exit(s, 0, cis(s, "skill", "run", "init-wizard", "--input", input, "--json"));
    assert_string_equal(report_of(s, "status"), "\"ok\"");
    assert_string_equal(report_of(s, "skill"), "\"init-wizard\"");
    assert_contains(report_of(s, "grants"), "\"memory_write\":");
    assert_contains(report_of(s, "changes"), "\"committed\":true");
    assert_exit(s, 0, cis(s, "memory", "get", "profile", "--skill", "init-wizard"));
    assert_exit(s, 0, cis(s, "runs", "list", "--skill", "init-wizard"));
    assert_contains(sys_out(s), "ok");
}

/* max_memory, max_execution_time and enable_wasi: file < environment < flag. */
static void s1_2_the_runtime_settings_have_one_name_in_file_environment_and_flag(void **state)
{
    struct sys *s = *state;
    char *grow = sys_wat(s, "grow.wat", GUEST_GROW), *loop = sys_wat(s, "loop.wat", GUEST_LOOP);
    configure(s, "[runtime]\nmax_memory = \"48MiB\"\nmax_execution_time = 150\n"
                 "enable_wasi = false\n");
    assert_exit(s, 0, cis(s, "config", "show"));
    assert_contains(sys_out(s), "48MiB  (config.toml:2)");
    assert_contains(sys_out(s), "150ms  (config.toml:3)");
    assert_exit(s, 0, RUN(s, grow));
    assert_string_equal(sys_out(s), "2\n"); /* a page and twice 16 MiB are below 48 MiB */
    assert_exit(s, 6, RUN(s, loop, "--json"));
    assert_string_equal(report_of(s, "time_limit_ms"), "150");
    assert_exit(s, 3, RUN(s, GUEST("cat"), "--input", "1"));
    assert_contains(sys_err(s), "WASI is switched off");
    s->env[0] = "CIS_RUNTIME_MAX_MEMORY=32MiB";
    s->env[1] = "CIS_RUNTIME_MAX_EXECUTION_TIME=120";
    s->env[2] = "CIS_RUNTIME_ENABLE_WASI=true";
    assert_exit(s, 0, RUN(s, grow));
    assert_string_equal(sys_out(s), "1\n");
    assert_exit(s, 6, RUN(s, loop, "--json"));
    assert_string_equal(report_of(s, "time_limit_ms"), "120");
    assert_exit(s, 0, RUN(s, GUEST("cat"), "--input", "1"));
    assert_exit(s, 0, RUN(s, grow, "--max-memory", "64MiB"));
    assert_string_equal(sys_out(s), "3\n");
    assert_exit(s, 6, RUN(s, loop, "--json", "--max-execution-time", "100"));
    assert_string_equal(report_of(s, "time_limit_ms"), "100");
    assert_exit(s, 3, RUN(s, GUEST("cat"), "--enable-wasi", "false"));
    /* --memory is a flag too and over the file; the smaller of two flags holds. */
    assert_exit(s, 0, RUN(s, grow, "--memory", "100MiB", "--json"));
    assert_string_equal(report_of(s, "memory_limit"), "104857600");
    assert_exit(s, 0, RUN(s, grow, "--memory", "100MiB", "--max-memory", "64MiB", "--json"));
    assert_string_equal(report_of(s, "memory_limit"), "67108864");
    assert_exit(s, 2, RUN(s, grow, "--max-memory", "lots"));
    assert_exit(s, 2, RUN(s, grow, "--max-execution-time", "0"));
    memset(s->env, 0, sizeof s->env);
    free(grow);
    free(loop);
}

static void s1_2_the_tenant_comes_from_flag_environment_or_file(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    configure(s, "tenant = \"from-file\"\n");
    assert_exit(s, 0, RUN(s, set, "--json"));
    assert_string_equal(report_of(s, "tenant"), "\"from-file\"");
    s->env[0] = "CIS_TENANT=from-env";
    assert_exit(s, 0, RUN(s, set, "--json"));
    assert_string_equal(report_of(s, "tenant"), "\"from-env\"");
    assert_exit(s, 0, cis(s, "config", "show", "--tenant", "from-flag"));
    assert_contains(sys_out(s), "from-flag  (flag --tenant)");
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "set", "--tenant", "from-flag"));
    assert_exit(s, 0, cis(s, "memory", "get", "k", "--skill", "set"));
    s->env[0] = "CIS_TENANT=../x";
    assert_exit(s, 2, cis(s, "memory", "get", "k", "--skill", "set"));
    assert_contains(sys_err(s), "tenant ../x");
    s->env[0] = NULL;
    free(set);
}

static void s1_3_what_is_no_module_is_told_apart_from_one_of_another_version(void **state)
{
    struct sys *s = *state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *told;
    } rows[] = {{"\0asx\1\0\0\0", 8, "wrong magic"},
                {"\0asm\2\0\0\0", 8, "version 2"},
                {"\0asm", 4, ""},
                {"", 0, ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *bad = strdup(sys_file(s, "bad.wasm", rows[i].bytes, rows[i].len));
        assert_exit(s, 3, RUN(s, bad));
        assert_contains(sys_err(s), "bad.wasm");
        assert_contains(sys_err(s), rows[i].told);
        free(bad);
    }
}

static void s1_4_an_imported_memory_may_have_one_to_8192_pages(void **state)
{
    struct sys *s = *state;
    char *one = sys_wat(s, "one.wat",
                        "(module (import \"env\" \"memory\" (memory 1 1)) (func (export \"main\")"
                        " (result i32) (memory.size)))");
    assert_exit(s, 0, RUN(s, one));
    assert_string_equal(sys_out(s), "1\n");
    char *most = sys_wat(s, "most.wat",
                         "(module (import \"env\" \"memory\" (memory 8192 8192)) (func (export"
                         " \"main\") (result i32) (i32.store (i32.const 536870908) (i32.const 7))"
                         " (i32.div_u (memory.size) (i32.const 8))))");
    assert_exit(s, 0, RUN(s, most, "--memory", "512MiB"));
    assert_string_equal(sys_out(s), "1024\n");
    assert_exit(s, 6, RUN(s, most)); /* more than the default of 128 MiB */
    free(one);
    free(most);
}

static void s1_6_and_s1_7_execute_with_alloc_and_dealloc_calls_module_cis(void **state)
{
    struct sys *s = *state;
    configure(s, "[ai]\nprovider = \"command\"\ncommand = \"/bin/cat\"\nunsafe_command = true\n");
    assert_exit(s, 0, RUN(s, GUEST("abi_direct"), "--input", "[12]", "--allow", "ai"));
    assert_string_equal(sys_out(s), "{\"absent\":-1,\"get\":\"[12]\",\"length\":4,\"ai\":\"hi\","
                                    "\"http\":-1}\n");
    assert_exit(s, 0, cis(s, "memory", "get", "input", "--skill", "abi_direct"));
    assert_string_equal(sys_out(s), "[12]");
    assert_exit(s, 4, RUN(s, GUEST("abi_direct"), "--input", "[13]", "--deny", "memory=write"));
    assert_exit(s, 0, cis(s, "memory", "get", "input", "--skill", "abi_direct"));
    assert_string_equal(sys_out(s), "[12]"); /* a set without a result is not lost in silence */
}

static void s1_10_test_wasm_skill_runs_by_its_name_and_keeps_its_limits(void **state)
{
    struct sys *s = *state;
    static const struct {
        const char *wat;
        int code;
        const char *out;
    } rows[] = {{GUEST_ECHO, 0, "{\"a\":1}"}, {GUEST_LOOP, 6, ""}, {GUEST_GROW, 0, "31\n"}};
    static const char manifest[] =
        "[skill]\nname = \"test-wasm-skill\"\nversion = \"1.0.0\"\nentry = \"skill.wat\"\n";
    CIS_CLEANUP(cis_freep) char *dir = cis_path_join(s->home, "work");
    assert_ok(cis_file_mkdirs(dir, 0700, err));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sys_file(s, "work/skill.toml", manifest, sizeof manifest - 1);
        sys_file(s, "work/skill.wat", rows[i].wat, strlen(rows[i].wat));
        assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes"));
        assert_exit(s, rows[i].code,
                    cis(s, "skill", "run", "test-wasm-skill", "--input", "{\"a\":1}", "--time",
                        "300ms", "--memory", "512MiB"));
        assert_string_equal(sys_out(s), rows[i].out);
        assert_exit(s, 0, cis(s, "skill", "remove", "test-wasm-skill"));
    }
}

/* ---- S2 ---- */

static void s2_4_a_skill_sees_no_memory_but_its_own(void **state)
{
    struct sys *s = *state;
    char *set = sys_wat(s, "set.wat", GUEST_SET);
    char *get = sys_wat(
        s, "get.wat",
        "(module (import \"cis\" \"memory_get\" (func $get (param i32 i32 i32 i32) (result i32)))"
        " (memory (export \"memory\") 1) (data (i32.const 16) \"k\") (func (export \"look\")"
        " (result i32) (call $get (i32.const 16) (i32.const 1) (i32.const 64) (i32.const 64))))");
    assert_exit(s, 0, RUN(s, set));
    assert_exit(s, 0, RUN(s, get, "--method", "look", "--input", "[]"));
    assert_string_equal(sys_out(s), "-1\n");
    assert_exit(s, 0, cis(s, "memory", "set", "k", "mine", "--skill", "get"));
    assert_exit(s, 0, RUN(s, get, "--method", "look", "--input", "[]"));
    assert_string_equal(sys_out(s), "4\n");
    assert_exit(s, 0,
                RUN(s, get, "--method", "look", "--input", "[]", "--deny", "memory", "--json"));
    assert_string_equal(report_of(s, "result"), "-1");
    assert_contains(report_of(s, "grants"), "\"refused\":{\"memory_read\":1}");
    free(set);
    free(get);
}

static void s2_4_no_file_of_the_host_is_in_reach(void **state)
{
    struct sys *s = *state;
    char *open = sys_wat(
        s, "open.wat",
        "(module (import \"wasi_snapshot_preview1\" \"path_open\" (func $open (param i32 i32 i32"
        " i32 i32 i64 i64 i32 i32) (result i32)))"
        " (import \"wasi_snapshot_preview1\" \"fd_prestat_get\" (func $pre (param i32 i32)"
        " (result i32))) (memory (export \"memory\") 1) (data (i32.const 0) \"/etc/passwd\")"
        " (func (export \"open\") (param i32) (result i32) (call $open (local.get 0) (i32.const 0)"
        "  (i32.const 0) (i32.const 11) (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0)"
        "  (i32.const 100)))"
        " (func (export \"pre\") (param i32) (result i32) (call $pre (local.get 0)"
        "  (i32.const 100))))");
    for (int fd = 0; fd < 6; fd++) {
        char input[16];
        snprintf(input, sizeof input, "[%d]", fd);
        assert_exit(s, 0, RUN(s, open, "--method", "pre", "--input", input));
        assert_string_equal(sys_out(s), "8\n"); /* EBADF: nothing is preopened */
        assert_exit(s, 0, RUN(s, open, "--method", "open", "--input", input));
        assert_string_not_equal(sys_out(s), "0\n");
    }
    free(open);
}

static void s2_4_clocks_and_random_are_denied_by_flag_or_configuration(void **state)
{
    struct sys *s = *state;
    char *guest = sys_wat(
        s, "time.wat",
        "(module (import \"wasi_snapshot_preview1\" \"clock_time_get\" (func $time (param i32 i64"
        " i32) (result i32))) (import \"wasi_snapshot_preview1\" \"random_get\" (func $random"
        " (param i32 i32) (result i32))) (memory (export \"memory\") 1)"
        " (func (export \"both\") (result i32) (i32.add (i32.mul (i32.const 1000)"
        "  (call $time (i32.const 0) (i64.const 1) (i32.const 0)))"
        "  (call $random (i32.const 0) (i32.const 8)))))");
#define BOTH guest, "--method", "both", "--input", "[]"
    assert_exit(s, 0, RUN(s, BOTH));
    assert_string_equal(sys_out(s), "0\n");
    assert_exit(s, 0, RUN(s, BOTH, "--deny", "clocks"));
    assert_string_equal(sys_out(s), "76000\n"); /* ENOTCAPABLE */
    assert_exit(s, 0, RUN(s, BOTH, "--deny", "random", "--json"));
    assert_string_equal(report_of(s, "result"), "76");
    assert_contains(report_of(s, "grants"), "\"refused\":{\"random\":1}");
    configure(s, "[runtime]\nenable_clocks = false\nenable_random = false\n");
    assert_exit(s, 0, RUN(s, BOTH));
    assert_string_equal(sys_out(s), "76076\n");
    assert_exit(s, 0, RUN(s, BOTH, "--allow", "clocks"));
    assert_string_equal(sys_out(s), "76\n");
    assert_exit(s, 2, RUN(s, BOTH, "--deny", "everything"));
    free(guest);
}

static void s2_4_only_granted_variables_are_in_the_environment(void **state)
{
    struct sys *s = *state;
    char *guest = sys_wat(
        s, "env.wat",
        "(module (import \"wasi_snapshot_preview1\" \"environ_sizes_get\" (func $sizes (param i32"
        " i32) (result i32))) (import \"wasi_snapshot_preview1\" \"environ_get\" (func $get (param"
        " i32 i32) (result i32))) (import \"cis\" \"output_write\" (func $out (param i32 i32)"
        " (result i32))) (memory (export \"memory\") 1)"
        " (func (export \"skill_execute\") (param i32 i32) (result i32)"
        "  (drop (call $sizes (i32.const 0) (i32.const 4)))"
        "  (drop (call $get (i32.const 1024) (i32.const 4096)))"
        "  (drop (call $out (i32.const 4096) (i32.load (i32.const 4)))) (i32.const 0)))");
    s->env[0] = "COLOUR=blue";
    s->env[1] = "SECRET=no";
    s->env[2] = "OPENAI_API_KEY=sk-very-secret";
    assert_exit(s, 0, RUN(s, guest));
    assert_int_equal(s->last.output.len, 0);
    assert_exit(s, 0, RUN(s, guest, "--allow", "env=COLOUR", "--allow", "env=UNSET"));
    assert_int_equal(s->last.output.len, sizeof "COLOUR=blue");
    assert_memory_equal(s->last.output.ptr, "COLOUR=blue", sizeof "COLOUR=blue");
    assert_exit(s, 0, RUN(s, guest, "--allow", "env=COLOUR", "--deny", "env=COLOUR"));
    assert_int_equal(s->last.output.len, 0);
    assert_exit(s, 4, RUN(s, guest, "--allow", "env=OPENAI_API_KEY"));
    assert_contains(sys_err(s), "stays on the host");
    memset(s->env, 0, sizeof s->env);
    free(guest);
}

/* Compiled skills in the wild: no import, no allocator, NUL-terminated texts; stack in the first
 * MiB.
 */
static void the_four_shapes_of_real_skills_run(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, RUN(s, GUEST("shape_init")));
    assert_string_equal(sys_out(s),
                        "{\"success\":true,\"code\":0,\"skill\":\"file:shape_init\"}\n");
    assert_exit(s, 0, RUN(s, GUEST("shape_events"), "--input", "{\"a\":1}"));
    assert_contains(sys_out(s), "\"success\":true");
    assert_exit(s, 0, RUN(s, GUEST("shape_wizard")));
    assert_string_equal(sys_out(s), "{\"steps\":[\"shell\",\"memory\",\"ai\"],\"done\":true}\n");
    assert_exit(s, 0,
                RUN(s, GUEST("shape_organizer"), "--method", "skill_parse_keywords", "--input",
                    "\"red and blue\""));
    assert_string_equal(sys_out(s), "[\"red\",\"and\",\"blue\"]\n");
    assert_exit(s, 0,
                RUN(s, GUEST("shape_organizer"), "--method", "skill_on_memory_write", "--input",
                    "{\"key\":\"two words\"}"));
    assert_exit(
        s, 1,
        RUN(s, GUEST("shape_organizer"), "--method", "skill_on_memory_write", "--input", "[]"));
    assert_exit(s, 3, RUN(s, GUEST("shape_organizer"), "--method", "absent"));
    assert_contains(sys_err(s), "skill_parse_keywords");
}

static void event_abi_convention_config_and_slots_take_effect(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, RUN(s, GUEST("abi_plain"), "--input", "5", "--event", "tick"));
    assert_contains(sys_out(s), "{\"event\":\"tick\",");
    /* host_memory_set is the same in two ABIs: 0 is success in one, 1 in the other. */
    char *both = sys_wat(
        s, "both.wat",
        "(module (import \"env\" \"host_memory_set\" (func $set (param i32 i32 i32 i32) (result"
        " i32))) (memory (export \"memory\") 1) (data (i32.const 0) \"kv\") (func (export \"put\")"
        " (result i32) (call $set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1))))");
    assert_exit(s, 0, RUN(s, both, "--method", "put", "--input", "[]", "--abi", "env-packed"));
    assert_string_equal(sys_out(s), "0\n");
    assert_exit(s, 0, RUN(s, both, "--method", "put", "--input", "[]", "--abi", "env-buffer"));
    assert_string_equal(sys_out(s), "1\n");
    assert_exit(s, 2, RUN(s, both, "--method", "put", "--input", "[]", "--abi", "morse"));
    /* As numbers the two arguments are the input's; as text they are its place and length. */
    char *add =
        sys_wat(s, "add.wat",
                "(module (memory (export \"memory\") 1) (func (export \"f\") (param i32 i32)"
                " (result i32) (local.get 1)))");
    assert_exit(s, 0, RUN(s, add, "--method", "f", "--input", "[7,5000]"));
    assert_string_equal(sys_out(s), "5000\n");
    assert_exit(
        s, 0,
        RUN(s, add, "--method", "f", "--input", "[7,5000]", "--convention", "text", "--json"));
    assert_string_equal(report_of(s, "skill_code"), "8");
    char *config = sys_wat(
        s, "config.wat",
        "(module (import \"env\" \"host_config_get\" (func $get (param i32 i32 i32 i32) (result"
        " i32))) (import \"cis\" \"output_write\" (func $out (param i32 i32) (result i32)))"
        " (memory (export \"memory\") 1) (data (i32.const 0) \"tone\") (func (export"
        " \"skill_execute\") (param i32 i32) (result i32) (call $out (i32.const 64) (call $get"
        " (i32.const 0) (i32.const 4) (i32.const 64) (i32.const 64)))))");
    assert_exit(s, 0, RUN(s, config, "--config", "tone=kind", "--slots", "1"));
    assert_string_equal(sys_out(s), "kind");
    assert_exit(s, 2, RUN(s, config, "--slots", "5000"));
    free(both);
    free(add);
    free(config);
}

#define T(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(s0_2_and_s0_5_every_function_of_every_abi_is_called_from_c),
        T(s0_2_guests_built_with_go_run_as_command_and_as_reactor),
        T(s0_3_sixty_four_mebibytes_pass_every_abi_and_entry_point),
        T(s0_6_a_program_with_libcis_executes_bytes_and_gets_the_value),
        T(s0_7_an_init_wizard_runs_from_a_bare_file_with_log_and_memory_in_sight),
        T(s1_1_a_skill_is_registered_loaded_run_and_its_result_reported),
        T(s1_2_the_runtime_settings_have_one_name_in_file_environment_and_flag),
        T(s1_2_the_tenant_comes_from_flag_environment_or_file),
        T(s1_3_what_is_no_module_is_told_apart_from_one_of_another_version),
        T(s1_4_an_imported_memory_may_have_one_to_8192_pages),
        T(s1_6_and_s1_7_execute_with_alloc_and_dealloc_calls_module_cis),
        T(s1_10_test_wasm_skill_runs_by_its_name_and_keeps_its_limits),
        T(s2_4_a_skill_sees_no_memory_but_its_own),
        T(s2_4_no_file_of_the_host_is_in_reach),
        T(s2_4_clocks_and_random_are_denied_by_flag_or_configuration),
        T(s2_4_only_granted_variables_are_in_the_environment),
        T(the_four_shapes_of_real_skills_run),
        T(event_abi_convention_config_and_slots_take_effect),
    };
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
