/* The quota of stored bytes: what a write may take of it, and beyond it. */
#include "base/mem.h"
#include "store/commit.h"

static bool only_removed(const struct cis_kv_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!ops[i].remove) {
            return false;
        }
    }
    return true;
}

static bool only_whiteouts(const struct cis_fs_commit *fs)
{
    for (size_t i = 0; i < fs->ndirents; i++) {
        if (fs->dirents[i].ino != 0) {
            return false;
        }
    }
    return fs->ndirents != 0;
}

/* A rename is a name that goes and one that comes. */
static bool names_grow(const struct cis_fs_commit *fs)
{
    size_t made = 0;
    for (size_t i = 0; i < fs->ndirents; i++) {
        made += fs->dirents[i].ino != 0;
    }
    return made > fs->ndirents - made;
}

/* What goes has rows of its own (whiteouts, tombstones, holes) and changes few others: the folders
 * that it goes from, the other names of a file. Rows that are written beside it, and content in
 * them, are growth however many names go: a removal may take room that nothing else may have. Sizes
 * say nothing here, those of sparse files are what a guest likes. */
#define ROWS_FREE 16
#define BYTES_FREE 4096
#define HOLES_FREE 65536 /* a file of 4 GiB that is cut to nothing */

static bool rows_grow(const struct cis_fs_commit *fs)
{
    size_t names = 0, gone = 0, comes = fs->ndeltas, holes = 0, bytes = 0;
    for (size_t i = 0; i < fs->ndirents; i++) {
        names += fs->dirents[i].ino == 0;
    }
    for (size_t i = 0; i < fs->nchanges; i++) {
        const struct cis_fs_change *change = &fs->changes[i];
        if (change->kind == CIS_FS_GONE) {
            gone++;
        } else {
            comes++;
            bytes += change->inode.data.len;
        }
    }
    for (size_t i = 0; i < fs->nextents; i++) {
        bool hole = fs->extents[i].chunk == 0 && fs->extents[i].new_chunk < 0;
        *(hole ? &holes : &comes) += 1;
    }
    return comes > 2 * (names + gone) + ROWS_FREE || holes > HOLES_FREE ||
           bytes > names * CIS_FS_INLINE_MAX + BYTES_FREE;
}

static bool removes(const struct cis_store_commit *c)
{
    const struct cis_fs_commit *fs = c->fs;
    if (c->fork || !only_removed(c->kv, c->nkv) || !only_removed(c->config, c->nconfig)) {
        return false;
    }
    return fs == NULL || (fs->nchunks == 0 && !names_grow(fs) && !rows_grow(fs) && fs->files <= 0 &&
                          fs->bytes <= 0 && (fs->files < 0 || fs->bytes < 0 || only_whiteouts(fs)));
}

enum cis_stored_room cis_commit_room(const struct cis_store_commit *c)
{
    const struct cis_fs_commit *fs = c->fs;
    if (c->takes_back) {
        return removes(c) ? CIS_STORED_REMOVAL : CIS_STORED_UNDO;
    }
    if (c->accepted && c->nkv == 0 && c->nconfig == 0) {
        return CIS_STORED_ACCEPTED;
    }
    bool files = fs != NULL && (fs->ndirents | fs->nchanges | fs->ndeltas | fs->nextents) != 0;
    if (!files && c->nkv == 0 && c->nconfig == 0 && !c->fork) {
        return CIS_STORED_RECORD;
    }
    return removes(c) ? CIS_STORED_REMOVAL : CIS_STORED_GROWTH;
}

struct cis_stored_share cis_stored_share(enum cis_stored_room room)
{
    switch (room) {
    case CIS_STORED_RECORD:
        return (struct cis_stored_share){3, 512u << 10};
    case CIS_STORED_UNDO:
        return (struct cis_stored_share){3, 768u << 10};
    case CIS_STORED_REMOVAL:
        return (struct cis_stored_share){4, 1u << 20};
    case CIS_STORED_ACCEPTED:
        return (struct cis_stored_share){INT64_MAX, INT64_MAX};
    case CIS_STORED_GROWTH:
        break;
    }
    return (struct cis_stored_share){2, 0};
}

uint64_t cis_stored_limit(enum cis_stored_room room, uint64_t quota)
{
    struct cis_stored_share share = cis_stored_share(room);
    uint64_t most = cis_size_add(cis_size_mul(quota / 2, share.halves), quota % 2);
    return quota != 0 ? cis_size_add(most, share.extra) : UINT64_MAX;
}

cis_code cis_stored_refuse(uint64_t after, uint64_t quota, struct cis_error *err)
{
    return cis_fail(err, CIS_E_QUOTA,
                    "%llu bytes would be stored, the tenant's limit is %llu; remove something, "
                    "then run cis fs gc",
                    (unsigned long long)after, (unsigned long long)quota);
}
