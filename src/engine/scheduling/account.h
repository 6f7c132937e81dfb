/* Accounts of CPU time: one for each tenant, found by name, and those that have waiters in a heap
 * with the least served one first. Everything here happens under the lock of the CPU slots.
 * Included by slots.c only. */
#ifndef CIS_ENGINE_ACCOUNT_H
#define CIS_ENGINE_ACCOUNT_H

#include "base/map.h"
#include "engine/scheduling/wait.h"

#define CIS_SLOTS_WEIGHT_MAX 1024u

struct cis_account {
    uint32_t weight;
    atomic_uint refs; /* guests that use it; grows under the lock only */
    uint64_t vtime;   /* nanoseconds held while others waited / weight */
    size_t place;     /* in the heap, when it has waiters */
    struct cis_wait_list waiters;
};

struct cis_accounts {
    uint64_t clock;         /* virtual time of the latest grant */
    struct cis_map tenants; /* name → struct cis_account * */
    size_t sweep_at;
    struct cis_account **heap; /* has room for every tenant: waiting cannot fail for lack of it */
    size_t nheap, heap_cap;
};

void cis_accounts_init(struct cis_accounts *accounts);
void cis_accounts_done(struct cis_accounts *accounts);
/* The tenant's account with one more reference, made when first named; a weight that is not 0
 * replaces the one before. NULL: out of memory. */
struct cis_account *cis_account_get(struct cis_accounts *accounts, const char *name,
                                    uint32_t weight);
/* The first waiter came, the last one went. */
void cis_account_waits(struct cis_accounts *accounts, struct cis_account *t);
void cis_account_rests(struct cis_accounts *accounts, struct cis_account *t);
/* The tenant's guests held a slot for so long. */
void cis_account_charge(struct cis_accounts *accounts, struct cis_account *t, uint64_t ns);
/* A request of a tenant that fell behind the clock counts from now on. */
void cis_account_arrives(struct cis_accounts *accounts, struct cis_account *t);
void cis_account_granted(struct cis_accounts *accounts, const struct cis_account *t);
/* The least served tenant that waits; NULL: none does. */
struct cis_account *cis_account_first(const struct cis_accounts *accounts);

#endif
