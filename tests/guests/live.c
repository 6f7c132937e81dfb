/* What a program does with its standard streams and sockets, one verb a run: live VERB. Prints the
 * errno's name on stderr and ends with 10 when a verb fails. */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

__attribute__((import_module("wasi_snapshot_preview1"), import_name("sock_accept"))) int
sock_accept(int fd, int flags, int *out_fd);
__attribute__((import_module("wasi_snapshot_preview1"), import_name("random_get"))) int random_get(
    uint8_t *buf, size_t len);

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 10;
}

static int terminals(void)
{
    printf("%d%d%d\n", isatty(0), isatty(1), isatty(2));
    return 0;
}

/* Until nobody wants more. */
static int flood(void)
{
    static char lines[65536];
    memset(lines, 'y', sizeof lines);
    for (;;) {
        if (write(1, lines, sizeof lines) < 0) {
            return fail("write");
        }
    }
}

static int wait_for_input(void)
{
    char byte;
    printf("waiting\n");
    fflush(stdout);
    ssize_t n = read(0, &byte, 1);
    printf("read %zd\n", n);
    return n < 0 ? fail("read") : 0;
}

static int poll_input(void)
{
    struct pollfd in = {.fd = 0, .events = POLLIN};
    char got[64];
    int timeouts = 0, n;
    while ((n = poll(&in, 1, 20)) == 0) {
        if (timeouts++ == 0) {
            printf("nothing yet\n");
            fflush(stdout);
        }
    }
    if (n < 0 || (n = (int)read(0, got, sizeof got)) < 0) {
        return fail("poll");
    }
    printf("got %.*s\n", n, got);
    return 0;
}

/* One connection, whose bytes are sent back until it ends. */
static int serve(void)
{
    char buf[4096];
    int fd, error = sock_accept(3, 0, &fd);
    if (error != 0) {
        fprintf(stderr, "accept: %d\n", error);
        return 10;
    }
    ssize_t n;
    while ((n = read(fd, buf, sizeof buf)) > 0) {
        if (write(fd, buf, (size_t)n) != n) {
            return fail("write");
        }
    }
    close(fd);
    return n < 0 ? fail("read") : 0;
}

/* Reads one line and puts back what it read beyond. */
static int first_line(void)
{
    char buf[4096];
    ssize_t n = read(0, buf, sizeof buf);
    char *end = n > 0 ? memchr(buf, '\n', (size_t)n) : NULL;
    if (end == NULL || lseek(0, end + 1 - (buf + n), SEEK_CUR) < 0) {
        return fail("seek");
    }
    printf("first: %.*s\n", (int)(end - buf), buf);
    return 0;
}

static int numbers(void)
{
    uint8_t bytes[16];
    if (random_get(bytes, sizeof bytes) != 0) {
        return 10;
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        printf("%02x", bytes[i]);
    }
    printf("\n");
    return 0;
}

static int nap(void)
{
    struct timespec t = {.tv_sec = 3600};
    printf("sleeping\n");
    fflush(stdout);
    return nanosleep(&t, NULL);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } verbs[] = {{"terminals", terminals}, {"flood", flood}, {"wait", wait_for_input},
                 {"poll", poll_input},     {"serve", serve}, {"first-line", first_line},
                 {"numbers", numbers},     {"sleep", nap}};
    for (size_t i = 0; argc == 2 && i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(argv[1], verbs[i].name) == 0) {
            return verbs[i].run();
        }
    }
    return 2;
}
