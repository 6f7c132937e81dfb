/* Clocks, as host/op.h has them; the CPU clocks show the guest's own time with a CPU slot. */
#include "wasi/p1/internal.h"

bool cis_wasi_put32(cis_guest *guest, uint32_t at, uint32_t value)
{
    void *p = cis_guest_out(guest, at, sizeof value);
    if (p != NULL) {
        cis_put_le32(p, value);
    }
    return p != NULL;
}

bool cis_wasi_put64(cis_guest *guest, uint32_t at, uint64_t value)
{
    void *p = cis_guest_out(guest, at, sizeof value);
    if (p != NULL) {
        cis_put_le64(p, value);
    }
    return p != NULL;
}

bool cis_wasi_now(cis_guest *guest, uint32_t clock, uint64_t *out_ns)
{
    const struct cis_host *host = cis_host_of(guest);
    if (clock > CIS_WASI_CLOCK_THREAD) {
        return false;
    }
    if (clock == CIS_WASI_CLOCK_REALTIME) {
        *out_ns = cis_host_realtime(guest);
    } else if (clock == CIS_WASI_CLOCK_MONOTONIC) {
        *out_ns = cis_host_monotonic(guest);
    } else if (host->fixed_clock) {
        *out_ns = host->clock_ns;
    } else {
        struct cis_guest_usage usage = {0};
        cis_guest_usage(guest, &usage);
        *out_ns = usage.cpu_ns;
    }
    return true;
}

cis_code cis_wasi_clock_res_get(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    if (io[0].u32 > CIS_WASI_CLOCK_THREAD) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    bool written = cis_wasi_put64(guest, io[1].u32, 1);
    return cis_wasi_answer(io, written ? CIS_WASI_OK : CIS_WASI_FAULT);
}

cis_code cis_wasi_clock_time_get(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    uint64_t now;
    if (!cis_wasi_now(guest, io[0].u32, &now)) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    bool written = cis_wasi_put64(guest, io[2].u32, now);
    return cis_wasi_answer(io, written ? CIS_WASI_OK : CIS_WASI_FAULT);
}
