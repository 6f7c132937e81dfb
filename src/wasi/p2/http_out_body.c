/* wasi:http/types: bodies that are written. A body may be written before its request is sent: as
 * much as one write takes waits here, and goes to the exchange once there is one. */
#include "wasi/p2/http.h"

#include <errno.h>
#include <poll.h>
#include "base/clock.h"
#include "base/mem.h"
#include "policy/header.h"

cis_code cis_p2_out_body_new(cis_engine_instance *instance, uint64_t length, bool answers,
                             struct p2_out_body **out, struct cis_error *err)
{
    uint64_t cost = sizeof **out + P2_CHUNK;
    CIS_TRY(cis_p2_http_charge(instance, cost, err));
    struct p2_out_body *b = cis_zalloc(sizeof *b);
    if (b == NULL) {
        cis_budget_release(cis_engine_instance_budget(instance), cost);
        return cis_fail(err, CIS_E_NOMEM, "http: out of memory");
    }
    p2_source_init(&b->source, &cis_p2_out_body_ops);
    b->length = length;
    b->answers = answers;
    b->charged = cost;
    *out = b;
    return CIS_OK;
}

static void body_free(struct cis_host *host, struct p2_source *source)
{
    struct p2_out_body *b = (struct p2_out_body *)source; /* its exchange is gone: it held it */
    cis_p2_fields_unref(host, b->trailers);
    cis_budget_release(&host->budget, b->charged);
    cis_p2_held_done(&b->held);
    cis_free(b);
}

static enum cis_http_fault size_fault(const struct p2_out_body *b)
{
    return b->answers ? CIS_HTTP_RESPONSE_BODY_SIZE : CIS_HTTP_REQUEST_BODY_SIZE;
}

/* Nothing more will come of it; an exchange that waits for the rest cannot go on. */
void cis_p2_out_body_cut(struct p2_out_body *b)
{
    struct p2_exchange *x = b->x;
    b->cut = true;
    if (x != NULL && !b->finished && !x->state.closed) {
        enum cis_http_fault cut = b->answers ? CIS_HTTP_INCOMPLETE : CIS_HTTP_PROTOCOL;
        cis_p2_exchange_fail(x, b->fault != CIS_HTTP_FINE ? b->fault : cut);
    }
}

/* ---- the end ---- */

static enum cis_http_fault tell_end(struct p2_out_body *b)
{
    struct p2_exchange *x = b->x;
    size_t n = b->trailers != NULL ? b->trailers->n : 0;
    struct cis_http_header *list = n != 0 ? cis_calloc(n, sizeof *list) : NULL;
    b->told = true;
    if (n != 0 && list == NULL) {
        return CIS_HTTP_INTERNAL;
    }
    for (size_t i = 0; i < n; i++) {
        list[i] = (struct cis_http_header){b->trailers->at[i].name, b->trailers->at[i].value};
    }
    enum cis_http_fault fault = CIS_HTTP_FINE;
    cis_code code = x->http->finish(x->http->self, x->handle, list, n, &fault);
    cis_free(list);
    return code == CIS_OK           ? CIS_HTTP_FINE
           : fault != CIS_HTTP_FINE ? cis_p2_http_fault(fault)
                                    : CIS_HTTP_INTERNAL;
}

/* No more than the exchange has room for. */
static void pass(struct p2_out_body *b, struct cis_bytes data)
{
    struct p2_exchange *x = b->x;
    x->http->write(x->http->self, x->handle, data.ptr, data.len);
    x->state.room -= data.len;
    x->state.flushed = false;
}

void cis_p2_out_body_push(struct p2_out_body *b)
{
    struct p2_exchange *x = b->x;
    if (x == NULL || x->handle == NULL || x->fault != CIS_HTTP_FINE) {
        return;
    }
    size_t n = b->held.len < x->state.room ? b->held.len : x->state.room;
    if (n != 0) {
        pass(b, cis_bytes_of(p2_held_bytes(&b->held).ptr, n));
        cis_p2_held_gone(&b->held, n);
    }
    if (b->finished && b->held.len == 0 && !b->told) {
        enum cis_http_fault fault = tell_end(b);
        if (fault != CIS_HTTP_FINE) {
            b->fault = fault;
            cis_p2_exchange_fail(x, fault);
        }
    }
}

/* ---- as a stream ---- */

/* Why nothing can be written any more; 0: it can. */
static int stopped(struct p2_out_body *b)
{
    if (b->fault == CIS_HTTP_FINE && b->x != NULL) {
        b->fault = b->x->fault;
    }
    if (b->fault != CIS_HTTP_FINE) {
        return EIO;
    }
    return b->cut || b->finished ? EPIPE : 0;
}

/* The answer is there, and the peer takes no more: what is still written goes nowhere, and is no
 * error. Engines that send a body beside reading the answer end at a stream that is closed. Once
 * it is so it stays so, whatever a service says later. */
static bool unwanted(struct p2_out_body *b)
{
    b->unwanted = b->unwanted || (b->x != NULL && b->x->state.closed);
    return b->unwanted;
}

/* Bytes that are taken now. What is left of a known length is no bound: who writes more is told
 * that, and not that there is no room. */
static size_t room_of(struct p2_out_body *b)
{
    if (b->flushing) {
        return 0;
    }
    if (unwanted(b)) {
        return P2_CHUNK;
    }
    size_t room = b->x == NULL ? p2_held_room(&b->held) : b->held.len != 0 ? 0 : b->x->state.room;
    if (b->length != UINT64_MAX && room >= b->length - b->written) {
        return P2_CHUNK;
    }
    return room < P2_CHUNK ? room : P2_CHUNK;
}

static bool flushed(struct p2_out_body *b)
{
    return b->x == NULL || unwanted(b) || (b->held.len == 0 && b->x->state.flushed);
}

