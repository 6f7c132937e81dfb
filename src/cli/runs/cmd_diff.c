/* `cis runs diff`: what a run changed. */
#include "cli/runs/kept.h"

#include <inttypes.h>

static cis_code show_cow(struct cis_fs_cmd *cmd, const struct cis_kept *run, const json_t *mount,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_kept_showing_done)
    struct cis_kept_showing s = {.cmd = cmd,
                                 .guest_path = cis_kept_field(mount, "guest"),
                                 .text = cis_cli_has(cmd->cli, "text"),
                                 .zero = cis_cli_has(cmd->cli, "null"),
                                 .err = err};
    cis_code code = cis_kept_open_cow(cmd, run, mount, NULL, &s.cow, err);
    code = code == CIS_OK ? cis_cow_changes(s.cow, cis_kept_show, &s, err) : code;
    cis_cow_close(s.cow);
    return code == CIS_OK ? s.code : code;
}

static bool was_changed(struct cis_fs_cmd *cmd, const struct cis_kept *run, const json_t *mount)
{
    struct cis_view ignored;
    struct cis_error why;
    return cis_kept_is_cow(mount) &&
           cis_kept_commit(cmd, run, mount, &ignored, &why) != CIS_E_NOTFOUND;
}

static bool show_memory(void *self, const struct cis_memory_change *c)
{
    const struct cis_fs_cmd *cmd = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    if (cmd->cli->json) {
        cis_cli_item(CIS_JSON(CIS_J("change", cis_fs_change_word(c->what)), CIS_J("memory", c->ns),
                              CIS_J("key", c->key), CIS_J("size", c->size),
                              CIS_J("old_size", c->old_size)));
    } else if (cis_cli_has(cmd->cli, "null")) {
        char what = c->what == 'A' ? 'a' : c->what == 'D' ? 'd' : 'm';
        cis_fs_raw(&line, (struct cis_str){&what, 1});
        cis_fs_raw(&line, c->ns);
        cis_fs_raw(&line, c->key);
    } else {
        cis_buf_printf(&line, "%c memory ", c->what);
        cis_fs_name(&line, c->ns);
        cis_buf_byte(&line, ' ');
        cis_fs_name(&line, c->key);
        cis_buf_printf(&line, c->what == 'M' ? "  %" PRIu64 " -> %" PRIu64 "\n" : "  %" PRIu64 "\n",
                       c->what == 'A' ? c->size : c->old_size, c->size);
    }
    cis_fs_flush(&line);
    return true;
}

static cis_code diff_all(struct cis_fs_cmd *cmd, const struct cis_kept *run, bool own,
                         struct cis_error *err)
{
    const json_t *mounts = json_object_get(run->report, "mounts"), *m;
    struct cis_view before = {run->commit.branch, run->commit.epoch - 1};
    size_t i;
    if (own) {
        CIS_TRY(cis_fs_show_diff(cmd, before, run->commit, err));
    }
    if (run->commit.branch != 0 && !cis_cli_has(cmd->cli, "path")) {
        CIS_TRY(cis_history_memory_diff(&cmd->h, run->commit, show_memory, cmd, err));
    }
    json_array_foreach(mounts, i, m)
    {
        if (was_changed(cmd, run, m)) {
            CIS_TRY(show_cow(cmd, run, m, err));
        }
    }
    return CIS_OK;
}

static cis_code diff_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    CIS_CLEANUP(cis_kept_done) struct cis_kept run = {.code = CIS_OK};
    CIS_TRY(cis_kept_find(cmd, cmd->cli->args[0], &run, err));
    const json_t *mounts = json_object_get(run.report, "mounts"), *m,
                 *main = cis_kept_carrier(&run);
    bool own = run.commit.branch != 0 && (main == NULL || !cis_kept_is_cow(main)), any = own;
    size_t i;
    json_array_foreach(mounts, i, m)
    {
        any = any || was_changed(cmd, &run, m);
    }
    if (!any && run.commit.branch == 0 && !cis_kept_ended_well(&run)) {
        return cis_kept_nothing(&run, err); /* what it changed was forgotten */
    }
    cis_cli_list(cmd->cli, "changes");
    CIS_TRY(diff_all(cmd, &run, own, err));
    cis_cli_list_end(NULL);
    return CIS_OK;
}

static const struct cis_cli_option diff_options[] = {{"text", 0, NULL, false, NULL},
                                                     {"path", 0, "PATH", false, NULL},
                                                     {"null", 'z', NULL, false, NULL},
                                                     {0}};

const struct cis_cli_command cis_cmd_runs_diff = {
    .name = "runs diff", .options = diff_options, .min_args = 1, .max_args = 1, .fs = diff_verb};
