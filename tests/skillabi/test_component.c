/* Components of cis:skill: every function of every interface, what is refused, what is too large,
 * what breaks, and guests that lie. The guest is tests/guests/component_all.wat: the first letter
 * of its input chooses the function. */
#include "skillabi/fixture.h"

#include "base/file.h"
#include "base/mem.h"

#define MIB ((size_t)1 << 20)

static void open_with(struct abi *a, const char *grants)
{
    struct cis_buf wat = CIS_BUF_INIT(MIB);
    assert_ok(cis_file_read(CIS_TEST_SOURCE_DIR "/tests/guests/component_all.wat", &wat, err));
    cis_code code = abi_try(a, cis_buf_bytes(&wat), NULL, grants);
    cis_buf_done(&wat);
    if (code != CIS_OK) {
        fail_msg("%s", a->err.msg);
    }
}

static void start(struct abi *a, const char *grants)
{
    abi_init(a);
    open_with(a, grants);
}

/* The component answers `said` to this input. */
#define assert_says(a, input, said)                                                                \
    do {                                                                                           \
        if (abi_run((a), (input), NULL) != CIS_OK) {                                               \
            fail_msg("%s: %s", (input), (a)->err.msg);                                             \
        }                                                                                          \
        assert_true((a)->result.success);                                                          \
        assert_string_equal(abi_value(a), (said));                                                 \
    } while (0)

#define assert_ends(a, input, expected, text)                                                      \
    do {                                                                                           \
        cis_code code_ = abi_run((a), (input), NULL);                                              \
        if (code_ != (expected) || strstr((a)->err.msg, (text)) == NULL) {                         \
            fail_msg("%s: %s (%s)", (input), cis_code_name(code_), (a)->err.msg);                  \
        }                                                                                          \
        assert_int_equal(cis_engine_instance_end((a)->guest)->code, (expected));                   \
    } while (0)

/* ---- happy ---- */

static void keep_progress(void *self, const struct cis_progress *p)
{
    struct cis_buf *told = self;
    cis_buf_printf(told, "%u/%u " CIS_STR_FMT ";", (unsigned)p->done, (unsigned)p->total,
                   CIS_STR_ARG(p->message));
}

static void a_question_is_answered_and_progress_told(void **state)
{
    (void)state;
    static const struct cis_ask_answer yes[] = {{{"k", 1}, {" {} ", 4}}},
                                       no[] = {{{"k", 1}, {"null", 4}}};
    CIS_CLEANUP(cis_buf_done) struct cis_buf told = CIS_BUF_INIT(4096);
    struct abi a;
    abi_init(&a);
    a.host.answers = yes;
    a.host.nanswers = 1;
    a.host.progress = keep_progress;
    a.host.progress_self = &told;
    open_with(&a, "");
    assert_says(&a, "i{\"message\":\"Sure?\"}", "{}");
    a.host.answers = no;
    assert_says(&a, "i{\"message\":\"Sure?\"}", "none");
    assert_says(&a, "i{\"message\":3}", "err 1");
    assert_says(&a, "ohalf\nway", "ok");
    assert_string_equal(cis_buf_cstr(&told), "3/4 half way;");
    abi_close(&a);
}

static void a_question_without_an_answer_ends_the_run(void **state)
{
    (void)state;
    struct abi a;
    abi_init(&a);
    a.host.question = CIS_BUF_INIT(100000);
    open_with(&a, "");
    assert_ends(&a, "i{\"message\":\"Sure?\"}", CIS_E_INPUT_REQUIRED, "--answer k=JSON");
    assert_string_equal(cis_buf_cstr(&a.host.question),
                        "{\"key\":\"k\",\"request\":{\"message\":\"Sure?\"}}");
    cis_buf_done(&a.host.question);
    abi_close(&a);
}

static void a_question_is_charged_to_its_run(void **state)
{
    (void)state;
    struct abi a;
    start(&a, "");
    a.host.budget.limit = a.host.budget.used + 3000;
    assert_says(&a, "i{\"message\":\"Sure?\"}", "err 3");
    abi_close(&a);
}

