/* `cis fs undo|redo`: one commit taken back, and brought back. */
#include <inttypes.h>
#include "base/clock.h"
#include "cli/fs/fs.h"
#include "store/calls.h"

struct undoing {
    struct cis_fs_telling told;
    struct cis_history_turn turn;
    struct cis_history_done done;
};

/* The commit as `cis fs log` shows it. */
static void line_commit(const struct cis_history_turn *turn)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    char when[32];
    cis_clock_iso(turn->time_ms, when);
    cis_buf_printf(&line, "%s of @%" PRIu64 "  %s  ", turn->redo ? "redo" : "undo",
                   turn->commit.epoch, when);
    cis_cli_printable_line(&line, cis_str_of(turn->kind));
    if (turn->run[0] != 0) {
        cis_buf_text(&line, "  ");
        cis_cli_printable_line(&line, cis_str_of(turn->run));
    }
    cis_buf_text(&line, "  ");
    cis_cli_printable_line(&line, cis_str_of(turn->note));
    cis_buf_byte(&line, '\n');
    cis_fs_flush(&line);
}

static void json_commit(const struct undoing *u)
{
    const struct cis_history_turn *turn = &u->turn;
    char when[32];
    cis_clock_iso(turn->time_ms, when);
    cis_cli_list_after(
        CIS_JSON(CIS_J("changes", u->done.changes), CIS_J("branch", u->done.at.view.branch),
                 CIS_J("epoch", u->done.at.view.epoch), CIS_J("redo", turn->redo),
                 CIS_J_LIST("conflicts"), CIS_J_LIST_END, CIS_J_OPEN("commit"),
                 CIS_J("branch", turn->commit.branch), CIS_J("epoch", turn->commit.epoch),
                 CIS_J("time", when), CIS_J("run", turn->run), CIS_J("kind", turn->kind),
                 CIS_J("note", turn->note), CIS_J_CLOSE),
        "paths");
}

/* It is committed: what is shown of it now can fail, and the command has not. Whoever took it for a
 * failure and repeated it would take back one commit more. */
static void not_shown(struct cis_fs_cmd *cmd, const struct undoing *u, const struct cis_error *why)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(65536);
    cis_buf_printf(&line, "it is done (commit @%" PRIu64 "), but not all of it can be shown: ",
                   u->done.at.view.epoch);
    cis_cli_printable_line(&line, cis_str_of(why->msg));
    fprintf(stderr, "cis %s: warning: %s\n", cmd->cli->command->name, cis_buf_cstr(&line));
    cis_cli_list_end(CIS_JSON(CIS_J("warning", cis_buf_view(&line))));
}

/* What was committed is told first; then what the undo itself changed, for beside it others may
 * have committed. */
static void show(struct cis_fs_cmd *cmd, const struct undoing *u, bool committed)
{
    struct cis_view after = u->done.at.view, before = {after.branch, after.epoch - 1};
    struct cis_error why = {0};
    if (cmd->cli->json) {
        json_commit(u);
    } else {
        line_commit(&u->turn);
    }
    if (committed) {
        fflush(stdout); /* what fails is told at the end of main */
        if (cis_fs_show_diff(cmd, before, after, &why) != CIS_OK) {
            not_shown(cmd, u, &why);
            return;
        }
    }
    if (cmd->cli->json) {
        cis_cli_list_end(NULL);
    } else {
        cis_cli_printf(u->done.changes == 0 ? "nothing to do\n" : "%" PRIu64 " changes\n",
                       u->done.changes);
    }
}

static cis_code turn(struct cis_fs_cmd *cmd, bool redo, struct cis_error *err)
{
    struct undoing u = {.told = {.cli = cmd->cli}};
    struct cis_history_commit how = {.ref = cis_fs_branch(cmd),
                                     .conflict = cis_fs_tell_conflict,
                                     .self = &u.told,
                                     .dry_run = cis_cli_has(cmd->cli, "dry-run"),
                                     .turn = &u.turn};
    struct cis_fs_ref was;
    struct cis_rev commit = {.view = {0, 0}};
    if (cmd->cli->nargs != 0) {
        CIS_TRY(cis_history_resolve(&cmd->h, cis_str_of(cmd->cli->args[0]), &commit, err));
    }
    CIS_TRY(cis_store_ref_get(cmd->store, cmd->h.tenant, how.ref, &was, &cmd->stop, err));
    cis_code code = redo ? cis_history_redo(&cmd->h, &how, &u.done, err)
                         : cis_history_undo(&cmd->h, commit.view, &how, &u.done, err);
    if (code != CIS_OK) {
        return cis_fs_tell_done(cmd, code, &u.done);
    }
    bool committed = !how.dry_run && u.done.at.view.epoch > was.head.epoch;
    show(cmd, &u, committed);
    return CIS_OK;
}

static cis_code undo_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    return turn(cmd, false, err);
}

static cis_code redo_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    return turn(cmd, true, err);
}

static const struct cis_cli_option options[] = {
    {"dry-run", 0, NULL, false, NULL}, {"branch", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_undo = {
    .name = "fs undo", .options = options, .max_args = 1, .fs = undo_verb};

const struct cis_cli_command cis_cmd_fs_redo = {
    .name = "fs redo", .options = options, .fs = redo_verb};
