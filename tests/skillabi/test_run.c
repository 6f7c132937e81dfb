/* Entry points, conventions, and what an answer means. */
#include "skillabi/fixture.h"

#include "base/mem.h"

static struct abi a;

static int open_guest(void **state)
{
    (void)state;
    abi_init(&a);
    return 0;
}

static int close_guest(void **state)
{
    (void)state;
    abi_close(&a);
    return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_guest, close_guest)
#define MEMORY "(memory (export \"memory\") 2)"
#define RETURNS(name, params, value)                                                               \
    "(func (export \"" name "\") " params " (result i32) (i32.const " value "))"
#define TEXT_AT(at, text) "(data (i32.const " at ") \"" text "\\00\")"

static void opens(const char *wat)
{
    abi_open(&a, wat, "memory");
}

static void runs(const char *input, const struct cis_skillabi_options *o, bool success,
                 const char *value)
{
    cis_code code = abi_run(&a, input, o);
    if (code != CIS_OK) {
        fail_msg("%s", a.err.msg);
    }
    assert_string_equal(abi_value(&a), value);
    assert_int_equal(a.result.success, success);
    assert_true(a.result.is_json);
}

/* ---- choice ---- */
#define ALL_ENTRIES                                                                                \
    RETURNS("skill_init", "", "0")                                                                 \
    "(func (export \"_start\"))" RETURNS("main", "", "0") RETURNS("execute", "(param i32)", "0")   \
        RETURNS("skill_execute", "(param i32 i32)", "0")                                           \
            RETURNS("skill_handle_event", "(param i32 i32)", "0")                                  \
                RETURNS("skill_on_event", "(param i32 i32 i32 i32)", "0")

static void plans(const char *wat, const struct cis_skillabi_options *o, const char *entry,
                  const char *kind)
{
    struct cis_engine_module_info *info = NULL;
    struct cis_skillabi_plan plan;
    const struct cis_engine_module_options load = {.name = "test", .stop = {CIS_NEVER, NULL}};
    assert_ok(cis_engine_module_scan(cis_bytes_of(wat, strlen(wat)), &load, &info, err));
    assert_ok(cis_skillabi_plan(info, o, &plan, err));
    assert_true(cis_str_is(plan.entry, entry));
    assert_string_equal(plan.kind, kind);
    cis_engine_module_info_free(info);
}

static void entry_points_are_probed_in_their_order(void **state)
{
    (void)state;
    static const struct {
        const char *name, *kind, *func;
    } order[] = {
        {"skill_on_event", "event", RETURNS("skill_on_event", "(param i32 i32 i32 i32)", "0")},
        {"skill_handle_event", "handle-event",
         RETURNS("skill_handle_event", "(param i32 i32)", "0")},
        {"skill_execute", "text", RETURNS("skill_execute", "(param i32 i32)", "0")},
        {"execute", "execute", RETURNS("execute", "(param i32)", "0")},
        {"main", "main", RETURNS("main", "", "0")},
        {"_start", "command", "(func (export \"_start\"))"},
        {"skill_init", "init", RETURNS("skill_init", "", "0")},
    };
    for (size_t first = 0; first < 7; first++) {
        char wat[2048] = "(module " MEMORY;
        for (size_t i = 7; i > first; i--) {
            strncat(wat, order[i - 1].func, sizeof wat - strlen(wat) - 1);
        }
        strncat(wat, ")", sizeof wat - strlen(wat) - 1);
        plans(wat, NULL, order[first].name, order[first].kind);
    }
}

static void an_entry_point_of_another_type_is_none(void **state)
{
    (void)state;
    plans("(module " MEMORY RETURNS("skill_execute", "(param i64)", "0")
              RETURNS("main", "(param i32 i32)", "0") ")",
          NULL, "main", "main");
}

