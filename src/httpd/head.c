/* The head of a request: what its lines are is httparse's, what they mean for where the request
 * ends is here (RFC 9112). */
#include "httpd/internal.h"

#include <cis_head.h>
#include <stdarg.h>
#include <strings.h>

_Static_assert(CIS_HTTPD_FIELDS_MAX == CIS_HEAD_FIELDS_MAX, "as many as are parsed");

void cis_httpd_refuse(struct cis_httpd_refusal *out, unsigned status, const char *fmt, ...)
{
    struct cis_error text;
    va_list args;
    va_start(args, fmt);
    cis_fail_v(&text, CIS_E_INVALID, fmt, args); /* cuts, and takes control characters out */
    va_end(args);
    *out = (struct cis_httpd_refusal){.status = status};
    memcpy(out->text, text.msg, sizeof out->text);
}

bool cis_httpd_same(struct cis_str text, const char *what)
{
    return text.len == strlen(what) && strncasecmp(text.ptr, what, text.len) == 0;
}

size_t cis_httpd_field(const struct cis_httpd_request *request, const char *name,
                       struct cis_str *out)
{
    size_t n = 0;
    *out = (struct cis_str){"", 0};
    for (size_t i = 0; i < request->nfields; i++) {
        if (cis_httpd_same(request->fields[i].key, name) && n++ == 0) {
            *out = request->fields[i].value;
        }
    }
    return n;
}

bool cis_httpd_lists(struct cis_str list, const char *what)
{
    while (list.len != 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t len = comma != NULL ? (size_t)(comma - list.ptr) : list.len;
        const char *end = memchr(list.ptr, ';', len);
        struct cis_str one = {list.ptr, end != NULL ? (size_t)(end - list.ptr) : len};
        if (cis_httpd_same(cis_str_trim(one), what)) {
            return true;
        }
        len += comma != NULL;
        list = (struct cis_str){list.ptr + len, list.len - len};
    }
    return false;
}

bool cis_httpd_has(const struct cis_httpd_request *request, const char *name, const char *what)
{
    for (size_t i = 0; i < request->nfields; i++) {
        if (cis_httpd_same(request->fields[i].key, name) &&
            cis_httpd_lists(request->fields[i].value, what)) {
            return true;
        }
    }
    return false;
}

/* Bare CR and LF are what servers on a way disagree about; a parser that lets them pass is not
 * asked. *seen: up to where there is neither, nor the end of the head. */
static enum httpd_status find_end(struct cis_bytes in, size_t *seen, size_t *out_len)
{
    for (size_t i = *seen; i < in.len; i++) {
        if (in.ptr[i] != '\r' && in.ptr[i] != '\n') {
            continue;
        }
        if (in.ptr[i] == '\n') {
            return HTTPD_REFUSED;
        }
        if (i + 1 == in.len) {
            *seen = i;
            return HTTPD_PART;
        }
        if (in.ptr[i + 1] != '\n') {
            return HTTPD_REFUSED;
        }
        if (i >= 2 && in.ptr[i - 1] == '\n') {
            *out_len = i + 2;
            return HTTPD_WHOLE;
        }
        i++;
    }
    *seen = in.len;
    return HTTPD_PART;
}

static bool bad(struct cis_httpd_refusal *why, const char *what)
{
    cis_httpd_refuse(why, 400, "%s", what);
    return false;
}

static bool digits(struct cis_str text, uint64_t *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
    }
    return text.len <= 18 && cis_str_u64(text, out);
}

/* Where the request ends (RFC 9112 §6). */
static bool take_framing(struct httpd_head *h, struct cis_httpd_refusal *why)
{
    struct cis_str length, coding;
    size_t lengths = cis_httpd_field(&h->request, "content-length", &length);
    size_t codings = cis_httpd_field(&h->request, "transfer-encoding", &coding);
    if (lengths > 1 || codings > 1 || (lengths != 0 && codings != 0)) {
        return bad(why, "Content-Length or Transfer-Encoding: twice, or both");
    }
    if (codings != 0) {
        if (h->request.old || !cis_httpd_same(coding, "chunked")) {
            return bad(why, "Transfer-Encoding: other than \"chunked\", or in HTTP/1.0");
        }
        h->body = HTTPD_CHUNKED;
        return true;
    }
    if (lengths != 0 && !digits(length, &h->length)) {
        return bad(why, "Content-Length: not a number");
    }
    h->body = h->length != 0 ? HTTPD_LENGTH : HTTPD_NO_BODY;
    return true;
}

