/* One store, two hosts: each has a home of its own with the folders of skills, and no lock that the
 * other one would wait for. What is computed from a skill's row on one host stands only if the
 * other one has not changed that row meanwhile. The other host acts where it hurts most: between
 * reading and writing. */
#include "util.h"

#include "tools/pgcluster.h"
#include "store/postgres/postgres.h"

#define X CIS_STR("x")
#define SKILL                                                                                      \
    "[skill]\nname = \"x\"\nversion = \"1.0.0\"\n[permissions]\nai_call = true\n"                  \
    "http = [\"https://a.example\"]\n[config.token]\ntype = \"string\"\n"

static const uint8_t OTHER[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 0, 2, 1, 'z'};

static struct pgcluster *cluster; /* NULL: SQLite */

typedef void meanwhile(struct world *there);

static struct {
    struct world here, there;
    char *url;
    const struct cis_store_ops *real;
    struct cis_store_ops ops; /* of here: the other host first, once */
    meanwhile *act;
} f;

static cis_code change(cis_store *store, struct cis_str tenant, const struct cis_skill_change *c,
                       const struct cis_stop *stop, struct cis_error *err)
{
    meanwhile *act = f.act;
    f.act = NULL;
    if (act != NULL) {
        act(&f.there);
    }
    return f.real->skill_change(store, tenant, c, stop, err);
}

static int setup(void **state)
{
    (void)state;
    world_open(&f.here);
    world_open(&f.there);
    cis_store_close(f.there.home.store);
    if (cluster != NULL) {
        f.url = pgcluster_store(cluster);
        cis_store_close(f.here.home.store);
        assert_ok(cis_store_postgres_open(f.url, NULL, &f.here.home.store, NULL, err));
        assert_ok(cis_store_postgres_open(f.url, NULL, &f.there.home.store, NULL, err));
    } else {
        assert_ok(cis_store_sqlite_open(f.here.data, &f.there.home.store, err));
    }
    f.real = f.here.home.store->ops;
    f.ops = *f.real;
    f.ops.skill_change = change;
    f.here.home.store->ops = &f.ops;
    f.act = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    f.here.home.store->ops = f.real;
    world_close(&f.here);
    world_close(&f.there);
    if (cluster != NULL) {
        pgcluster_drop(cluster, f.url);
    }
    return 0;
}

static cis_code install(struct world *w, const uint8_t *wasm, size_t len, enum cis_inherit inherit,
                        struct cis_error *err)
{
    char path[256];
    struct cis_str both[] = {CIS_STR("ai"), CIS_STR("http=https://a.example")};
    struct cis_install_answers answers = {.allow = both, .nallow = 2, .inherit = inherit};
    CIS_CLEANUP(cis_package_done) struct cis_package p = CIS_PACKAGE_INIT;
    CIS_CLEANUP(cis_install_plan_done) struct cis_install_plan plan = CIS_INSTALL_PLAN_INIT;
    snprintf(path, sizeof path, "%s/skill", w->work);
    put_text(path, "skill.toml", SKILL);
    put(path, "skill.wasm", wasm, len);
    CIS_TRY(cis_package_stage(&w->home, TENANT, path, (struct cis_str){NULL, 0}, &p, err));
    CIS_TRY(cis_install_plan_make(&w->home, TENANT, &p, &answers, &plan, err));
    return cis_package_commit(&w->home, TENANT, &p, &plan, err);
}

static cis_code grant(struct world *w, const char *text, struct cis_error *err)
{
    struct cis_str grant = cis_str_of(text);
    return cis_skill_grant(&w->home, TENANT, X, &grant, 1, err);
}

static cis_code take(struct world *w, const char *text, struct cis_error *err)
{
    struct cis_str grant = cis_str_of(text);
    return cis_skill_revoke(&w->home, TENANT, X, &grant, 1, err);
}

static cis_code set(struct world *w, const char *value, struct cis_error *err)
{
    return cis_skill_config_set(&w->home, TENANT, X, CIS_STR("token"), cis_str_of(value), err);
}

/* The other host, meanwhile. */
static void revokes_ai(struct world *w)
{
    assert_ok(take(w, "ai", err));
}

static void removes(struct world *w)
{
    assert_ok(cis_skill_remove(&w->home, TENANT, X, err));
}

static void installs_another(struct world *w)
{
    assert_ok(install(w, OTHER, sizeof OTHER, CIS_INHERIT_NO, err));
}

static void sets_a_secret(struct world *w)
{
    assert_ok(set(w, "secret", err));
}

/* As both see it. */
static void may(const char *expected, size_t settings)
{
    struct world *const worlds[] = {&f.here, &f.there};
    for (int i = 0; i < 2; i++) {
        struct cis_installed s = {0};
        struct cis_buf json = CIS_BUF_INIT(65536);
        assert_ok(cis_skill_lookup(&worlds[i]->home, TENANT, X, &s, err));
        cis_grants_json(&s.grants, &json);
        assert_string_equal(cis_buf_cstr(&json), expected);
        assert_int_equal(s.nconfig, settings);
        cis_buf_done(&json);
        cis_skill_close(&s);
    }
}

