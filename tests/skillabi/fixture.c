#include "skillabi/fixture.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "wasi/p1/p1.h"

#define ROWS_MAX 256
static cis_engine *the_engine;
static const struct cis_hostfn *called[ROWS_MAX];
static size_t ncalled;

cis_engine *abi_engine(void)
{
    if (the_engine == NULL) {
        const struct cis_engine_options o = {
            .pool_slots = 16, .cpu_slots = 2, .compile_in_process = true};
        assert_ok(cis_engine_open(&o, &the_engine, err));
    }
    return the_engine;
}

void abi_engine_close(void)
{
    cis_engine_close(the_engine);
    the_engine = NULL;
}

bool abi_was_called(const struct cis_hostfn *row)
{
    for (size_t i = 0; i < ncalled; i++) {
        if (called[i] == row) {
            return true;
        }
    }
    return false;
}

static void trace(void *self, const struct cis_hostfn *row, const union cis_slot *args,
                  const union cis_slot *result, cis_code code, uint64_t ns)
{
    (void)self, (void)args, (void)result, (void)code, (void)ns;
    if (!abi_was_called(row) && ncalled < ROWS_MAX) {
        called[ncalled++] = row;
    }
}

static const struct cis_ifacefn *typed[ROWS_MAX];
static size_t ntyped;

bool abi_iface_was_called(const struct cis_ifacefn *row)
{
    for (size_t i = 0; i < ntyped; i++) {
        if (typed[i] == row) {
            return true;
        }
    }
    return false;
}

static void trace_iface(void *self, const struct cis_ifacefn *row, const cis_val *args,
                        size_t nargs, const cis_val *result, cis_code code, uint64_t ns)
{
    struct abi *a = self;
    (void)ns;
    cis_buf_reset(&a->traced);
    for (size_t i = 0; i < nargs; i++) {
        cis_val_print(cis_val_nth(args, i), &a->traced);
        cis_buf_byte(&a->traced, ' ');
    }
    if (result != NULL && code == CIS_OK) {
        cis_val_print(result, &a->traced);
    }
    if (!abi_iface_was_called(row) && ntyped < ROWS_MAX) {
        typed[ntyped++] = row;
    }
}

/* ---- fake services ---- */
static cis_code memory_get(void *self, const struct cis_call *call, const char *key, size_t key_len,
                           struct cis_sink *out, bool *out_found, struct cis_error *err)
{
    struct fake *f = self;
    (void)call;
    f->gets++;
    if (f->memory_code != CIS_OK) {
        return cis_fail(err, f->memory_code, "memory is broken");
    }
    *out_found = f->key != NULL && key_len == strlen(f->key) && memcmp(key, f->key, key_len) == 0;
    if (*out_found) {
        out->write(out->self, f->value, f->value_len);
    }
    return CIS_OK;
}

static cis_code memory_search(void *self, const struct cis_call *call, const char *query,
                              size_t query_len, uint32_t limit, cis_memory_hit_fn *each,
                              void *each_self, struct cis_error *err)
{
    struct fake *f = self;
    (void)query, (void)query_len;
    f->searches++;
    if (f->memory_code != CIS_OK) {
        return cis_fail(err, f->memory_code, "memory is broken");
    }
    if (f->key != NULL && limit != 0) {
        struct cis_memory_hit hit = {.size = sizeof hit,
                                     .skill = f->search_public ? "other" : call->skill,
                                     .key = f->key,
                                     .key_len = strlen(f->key),
                                     .value = f->value,
                                     .value_len = f->value_len,
                                     .is_public = f->search_public,
                                     .category = "notes"};
        return each(each_self, &hit);
    }
    return CIS_OK;
}

static cis_code memory_list(void *self, const struct cis_call *call, const char *prefix,
                            size_t prefix_len, uint32_t limit, cis_memory_key_fn *each,
                            void *each_self, struct cis_error *err)
{
    (void)self, (void)call, (void)prefix, (void)prefix_len, (void)limit;
    (void)each_self, (void)each, (void)err;
    return CIS_OK;
}

