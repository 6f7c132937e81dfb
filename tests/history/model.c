#include "model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT 1u

/* ---- trees ---- */
const struct model_node *model_node(const struct model_tree *tree, uint64_t ino)
{
    for (int i = 0; i < tree->nnodes; i++) {
        if (tree->nodes[i].ino == ino) {
            return &tree->nodes[i];
        }
    }
    return NULL;
}

uint64_t model_look(const struct model_tree *tree, uint64_t parent, const char *name)
{
    for (int i = 0; i < tree->nnames; i++) {
        if (tree->names[i].parent == parent && strcmp(tree->names[i].name, name) == 0) {
            return tree->names[i].ino;
        }
    }
    return 0;
}

bool model_add_name(struct model_tree *tree, uint64_t parent, const char *name, uint64_t ino)
{
    int i = tree->nnames;
    if (i == MODEL_NAMES || strlen(name) >= sizeof tree->names->name) {
        return false;
    }
    for (; i > 0 &&
           (tree->names[i - 1].parent > parent ||
            (tree->names[i - 1].parent == parent && strcmp(tree->names[i - 1].name, name) > 0));
         i--) {
        tree->names[i] = tree->names[i - 1];
    }
    tree->nnames++;
    tree->names[i] = (struct model_name){.parent = parent, .ino = ino};
    memcpy(tree->names[i].name, name, strlen(name) + 1);
    return true;
}

static void drop_name(struct model_tree *tree, uint64_t parent, const char *name)
{
    int kept = 0;
    for (int i = 0; i < tree->nnames; i++) {
        if (tree->names[i].parent != parent || strcmp(tree->names[i].name, name) != 0) {
            tree->names[kept++] = tree->names[i];
        }
    }
    tree->nnames = kept;
}

bool model_add_node(struct model_tree *tree, struct model_node node)
{
    int i = 0;
    while (i < tree->nnodes && tree->nodes[i].ino < node.ino) {
        i++;
    }
    if (i < tree->nnodes && tree->nodes[i].ino == node.ino) {
        tree->nodes[i] = node;
        return true;
    }
    if (tree->nnodes == MODEL_NODES) {
        return false;
    }
    memmove(&tree->nodes[i + 1], &tree->nodes[i], (size_t)(tree->nnodes - i) * sizeof node);
    tree->nnodes++;
    tree->nodes[i] = node;
    return true;
}

static void drop_node(struct model_tree *tree, uint64_t ino)
{
    int kept = 0;
    for (int i = 0; i < tree->nnodes; i++) {
        if (tree->nodes[i].ino != ino) {
            tree->nodes[kept++] = tree->nodes[i];
        }
    }
    tree->nnodes = kept;
}

static bool same_node(const struct model_node *a, const struct model_node *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    return a->mode == b->mode && a->content == b->content && a->stamp == b->stamp;
}

const char *model_differs(const struct model_tree *a, const struct model_tree *b)
{
    if (a->nnames != b->nnames) {
        return "the number of names";
    }
    for (int i = 0; i < a->nnames; i++) {
        const struct model_name *x = &a->names[i], *y = &b->names[i];
        if (x->parent != y->parent || x->ino != y->ino || strcmp(x->name, y->name) != 0) {
            return "a name";
        }
    }
    if (a->nnodes != b->nnodes) {
        return "the number of files";
    }
    for (int i = 0; i < a->nnodes; i++) {
        if (a->nodes[i].ino != b->nodes[i].ino || !same_node(&a->nodes[i], &b->nodes[i])) {
            return "a file";
        }
    }
    return memcmp(a->memory, b->memory, sizeof a->memory) != 0 ? "memory" : NULL;
}

/* ---- merging ---- */
struct merging {
    const struct model_tree *const *bases;
    int nbases;
    const struct model_tree *root, *theirs, *ours;
    struct model_tree *out;
};

/* Which base counts, by the values they have; -1: none does. same(i, k): k nbases is the root. */
static int settle(const struct merging *m,
                  bool (*same)(const struct merging *, int, int, const void *), const void *key)
{
    bool all = true;
    int changed = -1;
    for (int i = 1; i < m->nbases; i++) {
        all = all && same(m, 0, i, key);
    }
    if (all) {
        return 0;
    }
    for (int i = 0; i < m->nbases; i++) {
        if (m->root == NULL) {
            return -1;
        }
        if (same(m, i, m->nbases, key)) {
            continue;
        }
        if (changed >= 0 && !same(m, i, changed, key)) {
            return -1;
        }
        changed = changed >= 0 ? changed : i;
    }
    return changed;
}

static const struct model_tree *base_at(const struct merging *m, int i)
{
    return i == m->nbases ? m->root : m->bases[i];
}

static bool same_names(const struct merging *m, int i, int k, const void *key)
{
    const struct model_name *n = key;
    return model_look(base_at(m, i), n->parent, n->name) ==
           model_look(base_at(m, k), n->parent, n->name);
}

static bool same_nodes(const struct merging *m, int i, int k, const void *key)
{
    uint64_t ino = *(const uint64_t *)key;
    return same_node(model_node(base_at(m, i), ino), model_node(base_at(m, k), ino));
}

