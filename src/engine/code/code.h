/* Code: what is compiled, and how it comes into memory. This room owns
 *   - the engine itself, opened and closed                           struct cis_engine
 *   - Wasmtime's engines, one a combination of features              struct cis_profile
 *   - modules and components in memory, on disk and being compiled    struct cis_engine_module,
 * cis_cache
 *   - the compiler's child process and what may read hostile bytes
 * and the locks modules, programs, profiles and jobs. It does not run any code of a module. What is
 * linked with a module hangs on it and goes with it; the rooms above know what that is. Inside the
 * engine only; engine.h, module.h and document.h are for everybody. */
#ifndef CIS_ENGINE_CODE_H
#define CIS_ENGINE_CODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <cis_glue.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/lock.h"
#include "base/map.h"
#include "engine/code/artefact.h"
#include "engine/code/engine.h"
#include "engine/code/failure.h"
#include "engine/code/module.h"
#include "engine/scheduling/scheduling.h"

#define CIS_ENGINE_SLOT_BYTES (512ull << 20)
/* Addresses of a linear memory: with these, code needs no checks of 32-bit addresses. It is a
 * third smaller and a load or store costs a tenth less than with slots of 512 MiB; a pool of 1,000
 * takes 4 of the 128 TiB that a process has. The thread sanitizer leaves too few for that. */
#if defined(__SANITIZE_THREAD__)
#define CIS_ENGINE_RESERVE_BYTES 0
#else
#define CIS_ENGINE_RESERVE_BYTES (4ull << 30)
#endif
#define CIS_ENGINE_STACK_BYTES (512ull << 10)
#define CIS_ENGINE_STACK_MARGIN (256ull << 10) /* native stack needed beyond the guest's */
#define CIS_ENGINE_POOL_TABLES 4u
#define CIS_ENGINE_POOL_ELEMENTS 20000u /* of one pooled table */
#define CIS_ENGINE_POOL_MEMORIES 1u     /* per module that still fits a pool slot */
#define CIS_ENGINE_PROFILES 32
#define CIS_FEATURES_COMPILED                                                                      \
    (CIS_FEATURE_MEMORY64 | CIS_FEATURE_EXCEPTIONS | CIS_FEATURE_CANONICAL_NAN)

/* Fuel and features are engine-wide in Wasmtime, so there is one engine a combination, made when
 * first needed. Pooled and on-demand engines load the same artefacts. */
struct cis_profile {
    struct cis_engine *owner;
    wasm_engine_t *wasm;
    unsigned features; /* those of CIS_FEATURES_COMPILED */
    bool fuel;
    uint64_t fingerprint;
    /* instance.c takes a place before it instantiates and waits for it (under the run's deadline)
     * when all are taken. */
    struct cis_pool pool;
};

/* Locks of the engine, outermost first; house_thread_safety checks it. Nothing of them is held
 * while a guest runs or something is compiled.
 *
 *   modules     the memory cache of modules; let go while one is loaded
 *   programs   of a module: who adds one
 *   profiles   who makes one
 *   jobs       compilers that run
 *   slots      who waits for a CPU or for a place in a pool (slots.h)
 *   ticker     sleeping and waking of its thread (ticker.h) */
CIS_LOCK_CLASS(engine_lock_jobs, CIS_BEFORE(engine_lock_slots));
CIS_LOCK_CLASS(engine_lock_profiles, CIS_BEFORE(engine_lock_jobs));
CIS_LOCK_CLASS(engine_lock_programs, CIS_BEFORE(engine_lock_profiles));
CIS_LOCK_CLASS(engine_lock_modules, CIS_BEFORE(engine_lock_programs));
#define ENGINE_FROM_JOBS engine_lock_jobs, ENGINE_FROM_SLOTS
#define ENGINE_FROM_PROFILES engine_lock_profiles, ENGINE_FROM_JOBS
#define ENGINE_FROM_PROGRAMS engine_lock_programs, ENGINE_FROM_PROFILES
#define ENGINE_FROM_IMAGES engine_lock_modules, ENGINE_FROM_PROGRAMS

#define CIS_IMAGE_BUCKETS 256u

struct cis_engine_module_slot; /* module.c */
struct cis_linked;

/* On-disk cache of compiled code (cache.c). fd -1: none. */
struct cis_cache {
    int fd; /* the folder */
    char *path;
    uint64_t max_bytes;
    uint8_t key[CIS_MAC_KEY_BYTES];
};

