/* Every function of both WASI 0.1 modules against a guest without an engine: what each answers, and
 * that no pointer or length of a guest reaches outside its memory. */
#include "harness.h"

#include "base/clock.h"
#include "base/le.h"
#include "base/mem.h"
#include "fake_guest.h"
#include "wasi/p1/p1.h"

#define MEMORY 65536u
#define OUTSIDE 0xFFFFFFF0u

enum {
    OK = 0,
    BADF = 8,
    FAULT = 21,
    INVAL = 28,
    NOTDIR = 54,
    NOTSOCK = 57,
    NOTSUP = 58,
    SPIPE = 70,
    NOTCAPABLE = 76
};

static const struct cis_hostfn_table *const tables[] = {&cis_wasi_p1_table,
                                                        &cis_wasi_unstable_table};
static bool called[2][64];
static struct cis_host host;
static cis_engine_instance guest;
static int old;           /* 1: calls go to wasi_unstable */
static uint64_t at_start; /* bytes charged for the descriptors that every guest begins with */

static int setup(void **state)
{
    (void)state;
    host = (struct cis_host){.budget = {.limit = 64u << 20},
                             .output = CIS_BUF_INIT(32u << 20),
                             .errors = CIS_BUF_INIT(CIS_LOG_LINE_MAX),
                             .log = CIS_BUF_INIT(1u << 20),
                             .log_lines_max = 1000};
    fake_guest_init(&guest, &host, MEMORY);
    memset(guest.memory, 0xAA, MEMORY);
    old = 0;
    assert_ok(cis_wasi_p1_start(&host, err));
    at_start = host.budget.used;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cis_wasi_p1_end(&host);
    fake_guest_done(&guest);
    cis_buf_done(&host.output);
    cis_buf_done(&host.errors);
    cis_buf_done(&host.log);
    return 0;
}

static const struct cis_hostfn *row(const char *name)
{
    for (size_t i = 0; i < tables[old]->nrows; i++) {
        if (strcmp(tables[old]->rows[i].name, name) == 0) {
            called[old][i] = true;
            return &tables[old]->rows[i];
        }
    }
    fail_msg("no row %s", name);
    return NULL;
}

/* Calls by name with up to nine numbers; the code must be CIS_OK, the errno is returned. */
static int call(const char *name, const uint64_t *args, size_t n)
{
    union cis_slot io[9] = {0};
    for (size_t i = 0; i < n; i++) {
        io[i].u64 = args[i];
    }
    assert_ok(row(name)->handler(&guest, io, err));
    return io[0].i32;
}
#define CALL(name, ...)                                                                            \
    call(name, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 8)
#define assert_errno(expected, name, ...) assert_int_equal(CALL(name, __VA_ARGS__), expected)

static uint32_t get32(uint32_t at)
{
    return cis_le32(guest.memory + at);
}

static uint64_t get64(uint32_t at)
{
    return cis_le64(guest.memory + at);
}

static void put_iov(uint32_t at, uint32_t buf, uint32_t len)
{
    cis_put_le32(guest.memory + at, buf);
    cis_put_le32(guest.memory + at + 4, len);
}

/* ---- arguments ---- */
static void arguments_and_environment_arrive_as_c_strings(void **state)
{
    (void)state;
    const char *args[] = {"prog", "", "a b", NULL}, *env[] = {"K=V", NULL};
    host.args = args;
    host.env = env;
    assert_errno(OK, "args_sizes_get", 0, 4);
    assert_int_equal(get32(0), 3);
    assert_int_equal(get32(4), 10);
    assert_errno(OK, "args_get", 16, 64);
    assert_string_equal((char *)guest.memory + get32(16), "prog");
    assert_string_equal((char *)guest.memory + get32(20), "");
    assert_string_equal((char *)guest.memory + get32(24), "a b");
    assert_int_equal(guest.memory[74], 0xAA);
    assert_errno(OK, "environ_sizes_get", 0, 4);
    assert_int_equal(get32(0), 1);
    assert_int_equal(get32(4), 4);
    assert_errno(OK, "environ_get", 16, 64);
    assert_string_equal((char *)guest.memory + get32(16), "K=V");
}

static void a_run_without_arguments_has_a_name_and_no_environment(void **state)
{
    (void)state;
    assert_errno(OK, "args_sizes_get", 0, 4);
    assert_int_equal(get32(0), 1);
    assert_int_equal(get32(4), 6);
    assert_errno(OK, "args_get", 16, 64);
    assert_string_equal((char *)guest.memory + get32(16), "skill");
    assert_errno(OK, "environ_sizes_get", 0, 4);
    assert_int_equal(get64(0), 0);
    assert_errno(OK, "environ_get", MEMORY, MEMORY); /* nothing to write at the very end */
}

