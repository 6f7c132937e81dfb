/* Compilation is untrusted work: a small module can ask for seconds and gigabytes. It happens in a
 * child process under limits (the other side is child.c), a few at once; in this process only when
 * the embedder chose so. */
#include "engine/code/code.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/process.h"
#include "engine/code/child.h"
#include "engine/code/document.h"

#define STDERR_KEPT 16384u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CHILD_HAS_SHADOW 1 /* shadow memory takes terabytes of address space */
#else
#define CHILD_HAS_SHADOW 0
#endif

/* ---- how many at once ---- */

cis_code cis_child_turn_begin(struct cis_engine *e, const struct cis_stop *stop, const char *name,
                              struct cis_error *err)
{
    cis_code code = CIS_OK;
    cis_mutex_lock(&e->jobs_lock, engine_lock_jobs);
    while (code == CIS_OK && e->jobs >= e->options.compile_jobs) {
        code = cis_wait_cond(&e->jobs_done, &e->jobs_lock, stop, name, err);
    }
    if (code == CIS_OK) {
        e->jobs++;
    }
    cis_mutex_unlock(&e->jobs_lock, engine_lock_jobs);
    return code;
}

void cis_child_turn_end(struct cis_engine *e)
{
    cis_mutex_lock(&e->jobs_lock, engine_lock_jobs);
    e->jobs--;
    pthread_cond_signal(&e->jobs_done);
    cis_mutex_unlock(&e->jobs_lock, engine_lock_jobs);
}

/* ---- in process ---- */

cis_code cis_compile_with(wasm_engine_t *engine, struct cis_bytes binary, const char *name,
                          struct cis_buf *out, struct cis_error *err)
{
    struct cis_glue_text code = {0};
    bool component = binary.len >= 8 && binary.ptr[6] == 1; /* the layer in the header */
    wasmtime_error_t *error = cis_glue_precompile(engine, binary.ptr, binary.len, component, &code);
    if (error != NULL) {
        return cis_engine_fail(err, CIS_E_INVALID, name, error, NULL);
    }
    cis_buf_add(out, code.ptr, code.len);
    cis_glue_text_free(&code);
    return cis_buf_check(out, "compiled code", err);
}

static cis_code compile_here(struct cis_engine *e, const struct cis_compile_job *job,
                             struct cis_buf *out, struct cis_error *err)
{
    struct cis_profile *profile;
    CIS_TRY(cis_profile_get(e, job->features, job->fuel, false, &profile, err));
    return cis_compile_with(profile->wasm, job->binary, job->name, out, err);
}

/* ---- in a child ---- */

/* The same module may well pass another time. */
static void passes(const struct cis_child_limits *l)
{
    if (l->out_passing != NULL) {
        *l->out_passing = true;
    }
}

#define MIB ((uint64_t)1 << 20)
#define BYTES_LEAST (2048 * MIB)        /* of address space, on small machines, too */
#define NS_LEAST (60 * CIS_NS_PER_S)    /* for small modules */
#define NS_A_MIB (2 * CIS_NS_PER_S)     /* clang's 75 MB take 146 s */
#define STILL_LEAST (60 * CIS_NS_PER_S) /* of waiting for a child that does nothing, and */
#define STILL_TIMES 20u                 /* so often its processor time */

/* What this machine has, and what a container leaves of it. */
static uint64_t machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t have = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0, most;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(64);
    if (cis_file_read("/sys/fs/cgroup/memory.max", &text, NULL) == CIS_OK && text.len > 1 &&
        cis_str_u64((struct cis_str){(const char *)text.ptr, text.len - 1}, &most)) {
        have = most < have ? most : have;
    }
    return have;
}

/* What nobody set follows the machine and the module. */
static struct cis_child_limits filled(const struct cis_child_limits *l, uint64_t len)
{
    struct cis_child_limits all = *l;
    if (all.memory_bytes == 0) {
        uint64_t half = machine_memory() / 2;
        all.memory_bytes = half > BYTES_LEAST ? half : BYTES_LEAST;
    }
    if (all.ns == 0) {
        all.ns = NS_LEAST + len / MIB * NS_A_MIB;
    }
    if (all.still_ns == 0) {
        uint64_t times = all.ns < CIS_NEVER / STILL_TIMES ? all.ns * STILL_TIMES : CIS_NEVER;
        all.still_ns = cis_clock_after(STILL_LEAST, times);
    }
    return all;
}

