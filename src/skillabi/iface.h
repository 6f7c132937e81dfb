/* Inside skillabi/: what the interfaces of components share. Every error of cis:skill is the same
 * variant; its cases say what a guest can act on, reasons for the user go to the log. */
#ifndef CIS_SKILLABI_IFACE_H
#define CIS_SKILLABI_IFACE_H

#include "skillabi/abi.h"

#define CIS_IFACE_ERROR                                                                            \
    "variant{denied,invalid(string),too-large(u64),limit,not-text,unavailable,timeout,failed}"

/* A failed verb: err(…) by its code and CIS_OK when the run may go on. fn names the function in the
 * log. */
cis_code cis_iface_failed(cis_engine_instance *instance, cis_val *result, const char *fn,
                          cis_code code, struct cis_error *err);
cis_code cis_iface_too_large(cis_val *result, uint64_t max);
/* err(limit) when the budget does not hold the answer: `code` is of a cis_val_set_… call. */
cis_code cis_iface_built(cis_engine_instance *instance, cis_val *result, const char *fn,
                         cis_code code, struct cis_error *err);
static inline cis_code cis_iface_ok(cis_val *result)
{
    cis_val_set_result(result, true, NULL);
    return CIS_OK;
}

cis_ifacefn_handler cis_iface_chat, cis_iface_send, cis_iface_ask, cis_iface_progress;

#endif
