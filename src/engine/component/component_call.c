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

const struct cis_ifacefn *cis_guest_row(const cis_guest *guest)
{
    return guest->row;
}

cis_code cis_handle_refuse(cis_guest *guest, const struct cis_ifacefn *row)
{
    return cis_guest_ended(guest, CIS_E_INTERNAL, NULL, 0, 0,
                           "%s.%s: internal error: a handle of another kind than its type says",
                           row->interface, row->name);
}

/* An owned one is the handler's; its maker may want to know. */
static cis_code take(cis_guest *guest, const struct cis_bound_iface *bound, cis_val *val,
                     struct cis_error *err)
{
    uint32_t kind;
    bool owned, fits = false;
    CIS_TRY(cis_val_take_resource(guest, val, &kind, &owned, err));
    for (size_t i = 0; i < bound->nof && !fits; i++) {
        fits = cis_handle_fits(guest, bound->of[i], kind, cis_val_rep(val));
    }
    if (!fits) {
        return cis_handle_refuse(guest, bound->row);
    }
    const struct cis_component_program *p = cis_component_of(guest->program);
    if (owned && p->given != NULL) {
        p->given(guest, kind, cis_val_rep(val));
    }
    return CIS_OK;
}

static cis_code drop(cis_guest *guest, const struct cis_bound_iface *bound, cis_val *val,
                     struct cis_error *err)
{
    (void)bound;
    return cis_val_drop_resource(guest, val, err);
}

static cis_code each_arg(cis_guest *guest, const struct cis_bound_iface *bound, cis_val *args,
                         size_t nargs, cis_val_act *act, struct cis_error *err)
{
    for (size_t i = 0; i < nargs; i++) {
        CIS_TRY(cis_val_each_resource(guest, bound, cis_val_nth_mut(args, i), act, err));
    }
    return CIS_OK;
}

/* A call between the C structs of its layout. */
struct structs_call {
    _Alignas(max_align_t) uint8_t args[CIS_LAYOUT_MAX];
    _Alignas(max_align_t) uint8_t result[CIS_LAYOUT_MAX];
};

static cis_code call_structs(cis_guest *guest, const struct cis_bound_iface *bound, cis_val *args,
                             cis_val *result, struct cis_error *err)
{
    CIS_CLEANUP(cis_layout_lists_done) struct cis_layout_lists lists = {0};
    struct structs_call c;
    memset(c.args, 0, bound->row->args_size);
    memset(c.result, 0, bound->row->result_size);
    CIS_TRY(cis_layout_decode(guest, bound->layout, args, &lists, c.args, err));
    CIS_TRY(bound->row->structs(guest, c.args, c.result, err));
    return cis_layout_encode(guest, bound->layout, c.result, result, err);
}

static cis_code refuse_structs(cis_guest *guest, const struct cis_bound_iface *bound,
                               cis_val *result, struct cis_error *err)
{
    const struct cis_ifacefn *row = bound->row;
    struct structs_call c = {0};
    if (row->denied < 0 || !cis_layout_denied(bound->layout, (uint32_t)row->denied, c.result)) {
        return cis_guest_ended(guest, CIS_E_DENIED, NULL, 0, 0,
                               "%s.%s: refused by policy, and the call has no way to say so",
                               row->interface, row->name);
    }
    return cis_layout_encode(guest, bound->layout, c.result, result, err);
}

static cis_code refuse(cis_guest *guest, const struct cis_bound_iface *bound, cis_val *args,
                       size_t nargs, cis_val *result, struct cis_error *err)
{
    guest->grants_refused[bound->row->grant]++;
    if (bound->layout != NULL) {
        CIS_TRY(each_arg(guest, bound, args, nargs, drop, err));
        return refuse_structs(guest, bound, result, err);
    }
    CIS_TRY(bound->row->refuse(guest, args, result, err));
    return bound->takes_resources ? each_arg(guest, bound, args, nargs, drop, err) : CIS_OK;
}

static cis_code call(cis_guest *guest, const struct cis_bound_iface *bound, cis_val *args,
                     size_t nargs, cis_val *result, struct cis_error *err)
{
    const struct cis_ifacefn *row = bound->row;
    guest->grants_used[row->grant]++;
    guest->host_calls++;
    if (bound->metered) {
        CIS_TRY(cis_guest_burn(guest, row->cost, NULL));
    }
    if (bound->layout != NULL) {
        return call_structs(guest, bound, args, result, err);
    }
    if (bound->takes_resources) {
        CIS_TRY(each_arg(guest, bound, args, nargs, take, err));
    }
    guest->row = row;
    return row->handler(guest, args, result, err);
}

