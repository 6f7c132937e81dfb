/* Content and attributes of files. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include "vfs/contract.h"

static cis_vfs_file *open_ok(const char *path, int flags)
{
    cis_vfs_file *file = NULL;
    assert_no(0, t_open(path, flags, &file));
    return file;
}

static uint64_t size_of(const char *path)
{
    struct cis_vfs_attr attr;
    assert_no(0, t_stat(path, &attr));
    return attr.size;
}

static int truncate_to(const char *path, uint64_t size)
{
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE, .size = size};
    return t_set(path, &set);
}

static void assert_zeros(cis_vfs_file *file, uint64_t offset, size_t len)
{
    char *zeros = calloc(1, len);
    assert_file_bytes(file, offset, zeros, len);
    free(zeros);
}

static void holes_read_as_zeros(void **state)
{
    (void)state;
    cis_vfs_file *file = open_ok("f", O_CREAT | O_RDWR);
    assert_no(0, t_write(file, 1000000, "end", 3));
    assert_no(0, t_write(file, 200000, "mid", 3));
    assert_int_equal(size_of("f"), 1000003);
    assert_zeros(file, 0, 200000);
    assert_zeros(file, 200003, 799997);
    assert_file_bytes(file, 1000000, "end", 3);
    cis_vfs_file_close(file);
    fx_reopen(false);
    file = open_ok("f", O_RDONLY);
    assert_zeros(file, 100, 199900);
    assert_file_bytes(file, 200000, "mid", 3);
    assert_zeros(file, 200003, 799997);
    cis_vfs_file_close(file);
}

static void truncate_cuts_and_what_grows_again_is_zeros(void **state)
{
    (void)state;
    char *text = malloc(200000);
    memset(text, 'x', 200000);
    cis_vfs_file *file = open_ok("f", O_CREAT | O_RDWR);
    assert_no(0, t_write(file, 0, text, 200000));
    cis_vfs_sync(file, &fx.call, false);
    assert_no(0, truncate_to("f", 70000));
    assert_no(0, truncate_to("f", 200000));
    assert_file_bytes(file, 0, text, 70000);
    assert_zeros(file, 70000, 130000);
    assert_no(0, truncate_to("f", 0));
    size_t n = 1;
    assert_no(0, t_read(file, 0, text, 10, &n));
    assert_int_equal(n, 0);
    assert_no(0, truncate_to("f", 10));
    cis_vfs_file_close(file);
    fx_reopen(false);
    file = open_ok("f", O_RDONLY);
    assert_zeros(file, 0, 10);
    assert_int_equal(size_of("f"), 10);
    cis_vfs_file_close(file);
    free(text);
}

static void truncate_is_for_files(void **state)
{
    (void)state;
    assert_no(0, t_mkdir("d"));
    assert_no(0, t_symlink("d", "s"));
    t_write_file("f", "12345");
    assert_no(EISDIR, truncate_to("d", 0));
    assert_no(EISDIR, truncate_to("s", 0));
    assert_no(ENOENT, truncate_to("none", 0));
    assert_no(0, truncate_to("f", 3));
    assert_content("f", "123");
    int no = truncate_to("f", UINT64_MAX);
    assert_true(no == EINVAL || no == EFBIG);
    assert_content("f", "123");
}

static void appends_from_two_handles_do_not_overwrite(void **state)
{
    (void)state;
    cis_vfs_file *a = open_ok("f", O_CREAT | O_WRONLY | O_APPEND);
    cis_vfs_file *b = open_ok("f", O_RDWR);
    struct iovec iov = {(void *)(uintptr_t) "bb", 2};
    size_t n = 0;
    uint64_t end = 0;
    assert_no(0, t_write(a, 0, "aa", 2));
    assert_no(0, cis_vfs_write(b, &fx.call, &iov, 1, CIS_VFS_APPEND, &n, &end));
    assert_int_equal(n, 2);
    assert_int_equal(end, 4);
    assert_no(0, t_write(a, 0, "AA", 2)); /* O_APPEND wins over the offset */
    assert_file_bytes(b, 0, "aabbAA", 6);
    assert_no(0, t_write(b, 1, "X", 1));
    cis_vfs_file_close(a);
    cis_vfs_file_close(b);
    assert_content("f", "aXbbAA");
}

