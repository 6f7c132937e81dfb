/* Memory runs out at the nth allocation of a call of libcis, for each n: of libcis, of the engine's
 * library, of SQLite. The call says so, does all of its work or none, leaves nothing behind (the
 * address sanitizer looks for leaks), and the next one works. */
#include "orders.h"

#include <sqlite3.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/code/code.h"
#include "system/guests.h"

struct place {
    char *dir;
    cis_runtime *runtime;
    cis_tenant *tenant;
    cis_module *set, *get, *tool, *shop, *numbers;
    cis_provider *provider;
};

static const char GUEST_GET[] =
    "(module (import \"env\" \"host_memory_get\" (func $get (param i32 i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 16) \"k\")"
    " (func (export \"main\") (result i32)"
    "  (call $get (i32.const 16) (i32.const 1) (i32.const 64) (i32.const 64))))";

static const char GUEST_NUMBERS[] = "(module (memory (export \"memory\") 1)"
                                    " (func (export \"twice\") (param i64) (result i64)"
                                    "  (i64.add (local.get 0) (local.get 0))))";

/* ---- who runs out ---- */

static sqlite3_mem_methods real_mem;
static _Thread_local size_t sqlite_left = SIZE_MAX;

static bool sqlite_fails(void)
{
    if (sqlite_left == SIZE_MAX) {
        return false;
    }
    if (sqlite_left == 0) {
        sqlite_left = SIZE_MAX;
        return true;
    }
    sqlite_left--;
    return false;
}

static void *failing_malloc(int n)
{
    return sqlite_fails() ? NULL : real_mem.xMalloc(n);
}

static void *failing_realloc(void *p, int n)
{
    return sqlite_fails() ? NULL : real_mem.xRealloc(p, n);
}

static void sqlite_after(size_t n)
{
    sqlite_left = n;
}

static bool sqlite_met(void)
{
    bool met = sqlite_left == SIZE_MAX;
    sqlite_left = SIZE_MAX;
    return met;
}

/* Every allocation up to the one that fails, if it has not failed yet. */
static size_t base_n;

static void base_after(size_t n)
{
    base_n = n;
    cis_mem_fail_after(n);
}

static bool base_met(void)
{
    bool met = true;
    for (size_t i = 0; i <= base_n && met; i++) {
        void *p = cis_alloc(1);
        met = p != NULL;
        cis_free(p);
    }
    cis_mem_fail_after(SIZE_MAX);
    return met;
}

static uint64_t short_before;

static void engine_after(size_t n)
{
    short_before = cis_glue_heap_short();
    cis_glue_heap_fail_after(n);
}

static bool engine_met(void)
{
    cis_glue_heap_fail_after(SIZE_MAX);
    return cis_glue_heap_short() != short_before;
}

static const struct heap {
    const char *name;
    void (*after)(size_t n);
    bool (*met)(void);
    size_t step;
} heaps[] = {
    {"libcis", base_after, base_met, 1},
    {"the engine", engine_after, engine_met, 3},
    {"SQLite", sqlite_after, sqlite_met, 7},
};

/* ---- what is done ---- */

/* One call of `act` while memory runs out; done: whether its work is there afterwards. */
struct act {
    cis_code (*act)(struct place *p, const char *name);
    bool (*done)(struct place *p, const char *name);
    void (*before)(struct place *p, size_t n); /* with all the memory it wants */
};

static struct cis_error why; /* of the act */

static cis_code result_end(cis_code code, cis_result *result)
{
    if (code == CIS_OK) {
        code = cis_result_code(result);
        snprintf(why.msg, sizeof why.msg, "%s", cis_result_message(result));
        size_t len = 0;
        const char *report = cis_result_report(result, &len);
        assert_true(len > 2 && report[0] == '{' && report[len - 1] == '}');
        cis_result_free(result);
    }
    return code;
}

static cis_code run_module(struct place *p, cis_module *module, const char *name, char *out)
{
    static const char *const grants[] = {"memory", NULL};
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    cis_result *result = NULL;
    o.grants = grants;
    o.skill = name;
    cis_code code = cis_run(p->runtime, module, "{\"a\":[1,2]}", 11, &o, &result, &why);
    if (code == CIS_OK && out != NULL) {
        snprintf(out, 16, "%s", cis_result_output(result, NULL));
    }
    return result_end(code, result);
}

