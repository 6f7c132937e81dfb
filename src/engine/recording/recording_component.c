/* Components, recorded and played: their calls of the host, and the host's calls of them. */
#include "engine/recording/recording_component.h"

#include <inttypes.h>
#include "base/mem.h"

#define NAME_MAX_BYTES 1024u
#define ARGS_MAX 32u

static void put_event(cis_recording *recording, enum cis_recording_event event)
{
    uint8_t byte = (uint8_t)event;
    cis_recording_put(recording, &byte, 1);
}

static uint64_t index_of(const cis_engine_instance *instance, const struct cis_bound_iface *bound)
{
    return (uint64_t)(bound - cis_component_of(instance->program)->ifaces);
}

/* ---- recording a host call ---- */

static cis_code enter(cis_engine_instance *instance, const struct cis_bound_iface *bound)
{
    cis_recording *recording = cis_recording_of(instance);
    recording->calls++;
    cis_buf_reset(&recording->owns);
    put_event(recording, CIS_RECORDING_ENTER);
    cis_recording_put_number(recording, index_of(instance, bound));
    cis_recording_put_number(recording, instance->memory_bytes);
    if (bound->metered) {
        cis_recording_put_number(recording, cis_engine_instance_fuel_left(instance));
    }
    struct cis_error err = {0};
    return cis_recording_check(recording, &err) == CIS_OK
               ? CIS_OK
               : cis_engine_instance_ended_with(instance, &err);
}

/* CIS_OK: the answer comes next, then `left`. */
static cis_code leave(cis_engine_instance *instance, cis_code code)
{
    cis_recording *recording = cis_recording_of(instance);
    struct cis_error err = {0};
    if (code == CIS_OK && cis_recording_check(recording, &err) != CIS_OK) {
        code = cis_engine_instance_ended_with(instance, &err);
    }
    put_event(recording, CIS_RECORDING_LEAVE);
    cis_recording_put_number(recording, (uint64_t)code);
    if (code != CIS_OK) {
        recording->ended = true;
        cis_recording_put_end(recording, &instance->end);
    }
    return code;
}

static void left(cis_engine_instance *instance, const struct cis_bound_iface *bound)
{
    if (bound->metered) {
        cis_recording_put_number(cis_recording_of(instance),
                                 cis_engine_instance_fuel_left(instance));
    }
}

void cis_recording_missing(cis_engine_instance *instance, const struct cis_bound_iface *bound)
{
    if (enter(instance, bound) == CIS_OK) {
        (void)leave(instance, instance->end.code);
    }
}

cis_code cis_recording_record_typed(cis_engine_instance *instance,
                                    const struct cis_bound_iface *bound,
                                    const struct cis_typed *args, struct cis_answer *out,
                                    cis_typed_perform *perform)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf list = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    struct cis_error err = {0};
    struct cis_bytes text;
    cis_code code = enter(instance, bound);
    for (size_t i = 0; i < cis_shape_args(bound->row->shape) && code == CIS_OK; i++) {
        if (cis_recording_typed_text(bound->row->shape, &args[i], &list, &text, &err) != CIS_OK) {
            code = cis_engine_instance_ended_with(instance, &err);
        }
        cis_recording_put_number(cis_recording_of(instance), args[i].n);
        cis_recording_put_seen(cis_recording_of(instance),
                               code == CIS_OK ? text : cis_bytes_of(NULL, 0));
    }
    code = code == CIS_OK ? perform(instance, bound, args, out) : code;
    CIS_TRY(leave(instance, code));
    cis_recording_put_answer(cis_recording_of(instance), bound->row->shape, out);
    left(instance, bound);
    return CIS_OK;
}

void cis_recording_note_own(cis_engine_instance *instance, const void *any, uint32_t kind,
                            uint32_t rep)
{
    const struct cis_recording_own own = {any, kind, rep};
    cis_buf_add(&cis_recording_of(instance)->owns, &own, sizeof own);
}

