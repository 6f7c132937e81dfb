/* Loading images: one compile for many threads, limits of the compiler, what is remembered, and
 * which instances are pooled. */
#include "engine/code/module.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include "base/clock.h"
#include "engine/code/code.h"
#include "engine/component/component.h"
#include "fixture.h"
#include "modules.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static int first_rounds = 1; /* the argument: how often 64 threads ask at once */

static cis_engine *open_with(const struct cis_engine_options *options)
{
    cis_engine *engine = NULL;
    assert_ok(cis_engine_open(options, &engine, err));
    return engine;
}

static struct cis_engine_options memory_only(void)
{
    return (struct cis_engine_options){.pool_slots = 16, .compiler = HELPER};
}

static const struct cis_engine_module_options plain = {.name = "t.wasm"};

static struct cis_buf bomb(void)
{
    struct cis_buf m = CIS_BUF_INIT(1u << 20);
    put_bomb(&m, 5000, 10000); /* 90 KB */
    assert_int_equal(m.failed, CIS_OK);
    return m;
}

/* ---- happy ---- */

struct shared {
    cis_engine *engine;
    pthread_barrier_t barrier;
    atomic_uint ok;
};

static void *load_together(void *arg)
{
    struct shared *s = arg;
    pthread_barrier_wait(&s->barrier);
    cis_engine_module *image = NULL;
    if (cis_engine_module_load(s->engine, wat(ADD_WAT), &plain, &image, NULL) == CIS_OK) {
        atomic_fetch_add(&s->ok, cis_engine_module_export(image, CIS_STR("add")) != NULL);
        cis_engine_module_unref(image);
    }
    return NULL;
}

static void sixty_four_first_calls_are_one_compile(void **state)
{
    (void)state;
    for (int round = 0; round < first_rounds; round++) {
        struct cis_engine_options options = memory_only();
        struct shared s = {.engine = open_with(&options)};
        pthread_t threads[64];
        pthread_barrier_init(&s.barrier, NULL, 64);
        for (size_t i = 0; i < 64; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, load_together, &s), 0);
        }
        for (size_t i = 0; i < 64; i++) {
            pthread_join(threads[i], NULL);
        }
        assert_int_equal(atomic_load(&s.ok), 64);
        struct cis_engine_stats st = stats_of(s.engine);
        assert_int_equal(st.compiled, 1);
        assert_int_equal(st.memory_hits, 63);
        pthread_barrier_destroy(&s.barrier);
        cis_engine_close(s.engine);
    }
}

static void in_process_is_an_opt_in(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__)
    skip(); /* the compiler's own threads are not instrumented */
#endif
    struct cis_engine_options options = {.pool_slots = 16};
    cis_engine *engine = NULL;
    assert_fails(CIS_E_USAGE, "opt in", cis_engine_open(&options, &engine, err));
    options.compile_in_process = true;
    engine = open_with(&options);
    cis_engine_module *image = NULL;
    assert_ok(cis_engine_module_load(engine, wat(ADD_WAT), &plain, &image, err));
    cis_engine_module_unref(image);
    assert_int_equal(stats_of(engine).compiled, 1);
    cis_engine_close(engine);
}

static void every_profile_compiles_in_the_child(void **state)
{
    (void)state;
    struct cis_engine_options options = memory_only();
    cis_engine *engine = open_with(&options);
    static const char *const texts[] = {ADD_WAT, "(module (memory i64 1))", "(module (tag))",
                                        "(module (memory i64 1) (tag))"};
    for (unsigned features = 0; features < 4; features++) {
        for (int fuel = 0; fuel < 2; fuel++) {
            struct cis_engine_module_options o = {
                .name = "t.wasm", .features = features, .fuel = fuel};
            cis_engine_module *image = NULL;
            assert_ok(cis_engine_module_load(engine, wat(texts[features]), &o, &image, err));
            assert_true(image->profile->pool.total != 0);
            cis_engine_module_unref(image);
        }
    }
    assert_int_equal(stats_of(engine).compiled, 8);
    cis_engine_close(engine);
}