static void arguments_never_leave_the_memory(void **state)
{
    (void)state;
    const char *args[] = {"prog", NULL};
    host.args = args;
    assert_errno(FAULT, "args_sizes_get", MEMORY - 3, 0);
    assert_errno(FAULT, "args_sizes_get", 0, OUTSIDE);
    assert_errno(FAULT, "args_get", MEMORY - 3, 0);
    assert_errno(FAULT, "args_get", 0, MEMORY - 4);
    assert_errno(OK, "args_get", MEMORY - 4, MEMORY - 9);
    assert_errno(FAULT, "environ_sizes_get", OUTSIDE, 0);
    const char *env[] = {"K=V", NULL};
    host.env = env;
    assert_errno(FAULT, "environ_get", 0, MEMORY);
}

/* ---- clocks ---- */
static void clocks_tell_time_and_resolution(void **state)
{
    (void)state;
    guest.cpu_ns = 4711;
    for (uint32_t id = 0; id < 4; id++) {
        assert_errno(OK, "clock_res_get", id, 64);
        assert_int_equal(get64(64), 1);
        assert_errno(OK, "clock_time_get", id, 0, 8 * id);
    }
    assert_true(get64(0) > 1700000000ull * 1000000000ull);
    assert_true(get64(8) >= 1000000000ull && get64(8) < 3600ull * 1000000000ull);
    assert_int_equal(get64(16), 4711);
    assert_int_equal(get64(24), 4711);
    uint64_t first = get64(8);
    assert_errno(OK, "clock_time_get", 1, 0, 8);
    assert_true(get64(8) >= first);
}

static void a_fixed_clock_stands_still(void **state)
{
    (void)state;
    host.fixed_clock = true;
    host.clock_ns = 123456789;
    assert_errno(OK, "clock_time_get", 0, 0, 0);
    assert_int_equal(get64(0), 123456789);
}

static void an_unknown_clock_or_a_bad_pointer_is_refused(void **state)
{
    (void)state;
    assert_errno(INVAL, "clock_res_get", 4, 0);
    assert_errno(INVAL, "clock_time_get", UINT32_MAX, 0, 0);
    assert_errno(FAULT, "clock_res_get", 0, MEMORY - 7);
    assert_errno(FAULT, "clock_time_get", 0, UINT64_MAX, OUTSIDE);
}

static void clocks_and_random_are_grants_that_a_run_has_unless_switched_off(void **state)
{
    (void)state;
    uint32_t both = CIS_GRANT_BIT(CIS_GRANT_CLOCKS) | CIS_GRANT_BIT(CIS_GRANT_RANDOM);
    assert_int_equal(row("clock_time_get")->grant, CIS_GRANT_CLOCKS);
    assert_int_equal(row("clock_res_get")->grant, CIS_GRANT_CLOCKS);
    assert_int_equal(row("random_get")->grant, CIS_GRANT_RANDOM);
    assert_int_equal(row("random_get")->denied, NOTCAPABLE);
    assert_int_equal(cis_host_guest_grants(&host), both);
    host.no_clock = true;
    assert_int_equal(cis_host_guest_grants(&host), CIS_GRANT_BIT(CIS_GRANT_RANDOM));
    host.no_random = true;
    assert_int_equal(cis_host_guest_grants(&host), 0);
}

/* ---- streams ---- */
static void stdin_is_the_input_in_pieces_until_its_end(void **state)
{
    (void)state;
    host.input = cis_bytes_of("{\"a\":1}", 7);
    put_iov(0, 100, 3);
    put_iov(8, 200, 0);
    put_iov(16, 300, 2);
    assert_errno(OK, "fd_read", 0, 0, 3, 50);
    assert_int_equal(get32(50), 5);
    assert_memory_equal(guest.memory + 100, "{\"a", 3);
    assert_memory_equal(guest.memory + 300, "\":", 2);
    assert_int_equal(guest.memory[302], 0xAA);
    assert_errno(OK, "fd_read", 0, 0, 3, 50);
    assert_int_equal(get32(50), 2);
    assert_errno(OK, "fd_read", 0, 0, 3, 50);
    assert_int_equal(get32(50), 0);
    assert_errno(OK, "fd_read", 0, 0, 0, 50);
}

static void stdout_is_the_output_and_stderr_becomes_log_lines(void **state)
{
    (void)state;
    memcpy(guest.memory + 100, "one\ntwo\nthr", 11);
    put_iov(0, 100, 4);
    put_iov(8, 104, 7);
    assert_errno(OK, "fd_write", 1, 0, 2, 50);
    assert_int_equal(get32(50), 11);
    assert_string_equal(cis_buf_cstr(&host.output), "one\ntwo\nthr");
    assert_true(host.output_written);
    assert_errno(OK, "fd_write", 2, 0, 2, 50);
    assert_int_equal(host.log_lines, 2);
    cis_host_stderr_flush(&host);
    assert_string_equal(
        cis_buf_cstr(&host.log),
        "{\"level\":\"warn\",\"text\":\"one\"},{\"level\":\"warn\",\"text\":\"two\"},"
        "{\"level\":\"warn\",\"text\":\"thr\"}");
}

