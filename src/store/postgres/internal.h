/* What the files of the PostgreSQL backend share: connections that are always in pipeline mode,
 * their pool, prepared statements, parameters in binary form, and the runners of reads and write
 * transactions. Not for other rooms. */
#ifndef CIS_STORE_POSTGRES_INTERNAL_H
#define CIS_STORE_POSTGRES_INTERNAL_H

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/lock.h"
#include "base/map.h"
#include "store/chunk.h"
#include "store/commit.h"
#include "store/postgres/postgres.h"

enum pg_id {
#define PG(id, types, text) PG_##id,
#include "store/postgres/statements.def"
#undef PG
    PG_COUNT
};

/* Of every session, from its first statement on, and of every function of the schema. Tables of
 * cis are always named with their schema; names of types and tables that are not are PostgreSQL's
 * own, whatever a user of the database has put into public or its session's temporary tables. */
#define PG_SEARCH_PATH "pg_catalog, pg_temp"
#define PG_ARGS_MAX 16
#define PG_QUEUE_MAX 4096u       /* statements under way on one connection */
#define PG_ROWS_MAX 4000u        /* rows of one insert */
#define PG_BYTES_MAX (8u << 20)  /* about: parameter bytes of one insert */
#define PG_ARRAY_MAX (64u << 20) /* of one array parameter */
#define PG_RETRIES 8             /* of deadlocks and lost connections before a commit */
#define PG_TOKEN_KEPT_MS                                                                           \
    (3600 * 1000) /* nobody asks for the outcome of a commit after half of it */

#define PG_SEEN 64u /* views whose owner a connection remembers */

struct pg_store;

/* A view as its owner has it. */
struct pg_own {
    struct cis_view view;
    bool forked; /* the branch has ancestors */
};

/* Lives as long as the store; guarded by the store's lock. */
struct pg_tenant {
    char name[CIS_TENANT_MAX + 1];
    int64_t id; /* 0: not known, or does not exist */
    uint64_t ino_next, ino_left;
    bool ino_taking; /* a thread gets more of them */
};

/* Used by one thread at a time. Every statement goes through the pipeline: send, …, sync, then the
 * results in the same order. */
struct pg_conn {
    PGconn *pg;
    struct pg_store *store;
    int64_t tenant; /* whom the session is bound to; 0: nobody, every statement on rows fails */
    const struct cis_stop *stop; /* of the operation at work; NULL: none */
    bool prepared[PG_COUNT];
    struct {
        struct cis_view at;
        struct pg_own own;
    } seen[PG_SEEN];
    uint16_t queue[PG_QUEUE_MAX]; /* what results are still to come: statement, or a mark */
    uint32_t first, queued;       /* of queue, which is a ring */
    uint32_t syncs;               /* of them marks for a sync */
    bool unsynced;                /* something was sent after the last sync */
    size_t unsent;                /* bytes of arguments since the last drain or sync */
    cis_chunk_codec *codec;       /* made when it is needed first */
    bool single;                  /* rows of the result at work come one by one */
    bool told;    /* a row was handed out: the operation may not run again from its beginning */
    bool goes_on; /* the operation keeps count of the rows it handed out: run again, it continues */
    bool lost;    /* the connection is gone */
    bool again;   /* the transaction may be tried again: deadlock, tenant made anew */
    bool ended;   /* the operation's stop is over */
    enum pg_id failed; /* the statement that failed, and how */
    char sqlstate[6];
    struct pg_conn *next;
};

/* The one lock of a store; no server is asked under it. house_thread_safety checks it. */
CIS_LOCK_CLASS(pg_lock_store);

struct pg_store {
    cis_store base;
    char *url;   /* secret: it may hold a password */
    char *place; /* for messages: host and database */
    uint32_t max, connect_ms, commit_ms;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct pg_conn *idle CIS_GUARDED_BY(pg_lock_store); /* last used first */
    unsigned open CIS_GUARDED_BY(pg_lock_store);
    atomic_bool reached; /* was connected once: a server that is gone now is coming back */
    atomic_uint records; /* since the last look at old run records */
    atomic_uint_fast64_t reserve_ns; /* when making the reserve was tried; 0: never */
    struct cis_map tenants;          /* name → struct pg_tenant * */
    /* witness.c: of the thread that took it */
    struct pg_conn *witness;  /* NULL: not connected */
    struct pg_held_pin *held; /* what it has locks for */
    bool witness_out CIS_GUARDED_BY(pg_lock_store);
};

