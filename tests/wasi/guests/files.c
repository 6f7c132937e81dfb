/* Open files: what open makes and refuses, offsets, appending, holes, files without a name. */
#include "check.h"

static int open_rw(const char *name)
{
    return openat(here, name, O_CREAT | O_RDWR, 0644);
}

static void what_was_written_is_read_back(void)
{
    char got[16] = "";
    int fd = open_rw("f");
    IS(write(fd, "hello world", 11), 11);
    IS(lseek(fd, 0, SEEK_CUR), 11);
    IS(lseek(fd, 6, SEEK_SET), 6);
    IS(read(fd, got, sizeof got), 5);
    HOLDS(strcmp(got, "world") == 0);
    IS(read(fd, got, sizeof got), 0);
    WORKS(close(fd));
    FAILS(EBADF, close(fd));
    HAS(here, "f", "hello world");
}

static void opening_what_is_not_there_is_refused(void)
{
    FAILS(ENOENT, openat(here, "none", O_RDONLY));
    FAILS(ENOENT, openat(here, "none", O_RDWR));
    FAILS(ENOENT, openat(here, "none", O_RDWR | O_TRUNC));
    FAILS(ENOENT, openat(here, "none/f", O_RDWR | O_CREAT, 0644));
    FAILS(ENOENT, openat(here, "none", O_RDONLY | O_DIRECTORY));
}

static void making_exclusively_what_exists_is_refused(void)
{
    put(here, "f", "x");
    WORKS(symlinkat("none", here, "dangling"));
    WORKS(mkdirat(here, "d", 0755));
    FAILS(EEXIST, openat(here, "f", O_CREAT | O_EXCL | O_RDWR, 0644));
    FAILS(EEXIST, openat(here, "dangling", O_CREAT | O_EXCL | O_RDWR, 0644));
    FAILS(EEXIST, openat(here, "d", O_CREAT | O_EXCL | O_RDWR, 0644));
    HAS(here, "none", "(ENOENT)");
    WORKS(shut(openat(here, "new", O_CREAT | O_EXCL | O_RDWR, 0644)));
    HAS(here, "f", "x");
}

static void directories_open_only_to_be_read(void)
{
    WORKS(mkdirat(here, "d", 0755));
    FAILS(EISDIR, openat(here, "d", O_WRONLY));
    FAILS(EISDIR, openat(here, "d", O_RDWR));
    FAILS(EISDIR, openat(here, "d", O_RDWR | O_CREAT, 0644));
    FAILS(EISDIR, openat(here, "d", O_RDWR | O_TRUNC));
    int fd = openat(here, "d", O_RDONLY);
    char byte;
    FAILS(EISDIR, read(fd, &byte, 1));
    FAILS(EBADF, write(fd, "x", 1));
    WORKS(shut(fd));
    put(here, "f", "x");
    FAILS(ENOTDIR, openat(here, "f", O_RDONLY | O_DIRECTORY));
    FAILS(ENOTDIR, openat(here, "f/g", O_RDONLY));
    FAILS(ENOTDIR, openat(here, "f/g", O_RDWR | O_CREAT, 0644));
}

static void links_are_not_followed_where_that_is_said(void)
{
    put(here, "f", "x");
    WORKS(symlinkat("f", here, "link"));
    WORKS(symlinkat("none", here, "dangling"));
    FAILS(ELOOP, openat(here, "link", O_RDONLY | O_NOFOLLOW));
    FAILS(ELOOP, openat(here, "dangling", O_RDWR | O_CREAT | O_NOFOLLOW, 0644));
    FAILS(ENOENT, openat(here, "dangling", O_RDONLY));
    WORKS(shut(openat(here, "dangling", O_RDWR | O_CREAT, 0644)));
    IS(size_of(here, "none"), 0);
    HAS(here, "link", "x");
}

static void a_handle_does_only_what_it_was_opened_for(void)
{
    char byte;
    put(here, "f", "abc");
    int r = openat(here, "f", O_RDONLY), w = openat(here, "f", O_WRONLY);
    FAILS(EBADF, write(r, "x", 1));
    FAILS(EBADF, pwrite(r, "x", 1, 0));
    FAILS(EBADF, read(w, &byte, 1));
    FAILS(EBADF, pread(w, &byte, 1, 0));
    FAILS(EINVAL, ftruncate(r, 0));
    IS(check_adapted() ? EBADF : posix_fallocate(r, 0, 10), EBADF);
    WORKS(fsync(r));
    WORKS(fdatasync(r));
    IS(write(w, "xy", 2), 2);
    IS(read(r, &byte, 1), 1);
    IS(byte, 'x');
    WORKS(shut(r));
    WORKS(shut(w));
    HAS(here, "f", "xyc");
}

