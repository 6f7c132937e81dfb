/* env-packed: ptr<<32|len. */
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

static void packed_is(int64_t packed, const char *text)
{
    uint64_t ptr = (uint64_t)packed >> 32, len = (uint32_t)packed;
    assert_int_equal(len, strlen(text));
    assert_int_not_equal(ptr, 0);
    assert_memory_equal(abi_at(&a, ptr, len), text, len);
}

static void memory_set_then_get_then_delete(void **state)
{
    (void)state;
    abi_open_table(&a, "env-packed", true, "memory");
    abi_put(&a, 16, "my_keymy_value");
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 6, 22, 8), 0);
    packed_is(abi_call(&a, "host_memory_get", 16, 6), "my_value");
    assert_int_equal(abi_call(&a, "host_memory_delete", 16, 6), 0);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 6), 0);
    assert_int_equal(abi_call(&a, "host_memory_delete", 16, 6), 0);
}

static void the_answer_lies_in_the_guests_own_allocation(void **state)
{
    (void)state;
    a.fake.key = "k";
    a.fake.value = "stored";
    a.fake.value_len = 6;
    abi_open_table(&a, "env-packed", true, "memory");
    abi_put(&a, 16, "k");
    int64_t packed = abi_call(&a, "host_memory_get", 16, 1);
    packed_is(packed, "stored");
    assert_int_equal((uint64_t)packed >> 32, 65536);
}

static void a_guest_without_an_allocator_gets_new_pages(void **state)
{
    (void)state;
    a.fake.key = "k";
    a.fake.value = "stored";
    a.fake.value_len = 6;
    abi_open_table(&a, "env-packed", false, "memory");
    abi_put(&a, 16, "k");
    int64_t first = abi_call(&a, "host_memory_get", 16, 1);
    packed_is(first, "stored");
    assert_int_equal((uint64_t)first >> 32, 2 * 65536);
    uint64_t size = cis_engine_instance_memory_size(a.guest);
    for (int i = 0; i < 1000; i++) { /* small answers share a page */
        packed_is(abi_call(&a, "host_memory_get", 16, 1), "stored");
    }
    assert_int_equal(cis_engine_instance_memory_size(a.guest), size);
}

static void a_present_empty_value_has_a_pointer_and_no_length(void **state)
{
    (void)state;
    abi_open_table(&a, "env-packed", true, "memory");
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 2, 0, 0), 0);
    int64_t packed = abi_call(&a, "host_memory_get", 16, 2);
    assert_int_not_equal((uint64_t)packed >> 32, 0);
    assert_int_equal((uint32_t)packed, 0);
}

static void keys_and_values_are_checked(void **state)
{
    (void)state;
    abi_open_table(&a, "env-packed", true, "memory");
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 0, 0, 1), -1);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 1025, 0, 1), -1);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 1024, 0, 1), 0);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 1025), 0);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 0), 0);
    assert_int_equal(abi_call(&a, "host_memory_delete", 16, 1025), -1);
}

static void a_store_that_fails_is_absent_for_the_guest_and_a_line_for_the_user(void **state)
{
    (void)state;
    a.fake.memory_code = CIS_E_STORE;
    abi_open_table(&a, "env-packed", true, "memory");
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 3), 0);
    assert_non_null(strstr(abi_log(&a), "warn host_memory_get: memory is broken"));
}

static void a_full_allocator_is_a_failed_call_and_the_run_goes_on(void **state)
{
    (void)state;
    abi_open_table(&a, "env-packed", true, "memory");
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 2, 0, 70000), 0);
    assert_int_equal(abi_call(&a, "host_memory_get", 16, 2), 0);
    assert_int_equal(abi_call(&a, "host_memory_set", 16, 2, 0, 10), 0);
    assert_int_not_equal(abi_call(&a, "host_memory_get", 16, 2), 0);
}

#define GET_WITH(malloc)                                                                           \
    "(module (import \"env\" \"host_memory_get\" (func $g (param i32 i32) (result i64)))"          \
    " (import \"env\" \"host_memory_set\" (func $s (param i32 i32 i32 i32) (result i32)))"         \
    " (memory (export \"memory\") 1) (data (i32.const 16) \"k\")"                                  \
    " (func (export \"malloc\") (param $n i32) (result i32) " malloc ")"                           \
    " (func (export \"put\") (drop (call $s (i32.const 16) (i32.const 1) (i32.const 0)"            \
    " (i32.const 100))))"                                                                          \
    " (func (export \"get\") (result i64) (call $g (i32.const 16) (i32.const 1))))"

static void an_allocator_that_lies_is_a_failed_call(void **state)
{
    (void)state;
    abi_open(&a, GET_WITH("(i32.const 65500)"), "memory");
    abi_call_code(&a, "put");
    assert_int_equal(abi_call(&a, "get"), 0);
    assert_int_equal(cis_engine_instance_end(a.guest)->code, CIS_OK);
}

