/* What is PostgreSQL's alone: who sees what, as whom statements run, stops while waiting for locks,
 * the schema, URLs, and commits whose connection is cut or whose server is killed. */
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "store/chunk.h"
#include "store/cost.h"
#include "store/postgres/internal.h"
#include "tools/pgcluster.h"
#include "tools/pgproxy.h"
#include "contract.h"
#include "store/calls.h"

static struct pgcluster *cluster;
static int rounds = 4; /* of killed servers */

struct fixture {
    char *url;
    cis_store *s;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->url = pgcluster_store(cluster);
    assert_ok(cis_store_postgres_open(f->url, NULL, &f->s, NULL, err));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cis_store_close(f->s);
    pgcluster_drop(cluster, f->url);
    free(f);
    return 0;
}

/* ---- raw connections ---- */
static const char *db_of(const struct fixture *f, char out[32])
{
    const char *name = strstr(f->url, "@/") + 2;
    snprintf(out, 32, "%.*s", (int)strcspn(name, "?"), name);
    return out;
}

static PGconn *raw(const struct fixture *f, const char *user)
{
    char db[32];
    return pgcluster_connect(cluster, user, db_of(f, db));
}

/* The first value as text, malloc'ed, or how many rows were changed; the statement succeeds. */
static __attribute__((format(printf, 2, 0))) char *value_v(PGconn *conn, const char *fmt,
                                                           va_list args)
{
    char sql[4096];
    vsnprintf(sql, sizeof sql, fmt, args);
    PGresult *res = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(res);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    }
    char *out = strdup(PQntuples(res) != 0 ? PQgetvalue(res, 0, 0) : PQcmdTuples(res));
    PQclear(res);
    return out;
}

static __attribute__((format(printf, 2, 3))) char *value(PGconn *conn, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = value_v(conn, fmt, args);
    va_end(args);
    return text;
}

static __attribute__((format(printf, 2, 3))) long number(PGconn *conn, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = value_v(conn, fmt, args);
    va_end(args);
    long n = strtol(text, NULL, 10);
    free(text);
    return n;
}

static void run(PGconn *conn, const char *sql)
{
    free(value(conn, "%s", sql));
}

static void assert_refused(PGconn *conn, const char *sql, const char *sqlstate)
{
    PGresult *res = PQexec(conn, sql);
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    if (state == NULL || strcmp(state, sqlstate) != 0) {
        fail_msg("%s: got %s (%s)", sql, state != NULL ? state : "success", PQerrorMessage(conn));
    }
    PQclear(res);
}

/* ---- isolation ---- */
/* At least one row in every table that has a tenant. */
static void fill(cis_store *s, struct cis_str tenant)
{
    struct cis_run_row row;
    uint8_t packed[CIS_CHUNK_PACKED_MAX];
    cis_chunk_codec *codec = NULL;
    store_run_row(&row, "a", "ok");
    struct cis_kv_op kv = store_put("a", "k", "secret"), config = store_put("a", "mode", "x");
    struct cis_store_commit c = {.run = &row, .kv = &kv, .nkv = 1, .config = &config, .nconfig = 1};
    assert_ok(cis_store_commit(s, tenant, &c, NULL, err));
    struct cis_skill_row skill = {.name = CIS_STR("web"), .version = CIS_STR("1")};
    assert_ok(store_skill_add(s, tenant, &skill, err));
    assert_ok(cis_chunk_codec_new(&codec, err));
    struct cis_fs_chunk chunk = {.hash = {1}};
    size_t n = cis_chunk_pack(codec, cis_bytes_of("some content", 12), false, packed);
    chunk.packed = cis_bytes_of(packed, n);
    cis_chunk_codec_free(codec);
    uint64_t id = 0, ino = 0, pin = 0;
    assert_ok(cis_store_chunk_put(s, tenant, &(struct cis_fs_put_request){&chunk, 1, false}, &id,
                                  NULL, err));
    assert_ok(cis_store_reserve_inodes(s, tenant, 1, &ino, NULL, err));
    struct cis_fs_ref ref;
    assert_ok(cis_store_ref_get(s, tenant, CIS_STR(""), &ref, NULL, err));
    struct cis_fs_dirent dirent = {
        .parent = 1, .ino = ino, .mode = 0100000, .name = CIS_STR("file")};
    struct cis_fs_change change = {
        .kind = CIS_FS_PUT,
        .is_new = true,
        .inode = {.ino = ino, .mode = 0100644, .nlink = 1, .size = 12, .stored = 65536}};
    struct cis_fs_delta delta = {.ino = 1};
    struct cis_fs_new_extent extent = {.ino = ino, .chunk = id, .new_chunk = -1};
    struct cis_fs_commit fs = {.base = ref.head,
                               .dirents = &dirent,
                               .ndirents = 1,
                               .changes = &change,
                               .nchanges = 1,
                               .deltas = &delta,
                               .ndeltas = 1,
                               .extents = &extent,
                               .nextents = 1,
                               .files = 1,
                               .bytes = 12};
    c = (struct cis_store_commit){.fs = &fs, .kind = "fs"};
    assert_ok(cis_store_commit(s, tenant, &c, NULL, err));
    struct cis_fs_snapshot snapshot = {.name = "snap", .view = ref.head};
    assert_ok(cis_store_snapshot_put(s, tenant, &snapshot, NULL, err));
    assert_ok(cis_store_pin(s, tenant, &(struct cis_fs_pin_request){ref.head, 0, 600000}, &pin,
                            NULL, err));
    struct cis_str side = CIS_STR("side"), reader = CIS_STR("reader");
    assert_ok(cis_store_fork(s, tenant, ref.head, &side, 1, NULL, err));
    cis_code code = cis_store_tenant_create(s, reader, 0, 0, NULL, NULL);
    assert_true(code == CIS_OK || code == CIS_E_EXISTS);
    assert_ok(cis_store_publish_put(s, tenant, side, &reader, 1, NULL, err));
}

#define TABLES                                                                                     \
    "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class c WHERE relkind = 'r' AND "    \
    "relnamespace = 'cis'::regnamespace AND EXISTS (SELECT 1 FROM pg_attribute a WHERE "           \
    "a.attrelid = c.oid AND a.attname = 'tenant')"

/* One table, seen with another tenant's setting. */
static void assert_shut(PGconn *admin, PGconn *app, const char *table, const char *victim)
{
    assert_true(number(admin, "SELECT count(*) FROM cis.%s WHERE tenant = %s", table, victim) > 0);
    assert_int_equal(number(app, "SELECT count(*) FROM cis.%s WHERE tenant = %s", table, victim),
                     0);
    long all = number(app,
                      "SELECT count(*) FROM cis.%s WHERE tenant = "
                      "current_setting('cis.tenant')::bigint",
                      table);
    assert_int_equal(number(app, "SELECT count(*) FROM cis.%s", table), all);
    assert_int_equal(
        number(app, "UPDATE cis.%s SET tenant = tenant WHERE tenant = %s", table, victim), 0);
    assert_int_equal(number(app, "DELETE FROM cis.%s WHERE tenant = %s", table, victim), 0);
    char sql[512];
    char *row = value(admin, "SELECT to_json(x)::text FROM cis.%s x WHERE tenant = %s LIMIT 1",
                      table, victim);
    char *quoted = PQescapeLiteral(app, row, strlen(row));
    char *insert = NULL;
    assert_true(asprintf(&insert,
                         "INSERT INTO cis.%s OVERRIDING SYSTEM VALUE SELECT * FROM "
                         "json_populate_record(NULL::cis.%s, %s)",
                         table, table, quoted) > 0);
    assert_refused(app, insert, "42501");
    if (all > 0) { /* one of its own may not be given away either */
        snprintf(sql, sizeof sql, "UPDATE cis.%s SET tenant = %s", table, victim);
        assert_refused(app, sql, "42501");
    }
    PQfreemem(quoted);
    free(insert);
    free(row);
}

