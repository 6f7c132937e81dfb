/* Compiled guests: one an ABI, the shapes of real skills, Go, and inputs of 64 MiB. */
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
#define SERVICES "memory ai http=https://api.example.com"

static void says(const char *input, const struct cis_skillabi_options *o, const char *value)
{
    if (abi_run(&a, input, o) != CIS_OK) {
        fail_msg("%s\n%s", a.err.msg, cis_engine_instance_backtrace(a.guest));
    }
    assert_string_equal(abi_value(&a), value);
    assert_true(a.result.success);
}

static void the_c_example_of_the_readme_leaves_its_value(void **state)
{
    (void)state;
    const struct cis_skillabi_options o = {.method = "example"};
    abi_open_file(&a, "seed002.wasm", "memory");
    says("{}", &o, "null");
    struct cis_bytes value;
    bool found;
    assert_ok(cis_memory_view_get(a.host.memory, CIS_STR("my_key"), &value, &found, err));
    assert_true(found);
    assert_int_equal(value.len, 8);
    assert_memory_equal(value.ptr, "my_value", 8);
    assert_string_equal(abi_log(&a), "info Hello from WASM!\n");
}

static void a_c_guest_of_env_packed(void **state)
{
    (void)state;
    abi_open_file(&a, "abi_packed.wasm", SERVICES);
    says("[1]", NULL,
         "{\"set\":0,\"get\":\"[1]\",\"set_empty\":0,\"get_empty\":\"\",\"delete\":0,\"absent\":0,"
         "\"ai\":\"yes\",\"http\":\"pong\"}");
    assert_string_equal(abi_log(&a), "info packed\n");
}

static void a_c_guest_of_env_packed_without_grants(void **state)
{
    (void)state;
    abi_open_file(&a, "abi_packed.wasm", "");
    says("[1]", NULL,
         "{\"set\":-1,\"get\":0,\"set_empty\":-1,\"get_empty\":0,\"delete\":-1,\"absent\":0,"
         "\"ai\":0,\"http\":0}");
    assert_int_equal(abi_refused(&a, CIS_GRANT_MEMORY_WRITE), 3);
    assert_int_equal(abi_refused(&a, CIS_GRANT_MEMORY_READ), 3);
}

static void a_c_guest_of_env_buffer(void **state)
{
    (void)state;
    abi_open_file(&a, "abi_buffer.wasm", SERVICES);
    says("[1]", NULL,
         "{\"set\":1,\"get\":\"[1]\",\"small\":-8,\"search\":2,\"delete\":1,\"absent\":0,"
         "\"config_set\":1,\"config_get\":\"kind\",\"ai\":\"yes\",\"http\":55}");
    assert_string_equal(abi_log(&a), "warn buffer\n");
    assert_string_equal(a.fake.method, "DELETE");
    assert_string_equal(a.fake.header, "x-key: 1");
}

static void a_c_guest_of_env_buffer_without_grants(void **state)
{
    (void)state;
    abi_open_file(&a, "abi_buffer.wasm", "");
    says("[1]", NULL,
         "{\"set\":-1,\"get\":-1,\"small\":-1,\"search\":-1,\"delete\":-1,\"absent\":-1,"
         "\"config_set\":1,\"config_get\":\"kind\",\"ai\":-1,\"http\":-1}");
}

static void a_c_guest_of_cis_direct(void **state)
{
    (void)state;
    abi_open_file(&a, "abi_direct.wasm", SERVICES);
    says("[1]", NULL,
         "{\"absent\":-1,\"get\":\"[1]\",\"length\":3,\"ai\":\"yes\",\"http\":\"pong\"}");
    assert_int_equal(abi_call(&a, "heap_used"), 0);
}

static void a_c_guest_of_cis_direct_without_grants_ends_at_its_write(void **state)
{
    (void)state;
    abi_open_file(&a, "abi_direct.wasm", "");
    assert_int_equal(abi_run(&a, "[1]", NULL), CIS_E_DENIED);
}

