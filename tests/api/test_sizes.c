/* Public structs of callers that were compiled with another version of the header. Each struct ends
 * where readable memory ends, so that one byte read beyond its size is a crash, in a release build
 * too. */
#include "harness.h"

#include <sys/mman.h>
#include "base/file.h"
#include "cis/cis.h"
#include "cis/http_handler.h"
#include "incoming.h"
#include "lib/sized.h"

#define PAGE 4096u

struct edge {
    uint8_t *pages;
};

static int edge_setup(void **state)
{
    struct edge *e = calloc(1, sizeof *e);
    e->pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(e->pages != MAP_FAILED);
    assert_int_equal(mprotect(e->pages + 3 * PAGE, PAGE, PROT_NONE), 0);
    *state = e;
    return 0;
}

static int edge_teardown(void **state)
{
    struct edge *e = *state;
    munmap(e->pages, 4 * PAGE);
    free(e);
    return 0;
}

/* `size` bytes that end at the edge; the first of them are those of the struct, the rest is `rest`.
 */
static void *at_edge(struct edge *e, const void *from, size_t known, size_t size, uint8_t rest)
{
    uint8_t *at = e->pages + 3 * PAGE - size;
    uint32_t n = (uint32_t)size;
    memset(at, rest, size);
    memcpy(at, from, known < size ? known : size);
    if (size >= sizeof n) {
        memcpy(at, &n, sizeof n);
    }
    return at;
}

/* Sizes that can be honoured are, and no others: {first version, this one, newer, newer with
 * something set}. */
static void try_sizes(struct edge *e, const struct cis_sized *kind, const void *whole)
{
    uint8_t out[1024];
    assert_true(kind->known <= sizeof out);
    const size_t good[] = {kind->first, kind->known, kind->known + 8, kind->known + PAGE};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        memcpy(out, whole, kind->known);
        assert_ok(cis_sized_take(kind, at_edge(e, whole, kind->known, good[i], 0), out, err));
        uint32_t size;
        memcpy(&size, out, sizeof size);
        assert_int_equal(size, kind->known);
    }
    assert_fails(
        CIS_E_USAGE, "newer libcis",
        cis_sized_take(kind, at_edge(e, whole, kind->known, kind->known + 8, 1), out, err));
    const size_t bad[] = {sizeof(uint32_t), kind->first - 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(CIS_E_USAGE, kind->init,
                     cis_sized_take(kind, at_edge(e, whole, kind->known, bad[i], 0), out, err));
    }
    uint32_t none[2] = {0, 0}, all[2] = {UINT32_MAX, 0};
    assert_fails(CIS_E_USAGE, "size is 0", cis_sized_take(kind, none, out, err));
    assert_fails(CIS_E_USAGE, "size is 4294967295", cis_sized_take(kind, all, out, err));
}

static void every_struct_is_taken_by_its_own_size(void **state)
{
    struct edge *e = *state;
    try_sizes(e, &cis_sized_runtime_config, &(struct cis_runtime_config)CIS_RUNTIME_CONFIG_INIT);
    try_sizes(e, &cis_sized_run_options, &(struct cis_run_options)CIS_RUN_OPTIONS_INIT);
    try_sizes(e, &cis_sized_skill_options, &(struct cis_skill_options)CIS_SKILL_OPTIONS_INIT);
    try_sizes(e, &cis_sized_workspace_options,
              &(struct cis_workspace_options)CIS_WORKSPACE_OPTIONS_INIT);
    try_sizes(e, &cis_sized_http_incoming, &(struct cis_http_incoming)CIS_HTTP_INCOMING_INIT);
    try_sizes(e, &cis_sized_http_answer, &(struct cis_http_answer)CIS_HTTP_ANSWER_INIT);
    try_sizes(e, &cis_sized_file_info, &(struct cis_file_info)CIS_FILE_INFO_INIT);
    try_sizes(e, &cis_sized_compose_options, &(struct cis_compose_options)CIS_COMPOSE_OPTIONS_INIT);
}

