/* Components: the trampoline of typed host calls, their limits, and typed calls into the guest. */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/component/layout.h"

#define HOSTCALL_MAX (128ull << 20)
#define HANDLE_BYTES 4096u
#define HANDLES_MAX 100000u
#define HANDLES_MORE 64u /* the engine counts its own too, and ends after those with a name */
#define ARGS_MAX 32u

/* ---- host calls ---- */

const struct cis_ifacefn *cis_engine_instance_row(const cis_engine_instance *instance)
{
    return instance->row;
}

cis_code cis_handle_refuse(cis_engine_instance *instance, const struct cis_ifacefn *row)
{
    return cis_engine_instance_ended(
        instance, CIS_E_INTERNAL, NULL, 0, 0,
        "%s.%s: internal error: a handle of another kind than its type says", row->interface,
        row->name);
}

/* An owned one is the handler's; its maker may want to know. */
static cis_code take(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                     cis_val *val, struct cis_error *err)
{
    uint32_t kind;
    bool owned, fits = false;
    CIS_TRY(cis_val_take_resource(instance, val, &kind, &owned, err));
    for (size_t i = 0; i < bound->nof && !fits; i++) {
        fits = cis_handle_fits(instance, bound->of[i], kind, cis_val_rep(val));
    }
    if (!fits) {
        return cis_handle_refuse(instance, bound->row);
    }
    const struct cis_component_program *p = cis_component_of(instance->program);
    if (owned && p->given != NULL) {
        p->given(instance, kind, cis_val_rep(val));
    }
    return CIS_OK;
}

static cis_code drop(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                     cis_val *val, struct cis_error *err)
{
    (void)bound;
    return cis_val_drop_resource(instance, val, err);
}

static cis_code each_arg(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                         cis_val *args, size_t nargs, cis_val_act *act, struct cis_error *err)
{
    for (size_t i = 0; i < nargs; i++) {
        CIS_TRY(cis_val_each_resource(instance, bound, cis_val_nth_mut(args, i), act, err));
    }
    return CIS_OK;
}

/* A call between the C structs of its layout. */
struct structs_call {
    _Alignas(max_align_t) uint8_t args[CIS_LAYOUT_MAX];
    _Alignas(max_align_t) uint8_t result[CIS_LAYOUT_MAX];
};

static cis_code call_structs(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                             cis_val *args, cis_val *result, struct cis_error *err)
{
    CIS_CLEANUP(cis_layout_lists_done) struct cis_layout_lists lists = {0};
    struct structs_call c;
    memset(c.args, 0, bound->row->args_size);
    memset(c.result, 0, bound->row->result_size);
    CIS_TRY(cis_layout_decode(instance, bound->layout, args, &lists, c.args, err));
    CIS_TRY(bound->row->structs(instance, c.args, c.result, err));
    return cis_layout_encode(instance, bound->layout, c.result, result, err);
}

static cis_code refuse_structs(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                               cis_val *result, struct cis_error *err)
{
    const struct cis_ifacefn *row = bound->row;
    struct structs_call c = {0};
    if (row->denied < 0 || !cis_layout_denied(bound->layout, (uint32_t)row->denied, c.result)) {
        return cis_engine_instance_ended(
            instance, CIS_E_DENIED, NULL, 0, 0,
            "%s.%s: refused by policy, and the call has no way to say so", row->interface,
            row->name);
    }
    return cis_layout_encode(instance, bound->layout, c.result, result, err);
}

static cis_code refuse(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                       cis_val *args, size_t nargs, cis_val *result, struct cis_error *err)
{
    instance->grants_refused[bound->row->grant]++;
    if (bound->layout != NULL) {
        CIS_TRY(each_arg(instance, bound, args, nargs, drop, err));
        return refuse_structs(instance, bound, result, err);
    }
    CIS_TRY(bound->row->refuse(instance, args, result, err));
    return bound->takes_resources ? each_arg(instance, bound, args, nargs, drop, err) : CIS_OK;
}

static cis_code call(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                     cis_val *args, size_t nargs, cis_val *result, struct cis_error *err)
{
    const struct cis_ifacefn *row = bound->row;
    instance->grants_used[row->grant]++;
    instance->host_calls++;
    if (bound->metered) {
        CIS_TRY(cis_engine_instance_burn(instance, row->cost, NULL));
    }
    if (bound->layout != NULL) {
        return call_structs(instance, bound, args, result, err);
    }
    if (bound->takes_resources) {
        CIS_TRY(each_arg(instance, bound, args, nargs, take, err));
    }
    instance->row = row;
    return row->handler(instance, args, result, err);
}

