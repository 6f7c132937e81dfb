/* wasi:http/types: requests and responses that are put together, and a request's options. */
#include "wasi/p2/http.h"

#include <strings.h>
#include "base/mem.h"
#include "policy/header.h"
#include "policy/net.h"

#define TEXT_MAX 8192u /* of a path, an authority, a name */

const char *const cis_p2_http_methods[HTTP_METHOD_OTHER] = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};

static struct p2_message *message_at(cis_engine_instance *instance, uint32_t rep)
{
    return cis_p2_at(instance, rep)->message;
}

void cis_p2_message_free(struct cis_host *host, struct p2_message *m)
{
    if (m == NULL) {
        return;
    }
    if (m->body != NULL) {
        if (m->body->x == NULL) {
            cis_p2_out_body_cut(m->body);
        }
        cis_p2_source_unref(host, &m->body->source);
    }
    cis_p2_source_unref(host, m->in != NULL ? &m->in->source : NULL);
    cis_p2_fields_unref(host, m->fields);
    cis_free((char *)(uintptr_t)m->method.other.ptr);
    cis_free((char *)(uintptr_t)m->scheme.scheme.other.ptr);
    cis_free(m->authority);
    cis_free(m->path);
    cis_budget_release(&host->budget, m->charged);
    cis_free(m);
}

/* The headers cannot be changed from here on. */
cis_code cis_p2_message_new(cis_engine_instance *instance, struct p2_fields *fields,
                            struct p2_message **out, struct cis_error *err)
{
    cis_code code = cis_p2_http_charge(instance, sizeof **out, err);
    struct p2_message *m = code == CIS_OK ? cis_zalloc(sizeof *m) : NULL;
    if (m == NULL) {
        cis_budget_release(cis_engine_instance_budget(instance), code == CIS_OK ? sizeof *m : 0);
        cis_p2_fields_unref(cis_host_of(instance), fields);
        return code != CIS_OK ? code : cis_fail(err, CIS_E_NOMEM, "http: out of memory");
    }
    m->charged = sizeof *m;
    m->status = 200;
    m->fields = fields;
    fields->immutable = true;
    *out = m;
    return CIS_OK;
}

/* A message with the headers that an owned handle names. */
static cis_code message_new(cis_engine_instance *instance, enum p2_kind kind, uint32_t fields,
                            uint32_t *out_rep, struct cis_error *err)
{
    struct p2_thing *thing;
    struct p2_message *m = NULL;
    struct p2_fields *taken = NULL;
    CIS_TRY(cis_p2_fields_take(instance, fields, &taken, err));
    CIS_TRY(cis_p2_message_new(instance, taken, &m, err));
    cis_code code = cis_p2_new(instance, kind, P2_NO_PARENT, out_rep, &thing, err);
    if (code != CIS_OK) {
        cis_p2_message_free(cis_host_of(instance), m);
        return code;
    }
    thing->message = m;
    return CIS_OK;
}

cis_code cis_p2_out_request_constructor(cis_engine_instance *instance, const void *args,
                                        void *result, struct cis_error *err)
{
    return message_new(instance, P2_OUT_REQUEST, *(const uint32_t *)args, result, err);
}

cis_code cis_p2_out_response_constructor(cis_engine_instance *instance, const void *args,
                                         void *result, struct cis_error *err)
{
    return message_new(instance, P2_OUT_RESPONSE, *(const uint32_t *)args, result, err);
}

cis_code cis_p2_message_headers(cis_engine_instance *instance, const void *args, void *result,
                                struct cis_error *err)
{
    uint32_t self = *(const uint32_t *)args;
    struct p2_fields *fields = message_at(instance, self)->fields;
    fields->refs++;
    return cis_p2_fields_give(instance, fields, self, result, err);
}

cis_code cis_p2_message_body(cis_engine_instance *instance, const void *args, void *result,
                             struct cis_error *err)
{
    const struct p2_thing *thing = cis_p2_at(instance, *(const uint32_t *)args);
    struct p2_message *m = thing->message;
    bool answers = thing->kind == P2_OUT_RESPONSE;
    struct http_made *r = result;
    uint64_t length;
    r->failed = m->body != NULL || !cis_p2_fields_length(m->fields, &length);
    if (r->failed) {
        return CIS_OK;
    }
    CIS_TRY(cis_p2_out_body_new(instance, length, answers, &m->body, err));
    return cis_p2_new_over(instance, P2_OUT_BODY, P2_NO_PARENT, &m->body->source, P2_WRITES,
                           &r->rep, err);
}

/* ---- texts ---- */

/* *slot becomes a copy of the text, or NULL. */
static cis_code set_text(cis_engine_instance *instance, struct p2_message *m, char **slot, bool has,
                         struct cis_str text, struct cis_error *err)
{
    char *copy = NULL;
    uint64_t old = *slot != NULL ? strlen(*slot) + 1 : 0;
    if (has) {
        CIS_TRY(cis_p2_http_charge(instance, text.len + 1, err));
        copy = cis_strndup(text.ptr, text.len);
        if (copy == NULL) {
            cis_budget_release(cis_engine_instance_budget(instance), text.len + 1);
            return cis_fail(err, CIS_E_NOMEM, "http: out of memory");
        }
        m->charged += text.len + 1;
    }
    m->charged -= old;
    cis_budget_release(cis_engine_instance_budget(instance), old);
    cis_free(*slot);
    *slot = copy;
    return CIS_OK;
}

