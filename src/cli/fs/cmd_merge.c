/* `cis fs merge|restore`: changes that are made of other states. */
#include <inttypes.h>
#include "cli/fs/fs.h"

/* One line a conflict on stderr; with --json a list, which the error closes. */
bool cis_fs_tell_conflict(void *self, const struct cis_conflict *c)
{
    struct cis_fs_telling *t = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    if (t->cli->json) {
        if (t->n == 0) {
            cis_cli_list(t->cli, "conflicts");
        }
        cis_cli_item(CIS_JSON(CIS_J("path", c->path), CIS_J("why", c->why)));
    } else {
        cis_cli_printable_line(&line, c->path);
        fprintf(stderr, "conflict: %s: %s\n", cis_buf_cstr(&line), c->why);
    }
    t->n++;
    return true;
}

cis_code cis_fs_tell_done(struct cis_fs_cmd *cmd, cis_code code,
                          const struct cis_history_done *done)
{
    if (code == CIS_OK && cmd->cli->json) {
        cis_cli_object(
            CIS_JSON(CIS_J("changes", done->changes), CIS_J("branch", done->at.view.branch),
                     CIS_J("epoch", done->at.view.epoch), CIS_J_LIST("conflicts"), CIS_J_LIST_END));
    } else if (code == CIS_OK) {
        cis_cli_printf(done->changes == 0 ? "nothing to do\n" : "%" PRIu64 " changes\n",
                       done->changes);
    }
    return code;
}

static struct cis_history_commit how_of(struct cis_fs_cmd *cmd, struct cis_fs_telling *t)
{
    t->cli = cmd->cli;
    return (struct cis_history_commit){.ref = cis_fs_branch(cmd),
                                       .note = cmd->note,
                                       .conflict = cis_fs_tell_conflict,
                                       .self = t,
                                       .dry_run = cis_cli_has(cmd->cli, "dry-run")};
}

static cis_code merge_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_fs_telling t = {.n = 0};
    struct cis_history_commit how = how_of(cmd, &t);
    struct cis_history_done done = {0};
    struct cis_rev theirs;
    CIS_TRY(cis_history_resolve(&cmd->h, cis_str_of(cmd->cli->args[0]), &theirs, err));
    return cis_fs_tell_done(cmd, cis_history_merge(&cmd->h, theirs.view, &how, &done, err), &done);
}

static const struct cis_cli_option merge_options[] = {
    {"dry-run", 0, NULL, false, NULL}, {"branch", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_merge = {
    .name = "fs merge", .options = merge_options, .min_args = 1, .max_args = 1, .fs = merge_verb};

/* ---- restore ---- */
static cis_code restore_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    struct cis_fs_telling t = {.n = 0};
    struct cis_history_commit how = how_of(cmd, &t);
    struct cis_history_done done = {0};
    struct cis_rev from;
    CIS_TRY(cis_history_resolve(&cmd->h, cis_str_of(cis_cli_value(cmd->cli, "from")), &from, err));
    return cis_fs_tell_done(
        cmd,
        cis_history_restore(&cmd->h, from.view, cis_str_of(cmd->cli->args[0]), &how, &done, err),
        &done);
}

static int run_restore(struct cis_cli *cli)
{
    return cis_cli_has(cli, "from")
               ? cis_fs_run(cli, restore_verb)
               : cis_cli_usage(cli, "--from REV is missing: it names the state to restore");
}

static const struct cis_cli_option restore_options[] = {{"from", 0, "REV", false, NULL},
                                                        {"dry-run", 0, NULL, false, NULL},
                                                        {"branch", 0, "NAME", false, NULL},
                                                        {0}};

const struct cis_cli_command cis_cmd_fs_restore = {.name = "fs restore",
                                                   .options = restore_options,
                                                   .min_args = 1,
                                                   .max_args = 1,
                                                   .run = run_restore};
