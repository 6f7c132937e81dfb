/* JSON-RPC 2.0: what a line is, and what it is answered with. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"

#define ID_MAX 1024u
/* What a value takes besides its text: an object with one member is about this twice, and counts
 * twice. A message of CIS_MCP_VALUES_MAX leaves others some room in the queue. */
#define VALUE_BYTES ((size_t)160)

void cis_mcp_reply_done(struct mcp_reply *reply)
{
    json_decref(reply->result);
    json_decref(reply->data);
    *reply = (struct mcp_reply){0};
}

void cis_mcp_refuse(struct mcp_reply *reply, int code, const char *fmt, ...)
{
    struct cis_error text;
    va_list args;
    va_start(args, fmt);
    cis_fail_v(&text, CIS_E_INVALID, fmt, args); /* cuts, and takes control characters out */
    va_end(args);
    cis_mcp_reply_done(reply);
    reply->code = code;
    memcpy(reply->message, text.msg, sizeof reply->message);
}

struct mcp_size cis_mcp_size(struct cis_str text)
{
    struct mcp_size size = {.values = 1};
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
            continue;
        }
        quoted = c == '"';
        size.values += c == ',' || c == '[' || c == '{';
        depth += c == '[' || c == '{';
        depth -= (c == ']' || c == '}') && depth != 0;
        size.depth = depth > size.depth ? depth : size.depth;
    }
    return size;
}

/* *out_bytes: about how much memory it takes. */
static bool small_enough(struct cis_str line, size_t *out_bytes, struct mcp_reply *reply)
{
    struct mcp_size size = cis_mcp_size(line);
    if (size.depth > CIS_MCP_DEPTH_MAX) {
        cis_mcp_refuse(reply, MCP_INVALID, "nested deeper than %u", CIS_MCP_DEPTH_MAX);
        return false;
    }
    if (size.values > CIS_MCP_VALUES_MAX) {
        cis_mcp_refuse(reply, MCP_INVALID, "more than %u values", CIS_MCP_VALUES_MAX);
        return false;
    }
    *out_bytes = line.len + VALUE_BYTES * size.values;
    return true;
}

bool cis_mcp_id_good(const json_t *id)
{
    return json_is_integer(id) || (json_is_string(id) && json_string_length(id) <= ID_MAX);
}

/* The members of the message that is in out->all. */
static enum mcp_kind check(struct mcp_message *out, struct mcp_reply *reply)
{
    const json_t *all = out->all;
    const json_t *id = json_object_get(all, "id"), *method = json_object_get(all, "method");
    struct cis_str version = cis_mcp_field(all, "jsonrpc");
    out->id = cis_mcp_id_good(id) ? id : NULL;
    out->params = cis_mcp_member(all, "params");
    if (!cis_str_is(version, "2.0")) {
        cis_mcp_refuse(reply, MCP_INVALID, "jsonrpc is not \"2.0\"");
        return MCP_BROKEN;
    }
    if (method == NULL && out->id != NULL &&
        (json_object_get(all, "result") != NULL || json_object_get(all, "error") != NULL)) {
        return MCP_ANSWER;
    }
    if (id != NULL && out->id == NULL) {
        cis_mcp_refuse(reply, MCP_INVALID,
                       "id is neither an integer nor a text of at most %u bytes", ID_MAX);
        return MCP_BROKEN;
    }
    if (!json_is_string(method) || json_string_length(method) > 256 ||
        strlen(json_string_value(method)) != json_string_length(method)) {
        cis_mcp_refuse(reply, MCP_INVALID,
                       "method is not a string of at most 256 bytes, or holds a zero byte");
        return MCP_BROKEN;
    }
    out->method = json_string_value(method);
    if (out->params != NULL && !json_is_object(out->params)) {
        cis_mcp_refuse(reply, MCP_PARAMS, "params is not an object");
        return id == NULL ? MCP_NOTHING : MCP_BROKEN; /* a notification is never answered */
    }
    return id == NULL ? MCP_NOTIFICATION : MCP_REQUEST;
}

