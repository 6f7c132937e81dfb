/* libcis on stacks that are small, or that the system did not make: all that one call does, from
 * compiling to the commit, on a thread of 256 KiB and on a coroutine, named (cis_thread_stack) or
 * not. Below the coroutine lies memory of the embedder, which nothing may touch. */
#include "orders.h"

#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "base/buf.h"
#include "base/file.h"
#include "system/guests.h"

#define KIB 1024u
#define SMALL (256 * KIB)
#define LARGE (4096 * KIB)
#define BELOW (1024 * KIB)
#define CANARY 0x5a

struct place {
    char *dir;
    cis_runtime *runtime;
    cis_module *tool;
    cis_provider *provider;
    unsigned n; /* of lives so far */
    /* What a callback saw. */
    pthread_t thread;
    int local;
    unsigned lines;
    /* The coroutine's. */
    uint8_t *stack;
    size_t size;
    bool named;
};

static const char GUEST_DEEP[] =
    "(module (memory (export \"memory\") 1)"
    " (func $deep (param i64 i64 i64 i64) (result i64)"
    "  (call $deep (local.get 1) (local.get 2) (local.get 3) (i64.add (local.get 0) (i64.const "
    "1))))"
    " (func (export \"main\") (result i32) (i32.wrap_i64"
    "  (call $deep (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))))";

static const char GUEST_CALLS[] =
    "(module (import \"env\" \"host_memory_get\" (func $get (param i32 i32 i32 i32) (result i32)))"
    " (import \"env\" \"memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 16) \"kv\")"
    " (func (export \"main\") (result i32)"
    "  (drop (call $set (i32.const 16) (i32.const 1) (i32.const 17) (i32.const 1)))"
    "  (call $get (i32.const 16) (i32.const 1) (i32.const 64) (i32.const 64))))";

static _Thread_local int local;

static void traced(void *self, const char *line)
{
    struct place *p = self;
    (void)line;
    p->thread = pthread_self();
    p->local = local;
    p->lines++;
}

/* Its text is another one each time: it is compiled. */
static void run_text(struct place *p, const char *text, cis_code expected, const char *said)
{
    static const char *const grants[] = {"memory", NULL};
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    cis_module *module = NULL;
    cis_result *result = NULL;
    char *wat = NULL;
    assert_true(asprintf(&wat, "%s;; %u", text, p->n) > 0);
    assert_ok(cis_module_load(p->runtime, wat, strlen(wat), "guest", &module, err));
    o.grants = grants;
    o.trace = traced;
    o.trace_self = p;
    assert_ok(cis_run(p->runtime, module, "{\"a\":[[[1]]]}", 13, &o, &result, err));
    assert_int_equal(cis_result_code(result), expected);
    assert_non_null(strstr(
        expected == CIS_OK ? cis_result_output(result, NULL) : cis_result_message(result), said));
    cis_result_free(result);
    cis_module_unref(module);
    free(wat);
}

static void run_program(struct place *p)
{
    cis_wasi_config *run = NULL;
    cis_result *result = NULL;
    char text[16];
    int32_t code = -1;
    snprintf(text, sizeof text, "%u", p->n);
    assert_ok(cis_wasi_config_new(p->runtime, &run, err));
    cis_wasi_config_workspace(run, "/w", NULL);
    cis_wasi_config_arg(run, "tool");
    cis_wasi_config_arg(run, "write");
    cis_wasi_config_arg(run, "/w/file");
    cis_wasi_config_arg(run, text);
    assert_ok(cis_wasi_run(run, p->tool, &result, err));
    assert_true(cis_result_exit(result, &code) && code == 0);
    assert_string_equal(cis_result_branch(result), "main");
    cis_result_free(result);
    cis_wasi_config_free(run);
}

static void call_component(struct place *p)
{
    cis_wasi_config *run = NULL;
    cis_module *module = NULL;
    cis_component *c = NULL;
    char *text = NULL;
    assert_ok(
        cis_module_load(p->runtime, orders_guest, strlen(orders_guest), "shop", &module, err));
    assert_ok(cis_wasi_config_new(p->runtime, &run, err));
    cis_wasi_config_provide(run, p->provider);
    assert_ok(cis_component_open(run, module, &c, err));
    assert_ok(cis_component_eval(c, "greet(\"you\")", &text, err));
    assert_string_equal(text, "\"hello you\"");
    cis_output_free(text);
    cis_component_close(c);
    cis_wasi_config_free(run);
    cis_module_unref(module);
}

