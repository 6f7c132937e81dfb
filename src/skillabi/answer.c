/* What the value of an entry point means: a JSON text, a number, a code. A text is copied out of
 * the guest once, and charged. */
#include "skillabi/call.h"

#include <inttypes.h>
#include "base/json.h"
#include "base/json_write.h"

#define STEP ((size_t)64 * 1024)
#define POINTER_MIN 4096u /* a smaller value of main or of a text method is a number */

/* A NUL-terminated JSON text in the guest, as it is now. */
static bool json_at(const struct cis_abi_call *r, uint32_t ptr, struct cis_bytes *out)
{
    uint64_t size = cis_engine_instance_memory_size(r->instance);
    if (ptr == 0 || ptr >= size) {
        return false;
    }
    uint64_t len = 0;
    for (const uint8_t *end = NULL; end == NULL;) { /* no more is looked at than there is of it */
        size_t step = size - ptr - len < STEP ? (size_t)(size - ptr - len) : STEP;
        const uint8_t *from =
            step != 0 ? cis_engine_instance_at(r->instance, ptr + len, step) : NULL;
        if (from == NULL) {
            return false;
        }
        end = memchr(from, 0, step);
        len += end != NULL ? (size_t)(end - from) : step;
    }
    const uint8_t *at = cis_engine_instance_at(r->instance, ptr, len);
    if (!cis_json_valid(at, (size_t)len, NULL)) {
        return false;
    }
    *out = cis_bytes_of(at, (size_t)len);
    return true;
}

/* Copies a text answer while the guest's memory still holds it. */
cis_code cis_abi_take_answer(struct cis_abi_call *r, struct cis_error *err)
{
    bool pointer = cis_abi_is(r, "execute");
    bool either = cis_abi_is(r, "main") || cis_abi_is(r, "method") || cis_abi_is(r, "text");
    struct cis_bytes text;
    if (!r->returned || (!pointer && !(either && r->io[0].u32 >= POINTER_MIN)) ||
        !json_at(r, r->io[0].u32, &text)) {
        return CIS_OK;
    }
    struct cis_host *host = r->host;
    if (text.len > host->output.max) {
        return cis_engine_instance_limit(r->instance, CIS_E_BUDGET, "output", host->output.max,
                                         text.len, err);
    }
    CIS_TRY(cis_budget_charge(&host->budget, text.len, "result", err));
    cis_buf_add(&r->text, text.ptr, text.len);
    r->has_text = true;
    return cis_buf_check(&r->text, "result", err);
}

void cis_abi_status_json(struct cis_buf *out, bool success, int64_t code, const char *skill)
{
    cis_json_write(out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("success", success), CIS_J("code", code),
                                 CIS_J("skill", skill)));
}

/* Whether the entry point's value means success, when it is a code. */
static bool succeeded(const struct cis_abi_call *r, int64_t code, bool written)
{
    if (r->has_text) {
        return true;
    }
    if (cis_abi_is(r, "method")) {
        return code >= 0; /* a count */
    }
    if (cis_abi_is(r, "execute")) {
        return written && code == 0; /* no JSON text where one was promised */
    }
    return code == 0;
}

cis_code cis_abi_conclude(struct cis_abi_call *r, int64_t code, bool is_code,
                          struct cis_skillabi_result *out, struct cis_error *err)
{
    struct cis_host *host = r->host;
    bool written = host->output_written;
    struct cis_skillabi_result result = {.code = r->has_text && !is_code && !r->exited ? 0 : code};
    bool number = !is_code && !r->exited && r->returned && cis_abi_is(r, "main") && !r->has_text;
    result.success =
        is_code || r->exited ? code == 0 : (number && !written) || succeeded(r, code, written);
    if (written) {
        /* Moved, not copied: it is the caller's now. output_written stays to tell of it. */
        result.value = host->output;
        host->output = CIS_BUF_INIT(host->output.max);
        cis_budget_release(&host->budget, result.value.len);
    } else if (r->has_text && !is_code && !r->exited) {
        result.value = r->text;
        r->text = CIS_BUF_INIT(0);
        cis_budget_release(&host->budget, cis_abi_is(r, "numbers") ? 0 : result.value.len);
    } else {
        result.value = CIS_BUF_INIT(host->output.max > 4096 ? host->output.max : 4096);
        if (number) {
            cis_buf_printf(&result.value, "%" PRId64, code);
            result.code = 0;
        } else {
            cis_abi_status_json(&result.value, result.success, code, host->skill);
            cis_buf_byte(&result.value, '}');
        }
    }
    cis_code check = cis_buf_check(&result.value, "result", err);
    if (check != CIS_OK) {
        cis_buf_done(&result.value);
        return check;
    }
    result.is_json = cis_json_valid(result.value.ptr, result.value.len, NULL);
    cis_buf_done(&out->value);
    *out = result;
    return CIS_OK;
}
