#include "policy/header.h"

#include <strings.h>

bool cis_header_token(struct cis_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) &&
            (c == 0 || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
            return false;
        }
    }
    return text.len > 0;
}

bool cis_header_value(struct cis_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool among(struct cis_str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (name.len == strlen(names[i]) && strncasecmp(name.ptr, names[i], name.len) == 0) {
            return true;
        }
    }
    return false;
}

bool cis_header_of_host(struct cis_str name)
{
    static const char *const names[] = {
        "host",    "content-length", "transfer-encoding", "connection", "te",
        "trailer", "upgrade",        "keep-alive",        "expect",     "http2-settings"};
    return among(name, names, sizeof names / sizeof *names) ||
           (name.len >= 6 && strncasecmp(name.ptr, "proxy-", 6) == 0);
}

bool cis_header_in_trailers(struct cis_str name)
{
    static const char *const names[] = {"authorization", "cache-control", "content-encoding",
                                        "content-range", "content-type",  "cookie",
                                        "max-forwards",  "set-cookie"};
    return !cis_header_of_host(name) && !among(name, names, sizeof names / sizeof *names);
}
