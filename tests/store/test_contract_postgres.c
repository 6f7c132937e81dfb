#include "harness.h"

#include "tools/pgcluster.h"
#include "store/postgres/postgres.h"
#include "contract.h"

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

int main(void)
{
    static const struct store_backend backend = {"postgres", open_at, place_new, place_free, NULL};
    cluster = pgcluster_start(NULL);
    int failed = store_contract_run(&backend);
    failed += store_contract_refs_run(&backend);
    failed += store_contract_skills_run(&backend);
    pgcluster_stop(cluster);
    return failed;
}
