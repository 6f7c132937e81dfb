#include "backup_file.h"

#include "base/crypto.h"
#include "base/file.h"
#include "base/le.h"
#include "store/postgres/postgres.h"
#include "store/row.h"
#include "store/sqlite/repair/repair.h"
#include "store/sqlite/sqlite.h"
#include "tools/pgcluster.h"
#include "store/calls.h"

static void number(struct cis_buf *out, uint64_t value)
{
    uint8_t n[8];
    cis_put_le64(n, value);
    cis_buf_add(out, n, sizeof n);
}

static void blob(struct cis_buf *out, struct cis_bytes b)
{
    uint8_t n[4];
    cis_put_le32(n, (uint32_t)b.len);
    cis_buf_add(out, n, sizeof n);
    cis_buf_add(out, b.ptr, b.len);
}

/* Before whatever comes behind it. */
static void root(struct forged *f, int table)
{
    if (f->rootless && table >= CIS_BACKUP_INODE) {
        f->rootless = false;
        forge_inode(f, 1, 0,
                    &(struct cis_fs_inode){.ino = 1, .mode = 040755, .nlink = 2, .parent = 1});
    }
}

void forge_tenant(struct forged *f, const char *name)
{
    root(f, CIS_BACKUP_TABLES);
    cis_buf_byte(&f->records, 1);
    blob(&f->records, cis_bytes_of(name, strlen(name)));
    f->tenants++;
}

void forge_row(struct forged *f, enum cis_backup_table table, const int64_t *numbers,
               const struct cis_bytes *blobs)
{
    root(f, (int)table);
    cis_buf_byte(&f->records, (uint8_t)(2 + (int)table));
    for (const char *t = cis_backup_shapes[table].types; *t != 0; t++) {
        if (*t == 'b') {
            blob(&f->records, *blobs++);
        } else {
            number(&f->records, (uint64_t)*numbers++);
        }
    }
    f->rows++;
}

void forge_plain(struct forged *f, const char *name, const uint8_t key[32])
{
    forge_tenant(f, name);
    forge_row(f, CIS_BACKUP_TREE, (const int64_t[]){1, 100, 1, 2, 0, 0, 0, 0},
              (const struct cis_bytes[]){cis_bytes_of(key, 32), cis_bytes_of("main", 4)});
    forge_row(f, CIS_BACKUP_BRANCH, (const int64_t[]){1, 0, 0, 0, 0, 1, 0, 0, 0, 0}, NULL);
    forge_row(f, CIS_BACKUP_LINEAGE, (const int64_t[]){1, 0, 1, INT64_MAX}, NULL);
    forge_row(f, CIS_BACKUP_REF, (const int64_t[]){1, 1},
              (const struct cis_bytes[]){cis_bytes_of("main", 4)});
    f->rootless = true;
}

void forge_inode(struct forged *f, int64_t branch, int64_t epoch, const struct cis_fs_inode *inode)
{
    uint8_t attr[CIS_ROW_MAX];
    size_t n = cis_inode_pack(inode, attr);
    f->rootless = false;
    forge_row(f, CIS_BACKUP_INODE, (const int64_t[]){branch, (int64_t)inode->ino, epoch},
              (const struct cis_bytes[]){{attr, n}, inode->data});
}

void forge_chunk(struct forged *f, const uint8_t key[32], int64_t id, const char *content)
{
    cis_chunk_codec *codec;
    uint8_t packed[CIS_CHUNK_PACKED_MAX], hash[32];
    struct cis_bytes all = cis_bytes_of(content, strlen(content));
    assert_ok(cis_chunk_codec_new(&codec, err));
    size_t n = cis_chunk_pack(codec, all, false, packed);
    cis_chunk_hash(key, all, hash);
    forge_row(f, CIS_BACKUP_CHUNK, (const int64_t[]){id, 1},
              (const struct cis_bytes[]){{hash, 32},
                                         {packed, CIS_CHUNK_HEAD},
                                         {packed + CIS_CHUNK_HEAD, n - CIS_CHUNK_HEAD}});
    f->chunks++;
    f->bytes += n;
    cis_chunk_codec_free(codec);
}

