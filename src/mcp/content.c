/* What a skill's tool gives instead of text: a list of images, sounds, texts and small resources,
 * as the protocol writes them. Nothing else gets through: no link and no member that a client may
 * take for the server's own word. */
#include "mcp/internal.h"

#include <ctype.h>
#include <strings.h>

#define BLOCKS_MAX 100u
#define VALUES_MAX (16 * BLOCKS_MAX) /* a good block has at most 6 */

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

/* RFC 6838: type/subtype, and nothing that could be another field. */
static bool is_type(struct cis_str text, const char *begins)
{
    size_t slashes = 0;
    for (size_t i = 0; i < text.len; i++) {
        slashes += text.ptr[i] == '/';
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return slashes == 1 && text.len <= 128 && text.len > strlen(begins) + 1 &&
           strncmp(text.ptr, begins, strlen(begins)) == 0;
}

static bool has_only(const json_t *object, size_t n)
{
    return json_is_object(object) && json_object_size(object) == n;
}

/* RFC 3986: a scheme, and nothing that a reader strips. "cis" are the server's own, "ui" are pages
 * that clients show as their own. */
static bool uri_good(struct cis_str uri)
{
    size_t n = 0;
    for (size_t i = 0; i < uri.len; i++) {
        if (uri.ptr[i] <= ' ' || uri.ptr[i] >= 0x7f) {
            return false;
        }
    }
    while (n < uri.len && (isalnum((unsigned char)uri.ptr[n]) || strchr("+-.", uri.ptr[n]))) {
        n++;
    }
    return uri.len <= 1024 && n != 0 && n < uri.len && uri.ptr[n] == ':' &&
           !(n == 3 && strncasecmp(uri.ptr, "cis", n) == 0) &&
           !(n == 2 && strncasecmp(uri.ptr, "ui", n) == 0);
}

static bool resource_good(const json_t *resource)
{
    struct cis_str uri = cis_mcp_field(resource, "uri");
    struct cis_str type = cis_mcp_field(resource, "mimeType");
    struct cis_str text = cis_mcp_field(resource, "text");
    struct cis_str blob = cis_mcp_field(resource, "blob");
    return has_only(resource, 3) && uri_good(uri) && is_type(type, "") &&
           (text.ptr != NULL || (blob.ptr != NULL && is_base64(blob)));
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

cis_code cis_mcp_content_read(struct cis_str text, json_t **out, struct cis_error *err)
{
    json_t *list =
        text.len != 0 && cis_mcp_size(text).values <= VALUES_MAX
            ? json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL)
            : NULL;
    size_t n = json_array_size(list), i = 0;
    while (i < n && n <= BLOCKS_MAX && block_good(json_array_get(list, i))) {
        i++;
    }
    if (n == 0 || i < n) {
        json_decref(list);
        return cis_fail(err, CIS_E_FAILED,
                        "its result is not a list of 1 to %u texts, images, sounds and resources "
                        "(item %zu)",
                        BLOCKS_MAX, i);
    }
    *out = list;
    return CIS_OK;
}
