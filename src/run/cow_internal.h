/* Inside run/: cow.c looks; cow_plan.c makes steps of what it finds, cow_links.c checks symlinks,
 * cow_keep.c keeps what the steps replace, cow_step.c takes them one by one; cow_apply.c and
 * cow_undo.c are the verbs. */
#ifndef CIS_RUN_COW_IN_H
#define CIS_RUN_COW_IN_H

#include <errno.h>
#include <jansson.h>
#include "base/map.h"
#include "run/cow.h"
#include "vfs/walk.h"

/* A filesystem with paths. */
struct cow_tree {
    cis_ns *ns;
    cis_dir *root;
    struct cow_places *places; /* see below; NULL: they are not kept */
};

struct cis_cow {
    cis_fs_cache *fs_cache;
    char *tenant;
    struct cis_view at;
    char *folder;
    cis_vfs *lower, *upper, *joined;
    struct cow_tree below, above; /* of lower, of joined */
    struct cis_stop stop;
    struct cis_error why; /* of calls of a filesystem */
    struct cis_vfs_call call;
};

struct cow_change {
    char what;
    char *path, *from; /* from: NULL unless renamed */
    char *target;      /* NULL unless a symlink comes */
    uint32_t mode;
    uint64_t size, old_size;
    size_t number; /* of a rename: where it waits */
    bool far;      /* a folder with all in it (cow_deep.h); */
    bool cleared;  /* what had its name goes before */
};
struct cow_changes {
    struct cow_change *at;
    size_t n, cap;
    uint64_t bytes, most; /* bytes: of memory */
    char *too_long;       /* a path that is not told, or moves; NULL: none */
    bool far;             /* folders far down are told as one */
    bool full;            /* out of memory */
};
#define COW_SORTED_BYTES (64u << 20)                 /* of a list that is only shown */
#define COW_CHANGES_BYTES (1u << 30)                 /* of one that is worked on */
void cis_cow_change_done(struct cow_change *change); /* what it has */
void cis_cow_changes_done(struct cow_changes *changes);
/* Sorted. far: a folder far down is one, with all in it; else CIS_E_UNSUPPORTED: a path is too
 * long. CIS_E_LIMIT: more than `most` bytes of memory. */
cis_code cis_cow_collect(cis_cow *cow, uint64_t most, bool far, struct cow_changes *out,
                         struct cis_error *err);

/* Paths are of names in folders: a symlink on the way is another file that got there. */
#define COW_WALK (CIS_WALK_NOFOLLOW | CIS_WALK_STRAIGHT)

cis_code cis_cow_tree_open(struct cow_tree *tree, cis_vfs *vfs, const struct cis_vfs_call *call,
                           struct cis_error *err);
void cis_cow_tree_close(struct cow_tree *tree);

/* ---- paths by the folders that were walked to lately: cow_place.c ---- */
/* From now on, for a tree whose folders nobody else moves. */
cis_code cis_cow_places_keep(struct cow_tree *tree, struct cis_error *err);
void cis_cow_places_drop(const struct cow_tree *tree); /* folders came to other places */
void cis_cow_places_done(struct cow_tree *tree);
/* The folder to walk from and what is left of the path: its last name, or all of it. Borrowed until
 * the next call for the tree. An errno as of a walk to the folder. */
int cis_cow_at(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
               const cis_dir **out_dir, struct cis_str *out_name);
/* The verbs of vfs/walk.h; files are made with 0600. */
int cis_cow_stat(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                 struct cis_vfs_attr *out);
int cis_cow_tree_file(const struct cow_tree *tree, const struct cis_vfs_call *call,
                      const char *path, int flags, cis_vfs_file **out_file,
                      struct cis_vfs_attr *out_attr);
int cis_cow_readlink(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                     struct cis_buf *out);
int cis_cow_make(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                 const struct cis_vfs_make *make);
int cis_cow_unlink(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path);

/* What a filesystem said about a path. */
cis_code cis_cow_fail(cis_cow *cow, int rc, const char *path, struct cis_error *err);
/* The names in a folder, with their attributes. */
struct cow_entry {
    char *name;
    struct cis_vfs_attr attr;
};
struct cow_entries {
    struct cow_entry *at;
    size_t n, cap;
};
int cis_cow_list(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                 struct cow_entries *out);
void cis_cow_entries_done(struct cow_entries *entries);
/* "a/b"; NULL: out of memory. */
char *cis_cow_path(const char *folder, const char *name);

