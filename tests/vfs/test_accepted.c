/* What a mount accepted is committed, whatever else becomes of the tenant's quotas meanwhile: other
 * mounts of the tenant, runs, a quota that is lowered. And mounts stay near the quota of what is
 * stored, though none knows what the others have not committed. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/mem.h"
#include "vfs/backend_layered.h"
#include "store/calls.h"

static const struct cis_vfs_call nobody = {0};

/* docs/filesystem.md: how far mounts go above the quota. */
static uint64_t with_mounts(uint64_t quota, int mounts)
{
    return quota / 2 * 3 + (512u << 10) + (uint64_t)mounts * (128u << 10);
}

static int link_one(cis_vfs *v, const char *prefix, int n)
{
    char name[40], target[4001]; /* hardly estimated: it counts what it is */
    memset(target, 't', 4000);
    target[4000] = 0;
    struct cis_vfs_make make = {.mode = S_IFLNK | 0777, .target = cis_str_of(target)};
    struct cis_vfs_attr attr;
    uint64_t ino = 0;
    snprintf(name, sizeof name, "%s-%d", prefix, n);
    int no = cis_vfs_make(v, &nobody, CIS_FS_ROOT, cis_str_of(name), &make, &ino, &attr);
    if (no == 0) {
        cis_vfs_forget(v, ino, 1);
    }
    return no;
}

/* Noise in a file of its own; what did not fit of it is no error of a write before. */
static int write_some(cis_vfs *v, const char *who, int i, size_t len)
{
    CIS_CLEANUP(cis_freep) uint8_t *noise = cis_alloc(len);
    char name[64];
    uint64_t x = (uint64_t)i * 0x9E3779B97F4A7C15u + (uint64_t)who[1];
    assert_non_null(noise);
    for (size_t k = 0; k < len; k++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        noise[k] = (uint8_t)(x >> 56);
    }
    snprintf(name, sizeof name, "%s-%d", who, i);
    cis_vfs_file *file;
    struct cis_vfs_attr attr;
    uint64_t ino, end;
    size_t n = 0;
    struct iovec iov = {noise, len};
    int no = cis_vfs_create(
        v, &nobody, &(struct cis_vfs_create_request){CIS_FS_ROOT, cis_str_of(name), 0644, O_RDWR},
        &file, &ino, &attr);
    if (no != 0) {
        return no;
    }
    no = cis_vfs_write(file, &nobody, &iov, 1, 0, &n, &end);
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    return no != 0 ? no : n == len ? 0 : ENOSPC;
}

static int write_large(cis_vfs *v, const char *who, int i)
{
    return write_some(v, who, i, 256u << 10);
}

/* A few bytes of every block of a file that is there: all of each block is stored again. */
static int touch_blocks(cis_vfs *v, const char *who, int i)
{
    enum { BLOCK = 64 << 10, SIZE = 512 << 10 };
    cis_vfs_file *file;
    struct cis_vfs_attr attr;
    cis_node node;
    uint64_t end;
    size_t n = 0;
    char mark[16];
    if (i == 0) {
        int no = write_some(v, who, 0, SIZE);
        no = no != 0 ? no : cis_vfs_flush(v, &nobody);
        if (no != 0) {
            return no;
        }
    }
    snprintf(mark, sizeof mark, "%s-0", who);
    assert_int_equal(cis_vfs_lookup(v, &nobody, CIS_FS_ROOT, cis_str_of(mark), &node, &attr), 0);
    assert_int_equal(cis_vfs_open(v, &nobody, node, O_RDWR, &file), 0);
    snprintf(mark, sizeof mark, "%s %d", who, i);
    struct iovec iov = {mark, sizeof mark};
    int no = cis_vfs_write(file, &nobody, &iov, 1, (uint64_t)(i % 8) * BLOCK, &n, &end);
    cis_vfs_release(file);
    cis_vfs_forget(v, node, 1);
    return no == 0 && i % 8 == 7 ? cis_vfs_flush(v, &nobody) : no;
}

/* ---- mounts of branches of their own ---- */
struct mounts {
    struct layered_place *place;
    int n;
    cis_vfs **v;
    uint64_t quota;
};

static struct cis_tenant tenant_of(cis_store *s)
{
    struct cis_tenant row;
    assert_ok(cis_store_tenant_get(s, LAYERED_TENANT, &row, NULL, err));
    return row;
}

