/* cis_wasi_config: a program's surroundings step by step. Runs in them are wasi_start.c. */
#include "lib/wasi.h"

#include <stdio.h>
#include <unistd.h>
#include "base/mem.h"

#define STDOUT_KEPT (16ull << 20)
#define STDERR_KEPT (1ull << 20)
#define WORDS_MAX 65536u /* arguments, variables */

cis_code cis_wasi_config_new(cis_runtime *runtime, cis_wasi_config **out_config,
                             struct cis_error *err)
{
    CIS_TRY(cis_lib_here(runtime, err));
    cis_wasi_config *config = cis_zalloc(sizeof *config);
    if (config == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "program: out of memory");
    }
    config->runtime = runtime;
    snprintf(config->tenant, sizeof config->tenant, "default");
    config->std[0].kind = CIS_STREAM_BYTES;
    config->std[1].kind = config->std[2].kind = CIS_STREAM_KEEP;
    config->keep_max[1] = STDOUT_KEPT;
    config->keep_max[2] = STDERR_KEPT;
    *out_config = config;
    return CIS_OK;
}

static void words_done(struct cis_lib_words *words)
{
    for (size_t i = 0; i < words->n; i++) {
        cis_free((void *)(uintptr_t)words->at[i]);
    }
    cis_free(words->at);
}

void cis_wasi_config_free(cis_wasi_config *config)
{
    if (config == NULL) {
        return;
    }
    words_done(&config->args);
    words_done(&config->env);
    words_done(&config->kept);
    words_done(&config->grants);
    cis_lib_set_unref(config->set);
    cis_free(config->input);
    cis_free(config);
}

/* ---- steps ---- */

/* Takes the text; NULL is out of memory already. */
static const char *words_take(cis_wasi_config *config, struct cis_lib_words *words, char *text,
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
        cis_fail(&config->first, CIS_E_NOMEM, "%s: out of memory", what);
        return NULL;
    }
    if (words->n == WORDS_MAX) {
        cis_free(text);
        cis_fail(&config->first, CIS_E_LIMIT, "%s: more than %u", what, WORDS_MAX);
        return NULL;
    }
    words->at[words->n++] = text;
    words->at[words->n] = NULL;
    return text;
}

static const char *keep_text(cis_wasi_config *config, const char *text, const char *what)
{
    return text == NULL ? NULL : words_take(config, &config->kept, cis_strdup(text), what);
}

void cis_wasi_config_tenant(cis_wasi_config *config, const char *tenant)
{
    struct cis_str name;
    if (cis_lib_wasi_usable(config) && cis_lib_tenant(tenant, &name, &config->first) == CIS_OK) {
        memcpy(config->tenant, name.ptr, name.len);
        config->tenant[name.len] = 0;
    }
}

static struct cis_run_mount *add_mount(cis_wasi_config *config, const char *guest_path)
{
    if (!cis_lib_wasi_usable(config)) {
        return NULL;
    }
    if (config->nmounts == CIS_RUN_MOUNTS_MAX) {
        cis_fail(&config->first, CIS_E_LIMIT, "%s: more than %u mounts", guest_path,
                 CIS_RUN_MOUNTS_MAX);
        return NULL;
    }
    struct cis_run_mount *m = &config->mounts[config->nmounts];
    *m = (struct cis_run_mount){
        .guest_path = keep_text(config, guest_path != NULL ? guest_path : "", "mount")};
    config->nmounts += cis_lib_wasi_usable(config);
    return cis_lib_wasi_usable(config) ? m : NULL;
}

void cis_wasi_config_workspace(cis_wasi_config *config, const char *guest_path, const char *branch)
{
    struct cis_run_mount *m = add_mount(config, guest_path);
    if (m != NULL) {
        m->branch = keep_text(config, branch, guest_path);
    }
}

void cis_wasi_config_state(cis_wasi_config *config, const char *guest_path, const char *state)
{
    struct cis_run_mount *m = add_mount(config, guest_path);
    if (m != NULL) {
        m->mode = CIS_MOUNT_RO;
        config->states[m - config->mounts] =
            keep_text(config, state != NULL ? state : "", guest_path);
    }
}

