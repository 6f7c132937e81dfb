/* What the files of the SQLite backend share: connections, their pool, prepared statements, and the
 * queue in which writes of one tenant join a transaction. Not for other rooms. */
#ifndef CIS_STORE_SQLITE_INTERNAL_H
#define CIS_STORE_SQLITE_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include "base/lock.h"
#include "base/map.h"
#include "store/sqlite/sqlite.h"

/* ---- statements: one text each, prepared once a connection ---- */
enum sql_id {
#define SQL(id, text) SQL_##id,
#include "store/sqlite/statements.def"
#undef SQL
    SQL_COUNT
};

#define SQL_CONNECTIONS_MAX 64u        /* of one store */
#define SQL_TENANT_CONNECTIONS_MAX 16u /* of one tenant */
#define SQL_BATCH_MAX 64u              /* writes that join one transaction */

#define SQL_READERS 8u /* idle readers of one tenant */
#define SQL_SEEN 16u   /* views that an open transaction is known to hold */
#define SQL_QUICK 64u
#define SQL_SNAPSHOT_NS (100ull * 1000000ull) /* how long a read transaction is used */
/* KiB of pages that readers keep unless it is said otherwise: all together little more than this,
 * since the nth gets an nth of it, and one at most half. Taken only as far as it is used. */
#define SQL_READER_CACHE 131072u
#define SQL_PAGES_MAX (64u << 20) /* KiB: 64 GiB */

struct sql_tenant;
struct sql_store;
struct cis_chunk_codec;

#define SQL_CHAINS 4u
struct sql_chain { /* chain.c */
    struct cis_view at, first;
    enum { SQL_CHAIN_NEW, SQL_CHAIN_QUIET, SQL_CHAIN_LOUD } state;
    uint32_t uses;
    uint64_t made;     /* the lowest is replaced */
    uint64_t *touched; /* open addressing, 0 is free */
    size_t cap;
};

struct sql_seen {
    struct cis_view at, owner;
    bool forked;
};

/* Used by one thread at a time, the one that took it from the pool. */
struct sql_conn {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *stmts[SQL_COUNT];
    const struct cis_stop *stop; /* of the operation at work; NULL: none */
    uint64_t waiting_since_ns;   /* busy handler */
    uint64_t wait_most_ns;       /* 0: CIS_STORE_LOCK_NS */
    bool broken;                 /* closed instead of returned to the pool */
    bool full_sync;
    bool committed;    /* once; walcut.c */
    bool counting;     /* count.c: rows that come and go are counted, into: */
    int64_t grown;     /* stored bytes of the write at work */
    bool begun;        /* there was nothing in the file before this connection */
    uint64_t life;     /* of the tenant's file, see struct sql_tenant */
    char instance[17]; /* which tenant the file is, "": not looked at yet */
    struct sql_store *store;
    struct sql_tenant *tenant;
    struct sql_conn *next;
    /* reader.c */
    bool reader;  /* was one before */
    bool kept;    /* counted in store->reading */
    bool reading; /* a read transaction is open, since: */
    uint64_t began_ns;
    struct sql_seen seen[SQL_SEEN];
    struct sql_chain chains[SQL_CHAINS];
    uint64_t chains_made;
    sqlite3_stmt **versions[2]; /* versions.c: one statement an ancestor */
    size_t nversions[2];
    /* chunk.c */
    int chunk_fd;       /* -1: not open */
    sqlite3_blob *blob; /* of table payload, within the read transaction */
    struct cis_chunk_codec *codec;
    uint8_t *payload; /* room for one */
    uint8_t *content; /* and for what it unpacks to, when it is only looked at */
};

struct sql_job;

/* The one lock of a store; no database is asked under it. house_thread_safety checks it. */
CIS_LOCK_CLASS(sql_lock_store);

