/* The ticker thread: a tick each millisecond while anything runs. */
#include "engine/scheduling/ticker.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include "base/clock.h"

/* Ticks without a guest before the thread goes to sleep. */
#define LINGER 64

static bool idle(const struct cis_ticker *t)
{
    return t->work.idle(t->work.self);
}

/* Until then, or until the engine closes: who closes it does not wait for a tick. */
static void sleep_until(struct cis_ticker *t, uint64_t ns)
{
    struct timespec at = {.tv_sec = (time_t)(ns / CIS_NS_PER_S),
                          .tv_nsec = (long)(ns % CIS_NS_PER_S)};
    cis_mutex_lock(&t->lock, engine_lock_ticker);
    while (!(atomic_load(&t->stop) && idle(t)) &&
           pthread_cond_timedwait(&t->wake, &t->lock, &at) != ETIMEDOUT) {
    }
    cis_mutex_unlock(&t->lock, engine_lock_ticker);
}

/* Sleeps until a guest runs or waits. False: the engine closes. */
static bool rest(struct cis_ticker *t)
{
    cis_mutex_lock(&t->lock, engine_lock_ticker);
    atomic_store(&t->awake, false);
    /* The other half of cis_ticker_wake: a guest takes its slot (or counts itself as waiting) and
     * looks at `awake` then, here it is the other way round, so that one always sees the other. */
    while (!atomic_load(&t->stop) && idle(t)) {
        pthread_cond_wait(&t->wake, &t->lock);
    }
    atomic_store(&t->awake, true);
    bool go_on = !atomic_load(&t->stop);
    cis_mutex_unlock(&t->lock, engine_lock_ticker);
    return go_on;
}

static void *run(void *arg)
{
    struct cis_ticker *t = arg;
    uint64_t due = 0;
    unsigned quiet = LINGER;
    for (;;) {
        if (!idle(t)) {
            quiet = 0;
        } else if (atomic_load(&t->stop) || ++quiet > LINGER) {
            if (!rest(t)) {
                return NULL;
            }
            quiet = 0;
            due = 0;
        }
        uint64_t now = cis_clock_mono_ns();
        /* After a delay there is one tick, not a burst of those that were missed. */
        due = due + CIS_TICK_NS > now ? due + CIS_TICK_NS : now + CIS_TICK_NS;
        sleep_until(t, due);
        t->work.tick(t->work.self);
    }
}

cis_code cis_ticker_open(struct cis_ticker *t, const struct cis_ticker_work *work,
                         struct cis_error *err)
{
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, &mono);
    pthread_condattr_destroy(&mono);
    t->work = *work;
    atomic_store(&t->awake, true);
    /* Signals of the program go to its own threads. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int sys = pthread_create(&t->thread, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (sys != 0) {
        return cis_fail_sys(err, CIS_E_NOMEM, sys, "engine: ticker thread");
    }
    t->started = true;
    return CIS_OK;
}

void cis_ticker_close(struct cis_ticker *t)
{
    if (!t->started) {
        return;
    }
    cis_mutex_lock(&t->lock, engine_lock_ticker);
    atomic_store(&t->stop, true);
    pthread_cond_signal(&t->wake);
    cis_mutex_unlock(&t->lock, engine_lock_ticker);
    pthread_join(t->thread, NULL);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->wake);
    t->started = false;
}

void cis_ticker_wake(struct cis_ticker *t)
{
    if (!atomic_load(&t->awake)) {
        cis_mutex_lock(&t->lock, engine_lock_ticker);
        pthread_cond_signal(&t->wake);
        cis_mutex_unlock(&t->lock, engine_lock_ticker);
    }
}
