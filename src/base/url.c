#include "base/url.h"

/* Where the host begins: behind the last @, as a password may hold any of the marks that end it in
 * a URL, and programs differ about which of them they take for one. 0: nobody is named, or without
 * a password. *out_user: bytes of the name. Hides rather too much. */
static size_t host_at(struct cis_str text, size_t *out_user)
{
    size_t at = text.len;
    while (at > 0 && text.ptr[at - 1] != '@') {
        at--;
    }
    const char *colon = at > 0 ? memchr(text.ptr, ':', at) : NULL;
    if (colon == NULL) {
        return 0;
    }
    size_t user = (size_t)(colon - text.ptr);
    if (memchr(text.ptr, '/', user) != NULL || memchr(text.ptr, '?', user) != NULL) {
        return 0;
    }
    *out_user = user;
    return at;
}

/* libpq takes a name with escapes for what it stands for. */
static bool is_secret(struct cis_str name)
{
    return name.len != 0 && (memmem(name.ptr, name.len, "pass", 4) != NULL ||
                             memmem(name.ptr, name.len, "secret", 6) != NULL ||
                             memchr(name.ptr, '%', name.len) != NULL);
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
    size_t user = 0, host = host_at(rest, &user);
    cis_buf_add(out, url.ptr, head);
    if (host != 0) {
        cis_buf_add(out, rest.ptr, user);
        cis_buf_text(out, ":***@");
        rest = (struct cis_str){rest.ptr + host, rest.len - host};
    }
    bool asks = cis_str_split(&rest, '?', &before);
    query = rest;
    cis_buf_str(out, before);
    for (bool more = asks; more;) {
        struct cis_str pair, name;
        bool first = query.ptr == rest.ptr;
        more = cis_str_split(&query, '&', &pair);
        struct cis_str value = pair;
        bool has_value = cis_str_split(&value, '=', &name);
        bool secret = has_value && is_secret(name);
        cis_buf_byte(out, first ? '?' : '&');
        cis_buf_str(out, secret ? name : pair);
        cis_buf_text(out, secret ? "=***" : "");
    }
}
