/* Many states: each is checked by what it changes of the one that it descends from. The rows of
 * every branch are read once and swept (store/backup_tree.h); a state that the sweep finds whole is
 * not walked. What it does not, whatever the reason, is: findings are told by the walk alone, and
 * rows that went or cannot be read meanwhile cost time and nothing else. */
#include "history/fsck.h"
#include "base/crypto.h"
#include "store/backup_tree.h"
#include "store/calls.h"

#include <stdlib.h>
#include <sys/stat.h>

#define PAGE 4096u

struct sweeping {
    struct fsck *f;
    struct fsck_target *targets;
    struct tree_rows all;
    uint8_t key[CIS_MAC_KEY_BYTES]; /* of names */
    /* the scan */
    uint32_t branch;
    size_t inodes, inodes_end; /* of this branch, in all.rows */
    struct tree_row touched;   /* the last one */
    struct cis_fs_key after;
    char name[CIS_FS_NAME_MAX + 1]; /* of after */
    uint32_t seen;
    bool odd; /* what the sweep does not check is wrong */
    cis_code code;
    struct cis_error *err;
};

static int row_cmp(const void *a, const void *b)
{
    const struct tree_row *x = a, *y = b;
    if (x->ino != y->ino) {
        return x->ino < y->ino ? -1 : 1;
    }
    return x->epoch < y->epoch ? -1 : x->epoch > y->epoch;
}

/* Blocks that came with a row of their inode say nothing new. */
static bool is_told(const struct sweeping *s, const struct tree_row *row)
{
    const struct tree_row *rows = (const void *)s->all.rows.ptr;
    size_t n = s->inodes_end - s->inodes;
    return (s->touched.mode != 0 && row_cmp(&s->touched, row) == 0) ||
           (n != 0 && bsearch(row, rows + s->inodes, n, sizeof *rows, row_cmp) != NULL);
}

static struct tree_row of_name(struct sweeping *s, const struct cis_fs_dirent *dirent)
{
    struct tree_row row = {
        .ino = dirent->ino, .parent = dirent->parent, .mode = (dirent->mode & S_IFMT) | TREE_NAME};
    const struct cis_bytes parts[] = {{(const uint8_t *)&row.parent, sizeof row.parent},
                                      {(const uint8_t *)dirent->name.ptr, dirent->name.len}};
    uint8_t mac[CIS_MAC_BYTES];
    cis_mac(s->key, parts, 2, mac);
    memcpy(row.key, mac, sizeof row.key);
    s->odd |= !cis_fs_name_valid(dirent->name);
    return row;
}

static struct tree_row of_inode(struct sweeping *s, const struct cis_fs_inode *inode)
{
    bool blocks = !inode->gone && !inode->is_inline && is_file(inode->mode) &&
                  (inode->size != 0 || inode->stored != 0);
    s->odd |= !inode->gone && inode->is_inline && inode->data.len != inode->size;
    return (struct tree_row){.ino = inode->ino,
                             .parent = inode->parent,
                             .size = inode->size,
                             .nlink = inode->nlink,
                             .mode = (inode->mode & S_IFMT) | (inode->gone ? TREE_GONE : 0) |
                                     (blocks ? TREE_BLOCKS : 0)};
}

static bool take_row(void *self, const struct cis_fs_key *key, const struct cis_fs_dirent *dirent,
                     const struct cis_fs_inode *inode, const struct cis_fs_extent *extent)
{
    struct sweeping *s = self;
    (void)extent;
    s->seen++;
    s->after = *key;
    s->after.name = (struct cis_str){s->name, 0};
    if (key->name.len > CIS_FS_NAME_MAX) {
        s->odd = true;
        return false;
    }
    if (key->name.len != 0) {
        memcpy(s->name, key->name.ptr, key->name.len);
        s->after.name.len = key->name.len;
    }
    struct tree_row row = dirent != NULL  ? of_name(s, dirent)
                          : inode != NULL ? of_inode(s, inode)
                                          : (struct tree_row){.ino = key->ino, .mode = TREE_TOUCH};
    row.epoch = key->epoch;
    row.branch = s->branch;
    if (row.mode == TREE_TOUCH) {
        if (is_told(s, &row)) {
            return true;
        }
        s->touched = row;
    }
    s->code = cis_spill_add(&s->all.rows, &row, sizeof row, s->err);
    return s->code == CIS_OK && !s->odd;
}

static size_t count_rows(const struct sweeping *s)
{
    return s->all.rows.len / sizeof(struct tree_row);
}

static cis_code scan(struct sweeping *s, enum cis_fs_table table, uint64_t branch)
{
    const struct cis_history *h = s->f->h;
    bool first = true;
    do {
        struct cis_fs_key after = s->after;
        char name[CIS_FS_NAME_MAX + 1]; /* the row that comes is written over it */
        memcpy(name, s->name, sizeof name);
        after.name.ptr = name;
        s->seen = 0;
        CIS_TRY(cis_store_scan(
            h->store, h->tenant,
            &(struct cis_fs_scan_query){
                .table = table, .branch = branch, .after = first ? NULL : &after, .limit = PAGE},
            take_row, s, h->stop, s->err));
        CIS_TRY(s->code);
        first = false;
    } while (s->seen == PAGE && !s->odd);
    return CIS_OK;
}

