/* One question and answer over HTTP. */
#include "base/clock.h"
#include "base/crypto.h"
#include "base/json.h"
#include "base/mem.h"
#include "service/ai/internal.h"

#define REPLY_MAX (CIS_AI_ANSWER_MAX + 65536u)
#define TOLD_MAX 1024u /* bytes of a provider's own words that are looked at */

static cis_code take_body(void *self, const void *data, size_t len)
{
    struct cis_buf *body = self;
    cis_buf_add(body, data, len);
    return body->failed;
}

/* The words of {"error":{"message":…}} or {"error":…}; nothing else of a body is ever shown. */
static struct cis_str words_of(const json_t *reply)
{
    const json_t *error = json_object_get(reply, "error");
    const json_t *text = json_is_object(error) ? json_object_get(error, "message") : error;
    struct cis_str words = {json_string_value(text), json_string_length(text)};
    if (words.ptr == NULL) {
        return (struct cis_str){"", 0};
    }
    words.len = cis_utf8_floor(words.ptr, words.len, TOLD_MAX);
    return words;
}

static cis_code refused(const struct cis_ai *ai, uint16_t status, const json_t *reply,
                        struct cis_str key, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf words = CIS_BUF_INIT(8u * TOLD_MAX);
    cis_ai_redact(words_of(reply), key, &words);
    return cis_fail(err, CIS_E_PROVIDER, "ai: %s answered %u%s%s", ai->provider, status,
                    words.len != 0 ? ": " : "", cis_buf_cstr(&words));
}

static cis_code understand(const struct cis_ai *ai, uint16_t status, const struct cis_buf *body,
                           struct cis_str key, struct cis_buf *out_text,
                           struct cis_ai_usage *out_usage, struct cis_error *err)
{
    json_auto_t *reply = cis_json_valid(body->ptr, body->len, NULL) /* and not too deep */
                             ? json_loadb(cis_buf_cstr(body), body->len, JSON_ALLOW_NUL, NULL)
                             : NULL;
    if (status != 200) {
        return refused(ai, status, reply, key, err);
    }
    if (!json_is_object(reply)) {
        return cis_fail(err, CIS_E_PROVIDER, "ai: the reply of %s is not a JSON object",
                        ai->provider);
    }
    if (!ai->dialect->read(reply, out_text, out_usage)) {
        return cis_fail(err, CIS_E_PROVIDER, "ai: the reply of %s holds no answer in its format",
                        ai->provider);
    }
    return cis_buf_check(out_text, "ai answer", err);
}

static void secret_done(struct cis_buf *secret)
{
    cis_ai_key_done(secret);
}

cis_code cis_ai_http_chat(const struct cis_ai *ai, const struct cis_call *call,
                          const struct cis_ai_request *request, uint32_t max_tokens,
                          struct cis_buf *out_text, struct cis_ai_usage *out_usage,
                          struct cis_error *err)
{
    CIS_CLEANUP(secret_done) struct cis_buf key = CIS_BUF_INIT(0);
    CIS_CLEANUP(secret_done) struct cis_buf bearer = CIS_BUF_INIT(16384);
    CIS_CLEANUP(cis_buf_done) struct cis_buf url = CIS_BUF_INIT(8192);
    CIS_CLEANUP(cis_buf_done) struct cis_buf body = CIS_BUF_INIT(7u * CIS_AI_PROMPT_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf got = CIS_BUF_INIT(REPLY_MAX);
    CIS_TRY(cis_ai_key_read(ai, &key, err));
    const char *path = ai->dialect->path;
    size_t base = strlen(ai->base_url);
    if (base > 3 && strcmp(ai->base_url + base - 3, "/v1") == 0 && strncmp(path, "/v1/", 4) == 0) {
        path += 3; /* written either way by those who know the provider */
    }
    cis_buf_printf(&url, "%s%s", ai->base_url, path);
    CIS_TRY(cis_buf_check(&url, "ai.base_url", err));
    ai->dialect->write(ai, (struct cis_str){request->prompt, request->prompt_len}, max_tokens,
                       &body);
    CIS_TRY(cis_buf_check(&body, "ai request", err));
    struct cis_http_header headers[4] = {{"Content-Type", "application/json"},
                                         {"Accept", "application/json"}};
    size_t n = 2;
    bool anthropic = strcmp(ai->dialect->name, "anthropic") == 0;
    if (anthropic) {
        headers[n++] = (struct cis_http_header){"anthropic-version", "2023-06-01"};
    }
    if (key.len != 0) {
        if (cis_buf_reserve(&bearer, key.len + 8) == NULL) {
            return cis_buf_check(&bearer, "ai key", err);
        }
        cis_buf_text(&bearer, anthropic ? "" : "Bearer ");
        cis_buf_str(&bearer, cis_buf_view(&key));
        headers[n++] = (struct cis_http_header){anthropic ? "x-api-key" : "Authorization",
                                                cis_buf_cstr(&bearer)};
    }
    struct cis_http_request http = {.size = sizeof http,
                                    .method = "POST",
                                    .url = cis_buf_cstr(&url),
                                    .headers = headers,
                                    .nheaders = n,
                                    .body = body.ptr,
                                    .body_len = body.len,
                                    .body_max = REPLY_MAX,
                                    .grants = &ai->grants};
    struct cis_http_response response = {
        .size = sizeof response, .self = NULL, .body = {&got, take_body}};
    const struct cis_http_service *service = cis_http_client_service(ai->http);
    cis_code code = service->send(service->self, call, &http, &response, err);
    if (code != CIS_OK) {
        return cis_error_prefix(err, code, "ai: %s", ai->provider);
    }
    return understand(ai, response.status, &got, cis_buf_view(&key), out_text, out_usage, err);
}
