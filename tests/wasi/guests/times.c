/* Times of files: exact to the nanosecond, set by path and by handle, kept by what does not change
 * them. */
#include "check.h"

#define SLACK_NS 30000000ll /* a host's clock of files goes in steps of some milliseconds */

#ifdef __wasi__
/* Builds of wasi-libc are in use that refuse UTIME_NOW and UTIME_OMIT, so its part is done here. */
#include <wasi/api.h>

static __wasi_fstflags_t wasi_times(const struct timespec *t, __wasi_timestamp_t out[2])
{
    static const __wasi_fstflags_t set[2] = {__WASI_FSTFLAGS_ATIM, __WASI_FSTFLAGS_MTIM};
    static const __wasi_fstflags_t now[2] = {__WASI_FSTFLAGS_ATIM_NOW, __WASI_FSTFLAGS_MTIM_NOW};
    __wasi_fstflags_t flags = 0;
    for (int i = 0; i < 2; i++) {
        out[i] = 0;
        if (t == NULL || t[i].tv_nsec == UTIME_NOW) {
            flags |= now[i];
        } else if (t[i].tv_nsec != UTIME_OMIT) {
            flags |= set[i];
            out[i] =
                (__wasi_timestamp_t)t[i].tv_sec * 1000000000ull + (__wasi_timestamp_t)t[i].tv_nsec;
        }
    }
    return flags;
}

