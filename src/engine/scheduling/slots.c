/* CPU slots: the way without a wait, the queue of tenants and the grant. How tenants stand is in
 * account.c, how a thread sleeps in wait.c; the order of service is explained in slots.h. */
#include "engine/scheduling/slots.h"

#include "base/clock.h"
#include "base/mem.h"

#define PATIENCE CIS_SLOTS_SLICE_NS
#define OFFER_EVERY (CIS_TICK_NS / 4)

cis_code cis_slots_open(struct cis_ticker *ticker, uint32_t total, struct cis_slots **out,
                        struct cis_error *err)
{
    struct cis_slots *s = cis_zalloc(sizeof *s);
    if (s == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "cpu slots: out of memory");
    }
    total = total != 0 ? total : 1;
    cis_code code = cis_permits_open(&s->cpus, total, total, err);
    if (code != CIS_OK) {
        cis_free(s);
        return code;
    }
    s->ticker = ticker;
    cis_accounts_init(&s->accounts);
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
    cis_accounts_done(&slots->accounts);
    cis_permits_close(&slots->cpus);
    pthread_mutex_destroy(&slots->lock);
    cis_free(slots);
}

void cis_slots_count(struct cis_slots *slots, uint64_t *out_busy, uint64_t *out_waiting)
{
    *out_busy = cis_permits_used(&slots->cpus);
    *out_waiting = atomic_load(&slots->waiting);
}

bool cis_slots_idle(struct cis_slots *slots)
{
    return cis_permits_used(&slots->cpus) == 0 && atomic_load(&slots->waiting) == 0 &&
           atomic_load(&slots->pool_waiting) == 0;
}

void cis_slots_join(const char *tenant, uint32_t weight, struct cis_turn *out_turn)
{
    *out_turn = (struct cis_turn){.name = tenant, .weight = weight};
}

void cis_slots_leave(struct cis_slots *slots, struct cis_turn *turn)
{
    cis_slots_give(slots, turn);
    if (turn->tenant != NULL) {
        atomic_fetch_sub(&turn->tenant->refs, 1);
        turn->tenant = NULL;
    }
}

/* ---- grants (all under the lock) ---- */

static cis_code need_account(struct cis_slots *s, struct cis_turn *turn)
    CIS_REQUIRES(engine_lock_slots)
{
    if (turn->tenant == NULL) {
        turn->tenant = cis_account_get(&s->accounts, turn->name, turn->weight);
    }
    return turn->tenant != NULL ? CIS_OK : CIS_E_NOMEM;
}

/* Without the lock when nobody waits. */
static uint64_t count_time(struct cis_turn *turn, uint64_t now)
{
    uint64_t ran = now > turn->charged_ns ? now - turn->charged_ns : 0;
    turn->charged_ns = now;
    turn->cpu_ns += ran;
    return ran;
}

/* Who took a slot when nobody waited is known to its account only from the first charge on. */
static void arrive(struct cis_slots *s, struct cis_turn *turn) CIS_REQUIRES(engine_lock_slots)
{
    if (!turn->arrived) {
        cis_account_arrives(&s->accounts, turn->tenant);
        turn->arrived = true;
    }
}

static void charge(struct cis_slots *s, struct cis_turn *turn, uint64_t now)
    CIS_REQUIRES(engine_lock_slots)
{
    uint64_t ran = count_time(turn, now);
    if (need_account(s, turn) == CIS_OK) {
        arrive(s, turn);
        cis_account_charge(&s->accounts, turn->tenant, ran);
    }
}

static void unqueue(struct cis_slots *s, struct cis_waiter *w) CIS_REQUIRES(engine_lock_slots)
{
    struct cis_account *t = w->what;
    cis_wait_remove(&s->ring, w);
    atomic_fetch_sub(&s->waiting, 1);
    if (t->waiters.head == NULL) {
        cis_account_rests(&s->accounts, t);
    }
}

/* Gives a slot that nobody holds to the most entitled waiter. False: no slot, or no waiter. */
static bool grant_next(struct cis_slots *s) CIS_REQUIRES(engine_lock_slots)
{
    struct cis_account *t = cis_account_first(&s->accounts);
    uint32_t cell;
    if (t == NULL || !cis_permits_take(&s->cpus, &cell)) {
        return false;
    }
    struct cis_waiter *w = t->waiters.head;
    unqueue(s, w);
    cis_account_granted(&s->accounts, t);
    w->cell = cell;
    cis_wait_wake(w, CIS_WAIT_GRANTED);
    return true;
}

