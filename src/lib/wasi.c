/* cis_wasi_run and cis_wasi_host: a program's surroundings step by step, and a run in them. */
#include "cis/wasi.h"

#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "history/history.h"
#include "lib/internal.h"

#define STDOUT_KEPT (16ull << 20)
#define STDERR_KEPT (1ull << 20)
#define LISTENERS_MAX 16u
#define WORDS_MAX 65536u /* arguments, variables */

struct words { /* owned texts, NULL-terminated once there is one */
    const char **at;
    size_t n, cap;
};

struct cis_wasi_run {
    cis_runtime *runtime;
    struct cis_error first; /* what the first failed step said; code CIS_OK: none did */
    char tenant[CIS_TENANT_MAX + 1];
    struct words args, env;
    struct words kept; /* texts that mounts and the fork point to */
    struct cis_run_mount mounts[CIS_RUN_MOUNTS_MAX];
    const char *states[CIS_RUN_MOUNTS_MAX]; /* of workspaces that are no head; NULL */
    size_t nmounts;
    bool read_only;
    struct cis_host_stream std[3];
    uint64_t keep_max[3];
    uint8_t *input;
    int listeners[LISTENERS_MAX];
    size_t nlisteners;
    enum cis_wasi_tx tx;
    const char *fork;
    uint64_t memory, time_ms, fuel;
    bool no_clock, no_random, fixed_clock, seeded;
    uint64_t clock_ns;
    uint8_t seed[32];
    cis_cancel *cancel;
};

cis_code cis_wasi_run_new(cis_runtime *runtime, cis_wasi_run **out_run, struct cis_error *err)
{
    cis_wasi_run *run = cis_zalloc(sizeof *run);
    if (run == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "program: out of memory");
    }
    run->runtime = runtime;
    snprintf(run->tenant, sizeof run->tenant, "default");
    run->std[0].kind = CIS_STREAM_BYTES;
    run->std[1].kind = run->std[2].kind = CIS_STREAM_KEEP;
    run->keep_max[1] = STDOUT_KEPT;
    run->keep_max[2] = STDERR_KEPT;
    *out_run = run;
    return CIS_OK;
}

static void words_done(struct words *words)
{
    for (size_t i = 0; i < words->n; i++) {
        cis_free((void *)(uintptr_t)words->at[i]);
    }
    cis_free(words->at);
}

void cis_wasi_run_free(cis_wasi_run *run)
{
    if (run == NULL) {
        return;
    }
    words_done(&run->args);
    words_done(&run->env);
    words_done(&run->kept);
    cis_free(run->input);
    cis_free(run);
}

/* ---- steps ---- */

static bool usable(const cis_wasi_run *run)
{
    return run->first.code == CIS_OK;
}

/* Takes the text; NULL is out of memory already. */
static const char *words_take(cis_wasi_run *run, struct words *words, char *text, const char *what)
{
    if (text != NULL && words->n + 1 >= words->cap) { /* room for the NULL at the end too */
        size_t cap = words->cap == 0 ? 8 : 2 * words->cap;
        const char **at = cis_realloc(words->at, cap * sizeof *at);
        if (at == NULL) {
            cis_free(text);
            text = NULL;
        } else {
            words->at = at;
            words->cap = cap;
        }
    }
    if (text == NULL) {
        cis_fail(&run->first, CIS_E_NOMEM, "%s: out of memory", what);
        return NULL;
    }
    if (words->n == WORDS_MAX) {
        cis_free(text);
        cis_fail(&run->first, CIS_E_LIMIT, "%s: more than %u", what, WORDS_MAX);
        return NULL;
    }
    words->at[words->n++] = text;
    words->at[words->n] = NULL;
    return text;
}

static const char *keep_text(cis_wasi_run *run, const char *text, const char *what)
{
    return text == NULL ? NULL : words_take(run, &run->kept, cis_strdup(text), what);
}

void cis_wasi_run_tenant(cis_wasi_run *run, const char *tenant)
{
    struct cis_str name;
    if (usable(run) && cis_lib_tenant(tenant, &name, &run->first) == CIS_OK) {
        memcpy(run->tenant, name.ptr, name.len);
        run->tenant[name.len] = 0;
    }
}