/* A case and, for the last, its text. */
static cis_code set_case(cis_engine_instance *instance, struct p2_message *m,
                         struct http_case *slot, struct http_case to, bool other,
                         struct cis_error *err)
{
    char *text = (char *)(uintptr_t)slot->other.ptr;
    CIS_TRY(set_text(instance, m, &text, other, to.other, err));
    slot->is = to.is;
    slot->other = (struct cis_str){text, text != NULL ? to.other.len : 0};
    return CIS_OK;
}

cis_code cis_p2_message_method(cis_engine_instance *instance, const void *args, void *result,
                               struct cis_error *err)
{
    (void)err;
    *(struct http_case *)result = message_at(instance, *(const uint32_t *)args)->method;
    return CIS_OK;
}

cis_code cis_p2_message_put_method(cis_engine_instance *instance, struct p2_message *m,
                                   struct http_case method, bool *out_good, struct cis_error *err)
{
    bool other = method.is == HTTP_METHOD_OTHER;
    *out_good = !other || (method.other.len <= 64 && cis_header_token(method.other));
    return *out_good ? set_case(instance, m, &m->method, method, other, err) : CIS_OK;
}

cis_code cis_p2_message_set_method(cis_engine_instance *instance, const void *args, void *result,
                                   struct cis_error *err)
{
    const struct http_set_method *a = args;
    struct http_done *r = result;
    bool good = false;
    CIS_TRY(
        cis_p2_message_put_method(instance, message_at(instance, a->self), a->method, &good, err));
    r->failed = !good;
    return CIS_OK;
}

const char *cis_p2_message_method_name(const struct p2_message *m)
{
    return m->method.is < HTTP_METHOD_OTHER ? cis_p2_http_methods[m->method.is]
                                            : m->method.other.ptr;
}

cis_code cis_p2_message_scheme(cis_engine_instance *instance, const void *args, void *result,
                               struct cis_error *err)
{
    (void)err;
    *(struct http_scheme_option *)result = message_at(instance, *(const uint32_t *)args)->scheme;
    return CIS_OK;
}

/* RFC 3986 §3.1 */
static bool is_scheme(struct cis_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'))) {
            return false;
        }
    }
    return text.len > 0 && text.len <= 64;
}

cis_code cis_p2_message_put_scheme(cis_engine_instance *instance, struct p2_message *m,
                                   struct http_scheme_option scheme, bool *out_good,
                                   struct cis_error *err)
{
    bool other = scheme.has && scheme.scheme.is == HTTP_SCHEME_OTHER;
    *out_good = !other || is_scheme(scheme.scheme.other);
    if (!*out_good) {
        return CIS_OK;
    }
    m->scheme.has = scheme.has;
    return set_case(instance, m, &m->scheme.scheme, scheme.scheme, other, err);
}

cis_code cis_p2_message_set_scheme(cis_engine_instance *instance, const void *args, void *result,
                                   struct cis_error *err)
{
    const struct http_set_scheme *a = args;
    struct http_done *r = result;
    bool good = false;
    CIS_TRY(
        cis_p2_message_put_scheme(instance, message_at(instance, a->self), a->scheme, &good, err));
    r->failed = !good;
    return CIS_OK;
}

static cis_code give_text(const char *text, void *result)
{
    struct http_text_option *r = result;
    r->has = text != NULL;
    r->text = cis_str_of(text != NULL ? text : "");
    return CIS_OK;
}

cis_code cis_p2_message_authority(cis_engine_instance *instance, const void *args, void *result,
                                  struct cis_error *err)
{
    (void)err;
    return give_text(message_at(instance, *(const uint32_t *)args)->authority, result);
}

cis_code cis_p2_message_path(cis_engine_instance *instance, const void *args, void *result,
                             struct cis_error *err)
{
    (void)err;
    return give_text(message_at(instance, *(const uint32_t *)args)->path, result);
}

/* What the URL is made of is read by the same parser as the URL: nothing of one part may turn into
 * another. */
static bool is_authority(struct cis_str text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf url = CIS_BUF_INIT(TEXT_MAX + 16);
    CIS_CLEANUP(cis_url_done) struct cis_url parsed = {0};
    for (size_t i = 0; i < text.len; i++) {
        if (strchr("/?#@\\", text.ptr[i]) != NULL) { /* a NUL as well */
            return false;
        }
    }
    if (!cis_utf8_valid(text.ptr, text.len)) {
        return false;
    }
    cis_buf_text(&url, "http://");
    cis_buf_str(&url, text);
    cis_buf_byte(&url, '/');
    return text.len <= TEXT_MAX && cis_buf_check(&url, "authority", NULL) == CIS_OK &&
           cis_url_parse(cis_buf_view(&url), &parsed, NULL) == CIS_OK;
}

