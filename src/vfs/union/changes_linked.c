/* Changes of lower files with several names: their copy is in the home folder, so that every folder
 * is looked through for the names that lead to it. */
#include "vfs/union/changes.h"

#include "base/mem.h"

static int linked_file(struct changes *c, const char *path, const struct seen *seen)
{
    char key[UNION_KEY];
    struct cis_vfs_attr copy;
    cis_node node = 0;
    index_key(&seen->attr, key);
    int no = index_copy(c->u, c->call, key, &node, &copy);
    if (no == 0) {
        no = changes_compare(c, path, node, &copy, seen->node, &seen->attr);
        part_put(c->u->up, node);
    }
    return no == ENOENT ? 0 : no;
}

struct linked {
    struct unode *dir; /* referenced */
    char *path;
};

static int linked_look(struct changes *c, struct linked *at, struct linked **stack, size_t *n,
                       size_t *cap, const char *name)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(CHANGES_PATH_BYTES);
    struct seen seen;
    struct unode *node = NULL;
    int no = union_look(c->u, c->call, at->dir, cis_str_of(name), &seen);
    if (no != 0) {
        return no == ENOENT ? 0 : no;
    }
    cis_buf_printf(&path, "%s%s%s", at->path, at->path[0] != 0 ? "/" : "", name);
    if (!S_ISDIR(seen.attr.mode)) {
        if (seen.lower && S_ISREG(seen.attr.mode) && seen.attr.nlink > 1) {
            no = linked_file(c, cis_buf_cstr(&path), &seen);
        }
        part_put(seen.upper ? c->u->up : c->u->low, seen.node);
        return no;
    }
    no = union_node(c->u, c->call, at->dir, cis_str_of(name), &seen, &node);
    if (no != 0) {
        return no;
    }
    struct linked *list = changes_grown(*stack, *n, cap, sizeof *list);
    char *copy = cis_strdup(cis_buf_cstr(&path));
    *stack = list != NULL ? list : *stack;
    if (list == NULL || copy == NULL) {
        cis_free(copy);
        unode_put(c->u, node, 1);
        return ENOMEM;
    }
    (*stack)[(*n)++] = (struct linked){node, copy};
    return 0;
}

int changes_linked(struct changes *c)
{
    struct linked *stack = NULL;
    size_t n = 0, cap = 0;
    struct linked at = {&c->u->root, cis_strdup("")};
    int no = at.path != NULL ? 0 : ENOMEM;
    for (bool more = no == 0; more && no == 0 && !c->stopped;) {
        c->no = 0;
        if (at.dir->lower != 0) {
            no = part_list(c->u->low, c->call, at.dir->lower, changes_gather, c);
            no = no != 0 ? no : c->no;
        }
        size_t lower = c->nentries;
        if (no == 0 && at.dir->upper != 0) { /* folders that only the upper one has, or moved */
            no = part_list(c->u->up, c->call, at.dir->upper, changes_gather, c);
            no = no != 0 ? no : c->no;
        }
        for (size_t i = 0; i < c->nentries && no == 0 && !c->stopped; i++) {
            struct cis_vfs_attr attr;
            bool again = i >= lower && union_lower_has(c->u, c->call, at.dir,
                                                       cis_str_of(c->entries[i].name), &attr);
            no = again ? 0 : linked_look(c, &at, &stack, &n, &cap, c->entries[i].name);
        }
        changes_entries_drop(c);
        more = n > 0;
        if (more) {
            unode_put(c->u, at.dir, 1);
            cis_free(at.path);
            at = stack[--n];
        }
    }
    unode_put(c->u, at.dir, 1);
    cis_free(at.path);
    for (; n > 0; n--) {
        unode_put(c->u, stack[n - 1].dir, 1);
        cis_free(stack[n - 1].path);
    }
    cis_free(stack);
    return no;
}
