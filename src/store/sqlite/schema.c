/* Schemas as lists of forward steps. A released step never changes; a change is a new step.
 *
 * Names, keys and values are BLOBs: guests choose them, and blobs compare as bytes. `head` holds
 * what a commit counts under the writer's lock; its version is the epoch that the filesystem's rows
 * will carry too. Rows of kv have an id of their own because the search index names rows, not keys.
 */
#include <inttypes.h>
#include <stdio.h>
#include "store/sqlite/internal.h"

#define APPLICATION_ID 0x43495331 /* "CIS1" */

static const char *const tenant_steps[] = {
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL,"
    " kv_bytes INTEGER NOT NULL, kv_keys INTEGER NOT NULL) STRICT;"
    "INSERT INTO head VALUES (1, 0, 0, 0);"
    "CREATE TABLE kv (id INTEGER PRIMARY KEY AUTOINCREMENT, ns BLOB NOT NULL, key BLOB NOT NULL,"
    " public INTEGER NOT NULL, category BLOB NOT NULL, updated_ms INTEGER NOT NULL,"
    " version INTEGER NOT NULL, value BLOB NOT NULL, UNIQUE (ns, key)) STRICT;"
    "CREATE INDEX kv_by_key ON kv (key);"
    "CREATE VIRTUAL TABLE kv_text USING fts5(key, text, content='', tokenize='trigram');"
    "CREATE TABLE run (n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
    " skill BLOB NOT NULL, status BLOB NOT NULL, exit_code INTEGER NOT NULL,"
    " started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL, version INTEGER,"
    " report BLOB NOT NULL) STRICT;"
    "CREATE TABLE config (skill BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
    " PRIMARY KEY (skill, key)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE skill (name BLOB PRIMARY KEY NOT NULL, version BLOB NOT NULL,"
    " source BLOB NOT NULL, sha256 BLOB NOT NULL, manifest BLOB NOT NULL, grants BLOB NOT NULL,"
    " signer BLOB NOT NULL, digest BLOB NOT NULL, installed_ms INTEGER NOT NULL) STRICT;",
};

static const char *const catalogue_steps[] = {
    "CREATE TABLE tenant (name BLOB PRIMARY KEY NOT NULL, created_ms INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;",
};

#define SCHEMA(label, list)                                                                        \
    {                                                                                              \
        .name = (label), .steps = (list), .version = (int)(sizeof(list) / sizeof *(list))          \
    }
const struct sql_schema cis_sql_tenant_schema = SCHEMA("tenant", tenant_steps);
const struct sql_schema cis_sql_catalogue_schema = SCHEMA("catalogue", catalogue_steps);

/* A number from a pragma or a count; only at open, so not worth a kept statement. */
static cis_code read_number(struct sql_conn *conn, const char *text, int64_t *out,
                            struct cis_error *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(conn->db, text, -1, &st, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(st);
    }
    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int64(st, 0);
    }
    sqlite3_finalize(st);
    return rc == SQLITE_ROW ? CIS_OK : cis_sql_fail(conn, rc, "reading the schema version", err);
}

static cis_code judge(struct sql_conn *conn, const struct sql_schema *schema, int64_t *out_version,
                      struct cis_error *err)
{
    int64_t id, version, tables;
    CIS_TRY(read_number(conn, "PRAGMA application_id", &id, err));
    CIS_TRY(read_number(conn, "PRAGMA user_version", &version, err));
    if (version == 0) {
        CIS_TRY(read_number(conn, "SELECT count(*) FROM sqlite_schema", &tables, err));
        if (tables != 0 || id != 0) {
            return cis_fail(err, CIS_E_STORE, "%s: not a store of cis", conn->path);
        }
    } else if (id != APPLICATION_ID) {
        return cis_fail(err, CIS_E_STORE, "%s: not a store of cis", conn->path);
    }
    if (version > schema->version || version < 0) {
        return cis_fail(err, CIS_E_STORE,
                        "%s: %s schema version %" PRId64
                        " is newer than version %d of this program; use a newer cis",
                        conn->path, schema->name, version, schema->version);
    }
    *out_version = version;
    return CIS_OK;
}

static cis_code climb(struct sql_conn *conn, const struct sql_schema *schema, struct cis_error *err)
{
    int64_t version;
    CIS_TRY(judge(conn, schema, &version, err)); /* again: another process may have been here */
    for (; version < schema->version; version++) {
        char set[64];
        CIS_TRY(cis_sql_exec(conn, schema->steps[version], "migration", err));
        snprintf(set, sizeof set, "PRAGMA user_version = %d", (int)version + 1);
        CIS_TRY(cis_sql_exec(conn, set, "migration", err));
    }
    char mark[64];
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d", APPLICATION_ID);
    CIS_TRY(cis_sql_exec(conn, mark, "migration", err));
    return cis_sql_exec(conn, "COMMIT", "migration", err);
}

static cis_code use_wal(struct sql_conn *conn, struct cis_error *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(conn->db, "PRAGMA journal_mode = WAL", -1, &st, NULL);
    if (rc != SQLITE_OK) {
        return cis_sql_fail(conn, rc, "switching to the write-ahead log", err);
    }
    /* Two processes at a new file: the loser is told busy at once, without the busy handler. */
    for (int n = 0; ((rc = sqlite3_step(st)) & 0xff) == SQLITE_BUSY && cis_sql_busy_wait(conn, n);
         n++) {
        sqlite3_reset(st);
    }
    const char *mode = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
    bool wal = mode != NULL && strcmp(mode, "wal") == 0;
    sqlite3_finalize(st);
    if (rc != SQLITE_ROW) {
        return cis_sql_fail(conn, rc, "switching to the write-ahead log", err);
    }
    return wal ? CIS_OK
               : cis_fail(err, CIS_E_STORE, "%s: this file system has no write-ahead log",
                          conn->path);
}

cis_code cis_sql_migrate(struct sql_conn *conn, const struct sql_schema *schema,
                         struct cis_error *err)
{
    int64_t version;
    /* One snapshot for all that is judged: another process may be making the file right now. */
    CIS_TRY(cis_sql_exec(conn, "BEGIN", "reading the schema version", err));
    cis_code code = judge(conn, schema, &version, err);
    (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
    if (code != CIS_OK || version == schema->version) {
        return code;
    }
    if (version == 0) {
        CIS_TRY(use_wal(conn, err));
    }
    CIS_TRY(cis_sql_exec(conn, "BEGIN IMMEDIATE", "migration", err));
    code = climb(conn, schema, err);
    if (code != CIS_OK) {
        (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return code;
}
