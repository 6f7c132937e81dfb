/* Host memory that a guest can cause is charged to its run before it is allocated; the peak is for
 * the report. Any thread may charge and release: the run's, and those that serve its files to
 * native programs. The fields are read once they are done. */
#ifndef CIS_BASE_BUDGET_H
#define CIS_BASE_BUDGET_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

struct cis_budget {
    uint64_t limit, used, peak; /* bytes */
};

/* CIS_E_BUDGET "WHAT: host-side budget of N bytes used up" and nothing charged, or CIS_OK. */
cis_code cis_budget_charge(struct cis_budget *budget, uint64_t bytes, const char *what,
                           struct cis_error *err);
/* What could still be charged; of NULL: anything. */
static inline uint64_t cis_budget_left(const struct cis_budget *budget)
{
    if (budget == NULL) {
        return UINT64_MAX;
    }
    uint64_t used = __atomic_load_n(&budget->used, __ATOMIC_RELAXED);
    return used < budget->limit ? budget->limit - used : 0;
}
void cis_budget_release(struct cis_budget *budget, uint64_t bytes);

#endif
