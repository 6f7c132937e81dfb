/* The report of a native program's run: the fields of every report, and what is its own. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "exec/internal.h"
#include "run/report.h"

#define ARGUMENTS_MAX 64u /* told; the rest is counted */

void cis_exec_name(const struct cis_exec_options *o, char out[CIS_EXEC_NAME_MAX])
{
    const char *slash = strrchr(o->argv[0], '/');
    snprintf(out, CIS_EXEC_NAME_MAX, "exec:%.60s", slash != NULL ? slash + 1 : o->argv[0]);
}

static void arguments(const struct cis_exec_options *o, struct cis_buf *out)
{
    size_t n = 0;
    cis_buf_text(out, ",\"command\":[");
    for (; o->argv[n] != NULL; n++) {
        struct cis_str text = cis_str_of(o->argv[n]);
        if (n < ARGUMENTS_MAX) {
            text.len = text.len > 1024 ? 1024 : text.len;
            cis_buf_text(out, n != 0 ? "," : "");
            cis_buf_json(out, text);
        }
    }
    cis_buf_printf(out, "],\"arguments\":%zu", n);
}

void cis_exec_report(const struct exec_record *r, struct cis_buf *out)
{
    const struct cis_exec_outcome *e = r->outcome;
    char name[CIS_EXEC_NAME_MAX], started[32], ended[32];
    cis_exec_name(r->o, name);
    cis_clock_iso(r->started_ms, started);
    cis_clock_iso(r->ended_ms, ended);
    cis_buf_reset(out);
    cis_buf_printf(out, "{\"schema\":1,\"id\":\"%s\",\"skill\":", e->id);
    cis_buf_json(out, cis_str_of(name));
    cis_buf_text(out, ",\"tenant\":");
    cis_buf_json(out, cis_str_of(r->o->tenant));
    cis_buf_printf(out, ",\"status\":\"%s\",\"code\":\"%s\",\"exit_code\":%d",
                   cis_run_status(e->code), cis_code_name(e->code),
                   e->exited ? e->exit_code : cis_code_run_exit(e->code));
    if (e->code != CIS_OK) {
        cis_buf_text(out, ",\"message\":");
        cis_buf_json(out, cis_str_of(e->error.msg));
    }
    cis_buf_printf(out, ",\"native\":true,\"boundary\":\"kernel\",\"network\":%s,\"exited\":%s",
                   r->o->net ? "true" : "false", e->exited ? "true" : "false");
    arguments(r->o, out);
    cis_buf_printf(out,
                   ",\"started\":\"%s\",\"ended\":\"%s\",\"wall_us\":%" PRIu64
                   ",\"memory_peak\":%" PRIu64 ",\"memory_limit\":%" PRIu64
                   ",\"processes_peak\":%" PRIu32 ",\"time_limit_ms\":%" PRIu64
                   ",\"host_bytes_peak\":%" PRIu64,
                   started, ended, r->wall_ns / 1000, r->usage->memory_peak, r->o->memory_bytes,
                   r->usage->processes_peak,
                   (uint64_t)(r->o->time_ns == CIS_NEVER ? 0 : r->o->time_ns / CIS_NS_PER_MS),
                   r->budget->peak);
    cis_report_mounts(r->files, out);
    cis_buf_printf(out, ",\"changes\":{\"committed\":%s", r->committed ? "true" : "false");
    cis_file_changes_write(r->changes, out);
    cis_buf_text(out, "}}");
}
