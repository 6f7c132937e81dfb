#include "loadtest/threshold.h"
#include <stdio.h>
#include <string.h>

struct reader {
    const char *at, *end;
};

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t')) {
        r->at++;
    }
}

static bool take(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0) {
        return false;
    }
    r->at += n;
    return true;
}

/* "12", "0.5": at most nine digits before the point, and six behind it. */
static bool take_number(struct reader *r, double *out)
{
    double value = 0, unit = 1;
    int whole = 0, part = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++, whole++) {
        value = value * 10 + (*r->at - '0');
    }
    if (whole > 0 && take(r, ".")) {
        for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++, part++) {
            unit /= 10;
            value += unit * (*r->at - '0');
        }
        whole = part == 0 ? 0 : whole;
    }
    *out = value;
    return whole > 0 && whole <= 9 && part <= 6;
}

static bool take_metric(struct reader *r, struct cis_threshold *t)
{
    static const struct {
        const char *name;
        enum cis_threshold_metric metric;
    } rows[] = {{"avg", CIS_THRESHOLD_AVERAGE},
                {"min", CIS_THRESHOLD_MIN},
                {"max", CIS_THRESHOLD_MAX},
                {"error_rate", CIS_THRESHOLD_ERROR_RATE},
                {"throughput", CIS_THRESHOLD_THROUGHPUT},
                {"requests", CIS_THRESHOLD_REQUESTS}};
    double percent;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (take(r, rows[i].name)) {
            t->metric = rows[i].metric;
            return true;
        }
    }
    if (!take(r, "p") || !take_number(r, &percent) || percent <= 0 || percent > 100) {
        return false;
    }
    t->metric = CIS_THRESHOLD_PERCENTILE;
    t->per_mille = (unsigned)(percent * 10 + 0.5);
    return true;
}

static bool is_latency(const struct cis_threshold *t)
{
    return t->metric <= CIS_THRESHOLD_PERCENTILE;
}

/* The unit that belongs to the metric. */
static bool take_unit(struct reader *r, struct cis_threshold *t)
{
    if (is_latency(t)) {
        double us = take(r, "us") ? 1 : take(r, "ms") ? 1000 : take(r, "s") ? 1e6 : 0;
        t->limit *= us;
        return us != 0;
    }
    if (t->metric == CIS_THRESHOLD_ERROR_RATE) {
        t->limit /= take(r, "%") ? 100 : 1;
    } else if (t->metric == CIS_THRESHOLD_THROUGHPUT) {
        (void)take(r, "/s");
    }
    return true;
}

bool cis_threshold_parse(const char *text, size_t n, struct cis_threshold *out)
{
    struct cis_threshold t = {0};
    struct reader r = {text, text + n};
    if (n >= sizeof t.text) {
        return false;
    }
    memcpy(t.text, text, n);
    skip_blanks(&r);
    bool ok = take_metric(&r, &t);
    skip_blanks(&r);
    t.less = take(&r, "<");
    ok = ok && (t.less || take(&r, ">"));
    t.equal = take(&r, "=");
    skip_blanks(&r);
    ok = ok && take_number(&r, &t.limit);
    skip_blanks(&r);
    ok = ok && take_unit(&r, &t);
    skip_blanks(&r);
    if (!ok || r.at != r.end) {
        return false;
    }
    *out = t;
    return true;
}

static double value_of(const struct cis_threshold *t, const struct cis_threshold_numbers *n)
{
    const struct cis_histogram *h = n->us;
    switch (t->metric) {
    case CIS_THRESHOLD_AVERAGE:
        return h->n > 0 ? (double)h->sum / (double)h->n : 0;
    case CIS_THRESHOLD_MIN:
        return (double)h->min;
    case CIS_THRESHOLD_MAX:
        return (double)h->max;
    case CIS_THRESHOLD_PERCENTILE:
        return (double)cis_histogram_percentile(h, t->per_mille);
    case CIS_THRESHOLD_ERROR_RATE:
        return n->requests > 0 ? (double)n->failed / (double)n->requests : 0;
    case CIS_THRESHOLD_THROUGHPUT:
        return n->seconds > 0 ? (double)n->answered / n->seconds : 0;
    case CIS_THRESHOLD_REQUESTS:
        break;
    }
    return (double)n->requests;
}

bool cis_threshold_holds(const struct cis_threshold *t, const struct cis_threshold_numbers *numbers,
                         double *out_value)
{
    double value = value_of(t, numbers);
    *out_value = value;
    if (is_latency(t) ? numbers->us->n == 0 : numbers->requests == 0) {
        return false;
    }
    return (t->less ? value < t->limit : value > t->limit) || (t->equal && value == t->limit);
}

void cis_threshold_value(const struct cis_threshold *t, double value, char out[32])
{
    bool rate = t->metric == CIS_THRESHOLD_ERROR_RATE;
    bool count = t->metric == CIS_THRESHOLD_REQUESTS;
    const char *unit = is_latency(t) ? "ms" : rate ? "%" : count ? "" : "/s";
    value = is_latency(t) ? value / 1000 : rate ? value * 100 : value;
    uint64_t hundredths =
        value < 1e15 ? (uint64_t)(value * 100 + 0.5) : UINT64_C(100000000000000000);
    unsigned long long whole = hundredths / 100, part = hundredths % 100;
    if (count) {
        snprintf(out, 32, "%llu", whole);
    } else {
        snprintf(out, 32, "%llu.%02llu%s", whole, part, unit);
    }
}
