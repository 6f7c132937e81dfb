/* CPU slots: tenants' accounts, the queue of tenants and the grant. What waits and how it is woken
 * is in wait.c; the order of service is explained in slots.h. */
#include "engine/slots.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/wait.h"

#define PATIENCE CIS_SLOTS_SLICE_NS
#define OFFER_EVERY (CIS_TICK_NS / 4)
#define TENANTS_SWEEP 256u /* accounts kept before idle ones are looked for */

struct cis_tenant {
    uint32_t weight;
    atomic_uint refs; /* guests joined; grows under the lock only */
    uint64_t vtime;   /* nanoseconds held / weight */
    size_t place;     /* in the heap, when it has waiters */
    struct cis_wait_list waiters;
};

cis_code cis_slots_open(struct cis_engine *engine, uint32_t total, struct cis_slots **out,
                        struct cis_error *err)
{
    struct cis_slots *s = cis_zalloc(sizeof *s);
    if (s == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "cpu slots: out of memory");
    }
    s->engine = engine;
    s->total = total != 0 ? total : 1;
    s->sweep_at = TENANTS_SWEEP;
    /* Held for well under a microsecond: sleeping for it would cost more than the work inside. */
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&s->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    *out = s;
    return CIS_OK;
}

void cis_slots_close(struct cis_slots *slots)
{
    if (slots == NULL) {
        return;
    }
    cis_map_done(&slots->tenants, cis_free);
    pthread_mutex_destroy(&slots->lock);
    cis_free(slots->heap);
    cis_free(slots);
}

void cis_slots_count(struct cis_slots *slots, uint64_t *out_busy, uint64_t *out_waiting)
{
    pthread_mutex_lock(&slots->lock);
    *out_busy = slots->busy;
    *out_waiting = slots->waiting;
    pthread_mutex_unlock(&slots->lock);
}

/* ---- the heap ---- */

static void heap_put(struct cis_slots *s, size_t i, struct cis_tenant *t)
{
    s->heap[i] = t;
    t->place = i;
}

static void heap_up(struct cis_slots *s, size_t i)
{
    struct cis_tenant *t = s->heap[i];
    while (i > 0 && s->heap[(i - 1) / 2]->vtime > t->vtime) {
        heap_put(s, i, s->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_put(s, i, t);
}

static void heap_down(struct cis_slots *s, size_t i)
{
    struct cis_tenant *t = s->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->nheap) {
            break;
        }
        if (child + 1 < s->nheap && s->heap[child + 1]->vtime < s->heap[child]->vtime) {
            child++;
        }
        if (s->heap[child]->vtime >= t->vtime) {
            break;
        }
        heap_put(s, i, s->heap[child]);
        i = child;
    }
    heap_put(s, i, t);
}

static void heap_remove(struct cis_slots *s, struct cis_tenant *t)
{
    size_t i = t->place;
    struct cis_tenant *last = s->heap[--s->nheap];
    if (last != t) {
        heap_put(s, i, last);
        heap_up(s, i);
        heap_down(s, last->place);
    }
}

/* ---- accounts ---- */

/* Idle accounts without a debt say nothing that a new account would not: a fresh map without them
 * (a removed key would stay in the old one). Out of memory: the old one serves on. */
static void forget_idle(struct cis_slots *s)
{
    struct cis_map kept = CIS_MAP_INIT;
    cis_map_foreach (&s->tenants, e) {
        struct cis_tenant *t = e->value;
        if ((atomic_load(&t->refs) != 0 || t->vtime > s->clock) &&
            cis_map_set(&kept, e->key, t, NULL, NULL) != CIS_OK) {
            cis_map_done(&kept, NULL);
            return;
        }
    }
    cis_map_foreach (&s->tenants, e) {
        if (cis_map_get(&kept, e->key) == NULL) {
            cis_free(e->value);
        }
    }
    cis_map_done(&s->tenants, NULL);
    s->tenants = kept;
    s->sweep_at = kept.live * 2 > TENANTS_SWEEP ? kept.live * 2 : TENANTS_SWEEP;
}

/* The heap has room for every tenant, so that waiting cannot fail for lack of memory. */
static struct cis_tenant *add(struct cis_slots *s, struct cis_str name)
{
    if (s->tenants.live >= s->sweep_at) {
        forget_idle(s);
    }
    if (s->tenants.live >= s->heap_cap) {
        size_t cap = s->heap_cap != 0 ? s->heap_cap * 2 : 16;
        struct cis_tenant **heap = cis_realloc(s->heap, cap * sizeof(struct cis_tenant *));
        if (heap == NULL) {
            return NULL;
        }
        s->heap = heap;
        s->heap_cap = cap;
    }
    struct cis_tenant *t = cis_zalloc(sizeof *t);
    if (t == NULL || cis_map_set(&s->tenants, name, t, NULL, NULL) != CIS_OK) {
        cis_free(t);
        return NULL;
    }
    t->weight = 1;
    t->vtime = s->clock;
    return t;
}

