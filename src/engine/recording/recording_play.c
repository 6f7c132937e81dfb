/* Playing: the recording is the host. It calls the guest, answers its calls, and what the guest
 * does of its own is compared with what it did then. The first difference ends the guest with
 * CIS_E_DIVERGED and is kept in recording->failed; a guest that ends as it ended then is no
 * failure.
 *
 * Where the host ended the guest in the middle of its own code (deadline, cancellation), no exact
 * place is known and none is needed: nothing was seen of the guest after its last event. It is
 * ended at the next tick, or when it is about to do something that is not on the recording. */
#include <inttypes.h>
#include "base/mem.h"
#include "engine/recording/recording_in.h"

static cis_code damaged(cis_engine_instance *instance, const char *what)
{
    cis_recording_damaged(cis_recording_of(instance), what);
    return cis_recording_unplayable(instance);
}

/* ---- how a guest ended ---- */

cis_code cis_recording_get_code(cis_recording *recording)
{
    uint64_t value = cis_recording_get_number(recording);
    if (value >= CIS_E_COUNT_) {
        cis_recording_damaged(recording, "an unknown error code");
        return CIS_E_DAMAGED;
    }
    return (cis_code)value;
}

void cis_recording_get_end(cis_recording *recording, cis_code code,
                           struct cis_engine_instance_end *out)
{
    char text[sizeof out->error.msg];
    uint64_t exited = cis_recording_get_number(recording);
    out->exited = exited == 1;
    out->exit_code = (int32_t)(uint32_t)cis_recording_get_number(recording);
    cis_recording_get_text(recording, recording->limit, sizeof recording->limit);
    out->limit = recording->limit[0] != 0 ? recording->limit : NULL;
    out->configured = cis_recording_get_number(recording);
    out->reached = cis_recording_get_number(recording);
    cis_recording_get_text(recording, text, sizeof text);
    if (exited > 1 || code == CIS_OK) {
        cis_recording_damaged(recording, "an unknown kind of end");
    }
    out->code = cis_fail(&out->error, code, "%s", text);
}

cis_code cis_recording_stop_here(cis_engine_instance *instance)
{
    cis_recording *recording = cis_recording_of(instance);
    struct cis_engine_instance_end end = {0};
    (void)cis_recording_get_event(recording);
    cis_recording_get_end(recording, cis_recording_get_code(recording), &end);
    CIS_TRY(cis_recording_unplayable(instance));
    recording->stopped = recording->returned = recording->ended = true;
    instance->end = end;
    return CIS_OK;
}

cis_code cis_recording_tick(cis_engine_instance *instance)
{
    if (instance->end.code == CIS_OK &&
        cis_recording_next(cis_recording_of(instance)) == CIS_RECORDING_STOPPED) {
        (void)cis_recording_stop_here(instance);
    }
    (void)cis_recording_unplayable(instance);
    return instance->end.code;
}

/* ---- calls of exports ---- */

static cis_code compare_end(cis_engine_instance *instance,
                            const struct cis_engine_instance_end *then)
{
    const struct cis_engine_instance_end *now = &instance->end;
    const char *a = now->limit != NULL ? now->limit : "";
    const char *b = then->limit != NULL ? then->limit : "";
    if (now->code == then->code && now->exited == then->exited &&
        now->exit_code == then->exit_code && strcmp(a, b) == 0) {
        return CIS_OK;
    }
    return cis_recording_differs(
        instance, "the guest ends here: %.80s; when this was recorded: %.80s",
        now->code == CIS_OK ? "it returns" : now->error.msg, then->error.msg);
}

static cis_code compare_results(cis_engine_instance *instance, const char *types,
                                const union cis_slot *now)
{
    union cis_slot then;
    for (size_t i = 0; types[i] != 0; i++) {
        const char one[2] = {types[i], 0};
        cis_recording_get_slots(cis_recording_of(instance), one, &then);
        CIS_TRY(cis_recording_unplayable(instance));
        if (!cis_recording_slot_eq(types[i], &now[i], &then)) {
            return cis_recording_differs(instance,
                                         "the guest returns %" PRId64 " here, %" PRId64 " recorded",
                                         cis_recording_slot_number(types[i], &now[i]),
                                         cis_recording_slot_number(types[i], &then));
        }
    }
    return CIS_OK;
}

