/* Playing a recording: what the host did to the guest in between calls, done or compared; and how a
 * difference is told. */
#include <inttypes.h>
#include <stdio.h>
#include "base/mem.h"
#include "engine/recording/recording_component.h"

#define SHOW_STEP 65536u

/* ---- its time ---- */

void cis_recording_look(cis_recording *recording)
{
    cis_engine_instance *instance = recording->instance;
    struct cis_error why = {0};
    if (recording->player == NULL || recording->failed.code != CIS_OK) {
        return;
    }
    if (instance == NULL || !instance->turn.held || instance->end.code != CIS_OK) {
        (void)cis_stop_check(&recording->player->options.stop, recording->path, &why);
    } else if (cis_engine_instance_pause(instance) != CIS_OK) {
        why = instance->end.error;
    }
    if (why.code != CIS_OK) {
        recording->failed = why;
    }
}

/* ---- differences ---- */

cis_code cis_recording_unplayable(cis_engine_instance *instance)
{
    const struct cis_error *why = &cis_recording_of(instance)->failed;
    if (why->code != CIS_OK && instance->end.code == CIS_OK) {
        (void)cis_engine_instance_ended(instance, why->code, NULL, 0, 0, "%s", why->msg);
    }
    return why->code;
}

cis_code cis_recording_fail(cis_engine_instance *instance, const struct cis_error *why)
{
    if (cis_recording_of(instance)->failed.code == CIS_OK) {
        cis_recording_of(instance)->failed = *why;
    }
    return cis_recording_unplayable(instance);
}

static cis_code damaged(cis_engine_instance *instance, const char *what)
{
    cis_recording_damaged(cis_recording_of(instance), what);
    return cis_recording_unplayable(instance);
}

static struct cis_str core_import(const struct cis_engine_module_info *info, uint64_t index)
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

void cis_recording_import_name(const cis_engine_instance *instance, uint64_t index, char *out,
                               size_t room)
{
    const struct cis_engine_module *module = instance->program->module;
    const struct cis_component_program *p =
        module->component != NULL ? cis_component_of(instance->program) : NULL;
    const struct cis_ifacefn *row = p != NULL && index < p->nifaces ? p->ifaces[index].row : NULL;
    struct cis_str name = p == NULL ? core_import(module->info, index) : CIS_STR("no function");
    if (row != NULL) {
        snprintf(out, room, "%s.%s", row->interface, row->name);
    } else {
        snprintf(out, room, "%.*s", name.len > 64 ? 64 : (int)name.len, name.ptr);
    }
}

cis_code cis_recording_differs(cis_engine_instance *instance, const char *fmt, ...)
{
    const cis_recording *recording = cis_recording_of(instance);
    struct cis_error why = {0};
    va_list args;
    va_start(args, fmt);
    (void)cis_fail_v(&why, CIS_E_DIVERGED, fmt, args);
    va_end(args);
    if (recording->in_call) {
        char name[CIS_RECORDING_NAME_MAX];
        cis_recording_import_name(instance, recording->import, name, sizeof name);
        cis_error_prefix(&why, CIS_E_DIVERGED, "call %" PRIu64 " (%s)", recording->calls, name);
    } else {
        cis_error_prefix(&why, CIS_E_DIVERGED, "after call %" PRIu64, recording->calls);
    }
    return cis_recording_fail(instance, &why);
}

/* ---- acts ---- */

static cis_code outside(cis_engine_instance *instance, const char *did, uint64_t ptr, uint64_t len)
{
    return cis_recording_differs(
        instance,
        "%" PRIu64 " bytes at 0x%" PRIx64
        " were %s when this was recorded; here they are outside the memory",
        len, ptr, did);
}

static cis_code play_read(cis_engine_instance *instance)
{
    cis_recording *recording = cis_recording_of(instance);
    uint8_t then[CIS_RECORDING_RAW_MAX], digest[CIS_RECORDING_DIGEST];
    uint64_t ptr = cis_recording_get_number(recording), len = cis_recording_get_number(recording);
    bool raw = len <= CIS_RECORDING_RAW_MAX;
    cis_recording_get(recording, then, raw ? (size_t)len : sizeof digest);
    CIS_TRY(cis_recording_unplayable(instance));
    const uint8_t *now = cis_engine_instance_peek(instance, ptr, len);
    if (recording->stopped) {
        return CIS_OK;
    }
    if (now == NULL) {
        return outside(instance, "read", ptr, len);
    }
    for (size_t i = 0; raw && i < len; i++) {
        if (now[i] != then[i]) {
            return cis_recording_differs(instance,
                                         "byte %zu of the %" PRIu64 " that are read at 0x%" PRIx64
                                         " is 0x%02x here, 0x%02x recorded",
                                         i, len, ptr, now[i], then[i]);
        }
    }
    if (!raw) {
        cis_recording_digest(recording, now, (size_t)len, digest);
        CIS_TRY(cis_recording_unplayable(instance));
    }
    return raw || memcmp(digest, then, sizeof digest) == 0
               ? CIS_OK
               : cis_recording_differs(instance,
                                       "the %" PRIu64 " bytes that are read at 0x%" PRIx64
                                       " are not the recorded ones",
                                       len, ptr);
}

static cis_code play_write(cis_engine_instance *instance)
{
    cis_recording *recording = cis_recording_of(instance);
    uint64_t ptr = cis_recording_get_number(recording), len = cis_recording_get_number(recording);
    CIS_TRY(cis_recording_unplayable(instance));
    uint8_t *to = cis_engine_instance_peek(instance, ptr, len);
    if (to == NULL) {
        return outside(instance, "written", ptr, len);
    }
    cis_recording_get(recording, to, (size_t)len);
    return cis_recording_unplayable(instance);
}

