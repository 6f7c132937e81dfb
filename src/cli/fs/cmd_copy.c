/* `cis fs put|get`: between the host's folders and the versioned filesystem. Host paths are opened
 * as a folder (their parent) and a name in it, so that both sides are trees and one copier serves
 * both ways. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "cli/fs/fs.h"
#include "vfs/hostdir/hostdir.h"

/* A host path: the folder it is in as a filesystem, and what is found by its name. */
struct host {
    cis_vfs *vfs;
    cis_ns *ns;
    cis_dir *root;
    struct cis_found found;
};

static void host_done(struct host *h)
{
    cis_found_done(&h->found);
    cis_dir_free(h->root);
    cis_ns_free(h->ns);
    cis_vfs_close(h->vfs);
}

/* Splits "a/b/c" into folder and name; "." and "..", "/" and a trailing "/.." are resolved by the
 * host first, since they are no names. */
static cis_code split(const char *path, char **out_folder, char **out_name, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *copy = cis_strdup(path);
    if (copy == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    size_t n = strlen(copy);
    while (n > 1 && copy[n - 1] == '/') {
        copy[--n] = 0;
    }
    char *slash = strrchr(copy, '/'), *name = slash != NULL ? slash + 1 : copy;
    char real[4097];
    if (n == 0) {
        return cis_fail(err, CIS_E_USAGE, "a host path is empty");
    }
    if (*name == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        if (realpath(path, real) == NULL) {
            return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "%s",
                                path);
        }
        if (strcmp(real, "/") == 0) {
            return cis_fail(
                err, CIS_E_USAGE,
                "%s: cannot copy the whole file system of this host; name the folders to copy",
                path);
        }
        return split(real, out_folder, out_name, err);
    }
    char *folder = slash == NULL   ? cis_strdup(".")
                   : slash == copy ? cis_strdup("/")
                                   : cis_strndup(copy, (size_t)(slash - copy));
    char *last = cis_strdup(name);
    if (folder == NULL || last == NULL) {
        cis_free(folder);
        cis_free(last);
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    *out_folder = folder;
    *out_name = last;
    return CIS_OK;
}

static cis_code open_folder(struct cis_fs_cmd *cmd, const char *folder, bool read_only,
                            struct host *out, struct cis_error *err)
{
    struct cis_hostdir_options o = CIS_HOSTDIR_OPTIONS_INIT;
    o.read_only = read_only;
    o.devices = true;
    CIS_TRY(cis_hostdir_open(folder, &o, &out->vfs, err));
    CIS_TRY(cis_ns_new(&out->ns, err));
    CIS_TRY(cis_ns_mount(out->ns, CIS_STR("/"), out->vfs, 0, false, err));
    int rc = cis_dir_root(out->ns, &cmd->call, CIS_STR("/"), &out->root);
    return rc == 0 ? CIS_OK : cis_vfs_fail(err, rc, "%s", folder);
}

static cis_code open_host(struct cis_fs_cmd *cmd, const char *path, bool read_only,
                          struct host *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *folder = NULL;
    CIS_CLEANUP(cis_freep) char *name = NULL;
    CIS_TRY(split(path, &folder, &name, err));
    CIS_TRY(open_folder(cmd, folder, read_only, out, err));
    int rc = cis_walk(out->root, NULL, &cmd->call, cis_str_of(name), CIS_WALK_NAME, &out->found);
    return rc == 0 ? CIS_OK : cis_vfs_fail(err, rc, "%s", path);
}

static cis_code told(struct cis_fs_cmd *cmd, const struct cis_move_counts *counts)
{
    if (cmd->cli->json && cmd->nskipped == 0) { /* else there is one answer: the failure */
        cis_cli_object(CIS_JSON(CIS_J("files", counts->files), CIS_J("bytes", counts->bytes)));
    }
    return CIS_OK;
}

/* ---- put ---- */
/* Where in the tree: DEST, or DEST/name when it is a directory. */
static cis_code place_in(struct cis_fs_cmd *cmd, const char *dest, const char *name, bool many,
                         struct cis_found *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_found_done) struct cis_found there = {0};
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(1u << 20);
    CIS_TRY(cis_fs_cmd_walk(cmd, dest, 0, &there, err));
    bool dir = there.node != 0 && S_ISDIR(there.attr.mode);
    if (!dir && (many || there.must_be_dir)) {
        return cis_fs_cmd_fail(cmd, there.node == 0 ? ENOENT : ENOTDIR, dest, err);
    }
    cis_buf_text(&path, dest);
    if (dir) {
        cis_buf_byte(&path, '/');
        cis_buf_text(&path, name);
    }
    CIS_TRY(cis_buf_check(&path, dest, err));
    return cis_fs_cmd_walk(cmd, cis_buf_cstr(&path), CIS_WALK_NAME, out, err);
}

