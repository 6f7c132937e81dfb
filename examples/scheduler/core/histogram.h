/* Durations in a histogram of high dynamic range: counts in buckets whose width is at most 1/1024
 * of the value, from one unit to 2^42 units. Values below 2048 are exact. */
#ifndef SCHEDULER_HISTOGRAM_H
#define SCHEDULER_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS ((size_t)33 * 1024)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t n, sum, min, max;
};

void histogram_add(struct histogram *h, uint64_t value);
/* The value at a place, from 0, in the order of size; within the bucket's width above it. */
uint64_t histogram_at(const struct histogram *h, uint64_t place);
/* The value at n * percent / 100. 0 without values. */
uint64_t histogram_percentile(const struct histogram *h, unsigned per_mille);

#endif
