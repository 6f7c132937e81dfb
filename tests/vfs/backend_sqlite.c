#include "store/sqlite/sqlite.h"
#include "vfs/backend_layered.h"
#include "vfs/ops.h"

void stores_start(void)
{
}

void stores_stop(void)
{
}

void *store_place_new(void)
{
    return test_dir_new();
}

cis_store *store_place_open(void *place)
{
    cis_store *store = NULL;
    assert_ok(cis_store_sqlite_open(place, &store, err));
    return store;
}

bool store_place_crash(void *place)
{
    (void)place;
    return false;
}

void store_place_free(void *place)
{
    remove_deep(place);
    free(place);
}
