/* The API from its own callbacks: each kind of callback calls every function that takes a handle,
 * with those of the run that it is of and with others, and closes what it is called by. One CPU
 * slot: a callback that held it would keep the runs inside of it waiting for ever. */
#include "cis/http_handler.h"
#include "harness.h"
#include "orders.h"

enum kind {
    FUNCTION,     /* of a provider */
    DROP_GUEST,   /* the guest gave up its handle */
    DROP_GIVEN,   /* it was handed over, and not taken */
    DROP_REFUSED, /* it had no place to go to */
    DROP_CLOSE,   /* it was left when the component was closed */
    LOG_START,    /* of a start function */
    LOG,
    GET, /* of a memory service */
    COMMIT,
    TRACE,
    WRITER, /* stdout of a program */
    KINDS
};

struct world {
    cis_runtime *runtime;
    cis_module *component_module, *skill, *program;
    cis_provider *provider;
    cis_wasi_config *config;
    cis_component *component;
    cis_instance *instance;
    cis_wit_call *call; /* of the component: begun before all of it */
    bool inside, close;
    unsigned seen[KINDS];
};
static struct world *world; /* of the test that runs */

static const char skill_guest[] =
    "(module (import \"env\" \"host_log\" (func $log (param i32 i32 i32)))"
    " (import \"env\" \"host_memory_get\" (func $get (param i32 i32) (result i64)))"
    " (import \"env\" \"host_memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 16) \"startruns\")"
    " (global $at (mut i32) (i32.const 4096))"
    " (func (export \"alloc\") (param i32) (result i32)"
    "  (global.set $at (i32.add (global.get $at) (local.get 0)))"
    "  (i32.sub (global.get $at) (local.get 0)))"
    " (func $start (call $log (i32.const 2) (i32.const 16) (i32.const 5))) (start $start)"
    " (func (export \"run\") (result i32) (call $log (i32.const 2) (i32.const 21) (i32.const 4))"
    "  (drop (call $get (i32.const 16) (i32.const 2)))"
    "  (call $set (i32.const 16) (i32.const 1) (i32.const 16) (i32.const 3))))";
static const char small_guest[] =
    "(module (memory (export \"memory\") 1) (func (export \"main\") (result i32) (i32.const 0)))";
static const char program_guest[] =
    "(module (import \"wasi_snapshot_preview1\" \"fd_write\""
    " (func $write (param i32 i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 0) \"\\10\\00\\00\\00\\02\\00\\00\\00\")"
    " (data (i32.const 16) \"hi\") (func (export \"_start\")"
    " (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))";

/* ---- what a callback does ---- */

static void with_component(cis_component *c)
{
    struct cis_http_incoming request = CIS_HTTP_INCOMING_INIT;
    cis_wit_call *second = NULL;
    char *text = NULL;
    request.method = "GET";
    request.scheme = "http";
    request.authority = "x";
    request.path = "/";
    assert_int_equal(cis_component_eval(c, "many(1)", &text, NULL), CIS_E_USAGE);
    assert_int_equal(cis_component_begin(c, "many", "func(u32) -> u32", &second, NULL),
                     CIS_E_USAGE);
    assert_int_equal(cis_component_handle(c, &request, NULL, NULL), CIS_E_USAGE);
}

/* Of a call that was begun: nothing, or a refusal, whatever became of its component. */
static void with_call(cis_wit_call *call)
{
    uint64_t left;
    size_t len;
    const cis_wit *arg = cis_wit_arg(call, 0);
    assert_int_equal(cis_wit_perform(call, NULL), CIS_E_USAGE);
    cis_wit_set_u32(cis_wit_param(call, 0), 1);
    cis_wit_set_text(call, cis_wit_param(call, 1), "x", 1);
    (void)cis_wit_uint(arg);
    (void)cis_wit_text(arg, &len);
    (void)cis_wit_data(call);
    (void)cis_wit_alive(call, &left);
    cis_wit_block(call);
    (void)cis_wit_unblock(call);
    assert_null(cis_wit_object(call, arg));
    assert_null(cis_wit_take(call, arg));
    assert_null(cis_wit_result(call));
}

static void with_instance(cis_instance *in)
{
    char two[2];
    size_t n = 0;
    assert_int_equal(cis_instance_call(in, "run", NULL, 0, NULL, &n, NULL), CIS_E_USAGE);
    if (cis_instance_memory_size(in) != 0) {
        assert_ok(cis_instance_read_memory(in, 21, two, 2, err));
        assert_ok(cis_instance_write_memory(in, 21, two, 2, err));
    }
}

