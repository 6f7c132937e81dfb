/* Recording: the hooks of a guest (hooks.h), each of which appends an event. What a host function
 * writes is known by the places it asked for; their bytes go to the tape when it can no longer
 * write there: when it leaves, and before the guest runs again or its memory moves. */
#include "engine/recording/tape_in.h"
#include "base/wraps.h"

static void put_event(cis_tape *tape, enum cis_tape_event event)
{
    uint8_t byte = (uint8_t)event;
    cis_tape_put(tape, &byte, 1);
}

/* ---- memory ---- */

static bool overlaps(const struct cis_tape_range *r, uint64_t ptr, uint64_t len)
{
    return ptr < r->ptr + r->len && r->ptr < ptr + len;
}

static bool touches_outs(const cis_tape *tape, uint64_t ptr, uint64_t len)
{
    for (size_t i = 0; i < tape->nouts; i++) {
        if (overlaps(&tape->outs[i], ptr, len)) {
            return true;
        }
    }
    return false;
}

static bool was_seen(cis_tape *tape, uint64_t ptr, uint64_t len)
{
    size_t n = tape->nseen < CIS_TAPE_SEEN_MAX ? tape->nseen : CIS_TAPE_SEEN_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct cis_tape_range *r = &tape->seen[i];
        if (ptr >= r->ptr && ptr - r->ptr <= r->len && len <= r->len - (ptr - r->ptr)) {
            return true;
        }
    }
    tape->seen[tape->nseen++ % CIS_TAPE_SEEN_MAX] = (struct cis_tape_range){ptr, len};
    return false;
}

/* Between two calls of the host nothing changes memory but the host: one note a place is enough.
 * What it may be writing at this moment is left out; those bytes come from the tape anyway. */
void cis_tape_note_read(cis_guest *guest, uint64_t ptr, const void *at, uint64_t len)
{
    cis_tape *tape = cis_tape_of(guest);
    if (len == 0 || tape->paused || touches_outs(tape, ptr, len) || was_seen(tape, ptr, len)) {
        return;
    }
    put_event(tape, CIS_TAPE_READ);
    cis_tape_put_number(tape, ptr);
    cis_tape_put_number(tape, len);
    if (len <= CIS_TAPE_RAW_MAX) {
        cis_tape_put(tape, at, (size_t)len);
    } else {
        uint8_t digest[CIS_TAPE_DIGEST];
        cis_tape_digest(at, (size_t)len, digest);
        cis_tape_put(tape, digest, sizeof digest);
    }
}

void cis_tape_note_out(cis_guest *guest, uint64_t ptr, uint64_t len)
{
    cis_tape *tape = cis_tape_of(guest);
    if (len == 0 || tape->paused) {
        return;
    }
    if (tape->nouts < CIS_TAPE_RANGES_MAX) {
        tape->outs[tape->nouts++] = (struct cis_tape_range){ptr, len};
        return;
    }
    /* More places than are counted: all that lies between the last two is kept. */
    struct cis_tape_range *last = &tape->outs[CIS_TAPE_RANGES_MAX - 1];
    uint64_t from = ptr < last->ptr ? ptr : last->ptr;
    uint64_t to = ptr + len > last->ptr + last->len ? ptr + len : last->ptr + last->len;
    *last = (struct cis_tape_range){from, to - from};
    tape->crowded = true;
}

void cis_tape_note_wrote(cis_guest *guest, uint64_t total)
{
    cis_tape *tape = cis_tape_of(guest);
    for (size_t i = 0; i < tape->nouts && !tape->crowded; i++) {
        struct cis_tape_range *r = &tape->outs[i];
        r->len = r->len < total ? r->len : total;
        total -= r->len;
    }
}

static void write_outs(cis_guest *guest)
{
    cis_tape *tape = cis_tape_of(guest);
    for (size_t i = 0; i < tape->nouts; i++) {
        const struct cis_tape_range *r = &tape->outs[i];
        const void *at = r->len != 0 ? cis_guest_peek(guest, r->ptr, r->len) : NULL;
        if (at != NULL) {
            put_event(tape, CIS_TAPE_WRITE);
            cis_tape_put_number(tape, r->ptr);
            cis_tape_put_number(tape, r->len);
            cis_tape_put(tape, at, (size_t)r->len);
        }
    }
    tape->nouts = tape->nseen = 0;
    tape->crowded = false;
}

