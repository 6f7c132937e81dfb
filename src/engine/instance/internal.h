/* Instances: code of modules that runs. This room owns
 *   - programs: modules whose imports are bound to rows               struct cis_linked
 *   - guests: a store with its limits, an instance, calls, the end    struct cis_engine_instance
 *   - the trampoline that every host call of a core module goes through
 *   - the guest's memory as the host sees it, and the native stack
 * What a component has of its own it is told by a table of the program's kind; who records a guest
 * or plays it again hangs on its hooks (hooks.h). Inside the engine only; instance.h, linked.h and
 * stack.h are for everybody. */
#ifndef CIS_ENGINE_INSTANCE_H
#define CIS_ENGINE_INSTANCE_H

#include "engine/instance/instance.h"
#include "engine/instance/hooks.h"
#include "engine/instance/stack.h"
#include "engine/code/code.h"

#define CIS_HOSTFN_SLOTS_MAX 16u /* parameters or results of a host function */
#define CIS_CALL_DEPTH_MAX 16u   /* guest calls nested through host functions */

/* A row as a program uses it; what the trampoline needs stands together. */
struct cis_bound {
    cis_hostfn_handler *handler;
    const struct cis_hostfn *row;
    uint32_t grant_bit; /* 0: needs nothing */
    uint8_t grant, cost;
    char result; /* i I f F, or 0 for none */
    bool metered;
};

struct cis_made_row {
    struct cis_hostfn row;
    char *module, *name; /* its own */
};

/* What is different with programs of core modules (linked.c) and of components. */
struct cis_program_kind {
    size_t instances_max; /* of core modules, in one guest */
    void (*limits)(
        cis_engine_instance *instance); /* of its store, before there is an instance; or NULL */
    wasmtime_error_t *(*instantiate)(cis_engine_instance *instance, wasm_trap_t **out_trap);
    void (*instantiated)(cis_engine_instance *instance); /* or NULL */
    /* The engine ended a guest that had started, with this text and without a trap's code. True: it
     * is a limit of this kind, which is recorded now. NULL: there is none, and such an end is a
     * limit of the engine. */
    bool (*broke)(cis_engine_instance *instance, const struct cis_error *text);
    void (*free)(cis_linked *program);
};

/* The beginning of every program. */
struct cis_linked {
    cis_engine_module *module; /* lives in it: a reference to the program is one to the module */
    struct cis_linked *next;   /* in module->programs */
    const struct cis_program_kind *kind;
};

struct cis_core_program {
    struct cis_linked base;
    wasmtime_instance_pre_t *pre;
    /* Guests that import a memory: it belongs to one store, so that there is no instance-pre. */
    wasmtime_linker_t *linker;
    wasm_memorytype_t *memory;
    struct cis_made_row
        *made; /* rows for imports that nobody has: to trap, or for a recording to answer; owned */
    size_t nmade;
    size_t nbound;
    struct cis_bound bound[]; /* one for each function import, in order */
};

/* Of a program whose module is a core module. */
static inline struct cis_core_program *cis_core_of(cis_linked *program)
{
    return (struct cis_core_program *)program;
}

struct cis_engine_instance {
    cis_engine *engine;
    cis_linked *program;
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    wasmtime_instance_t instance;
    wasmtime_component_instance_t component;

    /* Hot in the trampoline. */
    uint32_t grants;
    uint16_t depth;
    bool in_pool;
    bool started;   /* instantiated */
    bool observed;  /* has a trace or hooks: the trampoline's one question */
    bool mem_fresh; /* mem_base and mem_size are as the guest left them */
    uint8_t *mem_base;
    uint64_t mem_size;
    const struct cis_engine_instance_hooks *hooks; /* who watches it; NULL: nobody */
    void *hooks_self;
    wasmtime_memory_t memory;
    bool has_memory;
    uint64_t host_calls;
    uint64_t grants_used[16], grants_refused[16];

