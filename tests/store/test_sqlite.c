/* What is particular to the SQLite backend: files and their owners, schema versions, damage, full
 * and read-only disks, locks of other processes. */
#include "harness.h"
#include "waits.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/file.h"
#include "store/calls.h"
#include "store/sqlite/internal.h"
#include "store/sqlite/read.h"
#include "store/sqlite/integrity/pagesum.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"

struct fixture {
    char *dir;
    char db[512];
    cis_store *store;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->dir = test_dir_new();
    snprintf(f->db, sizeof f->db, "%s/tenants/default.db", f->dir);
    assert_ok(cis_store_sqlite_open(f->dir, &f->store, err));
    struct cis_kv_op op = store_put("a", "first", "value one");
    assert_ok(store_apply(f->store, &op, 1, err));
    *state = f;
    return 0;
}

static void reopen(struct fixture *f)
{
    if (f->store != NULL) {
        cis_store_close(f->store);
        f->store = NULL;
    }
    assert_ok(cis_store_sqlite_open(f->dir, &f->store, err));
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->store != NULL) {
        cis_store_close(f->store);
    }
    assert_ok(cis_file_remove_tree(f->dir, err));
    free(f->dir);
    free(f);
    return 0;
}

/* By hand, as another program would. */
static void sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(cis_sql_pagesum_register(), SQLITE_OK);
    assert_int_equal(
        sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, CIS_SQL_VFS),
        SQLITE_OK);
    char *why = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s: %s", text, why);
    }
    sqlite3_close(db);
}

static cis_code put_one(cis_store *store, const char *key, const struct cis_stop *stop,
                        struct cis_error *err)
{
    struct cis_kv_op op = store_put("a", key, "value");
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    return cis_store_commit(store, T, &c, stop, err);
}

static bool ignore(void *self, const struct cis_kv_entry *entry)
{
    (void)self;
    (void)entry;
    return true;
}

static cis_code get_one(cis_store *store, const char *key, struct cis_error *err)
{
    bool found;
    return cis_store_kv_get(
        store, T,
        &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("a"), cis_str_of(key), ignore, NULL},
        &found, NULL, err);
}

/* ---- files ---- */

static unsigned mode_of(const char *dir, const char *name)
{
    char path[1024];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 0777;
}

static void files_are_for_the_owner_only(void **state)
{
    struct fixture *f = *state;
    char sub[600];
    snprintf(sub, sizeof sub, "%s/new/store", f->dir);
    mode_t old = umask(0);
    cis_store *s = NULL;
    assert_ok(cis_store_sqlite_open(sub, &s, err));
    assert_ok(put_one(s, "k", NULL, err));
    umask(old);
    assert_int_equal(mode_of(sub, ""), 0700);
    assert_int_equal(mode_of(sub, "tenants"), 0700);
    assert_int_equal(mode_of(sub, "catalogue.db"), 0600);
    assert_int_equal(mode_of(sub, "tenants/default.db"), 0600);
    assert_int_equal(mode_of(sub, "tenants/default.db-wal"), 0600);
    assert_int_equal(mode_of(sub, "tenants/default.db-shm"), 0600);
    cis_store_close(s);
}

static void reading_makes_no_files(void **state)
{
    struct fixture *f = *state;
    bool found;
    assert_ok(cis_store_kv_get(
        f->store, CIS_STR("typo"),
        &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("a"), CIS_STR("k"), ignore, NULL}, &found,
        NULL, err));
    char path[600];
    snprintf(path, sizeof path, "%s/tenants/typo.db", f->dir);
    assert_false(cis_file_exists(path));
}

static bool any_inode(void *self, const struct cis_fs_inode *inode)
{
    (void)self, (void)inode;
    return true;
}

static void the_first_reads_need_no_thread_and_share_a_connection_with_a_commit(void **state)
{
    struct fixture *f = *state;
    reopen(f);
    struct sql_store *s = (struct sql_store *)f->store;
    struct cis_fs_ref ref;
    uint64_t root = CIS_FS_ROOT;
    assert_ok(cis_store_ref_get(f->store, T, CIS_STR(""), &ref, NULL, err));
    for (int i = 0; i < 60; i++) {
        assert_ok(cis_store_inodes(f->store, T, &(struct cis_fs_inode_query){ref.head, &root, 1},
                                   any_inode, NULL, NULL, err));
        if (i == 3) {
            assert_int_equal(atomic_load(&s->reading), 0);
            assert_ok(put_one(f->store, "k", NULL, err));
            assert_int_equal(s->open, 1);
            assert_false(s->has_keeper);
        }
    }
    assert_true(s->has_keeper);
    assert_ok(put_one(f->store, "l", NULL, err));
    assert_int_equal(s->open, 2);
}

static void a_database_opened_to_others_is_closed_again(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(chmod(f->db, 0644), 0);
    reopen(f);
    assert_ok(get_one(f->store, "first", err));
    assert_int_equal(mode_of(f->dir, "tenants/default.db"), 0600);
}

static void a_folder_that_others_may_write_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(chmod(f->dir, 0770), 0);
    cis_store *s = NULL;
    assert_fails(CIS_E_DENIED, "other users may write", cis_store_sqlite_open(f->dir, &s, err));
    assert_int_equal(chmod(f->dir, 0700), 0);
}

