#include "vfs/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct subject_fs {
    subject base;
    cis_ns *ns;
    cis_dir *root;
    struct cis_vfs_call call;
    cis_vfs_file *slots[OP_SLOTS];
};

static bool list_each(void *self, const struct cis_vfs_entry *entry,
                      const struct cis_vfs_attr *attr)
{
    struct cis_buf *out = self;
    (void)attr;
    cis_buf_printf(out, "%.*s %o\n", (int)entry->name.len, entry->name.ptr, entry->type);
    return true;
}

static int list(struct subject_fs *s, struct cis_str path, struct cis_buf *out)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    int no = cis_at_open(s->root, &s->call, path,
                         &(struct cis_open_how){CIS_WALK_CHROOT, O_RDONLY | O_DIRECTORY, 0}, &file,
                         &attr);
    if (no == 0) {
        no = cis_vfs_readdir(file, &s->call, 0, false, list_each, out);
        cis_vfs_file_close(file);
        listing_sort(out);
    }
    return no;
}

static int do_open(struct subject_fs *s, const struct op *op, struct op_result *out)
{
    cis_vfs_file_close(s->slots[op->slot]);
    s->slots[op->slot] = NULL;
    out->has_attr = true;
    return cis_at_open(s->root, &s->call, cis_str_of(op->a),
                       &(struct cis_open_how){CIS_WALK_CHROOT, op->flags, op->mode},
                       &s->slots[op->slot], &out->attr);
}

static int do_file(struct subject_fs *s, const struct op *op, struct op_result *out)
{
    cis_vfs_file *file = s->slots[op->slot];
    if (file == NULL) {
        return op->kind == OP_CLOSE ? 0 : EBADF;
    }
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE, .size = op->len};
    size_t n = 0;
    uint64_t end = 0;
    int no = 0;
    switch (op->kind) {
    case OP_CLOSE:
        cis_vfs_file_close(file);
        s->slots[op->slot] = NULL;
        return 0;
    case OP_READ: {
        struct iovec iov = {cis_buf_reserve(&out->data, op->len), op->len};
        no = cis_vfs_read(file, &s->call, &iov, 1, op->offset, &n);
        out->data.len += no == 0 ? n : 0;
        break;
    }
    case OP_WRITE: {
        uint8_t *bytes = malloc(op->len + 1);
        op_fill(op->seed, op->offset, bytes, op->len);
        struct iovec iov[2] = {{bytes, op->len / 3}, {bytes + op->len / 3, op->len - op->len / 3}};
        no = cis_vfs_write(file, &s->call, iov, 2, op->offset, &n, &end);
        free(bytes);
        break;
    }
    case OP_FSTAT:
        out->has_attr = true;
        return cis_vfs_getattr(file->vfs, &s->call, file->node, &out->attr);
    case OP_FTRUNCATE:
        if ((file->flags & O_ACCMODE) == O_RDONLY) {
            return EINVAL;
        }
        return cis_file_set(file, &s->call, &set, NULL);
    case OP_ALLOCATE:
        return cis_vfs_allocate(file, &s->call, op->flags, op->offset, op->len);
    case OP_SEEK:
        no = cis_vfs_seek(file, &s->call, op->offset, op->flags, &end);
        n = end;
        break;
    default:
        return cis_vfs_sync(file, &s->call, op->flags != 0);
    }
    out->n = n;
    return no;
}

static int do_path(struct subject_fs *s, const struct op *op, struct op_result *out)
{
    struct cis_str a = cis_str_of(op->a), b = cis_str_of(op->b);
    unsigned flags = CIS_WALK_CHROOT | (op->nofollow ? CIS_WALK_NOFOLLOW : 0u);
    struct cis_vfs_make make = {.mode = op->mode, .target = b};
    struct cis_vfs_set set = {.bits = op->bits,
                              .mode = op->mode,
                              .size = op->len,
                              .atime = op->atime,
                              .mtime = op->mtime};
    switch (op->kind) {
    case OP_STAT:
        out->has_attr = true;
        return cis_at_stat(s->root, &s->call, a, flags, &out->attr);
    case OP_TRUNCATE:
        set.bits = CIS_VFS_SET_SIZE;
        return cis_at_set(s->root, &s->call, a, flags, &set);
    case OP_CHMOD:
        set.bits = CIS_VFS_SET_MODE;
        return cis_at_set(s->root, &s->call, a, flags, &set);
    case OP_TIMES:
        return cis_at_set(s->root, &s->call, a, flags, &set);
    case OP_MKDIR:
        make.mode |= S_IFDIR;
        return cis_at_make(s->root, &s->call, a, flags, &make);
    case OP_MKNOD:
        make.mode |= S_IFREG;
        return cis_at_make(s->root, &s->call, a, flags, &make);
    case OP_SYMLINK:
        make.mode = S_IFLNK | 0777;
        return cis_at_make(s->root, &s->call, a, flags, &make);
    case OP_READLINK:
        return cis_at_readlink(s->root, &s->call, a, flags, &out->data);
    case OP_LINK:
        return cis_at_link(s->root, a, s->root, b, &s->call, flags);
    case OP_UNLINK:
        return cis_at_unlink(s->root, &s->call, a, flags);
    case OP_RMDIR:
        return cis_at_rmdir(s->root, &s->call, a, flags);
    case OP_RENAME:
        return cis_at_rename(s->root, a, s->root, b, &s->call, flags, (unsigned)op->flags);
    case OP_LIST:
        return list(s, a, &out->data);
    default:
        abort();
    }
}

static void fs_apply(subject *self, const struct op *op, struct op_result *out)
{
    struct subject_fs *s = (struct subject_fs *)self;
    if (op->kind == OP_OPEN) {
        out->no = do_open(s, op, out);
    } else if (op->kind >= OP_CLOSE && op->kind <= OP_FSYNC) {
        out->no = do_file(s, op, out);
    } else {
        out->no = do_path(s, op, out);
    }
}

static void fs_free(subject *self)
{
    struct subject_fs *s = (struct subject_fs *)self;
    subject_close_slots(self);
    cis_dir_free(s->root);
    cis_ns_free(s->ns);
    free(s);
}

static const struct subject_ops fs_ops = {fs_apply, fs_free};

subject *subject_vfs(const char *name, cis_vfs *vfs)
{
    struct subject_fs *s = calloc(1, sizeof *s);
    struct cis_error err = {0};
    s->base = (subject){&fs_ops, name, false};
    s->call = (struct cis_vfs_call){.uid = geteuid(), .gid = getegid()};
    if (cis_ns_new(&s->ns, &err) != CIS_OK ||
        cis_ns_mount(s->ns, CIS_STR("/"), vfs, 0, false, &err) != CIS_OK ||
        cis_dir_root(s->ns, &s->call, CIS_STR("/"), &s->root) != 0) {
        fprintf(stderr, "subject %s: %s\n", name, err.msg);
        abort();
    }
    return &s->base;
}