void cis_wasi_config_dir(cis_wasi_config *config, const char *host, const char *guest_path,
                         enum cis_dir_mode mode, const char *branch)
{
    struct cis_run_mount *m = add_mount(config, guest_path);
    if (m != NULL) {
        m->mode = mode == CIS_DIR_RW    ? CIS_MOUNT_RW
                  : mode == CIS_DIR_COW ? CIS_MOUNT_COW
                                        : CIS_MOUNT_RO;
        m->host = keep_text(config, host, guest_path);
        m->branch = mode == CIS_DIR_COW ? keep_text(config, branch, guest_path) : NULL;
    }
}

void cis_wasi_config_read_only(cis_wasi_config *config)
{
    config->read_only = true;
}

void cis_wasi_config_tx(cis_wasi_config *config, enum cis_wasi_tx tx, const char *fork)
{
    if (cis_lib_wasi_usable(config) && tx == CIS_WASI_FORK && (fork == NULL || fork[0] == 0)) {
        cis_fail(&config->first, CIS_E_USAGE, "fork: needs the name of a branch");
    }
    config->tx = tx;
    config->fork = tx == CIS_WASI_FORK ? keep_text(config, fork, "fork") : NULL;
}

void cis_wasi_config_arg(cis_wasi_config *config, const char *arg)
{
    if (cis_lib_wasi_usable(config)) {
        words_take(config, &config->args, cis_strdup(arg), "arguments");
    }
}

void cis_wasi_config_env(cis_wasi_config *config, const char *name, const char *value)
{
    if (!cis_lib_wasi_usable(config)) {
        return;
    }
    if (name[0] == 0 || strchr(name, '=') != NULL) {
        cis_fail(&config->first, CIS_E_USAGE,
                 "environment: \"%s\" is not a valid name of a variable", name);
        return;
    }
    size_t len = cis_size_add(strlen(name), cis_size_add(strlen(value), sizeof "="));
    char *text = cis_alloc(len);
    if (text != NULL) {
        snprintf(text, len, "%s=%s", name, value);
    }
    words_take(config, &config->env, text, "environment");
}

static struct cis_host_stream *stream_of(cis_wasi_config *config, int stream, bool in)
{
    if (!cis_lib_wasi_usable(config)) {
        return NULL;
    }
    if (stream < 0 || stream > 2 || in != (stream == 0)) {
        cis_fail(&config->first, CIS_E_USAGE, "stream %d: %s", stream,
                 in ? "only stream 0 can be read" : "only streams 1 and 2 can be written");
        return NULL;
    }
    return &config->std[stream];
}

void cis_wasi_config_stdin(cis_wasi_config *config, const void *data, size_t len)
{
    uint8_t *copy = cis_alloc(len != 0 ? len : 1);
    if (copy == NULL) {
        cis_fail(&config->first, CIS_E_NOMEM, "stdin: out of memory");
        return;
    }
    if (len != 0) {
        memcpy(copy, data, len);
    }
    cis_free(config->input);
    config->input = copy;
    config->std[0] =
        (struct cis_host_stream){.kind = CIS_STREAM_BYTES, .bytes = cis_bytes_of(copy, len)};
}

void cis_wasi_config_fd(cis_wasi_config *config, int stream, int fd)
{
    struct cis_host_stream *s = stream_of(config, stream, stream == 0);
    if (s != NULL) {
        *s = (struct cis_host_stream){.kind = CIS_STREAM_FD, .fd = fd, .terminal = isatty(fd) == 1};
    }
}

/* The rooms below speak in errnos, as WASI does. */
static int call_read(void *self, void *buf, size_t len, size_t *out_n)
{
    const struct cis_lib_stream *s = self;
    struct cis_error why = {0};
    cis_code code = s->read(s->self, buf, len, out_n, &why);
    return cis_error_sys(code, &why);
}

static int call_write(void *self, const void *data, size_t len, size_t *out_n)
{
    const struct cis_lib_stream *s = self;
    struct cis_error why = {0};
    cis_code code = s->write(s->self, data, len, out_n, &why);
    return cis_error_sys(code, &why);
}

void cis_wasi_config_reader(cis_wasi_config *config, cis_wasi_read_fn *read, void *self)
{
    struct cis_host_stream *s = stream_of(config, 0, true);
    if (s != NULL) {
        config->calls[0] = (struct cis_lib_stream){.read = read, .self = self};
        *s = (struct cis_host_stream){
            .kind = CIS_STREAM_CALL, .read = call_read, .self = &config->calls[0]};
    }
}

