/* URLs and origins: reading a URL strictly, and whether a grant names its origin. Addresses are in
 * addr.c. */
#include "policy/net.h"

#include <strings.h>
#include "base/mem.h"
#include "policy/host.h"
#include "policy/set.h"

#define URL_MAX 8192u

void cis_url_done(struct cis_url *url)
{
    cis_free(url->scheme);
    cis_free(url->host);
    cis_free(url->target);
    *url = (struct cis_url){0};
}

/* Characters that have no place in a target as they are. Browsers encode them, curl and servers
 * differ: encoded here, once, so that everybody reads the same. */
static bool encode_in_target(unsigned char c)
{
    return c >= 0x80 || strchr("\"<>^`{|}", c) != NULL;
}

static cis_code check_bytes(struct cis_str text, struct cis_error *err)
{
    if (text.len > URL_MAX) {
        return cis_fail(err, CIS_E_INVALID, "url: longer than %u bytes", URL_MAX);
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= 0x20 || c == 0x7f) {
            return cis_fail(err, CIS_E_INVALID, "url: a space or control character at byte %zu",
                            i + 1);
        }
        if (c == '\\') {
            return cis_fail(err, CIS_E_INVALID, "url: a backslash at byte %zu", i + 1);
        }
    }
    if (!cis_utf8_valid(text.ptr, text.len)) {
        return cis_fail(err, CIS_E_INVALID, "url: not UTF-8");
    }
    return CIS_OK;
}

static bool is_scheme_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '-' || c == '.';
}

static cis_code parse_scheme(struct cis_str *text, const char **out_scheme, struct cis_error *err)
{
    static const struct {
        const char *prefix, *scheme;
    } known[] = {{"http://", "http"}, {"https://", "https"}};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(known[i].prefix);
        if (text->len >= n && strncasecmp(text->ptr, known[i].prefix, n) == 0) {
            *out_scheme = known[i].scheme;
            text->ptr += n;
            text->len -= n;
            return CIS_OK;
        }
    }
    /* The rest may hold a password: only the scheme is repeated, and only when it is one. */
    size_t n = 0;
    while (n < text->len && n < 20 && is_scheme_char(text->ptr[n])) {
        n++;
    }
    if (n > 0 && n < text->len && text->ptr[n] == ':') {
        return cis_fail(err, CIS_E_DENIED, "url: scheme \"%.*s\": only http:// and https://",
                        (int)n, text->ptr);
    }
    return cis_fail(err, CIS_E_DENIED, "url: must start with http:// or https://");
}

static cis_code make_target(struct cis_str rest, char **out_target, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf buf = CIS_BUF_INIT(URL_MAX * 3 + 2);
    const char *hash = rest.len > 0 ? memchr(rest.ptr, '#', rest.len) : NULL;
    if (hash != NULL) {
        rest.len = (size_t)(hash - rest.ptr);
    }
    if (rest.len == 0 || rest.ptr[0] != '/') {
        cis_buf_byte(&buf, '/');
    }
    for (size_t i = 0; i < rest.len; i++) {
        unsigned char c = (unsigned char)rest.ptr[i];
        if (encode_in_target(c)) {
            cis_buf_printf(&buf, "%%%02X", c);
        } else {
            cis_buf_byte(&buf, c);
        }
    }
    CIS_TRY(cis_buf_check(&buf, "url", err));
    *out_target = (char *)cis_buf_take(&buf, NULL);
    return CIS_OK;
}

cis_code cis_url_parse(struct cis_str text, struct cis_url *out, struct cis_error *err)
{
    if (text.len == 0) {
        return cis_fail(err, CIS_E_INVALID, "url: is empty");
    }
    CIS_TRY(check_bytes(text, err));
    const char *scheme = NULL;
    CIS_TRY(parse_scheme(&text, &scheme, err));

    size_t end = 0;
    while (end < text.len && strchr("/?#", text.ptr[end]) == NULL) {
        end++;
    }
    struct cis_str authority = {text.ptr, end};
    if (end > 0 && memchr(authority.ptr, '@', end) != NULL) {
        return cis_fail(err, CIS_E_DENIED, "url: a user name or password ('@') before the host");
    }
    struct cis_str host_text, port_text;
    struct cis_host_text host;
    bool has_port;
    const char *why = cis_host_split(authority, &host_text, &port_text, &has_port);
    if (why == NULL) {
        why = cis_host_parse(host_text, &host);
    }
    uint16_t port = strcmp(scheme, "https") == 0 ? 443 : 80;
    if (why == NULL && has_port && !cis_port_parse(port_text, &port)) {
        why = "the port is not a number from 1 to 65535";
    }
    if (why != NULL) {
        return cis_fail(err, CIS_E_INVALID, "url: host \"%.*s\": %s",
                        (int)(authority.len > 80 ? 80 : authority.len), authority.ptr, why);
    }
    CIS_CLEANUP(cis_url_done)
    struct cis_url url = {.port = port, .is_address = host.kind != CIS_HOST_NAME};
    CIS_TRY(make_target((struct cis_str){text.ptr + end, text.len - end}, &url.target, err));
    url.scheme = cis_strdup(scheme);
    url.host = cis_strdup(host.text);
    if (url.scheme == NULL || url.host == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "url: out of memory");
    }
    *out = url;
    url = (struct cis_url){0};
    return CIS_OK;
}

/* Names that stand for this machine whatever a server says about them (RFC 6761). */
static bool is_localhost_name(const char *host)
{
    size_t n = strlen(host);
    return strcmp(host, "localhost") == 0 || (n > 10 && strcmp(host + n - 10, ".localhost") == 0);
}

bool cis_policy_public_origin(const char *host, bool wildcard, uint16_t port)
{
    /* `network` is for the web: below 1024 only its own ports, so that a request cannot be made to
     * look like mail or a name query to another service. Others need their own http= grant. */
    if (port < 1024 && port != 80 && port != 443) {
        return false;
    }
    struct sockaddr_storage addr;
    if (!wildcard && cis_host_sockaddr(host, &addr)) {
        return cis_addr_is_public((const struct sockaddr *)&addr);
    }
    return !is_localhost_name(host);
}

bool cis_policy_origin_allowed(const struct cis_grants *grants, const struct cis_url *url)
{
    struct cis_origin wanted = {
        .scheme = url->scheme, .host = url->host, .wildcard = false, .port = url->port};
    for (size_t i = 0; i < grants->nhttp; i++) {
        if (cis_origin_covers(&grants->http[i], &wanted)) {
            return true;
        }
    }
    return grants->network && cis_policy_public_origin(url->host, false, url->port);
}
