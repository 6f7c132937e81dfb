/* Playing: the tape is the host. It calls the guest, answers its calls, and what the guest does of
 * its own is compared with what it did then. The first difference ends the guest with
 * CIS_E_DIVERGED and is kept in tape->failed; a guest that ends as it ended then is no failure.
 *
 * Where the host ended the guest in the middle of its own code (deadline, cancellation), no exact
 * place is known and none is needed: nothing was seen of the guest after its last event. It is
 * ended at the next tick, or when it is about to do something that is not on the tape. */
#include <inttypes.h>
#include "base/mem.h"
#include "engine/recording/tape_in.h"

static cis_code damaged(cis_guest *guest, const char *what)
{
    cis_tape_damaged(cis_tape_of(guest), what);
    return cis_tape_unplayable(guest);
}

/* ---- how a guest ended ---- */

cis_code cis_tape_get_code(cis_tape *tape)
{
    uint64_t value = cis_tape_get_number(tape);
    if (value >= CIS_E_COUNT_) {
        cis_tape_damaged(tape, "a code that there is none of");
        return CIS_E_DAMAGED;
    }
    return (cis_code)value;
}

void cis_tape_get_end(cis_tape *tape, cis_code code, struct cis_guest_end *out)
{
    char text[sizeof out->error.msg];
    uint64_t exited = cis_tape_get_number(tape);
    out->exited = exited == 1;
    out->exit_code = (int32_t)(uint32_t)cis_tape_get_number(tape);
    cis_tape_get_text(tape, tape->limit, sizeof tape->limit);
    out->limit = tape->limit[0] != 0 ? tape->limit : NULL;
    out->configured = cis_tape_get_number(tape);
    out->reached = cis_tape_get_number(tape);
    cis_tape_get_text(tape, text, sizeof text);
    if (exited > 1 || code == CIS_OK) {
        cis_tape_damaged(tape, "an end that no guest has");
    }
    out->code = cis_fail(&out->error, code, "%s", text);
}

cis_code cis_tape_stop_here(cis_guest *guest)
{
    cis_tape *tape = cis_tape_of(guest);
    struct cis_guest_end end = {0};
    (void)cis_tape_get_event(tape);
    cis_tape_get_end(tape, cis_tape_get_code(tape), &end);
    CIS_TRY(cis_tape_unplayable(guest));
    tape->stopped = tape->returned = tape->ended = true;
    guest->end = end;
    return CIS_OK;
}

cis_code cis_tape_tick(cis_guest *guest)
{
    if (guest->end.code == CIS_OK && cis_tape_next(cis_tape_of(guest)) == CIS_TAPE_STOPPED) {
        (void)cis_tape_stop_here(guest);
    }
    (void)cis_tape_unplayable(guest);
    return guest->end.code;
}

/* ---- calls of exports ---- */

static cis_code compare_end(cis_guest *guest, const struct cis_guest_end *then)
{
    const struct cis_guest_end *now = &guest->end;
    const char *a = now->limit != NULL ? now->limit : "";
    const char *b = then->limit != NULL ? then->limit : "";
    if (now->code == then->code && now->exited == then->exited &&
        now->exit_code == then->exit_code && strcmp(a, b) == 0) {
        return CIS_OK;
    }
    return cis_tape_differs(guest, "the guest ends here: %.80s; when this was recorded: %.80s",
                            now->code == CIS_OK ? "it returns" : now->error.msg, then->error.msg);
}

static cis_code compare_results(cis_guest *guest, const char *types, const union cis_slot *now)
{
    union cis_slot then;
    for (size_t i = 0; types[i] != 0; i++) {
        const char one[2] = {types[i], 0};
        cis_tape_get_slots(cis_tape_of(guest), one, &then);
        CIS_TRY(cis_tape_unplayable(guest));
        if (!cis_tape_slot_eq(types[i], &now[i], &then)) {
            return cis_tape_differs(
                guest, "the guest returns %" PRId64 " here, %" PRId64 " recorded",
                cis_tape_slot_number(types[i], &now[i]), cis_tape_slot_number(types[i], &then));
        }
    }
    return CIS_OK;
}

