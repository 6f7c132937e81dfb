/* Attributes: what filestat tells in both layouts, times to the nanosecond and at their limits. */
#include "wasi_p1/files/files.h"

#include <time.h>

#define A CIS_WASI_FST_ATIM
#define A_NOW CIS_WASI_FST_ATIM_NOW
#define M CIS_WASI_FST_MTIM
#define M_NOW CIS_WASI_FST_MTIM_NOW
#define S_NS 1000000000ull

static void filestat_tells_the_same_in_both_layouts(void **state)
{
    (void)state;
    struct w_stat st[2], by_fd[2];
    w_file("f", "12345");
    assert_errno(OK, "path_link", W, 0, S("f"), W, S("g"));
    assert_errno(OK, "path_filestat_set_times", W, 1, S("f"), 11 * S_NS + 22, 33 * S_NS + 44,
                 A | M);
    uint32_t fd = opened(W, "f", 0, READ, 0);
    for (FX.old = 0; FX.old < 2; FX.old++) {
        uint32_t size = FX.old ? 56 : 64;
        memset(mem(OUT, 72), 0xEE, 72);
        assert_errno_(CIS_WASI_OK, w_stat(W, "f", true, &st[FX.old]));
        assert_int_equal(*mem(OUT + size, 1), 0xEE); /* no byte too many */
        for (uint32_t i = 17; i < (FX.old ? 20u : 24u); i++) {
            assert_int_equal(*mem(OUT + i, 1), 0); /* padding */
        }
        w_fstat(fd, &by_fd[FX.old]);
        assert_errno(FAULT, "path_filestat_get", W, 0, S("f"), FX.memory - size + 1);
        assert_errno(OK, "path_filestat_get", W, 0, S("f"), FX.memory - size);
        assert_errno(FAULT, "fd_filestat_get", fd, FX.memory - size + 1);
        assert_errno(INVAL, "path_filestat_get", W, 2, S("f"), OUT);
    }
    FX.old = 0;
    assert_memory_equal(&st[0], &st[1], sizeof st[0]);
    assert_memory_equal(&st[0], &by_fd[0], sizeof st[0]);
    assert_memory_equal(&st[0], &by_fd[1], sizeof st[0]);
    assert_int_equal(st[0].type, CIS_WASI_FILETYPE_REGULAR_FILE);
    assert_int_equal(st[0].size, 5);
    assert_int_equal(st[0].nlink, 2);
    assert_int_equal(st[0].atim, 11 * S_NS + 22);
    assert_int_equal(st[0].mtim, 33 * S_NS + 44);
}

static void each_kind_has_its_type(void **state)
{
    (void)state;
    struct w_stat st;
    w_file("f", "");
    w_dir("d");
    w_link("f", "l");
    w_link("none", "dangling");
    static const struct {
        const char *path;
        bool follow;
        enum cis_wasi_errno error;
        uint64_t type;
    } cases[] = {
        {"f", true, CIS_WASI_OK, CIS_WASI_FILETYPE_REGULAR_FILE},
        {"d", false, CIS_WASI_OK, CIS_WASI_FILETYPE_DIRECTORY},
        {".", false, CIS_WASI_OK, CIS_WASI_FILETYPE_DIRECTORY},
        {"l", false, CIS_WASI_OK, CIS_WASI_FILETYPE_SYMBOLIC_LINK},
        {"l", true, CIS_WASI_OK, CIS_WASI_FILETYPE_REGULAR_FILE},
        {"dangling", false, CIS_WASI_OK, CIS_WASI_FILETYPE_SYMBOLIC_LINK},
        {"dangling", true, CIS_WASI_NOENT, 0},
        {"f/", true, CIS_WASI_NOTDIR, 0},
        {"f/x", true, CIS_WASI_NOTDIR, 0},
        {"none/x", true, CIS_WASI_NOENT, 0},
    };
    for (FX.old = 0; FX.old < 2; FX.old++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            assert_errno_(cases[i].error, w_stat(W, cases[i].path, cases[i].follow, &st));
            if (cases[i].error == CIS_WASI_OK) {
                assert_int_equal(st.type, cases[i].type);
            }
        }
    }
}

static void each_combination_of_flags_sets_what_it_says(void **state)
{
    (void)state;
    struct w_stat st;
    w_file("f", "x");
    w_dir("d");
    uint32_t fds[2] = {opened(W, "f", 0, READ, 0), opened(W, "d", DIRECTORY, 0, 0)};
    static const char *const names[] = {"f", "d"};
    for (uint32_t flags = 0; flags < 20; flags++) {
        bool bad = (flags & (A | A_NOW)) == (A | A_NOW) || (flags & (M | M_NOW)) == (M | M_NOW) ||
                   flags > 15;
        for (size_t i = 0; i < 4; i++) {
            uint32_t fd = fds[i % 2];
            FX.old = (int)((flags + i) % 2);
            assert_errno(OK, "fd_filestat_set_times", fd, 5 * S_NS, 6 * S_NS, A | M);
            uint64_t now = (uint64_t)time(NULL) * S_NS;
            int got = i < 2 ? CALL("fd_filestat_set_times", fd, 7 * S_NS + 1, 8 * S_NS + 2, flags)
                            : CALL("path_filestat_set_times", W, 1, S(names[i % 2]), 7 * S_NS + 1,
                                   8 * S_NS + 2, flags);
            assert_errno_(bad ? CIS_WASI_INVAL : CIS_WASI_OK, got);
            w_fstat(fd, &st);
            if (bad || (flags & (A | A_NOW)) == 0) {
                assert_int_equal(st.atim, 5 * S_NS);
            } else if ((flags & A) != 0) {
                assert_int_equal(st.atim, 7 * S_NS + 1);
            } else {
                assert_in_range(st.atim, now - S_NS, now + 100 * S_NS);
            }
            if (bad || (flags & (M | M_NOW)) == 0) {
                assert_int_equal(st.mtim, 6 * S_NS);
            } else if ((flags & M) != 0) {
                assert_int_equal(st.mtim, 8 * S_NS + 2);
            } else {
                assert_in_range(st.mtim, now - S_NS, now + 100 * S_NS);
            }
        }
    }
    FX.old = 0;
}

