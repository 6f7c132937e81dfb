/* wasi:http/incoming-handler: one request given to a guest, from its judgement to the end of its
 * answer. */
#include "base/mem.h"
#include "policy/header.h"
#include "wasi/p2/incoming.h"

/* ---- the request ---- */

/* What a peer sent and a server handed on is checked again: nothing that ends a line, nothing that
 * frames or belongs to the connection may reach a guest that might pass it on. */
static cis_code check_header(const struct cis_http_header *h, struct cis_error *err)
{
    if (h->name == NULL || h->value == NULL) {
        return cis_fail(err, CIS_E_INVALID, "http: a header without a name or a value");
    }
    struct cis_str name = cis_str_of(h->name), value = cis_str_of(h->value);
    if (!cis_header_token(name)) {
        return cis_fail(err, CIS_E_INVALID, "http: the name of a header is not a token");
    }
    if (!cis_header_value(value)) {
        return cis_fail(err, CIS_E_INVALID,
                        "http: header %.60s: its value contains control characters", h->name);
    }
    if (cis_header_of_host(name) && strcasecmp(h->name, "content-length") != 0) {
        return cis_fail(err, CIS_E_INVALID,
                        "http: header %.60s: only the host sets headers of the connection",
                        h->name);
    }
    return CIS_OK;
}

static cis_code take_headers(struct p2_incoming *c, struct p2_fields *fields, struct cis_error *err)
{
    const struct cis_http_incoming *in = c->in;
    bool full = false;
    for (size_t i = 0; i < in->nheaders; i++) {
        const struct cis_http_header *h = &in->headers[i];
        CIS_TRY(check_header(h, err));
        CIS_TRY(cis_p2_fields_add(c->instance, fields, cis_str_of(h->name), cis_str_of(h->value),
                                  &full, err));
        if (full) {
            return cis_fail(err, CIS_E_LIMIT, "http: more than %u headers, or %u bytes of them",
                            P2_FIELDS_MAX, CIS_HTTP_FIELDS_MAX);
        }
    }
    if (!cis_p2_fields_length(fields, &c->length)) {
        return cis_fail(err, CIS_E_INVALID,
                        "http: content-length is not a number, or there are two");
    }
    if (in->read == NULL && c->length != UINT64_MAX && c->length != in->body_len) {
        return cis_fail(err, CIS_E_INVALID, "http: content-length %llu of a body of %zu bytes",
                        (unsigned long long)c->length, in->body_len);
    }
    return CIS_OK;
}

static struct http_text_option text_of(const char *text)
{
    return (struct http_text_option){text != NULL, cis_str_of(text != NULL ? text : "")};
}

static struct http_case method_of(const char *method)
{
    struct http_case out = {HTTP_METHOD_OTHER, cis_str_of(method)};
    for (uint32_t i = 0; i < HTTP_METHOD_OTHER; i++) {
        out.is = strcmp(method, cis_p2_http_methods[i]) == 0 ? i : out.is;
    }
    return out;
}

static struct http_scheme_option scheme_of(const char *scheme)
{
    struct http_scheme_option out = {.has = scheme != NULL};
    if (scheme != NULL) {
        out.scheme.other = cis_str_of(scheme);
        out.scheme.is = strcasecmp(scheme, "http") == 0    ? HTTP_SCHEME_HTTP
                        : strcasecmp(scheme, "https") == 0 ? HTTP_SCHEME_HTTPS
                                                           : HTTP_SCHEME_OTHER;
    }
    return out;
}

static cis_code take_parts(struct p2_incoming *c, struct p2_message *m, struct cis_error *err)
{
    const struct cis_http_incoming *in = c->in;
    bool good = false;
    const char *what = "method";
    CIS_TRY(cis_p2_message_put_method(c->instance, m, method_of(in->method), &good, err));
    if (good) {
        what = "scheme";
        CIS_TRY(cis_p2_message_put_scheme(c->instance, m, scheme_of(in->scheme), &good, err));
    }
    if (good) {
        what = "authority";
        CIS_TRY(cis_p2_message_put_authority(c->instance, m, text_of(in->authority), &good, err));
    }
    if (good) {
        what = "path";
        CIS_TRY(cis_p2_message_put_path(c->instance, m, text_of(in->path), &good, err));
    }
    return good ? CIS_OK : cis_fail(err, CIS_E_INVALID, "http: not a valid %s", what);
}

static cis_code make_message(struct p2_incoming *c, struct p2_message **out, struct cis_error *err)
{
    struct p2_fields *fields = NULL;
    struct p2_message *m = NULL;
    CIS_TRY(cis_p2_fields_new(c->instance, &fields, err));
    cis_code code = take_headers(c, fields, err);
    if (code != CIS_OK) {
        cis_p2_fields_unref(cis_host_of(c->instance), fields);
        return code;
    }
    CIS_TRY(cis_p2_message_new(c->instance, fields, &m, err));
    code = take_parts(c, m, err);
    if (code != CIS_OK) {
        cis_p2_message_free(cis_host_of(c->instance), m);
        return code;
    }
    m->in = c->asked;
    p2_source_ref(&c->asked->source);
    *out = m;
    return CIS_OK;
}

