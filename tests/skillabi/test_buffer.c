/* env-buffer: results in the caller's buffer, codes as the original host has them. */
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

#define END (2 * 65536)
#define OUT 4096

static void out_is(int64_t n, const char *text)
{
    assert_int_equal(n, strlen(text));
    assert_memory_equal(abi_at(&a, OUT, strlen(text)), text, strlen(text));
}

static void memory_set_is_one_and_get_is_the_length(void **state)
{
    (void)state;
    abi_open_table(&a, "env-buffer", true, "memory");
    abi_put(&a, 16, "keyvalue");
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 3, OUT, 100), 0);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 3, 19, 5), 1);
    out_is(abi_call(&a, "host_memory_get", 16, 3, OUT, 100), "value");
    assert_int_equal(abi_call(&a, "host_memory_delete", 16, 3), 1);
    assert_int_equal(abi_call(&a, "host_memory_delete", 16, 3), 1);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 3, OUT, 100), 0);
}

static void a_buffer_that_is_too_small_stays_untouched(void **state)
{
    (void)state;
    abi_open_table(&a, "env-buffer", true, "memory");
    abi_put(&a, 16, "keyvalue");
    abi_put(&a, OUT, "######");
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 3, 19, 5), 1);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 3, OUT, 4), -8);
    assert_memory_equal(abi_at(&a, OUT, 6), "######", 6);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 3, OUT, 5), 5);
    assert_memory_equal(abi_at(&a, OUT, 6), "value#", 6);
}

static void lengths_have_the_limits_of_the_abi(void **state)
{
    (void)state;
    abi_open_table(&a, "env-buffer", true, "memory ai");
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 1024, OUT, 1 << 20), 0);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 1025, OUT, 10), -2);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 0, OUT, 10), -2);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 4, OUT, (1 << 20) + 1), -2);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 1025, 0, 1), -2);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 1, 0, (10 << 20) + 1), -3);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 1, END - 1, 2), -3);
    assert_int_equal(abi_call(&a, "host_memory_delete", 16, 1025), -2);
    assert_int_equal(abi_call(&a, "host_memory_search", 16, 4097, OUT, 100), -2);
    assert_int_equal(abi_call(&a, "host_ai_chat", 16, (100 << 10) + 1, OUT, 100), -2);
    assert_int_equal(abi_call(&a, "host_ai_chat", 16, 4, OUT, (1 << 20) + 1), -2);
}

static void a_value_of_ten_mebibytes_passes_and_one_more_byte_does_not(void **state)
{
    (void)state;
    abi_open_table(&a, "env-buffer", true, "memory");
    uint64_t at;
    assert_ok(cis_engine_instance_grow(a.guest, 11u << 20, &at, err));
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 1, (int)at, 10 << 20), 1);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 1, (int)at, (10 << 20) + 1), -3);
}

static void an_output_outside_the_memory_is_a_failed_write(void **state)
{
    (void)state;
    a.fake.key = "k";
    a.fake.value = "value";
    a.fake.value_len = 5;
    abi_open_table(&a, "env-buffer", true, "memory ai network");
    abi_put(&a, 16, "khttps://x.example/GET");
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 1, END - 4, 100), -3);
    assert_int_equal(abi_call(&a, "host_memory_search", 16, 1, END - 4, 1000), -5);
    assert_int_equal(abi_call(&a, "host_ai_chat", 16, 1, END - 4, 100), -5);
    assert_int_equal(a.fake.chats, 0); /* nothing was spent */
    assert_int_equal(abi_call(&a, "host_http_request", 35, 3, 17, 18, 0, 0, 0, 0, END - 4, 1000),
                     -9);
    assert_int_equal(a.fake.sends, 0);
}

static void a_module_without_memory_is_told_so(void **state)
{
    (void)state;
    abi_open(&a,
             "(module (import \"env\" \"host_memory_get\" (func $g (param i32 i32 i32 i32)"
             " (result i32))) (import \"env\" \"host_memory_delete\" (func $d (param i32 i32)"
             " (result i32))) (func (export \"get\") (result i32) (call $g (i32.const 0)"
             " (i32.const 1) (i32.const 0) (i32.const 1))) (func (export \"del\") (result i32)"
             " (call $d (i32.const 0) (i32.const 1))))",
             "memory");
    assert_int_equal(abi_call(&a, "get"), -1);
    assert_int_equal(abi_call(&a, "del"), -1);
}

static void a_broken_store_has_its_code_in_each_call(void **state)
{
    (void)state;
    a.fake.memory_code = CIS_E_STORE;
    abi_open_table(&a, "env-buffer", true, "memory");
    abi_put(&a, 16, "k");
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 1, OUT, 10), -3);
    assert_int_equal(abi_call(&a, "host_memory_search", 16, 1, OUT, 10), -3);
}

