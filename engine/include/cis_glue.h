/* The glue: what Wasmtime's C API cannot reach, as C functions. Implemented in engine/src (Rust),
 * part of libcis_engine.a; included by src/engine only.
 *
 * No policy and no I/O in here. Nothing in here allocates by a number that a guest chose, except
 * what Wasmtime itself allocates after the limiter said yes. Errors are wasmtime_error_t as in the
 * C API (free with wasmtime_error_delete); text is struct cis_glue_text (cis_glue_text_free). */
#ifndef CIS_GLUE_H
#define CIS_GLUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wasm.h>
#include <wasmtime.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cis_glue_text { /* owned, not NUL-terminated */
    char *ptr;
    size_t len;
};
void cis_glue_text_free(struct cis_glue_text *text);

/* Same values as enum cis_feature. */
#define CIS_GLUE_MEMORY64 1u
#define CIS_GLUE_EXCEPTIONS 2u
#define CIS_GLUE_CANONICAL_NAN 8u /* every NaN an instruction makes has the same bits */

/* "48.0.8". Static, NUL-terminated. */
const char *cis_glue_wasmtime_version(void);

/* ---- engines ---- */
struct cis_glue_engine_config {
    uint32_t size;     /* sizeof(struct cis_glue_engine_config) */
    uint32_t features; /* CIS_GLUE_* that are switched on */
    bool fuel;
    bool compiler;           /* false: the engine only loads artefacts (no Cranelift set up) */
    uint64_t slot_bytes;     /* reservation of every linear memory, and maximum of a pooled one */
    uint64_t stack_bytes;    /* guest stack */
    uint32_t pool_slots;     /* 0: on-demand */
    uint32_t pool_tables;    /* tables of one instance that still fit the pool */
    uint64_t table_elements; /* elements of one pooled table */
};
/* Wasmtime's own constructor aborts when the pool's reservation is refused; this one returns the
 * error. The features, the tunables and so the compatibility of artefacts depend on size, features,
 * fuel, slot_bytes only: pooled and on-demand engines share artefacts. */
wasmtime_error_t *cis_glue_engine_new(const struct cis_glue_engine_config *config,
                                      wasm_engine_t **out_engine);
/* Changes whenever artefacts of the engine stop being loadable elsewhere: hash of version, target,
 * CPU features in use and tunables. */
uint64_t cis_glue_engine_fingerprint(const wasm_engine_t *engine);

/* Compiles to an artefact for wasmtime_module_deserialize (or the component's) without loading it;
 * out holds its bytes. */
wasmtime_error_t *cis_glue_precompile(const wasm_engine_t *engine, const uint8_t *wasm, size_t len,
                                      bool component, struct cis_glue_text *out);

/* ---- stores ---- */
/* Asked before any linear memory or table of the store grows or is made (then current is 0). The
 * answer false makes the grow instruction return -1, and instantiation fail. `self` must outlive
 * the store; the struct itself is copied. The counts are of the whole store. A growth
 * beyond the memory's own maximum fails without a question; one that was allowed can only fail when
 * the operating system has no memory left, so what was charged for it may stay charged. */
struct cis_glue_limiter {
    void *self;
    bool (*memory_growing)(void *self, uint64_t current, uint64_t desired, bool has_max,
                           uint64_t max);
    bool (*table_growing)(void *self, uint64_t current, uint64_t desired, bool has_max,
                          uint64_t max); /* in elements */
    uint64_t max_instances, max_tables, max_memories;
};
void cis_glue_store_limiter(wasmtime_store_t *store, const struct cis_glue_limiter *limiter);
/* Bytes that one component host call may move from the guest to the host (default 128 MiB), and the
 * number of component handles alive in the store (default 100,000). */
void cis_glue_store_hostcall_fuel(wasmtime_store_t *store, uint64_t bytes);
void cis_glue_store_max_handles(wasmtime_store_t *store, uint64_t handles);

/* ---- errors ---- */
/* The trap code (enum wasmtime_trap_code) inside an error, or -1: component calls return traps as
 * errors. */
int cis_glue_error_trap_code(const wasmtime_error_t *error);

/* ---- scan ---- */
enum cis_glue_scan_status {
    CIS_GLUE_SCAN_OK = 0,
    CIS_GLUE_SCAN_INVALID = 1,   /* not WebAssembly, or malformed: text is the reason */
    CIS_GLUE_SCAN_FEATURE = 2,   /* needs a feature that is off: text is its name */
    CIS_GLUE_SCAN_TOO_LARGE = 3, /* a count or the answer is above a bound: text says which */
    CIS_GLUE_SCAN_STOPPED = 4    /* keep_going said no */
};
/* Validates a binary with the features that the switches allow and describes it as JSON; never
 * compiles. `out` is the JSON (OK) or the text named above. Feature names: "memory64",
 * "exceptions", "threads", "gc", "function-references", "legacy-exceptions", "component-async", or
 * the validator's own name. keep_going (may be NULL) is asked now and then and may end the scan.
 * The JSON is described in engine/src/scan.rs. */
int cis_glue_scan(const uint8_t *wasm, size_t len, uint32_t features,
                  bool (*keep_going)(void *self), void *self, struct cis_glue_text *out);

/* ---- TOML ---- */
/* 0: out is {"value": …, "lines": {"a.b": 3}}. Otherwise the line of the mistake (1 when unknown)
 * and out its description. Datetimes become strings; array items are "a.0", "a.1". */
uint32_t cis_glue_toml_to_json(const char *toml, size_t len, struct cis_glue_text *out);

#ifdef __cplusplus
}
#endif
#endif
