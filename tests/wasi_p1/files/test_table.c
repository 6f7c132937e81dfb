/* Descriptors: numbers, closing, moving, limits, what they cost the run. */
#include "wasi_p1/files/files.h"

static void numbers_are_the_lowest_that_are_free(void **state)
{
    (void)state;
    uint32_t fds[8];
    for (uint32_t i = 0; i < 8; i++) {
        fds[i] = opened(W, "f", CREAT, READ, 0);
        assert_int_equal(fds[i], 5 + i);
    }
    w_close(fds[6]);
    w_close(fds[2]);
    w_close(fds[4]);
    assert_int_equal(opened(W, "f", 0, READ, 0), fds[2]);
    assert_int_equal(opened(W, ".", DIRECTORY, 0, 0), fds[4]);
    assert_int_equal(opened(W, "f", 0, READ, 0), fds[6]);
    assert_int_equal(opened(W, "f", 0, READ, 0), 13);
    w_close(1); /* a standard stream's number is one like any other, once it is closed */
    w_close(0);
    assert_int_equal(opened(W, "f", 0, READ, 0), 0);
    assert_int_equal(opened(W, "f", 0, READ, 0), 1);
}

static void a_stream_that_never_was_keeps_its_number(void **state)
{
    (void)state;
    cis_wasi_p1_end(&FX.host);
    FX.host.wasi_env.std[0].kind = CIS_STREAM_CLOSED;
    assert_ok(cis_wasi_p1_start(&FX.host, err));
    put_iov(0, BUF, 1);
    assert_errno(BADF, "fd_read", 0, IOVS, 1, OUT);
    assert_errno(BADF, "fd_close", 0);
    assert_errno(BADF, "fd_fdstat_get", 0, OUT);
    assert_errno(BADF, "fd_renumber", 0, 1);
    assert_errno(BADF, "fd_renumber", 1, 0);
    assert_int_equal(opened(W, "f", CREAT, READ, 0), 5);
}

static void closed_is_closed(void **state)
{
    (void)state;
    for (FX.old = 0; FX.old < 2; FX.old++) {
        uint32_t fd = opened(W, "f", CREAT, READ | WRITE, 0);
        w_close(fd);
        assert_errno(BADF, "fd_close", fd);
        put_iov(0, BUF, 1);
        assert_errno(BADF, "fd_read", fd, IOVS, 1, OUT);
        assert_errno(BADF, "fd_write", fd, IOVS, 1, OUT);
        assert_errno(BADF, "fd_pread", fd, IOVS, 1, 0, OUT);
        assert_errno(BADF, "fd_pwrite", fd, IOVS, 1, 0, OUT);
        assert_errno(BADF, "fd_seek", fd, 0, 0, OUT);
        assert_errno(BADF, "fd_tell", fd, OUT);
        assert_errno(BADF, "fd_sync", fd);
        assert_errno(BADF, "fd_datasync", fd);
        assert_errno(BADF, "fd_advise", fd, 0, 0, 0);
        assert_errno(BADF, "fd_allocate", fd, 0, 1);
        assert_errno(BADF, "fd_fdstat_get", fd, OUT);
        assert_errno(BADF, "fd_fdstat_set_flags", fd, 0);
        assert_errno(BADF, "fd_fdstat_set_rights", fd, 0, 0);
        assert_errno(BADF, "fd_filestat_get", fd, OUT);
        assert_errno(BADF, "fd_filestat_set_size", fd, 0);
        assert_errno(BADF, "fd_filestat_set_times", fd, 0, 0, 0);
        assert_errno(BADF, "fd_readdir", fd, BUF, 100, 0, OUT);
        assert_errno(BADF, "fd_prestat_get", fd, OUT);
        assert_errno(BADF, "fd_prestat_dir_name", fd, BUF, 100);
        assert_errno(BADF, "fd_renumber", fd, fd);
        assert_errno(BADF, "path_open", fd, 0, S("f"), 0, 0, 0, 0, OUT);
        assert_errno(BADF, "path_create_directory", fd, S("d"));
        assert_errno(BADF, "path_filestat_get", fd, 0, S("f"), OUT);
        assert_errno(BADF, "path_filestat_set_times", fd, 0, S("f"), 0, 0, 0);
        assert_errno(BADF, "path_link", fd, 0, S("f"), W, S("g"));
        assert_errno(BADF, "path_link", W, 0, S("f"), fd, S("g"));
        assert_errno(BADF, "path_readlink", fd, S("f"), BUF, 100, OUT);
        assert_errno(BADF, "path_remove_directory", fd, S("f"));
        assert_errno(BADF, "path_rename", fd, S("f"), W, S("g"));
        assert_errno(BADF, "path_rename", W, S("f"), fd, S("g"));
        assert_errno(BADF, "path_symlink", S("x"), fd, S("g"));
        assert_errno(BADF, "path_unlink_file", fd, S("f"));
        assert_file("f", "");
    }
}

