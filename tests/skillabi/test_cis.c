/* Module `cis`: direct names, SDK names, input and output. */
#include "skillabi/fixture.h"

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
#define END (2 * 65536)
#define OUT 4096

static void out_is(const char *text)
{
    assert_memory_equal(abi_at(&a, OUT, strlen(text)), text, strlen(text));
}

/* ---- cis-direct ---- */
static void direct_memory_answers_the_full_length(void **state)
{
    (void)state;
    abi_open_table(&a, "cis-direct", true, "memory");
    abi_put(&a, 16, "keyvalue");
    abi_put(&a, OUT, "########");
    assert_int_equal(abi_call(&a, "memory_get", 16, 3, OUT, 100), -1);
    abi_call(&a, "memory_set", 16, 3, 19, 5);
    assert_int_equal(abi_call(&a, "memory_get", 16, 3, OUT, 3), 5);
    out_is("val#####");
    assert_int_equal(abi_call(&a, "memory_get", 16, 3, OUT, 0), 5);
    assert_int_equal(abi_call(&a, "memory_get", 16, 3, OUT, 5), 5);
    out_is("value###");
    abi_call(&a, "memory_set", 16, 3, 0, 0);
    assert_int_equal(abi_call(&a, "memory_get", 16, 3, OUT, 5), 0);
    assert_int_equal(abi_call(&a, "memory_get", 16, 3, END - 1, 5), 0);
}

static void direct_set_that_is_refused_ends_the_run(void **state)
{
    (void)state;
    abi_open_table(&a, "cis-direct", true, "memory");
    assert_int_equal(abi_call_code(&a, "memory_set", 16, 1025, 0, 1), CIS_E_DENIED);
    assert_int_equal(cis_engine_instance_end(a.guest)->code, CIS_E_DENIED);
    assert_int_equal(cis_code_skill_exit(a.err.code), 4);
}

static void direct_set_that_fails_ends_the_run(void **state)
{
    (void)state;
    a.host.services.memory = NULL;
    abi_open_table(&a, "cis-direct", true, "memory");
    assert_int_equal(abi_call_code(&a, "memory_set", 16, 3, 0, 1), CIS_E_PROVIDER);
    assert_int_equal(cis_code_skill_exit(a.err.code), 7);
    assert_non_null(strstr(a.err.msg, "memory_set failed"));
}

static void direct_set_over_the_budget_ends_the_run_with_the_limit(void **state)
{
    (void)state;
    abi_open_table(&a, "cis-direct", true, "memory");
    a.host.budget.limit = a.host.budget.used + 100;
    assert_int_equal(abi_call_code(&a, "memory_set", 16, 3, 0, 60000), CIS_E_BUDGET);
    assert_string_equal(cis_engine_instance_end(a.guest)->limit, "host-bytes");
    assert_int_equal(cis_code_skill_exit(a.err.code), 6);
}

static void direct_ai_prompt_cuts_at_a_character(void **state)
{
    (void)state;
    a.fake.answer = "aüb";
    a.fake.answer_len = 4;
    abi_open_table(&a, "cis-direct", true, "ai");
    abi_put(&a, OUT, "########");
    assert_int_equal(abi_call(&a, "ai_prompt", 16, 3, OUT, 2), 4);
    out_is("a#######");
    assert_int_equal(abi_call(&a, "ai_prompt", 16, 3, OUT, 3), 4);
    out_is("aü#####");
    assert_int_equal(abi_call(&a, "ai_prompt", 16, 3, OUT, 4), 4);
    out_is("aüb####");
    a.fake.ai_code = CIS_E_PROVIDER;
    assert_int_equal(abi_call(&a, "ai_prompt", 16, 3, OUT, 4), -1);
    assert_int_equal(abi_call(&a, "ai_prompt", 16, 3, END - 1, 4), -1);
    assert_int_equal(a.fake.chats, 4);
}

static void direct_http_request_is_get_or_post_by_its_body(void **state)
{
    (void)state;
    abi_open_table(&a, "cis-direct", true, "network");
    abi_put(&a, 16, "https://x.example/ping");
    assert_int_equal(abi_call(&a, "http_request", 16, 18, 0, 0, OUT, 100), 4);
    assert_string_equal(a.fake.method, "GET");
    out_is("pong");
    assert_int_equal(abi_call(&a, "http_request", 16, 18, 34, 4, OUT, 2), 4);
    assert_string_equal(a.fake.method, "POST");
    assert_string_equal(a.fake.sent, "ping");
    a.fake.http_code = CIS_E_NET;
    assert_int_equal(abi_call(&a, "http_request", 16, 18, 0, 0, OUT, 100), -1);
    assert_int_equal(abi_call(&a, "http_request", 16, 18, 0, 0, END - 1, 100), -1);
    assert_int_equal(a.fake.sends, 3);
}