static void run_gives_its_text_and_may_be_called_again(void **state)
{
    (void)state;
    struct abi a;
    start(&a, "");
    assert_says(&a, "eHello", "Hello");
    assert_false(a.result.is_json);
    assert_says(&a, "e{\"a\":1}", "{\"a\":1}");
    assert_true(a.result.is_json);
    assert_says(&a, "e", "");
    abi_close(&a);
}

static void an_err_of_run_is_the_skills_failure_with_its_reason(void **state)
{
    (void)state;
    struct abi a;
    start(&a, "");
    assert_int_equal(abi_run(&a, "Eno \"luck\"", NULL), CIS_OK);
    assert_false(a.result.success);
    assert_int_equal(a.result.code, 1);
    assert_string_equal(
        abi_value(&a),
        "{\"success\":false,\"code\":1,\"skill\":\"file:test\",\"error\":\"no \\\"luck\\\"\"}");
    abi_close(&a);
}

static void memory_is_read_and_written(void **state)
{
    (void)state;
    struct abi a;
    start(&a, ALL_GRANTS);
    assert_says(&a, "gk", "none");
    assert_says(&a, "sval\xc3\xbc", "ok");
    assert_says(&a, "gk", "val\xc3\xbc");
    assert_string_equal(cis_buf_cstr(&a.traced), "\"k\" ok(some(\"val\xc3\xbc\"))");
    assert_says(&a, "Sbytes", "ok");
    assert_says(&a, "Gk", "bytes");
    assert_says(&a, "dk", "ok");
    assert_says(&a, "gk", "none");
    assert_says(&a, "Gk", "none");
    abi_close(&a);
}

static void memory_is_searched(void **state)
{
    (void)state;
    struct abi a;
    start(&a, ALL_GRANTS);
    assert_says(&a, "qanything", "none");
    a.fake.key = "note";
    a.fake.value = "buy milk";
    a.fake.value_len = 8;
    assert_says(&a, "qmilk", "buy milk");
    assert_non_null(strstr(cis_buf_cstr(&a.traced), "domain: \"Private\", category: \"notes\""));
    abi_close(&a);
}

static void the_ai_answers(void **state)
{
    (void)state;
    struct abi a;
    start(&a, ALL_GRANTS);
    assert_says(&a, "aWhat is up?", "yes");
    assert_string_equal(a.fake.prompt, "What is up?");
    abi_close(&a);
}

static void http_sends_headers_and_bodies_and_returns_what_came(void **state)
{
    (void)state;
    struct abi a;
    start(&a, ALL_GRANTS);
    assert_says(&a, "hhttps://example.com/x", "pong");
    assert_string_equal(a.fake.method, "GET");
    assert_string_equal(a.fake.url, "https://example.com/x");
    assert_string_equal(a.fake.header, "X-Ask: yes");
    assert_non_null(
        strstr(cis_buf_cstr(&a.traced),
               "ok({status: 200, headers: [(\"x-test\", \"yes\")], body: text(\"pong\")})"));
    assert_says(&a, "Hhttps://example.com/", "pong");
    assert_string_equal(a.fake.method, "POST");
    assert_string_equal(a.fake.sent, "k");
    a.fake.status = 404;
    a.fake.body = "\xff\xfe";
    a.fake.body_len = 2;
    assert_int_equal(abi_run(&a, "hhttps://example.com/", NULL),
                     CIS_E_TRAP); /* it took it for text */
    assert_non_null(strstr(cis_buf_cstr(&a.traced), "status: 404"));
    assert_non_null(strstr(cis_buf_cstr(&a.traced), "body: bytes([255, 254])"));
    abi_close(&a);
}

static void log_lines_and_config_work_without_a_grant(void **state)
{
    (void)state;
    struct abi a;
    start(&a, "");
    assert_says(&a, "lwatch out", "ok");
    assert_string_equal(abi_log(&a), "warn watch out\n");
    assert_says(&a, "ck", "none");
    assert_says(&a, "Cblue", "ok");
    assert_says(&a, "ck", "blue");
    assert_true(a.host.config_dirty);
    abi_close(&a);
}

/* ---- edge ---- */

static char *text_of(char letter, size_t n)
{
    char *text = cis_alloc(n + 2);
    assert_non_null(text);
    memset(text, 'x', n + 1);
    text[0] = letter;
    text[n + 1] = 0;
    return text;
}