/* Lives as long as the store. Everything is guarded by the store's lock. */
struct sql_tenant {
    char name[CIS_TENANT_MAX + 1];
    unsigned open CIS_GUARDED_BY(sql_lock_store); /* connections, idle or not */
    bool known CIS_GUARDED_BY(sql_lock_store);    /* its file exists */
    uint64_t absent_ns CIS_GUARDED_BY(
        sql_lock_store);   /* when it was looked for last, and nothing spoke of a tenant */
    atomic_bool swept;     /* chunk_gc.c: its chunk file, for left over bytes */
    _Atomic uint64_t life; /* grows when the tenant is deleted: connections of before are closed */
    atomic_int log_next;   /* walcut.c: frames from which on it is tried again */
    bool led CIS_GUARDED_BY(sql_lock_store); /* a thread leads the queue */
    struct sql_job *first CIS_GUARDED_BY(sql_lock_store), *last CIS_GUARDED_BY(sql_lock_store);
    int pins_fd CIS_GUARDED_BY(sql_lock_store);               /* pinhold.c; -1: no pin is held */
    struct sql_held_pin *pins CIS_GUARDED_BY(sql_lock_store); /* that are */
    pthread_cond_t moved; /* the queue's lead or a job's state changed */
    struct sql_slot {     /* not under the lock; no two in one cache line */
        _Atomic(struct sql_conn *) conn;
        char apart[64 - sizeof(void *)];
    } readers[SQL_READERS];
};

struct sql_store {
    cis_store base;
    char *dir;          /* real path */
    int64_t lease_base; /* leaseclock.c */
    pthread_mutex_t lock;
    pthread_cond_t freed;                                 /* a connection came back or was closed */
    struct sql_conn *idle CIS_GUARDED_BY(sql_lock_store); /* last used first */
    unsigned open CIS_GUARDED_BY(sql_lock_store);
    unsigned reader_cache;  /* KiB */
    struct cis_map tenants; /* name → struct sql_tenant * */
    atomic_uint waiters;    /* threads that wait for freed */
    /* reader.c */
    _Atomic(struct sql_tenant *) quick[SQL_QUICK]; /* some of tenants, by hash, without the lock */
    atomic_uint begun;                             /* read transactions, the first few */
    atomic_uint reading; /* open read transactions that the keeper looks after */
    pthread_t keeper;
    pthread_cond_t keeper_wake;
    bool has_keeper CIS_GUARDED_BY(sql_lock_store), closing CIS_GUARDED_BY(sql_lock_store);
};

/* ---- open.c: files and connections ---- */
cis_code cis_sql_dir_prepare(const char *dir, char **out_real, struct cis_error *err);
/* Caller frees; room for "-journal" and the like at its end. NULL: out of memory. */
char *cis_sql_tenant_path(const struct sql_store *store, const char *tenant);
/* A connection to the tenant's file, made and entered into the catalogue when it is not there. */
cis_code cis_sql_conn_open(struct sql_store *store, const char *tenant, const struct cis_stop *stop,
                           struct sql_conn **out_conn, struct cis_error *err);
void cis_sql_conn_close(struct sql_conn *conn);
/* Outside the pool, for one use: close it with cis_sql_conn_close. */
/* Of a tenant whose file is there and stays, for who has the catalogue locked. */
cis_code cis_sql_tenant_open_there(const struct sql_store *store, const char *tenant,
                                   const struct cis_stop *stop, struct sql_conn **out_conn,
                                   struct cis_error *err);
cis_code cis_sql_catalogue_open(const struct sql_store *store, const struct cis_stop *stop,
                                struct sql_conn **out_conn, struct cis_error *err);
cis_code cis_sql_catalogue_enter(const struct sql_store *store, const char *tenant,
                                 const struct cis_stop *stop, struct cis_error *err);
/* Takes the tenant out of the catalogue. */
cis_code cis_sql_catalogue_forget(const struct sql_store *store, const char *tenant,
                                  struct cis_error *err);
/* The tenant by whose name the file lies there. */
struct cis_str cis_sql_name_of(const struct sql_conn *conn);
/* For what makes the catalogue: it knows no tenant, no other process waits. */
cis_code cis_sql_tenant_file_open(const char *path, struct sql_conn **out_conn,
                                  struct cis_error *err);
/* Makes an empty file for the tenant; CIS_E_EXISTS. */
cis_code cis_sql_tenant_make(const struct sql_store *store, const char *tenant,
                             struct cis_error *err);
/* Removes the files of a tenant whose log is folded in. */
/* No file, or an empty one: who opens it next makes it, behind the gate. */
bool cis_sql_tenant_is_fresh(const struct sql_store *store, const char *tenant);
/* gate.c. Taken before a tenant's files are made, and from its mark to the last unlink. file: by
 * cis_sql_tenant_path; taken over. */
