/* Schemas as lists of forward steps. A released step never changes; a change is a new step.
 *
 * Names, keys and values are BLOBs: guests choose them, and blobs compare as bytes. Rows of memory
 * have an id of their own because the search index names rows, not keys. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "store/row.h"
#include "store/sqlite/internal.h"

static void finalize(sqlite3_stmt **st)
{
    sqlite3_finalize(*st);
}

#define APPLICATION_ID 0x43495331 /* "CIS1" */

static const char first[] =
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
    " signer BLOB NOT NULL, digest BLOB NOT NULL, installed_ms INTEGER NOT NULL) STRICT;";

/* Versioned rows: refs, branches, commits, files. inode.attr is packed by store/row.h, epoch.keys
 * by store/commit.h, chunk.head by store/chunk.h. A chunk's payload is in the chunk file from byte
 * `place` on, or, when that is -1, in table payload: apart from the chunk's row, which every use
 * stamps anew. A name whose ino is 0 is a whiteout, an extent whose chunk is 0 a hole. Branch 1 is
 * what the store held before: its head is the last version, and nothing older can be opened. */
static const char files[] =
    "CREATE TABLE tree (one INTEGER PRIMARY KEY CHECK (one = 1), created_ms INTEGER NOT NULL,"
    " hash_key BLOB NOT NULL CHECK (length(hash_key) = 32), current BLOB NOT NULL,"
    " next_ino INTEGER NOT NULL, next_fence INTEGER NOT NULL, stored INTEGER NOT NULL,"
    " quota_files INTEGER NOT NULL, quota_bytes INTEGER NOT NULL,"
    " quota_stored INTEGER NOT NULL, quota_snapshots INTEGER NOT NULL) STRICT;"
    "CREATE TABLE ref (name BLOB PRIMARY KEY NOT NULL, branch INTEGER NOT NULL,"
    " created_ms INTEGER NOT NULL, holder BLOB NOT NULL DEFAULT x'',"
    " fence INTEGER NOT NULL DEFAULT 0, until_ms INTEGER NOT NULL DEFAULT 0)"
    " STRICT, WITHOUT ROWID;"
    "CREATE INDEX ref_by_branch ON ref (branch);"
    "CREATE TABLE branch (id INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER NOT NULL,"
    " fork_epoch INTEGER NOT NULL, head INTEGER NOT NULL, floor INTEGER NOT NULL,"
    " created_ms INTEGER NOT NULL, files INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " kv_bytes INTEGER NOT NULL, kv_keys INTEGER NOT NULL) STRICT;"
    "CREATE INDEX branch_by_parent ON branch (parent);"
    "CREATE TABLE lineage (branch INTEGER NOT NULL, depth INTEGER NOT NULL,"
    " ancestor INTEGER NOT NULL, max_epoch INTEGER NOT NULL, PRIMARY KEY (branch, depth))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE epoch (n INTEGER PRIMARY KEY, branch INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " run BLOB, kind BLOB NOT NULL, note BLOB NOT NULL, time_ms INTEGER NOT NULL,"
    " files INTEGER NOT NULL, bytes INTEGER NOT NULL, kv_bytes INTEGER NOT NULL,"
    " kv_keys INTEGER NOT NULL, keys BLOB NOT NULL, UNIQUE (branch, epoch)) STRICT;"
    "CREATE UNIQUE INDEX epoch_by_run ON epoch (run) WHERE run IS NOT NULL;"
    "CREATE TABLE snapshot (n INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB NOT NULL UNIQUE,"
    " id BLOB NOT NULL, branch INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " created_ms INTEGER NOT NULL, files INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " note BLOB NOT NULL) STRICT;"
    "CREATE INDEX snapshot_by_view ON snapshot (branch, epoch);"
    "CREATE TABLE pin (id INTEGER PRIMARY KEY AUTOINCREMENT, branch INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL, until_ms INTEGER NOT NULL, since_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE dirent (branch INTEGER NOT NULL, parent INTEGER NOT NULL, name BLOB NOT NULL,"
    " epoch INTEGER NOT NULL, ino INTEGER NOT NULL, mode INTEGER NOT NULL,"
    " PRIMARY KEY (branch, parent, name, epoch)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE inode (branch INTEGER NOT NULL, ino INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " attr BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (branch, ino, epoch))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE extent (branch INTEGER NOT NULL, ino INTEGER NOT NULL, block INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL, chunk INTEGER NOT NULL, PRIMARY KEY (branch, ino, block, epoch))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE chunk (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32), stamp_ms INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, place INTEGER NOT NULL, head BLOB NOT NULL) STRICT;"
    "CREATE TABLE payload (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;"
    /* What was memory keeps its ids, which the search index names, and its versions, which are
     * epochs of branch 1. */
    "CREATE TABLE memory (id INTEGER PRIMARY KEY AUTOINCREMENT, branch INTEGER NOT NULL,"
    " ns BLOB NOT NULL, key BLOB NOT NULL, epoch INTEGER NOT NULL, gone INTEGER NOT NULL,"
    " public INTEGER NOT NULL, category BLOB NOT NULL, updated_ms INTEGER NOT NULL,"
    " value BLOB NOT NULL, UNIQUE (branch, ns, key, epoch)) STRICT;"
    "INSERT INTO memory SELECT id, 1, ns, key, version, 0, public, category, updated_ms, value"
    " FROM kv ORDER BY id;"
    "CREATE INDEX memory_by_key ON memory (key, ns);"
    "ALTER TABLE kv_text RENAME TO memory_text;"
    "DROP TABLE kv;";

