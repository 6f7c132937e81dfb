#include "store/circle.h"

#include "base/budget.h"
#include "base/mem.h"
#include "base/wraps.h"
#include "store/conflict_check.h"

struct circles {
    const struct cis_fs_commit *fs;
    const struct cis_commit_txn_ops *ops;
    cis_commit_txn *txn;
    struct cis_view head;
    struct cis_budget *budget;
    uint64_t charged;
    uint64_t *known; /* a hash table: directories whose parents lead to the root; 0: empty */
    size_t nknown, known_cap;
    uint64_t *way; /* what is walked up now */
    size_t nway, way_cap;
};

static void circles_done(struct circles *c)
{
    if (c->budget != NULL) {
        cis_budget_release(c->budget, c->charged);
    }
    cis_free(c->known);
    cis_free(c->way);
}

static cis_code room(struct circles *c, size_t n, uint64_t **out, struct cis_error *err)
{
    uint64_t bytes = cis_size_mul(n, sizeof **out);
    if (c->budget != NULL) {
        CIS_TRY(cis_budget_charge(c->budget, bytes, "commit of files", err));
        c->charged += bytes;
    }
    *out = cis_calloc(n, sizeof **out);
    return *out != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "commit: out of memory");
}

/* Where the directory is in the table, or would be. */
static uint64_t *slot_of(uint64_t *table, size_t cap, uint64_t ino)
{
    size_t at = (size_t)(cis_mix(ino) >> 32) & (cap - 1);
    while (table[at] != 0 && table[at] != ino) {
        at = (at + 1) & (cap - 1);
    }
    return &table[at];
}

static bool is_known(const struct circles *c, uint64_t ino)
{
    return c->known_cap != 0 && *slot_of(c->known, c->known_cap, ino) == ino;
}

static cis_code known_add(struct circles *c, uint64_t ino, struct cis_error *err)
{
    if (c->nknown * 2 >= c->known_cap) {
        size_t cap = cis_cap_next(c->known_cap, 64, CIS_MEM_MAX);
        uint64_t *more;
        CIS_TRY(room(c, cap, &more, err));
        for (size_t i = 0; i < c->known_cap; i++) {
            if (c->known[i] != 0) {
                *slot_of(more, cap, c->known[i]) = c->known[i];
            }
        }
        cis_free(c->known);
        c->known = more;
        c->known_cap = cap;
    }
    uint64_t *slot = slot_of(c->known, c->known_cap, ino);
    c->nknown += *slot == 0;
    *slot = ino;
    return CIS_OK;
}

static cis_code way_add(struct circles *c, uint64_t ino, struct cis_error *err)
{
    if (c->nway == c->way_cap) {
        size_t cap = cis_cap_next(c->way_cap, 64, CIS_MEM_MAX);
        uint64_t *more;
        CIS_TRY(room(c, cap, &more, err));
        for (size_t i = 0; i < c->nway; i++) {
            more[i] = c->way[i];
        }
        cis_free(c->way);
        c->way = more;
        c->way_cap = cap;
    }
    c->way[c->nway++] = ino;
    return CIS_OK;
}

static bool parent_row(void *self, const struct cis_fs_inode *inode)
{
    *(uint64_t *)self = inode->parent;
    return false;
}

/* Where a directory is at the head plus my changes. */
static cis_code parent_of(struct circles *c, uint64_t ino, uint64_t *out, struct cis_error *err)
{
    size_t n;
    const struct cis_fs_change *change = cis_conflict_check_change(c->fs, ino, &n);
    for (size_t i = 0; i < n; i++) {
        if (change[i].kind == CIS_FS_MOVED || change[i].kind == CIS_FS_PUT) {
            *out = change[i].inode.parent;
            return CIS_OK;
        }
    }
    *out = 0;
    CIS_TRY(c->ops->inodes(c->txn, c->head, &ino, 1, parent_row, out, err));
    return *out != 0 ? CIS_OK
                     : cis_fail(err, CIS_E_CONFLICT, "another run removed directory %llu first",
                                (unsigned long long)ino);
}

/* The mark finds a knot that the walk runs into without being part of it (Brent). */
static cis_code check_one(struct circles *c, uint64_t moved, uint64_t parent, struct cis_error *err)
{
    uint64_t mark = 0, steps = 0, limit = 64;
    c->nway = 0;
    for (uint64_t at = parent; at != CIS_FS_ROOT && !is_known(c, at); steps++) {
        if (at == moved || at == mark) {
            return cis_fail(
                err, CIS_E_CONFLICT,
                "another run moved directories first: inode %llu would be inside itself",
                (unsigned long long)moved);
        }
        if (steps == limit) {
            mark = at;
            limit *= 2;
        }
        CIS_TRY(way_add(c, at, err));
        CIS_TRY(parent_of(c, at, &at, err));
    }
    for (size_t i = 0; i < c->nway; i++) {
        CIS_TRY(known_add(c, c->way[i], err));
    }
    return known_add(c, moved, err);
}

cis_code cis_circle_check(const struct cis_fs_commit *fs, const struct cis_commit_txn_ops *ops,
                          cis_commit_txn *txn, struct cis_view head, struct cis_budget *budget,
                          struct cis_error *err)
{
    CIS_CLEANUP(circles_done)
    struct circles c = {.fs = fs, .ops = ops, .txn = txn, .head = head, .budget = budget};
    for (size_t i = 0; i < fs->nchanges; i++) {
        const struct cis_fs_change *change = &fs->changes[i];
        if (change->kind == CIS_FS_MOVED) {
            CIS_TRY(check_one(&c, change->inode.ino, change->inode.parent, err));
        }
    }
    return CIS_OK;
}