static bool same_memory(const struct merging *m, int i, int k, const void *key)
{
    int at = *(const int *)key;
    return base_at(m, i)->memory[at] == base_at(m, k)->memory[at];
}

static const struct model_node *base_node(const struct merging *m, uint64_t ino, bool *unsure)
{
    int i = settle(m, same_nodes, &ino);
    *unsure = i < 0;
    return model_node(m->bases[i < 0 ? 0 : i], ino);
}

static const char *merge_name(struct merging *m, const struct model_name *n)
{
    bool unsure;
    uint64_t o = model_look(m->ours, n->parent, n->name);
    uint64_t t = model_look(m->theirs, n->parent, n->name);
    int i = settle(m, same_names, n);
    uint64_t b = model_look(m->bases[i < 0 ? 0 : i], n->parent, n->name);
    if (o == t) {
        return NULL;
    }
    if (i < 0) {
        return "a name without a base";
    }
    if (b == t) {
        return NULL;
    }
    if (o != b) {
        return "a name changed on both sides";
    }
    if (t != 0 && model_node(m->ours, n->parent) == NULL &&
        base_node(m, n->parent, &unsure) != NULL) {
        return "a name in a directory that was removed";
    }
    drop_name(m->out, n->parent, n->name);
    return t == 0 || model_add_name(m->out, n->parent, n->name, t) ? NULL : "full";
}

static const char *merge_node(struct merging *m, uint64_t ino)
{
    bool unsure;
    const struct model_node *b = base_node(m, ino, &unsure);
    const struct model_node *o = model_node(m->ours, ino), *t = model_node(m->theirs, ino);
    if (unsure) {
        return same_node(o, t) ? NULL : "a file without a base";
    }
    if (same_node(b, t) || same_node(o, t)) {
        return NULL;
    }
    bool dir = S_ISDIR(b != NULL ? b->mode : t->mode);
    if (t == NULL) {
        if (o != NULL && !dir && !same_node(o, b)) {
            return "removed there, changed here";
        }
        drop_node(m->out, ino);
        return NULL;
    }
    if (b != NULL && o == NULL) {
        return "changed there, removed here";
    }
    if (o != NULL && !same_node(o, b)) {
        return "changed on both sides";
    }
    return model_add_node(m->out, *t) ? NULL : "full";
}

static int count(const struct model_tree *tree, uint64_t ino)
{
    int n = 0;
    for (int i = 0; i < tree->nnames; i++) {
        n += tree->names[i].ino == ino ? 1 : 0;
    }
    return n;
}

/* Names that theirs gave the file minus those it took, each from its own base. */
static int meant(const struct merging *m, uint64_t ino)
{
    int n = 0;
    const struct model_tree *trees[MODEL_BASES + 1];
    for (int i = 0; i <= m->nbases; i++) {
        trees[i] = i < m->nbases ? m->bases[i] : m->theirs;
    }
    for (int i = 0; i <= m->nbases; i++) {
        for (int k = 0; k < trees[i]->nnames; k++) {
            const struct model_name *name = &trees[i]->names[k];
            bool seen = false;
            for (int before = 0; before < i; before++) {
                seen = seen || model_look(trees[before], name->parent, name->name) != 0;
            }
            int base = settle(m, same_names, name);
            uint64_t b = model_look(m->bases[base < 0 ? 0 : base], name->parent, name->name);
            uint64_t t = model_look(m->theirs, name->parent, name->name);
            n += seen || b == t ? 0 : (t == ino) - (b == ino);
        }
    }
    return n;
}

static const char *check_node(const struct merging *m, uint64_t ino)
{
    bool unsure;
    const struct model_node *b = base_node(m, ino, &unsure);
    const struct model_node *o = model_node(m->ours, ino), *t = model_node(m->theirs, ino);
    int had = count(m->ours, ino), names = count(m->out, ino);
    if (ino == ROOT) {
        return NULL;
    }
    if (o == NULL) {
        return b != NULL && names > 0 ? "named anew there, removed here" : NULL;
    }
    if (t == NULL) {
        return b != NULL && names > 0 ? "removed there, renamed here" : NULL;
    }
    if (names == 0) {
        return "each side removed another name";
    }
    if (S_ISDIR(o->mode) && names != 1) {
        return "a directory renamed on both sides";
    }
    if (b != NULL && names > had && names - had > meant(m, ino)) {
        return "renamed on both sides";
    }
    return (b == NULL || unsure) && names != had ? "added on both sides by other names" : NULL;
}

static bool reaches_root(const struct model_tree *tree, uint64_t ino)
{
    for (int steps = 0; steps < MODEL_NAMES; steps++) {
        if (ino == ROOT) {
            return true;
        }
        int i = 0;
        while (i < tree->nnames && tree->names[i].ino != ino) {
            i++;
        }
        if (i == tree->nnames) {
            return false;
        }
        ino = tree->names[i].parent;
    }
    return false;
}

