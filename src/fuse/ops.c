/* Requests of the kernel as calls of the filesystem. Permissions were checked before they come
 * here; suid and sgid bits are dropped by the kernel with a setattr of its own. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "fuse/internal.h"

#define BLOCK_SIZE 65536 /* preferred transfer: a block of the layered filesystem */

static void stat_of(const struct cis_vfs_attr *a, struct stat *out)
{
    *out = (struct stat){.st_ino = a->ino,
                         .st_mode = a->mode,
                         .st_nlink = a->nlink,
                         .st_uid = a->uid,
                         .st_gid = a->gid,
                         .st_rdev = a->rdev,
                         .st_size = (off_t)a->size,
                         .st_blocks = (blkcnt_t)a->blocks,
                         .st_blksize = BLOCK_SIZE,
                         .st_atim = a->atime,
                         .st_mtim = a->mtime,
                         .st_ctim = a->ctime};
}

void cis_fuse_entry(const struct cis_fuse *f, cis_node dir, cis_node node,
                    const struct cis_vfs_attr *attr, struct fuse_entry_param *out)
{
    double keep = fuse_fickle(f, node) ? 0.0 : f->keep;
    *out = (struct fuse_entry_param){.ino = fuse_id(f, node),
                                     .attr_timeout = keep,
                                     .entry_timeout = fuse_fickle(f, dir) ? 0.0 : keep};
    stat_of(attr, &out->attr);
}

/* The kernel did not take the node: it holds no look-up on it. */
static void reply_entry(fuse_req_t req, fuse_ino_t parent, cis_node node,
                        const struct cis_vfs_attr *attr)
{
    const struct cis_fuse *f = fuse_of(req);
    struct fuse_entry_param e;
    cis_fuse_entry(f, fuse_node(f, parent), node, attr, &e);
    if (fuse_reply_entry(req, &e) == -ENOENT) {
        cis_vfs_forget(f->vfs, node, 1);
    }
}

static void reply_attr(fuse_req_t req, fuse_ino_t ino, int rc, const struct cis_vfs_attr *attr)
{
    const struct cis_fuse *f = fuse_of(req);
    if (rc != 0) {
        cis_fuse_reply(req, rc);
        return;
    }
    struct stat st;
    stat_of(attr, &st);
    fuse_reply_attr(req, &st, fuse_fickle(f, fuse_node(f, ino)) ? 0.0 : f->keep);
}

static void op_init(void *self, struct fuse_conn_info *conn)
{
    const struct cis_fuse *f = self;
    conn->max_write = FUSE_IO_MAX;
    conn->max_readahead = FUSE_IO_MAX;
    conn->time_gran = 1;
    if (f->exclusive && (conn->capable & FUSE_CAP_CACHE_SYMLINKS) != 0) {
        conn->want |= FUSE_CAP_CACHE_SYMLINKS;
    }
    /* No write-back cache: a write that a quota refuses has to fail in write(2), not later. */
    conn->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    if (strlen(name) > CIS_VFS_NAME_MAX) {
        cis_fuse_reply(req, ENAMETOOLONG);
        return;
    }
    cis_node node;
    struct cis_vfs_attr attr;
    int rc = cis_vfs_lookup(f->vfs, &call, fuse_node(f, parent), cis_str_of(name), &node, &attr);
    if (rc == 0) {
        reply_entry(req, parent, node, &attr);
    } else if (rc == ENOENT && f->exclusive && !fuse_fickle(f, fuse_node(f, parent))) {
        /* The kernel may remember that there is nothing. */
        fuse_reply_entry(req, &(struct fuse_entry_param){.entry_timeout = f->keep});
    } else {
        cis_fuse_reply(req, rc);
    }
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
    const struct cis_fuse *f = fuse_of(req);
    if (ino != FUSE_ROOT_ID) {
        cis_vfs_forget(f->vfs, fuse_node(f, ino), n);
    }
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    const struct cis_fuse *f = fuse_of(req);
    for (size_t i = 0; i < count; i++) {
        if (forgets[i].ino != FUSE_ROOT_ID) {
            cis_vfs_forget(f->vfs, fuse_node(f, forgets[i].ino), forgets[i].nlookup);
        }
    }
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    struct cis_vfs_attr attr;
    int rc = cis_vfs_getattr(f->vfs, &call, fuse_node(f, ino), &attr);
    reply_attr(req, ino, rc, &attr);
}

