/* Skills as components: which interfaces they may import (cis:skill and WASI 0.2), their entry
 * point
 * (`run`, or wasi:cli/run of a command), and the call. Versions follow semantic versioning: 0.1.x
 * is one interface, whatever x. */
#include <stdio.h>
#include "base/json.h"
#include "base/json_write.h"
#include "skillabi/call.h"
#include "wasi/p2/p2.h"

#define RUN_TYPE "func(string) -> result<string, string>"
#define COMMAND_TYPE "func() -> result"

/* ---- names ---- */

/* The table that has this interface, and in *out_grants what all its functions together need. */
static const struct cis_iface_table *table_of(struct cis_str interface, uint32_t *out_grants)
{
    size_t n;
    const struct cis_iface_table *const *tables = cis_skillabi_interfaces(&n);
    struct cis_str version, name = cis_iface_version(interface, &version);
    for (size_t t = 0; t < n; t++) {
        bool found = false;
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const struct cis_ifacefn *row = &tables[t]->rows[i];
            if (cis_str_is(name, row->interface)) {
                *out_grants |= row->grant != CIS_GRANT_NONE ? CIS_GRANT_BIT(row->grant) : 0;
                found = true;
            }
        }
        if (found && cis_iface_fits(version, cis_str_of(tables[t]->version))) {
            return tables[t];
        }
    }
    return NULL;
}

struct which { /* of WASI 0.2 */
    bool none;
    uint32_t features;
};

static const struct cis_ifacefn *resolve(void *self, struct cis_str interface, struct cis_str name)
{
    const struct which *which = self;
    bool off = which->none || cis_wasi_p2_off(which->features, interface, name) != NULL;
    const struct cis_ifacefn *wasi = off ? NULL : cis_wasi_p2_function(interface, name);
    if (wasi != NULL) {
        return wasi;
    }
    uint32_t grants = 0;
    const struct cis_iface_table *table = table_of(interface, &grants);
    struct cis_str version, plain = cis_iface_version(interface, &version);
    for (size_t i = 0; table != NULL && i < table->nrows; i++) {
        const struct cis_ifacefn *row = &table->rows[i];
        if (cis_str_is(plain, row->interface) && cis_str_is(name, row->name)) {
            return row;
        }
    }
    return NULL;
}

static const struct cis_iface_resource *resource(void *self, struct cis_str interface,
                                                 struct cis_str name)
{
    const struct which *which = self;
    return which->none ? NULL : cis_wasi_p2_resource(interface, name);
}

static const char *off(void *self, struct cis_str interface, struct cis_str name)
{
    const struct which *which = self;
    return which->none ? NULL : cis_wasi_p2_off(which->features, interface, name);
}

static const struct which all_of_it = {.features = CIS_WASI_ALL};
const struct cis_iface_provider cis_skillabi_provider = {
    .function = resolve, .resource = resource, .self = (void *)(uintptr_t)&all_of_it};

/* ---- the plan ---- */

static cis_code refuse_import(const struct cis_extern *import, size_t more, bool no_wasi,
                              struct cis_error *err)
{
    char rest[48] = "";
    int n = import->name.len > 96 ? 96 : (int)import->name.len;
    if (more != 0) {
        snprintf(rest, sizeof rest, " (and %zu more)", more);
    }
    if (cis_wasi_p2_too_new(import->name)) {
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "imports %.*s%s: needs WASI 0.3 (async), which this build does not provide",
                        n, import->name.ptr, rest);
    }
    if (no_wasi && cis_str_starts(import->name, CIS_STR("wasi:"))) {
        return cis_fail(err, CIS_E_IMPORT, "imports %.*s%s: WASI is switched off (enable_wasi)", n,
                        import->name.ptr, rest);
    }
    return cis_fail(err, CIS_E_IMPORT,
                    "imports %.*s (%s)%s, which nothing provides; there is cis:skill@0.1.x, WASI "
                    "0.2, and what is plugged in (cis compose --plug FILE)",
                    n, import->name.ptr, import->type, rest);
}

static void note_abi(struct cis_skillabi_plan *plan, const char *abi)
{
    for (size_t i = 0; i < plan->nabis; i++) {
        if (strcmp(plan->abis[i], abi) == 0) {
            return;
        }
    }
    plan->abis[plan->nabis++] = abi;
}

