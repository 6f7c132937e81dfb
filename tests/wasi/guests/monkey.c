/* Operations on files by chance, printed with what they answered: the same on Linux. The arguments:
 * a seed, and how many. A run goes on in the tree that the one before it left. */
#include "check.h"

#define SLOTS 6
static uint64_t chance;
static int slots[SLOTS];
static char buf[70000];

static bool
    adapted; /* leave out what adapters do not have: allocating, and moving bytes of directories */

static bool works(int fd)
{
    struct stat st;
    return !adapted || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
}

static unsigned below(unsigned n)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (unsigned)(chance >> 33) % n;
}

/* Up to three names in the folder "in", perhaps with an ending: with that and a link to "." a path
 * may lead as far up as the folder it begins in, and no further. */
static const char *some_path(void)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    static const char *const ends[] = {"", "", "", "", "", "", "", "/", "/.", "//", "/.."};
    static char paths[2][40];
    static int turn;
    char *path = paths[turn ^= 1];
    size_t at = (size_t)snprintf(path, 40, "in");
    for (unsigned n = 1 + below(3); n != 0; n--) {
        at += (size_t)snprintf(path + at, 40 - at, "/%s", names[below(6)]);
    }
    snprintf(path + at, 40 - at, "%s", ends[below(COUNT(ends))]);
    return path;
}

static uint64_t sum(const char *bytes, size_t n)
{
    uint64_t x = 14695981039346656037ull;
    for (size_t i = 0; i < n; i++) {
        x = (x ^ (unsigned char)bytes[i]) * 1099511628211ull;
    }
    return x;
}

static void tell(unsigned i, const char *what, const char *path, long long result, uint64_t more)
{
    int no = result < 0 ? errno : 0;
    printf("%u %s %s: %s %lld %llx\n", i, what, path, errno_name(no), result < 0 ? -1 : result,
           (unsigned long long)more);
}

static void open_one(unsigned i)
{
    static const int how[] = {O_RDONLY,
                              O_RDWR,
                              O_RDWR | O_CREAT,
                              O_RDWR | O_CREAT,
                              O_RDWR | O_CREAT | O_EXCL,
                              O_RDWR | O_CREAT | O_TRUNC,
                              O_WRONLY | O_CREAT | O_APPEND,
                              O_RDWR | O_APPEND,
                              O_RDONLY | O_NOFOLLOW,
                              O_RDONLY | O_DIRECTORY,
                              O_RDWR | O_TRUNC};
    unsigned k = below(COUNT(how)), s = below(SLOTS);
    const char *path = some_path();
    int fd = openat(here, path, how[k], 0644);
    tell(i, "open", path, fd < 0 ? -1 : (long long)k, 0);
    if (fd >= 0) {
        if (slots[s] >= 0) {
            close(slots[s]);
        }
        slots[s] = fd;
    }
}

static void fill(size_t n)
{
    unsigned seed = below(1000);
    for (size_t i = 0; i < n; i++) {
        buf[i] = (char)(seed + i * 7 + i / 251);
    }
}

static void transfer(unsigned i)
{
    int fd = slots[below(SLOTS)];
    size_t n = below(10) == 0 ? below(sizeof buf) : below(3000);
    off_t at = below(4) == 0 ? below(300000) : below(5000);
    ssize_t done;
    unsigned how = below(4);
    if (!works(fd)) {
        return;
    }
    if (adapted) { /* reading, and writing nothing, go wrong there after a write */
        lseek(fd, lseek(fd, 0, SEEK_CUR), SEEK_SET);
        n += how < 2;
        n = how == 1 && n > 4096 ? 4096 : n > 65536 ? 65536 : n; /* a handle that appends; a read */
    }
    switch (how) {
    case 0:
        fill(n);
        done = write(fd, buf, n);
        tell(i, "write", "", done, 0);
        break;
    case 1:
        fill(n);
        done = pwrite(fd, buf, n, at);
        tell(i, "pwrite", "", done, (uint64_t)at);
        break;
    case 2:
        done = read(fd, buf, n);
        tell(i, "read", "", done, done > 0 ? sum(buf, (size_t)done) : 0);
        break;
    default:
        done = pread(fd, buf, n, at);
        tell(i, "pread", "", done, done > 0 ? sum(buf, (size_t)done) : 0);
    }
}

