/* Words of `cis run` that people know from other hosts, and what it says where it does less. */
#include "system.h"

#define VERBS CIS_GUESTS_DIR "/verbs.wasm"
#define RUN(...) cis(s, "run", __VA_ARGS__)

static const char NUMBERS[] =
    "(module"
    " (func (export \"add\") (param i32 i32) (result i32)"
    "  (i32.add (local.get 0) (local.get 1)))"
    " (func (export \"half\") (param f64) (result f64) (f64.mul (local.get 0) (f64.const 0.5)))"
    " (func (export \"both\") (param i64) (result i64 i64) (local.get 0) (local.get 0))"
    " (func (export \"none\"))"
    " (func (export \"odd(name)\") (result i32) (i32.const 7))"
    " (func $deep (export \"deep\") (param i64) (result i64)"
    "  (i64.add (i64.const 1) (call $deep (local.get 0)))))";

static void a_function_of_a_module_is_called_as_text(void **state)
{
    struct sys *s = *state;
    char *wat = sys_wat(s, "numbers.wat", NUMBERS);
    static const struct {
        const char *call, *prints;
    } good[] = {{"add(2,3)", "5\n"},  {"add( -2 , 0x10 )", "14\n"},
                {"half(3)", "1.5\n"}, {"both(9)", "9\n9\n"},
                {"none()", ""},       {"none( )", ""},
                {"odd(name)", "7\n"} /* a name */};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_exit(s, 0, RUN("--invoke", good[i].call, wat));
        assert_string_equal(sys_out(s), good[i].prints);
    }
    assert_exit(s, 0, RUN("--invoke", "add", wat, "2", "3"));
    assert_string_equal(sys_out(s), "5\n");
    static const struct {
        const char *call, *says;
    } bad[] = {{"add(2)", "takes 2 numbers, 1 given"},
               {"add(2,3,4)", "takes 2 numbers, 3 given"},
               {"add(2,)", "argument 2, \"\", does not fit"},
               {"add(2,x)", "argument 2, \"x\", does not fit"},
               {"add()", "takes 2 numbers, 0 given"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_exit(s, 2, RUN("--invoke", bad[i].call, wat));
        assert_contains(sys_err(s), bad[i].says);
        assert_contains(sys_err(s), "add(i32, i32) -> i32");
    }
    assert_exit(s, 2, RUN("--invoke", "add(2,3)", wat, "4"));
    assert_contains(sys_err(s), "not both");
    assert_exit(s, 126, RUN("--invoke", "sub(2,3)", wat));
    assert_contains(sys_err(s), "exports no function sub(2,3)");
    assert_exit(s, 126, RUN("--invoke", "add(2,3", wat));
    free(wat);
}

/* The frame where the stack ended has no place in the module's bytes. */
static void a_stack_that_overflows_names_functions_and_no_false_place(void **state)
{
    struct sys *s = *state;
    char *wat = sys_wat(s, "numbers.wat", NUMBERS);
    assert_exit(s, 134, RUN("--invoke", "deep", wat, "1"));
    assert_contains(sys_err(s), "stack overflow: calls nested too deep in deep");
    assert_contains(sys_err(s), "1: deep (");
    assert_lacks(sys_err(s), "+0xffff");
    free(wat);
}

static void a_command_of_wasi_0_3_is_told_what_it_needs(void **state)
{
    struct sys *s = *state;
    char *wat = sys_wat(s, "new.wat",
                        "(component (core module $m (func (export \"run\") (result i32)"
                        "  (i32.const 0)))"
                        " (core instance $i (instantiate $m))"
                        " (func $run (result (result)) (canon lift (core func $i \"run\")))"
                        " (instance $in (export \"run\" (func $run)))"
                        " (export \"wasi:cli/run@0.3.0\" (instance $in)))");
    assert_exit(s, 126, RUN(wat));
    assert_contains(sys_err(s), "exports wasi:cli/run@0.3.0: needs WASI 0.3 (async)");
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", wat, "--input", "{}"));
    assert_contains(sys_err(s), "exports wasi:cli/run@0.3.0: needs WASI 0.3 (async)");
    free(wat);
}