int direct_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(direct_memory_answers_the_full_length),
        T(direct_http_request_is_get_or_post_by_its_body),
        T(direct_ai_prompt_cuts_at_a_character),
        T(direct_set_that_is_refused_ends_the_run),
        T(direct_set_that_fails_ends_the_run),
        T(direct_set_over_the_budget_ends_the_run_with_the_limit),
    };
    return cmocka_run_group_tests_name("cis-direct", tests, NULL, NULL);
}

/* ---- cis-sdk ---- */
static void sdk_memory_has_the_codes_of_the_sdk(void **state)
{
    (void)state;
    abi_open_table(&a, "cis-sdk", true, "memory");
    abi_put(&a, 16, "keyvalue");
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 3, OUT, 100), -9);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 3, 19, 5), 0);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 3, OUT, 2), 5);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 3, OUT, 5), 5);
    out_is("value");
    assert_int_equal(abi_call(&a, "host_memory_delete", 16, 3), 0);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 3, OUT, 5), -9);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 0, 0, 0), -2);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 1025, 0, 0), -2);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 3, END - 1, 5), -9);
    a.host.budget.limit = a.host.budget.used + 100;
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 3, 0, 60000), -3);
}

static void sdk_services_that_fail_have_a_code_each(void **state)
{
    (void)state;
    a.fake.memory_code = CIS_E_STORE;
    a.fake.ai_code = CIS_E_PROVIDER;
    a.fake.http_code = CIS_E_NET;
    abi_open_table(&a, "cis-sdk", true, "memory ai http=https://x.example");
    abi_put(&a, 16, "https://x.example/https://y.example/");
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 3, OUT, 5), -5);
    assert_int_equal(abi_call(&a, "host_ai_chat", 16, 3, OUT, 5), -4);
    assert_int_equal(abi_call(&a, "host_http_post", 16, 18, 0, 0, OUT, 5), -6);
    assert_int_equal(abi_call(&a, "host_http_post", 34, 18, 0, 0, OUT, 5), -8);
    abi_put(&a, 100, "https://x exa");
    assert_int_equal(abi_call(&a, "host_http_post", 100, 13, 0, 0, OUT, 5), -2);
    assert_int_equal(abi_call(&a, "host_ai_chat", 16, 3, END - 1, 5), -2);
    assert_int_equal(abi_call(&a, "host_http_post", 16, 18, 0, 0, END - 1, 5), -2);
}

static void sdk_ai_and_http_answer_the_full_length(void **state)
{
    (void)state;
    abi_open_table(&a, "cis-sdk", true, "ai network");
    abi_put(&a, 16, "https://x.example/ping");
    assert_int_equal(abi_call(&a, "host_ai_chat", 16, 3, OUT, 2), 3);
    out_is("ye");
    assert_int_equal(abi_call(&a, "host_http_post", 16, 18, 34, 4, OUT, 3), 4);
    out_is("pon");
    assert_string_equal(a.fake.method, "POST");
}

static void sdk_log_has_five_levels(void **state)
{
    (void)state;
    abi_open_table(&a, "cis-sdk", true, "");
    abi_put(&a, 16, "hello");
    for (int level = -1; level < 6; level++) {
        abi_call(&a, "host_log", level, 16, 5);
    }
    assert_string_equal(abi_log(&a), "info hello\ntrace hello\ndebug hello\ninfo hello\n"
                                     "warn hello\nerror hello\ninfo hello\n");
}

static void sdk_now_is_milliseconds_since_1970(void **state)
{
    (void)state;
    a.host.fixed_clock = true;
    a.host.clock_ns = 1700000000123456789ull;
    abi_open_table(&a, "cis-sdk", true, "");
    assert_int_equal(abi_call(&a, "host_now"), 1700000000123ll);
    a.host.fixed_clock = false;
    assert_true(abi_call(&a, "host_now") > 1700000000123ll);
}

