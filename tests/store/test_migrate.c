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
        f->s->ops->close(f->s);
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
    assert_ok(f->s->ops->kv_list(f->s, T, CIS_VIEW_HEAD, &query, note_entry, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "notes/shopping=red apples and pears:private::0:4\n");
    bool found = false;
    assert_ok(f->s->ops->kv_get(f->s, T, CIS_VIEW_HEAD, CIS_STR("notes"),
                                (struct cis_str){"\0\xff", 2}, is_raw, NULL, &found, NULL, err));
    assert_true(found);
    uint64_t bytes, keys;
    assert_ok(f->s->ops->kv_usage(f->s, T, CIS_VIEW_HEAD, &bytes, &keys, NULL, err));
    assert_int_equal(bytes, 68);
    assert_int_equal(keys, 3);
}

static void its_search_index_is_kept(void **state)
{
    struct fixture *f = *state;
    store_1(f, content_1);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    struct cis_str notes = CIS_STR("notes");
    assert_ok(f->s->ops->kv_search(f->s, T, CIS_VIEW_HEAD, notes, CIS_STR("apples"), 9, note_key,
                                   &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "shopping open ");
    struct cis_kv_op ops[] = {store_put("notes", "shopping", "plums"), store_del("other", "open"),
                              store_put("notes", "later", "apples again")};
    assert_ok(store_apply(f->s, ops, 3, err));
    cis_buf_reset(&out);
    assert_ok(f->s->ops->kv_search(f->s, T, CIS_VIEW_HEAD, notes, CIS_STR("apples"), 9, note_key,
                                   &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "later ");
    cis_buf_reset(&out);
    assert_ok(f->s->ops->kv_search(f->s, T, CIS_VIEW_HEAD, notes, CIS_STR("plum"), 9, note_key,
                                   &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "shopping ");
}

static void its_runs_config_and_skills_are_kept(void **state)
{
    struct fixture *f = *state;
    store_1(f, content_1);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    struct cis_str all = {NULL, 0};
    assert_ok(f->s->ops->run_list(f->s, T, all, 0, note_run, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "01K9ZZZZZZBBBBBBBBBBBBBBBB:trap:5 "
                                            "01K9ZZZZZZAAAAAAAAAAAAAAAA:ok:0 ");
    cis_buf_reset(&out);
    assert_ok(f->s->ops->config_list(f->s, T, CIS_STR("notes"), note_key, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "mode ");
    cis_buf_reset(&out);
    assert_ok(f->s->ops->skill_get(f->s, T, CIS_STR("notes"), note_skill, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "notes@1.2.3:[\"memory\"]");
}

static void it_goes_on_as_branch_one_and_nothing_older_is_open(void **state)
{
    struct fixture *f = *state;
    store_1(f, content_1);
    struct cis_fs_ref ref;
    assert_ok(f->s->fs->ref_get(f->s, T, CIS_STR(""), &ref, NULL, err));
    assert_string_equal(ref.name, "main");
    assert_int_equal(ref.head.branch, 1);
    assert_int_equal(ref.head.epoch, 5);
    assert_int_equal(ref.files, 0);
    struct cis_view old = {1, 4}, owner;
    assert_fails(CIS_E_EXPIRED, "expired", f->s->fs->view_check(f->s, T, old, &owner, NULL, err));
    struct cis_kv_op op = store_put("notes", "k", "v");
    assert_ok(store_apply(f->s, &op, 1, err));
    uint64_t bytes, keys;
    assert_ok(f->s->ops->kv_usage(f->s, T, ref.head, &bytes, &keys, NULL, err));
    assert_int_equal(keys, 3);
    assert_ok(f->s->ops->kv_usage(f->s, T, CIS_VIEW_HEAD, &bytes, &keys, NULL, err));
    assert_int_equal(keys, 4);
    struct cis_str name = CIS_STR("before");
    assert_ok(f->s->fs->fork(f->s, T, ref.head, &name, 1, NULL, err));
    struct cis_tenant tenant;
    assert_ok(f->s->fs->tenant_get(f->s, T, &tenant, NULL, err));
    static const uint8_t zeros[32];
    assert_memory_not_equal(tenant.key, zeros, 32);
}

static void an_empty_store_of_the_first_schema_opens(void **state)
{
    struct fixture *f = *state;
    store_1(f, "INSERT INTO head VALUES (1, 0, 0, 0)");
    struct cis_fs_ref ref;
    assert_ok(f->s->fs->ref_get(f->s, T, CIS_STR(""), &ref, NULL, err));
    assert_int_equal(ref.head.epoch, 0);
    struct cis_kv_op op = store_put("notes", "k", "v");
    assert_ok(store_apply(f->s, &op, 1, err));
    char *value = store_get(f->s, "notes", "k");
    assert_string_equal(value, "v");
    free(value);
}

/* ---- killed while it is brought forward ---- */

static long statements, kill_at = -1;

static int on_statement(unsigned what, void *self, void *statement, void *text)
{
    (void)what;
    (void)self;
    (void)statement;
    (void)text;
    if (statements++ == kill_at) {
        raise(SIGKILL);
    }
    return 0;
}

static int watch(sqlite3 *db, char **out_message, const struct sqlite3_api_routines *api)
{
    (void)out_message;
    (void)api;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT | SQLITE_TRACE_PROFILE, on_statement, NULL);
}

static bool opening_dies_at(const char *dir, long statement)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        cis_store *s = NULL;
        struct cis_fs_ref ref;
        kill_at = statement;
        bool fine = sqlite3_auto_extension((void (*)(void))watch) == SQLITE_OK &&
                    cis_store_sqlite_open(dir, &s, NULL) == CIS_OK &&
                    s->fs->ref_get(s, T, CIS_STR(""), &ref, NULL, NULL) == CIS_OK;
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
        f->s->ops->close(f->s); /* nothing was opened yet */
        bool died = opening_dies_at(inner, n);
        assert_ok(cis_store_sqlite_open(inner, &f->s, err));
        uint64_t bytes, keys;
        assert_ok(f->s->ops->kv_usage(f->s, T, CIS_VIEW_HEAD, &bytes, &keys, NULL, err));
        assert_int_equal(bytes, 68);
        assert_int_equal(keys, 3);
        CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
        assert_ok(f->s->ops->kv_search(f->s, T, CIS_VIEW_HEAD, CIS_STR("notes"), CIS_STR("apples"),
                                       9, note_key, &out, NULL, err));
        assert_string_equal(cis_buf_cstr(&out), "shopping open ");
        f->s->ops->close(f->s);
        f->s = NULL;
        f->dir = outer;
        killed += died;
        if (!died) {
            break;
        }
    }
    assert_true(killed > 20);
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
        TEST(a_process_killed_while_it_migrates_leaves_a_store_that_the_next_one_opens),
    };
    return cmocka_run_group_tests_name("store/sqlite migration", tests, NULL, NULL);
}