static cis_code memory_commit(void *self, const struct cis_call *call,
                              const struct cis_memory_op *ops, size_t nops, struct cis_error *err)
{
    (void)self, (void)call, (void)ops, (void)nops, (void)err;
    return CIS_OK;
}

static cis_code ai_chat(void *self, const struct cis_call *call, const struct cis_ai_request *r,
                        struct cis_sink *out, struct cis_ai_usage *usage, struct cis_error *err)
{
    struct fake *f = self;
    (void)call;
    f->chats++;
    snprintf(f->prompt, sizeof f->prompt, "%.*s", (int)r->prompt_len, r->prompt);
    if (f->ai_code != CIS_OK) {
        return cis_fail(err, f->ai_code, "the provider is away");
    }
    usage->input_tokens = usage->output_tokens = 1;
    out->write(out->self, f->answer, f->answer_len);
    return CIS_OK;
}

static cis_code http_send(void *self, const struct cis_call *call, const struct cis_http_request *r,
                          struct cis_http_response *response, struct cis_error *err)
{
    struct fake *f = self;
    (void)call;
    f->sends++;
    snprintf(f->method, sizeof f->method, "%s", r->method);
    snprintf(f->url, sizeof f->url, "%s", r->url);
    snprintf(f->sent, sizeof f->sent, "%.*s", (int)r->body_len,
             r->body != NULL ? (const char *)r->body : "");
    if (r->nheaders != 0) {
        snprintf(f->header, sizeof f->header, "%s: %s", r->headers[0].name, r->headers[0].value);
    }
    if (f->http_code != CIS_OK) {
        return cis_fail(err, f->http_code, "the network is away");
    }
    response->status = f->status;
    response->header(response->self, "X-Test", "yes");
    response->body.write(response->body.self, f->body, f->body_len);
    return CIS_OK;
}

static void log_line(void *self, const struct cis_call *call, enum cis_log_level level,
                     const char *text, size_t len)
{
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    struct fake *f = self;
    (void)call;
    cis_buf_printf(&f->log, "%s %.*s\n", names[level], (int)len, text);
}

void abi_init(struct abi *a)
{
    memset(a, 0, sizeof *a);
    a->traced = CIS_BUF_INIT(1u << 16);
    a->limits = (struct cis_limits){.memory_bytes = 256u << 20, .host_bytes = 512u << 20};
    a->fake = (struct fake){.answer = "yes",
                            .answer_len = 3,
                            .status = 200,
                            .body = "pong",
                            .body_len = 4,
                            .log = CIS_BUF_INIT(1u << 20)};
    a->memory = (struct cis_memory_service)CIS_MEMORY_SERVICE_INIT;
    a->memory.self = &a->fake;
    a->memory.get = memory_get;
    a->memory.search = memory_search;
    a->memory.list = memory_list;
    a->memory.commit = memory_commit;
    a->ai = (struct cis_ai_service)CIS_AI_SERVICE_INIT;
    a->ai.self = &a->fake;
    a->ai.chat = ai_chat;
    a->http = (struct cis_http_service)CIS_HTTP_SERVICE_INIT;
    a->http.self = &a->fake;
    a->http.send = http_send;
    a->log = (struct cis_log_service)CIS_LOG_SERVICE_INIT;
    a->log.self = &a->fake;
    a->log.line = log_line;
    a->stop = (struct cis_stop){CIS_NEVER, NULL};
    struct cis_host *h = &a->host;
    h->call = (struct cis_call){.size = sizeof h->call,
                                .tenant = "default",
                                .skill = "file:test",
                                .run_id = "r",
                                .deadline_ns = CIS_NEVER,
                                .stop = &a->stop};
    h->services = (struct cis_services){.size = sizeof h->services,
                                        .memory = &a->memory,
                                        .ai = &a->ai,
                                        .http = &a->http,
                                        .log = &a->log};
    h->budget.limit = 512u << 20;
    h->skill = "file:test";
    h->output = CIS_BUF_INIT(256u << 20);
    h->errors = CIS_BUF_INIT(CIS_LOG_LINE_MAX);
    h->log = CIS_BUF_INIT(16u << 20);
    h->log_lines_max = 1000;
    h->config = CIS_MAP_INIT;
}

