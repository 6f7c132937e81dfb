/* Any bytes as an HTTP response, line by line as curl hands them over: what is passed on is framed
 * once, within the caps, and free of control characters. */
#include <stdint.h>
#include <stdlib.h>
#include "policy/header.h"
#include "service/http/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 4096u

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

struct seen {
    size_t headers, body;
};

static enum cis_code header(void *self, const char *name, const char *value)
{
    struct seen *seen = self;
    seen->headers++;
    require(cis_header_token(cis_str_of(name)));
    for (const char *p = value; *p != 0; p++) {
        require(((unsigned char)*p >= 0x20 || *p == '\t') && *p != 0x7f);
    }
    return CIS_E_OK;
}

static enum cis_code body(void *self, const void *data, size_t len)
{
    (void)data;
    ((struct seen *)self)->body += len;
    return CIS_E_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = {0};
    struct cis_http_request request = {
        .method = "GET", .url = "http://x.example/", .body_max = BODY_MAX, .headers_max = 50};
    struct cis_http_response response = {.self = &seen, .header = header, .body = {&seen, body}};
    struct cis_http_reply r = {.request = &request,
                               .response = &response,
                               .host = "x.example",
                               .follow = size != 0 && (data[0] & 1) != 0,
                               .fields = CIS_BUF_INIT(2u * CIS_HTTP_HEADER_BYTES)};
    struct cis_str rest = {(const char *)data, size};
    bool going = true;
    while (going && rest.len != 0) {
        if (r.final) {
            size_t n = rest.len < 1000 ? rest.len : 1000;
            going = cis_http_reply_body(&r, rest.ptr, n);
            rest = (struct cis_str){rest.ptr + n, rest.len - n};
            continue;
        }
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t n = end != NULL ? (size_t)(end - rest.ptr) + 1 : rest.len;
        going = cis_http_reply_line(&r, (struct cis_str){rest.ptr, n});
        rest = (struct cis_str){rest.ptr + n, rest.len - n};
    }
    require(going || r.enough || (r.code != CIS_OK && r.err.msg[0] != 0));
    require(seen.headers <= 50 && seen.body <= BODY_MAX);
    require(!(r.final && r.chunked && r.has_length && going));
    if (r.location != NULL) {
        struct cis_url base = {0};
        struct cis_buf to = CIS_BUF_INIT(16384);
        require(cis_url_parse(CIS_STR("http://x.example/a/b"), &base, NULL) == CIS_OK);
        cis_code code = cis_http_location(&base, r.location, &to, NULL);
        require(code == CIS_OK || seen.headers == 0);
        cis_buf_done(&to);
        cis_url_done(&base);
    }
    cis_http_reply_done(&r);
    return 0;
}
