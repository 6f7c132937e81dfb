/* A program that says on stdout what it finds in the world, nothing of it twice the same:
 * arguments, environment, clocks, random bytes, stdin, files, waits, a connection. For tests of
 * replays. world DIR END: END is an exit code, "trap", "spin", or "accept": one connection first.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(name)))

struct vec {
    void *at;
    uint32_t len;
};

WASI("sock_accept") int wasi_sock_accept(int fd, int flags, int *out_fd);
WASI("sock_recv")
int wasi_sock_recv(int fd, const struct vec *v, int n, int flags, int *out_n, uint16_t *out_flags);
WASI("sock_send")
int wasi_sock_send(int fd, const struct vec *v, int n, int flags, int *out_n);

static unsigned sum(const void *data, size_t len)
{
    unsigned h = 17;
    for (size_t i = 0; i < len; i++) {
        h = h * 31 + ((const unsigned char *)data)[i];
    }
    return h;
}

static void clocks(void)
{
    struct timespec t, nap = {0, 2000000};
    clock_gettime(CLOCK_REALTIME, &t);
    printf("real %lld.%09ld\n", (long long)t.tv_sec, t.tv_nsec);
    nanosleep(&nap, NULL);
    clock_gettime(CLOCK_MONOTONIC, &t);
    printf("monotonic %lld.%09ld\n", (long long)t.tv_sec, t.tv_nsec);
}

static void input(void)
{
    char buf[5000];
    struct pollfd p = {.fd = 0, .events = POLLIN};
    size_t total = 0;
    ssize_t n;
    printf("poll %d\n", poll(&p, 1, 1000));
    while ((n = read(0, buf, sizeof buf)) > 0) {
        printf("stdin %zd %u\n", n, sum(buf, (size_t)n));
        total += (size_t)n;
    }
    printf("stdin %zu\n", total);
}

static void files(const char *dir)
{
    static char data[200000];
    char path[300], back[5000];
    struct stat st = {0};
    snprintf(path, sizeof path, "%s/file", dir);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (char)rand();
    }
    int fd = open(path, O_RDWR | O_CREAT, 0644);
    if (fd < 0) {
        printf("open: %s\n", strerror(errno));
        return;
    }
    printf("write %zd\n", write(fd, data, sizeof data));
    printf("pread %zd", pread(fd, back, sizeof back, 1234));
    printf(" %u\n", sum(back, sizeof back));
    fstat(fd, &st);
    printf("size %lld inode %llu changed %lld\n", (long long)st.st_size,
           (unsigned long long)st.st_ino, (long long)st.st_mtime);
    close(fd);
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        printf("entry %s\n", e->d_name);
    }
    closedir(d);
    fd = open(strcat(path, "/nothing"), O_RDONLY);
    printf("no file: %s\n", fd < 0 ? strerror(errno) : "");
}

static void connection(int listener)
{
    char buf[200];
    int fd, n = 0;
    uint16_t flags;
    struct vec v = {buf, sizeof buf};
    int error = wasi_sock_accept(listener, 0, &fd);
    error = error == 0 ? wasi_sock_recv(fd, &v, 1, 0, &n, &flags) : error;
    printf("connection %d: %.*s\n", error, n, buf);
    v.len = (uint32_t)n;
    printf("sent %d\n", wasi_sock_send(fd, &v, 1, 0, &n));
}

int main(int argc, char **argv)
{
    unsigned char dice[100];
    const char *dir = argc > 1 ? argv[1] : "/", *end = argc > 2 ? argv[2] : "0";
    volatile double zero = 0, nan = zero / zero;
    const char *hello = getenv("HELLO");
    getentropy(dice, sizeof dice);
    srand(sum(dice, sizeof dice));
    printf("arguments %d %s\nenvironment %s\n", argc, argv[0], hello != NULL ? hello : "-");
    printf("random %u\nnan %016llx\n", sum(dice, sizeof dice),
           (unsigned long long)*(volatile uint64_t *)&nan);
    clocks();
    input();
    files(dir);
    if (strcmp(end, "accept") == 0) {
        connection(4);
    }
    size_t grown = __builtin_wasm_memory_grow(0, 1600);
    printf("100 MiB: %s\n", grown != (size_t)-1 ? "yes" : "no");
    fflush(stdout);
    fprintf(stderr, "at its end: %s\n", end);
    if (strcmp(end, "trap") == 0) {
        __builtin_trap();
    }
    for (volatile int on = strcmp(end, "spin") == 0; on;) {
    }
    return atoi(end);
}
