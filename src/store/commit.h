/* How a commit is checked and written, once for all backends: conflicts, merges, quotas, the packed
 * keys. A backend calls cis_commit_apply inside its transaction with the primitives below; the
 * function holds no state between calls and may be called again after a rolled-back try.
 *
 * Order of locks: ref, branch, usage. First committer wins; the other gets CIS_E_CONFLICT, whose
 * message names the path's last name or the key. */
#ifndef CIS_STORE_COMMIT_H
#define CIS_STORE_COMMIT_H

#include "store/fs.h"
#include "store/store.h"

/* ---- changed keys of a commit, packed ---- */
enum cis_key_kind {
    CIS_KEY_DIRENT = 1,  /* parent, name, ino (0: removed), type: conflicts by (parent, name) */
    CIS_KEY_INODE = 2,   /* ino, gone: a file's data, links or attributes; conflicts by ino. A new
                          * file has none: the key of its name shows it */
    CIS_KEY_DIRATTR = 3, /* ino: explicit attributes of a directory; conflicts by ino */
    CIS_KEY_DIRGONE = 4, /* ino: a directory was removed; conflicts with names added to it */
    CIS_KEY_MOVED = 5,   /* ino, parent: a directory is elsewhere now */
    CIS_KEY_MEMORY = 6,  /* ns, key: conflicts only for strict memory */
    CIS_KEY_DIRTIME = 7, /* ino: only times of a directory changed (a name came and went, or it was
                          * renamed in its place): for caches, never a conflict */
};

struct cis_key {
    enum cis_key_kind kind;
    uint64_t ino;        /* the directory for DIRENT */
    uint64_t target;     /* DIRENT: ino or 0; MOVED: new parent; INODE: 1 when gone */
    uint32_t type;       /* DIRENT: type bits */
    struct cis_str name; /* DIRENT: name; MEMORY: key */
    struct cis_str ns;   /* MEMORY */
};

/* The blob of a commit whose keys nobody needs any more (gc): one byte, which no blob begins with.
 */
#define CIS_KEYS_DROPPED 0xffu

/* The order of keys in a blob: kind, then (ino, name), or (ns, key) of memory. */
int cis_key_cmp(const struct cis_key *a, const struct cis_key *b);
/* Appends; the caller brings them in order, each once. buf holds nothing but keys. */
void cis_keys_add(struct cis_buf *buf, const struct cis_key *key);
/* Reads the next key at *at (0: the first); names are borrowed from the blob. *out_more false at
 * the end. CIS_E_DAMAGED: the blob is not what cis_keys_add writes. CIS_E_EXPIRED: it is
 * CIS_KEYS_DROPPED. */
cis_code cis_keys_next(struct cis_bytes keys, size_t *at, struct cis_key *out, bool *out_more,
                       struct cis_error *err);

/* The keys of one commit may be 256 MiB. Nobody who reads them holds more of them at a time than
 * this, and what a backend needs for it: */
#define CIS_KEYS_PIECE (256u << 10)
#define CIS_KEYS_HELD (1u << 20)
/* A backend reads them in parts that end anywhere, of so many bytes at most, and one key that is
 * cut waits for its rest. */
#define CIS_KEY_MAX 2048u /* bytes of a key, packed; no key has as many */
#define CIS_KEYS_PART (CIS_KEYS_PIECE - CIS_KEY_MAX)
struct cis_keys_cut {
    uint8_t *piece; /* CIS_KEYS_PIECE bytes; NULL: nothing waits */
    size_t len;
    uint64_t from; /* bytes of the commit's keys that were taken */
};
void cis_keys_cut_done(struct cis_keys_cut *cut);
/* row->keys is the part that begins at cut->from of `total` bytes: gives the row with the keys that
 * are whole. *out_wanted is what `each` said. CIS_E_DAMAGED: the part is not of these keys. */
cis_code cis_keys_part(struct cis_keys_cut *cut, struct cis_fs_commit_row *row, uint64_t total,
                       cis_fs_commit_each *each, void *self, bool *out_wanted,
                       struct cis_error *err);

/* ---- what a backend provides inside its transaction ---- */
typedef struct cis_commit_txn cis_commit_txn;

struct cis_commit_head {
    struct cis_view head; /* of the branch that the ref names now */
    uint64_t files, bytes;
    uint64_t kv_bytes, kv_keys;
    uint64_t fence;   /* of a lease that has not run out, 0: none */
    char holder[128]; /* who has it, for the message */
    uint64_t quota_files, quota_bytes;
    uint64_t floor;      /* a base below it is CIS_E_EXPIRED unless it is kept */
    uint64_t fork_epoch; /* a base below it is no base: what came before is another branch's log */
    int64_t now_ms;
};

