/* Recordings: every way for a host to act on a guest and for a guest to end, recorded and played
 * with nobody there to ask; and the first act that differs, told by its number. */
#include "recordings.h"

#include <sys/resource.h>

#define IMPORTS                                                                                    \
    "(import \"t\" \"now\" (func $now (result i64)))"                                              \
    "(import \"t\" \"fill\" (func $fill (param i32 i32)))"                                         \
    "(import \"t\" \"sum\" (func $sum (param i32 i32) (result i32)))"                              \
    "(import \"t\" \"say\" (func $say (param i32 i32 i32)))"

/* ---- what is played is what was ---- */

/* The clock to 0, random bytes behind it; both go to stdout, 4,000 times 64 bytes. */
static const char LOOP[] =
    "(module " IMPORTS " (memory (export \"memory\") 1) (func (export \"run\") (local $i i32)"
    " (loop $l (i64.store (i32.const 0) (call $now)) (call $fill (i32.const 8) (i32.const 56))"
    "  (i64.store (i32.const 16) (i64.add (i64.load (i32.const 0)) (i64.load (i32.const 8))))"
    "  (call $say (i32.const 1) (i32.const 0) (i32.const 64))"
    "  (local.set $i (i32.add (local.get $i) (i32.const 1)))"
    "  (br_if $l (i32.lt_u (local.get $i) (i32.const 4000))))))";

static void the_output_of_a_run_is_the_same_byte_for_byte(void **state)
{
    struct recordings *f = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf first = CIS_BUF_INIT(1u << 20);
    recording_run(f, LOOP);
    assert_played(f, CIS_OK);
    assert_int_equal(f->shown[1].len, 4000 * 64);
    cis_buf_add(&first, f->shown[1].ptr, f->shown[1].len);
    assert_played(f, CIS_OK);
    assert_memory_equal(first.ptr, f->shown[1].ptr, first.len);
    /* Another run is another run. */
    recording_run(f, LOOP);
    assert_played(f, CIS_OK);
    assert_memory_not_equal(first.ptr, f->shown[1].ptr, first.len);
}

static void what_was_shown_live_is_what_the_play_shows(void **state)
{
    struct recordings *f = *state;
    union cis_slot io[1] = {{0}};
    assert_ok(recording_begin(f, LOOP));
    assert_ok(recording_call(f, "run", ":", io));
    uint8_t last[64];
    memcpy(last, cis_engine_instance_at(f->guest, 0, 64), 64);
    assert_ok(recording_end(f));
    assert_played(f, CIS_OK);
    assert_memory_equal(f->shown[1].ptr + 3999 * 64, last, 64);
}

static void text_that_the_host_says_is_shown_in_its_place(void **state)
{
    struct recordings *f = *state;
    recording_run(f, "(module " IMPORTS "(import \"t\" \"tell\" (func $tell))"
                     " (memory (export \"memory\") 1) (data (i32.const 0) \"one\\ntwo\\n\")"
                     " (func (export \"run\") (call $say (i32.const 2) (i32.const 0) (i32.const 4))"
                     "  (call $tell) (call $say (i32.const 2) (i32.const 4) (i32.const 4))))");
    assert_played(f, CIS_OK);
    assert_string_equal(cis_buf_cstr(&f->shown[2]), "one\ntold by the host\ntwo\n");
    assert_int_equal(f->shown[1].len, 0);
}

static void numbers_of_every_kind_come_back_to_the_bit(void **state)
{
    struct recordings *f = *state;
    union cis_slot io[4] = {{.i64 = -5}, {.f32 = 0.1f}, {.f64 = 1e300}};
    assert_ok(recording_begin(
        f, "(module (import \"t\" \"mix\" (func $mix (param i64 f32 f64) (result f64)))"
           " (import \"t\" \"real\" (func $real (result f64)))"
           " (memory (export \"memory\") 1)"
           " (func (export \"f\") (param i64 f32 f64) (result f64) (f64.store (i32.const 0)"
           "   (f64.div (call $real) (f64.const 0.3)))"
           "  (f64.store (i32.const 8) (f64.sqrt (f64.neg (call $real))))"
           "  (call $mix (local.get 0) (local.get 1) (f64.load (i32.const 8))))"
           " (func (export \"v\") (param i32 v128) (result v128) (local.get 1)))"));
    assert_ok(recording_call(f, "f", "IfF:F", io));
    io[0] = (union cis_slot){.i32 = 3};
    memset(io[1].bytes, 0x5a, 16);
    assert_ok(recording_call(f, "v", "iv:v", io));
    assert_ok(recording_end(f));
    assert_played(f, CIS_OK);
}

