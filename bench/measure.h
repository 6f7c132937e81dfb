/* Timing for the bench programs: percentiles over many samples, medians over rounds. Figures are
 * printed, never asserted. */
#ifndef CIS_BENCH_MEASURE_H
#define CIS_BENCH_MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline int bench_order(const void *a, const void *b)
{
    double x, y;
    __builtin_memcpy(&x, a, sizeof x);
    __builtin_memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

/* Sorts the samples; p in 0..100. */
static inline double bench_percentile(double *samples, size_t n, double p)
{
    qsort(samples, n, sizeof *samples, bench_order);
    size_t at = (size_t)((double)(n - 1) * p / 100.0);
    return samples[at];
}

struct bench_spread {
    double min, median, max;
};

static inline struct bench_spread bench_spread(double *rounds, size_t n)
{
    qsort(rounds, n, sizeof *rounds, bench_order);
    return (struct bench_spread){rounds[0], rounds[n / 2], rounds[n - 1]};
}

static inline long bench_rss_kib(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long total = 0, resident = 0;
    if (f != NULL) {
        if (fscanf(f, "%ld %ld", &total, &resident) != 2) {
            resident = 0;
        }
        fclose(f);
    }
    return resident * 4;
}

#endif