/* ---- args.c: parameters ---- */
struct pg_array {
    struct cis_buf buf;
    uint32_t n;
};
#define PG_ARRAY_INIT                                                                              \
    {                                                                                              \
        CIS_BUF_INIT(PG_ARRAY_MAX), 0                                                              \
    }
/* Arrays are borrowed until the statement is sent. */
struct pg_args {
    int n;
    bool failed;
    const char *ptr[PG_ARGS_MAX];
    int len[PG_ARGS_MAX];
    uint8_t num[PG_ARGS_MAX][8];
};
void cis_pg_arg_int(struct pg_args *args, int64_t value);
/* Above what bigint holds: the greatest, which no key has. */
void cis_pg_arg_u64(struct pg_args *args, uint64_t value);
void cis_pg_arg_bytes(struct pg_args *args, const void *ptr, size_t len);
static inline void cis_pg_arg_str(struct pg_args *args, struct cis_str text)
{
    cis_pg_arg_bytes(args, text.ptr, text.len);
}
void cis_pg_arg_null(struct pg_args *args);
void cis_pg_arg_ints(struct pg_args *args, struct pg_array *array);
void cis_pg_arg_blobs(struct pg_args *args, struct pg_array *array);
void cis_pg_arg_texts(struct pg_args *args, struct pg_array *array);
void cis_pg_array_int(struct pg_array *array, int64_t value);
void cis_pg_array_u64(struct pg_array *array, uint64_t value);
void cis_pg_array_bytes(struct pg_array *array, const void *ptr, size_t len);
void cis_pg_array_reset(struct pg_array *array);
void cis_pg_array_done(struct pg_array *array);

/* ---- results ---- */
void cis_pg_clear(PGresult **result); /* CIS_CLEANUP */
/* 0 for NULL and for anything that is no number. */
int64_t cis_pg_int(const PGresult *result, int row, int column);
static inline uint64_t cis_pg_u64(const PGresult *result, int row, int column)
{
    int64_t value = cis_pg_int(result, row, column);
    return value > 0 ? (uint64_t)value : 0;
}
struct cis_bytes cis_pg_bytes(const PGresult *result, int row, int column);
struct cis_str cis_pg_str(const PGresult *result, int row, int column);
/* Copies at most size - 1 bytes and ends them with NUL. */
void cis_pg_text(const PGresult *result, int row, int column, char *out, size_t size);

/* ---- conn.c ---- */
cis_code cis_pg_conn_open(struct pg_store *store, const char *url, const struct cis_stop *stop,
                          struct pg_conn **out_conn, struct cis_error *err);
void cis_pg_conn_close(struct pg_conn *conn);
/* Is the idle connection still there? Costs one poll. */
bool cis_pg_conn_alive(struct pg_conn *conn);
/* Queues a statement, prepared on this connection when it is used first. */
cis_code cis_pg_send(struct pg_conn *conn, enum pg_id id, const struct pg_args *args,
                     struct cis_error *err);
/* A text without parameters (session settings, schema steps; one statement). */
cis_code cis_pg_send_text(struct pg_conn *conn, const char *text, struct cis_error *err);
cis_code cis_pg_sync(struct pg_conn *conn, struct cis_error *err);
/* Until what was sent is out of memory; behind each statement with much content, which the server
 * may take slower than it is sent. Does nothing while little waits: a small commit is one packet.
 */
cis_code cis_pg_drain(struct pg_conn *conn, struct cis_error *err);
/* The result of the next statement `id` that was sent; those before it must have succeeded. */
cis_code cis_pg_next(struct pg_conn *conn, enum pg_id id, PGresult **out_result,
                     struct cis_error *err);
