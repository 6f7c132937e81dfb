/* The filesystem above: each operation goes to the tree its node belongs to. Changes are only for
 * the working head, and wait while it is switched. */
#include "vfs/control/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include "base/mem.h"

static bool is_name(struct cis_str name)
{
    return cis_str_is(name, CIS_CONTROL_NAME);
}

/* ---- changes ---- */

/* Begins a change of the node's tree: EROFS, or 0 with turn held. */
/* Holds turn when it gives 0: clang cannot follow that. */
CIS_LOCK_UNCHECKED static int change_begin(struct ctl *c, cis_node node, struct ctl_slot **out_slot,
                                           cis_node *out_below)
{
    if (ctl_is(node)) {
        return EPERM;
    }
    cis_rwlock_read(&c->turn, ctl_lock_turn);
    struct ctl_slot *slot = ctl_slot_of(c, node, out_below);
    if (slot != c->slots[atomic_load(&c->current)] || atomic_load(&c->sealed)) {
        cis_rwlock_unlock(&c->turn, ctl_lock_turn);
        return EROFS;
    }
    *out_slot = slot;
    return 0;
}

CIS_LOCK_UNCHECKED static void change_end(struct ctl *c)
{
    cis_rwlock_unlock(&c->turn, ctl_lock_turn);
}

static unsigned slot_number(const struct ctl *c, const struct ctl_slot *slot)
{
    unsigned i = 0;
    while (c->slots[i] != slot) {
        i++;
    }
    return i;
}

/* A node of a tree below as one of ours, counted. */
static int node_out(struct ctl *c, struct ctl_slot *slot, cis_node below, cis_node *out_node,
                    struct cis_vfs_attr *attr)
{
    unsigned number = slot == c->slots[0] ? 0 : slot_number(c, slot);
    if (below > CTL_LOW) {
        cis_vfs_forget(slot->vfs, below, 1);
        return EOVERFLOW;
    }
    if (number != 0) {
        atomic_fetch_add(&slot->refs, 1);
    }
    *out_node = (cis_node)number << CTL_SHIFT | below;
    if (attr != NULL && !slot->head) {
        attr->ino |= (uint64_t)number << CTL_SHIFT;
    }
    return 0;
}

/* ---- nodes ---- */

static int op_lookup(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str name, cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    struct ctl *c = ctl_of(vfs);
    if (ctl_is(dir)) {
        return cis_ctl_tree_lookup(c, call, ctl_id_of(dir), name, out_node, out_attr);
    }
    if (dir == vfs->root && is_name(name)) {
        return cis_ctl_tree_lookup(c, call, CTL_NONE, name, out_node, out_attr);
    }
    cis_node below, node;
    struct ctl_slot *slot = ctl_slot_of(c, dir, &below);
    int rc = cis_vfs_lookup(slot->vfs, call, below, name, &node, out_attr);
    return rc != 0 ? rc : node_out(c, slot, node, out_node, out_attr);
}

static void count(cis_vfs *vfs, cis_node node, uint64_t n, bool more)
{
    struct ctl *c = ctl_of(vfs);
    if (ctl_is(node) || node == vfs->root) {
        return;
    }
    cis_node below;
    struct ctl_slot *slot = ctl_slot_of(c, node, &below);
    if (more) {
        cis_vfs_ref(slot->vfs, below, n);
    } else if (below != slot->vfs->root) {
        cis_vfs_forget(slot->vfs, below, n);
    }
    if (slot != c->slots[0] && more) {
        atomic_fetch_add(&slot->refs, n);
    } else if (slot != c->slots[0]) {
        atomic_fetch_sub(&slot->refs, n);
    }
}

static void op_ref(cis_vfs *vfs, cis_node node, uint64_t n)
{
    count(vfs, node, n, true);
}

static void op_forget(cis_vfs *vfs, cis_node node, uint64_t n)
{
    count(vfs, node, n, false);
}

static int op_getattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                      struct cis_vfs_attr *out)
{
    struct ctl *c = ctl_of(vfs);
    if (ctl_is(node)) {
        cis_ctl_tree_attr(c, ctl_id_of(node), out);
        return 0;
    }
    cis_node below;
    struct ctl_slot *slot = ctl_slot_of(c, node, &below);
    int rc = cis_vfs_getattr(slot->vfs, call, below, out);
    if (rc == 0 && !slot->head) {
        out->ino |= node & ~CTL_LOW;
    }
    return rc;
}