static cis_code put_vals(cis_engine_instance *instance, const cis_val *vals, size_t n,
                         struct cis_buf *out)
{
    struct cis_error err = {0};
    cis_buf_reset(out);
    for (size_t i = 0; i < n; i++) {
        cis_recording_val_put(cis_recording_of(instance), cis_val_nth(vals, i), out);
    }
    cis_code code = cis_buf_check(out, "values", &err);
    if (code == CIS_OK) { /* a resource that was not noted would be kept as another one */
        code =
            cis_buf_check(&cis_recording_of(instance)->owns, "resources of a recorded call", &err);
    }
    return code == CIS_OK ? CIS_OK : cis_engine_instance_ended_with(instance, &err);
}

/* Arguments after the handler, which has made numbers of the resources among them. Where the call
 * was refused they are of no account, and are not kept. */
cis_code cis_recording_record_values(cis_engine_instance *instance,
                                     const struct cis_bound_iface *bound, cis_val *args,
                                     size_t nargs, cis_val *result, cis_values_perform *perform)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf seen = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf gives = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    bool granted = (instance->grants & bound->grant_bit) == bound->grant_bit;
    cis_code code = enter(instance, bound);
    code = code == CIS_OK ? perform(instance, bound, args, nargs, result) : code;
    code = code == CIS_OK ? put_vals(instance, args, granted ? nargs : 0, &seen) : code;
    code = code == CIS_OK && result != NULL ? put_vals(instance, result, 1, &gives) : code;
    CIS_TRY(leave(instance, code));
    cis_recording_put_number(cis_recording_of(instance), granted ? 1 : 0);
    cis_recording_put_seen(cis_recording_of(instance), cis_buf_bytes(&seen));
    cis_recording_put_text(cis_recording_of(instance), cis_buf_view(&gives));
    left(instance, bound);
    return CIS_OK;
}

/* ---- playing a host call ---- */

/* Is it the call that was recorded? A guest that ends here is none of it: look at its end. */
static cis_code play_enter(cis_engine_instance *instance, const struct cis_bound_iface *bound)
{
    cis_recording *recording = cis_recording_of(instance);
    uint8_t event = cis_recording_next(recording);
    CIS_TRY(cis_recording_unplayable(instance));
    if (event == CIS_RECORDING_STOPPED) {
        CIS_TRY(cis_recording_stop_here(instance));
        return instance->end.code;
    }
    CIS_TRY(cis_recording_same_call(instance, index_of(instance, bound)));
    return cis_recording_same_state(instance, instance->memory_bytes, bound->metered);
}

/* What the host did until it left; then how it left: CIS_OK with an answer to follow. */
static cis_code play_until_left(cis_engine_instance *instance)
{
    cis_recording *recording = cis_recording_of(instance);
    for (;;) {
        uint8_t event = cis_recording_get_event(recording);
        CIS_TRY(cis_recording_unplayable(instance));
        if (event == CIS_RECORDING_LEAVE) {
            break;
        }
        CIS_TRY(cis_recording_act(instance, event));
    }
    cis_code code = cis_recording_get_code(recording);
    CIS_TRY(cis_recording_unplayable(instance));
    if (code != CIS_OK) {
        struct cis_engine_instance_end end = {0};
        cis_recording_get_end(recording, code, &end);
        CIS_TRY(cis_recording_unplayable(instance));
        instance->end = end;
        recording->ended = true;
    }
    return code;
}

static cis_code play_left(cis_engine_instance *instance, const struct cis_bound_iface *bound)
{
    uint64_t fuel = bound->metered ? cis_recording_get_number(cis_recording_of(instance)) : 0;
    CIS_TRY(cis_recording_unplayable(instance));
    if (bound->metered) {
        cis_engine_instance_fuel_set(instance, fuel);
    }
    return CIS_OK;
}