static void writes_are_kept_as_far_as_they_went(void **state)
{
    struct recordings *f = *state;
    struct stat st;
    recording_run(f,
                  "(module " IMPORTS "(import \"t\" \"few\" (func $few (param i32) (result i32)))"
                  " (memory (export \"memory\") 1) (func (export \"run\")"
                  "  (call $fill (i32.const 0) (i32.const 65536)) (drop (call $few (i32.const 9)))"
                  "  (call $say (i32.const 1) (i32.const 0) (i32.const 65536))))");
    assert_int_equal(stat(f->path, &st), 0);
    assert_in_range(st.st_size, 65536, 65536 + 2000);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_played(f, CIS_OK);
}

static void many_small_and_overlapping_writes_are_all_kept(void **state)
{
    struct recordings *f = *state;
    recording_run(f, "(module " IMPORTS "(import \"t\" \"dots\" (func $dots (param i32)))"
                     " (import \"t\" \"twice\" (func $twice (param i32)))"
                     " (memory (export \"memory\") 1) (func (export \"run\")"
                     "  (call $dots (i32.const 100)) (call $twice (i32.const 7000))"
                     "  (drop (call $sum (i32.const 0) (i32.const 65536)))"
                     "  (call $say (i32.const 1) (i32.const 0) (i32.const 8000))))");
    assert_played(f, CIS_OK);
    assert_int_equal(f->shown[1].len, 8000);
}

static void a_write_larger_than_any_frame_is_kept(void **state)
{
    struct recordings *f = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf live = CIS_BUF_INIT(16u << 20);
    union cis_slot io[1] = {{0}};
    assert_ok(
        recording_begin(f, "(module " IMPORTS " (memory (export \"memory\") 160)"
                           " (func (export \"run\") (call $fill (i32.const 3) (i32.const 9000001))"
                           "  (call $say (i32.const 1) (i32.const 3) (i32.const 9000001))))"));
    assert_ok(recording_call(f, "run", ":", io));
    cis_buf_add(&live, cis_engine_instance_at(f->guest, 3, 9000001), 9000001);
    assert_ok(recording_end(f));
    assert_played(f, CIS_OK);
    assert_int_equal(f->shown[1].len, live.len);
    assert_memory_equal(f->shown[1].ptr, live.ptr, live.len);
}

static void what_the_host_writes_between_calls_is_kept(void **state)
{
    struct recordings *f = *state;
    union cis_slot io[2] = {{.i32 = 40}, {.i32 = 5}};
    assert_ok(recording_begin(f, "(module (memory (export \"memory\") 1) (func (export \"sum\")"
                                 " (param i32 i32) (result i32) (local $s i32) (loop $l"
                                 "  (local.set $s (i32.add (local.get $s)"
                                 "    (i32.load8_u (local.get 0))))"
                                 "  (local.set 0 (i32.add (local.get 0) (i32.const 1)))"
                                 "  (local.set 1 (i32.sub (local.get 1) (i32.const 1)))"
                                 "  (br_if $l (local.get 1))) (local.get $s)))"));
    memcpy(cis_engine_instance_out(f->guest, 40, 5), "\1\2\3\4\5", 5);
    assert_ok(recording_call(f, "sum", "ii:i", io));
    assert_int_equal(io[0].i32, 15);
    assert_memory_equal(cis_engine_instance_at(f->guest, 40, 5), "\1\2\3\4\5", 5);
    assert_ok(recording_end(f));
    assert_played(f, CIS_OK);
}

static const char NESTED[] =
    "(module " IMPORTS "(import \"t\" \"down\" (func $down (param i32) (result i32)))"
    " (import \"t\" \"more\" (func $more (param i32) (result i32)))"
    " (memory (export \"memory\") 1)"
    " (func (export \"down\") (param i32) (result i32)"
    "  (i64.store (i32.add (i32.const 512) (i32.mul (local.get 0) (i32.const 8))) (call $now))"
    "  (i32.store (i32.const 128) (call $more (i32.const 70000)))"
    "  (if (result i32) (local.get 0)"
    "   (then (i32.add (i32.load (i32.const 256))"
    "     (call $down (i32.sub (local.get 0) (i32.const 1)))))"
    "   (else (i32.load (i32.const 260)))))"
    " (func (export \"run\") (i32.store (i32.const 132) (call $down (i32.const 5)))"
    "  (call $say (i32.const 1) (i32.const 0) (i32.const 1024))"
    "  (call $say (i32.const 1) (i32.load (i32.const 128)) (i32.const 16))))";