static void text_is_a_module_too(void **state)
{
    (void)state;
    struct cis_engine_options options = memory_only();
    cis_engine *engine = open_with(&options);
    cis_engine_module *image = NULL;
    assert_fails(CIS_E_INVALID, "t.wasm:1:9: ",
                 cis_engine_module_load(engine, wat("(module frob)"), &plain, &image, err));
    assert_fails(CIS_E_INVALID, "native code (ELF)",
                 cis_engine_module_load(engine,
                                        cis_bytes_of("\x7f"
                                                     "ELF\2\1\1\0",
                                                     8),
                                        &plain, &image, err));
    assert_int_equal(stats_of(engine).compiled, 0);
    cis_engine_close(engine);
}

/* A component of n types of instances inside each other, as the bytes of a text without that word.
 * This process would overflow its stack. */
static void a_component_in_a_text_of_bytes_is_read_apart(void **state)
{
    enum { DEEP = 2000 };
    (void)state;
    struct cis_engine_options options = memory_only();
    cis_engine *engine = open_with(&options);
    cis_engine_module *image = NULL;
    struct cis_engine_module_info *info = NULL;
    struct cis_engine_module_options apart = {.name = "t.wasm", .compiler = HELPER};
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 16);
    uint32_t len = 1 + 3 * DEEP + 2;
    cis_buf_printf(&text, "(module %s \"\\00asm\\0d\\00\\01\\00\\07\\%02x\\%02x\\01", "binary",
                   len % 128 + 128, len / 128);
    for (int i = 0; i < DEEP; i++) {
        cis_buf_text(&text, "B\\01\\01");
    }
    cis_buf_text(&text, "B\\00\")");
    struct cis_bytes bytes = cis_buf_bytes(&text);
    assert_int_equal(text.failed, CIS_OK);
    struct cis_error err = {0}; /* how the compiler ended, which is not this process */
    assert_int_not_equal(cis_engine_module_load(engine, bytes, &plain, &image, &err), CIS_OK);
    assert_int_not_equal(cis_engine_module_scan(bytes, &apart, &info, &err), CIS_OK);
    cis_engine_close(engine);
}

/* ---- edge: pooled or not ---- */

static bool is_pooled(cis_engine *engine, const char *text, uint64_t limit)
{
    struct cis_engine_module_options options = {.name = "t.wasm", .memory_limit = limit};
    cis_engine_module *image = NULL;
    assert_ok(cis_engine_module_load(engine, wat(text), &options, &image, err));
    bool pooled = image->profile->pool.total != 0;
    cis_engine_module_unref(image);
    return pooled;
}

static void what_does_not_fit_a_slot_is_on_demand_never_refused(void **state)
{
    (void)state;
    struct cis_engine_options options = memory_only();
    cis_engine *engine = open_with(&options);
    assert_true(is_pooled(engine, ADD_WAT, 128u << 20));
    assert_false(is_pooled(engine, ADD_WAT, 1ull << 30)); /* a limit above the slot */
    assert_false(is_pooled(engine, "(module (memory 1) (memory 1))", 0));
    assert_false(is_pooled(engine, "(module (memory 8193))", 0));
    assert_true(is_pooled(engine, "(module (table 20000 20000 funcref))", 0));
    assert_false(is_pooled(engine, "(module (table 20001 20001 funcref))", 0));
    assert_true(is_pooled(engine, "(module (table 1 funcref))", 0)); /* no maximum, never grows */
    assert_false(is_pooled(engine,
                           "(module (table 1 funcref) (func (export \"g\") (drop (table.grow "
                           "(ref.null func) (i32.const 1)))))",
                           0));
    assert_false(is_pooled(engine,
                           "(module (table 1 1 funcref) (table 1 1 funcref) (table 1 1 funcref)"
                           " (table 1 1 funcref) (table 1 1 funcref))",
                           0));
    cis_engine_close(engine);
}

static void too_many_globals_for_a_slot_are_on_demand(void **state)
{
    (void)state;
    struct cis_buf text = CIS_BUF_INIT(8u << 20);
    cis_buf_text(&text, "(module");
    for (int i = 0; i < 70000; i++) {
        cis_buf_text(&text, "(global i32 (i32.const 1))");
    }
    cis_buf_text(&text, ")");
    struct cis_engine_options options = memory_only();
    cis_engine *engine = open_with(&options);
    assert_false(is_pooled(engine, cis_buf_cstr(&text), 0));
    cis_engine_close(engine);
    cis_buf_done(&text);
}

