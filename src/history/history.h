/* What is done with versioned trees: naming states, the log, comparing, merging, undoing,
 * restoring. Everything is made of the store's operations (store/fs.h): a change is one commit, or
 * none. Maintenance (gc, fsck) is in maintain.h, tar and other stores in move.h, text in text.h.
 *
 * A struct cis_history names a tenant of a store and how long work may take; it owns nothing and is
 * used by one thread at a time (any number of them on one store at once). Callbacks get borrowed
 * rows; false stops the listing, which then still succeeds. */
#ifndef CIS_HISTORY_HISTORY_H
#define CIS_HISTORY_HISTORY_H

#include "store/store.h"

struct cis_history {
    cis_store *store;
    struct cis_str tenant;
    const struct cis_stop *stop; /* may be NULL */
};

/* ---- states by name ----
 *   ""  "@12"             the current branch: its head, its epoch 12
 *   main  main@12         a branch
 *   snapshot:NAME  NAME   a snapshot (a branch of that name comes first)
 *   run:ID  ID            as the run left it
 *   REV~3  REV^           3 commits, 1 commit before */
struct cis_rev {
    struct cis_view view;
    char ref[CIS_FS_REF_MAX + 1]; /* the branch whose name was given or implied, "" else */
    bool head;                    /* the view is the head of ref */
};
/* CIS_E_NOTFOUND "REV: no branch, snapshot or run of that name", CIS_E_EXPIRED, CIS_E_USAGE. */
cis_code cis_history_resolve(const struct cis_history *h, struct cis_str text, struct cis_rev *out,
                             struct cis_error *err);

/* ---- branches and how they descend from each other ---- */
struct cis_branch {
    uint64_t id, parent, fork_epoch, head; /* parent 0: none */
    int64_t created_ms;
    bool named; /* a ref points at it */
};
struct cis_branches { /* by id; done() frees */
    struct cis_branch *at;
    size_t n, cap;
};
cis_code cis_branches_load(const struct cis_history *h, struct cis_branches *out,
                           struct cis_error *err);
void cis_branches_done(struct cis_branches *branches);
const struct cis_branch *cis_branches_find(const struct cis_branches *branches, uint64_t id);
/* The branch that wrote the view's state: a view at or before the fork is its parent's. */
struct cis_view cis_branches_owner(const struct cis_branches *branches, struct cis_view view);
/* The last state that both views descend from; branch 0: none. */
struct cis_view cis_branches_common(const struct cis_branches *branches, struct cis_view a,
                                    struct cis_view b);

/* Commits that led to the view, newest first, through the branches it was forked from. limit 0:
 * all. keys: rows have their changed keys. */
cis_code cis_history_log(const struct cis_history *h, struct cis_view view, uint32_t limit,
                         bool keys, cis_fs_commit_each *each, void *self, struct cis_error *err);

/* ---- comparing ---- */
struct cis_change {
    char what;           /* 'A' added, 'M' changed, 'D' removed, 'R' renamed (from → path) */
    bool content;        /* 'M', 'R': the content changed too, not only attributes */
    struct cis_str path; /* from the root, without the leading slash */
    struct cis_str from; /* 'R': the old path; else empty */
    uint64_t ino, old_ino;
    uint32_t mode, old_mode; /* 0: not there */
    uint64_t size, old_size;
};
typedef bool cis_change_each(void *self, const struct cis_change *change);
/* What differs from a to b, in path order. Costs what changed since the last common state, plus one
 * pass over names when a changed file's name is not among the changes. */
cis_code cis_history_diff(const struct cis_history *h, struct cis_view a, struct cis_view b,
                          cis_change_each *each, void *self, struct cis_error *err);
/* Every path of each inode at the view: each(self, ino, path). */
typedef bool cis_path_each(void *self, uint64_t ino, struct cis_str path);
cis_code cis_history_paths(const struct cis_history *h, struct cis_view view, const uint64_t *inos,
                           size_t n, cis_path_each *each, void *self, struct cis_error *err);
/* A file's bytes [off, off + len), zeros where it has none; inode as the view has it. */
cis_code cis_history_read(const struct cis_history *h, struct cis_view view,
                          const struct cis_fs_inode *inode, uint64_t off, uint8_t *dst, size_t len,
                          struct cis_error *err);

/* ---- changing: each is one commit on `ref` (empty: the current one) ---- */
struct cis_conflict {
    struct cis_str path; /* or "memory NAMESPACE KEY" */
    const char *why;     /* "changed on both sides", … */
};
typedef bool cis_conflict_each(void *self, const struct cis_conflict *conflict);
struct cis_history_commit {
    struct cis_str ref;
    const char *note;            /* for the log; cut to CIS_FS_NOTE_MAX bytes */
    cis_conflict_each *conflict; /* may be NULL: told before the call fails */
    void *self;
    bool dry_run; /* conflicts are found, nothing is written */
};
struct cis_history_done {
    struct cis_fs_committed at; /* the base's view when there was nothing to do */
    uint64_t changes;           /* names and files taken */
};
/* Takes into ref what changed in theirs since the last state that both descend from, by commits,
 * forks and merges; times say nothing. Several such states, or one that is not kept any more: see
 * docs/filesystem.md. It is a commit, so that it is known later, unless ref has all of theirs.
 * Names and files changed on one side are taken, those changed on both to different ends are
 * CIS_E_CONFLICT, told one by one, and nothing is done. Skill memory goes by the same rule. */
cis_code cis_history_merge(const struct cis_history *h, struct cis_view theirs,
                           const struct cis_history_commit *how, struct cis_history_done *out,
                           struct cis_error *err);
/* The inverse of one commit (of a run: find it with commit_of_run), by the same rules. */
cis_code cis_history_undo(const struct cis_history *h, struct cis_view commit,
                          const struct cis_history_commit *how, struct cis_history_done *out,
                          struct cis_error *err);
/* Makes `path` of the head what it is at `from`, with everything below it: what was added there
 * since is removed. A path that `from` lacks is CIS_E_NOTFOUND. Contents are shared, not copied. */
cis_code cis_history_restore(const struct cis_history *h, struct cis_view from, struct cis_str path,
                             const struct cis_history_commit *how, struct cis_history_done *out,
                             struct cis_error *err);
/* Moves ref to an older (or any) state; nothing is destroyed. CIS_E_CONFLICT: the head moved
 * meanwhile, or it is mounted. */
cis_code cis_history_rollback(const struct cis_history *h, struct cis_str ref, struct cis_view to,
                              struct cis_view *out_head, struct cis_error *err);

/* Keeps a view readable while work goes on that may take longer than heads are kept. */
struct cis_history_pin {
    uint64_t id;
    uint64_t renewed_ns;
    struct cis_view view;
};
cis_code cis_history_pin(const struct cis_history *h, struct cis_view view,
                         struct cis_history_pin *out, struct cis_error *err);
/* Call at least every few minutes; cheap when there is nothing to do. */
cis_code cis_history_pin_keep(const struct cis_history *h, struct cis_history_pin *pin,
                              struct cis_error *err);
void cis_history_pin_drop(const struct cis_history *h, struct cis_history_pin *pin);

#endif
