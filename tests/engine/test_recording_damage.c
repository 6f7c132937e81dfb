/* Recordings that were cut, changed or made up: never played as whole, never more than a clear
 * refusal.
 */
#include "recordings.h"

/* A little of everything, in few bytes. */
static const char SMALL[] =
    "(module (import \"t\" \"now\" (func $now (result i64)))"
    " (import \"t\" \"more\" (func $more (param i32) (result i32)))"
    " (import \"t\" \"down\" (func $down (param i32) (result i32)))"
    " (import \"t\" \"say\" (func $say (param i32 i32 i32))) (import \"t\" \"tell\" (func $tell))"
    " (memory (export \"memory\") 1)"
    " (func (export \"down\") (param i32) (result i32) (drop (call $now)) (i32.const 3))"
    " (func (export \"run\") (i64.store (i32.const 0) (call $now))"
    "  (drop (memory.grow (i32.const 1))) (drop (call $more (i32.const 9)))"
    "  (drop (call $down (i32.const 2))) (call $tell)"
    "  (call $say (i32.const 1) (i32.const 0) (i32.const 8))))";

static bool is_refusal(const struct recordings *f, cis_code code)
{
    return (code == CIS_E_DAMAGED || code == CIS_E_INVALID || code == CIS_E_UNSUPPORTED) &&
           strstr(f->err.msg, "run.recording") != NULL;
}

static void a_recording_that_is_cut_anywhere_is_never_whole(void **state)
{
    struct recordings *f = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(1u << 20);
    recording_run(f, SMALL);
    assert_played(f, CIS_OK);
    recording_read(f, &file);
    for (size_t n = 0; n < file.len; n++) {
        recording_write(f, file.ptr, n);
        cis_code code = recording_play(f);
        if (!is_refusal(f, code)) {
            fail_msg("cut at %zu: %s: %s", n, cis_code_name(code), f->err.msg);
        }
    }
}

/* The frames are small, so that the cut is between them: all before it is played. */
static void a_recording_that_is_cut_between_frames_says_after_which_call(void **state)
{
    struct recordings *f = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(1u << 20);
    recording_run(f, SMALL);
    recording_read(f, &file);
    recording_unframe(&file, &bytes);
    recording_frame(f, file.ptr, bytes.ptr, bytes.len - 60);
    assert_int_equal(recording_play(f), CIS_E_DAMAGED);
    assert_non_null(strstr(f->err.msg, "it was not recorded to its end"));
    assert_non_null(strstr(f->err.msg, "after call 5"));
}

static void every_changed_byte_is_noticed(void **state)
{
    struct recordings *f = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(1u << 20);
    recording_run(f, SMALL);
    recording_read(f, &file);
    for (size_t n = 0; n < file.len; n++) {
        file.ptr[n] ^= 0x41;
        recording_write(f, file.ptr, file.len);
        file.ptr[n] ^= 0x41;
        cis_code code = recording_play(f);
        if (!is_refusal(f, code)) {
            fail_msg("byte %zu: %s: %s", n, cis_code_name(code), f->err.msg);
        }
    }
}