static void a_folder_of_another_user_is_refused(void **state)
{
    struct fixture *f = *state;
    if (geteuid() != 0) {
        not_tested("root", "only root can give a folder away");
    }
    assert_int_equal(chown(f->dir, 65534, (gid_t)-1), 0);
    cis_store *s = NULL;
    assert_fails(CIS_E_DENIED, "belongs to another user", cis_store_sqlite_open(f->dir, &s, err));
}

static void a_symlinked_database_is_refused(void **state)
{
    struct fixture *f = *state;
    char target[600], link[600];
    snprintf(target, sizeof target, "%s/elsewhere.db", f->dir);
    snprintf(link, sizeof link, "%s/tenants/linked.db", f->dir);
    assert_int_equal(symlink(target, link), 0);
    struct cis_kv_op op = store_put("a", "k", "v");
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    assert_fails(CIS_E_DENIED, "symbolic link",
                 cis_store_commit(f->store, CIS_STR("linked"), &c, NULL, err));
    assert_false(cis_file_exists(target));
    char folder[600], away[600];
    snprintf(folder, sizeof folder, "%s/tenants", f->dir);
    snprintf(away, sizeof away, "%s/away", f->dir);
    assert_int_equal(rename(folder, away), 0);
    assert_int_equal(symlink(away, folder), 0);
    cis_store *s = NULL;
    assert_fails(CIS_E_DENIED, "not a folder", cis_store_sqlite_open(f->dir, &s, err));
}