/* ---- the call ---- */

static cis_code make_arguments(struct p2_incoming *c, cis_vals *vals, struct cis_error *err)
{
    struct p2_message *m = NULL;
    struct p2_thing *thing;
    CIS_TRY(make_message(c, &m, err));
    cis_code code = cis_p2_new(c->instance, P2_IN_REQUEST, P2_NO_PARENT, &c->given[0], &thing, err);
    if (code != CIS_OK) {
        cis_p2_message_free(cis_host_of(c->instance), m);
        return code;
    }
    thing->message = m;
    CIS_TRY(cis_p2_new(c->instance, P2_OUTPARAM, P2_NO_PARENT, &c->given[1], &thing, err));
    thing->offset = c->number;
    CIS_TRY(cis_val_set_own(c->instance, cis_vals_arg(vals, 0), P2_IN_REQUEST, c->given[0], err));
    return cis_val_set_own(c->instance, cis_vals_arg(vals, 1), P2_OUTPARAM, c->given[1], err);
}

/* The guest was not called: what was made for it is nobody's. */
static void take_back(struct p2_incoming *c, cis_vals *vals)
{
    cis_vals_drop(vals);
    for (size_t i = 0; i < 2; i++) {
        if (c->given[i] != 0) {
            (void)cis_p2_drop(c->instance, c->given[i], NULL); /* nothing was made of it */
        }
    }
}

/* The guest has returned: what it wrote and the caller has not taken yet. */
static cis_code drain(struct p2_incoming *c, struct cis_error *err)
{
    struct p2_exchange *x = c->told;
    while (x != NULL && (x->body == NULL || x->body->finished)) {
        struct pollfd fds[2] = {{.fd = -1}};
        size_t ready;
        cis_p2_exchange_look(c->instance, x, false);
        if (c->done || x->fault != CIS_HTTP_FINE) {
            break;
        }
        fds[0] = (struct pollfd){.fd = x->state.fd, .events = POLLOUT};
        CIS_TRY(cis_stop_wait_many(cis_engine_instance_stop(c->instance), fds, 1, x->state.at_ns,
                                   "http answer", &ready, err));
    }
    return CIS_OK;
}

static cis_code call(struct p2_incoming *c, struct cis_str export, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(1024);
    cis_vals *vals = NULL;
    cis_buf_str(&name, export);
    cis_buf_text(&name, "#handle");
    CIS_TRY(cis_buf_check(&name, "export", err));
    CIS_TRY(cis_vals_new(c->instance, 2, &vals, err));
    cis_code code = make_arguments(c, vals, err);
    if (code == CIS_OK) {
        c->inside = true;
        code =
            cis_component_call(c->instance, cis_buf_view(&name), "func(own<?>, own<?>)", vals, err);
        c->inside = false;
    }
    if (code != CIS_OK && cis_engine_instance_end(c->instance)->code == CIS_OK) {
        take_back(c, vals);
    }
    cis_vals_free(vals);
    return code == CIS_OK ? drain(c, err) : code;
}

static void end_exchange(struct p2_incoming *c, struct p2_exchange *x, enum cis_http_fault fault)
{
    if (x != NULL) {
        cis_p2_exchange_fail(x, fault);
        cis_p2_source_busy(c->instance, &x->source, false);
        cis_p2_source_unref(cis_host_of(c->instance), &x->source);
    }
}

static enum cis_http_fault outcome(const struct p2_incoming *c)
{
    if (c->told != NULL && c->done) {
        return CIS_HTTP_FINE;
    }
    enum cis_http_fault fault = c->told != NULL ? c->told->fault : c->error;
    return fault != CIS_HTTP_FINE ? fault : CIS_HTTP_INCOMPLETE;
}

static void done(struct p2_incoming *c)
{
    struct cis_host *host = cis_host_of(c->instance);
    host->wasi_p2->incoming = NULL;
    end_exchange(c, c->asked, CIS_HTTP_TERMINATED);
    end_exchange(c, c->told, CIS_HTTP_INCOMPLETE);
    cis_p2_fields_unref(host, c->fields);
    cis_p2_held_done(&c->held);
}

