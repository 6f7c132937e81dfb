/* libcis through its public headers. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/buf.h"
#include "cis/cis.h"
#include "store/sqlite/sqlite.h"
#include "system/guests.h"
#include "store/calls.h"

static cis_runtime *runtime_new(struct cis_runtime_config *config)
{
    struct cis_runtime_config defaults = CIS_RUNTIME_CONFIG_INIT;
    if (config == NULL) {
        config = &defaults;
    }
    config->compile_in_process = true;
    config->pool_slots = 16;
    cis_runtime *runtime = NULL;
    assert_ok(cis_runtime_new(config, &runtime, err));
    return runtime;
}

static cis_module *load(cis_runtime *runtime, const char *wat)
{
    cis_module *module = NULL;
    assert_ok(cis_module_load(runtime, wat, strlen(wat), "guest", &module, err));
    return module;
}

static cis_result *run(cis_runtime *runtime, const char *wat, const char *input,
                       const struct cis_run_options *options)
{
    cis_module *module = load(runtime, wat);
    cis_result *result = NULL;
    assert_ok(cis_run(runtime, module, input, strlen(input), options, &result, err));
    cis_module_unref(module);
    return result;
}

static void the_defaults_are_those_of_the_design(void **state)
{
    (void)state;
    const struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    assert_int_equal(c.max_memory, 512ull << 20);
    assert_int_equal(c.max_execution_time, 30000);
    assert_true(c.enable_wasi);
    struct cis_runtime_config bad = CIS_RUNTIME_CONFIG_INIT;
    bad.size = 8;
    cis_runtime *r = NULL;
    assert_fails(CIS_E_USAGE, "size is 8", cis_runtime_new(&bad, &r, err));
    assert_null(r);
}

static void headers_and_library_say_one_version(void **state)
{
    (void)state;
    assert_int_equal(cis_version_number(), CIS_VERSION_NUMBER);
    assert_int_equal(CIS_VERSION_NUMBER,
                     CIS_VERSION_MAJOR * 1000000 + CIS_VERSION_MINOR * 1000 + CIS_VERSION_PATCH);
    static const char start[] = "cis " CIS_VERSION_STRING ", Wasmtime ";
    assert_int_equal(strncmp(cis_version(), start, sizeof start - 1), 0);
}

static void the_default_configuration_loads_and_runs_a_module(void **state)
{
    (void)state;
    cis_runtime *r = NULL;
    char *output = NULL;
    size_t len = 0;
    assert_ok(cis_runtime_new(NULL, &r, err)); /* the program cis is in ../bin */
    assert_ok(
        cis_execute_wasm(r, GUEST_ECHO, strlen(GUEST_ECHO), "{\"a\":1}", 7, &output, &len, err));
    assert_string_equal(output, "{\"a\":1}");
    cis_output_free(output);
    cis_runtime_free(r);
}

static void execute_wasm_turns_bytes_and_inputs_into_a_value(void **state)
{
    (void)state;
    cis_runtime *r = runtime_new(NULL);
    char *out = NULL;
    size_t len = 0;
    assert_ok(cis_execute_wasm(r, GUEST_ECHO, strlen(GUEST_ECHO), "{\"a\":[1,{\"b\":null}]}", 20,
                               &out, &len, err));
    assert_string_equal(out, "{\"a\":[1,{\"b\":null}]}");
    assert_int_equal(len, 20);
    cis_output_free(out);
    out = NULL;
    assert_fails(CIS_E_TRAP, "unreachable",
                 cis_execute_wasm(r, GUEST_TRAP, strlen(GUEST_TRAP), "{}", 2, &out, &len, err));
    assert_fails(CIS_E_USAGE, "not JSON",
                 cis_execute_wasm(r, GUEST_ECHO, strlen(GUEST_ECHO), "{a}", 3, &out, &len, err));
    assert_fails(CIS_E_INVALID, "module",
                 cis_execute_wasm(r, "\0asmxxxx", 8, "{}", 2, &out, &len, err));
    assert_null(out);
    cis_runtime_free(r);
}

static void a_limit_of_all_there_is_is_no_smaller_than_what_is_written(void **state)
{
    (void)state;
    cis_runtime *r = runtime_new(NULL);
    size_t n = 200000;
    char *input = malloc(n);
    memset(input, 'x', n);
    input[0] = input[n - 1] = '"';
    cis_module *m = load(r, GUEST_ECHO);
    uint64_t limits[] = {UINT64_MAX, UINT64_MAX - 1, INT64_MAX, 1ull << 62};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
        o.output_max = limits[i];
        cis_result *result = NULL;
        size_t len = 0;
        assert_ok(cis_run(r, m, input, n, &o, &result, err));
        assert_int_equal(cis_result_code(result), CIS_OK);
        const char *out = cis_result_output(result, &len);
        assert_int_equal(len, n);
        assert_memory_equal(out, input, n);
        cis_result_free(result);
    }
    free(input);
    cis_module_unref(m);
    cis_runtime_free(r);
}