cis_code cis_slots_join(struct cis_slots *slots, const char *tenant, uint32_t weight,
                        struct cis_turn *out_turn, struct cis_error *err)
{
    struct cis_str name = cis_str_of(tenant != NULL ? tenant : "default");
    pthread_mutex_lock(&slots->lock);
    struct cis_tenant *t = cis_map_get(&slots->tenants, name);
    if (t == NULL) {
        t = add(slots, name);
    }
    if (t != NULL) {
        atomic_fetch_add(&t->refs, 1);
        if (weight != 0) {
            t->weight = weight < CIS_SLOTS_WEIGHT_MAX ? weight : CIS_SLOTS_WEIGHT_MAX;
        }
    }
    pthread_mutex_unlock(&slots->lock);
    if (t == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "cpu slots: out of memory");
    }
    *out_turn = (struct cis_turn){.tenant = t};
    return CIS_OK;
}

void cis_slots_leave(struct cis_slots *slots, struct cis_turn *turn)
{
    if (turn->tenant == NULL) {
        return;
    }
    cis_slots_give(slots, turn);
    atomic_fetch_sub(&turn->tenant->refs, 1);
    turn->tenant = NULL;
}

/* ---- grants (all under the lock) ---- */

static void charge(struct cis_slots *s, struct cis_turn *turn, uint64_t now)
{
    uint64_t ran = now > turn->charged_ns ? now - turn->charged_ns : 0;
    turn->charged_ns = now;
    turn->cpu_ns += ran;
    struct cis_tenant *t = turn->tenant;
    t->vtime += ran / t->weight;
    if (t->waiters.head != NULL) {
        heap_down(s, t->place);
    }
}

static void granted(struct cis_slots *s, struct cis_tenant *t)
{
    if (t->vtime > s->clock) {
        s->clock = t->vtime;
    }
}

/* A request of a tenant that fell behind the queue's clock counts from now on. */
static void arrive(struct cis_slots *s, struct cis_tenant *t)
{
    if (t->waiters.head == NULL && t->vtime < s->clock) {
        t->vtime = s->clock;
    }
}

static void unqueue(struct cis_slots *s, struct cis_tenant *t, struct cis_waiter *w)
{
    cis_wait_remove(&t->waiters, w);
    cis_wait_ring_remove(&s->ring, w);
    s->waiting--;
    if (t->waiters.head == NULL) {
        heap_remove(s, t);
    }
}

/* Gives a slot that nobody holds to the most entitled waiter, if there is one. */
static void grant_next(struct cis_slots *s)
{
    if (s->nheap == 0 || s->busy >= s->total) {
        return;
    }
    struct cis_tenant *t = s->heap[0];
    struct cis_waiter *w = t->waiters.head;
    unqueue(s, t, w);
    granted(s, t);
    s->busy++;
    cis_wait_wake(w, CIS_WAIT_GRANTED);
}

/* Handing each free slot to the longest waiter makes a stream of short calls pay a switch of
 * threads per call. So for a short while the slot stays free: the waiter is told, and whoever asks
 * first has it. Nobody is passed by for longer than PATIENCE, and no tenant gets ahead of another
 * by more than a slice. */
static bool patient(struct cis_slots *s, uint64_t now)
{
    return now - s->heap[0]->waiters.head->since_ns < PATIENCE;
}

static bool may_pass(struct cis_slots *s, const struct cis_tenant *t, uint64_t now)
{
    return s->nheap == 0 || (patient(s, now) && t->vtime <= s->heap[0]->vtime + CIS_SLOTS_SLICE_NS);
}

static void offer(struct cis_slots *s, uint64_t now)
{
    if (s->nheap == 0) {
        return;
    }
    if (!patient(s, now)) {
        grant_next(s);
    } else if (now - s->offered_ns > OFFER_EVERY) {
        s->offered_ns = now;
        cis_wait_wake(s->heap[0]->waiters.head, CIS_WAIT_OFFERED);
    }
}

/* Sleeps until a slot is granted or an offered one is still there. */
static enum cis_wait_state await(struct cis_slots *s, struct cis_tenant *t, struct cis_waiter *w,
                                 uint64_t deadline_ns)
{
    for (;;) {
        enum cis_wait_state end = cis_wait_sleep(w, &s->lock, deadline_ns);
        if (end != CIS_WAIT_OFFERED) {
            return end;
        }
        w->state = CIS_WAIT_SLEEPING;
        if (s->busy < s->total) {
            unqueue(s, t, w);
            granted(s, t);
            s->busy++;
            return CIS_WAIT_GRANTED;
        }
    }
}