static cis_code perform(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                        cis_val *args, size_t nargs, cis_val *result)
{
    struct cis_error err = {0};
    cis_code code = (instance->grants & bound->grant_bit) != bound->grant_bit
                        ? refuse(instance, bound, args, nargs, result, &err)
                        : call(instance, bound, args, nargs, result, &err);
    if (code != CIS_OK) {
        err.code = code;
        return cis_engine_instance_ended_with(instance, &err);
    }
    return instance->end.code;
}

wasmtime_error_t *cis_iface_trampoline(void *env, wasmtime_context_t *context,
                                       const wasmtime_component_func_type_t *type,
                                       wasmtime_component_val_t *args, size_t nargs,
                                       wasmtime_component_val_t *results, size_t nresults)
{
    (void)type;
    const struct cis_bound_iface *bound = env;
    cis_engine_instance *instance = wasmtime_context_get_data(context);
    cis_val *in = (cis_val *)args;
    cis_val *out = nresults != 0 ? (cis_val *)results : NULL;
    uint64_t before = instance->values_bytes, start = 0;
    if (instance->trace_iface != NULL) {
        start = cis_clock_mono_ns();
    }
    cis_code code = CIS_HOOKED(instance, values)
                        ? instance->hooks->values(instance, bound, in, nargs, out, perform)
                        : perform(instance, bound, in, nargs, out);
    if (instance->trace_iface != NULL) {
        instance->trace_iface(instance->trace_self, bound->row, in, nargs, out, code,
                              cis_clock_mono_ns() - start);
    }
    cis_budget_release(instance->budget, instance->values_bytes - before);
    instance->values_bytes = before;
    return code == CIS_OK ? NULL : wasmtime_error_new(instance->end.error.msg);
}

/* ---- instances and calls ---- */

uint64_t cis_engine_instance_hostcall_max(const cis_engine_instance *instance)
{
    return instance->hostcall_max;
}

static void set_hostcall_max(cis_engine_instance *instance, uint64_t max)
{
    instance->hostcall_max = max;
    cis_glue_store_hostcall_fuel(instance->store, max);
}

/* Divided by what such values cost, what one call decodes stays within the budget. */
static uint64_t hostcall_max(const cis_engine_instance *instance, uint32_t cost)
{
    uint64_t part = instance->limits.host_bytes / cost;
    return part < HOSTCALL_MAX ? part : HOSTCALL_MAX;
}

/* For a call of this export: its result, and arguments of the imports that it calls. Returns what
 * was there before, which is to be there after it. */
static uint64_t fit_result(cis_engine_instance *instance, const wasmtime_component_func_t *func)
{
    uint64_t before = instance->hostcall_max;
    wasmtime_component_func_type_t *type = wasmtime_component_func_type(func, instance->context);
    uint64_t max = hostcall_max(instance, cis_cost_of_result(type));
    wasmtime_component_func_type_delete(type);
    if (max < before) {
        set_hostcall_max(instance, max);
    }
    return before;
}

uint64_t cis_engine_instance_handles_max(const cis_engine_instance *instance)
{
    uint64_t handles = instance->limits.host_bytes / HANDLE_BYTES;
    return handles < HANDLES_MAX ? handles : HANDLES_MAX;
}

void cis_component_limits(cis_engine_instance *instance)
{
    uint32_t cost = cis_component_of(instance->program)->cost;
    set_hostcall_max(instance, hostcall_max(instance, cost));
    cis_glue_store_max_handles(instance->store,
                               cis_engine_instance_handles_max(instance) + HANDLES_MORE);
}

wasmtime_error_t *cis_component_instantiate(cis_engine_instance *instance, wasm_trap_t **out_trap)
{
    (void)out_trap;
    return cis_glue_pre_instantiate(cis_component_of(instance->program)->pre, instance->context,
                                    &instance->component);
}

/* The engine counts what it decodes for one call of a component and says no by an error without a
 * code: its last words are all there is. They are of the pinned engine, and a test fails when they
 * change. */
static bool too_much_for_one_call(const struct cis_error *error)
{
    static const char words[] = ": too much data is being copied between the host and the guest: "
                                "fuel allocated for hostcalls has been exhausted";
    size_t len = strlen(error->msg);
    return len >= sizeof words - 1 && strcmp(error->msg + len - (sizeof words - 1), words) == 0;
}

bool cis_component_broke(cis_engine_instance *instance, const struct cis_error *text)
{
    uint64_t max = cis_engine_instance_hostcall_max(instance);
    if (!too_much_for_one_call(text)) {
        return false;
    }
    (void)cis_engine_instance_limit(instance, CIS_E_BUDGET, "host-call", max, max + 1, NULL);
    return true;
}

struct cis_vals {
    cis_engine_instance *instance;
    uint64_t before; /* the guest's values_bytes */
    size_t n;
    wasmtime_component_val_t result;
    wasmtime_component_val_t args[ARGS_MAX];
};