static void streams_have_one_direction(void **state)
{
    (void)state;
    put_iov(0, 100, 4);
    assert_errno(BADF, "fd_write", 0, 0, 1, 50);
    assert_errno(BADF, "fd_read", 1, 0, 1, 50);
    assert_errno(BADF, "fd_read", 2, 0, 1, 50);
    assert_errno(BADF, "fd_read", 3, 0, 1, 50);
    assert_errno(BADF, "fd_write", UINT32_MAX, 0, 1, 50);
}

static void hostile_buffers_transfer_nothing(void **state)
{
    (void)state;
    host.input = cis_bytes_of("abcdef", 6);
    static const struct {
        uint32_t iovs, n, out, buf, len;
        int expected;
    } cases[] = {{0, 1, 50, OUTSIDE, 4, FAULT},        {0, 1, 50, 100, UINT32_MAX, FAULT},
                 {0, 1, 50, MEMORY - 3, 4, FAULT},     {0, 1, MEMORY - 3, 100, 4, FAULT},
                 {0, 1, OUTSIDE, 100, 4, FAULT},       {MEMORY - 7, 1, 50, 100, 4, FAULT},
                 {OUTSIDE, 1, 50, 100, 4, FAULT},      {0, 1025, 50, 100, 4, INVAL},
                 {0, UINT32_MAX, 50, 100, 4, INVAL},   {0, 0x20000000, 50, 100, 4, INVAL},
                 {MEMORY - 8, 1024, 50, 100, 4, FAULT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_iov(0, cases[i].buf, cases[i].len);
        for (uint32_t fd = 1; fd < 3; fd++) {
            assert_errno(cases[i].expected, "fd_write", fd, cases[i].iovs, cases[i].n,
                         cases[i].out);
        }
        assert_errno(cases[i].expected, "fd_read", 0, cases[i].iovs, cases[i].n, cases[i].out);
    }
    assert_int_equal(host.output.len, 0);
    assert_int_equal(host.input_pos, 0);
    assert_int_equal(host.budget.used, at_start);
}

static void a_second_buffer_outside_stops_the_first_too(void **state)
{
    (void)state;
    put_iov(0, 100, 4);
    put_iov(8, OUTSIDE, 4);
    assert_errno(FAULT, "fd_write", 1, 0, 2, 50);
    assert_int_equal(host.output.len, 0);
}

static void a_read_over_its_own_buffer_array_stays_in_memory(void **state)
{
    (void)state;
    uint8_t evil[16];
    memset(evil, 0xFF, sizeof evil); /* the second buffer becomes (4 GiB - 1, 4 GiB - 1) */
    host.input = cis_bytes_of(evil, sizeof evil);
    put_iov(0, 8, 8);
    put_iov(8, 100, 4);
    assert_errno(OK, "fd_read", 0, 0, 2, 50); /* as on Linux the array is read first */
    assert_int_equal(get32(50), 12);
    assert_memory_equal(guest.memory + 100, evil, 4);
}

static void many_buffers_on_one_place_count_once_each(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1024; i++) {
        put_iov(8 * i, 0, MEMORY);
    }
    host.output.max = 1u << 20;
    union cis_slot io[4] = {{.u32 = 1}, {.u32 = 0}, {.u32 = 1024}, {.u32 = 50}};
    assert_fails(CIS_E_BUDGET, "output", row("fd_write")->handler(&guest, io, err));
    assert_string_equal(guest.end.limit, "output");
    assert_int_equal(guest.end.configured, 1u << 20);
    assert_true(host.output.len <= 1u << 20);
}

static void output_is_charged_to_the_run(void **state)
{
    (void)state;
    host.budget.limit = at_start + 1000;
    put_iov(0, 0, 600);
    assert_errno(OK, "fd_write", 1, 0, 1, 50);
    union cis_slot io[4] = {{.u32 = 1}, {.u32 = 0}, {.u32 = 1}, {.u32 = 50}};
    assert_fails(CIS_E_BUDGET, "output", row("fd_write")->handler(&guest, io, err));
}

static void a_closed_stdout_takes_nothing_and_holds_nothing(void **state)
{
    (void)state;
    assert_errno(OK, "fd_close", 1);
    assert_errno(BADF, "fd_close", 1);
    assert_errno(BADF, "fd_close", 3);
    put_iov(0, 0, MEMORY);
    for (int i = 0; i < 16384; i++) { /* 1 GiB in all */
        assert_errno(BADF, "fd_write", 1, 0, 1, 50);
    }
    assert_int_equal(host.budget.peak, at_start);
    assert_errno(OK, "fd_close", 0);
    assert_errno(BADF, "fd_read", 0, 0, 1, 50);
}