static cis_code act_run(struct place *p, const char *name)
{
    return run_module(p, p->set, name, NULL);
}

static bool done_run(struct place *p, const char *name)
{
    char out[16];
    assert_int_equal(run_module(p, p->get, name, out), CIS_OK);
    return strcmp(out, "1") == 0;
}

static bool is_file(struct place *p, const char *path, size_t size)
{
    cis_workspace *w = NULL;
    struct cis_file_info info = CIS_FILE_INFO_INIT;
    assert_ok(cis_workspace_open(p->tenant, NULL, &w, err));
    cis_code code = cis_workspace_stat(w, path, &info, &why);
    cis_workspace_close(w);
    assert_true(code == CIS_OK || code == CIS_E_NOTFOUND);
    assert_true(code != CIS_OK || info.length == size);
    return code == CIS_OK;
}

static cis_code act_program(struct place *p, const char *name)
{
    cis_wasi_config *run = NULL;
    cis_result *result = NULL;
    char path[64];
    snprintf(path, sizeof path, "/w/%s", name);
    cis_code code = cis_wasi_config_new(p->runtime, &run, &why);
    if (code != CIS_OK) {
        return code;
    }
    cis_wasi_config_workspace(run, "/w", NULL);
    cis_wasi_config_env(run, "NAME", name);
    cis_wasi_config_stdin(run, "input", 5);
    cis_wasi_config_arg(run, "tool");
    cis_wasi_config_arg(run, "write");
    cis_wasi_config_arg(run, path);
    cis_wasi_config_arg(run, "text");
    code = cis_wasi_run(run, p->tool, &result, &why);
    code = result_end(code, result);
    cis_wasi_config_free(run);
    return code;
}

static bool done_program(struct place *p, const char *name)
{
    return is_file(p, name, 4);
}

/* All of it is one commit. */
static cis_code act_workspace(struct place *p, const char *name)
{
    static char data[150000];
    char dir[64], path[80], moved[80];
    cis_workspace *w = NULL;
    uint64_t epoch = 0;
    snprintf(dir, sizeof dir, "/d-%s", name);
    snprintf(path, sizeof path, "/d-%s/f", name);
    snprintf(moved, sizeof moved, "/%s", name);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (char)(i * 7 + i / 251);
    }
    cis_code code = cis_workspace_open(p->tenant, NULL, &w, &why);
    code = code == CIS_OK ? cis_workspace_mkdir(w, dir, &why) : code;
    code = code == CIS_OK ? cis_workspace_write(w, path, 0, data, sizeof data, true, &why) : code;
    code = code == CIS_OK ? cis_workspace_rename(w, path, moved, &why) : code;
    code = code == CIS_OK ? cis_workspace_symlink(w, moved, path, &why) : code;
    code = code == CIS_OK ? cis_workspace_commit(w, "a note", &epoch, &why) : code;
    cis_workspace_close(w);
    return code;
}

static bool done_workspace(struct place *p, const char *name)
{
    char path[80];
    bool there = is_file(p, name, 150000);
    snprintf(path, sizeof path, "/d-%s/f", name);
    assert_int_equal(is_file(p, path, 150000), there);
    return there;
}

static cis_code act_component(struct place *p, const char *name)
{
    cis_wasi_config *run = NULL;
    cis_component *c = NULL;
    cis_wit_call *call = NULL;
    char *text = NULL;
    (void)name;
    cis_code code = cis_wasi_config_new(p->runtime, &run, &why);
    if (code != CIS_OK) {
        return code;
    }
    cis_wasi_config_provide(run, p->provider);
    code = cis_component_open(run, p->shop, &c, &why);
    code = code == CIS_OK ? cis_component_eval(c, "greet(\"you\")", &text, &why) : code;
    if (code == CIS_OK) {
        assert_string_equal(text, "\"hello you\"");
    }
    cis_output_free(text);
    code =
        code == CIS_OK ? cis_component_begin(c, "many", "func(n: u32) -> u32", &call, &why) : code;
    if (code == CIS_OK) {
        cis_wit_set_u32(cis_wit_param(call, 0), 3);
        code = cis_wit_perform(call, &why);
    }
    if (code == CIS_OK) {
        assert_int_equal(cis_wit_uint(cis_wit_result(call)), 6);
    }
    cis_wit_call_free(call);
    cis_component_close(c);
    cis_wasi_config_free(run);
    assert_int_equal(made, dropped + closed);
    return code;
}

