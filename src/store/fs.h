/* The versioned rows of the filesystem: what a backend stores and answers for it. Part of the
 * store's vtable (store.h); this header owns the rows and their operations, store/commit.h the
 * rules by which a commit is checked, store/chunk.h how file content is packed.
 *
 * Model. Rows never change while they are retained; each carries the branch and the epoch that
 * wrote it. A view is (branch, epoch): it sees, for every key, the row with the greatest epoch at
 * most its own, looking first at its branch and then at the ancestors the branch was forked from. A
 * ref is a name that points at a branch; forks, snapshots and rollbacks write one row each whatever
 * the tree holds. A tenant begins with the empty tree at epoch 0, and that view of any branch is
 * kept for ever: what shares nothing with the files is forked from it.
 *
 * Callbacks get borrowed rows, valid during the call; false stops; they do not call the store.
 * Threads, deadlines and errors as in store.h, and: CIS_E_NOTFOUND (ref, branch, snapshot),
 * CIS_E_EXPIRED (the view's rows may have been squashed), CIS_E_DAMAGED (a row or chunk that fails
 * its check: the message names it). */
#ifndef CIS_STORE_FS_H
#define CIS_STORE_FS_H

#include "base/buf.h"
#include "base/cancel.h"
#include "base/crypto.h"

typedef struct cis_store cis_store;

#define CIS_FS_NAME_MAX 255u                /* bytes of an entry's name */
#define CIS_FS_TARGET_MAX 4095u             /* bytes of a symlink's target */
#define CIS_FS_BLOCK 65536u                 /* bytes of file content behind one extent */
#define CIS_FS_INLINE_MAX 1024u             /* a file up to this size may live in its inode's row */
#define CIS_FS_SIZE_MAX (INT64_MAX - 65536) /* bytes of a file: about 8 EiB */
#define CIS_FS_REF_MAX 128u   /* bytes of a ref's or snapshot's name, cis_fs_ref_valid */
#define CIS_FS_NOTE_MAX 1024u /* bytes of the note of a commit or snapshot */
#define CIS_FS_ROOT 1u        /* inode number of every tree's root */
#define CIS_FS_MAIN "main"    /* the ref every tenant has */
/* Forks that keep the work of a conflict are made below this name; gc removes them when they are
 * older than the retention's age. */
#define CIS_CONFLICT_PREFIX "conflict/"
/* The same for what an apply of a run to a folder replaced there (run/cow.h). */
#define CIS_APPLIED_PREFIX "applied/"

/* The kind of the commits of such a branch; and what a restore makes of it: what a record says is
 * done to folders, and those of a backup are another host's. */
#define CIS_APPLY_KIND "apply"
#define CIS_APPLY_RESTORED "apply, restored"

struct cis_view {
    uint64_t branch, epoch;
};

/* Times are exact: seconds may be negative. */
struct cis_fs_time {
    int64_t s;
    uint32_t ns;
};

struct cis_fs_inode {
    uint64_t ino, epoch; /* epoch: of the row */
    uint32_t mode;       /* type and permission bits as in stat(2) */
    uint32_t nlink, uid, gid;
    uint64_t rdev;   /* as makedev(3) makes it */
    uint64_t size;   /* bytes; directories: 0; symlinks: length of the target */
    uint64_t stored; /* bytes that are not holes, in whole blocks */
    uint64_t parent; /* directories: where it is (the root: itself); others: 0 */
    struct cis_fs_time atime, mtime, ctime, btime;
    bool gone;             /* a tombstone: the last name was removed at this epoch */
    bool is_inline;        /* content is in data, there are no extents */
    struct cis_bytes data; /* symlink target, or inline content */
};

struct cis_fs_dirent {
    uint64_t parent, ino; /* ino 0: a whiteout */
    uint64_t epoch;
    uint32_t mode; /* type bits only */
    struct cis_str name;
};

struct cis_fs_extent {
    uint64_t block; /* offset / CIS_FS_BLOCK */
    uint64_t chunk; /* 0: an explicit hole */
    uint64_t epoch;
};

/* One step of a walk. dirent.ino 0: there is no such name and the walk ends here (inode NULL);
 * dirent.epoch is then that of the whiteout, 0 without one. */