static int set_path(int dir, const char *path, const struct timespec *t, int flags)
{
    __wasi_timestamp_t at[2];
    __wasi_fstflags_t set = wasi_times(t, at);
    __wasi_lookupflags_t follow =
        (flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW;
    errno = __wasi_path_filestat_set_times(dir, follow, path, at[0], at[1], set);
    return errno != 0 ? -1 : 0;
}

static int set_fd(int fd, const struct timespec *t)
{
    __wasi_timestamp_t at[2];
    __wasi_fstflags_t set = wasi_times(t, at);
    errno = __wasi_fd_filestat_set_times(fd, at[0], at[1], set);
    return errno != 0 ? -1 : 0;
}
#define utimensat set_path
#define futimens set_fd
#endif

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

struct pair {
    long long a, m; /* access, change of content */
};

static struct pair times_of(const char *path)
{
    struct stat st = {0};
    stat_of(here, path, &st);
    return (struct pair){st.st_atim.tv_sec * 1000000000ll + st.st_atim.tv_nsec,
                         st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec};
}
#define TIMES(path, atime, mtime)                                                                  \
    do {                                                                                           \
        IS(times_of(path).a, atime);                                                               \
        IS(times_of(path).m, mtime);                                                               \
    } while (0)
#define NS(s, ns) ((s)*1000000000ll + (ns))

static bool is_now(long long t, long long before)
{
    return t >= before - SLACK_NS && t <= now_ns() + SLACK_NS;
}

static const struct timespec early[2] = {{1, 1}, {2, 999999999}};
static const struct timespec late[2] = {{1700000000, 123456789}, {1800000001, 987654321}};

static void times_are_exact_to_the_nanosecond(void)
{
    put(here, "f", "x");
    WORKS(mkdirat(here, "d", 0755));
    WORKS(utimensat(here, "f", early, 0));
    TIMES("f", NS(1, 1), NS(2, 999999999));
    WORKS(utimensat(here, "f", late, 0));
    TIMES("f", NS(1700000000, 123456789), NS(1800000001, 987654321));
    WORKS(utimensat(here, "d", late, 0));
    TIMES("d", NS(1700000000, 123456789), NS(1800000001, 987654321));
    static const struct timespec zero[2] = {{0, 0}, {0, 0}};
    WORKS(utimensat(here, "f", zero, 0));
    TIMES("f", 0, 0);
}

static void times_are_set_through_a_handle(void)
{
    put(here, "f", "x");
    int fd = openat(here, "f", O_RDONLY);
    WORKS(futimens(fd, late));
    TIMES("f", NS(1700000000, 123456789), NS(1800000001, 987654321));
    WORKS(unlinkat(here, "f", 0));
    WORKS(futimens(fd, early));
    struct stat st;
    WORKS(fstat(fd, &st));
    IS(st.st_mtim.tv_nsec, 999999999);
    WORKS(shut(fd));
    WORKS(futimens(here, early));
    TIMES(".", NS(1, 1), NS(2, 999999999));
}

static void a_time_that_is_left_out_stays(void)
{
    static const struct timespec only_a[2] = {{5, 5}, {0, UTIME_OMIT}};
    static const struct timespec only_m[2] = {{0, UTIME_OMIT}, {6, 6}};
    static const struct timespec neither[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    put(here, "f", "x");
    WORKS(utimensat(here, "f", early, 0));
    WORKS(utimensat(here, "f", neither, 0));
    TIMES("f", NS(1, 1), NS(2, 999999999));
    WORKS(utimensat(here, "f", only_a, 0));
    TIMES("f", NS(5, 5), NS(2, 999999999));
    WORKS(utimensat(here, "f", only_m, 0));
    TIMES("f", NS(5, 5), NS(6, 6));
    int fd = openat(here, "f", O_RDWR);
    WORKS(futimens(fd, neither));
    TIMES("f", NS(5, 5), NS(6, 6));
    WORKS(shut(fd));
}

static void now_is_the_clock_of_the_moment(void)
{
    static const struct timespec both[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    static const struct timespec mixed[2] = {{7, 7}, {0, UTIME_NOW}};
    put(here, "f", "x");
    WORKS(utimensat(here, "f", early, 0));
    long long before = now_ns();
    WORKS(utimensat(here, "f", both, 0));
    HOLDS(is_now(times_of("f").a, before) && is_now(times_of("f").m, before));
    WORKS(utimensat(here, "f", early, 0));
    WORKS(utimensat(here, "f", NULL, 0));
    HOLDS(is_now(times_of("f").a, before) && is_now(times_of("f").m, before));
    WORKS(utimensat(here, "f", mixed, 0));
    IS(times_of("f").a, NS(7, 7));
    HOLDS(is_now(times_of("f").m, before));
}

static void a_link_has_times_of_its_own(void)
{
    put(here, "f", "x");
    WORKS(utimensat(here, "f", early, 0));
    WORKS(symlinkat("f", here, "link"));
    WORKS(symlinkat("none", here, "dangling"));
    WORKS(utimensat(here, "link", late, AT_SYMLINK_NOFOLLOW));
    TIMES("f", NS(1, 1), NS(2, 999999999));
    IS(times_of("link").m, NS(1800000001, 987654321));
    WORKS(utimensat(here, "link", late, 0));
    IS(times_of("f").m, NS(1800000001, 987654321));
    FAILS(ENOENT, utimensat(here, "dangling", late, 0));
    WORKS(utimensat(here, "dangling", early, AT_SYMLINK_NOFOLLOW));
    IS(times_of("dangling").m, NS(2, 999999999));
    FAILS(ENOENT, utimensat(here, "none", late, 0));
    FAILS(ENOTDIR, utimensat(here, "f/", late, 0));
}

static void changing_a_file_sets_its_time(void)
{
    put(here, "f", "x");
    int fd = openat(here, "f", O_RDWR);
    WORKS(futimens(fd, early));
    long long before = now_ns();
    IS(write(fd, "y", 1), 1);
    HOLDS(is_now(times_of("f").m, before));
    WORKS(futimens(fd, early));
    WORKS(ftruncate(fd, 5));
    HOLDS(is_now(times_of("f").m, before));
    WORKS(futimens(fd, early));
    WORKS(shut(openat(here, "f", O_WRONLY | O_TRUNC)));
    HOLDS(is_now(times_of("f").m, before));
    WORKS(shut(fd));
}

static void what_changes_nothing_keeps_the_time(void)
{
    char byte;
    put(here, "f", "x");
    int fd = openat(here, "f", O_RDWR);
    WORKS(futimens(fd, early));
    IS(read(fd, &byte, 1), 1);
    IS(write(fd, "", 0), 0);
    WORKS(fsync(fd));
    WORKS(renameat(here, "f", here, "g"));
    WORKS(linkat(here, "g", here, "h", 0));
    WORKS(unlinkat(here, "h", 0));
    WORKS(shut(openat(here, "g", O_RDWR)));
    WORKS(shut(fd));
    IS(times_of("g").m, NS(2, 999999999));
}

static void a_directory_has_the_time_of_its_last_change(void)
{
    WORKS(mkdirat(here, "d", 0755));
    long long before = now_ns();
    static const struct {
        const char *what;
    } steps[] = {{"make"}, {"mkdir"}, {"rename"}, {"link"}, {"symlink"}, {"unlink"}, {"rmdir"}};
    for (size_t i = 0; i < COUNT(steps); i++) {
        WORKS(utimensat(here, "d", early, 0));
        switch (i) {
        case 0:
            put(here, "d/f", "x");
            break;
        case 1:
            WORKS(mkdirat(here, "d/e", 0755));
            break;
        case 2:
            WORKS(renameat(here, "d/f", here, "d/g"));
            break;
        case 3:
            WORKS(linkat(here, "d/g", here, "d/h", 0));
            break;
        case 4:
            WORKS(symlinkat("x", here, "d/l"));
            break;
        case 5:
            WORKS(unlinkat(here, "d/h", 0));
            break;
        default:
            WORKS(unlinkat(here, "d/e", AT_REMOVEDIR));
        }
        if (!is_now(times_of("d").m, before)) {
            check_fail(__FILE__, __LINE__, "%s leaves the directory's time", steps[i].what);
        }
    }
    WORKS(utimensat(here, "d", early, 0));
    put(here, "d/g", "content");
    IS(times_of("d").m, NS(2, 999999999));
}

static void far_years_are_kept(void)
{
    static const long long seconds[] = {0x7fffffff, 0x80000000ll, 4102444800ll, 9223372036ll};
    put(here, "f", "x");
    for (size_t i = 0; i < COUNT(seconds); i++) {
        struct timespec t[2] = {{seconds[i], 1}, {seconds[i], 854775807}};
        WORKS(utimensat(here, "f", t, 0));
        TIMES("f", NS(seconds[i], 1), NS(seconds[i], 854775807));
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(times_are_exact_to_the_nanosecond),
        CASE(times_are_set_through_a_handle),
        CASE(a_time_that_is_left_out_stays),
        CASE(now_is_the_clock_of_the_moment),
        CASE(a_link_has_times_of_its_own),
        CASE(changing_a_file_sets_its_time),
        CASE(what_changes_nothing_keeps_the_time),
        CASE(a_directory_has_the_time_of_its_last_change),
        CASE(far_years_are_kept),
    };
    return check_main(cases, COUNT(cases), true, argc > 1 ? argv[1] : NULL);
}
