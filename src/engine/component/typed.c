/* Components: host functions with a shape, and resources. The same grants, costs and ends as every
 * other host call has. */
#include "base/clock.h"
#include "engine/component/component_in.h"

/* The glue's structs are the ones that handlers see. */
#define SAME(a, b) _Static_assert((a) == (b), #a " is " #b)
SAME(sizeof(struct cis_typed), sizeof(struct cis_glue_arg));
SAME(offsetof(struct cis_typed, bytes), offsetof(struct cis_glue_arg, span));
SAME(offsetof(struct cis_typed, reps), offsetof(struct cis_glue_arg, reps));
SAME(offsetof(struct cis_typed, kind), offsetof(struct cis_glue_arg, kind));
SAME(sizeof(struct cis_pair), sizeof(struct cis_glue_pair));
SAME(sizeof(struct cis_answer), sizeof(struct cis_glue_out));
SAME(offsetof(struct cis_answer, n), offsetof(struct cis_glue_out, n));
SAME(offsetof(struct cis_answer, bytes), offsetof(struct cis_glue_out, span));
SAME(offsetof(struct cis_answer, nitems), offsetof(struct cis_glue_out, nitems));
/* Shapes are the glue's, one higher: 0 says that there is none. */
SAME(CIS_SHAPE_QUIET - 1, (int)CIS_GLUE_QUIET);
SAME(CIS_SHAPE_MAKE - 1, (int)CIS_GLUE_MAKE);
SAME(CIS_SHAPE_FILE_READ - 1, (int)CIS_GLUE_FILE_READ);
SAME(CIS_SHAPE_FILE_SYMLINK - 1, (int)CIS_GLUE_FILE_SYMLINK);
SAME(CIS_SHAPE_CORE_RECEIVE - 1, (int)CIS_GLUE_CORE_RECEIVE);
SAME(CIS_SHAPE_FIELD_GET - 1, (int)CIS_GLUE_FIELD_GET);
SAME(CIS_SHAPE_NET_U64 - 1, (int)CIS_GLUE_NET_U64);
SAME(CIS_SHAPE_TEXT_OPTION - 1, (int)CIS_GLUE_TEXT_OPTION);
SAME(CIS_SHAPE_NET_COUNT - 1, (int)CIS_GLUE_NET_COUNT);
SAME(sizeof(struct cis_datagram_address), sizeof(struct cis_glue_address));

size_t cis_shape_args(enum cis_shape shape)
{
    static const uint8_t n[] = {
        [CIS_SHAPE_QUIET] = 1,        [CIS_SHAPE_POLL] = 1,          [CIS_SHAPE_BOOL] = 1,
        [CIS_SHAPE_CHILD] = 1,        [CIS_SHAPE_READ] = 2,          [CIS_SHAPE_WRITE] = 2,
        [CIS_SHAPE_COUNT] = 1,        [CIS_SHAPE_SKIP] = 2,          [CIS_SHAPE_DONE] = 1,
        [CIS_SHAPE_ZEROES] = 2,       [CIS_SHAPE_SPLICE] = 3,        [CIS_SHAPE_BYTES] = 1,
        [CIS_SHAPE_MAKE] = 1,         [CIS_SHAPE_FILE_READ] = 3,     [CIS_SHAPE_FILE_WRITE] = 3,
        [CIS_SHAPE_FILE_TYPE] = 1,    [CIS_SHAPE_FILE_STAT] = 1,     [CIS_SHAPE_FILE_STAT_AT] = 3,
        [CIS_SHAPE_FILE_OPEN_AT] = 5, [CIS_SHAPE_FILE_HASH] = 1,     [CIS_SHAPE_FILE_HASH_AT] = 3,
        [CIS_SHAPE_FILE_STREAM] = 2,  [CIS_SHAPE_FILE_CHILD] = 1,    [CIS_SHAPE_FILE_DONE] = 1,
        [CIS_SHAPE_FILE_SIZE] = 2,    [CIS_SHAPE_FILE_PATH] = 2,     [CIS_SHAPE_FILE_READLINK] = 2,
        [CIS_SHAPE_FILE_ENTRY] = 1,   [CIS_SHAPE_FILE_RENAME] = 4,   [CIS_SHAPE_FILE_LINK] = 5,
        [CIS_SHAPE_FILE_SYMLINK] = 3, [CIS_SHAPE_FIELD_GET] = 2,     [CIS_SHAPE_FIELD_ENTRIES] = 1,
        [CIS_SHAPE_FIELD_APPEND] = 3, [CIS_SHAPE_FIELD_SET] = 3,     [CIS_SHAPE_FIELD_FROM] = 1,
        [CIS_SHAPE_NET_U64] = 2,      [CIS_SHAPE_FILE_ADVISE] = 4,   [CIS_SHAPE_FILE_FLAGS] = 1,
        [CIS_SHAPE_FILE_TIMES] = 7,   [CIS_SHAPE_FILE_TIMES_AT] = 9, [CIS_SHAPE_SAME] = 2,
        [CIS_SHAPE_FILE_ERROR] = 1,   [CIS_SHAPE_TEXT] = 1,          [CIS_SHAPE_EXIT] = 1,
        [CIS_SHAPE_EXIT_CODE] = 1,    [CIS_SHAPE_TEXT_OPTION] = 0,   [CIS_SHAPE_NET_RECEIVE] = 2,
        [CIS_SHAPE_NET_SEND] = 2,     [CIS_SHAPE_NET_COUNT] = 1,     [CIS_SHAPE_CORE_SEND] = 2,
        [CIS_SHAPE_CORE_RECEIVE] = 2,
    };
    _Static_assert(sizeof n == CIS_SHAPES, "arguments without a row would not be compared");
    return (size_t)shape < sizeof n ? n[shape] : 0;
}

