/* What a view changed: names, nodes, blocks that differ from the base, for the files of this room.
 * Everything here is under all stripes of the view (view.h) unless it says otherwise. */
#ifndef CIS_VFS_LAYERED_OVERLAY_H
#define CIS_VFS_LAYERED_OVERLAY_H

#include "vfs/layered/fs_cache.h"

struct lay_op;
struct lay_view;
struct lay_found;

/* ---- table.c: 64-bit key → pointer ---- */
struct lay_table {
    struct lay_slot {
        uint64_t key;
        void *value; /* NULL: empty */
    } * slots;
    size_t cap, count;
};
void cis_lay_table_done(struct lay_table *table);
void *cis_lay_table_get(const struct lay_table *table, uint64_t key);
/* Room for one more, so that the next put cannot fail. */
bool cis_lay_table_ready(struct lay_table *table);
void cis_lay_table_put(struct lay_table *table, uint64_t key, void *value);
void *cis_lay_table_remove(struct lay_table *table, uint64_t key);
#define lay_table_each(table, s)                                                                   \
    for (struct lay_slot *s = (table)->slots; s != NULL && s < (table)->slots + (table)->cap; s++) \
        if (s->value != NULL)

/* ---- the overlay ---- */
struct lay_buf { /* bytes of a block; shared with a commit or a spill: copied before a write */
    atomic_uint refs;
    uint32_t cap;
    uint8_t data[];
};
struct lay_block {
    uint64_t block;
    struct lay_node *node;
    struct lay_buf *buf; /* NULL: none of its own */
    uint32_t lo, hi;     /* bytes of buf that count */
    uint32_t under;      /* bytes of what is below that still count; zeros beyond */
    bool from_base;      /* below is the base, else chunk */
    uint64_t chunk;      /* below, when not from_base; 0: a hole */
    uint64_t gen;
    uint64_t stuck;                  /* the gen at which what is below was gone; 0: never */
    struct lay_block *newer, *older; /* of the dirty list, while buf is there */
    bool listed;
    uint32_t weight; /* quota.c */
};
struct lay_name { /* an entry that differs from the base, or did */
    struct lay_hash hash;
    uint64_t parent, ino; /* ino 0: removed */
    uint64_t base_ino;    /* 0: not in the base */
    uint32_t type, base_type;
    uint64_t gen;
    struct lay_name *chain;       /* same hash.a */
    struct lay_name *next, *prev; /* of the directory */
    bool held;                    /* in a commit that is on its way: stays */
    uint8_t len;
    char name[];
};
struct lay_node {
    uint64_t ino;
    struct cis_fs_inode now;  /* data is empty */
    struct cis_fs_inode base; /* the row below; not for is_new */
    char *target;             /* of a new symlink */
    uint64_t hint;            /* a directory that names it */
    uint64_t gen;
    uint64_t keep;           /* bytes of the base's content that count */
    bool is_new;             /* not in the base */
    bool row;                /* a file's row is to be written */
    bool dirattr, moved;     /* directories */
    bool touched;            /* a directory's times or links changed */
    bool gone;               /* no name is left, or a removed directory */
    bool gone_committed;     /* … and the base knows */
    bool held;               /* in a commit that is on its way: stays */
    uint64_t cut;            /* the least size since that commit was captured */
    int32_t dlinks;          /* directories: links against the base */
    struct cis_view held_at; /* gone_committed: where its content is still to be read */
    struct lay_table blocks;
    struct lay_name *names;
    uint64_t nnames, ngone; /* entries with ino != 0, and removed ones of the base */
    uint64_t charged;
    uint64_t nameless; /* quota.c */
    uint32_t weight;   /* quota.c */
};

/* ---- overlay.c: under all stripes ---- */
int cis_lay_charge(struct lay_op *op, uint64_t bytes);
void cis_lay_release(struct lay_view *v, uint64_t bytes);
/* The overlay's node of an inode, made from the base's row when there is none. */
int cis_lay_node_get(struct lay_op *op, uint64_t ino, struct lay_node **out)
    CIS_REQUIRES(lay_lock_stripes);
int cis_lay_node_make(struct lay_op *op, const struct cis_fs_inode *row, bool is_new,
                      struct lay_node **out) CIS_REQUIRES(lay_lock_stripes);
