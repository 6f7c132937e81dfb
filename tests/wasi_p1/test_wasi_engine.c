/* Both WASI 0.1 modules through the engine: a guest that imports every function and hands each on
 * under its own name is linked against the tables, so that every signature is checked by the engine
 * and every call passes the trampoline. What the functions mean is tested in test_wasi_p1.c. */
#include "harness.h"

#include "base/clock.h"
#include "base/le.h"
#include "base/mem.h"
#include "host/host.h"
#include "wasi/p1/p1.h"

#define PAGE 65536u
#define OUTSIDE 0xFFFFFFF0u
enum { OK = 0, BADF = 8, FAULT = 21, NOTDIR = 54, NOTCAPABLE = 76 };

static const struct cis_hostfn_table *const tables[] = {&cis_wasi_p1_table,
                                                        &cis_wasi_unstable_table};
static cis_engine *engine;
static struct cis_host host;
static cis_engine_instance *guest;

static const char *wat_type(char c)
{
    return c == 'i' ? "i32" : c == 'I' ? "i64" : "f64";
}

/* (import …) and a function "name" that passes its arguments on, for every row. */
static void write_guest(const struct cis_hostfn_table *table, struct cis_buf *out)
{
    cis_buf_text(out, "(module\n");
    for (int exports = 0; exports < 2; exports++) {
        for (size_t i = 0; i < table->nrows; i++) {
            const struct cis_hostfn *row = &table->rows[i];
            size_t n = strcspn(row->type, ":");
            if (exports == 0) {
                cis_buf_printf(out, " (import \"%s\" \"%s\" (func $f%zu", row->module, row->name,
                               i);
            } else {
                cis_buf_printf(out, " (func (export \"%s\")", row->name);
            }
            cis_buf_text(out, n != 0 ? " (param" : "");
            for (size_t k = 0; k < n; k++) {
                cis_buf_printf(out, " %s", wat_type(row->type[k]));
            }
            cis_buf_text(out, n != 0 ? ")" : "");
            if (row->type[n + 1] != 0) {
                cis_buf_printf(out, " (result %s)", wat_type(row->type[n + 1]));
            }
            if (exports == 0) {
                cis_buf_text(out, "))\n");
                continue;
            }
            for (size_t k = 0; k < n; k++) {
                cis_buf_printf(out, " local.get %zu", k);
            }
            cis_buf_printf(out, " call $f%zu)\n", i);
        }
    }
    cis_buf_text(out, " (memory (export \"memory\") 2))\n");
}

static const struct cis_hostfn *resolve(void *self, const struct cis_extern *import)
{
    const struct cis_hostfn_table *table = self;
    for (size_t i = 0; i < table->nrows; i++) {
        if (cis_str_is(import->module, table->rows[i].module) &&
            cis_str_is(import->name, table->rows[i].name) &&
            strcmp(import->type, table->rows[i].type) == 0) {
            return &table->rows[i];
        }
    }
    return NULL;
}

static void start(int which, uint64_t deadline_ns, uint64_t fuel)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf wat = CIS_BUF_INIT(1u << 20);
    write_guest(tables[which], &wat);
    struct cis_engine_module_options io = {
        .name = "guest", .fuel = fuel != 0, .stop = {.deadline_ns = CIS_NEVER}};
    cis_engine_module *image = NULL;
    cis_linked *program = NULL;
    assert_ok(cis_engine_module_load(engine, cis_bytes_of(wat.ptr, wat.len), &io, &image, err));
    assert_ok(cis_linked_new(image, resolve, (struct cis_hostfn_table *)(uintptr_t)tables[which],
                             &program, err));
    struct cis_engine_instance_options o = {
        .limits = {.memory_bytes = 1u << 20, .host_bytes = 1u << 20, .fuel = fuel},
        .stop = {.deadline_ns = deadline_ns},
        .grants = cis_host_guest_grants(&host),
        .host = &host};
    assert_ok(cis_engine_instance_new(engine, program, &o, &guest, err));
    cis_linked_unref(program);
    cis_engine_module_unref(image);
}

static int setup(void **state)
{
    (void)state;
    host = (struct cis_host){.budget = {.limit = 8u << 20},
                             .output = CIS_BUF_INIT(4u << 20),
                             .errors = CIS_BUF_INIT(CIS_LOG_LINE_MAX),
                             .log = CIS_BUF_INIT(1u << 20),
                             .log_lines_max = 100};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cis_engine_instance_free(guest);
    guest = NULL;
    cis_wasi_p1_end(&host);
    cis_buf_done(&host.output);
    cis_buf_done(&host.errors);
    cis_buf_done(&host.log);
    return 0;
}