static void an_instance_is_called_and_its_memory_read_and_written(void **state)
{
    (void)state;
    cis_runtime *r = runtime_new(NULL);
    cis_module *m = load(r, "(module (memory (export \"memory\") 1)"
                            " (func (export \"peek\") (param i32) (result i32)"
                            "  (i32.load (local.get 0)))"
                            " (func (export \"mix\") (param i64 f32 f64) (result f64)"
                            "  (f64.add (local.get 2) (f64.promote_f32 (local.get 1))))"
                            " (func (export \"boom\") unreachable))");
    cis_instance *in = NULL;
    assert_ok(cis_instance_new(r, m, NULL, &in, err));
    uint32_t word = 0xCAFE, back = 0;
    assert_ok(cis_instance_write_memory(in, 64, &word, 4, err));
    struct cis_value arg = {CIS_I32, {.i32 = 64}}, result[2];
    size_t n = 2;
    assert_ok(cis_instance_call(in, "peek", &arg, 1, result, &n, err));
    assert_int_equal(n, 1);
    assert_int_equal(result[0].of.i32, 0xCAFE);
    assert_ok(cis_instance_read_memory(in, 64, &back, 4, err));
    assert_int_equal(back, word);
    assert_int_equal(cis_instance_memory_size(in), 65536);
    assert_fails(CIS_E_BADPTR, "read", cis_instance_read_memory(in, 65533, &back, 4, err));
    assert_fails(CIS_E_BADPTR, "write", cis_instance_write_memory(in, UINT64_MAX, &back, 4, err));
    struct cis_value mixed[] = {
        {CIS_I64, {.i64 = 1}}, {CIS_F32, {.f32 = 1.5f}}, {CIS_F64, {.f64 = 2}}};
    n = 2;
    assert_ok(cis_instance_call(in, "mix", mixed, 3, result, &n, err));
    assert_true(result[0].kind == CIS_F64 && result[0].of.f64 == 3.5);
    assert_fails(CIS_E_ENTRY, "nothere",
                 cis_instance_call(in, "nothere", NULL, 0, NULL, NULL, err));
    assert_fails(CIS_E_USAGE, "arguments", cis_instance_call(in, "peek", NULL, 0, result, &n, err));
    assert_fails(CIS_E_USAGE, "argument 0 is of type i",
                 cis_instance_call(in, "peek", &mixed[1], 1, result, &n, err));
    n = 0;
    assert_fails(CIS_E_USAGE, "room for 0", cis_instance_call(in, "peek", &arg, 1, NULL, &n, err));
    n = 2;
    assert_fails(CIS_E_TRAP, "unreachable",
                 cis_instance_call(in, "boom", NULL, 0, result, &n, err));
    cis_instance_free(in);
    cis_module_unref(m);
    cis_runtime_free(r);
}

static void a_reactor_is_initialised_before_its_instance_is_called(void **state)
{
    (void)state;
    cis_runtime *r = runtime_new(NULL);
    cis_module *m = load(r, "(module (memory (export \"memory\") 1) (global $n (mut i32)"
                            " (i32.const 0)) (func (export \"_initialize\")"
                            "  (global.set $n (i32.add (global.get $n) (i32.const 40))))"
                            " (func (export \"next\") (result i32)"
                            "  (global.set $n (i32.add (global.get $n) (i32.const 1)))"
                            "  (global.get $n)))");
    cis_instance *in = NULL;
    assert_ok(cis_instance_new(r, m, NULL, &in, err));
    for (int32_t expected = 41; expected < 43; expected++) { /* once, not before each call */
        struct cis_value result;
        size_t n = 1;
        assert_ok(cis_instance_call(in, "next", NULL, 0, &result, &n, err));
        assert_int_equal(result.of.i32, expected);
    }
    cis_instance_free(in);
    cis_module_unref(m);
    m = load(r, "(module (func (export \"_initialize\") unreachable))");
    in = NULL;
    assert_fails(CIS_E_TRAP, "unreachable", cis_instance_new(r, m, NULL, &in, err));
    assert_null(in);
    cis_module_unref(m);
    cis_runtime_free(r);
}

/* Output, log lines and host bytes of one call are not those of the next: an instance may be kept
 * for years. */
#if defined(__SANITIZE_THREAD__)
#define CALLS 120 /* still six times what the log of one run may hold */
#else
#define CALLS 500
#endif

static void a_kept_instance_does_not_use_up_the_caps_of_one_call(void **state)
{
    (void)state;
    cis_runtime *r = runtime_new(NULL);
    cis_module *m =
        load(r, "(module"
                " (import \"env\" \"host_log\" (func $log (param i32 i32 i32)))"
                " (import \"wasi_snapshot_preview1\" \"fd_write\""
                "  (func $write (param i32 i32 i32 i32) (result i32)))"
                " (memory (export \"memory\") 1)"
                " (data (i32.const 0) \"\\40\\00\\00\\00\\00\\10\\00\\00\")"
                " (func (export \"say\") (result i32) (local i32)"
                "  (local.set 0 (i32.const 100))"
                "  (loop (call $log (i32.const 1) (i32.const 64) (i32.const 8192))"
                "   (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"
                "  (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"
                " (func (export \"more\") (result i32)"
                "  (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"
                "  (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))");
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    options.output_max = 5000;
    cis_instance *in = NULL;
    assert_ok(cis_instance_new(r, m, &options, &in, err));
    struct cis_value result[1];
    for (int i = 0; i < CALLS; i++) { /* 800 KB of log lines and 4 KB of output each time */
        size_t n = 1;
        assert_ok(cis_instance_call(in, "say", NULL, 0, result, &n, err));
        assert_int_equal(result[0].of.i32, 0);
    }
    size_t n = 1;
    assert_fails(CIS_E_BUDGET, "output", cis_instance_call(in, "more", NULL, 0, result, &n, err));
    cis_instance_free(in);
    cis_module_unref(m);
    cis_runtime_free(r);
}