static void grant(struct abi *a, const char *grants)
{
    struct cis_str rest = cis_str_of(grants), word;
    while (rest.len != 0) {
        cis_str_split(&rest, ' ', &word);
        assert_ok(cis_grants_add(&a->host.grants, word, err));
    }
}

cis_code abi_try(struct abi *a, struct cis_bytes wasm, const struct cis_skillabi_options *options,
                 const char *grants)
{
    grant(a, grants);
    const struct cis_engine_module_options load = {
        .name = "test", .memory_limit = a->limits.memory_bytes, .stop = a->stop};
    struct cis_error *err = &a->err;
    CIS_TRY(cis_engine_module_load(abi_engine(), wasm, &load, &a->image, err));
    CIS_TRY(cis_skillabi_link(a->image, options, NULL, &a->program, err));
    CIS_TRY(cis_memory_view_new(a->host.services.memory, &a->host.call, &a->host.budget,
                                &a->host.memory, err));
    const struct cis_engine_instance_options o = {.limits = a->limits,
                                                  .stop = a->stop,
                                                  .grants = cis_host_guest_grants(&a->host),
                                                  .host = &a->host,
                                                  .trace = trace,
                                                  .trace_iface = trace_iface,
                                                  .trace_self = a,
                                                  .budget = &a->host.budget};
    return cis_engine_instance_new(abi_engine(), a->program, &o, &a->guest, err);
}

static void must(struct abi *a, cis_code code)
{
    if (code != CIS_OK) {
        fail_msg("%s (%s)", a->err.msg, cis_code_name(code));
    }
}

void abi_open(struct abi *a, const char *wat, const char *grants)
{
    must(a, abi_try(a, cis_bytes_of(wat, strlen(wat)), NULL, grants));
}

void abi_open_file(struct abi *a, const char *name, const char *grants)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", CIS_GUESTS_DIR, name);
    struct cis_buf file = CIS_BUF_INIT(64u << 20);
    assert_ok(cis_file_read(path, &file, err));
    must(a, abi_try(a, cis_buf_bytes(&file), NULL, grants));
    cis_buf_done(&file);
}

/* ---- a guest made from a table ---- */
static void wat_type(const char *type, struct cis_buf *out)
{
    const char *const words[] = {" i32", " i64", " f32", " f64"};
    size_t n = strcspn(type, ":");
    if (n != 0) {
        cis_buf_text(out, " (param");
        for (size_t i = 0; i < n; i++) {
            cis_buf_text(out, words[strchr("iIfF", type[i]) - "iIfF"]);
        }
        cis_buf_text(out, ")");
    }
    if (type[n + 1] != 0) {
        cis_buf_printf(out, " (result%s)", words[strchr("iIfF", type[n + 1]) - "iIfF"]);
    }
}

static void wat_of(const struct cis_hostfn_table *t, bool allocator, struct cis_buf *out)
{
    cis_buf_text(out, "(module");
    for (size_t i = 0; i < t->nrows; i++) {
        cis_buf_printf(out, " (import \"%s\" \"%s\" (func $f%zu", t->rows[i].module,
                       t->rows[i].name, i);
        wat_type(t->rows[i].type, out);
        cis_buf_text(out, "))");
    }
    cis_buf_text(out, " (memory (export \"memory\") 2)");
    for (size_t i = 0; i < t->nrows; i++) {
        cis_buf_printf(out, " (func (export \"%s\")", t->rows[i].name);
        wat_type(t->rows[i].type, out);
        cis_buf_printf(out, " (call $f%zu", i);
        for (size_t p = 0; t->rows[i].type[p] != ':'; p++) {
            cis_buf_printf(out, " (local.get %zu)", p);
        }
        cis_buf_text(out, "))");
    }
    if (allocator) { /* hands out the second page, then says no */
        cis_buf_text(out, " (global $at (mut i32) (i32.const 65536))"
                          " (func (export \"malloc\") (param $n i32) (result i32)"
                          " (if (result i32) (i32.gt_u (i32.add (global.get $at) (local.get $n))"
                          " (i32.const 131072)) (then (i32.const 0)) (else (global.get $at)"
                          " (global.set $at (i32.add (global.get $at) (local.get $n))))))"
                          " (global $freed (mut i32) (i32.const 0))"
                          " (func (export \"free\") (param i32) (global.set $freed (local.get 0)))"
                          " (func (export \"freed\") (result i32) (global.get $freed))");
    }
    cis_buf_text(out, ")");
}

