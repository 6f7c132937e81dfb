/* Conditions that only a defect of cis can break. Release builds keep them: what a guest can reach
 * is never left to assert(), which the source check refuses in src/. A condition that a guest, a
 * peer, a file or an embedder can break is no check but an error with a code of its own. */
#ifndef CIS_BASE_CHECK_H
#define CIS_BASE_CHECK_H

#include "base/error.h"

/* CIS_OK, or CIS_E_INTERNAL "internal error: CONDITION does not hold in FUNCTION": the run ends,
 * the process goes on. CIS_TRY(cis_check(n <= room, err)); */
#define cis_check(condition, err)                                                                  \
    (__builtin_expect(!!(condition), 1) ? CIS_OK : cis_check_failed(#condition, __func__, (err)))

cis_code cis_check_failed(const char *condition, const char *function, struct cis_error *err)
    __attribute__((cold));

#endif
