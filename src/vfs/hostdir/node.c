#include "vfs/hostdir/internal.h"

#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/wraps.h"

#define HOST_STATX (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)
/* openat2 says EAGAIN when renames beside it leave it unsure, and EXDEV when the file it had found
 * was moved out of the folder before it was done: names without ".." cannot lead out. */
#define HOST_TRIES 64

bool cis_hostdir_shown(const struct hostdir *fs, uint32_t mode)
{
    return fs->devices || S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode);
}

static struct timespec time_of(const struct statx_timestamp *t)
{
    return (struct timespec){(time_t)t->tv_sec, (long)t->tv_nsec};
}

/* Numbers of other devices below the root (mounts of the host) are kept apart from its own. */
uint64_t cis_hostdir_shown_ino(const struct hostdir *fs, uint64_t ino, dev_t dev)
{
    if (fs->root.fd < 0 || dev == fs->root.dev) {
        return ino;
    }
    return (ino ^ cis_mix((uint64_t)dev)) | 1ull << 63;
}

int cis_hostdir_stat(const struct hostdir *fs, int fd, const char *name, struct cis_vfs_attr *out,
                     struct host_node *out_id)
{
    struct statx st;
    if (statx(fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, HOST_STATX, &st) !=
        0) {
        return errno;
    }
    dev_t dev = ((dev_t)st.stx_dev_major << 32) | st.stx_dev_minor;
    *out = (struct cis_vfs_attr){
        .ino = cis_hostdir_shown_ino(fs, st.stx_ino, dev),
        .version = (uint64_t)st.stx_ctime.tv_sec * CIS_NS_PER_S + st.stx_ctime.tv_nsec,
        .mode = st.stx_mode,
        .nlink = st.stx_nlink,
        .uid = st.stx_uid,
        .gid = st.stx_gid,
        .rdev = gnu_dev_makedev(st.stx_rdev_major, st.stx_rdev_minor),
        .size = st.stx_size,
        .blocks = st.stx_blocks,
        .atime = time_of(&st.stx_atime),
        .mtime = time_of(&st.stx_mtime),
        .ctime = time_of(&st.stx_ctime),
        .btime = time_of((st.stx_mask & STATX_BTIME) != 0 ? &st.stx_btime : &st.stx_ctime),
    };
    if (out_id != NULL) {
        out_id->dev = dev;
        out_id->ino = st.stx_ino;
        out_id->mnt = (st.stx_mask & STATX_MNT_ID) != 0 ? st.stx_mnt_id : 0;
        out_id->type = st.stx_mode & S_IFMT;
    }
    return 0;
}

/* A guest that is given a mount of cis as a folder gets its files, and not what controls it: the
 * states of others, the branch's head. Mounts are FUSE; on other filesystems the name is any name.
 */
static bool is_control(int dir, const char *name)
{
    struct statfs st;
    return strcmp(name, CIS_CONTROL_NAME) == 0 &&
           (fstatfs(dir, &st) != 0 || st.f_type == FUSE_SUPER_MAGIC);
}

int cis_hostdir_open_name(int dir, const char *name, uint64_t flags, uint32_t mode)
{
    if (is_control(dir, name)) {
        errno = ENOENT;
        return -1;
    }
    struct open_how how = {
        .flags = flags | O_NOFOLLOW | O_CLOEXEC,
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    long fd = -1;
    for (int i = 0; i < HOST_TRIES; i++) {
        fd = syscall(SYS_openat2, dir, name, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EXDEV)) {
            break;
        }
    }
    return (int)fd;
}

/* procfs knows descriptors by number, and the number stays ours while the node is referenced: this
 * is no path that anybody could change. `proc` was checked to be procfs when the folder opened. */
int cis_hostdir_reopen(const struct hostdir *fs, int fd, int flags)
{
    char name[32];
    snprintf(name, sizeof name, "self/fd/%d", fd);
    return openat(fs->proc, name, flags | O_CLOEXEC);
}

/* ---- the table of live nodes ---- */

static struct host_node **bucket_of(struct hostdir *fs, const struct host_node *id)
{
    uint64_t h = cis_mix(id->ino ^ id->mnt << 40 ^ (uint64_t)id->dev << 20);
    return &fs->buckets[h >> 54];
}
_Static_assert(HOST_BUCKETS == 1u << (64 - 54), "the hash has as many bits as there are buckets");

static bool same_file(const struct host_node *a, const struct host_node *b)
{
    return a->ino == b->ino && a->dev == b->dev && a->mnt == b->mnt;
}

int cis_hostdir_charge(struct hostdir *fs, uint64_t bytes)
{
    if (fs->budget == NULL) {
        return 0;
    }
    cis_mutex_lock(&fs->lock, host_lock_table);
    cis_code code = cis_budget_charge(fs->budget, bytes, "open files of a folder", NULL);
    cis_mutex_unlock(&fs->lock, host_lock_table);
    return code == CIS_OK ? 0 : ENOMEM;
}

