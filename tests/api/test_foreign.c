/* Code that is not ours, in the middle of a call: it calls back into what is being called, frees
 * it, runs other guests on the only CPU slot, and answers nonsense. */
#include "harness.h"

#include "base/clock.h"
#include "cis/cis.h"
#include "cis/http_handler.h"
#include "system/guests.h"

static const char GETS[] =
    "(module (import \"env\" \"host_memory_get\" (func $get (param i32 i32 i32 i32) (result i32)))"
    " (import \"env\" \"memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 16) \"kv\")"
    " (func (export \"skill_execute\") (param i32 i32) (result i32)"
    "  (drop (call $get (i32.const 16) (i32.const 1) (i32.const 32) (i32.const 8))) (i32.const 0))"
    " (func (export \"set\") (drop (call $set (i32.const 16) (i32.const 1) (i32.const 17) "
    "(i32.const 1))))"
    " (func (export \"get\") (result i32)"
    "  (call $get (i32.const 16) (i32.const 1) (i32.const 32) (i32.const 8))))";
static const char HOST[] = /* a component whose only import is a function of the embedder */
    "(component (import \"acme:x/y@1.0.0\" (instance $i (export \"f\" (func (result u32)))))"
    " (core func $f (canon lower (func $i \"f\")))"
    " (core module $m (import \"i\" \"f\" (func $f (result i32)))"
    "  (func (export \"call\") (result i32) (call $f)))"
    " (core instance $c (instantiate $m (with \"i\" (instance (export \"f\" (func $f))))))"
    " (func (export \"call\") (result u32) (canon lift (core func $c \"call\"))))";

/* What happens inside a callback. */
struct world {
    struct cis_memory_service memory;
    cis_runtime *runtime;
    cis_module *module;
    cis_instance *instance;
    cis_component *component;
    cis_wit_call *call;
    void (*inside)(struct world *w);
    enum cis_code code; /* what the callback answers */
    bool full;          /* with a message that has no end */
    int entered;
};

static enum cis_code enter(struct world *w, struct cis_error *err)
{
    w->entered++;
    if (w->inside != NULL) {
        void (*inside)(struct world *) = w->inside;
        w->inside = NULL;
        inside(w);
    }
    if (w->full) {
        memset(err->msg, 'x', sizeof err->msg);
    }
    return w->code;
}

static enum cis_code get(void *self, const struct cis_call *call, const char *key, size_t key_len,
                         struct cis_sink *out, bool *out_found, struct cis_error *err)
{
    (void)call, (void)key, (void)key_len, (void)out;
    *out_found = false;
    return enter(self, err);
}

static enum cis_code commit(void *self, const struct cis_call *call,
                            const struct cis_memory_op *ops, size_t nops, struct cis_error *err)
{
    (void)call, (void)ops, (void)nops;
    return enter(self, err);
}

static enum cis_code f(void *self, cis_wit_call *call)
{
    struct cis_error err;
    cis_wit_set_u32(cis_wit_result(call), 5);
    return enter(self, &err);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->memory = (struct cis_memory_service)CIS_MEMORY_SERVICE_INIT;
    w->memory.self = w;
    w->memory.get = get;
    w->memory.commit = commit;
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    c.compile_in_process = true;
    c.cpu_slots = 1;
    c.pool_slots = 8;
    struct cis_services services = CIS_SERVICES_INIT;
    c.services = &services;
    services.memory = &w->memory;
    assert_ok(cis_runtime_new(&c, &w->runtime, err));
    assert_ok(cis_module_load(w->runtime, GETS, sizeof GETS - 1, "gets", &w->module, err));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    cis_module_unref(w->module);
    cis_runtime_free(w->runtime);
    free(w);
    return 0;
}

static const char *const memory_grant[] = {"memory", NULL};

static void open_instance(struct world *w)
{
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.grants = memory_grant;
    assert_ok(cis_instance_new(w->runtime, w->module, &o, &w->instance, err));
}

static cis_code call_get(struct world *w, int32_t *out, struct cis_error *err)
{
    struct cis_value result;
    size_t n = 1;
    cis_code code = cis_instance_call(w->instance, "get", NULL, 0, &result, &n, err);
    *out = code == CIS_OK ? result.of.i32 : 0;
    return code;
}

/* ---- calls of what is being called ---- */

static void call_again(struct world *w)
{
    int32_t got;
    uint8_t byte = 0;
    assert_fails(CIS_E_USAGE, "another call is being made", call_get(w, &got, err));
    assert_ok(cis_instance_read_memory(w->instance, 16, &byte, 1, err));
    assert_int_equal(byte, 'k');
    assert_int_equal(cis_instance_memory_size(w->instance), 65536);
}

static void an_instance_is_not_called_while_it_is_called(void **state)
{
    struct world *w = *state;
    int32_t got;
    open_instance(w);
    w->inside = call_again;
    assert_ok(call_get(w, &got, err));
    assert_int_equal(w->entered, 1);
    w->inside = call_again; /* also while what it wrote is committed */
    assert_ok(cis_instance_call(w->instance, "set", NULL, 0, NULL, NULL, err));
    assert_int_equal(w->entered, 2);
    assert_ok(call_get(w, &got, err));
    cis_instance_free(w->instance);
}

