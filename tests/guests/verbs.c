/* A small program with one verb a run, for tests of what surrounds a program:
 *   write PATH TEXT | append PATH TEXT | cat PATH | ls PATH | rm PATH | exit N | env | args … |
 *   hold PATH N (opens it N times, tells how often that went well) | copy (stdin to stdout) |
 * random N | clock | trap | spin */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int failed(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return 1;
}

static int put(const char *path, const char *text, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        return failed(path);
    }
    return 0;
}

static int cat(const char *path, FILE *file)
{
    char buf[4096];
    size_t n;
    if (file == NULL) {
        return failed(path);
    }
    while ((n = fread(buf, 1, sizeof buf, file)) > 0) {
        if (fwrite(buf, 1, n, stdout) != n) {
            return failed("stdout");
        }
    }
    return ferror(file) ? failed(path) : 0;
}

static int ls(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    if (dir == NULL) {
        return failed(path);
    }
    while ((e = readdir(dir)) != NULL) {
        if (e->d_name[0] != '.') {
            puts(e->d_name);
        }
    }
    closedir(dir);
    return 0;
}

static int hold(const char *path, int n)
{
    int held = 0;
    while (held < n && fopen(path, "r") != NULL) {
        held++;
    }
    printf("%d", held);
    return 0;
}

static int show_random(unsigned n)
{
    while (n-- > 0) {
        unsigned char byte;
        if (getentropy(&byte, 1) != 0) {
            return failed("random");
        }
        printf("%02x", byte);
    }
    return 0;
}

static int show_clock(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_REALTIME, &t) != 0) {
        return failed("clock");
    }
    printf("%lld.%09ld", (long long)t.tv_sec, t.tv_nsec);
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "", *path = argc > 2 ? argv[2] : "";
    if (strcmp(verb, "write") == 0 && argc == 4) {
        return put(path, argv[3], "w");
    } else if (strcmp(verb, "append") == 0 && argc == 4) {
        return put(path, argv[3], "a");
    } else if (strcmp(verb, "cat") == 0) {
        return cat(path, fopen(path, "r"));
    } else if (strcmp(verb, "copy") == 0) {
        return cat("stdin", stdin);
    } else if (strcmp(verb, "ls") == 0) {
        return ls(path);
    } else if (strcmp(verb, "hold") == 0 && argc == 4) {
        return hold(path, atoi(argv[3]));
    } else if (strcmp(verb, "rm") == 0) {
        return remove(path) == 0 ? 0 : failed(path);
    } else if (strcmp(verb, "exit") == 0) {
        return atoi(path);
    } else if (strcmp(verb, "env") == 0) {
        for (char **e = environ; *e != NULL; e++) {
            puts(*e);
        }
        return 0;
    } else if (strcmp(verb, "args") == 0) {
        for (int i = 0; i < argc; i++) {
            puts(argv[i]);
        }
        return 0;
    } else if (strcmp(verb, "random") == 0) {
        return show_random((unsigned)atoi(path));
    } else if (strcmp(verb, "clock") == 0) {
        return show_clock();
    } else if (strcmp(verb, "trap") == 0) {
        __builtin_trap();
    } else if (strcmp(verb, "spin") == 0) {
        for (volatile unsigned i = 0;; i++) {
        }
    }
    fprintf(stderr, "verbs: no such verb: %s\n", verb);
    return 64;
}
