/* Content: read, written, at offsets, appended, cut, extended, synchronised. */
#include "wasi_p1/files/files.h"

#include "base/clock.h"

static const uint32_t whence_set[2] = {0, 2}, whence_cur[2] = {1, 0}, whence_end[2] = {2, 1};

static uint64_t at_now(uint32_t fd)
{
    assert_errno(OK, "fd_tell", fd, OUT);
    return get64(OUT);
}

static void several_buffers_are_filled_and_taken_in_order(void **state)
{
    (void)state;
    for (FX.old = 0; FX.old < 2; FX.old++) {
        uint32_t fd = opened(W, "f", CREAT | TRUNC, READ | WRITE, 0);
        memcpy(mem(BUF, 9), "abcdefghi", 9);
        put_iov(0, BUF + 6, 3);
        put_iov(1, BUF, 0);
        put_iov(2, BUF, 2);
        put_iov(3, OUTSIDE, 0); /* empty: its place does not matter */
        assert_errno(OK, "fd_write", fd, IOVS, 4, OUT);
        assert_int_equal(get32(OUT), 5);
        assert_errno(OK, "fd_pwrite", fd, IOVS, 4, 7, OUT);
        assert_errno(OK, "fd_seek", fd, 0, whence_set[FX.old], OUT);
        memset(mem(BUF, 20), '.', 20);
        put_iov(0, BUF + 10, 4);
        put_iov(1, BUF, 20);
        assert_errno(OK, "fd_read", fd, IOVS, 2, OUT);
        assert_int_equal(get32(OUT), 12);
        assert_memory_equal(mem(BUF, 14), "b\0\0ghiab..ghia", 14);
        assert_errno(OK, "fd_pread", fd, IOVS, 1, 1, OUT);
        assert_memory_equal(mem(BUF + 10, 4), "hiab", 4);
        assert_int_equal(at_now(fd), 12);
        w_close(fd);
    }
}

static void nothing_is_moved_by_no_buffers(void **state)
{
    (void)state;
    w_file("f", "abc");
    uint32_t fd = opened(W, "f", 0, READ | WRITE, APPEND);
    assert_errno(OK, "fd_read", fd, IOVS, 0, OUT);
    assert_int_equal(get32(OUT), 0);
    assert_errno(OK, "fd_write", fd, 0, 0, OUT);
    assert_int_equal(get32(OUT), 0);
    assert_int_equal(at_now(fd), 0);
    assert_errno(OK, "fd_pread", fd, IOVS, 0, 1000, OUT);
    assert_errno(OK, "fd_pwrite", fd, IOVS, 0, 1000, OUT);
    assert_file("f", "abc");
}

static void buffers_may_lie_over_each_other_and_over_their_own_list(void **state)
{
    (void)state;
    uint8_t fill[32];
    memset(fill, 0xFF, sizeof fill); /* as a buffer: 4 GiB at the end of everything */
    uint32_t fd = opened(W, "f", CREAT, READ | WRITE, 0);
    put_iov(0, BUF, sizeof fill);
    memcpy(mem(BUF, sizeof fill), fill, sizeof fill);
    assert_errno(OK, "fd_write", fd, IOVS, 1, OUT);
    put_iov(0, IOVS, 16); /* the list itself */
    put_iov(1, BUF + 100, 16);
    assert_errno(OK, "fd_pread", fd, IOVS, 2, 0, OUT);
    assert_int_equal(get32(OUT), 32);
    assert_memory_equal(mem(IOVS, 16), fill, 16);
    assert_memory_equal(mem(BUF + 100, 16), fill, 16);
    for (uint32_t i = 0; i < 100; i++) { /* the same bytes a hundred times */
        put_iov(i, BUF, 3);
    }
    memcpy(mem(BUF, 3), "xyz", 3);
    assert_errno(OK, "fd_pwrite", fd, IOVS, 100, 0, OUT);
    assert_int_equal(get32(OUT), 300);
    put_iov(0, BUF, 1000);
    assert_errno(OK, "fd_pread", fd, IOVS, 1, 297, OUT);
    assert_int_equal(get32(OUT), 3);
    assert_memory_equal(mem(BUF, 3), "xyz", 3);
    assert_errno(OK, "fd_pread", fd, IOVS, 1, 0, IOVS); /* and the result may lie over it */
    assert_int_equal(get32(IOVS), 300);
}

