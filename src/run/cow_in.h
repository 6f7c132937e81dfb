/* Inside run/: cow.c looks, cow_apply.c writes. */
#ifndef CIS_RUN_COW_IN_H
#define CIS_RUN_COW_IN_H

#include "run/cow.h"
#include "vfs/walk.h"

/* A filesystem with paths. */
struct cow_tree {
    cis_ns *ns;
    cis_dir *root;
};

struct cis_cow {
    char *folder;
    cis_vfs *lower, *upper, *joined;
    struct cow_tree below, above; /* of lower, of joined */
    struct cis_stop stop;
    struct cis_error why; /* of calls of a filesystem */
    struct cis_vfs_call call;
};

struct cow_change {
    char what;
    char *path, *from; /* from: NULL unless renamed */
    uint32_t mode;
    uint64_t size, old_size;
    size_t number; /* of a rename: where it waits */
};
struct cow_changes {
    struct cow_change *at;
    size_t n, cap;
};
void cow_changes_done(struct cow_changes *changes);
cis_code cow_collect(cis_cow *cow, struct cow_changes *out, struct cis_error *err);

cis_code cow_tree_open(struct cow_tree *tree, cis_vfs *vfs, const struct cis_vfs_call *call,
                       struct cis_error *err);
void cow_tree_close(struct cow_tree *tree);
/* What a filesystem said about a path. */
cis_code cow_fail(cis_cow *cow, int no, const char *path, struct cis_error *err);
/* The names in a folder, with their attributes. */
struct cow_entry {
    char *name;
    struct cis_vfs_attr attr;
};
struct cow_entries {
    struct cow_entry *at;
    size_t n, cap;
};
int cow_list(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
             struct cow_entries *out);
void cow_entries_done(struct cow_entries *entries);
/* "a/b"; NULL: out of memory. */
char *cow_path(const char *folder, const char *name);

#endif
