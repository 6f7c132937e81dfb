/* Components as programs: the same guests as modules are, through the adapter on WASI 0.2, and
 * functions called as text. */
#include "system.h"

#define VERBS CIS_GUESTS_DIR "/verbs.wasm"

struct world {
    struct sys sys; /* first: what the helpers take */
    char verbs[600];
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->sys.home = test_dir_new();
    snprintf(w->verbs, sizeof w->verbs, "%s/verbs.component.wasm", w->sys.home);
    *state = w;
    return cis(&w->sys, "component", "new", VERBS, "-o", w->verbs);
}

#define RUN(...) cis(&w->sys, "run", __VA_ARGS__)

static void arguments_environment_and_streams_reach_a_component(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0, RUN(w->verbs, "args", "a b", ""));
    assert_string_equal(sys_out(&w->sys), "verbs.component.wasm\nargs\na b\n\n");
    assert_exit(&w->sys, 0, RUN("--env", "A=1", "--env", "B=x=y", w->verbs, "env"));
    assert_string_equal(sys_out(&w->sys), "A=1\nB=x=y\n");
    w->sys.input = cis_bytes_of("through", 7);
    assert_exit(&w->sys, 0, RUN(w->verbs, "copy"));
    w->sys.input = cis_bytes_of(NULL, 0);
    assert_string_equal(sys_out(&w->sys), "through");
    assert_exit(&w->sys, 0, RUN("--fixed-clock", "1234567890000000042", w->verbs, "clock"));
    assert_string_equal(sys_out(&w->sys), "1234567890.000000042");
}

static void w_alone_is_branch_main_whatever_is_current(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0, RUN("-w", w->verbs, "write", "/workspace/a", "one"));
    assert_exit(&w->sys, 0, cis(&w->sys, "fs", "fork", "try", "--switch"));
    assert_exit(&w->sys, 0, RUN("-w", w->verbs, "write", "/workspace/a", "two"));
    assert_exit(&w->sys, 0,
                RUN("--workspace", "/workspace", w->verbs, "write", "/workspace/b", "three"));
    assert_exit(&w->sys, 0, cis(&w->sys, "fs", "cat", "/a"));
    assert_string_equal(sys_out(&w->sys), "one");
    assert_exit(&w->sys, 0, cis(&w->sys, "fs", "cat", "/b"));
    assert_exit(&w->sys, 0, cis(&w->sys, "fs", "switch", "main"));
    assert_exit(&w->sys, 0, cis(&w->sys, "fs", "cat", "/a"));
    assert_string_equal(sys_out(&w->sys), "two");
    assert_exit(&w->sys, 0, RUN("-w", "--snapshot", "main@1", w->verbs, "cat", "/workspace/a"));
    assert_string_equal(sys_out(&w->sys), "one");
}

static void files_of_a_component_are_committed_or_not(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0, RUN("-w", w->verbs, "write", "/workspace/a", "text"));
    assert_exit(&w->sys, 0, RUN("-w", w->verbs, "append", "/workspace/a", "+"));
    assert_exit(&w->sys, 0, cis(&w->sys, "fs", "cat", "/a"));
    assert_string_equal(sys_out(&w->sys), "text+");
    assert_exit(&w->sys, 0, RUN("-w", w->verbs, "ls", "/workspace"));
    assert_string_equal(sys_out(&w->sys), "a\n");
    assert_exit(&w->sys, 1, RUN("-w", "--read-only", w->verbs, "write", "/workspace/a", "x"));
    assert_contains(sys_err(&w->sys), "Read-only file system");
    assert_exit(&w->sys, 0, RUN("-w", "--tx", "discard", w->verbs, "rm", "/workspace/a"));
    assert_exit(&w->sys, 0, RUN("-w", w->verbs, "cat", "/workspace/a"));
    assert_string_equal(sys_out(&w->sys), "text+");
    assert_exit(&w->sys, 0, RUN("-w", w->verbs, "rm", "/workspace/a"));
    assert_int_not_equal(cis(&w->sys, "fs", "cat", "/a"), 0);
}

static void open_files_of_a_component_are_capped(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0, RUN("-w", w->verbs, "write", "/workspace/a", "text"));
    assert_exit(&w->sys, 0, RUN("-w", "--files", "20", w->verbs, "hold", "/workspace/a", "100"));
    assert_string_equal(sys_out(&w->sys), "20");
    assert_exit(&w->sys, 0, RUN("-w", w->verbs, "hold", "/workspace/a", "100"));
    assert_string_equal(sys_out(&w->sys), "100");
}

