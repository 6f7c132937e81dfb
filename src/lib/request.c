/* Public run options → a request to run/. */
#include "lib/internal.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/bounds.h"

cis_code cis_convention_parse(const char *text, enum cis_convention *out, struct cis_error *err)
{
    static const char *const names[] = {"auto", "text", "numbers"};
    if (text == NULL) {
        *out = CIS_CONVENTION_AUTO;
        return CIS_OK;
    }
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum cis_convention)i;
            return CIS_OK;
        }
    }
    return cis_fail(err, CIS_E_USAGE, "convention %s: not auto, text or numbers", text);
}

static cis_code add_config(struct cis_lib_request *q, const char *const *pairs,
                           struct cis_error *err)
{
    for (size_t i = 0; pairs != NULL && pairs[i] != NULL; i++) {
        if (i == sizeof q->config / sizeof *q->config) {
            return cis_fail(err, CIS_E_USAGE, "config: more than %zu values", i);
        }
        struct cis_str value = cis_str_of(pairs[i]), key;
        if (!cis_str_split(&value, '=', &key) || key.len == 0) {
            return cis_fail(err, CIS_E_USAGE, "config %s: not KEY=VALUE", pairs[i]);
        }
        q->config[q->request.nconfig++] = (struct cis_str_pair){key, value};
    }
    return CIS_OK;
}

cis_code cis_lib_request_deny(struct cis_lib_request *q, const struct cis_run_options *o,
                              struct cis_error *err)
{
    for (size_t i = 0; o->deny != NULL && o->deny[i] != NULL; i++) {
        CIS_TRY(cis_grants_remove(&q->grants, cis_str_of(o->deny[i]), err));
        q->request.no_clock |= strcmp(o->deny[i], "clocks") == 0;
        q->request.no_random |= strcmp(o->deny[i], "random") == 0;
    }
    return CIS_OK;
}

static cis_code fill(cis_runtime *runtime, cis_module *module, const struct cis_run_options *o,
                     struct cis_lib_request *q, struct cis_error *err)
{
    uint64_t ms = o->time_ms != 0 ? o->time_ms : runtime->max_time_ms, ns;
    if (__builtin_mul_overflow(ms, CIS_NS_PER_MS, &ns)) {
        ns = CIS_NEVER;
    }
    struct cis_str tenant = cis_str_of(o->tenant != NULL ? o->tenant : "default");
    if (!cis_tenant_valid(tenant)) {
        return cis_fail(err, CIS_E_USAGE, "tenant %s: not a valid name", tenant.ptr);
    }
    for (size_t i = 0; o->grants != NULL && o->grants[i] != NULL; i++) {
        CIS_TRY(cis_grants_add(&q->grants, cis_str_of(o->grants[i]), err));
    }
    CIS_TRY(cis_lib_request_deny(q, o, err));
    if (o->handles != 0 &&
        (o->handles < CIS_BOUND_HANDLES_MIN || o->handles > CIS_BOUND_HANDLES_MAX)) {
        return cis_fail(err, CIS_E_USAGE, "handles: %u is not between %u and %u", o->handles,
                        CIS_BOUND_HANDLES_MIN, CIS_BOUND_HANDLES_MAX);
    }
    memcpy(q->tenant, tenant.ptr, tenant.len);
    q->tenant[tenant.len] = 0;
    const char *name = o->skill != NULL ? o->skill : module->name;
    size_t len = cis_size_add(strlen(name), sizeof "file:");
    q->skill = cis_alloc(len);
    if (q->skill == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "run: out of memory");
    }
    snprintf(q->skill, len, "%s%s", o->skill != NULL ? "" : "file:", name);
    q->request.engine = runtime->engine;
    q->request.store = runtime->store;
    q->request.services = runtime->services;
    q->request.tenant = q->tenant;
    q->request.skill = q->skill;
    q->request.grants = &q->grants;
    q->request.limits.memory_bytes = o->memory != 0 ? o->memory : runtime->max_memory;
    q->request.limits.fuel = o->fuel;
    q->request.time_ns = ns;
    q->request.output_max = o->output_max;
    q->request.handles_max = o->handles;
    q->request.cancel = o->cancel;
    q->request.abi.abi = o->abi;
    q->request.abi.method = o->method;
    q->request.abi.event = o->event;
    q->request.abi.no_wasi = !runtime->wasi;
    q->request.abi.wasi = runtime->wasi_features;
    q->request.dns_servers = runtime->dns_servers;
    q->request.config = q->config;
    q->request.tx = o->tx_always ? CIS_TX_ALWAYS : CIS_TX_ON_SUCCESS;
    q->request.trace = o->trace;
    q->request.trace_self = o->trace_self;
    CIS_TRY(cis_convention_parse(o->convention, &q->request.abi.convention, err));
    CIS_TRY(add_config(q, o->config, err));
    if (cis_grants_has(&q->grants, CIS_GRANT_FS_READ) && runtime->store != NULL) {
        CIS_TRY(cis_lib_fs_cache(runtime, &q->request.fs_cache, err));
    }
    struct cis_stop stop = {CIS_NEVER, o->cancel};
    return cis_module_variant(module, o->fuel != 0, q->request.limits.memory_bytes, &stop,
                              &q->request.module, err);
}

cis_code cis_lib_run_options(const struct cis_run_options *options, struct cis_run_options *out,
                             struct cis_error *err)
{
    *out = (struct cis_run_options)CIS_RUN_OPTIONS_INIT;
    return cis_sized_take(&cis_sized_run_options, options, out, err);
}

cis_code cis_lib_request_make(cis_runtime *runtime, cis_module *module,
                              const struct cis_run_options *options, struct cis_lib_request *out,
                              struct cis_error *err)
{
    struct cis_run_options whole, *o = &whole;
    CIS_TRY(cis_lib_run_options(options, &whole, err));
    /* The config array is large and only what is used is read: not cleared. */
    memset(&out->request, 0, sizeof out->request);
    out->grants = CIS_GRANTS_INIT;
    out->skill = NULL;
    cis_code code = fill(runtime, module, o, out, err);
    if (code != CIS_OK) {
        cis_lib_request_done(out);
    }
    return code;
}

void cis_lib_request_done(struct cis_lib_request *request)
{
    cis_grants_done(&request->grants);
    cis_free(request->skill);
    request->skill = NULL;
}
