/* The program on a PostgreSQL server: `cis store`, how the server is named, what is shown of it. */
#include "system/system.h"
#include <pthread.h>
#include <sys/stat.h>
#include "tools/pgcluster.h"

static struct pgcluster *cluster;
static char *admin_url, *user_url;
static char store_env[300];

static const char *const writer =
    "(module (import \"env\" \"host_memory_set\" (func $set (param i32 i32 i32 i32) (result i32)))"
    "(memory (export \"memory\") 1) (data (i32.const 0) \"key\") (data (i32.const 16) \"a value\")"
    "(func (export \"skill_execute\") (param i32 i32) (result i32)"
    " (drop (call $set (i32.const 0) (i32.const 3) (i32.const 16) (i32.const 7))) (i32.const 0)))";

static void init_makes_the_schema_and_check_looks_at_it(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 7, cis(s, "memory", "list", "--skill", "a", "--store", user_url));
    assert_contains(sys_err(s), "cis store init");
    assert_exit(s, 7, cis(s, "store", "check", "--store", admin_url));
    assert_contains(sys_out(s), "no store of cis in this database");
    assert_exit(s, 0, cis(s, "store", "init", "--store", admin_url, "--login", "skills"));
    assert_string_equal(sys_out(s), "schema version 7\n");
    assert_exit(s, 0, cis(s, "store", "init", "--store", admin_url));
    assert_exit(s, 0, cis(s, "store", "migrate", "--store", admin_url));
    assert_string_equal(sys_out(s), "schema version 7\n");
    assert_exit(s, 0, cis(s, "store", "check", "--store", admin_url));
    assert_contains(sys_out(s), "ok   data_checksums     on\n");
    assert_contains(sys_out(s), "ok   row security       forced on every table\n");
    assert_exit(s, 0, cis(s, "store", "check", "--store", admin_url, "--json"));
    assert_contains(sys_out(s), "{\"schema\":1,\"checks\":[{\"check\":\"server\"");
    assert_contains(sys_out(s), "],\"bad\":0}\n");
    assert_exit(s, 3, cis(s, "store", "init", "--store", admin_url, "--login", "ghost"));
    assert_contains(sys_err(s), "no role ghost");
    assert_exit(s, 4, cis(s, "store", "migrate", "--store", user_url));
}

static void runs_memory_and_doctor_work_on_the_server(void **state)
{
    struct sys *s = *state;
    s->env[0] = store_env;
    char *guest = sys_wat(s, "my-guest.wat", writer);
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", guest));
    assert_exit(s, 0, cis(s, "memory", "get", "key", "--skill", "my-guest"));
    assert_string_equal(sys_out(s), "a value");
    assert_exit(s, 0, cis(s, "runs", "list"));
    assert_contains(sys_out(s), "my-guest");
    assert_exit(s, 3, cis(s, "memory", "get", "key", "--skill", "my-guest", "--tenant", "other"));
    assert_exit(s, 0, cis(s, "store", "check"));
    assert_contains(sys_out(s), "ok   default            every page is whole\n");
    (void)cis(s, "doctor");
    assert_contains(sys_out(s), "ok   store            postgres 1");
    assert_lacks(sys_out(s), "pa55word");
    free(guest);
    s->env[0] = NULL;
}

#define AWAY_NS (1500 * CIS_NS_PER_MS)

static void *comes_back(void *self)
{
    struct timespec nap = {AWAY_NS / CIS_NS_PER_S, AWAY_NS % CIS_NS_PER_S};
    (void)self;
    nanosleep(&nap, NULL);
    pgcluster_again(cluster);
    return NULL;
}

/* A server that is started again is waited for by each kind of command, and not for nothing. */
static void a_command_waits_for_a_server_that_comes_back(void **state)
{
    struct sys *s = *state;
    char *guest = sys_wat(s, "waits.wat", writer);
    const char *const commands[][6] = {{"memory", "get", "key", "--skill", "waits"},
                                       {"fs", "mkdir", "/made-when-it-was-back"},
                                       {"skill", "run", "--wasm", guest}};
    s->env[0] = store_env;
    assert_exit(s, 0, cis(s, "skill", "run", "--wasm", guest));
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const char *const *a = commands[i];
        pthread_t starter;
        pgcluster_kill(cluster);
        uint64_t before = cis_clock_mono_ns();
        assert_int_equal(pthread_create(&starter, NULL, comes_back, NULL), 0);
        int code = cis(s, a[0], a[1], a[2], a[3], a[4]);
        uint64_t waited = cis_clock_mono_ns() - before;
        pthread_join(starter, NULL);
        assert_exit(s, 0, code);
        assert_true(waited >= AWAY_NS);
    }
    assert_exit(s, 0, cis(s, "fs", "ls", "/"));
    assert_contains(sys_out(s), "made-when-it-was-back");
    free(guest);
    s->env[0] = NULL;
}