static struct cis_run_mount *add_mount(cis_wasi_run *run, const char *guest)
{
    if (!usable(run)) {
        return NULL;
    }
    if (run->nmounts == CIS_RUN_MOUNTS_MAX) {
        cis_fail(&run->first, CIS_E_LIMIT, "%s: more than %u mounts", guest, CIS_RUN_MOUNTS_MAX);
        return NULL;
    }
    struct cis_run_mount *m = &run->mounts[run->nmounts];
    *m = (struct cis_run_mount){.guest = keep_text(run, guest != NULL ? guest : "", "mount")};
    run->nmounts += usable(run);
    return usable(run) ? m : NULL;
}

void cis_wasi_run_workspace(cis_wasi_run *run, const char *guest, const char *branch)
{
    struct cis_run_mount *m = add_mount(run, guest);
    if (m != NULL) {
        m->branch = keep_text(run, branch, guest);
    }
}

void cis_wasi_run_state(cis_wasi_run *run, const char *guest, const char *state)
{
    struct cis_run_mount *m = add_mount(run, guest);
    if (m != NULL) {
        m->mode = CIS_MOUNT_RO;
        run->states[m - run->mounts] = keep_text(run, state != NULL ? state : "", guest);
    }
}

void cis_wasi_run_dir(cis_wasi_run *run, const char *host, const char *guest,
                      enum cis_dir_mode mode, const char *branch)
{
    struct cis_run_mount *m = add_mount(run, guest);
    if (m != NULL) {
        m->mode = mode == CIS_DIR_RW    ? CIS_MOUNT_RW
                  : mode == CIS_DIR_COW ? CIS_MOUNT_COW
                                        : CIS_MOUNT_RO;
        m->host = keep_text(run, host, guest);
        m->branch = mode == CIS_DIR_COW ? keep_text(run, branch, guest) : NULL;
    }
}

void cis_wasi_run_read_only(cis_wasi_run *run)
{
    run->read_only = true;
}

void cis_wasi_run_tx(cis_wasi_run *run, enum cis_wasi_tx tx, const char *fork)
{
    if (usable(run) && tx == CIS_WASI_FORK && (fork == NULL || fork[0] == 0)) {
        cis_fail(&run->first, CIS_E_USAGE, "fork: needs the name of a branch");
    }
    run->tx = tx;
    run->fork = tx == CIS_WASI_FORK ? keep_text(run, fork, "fork") : NULL;
}

void cis_wasi_run_arg(cis_wasi_run *run, const char *arg)
{
    if (usable(run)) {
        words_take(run, &run->args, cis_strdup(arg), "arguments");
    }
}

void cis_wasi_run_env(cis_wasi_run *run, const char *name, const char *value)
{
    if (!usable(run)) {
        return;
    }
    if (name[0] == 0 || strchr(name, '=') != NULL) {
        cis_fail(&run->first, CIS_E_USAGE, "environment: \"%s\" is no name of a variable", name);
        return;
    }
    size_t len = strlen(name) + strlen(value) + sizeof "=";
    char *text = cis_alloc(len);
    if (text != NULL) {
        snprintf(text, len, "%s=%s", name, value);
    }
    words_take(run, &run->env, text, "environment");
}

static struct cis_host_stream *stream_of(cis_wasi_run *run, int stream, bool in)
{
    if (!usable(run)) {
        return NULL;
    }
    if (stream < 0 || stream > 2 || in != (stream == 0)) {
        cis_fail(&run->first, CIS_E_USAGE, "stream %d: %s", stream,
                 in ? "only 0 is read" : "only 1 and 2 are written");
        return NULL;
    }
    return &run->std[stream];
}

void cis_wasi_run_stdin(cis_wasi_run *run, const void *data, size_t len)
{
    uint8_t *copy = cis_alloc(len != 0 ? len : 1);
    if (copy == NULL) {
        cis_fail(&run->first, CIS_E_NOMEM, "stdin: out of memory");
        return;
    }
    if (len != 0) {
        memcpy(copy, data, len);
    }
    cis_free(run->input);
    run->input = copy;
    run->std[0] =
        (struct cis_host_stream){.kind = CIS_STREAM_BYTES, .bytes = cis_bytes_of(copy, len)};
}

