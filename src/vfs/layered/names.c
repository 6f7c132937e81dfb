/* Making and removing names: make, link, unlink, rmdir. Everything that can fail comes before the
 * first change. */
#include "vfs/layered/view.h"

void cis_lay_dir_changed(struct lay_view *v, struct lay_node *dir, int links,
                         struct cis_fs_time now)
{
    dir->now.mtime = dir->now.ctime = now;
    dir->now.nlink = (uint32_t)((int64_t)dir->now.nlink + links);
    dir->dlinks += links;
    dir->touched = true;
    cis_lay_touch(v, dir);
}

void cis_lay_node_unlinked(struct lay_view *v, struct lay_node *node, struct cis_fs_time now)
{
    bool dir = S_ISDIR(node->now.mode);
    node->now.ctime = now;
    node->now.nlink = dir ? 0 : node->now.nlink - 1;
    node->row = !dir;
    cis_lay_touch(v, node);
    if (node->now.nlink == 0) {
        v->files--;
        v->bytes -= S_ISREG(node->now.mode) ? (int64_t)node->now.size : 0;
        cis_lay_node_gone(v, node);
    }
}

/* The entry that a step makes or removes. */
struct entry {
    uint64_t dir_ino;
    struct cis_str text;
    struct cis_fs_inode dir_row;
    struct lay_found found;
    struct lay_node *dir; /* these two when it is ready to be changed */
    struct lay_name *name;
};

/* The folder is looked for each time: another commit on the branch may have made it. */
int cis_lay_kept(struct lay_op *op, cis_node dir, struct cis_str name, bool remove)
{
    enum cis_layered_kept kept = op->v->union_names;
    struct lay_found home = {0};
    if (kept == CIS_LAYERED_KEPT_ALL || (remove && kept == CIS_LAYERED_KEPT_REMOVE)) {
        return 0;
    }
    bool is = cis_str_starts(name, CIS_STR(CIS_VFS_KEPT));
    int rc =
        is || dir == CIS_FS_ROOT ? 0 : cis_lay_find(op, CIS_FS_ROOT, CIS_STR(CIS_VFS_KEPT), &home);
    if (rc != 0 || (!is && home.ino != dir)) {
        return rc;
    }
    return cis_lay_fail(op->call, EPERM,
                        "names that begin with " CIS_VFS_KEPT
                        " are reserved for the branches of cow mounts");
}

static int entry_find(struct lay_op *op, uint64_t dir, struct cis_str name, bool remove,
                      struct entry *out) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    out->dir_ino = dir;
    out->text = name;
    int rc = cis_lay_kept(op, dir, name, remove);
    rc = rc != 0 ? rc : cis_lay_dir(op, dir, &out->dir_row);
    return rc != 0 ? rc : cis_lay_find(op, dir, name, &out->found);
}

static int entry_ready(struct lay_op *op, struct entry *e) CIS_REQUIRES(lay_lock_stripes)
{
    int rc = cis_lay_node_get(op, e->dir_ino, &e->dir);
    return rc != 0 ? rc : cis_lay_name_ready(op, e->dir, e->text, &e->found, &e->name);
}

/* With the file that it names or is to name. */
static int entry_ready_with(struct lay_op *op, struct entry *e, uint64_t ino,
                            struct lay_node **out_node) CIS_REQUIRES(lay_lock_stripes)
{
    int rc = cis_lay_node_get(op, ino, out_node);
    return rc != 0 ? rc : entry_ready(op, e);
}

/* ---- make ---- */
struct make {
    uint64_t dir;
    struct cis_str name;
    const struct cis_vfs_make *make;
    uint64_t refs; /* that the new node begins with */
    uint64_t ino;  /* out */
    struct cis_vfs_attr *out_attr;
};

static struct cis_fs_inode new_row(const struct lay_op *op, const struct make *m,
                                   const struct cis_fs_inode *dir, struct cis_fs_time now)
{
    struct cis_fs_inode row = {
        .ino = m->ino,
        .epoch = op->v->at.epoch,
        .mode = m->make->mode,
        .nlink = S_ISDIR(m->make->mode) ? 2 : 1,
        .uid = op->call != NULL ? op->call->uid : 0,
        .gid = op->call != NULL ? op->call->gid : 0,
        .rdev = S_ISCHR(m->make->mode) || S_ISBLK(m->make->mode) ? m->make->rdev : 0,
        .size = S_ISLNK(m->make->mode) ? m->make->target.len : 0,
        .parent = S_ISDIR(m->make->mode) ? m->dir : 0,
        .atime = now,
        .mtime = now,
        .ctime = now,
        .btime = now,
        .is_inline = S_ISREG(m->make->mode),
    };
    if ((dir->mode & S_ISGID) != 0) {
        row.gid = dir->gid;
        row.mode |= S_ISDIR(row.mode) ? (uint32_t)S_ISGID : 0;
    }
    return row;
}

