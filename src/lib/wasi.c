/* cis_wasi_run: a program's surroundings step by step. Runs in them are wasi_start.c. */
#include "lib/wasi.h"

#include <stdio.h>
#include <unistd.h>
#include "base/mem.h"

#define STDOUT_KEPT (16ull << 20)
#define STDERR_KEPT (1ull << 20)
#define WORDS_MAX 65536u /* arguments, variables */

cis_code cis_wasi_run_new(cis_runtime *runtime, cis_wasi_run **out_run, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(runtime, err));
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

static void words_done(struct cis_lib_words *words)
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
    words_done(&run->grants);
    cis_lib_set_unref(run->set);
    cis_free(run->input);
    cis_free(run);
}

/* ---- steps ---- */

/* Takes the text; NULL is out of memory already. */
static const char *words_take(cis_wasi_run *run, struct cis_lib_words *words, char *text,
                              const char *what)
{
    if (text != NULL && words->n + 1 >= words->cap) { /* room for the NULL at the end too */
        size_t cap = cis_cap_next(words->cap, 8, CIS_MEM_MAX);
        const char **at = cis_realloc_array(words->at, cap, sizeof *at);
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
    if (cis_lib_wasi_usable(run) && cis_lib_tenant(tenant, &name, &run->first) == CIS_OK) {
        memcpy(run->tenant, name.ptr, name.len);
        run->tenant[name.len] = 0;
    }
}

static struct cis_run_mount *add_mount(cis_wasi_run *run, const char *guest)
{
    if (!cis_lib_wasi_usable(run)) {
        return NULL;
    }
    if (run->nmounts == CIS_RUN_MOUNTS_MAX) {
        cis_fail(&run->first, CIS_E_LIMIT, "%s: more than %u mounts", guest, CIS_RUN_MOUNTS_MAX);
        return NULL;
    }
    struct cis_run_mount *m = &run->mounts[run->nmounts];
    *m = (struct cis_run_mount){.guest = keep_text(run, guest != NULL ? guest : "", "mount")};
    run->nmounts += cis_lib_wasi_usable(run);
    return cis_lib_wasi_usable(run) ? m : NULL;
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
    if (cis_lib_wasi_usable(run) && tx == CIS_WASI_FORK && (fork == NULL || fork[0] == 0)) {
        cis_fail(&run->first, CIS_E_USAGE, "fork: needs the name of a branch");
    }
    run->tx = tx;
    run->fork = tx == CIS_WASI_FORK ? keep_text(run, fork, "fork") : NULL;
}

void cis_wasi_run_arg(cis_wasi_run *run, const char *arg)
{
    if (cis_lib_wasi_usable(run)) {
        words_take(run, &run->args, cis_strdup(arg), "arguments");
    }
}

void cis_wasi_run_env(cis_wasi_run *run, const char *name, const char *value)
{
    if (!cis_lib_wasi_usable(run)) {
        return;
    }
    if (name[0] == 0 || strchr(name, '=') != NULL) {
        cis_fail(&run->first, CIS_E_USAGE, "environment: \"%s\" is no name of a variable", name);
        return;
    }
    size_t len = cis_size_add(strlen(name), cis_size_add(strlen(value), sizeof "="));
    char *text = cis_alloc(len);
    if (text != NULL) {
        snprintf(text, len, "%s=%s", name, value);
    }
    words_take(run, &run->env, text, "environment");
}

static struct cis_host_stream *stream_of(cis_wasi_run *run, int stream, bool in)
{
    if (!cis_lib_wasi_usable(run)) {
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
    if (cis_lib_wasi_usable(run) && run->nlisteners == LISTENERS_MAX) {
        cis_fail(&run->first, CIS_E_LIMIT, "more than %u listening sockets", LISTENERS_MAX);
    }
    if (cis_lib_wasi_usable(run)) {
        run->listeners[run->nlisteners++] = fd;
    }
}

void cis_wasi_run_limits(cis_wasi_run *run, uint64_t memory, uint64_t time_ms, uint64_t fuel)
{
    run->memory = memory;
    run->time_ms = time_ms;
    run->fuel = fuel;
}

void cis_wasi_run_allow(cis_wasi_run *run, const char *grant)
{
    CIS_CLEANUP(cis_grants_done) struct cis_grants one = CIS_GRANTS_INIT;
    if (cis_lib_wasi_usable(run) &&
        cis_grants_add(&one, cis_str_of(grant), &run->first) == CIS_OK) {
        words_take(run, &run->grants, cis_strdup(grant), "grants");
    }
}

void cis_wasi_run_handles(cis_wasi_run *run, uint32_t max)
{
    run->handles = max;
}

void cis_wasi_run_sockets(cis_wasi_run *run, uint32_t max)
{
    run->sockets_max = max;
}

void cis_wasi_run_features(cis_wasi_run *run, const char *features)
{
    if (cis_lib_wasi_usable(run)) {
        run->first.code = cis_run_wasi_features(features, &run->features, &run->first);
    }
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
    if (cis_lib_wasi_usable(run) && (len == 0 || len > sizeof run->seed)) {
        cis_fail(&run->first, CIS_E_USAGE, "seed: 1 to %zu bytes", sizeof run->seed);
    }
    if (cis_lib_wasi_usable(run)) {
        memset(run->seed, 0, sizeof run->seed);
        memcpy(run->seed, seed, len);
        run->seeded = true;
    }
}

void cis_wasi_run_cancel(cis_wasi_run *run, cis_cancel *cancel)
{
    run->cancel = cancel;
}

void cis_wasi_run_record(cis_wasi_run *run, const char *path)
{
    if (cis_lib_wasi_usable(run)) {
        run->record = keep_text(run, path, "record");
    }
}

void cis_wasi_run_provide(cis_wasi_run *run, cis_provider *provider)
{
    if (cis_lib_wasi_usable(run)) {
        run->first.code = cis_lib_set_add(&run->set, provider, run->without,
                                          run->features | run->runtime->wasi_features, &run->first);
    }
}

void cis_wasi_run_without(cis_wasi_run *run, const char *package)
{
    if (cis_lib_wasi_usable(run) && package != NULL) {
        run->first.code = cis_run_check_package(package, &run->first);
    }
    run->without = cis_lib_wasi_usable(run) ? keep_text(run, package, "without") : NULL;
}

void cis_wasi_run_data(cis_wasi_run *run, void *data)
{
    run->data = data;
}

void cis_wasi_run_invoke(cis_wasi_run *run, const char *call)
{
    run->invoke = cis_lib_wasi_usable(run) ? keep_text(run, call, "invoke") : NULL;
}