/* In origin form: a path or a query. What begins otherwise could name another host. It is text for
 * guests: a peer's that is not UTF-8 is none. */
static bool is_path(struct cis_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= 0x20 || c == 0x7f || c == '#' || c == '\\') {
            return false;
        }
    }
    return text.len <= TEXT_MAX && cis_utf8_valid(text.ptr, text.len) &&
           (text.len == 0 || text.ptr[0] == '/' || text.ptr[0] == '?');
}

#define TEXT(part)                                                                                 \
    cis_code cis_p2_message_put_##part(cis_engine_instance *instance, struct p2_message *m,        \
                                       struct http_text_option text, bool *out_good,               \
                                       struct cis_error *err)                                      \
    {                                                                                              \
        *out_good = !text.has || is_##part(text.text);                                             \
        return *out_good ? set_text(instance, m, &m->part, text.has, text.text, err) : CIS_OK;     \
    }                                                                                              \
    cis_code cis_p2_message_set_##part(cis_engine_instance *instance, const void *args,            \
                                       void *result, struct cis_error *err)                        \
    {                                                                                              \
        const struct http_set_text *a = args;                                                      \
        struct http_done *r = result;                                                              \
        bool good = false;                                                                         \
        CIS_TRY(cis_p2_message_put_##part(instance, message_at(instance, a->self), a->text, &good, \
                                          err));                                                   \
        r->failed = !good;                                                                         \
        return CIS_OK;                                                                             \
    }
TEXT(authority)
TEXT(path)

/* ---- what only one kind has ---- */

cis_code cis_p2_in_request_consume(cis_engine_instance *instance, const void *args, void *result,
                                   struct cis_error *err)
{
    struct p2_message *m = message_at(instance, *(const uint32_t *)args);
    struct http_made *r = result;
    r->failed = m->in == NULL || m->in->consumed;
    if (r->failed) {
        return CIS_OK;
    }
    m->in->consumed = true;
    return cis_p2_new_over(instance, P2_IN_BODY, P2_NO_PARENT, &m->in->source, P2_READS, &r->rep,
                           err);
}

cis_code cis_p2_out_response_status(cis_engine_instance *instance, const void *args, void *result,
                                    struct cis_error *err)
{
    (void)err;
    *(uint16_t *)result = message_at(instance, *(const uint32_t *)args)->status;
    return CIS_OK;
}

cis_code cis_p2_out_response_set_status(cis_engine_instance *instance, const void *args,
                                        void *result, struct cis_error *err)
{
    const struct http_set_status *a = args;
    struct http_done *r = result;
    (void)err;
    r->failed = a->status < 100 || a->status > 999;
    if (!r->failed) {
        message_at(instance, a->self)->status = a->status;
    }
    return CIS_OK;
}

cis_code cis_p2_outparam_set(cis_engine_instance *instance, const void *args, void *result,
                             struct cis_error *err)
{
    const struct http_outparam *a = args;
    uint64_t number = cis_p2_at(instance, a->self)->offset;
    (void)result;
    if (!a->response.failed) { /* before anybody is answered */
        CIS_TRY(cis_p2_alone(instance, a->response.rep, err));
    }
    CIS_TRY(cis_p2_drop(instance, a->self, err));
    cis_code code = cis_p2_incoming_answer(instance, number, &a->response, err);
    if (!a->response.failed && code == CIS_OK) {
        code = cis_p2_drop(instance, a->response.rep,
                           err); /* what was answered with is taken from it */
    }
    return code;
}

/* ---- options ---- */

cis_code cis_p2_options_constructor(cis_engine_instance *instance, const struct cis_typed *args,
                                    struct cis_answer *out, struct cis_error *err)
{
    (void)args;
    struct p2_thing *thing;
    struct p2_http_options *options = cis_zalloc(sizeof *options);
    if (options == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "http: out of memory");
    }
    cis_code code = cis_p2_give(instance, P2_REQUEST_OPTIONS, P2_NO_PARENT, out, &thing, err);
    if (code != CIS_OK) {
        cis_free(options);
        return code;
    }
    thing->options = options;
    return CIS_OK;
}

#define TIME(name, member)                                                                         \
    cis_code cis_p2_options_##name(cis_engine_instance *instance, const void *args, void *result,  \
                                   struct cis_error *err)                                          \
    {                                                                                              \
        (void)err;                                                                                 \
        *(struct http_time_option *)result =                                                       \
            cis_p2_at(instance, *(const uint32_t *)args)->options->member;                         \
        return CIS_OK;                                                                             \
    }                                                                                              \
    cis_code cis_p2_options_set_##name(cis_engine_instance *instance, const void *args,            \
                                       void *result, struct cis_error *err)                        \
    {                                                                                              \
        (void)err, (void)result;                                                                   \
        const struct http_set_time *a = args;                                                      \
        cis_p2_at(instance, a->self)->options->member = a->time;                                   \
        return CIS_OK;                                                                             \
    }
TIME(connect, connect)
TIME(first_byte, first_byte)
TIME(between, between)