/* Row by row: *out_row NULL after the last. */
cis_code cis_pg_next_row(struct pg_conn *conn, enum pg_id id, PGresult **out_row,
                         struct cis_error *err);
/* All rows of the statement `id`, which was sent and synced, until *out_more is false: what is left
 * the pool settles. A statement that shows nothing asks whether the tenant is still there. */
typedef cis_code pg_row_each(void *self, const PGresult *row, bool *out_more,
                             struct cis_error *err);
cis_code cis_pg_rows(struct pg_conn *conn, enum pg_id id, pg_row_each *each, void *self,
                     struct cis_error *err);
/* All that is left, to the last sync; the first failure. */
cis_code cis_pg_finish(struct pg_conn *conn, struct cis_error *err);
/* send, sync, next, finish. */
cis_code cis_pg_ask(struct pg_conn *conn, enum pg_id id, const struct pg_args *args,
                    PGresult **out_result, struct cis_error *err);
/* Stops a result that is read row by row and forgets the rest of it. */
void cis_pg_settle_rows(struct pg_conn *conn);
/* Gives up what is under way and brings the session back outside a transaction, or marks it lost.
 */
void cis_pg_settle(struct pg_conn *conn);

/* ---- pool.c ---- */
/* The name, and which of the tenants that ever had it; 0: the one that has it now. */
cis_code cis_pg_tenant_split(struct cis_str tenant, struct cis_str *out_name, int64_t *out_instance,
                             struct cis_error *err);
/* A connection bound to the tenant. create false and no tenant: CIS_OK and *out_conn NULL.
 * NAME#INSTANCE is that number, whether it is there or not: what it reads then is nothing, and
 * a write finds it deleted. */
cis_code cis_pg_take(struct pg_store *store, struct cis_str tenant, bool create,
                     const struct cis_stop *stop, struct pg_conn **out_conn, struct cis_error *err);
/* Bound to nobody. */
cis_code cis_pg_take_free(struct pg_store *store, const struct cis_stop *stop,
                          struct pg_conn **out_conn, struct cis_error *err);
/* Whosever it is: for what touches no rows. */
cis_code cis_pg_take_any(struct pg_store *store, const struct cis_stop *stop,
                         struct pg_conn **out_conn, struct cis_error *err);
void cis_pg_give(struct pg_conn **conn); /* NULL inside is allowed; CIS_CLEANUP */
/* Waits on store->freed under the store's lock, at most until the stop ends. */
cis_code cis_pg_wait(struct pg_store *store, const struct cis_stop *stop, const char *what,
                     struct cis_error *err);
cis_code cis_pg_bind(struct pg_conn *conn, int64_t tenant, struct cis_error *err);
/* Under the lock. NULL: out of memory. */
struct pg_tenant *cis_pg_tenant_of(struct pg_store *store, struct cis_str name);
/* What was known of the tenant's number is wrong: it was deleted, maybe made again. */
void cis_pg_tenant_forget(struct pg_store *store, struct cis_str name, int64_t id);

/* ---- witness.c: what a living process holds, past its time too. A failure is nobody's: what is
 * not held goes by its time. stop NULL: none ---- */
/* The server's process that holds the pin for this store; 0. */
int64_t cis_pg_pin_witness(struct pg_store *store, uint64_t id, const struct cis_stop *stop);
bool cis_pg_pin_hold(struct pg_store *store, uint64_t id, const struct cis_stop *stop);
void cis_pg_pin_let(struct pg_store *store, uint64_t id, const struct cis_stop *stop);
void cis_pg_witness_close(struct pg_store *store);

/* ---- work.c: running operations ---- */
typedef cis_code pg_work(struct pg_conn *conn, void *arg, struct cis_error *err);
/* Runs work on a bound connection, again on another when that one turns out to be lost before a row
 * was handed out (conn->told), or when work goes on behind what it handed out. No such tenant: work
 * is not run; CIS_OK and *out_absent, or CIS_E_NOTFOUND when that is NULL. */
cis_code cis_pg_read(struct pg_store *store, struct cis_str tenant, pg_work *work, void *arg,
                     bool *out_absent, const struct cis_stop *stop, struct cis_error *err);
