/* The tables behind a sweep. */
#include "store/backup_state.h"

#include <stdlib.h>
#include <sys/stat.h>
#include "base/crypto.h"
#include "base/mem.h"
#include "base/wraps.h"

/* ---- what is swept ---- */
static int cmp(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int row_cmp(const void *a, const void *b)
{
    const struct tree_row *x = a, *y = b;
    return x->branch != y->branch ? cmp(x->branch, y->branch) : cmp(x->epoch, y->epoch);
}

static int state_cmp(const void *a, const void *b)
{
    const struct tree_state *x = a, *y = b;
    return x->branch != y->branch ? cmp(x->branch, y->branch) : cmp(x->epoch, y->epoch);
}

static void sort(struct cis_spill *s, size_t size, int (*order)(const void *, const void *))
{
    if (s->len > size) {
        qsort(s->ptr, s->len / size, size, order);
    }
}

void cis_tree_rows_sort(struct tree_rows *rows)
{
    sort(&rows->rows, sizeof(struct tree_row), row_cmp);
    sort(&rows->states, sizeof(struct tree_state), state_cmp);
}

void cis_tree_rows_done(struct tree_rows *rows)
{
    cis_spill_done(&rows->rows);
    cis_spill_done(&rows->branches);
    cis_spill_done(&rows->states);
}

void cis_sweep_init(struct sweep *s, const struct tree_rows *all, struct cis_error *err)
{
    *s = (struct sweep){.all = all,
                        .rows = (const void *)all->rows.ptr,
                        .nrows = all->rows.len / sizeof(struct tree_row),
                        .err = err};
    cis_random_bytes(&s->seed, sizeof s->seed);
    cis_random_bytes(s->types, sizeof s->types);
}

void cis_sweep_done(struct sweep *s)
{
    cis_spill_done(&s->nodes);
    cis_spill_done(&s->names);
    cis_spill_done(&s->changed);
    cis_spill_done(&s->undo);
}

cis_code cis_sweep_pace(struct sweep *s)
{
    return ++s->steps % 65536 == 0 && s->all->stop != NULL
               ? cis_stop_check(s->all->stop, "checking the trees", s->err)
               : CIS_OK;
}

/* ---- tables ---- */
static size_t node_slot(const struct node *table, size_t cap, uint64_t seed, uint64_t ino)
{
    uint64_t mixed = cis_mix(ino ^ seed);
    size_t at = (size_t)(cis_mix(mixed ^ (mixed >> 32)) >> 24) & (cap - 1);
    while (table[at].ino != 0 && table[at].ino != ino) {
        at = (at + 1) & (cap - 1);
    }
    return at;
}

static cis_code nodes_grow(struct sweep *s)
{
    size_t cap = s->nodes.len / sizeof(struct node), next = cis_cap_next(cap, 64, CIS_MEM_MAX);
    struct cis_spill more = {0};
    cis_code code = cis_spill_zeros(&more, cis_size_mul(next, sizeof(struct node)), s->err);
    if (code != CIS_OK) {
        cis_spill_done(&more);
        return code;
    }
    const struct node *old = (const void *)s->nodes.ptr;
    struct node *table = (void *)more.ptr;
    for (size_t i = 0; i < cap; i++) {
        if (old[i].ino != 0) {
            table[node_slot(table, next, s->seed, old[i].ino)] = old[i];
        }
    }
    cis_spill_done(&s->nodes);
    s->nodes = more;
    return CIS_OK;
}

/* Good until the next call. */
cis_code cis_sweep_node(struct sweep *s, uint64_t ino, struct node **out)
{
    if (s->nnodes * 2 >= s->nodes.len / sizeof(struct node)) {
        CIS_TRY(nodes_grow(s));
    }
    struct node *table = (void *)s->nodes.ptr;
    struct node *n = &table[node_slot(table, s->nodes.len / sizeof *n, s->seed, ino)];
    s->nnodes += n->ino == 0;
    n->ino = ino;
    *out = n;
    return CIS_OK;
}

static size_t name_slot(const struct sweep *s, const struct name *table, size_t cap,
                        const uint64_t key[2])
{
    size_t at = (size_t)key[0] & (cap - 1);
    while (table[at].key != 0 && (s->rows[table[at].key - 1].key[0] != key[0] ||
                                  s->rows[table[at].key - 1].key[1] != key[1])) {
        at = (at + 1) & (cap - 1);
    }
    return at;
}

static cis_code names_grow(struct sweep *s)
{
    size_t cap = s->names.len / sizeof(struct name), next = cis_cap_next(cap, 64, CIS_MEM_MAX);
    struct cis_spill more = {0};
    cis_code code = cis_spill_zeros(&more, cis_size_mul(next, sizeof(struct name)), s->err);
    if (code != CIS_OK) {
        cis_spill_done(&more);
        return code;
    }
    const struct name *old = (const void *)s->names.ptr;
    struct name *table = (void *)more.ptr;
    for (size_t i = 0; i < cap; i++) {
        if (old[i].key != 0) {
            table[name_slot(s, table, next, s->rows[old[i].key - 1].key)] = old[i];
        }
    }
    cis_spill_done(&s->names);
    s->names = more;
    return CIS_OK;
}

/* The row that counts for what row i is about, + 1, 0: none. Good until the next call. */
static cis_code row_of(struct sweep *s, size_t i, uint64_t **out)
{
    const struct tree_row *row = &s->rows[i];
    if ((row->mode & TREE_NAME) == 0) {
        struct node *n;
        CIS_TRY(cis_sweep_node(s, row->ino, &n));
        *out = &n->row;
        return CIS_OK;
    }
    if (s->nnames * 2 >= s->names.len / sizeof(struct name)) {
        CIS_TRY(names_grow(s));
    }
    struct name *table = (void *)s->names.ptr;
    struct name *name = &table[name_slot(s, table, s->names.len / sizeof *table, row->key)];
    s->nnames += name->key == 0;
    name->key = name->key == 0 ? i + 1 : name->key;
    *out = &name->row;
    return CIS_OK;
}

/* ---- rows ---- */
cis_code cis_sweep_note(struct sweep *s, struct node *n)
{
    if (n->changed != 0) {
        return CIS_OK;
    }
    n->changed = 1;
    return cis_spill_add(&s->changed, &n->ino, sizeof n->ino, s->err);
}

uint64_t cis_sweep_type(const struct sweep *s, const struct tree_row *row)
{
    return s->types[(row->mode & S_IFMT) >> 12];
}

/* Sums of what a hostile backup says may wrap; what is compared is what is left of them in the end.
 * Numbers of names count rows, and do not. */
CIS_WRAPS static void count(struct sweep *s, struct node *n, const struct tree_row *row, bool comes)
{
    uint64_t one = comes ? 1 : UINT64_MAX;
    if ((row->mode & TREE_NAME) != 0) {
        n->names += one;
        n->parents += one * row->parent;
        n->types += one * cis_sweep_type(s, row);
        n->moved |= n->whole != 0 && S_ISDIR(row->mode) ? 1 : 0;
        s->links += one;
    } else if ((row->mode & TREE_GONE) == 0) {
        s->files += row->ino != CIS_FS_ROOT ? one : 0;
        s->bytes += S_ISREG(row->mode) ? one * row->size : 0;
    }
}

CIS_WRAPS static void count_entry(struct node *dir, const struct tree_row *row, bool comes)
{
    uint64_t one = comes ? 1 : UINT64_MAX;
    dir->entries += one;
    dir->subdirs += S_ISDIR(row->mode) ? one : 0;
}

static cis_code effect(struct sweep *s, const struct tree_row *row, bool comes)
{
    struct node *n;
    if (row->ino == 0) { /* a whiteout */
        return CIS_OK;
    }
    CIS_TRY(cis_sweep_node(s, row->ino, &n));
    count(s, n, row, comes);
    CIS_TRY(cis_sweep_note(s, n));
    if ((row->mode & TREE_NAME) != 0) {
        CIS_TRY(cis_sweep_node(s, row->parent, &n));
        count_entry(n, row, comes);
        CIS_TRY(cis_sweep_note(s, n));
    }
    return CIS_OK;
}

/* One row becomes another for what they stand for; each + 1, 0: none. */
static cis_code replace(struct sweep *s, uint64_t row, uint64_t by)
{
    CIS_TRY(cis_sweep_pace(s));
    if (row != 0) {
        CIS_TRY(effect(s, &s->rows[row - 1], false));
    }
    return by != 0 ? effect(s, &s->rows[by - 1], true) : CIS_OK;
}

/* Blocks of the inode came or went. */
static cis_code touch(struct sweep *s, size_t i)
{
    struct node *n;
    CIS_TRY(cis_sweep_node(s, s->rows[i].ino, &n));
    return cis_sweep_note(s, n);
}

cis_code cis_sweep_apply(struct sweep *s, size_t i)
{
    if ((s->rows[i].mode & TREE_TOUCH) != 0) {
        struct undone touched = {i, 0};
        CIS_TRY(cis_spill_add(&s->undo, &touched, sizeof touched, s->err));
        return touch(s, i);
    }
    uint64_t *now;
    CIS_TRY(row_of(s, i, &now));
    struct undone u = {i, *now};
    *now = i + 1;
    CIS_TRY(cis_spill_add(&s->undo, &u, sizeof u, s->err));
    return replace(s, u.before, i + 1);
}

cis_code cis_sweep_take_back(struct sweep *s, size_t upto)
{
    while (s->undo.len / sizeof(struct undone) > upto) {
        s->undo.len -= sizeof(struct undone);
        struct undone u = *(const struct undone *)(const void *)(s->undo.ptr + s->undo.len);
        if ((s->rows[u.row].mode & TREE_TOUCH) != 0) {
            CIS_TRY(touch(s, u.row));
            continue;
        }
        uint64_t *now;
        CIS_TRY(row_of(s, u.row, &now));
        *now = u.before;
        CIS_TRY(replace(s, u.row + 1, u.before));
    }
    return CIS_OK;
}

/* ---- what changed ---- */
bool cis_sweep_is_dir(const struct sweep *s, const struct node *n)
{
    return n->row != 0 && (s->rows[n->row - 1].mode & TREE_GONE) == 0 &&
           S_ISDIR(s->rows[n->row - 1].mode);
}

void cis_sweep_settle(struct sweep *s)
{
    const uint64_t *inos = (const void *)s->changed.ptr;
    struct node *table = (void *)s->nodes.ptr;
    size_t cap = s->nodes.len / sizeof *table;
    for (size_t i = 0; i < s->changed.len / sizeof *inos; i++) {
        struct node *n = &table[node_slot(table, cap, s->seed, inos[i])];
        n->changed = n->moved = 0;
        n->whole = cis_sweep_is_dir(s, n);
    }
    s->changed.len = 0;
}