static const char *check_all(struct merging *m)
{
    for (int i = 0; i < m->ours->nnodes; i++) {
        const struct model_node *o = &m->ours->nodes[i];
        for (int k = 0;
             S_ISDIR(o->mode) && model_node(m->out, o->ino) == NULL && k < m->out->nnames; k++) {
            if (m->out->names[k].parent == o->ino) {
                return "removed there, has other names here";
            }
        }
    }
    for (int i = 0; i < m->out->nnames; i++) {
        if (!reaches_root(m->out, m->out->names[i].parent)) {
            return "a directory below itself";
        }
    }
    for (int i = m->out->nnodes; i-- > 0;) { /* what came for a name that was not taken */
        uint64_t ino = m->out->nodes[i].ino;
        if (ino != ROOT && count(m->out, ino) == 0) {
            drop_node(m->out, ino);
        }
    }
    return NULL;
}

static const char *for_all_nodes(struct merging *m, const char *(*each)(struct merging *, uint64_t))
{
    const struct model_tree *trees[MODEL_BASES + 2] = {m->ours, m->theirs};
    int n = 2;
    for (int i = 0; i < m->nbases; i++) {
        trees[n++] = m->bases[i];
    }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < trees[i]->nnodes; k++) {
            const char *why = each(m, trees[i]->nodes[k].ino);
            if (why != NULL) {
                return why;
            }
        }
    }
    return NULL;
}

static const char *check_each(struct merging *m, uint64_t ino)
{
    return check_node(m, ino);
}

const char *model_merge(const struct model_tree *const *bases, int nbases,
                        const struct model_tree *root, const struct model_tree *theirs,
                        const struct model_tree *ours, struct model_tree *out)
{
    struct merging m = {bases, nbases, root, theirs, ours, out};
    const char *why = NULL;
    *out = *ours;
    for (int i = 0; i < theirs->nnames && why == NULL; i++) {
        why = merge_name(&m, &theirs->names[i]);
    }
    for (int i = 0; i < ours->nnames && why == NULL; i++) {
        bool there = model_look(theirs, ours->names[i].parent, ours->names[i].name) != 0;
        why = there ? NULL : merge_name(&m, &ours->names[i]);
    }
    why = why != NULL ? why : for_all_nodes(&m, merge_node);
    why = why != NULL ? why : for_all_nodes(&m, check_each);
    why = why != NULL ? why : check_all(&m);
    for (int i = 0; i < MODEL_KEYS && why == NULL; i++) {
        int at = settle(&m, same_memory, &i), o = ours->memory[i], t = theirs->memory[i];
        int b = bases[at < 0 ? 0 : at]->memory[i];
        if (o == t || (at >= 0 && b == t)) {
            continue;
        }
        why = at < 0 || o != b ? "memory changed on both sides" : NULL;
        out->memory[i] = t;
    }
    return why;
}

/* ---- commits ---- */
bool model_has(const struct model_graph *g, int commit, int above)
{
    return (g->at[commit].above[above / 64] >> (above % 64) & 1) != 0;
}

int model_commit(struct model_graph *g, int first, int second, const struct model_tree *tree)
{
    int id = g->n++;
    struct model_commit *c = &g->at[id];
    memset(c, 0, sizeof *c);
    c->first = first;
    c->tree = malloc(sizeof *tree);
    *c->tree = *tree;
    for (int i = 0; i < MODEL_COMMITS / 64; i++) {
        c->above[i] =
            (first >= 0 ? g->at[first].above[i] : 0) | (second >= 0 ? g->at[second].above[i] : 0);
    }
    c->above[id / 64] |= (uint64_t)1 << (id % 64);
    return id;
}

static int last_of(const struct model_graph *g, const uint64_t *set, int out[MODEL_BASES])
{
    int n = 0;
    for (int i = 0; i < g->n; i++) {
        bool last = (set[i / 64] >> (i % 64) & 1) != 0;
        for (int k = i + 1; k < g->n && last; k++) {
            last = (set[k / 64] >> (k % 64) & 1) == 0 || !model_has(g, k, i);
        }
        if (last && n < MODEL_BASES) {
            out[n++] = i;
        }
    }
    return n;
}

int model_bases(const struct model_graph *g, int a, int b, int out[MODEL_BASES], int *root)
{
    uint64_t set[MODEL_COMMITS / 64];
    int roots[MODEL_BASES];
    for (int i = 0; i < MODEL_COMMITS / 64; i++) {
        set[i] = g->at[a].above[i] & g->at[b].above[i];
    }
    int n = last_of(g, set, out);
    *root = -1;
    for (int i = 0; i < MODEL_COMMITS / 64 && n > 1; i++) {
        set[i] = UINT64_MAX;
        for (int k = 0; k < n; k++) {
            set[i] &= g->at[out[k]].above[i];
        }
    }
    if (n > 1 && last_of(g, set, roots) == 1) {
        *root = roots[0];
    }
    return n;
}

void model_graph_done(struct model_graph *g)
{
    for (int i = 0; i < g->n; i++) {
        free(g->at[i].tree);
    }
    g->n = 0;
}
