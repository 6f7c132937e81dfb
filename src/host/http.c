/* HTTP requests of a run: origin checked, headers read, response collected under the run's caps. */
#include "host/internal.h"

#include <jansson.h>
#include <strings.h>
#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "policy/header.h"
#include "policy/net.h"

#define BODY_DEFAULT (16u << 20)

struct headers {
    json_t *json; /* owns the text of list */
    struct cis_http_header *list;
    size_t n;
};

static void headers_done(struct headers *headers)
{
    json_decref(headers->json);
    cis_free(headers->list);
}

static cis_code header_add(struct headers *headers, const char *name, const json_t *value,
                           struct cis_error *err)
{
    const char *text = json_string_value(value);
    if (text == NULL) {
        return cis_fail(err, CIS_E_USAGE, "http header %s: the value is not a string", name);
    }
    if (strlen(text) != json_string_length(value) || strpbrk(text, "\r\n") != NULL) {
        return cis_fail(err, CIS_E_USAGE, "http header %s: its value contains a control character",
                        name);
    }
    if (cis_header_of_host(cis_str_of(name))) {
        return CIS_OK;
    }
    if (headers->n == CIS_HOST_HTTP_HEADERS_MAX) {
        return cis_fail(err, CIS_E_USAGE, "http: more than %u headers", CIS_HOST_HTTP_HEADERS_MAX);
    }
    headers->list[headers->n++] = (struct cis_http_header){name, text};
    return CIS_OK;
}

static cis_code headers_read(struct cis_str text, struct headers *out, struct cis_error *err)
{
    if (cis_str_trim(text).len == 0) {
        return CIS_OK;
    }
    if (text.len > CIS_HOST_HTTP_HEADERS_BYTES) {
        return cis_fail(err, CIS_E_USAGE, "http headers: larger than %u bytes",
                        CIS_HOST_HTTP_HEADERS_BYTES);
    }
    /* The parser calls itself for each level, on the stack of a guest's host call. */
    if (!cis_json_valid(text.ptr, text.len, NULL)) {
        return cis_fail(err, CIS_E_USAGE, "http headers: not a JSON object");
    }
    json_error_t at;
    out->json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &at);
    if (!json_is_object(out->json)) {
        return cis_fail(err, CIS_E_USAGE, "http headers: not a JSON object");
    }
    out->list = cis_calloc(CIS_HOST_HTTP_HEADERS_MAX, sizeof *out->list);
    if (out->list == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "http headers: out of memory");
    }
    const char *name;
    json_t *value;
    json_object_foreach(out->json, name, value)
    {
        if (!cis_header_token(cis_str_of(name))) {
            return cis_fail(err, CIS_E_USAGE, "http headers: \"%s\" is not a valid header name",
                            name);
        }
        if (!json_is_array(value)) {
            CIS_TRY(header_add(out, name, value, err));
            continue;
        }
        for (size_t i = 0; i < json_array_size(value); i++) {
            CIS_TRY(header_add(out, name, json_array_get(value, i), err));
        }
    }
    return CIS_OK;
}

/* ---- the response ---- */
struct response {
    struct cis_host_sink body;
    struct cis_buf names; /* "name\0value\0" one after the other */
};

static void response_done(struct response *r)
{
    cis_host_sink_done(&r->body);
    cis_buf_done(&r->names);
}

static cis_code take_header(void *self, const char *name, const char *value)
{
    struct response *r = self;
    for (const char *p = name; *p != 0; p++) {
        cis_buf_byte(&r->names, (uint8_t)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p));
    }
    cis_buf_byte(&r->names, 0);
    cis_buf_add(&r->names, value, strlen(value) + 1);
    return r->names.failed;
}

static const char *next(const char *p)
{
    return p + strlen(p) + 1;
}

static bool seen_before(const char *start, const char *name)
{
    for (const char *p = start; p < name; p = next(next(p))) {
        if (strcmp(p, name) == 0) {
            return true;
        }
    }
    return false;
}

/* {"name":"value"}; at most a few hundred headers, so comparing each with each is fine. */
static void headers_write(const struct cis_buf *names, struct cis_buf *out)
{
    const char *start = cis_buf_cstr(names), *end = start + names->len;
    CIS_CLEANUP(cis_buf_done) struct cis_buf joined = CIS_BUF_INIT(names->len + names->len);
    cis_buf_byte(out, '{');
    for (const char *name = start; name < end; name = next(next(name))) {
        if (seen_before(start, name)) {
            continue;
        }
        cis_buf_reset(&joined);
        cis_buf_text(&joined, next(name));
        for (const char *p = next(next(name)); p < end; p = next(next(p))) {
            if (strcmp(p, name) == 0) {
                cis_buf_text(&joined, ", ");
                cis_buf_text(&joined, next(p));
            }
        }
        cis_json_write(out, CIS_JSON(CIS_J(name, cis_buf_view(&joined))));
    }
    cis_buf_byte(out, '}');
}