/* ---- steps: each changes one name of the folder, and can be taken back ---- */

/* What is at a path. */
struct cow_state {
    uint32_t mode; /* 0: nothing */
    uint64_t size;
    uint8_t digest[CIS_DIGEST_BYTES]; /* files and symlinks */
    char key[CIS_UNION_KEY];          /* cis_union_key of it */
    bool several;                     /* a file with more than one name */
};

enum cow_op {
    COW_LEAF = 'l',    /* a file or symlink is made, replaced or removed */
    COW_FOLDER = 'd',  /* a folder is made, removed (empty), or gets other permissions */
    COW_RENAME = 'r',  /* a folder: path → to */
    COW_FAR_TREE = 't' /* a folder with all that is in it is made, replaced or removed */
};
struct cow_step {
    enum cow_op op;
    char *path, *to;
    char *lower; /* where the folder has it before all steps; NULL: nowhere */
    char *kept;  /* LEAF: where the record keeps what was there; NULL: nothing was */
    struct cow_state before, after; /* RENAME: before, the folder's */
};
struct cow_steps {
    struct cow_step *at;
    size_t n, cap;
};
void cis_cow_steps_done(struct cow_steps *steps);
/* A new last one, whose texts are copied; NULL: out of memory. */
struct cow_step *cis_cow_steps_add(struct cow_steps *steps, enum cow_op op, const char *path,
                                   const char *to, const char *lower);

#define COW_NEW ".cis-apply"     /* names in the folder while a step is taken: what comes, */
#define COW_OLD ".cis-apply-old" /* and what goes; */
#define COW_ASIDE ".cis-apply-"  /* and a number: a folder on its way */

/* What a call on a name that was looked at says when it is gone, or another file has it: a symlink,
 * a directory, what cannot be opened. */
static inline bool cow_is_other(int rc)
{
    return rc == ENOENT || rc == ENOTDIR || rc == ELOOP || rc == EISDIR || rc == EINVAL ||
           rc == ENXIO;
}

bool cis_cow_state_same(const struct cow_state *a, const struct cow_state *b);
/* What is there now; files are read. */
int cis_cow_state_read(const struct cow_tree *tree, const struct cis_vfs_call *call,
                       const char *path, struct cow_state *out);

/* A folder that steps are taken in. */
struct cow_work {
    const struct cis_vfs_call *call;
    const struct cis_error *why; /* of the call */
    const char *folder;
    cis_vfs *vfs;
    struct cow_tree to;
    const struct cow_tree *source; /* of contents */
    struct cis_map linked;         /* files of the source with several names that were made */
    uint64_t taken;                /* steps of an apply */
};
cis_code cis_cow_work_open(struct cow_work *work, const char *folder,
                           const struct cis_vfs_call *call, const struct cis_error *why,
                           struct cis_error *err);
void cis_cow_work_done(struct cow_work *work);
/* One apply or undo at a time changes a folder: what another one is making is no leftover.
 * CIS_E_CONFLICT: there is one. -1 in *out_fd: the folder cannot be locked, and the host goes on
 * without. Ends with the process, or cis_cow_hold_end. */
cis_code cis_cow_hold(const char *folder, int *out_fd, struct cis_error *err);
void cis_cow_hold_end(const int *fd);
/* Removes what an interrupted step left under a name of ours, when it is what one of the steps
 * makes, or what the record keeps. */
cis_code cis_cow_work_tidy(struct cow_work *work, const struct cow_steps *steps,
                           struct cis_error *err);
int cis_cow_work_move(const struct cow_work *work, const char *from, const char *to,
                      unsigned flags);
/* A name becomes another one where nothing is; an errno. */
int cis_cow_work_place(const struct cow_work *work, const char *from, const char *to);
/* ---- a file that a killed step left under COW_OLD: cow_mend.c ---- */
/* It goes back to its path when one of the steps was at work there. */
cis_code cis_cow_mend(const struct cow_work *work, const struct cow_steps *steps, bool dry_run,
                      bool *out_done, struct cis_error *err);
