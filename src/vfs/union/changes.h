/* Inside union/: what changes.c and changes_linked.c share. */
#ifndef CIS_VFS_UNION_CHANGES_H
#define CIS_VFS_UNION_CHANGES_H

#include "vfs/union/internal.h"

#define CHANGES_PATH_BYTES (1u << 20)

struct folder {
    cis_node upper, lower; /* referenced; lower 0: the upper one's alone */
    char *path;            /* "a/b", "" of the root */
    char *lower_path;      /* "/a/b"; NULL: none */
    bool covers;           /* nothing of the lower one shows through: what it has is gone */
};

struct entry {
    char *name;
    uint32_t type;
};

struct changes {
    struct unionfs *u;
    const struct cis_vfs_call *call;
    cis_union_change_each *each;
    void *self;
    struct folder *stack;
    size_t n, cap;
    struct entry *entries; /* of the folder that is looked at */
    size_t nentries, entries_cap;
    bool stopped;
    int no;
};

/* One more fits into the list of n; NULL: out of memory, and the list is as it was. */
void *changes_grown(void *list, size_t n, size_t *cap, size_t size);
/* Adds an entry to c->entries; for part_list, c->no is its failure. */
bool changes_gather(void *c, const struct cis_vfs_entry *entry, const struct cis_vfs_attr *attr);
void changes_entries_drop(struct changes *c);
/* Tells when an upper file differs from the lower one of its name. */
int changes_compare(struct changes *c, const char *path, cis_node upper,
                    const struct cis_vfs_attr *now, cis_node lower, const struct cis_vfs_attr *was);
/* Of files that no upper name leads to (index.c). */
int changes_linked(struct changes *c);

#endif