/* Handing each free slot to the longest waiter makes a stream of short calls pay a switch of
 * threads per call. So for a short while the slot stays free: the waiter is told, and whoever asks
 * first has it. Nobody is passed by for longer than PATIENCE, and no tenant gets ahead of another
 * by more than a slice. */
static bool patient(const struct cis_account *first, uint64_t now)
{
    return now - first->waiters.head->since_ns < PATIENCE;
}

static bool may_pass(struct cis_slots *s, const struct cis_account *t, uint64_t now)
    CIS_REQUIRES(engine_lock_slots)
{
    const struct cis_account *first = cis_account_first(&s->accounts);
    return first == NULL || (patient(first, now) && t->vtime <= first->vtime + CIS_SLOTS_SLICE_NS);
}

static void offer(struct cis_slots *s, uint64_t now) CIS_REQUIRES(engine_lock_slots)
{
    struct cis_account *first = cis_account_first(&s->accounts);
    if (first == NULL) {
        return;
    }
    if (!patient(first, now)) {
        grant_next(s);
    } else if (now - s->offered_ns > OFFER_EVERY) {
        s->offered_ns = now;
        cis_wait_wake(first->waiters.head, CIS_WAIT_OFFERED);
    }
}

/* ---- waiting ---- */

/* Out of time, if nobody was faster and granted a slot meanwhile. */
static enum cis_wait_state give_up(struct cis_slots *s, struct cis_waiter *w)
    CIS_REQUIRES(engine_lock_slots)
{
    if (w->list == NULL) {
        return (enum cis_wait_state)atomic_load(&w->state);
    }
    unqueue(s, w);
    grant_next(s); /* perhaps this one was told of a free slot */
    return CIS_WAIT_EXPIRED;
}

/* Sleeps until a slot is granted or an offered one is still there. */
static enum cis_wait_state await(struct cis_slots *s, struct cis_waiter *w)
    CIS_TAKES(ENGINE_FROM_SLOTS)
{
    for (;;) {
        enum cis_wait_state state = cis_wait_sleep(w);
        if (state == CIS_WAIT_GRANTED || state == CIS_WAIT_CANCELLED) {
            return state;
        }
        cis_mutex_lock(&s->lock, engine_lock_slots);
        if (state == CIS_WAIT_EXPIRED || w->list == NULL) {
            state = give_up(s, w);
        } else { /* OFFERED */
            atomic_store(&w->state, CIS_WAIT_SLEEPING);
            state = CIS_WAIT_SLEEPING;
            if (cis_permits_take(&s->cpus, &w->cell)) {
                unqueue(s, w);
                cis_account_granted(&s->accounts, w->what);
                state = CIS_WAIT_GRANTED;
            }
        }
        cis_mutex_unlock(&s->lock, engine_lock_slots);
        if (state != CIS_WAIT_SLEEPING) {
            return state;
        }
    }
}

/* Queues and sleeps. The caller holds no slot. */
static cis_code queue(struct cis_slots *s, struct cis_turn *turn, uint64_t now,
                      const struct cis_stop *stop) CIS_RELEASES(engine_lock_slots)
{
    struct cis_account *t = turn->tenant;
    struct cis_waiter w;
    cis_wait_init(&w, stop, t, now);
    cis_account_arrives(&s->accounts, t);
    turn->arrived = true;
    bool first = t->waiters.head == NULL;
    cis_wait_add(&t->waiters, &s->ring, &w);
    if (first) {
        cis_account_waits(&s->accounts, t);
    }
    atomic_fetch_add(&s->waiting, 1); /* before the last look for a slot: see cis_slots_give */
    grant_next(s);
    cis_mutex_unlock(&s->lock, engine_lock_slots);
    cis_ticker_wake(s->ticker);
    enum cis_wait_state end = await(s, &w);
    if (end == CIS_WAIT_GRANTED) {
        turn->cell = w.cell;
        turn->held = true;
        return CIS_OK;
    }
    return end == CIS_WAIT_CANCELLED ? CIS_E_CANCELLED : CIS_E_DEADLINE;
}

static cis_code lost(cis_code code, struct cis_error *err)
{
    switch (code) {
    case CIS_E_OK:
        return code;
    case CIS_E_CANCELLED:
        return cis_fail(err, code, "cancelled while waiting for a cpu slot");
    case CIS_E_DEADLINE:
        return cis_fail(err, code, "time limit reached while waiting for a cpu slot");
    default:
        return cis_fail(err, code, "cpu slots: out of memory");
    }
}

