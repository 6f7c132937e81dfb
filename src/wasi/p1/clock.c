/* Clocks, as host/op.h has them; the CPU clocks show the guest's own time with a CPU slot. */
#include "wasi/p1/internal.h"

bool cis_wasi_put32(cis_engine_instance *instance, uint32_t at, uint32_t value)
{
    void *p = cis_engine_instance_out(instance, at, sizeof value);
    if (p != NULL) {
        cis_put_le32(p, value);
    }
    return p != NULL;
}

bool cis_wasi_put64(cis_engine_instance *instance, uint32_t at, uint64_t value)
{
    void *p = cis_engine_instance_out(instance, at, sizeof value);
    if (p != NULL) {
        cis_put_le64(p, value);
    }
    return p != NULL;
}

bool cis_wasi_now(cis_engine_instance *instance, uint32_t clock, uint64_t *out_ns)
{
    const struct cis_host *host = cis_host_of(instance);
    if (clock > CIS_WASI_CLOCK_THREAD) {
        return false;
    }
    if (clock == CIS_WASI_CLOCK_REALTIME) {
        *out_ns = cis_host_realtime(instance);
    } else if (clock == CIS_WASI_CLOCK_MONOTONIC) {
        *out_ns = cis_host_monotonic(instance);
    } else if (host->fixed_clock) {
        *out_ns = host->clock_ns;
    } else {
        struct cis_engine_instance_usage usage = {0};
        cis_engine_instance_usage(instance, &usage);
        *out_ns = usage.cpu_ns;
    }
    return true;
}

cis_code cis_wasi_clock_res_get(cis_engine_instance *instance, union cis_slot *io,
                                struct cis_error *err)
{
    (void)err;
    if (io[0].u32 > CIS_WASI_CLOCK_THREAD) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    bool written = cis_wasi_put64(instance, io[1].u32, 1);
    return cis_wasi_answer(io, written ? CIS_WASI_OK : CIS_WASI_FAULT);
}

cis_code cis_wasi_clock_time_get(cis_engine_instance *instance, union cis_slot *io,
                                 struct cis_error *err)
{
    (void)err;
    uint64_t now;
    if (!cis_wasi_now(instance, io[0].u32, &now)) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    bool written = cis_wasi_put64(instance, io[2].u32, now);
    return cis_wasi_answer(io, written ? CIS_WASI_OK : CIS_WASI_FAULT);
}