void cis_sql_root(struct cis_fs_inode *out, uint32_t uid, uint32_t gid)
{
    int64_t now = cis_clock_wall_ms();
    struct cis_fs_time t = {now / 1000, (uint32_t)(now % 1000) * 1000000u};
    *out = (struct cis_fs_inode){.ino = CIS_FS_ROOT,
                                 .mode = S_IFDIR | 0755,
                                 .nlink = 2,
                                 .uid = uid,
                                 .gid = gid,
                                 .parent = CIS_FS_ROOT,
                                 .atime = t,
                                 .mtime = t,
                                 .ctime = t,
                                 .btime = t};
}

static cis_code root_put(struct sql_conn *conn, struct cis_error *err)
{
    struct cis_fs_inode root;
    cis_sql_root(&root, geteuid(), getegid());
    uint8_t attr[CIS_ROW_MAX];
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_INODE_PUT, &st, err));
    cis_sql_bind_view(st, (struct cis_view){1, 0});
    sqlite3_bind_int64(st, 3, CIS_FS_ROOT);
    cis_sql_bind(st, 4, attr, cis_inode_pack(&root, attr));
    cis_sql_bind(st, 5, "", 0);
    return cis_sql_done(conn, st, "migration", err);
}

/* What a tree begins with: branch 1 by the name of main, and its root. */
static cis_code plant(struct sql_conn *conn, struct cis_error *err)
{
    uint8_t key[32];
    cis_random_bytes(key, sizeof key);
    CIS_CLEANUP(finalize) sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(
        conn->db, "INSERT INTO tree VALUES (1, ?1, ?2, x'6d61696e', 2, 1, 0, 0, 0, 0, 0)", -1, &st,
        NULL);
    if (rc != SQLITE_OK) {
        return cis_sql_fail(conn, rc, "migration", err);
    }
    sqlite3_bind_int64(st, 1, cis_clock_wall_ms());
    cis_sql_bind(st, 2, key, sizeof key);
    CIS_TRY(cis_sql_done(conn, st, "migration", err));
    CIS_TRY(root_put(conn, err));
    return cis_sql_exec(conn,
                        "INSERT INTO branch SELECT 1, 0, 0, version, version, created_ms, 0, 0,"
                        " kv_bytes, kv_keys FROM head, tree;"
                        "INSERT INTO lineage VALUES (1, 0, 1, 9223372036854775807);"
                        "INSERT INTO ref (name, branch, created_ms) SELECT current, 1, created_ms"
                        " FROM tree;"
                        "INSERT INTO epoch (branch, epoch, kind, note, time_ms, files, bytes,"
                        " kv_bytes, kv_keys, keys) SELECT 1, version, x'6d656d6f7279', x'',"
                        " created_ms, 0, 0, kv_bytes, kv_keys, x'' FROM head, tree"
                        " WHERE version > 0;"
                        "DROP TABLE head;",
                        "migration", err);
}

