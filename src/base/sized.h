/* Public structs that begin with their size: the size is the caller's, who may have been compiled
 * with an older header (a shorter struct: what it does not know has its default) or with a newer
 * one (a longer struct: taken as long as what this library does not know is zero). A struct that
 * grows keeps its row's `first`. */
#ifndef CIS_BASE_SIZED_H
#define CIS_BASE_SIZED_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

struct cis_sized {
    const char *what; /* for messages: "run options" */
    const char *init; /* the macro that sets the size */
    size_t first;     /* bytes of the first version */
    size_t known;     /* bytes of this one */
};
#define CIS_SIZED(type, what, init)                                                                \
    {                                                                                              \
        what, init, sizeof(type), sizeof(type)                                                     \
    }
#define CIS_SIZED_GROWN(type, added, what, init)                                                   \
    {                                                                                              \
        what, init, offsetof(type, added), sizeof(type)                                            \
    }

/* Is the size of this struct one that can be honoured? Reads `size`, and what is beyond `known`.
 * CIS_E_USAGE. */
cis_code cis_sized_check(const struct cis_sized *kind, const void *from, struct cis_error *err);
/* Over *inout, which holds the defaults in `known` bytes. from NULL: nothing to take. */
cis_code cis_sized_take(const struct cis_sized *kind, const void *from, void *inout,
                        struct cis_error *err);
/* Gives as much of a whole struct as the caller has room for; its size stays what it was. */
void cis_sized_give(const struct cis_sized *kind, const void *whole, void *out);

#endif