    struct cis_stack stack; /* that the outermost call runs on */
    struct cis_turn turn;
    uint32_t pool_cell; /* of the place in the pool, when in_pool */
    struct cis_stop stop;
    uint64_t armed_ns; /* when the deadline was set: configured = deadline - armed */
    struct cis_limits limits;
    struct cis_budget *budget; /* the run's, or own_budget */
    struct cis_budget own_budget;
    uint64_t
        hostcall_max; /* of values that a component's call decodes, as the engine counts them */
    uint64_t values_bytes; /* charged for values of the component calls going on */
    void *host;
    const struct cis_ifacefn *row; /* of the host call of a component that is going on */
    void (*trace)(void *self, const struct cis_hostfn *row, const union cis_slot *args,
                  const union cis_slot *result, cis_code code, uint64_t ns);
    cis_iface_trace *trace_iface;
    void *trace_self;

    uint64_t memory_bytes, memory_peak; /* memories and tables of the store */
    uint64_t state_bytes;               /* beside them, whole pages; within the same limit */
    uint64_t table_elements;
    bool memory_limit_hit;
    uint64_t memory_limit_asked;

    struct cis_engine_instance_end end;
    char *backtrace;
};

/* Is this hook to be called? */
#define CIS_HOOKED(instance, hook)                                                                 \
    (__builtin_expect((instance)->hooks != NULL, 0) && (instance)->hooks->hook != NULL)

/* trampoline.c; env is a struct cis_bound. */
wasm_trap_t *cis_trampoline(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *raw,
                            size_t n);

/* trampoline.c: of a metered guest. */
uint64_t cis_engine_instance_fuel_left(cis_engine_instance *instance);
void cis_engine_instance_fuel_set(cis_engine_instance *instance, uint64_t units);

/* linked.c: hangs it on its module, which is locked: it goes with it. A program borrows its module
 * while it is there and holds a reference on it for every reference held from outside. */
void cis_program_keep(cis_linked *program) CIS_REQUIRES(engine_lock_programs);
/* Slots that a call of type "ii:i" needs: the larger of both counts, at least 1. */
size_t cis_functype_slots(const char *type);

/* instance.c: runs fn with a CPU slot, on a stack with room, the epoch armed; the end is recorded.
 */
cis_code cis_engine_instance_execute(cis_engine_instance *instance,
                                     wasmtime_error_t *(*fn)(cis_engine_instance *instance,
                                                             void *arg),
                                     void *arg, struct cis_error *err);

/* In the middle of what is done for a guest that has a CPU slot: lends it to whoever waits when its
 * time is over, and is the end of the run when its deadline is, or it is cancelled. */
cis_code cis_engine_instance_pause(cis_engine_instance *instance);

/* memory.c */
/* cis_engine_instance_out without a hook. */
void *cis_engine_instance_peek(cis_engine_instance *instance, uint64_t ptr, uint64_t len);
void cis_engine_instance_limiter(cis_engine_instance *instance);
/* Of a core module: the memory that it exports, if it does. */
void cis_engine_instance_find_memory(cis_engine_instance *instance);

/* trap.c: the end is recorded once; the first record counts. */
cis_code cis_engine_instance_ended(cis_engine_instance *instance, cis_code code, const char *limit,
                                   uint64_t configured, uint64_t reached, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* The same with a message that somebody wrote already. */
cis_code cis_engine_instance_ended_with(cis_engine_instance *instance,
                                        const struct cis_error *error);
/* Records what the engine returned (deletes it) unless an end is recorded already, and the
 * backtrace. Returns the code of the end, copied to err. */
cis_code cis_engine_instance_unwound(cis_engine_instance *instance, wasmtime_error_t *error,
                                     wasm_trap_t *trap, struct cis_error *err);
/* The recorded end as an error of the caller. */
cis_code cis_engine_instance_end_fail(const cis_engine_instance *instance, struct cis_error *err);

#endif
