/* What all views of an fs cache share, for the files of this room: caches of names and inodes
 * (sets.c), of immutable content (blobs.c), lines (one a tenant and branch, which know up to which
 * epoch the caches were carried forward), inode numbers, helper threads that pack (pack.c).
 *
 * A cached row is valid for views with from ≤ epoch ≤ to. `to` of the newest row of a key is
 * LAY_OPEN: valid for every view of the line that exists. When a line learns of newer commits it
 * closes the rows whose keys they changed (branch_cache.c) before any view of the newer epoch
 * exists, so nothing is cleared and older views stay right.
 *
 * The order of its locks is in locks.h with those of views. The store is asked under a line's
 * `forward` and a tenant's `numbers`, and under no other lock of this file. */
#ifndef CIS_VFS_LAYERED_FS_CACHE_H
#define CIS_VFS_LAYERED_FS_CACHE_H

#include <pthread.h>
#include <stdatomic.h>
#include "base/mem.h"
#include "base/wraps.h"
#include "store/chunk.h"
#include "vfs/layered/layered.h"
#include "vfs/layered/locks.h"

#define LAY_OPEN UINT64_MAX
#define LAY_GROUP 64u /* blocks in one cached piece of a file's extents */
#define LAY_READAHEAD_MAX 64u
#define LAY_HELPERS_MAX 4u /* threads that pack */

/* ---- hash.c: a name in a directory as 128 bits, keyed: the caches hold no names ---- */
struct lay_hash {
    uint64_t a, b;
};
struct lay_key {
    uint64_t k0, k1;
};
struct lay_hash cis_lay_hash(const struct lay_key *key, uint64_t parent, struct cis_str name);
CIS_WRAPS static inline uint64_t cis_lay_mix(uint64_t x)
{
    x ^= x >> 32;
    x = cis_mix(x);
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9ull;
    return x ^ x >> 32;
}

/* ---- sets.c: fixed-size rows in sets of eight ways; readers take no lock ---- */
enum { LAY_ENTRY_WORDS = 8, LAY_INODE_WORDS = 18, LAY_WORDS_MAX = 18 };
enum { LAY_W_KEY0, LAY_W_KEY1, LAY_W_LINE, LAY_W_FROM, LAY_W_TO, LAY_W_DATA };

struct lay_sets {
    uint8_t *sets;  /* each: its head, then its rows, so that a row costs one page */
    size_t stride;  /* bytes of a set */
    uint32_t words; /* of a row */
    uint64_t mask;
    _Atomic uint64_t held;
};
cis_code cis_lay_sets_init(struct lay_sets *sets, uint32_t rows, uint32_t words,
                           struct cis_error *err);
void cis_lay_sets_done(struct lay_sets *sets);
/* The row of the key that is valid at the epoch, copied to out. */
bool cis_lay_sets_get(struct lay_sets *sets, uint64_t key0, uint64_t key1, uint64_t line,
                      uint64_t epoch, uint64_t *out);
/* row[LAY_W_TO] is the epoch it was read at; it becomes LAY_OPEN when the line has not begun to
 * move beyond it. */
void cis_lay_sets_put(struct lay_sets *sets, uint64_t *row, const _Atomic uint64_t *line_moving);
/* Rows of the key that are open and older than epoch end before it. True: there was one. */
bool cis_lay_sets_close(struct lay_sets *sets, uint64_t key0, uint64_t key1, uint64_t line,
                        uint64_t epoch);

/* ---- blobs.c: immutable content by key, counted, bounded in bytes ---- */
enum lay_kind { LAY_CHUNK = 1, LAY_PIECE, LAY_EXTENTS, LAY_INLINE, LAY_LISTING };
struct lay_blob_key {
    enum lay_kind kind;
    uint64_t w[4];
};
struct lay_blob {
    atomic_uint refs;
    struct lay_blob_key key;
    uint32_t len;
    bool used; /* again since the clock came by */
    struct lay_blob *chain, *newer, *older;
    uint8_t data[];
};
struct lay_blobs {
    struct lay_blob_shard *shards;
    uint32_t nshards;
    _Atomic uint64_t held; /* bytes that views hold in its place */
};
cis_code cis_lay_blobs_init(struct lay_blobs *blobs, uint64_t bytes, struct cis_error *err);
void cis_lay_blobs_done(struct lay_blobs *blobs);
/* With a reference; NULL: not there. */
struct lay_blob *cis_lay_blob_get(struct lay_blobs *blobs, const struct lay_blob_key *key)
    CIS_TAKES(LAY_FROM_BLOBS);
