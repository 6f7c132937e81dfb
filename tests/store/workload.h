/* An endless, repeatable series of steps over a store, each one durable and whole or absent: runs
 * that write files, memory, config and a record; forks; snapshots; moved refs. And the audit that a
 * store holds exactly the first n of them. For tests that interrupt it. */
#ifndef CIS_TESTS_STORE_WORKLOAD_H
#define CIS_TESTS_STORE_WORKLOAD_H

#include "store/store.h"

/* Step i; a step that is there already is CIS_OK. */
cis_code workload_step(cis_store *s, unsigned i, struct cis_error *err);
/* With the store closed: folds the tenant's log in and cuts it to nothing, or lets the next commit
 * begin it anew. A store without a tenant is left as it is. */
cis_code workload_fold(const char *dir, bool cut, struct cis_error *err);
/* Opens the store and proves that it is sound and holds steps 0 … n - 1 and nothing of later ones;
 * returns n, which is at least `acked`. */
unsigned workload_audit(const char *dir, unsigned acked);

#endif
