/* Many endless skills at once through the public API: each ends at its own deadline, tenants share
 * a CPU slot equally however many runs each has, and afterwards everything works as before.
 * Arguments: the number of runs, milliseconds of sharing, and how many percent the shares may
 * differ; the long form is 1000 5000 5. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include "base/cancel.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cis/cis.h"
#include "system/guests.h"

static unsigned crowd = 50, span_ms = 800, percent = 15;

struct gate {
    atomic_uint arrived;
    atomic_bool held, open;
};

struct one_run {
    cis_runtime *runtime;
    cis_module *module;
    struct cis_run_options options;
    struct gate *gate;
    pthread_t thread;
    enum cis_code code, result;
    uint64_t guest_us;
    bool time_named;
};

static void *run_main(void *arg)
{
    struct one_run *r = arg;
    cis_result *result = NULL;
    if (r->gate != NULL) {
        atomic_fetch_add(&r->gate->arrived, 1);
    }
    r->code = cis_run(r->runtime, r->module, "{}", 2, &r->options, &result, NULL);
    if (result != NULL) {
        const char *report = cis_result_report(result, NULL);
        const char *us = strstr(report, "\"guest_us\":");
        r->guest_us = us != NULL ? strtoull(us + strlen("\"guest_us\":"), NULL, 10) : 0;
        r->time_named = strstr(report, "\"limit\":\"time\"") != NULL;
        r->result = cis_result_code(result);
    }
    cis_result_free(result);
    return NULL;
}

static void start(struct one_run *r)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 1u << 20);
    assert_int_equal(pthread_create(&r->thread, &attr, run_main, r), 0);
    pthread_attr_destroy(&attr);
}

static cis_runtime *runtime_with(uint32_t cpu_slots)
{
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    cis_runtime *r = NULL;
    c.compile_in_process = true;
    c.cpu_slots = cpu_slots;
    c.pool_slots = crowd + 2;
    c.max_memory = 16u << 20;
    assert_ok(cis_runtime_new(&c, &r, err));
    return r;
}

static cis_module *load(cis_runtime *r, const char *wat)
{
    cis_module *m = NULL;
    assert_ok(cis_module_load(r, wat, strlen(wat), "guest", &m, err));
    return m;
}

static void assert_still_works(cis_runtime *r)
{
    char *out = NULL;
    assert_ok(cis_execute_wasm(r, GUEST_ECHO, strlen(GUEST_ECHO), "[7]", 3, &out, NULL, err));
    assert_string_equal(out, "[7]");
    cis_output_free(out);
}

static void endless_runs_all_end_at_their_limits_and_the_next_run_works(void **state)
{
    (void)state;
    cis_runtime *runtime = runtime_with(0);
    cis_module *loop = load(runtime, GUEST_LOOP);
    struct one_run *runs = cis_zalloc(crowd * sizeof *runs);
    assert_non_null(runs);
    for (unsigned i = 0; i < crowd; i++) {
        runs[i] =
            (struct one_run){.runtime = runtime, .module = loop, .options = CIS_RUN_OPTIONS_INIT};
        runs[i].options.time_ms = span_ms < 1000 ? 200 : 1000;
        start(&runs[i]);
    }
    unsigned ran = 0;
    for (unsigned i = 0; i < crowd; i++) {
        pthread_join(runs[i].thread, NULL); /* none is alive afterwards */
        assert_int_equal(runs[i].code, CIS_E_OK);
        assert_int_equal(runs[i].result, CIS_E_DEADLINE);
        assert_true(runs[i].time_named);
        ran += runs[i].guest_us != 0;
    }
    print_message("%u runs ended, %u of them had run\n", crowd, ran);
    assert_true(ran > 0);
    assert_still_works(runtime);
    cis_free(runs);
    cis_module_unref(loop);
    cis_runtime_free(runtime);
}

/* Called inside a host call, with the slot: holds it until the gate opens. */
static void hold(void *self, const char *line)
{
    struct gate *gate = self;
    (void)line;
    atomic_store(&gate->held, true);
    while (!atomic_load(&gate->open)) {
        sched_yield();
    }
}

static void a_tenant_with_many_runs_has_no_more_than_one_with_one(void **state)
{
    (void)state;
    cis_runtime *runtime = runtime_with(1);
    cis_module *loop = load(runtime, GUEST_LOOP), *echo = load(runtime, GUEST_ECHO);
    struct gate gate = {0};
    struct one_run holder = {.runtime = runtime, .module = echo, .options = CIS_RUN_OPTIONS_INIT};
    holder.options.tenant = "holder";
    holder.options.trace = hold;
    holder.options.trace_self = &gate;
    holder.options.time_ms = 3600 * 1000;
    start(&holder);
    while (!atomic_load(&gate.held)) {
        sched_yield();
    }
    cis_cancel *cancel = NULL;
    assert_ok(cis_cancel_new(&cancel, err));
    struct one_run *runs = cis_zalloc(crowd * sizeof *runs);
    assert_non_null(runs);
    for (unsigned i = 0; i < crowd; i++) {
        runs[i] = (struct one_run){
            .runtime = runtime, .module = loop, .options = CIS_RUN_OPTIONS_INIT, .gate = &gate};
        runs[i].options.tenant = i == 0 ? "one" : "many";
        runs[i].options.time_ms = 3600 * 1000;
        runs[i].options.cancel = cancel;
        start(&runs[i]);
    }
    while (atomic_load(&gate.arrived) != crowd) { /* before the first of them has run */
        sched_yield();
    }
    atomic_store(&gate.open, true);
    struct cis_stop span = {.deadline_ns =
                                cis_clock_after(cis_clock_mono_ns(), span_ms * CIS_NS_PER_MS)};
    /* The time that is shared. */
    assert_int_equal(cis_stop_wait(&span, -1, 0, "span", NULL), CIS_E_DEADLINE);
    cis_cancel_fire(cancel);
    pthread_join(holder.thread, NULL);
    assert_int_equal(holder.result, CIS_E_OK);
    uint64_t one = 0, many = 0;
    for (unsigned i = 0; i < crowd; i++) {
        pthread_join(runs[i].thread, NULL);
        assert_int_equal(runs[i].result, CIS_E_CANCELLED);
        *(i == 0 ? &one : &many) += runs[i].guest_us;
    }
    print_message("1 run: %llu us, %u runs: %llu us\n", (unsigned long long)one, crowd - 1,
                  (unsigned long long)many);
    assert_true(one > 0);
    assert_true(one * 100 >= many * (100 - percent) && many * 100 >= one * (100 - percent));
    assert_still_works(runtime);
    cis_free(runs);
    cis_cancel_unref(cancel);
    cis_module_unref(loop);
    cis_module_unref(echo);
    cis_runtime_free(runtime);
}

int main(int argc, char **argv)
{
    if (argc == 4) {
        crowd = (unsigned)strtoul(argv[1], NULL, 10);
        span_ms = (unsigned)strtoul(argv[2], NULL, 10);
        percent = (unsigned)strtoul(argv[3], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endless_runs_all_end_at_their_limits_and_the_next_run_works),
        cmocka_unit_test(a_tenant_with_many_runs_has_no_more_than_one_with_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
