/* A thread that waits for something scarce. It sleeps on a word of its own, outside any lock, and
 * whoever grants or cancels has taken it out of the queue before: it runs on without the lock.
 * Waiters that can be cancelled are in a ring besides, which the ticker looks through a few at a
 * time. All but cis_wait_sleep happens under the owner's lock. Inside the engine only. */
#ifndef CIS_ENGINE_WAIT_H
#define CIS_ENGINE_WAIT_H

#include <pthread.h>
#include <stdatomic.h>
#include "base/cancel.h"

enum cis_wait_state {
    CIS_WAIT_SLEEPING,
    CIS_WAIT_OFFERED, /* woken to look for itself; still in the queue */
    CIS_WAIT_GRANTED,
    CIS_WAIT_CANCELLED,
    CIS_WAIT_EXPIRED /* the deadline came first */
};

struct cis_wait_list;

struct cis_waiter { /* on the waiting thread's stack; gone once it sees GRANTED or CANCELLED */
    atomic_uint state;
    uint32_t cell; /* of the permit that was granted */
    cis_cancel *cancel;
    uint64_t deadline_ns;
    uint64_t since_ns;
    void *what;                               /* the owner's mark */
    struct cis_wait_list *list;               /* the queue it is in; NULL: taken out */
    struct cis_waiter *next, *prev;           /* in the queue */
    struct cis_waiter *ring_next, *ring_prev; /* among those that can be cancelled */
};

struct cis_wait_list { /* first come, first served */
    struct cis_waiter *head, *tail;
};

struct cis_wait_ring {
    struct cis_waiter *at; /* where the next look begins */
};

void cis_wait_init(struct cis_waiter *w, const struct cis_stop *stop, void *what, uint64_t now);
/* Into the queue and the ring, and out of both. */
void cis_wait_add(struct cis_wait_list *list, struct cis_wait_ring *ring, struct cis_waiter *w);
void cis_wait_remove(struct cis_wait_ring *ring, struct cis_waiter *w);
/* Sleeps until woken or the deadline. EXPIRED: the caller takes the lock, looks whether it is still
 * queued, and takes itself out. */
enum cis_wait_state cis_wait_sleep(struct cis_waiter *w);
/* GRANTED, CANCELLED: w was taken out, and is gone when this returns. */
void cis_wait_wake(struct cis_waiter *w, enum cis_wait_state state);
/* The next queued waiter whose token was fired, among a few that are looked at; NULL: no more.
 * Start with *look = cis_wait_looks(); called each tick it comes round to all `waiting` tokens
 * within CIS_WAIT_ROUNDS ticks. */
struct cis_waiter *cis_wait_cancelled(struct cis_wait_ring *ring, uint64_t *look);
uint64_t cis_wait_looks(uint64_t waiting);
#define CIS_WAIT_ROUNDS 16u

/* Waits on a condition variable until it is signalled, the deadline or (in short steps) the
 * cancellation; may wake for nothing. The lock is held. */
cis_code cis_wait_cond(pthread_cond_t *cond, pthread_mutex_t *lock, const struct cis_stop *stop,
                       const char *what, struct cis_error *err);

#endif
