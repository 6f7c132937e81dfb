/* Where the SQLite backend keeps contents: in rows or in the chunk file, moved by gc, given back to
 * the file system when they are removed or were left over. */
#include "harness.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include "base/crypto.h"
#include "base/file.h"
#include "store/sqlite/integrity/pagesum.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"
#include "tree.h"
#include "store/calls.h"

struct fixture {
    char *dir;
    char db[512], chunks[512];
    cis_store *s;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->dir = test_dir_new();
    snprintf(f->db, sizeof f->db, "%s/tenants/default.db", f->dir);
    snprintf(f->chunks, sizeof f->chunks, "%s/tenants/default.chunks", f->dir);
    assert_ok(cis_store_sqlite_open(f->dir, &f->s, err));
    assert_ok(cis_store_tenant_create(f->s, T, 0, 0, NULL, err));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cis_store_close(f->s);
    assert_ok(cis_file_remove_tree(f->dir, err));
    free(f->dir);
    free(f);
    return 0;
}

static int64_t number(const struct fixture *f, const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open_v2(f->db, &db, SQLITE_OPEN_READWRITE, CIS_SQL_VFS), SQLITE_OK);
    assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

static void assert_whole(const struct fixture *f)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(65536);
    assert_ok(cis_store_check(f->s, T, &faults, NULL, err));
    assert_string_equal(cis_buf_cstr(&faults), "");
}

static void assert_content(const struct fixture *f, uint64_t id, const uint8_t *content, size_t len)
{
    static uint8_t got[CIS_FS_BLOCK];
    assert_ok(packed_read(f->s, id, 0, (uint32_t)len, got));
    assert_memory_equal(got, content, len);
}

static int64_t disk_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_blocks * 512 : 0;
}

/* A commit that brings its chunk itself. Returns the chunk's id. */
static uint64_t commit_with(const struct fixture *f, const uint8_t *content, size_t len)
{
    struct packed p = packed_new(f->s, content, len);
    struct tree *t = tree_new(f->s, "");
    char name[16];
    snprintf(name, sizeof name, "f%d", (int)len);
    uint64_t ino = tree_file(t, CIS_FS_ROOT, name, "");
    tree_size(t, ino, len);
    tree_extent(t, ino, 0, 0, 0);
    t->chunks[0] = p.chunk;
    t->fs.chunks = t->chunks;
    t->fs.nchunks = 1;
    (void)tree_commit(t);
    free(p.bytes);
    return (uint64_t)number(f, "SELECT max(id) FROM chunk");
}

static void contents_of_a_commit_are_rows_until_gc_moves_them(void **state)
{
    const struct fixture *f = *state;
    static uint8_t small[1000], large[40000];
    cis_random_bytes(small, sizeof small);
    cis_random_bytes(large, sizeof large);
    uint64_t one = commit_with(f, small, sizeof small), two = commit_with(f, large, sizeof large);
    assert_int_equal(number(f, "SELECT count(*) FROM payload"), 2);
    assert_content(f, one, small, sizeof small);
    assert_content(f, two, large, sizeof large);
    assert_false(cis_file_exists(f->chunks));
    uint64_t removed = 9;
    assert_ok(cis_store_chunk_remove(f->s, T, &(struct cis_fs_remove_request){NULL, 0, 0}, &removed,
                                     NULL, err));
    assert_int_equal(removed, 0);
    assert_int_equal(number(f, "SELECT count(*) FROM payload"), 1); /* the small one stays */
    assert_int_equal(number(f, "SELECT count(*) FROM chunk WHERE place >= 0"), 1);
    assert_content(f, one, small, sizeof small);
    assert_content(f, two, large, sizeof large);
    assert_whole(f);
    assert_ok(cis_store_chunk_remove(f->s, T, &(struct cis_fs_remove_request){NULL, 0, 0}, &removed,
                                     NULL, err)); /* nothing more */
    assert_content(f, two, large, sizeof large);
    assert_whole(f);
}

static void contents_in_bulk_are_in_the_file_and_the_same_ones_once(void **state)
{
    const struct fixture *f = *state;
    static uint8_t content[CIS_FS_BLOCK];
    cis_random_bytes(content, sizeof content);
    uint64_t id = packed_put(f->s, content, sizeof content);
    assert_int_equal(number(f, "SELECT count(*) FROM payload"), 0);
    int64_t before = disk_of(f->chunks);
    assert_true(before >= (int64_t)sizeof content);
    assert_int_equal(packed_put(f->s, content, sizeof content), id);
    struct packed twice = packed_new(f->s, content, sizeof content - 1);
    struct cis_fs_chunk same[3] = {twice.chunk, twice.chunk, twice.chunk};
    uint64_t ids[3];
    assert_ok(
        cis_store_chunk_put(f->s, T, &(struct cis_fs_put_request){same, 3, false}, ids, NULL, err));
    assert_int_equal(ids[0], ids[1]);
    assert_int_equal(ids[0], ids[2]);
    assert_true(disk_of(f->chunks) <= before + (int64_t)sizeof content);
    free(twice.bytes);
    assert_whole(f);
}

static void removed_contents_become_holes(void **state)
{
    const struct fixture *f = *state;
    static uint8_t content[8][CIS_FS_BLOCK];
    uint64_t ids[8], removed = 0;
    for (int i = 0; i < 8; i++) {
        cis_random_bytes(content[i], CIS_FS_BLOCK);
        ids[i] = packed_put(f->s, content[i], CIS_FS_BLOCK);
    }
    int64_t before = disk_of(f->chunks);
    assert_ok(cis_store_chunk_remove(f->s, T, &(struct cis_fs_remove_request){ids, 7, INT64_MAX},
                                     &removed, NULL, err));
    assert_int_equal(removed, 7);
    assert_true(disk_of(f->chunks) <= before - 7 * (int64_t)CIS_FS_BLOCK);
    assert_content(f, ids[7], content[7], CIS_FS_BLOCK);
    static uint8_t got[CIS_FS_BLOCK];
    assert_int_equal(packed_read(f->s, ids[0], 0, CIS_FS_BLOCK, got), CIS_E_DAMAGED);
    assert_whole(f);
}

static void what_a_killed_writer_left_is_given_back_by_gc(void **state)
{
    const struct fixture *f = *state;
    static uint8_t content[CIS_FS_BLOCK], junk[20 * CIS_FS_BLOCK];
    cis_random_bytes(content, sizeof content);
    uint64_t first = packed_put(f->s, content, sizeof content), removed;
    cis_random_bytes(junk, sizeof junk);
    int fd = open(f->chunks, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, junk, sizeof junk), sizeof junk);
    close(fd);
    content[0] ^= 1;
    uint64_t last = packed_put(f->s, content, sizeof content);
    int64_t before = disk_of(f->chunks);
    assert_ok(cis_store_chunk_remove(f->s, T, &(struct cis_fs_remove_request){NULL, 0, 0}, &removed,
                                     NULL, err));
    assert_true(disk_of(f->chunks) <= before - (int64_t)sizeof junk);
    assert_content(f, last, content, sizeof content);
    content[0] ^= 1;
    assert_content(f, first, content, sizeof content);
    assert_whole(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(contents_of_a_commit_are_rows_until_gc_moves_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(contents_in_bulk_are_in_the_file_and_the_same_ones_once,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(removed_contents_become_holes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_killed_writer_left_is_given_back_by_gc, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