static int op_setattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                      const struct cis_vfs_set *set, struct cis_vfs_attr *out)
{
    struct ctl *c = ctl_of(vfs);
    if (ctl_is(node)) { /* O_TRUNC of a shell's ">" */
        enum ctl_id id = ctl_id_of(node);
        if (cis_ctl_rows[id].kind != CTL_VERB || (set->bits & 07u) != 0 || set->size != 0) {
            return EPERM;
        }
        if (out != NULL) {
            cis_ctl_tree_attr(c, id, out);
        }
        return 0;
    }
    struct ctl_slot *slot;
    cis_node below;
    int rc = change_begin(c, node, &slot, &below);
    if (rc == 0) {
        rc = cis_vfs_setattr(slot->vfs, call, below, set, out);
        change_end(c);
    }
    return rc;
}

static int op_readlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                       struct cis_buf *out)
{
    cis_node below;
    if (ctl_is(node)) {
        return EINVAL;
    }
    struct ctl_slot *slot = ctl_slot_of(ctl_of(vfs), node, &below);
    return cis_vfs_readlink(slot->vfs, call, below, out);
}

/* ---- names ---- */

static int op_make(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir, struct cis_str name,
                   const struct cis_vfs_make *make, cis_node *out_node,
                   struct cis_vfs_attr *out_attr)
{
    struct ctl *c = ctl_of(vfs);
    struct ctl_slot *slot;
    cis_node below, node;
    if (dir == vfs->root && is_name(name)) {
        return EEXIST;
    }
    int rc = change_begin(c, dir, &slot, &below);
    if (rc == 0) {
        rc = cis_vfs_make(slot->vfs, call, below, name, make, &node, out_attr);
        if (rc == 0) {
            rc = node_out(c, slot, node, out_node, out_attr);
        }
        change_end(c);
    }
    return rc;
}

static int op_link(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node file, cis_node dir,
                   struct cis_str name, struct cis_vfs_attr *out_attr)
{
    struct ctl *c = ctl_of(vfs);
    struct ctl_slot *slot;
    cis_node below, below_file;
    if (dir == vfs->root && is_name(name)) {
        return EEXIST;
    }
    if (ctl_is(file)) {
        return EXDEV;
    }
    int rc = change_begin(c, dir, &slot, &below);
    if (rc == 0) {
        const struct ctl_slot *from = ctl_slot_of(c, file, &below_file);
        rc = cis_vfs_link(call, cis_vfs_at(from->vfs, below_file), cis_vfs_at(slot->vfs, below),
                          name, out_attr);
        change_end(c);
    }
    return rc;
}

static int remove_name(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                       struct cis_str name, bool is_dir)
{
    struct ctl *c = ctl_of(vfs);
    struct ctl_slot *slot;
    cis_node below;
    if (dir == vfs->root && is_name(name)) {
        return EPERM;
    }
    int rc = change_begin(c, dir, &slot, &below);
    if (rc == 0) {
        rc = is_dir ? cis_vfs_rmdir(slot->vfs, call, below, name)
                    : cis_vfs_unlink(slot->vfs, call, below, name);
        change_end(c);
    }
    return rc;
}

static int op_unlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str name)
{
    return remove_name(vfs, call, dir, name, false);
}

static int op_rmdir(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                    struct cis_str name)
{
    return remove_name(vfs, call, dir, name, true);
}

static int op_rename(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str name, cis_node to_dir, struct cis_str to_name, unsigned flags)
{
    struct ctl *c = ctl_of(vfs);
    struct ctl_slot *slot;
    cis_node below, below_to;
    if ((dir == vfs->root && is_name(name)) || (to_dir == vfs->root && is_name(to_name))) {
        return EPERM;
    }
    if (ctl_is(to_dir)) {
        return EPERM;
    }
    int rc = change_begin(c, dir, &slot, &below);
    if (rc == 0) {
        const struct ctl_slot *to = ctl_slot_of(c, to_dir, &below_to);
        rc = cis_vfs_rename(call, cis_vfs_at(slot->vfs, below), name, cis_vfs_at(to->vfs, below_to),
                            to_name, flags);
        change_end(c);
    }
    return rc;
}

/* ---- opening ---- */

static int op_open(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node, int flags,
                   cis_vfs_file **out_file)
{
    struct ctl *c = ctl_of(vfs);
    struct ctl_slot *slot;
    cis_vfs_file *file;
    cis_node below;
    if (ctl_is(node)) {
        return cis_ctl_tree_open(c, ctl_id_of(node), flags, out_file);
    }
    bool change = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
    int rc = 0;
    if (change) {
        rc = change_begin(c, node, &slot, &below);
    } else {
        slot = ctl_slot_of(c, node, &below);
    }
    if (rc == 0) {
        rc = cis_vfs_open(slot->vfs, call, below, flags, &file);
        if (change) {
            change_end(c);
        }
    }
    return rc != 0 ? rc : cis_ctl_file_out(c, slot, node, flags, file, out_file);
}

