#include "vfs/union/internal.h"

void cis_union_name_moved(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                          struct cis_str name)
{
    struct cis_vfs_attr lower;
    atomic_fetch_add(&dir->moves, 1);
    if (dir->lower != 0 && cis_union_lower_has(u, call, dir, name, &lower) && S_ISDIR(lower.mode)) {
        cis_mutex_lock(&u->table, union_lock_table);
        dir->overlap_known = false;
        cis_mutex_unlock(&u->table, union_lock_table);
    }
}

int cis_union_name_hide(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                        struct cis_str name)
{
    struct cis_vfs_make make = {.mode = S_IFCHR};
    struct cis_vfs_attr attr;
    cis_node node = 0;
    int rc = cis_vfs_make(u->up, call, dir->upper, name, &make, &node, &attr);
    if (rc == 0) {
        part_put(u->up, node);
    }
    return rc;
}

int cis_union_name_clear(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                         struct cis_str name)
{
    int rc = cis_vfs_unlink(u->up, call, dir->upper, name);
    return rc == ENOENT ? 0 : rc;
}

/* ---- making ---- */

static int make_begin(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                      struct cis_str name)
{
    struct seen seen;
    if (u->vfs.read_only) {
        return EROFS;
    }
    if (name.len > CIS_VFS_NAME_MAX) {
        return ENAMETOOLONG;
    }
    if (is_reserved(name)) {
        return EPERM;
    }
    int rc = cis_union_look(u, call, dir, name, &seen);
    if (rc == 0) {
        part_put(seen.upper ? u->up : u->low, seen.node);
        return EEXIST;
    }
    if (rc != ENOENT || dir->gone) {
        return rc;
    }
    rc = cis_union_copy_folder(u, call, dir);
    return rc == 0 && seen.whiteout ? cis_union_name_clear(u, call, dir, name) : rc;
}

/* The node of what was just made in the upper folder; takes over the reference. */
static int make_end(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                    struct cis_str name, const struct unode_parts *made, struct unode **out_node,
                    struct cis_vfs_attr *out_attr)
{
    int rc = cis_unode_get(u, made, dir, name, out_node);
    cis_union_name_moved(u, call, dir, name);
    if (rc == 0) {
        rc = cis_union_attr(u, call, *out_node, out_attr);
        if (rc != 0) {
            cis_unode_put(u, *out_node, 1);
        }
    }
    return rc;
}

/* When it fails after the whiteout went, the lower name must not come back. */
static void make_failed(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                        struct cis_str name)
{
    struct cis_vfs_attr attr;
    bool there = false;
    if (dir->upper != 0 &&
        (cis_union_lower_find(u, call, dir, name, &there, &attr) != 0 || there)) {
        (void)cis_union_name_hide(u, call, dir, name);
    }
}

/* What cannot be given to who asked for it is not left behind. */
static void unmake(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                   struct cis_str name, bool is_dir)
{
    const struct cis_vfs_ops *ops = u->up->ops;
    if ((is_dir ? ops->rmdir : ops->unlink)(u->up, call, dir->upper, name) == 0) {
        make_failed(u, call, dir, name);
    }
    cis_union_name_moved(u, call, dir, name);
}

int cis_union_make(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir_node,
                   struct cis_str name, const struct cis_vfs_make *make, cis_node *out_node,
                   struct cis_vfs_attr *out_attr)
{
    struct unionfs *u = union_of(vfs);
    struct unode *dir = unode_of(dir_node), *node = NULL;
    struct unode_parts made = {.key = ""};
    if (S_ISCHR(make->mode) && make->rdev == 0) {
        return EPERM;
    }
    cis_rwlock_write(&u->names, union_lock_names);
    int rc = make_begin(u, call, dir, name);
    if (rc == 0) {
        rc = cis_vfs_make(u->up, call, dir->upper, name, make, &made.upper, &made.attr);
        if (rc != 0) {
            make_failed(u, call, dir, name);
        }
    }
    if (rc == 0) {
        rc = make_end(u, call, dir, name, &made, &node, out_attr);
        if (rc != 0) {
            unmake(u, call, dir, name, S_ISDIR(make->mode));
        }
    }
    cis_rwlock_unlock(&u->names, union_lock_names);
    if (rc == 0) {
        *out_node = (cis_node)(uintptr_t)node;
    }
    return rc;
}

int cis_union_create(cis_vfs *vfs, const struct cis_vfs_call *call,
                     const struct cis_vfs_create_request *r, cis_vfs_file **out_file,
                     cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    struct unionfs *u = union_of(vfs);
    struct unode *dir = unode_of(r->dir), *node = NULL;
    struct unode_parts made = {.key = ""};
    struct cis_vfs_create_request there = *r;
    cis_vfs_file *up = NULL;
    cis_rwlock_write(&u->names, union_lock_names);
    int rc = make_begin(u, call, dir, r->name);
    if (rc == 0) {
        there.dir = dir->upper; /* made by make_begin where it was below alone */
        rc = cis_vfs_create(u->up, call, &there, &up, &made.upper, &made.attr);
        if (rc != 0) {
            make_failed(u, call, dir, r->name);
        }
    }
    if (rc == 0) {
        rc = make_end(u, call, dir, r->name, &made, &node, out_attr);
        if (rc != 0) {
            unmake(u, call, dir, r->name, false);
        }
    }
    cis_rwlock_unlock(&u->names, union_lock_names);
    if (rc == 0) {
        rc = cis_ufile_new(u, node, r->flags, up, NULL, out_file);
        if (rc != 0) {
            cis_unode_put(u, node, 1);
        }
    } else if (up != NULL) {
        cis_vfs_release(up);
    }
    if (rc == 0) {
        *out_node = (cis_node)(uintptr_t)node;
    }
    return rc;
}

