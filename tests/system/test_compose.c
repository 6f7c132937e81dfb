/* `cis compose`: components joined by interface or by a WAC text, and run. */
#include "system/system.h"

#include <sys/stat.h>
#include <unistd.h>
#include "base/crypto.h"

/* ---- components as text ---- */

/* Exports INTERFACE with a function: name(x) = x * times + plus. */
static char *giver(struct sys *s, const char *file, const char *interface, const char *function,
                   int times, int plus)
{
    char text[2048];
    snprintf(text, sizeof text,
             "(component (core module $m (func (export \"f\") (param i32) (result i32)"
             " (i32.add (i32.mul (local.get 0) (i32.const %d)) (i32.const %d))))"
             " (core instance $i (instantiate $m))"
             " (func $f (param \"x\" u32) (result u32) (canon lift (core func $i \"f\")))"
             " (instance $e (export \"%s\" (func $f))) (export \"%s\" (instance $e)))",
             times, plus, function, interface);
    return sys_wat(s, file, text);
}

/* Imports IN.f and exports OUT.f, which calls it and adds one; out NULL: exports call(x). */
static char *link_of(struct sys *s, const char *file, const char *in, const char *out)
{
    char text[4096], export[256] = "(export \"call\" (func $g))";
    if (out != NULL) {
        snprintf(export, sizeof export,
                 "(instance $e (export \"f\" (func $g))) (export \"%s\" (instance $e))", out);
    }
    snprintf(text, sizeof text,
             "(component (import \"%s\" (instance $in (export \"f\""
             " (func (param \"x\" u32) (result u32)))))"
             " (core func $low (canon lower (func $in \"f\")))"
             " (core module $m (import \"in\" \"f\" (func $f (param i32) (result i32)))"
             "  (func (export \"g\") (param i32) (result i32)"
             "   (i32.add (call $f (local.get 0)) (i32.const 1))))"
             " (core instance $i (instantiate $m (with \"in\""
             "  (instance (export \"f\" (func $low))))))"
             " (func $g (param \"x\" u32) (result u32) (canon lift (core func $i \"g\"))) %s)",
             in, export);
    return sys_wat(s, file, text);
}

static char *below(struct sys *s, const char *name)
{
    size_t n = strlen(s->home) + strlen(name) + 2;
    char *path = malloc(n);
    snprintf(path, n, "%s/%s", s->home, name);
    return path;
}

/* A component that the encoder makes of a core module and its WIT text. */
static char *encoded(struct sys *s, const char *name, const char *wit, const char *body)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 16);
    cis_buf_printf(&text, "(module (@custom \"cis:wit\" \"%s\") %s)", wit, body);
    char core[64], made[64];
    snprintf(core, sizeof core, "%s-core.wat", name);
    snprintf(made, sizeof made, "%s.wasm", name);
    char *from = sys_wat(s, core, cis_buf_cstr(&text)), *to = below(s, made);
    assert_exit(s, 0, cis(s, "component", "new", from, "-o", to));
    free(from);
    return to;
}

#define COUNTERS_WIT                                                                               \
    "package test:res@1.0.0; interface counters { resource counter { constructor(n: u32); "        \
    "up: func() -> u32; } }"

static char *counters(struct sys *s)
{
    return encoded(
        s, "counters", COUNTERS_WIT " world w { export counters; }",
        "(import \"[export]test:res/counters@1.0.0\" \"[resource-new]counter\""
        "  (func $new (param i32) (result i32)))"
        " (memory (export \"memory\") 1) (global $next (mut i32) (i32.const 16))"
        " (func (export \"test:res/counters@1.0.0#[constructor]counter\") (param i32) (result i32)"
        "  (local i32) (local.set 1 (global.get $next))"
        "  (global.set $next (i32.add (global.get $next) (i32.const 4)))"
        "  (i32.store (local.get 1) (local.get 0)) (call $new (local.get 1)))"
        " (func (export \"test:res/counters@1.0.0#[method]counter.up\") (param i32) (result i32)"
        "  (i32.store (local.get 0) (i32.add (i32.load (local.get 0)) (i32.const 1)))"
        "  (i32.load (local.get 0)))"
        " (func (export \"test:res/counters@1.0.0#[dtor]counter\") (param i32)"
        "  (i32.store (local.get 0) (i32.const -1)))");
}

static void runs_as(struct sys *s, const char *component, const char *call, const char *result)
{
    assert_exit(s, 0, cis(s, "run", "--invoke", call, component));
    assert_string_equal(sys_out(s), result);
}

/* ---- plugs ---- */

static void a_plug_gives_what_the_socket_imports(void **state)
{
    struct sys *s = *state;
    char *plug = giver(s, "twice.wat", "test:a/b@0.1.0", "f", 2, 0);
    char *socket = link_of(s, "app.wat", "test:a/b@0.1.0", NULL), *out = below(s, "out.wasm");
    assert_exit(s, 0, cis(s, "compose", socket, "--plug", plug, "-o", out));
    assert_string_equal(sys_out(s), "");
    runs_as(s, out, "call(20)", "41\n");
    assert_exit(s, 0, cis(s, "component", "wit", out));
    assert_lacks(sys_out(s), "import");
    assert_exit(s, 0, cis(s, "compose", socket, "--plug", plug, "-o", "-"));
    assert_true(s->last.output.len > 8 && memcmp(s->last.output.ptr, "\0asm\x0d", 5) == 0);
    free(plug);
    free(socket);
    free(out);
}

static void the_same_parts_give_the_same_bytes(void **state)
{
    struct sys *s = *state;
    char *plug = giver(s, "twice.wat", "test:a/b@0.1.0", "f", 2, 0);
    char *socket = link_of(s, "app.wat", "test:a/b@0.1.0", NULL);
    CIS_CLEANUP(cis_buf_done) struct cis_buf first = CIS_BUF_INIT(1u << 20);
    for (int i = 0; i < 5; i++) {
        assert_exit(s, 0, cis(s, "compose", socket, "--plug", plug, "-o", "-"));
        if (i == 0) {
            cis_buf_add(&first, s->last.output.ptr, s->last.output.len);
        }
        assert_int_equal(s->last.output.len, first.len);
        assert_memory_equal(s->last.output.ptr, first.ptr, first.len);
    }
    free(plug);
    free(socket);
}

/* Only its folder's own: nothing of a composition that failed. */
static bool left_behind(struct sys *s)
{
    assert_exit(s, 0, sys_exec(s, (const char *const[]){"/bin/ls", s->home, NULL}));
    return strstr(sys_out(s), ".tmp-") != NULL;
}

