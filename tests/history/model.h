/* What a merge should come to, said once more: whole trees instead of rows, sets of commits instead
 * of logs, nothing shared with what is tested. Trees are small. */
#ifndef CIS_TESTS_HISTORY_MODEL_H
#define CIS_TESTS_HISTORY_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_NAMES 96
#define MODEL_NODES 96
#define MODEL_KEYS 3
#define MODEL_COMMITS 512
#define MODEL_BASES 16

struct model_name { /* by (parent, name) */
    uint64_t parent, ino;
    char name[16];
};
struct model_node { /* by ino */
    uint64_t ino;
    uint32_t mode;
    uint64_t content; /* hash; directories: 0 */
    int64_t stamp;    /* when it was modified; directories: 0 */
};
struct model_tree {
    int nnames, nnodes;
    struct model_name names[MODEL_NAMES];
    struct model_node nodes[MODEL_NODES];
    int memory[MODEL_KEYS]; /* 0: none */
};

const struct model_node *model_node(const struct model_tree *tree, uint64_t ino);
uint64_t model_look(const struct model_tree *tree, uint64_t parent, const char *name);
bool model_add_name(struct model_tree *tree, uint64_t parent, const char *name, uint64_t ino);
bool model_add_node(struct model_tree *tree, struct model_node node);
/* NULL, or what differs. */
const char *model_differs(const struct model_tree *a, const struct model_tree *b);

/* NULL: *out is what comes of it; else why there is a conflict. root NULL: the bases come from no
 * one state. */
const char *model_merge(const struct model_tree *const *bases, int nbases,
                        const struct model_tree *root, const struct model_tree *theirs,
                        const struct model_tree *ours, struct model_tree *out);

/* ---- commits, each with all it descends from ---- */
struct model_commit {
    struct model_tree *tree;
    int first; /* the commit before; -1 */
    uint64_t above[MODEL_COMMITS / 64];
};
struct model_graph {
    struct model_commit at[MODEL_COMMITS];
    int n;
};
/* second -1: no merge. The tree is copied. Returns the commit's number. */
int model_commit(struct model_graph *g, int first, int second, const struct model_tree *tree);
bool model_has(const struct model_graph *g, int commit, int above);
/* How many bases two commits have; *root: what several come from, or -1. */
int model_bases(const struct model_graph *g, int a, int b, int out[MODEL_BASES], int *root);
void model_graph_done(struct model_graph *g);

#endif
