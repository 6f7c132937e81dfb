/* `env`, caller's buffer: results are written to a buffer of the guest, return values are byte
 * counts or negative codes. Common to all: -1 not allowed, or the guest has no memory; -8 the
 * buffer is too small (nothing is written); -10 a limit of the run. */
#include "skillabi/abi.h"
#include "base/json_write.h"

enum { OK = 1, NO_MEMORY = -1, TOO_SMALL = -8, LIMITED = -10 };

/* What the failure of a service means here; `failed` is the function's own code for it. */
static int64_t code_of(cis_code code, int64_t argument, int64_t failed)
{
    switch (code) {
    case CIS_E_DENIED:
        return NO_MEMORY; /* this ABI's "not allowed" has the same number */
    case CIS_E_INVALID:
    case CIS_E_USAGE:
        return argument;
    case CIS_E_BUDGET:
    case CIS_E_LIMIT:
    case CIS_E_QUOTA:
        return LIMITED;
    default:
        return failed;
    }
}

/* A text argument of at most max bytes. */
static bool text(cis_engine_instance *instance, const union cis_slot *io, size_t at, uint32_t max,
                 struct cis_str *out)
{
    return io[at + 1].u32 <= max && cis_abi_text(instance, io[at], io[at + 1], out);
}

static cis_code put(cis_engine_instance *instance, union cis_slot *io, size_t at,
                    struct cis_bytes data, int64_t unwritable)
{
    if (data.len > io[at + 1].u32) {
        return cis_abi_return(io, TOO_SMALL);
    }
    if (!cis_abi_write(instance, io[at].u32, data.ptr, data.len)) {
        return cis_abi_return(io, unwritable);
    }
    return cis_abi_return(io, (int64_t)data.len);
}

static cis_code host_memory_get_call(cis_engine_instance *instance, union cis_slot *io,
                                     struct cis_error *err)
{
    struct cis_str key;
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, NO_MEMORY);
    }
    if (!text(instance, io, 0, CIS_ABI_KEY_MAX, &key) || io[3].u32 > CIS_ABI_OUT_MAX) {
        return cis_abi_return(io, -2);
    }
    struct cis_bytes value;
    bool found;
    cis_code code = cis_memory_view_get(cis_host_of(instance)->memory, key, &value, &found, err);
    if (code != CIS_OK) {
        return cis_abi_answer(instance, io, "host_memory_get", code, code_of(code, -2, -3), err);
    }
    return found ? put(instance, io, 2, value, -3) : cis_abi_return(io, 0);
}

static cis_code host_memory_set_call(cis_engine_instance *instance, union cis_slot *io,
                                     struct cis_error *err)
{
    struct cis_str key;
    struct cis_bytes value;
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, NO_MEMORY);
    }
    if (!text(instance, io, 0, CIS_ABI_KEY_MAX, &key)) {
        return cis_abi_return(io, -2);
    }
    if (io[3].u32 > CIS_ABI_VALUE_MAX || !cis_abi_bytes(instance, io[2], io[3], &value)) {
        return cis_abi_return(io, -3);
    }
    cis_code code = cis_memory_view_set(cis_host_of(instance)->memory, key, value, err);
    return code == CIS_OK
               ? cis_abi_return(io, OK)
               : cis_abi_answer(instance, io, "host_memory_set", code, code_of(code, -2, -4), err);
}

static cis_code host_memory_delete_call(cis_engine_instance *instance, union cis_slot *io,
                                        struct cis_error *err)
{
    struct cis_str key;
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, NO_MEMORY);
    }
    if (!text(instance, io, 0, CIS_ABI_KEY_MAX, &key)) {
        return cis_abi_return(io, -2);
    }
    cis_code code = cis_memory_view_delete(cis_host_of(instance)->memory, key, err);
    return code == CIS_OK ? cis_abi_return(io, OK)
                          : cis_abi_answer(instance, io, "host_memory_delete", code,
                                           code_of(code, -2, -3), err);
}