static void a_refused_reservation_halves_the_pool(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip(); /* shadow memory leaves another address space */
    }
    struct cis_engine_options options = memory_only();
    options.pool_slots = 512;
    options.slot_bytes = 1ull << 40; /* 512 TiB: more than there is; some power of two of it fits */
    cis_engine *engine = open_with(&options);
    assert_true(is_pooled(engine, ADD_WAT, 1 << 20));
    struct cis_engine_stats s = stats_of(engine);
    assert_true(s.pooled && s.pool_slots > 0 && s.pool_slots < 512);
    cis_engine_close(engine);
}

static void without_any_pool_guests_are_on_demand(void **state)
{
    (void)state;
    struct cis_engine_options options = memory_only();
    options.slot_bytes = 1ull << 46;
    cis_engine *engine = open_with(&options);
    assert_false(is_pooled(engine, ADD_WAT, 1 << 20));
    struct cis_engine_stats s = stats_of(engine);
    assert_false(s.pooled);
    assert_int_equal(s.pool_slots, 0);
    cis_engine_close(engine);
}

static void ten_thousand_imports_load(void **state)
{
    (void)state;
    struct cis_buf text = CIS_BUF_INIT(4u << 20);
    cis_buf_text(&text, "(module");
    for (int i = 0; i < 10000; i++) {
        cis_buf_printf(&text, "(import \"env\" \"f%d\" (func))", i);
    }
    cis_buf_text(&text, ")");
    struct cis_engine_options options = memory_only();
    cis_engine *engine = open_with(&options);
    is_pooled(engine, cis_buf_cstr(&text), 0);
    assert_int_equal(stats_of(engine).compiled, 1);
    cis_engine_close(engine);
    cis_buf_done(&text);
}

/* ---- hostile ---- */

static void a_bomb_ends_at_the_memory_limit_and_is_remembered(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip(); /* no RLIMIT_AS beside shadow memory */
    }
    struct cis_engine_options options = memory_only();
    options.compile_memory = 300u << 20;
    cis_engine *engine = open_with(&options);
    struct cis_buf m = bomb();
    cis_engine_module *image = NULL;
    assert_fails(CIS_E_LIMIT,
                 "t.wasm: compiling it needs more than 300 MiB (compiler memory limit: "
                 "engine.compile_memory",
                 cis_engine_module_load(engine, cis_buf_bytes(&m), &plain, &image, err));
    struct cis_engine_module_options other = {.name = "other.wasm"};
    assert_fails(CIS_E_LIMIT, "other.wasm: compiling it needs more than 300 MiB",
                 cis_engine_module_load(engine, cis_buf_bytes(&m), &other, &image, err));
    assert_int_equal(stats_of(engine).compile_failures, 1);
    assert_ok(
        cis_engine_module_load(engine, wat(ADD_WAT), &plain, &image, err)); /* the host lives */
    cis_engine_module_unref(image);
    cis_buf_done(&m);
    cis_engine_close(engine);
}

static void a_bomb_ends_at_the_time_limit_and_is_remembered(void **state)
{
    (void)state;
    struct cis_buf m = bomb();
    uint64_t tried = 0;
    /* On a busy machine a short time may be over while the module is still read. */
    for (uint64_t ns = 200 * CIS_NS_PER_MS; tried == 0; ns *= 2) {
        struct cis_engine_options options = memory_only();
        options.compile_ns = ns;
        cis_engine *engine = open_with(&options);
        cis_engine_module *image = NULL;
        char text[80];
        assert_fails(CIS_E_LIMIT, "(compiler time limit: engine.compile_time, --compile-time)",
                     cis_engine_module_load(engine, cis_buf_bytes(&m), &plain, &image, err));
        tried = stats_of(engine).compile_failures;
        if (tried != 0) {
            snprintf(text, sizeof text, "t.wasm: compiling it takes more than %.1f s of processor",
                     (double)ns / (double)CIS_NS_PER_S);
            assert_fails(CIS_E_LIMIT, text,
                         cis_engine_module_load(engine, cis_buf_bytes(&m), &plain, &image, err));
            assert_int_equal(stats_of(engine).compile_failures, 1);
        }
        cis_engine_close(engine);
    }
    cis_buf_done(&m);
}

