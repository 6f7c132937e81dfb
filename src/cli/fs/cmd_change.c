/* `cis fs mkdir|rm|mv|ln`: names. Each command is one commit. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include "cli/fs/fs.h"
#include "history/tree.h"

static mode_t own_umask(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return mask;
}

static cis_code told(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    CIS_TRY(cis_fs_cmd_commit(cmd, err));
    if (cmd->cli->json) {
        struct cis_view v = cis_layered_view(cmd->vfs);
        cis_cli_object(CIS_JSON(CIS_J("branch", v.branch), CIS_J("epoch", v.epoch)));
    }
    return CIS_OK;
}

/* ---- mkdir ---- */
static cis_code make_dir(struct cis_fs_cmd *cmd, struct cis_str path, bool may_be_there,
                         struct cis_error *err)
{
    struct cis_vfs_make make = {.mode = S_IFDIR | (0777 & ~(uint32_t)own_umask())};
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_buf_str(&text, path);
    int rc = cis_at_make(cmd->root, &cmd->call, path, CIS_WALK_CHROOT, &make);
    if (rc == EEXIST && may_be_there) {
        struct cis_vfs_attr attr;
        rc = cis_at_stat(cmd->root, &cmd->call, path, CIS_WALK_CHROOT, &attr);
        rc = rc == 0 && !S_ISDIR(attr.mode) ? EEXIST : rc;
    }
    return rc == 0 ? CIS_OK : cis_fs_cmd_fail(cmd, rc, cis_buf_cstr(&text), err);
}

static cis_code mkdir_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    bool parents = cis_cli_has(cmd->cli, "parents");
    CIS_TRY(cis_fs_cmd_tree(cmd, true, err));
    for (int i = 0; i < cmd->cli->nargs; i++) {
        struct cis_str path = cis_str_of(cmd->cli->args[i]);
        for (size_t n = 1; parents && n < path.len; n++) {
            if (path.ptr[n] == '/' && path.ptr[n - 1] != '/') {
                CIS_TRY(make_dir(cmd, (struct cis_str){path.ptr, n}, true, err));
            }
        }
        CIS_TRY(make_dir(cmd, path, parents, err));
    }
    return told(cmd, err);
}