static void what_is_given_ends_where_the_callers_struct_does(void **state)
{
    struct edge *e = *state;
    struct cis_http_answer whole = CIS_HTTP_ANSWER_INIT;
    whole.status = 204;
    whole.body_out = 7;
    whole.host_bytes = 9;
    struct cis_http_answer *old = at_edge(e, &(struct cis_http_answer)CIS_HTTP_ANSWER_INIT,
                                          sizeof whole, cis_sized_http_answer.first, 0);
    cis_sized_give(&cis_sized_http_answer, &whole, old);
    assert_int_equal(old->status, 204);
    assert_int_equal(old->body_out, 7);
    assert_int_equal(old->size, cis_sized_http_answer.first);
}

/* ---- through the API ---- */

static enum cis_code get(void *self, const struct cis_call *call, const char *key, size_t key_len,
                         struct cis_sink *out, bool *out_found, struct cis_error *err)
{
    (void)key, (void)key_len, (void)err;
    assert_int_equal(call->size, sizeof *call);
    ++*(int *)self;
    *out_found = out->write(out->self, "v", 1) == CIS_E_OK;
    return CIS_E_OK;
}

static enum cis_code commit(void *self, const struct cis_call *call,
                            const struct cis_memory_op *ops, size_t nops, struct cis_error *err)
{
    (void)self, (void)call, (void)ops, (void)nops, (void)err;
    return CIS_E_OK;
}

static const char GETS[] =
    "(module (import \"env\" \"host_memory_get\" (func $get (param i32 i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 16) \"k\")"
    " (func (export \"main\") (result i32)"
    "  (call $get (i32.const 16) (i32.const 1) (i32.const 32) (i32.const 8))))";

static enum cis_code send(void *self, const struct cis_call *call,
                          const struct cis_http_request *request,
                          struct cis_http_response *response, struct cis_error *err)
{
    (void)self, (void)call, (void)request, (void)response, (void)err;
    return CIS_E_NET;
}

/* The service of an older header, which ends behind `send`, and one of a newer header with entries
 * that nobody here knows of. */
static void services_of_other_versions_serve(void **state)
{
    struct edge *e = *state;
    int gets = 0;
    struct cis_memory_service memory = CIS_MEMORY_SERVICE_INIT;
    memory.self = &gets;
    memory.get = get;
    memory.commit = commit;
    struct cis_http_service http = CIS_HTTP_SERVICE_INIT;
    http.send = send;
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    struct cis_services services = CIS_SERVICES_INIT;
    c.services = &services;
    c.compile_in_process = true;
    services.memory = at_edge(e, &memory, sizeof memory, sizeof memory + 32, 0);
    cis_runtime *r = NULL;
    assert_ok(cis_runtime_new(&c, &r, err));
    memset(e->pages, 0xee, 3 * PAGE); /* it was copied */
    cis_module *m = NULL;
    assert_ok(cis_module_load(r, GETS, sizeof GETS - 1, "gets", &m, err));
    const char *const grants[] = {"memory", NULL};
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.grants = grants;
    cis_instance *in = NULL;
    assert_ok(cis_instance_new(r, m, &o, &in, err));
    struct cis_value result;
    size_t n = 1;
    assert_ok(cis_instance_call(in, "main", NULL, 0, &result, &n, err));
    assert_int_equal(result.of.i32, 1);
    assert_int_equal(gets, 1);
    cis_instance_free(in);
    cis_module_unref(m);
    cis_runtime_free(r);
    services.memory = NULL;
    services.http = at_edge(e, &http, sizeof http, offsetof(struct cis_http_service, open), 0);
    assert_ok(cis_runtime_new(&c, &r, err));
    cis_runtime_free(r);
}

