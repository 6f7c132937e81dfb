/* System tests that run on SQLite and, built with FS_POSTGRES, on a private PostgreSQL server that
 * the test program starts and stops. Each test gets a store of its own. */
#ifndef CIS_TESTS_STORED_H
#define CIS_TESTS_STORED_H

#include "system.h"
#include "tools/pgcluster.h"

static struct pgcluster *cluster; /* NULL: SQLite */

struct world {
    struct sys sys; /* first: what the helpers take */
    char *url;      /* of the test's database; NULL: SQLite */
    char env[4300];
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->sys.home = test_dir_new();
    if (cluster != NULL) {
        w->url = pgcluster_store(cluster);
        snprintf(w->env, sizeof w->env, "CIS_STORE=%s", w->url);
    } else {
        snprintf(w->env, sizeof w->env, "CIS_STORE=sqlite:%s/store", w->sys.home);
    }
    w->sys.env[0] = w->env;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    int failed = sys_end(&w->sys);
    if (cluster != NULL) {
        pgcluster_drop(cluster, w->url);
    }
    free(w);
    return failed;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static inline int stored_main(const char *name, const struct CMUnitTest *tests, size_t n)
{
#ifdef FS_POSTGRES
    cluster = pgcluster_start(NULL);
#endif
    int failed = _cmocka_run_group_tests(name, tests, n, NULL, NULL);
    if (cluster != NULL) {
        pgcluster_stop(cluster);
    }
    return failed;
}
#define STORED_MAIN(name, tests) stored_main((name), (tests), sizeof(tests) / sizeof *(tests))

#endif
