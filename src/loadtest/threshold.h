/* What a load test has to keep to: "p99 < 200ms", "error_rate < 1%", "throughput > 100/s". Plain C
 * without anything else but the histogram: the scheduler's components are built with it too. */
#ifndef CIS_LOADTEST_THRESHOLD_H
#define CIS_LOADTEST_THRESHOLD_H

#include "loadtest/histogram.h"

#define CIS_THRESHOLD_TEXT_MAX 64u
#define CIS_THRESHOLD_EXAMPLES "p99 < 200ms, error_rate < 1%, throughput > 100/s"

enum cis_threshold_metric {
    CIS_THRESHOLD_AVERAGE, /* avg, min, max, p50, p99.9: latencies, in us */
    CIS_THRESHOLD_MIN,
    CIS_THRESHOLD_MAX,
    CIS_THRESHOLD_PERCENTILE,
    CIS_THRESHOLD_ERROR_RATE, /* of the requests, those without an answer of 2xx: 0 to 1 */
    CIS_THRESHOLD_THROUGHPUT, /* answers a second */
    CIS_THRESHOLD_REQUESTS
};

struct cis_threshold {
    char text[CIS_THRESHOLD_TEXT_MAX]; /* as it was given, printable ASCII */
    enum cis_threshold_metric metric;
    unsigned per_mille; /* of a percentile */
    bool less, equal;   /* < or >; with = */
    double limit;       /* us, a part of 1, or a number */
};

/* What is compared. */
struct cis_threshold_numbers {
    const struct cis_histogram *us;
    uint64_t requests, failed, answered;
    double seconds;
};

bool cis_threshold_parse(const char *text, size_t n, struct cis_threshold *out);
/* Is it kept to? Without any request none is. *out_value is in the limit's unit. */
bool cis_threshold_holds(const struct cis_threshold *t, const struct cis_threshold_numbers *numbers,
                         double *out_value);
/* A value as the threshold's text would say it: "12.50ms", "0.10%", "99.20/s", "7". */
void cis_threshold_value(const struct cis_threshold *t, double value, char out[32]);

#endif
