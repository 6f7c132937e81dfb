/* The ticker: one thread that does something each millisecond while at least one guest runs, and
 * for a short while after, so that a stream of short calls does not wake a thread each time.
 * Threads: any. Inside the engine only. */
#ifndef CIS_ENGINE_TICKER_H
#define CIS_ENGINE_TICKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "base/error.h"
#include "base/lock.h"

#define CIS_TICK_NS 1000000ull

/* Locks of the engine, outermost first; house_thread_safety checks it. Nothing of them is held
 * while a guest runs or something is compiled.
 *
 *   modules, programs, profiles, jobs      engine/code/code.h
 *   slots      who waits for a CPU or for a place in a pool (slots.h)
 *   ticker     sleeping and waking of its thread */
CIS_LOCK_CLASS(engine_lock_ticker);
CIS_LOCK_CLASS(engine_lock_slots, CIS_BEFORE(engine_lock_ticker));
#define ENGINE_FROM_TICKER engine_lock_ticker
#define ENGINE_FROM_SLOTS engine_lock_slots, ENGINE_FROM_TICKER

/* What it does it for. */
struct cis_ticker_work {
    bool (*idle)(void *self); /* nobody runs and nobody waits; takes no lock */
    void (*tick)(void *self); /* each millisecond */
    void *self;
};

struct cis_ticker {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    struct cis_ticker_work work;
    bool started;
    atomic_bool stop;
    atomic_bool awake; /* ticking: false only while the thread sleeps on `wake` */
};

cis_code cis_ticker_open(struct cis_ticker *ticker, const struct cis_ticker_work *work,
                         struct cis_error *err);
/* Waits until nobody runs. Does nothing to one that was not opened. */
void cis_ticker_close(struct cis_ticker *ticker);
/* After a slot was taken or somebody began to wait. Any thread; one atomic read unless the ticker
 * sleeps. */
void cis_ticker_wake(struct cis_ticker *ticker) CIS_TAKES(ENGINE_FROM_TICKER);

#endif
