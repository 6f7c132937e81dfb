/* Attributes as told: mode, owner, times, size. */
#include "vfs/layered/view.h"

struct setattr {
    uint64_t ino;
    const struct cis_vfs_set *set;
    struct cis_vfs_attr *out;
};

static void apply(const struct cis_vfs_set *set, struct cis_fs_inode *row, struct cis_fs_time now)
{
    if ((set->bits & (CIS_VFS_SET_UID | CIS_VFS_SET_GID)) != 0 && !S_ISDIR(row->mode)) {
        /* A new owner does not inherit the old one's set-id programs (chown(2)). */
        row->mode &= ~(uint32_t)S_ISUID;
        row->mode &= (row->mode & S_IXGRP) != 0 ? ~(uint32_t)S_ISGID : ~0u;
    }
    if ((set->bits & CIS_VFS_SET_MODE) != 0) {
        row->mode = (row->mode & S_IFMT) | (set->mode & 07777);
    }
    row->uid = (set->bits & CIS_VFS_SET_UID) != 0 ? set->uid : row->uid;
    row->gid = (set->bits & CIS_VFS_SET_GID) != 0 ? set->gid : row->gid;
    if ((set->bits & CIS_VFS_SET_ATIME) != 0) {
        row->atime = (struct cis_fs_time){set->atime.tv_sec, (uint32_t)set->atime.tv_nsec};
    }
    if ((set->bits & CIS_VFS_SET_MTIME) != 0) {
        row->mtime = (struct cis_fs_time){set->mtime.tv_sec, (uint32_t)set->mtime.tv_nsec};
    }
    row->atime = (set->bits & CIS_VFS_SET_ATIME_NOW) != 0 ? now : row->atime;
    row->mtime = (set->bits & CIS_VFS_SET_MTIME_NOW) != 0 ? now : row->mtime;
    row->ctime = now;
}

static int setattr_step(struct lay_op *op, void *arg) CIS_REQUIRES(lay_lock_stripes)
{
    const struct setattr *s = arg;
    struct lay_view *v = op->v;
    struct cis_fs_inode row;
    struct lay_node *node;
    int rc = cis_lay_inode(op, s->ino, &row, &node);
    if (rc == 0 && S_ISLNK(row.mode) && (s->set->bits & CIS_VFS_SET_MODE) != 0) {
        rc = EOPNOTSUPP;
    }
    if (rc != 0) {
        return rc;
    }
    if ((s->set->bits & ~(unsigned)CIS_VFS_SET_SIZE) != 0) {
        rc = cis_lay_node_get(op, s->ino, &node);
        if (rc != 0) {
            return rc;
        }
        struct cis_fs_time now;
        cis_lay_now(v, &now);
        apply(s->set, &node->now, now);
        if (S_ISDIR(node->now.mode)) {
            node->dirattr = true;
        } else {
            node->row = true;
        }
        cis_lay_touch(v, node);
        row = node->now;
    }
    if (s->out != NULL) {
        cis_lay_attr(v, &row, node, s->out);
    }
    return 0;
}

void cis_lay_written(const struct lay_op *op, struct lay_node *node)
{
    cis_lay_now(op->v, &node->now.mtime);
    node->now.ctime = node->now.mtime;
    node->now.mode = cis_vfs_mode_changed(op->call, node->now.mode, node->now.gid);
    node->row = true;
    cis_lay_touch(op->v, node);
}

static bool time_valid(const struct timespec *t)
{
    return t->tv_nsec >= 0 && t->tv_nsec < 1000000000;
}

int cis_lay_setattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node ino,
                    const struct cis_vfs_set *set, struct cis_vfs_attr *out)
{
    struct lay_view *v = lay_of(vfs);
    struct setattr s = {ino, set, out};
    if (vfs->read_only) {
        return EROFS;
    }
    if (((set->bits & CIS_VFS_SET_ATIME) != 0 && !time_valid(&set->atime)) ||
        ((set->bits & CIS_VFS_SET_MTIME) != 0 && !time_valid(&set->mtime))) {
        return EINVAL;
    }
    int rc = set->bits != 0 ? cis_lay_quota_rows(v, call) : 0;
    if (rc == 0 && (set->bits & CIS_VFS_SET_SIZE) != 0) {
        rc = cis_lay_resize(v, call, ino, set->size);
    }
    if (rc != 0) {
        return rc;
    }
    return cis_lay_do(v, call, (set->bits & ~(unsigned)CIS_VFS_SET_SIZE) != 0, setattr_step, &s);
}