static void a_c_guest_of_cis_sdk(void **state)
{
    (void)state;
    abi_open_file(&a, "abi_sdk.wasm", SERVICES);
    says("[1]", NULL,
         "{\"event\":50,\"first\":123,\"absent\":-9,\"set\":0,\"get\":\"value\",\"delete\":0,"
         "\"ai\":\"yes\",\"http\":\"pong\",\"now\":1,\"again\":1}");
    assert_string_equal(abi_log(&a), "trace init\ntrace shutdown\n");
}

static void a_c_guest_of_env_plain(void **state)
{
    (void)state;
    abi_open_file(&a, "abi_plain.wasm", SERVICES);
    says("[1]", NULL,
         "{\"event\":\"run\",\"absent\":-1,\"set\":0,\"get\":0,\"value\":\"[1]\",\"ai\":0,"
         "\"answer\":\"yes\",\"http\":0,\"body\":\"pong\"}");
    assert_string_equal(abi_log(&a), "warn plain\n");
}

/* ---- shapes ---- */
static void a_skill_of_init_event_and_shutdown_runs(void **state)
{
    (void)state;
    abi_open_file(&a, "shape_events.wasm", "");
    assert_int_equal(cis_engine_module_info(a.image)->nimports, 0);
    says("{\"a\":1}", NULL, "{\"success\":true,\"code\":0,\"skill\":\"file:test\"}");
}

static void a_skill_of_methods_runs_by_name(void **state)
{
    (void)state;
    struct cis_skillabi_options o = {.method = "skill_parse_keywords"};
    abi_open_file(&a, "shape_organizer.wasm", "");
    says("{\"text\":\"green tea\"}", &o, "[\"text\",\"green\",\"tea\"]");
    o.method = "skill_on_memory_write";
    says("{\"text\":\"green tea\"}", &o, "{\"success\":true,\"code\":5,\"skill\":\"file:test\"}");
    assert_int_equal(abi_run(&a, "[]", &o), CIS_OK);
    assert_false(a.result.success);
    says("{}", NULL, "{\"success\":true,\"code\":0,\"skill\":\"file:test\"}");
}

static void a_skill_of_main_answers_with_its_text(void **state)
{
    (void)state;
    abi_open_file(&a, "shape_wizard.wasm", "");
    says("{}", NULL, "{\"steps\":[\"shell\",\"memory\",\"ai\"],\"done\":true}");
}

static void a_skill_of_a_lone_initialiser_runs(void **state)
{
    (void)state;
    abi_open_file(&a, "shape_init.wasm", "");
    says("{}", NULL, "{\"success\":true,\"code\":0,\"skill\":\"file:test\"}");
}

/* ---- commands ---- */
static void a_command_reads_stdin_and_writes_stdout(void **state)
{
    (void)state;
    abi_open_file(&a, "cat.wasm", "");
    says("{\"a\":1}", NULL, "{\"a\":1}");
}

static void a_command_that_exits_with_a_code_failed(void **state)
{
    (void)state;
    abi_open_file(&a, "cat.wasm", "");
    assert_int_equal(abi_run(&a, "\"fail\"", NULL), CIS_OK);
    assert_false(a.result.success);
    assert_int_equal(a.result.code, 3);
    assert_string_equal(abi_value(&a), "\"fail\"");
    assert_string_equal(abi_log(&a), "warn told to fail\n");
}

/* ---- 64 MiB ---- */
#define BIG (64u << 20)
static char *big_json(void)
{
    char *text = malloc(BIG + 1);
    assert_non_null(text);
    text[0] = '"';
    for (size_t i = 1; i < BIG - 1; i++) {
        text[i] = (char)('a' + i % 26 + i / 26 % 7 % 2);
    }
    text[BIG - 1] = '"';
    text[BIG] = 0;
    return text;
}

static void comes_back(const char *file, const char *method, uint64_t memory)
{
    a.limits.memory_bytes = memory;
    const struct cis_skillabi_options o = {.method = method};
    char *big = big_json();
    abi_open_file(&a, file, "");
    if (abi_run(&a, big, &o) != CIS_OK) {
        fail_msg("%s", a.err.msg);
    }
    assert_true(a.result.success);
    assert_true(a.result.is_json);
    assert_int_equal(a.result.value.len, BIG);
    assert_memory_equal(a.result.value.ptr, big, BIG);
    assert_true(a.host.budget.peak < 2 * BIG); /* the output, and no second copy of anything */
    free(big);
}