static void nothing_is_there_unless_it_was_given(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 1, RUN(w->verbs, "cat", w->verbs));
    assert_exit(&w->sys, 1, RUN(w->verbs, "ls", "/"));
    assert_exit(&w->sys, 0, RUN(w->verbs, "env"));
    assert_string_equal(sys_out(&w->sys), "");
    assert_exit(&w->sys, 1, RUN("-w", w->verbs, "cat", "/workspace/../../etc/passwd"));
    assert_exit(&w->sys, 125, RUN("--no-clock", w->verbs, "clock"));
    assert_exit(&w->sys, 125, RUN("--no-random", w->verbs, "random", "4"));
}

static void ends_of_components_have_the_exit_codes_of_programs(void **state)
{
    struct world *w = *state;
    assert_exit(&w->sys, 0, RUN(w->verbs, "exit", "0"));
    assert_exit(&w->sys, 1, RUN(w->verbs, "exit", "1"));
    assert_exit(&w->sys, 134, RUN(w->verbs, "trap"));
    assert_exit(&w->sys, 124, RUN("--time", "300ms", w->verbs, "spin"));
    assert_exit(&w->sys, 125, RUN("--fuel", "100000", w->verbs, "spin"));
}

static const char TYPES[] =
    "(component (core module $m (memory (export \"m\") 1)"
    "  (func (export \"add\") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))"
    "  (func (export \"half\") (param f64) (result f64) (f64.mul (local.get 0) (f64.const 0.5)))"
    "  (func (export \"flip\") (param i32) (result i32) (i32.eqz (local.get 0))))"
    " (core instance $i (instantiate $m))"
    " (func (export \"add\") (param \"a\" u32) (param \"b\" u32) (result u32)"
    "  (canon lift (core func $i \"add\")))"
    " (func (export \"half\") (param \"x\" f64) (result f64) (canon lift (core func $i \"half\")))"
    " (func (export \"check\") (param \"good\" bool) (result (result))"
    "  (canon lift (core func $i \"flip\")))"
    " (type $w (enum \"err\" \"other\"))"
    " (export $word \"word\" (type $w))"
    " (func (export \"pick\") (param \"first\" bool) (result $word)"
    "  (canon lift (core func $i \"flip\")))"
    " (func $flip (param \"b\" bool) (result bool) (canon lift (core func $i \"flip\")))"
    " (instance $in (export \"flip\" (func $flip)))"
    " (export \"t:t/switch@1.0.0\" (instance $in)))";

static void functions_are_called_as_text(void **state)
{
    struct world *w = *state;
    char path[600];
    snprintf(path, sizeof path, "%s/types.wat", w->sys.home);
    assert_ok(cis_file_write(path, cis_bytes_of(TYPES, sizeof TYPES - 1), 0600, err));
    assert_exit(&w->sys, 0, RUN("--invoke", "add(40, 2)", path));
    assert_string_equal(sys_out(&w->sys), "42\n");
    assert_exit(&w->sys, 0, RUN("--invoke", "half(3)", path));
    assert_string_equal(sys_out(&w->sys), "1.5\n");
    assert_exit(&w->sys, 0, RUN("--invoke", "check(true)", path));
    assert_string_equal(sys_out(&w->sys), "ok\n");
    assert_exit(&w->sys, 1, RUN("--invoke", "check(false)", path));
    assert_string_equal(sys_out(&w->sys), "err\n");
    assert_exit(&w->sys, 0, RUN("--invoke", "pick(true)", path)); /* a word, not an error */
    assert_string_equal(sys_out(&w->sys), "%err\n");
    assert_exit(&w->sys, 0, RUN("--invoke", "switch.flip(false)", path));
    assert_string_equal(sys_out(&w->sys), "true\n");
    assert_exit(&w->sys, 0, RUN("--invoke", "t:t/switch@1.0.0.flip(true)", path));
    assert_string_equal(sys_out(&w->sys), "false\n");
    assert_exit(&w->sys, 2, RUN("--invoke", "add", path));
    assert_contains(sys_err(&w->sys), "add: func(a: u32, b: u32) -> u32");
    assert_exit(&w->sys, 2, RUN("--invoke", "add(1, x)", path));
    assert_contains(sys_err(&w->sys), "add(1, x): at 8");
    assert_exit(&w->sys, 126, RUN("--invoke", "no-such(1)", path));
    assert_contains(sys_err(&w->sys), "no function no-such; functions: ");
    assert_contains(sys_err(&w->sys), "add, ");
    assert_contains(sys_err(&w->sys), "t:t/switch@1.0.0.…");
    assert_exit(&w->sys, 126, RUN(path)); /* no wasi:cli/run */
    assert_contains(sys_err(&w->sys), "--invoke");
}