typedef bool cis_fs_step_each(void *self, size_t index, const struct cis_fs_dirent *dirent,
                              const struct cis_fs_inode *inode);
/* inode NULL when attributes were not asked for. */
typedef bool cis_fs_dirent_each(void *self, const struct cis_fs_dirent *dirent,
                                const struct cis_fs_inode *inode);
typedef bool cis_fs_inode_each(void *self, const struct cis_fs_inode *inode);
typedef bool cis_fs_extent_each(void *self, const struct cis_fs_extent *extent);

/* ---- chunks: content of at most one block, packed by store/chunk.h ---- */
struct cis_fs_chunk {
    uint8_t hash[32];        /* keyed with the tenant's key, of the unpacked content */
    struct cis_bytes packed; /* head and payload */
};

/* A read of unpacked bytes [off, off + len) of a chunk; what the chunk does not reach is zeros. */
struct cis_fs_read {
    uint64_t chunk;
    uint32_t off, len;
    uint8_t *dst;
    cis_code code; /* out: CIS_OK, CIS_E_DAMAGED (bad or absent chunk), CIS_E_STORE */
};

/* ---- what a commit changes ---- */
/* Rows as they are after the commit, without epoch. Content rules: a file that shrank has explicit
 * holes for every dropped block and a boundary chunk with a zeroed tail. */
struct cis_fs_new_extent {
    uint64_t ino, block;
    uint64_t chunk;    /* an existing chunk; 0 with new_chunk < 0: an explicit hole */
    int32_t new_chunk; /* index into the commit's chunks, -1: none */
};

/* How a directory that got or lost names changes: merged into the head's row, whatever others did
 * to it meanwhile. Times become the later of both. */
struct cis_fs_delta {
    uint64_t ino;
    int32_t nlink; /* subdirectories added minus removed */
    struct cis_fs_time mtime, ctime;
};

enum cis_fs_inode_kind {
    CIS_FS_PUT,  /* a file's whole row (a new one, or any change of data, nlink or attributes), or
                  * a new directory's: as it is in the end, without a delta */
    CIS_FS_GONE, /* the last name of a file, or a directory, was removed; mode says which */
    CIS_FS_DIRATTR, /* explicit chmod, chown, utimens of a directory: attributes as given; nlink and
                     * parent are merged from the head, and times that were not set from both */
    CIS_FS_MOVED,   /* a directory's parent changed (may come beside DIRATTR of the same inode);
                     * only parent and ctime count */
};

struct cis_fs_change {
    enum cis_fs_inode_kind kind;
    bool is_new; /* the inode does not exist at the base: no conflict is possible */
    struct cis_fs_inode inode;
};

/* The filesystem's part of a commit. Arrays are sorted: dirents by (parent, name), changes by (ino,
 * kind), extents by (ino, block), deltas by ino. A whiteout for a name that the base does not have
 * is left out. */
struct cis_fs_commit {
    struct cis_view base;
    const struct cis_fs_dirent *dirents;
    size_t ndirents;
    const struct cis_fs_change *changes;
    size_t nchanges;
    const struct cis_fs_delta *deltas;
    size_t ndeltas;
    const struct cis_fs_new_extent *extents;
    size_t nextents;
    const struct cis_fs_chunk *chunks; /* written in the commit itself: at most CIS_FS_BLOCK packed
                                        * bytes together; more goes through chunk_put before */
    size_t nchunks;
    int64_t files, bytes; /* logical growth: inodes but the root; sum of file sizes */
};

struct cis_fs_committed {
    struct cis_view view; /* of the commit; the base's view when nothing changed */
    uint64_t files, bytes;
};

/* A commit as the log shows it. keys: store/commit.h, decoded by cis_keys_next; at most
 * CIS_KEYS_PIECE bytes of them, and each whole. A commit that has more is given again and again,
 * with the next ones; keys_more: it is not the last time. */
struct cis_fs_commit_row {
    uint64_t branch, epoch;
    char run[27];        /* run id, "" for a change without a run */
    struct cis_str kind; /* "run", "fs", "mount", "import", "undo", "merge", "restore", … */
    struct cis_str note; /* one line: the command, the skill; at most CIS_FS_NOTE_MAX bytes */
    int64_t time_ms;
    uint64_t files, bytes; /* logical, after it */
    struct cis_bytes keys;
    bool keys_more;
};
typedef bool cis_fs_commit_each(void *self, const struct cis_fs_commit_row *row);

