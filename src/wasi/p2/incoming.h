/* Inside wasi/p2/: a request that came in, while the guest answers it. What the guest has of it are
 * exchanges like those that it sends (http.h), over services of this call alone: `asked`, whose
 * response is the request's body, and `told`, whose request is the answer's. When the call is over
 * both are closed, whatever the guest still holds of them, so nothing points to the caller's
 * functions any more. */
#ifndef CIS_WASI_P2_INCOMING_H
#define CIS_WASI_P2_INCOMING_H

#include "cis/http_handler.h"
#include "wasi/p2/http.h"

/* The caller said EAGAIN: it is left alone until its descriptor has events, or for a while. */
struct p2_pause {
    bool on;
    uint64_t again_ns; /* without a descriptor */
};

struct p2_incoming {
    cis_engine_instance *instance;
    const struct cis_http_incoming *in;
    uint64_t number;   /* which it is of the instance's */
    bool inside;       /* the guest executes, with a CPU slot */
    bool head_only;    /* HEAD */
    uint32_t given[2]; /* the entries behind the arguments; 0: none yet */

    struct p2_exchange *asked; /* a reference */
    struct p2_pause read_pause;
    uint64_t length; /* of the request's body; UINT64_MAX: not known */
    uint64_t got;
    bool ended;
    enum cis_http_fault asked_fault;

    struct p2_exchange *told; /* a reference; NULL: no answer, or none that is one */
    struct p2_pause write_pause;
    bool answered;             /* response-outparam was set */
    enum cis_http_fault error; /* in place of an answer */
    char message[sizeof((struct cis_http_answer *)NULL)->message];
    uint16_t status;
    struct p2_fields *fields; /* a reference, until the head was told */
    uint64_t told_length;
    bool finishing, done; /* nothing follows what is held; `end` was taken */
    bool closed;
    struct p2_held held; /* what the caller did not take yet */
    uint64_t out;        /* bytes that it took */
    enum cis_http_fault told_fault;
};

extern const struct cis_http_service cis_p2_asked_service, cis_p2_told_service;
/* The head of an answer that is none: c->error. */
void cis_p2_incoming_tell_error(struct p2_incoming *c);

#endif