static void with_another_tenants_setting_nothing_is_seen_or_written(void **state)
{
    struct fixture *f = *state;
    fill(f->s, CIS_STR("victim"));
    fill(f->s, CIS_STR("other"));
    PGconn *admin = raw(f, "postgres"), *app = raw(f, "worker");
    char *victim = value(admin, "SELECT id FROM cis.tenant WHERE name = 'victim'");
    char *tables = value(admin, TABLES);
    int n = 0;
    for (int as_role = 0; as_role < 2; as_role++) {
        if (as_role == 1) {
            run(app, "SET ROLE cis_app");
        }
        free(value(app, "SELECT set_config('cis.tenant', cis.tenant_id('other')::text, false)"));
        CIS_CLEANUP(cis_freep) char *list = cis_strdup(tables);
        struct cis_str rest = cis_str_of(list), table;
        for (bool more = true; more; n++) {
            char name[64];
            more = cis_str_split(&rest, ' ', &table);
            snprintf(name, sizeof name, "%.*s", (int)table.len, table.ptr);
            assert_shut(admin, app, name, victim);
        }
    }
    assert_true(n >= 2 * 16);
    assert_refused(app, "SELECT * FROM cis.tenant", "42501");
    assert_refused(app, "UPDATE cis.schema SET version = 9", "42501");
    assert_refused(app, "CREATE TABLE cis.mine (n int)", "42501");
    assert_refused(app, "ALTER TABLE cis.memory NO FORCE ROW LEVEL SECURITY", "42501");
    PQfinish(admin);
    PQfinish(app);
    free(victim);
    free(tables);
}

/* A reader's session sees that it may ask, and nothing of what it may ask for: that is read in
 * sessions of the publisher's. */
static void a_reader_sees_what_is_published_to_it_and_writes_none_of_it(void **state)
{
    struct fixture *f = *state;
    struct cis_str victim = CIS_STR("victim"), other = CIS_STR("other");
    fill(f->s, victim); /* "side" is published to "reader" */
    assert_ok(cis_store_tenant_create(f->s, other, 0, 0, NULL, err));
    assert_ok(cis_store_publish_put(f->s, victim, CIS_STR("side"), &other, 1, NULL, err));
    assert_ok(cis_store_publish_put(f->s, victim, CIS_STR("main"), &other, 1, NULL, err));
    assert_ok(cis_store_publish_remove(f->s, victim, CIS_STR("main"), &other, 1, NULL, err));
    PGconn *admin = raw(f, "postgres"), *app = raw(f, "worker");
    char *id = value(admin, "SELECT id FROM cis.tenant WHERE name = 'victim'");
    char *tables = value(admin, TABLES), insert[512];
    assert_int_equal(number(admin, "SELECT count(*) FROM cis.publish"), 3);
    free(value(app, "SELECT set_config('cis.tenant', cis.tenant_id('other')::text, false)"));
    assert_int_equal(number(app, "SELECT count(*) FROM cis.publish WHERE ref = 'side'"), 1);
    struct cis_str rest = cis_str_of(tables), table;
    for (bool more = true; more;) {
        more = cis_str_split(&rest, ' ', &table);
        assert_int_equal(number(app, "SELECT count(*) FROM cis.%.*s WHERE tenant = %s",
                                (int)table.len, table.ptr, id),
                         cis_str_is(table, "publish") ? 1 : 0);
    }
    assert_int_equal(number(app, "UPDATE cis.publish SET ended_ms = 1, since_ms = 1"), 0);
    assert_int_equal(number(app, "UPDATE cis.publish SET ref = 'main' WHERE ref = 'side'"), 0);
    assert_int_equal(number(app, "DELETE FROM cis.publish"), 0);
    assert_int_equal(number(app, "SELECT count(*) FROM (SELECT 1 FROM cis.publish FOR UPDATE) x"),
                     0); /* nor can it keep the publisher waiting */
    snprintf(insert, sizeof insert,
             "INSERT INTO cis.publish (tenant, ref, reader, since_ms, ended_ms) "
             "VALUES (%s, 'main', cis.tenant_id('other'), 0, 0)",
             id);
    assert_refused(app, insert, "42501");
    snprintf(insert, sizeof insert,
             "INSERT INTO cis.publish (tenant, ref, reader, since_ms, ended_ms) VALUES "
             "(cis.tenant_id('other'), 'side', cis.tenant_id('other'), 0, 0)");
    assert_refused(app, insert, "23503"); /* a branch of somebody else's is none of its own */
    free(value(app, "SELECT set_config('cis.tenant', cis.tenant_id('reader')::text, false)"));
    assert_int_equal(number(app, "SELECT count(*) FROM cis.publish"), 1);
    assert_int_equal(number(admin, "SELECT count(*) FROM cis.publish"), 3);
    PQfinish(admin);
    PQfinish(app);
    free(id);
    free(tables);
}

static void without_a_tenant_every_statement_fails(void **state)
{
    struct fixture *f = *state;
    fill(f->s, CIS_STR("victim"));
    PGconn *app = raw(f, "worker");
    assert_refused(app, "SELECT * FROM cis.memory", "42704");
    assert_refused(app, "DELETE FROM cis.dirent", "42704");
    run(app, "SET cis.tenant = '1'");
    run(app, "RESET cis.tenant"); /* now it is there, and empty */
    assert_refused(app, "SELECT * FROM cis.memory", "22P02");
    PQfinish(app);
}

/* Every change of every table is made as cis_app, which owns nothing. */
static void all_work_is_done_as_a_role_that_owns_nothing(void **state)
{
    struct fixture *f = *state;
    PGconn *admin = raw(f, "postgres");
    run(admin, "CREATE FUNCTION public.as_app() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
               "IF current_user <> 'cis_app' THEN RAISE 'as %', current_user; END IF; "
               "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$");
    char *tables = value(admin, TABLES);
    struct cis_str rest = cis_str_of(tables), table;
    for (bool more = true; more;) {
        more = cis_str_split(&rest, ' ', &table);
        free(value(admin,
                   "CREATE TRIGGER watch BEFORE INSERT OR UPDATE OR DELETE ON cis.%.*s "
                   "FOR EACH ROW EXECUTE FUNCTION public.as_app()",
                   (int)table.len, table.ptr));
    }
    fill(f->s, CIS_STR("default"));
    assert_refused(admin, "DELETE FROM cis.memory", "P0001"); /* the watch works */
    char *owned = value(admin, "SELECT count(*) FROM pg_class WHERE relowner = "
                               "'cis_app'::regrole");
    assert_string_equal(owned, "0");
    free(owned);
    free(tables);
    PQfinish(admin);
}

static void a_user_without_the_role_is_refused(void **state)
{
    struct fixture *f = *state;
    char db[32];
    cis_store *s = NULL;
    PGconn *admin = raw(f, "postgres");
    run(admin,
        "DO $$ BEGIN CREATE ROLE stranger LOGIN; EXCEPTION WHEN duplicate_object THEN END $$");
    PQfinish(admin);
    char *url = pgcluster_url(cluster, "stranger", db_of(f, db));
    assert_fails(CIS_E_DENIED, "cis_app", cis_store_postgres_open(url, NULL, &s, NULL, err));
    free(url);
}