/* With a section of 5 MiB in its module: a file that the command does not read itself. */
static char *large(struct sys *s, const char *name, const char *file)
{
    enum { MUCH = 5u << 20 };
    static const char before[] = "(core module $m";
    CIS_CLEANUP(cis_buf_done) struct cis_buf all = CIS_BUF_INIT(8u << 20), text = all;
    assert_ok(cis_file_read(file, &text, err));
    const char *at = strstr(cis_buf_cstr(&text), before);
    assert_non_null(at);
    at += sizeof before - 1;
    cis_buf_add(&all, text.ptr, (size_t)(at - (const char *)text.ptr));
    cis_buf_text(&all, " (@custom \"large\" \"");
    for (size_t i = 0; i < MUCH / 8; i++) {
        cis_buf_printf(&all, "%08zx", i * 2654435761u & 0xffffffff);
    }
    cis_buf_text(&all, "\")");
    cis_buf_text(&all, at);
    return strdup(sys_file(s, name, all.ptr, all.len));
}

static void large_parts_give_the_same_bytes_by_every_way(void **state)
{
    struct sys *s = *state;
    char *plug = giver(s, "twice.wat", "test:a/b@0.1.0", "f", 2, 0);
    char *socket = link_of(s, "app.wat", "test:a/b@0.1.0", NULL), *out = below(s, "out.wasm");
    char *other = below(s, "other.wasm"), *more = below(s, "more");
    assert_int_equal(mkdir(more, 0700), 0);
    char *plug2 = large(s, "more/twice.wat", plug), *socket2 = large(s, "more/app.wat", socket);
    assert_exit(s, 0, cis(s, "compose", socket2, "--plug", plug2, "-o", "-"));
    CIS_CLEANUP(cis_buf_done) struct cis_buf piped = CIS_BUF_INIT(16u << 20), made = piped;
    cis_buf_add(&piped, s->last.output.ptr, s->last.output.len);
    assert_true(piped.len > 10u << 20);
    assert_exit(s, 0, cis(s, "compose", socket2, "--plug", plug2, "-o", out));
    assert_ok(cis_file_read(out, &made, err));
    assert_int_equal(made.len, piped.len);
    assert_memory_equal(made.ptr, piped.ptr, piped.len);
    /* What was there stays when nothing comes of it, and nothing lies beside it. */
    char *wrong = giver(s, "wrong.wat", "test:c/d@0.1.0", "f", 2, 0);
    assert_exit(s, 3, cis(s, "compose", socket2, "--plug", wrong, "-o", out));
    assert_contains(sys_err(s), "nothing that app needs");
    assert_exit(s, 3, cis(s, "compose", socket2, "--plug", wrong, "-o", other));
    assert_true(access(other, F_OK) != 0);
    assert_false(left_behind(s));
    runs_as(s, out, "call(20)", "41\n");
    /* It may be one of its parts. */
    assert_exit(s, 0, cis(s, "compose", socket2, "--plug", plug2, "-o", plug2));
    runs_as(s, plug2, "call(20)", "41\n");
    free(plug);
    free(socket);
    free(plug2);
    free(socket2);
    free(wrong);
    free(other);
    free(more);
    free(out);
}

static void versions_that_are_compatible_are_joined_and_others_named(void **state)
{
    static const struct {
        const char *wants, *has;
        bool fits;
    } rows[] = {
        {"test:a/b@0.2.0", "test:a/b@0.2.9", true},
        {"test:a/b@0.2.9", "test:a/b@0.2.0", true},
        {"test:a/b@1.0.0", "test:a/b@1.4.2", true},
        {"test:a/b@0.2.0", "test:a/b@0.3.0", false},
        {"test:a/b@1.0.0", "test:a/b@2.0.0", false},
        {"test:a/b@0.0.1", "test:a/b@0.0.2", false},
        {"test:a/b", "test:a/b", true},
        {"test:a/b", "test:a/b@1.0.0", false},
        {"test:a/b@1.0.0-rc", "test:a/b@1.0.0", false},
    };
    struct sys *s = *state;
    char *out = below(s, "out.wasm");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *plug = giver(s, "plug.wat", rows[i].has, "f", 3, 0);
        char *socket = link_of(s, "app.wat", rows[i].wants, NULL);
        assert_exit(s, rows[i].fits ? 0 : 3, cis(s, "compose", socket, "--plug", plug, "-o", out));
        if (rows[i].fits) {
            runs_as(s, out, "call(2)", "7\n");
        } else {
            assert_contains(sys_err(s), "these versions are not compatible");
            assert_contains(sys_err(s), rows[i].wants);
            assert_contains(sys_err(s), rows[i].has);
        }
        free(plug);
        free(socket);
    }
    free(out);
}

static void the_very_version_goes_before_the_newest(void **state)
{
    struct sys *s = *state;
    char *old = giver(s, "old.wat", "test:a/b@1.1.0", "f", 1, 0);
    char *new = giver(s, "new.wat", "test:a/b@1.2.0", "f", 1, 100), *out = below(s, "out.wasm");
    char *exact = link_of(s, "exact.wat", "test:a/b@1.1.0", NULL);
    char *any = link_of(s, "any.wat", "test:a/b@1.0.0", NULL);
    /* The other plug is needed by nothing then, and that is said. */
    assert_exit(s, 3, cis(s, "compose", exact, "--plug", old, "--plug", new, "-o", out));
    assert_contains(sys_err(s), "new exports test:a/b@1.2.0, and exact imports test:a/b@1.1.0");
    assert_exit(s, 0, cis(s, "compose", any, "--plug", new, "-o", out));
    runs_as(s, out, "call(1)", "102\n");
    free(old);
    free(new);
    free(exact);
    free(any);
    free(out);
}

static void plugs_are_joined_to_each_other_in_any_order_in_chains_20_deep(void **state)
{
    struct sys *s = *state;
    enum { N = 20 };
    char *plugs[N + 1], in[64], out[64], file[64], *made = below(s, "out.wasm");
    const char *argv[4 + 2 * (N + 1) + 3] = {CIS_PROGRAM, "compose"};
    plugs[N] = giver(s, "end.wat", "test:chain/i20@1.0.0", "f", 1, 0);
    for (int i = 0; i < N; i++) {
        snprintf(in, sizeof in, "test:chain/i%d@1.0.0", i + 1);
        snprintf(out, sizeof out, "test:chain/i%d@1.0.0", i);
        snprintf(file, sizeof file, "l%d.wat", i);
        plugs[i] = link_of(s, file, in, i == 0 ? NULL : out);
    }
    int n = 2;
    argv[n++] = plugs[0];
    for (int i = N; i > 0; i--) {
        argv[n++] = "--plug";
        argv[n++] = plugs[i];
    }
    argv[n++] = "-o";
    argv[n++] = made;
    assert_exit(s, 0, sys_exec(s, argv));
    runs_as(s, made, "call(1)", "21\n");
    for (int i = 0; i <= N; i++) {
        free(plugs[i]);
    }
    free(made);
}

/* app → left, right → base: one instance of base, whose counter both see. */
#define COUNTER                                                                                    \
    "(component (core module $m (global $n (mut i32) (i32.const 0))"                               \
    " (func (export \"f\") (param i32) (result i32)"                                               \
    "  (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"                  \
    " (core instance $i (instantiate $m))"                                                         \
    " (func $f (param \"x\" u32) (result u32) (canon lift (core func $i \"f\")))"                  \
    " (instance $e (export \"f\" (func $f))) (export \"test:d/base\" (instance $e)))"
