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
static cis_dir *changes(cis_guest *guest, uint64_t rep, int *out_no)
{
    const struct p2_file *f = cis_p2_at(guest, rep)->file;
    *out_no = f->dir == NULL ? ENOTDIR : 0;
    return f->dir;
}

static cis_code make(cis_guest *guest, const struct cis_typed *self, const struct cis_typed *path,
                     const struct cis_vfs_make *make, struct cis_answer *out, struct cis_error *err)
{
    int no;
    cis_dir *dir = changes(guest, self->n, &no);
    if (no == 0) {
        struct cis_host_op op;
        cis_host_op_begin(&op, guest);
        no = cis_at_make(dir, &op.vfs, text(path), 0, make);
        CIS_TRY(cis_host_op_end(&op, no, err));
    }
    return p2_fails(out, no);
}

cis_code cis_p2_fs_mkdir(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                         struct cis_error *err)
{
    const struct cis_vfs_make dir = {.mode = S_IFDIR | DIR_MODE};
    return make(guest, &args[0], &args[1], &dir, out, err);
}

/* (self, target, path). Absolute targets are refused, as the interface demands. */
cis_code cis_p2_fs_symlink(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                           struct cis_error *err)
{
    const struct cis_vfs_make link = {.mode = S_IFLNK | 0777, .target = text(&args[1])};
    if (link.target.len != 0 && link.target.ptr[0] == '/') {
        return p2_fails(out, EPERM);
    }
    return make(guest, &args[0], &args[2], &link, out, err);
}

static cis_code remove_name(cis_guest *guest, const struct cis_typed *args,
                            int (*remove)(const cis_dir *, const struct cis_vfs_call *,
                                          struct cis_str, unsigned),
                            struct cis_answer *out, struct cis_error *err)
{
    int no;
    cis_dir *dir = changes(guest, args[0].n, &no);
    if (no == 0) {
        struct cis_host_op op;
        cis_host_op_begin(&op, guest);
        no = remove(dir, &op.vfs, text(&args[1]), 0);
        CIS_TRY(cis_host_op_end(&op, no, err));
    }
    return p2_fails(out, no);
}

cis_code cis_p2_fs_rmdir(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                         struct cis_error *err)
{
    return remove_name(guest, args, cis_at_rmdir, out, err);
}

cis_code cis_p2_fs_unlink(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                          struct cis_error *err)
{
    return remove_name(guest, args, cis_at_unlink, out, err);
}

/* (self, path, other, path) */
cis_code cis_p2_fs_rename(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                          struct cis_error *err)
{
    int no, to_no;
    cis_dir *from = changes(guest, args[0].n, &no), *to = changes(guest, args[2].n, &to_no);
    no = no != 0 ? no : to_no;
    if (no == 0) {
        struct cis_host_op op;
        cis_host_op_begin(&op, guest);
        no = cis_at_rename(from, text(&args[1]), to, text(&args[3]), &op.vfs, 0, 0);
        CIS_TRY(cis_host_op_end(&op, no, err));
    }
    return p2_fails(out, no);
}

/* (self, path-flags, path, other, path) */
cis_code cis_p2_fs_link(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                        struct cis_error *err)
{
    int no, to_no;
    cis_dir *from = changes(guest, args[0].n, &no), *to = changes(guest, args[3].n, &to_no);
    no = no != 0 ? no : to_no;
    if (no == 0) {
        struct cis_host_op op;
        cis_host_op_begin(&op, guest);
        no = cis_at_link(from, text(&args[2]), to, text(&args[4]), &op.vfs,
                         (args[1].n & 1) != 0 ? 0 : CIS_WALK_NOFOLLOW);
        CIS_TRY(cis_host_op_end(&op, no, err));
    }
    return p2_fails(out, no);
}

/* Absolute targets are not told, as the interface demands; those that are not UTF-8 cannot be. */
cis_code cis_p2_fs_readlink(cis_guest *guest, const struct cis_typed *args, struct cis_answer *out,
                            struct cis_error *err)
{
    const struct p2_file *f = cis_p2_at(guest, args[0].n)->file;
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    uint8_t *at;
    if (f->dir == NULL) {
        return p2_fails(out, ENOTDIR);
    }
    struct cis_host_op op;
    cis_host_op_begin(&op, guest);
    int no = cis_at_readlink(f->dir, &op.vfs, text(&args[1]), 0, &target);
    CIS_TRY(cis_host_op_end(&op, no, err));
    if (no == 0 && target.len != 0 && target.ptr[0] == '/') {
        no = EPERM;
    } else if (no == 0 && !cis_utf8_valid(target.ptr, target.len)) {
        no = EILSEQ;
    }
    if (no == 0) {
        CIS_TRY(cis_p2_scratch(guest, target.len, &at, err));
        memcpy(at, target.ptr, target.len);
        out->bytes = cis_bytes_of(at, target.len);
    }
    return p2_fails(out, no);
}
