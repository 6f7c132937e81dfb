/* What values that a guest gives cost the host: of every kind of type, as the result of an export
 * (as a value and as text) and as the argument of an import, what one call may bring keeps the
 * host's memory within host_bytes. The engine's own count is far below that for some. */
#include <inttypes.h>
#include <malloc.h>
#include "base/clock.h"
#include "base/mem.h"
#include "engine/component/component.h"
#include "harness.h"

#define MIB (1u << 20)
enum { HOST_BYTES = 24 * MIB, SLACK = 6 * MIB, MEMORY = 8 * MIB, ITEMS = 65536, LEAST = 1024 };

/* Types with parts have a name where they are imported or exported. */
#define NAMED(n, text) "(type $" n "_ " text ")(import \"t-" n "\" (type $" n " (eq $" n "_)))"
#define F8(p)                                                                                      \
    "\"" p "a\" \"" p "b\" \"" p "c\" \"" p "d\" \"" p "e\" \"" p "f\" \"" p "g\" \"" p "h\" "
#define T8(p) p "a," p "b," p "c," p "d," p "e," p "f," p "g," p "h"
#define LONG(p) "a-name-of-more-than-twenty-four-letters-" p

struct kind {
    const char *what;
    const char *types, *item; /* of the list */
    const char *text;         /* the item's type */
    unsigned size;            /* of an item */
    uint64_t fill;            /* what items are made of, eight bytes each */
    const char *encoding;
};

/* Content is at 1024: a list of one byte at 16, a list of that at 24, and of that at 32. */
#define ONE(at) ((uint64_t)1 << 32 | (at))
#define ALL_ONES 0x0101010101010101u
static const struct kind kinds[] = {
    {"u8", "", "u8", "u8", 1, 0, ""},
    {"u64", "", "u64", "u64", 8, 0, ""},
    {"char", "", "char", "char", 4, 0, ""},
    {"string", "", "string", "string", 8, ONE(1024), ""},
    {"empty string", "", "string", "string", 8, 1024, ""},
    {"string in UTF-16", "", "string", "string", 8, (uint64_t)1000 << 32 | 1024,
     "string-encoding=utf16"},
    {"string in Latin-1", "", "string", "string", 8, (uint64_t)2000 << 32 | 1024,
     "string-encoding=latin1+utf16"},
    {"list", "", "(list u8)", "list<u8>", 8, ONE(1024), ""},
    {"empty list", "", "(list u8)", "list<u8>", 8, 1024, ""},
    {"list in lists", "", "(list (list (list u8)))", "list<list<list<u8>>>", 8, ONE(24), ""},
    {"record", NAMED("a", "(record (field \"a\" u8))"), "$a", "record{a:u8}", 1, 0, ""},
    {"record of two", NAMED("a", "(record (field \"a\" u8) (field \"b\" u8))"), "$a",
     "record{a:u8,b:u8}", 2, 0, ""},
    {"record of five",
     NAMED("a", "(record (field \"a\" u8) (field \"b\" u8) (field \"c\" u8) (field \"d\" u8)"
                "(field \"e\" u8))"),
     "$a", "record{a:u8,b:u8,c:u8,d:u8,e:u8}", 5, 0, ""},
    {"record with a long name", NAMED("a", "(record (field \"" LONG("a") "\" u8))"), "$a",
     "record{" LONG("a") ":u8}", 1, 0, ""},
    {"record in records",
     NAMED("a", "(record (field \"a\" u8))") NAMED("b", "(record (field \"a\" $a))")
         NAMED("c", "(record (field \"a\" $b))"),
     "$c", "record{a:record{a:record{a:u8}}}", 1, 0, ""},
    {"tuple", "", "(tuple u8)", "tuple<u8>", 1, 0, ""},
    {"tuple of five", "", "(tuple u8 u8 u8 u8 u8)", "tuple<u8,u8,u8,u8,u8>", 5, 0, ""},
    {"tuple in tuples", "", "(tuple (tuple (tuple (tuple u8))))", "tuple<tuple<tuple<tuple<u8>>>>",
     1, 0, ""},
    {"option", "", "(option u8)", "option<u8>", 2, ALL_ONES, ""},
    {"option in options", "", "(option (option (option u8)))", "option<option<option<u8>>>", 4,
     ALL_ONES, ""},
    {"result", "", "(result u8 (error u8))", "result<u8, u8>", 2, 0, ""},
    {"result in results", "", "(result (result (result u8)))", "result<result<result<u8>>>", 4, 0,
     ""},
    {"result without", "", "(result)", "result", 1, 0, ""},
    {"variant", NAMED("a", "(variant (case \"a\" u8) (case \"b\"))"), "$a", "variant{a(u8),b}", 2,
     0, ""},
    {"variant in variants",
     NAMED("a", "(variant (case \"a\" u8))") NAMED("b", "(variant (case \"a\" $a))"), "$b",
     "variant{a(variant{a(u8)})}", 3, 0, ""},
    {"enum", NAMED("a", "(enum \"a\" \"b\")"), "$a", "enum{a,b}", 1, 0, ""},
    {"enum with a long name", NAMED("a", "(enum \"" LONG("a") "\")"), "$a", "enum{" LONG("a") "}",
     1, 0, ""},
    {"flags of one", NAMED("a", "(flags \"a\")"), "$a", "flags{a}", 1, ALL_ONES, ""},
    {"flags of eight", NAMED("a", "(flags " F8("") ")"), "$a", "flags{" T8("") "}", 1, UINT64_MAX,
     ""},
    {"flags of all", NAMED("a", "(flags " F8("") F8("i") F8("j") F8("k") ")"), "$a",
     "flags{" T8("") "," T8("i") "," T8("j") "," T8("k") "}", 4, UINT64_MAX, ""},
    {"flags, few of them set",
     NAMED("a", "(flags " F8("") F8(LONG("i")) F8(LONG("j")) F8(LONG("k")) ")"), "$a",
     "flags{" T8("") "," T8(LONG("i")) "," T8(LONG("j")) "," T8(LONG("k")) "}", 4,
     0x000000ff000000ff, ""},
    {"flags in records", NAMED("a", "(flags " F8("") ")") NAMED("b", "(record (field \"a\" $a))"),
     "$b", "record{a:flags{" T8("") "}}", 1, UINT64_MAX, ""},
    {"flags in options", NAMED("a", "(flags " F8("") ")"), "(option $a)",
     "option<flags{" T8("") "}>", 2, 0xff01ff01ff01ff01, ""},
};