static void sdk_alloc_uses_the_guests_allocator(void **state)
{
    (void)state;
    abi_open_table(&a, "cis-sdk", true, "");
    assert_int_equal(abi_call(&a, "host_alloc", 100), 65536);
    assert_int_equal(abi_call(&a, "host_alloc", 100), 65636);
    assert_int_equal(abi_call(&a, "host_alloc", 1 << 20), 0);
    assert_int_equal(abi_call(&a, "host_alloc", 0), 0);
    assert_int_equal(abi_call(&a, "host_alloc", -5), 0);
    abi_call(&a, "host_free", 65636, 100);
    assert_int_equal(abi_call(&a, "freed"), 65636);
    abi_call(&a, "host_free", 0, 100);
    assert_int_equal(abi_call(&a, "freed"), 65636);
}

static void sdk_alloc_without_an_allocator_adds_pages_and_uses_them_again(void **state)
{
    (void)state;
    abi_open_table(&a, "cis-sdk", false, "");
    int64_t first = abi_call(&a, "host_alloc", 100);
    assert_int_equal(first, END);
    uint64_t size = cis_engine_instance_memory_size(a.guest);
    for (int i = 0; i < 10000; i++) {
        int64_t p = abi_call(&a, "host_alloc", 1000);
        assert_true(p > first);
        abi_call(&a, "host_free", (int)p, 1000);
    }
    assert_int_equal(cis_engine_instance_memory_size(a.guest), size);
    abi_call(&a, "host_free", 12, 1 << 30); /* nonsense is ignored */
    assert_int_equal(abi_call(&a, "host_alloc", 600 << 20), 0);
    assert_true(abi_call(&a, "host_alloc", 8) > 0);
}

int sdk_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(sdk_memory_has_the_codes_of_the_sdk),
        T(sdk_ai_and_http_answer_the_full_length),
        T(sdk_log_has_five_levels),
        T(sdk_now_is_milliseconds_since_1970),
        T(sdk_alloc_uses_the_guests_allocator),
        T(sdk_alloc_without_an_allocator_adds_pages_and_uses_them_again),
        T(sdk_services_that_fail_have_a_code_each),
    };
    return cmocka_run_group_tests_name("cis-sdk", tests, NULL, NULL);
}

/* ---- cis-io ---- */
static void input_is_read_in_chunks_of_any_offset(void **state)
{
    (void)state;
    abi_open_table(&a, "cis-io", true, "");
    a.host.input = cis_bytes_of("{\"a\":12}", 8);
    assert_int_equal(abi_call(&a, "input_len"), 8);
    abi_put(&a, OUT, "########");
    assert_int_equal(abi_call(&a, "input_read", (int64_t)0, OUT, 5), 5);
    out_is("{\"a\":###");
    assert_int_equal(abi_call(&a, "input_read", (int64_t)5, OUT, 100), 3);
    out_is("12}\":###");
    assert_int_equal(abi_call(&a, "input_read", (int64_t)8, OUT, 5), 0);
    assert_int_equal(abi_call(&a, "input_read", INT64_MAX, OUT, 5), 0);
    assert_int_equal(abi_call(&a, "input_read", (int64_t)-1, OUT, 5), -2);
    assert_int_equal(abi_call(&a, "input_read", INT64_MIN, OUT, 5), -2);
    assert_int_equal(abi_call(&a, "input_read", (int64_t)0, END - 4, 5), -2);
    assert_int_equal(abi_call(&a, "input_read", (int64_t)0, OUT, 0), 0);
}

static void output_is_appended(void **state)
{
    (void)state;
    abi_open_table(&a, "cis-io", true, "");
    abi_put(&a, 16, "hello");
    assert_int_equal(abi_call(&a, "output_write", 16, 3), 0);
    assert_int_equal(abi_call(&a, "output_write", 19, 2), 0);
    assert_int_equal(abi_call(&a, "output_write", 16, 0), 0);
    assert_string_equal(cis_buf_cstr(&a.host.output), "hello");
    assert_int_equal(abi_call(&a, "output_write", END - 1, 2), -2);
    assert_string_equal(cis_buf_cstr(&a.host.output), "hello");
}

static void output_past_its_limit_ends_the_run_with_the_limit(void **state)
{
    (void)state;
    a.host.output = CIS_BUF_INIT(10);
    abi_open_table(&a, "cis-io", true, "");
    assert_int_equal(abi_call(&a, "output_write", 16, 10), 0);
    assert_int_equal(abi_call_code(&a, "output_write", 16, 1), CIS_E_BUDGET);
    const struct cis_engine_instance_end *end = cis_engine_instance_end(a.guest);
    assert_string_equal(end->limit, "output");
    assert_int_equal(end->configured, 10);
    assert_int_equal(end->reached, 11);
}

