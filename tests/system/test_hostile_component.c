/* Components whose types are more than their readers live through, and components that are composed
 * by hand, so that a part gets what it seems not to. */
#include "system/system.h"

#define ASKS "(instance $r (export \"get-random-u64\" (func (result u64))))"
/* Imports `a` and calls it. */
#define PART                                                                                       \
    "(component $part (import \"a\" (instance $in (export \"get-random-u64\""                      \
    " (func (result u64))))) (core func $low (canon lower (func $in \"get-random-u64\")))"         \
    " (core module $m (import \"in\" \"f\" (func $f (result i64)))"                                \
    "  (func (export \"g\") (result i64) (call $f)))"                                              \
    " (core instance $i (instantiate $m (with \"in\" (instance (export \"f\" (func $low))))))"     \
    " (func $g (result u64) (canon lift (core func $i \"g\"))) (export \"call\" (func $g)))"
#define BEGIN "(component (import \"wasi:random/random@0.2.0\" " ASKS ")" PART
#define END(given) " (instance $p (instantiate $part (with \"a\" (instance " given ")))))"
/* Made anew, from one function of an instance. */
#define BAG(name, of)                                                                              \
    " (alias export " of " \"get-random-u64\" (func " name "f))"                                   \
    " (instance " name " (export \"get-random-u64\" (func " name "f)))"
/* Through a component without code. */
#define HANDED                                                                                     \
    " (component $t (import \"q\" " ASKS ") (export \"b\" (instance $r)))"                         \
    " (instance $ti (instantiate $t (with \"q\" (instance $r))))"                                  \
    " (alias export $ti \"b\" (instance $b))"

static void what_is_handed_on_is_told_of_the_part_that_gets_it(void **state)
{
    static const char *const ways[] = {
        BEGIN END("$r"),
        BEGIN BAG("$x", "$r") END("$x"),
        BEGIN BAG("$x", "$r") BAG("$y", "$x") BAG("$z", "$y") END("$z"),
        BEGIN HANDED END("$b"),
        BEGIN HANDED BAG("$x", "$b") END("$x"),
    };
    struct sys *s = *state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char *file = sys_wat(s, "x.wat", ways[i]);
        assert_exit(s, 0, cis(s, "inspect", file));
        assert_contains(sys_out(s), "parts: 1,");
        assert_contains(sys_out(s), "\n  p  asks for: random\n");
        assert_contains(sys_out(s), "\n  a  stays imported, as wasi:random/random@0.2.0\n");
        assert_contains(sys_out(s), "stays imported: 1\n  wasi:random/random@0.2.0  for p\n");
        free(file);
    }
}

static void code_beside_the_parts_is_told_as_one(void **state)
{
    struct sys *s = *state;
    char *file = sys_wat(
        s, "x.wat",
        "(component (import \"wasi:random/random@0.2.0\" " ASKS ")"
        " (core func $low (canon lower (func $r \"get-random-u64\")))"
        " (core module $m (import \"in\" \"f\" (func (result i64))))"
        " (core instance (instantiate $m (with \"in\" (instance (export \"f\" (func $low))))))"
        " (component $c (core module)) (instance $decoy (instantiate $c)))");
    assert_exit(s, 0, cis(s, "inspect", file));
    assert_contains(sys_out(s), "\n  decoy  asks for: nothing\n  (itself)  asks for: random\n");
    free(file);
}

/* What was handed on a hundred times is followed from each of four hundred. */
static void much_that_is_handed_on_ends_soon(void **state)
{
    struct sys *s = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&text, BEGIN " (instance $b0 (export \"x\" (instance $r)))");
    for (int i = 1; i < 100; i++) {
        cis_buf_printf(&text, " (instance $b%d (export \"x\" (instance $b%d)))", i, i - 1);
    }
    for (int i = 0; i < 400; i++) {
        cis_buf_printf(&text,
                       " (component $c%d (import \"v\" (instance)) (core module))"
                       " (instance (instantiate $c%d (with \"v\" (instance $b99))))",
                       i, i);
    }
    cis_buf_text(&text, ")");
    char *file = sys_wat(s, "x.wat", cis_buf_cstr(&text));
    assert_exit(s, 0, cis(s, "inspect", file, "--json", "--compile-time", "10s"));
    free(file);
}

