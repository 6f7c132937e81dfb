/* Inside union/: what changes.c and changes_linked.c share. Both go through a tree from the root
 * down and have, of every folder on the way to where they are, its names and no more: memory in
 * proportion to those, charged to the caller's budget or the union's. */
#ifndef CIS_VFS_UNION_CHANGES_H
#define CIS_VFS_UNION_CHANGES_H

#include "base/map.h"
#include "vfs/union/internal.h"
#include "vfs/way.h"

struct name {
    uint32_t at; /* in text */
    uint8_t len;
    bool lower; /* the lower folder has it, and the upper one does not */
};
struct names { /* of one folder, in order */
    struct name *list;
    size_t n, cap, next;
    struct cis_buf text;
    uint64_t charged;
};
static inline struct cis_str name_of(const struct names *names, size_t i)
{
    return (struct cis_str){(const char *)names->text.ptr + names->list[i].at, names->list[i].len};
}

struct frame {
    cis_node upper;         /* referenced */
    bool lower;             /* it continues a folder, the last one of c->lows */
    size_t path;            /* c->path of this folder: its length */
    size_t low_at, low_end; /* its lower path in c->low: "", "/a/b" */
    struct names names;
};

struct changes {
    struct unionfs *u;
    const struct cis_vfs_call *call;
    cis_union_change_each *each;
    void *self;
    struct frame *stack;
    size_t n, cap;
    struct cis_way lows;   /* the lower folders of the frames */
    struct cis_buf path;   /* of what is looked at: "a/b" */
    struct cis_buf low;    /* the lower paths of the frames */
    struct cis_buf target; /* of the symlink that is told next */
    struct cis_map moved;  /* lower folders that an upper one continues at another place */
    bool only_moved;       /* a first look, for those alone */
    uint64_t charged;      /* for all of them */
    unsigned turns;
    bool stopped;
};

int cis_union_changes_charge(struct changes *c, uint64_t bytes);
void cis_union_changes_release(struct changes *c, uint64_t bytes);
/* One more fits into the list of n; NULL: it does not, and the list is as it was. Its bytes are
 * added to *charged. */
void *cis_union_changes_grown(struct changes *c, void *list, size_t n, size_t *cap, size_t size,
                              uint64_t *charged);
/* Charges what a buffer grew by since its cap was `before`. ENOMEM, also when the buffer failed. */
int cis_union_changes_grew(struct changes *c, const struct cis_buf *buf, size_t before,
                           uint64_t *charged);
/* The names of two folders (0: none) as one list: those of upper, and lower ones that it lacks. */
int cis_union_changes_names(struct changes *c, cis_node upper, cis_node lower, struct names *out);
void cis_union_changes_names_done(struct changes *c, struct names *names);
/* c->path becomes its first len bytes and a name. */
int cis_union_changes_enter(struct changes *c, size_t len, struct cis_str name);
/* Now and then: is it time to end? EINTR. */
int cis_union_changes_turn(struct changes *c);
/* Tells when the upper file at c->path differs from the lower one of its name. */
int cis_union_changes_compare(struct changes *c, cis_node upper, const struct cis_vfs_attr *now,
                              cis_node lower, const struct cis_vfs_attr *was);
/* Of files that no upper name leads to (index.c). */
int cis_union_changes_linked(struct changes *c);

#endif
