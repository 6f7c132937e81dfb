/* A number of permits that can be taken and put back, without a lock. They lie in cells on cache
 * lines of their own and a thread begins at the cell of its CPU: threads on different CPUs write
 * the same line only when permits run short. Threads: any. Inside the engine only. */
#ifndef CIS_ENGINE_PERMITS_H
#define CIS_ENGINE_PERMITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"

struct cis_permit_cell { /* the gaps keep neighbours off its line wherever the array begins */
    char before[64];
    atomic_uint used;
    uint32_t total;
    char after[56];
};

struct cis_permits {
    uint32_t total, ncells;
    struct cis_permit_cell *cells;
};

#define CIS_PERMIT_CELLS_MAX 64u

/* At most `cells` of them, at most CIS_PERMIT_CELLS_MAX. */
cis_code cis_permits_open(struct cis_permits *permits, uint32_t total, uint32_t cells,
                          struct cis_error *err);
void cis_permits_close(struct cis_permits *permits);
/* False: none was found. Sequentially consistent with what the caller does before and after, as
 * waiters need it: whoever counts itself as waiting and then finds none is seen by whoever puts one
 * back and then looks for waiters. */
bool cis_permits_take(struct cis_permits *permits, uint32_t *out_cell);
void cis_permits_put(struct cis_permits *permits, uint32_t cell);
uint32_t cis_permits_used(const struct cis_permits *permits);

#endif