static void the_settings_that_keep_a_hostile_file_harmless_are_on(void **state)
{
    struct fixture *f = *state;
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    assert_ok(cis_sql_take((struct sql_store *)f->store, T, true, NULL, &conn, err));
    int on = 0;
    static const struct {
        int what, value;
    } expected[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},
                    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                    {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
                    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                    {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                    {SQLITE_DBCONFIG_DQS_DML, 0},
                    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_int_equal(sqlite3_db_config(conn->db, expected[i].what, -1, &on), SQLITE_OK);
        assert_int_equal(on, expected[i].value);
    }
    static const char *const pragmas[][2] = {
        {"PRAGMA cell_size_check", "1"}, {"PRAGMA journal_mode", "wal"},
        {"PRAGMA synchronous", "2"},     {"PRAGMA mmap_size", "0"},
        {"PRAGMA foreign_keys", "1"},    {"PRAGMA trusted_schema", "0"}};
    for (size_t i = 0; i < sizeof pragmas / sizeof *pragmas; i++) {
        sqlite3_stmt *st = NULL;
        assert_int_equal(sqlite3_prepare_v2(conn->db, pragmas[i][0], -1, &st, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        assert_string_equal((const char *)sqlite3_column_text(st, 0), pragmas[i][1]);
        sqlite3_finalize(st);
    }
}

/* ---- schema versions ---- */

static void a_newer_schema_is_refused_and_left_alone(void **state)
{
    struct fixture *f = *state;
    cis_store_close(f->store);
    f->store = NULL;
    char text[64];
    snprintf(text, sizeof text, "PRAGMA user_version = %d", cis_sql_tenant_schema.version + 7);
    sql(f->db, text);
    reopen(f);
    assert_fails(CIS_E_STORE, "is newer than version", get_one(f->store, "first", err));
    assert_fails(CIS_E_STORE, "use a newer cis", put_one(f->store, "k", NULL, err));
}

/* A mount of an older program goes on while a newer one brings the file forward. */
static void a_schema_that_is_brought_forward_ends_the_writing_of_older_programs(void **state)
{
    struct fixture *f = *state;
    char text[64];
    assert_ok(put_one(f->store, "k", NULL, err));
    snprintf(text, sizeof text, "PRAGMA user_version = %d", cis_sql_tenant_schema.version + 1);
    sql(f->db, text);
    assert_fails(CIS_E_STORE, "use the newer cis", put_one(f->store, "l", NULL, err));
    snprintf(text, sizeof text, "PRAGMA user_version = %d", cis_sql_tenant_schema.version);
    sql(f->db, text);
    assert_ok(put_one(f->store, "l", NULL, err));
}

static void a_file_of_another_program_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[600];
    snprintf(path, sizeof path, "%s/tenants/foreign.db", f->dir);
    sql(path, "CREATE TABLE notes (x); INSERT INTO notes VALUES (1)");
    struct cis_kv_op op = store_put("a", "k", "v");
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    assert_fails(CIS_E_STORE, "not a store of cis",
                 cis_store_commit(f->store, CIS_STR("foreign"), &c, NULL, err));
    sql(path, "INSERT INTO notes VALUES (2)");
}

/* Steps of a schema that does not exist, to see the climb itself. */
static void migration_climbs_step_by_step_and_a_failing_step_changes_nothing(void **state)
{
    struct fixture *f = *state;
    char path[600];
    snprintf(path, sizeof path, "%s/climb.db", f->dir);
    static const struct sql_step steps[] = {
        {"CREATE TABLE t (a INTEGER) STRICT; INSERT INTO t VALUES (1)", NULL},
        {"ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 7", NULL},
        {"CREATE TABLE u (a); CREATE TABLE t (clash)", NULL}};
    struct sql_schema one = {"test", steps, 1}, two = {"test", steps, 2},
                      three = {"test", steps, 3};
    struct sql_conn conn = {.path = path};
    assert_int_equal(sqlite3_open(path, &conn.db), SQLITE_OK);
    assert_ok(cis_sql_migrate(&conn, &one, err));
    assert_ok(cis_sql_migrate(&conn, &two, err));
    assert_ok(cis_sql_migrate(&conn, &two, err));
    assert_fails(CIS_E_STORE, "already exists", cis_sql_migrate(&conn, &three, err));
    assert_fails(CIS_E_STORE, "test schema version 2 is newer than version 1",
                 cis_sql_migrate(&conn, &one, err));
    assert_int_equal(sqlite3_get_autocommit(conn.db), 1);
    assert_int_equal(sqlite3_exec(conn.db, "SELECT b FROM t", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(conn.db, "SELECT * FROM u", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(conn.db);
}

/* ---- damage ---- */

static cis_code use_everything(cis_store *s, struct cis_error *err)
{
    bool found;
    uint64_t bytes, keys;
    struct cis_run_row run;
    store_run_row(&run, "a", "ok");
    struct cis_kv_op ops[] = {store_put("a", "first", "other text"), store_put("a", "fresh", "x"),
                              store_del("a", "k007")};
    struct cis_store_commit c = {.run = &run, .kv = ops, .nkv = 3};
    CIS_TRY(cis_store_kv_get(
        s, T,
        &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("a"), CIS_STR("first"), ignore, NULL},
        &found, NULL, err));
    CIS_TRY(
        cis_store_kv_list(s, T, &(struct cis_kv_query){.values = true}, ignore, NULL, NULL, err));
    CIS_TRY(cis_store_kv_search(
        s, T, &(struct cis_kv_search_query){CIS_VIEW_HEAD, CIS_STR("a"), CIS_STR("value"), 50},
        ignore, NULL, NULL, err));
    CIS_TRY(cis_store_kv_usage(s, T, CIS_VIEW_HEAD, &bytes, &keys, NULL, err));
    return cis_store_commit(s, T, &c, NULL, err);
}

static void flip(const char *path, long at, unsigned char with)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    int c = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(c ^ with, file);
    fclose(file);
}

static void copy(const char *from, const char *to)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(64u << 20);
    assert_ok(cis_file_read(from, &b, err));
    assert_ok(cis_file_write(to, cis_buf_bytes(&b), 0600, err));
}

static void a_damaged_file_is_a_store_error_and_never_a_crash(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%03d", i);
        assert_ok(put_one(f->store, key, NULL, err));
    }
    cis_store_close(f->store);
    f->store = NULL;
    sql(f->db, "PRAGMA wal_checkpoint(TRUNCATE)");
    char good[600], wal[600], shm[600];
    snprintf(good, sizeof good, "%s/good", f->dir);
    snprintf(wal, sizeof wal, "%s-wal", f->db);
    snprintf(shm, sizeof shm, "%s-shm", f->db);
    copy(f->db, good);
    struct stat st;
    assert_int_equal(stat(good, &st), 0);
    uint32_t random = 12345; /* the same bytes every time */
    int refused = 0;
    for (int round = 0; round < 150; round++) {
        unlink(wal);
        unlink(shm);
        copy(good, f->db);
        for (int i = 0; i < 12; i++) {
            random = random * 1664525u + 1013904223u;
            /* The first rounds aim at the header and the first page. */
            long range = round < 30 ? 120 : round < 60 ? 4096 : (long)st.st_size;
            flip(f->db, (long)(random >> 3) % range, (unsigned char)(1u << (random & 7)));
        }
        reopen(f);
        struct cis_error err = {0};
        cis_code code = use_everything(f->store, &err);
        if (code != CIS_OK && code != CIS_E_DAMAGED && code != CIS_E_STORE && code != CIS_E_NOMEM) {
            fail_msg("round %d: %s: %s", round, cis_code_name(code), err.msg);
        }
        refused += code != CIS_OK;
    }
    assert_true(refused > 50);
}

static void a_truncated_or_replaced_file_is_a_store_error(void **state)
{
    struct fixture *f = *state;
    cis_store_close(f->store);
    f->store = NULL;
    sql(f->db, "PRAGMA wal_checkpoint(TRUNCATE)");
    assert_int_equal(truncate(f->db, 5000), 0);
    reopen(f);
    assert_fails(CIS_E_DAMAGED, "default.db", use_everything(f->store, err));
    assert_ok(cis_file_write(f->db, cis_bytes_of("this is no database at all, not even nearly", 43),
                             0600, err));
    reopen(f);
    assert_fails(CIS_E_DAMAGED, "damaged", use_everything(f->store, err));
}

/* ---- full and read-only disks: in a child, because limits and users are of the process ---- */

static void in_child(struct fixture *f, int (*work)(struct fixture *f))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(work(f));
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, err.msg);                  \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static int fill_the_disk(struct fixture *f)
{
    struct cis_error err = {0};
    cis_store *s = NULL;
    sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){1200000, 1200000});
    CHECK(cis_store_sqlite_open(f->dir, &s, &err) == CIS_OK);
    cis_code code = CIS_OK;
    int done = 0;
    for (; code == CIS_OK && done < 1000; done++) {
        static char big[20000];
        char key[16];
        memset(big, 'x', sizeof big - 1);
        snprintf(key, sizeof key, "big%d", done);
        struct cis_kv_op op = store_put("a", key, big);
        code = store_apply(s, &op, 1, &err);
    }
    CHECK(code == CIS_E_STORE);
    CHECK(done > 1 && done < 1000);
    CHECK(get_one(s, "first", &err) == CIS_OK);
    CHECK(get_one(s, "big0", &err) == CIS_OK);
    cis_store_close(s);
    return 0;
}

