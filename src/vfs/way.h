/* The folders from one place of a filesystem down to another, however many, while few of its nodes
 * are held: a node of a folder of the host is an open descriptor. The last ones are held, and one
 * of each thousand, from which the others are looked up again on the way back; what is found there
 * must be the folder that it was (ESTALE). Where nodes are memory all of them are held.
 *
 * Memory: a few words and the name of each folder. One thread. */
#ifndef CIS_VFS_WAY_H
#define CIS_VFS_WAY_H

#include "vfs/vfs.h"

struct cis_way_folder {
    cis_node node; /* referenced; 0: to be looked up */
    uint64_t ino;
    struct timespec btime;
    size_t name; /* where it begins in the names */
    bool stays;  /* it is not let go */
};
struct cis_way {
    cis_vfs *vfs; /* borrowed */
    struct cis_way_folder *at;
    size_t n, cap;
    size_t held;          /* those before it that may be let go are */
    struct cis_buf names; /* each with its NUL */
};

void cis_way_init(struct cis_way *way, cis_vfs *vfs);
void cis_way_done(struct cis_way *way);
size_t cis_way_bytes(const struct cis_way *way);
/* A folder that was found; takes over the reference, also when it fails (ENOMEM). apart: it is not
 * in the one before it. */
int cis_way_push(struct cis_way *way, cis_node node, struct cis_str name,
                 const struct cis_vfs_attr *attr, bool apart);
/* The last one; borrowed until the next call for the way. */
int cis_way_here(struct cis_way *way, const struct cis_vfs_call *call, cis_node *out_node);
void cis_way_pop(struct cis_way *way);

#endif
