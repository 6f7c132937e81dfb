/* libcis in process, the bare engine beside it in the same run: cold calls, warm calls, memory
 * reads, instances that live, threads, starts of a large module. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include <wasm.h>
#include <wasmtime.h>
#include "base/file.h"
#include "bench/measure.h"
#include "cis/cis.h"

enum { ROUNDS = 5, CALLS = 4000 };

/* JSON in, JSON out: gives its input back, after touching three pages. */
static const char guest[] =
    "(module (memory (export \"memory\") 17) (global $top (mut i32) (i32.const 65536))"
    " (func (export \"malloc\") (param i32) (result i32) (global.get $top))"
    " (func (export \"free\") (param i32))"
    " (func (export \"execute\") (param i32) (result i32)"
    "  (i32.store (i32.const 64) (local.get 0)) (i32.store (i32.const 1048576) (i32.const 1))"
    "  (local.get 0)))";
static const char input[] = "{\"name\":\"Ada\",\"n\":[1,2,3]}";

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* ---- the bare engine: what any layer over it has to pay ---- */
struct bare {
    wasm_engine_t *engine;
    wasmtime_module_t *module;
    wasmtime_instance_pre_t *pre;
};

static void check(wasmtime_error_t *error)
{
    if (error != NULL) {
        wasm_name_t text;
        wasmtime_error_message(error, &text);
        die("bare engine", text.data);
    }
}

static void bare_open(struct bare *b)
{
    wasm_config_t *config = wasm_config_new();
    wasmtime_config_epoch_interruption_set(config, true);
    wasmtime_pooling_allocation_config_t *pool = wasmtime_pooling_allocation_config_new();
    wasmtime_pooling_allocation_config_total_core_instances_set(pool, 1000);
    wasmtime_pooling_allocation_config_total_memories_set(pool, 1000);
    wasmtime_pooling_allocation_config_total_tables_set(pool, 1000);
    wasmtime_pooling_allocation_config_max_memory_size_set(pool, 512u << 20);
    wasmtime_config_memory_reservation_set(config, 512u << 20);
    wasmtime_pooling_allocation_strategy_set(config, pool);
    b->engine = wasm_engine_new_with_config(config);
    wasm_byte_vec_t bytes;
    check(wasmtime_wat2wasm(guest, sizeof guest - 1, &bytes));
    check(wasmtime_module_new(b->engine, (const uint8_t *)bytes.data, bytes.size, &b->module));
    wasmtime_linker_t *linker = wasmtime_linker_new(b->engine);
    check(wasmtime_linker_instantiate_pre(linker, b->module, &b->pre));
}

static void bare_call(const struct bare *b)
{
    wasmtime_store_t *store = wasmtime_store_new(b->engine, NULL, NULL);
    wasmtime_context_t *context = wasmtime_store_context(store);
    wasmtime_store_limiter(store, 128 << 20, 10000, 1, 1, 1);
    wasmtime_context_set_epoch_deadline(context, 30000);
    wasmtime_instance_t instance;
    wasm_trap_t *trap = NULL;
    check(wasmtime_instance_pre_instantiate(b->pre, context, &instance, &trap));
    wasmtime_extern_t memory, execute;
    wasmtime_instance_export_get(context, &instance, "memory", 6, &memory);
    wasmtime_instance_export_get(context, &instance, "execute", 7, &execute);
    memcpy(wasmtime_memory_data(context, &memory.of.memory) + 65536, input, sizeof input);
    wasmtime_val_raw_t io[1] = {{.i32 = 65536}};
    check(wasmtime_func_call_unchecked(context, &execute.of.func, io, 1, &trap));
    wasmtime_store_delete(store);
}

/* ---- libcis ---- */
static cis_runtime *runtime;
static cis_module *module;

static cis_module *load(const char *wat, size_t len)
{
    struct cis_error err;
    cis_module *m = NULL;
    if (cis_module_load(runtime, wat, len, "guest", &m, &err) != CIS_E_OK) {
        die("load", err.msg);
    }
    return m;
}

/* A memory service that has nothing and keeps nothing: reads are measured in the run's overlay. */
static enum cis_code nothing(void *self, const struct cis_call *call, const char *key,
                             size_t key_len, struct cis_sink *out, bool *out_found,
                             struct cis_error *err)
{
    (void)self, (void)call, (void)key, (void)key_len, (void)out, (void)err;
    *out_found = false;
    return CIS_E_OK;
}

