/* An endless, repeatable series of steps over a store, each one durable and whole or absent: runs
 * that write files, memory, config and a record; forks; snapshots; moved refs. And the audit that a
 * store holds exactly the first n of them. For tests that interrupt it. */
#ifndef CIS_TESTS_STORE_WORKLOAD_H
#define CIS_TESTS_STORE_WORKLOAD_H

#include "store/store.h"

/* Step i; a step that is there already is CIS_OK. */
cis_code workload_step(cis_store *s, unsigned i, struct cis_error *err);
/* Proves that the store is sound and holds steps 0 … n - 1 and nothing of later ones; returns n,
 * which is at least `acked`. */
unsigned workload_audit_store(cis_store *s, unsigned acked);

/* Each counts rows that should not be. MAIN: the name of the branch, LEFT: what names in the reflog
 * of r begin with, NEXT: the table that has the next inode's number. A fork that was moved, to the
 * first commit, has what it left in the reflog; others have not. */
#define WORKLOAD_FAULTS(MAIN, LEFT, NEXT)                                                          \
    "SELECT count(*) FROM ref r JOIN branch b ON b.id = r.branch WHERE r.name <> " MAIN            \
    " AND (b.fork_epoch = 1) <> ((SELECT count(*) FROM snapshot s"                                 \
    " WHERE substr(s.name, 1, length(r.name) + 2) = " LEFT ") <> 0)",                              \
        "SELECT count(*) FROM epoch e WHERE"                                                       \
        " (SELECT count(*) FROM dirent d WHERE d.branch = e.branch AND d.epoch = e.epoch) <> 3"    \
        " OR (SELECT count(*) FROM inode i WHERE i.branch = e.branch AND i.epoch = e.epoch) <> 4"  \
        " OR (SELECT count(*) FROM extent x WHERE x.branch = e.branch AND x.epoch = e.epoch)"      \
        " NOT IN (1, 4)"                                                                           \
        " OR NOT EXISTS (SELECT 1 FROM run r WHERE r.id = e.run AND r.version = e.epoch)",         \
        "SELECT count(*) FROM (SELECT branch, epoch FROM dirent UNION ALL"                         \
        " SELECT branch, epoch FROM inode WHERE epoch > 0 UNION ALL"                               \
        " SELECT branch, epoch FROM extent UNION ALL SELECT branch, epoch FROM memory) r"          \
        " WHERE NOT EXISTS"                                                                        \
        " (SELECT 1 FROM epoch e WHERE e.branch = r.branch AND e.epoch = r.epoch)",                \
        "SELECT count(*) FROM branch b WHERE head <> fork_epoch +"                                 \
        " (SELECT count(*) FROM epoch WHERE branch = b.id)",                                       \
        "SELECT count(*) FROM ref r WHERE NOT EXISTS (SELECT 1 FROM branch WHERE id = r.branch)",  \
        "SELECT count(*) FROM branch b WHERE NOT EXISTS"                                           \
        " (SELECT 1 FROM lineage WHERE branch = b.id AND depth = 0 AND ancestor = b.id)"           \
        " OR (parent <> 0 AND NOT EXISTS"                                                          \
        " (SELECT 1 FROM lineage WHERE branch = b.id AND depth = 1 AND ancestor = b.parent))",     \
        "SELECT count(*) FROM extent x WHERE chunk <> 0 AND NOT EXISTS"                            \
        " (SELECT 1 FROM chunk WHERE id = x.chunk)",                                               \
        "SELECT count(*) FROM run WHERE NOT EXISTS (SELECT 1 FROM epoch WHERE run = run.id)",      \
        "SELECT count(*) FROM inode WHERE ino >= (SELECT next_ino FROM " NEXT ")"

/* ---- SQLite ---- */
/* With the store closed: folds the tenant's log in and cuts it to nothing, or lets the next commit
 * begin it anew. A store without a tenant is left as it is. */
cis_code workload_fold(const char *dir, bool cut, struct cis_error *err);
/* Opens the store; the audit, and of its rows, too. */
unsigned workload_audit(const char *dir, unsigned acked);

#endif