static void sixty_four_mebibytes_through_skill_execute(void **state)
{
    (void)state;
    comes_back("echo.wasm", "skill_execute", 128u << 20);
}

static void sixty_four_mebibytes_through_execute(void **state)
{
    (void)state;
    comes_back("echo.wasm", "execute", 128u << 20);
}

static void sixty_four_mebibytes_in_chunks_through_one_mebibyte_of_memory(void **state)
{
    (void)state;
    comes_back("echo.wasm", "skill_chunks", 1u << 20);
}

static void sixty_four_mebibytes_through_stdin_and_stdout(void **state)
{
    (void)state;
    comes_back("cat.wasm", NULL, 1u << 20);
}

static void sixty_four_mebibytes_do_not_fit_a_smaller_limit(void **state)
{
    (void)state;
    a.limits.memory_bytes = 32u << 20;
    char *big = big_json();
    abi_open_file(&a, "echo.wasm", "");
    assert_int_equal(abi_run(&a, big, NULL), CIS_E_MEMORY);
    assert_string_equal(cis_engine_instance_end(a.guest)->limit, "memory");
    free(big);
}

/* ---- Go ---- */
static bool have(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", CIS_GUESTS_DIR, name);
    return access(path, R_OK) == 0;
}

/* Compiling a Go program in this process takes the thread sanitizer many minutes. */
static void skip_under_tsan(void)
{
#if defined(__SANITIZE_THREAD__)
    skip();
#endif
}

static void a_go_command_runs(void **state)
{
    skip_under_tsan();
    (void)state;
    if (!have("go_command.wasm")) {
        not_tested("go", "its guests were not built");
    }
    abi_open_file(&a, "go_command.wasm", "memory");
    says("{\"Name\":\"gopher\"}", NULL, "{\"hello\":\"gopher\",\"set\":0}\n");
    assert_string_equal(abi_log(&a), "info hello from Go\n");
    struct cis_bytes value;
    bool found;
    assert_ok(cis_memory_view_get(a.host.memory, CIS_STR("name"), &value, &found, err));
    assert_true(found);
    assert_memory_equal(value.ptr, "gopher", 6);
}

static void a_go_reactor_runs(void **state)
{
    skip_under_tsan();
    (void)state;
    if (!have("go_reactor.wasm")) {
        not_tested("go", "its guests were not built");
    }
    abi_open_file(&a, "go_reactor.wasm", "memory");
    says("{\"a\":[1,2]}", NULL, "{\"set\":1,\"value\":{\"a\":[1,2]}}");
    const struct cis_skillabi_options o = {.method = "add", .kept = true};
    says("[1,1]", &o, "2");
}

int guest_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(the_c_example_of_the_readme_leaves_its_value),
        T(a_c_guest_of_env_packed),
        T(a_c_guest_of_env_buffer),
        T(a_c_guest_of_cis_direct),
        T(a_c_guest_of_cis_sdk),
        T(a_c_guest_of_env_plain),
        T(a_skill_of_init_event_and_shutdown_runs),
        T(a_skill_of_methods_runs_by_name),
        T(a_skill_of_main_answers_with_its_text),
        T(a_skill_of_a_lone_initialiser_runs),
        T(a_command_reads_stdin_and_writes_stdout),
        T(a_go_command_runs),
        T(a_go_reactor_runs),
        T(sixty_four_mebibytes_through_skill_execute),
        T(sixty_four_mebibytes_through_execute),
        T(sixty_four_mebibytes_in_chunks_through_one_mebibyte_of_memory),
        T(sixty_four_mebibytes_through_stdin_and_stdout),
        T(a_c_guest_of_env_packed_without_grants),
        T(a_c_guest_of_env_buffer_without_grants),
        T(a_c_guest_of_cis_direct_without_grants_ends_at_its_write),
        T(a_command_that_exits_with_a_code_failed),
        T(sixty_four_mebibytes_do_not_fit_a_smaller_limit),
    };
    return cmocka_run_group_tests_name("guests", tests, NULL, NULL);
}
