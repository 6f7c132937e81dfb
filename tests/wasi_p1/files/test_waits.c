/* What happens around a call on files: the CPU slot, the end of the run, what the user is told, the
 * numbers of errors and of devices. Through the guest without an engine, which counts. */
#include "wasi_p1/files/files.h"

#include <errno.h>
#include "base/mem.h"
#include "fake_guest.h"
#include "vfs/backend_layered.h"
#include "wasi/p1/internal.h"

/* A filesystem whose operations do what a test says before they do what they are for. */
static struct cis_vfs_ops changed;
static const struct cis_vfs_ops *real;
static int waits, error, held;

static int before(const struct cis_vfs_call *call)
{
    for (int i = 0; i < waits; i++) {
        cis_vfs_waits(call);
    }
    held = (int)guest_now()->blocked - (int)guest_now()->unblocked;
    if (error == EIO || error == ESTALE) {
        cis_fail(call->err, CIS_E_DAMAGED, "inode 7: chunk 9 of its content is damaged");
    }
    return error;
}

static int read_changed(cis_vfs_file *file, const struct cis_vfs_call *call,
                        const struct iovec *iov, int niov, uint64_t offset, size_t *out_n)
{
    int no = before(call);
    return no != 0 ? no : real->read(file, call, iov, niov, offset, out_n);
}

static int open_changed(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node, int flags,
                        cis_vfs_file **out_file)
{
    int no = before(call);
    return no != 0 ? no : real->open(vfs, call, node, flags, out_file);
}

#define CHANGED(op, params, args)                                                                  \
    static int op##_changed params                                                                 \
    {                                                                                              \
        int no = before(call);                                                                     \
        return no != 0 ? no : real->op args;                                                       \
    }
#define VFS cis_vfs *vfs, const struct cis_vfs_call *call
#define OPEN cis_vfs_file *file, const struct cis_vfs_call *call
CHANGED(lookup,
        (VFS, cis_node dir, struct cis_str name, cis_node *out, struct cis_vfs_attr *out_attr),
        (vfs, call, dir, name, out, out_attr))
CHANGED(getattr, (VFS, cis_node node, struct cis_vfs_attr *out), (vfs, call, node, out))
CHANGED(setattr, (VFS, cis_node node, const struct cis_vfs_set *set, struct cis_vfs_attr *out),
        (vfs, call, node, set, out))
CHANGED(write,
        (OPEN, const struct iovec *iov, int niov, uint64_t at, size_t *out_n, uint64_t *out_end),
        (file, call, iov, niov, at, out_n, out_end))
CHANGED(sync, (OPEN, bool data_only), (file, call, data_only))
CHANGED(readdir, (OPEN, uint64_t cookie, bool attributes, cis_vfs_entry_each *each, void *self),
        (file, call, cookie, attributes, each, self))

static int setup(void **state)
{
    files_setup(state);
    real = FX.vfs->ops;
    changed = *real;
    changed.read = read_changed;
    changed.open = open_changed;
    FX.vfs->ops = &changed;
    waits = error = 0;
    w_file("f", "content");
    return 0;
}

static int teardown(void **state)
{
    FX.vfs->ops = real;
    return files_teardown(state);
}

static void the_slot_is_given_back_once_for_a_call_that_waits(void **state)
{
    (void)state;
    uint32_t fd = opened(W, "f", 0, READ, 0);
    assert_int_equal(guest_blocked(), 0); /* nothing has waited so far */
    waits = 3;
    assert_read(fd, "content");
    assert_int_equal(held, 1); /* while the filesystem was at it there was none */
    assert_int_equal(guest_blocked(), 1);
    waits = 1;
    w_close(opened(W, "f", 0, READ, 0));
    assert_int_equal(guest_blocked(), 2);
}

static void what_is_at_hand_costs_no_slot(void **state)
{
    (void)state;
    struct w_stat st;
    w_dir("d");
    uint32_t fd = opened(W, "f", 0, READ | WRITE, 0);
    assert_errno_(CIS_WASI_OK, w_stat(W, "f", true, &st));
    assert_errno_(CIS_WASI_OK, w_write(fd, "x"));
    assert_read(fd, "ontent");
    assert_errno(OK, "fd_readdir", W, BUF, 500, 0, OUT);
    assert_errno(OK, "path_rename", W, S("f"), W, S("g"));
    assert_errno(OK, "path_link", W, 0, S("g"), W, S("d/h"));
    assert_errno(OK, "path_unlink_file", W, S("g"));
    assert_int_equal(guest_blocked(), 0);
}