/* f(n): a list of n of them. h(n): such a list to an import. */
static const char BODY[] =
    "(core module $m (memory (export \"mem\") 128)"
    " (func $fill (param $n i32) (local $at i32)"
    "  (i64.store (i32.const 16) (i64.const %llu)) (i64.store (i32.const 24) (i64.const %llu))"
    "  (memory.fill (i32.const 1024) (i32.const 0x69) (i32.const 4096))"
    "  (local.set $n (i32.add (i32.const %d) (i32.mul (local.get $n) (i32.const %u))))"
    "  (local.set $at (i32.const %d))"
    "  (loop $l (i64.store (local.get $at) (i64.const %llu))"
    "   (local.set $at (i32.add (local.get $at) (i32.const 8)))"
    "   (br_if $l (i32.lt_u (local.get $at) (local.get $n)))))"
    " (func (export \"f\") (param $n i32) (result i32) (call $fill (local.get $n))"
    "  (i32.store (i32.const 8) (i32.const %d)) (i32.store (i32.const 12) (local.get $n))"
    "  (i32.const 8))"
    " (func (export \"fill\") (param i32) (call $fill (local.get 0))))"
    "(core instance $i (instantiate $m))";

static void put_component(const struct kind *k, bool import, struct cis_buf *out)
{
    cis_buf_printf(out, "(component %s (type $l (list %s))", k->types, k->item);
    if (import) {
        cis_buf_text(out, "(import \"g\" (func $g (param \"x\" $l)))");
    }
    cis_buf_printf(out, BODY, (unsigned long long)ONE(1024), (unsigned long long)ONE(16), ITEMS,
                   k->size, ITEMS, (unsigned long long)k->fill, ITEMS);
    if (!import) {
        cis_buf_printf(out,
                       "(func (export \"f\") (param \"n\" u32) (result $l) (canon lift"
                       " (core func $i \"f\") (memory (core memory $i \"mem\")) %s)))",
                       k->encoding);
        return;
    }
    cis_buf_printf(out,
                   "(alias core export $i \"mem\" (core memory $mem))"
                   "(core func $g_ (canon lower (func $g) (memory $mem) %s))"
                   "(core module $h (import \"m\" \"fill\" (func $fill (param i32)))"
                   " (import \"m\" \"g\" (func $g (param i32 i32)))"
                   " (func (export \"h\") (param i32) (result i32) (call $fill (local.get 0))"
                   "  (call $g (i32.const %d) (local.get 0)) (i32.const 0)))"
                   "(alias core export $i \"fill\" (core func $fill))"
                   "(core instance $j (instantiate $h (with \"m\" (instance"
                   " (export \"fill\" (func $fill)) (export \"g\" (func $g_))))))"
                   "(func (export \"h\") (param \"n\" u32) (result u32)"
                   " (canon lift (core func $j \"h\"))))",
                   k->encoding, ITEMS);
}