static enum cis_code chat(void *self, const struct cis_call *call,
                          const struct cis_ai_request *request, struct cis_sink *out_text,
                          struct cis_ai_usage *out_usage, struct cis_error *err)
{
    (void)err;
    assert_int_equal(call->size, sizeof *call);
    assert_int_equal(request->size, sizeof *request);
    assert_int_equal(out_usage->size, sizeof *out_usage);
    ++*(int *)self;
    return out_text->write(out_text->self, "a", 1);
}

static void line(void *self, const struct cis_call *call, enum cis_log_level level,
                 const char *text, size_t len)
{
    (void)call, (void)level, (void)text, (void)len;
    ++*(int *)self;
}

static const char ASKS_AND_LOGS[] =
    "(module (import \"env\" \"host_ai_chat\" (func $ai (param i32 i32 i32 i32) (result i32)))"
    " (import \"env\" \"host_log\" (func $log (param i32 i32 i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 16) \"k\")"
    " (func (export \"main\") (result i32)"
    "  (call $log (i32.const 2) (i32.const 16) (i32.const 1))"
    "  (call $ai (i32.const 16) (i32.const 1) (i32.const 32) (i32.const 8))))";

/* Both have had one size so far: that one, and those of newer headers. */
static void ai_and_log_services_of_other_versions_serve(void **state)
{
    struct edge *e = *state;
    int asked = 0, lines = 0;
    struct cis_ai_service ai = CIS_AI_SERVICE_INIT;
    struct cis_log_service log = CIS_LOG_SERVICE_INIT;
    ai.self = &asked;
    ai.chat = chat;
    log.self = &lines;
    log.line = line;
    for (size_t more = 0; more <= 32; more += 16) {
        uint8_t wide[sizeof log + 32] = {0};
        uint32_t size = (uint32_t)(sizeof log + more);
        struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
        struct cis_services services = CIS_SERVICES_INIT;
        c.services = &services;
        memcpy(wide, &log, sizeof log);
        memcpy(wide, &size, sizeof size);
        c.compile_in_process = true;
        services.ai = at_edge(e, &ai, sizeof ai, sizeof ai + more, 0);
        services.log = (const void *)memcpy(e->pages, wide, sizeof wide);
        cis_runtime *r = NULL;
        cis_module *m = NULL;
        cis_instance *in = NULL;
        assert_ok(cis_runtime_new(&c, &r, err));
        services.ai = NULL;
        services.log = at_edge(e, &log, sizeof log, sizeof log + more, 0);
        cis_runtime *other = NULL;
        assert_ok(cis_runtime_new(&c, &other, err));
        cis_runtime_free(other);
        memset(e->pages, 0xee, 3 * PAGE); /* they were copied */
        assert_ok(cis_module_load(r, ASKS_AND_LOGS, sizeof ASKS_AND_LOGS - 1, "asks", &m, err));
        const char *const grants[] = {"ai", NULL};
        struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
        o.grants = grants;
        asked = lines = 0;
        assert_ok(cis_instance_new(r, m, &o, &in, err));
        struct cis_value result;
        size_t n = 1;
        assert_ok(cis_instance_call(in, "main", NULL, 0, &result, &n, err));
        assert_int_equal(asked, 1);
        assert_int_equal(lines, 1);
        cis_instance_free(in);
        cis_module_unref(m);
        cis_runtime_free(r);
    }
    cis_runtime *r = NULL;
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    struct cis_services services = CIS_SERVICES_INIT;
    c.services = &services;
    services.ai = at_edge(e, &ai, sizeof ai, sizeof ai - 1, 0);
    assert_fails(CIS_E_USAGE, "CIS_AI_SERVICE_INIT", cis_runtime_new(&c, &r, err));
    services.ai = NULL;
    services.log = at_edge(e, &log, sizeof log, sizeof log - 1, 0);
    assert_fails(CIS_E_USAGE, "CIS_LOG_SERVICE_INIT", cis_runtime_new(&c, &r, err));
    services.log = at_edge(e, &log, sizeof log, sizeof log + 8, 1);
    assert_fails(CIS_E_USAGE, "newer libcis", cis_runtime_new(&c, &r, err));
}

