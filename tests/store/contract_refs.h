/* What the two parts of the contract of versioned things share: contract_refs.c (views, refs,
 * forks, snapshots, pins, tenants) and contract_commits.c (the log, files, conflicts, quotas). */
#ifndef CIS_TESTS_STORE_CONTRACT_REFS_H
#define CIS_TESTS_STORE_CONTRACT_REFS_H

#include "contract.h"

struct refs_fixture {
    void *place;
    cis_store *s;
};
extern const struct store_backend *refs_backend;
int refs_setup(void **state);
int refs_teardown(void **state);

cis_code refs_commit(cis_store *s, const char *ref, const struct cis_kv_op *ops, size_t n,
                     struct cis_fs_committed *out, struct cis_error *err);
/* Puts (or with value NULL removes) one key and gives the view that has it. */
struct cis_view refs_put(cis_store *s, const char *ref, const char *key, const char *value);
struct cis_fs_ref refs_ref(cis_store *s, const char *name);
void refs_fork(cis_store *s, struct cis_view from, const char *name);
bool refs_note_entry(void *self, const struct cis_kv_entry *e);
/* All of a's memory at the view, "key=value " each, through every way of reading it. */
void refs_assert_memory(cis_store *s, struct cis_view at, const char *expected);
void refs_assert_key(cis_store *s, struct cis_view at, const char *key, const char *expected);
void refs_assert_found(cis_store *s, struct cis_view at, const char *query, const char *expected);

/* The second part; store_contract_refs_run runs it after the first. */
int refs_commits_run(const char *name);

#endif
