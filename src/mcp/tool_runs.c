/* The tools that look at runs and take them back. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/clock.h"
#include "base/mem.h"

#define LISTED_MAX 200u
#define CONFLICTS_TOLD 100u

/* ---- runs_list ---- */

cis_code cis_mcp_runs_list(struct mcp_call *call, const struct mcp_tool *tool,
                           const json_t *arguments, struct mcp_result *out, struct cis_error *err)
{
    json_t *list = json_array();
    struct mcp_run run;
    size_t n = 0;
    (void)tool, (void)arguments, (void)err;
    for (; n < LISTED_MAX && cis_mcp_run_nth(call->mcp, n, &run); n++) {
        char when[32];
        cis_clock_iso(run.time_ms, when);
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:b,s:b,s:o}", "run", run.id, "time",
                                              when, "status", run.status, "changed",
                                              run.commit.branch != 0, "undone", run.undone ? 1 : 0,
                                              "what", cis_mcp_text_of(run.what)));
        cis_buf_printf(&out->text, "%s  %s  %s%s  %s\n", run.id, when, run.status,
                       run.undone ? ", undone" : "", run.what);
    }
    if (n == 0) {
        cis_buf_text(&out->text, "no runs yet\n");
    } else if (n == LISTED_MAX) {
        cis_buf_printf(&out->text, "(the newest %u)\n", LISTED_MAX);
    }
    out->structured = json_pack("{s:o}", "runs", list);
    return CIS_OK;
}

/* ---- run_diff ---- */

cis_code cis_mcp_run_diff(struct mcp_call *call, const struct mcp_tool *tool,
                          const json_t *arguments, struct mcp_result *out, struct cis_error *err)
{
    struct mcp_run run;
    (void)tool;
    CIS_TRY(cis_mcp_run_find(call->mcp, cis_mcp_field(arguments, "run"), &run, err));
    return cis_mcp_run_show(call, &run, &out->text, err);
}

/* ---- run_undo, run_redo ---- */

struct conflicts {
    struct cis_buf text;
    unsigned n;
};

static bool take_conflict(void *self, const struct cis_conflict *c)
{
    struct conflicts *all = self;
    if (all->n++ < CONFLICTS_TOLD) {
        cis_buf_text(&all->text, "/");
        cis_buf_str(&all->text, c->path);
        cis_buf_printf(&all->text, ": %s\n", c->why);
    }
    return true;
}

static cis_code turn(struct mcp_call *call, struct mcp_run *run, bool undo,
                     struct cis_history_done *done, struct cis_error *err)
{
    struct conflicts conflicts = {.text = CIS_BUF_INIT((size_t)1 << 20)};
    struct cis_history h = cis_mcp_history(call);
    struct cis_error why = {0};
    char note[64];
    snprintf(note, sizeof note, "%s of run %s", undo ? "undo" : "redo", run->id);
    const char *branch = run->branch[0] != 0 ? run->branch : call->mcp->branch;
    struct cis_history_commit how = {
        .ref = cis_str_of(branch), .note = note, .conflict = take_conflict, .self = &conflicts};
    struct cis_view commit = run->turned.branch != 0 ? run->turned : run->commit;
    cis_code code = cis_history_undo(&h, commit, &how, done, &why);
    if (code == CIS_E_CONFLICT && conflicts.n != 0) {
        const char *first = cis_buf_cstr(&conflicts.text);
        code = cis_fail(err, code, "run %s: nothing was done: %.*s (and %u more)", run->id,
                        (int)strcspn(first, "\n") < 150 ? (int)strcspn(first, "\n") : 150, first,
                        conflicts.n - 1);
    } else if (code != CIS_OK) {
        code = cis_fail(err, code, "run %s: %.160s", run->id, why.msg);
    }
    cis_buf_done(&conflicts.text);
    return code;
}

static cis_code turn_run(struct mcp_call *call, const struct mcp_tool *tool,
                         const json_t *arguments, bool undo, struct mcp_result *out,
                         struct cis_error *err)
{
    struct cis_history_done done = {0};
    struct mcp_run run;
    CIS_TRY(cis_mcp_run_find(call->mcp, cis_mcp_field(arguments, "run"), &run, err));
    if (run.commit.branch == 0) {
        return cis_fail(err, CIS_E_FAILED, "run %s: changed nothing", run.id);
    }
    if (run.undone == undo) {
        return cis_fail(err, CIS_E_FAILED, "run %s: is %s", run.id,
                        undo ? "already undone (run_redo brings it back)" : "not undone");
    }
    bool folder = call->mcp->o.folder != NULL;
    if (folder) { /* is it still the one that is served? */
        CIS_CLEANUP(cis_mcp_tree_close) struct mcp_tree t = {0};
        CIS_TRY(cis_mcp_tree_open(call, tool->name, false, &t, err));
    }
    cis_code code = folder && run.skill ? CIS_E_CONFLICT : turn(call, &run, undo, &done, err);
    /* By its rows a run is taken back exactly, links and folders too; by the text of its files also
     * when a later run was the first to need a folder that this one copied. */
    if (code == CIS_E_CONFLICT && folder && !run.shell) {
        CIS_TRY(cis_mcp_turn_cow(call, tool, &run, out, err));
        cis_buf_printf(&out->text, "%s run %s\n", undo ? "undid" : "redid", run.id);
        run.undone = undo;
        cis_mcp_run_turned(call->mcp, &run);
        return CIS_OK;
    }
    if (code != CIS_OK) {
        return code;
    }
    struct cis_view after = done.at.view, before = {after.branch, after.epoch - 1};
    memcpy(out->run, run.id, sizeof out->run);
    out->changes = json_array();
    run.turned = after;
    run.undone = undo;
    cis_mcp_run_turned(call->mcp, &run);
    struct cis_error ignored; /* it is done, whatever can be told of it */
    (void)cis_mcp_diff(call, before, after, NULL, out->changes, NULL, &ignored);
    /* In a folder the rows are those of the changes, and of what keeps them apart from its own. */
    uint64_t n = folder ? json_array_size(out->changes) : done.changes;
    cis_buf_printf(&out->text, "%s run %s: %llu change%s\n", undo ? "undid" : "redid", run.id,
                   (unsigned long long)n, n == 1 ? "" : "s");
    return CIS_OK;
}

cis_code cis_mcp_run_undo(struct mcp_call *call, const struct mcp_tool *tool,
                          const json_t *arguments, struct mcp_result *out, struct cis_error *err)
{
    return turn_run(call, tool, arguments, true, out, err);
}

cis_code cis_mcp_run_redo(struct mcp_call *call, const struct mcp_tool *tool,
                          const json_t *arguments, struct mcp_result *out, struct cis_error *err)
{
    return turn_run(call, tool, arguments, false, out, err);
}