static struct cis_vfs_set set_of(const struct stat *st, int to_set)
{
    static const struct {
        int fuse;
        unsigned vfs;
    } bits[] = {
        {FUSE_SET_ATTR_MODE, CIS_VFS_SET_MODE},   {FUSE_SET_ATTR_UID, CIS_VFS_SET_UID},
        {FUSE_SET_ATTR_GID, CIS_VFS_SET_GID},     {FUSE_SET_ATTR_SIZE, CIS_VFS_SET_SIZE},
        {FUSE_SET_ATTR_ATIME, CIS_VFS_SET_ATIME}, {FUSE_SET_ATTR_MTIME, CIS_VFS_SET_MTIME},
    };
    struct cis_vfs_set set = {.mode = st->st_mode & 07777u,
                              .uid = st->st_uid,
                              .gid = st->st_gid,
                              .size = (uint64_t)st->st_size,
                              .atime = st->st_atim,
                              .mtime = st->st_mtim};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        set.bits |= (to_set & bits[i].fuse) != 0 ? bits[i].vfs : 0;
    }
    if ((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0) {
        set.bits = (set.bits & ~(unsigned)CIS_VFS_SET_ATIME) | CIS_VFS_SET_ATIME_NOW;
    }
    if ((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0) {
        set.bits = (set.bits & ~(unsigned)CIS_VFS_SET_MTIME) | CIS_VFS_SET_MTIME_NOW;
    }
    return set;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                       struct fuse_file_info *fi)
{
    (void)fi;
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    struct cis_vfs_set set = set_of(st, to_set);
    struct cis_vfs_attr attr;
    int rc = (to_set & FUSE_SET_ATTR_SIZE) != 0 && st->st_size < 0
                 ? EINVAL
                 : cis_vfs_setattr(f->vfs, &call, fuse_node(f, ino), &set, &attr);
    reply_attr(req, ino, rc, &attr);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    int rc = cis_vfs_readlink(f->vfs, &call, fuse_node(f, ino), &target);
    if (rc == 0 && target.failed != CIS_OK) {
        rc = ENOMEM;
    }
    if (rc == 0) {
        fuse_reply_readlink(req, cis_buf_cstr(&target));
    } else {
        cis_fuse_reply(req, rc);
    }
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name,
                 const struct cis_vfs_make *what)
{
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    cis_node node;
    struct cis_vfs_attr attr;
    int rc = strlen(name) > CIS_VFS_NAME_MAX ? ENAMETOOLONG
                                             : cis_vfs_make(f->vfs, &call, fuse_node(f, parent),
                                                            cis_str_of(name), what, &node, &attr);
    if (rc == 0) {
        reply_entry(req, parent, node, &attr);
    } else {
        cis_fuse_reply(req, rc);
    }
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    make(
        req, parent, name,
        &(struct cis_vfs_make){.mode = (mode & S_IFMT) != 0 ? mode : mode | S_IFREG, .rdev = rdev});
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    make(req, parent, name, &(struct cis_vfs_make){.mode = S_IFDIR | (mode & 07777u)});
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    make(req, parent, name,
         &(struct cis_vfs_make){.mode = S_IFLNK | 0777, .target = cis_str_of(target)});
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    cis_node node = fuse_node(f, ino);
    struct cis_vfs_attr attr;
    int rc = cis_vfs_link(&call, cis_vfs_at(f->vfs, node), cis_vfs_at(f->vfs, fuse_node(f, parent)),
                          cis_str_of(name), &attr);
    if (rc != 0) {
        cis_fuse_reply(req, rc);
        return;
    }
    cis_vfs_ref(f->vfs, node, 1); /* the answer counts as a look-up */
    reply_entry(req, parent, node, &attr);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    cis_fuse_reply(req, cis_vfs_unlink(f->vfs, &call, fuse_node(f, parent), cis_str_of(name)));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    cis_fuse_reply(req, cis_vfs_rmdir(f->vfs, &call, fuse_node(f, parent), cis_str_of(name)));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to,
                      const char *to_name, unsigned flags)
{
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    int rc = strlen(to_name) > CIS_VFS_NAME_MAX
                 ? ENAMETOOLONG
                 : cis_vfs_rename(&call, cis_vfs_at(f->vfs, fuse_node(f, parent)), cis_str_of(name),
                                  cis_vfs_at(f->vfs, fuse_node(f, to)), cis_str_of(to_name), flags);
    cis_fuse_reply(req, rc);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    struct cis_vfs_usage u;
    int rc = cis_vfs_statfs(f->vfs, &call, &u);
    if (rc != 0) {
        cis_fuse_reply(req, rc);
        return;
    }
    /* No quota: much, but not so much that sums of it overflow somewhere. */
    const uint64_t plenty = 1ull << 50;
    uint64_t bytes_free = u.bytes_free < plenty ? u.bytes_free : plenty;
    uint64_t files_free = u.files_free < plenty ? u.files_free : plenty;
    fuse_reply_statfs(req, &(struct statvfs){.f_bsize = BLOCK_SIZE,
                                             .f_frsize = 512,
                                             .f_blocks = (u.bytes + bytes_free + 511) / 512,
                                             .f_bfree = bytes_free / 512,
                                             .f_bavail = bytes_free / 512,
                                             .f_files = u.files + files_free,
                                             .f_ffree = files_free,
                                             .f_favail = files_free,
                                             .f_namemax = CIS_VFS_NAME_MAX});
}

/* Not here, on purpose: locks (the kernel keeps them for one mount), extended attributes. */
const struct fuse_lowlevel_ops cis_fuse_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .readlink = op_readlink,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .symlink = op_symlink,
    .link = op_link,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .rename = op_rename,
    .open = cis_fuse_op_open,
    .create = cis_fuse_op_create,
    .flush = cis_fuse_op_flush,
    .release = cis_fuse_op_release,
    .read = cis_fuse_op_read,
    .write = cis_fuse_op_write,
    .fsync = cis_fuse_op_fsync,
    .opendir = cis_fuse_op_opendir,
    .readdir = cis_fuse_readdir,
    .readdirplus = cis_fuse_readdirplus,
    .releasedir = cis_fuse_op_release,
    .fsyncdir = cis_fuse_op_fsyncdir,
    .fallocate = cis_fuse_op_fallocate,
    .lseek = cis_fuse_op_lseek,
    .copy_file_range = cis_fuse_op_copy_file_range,
    .statfs = op_statfs,
};
