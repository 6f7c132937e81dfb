/* Numbers and pointers that a program would not use: each is an errno, the guest goes on and no
 * byte outside what was asked for is written. */
#include "raw.h"

#define BAD 0xfffffff0u
#define AT(address) ((void *)(uintptr_t)(address))
static uint32_t end_of_memory(void)
{
    return (uint32_t)__builtin_wasm_memory_size(0) * 65536u;
}

static uint32_t file_open(void)
{
    uint32_t fd = UINT32_MAX;
    put(here, "f", "12345");
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_FILE, 0, &fd));
    return fd;
}

/* Every pointer of every function, at an address outside the memory. */
static void outside(uint32_t bad)
{
    uint32_t dir = (uint32_t)here, fd = file_open(), n;
    struct raw_filestat st;
    char buf[64];
    struct raw_iov iov = {buf, 4}, bad_iov = {AT(bad), 64};
    ANSWERS(EFAULT, raw_args_sizes_get(AT(bad), &n));
    ANSWERS(EFAULT, raw_args_sizes_get(&n, AT(bad)));
    ANSWERS(EFAULT, raw_args_get(buf, AT(bad)));
    ANSWERS(EFAULT, raw_environ_sizes_get(AT(bad), &n));
    ANSWERS(EFAULT, raw_clock_res_get(0, AT(bad)));
    ANSWERS(EFAULT, raw_clock_time_get(0, 0, AT(bad)));
    ANSWERS(EFAULT, raw_fd_fdstat_get(fd, AT(bad)));
    ANSWERS(EFAULT, raw_fd_filestat_get(fd, AT(bad)));
    ANSWERS(EFAULT, raw_fd_read(fd, AT(bad), 1, &n));
    ANSWERS(EFAULT, raw_fd_read(fd, &bad_iov, 1, &n));
    ANSWERS(EFAULT, raw_fd_read(fd, &iov, 1, AT(bad)));
    ANSWERS(EFAULT, raw_fd_pread(fd, AT(bad), 1, 0, &n));
    ANSWERS(EFAULT, raw_fd_pread(fd, &bad_iov, 1, 0, &n));
    ANSWERS(EFAULT, raw_fd_pread(fd, &iov, 1, 0, AT(bad)));
    ANSWERS(EFAULT, raw_fd_write(fd, AT(bad), 1, &n));
    ANSWERS(EFAULT, raw_fd_write(fd, &bad_iov, 1, &n));
    ANSWERS(EFAULT, raw_fd_write(fd, &iov, 1, AT(bad)));
    ANSWERS(EFAULT, raw_fd_pwrite(fd, AT(bad), 1, 0, &n));
    ANSWERS(EFAULT, raw_fd_pwrite(fd, &bad_iov, 1, 0, &n));
    ANSWERS(EFAULT, raw_fd_pwrite(fd, &iov, 1, 0, AT(bad)));
    ANSWERS(EFAULT, raw_fd_prestat_get(3, AT(bad)));
    ANSWERS(EFAULT, raw_fd_prestat_dir_name(3, AT(bad), 2));
    ANSWERS(EFAULT, raw_fd_readdir(dir, AT(bad), 64, 0, &n));
    ANSWERS(EFAULT, raw_fd_readdir(dir, buf, 64, 0, AT(bad)));
    ANSWERS(EFAULT, raw_fd_seek(fd, 0, RAW_CUR, AT(bad)));
    ANSWERS(EFAULT, raw_fd_tell(fd, AT(bad)));
    ANSWERS(EFAULT, raw_path_create_directory(dir, AT(bad), 20));
    ANSWERS(EFAULT, raw_path_filestat_get(dir, 0, AT(bad), 20, &st));
    ANSWERS(EFAULT, raw_path_filestat_get(dir, 0, "f", 1, AT(bad)));
    ANSWERS(EFAULT, raw_path_filestat_set_times(dir, 0, AT(bad), 20, 0, 0, 0));
    ANSWERS(EFAULT, raw_path_link(dir, 0, AT(bad), 20, dir, "g", 1));
    ANSWERS(EFAULT, raw_path_link(dir, 0, "f", 1, dir, AT(bad), 20));
    ANSWERS(EFAULT, raw_path_open(dir, 0, AT(bad), 20, 0, R_READ, 0, 0, &n));
    ANSWERS(EFAULT, raw_path_open(dir, 0, "f", 1, 0, R_READ, 0, 0, AT(bad)));
    ANSWERS(EFAULT, raw_path_open(dir, 0, "new", 3, O_R_CREAT, R_FILE, 0, 0, AT(bad)));
    ANSWERS(EFAULT, raw_path_readlink(dir, AT(bad), 20, buf, 64, &n));
    ANSWERS(0, raw_symlink("x", dir, "link"));
    ANSWERS(EFAULT, raw_path_readlink(dir, "link", 4, AT(bad), 64, &n));
    ANSWERS(EFAULT, raw_path_readlink(dir, "link", 4, buf, 64, AT(bad)));
    ANSWERS(EFAULT, raw_path_remove_directory(dir, AT(bad), 20));
    ANSWERS(EFAULT, raw_path_rename(dir, AT(bad), 20, dir, "g", 1));
    ANSWERS(EFAULT, raw_path_rename(dir, "f", 1, dir, AT(bad), 20));
    ANSWERS(EFAULT, raw_path_symlink(AT(bad), 20, dir, "g", 1));
    ANSWERS(EFAULT, raw_path_symlink("x", 1, dir, AT(bad), 20));
    ANSWERS(EFAULT, raw_path_unlink_file(dir, AT(bad), 20));
    ANSWERS(EFAULT, raw_poll_oneoff(AT(bad), (struct raw_event *)buf, 1, &n));
    ANSWERS(EFAULT, raw_random_get(AT(bad), 64));
    HAS(here, "f", "12345");
    HAS(here, "new", "(ENOENT)");
    ANSWERS(0, raw_unlink(dir, "link"));
    ANSWERS(0, raw_fd_close(fd));
}