static void sixty_four_mebibytes_go_in_and_out(void **state)
{
    (void)state;
    struct abi a;
    start(&a, "");
    char *text = text_of('e', 64 * MIB);
    assert_int_equal(abi_run(&a, text, NULL), CIS_OK);
    assert_int_equal(a.result.value.len, 64 * MIB);
    assert_memory_equal(a.result.value.ptr, text + 1, 64 * MIB);
    assert_int_equal(a.host.budget.used, 0);
    cis_free(text);
    abi_close(&a);
}

static void says_by_size(struct abi *a, char letter, size_t n, const char *said)
{
    char *text = text_of(letter, n);
    assert_says(a, text, said);
    cis_free(text);
}

static void values_up_to_their_limits_are_taken_and_larger_ones_named(void **state)
{
    (void)state;
    struct abi a;
    start(&a, ALL_GRANTS);
    says_by_size(&a, 's', 10 * MIB, "ok");
    says_by_size(&a, 's', 10 * MIB + 1, "err 2");
    assert_non_null(strstr(cis_buf_cstr(&a.traced), "err(too-large(10485760))"));
    says_by_size(&a, 'S', MIB, "ok");
    assert_int_equal(abi_run(&a, "Gk", NULL), CIS_OK);
    assert_int_equal(a.result.value.len, MIB);
    says_by_size(&a, 'S', MIB + 1, "err 2");
    assert_non_null(strstr(cis_buf_cstr(&a.traced), "err(too-large(1048576))"));
    says_by_size(&a, 'a', 100 * 1024 + 1, "err 2");
    says_by_size(&a, 'q', 4097, "err 2");
    says_by_size(&a, 'C', 100 * 1024, "ok");
    says_by_size(&a, 'C', 100 * 1024 + 1, "err 2");
    says_by_size(&a, 'h', 8193, "err 2");
    abi_close(&a);
}

static void bytes_that_are_no_text_are_said_to_be_none(void **state)
{
    (void)state;
    struct abi a;
    start(&a, ALL_GRANTS);
    a.fake.key = "k";
    a.fake.value = "\xff";
    a.fake.value_len = 1;
    assert_says(&a, "gk", "err 4");
    a.fake.answer = "\xff";
    a.fake.answer_len = 1;
    assert_says(&a, "ahow", "err 4");
    abi_close(&a);
}

static void wrong_arguments_are_invalid_with_a_reason(void **state)
{
    (void)state;
    struct abi a;
    start(&a, ALL_GRANTS);
    assert_says(&a, "g", "err 1");
    assert_says(&a, "c", "err 1");
    assert_says(&a, "hno url", "err 1");
    assert_non_null(strstr(cis_buf_cstr(&a.traced), "err(invalid(\""));
    says_by_size(&a, 'g', 1025, "err 1");
    abi_close(&a);
}

static void a_component_without_imports_runs(void **state)
{
    (void)state;
    static const char *const wat =
        "(component (core module $m (memory (export \"memory\") 1)"
        " (data (i32.const 8) \"\\00\\00\\00\\00\\14\\00\\00\\00\\02\\00\\00\\00hi\")"
        " (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 1024))"
        " (func (export \"run\") (param i32 i32) (result i32) (i32.const 8)))"
        " (core instance $i (instantiate $m))"
        " (func (export \"run\") (param \"input\" string) (result (result string (error string)))"
        "  (canon lift (core func $i \"run\") (memory (core memory $i \"memory\"))"
        "   (realloc (core func $i \"realloc\")))))";
    struct abi a;
    abi_init(&a);
    abi_open(&a, wat, "");
    assert_says(&a, "", "hi");
    abi_close(&a);
}

/* ---- denied ---- */

static void without_its_grant_a_call_is_denied_and_counted(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        enum cis_grant grant;
    } calls[] = {{"gk", CIS_GRANT_MEMORY_READ},  {"Gk", CIS_GRANT_MEMORY_READ},
                 {"sv", CIS_GRANT_MEMORY_WRITE}, {"Sv", CIS_GRANT_MEMORY_WRITE},
                 {"dk", CIS_GRANT_MEMORY_WRITE}, {"qx", CIS_GRANT_MEMORY_READ},
                 {"ax", CIS_GRANT_AI},           {"hhttps://example.com/", CIS_GRANT_HTTP}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct abi a;
        start(&a, "");
        assert_says(&a, calls[i].input, "err 0");
        assert_non_null(strstr(cis_buf_cstr(&a.traced), "err(denied)"));
        assert_int_equal(abi_refused(&a, calls[i].grant), 1);
        assert_int_equal(a.fake.gets + a.fake.searches + a.fake.chats + a.fake.sends, 0);
        abi_close(&a);
    }
}

