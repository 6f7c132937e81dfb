#include "base/url.h"

/* The last @ of the authority ends the password, which may hold one itself. */
static void authority(struct cis_str text, struct cis_buf *out)
{
    const char *slash = text.len != 0 ? memchr(text.ptr, '/', text.len) : NULL;
    size_t at = text.len;
    while (at > 0 && text.ptr[at - 1] != '@') {
        at--;
    }
    const char *colon = at > 0 ? memchr(text.ptr, ':', at) : NULL;
    if (colon == NULL || (slash != NULL && slash < colon)) {
        cis_buf_str(out, text);
        return;
    }
    cis_buf_add(out, text.ptr, (size_t)(colon - text.ptr));
    cis_buf_text(out, ":***@");
    cis_buf_add(out, text.ptr + at, text.len - at);
}

void cis_url_redact(struct cis_str url, struct cis_buf *out)
{
    const char *mark = url.len != 0 ? memmem(url.ptr, url.len, "://", 3) : NULL;
    if (mark == NULL) {
        cis_buf_str(out, url);
        return;
    }
    size_t head = (size_t)(mark - url.ptr) + 3;
    struct cis_str rest = {url.ptr + head, url.len - head}, before, query;
    bool asks = cis_str_split(&rest, '?', &before);
    query = rest;
    cis_buf_add(out, url.ptr, head);
    authority(before, out);
    for (bool more = asks; more;) {
        struct cis_str pair, name;
        bool first = query.ptr == rest.ptr;
        more = cis_str_split(&query, '&', &pair);
        struct cis_str value = pair;
        bool has_value = cis_str_split(&value, '=', &name);
        bool secret = has_value && memmem(name.ptr, name.len, "pass", 4) != NULL;
        cis_buf_byte(out, first ? '?' : '&');
        cis_buf_str(out, secret ? name : pair);
        cis_buf_text(out, secret ? "=***" : "");
    }
}
