/* `env`, plain names: a result is described by 8 bytes {u32 ptr, u32 len} that the guest provides
 * and the host fills; the text lies in memory from the guest's allocator. 0 ok, -1 absent, refused
 * or failed. Levels of log are words. */
#include "skillabi/abi.h"

#include <strings.h>

static cis_code failed(cis_engine_instance *instance, union cis_slot *io, const char *fn,
                       cis_code code, struct cis_error *err)
{
    return cis_abi_answer(instance, io, fn, code, -1, err);
}

static void le32(uint8_t out[4], uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

/* `out` is looked up after the allocator ran: it may have moved nothing, but it is cheap to be
 * sure. */
static cis_code describe(cis_engine_instance *instance, union cis_slot *io, uint32_t out,
                         uint32_t ptr, size_t len)
{
    uint8_t pair[8];
    le32(pair, ptr);
    le32(pair + 4, (uint32_t)len);
    return cis_abi_return(io, cis_abi_write(instance, out, pair, sizeof pair) ? 0 : -1);
}

static cis_code give(cis_engine_instance *instance, union cis_slot *io, uint32_t out,
                     const char *fn, const struct cis_buf *buf, struct cis_error *err)
{
    struct cis_abi_block block;
    cis_code code = cis_abi_give(instance, cis_buf_bytes(buf), &block, err);
    return code == CIS_OK ? describe(instance, io, out, block.ptr, buf->len)
                          : failed(instance, io, fn, code, err);
}

static cis_code memory_get_call(cis_engine_instance *instance, union cis_slot *io,
                                struct cis_error *err)
{
    struct cis_str key;
    uint32_t out = io[2].u32;
    if (!cis_abi_text(instance, io[0], io[1], &key) ||
        !cis_engine_instance_holds(instance, out, 8)) {
        return cis_abi_return(io, -1);
    }
    struct cis_abi_block block;
    bool found;
    cis_code code = cis_abi_give_value(instance, key, &block, &found, err);
    if (code != CIS_OK) {
        return failed(instance, io, "memory_get", code, err);
    }
    return found ? describe(instance, io, out, block.ptr, block.len) : cis_abi_return(io, -1);
}

static cis_code memory_set_call(cis_engine_instance *instance, union cis_slot *io,
                                struct cis_error *err)
{
    struct cis_str key;
    struct cis_bytes value;
    if (!cis_abi_text(instance, io[0], io[1], &key) ||
        !cis_abi_bytes(instance, io[2], io[3], &value)) {
        return cis_abi_return(io, -1);
    }
    cis_code code = cis_memory_view_set(cis_host_of(instance)->memory, key, value, err);
    return code == CIS_OK ? cis_abi_return(io, 0) : failed(instance, io, "memory_set", code, err);
}

static cis_code ai_chat_call(cis_engine_instance *instance, union cis_slot *io,
                             struct cis_error *err)
{
    struct cis_str prompt;
    uint32_t out = io[2].u32;
    if (!cis_abi_text(instance, io[0], io[1], &prompt) ||
        !cis_engine_instance_holds(instance, out, 8)) {
        return cis_abi_return(io, -1);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_ABI_ANSWER_MAX);
    cis_code code = cis_host_ai(cis_host_of(instance), instance, prompt, &text, err);
    return code == CIS_OK ? give(instance, io, out, "ai_chat", &text, err)
                          : failed(instance, io, "ai_chat", code, err);
}

static cis_code http_post_call(cis_engine_instance *instance, union cis_slot *io,
                               struct cis_error *err)
{
    struct cis_str url;
    struct cis_bytes body;
    uint32_t out = io[4].u32;
    if (!cis_abi_text(instance, io[0], io[1], &url) ||
        !cis_abi_bytes(instance, io[2], io[3], &body) ||
        !cis_engine_instance_holds(instance, out, 8)) {
        return cis_abi_return(io, -1);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = cis_abi_http_buf(instance);
    cis_code code = cis_abi_http(instance, "POST", url, body, &text, err);
    return code == CIS_OK ? give(instance, io, out, "http_post", &text, err)
                          : failed(instance, io, "http_post", code, err);
}

static enum cis_log_level level_of(struct cis_str word)
{
    static const struct {
        const char *name;
        enum cis_log_level level;
    } words[] = {{"trace", CIS_LOG_TRACE}, {"debug", CIS_LOG_DEBUG},  {"info", CIS_LOG_INFO},
                 {"warn", CIS_LOG_WARN},   {"warning", CIS_LOG_WARN}, {"error", CIS_LOG_ERROR}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (word.len == strlen(words[i].name) &&
            strncasecmp(word.ptr, words[i].name, word.len) == 0) {
            return words[i].level;
        }
    }
    return CIS_LOG_INFO;
}

static cis_code log_call(cis_engine_instance *instance, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    struct cis_str word = {"", 0};
    (void)cis_abi_text(instance, io[0], io[1], &word); /* unreadable: info, like an unknown word */
    cis_abi_log(instance, level_of(word), io[2], io[3]);
    return CIS_OK;
}

#define ROW(fn, sig, g, c, rc, par, text) CIS_ABI_ROW("env", fn, sig, g, c, rc, par, text)

static const struct cis_hostfn rows[] = {
    ROW(memory_get, "iii:i", MEMORY_READ, 10, -1, "key,klen,out",
        "The value of a key; out receives {u32 ptr, u32 len}. 0: ok; -1: absent, refused or "
        "failed."),
    ROW(memory_set, "iiii:i", MEMORY_WRITE, 10, -1, "key,klen,val,vlen",
        "Writes a key. 0: ok; -1: refused or failed."),
    ROW(ai_chat, "iii:i", AI, 100, -1, "prompt,plen,out",
        "The AI's answer; out receives {u32 ptr, u32 len}. 0: ok; -1: refused or failed."),
    ROW(log, "iiii:", NONE, 1, 0, "level,llen,msg,mlen",
        "One log line, cut at 10 KiB. The level is a word: trace, debug, info, warn or error; "
        "others are info."),
    ROW(http_post, "iiiii:i", HTTP, 100, -1, "url,ulen,body,blen,out",
        "POST; the response body, whatever its status; out receives {u32 ptr, u32 len}. 0: ok; -1: "
        "refused or failed."),
};

const struct cis_hostfn_table cis_abi_env_plain = {"env-plain", rows, sizeof rows / sizeof *rows};