static void calls_within_calls_and_growth_by_the_host_are_played(void **state)
{
    struct recordings *f = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf live = CIS_BUF_INIT(1u << 20);
    union cis_slot io[1] = {{0}};
    assert_ok(recording_begin(f, NESTED));
    assert_ok(recording_call(f, "run", ":", io));
    cis_buf_add(&live, cis_engine_instance_at(f->guest, 0, 1024), 1024);
    assert_int_equal(cis_engine_instance_memory_size(f->guest), 13 * 65536);
    assert_ok(recording_end(f));
    assert_played(f, CIS_OK);
    assert_int_equal(f->shown[1].len, 1024 + 16);
    assert_memory_equal(f->shown[1].ptr, live.ptr, live.len);
}

static void a_start_function_and_an_imported_memory_are_played(void **state)
{
    struct recordings *f = *state;
    recording_run(f, "(module " IMPORTS "(import \"env\" \"memory\" (memory 2))"
                     " (func $s (i64.store (i32.const 0) (call $now)))"
                     " (start $s) (func (export \"run\")"
                     "  (call $say (i32.const 1) (i32.const 0) (i32.const 8))))");
    assert_played(f, CIS_OK);
    assert_int_equal(f->shown[1].len, 8);
}

static void growth_is_answered_as_it_was(void **state)
{
    struct recordings *f = *state;
    f->limits.memory_bytes = 5 * 65536;
    /* 1 page: to 3, to 6 (refused), to 4 (beyond the table's bytes: refused), table to 900. */
    recording_run(f,
                  "(module " IMPORTS " (memory (export \"memory\") 1) (table $t 10 funcref)"
                  " (func (export \"run\")"
                  "  (i32.store (i32.const 0) (memory.grow (i32.const 2)))"
                  "  (i32.store (i32.const 4) (memory.grow (i32.const 3)))"
                  "  (i32.store (i32.const 8) (table.grow $t (ref.null func) (i32.const 900)))"
                  "  (i32.store (i32.const 12) (table.grow $t (ref.null func) (i32.const 90000)))"
                  "  (i32.store (i32.const 16) (memory.grow (i32.const 100000)))"
                  "  (call $say (i32.const 1) (i32.const 0) (i32.const 20))))");
    assert_played(f, CIS_OK);
    const int32_t want[] = {1, -1, 10, -1, -1};
    assert_int_equal(f->shown[1].len, sizeof want);
    assert_memory_equal(f->shown[1].ptr, want, sizeof want);
}

/* Two memories' minimums fit one by one and not together. */
static void a_guest_that_is_too_large_to_start_is_played(void **state)
{
    struct recordings *f = *state;
    f->limits.memory_bytes = 3 * 65536 + 10;
    assert_int_equal(recording_begin(f, "(module (import \"env\" \"memory\" (memory 2))"
                                        " (table 2 funcref) (table 60000 funcref))"),
                     CIS_E_MEMORY);
    assert_ok(recording_end(f));
    assert_played(f, CIS_E_MEMORY);
    f->limits = (struct cis_limits){.memory_bytes = 1u << 20, .table_elements = 10};
    assert_int_equal(recording_begin(f, "(module (table 5 funcref) (table 6 funcref))"),
                     CIS_E_MEMORY);
    assert_ok(recording_end(f));
    assert_played(f, CIS_E_MEMORY);
}

static void a_kept_instance_is_played_call_by_call(void **state)
{
    struct recordings *f = *state;
    union cis_slot io[1] = {{0}};
    struct cis_stop stop = {CIS_NEVER, NULL};
    f->fuel = true;
    f->limits = (struct cis_limits){.memory_bytes = 1u << 20, .fuel = 1000000};
    assert_ok(recording_begin(f, LOOP));
    for (int i = 0; i < 3; i++) {
        cis_engine_instance_rearm(f->guest, &stop, 2000000);
        assert_ok(recording_call(f, "run", ":", io));
    }
    assert_ok(recording_end(f));
    assert_played(f, CIS_OK);
    assert_int_equal(f->shown[1].len, 3 * 4000 * 64);
}

/* ---- ends ---- */

static void a_trap_is_the_same_trap(void **state)
{
    struct recordings *f = *state;
    recording_run(f, "(module " IMPORTS "(memory (export \"memory\") 1) (func (export \"run\")"
                     " (drop (call $now)) (i32.store (i32.const 65536) (i32.const 1))))");
    assert_played(f, CIS_E_TRAP);
    assert_non_null(strstr(f->outcome.message, "out of bounds"));
    recording_run(f, "(module (func $f (export \"run\") (call $f)))");
    assert_played(f, CIS_E_TRAP);
    assert_non_null(strstr(f->outcome.message, "stack overflow"));
    assert_int_equal(recording_begin(f, "(module (func $f unreachable) (start $f))"), CIS_E_TRAP);
    assert_ok(recording_end(f));
    assert_played(f, CIS_E_TRAP);
}