static cis_code host_memory_search_call(cis_engine_instance *instance, union cis_slot *io,
                                        struct cis_error *err)
{
    struct cis_str query;
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, NO_MEMORY);
    }
    if (!text(instance, io, 0, CIS_ABI_QUERY_MAX, &query) || io[3].u32 > CIS_ABI_OUT_MAX) {
        return cis_abi_return(io, -2);
    }
    /* The buffer's maximum is the guest's: a larger answer is "too small", not host memory. */
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(io[3].u32);
    cis_code code = cis_memory_view_search(cis_host_of(instance)->memory, query,
                                           CIS_ABI_SEARCH_RESULTS, &json, err);
    if (json.failed == CIS_E_LIMIT) {
        return cis_abi_return(io, TOO_SMALL);
    }
    if (code != CIS_OK) {
        return cis_abi_answer(instance, io, "host_memory_search", code, code_of(code, -2, -3), err);
    }
    return json.failed != CIS_OK ? cis_abi_return(io, -4)
                                 : put(instance, io, 2, cis_buf_bytes(&json), -5);
}

static cis_code host_ai_chat_call(cis_engine_instance *instance, union cis_slot *io,
                                  struct cis_error *err)
{
    struct cis_str prompt;
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, NO_MEMORY);
    }
    if (!text(instance, io, 0, CIS_ABI_PROMPT_MAX, &prompt) || io[3].u32 > CIS_ABI_OUT_MAX) {
        return cis_abi_return(io, -2);
    }
    if (!cis_engine_instance_holds(instance, io[2].u32, io[3].u32)) {
        return cis_abi_return(io, -5); /* before tokens are spent on what cannot be delivered */
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf answer = CIS_BUF_INIT(CIS_ABI_ANSWER_MAX);
    cis_code code = cis_host_ai(cis_host_of(instance), instance, prompt, &answer, err);
    if (code != CIS_OK) {
        int64_t said = code == CIS_E_DEADLINE ? -4 : code_of(code, -2, -3);
        return cis_abi_answer(instance, io, "host_ai_chat", code, said, err);
    }
    return put(instance, io, 2, cis_buf_bytes(&answer), -5);
}

static cis_code host_log_call(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    (void)err;
    cis_abi_log(instance, cis_abi_level(io[0].i32, CIS_LOG_DEBUG, 4), io[1], io[2]);
    return CIS_OK;
}

static cis_code host_config_get_call(cis_engine_instance *instance, union cis_slot *io,
                                     struct cis_error *err)
{
    (void)err;
    struct cis_str key, value;
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, NO_MEMORY);
    }
    if (!text(instance, io, 0, CIS_ABI_KEY_MAX, &key) || key.len == 0) {
        return cis_abi_return(io, -2);
    }
    cis_host_config_get(cis_host_of(instance), key, &value);
    if (value.ptr == NULL) {
        return cis_abi_return(io, 0);
    }
    return put(instance, io, 2, cis_bytes_of(value.ptr, value.len), -5);
}

static cis_code host_config_set_call(cis_engine_instance *instance, union cis_slot *io,
                                     struct cis_error *err)
{
    struct cis_str key, value;
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, NO_MEMORY);
    }
    if (!text(instance, io, 0, CIS_ABI_KEY_MAX, &key) || key.len == 0) {
        return cis_abi_return(io, -2);
    }
    if (!text(instance, io, 2, CIS_ABI_CONFIG_MAX, &value)) {
        return cis_abi_return(io, -3);
    }
    cis_code code = cis_host_config_set(cis_host_of(instance), key, value, err);
    return code == CIS_OK
               ? cis_abi_return(io, OK)
               : cis_abi_answer(instance, io, "host_config_set", code, code_of(code, -3, -4), err);
}

static int64_t http_code(cis_code code)
{
    switch (code) {
    case CIS_E_USAGE:
        return -3; /* headers */
    case CIS_E_UNSUPPORTED:
        return -5; /* method */
    case CIS_E_PROVIDER:
        return -4; /* no client */
    case CIS_E_IO:
        return -7; /* the body broke off */
    default:
        return code_of(code, -2, -6);
    }
}

/* {"status":200,"headers":{},"body":"…"}, at most as large as the guest's buffer. */
static void response(const struct cis_host_exchange *x, struct cis_buf *out)
{
    if (x->answer->len > out->max) { /* it cannot fit: not escaped for nothing */
        out->failed = CIS_E_LIMIT;
        return;
    }
    struct cis_str head = x->names->len != 0 ? cis_buf_view(x->names) : CIS_STR("{}");
    cis_json_object(out, CIS_JSON(CIS_J_INT("status", x->status), CIS_J_RAW("headers", head),
                                  CIS_J("body", cis_buf_view(x->answer))));
}

