/* A commit in the making, from rows instead of from file operations: names and files as they shall
 * be at the head of a branch. Link counts, deltas of directories, counts of files and bytes follow
 * from the names. Nothing is written before cis_edit_commit. Internal to this room; one thread. */
#ifndef CIS_HISTORY_EDIT_H
#define CIS_HISTORY_EDIT_H

#include "history/internal.h"

struct edit_file {
    const struct cis_fs_inode *head; /* at the base; ino 0: not there */
    const struct cis_fs_inode *row;  /* as it shall be; changed through cis_edit_row */
    struct cis_fs_inode *own;        /* what row is once it is not what head is */
    int64_t links;                   /* names added minus removed */
    int64_t entries;                 /* directories: names in it added minus removed */
    int64_t counted;          /* directories: names in it at the base and 1; 0: not counted */
    int32_t subdirs;          /* directories: subdirectories added minus removed */
    bool put;                 /* a file's row changes, or something new is made */
    bool attrs, moved, names; /* directories: explicit attributes, parent, entries */
    bool exact;               /* directories: attributes stay as in row though names change */
    bool gone;                /* directories: removed */
    bool rooted;              /* directories: its parents are known to lead to the root */
    uint8_t way; /* directories: where its parents lead, as far as threeway_whole.c looked */
};

struct edit {
    const struct cis_history *h;
    struct cis_bound
        bound;             /* of all that the work holds; every array and arena of it points here */
    struct cis_fs_ref ref; /* the branch, as it was when this began */
    struct cis_view base;
    struct cis_fs_time now;
    struct cis_map files; /* ino → struct edit_file */
    /* Rows at the base that the caller has read anyway, of the numbers asked for (sorted). They
     * stay until the edit is done. */
    const struct numbers *asked;
    const struct rows *known;
    struct {
        struct cis_fs_dirent *at;
        size_t n, cap;
        struct cis_bound *bound;
    } dirents;
    struct {
        struct cis_fs_new_extent *at;
        size_t n, cap;
        struct cis_bound *bound;
    } extents;
    struct numbers chunks; /* existing ones that will be named */
    struct arena arena;
    const struct cis_kv_op *kv;
    size_t nkv;
    uint64_t next_ino, left_inos;
    bool takes_back; /* cis_store_commit */
    bool always;     /* a commit is made though nothing changes: its note is what counts */
};

/* CIS_E_CONFLICT when somebody holds a lease on the branch. */
cis_code cis_edit_open(struct edit *e, const struct cis_history *h, struct cis_str ref,
                       struct cis_error *err);
void cis_edit_done(struct edit *e);
/* The file's record, with its row at the base when it is there. Borrowed from e. */
cis_code cis_edit_file(struct edit *e, uint64_t ino, struct edit_file **out, struct cis_error *err);
/* The file's row, to be changed. */
cis_code cis_edit_row(struct edit *e, struct edit_file *file, struct cis_fs_inode **out,
                      struct cis_error *err);
/* How many names the directory has at the base. Read once. */
cis_code cis_edit_entries(struct edit *e, struct edit_file *dir, uint64_t *out,
                          struct cis_error *err);
/* A new inode number. */
cis_code cis_edit_number(struct edit *e, uint64_t *out, struct cis_error *err);
/* What a name leads to; ino 0: it is not there. */
struct edit_end {
    uint64_t ino;
    uint32_t mode; /* type bits */
};
/* The name that leads to `was` at the base shall lead to `now`. */
cis_code cis_edit_name(struct edit *e, uint64_t parent, struct cis_str name, struct edit_end was,
                       struct edit_end now, struct cis_error *err);
/* A file's row, or a new directory's, becomes this; nlink and gone follow from the names. */
cis_code cis_edit_put(struct edit *e, const struct cis_fs_inode *row, struct cis_error *err);
/* The file's blocks become these chunks of the tenant, holes where there are none. Of a file that
 * comes back all are written: gc may take what it had before it was removed. */
cis_code cis_edit_content(struct edit *e, uint64_t ino, const struct extents *want,
                          struct cis_error *err);
/* Everything below a directory of the base goes, and it itself (its name is the caller's to
 * change). CIS_E_DAMAGED: one of them has two names or is within itself. */
cis_code cis_edit_empty(struct edit *e, uint64_t dir, struct cis_error *err);
/* Would the branch be as whole with the edit as it is at the base? What fsck asks of a tree, asked
 * of what the edit touches: every name leads to a file of its type, in a directory that is there; a
 * file has a name, a directory one, and is where its row says, below the root; a directory that
 * goes is empty; a size fits its content. CIS_E_DAMAGED names what does not hold. cis_edit_commit
 * asks. */
cis_code cis_edit_check(struct edit *e, struct cis_error *err);
/* A quota refused the commit: what of the edit that is about goes behind the message. */
void cis_edit_refused(struct edit *e, enum cis_quota quota, struct cis_error *err);
/* out->changes counts names and files. Nothing to do: no commit, out->at.view is the base. Of the
 * note, CIS_FS_NOTE_MAX bytes are kept. */
cis_code cis_edit_commit(struct edit *e, const char *kind, const char *full,
                         struct cis_history_done *out, struct cis_error *err);

#endif
