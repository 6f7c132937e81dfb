/* One call of a skill: its initialisation, its entry point or method, its shutdown. */
#include "skillabi/call.h"

cis_code cis_abi_call_export(struct cis_abi_call *r, struct cis_str name, const char *type,
                             struct cis_error *err)
{
    cis_code code = cis_engine_instance_call(r->instance, name, type, r->io, err);
    if (cis_engine_instance_end(r->instance)->exited) {
        r->exited = true;
        return CIS_OK;
    }
    return code;
}

static const struct cis_extern *export_of(const struct cis_abi_call *r, const char *name)
{
    cis_engine_module *module = cis_linked_module(cis_engine_instance_linked(r->instance));
    return cis_engine_module_export(module, cis_str_of(name));
}

cis_code cis_skillabi_start(cis_engine_instance *instance, struct cis_error *err)
{
    cis_engine_module *module = cis_linked_module(cis_engine_instance_linked(instance));
    const struct cis_extern *e = cis_engine_module_export(module, CIS_STR("_initialize"));
    if (e == NULL || e->kind != CIS_EXTERN_FUNC || strcmp(e->type, ":") != 0) {
        return CIS_OK;
    }
    union cis_slot io[1] = {{.i64 = 0}};
    return cis_engine_instance_call(instance, e->name, e->type, io, err);
}

/* skill_init or skill_shutdown; *out_code 0 when it returns nothing. */
static cis_code call_hook(struct cis_abi_call *r, const char *name, int64_t *out_code,
                          struct cis_error *err)
{
    const struct cis_extern *e = export_of(r, name);
    memset(r->io, 0, sizeof r->io);
    CIS_TRY(cis_abi_call_export(r, e->name, e->type, err));
    *out_code = strcmp(e->type, ":i") == 0 ? r->io[0].i32 : 0;
    return CIS_OK;
}

static cis_code prepare(struct cis_abi_call *r, int64_t *out_code, struct cis_error *err)
{
    bool kept = r->options != NULL && r->options->kept;
    *out_code = 0;
    if (!kept && !cis_abi_is(r, "command")) {
        cis_code code = cis_skillabi_start(r->instance, err);
        r->exited = cis_engine_instance_end(r->instance)->exited;
        CIS_TRY(r->exited ? CIS_OK : code);
    }
    if (kept || r->exited || !r->plan.has_init || cis_str_is(r->plan.entry, "skill_init")) {
        return CIS_OK;
    }
    return call_hook(r, "skill_init", out_code, err);
}

static cis_code run(struct cis_abi_call *r, struct cis_skillabi_result *out, struct cis_error *err)
{
    int64_t code, ignored;
    CIS_TRY(prepare(r, &code, err));
    bool is_code = code != 0; /* of skill_init: the skill is not entered */
    if (!is_code && !r->exited) {
        CIS_TRY(cis_abi_enter(r, err));
        code = r->returned ? r->io[0].i32 : 0;
        bool last = r->plan.has_shutdown && !cis_str_is(r->plan.entry, "skill_shutdown");
        if (!r->exited && last && !(r->options != NULL && r->options->kept)) {
            CIS_TRY(call_hook(r, "skill_shutdown", &ignored, err));
            if (r->exited && cis_engine_instance_end(r->instance)->exit_code == 0) {
                r->exited = false; /* an orderly end after the answer */
            }
        }
    }
    if (r->exited) {
        code = cis_engine_instance_end(r->instance)->exit_code;
    }
    return cis_abi_conclude(r, code, is_code, out, err);
}

cis_code cis_skillabi_run(cis_engine_instance *instance, struct cis_host *host,
                          const struct cis_skillabi_options *options,
                          struct cis_skillabi_result *out, struct cis_error *err)
{
    struct cis_abi_call r = {.instance = instance, .host = host, .options = options};
    r.text = CIS_BUF_INIT(host->output.max);
    host->output_written = host->output.len != 0; /* of the call before, or of a start function */
    const struct cis_engine_module_info *info =
        cis_engine_module_info(cis_linked_module(cis_engine_instance_linked(instance)));
    CIS_TRY(cis_skillabi_plan(info, options, &r.plan, err));
    cis_code code = info->component ? cis_abi_component_run(&r, out, err) : run(&r, out, err);
    cis_buf_done(&r.text);
    return code;
}
