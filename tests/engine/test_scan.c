/* What is said about bytes before anything is compiled. */
#include "engine/code/module.h"

#include "fixture.h"
#include "modules.h"

static struct cis_engine_module_info *scan(const char *text, unsigned features)
{
    struct cis_engine_module_options options = {.name = "t.wasm", .features = features};
    struct cis_engine_module_info *info = NULL;
    assert_ok(cis_engine_module_scan(wat(text), &options, &info, err));
    return info;
}

#define assert_refused(code, text, bytes, switches)                                                \
    do {                                                                                           \
        struct cis_engine_module_options options_ = {.name = "t.wasm", .features = (switches)};    \
        struct cis_engine_module_info *info_ = NULL;                                               \
        assert_fails(code, text, cis_engine_module_scan(bytes, &options_, &info_, err));           \
        assert_null(info_);                                                                        \
    } while (0)

static void text_is_listed_with_types_and_limits(void **state)
{
    (void)state;
    struct cis_engine_module_info *info =
        scan("(module (import \"env\" \"log\" (func (param i32 i64 f32 f64) (result i32 i64)))"
             " (import \"env\" \"g\" (global i32))"
             " (memory (export \"memory\") 2 10) (table 3 3 funcref)"
             " (func (export \"run\")) (func (export \"vec\") (param v128)))",
             0);
    assert_false(info->component);
    assert_int_equal(info->features, 0);
    assert_int_equal(info->nimports, 2);
    assert_true(cis_str_is(info->imports[0].module, "env"));
    assert_true(cis_str_is(info->imports[0].name, "log"));
    assert_string_equal(info->imports[0].type, "iIfF:iI");
    assert_int_equal(info->imports[1].kind, CIS_EXTERN_GLOBAL);
    assert_int_equal(info->nexports, 3);
    const struct cis_extern *memory = cis_info_export(info, CIS_STR("memory"));
    assert_int_equal(memory->kind, CIS_EXTERN_MEMORY);
    assert_int_equal(memory->min_pages, 2);
    assert_int_equal(memory->max_pages, 10);
    assert_string_equal(cis_info_export(info, CIS_STR("run"))->type, ":");
    assert_string_equal(cis_info_export(info, CIS_STR("vec"))->type, "v:");
    assert_null(cis_info_export(info, CIS_STR("absent")));
    assert_int_equal(info->functions, 3);
    assert_int_equal(info->min_memory_bytes, 2 * 65536);
    assert_int_equal(info->table_elements, 3);
    cis_engine_module_info_free(info);
}

static void a_component_is_listed_by_names(void **state)
{
    (void)state;
    struct cis_engine_module_info *info =
        scan("(component (import \"wasi:cli/stdout@0.2.0\" (instance))"
             " (core module $m (memory 3)) (core instance (instantiate $m))"
             " (type $t (func)) (export \"a:b/c\" (instance 0)))",
             0);
    assert_true(info->component);
    assert_int_equal(info->nimports, 1);
    assert_true(cis_str_is(info->imports[0].name, "wasi:cli/stdout@0.2.0"));
    assert_int_equal(info->nexports, 1);
    assert_int_equal(info->memories, 1);
    cis_engine_module_info_free(info);
}

static void names_may_contain_a_nul(void **state)
{
    (void)state;
    struct cis_engine_module_info *info = scan("(module (func (export \"a\\00b\")))", 0);
    assert_int_equal(info->exports[0].name.len, 3);
    assert_memory_equal(info->exports[0].name.ptr, "a\0b", 3);
    cis_engine_module_info_free(info);
}

static void ten_thousand_imports_are_listed(void **state)
{
    (void)state;
    struct cis_buf text = CIS_BUF_INIT(4u << 20);
    cis_buf_text(&text, "(module");
    for (int i = 0; i < 10000; i++) {
        cis_buf_printf(&text, "(import \"env\" \"f%d\" (func (param i32)))", i);
    }
    cis_buf_text(&text, ")");
    struct cis_engine_module_info *info = scan(cis_buf_cstr(&text), 0);
    assert_int_equal(info->nimports, 10000);
    assert_true(cis_str_is(info->imports[9999].name, "f9999"));
    cis_engine_module_info_free(info);
    cis_buf_done(&text);
}

