/* Functions with a shape and resources, from a small component: slices both ways, handles that are
 * dropped, refusals, ends, and that another type than the shape's is refused. */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/component/component.h"
#include "engine/code/code.h"
#include "harness.h"

struct fixture {
    cis_engine *engine;
    cis_engine_module *image;
};

enum { KIND_ERROR = 1, KIND_STREAM = 2, THINGS = 8 };

static struct {
    uint64_t wanted;   /* by the last read */
    uint8_t data[512]; /* what a read hands out, what a write brought */
    size_t len;
    int live[THINGS], dropped, errors;
    bool fail;
    bool nothing; /* behind any handle */
    bool keeps;   /* what is dropped */
    int reads;
} host;

static cis_code h_open(cis_engine_instance *guest, const struct cis_typed *args,
                       struct cis_answer *out, struct cis_error *err)
{
    (void)guest;
    (void)err;
    out->rep = (uint32_t)args[0].n;
    out->kind = KIND_STREAM;
    host.live[out->rep]++;
    return CIS_OK;
}

static cis_code h_read(cis_engine_instance *guest, const struct cis_typed *args,
                       struct cis_answer *out, struct cis_error *err)
{
    (void)guest;
    assert_true(args[0].n < THINGS && host.live[args[0].n] > 0);
    host.reads++;
    host.wanted = args[1].n;
    if (args[1].n == 13) {
        return cis_fail(err, CIS_E_BUDGET, "thirteen");
    }
    if (host.fail) {
        out->failed = true;
        out->error = args[1].n == 0; /* 0: the operation failed, with an error; 1: closed */
        out->rep = 7;
        out->kind = KIND_ERROR;
        host.errors += out->error == 0;
        return CIS_OK;
    }
    size_t n = args[1].n < sizeof host.data ? (size_t)args[1].n : sizeof host.data;
    for (size_t i = 0; i < n; i++) {
        host.data[i] = (uint8_t)(i + 1);
    }
    out->bytes = cis_bytes_of(host.data, n);
    return CIS_OK;
}

static cis_code h_write(cis_engine_instance *guest, const struct cis_typed *args,
                        struct cis_answer *out, struct cis_error *err)
{
    (void)guest;
    (void)out;
    (void)err;
    host.len = args[1].bytes.len < sizeof host.data ? args[1].bytes.len : sizeof host.data;
    memcpy(host.data, args[1].bytes.ptr, host.len);
    return CIS_OK;
}

static cis_code drop_stream(cis_engine_instance *guest, uint32_t rep, struct cis_error *err)
{
    assert_non_null(guest);
    if (host.keeps) {
        return cis_fail(err, CIS_E_TRAP, "stream %u is still needed", rep);
    }
    assert_true(rep < THINGS && host.live[rep] > 0);
    host.live[rep]--;
    host.dropped++;
    return CIS_OK;
}

static bool is_stream(cis_engine_instance *guest, uint32_t kind, uint32_t rep)
{
    (void)guest;
    return kind == KIND_STREAM && rep < THINGS && host.live[rep] > 0 && !host.nothing;
}

static cis_code drop_error(cis_engine_instance *guest, uint32_t rep, struct cis_error *err)
{
    (void)guest;
    (void)err;
    assert_int_equal(rep, 7);
    host.errors--;
    return CIS_OK;
}

#define ROW(n, t, s, h, d)                                                                         \
    {                                                                                              \
        .interface = "t:t/io", .name = (n), .type = (t), .shape = (s), .typed = (h), .denied = (d) \
    }
#define OR_ERROR ", variant{last-operation-failed(own<error>),closed}>"
static struct cis_ifacefn rows[] = {
    ROW("open", "func(u64) -> own<stream>", CIS_SHAPE_MAKE, h_open, -1),
    ROW("[method]stream.read", "func(borrow<stream>, u64) -> result<list<u8>" OR_ERROR,
        CIS_SHAPE_READ, h_read, 1),
    ROW("[method]stream.write", "func(borrow<stream>, list<u8>) -> result<_" OR_ERROR,
        CIS_SHAPE_WRITE, h_write, 1)};
