/* What `run-scenario` returns: the text, then a line of JSON. */
#include <stdlib.h>
#include <string.h>
#include "run.h"
#include "text.h"

void summary_text(struct text *out, const struct scenario *s, const struct pools *pools,
                  const struct totals *t)
{
    text_add(out, "\n📈 Load Test Summary\n");
    for (int i = 0; i < 39; i++) {
        text_add(out, "═");
    }
    text_format(out, "\nScenario: %s\nTotal users spawned: %llu\nTotal actions executed: %llu\n",
                s->name, (unsigned long long)t->users, (unsigned long long)t->actions);
    if (t->actions > 0) {
        const struct cis_histogram *h = &t->ms;
        text_format(out,
                    "\nLatency Statistics:\n  Average: %.2fms\n  P50: %llums\n  P95: %llums\n"
                    "  P99: %llums\n  Min: %llums\n  Max: %llums\n",
                    (double)h->sum / (double)h->n,
                    (unsigned long long)cis_histogram_percentile(h, 500),
                    (unsigned long long)cis_histogram_percentile(h, 950),
                    (unsigned long long)cis_histogram_percentile(h, 990),
                    (unsigned long long)h->min, (unsigned long long)h->max);
    }
    if (s->load.bound) {
        text_add(out, "\nIP Pool Statistics:\n");
        for (size_t i = 0; i < pools->n; i++) {
            const struct pool *p = &pools->list[i];
            text_format(out, "  Pool '%s': %u allocated, %u available (total: %u)\n", p->def->id,
                        p->allocated, pool_available(p), p->total - p->reserved);
        }
    }
}

static json_t *whole(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *ms_of(uint64_t us)
{
    return json_real((double)us / 1000);
}

static void put_latency(json_t *to, const struct cis_histogram *h)
{
    static const struct {
        const char *name;
        unsigned at;
    } rows[] = {{"latency_p50_ms", 500},
                {"latency_p90_ms", 900},
                {"latency_p95_ms", 950},
                {"latency_p99_ms", 990},
                {"latency_p99_9_ms", 999}};
    json_object_set_new(to, "latency_average_ms",
                        json_real(h->n > 0 ? (double)h->sum / (double)h->n / 1000 : 0));
    json_object_set_new(to, "latency_min_ms", ms_of(h->min));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_object_set_new(to, rows[i].name, ms_of(cis_histogram_percentile(h, rows[i].at)));
    }
    json_object_set_new(to, "latency_max_ms", ms_of(h->max));
}

static json_t *statuses(const struct totals *t)
{
    json_t *out = json_object();
    for (unsigned i = 0; i < 600; i++) {
        char name[16];
        if (t->statuses[i] > 0) {
            struct text number = TEXT_INIT(sizeof name);
            text_format(&number, "%u", i);
            json_object_set_new(out, number.at, whole(t->statuses[i]));
            text_done(&number);
        }
    }
    return out;
}

json_t *pools_json(const struct pools *pools)
{
    json_t *out = json_array();
    for (size_t i = 0; i < pools->n; i++) {
        const struct pool *p = &pools->list[i];
        json_t *one = json_object();
        json_object_set_new(one, "id", json_string(p->def->id));
        json_object_set_new(one, "allocated", whole(p->allocated));
        json_object_set_new(one, "available", whole(pool_available(p)));
        json_object_set_new(one, "total", whole(p->total - p->reserved));
        json_object_set_new(one, "peak", whole(p->peak));
        json_array_append_new(out, one);
    }
    return out;
}

static json_t *thresholds_json(const struct scenario *s, const struct totals *t)
{
    json_t *out = json_array();
    struct cis_threshold_numbers numbers = {&t->us, t->successful + t->failed, t->failed,
                                            t->actions, (double)t->took / 1e9};
    for (size_t i = 0; i < s->nthresholds; i++) {
        char text[32];
        double value;
        json_t *one = json_object();
        bool ok = cis_threshold_holds(&s->thresholds[i], &numbers, &value);
        cis_threshold_value(&s->thresholds[i], value, text);
        json_object_set_new(one, "threshold", json_string(s->thresholds[i].text));
        json_object_set_new(one, "value", json_string(text));
        json_object_set_new(one, "ok", json_boolean(ok));
        json_array_append_new(out, one);
    }
    return out;
}

void summary_json(struct text *out, const struct scenario *s, const struct pools *pools,
                  const struct totals *t)
{
    double seconds = (double)t->took / 1e9;
    json_t *j = json_object();
    json_object_set_new(j, "scenario", json_string(s->name));
    json_object_set_new(j, "total_requests", whole(t->successful + t->failed));
    json_object_set_new(j, "successful", whole(t->successful));
    json_object_set_new(j, "failed", whole(t->failed));
    put_latency(j, &t->us);
    json_object_set_new(j, "start_delay_p99_ms", ms_of(cis_histogram_percentile(&t->late, 990)));
    json_object_set_new(j, "duration_seconds", json_real(seconds));
    json_object_set_new(j, "throughput_rps",
                        json_real(seconds > 0 ? (double)t->actions / seconds : 0));
    json_object_set_new(j, "statuses", statuses(t));
    json_object_set(j, "errors", t->errors);
    json_object_set_new(j, "users", whole(t->users));
    json_object_set_new(j, "users_completed", whole(t->users_completed));
    json_object_set_new(j, "users_failed", whole(t->users_failed));
    json_object_set_new(j, "users_peak", whole(t->users_peak));
    json_object_set_new(j, "assertions", whole(t->assertions));
    json_object_set_new(j, "assertions_failed", whole(t->assertions_failed));
    json_object_set_new(j, "pools", pools_json(pools));
    json_object_set_new(j, "thresholds", thresholds_json(s, t));
    char *line = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (line != NULL) {
        text_format(out, "\n%s\n", line);
    }
    free(line);
    json_decref(j);
}
