/* Memory runs out inside the engine's library at every moment of a life: each time the call says
 * so, nothing of it stays, and the process lives. */
#include "fixture.h"

#include "base/clock.h"
#include "engine/component/component.h"
#include "engine/instance/instance.h"
#include "engine/code/code.h"

static const char MODULE[] = "(module (import \"t\" \"n\" (func $n (result i64)))"
                             " (memory (export \"memory\") 1) (table 4 funcref)"
                             " (func (export \"f\") (result i64) (call $n))"
                             " (func (export \"deep\") (call $inner)) (func $inner unreachable))";

static const char COMPONENT[] =
    "(component"
    " (import \"t:t/io\" (instance $io (export \"n\" (func (result u64)))))"
    " (core module $libc (memory (export \"memory\") 1)"
    "  (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))"
    " (core instance $libc (instantiate $libc))"
    " (alias core export $libc \"memory\" (core memory $mem))"
    " (alias core export $libc \"realloc\" (core func $realloc))"
    " (alias export $io \"n\" (func $n))"
    " (core func $n_c (canon lower (func $n)))"
    " (core module $m (import \"io\" \"n\" (func $n (result i64)))"
    "  (func (export \"f\") (param i32 i32) (result i64) (call $n)))"
    " (core instance $run (instantiate $m (with \"io\" (instance (export \"n\" (func $n_c))))))"
    " (func (export \"f\") (param \"a\" (list string)) (result u64)"
    "  (canon lift (core func $run \"f\") (memory $mem) (realloc $realloc))))";

static cis_code h_n(cis_engine_instance *guest, union cis_slot *io, struct cis_error *err)
{
    (void)guest;
    (void)err;
    io[0].i64 = 7;
    return CIS_OK;
}

static cis_code h_n_typed(cis_engine_instance *guest, const struct cis_typed *args,
                          struct cis_answer *out, struct cis_error *err)
{
    (void)guest;
    (void)args;
    (void)err;
    out->n[0] = 7;
    return CIS_OK;
}

static const struct cis_hostfn row = {"t", "n", ":I", 0, 1, false, 0, h_n, "", ""};
static const struct cis_ifacefn iface_row = {.interface = "t:t/io",
                                             .name = "n",
                                             .type = "func() -> u64",
                                             .shape = CIS_SHAPE_U64,
                                             .typed = h_n_typed,
                                             .denied = -1,
                                             .params = "",
                                             .doc = ""};

static const struct cis_hostfn *find_row(void *self, const struct cis_extern *import)
{
    (void)self;
    (void)import;
    return &row;
}

static const struct cis_ifacefn *find_iface(void *self, struct cis_str interface,
                                            struct cis_str name)
{
    (void)self;
    (void)interface;
    return cis_str_is(name, "n") ? &iface_row : NULL;
}

static cis_code guest_made(cis_engine *engine, cis_linked *program, cis_engine_instance **out)
{
    const struct cis_engine_instance_options o = {
        .limits = {.memory_bytes = 16u << 20, .host_bytes = 64u << 20},
        .stop = {.deadline_ns = CIS_NEVER}};
    return cis_engine_instance_new(engine, program, &o, out, NULL);
}

static cis_code live_module(cis_engine *engine, cis_engine_module *image)
{
    cis_linked *program = NULL;
    cis_engine_instance *guest = NULL;
    union cis_slot io[1] = {{0}};
    cis_code code = cis_linked_new(image, find_row, NULL, &program, NULL);
    code = code == CIS_OK ? guest_made(engine, program, &guest) : code;
    code = code == CIS_OK ? cis_engine_instance_call(guest, CIS_STR("f"), ":I", io, NULL) : code;
    if (code == CIS_OK) {
        assert_int_equal(io[0].i64, 7);
        code = cis_engine_instance_call(guest, CIS_STR("deep"), ":", io, NULL);
        code = code == CIS_E_TRAP ? CIS_OK : code;
    }
    cis_engine_instance_free(guest);
    cis_linked_unref(program);
    return code;
}

static cis_code live_component(cis_engine *engine, cis_engine_module *image)
{
    static const struct cis_iface_provider provider = {.function = find_iface};
    cis_linked *program = NULL;
    cis_engine_instance *guest = NULL;
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
    cis_code code = cis_component_link(image, &provider, NULL, &program, NULL);
    code = code == CIS_OK ? guest_made(engine, program, &guest) : code;
    code = code == CIS_OK ? cis_component_call_text(guest, CIS_STR("f"),
                                                    CIS_STR("f([\"a\", \"bc\"])"), &out, NULL)
                          : code;
    if (code == CIS_OK) {
        assert_string_equal(cis_buf_cstr(&out), "7");
    }
    cis_engine_instance_free(guest);
    cis_linked_unref(program);
    return code;
}

