/* Trees of extreme shapes, made in little time of the guest, so that a test sees what the host does
 * for them afterwards: crowd VERB PATH NUMBERS…. Ends with 10 and the errno's text when it fails.
 */
#include <errno.h>
#include <fcntl.h>
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
    } else if (strcmp(verb, "folders") == 0) {
        folders(at, n);
    } else if (strcmp(verb, "again") == 0) {
        again(at, n);
    } else if (strcmp(verb, "links") == 0) {
        links(at, n);
    } else if (strcmp(verb, "moved") == 0) {
        moved(at, n);
    } else {
        return 2;
    }
    return 0;
}