/* The same for a tenant by name or by NAME#INSTANCE. */
cis_code cis_pg_read(struct pg_store *store, struct cis_str tenant, pg_work *work, void *arg,
                     bool *out_absent, const struct cis_stop *stop, struct cis_error *err);
/* For work that found nothing: is the tenant still the one the session is bound to? Else
 * CIS_E_EXPIRED, upon which the runner looks for it again. */
cis_code cis_pg_alive(struct pg_conn *conn, struct cis_error *err);
struct pg_write {
    pg_work *work; /* sends inside an open transaction; may leave statements unsynced and unread.
                    * Run again from the start after a deadlock or a lost connection */
    void *arg;
    /* Code and message for a statement's failure (conn->failed, conn->sqlstate); CIS_OK: as is. */
    cis_code (*explain)(struct pg_conn *conn, void *arg, struct cis_error *err);
    bool create;     /* the tenant, when it is not there; else CIS_E_NOTFOUND */
    bool slow;       /* may take as long as it takes */
    bool lazy;       /* need not be on the disk by itself */
    bool closes;     /* nobody else writes to the tenant from then on */
    bool repeatable; /* doing it twice is the same as once: its outcome is not asked for */
    bool frees;      /* it is for removing: the reserve is given back for it on a full disk */
    enum cis_stored_room room; /* what it may take of the quota of stored bytes */
};
#define PG_STATE_FULL "53100"  /* SQLSTATE: the disk is full */
#define PG_STATE_QUOTA "CIS01" /* SQLSTATE of a write that is above it (steps.c) */
cis_code cis_pg_write(struct pg_store *store, struct cis_str tenant, const struct pg_write *write,
                      const struct cis_stop *stop, struct cis_error *err);

/* ---- reserve.c ---- */
/* Behind a write that failed because the server's disk is full: may it work now? One that frees
 * gets the reserve; for another one the reserve is made again, if there is room. */
bool cis_pg_reserve_help(struct pg_conn *conn, bool frees);

/* ---- tenant.c ---- */
/* Makes the tenant with an empty tree and binds the session to it. *out_id 0: there is one. */
cis_code cis_pg_tenant_make(struct pg_conn *conn, const char *name, uint32_t uid, uint32_t gid,
                            int64_t *out_id, struct cis_error *err);

/* ---- admin.c: a connection with the rights of the URL's user, outside any pool ---- */
struct pg_admin {
    struct pg_store store; /* only what a connection needs of it */
    struct pg_conn *conn;
};
cis_code cis_pg_admin_open(struct pg_admin *admin, const char *url, const struct cis_stop *stop,
                           struct cis_error *err);
void cis_pg_admin_done(struct pg_admin *admin); /* CIS_CLEANUP */

/* ---- functions.c: what is wrong with functions and triggers of the schema, " NAME (WHAT)" each */
cis_code cis_pg_functions_check(struct pg_conn *conn, struct cis_buf *out_bad,
                                struct cis_error *err);

/* ---- backup.c ---- */
cis_code cis_pg_dump(cis_store *store, const struct cis_backup_sink *sink,
                     const struct cis_stop *stop, struct cis_error *err);
/* In a transaction that stands at one snapshot. The session goes from tenant to tenant. */
cis_code cis_pg_dump_rows(struct pg_conn *conn, const struct cis_backup_sink *sink,
                          struct cis_error *err);

/* ---- steps.c ---- */
/* [v] brings version v to v + 1; NULL after the last, here and in each list. */
extern const char *const *const cis_pg_schema_steps[];

/* ---- view.c ---- */
struct pg_owner { /* of a view: the branch that wrote its epoch, and what was counted there */
    struct cis_view view;
    bool forked; /* the branch has ancestors */
    uint64_t files, bytes, kv_bytes, kv_keys;
};
/* CIS_E_NOTFOUND, CIS_E_EXPIRED. hold: nothing of the view is squashed until the transaction ends.
 */
cis_code cis_pg_view_owner(struct pg_conn *conn, struct cis_view view, bool hold,
                           struct pg_owner *out, struct cis_error *err);