static const struct cis_cli_option mkdir_options[] = {
    {"parents", 'p', NULL, false, NULL}, {"branch", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_mkdir = {
    .name = "fs mkdir", .options = mkdir_options, .min_args = 1, .max_args = -1, .fs = mkdir_verb};

/* ---- rm ---- */
static cis_code remove_entry(void *self, const struct cis_tree_entry *e, bool *descend,
                             struct cis_error *err)
{
    struct cis_fs_cmd *cmd = self;
    (void)descend;
    if (e->depth == 0 || (S_ISDIR(e->attr->mode) && !e->after)) {
        return CIS_OK;
    }
    int rc = S_ISDIR(e->attr->mode) ? cis_vfs_rmdir(e->vfs, &cmd->call, e->dir, e->name)
                                    : cis_vfs_unlink(e->vfs, &cmd->call, e->dir, e->name);
    return rc == 0 ? CIS_OK : cis_vfs_fail(err, rc, "%.*s", CIS_STR_ARG(e->path));
}

static cis_code remove_path(struct cis_fs_cmd *cmd, const char *path, struct cis_error *err)
{
    CIS_CLEANUP(cis_found_done) struct cis_found found = {0};
    CIS_TRY(cis_fs_cmd_walk(cmd, path, CIS_WALK_NOFOLLOW, &found, err));
    if (found.node == 0) {
        return cis_cli_has(cmd->cli, "force") ? CIS_OK : cis_fs_cmd_fail(cmd, ENOENT, path, err);
    }
    bool dir = S_ISDIR(found.attr.mode);
    if (dir && !cis_cli_has(cmd->cli, "recursive")) {
        return cis_fail(err, CIS_E_USAGE, "%s: is a directory (give --recursive)", path);
    }
    if (dir) {
        CIS_TRY(cis_tree_walk(found.vfs, found.node, &found.attr, cis_str_of(path), CIS_TREE_AFTER,
                              &cmd->call, remove_entry, cmd, err));
    }
    if (found.dir == 0 || found.is_mount) { /* the root: emptied, and stays */
        return CIS_OK;
    }
    struct cis_str name = {found.name, found.name_len};
    int rc = dir ? cis_vfs_rmdir(found.vfs, &cmd->call, found.dir, name)
                 : cis_vfs_unlink(found.vfs, &cmd->call, found.dir, name);
    return rc == 0 ? CIS_OK : cis_fs_cmd_fail(cmd, rc, path, err);
}

static cis_code rm_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    CIS_TRY(cis_fs_cmd_tree(cmd, true, err));
    for (int i = 0; i < cmd->cli->nargs; i++) {
        CIS_TRY(remove_path(cmd, cmd->cli->args[i], err));
    }
    return told(cmd, err);
}

static const struct cis_cli_option rm_options[] = {{"recursive", 'r', NULL, false, NULL},
                                                   {"force", 'f', NULL, false, NULL},
                                                   {"branch", 0, "NAME", false, NULL},
                                                   {0}};

const struct cis_cli_command cis_cmd_fs_rm = {
    .name = "fs rm", .options = rm_options, .min_args = 1, .max_args = -1, .fs = rm_verb};

/* ---- mv, ln ---- */
/* DEST, or DEST/NAME when DEST is a directory. */
static cis_code target_path(struct cis_fs_cmd *cmd, const char *source, const char *dest,
                            bool must_be_dir, struct cis_buf *out, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    int rc = cis_at_stat(cmd->root, &cmd->call, cis_str_of(dest[0] != 0 ? dest : "/"),
                         CIS_WALK_CHROOT, &attr);
    bool dir = rc == 0 && S_ISDIR(attr.mode);
    if (must_be_dir && !dir) {
        return cis_fs_cmd_fail(cmd, rc != 0 ? rc : ENOTDIR, dest, err);
    }
    cis_buf_text(out, dest);
    if (dir) {
        struct cis_str from = cis_str_of(source);
        while (from.len > 1 && from.ptr[from.len - 1] == '/') {
            from.len--;
        }
        size_t at = from.len;
        while (at > 0 && from.ptr[at - 1] != '/') {
            at--;
        }
        cis_buf_byte(out, '/');
        cis_buf_add(out, from.ptr + at, from.len - at);
    }
    return cis_buf_check(out, dest, err);
}

static cis_code move_one(struct cis_fs_cmd *cmd, const char *source, const char *dest, bool many,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf to = CIS_BUF_INIT(1u << 20);
    unsigned flags = cis_cli_has(cmd->cli, "no-replace") ? RENAME_NOREPLACE : 0;
    CIS_TRY(target_path(cmd, source, dest, many, &to, err));
    int rc = cis_at_rename(cmd->root, cis_str_of(source), cmd->root, cis_buf_view(&to), &cmd->call,
                           CIS_WALK_CHROOT, flags);
    return rc == 0 ? CIS_OK
                   : cis_fs_cmd_fail(cmd, rc, rc == ENOENT ? source : cis_buf_cstr(&to), err);
}

static cis_code mv_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    int n = cmd->cli->nargs;
    CIS_TRY(cis_fs_cmd_tree(cmd, true, err));
    for (int i = 0; i + 1 < n; i++) {
        CIS_TRY(move_one(cmd, cmd->cli->args[i], cmd->cli->args[n - 1], n > 2, err));
    }
    return told(cmd, err);
}

static const struct cis_cli_option mv_options[] = {
    {"no-replace", 'n', NULL, false, NULL}, {"branch", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_mv = {
    .name = "fs mv", .options = mv_options, .min_args = 2, .max_args = -1, .fs = mv_verb};

static cis_code ln_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    const char *target = cmd->cli->args[0], *dest = cmd->cli->args[1];
    CIS_CLEANUP(cis_buf_done) struct cis_buf to = CIS_BUF_INIT(1u << 20);
    CIS_TRY(cis_fs_cmd_tree(cmd, true, err));
    CIS_TRY(target_path(cmd, target, dest, false, &to, err));
    int rc;
    if (cis_cli_has(cmd->cli, "symbolic")) {
        struct cis_vfs_make make = {.mode = S_IFLNK | 0777, .target = cis_str_of(target)};
        rc = cis_at_make(cmd->root, &cmd->call, cis_buf_view(&to), CIS_WALK_CHROOT, &make);
    } else {
        rc = cis_at_link(cmd->root, cis_str_of(target), cmd->root, cis_buf_view(&to), &cmd->call,
                         CIS_WALK_CHROOT | CIS_WALK_NOFOLLOW);
    }
    if (rc != 0) {
        return cis_fs_cmd_fail(cmd, rc, rc == ENOENT ? target : cis_buf_cstr(&to), err);
    }
    return told(cmd, err);
}

static const struct cis_cli_option ln_options[] = {
    {"symbolic", 's', NULL, false, NULL}, {"branch", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_ln = {
    .name = "fs ln", .options = ln_options, .min_args = 2, .max_args = 2, .fs = ln_verb};