static void a_method_has_the_convention_of_its_name(void **state)
{
    (void)state;
    static const char *const wat =
        "(module " MEMORY ALL_ENTRIES RETURNS("skill_count", "(param i32 i32)", "3")
            RETURNS("add", "(param i32 i32)", "3") ")";
    struct cis_skillabi_options o = {.method = "add"};
    plans(wat, &o, "add", "numbers");
    o.convention = CIS_CONVENTION_TEXT;
    plans(wat, &o, "add", "method");
    o = (struct cis_skillabi_options){.method = "skill_count"};
    plans(wat, &o, "skill_count", "method");
    o.convention = CIS_CONVENTION_NUMBERS;
    plans(wat, &o, "skill_count", "numbers");
    o = (struct cis_skillabi_options){.method = "execute"};
    plans(wat, &o, "execute", "execute");
    o.method = "_start";
    plans(wat, &o, "_start", "command");
}

static void without_an_entry_point_the_exports_are_listed(void **state)
{
    (void)state;
    opens("(module " MEMORY "(global (export \"__heap_base\") i32 (i32.const 1))"
          "(func (export \"add\") (param i32 i32) (result i32) (i32.const 1)))");
    assert_int_equal(abi_run(&a, "{}", NULL), CIS_E_ENTRY);
    assert_string_equal(a.err.msg, "no entry point; exports: memory, __heap_base, add");
    const struct cis_skillabi_options o = {.method = "gone"};
    assert_int_equal(abi_run(&a, "{}", &o), CIS_E_ENTRY);
    assert_string_equal(a.err.msg, "no exported function gone; exports: memory, __heap_base, add");
}

static void a_long_list_of_exports_ends_with_a_count(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf wat = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&wat, "(module (func $f)"); /* one function under many names: one to compile */
    for (int i = 0; i < 1000; i++) {
        cis_buf_printf(&wat, "(export \"export_number_%d\" (func $f))", i);
    }
    cis_buf_text(&wat, ")");
    opens(cis_buf_cstr(&wat));
    assert_int_equal(abi_run(&a, "{}", NULL), CIS_E_ENTRY);
    assert_non_null(strstr(a.err.msg, " more"));
}

/* ---- text in ---- */
/* Writes what it got to the output: (ptr, len). */
#define ECHO_IMPORT "(import \"cis\" \"output_write\" (func $out (param i32 i32) (result i32)))"
#define ECHO_BODY "(drop (call $out (local.get 0) (local.get 1)))"

static void skill_execute_gets_the_input(void **state)
{
    (void)state;
    opens("(module " ECHO_IMPORT MEMORY "(func (export \"skill_execute\") (param i32 i32)"
          " (result i32) " ECHO_BODY "(i32.const 0)))");
    runs("{\"a\":[1,2]}", NULL, true, "{\"a\":[1,2]}");
    assert_true(a.host.output_written);
}

static void skill_on_event_gets_the_event_and_the_data(void **state)
{
    (void)state;
    opens("(module " ECHO_IMPORT MEMORY TEXT_AT("100", "[\\22") TEXT_AT("104", "\\22,") TEXT_AT(
        "108", "]") "(func (export \"skill_on_event\") (param i32 i32 i32 i32)"
                    " (result i32) (drop (call $out (i32.const 100) (i32.const 2)))" ECHO_BODY
                    "(drop (call $out (i32.const 104) (i32.const 2)))"
                    "(drop (call $out (local.get 2) (local.get 3)))"
                    "(drop (call $out (i32.const 108) (i32.const 1))) (i32.const 0)))");
    runs("{\"a\":1}", NULL, true, "[\"run\",{\"a\":1}]");
    const struct cis_skillabi_options o = {.event = "memory:write"};
    runs("2", &o, true, "[\"memory:write\",2]");
}

#define HANDLE                                                                                     \
    "(module " ECHO_IMPORT MEMORY "(func (export \"skill_handle_event\") (param i32 i32)"          \
    " (result i32) " ECHO_BODY "(i32.const 0)))"

static void skill_handle_event_gets_an_adjacently_tagged_event(void **state)
{
    (void)state;
    opens(HANDLE);
    runs("{\"a\":1}", NULL, true,
         "{\"type\":\"Custom\",\"data\":{\"name\":\"run\",\"data\":{\"a\":1}}}");
}

static void an_event_name_replaces_the_name(void **state)
{
    (void)state;
    const struct cis_skillabi_options o = {.event = "say \"hi\""};
    opens(HANDLE);
    runs("1", &o, true, "{\"type\":\"Custom\",\"data\":{\"name\":\"say \\\"hi\\\"\",\"data\":1}}");
}

