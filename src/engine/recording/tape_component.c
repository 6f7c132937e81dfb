/* Components, recorded and played: their calls of the host, and the host's calls of them. */
#include "engine/recording/tape_component.h"

#include <inttypes.h>
#include "base/mem.h"

#define NAME_MAX_BYTES 1024u
#define ARGS_MAX 32u

static void put_event(cis_tape *tape, enum cis_tape_event event)
{
    uint8_t byte = (uint8_t)event;
    cis_tape_put(tape, &byte, 1);
}

static uint64_t index_of(const cis_guest *guest, const struct cis_bound_iface *bound)
{
    return (uint64_t)(bound - cis_component_of(guest->program)->ifaces);
}

/* ---- recording a host call ---- */

static cis_code enter(cis_guest *guest, const struct cis_bound_iface *bound)
{
    cis_tape *tape = cis_tape_of(guest);
    tape->calls++;
    cis_buf_reset(&tape->owns);
    put_event(tape, CIS_TAPE_ENTER);
    cis_tape_put_number(tape, index_of(guest, bound));
    cis_tape_put_number(tape, guest->memory_bytes);
    if (bound->metered) {
        cis_tape_put_number(tape, cis_guest_fuel_left(guest));
    }
    struct cis_error err = {0};
    return cis_tape_check(tape, &err) == CIS_OK ? CIS_OK : cis_guest_ended_with(guest, &err);
}

/* CIS_OK: the answer comes next, then `left`. */
static cis_code leave(cis_guest *guest, cis_code code)
{
    cis_tape *tape = cis_tape_of(guest);
    struct cis_error err = {0};
    if (code == CIS_OK && cis_tape_check(tape, &err) != CIS_OK) {
        code = cis_guest_ended_with(guest, &err);
    }
    put_event(tape, CIS_TAPE_LEAVE);
    cis_tape_put_number(tape, (uint64_t)code);
    if (code != CIS_OK) {
        tape->ended = true;
        cis_tape_put_end(tape, &guest->end);
    }
    return code;
}

static void left(cis_guest *guest, const struct cis_bound_iface *bound)
{
    if (bound->metered) {
        cis_tape_put_number(cis_tape_of(guest), cis_guest_fuel_left(guest));
    }
}

void cis_tape_missing(cis_guest *guest, const struct cis_bound_iface *bound)
{
    if (enter(guest, bound) == CIS_OK) {
        (void)leave(guest, guest->end.code);
    }
}

cis_code cis_tape_record_typed(cis_guest *guest, const struct cis_bound_iface *bound,
                               const struct cis_typed *args, struct cis_answer *out,
                               cis_typed_perform *perform)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf list = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    struct cis_error err = {0};
    struct cis_bytes text;
    cis_code code = enter(guest, bound);
    for (size_t i = 0; i < cis_shape_args(bound->row->shape) && code == CIS_OK; i++) {
        if (cis_tape_typed_text(bound->row->shape, &args[i], &list, &text, &err) != CIS_OK) {
            code = cis_guest_ended_with(guest, &err);
        }
        cis_tape_put_number(cis_tape_of(guest), args[i].n);
        cis_tape_put_seen(cis_tape_of(guest), code == CIS_OK ? text : cis_bytes_of(NULL, 0));
    }
    code = code == CIS_OK ? perform(guest, bound, args, out) : code;
    CIS_TRY(leave(guest, code));
    cis_tape_put_answer(cis_tape_of(guest), bound->row->shape, out);
    left(guest, bound);
    return CIS_OK;
}

void cis_tape_note_own(cis_guest *guest, const void *any, uint32_t kind, uint32_t rep)
{
    const struct cis_tape_own own = {any, kind, rep};
    cis_buf_add(&cis_tape_of(guest)->owns, &own, sizeof own);
}

static cis_code put_vals(cis_guest *guest, const cis_val *vals, size_t n, struct cis_buf *out)
{
    struct cis_error err = {0};
    cis_buf_reset(out);
    for (size_t i = 0; i < n; i++) {
        cis_tape_val_put(cis_tape_of(guest), cis_val_nth(vals, i), out);
    }
    cis_code code = cis_buf_check(out, "values", &err);
    if (code == CIS_OK) { /* a resource that was not noted would be kept as another one */
        code = cis_buf_check(&cis_tape_of(guest)->owns, "resources of a recorded call", &err);
    }
    return code == CIS_OK ? CIS_OK : cis_guest_ended_with(guest, &err);
}

/* Arguments after the handler, which has made numbers of the resources among them. Where the call
 * was refused they are of no account, and are not kept. */