static void quota_is(cis_store *s, struct cis_tenant quota)
{
    assert_ok(cis_store_tenant_quota(s, LAYERED_TENANT, &quota, NULL, err));
}

static cis_vfs *mount_open(struct layered_place *place, const char *name)
{
    cis_store *s = place->store;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    cis_vfs *v = NULL;
    o.tenant = LAYERED_TENANT;
    o.ref = cis_str_of(name);
    o.auto_commit = true;
    assert_ok(cis_store_lease(s, LAYERED_TENANT,
                              &(struct cis_fs_lease_request){o.ref, name, 0, 600000}, &o.fence,
                              NULL, err));
    assert_ok(cis_layered_open(place->fs_cache, &o, NULL, &v, err));
    return v;
}

/* links: what there is before; room: how much of the quota is left then. */
static struct mounts mounts_begin(int n, int links, uint64_t room)
{
    struct mounts m = {.place = layered_begin(), .n = n};
    cis_store *s = m.place->store;
    cis_vfs *first = layered_open(m.place, "", (struct cis_view){0, 0}, false);
    struct cis_fs_committed done;
    m.v = cis_calloc((size_t)n, sizeof *m.v);
    assert_non_null((void *)m.v);
    for (int i = 0; i < links; i++) {
        assert_int_equal(link_one(first, "before", i), 0);
    }
    assert_ok(cis_layered_commit(first, NULL, &done, NULL, err));
    cis_vfs_close(first);
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        const struct cis_str ref = cis_str_of(name);
        assert_ok(cis_store_fork(s, LAYERED_TENANT, done.view, &ref, 1, NULL, err));
    }
    m.quota = tenant_of(s).stored + room;
    quota_is(s, (struct cis_tenant){.quota_stored = m.quota});
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        m.v[i] = mount_open(m.place, name);
    }
    return m;
}

static void mounts_end(struct mounts *m)
{
    for (int i = 0; i < m->n; i++) {
        assert_ok(cis_layered_commit(m->v[i], NULL, NULL, NULL, err)); /* all that was accepted */
        assert_false(cis_layered_dirty(m->v[i]));
        cis_vfs_close(m->v[i]);
    }
    cis_free((void *)m->v);
    layered_end(m->place);
}

static void assert_near_the_quota(const struct mounts *m)
{
    for (int i = 0; i < m->n; i++) {
        assert_ok(cis_layered_commit(m->v[i], NULL, NULL, NULL, err));
    }
    assert_true(tenant_of(m->place->store).stored <= with_mounts(m->quota, m->n));
}

/* In turn, each does one thing after another until it is refused. */
static void mounts_at_the_cap(int n, uint64_t room, int (*one)(cis_vfs *, const char *, int),
                              int least)
{
    struct mounts m = mounts_begin(n, 1000, room);
    CIS_CLEANUP(cis_freep) int *made = cis_calloc((size_t)n, sizeof *made);
    CIS_CLEANUP(cis_freep) bool *ended = cis_calloc((size_t)n, sizeof *ended);
    int all = 0;
    assert_true(made != NULL && ended != NULL);
    for (int k = 0, left = n; left != 0; k++) {
        int i = k % n;
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        if (!ended[i]) {
            int no = one(m.v[i], name, made[i]);
            assert_true(no == 0 || no == ENOSPC);
            ended[i] = no != 0;
            made[i] += no == 0;
            left -= no != 0;
            all += no == 0;
        }
    }
    assert_near_the_quota(&m);
    assert_true(all > least);
    mounts_end(&m);
}

static void names_that_one_mount_accepted_fit_its_next_flush(void **state)
{
    (void)state;
    mounts_at_the_cap(1, 100000, link_one, 50);
}

static void names_that_three_mounts_accepted_fit_their_next_flushes(void **state)
{
    (void)state;
    mounts_at_the_cap(3, 100000, link_one, 50);
}

static void names_that_ten_mounts_accepted_fit_their_next_flushes(void **state)
{
    (void)state;
    mounts_at_the_cap(10, 100000, link_one, 50);
}

static void content_that_one_mount_accepted_is_committed(void **state)
{
    (void)state;
    mounts_at_the_cap(1, 8u << 20, write_large, 25);
}

