/* Stores of earlier releases open and keep everything. The SQL here is what such a release wrote,
 * word for word; it is never changed to please a later schema. */
#include "harness.h"

#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/file.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"
#include "statements.h"
#include "store/calls.h"

static const char schema_1[] =
    "PRAGMA journal_mode = WAL;"
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL,"
    " kv_bytes INTEGER NOT NULL, kv_keys INTEGER NOT NULL) STRICT;"
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
    " signer BLOB NOT NULL, digest BLOB NOT NULL, installed_ms INTEGER NOT NULL) STRICT;"
    "PRAGMA user_version = 1; PRAGMA application_id = 1128878897;";

/* Version 5: a key was changed, one was deleted (its id 3 and its text are gone). */
static const char content_1[] =
    "INSERT INTO head VALUES (1, 5, 68, 3);"
    "INSERT INTO kv VALUES"
    " (1, CAST('notes' AS BLOB), CAST('shopping' AS BLOB), 0, x'', 1760000000000, 4,"
    " CAST('red apples and pears' AS BLOB)),"
    " (2, CAST('notes' AS BLOB), x'00ff', 1, CAST('raw' AS BLOB), 1760000000001, 2, x'0001fe80'),"
    " (4, CAST('other' AS BLOB), CAST('open' AS BLOB), 1, x'', 1760000000002, 5,"
    " CAST('apples for everybody, they say' AS BLOB));"
    "INSERT INTO kv_text (rowid, key, text) VALUES (1, 'shopping', 'red apples and pears'),"
    " (2, '', ''), (3, 'gone', 'apples no more'), (4, 'open', 'apples for everybody, they say');"
    "INSERT INTO kv_text (kv_text, rowid, key, text)"
    " VALUES ('delete', 3, 'gone', 'apples no more');"
    "INSERT INTO run VALUES (1, CAST('01K9ZZZZZZAAAAAAAAAAAAAAAA' AS BLOB), CAST('notes' AS BLOB),"
    " CAST('ok' AS BLOB), 0, 1760000000000, 1760000000050, 4, CAST('{\"schema\":1}' AS BLOB)),"
    " (2, CAST('01K9ZZZZZZBBBBBBBBBBBBBBBB' AS BLOB), CAST('notes' AS BLOB),"
    " CAST('trap' AS BLOB), 5, 1760000000100, 1760000000150, NULL, CAST('{}' AS BLOB));"
    "INSERT INTO config VALUES (CAST('notes' AS BLOB), CAST('mode' AS BLOB), CAST('fast' AS BLOB));"
    "INSERT INTO skill VALUES (CAST('notes' AS BLOB), CAST('1.2.3' AS BLOB), CAST('/x' AS BLOB),"
    " CAST('00' AS BLOB), CAST('{}' AS BLOB), CAST('[\"memory\"]' AS BLOB), x'',"
    " CAST('11' AS BLOB), 1760000000000);";

/* Version 2 of the tenant's schema, as the second release brought a file of the first to it; a file
 * that it made anew is the same without content. */