/* Before a read: the same rows are seen at *out_own. Branch 0: the current head. Who owns a view is
 * remembered by the connection, since it never changes. */
cis_code cis_pg_view_enter(struct pg_conn *conn, struct cis_view at, struct pg_own *out_own,
                           struct cis_error *err);
/* Behind the read, in the same trip: whether its rows may have been squashed before it saw them. */
cis_code cis_pg_view_send(struct pg_conn *conn, const struct pg_own *own, struct cis_error *err);
/* Reads the rest of the trip. */
cis_code cis_pg_view_valid(struct pg_conn *conn, const struct pg_own *own, struct cis_error *err);
/* The same when the first row has the floor, read in the same snapshot as the rest. */
cis_code cis_pg_view_floor(struct pg_conn *conn, const struct pg_own *own, const PGresult *result,
                           int column, struct cis_error *err);
void cis_pg_args_view(struct pg_args *args, const struct pg_conn *conn, struct cis_view view);

/* ---- ref.c: new branches by these names, in the transaction; the last statement is sent, not
 * awaited. explain: another made the name between the look and the insert. ---- */
cis_code cis_pg_fork_in(struct pg_conn *conn, struct cis_view from, const struct cis_str *of,
                        size_t n, struct cis_error *err);
cis_code cis_pg_fork_explain(struct pg_conn *conn, struct cis_str name, struct cis_error *err);

/* ---- reflog.c: the ref leaves its head, whose branch is locked, in the transaction that is open;
 * of names that no ref has, the newest entries stay. ---- */
cis_code cis_pg_reflog_put(struct pg_conn *conn, struct cis_str ref, struct cis_view head,
                           struct cis_str why, struct cis_error *err);
cis_code cis_pg_reflog_cut_lost(struct pg_conn *conn, struct cis_error *err);

/* ---- rows.c, log.c ---- */
/* out has parent and name; CIS_E_DAMAGED for what no writer makes. */
cis_code cis_pg_dirent_row(const PGresult *result, int row, int ino, int epoch, int mode,
                           struct cis_fs_dirent *out, struct cis_error *err);
/* What the entry names, which is there, alive and of the type it says; columns from `first`: epoch,
 * attributes, content. */
cis_code cis_pg_entry_inode(const PGresult *result, int row, int first,
                            const struct cis_fs_dirent *dirent, struct cis_fs_inode *out,
                            struct cis_error *err);
/* At most PG_ROWS_MAX, in the order asked; rows: number, epoch, attributes, content. */
cis_code cis_pg_inodes_ask(struct pg_conn *conn, const struct pg_own *own, const uint64_t *inos,
                           size_t n, PGresult **out_rows, struct cis_error *err);
void cis_pg_commit_row(const PGresult *result, int row, struct cis_fs_commit_row *out);
/* One part of a commit's keys: row is that of cis_pg_commit_row. A part that was taken before is
 * passed over. */
cis_code cis_pg_commit_part(const PGresult *res, struct cis_keys_cut *cut,
                            struct cis_fs_commit_row *row, cis_fs_commit_each *each, void *self,
                            bool *out_wanted, struct cis_error *err);
cis_code cis_pg_inode_row(const PGresult *result, int row, int first, uint64_t ino,
                          struct cis_fs_inode *out, struct cis_error *err);

struct pg_pin {
    struct cis_view view;
    uint64_t id;
    uint32_t ttl_ms; /* without CIS_FS_PIN_HELD */
    uint64_t out;
    int64_t witness; /* of a renewal: who has held it so far; 0 then: nobody does */
};
/* Makes, renews or drops it: arg is a struct pg_pin. */
cis_code cis_pg_pin_work(struct pg_conn *conn, void *arg, struct cis_error *err);

/* ---- parts of a commit ---- */
struct pg_stored {
    uint64_t *ids;   /* of the ordered chunks; caller's */
    bool *unsure;    /* there already and packed otherwise: cis_pg_chunks_verify; caller's */
    uint64_t healed; /* that were there and damaged */
};
/* Stores the chunks, which are sorted by hash and distinct; ids[i] for chunks[order[i]].
 */