/* Every function gives back what it got: types whose flat form is one number by "one", those of two
 * 32-bit numbers, which are in memory one after the other, by "two". */
static const char EVERY[] =
    "(component (core module $m (memory (export \"m\") 1) (global $at (mut i32) (i32.const 1024))"
    "  (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (local $p i32)"
    "   (local.set $p (i32.and (i32.add (global.get $at) (i32.const 7)) (i32.const -8)))"
    "   (global.set $at (i32.add (local.get $p) (local.get 3))) (local.get $p))"
    "  (func (export \"one\") (param i32) (result i32) (local.get 0))"
    "  (func (export \"f32\") (param f32) (result f32) (local.get 0))"
    "  (func (export \"f64\") (param f64) (result f64) (local.get 0))"
    "  (func (export \"s64\") (param i64) (result i64) (local.get 0))"
    "  (func (export \"two\") (param i32 i32) (result i32) (i32.store (i32.const 16) (local.get 0))"
    "   (i32.store (i32.const 20) (local.get 1)) (i32.const 16)))"
    " (core instance $i (instantiate $m)) (alias core export $i \"m\" (core memory $mem))"
    " (alias core export $i \"realloc\" (core func $realloc))"
    " (type $rec' (record (field \"a-b\" u32) (field \"c\" u32)))"
    " (export $rec \"rec\" (type $rec'))"
    " (type $shape' (variant (case \"circle\" u32) (case \"point\")))"
    " (export $shape \"shape\" (type $shape'))"
    " (type $perm' (flags \"read\" \"write\" \"run\")) (export $perm \"perm\" (type $perm'))"
    " (type $color' (enum \"red\" \"dark-blue\")) (export $color \"color\" (type $color'))"
    " (type $thing' (resource (rep i32))) (export $thing \"thing\" (type $thing'))"
#define ONE(name, type, core)                                                                      \
    " (func (export \"" name "\") (param \"x\" " type ") (result " type                            \
    ") (canon lift (core func $i"                                                                  \
    " \"" core "\")))"
#define TWO(name, type)                                                                            \
    " (func (export \"" name "\") (param \"x\" " type ") (result " type                            \
    ") (canon lift (core func $i"                                                                  \
    " \"two\") (memory $mem) (realloc $realloc)))"
    ONE("c", "char", "one") ONE("b", "bool", "one") ONE("i8", "s8", "one") ONE("f", "f32", "f32")
        ONE("d", "f64", "f64") ONE("i64", "s64", "s64") ONE("p", "$perm", "one") ONE("e", "$color",
                                                                                     "one")
            TWO("s", "string") TWO("l", "(list u16)") TWO("ll", "(list (list string))")
                TWO("r", "$rec") TWO("v", "$shape") TWO("o", "(option u32)")
                    TWO("res", "(result u32 (error u32))") TWO("t", "(tuple u32 char)") TWO(
                        "lo",
                        "(list (option $color))") " (func (export \"take\") (param \"x\" (own "
                                                  "$thing)) (result u32)"
                                                  "  (canon lift (core func $i \"one\")))"
                                                  " (func $f (param \"x\" $rec) (result $rec) "
                                                  "(canon lift (core func $i \"two\") (memory $mem)"
                                                  "  (realloc $realloc)))"
                                                  " (instance $in (export $r \"rec\" (type $rec)) "
                                                  "(export \"f\" (func $f)))"
                                                  " (export \"t:t/deep@1.0.0\" (instance $in)))";