static cis_code call(const char *name, const char *type, const uint64_t *args, size_t n,
                     int *out_errno, struct cis_error *err)
{
    union cis_slot io[9] = {0};
    for (size_t i = 0; i < n; i++) {
        io[i].u64 = args[i];
    }
    cis_code code = cis_engine_instance_call(guest, cis_str_of(name), type, io, err);
    *out_errno = io[0].i32;
    return code;
}
#define assert_errno(expected, name, type, ...)                                                    \
    do {                                                                                           \
        int got_;                                                                                  \
        const uint64_t args_[] = {__VA_ARGS__};                                                    \
        assert_ok(call(name, type, args_, sizeof args_ / 8, &got_, err));                          \
        assert_int_equal(got_, expected);                                                          \
    } while (0)

static uint8_t *memory(uint32_t at)
{
    uint8_t *p = cis_engine_instance_out(guest, at, 64);
    assert_non_null(p);
    return p;
}

static void every_function_links_and_answers(void **state)
{
    (void)state;
    for (int t = 0; t < 2; t++) {
        start(t, cis_clock_mono_ns() + 60 * CIS_NS_PER_S, 0);
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const struct cis_hostfn *row = &tables[t]->rows[i];
            if (strcmp(row->name, "proc_exit") == 0) {
                continue; /* below: it ends the guest */
            }
            static const uint64_t fillings[] = {0, 3, OUTSIDE, UINT64_MAX};
            for (size_t f = 0; f < 4; f++) {
                uint64_t args[9];
                for (size_t k = 0; k < 9; k++) {
                    args[k] = fillings[f];
                }
                int got;
                if (strcmp(row->name, "proc_raise") == 0 && fillings[f] == 3) {
                    continue; /* would end the guest too */
                }
                assert_ok(call(row->name, row->type, args, 9, &got, err));
                assert_in_range(got, 0, 76);
            }
        }
        teardown(NULL);
        setup(NULL);
    }
}

static void a_guest_writes_reads_and_learns_the_time(void **state)
{
    (void)state;
    host.input = cis_bytes_of("abc", 3);
    start(0, cis_clock_mono_ns() + 60 * CIS_NS_PER_S, 0);
    memcpy(memory(100), "hi\n", 3);
    cis_put_le32(memory(0), 100);
    cis_put_le32(memory(4), 3);
    assert_errno(OK, "fd_write", "iiii:i", 1, 0, 1, 50);
    assert_string_equal(cis_buf_cstr(&host.output), "hi\n");
    assert_errno(OK, "fd_read", "iiii:i", 0, 0, 1, 50);
    assert_memory_equal(memory(100), "abc", 3);
    assert_errno(OK, "clock_time_get", "iIi:i", 1, 0, 64);
    assert_true(cis_le64(memory(64)) >= CIS_NS_PER_S);
    assert_errno(OK, "random_get", "ii:i", 0, 2 * PAGE);
    assert_errno(FAULT, "random_get", "ii:i", 1, 2 * PAGE);
    assert_errno(BADF, "fd_prestat_get", "ii:i", 3, 0);
    assert_errno(BADF, "path_open", "iiiiiIIii:i", 3, 0, 0, 1, 0, 0, 0, 0, 64);
    assert_errno(NOTDIR, "path_open", "iiiiiIIii:i", 0, 0, 0, 1, 0, 0, 0, 0, 64);
}

static void clocks_and_random_that_are_switched_off_are_refused_and_counted(void **state)
{
    (void)state;
    host.no_clock = host.no_random = true;
    start(0, cis_clock_mono_ns() + 60 * CIS_NS_PER_S, 0);
    assert_errno(NOTCAPABLE, "clock_time_get", "iIi:i", 0, 0, 64);
    assert_errno(NOTCAPABLE, "clock_res_get", "ii:i", 0, 64);
    assert_errno(NOTCAPABLE, "random_get", "ii:i", 0, 8);
    struct cis_engine_instance_usage usage;
    cis_engine_instance_usage(guest, &usage);
    assert_int_equal(usage.grants_refused[CIS_GRANT_CLOCKS], 2);
    assert_int_equal(usage.grants_refused[CIS_GRANT_RANDOM], 1);
    assert_int_equal(cis_le64(memory(64)), 0);
}