static const struct cis_iface_resource resources[] = {
    {"t:", "error", KIND_ERROR, drop_error, NULL},
    {"t:", "stream", KIND_STREAM, drop_stream, is_stream}};

static const struct cis_ifacefn *find_row(void *self, struct cis_str interface, struct cis_str name)
{
    (void)self;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (cis_str_is(interface, "t:t/io") && cis_str_is(name, rows[i].name)) {
            return &rows[i];
        }
    }
    return NULL;
}

static const struct cis_iface_resource *find_resource(void *self, struct cis_str interface,
                                                      struct cis_str name)
{
    (void)interface;
    for (size_t i = 0; i < sizeof resources / sizeof *resources; i++) {
        if (self == NULL && cis_str_is(name, resources[i].name)) {
            return &resources[i];
        }
    }
    return NULL;
}

/* run(n): opens 3, reads n, writes what it read, drops; bytes read, or 1000 + the error's case. The
 * error's handle is dropped too. */
static const char GUEST[] =
    "(component"
    " (import \"t:t/io\" (instance $io"
    "  (export \"error\" (type $error (sub resource)))"
    "  (export \"stream\" (type $stream (sub resource)))"
    "  (type $se (variant (case \"last-operation-failed\" (own $error)) (case \"closed\")))"
    "  (export \"stream-error\" (type $see (eq $se)))"
    "  (export \"open\" (func (param \"n\" u64) (result (own $stream))))"
    "  (export \"[method]stream.read\" (func (param \"self\" (borrow $stream)) (param \"len\" u64)"
    "   (result (result (list u8) (error $see)))))"
    "  (export \"[method]stream.write\" (func (param \"self\" (borrow $stream))"
    "   (param \"data\" (list u8)) (result (result (error $see)))))))"
    " (core module $libc (memory (export \"memory\") 1)"
    "  (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))"
    " (core instance $libc (instantiate $libc))"
    " (alias core export $libc \"memory\" (core memory $mem))"
    " (alias core export $libc \"realloc\" (core func $realloc))"
    " (alias export $io \"open\" (func $open))"
    " (alias export $io \"[method]stream.read\" (func $read))"
    " (alias export $io \"[method]stream.write\" (func $write))"
    " (alias export $io \"stream\" (type $stream_t))"
    " (alias export $io \"error\" (type $error_t))"
    " (core func $open_c (canon lower (func $open)))"
    " (core func $read_c (canon lower (func $read) (memory $mem) (realloc $realloc)))"
    " (core func $write_c (canon lower (func $write) (memory $mem) (realloc $realloc)))"
    " (core func $drop_c (canon resource.drop $stream_t))"
    " (core func $drop_e (canon resource.drop $error_t))"
    " (core module $m"
    "  (import \"io\" \"open\" (func $open (param i64) (result i32)))"
    "  (import \"io\" \"read\" (func $read (param i32 i64 i32)))"
    "  (import \"io\" \"write\" (func $write (param i32 i32 i32 i32)))"
    "  (import \"io\" \"drop\" (func $drop (param i32)))"
    "  (import \"io\" \"drop-error\" (func $drop_error (param i32)))"
    "  (import \"io\" \"memory\" (memory 1))"
    "  (func (export \"run\") (param $n i64) (result i64) (local $h i32)"
    "   (local.set $h (call $open (i64.const 3)))"
    "   (call $read (local.get $h) (local.get $n) (i32.const 64))"
    "   (if (i32.load8_u (i32.const 64)) (then"
    "     (if (i32.eqz (i32.load8_u (i32.const 68)))"
    "      (then (call $drop_error (i32.load (i32.const 72)))))"
    "     (call $drop (local.get $h))"
    "     (return (i64.add (i64.const 1000) (i64.load8_u (i32.const 68))))))"
    "   (call $write (local.get $h) (i32.load (i32.const 68)) (i32.load (i32.const 72))"
    "    (i32.const 128))"
    "   (call $drop (local.get $h))"
    "   (i64.load32_u (i32.const 72))))"
    " (core instance $run (instantiate $m (with \"io\" (instance"
    "  (export \"open\" (func $open_c)) (export \"read\" (func $read_c))"
    "  (export \"write\" (func $write_c)) (export \"drop\" (func $drop_c))"
    "  (export \"drop-error\" (func $drop_e)) (export \"memory\" (memory $mem))))))"
    " (func (export \"run\") (param \"n\" u64) (result u64)"
    "  (canon lift (core func $run \"run\"))))";

