#include "engine/scheduling/permits.h"

#include <sched.h>
#include "base/mem.h"

cis_code cis_permits_open(struct cis_permits *permits, uint32_t total, uint32_t cells,
                          struct cis_error *err)
{
    uint32_t n = cells < CIS_PERMIT_CELLS_MAX ? cells : CIS_PERMIT_CELLS_MAX;
    n = n < total ? n : total;
    n = n != 0 ? n : 1;
    *permits = (struct cis_permits){.total = total, .ncells = n};
    permits->cells = cis_calloc(n, sizeof *permits->cells);
    if (permits->cells == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "engine: out of memory");
    }
    for (uint32_t i = 0; i < n; i++) {
        permits->cells[i].total = total / n + (i < total % n ? 1 : 0);
    }
    return CIS_OK;
}

void cis_permits_close(struct cis_permits *permits)
{
    cis_free(permits->cells);
    permits->cells = NULL;
}

bool cis_permits_take(struct cis_permits *permits, uint32_t *out_cell)
{
    int cpu = sched_getcpu();
    uint32_t at = cpu > 0 ? (uint32_t)cpu % permits->ncells : 0;
    for (uint32_t i = 0; i < permits->ncells; i++) {
        struct cis_permit_cell *cell = &permits->cells[at];
        unsigned used = atomic_load(&cell->used);
        while (used < cell->total) {
            if (atomic_compare_exchange_weak(&cell->used, &used, used + 1)) {
                *out_cell = at;
                return true;
            }
        }
        at = at + 1 < permits->ncells ? at + 1 : 0;
    }
    return false;
}

void cis_permits_put(struct cis_permits *permits, uint32_t cell)
{
    atomic_fetch_sub(&permits->cells[cell].used, 1);
}

uint32_t cis_permits_used(const struct cis_permits *permits)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < permits->ncells; i++) {
        used += atomic_load(&permits->cells[i].used);
    }
    return used;
}