static void log_lines_stop_at_the_deadline(void **state)
{
    (void)state;
    fake_guest_done(&guest);
    fake_guest_init(&guest, &host, 1u << 20);
    memset(guest.memory, '\n', guest.size);
    put_iov(0, 64, (1u << 20) - 64);
    guest.stop.deadline_ns = 1;
    union cis_slot io[4] = {{.u32 = 2}, {.u32 = 0}, {.u32 = 1}, {.u32 = 50}};
    assert_fails(CIS_E_DEADLINE, "stderr", row("fd_write")->handler(&guest, io, err));
}

static void renumber_moves_a_stream(void **state)
{
    (void)state;
    memcpy(guest.memory + 100, "x", 1);
    put_iov(0, 100, 1);
    assert_errno(OK, "fd_renumber", 1, 2); /* stdout is now descriptor 2 */
    assert_errno(BADF, "fd_write", 1, 0, 1, 50);
    assert_errno(OK, "fd_write", 2, 0, 1, 50);
    assert_string_equal(cis_buf_cstr(&host.output), "x");
    assert_int_equal(host.log_lines, 0);
    assert_errno(BADF, "fd_renumber", 2, 1); /* the target is not open */
    assert_errno(BADF, "fd_renumber", 1, 2);
    assert_errno(BADF, "fd_renumber", 9, 0);
    assert_errno(BADF, "fd_renumber", 0, 9);
    for (int i = 0; i < 1000000; i++) {
        assert_errno(OK, "fd_renumber", 2, 2);
    }
    assert_int_equal(host.budget.peak, at_start);
}

static void fdstat_shows_a_pipe_with_its_rights(void **state)
{
    (void)state;
    assert_errno(OK, "fd_fdstat_get", 0, 0);
    assert_int_equal(guest.memory[0], 0);
    assert_int_equal(get32(4), 0); /* padding is zero, not what was there */
    assert_true((get64(8) & 2) != 0 && (get64(8) & 64) == 0);
    assert_errno(OK, "fd_fdstat_get", 1, 24);
    assert_true((get64(32) & 64) != 0 && (get64(32) & 2) == 0);
    assert_int_equal(guest.memory[48], 0xAA);
    assert_errno(OK, "fd_fdstat_set_flags", 1, 4);
    assert_errno(OK, "fd_fdstat_get", 1, 0);
    assert_int_equal(cis_le16(guest.memory + 2), 4);
    assert_errno(NOTSUP, "fd_fdstat_set_flags", 1, 16);
    assert_errno(INVAL, "fd_fdstat_set_flags", 1, 32);
    assert_errno(BADF, "fd_fdstat_set_flags", 3, 0);
    assert_errno(BADF, "fd_fdstat_get", 3, 0);
    assert_errno(FAULT, "fd_fdstat_get", 1, MEMORY - 23);
}

static void rights_can_only_be_dropped(void **state)
{
    (void)state;
    assert_errno(NOTCAPABLE, "fd_fdstat_set_rights", 0, 64, 0);
    assert_errno(NOTCAPABLE, "fd_fdstat_set_rights", 0, 2, 2);
    assert_errno(OK, "fd_fdstat_set_rights", 0, 2, 0);
    assert_errno(OK, "fd_fdstat_get", 0, 0);
    assert_int_equal(get64(8), 2);
    assert_errno(OK, "fd_fdstat_set_rights", 0, 0, 0);
    assert_errno(NOTCAPABLE, "fd_fdstat_set_rights", 0, 2, 0);
    assert_errno(BADF, "fd_fdstat_set_rights", 3, 0, 0);
}

static void filestat_of_a_stream_is_all_zero_in_both_layouts(void **state)
{
    (void)state;
    static const uint8_t zero[64];
    assert_errno(OK, "fd_filestat_get", 1, 0);
    assert_memory_equal(guest.memory, zero, 64);
    assert_int_equal(guest.memory[64], 0xAA);
    assert_errno(FAULT, "fd_filestat_get", 1, MEMORY - 63);
    assert_errno(BADF, "fd_filestat_get", 7, 0);
    old = 1;
    assert_errno(OK, "fd_filestat_get", 1, 128);
    assert_memory_equal(guest.memory + 128, zero, 56);
    assert_int_equal(guest.memory[128 + 56], 0xAA);
    assert_errno(FAULT, "fd_filestat_get", 1, MEMORY - 55);
}

static void what_only_files_can_do_has_the_errno_of_a_pipe(void **state)
{
    (void)state;
    for (old = 0; old < 2; old++) {
        assert_errno(SPIPE, "fd_seek", 1, (uint64_t)-1, 0, 0);
        assert_errno(INVAL, "fd_seek", 1, 0, 3, 0);
        assert_errno(BADF, "fd_seek", 3, 0, 0, 0);
        assert_errno(SPIPE, "fd_tell", 0, OUTSIDE);
        assert_errno(SPIPE, "fd_pread", 0, OUTSIDE, UINT32_MAX, UINT64_MAX, OUTSIDE);
        assert_errno(SPIPE, "fd_pwrite", 1, OUTSIDE, UINT32_MAX, UINT64_MAX, OUTSIDE);
        assert_errno(SPIPE, "fd_advise", 0, 0, 0, 5);
        assert_errno(INVAL, "fd_advise", 0, 0, 0, 6);
        assert_errno(SPIPE, "fd_allocate", 1, 0, UINT64_MAX);
        assert_errno(INVAL, "fd_sync", 1);
        assert_errno(INVAL, "fd_datasync", 1);
        assert_errno(INVAL, "fd_filestat_set_size", 1, UINT64_MAX);
        assert_errno(NOTSUP, "fd_filestat_set_times", 1, (uint64_t)INT64_MIN, UINT64_MAX, 15);
        assert_errno(BADF, "fd_readdir", 0, OUTSIDE, UINT32_MAX, 0, OUTSIDE);
    }
    old = 0;
}

