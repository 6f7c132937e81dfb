/* Thresholds, and what the records of components add up to. */
#include <stdlib.h>
#include "base/mem.h"
#include "harness.h"
#include "loadtest/loadtest.h"
#include "loadtest/threshold.h"

static struct cis_threshold parsed(const char *text)
{
    struct cis_threshold t;
    assert_true(cis_threshold_parse(text, strlen(text), &t));
    assert_string_equal(t.text, text);
    return t;
}

static void a_threshold_is_a_metric_a_sign_and_a_limit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum cis_threshold_metric metric;
        unsigned per_mille;
        bool less, equal;
        double limit;
    } rows[] = {{"p99 < 200ms", CIS_THRESHOLD_PERCENTILE, 990, true, false, 200000},
                {"p99.9<=2s", CIS_THRESHOLD_PERCENTILE, 999, true, true, 2000000},
                {" p50 > 1.5 us ", CIS_THRESHOLD_PERCENTILE, 500, false, false, 1.5},
                {"avg < 20ms", CIS_THRESHOLD_AVERAGE, 0, true, false, 20000},
                {"error_rate < 1%", CIS_THRESHOLD_ERROR_RATE, 0, true, false, 0.01},
                {"error_rate <= 0", CIS_THRESHOLD_ERROR_RATE, 0, true, true, 0},
                {"throughput >= 100/s", CIS_THRESHOLD_THROUGHPUT, 0, false, true, 100},
                {"requests > 10", CIS_THRESHOLD_REQUESTS, 0, false, false, 10}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cis_threshold t = parsed(rows[i].text);
        assert_int_equal(t.metric, rows[i].metric);
        assert_int_equal(t.per_mille, rows[i].per_mille);
        assert_int_equal(t.less, rows[i].less);
        assert_int_equal(t.equal, rows[i].equal);
        assert_true(t.limit > rows[i].limit - 1e-9 && t.limit < rows[i].limit + 1e-9);
    }
}

static void what_is_no_threshold_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "p99",
                                      "p99 <",
                                      "p99 < 200",
                                      "p0 < 1ms",
                                      "p101 < 1ms",
                                      "p99 = 1ms",
                                      "p99 < -1ms",
                                      "p99 < 1e3ms",
                                      "q99 < 1ms",
                                      "p99 < .5ms",
                                      "p99 < 5.ms",
                                      "avg < 1h",
                                      "avg < nanms",
                                      "p99 < 1ms x",
                                      "p < 1ms",
                                      "p99 < 1234567890ms",
                                      "\x1b[31mp99"};
    struct cis_threshold t;
    char longer[200];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(cis_threshold_parse(bad[i], strlen(bad[i]), &t));
    }
    memset(longer, ' ', sizeof longer);
    memcpy(longer, "avg < 1ms", 9);
    assert_false(cis_threshold_parse(longer, sizeof longer, &t));
}

static void a_threshold_holds_by_what_was_measured(void **state)
{
    (void)state;
    struct cis_histogram *h = cis_zalloc(sizeof *h);
    struct cis_threshold_numbers n = {h, 0, 0, 0, 0};
    double value;
    struct cis_threshold rate = parsed("error_rate < 1%"), p99 = parsed("p99 < 2ms");
    struct cis_threshold fast = parsed("throughput >= 50/s");
    assert_false(cis_threshold_holds(&rate, &n, &value)); /* nothing was measured */
    assert_false(cis_threshold_holds(&p99, &n, &value));
    for (int i = 0; i < 99; i++) {
        cis_histogram_add(h, 1000);
    }
    n = (struct cis_threshold_numbers){h, 100, 1, 99, 2};
    assert_false(cis_threshold_holds(&rate, &n, &value)); /* 1% is not less than 1% */
    n.requests = 101;
    assert_true(cis_threshold_holds(&rate, &n, &value));
    assert_true(cis_threshold_holds(&p99, &n, &value));
    assert_int_equal((int)value, 1000);
    cis_histogram_add(h, 5000);
    assert_false(cis_threshold_holds(&p99, &n, &value));
    assert_false(cis_threshold_holds(&fast, &n, &value));
    n.answered = 100;
    assert_true(cis_threshold_holds(&fast, &n, &value));
    cis_free(h);
}

