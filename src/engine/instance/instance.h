/* A guest: one instance in its own store, with limits, a deadline and its host state. One thread at
 * a time. Everything a host function may ask of the sandbox is here.
 *
 * Guest memory: keep (offset, length) only. A pointer from cis_engine_instance_at is valid until
 * anything may run guest code or grow its memory (any cis_engine_instance_call,
 * cis_engine_instance_alloc). */
#ifndef CIS_ENGINE_GUEST_H
#define CIS_ENGINE_GUEST_H

#include "base/budget.h"
#include "engine/instance/linked.h"

/* One line a host call of a component: row, arguments, result (NULL: none), code, time inside. */
struct cis_ifacefn;
struct cis_val;
struct cis_engine_instance_hooks;
typedef void cis_iface_trace(void *self, const struct cis_ifacefn *row, const struct cis_val *args,
                             size_t nargs, const struct cis_val *result, cis_code code,
                             uint64_t ns);

struct cis_limits {
    /* All linear memories and tables together (a table element: 8 bytes), and what the engine keeps
     * for globals, imports and references to functions, in whole pages of 64 KiB: less than one is
     * free. 0: 128 MiB. */
    uint64_t memory_bytes;
    uint64_t table_elements; /* all tables together; 0: 10,000,000 */
    uint64_t fuel;           /* 0: not metered (the module must have been loaded with fuel) */
    uint64_t host_bytes;     /* host-side budget of the run */
};

struct cis_engine_instance_options {
    struct cis_limits limits;
    struct cis_stop stop; /* deadline and cancellation of everything this guest does */
    const char *tenant;   /* CPU account, borrowed while the guest lives; NULL: "default" */
    uint32_t weight;      /* of the tenant's share; 0: 1 */
    uint32_t grants;      /* bits of enum cis_grant the trampoline lets through */
    void *host;           /* for handlers: cis_engine_instance_host */
    /* One line a host call, when not NULL: row, arguments, results, code, time spent inside. */
    void (*trace)(void *self, const struct cis_hostfn *row, const union cis_slot *args,
                  const union cis_slot *result, cis_code code, uint64_t ns);
    cis_iface_trace *trace_iface;
    void *trace_self;
    /* Charged for what the engine holds for the guest; NULL: one of its own with
     * limits.host_bytes. */
    struct cis_budget *budget;
    /* Who watches the guest (hooks.h), as engine/recording sets it; NULL: nobody does. */
    const struct cis_engine_instance_hooks *hooks;
    void *hooks_self;
};

/* How a guest ended, recorded before the engine unwinds; messages are never parsed. */
struct cis_engine_instance_end {
    cis_code code; /* CIS_OK while it lives */
    /* When code is a limit: "time" (nanoseconds), "memory", "host-bytes" (bytes), "fuel" (units),
     * "pool" (instances), or a name that a handler gave (cis_engine_instance_limit). */
    const char *limit;
    uint64_t configured, reached;
    /* Ended by a host function asking for exit (WASI proc_exit). Then code is CIS_E_FAILED whatever
     * the exit code, 0 included: look here first. */
    bool exited;
    int32_t exit_code;
    struct cis_error error; /* the message */
};

struct cis_engine_instance_usage {
    uint64_t cpu_ns;  /* time executing with a CPU slot */
    uint64_t wait_ns; /* time waiting for a slot */
    uint64_t memory_bytes, memory_peak;
    uint64_t fuel; /* used, when metered */
    uint64_t host_calls;
    uint64_t grants_used[16], grants_refused[16]; /* by enum cis_grant */
    bool memory_limit_hit; /* a memory.grow or table.grow was refused by the limit */
    uint64_t memory_limit_asked;
};

/* Instantiates (runs the start function, under deadline and slots). The program is borrowed until
 * the guest is freed. A minimum above the limits is CIS_E_MEMORY before anything runs; CIS_E_LIMIT
 * "pool" when no place in the instance pool became free in time. On failure *out_guest is NULL (out
 * of memory) or a guest that has ended, whose end, usage and backtrace can be read: free it in any
 * case. */
cis_code cis_engine_instance_new(cis_engine *engine, cis_linked *program,
                                 const struct cis_engine_instance_options *options,
                                 cis_engine_instance **out_instance, struct cis_error *err);
void cis_engine_instance_free(cis_engine_instance *instance);
void *cis_engine_instance_host(const cis_engine_instance *instance);
struct cis_budget *cis_engine_instance_budget(cis_engine_instance *instance);
const struct cis_stop *cis_engine_instance_stop(const cis_engine_instance *instance);
const struct cis_limits *cis_engine_instance_limits(const cis_engine_instance *instance);
const struct cis_engine_instance_end *cis_engine_instance_end(const cis_engine_instance *instance);
void cis_engine_instance_usage(cis_engine_instance *instance,
                               struct cis_engine_instance_usage *out);