static void an_exit_keeps_its_code(void **state)
{
    struct recordings *f = *state;
    recording_run(f, "(module " IMPORTS "(import \"t\" \"exit\" (func $exit (param i32)))"
                     " (memory (export \"memory\") 1) (func (export \"run\")"
                     "  (i64.store (i32.const 0) (call $now)) (call $exit (i32.const -7))))");
    assert_played(f, CIS_E_FAILED);
    assert_true(f->outcome.exited);
    assert_int_equal(f->outcome.exit_code, -7);
}

static void a_limit_that_a_handler_names_is_played(void **state)
{
    struct recordings *f = *state;
    recording_run(f,
                  "(module (import \"t\" \"output\" (func $o)) (func (export \"run\") (call $o)))");
    assert_played(f, CIS_E_BUDGET);
}

static void a_guest_does_not_write_more_than_the_recording_may_hold(void **state)
{
    struct recordings *f = *state;
    union cis_slot io[1] = {{0}};
    struct stat st;
    f->bytes_max = 100000;
    static const char wat[] =
        "(module " IMPORTS " (memory (export \"memory\") 1) (func (export \"run\") (loop $l"
        "  (call $say (i32.const 1) (i32.const 0) (i32.const 4096)) (br $l))))";
    assert_int_equal(recording_begin(f, wat), CIS_OK);
    assert_int_equal(recording_call(f, "run", ":", io), CIS_E_LIMIT);
    assert_non_null(strstr(f->err.msg, "larger than 100000 bytes (raise it with --record-max)"));
    assert_int_equal(recording_end(f), CIS_E_LIMIT);
    assert_int_equal(stat(f->path, &st), 0);
    assert_in_range(st.st_size, 1, 100000);
    f->bytes_max = 0;
}

static void fuel_ends_at_the_same_unit(void **state)
{
    struct recordings *f = *state;
    f->fuel = true;
    f->limits = (struct cis_limits){.memory_bytes = 1u << 20, .fuel = 50000};
    static const char wat[] =
        "(module " IMPORTS "(import \"t\" \"work\" (func $work (param i32)))"
        " (memory (export \"memory\") 1) (func (export \"run\") (loop $l"
        "  (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 1)))"
        "  (call $say (i32.const 1) (i32.const 0) (i32.const 8)) (call $work (i32.const 50))"
        "  (br $l))))";
    recording_run(f, wat);
    assert_played(f, CIS_E_FUEL);
    size_t len = f->shown[1].len;
    assert_in_range(len, 8, 50000);
    assert_played(f, CIS_E_FUEL);
    assert_int_equal(f->shown[1].len, len);
    /* Used up by a handler. */
    f->limits.fuel = 200;
    recording_run(f, "(module (import \"t\" \"work\" (func $work (param i32)))"
                     " (func (export \"run\") (call $work (i32.const 500))))");
    assert_played(f, CIS_E_FUEL);
}

static void a_module_with_metering_and_no_limit_is_played(void **state)
{
    struct recordings *f = *state;
    f->fuel = true;
    recording_run(f, LOOP);
    assert_played(f, CIS_OK);
    assert_int_equal(f->shown[1].len, 4000 * 64);
}

static const char SPIN_AFTER[] = "(module " IMPORTS " (memory (export \"memory\") 1)"
                                 " (func (export \"run\") (i64.store (i32.const 0) (call $now))"
                                 "  (call $say (i32.const 1) (i32.const 0) (i32.const 8))"
                                 "  (loop $l (br $l))))";

static void a_deadline_in_the_middle_of_a_loop_is_played(void **state)
{
    struct recordings *f = *state;
    f->time_ns = 30 * CIS_NS_PER_MS;
    recording_run(f, SPIN_AFTER);
    assert_played(f, CIS_E_DEADLINE);
    assert_int_equal(f->shown[1].len, 8);
}

