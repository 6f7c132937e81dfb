/* CPU slots: only as many guests execute at once as there are slots. A guest that wants to run
 * takes one (waiting in its tenant's queue), gives it back when it is done or blocks, and hands it
 * over when its slice is used up and somebody waits who is more entitled.
 *
 * While nobody waits, taking and giving are one atomic operation each on a line of the thread's CPU
 * and nothing is charged: time that nobody else wanted is nobody's debt. The lock and the accounts
 * are for the moments when somebody waits.
 *
 * Fairness is start-time fair queueing. Every tenant has a virtual time: the time its guests held
 * slots while others waited, divided by its weight. A free slot goes to the waiting tenant with the
 * smallest virtual time, first come first served inside a tenant. A tenant that comes back from
 * being idle starts at the clock of the queue (the virtual time of the latest grant), so that
 * idleness earns nothing, while time used beyond a slice (one long bulk instruction) stays a debt.
 *
 * A waiter sleeps until it is granted a slot, its deadline passes, or the ticker finds that its
 * token was fired. Threads: any. Inside the engine only. */
#ifndef CIS_ENGINE_SLOTS_H
#define CIS_ENGINE_SLOTS_H

#include "engine/scheduling/account.h"
#include "engine/scheduling/permits.h"
#include "engine/scheduling/ticker.h"

#define CIS_SLOTS_SLICE_NS (4 * CIS_TICK_NS)

struct cis_slots {
    struct cis_ticker *ticker;
    struct cis_permits cpus;
    char gap[64]; /* what every call reads is seldom written, what is written often lies below */
    atomic_uint waiting;      /* guests that wait for a slot */
    atomic_uint pool_waiting; /* and for a place in an instance pool */
    char gap2[64];
    pthread_mutex_t lock;
    /* when a waiter was last told of a free slot */
    uint64_t offered_ns CIS_GUARDED_BY(engine_lock_slots);
    struct cis_accounts accounts CIS_GUARDED_BY(engine_lock_slots);
    struct cis_wait_ring ring CIS_GUARDED_BY(engine_lock_slots);
    struct cis_wait_list pool
        CIS_GUARDED_BY(engine_lock_slots); /* waiters for a place in an instance pool */
};

/* One guest's standing; embedded in the guest and used by its thread only. */
struct cis_turn {
    const char *name; /* of the tenant, borrowed */
    uint32_t weight;
    struct cis_account *tenant; /* its account, once it was needed */
    bool held;
    bool arrived;        /* the account knows of the latest request */
    uint32_t cell;       /* of the slot held */
    uint64_t charged_ns; /* clock up to which the time held is accounted */
    uint64_t slice_ns;   /* clock at which the current slice began */
    uint64_t cpu_ns, wait_ns;
};

/* The ticker is borrowed; it may be opened after them. */
cis_code cis_slots_open(struct cis_ticker *ticker, uint32_t slots, struct cis_slots **out,
                        struct cis_error *err);
void cis_slots_close(struct cis_slots *slots);
void cis_slots_count(struct cis_slots *slots, uint64_t *out_busy, uint64_t *out_waiting);
/* Nobody runs and nobody waits. */
bool cis_slots_idle(struct cis_slots *slots);
/* Called by the ticker after each tick: hands out what is free, ends waits whose token was fired.
 */
void cis_slots_sweep(struct cis_slots *slots) CIS_TAKES(ENGINE_FROM_SLOTS);

/* The tenant's name (NULL: "default") is borrowed until cis_slots_leave. A weight that is not 0
 * replaces the one before, from the first time on that this guest meets others who wait. */
void cis_slots_join(const char *tenant, uint32_t weight, struct cis_turn *out_turn);
void cis_slots_leave(struct cis_slots *slots, struct cis_turn *turn) CIS_TAKES(ENGINE_FROM_SLOTS);

/* Waits for a slot. CIS_E_DEADLINE or CIS_E_CANCELLED: none is held. */
cis_code cis_slots_take(struct cis_slots *slots, struct cis_turn *turn, const struct cis_stop *stop,
                        struct cis_error *err) CIS_TAKES(ENGINE_FROM_SLOTS);
void cis_slots_give(struct cis_slots *slots, struct cis_turn *turn) CIS_TAKES(ENGINE_FROM_SLOTS);
/* From the epoch callback of a guest that holds a slot: accounts, and hands the slot over if the
 * slice is used up and somebody more entitled waits. On failure no slot is held. */
cis_code cis_slots_tick(struct cis_slots *slots, struct cis_turn *turn, uint64_t now_ns,
                        const struct cis_stop *stop, struct cis_error *err)
    CIS_TAKES(ENGINE_FROM_SLOTS);

/* Takes one out that waits for a place in a pool. */
void cis_pool_unqueue(struct cis_slots *slots, struct cis_waiter *w)
    CIS_REQUIRES(engine_lock_slots);

#endif