static void without_a_memory_service_every_call_fails_with_its_code(void **state)
{
    (void)state;
    a.host.services.memory = NULL;
    abi_open_table(&a, "env-buffer", true, "memory");
    abi_put(&a, 16, "k");
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 1, OUT, 10), -3);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 1, 0, 1), -4);
    assert_int_equal(abi_call(&a, "host_memory_delete", 16, 1), -3);
    assert_int_equal(abi_call(&a, "host_memory_search", 16, 1, OUT, 100), -3);
}

static void a_used_up_budget_is_minus_ten_and_the_run_goes_on(void **state)
{
    (void)state;
    abi_open_table(&a, "env-buffer", true, "memory");
    a.host.budget.limit = a.host.budget.used + 1000;
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 1, 0, 60000), -10);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 1, 0, 10), 1);
}

static void search_answers_json_of_own_and_public_entries(void **state)
{
    (void)state;
    a.fake.key = "note";
    a.fake.value = "about \"tea\"";
    a.fake.value_len = 11;
    abi_open_table(&a, "env-buffer", true, "memory");
    abi_put(&a, 16, "tea");
    out_is(abi_call(&a, "host_memory_search", 16, 3, OUT, 1000),
           "[{\"key\":\"note\",\"value\":\"about \\\"tea\\\"\",\"domain\":\"Private\","
           "\"category\":\"notes\"}]");
    assert_int_equal(abi_call(&a, "host_memory_search", 16, 3, OUT, 20), -8);
    a.fake.key = NULL;
    out_is(abi_call(&a, "host_memory_search", 16, 3, OUT, 1000), "[]");
}

static void search_marks_what_another_skill_made_public(void **state)
{
    (void)state;
    a.fake.key = "note";
    a.fake.value = "tea";
    a.fake.value_len = 3;
    a.fake.search_public = true;
    abi_open_table(&a, "env-buffer", true, "memory");
    abi_put(&a, 16, "tea");
    int64_t n = abi_call(&a, "host_memory_search", 16, 3, OUT, 1000);
    assert_true(n > 0);
    abi_put(&a, OUT + (uint32_t)n, "\0");
    assert_non_null(strstr(abi_at(&a, OUT, (uint64_t)n + 1), "\"domain\":\"Public\""));
}

static void ai_chat_never_gives_a_part_of_an_answer(void **state)
{
    (void)state;
    a.fake.answer = "tschüß";
    a.fake.answer_len = strlen("tschüß");
    abi_open_table(&a, "env-buffer", true, "ai");
    abi_put(&a, 16, "bye");
    out_is(abi_call(&a, "host_ai_chat", 16, 3, OUT, 100), "tschüß");
    assert_int_equal(abi_call(&a, "host_ai_chat", 16, 3, OUT, 7), -8);
    a.fake.ai_code = CIS_E_PROVIDER;
    assert_int_equal(abi_call(&a, "host_ai_chat", 16, 3, OUT, 100), -3);
    a.fake.ai_code = CIS_E_DEADLINE; /* the provider's own timeout: the run goes on */
    assert_int_equal(abi_call(&a, "host_ai_chat", 16, 3, OUT, 100), -4);
    a.fake.ai_code = CIS_OK;
    a.host.ai_calls_max = a.host.ai_calls;
    assert_int_equal(abi_call(&a, "host_ai_chat", 16, 3, OUT, 100), -10);
}

static void log_cuts_a_line_at_ten_kibibytes(void **state)
{
    (void)state;
    abi_open_table(&a, "env-buffer", true, "");
    memset(cis_engine_instance_out(a.guest, 0, 30000), 'x', 30000);
    abi_call(&a, "host_log", 3, 0, 30000);
    assert_int_equal(strlen(abi_log(&a)), strlen("error \n") + 10 * 1024);
}

static void config_is_the_skills_own(void **state)
{
    (void)state;
    abi_open_table(&a, "env-buffer", true, "");
    assert_ok(cis_host_config_set(&a.host, CIS_STR("tone"), CIS_STR("kind"), err));
    abi_put(&a, 16, "tonecold");
    out_is(abi_call(&a, "host_config_get", 16, 4, OUT, 100), "kind");
    assert_int_equal(abi_call(&a, "host_config_get", 20, 4, OUT, 100), 0);
    assert_int_equal(abi_call(&a, "host_config_get", 16, 4, OUT, 3), -8);
    assert_int_equal(abi_call(&a, "host_config_get", 16, 0, OUT, 100), -2);
    assert_int_equal(abi_call(&a, "host_config_get", 16, 1025, OUT, 100), -2);
    assert_int_equal(abi_call(&a, "host_config_get", 16, 4, END - 2, 100), -5);
    assert_int_equal(abi_call(&a, "host_config_set", 16, 4, 20, 4), 1);
    out_is(abi_call(&a, "host_config_get", 16, 4, OUT, 100), "cold");
    assert_true(a.host.config_dirty);
    assert_int_equal(abi_call(&a, "host_config_set", 16, 4, 20, (100 << 10) + 1), -3);
    assert_int_equal(abi_call(&a, "host_config_set", 16, 1025, 20, 4), -2);
}

