/* Opening what commands need, once, from the configuration. */
#include "cli/app.h"

#include <pthread.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/store.h"
#include "config/config.h"
#include "run/run.h"
#include "service/ai/ai.h"
#include "service/memory/memory.h"
#include "store/sqlite/sqlite.h"
#include "store/calls.h"

struct cis_app {
    const struct cis_cli *cli;
    struct cis_config *config;
    cis_store *store;
    cis_fs_cache *fs_cache;
    struct cis_store_memory memory;
    cis_engine *engine;
    cis_http_client *http;
    cis_ai *ai;
    struct cis_log_service log;
    cis_recording *recording; /* borrowed */
};

cis_code cis_app_open(struct cis_cli *cli, cis_app **out_app, struct cis_error *err)
{
    cis_app *app = cis_zalloc(sizeof *app);
    if (app == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    app->cli = cli;
    struct cis_config_flags flags = {.home = cli->home,
                                     .store = cis_cli_value(cli, "store"),
                                     .tenant = cis_cli_value(cli, "tenant"),
                                     .max_memory = cis_cli_value(cli, "max-memory"),
                                     .max_execution_time = cis_cli_value(cli, "max-execution-time"),
                                     .enable_wasi = cis_cli_value(cli, "enable-wasi"),
                                     .handles = cis_cli_value(cli, "handles"),
                                     .compile_memory = cis_cli_value(cli, "compile-memory"),
                                     .compile_time = cis_cli_value(cli, "compile-time")};
    cis_code code = cis_config_load(&flags, &app->config, err);
    if (code != CIS_OK) {
        cis_free(app);
        return code;
    }
    if (!cis_tenant_valid(cis_str_of(app->config->tenant))) {
        code = cis_fail(err, CIS_E_USAGE,
                        "tenant %s: not [a-z0-9][a-z0-9._-]* of at most %u characters",
                        app->config->tenant, CIS_TENANT_MAX);
        cis_app_close(app);
        return code;
    }
    cli->tenant = app->config->tenant;
    for (size_t i = 0; app->config->warnings != NULL && app->config->warnings[i] != NULL; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(65536);
        cis_cli_printable_line(&line, cis_str_of(app->config->warnings[i]));
        fprintf(stderr, "cis: warning: %s\n", cis_buf_cstr(&line));
    }
    *out_app = app;
    return CIS_OK;
}

void cis_app_close(cis_app *app)
{
    if (app == NULL) {
        return;
    }
    cis_ai_free(app->ai);
    cis_http_client_free(app->http);
    cis_engine_close(app->engine);
    cis_fs_cache_free(app->fs_cache);
    if (app->store != NULL) {
        cis_store_close(app->store);
    }
    cis_config_free(app->config);
    cis_free(app);
}

const struct cis_config *cis_app_config(const cis_app *app)
{
    return app->config;
}

const char *cis_app_data_dir(const cis_app *app)
{
    return app->config->data_dir;
}

const char *cis_app_cache_dir(const cis_app *app)
{
    return app->config->cache_dir;
}

const char *cis_app_config_dir(const cis_app *app)
{
    return app->config->config_dir;
}

struct cis_stop cis_app_stop(const cis_app *app)
{
    return (struct cis_stop){cis_clock_after(cis_clock_mono_ns(), 60 * CIS_NS_PER_S),
                             app->cli->cancel};
}

static cis_code make_folder(const char *path, struct cis_error *err)
{
    cis_code code = cis_file_mkdirs(path, 0700, err);
    return code == CIS_OK
               ? code
               : cis_error_prefix(err, code, "cannot make %s (set CIS_HOME to use another place)",
                                  path);
}

cis_code cis_app_store(cis_app *app, cis_store **out_store, struct cis_error *err)
{
    if (app->store == NULL) {
        CIS_TRY(make_folder(app->config->data_dir, err));
        const struct cis_config *c = app->config;
        CIS_TRY(cis_cli_store_open(c->store, app->cli->cancel, &app->store, err));
        if (cis_str_starts(cis_str_of(c->store), CIS_STR("sqlite:"))) {
            cis_store_sqlite_pages(app->store, c->cache_pages);
        }
    }
    *out_store = app->store;
    return CIS_OK;
}

#define RUN_STORE_KIB 8192u

cis_code cis_app_run_store(cis_app *app, cis_store **out_store, struct cis_error *err)
{
    CIS_TRY(cis_app_store(app, out_store, err));
    (*out_store)->cache_kib = RUN_STORE_KIB;
    return CIS_OK;
}

struct cis_fs_cache_options cis_app_caches(const cis_app *app)
{
    struct cis_fs_cache_options o = CIS_FS_CACHE_OPTIONS_INIT;
    o.entries = app->config->cache_names;
    o.inodes = app->config->cache_inodes;
    o.chunk_bytes = app->config->cache_content;
    return o;
}

cis_code cis_app_fs_cache(cis_app *app, cis_fs_cache **out_fs_cache, struct cis_error *err)
{
    cis_store *store;
    CIS_TRY(cis_app_store(app, &store, err));
    if (app->fs_cache == NULL) {
        struct cis_fs_cache_options o = cis_app_caches(app);
        CIS_TRY(cis_fs_cache_new(store, &o, &app->fs_cache, err));
    }
    *out_fs_cache = app->fs_cache;
    return CIS_OK;
}

cis_code cis_app_engine(cis_app *app, uint32_t slots, cis_engine **out_engine,
                        struct cis_error *err)
{
    if (app->engine == NULL) {
        const struct cis_config *c = app->config;
        CIS_CLEANUP(cis_freep) char *code_dir = cis_path_join(c->cache_dir, "code");
        CIS_CLEANUP(cis_freep) char *key = cis_path_join(c->data_dir, "cache.key");
        if (code_dir == NULL || key == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "engine: out of memory");
        }
        CIS_TRY(make_folder(c->data_dir, err));
        CIS_TRY(make_folder(c->cache_dir, err));
        uint64_t cpu_slots = c->slots;
        if (!cis_cli_number(app->cli, "slots", &cpu_slots) || cpu_slots > 4096) {
            return cis_fail(err, CIS_E_USAGE, "--slots: at most 4096");
        }
        struct cis_engine_options o = {.pool_slots = c->pool_slots != 0 ? c->pool_slots : slots,
                                       .cpu_slots = (uint32_t)cpu_slots,
                                       .cache_dir = code_dir,
                                       .cache_key = key,
                                       .cache_max_bytes = c->cache_max,
                                       .modules = c->cache_modules,
                                       .compiler = app->cli->program,
                                       .compile_memory = c->compile_memory,
                                       .compile_ns = c->compile_time_ns};
        CIS_TRY(cis_engine_open(&o, &app->engine, err));
    }
    *out_engine = app->engine;
    return CIS_OK;
}