static void the_events_of_the_protocol_have_their_own_type(void **state)
{
    (void)state;
    struct cis_skillabi_options o = {.event = "Tick"};
    opens(HANDLE);
    runs("{}", &o, true, "{\"type\":\"Tick\"}");
    o.event = "Init";
    assert_ok(cis_host_config_set(&a.host, CIS_STR("tone"), CIS_STR("kind"), err));
    runs("{}", &o, true, "{\"type\":\"Init\",\"data\":{\"config\":{\"tone\":\"kind\"}}}");
    o.event = "Shutdown";
    runs("{}", &o, true, "{\"type\":\"Shutdown\"}");
    o.event = "MemoryChange";
    runs("{\"key\":1}", &o, true, "{\"type\":\"MemoryChange\",\"data\":{\"key\":1}}");
    o.event = "AgentCall";
    runs("[2]", &o, true, "{\"type\":\"AgentCall\",\"data\":[2]}");
}

/* execute(ptr) -> ptr: an object around the input, and counters of alloc and dealloc. */
#define EXECUTE                                                                                    \
    "(module (memory (export \"memory\") 2) (global $at (mut i32) (i32.const 8192))"               \
    " (global $n (mut i32) (i32.const 0)) (global $freed (mut i32) (i32.const 0))"                 \
    " (global $size (mut i32) (i32.const 0)) (data (i32.const 1024) \"{\\22ok\\22:true}\\00\")"    \
    " (func (export \"alloc\") (param i32) (result i32) (global.set $n (local.get 0))"             \
    "  (global.get $at))"                                                                          \
    " (func (export \"dealloc\") (param i32 i32) (global.set $freed (local.get 0))"                \
    "  (global.set $size (local.get 1)) (i32.store8 (i32.const 1025) (i32.const 0)))"              \
    " (func (export \"freed\") (result i32) (global.get $freed))"                                  \
    " (func (export \"size\") (result i32) (i32.sub (global.get $size) (global.get $n)))"          \
    " (func (export \"execute\") (param i32) (result i32)"                                         \
    "  (if (result i32) (i32.load8_u (i32.add (local.get 0) (i32.const 7)))"                       \
    "   (then (i32.const 0)) (else (i32.const 1024)))))"

static void execute_takes_and_gives_nul_terminated_json_and_then_dealloc(void **state)
{
    (void)state;
    opens(EXECUTE);
    runs("{\"a\":1}", NULL, true, "{\"ok\":true}");
    assert_int_equal(abi_call(&a, "freed"), 8192);
    assert_int_equal(abi_call(&a, "size"), 0); /* with the size it was asked for */
}

static void execute_without_an_answer_is_a_failure(void **state)
{
    (void)state;
    opens(EXECUTE);
    runs("{\"ab\":1}", NULL, false, "{\"success\":false,\"code\":0,\"skill\":\"file:test\"}");
}

static void an_answer_of_execute_is_charged_to_the_run(void **state)
{
    (void)state;
    opens("(module " MEMORY "(func (export \"execute\") (param i32) (result i32)"
          " (memory.fill (i32.const 2048) (i32.const 49) (i32.const 20000)) (i32.const 2048)))");
    size_t before = a.host.budget.used;
    assert_ok(abi_run(&a, "1", NULL));
    assert_int_equal(a.result.value.len, 20000);
    assert_int_equal(a.host.budget.used, before); /* it is the caller's now */
    a.host.budget.limit = a.host.budget.used + 10000;
    assert_int_equal(abi_run(&a, "1", NULL), CIS_E_BUDGET);
    assert_non_null(strstr(a.err.msg, "result"));
}

static void the_input_is_in_new_pages_when_there_is_no_allocator(void **state)
{
    (void)state;
    opens("(module " MEMORY "(func (export \"skill_where\") (param i32 i32) (result i32)"
          " (i32.div_u (local.get 0) (i32.const 65536))))");
    const struct cis_skillabi_options o = {.method = "skill_where"};
    runs("{}", &o, true, "{\"success\":true,\"code\":2,\"skill\":\"file:test\"}");
    runs("{}", &o, true, "{\"success\":true,\"code\":2,\"skill\":\"file:test\"}");
}

