/* The trees of one tenant of a backup: is every state that can be read after a restore a tree that
 * fsck would call whole? Rows are collected as they come and checked at the tenant's end, in one go
 * over all states: a row is applied once, and taken back where branches part, so the work grows
 * with the rows and not with the states. What is held for a row (about 130 bytes) leaves memory
 * (base/spill.h).
 *
 * Checked: lineages are what branches and their parents say; no row is later than its branch's
 * head, no number of a file as great as the next one to be given; the current branch exists, and
 * the commit of every state that can be read. At every state (heads, snapshots, the reflog, pins,
 * all that is not below a branch's floor): a name leads to a file of its type; a file has as many
 * names as it says; a directory has one, is where its row says, has as many subdirectories as it
 * says, and is not within itself; nothing is there without a name, and no name is in what is no
 * directory; files and bytes are as counted. Not checked: content behind the end of a file, which
 * no read returns.
 *
 * fsck has its states checked by the same sweep, over the rows that it reads from the store. */
#ifndef CIS_STORE_BACKUP_TREE_H
#define CIS_STORE_BACKUP_TREE_H

#include "base/cancel.h"
#include "base/spill.h"
#include "store/backup.h"

typedef struct cis_backup_tree cis_backup_tree;
/* stop: borrowed, may be NULL. */
cis_code cis_backup_tree_new(const struct cis_stop *stop, cis_backup_tree **out_tree,
                             struct cis_error *err);
void cis_backup_tree_free(cis_backup_tree *tree);
/* Forgets what it has: another tenant begins. */
void cis_backup_tree_begin(cis_backup_tree *tree);
/* A row that passed its own check. inode: of a row of INODE, unpacked; else NULL. */
cis_code cis_backup_tree_row(cis_backup_tree *tree, enum cis_backup_table table,
                             const struct cis_backup_value *values,
                             const struct cis_fs_inode *inode, struct cis_error *err);
/* CIS_E_DAMAGED: it names the branch, the epoch and the inode. */
cis_code cis_backup_tree_end(cis_backup_tree *tree, struct cis_error *err);

/* ---- between backup_tree.c, which collects, and backup_sweep.c, which checks ---- */
#define TREE_NAME 1u   /* beside the type in a row's mode: a name; else an inode */
#define TREE_GONE 2u   /* of an inode: a tombstone */
#define TREE_BLOCKS 4u /* of an inode: a file whose content is in blocks */
#define TREE_TOUCH 8u  /* neither: blocks of the inode changed, and nothing else is said of it */

struct tree_row {
    uint64_t epoch, ino;
    uint64_t parent; /* the directory of a name; what a directory's inode says */
    uint64_t key[2]; /* of a name: a keyed hash of its directory and itself */
    uint64_t size;   /* of an inode */
    uint32_t nlink;  /* of an inode */
    uint32_t mode;   /* type bits and the marks above */
    uint32_t branch; /* its place in the list of branches */
};

struct tree_branch {
    uint64_t id, head, floor, fork_epoch, files, bytes;
    uint32_t parent; /* its place + 1, 0: none */
    bool live;       /* it, or what was forked from it, has a state that can be read */
};

/* A state to look at. */
enum tree_look { TREE_LOOK_STATE, TREE_LOOK_COUNTS, TREE_LOOK_COMMIT, TREE_LOOK_FORK };
struct tree_state {
    uint64_t epoch, files, bytes;
    uint32_t branch;
    uint32_t child; /* of TREE_LOOK_FORK, the branch that begins there; else the caller's */
    enum tree_look look;
};

struct tree_rows {
    struct cis_spill rows, branches, states; /* sorted by branch and epoch; branches by id */
    const struct cis_stop *stop;
};
void cis_tree_rows_sort(struct tree_rows *rows);
void cis_tree_rows_done(struct tree_rows *rows);

/* For who wants to know it of each state: then one that is not whole does not end the sweep, and
 * only the given states are checked, not where branches begin. */
struct tree_check {
    void *self;
    /* A file of TREE_BLOCKS that changed. CIS_E_DAMAGED: the state is not whole. */
    cis_code (*blocks)(void *self, const struct tree_state *state, uint64_t ino, uint64_t size,
                       struct cis_error *err);
    void (*whole)(void *self, const struct tree_state *state, uint64_t names, uint64_t files);
};
/* rows: sorted. check NULL: all have to be whole, else CIS_E_DAMAGED. */
cis_code cis_tree_sweep(const struct tree_rows *rows, const struct tree_check *check,
                        struct cis_error *err);

#endif
