/* AI calls of a run: counted in calls and tokens before and after the provider is asked. */
#include <inttypes.h>
#include "host/internal.h"

#define BYTES_A_TOKEN 4u /* the usual rule of thumb, where nothing better is known */

static cis_code within(struct cis_host *host, struct cis_str prompt, uint32_t *out_max_tokens,
                       struct cis_error *err)
{
    if (host->ai_calls_max != 0 && host->ai_calls >= host->ai_calls_max) {
        return cis_fail(err, CIS_E_LIMIT, "ai: the run's %" PRIu64 " calls are used up",
                        host->ai_calls_max);
    }
    *out_max_tokens = 0;
    if (host->ai_tokens_max == 0) {
        return CIS_OK;
    }
    uint64_t left =
        host->ai_tokens < host->ai_tokens_max ? host->ai_tokens_max - host->ai_tokens : 0;
    uint64_t asked = prompt.len / BYTES_A_TOKEN + 1;
    if (asked >= left) {
        return cis_fail(err, CIS_E_LIMIT,
                        "ai: the run's %" PRIu64 " tokens are used up (%" PRIu64
                        " left, the prompt needs about %" PRIu64 ")",
                        host->ai_tokens_max, left, asked);
    }
    *out_max_tokens = left - asked > UINT32_MAX ? UINT32_MAX : (uint32_t)(left - asked);
    return CIS_OK;
}

cis_code cis_host_ai(struct cis_host *host, cis_engine_instance *instance, struct cis_str prompt,
                     struct cis_buf *out, struct cis_error *err)
{
    CIS_TRY(cis_host_need(host, instance, CIS_GRANT_AI, "ai", err));
    const struct cis_ai_service *service = host->services.ai;
    if (service == NULL || service->chat == NULL) {
        return cis_fail(err, CIS_E_PROVIDER,
                        "ai: no provider is configured; set [ai] provider in config.toml "
                        "(see cis config show)");
    }
    struct cis_ai_request request = {
        .size = sizeof request, .prompt = prompt.ptr, .prompt_len = prompt.len};
    CIS_TRY(within(host, prompt, &request.max_tokens, err));
    host->ai_calls++;
    CIS_CLEANUP(cis_host_sink_done)
    struct cis_host_sink text = {.host = host, .buf = out, .what = "ai answer"};
    text.err = &text.own;
    struct cis_sink sink = {&text, cis_host_sink_write};
    struct cis_ai_usage usage = CIS_AI_USAGE_INIT;
    size_t before = out->len;
    cis_host_block(instance);
    struct cis_error why = {0};
    cis_code code = cis_error_foreign(
        &why, service->chat(service->self, &host->call, &request, &sink, &usage, &why), "ai");
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    cis_code back = cis_host_unblock(instance, code == CIS_OK ? err : NULL);
    if (code == CIS_OK && usage.input_tokens == 0 && usage.output_tokens == 0) {
        usage.input_tokens = prompt.len / BYTES_A_TOKEN + 1;
        usage.output_tokens = (out->len - before) / BYTES_A_TOKEN + 1;
    }
    uint64_t used = usage.input_tokens;
    if (__builtin_add_overflow(used, usage.output_tokens, &used) ||
        __builtin_add_overflow(host->ai_tokens, used, &host->ai_tokens)) {
        host->ai_tokens = UINT64_MAX;
    }
    if (text.code !=
        CIS_OK) { /* what stopped the sink says more than what the service made of it */
        return cis_fail(err, text.code, "%s", text.own.msg);
    }
    return code != CIS_OK ? code : back;
}
