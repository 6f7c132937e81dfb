/* The engine: compiled code, its caches, CPU slots and the epoch ticker. Only the rooms of
 * src/engine include wasmtime.h; nothing of it shows in the headers for others.
 *
 *   cis_engine   one per process is usual; thread safe; outlives everything made from it
 *   cis_engine_module    one compiled module, shared by threads; reference counted
 * (engine/code/module.h) cis_linked  a module linked with host functions; reference counted
 * (engine/instance/program.h) cis_engine_instance    one instance in its own store, one thread at a
 * time (engine/instance/instance.h) */
#ifndef CIS_ENGINE_ENGINE_H
#define CIS_ENGINE_ENGINE_H

#include "base/buf.h"
#include "base/cancel.h"

typedef struct cis_engine cis_engine;

struct cis_engine_options {
    uint32_t pool_slots;      /* pooled instances; 0: from vm.max_map_count, at most 1,000 */
    uint64_t slot_bytes;      /* linear memory of a pool slot; 0: 512 MiB */
    uint32_t cpu_slots;       /* guests executing at once; 0: number of cores */
    const char *cache_dir;    /* compiled code; NULL: memory only */
    const char *cache_key;    /* file with the cache's MAC key, made if absent, outside cache_dir */
    uint64_t cache_max_bytes; /* 0: 1 GiB */
    uint32_t modules;         /* loaded modules kept in memory although nobody holds them; 0: 256 */
    const char *compiler; /* program run as `COMPILER __compile`; NULL needs compile_in_process */
    bool compile_in_process; /* explicit opt-in: a hostile module then costs this process */
    uint64_t compile_memory; /* RLIMIT_AS of the child; 0: half of what the machine has, at least
                              * 2 GiB */
    uint64_t compile_ns;   /* processor time of the child; 0: 60 s, and 2 s more a MiB of module */
    uint32_t compile_jobs; /* children at once; 0: number of cores */
};

cis_code cis_engine_open(const struct cis_engine_options *options, cis_engine **out_engine,
                         struct cis_error *err);
void cis_engine_close(cis_engine *engine);
/* "Wasmtime 48.0.8 (Apache-2.0 WITH LLVM-exception)"; static. */
const char *cis_engine_version(void);

struct cis_engine_stats { /* counters since open; for tests, doctor and reports */
    uint64_t compiled, memory_hits, disk_hits, disk_rejected, compile_failures;
    uint64_t pool_slots, pool_live, ondemand_live, slots_busy, slots_waiting;
    uint64_t profiles; /* engine profiles made so far */
    bool pooled;       /* false: the pool's reservation was refused */
    bool disk_cache;   /* the cache folder is in use */
};
void cis_engine_stats(cis_engine *engine, struct cis_engine_stats *out);

/* TOML → {"value": …, "lines": {"a.b": 3, …}} as JSON text in out (the glue's `toml` crate).
 * CIS_E_INVALID "NAME:LINE: …". */
cis_code cis_toml_to_json(struct cis_str toml, const char *name, struct cis_buf *out,
                          struct cis_error *err);

/* The child's side of compilation: reads a request on stdin, writes the artefact on stdout. Returns
 * the process's exit code. Called by `cis __compile` only. */
int cis_engine_compile_child(void);

/* On-disk cache maintenance. */
struct cis_cache_entry {
    char name[65]; /* sha256 of the module, hex */
    uint64_t bytes;
    int64_t used_ms; /* wall clock of the last use */
};
cis_code cis_cache_list(const char *cache_dir,
                        int (*each)(void *self, const struct cis_cache_entry *), void *self,
                        struct cis_error *err);
cis_code cis_cache_clear(const char *cache_dir, uint64_t *out_bytes, struct cis_error *err);
cis_code cis_cache_prune(const char *cache_dir, uint64_t max_bytes, uint64_t *out_bytes,
                         struct cis_error *err);

#endif
