#include "loadtest/loadtest_in.h"

#include <string.h>
#include "base/mem.h"

#define FIRST_INTERVAL_MS 500u

cis_code cis_loadtest_new(size_t instances, cis_loadtest **out, struct cis_error *err)
{
    cis_loadtest *t = cis_zalloc(sizeof *t);
    if (t != NULL) {
        t->ninstances = instances;
        t->interval_ms = FIRST_INTERVAL_MS;
        t->instances = cis_calloc(instances, sizeof *t->instances);
        t->points = cis_calloc(POINTS_MAX, sizeof *t->points);
    }
    if (t == NULL || t->instances == NULL || t->points == NULL) {
        if (t != NULL) {
            cis_free(t->instances);
            cis_free(t->points);
        }
        cis_free(t);
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return CIS_OK;
}

void cis_loadtest_free(cis_loadtest *t)
{
    if (t != NULL) {
        pthread_mutex_destroy(&t->lock);
        cis_free(t->instances);
        cis_free(t->points);
        cis_free(t);
    }
}

uint64_t cis_loadtest_requests(const cis_loadtest *t)
{
    uint64_t n = t->counts[COUNT_SUCCESSFUL];
    cis_loadtest_sum(&n, t->counts[COUNT_FAILED]);
    return n;
}

uint64_t cis_loadtest_millis(const cis_loadtest *t)
{
    uint64_t ms = 0;
    for (size_t i = 0; i < t->ninstances; i++) {
        ms = t->instances[i].at_ms > ms ? t->instances[i].at_ms : ms;
    }
    return ms;
}

void cis_loadtest_look(cis_loadtest *t, struct cis_loadtest_look *out)
{
    *out = (struct cis_loadtest_look){0};
    cis_mutex_lock(&t->lock, loadtest_lock);
    for (size_t i = 0; i < t->ninstances; i++) {
        cis_loadtest_sum(&out->users, t->instances[i].active);
    }
    out->requests = cis_loadtest_requests(t);
    out->failed = t->counts[COUNT_FAILED];
    out->new_requests = out->requests - t->looked;
    out->p50_us = cis_histogram_percentile(&t->since, 500);
    out->p95_us = cis_histogram_percentile(&t->since, 950);
    out->p99_us = cis_histogram_percentile(&t->since, 990);
    t->looked = out->requests;
    memset(&t->since, 0, sizeof t->since);
    cis_mutex_unlock(&t->lock, loadtest_lock);
}

bool cis_loadtest_any(const cis_loadtest *t)
{
    for (size_t i = 0; i < t->ninstances; i++) {
        if (t->instances[i].begun) {
            return true;
        }
    }
    return false;
}

bool cis_loadtest_ended(const cis_loadtest *t)
{
    for (size_t i = 0; i < t->ninstances; i++) {
        if (!t->instances[i].ended) {
            return false;
        }
    }
    return true;
}

struct cis_threshold_numbers cis_loadtest_numbers(const cis_loadtest *t)
{
    return (struct cis_threshold_numbers){&t->us, cis_loadtest_requests(t), t->counts[COUNT_FAILED],
                                          t->counts[COUNT_ANSWERED],
                                          (double)cis_loadtest_millis(t) / 1000};
}

bool cis_loadtest_failures(const cis_loadtest *t, struct cis_buf *out)
{
    struct cis_threshold_numbers numbers = cis_loadtest_numbers(t);
    uint64_t users = t->counts[COUNT_USERS_FAILED], wrong = t->counts[COUNT_ASSERTIONS_FAILED];
    bool decided = false;
    size_t before = out->len;
    for (size_t i = 0; i < t->nthresholds; i++) {
        double value;
        char text[32];
        bool holds = cis_threshold_holds(&t->thresholds[i], &numbers, &value);
        decided = decided || t->thresholds[i].metric == CIS_THRESHOLD_ERROR_RATE;
        if (!holds) {
            cis_threshold_value(&t->thresholds[i], value, text);
            cis_buf_printf(out, "threshold %s: it was %s\n", t->thresholds[i].text, text);
        }
    }
    if (wrong > 0) {
        cis_buf_printf(out, "%llu of %llu assertions failed\n", (unsigned long long)wrong,
                       (unsigned long long)t->counts[COUNT_ASSERTIONS]);
    }
    if (users > 0 && !decided) {
        cis_buf_printf(out, "%llu of %llu users failed\n", (unsigned long long)users,
                       (unsigned long long)t->counts[COUNT_USERS]);
    }
    return out->len > before;
}