static cis_code play_typed(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                           const struct cis_typed *args, struct cis_answer *out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf list = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    cis_recording *recording = cis_recording_of(instance);
    struct cis_error err = {0};
    struct cis_bytes text;
    CIS_TRY(play_enter(instance, bound));
    for (size_t i = 0; i < cis_shape_args(bound->row->shape); i++) {
        if (cis_recording_typed_text(bound->row->shape, &args[i], &list, &text, &err) != CIS_OK) {
            return cis_recording_fail(instance, &err);
        }
        uint64_t then = cis_recording_get_number(recording);
        bool same = cis_recording_get_seen(recording, text);
        CIS_TRY(cis_recording_unplayable(instance));
        if (then != args[i].n) {
            return cis_recording_differs(instance,
                                         "argument %zu is %" PRIu64 " here, %" PRIu64 " recorded",
                                         i + 1, args[i].n, then);
        }
        if (!same) {
            return cis_recording_differs(
                instance, "argument %zu (%zu bytes here) is not the recorded one", i + 1, text.len);
        }
    }
    CIS_TRY(play_until_left(instance));
    cis_recording_get_answer(recording, bound->row->shape, out);
    return play_left(instance, bound);
}

static cis_code take(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                     cis_val *val, struct cis_error *err)
{
    uint32_t kind;
    bool owned;
    (void)bound;
    return cis_val_take_resource(instance, val, &kind, &owned, err);
}

static cis_code play_result(cis_engine_instance *instance, cis_val *result, struct cis_buf *text)
{
    struct cis_error err = {0};
    struct cis_recording_bytes in = {cis_buf_bytes(text), 0, 0};
    cis_code code = cis_recording_val_get(instance, &in, result, &err);
    if (code == CIS_E_DAMAGED) {
        cis_recording_damaged(cis_recording_of(instance), err.msg);
        return cis_recording_unplayable(instance);
    }
    return code == CIS_OK ? CIS_OK : cis_recording_fail(instance, &err);
}

static cis_code play_values(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                            cis_val *args, size_t nargs, cis_val *result)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf seen = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf gives = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    cis_recording *recording = cis_recording_of(instance);
    struct cis_error err = {0};
    CIS_TRY(play_enter(instance, bound));
    for (size_t i = 0; i < nargs; i++) {
        if (cis_val_each_resource(instance, bound, cis_val_nth_mut(args, i), take, &err) !=
            CIS_OK) {
            return cis_recording_fail(instance, &err);
        }
    }
    CIS_TRY(play_until_left(instance));
    bool granted = cis_recording_get_number(recording) == 1;
    CIS_TRY(put_vals(instance, args, granted ? nargs : 0, &seen));
    bool same = cis_recording_get_seen(recording, cis_buf_bytes(&seen));
    CIS_TRY(cis_recording_unplayable(instance));
    if (!same) {
        return cis_recording_differs(instance, "the arguments are not the recorded ones");
    }
    cis_recording_get_long(recording, &gives);
    CIS_TRY(cis_recording_unplayable(instance));
    CIS_TRY(result != NULL ? play_result(instance, result, &gives) : CIS_OK);
    return play_left(instance, bound);
}

/* ---- in place of the handler ---- */

cis_code cis_recording_play_typed(cis_engine_instance *instance,
                                  const struct cis_bound_iface *bound, const struct cis_typed *args,
                                  struct cis_answer *out, cis_typed_perform *perform)
{
    (void)perform;
    if (instance->end.code == CIS_OK) {
        instance->host_calls++;
        (void)play_typed(instance, bound, args, out);
        cis_recording_of(instance)->in_call = false;
    }
    return instance->end.code;
}

cis_code cis_recording_play_values(cis_engine_instance *instance,
                                   const struct cis_bound_iface *bound, cis_val *args, size_t nargs,
                                   cis_val *result, cis_values_perform *perform)
{
    (void)perform;
    if (instance->end.code == CIS_OK) {
        instance->host_calls++;
        (void)play_values(instance, bound, args, nargs, result);
        cis_recording_of(instance)->in_call = false;
    }
    return instance->end.code;
}