/* Inodes before blocks: is_told. */
static cis_code scan_branch(struct sweeping *s, uint32_t place)
{
    uint64_t id = s->f->branches.at[place].id;
    s->branch = place;
    s->touched.mode = 0;
    CIS_TRY(scan(s, CIS_FS_DIRENTS, id));
    s->inodes = count_rows(s);
    CIS_TRY(scan(s, CIS_FS_INODES, id));
    s->inodes_end = count_rows(s);
    return scan(s, CIS_FS_EXTENTS, id);
}

/* ---- what is checked ---- */
static cis_code add_branches(struct sweeping *s)
{
    const struct cis_branches *all = &s->f->branches;
    for (size_t i = 0; i < all->n && i < UINT32_MAX; i++) {
        const struct cis_branch *b = &all->at[i];
        const struct cis_branch *parent = b->parent != 0 ? cis_branches_find(all, b->parent) : NULL;
        struct tree_branch x = {.id = b->id,
                                .head = b->head,
                                .floor = UINT64_MAX,
                                .fork_epoch = b->fork_epoch,
                                .parent = parent != NULL ? (uint32_t)(parent - all->at) + 1 : 0};
        s->odd |= b->parent != 0 &&
                  (parent == NULL || parent->id >= b->id || b->fork_epoch < parent->fork_epoch);
        CIS_TRY(cis_spill_add(&s->all.branches, &x, sizeof x, s->err));
    }
    return CIS_OK;
}

/* The targets, and where the branches begin that lead to them. */
static cis_code add_states(struct sweeping *s, size_t n)
{
    const struct cis_branches *all = &s->f->branches;
    struct tree_branch *branches = (void *)s->all.branches.ptr;
    for (size_t i = 0; i < n; i++) {
        const struct fsck_target *t = &s->targets[i];
        const struct cis_branch *b = cis_branches_find(all, t->view.branch);
        if (b == NULL) {
            continue; /* it was made since */
        }
        struct tree_state state = {.epoch = t->view.epoch,
                                   .files = t->files,
                                   .bytes = t->bytes,
                                   .branch = (uint32_t)(b - all->at),
                                   .child = (uint32_t)i,
                                   .look = TREE_LOOK_COUNTS};
        branches[state.branch].live = true;
        CIS_TRY(cis_spill_add(&s->all.states, &state, sizeof state, s->err));
    }
    for (size_t i = all->n; i-- > 0;) { /* a fork's number is greater than its parent's */
        struct tree_state fork = {
            .epoch = branches[i].fork_epoch, .child = (uint32_t)i, .look = TREE_LOOK_FORK};
        if (branches[i].live && branches[i].parent != 0) {
            fork.branch = branches[i].parent - 1;
            branches[fork.branch].live = true;
            CIS_TRY(cis_spill_add(&s->all.states, &fork, sizeof fork, s->err));
        }
    }
    return CIS_OK;
}

/* ---- what is found ---- */
static cis_code blocks(void *self, const struct tree_state *state, uint64_t ino, uint64_t size,
                       struct cis_error *err)
{
    const struct sweeping *s = self;
    bool fit = false;
    cis_code code =
        cis_fsck_blocks_fit(s->f->h, s->targets[state->child].view, ino, size, &fit, err);
    if (cis_fsck_is_damage(code) || code == CIS_E_EXPIRED || (code == CIS_OK && !fit)) {
        return cis_fail(err, CIS_E_DAMAGED, "the blocks of a file");
    }
    return code;
}

static void whole(void *self, const struct tree_state *state, uint64_t names, uint64_t files)
{
    struct sweeping *s = self;
    s->targets[state->child].whole = true;
    s->f->counts.views++;
    s->f->counts.names += names;
    s->f->counts.files += files;
}

static cis_code sweep(struct sweeping *s, size_t n)
{
    CIS_TRY(add_branches(s));
    if (s->odd) {
        return CIS_OK;
    }
    CIS_TRY(add_states(s, n));
    const struct tree_branch *branches = (const void *)s->all.branches.ptr;
    for (size_t i = 0; i < s->f->branches.n && !s->odd; i++) {
        if (branches[i].live) {
            CIS_TRY(scan_branch(s, (uint32_t)i));
        }
    }
    if (s->odd) {
        return CIS_OK;
    }
    cis_tree_rows_sort(&s->all);
    const struct tree_check check = {s, blocks, whole};
    return cis_tree_sweep(&s->all, &check, s->err);
}

cis_code cis_fsck_sweep(struct fsck *f, struct fsck_target *targets, size_t n)
{
    struct cis_error why = {0};
    struct sweeping s = {.f = f, .targets = targets, .all = {.stop = f->h->stop}, .err = &why};
    cis_random_bytes(s.key, sizeof s.key);
    cis_code code = sweep(&s, n);
    cis_tree_rows_done(&s.all);
    /* Where it has no room the walk may have it, and what cannot be read the walk names. */
    return code == CIS_OK || cis_fsck_is_damage(code) || code == CIS_E_IO || code == CIS_E_NOMEM
               ? CIS_OK
               : cis_fail(f->err, code, "%s", why.msg);
}
