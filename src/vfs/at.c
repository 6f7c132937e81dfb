#include "vfs/walk.h"

#include <errno.h>
#include <fcntl.h>
#include "vfs/internal.h"

/* The verbs. What each situation gives, and which fault is named first when there are several, is
 * what Linux does; tests/vfs compares them. */

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1u
#define RENAME_EXCHANGE 2u
#endif
#define CREATE_TRIES 128 /* of O_CREAT when others make and remove the name meanwhile */

static unsigned walk_flags(unsigned flags)
{
    return flags & (CIS_WALK_NOFOLLOW | CIS_WALK_CHROOT);
}

/* A name to act on that no directory can hold: judged where Linux looks it up. */
static bool too_long(const struct cis_found *found)
{
    return found->dir != 0 && found->name_len == 0;
}

/* A walk to something that has to exist. */
static int find(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                unsigned flags, struct cis_found *out)
{
    int no = cis_walk(dir, NULL, call, path, flags, out);
    if (no == 0 && out->node == 0) {
        cis_found_done(out);
        no = ENOENT;
    }
    return no;
}

static int find_name(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                     unsigned flags, struct cis_found *out)
{
    return cis_walk(dir, NULL, call, path, (flags & CIS_WALK_CHROOT) | CIS_WALK_NAME, out);
}

static bool is_dir(const struct cis_found *found)
{
    return S_ISDIR(found->attr.mode);
}

int cis_at_stat(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                unsigned flags, struct cis_vfs_attr *out)
{
    struct cis_found found;
    int no = find(dir, call, path, walk_flags(flags), &found);
    if (no == 0) {
        *out = found.attr;
        cis_found_done(&found);
    }
    return no;
}

/* ---- open ---- */

/* What opening a thing that exists gives, before its filesystem is asked. */
static int open_check(const struct cis_found *found, int flags)
{
    uint32_t type = found->attr.mode & S_IFMT;
    bool changes = (flags & O_ACCMODE) != O_RDONLY;
    if ((flags & O_CREAT) != 0) {
        if ((flags & O_EXCL) != 0) {
            return EEXIST;
        }
        if (type == S_IFDIR) {
            return EISDIR;
        }
    }
    if ((flags & O_DIRECTORY) != 0 && type != S_IFDIR) {
        return ENOTDIR;
    }
    if (type == S_IFLNK) {
        return ELOOP;
    }
    if (type == S_IFDIR && (changes || (flags & O_TRUNC) != 0)) {
        return EISDIR;
    }
    if (type == S_IFREG && found->read_only && (changes || (flags & O_TRUNC) != 0)) {
        return EROFS;
    }
    return 0;
}

static int open_found(const struct cis_found *found, const struct cis_vfs_call *call, int flags,
                      cis_vfs_file **out_file, struct cis_vfs_attr *out_attr)
{
    cis_vfs *vfs = found->vfs;
    cis_vfs_file *file = NULL;
    int no = open_check(found, flags);
    if (no == 0) {
        no =
            vfs->ops->open(vfs, call, found->node, flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW), &file);
    }
    if (no != 0) {
        return no;
    }
    struct cis_vfs_attr attr = found->attr;
    if ((flags & O_TRUNC) != 0) {
        no = vfs->ops->getattr(vfs, call, found->node, &attr);
        if (no != 0) {
            vfs->ops->release(file);
            return no;
        }
    }
    *out_file = file;
    *out_attr = attr;
    return 0;
}

static int create_found(const struct cis_found *found, const struct cis_vfs_call *call, int flags,
                        uint32_t mode, cis_vfs_file **out_file, struct cis_vfs_attr *out_attr)
{
    if (found->read_only) {
        return EROFS;
    }
    cis_vfs *vfs = found->vfs;
    cis_node node = 0;
    int no = vfs->ops->create(vfs, call, found->dir, (struct cis_str){found->name, found->name_len},
                              mode & 07777, flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW), out_file,
                              &node, out_attr);
    if (no == 0) {
        node_put(vfs, node);
    }
    return no;
}

static int open_once(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                     unsigned flags, int open_flags, uint32_t mode, cis_vfs_file **out_file,
                     struct cis_vfs_attr *out_attr, bool *out_again)
{
    struct cis_found found;
    int no = cis_walk(dir, NULL, call, path, flags, &found);
    *out_again = false;
    if (no != 0) {
        return no;
    }
    if (too_long(&found)) {
        no = ENAMETOOLONG;
    } else if (found.node != 0) {
        no = open_found(&found, call, open_flags, out_file, out_attr);
    } else if ((open_flags & O_CREAT) == 0) {
        no = ENOENT;
    } else {
        no = create_found(&found, call, open_flags, mode, out_file, out_attr);
        *out_again = no == EEXIST && (open_flags & O_EXCL) == 0;
    }
    if (no == 0) {
        (*out_file)->read_only = found.read_only;
    }
    cis_found_done(&found);
    return no;
}

