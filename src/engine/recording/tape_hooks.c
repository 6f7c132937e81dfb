/* What recording and playing hang on a guest. */
#include "engine/recording/tape_component.h"

static void watch(void *self, cis_guest *guest)
{
    cis_tape *tape = self;
    tape->guest = guest;
}

static const struct cis_guest_hooks recorder = {
    .watch = watch,
    .start = cis_tape_start,
    .call = cis_tape_call,
    .returned = cis_tape_returned,
    .rearm = cis_tape_rearm,
    .host_call = cis_tape_record_call,
    .pause = cis_tape_pause,
    .read = cis_tape_note_read,
    .out = cis_tape_note_out,
    .wrote = cis_tape_note_wrote,
    .shown = cis_tape_shown,
    .asked = cis_tape_asked,
    .grow = cis_tape_grow,
    .grew = cis_tape_grew,
    .typed = cis_tape_record_typed,
    .values = cis_tape_record_values,
    .dropped = cis_tape_record_drop,
    .missing = cis_tape_missing,
    .own = cis_tape_note_own,
    .export_called = cis_tape_export_called,
    .export_returned = cis_tape_export_returned,
};

static const struct cis_guest_hooks player = {
    .watch = watch,
    .tick = cis_tape_tick,
    .host_call = cis_tape_answer,
    .may_grow = cis_tape_may_grow,
    .no_resources = true,
    .typed = cis_tape_play_typed,
    .values = cis_tape_play_values,
    .dropped = cis_tape_play_drop,
};

void cis_tape_watch(cis_tape *tape, struct cis_guest_options *options)
{
    if (tape != NULL) {
        options->hooks = tape->replay ? &player : &recorder;
        options->hooks_self = tape;
    }
}
