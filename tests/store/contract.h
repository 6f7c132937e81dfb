/* The contract of store/store.h, written once and run for every backend. A backend's program opens
 * an empty store for each test and calls store_contract_run. */
#ifndef CIS_TESTS_STORE_CONTRACT_H
#define CIS_TESTS_STORE_CONTRACT_H

#include "store/store.h"

struct store_backend {
    const char *name;
    /* A second call on the same place opens the same store again. */
    cis_store *(*open)(void *place);
    void *(*place_new)(void);
    void (*place_free)(void *place);
    /* Every stored payload gets other bytes; heads and counts stay. For the filesystem's contract.
     */
    void (*damage)(void *place);
};
int store_contract_run(const struct store_backend *backend);
int store_contract_refs_run(const struct store_backend *backend);
int store_contract_skills_run(const struct store_backend *backend);

/* Short forms for tests. */
#define T CIS_STR("default")
struct cis_kv_op store_put(const char *ns, const char *key, const char *value);
struct cis_kv_op store_del(const char *ns, const char *key);
void store_run_row(struct cis_run_row *out, const char *skill, const char *status);
cis_code store_apply(cis_store *store, const struct cis_kv_op *ops, size_t n,
                     struct cis_error *err);
/* A skill that is not there yet. */
cis_code store_skill_add(cis_store *store, struct cis_str tenant, const struct cis_skill_row *row,
                         struct cis_error *err);
/* The value as malloc'ed text, NULL when absent. */
char *store_get(cis_store *store, const char *ns, const char *key);

#endif