static enum cis_code forget(void *self, const struct cis_call *call,
                            const struct cis_memory_op *ops, size_t nops, struct cis_error *err)
{
    (void)self, (void)call, (void)ops, (void)nops, (void)err;
    return CIS_E_OK;
}

static struct cis_memory_service no_memory = CIS_MEMORY_SERVICE_INIT;

static void open_runtime(void)
{
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct cis_error err;
    no_memory.get = nothing;
    no_memory.commit = forget;
    struct cis_services services = CIS_SERVICES_INIT;
    config.services = &services;
    services.memory = &no_memory;
    config.compile_in_process = true;
    config.max_memory = 128u << 20;
    if (cis_runtime_new(&config, &runtime, &err) != CIS_E_OK) {
        die("runtime", err.msg);
    }
    module = load(guest, sizeof guest - 1);
}

static void cis_call_once(void)
{
    cis_result *result = NULL;
    struct cis_error err;
    if (cis_run(runtime, module, input, sizeof input - 1, NULL, &result, &err) != CIS_E_OK ||
        cis_result_code(result) != CIS_E_OK) {
        die("run", result != NULL ? cis_result_message(result) : err.msg);
    }
    size_t len;
    const char *output = cis_result_output(result, &len);
    if (len != sizeof input - 1 || memcmp(output, input, len) != 0 ||
        cis_result_report(result, &len)[0] != '{') {
        die("run", "wrong output");
    }
    cis_result_free(result);
}

static void cold_calls(void)
{
    struct bare bare;
    bare_open(&bare);
    double *samples = malloc(CALLS * sizeof *samples);
    double p[2][2][ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        for (int who = 0; who < 2; who++) {
            for (int i = 0; i < CALLS; i++) {
                double t = bench_now();
                if (who == 0) {
                    bare_call(&bare);
                } else {
                    cis_call_once();
                }
                samples[i] = bench_now() - t;
            }
            p[who][0][r] = bench_percentile(samples, CALLS, 50) / 1e3;
            p[who][1][r] = bench_percentile(samples, CALLS, 99) / 1e3;
        }
    }
    static const char *const names[] = {"bare engine", "libcis"};
    double medians[2][2];
    for (int who = 0; who < 2; who++) {
        struct bench_spread a = bench_spread(p[who][0], ROUNDS),
                            b = bench_spread(p[who][1], ROUNDS);
        printf("cold call, %-12s p50 %.2f us (%.2f to %.2f), p99 %.2f us (%.2f to %.2f)\n",
               names[who], a.median, a.min, a.max, b.median, b.min, b.max);
        medians[who][0] = a.median;
        medians[who][1] = b.median;
    }
    printf("cold call, ratio        p50 %.2fx, p99 %.2fx\n", medians[1][0] / medians[0][0],
           medians[1][1] / medians[0][1]);
    free(samples);
}

static void warm_calls(void)
{
    struct cis_error err;
    cis_instance *instance = NULL;
    if (cis_instance_new(runtime, module, NULL, &instance, &err) != CIS_E_OK) {
        die("instance", err.msg);
    }
    double rounds[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        double t = bench_now();
        for (int i = 0; i < CALLS; i++) {
            struct cis_value v = {CIS_I32, {.i32 = 65536}}, out;
            size_t n = 1;
            if (cis_instance_call(instance, "execute", &v, 1, &out, &n, &err) != CIS_E_OK) {
                die("call", err.msg);
            }
        }
        rounds[r] = (bench_now() - t) / CALLS / 1e3;
    }
    struct bench_spread s = bench_spread(rounds, ROUNDS);
    printf("warm call of a kept instance  %.3f us (%.3f to %.3f)\n", s.median, s.min, s.max);
    cis_instance_free(instance);
}

