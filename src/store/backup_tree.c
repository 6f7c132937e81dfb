#include "store/backup_tree.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/crypto.h"
#include "base/mem.h"

struct cis_backup_tree {
    struct tree_rows all;
    uint8_t key[CIS_MAC_KEY_BYTES]; /* of names: whoever made the backup cannot know it */
    char current[CIS_FS_REF_MAX + 1];
    bool has_current;
    uint64_t next_ino;
    /* the lineage that is being read */
    size_t lineage; /* its branch's place + 1; those before it are whole */
    uint32_t ancestor;
    uint64_t upto, depth;
    bool ended; /* the last ancestor came */
};

#define BAD(...) cis_fail(err, CIS_E_DAMAGED, __VA_ARGS__)

cis_code cis_backup_tree_new(const struct cis_stop *stop, cis_backup_tree **out_tree,
                             struct cis_error *err)
{
    cis_backup_tree *t = cis_zalloc(sizeof *t);
    if (t == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "backup: out of memory");
    }
    t->all.stop = stop;
    cis_random_bytes(t->key, sizeof t->key);
    *out_tree = t;
    return CIS_OK;
}

void cis_backup_tree_free(cis_backup_tree *t)
{
    if (t != NULL) {
        cis_backup_tree_begin(t);
        cis_wipe(t->key, sizeof t->key);
        cis_free(t);
    }
}

void cis_backup_tree_begin(cis_backup_tree *t)
{
    cis_tree_rows_done(&t->all);
    t->current[0] = 0;
    t->has_current = false;
    t->next_ino = 0;
    t->lineage = 0;
    t->ended = true;
}

/* ---- branches ---- */
static struct tree_branch *branches(const cis_backup_tree *t, size_t *out_n)
{
    *out_n = t->all.branches.len / sizeof(struct tree_branch);
    return (struct tree_branch *)(void *)t->all.branches.ptr;
}