static cis_code perform(cis_guest *guest, const struct cis_bound_iface *bound, cis_val *args,
                        size_t nargs, cis_val *result)
{
    struct cis_error err = {0};
    cis_code code = (guest->grants & bound->grant_bit) != bound->grant_bit
                        ? refuse(guest, bound, args, nargs, result, &err)
                        : call(guest, bound, args, nargs, result, &err);
    if (code != CIS_OK) {
        err.code = code;
        return cis_guest_ended_with(guest, &err);
    }
    return guest->end.code;
}

wasmtime_error_t *cis_iface_trampoline(void *env, wasmtime_context_t *context,
                                       const wasmtime_component_func_type_t *type,
                                       wasmtime_component_val_t *args, size_t nargs,
                                       wasmtime_component_val_t *results, size_t nresults)
{
    (void)type;
    const struct cis_bound_iface *bound = env;
    cis_guest *guest = wasmtime_context_get_data(context);
    cis_val *in = (cis_val *)args;
    cis_val *out = nresults != 0 ? (cis_val *)results : NULL;
    uint64_t before = guest->values_bytes, start = 0;
    if (guest->trace_iface != NULL) {
        start = cis_clock_mono_ns();
    }
    cis_code code = CIS_HOOKED(guest, values)
                        ? guest->hooks->values(guest, bound, in, nargs, out, perform)
                        : perform(guest, bound, in, nargs, out);
    if (guest->trace_iface != NULL) {
        guest->trace_iface(guest->trace_self, bound->row, in, nargs, out, code,
                           cis_clock_mono_ns() - start);
    }
    cis_budget_release(guest->budget, guest->values_bytes - before);
    guest->values_bytes = before;
    return code == CIS_OK ? NULL : wasmtime_error_new(guest->end.error.msg);
}

/* ---- instances and calls ---- */

uint64_t cis_guest_hostcall_max(const cis_guest *guest)
{
    /* A list of bytes costs the host nearly three times what the engine counts for it: within a
     * third of the budget, what one call decodes stays within the budget. */
    uint64_t third = guest->limits.host_bytes / 3;
    return third < HOSTCALL_MAX ? third : HOSTCALL_MAX;
}

uint64_t cis_guest_handles_max(const cis_guest *guest)
{
    uint64_t handles = guest->limits.host_bytes / HANDLE_BYTES;
    return handles < HANDLES_MAX ? handles : HANDLES_MAX;
}

void cis_component_limits(cis_guest *guest)
{
    cis_glue_store_hostcall_fuel(guest->store, cis_guest_hostcall_max(guest));
    cis_glue_store_max_handles(guest->store, cis_guest_handles_max(guest) + HANDLES_MORE);
}

wasmtime_error_t *cis_component_instantiate(cis_guest *guest, wasm_trap_t **out_trap)
{
    (void)out_trap;
    return cis_glue_pre_instantiate(cis_component_of(guest->program)->pre, guest->context,
                                    &guest->component);
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

bool cis_component_broke(cis_guest *guest, const struct cis_error *text)
{
    uint64_t max = cis_guest_hostcall_max(guest);
    if (!too_much_for_one_call(text)) {
        return false;
    }
    (void)cis_guest_limit(guest, CIS_E_BUDGET, "host-call", max, max + 1, NULL);
    return true;
}

struct cis_vals {
    cis_guest *guest;
    uint64_t before; /* the guest's values_bytes */
    size_t n;
    wasmtime_component_val_t result;
    wasmtime_component_val_t args[ARGS_MAX];
};

cis_code cis_vals_new(cis_guest *guest, size_t nargs, cis_vals **out_vals, struct cis_error *err)
{
    if (nargs > ARGS_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "more than %u arguments", ARGS_MAX);
    }
    cis_vals *vals = cis_zalloc(sizeof *vals); /* zero is the engine's "false": a plain value */
    if (vals == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "call: out of memory");
    }
    vals->guest = guest;
    vals->before = guest->values_bytes;
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
    cis_budget_release(vals->guest->budget, vals->guest->values_bytes - vals->before);
    vals->guest->values_bytes = vals->before;
    cis_free(vals);
}