/* ---- stops ---- */
struct late {
    cis_cancel *cancel;
    long ms;
};

static void *fire_late(void *arg)
{
    struct late *l = arg;
    struct timespec t = {0, l->ms * 1000000};
    nanosleep(&t, NULL);
    cis_cancel_fire(l->cancel);
    return NULL;
}

static void a_wait_for_a_lock_ends_with_the_stop_and_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    struct cis_kv_op op = store_put("a", "k", "v");
    assert_ok(store_apply(f->s, &op, 1, err));
    PGconn *admin = raw(f, "postgres");
    run(admin, "BEGIN");
    run(admin, "SELECT 1 FROM cis.branch FOR UPDATE");
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    for (int i = 0; i < 24; i++) { /* more often than there are connections */
        struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), 20 * CIS_NS_PER_MS), NULL};
        assert_fails(CIS_E_DEADLINE, "time limit", cis_store_commit(f->s, T, &c, &stop, err));
    }
    struct late late = {.ms = 50};
    pthread_t thread;
    assert_ok(cis_cancel_new(&late.cancel, err));
    assert_int_equal(pthread_create(&thread, NULL, fire_late, &late), 0);
    struct cis_stop stop = {CIS_NEVER, late.cancel};
    uint64_t before = cis_clock_mono_ns();
    assert_fails(CIS_E_CANCELLED, "cancelled", cis_store_commit(f->s, T, &c, &stop, err));
    assert_true(cis_clock_mono_ns() - before < 5 * CIS_NS_PER_S);
    pthread_join(thread, NULL);
    cis_cancel_unref(late.cancel);
    run(admin, "ROLLBACK");
    assert_ok(store_apply(f->s, &op, 1, err));
    char *busy = value(admin, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'worker' AND "
                              "state LIKE '%%transaction%%'");
    assert_string_equal(busy, "0");
    free(busy);
    PQfinish(admin);
}

static void a_full_pool_is_waited_for_until_the_deadline(void **state)
{
    struct fixture *f = *state;
    struct cis_store_postgres_options o = CIS_STORE_POSTGRES_OPTIONS_INIT;
    cis_store *s = NULL;
    o.connections = 1;
    assert_ok(cis_store_postgres_open(f->url, &o, &s, NULL, err));
    struct cis_kv_op op = store_put("a", "k", "v");
    assert_ok(store_apply(s, &op, 1, err));
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(s, CIS_STR("another"), &c, NULL, err)); /* bound anew each time */
    char *text = store_get(s, "a", "k");
    assert_string_equal(text, "v");
    free(text);
    cis_store_close(s);
}

/* ---- schema ---- */
static void note(void *self, bool bad, const char *what, const char *text)
{
    if (bad) {
        cis_buf_printf(self, "%s: %s\n", what, text);
    }
}

static void init_is_repeatable_and_check_says_what_is_missing(void **state)
{
    struct fixture *f = *state;
    char db[32];
    int version = 0, from = 0;
    char *url = pgcluster_url(cluster, "postgres", db_of(f, db));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_ok(cis_pg_admin_init(url, NULL, &version, NULL, err));
    assert_int_equal(version, cis_pg_schema_version());
    assert_ok(cis_pg_admin_migrate(url, &from, &version, NULL, err));
    assert_int_equal(from, version);
    assert_fails(CIS_E_NOTFOUND, "no role ghost",
                 cis_pg_admin_init(url, "ghost", &version, NULL, err));
    assert_ok(cis_pg_admin_check(url, note, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), "fsync: off: has to be on (a commit has to be on the "
                                            "disk)\n");
    PGconn *admin = raw(f, "postgres");
    run(admin, "ALTER TABLE cis.memory NO FORCE ROW LEVEL SECURITY");
    run(admin, "ALTER TABLE cis.inode DISABLE ROW LEVEL SECURITY");
    cis_buf_reset(&out);
    assert_ok(cis_pg_admin_check(url, note, &out, NULL, err));
    assert_non_null(strstr(cis_buf_cstr(&out), "row security: not forced on: inode memory\n"));
    PQfinish(admin);
    free(url);
    url = pgcluster_url(cluster, "postgres", "postgres");
    cis_buf_reset(&out);
    assert_ok(cis_pg_admin_check(url, note, &out, NULL, err));
    assert_non_null(strstr(cis_buf_cstr(&out), "schema: no store of cis in this database"));
    assert_fails(CIS_E_NOTFOUND, "no store", cis_pg_admin_migrate(url, &from, &version, NULL, err));
    cis_store *s = NULL;
    assert_fails(CIS_E_STORE, "cis store init", cis_store_postgres_open(url, NULL, &s, NULL, err));
    free(url);
}

/* The schema as the first release made it, without content. */
static void make_version_1(PGconn *admin)
{
    run(admin, "SET client_min_messages = error");
    run(admin, "DROP SCHEMA cis CASCADE");
    run(admin, "CREATE SCHEMA cis AUTHORIZATION cis_owner");
    run(admin, "SET ROLE cis_owner");
    run(admin, "GRANT USAGE ON SCHEMA cis TO cis_app");
    for (const char *const *at = cis_pg_schema_steps[0]; *at != NULL; at++) {
        run(admin, *at);
    }
    run(admin, "INSERT INTO cis.schema (one, version) VALUES (true, 1)");
    run(admin, "RESET ROLE");
}

/* What a user may plant who may create in public and in temporary schemas: functions and operators
 * that fit the arguments of statements better than PostgreSQL's own, and tables of used names. Each
 * writes into public.called who called it. */
static void plant(const struct fixture *f, PGconn *admin)
{
    static const char *const trap =
        "LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.called VALUES (current_user::text); ";
    char db[32];
    run(admin, "GRANT CREATE ON SCHEMA public TO PUBLIC");
    free(value(admin, "ALTER DATABASE %s SET search_path = public, pg_catalog", db_of(f, db)));
    PGconn *user = raw(f, "worker");
    run(user, "CREATE TABLE public.called (who text)");
    run(user, "GRANT ALL ON public.called TO PUBLIC");
    free(value(user,
               "CREATE FUNCTION public.convert_to(a text, b text) RETURNS bytea %s"
               "RETURN pg_catalog.convert_to(a, b::name); END $$",
               trap));
    free(value(user,
               "CREATE FUNCTION public.set_config(a text, b text, c boolean) RETURNS text %s"
               "RETURN pg_catalog.set_config(a, b, c); END $$",
               trap));
    free(value(user,
               "CREATE FUNCTION public.current_setting(a text) RETURNS text %s"
               "RETURN pg_catalog.current_setting(a); END $$",
               trap));
    free(value(user,
               "CREATE FUNCTION public.plus(a bigint, b bigint) RETURNS bigint %s"
               "RETURN pg_catalog.int8pl(a, b); END $$",
               trap));
    free(value(user,
               "CREATE FUNCTION public.same(a bigint, b bigint) RETURNS boolean %s"
               "RETURN pg_catalog.int8eq(a, b); END $$",
               trap));
    run(user,
        "CREATE OPERATOR public.+ (FUNCTION = public.plus, LEFTARG = bigint, RIGHTARG = bigint)");
    run(user,
        "CREATE OPERATOR public.= (FUNCTION = public.same, LEFTARG = bigint, RIGHTARG = bigint)");
    run(user, "CREATE TABLE public.pg_roles (oid oid, rolname name, rolsuper boolean, "
              "rolbypassrls boolean)");
    run(user, "CREATE TABLE public.pg_class (oid oid, relname name, relowner oid)");
    PQfinish(user);
}

