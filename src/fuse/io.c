/* Open files: opening, reading, writing, syncing. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "fuse/internal.h"

static int fill_handle(struct cis_fuse *f, cis_node node, cis_vfs_file *file,
                       struct fuse_file_info *fi)
{
    bool fickle = fuse_fickle(f, node);
    fi->direct_io = fickle;
    fi->keep_cache = f->exclusive && !fickle;
    /* No cache_readdir: a handle that begins in the kernel's cache may go on here, with a cookie of
     * another handle's listing; what was removed in between would hide as many names. */
    fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY; /* nobody is told of its close */
    return cis_fuse_handle_add(f, file, fi);
}

/* Files open without O_APPEND: fcntl(2) may change that while they are open, and what a mapping
 * changed is written through whichever handle is there. Each write says by itself where it goes. */
static int open_flags(const struct fuse_file_info *fi)
{
    return fi->flags & ~O_APPEND;
}

static uint64_t write_offset(const struct fuse_file_info *fi, off_t off)
{
    return (fi->flags & O_APPEND) != 0 && !fi->writepage ? CIS_VFS_APPEND : (uint64_t)off;
}

static bool in_group(fuse_req_t req, gid_t gid)
{
    gid_t groups[256];
    int n = fuse_req_ctx(req)->gid != gid ? fuse_req_getgroups(req, 256, groups) : 0;
    bool found = fuse_req_ctx(req)->gid == gid;
    for (int i = 0; i < n && i < 256 && !found; i++) {
        found = groups[i] == gid;
    }
    return found;
}

/* The kernel leaves it to us to cut a file that is opened with O_TRUNC, and so to drop what a write
 * by others than root drops. It knows the mode from before. */
static int drop_privileges(fuse_req_t req, const struct cis_vfs_call *call, fuse_ino_t ino,
                           int flags)
{
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_attr attr;
    if ((flags & O_TRUNC) == 0 || call->uid == 0) {
        return 0;
    }
    int rc = cis_vfs_getattr(f->vfs, call, fuse_node(f, ino), &attr);
    if (rc != 0 || !S_ISREG(attr.mode) || (attr.mode & (S_ISUID | S_ISGID)) == 0) {
        return rc;
    }
    uint32_t drop = S_ISUID;
    if ((attr.mode & S_IXGRP) != 0 || !in_group(req, attr.gid)) {
        drop |= S_ISGID;
    }
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = attr.mode & 07777u & ~drop};
    rc = cis_vfs_setattr(f->vfs, call, fuse_node(f, ino), &set, NULL);
    (void)fuse_lowlevel_notify_inval_inode(f->session, ino, -1, 0); /* attributes only: no lock */
    return rc;
}

void cis_fuse_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    cis_vfs_file *file;
    int rc = cis_vfs_open(f->vfs, &call, fuse_node(f, ino), open_flags(fi), &file);
    if (rc == 0 && (rc = drop_privileges(req, &call, ino, fi->flags)) != 0) {
        cis_vfs_release(file);
    }
    if (rc == 0) {
        rc = fill_handle(f, fuse_node(f, ino), file, fi);
    }
    if (rc != 0) {
        cis_fuse_reply(req, rc);
    } else if (fuse_reply_open(req, fi) == -ENOENT) {
        cis_fuse_handle_drop(f, fuse_handle_of(fi));
    }
}

void cis_fuse_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    fi->flags = O_RDONLY | O_DIRECTORY;
    cis_fuse_op_open(req, ino, fi);
}

void cis_fuse_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                        struct fuse_file_info *fi)
{
    struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    cis_node dir = fuse_node(f, parent), node = 0;
    struct cis_str entry = cis_str_of(name);
    struct cis_vfs_attr attr;
    struct cis_vfs_create_request request = {dir, entry, mode & 07777u, open_flags(fi)};
    cis_vfs_file *file = NULL;
    int rc = entry.len > CIS_VFS_NAME_MAX
                 ? ENAMETOOLONG
                 : cis_vfs_create(f->vfs, &call, &request, &file, &node, &attr);
    if (rc == EEXIST && (fi->flags & O_EXCL) == 0) { /* made since the kernel looked */
        rc = cis_vfs_lookup(f->vfs, &call, dir, entry, &node, &attr);
        if (rc == 0 && (rc = cis_vfs_open(f->vfs, &call, node, open_flags(fi), &file)) != 0) {
            cis_vfs_forget(f->vfs, node, 1);
        }
    }
    if (rc == 0 && (rc = fill_handle(f, node, file, fi)) != 0) {
        cis_vfs_forget(f->vfs, node, 1);
    }
    if (rc != 0) {
        cis_fuse_reply(req, rc);
        return;
    }
    struct fuse_entry_param e;
    cis_fuse_entry(f, dir, node, &attr, &e);
    if (fuse_reply_create(req, &e, fi) == -ENOENT) {
        cis_fuse_handle_drop(f, fuse_handle_of(fi));
        cis_vfs_forget(f->vfs, node, 1);
    }
}

