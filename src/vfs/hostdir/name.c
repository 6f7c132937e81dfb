#include "vfs/hostdir/internal.h"

#include <stdio.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1u
#define RENAME_EXCHANGE 2u
#endif

/* The process's umask cut the mode, and mkdir takes no setgid: put right what is missing. A folder
 * with setgid has given its group and, to folders, the bit. */
static int mode_mend(struct hostdir *fs, cis_node node, uint32_t mode, struct cis_vfs_attr *attr)
{
    uint32_t want = (mode & 07777) | (S_ISDIR(attr->mode) ? attr->mode & S_ISGID : 0u);
    if (S_ISLNK(attr->mode) || (attr->mode & 07777) == want ||
        (attr->mode & S_IFMT) != (mode & S_IFMT)) {
        return 0;
    }
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = want};
    return cis_hostdir_setattr(&fs->vfs, NULL, node, &set, attr);
}

static int make_node(int dir, const char *name, const struct cis_vfs_make *make)
{
    char target[CIS_VFS_PATH_MAX];
    switch (make->mode & S_IFMT) {
    case S_IFDIR:
        return mkdirat(dir, name, make->mode & 01777) == 0 ? 0 : errno;
    case S_IFLNK:
        if (make->target.len >= sizeof target) {
            return ENAMETOOLONG;
        }
        memcpy(target, make->target.ptr, make->target.len);
        target[make->target.len] = '\0';
        return symlinkat(target, dir, name) == 0 ? 0 : errno;
    default:
        return mknodat(dir, name, make->mode, (dev_t)make->rdev) == 0 ? 0 : errno;
    }
}

int cis_hostdir_make(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str name, const struct cis_vfs_make *make, cis_node *out_node,
                     struct cis_vfs_attr *out_attr)
{
    struct hostdir *fs = host_of(vfs);
    struct host_name text;
    int rc = host_name_set(&text, name);
    if (rc == 0) {
        rc = vfs->read_only ? EROFS : !cis_hostdir_shown(fs, make->mode) ? EPERM : 0;
    }
    if (rc == 0) {
        rc = make_node(host_node_of(dir)->fd, text.text, make);
    }
    cis_node node = 0;
    struct cis_vfs_attr attr;
    if (rc != 0) {
        return rc;
    }
    rc = cis_hostdir_lookup(vfs, call, dir, name, &node, &attr);
    if (rc == 0) {
        rc = mode_mend(fs, node, make->mode, &attr);
    }
    if (rc != 0) { /* not half made */
        unlinkat(host_node_of(dir)->fd, text.text, S_ISDIR(make->mode) ? AT_REMOVEDIR : 0);
        if (node != 0) {
            cis_hostdir_forget(vfs, node, 1);
        }
        return rc;
    }
    *out_node = node;
    *out_attr = attr;
    return 0;
}

int cis_hostdir_create(cis_vfs *vfs, const struct cis_vfs_call *call,
                       const struct cis_vfs_create_request *r, cis_vfs_file **out_file,
                       cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    (void)call;
    struct hostdir *fs = host_of(vfs);
    struct host_name text;
    int rc = host_name_set(&text, r->name);
    if (rc != 0 || vfs->read_only) {
        return rc != 0 ? rc : EROFS;
    }
    uint64_t how = (uint64_t)((r->flags & HOST_OPEN_PASSED) | O_CREAT | O_EXCL | HOST_OPEN_ALWAYS);
    int fd = cis_hostdir_open_name(host_node_of(r->dir)->fd, text.text, how, r->mode & 07777);
    if (fd < 0) {
        return errno;
    }
    int path =
        cis_hostdir_reopen(fs, fd, O_PATH); /* not by name, which may be another file by now */
    cis_node node = 0;
    struct cis_vfs_attr attr;
    rc = path < 0 ? errno : cis_hostdir_node_take(fs, path, &node, &attr);
    if (rc == 0) {
        rc = mode_mend(fs, node, S_IFREG | r->mode, &attr);
        if (rc == 0) {
            rc = cis_hostdir_file_new(fs, fd, node, r->flags, out_file);
            fd = -1;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    if (rc != 0) {
        unlinkat(host_node_of(r->dir)->fd, text.text, 0); /* not half made */
        if (node != 0) {
            cis_hostdir_forget(vfs, node, 1);
        }
        return rc;
    }
    *out_node = node;
    *out_attr = attr;
    return 0;
}

int cis_hostdir_link(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node file, cis_node dir,
                     struct cis_str name, struct cis_vfs_attr *out_attr)
{
    struct hostdir *fs = host_of(vfs);
    const struct host_node *own = host_node_of(file);
    struct host_name text;
    int rc = host_name_set(&text, name);
    if (rc != 0 || vfs->read_only) {
        return rc != 0 ? rc : EROFS;
    }
    if (own->type == S_IFDIR) {
        return EPERM;
    }
    char from[32];
    snprintf(from, sizeof from, "self/fd/%d", own->fd);
    if (linkat(fs->proc, from, host_node_of(dir)->fd, text.text, AT_SYMLINK_FOLLOW) != 0) {
        return errno;
    }
    return cis_hostdir_getattr(vfs, call, file, out_attr);
}

/* A name that is not shown is not there: neither removed nor replaced. (Who swaps it meanwhile on
 * the host loses a name of his own.) */
static int shown_check(const struct hostdir *fs, int dir, const char *name)
{
    struct cis_vfs_attr attr;
    int rc = fs->devices ? 0 : cis_hostdir_stat(fs, dir, name, &attr, NULL);
    return rc != 0 || fs->devices ? rc : cis_hostdir_shown(fs, attr.mode) ? 0 : EACCES;
}

static int remove_name(cis_vfs *vfs, cis_node dir, struct cis_str name, int flags)
{
    struct host_name text;
    int rc = host_name_set(&text, name);
    if (rc != 0 || vfs->read_only) {
        return rc != 0 ? rc : EROFS;
    }
    int fd = host_node_of(dir)->fd;
    rc = shown_check(host_of(vfs), fd, text.text);
    if (rc != 0) {
        return rc == EACCES ? ENOENT : rc;
    }
    return unlinkat(fd, text.text, flags) == 0 ? 0 : errno;
}

int cis_hostdir_unlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                       struct cis_str name)
{
    (void)call;
    return remove_name(vfs, dir, name, 0);
}

int cis_hostdir_rmdir(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                      struct cis_str name)
{
    (void)call;
    return remove_name(vfs, dir, name, AT_REMOVEDIR);
}

int cis_hostdir_rename(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                       struct cis_str name, cis_node to_dir, struct cis_str to_name, unsigned flags)
{
    (void)call;
    struct hostdir *fs = host_of(vfs);
    struct host_name from, to;
    int rc = host_name_set(&from, name);
    if (rc == 0) {
        rc = host_name_set(&to, to_name);
    }
    if (rc == 0 &&
        (flags | RENAME_NOREPLACE | RENAME_EXCHANGE) != (RENAME_NOREPLACE | RENAME_EXCHANGE)) {
        rc = EINVAL;
    }
    if (rc != 0 || vfs->read_only) {
        return rc != 0 ? rc : EROFS;
    }
    int from_fd = host_node_of(dir)->fd, to_fd = host_node_of(to_dir)->fd;
    rc = shown_check(fs, from_fd, from.text);
    if (rc != 0) {
        return rc == EACCES ? ENOENT : rc;
    }
    if (shown_check(fs, to_fd, to.text) == EACCES) {
        return EACCES;
    }
    return renameat2(from_fd, from.text, to_fd, to.text, flags) == 0 ? 0 : errno;
}