/* A host call that does nothing much, and a memory read that hits the overlay. */
static void host_calls(void)
{
    static const char text[] =
        "(module (import \"cis\" \"input_len\" (func $len (result i64)))"
        " (import \"cis\" \"memory_set\" (func $set (param i32 i32 i32 i32)))"
        " (import \"cis\" \"memory_get\" (func $get (param i32 i32 i32 i32) (result i32)))"
        " (memory (export \"memory\") 1) (data (i32.const 0) \"keyvalue\")"
        " (func (export \"lens\") (param $n i32) (loop $l (drop (call $len))"
        "  (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $l (local.get $n))))"
        " (func (export \"gets\") (param $n i32)"
        "  (call $set (i32.const 0) (i32.const 3) (i32.const 3) (i32.const 5))"
        "  (loop $l (drop (call $get (i32.const 0) (i32.const 3) (i32.const 64) (i32.const 64)))"
        "  (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $l (local.get $n)))))";
    static const char *const grants[] = {"memory", NULL};
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    struct cis_error err;
    cis_module *m = load(text, sizeof text - 1);
    o.grants = grants;
    const char *const calls[] = {"lens", "gets"};
    for (int c = 0; c < 2; c++) {
        double rounds[ROUNDS];
        for (int r = 0; r < ROUNDS; r++) {
            cis_instance *instance = NULL;
            if (cis_instance_new(runtime, m, &o, &instance, &err) != CIS_E_OK) {
                die("instance", err.msg);
            }
            struct cis_value v = {CIS_I32, {.i32 = 1000000}};
            double t = bench_now();
            enum cis_code code = cis_instance_call(instance, calls[c], &v, 1, NULL, NULL, &err);
            rounds[r] = (bench_now() - t) / 1e6;
            if (code != CIS_E_OK) {
                die(calls[c], err.msg);
            }
            cis_instance_free(instance);
        }
        struct bench_spread s = bench_spread(rounds, ROUNDS);
        printf("%-29s %.1f ns (%.1f to %.1f)\n",
               c == 0 ? "host call cis.input_len" : "memory_get from the overlay", s.median, s.min,
               s.max);
    }
    cis_module_unref(m);
}

struct lane {
    int calls;
};

static void *drive(void *arg)
{
    const struct lane *lane = arg;
    for (int i = 0; i < lane->calls; i++) {
        cis_call_once();
    }
    return NULL;
}

static void throughput(void)
{
    static const int counts[] = {1, 2, 8, 64};
    double rate[4][ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        for (int c = 0; c < 4; c++) {
            pthread_t threads[64];
            struct lane lane = {20000 / counts[c]};
            double t = bench_now();
            for (int i = 0; i < counts[c]; i++) {
                pthread_create(&threads[i], NULL, drive, &lane);
            }
            for (int i = 0; i < counts[c]; i++) {
                pthread_join(threads[i], NULL);
            }
            rate[c][r] = lane.calls * counts[c] / ((bench_now() - t) / 1e9);
        }
    }
    double one = 0;
    for (int c = 0; c < 4; c++) {
        struct bench_spread s = bench_spread(rate[c], ROUNDS);
        one = c == 0 ? s.median : one;
        printf("cold calls, %2d threads        %.0f /s (%.0f to %.0f), %.2fx of one\n", counts[c],
               s.median, s.min, s.max, s.median / one);
    }
}

static void live(void)
{
    enum { N = 10000 };
    cis_runtime *big = NULL;
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct cis_error err;
    config.compile_in_process = true;
    config.max_memory = 128u << 20;
    config.pool_slots = N;
    if (cis_runtime_new(&config, &big, &err) != CIS_E_OK) {
        die("runtime", err.msg);
    }
    cis_module *m = NULL;
    if (cis_module_load(big, guest, sizeof guest - 1, "guest", &m, &err) != CIS_E_OK) {
        die("load", err.msg);
    }
    cis_instance **all = calloc(N, sizeof *all);
    long before = bench_rss_kib();
    int made = 0;
    for (; made < N; made++) {
        struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
        o.time_ms = 2000;
        struct cis_value v = {CIS_I32, {.i32 = 65536}}, out;
        size_t n = 1;
        if (cis_instance_new(big, m, &o, &all[made], &err) != CIS_E_OK ||
            cis_instance_call(all[made], "execute", &v, 1, &out, &n, &err) != CIS_E_OK) {
            printf("live instances: only %d: %s\n", made, err.msg);
            break;
        }
    }
    if (made > 0) {
        printf("live instances                %d, three touched pages each: %.1f KiB each\n", made,
               (double)(bench_rss_kib() - before) / made);
    }
    for (int i = 0; i < made; i++) {
        cis_instance_free(all[i]);
    }
    free(all);
    cis_module_unref(m);
    cis_runtime_free(big);
}

