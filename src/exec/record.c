/* The report of a native program's run: the fields of every report, and what is its own. */
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/json_write.h"
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
    cis_json_write(out, CIS_JSON(CIS_J_LIST("command")));
    for (; o->argv[n] != NULL; n++) {
        struct cis_str text = cis_str_of(o->argv[n]);
        text.len = text.len > 1024 ? 1024 : text.len;
        cis_json_write(out, CIS_JSON(CIS_J_IF(n < ARGUMENTS_MAX, CIS_J(NULL, text))));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END, CIS_J("arguments", n)));
}

void cis_exec_report(const struct exec_record *r, struct cis_buf *out)
{
    const struct cis_exec_outcome *e = r->outcome;
    const struct cis_exec_options *o = r->o;
    uint64_t time_ms = o->time_ns == CIS_NEVER ? 0 : o->time_ns / CIS_NS_PER_MS;
    char name[CIS_EXEC_NAME_MAX], started[32], ended[32];
    cis_exec_name(o, name);
    cis_clock_iso(r->started_ms, started);
    cis_clock_iso(r->ended_ms, ended);
    cis_buf_reset(out);
    cis_json_write(
        out,
        CIS_JSON(CIS_J_OPEN(NULL), CIS_J("schema", 1u), CIS_J("id", e->id), CIS_J("skill", name),
                 CIS_J("tenant", o->tenant), CIS_J("status", cis_run_status(e->code)),
                 CIS_J("code", cis_code_name(e->code)),
                 CIS_J_INT("exit_code", e->exited ? e->exit_code : cis_code_run_exit(e->code)),
                 CIS_J_IF(e->code != CIS_OK, CIS_J("message", e->error.msg)),
                 CIS_J_BOOL("native", true), CIS_J("boundary", "kernel"), CIS_J("network", o->net),
                 CIS_J("exited", e->exited)));
    arguments(o, out);
    cis_json_write(out, CIS_JSON(CIS_J("started", started), CIS_J("ended", ended),
                                 CIS_J("wall_us", r->wall_ns / 1000),
                                 CIS_J("memory_peak", r->usage->memory_peak),
                                 CIS_J("memory_limit", o->memory_bytes),
                                 CIS_J("scratch_peak", r->usage->scratch_peak),
                                 CIS_J("scratch_limit", cis_exec_scratch(o->memory_bytes)),
                                 CIS_J("stored", e->stored), CIS_J("stored_limit", o->stored_bytes),
                                 CIS_J("processes_peak", r->usage->processes_peak),
                                 CIS_J("time_limit_ms", time_ms),
                                 CIS_J("host_bytes_peak", r->budget->peak)));
    cis_json_write(out, CIS_JSON(CIS_J_IF(e->full, CIS_J_OPEN("limit_hit")),
                                 CIS_J_IF(e->full, CIS_J("limit", "stored")),
                                 CIS_J_IF(e->full, CIS_J("configured", o->stored_bytes)),
                                 CIS_J_IF(e->full, CIS_J("reached", e->stored)),
                                 CIS_J_IF(e->full, CIS_J_CLOSE)));
    cis_report_mounts(r->files, out);
    cis_json_write(out, CIS_JSON(CIS_J_OPEN("changes"), CIS_J("committed", r->committed)));
    cis_file_changes_write(r->changes, out);
    cis_json_write(out, CIS_JSON(CIS_J_CLOSE, CIS_J_CLOSE));
}
