/* Records: what a component says it counted, checked. */
#include <jansson.h>
#include <string.h>
#include "base/mem.h"
#include "loadtest/loadtest_in.h"

#define COUNT_MAX (UINT64_C(1) << 40) /* of one record */

static const char *const count_names[COUNTS] = {
#define X(id, name) [COUNT_##id] = name,
    CIS_LOADTEST_COUNTS(X)
#undef X
};

static cis_code whole(const json_t *in, const char *name, uint64_t max, uint64_t *out,
                      struct cis_error *err)
{
    const json_t *n = json_object_get(in, name);
    json_int_t value = json_integer_value(n);
    if (n != NULL && (!json_is_integer(n) || value < 0 || (uint64_t)value > max)) {
        return cis_fail(err, CIS_E_INVALID, "%.40s: not a whole number of 0 to %llu", name,
                        (unsigned long long)max);
    }
    *out = n != NULL ? (uint64_t)value : 0;
    return CIS_OK;
}

static void copy_name(char to[NAME_SIZE], const char *name)
{
    size_t n = cis_utf8_floor(name, strlen(name), NAME_SIZE - 1);
    for (size_t i = 0; i < n; i++) { /* a name is a part of one line */
        to[i] = (unsigned char)name[i] < 0x20 || name[i] == 0x7f ? ' ' : name[i];
    }
    to[n] = 0;
}

/* The place of a name in an array of structs that begin with it; the last one is for all that found
 * no place. */
static size_t place_of(void *list, size_t size, size_t *n, const char *name)
{
    char cut[NAME_SIZE];
    copy_name(cut, name);
    for (size_t i = 0; i < *n; i++) {
        if (strcmp((char *)list + i * size, cut) == 0) {
            return i;
        }
    }
    if (*n == NAMES_MAX) {
        return NAMES_MAX - 1;
    }
    copy_name((char *)list + *n * size, *n == NAMES_MAX - 1 ? "others" : name);
    return (*n)++;
}

static cis_code list_of(const json_t *in, const char *name, json_type type, const json_t **out,
                        struct cis_error *err)
{
    *out = json_object_get(in, name);
    if (*out != NULL && json_typeof(*out) != type) {
        return cis_fail(err, CIS_E_INVALID, "%.40s: not an %s", name,
                        type == JSON_ARRAY ? "array" : "object");
    }
    return CIS_OK;
}

/* ---- what only the first and the last record have ---- */
static cis_code take_head(cis_loadtest *t, const json_t *in, struct cis_error *err)
{
    const json_t *list, *name = json_object_get(in, "scenario");
    CIS_TRY(list_of(in, "thresholds", JSON_ARRAY, &list, err));
    if (json_is_string(name) && t->scenario[0] == 0) {
        copy_name(t->scenario, json_string_value(name));
    }
    if (t->nthresholds > 0) { /* another instance was first; they are the same */
        return CIS_OK;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        if (i == NAMES_MAX || !json_is_string(one) ||
            !cis_threshold_parse(json_string_value(one), json_string_length(one),
                                 &t->thresholds[t->nthresholds])) {
            return cis_fail(err, CIS_E_INVALID, "thresholds: entry %zu is none, or too many", i);
        }
        t->nthresholds++;
    }
    return CIS_OK;
}