/* Compilers that end as one does that the system ends for want of memory. */
static void what_the_system_ended_is_not_the_modules_fault(void **state)
{
    struct place *p = *state;
    static const char *const ends[] = {
        "kill -9 $$", "echo 'memory allocation of 4096 bytes failed' >&2; kill -6 $$"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char path[600], text[2400];
        struct cis_engine_options options = memory_only();
        cis_engine_module *image = NULL;
        snprintf(path, sizeof path, "%s/ends%zu", p->root, i);
        snprintf(text, sizeof text,
                 "#!/bin/sh\nif [ -e %s.once ]; then exec %s \"$@\"; fi\n"
                 ": >%s.once\n%s\n",
                 path, HELPER, path, ends[i]);
        assert_ok(cis_file_write(path, wat(text), 0700, err));
        options.compiler = path;
        cis_engine *engine = open_with(&options);
        assert_fails(CIS_E_NOMEM, "this machine has no memory left",
                     cis_engine_module_load(engine, wat(ADD_WAT), &plain, &image, err));
        assert_ok(cis_engine_module_load(engine, wat(ADD_WAT), &plain, &image, err));
        cis_engine_module_unref(image);
        cis_engine_close(engine);
    }
}

/* The limits of address space (KiB) and processor time (s) that a compile of so many bytes runs
 * under when nobody sets one. */
static void limits_of(struct place *p, size_t bytes, uint64_t *out_kib, uint64_t *out_s)
{
    char path[600], said[620], text[2400];
    struct cis_engine_options options = memory_only();
    struct cis_buf m = CIS_BUF_INIT(16u << 20), words = CIS_BUF_INIT(256);
    cis_engine_module *image = NULL;
    snprintf(path, sizeof path, "%s/limits", p->root);
    snprintf(said, sizeof said, "%s.said", path);
    snprintf(text, sizeof text, "#!/bin/sh\necho $(ulimit -v) $(ulimit -t) >%s\nexec %s \"$@\"\n",
             said, HELPER);
    assert_ok(cis_file_write(path, wat(text), 0700, err));
    cis_buf_add(&m, "\0asm\1\0\0\0", 8);
    if (bytes != 0) { /* a custom section: five bytes of length, a name of none */
        const uint8_t head[] = {0,
                                (uint8_t)(bytes | 0x80),
                                (uint8_t)(bytes >> 7 | 0x80),
                                (uint8_t)(bytes >> 14 | 0x80),
                                (uint8_t)(bytes >> 21 | 0x80),
                                (uint8_t)(bytes >> 28)};
        cis_buf_add(&m, head, sizeof head);
        void *zeros = calloc(1, bytes);
        assert_non_null(zeros);
        cis_buf_add(&m, zeros, bytes);
        free(zeros);
    }
    assert_int_equal(m.failed, CIS_OK);
    options.compiler = path;
    cis_engine *engine = open_with(&options);
    assert_ok(cis_engine_module_load(engine, cis_buf_bytes(&m), &plain, &image, err));
    cis_engine_module_unref(image);
    cis_engine_close(engine);
    assert_ok(cis_file_read(said, &words, err));
    assert_int_equal(sscanf(cis_buf_cstr(&words), "%" SCNu64 " %" SCNu64, out_kib, out_s), 2);
    cis_buf_done(&words);
    cis_buf_done(&m);
}

/* Half of the machine's memory and not less than 2 GiB; a minute, and two seconds a MiB. */
static void limits_of_compiling_follow_the_machine_and_the_module(void **state)
{
    struct place *p = *state;
    if (SANITIZED) {
        skip(); /* no RLIMIT_AS beside shadow memory */
    }
    uint64_t kib, s, large_s, cgroup = UINT64_MAX;
    uint64_t have = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/sys/fs/cgroup/memory.max", "re");
    if (file != NULL) {
        if (fscanf(file, "%" SCNu64, &cgroup) == 1 && cgroup < have) {
            have = cgroup;
        }
        fclose(file);
    }
    limits_of(p, 0, &kib, &s);
    assert_int_equal(kib, (have / 2 > (uint64_t)2 << 30 ? have / 2 : (uint64_t)2 << 30) / 1024);
    assert_in_range(s, 60, 61);
    limits_of(p, 5u << 20, &kib, &large_s);
    assert_int_equal(large_s, s + 10);
}