/* ---- refs, branches, snapshots ---- */
struct cis_fs_ref {
    char name[CIS_FS_REF_MAX + 1];
    struct cis_view head;
    uint64_t files, bytes; /* logical, at the head */
    uint64_t parent;       /* branch it was forked from, 0 */
    uint64_t fork_epoch;
    int64_t created_ms;
    bool current; /* what commands use when no branch is named */
    /* A lease that has not run out: who may alone commit, by which fencing number; "" and 0: none.
     */
    char holder[128];
    uint64_t fence;
};
typedef bool cis_fs_ref_each(void *self, const struct cis_fs_ref *ref);

struct cis_fs_snapshot {
    char name[CIS_FS_REF_MAX + 1];
    struct cis_view view;
    int64_t created_ms;
    uint64_t files, bytes;
    struct cis_str note; /* at most CIS_FS_NOTE_MAX bytes */
    char id[27];
};
typedef bool cis_fs_snapshot_each(void *self, const struct cis_fs_snapshot *snapshot);

/* The reflog: what a ref named before it was moved or removed. An entry is written by the
 * transaction that moves the ref, and holds its state as a snapshot does. It is a row among the
 * snapshots, "@REF ID": no ref and no snapshot can have such a name, so nobody can make one, and
 * what lists, counts and removes snapshots leaves them out. */
struct cis_fs_reflog {
    char ref[CIS_FS_REF_MAX + 1];
    struct cis_view view;  /* of the branch that owns the epoch */
    int64_t time_ms;       /* when the ref left it */
    uint64_t files, bytes; /* logical */
    struct cis_str why;    /* what moved the ref, at most CIS_FS_NOTE_MAX bytes */
};
typedef bool cis_fs_reflog_each(void *self, const struct cis_fs_reflog *entry);
#define CIS_FS_REFLOG_MAX 100u   /* entries of one name; the oldest go */
#define CIS_FS_REFLOG_LOST 1000u /* entries of all names that no ref has, together */

/* ---- tenants and quotas ---- */
struct cis_tenant {
    char name[65];
    int64_t created_ms;
    uint64_t quota_files, quota_bytes; /* logical, of each branch's head; 0: none */
    uint64_t quota_stored;             /* bytes of all rows and chunks (store/cost.h); 0: none */
    uint64_t quota_snapshots;          /* 0: none */
    uint64_t stored, snapshots;        /* used now */
    uint8_t key[32]; /* of the content hash; random, made with the tenant. Secret */
    /* Which of all the tenants that ever had this name; no secret. NAME#INSTANCE instead of a name
     * means this one and never a later one of the same name, in every call but those that make,
     * list, delete, publish or check tenants: there the other is CIS_E_NOTFOUND or CIS_E_EXPIRED.
     */
    char instance[24];
};
#define CIS_QUOTA_KEEP UINT64_MAX /* this limit stays as it is */
#define CIS_FS_EXACT_MAX 96u      /* bytes of NAME#INSTANCE with its NUL */
typedef bool cis_tenant_each(void *self, const struct cis_tenant *tenant);

/* ---- branches that other tenants may read ---- */
struct cis_fs_publish {
    char tenant[65], ref[CIS_FS_REF_MAX + 1]; /* whose branch */
    char to[65];
    int64_t since_ms;
};
typedef bool cis_fs_publish_each(void *self, const struct cis_fs_publish *row);

/* ---- maintenance: gc and fsck are written once above these (history/) ---- */
struct cis_fs_pin {
    uint64_t id;
    struct cis_view view;
    int64_t until_ms; /* database clock */
    int64_t since_ms; /* when it was made; chunks stamped after the oldest pin are not swept */
};
typedef bool cis_fs_pin_each(void *self, const struct cis_fs_pin *pin);

/* A pin's ttl_ms for one that does not lapse: until_ms is INT64_MAX, and so is since_ms. gc has
 * such pins on what later merges will go from (history/graph.h). */
#define CIS_FS_PIN_LASTING UINT32_MAX

/* Or'd into a pin's ttl_ms: for as long as the process is there that took it and has the store
 * open, stopped or asleep for however long; then by the rest of its time. It is the kernel's or the
 * server's word: not kept over a lost connection, or where no lock can be had. */
