/* A program with a few verbs on files, for tests of `cis run`: tool VERB [ARGUMENT]… [, VERB …].
 * Ends with 10 and the errno's text when a verb fails. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    fflush(stdout);
    exit(10);
}

static void put(const char *path, const char *text, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) != 0) {
        fail(path);
    }
}

static void show(const char *path)
{
    char buf[4096];
    ssize_t n;
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        fail(path);
    }
    while ((n = read(fd, buf, sizeof buf)) > 0) {
        fwrite(buf, 1, (size_t)n, stdout);
    }
    if (n < 0) {
        fail(path);
    }
    close(fd);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *path)
{
    char *names[1000];
    size_t n = 0;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        fail(path);
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL && n < 1000;) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            names[n++] = strdup(e->d_name);
        }
    }
    closedir(dir);
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        printf("%s\n", names[i]);
    }
}

/* N bytes of a pattern. */
static void fill(const char *path, long n)
{
    char buf[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) {
        fail(path);
    }
    for (long at = 0; at < n;) {
        long len = n - at < (long)sizeof buf ? n - at : (long)sizeof buf;
        for (long i = 0; i < len; i++) {
            buf[i] = (char)((at + i) * 2654435761u >> 13);
        }
        if (write(fd, buf, (size_t)len) != len) {
            fail(path);
        }
        at += len;
    }
    if (close(fd) != 0) {
        fail(path);
    }
}

/* N bytes, one every STEP. */
static void spread(const char *path, long n, long long step)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    for (long i = 0; fd >= 0 && i < n; i++) {
        if (pwrite(fd, "x", 1, (off_t)(i * step)) != 1) {
            fail(path);
        }
    }
    if (fd < 0 || close(fd) != 0) {
        fail(path);
    }
}

static char **args;

static const char *next(void)
{
    if (*args == NULL || strcmp(*args, ",") == 0) {
        fprintf(stderr, "tool: an argument is missing\n");
        exit(11);
    }
    return *args++;
}

static void verb(const char *v)
{
    if (strcmp(v, "write") == 0) {
        const char *path = next();
        put(path, next(), O_TRUNC);
    } else if (strcmp(v, "append") == 0) {
        const char *path = next();
        put(path, next(), O_APPEND);
    } else if (strcmp(v, "read") == 0) {
        show(next());
    } else if (strcmp(v, "list") == 0) {
        list(next());
    } else if (strcmp(v, "fill") == 0) {
        const char *path = next();
        fill(path, atol(next()));
    } else if (strcmp(v, "spread") == 0) {
        const char *path = next();
        long n = atol(next());
        spread(path, n, atoll(next()));
    } else if (strcmp(v, "truncate") == 0) {
        const char *path = next();
        int fd = open(path, O_WRONLY | O_CREAT, 0644);
        if (fd < 0 || ftruncate(fd, atoll(next())) != 0) {
            fail(path);
        }
        close(fd);
    } else if (strcmp(v, "mkdir") == 0) {
        const char *path = next();
        if (mkdir(path, 0755) != 0) {
            fail(path);
        }
    } else if (strcmp(v, "rm") == 0) {
        const char *path = next();
        if (unlink(path) != 0) {
            fail(path);
        }
    } else if (strcmp(v, "rmdir") == 0) {
        const char *path = next();
        if (rmdir(path) != 0) {
            fail(path);
        }
    } else if (strcmp(v, "mv") == 0) {
        const char *from = next();
        if (rename(from, next()) != 0) {
            fail(from);
        }
    } else if (strcmp(v, "link") == 0) {
        const char *from = next();
        if (link(from, next()) != 0) {
            fail(from);
        }
    } else if (strcmp(v, "symlink") == 0) {
        const char *target = next();
        const char *path = next();
        if (symlink(target, path) != 0) {
            fail(path);
        }
    } else if (strcmp(v, "chmod") == 0) {
        next();
        next();
    } else if (strcmp(v, "say") == 0) {
        printf("%s\n", next());
    } else if (strcmp(v, "complain") == 0) {
        fprintf(stderr, "%s\n", next());
    } else if (strcmp(v, "env") == 0) {
        const char *value = getenv(next());
        printf("%s\n", value != NULL ? value : "(not set)");
    } else if (strcmp(v, "args") == 0) {
        for (; *args != NULL; args++) {
            printf("%s\n", *args);
        }
    } else if (strcmp(v, "cat") == 0) {
        int c;
        while ((c = getchar()) != EOF) {
            putchar(c);
        }
    } else if (strcmp(v, "keep") == 0) { /* standard input as a file */
        const char *path = next();
        static char buf[65536];
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        ssize_t n = 0;
        while (fd >= 0 && (n = read(0, buf, sizeof buf)) > 0) {
            if (write(fd, buf, (size_t)n) != n) {
                fail(path);
            }
        }
        if (fd < 0 || n < 0 || close(fd) != 0) {
            fail(path);
        }
    } else if (strcmp(v, "isatty") == 0) {
        printf("%d%d%d\n", isatty(0), isatty(1), isatty(2));
    } else if (strcmp(v, "time") == 0) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        printf("%lld.%09ld\n", (long long)t.tv_sec, t.tv_nsec);
    } else if (strcmp(v, "random") == 0) {
        unsigned char bytes[16];
        if (getentropy(bytes, sizeof bytes) != 0) {
            fail("random");
        }
        for (size_t i = 0; i < sizeof bytes; i++) {
            printf("%02x", bytes[i]);
        }
        printf("\n");
    } else if (strcmp(v, "spam") == 0) { /* N bytes on stdout */
        long n = atol(next());
        char line[1024];
        memset(line, 'x', sizeof line);
        for (long at = 0; at < n; at += (long)sizeof line) {
            if (write(1, line, sizeof line) < 0) {
                fail("stdout");
            }
        }
    } else if (strcmp(v, "flush") == 0) {
        fflush(stdout);
    } else if (strcmp(v, "sleep") == 0) {
        long ms = atol(next());
        struct timespec t = {ms / 1000, ms % 1000 * 1000000};
        nanosleep(&t, NULL);
    } else if (strcmp(v, "loop") == 0) {
        for (volatile int i = 0;; i++) {
        }
    } else if (strcmp(v, "trap") == 0) {
        fflush(stdout);
        __builtin_trap();
    } else if (strcmp(v, "exit") == 0) {
        fflush(stdout);
        exit(atoi(next()));
    } else {
        fprintf(stderr, "tool: no verb %s\n", v);
        exit(11);
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    for (args = argv + 1; *args != NULL;) {
        verb(*args++);
        if (*args != NULL && strcmp(*args, ",") == 0) {
            args++;
        }
    }
    return 0;
}
