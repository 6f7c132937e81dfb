#include "vfs/internal.h"

/* Most walks are a few plain names in one filesystem. One that has them all in memory is asked for
 * them without references: nothing is waited for between the names, and a node that went meanwhile
 * answers ESTALE, whereupon the path is walked. One that asks the kernel for each name asks once.
 */

#define PEEK_NAMES 16

static bool is_dots(struct cis_str name)
{
    return name.len > 0 && name.ptr[0] == '.' &&
           (name.len == 1 || (name.len == 2 && name.ptr[1] == '.'));
}

/* How many plain names the path has, split; 0: it has anything else, or too many. */
static size_t plain_names(struct cis_str path, struct cis_str names[PEEK_NAMES])
{
    size_t n = 0;
    if (path.len >= CIS_VFS_PATH_MAX) {
        return 0;
    }
    for (size_t at = 0; at < path.len; n++) {
        size_t len = 0;
        const char *name = path.ptr + at;
        while (at + len < path.len && name[len] != '/') {
            if (name[len] == '\0') {
                return 0;
            }
            len++;
        }
        at += len + 1;
        if (n == PEEK_NAMES || len == 0 || len > CIS_VFS_NAME_MAX || at == path.len ||
            is_dots((struct cis_str){name, len})) {
            return 0;
        }
        names[n] = (struct cis_str){name, len};
    }
    return n;
}

static int jump(cis_vfs *vfs, const struct cis_vfs_call *call, const struct cis_dir *start,
                struct cis_str path, unsigned flags, struct cis_found *out)
{
    int rc = vfs->ops->jump(vfs, call, start->node, path, &out->node, &out->attr);
    if (rc == 0 && S_ISLNK(out->attr.mode) && (flags & CIS_WALK_NOFOLLOW) == 0) {
        node_put(vfs, out->node);
        rc = EAGAIN;
    }
    return rc;
}

static bool is_plain(struct cis_str path)
{
    size_t len = 0;
    for (size_t at = 0; at <= path.len; at++) {
        if (at < path.len && path.ptr[at] != '/') {
            len++;
            continue;
        }
        if (len == 0 || len > CIS_VFS_NAME_MAX ||
            is_dots((struct cis_str){path.ptr + at - len, len})) {
            return false;
        }
        len = 0;
    }
    return memchr(path.ptr, 0, path.len) == NULL;
}

size_t cis_walk_ahead(const cis_dir *start, const struct cis_vfs_call *call, struct cis_str path,
                      unsigned flags, cis_node *out_node)
{
    const struct cis_mount *m = start->mount;
    size_t len = path.len;
    struct cis_vfs_attr attr;
    if ((flags & CIS_WALK_STRAIGHT) == 0 || m->vfs->ops->jump == NULL || m->children != NULL ||
        len >= CIS_VFS_PATH_MAX) {
        return 0;
    }
    while (len > 0 && path.ptr[len - 1] != '/') {
        len--;
    }
    struct cis_str folder = {path.ptr, len > 0 ? len - 1 : 0};
    struct cis_str last = {path.ptr + len, path.len - len};
    if (last.len == 0 || is_dots(last) || !is_plain(folder) ||
        m->vfs->ops->jump(m->vfs, call, start->node, folder, out_node, &attr) != 0) {
        return 0;
    }
    if (!S_ISDIR(attr.mode)) {
        node_put(m->vfs, *out_node);
        return 0;
    }
    return len;
}

bool cis_walk_peek(const cis_dir *start, const struct cis_vfs_call *call, struct cis_str path,
                   unsigned flags, struct cis_found *out, int *out_rc)
{
    struct cis_str names[PEEK_NAMES];
    const struct cis_mount *m = start->mount;
    cis_vfs *vfs = m->vfs;
    if ((vfs->ops->peek == NULL && vfs->ops->jump == NULL) || m->children != NULL) {
        return false;
    }
    size_t n = plain_names(path, names), found = 0;
    if (n == 0) {
        return false;
    }
    out->borrowed = vfs->ops->peek != NULL;
    int rc = out->borrowed
                 ? vfs->ops->peek(vfs, call, start->node, names, n, &found, &out->node, &out->attr)
                 : jump(vfs, call, start, path, flags, out);
    if (rc == ENOENT) {
        *out_rc = ENOENT;
        return true;
    }
    if (rc != 0) {
        return false;
    }
    if (out->borrowed &&
        (found < n || (S_ISLNK(out->attr.mode) && (flags & CIS_WALK_NOFOLLOW) == 0))) {
        return false;
    }
    out->vfs = vfs;
    out->read_only = m->read_only || vfs->read_only;
    out->attr.dev = m->dev;
    out->mount = m;
    out->dir = 0;
    out->name_len = 0;
    out->must_be_dir = false;
    out->is_mount = false;
    *out_rc = 0;
    return true;
}
