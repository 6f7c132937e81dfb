/* The write-ahead log begins anew when a commit finds it folded into the file whole and no reader
 * in it. Two things keep that from happening, and the log grows.
 *
 * Readers that overlap: a commit that finds the log long waits for them. It holds the write lock
 * meanwhile, readers that begin once all is folded in read the file alone, and none keeps its
 * transaction for longer than SQL_SNAPSHOT_NS but for the length of an operation. Idle ones are
 * ended at once. The next commit then writes from the log's beginning, and the file keeps its
 * length: to cut it costs as many syncs as to begin it anew.
 *
 * Connections that commit once: how much of the log is folded in stands in its index, which goes
 * with the last connection. The next one recovers the whole log and appends to it. So the first
 * commit of a connection that finds the log worth folding also cuts it, when nobody reads it.
 * Connections to the catalogue all are of this kind, and never wait: there is always a next one. */
#include "base/clock.h"
#include "store/sqlite/internal.h"

#define FOLD_FRAMES 500  /* from here on commits fold the log in: 4 MiB */
#define CUT_FRAMES 1500  /* from here on they wait for readers: 12 MiB */
#define AGAIN_FRAMES 500 /* that much later, when waiting was for nothing */
#define WAIT_NS (SQL_SNAPSHOT_NS + SQL_SNAPSHOT_NS * 2) /* for readers */
#define NO_WAIT_NS 1

static void send_readers_away(struct sql_tenant *t)
{
    for (unsigned i = 0; i < SQL_READERS; i++) {
        struct sql_conn *idle = cis_sql_reader_steal(t);
        if (idle == NULL) {
            return;
        }
        cis_sql_give(&idle);
    }
}

/* Folds the log in, all of it if readers end in that time. Then the next commit begins it anew; or
 * it is cut to nothing, for who may be the last to know how much of it is folded. */
static int fold(struct sql_conn *conn, sqlite3 *db, const char *name, bool cut, uint64_t wait_ns)
{
    int how = cut ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART;
    if (conn->tenant != NULL) {
        send_readers_away(conn->tenant);
    }
    conn->wait_most_ns = wait_ns;
    int rc = sqlite3_wal_checkpoint_v2(db, name, how, NULL, NULL);
    conn->wait_most_ns = 0;
    return rc;
}

/* The commit is done, whatever becomes of this. */
static int on_commit(void *self, sqlite3 *db, const char *name, int frames)
{
    struct sql_conn *conn = self;
    struct sql_tenant *t = conn->tenant;
    bool first = !conn->committed;
    conn->committed = true;
    if (frames < FOLD_FRAMES) {
        return SQLITE_OK;
    }
    if (frames < CUT_FRAMES) {
        if (first) {
            (void)fold(conn, db, name, true, NO_WAIT_NS);
        } else {
            (void)sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        }
        return SQLITE_OK;
    }
    if (t != NULL && frames < atomic_load(&t->log_next)) {
        return SQLITE_OK;
    }
    int rc = fold(conn, db, name, first, t != NULL ? WAIT_NS : NO_WAIT_NS);
    if (t != NULL) {
        atomic_store(&t->log_next, rc == SQLITE_OK ? 0 : frames + AGAIN_FRAMES);
    }
    return SQLITE_OK;
}

void cis_sql_log_watch(struct sql_conn *conn)
{
    (void)sqlite3_wal_hook(conn->db, on_commit, conn);
}