cis_code cis_tape_record_values(cis_guest *guest, const struct cis_bound_iface *bound,
                                cis_val *args, size_t nargs, cis_val *result,
                                cis_values_perform *perform)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf seen = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf gives = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    bool granted = (guest->grants & bound->grant_bit) == bound->grant_bit;
    cis_code code = enter(guest, bound);
    code = code == CIS_OK ? perform(guest, bound, args, nargs, result) : code;
    code = code == CIS_OK ? put_vals(guest, args, granted ? nargs : 0, &seen) : code;
    code = code == CIS_OK && result != NULL ? put_vals(guest, result, 1, &gives) : code;
    CIS_TRY(leave(guest, code));
    cis_tape_put_number(cis_tape_of(guest), granted ? 1 : 0);
    cis_tape_put_seen(cis_tape_of(guest), cis_buf_bytes(&seen));
    cis_tape_put_text(cis_tape_of(guest), cis_buf_view(&gives));
    left(guest, bound);
    return CIS_OK;
}

/* ---- playing a host call ---- */

/* Is it the call that was recorded? A guest that ends here is none of it: look at its end. */
static cis_code play_enter(cis_guest *guest, const struct cis_bound_iface *bound)
{
    cis_tape *tape = cis_tape_of(guest);
    uint8_t event = cis_tape_next(tape);
    CIS_TRY(cis_tape_unplayable(guest));
    if (event == CIS_TAPE_STOPPED) {
        CIS_TRY(cis_tape_stop_here(guest));
        return guest->end.code;
    }
    CIS_TRY(cis_tape_same_call(guest, index_of(guest, bound)));
    return cis_tape_same_state(guest, guest->memory_bytes, bound->metered);
}

/* What the host did until it left; then how it left: CIS_OK with an answer to follow. */
static cis_code play_until_left(cis_guest *guest)
{
    cis_tape *tape = cis_tape_of(guest);
    for (;;) {
        uint8_t event = cis_tape_get_event(tape);
        CIS_TRY(cis_tape_unplayable(guest));
        if (event == CIS_TAPE_LEAVE) {
            break;
        }
        CIS_TRY(cis_tape_act(guest, event));
    }
    cis_code code = cis_tape_get_code(tape);
    CIS_TRY(cis_tape_unplayable(guest));
    if (code != CIS_OK) {
        struct cis_guest_end end = {0};
        cis_tape_get_end(tape, code, &end);
        CIS_TRY(cis_tape_unplayable(guest));
        guest->end = end;
        tape->ended = true;
    }
    return code;
}

static cis_code play_left(cis_guest *guest, const struct cis_bound_iface *bound)
{
    uint64_t fuel = bound->metered ? cis_tape_get_number(cis_tape_of(guest)) : 0;
    CIS_TRY(cis_tape_unplayable(guest));
    if (bound->metered) {
        cis_guest_fuel_set(guest, fuel);
    }
    return CIS_OK;
}

static cis_code play_typed(cis_guest *guest, const struct cis_bound_iface *bound,
                           const struct cis_typed *args, struct cis_answer *out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf list = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    cis_tape *tape = cis_tape_of(guest);
    struct cis_error err = {0};
    struct cis_bytes text;
    CIS_TRY(play_enter(guest, bound));
    for (size_t i = 0; i < cis_shape_args(bound->row->shape); i++) {
        if (cis_tape_typed_text(bound->row->shape, &args[i], &list, &text, &err) != CIS_OK) {
            return cis_tape_fail(guest, &err);
        }
        uint64_t then = cis_tape_get_number(tape);
        bool same = cis_tape_get_seen(tape, text);
        CIS_TRY(cis_tape_unplayable(guest));
        if (then != args[i].n) {
            return cis_tape_differs(guest, "argument %zu is %" PRIu64 " here, %" PRIu64 " recorded",
                                    i + 1, args[i].n, then);
        }
        if (!same) {
            return cis_tape_differs(guest, "argument %zu (%zu bytes here) is not the recorded one",
                                    i + 1, text.len);
        }
    }
    CIS_TRY(play_until_left(guest));
    cis_tape_get_answer(tape, bound->row->shape, out);
    return play_left(guest, bound);
}

static cis_code take(cis_guest *guest, const struct cis_bound_iface *bound, cis_val *val,
                     struct cis_error *err)
{
    uint32_t kind;
    bool owned;
    (void)bound;
    return cis_val_take_resource(guest, val, &kind, &owned, err);
}

static cis_code play_result(cis_guest *guest, cis_val *result, struct cis_buf *text)
{
    struct cis_error err = {0};
    struct cis_tape_bytes in = {cis_buf_bytes(text), 0};
    cis_code code = cis_tape_val_get(guest, &in, result, &err);
    if (code == CIS_E_DAMAGED) {
        cis_tape_damaged(cis_tape_of(guest), err.msg);
        return cis_tape_unplayable(guest);
    }
    return code == CIS_OK ? CIS_OK : cis_tape_fail(guest, &err);
}

