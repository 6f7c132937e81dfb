/* A program that was given no directory: nothing of the host is reached, whatever it tries. */
#include "raw.h"

static void no_descriptor_is_a_directory(void)
{
    struct raw_prestat pre;
    struct raw_fdstat stat;
    for (uint32_t fd = 0; fd < 100; fd++) {
        ANSWERS(EBADF, raw_fd_prestat_get(fd, &pre));
        HOLDS(raw_fd_fdstat_get(fd, &stat) == (fd < 3 ? 0 : EBADF));
        HOLDS(fd >= 3 || stat.filetype != T_DIR);
    }
}

static void no_path_is_reached_from_any_descriptor(void)
{
    static const char *const paths[] = {"/",    ".", "..", "/etc/passwd", "etc/passwd",
                                        "/tmp", "x", "",   "/w",          "/proc/self/root"};
    struct raw_filestat st;
    uint32_t out;
    for (uint32_t fd = 0; fd < 10; fd++) {
        int wanted = fd < 3 ? ENOTDIR : EBADF;
        for (size_t i = 0; i < COUNT(paths); i++) {
            ANSWERS(wanted, raw_open(fd, paths[i], 0, R_READ, 0, &out));
            ANSWERS(wanted, raw_open(fd, paths[i], O_R_CREAT, R_FILE, 0, &out));
            ANSWERS(wanted, raw_open(fd, paths[i], O_R_DIRECTORY, 0, 0, &out));
            ANSWERS(wanted, raw_stat(fd, FOLLOW, paths[i], &st));
            ANSWERS(wanted, raw_mkdir(fd, paths[i]));
            ANSWERS(wanted, raw_unlink(fd, paths[i]));
            ANSWERS(wanted, raw_rmdir(fd, paths[i]));
            ANSWERS(wanted, raw_readlink(fd, paths[i]));
            ANSWERS(wanted, raw_symlink("x", fd, paths[i]));
            ANSWERS(wanted, raw_rename(fd, paths[i], fd, "y"));
            ANSWERS(wanted, raw_link(fd, 0, paths[i], fd, "y"));
            ANSWERS(wanted, raw_times(fd, 0, paths[i], 0, 0, TIME_M));
        }
    }
}

static void libc_finds_nothing_either(void)
{
    struct stat st;
    HOLDS(open("/etc/passwd", O_RDONLY) < 0);
    HOLDS(open("x", O_CREAT | O_RDWR, 0644) < 0);
    HOLDS(stat("/", &st) < 0);
    HOLDS(stat(".", &st) < 0);
    HOLDS(opendir("/") == NULL);
    HOLDS(mkdir("/tmp/x", 0755) < 0);
}

int main(void)
{
    static const struct check_case cases[] = {
        CASE(no_descriptor_is_a_directory),
        CASE(no_path_is_reached_from_any_descriptor),
        CASE(libc_finds_nothing_either),
    };
    return check_main(cases, COUNT(cases), false, NULL);
}