/* One line, one write: lines of concurrent runs do not mix. */
static void log_line(void *self, const struct cis_call *call, enum cis_log_level level,
                     const char *text, size_t len)
{
    static const char *const names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR"};
    const cis_app *app = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(65536);
    cis_buf_printf(&line, "%-5s %s: ", names[level <= CIS_LOG_ERROR ? level : CIS_LOG_ERROR],
                   call->skill);
    cis_cli_printable(&line, (struct cis_str){text, len});
    cis_buf_byte(&line, '\n');
    cis_fd_write_all(STDERR_FILENO, line.ptr, line.len);
    cis_recording_show(app->recording, 2, line.ptr, line.len);
}

void cis_app_record(cis_app *app, cis_recording *recording)
{
    app->recording = recording;
}

static cis_code open_ai(cis_app *app, struct cis_error *err)
{
    const struct cis_config *c = app->config;
    struct cis_ai_config ai = {.provider = c->ai_provider,
                               .model = c->ai_model,
                               .base_url = c->ai_base_url,
                               .api_key_env = c->ai_api_key_env,
                               .api_key_file = c->ai_api_key_file,
                               .command = c->ai_command,
                               .command_args = (const char *const *)c->ai_command_args,
                               .command_stdin = c->ai_command_stdin,
                               .unsafe_command = c->ai_unsafe_command,
                               .max_tokens = c->ai_max_tokens,
                               .temperature = c->ai_temperature,
                               .timeout_ns = c->ai_timeout_ns};
    return cis_ai_new(&ai, app->http, &app->ai, err);
}

static cis_code open_http(cis_app *app, struct cis_error *err)
{
    struct cis_http_client_options http = {.ca_file = app->config->ca_file,
                                           .dns_servers = app->config->dns_servers};
    return app->http != NULL ? CIS_OK : cis_http_client_new(&http, &app->http, err);
}

cis_code cis_app_http(cis_app *app, const struct cis_http_service **out_http, struct cis_error *err)
{
    CIS_TRY(open_http(app, err));
    *out_http = cis_http_client_service(app->http);
    return CIS_OK;
}

cis_code cis_app_services(cis_app *app, bool network, struct cis_services *out_services,
                          struct cis_error *err)
{
    if (app->log.line == NULL) {
        cis_store *store;
        CIS_TRY(cis_app_store(app, &store, err));
        cis_store_memory_init(&app->memory, store, app->config->memory_quota_bytes,
                              app->config->memory_quota_keys);
        app->log = (struct cis_log_service)CIS_LOG_SERVICE_INIT;
        app->log.line = log_line;
        app->log.self = app;
    }
    if (network && app->ai == NULL) {
        CIS_TRY(open_http(app, err));
        CIS_TRY(open_ai(app, err));
    }
    *out_services = (struct cis_services){
        .size = sizeof *out_services, .memory = &app->memory.service, .log = &app->log};
    if (network) {
        out_services->ai = cis_ai_service(app->ai);
        out_services->http = cis_http_client_service(app->http);
    }
    return CIS_OK;
}

cis_code cis_app_wasi_features(const cis_app *app, uint32_t *inout_wasi, struct cis_error *err)
{
    struct cis_error why;
    return cis_run_wasi_features(app->config->wasi_features, inout_wasi, &why) == CIS_OK
               ? CIS_OK
               : cis_fail(err, CIS_E_USAGE, "runtime.wasi_features: %s", why.msg);
}