int cis_at_open(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                unsigned flags, int open_flags, uint32_t mode, cis_vfs_file **out_file,
                struct cis_vfs_attr *out_attr)
{
    if ((open_flags & O_ACCMODE) == O_ACCMODE ||
        (open_flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY)) {
        return EINVAL;
    }
    unsigned walk = walk_flags(flags);
    if ((open_flags & O_NOFOLLOW) != 0) {
        walk |= CIS_WALK_NOFOLLOW;
    }
    if ((open_flags & O_CREAT) != 0) {
        walk |= WALK_CREATE | ((open_flags & O_EXCL) != 0 ? CIS_WALK_NAME : 0u);
    }
    int no = 0;
    bool again = true;
    for (int i = 0; again && i < CREATE_TRIES; i++) {
        no = open_once(dir, call, path, walk, open_flags, mode, out_file, out_attr, &again);
    }
    return no;
}

/* ---- attributes ---- */

int cis_at_set(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
               unsigned flags, const struct cis_vfs_set *set)
{
    struct cis_found found;
    int no = find(dir, call, path, walk_flags(flags), &found);
    if (no != 0) {
        return no;
    }
    if ((set->bits & CIS_VFS_SET_SIZE) != 0 && !S_ISREG(found.attr.mode)) {
        no = is_dir(&found) ? EISDIR : EINVAL;
    } else if (found.read_only) {
        no = EROFS;
    } else {
        no = found.vfs->ops->setattr(found.vfs, call, found.node, set, NULL);
    }
    cis_found_done(&found);
    return no;
}

int cis_file_set(cis_vfs_file *file, const struct cis_vfs_call *call, const struct cis_vfs_set *set,
                 struct cis_vfs_attr *out)
{
    if (file->read_only || file->vfs->read_only) {
        return EROFS;
    }
    return file->vfs->ops->setattr(file->vfs, call, file->node, set, out);
}

int cis_at_readlink(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                    unsigned flags, struct cis_buf *out)
{
    struct cis_found found;
    int no = find(dir, call, path, walk_flags(flags) | CIS_WALK_NOFOLLOW, &found);
    if (no != 0) {
        return no;
    }
    no = S_ISLNK(found.attr.mode) ? found.vfs->ops->readlink(found.vfs, call, found.node, out)
                                  : EINVAL;
    cis_found_done(&found);
    return no;
}

/* ---- names ---- */

/* May something be made at this name? is_folder: a slash after it is then right. */
static int make_check(const struct cis_found *found, bool is_folder)
{
    if (too_long(found)) {
        return ENAMETOOLONG;
    }
    if (found->node != 0) {
        return EEXIST;
    }
    if (found->must_be_dir && !is_folder) {
        return ENOENT;
    }
    return found->read_only ? EROFS : 0;
}

static int target_check(struct cis_str target)
{
    if (target.len == 0) {
        return ENOENT;
    }
    if (target.len >= CIS_VFS_PATH_MAX) {
        return ENAMETOOLONG;
    }
    return memchr(target.ptr, 0, target.len) != NULL ? EINVAL : 0;
}

int cis_at_make(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                unsigned flags, const struct cis_vfs_make *make)
{
    int no = S_ISLNK(make->mode) ? target_check(make->target) : 0;
    struct cis_found found;
    if (no == 0) {
        no = find_name(dir, call, path, flags, &found);
    }
    if (no != 0) {
        return no;
    }
    no = make_check(&found, S_ISDIR(make->mode));
    if (no == 0) {
        cis_node node = 0;
        struct cis_vfs_attr attr;
        no = found.vfs->ops->make(found.vfs, call, found.dir,
                                  (struct cis_str){found.name, found.name_len}, make, &node, &attr);
        if (no == 0) {
            node_put(found.vfs, node);
        }
    }
    cis_found_done(&found);
    return no;
}

