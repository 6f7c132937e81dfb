/* Recording: the hooks of a guest (hooks.h), each of which appends an event. What a host function
 * writes is known by the places it asked for; their bytes go to the recording when it can no longer
 * write there: when it leaves, and before the guest runs again or its memory moves. */
#include "engine/recording/recording_in.h"
#include "base/wraps.h"

static void put_event(cis_recording *recording, enum cis_recording_event event)
{
    uint8_t byte = (uint8_t)event;
    cis_recording_put(recording, &byte, 1);
}

/* ---- memory ---- */

static bool overlaps(const struct cis_recording_range *r, uint64_t ptr, uint64_t len)
{
    return ptr < r->ptr + r->len && r->ptr < ptr + len;
}

static bool touches_outs(const cis_recording *recording, uint64_t ptr, uint64_t len)
{
    for (size_t i = 0; i < recording->nouts; i++) {
        if (overlaps(&recording->outs[i], ptr, len)) {
            return true;
        }
    }
    return false;
}

static bool was_seen(cis_recording *recording, uint64_t ptr, uint64_t len)
{
    size_t n =
        recording->nseen < CIS_RECORDING_SEEN_MAX ? recording->nseen : CIS_RECORDING_SEEN_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct cis_recording_range *r = &recording->seen[i];
        if (ptr >= r->ptr && ptr - r->ptr <= r->len && len <= r->len - (ptr - r->ptr)) {
            return true;
        }
    }
    recording->seen[recording->nseen++ % CIS_RECORDING_SEEN_MAX] =
        (struct cis_recording_range){ptr, len};
    return false;
}

/* Between two calls of the host nothing changes memory but the host: one note a place is enough.
 * What it may be writing at this moment is left out; those bytes come from the recording anyway. */
void cis_recording_note_read(cis_engine_instance *instance, uint64_t ptr, const void *at,
                             uint64_t len)
{
    cis_recording *recording = cis_recording_of(instance);
    if (len == 0 || recording->paused || touches_outs(recording, ptr, len) ||
        was_seen(recording, ptr, len)) {
        return;
    }
    put_event(recording, CIS_RECORDING_READ);
    cis_recording_put_number(recording, ptr);
    cis_recording_put_number(recording, len);
    if (len <= CIS_RECORDING_RAW_MAX) {
        cis_recording_put(recording, at, (size_t)len);
    } else {
        uint8_t digest[CIS_RECORDING_DIGEST];
        cis_recording_digest(recording, at, (size_t)len, digest);
        cis_recording_put(recording, digest, sizeof digest);
    }
}

void cis_recording_note_out(cis_engine_instance *instance, uint64_t ptr, uint64_t len)
{
    cis_recording *recording = cis_recording_of(instance);
    if (len == 0 || recording->paused) {
        return;
    }
    if (recording->nouts < CIS_RECORDING_RANGES_MAX) {
        recording->outs[recording->nouts++] = (struct cis_recording_range){ptr, len};
        return;
    }
    /* More places than are counted: all that lies between the last two is kept. */
    struct cis_recording_range *last = &recording->outs[CIS_RECORDING_RANGES_MAX - 1];
    uint64_t from = ptr < last->ptr ? ptr : last->ptr;
    uint64_t to = ptr + len > last->ptr + last->len ? ptr + len : last->ptr + last->len;
    *last = (struct cis_recording_range){from, to - from};
    recording->crowded = true;
}

void cis_recording_note_wrote(cis_engine_instance *instance, uint64_t total)
{
    cis_recording *recording = cis_recording_of(instance);
    for (size_t i = 0; i < recording->nouts && !recording->crowded; i++) {
        struct cis_recording_range *r = &recording->outs[i];
        r->len = r->len < total ? r->len : total;
        total -= r->len;
    }
}

static void write_outs(cis_engine_instance *instance)
{
    cis_recording *recording = cis_recording_of(instance);
    for (size_t i = 0; i < recording->nouts; i++) {
        const struct cis_recording_range *r = &recording->outs[i];
        const void *at = r->len != 0 ? cis_engine_instance_peek(instance, r->ptr, r->len) : NULL;
        if (at != NULL) {
            put_event(recording, CIS_RECORDING_WRITE);
            cis_recording_put_number(recording, r->ptr);
            cis_recording_put_number(recording, r->len);
            cis_recording_put(recording, at, (size_t)r->len);
        }
    }
    recording->nouts = recording->nseen = 0;
    recording->crowded = false;
}

