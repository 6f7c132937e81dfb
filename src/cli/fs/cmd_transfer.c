/* `cis fs export|import`: tar streams, and branches of other stores. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "base/file.h"
#include "cli/fs/fs.h"
#include "cli/store.h"
#include "store/calls.h"

static void close_fd(int *fd)
{
    if (*fd > STDERR_FILENO) {
        close(*fd);
    }
}

static cis_code told(struct cis_fs_cmd *cmd, const struct cis_move_counts *c, bool to_stdout)
{
    if (c->skipped != 0) {
        fprintf(stderr, "cis: warning: %" PRIu64 " sockets are left out: a tar cannot hold them\n",
                c->skipped);
    }
    if (cmd->cli->json && !to_stdout && cmd->nskipped == 0) {
        cis_cli_object(CIS_JSON(CIS_J("files", c->files), CIS_J("bytes", c->bytes),
                                CIS_J("chunks", c->chunks), CIS_J("chunks_sent", c->chunks_sent)));
    }
    return CIS_OK;
}

/* ---- to another store ---- */
static cis_code send_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    const struct cis_cli *cli = cmd->cli;
    const char *at = cis_cli_value(cli, "at"), *tenant = cis_cli_value(cli, "to-tenant");
    const char *branch = cis_cli_value(cli, "to-branch");
    struct cis_move_counts counts = {0};
    struct cis_rev from;
    cis_store *other = NULL;
    struct cis_str name = tenant != NULL ? cis_str_of(tenant) : cmd->h.tenant;
    CIS_TRY(cis_store_tenant_check(name, err));
    CIS_TRY(
        cis_history_resolve(&cmd->h, at != NULL ? cis_str_of(at) : cis_fs_branch(cmd), &from, err));
    CIS_TRY(cis_cli_store_open(cis_cli_value(cli, "to"), cli->cancel, &other, err));
    struct cis_history to = {other, name, &cmd->stop, cmd->h.bytes_max};
    cis_code code = cis_history_send(&cmd->h, from.view, &to,
                                     cis_str_of(branch != NULL     ? branch
                                                : from.ref[0] != 0 ? from.ref
                                                                   : CIS_FS_MAIN),
                                     cmd->note, cis_fs_progress, cmd, &counts, err);
    cis_store_close(other);
    CIS_TRY(code);
    return told(cmd, &counts, false);
}

/* ---- tar ---- */
static cis_code export_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    const char *file = cmd->cli->nargs != 0 ? cmd->cli->args[0] : "-";
    bool to_stdout = strcmp(file, "-") == 0;
    struct cis_move_counts counts = {0};
    CIS_CLEANUP(cis_file_beside_drop) struct cis_file_beside out = CIS_FILE_BESIDE_INIT;
    if (to_stdout && isatty(STDOUT_FILENO)) {
        return cis_fail(
            err, CIS_E_USAGE,
            "a tar archive is not written to a terminal: give FILE, or redirect stdout");
    }
    CIS_TRY(cis_fs_cmd_tree(cmd, false, err));
    if (!to_stdout) {
        CIS_TRY(cis_file_beside_open(file, 0666, &out, err));
    }
    CIS_TRY(cis_history_tar_write(cmd->root, &cmd->call, to_stdout ? STDOUT_FILENO : out.fd,
                                  cis_fs_progress, cis_fs_skipped, cmd, &counts, err));
    CIS_TRY(to_stdout ? CIS_OK : cis_file_beside_done(&out, err));
    CIS_TRY(told(cmd, &counts, to_stdout));
    return cis_fs_skipped_told(cmd, err);
}

static int run_export(struct cis_cli *cli)
{
    bool other = cis_cli_has(cli, "to");
    if (other && cli->nargs != 0) {
        return cis_cli_usage(cli, "--to STORE and FILE cannot be used together");
    }
    if (!other && (cis_cli_has(cli, "to-tenant") || cis_cli_has(cli, "to-branch"))) {
        return cis_cli_usage(cli, "--to-tenant and --to-branch need --to STORE");
    }
    return cis_fs_run(cli, other ? send_verb : export_verb);
}

static const struct cis_cli_option export_options[] = {
    {"to", 0, "STORE", false, NULL},       {"to-tenant", 0, "T", false, NULL},
    {"to-branch", 0, "NAME", false, NULL}, {"branch", 0, "NAME", false, NULL},
    {"at", 0, "REV", false, NULL},         {0}};

const struct cis_cli_command cis_cmd_fs_export = {
    .name = "fs export", .options = export_options, .max_args = 1, .run = run_export};

static cis_code import_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    const char *file = cmd->cli->args[0], *path = cis_cli_value(cmd->cli, "into");
    struct cis_move_counts counts = {0};
    CIS_CLEANUP(close_fd) int fd = STDIN_FILENO;
    cis_dir *dir = NULL;
    if (strcmp(file, "-") != 0) {
        fd = open(file, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "%s",
                                file);
        }
    }
    CIS_TRY(cis_fs_cmd_tree(cmd, true, err));
    int rc = cis_at_dir(cmd->root, &cmd->call, cis_str_of(path != NULL ? path : "/"),
                        CIS_WALK_CHROOT, &dir);
    if (rc != 0) {
        return cis_fs_cmd_fail(cmd, rc, path != NULL ? path : "/", err);
    }
    cis_code code = cis_history_tar_read(dir, &cmd->call, fd, cis_fs_progress, cmd, &counts, err);
    cis_dir_free(dir);
    if (code == CIS_E_INVALID) { /* the archive's fault, not the tree's */
        return cis_error_prefix(err, code, "%s", fd == STDIN_FILENO ? "stdin" : file);
    }
    CIS_TRY(code);
    CIS_TRY(cis_fs_cmd_commit(cmd, err));
    return told(cmd, &counts, false);
}

static const struct cis_cli_option import_options[] = {
    {"into", 0, "PATH", false, NULL}, {"branch", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_import = {.name = "fs import",
                                                  .options = import_options,
                                                  .min_args = 1,
                                                  .max_args = 1,
                                                  .fs = import_verb};
