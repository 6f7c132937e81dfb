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
    size_t room; /* the library's */
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
    bool compiler;       /* false: the engine only loads artefacts (no Cranelift set up) */
    uint64_t slot_bytes; /* maximum of a pooled linear memory */
    /* Addresses kept for every linear memory, at least slot_bytes. With 4 GiB an address of 32 bits
     * never reaches beyond them and code has no checks of its own. */
    uint64_t reserve_bytes;
    uint64_t stack_bytes;    /* guest stack */
    uint32_t pool_slots;     /* 0: on-demand */
    uint32_t pool_tables;    /* tables of one instance that still fit the pool */
    uint64_t table_elements; /* elements of one pooled table */
};
/* Wasmtime's own constructor aborts when the pool's reservation is refused; this one returns the
 * error. The features, the tunables and so the compatibility of artefacts depend on size, features,
 * fuel, slot_bytes, reserve_bytes only: pooled and on-demand engines share artefacts. */
wasmtime_error_t *cis_glue_engine_new(const struct cis_glue_engine_config *config,
                                      wasm_engine_t **out_engine);
/* Changes whenever artefacts of the engine stop being loadable elsewhere: hash of version, target,
 * CPU features in use and tunables. */
uint64_t cis_glue_engine_fingerprint(const wasm_engine_t *engine);

/* Compiles to an artefact for wasmtime_module_deserialize (or the component's) without loading it;
 * out holds its bytes. */
wasmtime_error_t *cis_glue_precompile(const wasm_engine_t *engine, const uint8_t *wasm, size_t len,
                                      bool component, struct cis_glue_text *out);

/* Loads an artefact from an open file without a copy: code runs in a private mapping of it, and new
 * memories begin as mappings of their contents in it. The file holds the artefact from its first
 * byte to its last and must never change (a sealed memory file). It stays the caller's; what is
 * loaded has a descriptor of its own. */
wasmtime_error_t *cis_glue_module_load(const wasm_engine_t *engine, int fd,
                                       wasmtime_module_t **out_module);
wasmtime_error_t *cis_glue_component_load(const wasm_engine_t *engine, int fd,
                                          wasmtime_component_t **out_component);

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
/* The system had no memory left. error may be NULL. */
bool cis_glue_error_no_memory(const wasmtime_error_t *error);
/* What one of both says, its causes from the outermost on, a newline after each; without the
 * backtrace, and without demangling. Returns how many of the max bytes at out were written: text is
 * cut at the end of a character, and not NUL-terminated. Never wasmtime_error_message or
 * wasm_trap_message, whose length the guest decides. */
size_t cis_glue_error_text(const wasmtime_error_t *error, const wasm_trap_t *trap, char *out,
                           size_t max);
struct cis_glue_frame {
    uint32_t function; /* its index */
    uint32_t name_len; /* 0: has no name */
    uint64_t offset;   /* in the module's bytes; UINT64_MAX: not known */
    char name[256];    /* the first bytes of what the guest's name section says; valid UTF-8 */
};
/* The frames of the guest when the error was made, the innermost first: how many were written. */
size_t cis_glue_frames(const wasmtime_error_t *error, const wasm_trap_t *trap,
                       struct cis_glue_frame *out, size_t max);

/* ---- memory ---- */
/* Rust's collections end the process when an allocation fails. What the system refuses to this
 * library therefore comes from a reserve of 4 MiB, and the calling thread counts it. Whoever calls
 * this library compares the count before and after, frees what was made when it differs, and
 * answers that memory ran out. Only what is larger than the rest of the reserve ends the process:
 * lists whose length a guest decides therefore grow by a function that may fail (engine/src/lists.rs).
 */
uint64_t cis_glue_heap_short(void);
/* Blocks of the reserve that are in use, by all threads. */
size_t cis_glue_heap_lent(void);
/* Tests: the system refuses this thread the allocation after n more, once; SIZE_MAX: never. */
void cis_glue_heap_fail_after(size_t n);
/* The same, counting only those of at least `size` bytes. */
void cis_glue_heap_fail_large_after(size_t size, size_t n);

/* ---- scan ---- */
enum cis_glue_scan_status {
    CIS_GLUE_SCAN_OK = 0,
    CIS_GLUE_SCAN_INVALID = 1,   /* not WebAssembly, or malformed: text is the reason */
    CIS_GLUE_SCAN_FEATURE = 2,   /* needs a feature that is off: text is its name */
    CIS_GLUE_SCAN_TOO_LARGE = 3, /* a count or the answer is above a bound: text says which */
    CIS_GLUE_SCAN_STOPPED = 4,   /* keep_going said no */
    CIS_GLUE_SCAN_MEMORY = 5     /* no memory for what is in it */
};
/* Validates a binary with the features that the switches allow and describes it as JSON; never
 * compiles. `out` is the JSON (OK) or the text named above. Feature names: "memory64",
 * "exceptions", "threads", "gc", "function-references", "legacy-exceptions", "component-async", or
 * the validator's own name. keep_going (may be NULL) is asked now and then and may end the scan.
 * The JSON is described in engine/src/scan.rs. */
