/* Descriptors: the preopened directories, rights as they were asked for, moving and closing,
 * seeking and telling, what each kind refuses. */
#include "raw.h"

#define CLOSED 4000u

static void the_mount_is_preopened_under_its_name(void)
{
    struct raw_prestat pre = {.pad = {9, 9, 9}};
    struct raw_fdstat stat;
    char name[8] = "";
    ANSWERS(0, raw_fd_prestat_get(3, &pre));
    IS(pre.tag, 0);
    IS(pre.name_len, 2);
    ANSWERS(0, raw_fd_prestat_dir_name(3, name, 2));
    HOLDS(memcmp(name, "/w", 3) == 0);
    ANSWERS(ENAMETOOLONG, raw_fd_prestat_dir_name(3, name, 1));
    ANSWERS(EBADF, raw_fd_prestat_get(CLOSED, &pre));
    ANSWERS(EBADF, raw_fd_prestat_get((uint32_t)here, &pre));
    ANSWERS(EBADF, raw_fd_prestat_get(1, &pre));
    ANSWERS(0, raw_fd_fdstat_get(3, &stat));
    IS(stat.filetype, T_DIR);
    HOLDS((stat.rights & R_PATH_OPEN) != 0 && (stat.inheriting & R_READ) != 0);
}

static void rights_are_reported_as_they_were_asked_for(void)
{
    uint32_t fd;
    struct raw_fdstat stat;
    ANSWERS(0, raw_path_open((uint32_t)here, 0, TEXT("f"), O_R_CREAT, R_READ | R_WRITE | R_SEEK,
                             R_READ, 0, &fd));
    memset(&stat, 0x55, sizeof stat);
    ANSWERS(0, raw_fd_fdstat_get(fd, &stat));
    IS(stat.filetype, T_REG);
    IS(stat.flags, 0);
    IS(stat.rights, R_READ | R_WRITE | R_SEEK);
    IS(stat.inheriting, R_READ);
    IS(stat.pad0 | stat.pad1[0] | stat.pad1[1] | stat.pad1[2] | stat.pad1[3], 0);
    ANSWERS(0, raw_fd_close(fd));
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_READ, F_APPEND, &fd));
    ANSWERS(0, raw_fd_fdstat_get(fd, &stat));
    IS(stat.rights, R_READ);
    IS(stat.flags, F_APPEND);
    ANSWERS(0, raw_fd_close(fd));
}

static void a_directory_that_was_opened_with_no_rights_works(void)
{
    uint32_t dir, fd, n;
    struct raw_filestat st;
    char buf[256];
    ANSWERS(0, raw_mkdir((uint32_t)here, "d"));
    ANSWERS(0, raw_path_open((uint32_t)here, 0, TEXT("d"), O_R_DIRECTORY, 0, 0, 0, &dir));
    ANSWERS(0, raw_mkdir(dir, "e"));
    ANSWERS(0, raw_open(dir, "f", O_R_CREAT, R_FILE, 0, &fd));
    ANSWERS(0, raw_write_text(fd, "x"));
    ANSWERS(0, raw_fd_close(fd));
    ANSWERS(0, raw_stat(dir, 0, "f", &st));
    IS(st.size, 1);
    ANSWERS(0, raw_fd_readdir(dir, buf, sizeof buf, 0, &n));
    ANSWERS(0, raw_rename(dir, "f", dir, "g"));
    ANSWERS(0, raw_unlink(dir, "g"));
    ANSWERS(0, raw_rmdir(dir, "e"));
    ANSWERS(0, raw_fd_filestat_get(dir, &st));
    ANSWERS(0, raw_fd_close(dir));
}

static void an_operation_does_not_fail_for_a_right_nobody_asked_for(void)
{
    uint32_t fd;
    uint64_t at;
    struct raw_filestat st;
    put(here, "f", "12345");
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_READ | R_WRITE, 0, &fd));
    ANSWERS(0, raw_fd_seek(fd, 2, RAW_SET, &at));
    ANSWERS(0, raw_fd_tell(fd, &at));
    IS(at, 2);
    ANSWERS(0, raw_fd_filestat_get(fd, &st));
    ANSWERS(0, raw_fd_sync(fd));
    ANSWERS(0, raw_fd_datasync(fd));
    ANSWERS(0, raw_fd_advise(fd, 0, 0, 0));
    ANSWERS(0, check_adapted() ? 0 : raw_fd_allocate(fd, 0, 10));
    ANSWERS(0, raw_fd_filestat_set_size(fd, 4));
    ANSWERS(0, raw_fd_filestat_set_times(fd, 0, 0, TIME_M_NOW));
    ANSWERS(0, raw_fd_fdstat_set_flags(fd, F_APPEND));
    ANSWERS(0, raw_fd_close(fd));
}

