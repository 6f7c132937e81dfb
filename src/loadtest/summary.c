/* What a load test came to, for people and as JSON. */
#include <stdio.h>
#include <string.h>
#include "loadtest/loadtest_in.h"
#include "base/json_write.h"

static const struct percentile {
    const char *name, *key;
    unsigned per_mille;
} percentiles[] = {{"P50", "latency_p50_ms", 500},
                   {"P90", "latency_p90_ms", 900},
                   {"P95", "latency_p95_ms", 950},
                   {"P99", "latency_p99_ms", 990},
                   {"P99.9", "latency_p99_9_ms", 999}};
#define PERCENTILES (sizeof percentiles / sizeof percentiles[0])

static unsigned long long ull(uint64_t n)
{
    return n;
}

void cis_loadtest_put_hundredths(struct cis_buf *out, uint64_t hundredths)
{
    cis_buf_printf(out, "%llu.%02llu", ull(hundredths / 100), ull(hundredths % 100));
}

void cis_loadtest_put_ms(struct cis_buf *out, uint64_t us)
{
    cis_buf_printf(out, "%llu.%03llu", ull(us / 1000), ull(us % 1000));
}

void cis_loadtest_put_rate(struct cis_buf *out, uint64_t n, uint64_t ms)
{
    double rate = ms > 0 ? (double)n * 1e5 / (double)ms : 0;
    cis_loadtest_put_hundredths(out, rate < 1e18 ? (uint64_t)rate : UINT64_C(1000000000000000000));
}

static uint64_t average(const struct cis_histogram *h)
{
    return h->n > 0 ? h->sum / h->n : 0;
}

/* ---- for people ---- */
static void put_latency(const cis_loadtest *t, struct cis_buf *out)
{
    const struct cis_histogram *h = &t->us;
    cis_buf_text(out, "\nLatency Statistics:\n  Average: ");
    cis_loadtest_put_hundredths(out, average(h) / 10);
    cis_buf_text(out, "ms\n");
    for (size_t i = 0; i < PERCENTILES; i++) {
        cis_buf_printf(out, "  %s: ", percentiles[i].name);
        cis_loadtest_put_hundredths(out,
                                    cis_histogram_percentile(h, percentiles[i].per_mille) / 10);
        cis_buf_text(out, "ms\n");
    }
    cis_buf_text(out, "  Min: ");
    cis_loadtest_put_hundredths(out, h->min / 10);
    cis_buf_text(out, "ms\n  Max: ");
    cis_loadtest_put_hundredths(out, h->max / 10);
    cis_buf_text(out, "ms\n");
}

static void put_counts(const cis_loadtest *t, struct cis_buf *out)
{
    uint64_t ms = cis_loadtest_millis(t);
    cis_buf_printf(out, "\nRequests: %llu successful, %llu failed, ",
                   ull(t->counts[COUNT_SUCCESSFUL]), ull(t->counts[COUNT_FAILED]));
    cis_loadtest_put_rate(out, t->counts[COUNT_ANSWERED], ms);
    cis_buf_printf(out, "/s over %llu.%llu s\n", ull(ms / 1000), ull(ms % 1000 / 100));
    for (size_t i = 0; i < STATUSES; i++) {
        if (t->statuses[i] > 0) {
            cis_buf_printf(out, "  Status %zu: %llu\n", i, ull(t->statuses[i]));
        }
    }
    for (size_t i = 0; i < t->nerrors; i++) {
        cis_buf_printf(out, "  %s: %llu\n", t->errors[i].name, ull(t->errors[i].n));
    }
    cis_buf_printf(out, "Users: %llu completed, %llu failed\n", ull(t->counts[COUNT_COMPLETED]),
                   ull(t->counts[COUNT_USERS_FAILED]));
    if (t->counts[COUNT_ASSERTIONS] > 0) {
        cis_buf_printf(out, "Assertions: %llu, %llu failed\n", ull(t->counts[COUNT_ASSERTIONS]),
                       ull(t->counts[COUNT_ASSERTIONS_FAILED]));
    }
}

void cis_loadtest_text(const cis_loadtest *t, struct cis_buf *out)
{
    struct cis_threshold_numbers numbers = cis_loadtest_numbers(t);
    cis_buf_text(out, "\n📈 Load Test Summary\n");
    for (int i = 0; i < 39; i++) {
        cis_buf_text(out, "═");
    }
    cis_buf_printf(out, "\nScenario: %s\nTotal users spawned: %llu\nTotal actions executed: %llu\n",
                   t->scenario, ull(t->counts[COUNT_USERS]), ull(t->counts[COUNT_ANSWERED]));
    if (t->us.n > 0) {
        put_latency(t, out);
    }
    if (t->npools > 0) {
        cis_buf_text(out, "\nIP Pool Statistics:\n");
    }
    for (size_t i = 0; i < t->npools; i++) {
        const struct pool_sum *p = &t->pools[i];
        cis_buf_printf(out, "  Pool '%s': %llu allocated, %llu available (total: %llu)\n", p->name,
                       ull(p->allocated), ull(p->available), ull(p->total));
    }
    put_counts(t, out);
    for (size_t i = 0; i < t->nthresholds; i++) {
        double value;
        char text[32];
        bool holds = cis_threshold_holds(&t->thresholds[i], &numbers, &value);
        cis_threshold_value(&t->thresholds[i], value, text);
        cis_buf_printf(out, "%s %s (%s)\n", holds ? "✓" : "✗", t->thresholds[i].text, text);
    }
}