/* close(2), of one of perhaps several descriptors. It decides nothing, but when what was written
 * before cannot be committed it is the last that can say so to who wrote it. */
void cis_fuse_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    bool asked = f->o.closed != NULL && atomic_load(&fuse_handle_of(fi)->wrote);
    cis_fuse_reply(req, asked ? f->o.closed(f->o.self, &call) : 0);
}

void cis_fuse_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    cis_fuse_handle_drop(fuse_of(req), fuse_handle_of(fi));
    cis_fuse_reply(req, 0);
}

void cis_fuse_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                      struct fuse_file_info *fi)
{
    (void)ino;
    struct cis_vfs_call call = cis_fuse_call(req);
    uint8_t *buf = cis_fuse_scratch();
    if (buf == NULL || off < 0) {
        cis_fuse_reply(req, buf == NULL ? ENOMEM : EINVAL);
        return;
    }
    struct iovec iov = {buf, size < FUSE_IO_MAX ? size : FUSE_IO_MAX};
    size_t n = 0;
    int rc = cis_vfs_read(fuse_file(fi), &call, &iov, 1, (uint64_t)off, &n);
    if (rc == 0) {
        fuse_reply_buf(req, (const char *)buf, n);
    } else {
        cis_fuse_reply(req, rc);
    }
}

/* What a program writes may be taken in part; it sees how much. Pages of a mapping are many to a
 * request, and the kernel looks at whether it failed, not at how many were taken: what does not fit
 * has to say why. */
static int write_all(cis_vfs_file *file, const struct cis_vfs_call *call, struct iovec iov,
                     uint64_t offset, bool pages, size_t *out_n)
{
    size_t size = iov.iov_len, n = 0;
    uint64_t end;
    int rc = cis_vfs_write(file, call, &iov, 1, offset, &n, &end);
    for (size_t part = n; rc == 0 && pages && n < size; n += part) {
        iov = (struct iovec){(uint8_t *)iov.iov_base + part, size - n};
        rc = cis_vfs_write(file, call, &iov, 1, offset + n, &part, &end);
        rc = rc == 0 && part == 0 ? ENOSPC : rc;
    }
    *out_n = n;
    return rc;
}

void cis_fuse_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    (void)ino;
    struct cis_vfs_call call = cis_fuse_call(req);
    struct iovec iov = {.iov_len = size};
    memcpy(&iov.iov_base, &data, sizeof data); /* iovec has no const; write only reads it */
    size_t n = 0;
    int rc = off < 0 ? EINVAL
                     : write_all(fuse_file(fi), &call, iov, write_offset(fi, off),
                                 fi->writepage != 0, &n);
    if (rc == 0) {
        atomic_store(&fuse_handle_of(fi)->wrote, true);
        fuse_reply_write(req, n);
    } else {
        cis_fuse_reply(req, rc);
    }
}

void cis_fuse_op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    (void)ino;
    struct cis_vfs_call call = cis_fuse_call(req);
    cis_fuse_reply(req, cis_vfs_sync(fuse_file(fi), &call, data_only != 0));
}

void cis_fuse_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    (void)ino, (void)data_only, (void)fi;
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_call call = cis_fuse_call(req);
    cis_fuse_reply(req, cis_vfs_flush(f->vfs, &call));
}

void cis_fuse_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                           struct fuse_file_info *fi)
{
    (void)ino;
    struct cis_vfs_call call = cis_fuse_call(req);
    int rc = off < 0 || len <= 0
                 ? EINVAL
                 : cis_vfs_allocate(fuse_file(fi), &call, mode, (uint64_t)off, (uint64_t)len);
    cis_fuse_reply(req, rc);
}

void cis_fuse_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
                       struct fuse_file_info *fi)
{
    (void)ino;
    struct cis_vfs_call call = cis_fuse_call(req);
    uint64_t at = 0;
    int rc = off < 0 ? ENXIO : cis_vfs_seek(fuse_file(fi), &call, (uint64_t)off, whence, &at);
    if (rc == 0) {
        fuse_reply_lseek(req, (off_t)at);
    } else {
        cis_fuse_reply(req, rc);
    }
}
