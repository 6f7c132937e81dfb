/* Pointers and numbers of a guest that means harm, on every function of files. */
#include "wasi_p1/files/files.h"

#include "base/clock.h"

/* n: a number; p: a pointer with the length that follows (l) or of fixed size (a digit after it).
 */
static const struct shape {
    const char *name, *args;
    uint64_t values[9]; /* that work, or fail for another reason than a pointer */
} shapes[] = {
    {"fd_fdstat_get", "nD", {W, OUT}},
    {"fd_filestat_get", "nF", {W, OUT}},
    {"fd_prestat_get", "n8", {W, OUT}},
    {"fd_prestat_dir_name", "nw-", {W, OUT, 2}},
    {"fd_pread", "niln4", {5, IOVS, 1, 0, OUT}},
    {"fd_pwrite", "niln4", {5, IOVS, 1, 0, OUT}},
    {"fd_read", "nil4", {5, IOVS, 1, OUT}},
    {"fd_write", "nil4", {5, IOVS, 1, OUT}},
    {"fd_readdir", "npln4", {W, BUF, 64, 0, OUT}},
    {"fd_seek", "nnn8", {5, 0, 0, OUT}},
    {"fd_tell", "n8", {5, OUT}},
    {"path_create_directory", "npl", {W, TEXT, 1}},
    {"path_filestat_get", "nnplF", {W, 0, TEXT, 1, OUT}},
    {"path_filestat_set_times", "nnplnnn", {W, 0, TEXT, 1, 0, 0, 0}},
    {"path_link", "nnplnpl", {W, 0, TEXT, 1, W, TEXT, 1}},
    {"path_open", "nnplnnnn4", {W, 0, TEXT, 1, CREAT, 0, 0, 0, OUT}},
    {"path_readlink", "nplpl4", {W, TEXT, 1, BUF, 64, OUT}},
    {"path_remove_directory", "npl", {W, TEXT, 1}},
    {"path_rename", "nplnpl", {W, TEXT, 1, W, TEXT, 1}},
    {"path_symlink", "plnpl", {TEXT, 1, W, TEXT, 1}},
    {"path_unlink_file", "npl", {W, TEXT, 1}},
};

static uint32_t size_of(char kind)
{
    switch (kind) {
    case '4':
        return 4;
    case '8':
        return 8;
    case 'D':
        return 24;
    case 'F':
        return FX.old ? 56 : 64;
    case 'w':
        return 2;
    case 'i':
        return 8;
    case 'p':
        return 1;
    default:
        return 0;
    }
}

/* Every pointer of every function, by itself, at every kind of place outside. */
static void each_pointer_outside_is_a_fault_and_changes_nothing(void **state)
{
    (void)state;
    w_file("x", "content");
    uint32_t fd = opened(W, "x", 0, READ | WRITE, 0);
    assert_int_equal(fd, 5);
    for (FX.old = 0; FX.old < 2; FX.old++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            const struct shape *s = &shapes[i];
            size_t n = strcspn(row_of(s->name)->type, ":");
            assert_int_equal(strlen(s->args), n);
            for (size_t k = 0; k < n; k++) {
                uint32_t size = size_of(s->args[k]);
                if (size == 0) {
                    continue;
                }
                const uint64_t places[] = {FX.memory - size + 1, FX.memory, OUTSIDE, UINT32_MAX,
                                           0x80000000u};
                for (size_t p = 0; p < 5; p++) {
                    uint64_t args[9];
                    memcpy(args, s->values, sizeof args);
                    if (size == 1 && p == 0) {
                        args[k + 1] = 2;
                        args[k] = FX.memory - 1;
                    } else {
                        args[k] = places[p];
                    }
                    put_iov(0, BUF, 4);
                    put_text("x", 1);
                    int got = call_row(s->name, args, n);
                    if (got != CIS_WASI_FAULT) {
                        fail_msg("%s, argument %zu at %llu: %s", s->name, k,
                                 (unsigned long long)args[k], errno_name(got));
                    }
                }
            }
        }
    }
    FX.old = 0;
    assert_file("x", "content");
    assert_errno(OK, "fd_tell", fd, OUT);
    assert_int_equal(get64(OUT), 0);
    assert_int_equal(opened(W, "x", 0, READ, 0), 6); /* no descriptor was lost on the way */
}