static void assert_uncalled(PGconn *admin, const char *when)
{
    char *who = value(admin, "SELECT pg_catalog.string_agg(DISTINCT who, ' ') FROM public.called");
    if (*who != 0) {
        fail_msg("%s: a function of a user was called as %s", when, who);
    }
    free(who);
}

static void what_a_user_plants_in_public_no_session_of_cis_runs(void **state)
{
    struct fixture *f = *state;
    char db[32];
    int version = 0, from = 0;
    struct cis_backup_target *target = NULL;
    char *url = pgcluster_url(cluster, "postgres", db_of(f, db));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    PGconn *admin = raw(f, "postgres");
    run(admin, "SET search_path = pg_catalog");
    plant(f, admin);
    PGconn *victim = raw(f, "postgres"); /* the trap works: a plain session falls into it */
    PGresult *res =
        PQexec(victim, "SELECT convert_to('a'::text, 'UTF8'::text), 1::bigint + 2::bigint");
    assert_int_equal(PQresultStatus(res), PGRES_TUPLES_OK);
    PQclear(res);
    PQfinish(victim);
    assert_int_equal(number(admin, "SELECT count(*) FROM public.called"), 2);
    run(admin, "TRUNCATE public.called");

    assert_ok(cis_pg_admin_init(url, "worker", &version, NULL, err));
    assert_uncalled(admin, "init");
    assert_ok(cis_pg_admin_migrate(url, &from, &version, NULL, err));
    assert_uncalled(admin, "migrate");
    assert_ok(cis_pg_admin_check(url, note, &out, NULL, err));
    assert_uncalled(admin, "check");
    assert_null(strstr(cis_buf_cstr(&out), "role"));
    cis_store *s = NULL;
    assert_ok(cis_store_postgres_open(f->url, NULL, &s, NULL, err));
    fill(s, CIS_STR("mallory"));
    cis_store_close(s);
    assert_uncalled(admin, "an ordinary session");
    make_version_1(admin);
    run(admin, "SET search_path = pg_catalog");
    assert_ok(cis_pg_admin_migrate(url, &from, &version, NULL, err));
    assert_uncalled(admin, "migrate from the first version");
    PQfinish(admin);
    assert_ok(cis_pg_restore(url, false, &target, NULL, err));
    struct cis_backup_counts none = {0};
    assert_ok(target->done(target, &none, NULL, err));
    target->free(target);
    admin = raw(f, "postgres");
    run(admin, "SET search_path = pg_catalog");
    assert_uncalled(admin, "restore");
    PQfinish(admin);
    free(url);
}

static void the_triggers_run_nothing_of_a_user_in_any_session(void **state)
{
    struct fixture *f = *state;
    char db[32];
    PGconn *admin = raw(f, "postgres");
    fill(f->s, CIS_STR("victim"));
    plant(f, admin);
    PQfinish(admin);
    admin = pgcluster_connect(cluster, "postgres", db_of(f, db));
    free(value(admin,
               "SELECT pg_catalog.set_config('cis.tenant', tenant::text, false) FROM cis.tree"));
    run(admin, "TRUNCATE public.called");
    run(admin, "DELETE FROM cis.memory");
    run(admin, "SELECT cis.settle(2, 0)");
    run(admin, "SET search_path = pg_catalog");
    assert_uncalled(admin, "a statement of an administrator");
    PQfinish(admin);
}

static void assert_check_says(const char *url, const char *text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_ok(cis_pg_admin_check(url, note, &out, NULL, err));
    if (strstr(cis_buf_cstr(&out), text) == NULL) {
        fail_msg("no \"%s\" in: %s", text, cis_buf_cstr(&out));
    }
}

static void check_compares_functions_and_triggers_word_for_word(void **state)
{
    struct fixture *f = *state;
    char db[32];
    char *url = pgcluster_url(cluster, "postgres", db_of(f, db));
    PGconn *admin = raw(f, "postgres");
    run(admin, "CREATE OR REPLACE FUNCTION cis.tenant_id(wanted bytea) RETURNS bigint STABLE "
               "LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS "
               "$$ SELECT 1::bigint $$");
    assert_check_says(url, "functions: not as cis made them: tenant_id (another body)\n");
    run(admin, "DROP FUNCTION cis.tenant_id");
    run(admin, "ALTER FUNCTION cis.count_memory() RESET search_path");
    run(admin, "ALTER FUNCTION cis.count_run() SECURITY DEFINER");
    run(admin, "ALTER FUNCTION cis.count_chunk() OWNER TO postgres");
    run(admin, "GRANT EXECUTE ON FUNCTION cis.count_ref() TO PUBLIC");
    run(admin, "CREATE FUNCTION cis.extra() RETURNS bigint LANGUAGE sql AS $$ SELECT 1::bigint $$");
    run(admin, "ALTER TABLE cis.memory DISABLE TRIGGER count_add");
    run(admin, "DROP TRIGGER count_add ON cis.run");
    run(admin, "CREATE TRIGGER more AFTER DELETE ON cis.memory REFERENCING OLD TABLE AS moved "
               "FOR EACH STATEMENT EXECUTE FUNCTION cis.count_memory()");
    run(admin, "DROP TRIGGER count_remove ON cis.ref");
    run(admin, "CREATE TRIGGER count_remove AFTER INSERT ON cis.ref REFERENCING NEW TABLE AS moved "
               "FOR EACH STATEMENT EXECUTE FUNCTION cis.count_ref()");
    /* At the right time, but another function; and one of the right name, but not of cis. */
    run(admin, "DROP TRIGGER count_remove ON cis.memory");
    run(admin, "CREATE TRIGGER count_remove AFTER DELETE ON cis.memory REFERENCING OLD TABLE AS "
               "moved FOR EACH STATEMENT EXECUTE FUNCTION cis.count_run()");
    run(admin, "CREATE FUNCTION public.count_ref() RETURNS trigger LANGUAGE plpgsql AS "
               "$$ BEGIN RETURN NULL; END $$");
    run(admin, "DROP TRIGGER count_add ON cis.ref");
    run(admin, "CREATE TRIGGER count_add AFTER INSERT ON cis.ref REFERENCING NEW TABLE AS moved "
               "FOR EACH STATEMENT EXECUTE FUNCTION public.count_ref()");
    assert_check_says(
        url,
        " count_chunk (not owned by cis_owner) count_memory (no fixed search "
        "path) count_ref (everybody may call it) count_run (runs as somebody "
        "else) extra (not of cis) tenant_id (missing) memory.count_add (trigger "
        "that is off or not of cis) memory.count_remove (trigger that is off or not of cis) "
        "memory.more (trigger that is off or not of cis) ref.count_add (trigger that is off or not "
        "of cis) ref.count_remove (trigger that is off or not of cis) triggers (some are "
        "missing)\n");
    PQfinish(admin);
    free(url);
}