static void bad_buffers_move_nothing(void **state)
{
    (void)state;
    const uint32_t end = FX.memory;
    static const struct {
        int32_t iovs, n, out, buf, len; /* negative: from the end of the memory */
        enum cis_wasi_errno error;
    } cases[] = {
#define C(iovs, n, out, buf, len, e) {iovs, n, out, buf, len, CIS_WASI_##e}
        C(IOVS, 1, OUT, -15, 16, FAULT),        C(IOVS, 1, OUT, BUF, -1, FAULT),
        C(IOVS, 1, -3, BUF, 4, FAULT),          C(-7, 1, OUT, BUF, 4, FAULT),
        C(-8, 2, OUT, BUF, 4, FAULT),           C(IOVS, 1025, OUT, BUF, 4, INVAL),
        C(IOVS, INT32_MIN, OUT, BUF, 4, INVAL), C(IOVS, -1, OUT, BUF, 4, INVAL),
        C(IOVS, 2, OUT, BUF, 4, FAULT), /* the second is bad, the first is not moved either */
#undef C
    };
    uint32_t fd = opened(W, "f", CREAT | TRUNC, READ | WRITE, 0);
    assert_errno_(CIS_WASI_OK, w_write(fd, "0123456789abcdef"));
    for (FX.old = 0; FX.old < 2; FX.old++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            uint32_t iovs =
                cases[i].iovs < 0 ? end + (uint32_t)cases[i].iovs : (uint32_t)cases[i].iovs;
            uint32_t out = cases[i].out < 0 ? end + (uint32_t)cases[i].out : (uint32_t)cases[i].out;
            uint32_t buf = cases[i].buf < 0 ? end + (uint32_t)cases[i].buf : (uint32_t)cases[i].buf;
            uint32_t n = (uint32_t)cases[i].n;
            memset(mem(BUF, 16), '-', 16);
            put_iov(0, buf, (uint32_t)cases[i].len);
            put_iov(1, OUTSIDE, 4);
            assert_errno(OK, "fd_seek", fd, 4, whence_set[FX.old], OUT);
            static const char *const names[] = {"fd_read", "fd_write", "fd_pread", "fd_pwrite"};
            for (size_t k = 0; k < 4; k++) {
                int got =
                    k < 2 ? CALL(names[k], fd, iovs, n, out) : CALL(names[k], fd, iovs, n, 0, out);
                assert_errno_(cases[i].error, got);
            }
            assert_int_equal(at_now(fd), 4);
            assert_memory_equal(mem(BUF, 16), "----------------", 16);
        }
    }
    FX.old = 0;
    assert_file("f", "0123456789abcdef");
}

static void four_gigabytes_do_not_fit_one_answer(void **state)
{
    (void)state;
    uint32_t fd = opened(W, "f", CREAT, READ | WRITE, 0), big = FX.memory / 2;
    for (uint32_t i = 0; i < 1024; i++) {
        cis_put_le32(mem(8 * i, 8), 8192);
        cis_put_le32(mem(8 * i + 4, 4), big);
    }
    /* 1,024 of them are 32 MiB here: allowed, and less than one look at the deadline */
    assert_errno(OK, "fd_read", fd, 0, 1024, 8192);
    assert_int_equal(get32(8192), 0);
}

static void more_than_one_step_arrives_whole(void **state)
{
    (void)state;
    const uint32_t len = 49152, n = 1000; /* 47 MiB in one call */
    uint32_t fd = opened(W, "big", CREAT, READ | WRITE, 0);
    if (FX.memory < 65536) {
        skip();
    }
    for (uint32_t i = 0; i < n; i++) {
        cis_put_le32(mem(8 * i, 8), 16384);
        cis_put_le32(mem(8 * i + 4, 4), len);
    }
    for (uint32_t i = 0; i < len; i++) {
        *mem(16384 + i, 1) = (uint8_t)(i * 7 + i / 256);
    }
    assert_errno(OK, "fd_write", fd, 0, n, 8192);
    assert_int_equal(get32(8192), len * n);
    assert_int_equal(at_now(fd), (uint64_t)len * n);
    static const uint64_t looks[] = {0, (32u << 20) - 5, 32u << 20, 48u * 1000 * 1024 - 100};
    for (size_t i = 0; i < 4; i++) {
        put_iov(0, BUF, 64);
        assert_errno(OK, "fd_pread", fd, IOVS, 1, looks[i], OUT);
        assert_int_equal(get32(OUT), 64);
        for (uint32_t k = 0; k < 64; k++) {
            uint32_t at = (uint32_t)((looks[i] + k) % len);
            assert_int_equal(*mem(BUF + k, 1), (uint8_t)(at * 7 + at / 256));
        }
    }
}