cis_linked *cis_engine_instance_linked(const cis_engine_instance *instance);
/* A kept instance gets a new deadline, cancellation and fuel for its next call. */
void cis_engine_instance_rearm(cis_engine_instance *instance, const struct cis_stop *stop,
                               uint64_t fuel);

/* Calls an exported function. io holds the arguments and receives the results; its length is the
 * larger of both counts (at least 1). `type` is what the caller expects ("ii:i"); another type is
 * CIS_E_ENTRY. Fails with the code in cis_engine_instance_end. A guest that has ended refuses
 * further calls. May be called from a host function (an allocator), at most 16 deep. */
cis_code cis_engine_instance_call(cis_engine_instance *instance, struct cis_str name,
                                  const char *type, union cis_slot *io, struct cis_error *err);
/* Backtrace of the last trap, one frame a line ("  0: name (module+0x1234)"), "" when none. */
const char *cis_engine_instance_backtrace(const cis_engine_instance *instance);

/* The guest's memory: exported "memory" or imported env.memory. 0 when it has none. */
uint64_t cis_engine_instance_memory_size(cis_engine_instance *instance);
/* NULL unless [ptr, ptr+len) lies in the memory as it is now. len 0 at the very end is allowed. */
const void *cis_engine_instance_at(cis_engine_instance *instance, uint64_t ptr, uint64_t len);
/* Like cis_engine_instance_at, for bytes that the host is going to write: a run that is recorded
 * takes note of them. Host functions write into guest memory through this alone. */
void *cis_engine_instance_out(cis_engine_instance *instance, uint64_t ptr, uint64_t len);
/* From a handler, when less was written than it asked for: of all the places that it asked
 * cis_engine_instance_out for so far, in that order, only the first `total` bytes. Saying nothing
 * is right too, and makes the record of a run longer. */
void cis_engine_instance_wrote(cis_engine_instance *instance, uint64_t total);
/* Does [ptr, ptr+len) lie in the memory as it is now? For checks ahead of reading or writing. */
bool cis_engine_instance_holds(cis_engine_instance *instance, uint64_t ptr, uint64_t len);
bool cis_engine_instance_recorded(const cis_engine_instance *instance);
/* Bytes went out by stream 1 or 2 (stdout, stderr): a replay of the run shows them again. */
void cis_engine_instance_shown(cis_engine_instance *instance, unsigned stream, const void *data,
                               size_t len);
/* Like cis_engine_instance_at, but a pointer outside is CIS_E_BADPTR naming `what`. */
cis_code cis_engine_instance_span(cis_engine_instance *instance, uint64_t ptr, uint64_t len,
                                  const char *what, const void **out, struct cis_error *err);
/* memory.grow on behalf of the host: byte offset of the new pages. */
cis_code cis_engine_instance_grow(cis_engine_instance *instance, uint64_t bytes, uint64_t *out_ptr,
                                  struct cis_error *err);

/* A host function that may block gives the CPU slot back first and takes one again after; the
 * second fails with CIS_E_DEADLINE or _CANCELLED when none came in time. */
void cis_engine_instance_block(cis_engine_instance *instance);
cis_code cis_engine_instance_unblock(cis_engine_instance *instance, struct cis_error *err);
/* From a handler: ends the guest as WASI's proc_exit does. Returns the code to return. */
cis_code cis_engine_instance_exit(cis_engine_instance *instance, int32_t code,
                                  struct cis_error *err);
/* From a handler: records a limit and returns code (CIS_E_BUDGET, …). */
cis_code cis_engine_instance_limit(cis_engine_instance *instance, cis_code code, const char *limit,
                                   uint64_t configured, uint64_t reached, struct cis_error *err);
/* From below a handler, where the answer is no code: records the failure (base/check.h), and the
 * guest ends when the host call returns. */
void cis_engine_instance_defect(cis_engine_instance *instance, const struct cis_error *error);
/* From a handler: fuel for work that grows with a guest's number, before it is done (the row's cost
 * is charged already). Nothing without metering; CIS_E_FUEL, recorded, when it is used up. */
cis_code cis_engine_instance_burn(cis_engine_instance *instance, uint64_t units,
                                  struct cis_error *err);
/* A handler refused by a finer rule than the row's grant (an origin, a name): counted for the
 * report. */
void cis_engine_instance_refused(cis_engine_instance *instance, unsigned grant);

#endif