/* The list of services, of this header and of newer ones, at its end; and what is no size. */
static void the_list_of_services_is_taken_by_its_size(void **state)
{
    struct edge *e = *state;
    int gets = 0;
    struct cis_memory_service memory = CIS_MEMORY_SERVICE_INIT;
    memory.self = &gets;
    memory.get = get;
    memory.commit = commit;
    struct cis_services services = CIS_SERVICES_INIT;
    services.memory = &memory;
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    c.compile_in_process = true;
    cis_runtime *r = NULL;
    for (size_t more = 0; more <= 32; more += 16) {
        c.services = at_edge(e, &services, sizeof services, sizeof services + more, 0);
        assert_ok(cis_runtime_new(&c, &r, err));
        cis_runtime_free(r);
    }
    c.services = at_edge(e, &services, sizeof services, sizeof services - 1, 0);
    assert_fails(CIS_E_USAGE, "CIS_SERVICES_INIT", cis_runtime_new(&c, &r, err));
    c.services = at_edge(e, &services, sizeof services, sizeof services + 8, 1);
    assert_fails(CIS_E_USAGE, "newer libcis", cis_runtime_new(&c, &r, err));
}

static enum cis_code same_sizes(void *self, const char *name, const struct cis_file_info *info)
{
    (void)name;
    assert_int_equal(info->size, sizeof *info);
    assert_int_equal(info->length, 4);
    ++*(int *)self;
    return CIS_E_OK;
}

static void what_is_told_of_a_file_ends_where_the_callers_struct_does(void **state)
{
    struct edge *e = *state;
    const struct cis_file_info none = CIS_FILE_INFO_INIT;
    char *dir = test_dir_new();
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    cis_runtime *r = NULL;
    cis_tenant *tenant = NULL;
    cis_workspace *w = NULL;
    c.compile_in_process = true;
    c.data_dir = dir;
    assert_ok(cis_runtime_new(&c, &r, err));
    assert_ok(cis_tenant_open(r, NULL, &tenant, err));
    assert_ok(cis_workspace_open(tenant, NULL, &w, err));
    assert_ok(cis_workspace_write(w, "f", 0, "text", 4, true, err));
    const size_t sizes[] = {cis_sized_file_info.first, sizeof none, sizeof none + 64};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct cis_file_info *info = at_edge(e, &none, sizeof none, sizes[i], 0);
        assert_ok(cis_workspace_stat(w, "f", info, err));
        assert_int_equal(info->size, sizes[i]);
        assert_int_equal(info->length, 4);
    }
    assert_fails(
        CIS_E_USAGE, "CIS_FILE_INFO_INIT",
        cis_workspace_stat(w, "f", at_edge(e, &none, sizeof none, cis_sized_file_info.first - 1, 0),
                           err));
    int entries = 0;
    assert_ok(cis_workspace_list(w, "", same_sizes, &entries, err));
    assert_int_equal(entries, 1);
    cis_workspace_close(w);
    cis_tenant_close(tenant);
    cis_runtime_free(r);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

/* An answer of the first version, which ends where memory does, and one of a newer header. */
static void an_answer_ends_where_the_callers_struct_does(void **state)
{
    struct edge *e = *state;
    void *kept = NULL;
    assert_int_equal(place_setup(&kept), 0);
    struct place *p = kept;
    const struct cis_http_answer none = CIS_HTTP_ANSWER_INIT;
    struct cis_http_incoming in = CIS_HTTP_INCOMING_INIT;
    in.method = "GET";
    in.path = "/hello";
    const size_t sizes[] = {cis_sized_http_answer.first, cis_sized_http_answer.known,
                            cis_sized_http_answer.known + 64};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct cis_http_answer *answer = at_edge(e, &none, sizeof none, sizes[i], 0);
        assert_ok(cis_component_handle(p->component, &in, answer, err));
        assert_int_equal(answer->size, sizes[i]);
        assert_int_equal(answer->status, 200);
        assert_int_equal(answer->body_out, 5);
    }
    assert_fails(CIS_E_USAGE, "CIS_HTTP_ANSWER_INIT",
                 cis_component_handle(
                     p->component, &in,
                     at_edge(e, &none, sizeof none, cis_sized_http_answer.first - 1, 0), err));
    assert_int_equal(place_teardown(&kept), 0);
}

