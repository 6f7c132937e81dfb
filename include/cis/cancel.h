/* A cancellation token: made by the embedder, given to any number of runs, fired once from any
 * thread (not from a signal handler). Reference counted. */
#ifndef CIS_CANCEL_H
#define CIS_CANCEL_H

#include <stdbool.h>
#include "cis/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cis_cancel cis_cancel;

CIS_API enum cis_code cis_cancel_new(cis_cancel **out_cancel, struct cis_error *err);
CIS_API cis_cancel *cis_cancel_ref(cis_cancel *cancel);
/* NULL is allowed. */
CIS_API void cis_cancel_unref(cis_cancel *cancel);
/* Idempotent; any thread. */
CIS_API void cis_cancel_fire(cis_cancel *cancel);
CIS_API bool cis_cancel_fired(const cis_cancel *cancel); /* NULL: false */

#ifdef __cplusplus
}
#endif
#endif
