/* cis:skill@0.1.0, the typed form of the ABI for components (wit/cis-skill.wit): its table, and the
 * interfaces memory, log and config. Verbs, caps and refusals are those of the core ABIs. */
#include "skillabi/iface.h"

#include <jansson.h>

/* ---- errors ---- */

static cis_val *fail_with(cis_val *result, const char *name, bool has_inner)
{
    cis_val *error, *inner = NULL;
    cis_val_set_result(result, false, &error);
    cis_val_set_variant(error, name, has_inner ? &inner : NULL);
    return inner;
}

/* result: err(denied); the answer to every call that lacks its grant. */
static cis_code refuse(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                       struct cis_error *err)
{
    (void)instance, (void)args, (void)err;
    fail_with(result, "denied", false);
    return CIS_OK;
}

cis_code cis_iface_too_large(cis_val *result, uint64_t max)
{
    cis_val_set_u64(fail_with(result, "too-large", true), max);
    return CIS_OK;
}

static cis_code not_text(cis_val *result)
{
    fail_with(result, "not-text", false);
    return CIS_OK;
}

static const char *case_of(cis_code code)
{
    switch (code) {
    case CIS_E_DENIED:
        return "denied";
    case CIS_E_BUDGET:
    case CIS_E_LIMIT:
    case CIS_E_QUOTA:
        return "limit";
    case CIS_E_PROVIDER:
        return "unavailable";
    case CIS_E_DEADLINE:
        return "timeout";
    default:
        return "failed";
    }
}

cis_code cis_iface_failed(cis_engine_instance *instance, cis_val *result, const char *fn,
                          cis_code code, struct cis_error *err)
{
    char why[CIS_ERROR_MSG_MAX] = "";
    if (err != NULL) {
        memcpy(why, err->msg, sizeof why);
    }
    CIS_TRY(cis_abi_survive(instance, fn, code, err));
    if (code == CIS_E_INVALID || code == CIS_E_USAGE || code == CIS_E_UNSUPPORTED) {
        /* Of the guest's own arguments: nothing it does not know. */
        cis_val *text = fail_with(result, "invalid", true);
        struct cis_str said = {why, cis_utf8_floor(why, strlen(why), sizeof why)};
        return cis_val_set_text(instance, text,
                                cis_utf8_valid(said.ptr, said.len) ? said : CIS_STR(""), err);
    }
    fail_with(result, case_of(code), false);
    return CIS_OK;
}

cis_code cis_iface_built(cis_engine_instance *instance, cis_val *result, const char *fn,
                         cis_code code, struct cis_error *err)
{
    if (code == CIS_E_INVALID) {
        return not_text(result);
    }
    return code == CIS_OK ? CIS_OK : cis_iface_failed(instance, result, fn, code, err);
}

/* ---- memory ---- */

static cis_code get(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                    struct cis_error *err)
{
    struct cis_bytes value;
    bool found;
    cis_code code =
        cis_memory_view_get(cis_host_of(instance)->memory, cis_val_text(args), &value, &found, err);
    if (code != CIS_OK) {
        return cis_iface_failed(instance, result, "memory.get", code, err);
    }
    cis_val *option;
    cis_val_set_result(result, true, &option);
    if (!found) {
        cis_val_set_none(option);
        return CIS_OK;
    }
    struct cis_str text = {(const char *)value.ptr, value.len};
    code = cis_val_set_text(instance, cis_val_set_some(option), text, err);
    return cis_iface_built(instance, result, "memory.get", code, err);
}

static cis_code get_bytes(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                          struct cis_error *err)
{
    struct cis_bytes value;
    bool found;
    cis_code code =
        cis_memory_view_get(cis_host_of(instance)->memory, cis_val_text(args), &value, &found, err);
    if (code != CIS_OK) {
        return cis_iface_failed(instance, result, "memory.get-bytes", code, err);
    }
    if (found && value.len > CIS_ABI_LIST_MAX) {
        return cis_iface_too_large(result, CIS_ABI_LIST_MAX);
    }
    cis_val *option;
    cis_val_set_result(result, true, &option);
    if (!found) {
        cis_val_set_none(option);
        return CIS_OK;
    }
    code = cis_val_set_bytes(instance, cis_val_set_some(option), value, err);
    return cis_iface_built(instance, result, "memory.get-bytes", code, err);
}

static cis_code store(cis_engine_instance *instance, const char *fn, struct cis_str key,
                      struct cis_bytes value, cis_val *result, struct cis_error *err)
{
    cis_code code = cis_memory_view_set(cis_host_of(instance)->memory, key, value, err);
    return code == CIS_OK ? cis_iface_ok(result)
                          : cis_iface_failed(instance, result, fn, code, err);
}

