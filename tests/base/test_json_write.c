/* The JSON writer: commas, escapes, limits. */
#include "base/json.h"
#include "base/json_write.h"
#include "harness.h"

static void members_are_written_in_order_with_their_types(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(1000);
    char array[] = "text";
    const char *none = NULL;
    bool yes = true;
    cis_json_object(&b, CIS_JSON(CIS_J("a", array), CIS_J("b", none), CIS_J("c", CIS_STR("x\0y")),
                                 CIS_J("d", UINT64_MAX), CIS_J("e", INT64_MIN), CIS_J("f", yes),
                                 CIS_J_BOOL("g", 1 > 2), CIS_J_INT("h", -1), CIS_J_NULL("i"),
                                 CIS_J_RAW("j", CIS_STR("[1,2]")), CIS_J_RAW("k", CIS_STR(""))));
    assert_string_equal(cis_buf_cstr(&b),
                        "{\"a\":\"text\",\"b\":\"\",\"c\":\"x\\u0000y\",\"d\":18446744073709551615,"
                        "\"e\":-9223372036854775808,\"f\":true,\"g\":false,\"h\":-1,\"i\":null,"
                        "\"j\":[1,2],\"k\":null}");
}

static void lists_and_objects_nest_over_many_calls(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(1000);
    cis_json_write(&b, CIS_JSON(CIS_J_OPEN(NULL), CIS_J_LIST("empty"), CIS_J_LIST_END,
                                CIS_J_OPEN("none"), CIS_J_CLOSE, CIS_J_LIST("list")));
    for (unsigned i = 0; i < 3; i++) {
        cis_json_object(&b, CIS_JSON(CIS_J("i", i)));
    }
    cis_json_write(&b, CIS_JSON(CIS_J_BOOL(NULL, true), CIS_J_NULL(NULL), CIS_J(NULL, 7u),
                                CIS_J_LIST_END, CIS_J_KEY(CIS_STR("k\"")), CIS_J(NULL, "v")));
    cis_json_write(&b, NULL);
    cis_json_write(&b, CIS_JSON(CIS_J_CLOSE));
    assert_string_equal(cis_buf_cstr(&b), "{\"empty\":[],\"none\":{},\"list\":[{\"i\":0},{\"i\":1},"
                                          "{\"i\":2},true,null,7],\"k\\\"\":\"v\"}");
    assert_true(cis_json_valid(b.ptr, b.len, NULL));
}

static const char *never(void)
{
    fail_msg("the value of a part that is left out was looked at");
    return "";
}

static void a_part_whose_condition_fails_leaves_nothing(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(1000);
    cis_json_object(&b, CIS_JSON(CIS_J_IF(false, CIS_J("a", never())), CIS_J_RAW(NULL, CIS_STR("")),
                                 CIS_J_IF(true, CIS_J("b", "")), CIS_J_IF(false, CIS_J_NULL("c"))));
    assert_string_equal(cis_buf_cstr(&b), "{\"b\":\"\"}");
}

/* What a value holds cannot end it: the writer looks at the last byte only. */
static void every_string_is_followed_by_a_comma_and_reads_back(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(1000);
        char text[] = {(char)c, 0};
        struct cis_str one = {text, 1};
        cis_json_object(&b, CIS_JSON(CIS_J("a", one), CIS_J(text, one), CIS_J("b", 0u)));
        assert_true(cis_json_valid(b.ptr, b.len, NULL));
        assert_string_equal(cis_buf_cstr(&b) + b.len - 8, "\",\"b\":0}");
    }
}

static void what_steers_a_terminal_is_an_escape(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(1000);
    cis_json_object(&b, CIS_JSON(CIS_J("\x1b[2J", "\xC2\x9B"
                                                  "1m\xE2\x80\xAE\xFF")));
    assert_string_equal(cis_buf_cstr(&b), "{\"\\u001b[2J\":\"\\u009b1m\\u202e\xEF\xBF\xBD\"}");
}

static void a_text_over_the_maximum_fails_and_stays_failed(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(10);
    struct cis_error err;
    cis_json_object(&b, CIS_JSON(CIS_J("name", "value")));
    cis_json_write(&b, CIS_JSON(CIS_J(NULL, 1u)));
    assert_int_equal(cis_buf_check(&b, "text", &err), CIS_E_LIMIT);
    assert_true(b.len <= 10);
    CIS_CLEANUP(cis_buf_done) struct cis_buf none = CIS_BUF_INIT(0);
    cis_json_object(&none, CIS_JSON(CIS_J("a", 1u)));
    assert_int_equal(none.failed, CIS_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_written_in_order_with_their_types),
        cmocka_unit_test(lists_and_objects_nest_over_many_calls),
        cmocka_unit_test(a_part_whose_condition_fails_leaves_nothing),
        cmocka_unit_test(every_string_is_followed_by_a_comma_and_reads_back),
        cmocka_unit_test(what_steers_a_terminal_is_an_escape),
        cmocka_unit_test(a_text_over_the_maximum_fails_and_stays_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