static cis_code host_http_request_call(cis_engine_instance *instance, union cis_slot *io,
                                       struct cis_error *err)
{
    struct cis_host_exchange x = {.status = 0};
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, NO_MEMORY);
    }
    if (!text(instance, io, 0, CIS_ABI_METHOD_MAX, &x.method) ||
        !text(instance, io, 2, CIS_ABI_URL_MAX, &x.url) || io[9].u32 > CIS_ABI_OUT_MAX) {
        return cis_abi_return(io, -2);
    }
    if (!cis_abi_text(instance, io[4], io[5], &x.headers) ||
        !cis_abi_bytes(instance, io[6], io[7], &x.body)) {
        return cis_abi_return(io, -3);
    }
    if (!cis_engine_instance_holds(instance, io[8].u32, io[9].u32)) {
        return cis_abi_return(io, -9); /* before a request is sent whose answer has no place */
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf answer = cis_abi_http_buf(instance);
    CIS_CLEANUP(cis_buf_done) struct cis_buf names = CIS_BUF_INIT(512u << 10);
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(io[9].u32);
    x.names = &names;
    x.answer = &answer;
    cis_code code = cis_host_http(cis_host_of(instance), instance, &x, err);
    if (code != CIS_OK) {
        return cis_abi_answer(instance, io, "host_http_request", code, http_code(code), err);
    }
    response(&x, &json);
    if (json.failed == CIS_E_NOMEM) {
        return cis_buf_check(&json, "http response", err);
    }
    return json.failed != CIS_OK ? cis_abi_return(io, TOO_SMALL)
                                 : put(instance, io, 8, cis_buf_bytes(&json), -9);
}

#define ROW(fn, sig, g, c, rc, par, text) CIS_ABI_ROW("env", fn, sig, g, c, rc, par, text)

static const struct cis_hostfn rows[] = {
    ROW(host_memory_get, "iiii:i", MEMORY_READ, 10, -1, "key,klen,out,olen",
        "Bytes written; 0: absent; -2: key (at most 1024 bytes) or olen (at most 1 MiB); -3: the "
        "store, or out is outside the memory; -8: the buffer is too small."),
    ROW(host_memory_set, "iiii:i", MEMORY_WRITE, 10, -1, "key,klen,val,vlen",
        "1: ok; -2: key; -3: value (at most 10 MiB); -4: store."),
    ROW(host_memory_delete, "ii:i", MEMORY_WRITE, 10, -1, "key,klen",
        "1: ok, even if absent; -2: key; -3: store."),
    ROW(host_memory_search, "iiii:i", MEMORY_READ, 10, -1, "query,qlen,out,olen",
        "At most 10 results as JSON [{\"key\",\"value\",\"domain\":\"Private\"|\"Public\","
        "\"category\"}]; bytes written; -2: query (at most 4096 bytes) or olen; -3: search; -4: "
        "serialise; -5: out is outside the memory; -8: too small."),
    ROW(host_ai_chat, "iiii:i", AI, 100, -1, "prompt,plen,out,olen",
        "Bytes written, never a part of an answer; -2: prompt (at most 100 KiB) or olen; -3: "
        "provider; -4: provider's timeout; -5: out is outside the memory; -8: too small."),
    ROW(host_log, "iii:", NONE, 1, 0, "level,msg,len",
        "One log line, cut at 10 KiB. Levels: 0 debug, 1 info, 2 warn, 3 error; others are info."),
    ROW(host_config_get, "iiii:i", NONE, 1, -1, "key,klen,out,olen",
        "A value of the skill's own [config]: bytes written; 0: absent; -2: key; -5: out is "
        "outside the memory; -8: too small."),
    ROW(host_config_set, "iiii:i", NONE, 1, -1, "key,klen,val,vlen",
        "Sets a value of the skill's own [config], kept when the run is: 1: ok; -2: key; -3: value "
        "(text of at most 100 KiB); -4: store."),
    ROW(host_http_request, "iiiiiiiiii:i", HTTP, 100, -1,
        "method,mlen,url,ulen,hdr,hlen,body,blen,out,olen",
        "Bytes of {\"status\",\"headers\",\"body\"} written; headers go in as a JSON object; -1: "
        "not allowed; -2: method (at most 16 bytes), url (8192) or olen (1 MiB); -3: headers or "
        "body; -4: no client; -5: method other than GET POST PUT DELETE PATCH HEAD; -6: send; -7: "
        "response body; -8: too small; -9: out is outside the memory."),
};

const struct cis_hostfn_table cis_abi_env_buffer = {"env-buffer", rows, sizeof rows / sizeof *rows};
