/* What the compiler's child process and its parent say to each other over pipes. Both are the same
 * build of the same program (the fingerprint says so), so structs travel as they are. */
#ifndef CIS_ENGINE_CHILD_H
#define CIS_ENGINE_CHILD_H

#include "engine/internal.h"

#define CIS_CHILD_MAGIC 0x31434943u /* "CIC1" */
#define CIS_CHILD_NO_MEMORY 77      /* exit code: the memory limit was in the way */

struct cis_child_request { /* followed by `len` bytes of module */
    uint32_t magic;
    uint32_t features;
    uint32_t fuel;
    uint32_t reserved;
    uint64_t slot_bytes;
    uint64_t len;
    char name[96]; /* for messages */
};
_Static_assert(sizeof(struct cis_child_request) == 128, "layout of the request");

struct cis_child_answer { /* followed by `len` bytes: the artefact, or a message when code is set */
    uint32_t magic;
    uint32_t code;
    uint64_t fingerprint;
    uint64_t len;
};
_Static_assert(sizeof(struct cis_child_answer) == 24, "layout of the answer");

/* Compiles with this engine and appends the artefact. */
cis_code cis_compile_with(wasm_engine_t *engine, struct cis_bytes binary, const char *name,
                          struct cis_buf *out, struct cis_error *err);

#endif
