/* Guests: calls, memory, limits, and every way to end. */
#include "guests.h"

#include "base/mem.h"

struct fixture {
    cis_engine *engine;
    cis_linked *program;
    cis_engine_instance *guest;
    struct test_host host;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->engine = engine_with(16, 2);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance_free(f->guest);
    cis_linked_unref(f->program);
    assert_idle(f->engine);
    cis_engine_close(f->engine);
    free(f);
    return 0;
}

/* Links and instantiates under the test's default limits. */
static void use(struct fixture *f, const char *wat)
{
    struct cis_engine_instance_options o = options_for(&f->host);
    f->program = program_with(f->engine, wat, false);
    f->guest = guest_with(f->engine, f->program, &o);
}

static int32_t call_i(struct fixture *f, const char *name, int32_t arg)
{
    union cis_slot io[1] = {{.i32 = arg}};
    assert_ok(cis_engine_instance_call(f->guest, cis_str_of(name), "i:i", io, err));
    return io[0].i32;
}

static cis_code call_v(struct fixture *f, const char *name, struct cis_error *err)
{
    union cis_slot io[1] = {{0}};
    return cis_engine_instance_call(f->guest, cis_str_of(name), ":", io, err);
}

/* ---- happy ---- */

static void call_returns_what_the_guest_computes(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (func (export \"add\") (param i32 i32) (result i32)"
           " (i32.add (local.get 0) (local.get 1))))");
    union cis_slot io[2] = {{.i32 = 40}, {.i32 = 2}};
    assert_ok(cis_engine_instance_call(f->guest, CIS_STR("add"), "ii:i", io, err));
    assert_int_equal(io[0].i32, 42);
    assert_int_equal(cis_engine_instance_end(f->guest)->code, CIS_OK);
}

static void values_of_every_number_type_travel_both_ways(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (import \"t\" \"mix\" (func $mix (param i64 f32 f64) (result f64)))"
           " (func (export \"f\") (param i64 f32 f64) (result f64)"
           "  (call $mix (local.get 0) (local.get 1) (local.get 2)))"
           " (func (export \"two\") (param i32) (result i32 i64) (local.get 0) (i64.const 7)))");
    union cis_slot io[3] = {{.i64 = -3}, {.f32 = 0.5f}, {.f64 = 4.25}};
    assert_ok(cis_engine_instance_call(f->guest, CIS_STR("f"), "IfF:F", io, err));
    assert_true(io[0].f64 == 1.75);
    io[0].i32 = 5;
    assert_ok(cis_engine_instance_call(f->guest, CIS_STR("two"), "i:iI", io, err));
    assert_int_equal(io[0].i32, 5);
    assert_int_equal(io[1].i64, 7);
}

static void host_function_reads_guest_memory(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (import \"t\" \"sum\" (func $sum (param i32 i32) (result i32)))"
           " (memory (export \"memory\") 1) (data (i32.const 65533) \"\\01\\02\\03\")"
           " (func (export \"f\") (param i32) (result i32)"
           "  (call $sum (local.get 0) (i32.const 3))))");
    assert_int_equal(call_i(f, "f", 65533), 6);
    struct cis_engine_instance_usage u;
    cis_engine_instance_usage(f->guest, &u);
    assert_int_equal(u.host_calls, 1);
    assert_int_equal(u.memory_bytes, 65536);
    assert_true(u.cpu_ns > 0);
}

static void host_sees_memory_that_the_guest_grew_in_the_same_call(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (import \"t\" \"sum\" (func $sum (param i32 i32) (result i32)))"
           " (memory (export \"memory\") 1)"
           " (func (export \"f\") (param i32) (result i32)"
           "  (drop (call $sum (i32.const 0) (i32.const 1)))"
           "  (drop (memory.grow (i32.const 1)))"
           "  (i32.store8 (i32.const 131071) (i32.const 9))"
           "  (call $sum (i32.const 131071) (i32.const 1))))");
    assert_int_equal(call_i(f, "f", 0), 9);
    assert_int_equal(cis_engine_instance_memory_size(f->guest), 131072);
}

static void kept_instance_keeps_its_state_between_calls(void **state)
{
    struct fixture *f = *state;
    use(f,
        "(module (global $n (mut i32) (i32.const 0)) (func (export \"f\") (param i32) (result i32)"
        " (global.set $n (i32.add (global.get $n) (local.get 0))) (global.get $n)))");
    assert_int_equal(call_i(f, "f", 3), 3);
    assert_int_equal(call_i(f, "f", 4), 7);
}

static void start_function_runs_when_the_guest_is_made(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (import \"t\" \"note\" (func $note (param i32)))"
           " (func $s (call $note (i32.const 11))) (start $s))");
    assert_int_equal(f->host.calls, 1);
    assert_int_equal(f->host.last, 11);
}

static void same_rows_give_the_same_program(void **state)
{
    struct fixture *f = *state;
    cis_engine_module *image =
        image_with(f->engine, "(module (import \"t\" \"note\" (func (param i32))))", false);
    cis_linked *a = NULL, *b = NULL;
    assert_ok(cis_linked_new(image, test_resolve, NULL, &a, err));
    assert_ok(cis_linked_new(image, test_resolve, NULL, &b, err));
    assert_ptr_equal(a, b);
    assert_ptr_equal(cis_linked_module(a), image);
    cis_linked_unref(a);
    cis_linked_unref(b);
    cis_engine_module_unref(image);
}

static const char ENV_MEMORY[] =
    "(module (import \"t\" \"sum\" (func $sum (param i32 i32) (result i32)))"
    " (import \"env\" \"memory\" (memory 2 8192)) (data (i32.const 16) \"\\05\\06\")"
    " (func (export \"f\") (param i32) (result i32) (i32.store8 (i32.const 18) (local.get 0))"
    "  (call $sum (i32.const 16) (i32.const 3)))"
    " (func (export \"grow\") (param i32) (result i32) (memory.grow (local.get 0))))";

static void imported_memory_is_seen_by_guest_and_host(void **state)
{
    struct fixture *f = *state;
    use(f, ENV_MEMORY);
    assert_int_equal(call_i(f, "f", 7), 18);
    assert_int_equal(cis_engine_instance_memory_size(f->guest), 2 * 65536);
    assert_int_equal(((const uint8_t *)cis_engine_instance_at(f->guest, 18, 1))[0], 7);
}

static void imported_memory_counts_and_starts_clean_each_time(void **state)
{
    struct fixture *f = *state;
    use(f, ENV_MEMORY);
    struct cis_engine_instance_usage u;
    assert_int_equal(call_i(f, "grow", 10), 2);
    assert_int_equal(call_i(f, "grow", 1000), -1); /* 16 MiB is the limit */
    cis_engine_instance_usage(f->guest, &u);
    assert_int_equal(u.memory_bytes, 12 * 65536);
    assert_true(u.memory_limit_hit);
    memset(cis_engine_instance_out(f->guest, 0, 12 * 65536), 0xa5, 12 * 65536);
    cis_engine_instance_free(f->guest);
    struct cis_engine_instance_options o = options_for(&f->host);
    f->guest = guest_with(f->engine, f->program, &o);
    const uint8_t *p = cis_engine_instance_at(f->guest, 0, 2 * 65536);
    assert_non_null(p);
    for (size_t i = 0; i < 2 * 65536; i++) {
        assert_int_equal(p[i], i == 16 ? 5 : i == 17 ? 6 : 0);
    }
}

static void host_grows_the_memory_and_gets_the_new_pages(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (memory (export \"memory\") 1))");
    uint64_t at = 0;
    assert_ok(cis_engine_instance_grow(f->guest, 65537, &at, err));
    assert_int_equal(at, 65536);
    assert_int_equal(cis_engine_instance_memory_size(f->guest), 3 * 65536);
    assert_fails(CIS_E_MEMORY, "cannot grow",
                 cis_engine_instance_grow(f->guest, 1u << 30, &at, err));
    assert_int_equal(cis_engine_instance_end(f->guest)->code, CIS_OK);
}

struct traced {
    unsigned lines;
    int32_t arg, result;
    cis_code code;
    const char *name;
};

static void trace_line(void *self, const struct cis_hostfn *row, const union cis_slot *args,
                       const union cis_slot *result, cis_code code, uint64_t ns)
{
    struct traced *t = self;
    (void)ns;
    t->lines++;
    t->arg = args[1].i32;
    t->result = result->i32;
    t->code = code;
    t->name = row->name;
}

static void trace_sees_arguments_result_and_code(void **state)
{
    struct fixture *f = *state;
    struct traced t = {0};
    struct cis_engine_instance_options o = options_for(&f->host);
    o.trace = trace_line;
    o.trace_self = &t;
    f->program = program_with(
        f->engine,
        "(module (import \"t\" \"sum\" (func $sum (param i32 i32) (result i32)))"
        " (memory (export \"memory\") 1) (data (i32.const 0) \"\\04\\04\")"
        " (func (export \"f\") (param i32) (result i32) (call $sum (i32.const 0) (local.get 0))))",
        false);
    f->guest = guest_with(f->engine, f->program, &o);
    assert_int_equal(call_i(f, "f", 2), 8);
    assert_int_equal(t.lines, 1);
    assert_int_equal(t.arg, 2);
    assert_int_equal(t.result, 8);
    assert_string_equal(t.name, "sum");
    union cis_slot io[1] = {{.i32 = 99999}};
    assert_fails(CIS_E_BADPTR, "t.sum",
                 cis_engine_instance_call(f->guest, CIS_STR("f"), "i:i", io, err));
    assert_int_equal(t.code, CIS_E_BADPTR);
}

/* ---- edge ---- */

static void pointers_are_checked_against_the_memory_as_it_is(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (memory (export \"memory\") 1))");
    const void *p = NULL;
    assert_non_null(cis_engine_instance_at(f->guest, 0, 65536));
    assert_non_null(cis_engine_instance_at(f->guest, 65536, 0));
    assert_null(cis_engine_instance_at(f->guest, 65537, 0));
    assert_null(cis_engine_instance_at(f->guest, 65535, 2));
    assert_null(cis_engine_instance_at(f->guest, UINT64_MAX, 2));
    assert_null(cis_engine_instance_at(f->guest, 2, UINT64_MAX));
    assert_fails(CIS_E_BADPTR, "key: 2 bytes at 0xffff",
                 cis_engine_instance_span(f->guest, 65535, 2, "key", &p, err));
}

static void guest_without_a_memory_has_only_empty_spans(void **state)
{
    struct fixture *f = *state;
    use(f, "(module)");
    uint64_t at = 0;
    assert_int_equal(cis_engine_instance_memory_size(f->guest), 0);
    assert_non_null(cis_engine_instance_at(f->guest, 0, 0));
    assert_null(cis_engine_instance_at(f->guest, 0, 1));
    assert_fails(CIS_E_MEMORY, "no memory", cis_engine_instance_grow(f->guest, 1, &at, err));
}

static void memory_grow_past_the_limit_fails_inside_the_guest(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (memory (export \"memory\") 1) (func (export \"grow\") (param i32) (result i32)"
           " (memory.grow (local.get 0))))");
    struct cis_engine_instance_usage u;
    assert_int_equal(call_i(f, "grow", 255), 1); /* exactly 16 MiB */
    cis_engine_instance_usage(f->guest, &u);
    assert_false(u.memory_limit_hit);
    assert_int_equal(call_i(f, "grow", 1), -1);
    cis_engine_instance_usage(f->guest, &u);
    assert_true(u.memory_limit_hit);
    assert_int_equal(u.memory_limit_asked, (16u << 20) + 65536);
    assert_int_equal(u.memory_peak, 16u << 20);
    assert_int_equal(cis_engine_instance_end(f->guest)->code, CIS_OK);
}

static void growth_above_the_modules_own_maximum_is_not_the_limit(void **state)
{
    struct fixture *f = *state;
    use(f,
        "(module (memory (export \"memory\") 1 2) (func (export \"grow\") (param i32) (result i32)"
        " (memory.grow (local.get 0))))");
    struct cis_engine_instance_usage u;
    assert_int_equal(call_i(f, "grow", 5), -1);
    cis_engine_instance_usage(f->guest, &u);
    assert_false(u.memory_limit_hit);
    assert_int_equal(u.memory_bytes, 65536);
}

static void tables_count_with_the_memories(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (table $t 10 funcref) (memory (export \"memory\") 1)"
           " (func (export \"grow\") (param i32) (result i32)"
           "  (table.grow $t (ref.null func) (local.get 0))))");
    struct cis_engine_instance_usage u;
    cis_engine_instance_usage(f->guest, &u);
    assert_int_equal(u.memory_bytes, 65536 + 80);
    assert_int_equal(call_i(f, "grow", 5), 10);
    cis_engine_instance_usage(f->guest, &u);
    assert_int_equal(u.memory_bytes, 65536 + 120);
}

static void table_grow_past_the_element_limit_fails_inside_the_guest(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    o.limits.table_elements = 12;
    f->program = program_with(f->engine,
                              "(module (table $t 10 funcref) (func (export \"grow\") (param i32)"
                              " (result i32) (table.grow $t (ref.null func) (local.get 0))))",
                              false);
    f->guest = guest_with(f->engine, f->program, &o);
    struct cis_engine_instance_usage u;
    assert_int_equal(call_i(f, "grow", 3), -1);
    assert_int_equal(call_i(f, "grow", 2), 10);
    cis_engine_instance_usage(f->guest, &u);
    assert_true(u.memory_limit_hit);
}

static void minimum_above_the_limit_ends_before_anything_runs(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    o.limits.memory_bytes = 1u << 20;
    f->program = program_with(f->engine,
                              "(module (import \"t\" \"note\" (func $n (param i32))) (memory 17)"
                              " (func $s (call $n (i32.const 1))) (start $s))",
                              false);
    assert_fails(CIS_E_MEMORY, "the limit is 1048576",
                 cis_engine_instance_new(f->engine, f->program, &o, &f->guest, err));
    const struct cis_engine_instance_end *end = cis_engine_instance_end(f->guest);
    assert_string_equal(end->limit, "memory");
    assert_int_equal(end->configured, 1u << 20);
    assert_int_equal(end->reached, 17 * 65536);
    assert_int_equal(f->host.calls, 0);
}

static void imported_memory_above_the_limit_ends_before_anything_runs(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    o.limits.memory_bytes = 65536;
    f->program = program_with(f->engine, ENV_MEMORY, false);
    assert_fails(CIS_E_MEMORY, "the limit is 65536",
                 cis_engine_instance_new(f->engine, f->program, &o, &f->guest, err));
    assert_int_equal(cis_engine_instance_end(f->guest)->reached, 2 * 65536);
}

static void calls_nest_through_the_host_only_so_deep(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (import \"t\" \"back\" (func $back (param i32) (result i32)))"
           " (func (export \"down\") (param i32) (result i32)"
           "  (if (result i32) (local.get 0)"
           "   (then (i32.add (i32.const 1) (call $back (i32.sub (local.get 0) (i32.const 1)))))"
           "   (else (i32.const 0)))))");
    assert_int_equal(call_i(f, "down", 15), 15);
    union cis_slot io[1] = {{.i32 = 16}};
    assert_fails(CIS_E_TRAP, "nested deeper than 16",
                 cis_engine_instance_call(f->guest, CIS_STR("down"), "i:i", io, err));
}

/* Every byte and every table entry of a slot that somebody used before is as new. */
static void pooled_slots_show_nothing_of_the_guest_before(void **state)
{
    struct fixture *f = *state;
    f->program = program_with(
        f->engine,
        "(module (memory (export \"memory\") 1) (data (i32.const 100) \"own\")"
        " (table $t 4 100 funcref) (func $x) (elem declare func $x)"
        " (func (export \"dirty\") (param i32) (result i32)"
        "  (drop (memory.grow (i32.const 63)))"
        "  (memory.fill (i32.const 0) (local.get 0) (i32.const 4194304))"
        "  (drop (table.grow $t (ref.func $x) (i32.const 96)))"
        "  (table.fill $t (i32.const 0) (ref.func $x) (i32.const 100)) (memory.size))"
        " (func (export \"entries\") (param i32) (result i32) (local $i i32) (local $n i32)"
        "  (drop (table.grow $t (ref.null func) (local.get 0)))"
        "  (loop $l (local.set $n (i32.add (local.get $n)"
        "     (i32.eqz (ref.is_null (table.get $t (local.get $i))))))"
        "   (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))"
        "     (table.size $t)))) (local.get $n)))",
        false);
    struct cis_engine_instance_options o = options_for(&f->host);
    for (int round = 0; round < 40; round++) {
        cis_engine_instance_free(f->guest);
        f->guest = guest_with(f->engine, f->program, &o);
        assert_int_equal(call_i(f, "entries", round % 2 ? 96 : 0), 0);
        uint64_t at = 0;
        assert_ok(
            cis_engine_instance_grow(f->guest, (uint64_t)(round % 2 ? 63 : 1) * 65536, &at, err));
        uint64_t size = cis_engine_instance_memory_size(f->guest);
        const uint8_t *p = cis_engine_instance_at(f->guest, 0, size);
        size_t foreign = 0;
        for (uint64_t i = 0; i < size; i++) {
            foreign += p[i] != 0;
        }
        assert_int_equal(foreign, 3);
        assert_memory_equal(p + 100, "own", 3);
        cis_engine_instance_free(f->guest);
        f->guest = guest_with(f->engine, f->program, &o);
        assert_int_equal(call_i(f, "dirty", 0xa5), 64);
    }
    struct cis_engine_stats s;
    cis_engine_stats(f->engine, &s);
    assert_true(s.pooled);
    assert_int_equal(s.pool_live, 1);
}

static void module_that_does_not_fit_the_pool_runs_outside_of_it(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (table 30000 funcref) (func (export \"f\") (param i32) (result i32)"
           " (local.get 0)))");
    assert_int_equal(call_i(f, "f", 5), 5);
    struct cis_engine_stats s;
    cis_engine_stats(f->engine, &s);
    assert_int_equal(s.pool_live, 0);
    assert_int_equal(s.ondemand_live, 1);
}

static void new_deadline_lets_a_kept_instance_go_on(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    o.stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(), 3600 * CIS_NS_PER_S);
    f->program = program_with(
        f->engine, "(module (func (export \"f\") (param i32) (result i32) (local.get 0)))", false);
    f->guest = guest_with(f->engine, f->program, &o);
    assert_int_equal(call_i(f, "f", 1), 1);
    struct cis_stop over = {.deadline_ns = cis_clock_mono_ns()};
    struct cis_stop more = {.deadline_ns = CIS_NEVER};
    cis_engine_instance_rearm(f->guest, &over, 0);
    cis_engine_instance_rearm(f->guest, &more, 0);
    assert_int_equal(call_i(f, "f", 2), 2);
    cis_engine_instance_rearm(f->guest, &over, 0);
    union cis_slot io[1] = {{.i32 = 1}};
    assert_fails(CIS_E_DEADLINE, "time limit",
                 cis_engine_instance_call(f->guest, CIS_STR("f"), "i:i", io, err));
}

/* ---- denied ---- */

static const char GUARDED[] =
    "(module (import \"t\" \"guarded\" (func $g (param i32) (result i32)))"
    " (import \"t\" \"guarded64\" (func $g64 (param i32) (result i64)))"
    " (import \"t\" \"guardedf\" (func $gf (param i32) (result f64)))"
    " (import \"t\" \"must\" (func $must (param i32)))"
    " (func (export \"f\") (param i32) (result i32) (call $g (local.get 0)))"
    " (func (export \"f64\") (param i32) (result i64) (call $g64 (local.get 0)))"
    " (func (export \"ff\") (param i32) (result f64) (call $gf (local.get 0)))"
    " (func (export \"must\") (param i32) (result i32) (call $must (local.get 0)) (i32.const 1)))";

static void refused_call_returns_the_denied_value_and_is_counted(void **state)
{
    struct fixture *f = *state;
    use(f, GUARDED);
    struct cis_engine_instance_usage u;
    union cis_slot io[1] = {{.i32 = 3}};
    assert_int_equal(call_i(f, "f", 3), -7);
    assert_ok(cis_engine_instance_call(f->guest, CIS_STR("f64"), "i:I", io, err));
    assert_int_equal(io[0].i64, -8);
    io[0].i32 = 3;
    assert_ok(cis_engine_instance_call(f->guest, CIS_STR("ff"), "i:F", io, err));
    assert_true(io[0].f64 == -2.0);
    assert_int_equal(f->host.calls, 0);
    cis_engine_instance_usage(f->guest, &u);
    assert_int_equal(u.grants_refused[GRANT], 3);
    assert_int_equal(u.grants_used[GRANT], 0);
}

static void granted_call_reaches_its_handler_and_is_counted(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    o.grants = 1u << GRANT;
    f->program = program_with(f->engine, GUARDED, false);
    f->guest = guest_with(f->engine, f->program, &o);
    struct cis_engine_instance_usage u;
    assert_int_equal(call_i(f, "f", 3), 3);
    assert_int_equal(call_i(f, "must", 4), 1);
    assert_int_equal(f->host.calls, 2);
    cis_engine_instance_usage(f->guest, &u);
    assert_int_equal(u.grants_used[GRANT], 2);
    assert_int_equal(u.grants_refused[GRANT], 0);
}

static void other_grants_do_not_help(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    o.grants = ~(1u << GRANT);
    f->program = program_with(f->engine, GUARDED, false);
    f->guest = guest_with(f->engine, f->program, &o);
    assert_int_equal(call_i(f, "f", 3), -7);
}

static void refused_call_that_cannot_say_no_ends_the_run(void **state)
{
    struct fixture *f = *state;
    use(f, GUARDED);
    union cis_slot io[1] = {{.i32 = 3}};
    assert_fails(CIS_E_DENIED, "t.must",
                 cis_engine_instance_call(f->guest, CIS_STR("must"), "i:i", io, err));
    assert_int_equal(cis_engine_instance_end(f->guest)->code, CIS_E_DENIED);
    assert_int_equal(f->host.calls, 0);
}

static void refusal_by_a_handler_is_counted_as_refused(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    o.grants = 1u << GRANT;
    f->program = program_with(f->engine,
                              "(module (import \"t\" \"refused\" (func $r (result i32)))"
                              " (func (export \"f\") (param i32) (result i32) (call $r)))",
                              false);
    f->guest = guest_with(f->engine, f->program, &o);
    struct cis_engine_instance_usage u;
    assert_int_equal(call_i(f, "f", 0), -1);
    cis_engine_instance_usage(f->guest, &u);
    assert_int_equal(u.grants_used[GRANT], 0);
    assert_int_equal(u.grants_refused[GRANT], 1);
}

/* ---- broken ---- */

static void trap_carries_the_names_of_the_functions(void **state)
{
    struct fixture *f = *state;
    use(f,
        "(module (func $inner_function unreachable) (func $outer_function (call $inner_function))"
        " (func (export \"f\") (call $outer_function)))");
    assert_fails(CIS_E_TRAP, "unreachable code reached in inner_function", call_v(f, "f", err));
    const char *trace = cis_engine_instance_backtrace(f->guest);
    assert_non_null(strstr(trace, "0: inner_function (guest.wat+0x"));
    assert_non_null(strstr(trace, "1: outer_function"));
    assert_non_null(strstr(trace, "2: function[2]"));
    assert_int_equal(cis_engine_instance_end(f->guest)->code, CIS_E_TRAP);
}

static void each_kind_of_trap_says_what_it_was(void **state)
{
    static const struct {
        const char *body, *text;
    } kinds[] = {
        {"(drop (i32.div_u (i32.const 1) (i32.const 0)))", "divided by zero"},
        {"(drop (i32.div_s (i32.const -2147483648) (i32.const -1)))", "integer overflow"},
        {"(drop (i32.load (i32.const 65536)))", "memory access out of bounds"},
        {"(call_indirect (i32.const 1))", "null table entry"},
        {"(call_indirect (i32.const 9))", "table access out of bounds"},
        {"(call_indirect (param i32) (i32.const 0) (i32.const 0))", "another function type"},
        {"(drop (i32.trunc_f32_s (f32.const nan)))", "invalid conversion"},
        {"(call $self)", "stack overflow"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char wat[512];
        snprintf(wat, sizeof wat,
                 "(module (memory 1) (table 2 funcref) (elem (i32.const 0) func $self)"
                 " (func $self (export \"f\") %s))",
                 kinds[i].body);
        use(f, wat);
        assert_fails(CIS_E_TRAP, kinds[i].text, call_v(f, "f", err));
        cis_engine_instance_free(f->guest);
        cis_linked_unref(f->program);
        f->guest = NULL;
        f->program = NULL;
    }
}

static void trap_in_the_start_function_leaves_an_ended_guest(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    f->program =
        program_with(f->engine, "(module (func $begin unreachable) (start $begin))", false);
    assert_fails(CIS_E_TRAP, "begin",
                 cis_engine_instance_new(f->engine, f->program, &o, &f->guest, err));
    assert_non_null(strstr(cis_engine_instance_backtrace(f->guest), "begin"));
    assert_fails(CIS_E_TRAP, "begin", call_v(f, "f", err));
}

static void data_outside_of_the_memory_is_a_trap(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    f->program =
        program_with(f->engine, "(module (memory 1) (data (i32.const 65536) \"x\"))", false);
    assert_fails(CIS_E_TRAP, "out of bounds",
                 cis_engine_instance_new(f->engine, f->program, &o, &f->guest, err));
}

static void bad_pointer_from_the_guest_ends_the_run(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (import \"t\" \"sum\" (func $sum (param i32 i32) (result i32)))"
           " (memory (export \"memory\") 1) (func $caller (export \"f\") (param i32) (result i32)"
           "  (call $sum (local.get 0) (i32.const -1))))");
    union cis_slot io[1] = {{.i32 = -1}};
    assert_fails(CIS_E_BADPTR, "t.sum: 4294967295 bytes at 0xffffffff",
                 cis_engine_instance_call(f->guest, CIS_STR("f"), "i:i", io, err));
    assert_non_null(strstr(cis_engine_instance_backtrace(f->guest), "caller"));
}

static void guest_that_has_ended_refuses_further_calls(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (func (export \"boom\") unreachable) (func (export \"fine\")))");
    assert_ok(call_v(f, "fine", err));
    assert_fails(CIS_E_TRAP, "unreachable", call_v(f, "boom", err));
    assert_fails(CIS_E_TRAP, "unreachable", call_v(f, "fine", err));
    struct cis_stop more = {.deadline_ns = CIS_NEVER};
    cis_engine_instance_rearm(f->guest, &more, 0);
    assert_fails(CIS_E_TRAP, "unreachable", call_v(f, "fine", err));
}

static void exit_ends_the_run_with_its_code(void **state)
{
    struct fixture *f = *state;
    for (int32_t code = 0; code < 3; code += 2) {
        char wat[256];
        snprintf(wat, sizeof wat,
                 "(module (import \"t\" \"exit\" (func $e (param i32)))"
                 " (func (export \"f\") (call $e (i32.const %d)) unreachable))",
                 code);
        use(f, wat);
        assert_fails(CIS_E_FAILED, "exited", call_v(f, "f", err));
        assert_true(cis_engine_instance_end(f->guest)->exited);
        assert_int_equal(cis_engine_instance_end(f->guest)->exit_code, code);
        cis_engine_instance_free(f->guest);
        cis_linked_unref(f->program);
        f->guest = NULL;
        f->program = NULL;
    }
}

static void endless_loop_ends_at_its_deadline(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    f->program =
        program_with(f->engine, "(module (func $spin (export \"f\") (loop $l (br $l))))", false);
    bool began = false;
    /* Where the machine has no time for us, the guest's ends before its first instruction. */
    for (uint64_t ns = 20 * CIS_NS_PER_MS; !began && ns < 60 * CIS_NS_PER_S; ns *= 2) {
        cis_engine_instance_free(f->guest);
        f->guest = guest_with(f->engine, f->program, &o);
        struct cis_stop soon = {.deadline_ns = cis_clock_after(cis_clock_mono_ns(), ns)};
        cis_engine_instance_rearm(f->guest, &soon, 0);
        assert_fails(CIS_E_DEADLINE, "time limit", call_v(f, "f", err));
        const struct cis_engine_instance_end *end = cis_engine_instance_end(f->guest);
        assert_string_equal(end->limit, "time");
        assert_true(end->configured <= ns);
        assert_true(end->reached >= end->configured);
        assert_true(cis_clock_mono_ns() >= soon.deadline_ns);
        began = strstr(cis_engine_instance_backtrace(f->guest), "spin") != NULL;
    }
    assert_true(began);
}

static void endless_start_function_ends_at_its_deadline(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    f->program = program_with(f->engine, "(module (func $s (loop $l (br $l))) (start $s))", false);
    o.stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(), 20 * CIS_NS_PER_MS);
    assert_fails(CIS_E_DEADLINE, "time limit",
                 cis_engine_instance_new(f->engine, f->program, &o, &f->guest, err));
}

static void *fire_when_called(void *arg)
{
    struct test_host *h = arg;
    while (!atomic_load(&h->holding)) {
        sched_yield();
    }
    atomic_store(&h->release, true);
    cis_cancel_fire(h->fire);
    return NULL;
}

static void cancellation_from_another_thread_ends_a_loop(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    assert_ok(cis_cancel_new(&f->host.fire, err));
    o.stop.cancel = f->host.fire;
    f->program = program_with(f->engine,
                              "(module (import \"t\" \"hold\" (func $h)) (func (export \"f\")"
                              " (call $h) (loop $l (br $l))))",
                              false);
    f->guest = guest_with(f->engine, f->program, &o);
    pthread_t other;
    pthread_create(&other, NULL, fire_when_called, &f->host);
    assert_fails(CIS_E_CANCELLED, "cancelled", call_v(f, "f", err));
    pthread_join(other, NULL);
    cis_cancel_unref(f->host.fire);
}

static void cancelled_token_stops_a_guest_before_it_starts(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    assert_ok(cis_cancel_new(&f->host.fire, err));
    cis_cancel_fire(f->host.fire);
    o.stop.cancel = f->host.fire;
    f->program = program_with(f->engine, "(module)", false);
    assert_fails(CIS_E_CANCELLED, "cancelled",
                 cis_engine_instance_new(f->engine, f->program, &o, &f->guest, err));
    cis_cancel_unref(f->host.fire);
}

static const char BURNER[] =
    "(module (import \"t\" \"guarded\" (func $g (param i32) (result i32)))"
    " (func (export \"spin\") (loop $l (br $l)))"
    " (func (export \"f\") (param i32) (result i32) (call $g (local.get 0))))";

static void fuel_ends_a_loop_and_is_counted(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    o.limits.fuel = 10000;
    o.grants = 1u << GRANT;
    f->program = program_with(f->engine, BURNER, true);
    f->guest = guest_with(f->engine, f->program, &o);
    struct cis_engine_instance_usage u;
    assert_int_equal(call_i(f, "f", 1), 1);
    cis_engine_instance_usage(f->guest, &u);
    assert_true(u.fuel >= 10 && u.fuel < 100); /* the host call costs 10 */
    assert_fails(CIS_E_FUEL, "fuel of 10000 units", call_v(f, "spin", err));
    assert_string_equal(cis_engine_instance_end(f->guest)->limit, "fuel");
    assert_int_equal(cis_engine_instance_end(f->guest)->configured, 10000);
    cis_engine_instance_usage(f->guest, &u);
    assert_int_equal(u.fuel, 10000);
}

static void host_call_that_costs_more_fuel_than_is_left_ends_the_run(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    o.limits.fuel = 8;
    o.grants = 1u << GRANT;
    f->program = program_with(f->engine, BURNER, true);
    f->guest = guest_with(f->engine, f->program, &o);
    union cis_slot io[1] = {{.i32 = 1}};
    assert_fails(CIS_E_FUEL, "fuel of 8",
                 cis_engine_instance_call(f->guest, CIS_STR("f"), "i:i", io, err));
    assert_int_equal(f->host.calls, 0);
}

static void fuel_without_a_metered_image_is_refused(void **state)
{
    struct fixture *f = *state;
    struct cis_engine_instance_options o = options_for(&f->host);
    o.limits.fuel = 100;
    f->program = program_with(f->engine, "(module)", false);
    assert_fails(CIS_E_USAGE, "without fuel",
                 cis_engine_instance_new(f->engine, f->program, &o, &f->guest, err));
}

static void trap_of_a_nested_call_ends_the_run_even_if_the_handler_ignores_it(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (import \"t\" \"swallow\" (func $s (result i32)))"
           " (import \"t\" \"note\" (func $note (param i32)))"
           " (func (export \"boom\") unreachable)"
           " (func (export \"f\") (drop (call $s)) (call $note (i32.const 1))))");
    assert_fails(CIS_E_TRAP, "unreachable", call_v(f, "f", err));
    assert_int_equal(f->host.nested, CIS_E_TRAP);
    assert_int_equal(f->host.calls, 0);
}

static void limit_named_by_a_handler_is_recorded(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (import \"t\" \"output\" (func $o)) (func (export \"f\") (call $o)))");
    assert_fails(CIS_E_BUDGET, "output", call_v(f, "f", err));
    assert_string_equal(cis_engine_instance_end(f->guest)->limit, "output");
    assert_int_equal(cis_engine_instance_end(f->guest)->reached, 11);
}

static void handler_that_fails_without_a_message_gets_that_of_its_code(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (import \"t\" \"silent\" (func $o)) (func (export \"f\") (call $o)))");
    assert_fails(CIS_E_IO, "input/output failure", call_v(f, "f", err));
}

static void missing_imports_are_named_with_type_and_count(void **state)
{
    struct fixture *f = *state;
    cis_linked *p = NULL;
    cis_engine_module *image =
        image_with(f->engine,
                   "(module (import \"t\" \"note\" (func (param i32)))"
                   " (import \"env\" \"nope\" (func (param i64) (result f32)))"
                   " (import \"env\" \"nor\" (global i32))"
                   " (import \"t\" \"note\" (func (param i64))))",
                   false);
    assert_fails(CIS_E_IMPORT, "env.nope (I:f), which nothing provides (and 2 more)",
                 cis_linked_new(image, test_resolve, NULL, &p, err));
    assert_null(p);
    cis_engine_module_unref(image);
}

static void export_that_is_missing_or_of_another_type_is_no_entry(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (memory (export \"memory\") 1) (func (export \"f\") (param i32)))");
    assert_fails(CIS_E_ENTRY, "no function f of type (:)", call_v(f, "f", err));
    assert_fails(CIS_E_ENTRY, "no function g", call_v(f, "g", err));
    assert_fails(CIS_E_ENTRY, "no function memory", call_v(f, "memory", err));
    assert_int_equal(cis_engine_instance_end(f->guest)->code, CIS_OK);
}

struct small {
    struct fixture *f;
    cis_code fine, deep;
};

static void *on_small_stack(void *arg)
{
    struct small *s = arg;
    struct fixture *f = s->f;
    s->fine = call_v(f, "fine", NULL);
    s->deep = call_v(f, "deep", NULL);
    return NULL;
}

static void deep_recursion_on_a_small_thread_stack_is_a_trap(void **state)
{
    struct fixture *f = *state;
    use(f, "(module (func (export \"fine\")) (func $deep (export \"deep\") (call $deep)))");
    struct small s = {f, CIS_E_INTERNAL, CIS_E_INTERNAL};
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    assert_int_equal(pthread_create(&thread, &attr, on_small_stack, &s), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    assert_int_equal(s.fine, CIS_OK);
    assert_int_equal(s.deep, CIS_E_TRAP);
    assert_non_null(strstr(cis_engine_instance_end(f->guest)->error.msg, "stack overflow"));
}

static void every_failing_allocation_is_an_error_and_leaks_nothing(void **state)
{
    struct fixture *f = *state;
    cis_engine_module *image = image_with(f->engine, ENV_MEMORY, false);
    struct cis_engine_instance_options o = options_for(&f->host);
    o.tenant = "somebody new";
    for (size_t n = 0;; n++) {
        cis_mem_fail_after(n);
        cis_linked *program = NULL;
        cis_code code = cis_linked_new(image, test_resolve, NULL, &program, NULL);
        if (code == CIS_OK) {
            cis_engine_instance *guest = NULL;
            code = cis_engine_instance_new(f->engine, program, &o, &guest, NULL);
            cis_engine_instance_free(guest);
            cis_linked_unref(program);
        }
        cis_mem_fail_after(SIZE_MAX);
        if (code == CIS_OK) {
            assert_true(n > 2);
            break;
        }
        assert_int_equal(code, CIS_E_NOMEM);
    }
    cis_engine_module_unref(image);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(call_returns_what_the_guest_computes),
        T(values_of_every_number_type_travel_both_ways),
        T(host_function_reads_guest_memory),
        T(host_sees_memory_that_the_guest_grew_in_the_same_call),
        T(kept_instance_keeps_its_state_between_calls),
        T(start_function_runs_when_the_guest_is_made),
        T(same_rows_give_the_same_program),
        T(imported_memory_is_seen_by_guest_and_host),
        T(imported_memory_counts_and_starts_clean_each_time),
        T(host_grows_the_memory_and_gets_the_new_pages),
        T(trace_sees_arguments_result_and_code),
        T(pointers_are_checked_against_the_memory_as_it_is),
        T(guest_without_a_memory_has_only_empty_spans),
        T(memory_grow_past_the_limit_fails_inside_the_guest),
        T(growth_above_the_modules_own_maximum_is_not_the_limit),
        T(tables_count_with_the_memories),
        T(table_grow_past_the_element_limit_fails_inside_the_guest),
        T(minimum_above_the_limit_ends_before_anything_runs),
        T(imported_memory_above_the_limit_ends_before_anything_runs),
        T(calls_nest_through_the_host_only_so_deep),
        T(pooled_slots_show_nothing_of_the_guest_before),
        T(module_that_does_not_fit_the_pool_runs_outside_of_it),
        T(new_deadline_lets_a_kept_instance_go_on),
        T(refused_call_returns_the_denied_value_and_is_counted),
        T(granted_call_reaches_its_handler_and_is_counted),
        T(other_grants_do_not_help),
        T(refused_call_that_cannot_say_no_ends_the_run),
        T(refusal_by_a_handler_is_counted_as_refused),
        T(trap_carries_the_names_of_the_functions),
        T(each_kind_of_trap_says_what_it_was),
        T(trap_in_the_start_function_leaves_an_ended_guest),
        T(data_outside_of_the_memory_is_a_trap),
        T(bad_pointer_from_the_guest_ends_the_run),
        T(guest_that_has_ended_refuses_further_calls),
        T(exit_ends_the_run_with_its_code),
        T(endless_loop_ends_at_its_deadline),
        T(endless_start_function_ends_at_its_deadline),
        T(cancellation_from_another_thread_ends_a_loop),
        T(cancelled_token_stops_a_guest_before_it_starts),
        T(fuel_ends_a_loop_and_is_counted),
        T(host_call_that_costs_more_fuel_than_is_left_ends_the_run),
        T(fuel_without_a_metered_image_is_refused),
        T(trap_of_a_nested_call_ends_the_run_even_if_the_handler_ignores_it),
        T(limit_named_by_a_handler_is_recorded),
        T(handler_that_fails_without_a_message_gets_that_of_its_code),
        T(missing_imports_are_named_with_type_and_count),
        T(export_that_is_missing_or_of_another_type_is_no_entry),
        T(deep_recursion_on_a_small_thread_stack_is_a_trap),
        T(every_failing_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