static cis_code check_imports(const struct cis_engine_module_info *info, bool no_wasi,
                              struct cis_skillabi_plan *plan, struct cis_error *err)
{
    const struct cis_extern *first = NULL;
    size_t missing = 0;
    for (size_t i = 0; i < info->nimports; i++) {
        const struct cis_extern *import = &info->imports[i];
        uint32_t grants = 0;
        bool instance = strcmp(import->type, "instance") == 0;
        const struct cis_iface_table *table = instance ? table_of(import->name, &grants) : NULL;
        if (table != NULL) {
            note_abi(plan, table->abi);
            plan->grants |= grants;
        } else if (instance && !no_wasi && cis_wasi_p2_interface(import->name, &grants)) {
            note_abi(plan, "wasi");
            plan->grants |= grants;
        } else if (strcmp(import->type, "type") != 0) {
            first = first != NULL ? first : import;
            missing++;
        }
    }
    return missing == 0 ? CIS_OK : refuse_import(first, missing - 1, no_wasi, err);
}

static cis_code check_entry(const struct cis_engine_module_info *info,
                            const struct cis_skillabi_options *options,
                            struct cis_skillabi_plan *plan, struct cis_error *err)
{
    const struct cis_extern *run = cis_info_export(info, CIS_STR("run"));
    const char *method = options != NULL ? options->method : NULL;
    if (run != NULL && run->kind == CIS_EXTERN_FUNC &&
        (method == NULL || strcmp(method, "run") == 0)) {
        plan->entry = run->name;
        plan->entry_type = RUN_TYPE;
        note_abi(plan, "cis:skill"); /* also without an import */
        return CIS_OK;
    }
    const struct cis_extern *command = cis_wasi_p2_command(info);
    if (command != NULL && method == NULL) {
        plan->entry = command->name;
        plan->entry_type = COMMAND_TYPE;
        plan->kind = "command";
        return CIS_OK;
    }
    CIS_TRY(cis_wasi_p2_exports_too_new(info, err));
    if (cis_wasi_p2_handler(info) != NULL && method == NULL) {
        return cis_fail(err, CIS_E_ENTRY,
                        "exports wasi:http/incoming-handler: it answers HTTP requests "
                        "(cis_component_handle of libcis), and is neither program nor skill");
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_ERROR_MSG_MAX - 1);
    cis_buf_printf(&text, "a component is entered by its exported function run%s%.64s",
                   method != NULL ? ", not " : ", or wasi:cli/run", method != NULL ? method : "");
    cis_abi_list_exports(info, &text);
    return cis_fail(err, CIS_E_ENTRY, "%s", cis_buf_cstr(&text));
}

cis_code cis_abi_component_plan(const struct cis_engine_module_info *info,
                                const struct cis_skillabi_options *options,
                                struct cis_skillabi_plan *plan, struct cis_error *err)
{
    struct cis_error why = {0};
    plan->kind = "component";
    cis_code imports = check_imports(info, options != NULL && options->no_wasi, plan, err);
    cis_code entry = check_entry(info, options, plan, &why);
    CIS_TRY(imports);
    if (options != NULL && options->abi != NULL && strcmp(options->abi, "cis:skill") != 0) {
        return cis_fail(err, CIS_E_USAGE, "abi %s: is for core modules; a component uses cis:skill",
                        options->abi);
    }
    return entry == CIS_OK ? CIS_OK : cis_fail(err, entry, "%s", why.msg);
}

