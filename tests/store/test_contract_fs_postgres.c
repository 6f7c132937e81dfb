#include "harness.h"

#include "tools/pgcluster.h"
#include "store/postgres/postgres.h"
#include "tree.h"

static struct pgcluster *cluster;

static cis_store *open_at(void *place)
{
    cis_store *store = NULL;
    assert_ok(cis_store_postgres_open(place, NULL, &store, NULL, err));
    return store;
}

static void *place_new(void)
{
    return pgcluster_store(cluster);
}

static void place_free(void *place)
{
    pgcluster_drop(cluster, place);
}

static void damage(void *place)
{
    const char *db = strchr((const char *)place + strlen("postgres://"), '/') + 1;
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(db, "?"), db);
    pgcluster_run(cluster, name,
                  "UPDATE cis.chunk SET data = set_byte(data, 0, get_byte(data, 0) # 64)");
}

int main(int argc, char **argv)
{
    static const struct store_backend backend = {"postgres", open_at, place_new, place_free,
                                                 damage};
    cluster = pgcluster_start(NULL);
    int failed = store_fs_contract_run(&backend, argc, argv);
    pgcluster_stop(cluster);
    return failed;
}
