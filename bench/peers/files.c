/* What a program does with files, by the second: one source, as a WASI module under every host and
 * natively. Prints "ROW RATE" lines, timed by the program's own clock.
 *
 *   files small DIR        rows of small operations
 *   files large DIR MIB    sequential write and read through 64 KiB buffers */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 2048
#define ENTRIES 1000
#define LARGE 65536

static char page[PAGE], large[LARGE];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void need(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static void one_stat(int fd, const char *path, unsigned n)
{
    struct stat st;
    (void)fd;
    (void)n;
    need(stat(path, &st) == 0, "stat");
}

static void one_open(int fd, const char *path, unsigned n)
{
    (void)fd;
    (void)n;
    int opened = open(path, O_RDONLY);
    need(opened >= 0 && close(opened) == 0, "open");
}

static off_t somewhere(unsigned n)
{
    return (off_t)(n * 2654435761u % PAGES) * PAGE;
}

static void one_pread(int fd, const char *path, unsigned n)
{
    (void)path;
    need(pread(fd, page, PAGE, somewhere(n)) == PAGE, "pread");
}

static void one_pwrite(int fd, const char *path, unsigned n)
{
    (void)path;
    need(pwrite(fd, page, PAGE, somewhere(n)) == PAGE, "pwrite");
}

static void one_list(int fd, const char *path, unsigned n)
{
    (void)fd;
    (void)n;
    DIR *dir = opendir(path);
    unsigned entries = 0;
    need(dir != NULL, "opendir");
    while (readdir(dir) != NULL) {
        entries++;
    }
    need(entries >= ENTRIES && closedir(dir) == 0, "readdir");
}

static void one_create(int fd, const char *path, unsigned n)
{
    char name[300];
    (void)fd;
    snprintf(name, sizeof name, "%s-%u", path, n % 100);
    int made = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    need(made >= 0 && close(made) == 0 && unlink(name) == 0, "create");
}

/* At least a quarter of a second, at least 16 turns. */
static void row(const char *name, void (*one)(int, const char *, unsigned), int fd,
                const char *path)
{
    unsigned done = 0, step = 16;
    for (unsigned n = 0; n < 16; n++) {
        one(fd, path, n);
    }
    double begin = now(), took = 0;
    while (took < 0.25) {
        for (unsigned n = 0; n < step; n++) {
            one(fd, path, done++);
        }
        took = now() - begin;
        step *= 2;
    }
    printf("%s %.1f\n", name, done / took);
}

static void small(const char *dir)
{
    char inner[300], file[400], name[500];
    snprintf(inner, sizeof inner, "%s/many", dir);
    snprintf(file, sizeof file, "%s/file", dir);
    need(mkdir(inner, 0755) == 0, "mkdir");
    for (int n = 0; n < ENTRIES; n++) {
        snprintf(name, sizeof name, "%s/entry-%d", inner, n);
        int fd = open(name, O_WRONLY | O_CREAT, 0644);
        need(fd >= 0 && close(fd) == 0, name);
    }
    int fd = open(file, O_RDWR | O_CREAT, 0644);
    need(fd >= 0, file);
    for (int n = 0; n < PAGES; n++) {
        memset(page, n, PAGE);
        need(write(fd, page, PAGE) == PAGE, "write");
    }
    row("stat", one_stat, fd, file);
    row("open+close", one_open, fd, file);
    row("pread-4K", one_pread, fd, file);
    row("pwrite-4K", one_pwrite, fd, file);
    row("readdir-1000", one_list, fd, inner);
    snprintf(name, sizeof name, "%s/new", dir);
    row("create+unlink", one_create, fd, name);
    close(fd);
}

static void sequential(const char *dir, int mib)
{
    char file[300];
    int pieces = mib * (int)((1 << 20) / LARGE);
    snprintf(file, sizeof file, "%s/large", dir);
    double begin = now();
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0644);
    need(fd >= 0, file);
    for (int n = 0; n < pieces; n++) {
        memset(large, n, 64);
        memcpy(large + LARGE / 2, &n, sizeof n);
        need(write(fd, large, LARGE) == LARGE, "write");
    }
    printf("write %.1f\n", mib / (now() - begin));
    need(lseek(fd, 0, SEEK_SET) == 0, "lseek");
    begin = now();
    for (int n = 0; n < pieces; n++) {
        int found;
        need(read(fd, large, LARGE) == LARGE, "read");
        memcpy(&found, large + LARGE / 2, sizeof found);
        need(found == n, "content");
    }
    printf("read %.1f\n", mib / (now() - begin));
    need(close(fd) == 0, "close");
}

int main(int argc, char **argv)
{
    unsigned seed = 1;
    for (int n = 0; n < LARGE; n++) { /* nothing that compresses */
        seed = seed * 1664525u + 1013904223u;
        large[n] = (char)(seed >> 24);
    }
    if (argc == 3 && strcmp(argv[1], "small") == 0) {
        small(argv[2]);
    } else if (argc == 4 && strcmp(argv[1], "large") == 0) {
        sequential(argv[2], (int)strtol(argv[3], NULL, 10));
    } else {
        fprintf(stderr, "usage: files small DIR | large DIR MIB\n");
        return 2;
    }
    return 0;
}
