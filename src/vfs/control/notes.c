/* What went wrong lately: last_error. */
#include <stdio.h>
#include "base/clock.h"
#include "vfs/control/internal.h"

static void drop(struct ctl *c, unsigned at) CIS_REQUIRES(ctl_lock_state)
{
    memmove(&c->notes[at], &c->notes[at + 1], (c->nnotes - at - 1) * sizeof *c->notes);
    c->nnotes--;
}

void cis_control_note(cis_vfs *vfs, enum cis_control_topic topic, const char *text)
{
    struct ctl *c = ctl_of(vfs);
    struct ctl_note note = {.topic = topic, .wall_ms = cis_clock_wall_ms(), .times = 1};
    snprintf(note.text, sizeof note.text, "%s", text);
    for (char *p = note.text; *p != 0; p++) { /* names of files are in it: one note is one line */
        *p = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
    }
    cis_mutex_lock(&c->lock, ctl_lock_state);
    for (unsigned i = c->nnotes; i > 0;) { /* the same again: once, as the newest */
        i--;
        if (c->notes[i].topic == topic && strcmp(c->notes[i].text, note.text) == 0) {
            note.times += c->notes[i].times;
            drop(c, i);
        }
    }
    if (c->nnotes == CIS_CONTROL_NOTES) {
        drop(c, 0);
    }
    c->notes[c->nnotes++] = note;
    cis_mutex_unlock(&c->lock, ctl_lock_state);
}

void cis_control_well(cis_vfs *vfs, enum cis_control_topic topic)
{
    struct ctl *c = ctl_of(vfs);
    cis_mutex_lock(&c->lock, ctl_lock_state);
    for (unsigned i = c->nnotes; i > 0;) {
        i--;
        if (c->notes[i].topic == topic) {
            drop(c, i);
        }
    }
    cis_mutex_unlock(&c->lock, ctl_lock_state);
}

void cis_ctl_notes_text(struct ctl *c, struct cis_buf *out)
{
    cis_mutex_lock(&c->lock, ctl_lock_state);
    for (unsigned i = 0; i < c->nnotes; i++) {
        const struct ctl_note *n = &c->notes[i];
        char when[32];
        cis_clock_iso(n->wall_ms, when);
        cis_buf_printf(out, "%s %s", when, n->text);
        if (n->times > 1) {
            cis_buf_printf(out, " (%u times)", n->times);
        }
        cis_buf_byte(out, '\n');
    }
    cis_mutex_unlock(&c->lock, ctl_lock_state);
}
