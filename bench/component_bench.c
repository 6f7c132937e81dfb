/* Components in process: an instance of a program with WASI 0.2 beside the bare engine's, and a
 * call of a skill that is a component, from nothing to its output.
 *
 *   component_bench PROGRAM.wasm    (a component of wasi:cli/command) */
#include <string.h>
#include "base/clock.h"
#include "base/file.h"
#include "bench/measure.h"
#include "cis/cis.h"
#include "engine/component/component.h"
#include "engine/instance/instance.h"
#include "engine/code/code.h"
#include "wasi/p2/p2.h"

enum { ROUNDS = 9, CALLS = 3000 };

/* cis:skill in its smallest form: gives its input back. */
static const char skill[] =
    "(component (core module $m (memory (export \"memory\") 17)"
    " (global $at (mut i32) (i32.const 4096))"
    " (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (local i32)"
    "  (local.set 4 (global.get $at))"
    "  (global.set $at (i32.add (global.get $at) (i32.and (i32.add (local.get 3) (i32.const 7))"
    "   (i32.const -8)))) (local.get 4))"
    " (func (export \"run\") (param i32 i32) (result i32) (i32.store8 (i32.const 16) (i32.const 0))"
    "  (i32.store (i32.const 20) (local.get 0)) (i32.store (i32.const 24) (local.get 1))"
    "  (i32.store (i32.const 1048576) (i32.const 1)) (i32.const 16)))"
    " (core instance $i (instantiate $m))"
    " (func (export \"run\") (param \"input\" string) (result (result string (error string)))"
    "  (canon lift (core func $i \"run\") (memory (core memory $i \"memory\"))"
    "   (realloc (core func $i \"realloc\")))))";
static const char input[] = "{\"name\":\"Ada\",\"n\":[1,2,3]}";

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void must(cis_code code, const struct cis_error *err)
{
    if (code != CIS_OK) {
        die(cis_code_name(code), err->msg);
    }
}

static void check(wasmtime_error_t *error)
{
    if (error != NULL) {
        wasm_name_t text;
        wasmtime_error_message(error, &text);
        die("bare engine", text.data);
    }
}

static void row(const char *name, double *rounds, const char *unit)
{
    struct bench_spread s = bench_spread(rounds, ROUNDS);
    printf("%-52s %8.2f %s (%.2f to %.2f)\n", name, s.median, unit, s.min, s.max);
}

/* ---- instances ---- */

static const struct cis_ifacefn *function(void *self, struct cis_str interface, struct cis_str name)
{
    (void)self;
    return cis_wasi_p2_function(interface, name);
}

static const struct cis_iface_resource *resource(void *self, struct cis_str interface,
                                                 struct cis_str name)
{
    (void)self;
    return cis_wasi_p2_resource(interface, name);
}

static void ours(cis_engine *engine, cis_linked *program)
{
    struct cis_error err = {0};
    cis_engine_instance *guest = NULL;
    struct cis_engine_instance_options o = {
        .limits = {.memory_bytes = 128u << 20, .host_bytes = 1u << 20},
        .stop = {.deadline_ns = cis_clock_mono_ns() + 30 * CIS_NS_PER_S}};
    must(cis_engine_instance_new(engine, program, &o, &guest, &err), &err);
    cis_engine_instance_free(guest);
}

static bool memory_yes(void *self, uint64_t now, uint64_t wanted, bool has_max, uint64_t max)
{
    (void)self, (void)now, (void)has_max, (void)max;
    return wanted <= 128u << 20;
}

static bool table_yes(void *self, uint64_t now, uint64_t wanted, bool has_max, uint64_t max)
{
    (void)self, (void)now, (void)has_max, (void)max;
    return wanted <= 100000;
}

/* The engine with the limits that any embedder sets, every import a function that traps. */
static void bare(wasm_engine_t *engine, const struct cis_glue_pre *pre)
{
    static const struct cis_glue_limiter limiter = {.memory_growing = memory_yes,
                                                    .table_growing = table_yes,
                                                    .max_instances = 1000,
                                                    .max_tables = 1000,
                                                    .max_memories = 1000};
    wasmtime_component_instance_t instance;
    wasmtime_store_t *store = wasmtime_store_new(engine, NULL, NULL);
    wasmtime_context_t *context = wasmtime_store_context(store);
    cis_glue_store_limiter(store, &limiter);
    wasmtime_context_set_epoch_deadline(context, 1u << 30);
    check(cis_glue_pre_instantiate(pre, context, &instance));
    wasmtime_store_delete(store);
}