#define URL "https://api.example.com/v"
static void http_request_sends_method_headers_and_body(void **state)
{
    (void)state;
    a.fake.status = 201;
    a.fake.body = "line\n\"two\"";
    a.fake.body_len = 10;
    abi_open_table(&a, "env-buffer", true, "http=https://api.example.com");
    abi_put(&a, 16, "PUT");
    abi_put(&a, 100, URL);
    abi_put(&a, 200, "{\"x-key\":\"1\"}");
    abi_put(&a, 300, "data");
    out_is(abi_call(&a, "host_http_request", 16, 3, 100, 25, 200, 13, 300, 4, OUT, 1000),
           "{\"status\":201,\"headers\":{\"x-test\":\"yes\"},\"body\":\"line\\n\\\"two\\\"\"}");
    assert_string_equal(a.fake.method, "PUT");
    assert_string_equal(a.fake.sent, "data");
    assert_string_equal(a.fake.header, "x-key: 1");
}

static void http_request_has_a_code_for_each_failure(void **state)
{
    (void)state;
    abi_open_table(&a, "env-buffer", true, "http=https://api.example.com");
    abi_put(&a, 16, "GETBREW");
    abi_put(&a, 100, URL);
    abi_put(&a, 200, "{\"x-key\":");
    abi_put(&a, 300, "https://evil.example.com/");
#define REQUEST(m, ml, u, ul, h, hl, b, bl, o, ol)                                                 \
    abi_call(&a, "host_http_request", m, ml, u, ul, h, hl, b, bl, o, ol)
    assert_int_equal(REQUEST(16, 3, 300, 25, 0, 0, 0, 0, OUT, 1000), -1);
    assert_int_equal(REQUEST(16, 17, 100, 25, 0, 0, 0, 0, OUT, 1000), -2);
    assert_int_equal(REQUEST(16, 3, 100, 8193, 0, 0, 0, 0, OUT, 1000), -2);
    abi_put(&a, 400, "https://api.exa mple.com/file:///etc");
    assert_int_equal(REQUEST(16, 3, 400, 25, 0, 0, 0, 0, OUT, 1000), -2);
    assert_int_equal(REQUEST(16, 3, 425, 11, 0, 0, 0, 0, OUT, 1000), -1);
    assert_int_equal(REQUEST(16, 3, 100, 25, 0, 0, 0, 0, OUT, (1 << 20) + 1), -2);
    assert_int_equal(REQUEST(16, 3, 100, 25, END, 9, 0, 0, OUT, 1000), -3);
    assert_int_equal(REQUEST(16, 3, 100, 25, 0, 0, END, 9, OUT, 1000), -3);
    assert_int_equal(REQUEST(16, 3, 100, 25, 200, 9, 0, 0, OUT, 1000), -3);
    assert_int_equal(REQUEST(19, 4, 100, 25, 0, 0, 0, 0, OUT, 1000), -5);
    assert_int_equal(a.fake.sends, 0);
    a.fake.http_code = CIS_E_NET;
    assert_int_equal(REQUEST(16, 3, 100, 25, 0, 0, 0, 0, OUT, 1000), -6);
    a.fake.http_code = CIS_E_IO;
    assert_int_equal(REQUEST(16, 3, 100, 25, 0, 0, 0, 0, OUT, 1000), -7);
    a.fake.http_code = CIS_OK;
    assert_int_equal(REQUEST(16, 3, 100, 25, 0, 0, 0, 0, OUT, 20), -8);
    a.host.services.http = NULL;
    assert_int_equal(REQUEST(16, 3, 100, 25, 0, 0, 0, 0, OUT, 1000), -4);
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_guest, close_guest)
int buffer_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(memory_set_is_one_and_get_is_the_length),
        T(search_answers_json_of_own_and_public_entries),
        T(search_marks_what_another_skill_made_public),
        T(ai_chat_never_gives_a_part_of_an_answer),
        T(config_is_the_skills_own),
        T(http_request_sends_method_headers_and_body),
        T(a_buffer_that_is_too_small_stays_untouched),
        T(lengths_have_the_limits_of_the_abi),
        T(a_value_of_ten_mebibytes_passes_and_one_more_byte_does_not),
        T(log_cuts_a_line_at_ten_kibibytes),
        T(http_request_has_a_code_for_each_failure),
        T(an_output_outside_the_memory_is_a_failed_write),
        T(a_module_without_memory_is_told_so),
        T(a_broken_store_has_its_code_in_each_call),
        T(without_a_memory_service_every_call_fails_with_its_code),
        T(a_used_up_budget_is_minus_ten_and_the_run_goes_on),
    };
    return cmocka_run_group_tests_name("env-buffer", tests, NULL, NULL);
}