struct sql_gate {
    char *path;
    int fd;
};
#define SQL_GATE_INIT ((struct sql_gate){NULL, -1})
cis_code cis_sql_gate_enter(char *file, const struct cis_stop *stop, struct sql_gate *out,
                            struct cis_error *err);
void cis_sql_gate_leave(struct sql_gate *gate);
/* The gate is the caller's. */
cis_code cis_sql_tenant_unlink(const struct sql_store *store, const char *tenant,
                               struct cis_error *err);
/* The lock of another process or connection: waits in growing steps, wakes at once on cancellation.
 * False: the stop or CIS_STORE_LOCK_NS is over. */
bool cis_sql_busy_wait(struct sql_conn *conn, int count);

/* ---- evidence.c: a database that holds nothing ---- */
/* Is there a file for this tenant? CIS_E_DAMAGED: there was, and it is missing or empty. */
cis_code cis_sql_tenant_exists(const struct sql_store *store, const char *tenant,
                               const struct cis_stop *stop, bool *out, struct cis_error *err);
bool cis_sql_tenant_file_there(const struct sql_store *store, const char *tenant);
/* Is there a byte in the file? CIS_E_DAMAGED: not in it, but in what goes with it. */
cis_code cis_sql_database_holds(const char *db, bool *out, struct cis_error *err);
/* Does the catalogue, if there is one, say that the tenant's file was made? */
cis_code cis_sql_catalogue_made(const struct sql_store *store, const char *tenant,
                                const struct cis_stop *stop, bool *out, struct cis_error *err);
/* Enters all tenants whose files are there; readers: and whom they publish to. */
cis_code cis_sql_catalogue_gather(struct sql_conn *conn, bool readers, struct cis_error *err);

/* ---- leaseclock.c ---- */
void cis_sql_lease_begin(struct sql_store *store);
/* Milliseconds, for leases, pins and the stamps of chunks: near the wall clock at boot, steady
 * since, and still while the host sleeps. */
int64_t cis_sql_lease_ms(const struct sql_store *store);

/* ---- reserve.c: room for removing on a full disk ---- */
/* Makes the reserve where there is room for it. */
void cis_sql_reserve_keep(const struct sql_store *store);
/* Behind something that found the disk full: gives a piece back. The first half is for what
 * helps (leases, numbers), too, the last quarter for what makes room alone, and for opening a
 * database. false: nothing was given, trying again is no use. */
enum sql_spend { SQL_SPEND_GC, SQL_SPEND_COMMIT, SQL_SPEND_HELP, SQL_SPEND_OPEN };
bool cis_sql_reserve_spend(const struct sql_store *store, enum sql_spend what);
/* Before something that grows: CIS_E_STORE when the disk is full and the reserve was given back. */
cis_code cis_sql_reserve_check(const struct sql_store *store, struct cis_error *err);

/* ---- schema.c ---- */
struct sql_step {
    const char *text;
    cis_code (*fill)(struct sql_conn *conn, struct cis_error *err); /* after it; NULL: nothing */
};
struct sql_schema {
    const char *name;             /* "tenant", "catalogue" */
    const struct sql_step *steps; /* steps[i] brings version i to i + 1 */
    int version;                  /* number of steps */
};
extern const struct sql_schema cis_sql_tenant_schema, cis_sql_catalogue_schema;
/* What the file is; refuses newer schemas and files of others. 0: nothing is in it. */
cis_code cis_sql_version(struct sql_conn *conn, const struct sql_schema *schema,
                         int64_t *out_version, struct cis_error *err);
/* Brings the file forward in one transaction; refuses as above. */
cis_code cis_sql_migrate(struct sql_conn *conn, const struct sql_schema *schema,
                         struct cis_error *err);

/* The root of an empty tree. */
void cis_sql_root(struct cis_fs_inode *out, uint32_t uid, uint32_t gid);

/* ---- sql.c ---- */
/* Code and message for a result code of SQLite. */
cis_code cis_sql_fail(struct sql_conn *conn, int rc, const char *what, struct cis_error *err);
cis_code cis_sql_exec(struct sql_conn *conn, const char *text, const char *what,
                      struct cis_error *err);
