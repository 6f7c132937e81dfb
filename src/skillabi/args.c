/* Decoding what a guest passed, and answering it. Lengths are unsigned: a negative one is larger
 * than any memory and fails the bounds check like every other lie. */
#include "skillabi/abi.h"

#include <stdio.h>

bool cis_abi_bytes(cis_engine_instance *instance, union cis_slot ptr, union cis_slot len,
                   struct cis_bytes *out)
{
    const void *at = cis_engine_instance_at(instance, ptr.u32, len.u32);
    if (at == NULL) {
        return false;
    }
    *out = cis_bytes_of(at, len.u32);
    return true;
}

bool cis_abi_text(cis_engine_instance *instance, union cis_slot ptr, union cis_slot len,
                  struct cis_str *out)
{
    struct cis_bytes bytes;
    if (!cis_abi_bytes(instance, ptr, len, &bytes)) {
        return false;
    }
    *out = (struct cis_str){(const char *)bytes.ptr, bytes.len};
    return true;
}

bool cis_abi_has_memory(cis_engine_instance *instance)
{
    return cis_engine_instance_memory_size(instance) != 0;
}

bool cis_abi_write(cis_engine_instance *instance, uint32_t ptr, const void *data, size_t len)
{
    void *at = cis_engine_instance_out(instance, ptr, len);
    if (at == NULL) {
        return false;
    }
    if (len != 0) {
        memcpy(at, data, len);
    }
    return true;
}

enum cis_log_level cis_abi_level(int32_t n, enum cis_log_level first, int32_t count)
{
    return n >= 0 && n < count ? (enum cis_log_level)((int)first + n) : CIS_LOG_INFO;
}

static void log_why(cis_engine_instance *instance, enum cis_log_level level, const char *fn,
                    const char *why)
{
    char line[CIS_ERROR_MSG_MAX + 64];
    snprintf(line, sizeof line, "%s: %s", fn, why);
    cis_host_log(cis_host_of(instance), level, cis_str_of(line));
}

void cis_abi_log(cis_engine_instance *instance, enum cis_log_level level, union cis_slot ptr,
                 union cis_slot len)
{
    struct cis_str text;
    if (cis_abi_text(instance, ptr, len, &text)) {
        cis_host_log(cis_host_of(instance), level, text);
        return;
    }
    char why[96];
    snprintf(why, sizeof why, "the text of a log line (%u bytes at %u) is outside the memory",
             len.u32, ptr.u32);
    log_why(instance, CIS_LOG_WARN, "log", why);
}

/* What a user has to know to put right; a guest sees only a number. */
static bool worth_a_line(cis_code code)
{
    return code == CIS_E_PROVIDER || code == CIS_E_NET || code == CIS_E_STORE ||
           code == CIS_E_DENIED || code == CIS_E_LIMIT || code == CIS_E_BUDGET ||
           code == CIS_E_DEADLINE || code == CIS_E_MEMORY;
}

cis_code cis_abi_survive(cis_engine_instance *instance, const char *fn, cis_code code,
                         struct cis_error *err)
{
    const struct cis_engine_instance_end *end = cis_engine_instance_end(instance);
    if (end->exited || end->code != CIS_OK) {
        return code; /* its allocator trapped, exited or ran into a limit */
    }
    if (code == CIS_E_NOMEM || code == CIS_E_INTERNAL || code == CIS_E_CANCELLED ||
        code == CIS_E_INPUT_REQUIRED) {
        return code;
    }
    struct cis_error why = err != NULL ? *err : (struct cis_error){0};
    CIS_TRY(cis_host_alive(cis_host_of(instance), err));
    if (worth_a_line(code)) {
        log_why(instance, CIS_LOG_WARN, fn, why.msg[0] != 0 ? why.msg : cis_code_text(code));
    }
    return CIS_OK;
}

cis_code cis_abi_answer(cis_engine_instance *instance, union cis_slot *io, const char *fn,
                        cis_code code, int64_t answer, struct cis_error *err)
{
    CIS_TRY(cis_abi_survive(instance, fn, code, err));
    return cis_abi_return(io, answer);
}

struct cis_buf cis_abi_http_buf(cis_engine_instance *instance)
{
    uint64_t max = cis_host_of(instance)->http_body_max;
    return CIS_BUF_INIT(max == 0 ? CIS_ABI_ANSWER_MAX : (size_t)max);
}

cis_code cis_abi_http(cis_engine_instance *instance, const char *method, struct cis_str url,
                      struct cis_bytes body, struct cis_buf *out_body, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf headers = CIS_BUF_INIT(512u << 10);
    if (method[0] == 0) {
        method = body.len != 0 ? "POST" : "GET";
    }
    struct cis_host_exchange x = {.method = cis_str_of(method),
                                  .url = url,
                                  .body = body,
                                  .names = &headers,
                                  .answer = out_body};
    return cis_host_http(cis_host_of(instance), instance, &x, err);
}