/* The recorded run never got to the second call; the play is stopped there at the latest. */
static void what_a_stopped_guest_would_have_done_next_is_not_done(void **state)
{
    struct recordings *f = *state;
    f->time_ns = 60 * CIS_NS_PER_MS;
    static const char wat[] =
        "(module " IMPORTS " (memory (export \"memory\") 1) (func (export \"run\") (local $i i64)"
        "  (i64.store (i32.const 0) (call $now))"
        "  (call $say (i32.const 1) (i32.const 0) (i32.const 8))"
        "  (loop $l (local.set $i (i64.add (local.get $i) (i64.const 1)))"
        "   (br_if $l (i64.lt_u (local.get $i) (i64.load (i32.const 16)))))"
        "  (drop (memory.grow (i32.const 1)))"
        "  (call $say (i32.const 1) (i32.const 0) (i32.const 8)))"
        " (data (i32.const 16) \"\\00\\00\\00\\00\\ff\\00\\00\\00\"))";
    recording_run(f, wat);
    assert_played(f, CIS_E_DEADLINE);
    assert_int_equal(f->shown[1].len, 8);
    /* As if this machine were faster: the loop has one turn now. */
    recording_edit_text(f, "\\00\\ff\\00", "\\00\\00\\00");
    assert_played(f, CIS_E_DEADLINE);
    assert_int_equal(f->shown[1].len, 8);
}

static void a_cancellation_is_played(void **state)
{
    struct recordings *f = *state;
    assert_ok(cis_cancel_new(&f->host.fire, err));
    recording_run(f,
                  "(module (import \"t\" \"fire\" (func $fire)) (func (export \"run\") (call $fire)"
                  " (loop $l (br $l))))");
    cis_cancel_unref(f->host.fire);
    f->host.fire = NULL;
    assert_played(f, CIS_E_CANCELLED);
}

static void a_deadline_within_a_host_call_is_played(void **state)
{
    struct recordings *f = *state;
    recording_run(f, "(module (import \"t\" \"late\" (func $late)) (func (export \"run\")"
                     " (call $late) (loop $l (br $l))))");
    assert_played(f, CIS_E_DEADLINE);
}

static void a_deadline_in_a_nested_call_is_played(void **state)
{
    struct recordings *f = *state;
    f->time_ns = 30 * CIS_NS_PER_MS;
    recording_run(f,
                  "(module (import \"t\" \"back\" (func $back (param i32) (result i32)))"
                  " (func (export \"down\") (param i32) (result i32) (loop $l (br $l)) unreachable)"
                  " (func (export \"run\") (drop (call $back (i32.const 1)))))");
    assert_played(f, CIS_E_DEADLINE);
}

static void a_trap_in_a_nested_call_is_played(void **state)
{
    struct recordings *f = *state;
    recording_run(f, "(module (import \"t\" \"swallow\" (func $s (result i32)))"
                     " (func (export \"boom\") unreachable)"
                     " (func (export \"run\") (drop (call $s))))");
    assert_played(f, CIS_E_TRAP);
}

static void a_refused_call_is_played(void **state)
{
    struct recordings *f = *state;
    recording_run(f,
                  "(module " IMPORTS "(import \"t\" \"guarded\" (func $g (param i32) (result i32)))"
                  " (memory (export \"memory\") 1) (func (export \"run\")"
                  "  (i32.store (i32.const 0) (call $g (i32.const 3)))"
                  "  (call $say (i32.const 1) (i32.const 0) (i32.const 4))))");
    assert_played(f, CIS_OK);
    assert_int_equal((int32_t)cis_le32(f->shown[1].ptr), -7);
}

static void a_play_ends_by_its_own_deadline_and_says_so(void **state)
{
    struct recordings *f = *state;
    assert_ok(cis_cancel_new(&f->host.fire, err));
    cis_cancel *mine = f->host.fire;
    f->host.fire = NULL;
    recording_run(f, LOOP);
    f->host.fire = mine;
    cis_cancel_fire(mine);
    assert_int_equal(recording_play(f), CIS_E_CANCELLED);
}

/* ---- the first difference ---- */

/* Recorded with one module, played with another of the same length. */
static const char PLAIN[] =
    "(module " IMPORTS " (import \"t\" \"note\" (func $note (param i32)))"
    " (memory (export \"memory\") 1) (global $one i32 (i32.const 1))"
    " (data (i32.const 300) \"hello, world\")"
    " (func (export \"run\") (drop (call $now)) (drop (call $sum (i32.const 300) (i32.const 12)))"
    "  (call $note (i32.const 111)) (drop (call $sum (i32.const 0) (i32.const 222)))"
    "  (if (global.get $one) (then (call $note (i32.const 5)))))"
    " (func (export \"two\") (result i32) (i32.const 333)))";

static void another_argument_is_told_by_number_and_name(void **state)
{
    struct recordings *f = *state;
    recording_run(f, PLAIN);
    recording_edit_text(f, "const 111", "const 119");
    assert_differs(f, "call 3 (note): argument 1 (n) is 119 here, 111 recorded");
}

