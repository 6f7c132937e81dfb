/* How a guest ends: recorded as values before the engine unwinds, from trap codes after it; and the
 * backtrace as text. */
#include "engine/instance/internal.h"

#include <stdio.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#define BACKTRACE_MAX 16384u
#define FRAMES_MAX 20u /* as many as the engine remembers */

/* ---- recording ---- */

cis_code cis_engine_instance_ended(cis_engine_instance *instance, cis_code code, const char *limit,
                                   uint64_t configured, uint64_t reached, const char *fmt, ...)
{
    struct cis_engine_instance_end *end = &instance->end;
    if (end->code == CIS_OK) {
        va_list args;
        va_start(args, fmt);
        (void)cis_fail_v(&end->error, code, fmt, args);
        va_end(args);
        end->code = code;
        end->limit = limit;
        end->configured = configured;
        end->reached = reached;
    }
    return end->code;
}

static uint64_t span(uint64_t from, uint64_t to)
{
    return to == CIS_NEVER ? CIS_NEVER : to > from ? to - from : 0;
}

/* A handler's failure: limits that the engine knows about get their numbers. */
cis_code cis_engine_instance_ended_with(cis_engine_instance *instance,
                                        const struct cis_error *error)
{
    const char *msg = error->msg[0] != 0 ? error->msg : cis_code_text(error->code);
    switch (error->code) {
    case CIS_E_DEADLINE:
        return cis_engine_instance_ended(instance, error->code, "time",
                                         span(instance->armed_ns, instance->stop.deadline_ns),
                                         span(instance->armed_ns, cis_clock_mono_ns()), "%s", msg);
    case CIS_E_BUDGET:
        return cis_engine_instance_ended(instance, error->code, "host-bytes",
                                         instance->budget->limit, instance->budget->used, "%s",
                                         msg);
    case CIS_E_MEMORY:
        return cis_engine_instance_ended(instance, error->code, "memory",
                                         instance->limits.memory_bytes,
                                         instance->memory_limit_asked, "%s", msg);
    default:
        return cis_engine_instance_ended(instance, error->code, NULL, 0, 0, "%s", msg);
    }
}

cis_code cis_engine_instance_end_fail(const cis_engine_instance *instance, struct cis_error *err)
{
    if (err != NULL) {
        *err = instance->end.error;
    }
    return instance->end.code;
}

/* ---- traps ---- */

static const char *trap_text(int code)
{
    switch (code) {
    case WASMTIME_TRAP_CODE_STACK_OVERFLOW:
        return "stack overflow: calls nested too deep";
    case WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS:
        return "memory access out of bounds";
    case WASMTIME_TRAP_CODE_HEAP_MISALIGNED:
        return "atomic access not aligned";
    case WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS:
        return "table access out of bounds";
    case WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL:
        return "indirect call of a null table entry";
    case WASMTIME_TRAP_CODE_BAD_SIGNATURE:
        return "indirect call with another function type";
    case WASMTIME_TRAP_CODE_INTEGER_OVERFLOW:
        return "integer overflow";
    case WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO:
        return "integer divided by zero";
    case WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER:
        return "invalid conversion to integer";
    case WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED:
        return "unreachable code reached";
    case WASMTIME_TRAP_CODE_ATOMIC_WAIT_NON_SHARED_MEMORY:
        return "atomic wait on a memory that is not shared";
    case WASMTIME_TRAP_CODE_NULL_REFERENCE:
        return "null reference";
    case WASMTIME_TRAP_CODE_ALLOCATION_TOO_LARGE:
        return "allocation too large";
    case WASMTIME_TRAP_CODE_CANNOT_ENTER_COMPONENT:
        return "component called again before it returned";
    case WASMTIME_TRAP_CODE_CANNOT_LEAVE_COMPONENT:
        return "host called while values were being passed";
    case WASMTIME_TRAP_CODE_INVALID_CHAR:
        return "invalid character in a text";
    case WASMTIME_TRAP_CODE_STRING_OUT_OF_BOUNDS:
        return "text outside the memory";
    case WASMTIME_TRAP_CODE_LIST_OUT_OF_BOUNDS:
        return "list outside the memory";
    case WASMTIME_TRAP_CODE_INVALID_DISCRIMINANT:
        return "invalid discriminant of a variant or enum";
    case WASMTIME_TRAP_CODE_UNALIGNED_POINTER:
        return "pointer not aligned";
    case WASMTIME_TRAP_CODE_UNCAUGHT_EXCEPTION:
        return "exception not caught";
    default:
        return NULL;
    }
}

