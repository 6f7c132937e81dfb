/* A store made of a backup's rows. It is filled in a folder of its own within the store's, through
 * the same schema and checks as any other, is read back, and takes its place when all is there: no
 * statement, no schema and no page comes out of the backup. */
#include "store/sqlite/repair/restore.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/sqlite/backup.h"
#include "store/sqlite/repair/repair.h"
#include "store/sqlite/sqlite.h"
#include "store/text.h"
#include "store/calls.h"

#define FILE_MIN 2048u         /* bytes from which on content is in the chunk file, as in chunk.c */
#define PENDING 256u           /* chunks that are written together */
#define BATCH_BYTES (8u << 20) /* of a transaction, about */
#define BATCH_ROWS 20000u

static const char *const texts[CIS_BACKUP_TABLES] = {
    [CIS_BACKUP_TREE] = "INSERT INTO tree (one, created_ms, hash_key, current, next_ino, "
                        "next_fence, quota_files, quota_bytes, quota_stored, quota_snapshots, "
                        "stored, chunk_end, name) "
                        "VALUES (1, ?1, ?2, ?3, ?4, ?5, ?7, ?8, ?9, ?10, 0, 0, ?11)",
    [CIS_BACKUP_BRANCH] = "INSERT INTO branch (id, parent, fork_epoch, head, floor, created_ms, "
                          "files, bytes, kv_bytes, kv_keys) "
                          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [CIS_BACKUP_LINEAGE] = "INSERT INTO lineage (branch, depth, ancestor, max_epoch) "
                           "VALUES (?1, ?2, ?3, ?4)",
    [CIS_BACKUP_REF] = "INSERT INTO ref (branch, created_ms, name) VALUES (?1, ?2, ?3)",
    [CIS_BACKUP_SNAPSHOT] = "INSERT INTO snapshot (n, branch, epoch, created_ms, files, bytes, "
                            "name, id, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [CIS_BACKUP_PIN] = "INSERT INTO pin (id, branch, epoch, since_ms, until_ms) "
                       "VALUES (?1, ?2, ?3, ?4, 9223372036854775807)",
    [CIS_BACKUP_EPOCH] = "INSERT INTO epoch (branch, epoch, time_ms, files, bytes, kv_bytes, "
                         "kv_keys, run, kind, note, keys) "
                         "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, nullif(?8, x''), ?9, ?10, ?11)",
    [CIS_BACKUP_CHUNK] = "INSERT INTO chunk (id, stamp_ms, hash, head, bytes, place) "
                         "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [CIS_BACKUP_DIRENT] = "INSERT INTO dirent (branch, parent, epoch, ino, mode, name) "
                          "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [CIS_BACKUP_INODE] = "INSERT INTO inode (branch, ino, epoch, attr, data) "
                         "VALUES (?1, ?2, ?3, ?4, ?5)",
    [CIS_BACKUP_EXTENT] = "INSERT INTO extent (branch, ino, block, epoch, chunk) "
                          "VALUES (?1, ?2, ?3, ?4, ?5)",
    [CIS_BACKUP_MEMORY] = "INSERT INTO memory (id, branch, epoch, updated_ms, gone, public, ns, "
                          "key, category, value) "
                          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [CIS_BACKUP_RUN] = "INSERT INTO run (n, exit_code, started_ms, ended_ms, version, id, skill, "
                       "status, report) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [CIS_BACKUP_CONFIG] = "INSERT INTO config (skill, key, value) VALUES (?1, ?2, ?3)",
    [CIS_BACKUP_SKILL] = "INSERT INTO skill (installed_ms, name, version, source, sha256, "
                         "manifest, grants, signer, digest) "
                         "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [CIS_BACKUP_PUBLISH] = "INSERT INTO publish (since_ms, ended_ms, ref, reader, instance) "
                           "VALUES (?1, ?2, ?3, ?4, ?5)",
};

struct pending {
    int64_t id, stamp_ms, place;
    uint8_t hash[32], head[CIS_CHUNK_HEAD];
    uint32_t len;
    uint8_t payload[CIS_FS_BLOCK];
};

struct filling {
    struct cis_backup_target base;
    char *dir; /* the store's */
    char made[PATH_MAX], kept[PATH_MAX];
    bool replace;
    cis_store *store; /* in made */
    /* of the tenant at work */
    struct sql_conn *conn;
    char name[CIS_TENANT_MAX + 1];
    sqlite3_stmt *put[CIS_BACKUP_TABLES];
    int chunks;
    int64_t next_branch, chunk_end;
    size_t batch_rows, batch_bytes, npending;
    struct pending *pending; /* room for PENDING */
};

