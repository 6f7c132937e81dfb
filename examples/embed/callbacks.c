/* Services of your own: memory, AI and log by callback. The guest's host_* calls end up here. */
#include <cis/cis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One key is enough to show the shape; a real service keeps a table per call->tenant and skill. */
struct shelf {
    char key[64], value[256];
    size_t value_len;
};

static enum cis_code get(void *self, const struct cis_call *call, const char *key, size_t key_len,
                         struct cis_sink *out, bool *out_found, struct cis_error *err)
{
    const struct shelf *shelf = self;
    (void)call;
    (void)err;
    *out_found = strlen(shelf->key) == key_len && memcmp(shelf->key, key, key_len) == 0;
    if (*out_found) {
        return out->write(out->self, shelf->value, shelf->value_len);
    }
    return CIS_E_OK;
}

static enum cis_code commit(void *self, const struct cis_call *call,
                            const struct cis_memory_op *ops, size_t nops, struct cis_error *err)
{
    struct shelf *shelf = self;
    (void)err;
    for (size_t i = 0; i < nops; i++) {
        printf("commit for %s: %.*s = %.*s\n", call->skill, (int)ops[i].key_len, ops[i].key,
               (int)ops[i].value_len, (const char *)ops[i].value);
        if (ops[i].key_len < sizeof shelf->key && ops[i].value_len < sizeof shelf->value) {
            memset(shelf->key, 0, sizeof shelf->key);
            memcpy(shelf->key, ops[i].key, ops[i].key_len);
            memcpy(shelf->value, ops[i].value, ops[i].value_len);
            shelf->value_len = ops[i].value_len;
        }
    }
    return CIS_E_OK;
}

static enum cis_code chat(void *self, const struct cis_call *call,
                          const struct cis_ai_request *request, struct cis_sink *out_text,
                          struct cis_ai_usage *out_usage, struct cis_error *err)
{
    (void)self;
    (void)call;
    (void)err;
    char text[128];
    int n = snprintf(text, sizeof text, "you asked %zu bytes", request->prompt_len);
    out_usage->input_tokens = request->prompt_len / 4;
    out_usage->output_tokens = (uint64_t)n / 4;
    return out_text->write(out_text->self, text, (size_t)n);
}

static void line(void *self, const struct cis_call *call, enum cis_log_level level,
                 const char *text, size_t len)
{
    (void)self;
    printf("log %d from %s: %.*s\n", (int)level, call->skill, (int)len, text);
}

/* Answers with what the AI said about its input, after keeping a note of it. */
static const char guest[] =
    "(module"
    " (import \"env\" \"host_memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"
    " (import \"env\" \"host_ai_chat\" (func $ai (param i32 i32 i32 i32) (result i32)))"
    " (import \"env\" \"host_log\" (func $log (param i32 i32 i32)))"
    " (import \"cis\" \"output_write\" (func $write (param i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 0) \"lastseen\")"
    " (func (export \"skill_execute\") (param $p i32) (param $n i32) (result i32)"
    "  (call $log (i32.const 1) (i32.const 0) (i32.const 8))"
    "  (drop (call $set (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 4)))"
    "  (drop (call $write (i32.const 1024)"
    "   (call $ai (local.get $p) (local.get $n) (i32.const 1024) (i32.const 256))))"
    "  (i32.const 0)))";

int main(void)
{
    struct shelf shelf = {"", "", 0};
    struct cis_memory_service memory = CIS_MEMORY_SERVICE_INIT;
    struct cis_ai_service ai = CIS_AI_SERVICE_INIT;
    struct cis_log_service log = CIS_LOG_SERVICE_INIT;
    memory.self = &shelf;
    memory.get = get;
    memory.commit = commit;
    ai.chat = chat;
    log.line = line;

    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    config.compile_in_process = true;
    struct cis_services services = CIS_SERVICES_INIT;
    config.services = &services;
    services.memory = &memory;
    services.ai = &ai;
    services.log = &log;

    const char *const grants[] = {"memory", "ai", NULL};
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    options.skill = "callbacks";
    options.grants = grants;

    struct cis_error err = {CIS_E_OK, 0, ""};
    cis_runtime *runtime = NULL;
    cis_module *module = NULL;
    cis_result *result = NULL;
    enum cis_code code = cis_runtime_new(&config, &runtime, &err);
    if (code == CIS_E_OK) {
        code = cis_module_load(runtime, guest, sizeof guest - 1, "callbacks", &module, &err);
    }
    if (code == CIS_E_OK) {
        code = cis_run(runtime, module, "{\"a\":1}", 7, &options, &result, &err);
    }
    if (code == CIS_E_OK) {
        code = cis_result_code(result);
        printf("result: %s%s\n", cis_result_output(result, NULL), cis_result_message(result));
    } else {
        fprintf(stderr, "%s\n", err.msg);
    }
    cis_result_free(result);
    cis_module_unref(module);
    cis_runtime_free(runtime);
    return cis_code_skill_exit(code);
}
