#include "store/postgres/postgres.h"
#include "tools/pgcluster.h"
#include "vfs/backend_layered.h"

#ifndef STORE_SETTINGS
#define STORE_SETTINGS NULL
#endif

static struct pgcluster *cluster;

void stores_start(void)
{
    cluster = pgcluster_start(STORE_SETTINGS);
}

void stores_stop(void)
{
    pgcluster_stop(cluster);
}

void *store_place_new(void)
{
    return pgcluster_store(cluster);
}

cis_store *store_place_open(void *place)
{
    cis_store *store = NULL;
    assert_ok(cis_store_postgres_open(place, NULL, &store, NULL, err));
    return store;
}

bool store_place_crash(void *place)
{
    (void)place;
    pgcluster_kill(cluster);
    pgcluster_again(cluster);
    return true;
}

void store_place_free(void *place)
{
    pgcluster_drop(cluster, place);
}