/* ---- statements ---- */

static void bind(sqlite3_stmt *st, const char *types, const struct cis_backup_value *v)
{
    for (int i = 0; types[i] != 0; i++) {
        if (types[i] == 'b') {
            cis_sql_bind(st, i + 1, v[i].b.ptr, v[i].b.len);
        } else {
            sqlite3_bind_int64(st, i + 1, v[i].i);
        }
    }
}

static cis_code statement(struct filling *f, enum cis_backup_table table, sqlite3_stmt **out,
                          struct cis_error *err)
{
    if (f->put[table] == NULL) {
        int rc = sqlite3_prepare_v3(f->conn->db, texts[table], -1, SQLITE_PREPARE_PERSISTENT,
                                    &f->put[table], NULL);
        if (rc != SQLITE_OK) {
            return cis_sql_fail(f->conn, rc, "restore", err);
        }
    }
    *out = f->put[table];
    return CIS_OK;
}

/* A row that the schema refuses is the backup's fault. */
static cis_code run(struct filling *f, sqlite3_stmt *st, struct cis_error *err)
{
    int rc = sqlite3_step(st);
    cis_code code = rc == SQLITE_DONE ? CIS_OK
                    : (rc & 0xff) == SQLITE_CONSTRAINT
                        ? cis_fail(err, CIS_E_DAMAGED,
                                   "the backup is damaged: tenant %s: two rows for one, or a row "
                                   "without what it needs",
                                   f->name)
                        : cis_sql_fail(f->conn, rc, "restore", err);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return code;
}

static cis_code simple(struct filling *f, enum cis_backup_table table,
                       const struct cis_backup_value *v, struct cis_error *err)
{
    sqlite3_stmt *st;
    CIS_TRY(statement(f, table, &st, err));
    bind(st, cis_backup_shapes[table].types, v);
    return run(f, st, err);
}

static cis_code put_tree(struct filling *f, const struct cis_backup_value *v, struct cis_error *err)
{
    sqlite3_stmt *st;
    CIS_TRY(statement(f, CIS_BACKUP_TREE, &st, err));
    bind(st, cis_backup_shapes[CIS_BACKUP_TREE].types, v);
    sqlite3_bind_null(st, 6); /* no column */
    cis_sql_bind_str(st, 11, cis_str_of(f->name));
    f->next_branch = v[5].i;
    return run(f, st, err);
}

static cis_code put_memory(struct filling *f, const struct cis_backup_value *v,
                           struct cis_error *err)
{
    CIS_TRY(simple(f, CIS_BACKUP_MEMORY, v, err));
    return v[4].i != 0 ? CIS_OK
                       : cis_sql_text_change(f->conn, SQL_TEXT_ADD, v[0].i,
                                             (struct cis_str){(const char *)v[7].b.ptr, v[7].b.len},
                                             cis_text_of(v[9].b), err);
}

/* ---- chunks ---- */

static cis_code append(struct filling *f, struct cis_error *err)
{
    struct cis_bytes payloads[PENDING];
    int64_t places[PENDING];
    size_t n = 0;
    for (size_t i = 0; i < f->npending; i++) {
        if (f->pending[i].len >= FILE_MIN) {
            payloads[n++] = cis_bytes_of(f->pending[i].payload, f->pending[i].len);
        }
    }
    if (n == 0) {
        return CIS_OK;
    }
    if (f->chunks < 0) {
        CIS_TRY(cis_sql_chunk_file_open(f->conn->path, true, &f->chunks, err));
    }
    CIS_TRY(cis_sql_chunk_file_append(f->chunks, f->chunk_end, payloads, n, places, f->conn->stop,
                                      err));
    for (size_t i = 0, at = 0; i < f->npending; i++) {
        struct pending *p = &f->pending[i];
        p->place = p->len >= FILE_MIN ? places[at++] : SQL_NO_PLACE;
        f->chunk_end = p->place >= 0 ? p->place + p->len : f->chunk_end;
    }
    return cis_sql_chunk_end_set(f->conn, f->chunk_end, err);
}