/* One reference, content to be filled in before anyone else sees it; NULL: out of memory. */
struct lay_blob *cis_lay_blob_new(const struct lay_blob_key *key, size_t len);
/* Offers it to the cache; the caller keeps its reference. */
void cis_lay_blob_put(struct lay_blobs *blobs, struct lay_blob *blob) CIS_TAKES(LAY_FROM_BLOBS);
/* What a view of many changes has to hold, so much more or less now, is taken from what the cache
 * may keep, up to two thirds of it: it gives way as it is used. */
void cis_lay_blobs_hold(struct lay_blobs *blobs, uint64_t bytes, bool more);
void cis_lay_blob_unref(struct lay_blob *blob);
uint64_t cis_lay_blobs_bytes(struct lay_blobs *blobs) CIS_TAKES(LAY_FROM_BLOBS);

/* ---- rows in the form of this room ---- */
struct lay_entry { /* ino 0: there is no such name */
    uint64_t ino, epoch;
    uint32_t type;
};
/* ---- tenants and lines ---- */
struct lay_tenant {
    char name[CIS_TENANT_MAX + 1];
    char exact[CIS_FS_EXACT_MAX]; /* and never another one of that name */
    uint32_t uid;
    uint8_t key[32]; /* of content hashes */
    pthread_mutex_t numbers;
    uint64_t next_ino CIS_GUARDED_BY(lay_lock_numbers), end_ino CIS_GUARDED_BY(lay_lock_numbers);
    uint32_t batch CIS_GUARDED_BY(lay_lock_numbers);
    struct lay_tenant *next CIS_GUARDED_BY(lay_lock_fs_cache);
};
struct lay_branch_cache {
    struct lay_tenant *tenant;
    uint64_t branch;
    uint64_t uid;            /* of cached rows */
    _Atomic uint64_t moving; /* carried forward to here, or on the way */
    pthread_mutex_t forward;
    uint64_t known CIS_GUARDED_BY(lay_lock_forward); /* carried forward to here */
    atomic_uint views;                               /* and operations that hold it */
    bool unlisted CIS_GUARDED_BY(lay_lock_fs_cache); /* replaced: goes with its last view */
    struct lay_branch_cache *next CIS_GUARDED_BY(lay_lock_fs_cache);
};

/* Hits of names and inodes are counted in the views' stripes (view.h): counting them here would
 * make every look-up of two threads meet. */
struct lay_counters {
    _Atomic uint64_t entry_misses, inode_misses, chunk_hits, chunk_misses, store_reads;
    _Atomic uint64_t entry_hits, inode_hits; /* of views that are closed */
};

struct cis_fs_cache {
    cis_store *store;
    struct cis_fs_cache_options options;
    struct lay_key key;
    struct lay_sets entries, inodes;
    struct lay_blobs blobs;
    struct lay_counters counters;
    pthread_mutex_t lock;
    struct lay_tenant *tenants CIS_GUARDED_BY(lay_lock_fs_cache);
    struct lay_branch_cache *lines CIS_GUARDED_BY(lay_lock_fs_cache);
    size_t nlines CIS_GUARDED_BY(lay_lock_fs_cache);
    uint64_t next_uid CIS_GUARDED_BY(lay_lock_fs_cache);
    struct lay_pack *pack;
    struct lay_view *views CIS_GUARDED_BY(lay_lock_fs_cache);
    pthread_t keeper;          /* renews pins (pin.c) */
    pthread_cond_t keep, kept; /* it is to look; it looked at a view */
    /* ends what the keeper asks the store for; NULL: it asks nothing */
    cis_cancel *looking CIS_GUARDED_BY(lay_lock_fs_cache);
    /* pins that the store has still to be told of (pin.c) */
    struct lay_loose *loose CIS_GUARDED_BY(lay_lock_fs_cache);
    bool keeping CIS_GUARDED_BY(lay_lock_fs_cache), ending CIS_GUARDED_BY(lay_lock_fs_cache);
    _Atomic uint64_t recent[256]; /* chunks of which a piece was read lately (chunk.c) */
};