static void pointers_outside_the_memory_are_refused(void)
{
    outside(BAD);
    outside(end_of_memory());
}

static void the_last_bytes_of_the_memory_can_be_used_and_no_more(void)
{
    uint32_t last = end_of_memory() - 1, fd = file_open(), n;
    uint64_t at;
    struct raw_iov iov = {AT(last), 1}, over = {AT(last), 2};
    ANSWERS(0, raw_fd_read(fd, &iov, 1, &n));
    IS(n, 1);
    IS(*(char *)AT(last), '1');
    ANSWERS(EFAULT, raw_fd_read(fd, &over, 1, &n));
    ANSWERS(0, raw_fd_tell(fd, &at));
    IS(at, 1);
    ANSWERS(0, raw_random_get(AT(last), 1));
    ANSWERS(EFAULT, raw_random_get(AT(last), 2));
    ANSWERS(0, raw_random_get(AT(last + 1), 0));
    ANSWERS(EFAULT, raw_fd_tell(fd, AT(last - 6)));
    ANSWERS(0, raw_fd_tell(fd, AT(last - 7)));
    ANSWERS(0, raw_fd_close(fd));
}

static void lengths_that_wrap_around_are_refused(void)
{
    uint32_t dir = (uint32_t)here, fd = file_open(), n;
    char buf[16];
    struct raw_iov wraps[] = {{buf, 4}, {buf, UINT32_MAX}};
    struct raw_iov sums[] = {{buf, 0x7fffffff}, {buf, 0x7fffffff}, {buf, 16}};
    ANSWERS(EFAULT, raw_fd_read(fd, wraps, 2, &n));
    ANSWERS(EFAULT, raw_fd_write(fd, wraps, 2, &n));
    HOLDS(raw_fd_write(fd, sums, 3, &n) != 0);
    HAS(here, "f", "12345");
    ANSWERS(EFAULT, raw_path_create_directory(dir, "d", UINT32_MAX));
    ANSWERS(EFAULT, raw_random_get(buf, UINT32_MAX));
    ANSWERS(EFAULT, raw_fd_readdir(dir, buf, UINT32_MAX, 0, &n));
    ANSWERS(EFAULT,
            raw_poll_oneoff((struct raw_sub *)buf, (struct raw_event *)buf, UINT32_MAX, &n));
    ANSWERS(0, raw_fd_close(fd));
}

