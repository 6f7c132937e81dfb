/* scheduler:actions-http/http-component: what its callers and its components share. */
#ifndef SCHEDULER_ACTIONS_H
#define SCHEDULER_ACTIONS_H

#include "guest.h"

#define ACTIONS "scheduler:actions-http/http-component@0.1.0"

/* option<string>, export-def, and result<action-outcome, string>, as they lie in memory. */
struct guest_maybe {
    uint8_t is;
    struct guest_text text;
};
struct guest_export {
    struct guest_text type, name;
    struct guest_maybe scope, initial;
};
struct guest_outcome {
    uint8_t failed; /* of the call */
    union {
        struct {
            uint8_t failed; /* the action's status */
            struct guest_maybe detail;
        } ok;
        struct guest_text error;
    } is;
};
_Static_assert(sizeof(struct guest_export) == 40 && sizeof(struct guest_outcome) == 20,
               "by the ABI");

/* action-def as parameters. */
#define ACTION_DEF                                                                                 \
    char *id, size_t id_len, char *call, size_t call_len, char *with, size_t with_len,             \
        struct guest_export *exports, size_t nexports

#endif
