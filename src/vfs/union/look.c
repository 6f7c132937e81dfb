#include "vfs/union/internal.h"

#include <stdio.h>
#include "base/mem.h"

int cis_union_look(struct unionfs *u, const struct cis_vfs_call *call, const struct unode *dir,
                   struct cis_str name, struct seen *out)
{
    *out = (struct seen){0};
    if (dir->type != S_IFDIR) {
        return ENOTDIR;
    }
    if (dir->gone || is_reserved(name)) {
        return ENOENT;
    }
    if (dir->upper != 0) {
        int rc = cis_vfs_lookup(u->up, call, dir->upper, name, &out->node, &out->attr);
        if (rc == 0 && is_whiteout(&out->attr)) {
            part_put(u->up, out->node);
            out->node = 0;
            out->whiteout = true;
            return ENOENT;
        }
        if (rc != ENOENT) {
            out->upper = rc == 0;
            return rc;
        }
    }
    if (dir->lower == 0) {
        return ENOENT;
    }
    int rc = cis_vfs_lookup(u->low, call, dir->lower, name, &out->node, &out->attr);
    out->lower = rc == 0;
    return rc;
}

int cis_union_lower_find(struct unionfs *u, const struct cis_vfs_call *call,
                         const struct unode *dir, struct cis_str name, bool *out_there,
                         struct cis_vfs_attr *out_attr)
{
    cis_node node = 0;
    int rc =
        dir->lower != 0 ? cis_vfs_lookup(u->low, call, dir->lower, name, &node, out_attr) : ENOENT;
    part_put(u->low, rc == 0 ? node : 0);
    *out_there = rc == 0;
    return rc == ENOENT ? 0 : rc;
}

bool cis_union_lower_has(struct unionfs *u, const struct cis_vfs_call *call,
                         const struct unode *dir, struct cis_str name,
                         struct cis_vfs_attr *out_attr)
{
    bool there = false;
    return cis_union_lower_find(u, call, dir, name, &there, out_attr) == 0 && there;
}

/* ---- folders: which lower one an upper one continues ---- */

/* Where a name of dir is in the union: "/a/b"; nothing when that is longer than any mark. */
static int path_here(const struct unode *dir, struct cis_str name, struct cis_buf *out)
{
    size_t len = name.len + 1;
    for (const struct unode *at = dir; at->parent != NULL && len < CIS_VFS_PATH_MAX;
         at = at->parent) {
        len += strlen(at->name) + 1;
    }
    char *text = len < CIS_VFS_PATH_MAX ? (char *)cis_buf_reserve(out, len) : NULL;
    if (text == NULL) {
        return len < CIS_VFS_PATH_MAX ? ENOMEM : 0;
    }
    out->len = len;
    text += len - name.len;
    memcpy(text, name.ptr, name.len);
    *--text = '/';
    for (const struct unode *at = dir; at->parent != NULL; at = at->parent) {
        size_t part = strlen(at->name);
        text -= part;
        memcpy(text, at->name, part);
        *--text = '/';
    }
    return 0;
}

/* What the parent continues has, or had, this name; nothing: it continues nothing. */
static int path_near(const struct unode *dir, struct cis_str name, struct cis_buf *out)
{
    if (dir->lower_path != NULL) {
        bool root = strcmp(dir->lower_path, "/") == 0;
        cis_buf_printf(out, "%s/" CIS_STR_FMT, root ? "" : dir->lower_path, CIS_STR_ARG(name));
    }
    return out->failed != CIS_OK ? ENOMEM : 0;
}