static void a_disk_that_takes_its_time_costs_one(void **state)
{
    (void)state;
    bool host = FX.backend->settle == NULL;
    FX.vfs->ops = real;
    uint32_t fd = opened(W, "f", 0, READ | WRITE, 0);
    assert_errno(OK, "fd_sync", fd);
    assert_int_equal(guest_blocked(), host ? 1 : 0); /* in a transaction the commit is durable */
    assert_errno(OK, "fd_datasync", fd);
    assert_int_equal(guest_blocked(), host ? 2 : 0);
    for (uint32_t i = 0; i < 32; i++) { /* a mebibyte and more in one call */
        cis_put_le32(mem(8192 + 8 * i, 8), 0);
        cis_put_le32(mem(8192 + 8 * i + 4, 4), FX.memory);
    }
    assert_errno(OK, "fd_read", fd, 8192, 32, OUT);
    assert_int_equal(guest_blocked(), host ? 3 : 0);
}

static void a_run_that_gets_no_slot_again_is_over(void **state)
{
    (void)state;
    uint32_t fd = opened(W, "f", 0, READ, 0);
    uint64_t used = FX.host.budget.used;
    waits = 1;
    guest_now()->unblock_code = CIS_E_DEADLINE;
    put_iov(0, BUF, 4);
    union cis_slot io[9] = {{.u32 = fd}, {.u32 = IOVS}, {.u32 = 1}, {.u32 = OUT}};
    assert_fails(CIS_E_DEADLINE, "", guest_call(row_of("fd_read"), io, err));
    union cis_slot open[9] = {{.u32 = W}, {.u32 = 0}, {.u32 = put_text("f", 1)}, {.u32 = 1}};
    open[5].u64 = READ;
    assert_fails(CIS_E_DEADLINE, "", guest_call(row_of("path_open"), open, err));
    assert_int_equal(FX.host.budget.used, used); /* and what was opened is closed */
    guest_now()->unblock_code = CIS_OK;
    assert_int_equal(opened(W, "f", 0, READ, 0), fd + 1);
}

static void each_call_on_files_ends_a_run_that_gets_no_slot_again(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t args[9];
    } calls[] = {
        {"path_open", {W, 1, TEXT, 1, 0, READ, 0, 0, OUT}},
        {"path_filestat_get", {W, 1, TEXT, 1, OUT}},
        {"path_filestat_set_times", {W, 0, TEXT, 1, 5, 6, 5}},
        {"path_readlink", {W, TEXT + 2, 1, BUF, 10, OUT}},
        {"path_symlink", {TEXT, 1, W, TEXT + 4, 1}},
        {"path_link", {W, 0, TEXT, 1, W, TEXT + 6, 1}},
        {"path_rename", {W, TEXT + 6, 1, W, TEXT + 8, 1}},
        {"path_unlink_file", {W, TEXT + 8, 1}},
        {"path_create_directory", {W, TEXT + 10, 1}},
        {"path_open", {W, 1, TEXT + 10, 1, DIRECTORY, 0, 0, 0, OUT}}, /* what it opened is closed */
        {"path_remove_directory", {W, TEXT + 10, 1}},
        {"fd_readdir", {W, BUF, 1000, 0, OUT}},
        {"fd_filestat_get", {5, OUT}},
        {"fd_filestat_get", {W, OUT}},
        {"fd_filestat_set_times", {5, 5, 6, 5}},
        {"fd_filestat_set_size", {5, 3}},
        {"fd_seek", {5, 0, 2, OUT}},
        {"fd_read", {5, IOVS, 1, OUT}},
        {"fd_pread", {5, IOVS, 1, 0, OUT}},
        {"fd_write", {5, IOVS, 1, OUT}},
        {"fd_pwrite", {5, IOVS, 1, 0, OUT}},
        {"fd_sync", {5}},
        {"fd_datasync", {5}},
    };
    w_link("f", "l");
    assert_int_equal(opened(W, "f", 0, READ | WRITE, 0), 5);
    changed.lookup = lookup_changed;
    changed.getattr = getattr_changed;
    changed.setattr = setattr_changed;
    changed.write = write_changed;
    changed.sync = sync_changed;
    changed.readdir = readdir_changed;
    changed.peek = NULL;
    changed.jump = NULL;
    waits = 1;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        put_text("f\0l\0s\0h\0m\0d", 11);
        put_iov(0, BUF, 4);
        union cis_slot io[9];
        for (size_t k = 0; k < 9; k++) {
            io[k].u64 = calls[i].args[k];
        }
        guest_now()->unblock_code = CIS_E_DEADLINE;
        cis_code code = guest_call(row_of(calls[i].name), io, NULL);
        guest_now()->unblock_code = CIS_OK;
        if (code != CIS_E_DEADLINE) {
            fail_msg("%s (%zu): code %d", calls[i].name, i, (int)code);
        }
    }
}

