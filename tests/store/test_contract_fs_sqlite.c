#include "harness.h"

#include <sqlite3.h>
#include "base/file.h"
#include "store/sqlite/integrity/pagesum.h"
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

/* Those in the chunk file and those in rows. */
static void damage(void *place)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tenants/default.chunks", (const char *)place);
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(64u << 20);
    if (cis_file_read(path, &b, NULL) == CIS_OK) {
        for (size_t i = 0; i < b.len; i += 512) {
            b.ptr[i] ^= 0x40;
        }
        FILE *f = fopen(path, "r+b"); /* the same file: the store has it open */
        assert_non_null(f);
        assert_int_equal(fwrite(b.ptr, 1, b.len, f), b.len);
        fclose(f);
    }
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/tenants/default.db", (const char *)place);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, CIS_SQL_VFS), SQLITE_OK);
    assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE payload SET data = zeroblob(length(data))", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
}

int main(int argc, char **argv)
{
    static const struct store_backend backend = {"sqlite", open_at, place_new, place_free, damage};
    return store_fs_contract_run(&backend, argc, argv);
}