static void values_of_every_type_are_written_and_read_as_text(void **state)
{
    struct world *w = *state;
    char path[600];
    static const char *const calls[][2] = {
        {"c('x')", "'x'"},
        {"c('\\u{1F600}')", "'\U0001F600'"},
        {"c('\\n')", "'\\n'"},
        {"b(true)", "true"},
        {"i8(-128)", "-128"},
        {"i64(-9223372036854775808)", "-9223372036854775808"},
        {"f(1.5)", "1.5"},
        {"d(-inf)", "-inf"},
        {"d(nan)", "nan"},
        {"d(1e300)", NULL},
        {"p({read, run})", "{read, run}"},
        {"p({})", "{}"},
        {"e(dark-blue)", "dark-blue"},
        {"s(\"\")", "\"\""},
        {"s(\"tab\\t quote\\\" back\\\\ \\u{e9} \U0001F600\")",
         "\"tab\\t quote\\\" back\\\\ \u00e9 \U0001F600\""},
        {"l([])", "[]"},
        {"l([1, 2, 65535])", "[1, 2, 65535]"},
        {"ll([[\"a\"], [], [\"b\", \"c\"]])", "[[\"a\"], [], [\"b\", \"c\"]]"},
        {"r({a-b: 1, c: 2})", "{a-b: 1, c: 2}"},
        {"r({c: 2, a-b: 1})", "{a-b: 1, c: 2}"},
        {"v(circle(7))", "circle(7)"},
        {"v(point)", "point"},
        {"o(none)", "none"},
        {"o(some(3))", "some(3)"},
        {"o(3)", "some(3)"},
        {"res(ok(1))", "ok(1)"},
        {"res(err(2))", "err(2)"},
        {"t((4, 'z'))", "(4, 'z')"},
        {"lo([some(red), none])", "[some(red), none]"},
        {"deep.f({a-b: 1, c: 2})", "{a-b: 1, c: 2}"},
        {"t:t/deep@1.0.0.f({a-b: 3, c: 4})", "{a-b: 3, c: 4}"},
    };
    snprintf(path, sizeof path, "%s/every.wat", w->sys.home);
    assert_ok(cis_file_write(path, cis_bytes_of(EVERY, sizeof EVERY - 1), 0600, err));
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char wanted[200];
        bool bad = calls[i][1] != NULL && strncmp(calls[i][1], "err", 3) == 0;
        assert_exit(&w->sys, bad ? 1 : 0, RUN("--invoke", calls[i][0], path));
        snprintf(wanted, sizeof wanted, "%s\n", calls[i][1]);
        if (calls[i][1] != NULL) {
            assert_string_equal(sys_out(&w->sys), wanted);
        } else {
            assert_true(strtod(sys_out(&w->sys), NULL) == 1e300);
        }
    }
}

static void text_that_does_not_fit_is_told_with_its_place(void **state)
{
    struct world *w = *state;
    char path[600];
    static const char *const wrong[][2] = {
        {"i8(128)", "at 4"},
        {"s(5)", "at 3"},
        {"s(\"open)", "at 3"},
        {"l([1, x])", "at 7"},
        {"r({a-b: 1})", "c"},
        {"e(green)", "green"},
        {"v(circle)", "circle"},
        {"v(square(1))", "square"},
        {"p({read, fly})", "fly"},
        {"c('ab')", "at 3"},
        {"t((4))", "at 3"},
        {"b(yes)", "at 3"},
        {"o(some(x))", "at 8"},
        {"res(maybe)", "maybe"},
        {"s(\"\\u{d800}\")", "at"},
        {"deep.f({a-b: 1})", "c"},
        {"s(", "at"},
    };
    snprintf(path, sizeof path, "%s/every.wat", w->sys.home);
    assert_ok(cis_file_write(path, cis_bytes_of(EVERY, sizeof EVERY - 1), 0600, err));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_exit(&w->sys, 2, RUN("--invoke", wrong[i][0], path));
        assert_contains(sys_err(&w->sys), wrong[i][1]);
    }
    assert_int_not_equal(RUN("--invoke", "take(1)", path), 0);
    assert_contains(sys_err(&w->sys), "take(1): its type has a resource");
    assert_exit(&w->sys, 2, RUN("--invoke", "take", path));
    assert_contains(sys_err(&w->sys), "take: func(x: <a resource>) -> u32");
}