static void nothing_is_preopened(void **state)
{
    (void)state;
    for (old = 0; old < 2; old++) {
        for (uint32_t fd = 0; fd < 8; fd++) {
            assert_errno(BADF, "fd_prestat_get", fd, 0);
            assert_errno(BADF, "fd_prestat_dir_name", fd, 0, 8);
        }
        static const char *const on_files[] = {"fd_advise",
                                               "fd_allocate",
                                               "fd_datasync",
                                               "fd_sync",
                                               "fd_tell",
                                               "fd_filestat_set_size",
                                               "fd_filestat_set_times",
                                               "fd_pread",
                                               "fd_pwrite",
                                               "fd_readdir"};
        for (size_t i = 0; i < sizeof on_files / sizeof *on_files; i++) {
            assert_errno(BADF, on_files[i], 3, 0, 0, 0, 0);
        }
    }
    old = 0;
}

static void no_path_works(void **state)
{
    (void)state;
    for (old = 0; old < 2; old++) {
        for (uint32_t fd = 0; fd < 5; fd++) {
            int expected = fd < 3 ? NOTDIR : BADF;
            static const char *const names[] = {"path_create_directory",   "path_filestat_get",
                                                "path_filestat_set_times", "path_open",
                                                "path_readlink",           "path_remove_directory",
                                                "path_unlink_file"};
            for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
                assert_errno(expected, names[i], fd, OUTSIDE, UINT32_MAX, 0, 0, UINT64_MAX,
                             UINT64_MAX, 0, OUTSIDE);
            }
            assert_errno(expected, "path_symlink", OUTSIDE, UINT32_MAX, fd, OUTSIDE, UINT32_MAX);
            assert_errno(expected, "path_rename", fd, OUTSIDE, UINT32_MAX, fd, 0, 0);
            assert_errno(expected, "path_link", fd, 0, OUTSIDE, UINT32_MAX, fd, 0, 0);
        }
        assert_errno(BADF, "path_rename", 0, 0, 0, 3, 0, 0);
        assert_errno(BADF, "path_link", 3, 0, 0, 0, 0, 0, 0);
    }
    old = 0;
}

static void no_descriptor_is_a_socket(void **state)
{
    (void)state;
    for (uint32_t fd = 0; fd < 4; fd++) {
        int expected = fd < 3 ? NOTSOCK : BADF;
        assert_errno(expected, "sock_accept", fd, 0, OUTSIDE);
        assert_errno(expected, "sock_recv", fd, OUTSIDE, UINT32_MAX, 0, 0, 0);
        assert_errno(expected, "sock_send", fd, OUTSIDE, UINT32_MAX, 0, 0);
        assert_errno(expected, "sock_shutdown", fd, 3);
    }
    old = 1;
    assert_errno(NOTSOCK, "sock_recv", 0, 0, 0, 0, 0, 0);
    assert_errno(NOTSOCK, "sock_send", 0, 0, 0, 0, 0);
    assert_errno(NOTSOCK, "sock_shutdown", 0, 0);
}

/* ---- random ---- */
static void random_fills_the_buffer_and_no_more(void **state)
{
    (void)state;
    assert_errno(OK, "random_get", 0, 64);
    unsigned same = 0;
    for (int i = 0; i < 64; i++) {
        same += guest.memory[i] == 0xAA;
    }
    assert_true(same < 32);
    assert_int_equal(guest.memory[64], 0xAA);
    assert_errno(OK, "random_get", MEMORY, 0);
    assert_errno(OK, "random_get", 0, MEMORY);
    assert_errno(FAULT, "random_get", 1, MEMORY);
    assert_errno(FAULT, "random_get", 0, UINT32_MAX);
    assert_errno(FAULT, "random_get", OUTSIDE, 64);
    assert_int_equal(host.budget.peak, at_start);
}

static void random_ends_at_the_deadline(void **state)
{
    (void)state;
    fake_guest_done(&guest);
    fake_guest_init(&guest, &host, 1u << 20);
    guest.stop.deadline_ns = 1;
    union cis_slot io[2] = {{.u32 = 0}, {.u32 = 1u << 20}};
    assert_fails(CIS_E_DEADLINE, "random_get", row("random_get")->handler(&guest, io, err));
}

