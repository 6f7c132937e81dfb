/* Ten thousand runs leave nothing behind; under the address sanitizer a thousand leak nothing.
 * Argument: another number than ten thousand. */
#include "harness.h"

#include "cis/cis.h"
#include "system/guests.h"

static int all_runs = 10000;

static long rss_kib(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long total = 0, resident = 0;
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &total, &resident), 2);
    fclose(f);
    return resident * 4;
}

static void runs(cis_runtime *r, cis_module *good, cis_module *bad, int n)
{
    static const char *const grants[] = {"memory", NULL};
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.grants = grants;
    for (int i = 0; i < n; i++) {
        cis_result *result = NULL;
        assert_ok(cis_run(r, i % 10 == 9 ? bad : good, "{\"n\":1}", 7, &o, &result, err));
        assert_int_equal(cis_result_code(result), i % 10 == 9 ? CIS_E_TRAP : CIS_E_OK);
        cis_result_free(result);
    }
}

static void memory_does_not_grow_with_the_number_of_runs(void **state)
{
    (void)state;
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    c.compile_in_process = true;
    c.pool_slots = 8;
    cis_runtime *r = NULL;
    cis_module *good = NULL, *bad = NULL;
    assert_ok(cis_runtime_new(&c, &r, err));
    assert_ok(cis_module_load(r, GUEST_ECHO, strlen(GUEST_ECHO), "echo", &good, err));
    assert_ok(cis_module_load(r, GUEST_TRAP, strlen(GUEST_TRAP), "trap", &bad, err));
    runs(r, good, bad, 1000);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    long before = rss_kib();
    runs(r, good, bad, all_runs - 1000);
    long grown = rss_kib() - before;
    print_message("grown by %ld KiB between run 1,000 and run %d\n", grown, all_runs);
    if (grown >= 1024) {
        fail_msg("resident memory grew by %ld KiB between run 1,000 and run %d", grown, all_runs);
    }
#else
    (void)rss_kib, (void)all_runs;
#endif
    cis_module_unref(good);
    cis_module_unref(bad);
    cis_runtime_free(r);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        all_runs = (int)strtol(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_does_not_grow_with_the_number_of_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