static void check_of_a_folder_without_a_store_makes_none(void **state)
{
    struct sys *s = *state;
    static const char *const verbs[] = {"check", "migrate"};
    char dir[600], store[700], tenants[700];
    struct stat st;
    snprintf(dir, sizeof dir, "%s/nothing-here", s->home);
    snprintf(store, sizeof store, "sqlite:%s", dir);
    snprintf(tenants, sizeof tenants, "%s/tenants", dir);
    for (size_t i = 0; i < 2; i++) {
        assert_exit(s, 3, cis(s, "store", verbs[i], "--store", store));
        assert_contains(sys_err(s), "nothing-here: there is no store in this folder");
        assert_exit(s, 3, cis(s, "store", verbs[i], "--store", store, "--json"));
        assert_int_equal(lstat(dir, &st), -1);
    }
    assert_int_equal(mkdir(dir, 0700), 0); /* an empty folder is none either */
    assert_exit(s, 3, cis(s, "store", "check", "--store", store));
    assert_int_equal(rmdir(dir), 0);
    assert_exit(s, 0, cis(s, "store", "init", "--store", store));
    assert_int_equal(lstat(tenants, &st), 0);
    assert_exit(s, 0, cis(s, "store", "check", "--store", store));
    assert_exit(s, 0, cis(s, "store", "migrate", "--store", store));
}

static void the_password_is_never_shown(void **state)
{
    struct sys *s = *state;
    s->env[0] = store_env;
    assert_contains(store_env, "pa55word");
    assert_exit(s, 0, cis(s, "config", "show"));
    assert_contains(sys_out(s), "postgres://skills:***@/postgres");
    assert_lacks(sys_out(s), "pa55word");
    assert_exit(s, 0, cis(s, "config", "show", "--json"));
    assert_lacks(sys_out(s), "pa55word");
    s->env[0] = "CIS_STORE=postgres://u:pa55word@/db?host=/nowhere";
    assert_exit(s, 7, cis(s, "memory", "list", "--skill", "a"));
    assert_contains(sys_err(s), "cannot connect");
    assert_lacks(sys_err(s), "pa55word");
    s->env[0] = "CIS_STORE=mysql://u:pa55word@h/db";
    assert_exit(s, 2, cis(s, "memory", "list", "--skill", "a"));
    assert_lacks(sys_err(s), "pa55word");
    s->env[0] = NULL;
}

static void names_of_other_programs_count_where_ours_say_nothing(void **state)
{
    struct sys *s = *state;
    char other[320];
    snprintf(other, sizeof other, "DATABASE_URL=%s", store_env + strlen("CIS_STORE="));
    s->env[0] = other;
    s->env[1] = "TARBOX_TENANT_ID=box";
    assert_exit(s, 0, cis(s, "memory", "set", "k", "v", "--skill", "a"));
    assert_exit(s, 0, cis(s, "config", "show"));
    assert_contains(sys_out(s), "environment DATABASE_URL");
    assert_contains(sys_out(s), "environment TARBOX_TENANT_ID");
    s->env[0] = store_env;
    s->env[1] = NULL;
    assert_exit(s, 0, cis(s, "memory", "get", "k", "--skill", "a", "--tenant", "box"));
    assert_string_equal(sys_out(s), "v");
    s->env[0] = "DATABASE_URL=mysql://u@h/db"; /* another program's */
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "a", "--tenant", "box"));
    s->env[0] = NULL;
}

static void the_embedded_store_has_the_same_commands(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, cis(s, "store", "init"));
    assert_contains(sys_out(s), "sqlite");
    assert_exit(s, 0, cis(s, "memory", "set", "k", "v", "--skill", "a"));
    assert_exit(s, 0, cis(s, "store", "migrate"));
    assert_contains(sys_out(s), ", 1 tenants\n");
    assert_exit(s, 0, cis(s, "store", "check"));
    assert_contains(sys_out(s), "ok   default            every page is whole\n");
    assert_exit(s, 2, cis(s, "store", "init", "--login", "x"));
}

int main(void)
{
    cluster = pgcluster_start("fsync = on\npassword_encryption = 'scram-sha-256'\n");
    pgcluster_run(cluster, "postgres", "CREATE ROLE skills LOGIN PASSWORD 'pa55word'");
    admin_url = pgcluster_url(cluster, "postgres", "postgres");
    user_url = pgcluster_url(cluster, "skills", "postgres");
    snprintf(store_env, sizeof store_env, "CIS_STORE=postgres://skills:pa55word@/postgres?host=%s",
             pgcluster_dir(cluster));
#define TEST(name) cmocka_unit_test_setup_teardown(name, sys_setup, sys_teardown)
    const struct CMUnitTest tests[] = {
        TEST(init_makes_the_schema_and_check_looks_at_it),
        TEST(check_of_a_folder_without_a_store_makes_none),
        TEST(runs_memory_and_doctor_work_on_the_server),
        TEST(a_command_waits_for_a_server_that_comes_back),
        TEST(the_password_is_never_shown),
        TEST(names_of_other_programs_count_where_ours_say_nothing),
        TEST(the_embedded_store_has_the_same_commands),
    };
    int failed = cmocka_run_group_tests_name("system: store", tests, NULL, NULL);
    free(admin_url);
    free(user_url);
    pgcluster_stop(cluster);
    return failed;
}
