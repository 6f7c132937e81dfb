/* The write-ahead log begins anew when a commit finds it folded into the file whole and no reader
 * in it. Readers that overlap never let that happen, and the log grows. So a commit that finds it
 * long waits for them: it holds the write lock meanwhile, readers that begin once all is folded in
 * read the file alone, and none keeps its transaction for longer than SQL_SNAPSHOT_NS but for the
 * length of an operation. Idle ones are ended at once. */
#include "base/clock.h"
#include "store/sqlite/internal.h"

#define FOLD_FRAMES 500  /* from here on commits fold the log in: 4 MiB */
#define CUT_FRAMES 1500  /* from here on they wait for readers: 12 MiB */
#define AGAIN_FRAMES 500 /* that much later, when waiting was for nothing */
#define WAIT_NS (SQL_SNAPSHOT_NS + SQL_SNAPSHOT_NS * 2) /* for readers */

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

/* The commit is done, whatever becomes of this. */
static int on_commit(void *self, sqlite3 *db, const char *name, int frames)
{
    struct sql_conn *conn = self;
    struct sql_tenant *t = conn->tenant;
    if (frames < FOLD_FRAMES) {
        return SQLITE_OK;
    }
    if (t == NULL || frames < CUT_FRAMES) {
        (void)sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        return SQLITE_OK;
    }
    if (frames < atomic_load(&t->log_next)) {
        return SQLITE_OK;
    }
    send_readers_away(t);
    conn->wait_most_ns = WAIT_NS;
    int rc = sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
    conn->wait_most_ns = 0;
    atomic_store(&t->log_next, rc == SQLITE_OK ? 0 : frames + AGAIN_FRAMES);
    return SQLITE_OK;
}

void cis_sql_log_watch(struct sql_conn *conn)
{
    (void)sqlite3_wal_hook(conn->db, on_commit, conn);
}
