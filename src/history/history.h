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
    /* What a diff, undo, redo, merge, restore or sending may hold in memory, with the commit that
     * it ends in; 0: CIS_HISTORY_BYTES. One that would hold more is CIS_E_BUDGET, and nothing is
     * changed. */
    uint64_t bytes_max;
};
#define CIS_HISTORY_BYTES ((uint64_t)2 << 30)

/* ---- states by name ----
 *   ""  "@12"             the current branch: its head, its epoch 12
 *   main  main@12         a branch; above its head: a state that the reflog still has
 *   main@{1}  @{1}        what the name pointed at before it was last moved or removed
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
    struct cis_bound *bound; /* internal */
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
/* A guest makes paths of any length. Of longer ones the end is told, from where a name begins,
 * behind CIS_HISTORY_CUT. */
#define CIS_HISTORY_PATH_MAX ((size_t)4096)
#define CIS_HISTORY_CUT "…/"
struct cis_change {
    char what;           /* 'A' added, 'M' changed, 'D' removed, 'R' renamed (from → path) */
    bool content;        /* 'M', 'R': the content changed too, not only attributes */
    struct cis_str path; /* from the root, without the leading slash */
    struct cis_str from; /* 'R': the old path; else empty */
    bool cut;            /* of either the end is told alone */
    uint64_t ino, old_ino;
    uint32_t mode, old_mode; /* 0: not there */
    uint64_t size, old_size;
};
typedef bool cis_change_each(void *self, const struct cis_change *change);
/* What differs from a to b, in path order as far as 64 MiB of paths go, the others behind them.
 * Costs what changed since the last common state, plus one
 * pass over names when a changed file's name is not among the changes. */
cis_code cis_history_diff(const struct cis_history *h, struct cis_view a, struct cis_view b,
                          cis_change_each *each, void *self, struct cis_error *err);
struct cis_memory_change {
    char what;              /* A, M, D */
    struct cis_str ns, key; /* borrowed during the call */
    uint64_t size, old_size;
};
typedef bool cis_memory_each(void *self, const struct cis_memory_change *change);
/* What one commit did to skill memory, by namespace and key. */
cis_code cis_history_memory_diff(const struct cis_history *h, struct cis_view commit,
                                 cis_memory_each *each, void *self, struct cis_error *err);
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
/* What an undo took back, or a redo brought back. */
struct cis_history_turn {
    struct cis_view commit; /* by the branch that owns it */
    bool redo;              /* it is brought back */
    int64_t time_ms;
    char run[27], kind[32], note[CIS_FS_NOTE_MAX + 1]; /* of that commit */
};
struct cis_history_commit {
    struct cis_str ref;
    const char *note;            /* for the log; cut to CIS_FS_NOTE_MAX bytes */
    cis_conflict_each *conflict; /* may be NULL: told before the call fails */
    void *self;
    bool dry_run;                  /* conflicts are found, nothing is written */
    struct cis_history_turn *turn; /* undo and redo: filled before anything is told; may be NULL */
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
/* The inverse of one commit (of a run: find it with commit_of_run), by the same rules. Branch 0: of
 * the newest commit of ref that is neither taken back nor an undo or redo itself; CIS_E_NOTFOUND:
 * there is none. The inverse of an undo is a redo of what it took back, that of a redo an undo.
 * Which commit it was is kept with the commit: the kind is "undo" or "redo", which nothing else
 * has, and the note ends with "[undoes BRANCH@EPOCH]" or "[redoes …]", written here; what a user or
 * a guest says in another note counts for nothing. */
cis_code cis_history_undo(const struct cis_history *h, struct cis_view commit,
                          const struct cis_history_commit *how, struct cis_history_done *out,
                          struct cis_error *err);
/* Brings back what the newest undo of ref took that no redo brought back yet. CIS_E_NOTFOUND: there
 * is none, or something else was committed since. */
cis_code cis_history_redo(const struct cis_history *h, const struct cis_history_commit *how,
                          struct cis_history_done *out, struct cis_error *err);
/* Of an undo or redo: the commit that it is about, and what the note says before the mark. */
bool cis_history_turned(const struct cis_fs_commit_row *row, struct cis_view *out_commit,
                        bool *out_undone, struct cis_str *out_said);
/* Makes `path` of the head what it is at `from`, with everything below it: what was added there
 * since is removed. A path that `from` lacks is CIS_E_NOTFOUND. Contents are shared, not copied. */
cis_code cis_history_restore(const struct cis_history *h, struct cis_view from, struct cis_str path,
                             const struct cis_history_commit *how, struct cis_history_done *out,
                             struct cis_error *err);
/* Moves ref to an older (or any) state; nothing is destroyed, the reflog has where it was, with
 * `why` (one line). To the state that it has: nothing happens. CIS_E_CONFLICT: the head moved
 * meanwhile, or it is mounted. */
cis_code cis_history_rollback(const struct cis_history *h, struct cis_str ref, struct cis_view to,
                              struct cis_str why, struct cis_view *out_head, struct cis_error *err);

/* ---- the reflog: what a name pointed at ---- */
struct cis_history_reflog {
    const char *ref;
    uint64_t n;           /* REF@{n}; 0: the head, as it is */
    struct cis_view view; /* by the branch that owns it */
    int64_t left_ms;      /* when the name was moved away, or removed; 0: the head */
    struct cis_str why;   /* what moved it */
    uint64_t files, bytes;
    const struct cis_fs_commit_row *commit; /* that made the state; NULL: the empty tree, or gone */
    int64_t paths;                          /* that this commit changed; -1: not known any more */
};
typedef bool cis_history_reflog_each(void *self, const struct cis_history_reflog *entry);
/* Newest first, the head included when there is a branch of that name. ref empty: the current one.
 * limit 0: all. CIS_E_NOTFOUND: neither a branch nor an entry has that name. */
cis_code cis_history_reflog(const struct cis_history *h, struct cis_str ref, uint32_t limit,
                            cis_history_reflog_each *each, void *self, struct cis_error *err);
/* The entry REF@{n}, n > 0, and the newest one that reached the epoch. ref is a branch's name, also
 * of one that is gone. CIS_E_NOTFOUND. */
cis_code cis_history_reflog_at(const struct cis_history *h, struct cis_str ref, uint64_t n,
                               struct cis_view *out, struct cis_error *err);
cis_code cis_history_reflog_epoch(const struct cis_history *h, struct cis_str ref, uint64_t epoch,
                                  struct cis_view *out, struct cis_error *err);

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