static void a_guest_that_imports_its_memory_runs(void **state)
{
    (void)state;
    opens("(module (import \"env\" \"memory\" (memory 1 8192)) (func (export \"skill_first\")"
          " (param i32 i32) (result i32) (i32.load8_u (local.get 0))))");
    const struct cis_skillabi_options o = {.method = "skill_first"};
    runs("7", &o, true, "{\"success\":true,\"code\":55,\"skill\":\"file:test\"}");
}

static void text_without_memory_is_an_error_and_no_call(void **state)
{
    (void)state;
    opens("(module (func (export \"skill_execute\") (param i32 i32) (result i32) unreachable))");
    assert_int_equal(abi_run(&a, "{}", NULL), CIS_E_ENTRY);
    assert_non_null(strstr(a.err.msg, "no memory"));
}

/* ---- codes ---- */
static void a_code_of_zero_is_success_and_any_other_failure(void **state)
{
    (void)state;
    opens("(module " MEMORY RETURNS("skill_handle_event", "(param i32 i32)", "0")
              RETURNS("skill_execute", "(param i32 i32)", "3")
                  RETURNS("skill_on_event", "(param i32 i32 i32 i32)", "-2") ")");
    struct cis_skillabi_options o = {.method = "skill_handle_event"};
    runs("{}", &o, true, "{\"success\":true,\"code\":0,\"skill\":\"file:test\"}");
    o.method = "skill_execute";
    runs("{}", &o, false, "{\"success\":false,\"code\":3,\"skill\":\"file:test\"}");
    assert_int_equal(a.result.code, 3);
    o.method = "skill_on_event";
    runs("{}", &o, false, "{\"success\":false,\"code\":-2,\"skill\":\"file:test\"}");
}

static void a_method_that_counts_succeeds_from_zero_on(void **state)
{
    (void)state;
    opens("(module " MEMORY RETURNS("skill_on_memory_write", "(param i32 i32)", "5")
              RETURNS("skill_broken", "(param i32 i32)", "-1") ")");
    struct cis_skillabi_options o = {.method = "skill_on_memory_write"};
    runs("{}", &o, true, "{\"success\":true,\"code\":5,\"skill\":\"file:test\"}");
    o.method = "skill_broken";
    runs("{}", &o, false, "{\"success\":false,\"code\":-1,\"skill\":\"file:test\"}");
}

static void a_text_method_may_answer_with_a_nul_terminated_text(void **state)
{
    (void)state;
    opens("(module " MEMORY TEXT_AT("5000", "[\\22tea\\22]")
              RETURNS("skill_parse_keywords", "(param i32 i32)", "5000") ")");
    const struct cis_skillabi_options o = {.method = "skill_parse_keywords"};
    runs("{}", &o, true, "[\"tea\"]");
    assert_int_equal(a.result.code, 0);
}

/* ---- init and shutdown ---- */
#define HOOKS(init, shutdown)                                                                      \
    "(module (import \"env\" \"log\" (func $log (param i32 i32 i32 i32))) " MEMORY                 \
    "(data (i32.const 16) \"012345\")"                                                             \
    "(func $say (param i32) (call $log (i32.const 0) (i32.const 0) (local.get 0) (i32.const 1)))"  \
    "(func (export \"_initialize\") (call $say (i32.const 16)))"                                   \
    "(func (export \"skill_init\") (result i32) (call $say (i32.const 17)) " init ")"              \
    "(func (export \"skill_execute\") (param i32 i32) (result i32) (call $say (i32.const 18))"     \
    " (i32.const 0)) (func (export \"skill_shutdown\") (result i32) (call $say (i32.const "        \
    "19)) " shutdown "))"

static void initialize_init_entry_and_shutdown_in_this_order(void **state)
{
    (void)state;
    opens(HOOKS("(i32.const 0)", "(i32.const 0)"));
    runs("{}", NULL, true, "{\"success\":true,\"code\":0,\"skill\":\"file:test\"}");
    assert_string_equal(abi_log(&a), "info 0\ninfo 1\ninfo 2\ninfo 3\n");
    const struct cis_skillabi_options kept = {.kept = true};
    runs("{}", &kept, true, "{\"success\":true,\"code\":0,\"skill\":\"file:test\"}");
    assert_string_equal(abi_log(&a), "info 0\ninfo 1\ninfo 2\ninfo 3\ninfo 2\n");
}