/* Bytes that this process had at most since the last time; 0: the system does not tell. */
static uint64_t peak(bool anew)
{
    uint64_t kib = 0;
    char line[256];
    FILE *f;
    if (anew) {
        (void)malloc_trim(0);
        f = fopen("/proc/self/clear_refs", "w");
        if (f == NULL || fputs("5", f) < 0 || fclose(f) != 0) {
            return 0;
        }
    }
    f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        (void)sscanf(line, "VmHWM: %" SCNu64, &kib);
    }
    if (f != NULL) {
        fclose(f);
    }
    return kib * 1024;
}

enum way { VALUE, TEXT, ARGUMENT };
static const char *const ways[] = {"value", "text", "argument"};

static cis_code value(cis_engine_instance *guest, const char *type, uint32_t n,
                      struct cis_error *why)
{
    cis_vals *vals = NULL;
    assert_ok(cis_vals_new(guest, 1, &vals, err));
    cis_val_set_u32(cis_vals_arg(vals, 0), n);
    cis_code code = cis_component_call(guest, CIS_STR("f"), type, vals, why);
    cis_vals_free(vals);
    return code;
}

/* n of them, in a guest of their own. */
static cis_code bring(cis_engine *engine, cis_linked *program, const struct kind *k, enum way way,
                      uint32_t n, uint64_t *out_text, struct cis_error *why)
{
    cis_engine_instance *guest = NULL;
    char text[4096];
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(512 * MIB);
    struct cis_engine_instance_options o = {.stop = {CIS_NEVER, NULL}};
    o.limits.host_bytes = HOST_BYTES;
    o.limits.memory_bytes = 2 * MEMORY;
    assert_ok(cis_engine_instance_new(engine, program, &o, &guest, err));
    cis_code code;
    if (way == VALUE) {
        snprintf(text, sizeof text, "func(u32) -> list<%s>", k->text);
        code = value(guest, text, n, why);
    } else {
        const char *name = way == TEXT ? "f" : "h";
        snprintf(text, sizeof text, "%s(%u)", name, n);
        code = cis_component_call_text(guest, cis_str_of(name), cis_str_of(text), &out, why);
        *out_text = out.len;
    }
    cis_engine_instance_free(guest);
    return code;
}

static const struct cis_ifacefn *no_row(void *self, struct cis_str interface, struct cis_str name)
{
    (void)self, (void)interface, (void)name;
    return NULL;
}

static void load(cis_engine *engine, const struct kind *k, enum way way, cis_linked **out)
{
    static const struct cis_iface_provider nobody = {.function = no_row, .trap_unknown = true};
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(MIB);
    struct cis_engine_module_options o = {.name = "cost"};
    cis_engine_module *image = NULL;
    put_component(k, way == ARGUMENT, &text);
    assert_ok(cis_engine_module_load(engine, cis_buf_bytes(&text), &o, &image, err));
    assert_ok(cis_component_link(image, &nobody, NULL, out, err));
    cis_engine_module_unref(image);
}