/* ---- deeper than is read ---- */

static void leb(struct cis_buf *out, size_t n)
{
    for (; n > 127; n >>= 7) {
        cis_buf_byte(out, (uint8_t)(n & 127) | 128);
    }
    cis_buf_byte(out, (uint8_t)n);
}

/* A component that is one section of types. */
static char *types(struct sys *s, const char *file, const struct cis_buf *section)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf all = CIS_BUF_INIT(1u << 20);
    char path[4200];
    cis_buf_add(&all, "\0asm\x0d\0\1\0\7", 9);
    leb(&all, section->len);
    cis_buf_add(&all, section->ptr, section->len);
    sys_file(s, file, (const char *)all.ptr, all.len);
    snprintf(path, sizeof path, "%s/%s", s->home, file);
    return strdup(path);
}

/* n types of instances (0x42) or components (0x41), written inside each other. */
static char *nested(struct sys *s, const char *kind, size_t n)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1u << 20);
    cis_buf_byte(&out, 1);
    for (size_t i = 0; i < n; i++) {
        cis_buf_add(&out, kind, 1);
        cis_buf_add(&out, "\1\1", 2);
    }
    cis_buf_add(&out, kind, 1);
    cis_buf_byte(&out, 0);
    return types(s, "nested.wasm", &out);
}

/* n types beside each other, each of which exports one thing of the type before. */
static char *chained(struct sys *s, const char *kind, const char *thing, size_t n)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1u << 20);
    leb(&out, n + 1);
    cis_buf_add(&out, kind, 1);
    cis_buf_byte(&out, 0);
    for (size_t i = 0; i < n; i++) {
        cis_buf_add(&out, kind, 1);
        cis_buf_add(&out, "\2\2\3\2\1", 5); /* alias outer 1 i, as type 0 */
        leb(&out, i);
        cis_buf_add(&out, "\4\0\1x", 4);
        cis_buf_add(&out, thing, 1);
        cis_buf_byte(&out, 0);
    }
    return types(s, "chained.wasm", &out);
}

/* Instances of instances of …, made of exports. */
static char *bags(struct sys *s, int n)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&text, "(component (import \"a\" (instance $b0 (export \"f\" (func))))");
    for (int i = 1; i <= n; i++) {
        cis_buf_printf(&text, "(instance $b%d (export \"x\" (instance $b%d)))", i, i - 1);
    }
    cis_buf_byte(&text, ')');
    return sys_wat(s, "bags.wat", cis_buf_cstr(&text));
}

/* It may be refused, but a signal never ends the program; what is made of it needs no more. */
static void lives(struct sys *s, char *file)
{
    char out[4200];
    snprintf(out, sizeof out, "%s/out.wasm", s->home);
    for (int i = 0; i < 4; i++) {
        int code = i == 0   ? cis(s, "inspect", file)
                   : i == 1 ? cis(s, "run", file)
                   : i == 2 ? cis(s, "compose", file, "--plug", file, "-o", out)
                            : cis(s, "component", "wit", file);
        assert_true(code >= 0 && code <= 126);
        assert_lacks(sys_err(s), "panicked");
    }
    free(file);
}

static void types_inside_each_other_end_no_program(void **state)
{
    static const size_t depths[] = {90, 300, 5000, 21000};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        lives(*state, nested(*state, "\x42", depths[i]));
        lives(*state, nested(*state, "\x41", depths[i]));
    }
}

static void types_of_types_end_no_program(void **state)
{
    static const int depths[] = {20, 126, 127, 128, 900};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        lives(*state, chained(*state, "\x42", "\5", (size_t)depths[i]));
        lives(*state, chained(*state, "\x41", "\4", (size_t)depths[i]));
        lives(*state, bags(*state, depths[i]));
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(types_inside_each_other_end_no_program),
        T(types_of_types_end_no_program),
        T(what_is_handed_on_is_told_of_the_part_that_gets_it),
        T(code_beside_the_parts_is_told_as_one),
        T(much_that_is_handed_on_ends_soon),
    };
    return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
