/* The rows of a commit inside the queue's transaction. */
#ifndef CIS_STORE_SQLITE_FS_COMMIT_H
#define CIS_STORE_SQLITE_FS_COMMIT_H

#include "store/commit.h"
#include "store/sqlite/internal.h"

/* Files and memory, checked by cis_commit_apply. *out_epoch: of the commit, 0 when nothing changed
 * (out then names the head, or the base when files were given). */
cis_code cis_sql_commit_rows(struct sql_conn *conn, const struct cis_store_commit *commit,
                             struct cis_fs_committed *out, uint64_t *out_epoch,
                             struct cis_error *err);
/* fs_ref.c: new branches by these names, in the transaction that is open. */
cis_code cis_sql_fork_in(struct sql_conn *conn, struct cis_view from, const struct cis_str *names,
                         size_t n, struct cis_error *err);
/* fs_reflog.c: the ref leaves the state, in the transaction that is open. */
cis_code cis_sql_reflog_put(struct sql_conn *conn, const struct cis_fs_ref *ref,
                            struct cis_view owner, struct cis_str why, struct cis_error *err);
/* Of names that no ref has, the newest entries stay. */
cis_code cis_sql_reflog_cut_lost(struct sql_conn *conn, struct cis_error *err);
#endif
