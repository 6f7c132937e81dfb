/* The store: versioned rows behind one vtable; sqlite/ is the embedded default. This header owns
 * the operations; a backend implements them and passes tests/store's contract suite.
 *
 * Threads: a store is used by any number of threads at once. Deadlines: every operation that may
 * wait takes a cis_stop (NULL: none; a wait for another process's lock still ends after
 * CIS_STORE_LOCK_NS). No operation leaves a transaction open when it returns. Errors: CIS_E_STORE
 * with file and reason; CIS_E_NOTFOUND; CIS_E_INVALID (a row outside the limits below);
 * CIS_E_QUOTA; CIS_E_EXISTS; CIS_E_CONFLICT; CIS_E_DEADLINE and CIS_E_CANCELLED from the stop.
 *
 * Callbacks get borrowed rows that are valid during the call, return false to stop, and do not call
 * the store: it may hold its last connection for them.
 *
 * A tenant that was never written to is empty and is not made by reading. */
#ifndef CIS_STORE_STORE_H
#define CIS_STORE_STORE_H

#include <stdatomic.h>
#include "base/buf.h"
#include "base/cancel.h"
#include "store/fs.h"

typedef struct cis_store cis_store;
struct cis_backup_sink;

/* Limits of rows, the same in every backend. */
#define CIS_STORE_KEY_MAX 1024u
#define CIS_STORE_VALUE_MAX (10u * 1024u * 1024u)
#define CIS_STORE_NAME_MAX 300u /* namespaces, skills */
#define CIS_STORE_CATEGORY_MAX 256u
#define CIS_STORE_REPORT_MAX (16u * 1024u * 1024u)
#define CIS_STORE_CONFIG_KEYS_MAX 1000u /* of one skill */
#define CIS_STORE_CONFIG_BYTES_MAX (1024u * 1024u)
#define CIS_STORE_SEARCH_MAX 1000u /* hits of one search */
#define CIS_STORE_RUNS_KEPT 10000u /* newest run records of a tenant; older ones go */
#define CIS_STORE_LOCK_NS (30ull * 1000000000ull)

/* ---- key-value: (tenant, view, namespace, key) → bytes; versioned like files (store/fs.h) ---- */
/* The head of the tenant's current ref, as it is at the call. */
#define CIS_VIEW_HEAD ((struct cis_view){0, 0})
struct cis_kv_entry {
    struct cis_str ns, key;
    struct cis_bytes value;
    bool is_public;
    struct cis_str category;
    int64_t updated_ms;
    uint64_t version; /* the epoch of the commit that wrote it */
};
typedef bool cis_kv_each(void *self, const struct cis_kv_entry *entry); /* false: stop */

struct cis_kv_op {
    struct cis_str ns, key;
    struct cis_bytes value;
    bool remove;
    int8_t is_public;        /* -1: keep what the entry has (private when new) */
    struct cis_str category; /* ptr NULL: keep */
};

/* One entry: its callback is called when there is one. */
struct cis_kv_get_query {
    struct cis_view at;
    struct cis_str ns, key;
    cis_kv_each *each;
    void *self;
};

struct cis_kv_search_query {
    struct cis_view at;
    struct cis_str ns; /* own namespace; ptr NULL: the whole tenant */
    struct cis_str query;
    uint32_t limit;
};

struct cis_kv_query {
    struct cis_view at;
    struct cis_str ns; /* ptr NULL: every namespace, ordered by (ns, key); no prefix, no after */
    struct cis_str prefix; /* empty: all keys */
    struct cis_str after;  /* keys up to and including it are left out; ptr NULL: none */
    uint32_t limit;        /* 0: no limit */
    bool values;           /* false: entries have value.ptr NULL and the right value.len */
};

/* ---- runs ---- */
struct cis_run_row {
    char id[27];
    struct cis_str skill, status; /* "file:x" or installed name; "ok", "failed", "trap", … */
    int32_t exit_code;
    int64_t started_ms, ended_ms;
    struct cis_str report; /* JSON */
};
typedef bool cis_run_each(void *self, const struct cis_run_row *row);
struct cis_run_query {
    struct cis_str skill; /* ptr NULL: all */
    uint32_t limit;       /* 0: no limit */
};

