/* The rows of every tenant for a backup, from the transactions that backup_hold.c began. Pages are
 * compared with their checksums as in every read; content is checked by who takes the rows. */
#include "store/sqlite/backup.h"

#include "base/mem.h"

/* Columns in the order of store/backup.def. Of a chunk also where it is and how much it takes. */
static const char *const texts[CIS_BACKUP_TABLES] = {
    [CIS_BACKUP_TREE] = "SELECT created_ms, hash_key, current, next_ino, next_fence, "
                        "max((SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = "
                        "'branch'), (SELECT coalesce(max(id), 0) FROM branch)) + 1, quota_files, "
                        "quota_bytes, quota_stored, quota_snapshots FROM tree",
    [CIS_BACKUP_BRANCH] = "SELECT id, parent, fork_epoch, head, floor, created_ms, files, bytes, "
                          "kv_bytes, kv_keys FROM branch ORDER BY id",
    [CIS_BACKUP_LINEAGE] = "SELECT branch, depth, ancestor, max_epoch FROM lineage "
                           "ORDER BY branch, depth",
    [CIS_BACKUP_REF] = "SELECT branch, created_ms, name FROM ref ORDER BY name",
    [CIS_BACKUP_SNAPSHOT] = "SELECT n, branch, epoch, created_ms, files, bytes, name, id, note "
                            "FROM snapshot ORDER BY n",
    [CIS_BACKUP_PIN] = "SELECT id, branch, epoch, since_ms FROM pin "
                       "WHERE until_ms = 9223372036854775807 ORDER BY id",
    [CIS_BACKUP_EPOCH] = "SELECT branch, epoch, time_ms, files, bytes, kv_bytes, kv_keys, "
                         "coalesce(run, x''), kind, note, keys FROM epoch ORDER BY n",
    [CIS_BACKUP_CHUNK] = "SELECT c.id, c.stamp_ms, c.hash, c.head, p.data, c.place, c.bytes "
                         "FROM chunk c LEFT JOIN payload p ON c.place = -1 AND p.id = c.id "
                         "ORDER BY c.id",
    [CIS_BACKUP_DIRENT] = "SELECT branch, parent, epoch, ino, mode, name FROM dirent "
                          "ORDER BY branch, parent, name, epoch",
    [CIS_BACKUP_INODE] = "SELECT branch, ino, epoch, attr, data FROM inode "
                         "ORDER BY branch, ino, epoch",
    [CIS_BACKUP_EXTENT] = "SELECT branch, ino, block, epoch, chunk FROM extent "
                          "ORDER BY branch, ino, block, epoch",
    [CIS_BACKUP_MEMORY] = "SELECT id, branch, epoch, updated_ms, gone, public, ns, key, category, "
                          "value FROM memory ORDER BY id",
    [CIS_BACKUP_RUN] = "SELECT n, exit_code, started_ms, ended_ms, coalesce(version, 0), id, "
                       "skill, status, report FROM run ORDER BY n",
    [CIS_BACKUP_CONFIG] = "SELECT skill, key, value FROM config ORDER BY skill, key",
    [CIS_BACKUP_SKILL] = "SELECT installed_ms, name, version, source, sha256, manifest, grants, "
                         "signer, digest FROM skill ORDER BY name",
    [CIS_BACKUP_PUBLISH] = "SELECT since_ms, ended_ms, ref, reader, instance FROM publish "
                           "ORDER BY ref, reader",
};

struct dump {
    const struct cis_backup_sink *sink;
    struct sql_held *held;
    uint8_t payload[CIS_FS_BLOCK];
};

/* What is not a row of table payload is in the chunk file. */
static cis_code payload(struct dump *d, sqlite3_stmt *st, struct cis_backup_value *out,
                        struct cis_error *err)
{
    int64_t place = sqlite3_column_int64(st, 5);
    int64_t len = sqlite3_column_int64(st, 6) - (int64_t)CIS_CHUNK_HEAD;
    if (place == SQL_NO_PLACE) {
        return (int64_t)out->b.len == len ? CIS_OK
                                          : cis_fail(err, CIS_E_DAMAGED, "its payload is missing");
    }
    if (place < 0 || len <= 0 || len > (int64_t)sizeof d->payload) {
        return cis_fail(err, CIS_E_DAMAGED, "impossible values");
    }
    CIS_TRY(cis_sql_chunk_file_read(d->held->chunks, place, d->payload, (size_t)len, err));
    out->b = cis_bytes_of(d->payload, (size_t)len);
    return CIS_OK;
}

static cis_code row(struct dump *d, enum cis_backup_table table, sqlite3_stmt *st,
                    struct cis_error *err)
{
    struct cis_backup_value v[CIS_BACKUP_COLUMNS_MAX] = {{0}};
    const char *types = cis_backup_shapes[table].types;
    for (int i = 0; types[i] != 0; i++) {
        if (types[i] == 'b') {
            v[i].b = cis_sql_bytes(st, i);
        } else {
            v[i].i = sqlite3_column_int64(st, i);
        }
    }
    if (table == CIS_BACKUP_CHUNK) {
        struct cis_error why = {0};
        cis_code code = payload(d, st, &v[4], &why);
        if (code == CIS_E_DAMAGED) {
            (void)cis_fail(err, code, "tenant %s: chunk %lld: %s", d->held->name, (long long)v[0].i,
                           why.msg);
            d->sink->fault(d->sink->self, err->msg);
            return CIS_OK;
        }
        if (code != CIS_OK) {
            *err = why;
            return code;
        }
    }
    return d->sink->row(d->sink->self, table, v, err);
}

static cis_code dump_table(struct dump *d, enum cis_backup_table table, struct cis_error *err)
{
    struct sql_conn *conn = d->held->read;
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(conn->db, texts[table], -1, &st, NULL);
    cis_code code = CIS_OK;
    while (rc == SQLITE_OK && code == CIS_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        code = row(d, table, st, err);
        rc = SQLITE_OK;
    }
    if (code == CIS_OK && rc != SQLITE_DONE) {
        code = cis_sql_fail(conn, rc, "backup", err);
    }
    sqlite3_finalize(st);
    return code;
}

static cis_code dump_tenant(struct dump *d, struct cis_error *err)
{
    CIS_TRY(cis_sql_held_begin(d->held, err));
    CIS_TRY(d->sink->tenant(d->sink->self, cis_str_of(d->held->name), err));
    for (int table = 0; table < CIS_BACKUP_TABLES; table++) {
        struct cis_error why = {0};
        cis_code code = dump_table(d, (enum cis_backup_table)table, &why);
        if (code == CIS_E_DAMAGED) { /* a page: the other tables are looked at all the same */
            d->sink->fault(d->sink->self, why.msg);
        } else if (code != CIS_OK) {
            if (err != NULL) {
                *err = why;
            }
            return code;
        }
    }
    return CIS_OK;
}

cis_code cis_sql_dump(cis_store *store, const struct cis_backup_sink *sink,
                      const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_hold_done) struct sql_hold hold = {NULL, 0, 0};
    CIS_CLEANUP(cis_freep) struct dump *d = cis_zalloc(sizeof *d);
    if (d == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "backup: out of memory");
    }
    d->sink = sink;
    CIS_TRY(cis_sql_hold((struct sql_store *)store, sink, &hold, stop, err));
    for (size_t i = 0; i < hold.n; i++) {
        d->held = &hold.at[i];
        if (d->held->read != NULL) {
            CIS_TRY(dump_tenant(d, err));
            cis_sql_held_let(d->held);
        }
    }
    return CIS_OK;
}