static void the_callers_deadline_is_not_the_modules_fault(void **state)
{
    (void)state;
    struct cis_engine_options options = memory_only();
    cis_engine *engine = open_with(&options);
    struct cis_buf m = bomb();
    cis_engine_module *image = NULL;
    /* Tried again, not remembered; a short time may be over before the first try. */
    uint64_t ns = 100 * CIS_NS_PER_MS;
    while (stats_of(engine).compile_failures < 2) {
        struct cis_engine_module_options o = plain;
        o.stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(), ns);
        assert_fails(CIS_E_DEADLINE, "time limit",
                     cis_engine_module_load(engine, cis_buf_bytes(&m), &o, &image, err));
        ns = ns * 3 / 2;
    }
    cis_buf_done(&m);
    cis_engine_close(engine);
}

struct victim {
    cis_engine *engine;
    struct cis_bytes wasm;
    cis_cancel *cancel;
    cis_code code;
};

static void *load_victim(void *arg)
{
    struct victim *v = arg;
    struct cis_engine_module_options o = plain;
    o.stop = (struct cis_stop){CIS_NEVER, v->cancel};
    cis_engine_module *image = NULL;
    v->code = cis_engine_module_load(v->engine, v->wasm, &o, &image, NULL);
    return NULL;
}

static void wait_for_job(cis_engine *engine, uint32_t jobs)
{
    for (bool busy = false; !busy;) {
        pthread_mutex_lock(&engine->jobs_lock);
        busy = engine->jobs == jobs;
        pthread_mutex_unlock(&engine->jobs_lock);
        sched_yield();
    }
}

static void a_compile_is_cancelled_from_another_thread_and_the_next_waits_its_turn(void **state)
{
    (void)state;
    struct cis_engine_options options = memory_only();
    options.compile_jobs = 1;
    struct victim v = {.engine = open_with(&options)};
    struct cis_buf m = bomb();
    v.wasm = cis_buf_bytes(&m);
    assert_ok(cis_cancel_new(&v.cancel, err));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, load_victim, &v), 0);
    wait_for_job(v.engine, 1);
    /* The one job is taken: another module waits until its deadline. */
    struct cis_engine_module_options o = plain;
    o.stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(), 50 * CIS_NS_PER_MS);
    cis_engine_module *image = NULL;
    assert_fails(CIS_E_DEADLINE, "t.wasm",
                 cis_engine_module_load(v.engine, wat(ADD_WAT), &o, &image, err));
    cis_cancel_fire(v.cancel);
    pthread_join(thread, NULL);
    assert_int_equal(v.code, CIS_E_CANCELLED);
    assert_ok(cis_engine_module_load(v.engine, wat(ADD_WAT), &plain, &image, err));
    cis_engine_module_unref(image);
    cis_cancel_unref(v.cancel);
    cis_buf_done(&m);
    cis_engine_close(v.engine);
}

static void waiters_take_over_when_the_loader_is_cancelled(void **state)
{
    (void)state;
    struct cis_engine_options options = memory_only();
    options.compile_ns = 300 * CIS_NS_PER_MS;
    struct victim v = {.engine = open_with(&options)};
    struct cis_buf m = bomb();
    v.wasm = cis_buf_bytes(&m);
    assert_ok(cis_cancel_new(&v.cancel, err));
    struct victim patient = v;
    patient.cancel = NULL;
    pthread_t a, b;
    assert_int_equal(pthread_create(&a, NULL, load_victim, &v), 0);
    wait_for_job(v.engine, 1);
    assert_int_equal(pthread_create(&b, NULL, load_victim, &patient), 0);
    cis_cancel_fire(v.cancel);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    assert_int_equal(v.code, CIS_E_CANCELLED);
    assert_int_equal(patient.code, CIS_E_LIMIT); /* its own try, to the compiler's limit */
    cis_cancel_unref(v.cancel);
    cis_buf_done(&m);
    cis_engine_close(v.engine);
}

