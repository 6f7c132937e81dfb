/* `cis fs reflog`: what a branch pointed at. */
#include <inttypes.h>
#include "base/clock.h"
#include "cli/fs/fs.h"

struct listing {
    bool json;
    struct cis_buf line;
};

static void json_entry(const struct cis_history_reflog *e)
{
    const struct cis_fs_commit_row *commit = e->commit;
    char name[CIS_FS_REF_MAX + 32], time[32], left[32];
    snprintf(name, sizeof name, "%s@{%" PRIu64 "}", e->ref, e->n);
    cis_clock_iso(commit != NULL ? commit->time_ms : 0, time);
    cis_clock_iso(e->left_ms, left);
    cis_cli_item(CIS_JSON(
        CIS_J("name", name), CIS_J("branch", e->view.branch), CIS_J("epoch", e->view.epoch),
        CIS_J("files", e->files), CIS_J("bytes", e->bytes),
        e->paths < 0 ? CIS_J_NULL("paths") : CIS_J("paths", e->paths),
        CIS_J_IF(commit != NULL, CIS_J("time", time)),
        CIS_J_IF(commit != NULL, CIS_J("run", commit->run)),
        CIS_J_IF(commit != NULL, CIS_J("kind", commit->kind)),
        CIS_J_IF(commit != NULL, CIS_J("note", commit->note)),
        CIS_J_IF(e->n != 0, CIS_J("left", left)), CIS_J_IF(e->n != 0, CIS_J("by", e->why))));
}

static void line_entry(struct listing *l, const struct cis_history_reflog *e)
{
    char name[CIS_FS_REF_MAX + 32], when[32] = "", paths[32] = "?";
    snprintf(name, sizeof name, "%s@{%" PRIu64 "}", e->ref, e->n);
    if (e->n != 0 || e->commit != NULL) {
        cis_clock_iso(e->n != 0 ? e->left_ms : e->commit->time_ms, when);
    }
    if (e->paths >= 0) {
        snprintf(paths, sizeof paths, "%" PRId64, e->paths);
    }
    cis_buf_printf(&l->line, "%-16s @%-6" PRIu64 " %-24s %6s path%s ", name, e->view.epoch, when,
                   paths, e->paths == 1 ? " " : "s");
    if (e->commit != NULL) {
        cis_buf_byte(&l->line, ' ');
        cis_cli_printable_line(&l->line, e->commit->kind);
        cis_buf_text(&l->line, ": ");
        cis_cli_printable_line(&l->line, e->commit->note);
    }
    if (e->n != 0) {
        cis_buf_text(&l->line, "  (left by: ");
        cis_cli_printable_line(&l->line, e->why);
        cis_buf_byte(&l->line, ')');
    }
    cis_buf_byte(&l->line, '\n');
}

static bool list_entry(void *self, const struct cis_history_reflog *e)
{
    struct listing *l = self;
    if (l->json) {
        json_entry(e);
    } else {
        line_entry(l, e);
    }
    cis_fs_flush(&l->line);
    return true;
}

static cis_code reflog_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct listing l = {.json = cmd->cli->json, .line = CIS_BUF_INIT(1u << 20)};
    uint64_t limit = 0;
    struct cis_str ref = cmd->cli->nargs != 0 ? cis_str_of(cmd->cli->args[0]) : cis_fs_branch(cmd);
    if (!cis_cli_number(cmd->cli, "limit", &limit) || limit > UINT32_MAX) {
        return cis_fail(err, CIS_E_USAGE, "--limit: not a number of entries");
    }
    cis_cli_list(cmd->cli, "reflog");
    cis_code code = cis_history_reflog(&cmd->h, ref, (uint32_t)limit, list_entry, &l, err);
    cis_buf_done(&l.line);
    CIS_TRY(code);
    cis_cli_list_end(NULL);
    return CIS_OK;
}

static const struct cis_cli_option options[] = {
    {"limit", 'n', "N", false, NULL}, {"branch", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_reflog = {
    .name = "fs reflog", .options = options, .max_args = 1, .fs = reflog_verb};