static void an_allocator_that_changes_the_key_is_a_failed_call(void **state)
{
    (void)state;
    abi_open(&a,
             GET_WITH("(drop (call $s (i32.const 16) (i32.const 1) (i32.const 0)"
                      " (i32.const 60000))) (i32.const 1024)"),
             "memory");
    abi_call_code(&a, "put");
    assert_int_equal(abi_call(&a, "get"), 0);
    assert_int_equal(cis_engine_instance_end(a.guest)->code, CIS_OK);
}

static void an_allocator_that_deletes_its_own_key_reads_what_it_was_promised_or_nothing(
    void **state)
{
    (void)state; /* the key is in guest memory: overwriting it must not redirect the second read */
    abi_open(&a, GET_WITH("(i32.store8 (i32.const 16) (i32.const 0x7a)) (i32.const 1024)"),
             "memory");
    abi_call_code(&a, "put");
    int64_t packed = abi_call(&a, "get");
    assert_int_equal((uint64_t)packed >> 32, 1024);
    assert_int_equal((uint32_t)packed, 100);
}

static void an_allocator_that_traps_ends_the_run(void **state)
{
    (void)state;
    abi_open(&a, GET_WITH("(unreachable)"), "memory");
    abi_call_code(&a, "put");
    assert_int_equal(abi_call_code(&a, "get"), CIS_E_TRAP);
}

static void an_allocator_that_grows_the_memory_is_followed(void **state)
{
    (void)state;
    abi_open(&a, GET_WITH("(i32.mul (memory.grow (i32.const 1)) (i32.const 65536))"), "memory");
    abi_call_code(&a, "put");
    int64_t packed = abi_call(&a, "get");
    assert_int_equal((uint64_t)packed >> 32, 65536);
    assert_int_equal((uint32_t)packed, 100);
}

static void ai_chat_answers(void **state)
{
    (void)state;
    a.fake.answer = "hällo";
    a.fake.answer_len = 6;
    abi_open_table(&a, "env-packed", true, "ai");
    abi_put(&a, 16, "say hello");
    packed_is(abi_call(&a, "host_ai_chat", 16, 9), "hällo");
    assert_string_equal(a.fake.prompt, "say hello");
    a.fake.ai_code = CIS_E_PROVIDER;
    assert_int_equal(abi_call(&a, "host_ai_chat", 16, 9), 0);
    assert_non_null(strstr(abi_log(&a), "the provider is away"));
}

static void log_has_four_levels(void **state)
{
    (void)state;
    abi_open_table(&a, "env-packed", true, "");
    abi_put(&a, 16, "hello");
    for (int level = -1; level < 5; level++) {
        abi_call(&a, "host_log", level, 16, 5);
    }
    abi_call(&a, "host_log", 3, 131070, 5);
    assert_string_equal(abi_log(&a),
                        "info hello\ndebug hello\ninfo hello\nwarn hello\nerror hello\ninfo hello\n"
                        "warn log: the text of a log line (5 bytes at 131070) is outside the "
                        "memory\n");
}

static void http_post_sends_the_body_and_answers_with_the_response(void **state)
{
    (void)state;
    abi_open_table(&a, "env-packed", true, "http=https://api.example.com");
    abi_put(&a, 16, "https://api.example.com/xping");
    packed_is(abi_call(&a, "host_http_post", 16, 25, 41, 4), "pong");
    assert_string_equal(a.fake.method, "POST");
    assert_string_equal(a.fake.sent, "ping");
    a.fake.http_code = CIS_E_NET;
    assert_int_equal(abi_call(&a, "host_http_post", 16, 25, 41, 4), 0);
}

static void an_origin_without_a_grant_is_refused_and_counted(void **state)
{
    (void)state;
    abi_open_table(&a, "env-packed", true, "http=https://api.example.com");
    abi_put(&a, 16, "https://other.example.com/");
    assert_int_equal(abi_call(&a, "host_http_post", 16, 26, 0, 0), 0);
    assert_int_equal(a.fake.sends, 0);
    assert_int_equal(abi_refused(&a, CIS_GRANT_HTTP), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_guest, close_guest)
int packed_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(memory_set_then_get_then_delete),
        T(the_answer_lies_in_the_guests_own_allocation),
        T(a_guest_without_an_allocator_gets_new_pages),
        T(ai_chat_answers),
        T(log_has_four_levels),
        T(http_post_sends_the_body_and_answers_with_the_response),
        T(a_present_empty_value_has_a_pointer_and_no_length),
        T(keys_and_values_are_checked),
        T(an_origin_without_a_grant_is_refused_and_counted),
        T(a_store_that_fails_is_absent_for_the_guest_and_a_line_for_the_user),
        T(a_full_allocator_is_a_failed_call_and_the_run_goes_on),
        T(an_allocator_that_lies_is_a_failed_call),
        T(an_allocator_that_changes_the_key_is_a_failed_call),
        T(an_allocator_that_deletes_its_own_key_reads_what_it_was_promised_or_nothing),
        T(an_allocator_that_traps_ends_the_run),
        T(an_allocator_that_grows_the_memory_is_followed),
    };
    return cmocka_run_group_tests_name("env-packed", tests, NULL, NULL);
}