static void free_instance(struct world *w)
{
    cis_instance_free(w->instance);
}

static void an_instance_that_is_freed_while_it_is_called_goes_after_that(void **state)
{
    struct world *w = *state;
    int32_t got = 1;
    open_instance(w);
    w->inside = free_instance;
    assert_ok(call_get(w, &got, err)); /* the leak check sees whether it went */
    assert_int_equal(w->entered, 1);
}

/* ---- components ---- */

static void open_component(struct world *w, cis_wasi_config **out_run, cis_module **out_module)
{
    cis_provider *p = NULL;
    assert_ok(cis_provider_new(&p, err));
    cis_provider_interface(p, "acme:x/y@1.0.0");
    cis_provider_function(p, "f", "func() -> u32", f, w);
    assert_ok(cis_wasi_config_new(w->runtime, out_run, err));
    cis_wasi_config_provide(*out_run, p);
    cis_provider_free(p);
    assert_ok(cis_module_load(w->runtime, HOST, sizeof HOST - 1, "host", out_module, err));
    assert_ok(cis_component_open(*out_run, *out_module, &w->component, err));
}

static void call_component_again(struct world *w)
{
    char *text = NULL;
    cis_wit_call *call = NULL;
    struct cis_http_incoming in = CIS_HTTP_INCOMING_INIT;
    in.method = "GET";
    assert_fails(CIS_E_USAGE, "another call",
                 cis_component_eval(w->component, "call()", &text, err));
    assert_fails(CIS_E_USAGE, "another call",
                 cis_component_begin(w->component, "call", "func() -> u32", &call, err));
    assert_fails(CIS_E_USAGE, "another call", cis_component_handle(w->component, &in, NULL, err));
}

static void free_all(struct world *w)
{
    if (w->call != NULL) {
        cis_wit_call_free(w->call);
    }
    cis_component_close(w->component);
}

static void a_component_is_not_called_while_it_is_called(void **state)
{
    struct world *w = *state;
    cis_wasi_config *run;
    cis_module *module;
    char *text = NULL;
    open_component(w, &run, &module);
    w->inside = call_component_again;
    assert_ok(cis_component_eval(w->component, "call()", &text, err));
    assert_string_equal(text, "5");
    cis_output_free(text);
    w->inside = call_component_again;
    assert_ok(cis_component_begin(w->component, "call", "func() -> u32", &w->call, err));
    assert_ok(cis_wit_perform(w->call, err));
    assert_int_equal(cis_wit_uint(cis_wit_result(w->call)), 5);
    cis_wit_call_free(w->call);
    w->call = NULL;
    w->inside = free_all; /* closed within its own call */
    assert_ok(cis_component_eval(w->component, "call()", &text, err));
    cis_output_free(text);
    assert_ok(cis_component_open(run, module, &w->component, err));
    assert_ok(cis_component_begin(w->component, "call", "func() -> u32", &w->call, err));
    w->inside = free_all; /* and the call with it */
    assert_ok(cis_wit_perform(w->call, err));
    assert_int_equal(w->entered, 4);
    cis_module_unref(module);
    cis_wasi_config_free(run);
}

static void a_call_that_was_begun_outlives_its_component(void **state)
{
    struct world *w = *state;
    cis_wasi_config *run;
    cis_module *module;
    open_component(w, &run, &module);
    assert_ok(cis_component_begin(w->component, "call", "func() -> u32", &w->call, err));
    cis_component_close(w->component);
    assert_null(cis_wit_param(w->call, 0));
    assert_fails(CIS_E_USAGE, "closed", cis_wit_perform(w->call, err));
    assert_null(cis_wit_result(w->call));
    cis_wit_call_free(w->call);
    cis_module_unref(module);
    cis_wasi_config_free(run);
}

/* ---- other guests, where there is one CPU slot ---- */

static void run_another(struct world *w)
{
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.time_ms = 20000;
    cis_module *echo = NULL;
    cis_result *result = NULL;
    assert_ok(cis_module_load(w->runtime, GUEST_ECHO, strlen(GUEST_ECHO), "echo", &echo, err));
    assert_ok(cis_run(w->runtime, echo, "[1]", 3, &o, &result, err));
    assert_int_equal(cis_result_code(result), CIS_E_OK);
    assert_string_equal(cis_result_output(result, NULL), "[1]");
    cis_result_free(result);
    cis_module_unref(echo);
}

static void tell_line(void *self, const char *line)
{
    struct cis_error err;
    (void)line;
    (void)enter(self, &err);
}

