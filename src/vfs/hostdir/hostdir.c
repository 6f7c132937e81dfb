#include "vfs/hostdir/hostdir.h"

#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/mem.h"
#include "vfs/hostdir/internal.h"

#define NODES_DEFAULT 4096u

static void host_close(cis_vfs *vfs)
{
    struct hostdir *fs = host_of(vfs);
    cis_lock_alone(host_lock_table);
    for (uint32_t i = 0; i < HOST_BUCKETS; i++) {
        for (struct host_node *next, *n = fs->buckets[i]; n != NULL; n = next) {
            next = n->next;
            close(n->fd);
            cis_free(n);
        }
    }
    cis_hostdir_release_charge(fs, fs->nnodes * HOST_NODE_COST);
    if (fs->root.fd >= 0) {
        close(fs->root.fd);
    }
    if (fs->proc >= 0) {
        close(fs->proc);
    }
    pthread_mutex_destroy(&fs->lock);
    cis_free(fs);
}

static int host_statfs(cis_vfs *vfs, const struct cis_vfs_call *call, struct cis_vfs_usage *out)
{
    (void)call;
    struct statvfs st;
    if (fstatvfs(host_of(vfs)->root.fd, &st) != 0) {
        return errno;
    }
    *out = (struct cis_vfs_usage){
        .bytes = (uint64_t)(st.f_blocks - st.f_bfree) * st.f_frsize,
        .bytes_free = (uint64_t)st.f_bavail * st.f_frsize,
        .files = st.f_files - st.f_ffree,
        .files_free = st.f_files == 0 ? UINT64_MAX : st.f_favail,
    };
    return 0;
}

/* The host's folder has no commits: what was written is the host's to make durable. */
static int host_flush(cis_vfs *vfs, const struct cis_vfs_call *call)
{
    (void)vfs;
    (void)call;
    return 0;
}

static const struct cis_vfs_ops host_ops = {
    .size = sizeof(struct cis_vfs_ops),
    .name = "hostdir",
    .close = host_close,
    .lookup = cis_hostdir_lookup,
    .jump = cis_hostdir_jump,
    .ref = cis_hostdir_ref,
    .forget = cis_hostdir_forget,
    .getattr = cis_hostdir_getattr,
    .setattr = cis_hostdir_setattr,
    .readlink = cis_hostdir_readlink,
    .make = cis_hostdir_make,
    .link = cis_hostdir_link,
    .unlink = cis_hostdir_unlink,
    .rmdir = cis_hostdir_rmdir,
    .rename = cis_hostdir_rename,
    .open = cis_hostdir_node_open,
    .create = cis_hostdir_create,
    .release = cis_hostdir_release,
    .read = cis_hostdir_read,
    .write = cis_hostdir_write,
    .sync = cis_hostdir_sync,
    .allocate = cis_hostdir_allocate,
    .seek = cis_hostdir_seek,
    .readdir = cis_hostdir_readdir,
    .statfs = host_statfs,
    .flush = host_flush,
};

static cis_code proc_open(struct hostdir *fs, struct cis_error *err)
{
    struct statfs st;
    fs->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fs->proc < 0 || fstatfs(fs->proc, &st) != 0 || st.f_type != PROC_SUPER_MAGIC) {
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "/proc is not the process filesystem: host folders need it");
    }
    return CIS_OK;
}

/* What a run recorded has no symlink on its way: one that is there now was put there since. */
static int open_exact(const char *path)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

static cis_code root_open(struct hostdir *fs, const char *path, bool exact, struct cis_error *err)
{
    fs->root.fd = exact ? open_exact(path) : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fs->root.fd < 0 && exact && errno == ELOOP) {
        return cis_fail(err, CIS_E_CONFLICT,
                        "folder %s: a symlink is in its path now that was not there before", path);
    }
    if (fs->root.fd < 0) {
        cis_code code = errno == ENOENT    ? CIS_E_NOTFOUND
                        : errno == ENOTDIR ? CIS_E_INVALID
                        : errno == EACCES  ? CIS_E_DENIED
                                           : CIS_E_IO;
        return cis_fail_sys(err, code, errno, "folder %s", path);
    }
    int self = cis_hostdir_open_name(fs->root.fd, ".", O_PATH, 0);
    if (self < 0) {
        return errno == ENOSYS || errno == EPERM
                   ? cis_fail(err, CIS_E_UNSUPPORTED, "folder %s: this kernel has no openat2", path)
                   : cis_fail_sys(err, errno == EACCES ? CIS_E_DENIED : CIS_E_IO, errno,
                                  "folder %s", path);
    }
    close(self);
    struct cis_vfs_attr attr;
    int rc = cis_hostdir_stat(fs, fs->root.fd, "", &attr, &fs->root);
    return rc == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, rc, "folder %s", path);
}

static bool has_fsetid(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = {0};
    return syscall(SYS_capget, &head, caps) != 0 || (caps[0].effective & 1u << CAP_FSETID) != 0;
}

cis_code cis_hostdir_open(const char *path, const struct cis_hostdir_options *options,
                          cis_vfs **out_vfs, struct cis_error *err)
{
    struct cis_hostdir_options defaults = CIS_HOSTDIR_OPTIONS_INIT;
    options = options != NULL ? options : &defaults;
    struct hostdir *fs = cis_zalloc(sizeof *fs);
    if (fs == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "folder %s", path);
    }
    fs->vfs = (cis_vfs){
        .ops = &host_ops, .root = (cis_node)(uintptr_t)&fs->root, .read_only = options->read_only};
    fs->devices = options->devices;
    fs->fsetid = has_fsetid();
    fs->nodes_max = options->nodes_max != 0 ? options->nodes_max : NODES_DEFAULT;
    fs->budget = options->budget;
    fs->root.fd = -1;
    fs->proc = -1;
    pthread_mutex_init(&fs->lock, NULL);
    cis_code code = proc_open(fs, err);
    if (code == CIS_OK) {
        code = root_open(fs, path, options->exact, err);
    }
    if (code != CIS_OK) {
        host_close(&fs->vfs);
        return code;
    }
    *out_vfs = &fs->vfs;
    return CIS_OK;
}
