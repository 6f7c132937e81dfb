/* Reading a response strictly: curl parses it too, but forgives much. Whatever two readers could
 * frame differently (request smuggling turned round) ends the exchange before anything of it
 * reaches the guest: folded or nameless fields, two lengths, a length beside chunks, a second
 * status line among the fields. */
#include "service/http/internal.h"

#include <string.h>
#include <strings.h>
#include "base/mem.h"
#include "policy/header.h"

#define DISCARD_MAX (64u * 1024u) /* of a redirect's own body, to keep the connection */

void cis_http_reply_done(struct cis_http_reply *reply)
{
    cis_buf_done(&reply->fields);
    cis_free(reply->location);
    reply->location = NULL;
}

#define REFUSE(reply, code_, ...)                                                                  \
    ((reply)->code = cis_fail(&(reply)->err, (code_), __VA_ARGS__), false)

static struct cis_str next_field(const char **at, const char *end, struct cis_str *value)
{
    struct cis_str name = cis_str_of(*at < end ? *at : "");
    if (name.len == 0) {
        *value = name;
        return name;
    }
    *value = cis_str_of(name.ptr + name.len + 1);
    *at = value->ptr + value->len + 1;
    return name;
}

static bool named(struct cis_str name, const char *text)
{
    return name.len == strlen(text) && strncasecmp(name.ptr, text, name.len) == 0;
}

static bool read_status(struct cis_http_reply *r, struct cis_str line)
{
    /* "HTTP/1.1 200 OK"; some servers leave out the reason and its space. */
    uint64_t status;
    if (r->in_block) {
        return REFUSE(r, CIS_E_NET, "%s: a second status line among the headers", r->host);
    }
    if (line.len < 12 ||
        (memcmp(line.ptr, "HTTP/1.1 ", 9) != 0 && memcmp(line.ptr, "HTTP/1.0 ", 9) != 0) ||
        !cis_str_u64((struct cis_str){line.ptr + 9, 3}, &status) || status < 100 || status > 599 ||
        (line.len > 12 && line.ptr[12] != ' ')) {
        return REFUSE(r, CIS_E_NET, "%s: not an HTTP/1 status line", r->host);
    }
    r->minor = line.ptr[7] == '1' ? 1 : 0;
    r->status = (uint16_t)status;
    r->in_block = true;
    r->has_length = r->chunked = false;
    cis_buf_reset(&r->fields);
    return true;
}

static bool read_length(struct cis_http_reply *r, struct cis_str value)
{
    uint64_t length;
    if (!cis_str_u64(value, &length) || length > INT64_MAX) {
        return REFUSE(r, CIS_E_NET, "%s: content-length is not a number", r->host);
    }
    if (r->has_length && r->length != length) {
        return REFUSE(r, CIS_E_NET, "%s: two different content-lengths", r->host);
    }
    r->has_length = true;
    r->length = length;
    return true;
}

static bool read_coding(struct cis_http_reply *r, struct cis_str value)
{
    if (r->chunked || r->minor == 0 || !named(value, "chunked")) {
        r->coding = true;
        return REFUSE(r, CIS_E_NET, "%s: a transfer-encoding other than one \"chunked\"", r->host);
    }
    r->chunked = true;
    return true;
}

static bool split_field(struct cis_http_reply *r, struct cis_str line, struct cis_str *name,
                        struct cis_str *value)
{
    *value = line;
    if (!cis_str_split(value, ':', name) || !cis_header_token(*name)) {
        return REFUSE(r, CIS_E_NET, "%s: a malformed response header", r->host);
    }
    *value = cis_str_trim(*value);
    return cis_header_value(*value) ||
           REFUSE(r, CIS_E_NET, "%s: a control character in a response header", r->host);
}

static bool add_field(struct cis_http_reply *r, struct cis_buf *to, struct cis_str name,
                      struct cis_str value)
{
    cis_buf_str(to, name);
    cis_buf_byte(to, 0);
    cis_buf_str(to, value);
    cis_buf_byte(to, 0);
    if (cis_buf_check(to, r->host, &r->err) != CIS_OK) {
        r->code = to->failed;
        return false;
    }
    return true;
}

/* What frames or authorises a message has no place after its body. */
static bool read_trailer(struct cis_http_reply *r, struct cis_str line)
{
    struct cis_str name, value;
    if (r->trailers == NULL || line.len == 0) {
        return true; /* counted, and otherwise nobody's */
    }
    if (!split_field(r, line, &name, &value)) {
        return false;
    }
    if (!cis_header_in_trailers(name)) {
        return REFUSE(r, CIS_E_NET, "%s: a field among the trailers that must not be there",
                      r->host);
    }
    return add_field(r, r->trailers, name, value);
}