static void other_bytes_that_the_host_reads_are_told(void **state)
{
    struct recordings *f = *state;
    recording_run(f, PLAIN);
    recording_edit_text(f, "\"hello, world\"", "\"hello. world\"");
    assert_differs(f, "call 2 (sum): byte 5 of the 12 that are read at 0x12c is 0x2e here, 0x2c "
                      "recorded");
    recording_run(f, PLAIN);
    recording_edit_text(f, "(i32.const 300) \"hel", "(i32.const 400) \"hel");
    assert_int_equal(recording_play(f), CIS_E_DIVERGED);
    /* More than is kept as it is. */
    recording_run(f, LOOP);
    recording_edit_text(f, "(i32.const 8) (i32.const 56)", "(i32.const 9) (i32.const 56)");
    assert_differs(f, "call 2 (fill): argument 1 (ptr) is 9 here, 8 recorded");
    recording_run(f,
                  "(module " IMPORTS " (memory (export \"memory\") 1) (data (i32.const 99) \"x\")"
                  " (func (export \"run\") (drop (call $sum (i32.const 0) (i32.const 222)))))");
    recording_edit_text(f, "\"x\"", "\"y\"");
    assert_differs(f, "call 1 (sum): the 222 bytes that are read at 0x0 are not the recorded ones");
}

static void another_function_is_told(void **state)
{
    struct recordings *f = *state;
    recording_run(f, PLAIN);
    recording_edit_text(f, "(call $note (i32.const 111))", "(drop (call $now))          ");
    assert_differs(f, "call 3 (now): is made here; when this was recorded, it was one of note");
}

static void a_call_too_many_or_too_few_is_told(void **state)
{
    struct recordings *f = *state;
    recording_run(f, PLAIN);
    recording_edit_text(f, "(global $one i32 (i32.const 1))", "(global $one i32 (i32.const 0))");
    assert_differs(f, "after call 4: the guest returns here; when this was recorded, it went on");
    static const char zero[] =
        "(module " IMPORTS " (memory (export \"memory\") 1) (global $one i32 (i32.const 0))"
        " (func (export \"run\") (drop (call $now)) (if (global.get $one) (then"
        "  (drop (call $sum (i32.const 1) (i32.const 1)))))))";
    recording_run(f, zero);
    recording_edit_text(f, "(global $one i32 (i32.const 0))", "(global $one i32 (i32.const 1))");
    assert_differs(f, "call 2 (sum): is made here; when this was recorded, the guest was done "
                      "before it");
}

static void other_growth_and_results_are_told(void **state)
{
    struct recordings *f = *state;
    union cis_slot io[1];
    static const char wat[] = "(module " IMPORTS " (memory (export \"memory\") 1)"
                              " (func (export \"run\") (drop (memory.grow (i32.const 2)))"
                              "  (drop (call $now))))";
    recording_run(f, wat);
    recording_edit_text(f, "grow (i32.const 2)", "grow (i32.const 3)");
    assert_differs(f, "after call 0: a memory is to grow from 65536 to 262144 here, a memory from "
                      "65536 to 196608 when this was recorded");
    recording_run(f, wat);
    recording_edit_text(f, "(drop (memory.grow (i32.const 2)))",
                        "(nop)                             ");
    assert_differs(f, "call 1 (now): is made here; when this was recorded, memory was to grow");
    assert_ok(recording_begin(f, PLAIN));
    assert_ok(recording_call(f, "two", ":i", io));
    assert_ok(recording_end(f));
    recording_edit_text(f, "const 333", "const 334");
    assert_differs(f, "after call 0: the guest returns 334 here, 333 recorded");
}

static void another_end_is_told(void **state)
{
    struct recordings *f = *state;
    recording_run(f, "(module (func (export \"run\") (nop)        ))");
    recording_edit_text(f, "(nop)        ", "(unreachable)");
    assert_int_equal(recording_play(f), CIS_E_DIVERGED);
    assert_non_null(
        strstr(f->err.msg, "after call 0: the guest ends here: guest.wat: unreachable"));
    recording_run(f, "(module (func (export \"run\") (unreachable)))");
    recording_edit_text(f, "(unreachable)", "(nop)        ");
    assert_int_equal(recording_play(f), CIS_E_DIVERGED);
    assert_non_null(strstr(f->err.msg, "the guest ends here: it returns; when this was recorded"));
}

