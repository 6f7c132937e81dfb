/* The engine's rooms against the bare engine under it, in one run: cold and warm calls, host calls,
 * live instances, deadlines of many loops, threads, and what the code generator's settings cost.
 * The bare engine is the same Wasmtime engine with the same module, without our layers. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "bench/measure.h"
#include "engine/instance/instance.h"
#include "engine/code/code.h"

enum { ROUNDS = 7, CALLS = 3000, LIVE = 10000 };

static const char guest_text[] =
    "(module (import \"e\" \"h\" (func $h (param i32) (result i32)))"
    " (memory (export \"memory\") 17) (data (i32.const 1048576) \"abc\")"
    " (func (export \"f\") (param i32) (result i32) (i32.store (i32.const 64) (local.get 0))"
    "  (i32.store8 (i32.const 1048579) (i32.const 1)) (call $h (local.get 0)))"
    " (func (export \"n\") (param i32) (result i32) (loop $x (drop (call $h (local.get 0)))"
    "  (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $x (local.get 0))) (i32.const 0))"
    " (func (export \"spin\") (loop $x (br $x)))"
    " (func (export \"fill\") (drop (memory.grow (i32.const 1000))) (loop $x"
    "  (memory.fill (i32.const 0) (i32.const 1) (i32.const 66000000))"
    "  (memory.copy (i32.const 0) (i32.const 4096) (i32.const 66000000)) (br $x))))";
static const char env_text[] =
    "(module (import \"e\" \"h\" (func $h (param i32) (result i32)))"
    " (import \"env\" \"memory\" (memory 17 8192)) (data (i32.const 1048576) \"abc\")"
    " (func (export \"f\") (param i32) (result i32) (i32.store (i32.const 64) (local.get 0))"
    "  (i32.store8 (i32.const 1048579) (i32.const 1)) (call $h (local.get 0))))";
static const char loop_text[] =
    "(module (memory (export \"memory\") 16)"
    " (func (export \"compute\") (param i32) (result i32) (local i32) (loop $x"
    "  (local.set 1 (i32.add (i32.mul (local.get 1) (i32.const 1103515245)) (local.get 0)))"
    "  (br_if $x (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 1))"
    " (func (export \"memory_loop\") (param i32) (result i32) (local i32 i32) (loop $x"
    "  (local.set 2 (i32.and (i32.mul (local.get 0) (i32.const 2654435)) (i32.const 0xffffc)))"
    "  (i32.store (local.get 2) (i32.add (i32.load (local.get 2)) (local.get 0)))"
    "  (br_if $x (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (i32.load (i32.const 8))))";

static void check(wasmtime_error_t *error)
{
    if (error != NULL) {
        wasm_name_t text;
        wasmtime_error_message(error, &text);
        fprintf(stderr, "bare engine: %.*s\n", (int)text.size, text.data);
        exit(1);
    }
}

static void must(cis_code code, const struct cis_error *err)
{
    if (code != CIS_OK) {
        fprintf(stderr, "%s: %s\n", cis_code_name(code), err->msg);
        exit(1);
    }
}

/* ---- our side ---- */

static cis_code ours_h(cis_engine_instance *guest, union cis_slot *io, struct cis_error *err)
{
    (void)guest;
    (void)io;
    (void)err;
    return CIS_OK;
}

static const struct cis_hostfn row = {
    .module = "e", .name = "h", .type = "i:i", .cost = 1, .handler = ours_h, .params = "n"};

static const struct cis_hostfn *resolve(void *self, const struct cis_extern *import)
{
    (void)self;
    return cis_str_is(import->name, "h") ? &row : NULL;
}

static cis_engine *open_engine(uint32_t pool)
{
    struct cis_error err = {0};
    cis_engine *engine = NULL;
    struct cis_engine_options o = {.pool_slots = pool, .compile_in_process = true};
    must(cis_engine_open(&o, &engine, &err), &err);
    return engine;
}

static cis_linked *link_text(cis_engine *engine, const char *text)
{
    struct cis_error err = {0};
    cis_engine_module *image = NULL;
    cis_linked *program = NULL;
    struct cis_engine_module_options o = {.stop = {.deadline_ns = CIS_NEVER}};
    must(cis_engine_module_load(engine, cis_bytes_of(text, strlen(text)), &o, &image, &err), &err);
    must(cis_linked_new(image, resolve, NULL, &program, &err), &err);
    cis_engine_module_unref(image);
    return program;
}