static void what_is_not_provided_is_named(void **state)
{
    struct world *w = *state;
    char path[600];
    static const char sockets[] = "(component (import \"wasi:sockets/tcp@0.2.3\" (instance"
                                  " (export \"f\" (func)))))",
                      future[] = "(component (import \"wasi:cli/stdin@0.3.0\" (instance"
                                 " (export \"f\" (func)))))";
    snprintf(path, sizeof path, "%s/x.wat", w->sys.home);
    assert_ok(cis_file_write(path, cis_bytes_of(sockets, sizeof sockets - 1), 0600, err));
    assert_exit(&w->sys, 126, RUN("--invoke", "f()", path));
    assert_contains(sys_err(&w->sys), "wasi:sockets/tcp@0.2.3");
    assert_ok(cis_file_write(path, cis_bytes_of(future, sizeof future - 1), 0600, err));
    assert_exit(&w->sys, 126, RUN("--invoke", "f()", path));
    assert_contains(sys_err(&w->sys), "needs WASI 0.3 (async), which this build does not provide");
}

/* The interface of its own uses a resource of WASI's and one of its own; nothing of it is called
 * unless its function is. */
static const char UNKNOWN[] =
    "(component"
    " (import \"wasi:io/error@0.2.3\" (instance $e (export \"error\" (type (sub resource)))))"
    " (alias export $e \"error\" (type $error))"
    " (import \"acme:gpu/cores@1.2.0\" (instance $gpu"
    "  (export \"core\" (type $core (sub resource)))"
    "  (alias outer 1 $error (type $outer)) (export \"error\" (type $err (eq $outer)))"
    "  (export \"count\" (func (result u32)))"
    "  (export \"why\" (func (param \"c\" (borrow $core)) (result (own $err))))))"
    " (import \"alone\" (func $alone (param \"x\" u32) (result u32)))"
    " (core func $count (canon lower (func $gpu \"count\")))"
    " (core func $lone (canon lower (func $alone)))"
    " (core module $m (import \"x\" \"count\" (func $count (result i32)))"
    "  (import \"x\" \"alone\" (func $alone (param i32) (result i32)))"
    "  (func (export \"two\") (result i32) (i32.const 2))"
    "  (func (export \"cores\") (result i32) (call $count))"
    "  (func (export \"single\") (result i32) (call $alone (i32.const 1))))"
    " (core instance $i (instantiate $m (with \"x\" (instance"
    "  (export \"count\" (func $count)) (export \"alone\" (func $lone))))))"
    " (func (export \"two\") (result u32) (canon lift (core func $i \"two\")))"
    " (func (export \"cores\") (result u32) (canon lift (core func $i \"cores\")))"
    " (func (export \"single\") (result u32) (canon lift (core func $i \"single\"))))";

static void unknown_imports_trap_when_they_are_called(void **state)
{
    struct world *w = *state;
    char path[600];
    snprintf(path, sizeof path, "%s/unknown.wat", w->sys.home);
    assert_ok(cis_file_write(path, cis_bytes_of(UNKNOWN, sizeof UNKNOWN - 1), 0600, err));
    assert_exit(&w->sys, 126, RUN("--invoke", "two()", path));
    assert_contains(sys_err(&w->sys), "acme:gpu/cores@1.2.0");
    assert_exit(&w->sys, 0, RUN("--trap-unknown-imports", "--invoke", "two()", path));
    assert_string_equal(sys_out(&w->sys), "2\n");
    assert_exit(&w->sys, 134, RUN("--trap-unknown-imports", "--invoke", "cores()", path));
    assert_contains(sys_err(&w->sys), "called acme:gpu/cores@1.2.0.count, which nothing provides");
    assert_exit(&w->sys, 134, RUN("--trap-unknown-imports", "--invoke", "single()", path));
    assert_contains(sys_err(&w->sys), "called alone, which nothing provides");
}

/* ok() does nothing but return 2: what it imports has to be there all the same. */
static const char SCHEDULER[] =
    "(component"
    " (import \"scheduler:core-libs/wasi-network@0.1.0\" (instance $n"
    "  (export \"network\" (type $net (sub resource)))"
    "  (export \"get-network\" (func (result (own $net))))))"
    " (core module $m (func (export \"ok\") (result i32) (i32.const 2)))"
    " (core instance $i (instantiate $m))"
    " (func (export \"ok\") (result u32) (canon lift (core func $i \"ok\"))))";

