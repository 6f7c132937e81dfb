/* What the rows of a tenant say of its trees at one moment of a sweep (backup_sweep.c): rows are
 * applied and taken back, and what they change is noted. All of it leaves memory (base/spill.h).
 * Internal to backup_*.c. */
#ifndef CIS_STORE_BACKUP_STATE_H
#define CIS_STORE_BACKUP_STATE_H

#include "store/backup_tree.h"

/* What the rows say of one inode now. */
struct node {
    uint64_t ino;      /* 0: no node */
    uint64_t row;      /* its row + 1, 0: none */
    uint64_t names;    /* that lead to it */
    uint64_t parents;  /* the sum of their directories: of one name, its directory */
    uint64_t types;    /* the sum of what stands for their types */
    uint64_t entries;  /* names in it */
    uint64_t subdirs;  /* of directories */
    uint64_t seen;     /* by which walk */
    uint32_t changed;  /* since the last state */
    uint32_t moved;    /* a name of it that was whole before came or went */
    uint32_t whole;    /* at some state: it was a directory then */
    uint32_t reserved; /* 0 */
};

/* What a name stands for now. */
struct name {
    uint64_t key; /* a row that has the name, + 1; 0: no name */
    uint64_t row; /* the one that counts, + 1, 0: none */
};

struct undone {
    uint64_t row, before; /* that row replaced this one (+ 1, 0: none) */
};

struct sweep {
    const struct tree_rows *all;
    const struct tree_row *rows;
    size_t nrows;
    struct cis_spill nodes, names; /* hash tables: struct node, struct name */
    size_t nnodes, nnames;
    struct cis_spill changed; /* inodes, since the last state that was checked */
    struct cis_spill undo;
    uint64_t files, bytes, links, steps; /* links: names */
    uint64_t seed, types[16];            /* random */
    struct cis_error *err;
};

/* rows: sorted; borrowed. */
void cis_sweep_init(struct sweep *sweep, const struct tree_rows *rows, struct cis_error *err);
void cis_sweep_done(struct sweep *sweep);
/* Before each step of any work: Ctrl-C is seen. */
cis_code cis_sweep_pace(struct sweep *sweep);
/* The node of an inode, made if there is none. Good until the next call. */
cis_code cis_sweep_node(struct sweep *sweep, uint64_t ino, struct node **out);
cis_code cis_sweep_note(struct sweep *sweep, struct node *node);
cis_code cis_sweep_apply(struct sweep *sweep, size_t row);
/* Until so many are left that can be taken back. */
cis_code cis_sweep_take_back(struct sweep *sweep, size_t upto);
/* What changed was checked. */
void cis_sweep_settle(struct sweep *sweep);
/* What stands for a name's type in struct node. */
uint64_t cis_sweep_type(const struct sweep *sweep, const struct tree_row *row);
bool cis_sweep_is_dir(const struct sweep *sweep, const struct node *node);

#endif
