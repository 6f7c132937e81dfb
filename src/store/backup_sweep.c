/* All states of a tenant's trees, one after the other: the rows of a branch are applied in the
 * order of their epochs, what they changed is checked at each state that can be read, and where a
 * branch begins its rows are applied on top and then taken back. */
#include "store/backup_state.h"

#include <inttypes.h>
#include <sys/stat.h>
#include "base/mem.h"
#include "base/wraps.h"

struct frame {
    uint32_t branch;
    size_t state, row; /* the next ones */
    uint64_t at;       /* the epoch whose rows were applied last */
    size_t undo;       /* entries before it began */
};

struct checking {
    struct sweep s;
    const struct tree_check *check; /* may be NULL */
    const struct tree_branch *branches;
    const struct tree_state *states;
    size_t nbranches, nstates;
    struct cis_spill frames;
    uint64_t walk;          /* the last one */
    uint64_t branch, epoch; /* of the state that is checked */
};

static void checking_done(struct checking *j)
{
    cis_sweep_done(&j->s);
    cis_spill_done(&j->frames);
}

/* ---- one state ---- */
static cis_code bad(const struct checking *j, const struct node *n, const char *what)
{
    return cis_fail(j->s.err, CIS_E_DAMAGED,
                    "branch %" PRIu64 " at %" PRIu64 ": inode %" PRIu64 "%s", j->branch, j->epoch,
                    n->ino, what);
}

CIS_WRAPS static bool types_fit(const struct checking *j, const struct node *n,
                                const struct tree_row *row)
{
    return n->types == n->names * cis_sweep_type(&j->s, row);
}

static cis_code check_dir(const struct checking *j, const struct node *n,
                          const struct tree_row *row)
{
    bool root = n->ino == CIS_FS_ROOT;
    if (n->names != (root ? 0 : 1)) {
        return bad(j, n, root ? ": the root has a name" : ": a directory with several names");
    }
    if (row->parent != (root ? CIS_FS_ROOT : n->parents)) {
        return bad(j, n, ": its row names another directory");
    }
    if (row->nlink < 2 || row->nlink - 2 != n->subdirs) {
        return bad(j, n, ": its number of subdirectories is wrong");
    }
    return CIS_OK;
}

static cis_code check(const struct checking *j, const struct node *n)
{
    const struct tree_row *row = n->row != 0 ? &j->s.rows[n->row - 1] : NULL;
    bool there = row != NULL && (row->mode & TREE_GONE) == 0;
    if (!there && n->names != 0) {
        return bad(j, n, ": it has a name but does not exist");
    }
    if (!there && n->ino == CIS_FS_ROOT) {
        return bad(j, n, ": the root does not exist");
    }
    if (n->entries != 0 && (!there || !S_ISDIR(row->mode))) {
        return bad(j, n, ": it contains names but is not a directory");
    }
    if (!there) {
        return CIS_OK;
    }
    if (n->names == 0 && n->ino != CIS_FS_ROOT) {
        return bad(j, n, " has no name");
    }
    if (n->ino == CIS_FS_ROOT && !S_ISDIR(row->mode)) {
        return bad(j, n, ": the root is not a directory");
    }
    if (!types_fit(j, n, row)) {
        return bad(j, n, ": a name gives it another type");
    }
    if (S_ISDIR(row->mode)) {
        return check_dir(j, n, row);
    }
    return row->nlink == n->names ? CIS_OK : bad(j, n, ": its link count is wrong");
}

/* From a directory up. A circle has either a directory that was whole before and moved, from which
 * the way goes all round, or only ones that are new. New ones end at what was whole. */
static cis_code walk_up(struct checking *j, const struct node *from, uint64_t first)
{
    uint64_t walk = ++j->walk, ino = from->ino;
    bool far = from->moved != 0;
    for (;;) {
        struct node *n;
        CIS_TRY(cis_sweep_pace(&j->s));
        CIS_TRY(cis_sweep_node(&j->s, ino, &n));
        if (n->seen == walk) {
            return bad(j, n, ": a directory inside itself");
        }
        if (ino == CIS_FS_ROOT || n->seen >= first || (!far && n->whole != 0)) {
            return CIS_OK;
        }
        n->seen = walk;
        ino = n->parents; /* it has one name */
    }
}

/* What the caller is to look at: content of files. */
static cis_code look_at_blocks(struct checking *j, const struct tree_state *state, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t *inos = (const void *)j->s.changed.ptr;
        struct node *x;
        CIS_TRY(cis_sweep_pace(&j->s));
        CIS_TRY(cis_sweep_node(&j->s, inos[i], &x));
        const struct tree_row *row = x->row != 0 ? &j->s.rows[x->row - 1] : NULL;
        if (row != NULL && (row->mode & TREE_BLOCKS) != 0) {
            CIS_TRY(j->check->blocks(j->check->self, state, row->ino, row->size, j->s.err));
        }
    }
    return CIS_OK;
}