cis_code cis_vals_new(cis_engine_instance *instance, size_t nargs, cis_vals **out_vals,
                      struct cis_error *err)
{
    if (nargs > ARGS_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "more than %u arguments", ARGS_MAX);
    }
    cis_vals *vals = cis_zalloc(sizeof *vals); /* zero is the engine's "false": a plain value */
    if (vals == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "call: out of memory");
    }
    vals->instance = instance;
    vals->before = instance->values_bytes;
    vals->n = nargs;
    *out_vals = vals;
    return CIS_OK;
}

void cis_vals_free(cis_vals *vals)
{
    if (vals == NULL) {
        return;
    }
    for (size_t i = 0; i < vals->n; i++) {
        wasmtime_component_val_delete(&vals->args[i]);
    }
    wasmtime_component_val_delete(&vals->result);
    cis_budget_release(vals->instance->budget, vals->instance->values_bytes - vals->before);
    vals->instance->values_bytes = vals->before;
    cis_free(vals);
}

void cis_vals_drop(cis_vals *vals)
{
    for (size_t i = 0; i < vals->n; i++) {
        (void)cis_val_each_resource(vals->instance, NULL, cis_vals_arg(vals, i), drop, NULL);
    }
}

cis_val *cis_vals_arg(cis_vals *vals, size_t i)
{
    return (cis_val *)&vals->args[i];
}

const cis_val *cis_vals_result(const cis_vals *vals)
{
    return (const cis_val *)&vals->result;
}

/* "f", or "interface#f" for a function of an exported interface. */
static bool find_func(cis_engine_instance *instance, struct cis_str name,
                      wasmtime_component_func_t *out)
{
    wasmtime_component_export_index_t *outer = NULL, *index;
    struct cis_str interface;
    if (memchr(name.ptr, '#', name.len) != NULL && cis_str_split(&name, '#', &interface)) {
        outer = wasmtime_component_instance_get_export_index(
            &instance->component, instance->context, NULL, interface.ptr, interface.len);
        if (outer == NULL) {
            return false;
        }
    }
    index = wasmtime_component_instance_get_export_index(&instance->component, instance->context,
                                                         outer, name.ptr, name.len);
    bool found = index != NULL && wasmtime_component_instance_get_func(
                                      &instance->component, instance->context, index, out);
    if (index != NULL) {
        wasmtime_component_export_index_delete(index);
    }
    if (outer != NULL) {
        wasmtime_component_export_index_delete(outer);
    }
    return found;
}

/* CIS_E_ENTRY: it has another one. A text too long to be kept is one too. */
static cis_code has_type(cis_engine_instance *instance, const wasmtime_component_func_t *func,
                         const char *type, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_TYPE_TEXT_MAX);
    wasmtime_component_func_type_t *t = wasmtime_component_func_type(func, instance->context);
    cis_functext(t, NULL, &text);
    wasmtime_component_func_type_delete(t);
    if (text.failed == CIS_E_NOMEM) {
        return cis_buf_check(&text, type, err);
    }
    return text.failed == CIS_OK && strcmp(cis_buf_cstr(&text), type) == 0 ? CIS_OK : CIS_E_ENTRY;
}

struct component_call {
    const wasmtime_component_func_t *func;
    cis_vals *vals;
    bool has_result;
};

static wasmtime_error_t *call_now(cis_engine_instance *instance, void *arg)
{
    struct component_call *c = arg;
    return wasmtime_component_func_call(c->func, instance->context, c->vals->args, c->vals->n,
                                        &c->vals->result, c->has_result);
}

/* ---- calls as text ---- */

/* What a type says of itself, and a result: names of types are repeated with each value. */
#define TYPE_TEXT_MAX 65536u
#define RESULT_TEXT_MAX (256u << 20)

struct text_call {
    const wasmtime_component_func_t *func;
    struct cis_str text;
    struct cis_glue_text out;
    size_t at;
    int status;
};

/* The end of the run is noted where it is not. */
static bool go_on(void *arg)
{
    return cis_engine_instance_pause(arg) == CIS_OK;
}

static wasmtime_error_t *call_text(cis_engine_instance *instance, void *arg)
{
    struct text_call *c = arg;
    wasmtime_error_t *error = NULL;
    c->status = cis_glue_wave_call(c->func, instance->context, c->text.ptr, c->text.len,
                                   RESULT_TEXT_MAX, go_on, instance, &c->out, &c->at, &error);
    return c->status == CIS_GLUE_WAVE_CALL ? error : NULL;
}

