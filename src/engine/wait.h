/* A thread that waits for something scarce: it sleeps on its own condition variable, in a queue
 * that belongs to the scarce thing, and in a ring that the ticker looks through for cancellations.
 * Everything here happens under the owner's lock. Included by src/engine only. */
#ifndef CIS_ENGINE_WAIT_H
#define CIS_ENGINE_WAIT_H

#include <pthread.h>
#include "base/cancel.h"

enum cis_wait_state {
    CIS_WAIT_SLEEPING,
    CIS_WAIT_OFFERED, /* woken to look for itself; still in the queue */
    CIS_WAIT_GRANTED,
    CIS_WAIT_CANCELLED
};

struct cis_waiter { /* on the waiting thread's stack */
    pthread_cond_t wake;
    enum cis_wait_state state;
    cis_cancel *cancel;
    const void *what; /* the owner's mark */
    uint64_t since_ns;
    struct cis_waiter *next, *prev;           /* in the queue */
    struct cis_waiter *ring_next, *ring_prev; /* among those that can be cancelled */
};

struct cis_wait_list { /* first come, first served */
    struct cis_waiter *head, *tail;
};

struct cis_wait_ring {
    struct cis_waiter *at; /* where the next look begins */
};

void cis_wait_init(struct cis_waiter *w, cis_cancel *cancel, const void *what);
void cis_wait_done(struct cis_waiter *w);
void cis_wait_append(struct cis_wait_list *list, struct cis_waiter *w);
void cis_wait_remove(struct cis_wait_list *list, struct cis_waiter *w);
void cis_wait_ring_add(struct cis_wait_ring *ring, struct cis_waiter *w);
void cis_wait_ring_remove(struct cis_wait_ring *ring, struct cis_waiter *w);
/* Sleeps until woken or the deadline; SLEEPING is the answer when the deadline came first. */
enum cis_wait_state cis_wait_sleep(struct cis_waiter *w, pthread_mutex_t *lock,
                                   uint64_t deadline_ns);
void cis_wait_wake(struct cis_waiter *w, enum cis_wait_state state);
/* Looks at a few tokens and wakes their waiters when fired. Called each tick it comes round to all
 * `waiting` waiters within CIS_WAIT_ROUNDS ticks. */
void cis_wait_sweep(struct cis_wait_ring *ring, uint64_t waiting);
#define CIS_WAIT_ROUNDS 16u

#endif