static void a_transfer_of_much_ends_at_the_deadline(void **state)
{
    (void)state;
    uint32_t fd = opened(W, "big", CREAT, READ | WRITE, 0);
    assert_errno(OK, "fd_filestat_set_size", fd, 100u << 20);
    for (uint32_t i = 0; i < 1000; i++) {
        cis_put_le32(mem(8 * i, 8), 16384);
        cis_put_le32(mem(8 * i + 4, 4), 49152);
    }
    if (guest_blocked() < 0) {
        return; /* the engine does not even begin a call after the deadline */
    }
    guest_deadline(1);
    union cis_slot io[4] = {{.u32 = fd}, {.u32 = 0}, {.u32 = 1000}, {.u32 = 8192}};
    assert_fails(CIS_E_DEADLINE, "", guest_call(row_of("fd_read"), io, err));
}

/* ---- offsets ---- */
static void seek_goes_anywhere_but_before_the_start(void **state)
{
    (void)state;
    for (FX.old = 0; FX.old < 2; FX.old++) {
        const struct {
            uint32_t whence;
            int64_t by;
            enum cis_wasi_errno error;
            uint64_t at; /* afterwards */
        } cases[] = {
            {whence_set[FX.old], 3, CIS_WASI_OK, 3},
            {whence_cur[FX.old], 4, CIS_WASI_OK, 7},
            {whence_cur[FX.old], -2, CIS_WASI_OK, 5},
            {whence_cur[FX.old], -6, CIS_WASI_INVAL, 5},
            {whence_set[FX.old], -1, CIS_WASI_INVAL, 5},
            {whence_end[FX.old], 0, CIS_WASI_OK, 10},
            {whence_end[FX.old], -10, CIS_WASI_OK, 0},
            {whence_end[FX.old], -11, CIS_WASI_INVAL, 0},
            {whence_end[FX.old], 1000, CIS_WASI_OK, 1010},
            {whence_cur[FX.old], INT64_MAX, CIS_WASI_INVAL, 1010},
            {whence_end[FX.old], INT64_MAX, CIS_WASI_INVAL, 1010},
            {whence_cur[FX.old], INT64_MIN, CIS_WASI_INVAL, 1010},
            {whence_set[FX.old], INT64_MIN, CIS_WASI_INVAL, 1010},
            {whence_set[FX.old], INT64_MAX, CIS_WASI_OK, INT64_MAX},
            {whence_cur[FX.old], 1, CIS_WASI_INVAL, INT64_MAX},
            {3, 0, CIS_WASI_INVAL, INT64_MAX},
            {UINT32_MAX, 0, CIS_WASI_INVAL, INT64_MAX},
        };
        w_file("f", "0123456789");
        uint32_t fd = opened(W, "f", 0, READ, 0);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            int got = CALL("fd_seek", fd, (uint64_t)cases[i].by, cases[i].whence, OUT);
            assert_errno_(cases[i].error, got);
            if (got == CIS_WASI_OK) {
                assert_int_equal(get64(OUT), cases[i].at);
            }
            assert_int_equal(at_now(fd), cases[i].at);
        }
        assert_errno(FAULT, "fd_seek", fd, 0, whence_set[FX.old], FX.memory - 7);
        assert_int_equal(at_now(fd), INT64_MAX); /* a bad pointer moves nothing */
        assert_errno(FAULT, "fd_tell", fd, FX.memory - 7);
        put_iov(0, BUF, 1);
        assert_errno(OK, "fd_read", fd, IOVS, 1, OUT);
        assert_int_equal(get32(OUT), 0); /* beyond the end there is nothing */
        w_close(fd);
    }
}