static cis_engine_instance *make(cis_engine *engine, cis_linked *program, uint64_t deadline)
{
    struct cis_error err = {0};
    cis_engine_instance *guest = NULL;
    struct cis_engine_instance_options o = {
        .limits = {.memory_bytes = 128u << 20, .host_bytes = 1u << 20},
        .stop = {.deadline_ns = deadline}};
    must(cis_engine_instance_new(engine, program, &o, &guest, &err), &err);
    return guest;
}

static void ours_call(cis_engine_instance *guest, const char *name, int32_t arg)
{
    struct cis_error err = {0};
    union cis_slot io[1] = {{.i32 = arg}};
    must(cis_engine_instance_call(guest, cis_str_of(name), "i:i", io, &err), &err);
}

static void ours_cold(cis_engine *engine, cis_linked *program)
{
    cis_engine_instance *guest = make(engine, program, cis_clock_mono_ns() + 30 * CIS_NS_PER_S);
    ours_call(guest, "f", 7);
    cis_engine_instance_free(guest);
}

/* ---- the bare side ---- */

struct bare {
    wasm_engine_t *engine;
    wasmtime_instance_pre_t *pre;
};

struct bare_guest {
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    wasmtime_instance_t instance;
};

static wasm_trap_t *bare_h(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *io, size_t n)
{
    (void)env;
    (void)caller;
    (void)io;
    (void)n;
    return NULL;
}

static struct bare bare_link(wasm_engine_t *engine, const wasmtime_module_t *module)
{
    struct bare b = {.engine = engine};
    wasmtime_linker_t *linker = wasmtime_linker_new(engine);
    wasm_functype_t *type = wasm_functype_new_1_1(wasm_valtype_new_i32(), wasm_valtype_new_i32());
    check(wasmtime_linker_define_func_unchecked(linker, "e", 1, "h", 1, type, bare_h, NULL, NULL));
    check(wasmtime_linker_instantiate_pre(linker, module, &b.pre));
    wasm_functype_delete(type);
    wasmtime_linker_delete(linker);
    return b;
}

static struct bare_guest bare_make(const struct bare *b)
{
    struct bare_guest g;
    wasm_trap_t *trap = NULL;
    g.store = wasmtime_store_new(b->engine, NULL, NULL);
    g.context = wasmtime_store_context(g.store);
    wasmtime_store_limiter(g.store, 128 << 20, 10000, 1, 1, 1);
    wasmtime_context_set_epoch_deadline(g.context, 1u << 30);
    check(wasmtime_instance_pre_instantiate(b->pre, g.context, &g.instance, &trap));
    return g;
}

static void bare_call(struct bare_guest *g, const char *name, int32_t arg)
{
    wasmtime_extern_t item;
    wasm_trap_t *trap = NULL;
    wasmtime_val_raw_t io[1] = {{.i32 = arg}};
    if (!wasmtime_instance_export_get(g->context, &g->instance, name, strlen(name), &item)) {
        exit(1);
    }
    check(wasmtime_func_call_unchecked(g->context, &item.of.func, io, 1, &trap));
}

static void bare_cold(const struct bare *b)
{
    struct bare_guest g = bare_make(b);
    bare_call(&g, "f", 7);
    wasmtime_store_delete(g.store);
}

/* ---- rows ---- */

static void print_spread(const char *name, double *rounds, const char *unit)
{
    struct bench_spread s = bench_spread(rounds, ROUNDS);
    printf("  %-44s %9.2f %s (%.2f to %.2f)\n", name, s.median, unit, s.min, s.max);
}