int cis_glue_scan(const uint8_t *wasm, size_t len, uint32_t features,
                  bool (*keep_going)(void *self), void *self, struct cis_glue_text *out);

/* ---- components: host functions whose types are known to the glue ---- */
/* The C API boxes every value; these functions get slices of the guest's memory and hand slices
 * back. One C function serves all shapes: arguments in order, one result. */
struct cis_glue_span {
    const uint8_t *ptr;
    size_t len;
};
struct cis_glue_pair { /* (text, text), (text, bytes); single items use the first */
    struct cis_glue_span first, second;
};
struct cis_glue_arg {
    uint64_t n;                /* a number, flags (first is 1), or a resource's representation */
    struct cis_glue_span span; /* text (UTF-8) or bytes: the guest's memory, during the call */
    const struct cis_glue_pair *items;
    const uint32_t *reps; /* a list of resources */
    size_t nitems;        /* of items or reps, at most 65,536: more ends the guest */
    uint32_t kind;        /* of a resource, or of all in reps: what it was defined as; 0: none */
};
/* Zero at the start. What it points to stays as it is until the next call into C from this guest,
 * or the end of the guest. Text has to be UTF-8. */
struct cis_glue_out {
    bool failed;    /* the error of the function's own type: number in `error` */
    bool has;       /* bool; an option that is there; the end of a file */
    uint32_t error; /* case of the error's enum; streams: 0 the last operation failed (rep and kind:
                     * its error), 1 closed */
    uint32_t rep;   /* a resource that is handed out, and its type: the number it was defined by */
    uint32_t kind;
    uint64_t n[12]; /* numbers; a stat: type, links, size, three times as seconds and nanoseconds
                     * (2^32 and more: none) */
    struct cis_glue_span span;
    const struct cis_glue_pair *items;
    const uint32_t *numbers;
    size_t nitems; /* of items or numbers */
};
/* r a resource, s text, b bytes, n u64; E: an error enum. */
enum cis_glue_shape {
    CIS_GLUE_QUIET = 0,       /* (r) */
    CIS_GLUE_POLL = 1,        /* (list<r>) -> list<u32> */
    CIS_GLUE_BOOL = 2,        /* (r) -> bool */
    CIS_GLUE_CHILD = 3,       /* (r) -> own r */
    CIS_GLUE_READ = 4,        /* streams: (r, n) -> result<b, stream-error> */
    CIS_GLUE_WRITE = 5,       /* (r, b) -> result<_, stream-error> */
    CIS_GLUE_COUNT = 6,       /* (r) -> result<n, stream-error> */
    CIS_GLUE_SKIP = 7,        /* (r, n) -> result<n, stream-error> */
    CIS_GLUE_DONE = 8,        /* (r) -> result<_, stream-error> */
    CIS_GLUE_ZEROES = 9,      /* (r, n) -> result<_, stream-error> */
    CIS_GLUE_SPLICE = 10,     /* (r, r, n) -> result<n, stream-error> */
    CIS_GLUE_BYTES = 11,      /* (n) -> b */
    CIS_GLUE_U64 = 12,        /* () -> n */
    CIS_GLUE_U64_PAIR = 13,   /* () -> tuple<n, n> */
    CIS_GLUE_DATETIME = 14,   /* () -> record { seconds, nanoseconds } */
    CIS_GLUE_TEXTS = 15,      /* () -> list<s> */
    CIS_GLUE_TEXT_PAIRS = 16, /* () -> list<tuple<s, s>> */
    CIS_GLUE_MAKE = 17,       /* (n) -> own r */
    CIS_GLUE_FILE_READ =
        20, /* wasi:filesystem, E its error-code: (r, n, n) -> result<tuple<b, bool>, E> */
    CIS_GLUE_FILE_WRITE = 21,   /* (r, b, n) -> result<n, E> */
    CIS_GLUE_FILE_TYPE = 22,    /* (r) -> result<descriptor-type, E> */
    CIS_GLUE_FILE_STAT = 23,    /* (r) -> result<descriptor-stat, E> */
    CIS_GLUE_FILE_STAT_AT = 24, /* (r, path-flags, s) -> result<descriptor-stat, E> */
    CIS_GLUE_FILE_OPEN_AT =
        25, /* (r, path-flags, s, open-flags, descriptor-flags) -> result<own r, E> */
    CIS_GLUE_FILE_HASH = 26,     /* (r) -> result<metadata-hash-value, E> */
    CIS_GLUE_FILE_HASH_AT = 27,  /* (r, path-flags, s) -> result<metadata-hash-value, E> */
    CIS_GLUE_FILE_STREAM = 28,   /* (r, n) -> result<own r, E> */
    CIS_GLUE_FILE_CHILD = 29,    /* (r) -> result<own r, E> */
    CIS_GLUE_FILE_DONE = 30,     /* (r) -> result<_, E> */
    CIS_GLUE_FILE_SIZE = 31,     /* (r, n) -> result<_, E> */
    CIS_GLUE_FILE_PATH = 32,     /* (r, s) -> result<_, E> */
    CIS_GLUE_FILE_READLINK = 33, /* (r, s) -> result<s, E> */
    CIS_GLUE_FILE_ENTRY = 34,    /* (r) -> result<option<directory-entry>, E> */
    CIS_GLUE_FILE_RENAME = 35,   /* (r, s, r, s) -> result<_, E> */
    CIS_GLUE_FILE_LINK = 36,     /* (r, path-flags, s, r, s) -> result<_, E> */
    CIS_GLUE_FILE_SYMLINK = 37,  /* (r, s, s) -> result<_, E> */
    CIS_GLUE_CORE_SEND = 38,     /* scheduler:core-libs, E its error-code: (r, b) -> result<n, E> */
    CIS_GLUE_CORE_RECEIVE = 39,  /* (r, n) -> result<b, E> */
    CIS_GLUE_FIELD_GET = 40,     /* wasi:http, E header-error: (r, s) -> list<b> */
    CIS_GLUE_FIELD_ENTRIES = 41, /* (r) -> list<tuple<s, b>> */
    CIS_GLUE_FIELD_APPEND = 42,  /* (r, s, b) -> result<_, E> */
    CIS_GLUE_FIELD_SET = 43,     /* (r, s, list<b>) -> result<_, E> */
    CIS_GLUE_FIELD_FROM = 44,    /* (list<tuple<s, b>>) -> result<own r, E> */
    CIS_GLUE_NET_U64 = 45,       /* wasi:sockets, E its error-code: (r, n) -> result<_, E> */
    CIS_GLUE_FILE_ADVISE = 46,   /* (r, n, n, advice) -> result<_, E> */
    CIS_GLUE_FILE_FLAGS = 47,    /* (r) -> result<descriptor-flags, E> */
    CIS_GLUE_FILE_TIMES = 48,    /* (r, new-timestamp, new-timestamp) -> result<_, E>; each time is
                                  * three arguments: case, seconds, nanoseconds */
    CIS_GLUE_FILE_TIMES_AT = 49, /* (r, path-flags, s, new-timestamp, new-timestamp) -> result<_,
                                  * E>; the same, then flags and path */
    CIS_GLUE_SAME = 50,          /* (r, r) -> bool */
    CIS_GLUE_FILE_ERROR = 51,    /* (r) -> option<E> */
    CIS_GLUE_TEXT = 52,          /* (r) -> s */
    CIS_GLUE_EXIT = 53,          /* (result): 0 ok, 1 error */
    CIS_GLUE_EXIT_CODE = 54,     /* (u8) */
    CIS_GLUE_GET = 55,           /* () -> own r */
    CIS_GLUE_GET_OPTION = 56,    /* () -> option<own r> */
    CIS_GLUE_GET_NAMED = 57,     /* () -> list<tuple<own r, s>>: numbers are the resources */
    CIS_GLUE_TEXT_OPTION = 58,   /* () -> option<s> */
    CIS_GLUE_NET_RECEIVE = 59,   /* wasi:sockets again: (r, n) -> result<list<incoming-datagram>,
                                  * E>; items: data, a struct cis_glue_address */
    CIS_GLUE_NET_SEND = 60,      /* (r, list<outgoing-datagram>) -> result<n, E>; the second of an
                                  * item is empty when it has no address */
    CIS_GLUE_NET_COUNT = 61      /* (r) -> result<n, E> */
};
struct cis_glue_address { /* of a datagram */
    uint32_t family;      /* 4 or 6 */
    uint32_t port, flow, scope;
    uint8_t ip[16]; /* network order; of family 4 the first four */
};
/* data: of the store (wasmtime_context_get_data). false: the guest has ended, and C has recorded
 * why; the call fails and the guest unwinds. */