/* Who may read a branch: the reader is the tenant that had the name then (cis_tenant.instance), and
 * ended_ms is when that was taken back, 0: it was not. Rows go with their branch's name, also when
 * a program of before this step removes it. */
static const char publishing[] =
    "CREATE TABLE publish (ref BLOB NOT NULL REFERENCES ref (name) ON DELETE CASCADE,"
    " reader BLOB NOT NULL, instance BLOB NOT NULL, since_ms INTEGER NOT NULL,"
    " ended_ms INTEGER NOT NULL, PRIMARY KEY (ref, reader)) STRICT, WITHOUT ROWID;";

/* Whose file this is: one in another's place is refused. chunk_end: where the chunk file ends at
 * least, as far as rows know; a file that is shorter was cut, and nothing new is put where rows
 * still look for what was there. */
static const char belonging[] =
    "ALTER TABLE tree ADD COLUMN name BLOB NOT NULL DEFAULT x'';"
    "ALTER TABLE tree ADD COLUMN chunk_end INTEGER NOT NULL DEFAULT 0;"
    "UPDATE tree SET chunk_end = (SELECT coalesce(max(place + bytes), 0) FROM chunk"
    " WHERE place >= 0);";

static cis_code own(struct sql_conn *conn, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_TREE_NAME_SET, &st, err));
    cis_sql_bind_str(st, 1, cis_sql_name_of(conn));
    return cis_sql_done(conn, st, "migration", err);
}

/* From here on all rows are counted, not chunks alone. */
static const char counting[] = "UPDATE tree SET stored = 0;";

static const struct sql_step tenant_steps[] = {
    {first, NULL},
    {files, plant},
    {publishing, NULL},
    {belonging, own},
    {counting, cis_sql_count_all},
};

/* Tenants that are there already: of a release before, or because the catalogue was lost; then it
 * also has to learn again who reads what of whom. */
static cis_code found(struct sql_conn *conn, struct cis_error *err)
{
    return cis_sql_catalogue_gather(conn, conn->begun, err);
}

static const struct sql_step catalogue_steps[] = {
    {"CREATE TABLE tenant (name BLOB PRIMARY KEY NOT NULL, created_ms INTEGER NOT NULL)"
     " STRICT, WITHOUT ROWID;",
     NULL},
    /* Where to look for what is published to a tenant. The publisher's own file says what is: a
     * row here is made before the one there, and may outlive it. */
    {"CREATE TABLE published (reader BLOB NOT NULL, publisher BLOB NOT NULL,"
     " PRIMARY KEY (reader, publisher)) STRICT, WITHOUT ROWID;",
     NULL},
    /* made: the tenant's file was; that it is not there means from then on that it was lost. */
    {"ALTER TABLE tenant ADD COLUMN made INTEGER NOT NULL DEFAULT 0;", found},
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

static cis_code check(struct sql_conn *conn, const struct sql_schema *schema, int64_t *out_version,
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
    CIS_TRY(check(conn, schema, &version, err)); /* again: another process may have been here */
    conn->begun = version == 0;
    for (; version < schema->version; version++) {
        char set[64];
        const struct sql_step *step = &schema->steps[version];
        CIS_TRY(cis_sql_exec(conn, step->text, "migration", err));
        if (step->fill != NULL) {
            CIS_TRY(step->fill(conn, err));
        }
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

cis_code cis_sql_version(struct sql_conn *conn, const struct sql_schema *schema,
                         int64_t *out_version, struct cis_error *err)
{
    /* One snapshot for all that is checked: another process may be making the file right now. */
    CIS_TRY(cis_sql_exec(conn, "BEGIN", "reading the schema version", err));
    cis_code code = check(conn, schema, out_version, err);
    (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

cis_code cis_sql_migrate(struct sql_conn *conn, const struct sql_schema *schema,
                         struct cis_error *err)
{
    int64_t version;
    CIS_TRY(cis_sql_version(conn, schema, &version, err));
    if (version == schema->version) {
        return CIS_OK;
    }
    if (version == 0) {
        CIS_TRY(use_wal(conn, err));
    }
    CIS_TRY(cis_sql_exec(conn, "BEGIN IMMEDIATE", "migration", err));
    cis_code code = climb(conn, schema, err);
    if (code != CIS_OK) {
        (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return code;
}