static void reading_and_writing_need_a_file_that_was_opened_for_it(void)
{
    uint32_t r, w;
    put(here, "f", "12345");
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_READ, 0, &r));
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_WRITE, 0, &w));
    ANSWERS(EBADF, raw_write_text(r, "x"));
    ANSWERS(EBADF, raw_read_byte(w));
    ANSWERS(0, raw_read_byte(r));
    ANSWERS(0, raw_write_text(w, "x"));
    ANSWERS(EINVAL, raw_fd_filestat_set_size(r, 0));
    ANSWERS(EBADF, check_adapted() ? EBADF : raw_fd_allocate(r, 0, 10));
    ANSWERS(0, raw_fd_close(r));
    ANSWERS(0, raw_fd_close(w));
    HAS(here, "f", "x2345");
}

static void rights_can_be_dropped_but_not_taken_back(void)
{
    uint32_t fd;
    struct raw_fdstat stat;
    put(here, "f", "12345");
    ANSWERS(0, raw_path_open((uint32_t)here, 0, TEXT("f"), 0, R_FILE, 0, 0, &fd));
    ANSWERS(0, raw_fd_fdstat_set_rights(fd, R_READ | R_SEEK, 0));
    ANSWERS(0, raw_fd_fdstat_get(fd, &stat));
    IS(stat.rights, R_READ | R_SEEK);
    ANSWERS(ENOTCAPABLE, raw_fd_fdstat_set_rights(fd, R_FILE, 0));
    ANSWERS(ENOTCAPABLE, raw_fd_fdstat_set_rights(fd, R_READ, R_READ));
    ANSWERS(0, raw_fd_fdstat_get(fd, &stat));
    IS(stat.rights, R_READ | R_SEEK);
    ANSWERS(0, raw_fd_close(fd));
}

static void a_descriptor_moves_onto_another(void)
{
    uint32_t a, b;
    uint64_t at;
    put(here, "a", "AAAA");
    put(here, "b", "BBBB");
    ANSWERS(0, raw_open((uint32_t)here, "a", 0, R_FILE, 0, &a));
    ANSWERS(0, raw_open((uint32_t)here, "b", 0, R_FILE, 0, &b));
    ANSWERS(0, raw_fd_seek(a, 3, RAW_SET, &at));
    ANSWERS(0, raw_fd_renumber(a, b));
    ANSWERS(EBADF, raw_fd_tell(a, &at));
    ANSWERS(0, raw_fd_tell(b, &at));
    IS(at, 3);
    ANSWERS(0, raw_write_text(b, "x"));
    HAS(here, "a", "AAAx");
    HAS(here, "b", "BBBB");
    ANSWERS(0, raw_fd_renumber(b, b));
    ANSWERS(0, raw_fd_tell(b, &at));
    IS(at, 4);
    ANSWERS(EBADF, raw_fd_renumber(a, b));
    ANSWERS(EBADF, raw_fd_renumber(a, a));
    ANSWERS(EBADF, raw_fd_renumber(b, a));
    ANSWERS(EBADF, raw_fd_renumber(b, CLOSED));
    ANSWERS(EBADF, raw_fd_renumber(b, UINT32_MAX));
    ANSWERS(EBADF, raw_fd_renumber(UINT32_MAX, b));
    ANSWERS(0, raw_fd_tell(b, &at));
    ANSWERS(0, raw_fd_close(b));
}

static void nothing_needs_to_be_closed(void)
{
    uint32_t fd, dir;
    put(here, "f", "x");
    ANSWERS(0, raw_mkdir((uint32_t)here, "d"));
    for (int i = 0; i < 200; i++) {
        ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_READ | R_WRITE, 0, &fd));
        ANSWERS(0, raw_open((uint32_t)here, "d", O_R_DIRECTORY, 0, 0, &dir));
        char buf[64];
        uint32_t n;
        ANSWERS(0, raw_fd_readdir(dir, buf, sizeof buf, 0, &n));
    }
}