struct cis_engine {
    struct cis_engine_options options; /* defaults filled in; strings are the engine's own */
    char *strings[3];
    uint32_t pool_slots; /* wanted of every pool; a refused reservation halves it */
    bool pool_refused;
    pthread_mutex_t profiles_lock;
    /* Filled once and then only read; the ticker reads it without the lock. */
    _Atomic(struct cis_profile *) profiles[CIS_ENGINE_PROFILES];
    struct cis_ticker ticker;
    struct cis_slots *slots;

    pthread_mutex_t modules_lock; /* module.c: memory cache and negative cache */
    pthread_cond_t modules_done;
    struct cis_engine_module_slot *modules[CIS_IMAGE_BUCKETS] CIS_GUARDED_BY(engine_lock_modules);
    uint64_t modules_clock CIS_GUARDED_BY(engine_lock_modules);

    pthread_mutex_t jobs_lock; /* compile.c: compilers running */
    pthread_cond_t jobs_done;
    uint32_t jobs CIS_GUARDED_BY(engine_lock_jobs);

    struct cis_cache cache;

    atomic_ullong compiled, memory_hits, disk_hits, disk_rejected, compile_failures;
};

struct cis_engine_module {
    struct cis_engine *engine;
    struct cis_profile *profile;     /* the engine to make stores on, and its pool */
    wasmtime_module_t *module;       /* a core module, or */
    wasmtime_component_t *component; /* a component */
    struct cis_engine_module_info *info;
    char *name; /* as given by the first loader, for messages */
    /* Programs made from this module. Read without the lock: entries are added in front and stay as
     * long as the module. They are the instance room's: who adds the first one says how they go. */
    _Atomic(struct cis_linked *) programs;
    void (*programs_free)(struct cis_engine_module *module);
    char gap[64]; /* what all threads read is not on the line that all threads write */
    atomic_uint refs;
    char gap2[64];
    pthread_mutex_t programs_lock; /* who adds one */
    /* linked with rows that have an owner */
    unsigned owned_programs CIS_GUARDED_BY(engine_lock_programs);
    struct cis_link_failures *link_failures
        CIS_GUARDED_BY(engine_lock_programs); /* of components; one block; NULL: none */
};

/* Profile for these settings, made when first asked for. The one for pooled instances is on-demand
 * when no pool could be had. */
cis_code cis_profile_get(struct cis_engine *engine, unsigned features, bool fuel, bool pooled,
                         struct cis_profile **out, struct cis_error *err)
    CIS_TAKES(ENGINE_FROM_PROFILES);
void cis_profile_free(struct cis_profile *profile);
/* An engine on its own, for the compiler's child process. */
cis_code cis_profile_engine(unsigned features, bool fuel, uint32_t pool_slots, uint64_t slot_bytes,
                            wasm_engine_t **out, struct cis_error *err);

/* module.c: empties the memory cache when the engine closes. */
void cis_engine_modules_done(struct cis_engine *engine);

#define CIS_ENGINE_IMAGES 256u /* the default of options.modules */

/* Bytes of a module as given, binary or text, and of what it compiles to. */
#define CIS_MODULE_MAX (256u << 20)
#define CIS_MODULE_TEXT_MAX (16u << 20)
#define CIS_ARTEFACT_MAX (1024ull << 20)

/* scan.c. Text is converted: *out_binary is then filled, else it stays empty and wasm itself is the
 * binary. Refuses native code, other magics and versions. */
cis_code cis_module_binary(struct cis_bytes wasm, const char *name, struct cis_buf *out_binary,
                           struct cis_error *err);
/* Scan of a binary, as JSON. */
cis_code cis_scan_json(struct cis_bytes binary, const struct cis_engine_module_options *options,
                       struct cis_buf *out_json, struct cis_error *err);
/* Text to binary (out_binary stays empty for a binary) and the scan; digest is of the bytes as the
 * user gave them. In this process when it is a small core module or there is no compiler. */
struct cis_child_limits;
bool cis_module_is_read_apart(struct cis_bytes wasm);
cis_code cis_module_examine(struct cis_bytes wasm, const uint8_t digest[CIS_SHA256_BYTES],
                            const struct cis_engine_module_options *options,
                            const struct cis_child_limits *limits, struct cis_buf *out_binary,
                            struct cis_engine_module_info **out_info, struct cis_error *err);
