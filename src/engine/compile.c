/* Compilation is untrusted work: a small module can ask for seconds and gigabytes. It happens in a
 * child process under limits (the other side is child.c), a few at once; in this process only when
 * the embedder chose so. */
#include "engine/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include "base/mem.h"
#include "base/process.h"
#include "engine/child.h"

#define STDERR_KEPT 16384u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CHILD_HAS_SHADOW 1 /* shadow memory takes terabytes of address space */
#else
#define CHILD_HAS_SHADOW 0
#endif

/* ---- how many at once ---- */

static cis_code job_begin(struct cis_engine *e, const struct cis_stop *stop, const char *name,
                          struct cis_error *err)
{
    cis_code code = CIS_OK;
    pthread_mutex_lock(&e->jobs_lock);
    while (code == CIS_OK && e->jobs >= e->options.compile_jobs) {
        code = cis_engine_wait(&e->jobs_done, &e->jobs_lock, stop, name, err);
    }
    if (code == CIS_OK) {
        e->jobs++;
    }
    pthread_mutex_unlock(&e->jobs_lock);
    return code;
}

static void job_end(struct cis_engine *e)
{
    pthread_mutex_lock(&e->jobs_lock);
    e->jobs--;
    pthread_cond_signal(&e->jobs_done);
    pthread_mutex_unlock(&e->jobs_lock);
}

/* ---- in process ---- */

static cis_code compile_here(struct cis_engine *e, const struct cis_compile_job *job,
                             struct cis_buf *out, struct cis_error *err)
{
    struct cis_profile *profile;
    CIS_TRY(cis_profile_get(e, job->features, job->fuel, false, &profile, err));
    return cis_compile_with(profile->wasm, job->binary, job->name, out, err);
}

/* ---- in a child ---- */

/* The child was stopped from outside: by its limits, or because it crashed. */
static cis_code explain_death(struct cis_engine *e, const struct cis_compile_job *job,
                              const struct cis_process_result *r, struct cis_error *err)
{
    struct cis_str said = cis_buf_view(&r->errors);
    /* The Rust runtime's words when an allocation fails, right before it aborts. */
    bool no_memory = r->exit_code == CIS_CHILD_NO_MEMORY ||
                     (said.len != 0 && memmem(said.ptr, said.len, "memory allocation of", 20));
    if (no_memory || r->signal == SIGKILL) {
        return cis_fail(err, CIS_E_LIMIT,
                        "%s: compiling it needs more than %llu MiB (compiler memory limit)",
                        job->name, (unsigned long long)(e->options.compile_memory >> 20));
    }
    if (r->signal == SIGXCPU) {
        return cis_fail(err, CIS_E_LIMIT,
                        "%s: compiling it takes more than %.1f s (compiler time limit)", job->name,
                        (double)e->options.compile_ns / (double)CIS_NS_PER_S);
    }
    if (r->signal != 0) {
        return cis_fail(err, CIS_E_INTERNAL, "%s: the compiler crashed on it (signal %d)",
                        job->name, r->signal);
    }
    struct cis_str first;
    cis_str_split(&said, '\n', &first);
    return cis_fail(err, CIS_E_INTERNAL, "%s: %s __compile ended with code %d: " CIS_STR_FMT,
                    job->name, e->options.compiler, r->exit_code, CIS_STR_ARG(first));
}