static cis_code too_slow(const struct cis_child_limits *l, const struct cis_child_work *w,
                         struct cis_error *err)
{
    return cis_fail(err, CIS_E_LIMIT,
                    "%s: %s it takes more than %" PRIu64 ".%" PRIu64
                    " s of processor time (compiler time limit: "
                    "engine.compile_time, --compile-time)",
                    w->name, w->doing, (uint64_t)(l->ns / CIS_NS_PER_S),
                    (uint64_t)(l->ns % CIS_NS_PER_S * 10 / CIS_NS_PER_S));
}

/* The Rust runtime's words when an allocation fails, right before it aborts. *out_system: there was
 * room for it below the limit, so that it was the system that had none. */
static bool no_memory(const struct cis_child_limits *l, struct cis_str said, bool *out_system)
{
    static const char words[] = "memory allocation of ";
    const char *at = said.len != 0 ? memmem(said.ptr, said.len, words, sizeof words - 1) : NULL;
    if (at == NULL) {
        return false;
    }
    uint64_t bytes = strtoull(at + sizeof words - 1, NULL, 10);
    *out_system = l->memory_bytes == 0 || bytes < l->memory_bytes / 8;
    return true;
}

/* The child was stopped from outside: by its limits, or because it crashed. */
static cis_code explain_death(const struct cis_child_limits *l, const struct cis_child_work *w,
                              const struct cis_process_result *r, struct cis_error *err)
{
    struct cis_str said = cis_buf_view(&r->errors);
    bool full = r->exit_code == CIS_CHILD_NO_MEMORY, system = r->signal == SIGKILL;
    if (!full) {
        full = no_memory(l, said, &system);
    }
    if (system) {
        passes(l);
        return cis_fail(err, CIS_E_NOMEM,
                        "%s: the compiler was ended while %s it: this machine has no memory left, "
                        "or another program killed it",
                        w->name, w->doing);
    }
    if (full) {
        return cis_fail(err, CIS_E_LIMIT,
                        "%s: %s it needs more than %llu MiB (compiler memory limit: "
                        "engine.compile_memory, --compile-memory)",
                        w->name, w->doing, (unsigned long long)(l->memory_bytes >> 20));
    }
    if (r->signal == SIGXCPU) {
        return too_slow(l, w, err);
    }
    if (r->signal == SIGBUS && w->nfds != 0) {
        return cis_fail(err, CIS_E_IO, "%s: a file was cut off while %s it", w->name, w->doing);
    }
    if (r->signal != 0) {
        return cis_fail(err, CIS_E_INTERNAL, "%s: the compiler crashed on it (signal %d)", w->name,
                        r->signal);
    }
    struct cis_str first;
    cis_str_split(&said, '\n', &first);
    return cis_fail(err, CIS_E_INTERNAL, "%s: %s __compile ended with code %d: " CIS_STR_FMT,
                    w->name, l->program, r->exit_code, CIS_STR_ARG(first));
}

static cis_code read_answer(const struct cis_child_limits *l, const struct cis_child_work *w,
                            struct cis_process_result *r, uint64_t *out_fingerprint,
                            struct cis_buf *out, struct cis_error *err)
{
    struct cis_child_answer answer;
    if (r->exit_code != 0 || r->output.len < sizeof answer) {
        return explain_death(l, w, r, err);
    }
    memcpy(&answer, r->output.ptr, sizeof answer);
    const uint8_t *body = r->output.ptr + sizeof answer;
    size_t len = r->output.len - sizeof answer;
    if (answer.magic != CIS_CHILD_MAGIC || answer.len != len) {
        return cis_fail(err, CIS_E_INTERNAL, "%s: the compiler's answer is damaged", w->name);
    }
    if (answer.code != CIS_OK) {
        cis_code code = answer.code < CIS_E_COUNT_ ? (cis_code)answer.code : CIS_E_INTERNAL;
        return cis_fail(err, code, CIS_STR_FMT,
                        CIS_STR_ARG(((struct cis_str){(const char *)body, len})));
    }
    *out_fingerprint = answer.fingerprint;
    memmove(r->output.ptr, body, len);
    r->output.len = len;
    cis_buf_move(&r->output, out);
    return cis_buf_check(out, "the compiler's answer", err);
}

