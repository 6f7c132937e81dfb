/* The compiler's side: bytes in, artefact out. Runs under limits that the parent set; what it knows
 * is one module. */
#include "engine/code/child.h"
#include "engine/code/document.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/file.h"

static size_t probe_bytes; /* set before the handler is installed */

/* abort() after a failed allocation cannot be told from another by the signal alone: is an eighth
 * of the limit still to be had? The limit alone can refuse it: what is mapped without a right takes
 * no memory of the system. mmap and _exit are plain system calls. */
static bool memory_full(void)
{
    return probe_bytes != 0 &&
           mmap(NULL, probe_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static void on_abort(int sig)
{
    if (memory_full()) {
        _exit(CIS_CHILD_NO_MEMORY);
    }
    signal(sig, SIG_DFL);
    raise(sig);
}

static void watch_memory(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        probe_bytes = (size_t)(limit.rlim_cur / 8);
        struct sigaction act = {.sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND};
        sigaction(SIGABRT, &act, NULL);
    }
}

static cis_code compile_request(struct cis_bytes input, uint64_t *out_fingerprint,
                                struct cis_buf *out, struct cis_error *err)
{
    struct cis_child_request request;
    if (input.len < sizeof request) {
        return cis_fail(err, CIS_E_USAGE, "no request (this command is for cis itself)");
    }
    memcpy(&request, input.ptr, sizeof request);
    request.name[sizeof request.name - 1] = 0;
    struct cis_bytes binary = {input.ptr + sizeof request, input.len - sizeof request};
    if (request.magic != CIS_CHILD_MAGIC || request.len != binary.len) {
        return cis_fail(err, CIS_E_USAGE, "request cut off or of another version");
    }
    if (request.job == CIS_CHILD_SCAN) {
        return cis_child_examine(binary, request.name, request.features, out, err);
    }
    if (request.job == CIS_CHILD_COMPONENT) {
        if (request.slot_bytes > binary.len) {
            return cis_fail(err, CIS_E_USAGE,
                            "the request names an adapter that it does not contain");
        }
        size_t n = (size_t)request.slot_bytes;
        return cis_child_component((struct cis_bytes){binary.ptr, n},
                                   (struct cis_bytes){binary.ptr + n, binary.len - n}, request.name,
                                   out, err);
    }
    if (request.job == CIS_CHILD_WIT) {
        return cis_child_wit(binary, request.name, out, err);
    }
    if (request.job == CIS_CHILD_COMPOSE) {
        return cis_child_compose(binary, request.name, request.features, out, err);
    }
    wasm_engine_t *engine = NULL;
    CIS_TRY(cis_profile_engine(request.features, request.fuel != 0, 0, request.slot_bytes, &engine,
                               err));
    *out_fingerprint = cis_glue_engine_fingerprint(engine);
    cis_code code = cis_compile_with(engine, binary, request.name, out, err);
    wasm_engine_delete(engine);
    return code;
}

int cis_engine_compile_child(void)
{
    prctl(PR_SET_DUMPABLE, 0); /* no core files of hostile input */
    watch_memory();
    struct cis_error err = {0};
    CIS_CLEANUP(cis_buf_done)
    struct cis_buf input =
        CIS_BUF_INIT(sizeof(struct cis_child_request) + (size_t)CIS_MODULE_MAX + CIS_ADAPTER_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf artefact = CIS_BUF_INIT(CIS_ARTEFACT_MAX);
    struct cis_child_answer answer = {.magic = CIS_CHILD_MAGIC};
    cis_code code = cis_file_read_fd(STDIN_FILENO, "request", &input, &err);
    if (code == CIS_OK) {
        code = compile_request(cis_buf_bytes(&input), &answer.fingerprint, &artefact, &err);
    }
    if (code == CIS_E_NOMEM || (code != CIS_OK && memory_full())) {
        return CIS_CHILD_NO_MEMORY;
    }
    answer.code = (uint32_t)code;
    struct cis_bytes body =
        code == CIS_OK ? cis_buf_bytes(&artefact) : cis_bytes_of(err.msg, strlen(err.msg));
    answer.len = body.len;
    if (cis_fd_write_all(STDOUT_FILENO, &answer, sizeof answer) != 0 ||
        cis_fd_write_all(STDOUT_FILENO, body.ptr, body.len) != 0) {
        return 1;
    }
    return 0;
}