/* One more copy of a statement; it lives as long as the connection. */
cis_code cis_sql_prepare(struct sql_conn *conn, enum sql_id id, sqlite3_stmt **out_stmt,
                         struct cis_error *err);
/* The prepared statement, reset, without bindings; give it back with sql_release
 * (CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL). */
cis_code cis_sql_get(struct sql_conn *conn, enum sql_id id, sqlite3_stmt **out_stmt,
                     struct cis_error *err);
void cis_sql_release(sqlite3_stmt **stmt);
/* Texts and bytes are bound as blobs, so that they compare as bytes; borrowed until release. */
void cis_sql_bind(sqlite3_stmt *stmt, int at, const void *ptr, size_t len);
static inline void cis_sql_bind_str(sqlite3_stmt *stmt, int at, struct cis_str text)
{
    cis_sql_bind(stmt, at, text.ptr, text.len);
}
/* One step that must not give a row. */
cis_code cis_sql_done(struct sql_conn *conn, sqlite3_stmt *stmt, const char *what,
                      struct cis_error *err);
/* *out_row: is there one? */
cis_code cis_sql_row(struct sql_conn *conn, sqlite3_stmt *stmt, const char *what, bool *out_row,
                     struct cis_error *err);
/* Valid until the next step; never NULL. */
struct cis_bytes cis_sql_bytes(sqlite3_stmt *stmt, int column);
struct cis_str cis_sql_str(sqlite3_stmt *stmt, int column);

/* ---- pool.c ---- */
/* A connection for the tenant. create false and no file: CIS_OK and *out_conn NULL. */
cis_code cis_sql_take(struct sql_store *store, struct cis_str tenant, bool create,
                      const struct cis_stop *stop, struct sql_conn **out_conn,
                      struct cis_error *err) CIS_TAKES(sql_lock_store);
void cis_sql_give(struct sql_conn **conn)
    CIS_TAKES(sql_lock_store); /* NULL inside is allowed; CIS_CLEANUP */
/* The tenant's file goes: idle connections are closed, others when they come back. */
void cis_sql_forget(struct sql_store *store, struct cis_str tenant) CIS_TAKES(sql_lock_store);
struct sql_tenant *cis_sql_tenant_of(struct sql_store *store, struct cis_str name)
    CIS_REQUIRES(sql_lock_store);
/* Waits on cond under the store's lock until woken, at most until the stop ends. */
cis_code cis_sql_wait(struct sql_store *store, pthread_cond_t *cond, const struct cis_stop *stop,
                      const char *what, struct cis_error *err) CIS_REQUIRES(sql_lock_store);

/* ---- reader.c (more in read.h) ---- */
/* An idle reader of the tenant as an ordinary connection; NULL. Any thread. */
struct sql_conn *cis_sql_reader_steal(struct sql_tenant *tenant);
/* Ends the read transaction of a connection that is nobody else's. */
void cis_sql_read_end(struct sql_conn *conn);
void cis_sql_keeper_stop(struct sql_store *store);

/* ---- count.c: what rows count in the stored bytes ---- */
/* From here on the connection counts; outside a transaction. */
cis_code cis_sql_count_begin(struct sql_conn *conn, struct cis_error *err);
/* Adds what a write that is complete made of it; how: of cis_sql_write. CIS_E_QUOTA. */
cis_code cis_sql_count_settle(struct sql_conn *conn, unsigned how, struct cis_error *err);
/* All rows anew, inside a transaction: for the migration. */
cis_code cis_sql_count_all(struct sql_conn *conn, struct cis_error *err);
/* A row with a line for a number that is not right. */
extern const char cis_sql_count_fault[];

/* ---- walcut.c: the log's length ---- */
/* The connection's commits fold the log into the file, and see to it that it begins anew. */
void cis_sql_log_watch(struct sql_conn *conn);