cis_code cis_child_run(const struct cis_child_limits *given, const struct cis_child_work *w,
                       uint64_t *out_fingerprint, struct cis_buf *out, struct cis_error *err)
{
    uint64_t len = 0;
    for (size_t i = 0; i < w->ninput; i++) {
        len += w->input[i].len;
    }
    const struct cis_child_limits limits = filled(given, len + w->fds_bytes), *l = &limits;
    struct cis_child_request request = {
        .magic = CIS_CHILD_MAGIC,
        .features = w->features,
        .fuel = w->fuel,
        .job = w->job,
        .slot_bytes = w->slot_bytes,
        .len = len,
    };
    snprintf(request.name, sizeof request.name, "%s", w->name);
    CIS_CLEANUP(cis_freep)
    struct cis_bytes *input = cis_calloc(cis_size_add(w->ninput, 1), sizeof *input);
    if (input == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", w->name);
    }
    input[0] = cis_bytes_of(&request, sizeof request);
    memcpy(input + 1, w->input, w->ninput * sizeof *input);

    const char *const argv[] = {l->program, "__compile", NULL};
    /* Few threads and arenas: both count against the address space on machines with many cores. */
    const char *const envp[] = {
        "RAYON_NUM_THREADS=4",
        "MALLOC_ARENA_MAX=2",
        "RUST_BACKTRACE=0",
        "GLIBC_TUNABLES=glibc.malloc.hugetlb=1", /* large pages: fewer faults */
#if defined(__SANITIZE_THREAD__)
        /* The compiler's own threads are not instrumented. */
        "TSAN_OPTIONS=report_bugs=0:atexit_sleep_ms=0",
#endif
        NULL
    };
    /* Its time is the processor's, not the clock's: other programs may have the processors. Beside
     * it a child that does nothing at all is not waited for, for ever. */
    uint64_t still = cis_clock_after(cis_clock_mono_ns(), l->still_ns);
    bool own_limit = still < w->stop.deadline_ns;
    struct cis_process_options options = {
        .argv = argv,
        .envp = envp,
        .input = input,
        .ninput = w->ninput + 1,
        .fds = w->fds,
        .nfds = w->nfds,
        .file_bytes = CIS_ARTEFACT_MAX,
        .memory_bytes = CHILD_HAS_SHADOW ? 0 : l->memory_bytes,
        .cpu_ns = l->ns,
        .output_max = CIS_ARTEFACT_MAX,
        .errors_max = STDERR_KEPT,
        .stop = {own_limit ? still : w->stop.deadline_ns, w->stop.cancel},
    };
    struct cis_process_result result = {0};
    cis_code code = cis_process_run(&options, &result, err);
    if (code == CIS_E_BUDGET) {
        return too_slow(l, w, err);
    }
    if (code == CIS_E_DEADLINE && own_limit) {
        passes(l); /* by the clock on the wall: others may have had the processor */
        return cis_fail(err, CIS_E_LIMIT, "%s: %s it makes no progress", w->name, w->doing);
    }
    if (code == CIS_E_CANCELLED) {
        return cis_fail(err, code, "%s: cancelled while %s", w->name, w->doing);
    }
    CIS_TRY(code);
    code = read_answer(l, w, &result, out_fingerprint, out, err);
    cis_process_result_done(&result);
    return code;
}

static cis_code compile_child(struct cis_engine *e, const struct cis_compile_job *job,
                              struct cis_buf *out, struct cis_error *err)
{
    const struct cis_child_limits limits = {.program = e->options.compiler,
                                            .memory_bytes = e->options.compile_memory,
                                            .ns = e->options.compile_ns,
                                            .out_passing = job->out_passing};
    const struct cis_child_work work = {.job = CIS_CHILD_COMPILE,
                                        .input = &job->binary,
                                        .ninput = 1,
                                        .name = job->name,
                                        .doing = "compiling",
                                        .features = job->features,
                                        .fuel = job->fuel,
                                        .slot_bytes = e->options.slot_bytes,
                                        .stop = job->stop};
    uint64_t fingerprint = 0;
    CIS_TRY(cis_child_run(&limits, &work, &fingerprint, out, err));
    if (fingerprint != job->fingerprint) {
        return cis_fail(err, CIS_E_INTERNAL,
                        "%s: the compiler %s is of another build than this program", job->name,
                        e->options.compiler);
    }
    return CIS_OK;
}

cis_code cis_compile(struct cis_engine *e, const struct cis_compile_job *job,
                     struct cis_buf *out_artefact, struct cis_error *err)
{
    cis_code code = e->options.compile_in_process ? compile_here(e, job, out_artefact, err)
                                                  : compile_child(e, job, out_artefact, err);
    atomic_fetch_add(code == CIS_OK ? &e->compiled : &e->compile_failures, 1);
    return code;
}
