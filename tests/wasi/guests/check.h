/* What every guest of the suite begins with: cases named as sentences, each in a folder of its own,
 * "ok NAME" or "not ok NAME: file:line: what: got X, wanted Y" a case. The same text compiles for
 * WebAssembly and for Linux, so that Linux says whether a case is right.
 *
 * base is the folder that the suite gave (the mount /w, natively the current folder), here is the
 * case's own below it. */
#ifndef CHECK_H
#define CHECK_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#ifdef __wasi__
#define MAIN_PLACE "/w"
#else
#define MAIN_PLACE "."
#endif

static int base = -1, here = -1;
static const char *check_name;
static char check_why[512]; /* of the first check of the case that failed */

struct check_case {
    const char *name;
    void (*run)(void);
};
#define CASE(f)                                                                                    \
    {                                                                                              \
#f, f                                                                                      \
    }

static const char *errno_name(int no)
{
    static const struct {
        int no;
        const char *name;
    } names[] = {{0, "OK"},
                 {EACCES, "EACCES"},
                 {EAGAIN, "EAGAIN"},
                 {EBADF, "EBADF"},
                 {EBUSY, "EBUSY"},
                 {EDQUOT, "EDQUOT"},
                 {EEXIST, "EEXIST"},
                 {EFAULT, "EFAULT"},
                 {EFBIG, "EFBIG"},
                 {EILSEQ, "EILSEQ"},
                 {EINVAL, "EINVAL"},
                 {EIO, "EIO"},
                 {EISDIR, "EISDIR"},
                 {ELOOP, "ELOOP"},
                 {EMFILE, "EMFILE"},
                 {EMLINK, "EMLINK"},
                 {ENAMETOOLONG, "ENAMETOOLONG"},
                 {ENOENT, "ENOENT"},
                 {ENOMEM, "ENOMEM"},
                 {ENOSPC, "ENOSPC"},
                 {ENOSYS, "ENOSYS"},
                 {ENOTCONN, "ENOTCONN"},
                 {ENOTDIR, "ENOTDIR"},
                 {ENOTEMPTY, "ENOTEMPTY"},
                 {ENOTSOCK, "ENOTSOCK"},
                 {ENOTSUP, "ENOTSUP"},
                 {ENXIO, "ENXIO"},
                 {EOVERFLOW, "EOVERFLOW"},
                 {EPERM, "EPERM"},
                 {EPIPE, "EPIPE"},
                 {ERANGE, "ERANGE"},
                 {EROFS, "EROFS"},
                 {ESPIPE, "ESPIPE"},
                 {ETXTBSY, "ETXTBSY"},
                 {EXDEV, "EXDEV"},
#ifdef __wasi__
                 {ENOTCAPABLE, "ENOTCAPABLE"}
#endif
    };
    static char number[24];
    for (size_t i = 0; i < COUNT(names); i++) {
        if (names[i].no == no) {
            return names[i].name;
        }
    }
    snprintf(number, sizeof number, "errno %d", no);
    return number;
}

static inline void check_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static inline void check_fail(const char *file, int line, const char *fmt, ...)
{
    char text[400];
    const char *slash = strrchr(file, '/');
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (check_why[0] == '\0') {
        snprintf(check_why, sizeof check_why, "%s:%d: %s", slash != NULL ? slash + 1 : file, line,
                 text);
    }
}

static inline bool check_errno(const char *file, int line, const char *what, int got, int wanted)
{
    if (got != wanted) {
        char name[24];
        snprintf(name, sizeof name, "%s", errno_name(got));
        check_fail(file, line, "%s: got %s, wanted %s", what, name, errno_name(wanted));
    }
    return got == wanted;
}

static inline bool check_number(const char *file, int line, const char *what, long long got,
                                long long wanted)
{
    if (got != wanted) {
        check_fail(file, line, "%s: got %lld, wanted %lld", what, got, wanted);
    }
    return got == wanted;
}