static bool good_bytes(struct cis_str text, const char * not )
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= 0x20 || c >= 0x7f || strchr(not, c) != NULL) {
            return false;
        }
    }
    return true;
}

/* RFC 9112 §3.2: a path, or the whole URL, whose host is then the one that Host has to be. */
static bool take_target(struct httpd_head *h, struct cis_httpd_refusal *why)
{
    struct cis_str *target = &h->request.target, host;
    size_t hosts = cis_httpd_field(&h->request, "host", &host);
    if (hosts > 1 || (hosts == 0 && !h->request.old)) {
        return bad(why, "Host: missing, or twice");
    }
    if (!good_bytes(host, "/?#@,\\\"<>") || !good_bytes(*target, "#")) {
        return bad(why, "Host, or the target: a character that cannot be there");
    }
    h->request.host = host;
    if (target->len > 7 && strncasecmp(target->ptr, "http://", 7) == 0) {
        struct cis_str rest = {target->ptr + 7, target->len - 7};
        const char *path = memchr(rest.ptr, '/', rest.len);
        size_t len = path != NULL ? (size_t)(path - rest.ptr) : rest.len;
        if (len != host.len || strncasecmp(rest.ptr, host.ptr, len) != 0) {
            return bad(why, "Host: not the one of the target");
        }
        *target = path != NULL ? (struct cis_str){path, rest.len - len} : CIS_STR("/");
    }
    bool all = cis_str_is(*target, "*") && cis_str_is(h->request.method, "OPTIONS");
    return all || (target->len != 0 && target->ptr[0] == '/') ? true
                                                              : bad(why, "the target: no path");
}

static bool take_rest(struct httpd_head *h, struct cis_httpd_refusal *why)
{
    struct cis_str value;
    h->close = h->request.old;
    h->close = h->close || cis_httpd_has(&h->request, "connection", "close");
    size_t n = cis_httpd_field(&h->request, "expect", &value);
    if (n > 1 || (n == 1 && !cis_httpd_same(value, "100-continue"))) {
        cis_httpd_refuse(why, 417, "Expect: only 100-continue can be had");
        return false;
    }
    h->expects = n == 1 && !h->request.old;
    return true;
}

static struct cis_str text_of(struct cis_head_text text)
{
    return (struct cis_str){text.ptr, text.len};
}

static bool parse(struct cis_bytes in, struct httpd_head *out, struct cis_httpd_refusal *why)
{
    struct cis_head head;
    const char *what = "";
    int status = cis_head_read(in.ptr, in.len, &head, &what);
    if (status == CIS_HEAD_MANY) {
        cis_httpd_refuse(why, 431, "more than %u fields", CIS_HTTPD_FIELDS_MAX);
        return false;
    }
    if (status != CIS_HEAD_WHOLE || head.len != in.len) {
        cis_httpd_refuse(why, 400, "not an HTTP/1 request: %s",
                         status == CIS_HEAD_INVALID ? what : "it ends early");
        return false;
    }
    *out = (struct httpd_head){.len = head.len};
    out->request.method = text_of(head.method);
    out->request.target = text_of(head.target);
    out->request.old = head.minor == 0;
    out->request.nfields = head.nfields;
    for (size_t i = 0; i < head.nfields; i++) {
        out->request.fields[i].key = text_of(head.fields[i].name);
        out->request.fields[i].value = text_of(head.fields[i].value);
    }
    return true;
}

enum httpd_status cis_httpd_head(struct cis_bytes in, size_t *seen, struct httpd_head *out,
                                 struct cis_httpd_refusal *why)
{
    size_t len = 0;
    enum httpd_status status = find_end(in, seen, &len);
    if (status == HTTPD_REFUSED) {
        bad(why, "a line of the head does not end with CR LF");
        return status;
    }
    if (status == HTTPD_PART) {
        if (in.len < CIS_HTTPD_HEAD_MAX) {
            return status;
        }
        len = CIS_HTTPD_HEAD_MAX + 1;
    }
    if (len > CIS_HTTPD_HEAD_MAX) {
        cis_httpd_refuse(why, 431, "a head of more than %zu bytes", CIS_HTTPD_HEAD_MAX);
        return HTTPD_REFUSED;
    }
    bool good = parse(cis_bytes_of(in.ptr, len), out, why) && take_framing(out, why) &&
                take_target(out, why) && take_rest(out, why);
    return good ? HTTPD_WHOLE : HTTPD_REFUSED;
}