/* As many as pass, and how much the host has of them. */
static void measure(cis_engine *engine, const struct kind *k, enum way way)
{
    cis_linked *program = NULL;
    struct cis_error why = {0};
    load(engine, k, way, &program);
    cis_code code = CIS_OK;
    uint32_t n = LEAST;
    uint64_t text = 0;
    assert_int_not_equal(bring(engine, program, k, way, n, &text, &why), CIS_E_BUDGET);
    uint64_t before = peak(true);
    for (; n * k->size < MEMORY - 2 * ITEMS; n += n / 4) {
        why = (struct cis_error){0};
        code = bring(engine, program, k, way, n, &text, &why);
        if (code == CIS_E_BUDGET) {
            break;
        }
        if (way == ARGUMENT) {
            assert_int_equal(code, CIS_E_TRAP);
            assert_non_null(strstr(why.msg, "which nothing provides"));
        } else if (code != CIS_OK) {
            fail_msg("%s as %s: %s", k->what, ways[way], why.msg);
        }
    }
    uint64_t more = peak(false) - before;
    if (getenv("CIS_TEST_SHOW") != NULL) {
        print_message("%-24s %-9s %8u %6.1f MiB\n", k->what, ways[way], n, (double)more / MIB);
    }
    /* Its text is with the caller and was with the engine, where it had grown. */
    if (before != 0 && more > HOST_BYTES + SLACK + (uint64_t)n * k->size + 3 * text) {
        fail_msg("%s as %s: %u of them are %llu bytes of the host's memory", k->what, ways[way], n,
                 (unsigned long long)more);
    }
    cis_linked_unref(program);
}

static int setup(void **state)
{
    const struct cis_engine_options o = {.pool_slots = 4, .compile_in_process = true};
    struct cis_error err;
    return cis_engine_open(&o, (cis_engine **)state, &err) == CIS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    cis_engine_close(*state);
    return 0;
}

static void measure_all(cis_engine *engine, enum way way)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)engine, (void)way, (void)kinds, (void)measure;
    skip(); /* memory is another one */
#else
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        measure(engine, &kinds[i], way);
    }
#endif
}

static void results_of_every_kind_stay_within_the_budget(void **state)
{
    measure_all(*state, VALUE);
}

static void results_as_text_of_every_kind_stay_within_the_budget(void **state)
{
    measure_all(*state, TEXT);
}

static void arguments_of_every_kind_stay_within_the_budget(void **state)
{
    measure_all(*state, ARGUMENT);
}

/* Reading a result and writing it as text takes most of the call, and the guest is back by then. */
static void a_result_as_text_ends_with_the_time_of_the_run(void **state)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(64 * MIB);
    struct cis_engine_instance_options o = {.stop = {CIS_NEVER, NULL}};
    cis_linked *program = NULL;
    cis_engine_instance *guest = NULL;
    o.limits.host_bytes = 512 * MIB;
    o.limits.memory_bytes = 2 * MEMORY;
    load(*state, &kinds[0], TEXT, &program);
    assert_ok(cis_engine_instance_new(*state, program, &o, &guest, err));
    uint64_t start = cis_clock_mono_ns();
    assert_ok(cis_component_call_text(guest, CIS_STR("f"), CIS_STR("f(1000000)"), &out, err));
    uint64_t now = cis_clock_mono_ns();
    assert_int_equal(out.len, 3000000);
    struct cis_stop soon = {now + (now - start) / 2, NULL};
    cis_engine_instance_rearm(guest, &soon, 0);
    assert_fails(CIS_E_DEADLINE, "time limit",
                 cis_component_call_text(guest, CIS_STR("f"), CIS_STR("f(1000000)"), &out, err));
    assert_string_equal(cis_engine_instance_end(guest)->limit, "time");
    cis_engine_instance_free(guest);
    cis_linked_unref(program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(results_of_every_kind_stay_within_the_budget, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(results_as_text_of_every_kind_stay_within_the_budget, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_result_as_text_ends_with_the_time_of_the_run, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(arguments_of_every_kind_stay_within_the_budget, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