static void an_init_that_fails_is_the_result(void **state)
{
    (void)state;
    opens(HOOKS("(i32.const 9)", "(i32.const 0)"));
    runs("{}", NULL, false, "{\"success\":false,\"code\":9,\"skill\":\"file:test\"}");
    assert_string_equal(abi_log(&a), "info 0\ninfo 1\n");
}

static void a_shutdown_that_traps_is_a_trap(void **state)
{
    (void)state;
    opens(HOOKS("(i32.const 0)", "(unreachable)"));
    assert_int_equal(abi_run(&a, "{}", NULL), CIS_E_TRAP);
}

static void a_lone_init_is_the_entry_point_and_runs_once(void **state)
{
    (void)state;
    opens("(module (import \"env\" \"log\" (func $log (param i32 i32 i32 i32))) " MEMORY
          "(func (export \"skill_init\") (result i32)"
          " (call $log (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 0)))");
    runs("{}", NULL, true, "{\"success\":true,\"code\":0,\"skill\":\"file:test\"}");
    assert_string_equal(abi_log(&a), "info \n");
}

/* ---- main ---- */
static void mains_value_is_a_number_or_a_json_text(void **state)
{
    (void)state;
    static const struct {
        const char *value, *says;
    } cases[] = {
        {"42", "42"},          {"-1", "-1"},     {"4095", "4095"},
        {"5000", "{\"a\":1}"}, {"6000", "6000"}, {"7000", "7000"}, /* not JSON; no NUL */
        {"131072", "131072"},                                      /* past the memory */
        {"131000", "131000"},                                      /* empty text */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char wat[1024];
        snprintf(wat, sizeof wat,
                 "(module " MEMORY TEXT_AT("5000", "{\\22a\\22:1}") TEXT_AT("6000", "hello")
                     TEXT_AT("1000", "[1]") "(data (i32.const 7000) \"[1\\ff]\")"
                                            "(func (export \"main\") (result i32) (i32.const %s)))",
                 cases[i].value);
        opens(wat);
        runs("{}", NULL, true, cases[i].says);
        abi_close(&a);
        abi_init(&a);
    }
}

static void a_text_below_4096_is_a_number(void **state)
{
    (void)state;
    opens("(module " MEMORY TEXT_AT("4000", "[1]") RETURNS("main", "", "4000") ")");
    runs("{}", NULL, true, "4000");
}

static void a_text_that_reaches_the_end_of_the_memory_without_nul_is_a_number(void **state)
{
    (void)state;
    opens("(module " MEMORY "(data (i32.const 131069) \"[1]\")" RETURNS("main", "", "131069") ")");
    runs("{}", NULL, true, "131069");
}

static void main_of_a_c_compiler_gets_no_arguments(void **state)
{
    (void)state;
    opens("(module " MEMORY "(func (export \"main\") (param i32 i32) (result i32)"
          " (i32.or (local.get 0) (local.get 1))))");
    runs("{}", NULL, true, "0");
}

static void written_output_wins_over_the_value_which_still_decides_success(void **state)
{
    (void)state;
    opens("(module " ECHO_IMPORT MEMORY TEXT_AT(
        "5000", "[1,2]") "(func (export \"main\") (result i32) (drop (call $out (i32.const 5000) "
                         "(i32.const 5)))"
                         " (i32.const 0))"
                         "(func (export \"skill_execute\") (param i32 i32) (result i32)"
                         " (drop (call $out (i32.const 5000) (i32.const 5))) (i32.const 4)))");
    struct cis_skillabi_options o = {.method = "main"};
    runs("{}", &o, true, "[1,2]");
    o.method = "skill_execute";
    runs("{}", &o, false, "[1,2]");
    assert_int_equal(a.result.code, 4);
}

