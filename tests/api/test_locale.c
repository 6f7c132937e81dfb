/* libcis in a process whose locale writes a comma: numbers of guests, of settings and of reports
 * are what they are elsewhere, and the process keeps its locale. The locale is made here, as few
 * machines have one. */
#include <locale.h>
#include "base/buf.h"
#include "base/file.h"
#include "cis/cis.h"
#include "engine/code/engine.h"
#include "harness.h"
#include "system/guests.h"

static char *dir;

static int setup(void **state)
{
    char *command = NULL;
    (void)state;
    dir = test_dir_new();
    int n = asprintf(&command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 2>/dev/null", dir);
    if (n < 0) {
        return -1;
    }
    (void)!system(command);
    free(command);
    setenv("LOCPATH", dir, 1);
    return 0;
}

static int teardown(void **state)
{
    struct cis_error err;
    (void)state;
    setlocale(LC_ALL, "C");
    int failed = cis_file_remove_tree(dir, &err) != CIS_OK;
    free(dir);
    return failed;
}

static void with_a_comma(void)
{
    char text[16];
    if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL) {
        not_tested("locale", "no locale with a comma can be had");
    }
    snprintf(text, sizeof text, "%g", 0.5);
    assert_string_equal(text, "0,5");
}

static const char COMPONENT[] =
    "(component"
    " (core module $m"
    "  (func (export \"half\") (param f64) (result f64) (f64.mul (local.get 0) (f64.const 0.5)))"
    "  (func (export \"single\") (param f32) (result f32) (f32.mul (local.get 0) (f32.const 0.5))))"
    " (core instance $i (instantiate $m))"
    " (func (export \"half\") (param \"x\" f64) (result f64) (canon lift (core func $i \"half\")))"
    " (func (export \"single\") (param \"x\" f32) (result f32)"
    "  (canon lift (core func $i \"single\"))))";

static const char NUMBERS[] = "(module (func (export \"mean\") (param f64 f64) (result f64)"
                              " (f64.mul (f64.add (local.get 0) (local.get 1)) (f64.const 0.5))))";

static void assert_eval(cis_component *c, const char *call, const char *expected)
{
    char *text = NULL;
    assert_ok(cis_component_eval(c, call, &text, err));
    assert_string_equal(text, expected);
    cis_output_free(text);
}

static cis_module *load(cis_runtime *runtime, const char *text)
{
    cis_module *module = NULL;
    assert_ok(cis_module_load(runtime, text, strlen(text), "guest", &module, err));
    return module;
}

static void components_are_called(cis_runtime *runtime)
{
    cis_module *module = load(runtime, COMPONENT);
    cis_wasi_config *run = NULL;
    cis_component *c = NULL;
    assert_ok(cis_wasi_config_new(runtime, &run, err));
    assert_ok(cis_component_open(run, module, &c, err));
    assert_eval(c, "half(1.0)", "0.5");
    assert_eval(c, "half(12.5e-1)", "0.625");
    assert_eval(c, "single(-0.25)", "-0.125");
    cis_component_close(c);
    cis_wasi_config_free(run);
    cis_module_unref(module);
}

static void assert_run(cis_runtime *runtime, const char *text, const char *input,
                       const struct cis_run_options *o, const char *expected)
{
    cis_module *module = load(runtime, text);
    cis_result *result = NULL;
    assert_ok(cis_run(runtime, module, input, strlen(input), o, &result, err));
    assert_int_equal(cis_result_code(result), CIS_OK);
    assert_string_equal(cis_result_output(result, NULL), expected);
    const char *report = cis_result_report(result, NULL);
    for (const char *at = report; (at = strchr(at, ',')) != NULL; at++) {
        assert_true(at[1] < '0' || at[1] > '9'); /* between members, never within a number */
    }
    cis_result_free(result);
    cis_module_unref(module);
}

static void numbers_are_the_same_under_a_comma(void **state)
{
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    cis_runtime *runtime = NULL;
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(1000);
    char text[16];
    (void)state;
    with_a_comma();
    config.compile_in_process = true;
    assert_ok(cis_runtime_new(&config, &runtime, err));
    components_are_called(runtime);
    assert_run(runtime, GUEST_ECHO, "{\"a\": 1.5}", NULL, "{\"a\": 1.5}");
    o.convention = "numbers";
    o.method = "mean";
    assert_run(runtime, NUMBERS, "[0.5, 1.25e0]", &o, "0.875");
    assert_ok(cis_toml_to_json(CIS_STR("a = 0.5\nb = 1e3\n"), "x", &json, err));
    assert_non_null(strstr(cis_buf_cstr(&json), "{\"a\":0.5,\"b\":1000.0}"));
    cis_runtime_free(runtime);
    snprintf(text, sizeof text, "%g", 0.5); /* the process keeps its own */
    assert_string_equal(text, "0,5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_are_the_same_under_a_comma, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
