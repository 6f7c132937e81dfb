/* Names and types that a guest chose so that the host's text about them would never end, or never
 * fit: each call is answered soon, and takes little memory. */
#include "harness.h"

#include <sys/resource.h>
#include "base/buf.h"
#include "base/clock.h"
#include "cis/cis.h"

#define MIB (1024l * 1024)
#define SOON                                                                                       \
    (10 * CIS_NS_PER_S) /* far from the hours that it would take, also on a busy machine           \
                         */

struct place {
    cis_runtime *runtime;
    cis_provider *provider;
    uint64_t began;
    long peak; /* KiB, at the start */
};

static enum cis_code f_log(void *self, cis_wit_call *call)
{
    (void)call;
    (void)self;
    return CIS_E_OK;
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    config.compile_in_process = true;
    assert_ok(cis_runtime_new(&config, &p->runtime, err));
    assert_ok(cis_provider_new(&p->provider, err));
    cis_provider_interface(p->provider, "a:b/c@1.0.0");
    cis_provider_function(p->provider, "log", "func(text: string)", f_log, NULL);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    cis_provider_free(p->provider);
    cis_runtime_free(p->runtime);
    free(p);
    return 0;
}

static cis_module *load(struct place *p, const struct cis_buf *wat)
{
    cis_module *module = NULL;
    assert_int_equal(wat->failed, CIS_OK);
    assert_ok(cis_module_load(p->runtime, wat->ptr, wat->len, "guest", &module, err));
    p->peak = peak_kib(); /* compiling is not what is measured */
    p->began = cis_clock_mono_ns();
    return module;
}

static void assert_cheap(const struct place *p, long mib)
{
    uint64_t took = cis_clock_mono_ns() - p->began;
    long grown = (peak_kib() - p->peak) / 1024;
    if (took > SOON) {
        fail_msg("took %llu ms", (unsigned long long)(took / CIS_NS_PER_MS));
    }
#if defined(__SANITIZE_THREAD__)
    mib *= 8; /* each byte has its shadow */
#endif
    if (grown > mib) {
        fail_msg("took %ld MiB", grown);
    }
}

/* ---- names ---- */

static void put_part(struct cis_buf *out, int i)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (i == 0) {
        cis_buf_text(out, "S_");
    } else if (i <= 36) {
        cis_buf_printf(out, "S%c_", digits[i - 1]);
    } else {
        cis_buf_printf(out, "S%c%c_", digits[(i - 1) / 36], digits[(i - 1) % 36]);
    }
}

/* A C++ name whose parameters each are twice the one before: 2^n types when it is written out. */
static void put_name(struct cis_buf *out, int n)
{
    cis_buf_text(out, "_Z1f1AIiiE");
    for (int i = 1; i < n; i++) {
        cis_buf_text(out, "S_I");
        put_part(out, i);
        put_part(out, i);
        cis_buf_text(out, "E");
    }
}

/* log(text) is called with a length outside of the memory: an error with the guest's frames, and
 * without a trap's code. */
static cis_module *module_named(struct place *p, const char *name, bool traps)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf wat = CIS_BUF_INIT(4u << 20);
    cis_buf_printf(&wat, "(component"
                         " (import \"a:b/c@1.0.0\" (instance $x"
                         "  (export \"log\" (func (param \"text\" string)))))"
                         " (core module $libc (memory (export \"memory\") 1))"
                         " (core instance $libc (instantiate $libc))"
                         " (alias core export $libc \"memory\" (core memory $mem))"
                         " (alias export $x \"log\" (func $log))"
                         " (core func $log_c (canon lower (func $log) (memory $mem)))"
                         " (core module $m (import \"x\" \"log\" (func $log (param i32 i32)))"
                         "  (func $");
    cis_buf_text(&wat, name);
    cis_buf_printf(&wat,
                   " (export \"f\") %s (call $log (i32.const 0) (i32.const 100000000))))"
                   " (core instance $run (instantiate $m (with \"x\" (instance"
                   "  (export \"log\" (func $log_c))))))"
                   " (func (export \"f\") (canon lift (core func $run \"f\"))))",
                   traps ? "unreachable" : "");
    return load(p, &wat);
}

static void assert_ends_as_a_trap(struct place *p, cis_module *module)
{
    cis_wasi_config *run = NULL;
    cis_component *c = NULL;
    char *text = NULL;
    assert_ok(cis_wasi_config_new(p->runtime, &run, err));
    cis_wasi_config_provide(run, p->provider);
    cis_wasi_config_limits(run, 0, 1000, 0);
    assert_ok(cis_component_open(run, module, &c, err));
    assert_fails(CIS_E_TRAP, "guest", cis_component_eval(c, "f()", &text, err));
    cis_component_close(c);
    cis_wasi_config_free(run);
}

static void names_of_functions_are_not_demangled(void **state)
{
    struct place *p = *state;
    for (int traps = 0; traps < 2; traps++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(4096);
        put_name(&name, 60);
        cis_module *module = module_named(p, cis_buf_cstr(&name), traps != 0);
        assert_ends_as_a_trap(p, module);
        assert_cheap(p, 32);
        cis_module_unref(module);
    }
}