/* By whichever record of the folder. */
cis_code cis_cow_mend_folder(const cis_cow *cow, bool dry_run, struct cis_error *err);
/* CIS_E_CONFLICT: what is there is not what the step begins from; nothing was done. from: of the
 * source. back: takes the step back. */
cis_code cis_cow_step_take(struct cow_work *work, const struct cow_step *step, const char *from,
                           bool back, struct cis_error *err);
/* A file or symlink with its attributes, but that mode, holes kept, at a path of another tree where
 * nothing is;
 * digest may be NULL. */
int cis_cow_copy(const struct cow_tree *from, const char *path, const struct cow_tree *to,
                 const char *name, uint32_t mode, const struct cis_vfs_call *call,
                 uint8_t *out_digest);
/* The same of two open files; `to` is new. */
int cis_cow_copy_file(cis_vfs_file *from, const struct cis_vfs_attr *attr, cis_vfs_file *to,
                      const struct cis_vfs_attr *made, uint32_t mode,
                      const struct cis_vfs_call *call, uint8_t *out_digest);
cis_code cis_cow_errno(int rc, const struct cis_error *why, const char *path,
                       struct cis_error *err);

/* ---- the plan ---- */
struct cow_tried {
    int fd; /* of a file that sizes and permissions are tried on, and 1; 0: not open */
    bool any;
    uint64_t size;         /* the greatest that the filesystem held */
    uint8_t modes[512];    /* those that it had: a bit each */
    size_t target;         /* the longest of a symlink */
    struct cis_buf parent; /* of the last name: where it is now; it can be changed */
    struct cis_map opened; /* folders that get other permissions before anything is made in them */
};
struct cow_plan {
    cis_cow *cow;
    const struct cis_cow_apply *how;
    struct cow_changes list;
    struct cow_steps first;  /* leftovers and folders that are moved aside */
    struct cow_steps steps;  /* of the changes, in their order */
    struct cow_steps last;   /* permissions that would have been in the way */
    size_t *ends;            /* of each change, behind its steps */
    struct cis_map from, to; /* renamed folders, by lower path and by path */
    struct cis_map states;   /* what earlier applies made: path → struct cow_state */
    struct cis_map begun; /* what earlier applies of the same run began from, where that was so */
    struct cis_map put_back; /* what undone applies had replaced: lower path → the same */
    bool states_known;
    uint64_t conflicts, outward; /* names that are another's; symlinks that lead out */
    struct cis_map told;         /* paths of the latter */
    struct cow_tried tried;
    char record[CIS_FS_REF_MAX + 1];
};
static inline cis_code cow_no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "apply: out of memory");
}
/* Takes fifos, sockets and devices out of the list, and tells how->left_out: cow_left.c */
cis_code cis_cow_leave_out(struct cow_plan *plan, struct cis_error *err);
cis_code cis_cow_plan_make(struct cow_plan *plan, struct cis_error *err);
void cis_cow_plan_done(struct cow_plan *plan);
static inline void cow_conflict(struct cow_plan *plan, const char *path, const char *why)
{
    plan->conflicts++;
    if (plan->how->conflict != NULL) {
        plan->how->conflict(plan->how->self, cis_str_of(path), why);
    }
}

/* ---- what the host would refuse: cow_try.c ---- */
void cis_cow_tried_done(struct cow_tried *tried);
cis_code cis_cow_try_file(struct cow_plan *plan, const char *path, uint32_t mode, uint64_t size,
                          struct cis_error *err);
cis_code cis_cow_try_link(struct cow_plan *plan, const char *path, const char *target,
                          struct cis_error *err);
/* A name is made, replaced or removed. lower: where the folder has it now, NULL: it comes to a
 * folder that the apply makes. free: nothing is there, as far as is shown. */
cis_code cis_cow_try_place(struct cow_plan *plan, const char *path, const char *lower, bool free,
                           struct cis_error *err);
/* A folder, by the path that it has now, in which names change, or that goes with all in it. */
cis_code cis_cow_try_folder(struct cow_plan *plan, const char *lower, bool goes,
                            struct cis_error *err);
/* It gets other permissions first. */
cis_code cis_cow_try_opened(struct cow_plan *plan, const char *path, struct cis_error *err);