static cis_code set(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                    struct cis_error *err)
{
    struct cis_str value = cis_val_text(cis_val_nth(args, 1));
    if (value.len > CIS_ABI_VALUE_MAX) {
        return cis_iface_too_large(result, CIS_ABI_VALUE_MAX);
    }
    return store(instance, "memory.set", cis_val_text(args), cis_bytes_of(value.ptr, value.len),
                 result, err);
}

static cis_code set_bytes(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                          struct cis_error *err)
{
    const cis_val *list = cis_val_nth(args, 1);
    size_t n = cis_val_len(list);
    if (n > CIS_ABI_LIST_MAX) {
        return cis_iface_too_large(result, CIS_ABI_LIST_MAX);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(CIS_ABI_LIST_MAX + 1);
    uint8_t *room = cis_buf_reserve(&bytes, n + 1);
    if (room == NULL) {
        return cis_buf_check(&bytes, "memory.set-bytes", err);
    }
    cis_val_copy_bytes(list, room);
    return store(instance, "memory.set-bytes", cis_val_text(args), cis_bytes_of(room, n), result,
                 err);
}

static cis_code delete (cis_engine_instance *instance, const cis_val *args, cis_val *result,
                        struct cis_error *err)
{
    cis_code code = cis_memory_view_delete(cis_host_of(instance)->memory, cis_val_text(args), err);
    return code == CIS_OK ? cis_iface_ok(result)
                          : cis_iface_failed(instance, result, "memory.delete", code, err);
}

/* One hit of the search's JSON as a record. */
static cis_code hit(cis_engine_instance *instance, json_t *item, cis_val *out,
                    struct cis_error *err)
{
    static const char *const names[] = {"key", "value", "domain", "category"};
    cis_val_set_record(out, names, 4);
    for (size_t i = 0; i < 4; i++) {
        json_t *field = json_object_get(item, names[i]);
        const char *text = json_string_value(field);
        struct cis_str view = {text != NULL ? text : "",
                               text != NULL ? json_string_length(field) : 0};
        CIS_TRY(cis_val_set_text(instance, cis_val_item(out, i), view, err));
    }
    return CIS_OK;
}

static cis_code hits(cis_engine_instance *instance, json_t *root, cis_val *result,
                     struct cis_error *err)
{
    cis_val *list;
    size_t n = json_array_size(root);
    cis_val_set_result(result, true, &list);
    CIS_TRY(cis_val_set_list(instance, list, n, err));
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(hit(instance, json_array_get(root, i), cis_val_item(list, i), err));
    }
    return CIS_OK;
}

static cis_code search(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                       struct cis_error *err)
{
    struct cis_str query = cis_val_text(args);
    if (query.len > CIS_ABI_QUERY_MAX) {
        return cis_iface_too_large(result, CIS_ABI_QUERY_MAX);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(CIS_ABI_ANSWER_MAX);
    cis_code code = cis_memory_view_search(cis_host_of(instance)->memory, query,
                                           CIS_ABI_SEARCH_RESULTS, &json, err);
    code = code == CIS_OK ? cis_buf_check(&json, "search", err) : code;
    if (code != CIS_OK) {
        return cis_iface_failed(instance, result, "memory.search", code, err);
    }
    json_t *root = json_loadb((const char *)json.ptr, json.len, JSON_ALLOW_NUL, NULL);
    if (root == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "memory.search: out of memory");
    }
    code = hits(instance, root, result, err);
    json_decref(root);
    return cis_iface_built(instance, result, "memory.search", code, err);
}

/* ---- log ---- */

static cis_code write_line(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                           struct cis_error *err)
{
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    (void)result, (void)err;
    struct cis_str level = cis_val_text(args);
    enum cis_log_level n = CIS_LOG_INFO;
    for (size_t i = 0; i < 5; i++) {
        n = cis_str_is(level, names[i]) ? (enum cis_log_level)((int)CIS_LOG_TRACE + (int)i) : n;
    }
    cis_host_log(cis_host_of(instance), n, cis_val_text(cis_val_nth(args, 1)));
    return CIS_OK;
}

/* ---- config ---- */

static cis_code config_get(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                           struct cis_error *err)
{
    struct cis_str key = cis_val_text(args), value;
    cis_val *option;
    if (key.len == 0 || key.len > CIS_HOST_CONFIG_KEY_MAX) {
        cis_code code = cis_fail(err, CIS_E_INVALID, "config key: 1 to %u bytes, not %zu",
                                 CIS_HOST_CONFIG_KEY_MAX, key.len);
        return cis_iface_failed(instance, result, "config.get", code, err);
    }
    cis_host_config_get(cis_host_of(instance), key, &value);
    cis_val_set_result(result, true, &option);
    if (value.ptr == NULL) {
        cis_val_set_none(option);
        return CIS_OK;
    }
    cis_code code = cis_val_set_text(instance, cis_val_set_some(option), value, err);
    return cis_iface_built(instance, result, "config.get", code, err);
}

