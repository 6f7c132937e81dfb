#include "engine/wait.h"

#include <errno.h>
#include <time.h>
#include "base/clock.h"

void cis_wait_init(struct cis_waiter *w, cis_cancel *cancel, const void *what)
{
    *w = (struct cis_waiter){.cancel = cancel, .what = what};
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attr);
    pthread_condattr_destroy(&attr);
}

void cis_wait_done(struct cis_waiter *w)
{
    pthread_cond_destroy(&w->wake);
}

void cis_wait_append(struct cis_wait_list *list, struct cis_waiter *w)
{
    w->prev = list->tail;
    w->next = NULL;
    if (list->tail != NULL) {
        list->tail->next = w;
    } else {
        list->head = w;
    }
    list->tail = w;
}

void cis_wait_remove(struct cis_wait_list *list, struct cis_waiter *w)
{
    if (w->prev != NULL) {
        w->prev->next = w->next;
    } else {
        list->head = w->next;
    }
    if (w->next != NULL) {
        w->next->prev = w->prev;
    } else {
        list->tail = w->prev;
    }
    w->next = w->prev = NULL;
}

void cis_wait_ring_add(struct cis_wait_ring *ring, struct cis_waiter *w)
{
    if (w->cancel == NULL) {
        return;
    }
    if (ring->at == NULL) {
        ring->at = w->ring_next = w->ring_prev = w;
        return;
    }
    w->ring_next = ring->at;
    w->ring_prev = ring->at->ring_prev;
    w->ring_prev->ring_next = w;
    w->ring_next->ring_prev = w;
}

void cis_wait_ring_remove(struct cis_wait_ring *ring, struct cis_waiter *w)
{
    if (w->ring_next == NULL) {
        return;
    }
    if (w->ring_next == w) {
        ring->at = NULL;
    } else {
        w->ring_prev->ring_next = w->ring_next;
        w->ring_next->ring_prev = w->ring_prev;
        if (ring->at == w) {
            ring->at = w->ring_next;
        }
    }
    w->ring_next = w->ring_prev = NULL;
}

enum cis_wait_state cis_wait_sleep(struct cis_waiter *w, pthread_mutex_t *lock,
                                   uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / CIS_NS_PER_S),
                             .tv_nsec = (long)(deadline_ns % CIS_NS_PER_S)};
    /* Cancelled before the ring knew the waiter: the sweep would find it too, a tick later. */
    if (w->state == CIS_WAIT_SLEEPING && cis_cancel_fired(w->cancel)) {
        w->state = CIS_WAIT_CANCELLED;
    }
    while (w->state == CIS_WAIT_SLEEPING) {
        if (deadline_ns == CIS_NEVER) {
            pthread_cond_wait(&w->wake, lock);
        } else if (pthread_cond_timedwait(&w->wake, lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    return w->state;
}

void cis_wait_wake(struct cis_waiter *w, enum cis_wait_state state)
{
    w->state = state;
    /* Under the lock: the waiter owns the condition variable and is gone once it sees the state. */
    pthread_cond_signal(&w->wake);
}

void cis_wait_sweep(struct cis_wait_ring *ring, uint64_t waiting)
{
    uint64_t look = waiting / CIS_WAIT_ROUNDS + 64;
    for (; look > 0 && ring->at != NULL; look--) {
        struct cis_waiter *w = ring->at;
        ring->at = w->ring_next;
        if (w->state == CIS_WAIT_SLEEPING && cis_cancel_fired(w->cancel)) {
            cis_wait_wake(w, CIS_WAIT_CANCELLED);
        }
        if (ring->at == w) {
            break;
        }
    }
}
