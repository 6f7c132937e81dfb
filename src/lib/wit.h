/* Inside lib/: a call of values. */
#ifndef CIS_LIB_WIT_H
#define CIS_LIB_WIT_H

#include "lib/provider.h"
#include "run/run.h"

struct cis_wit_call {
    cis_engine_instance *instance;
    const struct cis_lib_function *function; /* a host function's; NULL: a call of an export */
    const cis_val *args;
    size_t nargs;
    cis_val *result;
    struct cis_error first; /* of a step that could not be done, or of cis_wit_fail */
    /* Of an export. */
    cis_component *component; /* NULL once that is closed */
    const cis_runtime *runtime;
    cis_vals *vals;
    char *name, *type;
    bool performed;
    bool doomed; /* freed while it was performed */
};

#endif