/* ---- process ---- */
static void exit_ends_the_guest_with_its_code(void **state)
{
    (void)state;
    union cis_slot io[1] = {{.i32 = 42}};
    assert_fails(CIS_E_FAILED, "exit 42", row("proc_exit")->handler(&guest, io, err));
    assert_true(guest.end.exited);
    assert_int_equal(guest.end.exit_code, 42);
}

static void a_raised_signal_does_what_it_does_by_default(void **state)
{
    (void)state;
    assert_errno(OK, "proc_raise", 0);
    assert_errno(OK, "proc_raise", 16);
    assert_errno(NOTSUP, "proc_raise", 18);
    assert_errno(INVAL, "proc_raise", 31);
    assert_false(guest.end.exited);
    union cis_slot io[1] = {{.i32 = 6}};
    assert_fails(CIS_E_FAILED, "exit 134", row("proc_raise")->handler(&guest, io, err));
}

static void yielding_gives_the_slot_back_and_takes_one_again(void **state)
{
    (void)state;
    union cis_slot io[1] = {{.i32 = 5}};
    assert_ok(row("sched_yield")->handler(&guest, io, err));
    assert_int_equal(io[0].i32, OK);
    assert_int_equal(guest.blocked, 1);
    assert_int_equal(guest.unblocked, 1);
    guest.unblock_code = CIS_E_DEADLINE;
    assert_fails(CIS_E_DEADLINE, "slot", row("sched_yield")->handler(&guest, io, err));
}

/* ---- poll ---- */
static void put_clock(uint32_t at, uint64_t userdata, uint32_t id, uint64_t timeout, uint16_t flags)
{
    uint8_t *p = guest.memory + at;
    size_t shift = old != 0 ? 8 : 0;
    memset(p, 0, 48 + shift);
    cis_put_le64(p, userdata);
    cis_put_le32(p + 16 + shift, id);
    cis_put_le64(p + 24 + shift, timeout);
    cis_put_le16(p + 40 + shift, flags);
}

static void put_fd(uint32_t at, uint64_t userdata, uint8_t tag, uint32_t fd)
{
    memset(guest.memory + at, 0, old != 0 ? 56 : 48);
    cis_put_le64(guest.memory + at, userdata);
    guest.memory[at + 8] = tag;
    cis_put_le32(guest.memory + at + 16, fd);
}

static void a_clock_subscription_sleeps_without_a_slot(void **state)
{
    (void)state;
    for (old = 0; old < 2; old++) {
        put_clock(0, 7, 1, 2 * CIS_NS_PER_MS, 0);
        uint64_t before = cis_clock_mono_ns();
        assert_errno(OK, "poll_oneoff", 0, 1024, 1, 512);
        assert_true(cis_clock_mono_ns() - before >= 2 * CIS_NS_PER_MS);
        assert_int_equal(get32(512), 1);
        assert_int_equal(get64(1024), 7);
        assert_int_equal(get64(1032), 0); /* no error, clock, padding zero */
        assert_int_equal(get64(1048), 0);
    }
    assert_int_equal(guest.blocked, 2);
    assert_int_equal(guest.unblocked, 2);
    old = 0;
}

static void absolute_times_work_on_both_clocks(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < 2; id++) {
        assert_errno(OK, "clock_time_get", id, 0, 2048);
        put_clock(0, 1, id, get64(2048) + CIS_NS_PER_MS, 1);
        assert_errno(OK, "poll_oneoff", 0, 1024, 1, 512);
        assert_int_equal(get32(512), 1);
        put_clock(0, 1, id, get64(2048), 1); /* past */
        guest.blocked = 0;
        assert_errno(OK, "poll_oneoff", 0, 1024, 1, 512);
        assert_int_equal(guest.blocked, 0);
    }
}

static void of_several_clocks_only_those_that_are_due_are_told(void **state)
{
    (void)state;
    put_clock(0, 1, 1, 3600 * CIS_NS_PER_S, 0);
    put_clock(48, 2, 1, 1000, 0);
    put_clock(96, 3, 0, UINT64_MAX, 0);
    put_clock(144, 4, 0, UINT64_MAX, 1);
    assert_errno(OK, "poll_oneoff", 0, 1024, 4, 512);
    assert_int_equal(get32(512), 1);
    assert_int_equal(get64(1024), 2);
}

static void streams_are_always_ready(void **state)
{
    (void)state;
    host.input = cis_bytes_of("abc", 3);
    put_fd(0, 1, 1, 0);
    put_fd(48, 2, 2, 1);
    put_clock(96, 3, 1, 3600 * CIS_NS_PER_S, 0);
    put_fd(144, 4, 1, 9);
    put_fd(192, 5, 2, 0);
    assert_errno(OK, "poll_oneoff", 0, 1024, 5, 512);
    assert_int_equal(guest.blocked, 0);
    assert_int_equal(get32(512), 4);
    assert_int_equal(get64(1024), 1);
    assert_int_equal(get64(1024 + 16), 3);
    assert_int_equal(get64(1056), 2);
    assert_int_equal(guest.memory[1056 + 10], 2);
    assert_int_equal(get64(1088), 4);
    assert_int_equal(cis_le16(guest.memory + 1088 + 8), BADF);
    assert_int_equal(cis_le16(guest.memory + 1120 + 8), BADF);
    host.input_pos = 3;
    assert_errno(OK, "poll_oneoff", 0, 1024, 1, 512);
    assert_int_equal(get64(1024 + 16), 0);
    assert_int_equal(cis_le16(guest.memory + 1024 + 24), 1); /* hang-up */
}