/* ---- what is said beside memory ---- */

CIS_WRAPS void cis_recording_show(cis_recording *recording, unsigned stream, const void *data,
                                  size_t len)
{
    if (recording == NULL || recording->replay || len == 0) {
        return;
    }
    cis_engine_instance *instance = recording->instance;
    uint64_t size = instance != NULL ? cis_engine_instance_memory_size(instance) : 0;
    /* Below the memory, the difference is larger than any memory. */
    uint64_t at =
        size != 0 ? (uintptr_t)data - (uintptr_t)cis_engine_instance_peek(instance, 0, 0) : 0;
    bool inside = at < size && len <= size - at && !touches_outs(recording, at, len);
    put_event(recording, inside ? CIS_RECORDING_SHOW : CIS_RECORDING_SAY);
    cis_recording_put_number(recording, stream);
    if (inside) {
        cis_recording_put_number(recording, at);
    }
    cis_recording_put_number(recording, len);
    if (!inside) {
        cis_recording_put(recording, data, len);
    }
}

void cis_recording_shown(cis_engine_instance *instance, unsigned stream, const void *data,
                         size_t len)
{
    cis_recording_show(cis_recording_of(instance), stream, data, len);
}

void cis_recording_put_end(cis_recording *recording, const struct cis_engine_instance_end *end)
{
    const char *limit = end->limit != NULL ? end->limit : "";
    cis_recording_put_number(recording, end->exited ? 1 : 0);
    cis_recording_put_number(recording, (uint32_t)end->exit_code);
    cis_recording_put_text(recording,
                           (struct cis_str){limit, strnlen(limit, CIS_RECORDING_LIMIT_NAME - 1)});
    cis_recording_put_number(recording, end->configured);
    cis_recording_put_number(recording, end->reached);
    cis_recording_put_text(recording, cis_str_of(end->error.msg));
}

/* ---- the guest is made, called, and comes back ---- */

cis_code cis_recording_start(cis_engine_instance *instance, const struct cis_limits *limits,
                             struct cis_error *err)
{
    cis_recording *recording = cis_recording_of(instance);
    const cis_engine_module *module = instance->program->module;
    uint8_t digest[CIS_SHA256_BYTES];
    cis_sha256(recording->source.module, digest);
    if ((module->profile->features & CIS_FEATURE_CANONICAL_NAN) == 0 ||
        memcmp(digest, module->info->sha256, sizeof digest) != 0) {
        return cis_fail(err, CIS_E_USAGE,
                        "%s: it was loaded for runs that are not recorded; load it again",
                        module->name);
    }
    cis_recording_put_head(recording, module);
    put_event(recording, CIS_RECORDING_START);
    cis_recording_put_number(recording, limits->memory_bytes);
    cis_recording_put_number(recording, limits->table_elements);
    cis_recording_put_number(recording, limits->fuel);
    if (module->component != NULL) { /* what its calls may carry follows from it */
        cis_recording_put_number(recording, limits->host_bytes);
    }
    return cis_recording_check(recording, err);
}

cis_code cis_recording_call(cis_engine_instance *instance, const struct cis_extern *export,
                            const union cis_slot *io, struct cis_error *err)
{
    cis_recording *recording = cis_recording_of(instance);
    if (!cis_recording_has_type(export->type)) {
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "%s: a call of " CIS_STR_FMT " (%s) cannot be recorded",
                        instance->program->module->name, CIS_STR_ARG(export->name), export->type);
    }
    write_outs(instance);
    put_event(recording, CIS_RECORDING_CALL);
    cis_recording_put_number(recording,
                             (uint64_t)(export - instance->program->module->info->exports));
    cis_recording_put_slots(recording, export->type, io);
    return cis_recording_check(recording, err);
}