static const char schema_2[] =
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
    "CREATE TABLE memory (id INTEGER PRIMARY KEY AUTOINCREMENT, branch INTEGER NOT NULL,"
    " ns BLOB NOT NULL, key BLOB NOT NULL, epoch INTEGER NOT NULL, gone INTEGER NOT NULL,"
    " public INTEGER NOT NULL, category BLOB NOT NULL, updated_ms INTEGER NOT NULL,"
    " value BLOB NOT NULL, UNIQUE (branch, ns, key, epoch)) STRICT;"
    "INSERT INTO memory SELECT id, 1, ns, key, version, 0, public, category, updated_ms, value"
    " FROM kv ORDER BY id;"
    "CREATE INDEX memory_by_key ON memory (key, ns);"
    "ALTER TABLE kv_text RENAME TO memory_text;"
    "DROP TABLE kv;"
    "INSERT INTO tree VALUES (1, 1760000000000,"
    " x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', x'6d61696e', 2, 1, 0, 0,"
    " 0, 0, 0);"
    "INSERT INTO branch SELECT 1, 0, 0, version, version, created_ms, 0, 0, kv_bytes, kv_keys"
    " FROM head, tree;"
    "INSERT INTO lineage VALUES (1, 0, 1, 9223372036854775807);"
    "INSERT INTO ref (name, branch, created_ms) SELECT current, 1, created_ms FROM tree;"
    "INSERT INTO epoch (branch, epoch, kind, note, time_ms, files, bytes, kv_bytes, kv_keys, keys)"
    " SELECT 1, version, x'6d656d6f7279', x'', created_ms, 0, 0, kv_bytes, kv_keys, x''"
    " FROM head, tree WHERE version > 0;"
    "DROP TABLE head; PRAGMA user_version = 2;";

/* A file made by it: its root, and "a" with the content "x" in its row, committed as epoch 6. */
static const char content_2[] =
    "INSERT INTO inode VALUES (1, 1, 0, x'0100ed83010200000000000180e0bb8e0d00', x'');"
    "INSERT INTO inode VALUES (1, 2, 6, x'0102a483020100000001000080e0bb8e0d00', x'78');"
    "INSERT INTO dirent VALUES (1, 1, x'61', 6, 2, 32768);"
    "INSERT INTO epoch (branch, epoch, kind, note, time_ms, files, bytes, kv_bytes, kv_keys, keys)"
    " VALUES (1, 6, x'6673', x'', 1760000000001, 1, 1, 68, 3, x'01010101610208');"
    "UPDATE branch SET head = 6, files = 1, bytes = 1; UPDATE tree SET next_ino = 3;";

/* Version 4, as the program before the counting of all rows left such a file. */
static const char schema_4[] =
    "CREATE TABLE publish (ref BLOB NOT NULL REFERENCES ref (name) ON DELETE CASCADE,"
    " reader BLOB NOT NULL, instance BLOB NOT NULL, since_ms INTEGER NOT NULL,"
    " ended_ms INTEGER NOT NULL, PRIMARY KEY (ref, reader)) STRICT, WITHOUT ROWID;"
    "ALTER TABLE tree ADD COLUMN name BLOB NOT NULL DEFAULT x'';"
    "ALTER TABLE tree ADD COLUMN chunk_end INTEGER NOT NULL DEFAULT 0;"
    "UPDATE tree SET chunk_end = (SELECT coalesce(max(place + bytes), 0) FROM chunk"
    " WHERE place >= 0);"
    "UPDATE tree SET name = CAST('default' AS BLOB); PRAGMA user_version = 4;";

static const char catalogue_1[] =
    "PRAGMA journal_mode = WAL;"
    "CREATE TABLE tenant (name BLOB PRIMARY KEY NOT NULL, created_ms INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "INSERT INTO tenant VALUES (CAST('default' AS BLOB), 1760000000000);"
    "PRAGMA user_version = 1; PRAGMA application_id = 1128878897;";

struct fixture {
    char *dir;
    char db[600];
    cis_store *s;
};

static void sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    char *why = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s", why);
    }
    sqlite3_close(db);
}

/* A store folder as the first release left it: no process has it open. */
static void store_1(struct fixture *f, const char *content)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s/tenants", f->dir);
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(f->db, sizeof f->db, "%s/default.db", folder);
    sql(f->db, schema_1);
    sql(f->db, content);
    assert_int_equal(chmod(f->db, 0600), 0);
    assert_ok(cis_store_sqlite_open(f->dir, &f->s, err));
}