static void a_full_disk_is_a_store_error_and_keeps_what_was_committed(void **state)
{
    struct fixture *f = *state;
    cis_store_close(f->store);
    f->store = NULL;
    in_child(f, fill_the_disk);
    reopen(f);
    char *value = store_get(f->store, "a", "first");
    assert_string_equal(value, "value one");
    free(value);
    value = store_get(f->store, "a", "big0");
    assert_non_null(value);
    free(value);
    assert_ok(put_one(f->store, "again", NULL, err));
}

static int write_read_only(struct fixture *f)
{
    struct cis_error err = {0};
    cis_store *s = NULL;
    if (geteuid() == 0 && setuid(65534) != 0) { /* for root nothing is read-only */
        return 2;
    }
    CHECK(cis_store_sqlite_open(f->dir, &s, &err) == CIS_OK);
    CHECK(put_one(s, "k", NULL, &err) == CIS_E_STORE);
    CHECK(strstr(err.msg, "readonly") != NULL);
    cis_store_close(s);
    return 0;
}

static void a_read_only_file_is_a_store_error(void **state)
{
    struct fixture *f = *state;
    cis_store_close(f->store);
    f->store = NULL;
    if (geteuid() == 0) {
        static const char *const names[] = {"", "/tenants", "/tenants/default.db",
                                            "/tenants/default.db-wal", "/tenants/default.db-shm"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            char path[600];
            snprintf(path, sizeof path, "%s%s", f->dir, names[i]);
            if (chown(path, 65534, 65534) != 0) {
                assert_int_equal(i, 4); /* the last connection took -shm away */
            }
        }
    }
    assert_int_equal(chmod(f->db, 0400), 0);
    in_child(f, write_read_only);
    if (geteuid() == 0) {
        assert_int_equal(chown(f->dir, 0, 0), 0);
    }
}

/* ---- locks ---- */

struct locker {
    sqlite3 *db;
};