static cis_code put_stdin(struct cis_fs_cmd *cmd, const char *dest, struct cis_move_counts *counts,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) uint8_t *piece = cis_alloc(1u << 20);
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    mode_t mask = umask(0);
    umask(mask);
    if (piece == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    int rc = cis_at_open(cmd->root, &cmd->call, cis_str_of(dest),
                         &(struct cis_open_how){CIS_WALK_CHROOT, O_WRONLY | O_CREAT | O_TRUNC,
                                                0666 & ~(uint32_t)mask},
                         &file, &attr);
    if (rc != 0) {
        return cis_fs_cmd_fail(cmd, rc, dest, err);
    }
    cis_code code = CIS_OK;
    while (code == CIS_OK) {
        ssize_t n = 0;
        code = cis_stop_wait(&cmd->stop, STDIN_FILENO, POLLIN, "stdin", err);
        if (code == CIS_OK) {
            n = read(STDIN_FILENO, piece, 1u << 20);
        }
        if (code != CIS_OK || n == 0) {
            break;
        }
        if (n < 0) {
            code = cis_fail_sys(err, CIS_E_IO, errno, "stdin");
            break;
        }
        for (size_t done = 0; done < (size_t)n && code == CIS_OK;) {
            struct iovec v = {piece + done, (size_t)n - done};
            size_t k = 0;
            uint64_t end;
            rc = cis_vfs_write(file, &cmd->call, &v, 1, counts->bytes, &k, &end);
            code =
                rc == 0 && k != 0 ? CIS_OK : cis_fs_cmd_fail(cmd, rc != 0 ? rc : ENOSPC, dest, err);
            done += k;
            counts->bytes += k;
        }
        if (code == CIS_OK && !cis_fs_progress(cmd, counts, cis_str_of(dest))) {
            code = cis_fail(err, CIS_E_CANCELLED, "cancelled");
        }
    }
    cis_vfs_file_close(file);
    counts->files++;
    return code;
}

static cis_code put_one(struct cis_fs_cmd *cmd, const char *source, const char *dest, bool many,
                        struct cis_move_counts *counts, struct cis_error *err)
{
    CIS_CLEANUP(host_done) struct host host = {0};
    CIS_CLEANUP(cis_found_done) struct cis_found to = {0};
    struct cis_copy_options options = {.owner = true};
    if (cis_cli_has(cmd->cli, "recursive")) { /* what was there stays where the new one fails */
        options.beside = true;
        options.skipped = cis_fs_skipped;
    }
    CIS_TRY(open_host(cmd, source, true, &host, err));
    if (host.found.node == 0) {
        return cis_fail(err, CIS_E_NOTFOUND, "%s: no such file or directory", source);
    }
    if (S_ISDIR(host.found.attr.mode) && !cis_cli_has(cmd->cli, "recursive")) {
        return cis_fail(err, CIS_E_USAGE, "%s: is a directory (give --recursive)", source);
    }
    CIS_TRY(place_in(cmd, dest, host.found.name, many, &to, err));
    return cis_history_copy(&host.found, &cmd->call, &to, &cmd->call, &options, cis_fs_progress,
                            cmd, counts, err);
}

static cis_code put_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    int n = cmd->cli->nargs;
    const char *dest = cmd->cli->args[n - 1];
    struct cis_move_counts counts = {0};
    CIS_TRY(cis_fs_cmd_tree(cmd, true, err));
    for (int i = 0; i + 1 < n; i++) {
        const char *source = cmd->cli->args[i];
        CIS_TRY(strcmp(source, "-") == 0 ? put_stdin(cmd, dest, &counts, err)
                                         : put_one(cmd, source, dest, n > 2, &counts, err));
    }
    CIS_TRY(cis_fs_cmd_commit(cmd, err));
    CIS_TRY(told(cmd, &counts));
    return cis_fs_skipped_told(cmd, err);
}

static int run_put(struct cis_cli *cli)
{
    for (int i = 0; i + 1 < cli->nargs; i++) {
        if (strcmp(cli->args[i], "-") == 0 && cli->nargs > 2) {
            return cis_cli_usage(
                cli, "- (stdin) must be the only source, and needs the path of the new file");
        }
    }
    return cis_fs_run(cli, put_verb);
}

