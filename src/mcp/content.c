/* What a skill's tool gives instead of text: a list of images, sounds, texts and small resources,
 * as the protocol writes them. Nothing else gets through: no link and no member that a client may
 * take for the server's own word. */
#include "mcp/internal.h"

#define BLOCKS_MAX 100u
#define VALUES_MAX (16 * BLOCKS_MAX) /* a good message has at most 9 */

static bool is_base64(struct cis_str text)
{
    size_t pads = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '+' || c == '/';
        pads += c == '=';
        if (!digit && c != '=' ? true : digit && pads != 0) {
            return false;
        }
    }
    return text.len % 4 == 0 && pads <= 2;
}

static bool is_type(struct cis_str text, const char *begins)
{
    return text.ptr != NULL && cis_mime_type_valid(text) &&
           cis_str_starts(text, cis_str_of(begins)) && text.len > strlen(begins);
}

static bool has_only(const json_t *object, size_t n)
{
    return json_is_object(object) && json_object_size(object) == n;
}

static bool resource_good(const json_t *resource)
{
    struct cis_str uri = cis_mcp_field(resource, "uri");
    struct cis_str type = cis_mcp_field(resource, "mimeType");
    struct cis_str text = cis_mcp_field(resource, "text");
    struct cis_str blob = cis_mcp_field(resource, "blob");
    return has_only(resource, 3) && uri.ptr != NULL && cis_resource_uri_valid(uri) &&
           is_type(type, "") && (text.ptr != NULL || (blob.ptr != NULL && is_base64(blob)));
}

static bool block_good(const json_t *block)
{
    struct cis_str kind = cis_mcp_field(block, "type");
    struct cis_str type = cis_mcp_field(block, "mimeType"), data = cis_mcp_field(block, "data");
    if (cis_str_is(kind, "text")) {
        return has_only(block, 2) && cis_mcp_field(block, "text").ptr != NULL;
    }
    if (cis_str_is(kind, "resource")) {
        return has_only(block, 2) && resource_good(json_object_get(block, "resource"));
    }
    bool picture = cis_str_is(kind, "image"), sound = cis_str_is(kind, "audio");
    return (picture || sound) && has_only(block, 3) &&
           is_type(type, picture ? "image/" : "audio/") && data.ptr != NULL && is_base64(data);
}

static bool message_good(const json_t *message)
{
    struct cis_str role = cis_mcp_field(message, "role");
    return has_only(message, 2) && (cis_str_is(role, "user") || cis_str_is(role, "assistant")) &&
           block_good(json_object_get(message, "content"));
}

cis_code cis_mcp_content_read(struct cis_str text, enum mcp_gives gives, json_t **out,
                              struct cis_error *err)
{
    bool messages = gives == MCP_GIVES_MESSAGES;
    json_t *list =
        text.len != 0 && cis_mcp_size(text).values <= VALUES_MAX
            ? json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL)
            : NULL;
    size_t n = json_array_size(list), i = 0;
    while (i < n && n <= BLOCKS_MAX &&
           (messages ? message_good : block_good)(json_array_get(list, i))) {
        i++;
    }
    if (n == 0 || i < n) {
        json_decref(list);
        return cis_fail(err, CIS_E_FAILED,
                        "its result is not a list of 1 to %u %stexts, images, sounds and resources "
                        "(item %zu)",
                        BLOCKS_MAX, messages ? "messages {role, content} of " : "", i);
    }
    *out = list;
    return CIS_OK;
}