cis_code cis_wasi_p2_handle(cis_engine_instance *instance, struct cis_str export,
                            const struct cis_http_incoming *request,
                            struct cis_http_answer *out_answer, struct cis_error *err)
{
    struct cis_wasi_p2 *table = NULL;
    struct p2_incoming c = {.instance = instance, .in = request};
    if (request->size < sizeof *request || request->method == NULL ||
        (request->body == NULL && request->body_len != 0) ||
        (request->headers == NULL && request->nheaders != 0)) {
        return cis_fail(
            err, CIS_E_USAGE,
            "http: a request needs its size, a method, and the body and headers that it counts");
    }
    if (cis_engine_instance_recorded(instance)) {
        return cis_fail(err, CIS_E_UNSUPPORTED, "http: incoming requests cannot be recorded");
    }
    if (cis_engine_instance_end(instance)->code != CIS_OK) {
        return cis_fail(err, cis_engine_instance_end(instance)->code, "%s",
                        cis_engine_instance_end(instance)->error.msg);
    }
    CIS_TRY(cis_p2_of(instance, &table, err));
    c.asked = cis_p2_exchange_new(cis_host_of(instance), &cis_p2_asked_service, 0);
    if (c.asked == NULL) {
        return cis_fail(err, CIS_E_LIMIT, "http: the guest keeps too much of earlier requests");
    }
    c.asked->handle = &c;
    c.head_only = strcmp(request->method, "HEAD") == 0;
    c.number = ++table->nrequests;
    table->incoming = &c;
    cis_code code = call(&c, export, err);
    struct cis_http_answer answer = {.size = sizeof answer,
                                     .status = c.told != NULL ? c.status : 0,
                                     .fault = outcome(&c),
                                     .body_in = c.got,
                                     .body_out = c.out};
    memcpy(answer.message, c.message, sizeof answer.message);
    done(&c);
    answer.host_bytes = cis_engine_instance_budget(instance)->used;
    if (code == CIS_OK && out_answer != NULL) {
        *out_answer = answer;
    }
    return code;
}

/* ---- the answer ---- */

static void keep_message(struct p2_incoming *c, const struct http_error *error)
{
    if (c->error == CIS_HTTP_INTERNAL || c->error == CIS_HTTP_TRANSFER_CODING ||
        c->error == CIS_HTTP_CONTENT_CODING) {
        struct cis_str text = error->text.has ? error->text.text : CIS_STR("");
        size_t n = cis_utf8_floor(text.ptr, text.len, sizeof c->message - 1);
        memcpy(c->message, text.ptr, n);
        c->message[n] = 0;
    }
}

/* A 1xx is no answer but a promise of one, and would shift every answer after it. */
static enum cis_http_fault check_answer(struct p2_incoming *c, const struct p2_message *m)
{
    bool bodiless = c->head_only || m->status == 304;
    if (m->status < 200 || !cis_p2_fields_length(m->fields, &c->told_length)) {
        return CIS_HTTP_PROTOCOL;
    }
    if (m->body != NULL && m->body->cut) { /* dropped before it was ended */
        return m->body->fault != CIS_HTTP_FINE ? m->body->fault : CIS_HTTP_INCOMPLETE;
    }
    if (m->body == NULL && !bodiless) {
        bool wrong = c->told_length != UINT64_MAX && c->told_length != 0;
        c->told_length = 0;
        return wrong ? CIS_HTTP_RESPONSE_BODY_SIZE : CIS_HTTP_FINE;
    }
    return CIS_HTTP_FINE;
}

static enum cis_http_fault tell(struct p2_incoming *c, struct p2_message *m)
{
    enum cis_http_fault fault = check_answer(c, m);
    if (fault != CIS_HTTP_FINE) {
        return fault;
    }
    struct p2_exchange *x =
        cis_p2_exchange_new(cis_host_of(c->instance), &cis_p2_told_service, P2_CHUNK);
    if (x == NULL) {
        return CIS_HTTP_INTERNAL;
    }
    c->told = x;
    c->status = m->status;
    c->fields = m->fields;
    c->fields->refs++;
    c->finishing = m->body == NULL;
    x->handle = c;
    x->events = POLLOUT;
    x->body = m->body;
    if (m->body != NULL) {
        p2_source_ref(&m->body->source);
        m->body->x = x;
    }
    cis_p2_exchange_look(c->instance, x, false);
    return CIS_HTTP_FINE;
}

cis_code cis_p2_incoming_answer(cis_engine_instance *instance, uint64_t number,
                                const struct http_made_error *answer, struct cis_error *err)
{
    struct p2_incoming *c = cis_host_of(instance)->wasi_p2->incoming;
    if (c == NULL || c->number != number) { /* of a request that is over: nobody waits for it */
        return CIS_OK;
    }
    c->answered = true;
    if (answer->failed) {
        c->error = (enum cis_http_fault)(answer->error.is + 1);
        keep_message(c, &answer->error);
    } else {
        struct p2_message *m = cis_p2_at(instance, answer->rep)->message;
        CIS_TRY(cis_engine_instance_burn(instance, m->fields->n, err));
        c->error = tell(c, m);
    }
    if (c->error != CIS_HTTP_FINE) {
        cis_p2_incoming_tell_error(c);
    }
    return cis_engine_instance_end(instance)->code;
}