static int make_step(struct lay_op *op, void *arg) CIS_REQUIRES(lay_lock_stripes)
{
    struct make *m = arg;
    struct lay_view *v = op->v;
    struct entry e;
    struct lay_node *node;
    int rc = entry_find(op, m->dir, m->name, false, &e);
    rc = rc != 0 ? rc : e.found.ino != 0 ? EEXIST : cis_lay_quota_file(op);
    if (rc == 0 && S_ISDIR(m->make->mode) && e.dir_row.nlink >= INT32_MAX) {
        rc = EMLINK;
    }
    rc = rc != 0 ? rc : entry_ready(op, &e);
    if (rc != 0) {
        return rc;
    }
    struct cis_fs_time now;
    cis_lay_now(v, &now);
    struct cis_fs_inode row = new_row(op, m, &e.dir_row, now);
    rc = cis_lay_node_make(op, &row, true, &node);
    if (rc == 0 && S_ISLNK(row.mode)) {
        rc = cis_lay_charge(op, row.size);
        if (rc == 0) {
            node->charged += row.size;
            node->target = cis_strndup(m->make->target.ptr, m->make->target.len);
            rc = node->target == NULL ? ENOMEM : 0;
            v->targets += rc == 0 ? row.size : 0;
        }
        if (rc != 0) {
            cis_lay_node_drop(v, node);
        }
    }
    if (rc == 0 && !cis_lay_refs_add(&op->stripe->refs, m->ino, m->dir, (int64_t)m->refs)) {
        cis_lay_node_drop(v, node);
        rc = ENOMEM;
    }
    if (rc != 0) {
        cis_lay_name_settle(v, e.dir, e.name);
        return rc;
    }
    node->hint = m->dir;
    cis_lay_name_set(v, e.dir, e.name, m->ino, row.mode & S_IFMT);
    cis_lay_dir_changed(v, e.dir, S_ISDIR(row.mode) ? 1 : 0, now);
    v->files++;
    if (m->out_attr != NULL) {
        cis_lay_attr(v, &node->now, node, m->out_attr);
    }
    return 0;
}

static bool make_valid(const struct cis_vfs_make *make)
{
    switch (make->mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
        return (make->mode & ~(uint32_t)(S_IFMT | 07777)) == 0;
    case S_IFLNK:
        return make->target.len >= 1 && make->target.len <= CIS_FS_TARGET_MAX &&
               memchr(make->target.ptr, 0, make->target.len) == NULL;
    default:
        return false;
    }
}

static int make_node(struct lay_view *v, const struct cis_vfs_call *call, struct make *m)
{
    const struct cis_vfs_make *make = m->make;
    if (v->vfs.read_only) {
        return EROFS;
    }
    if (!make_valid(make)) {
        return S_ISLNK(make->mode) && make->target.len > CIS_FS_TARGET_MAX ? ENAMETOOLONG : EINVAL;
    }
    if (m->name.len > CIS_FS_NAME_MAX) {
        return ENAMETOOLONG;
    }
    int rc = cis_lay_quota_rows(v, call);
    if (rc != 0) {
        return rc;
    }
    struct cis_error why = {0};
    cis_code code = cis_lay_ino_new(v->fs_cache, v->tenant, lay_stop(call), &m->ino, &why);
    rc = cis_lay_errno_of(call, code, &why);
    return rc != 0 ? rc : cis_lay_do(v, call, true, make_step, m);
}

int cis_lay_make(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir, struct cis_str name,
                 const struct cis_vfs_make *make, cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    struct make m = {dir, name, make, 1, 0, out_attr};
    int rc = make_node(lay_of(vfs), call, &m);
    if (rc == 0) {
        *out_node = m.ino;
    }
    return rc;
}

int cis_lay_create(cis_vfs *vfs, const struct cis_vfs_call *call,
                   const struct cis_vfs_create_request *r, cis_vfs_file **out_file,
                   cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    struct cis_vfs_make make = {.mode = S_IFREG | (r->mode & 07777)};
    struct lay_file *f = cis_lay_file_new(lay_of(vfs), r->flags);
    if (f == NULL) {
        return ENOMEM;
    }
    /* One reference for the caller, one for the open file. */
    struct make m = {r->dir, r->name, &make, 2, 0, out_attr};
    int rc = make_node(lay_of(vfs), call, &m);
    if (rc != 0) {
        cis_lay_file_free(f);
        return rc;
    }
    *out_node = f->file.node = m.ino;
    *out_file = &f->file;
    return 0;
}

/* ---- link ---- */
struct link {
    uint64_t file, dir;
    struct cis_str name;
    struct cis_vfs_attr *out_attr;
};

