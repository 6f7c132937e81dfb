/* The process: exit, signals, yielding; and random bytes. */
#include "wasi/p1/internal.h"

cis_code cis_wasi_proc_exit(cis_engine_instance *instance, union cis_slot *io,
                            struct cis_error *err)
{
    return cis_engine_instance_exit(instance, io[0].i32, err);
}

/* Dispositions of POSIX; a guest has no handlers, for WASI has no way to set one. */
cis_code cis_wasi_proc_raise(cis_engine_instance *instance, union cis_slot *io,
                             struct cis_error *err)
{
    enum { NONE = 0, CHLD = 16, CONT = 17, STOP = 18, TTOU = 21, URG = 22, WINCH = 27, SYS = 30 };
    uint32_t signal = io[0].u32;
    if (signal > SYS) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    if (signal == NONE || signal == CHLD || signal == CONT || signal == URG || signal == WINCH) {
        return cis_wasi_answer(io, CIS_WASI_OK);
    }
    if (signal >= STOP && signal <= TTOU) { /* nobody could continue it */
        return cis_wasi_answer(io, CIS_WASI_NOTSUP);
    }
    return cis_engine_instance_exit(instance, 128 + (int32_t)signal, err);
}

cis_code cis_wasi_sched_yield(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    cis_engine_instance_block(instance);
    CIS_TRY(cis_engine_instance_unblock(instance, err));
    return cis_wasi_answer(io, CIS_WASI_OK);
}

cis_code cis_wasi_random_get(cis_engine_instance *instance, union cis_slot *io,
                             struct cis_error *err)
{
    uint32_t len = io[1].u32;
    uint8_t *at = cis_engine_instance_out(instance, io[0].u32, len);
    if (at == NULL) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    CIS_TRY(cis_engine_instance_burn(instance, len / CIS_WASI_BYTES_A_FUEL, err));
    CIS_TRY(cis_host_random(instance, at, len, err));
    return cis_wasi_answer(io, CIS_WASI_OK);
}
