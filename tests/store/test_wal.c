/* The write-ahead log stays short whatever readers do. */
#include "harness.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/file.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"

enum { READERS = 4, WRITES = 12000, VALUE = 8000 };

struct crowd {
    cis_store *s;
    atomic_bool end;
};

static bool ignore(void *self, const struct cis_kv_entry *entry)
{
    (void)self;
    (void)entry;
    return true;
}

static bool ignore_inode(void *self, const struct cis_fs_inode *inode)
{
    (void)self;
    (void)inode;
    return true;
}

/* One read transaction after the other, by turns kept open between operations and not. */
static void *read_on(void *arg)
{
    struct crowd *c = arg;
    uint64_t root = CIS_FS_ROOT;
    while (!c->end) {
        struct cis_fs_ref ref;
        bool found;
        assert_ok(c->s->fs->ref_get(c->s, T, CIS_STR("main"), &ref, NULL, err));
        assert_ok(c->s->fs->inodes(c->s, T, ref.head, &root, 1, ignore_inode, NULL, NULL, err));
        assert_ok(c->s->ops->kv_get(c->s, T, CIS_VIEW_HEAD, CIS_STR("a"), CIS_STR("k"), ignore,
                                    NULL, &found, NULL, err));
    }
    return NULL;
}

static void the_log_stays_short_while_readers_overlap(void **state)
{
    char *dir = test_dir_new(), path[600], *value = malloc(VALUE + 1);
    struct crowd c = {.s = NULL};
    pthread_t readers[READERS];
    int64_t longest = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/tenants/default.db-wal", dir);
    memset(value, 'v', VALUE);
    value[VALUE] = 0;
    assert_ok(cis_store_sqlite_open(dir, &c.s, err));
    struct cis_kv_op op = store_put("a", "k", value);
    assert_ok(store_apply(c.s, &op, 1, err));
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &c), 0);
    }
    uint64_t began = cis_clock_mono_ns();
    for (int i = 0; i < WRITES && cis_clock_mono_ns() - began < 8 * CIS_NS_PER_S; i++) {
        struct stat st;
        value[0] = (char)('a' + i % 20);
        assert_ok(store_apply(c.s, &op, 1, err));
        longest = stat(path, &st) == 0 && st.st_size > longest ? (int64_t)st.st_size : longest;
    }
    c.end = true;
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    print_message("%" PRId64 " KiB at most\n", longest / 1024);
    assert_in_range(longest, 1, 24 << 20);
    c.s->ops->close(c.s);
    assert_ok(cis_file_remove_tree(dir, err));
    free(value);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_stays_short_while_readers_overlap),
    };
    return cmocka_run_group_tests_name("store/sqlite log", tests, NULL, NULL);
}