typedef bool cis_glue_typed(void *env, void *data, const struct cis_glue_arg *args,
                            struct cis_glue_out *out);
/* Defines the function in the linker's instance; its type is checked when the component is linked.
 */
wasmtime_error_t *cis_glue_add_typed(wasmtime_component_linker_instance_t *into, const char *name,
                                     size_t name_len, uint32_t shape, cis_glue_typed *call,
                                     void *env);

/* ---- components: linked once, instantiated often ---- */
/* Tells each import in its order; of one that is an interface (its item is an instance) what it
 * exports comes next, with `outer` the interface's name, else "". Names live as long as the
 * component, items during the call. false: no more. */
typedef bool cis_glue_import(void *self, const char *outer, size_t outer_len, const char *name,
                             size_t name_len, const wasmtime_component_item_t *item);
void cis_glue_component_imports(const wasmtime_component_t *component, cis_glue_import *visit,
                                void *self);
struct cis_glue_pre;
wasmtime_error_t *cis_glue_pre_new(const wasmtime_component_linker_t *linker,
                                   const wasmtime_component_t *component,
                                   struct cis_glue_pre **out_pre);
wasmtime_error_t *cis_glue_pre_instantiate(const struct cis_glue_pre *pre,
                                           wasmtime_context_t *context,
                                           wasmtime_component_instance_t *out_instance);
