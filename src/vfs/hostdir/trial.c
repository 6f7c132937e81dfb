/* What the host would refuse, asked before anything of it is done. Nothing is left behind. */
#include "vfs/hostdir/internal.h"

#include <dirent.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#ifndef STATX_ATTR_APPEND
#define STATX_ATTR_IMMUTABLE 0x10
#define STATX_ATTR_APPEND 0x20
#endif
#ifndef EXFAT_SUPER_MAGIC
#define EXFAT_SUPER_MAGIC 0x2011BAB0
#endif
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

int cis_hostdir_trial_open(cis_vfs *vfs, const char *temp, int *out_fd)
{
    int root = host_of(vfs)->root.fd;
    *out_fd = cis_hostdir_open_name(root, ".", O_TMPFILE | O_WRONLY, 0600);
    if (*out_fd < 0 && (errno == EISDIR || errno == EINVAL)) { /* a kernel or filesystem without */
        errno = EOPNOTSUPP;
    }
    if (temp != NULL && *out_fd < 0 && errno == EOPNOTSUPP) {
        *out_fd = cis_hostdir_open_name(root, temp, O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (*out_fd >= 0) {
            unlinkat(root, temp, 0);
        }
    }
    return *out_fd >= 0 ? 0 : errno;
}

void cis_hostdir_trial_close(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

int cis_hostdir_trial_size(int fd, uint64_t size)
{
    struct rlimit most;
    bool limited = getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur != RLIM_INFINITY;
    if (size > INT64_MAX || (limited && size > most.rlim_cur)) { /* the latter would be a signal */
        return EFBIG;
    }
    return ftruncate(fd, (off_t)size) == 0 ? 0 : errno == EINVAL ? EFBIG : errno;
}

int cis_hostdir_trial_mode(int fd, uint32_t mode)
{
    return fchmod(fd, mode & 07777) == 0 ? 0 : errno;
}

/* Of the common filesystems: which have no symlinks, which only shorter ones. */
static int link_known(int fd, size_t len)
{
    struct statfs st;
    size_t most = CIS_VFS_PATH_MAX - 1;
    if (fstatfs(fd, &st) != 0) {
        return errno;
    }
    if (st.f_type == MSDOS_SUPER_MAGIC || st.f_type == EXFAT_SUPER_MAGIC) {
        return EPERM;
    }
    most = st.f_type == XFS_SUPER_MAGIC ? 1023 : most;
    return len <= most ? 0 : ENAMETOOLONG;
}

int cis_hostdir_trial_link(cis_vfs *vfs, const char *temp, const char *target)
{
    int root = host_of(vfs)->root.fd;
    if (temp == NULL) {
        return link_known(root, strlen(target));
    }
    if (symlinkat(target, root, temp) != 0) {
        return errno == EEXIST ? 0 : errno; /* a name of an earlier apply: it tells nothing */
    }
    unlinkat(root, temp, 0);
    return 0;
}

size_t cis_hostdir_name_max(cis_vfs *vfs)
{
    struct statvfs st;
    bool known = fstatvfs(host_of(vfs)->root.fd, &st) == 0 && st.f_namemax != 0;
    return known && st.f_namemax < CIS_VFS_NAME_MAX ? st.f_namemax : CIS_VFS_NAME_MAX;
}

int cis_hostdir_changeable(cis_vfs *vfs, cis_node folder)
{
    const struct hostdir *fs = host_of(vfs);
    const struct host_node *node = host_node_of(folder);
    struct statx st;
    char name[32];
    if (node->dev != fs->root.dev || node->mnt != fs->root.mnt) {
        return EXDEV;
    }
    if (statx(node->fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) == 0 &&
        (st.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0) {
        return EPERM;
    }
    snprintf(name, sizeof name, "self/fd/%d", node->fd);
    return faccessat(fs->proc, name, W_OK | X_OK, 0) == 0 ? 0 : errno;
}

bool cis_hostdir_hides(cis_vfs *vfs, cis_node folder, const char *name)
{
    const struct hostdir *fs = host_of(vfs);
    struct cis_vfs_attr attr;
    if (name != NULL) {
        return cis_hostdir_stat(fs, host_node_of(folder)->fd, name, &attr, NULL) == 0 &&
               !cis_hostdir_shown(fs, attr.mode);
    }
    int fd = cis_hostdir_reopen(fs, host_node_of(folder)->fd, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    bool any = false;
    if (dir == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    for (struct dirent *e; !any && (e = readdir(dir)) != NULL;) {
        any = e->d_type == DT_UNKNOWN ? cis_hostdir_hides(vfs, folder, e->d_name)
                                      : !cis_hostdir_shown(fs, (uint32_t)DTTOIF(e->d_type));
    }
    closedir(dir);
    return any;
}