static void writes_in_many_pieces_and_odd_places(void **state)
{
    (void)state;
    enum { PIECES = 1500, LEN = 97 };
    char *bytes = malloc((size_t)PIECES * LEN);
    struct iovec *iov = calloc(PIECES, sizeof *iov);
    for (size_t i = 0; i < (size_t)PIECES * LEN; i++) {
        bytes[i] = (char)(i * 31 % 251);
    }
    for (size_t i = 0; i < PIECES; i++) {
        iov[i] = (struct iovec){bytes + i * LEN, i % 7 == 0 ? 0 : LEN};
    }
    cis_vfs_file *file = open_ok("f", O_CREAT | O_RDWR);
    size_t n = 0;
    uint64_t end = 0, at = 65530;
    assert_no(0, cis_vfs_write(file, &fx.call, iov, PIECES, at, &n, &end));
    assert_int_equal(end, at + n);
    assert_int_equal(size_of("f"), end);
    for (size_t i = 0; i < PIECES; i++) {
        assert_file_bytes(file, at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    char *got = calloc(PIECES, LEN);
    for (size_t i = 0; i < PIECES; i++) {
        iov[i].iov_base = got + i * LEN;
    }
    size_t back = 0;
    assert_no(0, cis_vfs_read(file, &fx.call, iov, PIECES, 65530, &back));
    assert_int_equal(back, n);
    for (size_t i = 0; i < PIECES; i++) {
        assert_memory_equal(got + i * LEN, bytes + i * LEN, iov[i].iov_len);
    }
    cis_vfs_file_close(file);
    free(got);
    free(iov);
    free(bytes);
}

static void reads_end_at_the_end(void **state)
{
    (void)state;
    char text[16];
    size_t n = 99;
    t_write_file("f", "12345");
    cis_vfs_file *file = open_ok("f", O_RDONLY);
    assert_no(0, t_read(file, 3, text, sizeof text, &n));
    assert_int_equal(n, 2);
    assert_no(0, t_read(file, 5, text, sizeof text, &n));
    assert_int_equal(n, 0);
    assert_no(0, t_read(file, 1ull << 40, text, sizeof text, &n));
    assert_int_equal(n, 0);
    cis_vfs_file_close(file);
}

static void handles_do_what_they_were_opened_for(void **state)
{
    (void)state;
    char text[4];
    size_t n = 0;
    uint64_t end = 0;
    struct iovec iov = {text, 1};
    t_write_file("f", "12345");
    assert_no(0, t_mkdir("d"));
    cis_vfs_file *r = open_ok("f", O_RDONLY), *w = open_ok("f", O_WRONLY), *d = open_ok("d", 0);
    assert_no(EBADF, cis_vfs_write(r, &fx.call, &iov, 1, 0, &n, &end));
    assert_no(EBADF, cis_vfs_read(w, &fx.call, &iov, 1, 0, &n));
    assert_no(EBADF, cis_vfs_allocate(r, &fx.call, 0, 0, 10));
    assert_no(EISDIR, cis_vfs_read(d, &fx.call, &iov, 1, 0, &n));
    assert_no(EBADF, cis_vfs_write(d, &fx.call, &iov, 1, 0, &n, &end));
    assert_no(0, cis_vfs_sync(r, &fx.call, true));
    assert_no(0, cis_vfs_sync(d, &fx.call, false));
    cis_vfs_file_close(r);
    cis_vfs_file_close(w);
    cis_vfs_file_close(d);
    cis_vfs_file *file = NULL;
    assert_no(EISDIR, t_open("d", O_WRONLY, &file));
    assert_no(EISDIR, t_open("d", O_RDWR, &file));
    assert_no(EISDIR, t_open("d", O_RDONLY | O_TRUNC, &file));
    assert_no(EISDIR, t_open("d", O_RDONLY | O_CREAT, &file));
    assert_no(ENOTDIR, t_open("f", O_RDONLY | O_DIRECTORY, &file));
    assert_no(EEXIST, t_open("f", O_RDWR | O_CREAT | O_EXCL, &file));
    assert_no(EEXIST, t_open("d", O_RDWR | O_CREAT | O_EXCL, &file));
    assert_no(EINVAL, t_open("f", O_ACCMODE, &file));
    assert_no(0, t_symlink("f", "s"));
    assert_no(ELOOP, t_open("s", O_RDONLY | O_NOFOLLOW, &file));
    assert_no(EEXIST, t_open("s", O_RDWR | O_CREAT | O_EXCL, &file));
    assert_no(0, t_symlink("through", "dangling"));
    t_write_file("dangling", "made");
    assert_content("through", "made");
}

static void data_and_holes_are_found(void **state)
{
    (void)state;
    cis_vfs_file *file = open_ok("f", O_CREAT | O_RDWR);
    uint64_t at = 0;
    assert_no(ENXIO, cis_vfs_seek(file, &fx.call, 0, SEEK_DATA, &at));
    assert_no(0, t_write(file, 1u << 20, "x", 1));
    assert_no(0, cis_vfs_seek(file, &fx.call, 0, SEEK_DATA, &at));
    assert_in_range(at, 1, 1u << 20);
    assert_no(0, cis_vfs_seek(file, &fx.call, 0, SEEK_HOLE, &at));
    assert_int_equal(at, 0);
    assert_no(0, cis_vfs_seek(file, &fx.call, 1u << 20, SEEK_HOLE, &at));
    assert_int_equal(at, (1u << 20) + 1);
    assert_no(ENXIO, cis_vfs_seek(file, &fx.call, (1u << 20) + 1, SEEK_DATA, &at));
    assert_no(ENXIO, cis_vfs_seek(file, &fx.call, 1ull << 40, SEEK_HOLE, &at));
    cis_vfs_file_close(file);
}

static void space_is_allocated_punched_and_zeroed(void **state)
{
    (void)state;
    cis_vfs_file *file = open_ok("f", O_CREAT | O_RDWR);
    char *text = malloc(200000);
    memset(text, 'y', 200000);
    assert_no(0, t_write(file, 0, text, 200000));
    assert_no(0, cis_vfs_allocate(file, &fx.call, FALLOC_FL_KEEP_SIZE, 190000, 100000));
    assert_int_equal(size_of("f"), 200000);
    assert_no(0, cis_vfs_allocate(file, &fx.call, 0, 190000, 20000));
    assert_int_equal(size_of("f"), 210000);
    assert_zeros(file, 200000, 10000);
    assert_no(
        0, cis_vfs_allocate(file, &fx.call, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5, 150000));
    assert_file_bytes(file, 0, text, 5);
    assert_zeros(file, 5, 150000);
    assert_file_bytes(file, 150005, text, 49995);
    int no = cis_vfs_allocate(file, &fx.call, FALLOC_FL_ZERO_RANGE, 199000, 20000);
    if ((fx.backend->flags & CONTRACT_NO_ZERO) == 0) {
        assert_no(0, no);
        assert_int_equal(size_of("f"), 219000);
        assert_zeros(file, 199000, 20000);
    }
    assert_no(EINVAL, cis_vfs_allocate(file, &fx.call, 0, 0, 0));
    assert_no(EOPNOTSUPP, cis_vfs_allocate(file, &fx.call, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
    cis_vfs_file_close(file);
    free(text);
}

/* ---- set-id bits ---- */

static uint32_t mode_of(const char *path)
{
    struct cis_vfs_attr attr;
    assert_no(0, t_stat(path, &attr));
    return attr.mode & 07777;
}

enum { BY_WRITE, BY_APPEND, BY_TRUNC, BY_SIZE, BY_SAME_SIZE, BY_ROOM, BY_KEEP, BY_HOLE, BY_WAYS };

static void change(const char *path, int how)
{
    static const int flags[BY_WAYS] = {[BY_APPEND] = O_APPEND, [BY_TRUNC] = O_TRUNC};
    cis_vfs_file *file = open_ok(path, O_RDWR | flags[how]);
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE, .size = how == BY_SIZE ? 1 : 4};
    switch (how) {
    case BY_WRITE:
    case BY_APPEND:
        assert_no(0, t_write(file, 0, "x", 1));
        break;
    case BY_SIZE:
    case BY_SAME_SIZE:
        assert_no(0, cis_file_set(file, &fx.call, &set, NULL));
        break;
    case BY_ROOM:
        assert_no(0, cis_vfs_allocate(file, &fx.call, 0, 0, 2));
        break;
    case BY_KEEP:
        assert_no(0, cis_vfs_allocate(file, &fx.call, FALLOC_FL_KEEP_SIZE, 0, 8));
        break;
    case BY_HOLE:
        assert_no(
            0, cis_vfs_allocate(file, &fx.call, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 3));
        break;
    default:
        break;
    }
    cis_vfs_file_close(file);
}

static void set_id_bits_go_when_content_changes(void **state)
{
    (void)state;
    static const struct {
        uint32_t before, after;
    } modes[] = {{06755, 0755}, {04711, 0711}, {02755, 0755}, {02744, 02744}, {0755, 0755}};
    uint32_t gid = fx.call.gid;
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        for (int how = 0; how < BY_WAYS; how++) {
            struct cis_vfs_attr attr;
            struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = modes[m].before};
            t_write_file("f", "text");
            assert_no(0, t_set("f", &set));
            assert_no(0, t_stat("f", &attr));
            fx.call.gid = attr.gid;
            if (how % 2 == 1) {
                fx_reopen(false); /* what is changed was committed */
            }
            change("f", how);
            assert_int_equal(mode_of("f"), modes[m].after);
            fx_reopen(false);
            assert_int_equal(mode_of("f"), modes[m].after);
            assert_no(0, t_set("f", &set)); /* as told is as told */
            assert_int_equal(mode_of("f"), modes[m].before);
            cis_vfs_file *file = open_ok("f", O_RDWR);
            assert_no(0, t_write(file, 0, "", 0)); /* nothing changed */
            cis_vfs_file_close(file);
            assert_int_equal(mode_of("f"), modes[m].before);
        }
    }
    fx.call.gid = gid;
}

static void set_id_bits_stay_for_who_may_keep_them(void **state)
{
    (void)state;
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = 06755};
    for (int how = 0; how < BY_WAYS; how++) {
        t_write_file("f", "text");
        assert_no(0, t_set("f", &set));
        fx.call.keeps_set_id = true;
        change("f", how);
        fx.call.keeps_set_id = false;
        if (geteuid() == 0 || strcmp(fx.backend->name, "hostdir") != 0) {
            assert_int_equal(mode_of("f"), 06755);
        }
    }
}

