/* `cis`, the names of the guest SDK. Gets return the full length and write at most the capacity;
 * negative values are the SDK's codes. */
#include "skillabi/abi.h"

#include "base/clock.h"

enum {
    SDK_OK = 0,
    SDK_NOT_INITIALISED = -1,
    SDK_INVALID = -2,
    SDK_HOST = -3,
    SDK_AI = -4,
    SDK_MEMORY = -5,
    SDK_NETWORK = -6,
    SDK_SERIALISATION = -7,
    SDK_DENIED = -8,
    SDK_NOT_FOUND = -9
};

static cis_code failed(cis_engine_instance *instance, union cis_slot *io, const char *fn,
                       cis_code code, int64_t service, struct cis_error *err)
{
    int64_t said = service;
    switch (code) {
    case CIS_E_DENIED:
        said = SDK_DENIED;
        break;
    case CIS_E_INVALID:
    case CIS_E_USAGE:
    case CIS_E_UNSUPPORTED:
        said = SDK_INVALID;
        break;
    case CIS_E_BUDGET:
    case CIS_E_LIMIT:
    case CIS_E_QUOTA:
        said = SDK_HOST;
        break;
    case CIS_E_NOTFOUND:
        said = SDK_NOT_FOUND;
        break;
    default:
        break;
    }
    return cis_abi_answer(instance, io, fn, code, said, err);
}

static cis_code put(cis_engine_instance *instance, union cis_slot *io, size_t at,
                    struct cis_bytes data, bool is_text)
{
    size_t cap = io[at + 1].u32, n = data.len < cap ? data.len : cap;
    if (is_text && n < data.len) {
        n = cis_utf8_floor(data.ptr, data.len, n);
    }
    if (!cis_abi_write(instance, io[at].u32, data.ptr, n)) {
        return cis_abi_return(io, SDK_INVALID);
    }
    return cis_abi_return(io, data.len > INT32_MAX ? SDK_SERIALISATION : (int64_t)data.len);
}

static cis_code host_log_call(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    (void)err;
    cis_abi_log(instance, cis_abi_level(io[0].i32, CIS_LOG_TRACE, 5), io[1], io[2]);
    return CIS_OK;
}

static cis_code host_memory_get_call(cis_engine_instance *instance, union cis_slot *io,
                                     struct cis_error *err)
{
    struct cis_str key;
    struct cis_bytes value;
    bool found;
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, SDK_NOT_INITIALISED);
    }
    if (!cis_abi_text(instance, io[0], io[1], &key)) {
        return cis_abi_return(io, SDK_INVALID);
    }
    cis_code code = cis_memory_view_get(cis_host_of(instance)->memory, key, &value, &found, err);
    if (code != CIS_OK) {
        return failed(instance, io, "host_memory_get", code, SDK_MEMORY, err);
    }
    return found ? put(instance, io, 2, value, false) : cis_abi_return(io, SDK_NOT_FOUND);
}

static cis_code host_memory_set_call(cis_engine_instance *instance, union cis_slot *io,
                                     struct cis_error *err)
{
    struct cis_str key;
    struct cis_bytes value;
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, SDK_NOT_INITIALISED);
    }
    if (!cis_abi_text(instance, io[0], io[1], &key) ||
        !cis_abi_bytes(instance, io[2], io[3], &value)) {
        return cis_abi_return(io, SDK_INVALID);
    }
    cis_code code = cis_memory_view_set(cis_host_of(instance)->memory, key, value, err);
    return code == CIS_OK ? cis_abi_return(io, SDK_OK)
                          : failed(instance, io, "host_memory_set", code, SDK_MEMORY, err);
}

static cis_code host_memory_delete_call(cis_engine_instance *instance, union cis_slot *io,
                                        struct cis_error *err)
{
    struct cis_str key;
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, SDK_NOT_INITIALISED);
    }
    if (!cis_abi_text(instance, io[0], io[1], &key)) {
        return cis_abi_return(io, SDK_INVALID);
    }
    cis_code code = cis_memory_view_delete(cis_host_of(instance)->memory, key, err);
    return code == CIS_OK ? cis_abi_return(io, SDK_OK)
                          : failed(instance, io, "host_memory_delete", code, SDK_MEMORY, err);
}