static cis_code show(cis_engine_instance *instance, uint64_t stream, const void *data, size_t len)
{
    const struct cis_recording_player *player = cis_recording_of(instance)->player;
    struct cis_error why = {0};
    if (stream != 1 && stream != 2) {
        return damaged(instance, "unknown stream");
    }
    if (player->show == NULL ||
        player->show(player->show_self, (unsigned)stream, data, len, &why) == CIS_OK) {
        return CIS_OK;
    }
    return cis_recording_fail(instance, &why);
}

static cis_code play_show(cis_engine_instance *instance)
{
    cis_recording *recording = cis_recording_of(instance);
    uint64_t stream = cis_recording_get_number(recording);
    uint64_t ptr = cis_recording_get_number(recording), len = cis_recording_get_number(recording);
    CIS_TRY(cis_recording_unplayable(instance));
    const uint8_t *data = cis_engine_instance_peek(instance, ptr, len);
    if (data == NULL) {
        return outside(instance, "shown", ptr, len);
    }
    for (size_t left = (size_t)len, n; left != 0; left -= n, data += n) {
        n = left < CIS_RECORDING_PIECE ? left : CIS_RECORDING_PIECE;
        CIS_TRY(show(instance, stream, data, n));
        cis_recording_look(recording);
        CIS_TRY(cis_recording_unplayable(instance));
    }
    return CIS_OK;
}

static cis_code play_say(cis_engine_instance *instance)
{
    cis_recording *recording = cis_recording_of(instance);
    uint64_t stream = cis_recording_get_number(recording),
             left = cis_recording_get_number(recording);
    CIS_CLEANUP(cis_freep) uint8_t *piece = cis_alloc(SHOW_STEP);
    if (piece == NULL) {
        struct cis_error why = {0};
        cis_fail(&why, CIS_E_NOMEM, "%s: out of memory", recording->path);
        return cis_recording_fail(instance, &why);
    }
    while (left != 0) {
        size_t n = left < SHOW_STEP ? (size_t)left : SHOW_STEP;
        cis_recording_get(recording, piece, n);
        CIS_TRY(cis_recording_unplayable(instance));
        CIS_TRY(show(instance, stream, piece, n));
        cis_recording_look(recording);
        left -= n;
    }
    return cis_recording_unplayable(instance);
}

static cis_code play_grow(cis_engine_instance *instance)
{
    cis_recording *recording = cis_recording_of(instance);
    uint64_t bytes = cis_recording_get_number(recording), ptr = 0;
    CIS_TRY(cis_recording_unplayable(instance));
    bool ok = cis_engine_instance_grow(instance, bytes, &ptr, NULL) == CIS_OK;
    CIS_TRY(cis_recording_unplayable(instance));
    if (cis_recording_get_event(recording) != CIS_RECORDING_GREW) {
        return damaged(instance, "a growth of memory without a result");
    }
    bool then = cis_recording_get_number(recording) == 1;
    uint64_t place = cis_recording_get_number(recording);
    CIS_TRY(cis_recording_unplayable(instance));
    if (ok == then && ptr == place) {
        return CIS_OK;
    }
    return cis_recording_differs(instance,
                                 "memory %s by %" PRIu64 " bytes here, unlike in the recorded run",
                                 ok ? "grows" : "cannot grow", bytes);
}

cis_code cis_recording_act(cis_engine_instance *instance, uint8_t event)
{
    switch (event) {
    case CIS_RECORDING_READ:
        return play_read(instance);
    case CIS_RECORDING_WRITE:
        return play_write(instance);
    case CIS_RECORDING_SHOW:
        return play_show(instance);
    case CIS_RECORDING_SAY:
        return play_say(instance);
    case CIS_RECORDING_GROW:
        return play_grow(instance);
    default:
        return damaged(instance, "an event that cannot happen here");
    }
}

bool cis_recording_may_grow(cis_engine_instance *instance, bool table, uint64_t from, uint64_t to)
{
    cis_recording *recording = cis_recording_of(instance);
    if (cis_recording_unplayable(instance) != CIS_OK || instance->end.code != CIS_OK) {
        return false;
    }
    uint8_t next = cis_recording_next(recording);
    if (next == CIS_RECORDING_STOPPED) {
        return false; /* it never got here */
    }
    if (next != CIS_RECORDING_ASK) {
        (void)cis_recording_differs(instance,
                                    "memory is to grow here, and was not when this was recorded");
        return false;
    }
    (void)cis_recording_get_event(recording);
    uint64_t bits = cis_recording_get_number(recording);
    uint64_t was_from = cis_recording_get_number(recording),
             was_to = cis_recording_get_number(recording);
    if (cis_recording_unplayable(instance) != CIS_OK) {
        return false;
    }
    if ((bits & 1) != (table ? 1u : 0u) || from != was_from || to != was_to) {
        (void)cis_recording_differs(instance,
                                    "a %s is to grow from %" PRIu64 " to %" PRIu64
                                    " here, a %s from %" PRIu64 " to %" PRIu64
                                    " when this was recorded",
                                    table ? "table" : "memory", from, to,
                                    (bits & 1) != 0 ? "table" : "memory", was_from, was_to);
        return false;
    }
    return (bits & 2) != 0;
}