static void truncating_empties_or_cuts_or_makes_a_hole(void)
{
    char got[16];
    put(here, "f", "0123456789");
    int fd = openat(here, "f", O_RDWR);
    WORKS(ftruncate(fd, 4));
    IS(size_of(here, "f"), 4);
    WORKS(ftruncate(fd, 12));
    IS(pread(fd, got, sizeof got, 0), 12);
    HOLDS(memcmp(got, "0123\0\0\0\0\0\0\0\0", 12) == 0);
    IS(lseek(fd, 0, SEEK_CUR), 0);
    FAILS(EINVAL, ftruncate(fd, -1));
    WORKS(shut(openat(here, "f", O_WRONLY | O_TRUNC)));
    IS(size_of(here, "f"), 0);
    IS(pread(fd, got, sizeof got, 0), 0);
    WORKS(ftruncate(fd, 70000));
    WORKS(ftruncate(fd, 65536));
    WORKS(ftruncate(fd, 65537));
    IS(pread(fd, got, sizeof got, 65530), 7);
    WORKS(shut(fd));
}

static void what_was_cut_off_does_not_come_back(void)
{
    static char big[200000], got[200000];
    memset(big, 'x', sizeof big);
    int fd = open_rw("f");
    IS(write(fd, big, sizeof big), sizeof big);
    WORKS(ftruncate(fd, 100));
    WORKS(ftruncate(fd, sizeof big));
    memset(big + 100, 0, sizeof big - 100);
    IS(pread(fd, got, sizeof got, 0), sizeof got);
    HOLDS(memcmp(big, got, sizeof got) == 0);
    WORKS(shut(fd));
}

static void holes_read_as_zeros(void)
{
    static char got[300000];
    int fd = open_rw("f");
    IS(pwrite(fd, "end", 3, 250000), 3);
    IS(size_of(here, "f"), 250003);
    IS(pwrite(fd, "mid", 3, 100000), 3);
    IS(pread(fd, got, sizeof got, 0), 250003);
    size_t other = 0;
    for (size_t i = 0; i < 250000; i++) {
        other += got[i] != 0 && (i < 100000 || i > 100002);
    }
    IS(other, 0);
    HOLDS(memcmp(got + 100000, "mid", 3) == 0 && memcmp(got + 250000, "end", 3) == 0);
    IS(pwrite(fd, "far", 3, 5ll << 30), 3);
    IS(size_of(here, "f"), (5ll << 30) + 3);
    IS(pread(fd, got, 10, (5ll << 30) - 3), 6);
    HOLDS(memcmp(got, "\0\0\0far", 6) == 0);
    WORKS(shut(fd));
}

static void appending_handles_never_overwrite_each_other(void)
{
    put(here, "f", "0");
    int a = openat(here, "f", O_WRONLY | O_APPEND), b = openat(here, "f", O_WRONLY | O_APPEND);
    int plain = openat(here, "f", O_WRONLY);
    IS(write(a, "aa", 2), 2);
    IS(write(b, "bb", 2), 2);
    IS(write(a, "cc", 2), 2);
    IS(lseek(a, 0, SEEK_SET), 0);
    IS(write(a, "dd", 2), 2);
    IS(lseek(a, 0, SEEK_CUR), 9);
    IS(write(plain, "X", 1), 1);
    IS(write(b, "ee", 2), 2);
    HAS(here, "f", "Xaabbccddee");
    WORKS(shut(a));
    WORKS(shut(b));
    WORKS(shut(plain));
}

static void a_write_at_an_offset_of_an_appending_handle_appends(void)
{
    put(here, "f", "12345");
    int fd = openat(here, "f", O_RDWR | O_APPEND);
    IS(lseek(fd, 2, SEEK_SET), 2);
    IS(pwrite(fd, "xy", 2, 0), 2);
    IS(lseek(fd, 0, SEEK_CUR), 2);
    WORKS(shut(fd));
    HAS(here, "f", "12345xy");
}