/* Lengths that reach beyond the end, or wrap around. */
static void each_length_beyond_the_memory_is_a_fault(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0xFFFFFFFFu, 0x80000000u, 0xFFFF8000u};
    w_file("x", "content");
    assert_int_equal(opened(W, "x", 0, READ | WRITE, 0), 5);
    for (FX.old = 0; FX.old < 2; FX.old++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            const struct shape *s = &shapes[i];
            size_t n = strlen(s->args);
            for (size_t k = 0; k < n; k++) {
                if (s->args[k] != 'l') {
                    continue;
                }
                for (size_t p = 0; p < 3; p++) {
                    uint64_t args[9];
                    memcpy(args, s->values, sizeof args);
                    args[k] = lengths[p];
                    put_text("x", 1);
                    put_iov(0, BUF, 4);
                    int want = s->args[k - 1] == 'i' ? CIS_WASI_INVAL : CIS_WASI_FAULT;
                    assert_errno_(want, call_row(s->name, args, n));
                }
            }
        }
    }
    FX.old = 0;
    assert_file("x", "content");
}

static const char *const names[] = {"fd_advise",
                                    "fd_allocate",
                                    "fd_close",
                                    "fd_datasync",
                                    "fd_fdstat_get",
                                    "fd_fdstat_set_flags",
                                    "fd_fdstat_set_rights",
                                    "fd_filestat_get",
                                    "fd_filestat_set_size",
                                    "fd_filestat_set_times",
                                    "fd_pread",
                                    "fd_prestat_get",
                                    "fd_prestat_dir_name",
                                    "fd_pwrite",
                                    "fd_read",
                                    "fd_readdir",
                                    "fd_renumber",
                                    "fd_seek",
                                    "fd_sync",
                                    "fd_tell",
                                    "fd_write",
                                    "path_create_directory",
                                    "path_filestat_get",
                                    "path_filestat_set_times",
                                    "path_link",
                                    "path_open",
                                    "path_readlink",
                                    "path_remove_directory",
                                    "path_rename",
                                    "path_symlink",
                                    "path_unlink_file"};

static uint64_t random_state;
static uint64_t next_random(void) /* xorshift with a fixed seed */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Calls with numbers near those that work: deep into the handlers, with whatever they leave. */
static void random_calls_do_no_harm(void **state)
{
    (void)state;
    static const char *const paths[] = {"a", "b", "a/b", "..", "a/../b", "/", "l", "a/l/b", "b/"};
    uint64_t used = FX.host.budget.used;
    random_state = 88172645463325252ull;
    const int rounds = guest_blocked() < 0 ? 20000 : 60000;
    for (int round = 0; round < rounds; round++) {
        uint64_t args[9];
        uint32_t at = TEXT;
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            memcpy(mem(at + 8 * (uint32_t)i, 8), paths[i], strlen(paths[i]) + 1);
        }
        put_iov((uint32_t)next_random() % 4, (uint32_t)next_random() % (FX.memory + 100),
                (uint32_t)next_random() % 3000);
        for (size_t k = 0; k < 9; k++) {
            uint64_t x = next_random();
            switch (x >> 60) {
            case 0:
                args[k] = x;
                break;
            case 1:
                args[k] = x % ((uint64_t)FX.memory + 64);
                break;
            case 2:
            case 3:
            case 4:
                args[k] = TEXT + 8 * (x % 9);
                break;
            case 5:
                args[k] = x % 64;
                break;
            default:
                args[k] = x % 9;
            }
        }
        const char *name = names[next_random() % (sizeof names / sizeof *names)];
        if (strcmp(name, "fd_filestat_set_size") == 0 || strcmp(name, "fd_allocate") == 0 ||
            strcmp(name, "fd_pwrite") == 0) {
            args[1] %= 1u << 20; /* disks of tests are small */
            args[2] %= 1u << 20;
            args[3] %= 1u << 20;
        }
        FX.old = round & 1;
        const struct cis_hostfn *row = row_of(name);
        union cis_slot io[9];
        for (size_t k = 0; k < 9; k++) {
            io[k].u64 = args[k];
        }
        assert_ok(guest_call(row, io, err));
        assert_in_range(io[0].i32, 0, CIS_WASI_NOTCAPABLE);
        if (round % 500 == 499) {
            FX.old = 0;
            for (uint32_t fd = 0; fd < 200; fd++) {
                (void)CALL("fd_close", fd);
            }
            FX.host.output.len = 0;
            cis_wasi_p1_end(&FX.host);
            FX.host.budget.used = 0;
            assert_ok(cis_wasi_p1_start(&FX.host, err));
            if (FX.backend->settle == NULL) {
                assert_int_equal(FX.host.budget.used, used);
            }
        }
    }
    FX.old = 0;
}

const struct CMUnitTest files_hostile[] = {
    FILES_TEST(each_pointer_outside_is_a_fault_and_changes_nothing),
    FILES_TEST(each_length_beyond_the_memory_is_a_fault),
    FILES_TEST(random_calls_do_no_harm),
};
const size_t nfiles_hostile = sizeof files_hostile / sizeof *files_hostile;
