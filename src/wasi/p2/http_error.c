/* wasi:http's error-code, and how entries of wasi:http end. The one table from faults to cases is
 * their order (cis/service.h). */
#include "wasi/p2/http.h"

#include "base/mem.h"

enum cis_http_fault cis_p2_http_fault(enum cis_http_fault said)
{
    return (unsigned)said <= CIS_HTTP_INTERNAL ? said : CIS_HTTP_INTERNAL;
}

void cis_p2_http_error(struct http_error *out, enum cis_http_fault fault)
{
    memset(out, 0, sizeof *out);
    out->is = (uint32_t)(fault != CIS_HTTP_FINE ? fault : CIS_HTTP_INTERNAL) - 1;
}

void cis_p2_http_error_size(struct http_error *out, enum cis_http_fault fault, uint64_t bytes)
{
    cis_p2_http_error(out, fault);
    out->bytes.has = true;
    out->bytes.n = bytes;
}

cis_code cis_p2_http_charge(cis_engine_instance *instance, uint64_t bytes, struct cis_error *err)
{
    struct cis_budget *budget = cis_engine_instance_budget(instance);
    struct cis_error why;
    return cis_budget_charge(budget, bytes, "HTTP", &why) == CIS_OK
               ? CIS_OK
               : cis_engine_instance_limit(instance, CIS_E_BUDGET, "host-bytes", budget->limit,
                                           budget->used + bytes, err);
}

/* The error of a stream that is no body of a message has no such code. */
cis_code cis_p2_http_error_code(cis_engine_instance *instance, const void *args, void *result,
                                struct cis_error *err)
{
    (void)err;
    struct http_error_option *r = result;
    const struct p2_source *source = cis_p2_at(instance, *(const uint32_t *)args)->source;
    if (source != NULL && source->ops == &cis_p2_exchange_ops) {
        r->has = true;
        cis_p2_http_error(&r->error, ((const struct p2_exchange *)source)->fault);
    } else if (source != NULL && source->ops == &cis_p2_out_body_ops) {
        const struct p2_out_body *body = (const struct p2_out_body *)source;
        r->has = true;
        if (body->fault == CIS_HTTP_REQUEST_BODY_SIZE ||
            body->fault == CIS_HTTP_RESPONSE_BODY_SIZE) {
            cis_p2_http_error_size(&r->error, body->fault, body->written);
        } else {
            cis_p2_http_error(&r->error, body->fault);
        }
    }
    return CIS_OK;
}

void cis_p2_http_let_go(struct cis_host *host, struct p2_thing *thing)
{
    switch (thing->kind) {
    case P2_FIELDS:
        cis_p2_fields_unref(host, thing->fields);
        break;
    case P2_IN_REQUEST:
    case P2_OUT_REQUEST:
    case P2_OUT_RESPONSE:
        cis_p2_message_free(host, thing->message);
        break;
    case P2_REQUEST_OPTIONS:
        cis_free(thing->options);
        break;
    case P2_OUT_BODY:
        if (!((struct p2_out_body *)thing->source)->finished) {
            cis_p2_out_body_cut((struct p2_out_body *)thing->source);
        }
        break;
    default: /* what is over an exchange only holds a reference */
        break;
    }
}