#define CIS_FS_PIN_HELD 0x80000000u

/* A state that stays readable whatever its branch's floor is. By a snapshot: or by the reflog. */
enum cis_fs_holder { CIS_FS_BY_SNAPSHOT, CIS_FS_BY_PIN, CIS_FS_BY_FORK };
struct cis_fs_hold {
    enum cis_fs_holder by;
    struct cis_view view;
    uint64_t fork; /* CIS_FS_BY_FORK: the branch that begins there */
};
typedef bool cis_fs_hold_each(void *self, const struct cis_fs_hold *hold);

enum cis_fs_table { CIS_FS_DIRENTS, CIS_FS_INODES, CIS_FS_EXTENTS };
/* A row's key, for scans and squash. name only for dirents; block only for extents. */
struct cis_fs_key {
    enum cis_fs_table table;
    uint64_t branch, ino, block, epoch;
    struct cis_str name;
    uint64_t until; /* squash: views from `until` on do not show it; 0: it goes whoever shows it */
};
/* Every row of a table of one branch in key order (epoch last, ascending), as stored. */
typedef bool cis_fs_row_each(void *self, const struct cis_fs_key *key,
                             const struct cis_fs_dirent *dirent, const struct cis_fs_inode *inode,
                             const struct cis_fs_extent *extent);
struct cis_fs_chunk_info {
    uint64_t id;
    int64_t stamp_ms;
    uint64_t bytes; /* packed */
    uint8_t hash[32];
};
typedef bool cis_fs_chunk_each(void *self, const struct cis_fs_chunk_info *info);

/* ---- what operations are asked for ---- */
/* names[0] in dir, names[1] in what was found, … */
struct cis_fs_walk_query {
    struct cis_view at;
    uint64_t dir;
    const struct cis_str *names;
    size_t n;
};
struct cis_fs_inode_query {
    struct cis_view at;
    const uint64_t *inos;
    size_t n;
};
struct cis_fs_list_query {
    struct cis_view at;
    uint64_t dir;
    struct cis_str after; /* len 0: from the start */
    uint32_t max;
    bool attributes;
};
/* Blocks [first, first + count). */
struct cis_fs_extent_query {
    struct cis_view at;
    uint64_t ino, first, count;
};
struct cis_fs_put_request {
    const struct cis_fs_chunk *chunks;
    size_t n;
    bool accepted; /* they belong to what was accepted (cis_store_commit) */
};
struct cis_fs_move_request {
    struct cis_str name;
    struct cis_view expect, to;
    uint64_t fence;
    struct cis_str why; /* for the reflog, cut to CIS_FS_NOTE_MAX bytes */
};
struct cis_fs_lease_request {
    struct cis_str ref;
    const char *holder;
    uint64_t fence;  /* 0: a new lease, with a greater number than any before */
    uint32_t ttl_ms; /* 0: gives it back */
};
/* Commits of a branch with after < epoch ≤ upto. */
struct cis_fs_log_query {
    uint64_t branch, after, upto;
    bool newest;    /* newest first, else oldest first */
    uint32_t limit; /* 0: all */
    bool keys;      /* false: rows have empty keys, and each commit comes once */
};
struct cis_fs_pin_request {
    struct cis_view view;
    uint64_t id;     /* 0: makes one */
    uint32_t ttl_ms; /* 0: drops it */
};
struct cis_fs_publish_query {
    struct cis_str ref, reader;
    uint64_t pin;
    uint32_t ttl_ms;
};
struct cis_fs_scan_query {
    enum cis_fs_table table;
    uint64_t branch;
    const struct cis_fs_key *after; /* NULL: from the start */
    uint32_t limit;
};
struct cis_fs_squash_request {
    uint64_t branch, floor;
    const struct cis_fs_key *keys;
    size_t n;
};
struct cis_fs_chunk_query {
    uint64_t after; /* id */
    uint32_t limit; /* 0: all */
};
struct cis_fs_remove_request {
    const uint64_t *ids;
    size_t n;
    int64_t before_ms;
};

#define CIS_FS_ARGS const struct cis_stop *stop, struct cis_error *err

struct cis_store_fs_ops {
    uint32_t size;