static void frames_that_are_missing_twice_or_exchanged_are_noticed(void **state)
{
    struct recordings *f = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(4u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf other = CIS_BUF_INIT(4u << 20);
    recording_run(f, "(module (import \"t\" \"fill\" (func $fill (param i32 i32)))"
                     " (memory (export \"memory\") 8) (func (export \"run\")"
                     "  (call $fill (i32.const 0) (i32.const 400000))))");
    assert_played(f, CIS_OK);
    recording_read(f, &file);
    size_t frame = 65536 + 8, second = RECORDING_START + frame;
    assert_true(file.len > second + 2 * frame);
    cis_buf_add(&other, file.ptr, second);
    cis_buf_add(&other, file.ptr + second + frame, file.len - second - frame);
    recording_write(f, other.ptr, other.len);
    assert_int_equal(recording_play(f), CIS_E_DAMAGED);
    assert_non_null(strstr(f->err.msg, "the checksum does not match"));
    cis_buf_reset(&other);
    cis_buf_add(&other, file.ptr, second + frame);
    cis_buf_add(&other, file.ptr + second, file.len - second);
    recording_write(f, other.ptr, other.len);
    assert_int_equal(recording_play(f), CIS_E_DAMAGED);
    cis_buf_reset(&other);
    cis_buf_add(&other, file.ptr, second);
    cis_buf_add(&other, file.ptr + second + frame, frame);
    cis_buf_add(&other, file.ptr + second, frame);
    cis_buf_add(&other, file.ptr + second + 2 * frame, file.len - second - 2 * frame);
    recording_write(f, other.ptr, other.len);
    assert_int_equal(recording_play(f), CIS_E_DAMAGED);
}

static void what_follows_the_end_mark_is_noticed(void **state)
{
    struct recordings *f = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(1u << 20);
    recording_run(f, SMALL);
    recording_read(f, &file);
    recording_unframe(&file, &bytes);
    cis_buf_byte(&bytes, 0);
    recording_frame(f, file.ptr, bytes.ptr, bytes.len);
    assert_int_equal(recording_play(f), CIS_E_DAMAGED);
    assert_non_null(strstr(f->err.msg, "data follows the end mark"));
    recording_frame(f, file.ptr, bytes.ptr, bytes.len - 1);
    assert_played(f, CIS_OK);
    cis_buf_reset(&bytes);
    recording_read(f, &bytes);
    cis_buf_byte(&bytes, 0);
    recording_write(f, bytes.ptr, bytes.len);
    assert_int_equal(recording_play(f), CIS_E_DAMAGED);
}

/* The same bytes with any one of the events' changed, under right checksums: refused, played to
 * another end, or different; never a crash, never more than its limits. */
static void events_that_were_made_up_are_played_or_refused(void **state)
{
    struct recordings *f = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(1u << 20);
    static const uint8_t marks[] = {0x00, 0x01, 0x05, 0x06, 0x0f, 0x7f, 0x80, 0xff};
    unsigned codes[CIS_E_COUNT_] = {0};
    recording_run(f, SMALL);
    recording_read(f, &file);
    recording_unframe(&file, &bytes);
    size_t first = sizeof SMALL - 1;
    for (size_t n = first; n < bytes.len; n++) {
        for (size_t m = 0; m < sizeof marks; m++) {
            uint8_t was = bytes.ptr[n];
            bytes.ptr[n] = m % 2 == 0 ? marks[m] : was ^ marks[m];
            recording_frame(f, file.ptr, bytes.ptr, bytes.len);
            bytes.ptr[n] = was;
            cis_code code = recording_play(f);
            codes[code]++;
            if (code != CIS_OK && (f->err.code != code || f->err.msg[0] == 0)) {
                fail_msg("byte %zu, mark %zu: %s without a reason", n, m, cis_code_name(code));
            }
            assert_int_not_equal(code, CIS_E_INTERNAL);
        }
    }
    assert_true(codes[CIS_E_DAMAGED] > 100 && codes[CIS_E_DIVERGED] > 100);
}

/* Puts n times these events after the guest's start. */
static void insert_after_start(struct recordings *f, const uint8_t *events, size_t len, int n)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf more = CIS_BUF_INIT(1u << 20);
    static const uint8_t began[] = {3, 0, 2}; /* it returned; a call */
    recording_read(f, &file);
    recording_unframe(&file, &bytes);
    const uint8_t *at = memmem(bytes.ptr, bytes.len, began, sizeof began);
    assert_non_null(at);
    size_t before = (size_t)(at - bytes.ptr) + 2;
    cis_buf_add(&more, bytes.ptr, before);
    for (int i = 0; i < n; i++) {
        cis_buf_add(&more, events, len);
    }
    cis_buf_add(&more, bytes.ptr + before, bytes.len - before);
    recording_frame(f, file.ptr, more.ptr, more.len);
}