static void an_origin_that_is_not_granted_is_denied_and_counted(void **state)
{
    (void)state;
    struct abi a;
    start(&a, "http=https://example.com");
    assert_says(&a, "hhttps://example.org/", "err 0");
    assert_int_equal(abi_refused(&a, CIS_GRANT_HTTP), 1);
    assert_int_equal(a.fake.sends, 0);
    assert_says(&a, "hhttps://example.com/", "pong");
    abi_close(&a);
}

static cis_code plan_of(const char *wat, const struct cis_skillabi_options *o,
                        struct cis_error *err)
{
    struct abi a;
    abi_init(&a);
    cis_code code = abi_try(&a, cis_bytes_of(wat, strlen(wat)), o, "");
    *err = a.err;
    abi_close(&a);
    return code;
}

#define RUN                                                                                        \
    "(core module $m (memory (export \"memory\") 1)"                                               \
    " (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 1024))"           \
    " (func (export \"run\") (param i32 i32) (result i32) (i32.const 8)))"                         \
    " (core instance $i (instantiate $m))"                                                         \
    " (func (export \"run\") (param \"input\" string) (result (result string (error string)))"     \
    "  (canon lift (core func $i \"run\") (memory (core memory $i \"memory\"))"                    \
    "   (realloc (core func $i \"realloc\")))))"

static void what_nothing_provides_is_named_with_its_version(void **state)
{
    (void)state;
    assert_fails(CIS_E_UNSUPPORTED,
                 "imports wasi:cli/stdout@0.3.0 (and 1 more): needs WASI 0.3 (async)",
                 plan_of("(component (import \"wasi:cli/stdout@0.3.0\" (instance))"
                         " (import \"wasi:io/streams@0.3.0\" (instance))" RUN,
                         NULL, err));
    assert_fails(CIS_E_IMPORT, "imports wasi:gpu/cores@0.2.3 (instance), which nothing provides",
                 plan_of("(component (import \"wasi:gpu/cores@0.2.3\" (instance))" RUN, NULL, err));
    const struct cis_skillabi_options off = {.no_wasi = true};
    assert_fails(
        CIS_E_IMPORT, "imports wasi:cli/stdout@0.2.3: WASI is switched off",
        plan_of("(component (import \"wasi:cli/stdout@0.2.3\" (instance))" RUN, &off, err));
    assert_ok(plan_of("(component (import \"wasi:cli/stdout@0.2.3\" (instance))" RUN, NULL, err));
    assert_fails(CIS_E_IMPORT, "imports acme:gpu/cores@1.0.0 (instance), which nothing provides",
                 plan_of("(component (import \"acme:gpu/cores@1.0.0\" (instance))" RUN, NULL, err));
    assert_fails(
        CIS_E_IMPORT, "imports cis:skill/memory@0.2.0",
        plan_of("(component (import \"cis:skill/memory@0.2.0\" (instance))" RUN, NULL, err));
    assert_fails(
        CIS_E_IMPORT, "imports cis:skill/memory@0.1.0-rc.1",
        plan_of("(component (import \"cis:skill/memory@0.1.0-rc.1\" (instance))" RUN, NULL, err));
    assert_fails(CIS_E_IMPORT, "imports cis:skill/memory (instance)",
                 plan_of("(component (import \"cis:skill/memory\" (instance))" RUN, NULL, err));
    assert_fails(CIS_E_IMPORT, "imports cis:skill/gpu@0.1.0",
                 plan_of("(component (import \"cis:skill/gpu@0.1.0\" (instance))" RUN, NULL, err));
    assert_fails(
        CIS_E_IMPORT, "imports shout (func)",
        plan_of("(component (import \"shout\" (func (param \"s\" string)))" RUN, NULL, err));
    assert_fails(CIS_E_IMPORT, "imports m (module)",
                 plan_of("(component (import \"m\" (core module))" RUN, NULL, err));
}