static void a_file_that_moves_onto_a_preopened_directory_replaces_it(void)
{
    uint32_t fd;
    struct raw_prestat pre;
    ANSWERS(0, raw_open((uint32_t)here, "f", O_R_CREAT, R_FILE, 0, &fd));
    ANSWERS(0, raw_fd_renumber(fd, 3));
    ANSWERS(EBADF, raw_fd_prestat_get(3, &pre));
    ANSWERS(0, raw_write_text(3, "x"));
    ANSWERS(EBADF, raw_write_text(fd, "x"));
    ANSWERS(ENOTDIR, raw_mkdir(3, "d"));
    ANSWERS(0, raw_fd_close(3));
    HAS(here, "f", "x");
}

static void a_million_moves_need_no_more_than_one(void)
{
    put(here, "f", "12345");
    int errors = 0;
    uint32_t keep;
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_READ, 0, &keep));
    for (int i = 0; i < 1000000; i++) {
        uint32_t fd;
        if (i % 1000 == 0) {
            errors += raw_open((uint32_t)here, "f", 0, R_READ, 0, &fd) != 0;
            errors += raw_fd_renumber(fd, keep) != 0;
        } else {
            errors += raw_fd_renumber(keep, keep) != 0;
        }
    }
    IS(errors, 0);
    for (int i = 0; i < 20000; i++) {
        uint32_t fd;
        errors += raw_open((uint32_t)here, "f", 0, R_READ, 0, &fd) != 0;
        errors += raw_fd_renumber(fd, keep) != 0;
    }
    IS(errors, 0);
    ANSWERS(0, raw_fd_close(keep));
}

static void a_closed_descriptor_is_bad_everywhere(void)
{
    uint32_t n;
    uint64_t at;
    struct raw_filestat st;
    struct raw_fdstat stat;
    char buf[64];
    struct raw_iov iov = {buf, 1};
    static const uint32_t bad[] = {CLOSED, UINT32_MAX, 0x80000000u};
    for (size_t i = 0; i < COUNT(bad); i++) {
        ANSWERS(EBADF, raw_fd_close(bad[i]));
        ANSWERS(EBADF, raw_fd_read(bad[i], &iov, 1, &n));
        ANSWERS(EBADF, raw_fd_write(bad[i], &iov, 1, &n));
        ANSWERS(EBADF, raw_fd_pread(bad[i], &iov, 1, 0, &n));
        ANSWERS(EBADF, raw_fd_pwrite(bad[i], &iov, 1, 0, &n));
        ANSWERS(EBADF, raw_fd_seek(bad[i], 0, RAW_SET, &at));
        ANSWERS(EBADF, raw_fd_tell(bad[i], &at));
        ANSWERS(EBADF, raw_fd_sync(bad[i]));
        ANSWERS(EBADF, raw_fd_datasync(bad[i]));
        ANSWERS(EBADF, raw_fd_advise(bad[i], 0, 0, 0));
        ANSWERS(EBADF, raw_fd_allocate(bad[i], 0, 1));
        ANSWERS(EBADF, raw_fd_fdstat_get(bad[i], &stat));
        ANSWERS(EBADF, raw_fd_fdstat_set_flags(bad[i], 0));
        ANSWERS(EBADF, raw_fd_filestat_get(bad[i], &st));
        ANSWERS(EBADF, raw_fd_filestat_set_size(bad[i], 0));
        ANSWERS(EBADF, raw_fd_filestat_set_times(bad[i], 0, 0, 0));
        ANSWERS(EBADF, raw_fd_readdir(bad[i], buf, sizeof buf, 0, &n));
        ANSWERS(EBADF, raw_mkdir(bad[i], "d"));
        ANSWERS(EBADF, raw_stat(bad[i], 0, "d", &st));
        ANSWERS(EBADF, raw_unlink(bad[i], "d"));
        ANSWERS(EBADF, raw_rename(bad[i], "d", (uint32_t)here, "d"));
        ANSWERS(EBADF, raw_symlink("x", bad[i], "d"));
        ANSWERS(EBADF, raw_open(bad[i], "d", 0, 0, 0, &n));
    }
}