static bool read_field(struct cis_http_reply *r, struct cis_str line)
{
    struct cis_str name, value;
    if (!r->in_block) {
        return REFUSE(r, CIS_E_NET, "%s: a malformed response header", r->host);
    }
    if (!split_field(r, line, &name, &value)) {
        return false;
    }
    if (named(name, "content-length") && !read_length(r, value)) {
        return false;
    }
    if (named(name, "transfer-encoding") && !read_coding(r, value)) {
        return false;
    }
    return add_field(r, &r->fields, name, value);
}

/* The Location of a redirect that is followed; two different ones are a refusal. */
static bool find_location(struct cis_http_reply *r)
{
    if (!r->follow || cis_http_redirect_method(r->status, "GET") == NULL) {
        return true;
    }
    const char *at = cis_buf_cstr(&r->fields), *end = at + r->fields.len, *found = NULL;
    struct cis_str name, value;
    while ((name = next_field(&at, end, &value)).len > 0) {
        if (!named(name, "location")) {
            continue;
        }
        if (found != NULL && strcmp(found, value.ptr) != 0) {
            return REFUSE(r, CIS_E_NET, "%s: two different locations", r->host);
        }
        found = value.ptr;
    }
    if (found != NULL && (r->location = cis_strdup(found)) == NULL) {
        return REFUSE(r, CIS_E_NOMEM, "%s: out of memory", r->host);
    }
    return true;
}

static bool hand_over(struct cis_http_reply *r)
{
    r->response->status = r->status;
    if (r->response->header == NULL) {
        return true;
    }
    const char *at = cis_buf_cstr(&r->fields), *end = at + r->fields.len;
    struct cis_str name, value;
    while ((name = next_field(&at, end, &value)).len > 0) {
        if (r->response->header(r->response->self, name.ptr, value.ptr) != CIS_OK) {
            return REFUSE(r, CIS_E_LIMIT,
                          "%s: the response headers are longer than the caller allows", r->host);
        }
    }
    return true;
}

static bool end_block(struct cis_http_reply *r)
{
    if (!r->in_block) {
        return REFUSE(r, CIS_E_NET, "%s: headers without a status line", r->host);
    }
    r->in_block = false;
    if (r->chunked && r->has_length) {
        return REFUSE(r, CIS_E_NET, "%s: content-length and transfer-encoding together", r->host);
    }
    if (r->status < 200) {
        return r->status != 101 ? true
                                : REFUSE(r, CIS_E_NET, "%s: switches to another protocol", r->host);
    }
    r->final = true;
    if (!find_location(r)) {
        return false;
    }
    if (r->location != NULL) {
        return true;
    }
    bool bodiless = r->head || r->status == 204 || r->status == 304;
    if (!bodiless && r->has_length && r->length > r->request->body_max) {
        return REFUSE(r, CIS_E_LIMIT, "%s: a body of %llu bytes: more than %llu", r->host,
                      (unsigned long long)r->length, (unsigned long long)r->request->body_max);
    }
    return hand_over(r);
}

bool cis_http_reply_line(struct cis_http_reply *r, struct cis_str line)
{
    uint32_t max =
        r->request->headers_max != 0 ? r->request->headers_max : CIS_HTTP_HEADERS_DEFAULT;
    size_t bytes_max = r->bytes_max != 0 ? r->bytes_max : CIS_HTTP_HEADER_BYTES;
    r->bytes += line.len;
    if (r->bytes > bytes_max) {
        return REFUSE(r, CIS_E_LIMIT, "%s: more than %zu bytes of response headers", r->host,
                      bytes_max);
    }
    if (line.len > 0 && line.ptr[line.len - 1] == '\n') {
        line.len--;
    }
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    if (line.len > 0 && !cis_str_starts(line, CIS_STR("HTTP/")) && r->lines++ >= max) {
        return REFUSE(r, CIS_E_LIMIT, "%s: more than %u response headers", r->host, (unsigned)max);
    }
    if (r->final) {
        return read_trailer(r, line);
    }
    if (line.len == 0) {
        return end_block(r);
    }
    return cis_str_starts(line, CIS_STR("HTTP/")) ? read_status(r, line) : read_field(r, line);
}

bool cis_http_reply_body(struct cis_http_reply *r, const void *data, size_t len)
{
    if (!r->final) {
        return REFUSE(r, CIS_E_NET, "%s: a body before the headers", r->host);
    }
    r->body += len;
    if (r->location != NULL) {
        r->enough = r->body > DISCARD_MAX;
        return !r->enough;
    }
    if (r->body > r->request->body_max) {
        return REFUSE(r, CIS_E_LIMIT, "%s: the body is longer than %llu bytes", r->host,
                      (unsigned long long)r->request->body_max);
    }
    if (r->response->body.write != NULL &&
        r->response->body.write(r->response->body.self, data, len) != CIS_OK) {
        return REFUSE(r, CIS_E_LIMIT, "%s: the body is longer than the caller allows", r->host);
    }
    return true;
}