static cis_code config_set(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                           struct cis_error *err)
{
    struct cis_str value = cis_val_text(cis_val_nth(args, 1));
    if (value.len > CIS_ABI_CONFIG_MAX) {
        return cis_iface_too_large(result, CIS_ABI_CONFIG_MAX);
    }
    cis_code code = cis_host_config_set(cis_host_of(instance), cis_val_text(args), value, err);
    return code == CIS_OK ? cis_iface_ok(result)
                          : cis_iface_failed(instance, result, "config.set", code, err);
}

/* ---- the table ---- */

#define ROW(iface, fn, sig, g, c, call, par, text)                                                 \
    {                                                                                              \
        .interface = "cis:skill/" iface, .name = (fn), .type = (sig), .grant = CIS_GRANT_##g,      \
        .cost = (c), .handler = (call), .refuse = refuse, .params = (par), .doc = (text)           \
    }
#define RESULT(ok) "result<" ok ", " CIS_IFACE_ERROR ">"
#define BODY "variant{none,text(string),bytes(list<u8>)}"
#define HEADERS "list<tuple<string,string>>"

static const struct cis_ifacefn rows[] = {
    ROW("memory", "get", "func(string) -> " RESULT("option<string>"), MEMORY_READ, 10, get, "key",
        "A value of the skill's own memory as text; not-text when it is not UTF-8."),
    ROW("memory", "get-bytes", "func(string) -> " RESULT("option<list<u8>>"), MEMORY_READ, 10,
        get_bytes, "key", "The same as bytes, at most 1 MiB; too-large above."),
    ROW("memory", "set", "func(string, string) -> " RESULT("_"), MEMORY_WRITE, 10, set, "key,value",
        "Writes a text of at most 10 MiB; kept when the run is."),
    ROW("memory", "set-bytes", "func(string, list<u8>) -> " RESULT("_"), MEMORY_WRITE, 10,
        set_bytes, "key,value", "Writes bytes, at most 1 MiB."),
    ROW("memory", "delete", "func(string) -> " RESULT("_"), MEMORY_WRITE, 10, delete, "key",
        "Deletes a key; ok even if it is absent."),
    ROW("memory", "search",
        "func(string) -> " RESULT(
            "list<record{key:string,value:string,domain:string,category:string}>"),
        MEMORY_READ, 10, search, "query",
        "At most 10 entries that match a query of at most 4,096 bytes."),
    ROW("ai", "chat", "func(string) -> " RESULT("string"), AI, 100, cis_iface_chat, "prompt",
        "The AI's answer to a prompt of at most 100 KiB."),
    ROW("http", "send",
        "func(record{method:string,url:string,headers:" HEADERS ",body:" BODY
        "}) -> " RESULT("record{status:u16,headers:" HEADERS ",body:" BODY "}"),
        HTTP, 100, cis_iface_send, "request",
        "One HTTP request. The body of the response is text when it is UTF-8, else bytes, at most "
        "1 MiB of them."),
    ROW("log", "log", "func(enum{trace,debug,info,warn,error}, string)", NONE, 1, write_line,
        "level,message", "One log line, cut at 10 KiB."),
    ROW("agent", "ask", "func(string, string) -> " RESULT("option<string>"), NONE, 10,
        cis_iface_ask, "key,request",
        "The person's answer to a question, an object as JSON; none: declined. Without an answer "
        "the run ends as input_required."),
    ROW("agent", "progress", "func(u64, option<u64>, string)", NONE, 1, cis_iface_progress,
        "done,total,message", "How far the run is, for whoever looks at it."),
    ROW("config", "get", "func(string) -> " RESULT("option<string>"), NONE, 1, config_get, "key",
        "A value of the skill's own [config]."),
    ROW("config", "set", "func(string, string) -> " RESULT("_"), NONE, 1, config_set, "key,value",
        "Sets a value of the skill's own [config], kept when the run is."),
};

static const struct cis_iface_table table = {"cis:skill", "0.1.0", rows,
                                             sizeof rows / sizeof *rows};
static const struct cis_iface_table *const tables[] = {&table};

const struct cis_iface_table *const *cis_skillabi_interfaces(size_t *out_n)
{
    *out_n = sizeof tables / sizeof *tables;
    return tables;
}