static void append_can_be_switched_on_and_off(void)
{
    put(here, "f", "12345");
    int fd = openat(here, "f", O_RDWR);
    WORKS(fcntl(fd, F_SETFL, O_APPEND));
    HOLDS((fcntl(fd, F_GETFL) & O_APPEND) != 0);
    IS(write(fd, "6", 1), 1);
    WORKS(fcntl(fd, F_SETFL, 0));
    HOLDS((fcntl(fd, F_GETFL) & O_APPEND) == 0);
    IS(lseek(fd, 0, SEEK_SET), 0);
    IS(write(fd, "0", 1), 1);
    WORKS(shut(fd));
    HAS(here, "f", "023456");
}

static void seeking_beyond_the_end_is_allowed_and_before_the_start_is_not(void)
{
    char byte;
    put(here, "f", "12345");
    int fd = openat(here, "f", O_RDWR);
    IS(lseek(fd, 100, SEEK_SET), 100);
    IS(read(fd, &byte, 1), 0);
    IS(size_of(here, "f"), 5);
    IS(lseek(fd, -3, SEEK_END), 2);
    IS(read(fd, &byte, 1), 1);
    IS(byte, '3');
    FAILS(EINVAL, lseek(fd, -1, SEEK_SET));
    FAILS(EINVAL, lseek(fd, -6, SEEK_END));
    FAILS(EINVAL, lseek(fd, -4, SEEK_CUR));
    IS(lseek(fd, 0, SEEK_CUR), 3);
    FAILS(EINVAL, lseek(fd, INT64_MIN, SEEK_CUR));
    FAILS(EINVAL, lseek(fd, 0, 17));
    IS(lseek(fd, 0, SEEK_CUR), 3);
    IS(lseek(fd, 4, SEEK_END), 9);
    IS(write(fd, "x", 1), 1);
    IS(size_of(here, "f"), 10);
    WORKS(shut(fd));
}

static void reading_and_writing_at_an_offset_leaves_the_handle_where_it_is(void)
{
    char got[8] = "";
    put(here, "f", "12345");
    int fd = openat(here, "f", O_RDWR);
    IS(lseek(fd, 1, SEEK_SET), 1);
    IS(pwrite(fd, "xy", 2, 3), 2);
    IS(pread(fd, got, 8, 2), 3);
    HOLDS(memcmp(got, "3xy", 3) == 0);
    IS(pread(fd, got, 8, 1000), 0);
    FAILS(EINVAL, pread(fd, got, 8, -1));
    FAILS(EINVAL, pwrite(fd, got, 8, -1));
    IS(lseek(fd, 0, SEEK_CUR), 1);
    WORKS(shut(fd));
}

static void writing_nothing_changes_nothing(void)
{
    int fd = open_rw("f");
    IS(write(fd, "", 0), 0);
    IS(pwrite(fd, "", 0, 1000), 0);
    IS(lseek(fd, 50, SEEK_SET), 50);
    IS(write(fd, "", 0), 0);
    IS(size_of(here, "f"), 0);
    WORKS(shut(fd));
}

static void several_buffers_are_one_transfer(void)
{
    char a[3], b[4], c[10];
    struct iovec out[] = {{(void *)(uintptr_t) "ab", 2},
                          {NULL, 0},
                          {(void *)(uintptr_t) "cdef", 4},
                          {(void *)(uintptr_t) "g", 1}};
    struct iovec in[] = {{a, 3}, {b, 0}, {b, 4}, {c, 10}};
    int fd = open_rw("f");
    IS(writev(fd, out, 4), 7);
    IS(lseek(fd, 0, SEEK_SET), 0);
    memset(c, '-', sizeof c);
    IS(readv(fd, in, 4), 7);
    HOLDS(memcmp(a, "abc", 3) == 0 && memcmp(b, "defg", 4) == 0 && c[0] == '-');
    WORKS(shut(fd));
}

static void allocating_extends_and_keeps_what_is_there(void)
{
    put(here, "f", "12345");
    int fd = openat(here, "f", O_RDWR);
    IS(posix_fallocate(fd, 0, 3), 0);
    IS(size_of(here, "f"), 5);
    IS(posix_fallocate(fd, 3, 100), 0);
    IS(size_of(here, "f"), 103);
    HAS(here, "f", "12345");
    IS(posix_fallocate(fd, 0, 0), EINVAL);
    IS(posix_fallocate(fd, -1, 5), EINVAL);
    IS(posix_fallocate(fd, 5, -1), EINVAL);
    WORKS(shut(fd));
}

