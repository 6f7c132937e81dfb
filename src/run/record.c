/* The last thing on a run's recording: what it gave to whoever started it. */
#include "run/session.h"

#include <stdio.h>

/* What is printed when the run has ended: the results of an export that was called by name, or a
 * skill's result, a value with a newline. */
static void show_result(const cis_session *s, const struct cis_run_outcome *o)
{
    if (o->code != CIS_OK && o->code != CIS_E_FAILED) {
        return;
    }
    cis_recording_show(s->request.recording, 1, o->output.ptr, o->output.len);
    if (s->request.program == NULL && !o->raw && o->output.len != 0) {
        cis_recording_show(s->request.recording, 1, "\n", 1);
    }
}

void cis_run_recording_end(cis_session *s, struct cis_run_outcome *o)
{
    if (s->request.recording == NULL) {
        return;
    }
    show_result(s, o);
    struct cis_recording_outcome end = {
        .code = o->code, .exited = o->exited, .exit_code = o->exit_code};
    snprintf(end.message, sizeof end.message, "%s", o->code != CIS_OK ? o->error.msg : "");
    struct cis_error err = {0};
    cis_code code = cis_recording_finish(s->request.recording, &end, &err);
    if (code != CIS_OK) {
        o->code = code;
        o->error = err;
    }
}
