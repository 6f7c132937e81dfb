/* wasi:filesystem: names are made, linked, renamed and removed, beneath the directory that a
 * descriptor is. */
#include <errno.h>
#include "wasi/p2/internal.h"

#define DIR_MODE 0755u

static struct cis_str text(const struct cis_typed *arg)
{
    return (struct cis_str){(const char *)arg->bytes.ptr, arg->bytes.len};
}

/* The directory a name is changed in; *out_no: why not. */
static cis_dir *changes(cis_engine_instance *instance, uint64_t rep, int *out_rc)
{
    const struct p2_file *f = cis_p2_at(instance, rep)->file;
    *out_rc = f->dir == NULL ? ENOTDIR : 0;
    return f->dir;
}

static cis_code make(cis_engine_instance *instance, const struct cis_typed *self,
                     const struct cis_typed *path, const struct cis_vfs_make *make,
                     struct cis_answer *out, struct cis_error *err)
{
    int rc;
    cis_dir *dir = changes(instance, self->n, &rc);
    if (rc == 0) {
        struct cis_host_op op;
        cis_host_op_begin(&op, instance);
        rc = cis_at_make(dir, &op.vfs, text(path), 0, make);
        CIS_TRY(cis_host_op_end(&op, rc, err));
    }
    return p2_fails(out, rc);
}

cis_code cis_p2_fs_mkdir(cis_engine_instance *instance, const struct cis_typed *args,
                         struct cis_answer *out, struct cis_error *err)
{
    const struct cis_vfs_make dir = {.mode = S_IFDIR | DIR_MODE};
    return make(instance, &args[0], &args[1], &dir, out, err);
}

/* (self, target, path). Absolute targets are refused, as the interface demands. */
cis_code cis_p2_fs_symlink(cis_engine_instance *instance, const struct cis_typed *args,
                           struct cis_answer *out, struct cis_error *err)
{
    const struct cis_vfs_make link = {.mode = S_IFLNK | 0777, .target = text(&args[1])};
    if (link.target.len != 0 && link.target.ptr[0] == '/') {
        return p2_fails(out, EPERM);
    }
    return make(instance, &args[0], &args[2], &link, out, err);
}

static cis_code remove_name(cis_engine_instance *instance, const struct cis_typed *args,
                            int (*remove)(const cis_dir *, const struct cis_vfs_call *,
                                          struct cis_str, unsigned),
                            struct cis_answer *out, struct cis_error *err)
{
    int rc;
    cis_dir *dir = changes(instance, args[0].n, &rc);
    if (rc == 0) {
        struct cis_host_op op;
        cis_host_op_begin(&op, instance);
        rc = remove(dir, &op.vfs, text(&args[1]), 0);
        CIS_TRY(cis_host_op_end(&op, rc, err));
    }
    return p2_fails(out, rc);
}

cis_code cis_p2_fs_rmdir(cis_engine_instance *instance, const struct cis_typed *args,
                         struct cis_answer *out, struct cis_error *err)
{
    return remove_name(instance, args, cis_at_rmdir, out, err);
}

cis_code cis_p2_fs_unlink(cis_engine_instance *instance, const struct cis_typed *args,
                          struct cis_answer *out, struct cis_error *err)
{
    return remove_name(instance, args, cis_at_unlink, out, err);
}

/* (self, path, other, path) */
cis_code cis_p2_fs_rename(cis_engine_instance *instance, const struct cis_typed *args,
                          struct cis_answer *out, struct cis_error *err)
{
    int rc, to_no;
    cis_dir *from = changes(instance, args[0].n, &rc), *to = changes(instance, args[2].n, &to_no);
    rc = rc != 0 ? rc : to_no;
    if (rc == 0) {
        struct cis_host_op op;
        cis_host_op_begin(&op, instance);
        rc = cis_at_rename(from, text(&args[1]), to, text(&args[3]), &op.vfs, 0, 0);
        CIS_TRY(cis_host_op_end(&op, rc, err));
    }
    return p2_fails(out, rc);
}

/* (self, path-flags, path, other, path) */
cis_code cis_p2_fs_link(cis_engine_instance *instance, const struct cis_typed *args,
                        struct cis_answer *out, struct cis_error *err)
{
    int rc, to_no;
    cis_dir *from = changes(instance, args[0].n, &rc), *to = changes(instance, args[3].n, &to_no);
    rc = rc != 0 ? rc : to_no;
    if (rc == 0) {
        struct cis_host_op op;
        cis_host_op_begin(&op, instance);
        rc = cis_at_link(from, text(&args[2]), to, text(&args[4]), &op.vfs,
                         (args[1].n & 1) != 0 ? 0 : CIS_WALK_NOFOLLOW);
        CIS_TRY(cis_host_op_end(&op, rc, err));
    }
    return p2_fails(out, rc);
}

/* Absolute targets are not told, as the interface demands; those that are not UTF-8 cannot be. */
cis_code cis_p2_fs_readlink(cis_engine_instance *instance, const struct cis_typed *args,
                            struct cis_answer *out, struct cis_error *err)
{
    const struct p2_file *f = cis_p2_at(instance, args[0].n)->file;
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    uint8_t *at;
    if (f->dir == NULL) {
        return p2_fails(out, ENOTDIR);
    }
    struct cis_host_op op;
    cis_host_op_begin(&op, instance);
    int rc = cis_at_readlink(f->dir, &op.vfs, text(&args[1]), 0, &target);
    CIS_TRY(cis_host_op_end(&op, rc, err));
    if (rc == 0 && target.len != 0 && target.ptr[0] == '/') {
        rc = EPERM;
    } else if (rc == 0 && !cis_utf8_valid(target.ptr, target.len)) {
        rc = EILSEQ;
    }
    if (rc == 0) {
        CIS_TRY(cis_p2_scratch(instance, target.len, &at, err));
        memcpy(at, target.ptr, target.len);
        out->bytes = cis_bytes_of(at, target.len);
    }
    return p2_fails(out, rc);
}