int cis_union_link(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node file, cis_node dir_node,
                   struct cis_str name, struct cis_vfs_attr *out_attr)
{
    struct unionfs *u = union_of(vfs);
    struct unode *node = unode_of(file), *dir = unode_of(dir_node);
    if (u->vfs.read_only) {
        return EROFS;
    }
    if (node->type == S_IFDIR) {
        return EPERM;
    }
    if (node->gone) {
        return ENOENT;
    }
    int rc = cis_union_copy_file(u, call, node, true);
    if (rc != 0) {
        return rc;
    }
    cis_rwlock_write(&u->names, union_lock_names);
    struct cis_vfs_attr attr;
    rc = make_begin(u, call, dir, name);
    if (rc == 0) {
        rc = cis_vfs_link(call, cis_vfs_at(u->up, node->upper), cis_vfs_at(u->up, dir->upper), name,
                          &attr);
        if (rc != 0) {
            make_failed(u, call, dir, name);
        }
        cis_union_name_moved(u, call, dir, name);
    }
    if (rc == 0) {
        rc = cis_union_attr(u, call, node, out_attr);
        if (rc != 0) {
            unmake(u, call, dir, name, false);
        }
    }
    cis_rwlock_unlock(&u->names, union_lock_names);
    return rc;
}

/* ---- removing ---- */

/* names held for writing. What the name shows is `node`. */
static int remove_shown(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                        struct cis_str name, const struct seen *seen, struct unode *node)
{
    struct cis_vfs_attr lower;
    bool below = false;
    int rc = cis_union_lower_find(u, call, dir, name, &below, &lower);
    rc = rc == 0 ? cis_union_copy_folder(u, call, dir) : rc;
    rc = rc == 0 && below && seen_lower(node) ? cis_union_seen_name(u, call, dir, name) : rc;
    bool counted = seen->lower && node->key[0] != '\0';
    rc = rc == 0 && counted ? cis_union_index_hide(u, call, &lower) : rc;
    if (rc != 0) {
        return rc;
    }
    if (seen->upper) {
        rc = node->type == S_IFDIR ? cis_union_folder_remove(u, call, dir, name, node)
                                   : cis_vfs_unlink(u->up, call, dir->upper, name);
    }
    if (rc == 0 && below) {
        rc = cis_union_name_hide(u, call, dir, name);
    }
    if (rc != 0) {
        if (counted) {
            cis_union_index_hidden_back(u, call, &lower);
        }
        return rc;
    }
    if (counted) {
        cis_union_index_hidden_end(u, call, &lower);
    } else if (node->key[0] != '\0') {
        cis_union_index_tidy(u, call, node->key, node->lower_links);
    } else if (node->type == S_IFDIR || !seen->upper) {
        node->gone = true;
    }
    cis_union_name_moved(u, call, dir, name);
    return rc;
}

static int remove_name(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir_node,
                       struct cis_str name, bool folder)
{
    struct unionfs *u = union_of(vfs);
    struct unode *dir = unode_of(dir_node), *node = NULL;
    struct seen seen;
    bool empty = true;
    if (u->vfs.read_only) {
        return EROFS;
    }
    cis_rwlock_write(&u->names, union_lock_names);
    int rc = name.len > CIS_VFS_NAME_MAX ? ENAMETOOLONG : cis_union_look(u, call, dir, name, &seen);
    if (rc == 0) {
        rc = cis_union_node(u, call, dir, name, &seen, &node);
    }
    if (rc == 0 && (node->type == S_IFDIR) != folder) {
        rc = folder ? ENOTDIR : EISDIR;
    }
    if (rc == 0 && folder) {
        rc = cis_union_is_empty(u, call, node, &empty);
        rc = rc == 0 && !empty ? ENOTEMPTY : rc;
    }
    if (rc == 0) {
        rc = remove_shown(u, call, dir, name, &seen, node);
    }
    cis_rwlock_unlock(&u->names, union_lock_names);
    cis_unode_put(u, node, 1);
    return rc;
}

int cis_union_unlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str name)
{
    return remove_name(vfs, call, dir, name, false);
}

int cis_union_rmdir(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                    struct cis_str name)
{
    return remove_name(vfs, call, dir, name, true);
}

/* ---- the upper part of an empty folder ---- */

struct leftovers {
    struct cis_buf names; /* each with its NUL */
};

static bool leftover_each(void *self, const struct cis_vfs_entry *entry,
                          const struct cis_vfs_attr *attr)
{
    (void)attr;
    struct leftovers *l = self;
    if (!cis_str_is(entry->name, ".") && !cis_str_is(entry->name, "..")) {
        cis_buf_str(&l->names, entry->name);
        cis_buf_byte(&l->names, 0);
    }
    return l->names.failed == CIS_OK;
}

int cis_union_folder_remove(struct unionfs *u, const struct cis_vfs_call *call,
                            struct unode *parent, struct cis_str name, struct unode *dir)
{
    struct leftovers l = {CIS_BUF_INIT(1u << 30)};
    int rc = cis_union_part_list(u->up, call, dir->upper, leftover_each, &l);
    rc = rc == 0 && l.names.failed != CIS_OK ? ENOMEM : rc;
    for (size_t at = 0; rc == 0 && at < l.names.len;) {
        struct cis_str left = cis_str_of((const char *)l.names.ptr + at);
        rc = cis_vfs_unlink(u->up, call, dir->upper, left);
        at += left.len + 1;
    }
    cis_buf_done(&l.names);
    return rc == 0 ? cis_vfs_rmdir(u->up, call, parent->upper, name) : rc;
}