static void what_an_interface_lacks_is_named_with_it(void **state)
{
    (void)state;
    assert_fails(CIS_E_IMPORT,
                 "test: imports cis:skill/log@0.1.4.shout, which nothing provides (and 1 more)",
                 plan_of("(component (import \"cis:skill/log@0.1.4\" (instance"
                         " (export \"shout\" (func)) (export \"sing\" (func))))" RUN,
                         NULL, err));
    assert_fails(CIS_E_IMPORT, "imports cis:skill/config@0.1.0.get with another type",
                 plan_of("(component (import \"cis:skill/config@0.1.0\" (instance"
                         " (export \"get\" (func (param \"key\" string) (result string)))))" RUN,
                         NULL, err));
    assert_fails(CIS_E_IMPORT, "imports cis:skill/log@0.1.0.line",
                 plan_of("(component (import \"cis:skill/log@0.1.0\" (instance"
                         " (export \"line\" (type (sub resource)))))" RUN,
                         NULL, err));
}

static void an_entry_other_than_run_is_refused(void **state)
{
    (void)state;
    const struct cis_skillabi_options method = {.method = "main"}, abi = {.abi = "env-buffer"},
                                      fine = {.method = "run", .abi = "cis:skill"};
    assert_fails(CIS_E_ENTRY,
                 "entered by its exported function run, or wasi:cli/run; it exports nothing",
                 plan_of("(component)", NULL, err));
    assert_fails(CIS_E_ENTRY, "function run, not main; exports: run",
                 plan_of("(component " RUN, &method, err));
    assert_fails(CIS_E_USAGE, "a component uses cis:skill", plan_of("(component " RUN, &abi, err));
    assert_ok(plan_of("(component " RUN, &fine, err));
    assert_fails(
        CIS_E_ENTRY,
        "exports run with the type func(u32) -> u32; it must be func(string) -> result<string, "
        "string>",
        plan_of("(component (core module $m (func (export \"run\") (param i32)"
                " (result i32) (i32.const 8))) (core instance $i (instantiate $m))"
                " (func (export \"run\") (param \"n\" u32) (result u32)"
                " (canon lift (core func $i \"run\"))))",
                NULL, err));
}

/* ---- broken ---- */

static void services_that_fail_are_told_apart(void **state)
{
    (void)state;
    struct abi a;
    start(&a, ALL_GRANTS);
    a.fake.memory_code = CIS_E_STORE;
    assert_says(&a, "gk", "err 7");
    assert_string_equal(abi_log(&a), "warn memory.get: memory is broken\n");
    assert_says(&a, "qk", "err 7");
    a.fake.ai_code = CIS_E_PROVIDER;
    assert_says(&a, "ax", "err 5");
    a.fake.ai_code = CIS_E_DEADLINE;
    assert_says(&a, "ax", "err 6");
    a.fake.http_code = CIS_E_NET;
    assert_says(&a, "hhttps://example.com/", "err 7");
    a.fake.http_code = CIS_E_LIMIT;
    assert_says(&a, "hhttps://example.com/", "err 3");
    a.fake.http_code = CIS_E_NOMEM;
    assert_ends(&a, "hhttps://example.com/", CIS_E_NOMEM, "the network is away");
    abi_close(&a);
}

static void an_answer_past_the_budget_is_a_limit_and_the_run_goes_on(void **state)
{
    (void)state;
    struct abi a;
    start(&a, ALL_GRANTS);
    says_by_size(&a, 'S', MIB, "ok");
    a.host.budget.limit = 16 * MIB; /* a list of a million bytes takes more while it is built */
    assert_says(&a, "Gk", "err 3");
    a.host.budget.limit = 512 * MIB;
    assert_int_equal(abi_run(&a, "Gk", NULL), CIS_OK);
    assert_int_equal(a.result.value.len, MIB);
    abi_close(&a);
}