/* ---- queue.c: writes ---- */
typedef cis_code sql_apply(struct sql_conn *conn, const void *arg, struct cis_error *err);
enum {
    SQL_LAZY = 0,
    SQL_DURABLE = 1,
    SQL_FREES = 2,
    SQL_RECORD = 4,
    SQL_ACCEPTED = 8,
    SQL_UNDO = 16,
    SQL_REMOVES = 32, /* a commit that frees */
    SQL_HELPS = 64    /* small, and needed for what frees: a lease, numbers */
};
/* Runs apply inside a transaction, alone or together with others of the tenant; CIS_OK means
 * committed (durable: on the disk). apply may run more than once, each time from the start. What
 * frees, or is needed for that, may use the last of the disk and the room above the stored quota;
 * a record and an undo some of the latter, what was accepted before all of it (cis_stored_limit).
 */
cis_code cis_sql_write(struct sql_store *store, struct cis_str tenant, sql_apply *apply,
                       const void *arg, unsigned how, const struct cis_stop *stop,
                       struct cis_error *err);
/* For what does not make the tenant: CIS_E_NOTFOUND when there is none. */
cis_code cis_sql_write_existing(struct sql_store *store, struct cis_str tenant, sql_apply *apply,
                                const void *arg, unsigned how, const struct cis_stop *stop,
                                struct cis_error *err);

/* ---- view.c: views and the branches that own them ---- */
/* For reading: begins a transaction, which cis_sql_give ends, and makes CIS_VIEW_HEAD the head of
 * the current ref. CIS_E_NOTFOUND: there was never such a view, or the tenant is being deleted;
 * CIS_E_EXPIRED: its rows may be gone. */
cis_code cis_sql_view_open(struct sql_conn *conn, struct cis_view at, struct cis_view *out_view,
                           struct cis_error *err);
/* The branch that owns the view's epoch; errors as above. Inside a transaction. */
cis_code cis_sql_view_owner(struct sql_conn *conn, struct cis_view at, struct cis_view *out_owner,
                            struct cis_error *err);
/* Does a snapshot, a fork or a pin hold a view below its branch's floor? */
cis_code cis_sql_view_kept(struct sql_conn *conn, struct cis_view owner, bool *out,
                           struct cis_error *err);
struct sql_counts {
    int64_t files, bytes, kv_bytes, kv_keys;
};
/* Logical counts at an owner's view. */
cis_code cis_sql_view_counts(struct sql_conn *conn, struct cis_view owner, struct sql_counts *out,
                             struct cis_error *err);
/* Is the tenant's tree there? CIS_E_NOTFOUND when another process is deleting it; the connection is
 * not used again then. */
cis_code cis_sql_tree_check(struct sql_conn *conn, struct cis_error *err);
/* Is it the very tenant that was asked for (empty: whichever)? CIS_E_NOTFOUND. A connection's file
 * never becomes another tenant's. */
cis_code cis_sql_instance_check(struct sql_conn *conn, struct cis_str instance,
                                struct cis_error *err);
/* CIS_E_NOTFOUND when the tenant has no file: for operations that do not make it. */
cis_code cis_sql_tenant_require(struct sql_store *store, struct cis_str tenant,
                                struct cis_error *err);
/* Numbers of callers above what SQLite holds mean "the greatest". */
static inline int64_t cis_sql_i64(uint64_t n)
{
    return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}
static inline void cis_sql_bind_view(sqlite3_stmt *stmt, struct cis_view view)
{
    sqlite3_bind_int64(stmt, 1, cis_sql_i64(view.branch));
    sqlite3_bind_int64(stmt, 2, cis_sql_i64(view.epoch));
}

/* ---- pinhold.c: what a living process holds, past its time too ---- */
/* The connection's statements can ask for it. */
cis_code cis_sql_pin_watch(struct sql_conn *conn, struct cis_error *err);
/* From now on, in the transaction that makes or renews the pin. */
void cis_sql_pin_hold(struct sql_conn *conn, uint64_t id);
void cis_sql_pin_let(struct sql_store *store, struct cis_str tenant, uint64_t id);
/* Has this store held it without a break? */
bool cis_sql_pin_mine(struct sql_conn *conn, uint64_t id);
/* Under the store's lock: all of the tenant's. */
void cis_sql_pins_let(struct sql_tenant *tenant) CIS_REQUIRES(sql_lock_store);

/* ---- fs_snapshot.c ---- */
struct sql_pin {
    struct cis_view view;
    uint64_t id;
    uint32_t ttl_ms; /* as cis_store_fs_ops.pin takes it */
    uint64_t *out;
    struct cis_str instance;
};
/* Makes, renews or drops it: arg is a struct sql_pin. */
cis_code cis_sql_pin_apply(struct sql_conn *conn, const void *arg, struct cis_error *err);

