/* CPU slots: only as many guests execute at once as there are slots. A guest that wants to run
 * takes one (waiting in its tenant's queue), gives it back when it is done or blocks, and hands it
 * over when its slice is used up and somebody waits who is more entitled.
 *
 * Fairness is start-time fair queueing. Every tenant has a virtual time: the time its guests held
 * slots, divided by its weight. A free slot goes to the waiting tenant with the smallest virtual
 * time, first come first served inside a tenant. A tenant that comes back from being idle starts at
 * the clock of the queue (the virtual time of the latest grant), so that idleness earns nothing,
 * while time used beyond a slice (one long bulk instruction) stays a debt.
 *
 * A waiter sleeps on its own condition variable until it is granted a slot, its deadline passes or
 * it is cancelled; the ticker looks through the waiters' cancellation tokens a few at a time.
 * Threads: any. Included by src/engine only. */
#ifndef CIS_ENGINE_SLOTS_H
#define CIS_ENGINE_SLOTS_H

#include "engine/internal.h"
#include "engine/wait.h"

#define CIS_SLOTS_SLICE_NS (4 * CIS_TICK_NS)
#define CIS_SLOTS_WEIGHT_MAX 1024u

struct cis_tenant;

struct cis_slots {
    struct cis_engine *engine;
    pthread_mutex_t lock;
    uint32_t total, busy;
    uint64_t waiting;
    uint64_t clock;         /* virtual time of the latest grant */
    uint64_t offered_ns;    /* when a waiter was last told of a free slot */
    struct cis_map tenants; /* name → struct cis_tenant * */
    size_t sweep_at;
    struct cis_tenant **heap; /* tenants with waiters, least virtual time first */
    size_t nheap, heap_cap;
    struct cis_wait_ring ring; /* waiters that can be cancelled */
    struct cis_wait_list pool; /* waiters for a place in an instance pool */
    atomic_uint pool_waiting;
};

/* One guest's standing; embedded in the guest and used by its thread only. */
struct cis_turn {
    struct cis_tenant *tenant;
    bool held;
    uint64_t charged_ns; /* clock up to which the time held is accounted */
    uint64_t slice_ns;   /* clock at which the current slice began */
    uint64_t cpu_ns, wait_ns;
};

/* The tenant's account, made when first named; a weight that is not 0 replaces the one before. */
cis_code cis_slots_join(struct cis_slots *slots, const char *tenant, uint32_t weight,
                        struct cis_turn *out_turn, struct cis_error *err);
void cis_slots_leave(struct cis_slots *slots, struct cis_turn *turn);

/* Waits for a slot. CIS_E_DEADLINE or CIS_E_CANCELLED: none is held. */
cis_code cis_slots_take(struct cis_slots *slots, struct cis_turn *turn, const struct cis_stop *stop,
                        struct cis_error *err);
void cis_slots_give(struct cis_slots *slots, struct cis_turn *turn);
/* From the epoch callback of a guest that holds a slot: accounts, and hands the slot over if the
 * slice is used up and somebody more entitled waits. On failure no slot is held. */
cis_code cis_slots_tick(struct cis_slots *slots, struct cis_turn *turn, uint64_t now_ns,
                        const struct cis_stop *stop, struct cis_error *err);

/* A place in the instance pool of a profile: waits while all are taken. CIS_E_LIMIT names the pool
 * when the deadline passes first. On-demand profiles only count. */
cis_code cis_pool_enter(struct cis_profile *profile, const struct cis_stop *stop,
                        struct cis_error *err);
void cis_pool_leave(struct cis_profile *profile);

#endif