/* From the JSON of an earlier scan. */
cis_code cis_info_from_json(struct cis_str json, const uint8_t digest[CIS_SHA256_BYTES],
                            struct cis_engine_module_info **out_info, struct cis_error *err);
/* Do instances fit a pool slot of this size when their memory is limited to `limit`? */
bool cis_info_fits_pool(const struct cis_engine_module_info *info, uint64_t slot_bytes,
                        uint64_t limit);

/* The child process and what it may use, 0: what the machine and the module need; program NULL:
 * there is none. */
struct cis_child_limits {
    const char *program;
    uint64_t memory_bytes, ns;
    uint64_t still_ns; /* of the clock on the wall, for one that does nothing */
    /* Set when it failed by how this machine is now (too busy, out of memory, killed by others),
     * and another time may go well; may be NULL. */
    bool *out_passing;
};
/* The same as cis_compile, for a scan in the child: the answer's body. */
struct cis_child_work {
    uint32_t job;                  /* enum cis_child_job */
    const struct cis_bytes *input; /* given one after the other */
    size_t ninput;
    const int *fds; /* as in struct cis_process_options; fds_bytes can be read from them */
    size_t nfds;
    uint64_t fds_bytes;
    const char *name, *doing; /* "NAME: DOING it takes more than …" */
    unsigned features;
    bool fuel;
    uint64_t slot_bytes;
    struct cis_stop stop;
};
cis_code cis_child_run(const struct cis_child_limits *limits, const struct cis_child_work *work,
                       uint64_t *out_fingerprint, struct cis_buf *out, struct cis_error *err);
/* A turn among the children of this engine; end it when begin was CIS_OK. */
cis_code cis_child_turn_begin(struct cis_engine *engine, const struct cis_stop *stop,
                              const char *name, struct cis_error *err);
void cis_child_turn_end(struct cis_engine *engine);

/* compile.c. The artefact of a valid binary, by the child or in process; in a turn of the caller.
 * CIS_E_LIMIT names time or memory; CIS_E_DEADLINE and _CANCELLED are the caller's stop. */
struct cis_compile_job {
    struct cis_bytes binary;
    const char *name;
    unsigned features;
    bool fuel;
    uint64_t fingerprint; /* of the profile that will load the artefact */
    struct cis_stop stop;
    bool *out_passing; /* as in struct cis_child_limits */
};
cis_code cis_compile(struct cis_engine *engine, const struct cis_compile_job *job,
                     struct cis_buf *out_artefact, struct cis_error *err)
    CIS_TAKES(ENGINE_FROM_IMAGES);
/* Compiles with this engine and appends the artefact. */
cis_code cis_compile_with(wasm_engine_t *engine, struct cis_bytes binary, const char *name,
                          struct cis_buf *out, struct cis_error *err);

/* cache.c */
struct cis_cache_key {
    uint8_t sha256[CIS_SHA256_BYTES]; /* of the module as given */
    unsigned features;
    bool fuel;
    uint64_t fingerprint; /* version, target, CPU features, tunables */
};
/* A folder or key that others could write is CIS_E_DENIED; one that cannot be made is no cache. */
cis_code cis_cache_open(struct cis_cache *cache, const struct cis_engine_options *options,
                        struct cis_error *err);
void cis_cache_close(struct cis_cache *cache);
enum cis_cache_found { CIS_CACHE_MISS, CIS_CACHE_HIT, CIS_CACHE_BAD };
/* HIT: both are what was put, verified. BAD: the file was refused and removed. */
enum cis_cache_found cis_cache_get(struct cis_cache *cache, const struct cis_cache_key *key,
                                   struct cis_buf *out_json, struct cis_artefact *out_code);
/* A regular file of this user that nobody else can write. */
struct stat;
bool cis_cache_file_trusted(int fd, struct stat *out);
/* Under this name whole or not at all; best effort. */
bool cis_cache_file_write(struct cis_cache *cache, const char *name, const struct cis_bytes *parts,
                          size_t n);
/* Best effort: a cache that cannot be written costs a compile later. */
void cis_cache_put(struct cis_cache *cache, const struct cis_cache_key *key, struct cis_str json,
                   struct cis_bytes artefact);
void cis_cache_drop(struct cis_cache *cache, const struct cis_cache_key *key);

#endif