/* Queues and sleeps; the caller holds the lock and no slot. */
static cis_code queue(struct cis_slots *s, struct cis_turn *turn, uint64_t now,
                      const struct cis_stop *stop)
{
    struct cis_tenant *t = turn->tenant;
    struct cis_waiter w;
    cis_wait_init(&w, stop->cancel, NULL);
    w.since_ns = now;
    arrive(s, t);
    bool first = t->waiters.head == NULL;
    cis_wait_append(&t->waiters, &w);
    if (first) {
        heap_put(s, s->nheap, t);
        heap_up(s, s->nheap++);
    }
    cis_wait_ring_add(&s->ring, &w);
    s->waiting++;
    grant_next(s);
    enum cis_wait_state end = await(s, t, &w, stop->deadline_ns);
    if (end != CIS_WAIT_GRANTED) {
        unqueue(s, t, &w);
        grant_next(s); /* perhaps this one was told of a free slot */
    }
    cis_wait_done(&w);
    switch (end) {
    case CIS_WAIT_GRANTED:
        turn->held = true;
        return CIS_OK;
    case CIS_WAIT_CANCELLED:
        return CIS_E_CANCELLED;
    case CIS_WAIT_SLEEPING:
    case CIS_WAIT_OFFERED:
        break;
    }
    return CIS_E_DEADLINE;
}

static cis_code lost(cis_code code, struct cis_error *err)
{
    if (code == CIS_E_CANCELLED) {
        return cis_fail(err, code, "cancelled while waiting for a cpu slot");
    }
    return cis_fail(err, code, "time limit reached while waiting for a cpu slot");
}

cis_code cis_slots_take(struct cis_slots *slots, struct cis_turn *turn, const struct cis_stop *stop,
                        struct cis_error *err)
{
    cis_ticker_begin(slots->engine);
    pthread_mutex_lock(&slots->lock);
    cis_code code = CIS_OK;
    uint64_t start = cis_clock_mono_ns(), now = start;
    if (slots->busy < slots->total && may_pass(slots, turn->tenant, now)) {
        arrive(slots, turn->tenant);
        granted(slots, turn->tenant);
        slots->busy++;
        turn->held = true;
    } else {
        code = queue(slots, turn, now, stop);
        now = cis_clock_mono_ns();
        turn->wait_ns += now - start;
    }
    pthread_mutex_unlock(&slots->lock);
    if (code != CIS_OK) {
        cis_ticker_end(slots->engine);
        return lost(code, err);
    }
    turn->charged_ns = turn->slice_ns = now;
    return CIS_OK;
}

void cis_slots_give(struct cis_slots *slots, struct cis_turn *turn)
{
    if (!turn->held) {
        return;
    }
    pthread_mutex_lock(&slots->lock);
    uint64_t now = cis_clock_mono_ns();
    charge(slots, turn, now);
    turn->held = false;
    slots->busy--;
    offer(slots, now);
    pthread_mutex_unlock(&slots->lock);
    cis_ticker_end(slots->engine);
}

cis_code cis_slots_tick(struct cis_slots *slots, struct cis_turn *turn, uint64_t now_ns,
                        const struct cis_stop *stop, struct cis_error *err)
{
    if (now_ns - turn->slice_ns < CIS_SLOTS_SLICE_NS) {
        return CIS_OK;
    }
    struct cis_tenant *t = turn->tenant;
    cis_code code = CIS_OK;
    pthread_mutex_lock(&slots->lock);
    charge(slots, turn, now_ns);
    if (slots->nheap != 0 && slots->heap[0]->vtime <= t->vtime) {
        turn->held = false;
        slots->busy--;
        code = queue(slots, turn, now_ns, stop);
        now_ns = cis_clock_mono_ns();
        turn->wait_ns += now_ns - turn->charged_ns;
        turn->charged_ns = now_ns;
    } else {
        granted(slots, t);
    }
    pthread_mutex_unlock(&slots->lock);
    turn->slice_ns = now_ns;
    if (code != CIS_OK) {
        cis_ticker_end(slots->engine);
        return lost(code, err);
    }
    return CIS_OK;
}

void cis_slots_sweep(struct cis_slots *slots)
{
    pthread_mutex_lock(&slots->lock);
    while (slots->nheap != 0 && slots->busy < slots->total) {
        grant_next(slots); /* left free for whoever came by, see offer() */
    }
    cis_wait_sweep(&slots->ring, slots->waiting + atomic_load(&slots->pool_waiting));
    pthread_mutex_unlock(&slots->lock);
}