    /* ---- tenants. Opening one that does not exist is CIS_E_NOTFOUND; the first write makes it. */
    cis_code (*tenant_create)(cis_store *, struct cis_str name, uint32_t root_uid,
                              uint32_t root_gid, CIS_FS_ARGS); /* CIS_E_EXISTS */
    cis_code (*tenant_get)(cis_store *, struct cis_str name, struct cis_tenant *out, CIS_FS_ARGS);
    cis_code (*tenant_list)(cis_store *, cis_tenant_each *each, void *self, CIS_FS_ARGS);
    /* The quota fields of in that are not CIS_QUOTA_KEEP; lowering below what is used is allowed
     * and stops growth. */
    cis_code (*tenant_quota)(cis_store *, struct cis_str name, const struct cis_tenant *in,
                             CIS_FS_ARGS);
    /* With all its data. */
    cis_code (*tenant_delete)(cis_store *, struct cis_str name, CIS_FS_ARGS);

    /* ---- reads at a view ---- */
    /* names[0] in dir, names[1] in what was found, …: every step's entry and inode in one trip. A
     * step below something that is no directory is not taken. */
    cis_code (*walk)(cis_store *, struct cis_str tenant, const struct cis_fs_walk_query *query,
                     cis_fs_step_each *each, void *self, CIS_FS_ARGS);
    /* In the order asked; absent and gone ones are left out. */
    cis_code (*inodes)(cis_store *, struct cis_str tenant, const struct cis_fs_inode_query *query,
                       cis_fs_inode_each *each, void *self, CIS_FS_ARGS);
    /* Live entries in byte order of the name, after `after` (len 0: from the start), at most max.
     */
    cis_code (*list)(cis_store *, struct cis_str tenant, const struct cis_fs_list_query *query,
                     cis_fs_dirent_each *each, void *self, CIS_FS_ARGS);
    /* Blocks [first, first + count) that have an extent (explicit holes included), in order. */
    cis_code (*extents)(cis_store *, struct cis_str tenant, const struct cis_fs_extent_query *query,
                        cis_fs_extent_each *each, void *self, CIS_FS_ARGS);
    /* CIS_OK when the reads were tried: each has its own code. */
    cis_code (*chunk_read)(cis_store *, struct cis_str tenant, struct cis_fs_read *reads, size_t n,
                           CIS_FS_ARGS);

    /* ---- writes before a commit ---- */
    /* A range of inode numbers that no other caller ever gets. Not durable by itself: a commit that
     * uses them is. */
    cis_code (*reserve_inodes)(cis_store *, struct cis_str tenant, uint32_t n, uint64_t *out_first,
                               CIS_FS_ARGS);
    /* Stores what is not there yet (same hash = same content), stamps all; as durable as the
     * process needs that forgets their content: an id is never given to another content later.
     * CIS_E_QUOTA: the stored cap, unless they are of what was accepted (cis_store_commit). Any
     * order in, ids in the same order. */
    cis_code (*chunk_put)(cis_store *, struct cis_str tenant,
                          const struct cis_fs_put_request *request, uint64_t *out_ids, CIS_FS_ARGS);
    /* Stamps chunks that extents will newly name; out_lost[i]: it is gone, store it again. */
    cis_code (*chunk_touch)(cis_store *, struct cis_str tenant, const uint64_t *ids, size_t n,
                            bool *out_lost, CIS_FS_ARGS);

