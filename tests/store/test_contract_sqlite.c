#include "harness.h"

#include "base/file.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"

static cis_store *open_at(void *place)
{
    cis_store *store = NULL;
    assert_ok(cis_store_sqlite_open(place, &store, err));
    return store;
}

static void *place_new(void)
{
    return test_dir_new();
}

static void place_free(void *place)
{
    assert_ok(cis_file_remove_tree(place, err));
    free(place);
}

int main(void)
{
    static const struct store_backend backend = {"sqlite", open_at, place_new, place_free, NULL};
    int failed = store_contract_run(&backend);
    failed += store_contract_refs_run(&backend);
    return failed + store_contract_skills_run(&backend);
}