static void another_way_to_the_same_call_costs_other_fuel(void **state)
{
    struct recordings *f = *state;
    f->fuel = true;
    f->limits = (struct cis_limits){.memory_bytes = 1u << 20, .fuel = 50000};
    recording_run(f, "(module " IMPORTS " (memory 1) (func (export \"run\") (local i32) (nop)"
                     " (local.set 0 (i32.const 1)) (drop (call $now))))");
    recording_edit_text(f, "(local.set 0 (i32.const 1))", "                           ");
    assert_int_equal(recording_play(f), CIS_E_DIVERGED);
    assert_non_null(strstr(f->err.msg, "call 1 (now): 499"));
    assert_non_null(strstr(f->err.msg, "units of fuel are left here"));
}

static void a_difference_under_another_engine_names_both(void **state)
{
    struct recordings *f = *state;
    const char *own = strchr(cis_engine_version(), ' ') + 1;
    char here[16] = "", there[16] = "", message[200];
    snprintf(here, sizeof here, "%.*s", (int)strcspn(own, " "), own);
    snprintf(there, sizeof there, "%s", here);
    there[0] = '1';
    recording_run(f, PLAIN);
    recording_edit(f, here, there, strlen(here));
    assert_played(f, CIS_OK); /* another engine may well do the same */
    recording_edit_text(f, "const 111", "const 119");
    snprintf(message, sizeof message,
             "recorded with engine %s, this is %s: call 3 (note): argument 1 (n) is 119 here, 111 "
             "recorded",
             there, here);
    assert_differs(f, message);
}

/* ---- what cannot be recorded or played ---- */

/* As a full disk: what is written beyond `bytes` of a file fails. */
static void file_limit(rlim_t bytes)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct rlimit limit;
    sigaction(SIGXFSZ, &ignore, NULL);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void a_run_whose_recording_cannot_be_written_fails(void **state)
{
    struct recordings *f = *state;
    union cis_slot io[1] = {{0}};
    cis_recording *recording = NULL;
    struct cis_recording_source source = {.name = "x"};
    /* Small: only the end mark is too much. */
    assert_ok(recording_begin(f, PLAIN));
    assert_ok(recording_call(f, "run", ":", io));
    file_limit(100);
    assert_int_equal(recording_end(f), CIS_E_IO);
    file_limit(RLIM_INFINITY);
    assert_non_null(strstr(f->err.msg, "run.recording: the run cannot be recorded any further"));
    assert_int_equal(recording_play(f), CIS_E_DAMAGED);
    assert_non_null(strstr(f->err.msg, "cut off at byte 100"));
    /* Large: the guest is ended on its way. */
    assert_ok(recording_begin(f, LOOP));
    file_limit(100000);
    assert_int_equal(recording_call(f, "run", ":", io), CIS_E_IO);
    assert_non_null(strstr(f->err.msg, "File too large"));
    assert_int_equal(cis_engine_instance_end(f->guest)->code, CIS_E_IO);
    assert_int_equal(recording_end(f), CIS_E_IO);
    file_limit(RLIM_INFINITY);
    /* What there is of it is played, and does not pass for the whole. */
    assert_int_equal(recording_play(f), CIS_E_DAMAGED);
    assert_non_null(strstr(f->err.msg, "cut off at byte 100000, after call "));
    assert_in_range(f->shown[1].len, 64 * 100, 100000);

    assert_fails(CIS_E_IO, "/dev/full: the run cannot be recorded any further: No space left",
                 cis_recording_record("/dev/full", &source, &recording, err));
    snprintf(f->path, sizeof f->path, "%s/no/such/folder", f->dir);
    assert_fails(CIS_E_IO, "no/such/folder",
                 cis_recording_record(f->path, &source, &recording, err));
}

static void a_module_that_was_not_loaded_for_it_is_not_recorded(void **state)
{
    struct recordings *f = *state;
    struct cis_bytes module = cis_bytes_of(PLAIN, sizeof PLAIN - 1);
    struct cis_recording_source source = {.module = module, .name = "guest.wat"};
    struct cis_engine_instance_options o = options_for(&f->host);
    cis_engine_module *image = recording_image(f, module, false, 0);
    assert_ok(cis_linked_new(image, recording_resolve, NULL, &f->program, err));
    cis_engine_module_unref(image);
    assert_ok(cis_recording_record(f->path, &source, &f->recording, err));
    cis_recording_watch(f->recording, &o);
    assert_fails(CIS_E_USAGE, "loaded for runs that are not recorded",
                 cis_engine_instance_new(f->engine, f->program, &o, &f->guest, err));
}

