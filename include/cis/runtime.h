/* The runtime: load WebAssembly modules, keep instances, run skills once.
 *
 *   cis_runtime   engine, caches, store and services; thread safe; one per process is usual
 *   cis_module    a compiled module; reference counted; used by any number of threads
 *   cis_instance  one instance with its own memory; one thread at a time
 *   cis_result    what a run left behind; plain data, any thread
 *
 * Sizes are bytes, times are milliseconds unless a name says otherwise. Text is UTF-8. Option
 * structs start with `size`, set by their INIT macro; zero or NULL means the default. Programs
 * compiled with another version of this header go on working: what a shorter struct does not have
 * is the default, a longer one is taken unless it sets what this library does not know
 * (CIS_E_USAGE). A plain returned pointer is borrowed from its parent; a pointer through `out_` is
 * yours to free. */
#ifndef CIS_RUNTIME_H
#define CIS_RUNTIME_H

#include "cis/cancel.h"
#include "cis/service.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cis_runtime cis_runtime;
typedef struct cis_module cis_module;
typedef struct cis_instance cis_instance;
typedef struct cis_result cis_result;

struct cis_runtime_config {
    uint32_t size;
    uint64_t max_memory;         /* memories and tables of one guest; 512 MiB */
    uint64_t max_execution_time; /* of one run, milliseconds; 30,000 */
    bool enable_wasi;            /* provide WASI, to skills and to programs */
    bool memory64;               /* accept modules with 64-bit memories */
    bool exceptions;             /* accept modules with exceptions */
    bool compile_in_process;     /* no child to compile: a hostile module then costs this process */
    const char *compiler;        /* path of the `cis` program, run as a limited child to compile;
                                  * NULL: the one that was installed with this library */
    const char *data_dir; /* store of memory, runs and skills: a folder (SQLite), or postgres://…;
                           * NULL: nothing is kept */
    const char *cache_dir;      /* compiled code; NULL: in memory only */
    const char *cache_key_file; /* with cache_dir: its key, outside of it */
    uint32_t cpu_slots;         /* guests executing at once; 0: cores */
    uint32_t pool_slots;        /* pooled instances; 0: from the system's limits */
    const char *dns_servers;    /* "192.0.2.53,[2001:db8::53]:5353"; NULL: the system's */
    const char *wasi_features;  /* unstable parts of WASI 0.2 for every run, separated by commas:
                                 * "clocks-timezone", "network-error-code"; NULL: none */
    const struct cis_services *services; /* NULL, and memory NULL: the store's memory, no others */
    /* Caches; 0: the default. What is out of its range is CIS_E_USAGE. */
    uint64_t cache_max;     /* bytes of compiled code in cache_dir, 1 MiB to 1 PiB; 1 GiB */
    uint64_t cache_content; /* bytes of the contents of files, 1 MiB to 64 GiB; 24 MiB */
    uint64_t cache_pages;   /* bytes of a SQLite store's pages, 1 MiB to 64 GiB; 128 MiB */
    uint32_t cache_names;   /* names of files, 512 to 16,777,216; 262,144 */
    uint32_t cache_inodes;  /* attributes of files, 512 to 16,777,216; 262,144 */
    uint32_t cache_modules; /* loaded modules that nobody holds, 1 to 65,536; 256 */
};
#define CIS_RUNTIME_CONFIG_INIT                                                                    \
    {                                                                                              \
        .size = sizeof(struct cis_runtime_config), .max_memory = 512ull << 20,                     \
        .max_execution_time = 30000, .enable_wasi = true                                           \
    }

/* config NULL: the defaults, with which modules are compiled in a child process. CIS_E_USAGE: a
 * setting that is out of its range, or without `compiler` and compile_in_process no program `cis`
 * where this library was installed: then nothing could be compiled. */
CIS_API enum cis_code cis_runtime_new(const struct cis_runtime_config *config,
                                      cis_runtime **out_runtime, struct cis_error *err);
/* Everything made from it must be gone. NULL is allowed. */
CIS_API void cis_runtime_free(cis_runtime *runtime);
/* "cis 0.2.0, Wasmtime 48.0.8"; static. */
CIS_API const char *cis_version(void);
/* Of the library, as CIS_VERSION_NUMBER is of the headers: 1.2.3 is 1002003. */
CIS_API uint32_t cis_version_number(void);

/* ---- the process around it ---- */
/* fork(): a child has none of the threads that time limits and compilation need. What was made
 * before fork() is refused there with CIS_E_USAGE, and what is freed stays as it is; results and
 * errors can be read. The child may make a runtime of its own when no other thread was inside
 * libcis at that moment, and may exec always.
 *
 * Out of memory: CIS_E_NOMEM, or a run that ended with it. The engine's library has a reserve of
 * 4 MiB for what it cannot refuse; it ends the process when one allocation is larger than what is
 * left of that, and when memory runs out in its own threads while compile_in_process compiles.
 *
 * Signals: the first module that is loaded installs handlers for SIGSEGV, SIGILL and SIGFPE, for
 * the whole process and for good: a fault in a guest's code becomes its trap, any other goes to the
 * handler that was there before. A handler installed later has to call the one that it replaced,
 * with SA_SIGINFO, for faults that it does not know, and to run on the alternate stack
 * (SA_ONSTACK). Threads that run guests must not block these signals, and get an alternate signal
 * stack unless they have one of 64 KiB. No other signal is touched; threads of libcis block all of
 * them. */

