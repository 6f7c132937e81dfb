/* `cis runs apply`: bringing what a run did on a cow mount to the folder. */
#include "cli/runs/kept.h"

struct applying {
    struct cis_kept_showing show; /* first: what cis_kept_show() takes */
    uint64_t conflicts, left_out;
};

static void apply_conflict(void *self, struct cis_str path, const char *why)
{
    struct applying *a = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    cis_cli_printable_line(&line, path);
    cis_buf_text(&line, ": ");
    cis_cli_printable_line(&line, cis_str_of(why)); /* a symlink's target is the guest's text */
    if (a->conflicts++ < 100) {
        fprintf(stderr, "conflict: %s\n", cis_buf_cstr(&line));
    }
}

static void apply_aside(void *self, struct cis_str path, const char *name)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    (void)self;
    cis_cli_printable_line(&line, path);
    fprintf(stderr, "left aside: %s is %s in the folder\n", cis_buf_cstr(&line), name);
}

static void apply_left_out(void *self, struct cis_str path, uint32_t mode)
{
    struct applying *a = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    cis_cli_printable_line(&line, path);
    if (a->left_out++ < 100) {
        fprintf(stderr, "left out: %s: a %s\n", cis_buf_cstr(&line), cis_fs_type(mode));
    }
}

static const json_t *the_cow(const struct cis_kept *run, const char *guest_path, size_t *out_n)
{
    const json_t *mounts = json_object_get(run->report, "mounts"), *m, *found = NULL;
    size_t i;
    *out_n = 0;
    json_array_foreach(mounts, i, m)
    {
        if (cis_kept_is_cow(m) &&
            (guest_path == NULL || strcmp(cis_kept_field(m, "guest"), guest_path) == 0)) {
            found = m;
            ++*out_n;
        }
    }
    return found;
}

cis_code cis_kept_apply(struct cis_fs_cmd *cmd, const struct cis_kept *run, const json_t *mount,
                        const char *folder, const struct cis_kept_again *again, uint64_t *quiet,
                        struct cis_error *err)
{
    struct applying a = {
        .show = {.cmd = cmd, .guest_path = cis_kept_field(mount, "guest"), .err = err}};
    struct cis_cow_apply how = {.run = run->id,
                                .guest_path = a.show.guest_path,
                                .force = again == NULL && cis_cli_has(cmd->cli, "force"),
                                .outward = again != NULL ? again->outward
                                                         : cis_cli_has(cmd->cli, "outward-links"),
                                .elsewhere = folder != NULL,
                                .dry_run = cis_cli_has(cmd->cli, "dry-run"),
                                .conflict = apply_conflict,
                                .aside = apply_aside,
                                .left_out = apply_left_out,
                                .each = quiet != NULL ? NULL : cis_kept_show,
                                .self = &a};
    uint64_t n = 0;
    if (folder == NULL && run->restored_ms != 0) {
        return cis_fail(err, CIS_E_DENIED,
                        "run %s: restored from a backup, so its folder may be one of another host; "
                        "name the folder with --to",
                        run->id);
    }
    bool listed = quiet == NULL && cmd->cli->json;
    if (listed) {
        cis_cli_list(cmd->cli, "changes");
    }
    cis_code code = cis_kept_open_cow(cmd, run, mount, folder, &a.show.cow, err);
    code = code == CIS_OK ? cis_cow_apply(a.show.cow, &how, &n, err) : code;
    cis_cow_close(a.show.cow);
    if (quiet != NULL) {
        *quiet = n;
    } else if (code == CIS_OK && listed) {
        cis_cli_list_end(NULL);
    } else if (code == CIS_OK && n == 0) {
        cis_cli_printf("nothing to do\n");
    }
    return code;
}

static cis_code apply_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    CIS_CLEANUP(cis_kept_done) struct cis_kept run = {.code = CIS_OK};
    const char *guest_path = cis_cli_value(cmd->cli, "mount");
    size_t n;
    CIS_TRY(cis_kept_find(cmd, cmd->cli->args[0], &run, err));
    const json_t *mount = the_cow(&run, guest_path, &n);
    if (n == 0) {
        return cis_fail(err, CIS_E_NOTFOUND, "run %s: no folder was mounted as cow%s%.80s", run.id,
                        guest_path != NULL ? " at " : "", guest_path != NULL ? guest_path : "");
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
        if (!cis_kept_ended_well(&run)) {
            return cis_kept_nothing(&run, err);
        }
        if (cmd->cli->json) {
            cis_cli_list(cmd->cli, "changes");
            cis_cli_list_end(NULL);
        } else {
            cis_cli_printf("nothing to do: the run changed nothing there\n");
        }
        return CIS_OK;
    }
    return cis_kept_apply(cmd, &run, mount, cis_cli_value(cmd->cli, "to"), NULL, NULL, err);
}

static const struct cis_cli_option apply_options[] = {
    {"to", 0, "DIR", false, NULL},           {"mount", 0, "GUEST", false, NULL},
    {"dry-run", 0, NULL, false, NULL},       {"force", 0, NULL, false, NULL},
    {"outward-links", 0, NULL, false, NULL}, {0}};

const struct cis_cli_command cis_cmd_runs_apply = {
    .name = "runs apply", .options = apply_options, .min_args = 1, .max_args = 1, .fs = apply_verb};