/* ---- what is said beside memory ---- */

CIS_WRAPS void cis_tape_show(cis_tape *tape, unsigned stream, const void *data, size_t len)
{
    if (tape == NULL || tape->replay || len == 0) {
        return;
    }
    cis_guest *guest = tape->guest;
    uint64_t size = guest != NULL ? cis_guest_memory_size(guest) : 0;
    /* Below the memory, the difference is larger than any memory. */
    uint64_t at = size != 0 ? (uintptr_t)data - (uintptr_t)cis_guest_peek(guest, 0, 0) : 0;
    bool inside = at < size && len <= size - at && !touches_outs(tape, at, len);
    put_event(tape, inside ? CIS_TAPE_SHOW : CIS_TAPE_SAY);
    cis_tape_put_number(tape, stream);
    if (inside) {
        cis_tape_put_number(tape, at);
    }
    cis_tape_put_number(tape, len);
    if (!inside) {
        cis_tape_put(tape, data, len);
    }
}

void cis_tape_shown(cis_guest *guest, unsigned stream, const void *data, size_t len)
{
    cis_tape_show(cis_tape_of(guest), stream, data, len);
}

void cis_tape_put_end(cis_tape *tape, const struct cis_guest_end *end)
{
    const char *limit = end->limit != NULL ? end->limit : "";
    cis_tape_put_number(tape, end->exited ? 1 : 0);
    cis_tape_put_number(tape, (uint32_t)end->exit_code);
    cis_tape_put_text(tape, (struct cis_str){limit, strnlen(limit, CIS_TAPE_LIMIT_NAME - 1)});
    cis_tape_put_number(tape, end->configured);
    cis_tape_put_number(tape, end->reached);
    cis_tape_put_text(tape, cis_str_of(end->error.msg));
}

/* ---- the guest is made, called, and comes back ---- */

cis_code cis_tape_start(cis_guest *guest, const struct cis_limits *limits, struct cis_error *err)
{
    cis_tape *tape = cis_tape_of(guest);
    const cis_image *image = guest->program->image;
    uint8_t digest[CIS_SHA256_BYTES];
    cis_sha256(tape->source.module, digest);
    if ((image->profile->features & CIS_FEATURE_CANONICAL_NAN) == 0 ||
        memcmp(digest, image->info->sha256, sizeof digest) != 0) {
        return cis_fail(err, CIS_E_USAGE, "%s: was not loaded for a run that is recorded",
                        image->name);
    }
    cis_tape_put_head(tape, image);
    put_event(tape, CIS_TAPE_START);
    cis_tape_put_number(tape, limits->memory_bytes);
    cis_tape_put_number(tape, limits->table_elements);
    cis_tape_put_number(tape, limits->fuel);
    if (image->component != NULL) { /* what its calls may carry follows from it */
        cis_tape_put_number(tape, limits->host_bytes);
    }
    return cis_tape_check(tape, err);
}

cis_code cis_tape_call(cis_guest *guest, const struct cis_extern *export, const union cis_slot *io,
                       struct cis_error *err)
{
    cis_tape *tape = cis_tape_of(guest);
    if (!cis_tape_has_type(export->type)) {
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "%s: a call of " CIS_STR_FMT " (%s) cannot be recorded",
                        guest->program->image->name, CIS_STR_ARG(export->name), export->type);
    }
    write_outs(guest);
    put_event(tape, CIS_TAPE_CALL);
    cis_tape_put_number(tape, (uint64_t)(export - guest->program->image->info->exports));
    cis_tape_put_slots(tape, export->type, io);
    return cis_tape_check(tape, err);
}