static void directories_have_no_content_and_no_offset(void **state)
{
    (void)state;
    uint32_t dir = opened(W, ".", DIRECTORY, READ, 0);
    put_iov(0, BUF, 1);
    for (FX.old = 0; FX.old < 2; FX.old++) {
        assert_errno(ISDIR, "fd_read", dir, IOVS, 1, OUT);
        assert_errno(ISDIR, "fd_pread", dir, IOVS, 1, 0, OUT);
        assert_errno(BADF, "fd_write", dir, IOVS, 1, OUT);
        assert_errno(BADF, "fd_pwrite", dir, IOVS, 1, 0, OUT);
        for (uint32_t whence = 0; whence < 4; whence++) {
            assert_errno(BADF, "fd_seek", dir, 0, whence, OUT);
        }
        assert_errno(BADF, "fd_tell", dir, OUT);
        assert_errno(BADF, "fd_advise", dir, 0, 0, 0);
        assert_errno(BADF, "fd_allocate", dir, 0, 1);
        assert_errno(INVAL, "fd_filestat_set_size", dir, 0);
        assert_errno(OK, "fd_sync", dir);
        assert_errno(OK, "fd_datasync", dir);
    }
}

static void a_write_beyond_the_end_leaves_a_hole(void **state)
{
    (void)state;
    uint32_t fd = opened(W, "f", CREAT, READ | WRITE, 0);
    assert_errno(OK, "fd_seek", fd, 100000, 0, OUT);
    assert_errno_(CIS_WASI_OK, w_write(fd, "x"));
    struct w_stat st;
    w_fstat(fd, &st);
    assert_int_equal(st.size, 100001);
    put_iov(0, BUF, 8);
    assert_errno(OK, "fd_pread", fd, IOVS, 1, 99996, OUT);
    assert_int_equal(get32(OUT), 5);
    assert_memory_equal(mem(BUF, 5), "\0\0\0\0x", 5);
}

static void offsets_at_the_limits_are_an_errno(void **state)
{
    (void)state;
    uint32_t fd = opened(W, "f", CREAT, READ | WRITE, 0);
    put_iov(0, BUF, 2);
    assert_errno(INVAL, "fd_pread", fd, IOVS, 1, 1ull << 63, OUT);
    assert_errno(INVAL, "fd_pwrite", fd, IOVS, 1, UINT64_MAX, OUT);
    assert_errno(OK, "fd_pread", fd, IOVS, 1, INT64_MAX - 2, OUT);
    assert_int_equal(get32(OUT), 0);
    int got = CALL("fd_pwrite", fd, IOVS, 1, INT64_MAX - 1, OUT);
    assert_true(got == CIS_WASI_FBIG || got == CIS_WASI_INVAL);
    assert_errno(INVAL, "fd_filestat_set_size", fd, 1ull << 63);
    assert_errno(INVAL, "fd_filestat_set_size", fd, UINT64_MAX);
    assert_errno(FBIG, "fd_filestat_set_size", fd, INT64_MAX);
    assert_errno(INVAL, "fd_allocate", fd, 0, 0);
    assert_errno(INVAL, "fd_allocate", fd, 1ull << 63, 1);
    assert_errno(INVAL, "fd_allocate", fd, 0, UINT64_MAX);
    assert_errno(FBIG, "fd_allocate", fd, INT64_MAX - 10, 20);
    struct w_stat st;
    w_fstat(fd, &st);
    assert_int_equal(st.size, 0);
}

