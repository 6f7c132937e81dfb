/* What the files of this room share: the mounts of a namespace, chains of directories, and a walk
 * in progress. Threads as in walk.h: a namespace does not change while it is walked. */
#ifndef CIS_VFS_INTERNAL_H
#define CIS_VFS_INTERNAL_H

#include <errno.h>
#include <stdatomic.h>
#include "vfs/walk.h"

/* ---- namespace ---- */
struct cis_mount {
    const struct cis_ns *ns;
    uint32_t dev; /* the same for all mounts of one filesystem; shown to guests, decides nothing */
    bool read_only;
    bool may_part; /* without a folder to stand on it stands … */
    bool apart;    /* … in the namespace's own directories, whatever covers them */
    cis_vfs *vfs;
    cis_node root;
    struct cis_mount *children, *sibling; /* those mounted on directories of this one */
    cis_node covered;                     /* the directory of the parent it stands on; referenced */
    struct cis_mount *parent;
    char *path; /* without the slash at the end; "" for "/" */
};

struct cis_ns {
    cis_vfs *base;                                   /* the namespace's own directories: rootfs.c */
    struct cis_mount *mounts[CIS_NS_MOUNTS_MAX + 1]; /* [0]: base; the others by path */
    uint32_t nmounts;
    struct cis_dir *root;
};

/* The mount on `node` of m, or NULL. */
static inline struct cis_mount *mount_on(const struct cis_mount *m, cis_node node)
{
    for (struct cis_mount *c = m->children; c != NULL; c = c->sibling) {
        if (c->covered == node) {
            return c;
        }
    }
    return NULL;
}

/* ---- rootfs.c: a read-only tree of directories, made by the namespace only ---- */
int cis_rootfs_new(cis_vfs **out_vfs);
int cis_rootfs_mkdir(cis_vfs *vfs, cis_node dir, struct cis_str name, cis_node *out_node);

/* ---- references; the root of a filesystem needs none ---- */
static inline void node_ref(cis_vfs *vfs, cis_node node)
{
    if (node != vfs->root) {
        cis_vfs_ref(vfs, node, 1);
    }
}

static inline void node_put(cis_vfs *vfs, cis_node node)
{
    if (node != vfs->root) {
        cis_vfs_forget(vfs, node, 1);
    }
}

/* ---- chains ---- */
struct cis_dir {
    _Atomic uint32_t refs;
    uint32_t depth; /* of the chain; 0 has no `up` */
    struct cis_dir *up;
    const struct cis_mount *mount;
    cis_node node;     /* referenced */
    char *path;        /* of directories given to callers; else NULL */
    size_t path_len;   /* 0: too long */
    uint16_t name_len; /* the name it was reached by */
    char name[];
};

static inline struct cis_dir *cis_dir_ref(const struct cis_dir *dir)
{
    struct cis_dir *own = (struct cis_dir *)(uintptr_t)dir;
    atomic_fetch_add_explicit(&own->refs, 1, memory_order_relaxed);
    return own;
}
/* Takes over the reference on node, also when it fails (NULL). up may be NULL; borrowed. */
struct cis_dir *cis_dir_push(const struct cis_dir *up, const struct cis_mount *mount, cis_node node,
                             struct cis_str name);

/* ---- a walk ---- */
#define WALK_FRAMES 16u
#define WALK_CREATE 0x100u /* O_CREAT: a slash after the last name is EISDIR at once */

struct walk_frame { /* a directory below `base`, in the order walked */
    const struct cis_mount *mount;
    cis_node node;       /* referenced */
    struct cis_str name; /* within the path or a link's target */
};

struct walk {
    const struct cis_dir *base, *floor; /* where the frames stand on; where ".." ends */
    struct walk_frame *frames;
    uint32_t nframes, cap;
    uint32_t nlinks; /* followed; their targets live until the end, names point into them */
    unsigned flags;
    bool must_be_dir;
    const struct cis_mount *end; /* of the node that was found by name */
    struct cis_vfs_call call;
    struct walk_frame inline_frames[WALK_FRAMES];
    struct cis_buf links[CIS_VFS_LINKS_MAX]; /* the first nlinks */
};

int cis_walk_begin(struct walk *w, const cis_dir *start, const cis_dir *beneath,
                   const struct cis_vfs_call *call, unsigned flags);
/* Leaves the directories in w; `out` holds its own references. */
int cis_walk_run(struct walk *w, struct cis_str path, struct cis_found *out);
void cis_walk_end(struct walk *w);
/* The folder of the path's last name when the way to it is plain names in one filesystem that
 * jumps, and no symlink may be followed: *out_node (referenced), and how much of the path is behind
 * it. 0: walk all of it; that also tells what is wrong. */
size_t cis_walk_ahead(const cis_dir *start, const struct cis_vfs_call *call, struct cis_str path,
                      unsigned flags, cis_node *out_node);
/* The plain case (names only, one filesystem, all at hand) without references: *out_no is 0 or
 * ENOENT. False: walk. */
bool cis_walk_peek(const cis_dir *start, const struct cis_vfs_call *call, struct cis_str path,
                   unsigned flags, struct cis_found *out, int *out_rc);

/* ---- what the verbs share ---- */

static inline unsigned walk_flags(unsigned flags)
{
    return flags & (CIS_WALK_NOFOLLOW | CIS_WALK_CHROOT | CIS_WALK_STRAIGHT);
}

/* A name to act on that no directory can hold: checked where Linux looks it up. */
static inline bool too_long(const struct cis_found *found)
{
    return found->dir != 0 && found->name_len == 0;
}

/* A walk to something that has to exist. */
static inline int find(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                       unsigned flags, struct cis_found *out)
{
    int rc = cis_walk(dir, NULL, call, path, flags, out);
    if (rc == 0 && out->node == 0) {
        cis_found_done(out);
        rc = ENOENT;
    }
    return rc;
}

static inline int find_name(const cis_dir *dir, const struct cis_vfs_call *call,
                            struct cis_str path, unsigned flags, struct cis_found *out)
{
    unsigned way = flags & (CIS_WALK_CHROOT | CIS_WALK_STRAIGHT);
    return cis_walk(dir, NULL, call, path, way | CIS_WALK_NAME, out);
}

static inline bool is_dir(const struct cis_found *found)
{
    return S_ISDIR(found->attr.mode);
}

#endif