static void renumber_moves_everything_a_descriptor_is(void **state)
{
    (void)state;
    w_file("a", "aaa");
    w_file("b", "bbb");
    uint32_t a = opened(W, "a", 0, READ, 0), b = opened(W, "b", 0, READ | WRITE, APPEND);
    assert_int_equal(w_read(b, 1), 1);
    assert_errno(OK, "fd_renumber", b, a);
    assert_errno(BADF, "fd_fdstat_get", b, OUT);
    assert_read(a, "bb"); /* with its offset */
    assert_errno(OK, "fd_fdstat_get", a, OUT);
    assert_int_equal(cis_le16(mem(OUT + 2, 2)), APPEND);
    assert_int_equal(get64(OUT + 8), READ | WRITE);
    assert_int_equal(opened(W, "a", 0, READ, 0), b); /* the number is free again */
    assert_errno(BADF, "fd_renumber", a, 99);
    assert_errno(BADF, "fd_renumber", 99, a);
    assert_errno(BADF, "fd_renumber", a, UINT32_MAX);
    assert_read(a, "");
}

static void renumber_takes_streams_and_directories_too(void **state)
{
    (void)state;
    uint32_t f = opened(W, "f", CREAT, WRITE, 0), fd;
    assert_errno(OK, "fd_renumber", f, 1); /* stdout is a file now */
    assert_errno_(CIS_WASI_OK, w_write(1, "text"));
    assert_file("f", "text");
    assert_int_equal(FX.host.output.len, 0);
    assert_errno(OK, "fd_renumber", R, W); /* a preopen onto another */
    assert_errno_(CIS_WASI_ROFS, w_open(W, "f", 0, WRITE, 0, &fd));
    assert_errno(BADF, "fd_prestat_get", R, OUT);
    assert_errno(OK, "fd_prestat_dir_name", W, BUF, 2);
    assert_memory_equal(mem(BUF, 2), "/r", 2);
    uint32_t d = opened(W, ".", DIRECTORY, 0, 0);
    assert_errno(OK, "fd_renumber", d, W); /* over a preopen: it is none any more */
    assert_errno(BADF, "fd_prestat_get", W, OUT);
    fd = opened(W, "f", 0, READ, 0);
    assert_errno(OK, "fd_renumber", W, 0);
    assert_errno(OK, "fd_renumber", 0, 0);
    assert_read(opened(0, "f", 0, READ, 0), "text");
    w_close(fd);
}

static void a_million_moves_take_constant_memory(void **state)
{
    (void)state;
    uint32_t a = opened(W, "a", CREAT, READ, 0), b = opened(W, "b", CREAT, READ, 0);
    uint64_t before = FX.host.budget.used, peak;
    assert_errno(OK, "fd_renumber", a, b);
    uint64_t one = FX.host.budget.used;
    assert_true(one < before);
    assert_int_equal(opened(W, "a", 0, READ, 0), a);
    assert_int_equal(FX.host.budget.used, before);
    peak = FX.host.budget.peak;
    for (int i = 0; i < 1000000; i++) { /* onto itself and there and back: never anything new */
        union cis_slot io[2] = {{.u32 = b}, {.u32 = b}};
        assert_ok(row_of("fd_renumber")->handler(guest_now(), io, err));
        assert_int_equal(io[0].i32, 0);
    }
    for (int i = 0; i < 1000; i++) {
        assert_errno(OK, "fd_renumber", a, b);
        assert_int_equal(opened(W, "a", 0, READ, 0), a);
    }
    assert_int_equal(FX.host.budget.used, before);
    assert_int_equal(FX.host.budget.peak, peak);
}

