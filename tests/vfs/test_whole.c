/* cis_layered_write_whole: all of it or nothing, whatever ends it on its way: a quota, a budget,
 * the cap of what is stored; over content that is committed, dirty or was spilled. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/budget.h"
#include "vfs/backend_layered.h"
#include "store/calls.h"

enum { MAX = 512 * 1024 };

static const struct cis_vfs_call nobody = {0};

struct world {
    struct layered_place *place;
    struct cis_budget budget;
    cis_vfs *v;
    cis_vfs_file *file;
    uint64_t ino;
    /* what the file has to hold */
    uint8_t *want, *data, *got;
    uint64_t size;
};

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void noise(uint64_t seed, uint8_t *out, size_t len)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(next(&x) >> 32);
    }
}

static void quota(struct world *w, uint64_t bytes, uint64_t stored)
{
    struct cis_tenant limits = {.quota_bytes = bytes, .quota_stored = stored};
    cis_store *s = w->place->store;
    assert_ok(cis_store_tenant_quota(s, LAYERED_TENANT, &limits, NULL, err));
}

static void begin(struct world *w, uint64_t bytes, uint64_t stored)
{
    struct cis_vfs_attr attr;
    *w = (struct world){.place = layered_begin(), .budget = {.limit = 64u << 20}};
    cis_vfs_close(layered_open(w->place, "", (struct cis_view){0, 0}, false));
    quota(w, bytes, stored);
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = LAYERED_TENANT;
    o.dirty_bytes = 256u << 10; /* so that it spills */
    o.budget = &w->budget;
    assert_ok(cis_layered_open(w->place->fs_cache, &o, NULL, &w->v, err));
    assert_int_equal(
        cis_vfs_create(w->v, &nobody,
                       &(struct cis_vfs_create_request){1, CIS_STR("file"), 0644, O_RDWR}, &w->file,
                       &w->ino, &attr),
        0);
    w->want = calloc(1, 2 * MAX);
    w->data = malloc(MAX);
    w->got = malloc(2 * MAX);
}

static void end(struct world *w)
{
    cis_vfs_release(w->file);
    cis_vfs_forget(w->v, w->ino, 1);
    cis_vfs_close(w->v);
    assert_int_equal(w->budget.used, 0);
    layered_end(w->place);
    free(w->want);
    free(w->data);
    free(w->got);
}

static struct cis_vfs_attr stat_of(struct world *w)
{
    struct cis_vfs_attr attr;
    assert_int_equal(cis_vfs_getattr(w->v, &nobody, w->ino, &attr), 0);
    return attr;
}

static void assert_whole(struct world *w)
{
    struct iovec iov = {w->got, 2 * MAX};
    size_t n = 0;
    assert_int_equal(cis_vfs_read(w->file, &nobody, &iov, 1, 0, &n), 0);
    assert_int_equal(n, w->size);
    assert_memory_equal(w->got, w->want, n);
    assert_int_equal(stat_of(w).size, w->size);
}

static int put(struct world *w, uint64_t off, size_t len, bool truncate)
{
    struct cis_vfs_attr before = stat_of(w), after;
    struct cis_vfs_usage was, is;
    assert_int_equal(cis_vfs_statfs(w->v, &nobody, &was), 0);
    int no = cis_layered_write_whole(w->file, &nobody, off, w->data, len, truncate);
    assert_int_equal(cis_vfs_statfs(w->v, &nobody, &is), 0);
    if (no != 0) {
        after = stat_of(w);
        assert_int_equal(after.mtime.tv_sec, before.mtime.tv_sec);
        assert_int_equal(after.mtime.tv_nsec, before.mtime.tv_nsec);
        assert_int_equal(is.bytes, was.bytes);
    } else {
        uint64_t to = off + len;
        memcpy(w->want + off, w->data, len);
        w->size = truncate || to > w->size ? to : w->size;
        memset(w->want + w->size, 0, 2 * MAX - w->size);
    }
    assert_whole(w);
    return no;
}

static void commit(struct world *w)
{
    assert_ok(cis_layered_commit(w->v, NULL, NULL, NULL, err));
    assert_whole(w);
}

static void at_a_quota_nothing_is_written(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 300000, 0);
    noise(1, w.data, MAX);
    assert_int_equal(put(&w, 0, 100000, false), 0);
    noise(2, w.data, MAX);
    assert_int_equal(put(&w, 50000, 260000, false), EDQUOT); /* 200,000 would fit */
    assert_int_equal(put(&w, 0, 300001, true), EDQUOT);
    assert_int_equal(put(&w, 300001, 0, true), EDQUOT);
    commit(&w);
    assert_int_equal(put(&w, 99999, 200002, true), EDQUOT);
    assert_int_equal(put(&w, 1, 299999, true), 0); /* to the last byte */
    assert_int_equal(cis_layered_fits(w.v, &nobody, 1), EDQUOT);
    assert_int_equal(cis_layered_fits(w.v, &nobody, 0), 0);
    assert_int_equal(put(&w, 70000, 10, true), 0); /* and what is cut off is there again */
    assert_int_equal(cis_layered_fits(w.v, &nobody, 300000 - 70010), 0);
    assert_int_equal(put(&w, 70010, 300000 - 70010, false), 0);
    commit(&w);
    end(&w);
}

