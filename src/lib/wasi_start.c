/* Runs in the surroundings of a cis_wasi_run; cis_wasi_host, the short way. */
#include "base/clock.h"
#include "base/mem.h"
#include "history/history.h"
#include "lib/wasi.h"

/* A state is a name until a run begins: it may be a branch that moves. */
static cis_code resolve(const cis_wasi_run *run, struct cis_run_mount *mounts,
                        struct cis_error *err)
{
    struct cis_stop stop = {CIS_NEVER, run->cancel};
    struct cis_history h = {run->runtime->store, cis_str_of(run->tenant), &stop, 0};
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

static cis_code make_request(const cis_wasi_run *run, cis_module *module, struct cis_lib_program *p,
                             struct cis_error *err)
{
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    options.tenant = run->tenant;
    options.grants = run->grants.at;
    options.memory = run->memory;
    options.time_ms = run->time_ms;
    options.fuel = run->fuel;
    options.handles = run->handles;
    options.cancel = run->cancel;
    CIS_TRY(resolve(run, p->mounts, err));
    cis_forest *forest = NULL;
    if (run->runtime->store != NULL) {
        CIS_TRY(cis_lib_forest(run->runtime, &forest, err));
    }
    CIS_TRY(cis_lib_request_make(run->runtime, module, &options, &p->q, err));
    struct cis_run_request *r = &p->q.request;
    r->program = &p->program;
    r->forest = forest;
    r->mounts = p->mounts;
    r->nmounts = run->nmounts;
    r->read_only = run->read_only;
    r->tx = tx_of(run->tx);
    r->fork = run->fork;
    r->no_clock = run->no_clock;
    r->no_random = run->no_random;
    r->sockets_max = run->sockets_max;
    return CIS_OK;
}

cis_code cis_lib_program_make(const cis_wasi_run *run, cis_module *module,
                              struct cis_lib_program *p, struct cis_error *err)
{
    if (!cis_lib_wasi_usable(run)) {
        return cis_fail(err, run->first.code, "%s", run->first.msg);
    }
    memset(&p->program, 0, sizeof p->program);
    p->embedder = (struct cis_lib_embedder){.data = run->data};
    p->name[0] = module->name;
    p->name[1] = NULL;
    CIS_TRY(make_request(run, module, p, err));
    fill_program(run, p->name, &p->program);
    p->program.invoke = run->invoke;
    p->program.without = run->without;
    p->program.no_wasi = !run->runtime->wasi;
    p->program.wasi = run->features | run->runtime->wasi_features;
    p->program.embedder = &p->embedder;
    p->set = run->set;
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

cis_code cis_wasi_run_start(cis_wasi_run *run, cis_module *module, cis_result **out_result,
                            struct cis_error *err)
{
    CIS_TRY(cis_lib_here(run->runtime, err));
    struct cis_lib_program p;
    struct cis_lib_recording recording;
    CIS_TRY(cis_lib_program_make(run, module, &p, err));
    cis_code code = cis_lib_record(run, module, &recording, &p.q.request, err);
    code = code == CIS_OK ? cis_lib_run(&p.q, NULL, 0, out_result, err) : code;
    cis_lib_program_done(&p);
    cis_lib_recording_done(&recording);
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

void cis_wasi_host_provide(cis_wasi_host *host, cis_provider *provider)
{
    cis_wasi_run_provide(host->run, provider);
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
    CIS_TRY(cis_lib_here(host->run->runtime, err));
    cis_wasi_run one = *host->run; /* the same surroundings with other arguments */
    size_t n = 0;
    while (args != NULL && args[n] != NULL) {
        n++;
    }
    if (n != 0) {
        one.args = (struct cis_lib_words){(const char **)(uintptr_t)args, n, n};
    }
    cis_module *module = NULL;
    CIS_TRY(cis_module_load(one.runtime, wasm, len, n != 0 ? args[0] : "program", &module, err));
    cis_code code = cis_wasi_run_start(&one, module, out_result, err);
    cis_module_unref(module);
    return code;
}