/* Rows are constants to the engine, which keeps what it linked: a test that changes them takes
 * another component, the same one with another comment. */
static cis_code link_guest(struct fixture *f, const struct cis_iface_provider *provider,
                           cis_linked **out, struct cis_error *why)
{
    static int serial;
    static char text[sizeof GUEST + 32];
    struct cis_engine_module_options o = {.name = "typed"};
    if (f->image == NULL) {
        snprintf(text, sizeof text, "%s(; %d ;)", GUEST, serial++);
        assert_ok(cis_engine_module_load(f->engine, cis_bytes_of(text, strlen(text)), &o, &f->image,
                                         err));
    }
    return cis_component_link(f->image, provider, NULL, out, why);
}

static cis_engine_instance *guest_new(struct fixture *f, uint32_t grants)
{
    static const struct cis_iface_provider provider = {.function = find_row,
                                                       .resource = find_resource};
    cis_linked *program = NULL;
    cis_engine_instance *guest = NULL;
    assert_ok(link_guest(f, &provider, &program, err));
    struct cis_engine_instance_options o = {.stop = {CIS_NEVER, NULL}, .grants = grants};
    o.limits.host_bytes = 16u << 20;
    assert_ok(cis_engine_instance_new(f->engine, program, &o, &guest, err));
    cis_linked_unref(program);
    return guest;
}

static cis_code run(cis_engine_instance *guest, uint64_t n, uint64_t *out, struct cis_error *why)
{
    cis_vals *vals = NULL;
    assert_ok(cis_vals_new(guest, 1, &vals, err));
    cis_val_set_u64(cis_vals_arg(vals, 0), n);
    cis_code code = cis_component_call(guest, CIS_STR("run"), "func(u64) -> u64", vals, why);
    *out = code == CIS_OK ? cis_val_uint(cis_vals_result(vals)) : 0;
    cis_vals_free(vals);
    return code;
}

static int setup(void **state)
{
    memset(&host, 0, sizeof host);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rows[i].grant = 0;
    }
    struct fixture *f = cis_zalloc(sizeof *f);
    const struct cis_engine_options o = {.pool_slots = 16, .compile_in_process = true};
    struct cis_error err;
    *state = f;
    return cis_engine_open(&o, &f->engine, &err) == CIS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cis_engine_module_unref(f->image);
    cis_engine_close(f->engine);
    cis_free(f);
    return 0;
}

static void bytes_go_both_ways_and_handles_are_dropped(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0);
    uint64_t n = 0;
    for (uint64_t len = 0; len <= 600; len += 100) {
        uint64_t expected = len < sizeof host.data ? len : sizeof host.data;
        assert_ok(run(guest, len, &n, err));
        assert_int_equal(n, expected);
        assert_int_equal(host.wanted, len);
        assert_int_equal(host.len, expected);
        for (size_t i = 0; i < host.len; i++) {
            assert_int_equal(host.data[i], (uint8_t)(i + 1));
        }
    }
    assert_int_equal(host.dropped, 7);
    assert_int_equal(host.live[3], 0);
    cis_engine_instance_free(guest);
}

static void errors_are_cases_and_their_resources_are_dropped(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0);
    uint64_t n = 0;
    host.fail = true;
    assert_ok(run(guest, 5, &n, err));
    assert_int_equal(n, 1000); /* the operation failed */
    assert_int_equal(host.errors, 0);
    assert_ok(run(guest, 0, &n, err));
    assert_int_equal(n, 1001); /* closed */
    assert_int_equal(host.dropped, 2);
    cis_engine_instance_free(guest);
}