/* They come in the order of their ids. NULL: there is none. */
static struct tree_branch *find(const cis_backup_tree *t, int64_t id, uint32_t *out_place)
{
    size_t n, low = 0;
    struct tree_branch *all = branches(t, &n);
    for (size_t high = n; low < high;) {
        size_t mid = low + (high - low) / 2;
        if (all[mid].id < (uint64_t)id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *out_place = (uint32_t)low;
    return low < n && all[low].id == (uint64_t)id ? &all[low] : NULL;
}

static cis_code add_branch(cis_backup_tree *t, const struct cis_backup_value *v,
                           struct cis_error *err)
{
    struct tree_branch b = {.id = (uint64_t)v[0].i,
                            .fork_epoch = (uint64_t)v[2].i,
                            .head = (uint64_t)v[3].i,
                            .floor = (uint64_t)v[4].i,
                            .files = (uint64_t)v[6].i,
                            .bytes = (uint64_t)v[7].i};
    if (t->all.branches.len / sizeof b >= UINT32_MAX - 1) {
        return BAD("too many branches");
    }
    if (v[1].i != 0) {
        uint32_t place;
        const struct tree_branch *parent = find(t, v[1].i, &place);
        if (parent == NULL || b.fork_epoch > parent->head) {
            return BAD("it was forked from a state that its parent does not have");
        }
        b.parent = place + 1;
    }
    if ((b.parent == 0 && b.fork_epoch != 0) || b.head < b.fork_epoch) {
        return BAD("its head is older than the state it was forked from");
    }
    return cis_spill_add(&t->all.branches, &b, sizeof b, err);
}

/* Reads go by lineages, so each has to say what its branches say. */
static cis_code check_lineage(cis_backup_tree *t, const struct cis_backup_value *v,
                              struct cis_error *err)
{
    size_t n;
    struct tree_branch *all = branches(t, &n);
    if (t->ended) {
        if (t->lineage == n) {
            return BAD("it belongs to no branch");
        }
        t->ancestor = (uint32_t)t->lineage++;
        t->upto = INT64_MAX;
        t->depth = 0;
    } else {
        const struct tree_branch *below = &all[t->ancestor];
        t->upto = below->fork_epoch < t->upto ? below->fork_epoch : t->upto;
        t->ancestor = below->parent - 1;
        t->depth++;
    }
    t->ended = all[t->ancestor].parent == 0;
    return (uint64_t)v[0].i == all[t->lineage - 1].id && (uint64_t)v[1].i == t->depth &&
                   (uint64_t)v[2].i == all[t->ancestor].id && (uint64_t)v[3].i == t->upto
               ? CIS_OK
               : BAD("branch %" PRId64 ": its lineage does not match that of its parent", v[0].i);
}

/* ---- states ---- */
static cis_code add_state(cis_backup_tree *t, int64_t branch, uint64_t epoch, enum tree_look look,
                          uint64_t files, uint64_t bytes, struct cis_error *err)
{
    struct tree_state s = {.epoch = epoch, .files = files, .bytes = bytes, .look = look};
    size_t n;
    struct tree_branch *all = branches(t, &n), *b = find(t, branch, &s.branch);
    if (b == NULL || epoch > b->head) {
        return BAD("a state that its branch does not have");
    }
    while (b->parent != 0 && epoch <= b->fork_epoch) { /* whose state it is */
        s.branch = b->parent - 1;
        b = &all[s.branch];
    }
    return cis_spill_add(&t->all.states, &s, sizeof s, err);
}

static cis_code add_commit(cis_backup_tree *t, const struct cis_backup_value *v,
                           struct cis_error *err)
{
    uint32_t place;
    const struct tree_branch *b = find(t, v[0].i, &place);
    if (b == NULL || (uint64_t)v[1].i > b->head) {
        return BAD("branch %" PRId64 " has no commit %" PRId64, v[0].i, v[1].i);
    }
    return add_state(t, v[0].i, (uint64_t)v[1].i, TREE_LOOK_COMMIT, (uint64_t)v[3].i,
                     (uint64_t)v[4].i, err);
}

/* What of a branch can be read whatever holds it: its head and its forks. A branch that gc gave up
 * has a floor above its head. */
static cis_code add_branches(cis_backup_tree *t, struct cis_error *err)
{
    size_t n;
    struct tree_branch *all = branches(t, &n);
    for (size_t i = 0; i < n; i++) {
        struct tree_branch *b = &all[i];
        if (b->floor <= b->head) {
            CIS_TRY(
                add_state(t, (int64_t)b->id, b->head, TREE_LOOK_COUNTS, b->files, b->bytes, err));
        }
        if (b->parent == 0) { /* the empty tree is kept for ever */
            CIS_TRY(add_state(t, (int64_t)b->id, 0, TREE_LOOK_STATE, 0, 0, err));
        }
    }
    const struct tree_state *states = (const void *)t->all.states.ptr;
    for (size_t i = 0; i < t->all.states.len / sizeof *states; i++) {
        if (states[i].look != TREE_LOOK_COMMIT) {
            all[states[i].branch].live = true;
        }
    }
    for (size_t i = n; i-- > 0;) {
        struct tree_state fork = {.epoch = all[i].fork_epoch, .look = TREE_LOOK_FORK};
        if (all[i].live && all[i].parent != 0) {
            fork.child = (uint32_t)i;
            fork.branch = all[i].parent - 1;
            all[fork.branch].live = true;
            CIS_TRY(cis_spill_add(&t->all.states, &fork, sizeof fork, err));
        }
    }
    return CIS_OK;
}

/* ---- rows ---- */
static cis_code add_row(cis_backup_tree *t, int64_t branch, struct tree_row *row,
                        struct cis_error *err)
{
    const struct tree_branch *b = find(t, branch, &row->branch);
    if (b == NULL || row->epoch > b->head) {
        return BAD("branch %" PRId64 " has no commit %" PRIu64, branch, row->epoch);
    }
    if (row->ino >= t->next_ino) {
        return BAD("inode %" PRIu64 " was not given to any file yet", row->ino);
    }
    return cis_spill_add(&t->all.rows, row, sizeof *row, err);
}

static cis_code add_name(cis_backup_tree *t, const struct cis_backup_value *v,
                         struct cis_error *err)
{
    struct tree_row row = {.epoch = (uint64_t)v[2].i,
                           .ino = (uint64_t)v[3].i,
                           .parent = (uint64_t)v[1].i,
                           .mode = ((uint32_t)v[4].i & S_IFMT) | TREE_NAME};
    const struct cis_bytes parts[] = {{(const uint8_t *)&row.parent, sizeof row.parent}, v[5].b};
    uint8_t mac[CIS_MAC_BYTES];
    cis_mac(t->key, parts, 2, mac);
    memcpy(row.key, mac, sizeof row.key);
    return add_row(t, v[0].i, &row, err);
}

static cis_code add_inode(cis_backup_tree *t, const struct cis_backup_value *v,
                          const struct cis_fs_inode *inode, struct cis_error *err)
{
    struct tree_row row = {.epoch = (uint64_t)v[2].i,
                           .ino = (uint64_t)v[1].i,
                           .parent = inode->parent,
                           .size = inode->size,
                           .nlink = inode->nlink,
                           .mode = (inode->mode & S_IFMT) | (inode->gone ? TREE_GONE : 0)};
    return add_row(t, v[0].i, &row, err);
}

cis_code cis_backup_tree_row(cis_backup_tree *t, enum cis_backup_table table,
                             const struct cis_backup_value *v, const struct cis_fs_inode *inode,
                             struct cis_error *err)
{
    switch (table) {
    case CIS_BACKUP_TREE:
        t->next_ino = (uint64_t)v[3].i;
        memcpy(t->current, v[2].b.ptr, v[2].b.len); /* cis_fs_ref_valid */
        t->current[v[2].b.len] = 0;
        return CIS_OK;
    case CIS_BACKUP_BRANCH:
        return add_branch(t, v, err);
    case CIS_BACKUP_LINEAGE:
        return check_lineage(t, v, err);
    case CIS_BACKUP_REF:
        t->has_current =
            t->has_current ||
            cis_str_is((struct cis_str){(const char *)v[2].b.ptr, v[2].b.len}, t->current);
        return CIS_OK;
    case CIS_BACKUP_SNAPSHOT:
        return add_state(t, v[1].i, (uint64_t)v[2].i, TREE_LOOK_COUNTS, (uint64_t)v[4].i,
                         (uint64_t)v[5].i, err);
    case CIS_BACKUP_PIN:
        return add_state(t, v[1].i, (uint64_t)v[2].i, TREE_LOOK_STATE, 0, 0, err);
    case CIS_BACKUP_EPOCH:
        return add_commit(t, v, err);
    case CIS_BACKUP_DIRENT:
        return add_name(t, v, err);
    case CIS_BACKUP_INODE:
        return add_inode(t, v, inode, err);
    case CIS_BACKUP_CHUNK:
    case CIS_BACKUP_EXTENT:
    case CIS_BACKUP_MEMORY:
    case CIS_BACKUP_RUN:
    case CIS_BACKUP_CONFIG:
    case CIS_BACKUP_SKILL:
    case CIS_BACKUP_PUBLISH:
    case CIS_BACKUP_TABLES:
        break;
    }
    return CIS_OK;
}

/* ---- the end ---- */
/* Of each state that can be read the commit is there, but of a branch's beginning. What can not is
 * left out: commits below the floor that nothing holds. */
static cis_code check_commits(cis_backup_tree *t, struct cis_error *err)
{
    const struct tree_branch *all = (const void *)t->all.branches.ptr;
    struct tree_state *s = (void *)t->all.states.ptr;
    size_t n = t->all.states.len / sizeof *s, kept = 0;
    for (size_t i = 0, end; i < n; i = end) {
        const struct tree_branch *b = &all[s[i].branch];
        bool commit = s[i].epoch == b->fork_epoch, read = s[i].epoch >= b->floor;
        for (end = i; end < n && s[end].branch == s[i].branch && s[end].epoch == s[i].epoch;
             end++) {
            commit = commit || s[end].look == TREE_LOOK_COMMIT;
            read = read || s[end].look != TREE_LOOK_COMMIT;
        }
        if (read && !commit) {
            return BAD("branch %" PRIu64 ": commit %" PRIu64 " is missing", b->id, s[i].epoch);
        }
        for (size_t j = i; j < end && read; j++) {
            s[kept++] = s[j];
        }
    }
    t->all.states.len = kept * sizeof *s;
    return CIS_OK;
}

cis_code cis_backup_tree_end(cis_backup_tree *t, struct cis_error *err)
{
    size_t n;
    (void)branches(t, &n);
    if (!t->ended || t->lineage != n) {
        return BAD("a branch without its lineage");
    }
    if (!t->has_current) {
        return BAD("the current branch %s is missing", t->current);
    }
    CIS_TRY(add_branches(t, err));
    cis_tree_rows_sort(&t->all);
    CIS_TRY(check_commits(t, err));
    return cis_tree_sweep(&t->all, NULL, err);
}