cis_code cis_tape_returned(cis_guest *guest, const char *type, const union cis_slot *io,
                           cis_code code, struct cis_error *err)
{
    cis_tape *tape = cis_tape_of(guest);
    /* An end that a host function gave is on the tape where it left. */
    bool stopped = !tape->ended && cis_tape_by_host(guest->end.code);
    tape->ended = guest->end.code != CIS_OK;
    write_outs(guest);
    put_event(tape, stopped ? CIS_TAPE_STOPPED : CIS_TAPE_RETURN);
    cis_tape_put_number(tape, (uint64_t)code);
    if (code == CIS_OK) {
        cis_tape_put_slots(tape, strchr(type, ':') + 1, io);
    } else {
        cis_tape_put_end(tape, &guest->end);
    }
    return cis_tape_check(tape, err);
}

/* ---- host calls ---- */

static cis_code enter(cis_guest *guest, const struct cis_bound *bound, const union cis_slot *io)
{
    cis_tape *tape = cis_tape_of(guest);
    tape->calls++;
    write_outs(guest);
    put_event(tape, CIS_TAPE_ENTER);
    cis_tape_put_number(tape, (uint64_t)(bound - cis_core_of(guest->program)->bound));
    cis_tape_put_slots(tape, bound->row->type, io);
    cis_tape_put_number(tape, cis_guest_memory_size(guest));
    if (bound->metered) {
        cis_tape_put_number(tape, cis_guest_fuel_left(guest));
    }
    struct cis_error err = {0};
    return cis_tape_check(tape, &err) == CIS_OK ? CIS_OK : cis_guest_ended_with(guest, &err);
}

static cis_code leave(cis_guest *guest, const struct cis_bound *bound, const union cis_slot *io,
                      cis_code code)
{
    cis_tape *tape = cis_tape_of(guest);
    struct cis_error err = {0};
    write_outs(guest);
    if (code == CIS_OK && cis_tape_check(tape, &err) != CIS_OK) {
        code = cis_guest_ended_with(guest, &err);
    }
    put_event(tape, CIS_TAPE_LEAVE);
    cis_tape_put_number(tape, (uint64_t)code);
    if (code != CIS_OK) {
        tape->ended = true;
        cis_tape_put_end(tape, &guest->end);
        return code;
    }
    cis_tape_put_slots(tape, strchr(bound->row->type, ':') + 1, io);
    if (bound->metered) {
        cis_tape_put_number(tape, cis_guest_fuel_left(guest));
    }
    return code;
}

cis_code cis_tape_record_call(cis_guest *guest, const struct cis_bound *bound, union cis_slot *io,
                              cis_core_perform *perform)
{
    cis_code code = enter(guest, bound, io);
    if (code == CIS_OK) {
        code = perform(guest, bound, io);
    }
    return leave(guest, bound, io, code);
}

void cis_tape_pause(cis_guest *guest, bool on)
{
    cis_tape_of(guest)->paused = on;
}

/* ---- memory grows; fuel is filled up ---- */

void cis_tape_grow(cis_guest *guest, uint64_t bytes)
{
    write_outs(guest);
    put_event(cis_tape_of(guest), CIS_TAPE_GROW);
    cis_tape_put_number(cis_tape_of(guest), bytes);
}

void cis_tape_grew(cis_guest *guest, bool ok, uint64_t ptr)
{
    put_event(cis_tape_of(guest), CIS_TAPE_GREW);
    cis_tape_put_number(cis_tape_of(guest), ok ? 1 : 0);
    cis_tape_put_number(cis_tape_of(guest), ok ? ptr : 0);
}

void cis_tape_asked(cis_guest *guest, bool table, uint64_t from, uint64_t to, bool yes)
{
    put_event(cis_tape_of(guest), CIS_TAPE_ASK);
    cis_tape_put_number(cis_tape_of(guest), (table ? 1u : 0u) | (yes ? 2u : 0u));
    cis_tape_put_number(cis_tape_of(guest), from);
    cis_tape_put_number(cis_tape_of(guest), to);
}

void cis_tape_rearm(cis_guest *guest, uint64_t fuel)
{
    write_outs(guest);
    put_event(cis_tape_of(guest), CIS_TAPE_REARM);
    cis_tape_put_number(cis_tape_of(guest), fuel);
}
