/* A whole tape is played: the guest is made, everything on the tape is done to it, to the end. */
#include <inttypes.h>
#include "engine/recording/tape_component.h"

static cis_code play_rearm(cis_guest *guest)
{
    uint64_t fuel = cis_tape_get_number(cis_tape_of(guest));
    CIS_TRY(cis_tape_unplayable(guest));
    cis_guest_rearm(guest, &cis_tape_of(guest)->player->options.stop, fuel);
    return CIS_OK;
}

static cis_code play_end(cis_guest *guest, struct cis_tape_outcome *out)
{
    cis_tape *tape = cis_tape_of(guest);
    struct cis_tape_outcome o = {.code = cis_tape_get_code(tape)};
    o.exited = cis_tape_get_number(tape) == 1;
    o.exit_code = (int32_t)(uint32_t)cis_tape_get_number(tape);
    cis_tape_get_text(tape, o.message, sizeof o.message);
    (void)cis_tape_file_end(tape, NULL);
    CIS_TRY(cis_tape_unplayable(guest));
    *out = o;
    return CIS_OK;
}

static cis_code play_all(cis_guest *guest, struct cis_tape_outcome *out)
{
    for (;;) {
        uint8_t event = cis_tape_get_event(cis_tape_of(guest));
        CIS_TRY(cis_tape_unplayable(guest));
        switch (event) {
        case CIS_TAPE_END:
            return play_end(guest, out);
        case CIS_TAPE_CALL:
            CIS_TRY(cis_tape_play_call(guest));
            break;
        case CIS_TAPE_EXPORT:
            CIS_TRY(cis_tape_play_export(guest));
            break;
        case CIS_TAPE_REARM:
            CIS_TRY(play_rearm(guest));
            break;
        default:
            CIS_TRY(cis_tape_act(guest, event));
        }
    }
}

static cis_code check_player(const cis_tape *tape, const struct cis_tape_player *player,
                             struct cis_error *err)
{
    const cis_image *image = player->program->image;
    uint8_t digest[CIS_SHA256_BYTES];
    cis_sha256(tape->head.module, digest);
    if (memcmp(digest, image->info->sha256, sizeof digest) != 0) {
        return cis_fail(err, CIS_E_USAGE, "%s: is not the module that was recorded in %s",
                        image->name, tape->path);
    }
    if (image->profile->features != tape->head.features ||
        image->profile->fuel != tape->head.metered ||
        (image->component != NULL) != tape->head.component) {
        return cis_fail(err, CIS_E_USAGE, "%s: was not loaded as %s has it", image->name,
                        tape->path);
    }
    if (player->memory_max != 0 && tape->head.limits.memory_bytes > player->memory_max) {
        return cis_fail(err, CIS_E_MEMORY,
                        "%s: the run had up to %" PRIu64 " bytes of memory, the limit is %" PRIu64,
                        tape->path, tape->head.limits.memory_bytes, player->memory_max);
    }
    return CIS_OK;
}

cis_code cis_tape_play(cis_tape *tape, const struct cis_tape_player *player,
                       struct cis_tape_outcome *out, struct cis_error *err)
{
    CIS_TRY(check_player(tape, player, err));
    struct cis_guest_options options = player->options;
    options.limits = tape->head.limits;
    options.grants = 0;
    cis_tape_watch(tape, &options);
    tape->player = player;
    cis_guest *guest = NULL;
    cis_code code = cis_guest_new(player->engine, player->program, &options, &guest, err);
    if (guest == NULL) {
        return code;
    }
    code = cis_tape_came_back(guest, "", NULL);
    if (code == CIS_OK) {
        code = play_all(guest, out);
    }
    cis_guest_free(guest);
    (void)cis_tape_check(tape, err);
    if (code == CIS_E_DIVERGED && strcmp(tape->head.engine, cis_glue_wasmtime_version()) != 0) {
        cis_error_prefix(err, code, "recorded with engine %s, this is %s", tape->head.engine,
                         cis_glue_wasmtime_version());
    }
    return code;
}