static void the_older_module_has_its_own_layout(void **state)
{
    (void)state;
    old = 1;
    host.input = cis_bytes_of("abc", 3);
    put_clock(0, 1, 1, 3600 * CIS_NS_PER_S, 0);
    put_fd(56, 2, 1, 0);
    assert_errno(OK, "poll_oneoff", 0, 1024, 2, 512);
    assert_int_equal(get32(512), 1);
    assert_int_equal(get64(1024), 2);
}

static void odd_subscriptions_have_their_errno(void **state)
{
    (void)state;
    put_clock(0, 1, 4, 0, 0);
    put_clock(48, 2, 1, 0, 2);
    put_clock(96, 3, 2, 0, 0);
    assert_errno(OK, "poll_oneoff", 0, 1024, 3, 512);
    assert_int_equal(get32(512), 3);
    assert_int_equal(cis_le16(guest.memory + 1024 + 8), INVAL);
    assert_int_equal(cis_le16(guest.memory + 1056 + 8), INVAL);
    assert_int_equal(cis_le16(guest.memory + 1088 + 8), NOTSUP);
    put_fd(0, 1, 3, 0);
    assert_errno(INVAL, "poll_oneoff", 0, 1024, 1, 512);
    assert_errno(INVAL, "poll_oneoff", 0, 1024, 0, 512);
    put_clock(0, 1, 1, 0, 0);
    assert_errno(FAULT, "poll_oneoff", MEMORY - 47, 0, 1, 512);
    assert_errno(FAULT, "poll_oneoff", 0, MEMORY - 31, 1, 512);
    assert_errno(FAULT, "poll_oneoff", 0, 1024, 1, MEMORY - 3);
    assert_errno(FAULT, "poll_oneoff", 0, 1024, UINT32_MAX, 512);
    assert_errno(FAULT, "poll_oneoff", OUTSIDE, OUTSIDE, 1, OUTSIDE);
}

static void a_million_subscriptions_cost_the_host_no_memory_and_end_at_the_deadline(void **state)
{
    (void)state;
    const uint32_t n = 1000000;
    fake_guest_done(&guest);
    fake_guest_init(&guest, &host, 81ull << 20);
    for (uint32_t i = 0; i < n; i++) {
        put_fd(48 * i, i, 1, 0);
    }
    assert_errno(OK, "poll_oneoff", 0, 48 * n, n, 80 * n);
    assert_int_equal(get32(80 * n), n);
    assert_int_equal(get64(48 * n + 32 * (n - 1)), n - 1);
    assert_int_equal(guest.burned, n); /* and each is charged */
    assert_int_equal(host.budget.peak, at_start);
    guest.stop.deadline_ns = 1;
    union cis_slot io[4] = {{.u32 = 0}, {.u32 = 48 * n}, {.u32 = n}, {.u32 = 80 * n}};
    assert_fails(CIS_E_DEADLINE, "poll_oneoff", row("poll_oneoff")->handler(&guest, io, err));
}

static void a_sleep_ends_at_the_deadline_and_at_cancellation(void **state)
{
    (void)state;
    put_clock(0, 1, 1, UINT64_MAX, 0);
    union cis_slot io[4] = {{.u32 = 0}, {.u32 = 1024}, {.u32 = 1}, {.u32 = 512}};
    guest.stop.deadline_ns = cis_clock_mono_ns() + CIS_NS_PER_MS;
    assert_fails(CIS_E_DEADLINE, "poll_oneoff", row("poll_oneoff")->handler(&guest, io, err));
    guest.stop.deadline_ns = CIS_NEVER;
    assert_ok(cis_cancel_new(&guest.stop.cancel, err));
    cis_cancel_fire(guest.stop.cancel);
    io[0].u32 = 0;
    assert_fails(CIS_E_CANCELLED, "poll_oneoff", row("poll_oneoff")->handler(&guest, io, err));
    cis_cancel_unref(guest.stop.cancel);
}

/* ---- the tables ---- */
static void every_row_is_complete(void **state)
{
    (void)state;
    for (int t = 0; t < 2; t++) {
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const struct cis_hostfn *r = &tables[t]->rows[i];
            assert_string_equal(r->module, tables[t]->abi);
            assert_non_null(r->handler);
            assert_true(strlen(r->doc) > 10);
            assert_true(r->cost >= 1);
            const char *colon = strchr(r->type, ':');
            size_t nparams = r->params[0] != 0;
            for (const char *p = r->params; *p != 0; p++) {
                nparams += *p == ',';
            }
            assert_non_null(colon);
            assert_int_equal((size_t)(colon - r->type), nparams);
        }
    }
}