/* A run that is recorded, and played again. */
static cis_code act_recorded(struct place *p, const char *name)
{
    cis_wasi_config *run = NULL;
    cis_result *first = NULL, *played = NULL;
    char path[300];
    snprintf(path, sizeof path, "%s/%s.recording", p->dir, name);
    cis_code code = cis_wasi_config_new(p->runtime, &run, &why);
    if (code != CIS_OK) {
        return code;
    }
    cis_wasi_config_provide(run, p->provider);
    cis_wasi_config_invoke(run, "give(9)");
    cis_wasi_config_record(run, path);
    code = cis_wasi_run(run, p->shop, &first, &why);
    code = result_end(code, first);
    if (code == CIS_OK) {
        code = cis_wasi_replay(run, path, &played, &why);
        code = result_end(code, played);
    }
    cis_wasi_config_free(run);
    unlink(path);
    assert_int_equal(made, dropped + closed);
    return code;
}

static cis_code act_instance(struct place *p, const char *name)
{
    cis_module *module = NULL;
    cis_instance *in = NULL;
    struct cis_value arg = {CIS_I64, {.i64 = 21}}, out;
    size_t n = 1;
    cis_code code =
        cis_module_load(p->runtime, GUEST_NUMBERS, sizeof GUEST_NUMBERS - 1, name, &module, &why);
    code = code == CIS_OK ? cis_instance_new(p->runtime, module, NULL, &in, &why) : code;
    code = code == CIS_OK ? cis_instance_call(in, "twice", &arg, 1, &out, &n, &why) : code;
    assert_true(code != CIS_OK || out.of.i64 == 42);
    cis_instance_free(in);
    cis_module_unref(module);
    return code;
}

static cis_code act_runtime(struct place *p, const char *name)
{
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    cis_runtime *runtime = NULL;
    cis_tenant *tenant = NULL;
    cis_workspace *w = NULL;
    char got[8];
    size_t n = 0;
    (void)name;
    config.data_dir = p->dir;
    config.compile_in_process = true;
    config.pool_slots = 4;
    cis_code code = cis_runtime_new(&config, &runtime, &why);
    code = code == CIS_OK ? cis_tenant_open(runtime, NULL, &tenant, &why) : code;
    code = code == CIS_OK ? cis_workspace_open(tenant, NULL, &w, &why) : code;
    code = code == CIS_OK ? cis_workspace_read(w, "/first", 0, got, sizeof got, &n, &why) : code;
    assert_true(code != CIS_OK || n == 5);
    cis_workspace_close(w);
    cis_tenant_close(tenant);
    cis_runtime_free(runtime);
    return code;
}

/* ---- of the history: each verb is one commit, or one name ---- */

static cis_code act_fork(struct place *p, const char *name)
{
    return cis_tenant_fork(p->tenant, NULL, name, &why);
}

static bool done_fork(struct place *p, const char *name)
{
    struct cis_workspace_options o = CIS_WORKSPACE_OPTIONS_INIT;
    cis_workspace *w = NULL;
    o.state = name;
    cis_code code = cis_workspace_open(p->tenant, &o, &w, &why);
    cis_workspace_close(w);
    assert_true(code == CIS_OK || code == CIS_E_NOTFOUND);
    return code == CIS_OK;
}

static cis_code act_snapshot(struct place *p, const char *name)
{
    return cis_tenant_snapshot(p->tenant, NULL, name, "a note", &why);
}