void cis_hostdir_release_charge(struct hostdir *fs, uint64_t bytes)
{
    if (fs->budget != NULL) {
        cis_mutex_lock(&fs->lock, host_lock_table);
        cis_budget_release(fs->budget, bytes);
        cis_mutex_unlock(&fs->lock, host_lock_table);
    }
}

/* Under the lock: the node that is there already, or `fresh` put in; NULL: there is no room, see
 * *out_no. */
static struct host_node *table_put(struct hostdir *fs, struct host_node *fresh, int *out_rc)
    CIS_REQUIRES(host_lock_table)
{
    struct host_node **bucket = bucket_of(fs, fresh);
    for (struct host_node *n = *bucket; n != NULL; n = n->next) {
        if (same_file(n, fresh)) {
            n->refs++;
            return n;
        }
    }
    if (fs->nnodes >= fs->nodes_max) {
        *out_rc = ENFILE;
        return NULL;
    }
    if (fs->budget != NULL &&
        cis_budget_charge(fs->budget, HOST_NODE_COST, "files of a folder", NULL) != CIS_OK) {
        *out_rc = ENOMEM;
        return NULL;
    }
    fs->nnodes++;
    fresh->next = *bucket;
    *bucket = fresh;
    return fresh;
}

int cis_hostdir_node_take(struct hostdir *fs, int fd, cis_node *out_node,
                          struct cis_vfs_attr *out_attr)
{
    struct host_node *fresh = cis_zalloc(sizeof *fresh);
    int rc = fresh == NULL ? ENOMEM : cis_hostdir_stat(fs, fd, "", out_attr, fresh);
    if (rc == 0 && !cis_hostdir_shown(fs, fresh->type)) {
        rc = ENOENT;
    }
    if (rc != 0) {
        cis_free(fresh);
        close(fd);
        return rc;
    }
    struct host_node *node = &fs->root;
    if (!same_file(fresh, node)) {
        fresh->fd = fd;
        fresh->refs = 1;
        cis_mutex_lock(&fs->lock, host_lock_table);
        node = table_put(fs, fresh, &rc);
        cis_mutex_unlock(&fs->lock, host_lock_table);
    }
    if (node != fresh) {
        cis_free(fresh);
        close(fd);
    }
    if (node == NULL) {
        return rc;
    }
    *out_node = (cis_node)(uintptr_t)node;
    return 0;
}

int cis_hostdir_lookup(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                       struct cis_str name, cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    (void)call;
    struct host_name text;
    int rc = host_name_set(&text, name);
    if (rc != 0) {
        return rc;
    }
    int fd = cis_hostdir_open_name(host_node_of(dir)->fd, text.text, O_PATH, 0);
    return fd < 0 ? errno : cis_hostdir_node_take(host_of(vfs), fd, out_node, out_attr);
}

/* One system call for all of them: the kernel walks beneath the folder and follows nothing. */
int cis_hostdir_jump(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str path, cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    (void)call;
    char text[CIS_VFS_PATH_MAX];
    if (path.len >= sizeof text) {
        return EAGAIN;
    }
    memcpy(text, path.ptr, path.len);
    text[path.len] = '\0';
    if (strstr(text, CIS_CONTROL_NAME) != NULL) {
        return EAGAIN; /* by its names, each of which is looked at */
    }
    int fd = cis_hostdir_open_name(host_node_of(dir)->fd, text, O_PATH, 0);
    if (fd < 0) {
        return errno == ENOENT ? ENOENT : EAGAIN;
    }
    return cis_hostdir_node_take(host_of(vfs), fd, out_node, out_attr);
}

void cis_hostdir_ref(cis_vfs *vfs, cis_node node, uint64_t n)
{
    struct hostdir *fs = host_of(vfs);
    struct host_node *own = host_node_of(node);
    if (own != &fs->root) {
        cis_mutex_lock(&fs->lock, host_lock_table);
        own->refs += n;
        cis_mutex_unlock(&fs->lock, host_lock_table);
    }
}

void cis_hostdir_forget(cis_vfs *vfs, cis_node node, uint64_t n)
{
    struct hostdir *fs = host_of(vfs);
    struct host_node *own = host_node_of(node);
    if (own == &fs->root) {
        return;
    }
    cis_mutex_lock(&fs->lock, host_lock_table);
    own->refs -= n;
    bool gone = own->refs == 0;
    if (gone) {
        struct host_node **at = bucket_of(fs, own);
        while (*at != own) {
            at = &(*at)->next;
        }
        *at = own->next;
        fs->nnodes--;
        if (fs->budget != NULL) {
            cis_budget_release(fs->budget, HOST_NODE_COST);
        }
    }
    cis_mutex_unlock(&fs->lock, host_lock_table);
    if (gone) {
        close(own->fd);
        cis_free(own);
    }
}

/* ---- attributes ---- */

int cis_hostdir_getattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                        struct cis_vfs_attr *out)
{
    (void)call;
    return cis_hostdir_stat(host_of(vfs), host_node_of(node)->fd, "", out, NULL);
}