    /* ---- refs ---- */
    cis_code (*ref_get)(cis_store *, struct cis_str tenant, struct cis_str name,
                        struct cis_fs_ref *out, CIS_FS_ARGS); /* name empty: the current one */
    cis_code (*ref_list)(cis_store *, struct cis_str tenant, cis_fs_ref_each *each, void *self,
                         CIS_FS_ARGS);
    /* One branch row and its lineage for each name, all or none, one durable commit; CIS_E_EXISTS,
     * CIS_E_LIMIT (CIS_FS_LINEAGE_MAX). */
    cis_code (*fork)(cis_store *, struct cis_str tenant, struct cis_view from,
                     const struct cis_str *names, size_t n, CIS_FS_ARGS);
    /* Rollback: a new branch forked from the view, and the ref points at it; the reflog gets what
     * it pointed at, with `why` (cut to CIS_FS_NOTE_MAX bytes). When the view is the state of the
     * head, nothing is done and *out_head is the head. CIS_E_CONFLICT when the ref's head is not
     * `expect` any more, or it is leased under another fence. CIS_E_LIMIT:
     * CIS_FS_LINEAGE_MAX. */
    cis_code (*ref_move)(cis_store *, struct cis_str tenant,
                         const struct cis_fs_move_request *request, struct cis_view *out_head,
                         CIS_FS_ARGS);
    cis_code (*ref_switch)(cis_store *, struct cis_str tenant, struct cis_str name, CIS_FS_ARGS);
    /* Not the current one (CIS_E_USAGE). Its rows go with a later gc unless a fork needs them. The
     * reflog gets what it pointed at, with `why`; why empty: it does not (names that a program made
     * for itself). */
    cis_code (*ref_remove)(cis_store *, struct cis_str tenant, struct cis_str name,
                           struct cis_str why, CIS_FS_ARGS);
    /* Removes a name that a program made for itself, without an entry of the reflog, if its head is
     * still `head`: asked within the transaction that removes. CIS_E_CONFLICT: it is not, or
     * somebody has a lease on it, or it is the current one. */
    cis_code (*ref_expire)(cis_store *, struct cis_str tenant, struct cis_str name,
                           struct cis_view head, CIS_FS_ARGS);
    /* Entries of one name, whether a ref has it or not, newest first; ref empty: of all. */
    cis_code (*reflog)(cis_store *, struct cis_str tenant, struct cis_str ref,
                       cis_fs_reflog_each *each, void *self, CIS_FS_ARGS);
    /* Forgets entries of before_ms (database clock) and older. */
    cis_code (*reflog_trim)(cis_store *, struct cis_str tenant, int64_t before_ms, CIS_FS_ARGS);
    /* Is the view's history still there in full? CIS_E_NOTFOUND: never was; CIS_E_EXPIRED. The out
     * view names the branch that owns the epoch. */
    cis_code (*view_check)(cis_store *, struct cis_str tenant, struct cis_view view,
                           struct cis_view *out_owner, CIS_FS_ARGS);
    /* Only one holder at a time: CIS_E_CONFLICT names the other. Renewed with the same fence;
     * fence 0 takes a new lease with a greater number than any before. ttl_ms 0 gives it back. */
    cis_code (*lease)(cis_store *, struct cis_str tenant,
                      const struct cis_fs_lease_request *request, uint64_t *out_fence, CIS_FS_ARGS);

    /* ---- commits and snapshots ---- */
    /* Commits of a branch with after < epoch ≤ upto (own branch only, not its ancestors'), oldest
     * first; newest: newest first. limit 0: all. keys false: rows have empty keys, and each commit
     * comes once. */
    cis_code (*commits)(cis_store *, struct cis_str tenant, const struct cis_fs_log_query *query,
                        cis_fs_commit_each *each, void *self, CIS_FS_ARGS);
    /* The commit of a run, with empty keys; CIS_E_NOTFOUND: it changed nothing, or never
     * committed. */
    cis_code (*commit_of_run)(cis_store *, struct cis_str tenant, const char *run,
                              cis_fs_commit_each *each, void *self, CIS_FS_ARGS);
    cis_code (*snapshot_put)(cis_store *, struct cis_str tenant,
                             const struct cis_fs_snapshot *snapshot, CIS_FS_ARGS); /* CIS_E_EXISTS,
                                                                                    * CIS_E_QUOTA */
    /* name empty: all, in order of creation. Entries of the reflog are no snapshots. */
    cis_code (*snapshots)(cis_store *, struct cis_str tenant, struct cis_str name,
                          cis_fs_snapshot_each *each, void *self, CIS_FS_ARGS);
    cis_code (*snapshot_remove)(cis_store *, struct cis_str tenant, struct cis_str name,
                                CIS_FS_ARGS);

    /* ---- pins: id 0 makes one, ttl_ms 0 drops it. CIS_E_EXPIRED: it had lapsed, or the view is
     * below its branch's floor and no snapshot, fork or pin holds it. A writer takes one before it
     * stores chunks that a later commit will name: gc goes by the oldest pin's since_ms. ---- */
    cis_code (*pin)(cis_store *, struct cis_str tenant, const struct cis_fs_pin_request *request,
                    uint64_t *out_id, CIS_FS_ARGS);
    cis_code (*pins)(cis_store *, struct cis_str tenant, cis_fs_pin_each *each, void *self,
                     CIS_FS_ARGS);