static cis_code put_pending(struct filling *f, const struct pending *p, struct cis_error *err)
{
    sqlite3_stmt *st;
    CIS_TRY(statement(f, CIS_BACKUP_CHUNK, &st, err));
    sqlite3_bind_int64(st, 1, p->id);
    sqlite3_bind_int64(st, 2, p->stamp_ms);
    cis_sql_bind(st, 3, p->hash, sizeof p->hash);
    cis_sql_bind(st, 4, p->head, sizeof p->head);
    sqlite3_bind_int64(st, 5, (int64_t)(p->len + CIS_CHUNK_HEAD));
    sqlite3_bind_int64(st, 6, p->place);
    CIS_TRY(run(f, st, err));
    if (p->place != SQL_NO_PLACE) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *put = NULL;
    CIS_TRY(cis_sql_get(f->conn, SQL_PAYLOAD_PUT, &put, err));
    sqlite3_bind_int64(put, 1, p->id);
    cis_sql_bind(put, 2, p->payload, p->len);
    return cis_sql_done(f->conn, put, "restore", err);
}

static cis_code flush(struct filling *f, struct cis_error *err)
{
    CIS_TRY(append(f, err));
    for (size_t i = 0; i < f->npending; i++) {
        CIS_TRY(put_pending(f, &f->pending[i], err));
    }
    f->npending = 0;
    return CIS_OK;
}

static cis_code put_chunk(struct filling *f, const struct cis_backup_value *v,
                          struct cis_error *err)
{
    if (f->npending == PENDING) {
        CIS_TRY(flush(f, err));
    }
    struct pending *p = &f->pending[f->npending++];
    p->id = v[0].i;
    p->stamp_ms = v[1].i;
    p->place = SQL_NO_PLACE;
    p->len = (uint32_t)v[4].b.len;
    memcpy(p->hash, v[2].b.ptr, sizeof p->hash);
    memcpy(p->head, v[3].b.ptr, sizeof p->head);
    memcpy(p->payload, v[4].b.ptr, v[4].b.len);
    return CIS_OK;
}

/* ---- tenants ---- */

static void statements_end(struct filling *f)
{
    for (size_t i = 0; i < CIS_BACKUP_TABLES; i++) {
        sqlite3_finalize(f->put[i]);
        f->put[i] = NULL;
    }
}

static void tenant_drop(struct filling *f)
{
    statements_end(f);
    cis_sql_conn_close(cis_take(&f->conn));
    cis_sql_chunk_file_closep(&f->chunks);
    f->npending = 0;
}

/* Numbers of branches are never given twice: SQLite counts on from the greatest there ever was. */
static cis_code branches_past(struct filling *f, struct cis_error *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(f->conn->db,
                                "INSERT INTO branch SELECT ?1, 0, 0, 0, 0, -1, 0, 0, 0, 0 "
                                "WHERE ?1 > (SELECT coalesce(max(id), 0) FROM branch)",
                                -1, &st, NULL);
    if (rc != SQLITE_OK) {
        return cis_sql_fail(f->conn, rc, "restore", err);
    }
    sqlite3_bind_int64(st, 1, f->next_branch - 1);
    cis_code code = run(f, st, err);
    bool made = sqlite3_changes(f->conn->db) != 0;
    sqlite3_finalize(st);
    CIS_TRY(code);
    return made
               ? cis_sql_exec(f->conn, "DELETE FROM branch WHERE id = (SELECT max(id) FROM branch)",
                              "restore", err)
               : CIS_OK;
}

static cis_code tenant_end(struct filling *f, struct cis_error *err)
{
    if (f->conn == NULL) {
        return CIS_OK;
    }
    CIS_TRY(flush(f, err));
    CIS_TRY(branches_past(f, err));
    CIS_TRY(cis_sql_count_all(f->conn, err)); /* whatever the quota says now */
    CIS_TRY(cis_sql_exec(f->conn, "COMMIT", "restore", err));
    statements_end(f);
    CIS_TRY(cis_sql_exec(f->conn, "PRAGMA wal_checkpoint(TRUNCATE)", "restore", err));
    tenant_drop(f);
    return CIS_OK;
}

static cis_code on_tenant(void *self, struct cis_str name, struct cis_error *err)
{
    struct filling *f = self;
    CIS_TRY(tenant_end(f, err));
    CIS_TRY(cis_store_tenant_check(name, err));
    memcpy(f->name, name.ptr, name.len);
    f->name[name.len] = 0;
    f->next_branch = f->chunk_end = 0;
    f->batch_rows = f->batch_bytes = 0;
    struct sql_store *s = (struct sql_store *)f->store;
    CIS_TRY(cis_sql_conn_open(s, f->name, NULL, &f->conn, err));
    return cis_sql_exec(f->conn,
                        "BEGIN IMMEDIATE; DELETE FROM tree; DELETE FROM ref; DELETE FROM branch;"
                        "DELETE FROM lineage; DELETE FROM inode; DELETE FROM epoch",
                        "restore", err);
}