/* ---- broken ---- */

static void a_compiler_that_is_missing_or_another_program_is_named(void **state)
{
    (void)state;
    struct cis_engine_options options = memory_only();
    options.compiler = "/nonexistent/cis";
    cis_engine *engine = open_with(&options);
    cis_engine_module *image = NULL;
    assert_fails(CIS_E_IO, "/nonexistent/cis: cannot start",
                 cis_engine_module_load(engine, wat(ADD_WAT), &plain, &image, err));
    cis_engine_close(engine);
    options.compiler = "/bin/true";
    engine = open_with(&options);
    assert_fails(CIS_E_INTERNAL, "/bin/true __compile ended with code 0",
                 cis_engine_module_load(engine, wat(ADD_WAT), &plain, &image, err));
    cis_engine_close(engine);
}

static void components_are_loaded_and_linked_as_components_only(void **state)
{
    (void)state;
    struct cis_engine_options options = memory_only();
    cis_engine *engine = open_with(&options);
    cis_engine_module *image = NULL;
    cis_linked *program = NULL;
    assert_ok(cis_engine_module_load(engine, wat("(component)"), &plain, &image, err));
    assert_true(cis_engine_module_info(image)->component);
    assert_int_equal(stats_of(engine).compiled, 1);
    assert_fails(CIS_E_UNSUPPORTED, "t.wasm: is a component, not a core module",
                 cis_linked_new(image, NULL, NULL, &program, err));
    cis_engine_module_unref(image);
    assert_ok(cis_engine_module_load(engine, wat(ADD_WAT), &plain, &image, err));
    static const struct cis_iface_provider nothing;
    assert_fails(CIS_E_UNSUPPORTED, "t.wasm: is a core module, not a component",
                 cis_component_link(image, &nothing, NULL, &program, err));
    cis_engine_module_unref(image);
    cis_engine_close(engine);
}

static void refusals_never_compile(void **state)
{
    (void)state;
    struct cis_engine_options options = memory_only();
    options.compiler = "/nonexistent/cis";
    cis_engine *engine = open_with(&options);
    cis_engine_module *image = NULL;
    assert_fails(
        CIS_E_UNSUPPORTED, "--enable memory64",
        cis_engine_module_load(engine, wat("(module (memory i64 1))"), &plain, &image, err));
    assert_fails(
        CIS_E_UNSUPPORTED, "shared memory",
        cis_engine_module_load(engine, wat("(module (memory 1 1 shared))"), &plain, &image, err));
    struct cis_engine_stats s = stats_of(engine);
    assert_int_equal(s.compiled + s.compile_failures, 0);
    cis_engine_close(engine);
}

/* Reading a module can cost as much as compiling it: the same child, the same limits. */
static void a_module_that_is_slow_to_read_ends_at_the_time_limit(void **state)
{
    (void)state;
    struct cis_buf m = CIS_BUF_INIT(8u << 20);
    put_slow_to_read(&m, 2500000);
    assert_int_equal(m.failed, CIS_OK);
    struct cis_engine_options options = memory_only();
    options.compile_ns = CIS_NS_PER_S / 10; /* on the fastest machine too short */
    cis_engine *engine = open_with(&options);
    cis_engine_module *image = NULL;
    assert_fails(CIS_E_LIMIT, "t.wasm: reading it takes more than 0.1 s",
                 cis_engine_module_load(engine, cis_buf_bytes(&m), &plain, &image, err));
    assert_int_equal(stats_of(engine).compiled + stats_of(engine).compile_failures, 0);
    struct cis_engine_module_options stopped = {
        .name = "t.wasm",
        .compiler = HELPER,
        .stop = {cis_clock_after(cis_clock_mono_ns(), CIS_NS_PER_S / 50), NULL}};
    struct cis_engine_module_info *info = NULL;
    assert_fails(CIS_E_DEADLINE, "",
                 cis_engine_module_scan(cis_buf_bytes(&m), &stopped, &info, err));
    assert_null(info);
    cis_engine_close(engine);
    cis_buf_done(&m);
}