    /* ---- publishing: the head of a branch, to be read by other tenants ----
     * Rows are the publisher's. They go with the branch's name (ref_remove) and with either tenant;
     * a rollback of the branch or a switch changes nothing. No row is made for a name, but for the
     * tenant that has it now. */
    /* To all of them or to none; again is fine. CIS_E_NOTFOUND: no such branch, or tenant.
     * CIS_E_INVALID: to itself. */
    cis_code (*publish_put)(cis_store *, struct cis_str tenant, struct cis_str ref,
                            const struct cis_str *to, size_t n, CIS_FS_ARGS);
    /* n 0: from everybody. CIS_E_NOTFOUND: it is not published to one of them; nothing changed. */
    cis_code (*publish_remove)(cis_store *, struct cis_str tenant, struct cis_str ref,
                               const struct cis_str *to, size_t n, CIS_FS_ARGS);
    /* By the tenant, in order of branch and reader; to the tenant, of publisher and branch. */
    cis_code (*published_by)(cis_store *, struct cis_str tenant, cis_fs_publish_each *each,
                             void *self, CIS_FS_ARGS);
    cis_code (*published_to)(cis_store *, struct cis_str tenant, cis_fs_publish_each *each,
                             void *self, CIS_FS_ARGS);
    /* Every reader's way in, in one transaction on the publisher's side: may `reader` read this
     * branch of `tenant` now? pin 0: out is its head (name, head, files, bytes) and *out_pin a new
     * pin on it; else that pin is renewed and out not touched. CIS_E_DENIED: it was published and
     * is no more. CIS_E_NOTFOUND: it never was, and nobody learns whether there is such a branch or
     * tenant. CIS_E_EXPIRED: the pin lapsed. */
    cis_code (*publish_check)(cis_store *, struct cis_str tenant,
                              const struct cis_fs_publish_query *query, struct cis_fs_ref *out,
                              uint64_t *out_pin, CIS_FS_ARGS);

    /* ---- maintenance ---- */
    /* Rows of one branch as they are, no ancestors, from one snapshot of the database; after NULL:
     * from the start, at most limit rows (0: all). */
    cis_code (*scan)(cis_store *, struct cis_str tenant, const struct cis_fs_scan_query *query,
                     cis_fs_row_each *each, void *self, CIS_FS_ARGS);
    /* Snapshots, pins that have not lapsed and forks, all as they are at one moment. */
    cis_code (*holds)(cis_store *, struct cis_str tenant, cis_fs_hold_each *each, void *self,
                      CIS_FS_ARGS);
    /* Deletes rows by key, in one short transaction under the branch's lock, and records that views
     * of the branch below floor are gone (0: leave as is; n 0: only this; never lowered; at most
     * the head + 1, for a branch that nobody's ref names) but those that a snapshot, a fork or a
     * pin holds now. From then on no new one can be made below it elsewhere. CIS_E_CONFLICT: a
     * snapshot, a fork or a pin of this moment holds a view of the branch in [epoch, until) of one
     * of the keys: none of them was deleted. */
    cis_code (*squash)(cis_store *, struct cis_str tenant,
                       const struct cis_fs_squash_request *request, CIS_FS_ARGS);
    /* Forgets what the branch's commits up to this epoch changed: from then on their keys are
     * CIS_KEYS_DROPPED (store/commit.h). Their lines in the log stay. */
    cis_code (*keys_drop)(cis_store *, struct cis_str tenant, uint64_t branch, uint64_t upto,
                          CIS_FS_ARGS);
    /* A branch with no ref, fork, snapshot or pin on it, with all its rows; CIS_E_CONFLICT else. */
    cis_code (*branch_remove)(cis_store *, struct cis_str tenant, uint64_t branch, CIS_FS_ARGS);
    /* Every branch, with parent and fork epoch. Without a ref the name is "", and created_ms is
     * when it lost its name (ref_move, ref_remove): gc lets those who still read it finish. */
    cis_code (*branches)(cis_store *, struct cis_str tenant, cis_fs_ref_each *each, void *self,
                         CIS_FS_ARGS);
    cis_code (*chunk_list)(cis_store *, struct cis_str tenant,
                           const struct cis_fs_chunk_query *query, cis_fs_chunk_each *each,
                           void *self, CIS_FS_ARGS);
    /* Deletes those of ids whose stamp is older than before_ms; *out_removed counts. */
    cis_code (*chunk_remove)(cis_store *, struct cis_str tenant,
                             const struct cis_fs_remove_request *request, uint64_t *out_removed,
                             CIS_FS_ARGS);
    /* The database's clock: the time of day, which commits and branches are stamped with, and what
     * pins and the stamps of chunks go by, which no step of the time of day moves where the store
     * can help it. Either may be NULL. */
    cis_code (*clock)(cis_store *, int64_t *out_ms, int64_t *out_stamp_ms, CIS_FS_ARGS);
    /* The database's own check of its files ("" when whole). */
    cis_code (*check)(cis_store *, struct cis_str tenant, struct cis_buf *out_faults, CIS_FS_ARGS);
};
#undef CIS_FS_ARGS

