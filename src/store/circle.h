/* Directories that a commit moved while others moved some, too: each move alone is sound, together
 * they may tie a knot. Inside the room: commit.c asks, under the lock of the branch. */
#ifndef CIS_STORE_CIRCLE_H
#define CIS_STORE_CIRCLE_H

#include "store/commit.h"

/* Each directory is asked for once, whatever the number of those below it that moved. What it
 * remembers is charged to budget, which may be NULL, while it lasts. CIS_E_CONFLICT: a directory
 * would be inside itself, or one that it would be in is gone. */
cis_code cis_circle_check(const struct cis_fs_commit *fs, const struct cis_commit_txn_ops *ops,
                          cis_commit_txn *txn, struct cis_view head, struct cis_budget *budget,
                          struct cis_error *err);

#endif
