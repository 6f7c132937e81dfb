/* A backend of one branch in memory, for unit tests of store/commit.h: rows with their epochs, a
 * head, a lease, quotas, and memory as a list of keys. What it holds can be checked as a tree. */
#ifndef CIS_TESTS_STORE_FAKE_TXN_H
#define CIS_TESTS_STORE_FAKE_TXN_H

#include "store/commit.h"

#define FAKE_ROWS 4096u

struct fake_commit {
    uint64_t epoch;
    uint8_t *keys;
    size_t len;
    char kind[16];
    char run[27];
    bool lost; /* not handed out: a damaged store */
};

struct cis_commit_txn {
    struct cis_commit_head head;
    struct cis_fs_inode inodes[FAKE_ROWS];
    size_t ninodes;
    struct cis_fs_dirent dirents[FAKE_ROWS];
    char names[FAKE_ROWS][CIS_FS_NAME_MAX + 1];
    size_t ndirents;
    struct fake_commit commits[FAKE_ROWS];
    size_t ncommits;
    size_t nextents;
    int64_t kv_bytes, kv_keys; /* growth that the next commit reports */
    bool kept;                 /* views below the floor */
    unsigned asked_inodes, asked_keys, asked_head;
};

extern const struct cis_commit_txn_ops fake_txn_ops;

/* The root, and a row of it at epoch 1 of branch 1. */
void fake_txn_init(cis_commit_txn *txn);
void fake_txn_done(cis_commit_txn *txn);
/* The row at the head; NULL: none or gone. */
const struct cis_fs_inode *fake_inode(const cis_commit_txn *txn, uint64_t ino);
/* The entry's inode at the head, 0: none. */
uint64_t fake_lookup(const cis_commit_txn *txn, uint64_t dir, const char *name);
/* Fails the test unless the head is a tree: every entry's inode is there, directories are reached
 * once and from the root, link counts are what the entries say. */
void fake_tree_check(const cis_commit_txn *txn);

#endif