static void lock_by_hand(struct locker *l, const char *path)
{
    assert_int_equal(sqlite3_open(path, &l->db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(l->db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
}

static void unlock_by_hand(struct locker *l)
{
    sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(l->db);
}

static void a_locked_database_is_waited_for_until_the_deadline(void **state)
{
    struct fixture *f = *state;
    struct locker l;
    lock_by_hand(&l, f->db);
    struct cis_stop stop;
    assert_waits(300 * CIS_NS_PER_MS, {
        stop = (struct cis_stop){cis_clock_after(cis_clock_mono_ns(), 300 * CIS_NS_PER_MS), NULL};
        assert_fails(CIS_E_DEADLINE, "time limit", put_one(f->store, "k", &stop, err));
    });
    assert_ok(get_one(f->store, "first", err)); /* readers are not in the way of a writer */
    unlock_by_hand(&l);
    assert_ok(put_one(f->store, "k", NULL, err));
}

struct writer {
    cis_store *store;
    struct cis_stop stop;
    cis_code code;
};

static void *write_in_thread(void *arg)
{
    struct writer *w = arg;
    w->code = put_one(w->store, "threaded", &w->stop, NULL);
    return NULL;
}

static void a_wait_for_a_lock_ends_when_cancelled(void **state)
{
    struct fixture *f = *state;
    struct locker l;
    lock_by_hand(&l, f->db);
    cis_cancel *cancel = NULL;
    assert_ok(cis_cancel_new(&cancel, err));
    struct writer leader = {f->store, {CIS_NEVER, cancel}, CIS_OK};
    struct writer follower = {f->store, {CIS_NEVER, cancel}, CIS_OK};
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, write_in_thread, &leader);
    pthread_create(&threads[1], NULL, write_in_thread, &follower);
    cis_cancel_fire(cancel);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_int_equal(leader.code, CIS_E_CANCELLED);
    assert_int_equal(follower.code, CIS_E_CANCELLED);
    unlock_by_hand(&l);
    cis_cancel_unref(cancel);
    char *value = store_get(f->store, "a", "threaded");
    assert_null(value);
}

static void a_waiting_write_goes_on_when_the_lock_is_released(void **state)
{
    struct fixture *f = *state;
    struct locker l;
    lock_by_hand(&l, f->db);
    struct writer w = {f->store, {CIS_NEVER, NULL}, CIS_E_INTERNAL};
    pthread_t thread;
    pthread_create(&thread, NULL, write_in_thread, &w);
    unlock_by_hand(&l);
    pthread_join(thread, NULL);
    assert_int_equal(w.code, CIS_OK);
}

/* A search over much text meets its deadline inside a statement. */
static void a_long_statement_is_interrupted_by_its_stop(void **state)
{
    struct fixture *f = *state;
    struct sql_conn *conn = NULL;
    struct cis_stop stop = {CIS_NEVER, NULL};
    assert_ok(cis_sql_take((struct sql_store *)f->store, T, true, &stop, &conn, err));
    stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(), 20 * CIS_NS_PER_MS);
    assert_fails(CIS_E_DEADLINE, "counting: time limit",
                 cis_sql_exec(conn,
                              "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                              "SELECT count(*) FROM n",
                              "counting", err));
    cis_sql_give(&conn);
    assert_ok(get_one(f->store, "first", err));
}

/* ---- two processes ---- */

#define PROCESS_WRITES 30

static int write_many(struct fixture *f)
{
    struct cis_error err = {0};
    cis_store *s = NULL;
    CHECK(cis_store_sqlite_open(f->dir, &s, &err) == CIS_OK);
    for (int i = 0; i < PROCESS_WRITES; i++) {
        char key[32];
        snprintf(key, sizeof key, "%d-%d", (int)getpid(), i);
        struct cis_run_row run;
        store_run_row(&run, "a", "ok");
        struct cis_kv_op op = store_put("p", key, "x");
        struct cis_store_commit c = {.run = &run, .kv = &op, .nkv = i % 2 != 0};
        /* A tenant of its own as well: both processes make it at the same time. */
        CHECK(cis_store_commit(s, CIS_STR("shared"), &c, NULL, &err) == CIS_OK);
    }
    cis_store_close(s);
    return 0;
}

static void processes_that_write_at_once_lose_nothing(void **state)
{
    struct fixture *f = *state;
    pid_t pids[4];
    cis_store_close(f->store);
    f->store = NULL;
    fflush(NULL);
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            _exit(write_many(f));
        }
    }
    for (int i = 0; i < 4; i++) {
        int status = 0;
        waitpid(pids[i], &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    reopen(f);
    uint64_t bytes, keys;
    assert_ok(
        cis_store_kv_usage(f->store, CIS_STR("shared"), CIS_VIEW_HEAD, &bytes, &keys, NULL, err));
    assert_int_equal(keys, 4 * PROCESS_WRITES / 2);
}

/* ---- the pool ---- */

static void more_tenants_than_connections_work(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < SQL_CONNECTIONS_MAX + 6; i++) {
            char name[16];
            snprintf(name, sizeof name, "t%u", i);
            struct cis_kv_op op = store_put("a", "k", name);
            struct cis_store_commit c = {.kv = &op, .nkv = 1};
            assert_ok(cis_store_commit(f->store, cis_str_of(name), &c, NULL, err));
        }
    }
    assert_true(((struct sql_store *)f->store)->open <= SQL_CONNECTIONS_MAX);
}

static void a_tenant_that_holds_all_its_connections_waits_in_time(void **state)
{
    struct fixture *f = *state;
    struct sql_store *s = (struct sql_store *)f->store;
    struct sql_conn *held[SQL_TENANT_CONNECTIONS_MAX] = {NULL};
    for (unsigned i = 0; i < SQL_TENANT_CONNECTIONS_MAX; i++) {
        assert_ok(cis_sql_take(s, T, true, NULL, &held[i], err));
    }
    struct cis_stop stop;
    struct sql_conn *more = NULL;
    assert_waits(300 * CIS_NS_PER_MS, {
        stop = (struct cis_stop){cis_clock_after(cis_clock_mono_ns(), 300 * CIS_NS_PER_MS), NULL};
        assert_fails(CIS_E_DEADLINE, "waiting for a store connection",
                     cis_sql_take(s, T, true, &stop, &more, err));
    });
    struct cis_kv_op op = store_put("a", "k", "v");
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(f->store, CIS_STR("other"), &c, NULL, err));
    for (unsigned i = 0; i < SQL_TENANT_CONNECTIONS_MAX; i++) {
        cis_sql_give(&held[i]);
    }
    assert_ok(put_one(f->store, "k", NULL, err));
}

static void old_run_records_are_forgotten(void **state)
{
    struct fixture *f = *state;
    struct cis_run_row run;
    struct cis_store_commit c = {.run = &run};
    store_run_row(&run, "a", "ok");
    assert_ok(cis_store_commit(f->store, T, &c, NULL, err));
    sql(f->db, "INSERT INTO run SELECT n + 20000, x'00', skill, status, exit_code, started_ms, "
               "ended_ms, version, report FROM run");
    char first[27];
    memcpy(first, run.id, sizeof first);
    for (int i = 0; i < 64; i++) {
        store_run_row(&run, "a", "ok");
        assert_ok(cis_store_commit(f->store, T, &c, NULL, err));
    }
    assert_fails(CIS_E_NOTFOUND, "no such run",
                 cis_store_run_get(f->store, T, cis_str_of(first), NULL, NULL, NULL, err));
}

/* ---- a deletion that was cut short ---- */