#define BOTH                                                                                       \
    "(component"                                                                                   \
    " (import \"test:d/left\" (instance $l (export \"f\" (func (param \"x\" u32) (result u32)))))" \
    " (import \"test:d/right\" (instance $r (export \"f\" (func (param \"x\" u32) (result "        \
    "u32)))))"                                                                                     \
    " (core func $lf (canon lower (func $l \"f\"))) (core func $rf (canon lower (func $r \"f\")))" \
    " (core module $m (import \"in\" \"l\" (func $l (param i32) (result i32)))"                    \
    "  (import \"in\" \"r\" (func $r (param i32) (result i32)))"                                   \
    "  (func (export \"g\") (param i32) (result i32)"                                              \
    "   (i32.add (i32.mul (call $l (local.get 0)) (i32.const 10)) (call $r (local.get 0)))))"      \
    " (core instance $i (instantiate $m (with \"in\" (instance (export \"l\" (func $lf))"          \
    "  (export \"r\" (func $rf))))))"                                                              \
    " (func $g (param \"x\" u32) (result u32) (canon lift (core func $i \"g\")))"                  \
    " (export \"call\" (func $g)))"

static void a_diamond_shares_one_instance(void **state)
{
    struct sys *s = *state;
    char *base = sys_wat(s, "base.wat", COUNTER), *both = sys_wat(s, "both.wat", BOTH);
    char *left = link_of(s, "left.wat", "test:d/base", "test:d/left");
    char *right = link_of(s, "right.wat", "test:d/base", "test:d/right");
    char *out = below(s, "out.wasm");
    assert_exit(
        s, 0, cis(s, "compose", both, "--plug", left, "--plug", base, "--plug", right, "-o", out));
    /* 1 from the left, 2 from the right; each adds one. */
    runs_as(s, out, "call(0)", "23\n");
    free(base);
    free(both);
    free(left);
    free(right);
    free(out);
}

static void what_nobody_gives_stays_imported_once_for_all(void **state)
{
    struct sys *s = *state;
    char *both = sys_wat(s, "both.wat", BOTH), *out = below(s, "out.wasm");
    char *left = link_of(s, "left.wat", "test:d/base@1.2.0", "test:d/left");
    char *right = link_of(s, "right.wat", "test:d/base@1.4.0", "test:d/right");
    assert_exit(s, 0, cis(s, "compose", both, "--plug", left, "--plug", right, "-o", out));
    assert_exit(s, 0, cis(s, "inspect", out));
    assert_contains(sys_out(s), "imports: 1\n  test:d/base@1.4.0  instance");
    assert_contains(sys_out(s), "stays imported: 1\n  test:d/base@1.4.0  for left, right\n");
    assert_exit(s, 126, cis(s, "run", "--invoke", "call(1)", out));
    assert_contains(sys_err(s), "imports test:d/base@1.4.0");
    assert_contains(sys_err(s), "`cis compose --plug FILE`");
    char *base = giver(s, "base.wat", "test:d/base@1.9.0", "f", 1, 0), *all = below(s, "all.wasm");
    assert_exit(s, 0, cis(s, "compose", out, "--plug", base, "-o", all)); /* of a composed one */
    runs_as(s, all, "call(1)", "22\n");
    free(base);
    free(both);
    free(left);
    free(right);
    free(out);
    free(all);
}

static void a_plug_may_stand_between_a_socket_and_the_same_interface(void **state)
{
    struct sys *s = *state;
    char *socket = link_of(s, "app.wat", "test:a/b@1.0.0", NULL), *out = below(s, "out.wasm");
    char *between = link_of(s, "between.wat", "test:a/b@1.0.0", "test:a/b@1.0.0");
    char *end = giver(s, "end.wat", "test:a/b@1.0.0", "f", 10, 0), *all = below(s, "all.wasm");
    assert_exit(s, 0, cis(s, "compose", socket, "--plug", between, "-o", out));
    assert_exit(s, 0, cis(s, "component", "wit", out));
    assert_contains(sys_out(s), "import test:a/b@1.0.0");
    assert_exit(s, 0, cis(s, "compose", out, "--plug", between, "-o", all)); /* a second time */
    assert_exit(s, 0, cis(s, "compose", all, "--plug", end, "-o", out));
    runs_as(s, out, "call(1)", "13\n");
    free(socket);
    free(between);
    free(end);
    free(out);
    free(all);
}

static void a_plug_stands_in_for_an_interface_of_wasi(void **state)
{
    struct sys *s = *state;
    static const char env[] =
        "package wasi:cli@%s { interface environment { get-environment: func() -> "
        "list<tuple<string, string>>; get-arguments: func() -> list<string>; initial-cwd: "
        "func() -> option<string>; } }";
    char wit[1024], old[512], new[512];
    snprintf(old, sizeof old, env, "0.2.0");
    snprintf(new, sizeof new, env, "0.2.12");
    snprintf(wit, sizeof wit,
             "package test:app; world w { import wasi:cli/environment@0.2.0; export name: func() "
             "-> string; } %s",
             old);
    char *app = encoded(
        s, "app", wit,
        "(import \"wasi:cli/environment@0.2.0\" \"get-environment\" (func $get (param i32)))"
        " (memory (export \"memory\") 1) (global $next (mut i32) (i32.const 4096))"
        " (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (local i32)"
        "  (local.set 4 (global.get $next))"
        "  (global.set $next (i32.add (global.get $next) (i32.and (i32.add (local.get 3)"
        "   (i32.const 7)) (i32.const -8)))) (local.get 4))"
        " (func (export \"name\") (result i32) (call $get (i32.const 16))"
        "  (i32.add (i32.load (i32.const 16)) (i32.const 8)))"); /* the first variable's value */
    snprintf(wit, sizeof wit,
             "package test:env; world w { export wasi:cli/environment@0.2.12; } %s", new);
    char *plug =
        encoded(s, "env", wit,
                "(memory (export \"memory\") 1) (data (i32.const 64) \"NAMEvirtual\")"
                " (data (i32.const 128) "
                "\"\\40\\00\\00\\00\\04\\00\\00\\00\\44\\00\\00\\00\\07\\00\\00\\00\")"
                " (data (i32.const 160) \"\\80\\00\\00\\00\\01\\00\\00\\00\")"
                " (func (export \"wasi:cli/environment@0.2.12#get-arguments\") (result i32)"
                "  (i32.const 192))"
                " (func (export \"wasi:cli/environment@0.2.12#initial-cwd\") (result i32)"
                "  (i32.const 192))"
                " (func (export \"wasi:cli/environment@0.2.12#get-environment\") (result i32)"
                "  (i32.const 160))");
    assert_exit(s, 0, cis(s, "run", "--env", "NAME=of the host", "--invoke", "name()", app));
    assert_string_equal(sys_out(s), "\"of the host\"\n");
    assert_exit(
        s, 0,
        cis(s, "run", "--env", "NAME=of the host", "--plug", plug, "--invoke", "name()", app));
    assert_string_equal(sys_out(s), "\"virtual\"\n");
    free(app);
    free(plug);
}