static void another_module_than_the_recorded_one_is_not_played(void **state)
{
    struct recordings *f = *state;
    cis_recording *recording = NULL;
    recording_run(f, PLAIN);
    assert_ok(cis_recording_open(f->path, &recording, err));
    cis_engine_module *image =
        recording_image(f, cis_bytes_of(LOOP, sizeof LOOP - 1), false, CIS_FEATURE_CANONICAL_NAN);
    struct cis_recording_player player = {.engine = f->engine};
    assert_ok(cis_linked_new(image, nobody_resolve, NULL, &player.program, err));
    assert_fails(CIS_E_USAGE, "is not the module that was recorded in",
                 cis_recording_play(recording, &player, &f->outcome, err));
    cis_linked_unref(player.program);
    cis_engine_module_unref(image);
    image = recording_image(f, cis_bytes_of(PLAIN, sizeof PLAIN - 1), false, 0);
    assert_ok(cis_linked_new(image, nobody_resolve, NULL, &player.program, err));
    assert_fails(CIS_E_USAGE, "loaded with other settings",
                 cis_recording_play(recording, &player, &f->outcome, err));
    cis_linked_unref(player.program);
    cis_engine_module_unref(image);
    cis_recording_free(recording);
}

static void a_recording_that_wants_more_memory_than_allowed_is_refused(void **state)
{
    struct recordings *f = *state;
    f->limits.memory_bytes = 65u << 20;
    recording_run(f, PLAIN);
    assert_int_equal(recording_play(f), CIS_E_MEMORY);
}

static void a_recording_tells_what_it_holds(void **state)
{
    struct recordings *f = *state;
    cis_recording *recording = NULL;
    recording_run(f, PLAIN);
    assert_ok(cis_recording_open(f->path, &recording, err));
    const struct cis_recording_head *head = cis_recording_head(recording);
    assert_string_equal(head->name, "guest.wat");
    assert_non_null(strstr(cis_engine_version(), head->engine));
    assert_true(cis_str_is(head->about, "{\"args\":[]}"));
    assert_int_equal(head->module.len, sizeof PLAIN - 1);
    assert_memory_equal(head->module.ptr, PLAIN, sizeof PLAIN - 1);
    assert_int_equal(head->limits.memory_bytes, 16u << 20);
    assert_int_equal(head->features, CIS_FEATURE_CANONICAL_NAN);
    assert_false(head->metered);
    assert_true(head->program);
    cis_recording_free(recording);
}

#define T(name) cmocka_unit_test_setup_teardown(name, recordings_setup, recordings_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_output_of_a_run_is_the_same_byte_for_byte),
        T(what_was_shown_live_is_what_the_play_shows),
        T(text_that_the_host_says_is_shown_in_its_place),
        T(numbers_of_every_kind_come_back_to_the_bit),
        T(writes_are_kept_as_far_as_they_went),
        T(many_small_and_overlapping_writes_are_all_kept),
        T(a_write_larger_than_any_frame_is_kept),
        T(what_the_host_writes_between_calls_is_kept),
        T(calls_within_calls_and_growth_by_the_host_are_played),
        T(a_start_function_and_an_imported_memory_are_played),
        T(growth_is_answered_as_it_was),
        T(a_guest_that_is_too_large_to_start_is_played),
        T(a_kept_instance_is_played_call_by_call),
        T(a_trap_is_the_same_trap),
        T(an_exit_keeps_its_code),
        T(a_limit_that_a_handler_names_is_played),
        T(a_guest_does_not_write_more_than_the_recording_may_hold),
        T(fuel_ends_at_the_same_unit),
        T(a_module_with_metering_and_no_limit_is_played),
        T(a_deadline_in_the_middle_of_a_loop_is_played),
        T(what_a_stopped_guest_would_have_done_next_is_not_done),
        T(a_cancellation_is_played),
        T(a_deadline_within_a_host_call_is_played),
        T(a_deadline_in_a_nested_call_is_played),
        T(a_trap_in_a_nested_call_is_played),
        T(a_refused_call_is_played),
        T(a_play_ends_by_its_own_deadline_and_says_so),
        T(another_argument_is_told_by_number_and_name),
        T(other_bytes_that_the_host_reads_are_told),
        T(another_function_is_told),
        T(a_call_too_many_or_too_few_is_told),
        T(other_growth_and_results_are_told),
        T(another_end_is_told),
        T(another_way_to_the_same_call_costs_other_fuel),
        T(a_difference_under_another_engine_names_both),
        T(a_run_whose_recording_cannot_be_written_fails),
        T(a_module_that_was_not_loaded_for_it_is_not_recorded),
        T(another_module_than_the_recorded_one_is_not_played),
        T(a_recording_that_wants_more_memory_than_allowed_is_refused),
        T(a_recording_tells_what_it_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