static void in_a_line(struct cis_str name, struct cis_buf *out)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = (uint8_t)name.ptr[i];
        cis_buf_byte(out, c < 0x20 || c == 0x7f ? '?' : c);
    }
}

/* A function's name as the guest's name section has it: cut, and without control characters (done
 * by cis_fail for messages, here for the backtrace). */
static void frame_name(const struct cis_glue_frame *frame, struct cis_buf *out)
{
    if (frame->name_len == 0) {
        cis_buf_printf(out, "function[%u]", frame->function);
        return;
    }
    in_a_line((struct cis_str){(const char *)frame->name, frame->name_len}, out);
}

/* Keeps the backtrace as text; answers the name of the innermost function, NULL without frames. */
static char *backtrace(cis_engine_instance *instance, const wasmtime_error_t *error,
                       const wasm_trap_t *trap)
{
    struct cis_glue_frame frames[FRAMES_MAX];
    size_t n = cis_glue_frames(error, trap, frames, FRAMES_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf trace = CIS_BUF_INIT(BACKTRACE_MAX);
    char *top = NULL;
    for (size_t i = 0; i < n; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(sizeof frames->name + 32);
        frame_name(&frames[i], &name);
        cis_buf_printf(&trace, "%3zu: %s (", i, cis_buf_cstr(&name));
        in_a_line(cis_str_of(instance->program->module->name), &trace);
        if (frames[i].offset != UINT64_MAX) { /* where a stack ends, before the function's code */
            cis_buf_printf(&trace, "+0x%llx", (unsigned long long)frames[i].offset);
        }
        cis_buf_text(&trace, ")\n");
        if (i == 0) {
            top = cis_strdup(cis_buf_cstr(&name));
        }
    }
    if (trace.len > 0) {
        cis_free(instance->backtrace);
        instance->backtrace = cis_strndup(cis_buf_cstr(&trace), trace.len);
    }
    return top;
}

static cis_code trapped(cis_engine_instance *instance, int code, const char *top)
{
    const char *text = trap_text(code);
    if (code == WASMTIME_TRAP_CODE_OUT_OF_FUEL) {
        return cis_engine_instance_ended(instance, CIS_E_FUEL, "fuel", instance->limits.fuel,
                                         instance->limits.fuel, "fuel of %llu units used up",
                                         (unsigned long long)instance->limits.fuel);
    }
    char other[32];
    if (text == NULL) {
        snprintf(other, sizeof other, "trap code %d", code);
        text = other;
    }
    return cis_engine_instance_ended(instance, CIS_E_TRAP, NULL, 0, 0, "%s: %s%s%s",
                                     instance->program->module->name, text,
                                     top != NULL ? " in " : "", top != NULL ? top : "");
}

cis_code cis_engine_instance_unwound(cis_engine_instance *instance, wasmtime_error_t *error,
                                     wasm_trap_t *trap, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *top = backtrace(instance, error, trap);
    wasmtime_trap_code_t code = 0;
    int trap_code = -1;
    if (trap != NULL) {
        trap_code = wasmtime_trap_code(trap, &code) ? code : WASMTIME_TRAP_CODE_UNCAUGHT_EXCEPTION;
    } else {
        trap_code = cis_glue_error_trap_code(error);
    }
    if (instance->end.code == CIS_OK && trap_code >= 0) {
        (void)trapped(instance, trap_code, top);
    }
    if (instance->end.code == CIS_OK) {
        /* Code of a component may break the rules of calls (text that is not UTF-8): an end like a
         * trap, without a trap's code. */
        bool (*broke)(cis_engine_instance *, const struct cis_error *) =
            instance->program->kind->broke;
        struct cis_error text = {0};
        broke = instance->started ? broke : NULL;
        (void)cis_engine_fail(&text, broke != NULL ? CIS_E_TRAP : CIS_E_LIMIT,
                              instance->program->module->name, error, trap);
        if (broke == NULL || !broke(instance, &text)) {
            (void)cis_engine_instance_ended_with(instance, &text);
        }
        return cis_engine_instance_end_fail(instance, err);
    }
    if (error != NULL) {
        wasmtime_error_delete(error);
    }
    if (trap != NULL) {
        wasm_trap_delete(trap);
    }
    return cis_engine_instance_end_fail(instance, err);
}

const char *cis_engine_instance_backtrace(const cis_engine_instance *instance)
{
    return instance->backtrace != NULL ? instance->backtrace : "";
}
