/* Opening and closing an engine, its defaults and counters. */
#include "engine/code/engine.h"

#include <stdio.h>
#include <unistd.h>
#include "base/mem.h"
#include "engine/code/code.h"

#define MAPPINGS_PER_INSTANCE                                                                      \
    4u                      /* measured: linear memory with a copy-on-write module, guard, table */
#define MAPPINGS_LEFT 4096u /* for everything else in the process */
#define DEFAULT_POOL_SLOTS 1000u
#define DEFAULT_CACHE_BYTES (1ull << 30)

const char *cis_engine_version(void)
{
    return "Wasmtime " WASMTIME_VERSION " (Apache-2.0 WITH LLVM-exception)";
}

static uint32_t cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 && n < 4096 ? (uint32_t)n : 1;
}

/* An instance beyond vm.max_map_count would fail in the middle of a call; the pool ends before. */
static uint32_t pool_default(void)
{
    unsigned long mappings = 65530;
    FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
    if (f != NULL) {
        if (fscanf(f, "%lu", &mappings) != 1) {
            mappings = 65530;
        }
        fclose(f);
    }
    unsigned long fit =
        mappings > MAPPINGS_LEFT ? (mappings - MAPPINGS_LEFT) / MAPPINGS_PER_INSTANCE : 0;
    return fit < DEFAULT_POOL_SLOTS ? (uint32_t)fit : DEFAULT_POOL_SLOTS;
}

static cis_code own(struct cis_engine *e, size_t at, const char *text, const char **out,
                    struct cis_error *err)
{
    if (text == NULL) {
        return CIS_OK;
    }
    e->strings[at] = cis_strdup(text);
    *out = e->strings[at];
    return *out != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "engine: out of memory");
}

static cis_code fill_options(struct cis_engine *e, const struct cis_engine_options *given,
                             struct cis_error *err)
{
    struct cis_engine_options *o = &e->options;
    *o = *given;
    o->cache_dir = o->cache_key = o->compiler = NULL;
    o->slot_bytes = o->slot_bytes != 0 ? o->slot_bytes : CIS_ENGINE_SLOT_BYTES;
    o->slot_bytes = (o->slot_bytes + 0xffff) & ~0xffffull;
    o->cpu_slots = o->cpu_slots != 0 ? o->cpu_slots : cores();
    o->cache_max_bytes = o->cache_max_bytes != 0 ? o->cache_max_bytes : DEFAULT_CACHE_BYTES;
    o->modules = o->modules != 0 ? o->modules : CIS_ENGINE_IMAGES;
    o->compile_jobs = o->compile_jobs != 0 ? o->compile_jobs : cores();
    e->pool_slots = o->pool_slots != 0 ? o->pool_slots : pool_default();
    if (given->compiler == NULL && !given->compile_in_process) {
        return cis_fail(err, CIS_E_USAGE,
                        "engine: give the compiler's program, or opt in to compile in process");
    }
    CIS_TRY(own(e, 0, given->cache_dir, &o->cache_dir, err));
    CIS_TRY(own(e, 1, given->cache_key, &o->cache_key, err));
    return own(e, 2, given->compiler, &o->compiler, err);
}

static void init_locks(struct cis_engine *e)
{
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_mutex_init(&e->profiles_lock, NULL);
    pthread_mutex_init(&e->modules_lock, NULL);
    pthread_cond_init(&e->modules_done, &mono);
    pthread_mutex_init(&e->jobs_lock, NULL);
    pthread_cond_init(&e->jobs_done, &mono);
    pthread_condattr_destroy(&mono);
}

/* ---- the ticker's work ---- */

static bool idle(void *self)
{
    const struct cis_engine *e = self;
    return cis_slots_idle(e->slots);
}

/* One epoch a millisecond for all profiles; then the waits. */
static void tick(void *self)
{
    struct cis_engine *e = self;
    for (size_t i = 0; i < CIS_ENGINE_PROFILES; i++) {
        struct cis_profile *p = atomic_load_explicit(&e->profiles[i], memory_order_acquire);
        if (p != NULL) {
            wasmtime_engine_increment_epoch(p->wasm);
        }
    }
    cis_slots_sweep(e->slots);
}

/* ---- opening and closing ---- */

cis_code cis_engine_open(const struct cis_engine_options *options, cis_engine **out_engine,
                         struct cis_error *err)
{
    CIS_TRY(cis_crypto_init(err));
    struct cis_engine *e = cis_zalloc(sizeof *e);
    if (e == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "engine: out of memory");
    }
    e->cache.fd = -1;
    init_locks(e);
    cis_code code = fill_options(e, options, err);
    code = code == CIS_OK ? cis_cache_open(&e->cache, &e->options, err) : code;
    code = code == CIS_OK ? cis_slots_open(&e->ticker, e->options.cpu_slots, &e->slots, err) : code;
    const struct cis_ticker_work work = {idle, tick, e};
    code = code == CIS_OK ? cis_ticker_open(&e->ticker, &work, err) : code;
    if (code != CIS_OK) {
        cis_engine_close(e);
        return code;
    }
    *out_engine = e;
    return CIS_OK;
}

void cis_engine_close(cis_engine *e)
{
    if (e == NULL) {
        return;
    }
    cis_ticker_close(&e->ticker);
    cis_engine_modules_done(e);
    cis_slots_close(e->slots);
    for (size_t i = 0; i < CIS_ENGINE_PROFILES; i++) {
        cis_profile_free(atomic_load(&e->profiles[i]));
    }
    cis_cache_close(&e->cache);
    pthread_mutex_destroy(&e->profiles_lock);
    pthread_mutex_destroy(&e->modules_lock);
    pthread_cond_destroy(&e->modules_done);
    pthread_mutex_destroy(&e->jobs_lock);
    pthread_cond_destroy(&e->jobs_done);
    for (size_t i = 0; i < sizeof e->strings / sizeof *e->strings; i++) {
        cis_free(e->strings[i]);
    }
    cis_free(e);
}

void cis_engine_stats(cis_engine *e, struct cis_engine_stats *out)
{
    struct cis_engine_stats s = {
        .compiled = atomic_load(&e->compiled),
        .memory_hits = atomic_load(&e->memory_hits),
        .disk_hits = atomic_load(&e->disk_hits),
        .disk_rejected = atomic_load(&e->disk_rejected),
        .compile_failures = atomic_load(&e->compile_failures),
        .disk_cache = e->cache.fd >= 0,
    };
    cis_mutex_lock(&e->profiles_lock, engine_lock_profiles);
    s.pooled = !e->pool_refused;
    s.pool_slots = e->pool_refused ? 0 : e->pool_slots;
    cis_mutex_unlock(&e->profiles_lock, engine_lock_profiles);
    for (size_t i = 0; i < CIS_ENGINE_PROFILES; i++) {
        struct cis_profile *p = atomic_load(&e->profiles[i]);
        if (p != NULL) {
            s.profiles++;
            s.pool_live += cis_permits_used(&p->pool.places);
            s.ondemand_live += atomic_load(&p->pool.ondemand);
        }
    }
    cis_slots_count(e->slots, &s.slots_busy, &s.slots_waiting);
    *out = s;
}