void cis_glue_pre_free(struct cis_glue_pre *pre);

/* ---- components as documents. Hostile input can cost as much as compiling it ---- */
/* A core module of WASI 0.1 as a component. adapter: a module, or the version of WASI of a built-in
 * one as text ("0.2.0", "0.2.3", "0.2.12"; empty: the last), for a command or a reactor. */
wasmtime_error_t *cis_glue_component_new(const uint8_t *module, size_t len, const uint8_t *adapter,
                                         size_t adapter_len, bool reactor,
                                         struct cis_glue_text *out);
/* The world of a component, or a package that was encoded, as WIT text of at most 16 MiB. */
wasmtime_error_t *cis_glue_wit(const uint8_t *wasm, size_t len, struct cis_glue_text *out);

/* Several components as one. text NULL: the first is the socket, the others are plugs, joined by
 * what they import and export; parts that nothing needs are an error. Else a text in the WAC
 * language (not NUL-terminated; at most 1 MiB, 64 brackets inside each other), and the parts are
 * the packages that it may name ("a:b", "a:b@1.2.3"); what is wrong in it begins with "LINE:COLUMN:
 * ". Parts are binary. The result is not validated: scan it. The same parts give the same bytes. */
struct cis_glue_part {
    const uint8_t *name;
    size_t name_len;
    const uint8_t *wasm;
    size_t len;
};
wasmtime_error_t *cis_glue_compose(const struct cis_glue_part *parts, size_t n, const char *text,
                                   size_t text_len, struct cis_glue_text *out);

/* ---- calls as text ---- */
/* "NAME: func(a: string) -> u32". A part that has no text form shows as <a resource>, one that does
 * not fit the max bytes as <too many parts>; names that do not fit leave out empty. */
void cis_glue_wave_type(const wasmtime_component_func_t *func, wasmtime_context_t *context,
                        const char *name, size_t len, size_t max, struct cis_glue_text *out);
enum cis_glue_wave_status {
    CIS_GLUE_WAVE_OK = 0,    /* out: the result as text, "" without one */
    CIS_GLUE_WAVE_TEXT = 1,  /* the call's text is wrong: message, and *out_at where */
    CIS_GLUE_WAVE_TYPE = 2,  /* the function's type has a part without text form: what */
    CIS_GLUE_WAVE_CALL = 3,  /* the call failed: *out_error */
    CIS_GLUE_WAVE_LARGE = 4, /* the result is larger than max bytes as text */
    CIS_GLUE_WAVE_MEMORY = 5, /* no memory for it */
    CIS_GLUE_WAVE_STOPPED = 6 /* go_on said no */
};
/* text: `name(args)`; max: bytes of the result's text. go_on is asked before the result is written
 * as text, and again and again while it is; it runs no guest. */
int cis_glue_wave_call(const wasmtime_component_func_t *func, wasmtime_context_t *context,
                       const char *text, size_t len, size_t max, bool (*go_on)(void *self),
                       void *self, struct cis_glue_text *out, size_t *out_at,
                       wasmtime_error_t **out_error);

/* ---- TOML ---- */
/* 0: out is {"value": …, "lines": {"a.b": 3}}. Otherwise the line of the mistake (1 when unknown)
 * and out its description. Datetimes become strings; array items are "a.0", "a.1". */
uint32_t cis_glue_toml_to_json(const char *toml, size_t len, struct cis_glue_text *out);

#ifdef __cplusplus
}
#endif
#endif