static void content_that_three_mounts_accepted_is_committed(void **state)
{
    (void)state;
    mounts_at_the_cap(3, 8u << 20, write_large, 25);
}

static void content_that_ten_mounts_accepted_is_committed(void **state)
{
    (void)state;
    mounts_at_the_cap(10, 8u << 20, write_large, 20);
}

static void blocks_that_mounts_wrote_a_little_of_count_as_whole_ones(void **state)
{
    (void)state;
    mounts_at_the_cap(3, 8u << 20, touch_blocks, 40);
}

/* ---- at the same time ---- */
struct worker {
    pthread_t thread;
    struct mounts *m;
    int i;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    cis_vfs *v = w->m->v[w->i];
    char name[16];
    snprintf(name, sizeof name, "m%d", w->i);
    for (int k = 0, refused = 0; k < 4000 && refused < 20; k++) {
        int no = k % 3 == 0 ? link_one(v, "link", k) : write_some(v, name, k, 1u << (k % 19));
        refused += no == ENOSPC;
        if (no != 0 && no != ENOSPC) {
            return w;
        }
        if (k % 50 == 49 && cis_vfs_flush(v, &nobody) != 0) {
            return w;
        }
    }
    return NULL;
}

static void mounts_that_write_at_the_same_time_are_never_refused_a_commit(void **state)
{
    enum { N = 4 };
    struct worker w[N];
    (void)state;
    struct mounts m = mounts_begin(N, 100, 4u << 20);
    for (int i = 0; i < N; i++) {
        w[i] = (struct worker){.m = &m, .i = i};
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        void *failed = NULL;
        pthread_join(w[i].thread, &failed);
        assert_null(failed);
    }
    assert_near_the_quota(&m);
    mounts_end(&m);
}

/* ---- others ---- */
static void fill(cis_store *s)
{
    static char text[60000];
    memset(text, 'r', sizeof text);
    for (unsigned i = 0; i < 10000; i++) {
        struct cis_run_row row = {.skill = CIS_STR("file:x"),
                                  .status = CIS_STR("ok"),
                                  .report = {text, i % 2 == 0 ? sizeof text : 100}};
        struct cis_store_commit c = {.run = &row};
        snprintf(row.id, sizeof row.id, "%026u", i);
        cis_code code = cis_store_commit(s, LAYERED_TENANT, &c, NULL, NULL);
        if (code != CIS_OK) {
            assert_int_equal(code, CIS_E_QUOTA);
            return;
        }
    }
    fail_msg("nothing bounds records of runs");
}

static void records_of_runs_do_not_take_the_room_of_what_was_accepted(void **state)
{
    (void)state;
    struct mounts m = mounts_begin(1, 1000, 2u << 20);
    assert_int_equal(write_some(m.v[0], "m0", 0, 300000), 0);
    assert_int_equal(link_one(m.v[0], "link", 0), 0);
    fill(m.place->store);
    assert_ok(cis_layered_commit(m.v[0], NULL, NULL, NULL, err));
    assert_int_equal(link_one(m.v[0], "link", 1), ENOSPC); /* it learned */
    mounts_end(&m);
}

/* What a run writes is one commit, which is checked when the run ends: it is told then. */
static void a_run_beside_mounts_is_told_at_its_end_and_takes_nothing_from_them(void **state)
{
    (void)state;
    struct mounts m = mounts_begin(3, 200, 4u << 20);
    cis_vfs *run = layered_open(m.place, "", (struct cis_view){0, 0}, false);
    assert_int_equal(write_some(run, "run", 0, 1u << 20), 0);
    for (int i = 0; i < m.n; i++) {
        int no = 0;
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        for (int k = 0; no == 0; k++) {
            no = k % 4 == 0 ? link_one(m.v[i], "link", k) : write_large(m.v[i], name, k);
        }
        assert_int_equal(no, ENOSPC);
    }
    assert_int_equal(cis_layered_commit(run, NULL, NULL, NULL, NULL), CIS_E_QUOTA);
    assert_near_the_quota(&m);
    cis_vfs_close(run);
    mounts_end(&m);
}