void cis_wasi_run_fd(cis_wasi_run *run, int stream, int fd)
{
    struct cis_host_stream *s = stream_of(run, stream, stream == 0);
    if (s != NULL) {
        *s = (struct cis_host_stream){.kind = CIS_STREAM_FD, .fd = fd, .terminal = isatty(fd) == 1};
    }
}

void cis_wasi_run_reader(cis_wasi_run *run, cis_wasi_read *read, void *self)
{
    struct cis_host_stream *s = stream_of(run, 0, true);
    if (s != NULL) {
        *s = (struct cis_host_stream){.kind = CIS_STREAM_CALL, .read = read, .self = self};
    }
}

void cis_wasi_run_writer(cis_wasi_run *run, int stream, cis_wasi_write *write, void *self)
{
    struct cis_host_stream *s = stream_of(run, stream, false);
    if (s != NULL) {
        *s = (struct cis_host_stream){.kind = CIS_STREAM_CALL, .write = write, .self = self};
    }
}

void cis_wasi_run_keep(cis_wasi_run *run, int stream, uint64_t max)
{
    struct cis_host_stream *s = stream_of(run, stream, false);
    if (s != NULL) {
        *s = (struct cis_host_stream){.kind = CIS_STREAM_KEEP};
        run->keep_max[stream] = max;
    }
}

void cis_wasi_run_listen(cis_wasi_run *run, int fd)
{
    if (usable(run) && run->nlisteners == LISTENERS_MAX) {
        cis_fail(&run->first, CIS_E_LIMIT, "more than %u listening sockets", LISTENERS_MAX);
    }
    if (usable(run)) {
        run->listeners[run->nlisteners++] = fd;
    }
}

void cis_wasi_run_limits(cis_wasi_run *run, uint64_t memory, uint64_t time_ms, uint64_t fuel)
{
    run->memory = memory;
    run->time_ms = time_ms;
    run->fuel = fuel;
}

void cis_wasi_run_no_clock(cis_wasi_run *run)
{
    run->no_clock = true;
}

void cis_wasi_run_no_random(cis_wasi_run *run)
{
    run->no_random = true;
}

void cis_wasi_run_fixed_clock(cis_wasi_run *run, uint64_t ns)
{
    run->fixed_clock = true;
    run->clock_ns = ns;
}

void cis_wasi_run_seed(cis_wasi_run *run, const void *seed, size_t len)
{
    if (usable(run) && (len == 0 || len > sizeof run->seed)) {
        cis_fail(&run->first, CIS_E_USAGE, "seed: 1 to %zu bytes", sizeof run->seed);
    }
    if (usable(run)) {
        memset(run->seed, 0, sizeof run->seed);
        memcpy(run->seed, seed, len);
        run->seeded = true;
    }
}

void cis_wasi_run_cancel(cis_wasi_run *run, cis_cancel *cancel)
{
    run->cancel = cancel;
}

/* ---- running ---- */

/* A state is a name until a run begins: it may be a branch that moves. */
static cis_code resolve(const cis_wasi_run *run, struct cis_run_mount *mounts,
                        struct cis_error *err)
{
    struct cis_stop stop = {CIS_NEVER, run->cancel};
    struct cis_history h = {run->runtime->store, cis_str_of(run->tenant), &stop};
    for (size_t i = 0; i < run->nmounts; i++) {
        mounts[i] = run->mounts[i];
        if (run->states[i] != NULL) {
            struct cis_rev rev;
            if (h.store == NULL) {
                return cis_fail(err, CIS_E_USAGE, "%s: the runtime keeps nothing", mounts[i].guest);
            }
            CIS_TRY(cis_history_resolve(&h, cis_str_of(run->states[i]), &rev, err));
            mounts[i].at = rev.view;
        }
    }
    return CIS_OK;
}

static enum cis_tx tx_of(enum cis_wasi_tx tx)
{
    return tx == CIS_WASI_COMMIT_ALWAYS ? CIS_TX_ALWAYS
           : tx == CIS_WASI_DISCARD     ? CIS_TX_DISCARD
                                        : CIS_TX_ON_SUCCESS;
}

