/* Group commit. Writes of one tenant queue up; the first thread that finds no leader leads: it
 * takes the database's write lock, then whatever waits by then, applies each in a savepoint of its
 * own and commits them with one fsync. A write that fails takes nothing with it. A write may leave
 * the queue at its deadline as long as no leader has taken it; after that it waits for the outcome,
 * which is never guessed. */
#include <errno.h>
#include "base/clock.h"
#include "store/sqlite/internal.h"

enum job_state { JOB_WAITING, JOB_TAKEN, JOB_DONE };

struct sql_job {
    sql_apply *apply;
    const void *arg;
    bool durable;
    unsigned how;
    const struct cis_stop *stop;
    struct cis_str tenant, instance; /* as it was asked for; "": whosever the file is */
    enum job_state state;
    bool failed; /* by itself: left out when the batch is applied again */
    cis_code code;
    struct cis_error error;
    struct sql_job *next;
};

static void append(struct sql_tenant *t, struct sql_job *job) CIS_REQUIRES(sql_lock_store)
{
    if (t->last != NULL) {
        t->last->next = job;
    } else {
        t->first = job;
    }
    t->last = job;
}

static void withdraw(struct sql_tenant *t, struct sql_job *job) CIS_REQUIRES(sql_lock_store)
{
    struct sql_job *before = NULL;
    struct sql_job **at = &t->first;
    while (*at != NULL && *at != job) {
        before = *at;
        at = &before->next;
    }
    if (*at == job) {
        *at = job->next;
        if (t->last == job) {
            t->last = before;
        }
        job->next = NULL;
    }
}

/* The leader's own job first, then waiting ones in order; records only when the transaction was
 * begun for records. */
static size_t take_batch(struct sql_tenant *t, struct sql_job *own, struct sql_job **batch)
    CIS_REQUIRES(sql_lock_store)
{
    size_t n = 0;
    withdraw(t, own);
    own->state = JOB_TAKEN;
    batch[n++] = own;
    for (struct sql_job *j = t->first, *next; j != NULL && n < SQL_BATCH_MAX; j = next) {
        next = j->next;
        if (own->durable || !j->durable) {
            withdraw(t, j);
            j->state = JOB_TAKEN;
            batch[n++] = j;
        }
    }
    return n;
}

static cis_code step(struct sql_conn *conn, enum sql_id id, const char *what, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, id, &st, err));
    return cis_sql_done(conn, st, what, err);
}

/* A newer program may have brought the file forward since this connection was opened. */
static cis_code version_check(struct sql_conn *conn, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_VERSION, &st, err));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "begin", &row, err));
    int version = row ? sqlite3_column_int(st, 0) : 0;
    if (version == cis_sql_tenant_schema.version) {
        return CIS_OK;
    }
    conn->broken = true;
    return cis_fail(err, CIS_E_STORE,
                    "%s: the schema is of version %d by now, this program writes version %d; end "
                    "it and use the newer cis",
                    conn->path, version, cis_sql_tenant_schema.version);
}

/* Takes the write lock. Records alone are not forced to the disk (store.h, cis_store_commit). */
static cis_code begin(struct sql_conn *conn, bool durable, struct cis_error *err)
{
    if (conn->full_sync != durable) {
        CIS_TRY(cis_sql_exec(conn,
                             durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
                             "begin", err));
        conn->full_sync = durable;
    }
    CIS_TRY(cis_sql_count_begin(conn, err));
    CIS_TRY(step(conn, SQL_BEGIN, "begin", err));
    CIS_TRY(version_check(conn, err));
    return cis_sql_tree_check(conn, err);
}

static cis_code apply_job(struct sql_conn *conn, const struct sql_job *job, struct cis_error *err)
{
    conn->grown = 0;
    CIS_TRY(cis_sql_instance_check(conn, job->instance, err));
    CIS_TRY(job->apply(conn, job->arg, err));
    return cis_sql_count_settle(conn, job->how, err);
}

