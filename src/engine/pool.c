/* Places in the instance pools. The engine refuses an instance when the pool is full; here a guest
 * waits for a place until its deadline. */
#include "engine/slots.h"

#include "engine/wait.h"

static bool pool_try(struct cis_profile *p)
{
    unsigned live = atomic_load(&p->live);
    while (live < p->pool_slots) {
        if (atomic_compare_exchange_weak(&p->live, &live, live + 1)) {
            return true;
        }
    }
    return false;
}

static cis_code pool_wait(struct cis_profile *p, const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_slots *s = p->owner->slots;
    struct cis_waiter w;
    cis_wait_init(&w, stop->cancel, p);
    enum cis_wait_state end = CIS_WAIT_GRANTED;
    cis_ticker_begin(p->owner); /* for the sweep: perhaps no guest runs now */
    pthread_mutex_lock(&s->lock);
    atomic_fetch_add(&s->pool_waiting, 1); /* before the last look: see cis_pool_leave */
    if (!pool_try(p)) {
        cis_wait_append(&s->pool, &w);
        cis_wait_ring_add(&s->ring, &w);
        end = cis_wait_sleep(&w, &s->lock, stop->deadline_ns);
        if (end != CIS_WAIT_GRANTED) {
            cis_wait_remove(&s->pool, &w);
            cis_wait_ring_remove(&s->ring, &w);
        }
    }
    atomic_fetch_sub(&s->pool_waiting, 1);
    pthread_mutex_unlock(&s->lock);
    cis_ticker_end(p->owner);
    cis_wait_done(&w);
    if (end == CIS_WAIT_CANCELLED) {
        return cis_fail(err, CIS_E_CANCELLED, "cancelled while waiting for the instance pool");
    }
    if (end != CIS_WAIT_GRANTED) {
        return cis_fail(err, CIS_E_LIMIT,
                        "limit \"pool\": all %u instances were in use until the "
                        "time limit",
                        p->pool_slots);
    }
    return CIS_OK;
}

cis_code cis_pool_enter(struct cis_profile *profile, const struct cis_stop *stop,
                        struct cis_error *err)
{
    if (!profile->pooled) {
        atomic_fetch_add(&profile->owner->ondemand_live, 1);
        return CIS_OK;
    }
    if (atomic_load(&profile->owner->slots->pool_waiting) == 0 && pool_try(profile)) {
        return CIS_OK;
    }
    return pool_wait(profile, stop, err);
}

void cis_pool_leave(struct cis_profile *profile)
{
    if (!profile->pooled) {
        atomic_fetch_sub(&profile->owner->ondemand_live, 1);
        return;
    }
    struct cis_slots *s = profile->owner->slots;
    atomic_fetch_sub(&profile->live, 1);
    if (atomic_load(&s->pool_waiting) == 0) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    for (struct cis_waiter *w = s->pool.head; w != NULL; w = w->next) {
        if (w->what == profile && pool_try(profile)) {
            cis_wait_remove(&s->pool, w);
            cis_wait_ring_remove(&s->ring, w);
            cis_wait_wake(w, CIS_WAIT_GRANTED);
            break;
        }
    }
    pthread_mutex_unlock(&s->lock);
}