static void services_without_what_they_need_are_refused(void **state)
{
    (void)state;
    struct cis_memory_service memory = CIS_MEMORY_SERVICE_INIT;
    struct cis_ai_service ai = CIS_AI_SERVICE_INIT;
    struct cis_http_service http = CIS_HTTP_SERVICE_INIT;
    struct cis_log_service log = CIS_LOG_SERVICE_INIT;
    cis_runtime *r = NULL;
    for (int i = 0; i < 4; i++) {
        struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
        struct cis_services services = CIS_SERVICES_INIT;
        c.services = &services;
        services.memory = i == 0 ? &memory : NULL;
        services.ai = i == 1 ? &ai : NULL;
        services.http = i == 2 ? &http : NULL;
        services.log = i == 3 ? &log : NULL;
        assert_fails(CIS_E_USAGE, "has no ", cis_runtime_new(&c, &r, err));
    }
    memory.size = 4;
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    struct cis_services services = CIS_SERVICES_INIT;
    c.services = &services;
    services.memory = &memory;
    assert_fails(CIS_E_USAGE, "CIS_MEMORY_SERVICE_INIT", cis_runtime_new(&c, &r, err));
}

static uint64_t deadline_ns; /* of the last call */

static enum cis_code nothing(void *self, const struct cis_call *call, const char *method,
                             const char *input, size_t len, struct cis_sink *out,
                             struct cis_error *err)
{
    (void)self, (void)method, (void)input, (void)len, (void)err;
    deadline_ns = call->deadline_ns;
    out->write(out->self, "1", 1);
    return CIS_E_OK;
}

static void options_of_a_native_skill_are_read_by_their_size(void **state)
{
    struct edge *e = *state;
    cis_runtime *r = NULL;
    cis_skills *s = NULL;
    struct cis_runtime_config c = CIS_RUNTIME_CONFIG_INIT;
    c.compile_in_process = true;
    assert_ok(cis_runtime_new(&c, &r, err));
    assert_ok(cis_skills_new(r, &s, err));
    assert_ok(cis_skills_register_native(s, "nothing", nothing, NULL, err));
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    o.time_ms = (uint64_t)1 << 58; /* of milliseconds: in nanoseconds 0, as 64 bits count them */
    cis_result *result = NULL;
    assert_fails(
        CIS_E_USAGE, "size is 8",
        cis_skills_call(s, "nothing", NULL, "", 0, at_edge(e, &o, sizeof o, 8, 0), &result, err));
    assert_ok(cis_skills_call(s, "nothing", NULL, "", 0, at_edge(e, &o, sizeof o, sizeof o + 8, 0),
                              &result, err));
    assert_int_equal(cis_result_code(result), CIS_E_OK);
    assert_true(deadline_ns == UINT64_MAX);
    cis_result_free(result);
    cis_skills_free(s);
    cis_runtime_free(r);
}

#define T(name) cmocka_unit_test_setup_teardown(name, edge_setup, edge_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_struct_is_taken_by_its_own_size),
        T(what_is_given_ends_where_the_callers_struct_does),
        T(services_of_other_versions_serve),
        T(ai_and_log_services_of_other_versions_serve),
        T(the_list_of_services_is_taken_by_its_size),
        T(what_is_told_of_a_file_ends_where_the_callers_struct_does),
        T(an_answer_ends_where_the_callers_struct_does),
        T(options_of_a_native_skill_are_read_by_their_size),
        T(services_without_what_they_need_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