static void package_that_is_left_out_is_named(void **state)
{
    struct world *w = *state;
    char path[600];
    snprintf(path, sizeof path, "%s/scheduler.wat", w->sys.home);
    assert_ok(cis_file_write(path, cis_bytes_of(SCHEDULER, sizeof SCHEDULER - 1), 0600, err));
    assert_exit(&w->sys, 0, RUN("--invoke", "ok()", path));
    assert_string_equal(sys_out(&w->sys), "2\n");
    assert_exit(&w->sys, 126, RUN("--without", "scheduler:core-libs", "--invoke", "ok()", path));
    assert_contains(sys_err(&w->sys), "imports scheduler:core-libs/wasi-network@0.1.0.network");
    assert_contains(sys_err(&w->sys), "a matching implementation was not found in the linker");
    assert_exit(&w->sys, 2, RUN("--without", "scheduler:other", "--invoke", "ok()", path));
    assert_contains(sys_err(&w->sys), "--without scheduler:other: not a built-in package: "
                                      "scheduler:core-libs, wasi:io, wasi:clocks, wasi:random, "
                                      "wasi:cli, wasi:filesystem, wasi:http, wasi:sockets");
    assert_exit(&w->sys, 2, RUN("--without", "wasi:io/poll", "--invoke", "ok()", path));
    assert_exit(&w->sys, 2, RUN("--without", "", "--invoke", "ok()", path));
}

static const char ZONE[] =
    "(component (import \"wasi:clocks/timezone@0.2.3\" (instance $z"
    "  (type $d_ (record (field \"seconds\" u64) (field \"nanoseconds\" u32)))"
    "  (export \"datetime\" (type $d (eq $d_)))"
    "  (export \"utc-offset\" (func (param \"when\" $d) (result s32)))))"
    " (core func $c (canon lower (func $z \"utc-offset\")))"
    " (core module $m (import \"z\" \"o\" (func $o (param i64 i32) (result i32)))"
    "  (func (export \"offset\") (param i64) (result i32)"
    "   (call $o (local.get 0) (i32.const 0))))"
    " (core instance $i (instantiate $m (with \"z\" (instance (export \"o\" (func $c))))))"
    " (func (export \"offset\") (param \"at\" u64) (result s32)"
    "  (canon lift (core func $i \"offset\"))))";

static void time_zone_is_told_to_those_who_may_ask(void **state)
{
    struct world *w = *state;
    char path[600];
    snprintf(path, sizeof path, "%s/zone.wat", w->sys.home);
    assert_ok(cis_file_write(path, cis_bytes_of(ZONE, sizeof ZONE - 1), 0600, err));
    w->sys.env[0] = "TZ=ABC-5:30"; /* the command's: not the guest's variable */
    assert_exit(&w->sys, 126, RUN("--invoke", "offset(0)", path));
    assert_contains(sys_err(&w->sys), "imports wasi:clocks/timezone@0.2.3.utc-offset (unstable: "
                                      "--wasi clocks-timezone), which nothing provides");
    assert_exit(&w->sys, 134, RUN("--trap-unknown-imports", "--invoke", "offset(0)", path));
    assert_exit(&w->sys, 0, RUN("--wasi", "clocks-timezone", "--invoke", "offset(0)", path));
    assert_string_equal(sys_out(&w->sys), "19800\n");
    assert_exit(&w->sys, 0,
                RUN("--wasi", "network-error-code,clocks-timezone", "--env", "TZ=UTC", "--invoke",
                    "offset(1784000000)", path));
    assert_string_equal(sys_out(&w->sys), "19800\n");
    w->sys.env[1] = "CIS_RUNTIME_WASI_FEATURES=clocks-timezone";
    assert_exit(&w->sys, 0, RUN("--invoke", "offset(18446744073709551615)", path));
    assert_string_equal(sys_out(&w->sys), "0\n"); /* a time that no zone knows */
    assert_exit(&w->sys, 125, RUN("--no-clock", "--invoke", "offset(0)", path));
    assert_contains(sys_err(&w->sys), "wasi:clocks/timezone.utc-offset: refused by policy");
    w->sys.env[1] = "CIS_RUNTIME_WASI_FEATURES=tea";
    assert_exit(&w->sys, 2, RUN("--invoke", "offset(0)", path));
    assert_contains(sys_err(&w->sys), "runtime.wasi_features: tea: not an unstable feature");
    w->sys.env[1] = NULL;
    assert_exit(&w->sys, 2, RUN("--wasi", "clocks", "--invoke", "offset(0)", path));
    assert_contains(sys_err(&w->sys), "--wasi clocks: not an unstable feature of WASI 0.2; these "
                                      "are clocks-timezone, network-error-code");
}

/* Four components in one, each with a table of handles of its own, and a fifth that calls them. */
#define INNER(name)                                                                                \
    " (instance $" name " (instantiate $inner (with \"pollable\" (type $p))"                       \
    "  (with \"make\" (func $mono \"subscribe-duration\"))))"
