/* Whether a commit conflicts with what others committed since its base. Inside the room: commit.c
 * asks, a backend does not. */
#ifndef CIS_STORE_CONFLICT_CHECK_H
#define CIS_STORE_CONFLICT_CHECK_H

#include "store/commit.h"

struct cis_conflict_check {
    const struct cis_fs_commit *fs; /* empty, never NULL */
    /* Memory operations by (ns, key), each key once; owned. */
    const struct cis_kv_op **kv;
    size_t nkv;
    bool strict;      /* memory keys conflict */
    bool moved;       /* did I move a directory to another parent? */
    bool their_moved; /* did they? */
    struct cis_view base;
    uint64_t most;             /* bytes of their keys that are looked at */
    struct cis_budget *budget; /* of the commit, which the keys count by while they are; or NULL */
    /* Names that others put into directories I removed, while they stay; owned. */
    struct cis_conflict_check_name {
        uint64_t dir;
        uint16_t len;
        char text[CIS_FS_NAME_MAX];
    } * names;
    size_t nnames, names_cap;
    /* While keys are read: the commit that comes now, and its last key of the piece before. */
    uint64_t next_epoch;
    bool within;
    struct cis_key before;
    char before_text[CIS_STORE_NAME_MAX + CIS_STORE_KEY_MAX];
    cis_code code;
    struct cis_error *err;
};

void cis_conflict_check_done(struct cis_conflict_check *check);
/* Before any lock: sorts memory keys. */
cis_code cis_conflict_check_init(struct cis_conflict_check *check,
                                 const struct cis_store_commit *commit, struct cis_error *err);
/* The changed keys of this commit, in order. */
cis_code cis_conflict_check_keys(const struct cis_conflict_check *check, struct cis_buf *out,
                                 struct cis_error *err);
/* Under the lock: CIS_E_CONFLICT, or the reason why it cannot be said. */
cis_code cis_conflict_check_since(struct cis_conflict_check *check,
                                  const struct cis_commit_txn_ops *ops, cis_commit_txn *txn,
                                  struct cis_view head, struct cis_error *err);
/* The changes of one inode: first one and how many. */
const struct cis_fs_change *cis_conflict_check_change(const struct cis_fs_commit *fs, uint64_t ino,
                                                      size_t *out_n);

#endif
