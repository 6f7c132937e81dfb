/* cis_instance: a session kept open and called by name with numbers. */
#include "lib/internal.h"

#include "base/mem.h"

struct cis_instance {
    struct cis_lib_request q;
    cis_module *module;
    cis_session *session;
    bool doomed; /* freed during a call: it goes when that is over */
};

void cis_instance_free(cis_instance *instance)
{
    if (instance == NULL || cis_lib_here(instance->module->runtime, NULL) != CIS_OK) {
        return;
    }
    if (cis_session_busy(instance->session)) {
        instance->doomed = true;
        return;
    }
    cis_session_close(instance->session);
    cis_lib_request_done(&instance->q);
    cis_module_unref(instance->module);
    cis_free(instance);
}

cis_code cis_instance_new(cis_runtime *runtime, cis_module *module,
                          const struct cis_run_options *options, cis_instance **out_instance,
                          struct cis_error *err)
{
    CIS_TRY(cis_lib_here(runtime, err));
    cis_instance *in = cis_zalloc(sizeof *in);
    if (in == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "instance: out of memory");
    }
    in->module = cis_module_ref(module);
    cis_code code = cis_lib_request_make(runtime, module, options, &in->q, err);
    if (code == CIS_OK && cis_grants_has(&in->q.grants, CIS_GRANT_FS_READ)) {
        code = cis_fail(err, CIS_E_UNSUPPORTED,
                        "grant fs=: a kept instance has no files (cis_run and cis_wasi_run do)");
    }
    if (code == CIS_OK) {
        in->q.request.input = cis_bytes_of("null", 4);
        code = cis_session_open(&in->q.request, &in->session, err);
    }
    if (code == CIS_OK) { /* a reactor's own start: once, before any of its exports */
        code = cis_skillabi_start(cis_session_instance(in->session), err);
    }
    if (code == CIS_OK) {
        code = cis_session_commit(in->session, err);
    }
    if (code != CIS_OK) {
        cis_instance_free(in);
        return code;
    }
    *out_instance = in;
    return CIS_OK;
}

static cis_code take_args(const struct cis_extern *export, const struct cis_value *args,
                          size_t nargs, union cis_slot *io, struct cis_error *err)
{
    static const char kinds[] = "iIfF";
    const char *colon = strchr(export->type, ':');
    if ((size_t)(colon - export->type) != nargs) {
        return cis_fail(err, CIS_E_USAGE, CIS_STR_FMT ": takes %td arguments, not %zu",
                        CIS_STR_ARG(export->name), colon - export->type, nargs);
    }
    for (size_t i = 0; i < nargs; i++) {
        if (args[i].kind > CIS_F64 || kinds[args[i].kind] != export->type[i]) {
            return cis_fail(err, CIS_E_USAGE, CIS_STR_FMT ": argument %zu is of type %c",
                            CIS_STR_ARG(export->name), i, export->type[i]);
        }
        memcpy(io[i].bytes, &args[i].of, sizeof args[i].of);
    }
    return CIS_OK;
}

static void give_results(const char *types, const union cis_slot *io, struct cis_value *results)
{
    static const char kinds[] = "iIfF";
    for (size_t i = 0; types[i] != 0; i++) {
        results[i].kind = (enum cis_value_kind)(strchr(kinds, types[i]) - kinds);
        memcpy(&results[i].of, io[i].bytes, sizeof results[i].of);
    }
}

static cis_code perform(cis_instance *instance, const struct cis_extern *export, union cis_slot *io,
                        struct cis_error *err)
{
    cis_code code = cis_engine_instance_call(cis_session_instance(instance->session), export->name,
                                             export->type, io, err);
    if (code != CIS_OK) {
        cis_session_discard(instance->session);
        return code;
    }
    return cis_session_commit(instance->session, err);
}

cis_code cis_instance_call(cis_instance *instance, const char *name, const struct cis_value *args,
                           size_t nargs, struct cis_value *results, size_t *inout_nresults,
                           struct cis_error *err)
{
    CIS_TRY(cis_lib_here(instance->module->runtime, err));
    enum { SLOTS = 64 };
    union cis_slot io[SLOTS] = {0};
    const struct cis_extern *export =
        cis_engine_module_export(instance->q.request.module, cis_str_of(name));
    if (cis_engine_module_info(instance->q.request.module)->component) {
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "%s: functions of a component cannot be called "
                        "with numbers",
                        name);
    }
    if (export == NULL || export->kind != CIS_EXTERN_FUNC) {
        return cis_fail(err, CIS_E_ENTRY, "no exported function %s", name);
    }
    const char *types = strchr(export->type, ':') + 1;
    size_t nresults = strlen(types), room = inout_nresults != NULL ? *inout_nresults : 0;
    if (nargs > SLOTS || nresults > SLOTS || strpbrk(export->type, "vr") != NULL) {
        return cis_fail(err, CIS_E_UNSUPPORTED, "%s: type %s cannot be called with numbers", name,
                        export->type);
    }
    if (nresults > room) {
        return cis_fail(err, CIS_E_USAGE, "%s: gives %zu results, there is room for %zu", name,
                        nresults, room);
    }
    CIS_TRY(take_args(export, args, nargs, io, err));
    CIS_TRY(cis_session_enter(instance->session, name, err));
    cis_code code = perform(instance, export, io, err);
    cis_session_leave(instance->session);
    if (code == CIS_OK) {
        give_results(types, io, results);
    }
    if (code == CIS_OK && inout_nresults != NULL) {
        *inout_nresults = nresults;
    }
    if (instance->doomed) {
        cis_instance_free(instance);
    }
    return code;
}

uint64_t cis_instance_memory_size(cis_instance *instance)
{
    cis_engine_instance *inner = cis_session_instance(instance->session);
    return inner != NULL ? cis_engine_instance_memory_size(inner) : 0;
}

/* A callback of a service may ask while the instance is closed: its memory is gone then. */
static cis_code span(cis_instance *instance, uint64_t offset, size_t len, const char *what,
                     const void **out_at, struct cis_error *err)
{
    cis_engine_instance *inner = cis_session_instance(instance->session);
    return inner != NULL ? cis_engine_instance_span(inner, offset, len, what, out_at, err)
                         : cis_fail(err, CIS_E_USAGE, "%s: the instance is being closed", what);
}

cis_code cis_instance_read_memory(cis_instance *instance, uint64_t offset, void *out, size_t len,
                                  struct cis_error *err)
{
    const void *at;
    CIS_TRY(span(instance, offset, len, "read", &at, err));
    memcpy(out, at, len);
    return CIS_OK;
}

cis_code cis_instance_write_memory(cis_instance *instance, uint64_t offset, const void *data,
                                   size_t len, struct cis_error *err)
{
    const void *at;
    CIS_TRY(span(instance, offset, len, "write", &at, err));
    memcpy(cis_engine_instance_out(cis_session_instance(instance->session), offset, len), data,
           len);
    return CIS_OK;
}