/* ---- append ---- */
static void appending_goes_to_the_end_whoever_else_writes(void **state)
{
    (void)state;
    w_file("f", "start");
    uint32_t a = opened(W, "f", 0, READ | WRITE, APPEND), b = opened(W, "f", 0, WRITE, APPEND);
    assert_int_equal(at_now(a), 0);
    assert_errno_(CIS_WASI_OK, w_write(a, "-a"));
    assert_int_equal(at_now(a), 7);
    assert_errno_(CIS_WASI_OK, w_write(b, "-b"));
    assert_int_equal(at_now(b), 9);
    assert_errno(OK, "fd_seek", a, 0, 0, OUT);
    assert_errno_(CIS_WASI_OK, w_write(a, "-c"));
    assert_int_equal(at_now(a), 11);
    assert_errno_(CIS_WASI_OK, w_pwrite(a, "-d", 0)); /* pwrite too, as on Linux */
    assert_int_equal(at_now(a), 11);
    assert_file("f", "start-a-b-c-d");
    assert_errno(OK, "fd_seek", a, 1, 0, OUT);
    assert_int_equal(w_read(a, 4), 4); /* reading is where the offset is */
    assert_memory_equal(mem(BUF, 4), "tart", 4);
    assert_errno(OK, "fd_fdstat_set_flags", a, 0); /* and it can be switched off, and on */
    assert_errno_(CIS_WASI_OK, w_write(a, "+"));
    assert_errno_(CIS_WASI_OK, w_pwrite(a, "S", 0));
    assert_file("f", "Start+a-b-c-d");
    assert_errno(OK, "fd_fdstat_set_flags", b, 0);
    assert_errno(OK, "fd_fdstat_set_flags", b, APPEND);
    assert_errno_(CIS_WASI_OK, w_write(b, "!"));
    assert_file("f", "Start+a-b-c-d!");
}

/* ---- space ---- */
static void a_file_is_cut_and_extended(void **state)
{
    (void)state;
    struct w_stat st;
    w_file("f", "0123456789");
    uint32_t fd = opened(W, "f", 0, READ | WRITE, 0);
    for (FX.old = 0; FX.old < 2; FX.old++) {
        assert_errno(OK, "fd_filestat_set_size", fd, 4);
        w_fstat(fd, &st);
        assert_int_equal(st.size, 4);
        assert_errno(OK, "fd_filestat_set_size", fd, 8);
        put_iov(0, BUF, 20);
        assert_errno(OK, "fd_pread", fd, IOVS, 1, 0, OUT);
        assert_int_equal(get32(OUT), 8);
        assert_memory_equal(mem(BUF, 8), "0123\0\0\0\0", 8);
        assert_errno(OK, "fd_allocate", fd, 6, 6);
        w_fstat(fd, &st);
        assert_int_equal(st.size, 12);
        assert_errno(OK, "fd_allocate", fd, 0, 5); /* inside: nothing changes */
        w_fstat(fd, &st);
        assert_int_equal(st.size, 12);
        assert_errno(OK, "fd_filestat_set_size", fd, 0);
        assert_errno(OK, "fd_filestat_set_size", fd, 10);
        assert_errno_(CIS_WASI_OK, w_pwrite(fd, "0123456789", 0));
    }
    FX.old = 0;
    assert_errno(OK, "fd_seek", fd, 0, 2, OUT);
    assert_errno(OK, "fd_filestat_set_size", fd, 2);
    assert_int_equal(at_now(fd), 10); /* the offset stays; a write there leaves a hole */
    uint32_t cut = opened(W, "f", TRUNC, READ | WRITE, 0);
    w_fstat(fd, &st);
    assert_int_equal(st.size, 0);
    w_close(cut);
}

static void advice_is_checked_and_not_taken(void **state)
{
    (void)state;
    w_file("f", "abc");
    uint32_t fd = opened(W, "f", 0, READ, 0);
    for (FX.old = 0; FX.old < 2; FX.old++) {
        for (uint32_t advice = 0; advice < 6; advice++) {
            assert_errno(OK, "fd_advise", fd, 0, INT64_MAX, advice);
        }
        assert_errno(INVAL, "fd_advise", fd, 0, 0, 6);
        assert_errno(INVAL, "fd_advise", fd, 1ull << 63, 0, 0);
        assert_errno(INVAL, "fd_advise", fd, 0, UINT64_MAX, 0);
        assert_errno(OK, "fd_sync", fd);
        assert_errno(OK, "fd_datasync", fd);
    }
    FX.old = 0;
    assert_file("f", "abc");
}

