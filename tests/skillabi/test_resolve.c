/* Which row serves an import, and what the plan says. */
#include "skillabi/fixture.h"

static struct cis_engine_module_info *scan(const char *wat)
{
    struct cis_engine_module_info *info = NULL;
    const struct cis_engine_module_options o = {.name = "test", .stop = {CIS_NEVER, NULL}};
    assert_ok(cis_engine_module_scan(cis_bytes_of(wat, strlen(wat)), &o, &info, err));
    return info;
}

static cis_code plan_of(const char *wat, const struct cis_skillabi_options *o,
                        struct cis_skillabi_plan *plan, struct cis_error *err)
{
    struct cis_engine_module_info *info = scan(wat);
    cis_code code = cis_skillabi_plan(info, o, plan, err);
    plan->entry.ptr = NULL; /* points into the info */
    plan->entry_type = NULL;
    cis_engine_module_info_free(info);
    return code;
}

#define MAIN " (memory (export \"memory\") 1) (func (export \"main\") (result i32) (i32.const 0)))"
#define GET_PACKED " (import \"env\" \"host_memory_get\" (func (param i32 i32) (result i64)))"
#define SET " (import \"env\" \"host_memory_set\" (func (param i32 i32 i32 i32) (result i32)))"
#define DELETE " (import \"env\" \"host_memory_delete\" (func (param i32 i32) (result i32)))"

static void uses(const char *wat, const char *abi_option, const char *abis)
{
    const struct cis_skillabi_options o = {.abi = abi_option};
    struct cis_skillabi_plan plan;
    assert_ok(plan_of(wat, &o, &plan, err));
    char said[256] = "";
    for (size_t i = 0; i < plan.nabis; i++) {
        snprintf(said + strlen(said), sizeof said - strlen(said), "%s%s", i != 0 ? " " : "",
                 plan.abis[i]);
    }
    assert_string_equal(said, abis);
}

static void a_guest_with_a_packed_import_is_of_env_packed(void **state)
{
    (void)state;
    uses("(module" GET_PACKED SET DELETE MAIN, NULL, "env-packed");
    uses("(module (import \"env\" \"host_ai_chat\" (func (param i32 i32) (result i64)))" SET MAIN,
         NULL, "env-packed");
}

static void a_guest_with_only_ambiguous_imports_is_of_env_buffer(void **state)
{
    (void)state;
    uses("(module" SET DELETE MAIN, NULL, "env-buffer");
    uses("(module (import \"env\" \"host_log\" (func (param i32 i32 i32)))" MAIN, NULL,
         "env-buffer");
}

static void abis_mix_where_names_do_not_collide(void **state)
{
    (void)state;
    uses("(module (import \"cis\" \"input_len\" (func (result i64)))"
         " (import \"cis\" \"memory_set\" (func (param i32 i32 i32 i32)))"
         " (import \"cis\" \"host_now\" (func (result i64)))"
         " (import \"env\" \"log\" (func (param i32 i32 i32 i32)))"
         " (import \"wasi_snapshot_preview1\" \"sched_yield\" (func (result i32)))" SET MAIN,
         NULL, "env-buffer cis-direct cis-sdk env-plain cis-io wasi_snapshot_preview1");
}

static void the_abi_option_decides_where_names_collide(void **state)
{
    (void)state;
    uses("(module" SET DELETE MAIN, "env-packed", "env-packed");
    uses("(module" SET DELETE MAIN, "env-buffer", "env-buffer");
    uses("(module (import \"cis\" \"input_len\" (func (result i64)))" SET MAIN, "env-packed",
         "env-packed cis-io");
    struct cis_skillabi_plan plan;
    const struct cis_skillabi_options buffer = {.abi = "env-buffer"};
    assert_fails(CIS_E_IMPORT, "env.host_memory_get",
                 plan_of("(module" GET_PACKED SET MAIN, &buffer, &plan, err));
}

static void an_abi_nobody_knows_is_a_usage_error(void **state)
{
    (void)state;
    struct cis_skillabi_plan plan;
    const struct cis_skillabi_options o = {.abi = "cobol"};
    assert_fails(CIS_E_USAGE, "env-packed, env-buffer", plan_of("(module" MAIN, &o, &plan, err));
}

static void the_chosen_row_is_the_one_that_is_called(void **state)
{
    (void)state;
    static const char *const wat =
        "(module (import \"env\" \"host_memory_set\" (func $s (param i32 i32 i32 i32)"
        " (result i32))) (memory (export \"memory\") 1)"
        " (func (export \"set\") (result i32) (call $s (i32.const 0) (i32.const 1)"
        " (i32.const 0) (i32.const 1))))";
    struct abi a;
    abi_init(&a);
    abi_open(&a, wat, "memory");
    assert_int_equal(abi_call(&a, "set"), 1);
    abi_close(&a);
    abi_init(&a);
    const struct cis_skillabi_options o = {.abi = "env-packed"};
    assert_int_equal(abi_try(&a, cis_bytes_of(wat, strlen(wat)), &o, "memory"), CIS_OK);
    assert_int_equal(abi_call(&a, "set"), 0);
    abi_close(&a);
}

static void the_same_name_with_another_type_is_not_provided(void **state)
{
    (void)state;
    struct cis_skillabi_plan plan;
    assert_fails(CIS_E_IMPORT,
                 "imports env.host_memory_get of type (i32) -> i32, which no ABI provides; there "
                 "is (i32, i32) -> i64 by env-packed, (i32, i32, i32, i32) -> i32 by env-buffer",
                 plan_of("(module (import \"env\" \"host_memory_get\" (func (param i32)"
                         " (result i32)))" MAIN,
                         NULL, &plan, err));
    assert_fails(CIS_E_IMPORT, "cis.memory_set",
                 plan_of("(module (import \"cis\" \"memory_set\" (func (param i32 i32 i32 i32)"
                         " (result i32)))" MAIN,
                         NULL, &plan, err));
}

