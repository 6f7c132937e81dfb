/* cis/compose.h: one component made of several, as an embedder does it. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include "cis/cis.h"

static const char giver[] =
    "(component (core module $m (func (export \"f\") (param i32) (result i32)"
    " (i32.mul (local.get 0) (i32.const 2))))"
    " (core instance $i (instantiate $m))"
    " (func $f (param \"x\" u32) (result u32) (canon lift (core func $i \"f\")))"
    " (instance $e (export \"f\" (func $f))) (export \"test:a/b@0.1.2\" (instance $e)))";
static const char app[] =
    "(component (import \"test:a/b@0.1.0\" (instance $in (export \"f\""
    " (func (param \"x\" u32) (result u32)))))"
    " (core func $low (canon lower (func $in \"f\")))"
    " (core module $m (import \"in\" \"f\" (func $f (param i32) (result i32)))"
    "  (func (export \"g\") (param i32) (result i32)"
    "   (i32.add (call $f (local.get 0)) (i32.const 1))))"
    " (core instance $i (instantiate $m (with \"in\" (instance (export \"f\" (func $low))))))"
    " (func $g (param \"x\" u32) (result u32) (canon lift (core func $i \"g\")))"
    " (export \"call\" (func $g)))";
static const char text[] = "package test:composition;\nlet a = new test:giver {};\n"
                           "let b = new test:app { ...a };\nexport b...;\n";

static int setup(void **state)
{
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    struct cis_error err;
    cis_runtime *runtime = NULL;
    c.compiler = CIS_PROGRAM;
    if (cis_runtime_new(&c, &runtime, &err) != CIS_OK) {
        return -1;
    }
    *state = runtime;
    return 0;
}

static int teardown(void **state)
{
    cis_runtime_free(*state);
    return 0;
}

static void runs_with(cis_runtime *runtime, const cis_composed *made, const char *call,
                      const char *result)
{
    size_t len;
    const void *wasm = cis_composed_wasm(made, &len);
    cis_module *module = NULL;
    cis_wasi_config *config = NULL;
    cis_component *component = NULL;
    char *out = NULL;
    assert_ok(cis_module_load(runtime, wasm, len, "made", &module, err));
    assert_ok(cis_wasi_config_new(runtime, &config, err));
    assert_ok(cis_component_open(config, module, &component, err));
    assert_ok(cis_component_eval(component, call, &out, err));
    assert_string_equal(out, result);
    cis_output_free(out);
    cis_component_close(component);
    cis_wasi_config_free(config);
    cis_module_unref(module);
}

static void plugs_and_texts_make_a_component_that_runs(void **state)
{
    const struct cis_compose_file plugs[] = {{"app", app, sizeof app - 1},
                                             {"giver", giver, sizeof giver - 1}};
    const struct cis_compose_file packages[] = {{"test:app", app, sizeof app - 1},
                                                {"test:giver", giver, sizeof giver - 1}};
    for (int i = 0; i < 2; i++) {
        struct cis_compose_options o = CIS_COMPOSE_OPTIONS_INIT;
        cis_composed *made = NULL;
        o.files = i == 0 ? plugs : packages;
        o.nfiles = 2;
        o.wac = i == 0 ? NULL : text;
        assert_ok(cis_compose(*state, &o, &made, err));
        runs_with(*state, made, "call(4)", "9");
        cis_composed_free(made);
    }
}

static void it_is_explained_in_every_form(void **state)
{
    static const char *const has[] = {"\"from\":\"giver\",\"export\":\"test:a/b@0.1.2\"",
                                      "test:a/b@0.1.0  from giver, as test:a/b@0.1.2\n",
                                      "digraph composition", "<svg "};
    const struct cis_compose_file plugs[] = {{"app", app, sizeof app - 1},
                                             {"giver", giver, sizeof giver - 1}};
    struct cis_compose_options o = CIS_COMPOSE_OPTIONS_INIT;
    cis_composed *made = NULL;
    o.files = plugs;
    o.nfiles = 2;
    assert_ok(cis_compose(*state, &o, &made, err));
    for (int form = CIS_COMPOSED_JSON; form <= CIS_COMPOSED_SVG; form++) {
        char *said = NULL;
        size_t len = 0;
        assert_ok(cis_composed_explain(made, (enum cis_composed_form)form, &said, &len, err));
        assert_int_equal(strlen(said), len);
        assert_non_null(strstr(said, has[form]));
        cis_output_free(said);
    }
    cis_composed_free(made);
}

static void what_cannot_be_composed_says_why(void **state)
{
    const struct cis_compose_file parts[] = {{"app", app, sizeof app - 1},
                                             {"giver", giver, sizeof giver - 1},
                                             {"again", giver, sizeof giver - 1},
                                             {"", giver, sizeof giver - 1},
                                             {NULL, giver, sizeof giver - 1}};
    struct cis_compose_options o = CIS_COMPOSE_OPTIONS_INIT;
    cis_composed *made = NULL;
    assert_fails(CIS_E_USAGE, "nothing to compose", cis_compose(*state, &o, &made, err));
    o.files = parts;
    o.nfiles = 3;
    assert_fails(CIS_E_INVALID, "giver and again are the same component",
                 cis_compose(*state, &o, &made, err));
    o.nfiles = 4;
    assert_fails(CIS_E_USAGE, "a part's name has 1 to 256 bytes",
                 cis_compose(*state, &o, &made, err));
    o.nfiles = 5;
    assert_fails(CIS_E_USAGE, "part 4 has no name", cis_compose(*state, &o, &made, err));
    o.nfiles = 1001;
    assert_fails(CIS_E_USAGE, "needs 1 to 1000 parts", cis_compose(*state, &o, &made, err));
    o.nfiles = 0;
    o.wac = text;
    o.wac_name = "app.wac";
    assert_fails(CIS_E_INVALID, "app.wac:2:13: unknown package `test:giver`",
                 cis_compose(*state, &o, &made, err));
    o.size = 3;
    assert_fails(CIS_E_USAGE, "use CIS_COMPOSE_OPTIONS_INIT", cis_compose(*state, &o, &made, err));
    assert_null(made);
}

static void a_cancelled_composition_ends(void **state)
{
    const struct cis_compose_file plugs[] = {{"app", app, sizeof app - 1},
                                             {"giver", giver, sizeof giver - 1}};
    struct cis_compose_options o = CIS_COMPOSE_OPTIONS_INIT;
    cis_composed *made = NULL;
    cis_cancel *cancel = NULL;
    assert_ok(cis_cancel_new(&cancel, err));
    cis_cancel_fire(cancel);
    o.files = plugs;
    o.nfiles = 2;
    o.cancel = cancel;
    struct cis_error why;
    assert_int_equal(cis_compose(*state, &o, &made, &why), CIS_E_CANCELLED);
    cis_cancel_unref(cancel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plugs_and_texts_make_a_component_that_runs),
        cmocka_unit_test(it_is_explained_in_every_form),
        cmocka_unit_test(what_cannot_be_composed_says_why),
        cmocka_unit_test(a_cancelled_composition_ends),
    };
    return cmocka_run_group_tests_name("compose", tests, setup, teardown);
}
