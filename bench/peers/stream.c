/* Bytes through standard streams, timed by the program's own clock. "ROW MIB-A-SECOND" on stderr.
 *
 *   stream write MIB BUFFER    to stdout
 *   stream read BUFFER         from stdin, until its end */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 20];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double writing(double mib, size_t size)
{
    double left = mib * (1 << 20);
    memset(buffer, 'x', sizeof buffer);
    while (left > 0) {
        ssize_t n = write(STDOUT_FILENO, buffer, left < (double)size ? (size_t)left : size);
        if (n <= 0) {
            perror("write");
            exit(1);
        }
        left -= (double)n;
    }
    return mib;
}

static double reading(size_t size)
{
    double all = 0;
    ssize_t n;
    while ((n = read(STDIN_FILENO, buffer, size)) > 0) {
        all += (double)n;
    }
    if (n < 0) {
        perror("read");
        exit(1);
    }
    return all / (1 << 20);
}

int main(int argc, char **argv)
{
    double begin = now(), mib;
    if (argc == 4 && strcmp(argv[1], "write") == 0) {
        mib = writing(strtod(argv[2], NULL), (size_t)strtol(argv[3], NULL, 10));
    } else if (argc == 3 && strcmp(argv[1], "read") == 0) {
        mib = reading((size_t)strtol(argv[2], NULL, 10));
    } else {
        fprintf(stderr, "usage: stream write MIB BUFFER | read BUFFER\n");
        return 2;
    }
    fprintf(stderr, "%s %f\n", argv[1], mib / (now() - begin));
    return 0;
}
