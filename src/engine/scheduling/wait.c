#include "engine/scheduling/wait.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"

void cis_wait_init(struct cis_waiter *w, const struct cis_stop *stop, void *what, uint64_t now)
{
    *w = (struct cis_waiter){
        .cancel = stop->cancel, .deadline_ns = stop->deadline_ns, .since_ns = now, .what = what};
}

/* ---- the ring ---- */

static void ring_add(struct cis_wait_ring *ring, struct cis_waiter *w)
{
    struct cis_waiter *at = ring->at;
    if (w->cancel == NULL) {
        return;
    }
    if (at == NULL) {
        ring->at = w->ring_next = w->ring_prev = w;
        return;
    }
    w->ring_next = at;
    w->ring_prev = at->ring_prev;
    w->ring_prev->ring_next = w;
    at->ring_prev = w;
}

static void ring_remove(struct cis_wait_ring *ring, struct cis_waiter *w)
{
    if (w->ring_next == NULL) {
        return;
    }
    if (ring->at == w) {
        ring->at = w->ring_next != w ? w->ring_next : NULL;
    }
    w->ring_prev->ring_next = w->ring_next;
    w->ring_next->ring_prev = w->ring_prev;
    w->ring_next = w->ring_prev = NULL;
}

/* ---- queues ---- */

void cis_wait_add(struct cis_wait_list *list, struct cis_wait_ring *ring, struct cis_waiter *w)
{
    w->list = list;
    w->prev = list->tail;
    if (list->tail != NULL) {
        list->tail->next = w;
    } else {
        list->head = w;
    }
    list->tail = w;
    ring_add(ring, w);
}

void cis_wait_remove(struct cis_wait_ring *ring, struct cis_waiter *w)
{
    struct cis_wait_list *list = w->list;
    *(w->prev != NULL ? &w->prev->next : &list->head) = w->next;
    *(w->next != NULL ? &w->next->prev : &list->tail) = w->prev;
    w->next = w->prev = NULL;
    w->list = NULL;
    ring_remove(ring, w);
}

/* ---- sleeping ---- */

_Static_assert(sizeof(atomic_uint) == 4, "the kernel sleeps on 32 bits");

enum cis_wait_state cis_wait_sleep(struct cis_waiter *w)
{
    struct timespec until = {.tv_sec = (time_t)(w->deadline_ns / CIS_NS_PER_S),
                             .tv_nsec = (long)(w->deadline_ns % CIS_NS_PER_S)};
    const struct timespec *timeout = w->deadline_ns != CIS_NEVER ? &until : NULL;
    unsigned state;
    while ((state = atomic_load(&w->state)) == CIS_WAIT_SLEEPING) {
        /* With a bit set the time is an instant of the monotonic clock. */
        if (syscall(SYS_futex, &w->state, FUTEX_WAIT_BITSET_PRIVATE, CIS_WAIT_SLEEPING, timeout,
                    NULL, FUTEX_BITSET_MATCH_ANY) != 0 &&
            errno == ETIMEDOUT) {
            return CIS_WAIT_EXPIRED;
        }
    }
    return (enum cis_wait_state)state;
}

void cis_wait_wake(struct cis_waiter *w, enum cis_wait_state state)
{
    atomic_store(&w->state, (unsigned)state);
    /* From here on w may be gone. The kernel only compares the address; at worst it wakes somebody
     * who sleeps in the same place of a reused stack, and that one looks and sleeps again. */
    syscall(SYS_futex, &w->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ---- looking ---- */

uint64_t cis_wait_looks(uint64_t waiting)
{
    return waiting / CIS_WAIT_ROUNDS + 64;
}

struct cis_waiter *cis_wait_cancelled(struct cis_wait_ring *ring, uint64_t *look)
{
    while (*look != 0 && ring->at != NULL) {
        --*look;
        struct cis_waiter *w = ring->at;
        ring->at = w->ring_next;
        if (cis_cancel_fired(w->cancel)) {
            return w;
        }
        if (w->ring_next == w) {
            *look = 0;
        }
    }
    return NULL;
}

cis_code cis_wait_cond(pthread_cond_t *cond, pthread_mutex_t *lock, const struct cis_stop *stop,
                       const char *what, struct cis_error *err)
{
    CIS_TRY(cis_stop_check(stop, what, err));
    uint64_t until = stop->deadline_ns;
    if (stop->cancel != NULL) { /* nobody signals for a cancellation: look at it in short steps */
        uint64_t soon = cis_clock_after(cis_clock_mono_ns(), 10 * CIS_NS_PER_MS);
        until = soon < until ? soon : until;
    }
    if (until == CIS_NEVER) {
        pthread_cond_wait(cond, lock);
        return CIS_OK;
    }
    struct timespec at = {.tv_sec = (time_t)(until / CIS_NS_PER_S),
                          .tv_nsec = (long)(until % CIS_NS_PER_S)};
    pthread_cond_timedwait(cond, lock, &at);
    return CIS_OK;
}
