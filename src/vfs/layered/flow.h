/* From the overlay to the store: blocks packed by helper threads, spilled before a commit or stored
 * with it; what a commit is made of. For the files of this room. */
#ifndef CIS_VFS_LAYERED_FLOW_H
#define CIS_VFS_LAYERED_FLOW_H

#include "vfs/layered/overlay.h"

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
void cis_lay_pack_begin(struct lay_pack *pack, struct lay_batch *batch) CIS_TAKES(LAY_FROM_PACK);
void cis_lay_pack_wait(struct lay_pack *pack, struct lay_batch *batch) CIS_TAKES(LAY_FROM_PACK);

/* ---- load.c: blocks as they were, on their way to the store ---- */
/* Of a file's row below what its blocks need: a commit holds one for each block. */
struct lay_base {
    uint64_t epoch, size;
    bool is_inline;
};
static inline struct lay_base lay_base_of(const struct cis_fs_inode *row)
{
    return (struct lay_base){row->epoch, row->size, row->is_inline};
}
struct lay_still { /* a block as it was when it was taken; buf is shared */
    uint64_t ino, block, gen;
    struct lay_buf *buf;
    uint32_t lo, hi, under;
    bool from_base;
    uint64_t chunk;
    struct lay_base base;
    uint32_t len; /* bytes of the block that the file reaches */
    size_t slot;  /* of what is being made (commit_content.c) */
    bool skipped; /* of a spill: what is below is gone */
};
struct lay_load {
    struct lay_batch batch;
    struct lay_still *stills; /* one a job */
    struct lay_buf **made;    /* content put together, one a job or NULL */
    uint64_t *ids;            /* out of cis_lay_load_put; 0: all zeros */
    uint64_t bytes;           /* that it holds, at most, when it is packed */
    bool begun;
};
struct lay_load *cis_lay_load_new(struct lay_view *v);
/* No more goes in. What is put together and what is packed count, and not how much of a block was
 * written: a piece of 4 KiB that is written into a stored block takes two whole ones here. */
bool cis_lay_load_full(const struct lay_load *load);
/* One more; of one that is not full. */
struct lay_still *cis_lay_load_add(struct lay_load *load, const struct lay_still *still);
void cis_lay_load_free(struct lay_view *v, struct lay_load *load)
    CIS_TAKES(LAY_FROM_PACK);                              /* waits for its helpers */
struct lay_still cis_lay_still(const struct lay_block *b); /* shares the buffer */
/* Content of every still is made whole (read what is below), then packing begins. skip: one whose
 * content below is damaged or gone is left out, else it fails them all. */
int cis_lay_load_begin(struct lay_view *v, const struct cis_vfs_call *call, struct lay_load *load,
                       bool skip) CIS_TAKES(LAY_FROM_PINNING);
/* Packed; the error of a job. */
int cis_lay_load_wait(struct lay_view *v, const struct cis_vfs_call *call, struct lay_load *load)
    CIS_TAKES(LAY_FROM_PACK);
/* Stores all chunks of it. */
int cis_lay_load_put(struct lay_view *v, const struct cis_vfs_call *call, struct lay_load *load)
    CIS_TAKES(LAY_FROM_FORWARD);
/* [0, len) of a block: what is below, and the buffer over it. */
int cis_lay_still_read(struct lay_view *v, const struct cis_vfs_call *call,
                       const struct lay_still *s, uint8_t *out) CIS_TAKES(LAY_FROM_PINNING);

/* ---- spill.c ---- */
/* Brings whole blocks to the store, oldest first, until there is room again. all: all of them. */
int cis_lay_spill(struct lay_view *v, const struct cis_vfs_call *call, bool all)
    CIS_TAKES(LAY_FROM_SPILLING);
/* Waits for what is on its way. */
int cis_lay_spill_end(struct lay_view *v, const struct cis_vfs_call *call)
    CIS_REQUIRES(lay_lock_spilling) CIS_TAKES(LAY_FROM_PINNING);

/* ---- capture.c: what a commit is made of ---- */
struct lay_captured_name { /* in no order */
    struct lay_hash hash;
    uint64_t ino;
    uint32_t type;
};
struct lay_captured_file { /* a regular file, link or other non-directory with a row to write */
    size_t change;         /* its place in changes */
    uint64_t keep;
    const struct cis_fs_inode *base; /* of a new one: its row */
    bool is_new, content;
    size_t first, n; /* in stills: its blocks in order */
    char *target;
};
struct lay_captured_node {
    uint64_t ino, gen;
    int32_t dlinks;
    bool gone;
    const struct cis_fs_inode *now; /* not of what is gone */
};
struct lay_extent { /* being made */
    struct cis_fs_new_extent row;
    bool had; /* the base has a chunk there */
};
struct lay_captured {
    struct lay_view *v;
    struct cis_view base;
    int64_t files, bytes;
    struct cis_fs_dirent *dirents;
    struct lay_captured_name *names; /* as many */
    size_t ndirents;
    char *text; /* of the names */
    struct cis_fs_change *changes;
    size_t nchanges;
    struct cis_fs_delta *deltas;
    size_t ndeltas;
    struct lay_captured_node *nodes;
    size_t nnodes;
    struct lay_captured_file *captured_files;
    size_t nfiles;
    struct cis_fs_inode *bases; /* of files that are not new */
    size_t nbases;
    struct cis_fs_inode *nows; /* of nodes without a change */
    size_t nnows;
    struct lay_still *stills;
    size_t nstills;
    /* commit_content.c */
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
    struct cis_budget budget; /* of what it holds */
    struct cis_budget rows;   /* of what the store holds for it meanwhile */
    enum cis_quota quota;     /* which one refused it */
    uint64_t lost, nlost;     /* a file whose content is lost; how many there are, about */
};
/* Copies what is to be committed, shares buffers, marks names and nodes as held. */
int cis_lay_capture(struct lay_view *v, const struct cis_vfs_call *call, struct lay_captured *out)
    CIS_REQUIRES(lay_lock_committing) CIS_TAKES(LAY_FROM_STRIPES);
void cis_lay_captured_done(struct lay_captured *captured);
/* A commit has as much memory again as the budget that the view was given allows the overlay, and
 * the store's part of it as much: one that is full can still be committed. A view with a budget of
 * its own (a mount) has to commit to have room again, and has no such limit. */
int cis_lay_captured_charge(struct lay_captured *captured, const struct cis_vfs_call *call,
                            uint64_t bytes);
/* The commit did not happen: nothing is held any more. */
void cis_lay_thaw(struct lay_captured *captured) CIS_TAKES(LAY_FROM_STRIPES);
/* It did: the overlay keeps what came after, above the view of the commit. */
void cis_lay_settle(struct lay_captured *captured, struct lay_branch_cache *line,
                    const struct cis_fs_committed *done) CIS_TAKES(LAY_FROM_STRIPES);

/* ---- mend.c: before the commit is forgotten, which failed with this code ---- */
/* Looks for chunks that were stored ahead and are gone. True: what they held is in memory again,
 * and a new commit may succeed. Else *code and call->err say what failed, and captured->lost a file
 * whose content nobody knows. */
bool cis_lay_mend(struct lay_captured *captured, const struct cis_vfs_call *call, cis_code *code)
    CIS_REQUIRES(lay_lock_committing);

/* ---- commit_content.c: content of the captured files: chunks stored, extents, inline bytes ----
 */
int cis_lay_commit_content(struct lay_captured *captured, const struct cis_vfs_call *call)
    CIS_REQUIRES(lay_lock_committing, lay_lock_spilling) CIS_TAKES(LAY_FROM_PINNING);

#endif
