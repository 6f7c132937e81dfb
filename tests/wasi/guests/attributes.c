/* What is told about files and set through their descriptors: layouts, flags, offsets, space. */
#include "raw.h"

static void whence_has_the_order_of_its_version(void)
{
    uint32_t fd;
    uint64_t at = 99;
    put(here, "f", "12345");
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_FILE, 0, &fd));
    ANSWERS(0, raw_fd_seek(fd, 2, RAW_SET, &at));
    IS(at, 2);
    ANSWERS(0, raw_fd_seek(fd, 1, RAW_CUR, &at));
    IS(at, 3);
    ANSWERS(0, raw_fd_seek(fd, -1, RAW_END, &at));
    IS(at, 4);
    ANSWERS(EINVAL, raw_fd_seek(fd, -10, RAW_CUR, &at));
    ANSWERS(EINVAL, raw_fd_seek(fd, INT64_MIN, RAW_END, &at));
    ANSWERS(EINVAL, raw_fd_seek(fd, INT64_MAX, RAW_CUR, &at));
    ANSWERS(EINVAL, raw_fd_seek(fd, 0, 3, &at));
    ANSWERS(EINVAL, raw_fd_seek(fd, 0, UINT32_MAX, &at));
    ANSWERS(0, raw_fd_tell(fd, &at));
    IS(at, 4);
    ANSWERS(0, raw_fd_close(fd));
}

static void attributes_have_the_layout_of_their_version(void)
{
    struct raw_filestat st, by_fd;
    uint32_t fd;
    put(here, "f", "12345");
    ANSWERS(0, raw_link((uint32_t)here, 0, "f", (uint32_t)here, "g"));
    ANSWERS(0, raw_times((uint32_t)here, 0, "f", 1111111111, 2222222222, TIME_A | TIME_M));
    memset(&st, 0x55, sizeof st);
    memset(&by_fd, 0x77, sizeof by_fd);
    ANSWERS(0, raw_stat((uint32_t)here, 0, "f", &st));
    IS(st.filetype, T_REG);
    IS(st.nlink, 2);
    IS(st.size, 5);
    IS(st.atim, 1111111111);
    IS(st.mtim, 2222222222);
    for (size_t i = 0; i < sizeof st.pad; i++) {
        IS(st.pad[i], 0);
    }
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_FILE, 0, &fd));
    ANSWERS(0, raw_fd_filestat_get(fd, &by_fd));
    IS(memcmp(&st, &by_fd, sizeof st), 0);
    ANSWERS(0, raw_fd_close(fd));
    ANSWERS(0, raw_symlink("f", (uint32_t)here, "l"));
    ANSWERS(0, raw_stat((uint32_t)here, 0, "l", &st));
    IS(st.filetype, T_LINK);
    ANSWERS(0, raw_stat((uint32_t)here, FOLLOW, "l", &st));
    IS(st.filetype, T_REG);
    ANSWERS(0, raw_stat((uint32_t)here, 0, ".", &st));
    IS(st.filetype, T_DIR);
}

static void flags_of_a_descriptor_can_be_changed(void)
{
    uint32_t fd;
    struct raw_fdstat stat;
    put(here, "f", "12345");
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_FILE, 0, &fd));
    ANSWERS(0, raw_fd_fdstat_set_flags(fd, F_APPEND));
    ANSWERS(0, raw_fd_fdstat_get(fd, &stat));
    IS(stat.flags, F_APPEND);
    ANSWERS(0, raw_write_text(fd, "6"));
    ANSWERS(0, raw_fd_fdstat_set_flags(fd, 0));
    ANSWERS(EINVAL, raw_fd_fdstat_set_flags(fd, 0x20));
    ANSWERS(0, raw_fd_close(fd));
    HAS(here, "f", "123456");
}

static void advice_is_checked(void)
{
    uint32_t fd;
    put(here, "f", "12345");
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_FILE, 0, &fd));
    for (uint32_t advice = 0; advice < 6; advice++) {
        ANSWERS(0, raw_fd_advise(fd, 0, 100, advice));
    }
    ANSWERS(EINVAL, raw_fd_advise(fd, 0, 0, 6));
    ANSWERS(EINVAL, raw_fd_advise(fd, 0, 0, UINT32_MAX));
    ANSWERS(EINVAL, raw_fd_advise(fd, 0, UINT64_MAX, 0));
    ANSWERS(0, raw_fd_close(fd));
}

static void allocating_beyond_every_file_is_refused(void)
{
    uint32_t fd;
    struct raw_filestat st;
    put(here, "f", "12345");
    ANSWERS(0, raw_open((uint32_t)here, "f", 0, R_FILE, 0, &fd));
    ANSWERS(EINVAL, raw_fd_allocate(fd, 0, 0));
    ANSWERS(EINVAL, raw_fd_allocate(fd, UINT64_MAX, 1));
    ANSWERS(EINVAL, raw_fd_allocate(fd, 0, UINT64_MAX));
    ANSWERS(EFBIG, raw_fd_allocate(fd, INT64_MAX, 1));
    ANSWERS(EFBIG, raw_fd_allocate(fd, 1, INT64_MAX));
    ANSWERS(0, raw_fd_allocate(fd, 3, 7));
    ANSWERS(0, raw_fd_filestat_get(fd, &st));
    IS(st.size, 10);
    ANSWERS(0, raw_fd_close(fd));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(whence_has_the_order_of_its_version),
        CASE(attributes_have_the_layout_of_their_version),
        CASE(flags_of_a_descriptor_can_be_changed),
        CASE(advice_is_checked),
        CASE(allocating_beyond_every_file_is_refused),
    };
    return check_main(cases, COUNT(cases), true, argc > 1 ? argv[1] : NULL);
}