static void a_callback_runs_another_skill_on_the_only_slot(void **state)
{
    struct world *w = *state;
    int32_t got;
    open_instance(w);
    w->inside = run_another; /* a service */
    assert_ok(call_get(w, &got, err));
    assert_int_equal(w->entered, 1);
    cis_instance_free(w->instance);
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.grants = memory_grant;
    o.trace = tell_line;
    o.trace_self = w;
    assert_ok(cis_instance_new(w->runtime, w->module, &o, &w->instance, err));
    w->inside = run_another; /* a trace */
    assert_ok(call_get(w, &got, err));
    assert_true(w->entered > 2);
    cis_instance_free(w->instance);
    cis_wasi_config *run;
    cis_module *module;
    char *text = NULL;
    open_component(w, &run, &module);
    w->inside = run_another; /* a function of an interface */
    assert_ok(cis_component_eval(w->component, "call()", &text, err));
    assert_string_equal(text, "5");
    cis_output_free(text);
    cis_component_close(w->component);
    cis_module_unref(module);
    cis_wasi_config_free(run);
}

/* ---- answers ---- */

static void what_a_service_answers_is_looked_at(void **state)
{
    struct world *w = *state;
    const char *input = "{}";
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.grants = memory_grant;
    static const int codes[] = {9999, -1, CIS_E_COUNT_, CIS_E_CONFLICT};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        for (int full = 0; full < 2; full++) {
            cis_result *result = NULL;
            w->code = (enum cis_code)codes[i];
            w->full = full != 0;
            cis_module *set = NULL;
            assert_ok(cis_module_load(w->runtime, GUEST_SET, strlen(GUEST_SET), "set", &set, err));
            o.method = "skill_execute";
            assert_ok(cis_run(w->runtime, set, input, 2, &o, &result, err));
            assert_int_equal(cis_result_code(result),
                             codes[i] == CIS_E_CONFLICT ? CIS_E_CONFLICT : CIS_E_PROVIDER);
            size_t len = strlen(cis_result_message(result));
            assert_true(len > 0 && len < CIS_ERROR_MSG_MAX);
            cis_result_free(result);
            cis_module_unref(set);
        }
    }
}

static enum cis_code native(void *self, const struct cis_call *call, const char *method,
                            const char *input, size_t len, struct cis_sink *out,
                            struct cis_error *err)
{
    (void)call, (void)method, (void)input, (void)len;
    out->write(out->self, "1", 1);
    return enter(self, err);
}

struct looker {
    cis_skills *skills;
    int seen;
};

static enum cis_code look(void *self, const char *name, const char *version, bool is_native)
{
    struct looker *l = self;
    struct cis_error err;
    cis_result *result = NULL;
    char again[64];
    (void)version, (void)is_native;
    l->seen++;
    assert_int_equal(cis_skills_call(l->skills, name, NULL, "", 0, NULL, &result, &err), CIS_OK);
    cis_result_free(result);
    assert_int_equal(cis_skills_remove(l->skills, name, &err), CIS_OK);
    snprintf(again, sizeof again, "%s2", name);
    assert_int_equal(cis_skills_register_native(l->skills, again, native, *(void **)(l + 1), &err),
                     CIS_OK);
    return CIS_E_OK;
}

static void skills_may_be_changed_while_they_are_listed(void **state)
{
    struct world *w = *state;
    struct {
        struct looker l;
        void *world;
    } with = {{NULL, 0}, w};
    cis_skills *s = NULL;
    assert_ok(cis_skills_new(w->runtime, &s, err));
    assert_ok(cis_skills_register_native(s, "a", native, w, err));
    assert_ok(cis_skills_register_native(s, "b", native, w, err));
    with.l.skills = s;
    assert_ok(cis_skills_each(s, look, &with, err));
    assert_int_equal(with.l.seen, 2);
    assert_ok(cis_skills_remove(s, "a2", err));
    assert_ok(cis_skills_remove(s, "b2", err));
    cis_skills_free(s);
}

static void native_skills_answer_codes_of_cis(void **state)
{
    struct world *w = *state;
    cis_skills *s = NULL;
    cis_result *result = NULL;
    assert_ok(cis_skills_new(w->runtime, &s, err));
    assert_fails(CIS_E_USAGE, "needs a name and a function",
                 cis_skills_register_native(s, "x", NULL, w, err));
    assert_fails(CIS_E_USAGE, "needs a name and a function",
                 cis_skills_register_native(s, NULL, native, w, err));
    assert_ok(cis_skills_register_native(s, "x", native, w, err));
    w->code = (enum cis_code)1000000;
    w->full = true;
    assert_ok(cis_skills_call(s, "x", NULL, "", 0, NULL, &result, err));
    assert_int_equal(cis_result_code(result), CIS_E_PROVIDER);
    assert_int_equal(strlen(cis_result_message(result)), CIS_ERROR_MSG_MAX - 1);
    cis_result_free(result);
    cis_skills_free(s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_instance_is_not_called_while_it_is_called),
        T(an_instance_that_is_freed_while_it_is_called_goes_after_that),
        T(a_component_is_not_called_while_it_is_called),
        T(a_call_that_was_begun_outlives_its_component),
        T(a_callback_runs_another_skill_on_the_only_slot),
        T(what_a_service_answers_is_looked_at),
        T(skills_may_be_changed_while_they_are_listed),
        T(native_skills_answer_codes_of_cis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
