/* Whether a commit is well formed, checked by itself: nothing here looks at what is stored. */
#include <sys/stat.h>
#include "store/chunk.h"
#include "store/commit.h"

#define BLOCKS_MAX ((uint64_t)CIS_FS_SIZE_MAX / CIS_FS_BLOCK + 1)

static cis_code bad(struct cis_error *err, const char *what, uint64_t ino)
{
    return cis_fail(err, CIS_E_INVALID, "commit: %s (inode %llu)", what, (unsigned long long)ino);
}

static bool time_ok(struct cis_fs_time time)
{
    return time.ns < 1000000000u;
}

static bool type_ok(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
        return (mode & ~(uint32_t)(S_IFMT | 07777)) == 0;
    default:
        return false;
    }
}

static cis_code dirents_check(const struct cis_fs_commit *fs, struct cis_error *err)
{
    for (size_t i = 0; i < fs->ndirents; i++) {
        const struct cis_fs_dirent *e = &fs->dirents[i], *before = i != 0 ? e - 1 : NULL;
        if (e->parent == 0 || !cis_fs_name_valid(e->name)) {
            return bad(err, "an entry without a valid name and directory", e->parent);
        }
        if (e->ino == 0 ? e->mode != 0 : !type_ok(e->mode) || (e->mode & ~(uint32_t)S_IFMT) != 0) {
            return bad(err, "an entry without a type", e->parent);
        }
        if (before != NULL &&
            (before->parent > e->parent ||
             (before->parent == e->parent && cis_str_cmp(before->name, e->name) >= 0))) {
            return bad(err, "entries are not in order", e->parent);
        }
    }
    return CIS_OK;
}

static cis_code put_check(const struct cis_fs_change *change, struct cis_error *err)
{
    const struct cis_fs_inode *in = &change->inode;
    uint32_t type = in->mode & S_IFMT;
    bool dir = type == S_IFDIR, device = type == S_IFCHR || type == S_IFBLK;
    if (in->gone || in->nlink == 0 || (in->rdev != 0 && !device)) {
        return bad(err, "a row that no file has", in->ino);
    }
    if (dir ? !change->is_new || in->parent == 0 : in->parent != 0) {
        return bad(err, "a directory that is not new, or without a parent", in->ino);
    }
    bool fits = type == S_IFREG ? in->size <= CIS_FS_SIZE_MAX
                : type == S_IFLNK
                    ? in->size != 0 && in->size <= CIS_FS_TARGET_MAX && in->data.len == in->size
                    : in->size == 0;
    if (!fits || in->stored > (uint64_t)INT64_MAX) {
        return bad(err, "a size out of range", in->ino);
    }
    if (in->is_inline ? type != S_IFREG || in->size > CIS_FS_INLINE_MAX || in->data.len != in->size
                      : type != S_IFLNK && in->data.len != 0) {
        return bad(err, "inline content of the wrong length", in->ino);
    }
    return CIS_OK;
}

static cis_code change_check(const struct cis_fs_change *change, struct cis_error *err)
{
    const struct cis_fs_inode *in = &change->inode;
    if (in->ino == 0 || !type_ok(in->mode) || !time_ok(in->atime) || !time_ok(in->mtime) ||
        !time_ok(in->ctime) || !time_ok(in->btime)) {
        return bad(err, "an inode without a number, a type or valid times", in->ino);
    }
    switch (change->kind) {
    case CIS_FS_PUT:
        return put_check(change, err);
    case CIS_FS_GONE:
        return in->ino == CIS_FS_ROOT || change->is_new
                   ? bad(err, "removed, but it cannot be", in->ino)
                   : CIS_OK;
    case CIS_FS_MOVED:
        if (in->parent == 0 || in->ino == CIS_FS_ROOT) {
            return bad(err, "moved to nowhere", in->ino);
        }
        /* fall through */
    case CIS_FS_DIRATTR:
        return !S_ISDIR(in->mode) || change->is_new ? bad(err, "not a known directory", in->ino)
                                                    : CIS_OK;
    }
    return bad(err, "a change of unknown kind", in->ino);
}