static void so_many_files_and_no_more(void **state)
{
    (void)state;
    uint32_t fd;
    files_again(70, 0);
    for (uint32_t i = 5; i < 70; i++) {
        assert_int_equal(opened(W, "f", CREAT, READ, 0), i);
    }
    assert_errno_(CIS_WASI_MFILE, w_open(W, "f", 0, READ, 0, &fd));
    assert_errno_(CIS_WASI_MFILE, w_open(W, "new", CREAT, READ, 0, &fd));
    struct w_stat st; /* nothing was made for a descriptor that is not to be had */
    assert_errno_(CIS_WASI_NOENT, w_stat(W, "new", false, &st));
    assert_errno_(CIS_WASI_MFILE, w_open(W, ".", DIRECTORY, 0, 0, &fd));
    w_close(33);
    assert_int_equal(opened(W, "f", 0, READ, 0), 33);
    files_again(0, 0);
    for (uint32_t i = 5; i < CIS_WORLD_FILES_MAX; i++) { /* the table grows */
        assert_int_equal(opened(W, "f", 0, READ, 0), i);
    }
    assert_errno_(CIS_WASI_MFILE, w_open(W, "f", 0, READ, 0, &fd));
    for (uint32_t i = CIS_WORLD_FILES_MAX; i-- > 5;) {
        w_close(i);
    }
    assert_int_equal(opened(W, "f", 0, READ, 0), 5);
}

static void open_files_are_charged_to_the_run(void **state)
{
    (void)state;
    uint32_t fd, n = 0;
    files_again(0, 40000);
    w_file("f", "x");
    uint64_t used = FX.host.budget.used;
    int error = CIS_WASI_OK;
    while (error == CIS_WASI_OK && n < 200) {
        error = w_open(W, "f", 0, READ, 0, &fd);
        n += error == CIS_WASI_OK;
    }
    assert_errno_(CIS_WASI_NFILE, error);
    assert_in_range(n, 10, 100);
    for (uint32_t i = 0; i < n; i++) {
        w_close(5 + i);
    }
    assert_int_equal(FX.host.budget.used, used);
}

/* A chain of directories is held for each: deep ones cost more. */
static void deep_directories_cost_what_they_hold(void **state)
{
    (void)state;
    char path[512] = "";
    for (int i = 0; i < 100; i++) {
        strncat(path, i == 0 ? "d" : "/d", sizeof path - strlen(path) - 1);
        w_dir(path);
    }
    uint64_t before = FX.host.budget.used;
    uint32_t fd = opened(W, "d", DIRECTORY, 0, 0);
    uint64_t flat = FX.host.budget.used - before;
    w_close(fd);
    fd = opened(W, path, DIRECTORY, 0, 0);
    uint64_t deep = FX.host.budget.used - before;
    assert_true(deep > flat + 99 * 32);
    w_close(fd);
    assert_int_equal(FX.host.budget.used, before);
}

static void what_a_guest_leaves_open_is_closed_for_it(void **state)
{
    (void)state;
    w_dir("d");
    w_file("f", "x");
    opened(W, "f", 0, READ | WRITE, 0);
    uint32_t d = opened(W, "d", DIRECTORY, 0, 0);
    assert_errno(OK, "fd_readdir", d, BUF, 100, 0, OUT);
    assert_errno(OK, "fd_readdir", W, BUF, 100, 0, OUT);
    cis_wasi_p1_end(&FX.host);
    assert_int_equal(FX.host.budget.used, 0);
    cis_wasi_p1_end(&FX.host);                  /* once more is nothing */
    assert_errno(OK, "fd_prestat_get", W, OUT); /* and a call begins anew */
}

static void too_many_directories_to_begin_with_fail_the_run(void **state)
{
    (void)state;
    cis_wasi_p1_end(&FX.host);
    FX.host.wasi_env.files_max = 4;
    assert_fails(CIS_E_LIMIT, "4", cis_wasi_p1_start(&FX.host, err));
    assert_null(FX.host.wasi);
    FX.host.wasi_env.files_max = 5;
    FX.host.budget.limit = 1000;
    assert_fails(CIS_E_BUDGET, "", cis_wasi_p1_start(&FX.host, err));
    assert_int_equal(FX.host.budget.used, 0);
    FX.host.budget.limit = 1u << 20;
    assert_ok(cis_wasi_p1_start(&FX.host, err));
}

const struct CMUnitTest files_table[] = {
    FILES_TEST(numbers_are_the_lowest_that_are_free),
    FILES_TEST(a_stream_that_never_was_keeps_its_number),
    FILES_TEST(closed_is_closed),
    FILES_TEST(renumber_moves_everything_a_descriptor_is),
    FILES_TEST(renumber_takes_streams_and_directories_too),
    FILES_TEST(a_million_moves_take_constant_memory),
    FILES_TEST(so_many_files_and_no_more),
    FILES_TEST(open_files_are_charged_to_the_run),
    FILES_TEST(deep_directories_cost_what_they_hold),
    FILES_TEST(what_a_guest_leaves_open_is_closed_for_it),
    FILES_TEST(too_many_directories_to_begin_with_fail_the_run),
};
const size_t nfiles_table = sizeof files_table / sizeof *files_table;
