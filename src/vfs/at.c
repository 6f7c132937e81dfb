#include "vfs/walk.h"

#include <errno.h>
#include <fcntl.h>
#include "vfs/internal.h"

/* The verbs. What each situation gives, and which fault is named first when there are several, is
 * what Linux does; tests/vfs compares them. */

#define CREATE_TRIES 128 /* of O_CREAT when others make and remove the name meanwhile */

int cis_at_stat(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                unsigned flags, struct cis_vfs_attr *out)
{
    struct cis_found found;
    int rc;
    if (!cis_walk_peek(dir, call, path, flags, &found, &rc)) {
        rc = find(dir, call, path, walk_flags(flags), &found);
    }
    if (rc == 0) {
        *out = found.attr;
        cis_found_done(&found);
    }
    return rc;
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
    int rc = open_check(found, flags);
    if (rc == 0) {
        rc = cis_vfs_open(vfs, call, found->node, flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW), &file);
    }
    if (rc != 0) {
        return rc;
    }
    struct cis_vfs_attr attr = found->attr;
    if ((flags & O_TRUNC) != 0) {
        rc = cis_vfs_getattr(vfs, call, found->node, &attr);
        if (rc != 0) {
            cis_vfs_release(file);
            return rc;
        }
    }
    attr.dev = found->attr.dev;
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
    struct cis_vfs_create_request request = {
        .dir = found->dir,
        .name = {found->name, found->name_len},
        .mode = mode & 07777 & ~(call->umask & 0777),
        .flags = flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW),
    };
    int rc = cis_vfs_create(vfs, call, &request, out_file, &node, out_attr);
    if (rc == 0) {
        out_attr->dev = found->attr.dev;
        node_put(vfs, node);
    }
    return rc;
}

static int open_once(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                     const struct cis_open_how *how, cis_vfs_file **out_file,
                     struct cis_vfs_attr *out_attr, bool *out_again)
{
    struct cis_found found;
    int rc = cis_walk(dir, NULL, call, path, how->walk, &found);
    *out_again = false;
    if (rc != 0) {
        return rc;
    }
    if (too_long(&found)) {
        rc = ENAMETOOLONG;
    } else if (found.node != 0) {
        rc = open_found(&found, call, how->flags, out_file, out_attr);
    } else if ((how->flags & O_CREAT) == 0) {
        rc = ENOENT;
    } else {
        rc = create_found(&found, call, how->flags, how->mode, out_file, out_attr);
        *out_again = rc == EEXIST && (how->flags & O_EXCL) == 0;
    }
    if (rc == 0) {
        (*out_file)->read_only = found.read_only;
        (*out_file)->dev = found.attr.dev;
    }
    cis_found_done(&found);
    return rc;
}

/* What exists and is at hand; ESTALE: it went meanwhile, or it has to be walked to. */
static int open_quick(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                      const struct cis_open_how *how, cis_vfs_file **out_file,
                      struct cis_vfs_attr *out_attr)
{
    struct cis_found found;
    int rc;
    if (!cis_walk_peek(dir, call, path, how->walk, &found, &rc)) {
        return ESTALE;
    }
    if (rc != 0) {
        return rc;
    }
    rc = open_found(&found, call, how->flags, out_file, out_attr);
    if (rc == 0) {
        (*out_file)->read_only = found.read_only;
        (*out_file)->dev = found.attr.dev;
    }
    cis_found_done(&found);
    return rc;
}

int cis_at_open(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                const struct cis_open_how *how, cis_vfs_file **out_file,
                struct cis_vfs_attr *out_attr)
{
    if ((how->flags & O_ACCMODE) == O_ACCMODE ||
        (how->flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY)) {
        return EINVAL;
    }
    struct cis_open_how to = *how;
    to.walk = walk_flags(how->walk);
    if ((how->flags & O_NOFOLLOW) != 0) {
        to.walk |= CIS_WALK_NOFOLLOW;
    }
    if ((how->flags & O_CREAT) != 0) {
        to.walk |= WALK_CREATE | ((how->flags & O_EXCL) != 0 ? CIS_WALK_NAME : 0u);
    }
    if ((how->flags & O_CREAT) == 0) {
        int quick = open_quick(dir, call, path, &to, out_file, out_attr);
        if (quick != ESTALE) {
            return quick;
        }
    }
    int rc = 0;
    bool again = true;
    for (int i = 0; again && i < CREATE_TRIES; i++) {
        rc = open_once(dir, call, path, &to, out_file, out_attr, &again);
    }
    return rc;
}

#define ANY_TRIES 8 /* when a path names a directory and then does not, by turns */

int cis_at_open_any(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                    const struct cis_open_how *how, cis_vfs_file **out_file,
                    struct cis_vfs_attr *out_attr, cis_dir **out_dir)
{
    bool only_dir = how->flags == (O_RDONLY | O_DIRECTORY), is_dir = only_dir;
    cis_vfs_file *file = NULL;
    int rc = ENOTDIR;
    for (int i = 0; rc == ENOTDIR && i < ANY_TRIES; i++) {
        if (!only_dir) {
            rc = cis_at_open(dir, call, path, how, &file, out_attr);
            if (rc != 0) {
                return rc;
            }
            is_dir = S_ISDIR(out_attr->mode);
        }
        if (!is_dir) {
            *out_file = file;
            *out_dir = NULL;
            return 0;
        }
        cis_vfs_file_close(file);
        file = NULL;
        rc = cis_at_dir(dir, call, path, how->walk, out_dir);
        if (only_dir) {
            break;
        }
    }
    if (rc == 0) {
        *out_file = NULL;
    }
    return rc;
}

/* ---- attributes ---- */

int cis_at_set(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
               unsigned flags, const struct cis_vfs_set *set)
{
    struct cis_found found;
    int rc = find(dir, call, path, walk_flags(flags), &found);
    if (rc != 0) {
        return rc;
    }
    if ((set->bits & CIS_VFS_SET_SIZE) != 0 && !S_ISREG(found.attr.mode)) {
        rc = is_dir(&found) ? EISDIR : EINVAL;
    } else if (found.read_only) {
        rc = EROFS;
    } else {
        rc = cis_vfs_setattr(found.vfs, call, found.node, set, NULL);
    }
    cis_found_done(&found);
    return rc;
}

int cis_file_set(cis_vfs_file *file, const struct cis_vfs_call *call, const struct cis_vfs_set *set,
                 struct cis_vfs_attr *out)
{
    if (file->read_only || file->vfs->read_only) {
        return EROFS;
    }
    int rc = cis_vfs_setattr(file->vfs, call, file->node, set, out);
    if (rc == 0 && out != NULL) {
        out->dev = file->dev;
    }
    return rc;
}

int cis_file_stat(cis_vfs_file *file, const struct cis_vfs_call *call, struct cis_vfs_attr *out)
{
    int rc = cis_vfs_getattr(file->vfs, call, file->node, out);
    if (rc == 0) {
        out->dev = file->dev;
    }
    return rc;
}

int cis_at_readlink(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                    unsigned flags, struct cis_buf *out)
{
    struct cis_found found;
    int rc = find(dir, call, path, walk_flags(flags) | CIS_WALK_NOFOLLOW, &found);
    if (rc != 0) {
        return rc;
    }
    rc = S_ISLNK(found.attr.mode) ? cis_vfs_readlink(found.vfs, call, found.node, out) : EINVAL;
    cis_found_done(&found);
    return rc;
}
