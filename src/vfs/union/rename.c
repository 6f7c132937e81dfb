#include "vfs/union/internal.h"

#include "base/mem.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1u
#define RENAME_EXCHANGE 2u
#endif
#define RENAME_TRIES 1000 /* a source that others keep replacing by lower files */

/* One side of a rename: a name and what it shows. */
struct side {
    struct unode *dir, *node; /* node referenced; NULL: nothing */
    struct cis_str name;
    struct seen seen;
    bool below; /* the lower folder has the name */
    struct cis_vfs_attr lower;
};

static int side_find(struct unionfs *u, const struct cis_vfs_call *call, struct side *s)
{
    if (s->name.len > CIS_VFS_NAME_MAX) {
        return ENAMETOOLONG;
    }
    int rc = cis_union_look(u, call, s->dir, s->name, &s->seen);
    if (rc != 0 && rc != ENOENT) {
        return rc;
    }
    int below = cis_union_lower_find(u, call, s->dir, s->name, &s->below, &s->lower);
    if (below != 0) {
        part_put(s->seen.upper ? u->up : u->low, rc == 0 ? s->seen.node : 0);
        return below;
    }
    return rc == 0 ? cis_union_node(u, call, s->dir, s->name, &s->seen, &s->node) : rc;
}

static bool is_below(const struct unode *dir, const struct unode *of)
{
    for (; dir != NULL; dir = dir->parent) {
        if (dir == of) {
            return true;
        }
    }
    return false;
}

static int rename_check(struct unionfs *u, const struct cis_vfs_call *call, struct side *a,
                        struct side *b, unsigned flags)
{
    bool exchange = (flags & RENAME_EXCHANGE) != 0;
    bool folder = a->node->type == S_IFDIR;
    bool to_folder = b->node != NULL && b->node->type == S_IFDIR;
    if (b->node != NULL && (flags & RENAME_NOREPLACE) != 0) {
        return EEXIST;
    }
    if (b->node == NULL && exchange) {
        return ENOENT;
    }
    if (folder && is_below(b->dir, a->node)) {
        return EINVAL;
    }
    if (to_folder && is_below(a->dir, b->node)) {
        return exchange ? EINVAL : ENOTEMPTY;
    }
    if (b->node == NULL || exchange || a->node == b->node) {
        return 0;
    }
    if (folder != to_folder) {
        return folder ? ENOTDIR : EISDIR;
    }
    bool empty = true;
    int rc = to_folder ? cis_union_is_empty(u, call, b->node, &empty) : 0;
    return rc == 0 && !empty ? ENOTEMPTY : rc;
}

/* A file that lives in the home folder gets an upper name where it shows, so that it can be moved.
 */
static int name_upper(struct unionfs *u, const struct cis_vfs_call *call, struct side *s)
{
    struct cis_vfs_attr attr;
    if (s->seen.upper || s->node->type == S_IFDIR || s->node->key[0] == '\0') {
        return 0;
    }
    int rc = cis_union_index_hide(u, call, &s->lower);
    if (rc != 0) {
        return rc;
    }
    rc = cis_vfs_link(call, cis_vfs_at(u->up, s->node->upper), cis_vfs_at(u->up, s->dir->upper),
                      s->name, &attr);
    if (rc == 0) {
        cis_union_index_hidden_end(u, call, &s->lower);
    } else {
        cis_union_index_hidden_back(u, call, &s->lower);
    }
    return rc;
}

/* What stands at the target makes room: folders that show nothing, and whiteouts. */
static int target_clear(struct unionfs *u, const struct cis_vfs_call *call, struct side *b)
{
    if (b->seen.whiteout) {
        return cis_union_name_clear(u, call, b->dir, b->name);
    }
    if (b->node != NULL && b->node->type == S_IFDIR && b->seen.upper) {
        return cis_union_folder_remove(u, call, b->dir, b->name, b->node);
    }
    return 0;
}

/* One of the names of a lower file is what the target shows. */
static bool target_counts(const struct side *b)
{
    return b->node != NULL && b->node->key[0] != '\0' && b->seen.lower;
}