static cis_code play_values(cis_guest *guest, const struct cis_bound_iface *bound, cis_val *args,
                            size_t nargs, cis_val *result)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf seen = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf gives = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    cis_tape *tape = cis_tape_of(guest);
    struct cis_error err = {0};
    CIS_TRY(play_enter(guest, bound));
    for (size_t i = 0; i < nargs; i++) {
        if (cis_val_each_resource(guest, bound, cis_val_nth_mut(args, i), take, &err) != CIS_OK) {
            return cis_tape_fail(guest, &err);
        }
    }
    CIS_TRY(play_until_left(guest));
    bool granted = cis_tape_get_number(tape) == 1;
    CIS_TRY(put_vals(guest, args, granted ? nargs : 0, &seen));
    bool same = cis_tape_get_seen(tape, cis_buf_bytes(&seen));
    CIS_TRY(cis_tape_unplayable(guest));
    if (!same) {
        return cis_tape_differs(guest, "the arguments are not the recorded ones");
    }
    cis_tape_get_long(tape, &gives);
    CIS_TRY(cis_tape_unplayable(guest));
    CIS_TRY(result != NULL ? play_result(guest, result, &gives) : CIS_OK);
    return play_left(guest, bound);
}

/* ---- in place of the handler ---- */

cis_code cis_tape_play_typed(cis_guest *guest, const struct cis_bound_iface *bound,
                             const struct cis_typed *args, struct cis_answer *out,
                             cis_typed_perform *perform)
{
    (void)perform;
    if (guest->end.code == CIS_OK) {
        guest->host_calls++;
        (void)play_typed(guest, bound, args, out);
        cis_tape_of(guest)->in_call = false;
    }
    return guest->end.code;
}

cis_code cis_tape_play_values(cis_guest *guest, const struct cis_bound_iface *bound, cis_val *args,
                              size_t nargs, cis_val *result, cis_values_perform *perform)
{
    (void)perform;
    if (guest->end.code == CIS_OK) {
        guest->host_calls++;
        (void)play_values(guest, bound, args, nargs, result);
        cis_tape_of(guest)->in_call = false;
    }
    return guest->end.code;
}

/* ---- drops ---- */

cis_code cis_tape_record_drop(cis_guest *guest, const struct cis_iface_resource *resource,
                              uint32_t rep, cis_drop_perform *perform)
{
    cis_tape *tape = cis_tape_of(guest);
    cis_code code = perform(guest, resource, rep);
    if (code != CIS_OK && !tape->ended) {
        put_event(tape, CIS_TAPE_DROP);
        cis_tape_put_number(tape, resource->kind);
        cis_tape_put_number(tape, rep);
        cis_tape_put_number(tape, (uint64_t)code);
        cis_tape_put_end(tape, &guest->end);
        tape->ended = true;
    }
    return code;
}

/* A number is given again by a call alone, which is an event: one that is on the tape with none in
 * between is dropped once. */
static cis_code play_drop(cis_guest *guest, const struct cis_iface_resource *resource, uint32_t rep)
{
    cis_tape *tape = cis_tape_of(guest);
    if (!tape->drops && cis_tape_peek(tape) == CIS_TAPE_DROP) {
        (void)cis_tape_get_event(tape);
        tape->drop_kind = cis_tape_get_number(tape);
        tape->drop_rep = cis_tape_get_number(tape);
        tape->drops = true;
    }
    CIS_TRY(cis_tape_unplayable(guest));
    if (!tape->drops || tape->drop_kind != resource->kind || tape->drop_rep != rep) {
        return CIS_OK;
    }
    struct cis_guest_end end = {0};
    tape->drops = false;
    cis_tape_get_end(tape, cis_tape_get_code(tape), &end);
    CIS_TRY(cis_tape_unplayable(guest));
    guest->end = end;
    tape->ended = true;
    return end.code;
}

cis_code cis_tape_play_drop(cis_guest *guest, const struct cis_iface_resource *resource,
                            uint32_t rep, cis_drop_perform *perform)
{
    (void)perform;
    return guest->end.code != CIS_OK ? guest->end.code : play_drop(guest, resource, rep);
}

/* ---- calls of exports ---- */

cis_code cis_tape_export_called(cis_guest *guest, const struct cis_export_call *call,
                                struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    cis_tape *tape = cis_tape_of(guest);
    put_event(tape, CIS_TAPE_EXPORT);
    cis_tape_put_text(tape, call->name);
    cis_tape_put_text(tape, cis_str_of(call->type != NULL ? call->type : ""));
    if (call->type == NULL) {
        cis_tape_put_text(tape, call->text);
        return cis_tape_check(tape, err);
    }
    cis_tape_put_number(tape, call->nvals);
    for (size_t i = 0; i < call->nvals; i++) {
        cis_tape_val_put(tape, cis_vals_arg(call->vals, i), &text);
    }
    CIS_TRY(cis_buf_check(&text, "arguments", err));
    cis_tape_put_text(tape, cis_buf_view(&text));
    return cis_tape_check(tape, err);
}