static void a_module_that_is_large_to_read_ends_at_the_memory_limit(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip(); /* no limit of the address space then */
    }
    struct cis_buf m = CIS_BUF_INIT(64u << 20);
    put_large_to_read(&m, 40000);
    assert_int_equal(m.failed, CIS_OK);
    struct cis_engine_options options = memory_only();
    options.compile_memory = 256u << 20;
    cis_engine *engine = open_with(&options);
    cis_engine_module *image = NULL;
    assert_fails(CIS_E_LIMIT, "t.wasm: reading it needs more than 256 MiB",
                 cis_engine_module_load(engine, cis_buf_bytes(&m), &plain, &image, err));
    cis_engine_close(engine);
    cis_buf_done(&m);
}

static void what_the_child_reads_is_what_this_process_reads(void **state)
{
    (void)state;
    struct cis_buf text = CIS_BUF_INIT(1u << 20), broken = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&text, "(module (memory (export \"memory\") 1)");
    for (int i = 0; i < 4000; i++) {
        cis_buf_printf(&text, "(func (export \"f%d\"))", i);
    }
    cis_buf_add(&broken, text.ptr, text.len);
    cis_buf_text(&text, ")");
    cis_buf_text(&broken, "(func frob))");
    struct cis_engine_module_options options[2] = {{.name = "t.wasm"},
                                                   {.name = "t.wasm", .compiler = HELPER}};
    struct cis_engine_module_info *info[2] = {NULL, NULL};
    struct cis_error said[2];
    for (int i = 0; i < 2; i++) {
        assert_ok(cis_engine_module_scan(cis_buf_bytes(&text), &options[i], &info[i], err));
        assert_int_equal(info[i]->nexports, 4001);
        assert_int_equal(
            cis_engine_module_scan(cis_buf_bytes(&broken), &options[i], &info[1 - i], &said[i]),
            CIS_E_INVALID);
    }
    assert_string_equal(info[0]->json, info[1]->json);
    assert_string_equal(info[0]->sha256_hex, info[1]->sha256_hex);
    assert_string_equal(said[0].msg, said[1].msg);
    cis_engine_module_info_free(info[0]);
    cis_engine_module_info_free(info[1]);
    cis_buf_done(&text);
    cis_buf_done(&broken);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        first_rounds = (int)strtol(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixty_four_first_calls_are_one_compile),
        cmocka_unit_test(in_process_is_an_opt_in),
        cmocka_unit_test(every_profile_compiles_in_the_child),
        cmocka_unit_test(text_is_a_module_too),
        cmocka_unit_test(a_component_in_a_text_of_bytes_is_read_apart),
        cmocka_unit_test(what_does_not_fit_a_slot_is_on_demand_never_refused),
        cmocka_unit_test(too_many_globals_for_a_slot_are_on_demand),
        cmocka_unit_test(a_refused_reservation_halves_the_pool),
        cmocka_unit_test(without_any_pool_guests_are_on_demand),
        cmocka_unit_test(ten_thousand_imports_load),
        cmocka_unit_test(a_bomb_ends_at_the_memory_limit_and_is_remembered),
        cmocka_unit_test(a_bomb_ends_at_the_time_limit_and_is_remembered),
        cmocka_unit_test_setup_teardown(what_the_system_ended_is_not_the_modules_fault, place_setup,
                                        place_teardown),
        cmocka_unit_test_setup_teardown(limits_of_compiling_follow_the_machine_and_the_module,
                                        place_setup, place_teardown),
        cmocka_unit_test(the_callers_deadline_is_not_the_modules_fault),
        cmocka_unit_test(a_compile_is_cancelled_from_another_thread_and_the_next_waits_its_turn),
        cmocka_unit_test(waiters_take_over_when_the_loader_is_cancelled),
        cmocka_unit_test(a_compiler_that_is_missing_or_another_program_is_named),
        cmocka_unit_test(components_are_loaded_and_linked_as_components_only),
        cmocka_unit_test(refusals_never_compile),
        cmocka_unit_test(a_module_that_is_slow_to_read_ends_at_the_time_limit),
        cmocka_unit_test(a_module_that_is_large_to_read_ends_at_the_memory_limit),
        cmocka_unit_test(what_the_child_reads_is_what_this_process_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
