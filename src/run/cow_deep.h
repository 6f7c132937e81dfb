/* Inside run/: what lies deeper than a path of the host is long. The folder at which such paths
 * reach COW_FAR bytes is one thing for an apply, with all that is in it: made, replaced and removed
 * in one go, and alike when all of it is. */
#ifndef CIS_RUN_COW_DEEP_H
#define CIS_RUN_COW_DEEP_H

#include "run/cow_internal.h"

#define COW_FAR_PATH 4000u /* bytes; a longer path is told by a folder above it, */
#define COW_FAR 3700u      /* the first one whose path has so many */

/* ---- cow_deep.c: a folder with all that is in it ---- */
struct cow_deep_name {
    struct cis_str path; /* below the folder: "", "/a/b" */
    size_t depth;        /* folders that it lies in, from the folder on */
    const struct cis_vfs_attr *attr;
    struct cis_str target; /* of a symlink */
    cis_vfs_file *file;    /* of a file or folder */
};
struct cow_deep {
    bool (*look)(void *self, const struct cow_deep_name *name); /* false ends it; may be NULL */
    void *self;
    const struct cow_tree *to; /* where a copy is made, at the path `name`; NULL: none is */
    const char *name;
    bool drop_set_id; /* of files */
    bool quiet;       /* nobody writes to a file */
    bool removes;     /* all of it */
    size_t longest;   /* out, of the paths: how long */
    uint64_t names;   /* out: how many are in it */
};
#define COW_DEEP_ENDED (-1) /* by look */
/* Permissions of one that is not there whole, or not any more: with the sticky bit, because 0700 is
 * what a user's own folder has under umask 077. */
#define COW_DEEP_HALF 01700u
/* *out: mode, key, and a digest of all names, modes and contents, that of its own name left out.
 * An errno: ENOENT, ENOTDIR, EOPNOTSUPP (something else than files, folders and symlinks), EEXIST
 * (something is where the copy would be), ESTALE (changed meanwhile), EINTR. What was copied or
 * removed by then is. */
int cis_cow_deep(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                 struct cow_deep *how, struct cow_state *out);

/* ---- cow_far.c: such a folder as a step ---- */
static inline bool cis_cow_far_same(const struct cow_state *a, const struct cow_state *b)
{
    return a->mode == b->mode &&
           (a->mode == 0 || memcmp(a->digest, b->digest, sizeof a->digest) == 0);
}
/* What is at a path; a folder with all in it. */
int cis_cow_far_read(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                     struct cow_deep *how, struct cow_state *out);
/* Any step: as cis_cow_step_take, which takes all others. */
cis_code cis_cow_take(struct cow_work *work, const struct cow_step *step, const char *from,
                      bool back, struct cis_error *err);
/* What a step left that was killed while it made or removed such a folder; dry_run: CIS_E_EXISTS.
 * *out_foreign: the name of a folder there that no step of these left; NULL: there is none. */
cis_code cis_cow_far_tidy(struct cow_work *work, const struct cow_steps *steps, bool dry_run,
                          const char **out_foreign, struct cis_error *err);
/* The failure for one that nobody left: CIS_E_EXISTS. */
cis_code cis_cow_far_foreign(const char *folder, const char *name, struct cis_error *err);
/* Its end, for messages: at most 80 bytes, and whole characters. */
static inline const char *cow_far_end(const char *path)
{
    size_t len = strlen(path), from = len > 80 ? len - 80 : 0;
    for (int i = 0; i < 3 && from != 0 && ((unsigned char)path[from] & 0xc0) == 0x80; i++) {
        from++;
    }
    return path + from;
}

/* ---- cow_far_plan.c ---- */
/* Is something in the folder below that no path leads to? */
cis_code cis_cow_far_below(struct cow_plan *plan, const char *lower, bool *out,
                           struct cis_error *err);
/* gone: nothing is at lower by then. removes: what is there goes. */
cis_code cis_cow_far_plan(struct cow_plan *plan, const char *path, const char *lower, bool gone,
                          bool removes, struct cis_error *err);

#endif