/* ---- drops ---- */

cis_code cis_recording_record_drop(cis_engine_instance *instance,
                                   const struct cis_iface_resource *resource, uint32_t rep,
                                   cis_drop_perform *perform)
{
    cis_recording *recording = cis_recording_of(instance);
    cis_code code = perform(instance, resource, rep);
    if (code != CIS_OK && !recording->ended) {
        put_event(recording, CIS_RECORDING_DROP);
        cis_recording_put_number(recording, resource->kind);
        cis_recording_put_number(recording, rep);
        cis_recording_put_number(recording, (uint64_t)code);
        cis_recording_put_end(recording, &instance->end);
        recording->ended = true;
    }
    return code;
}

/* A number is given again by a call alone, which is an event: one that is on the recording with
 * none in between is dropped once. */
static cis_code play_drop(cis_engine_instance *instance, const struct cis_iface_resource *resource,
                          uint32_t rep)
{
    cis_recording *recording = cis_recording_of(instance);
    if (!recording->drops && cis_recording_peek(recording) == CIS_RECORDING_DROP) {
        (void)cis_recording_get_event(recording);
        recording->drop_kind = cis_recording_get_number(recording);
        recording->drop_rep = cis_recording_get_number(recording);
        recording->drops = true;
    }
    CIS_TRY(cis_recording_unplayable(instance));
    if (!recording->drops || recording->drop_kind != resource->kind || recording->drop_rep != rep) {
        return CIS_OK;
    }
    struct cis_engine_instance_end end = {0};
    recording->drops = false;
    cis_recording_get_end(recording, cis_recording_get_code(recording), &end);
    CIS_TRY(cis_recording_unplayable(instance));
    instance->end = end;
    recording->ended = true;
    return end.code;
}

cis_code cis_recording_play_drop(cis_engine_instance *instance,
                                 const struct cis_iface_resource *resource, uint32_t rep,
                                 cis_drop_perform *perform)
{
    (void)perform;
    return instance->end.code != CIS_OK ? instance->end.code : play_drop(instance, resource, rep);
}

/* ---- calls of exports ---- */

cis_code cis_recording_export_called(cis_engine_instance *instance,
                                     const struct cis_export_call *call, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    cis_recording *recording = cis_recording_of(instance);
    put_event(recording, CIS_RECORDING_EXPORT);
    cis_recording_put_text(recording, call->name);
    cis_recording_put_text(recording, cis_str_of(call->type != NULL ? call->type : ""));
    if (call->type == NULL) {
        cis_recording_put_text(recording, call->text);
        return cis_recording_check(recording, err);
    }
    cis_recording_put_number(recording, call->nvals);
    for (size_t i = 0; i < call->nvals; i++) {
        cis_recording_val_put(recording, cis_vals_arg(call->vals, i), &text);
    }
    CIS_TRY(cis_buf_check(&text, "arguments", err));
    cis_recording_put_text(recording, cis_buf_view(&text));
    return cis_recording_check(recording, err);
}

cis_code cis_recording_export_returned(cis_engine_instance *instance,
                                       const struct cis_export_call *call, struct cis_bytes text,
                                       cis_code code, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf result = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    if (code == CIS_OK && call->type != NULL) {
        cis_recording_val_put(cis_recording_of(instance), cis_vals_result(call->vals), &result);
        CIS_TRY(cis_buf_check(&result, "result", err));
        text = cis_buf_bytes(&result);
    }
    CIS_TRY(cis_recording_returned(instance, ":", NULL, code, err));
    if (code == CIS_OK) {
        cis_recording_put_seen(cis_recording_of(instance), text);
    }
    return cis_recording_check(cis_recording_of(instance), err);
}

