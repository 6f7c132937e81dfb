/* Playing a tape: what the host did to the guest in between calls, done or compared; and how a
 * difference is told. */
#include <inttypes.h>
#include <stdio.h>
#include "base/mem.h"
#include "engine/recording/tape_component.h"

#define SHOW_STEP 65536u

/* ---- differences ---- */

cis_code cis_tape_unplayable(cis_guest *guest)
{
    const struct cis_error *why = &cis_tape_of(guest)->failed;
    if (why->code != CIS_OK && guest->end.code == CIS_OK) {
        (void)cis_guest_ended(guest, why->code, NULL, 0, 0, "%s", why->msg);
    }
    return why->code;
}

cis_code cis_tape_fail(cis_guest *guest, const struct cis_error *why)
{
    if (cis_tape_of(guest)->failed.code == CIS_OK) {
        cis_tape_of(guest)->failed = *why;
    }
    return cis_tape_unplayable(guest);
}

static cis_code damaged(cis_guest *guest, const char *what)
{
    cis_tape_damaged(cis_tape_of(guest), what);
    return cis_tape_unplayable(guest);
}

static struct cis_str core_import(const struct cis_image_info *info, uint64_t index)
{
    for (size_t i = 0; i < info->nimports; i++) {
        if (info->imports[i].kind != CIS_EXTERN_FUNC) {
            continue;
        }
        if (index == 0) {
            return info->imports[i].name;
        }
        index--;
    }
    return CIS_STR("no function");
}

void cis_tape_import_name(const cis_guest *guest, uint64_t index, char *out, size_t room)
{
    const struct cis_image *image = guest->program->image;
    const struct cis_component_program *p =
        image->component != NULL ? cis_component_of(guest->program) : NULL;
    const struct cis_ifacefn *row = p != NULL && index < p->nifaces ? p->ifaces[index].row : NULL;
    struct cis_str name = p == NULL ? core_import(image->info, index) : CIS_STR("no function");
    if (row != NULL) {
        snprintf(out, room, "%s.%s", row->interface, row->name);
    } else {
        snprintf(out, room, "%.*s", name.len > 64 ? 64 : (int)name.len, name.ptr);
    }
}

cis_code cis_tape_differs(cis_guest *guest, const char *fmt, ...)
{
    const cis_tape *tape = cis_tape_of(guest);
    struct cis_error why = {0};
    va_list args;
    va_start(args, fmt);
    (void)cis_fail_v(&why, CIS_E_DIVERGED, fmt, args);
    va_end(args);
    if (tape->in_call) {
        char name[CIS_TAPE_NAME_MAX];
        cis_tape_import_name(guest, tape->import, name, sizeof name);
        cis_error_prefix(&why, CIS_E_DIVERGED, "call %" PRIu64 " (%s)", tape->calls, name);
    } else {
        cis_error_prefix(&why, CIS_E_DIVERGED, "after call %" PRIu64, tape->calls);
    }
    return cis_tape_fail(guest, &why);
}

/* ---- acts ---- */

static cis_code outside(cis_guest *guest, const char *did, uint64_t ptr, uint64_t len)
{
    return cis_tape_differs(guest,
                            "%" PRIu64 " bytes at 0x%" PRIx64
                            " were %s when this was recorded; here they are outside the memory",
                            len, ptr, did);
}

static cis_code play_read(cis_guest *guest)
{
    cis_tape *tape = cis_tape_of(guest);
    uint8_t then[CIS_TAPE_RAW_MAX], digest[CIS_TAPE_DIGEST];
    uint64_t ptr = cis_tape_get_number(tape), len = cis_tape_get_number(tape);
    bool raw = len <= CIS_TAPE_RAW_MAX;
    cis_tape_get(tape, then, raw ? (size_t)len : sizeof digest);
    CIS_TRY(cis_tape_unplayable(guest));
    const uint8_t *now = cis_guest_peek(guest, ptr, len);
    if (tape->stopped) {
        return CIS_OK;
    }
    if (now == NULL) {
        return outside(guest, "read", ptr, len);
    }
    for (size_t i = 0; raw && i < len; i++) {
        if (now[i] != then[i]) {
            return cis_tape_differs(guest,
                                    "byte %zu of the %" PRIu64 " that are read at 0x%" PRIx64
                                    " is 0x%02x here, 0x%02x recorded",
                                    i, len, ptr, now[i], then[i]);
        }
    }
    if (!raw) {
        cis_tape_digest(now, (size_t)len, digest);
    }
    return raw || memcmp(digest, then, sizeof digest) == 0
               ? CIS_OK
               : cis_tape_differs(guest,
                                  "the %" PRIu64 " bytes that are read at 0x%" PRIx64
                                  " are not the recorded ones",
                                  len, ptr);
}