/* The same with files, as the second release left it. */
static void store_2(struct fixture *f)
{
    char catalogue[600];
    store_1(f, content_1);
    cis_store_close(f->s); /* nothing was opened yet */
    snprintf(catalogue, sizeof catalogue, "%s/catalogue.db", f->dir);
    sql(f->db, schema_2);
    sql(f->db, content_2);
    sql(catalogue, catalogue_1);
    assert_int_equal(chmod(catalogue, 0600), 0);
    assert_ok(cis_store_sqlite_open(f->dir, &f->s, err));
}

static bool is_counted(struct fixture *f, uint64_t *out_stored)
{
    struct cis_tenant tenant;
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(65536);
    assert_ok(cis_store_tenant_get(f->s, T, &tenant, NULL, err));
    assert_ok(cis_store_check(f->s, T, &faults, NULL, err));
    *out_stored = tenant.stored;
    return strstr(cis_buf_cstr(&faults), "stored bytes") == NULL;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->dir = test_dir_new();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->s != NULL) {
        cis_store_close(f->s);
    }
    assert_ok(cis_file_remove_tree(f->dir, err));
    free(f->dir);
    free(f);
    return 0;
}

static bool note_entry(void *self, const struct cis_kv_entry *e)
{
    cis_buf_printf(self, "%.*s/%.*s=%.*s:%s:%.*s:%" PRId64 ":%" PRIu64 "\n", (int)e->ns.len,
                   e->ns.ptr, (int)e->key.len, e->key.ptr, (int)e->value.len,
                   (const char *)e->value.ptr, e->is_public ? "public" : "private",
                   (int)e->category.len, e->category.ptr, e->updated_ms % 100, e->version);
    return true;
}

static bool is_raw(void *self, const struct cis_kv_entry *e)
{
    (void)self;
    assert_int_equal(e->value.len, 4);
    assert_memory_equal(e->value.ptr, "\0\1\xfe\x80", 4);
    assert_true(e->is_public && cis_str_eq(e->category, CIS_STR("raw")));
    assert_int_equal(e->version, 2);
    return true;
}

static bool note_key(void *self, const struct cis_kv_entry *e)
{
    cis_buf_str(self, e->key);
    cis_buf_byte(self, ' ');
    return true;
}

static bool note_run(void *self, const struct cis_run_row *r)
{
    cis_buf_printf(self, "%s:%.*s:%d ", r->id, (int)r->status.len, r->status.ptr, r->exit_code);
    return true;
}

static bool note_skill(void *self, const struct cis_skill_row *r)
{
    cis_buf_printf(self, "%.*s@%.*s:%.*s", (int)r->name.len, r->name.ptr, (int)r->version.len,
                   r->version.ptr, (int)r->grants.len, r->grants.ptr);
    return true;
}

static void memory_of_the_first_schema_is_kept_with_flags_and_versions(void **state)
{
    struct fixture *f = *state;
    store_1(f, content_1);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    struct cis_kv_query query = {.ns = CIS_STR("notes"), .after = CIS_STR("a"), .values = true};
    assert_ok(cis_store_kv_list(f->s, T, &query, note_entry, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "notes/shopping=red apples and pears:private::0:4\n");
    bool found = false;
    assert_ok(
        cis_store_kv_get(f->s, T,
                         &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("notes"),
                                                    (struct cis_str){"\0\xff", 2}, is_raw, NULL},
                         &found, NULL, err));
    assert_true(found);
    uint64_t bytes, keys;
    assert_ok(cis_store_kv_usage(f->s, T, CIS_VIEW_HEAD, &bytes, &keys, NULL, err));
    assert_int_equal(bytes, 68);
    assert_int_equal(keys, 3);
}