cis_code cis_tape_export_returned(cis_guest *guest, const struct cis_export_call *call,
                                  struct cis_bytes text, cis_code code, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf result = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    if (code == CIS_OK && call->type != NULL) {
        cis_tape_val_put(cis_tape_of(guest), cis_vals_result(call->vals), &result);
        CIS_TRY(cis_buf_check(&result, "result", err));
        text = cis_buf_bytes(&result);
    }
    CIS_TRY(cis_tape_returned(guest, ":", NULL, code, err));
    if (code == CIS_OK) {
        cis_tape_put_seen(cis_tape_of(guest), text);
    }
    return cis_tape_check(cis_tape_of(guest), err);
}

static cis_code compare_result(cis_guest *guest, cis_code code, const struct cis_buf *result)
{
    cis_tape *tape = cis_tape_of(guest);
    struct cis_error err = {0};
    if (code == CIS_OK && cis_buf_check(result, "result", &err) != CIS_OK) {
        return cis_tape_fail(guest, &err);
    }
    tape->called = code;
    CIS_TRY(cis_tape_came_back(guest, "", NULL));
    tape->called = CIS_OK;
    if (guest->end.code != CIS_OK || code != CIS_OK) {
        return CIS_OK;
    }
    bool same = cis_tape_get_seen(tape, cis_buf_bytes(result));
    CIS_TRY(cis_tape_unplayable(guest));
    return same ? CIS_OK : cis_tape_differs(guest, "the guest returns another result");
}

static cis_code play_text(cis_guest *guest, struct cis_str name)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf result = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    struct cis_error err = {0};
    cis_tape_get_long(cis_tape_of(guest), &text);
    CIS_TRY(cis_tape_unplayable(guest));
    const struct cis_str call = {cis_buf_cstr(&text), text.len};
    cis_code code = cis_component_call_text(guest, name, call, &result, &err);
    if ((code == CIS_E_NOMEM || code == CIS_E_BUDGET) && guest->end.code == CIS_OK) {
        return cis_tape_fail(guest, &err); /* of playing it, not of the guest */
    }
    return compare_result(guest, code, &result);
}

static cis_code play_call(cis_guest *guest, struct cis_str name, const char *type, cis_vals *vals,
                          size_t n)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf result = CIS_BUF_INIT(CIS_TAPE_ANSWER_MAX);
    struct cis_error err = {0};
    cis_tape_get_long(cis_tape_of(guest), &text);
    CIS_TRY(cis_tape_unplayable(guest));
    struct cis_tape_bytes in = {cis_buf_bytes(&text), 0};
    for (size_t i = 0; i < n; i++) {
        if (cis_tape_val_get(guest, &in, cis_vals_arg(vals, i), &err) != CIS_OK) {
            return cis_tape_fail(guest, &err);
        }
    }
    cis_code code = cis_component_call(guest, name, type, vals, &err);
    if (code != CIS_OK && guest->end.code == CIS_OK) { /* it could not even be called */
        if (code != CIS_E_NOMEM && code != CIS_E_BUDGET) {
            cis_tape_damaged(cis_tape_of(guest),
                             err.msg); /* and was not then: it is the same module */
        }
        return cis_tape_fail(guest, &err);
    }
    if (code == CIS_OK) {
        cis_tape_val_put(cis_tape_of(guest), cis_vals_result(vals), &result);
    }
    return compare_result(guest, code, &result);
}

cis_code cis_tape_play_export(cis_guest *guest)
{
    cis_tape *tape = cis_tape_of(guest);
    char name[NAME_MAX_BYTES], type[CIS_TYPE_TEXT_MAX];
    struct cis_error err = {0};
    cis_vals *vals = NULL;
    cis_tape_get_text(tape, name, sizeof name);
    cis_tape_get_text(tape, type, sizeof type);
    CIS_TRY(cis_tape_unplayable(guest));
    if (guest->program->image->component == NULL || guest->end.code != CIS_OK) {
        cis_tape_damaged(tape, "a call of no function");
        return cis_tape_unplayable(guest);
    }
    if (type[0] == 0) {
        return play_text(guest, cis_str_of(name));
    }
    uint64_t n = cis_tape_get_number(tape);
    CIS_TRY(cis_tape_unplayable(guest));
    if (n > ARGS_MAX || cis_vals_new(guest, (size_t)n, &vals, &err) != CIS_OK) {
        cis_tape_damaged(tape, "a call with more arguments than any");
        return cis_tape_unplayable(guest);
    }
    cis_code code = play_call(guest, cis_str_of(name), type, vals, (size_t)n);
    cis_vals_free(vals);
    return code;
}