/* Rows read at epoch (row.epoch ≤ epoch), into the caches. */
void cis_lay_entry_put(cis_fs_cache *fs_cache, struct lay_branch_cache *line, uint64_t epoch,
                       struct lay_hash hash, const struct lay_entry *entry);
bool cis_lay_entry_get(cis_fs_cache *fs_cache, struct lay_branch_cache *line, uint64_t epoch,
                       struct lay_hash hash, struct lay_entry *out);
/* Content of a row (inline, link target) goes to the blobs. */
void cis_lay_inode_put(cis_fs_cache *fs_cache, struct lay_branch_cache *line, uint64_t epoch,
                       const struct cis_fs_inode *row);
bool cis_lay_inode_get(cis_fs_cache *fs_cache, struct lay_branch_cache *line, uint64_t epoch,
                       uint64_t ino, struct cis_fs_inode *out);
struct lay_blob_key cis_lay_inline_key(const struct lay_branch_cache *line, uint64_t ino,
                                       uint64_t epoch);
struct lay_blob_key cis_lay_extents_key(const struct lay_branch_cache *line, uint64_t ino,
                                        uint64_t epoch, uint64_t group);
struct lay_blob_key cis_lay_listing_key(const struct lay_branch_cache *line, uint64_t dir,
                                        uint64_t epoch);

/* The tenant, made in the store when may_make and it is not there. Borrowed from the fs cache.
 * out_row: its quotas and use (the key is wiped). */
cis_code cis_lay_tenant(cis_fs_cache *fs_cache, struct cis_str name, bool may_make,
                        const struct cis_stop *stop, struct lay_tenant **out,
                        struct cis_tenant *out_row, struct cis_error *err)
    CIS_TAKES(LAY_FROM_FS_CACHE);
cis_code cis_lay_ino_new(cis_fs_cache *fs_cache, struct lay_tenant *tenant,
                         const struct cis_stop *stop, uint64_t *out_ino, struct cis_error *err)
    CIS_TAKES(LAY_FROM_NUMBERS);

/* The line of a branch, carried forward to epoch when it was behind; give back with line_leave. */
cis_code cis_lay_branch_cache_enter(cis_fs_cache *fs_cache, struct lay_tenant *tenant,
                                    struct cis_view at, const struct cis_stop *stop,
                                    struct lay_branch_cache **out, struct cis_error *err)
    CIS_TAKES(LAY_FROM_FORWARD);
void cis_lay_branch_cache_leave(cis_fs_cache *fs_cache, struct lay_branch_cache *line)
    CIS_TAKES(LAY_FROM_FS_CACHE);
void cis_lay_branch_cache_hold(struct lay_branch_cache *line);
/* New rows of an own commit, so that they need not be read again; keys of others between the line's
 * state and `at` are read first. Changes that are no whole rows, and deltas, are laid on what
 * others wrote: what they come to is read again. */
struct lay_news {
    const struct cis_fs_dirent *dirents;
    size_t ndirents;
    const struct cis_fs_change *changes;
    size_t nchanges;
    const struct cis_fs_delta *deltas;
    size_t ndeltas;
};
cis_code cis_lay_branch_cache_committed(cis_fs_cache *fs_cache, struct lay_branch_cache **line,
                                        struct cis_view at, const struct lay_news *news,
                                        const struct cis_stop *stop, struct cis_error *err)
    CIS_TAKES(LAY_FROM_FORWARD);

#define cis_lay_count(counter) atomic_fetch_add_explicit(&(counter), 1, memory_order_relaxed)

#endif