static void its_search_index_is_kept(void **state)
{
    struct fixture *f = *state;
    store_1(f, content_1);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    struct cis_str notes = CIS_STR("notes");
    assert_ok(cis_store_kv_search(
        f->s, T, &(struct cis_kv_search_query){CIS_VIEW_HEAD, notes, CIS_STR("apples"), 9},
        note_key, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "shopping open ");
    struct cis_kv_op ops[] = {store_put("notes", "shopping", "plums"), store_del("other", "open"),
                              store_put("notes", "later", "apples again")};
    assert_ok(store_apply(f->s, ops, 3, err));
    cis_buf_reset(&out);
    assert_ok(cis_store_kv_search(
        f->s, T, &(struct cis_kv_search_query){CIS_VIEW_HEAD, notes, CIS_STR("apples"), 9},
        note_key, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "later ");
    cis_buf_reset(&out);
    assert_ok(cis_store_kv_search(
        f->s, T, &(struct cis_kv_search_query){CIS_VIEW_HEAD, notes, CIS_STR("plum"), 9}, note_key,
        &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "shopping ");
}

static void its_runs_config_and_skills_are_kept(void **state)
{
    struct fixture *f = *state;
    store_1(f, content_1);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    struct cis_str all = {NULL, 0};
    assert_ok(
        cis_store_run_list(f->s, T, &(struct cis_run_query){all, 0}, note_run, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "01K9ZZZZZZBBBBBBBBBBBBBBBB:trap:5 "
                                            "01K9ZZZZZZAAAAAAAAAAAAAAAA:ok:0 ");
    cis_buf_reset(&out);
    assert_ok(cis_store_config_list(f->s, T, CIS_STR("notes"), note_key, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "mode ");
    cis_buf_reset(&out);
    assert_ok(cis_store_skill_get(f->s, T, CIS_STR("notes"), note_skill, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "notes@1.2.3:[\"memory\"]");
}

static void it_goes_on_as_branch_one_and_nothing_older_is_open(void **state)
{
    struct fixture *f = *state;
    store_1(f, content_1);
    struct cis_fs_ref ref;
    assert_ok(cis_store_ref_get(f->s, T, CIS_STR(""), &ref, NULL, err));
    assert_string_equal(ref.name, "main");
    assert_int_equal(ref.head.branch, 1);
    assert_int_equal(ref.head.epoch, 5);
    assert_int_equal(ref.files, 0);
    struct cis_view old = {1, 4}, owner;
    assert_fails(CIS_E_EXPIRED, "expired", cis_store_view_check(f->s, T, old, &owner, NULL, err));
    struct cis_kv_op op = store_put("notes", "k", "v");
    assert_ok(store_apply(f->s, &op, 1, err));
    uint64_t bytes, keys;
    assert_ok(cis_store_kv_usage(f->s, T, ref.head, &bytes, &keys, NULL, err));
    assert_int_equal(keys, 3);
    assert_ok(cis_store_kv_usage(f->s, T, CIS_VIEW_HEAD, &bytes, &keys, NULL, err));
    assert_int_equal(keys, 4);
    struct cis_str name = CIS_STR("before");
    assert_ok(cis_store_fork(f->s, T, ref.head, &name, 1, NULL, err));
    struct cis_tenant tenant;
    assert_ok(cis_store_tenant_get(f->s, T, &tenant, NULL, err));
    static const uint8_t zeros[32];
    assert_memory_not_equal(tenant.key, zeros, 32);
}

static void an_empty_store_of_the_first_schema_opens(void **state)
{
    struct fixture *f = *state;
    store_1(f, "INSERT INTO head VALUES (1, 0, 0, 0)");
    struct cis_fs_ref ref;
    assert_ok(cis_store_ref_get(f->s, T, CIS_STR(""), &ref, NULL, err));
    assert_int_equal(ref.head.epoch, 0);
    struct cis_kv_op op = store_put("notes", "k", "v");
    assert_ok(store_apply(f->s, &op, 1, err));
    char *value = store_get(f->s, "notes", "k");
    assert_string_equal(value, "v");
    free(value);
}

/* ---- the second schema ---- */

static bool is_x(void *self, size_t i, const struct cis_fs_dirent *d,
                 const struct cis_fs_inode *inode)
{
    *(bool *)self = i == 0 && d->ino == 2 && inode != NULL && inode->is_inline &&
                    inode->mode == 0100644 && inode->data.len == 1 && inode->data.ptr[0] == 'x';
    return true;
}

static void assert_x(struct fixture *f, struct cis_str tenant, struct cis_view at)
{
    struct cis_str name = CIS_STR("a");
    bool found = false;
    assert_ok(cis_store_walk(f->s, tenant, &(struct cis_fs_walk_query){at, 1, &name, 1}, is_x,
                             &found, NULL, err));
    assert_true(found);
}

static bool name_tenant(void *self, const struct cis_tenant *tenant)
{
    cis_buf_printf(self, "%s ", tenant->name);
    return true;
}

static bool name_published(void *self, const struct cis_fs_publish *row)
{
    cis_buf_printf(self, "%s/%s>%s ", row->tenant, row->ref, row->to);
    return true;
}

static void files_of_the_second_schema_are_kept_and_can_be_published(void **state)
{
    struct fixture *f = *state;
    store_2(f);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    struct cis_str bob = CIS_STR("bob"), main_name = CIS_STR("main");
    struct cis_fs_ref ref;
    uint64_t pin = 0;
    assert_ok(cis_store_tenant_list(f->s, name_tenant, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "default ");
    assert_ok(cis_store_ref_get(f->s, T, CIS_STR(""), &ref, NULL, err));
    assert_true(ref.head.branch == 1 && ref.head.epoch == 6 && ref.files == 1);
    assert_x(f, T, ref.head);
    char *value = store_get(f->s, "notes", "shopping");
    assert_string_equal(value, "red apples and pears");
    free(value);
    assert_ok(cis_store_tenant_create(f->s, bob, 0, 0, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "no branch main is published to bob",
                 cis_store_publish_check(f->s, T,
                                         &(struct cis_fs_publish_query){main_name, bob, 0, 60000},
                                         &ref, &pin, NULL, err));
    assert_ok(cis_store_publish_put(f->s, T, main_name, &bob, 1, NULL, err));
    assert_ok(cis_store_publish_check(
        f->s, T, &(struct cis_fs_publish_query){main_name, bob, 0, 60000}, &ref, &pin, NULL, err));
    assert_x(f, T, ref.head);
    cis_buf_reset(&out);
    assert_ok(cis_store_published_to(f->s, bob, name_published, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "default/main>bob ");
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(65536);
    assert_ok(cis_store_check(f->s, T, &faults, NULL, err));
    assert_null(strstr(cis_buf_cstr(&faults), "corrupt"));
}

/* A program of before that has the file open goes on with it, and what it drops is not published
 * to anybody afterwards. */
static void a_branch_dropped_by_an_older_program_is_published_no_more(void **state)
{
    struct fixture *f = *state;
    store_2(f);
    struct cis_str bob = CIS_STR("bob"), side = CIS_STR("side");
    struct cis_fs_ref ref;
    uint64_t pin = 0;
    sqlite3 *old = NULL;
    char *why = NULL;
    assert_ok(cis_store_tenant_create(f->s, bob, 0, 0, NULL, err));
    assert_ok(cis_store_ref_get(f->s, T, CIS_STR(""), &ref, NULL, err));
    assert_ok(cis_store_fork(f->s, T, ref.head, &side, 1, NULL, err));
    assert_ok(cis_store_publish_put(f->s, T, side, &bob, 1, NULL, err));
    cis_store_close(f->s);
    assert_int_equal(sqlite3_open(f->db, &old), SQLITE_OK);
    assert_int_equal(sqlite3_db_config(old, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_db_config(old, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_db_config(old, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(old, "DELETE FROM ref WHERE name = CAST('side' AS BLOB)", NULL, NULL, &why),
        SQLITE_OK);
    sqlite3_close(old);
    assert_ok(cis_store_sqlite_open(f->dir, &f->s, err));
    assert_ok(cis_store_fork(f->s, T, ref.head, &side, 1, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "no branch side is published to bob",
                 cis_store_publish_check(f->s, T,
                                         &(struct cis_fs_publish_query){side, bob, 0, 60000}, &ref,
                                         &pin, NULL, err));
}

/* ---- killed while it is brought forward ---- */

static bool opening_dies_at(const char *dir, long statement)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        cis_store *s = NULL;
        struct cis_fs_ref ref;
        bool fine = statements_kill(statement, -1) &&
                    cis_store_sqlite_open(dir, &s, NULL) == CIS_OK &&
                    cis_store_ref_get(s, T, CIS_STR(""), &ref, NULL, NULL) == CIS_OK;
        _exit(fine ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return killed;
}

static void a_process_killed_while_it_migrates_leaves_a_store_that_the_next_one_opens(void **state)
{
    struct fixture *f = *state;
    int killed = 0;
    for (long n = 0;; n += 3) {
        char *outer = f->dir;
        char inner[600];
        snprintf(inner, sizeof inner, "%s/%ld", outer, n);
        assert_int_equal(mkdir(inner, 0700), 0);
        f->dir = inner;
        store_1(f, content_1);
        cis_store_close(f->s); /* nothing was opened yet */
        bool died = opening_dies_at(inner, n);
        assert_ok(cis_store_sqlite_open(inner, &f->s, err));
        uint64_t bytes, keys;
        assert_ok(cis_store_kv_usage(f->s, T, CIS_VIEW_HEAD, &bytes, &keys, NULL, err));
        assert_int_equal(bytes, 68);
        assert_int_equal(keys, 3);
        CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
        assert_ok(cis_store_kv_search(
            f->s, T,
            &(struct cis_kv_search_query){CIS_VIEW_HEAD, CIS_STR("notes"), CIS_STR("apples"), 9},
            note_key, &out, NULL, err));
        assert_string_equal(cis_buf_cstr(&out), "shopping open ");
        cis_store_close(f->s);
        f->s = NULL;
        f->dir = outer;
        killed += died;
        if (!died) {
            break;
        }
    }
    assert_true(killed > 20);
}

/* ---- before all rows counted ---- */

static void what_earlier_schemas_stored_is_counted(void **state)
{
    struct fixture *f = *state;
    uint64_t second, fourth;
    store_2(f);
    assert_true(is_counted(f, &second));
    assert_true(second > 2000); /* rows alone: it has no content outside of them */
    cis_store_close(f->s);
    assert_ok(cis_file_remove_tree(f->dir, err));
    free(f->dir);
    f->dir = test_dir_new();
    store_2(f);
    cis_store_close(f->s); /* nothing was opened yet */
    sql(f->db, schema_4);
    assert_ok(cis_store_sqlite_open(f->dir, &f->s, err));
    assert_true(is_counted(f, &fourth));
    assert_int_equal(fourth, second);
    struct cis_kv_op op = store_put("notes", "k", "v");
    assert_ok(store_apply(f->s, &op, 1, err));
    assert_true(is_counted(f, &second));
    assert_true(second > fourth);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(memory_of_the_first_schema_is_kept_with_flags_and_versions),
        TEST(its_search_index_is_kept),
        TEST(its_runs_config_and_skills_are_kept),
        TEST(it_goes_on_as_branch_one_and_nothing_older_is_open),
        TEST(an_empty_store_of_the_first_schema_opens),
        TEST(files_of_the_second_schema_are_kept_and_can_be_published),
        TEST(a_branch_dropped_by_an_older_program_is_published_no_more),
        TEST(what_earlier_schemas_stored_is_counted),
        TEST(a_process_killed_while_it_migrates_leaves_a_store_that_the_next_one_opens),
    };
    return cmocka_run_group_tests_name("store/sqlite migration", tests, NULL, NULL);
}
