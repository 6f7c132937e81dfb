/* Trees of extreme shapes, made in little time of the guest, so that a test sees what the host does
 * for them afterwards: crowd VERB PATH NUMBERS…. Ends with 10 and the errno's text when it fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(10);
}

static int folder(int in, const char *name)
{
    int fd = openat(in, name, O_RDONLY | O_DIRECTORY);
    return fd >= 0 ? fd : fail(name);
}

static void file(int in, const char *name, int flags, const char *text)
{
    int fd = openat(in, name, O_WRONLY | flags, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) != 0) {
        fail(name);
    }
}

/* One folder in the other, n deep; the innermost one, open. */
static int levels(int at, const char *name, long n)
{
    for (long i = 0; i < n; i++) {
        if (mkdirat(at, name, 0755) != 0) {
            fail(name);
        }
        int next = folder(at, name);
        close(at);
        at = next;
    }
    return at;
}

/* The n-th folder below, open. */
static int below(int at, const char *name, long n)
{
    for (long i = 0; i < n; i++) {
        int next = folder(at, name);
        close(at);
        at = next;
    }
    return at;
}

/* Something at the end of the levels. */
static void more_below(int at, long n, long what)
{
    int top = folder(at, ".");
    at = below(at, "d", n);
    if (what == 0) {
        file(at, "more", O_CREAT, "more");
    } else if ((what == 1 && symlinkat("d/../../elsewhere", at, "out") != 0) ||
               (what == 2 && linkat(at, "n0000000", at, "twin", 0) != 0) ||
               (what == 3 && renameat(top, "moved", at, "moved") != 0) ||
               (what == 4 && unlinkat(at, "out", 0) != 0) ||
               (what == 5 && unlinkat(at, "twin", 0) != 0)) {
        fail("more");
    }
}

/* What is at the end of "far": another file, and one that is written anew. */
static void changed(int at)
{
    file(at, "more", O_CREAT, "more");
    file(at, "n0000000", O_TRUNC, "of the guest");
}

/* All that "far" makes in a folder. */
static void cleared(int at, const char *name)
{
    char file[32];
    int next = openat(at, name, O_RDONLY | O_DIRECTORY);
    if (next >= 0) {
        cleared(next, name);
        close(next);
        if (unlinkat(at, name, AT_REMOVEDIR) != 0) {
            fail(name);
        }
    }
    for (int i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "n%07d", i);
        if (unlinkat(at, file, 0) != 0 && errno != ENOENT) {
            fail(file);
        }
    }
}

static void names(int at, long n, const char *text)
{
    char name[32];
    for (long i = 0; i < n; i++) {
        snprintf(name, sizeof name, "n%07ld", i);
        file(at, name, O_CREAT, text);
    }
}

static void folders(int at, long n)
{
    char name[32];
    for (long i = 0; i < n; i++) {
        snprintf(name, sizeof name, "f%06ld", i);
        if (mkdirat(at, name, 0755) != 0) {
            fail(name);
        }
        int dir = folder(at, name);
        file(dir, "one", O_CREAT, "");
        close(dir);
    }
}

/* Each folder's file is written to, as found. */
static void again(int at, long n)
{
    char name[40];
    for (long i = 0; i < n; i++) {
        snprintf(name, sizeof name, "f%06ld/one", i);
        file(at, name, 0, "again");
    }
}

static void links(int at, long n)
{
    char name[32];
    file(at, "first", O_CREAT, "x");
    for (long i = 0; i < n; i++) {
        snprintf(name, sizeof name, "l%07ld", i);
        if (linkat(at, "first", at, name, 0) != 0) {
            fail(name);
        }
    }
}

static void moved(int at, long n)
{
    char from[32], to[32];
    for (long i = 0; i < n; i++) {
        snprintf(from, sizeof from, "l%07ld", i);
        snprintf(to, sizeof to, "m%07ld", i);
        if (renameat(at, from, at, to) != 0) {
            fail(from);
        }
    }
}

