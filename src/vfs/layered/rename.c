/* Rename: replace, NOREPLACE, EXCHANGE; files and directories. Whether a directory would get into
 * itself is asked by walking up without a lock, step by step; v->moves says whether anything that
 * matters for the answer changed until the lock is taken. */
#include "vfs/layered/view.h"

#include <linux/fs.h>

enum { CHECK_AGAIN = -2, DEPTH_MAX = 1 << 20 };

struct rename {
    uint64_t dir, to_dir;
    struct cis_str name, to_name;
    unsigned flags;
    /* what the walk up was made for */
    uint64_t moves;
    struct lay_found from, to;
    bool from_above; /* the source is to_dir or above it */
    bool to_above;   /* the target is dir or above it */
};

static int find_both(struct lay_op *op, struct rename *r, struct lay_found *from,
                     struct lay_found *to) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    struct cis_fs_inode row;
    int rc = cis_lay_kept(op, r->dir, r->name, false);
    rc = rc != 0 ? rc : cis_lay_kept(op, r->to_dir, r->to_name, false);
    rc = rc != 0 ? rc : cis_lay_dir(op, r->dir, &row);
    rc = rc != 0 ? rc : cis_lay_dir(op, r->to_dir, &row);
    rc = rc != 0 ? rc : cis_lay_find(op, r->dir, r->name, from);
    rc = rc != 0 ? rc : cis_lay_find(op, r->to_dir, r->to_name, to);
    if (rc == 0 && from->ino == 0) {
        rc = ENOENT;
    }
    if (rc == 0 && (r->flags & RENAME_NOREPLACE) != 0 && to->ino != 0) {
        rc = EEXIST;
    }
    if (rc == 0 && (r->flags & RENAME_EXCHANGE) != 0 && to->ino == 0) {
        rc = ENOENT;
    }
    return rc;
}

static int look_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    struct rename *r = arg;
    r->moves = op->v->moves;
    return find_both(op, r, &r->from, &r->to);
}

static int parent_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    uint64_t *ino = arg;
    struct cis_fs_inode row;
    int rc = cis_lay_inode(op, *ino, &row, NULL);
    if (rc == 0) {
        *ino = row.parent;
    }
    return rc;
}

int cis_lay_parent(struct lay_view *v, const struct cis_vfs_call *call, uint64_t *ino)
{
    return cis_lay_do(v, call, false, parent_step, ino);
}

static int above(struct lay_view *v, const struct cis_vfs_call *call, uint64_t ino, uint64_t below,
                 bool *out)
{
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        if (below == ino || below == CIS_FS_ROOT) {
            *out = below == ino;
            return 0;
        }
        int rc = depth % 64 == 63 ? cis_lay_stopped(call) : 0; /* it may be long */
        rc = rc != 0 ? rc : cis_lay_do(v, call, false, parent_step, &below);
        if (rc != 0) {
            return rc;
        }
    }
    return cis_lay_fail(call, EIO, "directories that contain each other");
}

/* What is replaced: same kind, and an empty directory. */
static int check_target(struct lay_op *op, const struct rename *r, const struct lay_found *from,
                        const struct lay_found *to) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    bool exchange = (r->flags & RENAME_EXCHANGE) != 0;
    if (r->from_above || (r->to_above && exchange)) {
        return EINVAL;
    }
    if (r->to_above) {
        return ENOTEMPTY;
    }
    if (to->ino == 0 || exchange || to->ino == from->ino) {
        return 0;
    }
    if (S_ISDIR(from->type) != S_ISDIR(to->type)) {
        return S_ISDIR(from->type) ? ENOTDIR : EISDIR;
    }
    if (!S_ISDIR(to->type)) {
        return 0;
    }
    struct cis_fs_inode row;
    struct lay_node *node;
    int rc = cis_lay_inode(op, to->ino, &row, &node);
    return rc != 0 ? rc : cis_lay_empty(op, &row, node);
}

struct parts {
    struct lay_node *dir, *to_dir, *node, *to_node;
    struct lay_name *name, *to_name;
};

