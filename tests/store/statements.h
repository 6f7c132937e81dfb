/* SIGKILL at the nth statement or behind the nth COMMIT of all SQLite connections of a process,
 * those of the store's threads included. For the child of a test. */
#ifndef CIS_TESTS_STATEMENTS_H
#define CIS_TESTS_STATEMENTS_H

#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

/* Beginnings and ends of statements, and commits, so far. */
static atomic_long statements, commits;
static long kill_at_statement = -1, kill_after_commit = -1;

static int on_statement(unsigned what, void *self, void *statement, void *text)
{
    (void)self;
    (void)text;
    const char *sql = sqlite3_sql(statement);
    bool committed = what == SQLITE_TRACE_PROFILE && sql != NULL && strcmp(sql, "COMMIT") == 0;
    if (statements++ == kill_at_statement || (committed && commits++ == kill_after_commit)) {
        raise(SIGKILL);
    }
    return 0;
}

static int watch_connection(sqlite3 *db, char **out_message, const struct sqlite3_api_routines *api)
{
    (void)out_message;
    (void)api;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT | SQLITE_TRACE_PROFILE, on_statement, NULL);
}

/* Before the store is opened. -1: never. */
static inline bool statements_kill(long at_statement, long after_commit)
{
    kill_at_statement = at_statement;
    kill_after_commit = after_commit;
    return sqlite3_auto_extension((void (*)(void))watch_connection) == SQLITE_OK;
}

#endif