static cis_code apply_one(struct sql_conn *conn, struct sql_job *job, bool alone)
{
    struct cis_error *err = &job->error;
    conn->stop = job->stop;
    if (job->stop != NULL) {
        CIS_TRY(cis_stop_check(job->stop, "commit", err));
    }
    if (alone) {
        return apply_job(conn, job, err);
    }
    CIS_TRY(step(conn, SQL_SAVE, "savepoint", err));
    cis_code code = apply_job(conn, job, err);
    if (code != CIS_OK && !sqlite3_get_autocommit(conn->db) &&
        sqlite3_exec(conn->db, "ROLLBACK TO job", NULL, NULL, NULL) != SQLITE_OK) {
        (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
    }
    if (sqlite3_get_autocommit(conn->db)) {
        return code != CIS_OK ? code : cis_fail(err, CIS_E_STORE, "commit: transaction lost");
    }
    struct cis_error ignored;
    cis_code released = step(conn, SQL_SAVE_DONE, "savepoint", code == CIS_OK ? err : &ignored);
    return code != CIS_OK ? code : released;
}

/* One pass over the batch inside the open transaction. False: the transaction was lost with a job
 * that is now marked failed; the rest has to start again. */
static bool apply_all(struct sql_conn *conn, struct sql_job **batch, size_t n)
{
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        left += !batch[i]->failed;
    }
    for (size_t i = 0; i < n; i++) {
        struct sql_job *job = batch[i];
        if (job->failed) {
            continue;
        }
        job->code = apply_one(conn, job, left == 1);
        if (job->code != CIS_OK) {
            job->failed = true;
            if (left == 1 || sqlite3_get_autocommit(conn->db)) {
                return false;
            }
        }
    }
    return true;
}

static void fail_rest(struct sql_job **batch, size_t n, cis_code code, const struct cis_error *why)
{
    for (size_t i = 0; i < n; i++) {
        if (!batch[i]->failed) {
            batch[i]->failed = true;
            batch[i]->code = code;
            batch[i]->error = *why;
        }
    }
}

/* A commit that failed may have reached the log all the same: when the disk fails between its last
 * frame and the sync, whoever reads the log next finds it whole. Another commit over the same place
 * in the log makes the failure true; when that fails as well, the answer says what is not known. */
static void settle(struct sql_conn *conn, struct cis_error *why)
{
    struct cis_error ignored;
    if (!sqlite3_get_autocommit(conn->db)) {
        (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
    }
    if (begin(conn, true, &ignored) == CIS_OK && step(conn, SQL_SETTLE, "", &ignored) == CIS_OK &&
        step(conn, SQL_COMMIT, "", &ignored) == CIS_OK) {
        return;
    }
    if (why->sys == ENOSPC) { /* its last frame is not there */
        return;
    }
    static const char text[] = "; whether it was kept is not known until the store opens again";
    size_t room = sizeof why->msg - sizeof text, len = strnlen(why->msg, room);
    memcpy(why->msg + len, text, sizeof text);
}

static void run_batch(struct sql_conn *conn, struct sql_job **batch, size_t n)
{
    struct cis_error why;
    bool durable = conn->full_sync;
    while (!apply_all(conn, batch, n)) {
        if (!sqlite3_get_autocommit(conn->db)) {
            (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
        }
        size_t left = 0;
        for (size_t i = 0; i < n; i++) {
            left += !batch[i]->failed;
        }
        if (left == 0) {
            return;
        }
        conn->stop = NULL; /* the others were taken; the lock wait is bounded by itself */
        cis_code code = begin(conn, durable, &why);
        if (code != CIS_OK) {
            fail_rest(batch, n, code, &why);
            return;
        }
    }
    conn->stop = NULL;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        any = any || !batch[i]->failed;
    }
    cis_code code = any ? step(conn, SQL_COMMIT, "commit", &why) : CIS_OK;
    if (code != CIS_OK) {
        settle(conn, &why);
        fail_rest(batch, n, code, &why);
    }
}

/* The connection and the write lock first: who waits meanwhile joins, or leaves in time. */
static cis_code lead(struct sql_store *store, struct sql_tenant *t, struct sql_job *own,
                     struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take(store, own->tenant, true, own->stop, &conn, err));
    CIS_TRY(begin(conn, own->durable, err));
    struct sql_job *batch[SQL_BATCH_MAX];
    cis_mutex_lock(&store->lock, sql_lock_store);
    size_t n = take_batch(t, own, batch);
    cis_mutex_unlock(&store->lock, sql_lock_store);
    run_batch(conn, batch, n);
    cis_mutex_lock(&store->lock, sql_lock_store);
    for (size_t i = 0; i < n; i++) {
        batch[i]->state = JOB_DONE;
    }
    cis_mutex_unlock(&store->lock, sql_lock_store);
    return CIS_OK;
}