static void switches_are_named_and_work(void **state)
{
    (void)state;
    assert_refused(CIS_E_UNSUPPORTED, "t.wasm: uses 64-bit memory", wat("(module (memory i64 1))"),
                   0);
    assert_refused(CIS_E_UNSUPPORTED, "--enable memory64", wat("(module (memory i64 1))"),
                   CIS_FEATURE_EXCEPTIONS);
    struct cis_engine_module_info *info = scan("(module (memory i64 1))", CIS_FEATURE_MEMORY64);
    assert_int_equal(info->features, CIS_FEATURE_MEMORY64);
    cis_engine_module_info_free(info);
    const char *tag = "(module (tag) (func try_table end))";
    assert_refused(CIS_E_UNSUPPORTED, "--enable exceptions", wat(tag), CIS_FEATURE_MEMORY64);
    info = scan(tag, CIS_FEATURE_EXCEPTIONS);
    assert_int_equal(info->features, CIS_FEATURE_EXCEPTIONS);
    cis_engine_module_info_free(info);
    info = scan("(module (memory i64 1) (tag))", CIS_FEATURE_EXCEPTIONS | CIS_FEATURE_MEMORY64);
    assert_int_equal(info->features, CIS_FEATURE_EXCEPTIONS | CIS_FEATURE_MEMORY64);
    cis_engine_module_info_free(info);
    assert_refused(CIS_E_UNSUPPORTED, "externref", wat("(module (func (param externref)))"), 0);
}

static void switches_that_are_on_but_unused_change_nothing(void **state)
{
    (void)state;
    struct cis_engine_module_info *info =
        scan(ADD_WAT, CIS_FEATURE_EXCEPTIONS | CIS_FEATURE_MEMORY64);
    assert_int_equal(info->features, 0);
    cis_engine_module_info_free(info);
}

static void what_no_switch_allows_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *wat, *text;
    } rows[] = {
        {"(module (memory 1 2 shared))", "shared memory"},
        {"(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))", "atomics"},
        {"(module (type (struct)))", "garbage-collected"},
        {"(module (type $t (func)) (func (param (ref $t))))", "function references"},
        {"(component (import \"f\" (func async)))", "WASI 0.3"},
        {"(component (type (future u32)))", "WASI 0.3"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_refused(CIS_E_UNSUPPORTED, rows[i].text, wat(rows[i].wat), ~0u);
        assert_refused(CIS_E_UNSUPPORTED, rows[i].text, wat(rows[i].wat), 0);
    }
}

static void bytes_that_are_no_module_are_named(void **state)
{
    (void)state;
    assert_refused(CIS_E_INVALID, "native code (ELF)",
                   cis_bytes_of("\x7f"
                                "ELF\2\1\1\0\0\0",
                                10),
                   0);
    assert_refused(CIS_E_INVALID, "t.wasm: not WebAssembly (empty", cis_bytes_of("", 0), 0);
    assert_refused(CIS_E_INVALID, "wrong magic", cis_bytes_of("hello there", 11), 0);
    assert_refused(CIS_E_INVALID, "cut off in its header", cis_bytes_of("\0asm\1", 5), 0);
    assert_refused(CIS_E_INVALID, "version 2.0", cis_bytes_of("\0asm\2\0\0\0", 8), 0);
    assert_refused(CIS_E_INVALID, "t.wasm: not a valid", cis_bytes_of("\0asm\1\0\0\0\1\x7f", 10),
                   0);
}

static void mistakes_in_text_have_line_and_column(void **state)
{
    (void)state;
    assert_refused(CIS_E_INVALID, "t.wasm:2:9: ", wat("(module\n  (func unknown))"), 0);
    assert_refused(CIS_E_INVALID, "type mismatch", wat("(module (func (result i32)))"), 0);
}

static void a_malformed_name_section_is_noted_and_left_alone(void **state)
{
    (void)state;
    struct cis_buf m = CIS_BUF_INIT(1024), s = CIS_BUF_INIT(1024);
    put_header(&m);
    put_leb(&s, 4);
    cis_buf_text(&s, "name");
    cis_buf_add(&s, "\1\xff\xff\xff\xff\x0f\xff\xff", 8); /* function names, 4 GiB of them */
    put_section(&m, 0, &s);
    struct cis_engine_module_options options = {.name = "t.wasm"};
    struct cis_engine_module_info *info = NULL;
    assert_ok(cis_engine_module_scan(cis_buf_bytes(&m), &options, &info, err));
    assert_non_null(strstr(info->json, "\"name_section\":\"malformed\""));
    cis_engine_module_info_free(info);
    cis_buf_done(&m);
    cis_buf_done(&s);
}

static void huge_tables_and_memories_are_counted_not_made(void **state)
{
    (void)state;
    struct cis_engine_module_info *info =
        scan("(module (table 10000000 funcref) (memory 65536))", 0);
    assert_int_equal(info->table_elements, 10000000);
    assert_int_equal(info->min_memory_bytes, 65536ull * 65536);
    cis_engine_module_info_free(info);
    info = scan("(module (memory i64 0x1000000000000) (memory i64 0x1000000000000))",
                CIS_FEATURE_MEMORY64);
    assert_true(info->min_memory_bytes == UINT64_MAX); /* sums saturate */
    cis_engine_module_info_free(info);
}