static int set_size(struct hostdir *fs, const struct host_node *node, uint64_t size)
{
    if (node->type != S_IFREG) {
        return node->type == S_IFDIR ? EISDIR : EINVAL;
    }
    if (size > INT64_MAX) {
        return EINVAL;
    }
    int fd = cis_hostdir_reopen(fs, node->fd, O_WRONLY | HOST_OPEN_ALWAYS);
    if (fd < 0) {
        return errno;
    }
    int rc = ftruncate(fd, (off_t)size) == 0 ? 0 : errno;
    close(fd);
    return rc;
}

static int set_mode(struct hostdir *fs, const struct host_node *node, uint32_t mode)
{
    if (node->type == S_IFLNK) {
        return EOPNOTSUPP;
    }
    char name[32];
    snprintf(name, sizeof name, "self/fd/%d", node->fd);
    return fchmodat(fs->proc, name, mode & 07777, 0) == 0 ? 0 : errno;
}

int cis_hostdir_set_id_clear(struct hostdir *fs, const struct cis_vfs_call *call,
                             const struct host_node *node)
{
    struct stat st;
    if (!fs->fsetid || node->type != S_IFREG) {
        return 0;
    }
    if (fstatat(node->fd, "", &st, AT_EMPTY_PATH) != 0) {
        return errno;
    }
    uint32_t mode = cis_vfs_mode_changed(call, st.st_mode, st.st_gid);
    return mode == st.st_mode ? 0 : set_mode(fs, node, mode);
}

static int set_owner(const struct host_node *node, const struct cis_vfs_set *set)
{
    uid_t uid = (set->bits & CIS_VFS_SET_UID) != 0 ? set->uid : (uid_t)-1;
    gid_t gid = (set->bits & CIS_VFS_SET_GID) != 0 ? set->gid : (gid_t)-1;
    return fchownat(node->fd, "", uid, gid, AT_EMPTY_PATH) == 0 ? 0 : errno;
}

/* UTIME_NOW and UTIME_OMIT are numbers of nanoseconds to the kernel; a caller's own must not be. */
static int time_choose(const struct cis_vfs_set *set, unsigned exact, unsigned now,
                       const struct timespec *given, struct timespec *out)
{
    if ((set->bits & now) != 0) {
        *out = (struct timespec){0, UTIME_NOW};
    } else if ((set->bits & exact) != 0) {
        if (given->tv_nsec < 0 || given->tv_nsec >= (long)CIS_NS_PER_S) {
            return EINVAL;
        }
        *out = *given;
    } else {
        *out = (struct timespec){0, UTIME_OMIT};
    }
    return 0;
}

static int set_times(const struct host_node *node, const struct cis_vfs_set *set)
{
    struct timespec times[2];
    int rc = time_choose(set, CIS_VFS_SET_ATIME, CIS_VFS_SET_ATIME_NOW, &set->atime, &times[0]);
    if (rc == 0) {
        rc = time_choose(set, CIS_VFS_SET_MTIME, CIS_VFS_SET_MTIME_NOW, &set->mtime, &times[1]);
    }
    if (rc == 0 && utimensat(node->fd, "", times, AT_EMPTY_PATH) != 0) {
        rc = errno;
    }
    return rc;
}

int cis_hostdir_setattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                        const struct cis_vfs_set *set, struct cis_vfs_attr *out)
{
    struct hostdir *fs = host_of(vfs);
    const struct host_node *own = host_node_of(node);
    if (vfs->read_only) {
        return EROFS;
    }
    int rc = 0;
    if ((set->bits & CIS_VFS_SET_SIZE) != 0) {
        rc = cis_hostdir_set_id_clear(fs, call, own);
        rc = rc == 0 ? set_size(fs, own, set->size) : rc;
    }
    if (rc == 0 && (set->bits & (CIS_VFS_SET_UID | CIS_VFS_SET_GID)) != 0) {
        rc = set_owner(own, set);
    }
    if (rc == 0 && (set->bits & CIS_VFS_SET_MODE) != 0) {
        rc = set_mode(fs, own, set->mode);
    }
    if (rc == 0 && (set->bits & (CIS_VFS_SET_ATIME | CIS_VFS_SET_MTIME | CIS_VFS_SET_ATIME_NOW |
                                 CIS_VFS_SET_MTIME_NOW)) != 0) {
        rc = set_times(own, set);
    }
    return rc == 0 && out != NULL ? cis_hostdir_getattr(vfs, call, node, out) : rc;
}

int cis_hostdir_readlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                         struct cis_buf *out)
{
    (void)vfs;
    (void)call;
    const struct host_node *own = host_node_of(node);
    if (own->type != S_IFLNK) {
        return EINVAL;
    }
    char target[CIS_VFS_PATH_MAX];
    ssize_t n = readlinkat(own->fd, "", target, sizeof target);
    if (n < 0) {
        return errno;
    }
    cis_buf_add(out, target, (size_t)n);
    return out->failed == CIS_OK ? 0 : ENOMEM;
}