/* Without a look at the mark's key when it is at its place: what has the place is meant. */
static int upper_folder(struct unionfs *u, const struct cis_vfs_call *call, const struct unode *dir,
                        struct cis_str name, struct unode_parts *parts, struct cis_buf *path)
{
    CIS_CLEANUP(cis_union_mark_done) struct mark mark = MARK_INIT;
    CIS_CLEANUP(cis_buf_done) struct cis_buf near = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf here = CIS_BUF_INIT(1u << 20);
    struct cis_str at;
    int rc = cis_union_mark_read(u, call, parts->upper, &mark);
    if (rc != 0 || mark.path.len == 0) {
        return rc;
    }
    rc = path_near(dir, name, &near);
    if (rc == 0 && cis_str_eq(mark.path, cis_buf_view(&near))) {
        mark.key = CIS_STR("");
    } else if (rc == 0) {
        rc = path_here(dir, name, &here);
    }
    rc = rc == 0 ? cis_union_mark_follow(u, call, &mark, cis_buf_view(&near), cis_buf_view(&here),
                                         &parts->lower, &at)
                 : rc;
    if (rc != 0) {
        return rc == ENOENT ? 0 : rc;
    }
    cis_buf_str(path, at);
    parts->lower_path = cis_buf_cstr(path);
    return path->failed != CIS_OK ? ENOMEM : 0;
}

static int lower_folder(const struct unode *dir, struct cis_str name, struct unode_parts *parts,
                        struct cis_buf *path)
{
    bool root = strcmp(dir->lower_path, "/") == 0;
    cis_buf_printf(path, "%s/%.*s", root ? "" : dir->lower_path, (int)name.len, name.ptr);
    parts->lower_path = cis_buf_cstr(path);
    return path->failed != CIS_OK ? ENOMEM : 0;
}

/* ---- nodes ---- */

static int lower_file(struct unionfs *u, const struct cis_vfs_call *call,
                      const struct cis_vfs_attr *attr, struct unode_parts *parts,
                      char key[UNION_KEY])
{
    bool known;
    int rc = cis_union_index_hash(u, call, attr, key, &known);
    if (rc != 0 || !known) {
        key[0] = '\0';
        return rc;
    }
    parts->key = key;
    parts->lower_links = attr->nlink;
    struct cis_vfs_attr copy;
    rc = cis_union_index_copy(u, call, key, &parts->upper, &copy);
    if (rc == 0) {
        parts->attr = copy;
    }
    return rc == ENOENT ? 0 : rc;
}

int cis_union_node(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                   struct cis_str name, const struct seen *seen, struct unode **out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(1u << 20);
    char key[UNION_KEY] = "";
    struct unode_parts parts = {.attr = seen->attr, .key = ""};
    bool folder = S_ISDIR(seen->attr.mode);
    int rc = 0;
    if (seen->upper) {
        parts.upper = seen->node;
        if (folder) {
            rc = upper_folder(u, call, dir, name, &parts, &path);
        } else if (seen->attr.nlink > 1 &&
                   cis_union_index_of_upper(u, call, seen->attr.ino, key, &parts.lower_links)) {
            parts.key = key;
        }
    } else {
        parts.lower = seen->node;
        rc = folder ? lower_folder(dir, name, &parts, &path)
                    : lower_file(u, call, &seen->attr, &parts, key);
    }
    if (rc != 0) {
        part_put(u->up, parts.upper);
        part_put(u->low, parts.lower);
        return rc;
    }
    if (folder && parts.upper != 0 && parts.lower != 0) {
        struct cis_vfs_attr lower;
        rc = cis_vfs_getattr(u->low, call, parts.lower, &lower);
        parts.attr = rc == 0 ? lower : parts.attr;
        rc = cis_unode_get(u, &parts, dir, name, out);
        return rc;
    }
    return cis_unode_get(u, &parts, dir, name, out);
}

int cis_union_find(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                   struct cis_str name, struct unode **out)
{
    struct seen seen;
    int rc = cis_union_look(u, call, dir, name, &seen);
    return rc == 0 ? cis_union_node(u, call, dir, name, &seen, out) : rc;
}

/* ---- attributes ---- */

struct overlap {
    struct unionfs *u;
    const struct cis_vfs_call *call;
    const struct unode *dir;
    uint32_t n;
};

