#include "vfs/walk.h"

#include <errno.h>
#include "vfs/internal.h"

/* The verbs that make, remove and rename. Which fault is named first when there are several is what
 * Linux does; tests/vfs compares them. */

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1u
#define RENAME_EXCHANGE 2u
#endif

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
    int rc = S_ISLNK(make->mode) ? target_check(make->target) : 0;
    struct cis_found found;
    if (rc == 0) {
        rc = find_name(dir, call, path, flags, &found);
    }
    if (rc != 0) {
        return rc;
    }
    rc = make_check(&found, S_ISDIR(make->mode));
    if (rc == 0) {
        cis_node node = 0;
        struct cis_vfs_attr attr;
        struct cis_vfs_make masked = *make;
        masked.mode &= S_ISLNK(make->mode) ? UINT32_MAX : ~(call->umask & 0777);
        rc = cis_vfs_make(found.vfs, call, found.dir, (struct cis_str){found.name, found.name_len},
                          &masked, &node, &attr);
        if (rc == 0) {
            node_put(found.vfs, node);
        }
    }
    cis_found_done(&found);
    return rc;
}

int cis_at_link(const cis_dir *from, struct cis_str path, const cis_dir *to, struct cis_str to_path,
                const struct cis_vfs_call *call, unsigned flags)
{
    struct cis_found old, made;
    int rc = find(from, call, path, walk_flags(flags), &old);
    if (rc != 0) {
        return rc;
    }
    rc = find_name(to, call, to_path, flags, &made);
    if (rc != 0) {
        cis_found_done(&old);
        return rc;
    }
    rc = make_check(&made, false);
    if (rc == 0 && old.mount != made.mount) {
        rc = EXDEV;
    }
    if (rc == 0 && is_dir(&old)) {
        rc = EPERM;
    }
    if (rc == 0 && old.read_only) {
        rc = EROFS;
    }
    if (rc == 0) {
        struct cis_vfs_attr attr;
        rc = cis_vfs_link(call, cis_vfs_at(old.vfs, old.node), cis_vfs_at(made.vfs, made.dir),
                          (struct cis_str){made.name, made.name_len}, &attr);
    }
    cis_found_done(&made);
    cis_found_done(&old);
    return rc;
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
    int rc = find_name(dir, call, path, flags, &found);
    if (rc != 0) {
        return rc;
    }
    rc = unlink_check(&found);
    if (rc == 0) {
        rc = cis_vfs_unlink(found.vfs, call, found.dir,
                            (struct cis_str){found.name, found.name_len});
    }
    cis_found_done(&found);
    return rc;
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
    int rc = find_name(dir, call, path, flags, &found);
    if (rc != 0) {
        return rc;
    }
    rc = rmdir_check(&found);
    if (rc == 0) {
        rc =
            cis_vfs_rmdir(found.vfs, call, found.dir, (struct cis_str){found.name, found.name_len});
    }
    cis_found_done(&found);
    return rc;
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
    if (old->read_only || to->read_only) {
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
    int rc = find_name(from, call, path, flags, &old);
    if (rc != 0) {
        return rc;
    }
    rc = find_name(to, call, to_path, flags, &new);
    if (rc != 0) {
        cis_found_done(&old);
        return rc;
    }
    rc = rename_check(&old, &new, rename_flags);
    if (rc == 0) {
        rc = cis_vfs_rename(call, cis_vfs_at(old.vfs, old.dir),
                            (struct cis_str){old.name, old.name_len}, cis_vfs_at(new.vfs, new.dir),
                            (struct cis_str){new.name, new.name_len}, rename_flags);
    }
    cis_found_done(&new);
    cis_found_done(&old);
    return rc;
}