static void names_of_any_length_take_little_memory(void **state)
{
    struct place *p = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(100000);
    while (name.len < 99000) {
        cis_buf_byte(&name, 'x');
    }
    cis_module *module = module_named(p, cis_buf_cstr(&name), false);
    assert_ends_as_a_trap(p, module);
    assert_cheap(p, 32);
    cis_module_unref(module);
}

/* ---- types ---- */

/* f takes a type of 2^depth records, each with one field of a long name; g gives one. */
static cis_module *module_typed(struct place *p, int depth, size_t name)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf wat = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&wat, "(component (type $r (record (field \"");
    for (size_t i = 0; i < name; i++) {
        cis_buf_byte(&wat, 'x');
    }
    cis_buf_text(&wat, "\" u8))) (export $t0 \"r\" (type $r))");
    for (int i = 1; i <= depth; i++) {
        cis_buf_printf(&wat, " (type $t%d (tuple $t%d $t%d))", i, i - 1, i - 1);
    }
    cis_buf_printf(
        &wat,
        " (core module $m (memory (export \"memory\") 16)"
        "  (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) i32.const 16)"
        "  (func (export \"f\") (param i32)) (func (export \"g\") (result i32) i32.const 16))"
        " (core instance $i (instantiate $m))"
        " (alias core export $i \"memory\" (core memory $mem))"
        " (alias core export $i \"realloc\" (core func $realloc))"
        " (func (export \"f\") (param \"a\" $t%d)"
        "  (canon lift (core func $i \"f\") (memory $mem) (realloc $realloc)))"
        " (func (export \"g\") (result $t%d)"
        "  (canon lift (core func $i \"g\") (memory $mem))))",
        depth, depth);
    return load(p, &wat);
}

static void a_type_of_a_million_parts_is_not_written_out(void **state)
{
    struct place *p = *state;
    cis_module *module = module_typed(p, 17, 25000);
    cis_wasi_config *run = NULL;
    cis_component *c = NULL;
    char *text = NULL;
    assert_ok(cis_wasi_config_new(p->runtime, &run, err));
    assert_ok(cis_component_open(run, module, &c, err));
    assert_fails(CIS_E_USAGE, "f: func(a: <too many parts>)",
                 cis_component_eval(c, "f", &text, err));
    assert_fails(CIS_E_USAGE, "g: func() -> <too many parts>",
                 cis_component_eval(c, "g", &text, err));
    assert_fails(CIS_E_UNSUPPORTED, "too many parts",
                 cis_component_eval(c, "f((1, 2))", &text, err));
    assert_fails(CIS_E_UNSUPPORTED, "too many parts", cis_component_eval(c, "g()", &text, err));
    assert_cheap(p, 64);
    cis_component_close(c);
    cis_wasi_config_free(run);
    cis_module_unref(module);
}

/* Few enough parts to look at, and still too much text for the host's memory. */
static void a_result_whose_text_would_not_end_is_a_limit(void **state)
{
    struct place *p = *state;
    cis_module *module = module_typed(p, 14, 50000);
    cis_wasi_config *run = NULL;
    cis_component *c = NULL;
    char *text = NULL;
    assert_ok(cis_wasi_config_new(p->runtime, &run, err));
    assert_ok(cis_component_open(run, module, &c, err));
    assert_fails(CIS_E_USAGE, "f: func(a: <too many parts>)",
                 cis_component_eval(c, "f", &text, err));
    assert_fails(CIS_E_BUDGET, "limit", cis_component_eval(c, "g()", &text, err));
    assert_cheap(p, 300); /* what the engine may decode in one call, and as much again as text */
    cis_component_close(c);
    cis_wasi_config_free(run);
    cis_module_unref(module);
}

static void a_type_that_fits_is_shown(void **state)
{
    struct place *p = *state;
    cis_module *module = module_typed(p, 5, 3);
    cis_wasi_config *run = NULL;
    cis_component *c = NULL;
    char *text = NULL;
    assert_ok(cis_wasi_config_new(p->runtime, &run, err));
    assert_ok(cis_component_open(run, module, &c, err));
    assert_fails(CIS_E_USAGE,
                 "f: func(a: tuple<tuple<tuple<tuple<tuple<record { xxx: u8 }, record { xxx",
                 cis_component_eval(c, "f", &text, err));
    assert_ok(cis_component_eval(c, "g()", &text, err));
    assert_memory_equal(text, "((((({xxx: 0}, {xxx: 0}), (", 27);
    cis_output_free(text);
    cis_component_close(c);
    cis_wasi_config_free(run);
    cis_module_unref(module);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_type_that_fits_is_shown),
        TEST(names_of_functions_are_not_demangled),
        TEST(names_of_any_length_take_little_memory),
        TEST(a_type_of_a_million_parts_is_not_written_out),
        TEST(a_result_whose_text_would_not_end_is_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
