/* A mount that must not be written: every change is EROFS, every flag of open by itself too. With
 * "fill" it makes what it needs, with "check" the mount is read-only. Natively the same: Linux with
 * a read-only bind mount answers as this says. */
#include "check.h"
#ifdef __wasi__
#include "raw.h"
#endif

static void fill(void)
{
    static const struct timespec t[2] = {{1, 1}, {2, 2}};
    WORKS(mkdirat(base, "ro", 0755));
    int dir = openat(base, "ro", O_RDONLY | O_DIRECTORY);
    put(dir, "f", "12345");
    put(dir, "g", "g");
    WORKS(mkdirat(dir, "d", 0755));
    put(dir, "d/x", "x");
    WORKS(mkdirat(dir, "e", 0755));
    WORKS(symlinkat("f", dir, "link"));
    WORKS(symlinkat("none", dir, "dangling"));
    WORKS(utimensat(dir, "f", t, 0));
    WORKS(close(dir));
}

static void what_is_there_can_be_read(void)
{
    struct stat st;
    char got[8];
    HAS(here, "f", "12345");
    HAS(here, "link", "12345");
    HAS(here, "d/x", "x");
    WORKS(stat_of(here, "f", &st));
    IS(st.st_mtim.tv_nsec, 2);
    IS(readlinkat(here, "link", got, sizeof got), 1);
    int n = 0, fd = openat(here, ".", O_RDONLY | O_DIRECTORY);
    DIR *dir = fdopendir(fd);
    while (readdir(dir) != NULL) {
        n++;
    }
    IS(n, 8);
    WORKS(closedir(dir));
}

static void opening_to_write_is_refused(void)
{
    FAILS(EROFS, openat(here, "f", O_WRONLY));
    FAILS(EROFS, openat(here, "f", O_RDWR));
    FAILS(EROFS, openat(here, "link", O_RDWR));
    FAILS(EROFS, openat(here, "f", O_WRONLY | O_APPEND));
    FAILS(EROFS, openat(here, "f", O_RDWR | O_TRUNC));
    FAILS(EROFS, openat(here, "f", O_RDWR | O_CREAT, 0644));
    FAILS(EEXIST, openat(here, "f", O_RDWR | O_CREAT | O_EXCL, 0644));
    FAILS(EISDIR, openat(here, "d", O_RDWR));
    FAILS(ENOENT, openat(here, "none", O_RDWR));
    HAS(here, "f", "12345");
}

static void making_files_is_refused(void)
{
    FAILS(EROFS, openat(here, "new", O_RDWR | O_CREAT, 0644));
    FAILS(EROFS, openat(here, "new", O_RDWR | O_CREAT | O_EXCL, 0644));
    FAILS(EROFS, openat(here, "new", O_RDONLY | O_CREAT, 0644));
    FAILS(EROFS, openat(here, "dangling", O_RDWR | O_CREAT, 0644));
    FAILS(EROFS, openat(here, "d/new", O_RDWR | O_CREAT | O_TRUNC, 0644));
    FAILS(ENOENT, openat(here, "none/new", O_RDWR | O_CREAT, 0644));
    WORKS(shut(openat(here, "f", O_RDONLY | O_CREAT, 0644)));
    HAS(here, "new", "(ENOENT)");
}

static void cutting_while_opening_to_read_is_refused(void)
{
    FAILS(EROFS, openat(here, "f", O_RDONLY | O_TRUNC));
    FAILS(EROFS, openat(here, "link", O_RDONLY | O_TRUNC));
    FAILS(EROFS, openat(here, "f", O_RDONLY | O_CREAT | O_TRUNC, 0644));
    HAS(here, "f", "12345");
}

static void names_are_not_made(void)
{
    FAILS(EROFS, mkdirat(here, "new", 0755));
    FAILS(EROFS, symlinkat("x", here, "new"));
    FAILS(EROFS, linkat(here, "f", here, "new", 0));
    FAILS(EROFS, linkat(here, "f", here, "d/new", 0));
    FAILS(EEXIST, mkdirat(here, "d", 0755));
    FAILS(EEXIST, mkdirat(here, "f", 0755));
    FAILS(EEXIST, symlinkat("x", here, "f"));
    FAILS(EEXIST, linkat(here, "f", here, "g", 0));
    FAILS(ENOENT, mkdirat(here, "none/d", 0755));
}

static void names_are_not_removed(void)
{
    FAILS(EROFS, unlinkat(here, "f", 0));
    FAILS(EROFS, unlinkat(here, "link", 0));
    FAILS(EROFS, unlinkat(here, "d/x", 0));
    FAILS(EROFS, unlinkat(here, "e", AT_REMOVEDIR));
    FAILS(EROFS, unlinkat(here, "d", AT_REMOVEDIR));
    HAS(here, "f", "12345");
    HAS(here, "d/x", "x");
}