static int get_parts(struct lay_op *op, const struct rename *r, const struct lay_found *from,
                     const struct lay_found *to, struct parts *p) CIS_REQUIRES(lay_lock_stripes)
{
    int rc = cis_lay_node_get(op, r->dir, &p->dir);
    rc = rc != 0 ? rc : cis_lay_node_get(op, r->to_dir, &p->to_dir);
    rc = rc != 0 ? rc : cis_lay_node_get(op, from->ino, &p->node);
    rc = rc != 0 || to->ino == 0 ? rc : cis_lay_node_get(op, to->ino, &p->to_node);
    rc = rc != 0 ? rc : cis_lay_name_ready(op, p->dir, r->name, from, &p->name);
    if (rc != 0) {
        return rc;
    }
    rc = cis_lay_name_ready(op, p->to_dir, r->to_name, to, &p->to_name);
    if (rc != 0) {
        cis_lay_name_settle(op->v, p->dir, p->name);
    }
    return rc;
}

/* A directory that is somewhere else now. */
static void moved(struct lay_view *v, struct lay_node *node, uint64_t to_dir,
                  struct cis_fs_time now) CIS_REQUIRES(lay_lock_stripes)
{
    node->now.ctime = now;
    node->hint = to_dir;
    cis_lay_touch(v, node);
    if (!S_ISDIR(node->now.mode)) {
        node->row = true;
        return;
    }
    node->touched = true;
    v->moves++;
    if (node->now.parent != to_dir) {
        node->now.parent = to_dir;
        node->moved = node->is_new || to_dir != node->base.parent;
    }
}

static int rename_step(struct lay_op *op, void *arg) CIS_REQUIRES(lay_lock_stripes)
{
    struct rename *r = arg;
    struct lay_view *v = op->v;
    struct lay_found from, to;
    struct parts p = {0};
    int rc = find_both(op, r, &from, &to);
    if (rc != 0) {
        return rc;
    }
    if (r->moves != v->moves || from.ino != r->from.ino || to.ino != r->to.ino) {
        return CHECK_AGAIN;
    }
    rc = check_target(op, r, &from, &to);
    if (rc != 0 || from.ino == to.ino) {
        return rc; /* two names of one file: nothing happens */
    }
    rc = get_parts(op, r, &from, &to, &p);
    if (rc != 0) {
        return rc;
    }
    struct cis_fs_time now;
    cis_lay_now(v, &now);
    bool exchange = (r->flags & RENAME_EXCHANGE) != 0;
    int from_dirs = S_ISDIR(from.type) ? 1 : 0, to_dirs = to.ino != 0 && S_ISDIR(to.type) ? 1 : 0;
    cis_lay_name_set(v, p.to_dir, p.to_name, from.ino, from.type);
    cis_lay_name_set(v, p.dir, p.name, exchange ? to.ino : 0, exchange ? to.type : 0);
    cis_lay_dir_changed(v, p.to_dir, from_dirs - to_dirs, now);
    cis_lay_dir_changed(v, p.dir, exchange ? to_dirs - from_dirs : -from_dirs, now);
    moved(v, p.node, r->to_dir, now);
    if (exchange) {
        moved(v, p.to_node, r->dir, now);
    } else if (p.to_node != NULL) {
        cis_lay_node_unlinked(v, p.to_node, now);
    }
    return 0;
}

static int check(struct lay_view *v, const struct cis_vfs_call *call, struct rename *r)
{
    int rc = cis_lay_do(v, call, false, look_step, r);
    r->from_above = r->to_above = false;
    if (rc == 0 && r->dir != r->to_dir && S_ISDIR(r->from.type)) {
        rc = above(v, call, r->from.ino, r->to_dir, &r->from_above);
    }
    if (rc == 0 && r->dir != r->to_dir && r->to.ino != 0 && S_ISDIR(r->to.type)) {
        rc = above(v, call, r->to.ino, r->dir, &r->to_above);
    }
    return rc;
}

int cis_lay_rename(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir, struct cis_str name,
                   cis_node to_dir, struct cis_str to_name, unsigned flags)
{
    struct lay_view *v = lay_of(vfs);
    struct rename r = {
        .dir = dir, .to_dir = to_dir, .name = name, .to_name = to_name, .flags = flags};
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0 ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE)) {
        return EINVAL;
    }
    if (vfs->read_only || name.len > CIS_FS_NAME_MAX || to_name.len > CIS_FS_NAME_MAX) {
        return vfs->read_only ? EROFS : ENAMETOOLONG;
    }
    bool again;
    int rc = cis_lay_quota_rows(v, call);
    if (rc != 0) {
        return rc;
    }
    do {
        rc = check(v, call, &r);
        rc = rc != 0 ? rc : cis_lay_do(v, call, true, rename_step, &r);
        again = rc == CHECK_AGAIN;
        rc = again ? cis_lay_stopped(call) : rc; /* others may move directories for ever */
    } while (again && rc == 0);
    return rc;
}