/* ---- the commit of a run: memory, the skill's config and the run's record, all or nothing ---- */
/* A commit without kv and config is a record only: it is atomic and outlives the process, but is
 * not forced to the disk by itself; power loss may take the last of them (with the commit after it,
 * they are safe). Every other commit is on the disk when it returns. */
enum cis_quota { CIS_QUOTA_OTHER, CIS_QUOTA_FILES, CIS_QUOTA_BYTES, CIS_QUOTA_MEMORY };
struct cis_store_commit {
    const struct cis_run_row *run;  /* NULL: a change without a run (command line, import) */
    struct cis_str ref;             /* which branch; empty: the tenant's current one */
    const struct cis_fs_commit *fs; /* NULL: files are not changed */
    struct cis_fs_committed *out;   /* may be NULL */
    const char *kind, *note;        /* for the log; NULL: "run" with a run, else "memory", and "" */
    uint64_t fence;                 /* of the lease this writer holds, 0: none */
    /* Its files were held against the tenant's quotas when they were taken, and whoever wrote them
     * was told that they are there: they are counted and not checked again. */
    bool accepted;
    /* An undo or a redo, or the note that one was done. It has room above the quota of what is
     * stored (cis_stored_room). */
    bool takes_back;
    /* ref is a new branch, forked from fs->base (without files: base), and this is its first
     * commit: it is there when the commit is. CIS_E_EXISTS. */
    bool fork;
    bool strict_memory;   /* memory keys conflict: with base, what was written after it */
    struct cis_view base; /* of strict memory, when fs is NULL */
    const struct cis_kv_op *kv;
    size_t nkv;
    const struct cis_kv_op *config; /* ns = skill name, key/value text */
    size_t nconfig;
    /* Quotas are exact under concurrency. A commit that ends above one and above where it began is
     * CIS_E_QUOTA; shrinking is always possible. */
    uint64_t quota_bytes;      /* of the tenant's key-value data (keys + values), 0: none */
    uint64_t quota_keys;       /* 0: none */
    enum cis_quota *out_quota; /* which one a CIS_E_QUOTA is about; may be NULL */
    /* How much of what others changed since its base is looked at under the lock, in bytes of their
     * changed keys; more is CIS_E_CONFLICT. 0: as much as one commit may have. Tests only. */
    uint64_t checked_max;
    /* Charged for what the commit itself holds in memory while it lasts, its rows and keys, by
     * whichever thread does it; nobody else may use it meanwhile. NULL: nobody counts. */
    struct cis_budget *budget;
};

/* ---- registry: one row an installed skill ---- */
struct cis_skill_row {
    struct cis_str name, version, source, sha256; /* of the module, hex; source: path or URL */
    struct cis_str manifest;                      /* JSON form of the manifest */
    struct cis_str grants;                        /* canonical JSON array (policy/grant.h) */
    struct cis_str signer;                        /* hex public key or "" */
    struct cis_str digest;                        /* sha256 of the signed manifest + files, hex */
    int64_t installed_ms;
};
typedef bool cis_skill_each(void *self, const struct cis_skill_row *row);
/* All that a row says, as one text: two rows with one stamp are the same. */
#define CIS_SKILL_STAMP_LEN 64u
void cis_skill_row_stamp(const struct cis_skill_row *row, char out[CIS_SKILL_STAMP_LEN + 1]);
/* One change of what is installed by a name, whole or not at all. It was computed from what was
 * read before, and somebody else, on another host maybe, may have changed that since. */
struct cis_skill_change {
    struct cis_str name;
    const char *was; /* the stamp of what was read; "": nothing is installed */
    /* How many keys its config has; -1: whatever they are. */
    int64_t had;
    const struct cis_skill_row *row; /* what is there from now on; NULL: what is there stays */
    bool remove;                     /* the row goes, and so does its config */
    bool clear;                      /* its config goes */
    const struct cis_kv_op *config;  /* written then; ns = skill name */
    size_t nconfig;
};