static bool is_ready(struct p2_out_body *b)
{
    return stopped(b) != 0 || (b->flushing ? flushed(b) : room_of(b) != 0);
}

static void body_wish(struct p2_source *self, enum p2_way way, struct p2_wish *out)
{
    struct p2_out_body *b = (struct p2_out_body *)self;
    (void)way;
    if (is_ready(b)) {
        return;
    }
    out->at_ns = CIS_NEVER;
    if (b->x != NULL) {
        cis_p2_exchange_ops.wish(&b->x->source, P2_WRITES, out);
    }
}

static bool body_ready(cis_engine_instance *instance, struct p2_source *self, enum p2_way way)
{
    struct p2_out_body *b = (struct p2_out_body *)self;
    (void)way;
    if (b->x != NULL) {
        cis_p2_exchange_look(instance, b->x, false);
    }
    return is_ready(b);
}

static int body_room(cis_engine_instance *instance, struct p2_source *self, size_t *out_n)
{
    struct p2_out_body *b = (struct p2_out_body *)self;
    body_ready(instance, self, P2_WRITES);
    b->flushing = b->flushing && !flushed(b);
    *out_n = room_of(b);
    return stopped(b);
}

/* In order: behind what waits here already, and no more than there is room for by now, which may be
 * less than there was when it was promised. The rest waits. */
static int pass_on(cis_engine_instance *instance, struct p2_out_body *b, struct cis_bytes data)
{
    struct p2_exchange *x = b->x;
    size_t room = x != NULL && b->held.len == 0 ? x->state.room : 0;
    size_t n = data.len < room ? data.len : room;
    if (n != 0) {
        pass(b, cis_bytes_of(data.ptr, n));
    }
    int rc = cis_p2_held_add(instance, &b->held, cis_bytes_of(data.ptr + n, data.len - n));
    if (rc == 0 && x != NULL) {
        cis_p2_exchange_look(instance, x, false);
    }
    return rc;
}

static int body_write(cis_engine_instance *instance, struct p2_source *self, struct cis_bytes data)
{
    struct p2_out_body *b = (struct p2_out_body *)self;
    int rc = stopped(b);
    if (rc != 0) {
        return rc;
    }
    if (data.len > b->length - b->written) {
        b->written += data.len;
        b->fault = size_fault(b);
        cis_p2_out_body_cut(b);
        return EIO;
    }
    b->written += data.len;
    if (unwanted(b)) {
        return 0;
    }
    cis_host_of(instance)->http_bytes_out += data.len;
    return pass_on(instance, b, data);
}

static int body_flush(cis_engine_instance *instance, struct p2_source *self)
{
    struct p2_out_body *b = (struct p2_out_body *)self;
    body_ready(instance, self, P2_WRITES);
    int rc = stopped(b);
    b->flushing = rc == 0 && !flushed(b);
    return b->flushing ? EAGAIN : rc;
}

const struct p2_source_ops cis_p2_out_body_ops = {.wish = body_wish,
                                                  .ready = body_ready,
                                                  .room = body_room,
                                                  .write = body_write,
                                                  .flush = body_flush,
                                                  .free = body_free};

/* ---- handlers ---- */

cis_code cis_p2_out_body_stream(cis_engine_instance *instance, const void *args, void *result,
                                struct cis_error *err)
{
    uint32_t self = *(const uint32_t *)args;
    struct p2_out_body *b = (struct p2_out_body *)cis_p2_at(instance, self)->source;
    struct http_made *r = result;
    r->failed = b->streamed;
    if (r->failed) {
        return CIS_OK;
    }
    b->streamed = true;
    return cis_p2_new_over(instance, P2_OUTPUT, self, &b->source, P2_WRITES, &r->rep, err);
}

static bool good_trailers(const struct p2_out_body *b)
{
    if (b->trailers != NULL && b->trailers->n != 0 && b->length != UINT64_MAX) {
        return false; /* after a length there is no place for them */
    }
    for (size_t i = 0; b->trailers != NULL && i < b->trailers->n; i++) {
        const struct p2_field *field = &b->trailers->at[i];
        if (!cis_header_in_trailers((struct cis_str){field->name, field->name_len})) {
            return false;
        }
    }
    return true;
}

static void end(cis_engine_instance *instance, struct p2_out_body *b, struct http_done_error *r)
{
    r->failed = true;
    if (b->fault == size_fault(b) || (b->length != UINT64_MAX && b->written != b->length)) {
        b->fault = size_fault(b);
        cis_p2_http_error_size(&r->error, b->fault, b->written);
    } else if (!good_trailers(b)) {
        b->fault = CIS_HTTP_PROTOCOL;
        cis_p2_http_error(&r->error, b->fault);
    } else {
        b->finished = true;
        if (b->x != NULL) {
            cis_p2_exchange_look(instance, b->x, false); /* pushes the end, too */
        }
        r->failed = b->fault != CIS_HTTP_FINE;
        if (r->failed) {
            cis_p2_http_error(&r->error, b->fault);
        }
    }
}

/* A request that is cut short never looks like a whole one: what cannot be ended well is cut. */
cis_code cis_p2_out_body_finish(cis_engine_instance *instance, const void *args, void *result,
                                struct cis_error *err)
{
    const struct http_finish *a = args;
    struct http_done_error *r = result;
    CIS_TRY(cis_p2_alone(instance, a->self, err)); /* its stream */
    struct p2_out_body *b = (struct p2_out_body *)cis_p2_at(instance, a->self)->source;
    if (a->trailers.has) {
        CIS_TRY(cis_p2_fields_take(instance, a->trailers.rep, &b->trailers, err));
    }
    end(instance, b, r);
    return cis_p2_drop(instance, a->self, err);
}