static cis_code refuse(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                       struct cis_answer *out)
{
    const struct cis_ifacefn *row = bound->row;
    instance->grants_refused[row->grant]++;
    if (row->denied < 0) {
        return cis_engine_instance_ended(
            instance, CIS_E_DENIED, NULL, 0, 0,
            "%s.%s: refused by policy, and the call has no way to say so", row->interface,
            row->name);
    }
    out->failed = true;
    out->error = (uint32_t)row->denied;
    return CIS_OK;
}

static cis_code perform(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                        const struct cis_typed *args, struct cis_answer *out)
{
    const struct cis_ifacefn *row = bound->row;
    if ((instance->grants & bound->grant_bit) != bound->grant_bit) {
        return refuse(instance, bound, out);
    }
    instance->grants_used[row->grant]++;
    instance->host_calls++;
    if (bound->metered) {
        CIS_TRY(cis_engine_instance_burn(instance, row->cost, NULL));
    }
    struct cis_error err;
    err.sys = 0;
    err.msg[0] = 0;
    cis_code code = row->typed(instance, args, out, &err);
    if (code != CIS_OK) {
        err.code = code;
        return cis_engine_instance_ended_with(instance, &err);
    }
    return instance->end.code;
}

/* The engine lends a function with a shape handles of any kind: what it was linked for is looked at
 * here. */
static bool handles_fit(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                        const struct cis_typed *args)
{
    size_t k = 0;
    bool fit = true;
    for (size_t i = 0; i < bound->nargs && fit; i++) {
        const struct cis_typed *arg = &args[i];
        if (arg->kind == 0) {
            continue;
        }
        const struct cis_iface_resource *as = k < bound->nof ? bound->of[k++] : NULL;
        fit = as != NULL &&
              (arg->reps != NULL || cis_handle_fits(instance, as, arg->kind, (uint32_t)arg->n));
        for (size_t j = 0; fit && arg->reps != NULL && j < arg->nitems; j++) {
            fit = cis_handle_fits(instance, as, arg->kind, arg->reps[j]);
        }
    }
    return fit;
}

/* typed.c: the callback of every row with a shape; env is a struct cis_bound_iface. */
static bool trampoline(void *env, void *data, const struct cis_glue_arg *args,
                       struct cis_glue_out *out)
{
    const struct cis_bound_iface *bound = env;
    cis_engine_instance *instance = data;
    struct cis_answer *answer = (struct cis_answer *)out;
    uint64_t start = instance->trace_iface != NULL ? cis_clock_mono_ns() : 0;
    const struct cis_typed *in = (const struct cis_typed *)args;
    const struct cis_engine_instance_hooks *hooks = instance->hooks;
    bool hooked = __builtin_expect(hooks != NULL, 0);
    if (!(hooked && hooks->no_resources) && !handles_fit(instance, bound, in)) {
        return cis_handle_refuse(instance, bound->row) == CIS_OK;
    }
    cis_code code = hooked && hooks->typed != NULL
                        ? hooks->typed(instance, bound, in, answer, perform)
                        : perform(instance, bound, in, answer);
    if (instance->trace_iface != NULL) {
        instance->trace_iface(instance->trace_self, bound->row, NULL, 0, NULL, code,
                              cis_clock_mono_ns() - start);
    }
    return code == CIS_OK;
}

wasmtime_error_t *cis_typed_define(wasmtime_component_linker_instance_t *into, struct cis_str name,
                                   struct cis_bound_iface *bound)
{
    return cis_glue_add_typed(into, name.ptr, name.len, (uint32_t)bound->row->shape - 1, trampoline,
                              bound);
}

/* ---- resources ---- */

static cis_code drop(cis_engine_instance *instance, const struct cis_iface_resource *resource,
                     uint32_t rep)
{
    struct cis_error err;
    err.sys = 0;
    err.msg[0] = 0;
    cis_code code = resource->drop(instance, rep, &err);
    if (code == CIS_OK) {
        return CIS_OK;
    }
    err.code = code;
    return cis_engine_instance_ended_with(instance, &err);
}

static wasmtime_error_t *dropped(void *env, wasmtime_context_t *context, uint32_t rep)
{
    const struct cis_bound_iface *bound = env;
    cis_engine_instance *instance = wasmtime_context_get_data(context);
    const struct cis_iface_resource *resource = bound->resource;
    if (resource->drop == NULL) {
        return NULL;
    }
    cis_code code = CIS_HOOKED(instance, dropped)
                        ? instance->hooks->dropped(instance, resource, rep, drop)
                        : drop(instance, resource, rep);
    return code == CIS_OK ? NULL : wasmtime_error_new(instance->end.error.msg);
}

wasmtime_error_t *cis_resource_define(wasmtime_component_linker_instance_t *into,
                                      struct cis_str name, struct cis_bound_iface *bound)
{
    wasmtime_component_resource_type_t *type =
        wasmtime_component_resource_type_new_host(bound->resource->kind);
    wasmtime_error_t *e = wasmtime_component_linker_instance_add_resource(
        into, name.ptr, name.len, type, dropped, bound, NULL);
    wasmtime_component_resource_type_delete(type);
    return e;
}
