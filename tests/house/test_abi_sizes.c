/* The binary interface of libcis on 64-bit machines: sizes and positions that programs were
 * compiled with. A failure here means a new major version of the library, or an oversight. */
#include "harness.h"
#include "cis/cis.h"

#define SIZE(type, bytes)                                                                          \
    {                                                                                              \
#type, sizeof(struct type), bytes                                                          \
    }

static void public_structs_keep_their_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t is, was;
    } rows[] = {
        SIZE(cis_error, 232),          SIZE(cis_sink, 16),         SIZE(cis_call, 48),
        SIZE(cis_memory_op, 32),       SIZE(cis_memory_hit, 64),   SIZE(cis_memory_service, 48),
        SIZE(cis_ai_request, 32),      SIZE(cis_ai_usage, 24),     SIZE(cis_ai_service, 24),
        SIZE(cis_http_header, 16),     SIZE(cis_http_request, 80), SIZE(cis_http_response, 40),
        SIZE(cis_http_service, 80),    SIZE(cis_log_service, 24),  SIZE(cis_services, 40),
        SIZE(cis_runtime_config, 136), SIZE(cis_value, 16),        SIZE(cis_run_options, 152),
        SIZE(cis_skill_options, 88),   SIZE(cis_http_head, 48),    SIZE(cis_http_incoming, 144),
        SIZE(cis_http_answer, 200),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].is != rows[i].was) {
            fail_msg("struct %s: %zu bytes, was %zu", rows[i].name, rows[i].is, rows[i].was);
        }
    }
}

static void init_macros_set_the_size(void **state)
{
    (void)state;
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    struct cis_skill_options skill = CIS_SKILL_OPTIONS_INIT;
    struct cis_memory_service memory = CIS_MEMORY_SERVICE_INIT;
    struct cis_ai_service ai = CIS_AI_SERVICE_INIT;
    struct cis_http_service http = CIS_HTTP_SERVICE_INIT;
    struct cis_log_service log = CIS_LOG_SERVICE_INIT;
    struct cis_http_incoming incoming = CIS_HTTP_INCOMING_INIT;
    struct cis_http_answer answer = CIS_HTTP_ANSWER_INIT;
    assert_int_equal(incoming.size, sizeof incoming);
    assert_int_equal(answer.size, sizeof answer);
    assert_int_equal(incoming.read_fd, -1);
    assert_int_equal(incoming.write_fd, -1);
    assert_int_equal(config.size, sizeof config);
    assert_int_equal(options.size, sizeof options);
    assert_int_equal(skill.size, sizeof skill);
    assert_int_equal(memory.size, sizeof memory);
    assert_int_equal(ai.size, sizeof ai);
    assert_int_equal(http.size, sizeof http);
    assert_int_equal(log.size, sizeof log);
}

static void runtime_defaults_are_the_documented_ones(void **state)
{
    (void)state;
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    assert_true(config.max_memory == 512ull << 20);
    assert_true(config.max_execution_time == 30000);
    assert_true(config.enable_wasi);
    assert_false(config.memory64);
    assert_false(config.exceptions);
    assert_false(config.compile_in_process);
}

static void error_codes_keep_their_values(void **state)
{
    (void)state;
    static const char *const names[] = {
        "OK",       "FAILED",   "USAGE",    "NOTFOUND",  "INVALID",  "UNSUPPORTED", "IMPORT",
        "ENTRY",    "DENIED",   "CHECKSUM", "SIGNATURE", "QUOTA",    "EXISTS",      "TRAP",
        "DEADLINE", "MEMORY",   "FUEL",     "BUDGET",    "LIMIT",    "STORE",       "IO",
        "NET",      "PROVIDER", "NOMEM",    "INTERNAL",  "CONFLICT", "CANCELLED",   "BADPTR"};
    assert_true(CIS_E_COUNT_ >= sizeof names / sizeof *names);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_string_equal(cis_code_name((cis_code)i), names[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_structs_keep_their_sizes),
        cmocka_unit_test(init_macros_set_the_size),
        cmocka_unit_test(runtime_defaults_are_the_documented_ones),
        cmocka_unit_test(error_codes_keep_their_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
