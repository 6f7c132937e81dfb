/* Durations in a histogram of high dynamic range: counts in buckets whose width is at most 1/1024
 * of the value, from one unit to 2^42 units. Values below 2048 are exact. Plain C without anything
 * else: the scheduler's components (examples/scheduler) are built with it too. */
#ifndef CIS_LOADTEST_HISTOGRAM_H
#define CIS_LOADTEST_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CIS_HISTOGRAM_BUCKETS ((size_t)33 * 1024)
#define CIS_HISTOGRAM_MAX (UINT64_C(1) << 53) /* values that are counted */

struct cis_histogram {
    uint64_t counts[CIS_HISTOGRAM_BUCKETS];
    uint64_t n, sum, min, max;
};

void cis_histogram_add(struct cis_histogram *h, uint64_t value);
/* That many more in a bucket, as another histogram says; sum, min and max are the caller's matter.
 * false: there is no such bucket, or they are more than CIS_HISTOGRAM_MAX; nothing is added. */
bool cis_histogram_add_bucket(struct cis_histogram *h, uint64_t bucket, uint64_t count);
/* The largest value that is counted in a bucket. */
uint64_t cis_histogram_top(size_t bucket);
/* The value at a place, from 0, in the order of size; within the bucket's width above it. */
uint64_t cis_histogram_at(const struct cis_histogram *h, uint64_t place);
/* The value at n * per_mille / 1000. 0 without values. */
uint64_t cis_histogram_percentile(const struct cis_histogram *h, unsigned per_mille);

#endif
