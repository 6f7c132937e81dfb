/* Going through a tree of a vfs, directory by directory, in order of names, without recursion, at
 * any depth. */
#ifndef CIS_HISTORY_TREE_H
#define CIS_HISTORY_TREE_H

#include "vfs/vfs.h"

struct cis_tree_entry {
    cis_vfs *vfs;
    cis_node dir;  /* 0 for the first */
    cis_node node; /* directories always, others with CIS_TREE_NODES; else 0. Borrowed */
    struct cis_str name, path;
    const struct cis_vfs_attr *attr;
    unsigned depth; /* 0: where the walk began */
    bool after;     /* a directory once more, behind what is in it */
    bool last;      /* of its directory */
    int rc;         /* CIS_TREE_FAILURES: why it, or what is in it, cannot be read; else 0 */
};
enum cis_tree_flags {
    CIS_TREE_NODES = 1, /* node is set for everything */
    CIS_TREE_AFTER = 2, /* directories are visited behind their entries too */
    /* What cannot be looked up, and once more a directory that cannot be listed, is visited with
     * `no` set and has no entries; else it ends the walk. */
    CIS_TREE_FAILURES = 4,
};
/* *descend (true) may be set false for a directory. An error ends the walk. */
typedef cis_code cis_tree_visit(void *self, const struct cis_tree_entry *entry, bool *descend,
                                struct cis_error *err);
/* An errno of the vfs about a path, with what the filesystem said of it where that is more. */
cis_code cis_tree_fail(const struct cis_vfs_call *call, int rc, const char *what,
                       struct cis_str path, struct cis_error *err);
/* From node (a directory or not), which messages and paths call `path`. A directory is gone into
 * once: where a damaged store leads to it again the walk ends with CIS_E_DAMAGED; with
 * CIS_TREE_FAILURES it is visited once more with `no` set, call->err says why, and it has no
 * entries. */
cis_code cis_tree_walk(cis_vfs *vfs, cis_node node, const struct cis_vfs_attr *attr,
                       struct cis_str path, unsigned flags, const struct cis_vfs_call *call,
                       cis_tree_visit *visit, void *self, struct cis_error *err);

#endif