static void cold_calls(cis_engine *engine, cis_linked *program, cis_linked *env,
                       const struct bare *bare)
{
    static double t[CALLS];
    double p50[3][ROUNDS], p99[3][ROUNDS], ratio[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        for (int kind = 0; kind < 3; kind++) {
            for (int i = 0; i < CALLS; i++) {
                double start = bench_now();
                if (kind == 0) {
                    bare_cold(bare);
                } else {
                    ours_cold(engine, kind == 1 ? program : env);
                }
                t[i] = (bench_now() - start) / 1e3;
            }
            p50[kind][r] = bench_percentile(t, CALLS, 50);
            p99[kind][r] = bench_percentile(t, CALLS, 99);
        }
        ratio[r] = p50[1][r] / p50[0][r];
    }
    printf("cold call: new guest, one call, freed\n");
    print_spread("bare engine p50", p50[0], "us");
    print_spread("bare engine p99", p99[0], "us");
    print_spread("ours p50", p50[1], "us");
    print_spread("ours p99", p99[1], "us");
    print_spread("ours / bare, p50", ratio, "x ");
    print_spread("ours, guest imports env.memory, p50", p50[2], "us");
    print_spread("ours, guest imports env.memory, p99", p99[2], "us");
}

static void warm_and_host_calls(cis_engine *engine, cis_linked *program, const struct bare *bare)
{
    enum { N = 5000000, WARM = 20000 };
    double host[2][ROUNDS], more[ROUNDS], warm[2][ROUNDS];
    cis_engine_instance *guest = make(engine, program, CIS_NEVER);
    struct bare_guest b = bare_make(bare);
    for (int r = 0; r < ROUNDS; r++) {
        double start = bench_now();
        bare_call(&b, "n", N);
        host[0][r] = (bench_now() - start) / N;
        start = bench_now();
        ours_call(guest, "n", N);
        host[1][r] = (bench_now() - start) / N;
        more[r] = host[1][r] - host[0][r];
        start = bench_now();
        for (int i = 0; i < WARM; i++) {
            bare_call(&b, "f", i);
        }
        warm[0][r] = (bench_now() - start) / WARM / 1e3;
        start = bench_now();
        for (int i = 0; i < WARM; i++) {
            ours_call(guest, "f", i);
        }
        warm[1][r] = (bench_now() - start) / WARM / 1e3;
    }
    cis_engine_instance_free(guest);
    wasmtime_store_delete(b.store);
    printf("host call\n");
    print_spread("bare engine", host[0], "ns");
    print_spread("ours", host[1], "ns");
    print_spread("ours over bare", more, "ns");
    printf("call of a kept instance\n");
    print_spread("bare engine", warm[0], "us");
    print_spread("ours", warm[1], "us");
}

static void live(cis_engine *engine, cis_linked *program)
{
    static cis_engine_instance *all[LIVE];
    ours_cold(engine, program);
    long before = bench_rss_kib();
    for (int i = 0; i < LIVE; i++) {
        all[i] = make(engine, program, CIS_NEVER);
        ours_call(all[i], "f", i);
    }
    printf("live instances, three touched pages each\n  %-44s %9.1f KiB\n", "10,000 at once, each",
           (double)(bench_rss_kib() - before) / LIVE);
    for (int i = 0; i < LIVE; i++) {
        cis_engine_instance_free(all[i]);
    }
}

struct looper {
    cis_engine *engine;
    cis_linked *program;
    const char *entry;
    uint64_t deadline;
    double over_ms;
    pthread_t thread;
    pthread_barrier_t *all; /* threads of a pool: they outlive their guests */
};

static void *loop_main(void *arg)
{
    struct looper *l = arg;
    if (l->deadline == 0) {
        l->deadline = cis_clock_mono_ns() + CIS_NS_PER_S;
    }
    cis_engine_instance *guest = NULL;
    struct cis_engine_instance_options o = {
        .limits = {.memory_bytes = 128u << 20, .host_bytes = 1u << 20},
        .stop = {.deadline_ns = l->deadline}};
    union cis_slot io[1] = {{0}};
    cis_code code = cis_engine_instance_new(l->engine, l->program, &o, &guest, NULL);
    if (code == CIS_OK) {
        code = cis_engine_instance_call(guest, cis_str_of(l->entry), ":", io, NULL);
    }
    l->over_ms = ((double)cis_clock_mono_ns() - (double)l->deadline) / 1e6;
    if (code != CIS_E_DEADLINE) {
        fprintf(stderr, "loop ended with %s\n", cis_code_name(code));
        exit(1);
    }
    cis_engine_instance_free(guest);
    pthread_barrier_wait(l->all);
    return NULL;
}

