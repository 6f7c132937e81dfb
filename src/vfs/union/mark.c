/* Which lower folder an upper one continues. Its mark says where that was, and which it was:
 * "PATH//INO-BIRTH" (marks of versions before 0.2 have the path alone). Folders of the lower
 * filesystem move: changes of the upper one are brought there (run/cow.h), and people move them.
 * The one that is meant is looked for where it was, where the folder around it is now, and where
 * the upper one is. */
#include "vfs/union/internal.h"

#include <stdio.h>
#include "base/mem.h"

int cis_union_mark_put(struct unionfs *u, const struct cis_vfs_call *call, cis_node folder,
                       struct cis_str name, const char *lower_path,
                       const struct cis_vfs_attr *lower)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(2 * CIS_VFS_PATH_MAX);
    char key[UNION_KEY];
    struct cis_vfs_attr attr;
    cis_node mark = 0;
    size_t len = strlen(lower_path);
    cis_union_index_key(lower, key);
    cis_buf_printf(&text, "%s//%s", lower_path, key);
    text.len = text.len < CIS_VFS_PATH_MAX ? text.len : len;
    if (len >= CIS_VFS_PATH_MAX) {
        return ENAMETOOLONG;
    }
    if (text.failed != CIS_OK) {
        return ENOMEM;
    }
    struct cis_vfs_make make = {.mode = S_IFLNK | 0777, .target = cis_buf_view(&text)};
    int rc = cis_vfs_make(u->up, call, folder, name, &make, &mark, &attr);
    if (rc == 0) {
        part_put(u->up, mark);
    }
    return rc == EEXIST ? 0 : rc;
}

int cis_union_mark_read(struct unionfs *u, const struct cis_vfs_call *call, cis_node folder,
                        struct mark *out)
{
    cis_node node = 0;
    struct cis_vfs_attr attr;
    out->path = out->key = CIS_STR("");
    int rc = cis_vfs_lookup(u->up, call, folder, CIS_STR(UNION_MARK), &node, &attr);
    if (rc != 0) {
        return rc == ENOENT ? 0 : rc;
    }
    rc = cis_vfs_readlink(u->up, call, node, &out->text);
    part_put(u->up, node);
    out->path = cis_buf_view(&out->text);
    for (size_t at = out->path.len; rc == 0 && at > 1; at--) {
        if (out->path.ptr[at - 1] == '/' && out->path.ptr[at - 2] == '/') {
            out->key = (struct cis_str){out->path.ptr + at, out->path.len - at};
            out->path.len = at == 2 ? 1 : at - 2; /* "///KEY" is the root's */
            break;
        }
    }
    return rc;
}

void cis_union_mark_done(struct mark *mark)
{
    cis_buf_done(&mark->text);
}

/* ENOENT, ENOTDIR: no folder is there. */
static int lower_walk(struct unionfs *u, const struct cis_vfs_call *call, struct cis_str path,
                      cis_node *out, struct cis_vfs_attr *out_attr)
{
    cis_node at = u->low->root;
    struct cis_str rest = path, name;
    int rc = cis_vfs_getattr(u->low, call, at, out_attr);
    for (bool more = true; more && rc == 0;) {
        cis_node next = 0;
        more = cis_str_split(&rest, '/', &name);
        if (name.len == 0) {
            continue;
        }
        rc = cis_vfs_lookup(u->low, call, at, name, &next, out_attr);
        part_put(u->low, at);
        at = next;
        if (rc == 0 && !S_ISDIR(out_attr->mode)) {
            part_put(u->low, at);
            rc = ENOTDIR;
        }
    }
    if (rc == 0) {
        *out = at;
    }
    return rc;
}

int cis_union_mark_follow(struct unionfs *u, const struct cis_vfs_call *call,
                          const struct mark *mark, struct cis_str near, struct cis_str here,
                          cis_node *out_lower, struct cis_str *out_path)
{
    const struct cis_str places[] = {mark->path, near, here};
    char key[UNION_KEY];
    for (int by_key = mark->key.len != 0; by_key >= 0; by_key--) {
        for (int i = 0; i < 3; i++) {
            struct cis_vfs_attr attr;
            cis_node node = 0;
            int rc = places[i].len != 0 ? lower_walk(u, call, places[i], &node, &attr) : ENOENT;
            if (rc != 0 && rc != ENOENT && rc != ENOTDIR) {
                return rc;
            }
            if (rc != 0) {
                continue;
            }
            cis_union_index_key(&attr, key);
            if (!by_key || cis_str_is(mark->key, key)) {
                *out_lower = node;
                *out_path = places[i];
                return 0;
            }
            part_put(u->low, node);
        }
    }
    return ENOENT;
}

int cis_union_mark_renew(struct unionfs *u, const struct cis_vfs_call *call,
                         const struct unode *dir, struct cis_str temp)
{
    CIS_CLEANUP(cis_union_mark_done) struct mark mark = MARK_INIT;
    struct cis_vfs_attr attr;
    char key[UNION_KEY];
    int rc = cis_union_mark_read(u, call, dir->upper, &mark);
    rc = rc == 0 ? cis_vfs_getattr(u->low, call, dir->lower, &attr) : rc;
    if (rc != 0) {
        return rc;
    }
    cis_union_index_key(&attr, key);
    if (cis_str_is(mark.path, dir->lower_path) && cis_str_is(mark.key, key)) {
        return 0;
    }
    rc = cis_union_mark_put(u, call, u->home, temp, dir->lower_path, &attr);
    return rc == 0 ? cis_vfs_rename(call, cis_vfs_at(u->up, u->home), temp,
                                    cis_vfs_at(u->up, dir->upper), CIS_STR(UNION_MARK), 0)
                   : rc;
}
