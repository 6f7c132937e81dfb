/* `cis runs undo|redo`: taking back what a run changed, and the undo of it. */
#include "cli/kept.h"

#define UNDO_NOTE "undo of run "
#define REDO_NOTE "redo of run "

struct turns {
    const char *id;
    struct cis_view commit; /* of the run */
    struct cis_view last;   /* the newest undo or redo of the run; branch 0: none */
    bool undone;
    bool held; /* the run's commit is one of those that led to the branch's head */
};

static bool see_turn(void *self, const struct cis_fs_commit_row *row)
{
    struct turns *t = self;
    static const char *const notes[] = {UNDO_NOTE, REDO_NOTE};
    for (int i = 0; i < 2; i++) {
        struct cis_str rest = row->note;
        size_t n = strlen(notes[i]);
        if (cis_str_starts(rest, cis_str_of(notes[i])) &&
            cis_str_is((struct cis_str){rest.ptr + n, rest.len - n}, t->id)) {
            t->last = (struct cis_view){row->branch, row->epoch};
            t->undone = i == 0;
            t->held = true;
            return false;
        }
    }
    t->held = t->held || (row->branch == t->commit.branch && row->epoch == t->commit.epoch);
    return true;
}

/* The commit of the run as it stands: taken back, and brought back, by commits whose notes say so.
 */
static cis_code find_turns(struct cis_fs_cmd *cmd, const struct cis_kept *run, struct cis_str ref,
                           struct turns *out, struct cis_error *err)
{
    struct cis_fs_ref now;
    *out = (struct turns){.id = run->id, .commit = run->commit};
    CIS_TRY(cmd->store->fs->ref_get(cmd->store, cmd->h.tenant, ref, &now, &cmd->stop, err));
    return cis_history_log(&cmd->h, now.head, 0, false, see_turn, out, err);
}

static cis_code turn(struct cis_fs_cmd *cmd, bool undo, struct cis_error *err)
{
    CIS_CLEANUP(cis_kept_done) struct cis_kept run = {.code = CIS_OK};
    struct cis_history_done done = {0};
    struct turns turns;
    char note[64];
    CIS_TRY(cis_kept_find(cmd, cmd->cli->args[0], &run, err));
    const json_t *main = cis_kept_carrier(&run);
    struct cis_str ref = cis_fs_branch(cmd);
    if (ref.len == 0 && main != NULL) {
        ref = cis_str_of(cis_kept_branch_of(main));
    }
    if (run.commit.branch == 0) {
        return cis_kept_nothing(&run, err);
    }
    CIS_TRY(find_turns(cmd, &run, ref, &turns, err));
    if (!turns.held && !cis_cli_has(cmd->cli, "branch")) {
        return cis_fail(err, CIS_E_USAGE,
                        "run %s: branch %.*s was set to another state and does not hold its commit "
                        "now; --branch names one that does",
                        run.id, CIS_STR_ARG(ref));
    }
    if (undo == turns.undone) {
        return cis_fail(err, CIS_E_USAGE,
                        undo ? "run %s: is undone already (cis runs redo brings it back)"
                             : "run %s: is not undone",
                        run.id);
    }
    struct cis_fs_telling t = {.cli = cmd->cli};
    snprintf(note, sizeof note, "%s%s", undo ? UNDO_NOTE : REDO_NOTE, run.id);
    struct cis_history_commit how = {.ref = ref,
                                     .note = note,
                                     .conflict = cis_fs_tell_conflict,
                                     .self = &t,
                                     .dry_run = cis_cli_has(cmd->cli, "dry-run")};
    struct cis_view commit = turns.last.branch != 0 ? turns.last : run.commit;
    return cis_fs_tell_done(cmd, cis_history_undo(&cmd->h, commit, &how, &done, err), &t, &done);
}

static cis_code undo_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    return turn(cmd, true, err);
}

static cis_code redo_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    return turn(cmd, false, err);
}

static int run_undo(struct cis_cli *cli)
{
    return cis_fs_run(cli, undo_verb);
}

static int run_redo(struct cis_cli *cli)
{
    return cis_fs_run(cli, redo_verb);
}

static const struct cis_cli_option turn_options[] = {
    {"dry-run", 0, NULL, "find conflicts, change nothing", false, NULL},
    {"branch", 0, "NAME", "do it on this branch (default: the one that the run wrote to)", false,
     NULL},
    CIS_FS_END_OPTION};

const struct cis_cli_command cis_cmd_runs_undo = {
    .name = "runs undo",
    .args = "ID",
    .summary = "take back what a run changed, and keep what came after it",
    .help = "Files and memory, as one commit. What was changed again since is a conflict: all are "
            "listed,\nnothing is done, and the exit code is 8. Folders of the host that were "
            "mounted without cow\nare not cis's to undo.",
    .examples = "  cis runs undo 01KAJ2\n",
    .options = turn_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_undo};

const struct cis_cli_command cis_cmd_runs_redo = {.name = "runs redo",
                                                  .args = "ID",
                                                  .summary = "take back the undo of a run",
                                                  .help = "By the same rules as `cis runs undo`.",
                                                  .options = turn_options,
                                                  .min_args = 1,
                                                  .max_args = 1,
                                                  .run = run_redo};