/* ---- refused ---- */

static void a_chain_of_interfaces_has_a_largest_length(void **state)
{
    struct sys *s = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&text, "(component (import \"t:t/i0\" (instance $i0 (export \"t\" (type (sub "
                        "resource)))))");
    for (int i = 1; i < 300; i++) {
        cis_buf_printf(&text,
                       " (alias export $i%d \"t\" (type $t%d)) (import \"t:t/i%d\" (instance $i%d "
                       "(export \"t\" (type (eq $t%d)))))",
                       i - 1, i, i, i, i);
    }
    cis_buf_text(&text, ")");
    char *socket = sys_wat(s, "deep.wat", cis_buf_cstr(&text));
    char *plug = giver(s, "plug.wat", "test:a/b", "f", 1, 0);
    assert_exit(s, 3, cis(s, "compose", socket, "--plug", plug, "-o", "-"));
    assert_contains(sys_err(s), "deep: a chain of more than 256 interfaces");
    free(socket);
    free(plug);
}

/* Whatever a part is: a result that is valid, or a reason. Never the crash of the process. */
static void damaged_parts_are_refused(void **state)
{
    struct sys *s = *state;
    char *low = counters(s), *out = below(s, "out.wasm");
    char *app = link_of(s, "app.wat", "test:a/b", NULL);
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_file_read(low, &bytes, err));
    for (size_t i = 8; i < bytes.len; i += bytes.len / 60) {
        uint8_t was = bytes.ptr[i];
        bytes.ptr[i] = (uint8_t)(was ^ (1u << (i % 8)));
        const char *file = sys_file(s, "damaged.wasm", bytes.ptr, bytes.len);
        assert_exit(s, 3, cis(s, "compose", app, "--plug", file, "-o", out));
        assert_lacks(sys_err(s), "crashed");
        bytes.ptr[i] = was;
    }
    free(low);
    free(out);
    free(app);
}

static void refused(struct sys *s, const char *why, const char *a, const char *b, const char *c)
{
    char *out = below(s, "refused.wasm");
    assert_exit(s, 3,
                c != NULL ? cis(s, "compose", a, "--plug", b, "--plug", c, "-o", out)
                          : cis(s, "compose", a, "--plug", b, "-o", out));
    assert_contains(sys_err(s), why);
    assert_int_not_equal(access(out, F_OK), 0);
    free(out);
}

static void two_that_export_the_same_and_one_that_is_given_twice_are_refused_by_name(void **state)
{
    struct sys *s = *state;
    char *socket = link_of(s, "app.wat", "test:a/b@1.0.0", NULL);
    char *one = giver(s, "one.wat", "test:a/b@1.0.0", "f", 1, 0);
    char *two = giver(s, "two.wat", "test:a/b@1.0.0", "f", 1, 1);
    char *three = giver(s, "three.wat", "test:a/b@1.0.0", "f", 1, 1);
    refused(s, "app imports test:a/b@1.0.0, and both one and two export it", socket, one, two);
    refused(s, "one and one-2 are the same component: plug it once", socket, one, one);
    refused(s, "two and three are the same component: plug it once", socket, two, three);
    free(socket);
    free(one);
    free(two);
    free(three);
}

static void a_circle_is_refused_and_told(void **state)
{
    struct sys *s = *state;
    char *socket = link_of(s, "app.wat", "test:c/a", NULL);
    char *a = link_of(s, "a.wat", "test:c/b", "test:c/a");
    char *b = link_of(s, "b.wat", "test:c/a", "test:c/b");
    refused(s, "in a circle: a imports test:c/b from b, b imports test:c/a from a", socket, a, b);
    free(socket);
    free(a);
    free(b);
}

static void a_plug_that_nothing_needs_is_refused(void **state)
{
    struct sys *s = *state;
    char *socket = link_of(s, "app.wat", "test:a/b", NULL);
    char *plug = giver(s, "plug.wat", "test:a/b", "f", 1, 0);
    char *idle = giver(s, "idle.wat", "test:z/z", "f", 1, 0);
    refused(s, "nothing that app needs is exported by idle, which exports test:z/z", socket, plug,
            idle);
    free(socket);
    free(plug);
    free(idle);
}

/* The record that goes over an interface, with its fields as given. */
static char *recorder(struct sys *s, const char *file, const char *fields, bool imports)
{
    char text[2048];
    snprintf(text, sizeof text,
             imports ? "(component (type $r (record %s))"
                       " (import \"test:r/s\" (instance $i"
                       "  (type $q (record %s)) (export \"point\" (type $p (eq $q)))"
                       "  (export \"put\" (func (param \"at\" $p))))))"
                     : "(component (core module $m (func (export \"f\") (param i32 i32)))"
                       " (core instance $i (instantiate $m))"
                       " (type $r (record %s))"
                       " (component $shim (type $q (record %s)) "
                       "  (import \"t\" (type $t (eq $q))) "
                       "  (import \"f\" (func $f (param \"at\" $t)))"
                       "  (export $p \"point\" (type $q))"
                       "  (export \"put\" (func $f) (func (param \"at\" $p))))"
                       " (func $f (param \"at\" $r) (canon lift (core func $i \"f\")))"
                       " (instance $e (instantiate $shim (with \"t\" (type $r)) (with \"f\" (func "
                       "$f))))"
                       " (export \"test:r/s\" (instance $e)))",
             fields, fields);
    return sys_wat(s, file, text);
}

static void a_type_that_differs_by_one_field_is_refused_with_the_field(void **state)
{
    static const char *const other[][2] = {
        {"(field \"x\" u32) (field \"y\" s32)", "record field `y`: expected u32, found s32"},
        {"(field \"x\" u32) (field \"z\" u32)", "`y`"},
        {"(field \"y\" u32) (field \"x\" u32)", "`x`"},
    };
    struct sys *s = *state;
    char *socket = recorder(s, "app.wat", "(field \"x\" u32) (field \"y\" u32)", true);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        char *plug = recorder(s, "plug.wat", other[i][0], false);
        refused(s, "app imports test:r/s, which plug exports with another type", socket, plug,
                NULL);
        assert_contains(sys_err(s), other[i][1]);
        free(plug);
    }
    char *plug = recorder(s, "plug.wat", "(field \"x\" u32) (field \"y\" u32)", false);
    char *out = below(s, "out.wasm");
    assert_exit(s, 0, cis(s, "compose", socket, "--plug", plug, "-o", out));
    free(plug);
    free(socket);
    free(out);
}