enum mcp_kind cis_mcp_message_read(struct cis_str line, struct mcp_message *out,
                                   struct mcp_reply *reply)
{
    size_t at = 0;
    *out = (struct mcp_message){0};
    if (cis_str_trim(line).len == 0) {
        return MCP_NOTHING;
    }
    if (!cis_json_valid(line.ptr, line.len, &at)) {
        cis_mcp_refuse(reply, MCP_PARSE, "not JSON (at byte %zu)", at);
        return MCP_BROKEN;
    }
    if (!small_enough(line, &out->bytes, reply)) {
        return MCP_BROKEN;
    }
    json_t *all = json_loadb(line.ptr, line.len,
                             JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    if (!json_is_object(all)) {
        const char *what = all == NULL ? "a name twice, or a number or a text that cannot be held"
                           : json_is_array(all) ? "a batch: send one message a line"
                                                : "not an object";
        json_decref(all);
        cis_mcp_refuse(reply, MCP_INVALID, "%s", what);
        return MCP_BROKEN;
    }
    out->all = all;
    return check(out, reply);
}

static int dump_part(const char *text, size_t len, void *self)
{
    struct cis_buf *out = self;
    cis_buf_add(out, text, len);
    return out->failed == CIS_OK ? 0 : -1;
}

void cis_mcp_dump(json_t *value, struct cis_buf *out)
{
    if (value == NULL ||
        json_dump_callback(value, dump_part, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0) {
        out->failed = out->failed != CIS_OK ? out->failed : CIS_E_NOMEM;
    }
}

static json_t *error_of(const struct mcp_reply *reply)
{
    json_t *error =
        json_pack("{s:i,s:o}", "code", reply->code, "message", cis_mcp_text_of(reply->message));
    if (reply->data != NULL) {
        json_object_set(error, "data", reply->data);
    }
    return error;
}

void cis_mcp_answer(const json_t *id, struct mcp_reply *reply, struct cis_buf *out)
{
    json_t *copy = id != NULL ? json_deep_copy(id) : json_null();
    if (reply->code == 0 && reply->result == NULL) {
        cis_mcp_refuse(reply, MCP_INTERNAL, "out of memory");
    }
    json_t *all = json_pack("{s:s,s:o,s:o}", "jsonrpc", "2.0", "id", copy,
                            reply->code != 0 ? "error" : "result",
                            reply->code != 0 ? error_of(reply) : json_incref(reply->result));
    cis_mcp_dump(all, out);
    cis_buf_byte(out, '\n');
    json_decref(all);
    if (out->failed != CIS_OK) { /* too long, or no memory */
        bool full = out->failed == CIS_E_LIMIT;
        cis_buf_reset(out);
        json_t *again = id != NULL ? json_deep_copy(id) : json_null();
        cis_json_write(
            out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("jsonrpc", "2.0"), CIS_J_KEY(CIS_STR("id"))));
        cis_mcp_dump(again, out);
        json_decref(again);
        cis_json_write(out,
                       CIS_JSON(CIS_J_OPEN("error"), CIS_J_INT("code", MCP_INTERNAL),
                                CIS_J("message", full ? "the answer is too long" : "out of memory"),
                                CIS_J_CLOSE, CIS_J_CLOSE));
        cis_buf_byte(out, '\n');
    }
    cis_mcp_reply_done(reply);
}

json_t *cis_mcp_text(struct cis_str text)
{
    if (cis_utf8_valid(text.ptr, text.len)) {
        return json_stringn(text.len != 0 ? text.ptr : "", text.len);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(6 * CIS_MCP_LINE_MAX);
    cis_buf_json(&json, text); /* what is no UTF-8 becomes U+FFFD */
    return json.failed == CIS_OK ? json_loadb((const char *)json.ptr, json.len,
                                              JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)
                                 : NULL;
}

json_t *cis_mcp_member(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

struct cis_str cis_mcp_field(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value)
               ? (struct cis_str){json_string_value(value), json_string_length(value)}
               : (struct cis_str){NULL, 0};
}
