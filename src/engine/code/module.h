/* Modules: validated, compiled modules. Magic, version, layer and features are checked from a scan
 * before anything is compiled; refusals never compile. */
#ifndef CIS_ENGINE_IMAGE_H
#define CIS_ENGINE_IMAGE_H

#include "engine/code/engine.h"

typedef struct cis_engine_module cis_engine_module;

enum cis_feature {
    CIS_FEATURE_MEMORY64 = 1,
    CIS_FEATURE_EXCEPTIONS = 2,
    CIS_FEATURE_THREADS = 4, /* shared memory: recognised, always refused */
    /* No feature of modules but a way to compile them: NaNs have the same bits on every machine, at
     * some cost for code that computes with floats. For runs that are recorded. */
    CIS_FEATURE_CANONICAL_NAN = 8
};

enum cis_extern_kind {
    CIS_EXTERN_FUNC,
    CIS_EXTERN_MEMORY,
    CIS_EXTERN_TABLE,
    CIS_EXTERN_GLOBAL,
    CIS_EXTERN_TAG,
    CIS_EXTERN_OTHER
};

/* One import or export. Function types are written "iI:f" (i i32, I i64, f f32, F f64, v v128,
 * r reference; parameters, colon, results). */
struct cis_extern {
    struct cis_str module; /* imports only */
    struct cis_str name;
    enum cis_extern_kind kind;
    const char *type;              /* functions as above, others readable text; NUL-terminated */
    uint64_t min_pages, max_pages; /* memories, in units of 64 KiB; max UINT64_MAX: none */
};

struct cis_engine_module_info {
    bool component;
    uint8_t sha256[32];
    char sha256_hex[65];
    unsigned features; /* enum cis_feature used */
    struct cis_extern *imports, *exports;
    size_t nimports, nexports;
    uint64_t memories, tables, functions;
    uint64_t min_memory_bytes; /* sum over all defined and imported memories */
    uint64_t table_elements;   /* sum of minimums */
    uint64_t state_bytes;      /* what the engine keeps beside them for the instances of a run */
    const char *json;          /* the scan as JSON, for inspect */
};

struct cis_engine_module_options {
    const char *name;      /* for messages; NULL: "module" */
    unsigned features;     /* enum cis_feature that are switched on */
    bool fuel;             /* compile with fuel metering */
    uint64_t memory_limit; /* of the runs to come: above a slot's size means on-demand */
    struct cis_stop stop;  /* for waiting on the compiler */
    /* For cis_engine_module_scan alone: run as `COMPILER __compile` to read modules that are not
     * small; NULL: this process reads them, however long that takes. What that process may use; 0:
     * as struct cis_engine_options has it. */
    const char *compiler;
    uint64_t compile_memory, compile_ns;
};

/* Scan only: text (.wat) or binary, never compiles. Free with cis_engine_module_info_free. Checks
 * magic, version, well-formedness and the feature switches (options->features). Reading a hostile
 * module can cost as much as compiling it, so that is the compiler's work too, under the same
 * limits. */
cis_code cis_engine_module_scan(struct cis_bytes wasm,
                                const struct cis_engine_module_options *options,
                                struct cis_engine_module_info **out_info, struct cis_error *err);
void cis_engine_module_info_free(struct cis_engine_module_info *info);

/* From the memory cache, the disk cache or the compiler. Text is converted first. One compile for
 * any number of concurrent calls with the same bytes and options. A failed compile is remembered by
 * digest. CIS_E_INVALID, _UNSUPPORTED, _LIMIT (compiler limits, named), _DEADLINE, _CANCELLED. */
cis_code cis_engine_module_load(cis_engine *engine, struct cis_bytes wasm,
                                const struct cis_engine_module_options *options,
                                cis_engine_module **out_module, struct cis_error *err);
/* The same of the module that an open file holds. The file is read only when it has to be: not when
 * its hash is known from before, it is the same file since, and its code is in a cache. `read`
 * gives all of its bytes, from the file's begin. */
cis_code cis_engine_module_load_file(
    cis_engine *engine, int fd, const struct cis_engine_module_options *options,
    cis_code (*read)(void *self, int fd, struct cis_bytes *out, struct cis_error *err), void *self,
    cis_engine_module **out_module, struct cis_error *err);
/* The same of a module that `make` makes of what `key` is the hash of: it is not made again when
 * the hash of the result is remembered, and its code is in a cache. */
cis_code cis_engine_module_load_made(
    cis_engine *engine, const uint8_t key[32], const struct cis_engine_module_options *options,
    cis_code (*make)(void *self, struct cis_bytes *out, struct cis_error *err), void *self,
    cis_engine_module **out_module, struct cis_error *err);
cis_engine_module *cis_engine_module_ref(cis_engine_module *module);
void cis_engine_module_unref(cis_engine_module *module);
const struct cis_engine_module_info *cis_engine_module_info(const cis_engine_module *module);
/* NULL when absent. */
const struct cis_extern *cis_engine_module_export(const cis_engine_module *module,
                                                  struct cis_str name);
const struct cis_extern *cis_info_export(const struct cis_engine_module_info *info,
                                         struct cis_str name);

#endif
