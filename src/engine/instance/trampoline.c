/* The trampoline: every host call goes through it. Trace, grant check, charge, handler, and the end
 * recorded before the guest unwinds. No locks, no allocation and, without a trace, no clock. */
#include "engine/instance/internal.h"

#include "base/clock.h"

_Static_assert(sizeof(union cis_slot) == sizeof(wasmtime_val_raw_t), "same layout");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "raw values are little-endian");

static void set_result(union cis_slot *io, char type, int64_t value)
{
    switch (type) {
    case 'i':
        io->i32 = (int32_t)value;
        break;
    case 'I':
        io->i64 = value;
        break;
    case 'f':
        io->f32 = (float)value;
        break;
    case 'F':
        io->f64 = (double)value;
        break;
    default:
        break;
    }
}

static cis_code refuse(cis_engine_instance *instance, const struct cis_bound *bound,
                       union cis_slot *io)
{
    instance->grants_refused[bound->grant]++;
    if (bound->row->ends_when_denied) {
        return cis_engine_instance_ended(
            instance, CIS_E_DENIED, NULL, 0, 0,
            "%s.%s: refused by policy, and the call has no way to say so", bound->row->module,
            bound->row->name);
    }
    set_result(io, bound->result, bound->row->denied);
    return CIS_OK;
}

uint64_t cis_engine_instance_fuel_left(cis_engine_instance *instance)
{
    uint64_t left = 0;
    wasmtime_error_t *e = wasmtime_context_get_fuel(instance->context, &left);
    if (e != NULL) {
        wasmtime_error_delete(e);
    }
    return left;
}

void cis_engine_instance_fuel_set(cis_engine_instance *instance, uint64_t units)
{
    wasmtime_error_t *e = wasmtime_context_set_fuel(instance->context, units);
    if (e != NULL) {
        wasmtime_error_delete(e);
    }
}

static cis_code burn(cis_engine_instance *instance, uint64_t cost)
{
    uint64_t left = 0;
    wasmtime_error_t *e = wasmtime_context_get_fuel(instance->context, &left);
    if (e == NULL && left >= cost) {
        e = wasmtime_context_set_fuel(instance->context, left - cost);
    } else if (e == NULL) {
        e = wasmtime_context_set_fuel(instance->context, 0);
        if (e == NULL) {
            return cis_engine_instance_ended(instance, CIS_E_FUEL, "fuel", instance->limits.fuel,
                                             instance->limits.fuel, "fuel of %llu units used up",
                                             (unsigned long long)instance->limits.fuel);
        }
    }
    if (e != NULL) {
        wasmtime_error_delete(e);
        return cis_engine_instance_ended(instance, CIS_E_INTERNAL, NULL, 0, 0,
                                         "fuel cannot be accounted");
    }
    return CIS_OK;
}

cis_code cis_engine_instance_burn(cis_engine_instance *instance, uint64_t units,
                                  struct cis_error *err)
{
    if (instance->limits.fuel == 0 || units == 0) {
        return CIS_OK;
    }
    cis_code code = burn(instance, units);
    if (code != CIS_OK && err != NULL) {
        *err = instance->end.error;
    }
    return code;
}

static wasm_trap_t *unwind(cis_engine_instance *instance)
{
    const char *msg = instance->end.error.msg;
    return wasmtime_trap_new(msg, strlen(msg));
}

static cis_code perform(cis_engine_instance *instance, const struct cis_bound *bound,
                        union cis_slot *io)
{
    instance->mem_fresh = false; /* the guest ran and may have grown its memory */
    if ((instance->grants & bound->grant_bit) != bound->grant_bit) {
        return refuse(instance, bound, io);
    }
    instance->grants_used[bound->grant]++;
    instance->host_calls++;
    if (bound->metered) {
        CIS_TRY(burn(instance, bound->cost));
    }
    if (__builtin_expect(bound->handler == NULL, 0)) {
        return cis_engine_instance_ended(instance, CIS_E_TRAP, NULL, 0, 0,
                                         "called %.80s.%.80s, which nothing provides",
                                         bound->row->module, bound->row->name);
    }
    struct cis_error err;
    err.sys = 0;
    err.msg[0] = 0;
    cis_code code = bound->handler(instance, io, &err);
    if (__builtin_expect(code != CIS_OK, 0)) {
        err.code = code;
        return cis_engine_instance_ended_with(instance, &err);
    }
    return instance->end
        .code; /* a nested call may have ended the guest, whatever the handler says */
}

static void trace(cis_engine_instance *instance, const struct cis_bound *bound,
                  const union cis_slot *args, const union cis_slot *result, cis_code code,
                  uint64_t ns)
{
    if (CIS_HOOKED(instance, pause)) {
        instance->hooks->pause(instance, true);
    }
    instance->trace(instance->trace_self, bound->row, args, result, code, ns);
    if (CIS_HOOKED(instance, pause)) {
        instance->hooks->pause(instance, false);
    }
}

static wasm_trap_t *observed(cis_engine_instance *instance, const struct cis_bound *bound,
                             union cis_slot *io, size_t n)
{
    union cis_slot args[CIS_HOSTFN_SLOTS_MAX] = {0}, none = {0};
    memcpy(args, io, (n < CIS_HOSTFN_SLOTS_MAX ? n : CIS_HOSTFN_SLOTS_MAX) * sizeof *io);
    uint64_t start = instance->trace != NULL ? cis_clock_mono_ns() : 0;
    instance->mem_fresh = false; /* as in perform, for the hook */
    cis_code code = CIS_HOOKED(instance, host_call)
                        ? instance->hooks->host_call(instance, bound, io, perform)
                        : perform(instance, bound, io);
    if (instance->trace != NULL) {
        trace(instance, bound, args, bound->result != 0 ? io : &none, code,
              cis_clock_mono_ns() - start);
    }
    return code == CIS_OK ? NULL : unwind(instance);
}

wasm_trap_t *cis_trampoline(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *raw, size_t n)
{
    const struct cis_bound *bound = env;
    cis_engine_instance *instance = wasmtime_context_get_data(wasmtime_caller_context(caller));
    union cis_slot *io = (union cis_slot *)raw;
    if (__builtin_expect(instance->observed, 0)) {
        return observed(instance, bound, io, n);
    }
    return perform(instance, bound, io) == CIS_OK ? NULL : unwind(instance);
}