/* Every function with the same two hostile fillings; none may touch what is outside. */
static void no_function_reaches_outside_whatever_its_arguments(void **state)
{
    (void)state;
    static const uint64_t fillings[] = {0,      1,       2,          3,           MEMORY - 1,
                                        MEMORY, OUTSIDE, UINT32_MAX, 0x80000000u, UINT64_MAX};
    for (old = 0; old < 2; old++) {
        for (size_t i = 0; i < tables[old]->nrows; i++) {
            for (size_t f = 0; f < sizeof fillings / sizeof *fillings; f++) {
                union cis_slot io[9];
                for (size_t k = 0; k < 9; k++) {
                    io[k].u64 = fillings[f];
                }
                struct cis_error error = {0};
                cis_code code = row(tables[old]->rows[i].name)->handler(&guest, io, &error);
                assert_true(code == CIS_OK || guest.end.exited);
                guest.end.exited = false;
            }
        }
    }
    old = 0;
}

static void random_arguments_never_reach_outside(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252ull; /* xorshift with a fixed seed */
    guest.stop.deadline_ns = cis_clock_mono_ns() + 20 * CIS_NS_PER_MS; /* sleeps stay short */
    for (int round = 0; round < 200000; round++) {
        union cis_slot io[9];
        for (size_t k = 0; k < 9; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            io[k].u64 = (x & 3) == 0 ? x : (x >> 8) % ((x & 4) != 0 ? 4 : MEMORY + 64);
        }
        old = round & 1;
        const struct cis_hostfn *r = &tables[old]->rows[(size_t)(x >> 32) % tables[old]->nrows];
        struct cis_error error = {0};
        cis_code code = r->handler(&guest, io, &error);
        assert_true(code == CIS_OK || code == CIS_E_FAILED || code == CIS_E_DEADLINE ||
                    code == CIS_E_BUDGET);
        host.output.len = 0;
        host.budget.used = 0;
        cis_wasi_p1_end(&host);
    }
    old = 0;
}

static void no_row_lacks_a_test(void **state)
{
    (void)state;
    for (int t = 0; t < 2; t++) {
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            if (!called[t][i]) {
                fail_msg("%s.%s has no test", tables[t]->abi, tables[t]->rows[i].name);
            }
        }
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(arguments_and_environment_arrive_as_c_strings),
        T(a_run_without_arguments_has_a_name_and_no_environment),
        T(arguments_never_leave_the_memory),
        T(clocks_tell_time_and_resolution),
        T(a_fixed_clock_stands_still),
        T(an_unknown_clock_or_a_bad_pointer_is_refused),
        T(clocks_and_random_are_grants_that_a_run_has_unless_switched_off),
        T(stdin_is_the_input_in_pieces_until_its_end),
        T(stdout_is_the_output_and_stderr_becomes_log_lines),
        T(streams_have_one_direction),
        T(hostile_buffers_transfer_nothing),
        T(a_second_buffer_outside_stops_the_first_too),
        T(a_read_over_its_own_buffer_array_stays_in_memory),
        T(many_buffers_on_one_place_count_once_each),
        T(output_is_charged_to_the_run),
        T(a_closed_stdout_takes_nothing_and_holds_nothing),
        T(log_lines_stop_at_the_deadline),
        T(renumber_moves_a_stream),
        T(fdstat_shows_a_pipe_with_its_rights),
        T(rights_can_only_be_dropped),
        T(filestat_of_a_stream_is_all_zero_in_both_layouts),
        T(what_only_files_can_do_has_the_errno_of_a_pipe),
        T(nothing_is_preopened),
        T(no_path_works),
        T(no_descriptor_is_a_socket),
        T(random_fills_the_buffer_and_no_more),
        T(random_ends_at_the_deadline),
        T(exit_ends_the_guest_with_its_code),
        T(a_raised_signal_does_what_it_does_by_default),
        T(yielding_gives_the_slot_back_and_takes_one_again),
        T(a_clock_subscription_sleeps_without_a_slot),
        T(absolute_times_work_on_both_clocks),
        T(of_several_clocks_only_those_that_are_due_are_told),
        T(streams_are_always_ready),
        T(the_older_module_has_its_own_layout),
        T(odd_subscriptions_have_their_errno),
        T(a_million_subscriptions_cost_the_host_no_memory_and_end_at_the_deadline),
        T(a_sleep_ends_at_the_deadline_and_at_cancellation),
        T(every_row_is_complete),
        T(no_function_reaches_outside_whatever_its_arguments),
        T(random_arguments_never_reach_outside),
        T(no_row_lacks_a_test),
    };
    return cmocka_run_group_tests_name("wasi_p1", tests, NULL, NULL);
}