/* ---- symlinks of the folder as the plan leaves it: cow_links.c ---- */
/* One that the apply makes at a path, checked by its text. */
cis_code cis_cow_links_made(struct cow_plan *plan, const char *path, const char *target,
                            struct cis_error *err);
/* The same of one that far down; path: its end. */
cis_code cis_cow_links_far(struct cow_plan *plan, const char *path, size_t depth,
                           const char *target, struct cis_error *err);
/* All that are there then, by where they lead: those below a folder that moves, those that lead
 * through what is moved or replaced. */
/* What was there stays where a fifo, socket or device is left out. The walk does not see it: the
 * run's own symlinks may go through it. */
cis_code cis_cow_links_kept(struct cow_plan *plan, const char *path, uint32_t mode,
                            struct cis_error *err);
cis_code cis_cow_links_all(struct cow_plan *plan, struct cis_error *err);

/* ---- the record of an apply: a branch of its own ---- */
struct cow_record {
    char *run, *guest_path, *folder;
    struct cis_view at;   /* what was applied */
    bool undone, outward; /* outward: as cis_cow_apply */
    struct cow_steps steps;
    uint64_t taken; /* of them; UINT64_MAX: not known */
};
void cis_cow_record_done(struct cow_record *record);
/* Keeps what the steps replace, and the steps themselves, as a branch: plan->record. */
cis_code cis_cow_record_write(struct cow_plan *plan, struct cis_error *err);
cis_code cis_cow_record_read(cis_fs_cache *fs_cache, const char *tenant, const char *ref,
                             const struct cis_stop *stop, struct cow_record *out,
                             struct cis_error *err);
/* Those of the folder, the newest first, until *done. */
typedef cis_code cis_cow_record_each(void *self, const struct cow_record *record, bool *done,
                                     struct cis_error *err);
cis_code cis_cow_records(const cis_cow *cow, cis_cow_record_each *each, void *self,
                         struct cis_error *err);
/* again: keys of files with several names, before the apply and now, each with its NUL; they are
 * kept beside those of an undo that ended half-way. whole: everything is taken back. */
cis_code cis_cow_record_undone(cis_fs_cache *fs_cache, const char *tenant, const char *ref,
                               bool whole, struct cis_bytes again, const struct cis_stop *stop,
                               struct cis_error *err);
/* How many steps stand now; UINT64_MAX: that is about to change. Also after the command was told to
 * end. */
cis_code cis_cow_record_taken(cis_fs_cache *fs_cache, const char *tenant, const char *ref,
                              uint64_t n, struct cis_error *err);
/* Do steps of the list move folders? Then where the others stand cannot be told by their names. */
bool cis_cow_steps_move(const struct cow_steps *steps);
/* Files with several names that an undo made anew are told to the union. */
cis_code cis_cow_record_again(cis_cow *cow, struct cis_error *err);
/* ---- where a run was applied, in its own row: cow_mark.c ---- */
/* Of the record that the plan made; durable when it returns. Nothing to do for a run without a row.
 */
cis_code cis_cow_mark_applied(const struct cow_plan *plan, struct cis_error *err);
/* Also after the command was told to end. */
cis_code cis_cow_mark_undone(cis_fs_cache *fs_cache, const char *tenant, const char *run,
                             const char *record, struct cis_error *err);
struct cow_marks {
    json_t *array; /* owned; NULL: none */
};
cis_code cis_cow_marks_load(cis_fs_cache *fs_cache, const char *tenant, const char *run,
                            const struct cis_stop *stop, struct cow_marks *out,
                            struct cis_error *err);
void cis_cow_marks_done(struct cow_marks *marks);
size_t cis_cow_marks_n(const struct cow_marks *marks);
/* Texts are the marks'. */
struct cis_cow_applied cis_cow_marks_at(const struct cow_marks *marks, size_t i);
/* With empty texts when there is none of it. */
struct cis_cow_applied cis_cow_marks_of(const struct cow_marks *marks, const char *record);

/* What an earlier apply of the branch left at a path; NULL: none is known to have. Borrowed. Then
 * plan->put_back has what those that were undone put back, and plan->begun what is there when the
 * one before was killed. */
cis_code cis_cow_plan_state(struct cow_plan *plan, const char *path, const struct cow_state **out,
                            struct cis_error *err);

#endif
