/* One view with its overlay, for the files of this room.
 *
 * Locks of a view, in this order:
 *   writes[ino]   one writer of a file's content at a time; held while the store is asked
 *   spilling      one batch of blocks on its way to the store; held while the store is asked
 *   stripes       everything else. A reader holds one stripe, a writer all of them: so readers on
 *                 different processors do not meet. Never held while the store is asked: an
 * operation that misses something says what (struct lay_op.need), lets go, fetches, and begins
 *                 again. Nothing is changed before all that is needed is there. */
#ifndef CIS_VFS_LAYERED_VIEW_H
#define CIS_VFS_LAYERED_VIEW_H

#include <errno.h>
#include <fcntl.h>
#include "vfs/layered/forest.h"

#define LAY_STRIPES 8u
#define LAY_WRITE_LOCKS 32u
#define LAY_NEED (-1) /* instead of an errno: something must be fetched first */
#define LAY_BAG 8u

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

/* ---- refs.c: references on nodes, counted per stripe and exact as a sum ---- */
struct lay_refs {
    struct lay_ref {
        uint64_t ino;
        uint64_t dir; /* where it was found: a hint for naming changes */
        int64_t n;
    } * slots; /* n 0: empty */
    size_t cap, count, tidy_at;
};
struct lay_stripe {
    pthread_mutex_t lock;
    struct lay_refs refs;
    uint64_t entry_hits, inode_hits;
    struct { /* where nodes were found that nobody took a reference on: hints like lay_ref.dir */
        uint64_t ino, dir;
    } seen[32];
    char apart[64];
};
/* Adds n (may be negative) under the stripe's lock. False: out of memory. */
bool cis_lay_refs_add(struct lay_refs *refs, uint64_t ino, uint64_t dir, int64_t n);
bool cis_lay_refs_untidy(const struct lay_refs *refs);
void cis_lay_refs_tidy(struct lay_view *v); /* takes all stripes */

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
    struct lay_block *newer, *older; /* of the dirty list, while buf is there */
    bool listed;
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
    uint64_t cut;            /* the least size since that commit was frozen */
    int32_t dlinks;          /* directories: links against the base */
    struct cis_view held_at; /* gone_committed: where its content is still to be read */
    struct lay_table blocks;
    struct lay_name *names;
    uint64_t nnames, ngone; /* entries with ino != 0, and removed ones of the base */
    uint64_t charged;
};

struct lay_view {
    cis_vfs vfs;
    cis_forest *forest;
    struct lay_tenant *tenant;
    struct lay_line *line;
    struct cis_view at;
    struct lay_stripe stripes[LAY_STRIPES];
    pthread_mutex_t writes[LAY_WRITE_LOCKS];
    struct lay_view *next, **link; /* of the forest */
    bool kept;                     /* looked at by the keeper; under the forest's lock */

    char ref[CIS_FS_REF_MAX + 1];
    char kind[64], note[256];
    bool head, auto_commit, compress;
    uint64_t fence, dirty_max;
    void (*clock)(struct timespec *out);

    /* under the stripes */
    struct lay_table nodes; /* ino → struct lay_node */
    struct lay_table names; /* hash.a → struct lay_name, chained */
    uint64_t gen;           /* counts changes of the overlay */
    uint64_t moves;         /* directories that changed their place; views that moved */
    uint64_t name_changes;
    size_t ngone; /* nodes without a name */
    struct cis_budget *budget, own_budget;
    struct lay_block *newest, *oldest; /* dirty, in the order they were written */
    _Atomic uint64_t dirty;            /* bytes of their buffers; read without a lock */
    uint64_t base_files, base_bytes, quota_files, quota_bytes;
    int64_t files, bytes; /* growth above the base */
    uint64_t stored, quota_stored;
    char conflict[128]; /* what another committer changed under the overlay; "" nothing */

    pthread_mutex_t committing;
    pthread_mutex_t spilling;
    struct lay_load *load; /* packed or being packed; under spilling */

    pthread_mutex_t pinning;
    _Atomic uint64_t pin, pinned_ns;
    struct cis_view pinned_at;
    _Atomic uint64_t opened_ns; /* when the view was at its branch's head */
    atomic_bool expired;
};