static void output_that_is_no_json_stays_as_it_is(void **state)
{
    (void)state;
    opens("(module " ECHO_IMPORT MEMORY TEXT_AT(
        "5000", "\\00\\ff{") "(func (export \"main\") (result i32) (drop (call $out (i32.const "
                             "5000) (i32.const 3)))"
                             " (i32.const 0)))");
    assert_int_equal(abi_run(&a, "{}", NULL), CIS_OK);
    assert_int_equal(a.result.value.len, 3);
    assert_memory_equal(a.result.value.ptr, "\0\xff{", 3);
    assert_false(a.result.is_json);
}

static void a_text_over_the_output_limit_ends_the_run_with_the_limit(void **state)
{
    (void)state;
    a.host.output = CIS_BUF_INIT(4);
    opens("(module " MEMORY TEXT_AT("5000", "[1,2]") RETURNS("main", "", "5000") ")");
    assert_int_equal(abi_run(&a, "{}", NULL), CIS_E_BUDGET);
    assert_string_equal(cis_engine_instance_end(a.guest)->limit, "output");
    assert_int_equal(cis_engine_instance_end(a.guest)->reached, 5);
}

/* ---- numbers ---- */
static void numbers_in_and_out(void **state)
{
    (void)state;
    opens("(module (func (export \"add\") (param i32 i32) (result i32)"
          " (i32.add (local.get 0) (local.get 1)))"
          " (func (export \"wide\") (param i64) (result i64) (local.get 0))"
          " (func (export \"half\") (param f64) (result f64)"
          "  (f64.div (local.get 0) (f64.const 2)))"
          " (func (export \"third\") (param f32) (result f32)"
          "  (f32.div (local.get 0) (f32.const 3)))"
          " (func (export \"inf\") (result f64) (f64.const inf))"
          " (func (export \"two\") (result i32 i64) (i32.const 1) (i64.const 2))"
          " (func (export \"none\")))");
    static const struct {
        const char *method, *input, *says;
    } cases[] = {
        {"add", "[1,1]", "2"},
        {"add", " [ 4294967295 , 2 ] ", "1"},
        {"add", "[-2147483648,0]", "-2147483648"},
        {"add", "[1.0,2]", "3"},
        {"wide", "9007199254740993", "9007199254740993"},
        {"wide", "[\"-9223372036854775808\"]", "-9223372036854775808"},
        {"wide", "[\"18446744073709551615\"]", "-1"},
        {"half", "[1]", "0.5"},
        {"half", "0.2", "0.1"},
        {"third", "[1]", "0.333333"},
        {"inf", "[]", "\"Infinity\""},
        {"two", "{}", "[1,2]"},
        {"none", "null", "null"},
        {"none", "", "null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct cis_skillabi_options o = {.method = cases[i].method};
        if (strcmp(cases[i].method, "third") == 0) {
            assert_int_equal(abi_run(&a, cases[i].input, &o), CIS_OK);
            assert_true((float)strtod(abi_value(&a), NULL) == 1.0f / 3.0f);
            continue;
        }
        runs(cases[i].input, &o, true, cases[i].says);
    }
}

static void numbers_that_do_not_fit_are_a_usage_error(void **state)
{
    (void)state;
    opens("(module (func (export \"add\") (param i32 i32) (result i32)"
          " (i32.add (local.get 0) (local.get 1)))"
          " (func (export \"wide\") (param i64) (result i64) (local.get 0))"
          " (func (export \"vec\") (param v128)))");
    static const char *const wrong[] = {"[1]",      "[1,2,3]",   "{}",
                                        "[1,1.5]",  "[1,\"2\"]", "[1,4294967296]",
                                        "[1,null]", "{\"a\":1}", "[1,-2147483649]"};
    struct cis_skillabi_options o = {.method = "add"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(abi_run(&a, wrong[i], &o), CIS_E_USAGE);
        assert_non_null(strstr(a.err.msg, "add(i32, i32) -> i32"));
    }
    o.method = "wide";
    assert_int_equal(abi_run(&a, "[\"18446744073709551616\"]", &o), CIS_E_USAGE);
    assert_int_equal(abi_run(&a, "[\"-9223372036854775809\"]", &o), CIS_E_USAGE);
    o.method = "vec";
    assert_int_equal(abi_run(&a, "[1]", &o), CIS_E_UNSUPPORTED);
}

static void an_input_too_large_for_the_memory_ends_with_the_named_limit(void **state)
{
    (void)state;
    a.limits.memory_bytes = 1u << 20;
    opens("(module " MEMORY RETURNS("skill_execute", "(param i32 i32)", "0") ")");
    size_t len = 4u << 20;
    char *big = calloc(1, len + 1);
    memset(big, ' ', len);
    big[0] = '1';
    assert_int_equal(abi_run(&a, big, NULL), CIS_E_MEMORY);
    free(big);
    const struct cis_engine_instance_end *end = cis_engine_instance_end(a.guest);
    assert_string_equal(end->limit, "memory");
    assert_int_equal(end->configured, 1u << 20);
    assert_true(end->reached > 4u << 20);
}

static void a_full_allocator_gets_new_pages_for_the_input(void **state)
{
    (void)state;
    opens("(module " MEMORY "(func (export \"malloc\") (param i32) (result i32) (i32.const 0))"
          "(func (export \"free\") (param i32) (unreachable))"
          "(func (export \"skill_where\") (param i32 i32) (result i32)"
          " (i32.div_u (local.get 0) (i32.const 65536))))");
    const struct cis_skillabi_options o = {.method = "skill_where"};
    runs("{}", &o, true, "{\"success\":true,\"code\":2,\"skill\":\"file:test\"}");
}

static void an_allocator_that_lies_about_the_input_is_a_bad_pointer(void **state)
{
    (void)state;
    opens("(module " MEMORY "(func (export \"malloc\") (param i32) (result i32)"
          " (i32.const 131071)) " RETURNS("skill_execute", "(param i32 i32)", "0") ")");
    assert_int_equal(abi_run(&a, "{}", NULL), CIS_E_BADPTR);
    assert_non_null(strstr(a.err.msg, "not in its memory"));
}

/* ---- ends in odd places ---- */
#define EXIT_IMPORT "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))"

static void an_exit_from_an_entry_point_is_its_code(void **state)
{
    (void)state;
    opens("(module " EXIT_IMPORT ECHO_IMPORT MEMORY
          "(func (export \"skill_execute\") (param i32 i32) (result i32) " ECHO_BODY
          "(call $exit (i32.sub (local.get 1) (i32.const 1))) (i32.const 9))"
          "(func (export \"skill_shutdown\") unreachable))");
    runs("7", NULL, true, "7");
    assert_true(cis_engine_instance_end(a.guest)->exited);
}

static void an_exit_with_a_code_is_a_failure(void **state)
{
    (void)state;
    opens("(module " EXIT_IMPORT MEMORY "(func (export \"main\") (result i32)"
          " (call $exit (i32.const 4)) (i32.const 0)))");
    runs("7", NULL, false, "{\"success\":false,\"code\":4,\"skill\":\"file:test\"}");
}

static void an_exit_from_the_allocator_ends_the_run(void **state)
{
    (void)state;
    opens(
        "(module " EXIT_IMPORT
        "(import \"env\" \"host_memory_get\" (func $g (param i32 i32) (result i64)))"
        "(import \"env\" \"host_memory_set\" (func $s (param i32 i32 i32 i32) (result i32)))" MEMORY
        "(func (export \"malloc\") (param i32) (result i32) (call $exit (i32.const 6))"
        " (i32.const 4096)) (func (export \"main\") (result i32)"
        " (drop (call $s (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))"
        " (drop (call $g (i32.const 0) (i32.const 1))) (unreachable)))");
    runs("7", NULL, false, "{\"success\":false,\"code\":6,\"skill\":\"file:test\"}");
}

static void an_allocator_that_asks_for_memory_itself_for_ever_is_a_trap(void **state)
{
    (void)state;
    opens(
        "(module (import \"env\" \"host_memory_get\" (func $g (param i32 i32) (result i64)))"
        "(import \"env\" \"host_memory_set\" (func $s (param i32 i32 i32 i32) (result i32)))" MEMORY
        "(func $get (drop (call $g (i32.const 0) (i32.const 1))))"
        "(func (export \"malloc\") (param i32) (result i32) (call $get) (i32.const 4096))"
        "(func (export \"main\") (result i32)"
        " (drop (call $s (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))"
        " (call $get) (i32.const 0)))");
    assert_int_equal(abi_run(&a, "1", NULL), CIS_E_TRAP);
    assert_non_null(strstr(a.err.msg, "nested deeper"));
}

static void a_service_that_outlives_the_deadline_ends_the_run(void **state)
{
    (void)state;
    a.fake.ai_code = CIS_E_DEADLINE;
    abi_open_table(&a, "env-buffer", true, "ai");
    a.stop.deadline_ns = 1;
    assert_int_equal(abi_call_code(&a, "host_ai_chat", 0, 1, 4096, 100), CIS_E_DEADLINE);
}

static void each_allocation_of_the_host_may_fail(void **state)
{
    (void)state;
    static const char *const files[] = {"abi_packed.wasm", "abi_buffer.wasm", "abi_direct.wasm",
                                        "abi_plain.wasm", "shape_wizard.wasm"};
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        cis_code code = CIS_E_NOMEM;
        for (size_t n = 0; n < 100; n++) { /* more than any of them needs */
            abi_close(&a);
            abi_init(&a);
            abi_open_file(&a, files[f], "memory ai http=https://api.example.com");
            cis_mem_fail_after(n);
            code = abi_run(&a, "[1]", NULL);
            cis_mem_fail_after(SIZE_MAX);
            assert_true(code == CIS_OK || code == CIS_E_NOMEM);
        }
        assert_int_equal(code, CIS_OK);
    }
}