static cis_code take_in_turn(struct cis_slots *s, struct cis_turn *turn,
                             const struct cis_stop *stop)
{
    turn->arrived = false;
    cis_mutex_lock(&s->lock, engine_lock_slots);
    uint64_t start = cis_clock_mono_ns();
    cis_code code = need_account(s, turn);
    if (code == CIS_OK && may_pass(s, turn->tenant, start) &&
        cis_permits_take(&s->cpus, &turn->cell)) {
        arrive(s, turn);
        cis_account_granted(&s->accounts, turn->tenant);
        turn->held = true;
    }
    if (turn->held || code != CIS_OK || stop->deadline_ns <= start) {
        cis_mutex_unlock(&s->lock, engine_lock_slots);
        return turn->held || code != CIS_OK ? code : CIS_E_DEADLINE;
    }
    code = queue(s, turn, start, stop);
    turn->wait_ns += cis_clock_mono_ns() - start;
    return code;
}

cis_code cis_slots_take(struct cis_slots *slots, struct cis_turn *turn, const struct cis_stop *stop,
                        struct cis_error *err)
{
    if (atomic_load(&slots->waiting) == 0 && cis_permits_take(&slots->cpus, &turn->cell)) {
        turn->held = true;
        turn->arrived = false;
    } else {
        cis_code code = take_in_turn(slots, turn, stop);
        if (code != CIS_OK) {
            return lost(code, err);
        }
    }
    cis_ticker_wake(slots->ticker);
    turn->charged_ns = turn->slice_ns = cis_clock_mono_ns();
    return CIS_OK;
}

void cis_slots_give(struct cis_slots *slots, struct cis_turn *turn)
{
    if (!turn->held) {
        return;
    }
    uint64_t now = cis_clock_mono_ns();
    turn->held = false;
    if (atomic_load(&slots->waiting) == 0) {
        count_time(turn, now);
        cis_permits_put(&slots->cpus, turn->cell);
        if (atomic_load(&slots->waiting) == 0) {
            return;
        }
        cis_mutex_lock(&slots->lock,
                       engine_lock_slots); /* somebody came meanwhile and may have found no slot */
    } else {
        cis_mutex_lock(&slots->lock, engine_lock_slots);
        charge(slots, turn, now);
        cis_permits_put(&slots->cpus, turn->cell);
    }
    offer(slots, now);
    cis_mutex_unlock(&slots->lock, engine_lock_slots);
}

cis_code cis_slots_tick(struct cis_slots *slots, struct cis_turn *turn, uint64_t now_ns,
                        const struct cis_stop *stop, struct cis_error *err)
{
    if (now_ns - turn->slice_ns < CIS_SLOTS_SLICE_NS) {
        return CIS_OK;
    }
    turn->slice_ns = now_ns;
    if (atomic_load(&slots->waiting) == 0) {
        count_time(turn, now_ns);
        return CIS_OK;
    }
    cis_mutex_lock(&slots->lock, engine_lock_slots);
    charge(slots, turn, now_ns);
    const struct cis_account *first = cis_account_first(&slots->accounts);
    if (turn->tenant == NULL || first == NULL || first->vtime > turn->tenant->vtime) {
        if (turn->tenant != NULL) {
            cis_account_granted(&slots->accounts, turn->tenant);
        }
        cis_mutex_unlock(&slots->lock, engine_lock_slots);
        return CIS_OK;
    }
    turn->held = false;
    cis_permits_put(&slots->cpus, turn->cell);
    cis_code code = queue(slots, turn, now_ns, stop);
    turn->slice_ns = cis_clock_mono_ns();
    turn->wait_ns += turn->slice_ns - now_ns;
    turn->charged_ns = turn->slice_ns;
    return lost(code, err);
}

/* ---- the ticker's part ---- */

void cis_pool_unqueue(struct cis_slots *slots, struct cis_waiter *w)
{
    cis_wait_remove(&slots->ring, w);
    atomic_fetch_sub(&slots->pool_waiting, 1);
}

void cis_slots_sweep(struct cis_slots *slots)
{
    uint64_t waiting = atomic_load(&slots->waiting) + (uint64_t)atomic_load(&slots->pool_waiting);
    if (waiting == 0) {
        return;
    }
    struct cis_waiter *w;
    uint64_t looks = cis_wait_looks(waiting);
    cis_mutex_lock(&slots->lock, engine_lock_slots);
    while (grant_next(slots)) { /* left free for whoever came by, see offer() */
    }
    while ((w = cis_wait_cancelled(&slots->ring, &looks)) != NULL) {
        if (w->list == &slots->pool) {
            cis_pool_unqueue(slots, w);
        } else {
            unqueue(slots, w);
        }
        cis_wait_wake(w, CIS_WAIT_CANCELLED);
    }
    while (grant_next(slots)) { /* one of those may have been told of a free slot */
    }
    cis_mutex_unlock(&slots->lock, engine_lock_slots);
}
