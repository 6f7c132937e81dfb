/* A growing array of plain bytes that leaves memory: up to CIS_SPILL_MEMORY it is on the heap,
 * beyond in a file without a name (in $TMPDIR, else /var/tmp, else /tmp), mapped, so that the
 * kernel can write it out. For work that has to hold something for each row of a store. What it
 * returns is borrowed until the next call that grows it. One thread an object.
 *
 * The file's blocks are allocated before they are mapped: a full disk is CIS_E_IO of the call. */
#ifndef CIS_BASE_SPILL_H
#define CIS_BASE_SPILL_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

#define CIS_SPILL_MEMORY (8u << 20) /* bytes of one array */

struct cis_spill {
    uint8_t *ptr;
    size_t len, cap;
    int file; /* the descriptor + 1, 0: it is on the heap */
};

/* Appends. */
cis_code cis_spill_add(struct cis_spill *spill, const void *ptr, size_t bytes,
                       struct cis_error *err);
/* Appends zeros. */
cis_code cis_spill_zeros(struct cis_spill *spill, size_t bytes, struct cis_error *err);
void cis_spill_done(struct cis_spill *spill);

#endif