int cis_at_link(const cis_dir *from, struct cis_str path, const cis_dir *to, struct cis_str to_path,
                const struct cis_vfs_call *call, unsigned flags)
{
    struct cis_found old, made;
    int no = find(from, call, path, walk_flags(flags), &old);
    if (no != 0) {
        return no;
    }
    no = find_name(to, call, to_path, flags, &made);
    if (no != 0) {
        cis_found_done(&old);
        return no;
    }
    no = make_check(&made, false);
    if (no == 0 && old.mount != made.mount) {
        no = EXDEV;
    }
    if (no == 0 && is_dir(&old)) {
        no = EPERM;
    }
    if (no == 0) {
        struct cis_vfs_attr attr;
        no = made.vfs->ops->link(made.vfs, call, old.node, made.dir,
                                 (struct cis_str){made.name, made.name_len}, &attr);
    }
    cis_found_done(&made);
    cis_found_done(&old);
    return no;
}

static int unlink_check(const struct cis_found *found)
{
    if (found->dir == 0) {
        return EISDIR;
    }
    if (found->read_only) {
        return EROFS;
    }
    if (found->node == 0) {
        return too_long(found) ? ENAMETOOLONG : ENOENT;
    }
    if (is_dir(found)) {
        return EISDIR;
    }
    return found->must_be_dir ? ENOTDIR : 0;
}

int cis_at_unlink(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                  unsigned flags)
{
    struct cis_found found;
    int no = find_name(dir, call, path, flags, &found);
    if (no != 0) {
        return no;
    }
    no = unlink_check(&found);
    if (no == 0) {
        no = found.vfs->ops->unlink(found.vfs, call, found.dir,
                                    (struct cis_str){found.name, found.name_len});
    }
    cis_found_done(&found);
    return no;
}

static int rmdir_check(const struct cis_found *found)
{
    if (found->dir == 0) {
        bool up = found->name_len == 2 && !found->is_mount && memcmp(found->name, "..", 2) == 0;
        bool self = found->name_len == 1 && !found->is_mount && found->name[0] == '.';
        return up ? ENOTEMPTY : self ? EINVAL : EBUSY;
    }
    if (found->read_only) {
        return EROFS;
    }
    if (found->node == 0) {
        return too_long(found) ? ENAMETOOLONG : ENOENT;
    }
    return is_dir(found) ? 0 : ENOTDIR;
}

int cis_at_rmdir(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                 unsigned flags)
{
    struct cis_found found;
    int no = find_name(dir, call, path, flags, &found);
    if (no != 0) {
        return no;
    }
    no = rmdir_check(&found);
    if (no == 0) {
        no = found.vfs->ops->rmdir(found.vfs, call, found.dir,
                                   (struct cis_str){found.name, found.name_len});
    }
    cis_found_done(&found);
    return no;
}

static int rename_check(const struct cis_found *old, const struct cis_found *to, unsigned flags)
{
    bool exchange = (flags & RENAME_EXCHANGE) != 0, keep = (flags & RENAME_NOREPLACE) != 0;
    if (old->mount != to->mount) {
        return EXDEV;
    }
    if (old->dir == 0) {
        return EBUSY;
    }
    if (to->dir == 0) {
        return keep ? EEXIST : to->is_mount && !is_dir(old) && old->node != 0 ? EISDIR : EBUSY;
    }
    if (old->read_only) {
        return EROFS;
    }
    if (old->node == 0) {
        return too_long(old) ? ENAMETOOLONG : ENOENT;
    }
    if (too_long(to)) {
        return ENAMETOOLONG;
    }
    if (keep && to->node != 0) {
        return EEXIST;
    }
    if (exchange && to->node == 0) {
        return ENOENT;
    }
    if (exchange && !is_dir(to) && to->must_be_dir) {
        return ENOTDIR;
    }
    if (!is_dir(old) && (old->must_be_dir || (!exchange && to->must_be_dir))) {
        return ENOTDIR;
    }
    return 0;
}

int cis_at_rename(const cis_dir *from, struct cis_str path, const cis_dir *to,
                  struct cis_str to_path, const struct cis_vfs_call *call, unsigned flags,
                  unsigned rename_flags)
{
    if ((rename_flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0 ||
        rename_flags == (RENAME_NOREPLACE | RENAME_EXCHANGE)) {
        return EINVAL;
    }
    struct cis_found old, new;
    int no = find_name(from, call, path, flags, &old);
    if (no != 0) {
        return no;
    }
    no = find_name(to, call, to_path, flags, &new);
    if (no != 0) {
        cis_found_done(&old);
        return no;
    }
    no = rename_check(&old, &new, rename_flags);
    if (no == 0) {
        no = old.vfs->ops->rename(old.vfs, call, old.dir, (struct cis_str){old.name, old.name_len},
                                  new.dir, (struct cis_str){new.name, new.name_len}, rename_flags);
    }
    cis_found_done(&new);
    cis_found_done(&old);
    return no;
}