static void a_quota_that_is_lowered_takes_nothing_back(void **state)
{
    (void)state;
    struct mounts m = mounts_begin(1, 100, 2u << 20);
    cis_store *s = m.place->store;
    uint64_t ino;
    struct cis_vfs_attr attr;
    cis_vfs_file *file;
    assert_int_equal(write_some(m.v[0], "m0", 0, 300000), 0);
    quota_is(s, (struct cis_tenant){.quota_stored = 1000, .quota_files = 1, .quota_bytes = 1});
    assert_ok(cis_layered_commit(m.v[0], NULL, NULL, NULL, err));
    assert_int_equal(write_some(m.v[0], "m0", 1, 10), ENOSPC);
    quota_is(s, (struct cis_tenant){.quota_files = 1, .quota_bytes = 1});
    assert_ok(cis_layered_quota(m.v[0], NULL, err)); /* as its keeper does */
    assert_int_equal(
        cis_vfs_create(m.v[0], &nobody,
                       &(struct cis_vfs_create_request){CIS_FS_ROOT, CIS_STR("new"), 0644, O_RDWR},
                       &file, &ino, &attr),
        EDQUOT);
    quota_is(s, (struct cis_tenant){.quota_bytes = 1});
    assert_ok(cis_layered_quota(m.v[0], NULL, err));
    assert_int_equal(write_some(m.v[0], "m0", 2, 10), EDQUOT);
    mounts_end(&m);
}

static void a_quota_that_is_set_later_bounds_a_mount(void **state)
{
    (void)state;
    struct mounts m = mounts_begin(2, 100, 2u << 20);
    cis_store *s = m.place->store;
    quota_is(s, (struct cis_tenant){0});
    for (int i = 0; i < m.n; i++) {
        assert_ok(cis_layered_quota(m.v[i], NULL, err));
    }
    assert_int_equal(write_some(m.v[0], "m0", 0, 4u << 20), 0); /* without bounds */
    assert_ok(cis_layered_commit(m.v[0], NULL, NULL, NULL, err));
    m.quota = tenant_of(s).stored + (256u << 10);
    quota_is(s, (struct cis_tenant){.quota_stored = m.quota});
    for (int i = 0; i < m.n; i++) {
        assert_ok(cis_layered_quota(m.v[i], NULL, err));
        assert_int_equal(write_some(m.v[i], "late", i, 4u << 20), ENOSPC);
    }
    assert_near_the_quota(&m);
    mounts_end(&m);
}

/* A mount that lost its lease saves what it accepted as a branch of its own. */
static void what_a_lost_lease_leaves_is_saved_above_the_quota(void **state)
{
    (void)state;
    struct mounts m = mounts_begin(1, 1000, 2u << 20);
    cis_store *s = m.place->store;
    struct cis_str saved = CIS_STR("m0@lost-1");
    struct cis_fs_ref ref;
    char left[CIS_ERROR_MSG_MAX];
    assert_int_equal(write_some(m.v[0], "m0", 0, 300000), 0);
    fill(s);
    assert_ok(cis_layered_commit_rest(m.v[0], &saved, left, NULL, err));
    assert_string_equal(left, "");
    assert_ok(cis_store_ref_get(s, LAYERED_TENANT, saved, &ref, NULL, err));
    assert_true(ref.bytes >= 300000);
    mounts_end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_one_mount_accepted_fit_its_next_flush),
        cmocka_unit_test(names_that_three_mounts_accepted_fit_their_next_flushes),
        cmocka_unit_test(names_that_ten_mounts_accepted_fit_their_next_flushes),
        cmocka_unit_test(content_that_one_mount_accepted_is_committed),
        cmocka_unit_test(content_that_three_mounts_accepted_is_committed),
        cmocka_unit_test(content_that_ten_mounts_accepted_is_committed),
        cmocka_unit_test(blocks_that_mounts_wrote_a_little_of_count_as_whole_ones),
        cmocka_unit_test(mounts_that_write_at_the_same_time_are_never_refused_a_commit),
        cmocka_unit_test(records_of_runs_do_not_take_the_room_of_what_was_accepted),
        cmocka_unit_test(a_run_beside_mounts_is_told_at_its_end_and_takes_nothing_from_them),
        cmocka_unit_test(a_quota_that_is_lowered_takes_nothing_back),
        cmocka_unit_test(a_quota_that_is_set_later_bounds_a_mount),
        cmocka_unit_test(what_a_lost_lease_leaves_is_saved_above_the_quota),
    };
    stores_start();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stores_stop();
    return failed;
}