/* Which kinds may stand beside each other: DIRATTR and MOVED, nothing else. */
static cis_code changes_check(const struct cis_fs_commit *fs, struct cis_error *err)
{
    for (size_t i = 0; i < fs->nchanges; i++) {
        const struct cis_fs_change *c = &fs->changes[i], *before = i != 0 ? c - 1 : NULL;
        CIS_TRY(change_check(c, err));
        if (before != NULL && before->inode.ino >= c->inode.ino &&
            (before->inode.ino != c->inode.ino || before->kind != CIS_FS_DIRATTR ||
             c->kind != CIS_FS_MOVED)) {
            return bad(err, "changes are not in order", c->inode.ino);
        }
    }
    return CIS_OK;
}

static cis_code deltas_check(const struct cis_fs_commit *fs, struct cis_error *err)
{
    size_t c = 0;
    for (size_t i = 0; i < fs->ndeltas; i++) {
        const struct cis_fs_delta *d = &fs->deltas[i];
        if (d->ino == 0 || !time_ok(d->mtime) || !time_ok(d->ctime) ||
            (i != 0 && fs->deltas[i - 1].ino >= d->ino)) {
            return bad(err, "deltas are not in order, or without valid times", d->ino);
        }
        while (c < fs->nchanges && fs->changes[c].inode.ino < d->ino) {
            c++;
        }
        if (c < fs->nchanges && fs->changes[c].inode.ino == d->ino &&
            fs->changes[c].kind == CIS_FS_PUT) {
            return bad(err, "a delta beside a whole row", d->ino);
        }
    }
    return CIS_OK;
}

static cis_code extents_check(const struct cis_fs_commit *fs, struct cis_error *err)
{
    for (size_t i = 0; i < fs->nextents; i++) {
        const struct cis_fs_new_extent *e = &fs->extents[i], *before = i != 0 ? e - 1 : NULL;
        if (e->ino == 0 || e->block >= BLOCKS_MAX || e->chunk > (uint64_t)INT64_MAX ||
            e->new_chunk < -1 ||
            (e->new_chunk >= 0 && (e->chunk != 0 || (size_t)e->new_chunk >= fs->nchunks))) {
            return bad(err, "an extent of no block or no chunk", e->ino);
        }
        if (before != NULL &&
            (before->ino > e->ino || (before->ino == e->ino && before->block >= e->block))) {
            return bad(err, "extents are not in order", e->ino);
        }
    }
    return CIS_OK;
}

static cis_code chunks_check(const struct cis_fs_commit *fs, struct cis_error *err)
{
    size_t payload = 0;
    for (size_t i = 0; i < fs->nchunks; i++) {
        struct cis_bytes packed = fs->chunks[i].packed;
        if (packed.len <= CIS_CHUNK_HEAD || packed.len > CIS_CHUNK_PACKED_MAX ||
            cis_chunk_len(packed.ptr) == 0) {
            return bad(err, "a chunk that is not packed", 0);
        }
        payload += packed.len - CIS_CHUNK_HEAD;
    }
    return payload > CIS_FS_BLOCK ? bad(err, "more chunk bytes than a commit holds", 0) : CIS_OK;
}

cis_code cis_fs_commit_check(const struct cis_fs_commit *commit, struct cis_error *err)
{
    if (commit->base.branch == 0) {
        return bad(err, "no base", 0);
    }
    CIS_TRY(dirents_check(commit, err));
    CIS_TRY(changes_check(commit, err));
    CIS_TRY(deltas_check(commit, err));
    CIS_TRY(extents_check(commit, err));
    return chunks_check(commit, err);
}

bool cis_fs_commit_changes(const struct cis_fs_commit *fs)
{
    return fs->ndirents != 0 || fs->nchanges != 0 || fs->ndeltas != 0 || fs->nextents != 0;
}

cis_code cis_commit_writer_check(const struct cis_store_commit *commit, struct cis_error *err)
{
    bool files = commit->fs != NULL && cis_fs_commit_changes(commit->fs);
    if (!files && commit->nkv == 0 && !commit->fork) {
        return CIS_OK;
    }
    struct cis_str kind = commit->kind != NULL ? cis_str_of(commit->kind) : CIS_STR("");
    return cis_fs_ref_check_writer(commit->ref, kind, err);
}