static void target_gone(struct unionfs *u, const struct cis_vfs_call *call, const struct side *b)
{
    if (target_counts(b)) {
        cis_union_index_hidden_end(u, call, &b->lower);
    } else if (b->node != NULL && b->node->key[0] != '\0') {
        cis_union_index_tidy(u, call, b->node->key, b->node->lower_links);
    } else if (b->node != NULL && (b->node->type == S_IFDIR || !b->seen.upper)) {
        b->node->gone = true;
    }
}

/* A folder that is moved goes on naming what it continues, also when that has moved since. */
static int mark_of(struct unionfs *u, const struct cis_vfs_call *call, const struct unode *node)
{
    char text[32];
    bool both = node->type == S_IFDIR && node->lower != 0 && node->upper != 0;
    return both ? cis_union_mark_renew(u, call, node, cis_union_home_temp(u, text)) : 0;
}

/* A whiteout that waits in the home folder: what is made before anything is moved cannot be missing
 * afterwards. */
static int hidden_make(struct unionfs *u, const struct cis_vfs_call *call, struct cis_str temp)
{
    struct cis_vfs_make make = {.mode = S_IFCHR};
    struct cis_vfs_attr attr;
    cis_node node = 0;
    int rc = cis_vfs_make(u->up, call, u->home, temp, &make, &node, &attr);
    part_put(u->up, rc == 0 ? node : 0);
    return rc;
}

/* To where the name was; when that fails, the name goes back. */
static int hidden_place(struct unionfs *u, const struct cis_vfs_call *call, struct cis_str temp,
                        const struct side *a, const struct side *b)
{
    struct cis_vfs_place from = cis_vfs_at(u->up, a->dir->upper),
                         to = cis_vfs_at(u->up, b->dir->upper);
    int rc = cis_vfs_rename(call, cis_vfs_at(u->up, u->home), temp, from, a->name, 0);
    if (rc != 0 && b->node == NULL && cis_vfs_rename(call, to, b->name, from, a->name, 0) == 0 &&
        b->seen.whiteout && b->below) {
        (void)cis_union_name_hide(u, call, b->dir, b->name);
    }
    return rc;
}

static int rename_apply(struct unionfs *u, const struct cis_vfs_call *call, struct side *a,
                        struct side *b, unsigned flags)
{
    bool exchange = (flags & RENAME_EXCHANGE) != 0;
    char *name_a = NULL, *name_b = NULL, temp[32];
    struct cis_str hidden = CIS_STR(""); /* what will hide the lower name, in the home folder */
    int rc = cis_unode_name(u, b->name, &name_a);
    if (rc == 0 && exchange) {
        rc = cis_unode_name(u, a->name, &name_b);
    }
    if (rc == 0) {
        rc = cis_union_copy_folder(u, call, a->dir);
    }
    if (rc == 0) {
        rc = cis_union_copy_folder(u, call, b->dir);
    }
    rc = rc == 0 ? mark_of(u, call, a->node) : rc;
    rc = rc == 0 && exchange ? mark_of(u, call, b->node) : rc;
    if (rc == 0 && a->below && seen_lower(a->node)) {
        rc = cis_union_seen_name(u, call, a->dir, a->name);
    }
    if (rc == 0 && b->below && b->node != NULL && seen_lower(b->node)) {
        rc = cis_union_seen_name(u, call, b->dir, b->name);
    }
    if (rc == 0) {
        rc = name_upper(u, call, a);
    }
    if (rc == 0 && !exchange && a->below) {
        hidden = cis_union_home_temp(u, temp);
        rc = hidden_make(u, call, hidden);
    }
    bool counted = rc == 0 && !exchange && target_counts(b);
    if (counted) {
        rc = cis_union_index_hide(u, call, &b->lower);
        counted = rc == 0;
    }
    if (rc == 0) {
        rc = exchange ? name_upper(u, call, b) : target_clear(u, call, b);
    }
    if (rc == 0) {
        rc = cis_vfs_rename(call, cis_vfs_at(u->up, a->dir->upper), a->name,
                            cis_vfs_at(u->up, b->dir->upper), b->name,
                            exchange ? RENAME_EXCHANGE : 0);
        if (rc != 0 && b->seen.whiteout && b->below) {
            (void)cis_union_name_hide(u, call, b->dir, b->name); /* what was hidden stays so */
        }
    }
    if (rc == 0 && hidden.len != 0) {
        rc = hidden_place(u, call, hidden, a, b);
    }
    if (rc != 0 && hidden.len != 0) {
        (void)u->up->ops->unlink(u->up, call, u->home, hidden);
    }
    if (rc != 0 && counted) {
        cis_union_index_hidden_back(u, call, &b->lower);
    }
    if (rc == 0 && !exchange) {
        target_gone(u, call, b);
    }
    if (rc == 0) {
        cis_unode_place(u, a->node, b->dir, cis_take(&name_a));
    }
    if (rc == 0 && exchange) {
        cis_unode_place(u, b->node, a->dir, cis_take(&name_b));
    }
    cis_unode_name_free(u, name_a);
    cis_unode_name_free(u, name_b);
    cis_union_name_moved(u, call, a->dir, a->name);
    cis_union_name_moved(u, call, b->dir, b->name);
    return rc;
}

