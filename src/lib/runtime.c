/* cis_runtime: engine, store and services put together from a config. */
#include "lib/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include "base/crypto.h"
#include "base/mem.h"
#include "config/bounds.h"
#include "engine/instance/stack.h"
#include "service/net/resolve.h"
#include "store/postgres/postgres.h"
#include "store/sqlite/sqlite.h"
#include "store/calls.h"

static char version_text[96];

static void make_version(void)
{
    snprintf(version_text, sizeof version_text, "cis %s, %s", CIS_VERSION, cis_engine_version());
}

const char *cis_version(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_version);
    return version_text;
}

uint32_t cis_version_number(void)
{
    return CIS_VERSION_NUMBER;
}

void cis_thread_stack(const void *low, size_t size)
{
    cis_stack_name(low, size);
}

static cis_code take_caches(cis_runtime *r, const struct cis_runtime_config *c,
                            struct cis_error *err)
{
    const struct {
        const char *name;
        uint64_t value, min, max;
    } rows[] = {
        {"cache_max", c->cache_max, CIS_BOUND_CACHE_CODE_MIN, CIS_BOUND_CACHE_CODE_MAX},
        {"cache_content", c->cache_content, CIS_BOUND_CACHE_BYTES_MIN, CIS_BOUND_CACHE_BYTES_MAX},
        {"cache_pages", c->cache_pages, CIS_BOUND_CACHE_BYTES_MIN, CIS_BOUND_CACHE_BYTES_MAX},
        {"cache_names", c->cache_names, CIS_BOUND_CACHE_ENTRIES_MIN, CIS_BOUND_CACHE_ENTRIES_MAX},
        {"cache_inodes", c->cache_inodes, CIS_BOUND_CACHE_ENTRIES_MIN, CIS_BOUND_CACHE_ENTRIES_MAX},
        {"cache_modules", c->cache_modules, CIS_BOUND_CACHE_MODULES_MIN,
         CIS_BOUND_CACHE_MODULES_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].value != 0 && (rows[i].value < rows[i].min || rows[i].value > rows[i].max)) {
            return cis_fail(err, CIS_E_USAGE,
                            "%s: %" PRIu64 " is not between %" PRIu64 " and %" PRIu64, rows[i].name,
                            rows[i].value, rows[i].min, rows[i].max);
        }
    }
    r->caches = (struct cis_fs_cache_options)CIS_FS_CACHE_OPTIONS_INIT;
    r->caches.entries = c->cache_names;
    r->caches.inodes = c->cache_inodes;
    r->caches.chunk_bytes = c->cache_content;
    return CIS_OK;
}

static cis_code take_settings(cis_runtime *r, const struct cis_runtime_config *c,
                              struct cis_error *err)
{
    struct cis_error why;
    CIS_TRY(take_caches(r, c, err));
    if (cis_run_wasi_features(c->wasi_features, &r->wasi_features, &why) != CIS_OK) {
        return cis_fail(err, CIS_E_USAGE, "wasi_features: %s", why.msg);
    }
    if (c->dns_servers == NULL) {
        return CIS_OK;
    }
    CIS_TRY(cis_net_dns_check(c->dns_servers, err));
    r->dns_servers = cis_strdup(c->dns_servers);
    return r->dns_servers != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "runtime: out of memory");
}

static cis_code open_parts(cis_runtime *r, const struct cis_runtime_config *c,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *compiler = NULL;
    if (c->compiler == NULL && !c->compile_in_process) {
        CIS_TRY(cis_lib_compiler_find(&compiler, err));
    }
    struct cis_engine_options o = {.pool_slots = c->pool_slots,
                                   .cpu_slots = c->cpu_slots,
                                   .cache_dir = c->cache_dir,
                                   .cache_key = c->cache_key_file,
                                   .cache_max_bytes = c->cache_max,
                                   .modules = c->cache_modules,
                                   .compiler = c->compiler != NULL ? c->compiler : compiler,
                                   .compile_in_process = c->compile_in_process};
    if (c->cache_dir != NULL && c->cache_key_file == NULL) {
        return cis_fail(err, CIS_E_USAGE, "cache_dir needs cache_key_file, outside of it");
    }
    CIS_TRY(cis_engine_open(&o, &r->engine, err));
    if (c->data_dir != NULL) {
        bool server = cis_store_postgres_is_url(cis_str_of(c->data_dir));
        CIS_TRY(server ? cis_store_postgres_open(c->data_dir, NULL, &r->store, NULL, err)
                       : cis_store_sqlite_open(c->data_dir, &r->store, err));
        if (!server) {
            cis_store_sqlite_pages(r->store, c->cache_pages);
        }
        if (r->services.memory == NULL) {
            cis_store_memory_init(&r->store_memory, r->store, 0, 0);
            r->services.memory = &r->store_memory.service;
        }
    }
    return CIS_OK;
}

cis_code cis_runtime_new(const struct cis_runtime_config *config, cis_runtime **out_runtime,
                         struct cis_error *err)
{
    static const struct cis_runtime_config defaults = CIS_RUNTIME_CONFIG_INIT;
    struct cis_runtime_config whole = defaults;
    const struct cis_runtime_config *c = &whole;
    CIS_TRY(cis_sized_take(&cis_sized_runtime_config, config, &whole, err));
    CIS_TRY(cis_crypto_init(err));
    cis_runtime *r = cis_zalloc(sizeof *r);
    if (r == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "runtime: out of memory");
    }
    r->max_memory = c->max_memory != 0 ? c->max_memory : defaults.max_memory;
    r->max_time_ms =
        c->max_execution_time != 0 ? c->max_execution_time : defaults.max_execution_time;
    r->features =
        (c->memory64 ? CIS_FEATURE_MEMORY64 : 0u) | (c->exceptions ? CIS_FEATURE_EXCEPTIONS : 0u);
    r->wasi = c->enable_wasi;
    r->services = (struct cis_services)CIS_SERVICES_INIT;
    pthread_mutex_init(&r->lock, NULL);
    cis_code code = cis_birth_open(&r->birth, err);
    if (code != CIS_OK) {
        cis_free(r);
        return code;
    }
    code = cis_lib_services_take(c->services, &r->services, &r->given, err);
    code = code == CIS_OK ? take_settings(r, c, err) : code;
    code = code == CIS_OK ? open_parts(r, c, err) : code;
    if (code != CIS_OK) {
        cis_runtime_free(r);
        return code;
    }
    *out_runtime = r;
    return CIS_OK;
}

cis_code cis_lib_here(const cis_runtime *runtime, struct cis_error *err)
{
    return cis_birth_here(&runtime->birth)
               ? CIS_OK
               : cis_fail(err, CIS_E_USAGE,
                          "the runtime was made before fork(): make one in this process, or exec");
}

void cis_runtime_free(cis_runtime *runtime)
{
    if (runtime == NULL || cis_lib_here(runtime, NULL) != CIS_OK) {
        return;
    }
    cis_engine_close(runtime->engine);
    cis_lock_alone(lib_lock_runtime);
    cis_fs_cache_free(runtime->fs_cache);
    pthread_mutex_destroy(&runtime->lock);
    if (runtime->store != NULL) {
        cis_store_close(runtime->store);
    }
    cis_free(runtime->dns_servers);
    cis_birth_close(&runtime->birth);
    cis_free(runtime);
}
