/* What is true when a writer waits, on PostgreSQL: quotas, a tenant that is deleted meanwhile; and
 * what a database's own users may have changed: policies, old tokens. */
#include "harness.h"
#include "waits.h"

#include <pthread.h>
#include <unistd.h>
#include "store/postgres/postgres.h"
#include "tools/pgcluster.h"
#include "contract.h"
#include "tree.h"
#include "store/calls.h"

static struct pgcluster *cluster;

struct fixture {
    char *url, db[128];
    cis_store *s;
    PGconn *admin, *watch; /* what a transaction sees of others' waits does not change */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->url = pgcluster_store(cluster);
    const char *db = strchr(f->url + strlen("postgres://"), '/') + 1;
    snprintf(f->db, sizeof f->db, "%.*s", (int)strcspn(db, "?"), db);
    f->admin = pgcluster_connect(cluster, "postgres", f->db);
    f->watch = pgcluster_connect(cluster, "postgres", f->db);
    assert_ok(cis_store_postgres_open(f->url, NULL, &f->s, NULL, err));
    assert_ok(cis_store_tenant_create(f->s, T, 0, 0, NULL, err));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cis_store_close(f->s);
    PQfinish(f->admin);
    PQfinish(f->watch);
    pgcluster_drop(cluster, f->url);
    free(f);
    return 0;
}

static long number_on(PGconn *conn, const char *sql)
{
    PGresult *res = PQexec(conn, sql);
    if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    }
    long n = PQntuples(res) != 0 ? strtol(PQgetvalue(res, 0, 0), NULL, 10) : 0;
    PQclear(res);
    return n;
}

static long number(struct fixture *f, const char *sql)
{
    return number_on(f->admin, sql);
}

/* Until so many sessions of the database wait for a lock. */
static void wait_for_waiters(struct fixture *f, long n)
{
    assert_comes(number_on(f->watch,
                           "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = "
                           "'Lock' AND datname = current_database()") >= n);
}

struct call {
    cis_store *s;
    cis_code code;
    struct cis_error err;
};

static void *commit_file(void *arg)
{
    struct call *c = arg;
    struct tree *t = tree_new(c->s, "main");
    (void)tree_file(t, CIS_FS_ROOT, "waits", "of the branch's lock");
    c->code = tree_try(t, NULL, &c->err);
    return NULL;
}

static void a_quota_that_is_set_while_a_commit_waits_counts(void **state)
{
    struct fixture *f = *state;
    struct call call = {.s = f->s};
    pthread_t thread;
    struct tree *t = tree_new(f->s, "main");
    (void)tree_file(t, CIS_FS_ROOT, "first", "text");
    (void)tree_commit(t);
    (void)number(f, "BEGIN");
    (void)number(f, "SELECT 1 FROM cis.branch FOR UPDATE");
    assert_int_equal(pthread_create(&thread, NULL, commit_file, &call), 0);
    wait_for_waiters(f, 1);
    struct cis_tenant quota = {.quota_files = 1};
    assert_ok(cis_store_tenant_quota(f->s, T, &quota, NULL, err));
    (void)number(f, "COMMIT");
    pthread_join(thread, NULL);
    assert_int_equal(call.code, CIS_E_QUOTA);
}

static void *configure(void *arg)
{
    struct call *c = arg;
    struct cis_kv_op op = store_put("skill", "key", "value");
    c->code = cis_store_config_apply(c->s, T, &op, 1, NULL, &c->err);
    return NULL;
}

static void *delete_tenant(void *arg)
{
    struct call *c = arg;
    c->code = cis_store_tenant_delete(c->s, T, NULL, &c->err);
    return NULL;
}

/* One waits at its insert; the tenant is deleted meanwhile. */
static void nothing_is_written_to_a_tenant_that_is_deleted(void **state)
{
    struct fixture *f = *state;
    struct call write = {.s = f->s}, gone = {.s = f->s};
    pthread_t threads[2];
    (void)number(f, "BEGIN");
    (void)number(f, "LOCK TABLE cis.config IN SHARE MODE");
    assert_int_equal(pthread_create(&threads[0], NULL, configure, &write), 0);
    wait_for_waiters(f, 1);
    assert_int_equal(pthread_create(&threads[1], NULL, delete_tenant, &gone), 0);
    wait_for_waiters(f, 2);
    (void)number(f, "COMMIT");
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_int_equal(gone.code, CIS_OK);
    assert_int_equal(number(f, "SELECT count(*) FROM cis.config WHERE tenant NOT IN "
                               "(SELECT tenant FROM cis.tree)"),
                     0);
    assert_int_equal(number(f, "SELECT count(*) FROM cis.token WHERE tenant NOT IN "
                               "(SELECT tenant FROM cis.tree)"),
                     0);
}

static void note(void *self, bool bad, const char *what, const char *text)
{
    if (bad) {
        cis_buf_printf(self, "%s: %s\n", what, text);
    }
}

static void a_policy_that_lets_everybody_in_is_told(void **state)
{
    static const char *const doors[] = {
        "ALTER POLICY tenant ON cis.memory USING (true)",
        "ALTER POLICY tenant ON cis.inode WITH CHECK (true)",
        "CREATE POLICY more ON cis.chunk USING (true)",
        "ALTER POLICY reader ON cis.publish USING (true)",
        "ALTER POLICY directory ON cis.tenant TO PUBLIC",
    };
    static const char *const told[] = {"memory", "inode", "chunk (policy more)",
                                       "publish (policy reader)", "tenant"};
    struct fixture *f = *state;
    char *url = pgcluster_url(cluster, "postgres", f->db);
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
        assert_ok(cis_pg_admin_check(url, note, &out, NULL, err));
        if (i == 0) {
            assert_null(strstr(cis_buf_cstr(&out), "row security"));
        }
        (void)number(f, doors[i]);
        cis_buf_reset(&out);
        assert_ok(cis_pg_admin_check(url, note, &out, NULL, err));
        const char *at = strstr(cis_buf_cstr(&out), "row security: ");
        assert_non_null(at);
        assert_non_null(strstr(at, told[i]));
    }
    free(url);
}

/* A program that commits once and ends prunes too, and by the server's clock. */
static void old_tokens_go_whoever_commits(void **state)
{
    struct fixture *f = *state;
    (void)number(f, "INSERT INTO cis.token (tenant, token, fenced, at_ms) SELECT t.tenant, "
                    "decode(md5(n::text), 'hex'), 0, 1000 FROM cis.tree t, "
                    "generate_series(1, 500) n");
    for (int i = 0; i < 3000; i++) {
        struct cis_kv_op op = store_put("a", "k", "v");
        assert_ok(store_apply(f->s, &op, 1, err));
        if (i % 50 == 49 && number(f, "SELECT count(*) FROM cis.token WHERE at_ms = 1000") == 0) {
            assert_true(number(f, "SELECT count(*) FROM cis.token") > i / 2); /* young ones stay */
            return;
        }
        if (i % 50 == 25) { /* another process */
            cis_store_close(f->s);
            assert_ok(cis_store_postgres_open(f->url, NULL, &f->s, NULL, err));
        }
    }
    fail_msg("nobody pruned");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_quota_that_is_set_while_a_commit_waits_counts),
        TEST(nothing_is_written_to_a_tenant_that_is_deleted),
        TEST(a_policy_that_lets_everybody_in_is_told),
        TEST(old_tokens_go_whoever_commits),
    };
    cluster = pgcluster_start(NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pgcluster_stop(cluster);
    return failed;
}