/* ---- records ---- */
static void give(cis_loadtest *t, size_t instance, const char *json, uint64_t elapsed_ms)
{
    struct cis_error err = {0};
    assert_int_equal(cis_loadtest_record(t, instance, cis_str_of(json), elapsed_ms, &err), CIS_OK);
}

static void refuse(const char *json, const char *why)
{
    struct cis_error err = {0};
    cis_loadtest *t;
    assert_int_equal(cis_loadtest_new(1, &t, &err), CIS_OK);
    assert_int_equal(cis_loadtest_record(t, 0, cis_str_of(json), 1000, &err), CIS_E_INVALID);
    assert_non_null(strstr(err.msg, why));
    cis_loadtest_free(t);
}

static void histograms_of_instances_are_added_up_not_their_percentiles(void **state)
{
    (void)state;
    struct cis_error err = {0};
    cis_loadtest *t;
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(1u << 20);
    assert_int_equal(cis_loadtest_new(2, &t, &err), CIS_OK);
    /* 98 of 1 ms in one, 2 of 100 ms in the other: p50 of all is 1 ms, p99 is 100 ms. */
    give(t, 0,
         "{\"answered\":98,\"successful\":98,\"latency_us\":[1000,98],\"latency_us_sum\":98000,"
         "\"latency_us_min\":1000,\"latency_us_max\":1000,\"end\":true}",
         1000);
    give(t, 1,
         "{\"answered\":2,\"failed\":2,\"latency_us\":[7706,2],\"latency_us_sum\":200000,"
         "\"latency_us_min\":100000,\"latency_us_max\":100000,\"end\":true,\"at_ms\":1000}",
         1000);
    assert_true(cis_loadtest_any(t) && cis_loadtest_ended(t));
    cis_loadtest_json(t, &json);
    const char *all = cis_buf_cstr(&json);
    assert_non_null(strstr(all, "\"total_requests\":100,\"successful\":98,\"failed\":2,"));
    assert_non_null(strstr(all, "\"latency_min_ms\":1.000,\"latency_p50_ms\":1.000,"));
    assert_non_null(strstr(all, "\"latency_p99_ms\":100.000,"));
    assert_non_null(strstr(all, "\"latency_us\":[1000,98,7706,2]"));
    cis_loadtest_free(t);
}

static void a_look_has_what_came_since_the_one_before(void **state)
{
    (void)state;
    struct cis_error err = {0};
    struct cis_loadtest_look look;
    cis_loadtest *t;
    assert_int_equal(cis_loadtest_new(2, &t, &err), CIS_OK);
    give(t, 0, "{\"active\":3,\"successful\":4,\"latency_us\":[50,4]}", 500);
    give(t, 1, "{\"active\":2,\"failed\":1}", 500);
    cis_loadtest_look(t, &look);
    assert_int_equal(look.users, 5);
    assert_int_equal(look.requests, 5);
    assert_int_equal(look.new_requests, 5);
    assert_int_equal(look.failed, 1);
    assert_int_equal(look.p99_us, 50);
    give(t, 1, "{\"active\":0,\"successful\":1,\"latency_us\":[70,1]}", 1000);
    cis_loadtest_look(t, &look);
    assert_int_equal(look.users, 3);
    assert_int_equal(look.requests, 6);
    assert_int_equal(look.new_requests, 1);
    assert_int_equal(look.p50_us, 70);
    cis_loadtest_free(t);
}

