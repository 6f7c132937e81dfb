/* What a view changed: nodes by inode number, names by (directory, name). All functions run under
 * all stripes, or before anyone else sees the view. Memory is charged before it is allocated. */
#include "vfs/layered/view.h"

#include <inttypes.h>
#include "base/clock.h"

int cis_lay_charge(struct lay_op *op, uint64_t bytes)
{
    return cis_lay_errno(
        cis_budget_charge(op->v->budget, bytes, "uncommitted changes of files", lay_err(op->call)));
}

void cis_lay_release(struct lay_view *v, uint64_t bytes)
{
    cis_budget_release(v->budget, bytes);
}

void cis_lay_now(const struct lay_view *v, struct cis_fs_time *out)
{
    struct timespec now;
    v->clock(&now);
    *out = (struct cis_fs_time){now.tv_sec, (uint32_t)now.tv_nsec};
}

void cis_lay_touch(struct lay_view *v, struct lay_node *node)
{
    node->gen = ++v->gen;
}

/* ---- nodes ---- */
enum { NODE_COST = sizeof(struct lay_node) + 32, NAME_COST = sizeof(struct lay_name) + 32 };

int cis_lay_node_make(struct lay_op *op, const struct cis_fs_inode *row, bool is_new,
                      struct lay_node **out)
{
    struct lay_view *v = op->v;
    int rc = cis_lay_charge(op, NODE_COST);
    if (rc != 0) {
        return rc;
    }
    struct lay_node *node = cis_zalloc(sizeof *node);
    if (node == NULL || !cis_lay_table_ready(&v->nodes)) {
        cis_free(node);
        cis_lay_release(v, NODE_COST);
        return ENOMEM;
    }
    node->ino = row->ino;
    node->now = *row;
    node->now.data = (struct cis_bytes){NULL, 0};
    node->base = node->now;
    node->is_new = is_new;
    node->keep = is_new || !S_ISREG(row->mode) ? 0 : row->size;
    node->cut = UINT64_MAX;
    node->charged = NODE_COST;
    cis_lay_touch(v, node);
    (void)cis_lay_refs_sum(v, row->ino, &node->hint);
    cis_lay_table_put(&v->nodes, row->ino, node);
    *out = node;
    return 0;
}

int cis_lay_node_get(struct lay_op *op, uint64_t ino, struct lay_node **out)
{
    struct cis_fs_inode row;
    int rc = cis_lay_inode(op, ino, &row, out);
    if (rc != 0 || *out != NULL) {
        return rc;
    }
    return cis_lay_node_make(op, &row, false, out);
}

static void name_free(struct lay_view *v, struct lay_name *name)
{
    cis_lay_release(v, NAME_COST + (uint64_t)name->len);
    cis_free(name);
}

/* Out of the table; the directory's list is the caller's. */
static void name_untable(struct lay_view *v, struct lay_name *name)
{
    struct lay_name *first = cis_lay_table_get(&v->names, name->hash.a);
    if (first == name) {
        if (name->chain != NULL) {
            cis_lay_table_put(&v->names, name->hash.a, name->chain);
        } else {
            (void)cis_lay_table_remove(&v->names, name->hash.a);
        }
        return;
    }
    while (first->chain != name) {
        first = first->chain;
    }
    first->chain = name->chain;
}

void cis_lay_node_drop(struct lay_view *v, struct lay_node *node)
{
    cis_lay_blocks_drop(v, node);
    for (struct lay_name *n = node->names, *next; n != NULL; n = next) {
        next = n->next;
        name_untable(v, n);
        name_free(v, n);
    }
    v->ngone -= node->gone;
    v->nameless -= node->nameless;
    v->weight -= node->weight;
    (void)cis_lay_table_remove(&v->nodes, node->ino);
    cis_lay_release(v, node->charged);
    v->targets -= node->target != NULL ? strlen(node->target) : 0;
    cis_free(node->target);
    cis_free(node);
}

bool cis_lay_node_clean(const struct lay_node *node)
{
    return !node->is_new && !node->row && !node->dirattr && !node->moved && !node->touched &&
           !node->gone && node->names == NULL && node->blocks.count == 0;
}

void cis_lay_node_gone(struct lay_view *v, struct lay_node *node)
{
    if (!node->gone) {
        node->gone = true;
        v->ngone++;
    }
    cis_lay_node_reap(v, node);
}

/* A node without names whose last holder left: its content goes, and what the commit does not have
 * to know goes too. */
void cis_lay_node_reap(struct lay_view *v, struct lay_node *node)
{
    cis_lay_quota_nameless(v, node);
    if (cis_lay_refs_sum(v, node->ino, NULL) > 0) {
        return;
    }
    if (node->held) {
        return; /* the commit that is on its way decides what there is to forget */
    }
    if (node->is_new || node->gone_committed) {
        cis_lay_node_drop(v, node);
        return;
    }
    cis_lay_blocks_drop(v, node);
    node->keep = 0;
    cis_lay_quota_cut(v, node);
}

/* ---- names ---- */
struct lay_name *cis_lay_name_find(const struct lay_view *v, struct lay_hash hash)
{
    struct lay_name *n = cis_lay_table_get(&v->names, hash.a);
    while (n != NULL && n->hash.b != hash.b) {
        n = n->chain;
    }
    return n;
}

int cis_lay_name_ready(struct lay_op *op, struct lay_node *dir, struct cis_str name,
                       const struct lay_found *found, struct lay_name **out)
{
    struct lay_view *v = op->v;
    if (found->name != NULL) {
        *out = found->name;
        return 0;
    }
    uint64_t cost = NAME_COST + name.len;
    int rc = cis_lay_charge(op, cost);
    if (rc != 0) {
        return rc;
    }
    struct lay_name *n = cis_zalloc(cis_size_add(sizeof *n, cis_size_add(name.len, 1)));
    if (n == NULL || !cis_lay_table_ready(&v->names)) {
        cis_free(n);
        cis_lay_release(v, cost);
        return ENOMEM;
    }
    n->hash = found->hash;
    n->parent = dir->ino;
    n->ino = n->base_ino = found->base_ino;
    n->type = n->base_type = found->base_type;
    n->len = (uint8_t)name.len;
    memcpy(n->name, name.ptr, name.len);
    n->chain = cis_lay_table_get(&v->names, n->hash.a);
    cis_lay_table_put(&v->names, n->hash.a, n);
    n->next = dir->names;
    if (n->next != NULL) {
        n->next->prev = n;
    }
    dir->names = n;
    dir->nnames += n->ino != 0;
    *out = n;
    return 0;
}

void cis_lay_name_set(struct lay_view *v, struct lay_node *dir, struct lay_name *name, uint64_t ino,
                      uint32_t type)
{
    dir->nnames -= name->ino != 0;
    dir->ngone -= name->ino == 0 && name->base_ino != 0;
    name->ino = ino;
    name->type = type;
    name->gen = ++v->gen;
    dir->nnames += ino != 0;
    dir->ngone += ino == 0 && name->base_ino != 0;
    v->name_changes++;
    cis_lay_name_settle(v, dir, name);
}

void cis_lay_name_settle(struct lay_view *v, struct lay_node *dir, struct lay_name *name)
{
    if (name->ino != name->base_ino || name->held) {
        return;
    }
    dir->nnames -= name->ino != 0;
    *(name->prev != NULL ? &name->prev->next : &dir->names) = name->next;
    if (name->next != NULL) {
        name->next->prev = name->prev;
    }
    name_untable(v, name);
    name_free(v, name);
}
