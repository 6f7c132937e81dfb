/* Host functions are tables; a program is an image whose imports are bound to rows of them. */
#ifndef CIS_ENGINE_PROGRAM_H
#define CIS_ENGINE_PROGRAM_H

#include "engine/code/image.h"

typedef struct cis_guest cis_guest;
typedef struct cis_program cis_program;

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
typedef cis_code cis_hostfn_handler(cis_guest *guest, union cis_slot *io, struct cis_error *err);

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

/* Finds the row for an import of the image; NULL when nobody provides it, cis_hostfn_missing when
 * nobody does and the guest is to trap if it ever calls it. */
typedef const struct cis_hostfn *cis_resolver(void *self, const struct cis_extern *import);
extern const struct cis_hostfn cis_hostfn_missing;

/* Binds every function import. An import that nothing provides is CIS_E_IMPORT naming the first one
 * with its type and how many more. `env.memory` is provided by the engine from the guest's own
 * import limits (1 to 8192 pages), other non-function imports are CIS_E_IMPORT. Programs are kept
 * in the image: the same rows give the same program. */
cis_code cis_program_link(cis_image *image, cis_resolver *resolve, void *self,
                          cis_program **out_program, struct cis_error *err);
/* For playing a tape: an import that `resolve` does not know is bound too, by its own name, for
 * nobody is going to be asked. */
cis_code cis_program_link_tape(cis_image *image, cis_resolver *resolve, void *self,
                               cis_program **out_program, struct cis_error *err);
cis_program *cis_program_ref(cis_program *program);
void cis_program_unref(cis_program *program);
cis_image *cis_program_image(const cis_program *program); /* borrowed */

#endif
