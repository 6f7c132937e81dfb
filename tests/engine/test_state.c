/* What the engine keeps for instances beside their memories and tables is within the run's memory:
 * globals, imports, references to functions, passive elements, however often they are instantiated.
 */
#include "base/clock.h"
#include "engine/component/component.h"
#include "engine/fixture.h"
#include "engine/instance/instance.h"
#include "engine/modules.h"

#define MIB (1ull << 20)
#define SLACK (128ull << 10) /* it is counted in pages of 64 KiB, and other things are kept */

static cis_engine *engine;

static int open_engine(void **state)
{
    struct cis_error why;
    const struct cis_engine_options o = {.pool_slots = 4, .compile_in_process = true};
    (void)state;
    return cis_engine_open(&o, &engine, &why) == CIS_OK ? 0 : -1;
}

static int close_engine(void **state)
{
    (void)state;
    cis_engine_close(engine);
    return 0;
}

/* ---- modules with much of one thing ---- */

static void put_many(struct cis_buf *out, uint8_t id, size_t n, const char *item, size_t len)
{
    struct cis_buf s = CIS_BUF_INIT(64u << 20);
    put_leb(&s, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        cis_buf_add(&s, item, len);
    }
    put_section(out, id, &s);
    cis_buf_done(&s);
}

static void put_globals(struct cis_buf *out, size_t n)
{
    put_header(out);
    put_many(out, 6, n, "\x7f\0\x41\0\x0b", 5);
}

/* One type, and functions of it that do nothing. */
static void put_functions(struct cis_buf *out, size_t n)
{
    put_header(out);
    put_many(out, 1, 1, "\x60\0\0", 3);
    put_many(out, 3, n, "\0", 1);
}

static void put_code(struct cis_buf *out, size_t n)
{
    put_many(out, 10, n, "\2\0\x0b", 3);
}

/* Each of them in a table's segment: it can be referred to. */
static void put_references(struct cis_buf *out, size_t n)
{
    struct cis_buf s = CIS_BUF_INIT(64u << 20);
    put_functions(out, n);
    cis_buf_add(&s, "\1\3\0", 3); /* one segment, declared */
    put_leb(&s, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        put_leb(&s, (uint32_t)i);
    }
    put_section(out, 9, &s);
    put_code(out, n);
    cis_buf_done(&s);
}

/* A passive segment of one function, again and again. */
static void put_elements(struct cis_buf *out, size_t n)
{
    struct cis_buf s = CIS_BUF_INIT(64u << 20);
    put_functions(out, 1);
    cis_buf_add(&s, "\1\1\0", 3);
    put_leb(&s, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        cis_buf_byte(&s, 0);
    }
    put_section(out, 9, &s);
    put_code(out, 1);
    cis_buf_done(&s);
}

/* ---- components around them ---- */

static void put_nested(struct cis_buf *out, uint8_t id, const struct cis_buf *inner)
{
    struct cis_buf s = CIS_BUF_INIT(128u << 20);
    cis_buf_add(&s, inner->ptr, inner->len);
    put_section(out, id, &s);
    cis_buf_done(&s);
}

static void put_component(struct cis_buf *out)
{
    cis_buf_add(out, "\0asm\x0d\0\1\0", 8);
}

/* Many instances of one module. */
static void put_instances(struct cis_buf *out, const struct cis_buf *module, size_t n)
{
    put_component(out);
    put_nested(out, 1, module);
    put_many(out, 2, n, "\0\0\0", 3);
}

/* A component that instantiates the one inside it twice, and so on. */
static void put_doubling(struct cis_buf *out, const struct cis_buf *module, unsigned depth)
{
    struct cis_buf inner = CIS_BUF_INIT(128u << 20);
    if (depth == 0) {
        put_instances(out, module, 1);
        return;
    }
    put_doubling(&inner, module, depth - 1);
    put_component(out);
    put_nested(out, 4, &inner);
    put_many(out, 5, 2, "\0\0\0", 3);
    cis_buf_done(&inner);
}

/* ---- starting them ---- */

static cis_code start(const struct cis_buf *wasm, uint64_t memory, struct cis_error *err)
{
    const struct cis_engine_module_options options = {.name = "m", .memory_limit = memory};
    const struct cis_iface_provider none = {0};
    const struct cis_engine_instance_options go = {
        .limits = {.memory_bytes = memory, .host_bytes = MIB}, .stop = {.deadline_ns = CIS_NEVER}};
    cis_engine_module *image = NULL;
    cis_linked *program = NULL;
    cis_engine_instance *guest = NULL;
    assert_int_equal(wasm->failed, CIS_OK);
    CIS_TRY(cis_engine_module_load(engine, cis_buf_bytes(wasm), &options, &image, err));
    cis_code code = cis_engine_module_info(image)->component
                        ? cis_component_link(image, &none, NULL, &program, err)
                        : cis_linked_new(image, NULL, NULL, &program, err);
    if (code == CIS_OK) {
        code = cis_engine_instance_new(engine, program, &go, &guest, err);
        cis_engine_instance_free(guest);
    }
    cis_linked_unref(program);
    cis_engine_module_unref(image);
    return code;
}