static void another_schema_version_is_refused_also_while_open(void **state)
{
    struct fixture *f = *state;
    cis_store *s = NULL;
    struct cis_kv_op op = store_put("a", "k", "v");
    assert_ok(store_apply(f->s, &op, 1, err));
    PGconn *admin = raw(f, "postgres");
    run(admin, "UPDATE cis.schema SET version = 99");
    assert_fails(CIS_E_STORE, "changed to another version", store_apply(f->s, &op, 1, err));
    assert_fails(CIS_E_STORE, "schema version 99",
                 cis_store_postgres_open(f->url, NULL, &s, NULL, err));
    free(value(admin, "UPDATE cis.schema SET version = %d", cis_pg_schema_version()));
    assert_ok(store_apply(f->s, &op, 1, err));
    PQfinish(admin);
}

/* A version that was released never changes. */
static void assert_as_released(int version, const char *expected)
{
    uint8_t hash[CIS_SHA256_BYTES];
    char text[2 * CIS_SHA256_BYTES + 1];
    CIS_CLEANUP(cis_buf_done) struct cis_buf all = CIS_BUF_INIT(1u << 20);
    for (const char *const *at = cis_pg_schema_steps[version - 1]; *at != NULL; at++) {
        cis_buf_text(&all, *at);
        cis_buf_byte(&all, '\n');
    }
    cis_sha256(cis_buf_bytes(&all), hash);
    for (size_t i = 0; i < sizeof hash; i++) {
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
    }
    assert_string_equal(text, expected);
}