static void a_file_without_a_name_stays_until_it_is_closed(void)
{
    struct stat st;
    char got[16] = "";
    put(here, "f", "12345");
    int fd = openat(here, "f", O_RDWR), second = openat(here, "f", O_RDONLY);
    WORKS(unlinkat(here, "f", 0));
    FAILS(ENOENT, openat(here, "f", O_RDONLY));
    IS(read(fd, got, 2), 2);
    IS(pwrite(fd, "abcdef", 6, 3), 6);
    IS(pread(second, got, sizeof got, 0), 9);
    HOLDS(memcmp(got, "123abcdef", 9) == 0);
    WORKS(fstat(fd, &st));
    IS(st.st_nlink, 0);
    IS(st.st_size, 9);
    put(here, "f", "another");
    WORKS(shut(fd));
    IS(pread(second, got, 3, 0), 3);
    HOLDS(memcmp(got, "123", 3) == 0);
    WORKS(shut(second));
    HAS(here, "f", "another");
}

static void handles_see_each_others_changes_at_once(void)
{
    char got[8];
    int a = open_rw("f"), b = openat(here, "f", O_RDWR);
    IS(write(a, "12345", 5), 5);
    IS(read(b, got, 2), 2);
    IS(write(b, "xy", 2), 2);
    IS(pread(a, got, 8, 0), 5);
    HOLDS(memcmp(got, "12xy5", 5) == 0);
    WORKS(ftruncate(b, 3));
    IS(pread(a, got, 8, 0), 3);
    IS(write(a, "6", 1), 1);
    IS(pread(b, got, 8, 0), 6);
    HOLDS(memcmp(got, "12x\0\0006", 6) == 0);
    WORKS(shut(a));
    WORKS(shut(b));
}

static void attributes_of_a_handle_are_those_of_its_file(void)
{
    struct stat st, by_path;
    put(here, "f", "12345");
    int fd = openat(here, "f", O_RDONLY);
    WORKS(fstat(fd, &st));
    WORKS(stat_of(here, "f", &by_path));
    HOLDS(S_ISREG(st.st_mode));
    IS(st.st_size, 5);
    IS(st.st_nlink, 1);
    IS(st.st_ino, by_path.st_ino);
    IS(st.st_dev, by_path.st_dev);
    IS(st.st_mtim.tv_nsec, by_path.st_mtim.tv_nsec);
    WORKS(shut(fd));
    WORKS(fstat(here, &st));
    HOLDS(S_ISDIR(st.st_mode) && st.st_ino != by_path.st_ino);
}

static void many_files_are_open_at_once(void)
{
    static int fds[500];
    char name[16], text[16], got[16];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "f%d", i);
        fds[i] = open_rw(name);
        HOLDS(fds[i] >= 0);
        IS(write(fds[i], name, strlen(name)), strlen(name));
    }
    for (int i = 499; i >= 0; i--) {
        int n = snprintf(text, sizeof text, "f%d", i);
        IS(pread(fds[i], got, sizeof got, 0), n);
        HOLDS(memcmp(text, got, (size_t)n) == 0);
        WORKS(shut(fds[i]));
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(what_was_written_is_read_back),
        CASE(opening_what_is_not_there_is_refused),
        CASE(making_exclusively_what_exists_is_refused),
        CASE(directories_open_only_to_be_read),
        CASE(links_are_not_followed_where_that_is_said),
        CASE(a_handle_does_only_what_it_was_opened_for),
        CASE(truncating_empties_or_cuts_or_makes_a_hole),
        CASE(what_was_cut_off_does_not_come_back),
        CASE(holes_read_as_zeros),
        CASE(appending_handles_never_overwrite_each_other),
        CASE(a_write_at_an_offset_of_an_appending_handle_appends),
        CASE(append_can_be_switched_on_and_off),
        CASE(seeking_beyond_the_end_is_allowed_and_before_the_start_is_not),
        CASE(reading_and_writing_at_an_offset_leaves_the_handle_where_it_is),
        CASE(writing_nothing_changes_nothing),
        CASE(several_buffers_are_one_transfer),
        CASE(allocating_extends_and_keeps_what_is_there),
        CASE(a_file_without_a_name_stays_until_it_is_closed),
        CASE(handles_see_each_others_changes_at_once),
        CASE(attributes_of_a_handle_are_those_of_its_file),
        CASE(many_files_are_open_at_once),
    };
    return check_main(cases, COUNT(cases), true, argc > 1 ? argv[1] : NULL);
}
