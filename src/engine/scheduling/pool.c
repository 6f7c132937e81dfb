/* Places in the instance pools: the way without a wait, and the queue. */
#include "engine/scheduling/pool.h"

#include "base/clock.h"

cis_code cis_pool_open(struct cis_pool *pool, struct cis_slots *slots, uint32_t total,
                       uint32_t cells, struct cis_error *err)
{
    pool->slots = slots;
    pool->total = total;
    return cis_permits_open(&pool->places, total, cells, err);
}

void cis_pool_close(struct cis_pool *pool)
{
    cis_permits_close(&pool->places);
}

static enum cis_wait_state pool_wait(struct cis_pool *p, const struct cis_stop *stop,
                                     uint32_t *out_cell)
{
    struct cis_slots *s = p->slots;
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
    cis_ticker_wake(s->ticker); /* for the sweep: perhaps no guest runs now */
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

cis_code cis_pool_enter(struct cis_pool *pool, const struct cis_stop *stop, uint32_t *out_cell,
                        struct cis_error *err)
{
    if (pool->total == 0) {
        atomic_fetch_add(&pool->ondemand, 1);
        return CIS_OK;
    }
    if (atomic_load(&pool->slots->pool_waiting) == 0 && cis_permits_take(&pool->places, out_cell)) {
        return CIS_OK;
    }
    enum cis_wait_state end = pool_wait(pool, stop, out_cell);
    if (end == CIS_WAIT_CANCELLED) {
        return cis_fail(err, CIS_E_CANCELLED, "cancelled while waiting for the instance pool");
    }
    if (end != CIS_WAIT_GRANTED) {
        return cis_fail(err, CIS_E_LIMIT,
                        "limit \"pool\": all %u instances were in use until the "
                        "time limit",
                        pool->total);
    }
    return CIS_OK;
}

void cis_pool_leave(struct cis_pool *pool, uint32_t cell)
{
    if (pool->total == 0) {
        atomic_fetch_sub(&pool->ondemand, 1);
        return;
    }
    struct cis_slots *s = pool->slots;
    cis_permits_put(&pool->places, cell);
    if (atomic_load(&s->pool_waiting) == 0) {
        return;
    }
    cis_mutex_lock(&s->lock, engine_lock_slots);
    for (struct cis_waiter *w = s->pool.head; w != NULL; w = w->next) {
        if (w->what == pool && cis_permits_take(&pool->places, &w->cell)) {
            cis_pool_unqueue(s, w);
            cis_wait_wake(w, CIS_WAIT_GRANTED);
            break;
        }
    }
    cis_mutex_unlock(&s->lock, engine_lock_slots);
}