/* Some rows a transaction: the log stays small. Nobody sees the store before it is whole. */
static cis_code batch(struct filling *f, enum cis_backup_table table,
                      const struct cis_backup_value *v, struct cis_error *err)
{
    const char *types = cis_backup_shapes[table].types;
    for (size_t i = 0; types[i] != 0; i++) {
        f->batch_bytes += types[i] == 'b' ? v[i].b.len : 8;
    }
    if (f->batch_rows++ < BATCH_ROWS && f->batch_bytes < BATCH_BYTES) {
        return CIS_OK;
    }
    f->batch_rows = f->batch_bytes = 0;
    CIS_TRY(flush(f, err));
    return cis_sql_exec(f->conn, "COMMIT; BEGIN IMMEDIATE", "restore", err);
}

static cis_code on_row(void *self, enum cis_backup_table table, const struct cis_backup_value *v,
                       struct cis_error *err)
{
    struct filling *f = self;
    if (table == CIS_BACKUP_TREE) {
        CIS_TRY(put_tree(f, v, err));
    } else if (table == CIS_BACKUP_CHUNK) {
        CIS_TRY(put_chunk(f, v, err));
    } else if (table == CIS_BACKUP_MEMORY) {
        CIS_TRY(put_memory(f, v, err));
    } else {
        CIS_TRY(simple(f, table, v, err));
    }
    return batch(f, table, v, err);
}

/* ---- the object ---- */

static void filling_free(struct cis_backup_target *target)
{
    struct filling *f = (struct filling *)target;
    if (f == NULL) {
        return;
    }
    tenant_drop(f);
    if (f->store != NULL) {
        cis_store_close(f->store);
    }
    if (f->made[0] != 0) {
        (void)cis_file_remove_tree(f->made, NULL);
    }
    cis_free(f->pending);
    cis_free(f->dir);
    cis_free(f);
}

static cis_code source(void *self, const struct cis_backup_sink *sink, const struct cis_stop *stop,
                       struct cis_error *err)
{
    return cis_sql_dump(self, sink, stop, err);
}

static cis_code filling_done(struct cis_backup_target *target,
                             const struct cis_backup_counts *given, const struct cis_stop *stop,
                             struct cis_error *err)
{
    struct filling *f = (struct filling *)target;
    CIS_TRY(tenant_end(f, err));
    CIS_TRY(cis_backup_prove(source, f->store, given, stop, err));
    f->store->ops->close(cis_take(&f->store));
    if (stop != NULL) {
        CIS_TRY(cis_stop_check(stop, "restore", err));
    }
    CIS_TRY(cis_sql_swap(f->made, f->dir, f->replace, f->kept, err));
    f->base.kept = f->kept[0] != 0 ? f->kept : NULL;
    return CIS_OK;
}

static void filling_drop(struct filling **f)
{
    filling_free(*f != NULL ? &(*f)->base : NULL);
}

cis_code cis_store_sqlite_restore(const char *dir, bool replace,
                                  struct cis_backup_target **out_target, struct cis_error *err)
{
    CIS_CLEANUP(filling_drop) struct filling *f = cis_zalloc(sizeof *f);
    uint8_t rnd[8];
    char hex[17];
    if (f == NULL || (f->pending = cis_calloc(PENDING, sizeof *f->pending)) == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "restore: out of memory");
    }
    f->chunks = -1;
    f->replace = replace;
    CIS_TRY(cis_sql_dir_prepare(dir, &f->dir, err));
    CIS_TRY(cis_sql_swap_check(f->dir, replace, err));
    cis_random_bytes(rnd, sizeof rnd);
    cis_hex(rnd, sizeof rnd, hex);
    int n = snprintf(f->made, sizeof f->made, "%s/restore.tmp-%s", f->dir, hex);
    if (n < 0 || (size_t)n >= sizeof f->made - 128) {
        f->made[0] = 0;
        return cis_fail(err, CIS_E_USAGE, "%s: the name is too long", f->dir);
    }
    CIS_TRY(cis_store_sqlite_open(f->made, &f->store, err));
    f->base = (struct cis_backup_target){
        .sink = {f, on_tenant, on_row, NULL}, .done = filling_done, .free = filling_free};
    *out_target = &cis_take(&f)->base;
    return CIS_OK;
}
