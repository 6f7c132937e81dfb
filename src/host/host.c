/* Output, and what the verbs share: the state of the run and its grants. */
#include "host/host.h"

#include "host/internal.h"

uint32_t cis_host_guest_grants(const struct cis_host *host)
{
    uint32_t bits = host->grants.bits;
    bits |= host->no_clock ? 0 : CIS_GRANT_BIT(CIS_GRANT_CLOCKS);
    bits |= host->no_random ? 0 : CIS_GRANT_BIT(CIS_GRANT_RANDOM);
    return bits;
}

cis_code cis_host_alive(const struct cis_host *host, struct cis_error *err)
{
    const struct cis_stop *stop = host->call.stop;
    return stop != NULL ? cis_stop_check(stop, "run", err) : CIS_OK;
}

void cis_host_refused(cis_engine_instance *instance, enum cis_grant grant)
{
    if (instance != NULL) {
        cis_engine_instance_refused(instance, grant);
    }
}

cis_code cis_host_need(struct cis_host *host, cis_engine_instance *instance, enum cis_grant grant,
                       const char *what, struct cis_error *err)
{
    if (cis_grants_has(&host->grants, grant)) {
        return CIS_OK;
    }
    cis_host_refused(instance, grant);
    return cis_fail(err, CIS_E_DENIED, "%s: not granted (%s)", what, cis_grant_name(grant));
}

void cis_host_block(cis_engine_instance *instance)
{
    if (instance != NULL) {
        cis_engine_instance_block(instance);
    }
}

cis_code cis_host_unblock(cis_engine_instance *instance, struct cis_error *err)
{
    return instance != NULL ? cis_engine_instance_unblock(instance, err) : CIS_OK;
}

cis_code cis_host_output(struct cis_host *host, cis_engine_instance *instance,
                         struct cis_bytes data, struct cis_error *err)
{
    struct cis_buf *out = &host->output;
    host->output_written = true;
    if (data.len > out->max || out->len > out->max - data.len) {
        cis_fail(err, CIS_E_BUDGET, "output: larger than %zu bytes", out->max);
        return instance == NULL
                   ? CIS_E_BUDGET
                   : cis_engine_instance_limit(instance, CIS_E_BUDGET, "output", out->max,
                                               (uint64_t)out->len + data.len, err);
    }
    CIS_TRY(cis_budget_charge(&host->budget, data.len, "output", err));
    cis_buf_add(out, data.ptr, data.len);
    return cis_buf_check(out, "output", err);
}

/* The text a service hands over goes to a buffer under its own maximum, each byte charged first. */
cis_code cis_host_sink_write(void *self, const void *data, size_t len)
{
    struct cis_host_sink *sink = self;
    if (sink->code != CIS_OK) {
        return sink->code;
    }
    sink->code = cis_budget_charge(&sink->host->budget, len, sink->what, sink->err);
    if (sink->code != CIS_OK) {
        return sink->code;
    }
    sink->charged += len;
    cis_buf_add(sink->buf, data, len);
    sink->code = cis_buf_check(sink->buf, sink->what, sink->err);
    return sink->code;
}

void cis_host_sink_done(struct cis_host_sink *sink)
{
    cis_budget_release(&sink->host->budget, sink->charged);
    sink->charged = 0;
}
