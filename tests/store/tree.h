/* Changes of a tree put together by hand and committed, and what a view shows, for the contract of
 * the versioned filesystem. Failing calls fail the test. One thread per struct tree. */
#ifndef CIS_TESTS_STORE_TREE_H
#define CIS_TESTS_STORE_TREE_H

#include "contract.h"

#define TREE_MAX 512u /* changes of one commit, of each kind */

struct tree {
    cis_store *s;
    struct cis_store_commit commit;
    struct cis_fs_commit fs;
    struct cis_fs_dirent dirents[TREE_MAX];
    struct cis_fs_change changes[TREE_MAX];
    struct cis_fs_delta deltas[TREE_MAX];
    struct cis_fs_new_extent extents[TREE_MAX];
    struct cis_fs_chunk chunks[TREE_MAX];
    char *texts[TREE_MAX]; /* content of rows taken from the base; owned */
    size_t ntexts;
    uint64_t next_ino, last_ino; /* reserved */
    int64_t now;
};

/* Heap; free it. ref "": the current one. The base is the ref's head. */
struct tree *tree_new(cis_store *s, const char *ref);
struct tree *tree_new_at(cis_store *s, const char *ref, struct cis_view base);
uint64_t tree_mkdir(struct tree *t, uint64_t parent, const char *name);
/* A new file whose row holds the text (at most CIS_FS_INLINE_MAX bytes). */
uint64_t tree_file(struct tree *t, uint64_t parent, const char *name, const char *text);
uint64_t tree_link(struct tree *t, uint64_t parent, const char *name, const char *target);
void tree_name(struct tree *t, uint64_t parent, const char *name, uint64_t ino, uint32_t type);
/* The last name of a file. */
void tree_unlink(struct tree *t, uint64_t parent, const char *name, uint64_t ino);
void tree_rmdir(struct tree *t, uint64_t parent, const char *name, uint64_t ino);
/* A directory to another parent. */
void tree_move(struct tree *t, uint64_t from, const char *name, uint64_t to, uint64_t ino);
/* A file to a name that is free. */
void tree_rename(struct tree *t, uint64_t from, const char *name, uint64_t to, const char *to_name,
                 uint64_t ino);
/* The row of a file to be changed: as at the base, or as it is in this commit already. */
struct cis_fs_inode *tree_row(struct tree *t, uint64_t ino);
void tree_text(struct tree *t, uint64_t ino, const char *text);
/* Content in blocks: size and the extents given later. */
void tree_size(struct tree *t, uint64_t ino, uint64_t size);
void tree_extent(struct tree *t, uint64_t ino, uint64_t block, uint64_t chunk, int32_t new_chunk);
void tree_free(struct tree *t);
/* Commits and frees. */
cis_code tree_try(struct tree *t, struct cis_fs_committed *out, struct cis_error *err);
struct cis_view tree_commit(struct tree *t);

/* ---- what a view shows ---- */
struct cis_view tree_head(cis_store *s, const char *ref);
/* The inode at a path like "a/b"; 0: there is none. */
uint64_t tree_find(cis_store *s, struct cis_view at, const char *path);
/* False: absent or gone. The row's content is copied to text (may be NULL), NUL-terminated. */
bool tree_stat(cis_store *s, struct cis_view at, uint64_t ino, struct cis_fs_inode *out,
               char text[CIS_FS_INLINE_MAX + 1]);
/* "a b c", directories with a slash. */
void assert_names(cis_store *s, struct cis_view at, const char *path, const char *expected);
void assert_text(cis_store *s, struct cis_view at, const char *path, const char *expected);
/* "block:chunk" each, holes "block:-"; chunks as letters in the order of ids. */
void assert_extents(cis_store *s, struct cis_view at, uint64_t ino, uint64_t first, uint64_t count,
                    const char *expected, const uint64_t *ids);

/* ---- chunks ---- */
struct packed {
    struct cis_fs_chunk chunk;
    uint8_t *bytes;
};
/* With the tenant's key, compressed when it pays. bytes are the caller's to free. */
struct packed packed_new(cis_store *s, const void *content, size_t len);
uint64_t packed_put(cis_store *s, const void *content, size_t len);
/* [off, off + len) of the chunk. */
cis_code packed_read(cis_store *s, uint64_t chunk, uint32_t off, uint32_t len, uint8_t *dst);

/* ---- the groups of tests; each is run by store_fs_contract_run ---- */
struct fs_test {
    const char *name;
    void (*run)(void **state);
};
#define FS_TEST(name)                                                                              \
    {                                                                                              \
#name, name                                                                                \
    }
extern const struct fs_test fs_tests_read[], fs_tests_chunk[], fs_tests_branch[], fs_tests_keep[],
    fs_tests_publish[], fs_tests_reflog[], fs_tests_race[], fs_tests_model[], fs_tests_stored[];
struct fs_fixture {
    const struct store_backend *backend;
    void *place;
    cis_store *s;
};
static inline cis_store *fs_store(void **state)
{
    return ((struct fs_fixture *)*state)->s;
}
extern unsigned fs_random_steps;
/* Closed and opened again. */
cis_store *fs_reopen(void **state);

/* The contract of store/fs.h; argv[1]: only tests whose name contains it; argv[2]: how many random
 * steps. */
int store_fs_contract_run(const struct store_backend *backend, int argc, char **argv);

#endif