static cis_code take_pools(cis_loadtest *t, const json_t *in, struct cis_error *err)
{
    const json_t *list;
    CIS_TRY(list_of(in, "pools", JSON_ARRAY, &list, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *id = json_string_value(json_object_get(one, "id"));
        struct pool_sum p;
        if (id == NULL) {
            return cis_fail(err, CIS_E_INVALID, "pools: entry %zu has no id", i);
        }
        CIS_TRY(whole(one, "allocated", COUNT_MAX, &p.allocated, err));
        CIS_TRY(whole(one, "available", COUNT_MAX, &p.available, err));
        CIS_TRY(whole(one, "total", COUNT_MAX, &p.total, err));
        CIS_TRY(whole(one, "peak", COUNT_MAX, &p.peak, err));
        struct pool_sum *to = &t->pools[place_of(t->pools, sizeof p, &t->npools, id)];
        cis_loadtest_sum(&to->allocated, p.allocated);
        cis_loadtest_sum(&to->available, p.available);
        cis_loadtest_sum(&to->total, p.total);
        cis_loadtest_sum(&to->peak, p.peak);
    }
    return CIS_OK;
}

/* ---- counts ---- */
static cis_code take_statuses(cis_loadtest *t, const json_t *in, struct cis_error *err)
{
    const json_t *map;
    const char *name;
    json_t *value;
    CIS_TRY(list_of(in, "statuses", JSON_OBJECT, &map, err));
    json_object_foreach((json_t *)(uintptr_t)map, name, value)
    {
        uint64_t status, n;
        CIS_TRY(whole(map, name, COUNT_MAX, &n, err));
        if (!cis_str_u64(cis_str_of(name), &status) || status >= STATUSES) {
            return cis_fail(err, CIS_E_INVALID, "statuses: %.40s is none", name);
        }
        cis_loadtest_sum(&t->statuses[status], n);
    }
    return CIS_OK;
}

static cis_code take_errors(cis_loadtest *t, const json_t *in, struct cis_error *err)
{
    const json_t *map;
    const char *name;
    json_t *value;
    CIS_TRY(list_of(in, "errors", JSON_OBJECT, &map, err));
    json_object_foreach((json_t *)(uintptr_t)map, name, value)
    {
        uint64_t n;
        CIS_TRY(whole(map, name, COUNT_MAX, &n, err));
        cis_loadtest_sum(&t->errors[place_of(t->errors, sizeof *t->errors, &t->nerrors, name)].n,
                         n);
    }
    return CIS_OK;
}

/* ---- histograms ---- */
static cis_code take_extremes(struct cis_histogram *h, const json_t *in, const char *name,
                              struct cis_error *err)
{
    static const char *const ends[] = {"_sum", "_min", "_max"};
    uint64_t values[3];
    char full[64];
    bool any = false;
    for (int i = 0; i < 3; i++) {
        snprintf(full, sizeof full, "%s%s", name, ends[i]);
        any = any || json_object_get(in, full) != NULL;
        CIS_TRY(whole(in, full, CIS_HISTOGRAM_MAX, &values[i], err));
    }
    if (any) {
        cis_loadtest_sum(&h->sum, values[0]);
        h->min = h->n == 0 || values[1] < h->min ? values[1] : h->min;
        h->max = values[2] > h->max ? values[2] : h->max;
    }
    return CIS_OK;
}

/* point, since: NULL: it is not of answers. */
static cis_code take_histogram(struct cis_histogram *h, const json_t *in, const char *name,
                               struct cis_histogram *since, struct point *point,
                               struct cis_error *err)
{
    const json_t *list;
    CIS_TRY(list_of(in, name, JSON_ARRAY, &list, err));
    CIS_TRY(take_extremes(h, in, name, err));
    for (size_t i = 0; i + 1 < json_array_size(list); i += 2) {
        const json_t *pair[] = {json_array_get(list, i), json_array_get(list, i + 1)};
        json_int_t bucket = json_integer_value(pair[0]), count = json_integer_value(pair[1]);
        if (!json_is_integer(pair[0]) || !json_is_integer(pair[1]) || bucket < 0 || count <= 0 ||
            (uint64_t)count > COUNT_MAX ||
            !cis_histogram_add_bucket(h, (uint64_t)bucket, (uint64_t)count)) {
            return cis_fail(err, CIS_E_INVALID, "%.40s: entry %zu is no bucket and its count", name,
                            i);
        }
        if (point != NULL) {
            uint64_t top = cis_histogram_top((size_t)bucket);
            (void)cis_histogram_add_bucket(since, (uint64_t)bucket, (uint64_t)count);
            since->max = top > since->max ? top : since->max;
            cis_loadtest_point_add(point, top, (uint64_t)count);
        }
    }
    return CIS_OK;
}

/* ---- one record ---- */
static cis_code take(cis_loadtest *t, struct instance *from, const json_t *in, uint64_t elapsed_ms,
                     struct cis_error *err)
{
    uint64_t at, counts[COUNTS], users = 0;
    if (!json_is_object(in) || from->ended) {
        return cis_fail(err, CIS_E_INVALID,
                        from->ended ? "another one after the last" : "not an object");
    }
    CIS_TRY(whole(in, "at_ms", CIS_HISTOGRAM_MAX, &at, err));
    at = at > elapsed_ms ? elapsed_ms : at;
    at = at < from->at_ms ? from->at_ms : at;
    CIS_TRY(whole(in, "active", COUNT_MAX, &from->active, err));
    CIS_TRY(whole(in, "users_peak", COUNT_MAX, &from->peak, err));
    for (size_t i = 0; i < COUNTS; i++) {
        CIS_TRY(whole(in, count_names[i], COUNT_MAX, &counts[i], err));
        cis_loadtest_sum(&t->counts[i], counts[i]);
    }
    if (!from->begun) {
        CIS_TRY(take_head(t, in, err));
    }
    CIS_TRY(take_statuses(t, in, err));
    CIS_TRY(take_errors(t, in, err));
    /* It tells of the time since the record before. */
    struct point *point = cis_loadtest_point(t, from->at_ms + (at - from->at_ms) / 2);
    cis_loadtest_sum(&point->requests, counts[COUNT_SUCCESSFUL] + counts[COUNT_FAILED]);
    cis_loadtest_sum(&point->failed, counts[COUNT_FAILED]);
    for (size_t i = 0; i < t->ninstances; i++) {
        users += t->instances[i].active;
    }
    point->users = users > point->users ? users : point->users;
    CIS_TRY(take_histogram(&t->us, in, "latency_us", &t->since, point, err));
    CIS_TRY(take_histogram(&t->delay, in, "delay_us", NULL, NULL, err));
    from->begun = true;
    from->at_ms = at;
    if (json_is_true(json_object_get(in, "end"))) {
        from->ended = true;
        return take_pools(t, in, err);
    }
    return CIS_OK;
}

cis_code cis_loadtest_record(cis_loadtest *test, size_t instance, struct cis_str json,
                             uint64_t elapsed_ms, struct cis_error *err)
{
    json_error_t problem;
    json_t *in = json.len <= CIS_LOADTEST_RECORD_MAX
                     ? json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &problem)
                     : NULL;
    if (in == NULL) {
        return cis_fail(err, CIS_E_INVALID, "not JSON, or longer than %zu bytes",
                        CIS_LOADTEST_RECORD_MAX);
    }
    cis_mutex_lock(&test->lock, loadtest_lock);
    cis_code code = take(test, &test->instances[instance], in, elapsed_ms, err);
    cis_mutex_unlock(&test->lock, loadtest_lock);
    json_decref(in);
    return code;
}
