/* Open files: a reference on the node and what a reader is at. */
#include "vfs/layered/view.h"

struct lay_file *cis_lay_file_new(struct lay_view *v, int flags)
{
    struct lay_file *f = cis_zalloc(sizeof *f);
    if (f != NULL) {
        f->file.vfs = &v->vfs;
        f->file.flags = flags & ~(O_TRUNC | O_DIRECTORY);
        pthread_mutex_init(&f->lock, NULL);
    }
    return f;
}

void cis_lay_file_free(struct lay_file *file)
{
    pthread_mutex_destroy(&file->lock);
    cis_free(file);
}

struct open {
    uint64_t ino;
    int flags;
    bool is_dir, gone;
};

static int open_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    struct open *o = arg;
    struct cis_fs_inode row;
    struct lay_node *node;
    int rc = cis_lay_inode(op, o->ino, &row, &node);
    if (rc != 0) {
        return rc;
    }
    /* Without a name it is there only for those who hold it; who that is, all stripes know. */
    o->gone = node != NULL && node->gone;
    if (o->gone && (!op->all || cis_lay_refs_sum(op->v, o->ino, NULL) <= 0)) {
        return ESTALE;
    }
    bool writes = (o->flags & O_ACCMODE) != O_RDONLY || (o->flags & O_TRUNC) != 0;
    o->is_dir = S_ISDIR(row.mode);
    if (!o->is_dir && (o->flags & O_DIRECTORY) != 0) {
        return ENOTDIR;
    }
    if (o->is_dir && writes) {
        return EISDIR;
    }
    if (S_ISLNK(row.mode)) {
        return ELOOP;
    }
    if (!o->is_dir && !S_ISREG(row.mode)) {
        return ENXIO; /* nobody is at the other end */
    }
    if (writes && op->v->vfs.read_only) {
        return EROFS;
    }
    uint64_t dir =
        op->stripe->seen[o->ino % 32].ino == o->ino ? op->stripe->seen[o->ino % 32].dir : 0;
    return cis_lay_refs_add(&op->stripe->refs, o->ino, dir, 1) ? 0 : ENOMEM;
}

int cis_lay_open_file(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node ino, int flags,
                      cis_vfs_file **out_file)
{
    struct lay_view *v = lay_of(vfs);
    struct open o = {ino, flags, false, false};
    struct lay_file *f = cis_lay_file_new(v, flags);
    if (f == NULL) {
        return ENOMEM;
    }
    f->file.node = ino;
    int rc = cis_lay_do(v, call, false, open_step, &o);
    if (rc == ESTALE && o.gone) {
        rc = cis_lay_do(v, call, true, open_step, &o);
    }
    if (rc == 0 && (flags & O_TRUNC) != 0) {
        (void)!cis_lay_quota_rows(v, NULL); /* removing goes on all the same */
        rc = cis_lay_resize(v, call, ino, 0);
        if (rc != 0) {
            cis_lay_forget(vfs, ino, 1);
        }
    }
    if (rc != 0) {
        cis_lay_file_free(f);
        return rc;
    }
    f->file.flags |= o.is_dir ? O_DIRECTORY : 0;
    *out_file = &f->file;
    return 0;
}

void cis_lay_release_file(cis_vfs_file *file)
{
    struct lay_view *v = lay_of(file->vfs);
    struct lay_file *f = lay_file_of(file);
    if (f->charged != 0) {
        cis_lay_lock_all(v);
        cis_lay_release(v, f->charged);
        cis_lay_unlock_all(v);
    }
    cis_lay_blob_unref(f->listing);
    cis_lay_forget(file->vfs, file->node, 1);
    cis_lay_file_free(f);
}