cis_code cis_pg_chunks_send(struct pg_conn *conn, const struct cis_fs_chunk *chunks,
                            const uint32_t *order, size_t n, struct cis_error *err);
cis_code cis_pg_chunks_next(struct pg_conn *conn, const struct cis_fs_chunk *chunks,
                            const uint32_t *order, size_t n, struct pg_stored *out,
                            struct cis_error *err);
/* Reads what was packed otherwise than what came, and puts that in its place when it is damaged.
 * Outside a pipeline. */
cis_code cis_pg_chunks_verify(struct pg_conn *conn, const struct cis_fs_chunk *chunks,
                              const uint32_t *order, size_t n, struct pg_stored *stored,
                              struct cis_error *err);
/* By hash, each once; returns how many. order has room for n. */
size_t cis_pg_chunks_order(const struct cis_fs_chunk *chunks, size_t n, uint32_t *order);
/* Memory: keys asked for under the lock, then what becomes of them. */
struct pg_kv;
cis_code cis_pg_kv_new(const struct cis_kv_op *ops, size_t n, struct pg_kv **out_kv,
                       struct cis_error *err);
void cis_pg_kv_free(struct pg_kv *kv);
cis_code cis_pg_kv_old_send(struct pg_conn *conn, const struct pg_kv *kv, struct cis_str ref,
                            struct cis_error *err);
cis_code cis_pg_kv_old_next(struct pg_conn *conn, struct pg_kv *kv, struct cis_error *err);
cis_code cis_pg_kv_write(struct pg_conn *conn, struct pg_kv *kv, struct cis_view at,
                         int64_t *out_bytes, int64_t *out_keys, struct cis_error *err);
cis_code cis_pg_run_send(struct pg_conn *conn, const struct cis_run_row *run, uint64_t version,
                         struct cis_error *err);
cis_code cis_pg_config_send(struct pg_conn *conn, const struct cis_kv_op *ops, size_t n,
                            struct cis_error *err);
cis_code cis_pg_config_check(struct pg_conn *conn, const struct cis_kv_op *ops, size_t n,
                             struct cis_error *err);
void cis_pg_kv_entry(const PGresult *result, int row, struct cis_kv_entry *out);

/* ---- the operations, one file a noun ---- */
#define PG_END const struct cis_stop *stop, struct cis_error *err
#define OP(name, ...) cis_code cis_pg_##name(cis_store *store, __VA_ARGS__)
#define OPT(name, ...) OP(name, struct cis_str tenant, __VA_ARGS__)
OPT(kv_get, const struct cis_kv_get_query *query, bool *out_found, PG_END);
OPT(kv_list, const struct cis_kv_query *query, cis_kv_each *each, void *self, PG_END);
OPT(kv_search, const struct cis_kv_search_query *search, cis_kv_each *each, void *self, PG_END);
OPT(kv_namespaces, struct cis_view at, cis_kv_each *each, void *self, PG_END);
OPT(kv_usage, struct cis_view at, uint64_t *out_bytes, uint64_t *out_keys, PG_END);
OPT(commit, const struct cis_store_commit *commit, PG_END);
OPT(config_apply, const struct cis_kv_op *ops, size_t nops, PG_END);
OPT(config_list, struct cis_str skill, cis_kv_each *each, void *self, PG_END);
OPT(run_get, struct cis_str id, cis_run_each *each, void *self, PG_END);
OPT(run_list, const struct cis_run_query *query, cis_run_each *each, void *self, PG_END);
OPT(run_report, struct cis_str id, struct cis_str was, struct cis_str now, PG_END);
OPT(skill_change, const struct cis_skill_change *change, PG_END);
OPT(skill_get, struct cis_str name, cis_skill_each *each, void *self, PG_END);
OPT(skill_list, cis_skill_each *each, void *self, PG_END);

