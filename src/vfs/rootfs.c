/* The namespace's own filesystem: directories that hold mount points and nothing else. Grows while
 * mounts are made, by one thread; read-only afterwards, so there is no lock. */
#include "vfs/internal.h"

#include <errno.h>
#include <fcntl.h>
#include "base/mem.h"

struct folder {
    uint32_t parent; /* index; the root's is itself */
    struct cis_str name;
    uint32_t ndirs;
};

struct rootfs {
    cis_vfs vfs;
    struct folder *folders; /* node = index + 1 */
    uint32_t nfolders, cap;
    struct timespec born;
};

static struct rootfs *of(cis_vfs *vfs)
{
    return (struct rootfs *)vfs;
}

static void rootfs_close(cis_vfs *vfs)
{
    struct rootfs *fs = of(vfs);
    for (uint32_t i = 0; i < fs->nfolders; i++) {
        cis_free((void *)(uintptr_t)fs->folders[i].name.ptr);
    }
    cis_free(fs->folders);
    cis_free(fs);
}

static void fill(struct rootfs *fs, uint32_t i, struct cis_vfs_attr *out)
{
    *out = (struct cis_vfs_attr){
        .ino = i + 1u,
        .version = fs->nfolders,
        .mode = S_IFDIR | 0555,
        .nlink = 2 + fs->folders[i].ndirs,
        .atime = fs->born,
        .mtime = fs->born,
        .ctime = fs->born,
        .btime = fs->born,
    };
}

static int rootfs_lookup(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                         struct cis_str name, cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    (void)call;
    struct rootfs *fs = of(vfs);
    for (uint32_t i = 1; i < fs->nfolders; i++) {
        if (fs->folders[i].parent + 1 == dir && cis_str_eq(fs->folders[i].name, name)) {
            *out_node = i + 1;
            fill(fs, i, out_attr);
            return 0;
        }
    }
    return ENOENT;
}

static void rootfs_count(cis_vfs *vfs, cis_node node, uint64_t n)
{
    (void)vfs;
    (void)node;
    (void)n;
}

static int rootfs_getattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                          struct cis_vfs_attr *out)
{
    (void)call;
    fill(of(vfs), (uint32_t)node - 1, out);
    return 0;
}

static int rootfs_open(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node, int flags,
                       cis_vfs_file **out_file)
{
    (void)call;
    if ((flags & (O_ACCMODE | O_TRUNC)) != O_RDONLY) {
        return EISDIR;
    }
    cis_vfs_file *file = cis_zalloc(sizeof *file);
    if (file == NULL) {
        return ENOMEM;
    }
    *file = (cis_vfs_file){.vfs = vfs, .node = node, .flags = flags, .read_only = true};
    *out_file = file;
    return 0;
}

static void rootfs_release(cis_vfs_file *file)
{
    cis_free(file);
}

/* Cookies: 1 and 2 are "." and "..", then index + 2. */
static int rootfs_readdir(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t cookie,
                          bool attributes, cis_vfs_entry_each *each, void *self)
{
    (void)call;
    struct rootfs *fs = of(file->vfs);
    uint32_t dir = (uint32_t)file->node - 1;
    for (uint64_t at = cookie; at < fs->nfolders + 1ull; at++) {
        uint32_t i = at == 0 ? dir : at == 1 ? fs->folders[dir].parent : (uint32_t)(at - 1);
        if (at > 1 && fs->folders[i].parent != dir) {
            continue;
        }
        struct cis_vfs_attr attr;
        fill(fs, i, &attr);
        struct cis_str name = at == 0   ? CIS_STR(".")
                              : at == 1 ? CIS_STR("..")
                                        : fs->folders[i].name;
        struct cis_vfs_entry entry = {name, attr.ino, S_IFDIR, at + 1};
        if (!each(self, &entry, attributes ? &attr : NULL)) {
            break;
        }
    }
    return 0;
}

static int rootfs_setattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                          const struct cis_vfs_set *set, struct cis_vfs_attr *out)
{
    (void)vfs, (void)call, (void)node, (void)set, (void)out;
    return EROFS;
}

static int rootfs_readlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                           struct cis_buf *out)
{
    (void)vfs, (void)call, (void)node, (void)out;
    return EINVAL;
}

static int rootfs_make(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                       struct cis_str name, const struct cis_vfs_make *make, cis_node *out_node,
                       struct cis_vfs_attr *out_attr)
{
    (void)make;
    return rootfs_lookup(vfs, call, dir, name, out_node, out_attr) == 0 ? EEXIST : EROFS;
}

static int rootfs_link(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node file, cis_node dir,
                       struct cis_str name, struct cis_vfs_attr *out_attr)
{
    (void)vfs, (void)call, (void)file, (void)dir, (void)name, (void)out_attr;
    return EROFS;
}

static int rootfs_remove(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                         struct cis_str name)
{
    (void)vfs, (void)call, (void)dir, (void)name;
    return EROFS;
}

