/* Host functions are tables; a program is a module whose imports are bound to rows of them. */
#ifndef CIS_ENGINE_PROGRAM_H
#define CIS_ENGINE_PROGRAM_H

#include "engine/code/module.h"

typedef struct cis_engine_instance cis_engine_instance;
typedef struct cis_linked cis_linked;

/* Arguments in, results out, same array (results overwrite from index 0). */
union cis_slot {
    int32_t i32;
    uint32_t u32;
    int64_t i64;
    uint64_t u64;
    float f32;
    double f64;
    uint8_t bytes[16]; /* v128; keeps the size of the engine's raw value */
};

/* A handler holds only semantics. CIS_OK: the guest goes on with what io[0] holds. Anything else
 * ends the run with that code (deadline, cancelled, budget, BADPTR as a trap …). */
typedef cis_code cis_hostfn_handler(cis_engine_instance *instance, union cis_slot *io,
                                    struct cis_error *err);

struct cis_hostfn {
    const char *module, *name;
    const char *type;      /* "iiii:i" as in struct cis_extern */
    uint8_t grant;         /* enum cis_grant (policy/grant.h); the trampoline checks it */
    uint8_t cost;          /* host calls cost fuel: 1 plain, 10 touches the store, 100 network */
    bool ends_when_denied; /* the ABI has no way to say no: a refusal ends the run (DENIED) */
    int64_t denied;        /* value returned when the grant is missing */
    cis_hostfn_handler *handler;
    const char *params; /* names for --trace and docs: "key,klen,out,olen" */
    const char *doc;    /* one sentence */
};

struct cis_hostfn_table {
    const char *abi; /* "cis-1", "env-packed", "wasi_snapshot_preview1" … */
    const struct cis_hostfn *rows;
    size_t nrows;
};

/* Finds the row for an import of the module; NULL when nobody provides it, cis_hostfn_missing when
 * nobody does and the guest is to trap if it ever calls it. */
typedef const struct cis_hostfn *cis_resolver(void *self, const struct cis_extern *import);
extern const struct cis_hostfn cis_hostfn_missing;

/* Binds every function import. An import that nothing provides is CIS_E_IMPORT naming the first one
 * with its type and how many more. `env.memory` is provided by the engine from the guest's own
 * import limits (1 to 8192 pages), other non-function imports are CIS_E_IMPORT. Programs are kept
 * in the module: the same rows give the same program. */
cis_code cis_linked_new(cis_engine_module *module, cis_resolver *resolve, void *self,
                        cis_linked **out_program, struct cis_error *err);
/* For playing a recording: an import that `resolve` does not know is bound too, by its own name,
 * for nobody is going to be asked. */
cis_code cis_linked_new_recorded(cis_engine_module *module, cis_resolver *resolve, void *self,
                                 cis_linked **out_program, struct cis_error *err);
cis_linked *cis_linked_ref(cis_linked *program);
void cis_linked_unref(cis_linked *program);
cis_engine_module *cis_linked_module(const cis_linked *program); /* borrowed */

#endif
