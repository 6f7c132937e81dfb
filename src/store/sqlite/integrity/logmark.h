/* The log's mark: how much of the write-ahead log had been synced when a commit was last answered.
 * SQLite ends a log at the first frame that fails its checksum, as a torn write leaves it, and so
 * loses without a word what a flipped bit hides: every commit behind it. The mark tells the two
 * apart. It is a file beside the log (NAME-mark), written after the log's sync and not synced
 * itself: after a power loss it may be older than the log, never newer, so it costs no sync and can
 * only miss, never accuse. The database has the same count in its stamp (stamp.h); the mark also
 * knows the time, and is there when the database is not.
 *
 * A database and a log that were both put back from a copy agree with each other. The mark that was
 * not put back tells: it names the log that is there now. Before another log begins, and before one
 * is cut to nothing, it says so (cis_sql_mark_turn) and is synced; until the first commit of the
 * new log it allows both. So a log that it does not name is one of another time. Marks of before
 * (those without `strict`) were not kept so, and say nothing of other logs.
 *
 * One object a database file, used by the connection's thread. */
#ifndef CIS_STORE_SQLITE_INTEGRITY_LOGMARK_H
#define CIS_STORE_SQLITE_INTEGRITY_LOGMARK_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#define CIS_SQL_WAL_HEAD 32
#define CIS_SQL_FRAME_HEAD 24

struct sql_mark {
    sqlite3_vfs *vfs;   /* the one below */
    sqlite3_file *file; /* room for one */
    char *path;
    bool open;
    uint8_t salts[8];
    uint64_t end; /* what this connection wrote last; 0: nothing */
};

/* What a mark says. */
struct sql_marked {
    uint8_t salts[8]; /* of the log that was synced … */
    uint64_t end;     /* … so many bytes of it */
    uint8_t next[8];  /* turning: of the stamp that may have taken the place of that log's */
    bool turning;
    bool strict; /* no other log can be there */
    int64_t ms;  /* when it was written */
};

/* database: its full path, as SQLite gives it. room: szOsFile bytes. Nothing is opened yet. */
int cis_sql_mark_init(struct sql_mark *mark, sqlite3_vfs *vfs, sqlite3_file *room,
                      const char *database);
void cis_sql_mark_done(struct sql_mark *mark);
/* Synced: the log with these salts up to `end`. */
void cis_sql_mark_set(struct sql_mark *mark, const uint8_t salts[8], uint64_t end);
/* The log is written at `at`, below what the mark says (a commit that failed behind its sync), or
 * cut there: durable before that. Result codes of SQLite. */
int cis_sql_mark_lower(struct sql_mark *mark, uint64_t at);
/* The log with the salts `from` (NULL: there is none) is about to make way: for one with the salts
 * `to`, or for none, with these salts in the stamp. Durable. Result codes of SQLite. */
int cis_sql_mark_turn(struct sql_mark *mark, const uint8_t from[8], const uint8_t to[8]);
/* Before a log (path ends in -wal) is removed. */
int cis_sql_mark_remove(sqlite3_vfs *vfs, const char *log);
/* False: there is none, or it is damaged. */
bool cis_sql_mark_read(struct sql_mark *mark, struct sql_marked *out);

static inline uint32_t cis_sql_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

#endif
