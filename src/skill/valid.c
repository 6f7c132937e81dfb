/* What paths, URIs and types in a manifest, and in what a skill gives, may look like. */
#include <ctype.h>
#include <strings.h>
#include "skill/manifest.h"

bool cis_skill_path_valid(struct cis_str path)
{
    if (path.len == 0 || path.len > 1024 || !cis_utf8_valid(path.ptr, path.len)) {
        return false;
    }
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        bool c1 =
            c == 0xC2 && (unsigned char)path.ptr[i + 1] < 0xA0; /* valid UTF-8: i + 1 exists */
        if (c < 0x20 || c == 0x7F || c == '\\' || c1) {
            return false;
        }
    }
    struct cis_str rest = path, part;
    size_t depth = 0;
    for (bool more = true; more;) {
        more = cis_str_split(&rest, '/', &part);
        if (part.len == 0 || part.len > 255 || cis_str_is(part, ".") || cis_str_is(part, "..") ||
            ++depth > 32) {
            return false;
        }
    }
    return true;
}

bool cis_mime_type_valid(struct cis_str text)
{
    size_t slashes = 0;
    for (size_t i = 0; i < text.len; i++) {
        slashes += text.ptr[i] == '/';
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return slashes == 1 && text.len <= 128 && text.ptr[0] != '/' && text.ptr[text.len - 1] != '/';
}

bool cis_resource_uri_valid(struct cis_str uri)
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
    return uri.len <= CIS_RESOURCE_URI_MAX && n != 0 && n < uri.len && uri.ptr[n] == ':' &&
           !(n == 3 && strncasecmp(uri.ptr, "cis", n) == 0) &&
           !(n == 2 && strncasecmp(uri.ptr, "ui", n) == 0);
}

bool cis_resource_variable(struct cis_str piece, struct cis_str *out_name)
{
    if (piece.len < 3 || piece.len - 2 > CIS_TOOL_NAME_MAX || piece.ptr[0] != '{' ||
        piece.ptr[piece.len - 1] != '}') {
        return false;
    }
    *out_name = (struct cis_str){piece.ptr + 1, piece.len - 2};
    for (size_t i = 0; i < out_name->len; i++) {
        if (!isalnum((unsigned char)out_name->ptr[i]) && out_name->ptr[i] != '_') {
            return false;
        }
    }
    return true;
}