/* ---- a large module: what a cache of compiled code is for ---- */
struct bytes {
    unsigned char *at;
    size_t n;
};

static void put(struct bytes *b, const void *data, size_t n)
{
    memcpy(b->at + b->n, data, n);
    b->n += n;
}

static void put_leb(struct bytes *b, size_t value, int width)
{
    for (int i = 0; i < width; i++, value >>= 7) {
        b->at[b->n++] = (unsigned char)((value & 127) | (i + 1 < width ? 128 : 0));
    }
}

enum { FUNCTIONS = 40000, STEPS = 85 };

/* Sections 1 (type), 3 (functions), 7 (one export) and 10 (code) by hand; ~20 MB. */
static struct bytes large_wasm(void)
{
    struct bytes b = {malloc(32u << 20), 0};
    put(&b, "\0asm\1\0\0\0\x01\x06\x01\x60\x01\x7f\x01\x7f\x03", 17);
    put_leb(&b, FUNCTIONS + 5, 5);
    put_leb(&b, FUNCTIONS, 5);
    memset(b.at + b.n, 0, FUNCTIONS);
    b.n += FUNCTIONS;
    put(&b,
        "\x07\x05\x01\x01"
        "f\0\0\x0a",
        8);
    size_t body = 1 + 2 + STEPS * 6 + 1;
    put_leb(&b, 5 + FUNCTIONS * (5 + body), 5);
    put_leb(&b, FUNCTIONS, 5);
    unsigned seed = 1;
    for (int f = 0; f < FUNCTIONS; f++) {
        put_leb(&b, body, 5);
        put(&b, "\0\x20\0", 3);
        for (int i = 0; i < STEPS; i++) {
            static const unsigned char ops[] = {0x6a, 0x6b, 0x6c, 0x71, 0x72, 0x73};
            b.at[b.n++] = 0x41; /* i32.const */
            put_leb(&b, (unsigned)rand_r(&seed) & 0xFFFFFFF, 4);
            b.at[b.n - 1] &= 0x3f; /* positive */
            b.at[b.n++] = ops[rand_r(&seed) % 6];
        }
        b.at[b.n++] = 0x0b;
    }
    return b;
}

static double start_once(const struct bytes *wasm, const char *dir)
{
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct cis_error err;
    char cache[300], key[300];
    snprintf(cache, sizeof cache, "%s/code", dir);
    snprintf(key, sizeof key, "%s/key", dir);
    config.compile_in_process = true;
    config.cache_dir = cache;
    config.cache_key_file = key;
    cis_runtime *r = NULL;
    cis_module *m = NULL;
    if (cis_runtime_new(&config, &r, &err) != CIS_E_OK) {
        die("runtime", err.msg);
    }
    double t = bench_now();
    if (cis_module_load(r, wasm->at, wasm->n, "large", &m, &err) != CIS_E_OK) {
        die("large module", err.msg);
    }
    t = bench_now() - t;
    cis_module_unref(m);
    cis_runtime_free(r);
    return t / 1e6;
}

static void large_module(void)
{
    char dir[] = "/tmp/cis-bench-XXXXXX";
    struct bytes wasm = large_wasm();
    if (mkdtemp(dir) == NULL) {
        die("large module", "no temporary folder");
    }
    double first = start_once(&wasm, dir), again[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        again[r] = start_once(&wasm, dir);
    }
    struct bench_spread s = bench_spread(again, ROUNDS);
    printf(
        "module of %.1f MB             first start %.0f ms, second %.0f ms (%.0f to %.0f), %.0fx\n",
        (double)wasm.n / 1e6, first, s.median, s.min, s.max, first / s.median);
    free(wasm.at);
    struct cis_error err;
    if (cis_file_remove_tree(dir, &err) != CIS_E_OK) {
        die("clean up", err.msg);
    }
}

/* With a word as argument: only that part. */
static bool wanted(int argc, char **argv, const char *part)
{
    return argc < 2 || strcmp(argv[1], part) == 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    open_runtime();
    if (wanted(argc, argv, "calls")) {
        cold_calls();
        warm_calls();
        host_calls();
    }
    if (wanted(argc, argv, "threads")) {
        throughput();
    }
    cis_module_unref(module);
    cis_runtime_free(runtime);
    if (wanted(argc, argv, "live")) {
        live();
    }
    if (wanted(argc, argv, "large")) {
        large_module();
    }
    return 0;
}