static void times_are_exact_to_the_nanosecond(void **state)
{
    (void)state;
    static const struct timespec times[] = {
        {0, 0}, {1, 999999999}, {-1, 1}, {-2000000000, 123456789}, {4000000000, 5}};
    struct cis_vfs_attr attr;
    t_write_file("f", "");
    assert_no(0, t_mkdir("d"));
    static const char *const paths[] = {"f", "d"};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        for (size_t p = 0; p < 2; p++) {
            struct cis_vfs_set set = {.bits = CIS_VFS_SET_ATIME | CIS_VFS_SET_MTIME,
                                      .atime = times[i],
                                      .mtime = times[(i + 1) % 5]};
            assert_no(0, t_set(paths[p], &set));
        }
        fx_reopen(false);
        for (size_t p = 0; p < 2; p++) {
            assert_no(0, t_stat(paths[p], &attr));
            assert_memory_equal(&attr.mtime, &times[(i + 1) % 5], sizeof attr.mtime);
            assert_memory_equal(&attr.atime, &times[i], sizeof attr.atime);
        }
    }
    struct cis_vfs_set bad = {.bits = CIS_VFS_SET_MTIME, .mtime = {0, 1000000000}};
    assert_no(EINVAL, t_set("f", &bad));
    bad.mtime.tv_nsec = (1l << 30) - 1; /* UTIME_NOW is no time of a caller's */
    assert_no(EINVAL, t_set("f", &bad));
}