#define CALLED(name)                                                                               \
    " (import \"" name "\" (func $" name " (param \"n\" u32)))"                                    \
    " (core func $" name "c (canon lower (func $" name ")))"
static const char NESTED[] =
    "(component"
    " (import \"wasi:io/poll@0.2.0\" (instance $poll (export \"pollable\" (type (sub resource)))))"
    " (alias export $poll \"pollable\" (type $p))"
    " (import \"wasi:clocks/monotonic-clock@0.2.0\" (instance $mono"
    "  (alias outer 1 $p (type $outer)) (export \"pollable\" (type $pp (eq $outer)))"
    "  (export \"subscribe-duration\" (func (param \"when\" u64) (result (own $pp))))))"
    " (component $inner (import \"pollable\" (type $t (sub resource)))"
    "  (import \"make\" (func $make (param \"when\" u64) (result (own $t))))"
    "  (core func $lowered (canon lower (func $make)))"
    "  (core module $m (import \"x\" \"make\" (func $make (param i64) (result i32)))"
    "   (func (export \"fill\") (param $n i32) (loop $more"
    "    (drop (call $make (i64.const 1000000000000)))"
    "    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"
    "  (core instance $i (instantiate $m (with \"x\" (instance"
    "   (export \"make\" (func $lowered))))))"
    "  (func (export \"fill\") (param \"n\" u32) (canon lift (core func $i \"fill\"))))"
    /* The instances. */
    INNER("a") INNER("b") INNER("c") INNER("d") " (component $driver" CALLED("a") CALLED("b")
        CALLED("c") CALLED(
            "d") " (core module $all (import \"x\" \"a\" (func $a (param i32)))"
                 "  (import \"x\" \"b\" (func $b (param i32))) (import \"x\" \"c\" (func $c (param "
                 "i32)))"
                 "  (import \"x\" \"d\" (func $d (param i32)))"
                 "  (func (export \"fill\") (param $n i32) (result i32) (call $a (local.get $n))"
                 "   (call $b (local.get $n)) (call $c (local.get $n)) (call $d (local.get $n)) "
                 "(i32.const 4)))"
                 " (core instance $i (instantiate $all (with \"x\" (instance (export \"a\" (func "
                 "$ac))"
                 "  (export \"b\" (func $bc)) (export \"c\" (func $cc)) (export \"d\" (func "
                 "$dc))))))"
                 " (func (export \"fill\") (param \"n\" u32) (result u32) (canon lift (core func "
                 "$i \"fill\"))))"
                 " (instance $run (instantiate $driver (with \"a\" (func $a \"fill\"))"
                 "  (with \"b\" (func $b \"fill\")) (with \"c\" (func $c \"fill\"))"
                 "  (with \"d\" (func $d \"fill\"))))"
                 " (export \"fill\" (func $run \"fill\")))";

static void handles_of_nested_components_are_capped_together(void **state)
{
    struct world *w = *state;
    char path[600];
    snprintf(path, sizeof path, "%s/nested.wat", w->sys.home);
    assert_ok(cis_file_write(path, cis_bytes_of(NESTED, sizeof NESTED - 1), 0600, err));
    assert_exit(&w->sys, 0, RUN("--invoke", "fill(20000)", path));
    assert_string_equal(sys_out(&w->sys), "4\n");
    assert_exit(&w->sys, 125, RUN("--invoke", "fill(30000)", path));
    assert_contains(sys_err(&w->sys), "limit \"handles\" reached: 100001 of 100000");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arguments_environment_and_streams_reach_a_component),
        TEST(w_alone_is_branch_main_whatever_is_current),
        TEST(files_of_a_component_are_committed_or_not),
        TEST(open_files_of_a_component_are_capped),
        TEST(nothing_is_there_unless_it_was_given),
        TEST(ends_of_components_have_the_exit_codes_of_programs),
        TEST(functions_are_called_as_text),
        TEST(values_of_every_type_are_written_and_read_as_text),
        TEST(text_that_does_not_fit_is_told_with_its_place),
        TEST(what_is_not_provided_is_named),
        TEST(unknown_imports_trap_when_they_are_called),
        TEST(handles_of_nested_components_are_capped_together),
        TEST(package_that_is_left_out_is_named),
        TEST(time_zone_is_told_to_those_who_may_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