static void a_tenant_that_was_half_deleted_is_refused_and_can_be_made_again(void **state)
{
    struct fixture *f = *state;
    {
        CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
        assert_ok(cis_sql_take((struct sql_store *)f->store, T, true, NULL, &conn, err));
        assert_ok(cis_sql_exec(conn, "DELETE FROM tree; DELETE FROM lineage; DELETE FROM branch",
                               "marking", err));
    }
    assert_fails(CIS_E_NOTFOUND, "being deleted", put_one(f->store, "k", NULL, err));
    reopen(f);
    assert_fails(CIS_E_NOTFOUND, "being deleted", get_one(f->store, "first", err));
    struct cis_fs_ref ref;
    assert_fails(CIS_E_NOTFOUND, "being deleted",
                 cis_store_ref_get(f->store, T, CIS_STR(""), &ref, NULL, err));
    assert_ok(cis_store_tenant_create(f->store, T, 7, 8, NULL, err));
    assert_ok(put_one(f->store, "k", NULL, err));
    char *value = store_get(f->store, "a", "first");
    assert_null(value);
}

/* Else what was published to it would be read by the next tenant of its name. */
static void a_tenant_stays_as_long_as_what_was_published_to_it_cannot_be_taken_back(void **state)
{
    struct fixture *f = *state;
    const struct cis_store_fs_ops *fs = f->store->fs;
    struct cis_str bob = CIS_STR("bob");
    char away[600], log[600], log_away[620];
    assert_ok(fs->tenant_create(f->store, bob, 1, 1, NULL, err));
    assert_ok(fs->publish_put(f->store, T, CIS_STR("main"), &bob, 1, NULL, err));
    cis_store_close(f->store);
    f->store = NULL;
    snprintf(away, sizeof away, "%s/away", f->dir);
    snprintf(log, sizeof log, "%s-wal", f->db);
    snprintf(log_away, sizeof log_away, "%s-wal", away);
    assert_int_equal(rename(f->db, away), 0);
    bool has_log = rename(log, log_away) == 0;
    int fd = open(f->db, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_int_equal(write(fd, "this is no database", 19), 19);
    close(fd);
    reopen(f);
    assert_int_not_equal(fs->tenant_delete(f->store, bob, NULL, NULL), CIS_OK);
    assert_fails(CIS_E_EXISTS, "bob", fs->tenant_create(f->store, bob, 1, 1, NULL, err));
    cis_store_close(f->store);
    f->store = NULL;
    assert_int_equal(rename(away, f->db), 0);
    assert_true(!has_log || rename(log_away, log) == 0);
    reopen(f);
    assert_ok(fs->tenant_delete(f->store, bob, NULL, err));
    assert_ok(fs->tenant_create(f->store, bob, 1, 1, NULL, err));
}

/* Called for each unlink, before it. */
static void (*before_unlink)(const char *path);

int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path)
{
    if (before_unlink != NULL) {
        before_unlink(path);
    }
    return __real_unlink(path);
}

static struct {
    cis_store *store;
    int made; /* creations that were acknowledged */
} maker;

/* A connection to the file of before says that the tenant is deleted. It is, and made anew. */
static void who_makes_a_tenant_deletes_no_living_one(void **state)
{
    struct fixture *f = *state;
    struct cis_str bob = CIS_STR("bob");
    struct cis_tenant first, second, last;
    cis_store *other = NULL;
    assert_ok(cis_store_tenant_create(f->store, bob, 1, 1, NULL, err));
    assert_ok(cis_store_tenant_get(f->store, bob, &first, NULL, err));
    assert_ok(cis_store_sqlite_open(f->dir, &other, err));
    assert_ok(cis_store_tenant_delete(other, bob, NULL, err));
    assert_ok(cis_store_tenant_create(other, bob, 1, 1, NULL, err));
    assert_ok(cis_store_tenant_get(other, bob, &second, NULL, err));
    assert_string_not_equal(first.instance, second.instance);
    assert_fails(CIS_E_EXISTS, "bob", cis_store_tenant_create(f->store, bob, 1, 1, NULL, err));
    cis_store_close(other);
    reopen(f);
    assert_ok(cis_store_tenant_get(f->store, bob, &last, NULL, err));
    assert_string_equal(last.instance, second.instance);
}

/* Another process, which makes a tenant of the name as soon as that is possible. */
static void make_bob(const char *path)
{
    struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), 50 * CIS_NS_PER_MS), NULL};
    if (maker.made == 0 && strstr(path, "bob") != NULL && strstr(path, "-lock") == NULL) {
        void (*hook)(const char *) = before_unlink;
        before_unlink = NULL;
        maker.made +=
            cis_store_tenant_create(maker.store, CIS_STR("bob"), 1, 1, &stop, NULL) == CIS_OK;
        before_unlink = hook;
    }
}