struct told {
    int commits, refused; /* the first `refused` are conflicts */
    cis_runtime *runtime; /* with it: others change /f when the memory is read */
};

static enum cis_code reads(void *self, const struct cis_call *call, const char *key, size_t key_len,
                           struct cis_sink *out, bool *out_found, struct cis_error *err)
{
    struct told *t = self;
    (void)call, (void)key, (void)key_len, (void)out;
    *out_found = false;
    if (t->runtime == NULL) {
        return CIS_E_OK;
    }
    cis_tenant *tenant = NULL;
    cis_workspace *w = NULL;
    enum cis_code code = cis_tenant_open(t->runtime, NULL, &tenant, err);
    code = code == CIS_E_OK ? cis_workspace_open(tenant, NULL, &w, err) : code;
    cis_tenant_close(tenant);
    if (code == CIS_E_OK) {
        code = cis_workspace_write(w, "/f", 0, "theirs", 6, true, err);
        code = code == CIS_E_OK ? cis_workspace_commit(w, "beside", NULL, err) : code;
        cis_workspace_close(w);
    }
    return code;
}

static enum cis_code told_commit(void *self, const struct cis_call *call,
                                 const struct cis_memory_op *ops, size_t nops,
                                 struct cis_error *err)
{
    struct told *t = self;
    (void)call, (void)ops;
    assert_int_equal(nops, 1);
    if (t->commits++ < t->refused) {
        snprintf(err->msg, sizeof err->msg, "not now");
        return err->code = CIS_E_CONFLICT;
    }
    return CIS_E_OK;
}

static bool note_config(void *self, const struct cis_kv_entry *entry)
{
    cis_buf_str(self, entry->key);
    cis_buf_byte(self, '=');
    cis_buf_add(self, entry->value.ptr, entry->value.len);
    cis_buf_byte(self, ' ');
    return true;
}

static void assert_config(const char *dir, const char *expected)
{
    cis_store *store = NULL;
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    assert_ok(cis_store_sqlite_open(dir, &store, err));
    cis_code code = cis_store_config_list(store, CIS_STR("default"), CIS_STR("keeper"), note_config,
                                          &out, NULL, NULL);
    assert_true(code == CIS_OK || code == CIS_E_NOTFOUND);
    assert_string_equal(cis_buf_cstr(&out), expected);
    cis_store_close(store);
}