static void all(int fd, const void *ptr, size_t n)
{
    assert_int_equal(write(fd, ptr, n), (ssize_t)n);
}

int forge_file(struct forged *f)
{
    char path[] = "/tmp/cis-forged-XXXXXX";
    uint8_t head[56] = "CISBACK\n", mac[32];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    root(f, CIS_BACKUP_TABLES);
    cis_buf_byte(&f->records, 0);
    number(&f->records, f->tenants);
    number(&f->records, f->rows);
    number(&f->records, f->chunks);
    number(&f->records, f->bytes);
    assert_ok(cis_buf_check(&f->records, "records", err));
    cis_put_le32(head + 8, 1);
    struct cis_bytes part = {head, sizeof head};
    cis_mac(head + 16, &part, 1, mac);
    all(fd, head, sizeof head);
    for (size_t at = 0; at < f->records.len;) {
        size_t left = f->records.len - at, some = left < CIS_BACKUP_FRAME ? left : CIS_BACKUP_FRAME;
        uint8_t n[4];
        cis_put_le32(n, (uint32_t)some | (some == left ? 0x80000000u : 0));
        const struct cis_bytes parts[] = {{mac, 32}, {n, 4}, {f->records.ptr + at, some}};
        uint8_t next[32];
        cis_mac(head + 16, parts, 3, next);
        memcpy(mac, next, sizeof mac);
        all(fd, n, sizeof n);
        all(fd, f->records.ptr + at, some);
        all(fd, mac, sizeof mac);
        at += some;
    }
    cis_buf_done(&f->records);
    return fd;
}

/* ---- places ---- */
static cis_code target_of(const char *dir, const char *url, bool replace,
                          struct cis_backup_target **out, struct cis_error *err)
{
    return url != NULL ? cis_pg_restore(url, replace, out, NULL, err)
                       : cis_store_sqlite_restore(dir, replace, out, err);
}

cis_code restore(int fd, const char *dir, const char *url, bool replace, struct cis_error *err)
{
    struct cis_backup_target *target = NULL;
    struct cis_backup_summary sum;
    cis_code code = target_of(dir, url, replace, &target, err);
    code = code == CIS_OK ? cis_backup_read(fd, &target->sink, NULL, &sum, NULL, err) : code;
    code = code == CIS_OK ? target->done(target, &sum.counts, NULL, err) : code;
    if (target != NULL) {
        target->free(target);
    }
    return code;
}

void place_new(struct place *p, bool server)
{
    static int databases;
    *p = (struct place){.fx.dir = test_dir_new()};
    if (server) {
        char name[32], sql[64];
        snprintf(name, sizeof name, "restored%d", databases++);
        snprintf(sql, sizeof sql, "CREATE DATABASE %s", name);
        pgcluster_run(fx_cluster(), "postgres", sql);
        p->admin = pgcluster_url(fx_cluster(), "postgres", name);
    }
}

void place_open(struct place *p)
{
    if (p->admin != NULL) {
        assert_ok(cis_store_postgres_open(p->admin, NULL, &p->fx.store, NULL, err));
    } else {
        assert_ok(cis_store_sqlite_open(p->fx.dir, &p->fx.store, err));
    }
    p->fx.h = (struct cis_history){p->fx.store, CIS_STR("t"), NULL, 0};
}

void place_done(struct place *p)
{
    if (p->fx.store != NULL) {
        cis_store_close(p->fx.store);
    }
    if (p->admin != NULL) {
        pgcluster_drop(fx_cluster(), p->admin);
    }
    assert_ok(cis_file_remove_tree(p->fx.dir, err));
    free(p->fx.dir);
}