static int link_step(struct lay_op *op, void *arg) CIS_REQUIRES(lay_lock_stripes)
{
    const struct link *l = arg;
    struct lay_view *v = op->v;
    struct cis_fs_inode row;
    struct entry e;
    struct lay_node *node;
    int rc = entry_find(op, l->dir, l->name, false, &e);
    rc = rc != 0 ? rc : e.found.ino != 0 ? EEXIST : cis_lay_inode(op, l->file, &row, &node);
    if (rc != 0) {
        return rc;
    }
    if (S_ISDIR(row.mode)) {
        return EPERM;
    }
    if (row.nlink == 0) {
        return ENOENT;
    }
    if (row.nlink >= INT32_MAX) {
        return EMLINK;
    }
    if (!cis_lay_quota_own_fits(v, 0)) {
        return cis_lay_quota_own_fail(op);
    }
    rc = entry_ready_with(op, &e, l->file, &node);
    if (rc != 0) {
        return rc;
    }
    struct cis_fs_time now;
    cis_lay_now(v, &now);
    node->now.nlink++;
    node->now.ctime = now;
    node->row = true;
    cis_lay_touch(v, node);
    cis_lay_name_set(v, e.dir, e.name, node->ino, node->now.mode & S_IFMT);
    cis_lay_dir_changed(v, e.dir, 0, now);
    if (l->out_attr != NULL) {
        cis_lay_attr(v, &node->now, node, l->out_attr);
    }
    return 0;
}

int cis_lay_link(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node file, cis_node dir,
                 struct cis_str name, struct cis_vfs_attr *out_attr)
{
    struct link l = {file, dir, name, out_attr};
    if (vfs->read_only || name.len > CIS_FS_NAME_MAX) {
        return vfs->read_only ? EROFS : ENAMETOOLONG;
    }
    int rc = cis_lay_quota_rows(lay_of(vfs), call);
    return rc != 0 ? rc : cis_lay_do(lay_of(vfs), call, true, link_step, &l);
}

/* ---- unlink, rmdir ---- */
int cis_lay_empty(struct lay_op *op, const struct cis_fs_inode *row, const struct lay_node *node)
{
    if (node != NULL && node->nnames > 0) {
        return ENOTEMPTY;
    }
    if (node != NULL && node->is_new) {
        return 0;
    }
    struct lay_blob *list;
    int rc = cis_lay_base_listing(op, row->ino, node != NULL ? node->base.epoch : row->epoch, false,
                                  &list);
    if (rc != 0) {
        return rc;
    }
    uint64_t n = 0, removed = node != NULL ? node->ngone : 0;
    struct lay_listed e;
    for (size_t at = 0; at < list->len && n <= removed; n++) {
        at += lay_listed_at(list->data + at, &e);
    }
    cis_lay_blob_unref(list);
    return n > removed ? ENOTEMPTY : 0;
}

struct removal {
    uint64_t dir;
    struct cis_str name;
    bool is_dir;
};

static int remove_step(struct lay_op *op, void *arg) CIS_REQUIRES(lay_lock_stripes)
{
    const struct removal *r = arg;
    struct lay_view *v = op->v;
    struct cis_fs_inode row;
    struct entry e;
    struct lay_node *node;
    int rc = entry_find(op, r->dir, r->name, true, &e);
    rc = rc != 0 ? rc : e.found.ino == 0 ? ENOENT : cis_lay_inode(op, e.found.ino, &row, &node);
    if (rc == 0 && S_ISDIR(row.mode) != r->is_dir) {
        rc = r->is_dir ? ENOTDIR : EISDIR;
    }
    rc = rc != 0 || !r->is_dir ? rc : cis_lay_empty(op, &row, node);
    rc = rc != 0 ? rc : entry_ready_with(op, &e, e.found.ino, &node);
    if (rc != 0) {
        return rc;
    }
    struct cis_fs_time now;
    cis_lay_now(v, &now);
    cis_lay_name_set(v, e.dir, e.name, 0, 0);
    cis_lay_dir_changed(v, e.dir, r->is_dir ? -1 : 0, now);
    v->moves += r->is_dir ? 1 : 0;
    cis_lay_node_unlinked(v, node, now);
    return 0;
}

static int remove_name(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                       struct cis_str name, bool is_dir)
{
    struct removal r = {dir, name, is_dir};
    if (vfs->read_only || name.len > CIS_FS_NAME_MAX) {
        return vfs->read_only ? EROFS : ENAMETOOLONG;
    }
    (void)!cis_lay_quota_rows(lay_of(vfs), NULL); /* removing goes on all the same */
    return cis_lay_do(lay_of(vfs), call, true, remove_step, &r);
}

int cis_lay_unlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir, struct cis_str name)
{
    return remove_name(vfs, call, dir, name, false);
}

int cis_lay_rmdir(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir, struct cis_str name)
{
    return remove_name(vfs, call, dir, name, true);
}
