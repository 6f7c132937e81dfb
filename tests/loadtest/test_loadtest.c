/* Thresholds, and what the records of components add up to. */
#include "base/mem.h"
#include "harness.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_threshold_is_a_metric_a_sign_and_a_limit),
        cmocka_unit_test(what_is_no_threshold_is_refused),
        cmocka_unit_test(a_threshold_holds_by_what_was_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