static void the_next_tenant_of_the_name_keeps_its_files(void **state)
{
    struct fixture *f = *state;
    struct cis_str bob = CIS_STR("bob");
    struct cis_tenant there;
    assert_ok(cis_store_tenant_create(f->store, bob, 1, 1, NULL, err));
    assert_ok(cis_store_sqlite_open(f->dir, &maker.store, err));
    before_unlink = make_bob;
    assert_ok(cis_store_tenant_delete(f->store, bob, NULL, err));
    before_unlink = NULL;
    if (maker.made == 0) {
        assert_ok(cis_store_tenant_create(maker.store, bob, 1, 1, NULL, err));
    }
    assert_ok(cis_store_tenant_get(maker.store, bob, &there, NULL, err));
    assert_ok(cis_store_tenant_get(f->store, bob, &there, NULL, err));
    cis_store_close(maker.store);
    /* It is there for who comes anew, too, and it was not what somebody meant who waited. */
    reopen(f);
    assert_ok(cis_store_tenant_get(f->store, bob, &there, NULL, err));
    assert_ok(cis_store_tenant_delete(f->store, bob, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "bob", cis_store_tenant_delete(f->store, bob, NULL, err));
}

static void a_tenant_that_another_process_reads_is_deleted_in_two_steps(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(f->db, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM memory", NULL, NULL, NULL),
                     SQLITE_OK);
    struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), 300 * CIS_NS_PER_MS), NULL};
    assert_fails(CIS_E_CONFLICT, "delete it again",
                 cis_store_tenant_delete(f->store, T, &stop, err));
    assert_fails(CIS_E_NOTFOUND, "being deleted", get_one(f->store, "first", err));
    sqlite3_close_v2(db);
    assert_ok(cis_store_tenant_delete(f->store, T, NULL, err));
    assert_false(cis_file_exists(f->db));
}

/* ---- old versions of memory ---- */

static long long count_of(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    long long n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

static void old_versions_of_memory_are_squashed_in_short_transactions(void **state)
{
    struct fixture *f = *state;
    cis_store *s = f->store;
    for (int i = 0; i < 1300; i++) { /* one key of many versions among keys of few */
        char key[16], value[32];
        snprintf(key, sizeof key, "k%03d", i % 40);
        snprintf(value, sizeof value, "version number %d", i);
        struct cis_kv_op ops[] = {store_put("a", "many", value), store_put("a", key, value),
                                  store_del("a", "k007")};
        assert_ok(store_apply(s, ops, 3, err));
    }
    static const char rows[] = "SELECT count(*) FROM memory";
    long long before = count_of(f->db, rows);
    assert_true(before > 2600);
    struct cis_fs_ref ref;
    assert_ok(cis_store_ref_get(s, T, CIS_STR(""), &ref, NULL, err));
    assert_ok(cis_store_squash(
        s, T, &(struct cis_fs_squash_request){ref.head.branch, ref.head.epoch, NULL, 0}, NULL,
        err));
    uint64_t bytes, keys;
    assert_ok(cis_store_kv_usage(s, T, CIS_VIEW_HEAD, &bytes, &keys, NULL, err));
    assert_int_equal(keys, 41);
    assert_int_equal(count_of(f->db, rows), 41);
    assert_int_equal(count_of(f->db, "SELECT count(*) FROM memory WHERE gone"), 0);
    char *value = store_get(s, "a", "many");
    assert_string_equal(value, "version number 1299");
    free(value);
}

/* ---- SQLite's own allocations ---- */

static sqlite3_mem_methods real_mem;
static _Thread_local long sqlite_allocations_left = -1; /* -1: no limit */

static bool sqlite_fails(void)
{
    return sqlite_allocations_left >= 0 && sqlite_allocations_left-- == 0;
}

static void *failing_malloc(int n)
{
    return sqlite_fails() ? NULL : real_mem.xMalloc(n);
}

static void *failing_realloc(void *p, int n)
{
    return sqlite_fails() ? NULL : real_mem.xRealloc(p, n);
}

static void sqlite_can_run_out_of_memory(void)
{
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_mem), SQLITE_OK);
    sqlite3_mem_methods mine = real_mem;
    mine.xMalloc = failing_malloc;
    mine.xRealloc = failing_realloc;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &mine), SQLITE_OK);
}

static void when_sqlite_runs_out_of_memory_a_commit_is_there_or_not(void **state)
{
    struct fixture *f = *state;
    int failed = 0;
    for (long n = 0; n < 1500; n += 11) {
        char key[2][32];
        snprintf(key[0], sizeof key[0], "first%ld", n);
        snprintf(key[1], sizeof key[1], "second%ld", n);
        struct cis_kv_op ops[] = {store_put("a", key[0], "some text"),
                                  store_put("a", key[1], "more text")};
        struct cis_error err = {0};
        reopen(f);
        if (n % 2 != 0) { /* every second time with everything prepared already */
            assert_int_equal(put_one(f->store, "warm", NULL, &err), CIS_OK);
        }
        sqlite_allocations_left = n;
        cis_code code = store_apply(f->store, ops, 2, &err);
        sqlite_allocations_left = -1;
        if (code != CIS_OK && code != CIS_E_NOMEM && code != CIS_E_STORE) {
            fail_msg("allocation %ld: %s: %s", n, cis_code_name(code), err.msg);
        }
        char *first = store_get(f->store, "a", key[0]), *second = store_get(f->store, "a", key[1]);
        assert_int_equal(first != NULL, code == CIS_OK);
        assert_int_equal(second != NULL, code == CIS_OK);
        free(first);
        free(second);
        failed += code != CIS_OK;
    }
    assert_true(failed > 20);
    assert_ok(use_everything(f->store, err));
}

