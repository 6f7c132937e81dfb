/* wasi:http/types: what comes back: the future of a response, the response, its body, its trailers.
 */
#include "wasi/p2/http.h"

#include "base/clock.h"
#include "base/mem.h"
#include "policy/header.h"

#define DISCARD (1u << 20) /* of a body that nobody reads, in one go */

static struct p2_exchange *exchange_at(cis_engine_instance *instance, uint32_t rep)
{
    return (struct p2_exchange *)cis_p2_at(instance, rep)->source;
}

/* ---- fields of the peer ---- */

struct collect {
    cis_engine_instance *instance;
    struct p2_fields *fields;
    struct cis_error *err;
    cis_code code;
};

/* What is about the connection is the host's business; how long the body is, everybody's. */
static cis_code collect_one(void *self, const char *name, const char *value)
{
    struct collect *c = self;
    bool full;
    struct cis_str text = cis_str_of(name);
    if (cis_header_of_host(text) && strcasecmp(name, "content-length") != 0) {
        return CIS_OK;
    }
    c->code = cis_p2_fields_add(c->instance, c->fields, text, cis_str_of(value), &full, c->err);
    return c->code == CIS_OK && full ? CIS_E_LIMIT : c->code;
}

/* *out NULL: more of them than a set may have. */
static cis_code fields_of(cis_engine_instance *instance, const struct p2_exchange *x, bool trailers,
                          struct p2_fields **out, struct cis_error *err)
{
    struct collect c = {.instance = instance, .err = err};
    CIS_TRY(cis_p2_fields_new(instance, &c.fields, err));
    bool all = x->http->fields(x->http->self, x->handle, trailers, collect_one, &c) == CIS_OK;
    c.fields->immutable = true;
    *out = c.fields;
    if (c.code != CIS_OK || !all) {
        cis_p2_fields_unref(cis_host_of(instance), c.fields);
        *out = NULL;
    }
    return c.code;
}

/* ---- the future of a response ---- */

cis_code cis_p2_future_response_get(cis_engine_instance *instance, const void *args, void *result,
                                    struct cis_error *err)
{
    struct p2_exchange *x = exchange_at(instance, *(const uint32_t *)args);
    struct http_got_response *r = result;
    if (!x->answered) {
        cis_p2_exchange_look(instance, x, true);
    }
    bool headers = x->state.status != 0 && x->handle != NULL;
    r->has = x->answered || headers || x->fault != CIS_HTTP_FINE;
    r->outer.failed = x->answered;
    if (!r->has || x->answered) {
        return CIS_OK;
    }
    x->answered = true;
    if (headers) { /* even if the exchange has failed since: then its body says so */
        CIS_TRY(fields_of(instance, x, false, &x->headers, err));
        if (x->headers == NULL) {
            cis_p2_exchange_fail(x, CIS_HTTP_RESPONSE_HEADERS_SIZE);
        }
    }
    r->outer.inner.failed = x->headers == NULL;
    if (r->outer.inner.failed) {
        cis_p2_http_error(&r->outer.inner.error, x->fault);
        cis_p2_exchange_leave(x);
        return CIS_OK;
    }
    return cis_p2_new_over(instance, P2_IN_RESPONSE, P2_NO_PARENT, &x->source, P2_STATE,
                           &r->outer.inner.rep, err);
}

cis_code cis_p2_future_subscribe(cis_engine_instance *instance, const struct cis_typed *args,
                                 struct cis_answer *out, struct cis_error *err)
{
    return cis_p2_give_pollable(instance, args[0].n, P2_STATE, out, err);
}

/* ---- the response ---- */

cis_code cis_p2_in_response_status(cis_engine_instance *instance, const void *args, void *result,
                                   struct cis_error *err)
{
    (void)err;
    *(uint16_t *)result = exchange_at(instance, *(const uint32_t *)args)->state.status;
    return CIS_OK;
}

cis_code cis_p2_in_response_headers(cis_engine_instance *instance, const void *args, void *result,
                                    struct cis_error *err)
{
    uint32_t self = *(const uint32_t *)args;
    struct p2_fields *fields = exchange_at(instance, self)->headers;
    fields->refs++;
    return cis_p2_fields_give(instance, fields, self, result, err);
}

cis_code cis_p2_in_response_consume(cis_engine_instance *instance, const void *args, void *result,
                                    struct cis_error *err)
{
    struct p2_exchange *x = exchange_at(instance, *(const uint32_t *)args);
    struct http_made *r = result;
    r->failed = x->consumed;
    if (r->failed) {
        return CIS_OK;
    }
    x->consumed = true;
    return cis_p2_new_over(instance, P2_IN_BODY, P2_NO_PARENT, &x->source, P2_READS, &r->rep, err);
}

/* ---- its body ---- */

