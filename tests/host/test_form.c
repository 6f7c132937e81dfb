/* Questions to the person: which keys, forms and answers are good, without a run. */
#include "harness.h"

#include "fake_guest.h"

static struct cis_host host;

static cis_code ask(const char *key, size_t len, const char *request, struct cis_str *out,
                    struct cis_error *err)
{
    const struct cis_str_pair question = {{key, len}, cis_str_of(request)};
    return cis_host_ask(&host, NULL, &question, out, err);
}

static int setup(void **state)
{
    (void)state;
    host = (struct cis_host){.budget = {.limit = 1u << 20}, .question = CIS_BUF_INIT(1u << 20)};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    uint64_t question = host.question.len;
    cis_buf_done(&host.question);
    return host.budget.used > question;
}

#define PLAIN "{\"message\": \"Who?\"}"

static void a_key_has_letters_digits_and_few_signs(void **state)
{
    (void)state;
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    struct cis_str answer;
    char key[CIS_HOST_ASK_KEY_MAX + 1];
    for (int c = 0; c < 256; c++) {
        struct cis_error why = {0};
        key[0] = 'k';
        key[1] = (char)c;
        bool fits = c != 0 && strchr(good, c) != NULL;
        assert_int_equal(ask(key, 2, PLAIN, &answer, &why),
                         fits ? CIS_E_INPUT_REQUIRED : CIS_E_INVALID);
        assert_non_null(strstr(why.msg, fits ? "no answer to k" : "a key has 1 to"));
    }
    memset(key, 'k', sizeof key);
    assert_fails(CIS_E_INPUT_REQUIRED, "no answer", ask(key, sizeof key - 1, PLAIN, &answer, err));
    assert_fails(CIS_E_INVALID, "a key has", ask(key, sizeof key, PLAIN, &answer, err));
    assert_fails(CIS_E_INVALID, "a key has", ask(key, 0, PLAIN, &answer, err));
}

/* The form of one property, "f". */
static const char *form_of(const char *spec)
{
    static char text[4096];
    snprintf(text, sizeof text,
             "{\"message\": \"m\", \"schema\": {\"type\": \"object\", \"properties\": "
             "{\"f\": %s}, \"required\": [\"f\"]}}",
             spec);
    return text;
}

#define TYPE "type must be string, number, integer, boolean or array"
#define CHOICES "its choices are not texts, or {const, title}"
#define ITEMS "items must be of strings, by either enum or anyOf"
#define BOUND "a bound of it is not a number, or negative"
#define PRINTABLE "is not printable"
#define KEYWORD "is not a keyword of its type"

static void fields_are_good_or_told_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *wrong; /* NULL: good */
    } rows[] = {
        {"{\"type\": \"string\"}", NULL},
        {"{\"type\": \"number\"}", NULL},
        {"{\"type\": \"integer\"}", NULL},
        {"{\"type\": \"boolean\"}", NULL},
        {"{\"type\": \"array\", \"items\": {\"enum\": [\"a\"]}}", NULL},
        {"{\"type\": \"array\", \"items\": {\"type\": \"string\", \"anyOf\": "
         "[{\"const\": \"a\", \"title\": \"A\"}]}}",
         NULL},
        {"{\"type\": \"object\"}", TYPE},
        {"{\"type\": 1}", TYPE},
        {"{}", TYPE},
        {"{\"type\": \"string\", \"minLength\": 1, \"maxLength\": 5, \"format\": \"email\"}", NULL},
        {"{\"type\": \"string\", \"minLength\": -1}", BOUND},
        {"{\"type\": \"string\", \"maxLength\": 1.5}", BOUND},
        {"{\"type\": \"string\", \"minimum\": 1}", KEYWORD},
        {"{\"type\": \"number\", \"minimum\": -1.5, \"maximum\": 3, \"default\": 2}", NULL},
        {"{\"type\": \"number\", \"minimum\": \"1\"}", BOUND},
        {"{\"type\": \"number\", \"minLength\": 1}", KEYWORD},
        {"{\"type\": \"boolean\", \"default\": true}", NULL},
        {"{\"type\": \"boolean\", \"enum\": [\"a\"]}", KEYWORD},
        {"{\"type\": \"boolean\", \"default\": 1}", "must be true or false"},
        {"{\"type\": \"string\", \"enum\": [\"a\", \"b\"], \"enumNames\": [\"A\", \"B\"]}", NULL},
        {"{\"type\": \"string\", \"enum\": [\"a\", \"b\"], \"enumNames\": [\"A\"]}", CHOICES},
        {"{\"type\": \"string\", \"enum\": [\"a\", 1]}", CHOICES},
        {"{\"type\": \"string\", \"enum\": []}", CHOICES},
        {"{\"type\": \"string\", \"enum\": [\"a\"], \"default\": \"b\"}", "not one of its choices"},
        {"{\"type\": \"string\", \"oneOf\": [{\"const\": \"a\", \"title\": \"A\"}]}", NULL},
        {"{\"type\": \"string\", \"oneOf\": [{\"const\": \"a\"}]}", CHOICES},
        {"{\"type\": \"string\", \"oneOf\": []}", CHOICES},
        {"{\"type\": \"array\"}", ITEMS},
        {"{\"type\": \"array\", \"items\": {}}", ITEMS},
        {"{\"type\": \"array\", \"items\": {\"type\": \"number\", \"enum\": [\"a\"]}}", ITEMS},
        {"{\"type\": \"string\", \"title\": \"\\u00fcber \\u65e5\\u672c\"}", NULL},
        {"{\"type\": \"string\", \"title\": \"a\\u202eb\"}", PRINTABLE},
        {"{\"type\": \"string\", \"title\": \"\\u009b2J\"}", PRINTABLE},
        {"{\"type\": \"string\", \"description\": \"\\u001b[2J\"}", PRINTABLE},
        {"{\"type\": \"string\", \"title\": \"a\\nb\"}", PRINTABLE},
        {"{\"type\": \"string\", \"default\": \"\\u202e\"}", PRINTABLE},
        {"{\"type\": \"string\", \"title\": 1}", PRINTABLE},
        {"[]", "is not an object"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cis_error why = {0};
        struct cis_str answer;
        bool good = rows[i].wrong == NULL;
        cis_code code = ask("k", 1, form_of(rows[i].spec), &answer, &why);
        if (code != (good ? CIS_E_INPUT_REQUIRED : CIS_E_INVALID) ||
            (!good && strstr(why.msg, rows[i].wrong) == NULL)) {
            fail_msg("%s: %s (%s)", rows[i].spec, cis_code_name(code), why.msg);
        }
    }
}

