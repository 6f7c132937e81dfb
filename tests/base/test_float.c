/* Numbers as text in a process whose locale has a decimal comma. */
#include "harness.h"

#include <locale.h>
#include "base/float.h"

static void numbers_are_written_as_json_has_them(void **state)
{
    (void)state;
    static const double values[] = {0.5, 1.0 / 3, -2.25e300, 1e-9, 7};
    char text[CIS_FLOAT_TEXT_MAX];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        cis_float_exact(values[i], false, text);
        assert_null(strchr(text, ','));
        assert_true(cis_float_read(text, NULL) == values[i]);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(100);
    cis_buf_float(&out, 0.25);
    assert_string_equal(cis_buf_cstr(&out), "0.25");
    char *end;
    assert_true(cis_float_read_single("1.5x", &end) == 1.5f);
    assert_string_equal(end, "x");
}

/* The same where printf writes 0,5: the locale is made here, as few machines have one. */
static void a_comma_locale_changes_no_number(void **state)
{
    (void)state;
    char *dir = test_dir_new(), *command = NULL;
    assert_true(asprintf(&command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 2>/dev/null", dir) >
                0);
    if (system(command) != 0 && setlocale(LC_ALL, "de_DE.UTF-8") == NULL) {
        not_tested("locale", "no locale with a comma can be had");
    }
    setenv("LOCPATH", dir, 1);
    assert_non_null(setlocale(LC_ALL, "de_DE.UTF-8"));
    char text[CIS_FLOAT_TEXT_MAX];
    snprintf(text, sizeof text, "%g", 0.5);
    assert_string_equal(text, "0,5");
    numbers_are_written_as_json_has_them(state);
    snprintf(text, sizeof text, "%g", 0.5); /* the process keeps its own */
    assert_string_equal(text, "0,5");
    setlocale(LC_ALL, "C");
    free(command);
    assert_true(asprintf(&command, "rm -r %s", dir) > 0);
    assert_int_equal(system(command), 0);
    free(command);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_as_json_has_them),
        cmocka_unit_test(a_comma_locale_changes_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