enum deadlines { OWN_START, SAME_INSTANT, STAGGERED };

static void overshoot(cis_engine *engine, cis_linked *program, const char *entry, int n,
                      enum deadlines kind)
{
    static const char *const names[] = {"1 s from each start", "the same instant",
                                        "staggered by 2 ms"};
    struct looper *l = calloc((size_t)n, sizeof *l);
    double *over = calloc((size_t)n, sizeof *over);
    pthread_attr_t attr;
    pthread_barrier_t all;
    pthread_barrier_init(&all, NULL, (unsigned)n);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 1u << 20);
    uint64_t first = cis_clock_mono_ns() + CIS_NS_PER_S;
    for (int i = 0; i < n; i++) {
        uint64_t at = first + (kind == STAGGERED ? (uint64_t)i * 2 * CIS_NS_PER_MS : 0);
        l[i] = (struct looper){engine, program, entry, kind == OWN_START ? 0 : at, 0, 0, &all};
        if (pthread_create(&l[i].thread, &attr, loop_main, &l[i]) != 0) {
            exit(1);
        }
    }
    for (int i = 0; i < n; i++) {
        pthread_join(l[i].thread, NULL);
        over[i] = l[i].over_ms;
    }
    pthread_barrier_destroy(&all);
    printf("  %4d x %-5s %-22s %9.2f ms p50, %8.2f ms p99, %8.2f ms worst\n", n, entry, names[kind],
           bench_percentile(over, (size_t)n, 50), bench_percentile(over, (size_t)n, 99),
           bench_percentile(over, (size_t)n, 100));
    free(l);
    free(over);
}

/* A thread of the host's own beside the guests: it sleeps a millisecond and notes how late it is.
 */
struct server {
    atomic_bool stop;
    double late_ms[20000];
    size_t n;
};

static void *server_main(void *arg)
{
    struct server *s = arg;
    while (!atomic_load(&s->stop) && s->n < sizeof s->late_ms / sizeof *s->late_ms) {
        struct timespec nap = {0, 1000000};
        uint64_t due = cis_clock_mono_ns() + CIS_NS_PER_MS;
        nanosleep(&nap, NULL);
        s->late_ms[s->n++] = (double)(cis_clock_mono_ns() - due) / 1e6;
    }
    return NULL;
}

static void beside(cis_engine *engine, cis_linked *program)
{
    static struct server s;
    pthread_t thread;
    pthread_create(&thread, NULL, server_main, &s);
    overshoot(engine, program, "spin", 1000, OWN_START);
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    printf("  a host thread beside those, late by   %9.2f ms p50, %8.2f ms p99, %8.2f ms worst\n",
           bench_percentile(s.late_ms, s.n, 50), bench_percentile(s.late_ms, s.n, 99),
           bench_percentile(s.late_ms, s.n, 100));
}

static void overshoots(cis_engine *engine, cis_linked *program)
{
    static const int counts[] = {1, 64, 1000};
    printf("deadline overshoot, limit 1 s\n");
    for (int kind = OWN_START; kind <= STAGGERED; kind++) {
        for (size_t i = 0; i < 3; i++) {
            overshoot(engine, program, "spin", counts[i], (enum deadlines)kind);
        }
    }
    beside(engine, program);
    overshoot(engine, program, "fill", 1, OWN_START);
    overshoot(engine, program, "fill", 8, OWN_START);
}

struct worker {
    cis_engine *engine;
    cis_linked *program;
    const struct bare *bare;
    uint64_t until, calls;
    pthread_t thread;
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    while (cis_clock_mono_ns() < w->until) {
        if (w->bare != NULL) {
            bare_cold(w->bare);
        } else {
            ours_cold(w->engine, w->program);
        }
        w->calls++;
    }
    return NULL;
}

static double throughput(cis_engine *engine, cis_linked *program, const struct bare *bare, int n)
{
    struct worker w[64];
    uint64_t calls = 0, start = cis_clock_mono_ns();
    for (int i = 0; i < n; i++) {
        w[i] = (struct worker){engine, program, bare, start + CIS_NS_PER_S / 2, 0, 0};
        pthread_create(&w[i].thread, NULL, worker_main, &w[i]);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(w[i].thread, NULL);
        calls += w[i].calls;
    }
    return (double)calls / ((double)(cis_clock_mono_ns() - start) / 1e9);
}