static void a_removed_file_stays_with_who_holds_it(void **state)
{
    (void)state;
    struct w_stat st;
    w_file("f", "abc");
    uint32_t fd = opened(W, "f", 0, READ | WRITE, 0);
    assert_errno(OK, "path_unlink_file", W, S("f"));
    w_fstat(fd, &st);
    assert_int_equal(st.nlink, 0);
    assert_int_equal(st.size, 3);
    assert_read(fd, "abc");
    assert_errno_(CIS_WASI_OK, w_write(fd, "def"));
    assert_errno(OK, "fd_seek", fd, 0, 0, OUT);
    assert_read(fd, "abcdef");
    w_file("f", "another");
    assert_errno(OK, "fd_seek", fd, 0, 0, OUT);
    assert_read(fd, "abcdef");
    w_file("g", "g");
    assert_errno(OK, "path_rename", W, S("g"), W, S("f")); /* over one that is open */
    assert_file("f", "g");
}

static void bytes_cost_fuel(void **state)
{
    (void)state;
    if (guest_blocked() < 0) {
        return; /* metering of a real guest: test_wasi_engine */
    }
    uint32_t fd = opened(W, "f", CREAT, READ | WRITE, 0);
    put_iov(0, BUF, 6400);
    uint64_t before = guest_burned();
    assert_errno(OK, "fd_write", fd, IOVS, 1, OUT);
    assert_int_equal(guest_burned() - before, 100);
    assert_errno(OK, "fd_seek", fd, 0, 0, OUT);
    before = guest_burned();
    assert_errno(OK, "fd_read", fd, IOVS, 1, OUT);
    assert_int_equal(guest_burned() - before, 100);
    /* Who has none left is ended by the call, wherever it is in its bytes. */
    union cis_slot io[9] = {{.u32 = fd}, {.u32 = IOVS}, {.u32 = 1}, {.u64 = 0}, {.u32 = OUT}};
    struct cis_error err = {0};
    guest_fuel(guest_burned() + 99);
    assert_int_equal(guest_call(row_of("fd_pread"), io, &err), CIS_E_LIMIT);
    guest_fuel(0);
}

/* Behind what was read the memory is as it was: a recording holds no more. */
static void a_read_that_fell_short_says_how_much_it_wrote(void **state)
{
    (void)state;
    if (guest_blocked() < 0) {
        return; /* recordings of a real guest: test_recording */
    }
    w_file("f", "abcdef");
    uint32_t fd = opened(W, "f", 0, READ | WRITE, 0);
    put_iov(0, BUF, 100);
    assert_errno(OK, "fd_read", fd, IOVS, 1, OUT);
    assert_int_equal(get32(OUT), 6);
    assert_int_equal(guest_wrote(), 6);
    assert_errno(OK, "fd_pread", fd, IOVS, 1, 4, OUT);
    assert_int_equal(guest_wrote(), 2);
    put_iov(0, BUF, 3);
    assert_errno(OK, "fd_write", fd, IOVS, 1, OUT);
    assert_int_equal(guest_wrote(), 2);
}

const struct CMUnitTest files_data[] = {
    FILES_TEST(several_buffers_are_filled_and_taken_in_order),
    FILES_TEST(nothing_is_moved_by_no_buffers),
    FILES_TEST(buffers_may_lie_over_each_other_and_over_their_own_list),
    FILES_TEST(bad_buffers_move_nothing),
    FILES_TEST(four_gigabytes_do_not_fit_one_answer),
    FILES_TEST(more_than_one_step_arrives_whole),
    FILES_TEST(a_transfer_of_much_ends_at_the_deadline),
    FILES_TEST(seek_goes_anywhere_but_before_the_start),
    FILES_TEST(directories_have_no_content_and_no_offset),
    FILES_TEST(a_write_beyond_the_end_leaves_a_hole),
    FILES_TEST(offsets_at_the_limits_are_an_errno),
    FILES_TEST(appending_goes_to_the_end_whoever_else_writes),
    FILES_TEST(a_file_is_cut_and_extended),
    FILES_TEST(advice_is_checked_and_not_taken),
    FILES_TEST(a_removed_file_stays_with_who_holds_it),
    FILES_TEST(bytes_cost_fuel),
    FILES_TEST(a_read_that_fell_short_says_how_much_it_wrote),
};
const size_t nfiles_data = sizeof files_data / sizeof *files_data;