static void a_store_of_the_first_schema_migrates_with_all_that_it_holds(void **state)
{
    struct fixture *f = *state;
    struct cis_str victim = CIS_STR("victim"), bob = CIS_STR("bob"), side = CIS_STR("side");
    struct cis_fs_ref ref;
    char db[32];
    int from = 0, to = 0;
    uint64_t pin = 0;
    cis_store *s = NULL;
    assert_as_released(1, "6a9f3098223b07dfb993becc3faf5dd4bfabf4461bbf9f1dfca69d362efbf344");
    char *url = pgcluster_url(cluster, "postgres", db_of(f, db));
    PGconn *admin = raw(f, "postgres");
    /* With content: all that a later version made is taken away again. */
    fill(f->s, victim);
    run(admin, "DROP INDEX cis.token_by_age");
    run(admin, "ALTER TABLE cis.token DROP COLUMN at_ms");
    run(admin, "DROP TABLE cis.publish");
    run(admin, "DROP FUNCTION cis.tenant_name");
    run(admin, "SET client_min_messages = error");
    run(admin, "DROP TABLE cis.stored");
    run(admin, "DROP FUNCTION cis.settle, cis.count_all");
#define COUNT(table, cost) run(admin, "DROP FUNCTION cis.count_" table " CASCADE");
#define RECOUNT(table, column, cost) run(admin, "DROP FUNCTION cis.recount_" table " CASCADE");
    CIS_COST_TABLES(COUNT)
    CIS_COST_CHANGES(RECOUNT)
    run(admin, "ALTER TABLE cis.schema DROP COLUMN room");
    run(admin,
        "DROP FUNCTION cis.reserve_size, cis.reserve_begin, cis.reserve_look, cis.reserve_spend, "
        "cis.reserve_make");
    run(admin, "ALTER TABLE cis.epoch ALTER COLUMN keys SET STORAGE EXTENDED");
    run(admin, "UPDATE cis.epoch SET keys = decode(repeat('00', 300000), 'hex')");
    char *packed = value(admin, "SELECT count(pg_column_compression(keys)) FROM cis.epoch");
    assert_string_not_equal(packed, "0");
    free(packed);
    run(admin, "UPDATE cis.schema SET version = 1");
    assert_fails(CIS_E_STORE, "migrate", cis_store_postgres_open(f->url, NULL, &s, NULL, err));
    assert_ok(cis_pg_admin_migrate(url, &from, &to, NULL, err));
    assert_true(from == 1 && to == cis_pg_schema_version());
    char *kept = value(admin, "SELECT pg_relation_size('cis.reserve')");
    assert_string_equal(kept, "16777216");
    free(kept);
    char *left = value(admin, "SELECT count(pg_column_compression(keys)) FROM cis.epoch");
    assert_string_equal(left, "0"); /* keys are read in parts */
    free(left);
    assert_ok(cis_store_postgres_open(f->url, NULL, &s, NULL, err));
    assert_ok(cis_store_ref_get(s, victim, CIS_STR("main"), &ref, NULL, err));
    assert_int_equal(ref.files, 1);
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(65536);
    assert_ok(cis_store_check(s, victim, &faults, NULL, err));
    assert_null(strstr(cis_buf_cstr(&faults), "stored bytes"));
    assert_ok(cis_store_tenant_create(s, bob, 0, 0, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "no branch side is published to bob",
                 cis_store_publish_check(s, victim,
                                         &(struct cis_fs_publish_query){side, bob, 0, 60000}, &ref,
                                         &pin, NULL, err));
    assert_ok(cis_store_publish_put(s, victim, side, &bob, 1, NULL, err));
    assert_ok(cis_store_publish_check(
        s, victim, &(struct cis_fs_publish_query){side, bob, 0, 60000}, &ref, &pin, NULL, err));
    cis_store_close(s);
    /* Without: the very statements of that release. */
    make_version_1(admin);
    assert_ok(cis_pg_admin_migrate(url, &from, &to, NULL, err));
    assert_true(from == 1 && to == cis_pg_schema_version());
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_ok(cis_pg_admin_check(url, note, &out, NULL, err));
    assert_null(strstr(cis_buf_cstr(&out), "row security"));
    assert_null(strstr(cis_buf_cstr(&out), "schema"));
    assert_ok(cis_store_postgres_open(f->url, NULL, &s, NULL, err));
    fill(s, victim);
    cis_store_close(s);
    PQfinish(admin);
    free(url);
}

static void a_password_is_in_no_message(void **state)
{
    (void)state;
    cis_store *s = NULL;
    struct cis_error err = {0};
    assert_int_not_equal(
        cis_store_postgres_open("postgres://u:secret@/d?host=/nowhere", NULL, &s, NULL, &err),
        CIS_OK);
    assert_null(strstr(err.msg, "secret"));
    assert_non_null(strstr(err.msg, "cannot connect"));
}

/* Two programs; one deletes the tenant and makes it again under the other. */
static void a_tenant_made_again_elsewhere_is_not_taken_for_the_old_one(void **state)
{
    struct fixture *f = *state;
    cis_store *other = NULL;
    uint64_t old_ino = 0, ino = 0;
    struct cis_fs_ref ref;
    assert_ok(cis_store_postgres_open(f->url, NULL, &other, NULL, err));
    struct cis_kv_op op = store_put("a", "k", "old");
    assert_ok(store_apply(f->s, &op, 1, err));
    assert_ok(cis_store_reserve_inodes(f->s, T, 1, &old_ino, NULL, err));
    assert_ok(cis_store_ref_get(f->s, T, CIS_STR(""), &ref, NULL, err));
    assert_ok(cis_store_tenant_delete(other, T, NULL, err));
    op = store_put("a", "k", "new");
    assert_ok(store_apply(other, &op, 1, err));
    struct cis_fs_dirent dirent = {
        .parent = 1, .ino = old_ino, .mode = 0100000, .name = CIS_STR("file")};
    struct cis_fs_change change = {
        .kind = CIS_FS_PUT, .is_new = true, .inode = {.ino = old_ino, .mode = 0100644, .nlink = 1}};
    struct cis_fs_commit fs = {.base = ref.head,
                               .dirents = &dirent,
                               .ndirents = 1,
                               .changes = &change,
                               .nchanges = 1,
                               .files = 1};
    struct cis_store_commit c = {.fs = &fs, .kind = "fs"};
    assert_fails(CIS_E_EXPIRED, "was deleted", cis_store_commit(f->s, T, &c, NULL, err));
    char *text = store_get(f->s, "a", "k");
    assert_string_equal(text, "new");
    free(text);
    assert_ok(cis_store_reserve_inodes(f->s, T, 1, &ino, NULL, err));
    assert_ok(cis_store_reserve_inodes(other, T, 1, &old_ino, NULL, err));
    assert_int_not_equal(ino, old_ino);
    cis_store_close(other);
}

static void a_tenant_made_again_elsewhere_is_deleted_by_its_name(void **state)
{
    struct fixture *f = *state;
    cis_store *other = NULL;
    struct cis_tenant got;
    assert_ok(cis_store_postgres_open(f->url, NULL, &other, NULL, err));
    struct cis_kv_op op = store_put("a", "k", "old");
    assert_ok(store_apply(f->s, &op, 1, err));
    assert_ok(cis_store_tenant_delete(other, T, NULL, err));
    assert_ok(store_apply(other, &op, 1, err));
    assert_ok(cis_store_tenant_delete(f->s, T, NULL, err)); /* it knew the one of before */
    assert_int_equal(cis_store_tenant_get(other, T, &got, NULL, NULL), CIS_E_NOTFOUND);
    assert_fails(CIS_E_NOTFOUND, "", cis_store_tenant_delete(f->s, T, NULL, err));
    cis_store_close(other);
}

/* ---- cut connections ---- */
static cis_store *through(const struct fixture *f, const struct pgproxy *proxy, uint32_t commit_ms)
{
    struct cis_store_postgres_options o = CIS_STORE_POSTGRES_OPTIONS_INIT;
    cis_store *s = NULL;
    char db[32], url[256];
    o.commit_ms = commit_ms;
    o.connect_ms = 2000;
    snprintf(url, sizeof url, "postgres://worker@/%s?host=%s", db_of(f, db), pgproxy_dir(proxy));
    assert_ok(cis_store_postgres_open(url, &o, &s, NULL, err));
    return s;
}

static uint64_t head_epoch(cis_store *s)
{
    struct cis_fs_ref ref;
    assert_ok(cis_store_ref_get(s, T, CIS_STR(""), &ref, NULL, err));
    return ref.head.epoch;
}

static cis_code new_file(cis_store *s, struct cis_view base, const char *name, uint64_t ino,
                         struct cis_error *err)
{
    struct cis_kv_op kv = store_put("a", name, "v");
    struct cis_fs_dirent dirent = {
        .parent = 1, .ino = ino, .mode = 0100000, .name = cis_str_of(name)};
    struct cis_fs_change change = {
        .kind = CIS_FS_PUT, .is_new = true, .inode = {.ino = ino, .mode = 0100644, .nlink = 1}};
    struct cis_fs_delta delta = {.ino = 1, .mtime = {5, 0}, .ctime = {5, 0}};
    struct cis_fs_commit fs = {.base = base,
                               .dirents = &dirent,
                               .ndirents = 1,
                               .changes = &change,
                               .nchanges = 1,
                               .deltas = &delta,
                               .ndeltas = 1,
                               .files = 1};
    struct cis_run_row row;
    store_run_row(&row, "a", "ok");
    struct cis_store_commit c = {.run = &row, .fs = &fs, .kv = &kv, .nkv = 1};
    return cis_store_commit(s, T, &c, NULL, err);
}

static bool any_step(void *self, size_t i, const struct cis_fs_dirent *d,
                     const struct cis_fs_inode *inode)
{
    (void)self;
    (void)i;
    (void)d;
    (void)inode;
    return true;
}

static void trips_to_the_server_are_few(void **state)
{
    struct fixture *f = *state;
    struct pgproxy *proxy = pgproxy_start(pgcluster_dir(cluster));
    cis_store *s = through(f, proxy, 20000);
    struct cis_fs_ref ref;
    uint64_t ino = 0;
    assert_ok(cis_store_reserve_inodes(s, T, 8, &ino, NULL, err));
    assert_ok(cis_store_ref_get(s, T, CIS_STR(""), &ref, NULL, err));
    assert_ok(new_file(s, ref.head, "first", ino, err));
    (void)pgproxy_trips(proxy);
    assert_ok(new_file(s, ref.head, "behind", ino + 1, err)); /* others have committed since */
    assert_in_range(pgproxy_trips(proxy), 2, 5);
    assert_ok(cis_store_ref_get(s, T, CIS_STR(""), &ref, NULL, err));
    (void)pgproxy_trips(proxy);
    assert_ok(new_file(s, ref.head, "ahead", ino + 2, err));
    assert_in_range(pgproxy_trips(proxy), 2, 3);
    struct cis_str path[] = {CIS_STR("a"), CIS_STR("b"), CIS_STR("c"), CIS_STR("d"), CIS_STR("e")};
    assert_ok(cis_store_walk(s, T, &(struct cis_fs_walk_query){ref.head, 1, path, 5}, any_step,
                             NULL, NULL, err));
    assert_in_range(pgproxy_trips(proxy), 1, 2); /* a view it has not seen */
    assert_ok(cis_store_walk(s, T, &(struct cis_fs_walk_query){ref.head, 1, path, 5}, any_step,
                             NULL, NULL, err));
    assert_int_equal(pgproxy_trips(proxy), 1);
    assert_ok(cis_store_walk(s, T, &(struct cis_fs_walk_query){ref.head, 1, path, 1}, any_step,
                             NULL, NULL, err));
    assert_int_equal(pgproxy_trips(proxy), 1);
    cis_store_close(s);
    pgproxy_stop(proxy);
}

static void a_commit_that_is_cut_anywhere_happens_exactly_once(void **state)
{
    struct fixture *f = *state;
    struct pgproxy *proxy = pgproxy_start(pgcluster_dir(cluster));
    cis_store *s = through(f, proxy, 20000);
    struct cis_kv_op op = store_put("a", "k", "first");
    assert_ok(store_apply(s, &op, 1, err));
    for (int cut = PGPROXY_NONE; cut < PGPROXY_CUTS; cut++) {
        for (int with_run = 0; with_run < 2; with_run++) {
            char key[32];
            snprintf(key, sizeof key, "cut-%d-%d", cut, with_run);
            op = store_put("a", key, "v");
            struct cis_run_row row;
            store_run_row(&row, "a", "ok");
            struct cis_store_commit c = {.run = with_run != 0 ? &row : NULL, .kv = &op, .nkv = 1};
            uint64_t before = head_epoch(f->s);
            pgproxy_arm(proxy, (enum pgproxy_cut)cut);
            struct cis_error err = {0};
            cis_code code = cis_store_commit(s, T, &c, NULL, &err);
            if (code != CIS_OK) {
                fail_msg("cut %d: %s", cut, err.msg);
            }
            if (cut != PGPROXY_NONE && !pgproxy_fired(proxy)) {
                fail_msg("cut %d: not reached", cut);
            }
            assert_int_equal(head_epoch(f->s), before + 1);
            char *text = store_get(f->s, "a", key);
            assert_string_equal(text, "v");
            free(text);
        }
    }
    uint64_t bytes, keys;
    assert_ok(cis_store_kv_usage(f->s, T, CIS_VIEW_HEAD, &bytes, &keys, NULL, err));
    assert_int_equal(keys, 1 + 2 * PGPROXY_CUTS);
    cis_store_close(s);
    pgproxy_stop(proxy);
}

static void other_writes_that_are_cut_happen_exactly_once_too(void **state)
{
    struct fixture *f = *state;
    struct pgproxy *proxy = pgproxy_start(pgcluster_dir(cluster));
    cis_store *s = through(f, proxy, 20000);
    struct cis_kv_op op = store_put("a", "k", "first");
    assert_ok(store_apply(s, &op, 1, err));
    for (int cut = PGPROXY_NONE; cut < PGPROXY_CUTS; cut++) {
        struct cis_fs_ref ref;
        char name[32];
        snprintf(name, sizeof name, "fork%d", cut);
        struct cis_str fork = cis_str_of(name);
        assert_ok(cis_store_ref_get(s, T, CIS_STR(""), &ref, NULL, err));
        pgproxy_arm(proxy, (enum pgproxy_cut)cut);
        assert_ok(cis_store_fork(s, T, ref.head, &fork, 1, NULL, err));
        assert_ok(s->fs->ref_get(f->s, T, fork, &ref, NULL, err));
        struct cis_fs_snapshot snapshot = {.view = ref.head};
        memcpy(snapshot.name, name, sizeof name);
        pgproxy_arm(proxy, (enum pgproxy_cut)cut);
        assert_ok(cis_store_snapshot_put(s, T, &snapshot, NULL, err));
        struct cis_view moved;
        pgproxy_arm(proxy, (enum pgproxy_cut)cut);
        assert_ok(cis_store_ref_move(
            s, T, &(struct cis_fs_move_request){fork, ref.head, {1, 0}, 0, CIS_STR("cut")}, &moved,
            NULL, err));
        assert_ok(s->fs->ref_get(f->s, T, fork, &ref, NULL, err));
        assert_int_equal(ref.head.branch, moved.branch);
    }
    cis_store_close(s);
    pgproxy_stop(proxy);
}

/* Rows of tenants that are not listed. */
static long left_over(PGconn *admin)
{
    long n = 0;
    char *tables = value(admin, TABLES);
    for (char *at = tables, *table; (table = strsep(&at, " ")) != NULL;) {
        n += number(admin,
                    "SELECT count(*) FROM cis.%s WHERE tenant NOT IN (SELECT id FROM cis.tenant)",
                    table);
    }
    free(tables);
    return n;
}

static void a_tenant_whose_deletion_is_cut_anywhere_is_gone_and_only_that_one(void **state)
{
    struct fixture *f = *state;
    char db[32];
    PGconn *admin = pgcluster_connect(cluster, "postgres", db_of(f, db));
    struct pgproxy *proxy = pgproxy_start(pgcluster_dir(cluster));
    cis_store *s = through(f, proxy, 20000);
    struct cis_str victim = CIS_STR("victim"), other = CIS_STR("other");
    struct cis_tenant got;
    fill(f->s, other);
    for (int cut = PGPROXY_NONE; cut < PGPROXY_CUTS; cut++) {
        fill(f->s, victim);
        if (cut % 2 == 0) { /* known to the pool, or not yet */
            assert_ok(cis_store_tenant_get(s, victim, &got, NULL, err));
        }
        pgproxy_arm(proxy, (enum pgproxy_cut)cut);
        struct cis_error err = {0};
        cis_code code = cis_store_tenant_delete(s, victim, NULL, &err);
        if (code != CIS_OK) {
            fail_msg("cut %d: %s", cut, err.msg);
        }
        if (cut != PGPROXY_NONE && !pgproxy_fired(proxy)) {
            fail_msg("cut %d: not reached", cut);
        }
        assert_int_equal(cis_store_tenant_get(s, victim, &got, NULL, NULL), CIS_E_NOTFOUND);
        assert_int_equal(cis_store_tenant_get(f->s, victim, &got, NULL, NULL), CIS_E_NOTFOUND);
        assert_int_equal(left_over(admin), 0);
        assert_int_equal(number(admin, "SELECT count(*) FROM cis.tenant WHERE name = 'other'"), 1);
        assert_int_equal(number(admin, "SELECT count(*) FROM cis.chunk"), 1);
    }
    /* The server out of reach meanwhile: all of it is there or nothing, and again ends it. */
    for (int cut = PGPROXY_BEFORE_BIND; cut < PGPROXY_CUTS; cut += 3) {
        cis_store *hasty = through(f, proxy, 600);
        fill(f->s, victim);
        pgproxy_shut_at_cut(proxy);
        pgproxy_arm(proxy, (enum pgproxy_cut)cut);
        assert_int_equal(cis_store_tenant_delete(hasty, victim, NULL, NULL), CIS_E_STORE);
        pgproxy_shut(proxy, false);
        assert_int_equal(left_over(admin), 0);
        bool there = number(admin, "SELECT count(*) FROM cis.tenant WHERE name = 'victim'") == 1;
        assert_int_equal(number(admin, "SELECT count(*) FROM cis.chunk"), there ? 2 : 1);
        cis_code code = cis_store_tenant_delete(hasty, victim, NULL, NULL);
        assert_int_equal(code, there ? CIS_OK : CIS_E_NOTFOUND);
        assert_int_equal(number(admin, "SELECT count(*) FROM cis.chunk"), 1);
        cis_store_close(hasty);
    }
    PQfinish(admin);
    cis_store_close(s);
    pgproxy_stop(proxy);
}

static void an_outcome_that_cannot_be_asked_for_is_said_to_be_unknown(void **state)
{
    struct fixture *f = *state;
    struct pgproxy *proxy = pgproxy_start(pgcluster_dir(cluster));
    cis_store *s = through(f, proxy, 600);
    struct cis_kv_op op = store_put("a", "k", "first");
    assert_ok(store_apply(s, &op, 1, err));
    for (int cut = PGPROXY_BEFORE_BIND; cut < PGPROXY_CUTS; cut += 5) {
        pgproxy_shut_at_cut(proxy);
        pgproxy_arm(proxy, (enum pgproxy_cut)cut);
        op = store_put("a", "k", "second");
        assert_fails(CIS_E_STORE, "is not known", store_apply(s, &op, 1, err));
        pgproxy_shut(proxy, false);
        assert_ok(store_apply(s, &op, 1, err)); /* comes back */
    }
    cis_store_close(s);
    pgproxy_stop(proxy);
}

/* ---- killed servers ---- */
#define WRITERS 4
#define ACKED_MAX 100000

struct writer {
    cis_store *s;
    int id;
    atomic_bool *stop;
    atomic_int *tried; /* by all */
    unsigned n, acked, failed, unknown;
    uint8_t result[ACKED_MAX]; /* 1 acknowledged, 2 refused, 3 not known */
};

static void *write_pairs(void *arg)
{
    struct writer *w = arg;
    while (!atomic_load(w->stop) && w->n < ACKED_MAX) {
        char one[32], two[32];
        snprintf(one, sizeof one, "w%d-%06u-a", w->id, w->n);
        snprintf(two, sizeof two, "w%d-%06u-b", w->id, w->n);
        struct cis_kv_op ops[] = {store_put("a", one, "x"), store_put("a", two, "y")};
        struct cis_run_row row;
        store_run_row(&row, "a", "ok");
        struct cis_store_commit c = {.run = &row, .kv = ops, .nkv = 2};
        struct cis_error err = {0};
        cis_code code = cis_store_commit(w->s, T, &c, NULL, &err);
        bool unknown = code == CIS_E_STORE && strstr(err.msg, "is not known") != NULL;
        w->result[w->n++] = code == CIS_OK ? 1 : unknown ? 3 : 2;
        atomic_fetch_add(w->tried, 1);
    }
    return NULL;
}

static void acknowledged_commits_survive_a_killed_server(void **state)
{
    struct fixture *f = *state;
    struct cis_store_postgres_options o = CIS_STORE_POSTGRES_OPTIONS_INIT;
    cis_store *s = NULL;
    atomic_bool stop = false;
    atomic_int tried = 0;
    pthread_t threads[WRITERS];
    unsigned seed = test_seed();
    o.connect_ms = 30000;
    assert_ok(cis_store_postgres_open(f->url, &o, &s, NULL, err));
    struct writer *w = calloc(WRITERS, sizeof *w);
    for (int i = 0; i < WRITERS; i++) {
        w[i].s = s;
        w[i].id = i;
        w[i].stop = &stop;
        w[i].tried = &tried;
        assert_int_equal(pthread_create(&threads[i], NULL, write_pairs, &w[i]), 0);
    }
    for (int i = 0; i < rounds; i++) {
        int until = atomic_load(&tried) + 20 + (int)(rand_r(&seed) % 60);
        while (atomic_load(&tried) < until) {
            struct timespec t = {0, 200000};
            nanosleep(&t, NULL);
        }
        struct timespec t = {0, (long)(rand_r(&seed) % 3000) * 1000};
        nanosleep(&t, NULL);
        pgcluster_kill(cluster);
        pgcluster_again(cluster);
    }
    atomic_store(&stop, true);
    unsigned whole = 0, acked = 0;
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < WRITERS; i++) {
        for (unsigned k = 0; k < w[i].n; k++) {
            char one[32], two[32];
            snprintf(one, sizeof one, "w%d-%06u-a", i, k);
            snprintf(two, sizeof two, "w%d-%06u-b", i, k);
            char *a = store_get(s, "a", one), *b = store_get(s, "a", two);
            if ((a != NULL) != (b != NULL)) {
                fail_msg("%s: half of a commit", one);
            }
            if (w[i].result[k] == 1 && a == NULL) {
                fail_msg("%s: acknowledged and lost", one);
            }
            if (w[i].result[k] == 2 && a != NULL) {
                fail_msg("%s: refused and there", one);
            }
            whole += a != NULL;
            acked += w[i].result[k] == 1;
            free(a);
            free(b);
        }
    }
    assert_int_equal(head_epoch(s), whole); /* none twice */
    print_message("%u commits, %u acknowledged, %d kills\n", whole, acked, rounds);
    assert_true(acked > 50);
    free(w);
    cis_store_close(s);
}