static void answers_fit_their_field_or_the_question_stays_open(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *answer, *wrong; /* NULL: it fits */
    } rows[] = {
        {"{\"type\": \"string\", \"minLength\": 2, \"maxLength\": 3}", "\"\\u00fc\\u00fc\"", NULL},
        {"{\"type\": \"string\", \"minLength\": 2}", "\"\\u00fc\"", "shorter or longer"},
        {"{\"type\": \"string\", \"maxLength\": 3}", "\"abcd\"", "shorter or longer"},
        {"{\"type\": \"string\"}", "1", "must be a text"},
        {"{\"type\": \"string\", \"enum\": [\"a\", \"b\"]}", "\"b\"", NULL},
        {"{\"type\": \"string\", \"enum\": [\"a\", \"b\"]}", "\"c\"", "not one of its choices"},
        {"{\"type\": \"string\", \"oneOf\": [{\"const\": \"a\", \"title\": \"A\"}]}", "\"a\"",
         NULL},
        {"{\"type\": \"string\", \"oneOf\": [{\"const\": \"a\", \"title\": \"A\"}]}", "\"A\"",
         "not one of its choices"},
        {"{\"type\": \"number\", \"minimum\": 1, \"maximum\": 2}", "1", NULL},
        {"{\"type\": \"number\", \"minimum\": 1, \"maximum\": 2}", "2.0", NULL},
        {"{\"type\": \"number\", \"minimum\": 1}", "0.9", "within its bounds"},
        {"{\"type\": \"number\", \"maximum\": 2}", "2.1", "within its bounds"},
        {"{\"type\": \"integer\"}", "1.5", "within its bounds"},
        {"{\"type\": \"boolean\"}", "false", NULL},
        {"{\"type\": \"boolean\"}", "\"true\"", "must be true or false"},
        {"{\"type\": \"array\", \"minItems\": 1, \"items\": {\"enum\": [\"a\", \"b\"]}}",
         "[\"b\", \"a\"]", NULL},
        {"{\"type\": \"array\", \"minItems\": 1, \"items\": {\"enum\": [\"a\"]}}", "[]",
         "not a list of as many"},
        {"{\"type\": \"array\", \"maxItems\": 1, \"items\": {\"enum\": [\"a\", \"b\"]}}",
         "[\"a\", \"b\"]", "not a list of as many"},
        {"{\"type\": \"array\", \"items\": {\"enum\": [\"a\"]}}", "[\"c\"]",
         "not one of its choices"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cis_error why = {0};
        struct cis_str got = {NULL, 0};
        char text[256];
        snprintf(text, sizeof text, " {\"f\": %s}\n", rows[i].answer);
        struct cis_ask_answer answers[] = {{.key = CIS_STR("k"), .json = CIS_STR("null")},
                                           {.key = CIS_STR("k"), .json = cis_str_of(text)},
                                           {.key = CIS_STR("other"), .json = CIS_STR("null")}};
        host.answers = answers;
        host.nanswers = 3;
        cis_code code = ask("k", 1, form_of(rows[i].spec), &got, &why);
        bool good = rows[i].wrong == NULL;
        if (code != (good ? CIS_OK : CIS_E_INPUT_REQUIRED) ||
            (!good && strstr(why.msg, rows[i].wrong) == NULL)) {
            fail_msg("%s, %s: %s (%s)", rows[i].spec, rows[i].answer, cis_code_name(code), why.msg);
        }
        assert_true(!good || cis_str_eq(got, cis_str_trim(cis_str_of(text))));
    }
}

static void what_is_missing_or_not_asked_for_does_not_fit(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *wrong;
    } rows[] = {{"{}", "\"f\" is missing"},
                {"{\"f\": \"a\", \"g\": 1}", "\"g\" is not asked for"},
                {"[]", "must be an object, or null for no"},
                {"{", "not JSON"}};
    struct cis_str got;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cis_ask_answer answer = {.key = CIS_STR("k"), .json = cis_str_of(rows[i].answer)};
        host.answers = &answer;
        host.nanswers = 1;
        assert_fails(CIS_E_INPUT_REQUIRED, rows[i].wrong,
                     ask("k", 1, form_of("{\"type\": \"string\"}"), &got, err));
        assert_fails(CIS_E_INPUT_REQUIRED, "no answer to l",
                     ask("l", 1, form_of("{\"type\": \"string\"}"), &got, err));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_has_letters_digits_and_few_signs),
        TEST(fields_are_good_or_told_what_is_wrong),
        TEST(answers_fit_their_field_or_the_question_stays_open),
        TEST(what_is_missing_or_not_asked_for_does_not_fit),
    };
    return cmocka_run_group_tests_name("form", tests, NULL, NULL);
}
