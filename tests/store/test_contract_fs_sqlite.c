#include "harness.h"

#include "base/file.h"
#include "store/sqlite/sqlite.h"
#include "tree.h"

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

int main(int argc, char **argv)
{
    static const struct store_backend backend = {"sqlite", open_at, place_new, place_free};
    return store_fs_contract_run(&backend, argc, argv);
}