static void missing_grant_is_the_functions_own_error_or_the_end(void **state)
{
    struct fixture *f = *state;
    uint64_t n = 0;
    struct cis_engine_instance_usage usage;
    rows[1].grant = 5;
    cis_engine_instance *guest = guest_new(f, 1u << 5);
    assert_ok(run(guest, 5, &n, err));
    cis_engine_instance_usage(guest, &usage);
    assert_int_equal(usage.grants_used[5], 1);
    cis_engine_instance_free(guest);
    cis_engine_module_unref(f->image);
    f->image = NULL;
    guest = guest_new(f, 0);
    assert_ok(run(guest, 5, &n, err));
    assert_int_equal(n, 1001);
    cis_engine_instance_usage(guest, &usage);
    assert_int_equal(usage.grants_refused[5], 1);
    cis_engine_instance_free(guest);
    rows[0].grant = 5; /* open has no error of its own */
    cis_engine_module_unref(f->image);
    f->image = NULL;
    guest = guest_new(f, 0);
    assert_fails(CIS_E_DENIED, "t:t/io.open", run(guest, 5, &n, err));
    cis_engine_instance_free(guest);
}

static void failure_of_a_handler_ends_the_guest_with_its_code(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0);
    uint64_t n = 0;
    assert_fails(CIS_E_BUDGET, "thirteen", run(guest, 13, &n, err));
    assert_int_equal(cis_engine_instance_end(guest)->code, CIS_E_BUDGET);
    assert_fails(CIS_E_BUDGET, "thirteen", run(guest, 5, &n, err)); /* and it stays ended */
    cis_engine_instance_free(guest);
}

static void a_drop_that_fails_ends_the_guest_with_its_code(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0);
    uint64_t n = 0;
    host.keeps = true;
    assert_fails(CIS_E_TRAP, "stream 3 is still needed", run(guest, 5, &n, err));
    assert_int_equal(cis_engine_instance_end(guest)->code, CIS_E_TRAP);
    assert_int_equal(host.len, 5); /* all before it was done */
    assert_int_equal(host.dropped, 0);
    cis_engine_instance_free(guest);
}

static void a_handle_with_no_such_thing_behind_it_never_gets_to_a_handler(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0);
    uint64_t n = 0;
    host.nothing = true;
    assert_fails(CIS_E_INTERNAL, "[method]stream.read: internal error: a handle of another kind",
                 run(guest, 5, &n, err));
    assert_int_equal(host.reads, 0);
    cis_engine_instance_free(guest);
}

static void what_is_not_provided_or_of_another_type_is_named(void **state)
{
    struct fixture *f = *state;
    cis_linked *program = NULL;
    const struct cis_iface_provider bare = {.function = find_row},
                                    other = {.function = find_row,
                                             .resource = find_resource,
                                             .self = &host};
    assert_fails(CIS_E_IMPORT, "t:t/io.error", link_guest(f, &bare, &program, err));
    assert_fails(CIS_E_IMPORT, "t:t/io.error", link_guest(f, &other, &program, err));
    const struct cis_iface_provider full = {.function = find_row, .resource = find_resource};
    rows[1].shape = CIS_SHAPE_SKIP;
    assert_fails(CIS_E_IMPORT, "typed", link_guest(f, &full, &program, err));
    rows[1].shape = CIS_SHAPE_READ;
    const char *type = rows[1].type;
    rows[1].type = "func(borrow<error>, u64) -> result<list<u8>" OR_ERROR;
    assert_fails(CIS_E_IMPORT, "t:t/io.[method]stream.read with another type",
                 link_guest(f, &full, &program, err));
    rows[1].type = type;
    assert_ok(link_guest(f, &full, &program, err));
    cis_linked_unref(program);
}