static void use_a_workspace(struct place *p)
{
    cis_tenant *tenant = NULL;
    cis_workspace *w = NULL;
    char got[16];
    size_t n = 0;
    assert_ok(cis_tenant_open(p->runtime, NULL, &tenant, err));
    assert_ok(cis_workspace_open(tenant, NULL, &w, err));
    assert_ok(cis_workspace_read(w, "/file", 0, got, sizeof got, &n, err));
    assert_ok(cis_workspace_write(w, "/other", p->n * 100000ull, got, n, false, err));
    assert_ok(cis_workspace_commit(w, "a note", NULL, err));
    cis_workspace_close(w);
    cis_tenant_close(tenant);
}

static void live(struct place *p)
{
    p->n++;
    p->lines = 0;
    local = (int)p->n;
    run_text(p, GUEST_CALLS, CIS_OK, "1");
    assert_true(p->lines >= 2);
    assert_true(pthread_equal(p->thread, pthread_self()));
    assert_int_equal(p->local, (int)p->n);
    run_text(p, GUEST_DEEP, CIS_E_TRAP, "stack overflow");
    run_program(p);
    call_component(p);
    use_a_workspace(p);
}

/* ---- threads ---- */

static void *live_main(void *arg)
{
    live(arg);
    return NULL;
}

static void on_thread(struct place *p, size_t size)
{
    pthread_attr_t attr;
    pthread_t thread;
    unsigned before = p->n;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, size), 0);
    assert_int_equal(pthread_create(&thread, &attr, live_main, p), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attr);
    assert_int_equal(p->n, before + 1);
}

static void all_of_it_works_on_a_small_thread(void **state)
{
    on_thread(*state, SMALL);
    on_thread(*state, 2 * LARGE);
}

/* ---- coroutines ---- */

static struct place *entered;
static ucontext_t caller, coroutine;

static void on_coroutine(void)
{
    struct place *p = entered;
    if (p->named) {
        cis_thread_stack(p->stack, p->size);
    }
    live(p);
    cis_thread_stack(NULL, 0);
    swapcontext(&coroutine, &caller);
}

static void *coroutine_main(void *arg)
{
    struct place *p = arg;
    entered = p;
    assert_int_equal(getcontext(&coroutine), 0);
    coroutine.uc_stack.ss_sp = p->stack;
    coroutine.uc_stack.ss_size = p->size;
    makecontext(&coroutine, on_coroutine, 0);
    swapcontext(&caller, &coroutine);
    return NULL;
}

/* One mapping, upwards: the thread's own stack, the embedder's memory, the coroutine's stack. So
 * the bound of the thread's stack is far below what a coroutine may use. */
static void on_a_coroutine_of(struct place *p, size_t size, bool named)
{
    size_t whole = LARGE + BELOW + size;
    uint8_t *map = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attr;
    pthread_t thread;
    unsigned before = p->n;
    assert_ptr_not_equal(map, MAP_FAILED);
    p->stack = map + LARGE + BELOW;
    p->size = size;
    p->named = named;
    memset(map + LARGE, CANARY, BELOW);
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstack(&attr, map, LARGE), 0);
    assert_int_equal(pthread_create(&thread, &attr, coroutine_main, p), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attr);
    assert_int_equal(p->n, before + 1);
    for (size_t i = 0; i < BELOW; i++) {
        if (map[LARGE + i] != CANARY) {
            fail_msg("%zu bytes below the coroutine's stack were written", BELOW - i);
        }
    }
    munmap(map, whole);
}

static void all_of_it_works_on_a_small_coroutine(void **state)
{
    on_a_coroutine_of(*state, SMALL, false);
}

static void all_of_it_works_on_a_small_coroutine_that_is_named(void **state)
{
    on_a_coroutine_of(*state, SMALL, true);
}

static void all_of_it_works_on_a_large_coroutine(void **state)
{
    on_a_coroutine_of(*state, LARGE, false);
    on_a_coroutine_of(*state, LARGE, true);
}

/* ---- */

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    CIS_CLEANUP(cis_buf_done) struct cis_buf tool = CIS_BUF_INIT(1u << 20);
    p->dir = test_dir_new();
    config.data_dir = p->dir;
    config.compile_in_process = true;
    config.pool_slots = 8;
    assert_ok(cis_runtime_new(&config, &p->runtime, err));
    assert_ok(cis_file_read(CIS_GUESTS_DIR "/verbs.wasm", &tool, err));
    assert_ok(cis_module_load(p->runtime, tool.ptr, tool.len, "tool", &p->tool, err));
    p->provider = provider_new(f_hello);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    struct cis_error err;
    cis_module_unref(p->tool);
    cis_provider_free(p->provider);
    cis_runtime_free(p->runtime);
    int failed = cis_file_remove_tree(p->dir, &err) != CIS_OK;
    free(p->dir);
    free(p);
    return failed;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(all_of_it_works_on_a_small_thread),
        T(all_of_it_works_on_a_small_coroutine),
        T(all_of_it_works_on_a_small_coroutine_that_is_named),
        T(all_of_it_works_on_a_large_coroutine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