/* An engine, a module and a component that are in its cache, a guest of each. */
static cis_code live(const struct place *p, size_t fail_after, bool *out_met)
{
    struct cis_engine_options o = place_options(p);
    struct cis_engine_module_options named = {.name = "guest"};
    cis_engine *engine = NULL;
    cis_engine_module *module = NULL, *component = NULL;
    uint64_t before = cis_glue_heap_short();
    cis_glue_heap_fail_after(fail_after);
    cis_code code = cis_engine_open(&o, &engine, NULL);
    code =
        code == CIS_OK ? cis_engine_module_load(engine, wat(MODULE), &named, &module, NULL) : code;
    code = code == CIS_OK ? live_module(engine, module) : code;
    code = code == CIS_OK ? cis_engine_module_load(engine, wat(COMPONENT), &named, &component, NULL)
                          : code;
    code = code == CIS_OK ? live_component(engine, component) : code;
    cis_glue_heap_fail_after(SIZE_MAX);
    *out_met = cis_glue_heap_short() != before;
    cis_engine_module_unref(module);
    cis_engine_module_unref(component);
    cis_engine_close(engine);
    return code;
}

static void memory_that_runs_out_in_the_engine_is_an_error_each_time(void **state)
{
    const struct place *p = *state;
    bool met = false;
    size_t tried = 0, refused = 0;
    assert_int_equal(live(p, SIZE_MAX, &met), CIS_OK); /* fills the cache */
    assert_int_equal(live(p, SIZE_MAX, &met), CIS_OK);
    assert_false(met);
    for (size_t n = 0;; n++) {
        cis_code code = live(p, n, &met);
        assert_int_equal(cis_glue_heap_lent(), 0);
        if (!met) {
            assert_int_equal(code, CIS_OK);
            break;
        }
        assert_true(code == CIS_OK || code == CIS_E_NOMEM);
        tried++;
        refused += code != CIS_OK;
    }
    print_message("%zu of %zu moments were refused, the others had what they needed\n", refused,
                  tried);
    assert_true(refused > tried / 4);
    assert_int_equal(live(p, SIZE_MAX, &met), CIS_OK);
}

static void text_of_the_library_survives_a_lack_of_memory(void **state)
{
    (void)state;
    const char toml[] = "a = 1\n[b]\nc = [1, 2, 3]\nd = \"text\"\n";
    for (size_t n = 0; n < 2000; n++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(10000);
        uint64_t before = cis_glue_heap_short();
        cis_glue_heap_fail_after(n);
        assert_ok(cis_toml_to_json(cis_str_of(toml), "x", &out, err));
        cis_glue_heap_fail_after(SIZE_MAX);
        assert_int_equal(cis_glue_heap_lent(), 0);
        if (cis_glue_heap_short() == before) {
            assert_true(n > 10);
            return;
        }
    }
    fail_msg("it never had enough");
}

/* ---- lists larger than the reserve ---- */

/* An unsigned number of at most 28 bits, in four bytes. */
static void number(struct cis_buf *out, uint32_t n)
{
    for (int i = 0; i < 4; i++) {
        cis_buf_byte(out, (uint8_t)((n >> (7 * i) & 0x7f) | (i < 3 ? 0x80 : 0)));
    }
}

/* The validator has a list of its own, of smaller items: it stays below the reserve. */
#define LONG_LIST 65000u
#define TOO_LARGE (((size_t)4 << 20) + 1) /* for the reserve */

/* A module with as many imports, and one whose names take the most room as text. */
static void long_module(struct cis_buf *out)
{
    static const uint8_t head[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 2};
    static const char one[] = "\001m\037a name that makes the text long\000\000";
    size_t len = sizeof one - 1;
    cis_buf_add(out, head, sizeof head);
    number(out, 4 + LONG_LIST * (uint32_t)len);
    number(out, LONG_LIST);
    for (size_t i = 0; i < LONG_LIST; i++) {
        cis_buf_add(out, one, len);
    }
    assert_int_equal(out->failed, CIS_OK);
}

static void a_long_list_of_a_module_is_refused_and_not_the_end(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf module = CIS_BUF_INIT(10u << 20);
    const struct cis_engine_module_options named = {.name = "long"};
    size_t n = 0, refused = 0;
    bool met = true;
    CIS_CLEANUP(cis_buf_done) struct cis_buf whole = CIS_BUF_INIT(64u << 20);
    long_module(&module);
    assert_ok(cis_scan_json(cis_buf_bytes(&module), &named, &whole, err));
    for (; met; n++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(64u << 20);
        uint64_t before = cis_glue_heap_short();
        cis_glue_heap_fail_large_after(TOO_LARGE, n);
        cis_code code = cis_scan_json(cis_buf_bytes(&module), &named, &json, NULL);
        cis_glue_heap_fail_after(SIZE_MAX);
        met = cis_glue_heap_short() != before;
        assert_int_equal(cis_glue_heap_lent(), 0);
        assert_true(code == CIS_OK || (met && code == CIS_E_NOMEM));
        if (code == CIS_OK) {
            assert_int_equal(json.len, whole.len);
            assert_memory_equal(json.ptr, whole.ptr, whole.len);
        }
        refused += code != CIS_OK;
        assert_true(n < 100);
    }
    print_message("%zu of %zu moments were refused\n", refused, n);
    assert_true(refused > 2); /* the list grows twice, its text at least once */
}