static void times_of_a_link_are_its_own_unless_it_is_followed(void **state)
{
    (void)state;
    struct w_stat st;
    w_file("f", "x");
    w_link("f", "l");
    assert_errno(OK, "path_filestat_set_times", W, 1, S("l"), 1, 2, A | M);
    assert_errno(OK, "path_filestat_set_times", W, 0, S("l"), 3, 4, A | M);
    assert_errno_(CIS_WASI_OK, w_stat(W, "f", false, &st));
    assert_int_equal(st.mtim, 2);
    assert_errno_(CIS_WASI_OK, w_stat(W, "l", false, &st));
    assert_int_equal(st.mtim, 4);
    assert_errno(INVAL, "path_filestat_set_times", W, 2, S("l"), 3, 4, A);
    assert_errno(NOENT, "path_filestat_set_times", W, 0, S("none"), 3, 4, 0);
    assert_errno(NOENT, "path_filestat_set_times", W, 0, S("none"), 3, 4, A);
}

static void times_at_their_limits_are_kept_or_cut(void **state)
{
    (void)state;
    static const uint64_t limits[] = {0,
                                      1,
                                      999999999,
                                      1000000000,
                                      INT64_MAX,
                                      1ull << 63, /* INT64_MIN, and what -1 looks like: */
                                      UINT64_MAX,
                                      (uint64_t)-2000000000000000000ll,
                                      2147483647ull * 1000000000,
                                      2147483648ull * 1000000000 + 999999999};
    w_file("f", "x");
    uint32_t fd = opened(W, "f", 0, READ, 0);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct w_stat st;
        FX.old = (int)(i % 2);
        assert_errno(OK, "fd_filestat_set_times", fd, limits[i], limits[i], A | M);
        w_fstat(fd, &st);
        if (FX.backend->settle != NULL || limits[i] < 4000000000ull * S_NS) {
            assert_int_equal(st.atim, limits[i]); /* to the nanosecond */
            assert_int_equal(st.mtim, limits[i]);
        } else {
            assert_true(st.mtim <= limits[i]); /* the host's filesystem may not reach so far */
        }
        assert_errno(OK, "path_filestat_set_times", W, 0, S("f"), limits[i], limits[i], A | M);
    }
    FX.old = 0;
}

/* A guest cannot say a time before 1970; a folder of the host may hold one. */
static void times_before_1970_show_as_1970(void **state)
{
    (void)state;
    struct w_stat st;
    struct cis_vfs_call call = {0};
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_ATIME | CIS_VFS_SET_MTIME,
                              .atime = {-1, 999999999},
                              .mtime = {-2147483648ll, 0}};
    w_file("f", "x");
    assert_int_equal(cis_at_set(FX.dirs[0], &call, CIS_STR("f"), 0, &set), 0);
    for (FX.old = 0; FX.old < 2; FX.old++) {
        assert_errno_(CIS_WASI_OK, w_stat(W, "f", true, &st));
        assert_int_equal(st.atim, 0);
        assert_int_equal(st.mtim, 0);
    }
    FX.old = 0;
    if (FX.backend->settle != NULL) { /* and one after 2554 as the last there is */
        set.mtime = (struct timespec){INT64_MAX, 999999999};
        set.atime = (struct timespec){INT64_MIN, 0};
        if (cis_at_set(FX.dirs[0], &call, CIS_STR("f"), 0, &set) == 0) {
            assert_errno_(CIS_WASI_OK, w_stat(W, "f", true, &st));
            assert_int_equal(st.mtim, UINT64_MAX);
            assert_int_equal(st.atim, 0);
        }
    }
}

static void streams_have_a_type_and_no_times_to_set(void **state)
{
    (void)state;
    struct w_stat st;
    for (FX.old = 0; FX.old < 2; FX.old++) {
        w_fstat(1, &st);
        assert_int_equal(st.type, CIS_WASI_FILETYPE_UNKNOWN);
        assert_errno(NOTSUP, "fd_filestat_set_times", 1, 1, 1, 5);
        assert_errno(INVAL, "fd_filestat_set_size", 1, 0);
    }
}

const struct CMUnitTest files_times[] = {
    FILES_TEST(filestat_tells_the_same_in_both_layouts),
    FILES_TEST(each_kind_has_its_type),
    FILES_TEST(each_combination_of_flags_sets_what_it_says),
    FILES_TEST(times_of_a_link_are_its_own_unless_it_is_followed),
    FILES_TEST(times_at_their_limits_are_kept_or_cut),
    FILES_TEST(times_before_1970_show_as_1970),
    FILES_TEST(streams_have_a_type_and_no_times_to_set),
};
const size_t nfiles_times = sizeof files_times / sizeof *files_times;
