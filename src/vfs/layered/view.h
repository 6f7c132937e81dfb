/* One view and its operations, for the files of this room.
 *
 * Its locks and their order are in locks.h. Readers on different processors take different stripes
 * and do not meet. Stripes are never held while the store is asked: an operation that misses
 * something says what (struct lay_op.need), lets go, fetches it, and begins again. Nothing is
 * changed before all that is needed is there. */
#ifndef CIS_VFS_LAYERED_VIEW_H
#define CIS_VFS_LAYERED_VIEW_H

#include <errno.h>
#include <fcntl.h>
#include "vfs/layered/flow.h"
#include "vfs/layered/overlay.h"

#define LAY_STRIPES 8u
#define LAY_WRITE_LOCKS 32u
#define LAY_NEED (-1) /* instead of an errno: something must be fetched first */
#define LAY_BAG 8u

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
/* Under all stripes: adds it where the node is counted already, as one that is referenced is
 * somewhere, so that no memory is needed. */
void cis_lay_refs_put(struct lay_view *v, uint64_t ino, int64_t n);
bool cis_lay_refs_untidy(const struct lay_refs *refs);
void cis_lay_refs_tidy(struct lay_view *v) CIS_TAKES(LAY_FROM_STRIPES); /* takes all stripes */

struct lay_view {
    cis_vfs vfs;
    cis_fs_cache *fs_cache;
    struct lay_tenant *tenant;
    struct cis_str who; /* the tenant, for the store: `exact`, never a later one of its name */
    char reader[CIS_TENANT_MAX + 1]; /* "" unless it is another's */
    /* written by a commit under spilling and all stripes: either is enough to read */
    struct lay_branch_cache *line;
    struct cis_view at;
    uint64_t base_files, base_bytes;
    char apart[64]; /* what every operation reads is not on a line that a stripe's lock writes */
    struct lay_stripe stripes[LAY_STRIPES];
    pthread_mutex_t writes[LAY_WRITE_LOCKS];
    enum cis_layered_kept union_names;
    struct lay_view *next CIS_GUARDED_BY(lay_lock_fs_cache); /* of the fs cache */
    struct lay_view **link CIS_GUARDED_BY(lay_lock_fs_cache);
    bool kept CIS_GUARDED_BY(lay_lock_fs_cache); /* looked at by the keeper */

    char ref[CIS_FS_REF_MAX + 1];
    char kind[64], note[256];
    bool head, empty, auto_commit, takes_back, compress;
    uint64_t fence, dirty_max;
    void (*clock)(struct timespec *out);

    struct lay_table nodes CIS_GUARDED_BY(lay_lock_stripes); /* ino → struct lay_node */
    struct lay_table names CIS_GUARDED_BY(lay_lock_stripes); /* hash.a → struct lay_name, chained */
    uint64_t gen CIS_GUARDED_BY(lay_lock_stripes);           /* counts changes of the overlay */
    uint64_t moves CIS_GUARDED_BY(
        lay_lock_stripes); /* directories that changed their place; views that moved */
    uint64_t name_changes CIS_GUARDED_BY(lay_lock_stripes);
    size_t ngone CIS_GUARDED_BY(lay_lock_stripes); /* nodes without a name */
    struct cis_budget *budget;
    struct cis_budget own_budget;
    /* dirty, in the order they were written */
    struct lay_block *newest CIS_GUARDED_BY(lay_lock_stripes),
        *oldest CIS_GUARDED_BY(lay_lock_stripes);
    _Atomic uint64_t dirty; /* bytes of their buffers; read without a lock */
    uint64_t quota_files CIS_GUARDED_BY(lay_lock_stripes), quota_bytes
        CIS_GUARDED_BY(lay_lock_stripes);
    /* growth above the base */
    int64_t files CIS_GUARDED_BY(lay_lock_stripes), bytes CIS_GUARDED_BY(lay_lock_stripes);
    uint64_t nameless
        CIS_GUARDED_BY(lay_lock_stripes); /* bytes of files without a name that somebody has */
    uint64_t targets CIS_GUARDED_BY(lay_lock_stripes); /* bytes of new symlinks */
    uint64_t weight
        CIS_GUARDED_BY(lay_lock_stripes); /* of blocks and cuts that are not committed (quota.c) */
    uint64_t stored CIS_GUARDED_BY(lay_lock_stripes), quota_stored CIS_GUARDED_BY(lay_lock_stripes);
    /* of this view's own limit: what it stored ahead of a commit */
    uint64_t spilled CIS_GUARDED_BY(lay_lock_stripes), stored_max;
    _Atomic bool full;
    /* branches of the tenant that others hold: mounts, as a rule */
    uint64_t others CIS_GUARDED_BY(lay_lock_stripes);
    _Atomic uint64_t stored_asked;                          /* times that these were asked for; */
    _Atomic uint64_t stored_ns;                             /* when last; */
    _Atomic uint64_t counted_ns;                            /* and when for the others; */
    uint64_t stored_known CIS_GUARDED_BY(lay_lock_stripes); /* which of them they are of */

