/* Changes of lower files with several names: their copy is in the home folder, so that every folder
 * is looked through for the names that lead to it. */
#include "vfs/union/changes.h"

#include "base/mem.h"

struct linked {        /* a folder on the way to where we are */
    struct unode *dir; /* referenced */
    size_t path;
    struct names names;
};
struct way {
    struct changes *c;
    struct linked *stack;
    size_t n, cap;
    uint64_t charged;
};

static int linked_file(struct changes *c, const struct seen *seen)
{
    char key[UNION_KEY];
    struct cis_vfs_attr copy;
    cis_node node = 0;
    bool known;
    int rc = cis_union_index_hash(c->u, c->call, &seen->attr, key, &known);
    if (rc != 0 || !known) {
        return rc;
    }
    rc = cis_union_index_copy(c->u, c->call, key, &node, &copy);
    if (rc == 0) {
        rc = cis_union_changes_compare(c, node, &copy, seen->node, &seen->attr);
        part_put(c->u->up, node);
    }
    return rc == ENOENT ? 0 : rc;
}

static void linked_done(struct way *w, struct linked *at)
{
    cis_union_changes_names_done(w->c, &at->names);
    cis_unode_put(w->c->u, at->dir, 1);
}

/* Takes over the node. Names that only the upper folder has lead to folders, too: made, or moved.
 */
static int linked_push(struct way *w, struct unode *dir)
{
    struct changes *c = w->c;
    struct linked at = {.dir = dir, .path = c->path.len};
    struct linked *list =
        cis_union_changes_grown(c, w->stack, w->n, &w->cap, sizeof *list, &w->charged);
    w->stack = list != NULL ? list : w->stack;
    int rc = list != NULL ? cis_union_changes_names(c, dir->upper, dir->lower, &at.names) : ENOMEM;
    if (rc != 0) {
        linked_done(w, &at);
        return rc;
    }
    w->stack[w->n++] = at;
    return 0;
}

static int linked_look(struct way *w)
{
    struct changes *c = w->c;
    struct linked *in = &w->stack[w->n - 1];
    struct cis_str name = name_of(&in->names, in->names.next++);
    struct seen seen;
    struct unode *node = NULL;
    int rc = cis_union_changes_enter(c, in->path, name);
    rc = rc != 0 ? rc : cis_union_look(c->u, c->call, in->dir, name, &seen);
    if (rc != 0) {
        return rc == ENOENT ? 0 : rc;
    }
    if (!S_ISDIR(seen.attr.mode)) {
        if (seen.lower && S_ISREG(seen.attr.mode)) {
            rc = linked_file(c, &seen);
        }
        part_put(seen.upper ? c->u->up : c->u->low, seen.node);
        return rc;
    }
    rc = cis_union_node(c->u, c->call, in->dir, name, &seen, &node);
    return rc != 0 ? rc : linked_push(w, node);
}

int cis_union_changes_linked(struct changes *c)
{
    struct way w = {.c = c};
    c->path.len = 0;
    int rc = linked_push(&w, cis_unode_ref(c->u, &c->u->root));
    while (rc == 0 && w.n > 0 && !c->stopped) {
        struct linked *top = &w.stack[w.n - 1];
        if (top->names.next < top->names.n) {
            rc = linked_look(&w);
            rc = rc != 0 ? rc : cis_union_changes_turn(c);
        } else {
            linked_done(&w, top);
            w.n--;
        }
    }
    while (w.n > 0) {
        linked_done(&w, &w.stack[--w.n]);
    }
    cis_free(w.stack);
    cis_union_changes_release(c, w.charged);
    return rc;
}
