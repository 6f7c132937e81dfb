/* Groups of calls; see transcript.h. */
#include "transcript.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "harness.h"

static const char *errno_name(int no)
{
    return no == 0 ? "ok" : strerrorname_np(no);
}

/* A call that returns -1 for failure. */
#define SAY(out, call)                                                                             \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long got_ = (long)(call);                                                                  \
        cis_buf_printf((out), "%s: %s\n", #call, errno_name(got_ < 0 ? errno : 0));                \
    } while (0)
/* The same where the number counts. */
#define TELL(out, call)                                                                            \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long got_ = (long)(call);                                                                  \
        cis_buf_printf((out), "%s: %ld %s\n", #call, got_, errno_name(got_ < 0 ? errno : 0));      \
    } while (0)

static void tell_stat(struct cis_buf *out, int dir, const char *path, int flags)
{
    struct stat st;
    if (fstatat(dir, path, &st, flags) != 0) {
        cis_buf_printf(out, "stat %s: %s\n", path, errno_name(errno));
        return;
    }
    cis_buf_printf(out, "stat %s: %o uid %u gid %u", path, st.st_mode, st.st_uid, st.st_gid);
    if (!S_ISDIR(st.st_mode)) {
        cis_buf_printf(out, " nlink %lu size %ld", (unsigned long)st.st_nlink, (long)st.st_size);
    } else {
        cis_buf_printf(out, " nlink %lu", (unsigned long)st.st_nlink);
    }
    cis_buf_byte(out, '\n');
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void tell_list(struct cis_buf *out, int dir, const char *path)
{
    int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    char *names[4096];
    size_t n = 0;
    struct dirent *e;
    while (d != NULL && n < 4096 && (e = readdir(d)) != NULL) {
        names[n] = malloc(300);
        snprintf(names[n++], 300, "%d %s", e->d_type, e->d_name);
    }
    qsort(names, n, sizeof *names, by_name);
    cis_buf_printf(out, "list %s:", path);
    for (size_t i = 0; i < n; i++) {
        cis_buf_printf(out, " [%s]", names[i]);
        free(names[i]);
    }
    cis_buf_byte(out, '\n');
    if (d != NULL) {
        closedir(d);
    }
}

static int make_file(int dir, const char *path, const char *text)
{
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return -1;
    }
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

static void tell_content(struct cis_buf *out, int dir, const char *path)
{
    char text[512];
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    cis_buf_printf(out, "content %s: %s", path, n < 0 ? errno_name(errno) : "");
    for (ssize_t i = 0; i < n; i++) {
        cis_buf_printf(out, text[i] >= ' ' && text[i] < 127 ? "%c" : "\\%03o",
                       (unsigned char)text[i]);
    }
    cis_buf_byte(out, '\n');
    if (fd >= 0) {
        close(fd);
    }
}

static void names(int d, struct cis_buf *out)
{
    char long_name[300];
    memset(long_name, 'n', sizeof long_name);
    long_name[255] = '\0';
    SAY(out, make_file(d, long_name, "x"));
    tell_stat(out, d, long_name, 0);
    long_name[255] = 'n';
    long_name[256] = '\0';
    SAY(out, make_file(d, long_name, "x"));
    SAY(out, mkdirat(d, long_name, 0755));
    SAY(out, symlinkat("x", d, long_name));
    SAY(out, unlinkat(d, long_name, 0));
    SAY(out, mkdirat(d, "dir", 0755));
    SAY(out, mkdirat(d, "dir", 0755));
    SAY(out, mkdirat(d, "dir/", 0755));
    SAY(out, mkdirat(d, "new/", 0755));
    SAY(out, mkdirat(d, "none/new", 0755));
    SAY(out, make_file(d, "file", "text"));
    SAY(out, mkdirat(d, "file/new", 0755));
    SAY(out, openat(d, "file/", O_RDONLY));
    SAY(out, openat(d, "dir", O_WRONLY));
    SAY(out, openat(d, "file", O_RDONLY | O_DIRECTORY));
    SAY(out, openat(d, "file", O_RDWR | O_CREAT | O_EXCL, 0644));
    SAY(out, unlinkat(d, "dir", 0));
    SAY(out, unlinkat(d, "file", AT_REMOVEDIR));
    SAY(out, unlinkat(d, "dir/.", AT_REMOVEDIR));
    SAY(out, unlinkat(d, "dir/..", AT_REMOVEDIR));
    SAY(out, make_file(d, "dir/a", "a"));
    SAY(out, unlinkat(d, "dir", AT_REMOVEDIR));
    SAY(out, make_file(d, "\xff\xfe bytes \x01", "b"));
    SAY(out, make_file(d, ".tarboxfoo", "b"));
    tell_list(out, d, ".");
    tell_list(out, d, "dir");
    tell_stat(out, d, ".", 0);
}

static void links(int d, struct cis_buf *out)
{
    SAY(out, make_file(d, "a", "one"));
    SAY(out, linkat(d, "a", d, "b", 0));
    SAY(out, linkat(d, "a", d, "b", 0));
    tell_stat(out, d, "a", 0);
    SAY(out, mkdirat(d, "dir", 0700));
    SAY(out, linkat(d, "dir", d, "hard", 0));
    SAY(out, linkat(d, "a", d, "dir/c", 0));
    SAY(out, make_file(d, "dir/c", "changed"));
    tell_content(out, d, "b");
    SAY(out, unlinkat(d, "a", 0));
    tell_stat(out, d, "b", 0);
    SAY(out, symlinkat("b", d, "s"));
    SAY(out, symlinkat("nowhere", d, "dangling"));
    SAY(out, symlinkat("loop", d, "loop"));
    SAY(out, symlinkat("", d, "empty"));
    char text[64] = "";
    TELL(out, readlinkat(d, "s", text, sizeof text));
    TELL(out, readlinkat(d, "s", text, 1));
    TELL(out, readlinkat(d, "b", text, sizeof text));
    tell_stat(out, d, "s", AT_SYMLINK_NOFOLLOW);
    tell_stat(out, d, "s", 0);
    tell_stat(out, d, "dangling", 0);
    tell_stat(out, d, "loop", 0);
    SAY(out, openat(d, "loop", O_RDONLY));
    SAY(out, openat(d, "s", O_RDONLY | O_NOFOLLOW));
    SAY(out, linkat(d, "s", d, "slink", 0));
    tell_stat(out, d, "slink", AT_SYMLINK_NOFOLLOW);
    SAY(out, linkat(d, "s", d, "followed", AT_SYMLINK_FOLLOW));
    tell_stat(out, d, "followed", AT_SYMLINK_NOFOLLOW);
    SAY(out, make_file(d, "dangling", "made"));
    tell_content(out, d, "nowhere");
    tell_list(out, d, ".");
}

/* Every kind onto every kind. */
static void renames(int d, struct cis_buf *out)
{
    static const char *const kinds[] = {"none", "file", "dir", "full", "link", "fifo"};
    for (size_t from = 0; from < 6; from++) {
        for (size_t to = 0; to < 6; to++) {
            for (unsigned flags = 0; flags < 3; flags++) {
                char work[64], a[96], b[96], in[128];
                snprintf(work, sizeof work, "w%zu%zu%u", from, to, flags);
                (void)mkdirat(d, work, 0755);
                const size_t kind[2] = {from, to};
                for (int side = 0; side < 2; side++) {
                    snprintf(a, sizeof a, "%s/%c", work, 'a' + side);
                    snprintf(in, sizeof in, "%s/in", a);
                    switch (kind[side]) {
                    case 1:
                        (void)make_file(d, a, kinds[kind[side]]);
                        break;
                    case 2:
                    case 3:
                        (void)mkdirat(d, a, 0755);
                        if (kind[side] == 3) {
                            (void)make_file(d, in, "in");
                        }
                        break;
                    case 4:
                        assert_int_equal(symlinkat("x", d, a), 0);
                        break;
                    case 5:
                        assert_int_equal(mkfifoat(d, a, 0600), 0);
                        break;
                    default:
                        break;
                    }
                }
                snprintf(a, sizeof a, "%s/a", work);
                snprintf(b, sizeof b, "%s/b", work);
                errno = 0;
                int rc = renameat2(d, a, d, b, flags);
                cis_buf_printf(out, "rename %s -> %s flags %u: %s\n", kinds[from], kinds[to], flags,
                               errno_name(rc < 0 ? errno : 0));
                tell_list(out, d, work);
                tell_stat(out, d, work, 0);
            }
        }
    }
    SAY(out, mkdirat(d, "p", 0755));
    SAY(out, mkdirat(d, "p/q", 0755));
    SAY(out, renameat(d, "p", d, "p/q/r"));
    SAY(out, renameat(d, "p", d, "p"));
    SAY(out, renameat(d, "p/q", d, "p"));
    SAY(out, renameat2(d, "p", d, "p/q", RENAME_EXCHANGE));
    SAY(out, make_file(d, "f", "f"));
    SAY(out, linkat(d, "f", d, "g", 0));
    SAY(out, renameat(d, "f", d, "g")); /* two names of one file: nothing happens */
    tell_list(out, d, ".");
    SAY(out, renameat(d, "p/q", d, "moved"));
    tell_stat(out, d, "p", 0);
    tell_stat(out, d, "moved", 0);
    SAY(out, renameat(d, "f", d, "f2/"));
    SAY(out, renameat(d, "p/", d, "p3/"));
}

static void data(int d, struct cis_buf *out)
{
    int fd = openat(d, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    char text[64];
    TELL(out, pwrite(fd, "hello", 5, 3));
    TELL(out, pwrite(fd, "far", 3, 200000));
    TELL(out, pread(fd, text, 10, 0));
    cis_buf_printf(out, "%d %d %.5s\n", text[0], text[2], text + 3);
    TELL(out, pread(fd, text, 10, 199998));
    TELL(out, pread(fd, text, 10, 200003));
    TELL(out, lseek(fd, 0, SEEK_END));
    TELL(out, lseek(fd, -1, SEEK_SET));
    TELL(out, lseek(fd, 300000, SEEK_DATA));
    SAY(out, ftruncate(fd, 4));
    TELL(out, pread(fd, text, 10, 0));
    SAY(out, ftruncate(fd, 10));
    TELL(out, pread(fd, text, 20, 0));
    cis_buf_printf(out, "%c%d%d\n", text[3], text[4], text[9]);
    SAY(out, ftruncate(fd, -1));
    int ap = openat(d, "f", O_WRONLY | O_APPEND | O_CLOEXEC);
    int ap2 = openat(d, "f", O_WRONLY | O_APPEND | O_CLOEXEC);
    TELL(out, write(ap, "A", 1));
    TELL(out, write(ap2, "B", 1));
    TELL(out, write(ap, "C", 1));
    TELL(out, pwrite(ap, "D", 1, 0));
    tell_content(out, d, "f");
    TELL(out, read(ap, text, 1));
    close(ap);
    close(ap2);
    int ro = openat(d, "f", O_RDONLY | O_CLOEXEC);
    TELL(out, write(ro, "x", 1));
    SAY(out, ftruncate(ro, 0));
    close(ro);
    SAY(out, unlinkat(d, "f", 0)); /* open and nameless: it stays */
    TELL(out, pwrite(fd, "still", 5, 0));
    TELL(out, pread(fd, text, 64, 0));
    struct stat st;
    SAY(out, fstat(fd, &st));
    cis_buf_printf(out, "nlink %lu size %ld\n", (unsigned long)st.st_nlink, (long)st.st_size);
    SAY(out, fsync(fd));
    SAY(out, close(fd));
    fd = openat(d, "m", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    SAY(out, ftruncate(fd, 70000));
    char *map = mmap(NULL, 70000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cis_buf_printf(out, "mmap: %s\n", map != MAP_FAILED ? "ok" : errno_name(errno));
    if (map != MAP_FAILED) {
        map[66000] = 'm';
        SAY(out, msync(map, 70000, MS_SYNC));
        munmap(map, 70000);
    }
    TELL(out, pread(fd, text, 1, 66000));
    cis_buf_printf(out, "%c\n", text[0]);
    SAY(out, flock(fd, LOCK_EX | LOCK_NB));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 2};
    SAY(out, fcntl(fd, F_SETLK, &lock));
    SAY(out, fallocate(fd, 0, 0, 100000));
    SAY(out, fstat(fd, &st));
    cis_buf_printf(out, "size %ld\n", (long)st.st_size);
    SAY(out, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 65536, 4096));
    TELL(out, pread(fd, text, 1, 66000));
    cis_buf_printf(out, "%d\n", text[0]);
    close(fd);
    SAY(out, openat(d, "m", O_WRONLY | O_TRUNC));
    tell_stat(out, d, "m", 0);
}

static void attributes(int d, struct cis_buf *out)
{
    SAY(out, make_file(d, "f", "x"));
    struct timespec times[2] = {{-5, 999999999}, {2000000000, 123456789}};
    SAY(out, utimensat(d, "f", times, 0));
    struct stat st;
    SAY(out, fstatat(d, "f", &st, 0));
    cis_buf_printf(out, "%ld.%ld\n", (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    cis_buf_printf(out, "%ld.%ld\n", (long)st.st_atim.tv_sec, st.st_atim.tv_nsec);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = UTIME_OMIT;
    SAY(out, utimensat(d, "f", times, 0));
    times[0].tv_nsec = 1000000000;
    SAY(out, utimensat(d, "f", times, 0));
    SAY(out, fchmodat(d, "f", 04755, 0));
    tell_stat(out, d, "f", 0);
    SAY(out, fchmodat(d, "f", 01000, 0));
    tell_stat(out, d, "f", 0);
    SAY(out, mkfifoat(d, "fifo", 0640));
    tell_stat(out, d, "fifo", 0);
    SAY(out, symlinkat("f", d, "s"));
    SAY(out, utimensat(d, "s", (struct timespec[]){{1, 1}, {2, 2}}, AT_SYMLINK_NOFOLLOW));
    SAY(out, fstatat(d, "s", &st, AT_SYMLINK_NOFOLLOW));
    cis_buf_printf(out, "%ld.%ld\n", (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    SAY(out, mkdirat(d, "t", 0755));
    SAY(out, utimensat(d, "t", (struct timespec[]){{1, 1}, {2, 2}}, 0));
    SAY(out, fstatat(d, "t", &st, 0));
    cis_buf_printf(out, "%ld.%ld\n", (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    SAY(out, make_file(d, "t/in", "x")); /* a new name moves the directory's time on */
    SAY(out, fstatat(d, "t", &st, 0));
    cis_buf_printf(out, "%d\n", st.st_mtim.tv_sec > 1000000000);
}

/* Another user, in a child: what root's calls cannot show. */
static void as_user(int d, struct cis_buf *out, unsigned uid, unsigned gid,
                    void (*act)(int, struct cis_buf *))
{
    int pipes[2];
    if (pipe(pipes) != 0) {
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        struct cis_buf own = CIS_BUF_INIT(65536);
        if (setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 &&
            setresuid(uid, uid, uid) == 0) {
            act(d, &own);
        }
        ssize_t n = write(pipes[1], own.ptr, own.len);
        _exit(n == (ssize_t)own.len ? 0 : 1);
    }
    close(pipes[1]);
    char text[4096];
    ssize_t n;
    while ((n = read(pipes[0], text, sizeof text)) > 0) {
        cis_buf_add(out, text, (size_t)n);
    }
    close(pipes[0]);
    int status;
    waitpid(pid, &status, 0);
    cis_buf_printf(out, "child: %d\n", status);
}

static int cut_file(int d, const char *name)
{
    int fd = openat(d, name, O_WRONLY | O_TRUNC | O_CLOEXEC);
    return fd < 0 ? -1 : close(fd);
}

/* Content is changed without the file being opened to be cut. */
static void change_file(int d, struct cis_buf *out, const char *name, bool cut)
{
    int fd = openat(d, name, O_WRONLY | O_CLOEXEC);
    SAY(out, fd < 0 ? -1 : 0);
    SAY(out, cut ? ftruncate(fd, 1) : (int)pwrite(fd, "y", 1, 0));
    tell_stat(out, d, name, 0);
    SAY(out, close(fd));
}

static void stranger(int d, struct cis_buf *out)
{
    SAY(out, openat(d, "secret", O_RDONLY));
    SAY(out, openat(d, "shown", O_RDONLY));
    SAY(out, openat(d, "shown", O_WRONLY));
    SAY(out, openat(d, "closed/in", O_RDONLY));
    SAY(out, unlinkat(d, "sticky/theirs", 0));
    SAY(out, renameat(d, "sticky/theirs", d, "sticky/mine"));
    SAY(out, make_file(d, "sticky/own", "x"));
    SAY(out, unlinkat(d, "sticky/own", 0));
    SAY(out, make_file(d, "open/own", "x"));
    tell_stat(out, d, "open/own", 0);
    SAY(out, unlinkat(d, "open/theirs", 0));
    SAY(out, fchmodat(d, "shown", 0777, 0));
    SAY(out, fchownat(d, "open/own", 0, 0, 0));
    SAY(out, utimensat(d, "shown", NULL, 0));
    SAY(out, make_file(d, "setgid/own", "x"));
    tell_stat(out, d, "setgid/own", 0);
    SAY(out, mkdirat(d, "setgid/dir", 0755));
    tell_stat(out, d, "setgid/dir", 0);
    SAY(out, make_file(d, "suid", "written by another"));
    tell_stat(out, d, "suid", 0);
    tell_stat(out, d, "cut", 0);
    SAY(out, cut_file(d, "cut"));
    tell_stat(out, d, "cut", 0);
    change_file(d, out, "patched", false);
    change_file(d, out, "shorter", true);
}

static void permissions(int d, struct cis_buf *out)
{
    SAY(out, fchmod(d, 0755));
    SAY(out, make_file(d, "secret", "x"));
    SAY(out, fchmodat(d, "secret", 0600, 0));
    SAY(out, make_file(d, "shown", "x"));
    SAY(out, mkdirat(d, "closed", 0700));
    SAY(out, make_file(d, "closed/in", "x"));
    SAY(out, mkdirat(d, "sticky", 0755));
    SAY(out, fchmodat(d, "sticky", 01777, 0));
    SAY(out, make_file(d, "sticky/theirs", "x"));
    SAY(out, mkdirat(d, "open", 0755));
    SAY(out, fchmodat(d, "open", 0777, 0));
    SAY(out, make_file(d, "open/theirs", "x"));
    SAY(out, mkdirat(d, "setgid", 0755));
    SAY(out, fchownat(d, "setgid", 0, 100, 0));
    SAY(out, fchmodat(d, "setgid", 02777, 0));
    SAY(out, make_file(d, "suid", "x"));
    SAY(out, fchmodat(d, "suid", 06777, 0));
    SAY(out, make_file(d, "cut", "x"));
    SAY(out, fchmodat(d, "cut", 06777, 0));
    SAY(out, make_file(d, "patched", "xxx"));
    SAY(out, fchmodat(d, "patched", 06777, 0));
    SAY(out, make_file(d, "shorter", "xxx"));
    SAY(out, fchmodat(d, "shorter", 06777, 0));
    as_user(d, out, 65534, 65534, stranger);
    SAY(out, fchmodat(d, "patched", 06777, 0)); /* root keeps them */
    change_file(d, out, "patched", false);
    change_file(d, out, "patched", true);
    SAY(out, fchmodat(d, "cut", 06777, 0));
    SAY(out, cut_file(d, "cut"));
    tell_stat(out, d, "cut", 0);
    SAY(out, fchmodat(d, "suid", 06777, 0));
    SAY(out, fchownat(d, "suid", 1, 1, 0));
    tell_stat(out, d, "suid", 0);
    tell_list(out, d, "open");
    tell_list(out, d, "sticky");
}

static void put_range(int fd, off_t off, size_t len, unsigned seed)
{
    unsigned char *bytes = malloc(len);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = (unsigned char)(seed >> 16) | 1; /* never zero */
    }
    assert_int_equal(pwrite(fd, bytes, len, off), (ssize_t)len);
    free(bytes);
}

/* All of it: its length and a sum. */
static void tell_sum(struct cis_buf *out, int dir, const char *path)
{
    static unsigned char bytes[65536];
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    unsigned long sum = 5381, total = 0;
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            sum = sum * 33 + bytes[i];
        }
        total += (unsigned long)n;
    }
    cis_buf_printf(out, "content %s: %lu bytes, %lx\n", path, total, sum);
    close(fd);
}

static void copy_range(struct cis_buf *out, int in, off_t from, int to_fd, off_t to, size_t len)
{
    off_t at = from, into = to;
    errno = 0;
    ssize_t n = copy_file_range(in, &at, to_fd, &into, len, 0);
    cis_buf_printf(out, "copy %zu bytes from %ld to %ld: %zd %s, then at %ld and %ld\n", len,
                   (long)from, (long)to, n, errno_name(n < 0 ? errno : 0), (long)at, (long)into);
}

/* Holes, and copies of parts of files with holes. What is written lies on block boundaries, so that
 * filesystems with other blocks find the same holes. */
static void ranges(int d, struct cis_buf *out)
{
    static const off_t places[] = {0,      100000, 131072, 150000,  196608, 196609,
                                   524288, 589823, 589824, 1048575, 1048576};
    int fd = openat(d, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    SAY(out, ftruncate(fd, 1 << 20));
    put_range(fd, 131072, 65536, 1);
    put_range(fd, 524288, 65536, 2);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        TELL(out, lseek(fd, places[i], SEEK_DATA));
        TELL(out, lseek(fd, places[i], SEEK_HOLE));
    }
    int to = openat(d, "copy", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    copy_range(out, fd, 0, to, 0, 1 << 20);
    tell_sum(out, d, "copy");
    copy_range(out, fd, 100000, to, 5, 150000);
    copy_range(out, fd, 1048000, to, 2000000, 10000);
    copy_range(out, fd, 1 << 20, to, 0, 100);
    copy_range(out, fd, 5 << 20, to, 0, 100);
    copy_range(out, fd, 0, to, 0, 0);
    tell_sum(out, d, "copy");
    int full = openat(d, "full", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    put_range(full, 0, 300000, 3);
    copy_range(out, fd, 200000, full, 50000, 200000); /* a hole over what there is */
    tell_sum(out, d, "full");
    copy_range(out, fd, 200000, full, 290000, 100000); /* and over its end */
    tell_sum(out, d, "full");
    copy_range(out, fd, 600000, full, 1000000, 100000); /* and behind it */
    copy_range(out, fd, 180000, full, 180001, 500000);
    tell_sum(out, d, "full");
    copy_range(out, full, 0, full, 100, 1000); /* over itself */
    copy_range(out, full, 1000, full, 1, 1000);
    copy_range(out, full, 0, full, 2000000, 1 << 20);
    copy_range(out, full, 131072, full, 0, 65536);
    tell_sum(out, d, "full");
    TELL(out, copy_file_range(fd, NULL, full, NULL, 10, 1));
    int ro = openat(d, "full", O_RDONLY | O_CLOEXEC);
    int ap = openat(d, "full", O_WRONLY | O_APPEND | O_CLOEXEC);
    copy_range(out, fd, 0, ro, 0, 10);
    copy_range(out, fd, 0, ap, 0, 10);
    copy_range(out, ap, 0, fd, 0, 10);
    copy_range(out, d, 0, fd, 0, 10);
    close(ro);
    close(ap);
    close(full);
    close(to);
    close(fd);
}

static void many(int d, struct cis_buf *out)
{
    for (int i = 0; i < 3000; i++) {
        char name[32];
        snprintf(name, sizeof name, "entry-%05d", i);
        if (make_file(d, name, "") != 0) {
            cis_buf_printf(out, "%s: %s\n", name, errno_name(errno));
        }
    }
    tell_list(out, d, ".");
    DIR *dir = fdopendir(dup(d)); /* removed while it is listed */
    struct dirent *e;
    int seen = 0, gone = 0;
    rewinddir(dir);
    for (errno = 0; (e = readdir(dir)) != NULL; errno = 0) {
        if (e->d_name[0] == 'e') {
            seen++;
            gone += unlinkat(d, e->d_name, 0) == 0;
        }
    }
    const char *end = errno == 0 ? "the end" : errno_name(errno);
    closedir(dir);
    cis_buf_printf(out, "seen %d, removed %d, then %s\n", seen, gone, end);
    tell_list(out, d, ".");
}

/* All bytes: how many of each after each other. */
static void tell_bytes(struct cis_buf *out, int dir, const char *path)
{
    uint8_t text[40000];
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    cis_buf_printf(out, "bytes of %s:", path);
    for (ssize_t at = 0, next; at < n; at = next) {
        next = at;
        while (next < n && text[next] == text[at]) {
            next++;
        }
        cis_buf_printf(out, " %zdx%02x", next - at, text[at]);
    }
    cis_buf_byte(out, '\n');
    close(fd);
}

/* What appends is decided by the flags of the moment, and never for what a mapping changed. */
static void appends(int d, struct cis_buf *out)
{
    char *text = calloc(1, 9000);
    int fd = openat(d, "f", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    memset(text, 'a', 9000);
    TELL(out, write(fd, text, 9000));
    char *map = mmap(NULL, 9000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cis_buf_printf(out, "mmap: %s\n", map != MAP_FAILED ? "ok" : errno_name(errno));
    memset(map + 100, 'm', 50);
    memset(map + 8900, 'n', 50);
    SAY(out, msync(map, 9000, MS_SYNC));
    SAY(out, munmap(map, 9000));
    SAY(out, fsync(fd));
    tell_stat(out, d, "f", 0);
    tell_bytes(out, d, "f");
    TELL(out, write(fd, "end", 3));
    TELL(out, lseek(fd, 0, SEEK_CUR));
    SAY(out, fcntl(fd, F_SETFL, O_RDWR));
    TELL(out, pwrite(fd, "first", 5, 0));
    TELL(out, lseek(fd, 50, SEEK_SET));
    TELL(out, write(fd, "fifty", 5));
    tell_stat(out, d, "f", 0);
    int other = openat(d, "g", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    TELL(out, write(other, text, 100));
    TELL(out, lseek(other, 0, SEEK_SET));
    SAY(out, fcntl(other, F_SETFL, O_APPEND));
    TELL(out, write(other, "tail", 4));
    TELL(out, lseek(other, 0, SEEK_CUR));
    TELL(out, copy_file_range(fd, &(off_t){0}, other, &(off_t){10}, 20, 0));
    SAY(out, fcntl(other, F_SETFL, 0));
    TELL(out, copy_file_range(fd, &(off_t){0}, other, &(off_t){10}, 20, 0));
    int both = openat(d, "g", O_WRONLY | O_APPEND | O_CLOEXEC);
    TELL(out, write(both, "1", 1));
    TELL(out, pwrite(other, "2", 1, 0));
    TELL(out, write(both, "3", 1));
    tell_bytes(out, d, "f");
    tell_bytes(out, d, "g");
    close(both);
    close(other);
    close(fd);
    free(text);
}

/* A mapping of a file that only appenders hold open any more: its pages go where they belong. */
static void appends_mapped(int d, struct cis_buf *out)
{
    int fd = openat(d, "h", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    SAY(out, ftruncate(fd, 20000));
    char *map = mmap(NULL, 20000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int log = openat(d, "h", O_WRONLY | O_APPEND | O_CLOEXEC);
    close(fd);
    map[0] = 'x';
    map[19999] = 'y';
    TELL(out, write(log, "log", 3));
    SAY(out, munmap(map, 20000));
    SAY(out, fsync(log));
    TELL(out, write(log, "log", 3));
    close(log);
    tell_stat(out, d, "h", 0);
    tell_bytes(out, d, "h");
}

const struct transcript_row transcript_rows[] = {
    {"names", names, false},           {"links", links, false},
    {"renames", renames, false},       {"data", data, false},
    {"attributes", attributes, false}, {"permissions", permissions, true},
    {"ranges", ranges, false},         {"many", many, false},
    {"appends", appends, false},       {"appends_mapped", appends_mapped, false},
};
const size_t transcript_count = sizeof transcript_rows / sizeof *transcript_rows;

void transcript_compare(const char *name, const struct cis_buf *host, const struct cis_buf *mount)
{
    const char *a = cis_buf_cstr(host), *b = cis_buf_cstr(mount);
    while (*a != '\0' || *b != '\0') {
        size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");
        if (la != lb || memcmp(a, b, la) != 0) {
            fail_msg("%s: the host says\n    %.*s\nthe mount says\n    %.*s", name, (int)la, a,
                     (int)lb, b);
        }
        a += la + (a[la] == '\n');
        b += lb + (b[lb] == '\n');
    }
}