static cis_code write_once(struct sql_store *store, struct cis_str tenant, sql_apply *apply,
                           const void *arg, unsigned how, const struct cis_stop *stop,
                           struct cis_error *err)
{
    struct cis_str name;
    struct sql_job job = {.apply = apply,
                          .arg = arg,
                          .durable = (how & SQL_DURABLE) != 0,
                          .how = how,
                          .stop = stop,
                          .tenant = tenant};
    cis_fs_tenant_split(tenant, &name, &job.instance);
    CIS_TRY(cis_store_tenant_check(name, err));
    cis_mutex_lock(&store->lock, sql_lock_store);
    struct sql_tenant *t = cis_sql_tenant_of(store, name);
    if (t == NULL) {
        cis_mutex_unlock(&store->lock, sql_lock_store);
        return cis_fail(err, CIS_E_NOMEM, "store: out of memory");
    }
    append(t, &job);
    cis_code code = CIS_OK;
    while (code == CIS_OK && t->led && job.state == JOB_WAITING) {
        code = cis_sql_wait(store, &t->moved, stop, "commit", err);
    }
    while (job.state == JOB_TAKEN) {
        code = CIS_OK;
        (void)cis_sql_wait(store, &t->moved, NULL, "commit", NULL);
    }
    if (job.state == JOB_WAITING && code == CIS_OK) {
        t->led = true;
        cis_mutex_unlock(&store->lock, sql_lock_store);
        code = lead(store, t, &job, err);
        cis_mutex_lock(&store->lock, sql_lock_store);
        t->led = false;
        pthread_cond_broadcast(&t->moved);
    }
    if (job.state == JOB_WAITING) {
        withdraw(t, &job);
    }
    t->known |= job.state == JOB_DONE;
    cis_mutex_unlock(&store->lock, sql_lock_store);
    if (job.state == JOB_DONE && job.code != CIS_OK && err != NULL) {
        *err = job.error;
    }
    return job.state == JOB_DONE ? job.code : code;
}

cis_code cis_sql_write(struct sql_store *store, struct cis_str tenant, sql_apply *apply,
                       const void *arg, unsigned how, const struct cis_stop *stop,
                       struct cis_error *err)
{
    if ((how & (SQL_FREES | SQL_REMOVES | SQL_HELPS)) == 0) {
        CIS_TRY(cis_sql_reserve_check(store, err));
        return write_once(store, tenant, apply, arg, how, stop, err);
    }
    enum sql_spend spend = (how & SQL_REMOVES) != 0 ? SQL_SPEND_COMMIT
                           : (how & SQL_HELPS) != 0 ? SQL_SPEND_HELP
                                                    : SQL_SPEND_GC;
    struct cis_error why = {0};
    cis_code code;
    do { /* on a full disk nothing was kept (settle) */
        code = write_once(store, tenant, apply, arg, how, stop, &why);
    } while (code == CIS_E_STORE && why.sys == ENOSPC && cis_sql_reserve_spend(store, spend));
    if (code == CIS_E_STORE && why.sys == ENOSPC && spend == SQL_SPEND_COMMIT) {
        (void)cis_fail(&why, code, "%s: the disk is full; what is left is kept for: cis fs gc",
                       store->dir);
    }
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    return code;
}

cis_code cis_sql_write_existing(struct sql_store *store, struct cis_str tenant, sql_apply *apply,
                                const void *arg, unsigned how, const struct cis_stop *stop,
                                struct cis_error *err)
{
    CIS_TRY(cis_sql_tenant_require(store, tenant, err));
    return cis_sql_write(store, tenant, apply, arg, how, stop, err);
}