static cis_code read_answer(struct cis_engine *e, const struct cis_compile_job *job,
                            struct cis_process_result *r, struct cis_buf *out,
                            struct cis_error *err)
{
    struct cis_child_answer answer;
    if (r->exit_code != 0 || r->output.len < sizeof answer) {
        return explain_death(e, job, r, err);
    }
    memcpy(&answer, r->output.ptr, sizeof answer);
    const uint8_t *body = r->output.ptr + sizeof answer;
    size_t len = r->output.len - sizeof answer;
    if (answer.magic != CIS_CHILD_MAGIC || answer.len != len) {
        return cis_fail(err, CIS_E_INTERNAL, "%s: the compiler's answer is damaged", job->name);
    }
    if (answer.code != CIS_OK) {
        cis_code code = answer.code < CIS_E_COUNT_ ? (cis_code)answer.code : CIS_E_INTERNAL;
        return cis_fail(err, code, CIS_STR_FMT,
                        CIS_STR_ARG(((struct cis_str){(const char *)body, len})));
    }
    if (answer.fingerprint != job->fingerprint) {
        return cis_fail(err, CIS_E_INTERNAL,
                        "%s: the compiler %s is of another build than this program", job->name,
                        e->options.compiler);
    }
    cis_buf_add(out, body, len);
    return cis_buf_check(out, "compiled code", err);
}

static cis_code compile_child(struct cis_engine *e, const struct cis_compile_job *job,
                              struct cis_buf *out, struct cis_error *err)
{
    struct cis_child_request request = {
        .magic = CIS_CHILD_MAGIC,
        .features = job->features,
        .fuel = job->fuel,
        .slot_bytes = e->options.slot_bytes,
        .len = job->binary.len,
    };
    snprintf(request.name, sizeof request.name, "%s", job->name);
    CIS_CLEANUP(cis_buf_done)
    struct cis_buf input = CIS_BUF_INIT(sizeof request + (size_t)CIS_MODULE_MAX);
    cis_buf_add(&input, &request, sizeof request);
    cis_buf_add(&input, job->binary.ptr, job->binary.len);
    CIS_TRY(cis_buf_check(&input, job->name, err));

    const char *const argv[] = {e->options.compiler, "__compile", NULL};
    /* Few threads and arenas: both count against the address space on machines with many cores. */
    const char *const envp[] = {
        "RAYON_NUM_THREADS=4",
        "MALLOC_ARENA_MAX=2",
        "RUST_BACKTRACE=0",
#if defined(__SANITIZE_THREAD__)
        /* The compiler's own threads are not instrumented. */
        "TSAN_OPTIONS=report_bugs=0",
#endif
        NULL
    };
    uint64_t limit = cis_clock_after(cis_clock_mono_ns(), e->options.compile_ns);
    bool own_limit = limit < job->stop.deadline_ns;
    struct cis_process_options options = {
        .argv = argv,
        .envp = envp,
        .input = cis_buf_bytes(&input),
        .memory_bytes = CHILD_HAS_SHADOW ? 0 : e->options.compile_memory,
        .cpu_seconds = (e->options.compile_ns + CIS_NS_PER_S - 1) / CIS_NS_PER_S,
        .output_max = CIS_ARTEFACT_MAX,
        .errors_max = STDERR_KEPT,
        .stop = {own_limit ? limit : job->stop.deadline_ns, job->stop.cancel},
    };
    struct cis_process_result result = {0};
    cis_code code = cis_process_run(&options, &result, err);
    if (code == CIS_E_DEADLINE && own_limit) {
        return cis_fail(err, CIS_E_LIMIT,
                        "%s: compiling it takes more than %.1f s (compiler time limit)", job->name,
                        (double)e->options.compile_ns / (double)CIS_NS_PER_S);
    }
    CIS_TRY(code);
    code = read_answer(e, job, &result, out, err);
    cis_process_result_done(&result);
    return code;
}

cis_code cis_compile(struct cis_engine *e, const struct cis_compile_job *job,
                     struct cis_buf *out_artefact, struct cis_error *err)
{
    CIS_TRY(job_begin(e, &job->stop, job->name, err));
    cis_code code = e->options.compile_in_process ? compile_here(e, job, out_artefact, err)
                                                  : compile_child(e, job, out_artefact, err);
    job_end(e);
    atomic_fetch_add(code == CIS_OK ? &e->compiled : &e->compile_failures, 1);
    return code;
}