static void exit_ends_the_guest_with_its_code(void **state)
{
    (void)state;
    start(0, cis_clock_mono_ns() + 60 * CIS_NS_PER_S, 0);
    int got;
    assert_int_not_equal(call("proc_exit", "i:", (const uint64_t[]){42}, 1, &got, NULL), CIS_OK);
    assert_true(cis_engine_instance_end(guest)->exited);
    assert_int_equal(cis_engine_instance_end(guest)->exit_code, 42);
    assert_int_not_equal(call("sched_yield", ":i", NULL, 0, &got, NULL), CIS_OK);
}

static void a_raised_abort_ends_the_guest_as_the_signal_would(void **state)
{
    (void)state;
    start(1, cis_clock_mono_ns() + 60 * CIS_NS_PER_S, 0);
    int got;
    assert_int_not_equal(call("proc_raise", "i:i", (const uint64_t[]){6}, 1, &got, NULL), CIS_OK);
    assert_int_equal(cis_engine_instance_end(guest)->exit_code, 134);
}

static void a_sleep_beyond_the_deadline_ends_as_a_time_limit(void **state)
{
    (void)state;
    start(0, cis_clock_mono_ns() + 50 * CIS_NS_PER_MS, 0);
    memset(memory(0), 0, 48);
    cis_put_le32(memory(16), 1);
    cis_put_le64(memory(24), 3600 * CIS_NS_PER_S);
    int got;
    assert_fails(CIS_E_DEADLINE, "",
                 call("poll_oneoff", "iiii:i", (const uint64_t[]){0, 1024, 1, 512}, 4, &got, err));
    assert_int_equal(cis_engine_instance_end(guest)->code, CIS_E_DEADLINE);
}

static void output_past_its_cap_ends_as_that_limit(void **state)
{
    (void)state;
    host.output.max = 10;
    start(0, cis_clock_mono_ns() + 60 * CIS_NS_PER_S, 0);
    cis_put_le32(memory(0), 0);
    cis_put_le32(memory(4), 11);
    int got;
    assert_fails(CIS_E_BUDGET, "output",
                 call("fd_write", "iiii:i", (const uint64_t[]){1, 0, 1, 50}, 4, &got, err));
    assert_string_equal(cis_engine_instance_end(guest)->limit, "output");
    assert_int_equal(cis_engine_instance_end(guest)->configured, 10);
}

static void host_calls_cost_fuel(void **state)
{
    (void)state;
    start(0, cis_clock_mono_ns() + 60 * CIS_NS_PER_S, 1000);
    int got;
    cis_code code = CIS_OK;
    unsigned calls = 0;
    while (code == CIS_OK && calls < 2000) {
        code = call("sched_yield", ":i", NULL, 0, &got, NULL);
        calls++;
    }
    assert_int_equal(code, CIS_E_FUEL);
    assert_true(calls > 1);
}

static void work_that_grows_with_a_number_costs_fuel_by_it(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type;
        uint64_t args[4];
    } calls[] = {{"poll_oneoff", "iiii:i", {0, 0, 2000, 100}},
                 {"random_get", "ii:i", {0, 2 * PAGE}},
                 {"fd_write", "iiii:i", {2, 0, 1, 100}}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        start(0, cis_clock_mono_ns() + 60 * CIS_NS_PER_S, 1000);
        cis_put_le32(memory(4), 2 * PAGE);
        int got;
        assert_fails(CIS_E_FUEL, "fuel",
                     call(calls[i].name, calls[i].type, calls[i].args, 4, &got, err));
        assert_string_equal(cis_engine_instance_end(guest)->limit, "fuel");
        cis_engine_instance_free(guest);
        guest = NULL;
    }
}

static int open_engine(void **state)
{
    (void)state;
    struct cis_engine_options o = {.pool_slots = 4, .cpu_slots = 1, .compile_in_process = true};
    assert_ok(cis_engine_open(&o, &engine, err));
    return 0;
}

static int close_engine(void **state)
{
    (void)state;
    cis_engine_close(engine);
    return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_function_links_and_answers),
        T(a_guest_writes_reads_and_learns_the_time),
        T(clocks_and_random_that_are_switched_off_are_refused_and_counted),
        T(exit_ends_the_guest_with_its_code),
        T(a_raised_abort_ends_the_guest_as_the_signal_would),
        T(a_sleep_beyond_the_deadline_ends_as_a_time_limit),
        T(output_past_its_cap_ends_as_that_limit),
        T(host_calls_cost_fuel),
        T(work_that_grows_with_a_number_costs_fuel_by_it),
    };
    return cmocka_run_group_tests_name("wasi_engine", tests, open_engine, close_engine);
}