static void at_the_cap_of_what_is_stored_nothing_is_written(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 0, 600u << 10);
    noise(1, w.data, MAX);
    assert_int_equal(put(&w, 0, 300000, false), 0);
    commit(&w);
    noise(2, w.data, MAX);
    assert_int_equal(put(&w, 100, 400000, false), ENOSPC);
    assert_int_equal(put(&w, 0, 400000, true), ENOSPC);
    assert_false(cis_layered_dirty(w.v)); /* there is nothing to commit */
    assert_int_equal(put(&w, 100, 100000, true), 0);
    commit(&w);
    end(&w);
}

/* The budget ends writes after any number of blocks. */
static void whatever_ends_it_earlier_blocks_are_what_they_were(void **state)
{
    (void)state;
    struct world w;
    uint64_t x = 88172645463325252u;
    unsigned done = 0, refused = 0;
    begin(&w, 0, 0);
    for (unsigned i = 0; i < 400; i++) {
        uint64_t off = next(&x) % MAX;
        size_t len = 1 + next(&x) % (next(&x) % 3 == 0 ? 900u : (unsigned)MAX - 1);
        off = next(&x) % 4 == 0 ? 0 : off;
        noise(i, w.data, len);
        if (next(&x) % 2 == 0) {
            w.budget.limit = w.budget.used + next(&x) % 1400;
        }
        int no = put(&w, off, len, next(&x) % 4 == 0);
        assert_true(no == 0 || no == ENOSPC);
        done += no == 0;
        refused += no != 0;
        w.budget.limit = 64u << 20;
        if (next(&x) % 8 == 0) {
            commit(&w);
        }
        if (next(&x) % 16 == 0) {
            cis_layered_discard(w.v);
            struct iovec iov = {w.want, 2 * MAX};
            size_t n = 0; /* what the last commit left */
            cis_vfs_release(w.file);
            int gone = cis_vfs_open(w.v, &nobody, w.ino, O_RDWR, &w.file);
            if (gone != 0) { /* it had never been committed */
                uint64_t ino;
                struct cis_vfs_attr attr;
                assert_int_equal(cis_vfs_create(w.v, &nobody,
                                                &(struct cis_vfs_create_request){1, CIS_STR("file"),
                                                                                 0644, O_RDWR},
                                                &w.file, &ino, &attr),
                                 0);
                cis_vfs_forget(w.v, w.ino, 1);
                w.ino = ino;
            }
            memset(w.want, 0, 2 * MAX);
            assert_int_equal(cis_vfs_read(w.file, &nobody, &iov, 1, 0, &n), 0);
            w.size = n;
        }
    }
    assert_true(done > 50 && refused > 50);
    commit(&w);
    end(&w);
}

/* ---- beside commits ---- */

static size_t len_of(unsigned round)
{
    return 150000 + round % 7 * 30000;
}

struct writer {
    struct world *w;
    atomic_bool stop;
};

static void *write_on(void *arg)
{
    struct writer *writer = arg;
    struct world *w = writer->w;
    for (unsigned round = 0; !atomic_load(&writer->stop); round++) {
        memset(w->data, (int)(round % 7 + 1), len_of(round));
        if (cis_layered_write_whole(w->file, &nobody, 0, w->data, len_of(round), true) != 0) {
            return writer;
        }
    }
    return NULL;
}

/* What a commit took is one of the writes, never parts of two. */
static void assert_one_write(struct world *w, struct cis_view view)
{
    cis_vfs *old = layered_open(w->place, "", view, true);
    cis_vfs_file *file = NULL;
    cis_node node = 0;
    struct cis_vfs_attr attr;
    struct iovec iov = {w->got, 2 * MAX};
    size_t n = 0;
    assert_int_equal(cis_vfs_lookup(old, &nobody, 1, CIS_STR("file"), &node, &attr), 0);
    assert_int_equal(cis_vfs_open(old, &nobody, node, O_RDONLY, &file), 0);
    assert_int_equal(cis_vfs_read(file, &nobody, &iov, 1, 0, &n), 0);
    cis_vfs_release(file);
    cis_vfs_forget(old, node, 1);
    cis_vfs_close(old);
    if (n != 0) { /* else before the first */
        assert_in_range(w->got[0], 1, 7);
        assert_int_equal(n, len_of(w->got[0] - 1u));
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(w->got[i], w->got[0]);
        }
    }
}

static void a_commit_beside_it_has_all_of_a_write_or_nothing(void **state)
{
    (void)state;
    struct world w;
    struct writer writer = {.w = &w};
    pthread_t thread;
    void *failed = NULL;
    begin(&w, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &writer), 0);
    for (int i = 0; i < 25; i++) {
        struct cis_fs_committed done;
        assert_ok(cis_layered_commit(w.v, NULL, &done, NULL, err));
        assert_one_write(&w, done.view);
    }
    atomic_store(&writer.stop, true);
    pthread_join(thread, &failed);
    assert_null(failed);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_a_quota_nothing_is_written),
        cmocka_unit_test(at_the_cap_of_what_is_stored_nothing_is_written),
        cmocka_unit_test(a_commit_beside_it_has_all_of_a_write_or_nothing),
        cmocka_unit_test(whatever_ends_it_earlier_blocks_are_what_they_were),
    };
    stores_start();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stores_stop();
    return failed;
}