static void a_file_is_no_directory_to_start_from(void)
{
    uint32_t fd, out;
    struct raw_filestat st;
    ANSWERS(0, raw_open((uint32_t)here, "f", O_R_CREAT, R_FILE, 0, &fd));
    ANSWERS(ENOTDIR, raw_open(fd, "x", 0, R_READ, 0, &out));
    ANSWERS(ENOTDIR, raw_mkdir(fd, "x"));
    ANSWERS(ENOTDIR, raw_rmdir(fd, "x"));
    ANSWERS(ENOTDIR, raw_unlink(fd, "x"));
    ANSWERS(ENOTDIR, raw_stat(fd, 0, "x", &st));
    ANSWERS(ENOTDIR, raw_rename(fd, "x", (uint32_t)here, "y"));
    ANSWERS(ENOTDIR, raw_rename((uint32_t)here, "f", fd, "y"));
    ANSWERS(ENOTDIR, raw_link((uint32_t)here, 0, "f", fd, "y"));
    ANSWERS(ENOTDIR, raw_symlink("x", fd, "y"));
    ANSWERS(ENOTDIR, raw_readlink(fd, "x"));
    ANSWERS(check_adapted() ? ENOTDIR : EBADF, raw_fd_readdir(fd, &st, 24, 0, &out));
    ANSWERS(0, raw_fd_close(fd));
}

static void a_directory_is_no_file(void)
{
    uint32_t n;
    uint64_t at;
    char byte;
    struct raw_iov iov = {&byte, 1};
    uint32_t dir = (uint32_t)here;
    ANSWERS(EISDIR, raw_fd_read(dir, &iov, 1, &n));
    ANSWERS(EISDIR, raw_fd_pread(dir, &iov, 1, 0, &n));
    ANSWERS(EBADF, raw_fd_write(dir, &iov, 1, &n));
    ANSWERS(EBADF, raw_fd_pwrite(dir, &iov, 1, 0, &n));
    ANSWERS(EBADF, raw_fd_allocate(dir, 0, 1));
    /* Not as on Linux: what programs of WASI expect. */
    ANSWERS(EBADF, raw_fd_advise(dir, 0, 0, 0));
    ANSWERS(EBADF, raw_fd_seek(dir, 0, RAW_SET, &at));
    ANSWERS(EBADF, raw_fd_tell(dir, &at));
    ANSWERS(0, raw_fd_sync(dir));
    ANSWERS(0, raw_fd_datasync(dir));
    ANSWERS(EINVAL, raw_fd_filestat_set_size(dir, 0));
}

static void the_table_of_descriptors_has_an_end(void)
{
    static uint32_t fds[100000];
    uint32_t n = 0;
    int no = 0;
    put(here, "f", "x");
    while (n < COUNT(fds) &&
           (no = (int)raw_open((uint32_t)here, "f", 0, R_READ, 0, &fds[n])) == 0) {
        n++;
    }
    ANSWERS(EMFILE, no);
    HOLDS(n >= 10 && n <= 4096); /* however many the suite allows */
    ANSWERS(EMFILE, raw_open((uint32_t)here, "new", O_R_CREAT, R_FILE, 0, &fds[n]));
    for (uint32_t i = 0; i < n; i++) {
        raw_fd_close(fds[i]);
    }
    HAS(here, "new", "(ENOENT)");
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_READ, 0, &fds[0]));
    ANSWERS(0, raw_fd_close(fds[0]));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(the_mount_is_preopened_under_its_name),
        CASE(rights_are_reported_as_they_were_asked_for),
        CASE(a_directory_that_was_opened_with_no_rights_works),
        CASE(an_operation_does_not_fail_for_a_right_nobody_asked_for),
        CASE(reading_and_writing_need_a_file_that_was_opened_for_it),
        CASE(rights_can_be_dropped_but_not_taken_back),
        CASE(a_descriptor_moves_onto_another),
        CASE(a_million_moves_need_no_more_than_one),
        CASE(a_closed_descriptor_is_bad_everywhere),
        CASE(a_file_is_no_directory_to_start_from),
        CASE(a_directory_is_no_file),
        CASE(the_table_of_descriptors_has_an_end),
        CASE(nothing_needs_to_be_closed),
        CASE(a_file_that_moves_onto_a_preopened_directory_replaces_it), /* the last: /w is gone */
    };
    return check_main(cases, COUNT(cases), true, argc > 1 ? argv[1] : NULL);
}