int call_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(skill_execute_gets_the_input),
        T(skill_on_event_gets_the_event_and_the_data),
        T(skill_handle_event_gets_an_adjacently_tagged_event),
        T(an_event_name_replaces_the_name),
        T(the_events_of_the_protocol_have_their_own_type),
        T(execute_takes_and_gives_nul_terminated_json_and_then_dealloc),
        T(a_code_of_zero_is_success_and_any_other_failure),
        T(a_method_that_counts_succeeds_from_zero_on),
        T(a_text_method_may_answer_with_a_nul_terminated_text),
        T(initialize_init_entry_and_shutdown_in_this_order),
        T(a_lone_init_is_the_entry_point_and_runs_once),
        T(mains_value_is_a_number_or_a_json_text),
        T(main_of_a_c_compiler_gets_no_arguments),
        T(written_output_wins_over_the_value_which_still_decides_success),
        T(output_that_is_no_json_stays_as_it_is),
        T(numbers_in_and_out),
        T(an_answer_of_execute_is_charged_to_the_run),
        T(the_input_is_in_new_pages_when_there_is_no_allocator),
        T(a_guest_that_imports_its_memory_runs),
        T(a_full_allocator_gets_new_pages_for_the_input),
        T(a_text_below_4096_is_a_number),
        T(a_text_that_reaches_the_end_of_the_memory_without_nul_is_a_number),
        T(execute_without_an_answer_is_a_failure),
        T(an_init_that_fails_is_the_result),
        T(a_shutdown_that_traps_is_a_trap),
        T(text_without_memory_is_an_error_and_no_call),
        T(a_text_over_the_output_limit_ends_the_run_with_the_limit),
        T(numbers_that_do_not_fit_are_a_usage_error),
        T(an_input_too_large_for_the_memory_ends_with_the_named_limit),
        T(an_allocator_that_lies_about_the_input_is_a_bad_pointer),
        T(an_exit_from_an_entry_point_is_its_code),
        T(an_exit_with_a_code_is_a_failure),
        T(an_exit_from_the_allocator_ends_the_run),
        T(an_allocator_that_asks_for_memory_itself_for_ever_is_a_trap),
        T(a_service_that_outlives_the_deadline_ends_the_run),
        T(each_allocation_of_the_host_may_fail),
    };
    return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}

int entry_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(entry_points_are_probed_in_their_order),
        T(an_entry_point_of_another_type_is_none),
        T(a_method_has_the_convention_of_its_name),
        T(without_an_entry_point_the_exports_are_listed),
        T(a_long_list_of_exports_ends_with_a_count),
    };
    return cmocka_run_group_tests_name("entry", tests, NULL, NULL);
}