void cis_wasi_config_writer(cis_wasi_config *config, int stream, cis_wasi_write_fn *write,
                            void *self)
{
    struct cis_host_stream *s = stream_of(config, stream, false);
    if (s != NULL) {
        config->calls[stream] = (struct cis_lib_stream){.write = write, .self = self};
        *s = (struct cis_host_stream){
            .kind = CIS_STREAM_CALL, .write = call_write, .self = &config->calls[stream]};
    }
}

void cis_wasi_config_keep(cis_wasi_config *config, int stream, uint64_t max)
{
    struct cis_host_stream *s = stream_of(config, stream, false);
    if (s != NULL) {
        *s = (struct cis_host_stream){.kind = CIS_STREAM_KEEP};
        config->keep_max[stream] = max;
    }
}

void cis_wasi_config_listen(cis_wasi_config *config, int fd)
{
    if (cis_lib_wasi_usable(config) && config->nlisteners == LISTENERS_MAX) {
        cis_fail(&config->first, CIS_E_LIMIT, "more than %u listening sockets", LISTENERS_MAX);
    }
    if (cis_lib_wasi_usable(config)) {
        config->listeners[config->nlisteners++] = fd;
    }
}

void cis_wasi_config_limits(cis_wasi_config *config, uint64_t memory, uint64_t time_ms,
                            uint64_t fuel)
{
    config->memory = memory;
    config->time_ms = time_ms;
    config->fuel = fuel;
}

void cis_wasi_config_allow(cis_wasi_config *config, const char *grant)
{
    CIS_CLEANUP(cis_grants_done) struct cis_grants one = CIS_GRANTS_INIT;
    if (cis_lib_wasi_usable(config) &&
        cis_grants_add(&one, cis_str_of(grant), &config->first) == CIS_OK) {
        words_take(config, &config->grants, cis_strdup(grant), "grants");
    }
}

void cis_wasi_config_handles(cis_wasi_config *config, uint32_t max)
{
    config->handles = max;
}

void cis_wasi_config_sockets(cis_wasi_config *config, uint32_t max)
{
    config->sockets_max = max;
}

void cis_wasi_config_features(cis_wasi_config *config, const char *features)
{
    if (cis_lib_wasi_usable(config)) {
        config->first.code = cis_run_wasi_features(features, &config->features, &config->first);
    }
}

void cis_wasi_config_no_clock(cis_wasi_config *config)
{
    config->no_clock = true;
}

void cis_wasi_config_no_random(cis_wasi_config *config)
{
    config->no_random = true;
}

void cis_wasi_config_fixed_clock(cis_wasi_config *config, uint64_t ns)
{
    config->fixed_clock = true;
    config->clock_ns = ns;
}

void cis_wasi_config_seed(cis_wasi_config *config, const void *seed, size_t len)
{
    if (cis_lib_wasi_usable(config) && (len == 0 || len > sizeof config->seed)) {
        cis_fail(&config->first, CIS_E_USAGE, "seed: 1 to %zu bytes", sizeof config->seed);
    }
    if (cis_lib_wasi_usable(config)) {
        memset(config->seed, 0, sizeof config->seed);
        memcpy(config->seed, seed, len);
        config->seeded = true;
    }
}

void cis_wasi_config_cancel(cis_wasi_config *config, cis_cancel *cancel)
{
    config->cancel = cancel;
}

void cis_wasi_config_record(cis_wasi_config *config, const char *path)
{
    if (cis_lib_wasi_usable(config)) {
        config->record = keep_text(config, path, "record");
    }
}

void cis_wasi_config_provide(cis_wasi_config *config, cis_provider *provider)
{
    if (cis_lib_wasi_usable(config)) {
        config->first.code =
            cis_lib_set_add(&config->set, provider, config->without,
                            config->features | config->runtime->wasi_features, &config->first);
    }
}

void cis_wasi_config_without(cis_wasi_config *config, const char *package)
{
    if (cis_lib_wasi_usable(config) && package != NULL) {
        config->first.code = cis_run_check_package(package, &config->first);
    }
    config->without = cis_lib_wasi_usable(config) ? keep_text(config, package, "without") : NULL;
}

void cis_wasi_config_data(cis_wasi_config *config, void *data)
{
    config->data = data;
}

void cis_wasi_config_invoke(cis_wasi_config *config, const char *call)
{
    config->invoke = cis_lib_wasi_usable(config) ? keep_text(config, call, "invoke") : NULL;
}
