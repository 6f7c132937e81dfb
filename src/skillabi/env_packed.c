/* `env`, packed results: a text comes back as i64 = ptr << 32 | len in memory obtained from the
 * guest, 0 when absent or failed. A present empty value has a pointer and length 0. */
#include "skillabi/abi.h"

static int64_t pack(const struct cis_abi_block *block, size_t len)
{
    return (int64_t)((uint64_t)block->ptr << 32 | (uint64_t)(uint32_t)len);
}

static cis_code failed(cis_engine_instance *instance, union cis_slot *io, const char *fn,
                       cis_code code, struct cis_error *err)
{
    return cis_abi_answer(instance, io, fn, code, 0, err);
}

static cis_code give(cis_engine_instance *instance, union cis_slot *io, const char *fn,
                     const struct cis_buf *buf, struct cis_error *err)
{
    struct cis_abi_block block;
    cis_code code = cis_abi_give(instance, cis_buf_bytes(buf), &block, err);
    return code == CIS_OK ? cis_abi_return(io, pack(&block, buf->len))
                          : failed(instance, io, fn, code, err);
}

static cis_code host_memory_get_call(cis_engine_instance *instance, union cis_slot *io,
                                     struct cis_error *err)
{
    struct cis_str key;
    if (!cis_abi_text(instance, io[0], io[1], &key)) {
        return cis_abi_return(io, 0);
    }
    struct cis_abi_block block;
    bool found;
    cis_code code = cis_abi_give_value(instance, key, &block, &found, err);
    if (code != CIS_OK) {
        return failed(instance, io, "host_memory_get", code, err);
    }
    return cis_abi_return(io, found ? pack(&block, block.len) : 0);
}

static cis_code host_memory_set_call(cis_engine_instance *instance, union cis_slot *io,
                                     struct cis_error *err)
{
    struct cis_str key;
    struct cis_bytes value;
    if (!cis_abi_text(instance, io[0], io[1], &key) ||
        !cis_abi_bytes(instance, io[2], io[3], &value)) {
        return cis_abi_return(io, -1);
    }
    cis_code code = cis_memory_view_set(cis_host_of(instance)->memory, key, value, err);
    return code == CIS_OK ? cis_abi_return(io, 0)
                          : cis_abi_answer(instance, io, "host_memory_set", code, -1, err);
}

static cis_code host_memory_delete_call(cis_engine_instance *instance, union cis_slot *io,
                                        struct cis_error *err)
{
    struct cis_str key;
    if (!cis_abi_text(instance, io[0], io[1], &key)) {
        return cis_abi_return(io, -1);
    }
    cis_code code = cis_memory_view_delete(cis_host_of(instance)->memory, key, err);
    return code == CIS_OK ? cis_abi_return(io, 0)
                          : cis_abi_answer(instance, io, "host_memory_delete", code, -1, err);
}

static cis_code host_ai_chat_call(cis_engine_instance *instance, union cis_slot *io,
                                  struct cis_error *err)
{
    struct cis_str prompt;
    if (!cis_abi_text(instance, io[0], io[1], &prompt)) {
        return cis_abi_return(io, 0);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_ABI_ANSWER_MAX);
    cis_code code = cis_host_ai(cis_host_of(instance), instance, prompt, &text, err);
    return code == CIS_OK ? give(instance, io, "host_ai_chat", &text, err)
                          : failed(instance, io, "host_ai_chat", code, err);
}

static cis_code host_log_call(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    (void)err;
    cis_abi_log(instance, cis_abi_level(io[0].i32, CIS_LOG_DEBUG, 4), io[1], io[2]);
    return CIS_OK;
}

static cis_code host_http_post_call(cis_engine_instance *instance, union cis_slot *io,
                                    struct cis_error *err)
{
    struct cis_str url;
    struct cis_bytes body;
    if (!cis_abi_text(instance, io[0], io[1], &url) ||
        !cis_abi_bytes(instance, io[2], io[3], &body)) {
        return cis_abi_return(io, 0);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = cis_abi_http_buf(instance);
    cis_code code = cis_abi_http(instance, "POST", url, body, &text, err);
    return code == CIS_OK ? give(instance, io, "host_http_post", &text, err)
                          : failed(instance, io, "host_http_post", code, err);
}

#define ROW(fn, sig, g, c, rc, par, text) CIS_ABI_ROW("env", fn, sig, g, c, rc, par, text)

static const struct cis_hostfn rows[] = {
    ROW(host_memory_get, "ii:I", MEMORY_READ, 10, 0, "key,klen",
        "The value of a key as ptr<<32|len in memory from the guest's allocator; 0: absent or "
        "failed. A present empty value has a pointer and length 0."),
    ROW(host_memory_set, "iiii:i", MEMORY_WRITE, 10, -1, "key,klen,val,vlen",
        "Writes a key. 0: ok; -1: refused or failed."),
    ROW(host_memory_delete, "ii:i", MEMORY_WRITE, 10, -1, "key,klen",
        "Deletes a key. 0: ok, even if absent; -1: refused or failed."),
    ROW(host_ai_chat, "ii:I", AI, 100, 0, "prompt,plen",
        "The AI's answer as ptr<<32|len; 0: refused or failed."),
    ROW(host_log, "iii:", NONE, 1, 0, "level,msg,len",
        "One log line, cut at 10 KiB. Levels: 0 debug, 1 info, 2 warn, 3 error; others are info."),
    ROW(host_http_post, "iiii:I", HTTP, 100, 0, "url,ulen,body,blen",
        "POST; the response body as ptr<<32|len, whatever its status; 0: refused or failed."),
};

const struct cis_hostfn_table cis_abi_env_packed = {"env-packed", rows, sizeof rows / sizeof *rows};