static void input_that_is_no_text_or_past_the_budget_is_refused(void **state)
{
    (void)state;
    struct abi a;
    start(&a, "");
    assert_int_equal(abi_run(&a, "e\xff", NULL), CIS_E_USAGE);
    assert_says(&a, "estill here", "still here");
    a.host.budget.limit = 9;
    assert_ends(&a, "efive", CIS_E_BUDGET, "limit \"host-bytes\" reached: 10 of 9");
    abi_close(&a);
}

/* ---- hostile ---- */

static void values_that_lie_end_the_run_as_a_trap(void **state)
{
    (void)state;
    static const struct {
        const char *input, *text;
    } lies[] = {{"U", "utf-8"},
                {"P", "out of bounds"},
                {"V", "discriminant"},
                {"X", "out of bounds"},
                {"Y", "utf-8"}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct abi a;
        start(&a, ALL_GRANTS);
        assert_ends(&a, lies[i].input, CIS_E_TRAP, lies[i].text);
        assert_int_equal(abi_run(&a, "ehello", NULL), CIS_E_TRAP); /* it stays ended */
        assert_int_equal(a.host.budget.used, 0);
        abi_close(&a);
    }
}

static void a_trap_has_its_backtrace(void **state)
{
    (void)state;
    struct abi a;
    start(&a, "");
    assert_ends(&a, "T", CIS_E_TRAP, "unreachable code reached in inner_most");
    assert_non_null(strstr(cis_engine_instance_backtrace(a.guest), "0: inner_most (test+0x"));
    abi_close(&a);
}

static void a_list_is_bounded_by_the_budget_before_it_is_built(void **state)
{
    (void)state;
    struct abi a;
    start(&a, ALL_GRANTS);
    assert_says(&a, "B", "err 2"); /* two million bytes: decoded, and too large for the function */
    abi_close(&a);
    abi_init(&a);
    a.limits.host_bytes = 60 * MIB; /* its imports take text: a sixth */
    open_with(&a, ALL_GRANTS);
    assert_int_equal(cis_engine_instance_hostcall_max(a.guest), 10 * MIB);
    assert_ends(&a, "B", CIS_E_BUDGET, "host-call");
    assert_string_equal(cis_engine_instance_end(a.guest)->limit, "host-call");
    assert_int_equal(cis_engine_instance_end(a.guest)->configured, 10 * MIB);
    assert_int_equal(cis_engine_instance_end(a.guest)->reached, 10 * MIB + 1);
    abi_close(&a);
}

static void memory_time_and_output_are_limited(void **state)
{
    (void)state;
    struct abi a;
    abi_init(&a);
    a.limits.memory_bytes = 4 * MIB;
    open_with(&a, "");
    assert_ends(&a, "M", CIS_E_TRAP, "unreachable");
    struct cis_engine_instance_usage usage;
    cis_engine_instance_usage(a.guest, &usage);
    assert_true(usage.memory_limit_hit);
    assert_true(usage.memory_peak <= 4 * MIB);
    abi_close(&a);

    abi_init(&a);
    a.stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(), 10 * CIS_NS_PER_S);
    open_with(&a, "");
    struct cis_stop soon = {cis_clock_after(cis_clock_mono_ns(), 30 * CIS_NS_PER_MS), NULL};
    cis_engine_instance_rearm(a.guest, &soon, 0);
    assert_ends(&a, "L", CIS_E_DEADLINE, "time limit");
    assert_string_equal(cis_engine_instance_end(a.guest)->limit, "time");
    abi_close(&a);

    start(&a, "");
    a.host.output.max = 4;
    assert_says(&a, "efour", "four");
    assert_ends(&a, "efiver", CIS_E_BUDGET, "output");
    assert_string_equal(cis_engine_instance_end(a.guest)->limit, "output");
    abi_close(&a);
}

static void a_component_larger_than_its_limits_does_not_start(void **state)
{
    (void)state;
    struct abi a;
    abi_init(&a);
    a.limits.memory_bytes = 65536 * 2;
    static const char *const large =
        "(component (core module $big (memory 3)) (core instance (instantiate $big)) " RUN;
    assert_int_equal(abi_try(&a, cis_bytes_of(large, strlen(large)), NULL, ""), CIS_E_MEMORY);
    abi_close(&a);

    CIS_CLEANUP(cis_buf_done) struct cis_buf many = CIS_BUF_INIT(MIB);
    cis_buf_text(&many, "(component (core module $e)");
    for (int i = 0; i < 140; i++) { /* 128 may be */
        cis_buf_text(&many, " (core instance (instantiate $e))");
    }
    cis_buf_text(&many, " " RUN);
    abi_init(&a);
    assert_int_equal(abi_try(&a, cis_buf_bytes(&many), NULL, ""), CIS_E_LIMIT);
    abi_close(&a);
}