/* ---- one file, "big" ---- */
#define PIECE 4096

static int big(int at, int flags)
{
    int fd = openat(at, "big", O_RDWR | flags, 0644);
    return fd >= 0 ? fd : fail("big");
}

/* Bytes that no compression makes smaller. */
static uint64_t mixed(void)
{
    static uint64_t seed = 88172645463325252u;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void piece(int fd, uint64_t at)
{
    static uint64_t words[PIECE / 8];
    for (size_t i = 0; i < PIECE / 8; i++) {
        words[i] = mixed();
    }
    if (pwrite(fd, words, PIECE, (off_t)(at * PIECE)) != PIECE) {
        fail("write");
    }
}

static void length(int fd, off_t size)
{
    if (ftruncate(fd, size) != 0) {
        fail("truncate");
    }
}

/* A file of so many MiB: from its beginning to its end, or as many pieces anywhere in it. */
static void fill(int at, long mib, int in_order)
{
    int fd = big(at, O_CREAT);
    uint64_t n = (uint64_t)mib << 20 >> 12;
    for (uint64_t i = 0; i < n; i++) {
        piece(fd, in_order ? i : mixed() % n);
    }
    close(fd);
}

/* The first piece of each block of 64 KiB of the file. */
static void heads(int at, long mib)
{
    int fd = big(at, 0);
    uint64_t n = (uint64_t)mib << 20 >> 16;
    for (uint64_t i = 0; i < n; i++) {
        piece(fd, i << 4);
    }
    close(fd);
}

/* A file of so many GiB with a few pieces in it, as far from each other as they can be. */
static void sparse(int at, long gib, long pieces)
{
    int fd = big(at, O_CREAT);
    uint64_t n = (uint64_t)gib << 30 >> 12;
    length(fd, (off_t)gib << 30);
    for (long i = 0; i < pieces; i++) {
        piece(fd, n / (uint64_t)pieces * (uint64_t)i);
    }
    close(fd);
}

/* All but its beginning is cut off and becomes a hole: so often. */
static void punch(int at, long gib, long times)
{
    int fd = big(at, 0);
    for (long i = 0; i < times; i++) {
        length(fd, 1);
        length(fd, (off_t)gib << 30);
    }
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        return 2;
    }
    char longest[256];
    memset(longest, 'x', 255);
    longest[255] = 0;
    const char *verb = argv[1];
    long n = atol(argv[3]), more = argc > 4 ? atol(argv[4]) : 0;
    int at = folder(AT_FDCWD, argv[2]);
    if (strcmp(verb, "levels") == 0) {
        levels(at, "d", n);
    } else if (strcmp(verb, "names") == 0) {
        names(at, n, "");
    } else if (strcmp(verb, "far") == 0) {
        names(levels(at, longest, n), more, "");
    } else if (strcmp(verb, "changed") == 0) {
        changed(below(at, longest, n));
    } else if (strcmp(verb, "cleared") == 0) {
        cleared(below(at, longest, n), longest);
    } else if (strcmp(verb, "below") == 0) {
        names(levels(at, "d", n), more, "");
    } else if (strcmp(verb, "more") == 0) {
        more_below(at, n, more);
    } else if (strcmp(verb, "folders") == 0) {
        folders(at, n);
    } else if (strcmp(verb, "again") == 0) {
        again(at, n);
    } else if (strcmp(verb, "links") == 0) {
        links(at, n);
    } else if (strcmp(verb, "moved") == 0) {
        moved(at, n);
    } else if (strcmp(verb, "fill") == 0) {
        fill(at, n, 1);
    } else if (strcmp(verb, "scatter") == 0) {
        fill(at, n, 0);
    } else if (strcmp(verb, "heads") == 0) {
        heads(at, n);
    } else if (strcmp(verb, "sparse") == 0) {
        sparse(at, n, more);
    } else if (strcmp(verb, "punch") == 0) {
        punch(at, n, more);
    } else {
        return 2;
    }
    return 0;
}