static bool overlap_each(void *self, const struct cis_vfs_entry *entry,
                         const struct cis_vfs_attr *attr)
{
    (void)attr;
    struct overlap *o = self;
    struct cis_vfs_attr lower;
    if (!cis_str_is(entry->name, ".") && !cis_str_is(entry->name, "..") &&
        !is_reserved(entry->name) &&
        cis_union_lower_has(o->u, o->call, o->dir, entry->name, &lower) && S_ISDIR(lower.mode)) {
        o->n++;
    }
    return true;
}

/* A folder has a link for each subfolder that shows: the lower ones, but those that the upper one
 * hides or continues, and the upper ones. */
static int folder_links(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                        struct cis_vfs_attr *attr)
{
    struct cis_vfs_attr lower;
    int rc = cis_vfs_getattr(u->low, call, dir->lower, &lower);
    if (rc != 0) {
        return rc;
    }
    if (!dir->overlap_known) {
        struct overlap o = {u, call, dir, 0};
        rc = cis_union_part_list(u->up, call, dir->upper, overlap_each, &o);
        if (rc != 0) {
            return rc;
        }
        cis_mutex_lock(&u->table, union_lock_table);
        dir->overlap = o.n;
        dir->overlap_known = true;
        cis_mutex_unlock(&u->table, union_lock_table);
    }
    uint32_t home = dir == &u->root && u->home != 0 ? 1u : 0u;
    uint32_t less = 2 + dir->overlap + home;
    attr->nlink = lower.nlink < 2                     ? 1
                  : lower.nlink + attr->nlink >= less ? lower.nlink + attr->nlink - less
                                                      : 1;
    return 0;
}

/* lower: what its lower part was just seen with; NULL: it has to be looked at. */
static int attr_of(struct unionfs *u, const struct cis_vfs_call *call, struct unode *node,
                   const struct cis_vfs_attr *lower, struct cis_vfs_attr *out)
{
    cis_node upper = node->upper;
    int rc = 0;
    if (upper == 0 && lower != NULL) {
        *out = *lower;
    } else {
        rc = upper != 0 ? cis_vfs_getattr(u->up, call, upper, out)
                        : cis_vfs_getattr(u->low, call, node->lower, out);
    }
    if (rc != 0) {
        return rc;
    }
    out->ino = node->ino;
    if (node->gone) {
        out->nlink = node->type == S_IFDIR || upper == 0 ? 0 : out->nlink;
    } else if (node->type == S_IFDIR && node->lower != 0 && upper != 0) {
        rc = folder_links(u, call, node, out);
    } else if (node->key[0] != '\0') {
        uint32_t own = upper != 0 ? out->nlink - (out->nlink > 0 ? 1 : 0) : 0;
        uint32_t hidden = cis_union_index_hidden(u, call, node->key);
        out->nlink = own + (node->lower_links > hidden ? node->lower_links - hidden : 0);
        out->nlink = out->nlink != 0 ? out->nlink : 1; /* names went from below meanwhile */
    }
    return rc;
}

int cis_union_attr(struct unionfs *u, const struct cis_vfs_call *call, struct unode *node,
                   struct cis_vfs_attr *out)
{
    return attr_of(u, call, node, NULL, out);
}

int cis_union_lookup(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str name, cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    struct unionfs *u = union_of(vfs);
    struct unode *node = NULL;
    struct seen seen;
    cis_rwlock_read(&u->names, union_lock_names);
    int rc = cis_union_look(u, call, unode_of(dir), name, &seen);
    rc = rc == 0 ? cis_union_node(u, call, unode_of(dir), name, &seen, &node) : rc;
    if (rc == 0) {
        rc = attr_of(u, call, node, seen.lower ? &seen.attr : NULL, out_attr);
        if (rc != 0) {
            cis_unode_put(u, node, 1);
        } else if (node->type == S_IFDIR) {
            cis_unode_keep(u, node);
        }
    }
    cis_rwlock_unlock(&u->names, union_lock_names);
    if (rc == 0) {
        *out_node = (cis_node)(uintptr_t)node;
    }
    return rc;
}