static bool later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static void changes_move_the_right_times(void **state)
{
    (void)state;
    struct cis_vfs_set old = {
        .bits = CIS_VFS_SET_ATIME | CIS_VFS_SET_MTIME, .atime = {1000, 1}, .mtime = {1000, 2}};
    struct cis_vfs_set mode = {.bits = CIS_VFS_SET_MODE, .mode = 0600};
    struct cis_vfs_attr a;
    assert_no(0, t_mkdir("d"));
    t_write_file("d/f", "x");
    assert_no(0, t_set("d/f", &old));
    assert_no(0, t_set("d", &old));
    assert_no(0, t_set("d/f", &mode));
    assert_no(0, t_stat("d/f", &a));
    assert_int_equal(a.mtime.tv_sec, 1000);
    assert_true(later(a.ctime, a.mtime));
    assert_no(0, t_stat("d", &a));
    assert_int_equal(a.mtime.tv_sec, 1000); /* content of a file is not its folder's */
    cis_vfs_file *file = open_ok("d/f", O_RDWR);
    assert_no(0, t_write(file, 0, "y", 1));
    cis_vfs_file_close(file);
    assert_no(0, t_stat("d/f", &a));
    assert_true(a.mtime.tv_sec > 1000);
    assert_no(0, t_link("d/f", "d/g"));
    assert_no(0, t_stat("d", &a));
    assert_true(a.mtime.tv_sec > 1000);
}

