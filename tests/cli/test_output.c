/* What is printed: lists in JSON that fail at any moment are one JSON value, and a terminal that
 * reads JSON is not steered by it. */
#include "harness.h"

#include <fcntl.h>
#include <jansson.h>
#include <pty.h>
#include "base/buf.h"
#include "cli/front.h"

static int saved = -1, reader = -1;

/* stdout is a pipe, or a terminal whose master is read. */
static void stdout_becomes(bool terminal)
{
    int ends[2];
    fflush(stdout);
    saved = dup(STDOUT_FILENO);
    if (terminal) {
        assert_int_equal(openpty(&ends[0], &ends[1], NULL, NULL, NULL), 0);
    } else {
        assert_int_equal(pipe(ends), 0);
    }
    assert_true(dup2(ends[1], STDOUT_FILENO) >= 0);
    close(ends[1]);
    reader = ends[0];
}

/* What was printed since, and stdout as it was. */
static const char *printed(void)
{
    static char text[65536];
    size_t len = 0;
    fflush(stdout);
    fcntl(reader, F_SETFL, O_NONBLOCK);
    for (ssize_t n; (n = read(reader, text + len, sizeof text - 1 - len)) > 0;) {
        len += (size_t)n;
    }
    text[len] = 0;
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(reader);
    return text;
}

static json_t *one_value(const char *text)
{
    json_error_t at;
    json_t *value = json_loads(text, 0, &at);
    if (value == NULL) {
        fail_msg("%s: %s", at.text, text);
    }
    return value;
}

static const struct cis_cli json_cli = {.json = true}, text_cli = {.json = false};

static void a_list_that_fails_is_one_json_value(void **state)
{
    (void)state;
    for (int items = 0; items < 3; items++) {
        stdout_becomes(false);
        cis_cli_list(&json_cli, "entries");
        for (int i = 0; i < items; i++) {
            cis_cli_item(CIS_JSON(CIS_J_INT("n", i)));
        }
        cis_cli_tell(NULL, true, CIS_E_STORE, "gone");
        json_t *value = one_value(printed());
        assert_int_equal(json_integer_value(json_object_get(value, "schema")), 1);
        assert_int_equal(json_array_size(json_object_get(value, "entries")), items);
        const json_t *error = json_object_get(value, "error");
        assert_string_equal(json_string_value(json_object_get(error, "message")), "gone");
        json_decref(value);
    }
}

static void a_list_is_whole_with_and_without_items(void **state)
{
    (void)state;
    static const char *const whole[] = {"{\"schema\":1,\"entries\":[],\"bytes\":5}\n",
                                        "{\"schema\":1,\"entries\":[{}],\"bytes\":5}\n",
                                        "{\"schema\":1,\"entries\":[{},{}],\"bytes\":5}\n"};
    for (int items = 0; items < 3; items++) {
        stdout_becomes(false);
        cis_cli_list(&json_cli, "entries");
        for (int i = 0; i < items; i++) {
            cis_cli_printf("{}");
        }
        cis_cli_list_end(CIS_JSON(CIS_J("bytes", 5u)));
        cis_cli_out("", 0);
        assert_string_equal(printed(), whole[items]);
    }
    stdout_becomes(false); /* a failure after that is a value of its own */
    cis_cli_tell(NULL, true, CIS_E_STORE, "gone");
    json_decref(one_value(printed()));
}

static void lists_stand_side_by_side_and_behind_other_members(void **state)
{
    (void)state;
    stdout_becomes(false);
    cis_cli_list_after(CIS_JSON(CIS_J("version", "1")), "a");
    cis_cli_item(CIS_JSON(CIS_J("i", 0u)));
    cis_cli_item(CIS_JSON(CIS_J("i", 1u)));
    cis_cli_list_next("b");
    cis_cli_item(CIS_JSON(CIS_J("i", 2u)));
    cis_cli_list_next("c");
    cis_cli_list_end(NULL);
    cis_cli_object(CIS_JSON(CIS_J("next", "x")));
    assert_string_equal(printed(), "{\"schema\":1,\"version\":\"1\",\"a\":[{\"i\":0},{\"i\":1}],"
                                   "\"b\":[{\"i\":2}],\"c\":[]}\n{\"schema\":1,\"next\":\"x\"}\n");
}

