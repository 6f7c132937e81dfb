/* Places in the instance pools. The engine refuses an instance when the pool is full; here a guest
 * waits for a place until its deadline. */
#include "engine/slots.h"

#include "base/clock.h"

void cis_pool_unqueue(struct cis_slots *slots, struct cis_waiter *w)
{
    cis_wait_remove(&slots->ring, w);
    atomic_fetch_sub(&slots->pool_waiting, 1);
}

static enum cis_wait_state pool_wait(struct cis_profile *p, const struct cis_stop *stop,
                                     uint32_t *out_cell)
{
    struct cis_slots *s = p->owner->slots;
    struct cis_waiter w;
    cis_wait_init(&w, stop, p, cis_clock_mono_ns());
    cis_mutex_lock(&s->lock, engine_lock_slots);
    atomic_fetch_add(&s->pool_waiting, 1); /* before the last look: see cis_pool_leave */
    bool found = cis_permits_take(&p->places, out_cell);
    if (found) {
        atomic_fetch_sub(&s->pool_waiting, 1);
    } else {
        cis_wait_add(&s->pool, &s->ring, &w);
    }
    cis_mutex_unlock(&s->lock, engine_lock_slots);
    if (found) {
        return CIS_WAIT_GRANTED;
    }
    cis_ticker_wake(p->owner); /* for the sweep: perhaps no guest runs now */
    enum cis_wait_state end = cis_wait_sleep(&w);
    if (end == CIS_WAIT_EXPIRED) {
        cis_mutex_lock(&s->lock, engine_lock_slots);
        if (w.list != NULL) {
            cis_pool_unqueue(s, &w);
        } else { /* somebody was faster */
            end = (enum cis_wait_state)atomic_load(&w.state);
        }
        cis_mutex_unlock(&s->lock, engine_lock_slots);
    }
    *out_cell = w.cell;
    return end;
}

cis_code cis_pool_enter(struct cis_profile *profile, const struct cis_stop *stop,
                        uint32_t *out_cell, struct cis_error *err)
{
    if (!profile->pooled) {
        atomic_fetch_add(&profile->owner->ondemand_live, 1);
        return CIS_OK;
    }
    if (atomic_load(&profile->owner->slots->pool_waiting) == 0 &&
        cis_permits_take(&profile->places, out_cell)) {
        return CIS_OK;
    }
    enum cis_wait_state end = pool_wait(profile, stop, out_cell);
    if (end == CIS_WAIT_CANCELLED) {
        return cis_fail(err, CIS_E_CANCELLED, "cancelled while waiting for the instance pool");
    }
    if (end != CIS_WAIT_GRANTED) {
        return cis_fail(err, CIS_E_LIMIT,
                        "limit \"pool\": all %u instances were in use until the "
                        "time limit",
                        profile->pool_slots);
    }
    return CIS_OK;
}

void cis_pool_leave(struct cis_profile *profile, uint32_t cell)
{
    if (!profile->pooled) {
        atomic_fetch_sub(&profile->owner->ondemand_live, 1);
        return;
    }
    struct cis_slots *s = profile->owner->slots;
    cis_permits_put(&profile->places, cell);
    if (atomic_load(&s->pool_waiting) == 0) {
        return;
    }
    cis_mutex_lock(&s->lock, engine_lock_slots);
    for (struct cis_waiter *w = s->pool.head; w != NULL; w = w->next) {
        if (w->what == profile && cis_permits_take(&profile->places, &w->cell)) {
            cis_pool_unqueue(s, w);
            cis_wait_wake(w, CIS_WAIT_GRANTED);
            break;
        }
    }
    cis_mutex_unlock(&s->lock, engine_lock_slots);
}
