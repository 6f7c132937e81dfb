/* `cis`, direct names: results go to a buffer of the guest, the return value is the full length, so
 * that a guest can ask again with more room; nothing is written past its capacity. -1 is everything
 * that went wrong. memory_set returns nothing: one that is refused or fails ends the run, so that a
 * write is never lost in silence. */
#include "skillabi/abi.h"

static cis_code failed(cis_engine_instance *instance, union cis_slot *io, const char *fn,
                       cis_code code, struct cis_error *err)
{
    return cis_abi_answer(instance, io, fn, code, -1, err);
}

/* What fits of data goes to (ptr, cap); text is not cut inside a character. */
static cis_code put(cis_engine_instance *instance, union cis_slot *io, size_t at,
                    struct cis_bytes data, bool is_text)
{
    size_t cap = io[at + 1].u32, n = data.len < cap ? data.len : cap;
    if (is_text && n < data.len) {
        n = cis_utf8_floor(data.ptr, data.len, n);
    }
    if (!cis_abi_write(instance, io[at].u32, data.ptr, n)) {
        return cis_abi_return(io, -1);
    }
    return cis_abi_return(io, data.len > INT32_MAX ? -1 : (int64_t)data.len);
}

static cis_code ai_prompt_call(cis_engine_instance *instance, union cis_slot *io,
                               struct cis_error *err)
{
    struct cis_str prompt;
    if (!cis_abi_text(instance, io[0], io[1], &prompt) ||
        !cis_engine_instance_holds(instance, io[2].u32, io[3].u32)) {
        return cis_abi_return(io, -1);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_ABI_ANSWER_MAX);
    cis_code code = cis_host_ai(cis_host_of(instance), instance, prompt, &text, err);
    return code == CIS_OK ? put(instance, io, 2, cis_buf_bytes(&text), true)
                          : failed(instance, io, "ai_prompt", code, err);
}

static cis_code memory_get_call(cis_engine_instance *instance, union cis_slot *io,
                                struct cis_error *err)
{
    struct cis_str key;
    struct cis_bytes value;
    bool found;
    if (!cis_abi_text(instance, io[0], io[1], &key)) {
        return cis_abi_return(io, -1);
    }
    cis_code code = cis_memory_view_get(cis_host_of(instance)->memory, key, &value, &found, err);
    if (code != CIS_OK) {
        return failed(instance, io, "memory_get", code, err);
    }
    return found ? put(instance, io, 2, value, false) : cis_abi_return(io, -1);
}

static cis_code memory_set_call(cis_engine_instance *instance, union cis_slot *io,
                                struct cis_error *err)
{
    const void *key, *value;
    CIS_TRY(cis_engine_instance_span(instance, io[0].u32, io[1].u32, "memory_set: key", &key, err));
    CIS_TRY(
        cis_engine_instance_span(instance, io[2].u32, io[3].u32, "memory_set: value", &value, err));
    struct cis_str name = {key, io[1].u32};
    cis_code code = cis_memory_view_set(cis_host_of(instance)->memory, name,
                                        cis_bytes_of(value, io[3].u32), err);
    switch (code) {
    case CIS_OK:
        return CIS_OK;
    case CIS_E_INVALID: /* a key or value no store takes: refused, not an invalid module */
        if (err != NULL) {
            err->code = CIS_E_DENIED;
        }
        return cis_error_prefix(err, CIS_E_DENIED, "memory_set refused");
    case CIS_E_PROVIDER: /* no memory service */
        return cis_error_prefix(err, CIS_E_PROVIDER, "memory_set failed");
    case CIS_E_BUDGET: {
        const struct cis_budget *budget = &cis_host_of(instance)->budget;
        return cis_engine_instance_limit(instance, CIS_E_BUDGET, "host-bytes", budget->limit,
                                         budget->used + io[1].u32 + io[3].u32, err);
    }
    default:
        return code;
    }
}

static cis_code http_request_call(cis_engine_instance *instance, union cis_slot *io,
                                  struct cis_error *err)
{
    struct cis_str url;
    struct cis_bytes body;
    if (!cis_abi_text(instance, io[0], io[1], &url) ||
        !cis_abi_bytes(instance, io[2], io[3], &body) ||
        !cis_engine_instance_holds(instance, io[4].u32, io[5].u32)) {
        return cis_abi_return(io, -1);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = cis_abi_http_buf(instance);
    cis_code code = cis_abi_http(instance, "", url, body, &text, err);
    return code == CIS_OK ? put(instance, io, 4, cis_buf_bytes(&text), false)
                          : failed(instance, io, "http_request", code, err);
}

#define ROW(fn, sig, g, c, rc, par, text) CIS_ABI_ROW("cis", fn, sig, g, c, rc, par, text)

static const struct cis_hostfn rows[] = {
    ROW(ai_prompt, "iiii:i", AI, 100, -1, "prompt,plen,result,cap",
        "Full length of the AI's answer, of which at most cap bytes, whole characters, are "
        "written; -1: refused or failed."),
    ROW(memory_get, "iiii:i", MEMORY_READ, 10, -1, "key,klen,value,cap",
        "Full length of the value, of which at most cap bytes are written; -1: absent, refused or "
        "failed."),
    {.module = "cis",
     .name = "memory_set",
     .type = "iiii:",
     .grant = CIS_GRANT_MEMORY_WRITE,
     .cost = 10,
     .ends_when_denied = true,
     .handler = memory_set_call,
     .params = "key,klen,val,vlen",
     .doc = "Writes a key. It has no result: a write that is refused or fails ends the run."},
    ROW(http_request, "iiiiii:i", HTTP, 100, -1, "url,ulen,body,blen,result,cap",
        "POST when there is a body, else GET: full length of the response body, whatever its "
        "status, of which at most cap bytes are written; -1: refused or failed."),
};

const struct cis_hostfn_table cis_abi_cis_direct = {"cis-direct", rows, sizeof rows / sizeof *rows};
