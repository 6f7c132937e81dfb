/* AI providers as their clients see them: each reads a real request of its protocol, refuses what
 * the protocol refuses, and answers with the last user message, its characters reversed. Token
 * counts are the bytes of prompt and answer. */
#include "service_http/server_internal.h"

#include <jansson.h>
#include <stdlib.h>

static bool reply_json(struct httpd_conn *conn, unsigned status, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    bool more = httpd_reply(conn, status, "application/json", NULL, text, strlen(text));
    free(text);
    json_decref(json);
    return more;
}

static bool refuse(struct httpd_conn *conn, unsigned status, const char *why)
{
    return reply_json(
        conn, status,
        json_pack("{s:{s:s,s:s}}", "error", "type", "invalid_request_error", "message", why));
}

/* Text of a message: a string, or an array of {"type":"text","text":…} parts. */
static void message_text(const json_t *content, struct cis_buf *out)
{
    if (json_is_string(content)) {
        cis_buf_add(out, json_string_value(content), json_string_length(content));
    }
    size_t i;
    json_t *part;
    json_array_foreach(content, i, part)
    {
        const json_t *text = json_object_get(part, "text");
        if (json_is_string(text)) {
            cis_buf_add(out, json_string_value(text), json_string_length(text));
        }
    }
}

static bool last_user_message(const json_t *root, struct cis_buf *out)
{
    const json_t *messages = json_object_get(root, "messages");
    for (size_t i = json_array_size(messages); i-- > 0;) {
        const json_t *message = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(message, "role"));
        if (role != NULL && strcmp(role, "user") == 0) {
            message_text(json_object_get(message, "content"), out);
            return true;
        }
    }
    return false;
}

static void reverse(const struct cis_buf *text, struct cis_buf *out)
{
    for (size_t end = text->len; end > 0;) {
        size_t at = end - 1;
        while (at > 0 && (text->ptr[at] & 0xC0) == 0x80) {
            at--;
        }
        cis_buf_add(out, text->ptr + at, end - at);
        end = at;
    }
}

struct chat {
    const char *model, *answer;
    json_int_t in, out;
};

static bool openai(struct httpd_conn *conn, const json_t *root, const struct chat *c)
{
    (void)root;
    return reply_json(conn, 200,
                      json_pack("{s:s,s:s,s:i,s:s,s:[{s:i,s:{s:s,s:s},s:s}],s:{s:I,s:I,s:I}}", "id",
                                "chatcmpl-1", "object", "chat.completion", "created", 1, "model",
                                c->model, "choices", "index", 0, "message", "role", "assistant",
                                "content", c->answer, "finish_reason", "stop", "usage",
                                "prompt_tokens", c->in, "completion_tokens", c->out, "total_tokens",
                                c->in + c->out));
}

static bool anthropic(struct httpd_conn *conn, const json_t *root, const struct chat *c)
{
    if (!json_is_integer(json_object_get(root, "max_tokens"))) {
        return refuse(conn, 400, "max_tokens: Field required");
    }
    return reply_json(conn, 200,
                      json_pack("{s:s,s:s,s:s,s:s,s:[{s:s,s:s}],s:s,s:n,s:{s:I,s:I}}", "id",
                                "msg_1", "type", "message", "role", "assistant", "model", c->model,
                                "content", "type", "text", "text", c->answer, "stop_reason",
                                "end_turn", "stop_sequence", "usage", "input_tokens", c->in,
                                "output_tokens", c->out));
}

static bool ollama(struct httpd_conn *conn, const json_t *root, const struct chat *c)
{
    /* Ollama streams lines of JSON unless told not to. */
    const json_t *stream = json_object_get(root, "stream");
    if (!json_is_false(stream)) {
        char *first = NULL;
        json_t *part = json_pack("{s:s,s:{s:s,s:s},s:b}", "model", c->model, "message", "role",
                                 "assistant", "content", c->answer, "done", 0);
        first = json_dumps(part, JSON_COMPACT);
        CIS_CLEANUP(cis_buf_done) struct cis_buf lines = CIS_BUF_INIT(128u << 20);
        cis_buf_printf(&lines,
                       "%s\n{\"model\":\"m\",\"message\":{\"role\":\"assistant\","
                       "\"content\":\"\"},\"done\":true}\n",
                       first);
        free(first);
        json_decref(part);
        return httpd_reply(conn, 200, "application/x-ndjson", NULL, lines.ptr, lines.len);
    }
    return reply_json(conn, 200,
                      json_pack("{s:s,s:s,s:{s:s,s:s},s:s,s:b,s:I,s:I}", "model", c->model,
                                "created_at", "2026-11-21T00:00:00Z", "message", "role",
                                "assistant", "content", c->answer, "done_reason", "stop", "done", 1,
                                "prompt_eval_count", c->in, "eval_count", c->out));
}

static bool authorised(struct httpd_conn *conn, const struct httpd_request *request)
{
    if (conn->server->require == NULL) {
        return true;
    }
    struct cis_str value = cis_str_of(conn->server->require), name;
    char key[128];
    if (!cis_str_split(&value, ':', &name) || name.len >= sizeof key) {
        return false;
    }
    memcpy(key, name.ptr, name.len);
    key[name.len] = 0;
    return cis_str_eq(httpd_header(request, key), cis_str_trim(value));
}

static bool chat(struct httpd_conn *conn, const struct httpd_request *request,
                 bool (*answer)(struct httpd_conn *, const json_t *, const struct chat *))
{
    if (strcmp(request->method, "POST") != 0) {
        return refuse(conn, 405, "Not allowed to GET on this route");
    }
    if (!authorised(conn, request)) {
        return refuse(conn, 401, "Incorrect API key provided");
    }
    if (answer == anthropic && httpd_header(request, "anthropic-version").len == 0) {
        return refuse(conn, 400, "anthropic-version: header is required");
    }
    if (!cis_str_starts(httpd_header(request, "content-type"), CIS_STR("application/json"))) {
        return refuse(conn, 415, "content-type is not application/json");
    }
    json_t *root = json_loadb((const char *)request->body.ptr, request->body.len, 0, NULL);
    const char *model = json_string_value(json_object_get(root, "model"));
    CIS_CLEANUP(cis_buf_done) struct cis_buf prompt = CIS_BUF_INIT(64u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(64u << 20);
    bool more;
    if (model == NULL || !last_user_message(root, &prompt)) {
        more = refuse(conn, 400, "model and a user message are required");
    } else {
        reverse(&prompt, &text);
        struct chat c = {model, cis_buf_cstr(&text), (json_int_t)prompt.len, (json_int_t)text.len};
        more = answer(conn, root, &c);
    }
    json_decref(root);
    return more;
}

bool httpd_route_ai(struct httpd_conn *conn, struct httpd_request *request, bool *out_known)
{
    *out_known = true;
    if (strcmp(request->target, "/v1/chat/completions") == 0) {
        return chat(conn, request, openai);
    }
    if (strcmp(request->target, "/v1/messages") == 0) {
        return chat(conn, request, anthropic);
    }
    if (strcmp(request->target, "/api/chat") == 0) {
        return chat(conn, request, ollama);
    }
    *out_known = false;
    return false;
}