static void instances(const char *path)
{
    struct cis_error err = {0};
    struct cis_engine_options eo = {.pool_slots = 200, .compile_in_process = true};
    struct cis_engine_module_options io = {.name = path, .stop = {.deadline_ns = CIS_NEVER}};
    struct cis_iface_provider provider = {.function = function, .resource = resource};
    struct cis_buf wasm = CIS_BUF_INIT(64u << 20);
    cis_engine *engine = NULL;
    cis_engine_module *image = NULL;
    cis_linked *program = NULL;
    must(cis_file_read(path, &wasm, &err), &err);
    must(cis_engine_open(&eo, &engine, &err), &err);
    must(cis_engine_module_load(engine, cis_buf_bytes(&wasm), &io, &image, &err), &err);
    must(cis_component_link(image, &provider, &io.stop, &program, &err), &err);

    wasmtime_component_linker_t *linker = wasmtime_component_linker_new(image->profile->wasm);
    struct cis_glue_pre *pre = NULL;
    check(wasmtime_component_linker_define_unknown_imports_as_traps(linker, image->component));
    check(cis_glue_pre_new(linker, image->component, &pre));

    double t[2][ROUNDS], ratio[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        double begin = bench_now();
        for (int i = 0; i < CALLS; i++) {
            bare(image->profile->wasm, pre);
        }
        double middle = bench_now();
        for (int i = 0; i < CALLS; i++) {
            ours(engine, program);
        }
        t[0][r] = (middle - begin) / CALLS / 1e3;
        t[1][r] = (bench_now() - middle) / CALLS / 1e3;
        ratio[r] = t[1][r] / t[0][r];
    }
    printf("%s, %zu imports, pooled: %s\n", path, cis_engine_module_info(image)->nimports,
           image->profile->pool.total != 0 ? "yes" : "no");
    row("instance, bare engine", t[0], "us");
    row("instance, cis (goal: at most 15)", t[1], "us");
    row("ratio (goal: at most 1.2)", ratio, "x");
    cis_glue_pre_free(pre);
    wasmtime_component_linker_delete(linker);
    cis_linked_unref(program);
    cis_engine_module_unref(image);
    cis_engine_close(engine);
    cis_buf_done(&wasm);
}

/* ---- calls of a skill ---- */

static void call(cis_runtime *runtime, cis_module *module)
{
    struct cis_error err;
    cis_result *result = NULL;
    if (cis_run(runtime, module, input, sizeof input - 1, NULL, &result, &err) != CIS_E_OK ||
        cis_result_code(result) != CIS_E_OK) {
        die("run", result != NULL ? cis_result_message(result) : err.msg);
    }
    size_t len;
    const char *output = cis_result_output(result, &len);
    if (len != sizeof input - 1 || memcmp(output, input, len) != 0) {
        die("run", "wrong output");
    }
    cis_result_free(result);
}

static void calls(void)
{
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct cis_error err;
    cis_runtime *runtime = NULL;
    cis_module *module = NULL;
    config.compile_in_process = true;
    config.max_memory = 128u << 20;
    if (cis_runtime_new(&config, &runtime, &err) != CIS_E_OK ||
        cis_module_load(runtime, skill, sizeof skill - 1, "skill", &module, &err) != CIS_E_OK) {
        die("skill", err.msg);
    }
    static double samples[CALLS];
    double p50[ROUNDS], p99[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < CALLS; i++) {
            double begin = bench_now();
            call(runtime, module);
            samples[i] = bench_now() - begin;
        }
        p50[r] = bench_percentile(samples, CALLS, 50) / 1e3;
        p99[r] = bench_percentile(samples, CALLS, 99) / 1e3;
    }
    row("cold call of a component skill, p50", p50, "us");
    row("cold call of a component skill, p99 (goal: < 200)", p99, "us");
    cis_module_unref(module);
    cis_runtime_free(runtime);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        die("usage", "component_bench PROGRAM.wasm");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    instances(argv[1]);
    calls();
    return 0;
}