static void versions_change_with_content(void **state)
{
    (void)state;
    struct cis_vfs_attr a, b;
    t_write_file("f", "x");
    assert_no(0, t_stat("f", &a));
    assert_no(0, t_stat("f", &b));
    assert_int_equal(a.version, b.version);
    usleep(10000); /* hosts stamp by a coarse clock */
    cis_vfs_file *file = open_ok("f", O_RDWR);
    assert_no(0, t_write(file, 0, "y", 1));
    cis_vfs_file_close(file);
    assert_no(0, t_stat("f", &b));
    assert_true(a.version != b.version);
}

static void modes_are_as_given_whatever_the_umask(void **state)
{
    (void)state;
    mode_t before = umask(077);
    struct cis_vfs_attr attr;
    struct cis_vfs_make make = {.mode = S_IFDIR | 0775};
    cis_vfs_file *file = NULL;
    assert_no(0, cis_at_make(fx.root, &fx.call, CIS_STR("d"), 0, &make));
    make.mode = S_IFREG | 0666;
    assert_no(0, cis_at_make(fx.root, &fx.call, CIS_STR("m"), 0, &make));
    assert_no(0, cis_at_open(fx.root, &fx.call, CIS_STR("f"),
                             &(struct cis_open_how){0, O_CREAT | O_RDWR, 0640}, &file, &attr));
    cis_vfs_file_close(file);
    umask(before);
    assert_int_equal(attr.mode, S_IFREG | 0640);
    fx_reopen(false);
    assert_no(0, t_stat("d", &attr));
    assert_int_equal(attr.mode, S_IFDIR | 0775);
    assert_no(0, t_stat("m", &attr));
    assert_int_equal(attr.mode, S_IFREG | 0666);
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = 01777};
    assert_no(0, t_set("d", &set));
    assert_no(0, t_stat("d", &attr));
    assert_int_equal(attr.mode, S_IFDIR | 01777);
    assert_no(0, t_symlink("d", "s"));
    assert_no(EOPNOTSUPP, cis_at_set(fx.root, &fx.call, CIS_STR("s"), CIS_WALK_NOFOLLOW, &set));
}

static void a_file_may_be_open_many_times(void **state)
{
    (void)state;
    cis_vfs_file *files[100];
    t_write_file("f", "shared");
    for (size_t i = 0; i < 100; i++) {
        files[i] = open_ok("f", i % 2 == 0 ? O_RDWR : O_RDONLY);
    }
    assert_no(0, t_write(files[0], 0, "SHARED", 6));
    for (size_t i = 0; i < 100; i++) {
        assert_file_bytes(files[i], 0, "SHARED", 6);
        cis_vfs_file_close(files[i]);
    }
}

const struct CMUnitTest contract_files[] = {
    CONTRACT_TEST(holes_read_as_zeros),
    CONTRACT_TEST(truncate_cuts_and_what_grows_again_is_zeros),
    CONTRACT_TEST(truncate_is_for_files),
    CONTRACT_TEST(appends_from_two_handles_do_not_overwrite),
    CONTRACT_TEST(writes_in_many_pieces_and_odd_places),
    CONTRACT_TEST(reads_end_at_the_end),
    CONTRACT_TEST(handles_do_what_they_were_opened_for),
    CONTRACT_TEST(data_and_holes_are_found),
    CONTRACT_TEST(space_is_allocated_punched_and_zeroed),
    CONTRACT_TEST(set_id_bits_go_when_content_changes),
    CONTRACT_TEST(set_id_bits_stay_for_who_may_keep_them),
    CONTRACT_TEST(times_are_exact_to_the_nanosecond),
    CONTRACT_TEST(changes_move_the_right_times),
    CONTRACT_TEST(versions_change_with_content),
    CONTRACT_TEST(modes_are_as_given_whatever_the_umask),
    CONTRACT_TEST(a_file_may_be_open_many_times),
};
const size_t contract_nfiles = sizeof contract_files / sizeof *contract_files;
