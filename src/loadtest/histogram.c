#include "loadtest/histogram.h"

/* Bucket: the values below 2048 one each, then 1024 for each power of two. */
static size_t bucket_of(uint64_t value)
{
    if (value >> 42 != 0) {
        value = (UINT64_C(1) << 42) - 1;
    }
    unsigned shift = value < 2048 ? 0 : 53 - (unsigned)__builtin_clzll(value);
    return (size_t)shift * 1024 + (size_t)(value >> shift);
}

uint64_t cis_histogram_top(size_t bucket)
{
    size_t shift = bucket < 2048 ? 0 : bucket / 1024 - 1;
    uint64_t first = (uint64_t)(bucket - shift * 1024) << shift;
    return first + (UINT64_C(1) << shift) - 1;
}

void cis_histogram_add(struct cis_histogram *h, uint64_t value)
{
    h->counts[bucket_of(value)]++;
    h->min = h->n == 0 || value < h->min ? value : h->min;
    h->max = value > h->max ? value : h->max;
    h->sum += value;
    h->n++;
}

bool cis_histogram_add_bucket(struct cis_histogram *h, uint64_t bucket, uint64_t count)
{
    if (bucket >= CIS_HISTOGRAM_BUCKETS || count > CIS_HISTOGRAM_MAX - h->n) {
        return false;
    }
    h->counts[bucket] += count;
    h->n += count;
    return true;
}

uint64_t cis_histogram_at(const struct cis_histogram *h, uint64_t place)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < CIS_HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > place) {
            uint64_t top = cis_histogram_top(i);
            return top > h->max ? h->max : top;
        }
    }
    return h->max;
}

uint64_t cis_histogram_percentile(const struct cis_histogram *h, unsigned per_mille)
{
    uint64_t place = h->n / 1000 * per_mille + h->n % 1000 * per_mille / 1000;
    return h->n == 0 ? 0 : cis_histogram_at(h, place < h->n ? place : h->n - 1);
}
