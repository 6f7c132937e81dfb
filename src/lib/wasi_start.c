/* Runs in the surroundings of a cis_wasi_config; cis_wasi_host, the short way. */
#include "base/clock.h"
#include "base/mem.h"
#include "history/history.h"
#include "lib/wasi.h"

/* A state is a name until a run begins: it may be a branch that moves. */
static cis_code resolve(const cis_wasi_config *config, struct cis_run_mount *mounts,
                        struct cis_error *err)
{
    struct cis_stop stop = {CIS_NEVER, config->cancel};
    struct cis_history h = {config->runtime->store, cis_str_of(config->tenant), &stop, 0};
    for (size_t i = 0; i < config->nmounts; i++) {
        mounts[i] = config->mounts[i];
        if (config->states[i] != NULL) {
            struct cis_rev rev;
            if (h.store == NULL) {
                return cis_fail(err, CIS_E_USAGE, "%s: the runtime keeps nothing",
                                mounts[i].guest_path);
            }
            CIS_TRY(cis_history_resolve(&h, cis_str_of(config->states[i]), &rev, err));
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

static void fill_program(const cis_wasi_config *config, const char *const *name,
                         struct cis_run_program *out)
{
    *out = (struct cis_run_program){
        .args = config->args.n != 0 ? config->args.at : name,
        .env = config->env.n != 0 ? config->env.at : NULL,
        .listeners = config->listeners,
        .nlisteners = config->nlisteners,
        .fixed_clock = config->fixed_clock,
        .clock_ns = config->clock_ns,
        .seeded = config->seeded,
    };
    memcpy(out->seed, config->seed, sizeof out->seed);
    for (int i = 0; i < 3; i++) {
        out->std[i] = config->std[i];
        if (config->std[i].kind == CIS_STREAM_KEEP) {
            out->std[i].kept = CIS_BUF_INIT(config->keep_max[i]);
        }
    }
}

static cis_code make_request(const cis_wasi_config *config, cis_module *module,
                             struct cis_lib_program *p, struct cis_error *err)
{
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    options.tenant = config->tenant;
    options.grants = config->grants.at;
    options.memory = config->memory;
    options.time_ms = config->time_ms;
    options.fuel = config->fuel;
    options.handles = config->handles;
    options.cancel = config->cancel;
    CIS_TRY(resolve(config, p->mounts, err));
    cis_fs_cache *fs_cache = NULL;
    if (config->runtime->store != NULL) {
        CIS_TRY(cis_lib_fs_cache(config->runtime, &fs_cache, err));
    }
    CIS_TRY(cis_lib_request_make(config->runtime, module, &options, &p->q, err));
    struct cis_run_request *r = &p->q.request;
    r->program = &p->program;
    r->fs_cache = fs_cache;
    r->mounts = p->mounts;
    r->nmounts = config->nmounts;
    r->read_only = config->read_only;
    r->tx = tx_of(config->tx);
    r->fork = config->fork;
    r->no_clock = config->no_clock;
    r->no_random = config->no_random;
    r->sockets_max = config->sockets_max;
    return CIS_OK;
}

cis_code cis_lib_program_make(const cis_wasi_config *config, cis_module *module,
                              struct cis_lib_program *p, struct cis_error *err)
{
    if (!cis_lib_wasi_usable(config)) {
        return cis_fail(err, config->first.code, "%s", config->first.msg);
    }
    memset(&p->program, 0, sizeof p->program);
    p->embedder = (struct cis_lib_embedder){.data = config->data};
    p->name[0] = module->name;
    p->name[1] = NULL;
    CIS_TRY(make_request(config, module, p, err));
    fill_program(config, p->name, &p->program);
    p->program.invoke = config->invoke;
    p->program.without = config->without;
    p->program.no_wasi = !config->runtime->wasi;
    p->program.wasi = config->features | config->runtime->wasi_features;
    p->program.embedder = &p->embedder;
    p->set = config->set;
    if (p->set != NULL) {
        p->interfaces = cis_lib_set_provider(p->set);
        p->interfaces.ref(p->set);
        p->program.interfaces = &p->interfaces;
    }
    return CIS_OK;
}

void cis_lib_program_done(struct cis_lib_program *p)
{
    cis_lib_embedder_done(&p->embedder);
    cis_lib_set_unref(p->set);
    p->set = NULL;
    cis_lib_request_done(&p->q);
}

cis_code cis_wasi_run(const cis_wasi_config *config, cis_module *module, cis_result **out_result,
                      struct cis_error *err)
{
    CIS_TRY(cis_lib_here(config->runtime, err));
    struct cis_lib_program p;
    struct cis_lib_recording recording;
    CIS_TRY(cis_lib_program_make(config, module, &p, err));
    cis_code code = cis_lib_record(config, module, &recording, &p.q.request, err);
    code = code == CIS_OK ? cis_lib_run(&p.q, NULL, 0, out_result, err) : code;
    cis_lib_program_done(&p);
    cis_lib_recording_done(&recording);
    return code;
}

/* ---- the short way ---- */

struct cis_wasi_host {
    cis_wasi_config *config; /* not changed after it was made: shared by threads */
};

cis_code cis_wasi_host_new(cis_runtime *runtime, const char *tenant, const char *workspace,
                           cis_wasi_host **out_host, struct cis_error *err)
{
    cis_wasi_host *host = cis_zalloc(sizeof *host);
    cis_code code = host == NULL ? cis_fail(err, CIS_E_NOMEM, "program: out of memory")
                                 : cis_wasi_config_new(runtime, &host->config, err);
    if (code == CIS_OK) {
        cis_wasi_config_tenant(host->config, tenant);
        cis_wasi_config_workspace(host->config, workspace != NULL ? workspace : "/workspace", NULL);
        code = host->config->first.code;
        if (code != CIS_OK) {
            cis_fail(err, code, "%s", host->config->first.msg);
        }
    }
    if (code != CIS_OK) {
        cis_wasi_host_free(host);
        return code;
    }
    *out_host = host;
    return CIS_OK;
}

void cis_wasi_host_provide(cis_wasi_host *host, cis_provider *provider)
{
    cis_wasi_config_provide(host->config, provider);
}

void cis_wasi_host_free(cis_wasi_host *host)
{
    if (host != NULL) {
        cis_wasi_config_free(host->config);
        cis_free(host);
    }
}

cis_code cis_wasi_host_run(cis_wasi_host *host, const void *wasm, size_t len,
                           const char *const *args, cis_result **out_result, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(host->config->runtime, err));
    cis_wasi_config one = *host->config; /* the same surroundings with other arguments */
    size_t n = 0;
    while (args != NULL && args[n] != NULL) {
        n++;
    }
    if (n != 0) {
        one.args = (struct cis_lib_words){(const char **)(uintptr_t)args, n, n};
    }
    cis_module *module = NULL;
    CIS_TRY(cis_module_load(one.runtime, wasm, len, n != 0 ? args[0] : "program", &module, err));
    cis_code code = cis_wasi_run(&one, module, out_result, err);
    cis_module_unref(module);
    return code;
}