static void a_workspace_is_found_by_any_path(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, RUN("--workspace", ".=main", VERBS, "write", "a", "one"));
    assert_exit(s, 0, RUN("--workspace", "files=main", VERBS, "write", "files/b", "two"));
    assert_exit(s, 0, RUN("--workspace", "./files=main", VERBS, "cat", "files/a"));
    assert_string_equal(sys_out(s), "one");
    assert_exit(s, 0, cis(s, "fs", "cat", "/b"));
    assert_string_equal(sys_out(s), "two");
    assert_exit(s, 2, RUN("--workspace", "../x=main", VERBS, "ls", "."));
    assert_contains(sys_err(s), "without \"..\"");
    assert_exit(s, 2, RUN("--workspace", "=main", VERBS, "ls", "."));
}

static void the_word_of_a_feature_that_is_always_on_is_known(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, RUN("--wasi", "cli-exit-with-code", VERBS, "args"));
    assert_exit(s, 0, RUN("--wasi", "cli-exit-with-code,clocks-timezone", VERBS, "args"));
    assert_exit(s, 2, RUN("--wasi", "cli-exit", VERBS, "args"));
    assert_contains(sys_err(s), "cli-exit-with-code is always on");
}

/* The setting, the environment and the flag count for programs as they do for skills. */
static void without_wasi_a_program_that_imports_it_does_not_run(void **state)
{
    struct sys *s = *state;
    char component[600];
    snprintf(component, sizeof component, "%s/verbs.component.wasm", s->home);
    assert_exit(s, 0, cis(s, "component", "new", VERBS, "-o", component));
    char *wat = sys_wat(s, "numbers.wat", NUMBERS);
    for (int i = 0; i < 3; i++) {
        const char *flag = i == 1 ? "--enable-wasi=false" : "--no-random";
        s->env[0] = i == 0 ? "CIS_RUNTIME_ENABLE_WASI=false" : NULL;
        if (i == 2) {
            CIS_CLEANUP(cis_freep) char *dir = cis_path_join(s->home, "config");
            assert_ok(cis_file_mkdirs(dir, 0700, err));
            sys_file(s, "config/config.toml", "[runtime]\nenable_wasi = false\n", 30);
        }
        assert_exit(s, 126, RUN(flag, VERBS, "args"));
        assert_contains(sys_err(s), "WASI is switched off (runtime.enable_wasi)");
        assert_string_equal(sys_out(s), "");
        assert_exit(s, 126, RUN(flag, component, "args"));
        assert_contains(sys_err(s), "WASI is switched off (runtime.enable_wasi)");
        assert_exit(s, 134, RUN(flag, "--trap-unknown-imports", VERBS, "args"));
        assert_exit(s, 0, RUN(flag, "--invoke", "add(1,1)", wat)); /* it needs none */
    }
    assert_exit(s, 0, RUN("--enable-wasi=true", VERBS, "args")); /* a flag is over the file */
    free(wat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_function_of_a_module_is_called_as_text, sys_setup,
                                        sys_teardown),
        cmocka_unit_test_setup_teardown(a_stack_that_overflows_names_functions_and_no_false_place,
                                        sys_setup, sys_teardown),
        cmocka_unit_test_setup_teardown(a_command_of_wasi_0_3_is_told_what_it_needs, sys_setup,
                                        sys_teardown),
        cmocka_unit_test_setup_teardown(a_workspace_is_found_by_any_path, sys_setup, sys_teardown),
        cmocka_unit_test_setup_teardown(the_word_of_a_feature_that_is_always_on_is_known, sys_setup,
                                        sys_teardown),
        cmocka_unit_test_setup_teardown(without_wasi_a_program_that_imports_it_does_not_run,
                                        sys_setup, sys_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