/* A call that answers -1 and errno, as libc's do. */
#define FAILS(wanted, call)                                                                        \
    (errno = 0, check_errno(__FILE__, __LINE__, #call, (call) < 0 ? errno : 0, wanted))
#define WORKS(call) FAILS(0, call)
/* A call that answers an errno. */
#define ANSWERS(wanted, call) check_errno(__FILE__, __LINE__, #call, (int)(call), wanted)
#define IS(got, wanted)                                                                            \
    check_number(__FILE__, __LINE__, #got, (long long)(got), (long long)(wanted))
#define HOLDS(what)                                                                                \
    ((what) ? true : (check_fail(__FILE__, __LINE__, "%s does not hold", #what), false))

static inline void check_one(const struct check_case *one, bool files)
{
    check_name = one->name;
    check_why[0] = '\0';
    if (files) {
        if (mkdirat(base, one->name, 0755) != 0 && errno != EEXIST) {
            check_fail(__FILE__, __LINE__, "mkdir %s: %s", one->name, errno_name(errno));
        }
        here = openat(base, one->name, O_RDONLY | O_DIRECTORY);
        if (here < 0) {
            check_fail(__FILE__, __LINE__, "open %s: %s", one->name, errno_name(errno));
        }
    }
    if (check_why[0] == '\0') {
        one->run();
    }
    if (files && here >= 0) {
        close(here);
    }
    if (check_why[0] == '\0') {
        printf("ok %s\n", one->name);
    } else {
        printf("not ok %s: %s\n", one->name, check_why);
    }
}

/* Through an adapter of WASI 0.2, which has no fd_allocate and makes no links to absolute paths:
 * what is about something else goes without them. */
static inline bool check_adapted(void)
{
#ifdef __wasi__
    return getenv("ADAPTED") != NULL;
#else
    return false;
#endif
}

/* CASES in the environment: "a,b" those alone, "-a,b" all others. */
static inline bool check_chosen(const char *name)
{
    const char *list = getenv("CASES");
    bool but = list != NULL && *list == '-', listed = false;
    size_t len = strlen(name);
    for (const char *at = list; at != NULL && !listed; at = strchr(at, ',')) {
        at += *at == ',' || *at == '-';
        listed = strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0');
    }
    return list == NULL || listed != but;
}

/* Runs all cases, or the one that is named. */
static inline int check_main(const struct check_case *cases, size_t n, bool files, const char *only)
{
    setvbuf(stdout, NULL, _IOLBF, 1024);
    if (files) {
        base = open(MAIN_PLACE, O_RDONLY | O_DIRECTORY);
        if (base < 0) {
            printf("not ok begin: open %s: %s\n", MAIN_PLACE, errno_name(errno));
            return 1;
        }
    }
    int failed = 0;
    for (size_t i = 0; i < n; i++) {
        if ((only == NULL || strcmp(only, cases[i].name) == 0) && check_chosen(cases[i].name)) {
            check_one(&cases[i], files);
            failed += check_why[0] != '\0';
        }
    }
    return failed != 0 ? 1 : 0;
}

/* ---- files, for cases that are about something else ---- */
static inline void put(int dir, const char *path, const char *text)
{
    int fd = openat(dir, path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        check_fail(__FILE__, __LINE__, "put %s: %s", path, errno_name(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* The file's text, or "(ERRNO)"; static. */
static inline const char *get(int dir, const char *path)
{
    static char text[4096];
    int fd = openat(dir, path, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (n < 0) {
        snprintf(text, sizeof text, "(%s)", errno_name(errno));
    } else {
        text[n] = '\0';
    }
    if (fd >= 0) {
        close(fd);
    }
    return text;
}
#define HAS(dir, path, wanted)                                                                     \
    (strcmp(get(dir, path), wanted) == 0                                                           \
         ? true                                                                                    \
         : (check_fail(__FILE__, __LINE__, "%s: got \"%.60s\", wanted \"%.60s\"", path,            \
                       get(dir, path), wanted),                                                    \
            false))

static inline int shut(int fd)
{
    return fd < 0 ? fd : close(fd);
}

static inline int stat_of(int dir, const char *path, struct stat *st)
{
    return fstatat(dir, path, st, AT_SYMLINK_NOFOLLOW);
}
static inline long long links_of(int dir, const char *path)
{
    struct stat st;
    return stat_of(dir, path, &st) == 0 ? (long long)st.st_nlink : -errno;
}
static inline long long size_of(int dir, const char *path)
{
    struct stat st;
    return stat_of(dir, path, &st) == 0 ? (long long)st.st_size : -errno;
}

#endif