/* ---- fs_publish.c ---- */
/* The tenant goes: what others published to it. */
cis_code cis_sql_publish_forget(struct sql_store *store, struct cis_str tenant,
                                const struct cis_stop *stop, struct cis_error *err);

/* ---- kv_squash.c ---- */
/* Drops versions of memory that only views below the floor would see, but for those that a
 * snapshot, a fork or a pin holds. */
cis_code cis_sql_memory_squash(struct sql_store *store, struct cis_str tenant, uint64_t branch,
                               uint64_t floor, const struct cis_stop *stop, struct cis_error *err);

/* ---- write.c: memory inside a commit ---- */
cis_code cis_sql_kv_apply(struct sql_conn *conn, struct cis_view at, const struct cis_kv_op *ops,
                          size_t n, int64_t *out_bytes, int64_t *out_keys, struct cis_error *err);

/* ---- the operations, one file a noun ---- */
#define OP(name, ...) cis_code cis_sql_##name(cis_store *store, struct cis_str tenant, __VA_ARGS__)
OP(kv_get, const struct cis_kv_get_query *query, bool *out_found, const struct cis_stop *stop,
   struct cis_error *err);
OP(kv_list, const struct cis_kv_query *query, cis_kv_each *each, void *self,
   const struct cis_stop *stop, struct cis_error *err);
OP(kv_search, const struct cis_kv_search_query *search, cis_kv_each *each, void *self,
   const struct cis_stop *stop, struct cis_error *err);
OP(kv_namespaces, struct cis_view at, cis_kv_each *each, void *self, const struct cis_stop *stop,
   struct cis_error *err);
OP(kv_usage, struct cis_view at, uint64_t *out_bytes, uint64_t *out_keys,
   const struct cis_stop *stop, struct cis_error *err);
OP(commit, const struct cis_store_commit *commit, const struct cis_stop *stop,
   struct cis_error *err);
cis_code cis_sql_dump(cis_store *store, const struct cis_backup_sink *sink,
                      const struct cis_stop *stop, struct cis_error *err);
OP(config_apply, const struct cis_kv_op *ops, size_t nops, const struct cis_stop *stop,
   struct cis_error *err);
OP(config_list, struct cis_str skill, cis_kv_each *each, void *self, const struct cis_stop *stop,
   struct cis_error *err);
OP(run_get, struct cis_str id, cis_run_each *each, void *self, const struct cis_stop *stop,
   struct cis_error *err);
OP(run_list, const struct cis_run_query *query, cis_run_each *each, void *self,
   const struct cis_stop *stop, struct cis_error *err);
OP(run_report, struct cis_str id, struct cis_str was, struct cis_str now,
   const struct cis_stop *stop, struct cis_error *err);
OP(skill_change, const struct cis_skill_change *change, const struct cis_stop *stop,
   struct cis_error *err);
OP(skill_get, struct cis_str name, cis_skill_each *each, void *self, const struct cis_stop *stop,
   struct cis_error *err);
OP(skill_list, cis_skill_each *each, void *self, const struct cis_stop *stop,
   struct cis_error *err);
#undef OP
/* Inside a transaction. Ops of one skill follow each other; CIS_E_QUOTA. */
cis_code cis_sql_config_put(struct sql_conn *conn, const struct cis_kv_op *ops, size_t n,
                            struct cis_error *err);
/* Adds to or removes from the search index (SQL_TEXT_ADD, SQL_TEXT_REMOVE) what it has of a row of
 * memory: its key and text. */
cis_code cis_sql_text_change(struct sql_conn *conn, enum sql_id id, int64_t row, struct cis_str key,
                             struct cis_str text, struct cis_error *err);
/* Inserts a run's record; used by commit. */
cis_code cis_sql_run_put(struct sql_conn *conn, const struct cis_run_row *run, uint64_t version,
                         struct cis_error *err);
/* A column set of kv statements: ns key value length public category updated epoch. */
void cis_sql_kv_entry(sqlite3_stmt *stmt, struct cis_kv_entry *out);

#endif