static void names_are_not_moved(void)
{
    FAILS(EROFS, renameat(here, "f", here, "new"));
    FAILS(EROFS, renameat(here, "f", here, "g"));
    FAILS(EROFS, renameat(here, "f", here, "d/new"));
    FAILS(EROFS, renameat(here, "e", here, "new"));
    FAILS(EROFS, renameat(here, "link", here, "new"));
    HAS(here, "g", "g");
}

static void attributes_are_not_set(void)
{
    static const struct timespec t[2] = {{9, 9}, {9, 9}};
    struct stat st;
    FAILS(EROFS, utimensat(here, "f", t, 0));
    FAILS(EROFS, utimensat(here, "f", NULL, 0));
    FAILS(EROFS, utimensat(here, "link", t, AT_SYMLINK_NOFOLLOW));
    FAILS(EROFS, utimensat(here, "d", t, 0));
    FAILS(EROFS, futimens(here, t));
    int fd = openat(here, "f", O_RDONLY);
    FAILS(EROFS, futimens(fd, t));
    FAILS(EINVAL, ftruncate(fd, 0));
    FAILS(EBADF, write(fd, "x", 1));
    IS(check_adapted() ? EBADF : posix_fallocate(fd, 0, 10), EBADF);
    WORKS(fsync(fd));
    WORKS(shut(fd));
    WORKS(stat_of(here, "f", &st));
    IS(st.st_mtim.tv_sec, 2);
}

#ifdef __wasi__
/* Each flag alone and each pair, with a right to read and none to write, and with every right. */
static void no_flag_of_open_gets_around_it(void)
{
    static const uint64_t rights[] = {0, R_READ, R_WRITE, R_READ | R_WRITE, R_ALL};
    for (uint32_t oflags = 0; oflags < 16; oflags++) {
        for (uint32_t fdflags = 0; fdflags < 32; fdflags++) {
            for (size_t r = 0; r < COUNT(rights); r++) {
                uint32_t fd;
                uint32_t no = raw_open((uint32_t)here, "f", oflags, rights[r], fdflags, &fd);
                if (no == 0) {
                    HOLDS((rights[r] & R_WRITE) == 0 && (oflags & O_R_TRUNC) == 0);
                    HOLDS(raw_write_text(fd, "x") == EBADF);
                    HOLDS(raw_fd_filestat_set_size(fd, 0) != 0);
                    HOLDS(raw_fd_allocate(fd, 0, 100) != 0);
                    HOLDS(raw_fd_filestat_set_times(fd, 9, 9, TIME_A | TIME_M) == EROFS);
                    raw_fd_close(fd);
                } else {
                    HOLDS(no == EROFS || no == EEXIST || no == ENOTDIR || no == EINVAL);
                }
                no = raw_open((uint32_t)here, "new", oflags, rights[r], fdflags, &fd);
                HOLDS(no == EROFS || no == ENOENT || no == EINVAL);
            }
        }
    }
    for (uint32_t oflags = 1; oflags < 16; oflags *= 2) {
        uint32_t fd;
        static const int wanted[] = {0, ENOTDIR, 0, EROFS};
        int at = oflags == 1 ? 0 : oflags == 2 ? 1 : oflags == 4 ? 2 : 3;
        ANSWERS(wanted[at], raw_open((uint32_t)here, "f", oflags, R_READ, 0, &fd));
        ANSWERS(EROFS, raw_open((uint32_t)here, "f", at == 1 ? 0 : oflags, R_WRITE, 0, &fd));
    }
    HAS(here, "f", "12345");
    HAS(here, "new", "(ENOENT)");
}
#endif

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(what_is_there_can_be_read),
        CASE(opening_to_write_is_refused),
        CASE(making_files_is_refused),
        CASE(cutting_while_opening_to_read_is_refused),
        CASE(names_are_not_made),
        CASE(names_are_not_removed),
        CASE(names_are_not_moved),
        CASE(attributes_are_not_set),
#ifdef __wasi__
        CASE(no_flag_of_open_gets_around_it),
#endif
    };
    base = open(MAIN_PLACE, O_RDONLY | O_DIRECTORY);
    if (argc > 1 && strcmp(argv[1], "fill") == 0) {
        fill();
        printf("%s fill %s\n", check_why[0] == '\0' ? "ok" : "not ok", check_why);
        return check_why[0] != '\0';
    }
    here = openat(base, "ro", O_RDONLY | O_DIRECTORY);
    setvbuf(stdout, NULL, _IOLBF, 1024);
    int failed = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int keep = here;
        if (!check_chosen(cases[i].name)) {
            continue;
        }
        check_one(&cases[i], false);
        here = keep;
        failed += check_why[0] != '\0';
    }
    return failed != 0;
}