static cis_code method_check(struct cis_str method, char out[8], struct cis_error *err)
{
    static const char *const known[] = {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (method.len == strlen(known[i]) && strncasecmp(method.ptr, known[i], method.len) == 0) {
            memcpy(out, known[i], method.len + 1);
            return CIS_OK;
        }
    }
    return cis_fail(err, CIS_E_UNSUPPORTED,
                    "http: method " CIS_STR_FMT " is not one of GET, POST, "
                    "PUT, DELETE, PATCH, HEAD",
                    (int)(method.len > 16 ? 16 : method.len), method.ptr);
}

static cis_code check(struct cis_host *host, cis_engine_instance *instance, struct cis_str text,
                      struct cis_error *err)
{
    CIS_CLEANUP(cis_url_done) struct cis_url url = {0};
    CIS_TRY(cis_url_parse(text, &url, err));
    if (cis_policy_origin_allowed(&host->grants, &url)) {
        return CIS_OK;
    }
    cis_host_refused(instance, CIS_GRANT_HTTP);
    return cis_fail(err, CIS_E_DENIED, "http: %s://%s:%u is not granted (--allow http=%s://%s:%u)",
                    url.scheme, url.host, url.port, url.scheme, url.host, url.port);
}

cis_code cis_host_http(struct cis_host *host, cis_engine_instance *instance,
                       struct cis_host_exchange *x, struct cis_error *err)
{
    char verb[8];
    struct cis_buf *out_body = x->answer;
    CIS_TRY(method_check(x->method, verb, err));
    CIS_TRY(check(host, instance, x->url, err));
    const struct cis_http_service *service = host->services.http;
    if (service == NULL || service->send == NULL) {
        return cis_fail(err, CIS_E_PROVIDER, "http: this host has no HTTP service");
    }
    CIS_CLEANUP(headers_done) struct headers given = {0};
    CIS_TRY(headers_read(x->headers, &given, err));
    CIS_CLEANUP(cis_freep) char *address = cis_strndup(x->url.ptr, x->url.len);
    if (address == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "http: out of memory");
    }
    struct cis_http_request request = {.size = sizeof request,
                                       .method = verb,
                                       .url = address,
                                       .headers = given.list,
                                       .nheaders = given.n,
                                       .body = x->body.ptr,
                                       .body_len = x->body.len,
                                       .body_max = host->http_body_max != 0 ? host->http_body_max
                                                                            : BODY_DEFAULT,
                                       .redirects_max = CIS_HOST_HTTP_REDIRECTS,
                                       .grants = &host->grants};
    if (request.body_max > out_body->max - out_body->len) {
        request.body_max = out_body->max - out_body->len;
    }
    CIS_CLEANUP(response_done)
    struct response got = {.body = {.host = host, .buf = out_body, .what = "http response"},
                           .names = CIS_BUF_INIT(2u * CIS_HOST_HTTP_HEADERS_BYTES)};
    got.body.err = &got.body.own;
    struct cis_http_response response = {.size = sizeof response,
                                         .self = &got,
                                         .header = take_header,
                                         .body = {&got.body, cis_host_sink_write}};
    size_t before = out_body->len;
    host->http_calls++;
    host->http_bytes_out += x->body.len;
    cis_host_block(instance);
    struct cis_error why = {0};
    cis_code code = cis_error_foreign(
        &why, service->send(service->self, &host->call, &request, &response, &why), "http");
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    cis_code back = cis_host_unblock(instance, code == CIS_OK ? err : NULL);
    host->http_bytes_in += out_body->len - before;
    if (got.body.code != CIS_OK) {
        return cis_fail(err, got.body.code, "%s", got.body.own.msg);
    }
    if (code == CIS_E_DENIED) { /* the address behind the name, or a redirect */
        cis_host_refused(instance, CIS_GRANT_HTTP);
    }
    CIS_TRY(code);
    CIS_TRY(back);
    CIS_TRY(cis_buf_check(&got.names, "http response headers", err));
    headers_write(&got.names, x->names);
    CIS_TRY(cis_buf_check(x->names, "http response headers", err));
    x->status = response.status;
    return CIS_OK;
}