static void an_operation_that_was_stopped_ends_the_run(void **state)
{
    (void)state;
    uint32_t fd = opened(W, "f", 0, READ, 0);
    error = EINTR; /* a stop that nobody asked for is an errno like any other */
    put_iov(0, BUF, 4);
    assert_errno(INTR, "fd_read", fd, IOVS, 1, OUT);
    guest_deadline(1);
    union cis_slot io[9] = {{.u32 = fd}, {.u32 = IOVS}, {.u32 = 1}, {.u32 = OUT}};
    assert_fails(CIS_E_DEADLINE, "", guest_call(row_of("fd_read"), io, err));
}

static void the_user_learns_why_where_the_guest_learns_a_number(void **state)
{
    (void)state;
    uint32_t fd = opened(W, "f", 0, READ, 0);
    put_iov(0, BUF, 4);
    error = ENOENT;
    assert_errno(NOENT, "fd_read", fd, IOVS, 1, OUT);
    assert_int_equal(FX.host.log_lines, 0);
    error = EIO;
    assert_errno(IO, "fd_read", fd, IOVS, 1, OUT);
    assert_int_equal(FX.host.log_lines, 1);
    assert_non_null(strstr(cis_buf_cstr(&FX.host.log), "inode 7: chunk 9"));
    error = ESTALE;
    assert_errno(STALE, "fd_read", fd, IOVS, 1, OUT);
    assert_int_equal(FX.host.log_lines, 2);
    for (int i = 0; i < 3000; i++) { /* as often as the log takes lines */
        assert_errno(STALE, "fd_read", fd, IOVS, 1, OUT);
    }
    assert_int_equal(FX.host.log_lines, FX.host.log_lines_max);
}

/* Memory that runs out at the first allocation, the second, … of a call: an errno, and nothing is
 * lost by it. */
static void a_call_without_memory_is_an_errno(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t args[9];
        size_t n;
    } calls[] = {
        {"path_open", {W, 1, TEXT, 3, CREAT, READ | WRITE, 0, 0, OUT}, 9},
        {"path_open", {W, 1, TEXT + 4, 1, DIRECTORY, 0, 0, 0, OUT}, 9},
        {"path_open", {W, 1, TEXT + 6, 1, 0, READ, 0, 0, OUT}, 9},
        {"fd_readdir", {W, BUF, 1000, 0, OUT}, 5},
        {"path_readlink", {W, TEXT + 8, 1, BUF, 10, OUT}, 6},
        {"path_filestat_get", {W, 1, TEXT + 8, 1, OUT}, 5},
        {"fd_write", {5, IOVS, 1, OUT}, 4},
        {"fd_read", {5, IOVS, 1, OUT}, 4},
        {"path_symlink", {TEXT + 8, 1, W, TEXT + 10, 3}, 5},
        {"path_link", {W, 0, TEXT + 6, 1, W, TEXT + 14, 3}, 7},
        {"path_rename", {W, TEXT + 14, 3, W, TEXT + 18, 3}, 6},
        {"path_create_directory", {W, TEXT + 22, 3}, 3},
        {"path_filestat_set_times", {W, 0, TEXT + 6, 1, 5, 6, 5}, 7},
        {"fd_sync", {W}, 1},
    };
    w_dir("d");
    w_link("f", "l");
    assert_int_equal(opened(W, "f", 0, READ | WRITE, 0), 5);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int got = CIS_WASI_NOMEM;
        for (size_t nth = 0; got == CIS_WASI_NOMEM && nth < 1000; nth++) {
            put_text("new\0d\0f\0l\0sym\0hrd\0mov\0sub", 25);
            put_iov(0, BUF, 4);
            uint64_t args[9];
            memcpy(args, calls[i].args, sizeof args);
            union cis_slot io[9] = {0};
            for (size_t k = 0; k < calls[i].n; k++) {
                io[k].u64 = args[k];
            }
            struct cis_error why = {0};
            cis_mem_fail_after(nth);
            cis_code code = guest_call(row_of(calls[i].name), io, &why);
            cis_mem_fail_after(SIZE_MAX);
            assert_int_equal(code, CIS_OK);
            got = io[0].i32;
        }
        if (got != CIS_WASI_OK) {
            fail_msg("%s (%zu): %s", calls[i].name, i, errno_name(got));
        }
    }
    cis_wasi_p1_end(&FX.host);
    cis_code code = CIS_E_NOMEM;
    for (size_t nth = 0; code == CIS_E_NOMEM; nth++) {
        cis_mem_fail_after(nth);
        code = cis_wasi_p1_start(&FX.host, NULL);
        cis_mem_fail_after(SIZE_MAX);
        assert_true(code == CIS_OK || FX.host.wasi == NULL);
    }
    assert_int_equal(code, CIS_OK);
}

