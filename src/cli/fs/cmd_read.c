/* `cis fs cat|stat`: content and attributes. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "base/mem.h"
#include "cli/fs/fs.h"

#define PIECE (1u << 20)

static cis_code cat_file(struct cis_fs_cmd *cmd, const char *path, uint8_t *piece,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_found_done) struct cis_found found = {0};
    cis_vfs_file *file = NULL;
    CIS_TRY(cis_fs_cmd_find(cmd, path, 0, &found, err));
    if (S_ISDIR(found.attr.mode)) {
        return cis_fs_cmd_fail(cmd, EISDIR, path, err);
    }
    int rc = cis_vfs_open(found.vfs, &cmd->call, found.node, O_RDONLY, &file);
    for (uint64_t at = 0; rc == 0;) {
        struct iovec v = {piece, PIECE};
        size_t n = 0;
        rc = cis_vfs_read(file, &cmd->call, &v, 1, at, &n);
        if (rc != 0 || n == 0) {
            break;
        }
        cis_cli_foreign(piece, n);
        at += n;
        rc = cis_stop_check(&cmd->stop, path, err) == CIS_OK ? 0 : EINTR;
    }
    cis_vfs_file_close(file);
    return rc == 0 ? CIS_OK : cis_fs_cmd_fail(cmd, rc, path, err);
}

static cis_code cat_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) uint8_t *piece = cis_alloc(PIECE);
    if (piece == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    CIS_TRY(cis_fs_cmd_tree(cmd, false, err));
    for (int i = 0; i < cmd->cli->nargs; i++) {
        CIS_TRY(cat_file(cmd, cmd->cli->args[i], piece, err));
    }
    return CIS_OK;
}

static int run_cat(struct cis_cli *cli)
{
    return cli->json
               ? cis_cli_usage(cli, "the content of a file has no JSON form; leave out --json")
               : cis_fs_run(cli, cat_verb);
}

static const struct cis_cli_option view_options[] = {{"branch", 0, "NAME", false, NULL},
                                                     {"at", 0, "REV", false, NULL},
                                                     {"from", 0, "TENANT", false, NULL},
                                                     {0}};

const struct cis_cli_command cis_cmd_fs_cat = {
    .name = "fs cat", .options = view_options, .min_args = 1, .max_args = -1, .run = run_cat};

/* ---- stat ---- */
static void stat_text(struct cis_buf *out, const char *path, const struct cis_vfs_attr *a,
                      struct cis_str target)
{
    char mode[11];
    cis_fs_mode(a->mode, mode);
    cis_buf_text(out, "path:   ");
    cis_fs_name(out, cis_str_of(path));
    if (target.len != 0) {
        cis_buf_text(out, " -> ");
        cis_fs_name(out, target);
    }
    cis_buf_printf(out,
                   "\ntype:   %s\nmode:   %04o %s\nowner:  %u:%u\nlinks:  %u\nsize:   %" PRIu64
                   "\nstored: %" PRIu64 "\ninode:  %" PRIu64 "\n",
                   cis_fs_type(a->mode), a->mode & 07777, mode, a->uid, a->gid, a->nlink, a->size,
                   a->blocks * 512, a->ino);
    if (S_ISCHR(a->mode) || S_ISBLK(a->mode)) {
        cis_buf_printf(out, "device: %u:%u\n", gnu_dev_major(a->rdev), gnu_dev_minor(a->rdev));
    }
    const struct {
        const char *name;
        struct timespec t;
    } times[] = {
        {"access", a->atime}, {"modify", a->mtime}, {"change", a->ctime}, {"birth", a->btime}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        cis_buf_printf(out, "%s: %*s", times[i].name, (int)(6 - strlen(times[i].name)), "");
        cis_fs_time(out, times[i].t);
        cis_buf_byte(out, '\n');
    }
}

static cis_code stat_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    CIS_TRY(cis_fs_cmd_tree(cmd, false, err));
    cis_cli_list(cmd->cli, "entries");
    for (int i = 0; i < cmd->cli->nargs; i++) {
        const char *path = cmd->cli->args[i];
        CIS_CLEANUP(cis_found_done) struct cis_found found = {0};
        CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1u << 20);
        CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(65536);
        CIS_TRY(cis_fs_cmd_find(cmd, path, CIS_WALK_NOFOLLOW, &found, err));
        if (S_ISLNK(found.attr.mode)) {
            int rc = cis_vfs_readlink(found.vfs, &cmd->call, found.node, &target);
            if (rc != 0) {
                return cis_fs_cmd_fail(cmd, rc, path, err);
            }
        }
        if (cmd->cli->json) {
            cis_json_write(&out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("path", path)));
            cis_fs_attr_json(&out, &found.attr);
            cis_json_write(
                &out, CIS_JSON(CIS_J_IF(target.len != 0, CIS_J("target", cis_buf_view(&target))),
                               CIS_J_CLOSE));
        } else {
            stat_text(&out, path, &found.attr, cis_buf_view(&target));
        }
        cis_fs_flush(&out);
    }
    cis_cli_list_end(NULL);
    return CIS_OK;
}

const struct cis_cli_command cis_cmd_fs_stat = {
    .name = "fs stat", .options = view_options, .min_args = 1, .max_args = -1, .fs = stat_verb};