static void reads_go_on_after_a_restart(void **state)
{
    struct fixture *f = *state;
    struct cis_kv_op op = store_put("a", "k", "v");
    assert_ok(store_apply(f->s, &op, 1, err));
    pgcluster_kill(cluster);
    pgcluster_again(cluster);
    char *text = store_get(f->s, "a", "k");
    assert_string_equal(text, "v");
    free(text);
    assert_ok(store_apply(f->s, &op, 1, err));
}

static void *start_soon(void *self)
{
    (void)self;
    struct timespec t = {0, 700 * 1000 * 1000};
    nanosleep(&t, NULL);
    pgcluster_again(cluster);
    return NULL;
}

/* A program that begins while the server is away waits for it as one does that had it before. */
static void a_store_that_is_opened_during_a_restart_waits(void **state)
{
    struct fixture *f = *state;
    struct cis_kv_op op = store_put("a", "k", "v");
    assert_ok(store_apply(f->s, &op, 1, err));
    pgcluster_kill(cluster);
    pthread_t starter;
    cis_store *s = NULL;
    assert_int_equal(pthread_create(&starter, NULL, start_soon, NULL), 0);
    assert_ok(cis_store_postgres_open(f->url, NULL, &s, NULL, err));
    char *text = store_get(s, "a", "k");
    assert_string_equal(text, "v");
    free(text);
    cis_store_close(s);
    pthread_join(starter, NULL);
}