static void throughputs(cis_engine *engine, cis_linked *program, const struct bare *bare)
{
    static const int counts[] = {1, 2, 8, 64};
    double ours[4][3], plain[4][3];
    for (int r = 0; r < 3; r++) {
        for (int i = 0; i < 4; i++) {
            plain[i][r] = throughput(engine, program, bare, counts[i]);
            ours[i][r] = throughput(engine, program, NULL, counts[i]);
        }
    }
    printf("cold calls a second, threads\n");
    double one[2] = {0};
    for (int i = 0; i < 4; i++) {
        struct bench_spread o = bench_spread(ours[i], 3), b = bench_spread(plain[i], 3);
        one[0] = i == 0 ? o.median : one[0];
        one[1] = i == 0 ? b.median : one[1];
        printf("  %2d threads: ours %8.0f (%.0f to %.0f, %.2fx one thread), bare %8.0f (%.2fx)\n",
               counts[i], o.median, o.min, o.max, o.median / one[0], b.median, b.median / one[1]);
    }
}

/* ---- what settings of the code generator cost ---- */

static struct bare_guest configured(bool epoch, uint64_t reservation)
{
    wasm_config_t *config = wasm_config_new();
    wasmtime_config_epoch_interruption_set(config, epoch);
    wasmtime_config_memory_reservation_set(config, reservation);
    struct bare b = {.engine = wasm_engine_new_with_config(config)};
    wasm_byte_vec_t bytes;
    wasmtime_module_t *module = NULL;
    check(wasmtime_wat2wasm(loop_text, sizeof loop_text - 1, &bytes));
    check(wasmtime_module_new(b.engine, (const uint8_t *)bytes.data, bytes.size, &module));
    b = bare_link(b.engine, module);
    return bare_make(&b);
}

static void compare(const char *title, const char *entry, struct bare_guest *a, const char *a_name,
                    struct bare_guest *b, const char *b_name)
{
    enum { N = 30000000 };
    double t[2][ROUNDS], ratio[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        double start = bench_now();
        bare_call(a, entry, N);
        t[0][r] = (bench_now() - start) / N;
        start = bench_now();
        bare_call(b, entry, N);
        t[1][r] = (bench_now() - start) / N;
        ratio[r] = t[1][r] / t[0][r];
    }
    printf("%s\n", title);
    print_spread(a_name, t[0], "ns");
    print_spread(b_name, t[1], "ns");
    print_spread("ratio", ratio, "x ");
}

/* With a word as argument: only that part. */
static bool wanted(int argc, char **argv, const char *part)
{
    return argc < 2 || strcmp(argv[1], part) == 0;
}

static void settings(void)
{
    struct bare_guest with = configured(true, 512u << 20), without = configured(false, 512u << 20);
    struct bare_guest wide = configured(true, 4ull << 30);
    compare("compute loop, one turn", "compute", &without, "no epochs", &with, "epochs");
    compare("load/store loop, one turn", "memory_loop", &wide, "4 GiB reservations", &with,
            "512 MiB slots");
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    cis_engine *engine = open_engine(1100);
    cis_linked *program = link_text(engine, guest_text), *env = link_text(engine, env_text);
    const cis_engine_module *image = cis_linked_module(program);
    struct bare bare = bare_link(image->profile->wasm, image->module);
    if (wanted(argc, argv, "calls")) {
        cold_calls(engine, program, env, &bare);
        warm_and_host_calls(engine, program, &bare);
    }
    if (wanted(argc, argv, "threads")) {
        throughputs(engine, program, &bare);
    }
    if (wanted(argc, argv, "deadlines")) {
        overshoots(engine, program);
    }
    if (wanted(argc, argv, "settings")) {
        settings();
    }
    wasmtime_instance_pre_delete(bare.pre);
    cis_linked_unref(env);
    cis_linked_unref(program);
    cis_engine_close(engine);

    if (wanted(argc, argv, "live")) {
        engine = open_engine(LIVE + 1);
        program = link_text(engine, guest_text);
        live(engine, program);
        cis_linked_unref(program);
        cis_engine_close(engine);
    }
    return 0;
}