static void an_import_nobody_provides_is_named_with_its_type_and_how_many_more(void **state)
{
    (void)state;
    struct cis_skillabi_plan plan;
    assert_fails(CIS_E_IMPORT,
                 "imports env.gpu_alloc of type (i32, i64, f32, f64), which no ABI provides (and "
                 "2 more)",
                 plan_of("(module (import \"env\" \"gpu_alloc\" (func (param i32 i64 f32 f64)))"
                         " (import \"env\" \"x\" (global i32))"
                         " (import \"cis\" \"host_memory_get\" (func (result i64)))" MAIN,
                         NULL, &plan, err));
    assert_fails(CIS_E_IMPORT, "imports env.x",
                 plan_of("(module (import \"env\" \"x\" (global i32))" MAIN, NULL, &plan, err));
}

static void linking_refuses_what_the_plan_refuses(void **state)
{
    (void)state;
    static const char *const wat =
        "(module (import \"env\" \"gpu_alloc\" (func (param i32) (result i32)))" MAIN;
    struct abi a;
    abi_init(&a);
    assert_int_equal(abi_try(&a, cis_bytes_of(wat, strlen(wat)), NULL, ""), CIS_E_IMPORT);
    assert_non_null(strstr(a.err.msg, "env.gpu_alloc"));
    abi_close(&a);
}

static void wasi_is_nobodys_when_it_is_switched_off(void **state)
{
    (void)state;
    struct cis_skillabi_plan plan;
    const struct cis_skillabi_options o = {.no_wasi = true};
    assert_fails(CIS_E_IMPORT, "WASI is switched off",
                 plan_of("(module (import \"wasi_snapshot_preview1\" \"sched_yield\""
                         " (func (result i32)))" MAIN,
                         &o, &plan, err));
}

static void the_plan_names_the_grants_that_imports_need(void **state)
{
    (void)state;
    struct cis_skillabi_plan plan;
    assert_ok(
        plan_of("(module (import \"env\" \"ai_chat\" (func (param i32 i32 i32)"
                " (result i32))) (import \"env\" \"log\" (func (param i32 i32 i32 i32)))" SET MAIN,
                NULL, &plan, err));
    assert_int_equal(plan.grants,
                     CIS_GRANT_BIT(CIS_GRANT_AI) | CIS_GRANT_BIT(CIS_GRANT_MEMORY_WRITE));
}

static void the_allocator_is_found_by_name_and_type(void **state)
{
    (void)state;
    static const struct {
        const char *exports, *allocator;
    } cases[] = {
        {"", "memory.grow"},
        {"(func (export \"malloc\") (param i32) (result i32) (i32.const 0))", "malloc"},
        {"(func (export \"malloc\") (param i64) (result i32) (i32.const 0))", "memory.grow"},
        {"(func (export \"alloc\") (param i32) (result i32) (i32.const 0))", "alloc"},
        {"(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 0))",
         "cabi_realloc"},
        {"(func (export \"__wbindgen_malloc\") (param i32 i32) (result i32) (i32.const 0))",
         "__wbindgen_malloc"},
        {"(func (export \"__wbindgen_malloc\") (param i32) (result i32) (i32.const 0))",
         "__wbindgen_malloc"},
        {"(func (export \"alloc\") (param i32) (result i32) (i32.const 0))"
         "(func (export \"malloc\") (param i32) (result i32) (i32.const 0))",
         "malloc"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char wat[1024];
        struct cis_skillabi_plan plan;
        snprintf(wat, sizeof wat, "(module %s" MAIN, cases[i].exports);
        assert_ok(plan_of(wat, NULL, &plan, err));
        assert_string_equal(plan.allocator, cases[i].allocator);
    }
    struct cis_skillabi_plan plan;
    assert_ok(
        plan_of("(module (func (export \"main\") (result i32) (i32.const 0)))", NULL, &plan, err));
    assert_string_equal(plan.allocator, "");
    assert_ok(plan_of("(module (import \"env\" \"memory\" (memory 1)) (func (export \"main\")"
                      " (result i32) (i32.const 0)))",
                      NULL, &plan, err));
    assert_string_equal(plan.allocator, "memory.grow");
}

static void a_component_without_run_is_no_skill(void **state)
{
    (void)state;
    struct cis_skillabi_plan plan = {0};
    assert_fails(CIS_E_ENTRY, "it exports nothing", plan_of("(component)", NULL, &plan, err));
    assert_string_equal(plan.kind, "component");
}

int resolve_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_with_a_packed_import_is_of_env_packed),
        cmocka_unit_test(a_guest_with_only_ambiguous_imports_is_of_env_buffer),
        cmocka_unit_test(abis_mix_where_names_do_not_collide),
        cmocka_unit_test(the_abi_option_decides_where_names_collide),
        cmocka_unit_test(the_chosen_row_is_the_one_that_is_called),
        cmocka_unit_test(the_plan_names_the_grants_that_imports_need),
        cmocka_unit_test(the_allocator_is_found_by_name_and_type),
        cmocka_unit_test(an_abi_nobody_knows_is_a_usage_error),
        cmocka_unit_test(the_same_name_with_another_type_is_not_provided),
        cmocka_unit_test(an_import_nobody_provides_is_named_with_its_type_and_how_many_more),
        cmocka_unit_test(linking_refuses_what_the_plan_refuses),
        cmocka_unit_test(wasi_is_nobodys_when_it_is_switched_off),
        cmocka_unit_test(a_component_without_run_is_no_skill),
    };
    return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