static void a_run_that_cannot_pay_for_its_streams_does_not_start(void **state)
{
    (void)state;
    struct cis_host *host = &FX.host;
    size_t ndirs = host->wasi_env.ndirs;
    uint64_t limit = host->budget.limit;
    host->wasi_env.ndirs = 0;
    cis_wasi_p1_end(host);
    uint64_t before = host->budget.used;
    assert_ok(cis_wasi_p1_start(host, err));
    uint64_t whole = host->budget.used;
    cis_wasi_p1_end(host);
    for (host->budget.limit = before; host->budget.limit < whole; host->budget.limit += 64) {
        assert_int_equal(cis_wasi_p1_start(host, NULL), CIS_E_BUDGET);
        assert_int_equal(host->budget.used, before);
    }
    host->budget.limit = limit;
    assert_ok(cis_wasi_p1_start(host, err));
    host->wasi_env.ndirs = ndirs;
}

static void each_number_of_linux_is_the_one_of_its_name(void **state)
{
    (void)state;
    unsigned named = 0;
    for (int no = 0; no < 200; no++) {
        const char *text = strerrorname_np(no);
        if (text == NULL || no == 0) {
            continue;
        }
        enum cis_wasi_errno got = cis_wasi_errno_of(no);
        assert_int_not_equal(got, CIS_WASI_OK);
        bool found = false;
        for (int k = 0; k <= CIS_WASI_NOTCAPABLE; k++) {
            found |= strcmp(text + 1, errno_name(k)) == 0;
        }
        if (found) {
            assert_string_equal(text + 1, errno_name((int)got));
            named++;
        }
    }
    assert_int_equal(named, 77 - 3); /* but SUCCESS, NOTCAPABLE, and NOTSUP, which Linux spells */
    assert_int_equal(cis_wasi_errno_of(EOPNOTSUPP), CIS_WASI_NOTSUP); /* another way */
    assert_int_equal(cis_wasi_errno_of(-1), CIS_WASI_IO);
    assert_int_equal(cis_wasi_errno_of(100000), CIS_WASI_IO);
    assert_int_equal(cis_wasi_errno_of(0), CIS_WASI_OK);
}

static void namespaces_share_no_device_numbers(void **state)
{
    (void)state;
    cis_ns *other = NULL;
    struct cis_wasi_env_dir dirs[3] = {FX.world_dirs[0], {CIS_STR("/o"), NULL}, FX.world_dirs[1]};
    struct cis_vfs_call call = {0};
    struct w_stat w, o, r;
    assert_ok(cis_ns_new(&other, err));
    assert_ok(cis_ns_mount(other, CIS_STR("/o"), FX.vfs, 0, false, err));
    assert_int_equal(cis_dir_root(other, &call, CIS_STR("/o"), &dirs[1].dir), 0);
    cis_wasi_p1_end(&FX.host);
    FX.host.wasi_env.dirs = dirs;
    FX.host.wasi_env.ndirs = 3;
    assert_ok(cis_wasi_p1_start(&FX.host, err));
    assert_errno_(CIS_WASI_OK, w_stat(3, "f", true, &w));
    assert_errno_(CIS_WASI_OK, w_stat(4, "f", true, &o));
    w_fstat(opened(5, "f", 0, READ, 0), &r);
    assert_true(w.dev != o.dev);
    assert_int_equal(w.dev, r.dev);
    cis_wasi_p1_end(&FX.host);
    cis_dir_free(dirs[1].dir);
    cis_ns_free(other);
    FX.host.wasi_env.dirs = FX.world_dirs;
    FX.host.wasi_env.ndirs = 2;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_slot_is_given_back_once_for_a_call_that_waits),
        T(what_is_at_hand_costs_no_slot),
        T(a_disk_that_takes_its_time_costs_one),
        T(a_run_that_gets_no_slot_again_is_over),
        T(each_call_on_files_ends_a_run_that_gets_no_slot_again),
        T(an_operation_that_was_stopped_ends_the_run),
        T(the_user_learns_why_where_the_guest_learns_a_number),
        T(a_call_without_memory_is_an_errno),
        T(a_run_that_cannot_pay_for_its_streams_does_not_start),
        T(each_number_of_linux_is_the_one_of_its_name),
        T(namespaces_share_no_device_numbers),
    };
    stores_start();
    FX.backend = &CONTRACT_BACKEND;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stores_stop();
    return failed;
}
