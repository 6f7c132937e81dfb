/* A whole recording is played: the guest is made, everything on the recording is done to it, to the
 * end. */
#include <inttypes.h>
#include "engine/recording/recording_component.h"

static cis_code play_rearm(cis_engine_instance *instance)
{
    uint64_t fuel = cis_recording_get_number(cis_recording_of(instance));
    CIS_TRY(cis_recording_unplayable(instance));
    cis_engine_instance_rearm(instance, &cis_recording_of(instance)->player->options.stop, fuel);
    return CIS_OK;
}

static cis_code play_end(cis_engine_instance *instance, struct cis_recording_outcome *out)
{
    cis_recording *recording = cis_recording_of(instance);
    struct cis_recording_outcome o = {.code = cis_recording_get_code(recording)};
    o.exited = cis_recording_get_number(recording) == 1;
    o.exit_code = (int32_t)(uint32_t)cis_recording_get_number(recording);
    cis_recording_get_text(recording, o.message, sizeof o.message);
    (void)cis_recording_file_end(recording, NULL);
    CIS_TRY(cis_recording_unplayable(instance));
    *out = o;
    return CIS_OK;
}

static cis_code play_all(cis_engine_instance *instance, struct cis_recording_outcome *out)
{
    for (;;) {
        uint8_t event = cis_recording_get_event(cis_recording_of(instance));
        CIS_TRY(cis_recording_unplayable(instance));
        switch (event) {
        case CIS_RECORDING_END:
            return play_end(instance, out);
        case CIS_RECORDING_CALL:
            CIS_TRY(cis_recording_play_call(instance));
            break;
        case CIS_RECORDING_EXPORT:
            CIS_TRY(cis_recording_play_export(instance));
            break;
        case CIS_RECORDING_REARM:
            CIS_TRY(play_rearm(instance));
            break;
        default:
            CIS_TRY(cis_recording_act(instance, event));
        }
    }
}

static cis_code check_player(const cis_recording *recording,
                             const struct cis_recording_player *player, struct cis_error *err)
{
    const cis_engine_module *module = player->program->module;
    uint8_t digest[CIS_SHA256_BYTES];
    cis_sha256(recording->head.module, digest);
    if (memcmp(digest, module->info->sha256, sizeof digest) != 0) {
        return cis_fail(err, CIS_E_USAGE, "%s: is not the module that was recorded in %s",
                        module->name, recording->path);
    }
    if (module->profile->features != recording->head.features ||
        module->profile->fuel != recording->head.metered ||
        (module->component != NULL) != recording->head.component) {
        return cis_fail(err, CIS_E_USAGE,
                        "%s: loaded with other settings than those recorded in %s", module->name,
                        recording->path);
    }
    if (player->memory_max != 0 && recording->head.limits.memory_bytes > player->memory_max) {
        return cis_fail(err, CIS_E_MEMORY,
                        "%s: the run had up to %" PRIu64 " bytes of memory, the limit is %" PRIu64,
                        recording->path, recording->head.limits.memory_bytes, player->memory_max);
    }
    return CIS_OK;
}

cis_code cis_recording_play(cis_recording *recording, const struct cis_recording_player *player,
                            struct cis_recording_outcome *out, struct cis_error *err)
{
    CIS_TRY(check_player(recording, player, err));
    struct cis_engine_instance_options options = player->options;
    options.limits = recording->head.limits;
    if (player->host_max != 0 && options.limits.host_bytes > player->host_max) {
        options.limits.host_bytes = player->host_max;
    }
    options.grants = 0;
    cis_recording_watch(recording, &options);
    recording->player = player;
    cis_engine_instance *instance = NULL;
    cis_code code =
        cis_engine_instance_new(player->engine, player->program, &options, &instance, err);
    if (instance == NULL) {
        return code;
    }
    code = cis_recording_came_back(instance, "", NULL);
    if (code == CIS_OK) {
        code = play_all(instance, out);
    }
    cis_engine_instance_free(instance);
    (void)cis_recording_check(recording, err);
    if (code == CIS_E_DIVERGED &&
        strcmp(recording->head.engine, cis_glue_wasmtime_version()) != 0) {
        cis_error_prefix(err, code, "recorded with engine %s, this is %s", recording->head.engine,
                         cis_glue_wasmtime_version());
    }
    return code;
}