/* ---- JSON ---- */
static void json_ms(struct cis_buf *out, const char *key, uint64_t us)
{
    cis_json_write(out, CIS_JSON(CIS_J_KEY(cis_str_of(key))));
    cis_loadtest_put_ms(out, us);
}

static void json_count(struct cis_buf *out, const char *key, uint64_t n)
{
    cis_json_write(out, CIS_JSON(CIS_J(key, n)));
}

static void json_histogram(const struct cis_histogram *h, struct cis_buf *out)
{
    cis_json_write(out, CIS_JSON(CIS_J_LIST("latency_us")));
    for (size_t i = 0; i < CIS_HISTOGRAM_BUCKETS; i++) {
        if (h->counts[i] > 0) {
            cis_json_write(out, CIS_JSON(CIS_J(NULL, i), CIS_J(NULL, h->counts[i])));
        }
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END));
}

static void json_latency(const cis_loadtest *t, struct cis_buf *out)
{
    json_ms(out, "latency_average_ms", average(&t->us));
    json_ms(out, "latency_min_ms", t->us.min);
    for (size_t i = 0; i < PERCENTILES; i++) {
        json_ms(out, percentiles[i].key,
                cis_histogram_percentile(&t->us, percentiles[i].per_mille));
    }
    json_ms(out, "latency_max_ms", t->us.max);
    json_ms(out, "start_delay_p99_ms", cis_histogram_percentile(&t->delay, 990));
}

static void json_maps(const cis_loadtest *t, struct cis_buf *out)
{
    cis_json_write(out, CIS_JSON(CIS_J_OPEN("statuses")));
    for (size_t i = 0; i < STATUSES; i++) {
        char status[24];
        snprintf(status, sizeof status, "%zu", i);
        if (t->statuses[i] > 0) {
            cis_json_write(out, CIS_JSON(CIS_J(status, t->statuses[i])));
        }
    }
    cis_json_write(out, CIS_JSON(CIS_J_CLOSE, CIS_J_OPEN("errors")));
    for (size_t i = 0; i < t->nerrors; i++) {
        cis_json_write(
            out, CIS_JSON(CIS_J_KEY(cis_str_of(t->errors[i].name)), CIS_J(NULL, t->errors[i].n)));
    }
    cis_json_write(out, CIS_JSON(CIS_J_CLOSE, CIS_J_LIST("pools")));
    for (size_t i = 0; i < t->npools; i++) {
        const struct pool_sum *p = &t->pools[i];
        cis_json_object(out, CIS_JSON(CIS_J("id", p->name), CIS_J("allocated", p->allocated),
                                      CIS_J("available", p->available), CIS_J("total", p->total),
                                      CIS_J("peak", p->peak)));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END));
}

static void json_thresholds(const cis_loadtest *t, struct cis_buf *out)
{
    struct cis_threshold_numbers numbers = cis_loadtest_numbers(t);
    cis_json_write(out, CIS_JSON(CIS_J_LIST("thresholds")));
    for (size_t i = 0; i < t->nthresholds; i++) {
        double value;
        char text[32];
        bool holds = cis_threshold_holds(&t->thresholds[i], &numbers, &value);
        cis_threshold_value(&t->thresholds[i], value, text);
        cis_json_object(out, CIS_JSON(CIS_J("threshold", t->thresholds[i].text),
                                      CIS_J("value", text), CIS_J("ok", holds)));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END));
}

static void json_points(const cis_loadtest *t, struct cis_buf *out)
{
    cis_json_write(out, CIS_JSON(CIS_J_LIST("course")));
    for (size_t i = 0; i < t->npoints; i++) {
        const struct point *p = &t->points[i];
        cis_json_write(out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("at_ms", i * t->interval_ms),
                                     CIS_J("requests", p->requests), CIS_J("failed", p->failed),
                                     CIS_J("users", p->users)));
        json_ms(out, "p50_ms", cis_loadtest_point_percentile(p, 500));
        json_ms(out, "p95_ms", cis_loadtest_point_percentile(p, 950));
        json_ms(out, "p99_ms", cis_loadtest_point_percentile(p, 990));
        cis_json_write(out, CIS_JSON(CIS_J_CLOSE));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END));
}

void cis_loadtest_json(const cis_loadtest *t, struct cis_buf *out)
{
    uint64_t ms = cis_loadtest_millis(t), peak = 0;
    for (size_t i = 0; i < t->ninstances; i++) {
        cis_loadtest_sum(&peak, t->instances[i].peak);
    }
    cis_json_write(out, CIS_JSON(CIS_J("scenario", t->scenario)));
    json_count(out, "instances", t->ninstances);
    json_count(out, "total_requests", cis_loadtest_requests(t));
    json_count(out, "successful", t->counts[COUNT_SUCCESSFUL]);
    json_count(out, "failed", t->counts[COUNT_FAILED]);
    json_latency(t, out);
    json_ms(out, "duration_seconds", ms);
    cis_json_write(out, CIS_JSON(CIS_J_KEY(CIS_STR("throughput_rps"))));
    cis_loadtest_put_rate(out, t->counts[COUNT_ANSWERED], ms);
    json_count(out, "users", t->counts[COUNT_USERS]);
    json_count(out, "users_completed", t->counts[COUNT_COMPLETED]);
    json_count(out, "users_failed", t->counts[COUNT_USERS_FAILED]);
    json_count(out, "users_peak", peak);
    json_count(out, "assertions", t->counts[COUNT_ASSERTIONS]);
    json_count(out, "assertions_failed", t->counts[COUNT_ASSERTIONS_FAILED]);
    json_maps(t, out);
    json_thresholds(t, out);
    json_points(t, out);
    json_histogram(&t->us, out);
}