static uint64_t pages_kept(cis_store *store)
{
    CIS_CLEANUP(cis_sql_reader_give) struct sql_reader r = {.conn = NULL};
    sqlite3_stmt *st = NULL;
    assert_ok(
        cis_sql_reader_take((struct sql_store *)store, T, (struct cis_view){0, 0}, NULL, &r, err));
    assert_int_equal(sqlite3_prepare_v2(r.conn->db, "PRAGMA cache_size", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t kib = -sqlite3_column_int64(st, 0); /* negative: in KiB, and not in pages */
    sqlite3_finalize(st);
    assert_true(kib > 0);
    return (uint64_t)kib << 10;
}

static void readers_keep_as_many_pages_as_is_said(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint64_t said, kept; /* one reader has at most half */
    } rows[] = {{0, 64u << 20}, {4u << 20, 2u << 20}, {UINT64_MAX, 32ull << 30}, {1, 1024}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cis_store *store = NULL;
        assert_ok(cis_store_sqlite_open(f->dir, &store, err));
        cis_store_sqlite_pages(store, rows[i].said);
        assert_int_equal(pages_kept(store), rows[i].kept);
        cis_store_close(store);
    }
}

static const char *const statements[SQL_COUNT] = {
#define SQL(id, text) [SQL_##id] = (text),
#include "store/sqlite/statements.def"
#undef SQL
};

static void no_function(sqlite3_context *context, int n, sqlite3_value **values)
{
    (void)n;
    (void)values;
    sqlite3_result_null(context);
}

/* A branch that was rolled back a thousand times has a thousand rows in it for each. */
static void nothing_looks_through_all_lineages(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = NULL;
    size_t looked = 0;
    assert_int_equal(sqlite3_open_v2(f->db, &db, SQLITE_OPEN_READONLY, CIS_SQL_VFS), SQLITE_OK);
    assert_int_equal(
        sqlite3_create_function(db, "cis_pin_held", 1, SQLITE_UTF8, NULL, no_function, NULL, NULL),
        SQLITE_OK);
    for (size_t i = 0; i < SQL_COUNT; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
        sqlite3_stmt *plan = NULL;
        if (strstr(statements[i], "lineage") == NULL && i != SQL_BRANCH_USED) {
            continue;
        }
        cis_buf_printf(&text, "EXPLAIN QUERY PLAN %s", statements[i]);
        if (sqlite3_prepare_v2(db, cis_buf_cstr(&text), -1, &plan, NULL) != SQLITE_OK) {
            fail_msg("%s: %s", statements[i], sqlite3_errmsg(db));
        }
        while (sqlite3_step(plan) == SQLITE_ROW) {
            const char *line = (const char *)sqlite3_column_text(plan, 3);
            if (strcmp(line, "SCAN lineage") == 0 || strcmp(line, "SCAN l") == 0) {
                fail_msg("%s: %s", statements[i], line);
            }
        }
        sqlite3_finalize(plan);
        looked++;
    }
    assert_true(looked > 5);
    sqlite3_close(db);
}

int main(void)
{
    sqlite_can_run_out_of_memory();
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(files_are_for_the_owner_only),
        TEST(reading_makes_no_files),
        TEST(readers_keep_as_many_pages_as_is_said),
        TEST(the_first_reads_need_no_thread_and_share_a_connection_with_a_commit),
        TEST(a_database_opened_to_others_is_closed_again),
        TEST(a_folder_that_others_may_write_is_refused),
        TEST(a_folder_of_another_user_is_refused),
        TEST(a_symlinked_database_is_refused),
        TEST(the_settings_that_keep_a_hostile_file_harmless_are_on),
        TEST(a_newer_schema_is_refused_and_left_alone),
        TEST(a_schema_that_is_brought_forward_ends_the_writing_of_older_programs),
        TEST(a_file_of_another_program_is_refused),
        TEST(migration_climbs_step_by_step_and_a_failing_step_changes_nothing),
        TEST(a_damaged_file_is_a_store_error_and_never_a_crash),
        TEST(a_truncated_or_replaced_file_is_a_store_error),
        TEST(a_full_disk_is_a_store_error_and_keeps_what_was_committed),
        TEST(a_read_only_file_is_a_store_error),
        TEST(a_locked_database_is_waited_for_until_the_deadline),
        TEST(a_wait_for_a_lock_ends_when_cancelled),
        TEST(a_waiting_write_goes_on_when_the_lock_is_released),
        TEST(a_long_statement_is_interrupted_by_its_stop),
        TEST(processes_that_write_at_once_lose_nothing),
        TEST(more_tenants_than_connections_work),
        TEST(a_tenant_that_holds_all_its_connections_waits_in_time),
        TEST(old_run_records_are_forgotten),
        TEST(a_tenant_that_was_half_deleted_is_refused_and_can_be_made_again),
        TEST(a_tenant_stays_as_long_as_what_was_published_to_it_cannot_be_taken_back),
        TEST(who_makes_a_tenant_deletes_no_living_one),
        TEST(the_next_tenant_of_the_name_keeps_its_files),
        TEST(a_tenant_that_another_process_reads_is_deleted_in_two_steps),
        TEST(old_versions_of_memory_are_squashed_in_short_transactions),
        TEST(when_sqlite_runs_out_of_memory_a_commit_is_there_or_not),
        TEST(nothing_looks_through_all_lineages),
    };
    return cmocka_run_group_tests_name("store/sqlite", tests, NULL, NULL);
}