/* What is made of the same runtime meanwhile works as everywhere. */
static void with_others(struct world *w)
{
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    struct cis_value value;
    cis_module *module = NULL;
    cis_result *result = NULL;
    cis_instance *in = NULL;
    cis_component *c = NULL;
    cis_wit_call *call = NULL;
    cis_wasi_host *host = NULL;
    char *text = NULL;
    size_t n = 1;
    options.time_ms = 5000;
    assert_ok(cis_module_load(w->runtime, small_guest, strlen(small_guest), "small", &module, err));
    assert_true(strlen(cis_module_inspect(module)) > 2);
    assert_ok(cis_run(w->runtime, module, NULL, 0, &options, &result, err));
    assert_string_equal(cis_result_message(result), "");
    cis_result_free(result);
    assert_ok(cis_instance_new(w->runtime, module, &options, &in, err));
    assert_ok(cis_instance_call(in, "main", NULL, 0, &value, &n, err));
    cis_instance_free(in);
    cis_module_unref(module);
    assert_ok(cis_component_open(w->config, w->component_module, &c, err));
    assert_ok(cis_component_eval(c, "many(2)", &text, err));
    cis_output_free(text);
    assert_ok(cis_component_begin(c, "many", "func(u32) -> u32", &call, err));
    cis_wit_set_u32(cis_wit_param(call, 0), 3);
    assert_ok(cis_wit_perform(call, err));
    cis_wit_call_free(call);
    cis_component_close(c);
    assert_ok(cis_wasi_run(w->config, w->program, &result, err));
    cis_result_free(result);
    assert_ok(
        cis_execute_wasm(w->runtime, small_guest, strlen(small_guest), NULL, 0, &text, NULL, err));
    cis_output_free(text);
    assert_int_not_equal(cis_wasi_host_new(w->runtime, NULL, NULL, &host, NULL), CIS_E_INTERNAL);
    cis_wasi_host_free(host);
}

static void called(enum kind kind)
{
    struct world *w = world;
    if (w->inside) {
        return;
    }
    w->inside = true;
    w->seen[kind]++;
    if (w->component != NULL) {
        with_component(w->component);
    }
    if (w->call != NULL) {
        with_call(w->call);
    }
    if (w->instance != NULL) {
        with_instance(w->instance);
    }
    with_others(w);
    if (w->close) {
        cis_component_close(w->component);
        cis_component_close(w->component);
        cis_instance_free(w->instance);
        cis_instance_free(w->instance);
        if (w->call != NULL) {
            with_call(w->call);
        }
        cis_wit_call_free(w->call);
        w->call = NULL;
    }
    w->inside = false;
}

/* ---- the callbacks ---- */

static enum cis_code on_hello(void *self, cis_wit_call *call)
{
    called(FUNCTION);
    cis_wit_set_object(call, NULL, "order", calloc(1, 16)); /* dropped at once */
    (void)self;
    return cis_wit_fail(call, CIS_E_FAILED, "had no place");
}

static void on_drop(void *self, void *object)
{
    called(*(enum kind *)self);
    free(object);
}

static void on_line(void *self, const struct cis_call *call, enum cis_log_level level,
                    const char *text, size_t len)
{
    (void)self, (void)call, (void)level, (void)text, (void)len;
    called(world->instance == NULL ? LOG_START : LOG);
}

static enum cis_code on_get(void *self, const struct cis_call *call, const char *key,
                            size_t key_len, struct cis_sink *out, bool *out_found,
                            struct cis_error *err)
{
    (void)self, (void)call, (void)key, (void)key_len, (void)out, (void)err;
    called(GET);
    *out_found = false;
    return CIS_E_OK;
}

static enum cis_code on_commit(void *self, const struct cis_call *call,
                               const struct cis_memory_op *ops, size_t nops, struct cis_error *err)
{
    (void)self, (void)call, (void)ops, (void)nops, (void)err;
    called(COMMIT);
    return CIS_E_OK;
}

static void on_trace(void *self, const char *line)
{
    (void)self, (void)line;
    called(TRACE);
}

static enum cis_code on_write(void *self, const void *data, size_t len, size_t *out_n,
                              struct cis_error *err)
{
    (void)self, (void)data, (void)err;
    called(WRITER);
    *out_n = len;
    return CIS_E_OK;
}

/* ---- the tests ---- */

static enum kind drops; /* what a drop is of at the moment */

