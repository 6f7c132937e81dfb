#include "vfs/union/internal.h"

#include "base/mem.h"

int cis_ufile_new(struct unionfs *u, struct unode *node, int flags, cis_vfs_file *up,
                  cis_vfs_file *low, cis_vfs_file **out)
{
    int rc = cis_union_charge(u, sizeof(struct ufile));
    struct ufile *file = rc == 0 ? cis_zalloc(sizeof *file) : NULL;
    if (file == NULL) {
        if (rc == 0) {
            cis_union_uncharge(u, sizeof(struct ufile));
        }
        if (up != NULL) {
            cis_vfs_release(up);
        }
        if (low != NULL) {
            cis_vfs_release(low);
        }
        return ENOMEM;
    }
    file->file = (cis_vfs_file){.vfs = &u->vfs, .node = (cis_node)(uintptr_t)node, .flags = flags};
    file->node = cis_unode_ref(u, node);
    atomic_init(&file->up, up);
    file->low = low;
    pthread_mutex_init(&file->lock, NULL);
    *out = &file->file;
    return 0;
}

int cis_union_open_file(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node_id, int flags,
                        cis_vfs_file **out_file)
{
    struct unionfs *u = union_of(vfs);
    struct unode *node = unode_of(node_id);
    bool changes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
    if (node->type == S_IFDIR) {
        return changes ? EISDIR : cis_ufile_new(u, node, flags, NULL, NULL, out_file);
    }
    if ((flags & O_DIRECTORY) != 0) {
        return ENOTDIR;
    }
    if (node->type == S_IFLNK) {
        return ELOOP;
    }
    if (vfs->read_only && changes) {
        return EROFS;
    }
    int rc = changes ? cis_union_copy_file(u, call, node, (flags & O_TRUNC) == 0) : 0;
    cis_vfs_file *up = NULL, *low = NULL;
    if (rc == 0) {
        rc = node->upper != 0 ? cis_vfs_open(u->up, call, node->upper, flags, &up)
                              : cis_vfs_open(u->low, call, node->lower, flags, &low);
    }
    return rc == 0 ? cis_ufile_new(u, node, flags, up, low, out_file) : rc;
}

void cis_union_release(cis_vfs_file *file)
{
    struct unionfs *u = union_of(file->vfs);
    struct ufile *own = ufile_of(file);
    if (own->up != NULL) {
        cis_vfs_release(own->up);
    }
    if (own->low != NULL) {
        cis_vfs_release(own->low);
    }
    cis_lock_alone(union_lock_file);
    cis_union_listing_unref(own->listing);
    pthread_mutex_destroy(&own->lock);
    cis_unode_put(u, own->node, 1);
    cis_union_uncharge(u, sizeof *own);
    cis_free(own);
}

/* The open part: a reader of the lower one goes over to the copy as soon as there is one. */
static int part_now(struct ufile *own, const struct cis_vfs_call *call, cis_vfs_file **out)
{
    cis_vfs_file *up = atomic_load(&own->up);
    cis_node upper = own->node->upper;
    int rc = 0;
    if (up == NULL && upper != 0) {
        struct unionfs *u = union_of(own->file.vfs);
        cis_mutex_lock(&own->lock, union_lock_file);
        up = atomic_load(&own->up);
        if (up == NULL) {
            rc = cis_vfs_open(u->up, call, upper, O_RDONLY, &up);
            if (rc == 0) {
                atomic_store(&own->up, up);
            }
        }
        cis_mutex_unlock(&own->lock, union_lock_file);
    }
    *out = up != NULL ? up : own->low;
    return rc;
}

static bool is_folder(const struct ufile *own)
{
    return own->node->type == S_IFDIR;
}

int cis_union_read(cis_vfs_file *file, const struct cis_vfs_call *call, const struct iovec *iov,
                   int niov, uint64_t offset, size_t *out_n)
{
    cis_vfs_file *part = NULL;
    if (is_folder(ufile_of(file))) {
        return EISDIR;
    }
    int rc = part_now(ufile_of(file), call, &part);
    return rc == 0 ? cis_vfs_read(part, call, iov, niov, offset, out_n) : rc;
}

int cis_union_write(cis_vfs_file *file, const struct cis_vfs_call *call, const struct iovec *iov,
                    int niov, uint64_t offset, size_t *out_n, uint64_t *out_end)
{
    cis_vfs_file *up = ufile_of(file)->up;
    if ((file->flags & O_ACCMODE) == O_RDONLY) {
        return EBADF;
    }
    return cis_vfs_write(up, call, iov, niov, offset, out_n, out_end);
}

int cis_union_sync(cis_vfs_file *file, const struct cis_vfs_call *call, bool data_only)
{
    cis_vfs_file *up = ufile_of(file)->up;
    return up != NULL ? cis_vfs_sync(up, call, data_only) : 0;
}

int cis_union_allocate(cis_vfs_file *file, const struct cis_vfs_call *call, int mode,
                       uint64_t offset, uint64_t len)
{
    cis_vfs_file *up = ufile_of(file)->up;
    if ((file->flags & O_ACCMODE) == O_RDONLY) {
        return len == 0 ? EINVAL : EBADF;
    }
    return cis_vfs_allocate(up, call, mode, offset, len);
}

int cis_union_seek(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t offset, int whence,
                   uint64_t *out_offset)
{
    cis_vfs_file *part = NULL;
    if (is_folder(ufile_of(file))) {
        return EISDIR;
    }
    int rc = part_now(ufile_of(file), call, &part);
    return rc == 0 ? cis_vfs_seek(part, call, offset, whence, out_offset) : rc;
}