static void is_gone(void)
{
    struct cis_installed s = {0};
    assert_fails(CIS_E_NOTFOUND, "no such skill",
                 cis_skill_lookup(&f.here.home, TENANT, X, &s, err));
}

static void install_first(void)
{
    assert_ok(install(&f.here, CORE, sizeof CORE, CIS_INHERIT_ASK, err));
}

static void a_grant_revoked_on_another_host_stays_revoked(void **state)
{
    (void)state;
    install_first();
    assert_ok(take(&f.there, "http=https://a.example", err));
    f.act = revokes_ai;
    assert_ok(grant(&f.here, "http=https://a.example", err));
    may("[\"http=https://a.example\"]", 0);
    assert_ok(grant(&f.here, "ai", err));
    f.act = revokes_ai;
    assert_ok(take(&f.here, "http=https://a.example", err));
    may("[]", 0);
}

static void a_skill_removed_on_another_host_does_not_come_back(void **state)
{
    (void)state;
    install_first();
    f.act = removes;
    assert_fails(CIS_E_NOTFOUND, "no such skill", grant(&f.here, "ai", err));
    is_gone();
    install_first();
    f.act = removes;
    assert_fails(CIS_E_NOTFOUND, "no such skill", set(&f.here, "secret", err));
    is_gone();
    install_first();
    may("[\"ai\",\"http=https://a.example\"]", 0); /* and leaves no setting for the next one */
    f.act = removes;
    assert_fails(CIS_E_CONFLICT, "install it again",
                 install(&f.here, CORE, sizeof CORE, CIS_INHERIT_ASK, err));
    is_gone();
}

static void what_is_meant_for_one_package_is_not_for_another_one(void **state)
{
    (void)state;
    install_first();
    assert_ok(take(&f.here, "ai", err));
    f.act = installs_another;
    assert_fails(CIS_E_DENIED, "another version was installed meanwhile",
                 set(&f.here, "secret", err));
    may("[\"ai\",\"http=https://a.example\"]", 0);
    assert_ok(take(&f.here, "ai", err));
    assert_ok(cis_skill_remove(&f.here.home, TENANT, X, err));
    install_first();
    assert_ok(take(&f.here, "ai", err));
    f.act = installs_another;
    assert_fails(CIS_E_DENIED, "another version was installed meanwhile",
                 grant(&f.here, "ai", err));
}

static void an_install_inherits_nothing_that_came_meanwhile(void **state)
{
    (void)state;
    install_first();
    f.act = sets_a_secret;
    assert_fails(CIS_E_CONFLICT, "install it again",
                 install(&f.here, OTHER, sizeof OTHER, CIS_INHERIT_ASK, err));
    may("[\"ai\",\"http=https://a.example\"]", 1);
    f.act = revokes_ai;
    assert_fails(CIS_E_CONFLICT, "install it again",
                 install(&f.here, OTHER, sizeof OTHER, CIS_INHERIT_NO, err));
    may("[\"http=https://a.example\"]",
        1); /* and the setting of what is installed is still there */
}

static void a_removal_takes_what_is_there_by_then(void **state)
{
    (void)state;
    install_first();
    f.act = installs_another;
    assert_ok(cis_skill_remove(&f.here.home, TENANT, X, err));
    is_gone();
}

static cis_code full(cis_store *store, struct cis_str tenant, const struct cis_skill_change *c,
                     const struct cis_stop *stop, struct cis_error *err)
{
    if (c->row == NULL) {
        return f.real->skill_change(store, tenant, c, stop, err);
    }
    return cis_fail(err, CIS_E_STORE, "the disk is full");
}

/* The old one goes when the new one is there, and with it its settings. */
static void an_install_that_fails_leaves_what_was_there(void **state)
{
    (void)state;
    install_first();
    assert_ok(set(&f.here, "secret", err));
    f.ops.skill_change = full;
    assert_fails(CIS_E_STORE, "the disk is full",
                 install(&f.here, OTHER, sizeof OTHER, CIS_INHERIT_NO, err));
    may("[\"ai\",\"http=https://a.example\"]", 1);
    f.ops.skill_change = change;
    assert_ok(install(&f.here, OTHER, sizeof OTHER, CIS_INHERIT_NO, err));
    may("[\"ai\",\"http=https://a.example\"]", 0);
}

static int run(const char *name)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_grant_revoked_on_another_host_stays_revoked),
        TEST(a_skill_removed_on_another_host_does_not_come_back),
        TEST(what_is_meant_for_one_package_is_not_for_another_one),
        TEST(an_install_inherits_nothing_that_came_meanwhile),
        TEST(a_removal_takes_what_is_there_by_then),
        TEST(an_install_that_fails_leaves_what_was_there),
    };
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    int failed = run("sqlite");
    cluster = pgcluster_start(NULL);
    failed += run("postgres");
    pgcluster_stop(cluster);
    return failed;
}