static cis_code text_wrong(const struct text_call *c, struct cis_error *err)
{
    int n = c->out.len < 300 ? (int)c->out.len : 300;
    if (c->status == CIS_GLUE_WAVE_MEMORY) {
        return cis_fail(err, CIS_E_NOMEM, CIS_STR_FMT ": no memory for its result as text",
                        CIS_STR_ARG(c->text));
    }
    if (c->status == CIS_GLUE_WAVE_LARGE) {
        return cis_fail(err, CIS_E_LIMIT,
                        CIS_STR_FMT ": its result is larger than %u bytes as text",
                        CIS_STR_ARG(c->text), RESULT_TEXT_MAX);
    }
    return c->status == CIS_GLUE_WAVE_TYPE
               ? cis_fail(err, CIS_E_UNSUPPORTED,
                          CIS_STR_FMT ": its type has %.*s, which cannot be written as text",
                          CIS_STR_ARG(c->text), n, c->out.ptr)
               : cis_fail(err, CIS_E_USAGE, CIS_STR_FMT ": at %zu: %.*s", CIS_STR_ARG(c->text),
                          c->at + 1, n, c->out.ptr);
}

static cis_code called(cis_engine_instance *instance, const struct cis_export_call *call,
                       struct cis_error *err)
{
    return CIS_HOOKED(instance, export_called) ? instance->hooks->export_called(instance, call, err)
                                               : CIS_OK;
}

/* The call's own code counts before that of the hook. */
static cis_code returned(cis_engine_instance *instance, const struct cis_export_call *call,
                         struct cis_bytes text, cis_code code, struct cis_error *err)
{
    if (!CIS_HOOKED(instance, export_returned)) {
        return code;
    }
    cis_code noted =
        instance->hooks->export_returned(instance, call, text, code, code == CIS_OK ? err : NULL);
    return code != CIS_OK ? code : noted;
}

cis_code cis_component_call_text(cis_engine_instance *instance, struct cis_str name,
                                 struct cis_str text, struct cis_buf *out, struct cis_error *err)
{
    if (instance->end.code != CIS_OK) {
        return cis_engine_instance_end_fail(instance, err);
    }
    wasmtime_component_func_t func;
    struct text_call c = {.func = &func, .text = text};
    if (instance->program->module->component == NULL || !find_func(instance, name, &func)) {
        return cis_fail(err, CIS_E_ENTRY, "exports no function " CIS_STR_FMT, CIS_STR_ARG(name));
    }
    if (memchr(text.ptr, '(', text.len) == NULL) { /* only its name: show what it takes */
        cis_glue_wave_type(&func, instance->context, text.ptr, text.len, TYPE_TEXT_MAX, &c.out);
        cis_code code =
            cis_fail(err, CIS_E_USAGE, "%.*s", c.out.len < 400 ? (int)c.out.len : 400, c.out.ptr);
        cis_glue_text_free(&c.out);
        return code;
    }
    const struct cis_export_call call = {.name = name, .text = text};
    CIS_TRY(called(instance, &call, err));
    uint64_t max = fit_result(instance, &func);
    cis_code code = cis_engine_instance_execute(instance, call_text, &c, err);
    set_hostcall_max(instance, max);
    if (code == CIS_OK && c.status != CIS_GLUE_WAVE_OK) {
        code = text_wrong(&c, err);
    } else if (code == CIS_OK) {
        cis_buf_add(out, c.out.ptr, c.out.len);
        code = cis_buf_check(out, "result", err);
    }
    code = returned(instance, &call, cis_bytes_of(c.out.ptr, c.out.len), code, err);
    cis_glue_text_free(&c.out);
    return code;
}

cis_code cis_component_call(cis_engine_instance *instance, struct cis_str name, const char *type,
                            cis_vals *vals, struct cis_error *err)
{
    if (instance->end.code != CIS_OK) {
        return cis_engine_instance_end_fail(instance, err);
    }
    wasmtime_component_func_t func;
    cis_code typed =
        instance->program->module->component == NULL || !find_func(instance, name, &func)
            ? CIS_E_ENTRY
            : has_type(instance, &func, type, err);
    if (typed != CIS_OK && typed != CIS_E_ENTRY) {
        return typed;
    }
    if (typed != CIS_OK) {
        return cis_fail(err, CIS_E_ENTRY, "%s: exports no function " CIS_STR_FMT " of type %s",
                        instance->program->module->name, CIS_STR_ARG(name), type);
    }
    struct component_call c = {&func, vals, strstr(type, ") -> ") != NULL};
    const struct cis_export_call call = {
        .name = name, .type = type, .vals = vals, .nvals = vals->n};
    CIS_TRY(called(instance, &call, err));
    uint64_t max = fit_result(instance, &func);
    cis_code code = cis_engine_instance_execute(instance, call_now, &c, err);
    set_hostcall_max(instance, max);
    return returned(instance, &call, cis_bytes_of(NULL, 0), code, err);
}