    pthread_mutex_t committing;
    /* what another committer changed under the overlay; "" nothing */
    char conflict[128] CIS_GUARDED_BY(lay_lock_committing);
    bool ending CIS_GUARDED_BY(lay_lock_committing); /* commits leave lost content out */
    /* of the last commit that failed: as in lay_frozen */
    uint64_t lost CIS_GUARDED_BY(lay_lock_committing), nlost CIS_GUARDED_BY(lay_lock_committing);
    pthread_mutex_t spilling;
    struct lay_load *load CIS_GUARDED_BY(lay_lock_spilling); /* packed or being packed */

    pthread_mutex_t pinning;
    _Atomic uint64_t pin, pinned_ns;
    struct cis_view pinned_at CIS_GUARDED_BY(lay_lock_pinning);
    _Atomic uint64_t opened_ns; /* when the view was at its branch's head */
    atomic_int ended;           /* 0, ESTALE: no longer kept, EACCES: no longer published */
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
    struct lay_branch_cache *line; /* held */
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
typedef int lay_step(struct lay_op *op, void *arg);
/* The call was told to end: EINTR, with its message. */
int cis_lay_stopped(const struct cis_vfs_call *call);
/* The same with an op of its own. */
int cis_lay_do(struct lay_view *v, const struct cis_vfs_call *call, bool all, lay_step *step,
               void *arg) CIS_TAKES(LAY_FROM_PINNING);
void cis_lay_lock_all(struct lay_view *v) CIS_ACQUIRES(lay_lock_stripes);
void cis_lay_unlock_all(struct lay_view *v) CIS_RELEASES(lay_lock_stripes);
struct lay_stripe *cis_lay_lock_one(struct lay_view *v) CIS_ACQUIRES_SHARED(lay_lock_stripes);
void cis_lay_unlock_one(struct lay_stripe *s) CIS_RELEASES(lay_lock_stripes);
/* What a code of the store or the host is as errno; the message goes to call->err. */
int cis_lay_errno(cis_code code);
/* The same with what the error says of the system's own: a full disk below the store is ENOSPC. err
 * is that of the code; moved to call->err when that is there. */
int cis_lay_errno_of(const struct cis_vfs_call *call, cis_code code, const struct cis_error *err);
int cis_lay_fail(const struct cis_vfs_call *call, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static inline struct cis_error *lay_err(const struct cis_vfs_call *call)
{
    return call != NULL ? call->err : NULL;
}
/* Before the store is read: an embedded one answers sooner than anybody could do something else
 * meanwhile. */
static inline void lay_waits(const struct lay_view *v, const struct cis_vfs_call *call)
{
    if (v->fs_cache->store->ops->remote) {
        cis_vfs_waits(call);
    }
}
static inline const struct cis_stop *lay_stop(const struct cis_vfs_call *call)
{
    return call != NULL ? call->stop : NULL;
}

/* ---- fetch.c ---- */
int cis_lay_fetch(struct lay_op *op) CIS_TAKES(LAY_FROM_PINNING);

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
int cis_lay_find(struct lay_op *op, uint64_t dir, struct cis_str name, struct lay_found *out)
    CIS_REQUIRES_SHARED(lay_lock_stripes);
/* The row of the base, whatever the overlay says. ESTALE: there is none. */
int cis_lay_base_inode(struct lay_op *op, uint64_t ino, struct cis_fs_inode *out);
/* As seen through the overlay. out_node may be NULL. */
int cis_lay_inode(struct lay_op *op, uint64_t ino, struct cis_fs_inode *out,
                  struct lay_node **out_node) CIS_REQUIRES_SHARED(lay_lock_stripes);
/* A directory to work in: ENOTDIR, ENOENT when it was removed. */
int cis_lay_dir(struct lay_op *op, uint64_t ino, struct cis_fs_inode *out)
    CIS_REQUIRES_SHARED(lay_lock_stripes);
void cis_lay_attr(const struct lay_view *v, const struct cis_fs_inode *row,
                  const struct lay_node *node, struct cis_vfs_attr *out);
/* Content of the base's row, with a reference. */
int cis_lay_inline(struct lay_op *op, uint64_t ino, uint64_t epoch, struct lay_blob **out);
/* Chunk of the base at a block of a file that is not inline; 0: a hole. */
int cis_lay_base_chunk(struct lay_op *op, uint64_t ino, uint64_t epoch, uint64_t block,
                       uint64_t *out);
/* Where a node's base is read: the view, or what it is held at. */
struct cis_view cis_lay_base_at(const struct lay_view *v, const struct lay_node *node);

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
enum lay_reading {
    LAY_BY_PIECES,
    LAY_WHOLE, /* read in order, so whole chunks are kept */
    LAY_ONCE,  /* whole, and not kept: what was read is about to be superseded */
};
/* ino: for the message of an EIO. */
int cis_lay_pieces_read(struct lay_view *v, const struct cis_vfs_call *call,
                        const struct lay_piece *pieces, size_t n, const struct lay_ahead *ahead,
                        size_t nahead, enum lay_reading how, uint64_t ino)
    CIS_TAKES(LAY_FROM_PINNING);
/* Content of a chunk as far as it is known without the store, from its beginning; NULL. With a
 * reference. */
struct lay_blob *cis_lay_chunk_known(struct lay_view *v, uint64_t chunk);
/* What was stored just now is kept in the cache as if it had been read: should it be lost before
 * the commit that names it. */
void cis_lay_chunk_keep(struct lay_view *v, uint64_t chunk, struct cis_bytes content);

/* ---- attr.c ---- */
/* The content of a file changed: its times, its set-id bits, its row. Every change of content ends
 * with it. */
void cis_lay_written(const struct lay_op *op, struct lay_node *node) CIS_REQUIRES(lay_lock_stripes);

/* ---- data.c, write.c, space.c ---- */
int cis_lay_resize(struct lay_view *v, const struct cis_vfs_call *call, uint64_t ino, uint64_t size)
    CIS_TAKES(LAY_FROM_WRITES);
/* What lies below a block of a file, all CIS_FS_BLOCK bytes of it. */
int cis_lay_under_read(struct lay_view *v, const struct cis_vfs_call *call, uint64_t ino,
                       uint64_t block, uint8_t *out) CIS_TAKES(LAY_FROM_PINNING);
struct lay_writing {
    uint64_t ino, offset, len;
    const struct iovec *iov; /* NULL: zeros */
    int niov;
    bool append; /* at the end */
};
/* Writes under the file's write lock. out_end may be NULL. */
int cis_lay_write_at(struct lay_view *v, const struct cis_vfs_call *call,
                     const struct lay_writing *writing, size_t *out_n, uint64_t *out_end)
    CIS_REQUIRES(lay_lock_writes) CIS_TAKES(LAY_FROM_FILE);
pthread_mutex_t *cis_lay_write_lock(struct lay_view *v, uint64_t ino);

/* ---- quota.c ---- */
int cis_lay_quota_file(const struct lay_op *op) CIS_REQUIRES_SHARED(lay_lock_stripes);
/* Do so many more bytes of content fit the view's own limit? */
bool cis_lay_quota_own_fits(const struct lay_view *v, uint64_t more)
    CIS_REQUIRES_SHARED(lay_lock_stripes);
/* They do not: ENOSPC. */
int cis_lay_quota_own_fail(const struct lay_op *op) CIS_REQUIRES_SHARED(lay_lock_stripes);
/* A block was stored ahead, in so many bytes. */
void cis_lay_quota_spilled(struct lay_view *v, uint64_t packed) CIS_REQUIRES(lay_lock_stripes);
/* Before names or attributes are changed, with nothing locked: a mount's rows that wait for the
 * next commit are flushed while they fit the room that it has above the stored quota. Else it would
 * be refused what its callers were told is done. */
int cis_lay_quota_rows(struct lay_view *v, const struct cis_vfs_call *call)
    CIS_TAKES(LAY_FROM_COMMITTING);
/* Asks what the tenant has stored, for its quotas, and now and then how many mounts it has. */
cis_code cis_lay_quota_again(struct lay_view *v, const struct cis_stop *stop, struct cis_error *err)
    CIS_TAKES(LAY_FROM_STRIPES);
/* May a mount accept one more block? ASK: after a spill, and when the tenant was asked again;
 * asked: how often it was. */
enum lay_fits { LAY_FITS, LAY_FITS_ASK, LAY_FITS_NOT };
enum lay_fits cis_lay_quota_fits(const struct lay_view *v, unsigned asked)
    CIS_REQUIRES_SHARED(lay_lock_stripes);
/* What a block counts until it is committed, and the rest of a file that was cut within a block.
 * After each change of its buffer or of what is below. */
void cis_lay_quota_block(struct lay_view *v, struct lay_block *b) CIS_REQUIRES(lay_lock_stripes);
void cis_lay_quota_cut(struct lay_view *v, struct lay_node *node) CIS_REQUIRES(lay_lock_stripes);
/* After a file without a name changed its size, or its holders. Under all stripes. */
void cis_lay_quota_nameless(struct lay_view *v, struct lay_node *node)
    CIS_REQUIRES(lay_lock_stripes);
/* How much of growing from `from` to `to` bytes fits; at least from. */
uint64_t cis_lay_quota_bytes(const struct lay_op *op, uint64_t from, uint64_t to)
    CIS_REQUIRES_SHARED(lay_lock_stripes);

/* ---- open.c, pin.c ---- */
void cis_lay_view_hits(struct lay_view *v, uint64_t *entry_hits, uint64_t *inode_hits)
    CIS_TAKES(LAY_FROM_STRIPES);
/* Before the store is asked at the view: takes or renews its pin when it is time. */
int cis_lay_alive(struct lay_view *v, const struct cis_vfs_call *call) CIS_TAKES(LAY_FROM_PINNING);
/* A view of another tenant's branch begins: asks whether it may, and pins the head. */
cis_code cis_lay_guest_enter(struct lay_view *v, struct cis_fs_ref *out,
                             const struct cis_stop *stop, struct cis_error *err);
cis_code cis_lay_pin(struct lay_view *v, struct cis_view at, const struct cis_stop *stop,
                     struct cis_error *err) CIS_TAKES(LAY_FROM_PINNING);
/* Waits for the store for some seconds; then the keeper tells it. */
void cis_lay_unpin(struct lay_view *v);
/* What a view that ended answers; 0: it did not. */
int cis_lay_ended(const struct lay_view *v, const struct cis_vfs_call *call);
void cis_lay_keeper_start(cis_fs_cache *fs_cache) CIS_REQUIRES(lay_lock_fs_cache);
/* Until it does not look at the view. What it asks the store for is given up. */
void cis_lay_keeper_leave(struct lay_view *v) CIS_REQUIRES(lay_lock_fs_cache);
void cis_lay_keeper_end(cis_fs_cache *fs_cache) CIS_TAKES(LAY_FROM_FS_CACHE);
/* After a commit: a pin that was only for what was not committed is the view's
 * no more. The store is told by cis_lay_unpin_end, which needs no lock; id 0: nothing to tell. */
struct lay_pin {
    uint64_t id;
    struct cis_view at;
};
struct lay_pin cis_lay_unpin_idle(struct lay_view *v) CIS_REQUIRES(lay_lock_spilling)
    CIS_TAKES(LAY_FROM_PINNING);
void cis_lay_unpin_end(struct lay_view *v, struct lay_pin idle) CIS_TAKES(LAY_FROM_COMMITTING);

/* ---- commit.c ---- */
void cis_lay_drop_all(struct lay_view *v)
    CIS_REQUIRES(lay_lock_stripes); /* under all stripes: the overlay is empty */
int cis_lay_flush(cis_vfs *vfs, const struct cis_vfs_call *call) CIS_TAKES(LAY_FROM_COMMITTING);

/* ---- rest.c ---- */
/* These files, each once and sorted here, go from the overlay as far as their content is
 * concerned. ENOMEM: none did. */
int cis_lay_leave_out(struct lay_op *op, uint64_t *inos, size_t n) CIS_REQUIRES(lay_lock_stripes);

/* ---- refused.c ---- */
/* A quota refused the commit: what of the overlay that is about goes behind the message. */
void cis_lay_refused(struct lay_view *v, enum cis_quota quota, const struct cis_stop *stop,
                     struct cis_error *err) CIS_TAKES(LAY_FROM_COMMITTING);
/* A file whose content is lost, by its path, and how many more there are. */
void cis_lay_lost_name(struct lay_view *v, uint64_t ino, uint64_t n, const struct cis_stop *stop,
                       char *out, size_t size) CIS_TAKES(LAY_FROM_COMMITTING);
/* Content of this file, and of more, is lost: the message says so, with its path. */
void cis_lay_lost(struct lay_view *v, uint64_t ino, uint64_t n, const struct cis_stop *stop,
                  struct cis_error *err) CIS_TAKES(LAY_FROM_COMMITTING);

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
/* EPERM: this name of a union is not to be changed here. */
int cis_lay_kept(struct lay_op *op, cis_node dir, struct cis_str name, bool remove)
    CIS_REQUIRES_SHARED(lay_lock_stripes);
int cis_lay_lookup(LAY_CALL, cis_node dir, struct cis_str name, cis_node *out_node,
                   struct cis_vfs_attr *out_attr);
int cis_lay_peek(LAY_CALL, cis_node dir, const struct cis_str *names, size_t n, size_t *out_n,
                 cis_node *out_node, struct cis_vfs_attr *out_attr);
void cis_lay_ref(cis_vfs *vfs, cis_node node, uint64_t n);
void cis_lay_forget(cis_vfs *vfs, cis_node node, uint64_t n);
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
int cis_lay_create(LAY_CALL, const struct cis_vfs_create_request *request, cis_vfs_file **out_file,
                   cis_node *out_node, struct cis_vfs_attr *out_attr);
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