/* Rows to insert at (branch, epoch), then the commit's row, then the head moves. */
struct cis_commit_rows {
    struct cis_view at;
    const struct cis_fs_dirent *dirents;
    size_t ndirents;
    const struct cis_fs_inode *inodes; /* gone ones are tombstones */
    size_t ninodes;
    const struct cis_fs_new_extent *extents; /* new_chunk resolved by the backend from chunks */
    size_t nextents;
    const struct cis_fs_chunk *chunks;
    size_t nchunks;
    const struct cis_kv_op *kv; /* the kv primitive has applied them; for the record */
    size_t nkv;
    const struct cis_fs_commit_row *row;
    uint64_t files, bytes, kv_bytes, kv_keys; /* at the new head */
};

struct cis_commit_txn_ops {
    /* A branch forked from the view, and ref as its name; before head, and only for commits that
     * ask for it. CIS_E_EXISTS. */
    cis_code (*fork)(cis_commit_txn *, struct cis_str ref, struct cis_view from,
                     struct cis_error *err);
    /* Locks ref (empty: the current), branch and usage, in that order. */
    cis_code (*head)(cis_commit_txn *, struct cis_str ref, struct cis_commit_head *out,
                     struct cis_error *err);
    /* How many bytes the keys of these commits are in all; reads none of them. */
    cis_code (*keys_bytes)(cis_commit_txn *, uint64_t branch, uint64_t after, uint64_t upto,
                           uint64_t *out, struct cis_error *err);
    /* Keys of the branch's commits with after < epoch ≤ upto, oldest first, none left out, in
     * pieces (cis_fs_commit_row). */
    cis_code (*keys)(cis_commit_txn *, uint64_t branch, uint64_t after, uint64_t upto,
                     cis_fs_commit_each *each, void *self, struct cis_error *err);
    cis_code (*inodes)(cis_commit_txn *, struct cis_view at, const uint64_t *inos, size_t n,
                       cis_fs_inode_each *each, void *self, struct cis_error *err);
    /* Applies the memory operations at the epoch and says how much they grew; called before write,
     * and not at all without operations. */
    cis_code (*kv)(cis_commit_txn *, struct cis_view at, const struct cis_kv_op *ops, size_t n,
                   int64_t *out_bytes, int64_t *out_keys, struct cis_error *err);
    cis_code (*write)(cis_commit_txn *, const struct cis_commit_rows *rows, struct cis_error *err);
    /* Does a snapshot, a fork or a pin hold a view below its branch's floor? */
    cis_code (*kept)(cis_commit_txn *, struct cis_view view, bool *out, struct cis_error *err);
};

/* Checks and writes the filesystem's and the memory's part of the commit. What is well formed is
 * the caller's to check before it takes locks (cis_store_commit_check). A commit that changes
 * neither files nor memory asks and writes nothing (a fork makes its branch all the same): *out is
 * its base, with counts 0.
 *
 * CIS_E_CONFLICT, CIS_E_EXPIRED (base below the floor), CIS_E_QUOTA, CIS_E_INVALID (a base that is
 * ahead of the head), CIS_E_DAMAGED (a commit's keys are missing or malformed). */
cis_code cis_commit_apply(const struct cis_commit_txn_ops *ops, cis_commit_txn *txn,
                          const struct cis_store_commit *commit, struct cis_fs_committed *out,
                          struct cis_error *err);
/* ---- what is stored ----
 * A tenant's stored bytes count all of its rows (store/cost.h), and its quota bounds them. What
 * removes writes rows too, and has to work when the quota is used up: it has room above it. So have
 * records of runs, but less, so that they do not take that room; and between the two an undo, which
 * may bring something back: whoever is at the quota can take back what led there, and who does and
 * undoes the same for ever comes to an end. What was accepted before has no
 * bound here: who accepts keeps to the quota by itself (vfs/layered/quota.c), and what others store
 * meanwhile, or a quota that is lowered, takes nothing back that somebody was told is there. */
enum cis_stored_room {
    CIS_STORED_GROWTH,
    CIS_STORED_RECORD,
    CIS_STORED_UNDO,
    CIS_STORED_REMOVAL,
    CIS_STORED_ACCEPTED
};
enum cis_stored_room cis_commit_room(const struct cis_store_commit *commit);
/* Bytes that may be stored after a write of this kind that adds some. quota 0: no limit. What
 * removing a tree takes is at most what making it took: twice the quota, and a little. */
uint64_t cis_stored_limit(enum cis_stored_room room, uint64_t quota);
/* The same for a backend that reckons by itself: halves of the quota, and bytes. */
struct cis_stored_share {
    uint64_t halves, extra;
};
struct cis_stored_share cis_stored_share(enum cis_stored_room room);
/* CIS_E_QUOTA; `after` is with the write. */
cis_code cis_stored_refuse(uint64_t after, uint64_t quota, struct cis_error *err);

/* Is what the caller hands in well formed (sorted, each key once, names valid, sizes in range)? */
cis_code cis_fs_commit_check(const struct cis_fs_commit *commit, struct cis_error *err);
bool cis_fs_commit_changes(const struct cis_fs_commit *fs);
/* A commit that changes something: may it, on that branch? See cis_fs_ref_check_writer. */
cis_code cis_commit_writer_check(const struct cis_store_commit *commit, struct cis_error *err);

#endif
