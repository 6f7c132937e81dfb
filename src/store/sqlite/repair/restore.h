/* Putting a store that was made beside into its place (restore_swap.c). For restore.c. */
#ifndef CIS_STORE_SQLITE_REPAIR_RESTORE_H
#define CIS_STORE_SQLITE_REPAIR_RESTORE_H

#include <limits.h>
#include "store/sqlite/internal.h"

/* May a store be put into this folder? CIS_E_EXISTS: it holds something, and replace is false;
 * CIS_E_CONFLICT: a process has it open. */
cis_code cis_sql_swap_check(const char *dir, bool replace, struct cis_error *err);
/* The tenants of the store in `made`, which nobody has open, become those of the one in `dir`; what
 * that had is moved to `kept`, "": there was nothing. At any moment the tenants are all the old
 * ones or all the new ones. */
cis_code cis_sql_swap(const char *made, const char *dir, bool replace, char kept[PATH_MAX],
                      struct cis_error *err);

#endif
