/* Inside host/: what the verbs share. */
#ifndef CIS_HOST_INTERNAL_H
#define CIS_HOST_INTERNAL_H

#include "host/host.h"

/* The trampoline has checked a row's grant already; native callers have no trampoline. */
cis_code cis_host_need(struct cis_host *host, cis_engine_instance *instance, enum cis_grant grant,
                       const char *what, struct cis_error *err);
/* Text as one line: nothing that steers a terminal gets through. */
void cis_host_clean(struct cis_str text, struct cis_buf *out);
void cis_host_refused(cis_engine_instance *instance, enum cis_grant grant);
void cis_host_block(cis_engine_instance *instance);
cis_code cis_host_unblock(cis_engine_instance *instance, struct cis_error *err);

/* Where a service writes: bounded by the buffer's maximum and by the run's budget. The charge lasts
 * until cis_host_sink_done, which also is its cleanup: what stays in the buffer afterwards is at
 * most one answer, held by one handler until it is copied to the guest. */
struct cis_host_sink {
    struct cis_host *host;
    struct cis_buf *buf;
    const char *what;
    cis_code code; /* the first failure, which stopped the sink; its message is in own */
    uint64_t charged;
    struct cis_error *err; /* points to own */
    struct cis_error own;
};
cis_code cis_host_sink_write(void *self, const void *data, size_t len);
void cis_host_sink_done(struct cis_host_sink *sink);

#endif