void abi_open_table(struct abi *a, const char *abi, bool allocator, const char *grants)
{
    size_t n;
    const struct cis_hostfn_table *const *tables = cis_skillabi_tables(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(tables[i]->abi, abi) == 0) {
            CIS_CLEANUP(cis_buf_done) struct cis_buf wat = CIS_BUF_INIT(1u << 20);
            const struct cis_skillabi_options o = {.abi = abi};
            wat_of(tables[i], allocator, &wat);
            must(a, abi_try(a, cis_buf_bytes(&wat), &o, grants));
            return;
        }
    }
    fail_msg("no table %s", abi);
}

void abi_close(struct abi *a)
{
    cis_engine_instance_free(a->guest);
    cis_wasi_p1_end(&a->host);
    cis_linked_unref(a->program);
    cis_engine_module_unref(a->image);
    cis_memory_view_free(a->host.memory);
    cis_grants_done(&a->host.grants);
    cis_map_done(&a->host.config, cis_free);
    cis_buf_done(&a->host.output);
    cis_buf_done(&a->host.errors);
    cis_buf_done(&a->host.log);
    cis_buf_done(&a->fake.log);
    cis_buf_done(&a->traced);
    cis_buf_done(&a->result.value);
}

/* ---- calls ---- */
static int64_t call(struct abi *a, const char *name, va_list args)
{
    const struct cis_extern *e = cis_engine_module_export(a->image, cis_str_of(name));
    assert_non_null(e);
    union cis_slot io[16];
    memset(io, 0, sizeof io);
    size_t n = strcspn(e->type, ":");
    for (size_t i = 0; i < n; i++) {
        io[i].i64 = e->type[i] == 'I' ? va_arg(args, int64_t) : (int64_t)va_arg(args, int);
    }
    a->err = (struct cis_error){0};
    a->err.code = cis_engine_instance_call(a->guest, e->name, e->type, io, &a->err);
    return strcmp(e->type + n, ":I") == 0 ? io[0].i64 : io[0].i32;
}

int64_t abi_call(struct abi *a, const char *name, ...)
{
    va_list args;
    va_start(args, name);
    int64_t value = call(a, name, args);
    va_end(args);
    must(a, a->err.code);
    return value;
}

cis_code abi_call_code(struct abi *a, const char *name, ...)
{
    va_list args;
    va_start(args, name);
    (void)call(a, name, args);
    va_end(args);
    return a->err.code;
}

uint32_t abi_put(struct abi *a, uint32_t at, const char *text)
{
    char *to = cis_engine_instance_out(a->guest, at, strlen(text));
    assert_non_null(to);
    memcpy(to, text, strlen(text));
    return at;
}

const char *abi_at(struct abi *a, uint64_t at, uint64_t len)
{
    const char *p = cis_engine_instance_at(a->guest, at, len);
    assert_non_null(p);
    return p;
}

cis_code abi_run(struct abi *a, const char *input, const struct cis_skillabi_options *options)
{
    a->host.input = cis_bytes_of(input, strlen(input));
    a->err = (struct cis_error){0};
    return cis_skillabi_run(a->guest, &a->host, options, &a->result, &a->err);
}

const char *abi_value(struct abi *a)
{
    return cis_buf_cstr(&a->result.value);
}

const char *abi_log(struct abi *a)
{
    return cis_buf_cstr(&a->fake.log);
}

uint64_t abi_refused(struct abi *a, enum cis_grant grant)
{
    struct cis_engine_instance_usage usage;
    cis_engine_instance_usage(a->guest, &usage);
    return usage.grants_refused[grant];
}