cis_code cis_tape_came_back(cis_guest *guest, const char *results, const union cis_slot *io)
{
    cis_tape *tape = cis_tape_of(guest);
    tape->in_call = false;
    CIS_TRY(cis_tape_unplayable(guest));
    if (tape->returned) {
        tape->returned = false;
        return CIS_OK;
    }
    if (!tape->ended && cis_tape_by_host(guest->end.code)) { /* of this run, not of that one */
        return cis_tape_fail(guest, &guest->end.error);
    }
    uint8_t event = cis_tape_next(tape);
    CIS_TRY(cis_tape_unplayable(guest));
    if (event == CIS_TAPE_STOPPED) {
        CIS_TRY(cis_tape_stop_here(guest));
        tape->returned = false;
        return CIS_OK;
    }
    if (event != CIS_TAPE_RETURN) {
        return cis_tape_differs(guest, "the guest %s here; when this was recorded, it went on",
                                guest->end.code == CIS_OK ? "returns" : "ends");
    }
    (void)cis_tape_get_event(tape);
    cis_code code = cis_tape_get_code(tape);
    struct cis_guest_end then = {0};
    if (code != CIS_OK) {
        cis_tape_get_end(tape, code, &then);
        CIS_TRY(cis_tape_unplayable(guest));
        if (guest->end.code == CIS_OK && tape->called == code) {
            return CIS_OK; /* a call that did not reach the guest */
        }
        tape->ended = true;
        return compare_end(guest, &then);
    }
    if (guest->end.code != CIS_OK) {
        return cis_tape_differs(guest,
                                "the guest ends here: %.80s; when this was recorded, it"
                                " returned",
                                guest->end.error.msg);
    }
    return compare_results(guest, results, io);
}

cis_code cis_tape_play_call(cis_guest *guest)
{
    cis_tape *tape = cis_tape_of(guest);
    const struct cis_image_info *info = guest->program->image->info;
    uint64_t index = cis_tape_get_number(tape);
    const struct cis_extern *e = index < info->nexports ? &info->exports[index] : NULL;
    if (e == NULL || e->kind != CIS_EXTERN_FUNC || !cis_tape_has_type(e->type) ||
        guest->end.code != CIS_OK) {
        return damaged(guest, "a call of no function");
    }
    struct cis_error why = {0};
    CIS_CLEANUP(cis_freep)
    union cis_slot *io = cis_calloc(cis_functype_slots(e->type), sizeof *io);
    if (io == NULL) {
        cis_fail(&why, CIS_E_NOMEM, "%s: out of memory", tape->path);
        return cis_tape_fail(guest, &why);
    }
    cis_tape_get_slots(tape, e->type, io);
    CIS_TRY(cis_tape_unplayable(guest));
    bool in_call = tape->in_call;
    uint64_t import = tape->import;
    tape->in_call = false;
    cis_code code = cis_guest_call(guest, e->name, e->type, io, &why);
    if (code != CIS_OK && guest->end.code == CIS_OK) { /* it could not even be called */
        return cis_tape_fail(guest, &why);
    }
    CIS_TRY(cis_tape_came_back(guest, strchr(e->type, ':') + 1, io));
    tape->in_call = in_call;
    tape->import = import;
    return CIS_OK;
}

/* ---- host calls ---- */

static cis_code play_leave(cis_guest *guest, const struct cis_bound *bound, union cis_slot *io)
{
    cis_tape *tape = cis_tape_of(guest);
    cis_code code = cis_tape_get_code(tape);
    if (code != CIS_OK) {
        struct cis_guest_end end = {0};
        cis_tape_get_end(tape, code, &end);
        CIS_TRY(cis_tape_unplayable(guest));
        guest->end = end;
        tape->ended = true;
        return CIS_OK;
    }
    cis_tape_get_slots(tape, strchr(bound->row->type, ':') + 1, io);
    uint64_t fuel = bound->metered ? cis_tape_get_number(tape) : 0;
    CIS_TRY(cis_tape_unplayable(guest));
    if (guest->end.code != CIS_OK) {
        return damaged(guest, "a host call that goes on with a guest that has ended");
    }
    if (bound->metered) {
        cis_guest_fuel_set(guest, fuel);
    }
    return CIS_OK;
}

/* The host's side of one call: what it did until it left. */
static cis_code play_handler(cis_guest *guest, const struct cis_bound *bound, union cis_slot *io)
{
    for (;;) {
        uint8_t event = cis_tape_get_event(cis_tape_of(guest));
        CIS_TRY(cis_tape_unplayable(guest));
        if (event == CIS_TAPE_LEAVE) {
            return play_leave(guest, bound, io);
        }
        CIS_TRY(event == CIS_TAPE_CALL ? cis_tape_play_call(guest) : cis_tape_act(guest, event));
    }
}