/* ---- stacks ---- */
/* A guest runs on the stack of the thread that calls, when 768 KiB of it are left. Where they are
 * not, it runs on a stack that libcis makes for the call, on the same thread: callbacks see the
 * thread-local variables and locks of the caller, and have at least 256 KiB of stack. On a stack
 * that the thread was not made with (of a coroutine, a fiber, ucontext) libcis cannot know how much
 * is left, and takes one of its own too, unless this names it: `low` is its lowest address. The
 * name is of the calling thread, counts while calls come from within the stack, and is taken back
 * by low NULL before the stack is freed. A stack inside of another one (an array) has to be named.
 * A call back into a guest comes on the stack that the callback was called on; on another one it
 * ends the run. Exceptions and longjmp never cross libcis. */
CIS_API void cis_thread_stack(const void *low, size_t size);

/* ---- modules ---- */
/* Binary or text. name (may be NULL) is for messages. Compiled once for any number of threads. */
CIS_API enum cis_code cis_module_load(cis_runtime *runtime, const void *wasm, size_t len,
                                      const char *name, cis_module **out_module,
                                      struct cis_error *err);
CIS_API cis_module *cis_module_ref(cis_module *module);
CIS_API void cis_module_unref(cis_module *module);
/* Imports, exports, memories, ABIs and entry point as JSON; owned by the module. */
CIS_API const char *cis_module_inspect(cis_module *module);

/* ---- instances ---- */
enum cis_value_kind { CIS_I32, CIS_I64, CIS_F32, CIS_F64 };
struct cis_value {
    enum cis_value_kind kind;
    union {
        int32_t i32;
        int64_t i64;
        float f32;
        double f64;
    } of;
};

typedef void cis_trace_fn(void *self, const char *line);

struct cis_run_options {
    uint32_t size;
    const char *tenant;        /* "default" */
    const char *skill;         /* memory namespace and name in the report; "file:module" */
    const char *const *grants; /* NULL-terminated, grammar of docs/grants; NULL: none */
    uint64_t memory;           /* 0: the runtime's max_memory */
    uint64_t time_ms;          /* 0: the runtime's max_execution_time */
    uint64_t fuel;             /* 0: not metered */
    uint64_t output_max;       /* 0: 256 MiB */
    const char *abi, *method, *event, *convention; /* as the flags of `cis skill run` */
    const char *const *config;                     /* "K=V", NULL-terminated */
    bool tx_always;     /* keep memory writes even when the skill reports failure */
    cis_cancel *cancel; /* borrowed until the run ends */
    /* One line a host call: "cis.memory_get(key=\"a\", …) = 3 [120 ns]". */
    cis_trace_fn *trace;
    void *trace_self;
    /* Taken away from grants for this run, and "clocks" and "random", which are on otherwise. */
    const char *const *deny; /* NULL-terminated; NULL: nothing */
    /* Handles of WASI 0.2 at once, 16 to 100,000; 0: what the bytes pay for that the host may hold
     * for a run. CIS_E_USAGE: out of range. */
    uint32_t handles;
};
#define CIS_RUN_OPTIONS_INIT                                                                       \
    {                                                                                              \
        .size = sizeof(struct cis_run_options)                                                     \
    }

/* Fresh memory; the time limit counts anew for each call. options NULL: defaults. */
CIS_API enum cis_code cis_instance_new(cis_runtime *runtime, cis_module *module,
                                       const struct cis_run_options *options,
                                       cis_instance **out_instance, struct cis_error *err);
/* From a callback of a call that is being made: it goes when the call is over. NULL is allowed. */
CIS_API void cis_instance_free(cis_instance *instance);
/* Calls an export by name. *inout_nresults: room in results, then how many there are.
 * Memory-service writes made during a call that succeeds are committed when it ends. CIS_E_USAGE
 * from a callback of another call of this instance; its memory may be read and written there. */
CIS_API enum cis_code cis_instance_call(cis_instance *instance, const char *name,
                                        const struct cis_value *args, size_t nargs,
                                        struct cis_value *results, size_t *inout_nresults,
                                        struct cis_error *err);
CIS_API uint64_t cis_instance_memory_size(cis_instance *instance);
/* CIS_E_BADPTR when the range is outside the guest's memory; nothing is copied then. */
CIS_API enum cis_code cis_instance_read_memory(cis_instance *instance, uint64_t offset, void *out,
                                               size_t len, struct cis_error *err);
CIS_API enum cis_code cis_instance_write_memory(cis_instance *instance, uint64_t offset,
                                                const void *data, size_t len,
                                                struct cis_error *err);

/* ---- runs ---- */
/* One run of a skill: fresh instance, JSON in, result and report out. Returns CIS_OK whenever there
 * is a result to look at, also for traps, limits and failures of the skill: see cis_result_code. */
CIS_API enum cis_code cis_run(cis_runtime *runtime, cis_module *module, const char *input_json,
                              size_t input_len, const struct cis_run_options *options,
                              cis_result **out_result, struct cis_error *err);
CIS_API void cis_result_free(cis_result *result);
/* CIS_E_OK, _FAILED (the skill said so), _TRAP, _DEADLINE, … and its message. */
CIS_API enum cis_code cis_result_code(const cis_result *result);
CIS_API const char *cis_result_message(const cis_result *result);
/* The skill's output: JSON text, or the bytes it wrote. NUL-terminated beyond *out_len. */
CIS_API const char *cis_result_output(const cis_result *result, size_t *out_len);
/* The report, JSON, "schema":1. An output above 64 KiB is not repeated in it. */
CIS_API const char *cis_result_report(const cis_result *result, size_t *out_len);

/* All in one: load, run with defaults, hand out the output (free with cis_output_free). */
CIS_API enum cis_code cis_execute_wasm(cis_runtime *runtime, const void *wasm, size_t wasm_len,
                                       const char *input_json, size_t input_len, char **out_output,
                                       size_t *out_len, struct cis_error *err);
CIS_API void cis_output_free(char *output);

#ifdef __cplusplus
}
#endif
#endif