/* A kept instance: what a call wrote is kept when it could be, all of it, or nothing of it. */
static void a_kept_instance_forgets_the_writes_of_a_call_that_failed(void **state)
{
    (void)state;
    struct told told = {.refused = 1};
    const struct cis_memory_service memory = {
        .size = sizeof memory, .self = &told, .get = reads, .commit = told_commit};
    char *dir = test_dir_new();
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    c.data_dir = dir;
    struct cis_services services = CIS_SERVICES_INIT;
    c.services = &services;
    services.memory = &memory;
    cis_runtime *r = runtime_new(&c);
    cis_module *m = load(
        r, "(module"
           " (import \"env\" \"host_memory_set\" (func $m (param i32 i32 i32 i32) (result i32)))"
           " (import \"env\" \"host_config_set\" (func $c (param i32 i32 i32 i32) (result i32)))"
           " (memory (export \"memory\") 1)"
           " (data (i32.const 0) \"modefast\")"
           " (func (export \"put\") (result i32)"
           "  (drop (call $m (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 4)))"
           "  (call $c (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 4)))"
           " (func (export \"idle\") (result i32) (i32.const 7)))");
    const char *const grants[] = {"memory", NULL};
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.grants = grants;
    o.skill = "keeper";
    cis_instance *in = NULL;
    assert_ok(cis_instance_new(r, m, &o, &in, err));
    struct cis_value result;
    size_t n = 1;
    assert_fails(CIS_E_CONFLICT, "not now",
                 cis_instance_call(in, "put", NULL, 0, &result, &n, err));
    n = 1;
    assert_ok(cis_instance_call(in, "idle", NULL, 0, &result, &n, err));
    assert_int_equal(told.commits, 1);
    assert_config(dir, "");
    n = 1;
    assert_ok(cis_instance_call(in, "put", NULL, 0, &result, &n, err));
    assert_int_equal(result.of.i32, 1);
    assert_int_equal(told.commits, 2);
    assert_config(dir, "mode=fast ");
    cis_instance_free(in);
    cis_module_unref(m);
    cis_runtime_free(r);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

/* What a call wrote before it trapped, or met its time, is of nobody: no later call keeps it. */
static void a_kept_instance_forgets_the_writes_of_a_call_that_did_not_return(void **state)
{
    (void)state;
    static const struct {
        const char *call;
        cis_code code;
    } ends[] = {{"trap", CIS_E_TRAP}, {"loop", CIS_E_DEADLINE}};
    struct told told = {0};
    const struct cis_memory_service memory = {
        .size = sizeof memory, .self = &told, .get = reads, .commit = told_commit};
    char *dir = test_dir_new();
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    c.data_dir = dir;
    struct cis_services services = CIS_SERVICES_INIT;
    c.services = &services;
    services.memory = &memory;
    cis_runtime *r = runtime_new(&c);
    cis_module *m = load(
        r, "(module"
           " (import \"env\" \"host_memory_set\" (func $m (param i32 i32 i32 i32) (result i32)))"
           " (import \"env\" \"host_config_set\" (func $c (param i32 i32 i32 i32) (result i32)))"
           " (memory (export \"memory\") 1)"
           " (data (i32.const 0) \"modefast\")"
           " (func $put (export \"put\") (result i32)"
           "  (drop (call $m (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 4)))"
           "  (call $c (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 4)))"
           " (func (export \"trap\") (result i32) (drop (call $put)) (unreachable))"
           " (func (export \"loop\") (result i32) (drop (call $put)) (loop $l (br $l)) "
           "(unreachable))"
           " (func (export \"idle\") (result i32) (i32.const 7)))");
    const char *const grants[] = {"memory", NULL};
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.grants = grants;
    o.skill = "keeper";
    o.time_ms = 500;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct cis_error why = {0};
        struct cis_value result;
        cis_instance *in = NULL;
        size_t n = 1;
        assert_ok(cis_instance_new(r, m, &o, &in, err));
        assert_int_equal(cis_instance_call(in, ends[i].call, NULL, 0, &result, &n, &why),
                         ends[i].code);
        n = 1;
        assert_int_equal(cis_instance_call(in, "idle", NULL, 0, &result, &n, &why), ends[i].code);
        cis_instance_free(in);
        assert_int_equal(told.commits, 0);
        assert_config(dir, "");
    }
    cis_instance *in = NULL;
    struct cis_value result;
    size_t n = 1;
    assert_ok(cis_instance_new(r, m, &o, &in, err));
    assert_ok(cis_instance_call(in, "put", NULL, 0, &result, &n, err));
    assert_int_equal(told.commits, 1);
    assert_config(dir, "mode=fast ");
    cis_instance_free(in);
    cis_module_unref(m);
    cis_runtime_free(r);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

/* The files of the run are refused and kept beside; its memory was committed already. */
static void an_embedders_memory_commits_once_also_after_a_conflict_in_files(void **state)
{
    (void)state;
    struct told told = {0};
    const struct cis_memory_service memory = {
        .size = sizeof memory, .self = &told, .get = reads, .commit = told_commit};
    char *dir = test_dir_new();
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    c.data_dir = dir;
    struct cis_services services = CIS_SERVICES_INIT;
    c.services = &services;
    services.memory = &memory;
    cis_runtime *r = runtime_new(&c);
    told.runtime = r;
    const char *const grants[] = {"memory", "fs=rw", NULL};
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.grants = grants;
    o.skill = "keeper";
    cis_result *result = run(
        r,
        "(module"
        " (import \"env\" \"host_memory_set\" (func $s (param i32 i32 i32 i32) (result i32)))"
        " (import \"env\" \"host_memory_get\" (func $g (param i32 i32 i32 i32) (result i32)))"
        " (import \"wasi_snapshot_preview1\" \"path_open\" (func $open"
        "  (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"
        " (import \"wasi_snapshot_preview1\" \"fd_write\""
        "  (func $write (param i32 i32 i32 i32) (result i32)))"
        " (memory (export \"memory\") 1)"
        " (data (i32.const 0) \"kmine\") (data (i32.const 8) \"f\")"
        " (data (i32.const 16) \"\\01\\00\\00\\00\\04\\00\\00\\00\")"
        " (func (export \"skill_execute\") (param i32 i32) (result i32)"
        "  (drop (call $g (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 64)))"
        "  (drop (call $s (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 4)))"
        "  (if (call $open (i32.const 3) (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 1)"
        "    (i64.const 64) (i64.const 64) (i32.const 0) (i32.const 32)) (then (unreachable)))"
        "  (call $write (i32.load (i32.const 32)) (i32.const 16) (i32.const 1) (i32.const 40))))",
        "{}", &o);
    assert_int_equal(cis_result_code(result), CIS_E_CONFLICT);
    assert_int_equal(told.commits, 1);
    cis_result_free(result);
    cis_runtime_free(r);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

static void no_grant_reaches_the_key_of_an_ai_provider(void **state)
{
    (void)state;
    cis_runtime *r = runtime_new(NULL);
    setenv("OPENAI_API_KEY", "sk-secret", 1);
    setenv("OTHER_VARIABLE", "fine", 1);
    const char *const grants[] = {"env=OPENAI_API_KEY", NULL}, *const other[] = {
                                                                   "env=OTHER_VARIABLE", NULL};
    static const char guest[] = "(module (memory (export \"memory\") 1)"
                                " (func (export \"main\") (result i32) (i32.const 7)))";
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.grants = grants;
    cis_result *result = run(r, guest, "{}", &o);
    assert_int_equal(cis_result_code(result), CIS_E_DENIED);
    assert_null(strstr(cis_result_report(result, NULL), "sk-secret"));
    cis_result_free(result);
    o.grants = other;
    result = run(r, guest, "{}", &o);
    assert_int_equal(cis_result_code(result), CIS_E_OK);
    cis_result_free(result);
    unsetenv("OPENAI_API_KEY");
    cis_runtime_free(r);
}

static void a_module_says_what_it_imports_and_exports(void **state)
{
    (void)state;
    cis_runtime *r = runtime_new(NULL);
    cis_module *m = load(r, GUEST_SET);
    assert_non_null(strstr(cis_module_inspect(m), "\"memory_set\""));
    assert_non_null(strstr(cis_module_inspect(m), "\"needs\":[\"memory_write\"]"));
    cis_module_unref(m);
    cis_runtime_free(r);
}

static void limits_and_grants_of_a_run_are_its_own(void **state)
{
    (void)state;
    cis_runtime *r = runtime_new(NULL);
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.time_ms = 50;
    cis_result *result = run(r, GUEST_LOOP, "{}", &o);
    assert_int_equal(cis_result_code(result), CIS_E_DEADLINE);
    assert_non_null(strstr(cis_result_report(result, NULL), "\"limit\":\"time\""));
    cis_result_free(result);
    o = (struct cis_run_options)CIS_RUN_OPTIONS_INIT;
    o.memory = 64u << 20;
    result = run(r, GUEST_GROW, "{}", &o);
    assert_int_equal(cis_result_code(result), CIS_E_OK);
    assert_string_equal(cis_result_output(result, NULL), "3");
    assert_non_null(strstr(cis_result_report(result, NULL), "\"limit_hit\":{\"limit\":\"memory\""));
    cis_result_free(result);
    o = (struct cis_run_options)CIS_RUN_OPTIONS_INIT;
    o.fuel = 100000;
    result = run(r, GUEST_LOOP, "{}", &o);
    assert_int_equal(cis_result_code(result), CIS_E_FUEL);
    cis_result_free(result);
    o = (struct cis_run_options)CIS_RUN_OPTIONS_INIT;
    result = run(r, GUEST_SET, "{}", &o); /* no grant: refused, and the run goes on */
    assert_int_equal(cis_result_code(result), CIS_E_OK);
    assert_non_null(strstr(cis_result_report(result, NULL), "\"refused\":{\"memory_write\":1}"));
    cis_result_free(result);
    const char *const bad[] = {"everything", NULL};
    o.grants = bad;
    cis_module *m = load(r, GUEST_ADD);
    assert_fails(CIS_E_USAGE, "everything", cis_run(r, m, "[]", 2, &o, &result, err));
    cis_module_unref(m);
    cis_runtime_free(r);
}

struct firing {
    cis_cancel *cancel;
    atomic_bool started;
};

static void note_start(void *self, const char *line)
{
    (void)line;
    atomic_store(&((struct firing *)self)->started, true);
}

static void *fire_when_started(void *arg)
{
    struct firing *f = arg;
    while (!atomic_load(&f->started)) {
        sched_yield();
    }
    cis_cancel_fire(f->cancel);
    return NULL;
}

static void what_is_denied_is_taken_away_for_one_run(void **state)
{
    (void)state;
    cis_runtime *r = runtime_new(NULL);
    const char *const memory[] = {"memory", NULL};
    const char *const deny[] = {"memory=write", "random", NULL};
    static const char guest[] =
        "(module (import \"env\" \"memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"
        " (import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result"
        " i32))) (memory (export \"memory\") 1) (func (export \"main\") (result i32)"
        " (i32.add (call $set (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))"
        "  (call $random (i32.const 0) (i32.const 8)))))";
    static const char refused[] = "\"refused\":{\"memory_write\":1,\"random\":1}";
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.grants = memory;
    o.deny = deny;
    cis_result *result = run(r, guest, "{}", &o);
    assert_non_null(strstr(cis_result_report(result, NULL), refused));
    cis_result_free(result);
    o.deny = NULL;
    result = run(r, guest, "{}", &o);
    assert_non_null(
        strstr(cis_result_report(result, NULL), "\"used\":{\"memory_write\":1,\"random\":1}"));
    cis_result_free(result);
    /* Also of what a skill was loaded with. */
    cis_skills *skills = NULL;
    struct cis_skill_options so = CIS_SKILL_OPTIONS_INIT;
    so.grants = memory;
    assert_ok(cis_skills_new(r, &skills, err));
    assert_ok(cis_skills_load_wasm(skills, "set", guest, sizeof guest - 1, &so, err));
    o.grants = NULL;
    o.deny = deny;
    assert_ok(cis_skills_call(skills, "set", NULL, "{}", 2, &o, &result, err));
    assert_non_null(strstr(cis_result_report(result, NULL), refused));
    cis_result_free(result);
    cis_skills_free(skills);
    cis_runtime_free(r);
}

static void a_run_is_cancelled_from_another_thread(void **state)
{
    (void)state;
    cis_runtime *r = runtime_new(NULL);
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    struct firing f = {0};
    assert_ok(cis_cancel_new(&f.cancel, err));
    o.cancel = f.cancel;
    o.trace = note_start; /* the guest calls the host once and never comes back */
    o.trace_self = &f;
    pthread_t thread;
    pthread_create(&thread, NULL, fire_when_started, &f);
    cis_result *result = run(r, GUEST_CALL_LOOP, "{}", &o);
    pthread_join(thread, NULL);
    assert_int_equal(cis_result_code(result), CIS_E_CANCELLED);
    cis_result_free(result);
    cis_cancel_unref(f.cancel);
    cis_runtime_free(r);
}

static void memory_lives_in_the_store_and_only_when_the_run_is_kept(void **state)
{
    (void)state;
    char *dir = test_dir_new();
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    c.data_dir = dir;
    cis_runtime *r = runtime_new(&c);
    const char *const grants[] = {"memory", NULL};
    static const char get[] =
        "(module (import \"cis\" \"memory_get\" (func $g (param i32 i32 i32 i32) (result i32)))"
        " (memory (export \"memory\") 1) (data (i32.const 0) \"k\")"
        " (func (export \"has\") (result i32) (call $g (i32.const 0) (i32.const 1) (i32.const 8)"
        "  (i32.const 8))))";
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.skill = "pair";
    o.grants = grants;
    o.method = "skill_trap";
    cis_result *result = run(r, GUEST_SET, "{}", &o);
    assert_int_equal(cis_result_code(result), CIS_E_TRAP);
    cis_result_free(result);
    o.method = "skill_execute";
    struct cis_run_options reader = o;
    reader.method = "has";
    reader.convention = "numbers";
    result = run(r, get, "[]", &reader);
    assert_string_equal(cis_result_output(result, NULL), "-1");
    cis_result_free(result);
    result = run(r, GUEST_SET, "{}", &o);
    assert_int_equal(cis_result_code(result), CIS_E_OK);
    cis_result_free(result);
    result = run(r, get, "[]", &reader);
    assert_string_equal(cis_result_output(result, NULL), "1");
    cis_result_free(result);
    reader.tenant = "other";
    result = run(r, get, "[]", &reader);
    assert_string_equal(cis_result_output(result, NULL), "-1");
    cis_result_free(result);
    cis_runtime_free(r);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

/* ---- an embedder's memory of which another version was written meanwhile ---- */

static enum cis_code has_nothing(void *self, const struct cis_call *call, const char *key,
                                 size_t key_len, struct cis_sink *out, bool *out_found,
                                 struct cis_error *err)
{
    (void)self, (void)call, (void)key, (void)key_len, (void)out, (void)err;
    *out_found = false;
    return CIS_E_OK;
}

static enum cis_code comes_too_late(void *self, const struct cis_call *call,
                                    const struct cis_memory_op *ops, size_t nops,
                                    struct cis_error *err)
{
    (void)call;
    ++*(int *)self;
    assert_int_equal(nops, 1);
    snprintf(err->msg, sizeof err->msg, "\"%.*s\" was written by another run first",
             (int)ops[0].key_len, ops[0].key);
    return err->code = CIS_E_CONFLICT;
}

static void a_commit_that_meets_another_is_a_conflict_with_exit_8(void **state)
{
    (void)state;
    int commits = 0;
    struct cis_memory_service memory = CIS_MEMORY_SERVICE_INIT;
    memory.self = &commits;
    memory.get = has_nothing;
    memory.commit = comes_too_late;
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    struct cis_services services = CIS_SERVICES_INIT;
    c.services = &services;
    services.memory = &memory;
    cis_runtime *r = runtime_new(&c);
    const char *const grants[] = {"memory", NULL};
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.grants = grants;
    o.method = "skill_execute";
    cis_result *result = run(r, GUEST_SET, "{}", &o);
    assert_int_equal(commits, 1);
    assert_int_equal(cis_result_code(result), CIS_E_CONFLICT);
    assert_string_equal(cis_result_message(result), "\"k\" was written by another run first");
    const char *report = cis_result_report(result, NULL);
    assert_non_null(
        strstr(report, "\"status\":\"conflict\",\"code\":\"CONFLICT\",\"exit_code\":8"));
    assert_non_null(strstr(report, "\"changes\":{\"committed\":false,\"memory_set\":0"));
    cis_result_free(result);
    cis_runtime_free(r);
}

static enum cis_code shout(void *self, const struct cis_call *call, const char *method,
                           const char *input, size_t len, struct cis_sink *out,
                           struct cis_error *err)
{
    (void)call;
    (void)method;
    if (self != NULL) {
        snprintf(err->msg, sizeof err->msg, "not today");
        return err->code = CIS_E_FAILED;
    }
    out->write(out->self, "{\"heard\":", 9);
    out->write(out->self, input, len);
    out->write(out->self, "}", 1);
    return CIS_E_OK;
}

static enum cis_code count(void *self, const char *name, const char *version, bool native)
{
    (void)name;
    (void)version;
    *(int *)self += native ? 10 : 1;
    return CIS_E_OK;
}

static void skills_in_wasm_and_c_are_called_by_name(void **state)
{
    (void)state;
    cis_runtime *r = runtime_new(NULL);
    cis_skills *s = NULL;
    assert_ok(cis_skills_new(r, &s, err));
    struct cis_skill_options o = CIS_SKILL_OPTIONS_INIT;
    o.name = "echo";
    o.version = "1.0.0";
    o.description = "gives back its input";
    o.wasm_bytes = GUEST_ECHO;
    o.wasm_len = strlen(GUEST_ECHO);
    assert_ok(cis_skills_load_wasm(s, NULL, NULL, 0, &o, err));
    assert_ok(cis_skills_load_wasm(s, "add", GUEST_ADD, strlen(GUEST_ADD), NULL, err));
    assert_ok(cis_skills_register_native(s, "shout", shout, NULL, err));
    assert_ok(cis_skills_register_native(s, "grumpy", shout, s, err));
    assert_fails(CIS_E_EXISTS, "add",
                 cis_skills_load_wasm(s, "add", GUEST_ADD, strlen(GUEST_ADD), NULL, err));
    assert_fails(CIS_E_USAGE, "Bad/Name",
                 cis_skills_register_native(s, "Bad/Name", shout, NULL, err));
    int n = 0;
    assert_ok(cis_skills_each(s, count, &n, err));
    assert_int_equal(n, 22);
    cis_result *result = NULL;
    assert_ok(cis_skills_call(s, "echo", NULL, "{\"x\":1}", 7, NULL, &result, err));
    assert_string_equal(cis_result_output(result, NULL), "{\"x\":1}");
    cis_result_free(result);
    assert_ok(cis_skills_call(s, "add", "add", "[1,1]", 5, NULL, &result, err));
    assert_string_equal(cis_result_output(result, NULL), "2");
    cis_result_free(result);
    assert_ok(cis_skills_call(s, "shout", NULL, "[1]", 3, NULL, &result, err));
    assert_string_equal(cis_result_output(result, NULL), "{\"heard\":[1]}");
    cis_result_free(result);
    assert_ok(cis_skills_call(s, "grumpy", NULL, "[1]", 3, NULL, &result, err));
    assert_int_equal(cis_result_code(result), CIS_E_FAILED);
    assert_string_equal(cis_result_message(result), "not today");
    cis_result_free(result);
    assert_fails(CIS_E_NOTFOUND, "nobody",
                 cis_skills_call(s, "nobody", NULL, "1", 1, NULL, &result, err));
    assert_ok(cis_skills_remove(s, "echo", err));
    assert_fails(CIS_E_NOTFOUND, "echo", cis_skills_remove(s, "echo", err));
    cis_skills_free(s);
    cis_runtime_free(r);
}

struct racer {
    cis_runtime *runtime;
    int bad;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    char *out = NULL;
    struct cis_error err;
    for (int i = 0; i < 20; i++) {
        if (cis_execute_wasm(racer->runtime, GUEST_ECHO, strlen(GUEST_ECHO), "[7]", 3, &out, NULL,
                             &err) != CIS_OK ||
            strcmp(out, "[7]") != 0) {
            racer->bad++;
        }
        cis_output_free(out);
        out = NULL;
    }
    return NULL;
}

static void one_runtime_serves_many_threads(void **state)
{
    (void)state;
    struct racer racers[16];
    pthread_t threads[16];
    cis_runtime *r = runtime_new(NULL);
    for (int i = 0; i < 16; i++) {
        racers[i] = (struct racer){r, 0};
        pthread_create(&threads[i], NULL, race, &racers[i]);
    }
    for (int i = 0; i < 16; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(racers[i].bad, 0);
    }
    cis_runtime_free(r);
}

static void without_wasi_its_imports_are_provided_by_nobody(void **state)
{
    (void)state;
    static const char guest[] =
        "(module (import \"wasi_snapshot_preview1\" \"sched_yield\" (func (result i32)))"
        " (memory (export \"memory\") 1) (func (export \"_start\")))";
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    c.enable_wasi = false;
    cis_runtime *r = runtime_new(&c);
    cis_result *result = run(r, guest, "{}", NULL);
    assert_int_equal(cis_result_code(result), CIS_E_IMPORT);
    assert_non_null(strstr(cis_result_message(result), "sched_yield"));
    cis_result_free(result);
    cis_runtime_free(r);
    r = runtime_new(NULL);
    result = run(r, guest, "{}", NULL);
    assert_int_equal(cis_result_code(result), CIS_E_OK);
    cis_result_free(result);
    cis_runtime_free(r);
}

static void without_wasi_a_program_is_refused_too(void **state)
{
    (void)state;
    static const char *const guests[] = {
        "(module (import \"wasi_snapshot_preview1\" \"sched_yield\" (func (result i32)))"
        " (memory (export \"memory\") 1) (func (export \"_start\")))",
        "(component (import \"wasi:random/insecure@0.2.0\""
        " (instance (export \"get-insecure-random-u64\" (func (result u64)))))"
        " (core module $m (func (export \"run\") (result i32) (i32.const 0)))"
        " (core instance $i (instantiate $m))"
        " (func $run (result (result)) (canon lift (core func $i \"run\")))"
        " (instance $in (export \"run\" (func $run)))"
        " (export \"wasi:cli/run@0.2.0\" (instance $in)))"};
    for (size_t i = 0; i < 4; i++) {
        struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
        c.enable_wasi = i >= 2;
        c.compile_in_process = true;
        cis_runtime *r = runtime_new(&c);
        cis_module *module = NULL;
        cis_wasi_config *run = NULL;
        cis_result *result = NULL;
        assert_ok(
            cis_module_load(r, guests[i % 2], strlen(guests[i % 2]), "program", &module, err));
        assert_ok(cis_wasi_config_new(r, &run, err));
        assert_ok(cis_wasi_run(run, module, &result, err));
        assert_int_equal(cis_result_code(result), c.enable_wasi ? CIS_E_OK : CIS_E_IMPORT);
        if (!c.enable_wasi) {
            assert_non_null(strstr(cis_result_message(result), "WASI is switched off"));
        }
        cis_result_free(result);
        cis_wasi_config_free(run);
        cis_module_unref(module);
        cis_runtime_free(r);
    }
}

/* Each byte would be six in it. */
static void a_large_output_is_not_repeated_in_the_report(void **state)
{
    static const char guest[] =
        "(module (import \"cis\" \"output_write\" (func $write (param i32 i32) (result i32)))"
        " (memory (export \"memory\") 16) (func (export \"main\") (result i32) (local $i i32)"
        "  (memory.fill (i32.const 0) (i32.const 1) (i32.const 1000000))"
        "  (drop (call $write (i32.const 0) (i32.const 1000000))) (i32.const 0)))";
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    cis_runtime *r = NULL;
    cis_module *m = NULL;
    cis_result *result = NULL;
    size_t len, report_len;
    (void)state;
    config.compile_in_process = true;
    assert_ok(cis_runtime_new(&config, &r, err));
    assert_ok(cis_module_load(r, guest, strlen(guest), "large", &m, err));
    assert_ok(cis_run(r, m, NULL, 0, NULL, &result, err));
    assert_string_equal(cis_result_message(result), "");
    (void)cis_result_output(result, &len);
    assert_int_equal(len, 1000000);
    assert_non_null(strstr(cis_result_report(result, &report_len), "\"result_omitted\":true"));
    assert_true(report_len < 10000);
    cis_result_free(result);
    cis_module_unref(m);
    cis_runtime_free(r);
}

struct first_run {
    cis_runtime *runtime;
    cis_module *module;
    pthread_barrier_t *start;
    uint64_t fuel, memory;
    enum cis_code code;
    pthread_t thread;
};

static void *first_run_main(void *arg)
{
    struct first_run *f = arg;
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    cis_result *result = NULL;
    options.fuel = f->fuel;
    options.memory = f->memory;
    pthread_barrier_wait(f->start);
    f->code = cis_run(f->runtime, f->module, NULL, 0, &options, &result, NULL);
    cis_result_free(result);
    return NULL;
}

/* Each of them finds that there is no image with fuel yet; and there are places for four. */
static void first_runs_at_the_same_time_share_what_is_compiled(void **state)
{
    static const char guest[] =
        "(module (memory (export \"memory\") 1) (func (export \"main\") (result i32)"
        " (i32.const 0)))";
    enum { N = 12 };
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct first_run runs[N];
    cis_runtime *r = NULL;
    pthread_barrier_t start;
    (void)state;
    config.compile_in_process = true;
    config.max_memory = 16u << 20;
    assert_ok(cis_runtime_new(&config, &r, err));
    for (int round = 0; round < 20; round++) {
        cis_module *m = NULL;
        char name[16];
        snprintf(name, sizeof name, "m%d", round);
        assert_ok(cis_module_load(r, guest, strlen(guest), name, &m, err));
        assert_int_equal(pthread_barrier_init(&start, NULL, N), 0);
        for (int i = 0; i < N; i++) {
            runs[i] = (struct first_run){r, m, &start, 1000, 0, CIS_E_OK, 0};
            assert_int_equal(pthread_create(&runs[i].thread, NULL, first_run_main, &runs[i]), 0);
        }
        for (int i = 0; i < N; i++) {
            assert_int_equal(pthread_join(runs[i].thread, NULL), 0);
            assert_int_equal(runs[i].code, CIS_E_OK);
        }
        pthread_barrier_destroy(&start);
        assert_int_equal(pthread_barrier_init(&start, NULL, 1), 0);
        for (uint64_t mib = 32; mib <= 64; mib += 32) { /* two more kinds have their places */
            struct first_run larger = {r, m, &start, 0, mib << 20, CIS_E_OK, 0};
            (void)first_run_main(&larger);
            assert_int_equal(larger.code, CIS_E_OK);
        }
        pthread_barrier_destroy(&start);
        cis_module_unref(m);
    }
    cis_runtime_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_those_of_the_design),
        cmocka_unit_test(headers_and_library_say_one_version),
        cmocka_unit_test(the_default_configuration_loads_and_runs_a_module),
        cmocka_unit_test(execute_wasm_turns_bytes_and_inputs_into_a_value),
        cmocka_unit_test(a_limit_of_all_there_is_is_no_smaller_than_what_is_written),
        cmocka_unit_test(an_instance_is_called_and_its_memory_read_and_written),
        cmocka_unit_test(a_reactor_is_initialised_before_its_instance_is_called),
        cmocka_unit_test(a_kept_instance_does_not_use_up_the_caps_of_one_call),
        cmocka_unit_test(a_kept_instance_forgets_the_writes_of_a_call_that_failed),
        cmocka_unit_test(a_kept_instance_forgets_the_writes_of_a_call_that_did_not_return),
        cmocka_unit_test(an_embedders_memory_commits_once_also_after_a_conflict_in_files),
        cmocka_unit_test(no_grant_reaches_the_key_of_an_ai_provider),
        cmocka_unit_test(a_module_says_what_it_imports_and_exports),
        cmocka_unit_test(limits_and_grants_of_a_run_are_its_own),
        cmocka_unit_test(what_is_denied_is_taken_away_for_one_run),
        cmocka_unit_test(a_run_is_cancelled_from_another_thread),
        cmocka_unit_test(memory_lives_in_the_store_and_only_when_the_run_is_kept),
        cmocka_unit_test(a_commit_that_meets_another_is_a_conflict_with_exit_8),
        cmocka_unit_test(skills_in_wasm_and_c_are_called_by_name),
        cmocka_unit_test(one_runtime_serves_many_threads),
        cmocka_unit_test(without_wasi_its_imports_are_provided_by_nobody),
        cmocka_unit_test(without_wasi_a_program_is_refused_too),
        cmocka_unit_test(a_large_output_is_not_repeated_in_the_report),
        cmocka_unit_test(first_runs_at_the_same_time_share_what_is_compiled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
