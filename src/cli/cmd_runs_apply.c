/* `cis runs apply`: bringing what a run did on a cow mount to the folder. */
#include "cli/kept.h"

struct applying {
    struct cis_kept_showing show; /* first: what cis_kept_show() takes */
    uint64_t conflicts;
};

static void apply_conflict(void *self, struct cis_str path, const char *why)
{
    struct applying *a = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    cis_cli_printable_line(&line, path);
    if (a->conflicts++ < 100) {
        fprintf(stderr, "conflict: %s: %s\n", cis_buf_cstr(&line), why);
    }
}

static const json_t *the_cow(const struct cis_kept *run, const char *guest, size_t *out_n)
{
    const json_t *mounts = json_object_get(run->report, "mounts"), *m, *found = NULL;
    size_t i;
    *out_n = 0;
    json_array_foreach(mounts, i, m)
    {
        if (cis_kept_is_cow(m) &&
            (guest == NULL || strcmp(cis_kept_field(m, "guest"), guest) == 0)) {
            found = m;
            ++*out_n;
        }
    }
    return found;
}

static bool first_commit(void *self, const struct cis_fs_commit_row *row)
{
    memcpy(self, row->run, sizeof row->run);
    return false;
}

static bool take_start(void *self, const struct cis_run_row *row)
{
    *(int64_t *)self = row->started_ms;
    return false;
}

/* When the first run on the branch began: from then on changes of the folder count. */
static cis_code since(struct cis_fs_cmd *cmd, const struct cis_kept *run, const json_t *mount,
                      int64_t *out_ms, struct cis_error *err)
{
    char id[27] = "";
    struct cis_view at;
    const cis_store *store = cmd->store;
    CIS_TRY(cis_kept_commit(cmd, run, mount, &at, err));
    CIS_TRY(store->fs->commits(cmd->store, cmd->h.tenant, at.branch, 0, at.epoch, false, 1, false,
                               first_commit, id, &cmd->stop, err));
    *out_ms = run->started_ms;
    if (id[0] != 0 && strcmp(id, run->id) != 0) { /* its record may be gone: then this run's time */
        struct cis_error why;
        (void)store->ops->run_get(cmd->store, cmd->h.tenant, cis_str_of(id), take_start, out_ms,
                                  &cmd->stop, &why);
    }
    return CIS_OK;
}

static cis_code apply_to(struct cis_fs_cmd *cmd, const struct cis_kept *run, const json_t *mount,
                         struct cis_error *err)
{
    struct applying a = {.show = {.cmd = cmd, .guest = cis_kept_field(mount, "guest"), .err = err}};
    struct cis_cow_apply how = {.dry_run = cis_cli_has(cmd->cli, "dry-run"),
                                .conflict = apply_conflict,
                                .each = cis_kept_show,
                                .self = &a};
    uint64_t n = 0;
    if (!cis_cli_has(cmd->cli, "force")) {
        CIS_TRY(since(cmd, run, mount, &how.since_ms, err));
    }
    cis_code code =
        cis_kept_open_cow(cmd, run, mount, cis_cli_value(cmd->cli, "to"), &a.show.cow, err);
    code = code == CIS_OK ? cis_cow_apply(a.show.cow, &how, &n, err) : code;
    cis_cow_close(a.show.cow);
    if (cmd->cli->json && (code == CIS_OK || a.show.n != 0)) { /* else the error stands alone */
        cis_cli_printf("%s]}\n", a.show.n == 0 ? CIS_KEPT_HEAD : "");
    } else if (code == CIS_OK && n == 0) {
        cis_cli_printf("nothing to do\n");
    }
    return code;
}

static cis_code apply_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    CIS_CLEANUP(cis_kept_done) struct cis_kept run = {.code = CIS_OK};
    const char *guest = cis_cli_value(cmd->cli, "mount");
    size_t n;
    CIS_TRY(cis_kept_find(cmd, cmd->cli->args[0], &run, err));
    const json_t *mount = the_cow(&run, guest, &n);
    if (n == 0) {
        return cis_fail(err, CIS_E_NOTFOUND, "run %s: no folder was mounted as cow%s%.80s", run.id,
                        guest != NULL ? " at " : "", guest != NULL ? guest : "");
    }
    if (n > 1) {
        return cis_fail(err, CIS_E_USAGE,
                        "run %s: %zu folders were mounted as cow; --mount says "
                        "which",
                        run.id, n);
    }
    struct cis_view at;
    struct cis_error why;
    if (cis_kept_commit(cmd, &run, mount, &at, &why) == CIS_E_NOTFOUND) {
        return cis_kept_nothing(&run, err);
    }
    return apply_to(cmd, &run, mount, err);
}

static int run_apply(struct cis_cli *cli)
{
    return cis_fs_run(cli, apply_verb);
}

static const struct cis_cli_option apply_options[] = {
    {"to", 0, "DIR", "another folder than the one that was mounted", false, NULL},
    {"mount", 0, "GUEST", "of several cow mounts the one that the program found here", false, NULL},
    {"dry-run", 0, NULL, "check, and say what would be done", false, NULL},
    {"force", 0, NULL, "overwrite what was changed in the folder since", false, NULL},
    CIS_FS_END_OPTION};

const struct cis_cli_command cis_cmd_runs_apply = {
    .name = "runs apply",
    .args = "ID",
    .summary = "bring what a run did on a cow mount to the folder",
    .help =
        "Says what it does, as `cis runs diff`. When a file that it would replace or remove was "
        "changed in\nthe folder since the run began, or one that it would make is there, all "
        "those are listed, nothing\nis done, and the exit code is 8. Each file is written "
        "beside and moved to its place; all of them\nare no transaction: what a full disk "
        "stopped can be applied again.",
    .examples = "  cis run --dir .:cow formatter.wasm src/\n  cis runs diff 01KAJ2\n"
                "  cis runs apply 01KAJ2\n",
    .options = apply_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_apply};