/* [A-Za-z0-9_][A-Za-z0-9._@/-]*, no "..", no trailing '/', at most CIS_FS_REF_MAX bytes. */
bool cis_fs_ref_valid(struct cis_str name);
/* CIS_E_INVALID with the name when it is not valid. */
cis_code cis_fs_ref_check(struct cis_str name, struct cis_error *err);
/* Is it a name that cis makes itself: CIS_CONFLICT_PREFIX or CIS_APPLIED_PREFIX, a run's id, and a
 * number maybe? gc removes such branches alone. */
bool cis_fs_ref_is_made(struct cis_str name);
/* A branch that users and runs make may not begin with one of these prefixes: CIS_E_USAGE. */
cis_code cis_fs_ref_check_free(struct cis_str name, struct cis_error *err);
/* A branch has a row for each branch that it descends from, and a look-up in it asks each of them:
 * both are bounded. What a rollback makes is this deep at most; a fork may be a little deeper, so
 * that what a run or a conflict keeps beside such a branch has a place. CIS_E_LIMIT. */
#define CIS_FS_LINEAGE_MAX 1000u
#define CIS_FS_LINEAGE_FORKS 64u
cis_code cis_fs_lineage_check(uint64_t ancestors, bool moves, struct cis_error *err);
/* The record of an apply says what an undo does to a folder of the host: kind "apply" alone writes
 * to it. Else CIS_E_DENIED. */
cis_code cis_fs_ref_check_writer(struct cis_str ref, struct cis_str kind, struct cis_error *err);
/* ---- names of the reflog's rows, for backends ---- */
#define CIS_FS_REFLOG_NAME (1 + CIS_FS_REF_MAX + 1 + CIS_ID_CHARS)
struct cis_fs_reflog_name {
    char text[CIS_FS_REFLOG_NAME + 1];
    struct cis_str name; /* points into text */
};
/* A new entry's name; the ref is valid. */
void cis_fs_reflog_make(struct cis_str ref, struct cis_fs_reflog_name *out);
/* Names of the ref's entries are ≥ from and < to; ref empty: those of all. */
void cis_fs_reflog_range(struct cis_str ref, struct cis_fs_reflog_name *out_from,
                         struct cis_fs_reflog_name *out_to);
/* Is it a name that cis_fs_reflog_make can give? For names that come from a file. */
bool cis_fs_reflog_valid(struct cis_str name);
/* The ref of an entry's name, into entry->ref; cut short when it is damaged. */
void cis_fs_reflog_ref(struct cis_str name, struct cis_fs_reflog *entry);
/* What publish_check says: was: it is published no more; else it never was, whatever there is. */
cis_code cis_fs_publish_refuse(struct cis_str tenant, struct cis_str ref, struct cis_str reader,
                               bool was, struct cis_error *err);
/* NAME#INSTANCE, or a name: then the instance is empty. */
void cis_fs_tenant_split(struct cis_str tenant, struct cis_str *out_name,
                         struct cis_str *out_instance);
/* Neither "." nor ".." nor empty, no '/' and no NUL, at most CIS_FS_NAME_MAX bytes. */
bool cis_fs_name_valid(struct cis_str name);
/* -1, 0, 1. */
int cis_fs_time_cmp(struct cis_fs_time a, struct cis_fs_time b);

#endif