cis_code cis_recording_came_back(cis_engine_instance *instance, const char *results,
                                 const union cis_slot *io)
{
    cis_recording *recording = cis_recording_of(instance);
    recording->in_call = false;
    CIS_TRY(cis_recording_unplayable(instance));
    if (recording->returned) {
        recording->returned = false;
        return CIS_OK;
    }
    if (!recording->ended &&
        cis_recording_by_host(instance->end.code)) { /* of this run, not of that one */
        return cis_recording_fail(instance, &instance->end.error);
    }
    uint8_t event = cis_recording_next(recording);
    CIS_TRY(cis_recording_unplayable(instance));
    if (event == CIS_RECORDING_STOPPED) {
        CIS_TRY(cis_recording_stop_here(instance));
        recording->returned = false;
        return CIS_OK;
    }
    if (event != CIS_RECORDING_RETURN) {
        return cis_recording_differs(instance,
                                     "the guest %s here; when this was recorded, it went on",
                                     instance->end.code == CIS_OK ? "returns" : "ends");
    }
    (void)cis_recording_get_event(recording);
    cis_code code = cis_recording_get_code(recording);
    struct cis_engine_instance_end then = {0};
    if (code != CIS_OK) {
        cis_recording_get_end(recording, code, &then);
        CIS_TRY(cis_recording_unplayable(instance));
        if (instance->end.code == CIS_OK && recording->called == code) {
            return CIS_OK; /* a call that did not reach the guest */
        }
        recording->ended = true;
        return compare_end(instance, &then);
    }
    if (instance->end.code != CIS_OK) {
        return cis_recording_differs(instance,
                                     "the guest ends here: %.80s; when this was recorded, it"
                                     " returned",
                                     instance->end.error.msg);
    }
    return compare_results(instance, results, io);
}

cis_code cis_recording_play_call(cis_engine_instance *instance)
{
    cis_recording *recording = cis_recording_of(instance);
    const struct cis_engine_module_info *info = instance->program->module->info;
    uint64_t index = cis_recording_get_number(recording);
    const struct cis_extern *e = index < info->nexports ? &info->exports[index] : NULL;
    if (e == NULL || e->kind != CIS_EXTERN_FUNC || !cis_recording_has_type(e->type) ||
        instance->end.code != CIS_OK) {
        return damaged(instance, "a call of an unknown function");
    }
    struct cis_error why = {0};
    CIS_CLEANUP(cis_freep)
    union cis_slot *io = cis_calloc(cis_functype_slots(e->type), sizeof *io);
    if (io == NULL) {
        cis_fail(&why, CIS_E_NOMEM, "%s: out of memory", recording->path);
        return cis_recording_fail(instance, &why);
    }
    cis_recording_get_slots(recording, e->type, io);
    CIS_TRY(cis_recording_unplayable(instance));
    bool in_call = recording->in_call;
    uint64_t import = recording->import;
    recording->in_call = false;
    cis_code code = cis_engine_instance_call(instance, e->name, e->type, io, &why);
    if (code != CIS_OK && instance->end.code == CIS_OK) { /* it could not even be called */
        return cis_recording_fail(instance, &why);
    }
    CIS_TRY(cis_recording_came_back(instance, strchr(e->type, ':') + 1, io));
    recording->in_call = in_call;
    recording->import = import;
    return CIS_OK;
}

/* ---- host calls ---- */

static cis_code play_leave(cis_engine_instance *instance, const struct cis_bound *bound,
                           union cis_slot *io)
{
    cis_recording *recording = cis_recording_of(instance);
    cis_code code = cis_recording_get_code(recording);
    if (code != CIS_OK) {
        struct cis_engine_instance_end end = {0};
        cis_recording_get_end(recording, code, &end);
        CIS_TRY(cis_recording_unplayable(instance));
        instance->end = end;
        recording->ended = true;
        return CIS_OK;
    }
    cis_recording_get_slots(recording, strchr(bound->row->type, ':') + 1, io);
    uint64_t fuel = bound->metered ? cis_recording_get_number(recording) : 0;
    CIS_TRY(cis_recording_unplayable(instance));
    if (instance->end.code != CIS_OK) {
        return damaged(instance, "a host call that goes on with a guest that has already ended");
    }
    if (bound->metered) {
        cis_engine_instance_fuel_set(instance, fuel);
    }
    return CIS_OK;
}

