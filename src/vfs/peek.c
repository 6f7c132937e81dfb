#include "vfs/internal.h"

/* Most walks are a few plain names in one filesystem. One that has them all in memory is asked for
 * them without references: nothing is waited for between the names, and a node that went meanwhile
 * answers ESTALE, whereupon the path is walked. One that asks the kernel for each name asks once.
 */

#define PEEK_NAMES 16

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
        bool dots = len > 0 && name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
        if (n == PEEK_NAMES || len == 0 || len > CIS_VFS_NAME_MAX || dots || at == path.len) {
            return 0;
        }
        names[n] = (struct cis_str){name, len};
    }
    return n;
}

static int jump(cis_vfs *vfs, const struct cis_vfs_call *call, const struct cis_dir *start,
                struct cis_str path, unsigned flags, struct cis_found *out)
{
    int no = vfs->ops->jump(vfs, call, start->node, path, &out->node, &out->attr);
    if (no == 0 && S_ISLNK(out->attr.mode) && (flags & CIS_WALK_NOFOLLOW) == 0) {
        node_put(vfs, out->node);
        no = EAGAIN;
    }
    return no;
}

bool cis_walk_peek(const cis_dir *start, const struct cis_vfs_call *call, struct cis_str path,
                   unsigned flags, struct cis_found *out, int *out_no)
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
    int no = out->borrowed
                 ? vfs->ops->peek(vfs, call, start->node, names, n, &found, &out->node, &out->attr)
                 : jump(vfs, call, start, path, flags, out);
    if (no == ENOENT) {
        *out_no = ENOENT;
        return true;
    }
    if (no != 0) {
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
    *out_no = 0;
    return true;
}