static const char LARGE[] = "(module (memory (export \"memory\") 512) (func (export \"run\")))";
#define ALL_OF_IT 0x00, 0x80, 0x80, 0x80, 0x10 /* 32 MiB at 0 */

/* What a recording shows ends where it is told to, not with the guest's memory, nor with the last
 * of events that follow each other. */
static void a_replay_that_is_cancelled_ends_at_once(void **state)
{
    struct recordings *f = *state;
    static const uint8_t show[] = {12, 1, ALL_OF_IT};
    f->limits.memory_bytes = 48u << 20;
    recording_run(f, LARGE);
    insert_after_start(f, show, sizeof show, 100);
    assert_ok(cis_cancel_new(&f->host.fire, err));
    f->fire_when_shown = true;
    assert_int_equal(recording_play(f), CIS_E_CANCELLED);
    assert_in_range(f->shown[1].len, 1, 1u << 20);
}

static void events_that_follow_each_other_end_when_it_is_cancelled(void **state)
{
    struct recordings *f = *state;
    static const uint8_t show[] = {12, 1, 0, 1}; /* a byte */
    f->limits.memory_bytes = 48u << 20;
    recording_run(f, LARGE);
    insert_after_start(f, show, sizeof show, 1000);
    assert_ok(cis_cancel_new(&f->host.fire, err));
    f->fire_when_shown = true;
    assert_int_equal(recording_play(f), CIS_E_CANCELLED);
    assert_int_equal(f->shown[1].len, 1);
}

/* A digest that is not of it, so that a replay that is deaf finds that. */
static void what_is_compared_ends_with_the_time(void **state)
{
    struct recordings *f = *state;
    static const uint8_t reads[] = {7, ALL_OF_IT, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    f->limits.memory_bytes = 48u << 20;
    recording_run(f, LARGE);
    uint64_t start = cis_clock_mono_ns();
    assert_played(f, CIS_OK);
    uint64_t least = cis_clock_mono_ns() - start;
    insert_after_start(f, reads, sizeof reads, 1);
    start = cis_clock_mono_ns();
    assert_int_equal(recording_play(f), CIS_E_DIVERGED);
    uint64_t whole = cis_clock_mono_ns() - start;
    f->play_ns = whole > least ? (least + whole) / 2 : whole / 2;
    assert_int_equal(recording_play(f), CIS_E_DEADLINE);
}

static void what_is_no_recording_is_refused(void **state)
{
    struct recordings *f = *state;
    recording_write(f, "", 0);
    assert_int_equal(recording_play(f), CIS_E_INVALID);
    assert_non_null(strstr(f->err.msg, "not a recorded run"));
    recording_write(f, "\0asm\1\0\0\0 and more", 17);
    assert_int_equal(recording_play(f), CIS_E_INVALID);
    recording_write(f, "cistape\n\2\0\0\0", 12);
    assert_int_equal(recording_play(f), CIS_E_UNSUPPORTED);
    assert_non_null(strstr(f->err.msg, "version 2 of the format; this program reads version 1"));
    snprintf(f->path, sizeof f->path, "%s/nothing", f->dir);
    assert_int_equal(recording_play(f), CIS_E_NOTFOUND);
    snprintf(f->path, sizeof f->path, "%s", f->dir);
    assert_int_equal(recording_play(f), CIS_E_IO);
}

#define T(name) cmocka_unit_test_setup_teardown(name, recordings_setup, recordings_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_recording_that_is_cut_anywhere_is_never_whole),
        T(a_recording_that_is_cut_between_frames_says_after_which_call),
        T(every_changed_byte_is_noticed),
        T(frames_that_are_missing_twice_or_exchanged_are_noticed),
        T(what_follows_the_end_mark_is_noticed),
        T(events_that_were_made_up_are_played_or_refused),
        T(a_replay_that_is_cancelled_ends_at_once),
        T(events_that_follow_each_other_end_when_it_is_cancelled),
        T(what_is_compared_ends_with_the_time),
        T(what_is_no_recording_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
