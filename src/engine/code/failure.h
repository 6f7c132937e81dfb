/* Failures of the engine's library as errors. Any thread. Inside the engine only. */
#ifndef CIS_ENGINE_FAILURE_H
#define CIS_ENGINE_FAILURE_H

#include <cis_glue.h>
#include "base/error.h"

/* Takes the message out of a Wasmtime error or trap (whichever is not NULL), deletes it and fails
 * with code: "NAME: message", causes joined by ": ". */
cis_code cis_engine_fail(struct cis_error *err, cis_code code, const char *name,
                         wasmtime_error_t *error, wasm_trap_t *trap);
/* CIS_E_NOMEM when the engine's library has needed its reserve (cis_glue_heap_short) since `before`
 * on this thread: what was made in between goes. */
cis_code cis_engine_enough(uint64_t before, const char *name, struct cis_error *err);

#endif
