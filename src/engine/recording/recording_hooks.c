/* What recording and playing hang on a guest. */
#include "engine/recording/recording_component.h"

static void watch(void *self, cis_engine_instance *instance)
{
    cis_recording *recording = self;
    recording->instance = instance;
}

static const struct cis_engine_instance_hooks recorder = {
    .watch = watch,
    .start = cis_recording_start,
    .call = cis_recording_call,
    .returned = cis_recording_returned,
    .rearm = cis_recording_rearm,
    .host_call = cis_recording_record_call,
    .pause = cis_recording_pause,
    .read = cis_recording_note_read,
    .out = cis_recording_note_out,
    .wrote = cis_recording_note_wrote,
    .shown = cis_recording_shown,
    .asked = cis_recording_asked,
    .grow = cis_recording_grow,
    .grew = cis_recording_grew,
    .typed = cis_recording_record_typed,
    .values = cis_recording_record_values,
    .dropped = cis_recording_record_drop,
    .missing = cis_recording_missing,
    .own = cis_recording_note_own,
    .export_called = cis_recording_export_called,
    .export_returned = cis_recording_export_returned,
};

static const struct cis_engine_instance_hooks player = {
    .watch = watch,
    .tick = cis_recording_tick,
    .host_call = cis_recording_answer,
    .may_grow = cis_recording_may_grow,
    .no_resources = true,
    .typed = cis_recording_play_typed,
    .values = cis_recording_play_values,
    .dropped = cis_recording_play_drop,
};

void cis_recording_watch(cis_recording *recording, struct cis_engine_instance_options *options)
{
    if (recording != NULL) {
        options->hooks = recording->replay ? &player : &recorder;
        options->hooks_self = recording;
    }
}