void cis_vals_drop(cis_vals *vals)
{
    for (size_t i = 0; i < vals->n; i++) {
        (void)cis_val_each_resource(vals->guest, NULL, cis_vals_arg(vals, i), drop, NULL);
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
static bool find_func(cis_guest *guest, struct cis_str name, wasmtime_component_func_t *out)
{
    wasmtime_component_export_index_t *outer = NULL, *index;
    struct cis_str interface;
    if (memchr(name.ptr, '#', name.len) != NULL && cis_str_split(&name, '#', &interface)) {
        outer = wasmtime_component_instance_get_export_index(&guest->component, guest->context,
                                                             NULL, interface.ptr, interface.len);
        if (outer == NULL) {
            return false;
        }
    }
    index = wasmtime_component_instance_get_export_index(&guest->component, guest->context, outer,
                                                         name.ptr, name.len);
    bool found = index != NULL && wasmtime_component_instance_get_func(&guest->component,
                                                                       guest->context, index, out);
    if (index != NULL) {
        wasmtime_component_export_index_delete(index);
    }
    if (outer != NULL) {
        wasmtime_component_export_index_delete(outer);
    }
    return found;
}

/* CIS_E_ENTRY: it has another one. A text too long to be kept is one too. */
static cis_code has_type(cis_guest *guest, const wasmtime_component_func_t *func, const char *type,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_TYPE_TEXT_MAX);
    wasmtime_component_func_type_t *t = wasmtime_component_func_type(func, guest->context);
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

static wasmtime_error_t *call_now(cis_guest *guest, void *arg)
{
    struct component_call *c = arg;
    return wasmtime_component_func_call(c->func, guest->context, c->vals->args, c->vals->n,
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

static wasmtime_error_t *call_text(cis_guest *guest, void *arg)
{
    struct text_call *c = arg;
    wasmtime_error_t *error = NULL;
    c->status = cis_glue_wave_call(c->func, guest->context, c->text.ptr, c->text.len,
                                   RESULT_TEXT_MAX, &c->out, &c->at, &error);
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

static cis_code called(cis_guest *guest, const struct cis_export_call *call, struct cis_error *err)
{
    return CIS_HOOKED(guest, export_called) ? guest->hooks->export_called(guest, call, err)
                                            : CIS_OK;
}

/* The call's own code counts before that of the hook. */
static cis_code returned(cis_guest *guest, const struct cis_export_call *call,
                         struct cis_bytes text, cis_code code, struct cis_error *err)
{
    if (!CIS_HOOKED(guest, export_returned)) {
        return code;
    }
    cis_code noted =
        guest->hooks->export_returned(guest, call, text, code, code == CIS_OK ? err : NULL);
    return code != CIS_OK ? code : noted;
}

cis_code cis_component_call_text(cis_guest *guest, struct cis_str name, struct cis_str text,
                                 struct cis_buf *out, struct cis_error *err)
{
    if (guest->end.code != CIS_OK) {
        return cis_guest_end_fail(guest, err);
    }
    wasmtime_component_func_t func;
    struct text_call c = {.func = &func, .text = text};
    if (guest->program->image->component == NULL || !find_func(guest, name, &func)) {
        return cis_fail(err, CIS_E_ENTRY, "exports no function " CIS_STR_FMT, CIS_STR_ARG(name));
    }
    if (memchr(text.ptr, '(', text.len) == NULL) { /* only its name: show what it takes */
        cis_glue_wave_type(&func, guest->context, text.ptr, text.len, TYPE_TEXT_MAX, &c.out);
        cis_code code =
            cis_fail(err, CIS_E_USAGE, "%.*s", c.out.len < 400 ? (int)c.out.len : 400, c.out.ptr);
        cis_glue_text_free(&c.out);
        return code;
    }
    const struct cis_export_call call = {.name = name, .text = text};
    CIS_TRY(called(guest, &call, err));
    cis_code code = cis_guest_execute(guest, call_text, &c, err);
    if (code == CIS_OK && c.status != CIS_GLUE_WAVE_OK) {
        code = text_wrong(&c, err);
    } else if (code == CIS_OK) {
        cis_buf_add(out, c.out.ptr, c.out.len);
        code = cis_buf_check(out, "result", err);
    }
    code = returned(guest, &call, cis_bytes_of(c.out.ptr, c.out.len), code, err);
    cis_glue_text_free(&c.out);
    return code;
}

cis_code cis_component_call(cis_guest *guest, struct cis_str name, const char *type, cis_vals *vals,
                            struct cis_error *err)
{
    if (guest->end.code != CIS_OK) {
        return cis_guest_end_fail(guest, err);
    }
    wasmtime_component_func_t func;
    cis_code typed = guest->program->image->component == NULL || !find_func(guest, name, &func)
                         ? CIS_E_ENTRY
                         : has_type(guest, &func, type, err);
    if (typed != CIS_OK && typed != CIS_E_ENTRY) {
        return typed;
    }
    if (typed != CIS_OK) {
        return cis_fail(err, CIS_E_ENTRY, "%s: exports no function " CIS_STR_FMT " of type %s",
                        guest->program->image->name, CIS_STR_ARG(name), type);
    }
    struct component_call c = {&func, vals, strstr(type, ") -> ") != NULL};
    const struct cis_export_call call = {
        .name = name, .type = type, .vals = vals, .nvals = vals->n};
    CIS_TRY(called(guest, &call, err));
    cis_code code = cis_guest_execute(guest, call_now, &c, err);
    return returned(guest, &call, cis_bytes_of(NULL, 0), code, err);
}