static void on_handle(unsigned i)
{
    /* Not two of chance's numbers in one call: compilers differ in which they take first. */
    static const int whence[] = {SEEK_SET, SEEK_CUR, SEEK_END};
    unsigned s = below(SLOTS), at = below(6000);
    int fd = slots[s];
    struct stat st;
    unsigned how = below(6);
    if (how < 3 && (!works(fd) || (adapted && how == 1))) {
        return;
    }
    switch (how) {
    case 0:
        tell(i, "truncate", "", ftruncate(fd, below(3) == 0 ? below(200000) : below(4000)), 0);
        break;
    case 1:
        errno = posix_fallocate(fd, (off_t)at * 17, 1 + below(70000));
        tell(i, "allocate", "", errno != 0 ? -1 : 0, 0);
        break;
    case 2:
        tell(i, "sync", "", fsync(fd), 0);
        break;
    case 3:
        if (fstat(fd, &st) != 0) {
            tell(i, "fstat", "", -1, 0);
        } else {
            tell(i, "fstat", "", S_ISDIR(st.st_mode) ? 0 : (long long)st.st_size, st.st_nlink);
        }
        break;
    case 4:
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
            tell(i, "seek", "", lseek(fd, (off_t)at - 1000, whence[below(3)]), 0);
        }
        break;
    default:
        if (fd >= 0) {
            tell(i, "close", "", close(fd), 0);
            slots[s] = -1;
        }
    }
}

static void list(unsigned i, const char *path)
{
    uint64_t all = 0;
    long long n = 0;
    int fd = openat(here, path, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL; n++) {
        all += sum(e->d_name, strlen(e->d_name)) ^ (e->d_type == DT_DIR   ? 77
                                                    : e->d_type == DT_LNK ? 7777
                                                                          : 0);
    }
    tell(i, "list", path, dir == NULL ? -1 : n, all);
    if (dir != NULL) {
        closedir(dir);
    }
}

static void on_name(unsigned i)
{
    static const char *const targets[] = {"a", "b", "c/d", "d", ".", "e/", "f/a", "none"};
    const char *path = some_path(), *other;
    struct stat st;
    char got[64];
    switch (below(10)) {
    case 0:
    case 1:
        tell(i, "mkdir", path, mkdirat(here, path, 0755), 0);
        break;
    case 2:
        other = some_path();
        printf("%s -> ", path);
        tell(i, "rename", other, renameat(here, path, here, other), 0);
        break;
    case 3:
        other = some_path();
        printf("%s -> ", path);
        tell(i, "link", other,
             linkat(here, path, here, other, below(2) != 0 ? AT_SYMLINK_FOLLOW : 0), 0);
        break;
    case 4:
        tell(i, "symlink", path, symlinkat(targets[below(COUNT(targets))], here, path), 0);
        break;
    case 5:
        tell(i, "unlink", path, unlinkat(here, path, 0), 0);
        break;
    case 6:
        tell(i, "rmdir", path, unlinkat(here, path, AT_REMOVEDIR), 0);
        break;
    case 7:
        if (fstatat(here, path, &st, below(2) != 0 ? AT_SYMLINK_NOFOLLOW : 0) != 0) {
            tell(i, "stat", path, -1, 0);
        } else {
            tell(i, "stat", path, S_ISDIR(st.st_mode) ? 0 : (long long)st.st_size, st.st_nlink);
        }
        break;
    case 8:
        tell(i, "readlink", path, readlinkat(here, path, got, sizeof got), 0);
        break;
    default:
        list(i, path);
    }
}

int main(int argc, char **argv)
{
    unsigned n = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1000;
    static char out[65536];
    setvbuf(stdout, out, _IOFBF, sizeof out);
    adapted = getenv("ADAPTED") != NULL; /* natively, too */
    chance = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1) * 0x9e3779b97f4a7c15ull + 1;
    base = open(MAIN_PLACE, O_RDONLY | O_DIRECTORY);
    mkdirat(base, "play", 0755);
    mkdirat(base, "play/in", 0755);
    here = openat(base, "play", O_RDONLY | O_DIRECTORY);
    memset(slots, 0xff, sizeof slots);
    for (unsigned i = 0; i < n; i++) {
        switch (below(8)) {
        case 0:
            open_one(i);
            break;
        case 1:
        case 2:
            transfer(i);
            break;
        case 3:
            on_handle(i);
            break;
        default:
            on_name(i);
        }
    }
    return here < 0;
}