static void what_is_no_component_is_refused_by_name(void **state)
{
    struct sys *s = *state;
    char *socket = link_of(s, "app.wat", "test:a/b", NULL);
    char *core = sys_wat(s, "core.wat", "(module)"), *bad = sys_wat(s, "bad.wat", "(component (");
    char *text = sys_wat(s, "text.wat", "hello");
    char *empty = sys_wat(s, "empty.wat", "");
    refused(s, "core: is a core module; `cis component new` makes a component of it", socket, core,
            NULL);
    refused(s, "bad:1:", socket, bad, NULL);
    refused(s, "text: not WebAssembly", socket, text, NULL);
    refused(s, "empty: not WebAssembly", socket, empty, NULL);
    assert_exit(s, 2, cis(s, "compose", socket, "-o", "x"));
    assert_exit(s, 2, cis(s, "compose", socket, "--plug", core));
    assert_contains(sys_err(s), "-o FILE is missing");
    assert_exit(s, 2, cis(s, "compose", "--plug", core, "-o", "x"));
    assert_exit(s, 3, cis(s, "compose", "missing.wasm", "--plug", core, "-o", "x"));
    free(socket);
    free(core);
    free(bad);
    free(text);
    free(empty);
}

/* ---- resources and strings ---- */

/* Takes a counter of the plug below it and hands it back, one up. */
static char *middle(struct sys *s)
{
    return encoded(s, "middle",
                   COUNTERS_WIT
                   " interface bump { use counters.{counter}; bump: func(c: counter) -> counter; "
                   "} world w { import counters; export bump; }",
                   "(import \"test:res/counters@1.0.0\" \"[method]counter.up\""
                   "  (func $up (param i32) (result i32)))"
                   " (memory (export \"memory\") 1)"
                   " (func (export \"test:res/bump@1.0.0#bump\") (param i32) (result i32)"
                   "  (drop (call $up (local.get 0))) (local.get 0))");
}

static void a_resource_goes_through_several_components(void **state)
{
    struct sys *s = *state;
    char *low = counters(s), *mid = middle(s), *out = below(s, "out.wasm");
    char *top = encoded(
        s, "top",
        COUNTERS_WIT " interface bump { use counters.{counter}; bump: func(c: counter) -> counter; "
                     "} world w { import counters; import bump; export go: func(n: u32) -> u32; }",
        "(import \"test:res/counters@1.0.0\" \"[constructor]counter\""
        "  (func $new (param i32) (result i32)))"
        " (import \"test:res/counters@1.0.0\" \"[method]counter.up\""
        "  (func $up (param i32) (result i32)))"
        " (import \"test:res/counters@1.0.0\" \"[resource-drop]counter\" (func $drop (param i32)))"
        " (import \"test:res/bump@1.0.0\" \"bump\" (func $bump (param i32) (result i32)))"
        " (memory (export \"memory\") 1)"
        " (func (export \"go\") (param i32) (result i32) (local i32)"
        "  (local.set 0 (call $bump (call $bump (call $new (local.get 0)))))"
        "  (local.set 1 (call $up (local.get 0))) (call $drop (local.get 0)) (local.get 1))");
    assert_exit(s, 0, cis(s, "compose", top, "--plug", mid, "--plug", low, "-o", out));
    runs_as(s, out, "go(39)", "42\n");
    /* Two owners of what must be one type: each has its own counters, and that cannot be. */
    char *text = sys_wat(s, "two.wac",
                         "package test:composition; let a = new test:low {}; let b = new test:low "
                         "{}; let m = new test:mid { \"test:res/counters@1.0.0\": "
                         "a[\"test:res/counters@1.0.0\"] }; let t = new test:top { "
                         "\"test:res/counters@1.0.0\": b[\"test:res/counters@1.0.0\"], "
                         "\"test:res/bump@1.0.0\": m[\"test:res/bump@1.0.0\"] }; export t...;");
    char low_is[4200], mid_is[4200], top_is[4200];
    snprintf(low_is, sizeof low_is, "test:low=%s", low);
    snprintf(mid_is, sizeof mid_is, "test:mid=%s", mid);
    snprintf(top_is, sizeof top_is, "test:top=%s", top);
    assert_exit(s, 3,
                cis(s, "compose", "-f", text, "--define", low_is, "--define", mid_is, "--define",
                    top_is, "-o", out));
    assert_contains(sys_err(s), "the parts do not fit together");
    free(low);
    free(mid);
    free(top);
    free(out);
    free(text);
}

/* Exports test:s/echo.len: how many units of `encoding` the text has. */
static char *speaker(struct sys *s, const char *file, const char *encoding)
{
    char text[3000];
    snprintf(
        text, sizeof text,
        "(component (core module $m (memory (export \"memory\") 1)"
        " (func (export \"r\") (param i32 i32 i32 i32) (result i32) (i32.const 1024))"
        " (func (export \"f\") (param i32 i32) (result i32) (local.get 1)))"
        " (core instance $i (instantiate $m))"
        " (func $f (param \"s\" string) (result u32) (canon lift (core func $i \"f\")"
        "  (memory (core memory $i \"memory\")) (realloc (core func $i \"r\")) string-encoding=%s))"
        " (instance $e (export \"len\" (func $f))) (export \"test:s/echo\" (instance $e)))",
        encoding);
    return sys_wat(s, file, text);
}

/* Says "h\u00e9!" in its own encoding, and gives back what the other counted. */
static char *sayer(struct sys *s, const char *file, const char *encoding, const char *bytes,
                   int units)
{
    char text[3000];
    snprintf(
        text, sizeof text,
        "(component (import \"test:s/echo\" (instance $in (export \"len\""
        "  (func (param \"s\" string) (result u32)))))"
        " (core module $mem (memory (export \"memory\") 1) (data (i32.const 64) \"%s\")"
        "  (func (export \"r\") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))"
        " (core instance $mi (instantiate $mem))"
        " (core func $low (canon lower (func $in \"len\") (memory (core memory $mi \"memory\"))"
        "  string-encoding=%s))"
        " (core module $m (import \"in\" \"f\" (func $f (param i32 i32) (result i32)))"
        "  (func (export \"g\") (result i32) (call $f (i32.const 64) (i32.const %d))))"
        " (core instance $i (instantiate $m (with \"in\" (instance (export \"f\" (func "
        "$low))))))"
        " (func $g (result u32) (canon lift (core func $i \"g\"))) (export \"say\" (func "
        "$g)))",
        bytes, encoding, units);
    return sys_wat(s, file, text);
}

static void strings_pass_between_all_three_encodings(void **state)
{
    static const struct {
        const char *name, *bytes;
        int units;
    } e[] = {{"utf8", "h\\c3\\a9!", 4},
             {"utf16", "h\\00\\e9\\00!\\00", 3},
             {"latin1+utf16", "h\\e9!", 3}};
    struct sys *s = *state;
    char *out = below(s, "out.wasm"), count[16];
    for (int from = 0; from < 3; from++) {
        for (int to = 0; to < 3; to++) {
            char *say = sayer(s, "say.wat", e[from].name, e[from].bytes, e[from].units);
            char *hear = speaker(s, "hear.wat", e[to].name);
            assert_exit(s, 0, cis(s, "compose", say, "--plug", hear, "-o", out));
            snprintf(count, sizeof count, "%d\n", e[to].units);
            runs_as(s, out, "say()", count);
            free(say);
            free(hear);
        }
    }
    free(out);
}

/* ---- WAC ---- */