static void a_description_that_would_explode_is_a_named_limit(void **state)
{
    (void)state;
    struct cis_buf m = CIS_BUF_INIT(64u << 20), s = CIS_BUF_INIT(64u << 20);
    put_header(&m);
    cis_buf_add(&s, "\1\x60\0\0", 4);
    put_section(&m, 1, &s);
    cis_buf_add(&s, "\1\0", 2);
    put_section(&m, 3, &s);
    put_leb(&s, 400);
    for (int i = 0; i < 400; i++) { /* names as long as they may be */
        put_leb(&s, 100000);
        cis_buf_printf(&s, "%0100000d", i);
        cis_buf_add(&s, "\0\0", 2);
    }
    put_section(&m, 7, &s);
    assert_int_equal(m.failed, CIS_OK);
    assert_refused(CIS_E_LIMIT, "names and types of its imports and exports", cis_buf_bytes(&m), 0);
    cis_buf_done(&m);
    cis_buf_done(&s);
}

static void a_mistake_is_named_also_where_a_switch_is_missing(void **state)
{
    (void)state;
    const char *text = "(module (memory i64 1) (func (result i32)))";
    assert_refused(CIS_E_INVALID, "nothing on stack", wat(text), CIS_FEATURE_MEMORY64);
    assert_refused(CIS_E_INVALID, "memory64 must be enabled", wat(text), 0);
}

static void a_scan_ends_at_the_deadline(void **state)
{
    (void)state;
    struct cis_buf m = CIS_BUF_INIT(4u << 20);
    put_bomb(&m, 10, 200000);
    struct cis_engine_module_options options = {.name = "t.wasm", .stop = {.deadline_ns = 1}};
    struct cis_engine_module_info *info = NULL;
    assert_fails(CIS_E_DEADLINE, "t.wasm",
                 cis_engine_module_scan(cis_buf_bytes(&m), &options, &info, err));
    cis_buf_done(&m);
}

static void toml_becomes_json_with_lines(void **state)
{
    (void)state;
    struct cis_buf out = CIS_BUF_INIT(4096);
    assert_ok(
        cis_toml_to_json(CIS_STR("name = 'x'\n\n[grants]\nhttp = ['a', 'b']\nat = 1979-05-27\n"),
                         "skill.toml", &out, err));
    assert_string_equal(cis_buf_cstr(&out),
                        "{\"value\":{\"grants\":{\"at\":\"1979-05-27\",\"http\":[\"a\",\"b\"]},"
                        "\"name\":\"x\"},\"lines\":{\"grants\":3,\"grants.at\":5,\"grants.http\":4,"
                        "\"grants.http.0\":4,\"grants.http.1\":4,\"name\":1}}");
    cis_buf_done(&out);
}

static void mistakes_in_toml_have_their_line(void **state)
{
    (void)state;
    struct cis_buf out = CIS_BUF_INIT(4096);
    assert_fails(CIS_E_INVALID, "skill.toml:3: ",
                 cis_toml_to_json(CIS_STR("a = 1\n[b]\nc =\n"), "skill.toml", &out, err));
    assert_fails(CIS_E_INVALID, "skill.toml:2: duplicate key",
                 cis_toml_to_json(CIS_STR("a = 1\na = 2\n"), "skill.toml", &out, err));
    assert_fails(CIS_E_INVALID, "skill.toml:2: not valid UTF-8",
                 cis_toml_to_json(CIS_STR("a = 1\nb = '\xff'\n"), "skill.toml", &out, err));
    assert_fails(CIS_E_INVALID, "skill.toml:1: a: number must be finite",
                 cis_toml_to_json(CIS_STR("a = nan\n"), "skill.toml", &out, err));
    assert_int_equal(out.len, 0);
    cis_buf_done(&out);
    struct cis_buf deep = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&deep, "a = ");
    for (int i = 0; i < 100000; i++) {
        cis_buf_byte(&deep, '[');
    }
    out = CIS_BUF_INIT(4096);
    assert_fails(CIS_E_INVALID,
                 "skill.toml:1: ", cis_toml_to_json(cis_buf_view(&deep), "skill.toml", &out, err));
    cis_buf_done(&deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_listed_with_types_and_limits),
        cmocka_unit_test(a_component_is_listed_by_names),
        cmocka_unit_test(names_may_contain_a_nul),
        cmocka_unit_test(ten_thousand_imports_are_listed),
        cmocka_unit_test(switches_are_named_and_work),
        cmocka_unit_test(switches_that_are_on_but_unused_change_nothing),
        cmocka_unit_test(what_no_switch_allows_is_refused_by_name),
        cmocka_unit_test(bytes_that_are_no_module_are_named),
        cmocka_unit_test(mistakes_in_text_have_line_and_column),
        cmocka_unit_test(a_malformed_name_section_is_noted_and_left_alone),
        cmocka_unit_test(huge_tables_and_memories_are_counted_not_made),
        cmocka_unit_test(a_description_that_would_explode_is_a_named_limit),
        cmocka_unit_test(a_mistake_is_named_also_where_a_switch_is_missing),
        cmocka_unit_test(a_scan_ends_at_the_deadline),
        cmocka_unit_test(toml_becomes_json_with_lines),
        cmocka_unit_test(mistakes_in_toml_have_their_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
