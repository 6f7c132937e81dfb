/* Where a redirect leads. The result is text that cis_url_parse checks like any URL of a guest. */
#include "service/http/internal.h"

#include <string.h>

const char *cis_http_redirect_method(uint16_t status, const char *method)
{
    switch (status) {
    case 301:
    case 302:
        return strcmp(method, "POST") == 0 ? "GET" : method;
    case 303:
        return strcmp(method, "HEAD") == 0 ? method : "GET";
    case 307:
    case 308:
        return method;
    default:
        return NULL;
    }
}

/* RFC 3986 §3.1: does the text start with "scheme:"? */
static bool has_scheme(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    char c = text[0];
    return n > 0 && text[n] == ':' && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
}

static void put_origin(const struct cis_url *base, struct cis_buf *out)
{
    bool v6 = strchr(base->host, ':') != NULL;
    cis_buf_printf(out, v6 ? "%s://[%s]:%u" : "%s://%s:%u", base->scheme, base->host,
                   (unsigned)base->port);
}

cis_code cis_http_location(const struct cis_url *base, const char *location, struct cis_buf *out,
                           struct cis_error *err)
{
    const char *query = strchr(base->target, '?');
    size_t path_len = query != NULL ? (size_t)(query - base->target) : strlen(base->target);
    if (has_scheme(location)) {
        cis_buf_text(out, location);
    } else if (strncmp(location, "//", 2) == 0) {
        cis_buf_printf(out, "%s:", base->scheme);
        cis_buf_text(out, location);
    } else {
        put_origin(base, out);
        if (location[0] == 0 || location[0] == '#') {
            cis_buf_text(out, base->target);
        } else if (location[0] == '?') {
            cis_buf_add(out, base->target, path_len);
        } else if (location[0] != '/') {
            const char *slash = memrchr(base->target, '/', path_len);
            cis_buf_add(out, base->target, slash != NULL ? (size_t)(slash - base->target) + 1 : 0);
        }
        cis_buf_text(out, location); /* dot segments are resolved when the URL is sent */
    }
    return cis_buf_check(out, "redirect", err);
}
