/* The caches of a runtime are as large as its config says: after more work than fits, what each
 * holds is counted. */
#include "cis/cis.h"
#include "harness.h"
#include "base/crypto.h"
#include "base/file.h"
#include "lib/internal.h"
#include "store/sqlite/internal.h"
#include "store/sqlite/read.h"

enum { FILES = 2000, LEN = 1000 }; /* each in a row of its own */

struct opened {
    cis_runtime *runtime;
    cis_tenant *tenant;
    cis_workspace *w;
};

static struct opened open_with(const char *where, const struct cis_runtime_config *sizes)
{
    struct opened o = {NULL, NULL, NULL};
    struct cis_runtime_config config = *sizes;
    struct cis_workspace_options options = CIS_WORKSPACE_OPTIONS_INIT;
    config.compile_in_process = true;
    config.data_dir = where;
    assert_ok(cis_runtime_new(&config, &o.runtime, err));
    assert_ok(cis_tenant_open(o.runtime, NULL, &o.tenant, err));
    assert_ok(cis_workspace_open(o.tenant, &options, &o.w, err));
    return o;
}

static void close_all(struct opened *o)
{
    cis_workspace_close(o->w);
    cis_tenant_close(o->tenant);
    cis_runtime_free(o->runtime);
}

static int setup(void **state)
{
    *state = test_dir_new();
    return 0;
}

static int teardown(void **state)
{
    struct cis_error err;
    int failed = cis_file_remove_tree(*state, &err) != CIS_OK;
    free(*state);
    return failed;
}

static void write_files(const char *where)
{
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct opened o = open_with(where, &config);
    char path[32];
    uint8_t data[LEN];
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "/file%d", i);
        cis_random_bytes(data, sizeof data);
        assert_ok(cis_workspace_write(o.w, path, 0, data, sizeof data, true, err));
    }
    assert_ok(cis_workspace_commit(o.w, NULL, NULL, err));
    close_all(&o);
}

static void a_size_that_cannot_be_is_refused(void **state)
{
    struct cis_runtime_config good = CIS_RUNTIME_CONFIG_INIT;
    cis_runtime *runtime = NULL;
    good.compile_in_process = true;
    good.data_dir = *state;
    for (int i = 0; i < 6; i++) {
        struct cis_runtime_config wrong = good;
        uint64_t *bytes[] = {&wrong.cache_max, &wrong.cache_content, &wrong.cache_pages};
        uint32_t *counts[] = {&wrong.cache_names, &wrong.cache_inodes, &wrong.cache_modules};
        if (i < 3) {
            *bytes[i] = 1000;
        } else {
            *counts[i - 3] = 16777217;
        }
        assert_fails(CIS_E_USAGE, "is not between", cis_runtime_new(&wrong, &runtime, err));
    }
}

static void content_takes_as_many_bytes_as_is_said(void **state)
{
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct cis_fs_cache_stats stats;
    uint8_t *mib = malloc(1u << 20);
    char path[8];
    config.cache_content = 1u << 20;
    struct opened o = open_with(*state, &config);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "/f%d", i);
        cis_random_bytes(mib, 1u << 20);
        assert_ok(cis_workspace_write(o.w, path, 0, mib, 1u << 20, true, err));
    }
    assert_ok(cis_workspace_commit(o.w, NULL, NULL, err));
    for (int i = 0; i < 4; i++) {
        size_t n = 0;
        snprintf(path, sizeof path, "/f%d", i);
        assert_ok(cis_workspace_read(o.w, path, 0, mib, 1u << 20, &n, err));
        assert_int_equal(n, 1u << 20);
    }
    cis_fs_cache_stats(o.runtime->fs_cache, &stats);
    assert_true(stats.chunk_bytes <= 1u << 20);
    assert_true(stats.chunk_misses > 0);
    close_all(&o);
    free(mib);
}

/* Of a runtime with these sizes, after all files were asked for. */
static struct cis_fs_cache_stats kept_of(const char *where, uint32_t names, uint32_t inodes)
{
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct cis_fs_cache_stats stats;
    char path[32];
    config.cache_names = names;
    config.cache_inodes = inodes;
    struct opened o = open_with(where, &config);
    for (int i = 0; i < FILES; i++) {
        struct cis_file_info info = CIS_FILE_INFO_INIT;
        snprintf(path, sizeof path, "/file%d", i);
        assert_ok(cis_workspace_stat(o.w, path, &info, err));
        assert_int_equal(info.length, LEN);
    }
    cis_fs_cache_stats(o.runtime->fs_cache, &stats);
    close_all(&o);
    return stats;
}

static void names_and_attributes_are_as_many_as_is_said(void **state)
{
    write_files(*state);
    struct cis_fs_cache_stats stats = kept_of(*state, 512, 16384);
    assert_in_range(stats.entries, 100, 512);
    assert_in_range(stats.inodes, FILES, 16384);
    stats = kept_of(*state, 16384, 512);
    assert_in_range(stats.entries, FILES, 16384);
    assert_in_range(stats.inodes, 100, 512);
}

/* Bytes of pages that one reader holds when it has looked at all of the database. */
static int pages_of(const char *where, uint64_t bytes)
{
    CIS_CLEANUP(cis_sql_reader_give) struct sql_reader r = {.conn = NULL};
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    int used = 0, most = 0;
    config.cache_pages = bytes;
    struct opened o = open_with(where, &config);
    assert_ok(cis_sql_reader_take((struct sql_store *)o.runtime->store, CIS_STR("default"),
                                  (struct cis_view){0, 0}, NULL, &r, err));
    assert_int_equal(sqlite3_exec(r.conn->db, "PRAGMA quick_check", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_db_status(r.conn->db, SQLITE_DBSTATUS_CACHE_USED, &used, &most, 0),
                     SQLITE_OK);
    cis_sql_reader_give(&r);
    close_all(&o);
    return used;
}

static void readers_hold_pages_up_to_the_size_that_is_said(void **state)
{
    write_files(*state);
    assert_in_range(pages_of(*state, 128u << 20), 2 << 20, 64 << 20);
    assert_in_range(pages_of(*state, 1u << 20), 100 << 10, 1 << 20);
}

/* How often a module was found in memory: a, a, b, a. */
static uint64_t found_of(const char *where, uint32_t modules)
{
    static const char a[] = "\0asm\1\0\0\0", b[] = "\0asm\1\0\0\0\0\2\1x";
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct cis_engine_stats stats;
    config.cache_modules = modules;
    struct opened o = open_with(where, &config);
    for (int i = 0; i < 4; i++) {
        cis_module *module = NULL;
        assert_ok(cis_module_load(o.runtime, i == 2 ? b : a, (i == 2 ? sizeof b : sizeof a) - 1,
                                  "m", &module, err));
        cis_module_unref(module);
    }
    cis_engine_stats(o.runtime->engine, &stats);
    close_all(&o);
    return stats.memory_hits;
}

static void modules_that_nobody_holds_are_as_many_as_is_said(void **state)
{
    assert_int_equal(found_of(*state, 2), 2);
    assert_int_equal(found_of(*state, 1), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_size_that_cannot_be_is_refused),
        TEST(content_takes_as_many_bytes_as_is_said),
        TEST(names_and_attributes_are_as_many_as_is_said),
        TEST(readers_hold_pages_up_to_the_size_that_is_said),
        TEST(modules_that_nobody_holds_are_as_many_as_is_said),
    };
    return cmocka_run_group_tests_name("caches", tests, NULL, NULL);
}