cis_code cis_p2_in_body_stream(cis_engine_instance *instance, const void *args, void *result,
                               struct cis_error *err)
{
    uint32_t self = *(const uint32_t *)args;
    struct p2_exchange *x = exchange_at(instance, self);
    struct http_made *r = result;
    r->failed = x->streamed;
    if (r->failed) {
        return CIS_OK;
    }
    x->streamed = true;
    return cis_p2_new_over(instance, P2_INPUT, self, &x->source, P2_READS, &r->rep, err);
}

/* ---- its trailers: ready when all of the body is gone, which is thrown away: its stream, a child
 * of the body, is gone ---- */

struct late {
    struct p2_source source;
    struct p2_exchange *x;
};

static bool late_is_ready(const struct late *late)
{
    const struct p2_exchange *x = late->x;
    return x->fault != CIS_HTTP_FINE || x->handle == NULL || x->state.ended;
}

static void discard(cis_engine_instance *instance, struct p2_exchange *x)
{
    uint8_t block[4096];
    cis_p2_exchange_rest_done(x);
    cis_p2_exchange_look(instance, x, true);
    for (size_t n = 0; n < DISCARD && x->handle != NULL && x->state.readable && !x->state.ended;) {
        size_t got = cis_p2_exchange_take(x, block, sizeof block);
        n += got != 0 ? got : DISCARD;
        cis_p2_exchange_look(instance, x, true);
    }
}

static void late_wish(struct p2_source *self, enum p2_way way, struct p2_wish *out)
{
    const struct late *late = (const struct late *)self;
    (void)way;
    if (late_is_ready(late)) {
        return;
    }
    if (late->x->state.readable) {
        out->at_ns = 1; /* there is something to throw away */
        return;
    }
    cis_p2_exchange_ops.wish(&late->x->source, P2_WRITES, out);
}

static bool late_ready(cis_engine_instance *instance, struct p2_source *self, enum p2_way way)
{
    const struct late *late = (const struct late *)self;
    (void)way;
    discard(instance, late->x);
    return late_is_ready(late);
}

static void late_free(struct cis_host *host, struct p2_source *self)
{
    cis_p2_source_unref(host, &((struct late *)self)->x->source);
    cis_budget_release(&host->budget, sizeof(struct late));
    cis_free(self);
}

static const struct p2_source_ops late_ops = {
    .wish = late_wish, .ready = late_ready, .free = late_free};

cis_code cis_p2_in_body_finish(cis_engine_instance *instance, const void *args, void *result,
                               struct cis_error *err)
{
    uint32_t self = *(const uint32_t *)args;
    CIS_TRY(cis_p2_alone(instance, self, err)); /* its stream */
    struct p2_exchange *x = exchange_at(instance, self);
    CIS_TRY(cis_p2_http_charge(instance, sizeof(struct late), err));
    struct late *late = cis_zalloc(sizeof *late);
    if (late == NULL) {
        cis_budget_release(cis_engine_instance_budget(instance), sizeof *late);
        return cis_fail(err, CIS_E_NOMEM, "http: out of memory");
    }
    p2_source_init(&late->source, &late_ops);
    late->x = x;
    p2_source_ref(&x->source);
    cis_code code = cis_p2_new_over(instance, P2_FUTURE_TRAILERS, P2_NO_PARENT, &late->source,
                                    P2_STATE, result, err);
    cis_p2_source_unref(cis_host_of(instance), &late->source);
    return code == CIS_OK ? cis_p2_drop(instance, self, err) : code;
}

cis_code cis_p2_future_trailers_get(cis_engine_instance *instance, const void *args, void *result,
                                    struct cis_error *err)
{
    struct late *late = (struct late *)cis_p2_at(instance, *(const uint32_t *)args)->source;
    struct p2_exchange *x = late->x;
    struct http_got_trailers *r = result;
    struct p2_fields *fields = NULL;
    r->has = late_ready(instance, &late->source, P2_STATE);
    r->outer.failed = x->late;
    if (!r->has || x->late) {
        return CIS_OK;
    }
    x->late = true;
    if (x->fault == CIS_HTTP_FINE && x->handle == NULL) {
        return CIS_OK; /* it left, so there are none */
    }
    if (x->fault == CIS_HTTP_FINE) {
        CIS_TRY(fields_of(instance, x, true, &fields, err));
    }
    if (fields == NULL) {
        r->outer.inner.failed = true;
        cis_p2_http_error(&r->outer.inner.error,
                          x->fault != CIS_HTTP_FINE ? x->fault : CIS_HTTP_RESPONSE_TRAILERS_SIZE);
        return CIS_OK;
    }
    if (fields->n == 0) {
        cis_p2_fields_unref(cis_host_of(instance), fields);
        return CIS_OK;
    }
    r->outer.inner.trailers.has = true;
    return cis_p2_fields_give(instance, fields, P2_NO_PARENT, &r->outer.inner.trailers.rep, err);
}