static int op_create(cis_vfs *vfs, const struct cis_vfs_call *call,
                     const struct cis_vfs_create_request *r, cis_vfs_file **out_file,
                     cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    struct ctl *c = ctl_of(vfs);
    struct ctl_slot *slot;
    cis_vfs_file *file;
    cis_node below, node;
    if (r->dir == vfs->root && is_name(r->name)) {
        return EEXIST;
    }
    int rc = change_begin(c, r->dir, &slot, &below);
    if (rc != 0) {
        return rc;
    }
    struct cis_vfs_create_request there = *r;
    there.dir = below;
    rc = cis_vfs_create(slot->vfs, call, &there, &file, &node, out_attr);
    if (rc == 0 && (rc = node_out(c, slot, node, out_node, out_attr)) != 0) {
        cis_vfs_release(file);
    } else if (rc == 0 &&
               (rc = cis_ctl_file_out(c, slot, *out_node, r->flags, file, out_file)) != 0) {
        op_forget(vfs, *out_node, 1);
    }
    change_end(c);
    return rc;
}

/* ---- the whole ---- */

static int op_statfs(cis_vfs *vfs, const struct cis_vfs_call *call, struct cis_vfs_usage *out)
{
    cis_vfs *head = cis_control_head(vfs);
    return cis_vfs_statfs(head, call, out);
}

static int op_flush(cis_vfs *vfs, const struct cis_vfs_call *call)
{
    cis_vfs *head = cis_control_head(vfs);
    /* What a sealed head still has went elsewhere, or nowhere: that was told when it was sealed. */
    return atomic_load(&ctl_of(vfs)->sealed) ? EROFS : cis_vfs_flush(head, call);
}

static bool op_fickle(cis_vfs *vfs, cis_node node)
{
    (void)vfs;
    return ctl_is(node);
}

static void op_close(cis_vfs *vfs)
{
    struct ctl *c = ctl_of(vfs);
    cis_lock_alone(ctl_lock_state);
    for (unsigned i = 0; i < c->nslots; i++) {
        cis_vfs_close(c->slots[i]->vfs);
        cis_free(c->slots[i]);
    }
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->verb);
    pthread_rwlock_destroy(&c->turn);
    cis_free(c->tenant);
    cis_free(c->ref);
    cis_free(c);
}

static const struct cis_vfs_ops control_ops = {
    .size = sizeof(struct cis_vfs_ops),
    .name = "control",
    .close = op_close,
    .lookup = op_lookup,
    .ref = op_ref,
    .forget = op_forget,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .readlink = op_readlink,
    .make = op_make,
    .link = op_link,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .rename = op_rename,
    .open = op_open,
    .create = op_create,
    .release = cis_ctl_op_release,
    .read = cis_ctl_op_read,
    .write = cis_ctl_op_write,
    .sync = cis_ctl_op_sync,
    .allocate = cis_ctl_op_allocate,
    .seek = cis_ctl_op_seek,
    .readdir = cis_ctl_op_readdir,
    .statfs = op_statfs,
    .flush = op_flush,
    .fickle = op_fickle,
};

cis_code cis_control_new(cis_vfs *head, const struct cis_control_options *options,
                         cis_vfs **out_vfs, struct cis_error *err)
{
    struct ctl *c = cis_zalloc(sizeof *c);
    struct ctl_slot *slot = cis_zalloc(sizeof *slot);
    char *tenant = cis_strndup(options->tenant.ptr, options->tenant.len);
    char *ref = cis_strndup(options->ref.len != 0 ? options->ref.ptr : "", options->ref.len);
    if (c == NULL || slot == NULL || tenant == NULL || ref == NULL) {
        cis_free(c);
        cis_free(slot);
        cis_free(tenant);
        cis_free(ref);
        return cis_fail(err, CIS_E_NOMEM, "mount: out of memory");
    }
    *slot = (struct ctl_slot){.vfs = head, .head = true};
    c->vfs = (cis_vfs){.ops = &control_ops, .root = head->root, .read_only = head->read_only};
    c->o = *options;
    c->tenant = tenant;
    c->ref = ref;
    c->o.tenant = cis_str_of(tenant);
    c->o.ref = cis_str_of(ref);
    cis_lock_alone(ctl_lock_state);
    c->slots[c->nslots++] = slot;
    clock_gettime(CLOCK_REALTIME, &c->born);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->verb, NULL);
    pthread_rwlock_init(&c->turn, NULL);
    *out_vfs = &c->vfs;
    return CIS_OK;
}

void cis_control_seal(cis_vfs *vfs)
{
    struct ctl *c = ctl_of(vfs);
    cis_rwlock_write(&c->turn, ctl_lock_turn);
    atomic_store(&c->sealed, true);
    cis_rwlock_unlock(&c->turn, ctl_lock_turn);
}

cis_vfs *cis_control_head(cis_vfs *vfs)
{
    struct ctl *c = ctl_of(vfs);
    return c->slots[atomic_load(&c->current)]->vfs;
}
