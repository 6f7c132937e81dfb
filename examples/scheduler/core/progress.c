#include "progress.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "options.h"

#define RECORD_MAX ((size_t)2 << 20)

static json_t *whole(uint64_t n)
{
    return json_integer((json_int_t)n);
}

/* "latency_us":[bucket,count,…] of what is new. */
static void put_buckets(struct text *to, const char *name, const struct cis_histogram *now,
                        const struct cis_histogram *told)
{
    const char *comma = "";
    text_format(to, ",\"%s\":[", name);
    for (size_t i = 0; now->n != told->n && i < CIS_HISTOGRAM_BUCKETS; i++) {
        if (now->counts[i] != told->counts[i]) {
            text_format(to, "%s%zu,%llu", comma, i,
                        (unsigned long long)(now->counts[i] - told->counts[i]));
            comma = ",";
        }
    }
    text_add(to, "]");
    if (now->n > 0) {
        text_format(to, ",\"%s_sum\":%llu,\"%s_min\":%llu,\"%s_max\":%llu", name,
                    (unsigned long long)(now->sum - told->sum), name, (unsigned long long)now->min,
                    name, (unsigned long long)now->max);
    }
}

static json_t *new_statuses(const struct totals *now, const struct totals *told)
{
    json_t *out = json_object();
    for (unsigned i = 0; i < 600; i++) {
        if (now->statuses[i] != told->statuses[i]) {
            char name[16];
            snprintf(name, sizeof name, "%u", i);
            json_object_set_new(out, name, whole(now->statuses[i] - told->statuses[i]));
        }
    }
    return out;
}

static json_t *new_errors(const struct totals *now, const struct totals *told)
{
    json_t *out = json_object(), *n;
    const char *name;
    json_object_foreach(now->errors, name, n)
    {
        json_int_t more =
            json_integer_value(n) - json_integer_value(json_object_get(told->errors, name));
        if (more != 0) {
            json_object_set_new(out, name, json_integer(more));
        }
    }
    return out;
}

static void put_counts(json_t *to, const struct totals *now, const struct totals *told)
{
    const struct {
        const char *name;
        uint64_t now, told;
    } rows[] = {{"users", now->users, told->users},
                {"users_completed", now->users_completed, told->users_completed},
                {"users_failed", now->users_failed, told->users_failed},
                {"answered", now->actions, told->actions},
                {"successful", now->successful, told->successful},
                {"failed", now->failed, told->failed},
                {"assertions", now->assertions, told->assertions},
                {"assertions_failed", now->assertions_failed, told->assertions_failed}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].now != rows[i].told) {
            json_object_set_new(to, rows[i].name, whole(rows[i].now - rows[i].told));
        }
    }
}

/* Takes `more`, whose members come first. */
static void tell(struct progress *p, const struct totals *t, uint64_t users, uint64_t now,
                 json_t *more)
{
    struct text line = TEXT_INIT(RECORD_MAX);
    struct totals *told = &p->told;
    json_object_set_new(more, "at_ms", whole((now - p->start) / MS));
    json_object_set_new(more, "active", whole(users));
    json_object_set_new(more, "users_peak", whole(t->users_peak));
    put_counts(more, t, told);
    json_object_set_new(more, "statuses", new_statuses(t, told));
    json_object_set_new(more, "errors", new_errors(t, told));
    char *text = json_dumps(more, JSON_COMPACT);
    json_decref(more);
    text_add(&line, "\x1e");
    text_put(&line, text, strlen(text) - 1); /* without its last brace */
    free(text);
    put_buckets(&line, "latency_us", &t->us, &told->us);
    put_buckets(&line, "delay_us", &t->late, &told->late);
    text_add(&line, "}\n");
    fwrite(line.at, 1, line.len, stdout);
    fflush(stdout);
    text_done(&line);
    json_t *errors = told->errors;
    *told = *t;
    told->errors = errors;
    json_object_clear(errors);
    json_object_update(errors, t->errors);
    p->next = now + p->interval;
}

struct progress *progress_begin(const struct scenario *s, uint64_t start)
{
    if (options.progress == 0) {
        return NULL;
    }
    struct progress *p = need(sizeof *p);
    struct totals *none = need(sizeof *none);
    json_t *first = json_object(), *thresholds = json_array();
    p->interval = options.progress;
    p->start = start;
    p->told.errors = json_object();
    none->errors = json_object();
    for (size_t i = 0; i < s->nthresholds; i++) {
        json_array_append_new(thresholds, json_string(s->thresholds[i].text));
    }
    json_object_set_new(first, "scenario", json_string(s->name));
    json_object_set_new(first, "thresholds", thresholds);
    tell(p, none, 0, start, first);
    json_decref(none->errors);
    free(none);
    return p;
}

uint64_t progress_due(const struct progress *p)
{
    return p != NULL ? p->next : UINT64_MAX;
}

void progress_tell(struct progress *p, const struct totals *t, uint64_t users, uint64_t now)
{
    tell(p, t, users, now, json_object());
}

void progress_end(struct progress *p, const struct totals *t, const struct pools *pools,
                  uint64_t now)
{
    if (p == NULL) {
        return;
    }
    json_t *last = json_object();
    json_object_set_new(last, "end", json_true());
    json_object_set_new(last, "pools", pools_json(pools));
    tell(p, t, 0, now, last);
    json_decref(p->told.errors);
    free(p);
}