static void a_wac_text_says_all_of_it(void **state)
{
    struct sys *s = *state;
    char *app = link_of(s, "app.wat", "test:a/b@1.0.0", NULL), *out = below(s, "out.wasm");
    char *mid = link_of(s, "mid.wat", "test:a/b@1.0.0", "test:a/b@1.0.0");
    char *end = giver(s, "end.wat", "test:a/b@1.0.0", "f", 5, 0);
    char *text = sys_wat(s, "app.wac",
                         "package test:composition;\n"
                         "let end = new test:end {};\n"
                         "let mid = new test:mid { ...end };\n"
                         "let again = new test:mid@1.2.3 { \"test:a/b@1.0.0\": "
                         "mid[\"test:a/b@1.0.0\"] };\n"
                         "let app = new test:app { b: again.b };\n"
                         "export app.call as \"go\";\nexport app...;\n");
    char defines[4][4200];
    snprintf(defines[0], sizeof *defines, "test:app=%s", app);
    snprintf(defines[1], sizeof *defines, "test:mid=%s", mid);
    snprintf(defines[2], sizeof *defines, "test:mid@1.2.3=%s", mid);
    snprintf(defines[3], sizeof *defines, "test:end=%s", end);
    assert_exit(s, 0,
                cis(s, "compose", "-f", text, "--define", defines[0], "--define", defines[1],
                    "--define", defines[2], "--define", defines[3], "-o", out));
    runs_as(s, out, "call(2)", "13\n");
    runs_as(s, out, "go(2)", "13\n");
    assert_exit(s, 0, cis(s, "inspect", out));
    assert_contains(sys_out(s), "\n  again  asks for: nothing\n");
    assert_contains(sys_out(s), "again\n  test:a/b@1.0.0  from mid\n");
    free(app);
    free(mid);
    free(end);
    free(text);
    free(out);
}

static void what_is_wrong_in_a_wac_text_has_its_line_and_column(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"package test:x;\nlet a = new test:end {};\nlet b = ;\n", ":3:9: expected"},
        {"package test:x;\nlet a = new test:none {};\n", ":2:13: unknown package `test:none`"},
        {"package test:x;\nlet a = new test:end {};\nexport b;\n", ":3:8: undefined name `b`"},
        {"package test:x;\nlet a = new test:app { \"no/such\": c };\n", ":2:"},
        {"", "expected"},
        {"package test:x;\nlet a = new test:app { \"test:a/b@1.0.0\": new test:app {} };\n", ":2:"},
        {"\xff\xfe", "not UTF-8 at byte 0"},
    };
    struct sys *s = *state;
    char *end = giver(s, "end.wat", "test:a/b@1.0.0", "f", 5, 0);
    char *app = link_of(s, "app.wat", "test:a/b@1.0.0", NULL);
    char defines[2][4200];
    snprintf(defines[0], sizeof *defines, "test:end=%s", end);
    snprintf(defines[1], sizeof *defines, "test:app=%s", app);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = sys_wat(s, "bad.wac", rows[i].text);
        assert_exit(s, 3,
                    cis(s, "compose", "-f", text, "--define", defines[0], "--define", defines[1],
                        "-o", "-"));
        assert_contains(sys_err(s), "bad.wac");
        assert_contains(sys_err(s), rows[i].message);
        free(text);
    }
    assert_exit(s, 2, cis(s, "compose", "-f", end, "--define", "x", "-o", "-"));
    assert_contains(sys_err(s), "--define x: not NAME=FILE");
    free(end);
    free(app);
}

static void deep_nesting_is_refused_before_it_is_parsed(void **state)
{
    static const char *const brackets[] = {
        "(", "[", "{", "new a:b {c:", "list<", "a[\"x\"](", "type t = tuple<"};
    struct sys *s = *state;
    for (size_t i = 0; i < sizeof brackets / sizeof *brackets; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(2u << 20);
        cis_buf_text(&text, "package test:x;\nlet a = ");
        for (int n = 0; n < 60000; n++) {
            cis_buf_text(&text, brackets[i]);
        }
        char *file = sys_wat(s, "deep.wac", cis_buf_cstr(&text));
        assert_exit(s, 3, cis(s, "compose", "-f", file, "-o", "-"));
        assert_contains(sys_err(s), "line 2: more than 64 brackets inside each other");
        free(file);
    }
}

/* ---- explained ---- */

static void explain_says_what_was_plugged_where(void **state)
{
    struct sys *s = *state;
    char *app = link_of(s, "app.wat", "test:a/b@1.0.0", NULL);
    char *plug = link_of(s, "plug.wat", "test:z/z", "test:a/b@1.3.0");
    assert_exit(s, 0, cis(s, "compose", app, "--plug", plug, "--explain"));
    assert_contains(sys_out(s), "app\n  test:a/b@1.0.0  from plug, as test:a/b@1.3.0\n");
    assert_contains(sys_out(s), "plug\n  test:z/z  stays imported\n");
    assert_contains(sys_out(s), "stays imported: 1\n  test:z/z  for plug\n");
    assert_contains(sys_out(s), "exports: 1\n  call  from app\n");
    assert_exit(s, 0, cis(s, "compose", app, "--plug", plug, "--explain=dot"));
    assert_contains(sys_out(s), "digraph composition {");
    assert_contains(sys_out(s), "[label=\"test:a/b@1.0.0\"];\n");
    assert_exit(s, 0, cis(s, "compose", app, "--plug", plug, "--explain=svg"));
    assert_contains(sys_out(s), "<svg xmlns=");
    assert_contains(sys_out(s), ">plug</text>");
    assert_exit(s, 0, cis(s, "compose", app, "--plug", plug, "--explain=json"));
    assert_contains(sys_out(s), "{\"schema\":1,\"sha256\":\"");
    assert_contains(sys_out(s), "{\"name\":\"test:a/b@1.0.0\",\"from\":\"plug\",\"export\":"
                                "\"test:a/b@1.3.0\"}");
    assert_exit(s, 2, cis(s, "compose", app, "--plug", plug, "--explain=html"));
    assert_exit(s, 2, cis(s, "compose", app, "--plug", plug, "--explain", "-o", "-"));
    free(app);
    free(plug);
}

/* It is read once, and told as often as it stands. */
static void a_part_that_stands_twice_is_told_twice(void **state)
{
    struct sys *s = *state;
    char *file =
        sys_wat(s, "twice.wat",
                "(component (component $c (component $d (core module)) (instance "
                "(instantiate $d))) (instance (instantiate $c)) (instance (instantiate $c)))");
    assert_exit(s, 0, cis(s, "inspect", file, "--json"));
    const char *inner = "\"imports\":[],\"parts\":[{\"name\":\"part 0\"", *at = sys_out(s);
    for (int i = 0; i < 2; i++) {
        at = strstr(at, inner);
        assert_non_null(at);
        at++;
    }
    assert_null(strstr(at, inner));
    free(file);
}