/* ---- the tables ---- */

static void every_row_is_described_called_and_in_the_wit_text(void **state)
{
    (void)state;
    size_t n;
    const struct cis_iface_table *const *tables = cis_skillabi_interfaces(&n);
    struct cis_buf wit = CIS_BUF_INIT(MIB);
    assert_ok(cis_file_read(CIS_TEST_SOURCE_DIR "/src/skillabi/wit/cis-skill.wit", &wit, err));
    for (size_t t = 0; t < n; t++) {
        char package[64];
        snprintf(package, sizeof package, "package %s@%s;", tables[t]->abi, tables[t]->version);
        assert_non_null(strstr(cis_buf_cstr(&wit), package));
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const struct cis_ifacefn *row = &tables[t]->rows[i];
            char title[64], line[64];
            snprintf(title, sizeof title, "interface %s {", strrchr(row->interface, '/') + 1);
            snprintf(line, sizeof line, "    %s: func(", row->name);
            const char *interface = strstr(cis_buf_cstr(&wit), title);
            assert_non_null(interface);
            const char *end = strstr(interface, "\n}\n"), *at = strstr(interface, line);
            if (at == NULL || end == NULL || at > end) {
                fail_msg("%s.%s is not in the WIT text", row->interface, row->name);
            }
            if (strlen(row->doc) < 10 || row->params[0] == 0 || !abi_iface_was_called(row)) {
                fail_msg("%s.%s: not described, or called by no test", row->interface, row->name);
            }
        }
    }
    cis_buf_done(&wit);
}

int component_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_gives_its_text_and_may_be_called_again),
        cmocka_unit_test(a_question_is_answered_and_progress_told),
        cmocka_unit_test(a_question_without_an_answer_ends_the_run),
        cmocka_unit_test(a_question_is_charged_to_its_run),
        cmocka_unit_test(an_err_of_run_is_the_skills_failure_with_its_reason),
        cmocka_unit_test(memory_is_read_and_written),
        cmocka_unit_test(memory_is_searched),
        cmocka_unit_test(the_ai_answers),
        cmocka_unit_test(http_sends_headers_and_bodies_and_returns_what_came),
        cmocka_unit_test(log_lines_and_config_work_without_a_grant),
        cmocka_unit_test(sixty_four_mebibytes_go_in_and_out),
        cmocka_unit_test(values_up_to_their_limits_are_taken_and_larger_ones_named),
        cmocka_unit_test(bytes_that_are_no_text_are_said_to_be_none),
        cmocka_unit_test(wrong_arguments_are_invalid_with_a_reason),
        cmocka_unit_test(a_component_without_imports_runs),
        cmocka_unit_test(without_its_grant_a_call_is_denied_and_counted),
        cmocka_unit_test(an_origin_that_is_not_granted_is_denied_and_counted),
        cmocka_unit_test(what_nothing_provides_is_named_with_its_version),
        cmocka_unit_test(what_an_interface_lacks_is_named_with_it),
        cmocka_unit_test(an_entry_other_than_run_is_refused),
        cmocka_unit_test(services_that_fail_are_told_apart),
        cmocka_unit_test(an_answer_past_the_budget_is_a_limit_and_the_run_goes_on),
        cmocka_unit_test(input_that_is_no_text_or_past_the_budget_is_refused),
        cmocka_unit_test(values_that_lie_end_the_run_as_a_trap),
        cmocka_unit_test(a_trap_has_its_backtrace),
        cmocka_unit_test(a_list_is_bounded_by_the_budget_before_it_is_built),
        cmocka_unit_test(memory_time_and_output_are_limited),
        cmocka_unit_test(a_component_larger_than_its_limits_does_not_start),
        cmocka_unit_test(every_row_is_described_called_and_in_the_wit_text),
    };
    return cmocka_run_group_tests_name("components", tests, NULL, NULL);
}