static void the_course_of_a_week_has_600_points(void **state)
{
    (void)state;
    struct cis_error err = {0};
    cis_loadtest *t;
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(4u << 20);
    assert_int_equal(cis_loadtest_new(1, &t, &err), CIS_OK);
    uint64_t week = 7 * 24 * 3600 * UINT64_C(1000);
    for (uint64_t ms = 0, n = 0; n < 2000; ms += week / 2000, n++) {
        char record[100];
        snprintf(record, sizeof record, "{\"at_ms\":%llu,\"successful\":1,\"latency_us\":[9,1]}",
                 (unsigned long long)ms);
        give(t, 0, record, week);
    }
    cis_loadtest_json(t, &json);
    size_t points = 0, requests = 0, early = 0;
    for (const char *at = cis_buf_cstr(&json); (at = strstr(at, "{\"at_ms\"")) != NULL; at++) {
        points++;
        size_t n = strtoul(strstr(at, "requests\":") + 10, NULL, 10);
        requests += n;
        early += strtoull(at + 9, NULL, 10) < week / 2 ? n : 0;
    }
    assert_true(points > 250 && points <= 600);
    assert_int_equal(requests, 2000);
    assert_true(early > 990 && early < 1010);
    cis_loadtest_free(t);
}

static void a_record_is_of_no_later_time_than_now(void **state)
{
    (void)state;
    struct cis_error err = {0};
    cis_loadtest *t;
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(1u << 20);
    assert_int_equal(cis_loadtest_new(1, &t, &err), CIS_OK);
    give(t, 0, "{\"at_ms\":9007199254740992,\"successful\":1}", 700);
    cis_loadtest_json(t, &json);
    assert_non_null(strstr(cis_buf_cstr(&json), "\"duration_seconds\":0.700,"));
    cis_loadtest_free(t);
}

static void names_are_bounded_in_number_and_length(void **state)
{
    (void)state;
    struct cis_error err = {0};
    cis_loadtest *t;
    CIS_CLEANUP(cis_buf_done) struct cis_buf record = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(1u << 20);
    assert_int_equal(cis_loadtest_new(1, &t, &err), CIS_OK);
    cis_buf_text(&record, "{\"errors\":{");
    for (int i = 0; i < 1000; i++) {
        cis_buf_printf(&record, "%s\"%0300d\":1,\"e%d\":1", i > 0 ? "," : "", i, i);
    }
    cis_buf_text(&record, "}}");
    give(t, 0, cis_buf_cstr(&record), 1);
    cis_loadtest_json(t, &json);
    assert_true(json.len < 64 * 160 + 4000);
    assert_non_null(strstr(cis_buf_cstr(&json), "\"others\":"));
    cis_loadtest_free(t);
}

static void records_that_are_none_are_refused(void **state)
{
    (void)state;
    refuse("", "not JSON");
    refuse("{\"users\":1,\"users\":2}", "not JSON");
    refuse("[]", "not an object");
    refuse("{\"users\":-1}", "users: not a whole number");
    refuse("{\"at_ms\":\"1\"}", "at_ms: not a whole number");
    refuse("{\"users\":1099511627777}", "users: not a whole number");
    refuse("{\"statuses\":[]}", "statuses: not an object");
    refuse("{\"statuses\":{\"ok\":1}}", "statuses: ok is none");
    refuse("{\"errors\":{\"x\":true}}", "x: not a whole number");
    refuse("{\"latency_us\":{}}", "latency_us: not an array");
    refuse("{\"latency_us\":[1,0]}", "latency_us: entry 0");
    refuse("{\"latency_us\":[1,1,33792,1]}", "latency_us: entry 2");
    refuse("{\"latency_us\":[\"1\",1]}", "latency_us: entry 0");
    refuse("{\"thresholds\":[\"p99\"]}", "thresholds: entry 0");
    refuse("{\"end\":true,\"pools\":[{}]}", "pools: entry 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_threshold_is_a_metric_a_sign_and_a_limit),
        cmocka_unit_test(what_is_no_threshold_is_refused),
        cmocka_unit_test(a_threshold_holds_by_what_was_measured),
        cmocka_unit_test(histograms_of_instances_are_added_up_not_their_percentiles),
        cmocka_unit_test(a_look_has_what_came_since_the_one_before),
        cmocka_unit_test(the_course_of_a_week_has_600_points),
        cmocka_unit_test(a_record_is_of_no_later_time_than_now),
        cmocka_unit_test(names_are_bounded_in_number_and_length),
        cmocka_unit_test(records_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