cis_code cis_recording_returned(cis_engine_instance *instance, const char *type,
                                const union cis_slot *io, cis_code code, struct cis_error *err)
{
    cis_recording *recording = cis_recording_of(instance);
    /* An end that a host function gave is on the recording where it left. */
    bool stopped = !recording->ended && cis_recording_by_host(instance->end.code);
    recording->ended = instance->end.code != CIS_OK;
    write_outs(instance);
    put_event(recording, stopped ? CIS_RECORDING_STOPPED : CIS_RECORDING_RETURN);
    cis_recording_put_number(recording, (uint64_t)code);
    if (code == CIS_OK) {
        cis_recording_put_slots(recording, strchr(type, ':') + 1, io);
    } else {
        cis_recording_put_end(recording, &instance->end);
    }
    return cis_recording_check(recording, err);
}

/* ---- host calls ---- */

static cis_code enter(cis_engine_instance *instance, const struct cis_bound *bound,
                      const union cis_slot *io)
{
    cis_recording *recording = cis_recording_of(instance);
    recording->calls++;
    write_outs(instance);
    put_event(recording, CIS_RECORDING_ENTER);
    cis_recording_put_number(recording, (uint64_t)(bound - cis_core_of(instance->program)->bound));
    cis_recording_put_slots(recording, bound->row->type, io);
    cis_recording_put_number(recording, cis_engine_instance_memory_size(instance));
    if (bound->metered) {
        cis_recording_put_number(recording, cis_engine_instance_fuel_left(instance));
    }
    struct cis_error err = {0};
    return cis_recording_check(recording, &err) == CIS_OK
               ? CIS_OK
               : cis_engine_instance_ended_with(instance, &err);
}

static cis_code leave(cis_engine_instance *instance, const struct cis_bound *bound,
                      const union cis_slot *io, cis_code code)
{
    cis_recording *recording = cis_recording_of(instance);
    struct cis_error err = {0};
    write_outs(instance);
    if (code == CIS_OK && cis_recording_check(recording, &err) != CIS_OK) {
        code = cis_engine_instance_ended_with(instance, &err);
    }
    put_event(recording, CIS_RECORDING_LEAVE);
    cis_recording_put_number(recording, (uint64_t)code);
    if (code != CIS_OK) {
        recording->ended = true;
        cis_recording_put_end(recording, &instance->end);
        return code;
    }
    cis_recording_put_slots(recording, strchr(bound->row->type, ':') + 1, io);
    if (bound->metered) {
        cis_recording_put_number(recording, cis_engine_instance_fuel_left(instance));
    }
    return code;
}

cis_code cis_recording_record_call(cis_engine_instance *instance, const struct cis_bound *bound,
                                   union cis_slot *io, cis_core_perform *perform)
{
    cis_code code = enter(instance, bound, io);
    if (code == CIS_OK) {
        code = perform(instance, bound, io);
    }
    return leave(instance, bound, io, code);
}

void cis_recording_pause(cis_engine_instance *instance, bool on)
{
    cis_recording_of(instance)->paused = on;
}

/* ---- memory grows; fuel is filled up ---- */

void cis_recording_grow(cis_engine_instance *instance, uint64_t bytes)
{
    write_outs(instance);
    put_event(cis_recording_of(instance), CIS_RECORDING_GROW);
    cis_recording_put_number(cis_recording_of(instance), bytes);
}

void cis_recording_grew(cis_engine_instance *instance, bool ok, uint64_t ptr)
{
    put_event(cis_recording_of(instance), CIS_RECORDING_GREW);
    cis_recording_put_number(cis_recording_of(instance), ok ? 1 : 0);
    cis_recording_put_number(cis_recording_of(instance), ok ? ptr : 0);
}

void cis_recording_asked(cis_engine_instance *instance, bool table, uint64_t from, uint64_t to,
                         bool yes)
{
    put_event(cis_recording_of(instance), CIS_RECORDING_ASK);
    cis_recording_put_number(cis_recording_of(instance), (table ? 1u : 0u) | (yes ? 2u : 0u));
    cis_recording_put_number(cis_recording_of(instance), from);
    cis_recording_put_number(cis_recording_of(instance), to);
}

void cis_recording_rearm(cis_engine_instance *instance, uint64_t fuel)
{
    write_outs(instance);
    put_event(cis_recording_of(instance), CIS_RECORDING_REARM);
    cis_recording_put_number(cis_recording_of(instance), fuel);
}