/* A component that makes `instances` of one core module, each with `own` memories; runs one. */
static bool pooled(struct fixture *f, unsigned instances, unsigned own)
{
    struct cis_buf text = CIS_BUF_INIT(65536);
    cis_buf_text(&text, "(component (core module $m (func (export \"f\") (result i32)"
                        " (i32.const 7))");
    for (unsigned i = 0; i < own; i++) {
        cis_buf_text(&text, " (memory 1)");
    }
    cis_buf_text(&text, ")");
    for (unsigned i = 0; i < instances; i++) {
        cis_buf_printf(&text, " (core instance $i%u (instantiate $m))", i);
    }
    cis_buf_text(&text, " (func (export \"f\") (result u32) (canon lift (core func $i0 \"f\"))))");
    struct cis_engine_module_options options = {.name = "c", .memory_limit = 64u << 20};
    struct cis_iface_provider none = {.function = find_row};
    struct cis_engine_instance_options go = {
        .limits = {.memory_bytes = 64u << 20, .host_bytes = 1u << 20},
        .stop = {.deadline_ns = CIS_NEVER}};
    cis_engine_module *image = NULL;
    cis_linked *program = NULL;
    cis_engine_instance *guest = NULL;
    assert_ok(cis_engine_module_load(f->engine, cis_buf_bytes(&text), &options, &image, err));
    assert_ok(cis_component_link(image, &none, NULL, &program, err));
    assert_ok(cis_engine_instance_new(f->engine, program, &go, &guest, err));
    bool in_pool = image->profile->pool.total != 0;
    struct cis_engine_stats s;
    cis_engine_stats(f->engine, &s);
    assert_int_equal(s.pool_live, in_pool ? 1 : 0);
    cis_engine_instance_free(guest);
    cis_linked_unref(program);
    cis_engine_module_unref(image);
    cis_buf_done(&text);
    return in_pool;
}

static void components_have_a_place_in_the_pool_when_they_fit(void **state)
{
    struct fixture *f = *state;
    assert_true(pooled(f, 1, 0));
    assert_true(pooled(f, 24, 0));
    assert_true(pooled(f, 1, 1));
    assert_false(pooled(f, 25, 0)); /* on-demand, and as good */
    assert_false(pooled(f, 2, 1));
    assert_false(pooled(f, 1, 2));
}

static void a_full_pool_of_components_has_room_for_all_their_instances(void **state)
{
    struct fixture *f = *state;
    struct cis_buf text = CIS_BUF_INIT(65536);
    cis_buf_text(&text, "(component (core module $m (func (export \"f\") (result i32)"
                        " (i32.const 7)))");
    for (unsigned i = 0; i < 24; i++) {
        cis_buf_printf(&text, " (core instance $i%u (instantiate $m))", i);
    }
    cis_buf_text(&text, " (func (export \"f\") (result u32) (canon lift (core func $i0 \"f\"))))");
    struct cis_engine_module_options options = {.name = "c", .memory_limit = 64u << 20};
    struct cis_iface_provider none = {.function = find_row};
    struct cis_engine_instance_options go = {
        .limits = {.memory_bytes = 64u << 20, .host_bytes = 1u << 20},
        .stop = {.deadline_ns = CIS_NEVER}};
    cis_engine_module *image = NULL;
    cis_linked *program = NULL;
    assert_ok(cis_engine_module_load(f->engine, cis_buf_bytes(&text), &options, &image, err));
    assert_ok(cis_component_link(image, &none, NULL, &program, err));
    uint32_t slots = image->profile->pool.total;
    assert_in_range(slots, 1, 64);
    cis_engine_instance *guests[64];
    for (uint32_t i = 0; i < slots; i++) {
        assert_ok(cis_engine_instance_new(f->engine, program, &go, &guests[i], err));
    }
    for (uint32_t i = 0; i < slots; i++) {
        cis_engine_instance_free(guests[i]);
    }
    cis_linked_unref(program);
    cis_engine_module_unref(image);
    cis_buf_done(&text);
}