static void without_json_a_list_is_nothing(void **state)
{
    (void)state;
    stdout_becomes(false);
    cis_cli_list(&text_cli, "entries");
    cis_cli_printf("a line\n");
    cis_cli_list_next("more");
    cis_cli_printf("a line\n");
    cis_cli_list_end(CIS_JSON(CIS_J("bytes", 5u)));
    assert_string_equal(printed(), "a line\na line\n");
}

#define RAW                                                                                        \
    "\"a\xc2\x9b"                                                                                  \
    "2J\xe2\x80\xae\xe2\x81\xa6\x7f\xe2\x82\xac\xc3\xa9\""
#define SAFE "\"a\\u009b2J\\u202e\\u2066\\u007f\xe2\x82\xac\xc3\xa9\""

static void json_on_a_terminal_has_escapes_for_what_steers_it(void **state)
{
    (void)state;
    stdout_becomes(true);
    cis_cli_json_begins(true);
    cis_cli_out("{\"v\":" RAW "}", strlen("{\"v\":" RAW "}"));
    cis_cli_printf("{\"v\":%s}", RAW);
    cis_cli_out("\"\x9b\"", 3); /* no character at all */
    assert_string_equal(printed(), "{\"v\":" SAFE "}{\"v\":" SAFE "}\"\\ufffd\"");
    stdout_becomes(false); /* the very bytes for everybody else */
    cis_cli_json_begins(true);
    cis_cli_out(RAW, strlen(RAW));
    assert_string_equal(printed(), RAW);
}

static void json_that_is_made_here_has_them_wherever_it_goes(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    cis_buf_json(&text, CIS_STR("a\xc2\x9b"
                                "2J\xe2\x80\xae\xe2\x81\xa6\x7f\xe2\x82\xac\xc3\xa9"));
    assert_string_equal(cis_buf_cstr(&text), SAFE);
    json_t *value = json_loads(cis_buf_cstr(&text), JSON_DECODE_ANY, NULL);
    assert_string_equal(json_string_value(value),
                        "a\xc2\x9b"
                        "2J\xe2\x80\xae\xe2\x81\xa6\x7f\xe2\x82\xac\xc3\xa9");
    json_decref(value);
}

static void names_are_quoted_as_git_quotes_them(void **state)
{
    (void)state;
    static const struct {
        const char *name, *shown;
    } rows[] = {
        {"plain name.c", "a/plain name.c"},
        {"\xc3\xa9t\xc3\xa9", "a/\xc3\xa9t\xc3\xa9"},
        {"a\nb", "\"a/a\\nb\""},
        {"\a\b\t\v\f\r", "\"a/\\a\\b\\t\\v\\f\\r\""},
        {"say \"hi\"", "\"a/say \\\"hi\\\"\""},
        {"back\\slash", "\"a/back\\\\slash\""},
        {"\x1b[31m\x7f", "\"a/\\033[31m\\177\""},
        {"\xff\xc3", "\"a/\\377\\303\""},
        {"\xc2\x9b", "\"a/\\302\\233\""},            /* U+009B */
        {"x\xe2\x80\xae", "\"a/x\\342\\200\\256\""}, /* U+202E */
        {"", "a/"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf got = CIS_BUF_INIT(1024);
        cis_buf_text(&got, "> ");
        cis_cli_quoted(&got, "a/", cis_str_of(rows[i].name));
        assert_string_equal(cis_buf_cstr(&got) + 2, rows[i].shown);
    }
    /* Where memory ends, the buffer says so. */
    CIS_CLEANUP(cis_buf_done) struct cis_buf little = CIS_BUF_INIT(4);
    cis_cli_quoted(&little, "", CIS_STR("longer"));
    assert_int_not_equal(little.failed, CIS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_that_fails_is_one_json_value),
        cmocka_unit_test(a_list_is_whole_with_and_without_items),
        cmocka_unit_test(lists_stand_side_by_side_and_behind_other_members),
        cmocka_unit_test(without_json_a_list_is_nothing),
        cmocka_unit_test(json_on_a_terminal_has_escapes_for_what_steers_it),
        cmocka_unit_test(json_that_is_made_here_has_them_wherever_it_goes),
        cmocka_unit_test(names_are_quoted_as_git_quotes_them),
    };
    return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