static int rootfs_rename(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                         struct cis_str name, cis_node to_dir, struct cis_str to_name,
                         unsigned flags)
{
    (void)vfs, (void)call, (void)dir, (void)name, (void)to_dir, (void)to_name, (void)flags;
    return EROFS;
}

static int rootfs_create(cis_vfs *vfs, const struct cis_vfs_call *call,
                         const struct cis_vfs_create_request *r, cis_vfs_file **out_file,
                         cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    (void)out_file;
    return rootfs_lookup(vfs, call, r->dir, r->name, out_node, out_attr) == 0 ? EEXIST : EROFS;
}

static int rootfs_read(cis_vfs_file *file, const struct cis_vfs_call *call, const struct iovec *iov,
                       int niov, uint64_t offset, size_t *out_n)
{
    (void)file, (void)call, (void)iov, (void)niov, (void)offset, (void)out_n;
    return EISDIR;
}

static int rootfs_write(cis_vfs_file *file, const struct cis_vfs_call *call,
                        const struct iovec *iov, int niov, uint64_t offset, size_t *out_n,
                        uint64_t *out_end)
{
    (void)file, (void)call, (void)iov, (void)niov, (void)offset, (void)out_n, (void)out_end;
    return EBADF;
}

static int rootfs_sync(cis_vfs_file *file, const struct cis_vfs_call *call, bool data_only)
{
    (void)file, (void)call, (void)data_only;
    return 0;
}

static int rootfs_allocate(cis_vfs_file *file, const struct cis_vfs_call *call, int mode,
                           uint64_t offset, uint64_t len)
{
    (void)file, (void)call, (void)mode, (void)offset, (void)len;
    return EBADF;
}

static int rootfs_seek(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t offset,
                       int whence, uint64_t *out_offset)
{
    (void)file, (void)call, (void)offset, (void)whence, (void)out_offset;
    return EISDIR;
}

static int rootfs_statfs(cis_vfs *vfs, const struct cis_vfs_call *call, struct cis_vfs_usage *out)
{
    (void)call;
    *out = (struct cis_vfs_usage){.files = of(vfs)->nfolders};
    return 0;
}

static int rootfs_flush(cis_vfs *vfs, const struct cis_vfs_call *call)
{
    (void)vfs, (void)call;
    return 0;
}

static const struct cis_vfs_ops rootfs_ops = {
    .size = sizeof(struct cis_vfs_ops),
    .name = "namespace",
    .close = rootfs_close,
    .lookup = rootfs_lookup,
    .ref = rootfs_count,
    .forget = rootfs_count,
    .getattr = rootfs_getattr,
    .setattr = rootfs_setattr,
    .readlink = rootfs_readlink,
    .make = rootfs_make,
    .link = rootfs_link,
    .unlink = rootfs_remove,
    .rmdir = rootfs_remove,
    .rename = rootfs_rename,
    .open = rootfs_open,
    .create = rootfs_create,
    .release = rootfs_release,
    .read = rootfs_read,
    .write = rootfs_write,
    .sync = rootfs_sync,
    .allocate = rootfs_allocate,
    .seek = rootfs_seek,
    .readdir = rootfs_readdir,
    .statfs = rootfs_statfs,
    .flush = rootfs_flush,
};

static int folder_add(struct rootfs *fs, uint32_t parent, struct cis_str name)
{
    if (fs->nfolders == fs->cap) {
        size_t cap = cis_cap_next(fs->cap, 8, UINT32_MAX);
        struct folder *more = cis_realloc_array(fs->folders, cap, sizeof *more);
        if (more == NULL) {
            return ENOMEM;
        }
        fs->folders = more;
        fs->cap = (uint32_t)cap;
    }
    char *copy = cis_strndup(name.ptr, name.len);
    if (copy == NULL) {
        return ENOMEM;
    }
    fs->folders[fs->nfolders++] = (struct folder){parent, {copy, name.len}, 0};
    return 0;
}

int cis_rootfs_new(cis_vfs **out_vfs)
{
    struct rootfs *fs = cis_zalloc(sizeof *fs);
    if (fs == NULL) {
        return ENOMEM;
    }
    fs->vfs = (cis_vfs){.ops = &rootfs_ops, .root = 1, .read_only = true};
    clock_gettime(CLOCK_REALTIME, &fs->born);
    if (folder_add(fs, 0, CIS_STR("")) != 0) {
        rootfs_close(&fs->vfs);
        return ENOMEM;
    }
    *out_vfs = &fs->vfs;
    return 0;
}

int cis_rootfs_mkdir(cis_vfs *vfs, cis_node dir, struct cis_str name, cis_node *out_node)
{
    struct rootfs *fs = of(vfs);
    int rc = folder_add(fs, (uint32_t)dir - 1, name);
    if (rc == 0) {
        fs->folders[dir - 1].ndirs++;
        *out_node = fs->nfolders;
    }
    return rc;
}