/* The host's side of one call: what it did until it left. */
static cis_code play_handler(cis_engine_instance *instance, const struct cis_bound *bound,
                             union cis_slot *io)
{
    for (;;) {
        uint8_t event = cis_recording_get_event(cis_recording_of(instance));
        CIS_TRY(cis_recording_unplayable(instance));
        if (event == CIS_RECORDING_LEAVE) {
            return play_leave(instance, bound, io);
        }
        CIS_TRY(event == CIS_RECORDING_CALL ? cis_recording_play_call(instance)
                                            : cis_recording_act(instance, event));
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

static cis_code compare_args(cis_engine_instance *instance, const struct cis_hostfn *row,
                             const union cis_slot *now)
{
    union cis_slot then;
    const char *types = row->type;
    for (size_t i = 0; types[i] != ':'; i++) {
        const char one[2] = {types[i], 0};
        cis_recording_get_slots(cis_recording_of(instance), one, &then);
        CIS_TRY(cis_recording_unplayable(instance));
        if (!cis_recording_slot_eq(types[i], &now[i], &then)) {
            struct cis_str name = param_name(row->params, i);
            return cis_recording_differs(
                instance,
                "argument %zu%s" CIS_STR_FMT "%s is %" PRId64 " here, %" PRId64 " recorded", i + 1,
                name.len != 0 ? " (" : "", CIS_STR_ARG(name), name.len != 0 ? ")" : "",
                cis_recording_slot_number(types[i], &now[i]),
                cis_recording_slot_number(types[i], &then));
        }
    }
    return CIS_OK;
}

cis_code cis_recording_same_state(cis_engine_instance *instance, uint64_t memory, bool metered)
{
    cis_recording *recording = cis_recording_of(instance);
    uint64_t was = cis_recording_get_number(recording);
    uint64_t fuel = metered ? cis_recording_get_number(recording) : 0;
    CIS_TRY(cis_recording_unplayable(instance));
    if (was != memory) {
        return cis_recording_differs(
            instance, "memory has %" PRIu64 " bytes here, %" PRIu64 " recorded", memory, was);
    }
    uint64_t now = metered ? cis_engine_instance_fuel_left(instance) : 0;
    return fuel == now ? CIS_OK
                       : cis_recording_differs(instance,
                                               "%" PRIu64 " units of fuel are left here, %" PRIu64
                                               " recorded",
                                               now, fuel);
}

cis_code cis_recording_same_call(cis_engine_instance *instance, uint64_t import)
{
    cis_recording *recording = cis_recording_of(instance);
    uint8_t event = cis_recording_next(recording);
    recording->calls++;
    recording->in_call = true;
    recording->import = import;
    if (event != CIS_RECORDING_ENTER) {
        return cis_recording_differs(instance, "is made here; when this was recorded, %s",
                                     event == CIS_RECORDING_ASK ? "memory was to grow"
                                                                : "the guest was done before it");
    }
    (void)cis_recording_get_event(recording);
    uint64_t then = cis_recording_get_number(recording);
    CIS_TRY(cis_recording_unplayable(instance));
    if (then != import) {
        char name[CIS_RECORDING_NAME_MAX];
        cis_recording_import_name(instance, then, name, sizeof name);
        return cis_recording_differs(
            instance, "is made here; when this was recorded, it was one of %s", name);
    }
    return CIS_OK;
}

static cis_code answer(cis_engine_instance *instance, const struct cis_bound *bound,
                       union cis_slot *io)
{
    cis_recording *recording = cis_recording_of(instance);
    uint8_t event = cis_recording_next(recording);
    CIS_TRY(cis_recording_unplayable(instance));
    if (event == CIS_RECORDING_STOPPED) {
        return cis_recording_stop_here(instance);
    }
    CIS_TRY(cis_recording_same_call(instance,
                                    (uint64_t)(bound - cis_core_of(instance->program)->bound)));
    CIS_TRY(compare_args(instance, bound->row, io));
    CIS_TRY(cis_recording_same_state(instance, cis_engine_instance_memory_size(instance),
                                     bound->metered));
    return play_handler(instance, bound, io);
}

cis_code cis_recording_answer(cis_engine_instance *instance, const struct cis_bound *bound,
                              union cis_slot *io, cis_core_perform *perform)
{
    (void)perform;
    instance->host_calls++;
    if (instance->end.code == CIS_OK) {
        (void)answer(instance, bound, io);
        cis_recording_of(instance)->in_call = false;
    }
    return instance->end.code;
}