static int setup(void **state)
{
    static struct cis_log_service log = CIS_LOG_SERVICE_INIT;
    static struct cis_memory_service memory = CIS_MEMORY_SERVICE_INIT;
    static struct cis_services services = CIS_SERVICES_INIT;
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct world *w = calloc(1, sizeof *w);
    log.line = on_line;
    memory.get = on_get;
    memory.commit = on_commit;
    services.log = &log;
    services.memory = &memory;
    config.compile_in_process = true;
    config.cpu_slots = 1;
    config.services = &services;
    *state = world = w;
    assert_ok(cis_runtime_new(&config, &w->runtime, err));
    assert_ok(cis_module_load(w->runtime, orders_guest, strlen(orders_guest), "shop",
                              &w->component_module, err));
    assert_ok(
        cis_module_load(w->runtime, skill_guest, strlen(skill_guest), "skill", &w->skill, err));
    assert_ok(cis_module_load(w->runtime, program_guest, strlen(program_guest), "program",
                              &w->program, err));
    assert_ok(cis_provider_new(&w->provider, err));
    cis_provider_interface(w->provider, ORDERS);
    cis_provider_resource(w->provider, "order", on_drop, &drops);
    cis_provider_function(w->provider, "[constructor]order", "func() -> own<order>", f_new, NULL);
    cis_provider_function(w->provider, "[method]order.add",
                          "func(self: borrow<order>, n: u32) -> result<u64,string>", f_add, NULL);
    cis_provider_function(w->provider, "close", "func(o: own<order>) -> u32", f_close, NULL);
    cis_provider_function(w->provider, "hello", "func(who: string) -> string", on_hello, NULL);
    assert_ok(cis_wasi_config_new(w->runtime, &w->config, err));
    cis_wasi_config_provide(w->config, w->provider);
    cis_wasi_config_writer(w->config, 1, on_write, NULL);
    cis_wasi_config_limits(w->config, 0, 10000, 0);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    cis_wasi_config_free(w->config);
    cis_provider_free(w->provider);
    cis_module_unref(w->component_module);
    cis_module_unref(w->skill);
    cis_module_unref(w->program);
    cis_runtime_free(w->runtime);
    free(w);
    return 0;
}

/* A component whose callbacks are of these kinds; the call ends with the code. */
static void run_component(struct world *w, enum kind kind, const char *text, enum cis_code expected)
{
    char *out = NULL;
    w->inside = false;
    drops = kind;
    assert_ok(cis_component_open(w->config, w->component_module, &w->component, err));
    assert_ok(cis_component_begin(w->component, "many", "func(u32) -> u32", &w->call, err));
    assert_int_equal(cis_component_eval(w->component, text, &out, NULL), expected);
    cis_output_free(out);
    if (!w->close || kind == DROP_CLOSE) {
        cis_component_close(w->component);
    }
    w->component = NULL;
    if (w->call != NULL) {
        with_call(w->call);
        cis_wit_call_free(w->call);
        w->call = NULL;
    }
    assert_true(w->seen[kind] != 0);
}

static void run_instance(struct world *w, enum kind first)
{
    static const char *const grants[] = {"memory", NULL};
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    struct cis_value value = {0};
    size_t n = 1;
    options.grants = grants;
    options.time_ms = 10000;
    options.trace = first == TRACE ? on_trace : NULL;
    w->inside = first != LOG_START;
    assert_ok(cis_instance_new(w->runtime, w->skill, &options, &w->instance, err));
    w->inside = false;
    assert_ok(cis_instance_call(w->instance, "run", NULL, 0, &value, &n, err));
    if (!w->close) {
        cis_instance_free(w->instance);
    }
    w->instance = NULL;
    assert_true(w->seen[first] != 0);
}

static void everything(struct world *w)
{
    cis_result *result = NULL;
    run_component(w, FUNCTION, "greet(\"x\")", CIS_E_FAILED);
    run_component(w, DROP_REFUSED, "greet(\"x\")", CIS_E_FAILED);
    run_component(w, DROP_GUEST, "many(3)", CIS_E_OK);
    run_component(w, DROP_GIVEN, "give(1)", CIS_E_OK);
    run_component(w, DROP_CLOSE, "leave(3)", CIS_E_OK);
    run_instance(w, LOG);
    run_instance(w, TRACE);
    assert_true(w->seen[GET] != 0 && w->seen[COMMIT] != 0);
    w->inside = false;
    assert_ok(cis_wasi_run(w->config, w->program, &result, err));
    assert_int_equal(cis_result_code(result), CIS_E_OK);
    cis_result_free(result);
    assert_true(w->seen[WRITER] != 0);
}

static void every_function_is_called_from_every_callback(void **state)
{
    everything(*state);
}

static void every_callback_closes_what_it_is_called_by(void **state)
{
    struct world *w = *state;
    w->close = true;
    everything(w);
}

static void start_function_has_given_its_slot_back_too(void **state)
{
    run_instance(*state, LOG_START);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_function_is_called_from_every_callback),
        TEST(every_callback_closes_what_it_is_called_by),
        TEST(start_function_has_given_its_slot_back_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