static void fill_program(const cis_wasi_run *run, const char *const *name,
                         struct cis_run_program *out)
{
    *out = (struct cis_run_program){
        .args = run->args.n != 0 ? run->args.at : name,
        .env = run->env.n != 0 ? run->env.at : NULL,
        .listeners = run->listeners,
        .nlisteners = run->nlisteners,
        .fixed_clock = run->fixed_clock,
        .clock_ns = run->clock_ns,
        .seeded = run->seeded,
    };
    memcpy(out->seed, run->seed, sizeof out->seed);
    for (int i = 0; i < 3; i++) {
        out->std[i] = run->std[i];
        if (run->std[i].kind == CIS_STREAM_KEEP) {
            out->std[i].kept = CIS_BUF_INIT(run->keep_max[i]);
        }
    }
}

cis_code cis_wasi_run_start(cis_wasi_run *run, cis_module *module, cis_result **out_result,
                            struct cis_error *err)
{
    if (!usable(run)) {
        return cis_fail(err, run->first.code, "%s", run->first.msg);
    }
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    options.tenant = run->tenant;
    options.memory = run->memory;
    options.time_ms = run->time_ms;
    options.fuel = run->fuel;
    options.cancel = run->cancel;
    struct cis_run_mount mounts[CIS_RUN_MOUNTS_MAX];
    CIS_TRY(resolve(run, mounts, err));
    cis_forest *forest = NULL;
    if (run->runtime->store != NULL) {
        CIS_TRY(cis_lib_forest(run->runtime, &forest, err));
    }
    struct cis_lib_request q;
    CIS_TRY(cis_lib_request_make(run->runtime, module, &options, &q, err));
    const char *const name[] = {module->name, NULL};
    struct cis_run_program program;
    fill_program(run, name, &program);
    q.request.program = &program;
    q.request.forest = forest;
    q.request.mounts = mounts;
    q.request.nmounts = run->nmounts;
    q.request.read_only = run->read_only;
    q.request.tx = tx_of(run->tx);
    q.request.fork = run->fork;
    q.request.no_clock = run->no_clock;
    q.request.no_random = run->no_random;
    cis_code code = cis_lib_run(&q, NULL, 0, out_result, err);
    cis_lib_request_done(&q);
    return code;
}

/* ---- the short way ---- */

struct cis_wasi_host {
    cis_wasi_run *run; /* not changed after it was made: shared by threads */
};

cis_code cis_wasi_host_new(cis_runtime *runtime, const char *tenant, const char *workspace,
                           cis_wasi_host **out_host, struct cis_error *err)
{
    cis_wasi_host *host = cis_zalloc(sizeof *host);
    cis_code code = host == NULL ? cis_fail(err, CIS_E_NOMEM, "program: out of memory")
                                 : cis_wasi_run_new(runtime, &host->run, err);
    if (code == CIS_OK) {
        cis_wasi_run_tenant(host->run, tenant);
        cis_wasi_run_workspace(host->run, workspace != NULL ? workspace : "/workspace", NULL);
        code = host->run->first.code;
        if (code != CIS_OK) {
            cis_fail(err, code, "%s", host->run->first.msg);
        }
    }
    if (code != CIS_OK) {
        cis_wasi_host_free(host);
        return code;
    }
    *out_host = host;
    return CIS_OK;
}

void cis_wasi_host_free(cis_wasi_host *host)
{
    if (host != NULL) {
        cis_wasi_run_free(host->run);
        cis_free(host);
    }
}

cis_code cis_wasi_host_run(cis_wasi_host *host, const void *wasm, size_t len,
                           const char *const *args, cis_result **out_result, struct cis_error *err)
{
    cis_wasi_run one = *host->run; /* the same surroundings with other arguments */
    size_t n = 0;
    while (args != NULL && args[n] != NULL) {
        n++;
    }
    if (n != 0) {
        one.args = (struct words){(const char **)(uintptr_t)args, n, n};
    }
    cis_module *module = NULL;
    CIS_TRY(cis_module_load(one.runtime, wasm, len, n != 0 ? args[0] : "program", &module, err));
    cis_code code = cis_wasi_run_start(&one, module, out_result, err);
    cis_module_unref(module);
    return code;
}
