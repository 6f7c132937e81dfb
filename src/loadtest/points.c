/* The course of a load test: at most POINTS_MAX points of the same length, which doubles when there
 * would be more. */
#include "loadtest/loadtest_in.h"

#include <string.h>

static void fold(cis_loadtest *test)
{
    size_t n = (test->npoints + 1) / 2;
    for (size_t i = 0; i < n; i++) {
        struct point *to = &test->points[i];
        const struct point *a = &test->points[2 * i];
        const struct point *b = 2 * i + 1 < test->npoints ? a + 1 : NULL;
        memmove(to, a, sizeof *to);
        if (b != NULL) {
            cis_loadtest_sum(&to->requests, b->requests);
            cis_loadtest_sum(&to->failed, b->failed);
            cis_loadtest_sum(&to->answers, b->answers);
            to->users = b->users > to->users ? b->users : to->users;
            for (size_t k = 0; k < COARSE_BUCKETS; k++) {
                cis_loadtest_sum(&to->latency[k], b->latency[k]);
            }
        }
    }
    memset(&test->points[n], 0, (test->npoints - n) * sizeof *test->points);
    test->npoints = n;
    test->interval_ms *= 2;
}

struct point *cis_loadtest_point(cis_loadtest *test, uint64_t ms)
{
    while (ms / test->interval_ms >= POINTS_MAX) {
        fold(test);
    }
    size_t at = (size_t)(ms / test->interval_ms);
    test->npoints = at >= test->npoints ? at + 1 : test->npoints;
    return &test->points[at];
}

void cis_loadtest_point_add(struct point *point, uint64_t us, uint64_t count)
{
    us = us >> 42 != 0 ? (UINT64_C(1) << 42) - 1 : us;
    unsigned shift = us < 32 ? 0 : 59 - (unsigned)__builtin_clzll(us);
    cis_loadtest_sum(&point->latency[shift * 16 + (us >> shift)], count);
    cis_loadtest_sum(&point->answers, count);
}

/* The largest value of the bucket. */
static uint64_t top_of(size_t bucket)
{
    size_t shift = bucket < 32 ? 0 : bucket / 16 - 1;
    return (((uint64_t)(bucket - shift * 16) + 1) << shift) - 1;
}

uint64_t cis_loadtest_point_percentile(const struct point *point, unsigned per_mille)
{
    uint64_t n = point->answers, seen = 0;
    uint64_t place = n / 1000 * per_mille + n % 1000 * per_mille / 1000;
    for (size_t i = 0; n > 0 && i < COARSE_BUCKETS; i++) {
        cis_loadtest_sum(&seen, point->latency[i]);
        if (seen > place) {
            return top_of(i);
        }
    }
    return 0;
}