static cis_code compare_result(cis_engine_instance *instance, cis_code code,
                               const struct cis_buf *result)
{
    cis_recording *recording = cis_recording_of(instance);
    struct cis_error err = {0};
    if (code == CIS_OK && cis_buf_check(result, "result", &err) != CIS_OK) {
        return cis_recording_fail(instance, &err);
    }
    recording->called = code;
    CIS_TRY(cis_recording_came_back(instance, "", NULL));
    recording->called = CIS_OK;
    if (instance->end.code != CIS_OK || code != CIS_OK) {
        return CIS_OK;
    }
    bool same = cis_recording_get_seen(recording, cis_buf_bytes(result));
    CIS_TRY(cis_recording_unplayable(instance));
    return same ? CIS_OK : cis_recording_differs(instance, "the guest returns another result");
}

static cis_code play_text(cis_engine_instance *instance, struct cis_str name)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf result = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    struct cis_error err = {0};
    cis_recording_get_long(cis_recording_of(instance), &text);
    CIS_TRY(cis_recording_unplayable(instance));
    const struct cis_str call = {cis_buf_cstr(&text), text.len};
    cis_code code = cis_component_call_text(instance, name, call, &result, &err);
    if ((code == CIS_E_NOMEM || code == CIS_E_BUDGET) && instance->end.code == CIS_OK) {
        return cis_recording_fail(instance, &err); /* of playing it, not of the guest */
    }
    return compare_result(instance, code, &result);
}

static cis_code play_call(cis_engine_instance *instance, struct cis_str name, const char *type,
                          cis_vals *vals, size_t n)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf result = CIS_BUF_INIT(CIS_RECORDING_ANSWER_MAX);
    struct cis_error err = {0};
    cis_recording_get_long(cis_recording_of(instance), &text);
    CIS_TRY(cis_recording_unplayable(instance));
    struct cis_recording_bytes in = {cis_buf_bytes(&text), 0, 0};
    for (size_t i = 0; i < n; i++) {
        if (cis_recording_val_get(instance, &in, cis_vals_arg(vals, i), &err) != CIS_OK) {
            return cis_recording_fail(instance, &err);
        }
    }
    cis_code code = cis_component_call(instance, name, type, vals, &err);
    if (code != CIS_OK && instance->end.code == CIS_OK) { /* it could not even be called */
        if (code != CIS_E_NOMEM && code != CIS_E_BUDGET) {
            cis_recording_damaged(cis_recording_of(instance),
                                  err.msg); /* and was not then: it is the same module */
        }
        return cis_recording_fail(instance, &err);
    }
    if (code == CIS_OK) {
        cis_recording_val_put(cis_recording_of(instance), cis_vals_result(vals), &result);
    }
    return compare_result(instance, code, &result);
}

cis_code cis_recording_play_export(cis_engine_instance *instance)
{
    cis_recording *recording = cis_recording_of(instance);
    char name[NAME_MAX_BYTES], type[CIS_TYPE_TEXT_MAX];
    struct cis_error err = {0};
    cis_vals *vals = NULL;
    cis_recording_get_text(recording, name, sizeof name);
    cis_recording_get_text(recording, type, sizeof type);
    CIS_TRY(cis_recording_unplayable(instance));
    if (instance->program->module->component == NULL || instance->end.code != CIS_OK) {
        cis_recording_damaged(recording, "a call of an unknown function");
        return cis_recording_unplayable(instance);
    }
    if (type[0] == 0) {
        return play_text(instance, cis_str_of(name));
    }
    uint64_t n = cis_recording_get_number(recording);
    CIS_TRY(cis_recording_unplayable(instance));
    if (n > ARGS_MAX || cis_vals_new(instance, (size_t)n, &vals, &err) != CIS_OK) {
        cis_recording_damaged(recording, "a call with too many arguments");
        return cis_recording_unplayable(instance);
    }
    cis_code code = play_call(instance, cis_str_of(name), type, vals, (size_t)n);
    cis_vals_free(vals);
    return code;
}
