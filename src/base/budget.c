#include "base/budget.h"

#include <inttypes.h>

cis_code cis_budget_charge(struct cis_budget *budget, uint64_t bytes, const char *what,
                           struct cis_error *err)
{
    if (bytes > budget->limit || budget->used > budget->limit - bytes) {
        return cis_fail(err, CIS_E_BUDGET, "%s: host-side budget of %" PRIu64 " bytes used up",
                        what, budget->limit);
    }
    budget->used += bytes;
    if (budget->used > budget->peak) {
        budget->peak = budget->used;
    }
    return CIS_OK;
}

void cis_budget_release(struct cis_budget *budget, uint64_t bytes)
{
    budget->used = bytes < budget->used ? budget->used - bytes : 0;
}