/* The n-th name of "key,klen,out,olen"; empty when there is none. */
static struct cis_str param_name(const char *params, size_t n)
{
    struct cis_str rest = cis_str_of(params != NULL ? params : ""), name = {"", 0};
    for (size_t i = 0; i <= n; i++) {
        name = (struct cis_str){"", 0};
        (void)cis_str_split(&rest, ',', &name);
    }
    return name;
}

static cis_code compare_args(cis_guest *guest, const struct cis_hostfn *row,
                             const union cis_slot *now)
{
    union cis_slot then;
    const char *types = row->type;
    for (size_t i = 0; types[i] != ':'; i++) {
        const char one[2] = {types[i], 0};
        cis_tape_get_slots(cis_tape_of(guest), one, &then);
        CIS_TRY(cis_tape_unplayable(guest));
        if (!cis_tape_slot_eq(types[i], &now[i], &then)) {
            struct cis_str name = param_name(row->params, i);
            return cis_tape_differs(
                guest, "argument %zu%s" CIS_STR_FMT "%s is %" PRId64 " here, %" PRId64 " recorded",
                i + 1, name.len != 0 ? " (" : "", CIS_STR_ARG(name), name.len != 0 ? ")" : "",
                cis_tape_slot_number(types[i], &now[i]), cis_tape_slot_number(types[i], &then));
        }
    }
    return CIS_OK;
}

cis_code cis_tape_same_state(cis_guest *guest, uint64_t memory, bool metered)
{
    cis_tape *tape = cis_tape_of(guest);
    uint64_t was = cis_tape_get_number(tape);
    uint64_t fuel = metered ? cis_tape_get_number(tape) : 0;
    CIS_TRY(cis_tape_unplayable(guest));
    if (was != memory) {
        return cis_tape_differs(guest, "memory has %" PRIu64 " bytes here, %" PRIu64 " recorded",
                                memory, was);
    }
    uint64_t now = metered ? cis_guest_fuel_left(guest) : 0;
    return fuel == now
               ? CIS_OK
               : cis_tape_differs(guest,
                                  "%" PRIu64 " units of fuel are left here, %" PRIu64 " recorded",
                                  now, fuel);
}

cis_code cis_tape_same_call(cis_guest *guest, uint64_t import)
{
    cis_tape *tape = cis_tape_of(guest);
    uint8_t event = cis_tape_next(tape);
    tape->calls++;
    tape->in_call = true;
    tape->import = import;
    if (event != CIS_TAPE_ENTER) {
        return cis_tape_differs(guest, "is made here; when this was recorded, %s",
                                event == CIS_TAPE_ASK ? "memory was to grow"
                                                      : "the guest was done before it");
    }
    (void)cis_tape_get_event(tape);
    uint64_t then = cis_tape_get_number(tape);
    CIS_TRY(cis_tape_unplayable(guest));
    if (then != import) {
        char name[CIS_TAPE_NAME_MAX];
        cis_tape_import_name(guest, then, name, sizeof name);
        return cis_tape_differs(guest, "is made here; when this was recorded, it was one of %s",
                                name);
    }
    return CIS_OK;
}

static cis_code answer(cis_guest *guest, const struct cis_bound *bound, union cis_slot *io)
{
    cis_tape *tape = cis_tape_of(guest);
    uint8_t event = cis_tape_next(tape);
    CIS_TRY(cis_tape_unplayable(guest));
    if (event == CIS_TAPE_STOPPED) {
        return cis_tape_stop_here(guest);
    }
    CIS_TRY(cis_tape_same_call(guest, (uint64_t)(bound - cis_core_of(guest->program)->bound)));
    CIS_TRY(compare_args(guest, bound->row, io));
    CIS_TRY(cis_tape_same_state(guest, cis_guest_memory_size(guest), bound->metered));
    return play_handler(guest, bound, io);
}

cis_code cis_tape_answer(cis_guest *guest, const struct cis_bound *bound, union cis_slot *io,
                         cis_core_perform *perform)
{
    (void)perform;
    guest->host_calls++;
    if (guest->end.code == CIS_OK) {
        (void)answer(guest, bound, io);
        cis_tape_of(guest)->in_call = false;
    }
    return guest->end.code;
}