static uint64_t ask(cis_engine_instance *guest, const char *what)
{
    cis_vals *vals = NULL;
    assert_ok(cis_vals_new(guest, 0, &vals, err));
    assert_ok(cis_component_call(guest, cis_str_of(what), "func() -> u32", vals, err));
    uint64_t n = cis_val_uint(cis_vals_result(vals));
    cis_vals_free(vals);
    return n;
}

/* Instances of components take slots that others left: of their bytes, entries and globals nothing
 * is there. */
static void slots_of_components_show_nothing_of_the_one_before(void **state)
{
    static const char text[] =
        "(component (core module $m (memory 1) (data (i32.const 100) \"own\")"
        " (table $t 4 50 funcref) (func $x) (elem declare func $x) (global $g (mut i32) (i32.const "
        "0))"
        " (func (export \"dirty\") (result i32)"
        "  (drop (memory.grow (i32.const 31))) (global.set $g (i32.const 7))"
        "  (memory.fill (i32.const 0) (i32.const 0xa5) (i32.const 2097152))"
        "  (drop (table.grow $t (ref.func $x) (i32.const 46)))"
        "  (table.fill $t (i32.const 0) (ref.func $x) (i32.const 50)) (memory.size))"
        " (func (export \"foreign\") (result i32) (local $i i32) (local $n i32)"
        "  (local.set $n (global.get $g)) (drop (memory.grow (i32.const 31)))"
        "  (drop (table.grow $t (ref.null func) (i32.const 46)))"
        "  (loop $b (local.set $n (i32.add (local.get $n) (i64.ne (i64.const 0)"
        "    (i64.load (local.get $i)))))"
        "   (br_if $b (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8)))"
        "    (i32.const 2097152))))"
        "  (local.set $i (i32.const 0))"
        "  (loop $e (local.set $n (i32.add (local.get $n)"
        "    (i32.eqz (ref.is_null (table.get $t (local.get $i))))))"
        "   (br_if $e (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))"
        "    (table.size $t)))) (local.get $n)))"
        " (core instance $a (instantiate $m))"
        " (func (export \"dirty\") (result u32) (canon lift (core func $a \"dirty\")))"
        " (func (export \"foreign\") (result u32) (canon lift (core func $a \"foreign\"))))";
    struct fixture *f = *state;
    struct cis_engine_module_options options = {.name = "c", .memory_limit = 64u << 20};
    struct cis_iface_provider none = {.function = find_row};
    struct cis_engine_instance_options go = {
        .limits = {.memory_bytes = 64u << 20, .host_bytes = 1u << 20},
        .stop = {.deadline_ns = CIS_NEVER}};
    cis_linked *program = NULL;
    cis_engine_instance *guest = NULL;
    assert_ok(cis_engine_module_load(f->engine, cis_bytes_of(text, sizeof text - 1), &options,
                                     &f->image, err));
    assert_ok(cis_component_link(f->image, &none, NULL, &program, err));
    for (int round = 0; round < 20; round++) {
        assert_ok(cis_engine_instance_new(f->engine, program, &go, &guest, err));
        assert_int_equal(ask(guest, "foreign"), 1); /* its own three bytes */
        cis_engine_instance_free(guest);
        assert_ok(cis_engine_instance_new(f->engine, program, &go, &guest, err));
        assert_int_equal(ask(guest, "dirty"), 32);
        cis_engine_instance_free(guest);
    }
    assert_true(f->image->profile->pool.total != 0);
    cis_linked_unref(program);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_go_both_ways_and_handles_are_dropped),
        TEST(errors_are_cases_and_their_resources_are_dropped),
        TEST(missing_grant_is_the_functions_own_error_or_the_end),
        TEST(failure_of_a_handler_ends_the_guest_with_its_code),
        TEST(a_drop_that_fails_ends_the_guest_with_its_code),
        TEST(a_handle_with_no_such_thing_behind_it_never_gets_to_a_handler),
        TEST(what_is_not_provided_or_of_another_type_is_named),
        TEST(components_have_a_place_in_the_pool_when_they_fit),
        TEST(a_full_pool_of_components_has_room_for_all_their_instances),
        TEST(slots_of_components_show_nothing_of_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