static enum cis_code first_commit(void *self, uint64_t epoch, int64_t time_ms, const char *kind,
                                  const char *note, const char *run)
{
    (void)time_ms, (void)kind, (void)note, (void)run;
    *(uint64_t *)self = epoch;
    return CIS_E_OK;
}

static uint64_t head(struct place *p)
{
    uint64_t epoch = 0;
    assert_ok(cis_tenant_log(p->tenant, NULL, 1, first_commit, &epoch, err));
    return epoch;
}

static enum cis_code any_change(void *self, char what, const char *path, const char *from)
{
    (void)what, (void)path, (void)from;
    ++*(int *)self;
    return CIS_E_OK;
}

static void commit_text(struct place *p, const char *text)
{
    cis_workspace *w = NULL;
    assert_ok(cis_workspace_open(p->tenant, NULL, &w, err));
    assert_ok(cis_workspace_write(w, "/first", 0, text, strlen(text), true, err));
    assert_ok(cis_workspace_commit(w, NULL, NULL, err));
    cis_workspace_close(w);
}

/* Restores a file that is another one in its older state. */
static uint64_t head_before;

static cis_code act_restore(struct place *p, const char *name)
{
    int changes = 0;
    (void)name;
    cis_code code = cis_tenant_diff(p->tenant, "main@1", "main@2", any_change, &changes, &why);
    assert_true(code != CIS_OK || changes > 0);
    return code == CIS_OK
               ? cis_tenant_restore(p->tenant, NULL,
                                    head_before % 2 == 0 ? "snapshot:one" : "snapshot:two",
                                    "/first", &why)
               : code;
}

static void note_head(struct place *p, size_t n)
{
    (void)n;
    head_before = head(p);
}

/* What there is to undo. */
static void commit_more(struct place *p, size_t n)
{
    char text[32];
    snprintf(text, sizeof text, "more %zu", n);
    commit_text(p, text);
    note_head(p, n);
}

static bool done_restore(struct place *p, const char *name)
{
    uint64_t now = head(p);
    (void)name;
    bool done = now != head_before;
    assert_true(now <= head_before + 1);
    head_before = now;
    return done;
}

static cis_code act_undo(struct place *p, const char *name)
{
    (void)name;
    return cis_tenant_undo(p->tenant, NULL, NULL, &why);
}

/* ---- all of them ---- */

static void once(struct place *p, const struct act *a, const struct heap *heap, size_t n,
                 bool *out_met, size_t *refused)
{
    char name[64];
    snprintf(name, sizeof name, "%c%zu", heap->name[0], n);
    if (a->before != NULL) {
        a->before(p, n);
    }
    heap->after(n);
    cis_code code = a->act(p, name);
    *out_met = heap->met();
    *refused += code != CIS_OK;
    assert_int_equal(cis_glue_heap_lent(), 0);
    /* A program may be told by its own errno, and say so. */
    bool told = a->act == act_program && code == CIS_E_FAILED;
    if (code != CIS_OK && code != CIS_E_NOMEM && !told) {
        fail_msg("allocation %zu of %s: %s: %s", n, heap->name, cis_code_name(code), why.msg);
    }
    if (!*out_met && code != CIS_OK) {
        fail_msg("%s had all it asked for, %zu times, and failed", heap->name, n);
    }
    if (a->done != NULL && a->done(p, name) != (code == CIS_OK)) {
        fail_msg("allocation %zu of %s: %s, and it is %sdone", n, heap->name, cis_code_name(code),
                 code == CIS_OK ? "not " : "");
    }
}

static bool all; /* every allocation, also of the engine and of SQLite */

static void at_every_step(struct place *p, const struct act *a)
{
    for (size_t h = 0; h < sizeof heaps / sizeof *heaps; h++) {
        size_t refused = 0, n = 0, more = 0;
        /* What is kept between calls is asked for once: the end is where several find nothing. */
        while (more < 3) {
            bool met = false;
            once(p, a, &heaps[h], n, &met, &refused);
            more = met ? 0 : more + 1;
            n += all ? 1 : heaps[h].step;
        }
        print_message("%s: %zu refused, of up to %zu\n", heaps[h].name, refused, n);
        assert_true(refused > 0 || h != 0);
    }
}