/* One that says no, or that nobody set up, is not waited for; one that stays away is, no longer
 * than was said. */
static void a_server_that_says_no_is_not_waited_for(void **state)
{
    struct fixture *f = *state;
    cis_store *s = NULL;
    char *url = pgcluster_url(cluster, "nobody_of_that_name", "postgres");
    const char *const urls[] = {url, "postgres://u@/d?host=/nowhere"};
    for (size_t i = 0; i < 2; i++) {
        uint64_t before = cis_clock_mono_ns();
        assert_fails(CIS_E_STORE, "cannot connect",
                     cis_store_postgres_open(urls[i], NULL, &s, NULL, err));
        assert_true(cis_clock_mono_ns() - before < 5 * CIS_NS_PER_S);
    }
    free(url);
    struct cis_store_postgres_options o = CIS_STORE_POSTGRES_OPTIONS_INIT;
    o.connect_ms = 1000;
    pgcluster_kill(cluster);
    uint64_t before = cis_clock_mono_ns();
    assert_fails(CIS_E_STORE, "cannot connect", cis_store_postgres_open(f->url, &o, &s, NULL, err));
    uint64_t waited = cis_clock_mono_ns() - before;
    assert_true(waited >= 500 * CIS_NS_PER_MS && waited < 10 * CIS_NS_PER_S);
    pgcluster_again(cluster);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        rounds = (int)strtol(argv[1], NULL, 10);
    }
    cluster = pgcluster_start(NULL);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(with_another_tenants_setting_nothing_is_seen_or_written),
        TEST(a_reader_sees_what_is_published_to_it_and_writes_none_of_it),
        TEST(without_a_tenant_every_statement_fails),
        TEST(all_work_is_done_as_a_role_that_owns_nothing),
        TEST(a_user_without_the_role_is_refused),
        TEST(a_wait_for_a_lock_ends_with_the_stop_and_leaves_nothing_behind),
        TEST(a_full_pool_is_waited_for_until_the_deadline),
        TEST(init_is_repeatable_and_check_says_what_is_missing),
        TEST(what_a_user_plants_in_public_no_session_of_cis_runs),
        TEST(the_triggers_run_nothing_of_a_user_in_any_session),
        TEST(check_compares_functions_and_triggers_word_for_word),
        TEST(another_schema_version_is_refused_also_while_open),
        TEST(a_store_of_the_first_schema_migrates_with_all_that_it_holds),
        TEST(a_password_is_in_no_message),
        TEST(a_tenant_made_again_elsewhere_is_not_taken_for_the_old_one),
        TEST(a_tenant_made_again_elsewhere_is_deleted_by_its_name),
        TEST(trips_to_the_server_are_few),
        TEST(a_commit_that_is_cut_anywhere_happens_exactly_once),
        TEST(other_writes_that_are_cut_happen_exactly_once_too),
        TEST(a_tenant_whose_deletion_is_cut_anywhere_is_gone_and_only_that_one),
        TEST(an_outcome_that_cannot_be_asked_for_is_said_to_be_unknown),
        TEST(reads_go_on_after_a_restart),
        TEST(a_store_that_is_opened_during_a_restart_waits),
        TEST(a_server_that_says_no_is_not_waited_for),
        TEST(acknowledged_commits_survive_a_killed_server),
    };
    int failed = cmocka_run_group_tests_name("postgres", tests, NULL, NULL);
    pgcluster_stop(cluster);
    return failed;
}