static void inspect_says_which_part_asks_for_what(void **state)
{
    struct sys *s = *state;
    char *out = below(s, "out.wasm"), *wit = below(s, "x");
    char *plug =
        sys_wat(s, "plug.wat",
                "(component (import \"wasi:sockets/instance-network@0.2.0\" (instance))"
                " (import \"wasi:sockets/network@0.2.0\" (instance))"
                " (import \"wasi:sockets/tcp-create-socket@0.2.0\" (instance))"
                " (core module $m (func (export \"f\") (param i32) (result i32) local.get 0))"
                " (core instance $i (instantiate $m))"
                " (func $f (param \"x\" u32) (result u32) (canon lift (core func $i \"f\")))"
                " (instance $e (export \"f\" (func $f))) (export \"test:a/b\" (instance $e)))");
    char *app = link_of(s, "app.wat", "test:a/b", NULL);
    assert_exit(s, 0, cis(s, "compose", app, "--plug", plug, "-o", out));
    assert_exit(s, 0, cis(s, "inspect", out));
    assert_contains(sys_out(s), "parts: 2, which share one set of grants");
    assert_contains(sys_out(s), "\n  app  asks for: nothing\n");
    assert_contains(sys_out(s), "\n  plug  asks for: net\n");
    assert_exit(s, 0, cis(s, "inspect", out, "--json"));
    assert_contains(sys_out(s), "\"needs\":[\"net\"]");
    assert_contains(sys_out(s), "\"grants\":\"shared\"");
    assert_exit(s, 0, cis(s, "inspect", app, "--json"));
    assert_lacks(sys_out(s), "\"composed\"");
    free(out);
    free(wit);
    free(plug);
    free(app);
}

/* ---- run --plug ---- */

static void run_composes_in_memory_and_remembers_it(void **state)
{
    struct sys *s = *state;
    char *plug = giver(s, "twice.wat", "test:a/b@0.1.0", "f", 2, 0);
    char *socket = link_of(s, "app.wat", "test:a/b@0.1.0", NULL);
    assert_exit(s, 126, cis(s, "run", "--invoke", "call(20)", socket));
    assert_contains(sys_err(s), "a component that exports test:a/b@0.1.0 can be plugged in");
    for (int i = 0; i < 2; i++) {
        assert_exit(s, 0, cis(s, "run", "--plug", plug, "--invoke", "call(20)", "--json", socket));
        assert_contains(sys_out(s), i == 0 ? "\"compiled\"" : "\"disk\"");
    }
    char *other = giver(s, "twice.wat", "test:a/b@0.1.0", "f", 3, 0); /* the same file, changed */
    assert_exit(s, 0, cis(s, "run", "--plug", other, "--invoke", "call(20)", socket));
    assert_string_equal(sys_out(s), "61\n");
    assert_exit(s, 126, cis(s, "run", "--plug", socket, "--invoke", "call(20)", socket));
    free(plug);
    free(other);
    free(socket);
}

static void a_composed_run_is_recorded_and_replayed(void **state)
{
    struct sys *s = *state;
    char *plug = giver(s, "twice.wat", "test:a/b@0.1.0", "f", 2, 0),
         *recording = below(s, "recording");
    char *socket = link_of(s, "app.wat", "test:a/b@0.1.0", NULL);
    assert_exit(
        s, 0, cis(s, "run", "--plug", plug, "--invoke", "call(20)", "--record", recording, socket));
    assert_exit(s, 0, cis(s, "replay", recording));
    assert_contains(sys_out(s), "41");
    free(plug);
    free(socket);
    free(recording);
}

/* ---- skills ---- */

/* A command that succeeds when test:a/b.f(1) is 3. */
#define COMMAND                                                                                    \
    "(component (import \"test:a/b\" (instance $in (export \"f\""                                  \
    " (func (param \"x\" u32) (result u32)))))"                                                    \
    " (core func $low (canon lower (func $in \"f\")))"                                             \
    " (core module $m (import \"in\" \"f\" (func $f (param i32) (result i32)))"                    \
    "  (func (export \"g\") (result i32) (i32.ne (call $f (i32.const 1)) (i32.const 3))))"         \
    " (core instance $i (instantiate $m (with \"in\" (instance (export \"f\" (func $low))))))"     \
    " (func $g (result (result)) (canon lift (core func $i \"g\")))"                               \
    " (instance $e (export \"run\" (func $g))) (export \"wasi:cli/run@0.2.0\" (instance $e)))"

static void a_skill_file_runs_with_a_plug(void **state)
{
    struct sys *s = *state;
    char *skill = sys_wat(s, "skill.wat", COMMAND);
    char *right = giver(s, "right.wat", "test:a/b", "f", 3, 0);
    char *wrong = giver(s, "wrong.wat", "test:a/b", "f", 2, 0);
    assert_exit(s, 3, cis(s, "skill", "run", "--wasm", skill));
    assert_contains(sys_err(s), "imports test:a/b (instance), which nothing provides");
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", skill, "--plug", right));
    assert_exit(s, 1, cis(s, "skill", "run", "--wasm", skill, "--plug", wrong));
    free(skill);
    free(right);
    free(wrong);
}

static void install(struct sys *s, int exit, const char *plug, const char *why)
{
    char path[4200], manifest[1024];
    int n = snprintf(manifest, sizeof manifest,
                     "[skill]\nname = \"plugged\"\nversion = \"1.0.0\"\ntype = \"component\"\n"
                     "entry = \"skill.wat\"\n[compose]\nplug = [%s]\n",
                     plug);
    sys_file(s, "dir/skill.toml", manifest, (size_t)n);
    snprintf(path, sizeof path, "%s/dir", s->home);
    assert_exit(s, exit, cis(s, "skill", "install", path, "--yes"));
    assert_contains(sys_err(s), why);
}

static void a_skill_brings_its_plugs_pinned_by_their_hashes(void **state)
{
    struct sys *s = *state;
    char path[4200], plug[256], key[4200];
    snprintf(path, sizeof path, "%s/dir", s->home);
    assert_ok(cis_file_mkdirs(path, 0700, err));
    sys_file(s, "dir/skill.wat", COMMAND, strlen(COMMAND));
    free(giver(s, "dir/log.wat", "test:a/b", "f", 3, 0));
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(1u << 20);
    snprintf(path, sizeof path, "%s/dir/log.wat", s->home);
    assert_ok(cis_file_read(path, &bytes, err));
    uint8_t sha256[CIS_SHA256_BYTES];
    char hex[2 * CIS_SHA256_BYTES + 1];
    cis_sha256(cis_buf_bytes(&bytes), sha256);
    cis_hex(sha256, sizeof sha256, hex);
    snprintf(plug, sizeof plug, "{ path = \"log.wat\", sha256 = \"%s\" }", hex);
    install(s, 0, plug, "");
    assert_exit(s, 0, cis(s, "skill", "run", "plugged"));
    assert_exit(s, 0, cis(s, "skill", "run", "plugged")); /* remembered */
    /* Signed with the rest. */
    snprintf(key, sizeof key, "%s/key", s->home);
    snprintf(path, sizeof path, "%s/dir", s->home);
    assert_exit(s, 0, cis(s, "skill", "keygen", key));
    assert_exit(s, 0, cis(s, "skill", "sign", path, "--key", key));
    assert_exit(s, 0, cis(s, "skill", "install", path, "--yes", "--inherit", "yes"));
    assert_exit(s, 0, cis(s, "skill", "run", "plugged"));
    /* Another file in its place is refused at install, and in the installed folder at the run. */
    free(giver(s, "dir/log.wat", "test:a/b", "f", 3, 1));
    install(s, 4, plug, "log.wat is not the plug that compose.plug names");
    const char *const change[] = {
        "/bin/sh", "-c",
        "find \"$CIS_HOME\" -path '*/plugged/*' -name log.wat -exec chmod u+w {} + -exec "
        "sed -i 's/(i32.const 3)/(i32.const 4)/' {} +",
        NULL};
    assert_exit(s, 0, sys_exec(s, change));
    assert_exit(s, 4, cis(s, "skill", "run", "plugged"));
    assert_contains(sys_err(s), "log.wat is not the plug");
}