static inline struct lay_view *lay_of(cis_vfs *vfs)
{
    return (struct lay_view *)(void *)vfs;
}

/* ---- op.c: one operation, begun again until nothing is missing ---- */
enum lay_need_kind {
    LAY_NEED_ENTRY = 1, /* dir, names[0 … n): and what they lead to */
    LAY_NEED_INODE,
    LAY_NEED_INODES, /* inos[0 … n) */
    LAY_NEED_INLINE, /* content of an inode's row */
    LAY_NEED_EXTENTS,
    LAY_NEED_LISTING,
};
#define LAY_STEPS_MAX 32u
struct lay_need {
    enum lay_need_kind kind;
    uint64_t ino, epoch, group; /* ino: the directory for ENTRY and LISTING */
    struct cis_str names[LAY_STEPS_MAX];
    const uint64_t *inos;
    size_t n;
    bool attributes;
    struct lay_line *line; /* held */
    struct cis_view at;
};
struct lay_op {
    struct lay_view *v;
    const struct cis_vfs_call *call;
    struct lay_stripe *stripe; /* held; NULL: none or all */
    bool all;
    unsigned nentries, ninodes, nblobs;
    struct lay_need need;
    /* What was fetched for this operation, in case the caches are too small to keep it. */
    struct {
        struct lay_hash hash;
        uint64_t line, to;
        struct lay_entry entry;
    } entries[LAY_BAG];
    struct {
        uint64_t line, to;
        struct cis_fs_inode row; /* mode 0: there is none */
    } inodes[LAY_BAG];
    struct lay_blob *blobs[LAY_BAG];
};
void cis_lay_op_init(struct lay_op *op, struct lay_view *v, const struct cis_vfs_call *call);
void cis_lay_op_done(struct lay_op *op);
typedef int lay_step(struct lay_op *op, void *arg);
/* step under the lock (all: for writing) until it gives anything but LAY_NEED. */
int cis_lay_run(struct lay_op *op, bool all, lay_step *step, void *arg);
/* The same with an op of its own. */
int cis_lay_do(struct lay_view *v, const struct cis_vfs_call *call, bool all, lay_step *step,
               void *arg);