static const struct cis_cli_option put_options[] = {
    {"recursive", 'r', NULL, false, NULL}, {"branch", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_fs_put = {
    .name = "fs put", .options = put_options, .min_args = 2, .max_args = -1, .run = run_put};

/* ---- get ---- */
/* A file's content to fd; -1: stdout. `name` is the place's, for messages. */
static cis_code pour(struct cis_fs_cmd *cmd, const char *source, int fd, const char *name,
                     struct cis_move_counts *counts, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) uint8_t *piece = cis_alloc(1u << 20);
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    uint64_t at = 0;
    int sys = 0;
    if (piece == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    int rc = cis_at_open(cmd->root, &cmd->call, cis_str_of(source),
                         &(struct cis_open_how){CIS_WALK_CHROOT, O_RDONLY, 0}, &file, &attr);
    if (rc == 0 && S_ISDIR(attr.mode)) {
        rc = EISDIR;
    }
    while (rc == 0 && sys == 0) {
        struct iovec v = {piece, 1u << 20};
        size_t n = 0;
        rc = cis_vfs_read(file, &cmd->call, &v, 1, at, &n);
        if (rc != 0 || n == 0) {
            break;
        }
        if (fd < 0) {
            cis_cli_out(piece, n);
        } else {
            sys = cis_fd_write_all(fd, piece, n);
        }
        at += n;
        counts->bytes += n;
        rc = cis_fs_progress(cmd, counts, cis_str_of(source)) ? 0 : EINTR;
    }
    cis_vfs_file_close(file);
    CIS_TRY(sys == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, sys, "%s", name));
    return rc == 0 ? CIS_OK : cis_fs_cmd_fail(cmd, rc, source, err);
}

/* What is no regular file, and what stdout goes to, is written to as it is. */
static cis_code get_into(struct cis_fs_cmd *cmd, const char *source, const char *dest,
                         struct cis_move_counts *counts, struct cis_error *err)
{
    CIS_CLEANUP(cis_file_beside_drop) struct cis_file_beside out = CIS_FILE_BESIDE_INIT;
    CIS_TRY(cis_file_beside_open(dest, 0666, &out, err));
    CIS_TRY(pour(cmd, source, out.fd, dest, counts, err));
    counts->files++;
    return cis_file_beside_done(&out, err);
}

static cis_code get_one(struct cis_fs_cmd *cmd, const char *source, const char *dest, bool many,
                        struct cis_move_counts *counts, struct cis_error *err)
{
    CIS_CLEANUP(cis_found_done) struct cis_found from = {0};
    CIS_CLEANUP(host_done) struct host host = {0};
    CIS_CLEANUP(cis_freep) char *target = NULL;
    bool root = geteuid() == 0;
    struct cis_copy_options options = {
        .owner = root,
        .beside = true,
        .keep_devices = true,
        .skipped = cis_cli_has(cmd->cli, "recursive") ? cis_fs_skipped : NULL,
        .clear = root ? 0 : S_ISUID | S_ISGID};
    struct stat st;
    CIS_TRY(cis_fs_cmd_find(cmd, source, CIS_WALK_NOFOLLOW, &from, err));
    if (S_ISDIR(from.attr.mode) && !cis_cli_has(cmd->cli, "recursive")) {
        return cis_fail(err, CIS_E_USAGE, "%s: is a directory (give --recursive)", source);
    }
    bool into = stat(dest, &st) == 0 && S_ISDIR(st.st_mode);
    if (many && !into) {
        return cis_vfs_fail(err, ENOTDIR, "%s", dest);
    }
    if (!into && S_ISREG(from.attr.mode)) {
        if (cis_file_as_it_is(dest)) {
            return get_into(cmd, source, dest, counts, err);
        }
        dest = target = cis_file_target(dest); /* a symlink stays, and what it names is replaced */
        if (target == NULL) {
            return cis_fail_sys(err, CIS_E_IO, errno, "%s", source);
        }
    }
    bool nameless = from.dir == 0 || from.is_mount || from.name_len == 0;
    if (into && !nameless) {
        CIS_TRY(open_folder(cmd, dest, false, &host, err));
        int rc = cis_walk(host.root, NULL, &cmd->call, (struct cis_str){from.name, from.name_len},
                          CIS_WALK_NAME, &host.found);
        if (rc != 0) {
            return cis_vfs_fail(err, rc, "%s/%s", dest, from.name);
        }
    } else {
        CIS_TRY(open_host(cmd, dest, false, &host, err));
    }
    return cis_history_copy(&from, &cmd->call, &host.found, &cmd->call, &options, cis_fs_progress,
                            cmd, counts, err);
}

static cis_code get_verb(struct cis_fs_cmd *cmd, struct cis_error *err)
{
    int n = cmd->cli->nargs;
    const char *dest = cmd->cli->args[n - 1];
    struct cis_move_counts counts = {0};
    CIS_TRY(cis_fs_cmd_tree(cmd, false, err));
    if (strcmp(dest, "-") == 0) {
        return pour(cmd, cmd->cli->args[0], -1, "stdout", &counts, err);
    }
    for (int i = 0; i + 1 < n; i++) {
        CIS_TRY(get_one(cmd, cmd->cli->args[i], dest, n > 2, &counts, err));
    }
    CIS_TRY(told(cmd, &counts));
    return cis_fs_skipped_told(cmd, err);
}

static int run_get(struct cis_cli *cli)
{
    if (strcmp(cli->args[cli->nargs - 1], "-") == 0 && (cli->nargs != 2 || cli->json)) {
        return cis_cli_usage(cli, "- (stdout) takes one file and cannot be used with --json");
    }
    return cis_fs_run(cli, get_verb);
}

static const struct cis_cli_option get_options[] = {{"recursive", 'r', NULL, false, NULL},
                                                    {"branch", 0, "NAME", false, NULL},
                                                    {"at", 0, "REV", false, NULL},
                                                    {"from", 0, "TENANT", false, NULL},
                                                    {0}};

const struct cis_cli_command cis_cmd_fs_get = {
    .name = "fs get", .options = get_options, .min_args = 2, .max_args = -1, .run = run_get};