OP(tenant_create, struct cis_str name, uint32_t uid, uint32_t gid, PG_END);
OP(tenant_get, struct cis_str name, struct cis_tenant *out, PG_END);
OP(tenant_list, cis_tenant_each *each, void *self, PG_END);
OP(tenant_quota, struct cis_str name, const struct cis_tenant *in, PG_END);
OP(tenant_delete, struct cis_str name, PG_END);
OPT(walk, const struct cis_fs_walk_query *query, cis_fs_step_each *each, void *self, PG_END);
OPT(inodes, const struct cis_fs_inode_query *query, cis_fs_inode_each *each, void *self, PG_END);
OPT(list, const struct cis_fs_list_query *query, cis_fs_dirent_each *each, void *self, PG_END);
OPT(extents, const struct cis_fs_extent_query *query, cis_fs_extent_each *each, void *self, PG_END);
OPT(chunk_read, struct cis_fs_read *reads, size_t n, PG_END);
OPT(reserve_inodes, uint32_t n, uint64_t *out_first, PG_END);
OPT(chunk_put, const struct cis_fs_put_request *request, uint64_t *out_ids, PG_END);
OPT(chunk_touch, const uint64_t *ids, size_t n, bool *out_lost, PG_END);
OPT(ref_get, struct cis_str name, struct cis_fs_ref *out, PG_END);
OPT(ref_list, cis_fs_ref_each *each, void *self, PG_END);
OPT(fork, struct cis_view from, const struct cis_str *names, size_t n, PG_END);
OPT(ref_move, const struct cis_fs_move_request *request, struct cis_view *out_head, PG_END);
OPT(ref_switch, struct cis_str name, PG_END);
OPT(ref_remove, struct cis_str name, struct cis_str why, PG_END);
OPT(ref_expire, struct cis_str name, struct cis_view head, PG_END);
OPT(reflog, struct cis_str ref, cis_fs_reflog_each *each, void *self, PG_END);
OPT(reflog_trim, int64_t before_ms, PG_END);
OPT(view_check, struct cis_view view, struct cis_view *out_owner, PG_END);
OPT(lease, const struct cis_fs_lease_request *request, uint64_t *out_fence, PG_END);
OPT(commits, const struct cis_fs_log_query *query, cis_fs_commit_each *each, void *self, PG_END);
OPT(commit_of_run, const char *run, cis_fs_commit_each *each, void *self, PG_END);
OPT(snapshot_put, const struct cis_fs_snapshot *snapshot, PG_END);
OPT(snapshots, struct cis_str name, cis_fs_snapshot_each *each, void *self, PG_END);
OPT(snapshot_remove, struct cis_str name, PG_END);
OPT(pin, const struct cis_fs_pin_request *request, uint64_t *out_id, PG_END);
OPT(pins, cis_fs_pin_each *each, void *self, PG_END);
OPT(publish_put, struct cis_str ref, const struct cis_str *to, size_t n, PG_END);
OPT(publish_remove, struct cis_str ref, const struct cis_str *to, size_t n, PG_END);
OPT(published_by, cis_fs_publish_each *each, void *self, PG_END);
OPT(published_to, cis_fs_publish_each *each, void *self, PG_END);
OPT(publish_check, const struct cis_fs_publish_query *query, struct cis_fs_ref *out,
    uint64_t *out_pin, PG_END);
OPT(scan, const struct cis_fs_scan_query *query, cis_fs_row_each *each, void *self, PG_END);
OPT(holds, cis_fs_hold_each *each, void *self, PG_END);
OPT(keys_drop, uint64_t branch, uint64_t upto, PG_END);
OPT(squash, const struct cis_fs_squash_request *request, PG_END);
OPT(branch_remove, uint64_t branch, PG_END);
OPT(branches, cis_fs_ref_each *each, void *self, PG_END);
OPT(chunk_list, const struct cis_fs_chunk_query *query, cis_fs_chunk_each *each, void *self,
    PG_END);
OPT(chunk_remove, const struct cis_fs_remove_request *request, uint64_t *out_removed, PG_END);
OP(clock, int64_t *out_ms, int64_t *out_stamp_ms, PG_END);
OPT(check, struct cis_buf *out_faults, PG_END);
#undef OP
#undef OPT

#endif