struct cis_store_ops {
    uint32_t size;
    bool remote; /* reads wait for another process, however little they read */
    void (*close)(cis_store *store);
    cis_code (*kv_get)(cis_store *, struct cis_str tenant, const struct cis_kv_get_query *query,
                       bool *out_found, const struct cis_stop *stop, struct cis_error *err);
    /* In byte order of the key, from one snapshot. */
    cis_code (*kv_list)(cis_store *, struct cis_str tenant, const struct cis_kv_query *query,
                        cis_kv_each *each, void *self, const struct cis_stop *stop,
                        struct cis_error *err);
    /* Substring and full text over keys and text values (store/text.h says what is text): own
     * namespace, and public entries of others. An entry is found when every word of the query is
     * part of its key or text. Exact keys first, then by rank, where the query as one phrase counts
     * more. The query is never taken as syntax. */
    cis_code (*kv_search)(cis_store *, struct cis_str tenant,
                          const struct cis_kv_search_query *search, cis_kv_each *each, void *self,
                          const struct cis_stop *stop, struct cis_error *err);
    /* Only entry.ns is set. */
    cis_code (*kv_namespaces)(cis_store *, struct cis_str tenant, struct cis_view at,
                              cis_kv_each *each, void *self, const struct cis_stop *stop,
                              struct cis_error *err);
    cis_code (*kv_usage)(cis_store *, struct cis_str tenant, struct cis_view at,
                         uint64_t *out_bytes, uint64_t *out_keys, const struct cis_stop *stop,
                         struct cis_error *err);
    cis_code (*commit)(cis_store *, struct cis_str tenant, const struct cis_store_commit *commit,
                       const struct cis_stop *stop, struct cis_error *err);
    /* id may be a prefix that only one run has; CIS_E_USAGE when more do, CIS_E_NOTFOUND. */
    cis_code (*run_get)(cis_store *, struct cis_str tenant, struct cis_str id, cis_run_each *each,
                        void *self, const struct cis_stop *stop, struct cis_error *err);
    /* Newest first; reports are left empty. */
    cis_code (*run_list)(cis_store *, struct cis_str tenant, const struct cis_run_query *query,
                         cis_run_each *each, void *self, const struct cis_stop *stop,
                         struct cis_error *err);
    /* Replaces the report of this very run (id is whole) if it is still `was`; it is on the disk
     * when this returns. CIS_E_CONFLICT: it is another one by now; CIS_E_NOTFOUND. */
    cis_code (*run_report)(cis_store *, struct cis_str tenant, struct cis_str id,
                           struct cis_str was, struct cis_str now, const struct cis_stop *stop,
                           struct cis_error *err);
    cis_code (*config_list)(cis_store *, struct cis_str tenant, struct cis_str skill,
                            cis_kv_each *each, void *self, const struct cis_stop *stop,
                            struct cis_error *err);
    /* CIS_E_QUOTA past the limits of one skill's config. */
    cis_code (*config_apply)(cis_store *, struct cis_str tenant, const struct cis_kv_op *ops,
                             size_t nops, const struct cis_stop *stop, struct cis_error *err);
    /* Installed skills belong to the tenant. CIS_E_CONFLICT: it is not what was read any more, and
     * nothing was changed; CIS_E_NOTFOUND: nothing is installed, and the change installs nothing.
     * Memory stays. */
    cis_code (*skill_change)(cis_store *, struct cis_str tenant,
                             const struct cis_skill_change *change, const struct cis_stop *stop,
                             struct cis_error *err);
    cis_code (*skill_get)(cis_store *, struct cis_str tenant, struct cis_str name,
                          cis_skill_each *each, void *self, const struct cis_stop *stop,
                          struct cis_error *err);
    cis_code (*skill_list)(cis_store *, struct cis_str tenant, cis_skill_each *each, void *self,
                           const struct cis_stop *stop, struct cis_error *err);
    /* Every row of every tenant, all as of one instant, while others go on (store/backup.h). What
     * cannot be read is told to the sink, and the rest is given all the same. SQLite: writers wait
     * while that instant is taken, about half a millisecond for each tenant. */
    cis_code (*dump)(cis_store *, const struct cis_backup_sink *sink, const struct cis_stop *stop,
                     struct cis_error *err);
    /* One line for doctor: backend, version, location, journal mode. */
    cis_code (*describe)(cis_store *, struct cis_buf *out, struct cis_error *err);
};