/* names held for writing. EAGAIN: *out_copy is to be copied up first, without the lock. */
static int rename_once(struct unionfs *u, const struct cis_vfs_call *call, struct side *a,
                       struct side *b, unsigned flags, struct unode **out_copy)
{
    int rc = side_find(u, call, a);
    if (rc != 0) {
        return rc;
    }
    rc = side_find(u, call, b);
    if (rc == ENOENT && !b->dir->gone) {
        rc = is_reserved(b->name) ? EPERM : 0;
    }
    if (rc == 0) {
        rc = rename_check(u, call, a, b, flags);
    }
    if (rc != 0 || a->node == b->node) {
        return rc;
    }
    bool both = (flags & RENAME_EXCHANGE) != 0;
    struct unode *lower = a->node->upper == 0           ? a->node
                          : both && b->node->upper == 0 ? b->node
                                                        : NULL;
    if (lower != NULL && lower->type != S_IFDIR) {
        *out_copy = cis_unode_ref(u, lower);
        return EAGAIN;
    }
    if (lower != NULL) {
        rc = cis_union_copy_folder(u, call, lower);
        if (rc == 0 && both && b->node->upper == 0) {
            rc = b->node->type == S_IFDIR ? cis_union_copy_folder(u, call, b->node) : EAGAIN;
            if (rc == EAGAIN) {
                *out_copy = cis_unode_ref(u, b->node);
                return rc;
            }
        }
        if (rc != 0) {
            return rc;
        }
    }
    /* Copying may have given them upper names: look again. */
    struct seen again;
    for (int i = 0; i < 2; i++) {
        struct side *s = i == 0 ? a : b;
        if (s->node != NULL && !s->seen.upper && s->node->key[0] == '\0' &&
            cis_union_look(u, call, s->dir, s->name, &again) == 0) {
            part_put(again.upper ? u->up : u->low, again.node);
            s->seen = again;
        }
    }
    return rename_apply(u, call, a, b, flags);
}

int cis_union_rename(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str name, cis_node to_dir, struct cis_str to_name, unsigned flags)
{
    struct unionfs *u = union_of(vfs);
    if (u->vfs.read_only) {
        return EROFS;
    }
    if ((flags | RENAME_NOREPLACE | RENAME_EXCHANGE) != (RENAME_NOREPLACE | RENAME_EXCHANGE) ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE)) {
        return EINVAL;
    }
    int rc = EAGAIN;
    for (int i = 0; rc == EAGAIN && i < RENAME_TRIES; i++) {
        struct side a = {.dir = unode_of(dir), .name = name};
        struct side b = {.dir = unode_of(to_dir), .name = to_name};
        struct unode *copy = NULL;
        cis_rwlock_write(&u->names, union_lock_names);
        rc = rename_once(u, call, &a, &b, flags, &copy);
        cis_rwlock_unlock(&u->names, union_lock_names);
        cis_unode_put(u, a.node, 1);
        cis_unode_put(u, b.node, 1);
        if (rc == EAGAIN) {
            int copied = cis_union_copy_file(u, call, copy, true);
            rc = copied != 0 ? copied : EAGAIN;
            cis_unode_put(u, copy, 1);
        }
    }
    return rc;
}