void cis_lay_node_drop(struct lay_view *v, struct lay_node *node)
    CIS_REQUIRES(lay_lock_stripes); /* and its content and names */
struct lay_name *cis_lay_name_find(const struct lay_view *v, struct lay_hash hash);
/* Makes sure that the directory has a name object for it, so that setting it cannot fail. */
int cis_lay_name_ready(struct lay_op *op, struct lay_node *dir, struct cis_str name,
                       const struct lay_found *found, struct lay_name **out);
void cis_lay_name_set(struct lay_view *v, struct lay_node *dir, struct lay_name *name, uint64_t ino,
                      uint32_t type) CIS_REQUIRES(lay_lock_stripes);
/* Takes it out when it is what the base has. */
void cis_lay_name_settle(struct lay_view *v, struct lay_node *dir, struct lay_name *name);
/* The last name or link is gone: forget it, or keep it for those who hold it. */
void cis_lay_node_gone(struct lay_view *v, struct lay_node *node) CIS_REQUIRES(lay_lock_stripes);
void cis_lay_node_reap(struct lay_view *v, struct lay_node *node) CIS_REQUIRES(lay_lock_stripes);
bool cis_lay_node_clean(const struct lay_node *node);
int64_t cis_lay_refs_sum(const struct lay_view *v, uint64_t ino, uint64_t *out_hint);
void cis_lay_touch(struct lay_view *v, struct lay_node *node) CIS_REQUIRES(lay_lock_stripes);
void cis_lay_now(const struct lay_view *v, struct cis_fs_time *out);

/* ---- names.c ---- */
/* Is the directory empty? 0, ENOTEMPTY, LAY_NEED. */
int cis_lay_empty(struct lay_op *op, const struct cis_fs_inode *row, const struct lay_node *node);
/* A directory got or lost a name; links: subdirectories more or less. */
void cis_lay_dir_changed(struct lay_view *v, struct lay_node *dir, int links,
                         struct cis_fs_time now) CIS_REQUIRES(lay_lock_stripes);
/* One name less of a file, or a directory that is removed. */
void cis_lay_node_unlinked(struct lay_view *v, struct lay_node *node, struct cis_fs_time now)
    CIS_REQUIRES(lay_lock_stripes);

/* ---- block.c ---- */
struct lay_block *cis_lay_block_find(const struct lay_node *node, uint64_t block);
int cis_lay_block_make(struct lay_op *op, struct lay_node *node, uint64_t block,
                       struct lay_block **out) CIS_REQUIRES(lay_lock_stripes);
void cis_lay_block_drop(struct lay_view *v, struct lay_block *b) CIS_REQUIRES(lay_lock_stripes);
/* All of them. */
void cis_lay_blocks_drop(struct lay_view *v, struct lay_node *node) CIS_REQUIRES(lay_lock_stripes);
/* Forgets its buffer. */
void cis_lay_block_clear(struct lay_view *v, struct lay_block *b) CIS_REQUIRES(lay_lock_stripes);
/* A buffer of its own with room for `cap` bytes. */
int cis_lay_block_room(struct lay_op *op, struct lay_block *b, uint32_t cap)
    CIS_REQUIRES(lay_lock_stripes);
/* A block as it is before a write that may have to be taken back. with_buf: its bytes, too, which
 * are shared until they are written over; without, only whether it was there. */
struct lay_saved {
    uint64_t block, chunk;
    struct lay_buf *buf;
    uint32_t lo, hi, under;
    bool from_base, existed, whole;
};
/* Of the block that may not exist yet. Charged as long as it is kept. */
int cis_lay_block_save(struct lay_op *op, const struct lay_node *node, uint64_t block,
                       bool with_buf, struct lay_saved *out);
void cis_lay_block_forget(struct lay_view *v, struct lay_saved *saved);
/* Cannot fail; takes what was saved. */
void cis_lay_block_restore(struct lay_view *v, struct lay_node *node, struct lay_saved *saved)
    CIS_REQUIRES(lay_lock_stripes);
struct lay_buf *cis_lay_buf_ref(struct lay_buf *buf);
void cis_lay_buf_unref(struct lay_buf *buf);
void cis_lay_cut(struct lay_view *v, struct lay_node *node, uint64_t size)
    CIS_REQUIRES(lay_lock_stripes);
static inline uint64_t cis_lay_word(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t lay_min32(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

#endif