static cis_code play_write(cis_guest *guest)
{
    cis_tape *tape = cis_tape_of(guest);
    uint64_t ptr = cis_tape_get_number(tape), len = cis_tape_get_number(tape);
    CIS_TRY(cis_tape_unplayable(guest));
    uint8_t *to = cis_guest_peek(guest, ptr, len);
    if (to == NULL) {
        return outside(guest, "written", ptr, len);
    }
    cis_tape_get(tape, to, (size_t)len);
    return cis_tape_unplayable(guest);
}

static cis_code show(cis_guest *guest, uint64_t stream, const void *data, size_t len)
{
    const struct cis_tape_player *player = cis_tape_of(guest)->player;
    struct cis_error why = {0};
    if (stream != 1 && stream != 2) {
        return damaged(guest, "a stream that no run has");
    }
    if (player->show == NULL ||
        player->show(player->show_self, (unsigned)stream, data, len, &why) == CIS_OK) {
        return CIS_OK;
    }
    return cis_tape_fail(guest, &why);
}

static cis_code play_show(cis_guest *guest)
{
    cis_tape *tape = cis_tape_of(guest);
    uint64_t stream = cis_tape_get_number(tape);
    uint64_t ptr = cis_tape_get_number(tape), len = cis_tape_get_number(tape);
    CIS_TRY(cis_tape_unplayable(guest));
    const void *data = cis_guest_peek(guest, ptr, len);
    return data != NULL ? show(guest, stream, data, (size_t)len)
                        : outside(guest, "shown", ptr, len);
}

static cis_code play_say(cis_guest *guest)
{
    cis_tape *tape = cis_tape_of(guest);
    uint64_t stream = cis_tape_get_number(tape), left = cis_tape_get_number(tape);
    CIS_CLEANUP(cis_freep) uint8_t *piece = cis_alloc(SHOW_STEP);
    if (piece == NULL) {
        struct cis_error why = {0};
        cis_fail(&why, CIS_E_NOMEM, "%s: out of memory", tape->path);
        return cis_tape_fail(guest, &why);
    }
    while (left != 0) {
        size_t n = left < SHOW_STEP ? (size_t)left : SHOW_STEP;
        cis_tape_get(tape, piece, n);
        CIS_TRY(cis_tape_unplayable(guest));
        CIS_TRY(show(guest, stream, piece, n));
        left -= n;
    }
    return cis_tape_unplayable(guest);
}

static cis_code play_grow(cis_guest *guest)
{
    cis_tape *tape = cis_tape_of(guest);
    uint64_t bytes = cis_tape_get_number(tape), ptr = 0;
    CIS_TRY(cis_tape_unplayable(guest));
    bool ok = cis_guest_grow(guest, bytes, &ptr, NULL) == CIS_OK;
    CIS_TRY(cis_tape_unplayable(guest));
    if (cis_tape_get_event(tape) != CIS_TAPE_GREW) {
        return damaged(guest, "a growth without an answer");
    }
    bool then = cis_tape_get_number(tape) == 1;
    uint64_t place = cis_tape_get_number(tape);
    CIS_TRY(cis_tape_unplayable(guest));
    if (ok == then && ptr == place) {
        return CIS_OK;
    }
    return cis_tape_differs(guest,
                            "memory %s by %" PRIu64 " bytes here, unlike in the recorded run",
                            ok ? "grows" : "cannot grow", bytes);
}

cis_code cis_tape_act(cis_guest *guest, uint8_t event)
{
    switch (event) {
    case CIS_TAPE_READ:
        return play_read(guest);
    case CIS_TAPE_WRITE:
        return play_write(guest);
    case CIS_TAPE_SHOW:
        return play_show(guest);
    case CIS_TAPE_SAY:
        return play_say(guest);
    case CIS_TAPE_GROW:
        return play_grow(guest);
    default:
        return damaged(guest, "something that no host does here");
    }
}

bool cis_tape_may_grow(cis_guest *guest, bool table, uint64_t from, uint64_t to)
{
    cis_tape *tape = cis_tape_of(guest);
    if (cis_tape_unplayable(guest) != CIS_OK || guest->end.code != CIS_OK) {
        return false;
    }
    uint8_t next = cis_tape_next(tape);
    if (next == CIS_TAPE_STOPPED) {
        return false; /* it never got here */
    }
    if (next != CIS_TAPE_ASK) {
        (void)cis_tape_differs(guest, "memory is to grow here, and was not when this was recorded");
        return false;
    }
    (void)cis_tape_get_event(tape);
    uint64_t bits = cis_tape_get_number(tape);
    uint64_t was_from = cis_tape_get_number(tape), was_to = cis_tape_get_number(tape);
    if (cis_tape_unplayable(guest) != CIS_OK) {
        return false;
    }
    if ((bits & 1) != (table ? 1u : 0u) || from != was_from || to != was_to) {
        (void)cis_tape_differs(guest,
                               "a %s is to grow from %" PRIu64 " to %" PRIu64
                               " here, a %s from %" PRIu64 " to %" PRIu64 " when this was recorded",
                               table ? "table" : "memory", from, to,
                               (bits & 1) != 0 ? "table" : "memory", was_from, was_to);
        return false;
    }
    return (bits & 2) != 0;
}