static void more_buffers_than_linux_takes_are_refused(void)
{
    static struct raw_iov iov[1025];
    static char byte = 'x';
    uint32_t fd = file_open(), n;
    for (size_t i = 0; i < COUNT(iov); i++) {
        iov[i] = (struct raw_iov){&byte, 1};
    }
    ANSWERS(EINVAL, raw_fd_write(fd, iov, 1025, &n));
    ANSWERS(EINVAL, raw_fd_read(fd, iov, 1025, &n));
    ANSWERS(EINVAL, raw_fd_write(fd, iov, UINT32_MAX / 8, &n));
    ANSWERS(0, raw_fd_write(fd, iov, 1024, &n));
    IS(n, 1024);
    ANSWERS(0, raw_fd_write(fd, iov, 0, &n));
    IS(n, 0);
    IS(size_of(here, "f"), 1024);
    ANSWERS(0, raw_fd_close(fd));
}

static void buffers_may_overlap_each_other_and_their_list(void)
{
    uint32_t fd = file_open(), n;
    uint64_t at;
    static char buf[8];
    struct raw_iov same[] = {{buf, 3}, {buf, 3}};
    ANSWERS(0, raw_fd_read(fd, same, 2, &n));
    IS(n, 5);
    HOLDS(memcmp(buf, "453", 3) == 0);
    static union {
        struct raw_iov iov[2];
        char text[16];
    } list;
    list.iov[0] = (struct raw_iov){&list, 16};
    list.iov[1] = (struct raw_iov){buf, 2};
    ANSWERS(0, raw_fd_seek(fd, 0, RAW_SET, &at));
    uint32_t no = raw_fd_read(fd, list.iov, 2, &n);
    HOLDS(no == 0 && n == 5 && memcmp(list.text, "12345", 5) == 0);
    ANSWERS(0, raw_fd_close(fd));
}

static void flags_that_do_not_exist_are_refused(void)
{
    uint32_t dir = (uint32_t)here, n, fd = file_open();
    struct raw_filestat st;
    ANSWERS(EINVAL, raw_path_open(dir, 0, TEXT("f"), 16, R_READ, 0, 0, &n));
    ANSWERS(EINVAL, raw_path_open(dir, 0, TEXT("f"), UINT16_MAX, R_READ, 0, 0, &n));
    ANSWERS(EINVAL, raw_path_open(dir, 0, TEXT("f"), 0, R_READ, 0, 32, &n));
    ANSWERS(EINVAL, raw_path_open(dir, 2, TEXT("f"), 0, R_READ, 0, 0, &n));
    ANSWERS(EINVAL, raw_stat(dir, 2, "f", &st));
    ANSWERS(EINVAL, raw_link(dir, 2, "f", dir, "g"));
    ANSWERS(EINVAL, raw_times(dir, 2, "f", 0, 0, 0));
    ANSWERS(EINVAL, raw_times(dir, 0, "f", 0, 0, 16));
    ANSWERS(EINVAL, raw_times(dir, 0, "f", 0, 0, TIME_A | TIME_A_NOW));
    ANSWERS(EINVAL, raw_times(dir, 0, "f", 0, 0, TIME_M | TIME_M_NOW));
    ANSWERS(EINVAL, raw_fd_filestat_set_times(fd, 0, 0, TIME_M | TIME_M_NOW));
    ANSWERS(EINVAL, raw_fd_filestat_set_times(fd, 0, 0, UINT16_MAX));
    ANSWERS(0, raw_fd_close(fd));
}

static void sizes_and_offsets_beyond_every_file_are_refused(void)
{
    uint32_t fd = file_open(), n;
    char byte = 'x';
    struct raw_iov iov = {&byte, 1};
    ANSWERS(EINVAL, raw_fd_filestat_set_size(fd, UINT64_MAX));
    ANSWERS(EINVAL, raw_fd_filestat_set_size(fd, 1ull << 63));
    ANSWERS(EFBIG, raw_fd_filestat_set_size(fd, INT64_MAX));
    ANSWERS(EINVAL, raw_fd_pread(fd, &iov, 1, UINT64_MAX, &n));
    ANSWERS(EINVAL, raw_fd_pwrite(fd, &iov, 1, UINT64_MAX, &n));
    ANSWERS(EINVAL, raw_fd_pread(fd, &iov, 1, 1ull << 63, &n));
    ANSWERS(EINVAL, raw_fd_pwrite(fd, &iov, 1, 1ull << 63, &n));
    ANSWERS(EFBIG, raw_fd_pwrite(fd, &iov, 1, INT64_MAX - 1, &n));
    HAS(here, "f", "12345");
    ANSWERS(0, raw_fd_close(fd));
}