/* state: the caller's; NULL: one between two commits. */
static cis_code look(struct checking *j, uint32_t branch, uint64_t epoch,
                     const struct tree_state *state)
{
    size_t n = j->s.changed.len / sizeof(uint64_t);
    j->branch = j->branches[branch].id;
    j->epoch = epoch;
    for (int moved = -1; moved < 2; moved++) { /* each by itself; then ways of new ones; of moved */
        uint64_t first = j->walk + 1;          /* what this round saw leads to the root */
        for (size_t i = 0; i < n; i++) {
            const uint64_t *inos = (const void *)j->s.changed.ptr;
            struct node *x;
            CIS_TRY(cis_sweep_pace(&j->s));
            CIS_TRY(cis_sweep_node(&j->s, inos[i], &x));
            if (moved < 0) {
                CIS_TRY(check(j, x));
            } else if (cis_sweep_is_dir(&j->s, x) && (moved != 0 ? x->moved != 0 : x->whole == 0)) {
                CIS_TRY(walk_up(j, x, first));
            }
        }
    }
    if (j->check != NULL && state != NULL) {
        CIS_TRY(look_at_blocks(j, state, n));
    }
    cis_sweep_settle(&j->s);
    return CIS_OK;
}

/* ---- all of them ---- */
static cis_code push(struct checking *j, uint32_t branch)
{
    struct frame f = {.branch = branch,
                      .at = j->branches[branch].fork_epoch,
                      .undo = j->s.undo.len / sizeof(struct undone)};
    size_t low = 0, high = j->s.nrows;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (j->s.rows[mid].branch < branch) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    f.row = low;
    low = 0;
    high = j->nstates;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (j->states[mid].branch < branch) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    f.state = low;
    return cis_spill_add(&j->frames, &f, sizeof f, j->s.err);
}

/* Up to a state. What lies between two commits is a state too, from the floor on. */
static cis_code advance(struct checking *j, struct frame *f, const struct tree_state *state)
{
    uint64_t floor = j->branches[f->branch].floor;
    while (f->row < j->s.nrows && j->s.rows[f->row].branch == f->branch &&
           j->s.rows[f->row].epoch <= state->epoch) {
        uint64_t next = j->s.rows[f->row].epoch;
        if (next > f->at && next > floor && j->s.changed.len != 0) {
            CIS_TRY(look(j, f->branch, next - 1, NULL));
        }
        f->at = next > f->at ? next : f->at;
        CIS_TRY(cis_sweep_apply(&j->s, f->row));
        f->row++;
    }
    return CIS_OK;
}

static cis_code counts_fit(const struct checking *j, const struct tree_state *state)
{
    bool counted = state->look == TREE_LOOK_COUNTS || state->look == TREE_LOOK_COMMIT;
    return !counted || (state->files == j->s.files && state->bytes == j->s.bytes)
               ? CIS_OK
               : cis_fail(j->s.err, CIS_E_DAMAGED,
                          "branch %" PRIu64 " at %" PRIu64 ": it says %" PRIu64
                          " files with %" PRIu64 " bytes, and has %" PRIu64 " with %" PRIu64,
                          j->branches[state->branch].id, state->epoch, state->files, state->bytes,
                          j->s.files, j->s.bytes);
}

/* With a check, what changed stays noted until a state that shows it is whole: a fork takes along
 * what its parent changed, and what is taken back is noted anew. */
static cis_code check_state(struct checking *j, const struct tree_state *state)
{
    if (j->check != NULL && state->look == TREE_LOOK_FORK) {
        return CIS_OK;
    }
    cis_code code = look(j, state->branch, state->epoch, state);
    if (code == CIS_OK) {
        code = counts_fit(j, state);
    }
    if (j->check == NULL || (code != CIS_OK && code != CIS_E_DAMAGED)) {
        return code;
    }
    if (code == CIS_OK) {
        j->check->whole(j->check->self, state, j->s.links, j->s.files);
    }
    return CIS_OK;
}

static cis_code run(struct checking *j)
{
    while (j->frames.len != 0) {
        struct frame *f = (struct frame *)(void *)(j->frames.ptr + j->frames.len) - 1;
        const struct tree_state *state = &j->states[f->state];
        if (f->state == j->nstates || state->branch != f->branch) {
            size_t undo = f->undo;
            j->frames.len -= sizeof *f;
            CIS_TRY(cis_sweep_take_back(&j->s, undo));
            if (j->check == NULL) {
                cis_sweep_settle(&j->s); /* where it began is whole */
            }
            continue;
        }
        CIS_TRY(advance(j, f, state));
        CIS_TRY(check_state(j, state));
        f->state++;
        if (state->look == TREE_LOOK_FORK) {
            CIS_TRY(push(j, state->child));
        }
    }
    return CIS_OK;
}

cis_code cis_tree_sweep(const struct tree_rows *all, const struct tree_check *check,
                        struct cis_error *err)
{
    CIS_CLEANUP(checking_done)
    struct checking j = {.check = check,
                         .branches = (const void *)all->branches.ptr,
                         .states = (const void *)all->states.ptr,
                         .nbranches = all->branches.len / sizeof(struct tree_branch),
                         .nstates = all->states.len / sizeof(struct tree_state)};
    struct node *root;
    cis_sweep_init(&j.s, all, err);
    for (size_t i = 0; i < j.nbranches; i++) {
        if (j.branches[i].parent == 0 && j.branches[i].live) {
            CIS_TRY(cis_sweep_node(&j.s, CIS_FS_ROOT, &root));
            CIS_TRY(cis_sweep_note(&j.s, root)); /* it has to be there, whatever rows there are */
            CIS_TRY(push(&j, (uint32_t)i));
            CIS_TRY(run(&j));
        }
    }
    return CIS_OK;
}
