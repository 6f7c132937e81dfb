/* Inside the engine room: what image.c and its neighbours (load, compile, caches) share with
 * program.c and guest.c. Not included outside src/engine. */
#ifndef CIS_ENGINE_INTERNAL_H
#define CIS_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <cis_glue.h>
#include "base/crypto.h"
#include "base/map.h"
#include "engine/engine.h"
#include "engine/image.h"
#include "engine/program.h"

#define CIS_ENGINE_SLOT_BYTES (512ull << 20)
#define CIS_ENGINE_STACK_BYTES (512ull << 10)
#define CIS_ENGINE_STACK_MARGIN (256ull << 10) /* native stack needed beyond the guest's */
#define CIS_ENGINE_POOL_TABLES 4u
#define CIS_ENGINE_POOL_ELEMENTS 20000u /* of one pooled table */
#define CIS_ENGINE_POOL_MEMORIES 1u     /* per module that still fits a pool slot */
#define CIS_ENGINE_PROFILES 16

/* Fuel and features are engine-wide in Wasmtime, so there is one engine a combination, made when
 * first needed. Pooled and on-demand engines load the same artefacts. */
struct cis_profile {
    struct cis_engine *owner;
    wasm_engine_t *wasm;
    unsigned features; /* CIS_FEATURE_MEMORY64 | CIS_FEATURE_EXCEPTIONS */
    bool fuel;
    bool pooled;
    uint32_t pool_slots; /* 0 when not pooled */
    uint64_t fingerprint;
    /* Pooled instances alive, for guest.c: it takes a permit before it instantiates and waits for
     * one (under the run's deadline) when pool_slots are taken. */
    atomic_uint live;
};

/* The ticker advances the epoch of every profile each millisecond while at least one guest runs. */
struct cis_ticker {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool started, stop;
    atomic_uint busy;  /* guests executing now */
    atomic_ullong now; /* clock of the last tick, for cheap reads in epoch callbacks */
};
#define CIS_TICK_NS 1000000ull

struct cis_image_slot; /* image.c */
struct cis_slots;      /* slots.c: CPU slots */

struct cis_engine {
    struct cis_engine_options options; /* strings owned, defaults filled in */
    uint32_t pool_slots;               /* wanted; a refused reservation halves it */
    pthread_mutex_t profiles_lock;
    /* Filled once and then only read; the ticker reads it without the lock. */
    _Atomic(struct cis_profile *) profiles[CIS_ENGINE_PROFILES];
    struct cis_ticker ticker;
    struct cis_slots *slots;

    pthread_mutex_t images_lock; /* image.c: memory cache and negative cache */
    pthread_cond_t images_done;
    struct cis_map images; /* key → struct cis_image_slot * */
    uint64_t images_clock;

    pthread_mutex_t jobs_lock; /* compile.c: compiler jobs running */
    pthread_cond_t jobs_done;
    uint32_t jobs;

    bool cache_usable; /* cache.c: key loaded, folder is ours */
    uint8_t cache_key[CIS_MAC_KEY_BYTES];

    atomic_ullong compiled, memory_hits, disk_hits, disk_rejected, compile_failures;
    atomic_ullong ondemand_live;
};

struct cis_image {
    struct cis_engine *engine;
    struct cis_profile *profile; /* the engine to make stores on; profile->pooled */
    wasmtime_module_t *module;
    struct cis_image_info *info;
    atomic_uint refs;
    char *name; /* as given by the first loader, for messages */

    pthread_mutex_t programs_lock; /* program.c: programs made from this image */
    struct cis_program *programs;
};

/* Profile for these settings, made when first asked for. */
cis_code cis_profile_get(struct cis_engine *engine, unsigned features, bool fuel, bool pooled,
                         struct cis_profile **out, struct cis_error *err);

/* Around every execution of guest code: the ticker runs while the count is not 0. Any thread; two
 * atomic operations unless the ticker has to be woken. */
void cis_ticker_begin(struct cis_engine *engine);
void cis_ticker_end(struct cis_engine *engine);

/* slots.c */
cis_code cis_slots_open(struct cis_engine *engine, uint32_t slots, struct cis_slots **out,
                        struct cis_error *err);
void cis_slots_close(struct cis_slots *slots);
void cis_slots_count(struct cis_slots *slots, uint64_t *out_busy, uint64_t *out_waiting);

/* program.c: frees what hangs on image->programs; called when the image dies. A program borrows its
 * image while it is cached there and holds a reference on it for every reference held from outside.
 */
void cis_image_programs_free(struct cis_image *image);

/* Takes the message out of a Wasmtime error or trap (whichever is not NULL), deletes it and fails
 * with code: "NAME: first line of the message". */
cis_code cis_engine_fail(struct cis_error *err, cis_code code, const char *name,
                         wasmtime_error_t *error, wasm_trap_t *trap);

#endif