int io_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(input_is_read_in_chunks_of_any_offset),
        T(output_is_appended),
        T(output_past_its_limit_ends_the_run_with_the_limit),
    };
    return cmocka_run_group_tests_name("cis-io", tests, NULL, NULL);
}

/* ---- env-plain ---- */
static void pair_is(uint32_t at, const char *text)
{
    const uint8_t *p = (const uint8_t *)abi_at(&a, at, 8);
    uint32_t ptr =
        (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    uint32_t len =
        (uint32_t)p[4] | (uint32_t)p[5] << 8 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 24;
    assert_int_not_equal(ptr, 0);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(abi_at(&a, ptr, len), text, len);
}

static void plain_results_are_described_by_eight_bytes(void **state)
{
    (void)state;
    abi_open_table(&a, "env-plain", true, "memory ai network");
    abi_put(&a, 16, "keyvaluehttps://x.example/ping");
    assert_int_equal(abi_call(&a, "memory_get", 16, 3, OUT), -1);
    assert_int_equal(abi_call(&a, "memory_set", 16, 3, 19, 5), 0);
    assert_int_equal(abi_call(&a, "memory_get", 16, 3, OUT), 0);
    pair_is(OUT, "value");
    assert_int_equal(abi_call(&a, "memory_set", 16, 3, 19, 0), 0);
    assert_int_equal(abi_call(&a, "memory_get", 16, 3, OUT), 0);
    pair_is(OUT, "");
    assert_int_equal(abi_call(&a, "ai_chat", 16, 3, OUT), 0);
    pair_is(OUT, "yes");
    assert_int_equal(abi_call(&a, "http_post", 24, 18, 42, 4, END - 8), 0);
    pair_is(END - 8, "pong");
    assert_string_equal(a.fake.sent, "ping");
}

static void plain_failures_are_minus_one(void **state)
{
    (void)state;
    a.fake.ai_code = CIS_E_PROVIDER;
    a.fake.http_code = CIS_E_NET;
    a.fake.memory_code = CIS_E_STORE;
    abi_open_table(&a, "env-plain", true, "memory ai network");
    abi_put(&a, 16, "https://x.example/");
    assert_int_equal(abi_call(&a, "memory_get", 16, 3, OUT), -1);
    assert_int_equal(abi_call(&a, "memory_set", 16, 0, 16, 1), -1);
    assert_int_equal(abi_call(&a, "ai_chat", 16, 3, OUT), -1);
    assert_int_equal(abi_call(&a, "http_post", 16, 18, 0, 0, OUT), -1);
}

static void plain_out_outside_the_memory_costs_nothing(void **state)
{
    (void)state;
    abi_open_table(&a, "env-plain", true, "memory ai network");
    abi_put(&a, 16, "https://x.example/");
    assert_int_equal(abi_call(&a, "memory_get", 16, 3, END - 7), -1);
    assert_int_equal(abi_call(&a, "ai_chat", 16, 3, END - 7), -1);
    assert_int_equal(abi_call(&a, "http_post", 16, 18, 0, 0, END - 7), -1);
    assert_int_equal(a.fake.gets + a.fake.chats + a.fake.sends, 0);
}

static void plain_log_levels_are_words(void **state)
{
    (void)state;
    abi_open_table(&a, "env-plain", true, "");
    abi_put(&a, 16, "hi");
    static const char *const words[] = {"trace", "DEBUG", "info", "Warning",
                                        "warn",  "error", "loud", ""};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        abi_put(&a, 100, words[i]);
        abi_call(&a, "log", 100, (int)strlen(words[i]), 16, 2);
    }
    abi_call(&a, "log", END, 5, 16, 2);
    assert_string_equal(abi_log(&a), "trace hi\ndebug hi\ninfo hi\nwarn hi\nwarn hi\nerror hi\n"
                                     "info hi\ninfo hi\ninfo hi\n");
}

int plain_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(plain_results_are_described_by_eight_bytes),
        T(plain_log_levels_are_words),
        T(plain_failures_are_minus_one),
        T(plain_out_outside_the_memory_costs_nothing),
    };
    return cmocka_run_group_tests_name("env-plain", tests, NULL, NULL);
}