struct cis_store { /* embedded first in a backend's own struct */
    const struct cis_store_ops *ops;
    const struct cis_store_fs_ops *fs;
    const char *folder; /* of the host that holds it, absolute; NULL: a server does */
    /* KiB of its rows that a backend keeps in this process for all who read; 0: as many as it
     * likes. Set before the store is used. A server keeps its own. */
    uint32_t cache_kib;
    /* Damaged chunks that this object stored anew, because their content was written again. */
    atomic_uint_least64_t healed;
};
/* May `folder` be mounted beside a store that is in use? CIS_E_USAGE when it is the store's own, is
 * above it or within it. NULL: no store. */
cis_code cis_store_folder_check(const cis_store *store, const char *folder, struct cis_error *err);

#define CIS_TENANT_MAX 64u /* [a-z0-9][a-z0-9._-]*, checked by cis_tenant_valid */
bool cis_tenant_valid(struct cis_str name);
/* Which of all the tenants that ever had its name: 16 hexadecimal digits of the tenant's key. */
void cis_store_instance_of(const uint8_t key[32], char out[17]);
/* ---- grammar.c: what texts of rows may be that become a path, an id or a column ---- */
#define CIS_SKILL_NAME_MAX 256u /* cis_store_plain: never "file:…", never a path */
#define CIS_VERSION_MAX 100u    /* semver.org 2.0.0 */
/* [a-z0-9][a-z0-9._-]* of at most so many bytes. */
bool cis_store_plain(struct cis_str name, size_t most);
bool cis_skill_name_valid(struct cis_str name);
bool cis_version_valid(struct cis_str text);
/* What becomes a path or is compared with a hash; CIS_E_DAMAGED: it says which field. */
cis_code cis_skill_row_check_names(const struct cis_skill_row *row, struct cis_error *err);
/* And manifest and grants are JSON; what they mean is not looked at. */
cis_code cis_skill_row_check(const struct cis_skill_row *row, struct cis_error *err);
bool cis_run_id_valid(struct cis_str id);         /* 26 of [0-9A-Z] */
bool cis_run_status_valid(struct cis_str status); /* small letters */
bool cis_run_report_valid(struct cis_str report); /* empty, or an object of JSON */
/* When the record came into this store with a backup, 0: it was made here. Folders that a record
 * from elsewhere names are not this host's. */
int64_t cis_run_restored_ms(struct cis_str report);
/* The report with that mark, which it bears from then on. Where it was applied before is not said
 * any more: those were folders of another host. */
void cis_run_report_restored(struct cis_str report, int64_t now_ms, struct cis_buf *out);
/* Where the run was applied: a JSON array that the store's own applies wrote (run/cow_mark.c), each
 * with its "record". It is the first member of the report, "applied", where no run and no backup
 * puts one. Empty: none. */
struct cis_str cis_run_report_applied(struct cis_str report);
/* The report with this array instead. */
void cis_run_report_set_applied(struct cis_str report, struct cis_str applied, struct cis_buf *out);
/* Does it name this record? */
bool cis_run_applied_names(struct cis_str applied, struct cis_str record);

/* Keys with the query's prefix, after its `after`, are lower <= key < upper; CIS_E_INVALID. Both
 * have room for one byte more than the longest key. */
struct cis_kv_range {
    char lower[CIS_STORE_KEY_MAX + 1], upper[CIS_STORE_KEY_MAX + 1];
    size_t nlower, nupper;
};
cis_code cis_kv_range_of(const struct cis_kv_query *query, struct cis_kv_range *out,
                         struct cis_error *err);

/* What a commit may hold, checked before a backend does anything. */
cis_code cis_run_report_check(struct cis_str id, struct cis_str report, struct cis_error *err);
cis_code cis_store_commit_check(const struct cis_store_commit *commit, struct cis_error *err);
cis_code cis_skill_change_check(const struct cis_skill_change *change, struct cis_error *err);
/* In its transaction: is there still what was read? row NULL: nothing is. */
cis_code cis_skill_change_still(const struct cis_skill_change *change,
                                const struct cis_skill_row *row, int64_t has,
                                struct cis_error *err);
cis_code cis_store_tenant_check(struct cis_str name, struct cis_error *err);

#endif