typedef void put_module(struct cis_buf *out, size_t n);

/* n of them take `bytes` each, in each instance. */
static void is_charged(put_module *put, size_t n, uint64_t bytes)
{
    struct cis_buf module = CIS_BUF_INIT(64u << 20), many = CIS_BUF_INIT(128u << 20);
    uint64_t all = n * bytes;
    put(&module, n);
    assert_fails(CIS_E_MEMORY, "bytes of memory to start", start(&module, all - SLACK, err));
    assert_ok(start(&module, all + SLACK, err));
    put_instances(&many, &module, 30);
    assert_fails(CIS_E_MEMORY, "bytes of memory to start", start(&many, 30 * all - SLACK, err));
    assert_ok(start(&many, 30 * (all + SLACK), err));
    cis_buf_done(&module);
    cis_buf_done(&many);
}

static void globals_are_charged_for_each_instance(void **state)
{
    (void)state;
    is_charged(put_globals, 12000, 16);
}

static void functions_that_can_be_referred_to_are_charged(void **state)
{
    (void)state;
    is_charged(put_references, 5000, 32);
}

static void passive_elements_are_charged(void **state)
{
    (void)state;
    is_charged(put_elements, 12000, 16);
}

static void imports_of_instances_are_charged(void **state)
{
    (void)state;
    struct cis_buf text = CIS_BUF_INIT(16u << 20);
    cis_buf_text(&text, "(component (core module $a (func $f)");
    for (size_t i = 0; i < 5000; i++) {
        cis_buf_printf(&text, "(export \"f%zu\" (func $f))", i);
    }
    cis_buf_text(&text, ") (core instance $a (instantiate $a)) (core module $m");
    for (size_t i = 0; i < 5000; i++) {
        cis_buf_printf(&text, "(import \"a\" \"f%zu\" (func))", i);
    }
    cis_buf_text(&text, ")");
    for (size_t i = 0; i < 20; i++) {
        cis_buf_text(&text, "(core instance (instantiate $m (with \"a\" (instance $a))))");
    }
    cis_buf_text(&text, ")");
    assert_fails(CIS_E_MEMORY, "bytes of memory to start",
                 start(&text, 20 * 5000 * 32 - SLACK, err));
    assert_ok(start(&text, 8 * MIB, err));
    cis_buf_done(&text);
}

static void components_that_double_are_charged_for_what_they_make(void **state)
{
    (void)state;
    struct cis_buf module = CIS_BUF_INIT(64u << 20), all = CIS_BUF_INIT(128u << 20);
    put_globals(&module, 12000);
    put_doubling(&all, &module, 4); /* sixteen */
    assert_fails(CIS_E_MEMORY, "bytes of memory to start", start(&all, 16 * 192000 - SLACK, err));
    assert_ok(start(&all, 8 * MIB, err));
    cis_buf_reset(&all);
    put_doubling(&all, &module, 40); /* more than any run may have */
    assert_fails(CIS_E_LIMIT, "instances", start(&all, 8 * MIB, err));
    cis_buf_done(&module);
    cis_buf_done(&all);
}

static void little_state_takes_nothing_of_a_memory_that_just_fits(void **state)
{
    (void)state;
    struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&text, "(module (memory (export \"memory\") 16)");
    for (size_t i = 0; i < 500; i++) {
        cis_buf_text(&text, "(global (mut i32) (i32.const 0)) (func (export \"f");
        cis_buf_printf(&text, "%zu\"))", i);
    }
    cis_buf_text(&text, ")");
    assert_ok(start(&text, MIB, err));
    assert_fails(CIS_E_MEMORY, "memory", start(&text, MIB - 65536, err));
    cis_buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_state_takes_nothing_of_a_memory_that_just_fits),
        cmocka_unit_test(globals_are_charged_for_each_instance),
        cmocka_unit_test(functions_that_can_be_referred_to_are_charged),
        cmocka_unit_test(passive_elements_are_charged),
        cmocka_unit_test(imports_of_instances_are_charged),
        cmocka_unit_test(components_that_double_are_charged_for_what_they_make),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