cis_code cis_abi_component_link(cis_engine_module *module,
                                const struct cis_skillabi_options *options,
                                const struct cis_stop *stop, cis_linked **out_program,
                                struct cis_error *err)
{
    struct cis_skillabi_plan plan = {.allocator = ""};
    CIS_TRY(cis_abi_component_plan(cis_engine_module_info(module), options, &plan, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf type = CIS_BUF_INIT(4096);
    bool command = strcmp(plan.kind, "command") == 0; /* its type is the engine's to compare */
    if (!command) {
        CIS_TRY(cis_component_export_type(module, plan.entry, &type, err));
    }
    if (!command && strcmp(cis_buf_cstr(&type), RUN_TYPE) != 0) {
        return cis_fail(err, CIS_E_ENTRY, "exports run with the type %.120s; it must be %s",
                        cis_buf_cstr(&type), RUN_TYPE);
    }
    struct which which = {0};
    if (options != NULL) {
        which = (struct which){options->no_wasi, options->wasi};
    }
    char id[48];
    snprintf(id, sizeof id, "skill %d %u", which.none, which.features);
    const struct cis_iface_provider provider = {.function = resolve,
                                                .resource = resource,
                                                .self = &which,
                                                .off = off,
                                                .id = cis_iface_provider_id(cis_str_of(id))};
    return cis_component_link(module, &provider, stop, out_program, err);
}

/* ---- the call ---- */

/* ok: the text is the result. err: the skill reported failure, with the text as its reason. */
static cis_code take_result(cis_engine_instance *instance, const struct cis_host *host,
                            const cis_val *value, struct cis_skillabi_result *out,
                            struct cis_error *err)
{
    struct cis_str text = cis_val_text(cis_val_inner(value));
    size_t max = host->output.max > 4096 ? host->output.max : 4096;
    struct cis_skillabi_result result = {.success = cis_val_is_ok(value),
                                         .value = CIS_BUF_INIT(max)};
    result.code = result.success ? 0 : 1;
    if (text.len > host->output.max) {
        return cis_engine_instance_limit(instance, CIS_E_BUDGET, "output", host->output.max,
                                         text.len, err);
    }
    if (result.success) {
        cis_buf_str(&result.value, text);
    } else {
        cis_abi_status_json(&result.value, false, 1, host->skill);
        cis_json_write(&result.value, CIS_JSON(CIS_J("error", text), CIS_J_CLOSE));
    }
    cis_code code = cis_buf_check(&result.value, "result", err);
    if (code != CIS_OK) {
        cis_buf_done(&result.value);
        return code;
    }
    result.is_json = cis_json_valid(result.value.ptr, result.value.len, NULL);
    cis_buf_done(&out->value);
    *out = result;
    return CIS_OK;
}

static cis_code call(cis_engine_instance *instance, struct cis_host *host, cis_vals *vals,
                     struct cis_skillabi_result *out, struct cis_error *err)
{
    struct cis_str input = {(const char *)host->input.ptr, host->input.len};
    cis_code code = cis_val_set_text(instance, cis_vals_arg(vals, 0), input, err);
    if (code == CIS_E_INVALID) {
        return cis_fail(err, CIS_E_USAGE, "input: must be UTF-8, because run takes text");
    }
    if (code == CIS_E_BUDGET) {
        return cis_engine_instance_limit(instance, code, "host-bytes", host->budget.limit,
                                         host->budget.used + 2 * (uint64_t)input.len, err);
    }
    CIS_TRY(code);
    CIS_TRY(cis_component_call(instance, CIS_STR("run"), RUN_TYPE, vals, err));
    return take_result(instance, host, cis_vals_result(vals), out, err);
}

/* Its result is what it returns; what it prints, also while it started, goes to the log. */
static cis_code call_typed(struct cis_abi_call *r, struct cis_skillabi_result *out,
                           struct cis_error *err)
{
    struct cis_host *host = r->host;
    cis_vals *vals = NULL;
    host->output_is_log = true;
    cis_host_stderr(host, cis_buf_bytes(&host->output));
    cis_budget_release(&host->budget, host->output.len);
    cis_buf_reset(&host->output);
    host->output_written = false;
    CIS_TRY(cis_vals_new(r->instance, 1, &vals, err));
    cis_code code = call(r->instance, host, vals, out, err);
    cis_vals_free(vals);
    return code;
}

static cis_code call_command(struct cis_abi_call *r, int64_t *out_code, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(1024);
    cis_vals *vals = NULL;
    cis_buf_str(&name, r->plan.entry);
    cis_buf_text(&name, "#run");
    CIS_TRY(cis_buf_check(&name, "entry", err));
    CIS_TRY(cis_vals_new(r->instance, 0, &vals, err));
    cis_code code = cis_component_call(r->instance, cis_buf_view(&name), COMMAND_TYPE, vals, err);
    *out_code = code == CIS_OK && !cis_val_is_ok(cis_vals_result(vals)) ? 1 : 0;
    cis_vals_free(vals);
    return code;
}

cis_code cis_abi_component_run(struct cis_abi_call *r, struct cis_skillabi_result *out,
                               struct cis_error *err)
{
    int64_t exit = 0;
    cis_code code =
        cis_abi_is(r, "command") ? call_command(r, &exit, err) : call_typed(r, out, err);
    r->exited = cis_engine_instance_end(r->instance)->exited;
    if (r->exited) {
        exit = cis_engine_instance_end(r->instance)->exit_code;
    }
    CIS_TRY(r->exited ? CIS_OK : code);
    return cis_abi_is(r, "command") || r->exited ? cis_abi_conclude(r, exit, false, out, err)
                                                 : CIS_OK;
}