static void memory_that_runs_out_in_a_run_is_an_error_at_every_step(void **state)
{
    static const struct act act = {act_run, done_run, NULL};
    at_every_step(*state, &act);
}

static void memory_that_runs_out_in_a_program_is_an_error_at_every_step(void **state)
{
    static const struct act act = {act_program, done_program, NULL};
    at_every_step(*state, &act);
}

static void memory_that_runs_out_in_a_workspace_is_an_error_at_every_step(void **state)
{
    static const struct act act = {act_workspace, done_workspace, NULL};
    at_every_step(*state, &act);
}

static void memory_that_runs_out_in_a_component_is_an_error_at_every_step(void **state)
{
    static const struct act kept = {act_component, NULL, NULL},
                            recorded = {act_recorded, NULL, NULL};
    at_every_step(*state, &kept);
    at_every_step(*state, &recorded);
}

static void memory_that_runs_out_in_an_instance_is_an_error_at_every_step(void **state)
{
    static const struct act act = {act_instance, NULL, NULL};
    at_every_step(*state, &act);
}

static void memory_that_runs_out_in_a_runtime_is_an_error_at_every_step(void **state)
{
    static const struct act act = {act_runtime, NULL, NULL};
    at_every_step(*state, &act);
}

static void memory_that_runs_out_in_the_history_is_an_error_at_every_step(void **state)
{
    static const struct act acts[] = {{act_fork, done_fork, NULL},
                                      {act_snapshot, done_fork, NULL},
                                      {act_restore, done_restore, note_head},
                                      {act_undo, done_restore, commit_more}};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        at_every_step(*state, &acts[i]);
    }
}

/* ---- */

static cis_module *load(struct place *p, const char *what, const void *bytes, size_t len)
{
    cis_module *module = NULL;
    assert_ok(cis_module_load(p->runtime, bytes, len, what, &module, err));
    return module;
}

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
    assert_ok(cis_tenant_open(p->runtime, NULL, &p->tenant, err));
    assert_ok(cis_file_read(CIS_GUESTS_DIR "/verbs.wasm", &tool, err));
    p->tool = load(p, "tool", tool.ptr, tool.len);
    p->set = load(p, "set", GUEST_SET, strlen(GUEST_SET));
    p->get = load(p, "get", GUEST_GET, sizeof GUEST_GET - 1);
    p->shop = load(p, "shop", orders_guest, strlen(orders_guest));
    p->numbers = load(p, "numbers", GUEST_NUMBERS, sizeof GUEST_NUMBERS - 1);
    p->provider = provider_new(f_hello);
    commit_text(p, "begin");
    commit_text(p, "other");
    assert_ok(cis_tenant_snapshot(p->tenant, "main@1", "one", NULL, err));
    assert_ok(cis_tenant_snapshot(p->tenant, "main@2", "two", NULL, err));
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    struct cis_error err;
    cis_module *modules[] = {p->set, p->get, p->tool, p->shop, p->numbers};
    for (size_t i = 0; i < 5; i++) {
        cis_module_unref(modules[i]);
    }
    cis_provider_free(p->provider);
    cis_tenant_close(p->tenant);
    cis_runtime_free(p->runtime);
    int failed = cis_file_remove_tree(p->dir, &err) != CIS_OK;
    free(p->dir);
    free(p);
    return failed;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(memory_that_runs_out_in_a_run_is_an_error_at_every_step),
        T(memory_that_runs_out_in_a_program_is_an_error_at_every_step),
        T(memory_that_runs_out_in_a_workspace_is_an_error_at_every_step),
        T(memory_that_runs_out_in_a_component_is_an_error_at_every_step),
        T(memory_that_runs_out_in_an_instance_is_an_error_at_every_step),
        T(memory_that_runs_out_in_a_runtime_is_an_error_at_every_step),
        T(memory_that_runs_out_in_the_history_is_an_error_at_every_step),
    };
    all = argc > 1 && strcmp(argv[1], "all") == 0;
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_mem);
    sqlite3_mem_methods mine = real_mem;
    mine.xMalloc = failing_malloc;
    mine.xRealloc = failing_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &mine);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