void cis_lay_lock_all(struct lay_view *v);
void cis_lay_unlock_all(struct lay_view *v);
struct lay_stripe *cis_lay_lock_one(struct lay_view *v);
/* What a code of the store or the host is as errno; the message goes to call->err. */
int cis_lay_errno(cis_code code);
int cis_lay_fail(const struct cis_vfs_call *call, int no, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static inline struct cis_error *lay_err(const struct cis_vfs_call *call)
{
    return call != NULL ? call->err : NULL;
}
static inline const struct cis_stop *lay_stop(const struct cis_vfs_call *call)
{
    return call != NULL ? call->stop : NULL;
}

/* ---- fetch.c ---- */
int cis_lay_fetch(struct lay_op *op);

/* ---- lookup.c: under a lock; LAY_NEED when something is missing ---- */
struct lay_found {
    struct lay_hash hash;
    uint64_t ino;          /* 0: no such name */
    uint32_t type;         /* S_IFMT bits */
    struct lay_name *name; /* the overlay's, may be NULL */
    uint64_t base_ino;
    uint32_t base_type;
};
/* Says what is missing; LAY_NEED. */
int cis_lay_need(struct lay_op *op, enum lay_need_kind kind, uint64_t ino, uint64_t epoch);
int cis_lay_find(struct lay_op *op, uint64_t dir, struct cis_str name, struct lay_found *out);
/* The row of the base, whatever the overlay says. ESTALE: there is none. */
int cis_lay_base_inode(struct lay_op *op, uint64_t ino, struct cis_fs_inode *out);
/* As seen through the overlay. out_node may be NULL. */
int cis_lay_inode(struct lay_op *op, uint64_t ino, struct cis_fs_inode *out,
                  struct lay_node **out_node);
/* A directory to work in: ENOTDIR, ENOENT when it was removed. */
int cis_lay_dir(struct lay_op *op, uint64_t ino, struct cis_fs_inode *out);
void cis_lay_attr(const struct lay_view *v, const struct cis_fs_inode *row,
                  const struct lay_node *node, struct cis_vfs_attr *out);
/* Content of the base's row, with a reference. */
int cis_lay_inline(struct lay_op *op, uint64_t ino, uint64_t epoch, struct lay_blob **out);
/* Chunk of the base at a block of a file that is not inline; 0: a hole. */
int cis_lay_base_chunk(struct lay_op *op, uint64_t ino, uint64_t epoch, uint64_t block,
                       uint64_t *out);
/* Where a node's base is read: the view, or what it is held at. */
struct cis_view cis_lay_base_at(const struct lay_view *v, const struct lay_node *node);

/* ---- overlay.c: under all stripes ---- */
int cis_lay_charge(struct lay_op *op, uint64_t bytes);
void cis_lay_release(struct lay_view *v, uint64_t bytes);
/* The overlay's node of an inode, made from the base's row when there is none. */
int cis_lay_node_get(struct lay_op *op, uint64_t ino, struct lay_node **out);
int cis_lay_node_make(struct lay_op *op, const struct cis_fs_inode *row, bool is_new,
                      struct lay_node **out);
void cis_lay_node_drop(struct lay_view *v, struct lay_node *node); /* and its content and names */
struct lay_name *cis_lay_name_find(const struct lay_view *v, struct lay_hash hash);
/* Makes sure that the directory has a name object for it, so that setting it cannot fail. */
int cis_lay_name_ready(struct lay_op *op, struct lay_node *dir, struct cis_str name,
                       const struct lay_found *found, struct lay_name **out);
void cis_lay_name_set(struct lay_view *v, struct lay_node *dir, struct lay_name *name, uint64_t ino,
                      uint32_t type);
/* Takes it out when it is what the base has. */
void cis_lay_name_settle(struct lay_view *v, struct lay_node *dir, struct lay_name *name);
/* The last name or link is gone: forget it, or keep it for those who hold it. */
void cis_lay_node_gone(struct lay_view *v, struct lay_node *node);
void cis_lay_node_reap(struct lay_view *v, struct lay_node *node);
bool cis_lay_node_clean(const struct lay_node *node);
int64_t cis_lay_refs_sum(const struct lay_view *v, uint64_t ino, uint64_t *out_hint);
void cis_lay_touch(struct lay_view *v, struct lay_node *node);
void cis_lay_now(const struct lay_view *v, struct cis_fs_time *out);

/* ---- names.c ---- */
/* Is the directory empty? 0, ENOTEMPTY, LAY_NEED. */
int cis_lay_empty(struct lay_op *op, const struct cis_fs_inode *row, const struct lay_node *node);
/* A directory got or lost a name; links: subdirectories more or less. */
void cis_lay_dir_changed(struct lay_view *v, struct lay_node *dir, int links,
                         struct cis_fs_time now);
/* One name less of a file, or a directory that is removed. */
void cis_lay_node_unlinked(struct lay_view *v, struct lay_node *node, struct cis_fs_time now);

/* ---- block.c ---- */
struct lay_block *cis_lay_block_find(const struct lay_node *node, uint64_t block);
int cis_lay_block_make(struct lay_op *op, struct lay_node *node, uint64_t block,
                       struct lay_block **out);
void cis_lay_block_drop(struct lay_view *v, struct lay_block *b);
void cis_lay_block_clear(struct lay_view *v, struct lay_block *b); /* forgets its buffer */
/* A buffer of its own with room for `cap` bytes. */
int cis_lay_block_room(struct lay_op *op, struct lay_block *b, uint32_t cap);
struct lay_buf *cis_lay_buf_ref(struct lay_buf *buf);
void cis_lay_buf_unref(struct lay_buf *buf);
void cis_lay_cut(struct lay_view *v, struct lay_node *node, uint64_t size);
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

/* ---- content.c: chunks through the cache ---- */
#define LAY_PIECES_MAX 80u
struct lay_piece { /* len bytes of a chunk from off, to dst */
    uint64_t chunk;
    uint32_t off, len;
    uint32_t span; /* bytes of the chunk that its file can want */
    uint8_t *dst;
};
struct lay_ahead { /* a chunk that will be wanted next */
    uint64_t chunk;
    uint32_t span;
};
/* whole: read in order, so whole chunks are kept. ino: for the message of an EIO. */
int cis_lay_pieces_read(struct lay_view *v, const struct cis_vfs_call *call,
                        const struct lay_piece *pieces, size_t n, const struct lay_ahead *ahead,
                        size_t nahead, bool whole, uint64_t ino);

/* ---- data.c, write.c, space.c ---- */
int cis_lay_resize(struct lay_view *v, const struct cis_vfs_call *call, uint64_t ino,
                   uint64_t size);
/* What lies below a block of a file, all CIS_FS_BLOCK bytes of it. */
int cis_lay_under_read(struct lay_view *v, const struct cis_vfs_call *call, uint64_t ino,
                       uint64_t block, uint8_t *out);
/* Writes from iov (NULL: zeros) under the file's write lock. append: at the end. */
int cis_lay_write_at(struct lay_view *v, const struct cis_vfs_call *call, uint64_t ino,
                     const struct iovec *iov, int niov, bool append, uint64_t offset, uint64_t len,
                     size_t *out_n, uint64_t *out_end);
pthread_mutex_t *cis_lay_write_lock(struct lay_view *v, uint64_t ino);

/* ---- quota.c ---- */
int cis_lay_quota_file(const struct lay_op *op);
/* How much of growing from `from` to `to` bytes fits; at least from. */
uint64_t cis_lay_quota_bytes(const struct lay_op *op, uint64_t from, uint64_t to);

/* ---- pack.c: hashing and packing on helper threads ---- */
struct lay_pack;
struct lay_job {
    struct cis_bytes content; /* in; cut of trailing zeros by the packer */
    uint8_t *packed;          /* out: to be freed; NULL when all zeros */
    uint32_t packed_len;
    uint32_t len; /* out: content without trailing zeros; 0: all zeros */
    uint8_t hash[32];
    cis_code code;
};
struct lay_batch {
    struct lay_job *jobs;
    size_t n;
    _Atomic size_t taken;
    size_t done, helpers; /* under pack's lock */
    uint8_t key[32];
    bool compress;
    struct lay_batch *next;
};
cis_code cis_lay_pack_new(struct lay_pack **out, struct cis_error *err);
void cis_lay_pack_free(struct lay_pack *pack);
/* Helpers begin with it; wait() takes part. The batch belongs to the pack until wait returns. */
void cis_lay_pack_begin(struct lay_pack *pack, struct lay_batch *batch);
void cis_lay_pack_wait(struct lay_pack *pack, struct lay_batch *batch);

/* ---- load.c: blocks as they were, on their way to the store ---- */
struct lay_still { /* a block as it was when it was taken; buf is shared */
    uint64_t ino, block, gen;
    struct lay_buf *buf;
    uint32_t lo, hi, under;
    bool from_base;
    uint64_t chunk;
    struct cis_fs_inode base; /* the file's row below */
    uint32_t len;             /* bytes of the block that the file reaches */
    size_t slot;              /* of what is being made (flatten.c) */
};
struct lay_load {
    struct lay_batch batch;
    struct lay_still *stills; /* one a job */
    struct lay_buf **made;    /* content put together, one a job or NULL */
    uint64_t *ids;            /* out of cis_lay_load_put; 0: all zeros */
    size_t cap;
    uint64_t bytes; /* of content, about */
    bool begun;
};
struct lay_load *cis_lay_load_new(struct lay_view *v, size_t cap);
void cis_lay_load_free(struct lay_view *v, struct lay_load *load); /* waits for its helpers */
struct lay_still cis_lay_still(const struct lay_block *b);         /* shares the buffer */
/* Content of every still is made whole (read what is below), then packing begins. */
int cis_lay_load_begin(struct lay_view *v, const struct cis_vfs_call *call, struct lay_load *load);
/* Packed; the error of a job. */
int cis_lay_load_wait(struct lay_view *v, const struct cis_vfs_call *call, struct lay_load *load);
/* Stores all chunks of it. */
int cis_lay_load_put(struct lay_view *v, const struct cis_vfs_call *call, struct lay_load *load);
/* [0, len) of a block: what is below, and the buffer over it. */
int cis_lay_still_read(struct lay_view *v, const struct cis_vfs_call *call,
                       const struct lay_still *s, uint8_t *out);

/* ---- spill.c ---- */
/* Brings whole blocks to the store, oldest first, until there is room again. all: all of them. */
int cis_lay_spill(struct lay_view *v, const struct cis_vfs_call *call, bool all);
/* Waits for what is on its way; under v->spilling. */
int cis_lay_spill_end(struct lay_view *v, const struct cis_vfs_call *call);

/* ---- freeze.c: what a commit is made of ---- */
struct lay_frozen_name { /* in no order */
    struct lay_hash hash;
    uint64_t ino;
    uint32_t type;
};
struct lay_frozen_file { /* a regular file, link or other non-directory with a row to write */
    size_t change;       /* its place in changes */
    uint64_t keep;
    struct cis_fs_inode base;
    bool is_new, content;
    size_t first, n; /* in stills: its blocks in order */
    char *target;
};
struct lay_frozen_node {
    uint64_t ino, gen;
    int32_t dlinks;
    bool gone;
    struct cis_fs_inode now;
};
struct lay_extent { /* being made */
    struct cis_fs_new_extent row;
    bool had; /* the base has a chunk there */
};
struct lay_frozen {
    struct lay_view *v;
    struct cis_view base;
    int64_t files, bytes;
    struct cis_fs_dirent *dirents;
    struct lay_frozen_name *names; /* as many */
    size_t ndirents;
    char *text; /* of the names */
    struct cis_fs_change *changes;
    size_t nchanges;
    struct cis_fs_delta *deltas;
    size_t ndeltas;
    struct lay_frozen_node *nodes;
    size_t nnodes;
    struct lay_frozen_file *frozen_files;
    size_t nfiles;
    struct lay_still *stills;
    size_t nstills;
    /* flatten.c */
    struct lay_extent *making;
    size_t nmaking, making_cap;
    struct cis_fs_new_extent *extents;
    size_t nextents;
    struct lay_blob **inlines;          /* one a file or NULL: content of its row */
    struct lay_load *filling, *packing; /* the one before it */
    bool stored;                        /* a load was stored */
    uint64_t dropping;                  /* inode whose extents are asked for */
    struct cis_fs_chunk *chunks;        /* in the commit itself: of `packing` */
    size_t nchunks;
    /* for the caches, after it: had before, so that no memory can be missing then */
    struct cis_fs_inode *news_rows;
    uint64_t *news_closed;
};
/* Copies what is to be committed, shares buffers, marks names and nodes as held. */
int cis_lay_freeze(struct lay_view *v, const struct cis_vfs_call *call, struct lay_frozen *out);
void cis_lay_frozen_done(struct lay_frozen *frozen);
/* The commit did not happen: nothing is held any more. */
void cis_lay_thaw(struct lay_frozen *frozen);
/* It did: the overlay keeps what came after, above the view of the commit. */
void cis_lay_settle(struct lay_frozen *frozen, struct lay_line *line,
                    const struct cis_fs_committed *done);

/* ---- flatten.c: content of the frozen files: chunks stored, extents, inline bytes ---- */
int cis_lay_flatten(struct lay_frozen *frozen, const struct cis_vfs_call *call);

/* ---- open.c, pin.c ---- */
void cis_lay_view_hits(struct lay_view *v, uint64_t *entry_hits, uint64_t *inode_hits);
/* Before the store is asked at the view: takes or renews its pin when it is time. */
int cis_lay_alive(struct lay_view *v, const struct cis_vfs_call *call);
cis_code cis_lay_pin(struct lay_view *v, struct cis_view at, const struct cis_stop *stop,
                     struct cis_error *err);
void cis_lay_unpin(struct lay_view *v);
void cis_lay_keeper_start(cis_forest *forest); /* under the forest's lock */
void cis_lay_keeper_end(cis_forest *forest);
/* After a commit: a pin that was only for what was not committed goes. */
void cis_lay_unpin_idle(struct lay_view *v, const struct cis_stop *stop);

/* ---- commit.c ---- */
void cis_lay_drop_all(struct lay_view *v); /* under all stripes: the overlay is empty */
int cis_lay_flush(cis_vfs *vfs, const struct cis_vfs_call *call);

/* ---- dir.c: a listing as packed entries ---- */
#define LAY_LISTED_HEAD 14u /* ino u64, type u32, name length u8, 1 spare; then the name */
struct lay_listed {
    uint64_t ino;
    uint32_t type;
    struct cis_str name;
};
static inline size_t lay_listed_at(const uint8_t *p, struct lay_listed *out)
{
    memcpy(&out->ino, p, 8);
    memcpy(&out->type, p + 8, 4);
    out->name = (struct cis_str){(const char *)p + LAY_LISTED_HEAD, p[12]};
    return LAY_LISTED_HEAD + p[12];
}
int cis_lay_base_listing(struct lay_op *op, uint64_t dir, uint64_t epoch, bool attributes,
                         struct lay_blob **out);

/* ---- the operations of the filesystem (the table is in open.c) ---- */
/* The directory that *ino is in. */
int cis_lay_parent(struct lay_view *v, const struct cis_vfs_call *call, uint64_t *ino);
#define LAY_CALL cis_vfs *vfs, const struct cis_vfs_call *call
int cis_lay_lookup(LAY_CALL, cis_node dir, struct cis_str name, cis_node *out_node,
                   struct cis_vfs_attr *out_attr);
int cis_lay_peek(LAY_CALL, cis_node dir, const struct cis_str *names, size_t n, size_t *out_n,
                 cis_node *out_node, struct cis_vfs_attr *out_attr);
void cis_lay_ref(cis_vfs *vfs, cis_node node, uint64_t n);
void cis_lay_forget(cis_vfs *vfs, cis_node node, uint64_t n);
int cis_lay_statfs(LAY_CALL, struct cis_vfs_usage *out);
int cis_lay_getattr(LAY_CALL, cis_node ino, struct cis_vfs_attr *out);
int cis_lay_setattr(LAY_CALL, cis_node ino, const struct cis_vfs_set *set,
                    struct cis_vfs_attr *out);
int cis_lay_readlink(LAY_CALL, cis_node ino, struct cis_buf *out);
int cis_lay_make(LAY_CALL, cis_node dir, struct cis_str name, const struct cis_vfs_make *make,
                 cis_node *out_node, struct cis_vfs_attr *out_attr);
int cis_lay_link(LAY_CALL, cis_node file, cis_node dir, struct cis_str name,
                 struct cis_vfs_attr *out_attr);
int cis_lay_unlink(LAY_CALL, cis_node dir, struct cis_str name);
int cis_lay_rmdir(LAY_CALL, cis_node dir, struct cis_str name);
int cis_lay_rename(LAY_CALL, cis_node dir, struct cis_str name, cis_node to_dir,
                   struct cis_str to_name, unsigned flags);
int cis_lay_open_file(LAY_CALL, cis_node ino, int flags, cis_vfs_file **out_file);
int cis_lay_create(LAY_CALL, cis_node dir, struct cis_str name, uint32_t mode, int flags,
                   cis_vfs_file **out_file, cis_node *out_node, struct cis_vfs_attr *out_attr);
void cis_lay_release_file(cis_vfs_file *file);
#undef LAY_CALL
#define LAY_FILE cis_vfs_file *file, const struct cis_vfs_call *call
int cis_lay_read(LAY_FILE, const struct iovec *iov, int niov, uint64_t offset, size_t *out_n);
int cis_lay_write(LAY_FILE, const struct iovec *iov, int niov, uint64_t offset, size_t *out_n,
                  uint64_t *out_end);
int cis_lay_sync(LAY_FILE, bool data_only);
int cis_lay_allocate(LAY_FILE, int mode, uint64_t offset, uint64_t len);
int cis_lay_seek(LAY_FILE, uint64_t offset, int whence, uint64_t *out_offset);
int cis_lay_readdir(LAY_FILE, uint64_t cookie, bool attributes, cis_vfs_entry_each *each,
                    void *self);
#undef LAY_FILE

struct lay_file {
    cis_vfs_file file;
    pthread_mutex_t lock;      /* of what follows; a listing is read under it */
    _Atomic uint64_t next_off; /* where a sequential reader goes on */
    struct lay_blob *listing;
    uint64_t good_cookie;             /* where the last reading ended */
    uint64_t listed_changes, charged; /* v->name_changes when it was made */
    struct cis_view listed_at;
};
struct lay_file *cis_lay_file_new(struct lay_view *v, int flags); /* node to be set */
void cis_lay_file_free(struct lay_file *file);
static inline struct lay_file *lay_file_of(cis_vfs_file *file)
{
    return (struct lay_file *)(void *)file;
}

#endif