/* dir/skill.toml with this behind its [skill], and what signing does with it. */
static void sign(struct sys *s, int exit, const char *rest, const char *why)
{
    char dir[4200], key[4200], manifest[1024];
    int n = snprintf(manifest, sizeof manifest,
                     "[skill]\nname = \"plugged\"\nversion = \"1.0.0\"\ntype = \"component\"\n"
                     "entry = \"skill.wat\"\n%s",
                     rest);
    sys_file(s, "dir/skill.toml", manifest, (size_t)n);
    snprintf(dir, sizeof dir, "%s/dir", s->home);
    snprintf(key, sizeof key, "%s/key", s->home);
    assert_exit(s, exit, cis(s, "skill", "sign", dir, "--key", key));
    assert_contains(sys_err(s), why);
}

static void signing_writes_the_hashes_of_plugs(void **state)
{
    struct sys *s = *state;
    char dir[4200], key[4200];
    snprintf(dir, sizeof dir, "%s/dir", s->home);
    snprintf(key, sizeof key, "%s/key", s->home);
    assert_ok(cis_file_mkdirs(dir, 0700, err));
    assert_exit(s, 0, cis(s, "skill", "keygen", key));
    sys_file(s, "dir/skill.wat", COMMAND, strlen(COMMAND));
    sign(s, 3, "[compose]\nplug = [\"log.wat\"]\n",
         "log.wat: the plug is not there: build it first");
    free(giver(s, "dir/log.wat", "test:a/b", "f", 3, 0));
    static const char *const written[] = {
        "[compose]\nplug = [\"log.wat\"]\n",
        "[compose]\nplug=[ # ] the first\n  {path='log.wat'} # ]\n ] # the last\n\n[meta]\nx = 1\n",
        /* one that another file had */
        "[compose]\nplug = [{ sha256 = \"00000000000000000000000000000000000000000000000000000000"
        "00000000\", path = \"log.wat\" }]\n[integrity]\n",
    };
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        sign(s, 0, written[i], "");
        assert_exit(s, 0, cis(s, "skill", "install", dir, "--yes", "--inherit", "yes"));
        assert_exit(s, 0, cis(s, "skill", "run", "plugged"));
        assert_exit(s, 0, cis(s, "skill", "sign", dir, "--key", key)); /* again */
        assert_exit(s, 0, cis(s, "skill", "verify", dir));
    }
    /* What cannot be written into is left as it was. */
    sign(s, 3, "[[compose.plug]]\npath = \"log.wat\"\n", "write plug = [ … ] under [compose]");
    sign(s, 3,
         "description = \"\"\"\n[compose]\nplug = []\n\"\"\"\n[compose]\nplug = [\"log.wat\"]\n",
         "write plug = [ … ] under [compose]");
}

static void plugs_of_a_manifest_that_are_not_whole_are_refused(void **state)
{
    struct sys *s = *state;
    char path[4200];
    snprintf(path, sizeof path, "%s/dir", s->home);
    assert_ok(cis_file_mkdirs(path, 0700, err));
    sys_file(s, "dir/skill.wat", COMMAND, strlen(COMMAND));
    install(s, 3, "7", "skill.toml:7: compose.plug.0: must be a path or a table { path");
    install(s, 3, "{ path = \"log.wat\", sha256 = 7 }",
            "compose.plug.0: path and sha256 are texts");
    install(s, 3, "{ sha256 = \"00\" }", "compose.plug.0: path and sha256 are texts");
    install(s, 3, "\"log.wat\"", "compose.plug: log.wat has no sha256 (cis skill sign writes it)");
    install(s, 3, "{ path = \"log.wat\" }", "compose.plug: log.wat has no sha256");
    install(s, 3, "{ path = \"../log.wat\", sha256 = \"00\" }", "not a path inside the skill");
    install(s, 3, "{ path = \"log.wat\", sha256 = \"00\" }", "64 hexadecimal digits");
    install(s, 3,
            "{ path = \"log.wat\", sha256 = "
            "\"0000000000000000000000000000000000000000000000000000000000000000\" }",
            "the plug log.wat:");
}

#define T(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_plug_gives_what_the_socket_imports),
        T(the_same_parts_give_the_same_bytes),
        T(large_parts_give_the_same_bytes_by_every_way),
        T(versions_that_are_compatible_are_joined_and_others_named),
        T(the_very_version_goes_before_the_newest),
        T(plugs_are_joined_to_each_other_in_any_order_in_chains_20_deep),
        T(a_diamond_shares_one_instance),
        T(what_nobody_gives_stays_imported_once_for_all),
        T(a_plug_may_stand_between_a_socket_and_the_same_interface),
        T(a_resource_goes_through_several_components),
        T(strings_pass_between_all_three_encodings),
        T(a_wac_text_says_all_of_it),
        T(explain_says_what_was_plugged_where),
        T(a_part_that_stands_twice_is_told_twice),
        T(inspect_says_which_part_asks_for_what),
        T(run_composes_in_memory_and_remembers_it),
        T(a_composed_run_is_recorded_and_replayed),
        T(a_skill_file_runs_with_a_plug),
        T(a_skill_brings_its_plugs_pinned_by_their_hashes),
        T(signing_writes_the_hashes_of_plugs),
        T(plugs_of_a_manifest_that_are_not_whole_are_refused),
        T(a_plug_stands_in_for_an_interface_of_wasi),
        T(a_chain_of_interfaces_has_a_largest_length),
        T(damaged_parts_are_refused),
        T(two_that_export_the_same_and_one_that_is_given_twice_are_refused_by_name),
        T(a_circle_is_refused_and_told),
        T(a_plug_that_nothing_needs_is_refused),
        T(a_type_that_differs_by_one_field_is_refused_with_the_field),
        T(what_is_no_component_is_refused_by_name),
        T(what_is_wrong_in_a_wac_text_has_its_line_and_column),
        T(deep_nesting_is_refused_before_it_is_parsed),
    };
    return cmocka_run_group_tests_name("compose", tests, NULL, NULL);
}