static void times_at_the_limits_do_no_harm(void)
{
    static const uint64_t odd[] = {0,         1,          999999999,      1000000000, UINT32_MAX,
                                   INT64_MAX, 1ull << 63, UINT64_MAX - 1, UINT64_MAX};
    uint32_t dir = (uint32_t)here, fd = file_open();
    struct raw_filestat st;
    for (size_t i = 0; i < COUNT(odd); i++) {
        uint32_t by_path = raw_times(dir, 0, "f", odd[i], odd[i], TIME_A | TIME_M);
        uint32_t by_fd = raw_fd_filestat_set_times(fd, odd[i], odd[i], TIME_A | TIME_M);
        IS(by_fd, by_path);
        HOLDS(by_path == 0 || (odd[i] > INT64_MAX && by_path == EINVAL));
        ANSWERS(0, raw_stat(dir, 0, "f", &st));
        if (odd[i] <= INT64_MAX) {
            HOLDS(st.mtim == odd[i] && st.atim == odd[i]);
        }
    }
    /* A file of 1969, where the host has made one. */
    uint32_t no = raw_stat((uint32_t)base, 0, "old", &st);
    HOLDS(no == 0 || no == ENOENT);
    ANSWERS(0, raw_fd_close(fd));
}

static void absent_and_present_times_are_kept_apart(void)
{
    uint32_t dir = (uint32_t)here, fd = file_open();
    struct raw_filestat st;
    ANSWERS(0, raw_times(dir, 0, "f", 11, 22, TIME_A | TIME_M));
    ANSWERS(0, raw_times(dir, 0, "f", 33, 44, 0));
    ANSWERS(0, raw_fd_filestat_set_times(fd, 33, 44, 0));
    ANSWERS(0, raw_stat(dir, 0, "f", &st));
    HOLDS(st.atim == 11 && st.mtim == 22);
    ANSWERS(0, raw_times(dir, 0, "f", 33, 44, TIME_M));
    ANSWERS(0, raw_stat(dir, 0, "f", &st));
    HOLDS(st.atim == 11 && st.mtim == 44);
    ANSWERS(0, raw_fd_filestat_set_times(fd, 33, 0, TIME_A | TIME_M_NOW));
    ANSWERS(0, raw_stat(dir, 0, "f", &st));
    HOLDS(st.atim == 33 && st.mtim > 1700000000ull * 1000000000ull);
    ANSWERS(0, raw_times(dir, 0, "f", 0, 0, TIME_A_NOW));
    ANSWERS(0, raw_stat(dir, 0, "f", &st));
    HOLDS(st.atim > 1700000000ull * 1000000000ull);
    ANSWERS(0, raw_fd_close(fd));
}

static void random_bytes_are_random_in_any_amount(void)
{
    static unsigned char a[1 << 20], b[1 << 20];
    size_t zeros = 0;
    ANSWERS(0, raw_random_get(a, sizeof a));
    ANSWERS(0, raw_random_get(b, sizeof b));
    HOLDS(memcmp(a, b, sizeof a) != 0);
    for (size_t i = 0; i < sizeof a; i++) {
        zeros += a[i] == 0;
    }
    HOLDS(zeros > 3000 && zeros < 5500);
    ANSWERS(0, raw_random_get(a, 0));
    static unsigned char big[64 << 20];
    ANSWERS(0, raw_random_get(big, sizeof big));
    HOLDS(memcmp(big + sizeof big - 64, big, 64) != 0);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(pointers_outside_the_memory_are_refused),
        CASE(the_last_bytes_of_the_memory_can_be_used_and_no_more),
        CASE(lengths_that_wrap_around_are_refused),
        CASE(more_buffers_than_linux_takes_are_refused),
        CASE(buffers_may_overlap_each_other_and_their_list),
        CASE(flags_that_do_not_exist_are_refused),
        CASE(sizes_and_offsets_beyond_every_file_are_refused),
        CASE(times_at_the_limits_do_no_harm),
        CASE(absent_and_present_times_are_kept_apart),
        CASE(random_bytes_are_random_in_any_amount),
    };
    return check_main(cases, COUNT(cases), true, argc > 1 ? argv[1] : NULL);
}