static cis_code host_ai_chat_call(cis_engine_instance *instance, union cis_slot *io,
                                  struct cis_error *err)
{
    struct cis_str prompt;
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, SDK_NOT_INITIALISED);
    }
    if (!cis_abi_text(instance, io[0], io[1], &prompt) ||
        !cis_engine_instance_holds(instance, io[2].u32, io[3].u32)) {
        return cis_abi_return(io, SDK_INVALID);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_ABI_ANSWER_MAX);
    cis_code code = cis_host_ai(cis_host_of(instance), instance, prompt, &text, err);
    return code == CIS_OK ? put(instance, io, 2, cis_buf_bytes(&text), true)
                          : failed(instance, io, "host_ai_chat", code, SDK_AI, err);
}

static cis_code host_http_post_call(cis_engine_instance *instance, union cis_slot *io,
                                    struct cis_error *err)
{
    struct cis_str url;
    struct cis_bytes body;
    if (!cis_abi_has_memory(instance)) {
        return cis_abi_return(io, SDK_NOT_INITIALISED);
    }
    if (!cis_abi_text(instance, io[0], io[1], &url) ||
        !cis_abi_bytes(instance, io[2], io[3], &body) ||
        !cis_engine_instance_holds(instance, io[4].u32, io[5].u32)) {
        return cis_abi_return(io, SDK_INVALID);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = cis_abi_http_buf(instance);
    cis_code code = cis_abi_http(instance, "POST", url, body, &text, err);
    return code == CIS_OK ? put(instance, io, 4, cis_buf_bytes(&text), false)
                          : failed(instance, io, "host_http_post", code, SDK_NETWORK, err);
}

static cis_code host_now_call(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    (void)err;
    const struct cis_host *host = cis_host_of(instance);
    int64_t ms =
        host->fixed_clock ? (int64_t)(host->clock_ns / CIS_NS_PER_MS) : cis_clock_wall_ms();
    return cis_abi_return(io, ms);
}

static cis_code host_alloc_call(cis_engine_instance *instance, union cis_slot *io,
                                struct cis_error *err)
{
    struct cis_abi_block block;
    if (io[0].i32 <= 0) {
        return cis_abi_return(io, 0);
    }
    cis_code code = cis_abi_alloc(instance, io[0].u32, &block, err);
    return code == CIS_OK ? cis_abi_return(io, (int64_t)block.ptr)
                          : cis_abi_answer(instance, io, "host_alloc", code, 0, err);
}

static cis_code host_free_call(cis_engine_instance *instance, union cis_slot *io,
                               struct cis_error *err)
{
    struct cis_abi_block block = {.ptr = io[0].u32, .len = io[1].u32};
    return block.ptr == 0 ? CIS_OK : cis_abi_free(instance, &block, err);
}

#define ROW(fn, sig, g, c, rc, par, text) CIS_ABI_ROW("cis", fn, sig, g, c, rc, par, text)

static const struct cis_hostfn rows[] = {
    ROW(host_log, "iii:", NONE, 1, 0, "level,msg,len",
        "One log line, cut at 10 KiB. Levels: 0 trace, 1 debug, 2 info, 3 warn, 4 error; others "
        "are info."),
    ROW(host_memory_get, "iiii:i", MEMORY_READ, 10, SDK_DENIED, "key,klen,out,cap",
        "Full length of the value, of which at most cap bytes are written; -9: absent."),
    ROW(host_memory_set, "iiii:i", MEMORY_WRITE, 10, SDK_DENIED, "key,klen,val,vlen",
        "Writes a key. 0: ok; -5: store."),
    ROW(host_memory_delete, "ii:i", MEMORY_WRITE, 10, SDK_DENIED, "key,klen",
        "Deletes a key. 0: ok, even if absent; -5: store."),
    ROW(host_ai_chat, "iiii:i", AI, 100, SDK_DENIED, "prompt,plen,out,cap",
        "Full length of the AI's answer, of which at most cap bytes, whole characters, are "
        "written; -4: AI."),
    ROW(host_http_post, "iiiiii:i", HTTP, 100, SDK_DENIED, "url,ulen,body,blen,out,cap",
        "POST: full length of the response body, whatever its status, of which at most cap bytes "
        "are written; -6: network."),
    ROW(host_now, ":I", CLOCKS, 1, SDK_DENIED, "", "Milliseconds since 1970-01-01 UTC."),
    ROW(host_alloc, "i:i", NONE, 1, 0, "size",
        "A block of the guest's memory, from its own allocator or from new pages; 0: none."),
    ROW(host_free, "ii:", NONE, 1, 0, "ptr,size", "Gives a block of host_alloc back."),
};

const struct cis_hostfn_table cis_abi_cis_sdk = {"cis-sdk", rows, sizeof rows / sizeof *rows};
