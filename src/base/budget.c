#include "base/budget.h"

#include <inttypes.h>
#include <stdbool.h>

/* Nothing else is ordered by these numbers: relaxed is enough. */
#define ORDER __ATOMIC_RELAXED

cis_code cis_budget_charge(struct cis_budget *budget, uint64_t bytes, const char *what,
                           struct cis_error *err)
{
    uint64_t used = __atomic_load_n(&budget->used, ORDER);
    do {
        if (bytes > budget->limit || used > budget->limit - bytes) {
            return cis_fail(err, CIS_E_BUDGET, "%s: host-side budget of %" PRIu64 " bytes used up",
                            what, budget->limit);
        }
    } while (!__atomic_compare_exchange_n(&budget->used, &used, used + bytes, true, ORDER, ORDER));
    uint64_t peak = __atomic_load_n(&budget->peak, ORDER);
    while (peak < used + bytes &&
           !__atomic_compare_exchange_n(&budget->peak, &peak, used + bytes, true, ORDER, ORDER)) {
    }
    return CIS_OK;
}

void cis_budget_release(struct cis_budget *budget, uint64_t bytes)
{
    uint64_t used = __atomic_load_n(&budget->used, ORDER);
    while (!__atomic_compare_exchange_n(&budget->used, &used, bytes < used ? used - bytes : 0, true,
                                        ORDER, ORDER)) {
    }
}