static const char FIELDS[] =
    "(component"
    " (import \"t:t/io\" (instance $io"
    "  (export \"fields\" (type $f (sub resource)))"
    "  (type $he (variant (case \"invalid-syntax\") (case \"forbidden\") (case \"immutable\")))"
    "  (export \"header-error\" (type $e (eq $he)))"
    "  (export \"from\" (func (param \"entries\" (list (tuple string (list u8))))"
    "   (result (result (own $f) (error $e)))))))"
    " (core module $libc (memory (export \"memory\") 18))"
    " (core instance $libc (instantiate $libc))"
    " (alias core export $libc \"memory\" (core memory $mem))"
    " (alias export $io \"from\" (func $from))"
    " (core func $from_c (canon lower (func $from) (memory $mem)))"
    " (core module $m (import \"io\" \"from\" (func $from (param i32 i32 i32)))"
    "  (import \"io\" \"memory\" (memory 18))"
    "  (func (export \"f\") (result i32)"
    "   (call $from (i32.const 0) (i32.const 65536) (i32.const 1048576))"
    "   (i32.load8_u offset=4 (i32.const 1048576))))"
    " (core instance $run (instantiate $m (with \"io\" (instance (export \"from\" (func $from_c))"
    "  (export \"memory\" (memory $mem))))))"
    " (func (export \"f\") (result u32) (canon lift (core func $run \"f\"))))";

static cis_code h_from(cis_engine_instance *guest, const struct cis_typed *args,
                       struct cis_answer *out, struct cis_error *err)
{
    (void)guest;
    (void)err;
    assert_int_equal(args[0].nitems, 65536);
    out->failed = true;
    out->error = 1;
    return CIS_OK;
}

static const struct cis_ifacefn from_row = {
    .interface = "t:t/io",
    .name = "from",
    .type = "func(list<tuple<string,list<u8>>>) -> result<own<fields>, "
            "variant{invalid-syntax,forbidden,immutable}>",
    .shape = CIS_SHAPE_FIELD_FROM,
    .typed = h_from,
    .denied = -1,
    .params = "",
    .doc = ""};

static const struct cis_ifacefn *find_from(void *self, struct cis_str interface,
                                           struct cis_str name)
{
    (void)self;
    (void)interface;
    return cis_str_is(name, "from") ? &from_row : NULL;
}

static cis_code drop_fields(cis_engine_instance *guest, uint32_t rep, struct cis_error *err)
{
    (void)guest;
    (void)rep;
    (void)err;
    return CIS_OK;
}

static const struct cis_iface_resource *find_fields(void *self, struct cis_str interface,
                                                    struct cis_str name)
{
    static const struct cis_iface_resource fields = {"t:", "fields", 1, drop_fields, NULL};
    (void)self;
    (void)interface;
    return cis_str_is(name, "fields") ? &fields : NULL;
}

static void a_long_list_of_a_guest_is_refused_and_not_the_end(void **state)
{
    static const struct cis_iface_provider provider = {.function = find_from,
                                                       .resource = find_fields};
    const struct place *p = *state;
    struct cis_engine_options o = place_options(p);
    struct cis_engine_module_options named = {.name = "fields"};
    cis_engine *engine = NULL;
    cis_engine_module *image = NULL;
    cis_linked *program = NULL;
    size_t n = 0, refused = 0;
    bool met = true;
    assert_ok(cis_engine_open(&o, &engine, err));
    assert_ok(cis_engine_module_load(engine, wat(FIELDS), &named, &image, err));
    assert_ok(cis_component_link(image, &provider, NULL, &program, err));
    for (; met; n++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1000);
        cis_engine_instance *guest = NULL;
        assert_int_equal(guest_made(engine, program, &guest), CIS_OK);
        uint64_t before = cis_glue_heap_short();
        cis_glue_heap_fail_large_after(TOO_LARGE, n);
        cis_code code = cis_component_call_text(guest, CIS_STR("f"), CIS_STR("f()"), &out, NULL);
        cis_glue_heap_fail_after(SIZE_MAX);
        met = cis_glue_heap_short() != before;
        assert_int_equal(cis_glue_heap_lent(), 0);
        assert_int_equal(code, met ? CIS_E_NOMEM : CIS_OK);
        refused += code != CIS_OK;
        if (code == CIS_OK) {
            assert_string_equal(cis_buf_cstr(&out), "1");
        }
        cis_engine_instance_free(guest);
        assert_true(n < 1000);
    }
    print_message("%zu of %zu moments were refused\n", refused, n);
    assert_true(refused > 0);
    cis_linked_unref(program);
    cis_engine_module_unref(image);
    cis_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_that_runs_out_in_the_engine_is_an_error_each_time,
                                        place_setup, place_teardown),
        cmocka_unit_test(text_of_the_library_survives_a_lack_of_memory),
        cmocka_unit_test(a_long_list_of_a_module_is_refused_and_not_the_end),
        cmocka_unit_test_setup_teardown(a_long_list_of_a_guest_is_refused_and_not_the_end,
                                        place_setup, place_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
