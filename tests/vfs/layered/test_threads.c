/* Many threads: writers of one branch, readers of old epochs beside them, commits while operations
 * go on, quotas that sixteen writers fill at once. */
#include "fixture.h"
#include "store/calls.h"

#include <pthread.h>
#include <stdatomic.h>

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open(f, NULL);
    cis_vfs_close(view_main(f)); /* the tenant */
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

struct worker {
    struct fixture *f;
    pthread_t thread;
    int index, no;
    cis_code code;
    cis_vfs *vfs;
    pthread_barrier_t *barrier;
    atomic_bool *stop;
    atomic_uint *count;
    uint64_t ino;
};

static void together(struct worker *w, int n, void *(*run)(void *))
{
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) {
        w[i].barrier = &barrier;
        w[i].index = i;
        pthread_create(&w[i].thread, NULL, run, &w[i]);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(w[i].thread, NULL);
    }
    pthread_barrier_destroy(&barrier);
}

static cis_vfs *try_view(struct fixture *f)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    cis_vfs *vfs = NULL;
    struct cis_error err = {0};
    if (cis_layered_open(f->fs_cache, &o, NULL, &vfs, &err) != CIS_OK) {
        print_message("open: %s\n", err.msg);
    }
    return vfs;
}

/* Makes and writes a file; an errno. */
static int put(cis_vfs *vfs, uint64_t dir, const char *name, const void *data, size_t len)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    uint64_t ino;
    int no = cis_vfs_create(vfs, &nobody,
                            &(struct cis_vfs_create_request){dir, cis_str_of(name), 0644, O_RDWR},
                            &file, &ino, &attr);
    if (no == EEXIST) {
        no = find(vfs, dir, name, &ino, NULL);
        no = no != 0 ? no : cis_vfs_open(vfs, &nobody, ino, O_RDWR, &file);
    }
    if (no != 0) {
        return no;
    }
    no = len > 0 ? write_at(file, 0, data, len) : 0;
    cis_vfs_release(file);
    cis_vfs_forget(vfs, ino, 1);
    return no;
}

static void *commit_own_file(void *arg)
{
    struct worker *w = arg;
    char name[16];
    w->vfs = try_view(w->f);
    pthread_barrier_wait(w->barrier);
    snprintf(name, sizeof name, "w%d", w->index);
    w->no = put(w->vfs, 1, name, name, strlen(name));
    w->code = cis_layered_commit(w->vfs, NULL, NULL, NULL, NULL);
    cis_vfs_close(w->vfs);
    return NULL;
}

static void sixty_four_writers_of_distinct_files_all_commit(void **state)
{
    struct fixture *f = *state;
    struct worker w[64];
    for (int i = 0; i < 64; i++) {
        w[i] = (struct worker){.f = f};
    }
    together(w, 64, commit_own_file);
    cis_vfs *v = view_main(f);
    assert_int_equal(cis_layered_view(v).epoch >= 64, 1);
    for (int i = 0; i < 64; i++) {
        char name[16];
        assert_int_equal(w[i].no, 0);
        assert_int_equal(w[i].code, CIS_OK);
        snprintf(name, sizeof name, "w%d", i);
        must_hold(v, 1, name, name);
    }
    struct cis_vfs_usage usage;
    assert_int_equal(cis_vfs_statfs(v, &nobody, &usage), 0);
    assert_int_equal(usage.files, 64);
    cis_vfs_close(v);
}

static void *commit_same_name(void *arg)
{
    struct worker *w = arg;
    char text[16];
    w->vfs = try_view(w->f);
    pthread_barrier_wait(w->barrier);
    snprintf(text, sizeof text, "%02d", w->index);
    w->no = put(w->vfs, 1, "prize", text, strlen(text));
    pthread_barrier_wait(w->barrier);
    w->code = cis_layered_commit(w->vfs, NULL, NULL, NULL, NULL);
    cis_vfs_close(w->vfs);
    return NULL;
}

static void exactly_one_writer_of_a_name_wins_each_round(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 5; round++) {
        struct worker w[16];
        int won = -1, winners = 0;
        for (int i = 0; i < 16; i++) {
            w[i] = (struct worker){.f = f};
        }
        together(w, 16, commit_same_name);
        for (int i = 0; i < 16; i++) {
            assert_int_equal(w[i].no, 0);
            assert_true(w[i].code == CIS_OK || w[i].code == CIS_E_CONFLICT);
            winners += w[i].code == CIS_OK;
            won = w[i].code == CIS_OK ? i : won;
        }
        assert_int_equal(winners, 1);
        cis_vfs *v = view_main(f);
        char *have = must_read(v, 1, "prize", NULL);
        assert_int_equal((int)strtol(have, NULL, 10), won);
        free(have);
        cis_vfs_close(v);
    }
}

/* ---- readers of one state beside writers ---- */
static void *read_old(void *arg)
{
    struct worker *w = arg;
    while (!atomic_load(w->stop)) {
        for (int i = 0; i < 8; i++) {
            char name[16], have[16] = "";
            uint64_t ino;
            struct cis_vfs_attr attr;
            snprintf(name, sizeof name, "f%d", i);
            w->no = w->no != 0 ? w->no : find(w->vfs, 1, name, &ino, &attr);
            cis_vfs_file *file;
            w->no = w->no != 0 ? w->no : cis_vfs_open(w->vfs, &nobody, ino, O_RDONLY, &file);
            if (w->no != 0) {
                return NULL;
            }
            struct iovec iov = {have, sizeof have - 1};
            size_t n;
            w->no = cis_vfs_read(file, &nobody, &iov, 1, 0, &n);
            cis_vfs_release(file);
            cis_vfs_forget(w->vfs, ino, 1);
            if (w->no == 0 && (int)strtol(have, NULL, 10) != w->index) {
                print_message("reader of state %d saw %s\n", w->index, have);
                w->no = EILSEQ;
            }
            atomic_fetch_add(w->count, 1);
        }
    }
    return NULL;
}

static void readers_see_only_their_own_state_while_others_commit(void **state)
{
    struct fixture *f = *state;
    enum { READERS = 8 };
    struct worker w[READERS];
    atomic_bool stop = false;
    atomic_uint count = 0;
    cis_vfs *writer = view_main(f);
    for (int epoch = 0; epoch < 60; epoch++) {
        for (int i = 0; i < 8; i++) {
            char name[16], text[16];
            snprintf(name, sizeof name, "f%d", i);
            snprintf(text, sizeof text, "%d", epoch);
            must_write(writer, 1, name, text, strlen(text));
        }
        must_commit(writer);
        if (epoch < READERS) {
            w[epoch] = (struct worker){.f = f, .index = epoch, .stop = &stop, .count = &count};
            w[epoch].vfs = view_main(f);
            pthread_create(&w[epoch].thread, NULL, read_old, &w[epoch]);
        }
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].no, 0);
        cis_vfs_close(w[i].vfs);
    }
    assert_true(atomic_load(&count) > 0);
    cis_vfs_close(writer);
}

/* ---- commits while operations go on ---- */
static void *write_on(void *arg)
{
    struct worker *w = arg;
    char dir_name[16];
    snprintf(dir_name, sizeof dir_name, "d%d", w->index);
    uint64_t dir, x = (uint64_t)w->index + 1;
    struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
    struct cis_vfs_attr attr;
    w->no = cis_vfs_make(w->vfs, &nobody, 1, cis_str_of(dir_name), &make, &dir, &attr);
    uint8_t *data = malloc(100000);
    for (int i = 0; i < 300 && w->no == 0; i++) {
        char name[16], other[16];
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        snprintf(name, sizeof name, "n%d", (int)(x % 10));
        snprintf(other, sizeof other, "n%d", (int)(x / 16 % 10));
        uint64_t ino;
        switch (x / 256 % 4) {
        case 0:
            w->no = cis_vfs_unlink(w->vfs, &nobody, dir, cis_str_of(name));
            w->no = w->no == ENOENT ? 0 : w->no;
            break;
        case 1:
            w->no = w->vfs->ops->rename(w->vfs, &nobody, dir, cis_str_of(name), dir,
                                        cis_str_of(other), 0);
            w->no = w->no == ENOENT ? 0 : w->no;
            break;
        default:
            noise((uint64_t)i, data, 100000);
            w->no = put(w->vfs, dir, name, data, 10 + x / 1024 % 90000);
            if (w->no == 0 && find(w->vfs, dir, name, &ino, NULL) == 0) {
                cis_vfs_forget(w->vfs, ino, 1);
            }
        }
    }
    free(data);
    cis_vfs_forget(w->vfs, dir, 1);
    return NULL;
}

static void *flush_on(void *arg)
{
    struct worker *w = arg;
    while (!atomic_load(w->stop) && w->no == 0) {
        w->no = cis_vfs_flush(w->vfs, &nobody);
        atomic_fetch_add(w->count, 1);
    }
    return NULL;
}

static void trees_same(cis_vfs *a, uint64_t adir, cis_vfs *b, uint64_t bdir)
{
    char *al = must_list(a, adir), *bl = must_list(b, bdir), *rest = NULL;
    assert_string_equal(al, bl);
    for (char *name = strtok_r(al, " ", &rest); name != NULL; name = strtok_r(NULL, " ", &rest)) {
        uint64_t x = must_find(a, adir, name), y = must_find(b, bdir, name);
        struct cis_vfs_attr xa = must_stat(a, x), ya = must_stat(b, y);
        assert_int_equal(xa.mode, ya.mode);
        assert_int_equal(xa.nlink, ya.nlink);
        assert_int_equal(xa.size, ya.size);
        if (S_ISDIR(xa.mode)) {
            trees_same(a, x, b, y);
        } else {
            char *ac = must_read(a, adir, name, NULL), *bc = must_read(b, bdir, name, NULL);
            assert_memory_equal(ac, bc, xa.size);
            free(ac);
            free(bc);
        }
        cis_vfs_forget(a, x, 1);
        cis_vfs_forget(b, y, 1);
    }
    free(al);
    free(bl);
}

static void commits_take_a_moment_while_operations_go_on(void **state)
{
    struct fixture *f = *state;
    enum { WRITERS = 6 };
    struct worker w[WRITERS], flusher;
    atomic_bool stop = false;
    atomic_uint count = 0;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    o.auto_commit = true;
    o.dirty_bytes = 1 << 20;
    cis_vfs *v = view_open(f, &o);
    flusher = (struct worker){.f = f, .vfs = v, .stop = &stop, .count = &count};
    pthread_create(&flusher.thread, NULL, flush_on, &flusher);
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (struct worker){.f = f, .vfs = v, .index = i};
        pthread_create(&w[i].thread, NULL, write_on, &w[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].no, 0);
    }
    atomic_store(&stop, true);
    pthread_join(flusher.thread, NULL);
    assert_int_equal(flusher.no, 0);
    assert_int_equal(cis_vfs_flush(v, &nobody), 0);
    assert_false(cis_layered_dirty(v));
    cis_fs_cache *fresh = NULL; /* nothing cached */
    assert_ok(cis_fs_cache_new(f->store, NULL, &fresh, err));
    o.auto_commit = false;
    o.read_only = true;
    cis_vfs *now = NULL;
    assert_ok(cis_layered_open(fresh, &o, NULL, &now, err));
    trees_same(v, 1, now, 1);
    struct cis_vfs_usage a, b;
    assert_int_equal(cis_vfs_statfs(v, &nobody, &a), 0);
    assert_int_equal(cis_vfs_statfs(now, &nobody, &b), 0);
    assert_int_equal(a.bytes, b.bytes);
    assert_int_equal(a.files, b.files);
    cis_vfs_close(now);
    cis_fs_cache_free(fresh);
    cis_vfs_close(v);
}

/* ---- quotas ---- */
static void *fill(void *arg)
{
    struct worker *w = arg;
    uint8_t data[997];
    noise((uint64_t)w->index, data, sizeof data);
    for (int i = 0; i < 40; i++) {
        char name[32];
        cis_vfs *v = try_view(w->f);
        snprintf(name, sizeof name, "q%d.%d", w->index, i);
        int no = put(v, 1, name, data, sizeof data);
        cis_code code = no == 0 ? cis_layered_commit(v, NULL, NULL, NULL, NULL) : CIS_E_QUOTA;
        if ((no != 0 && no != EDQUOT && no != EIO) || (code != CIS_OK && code != CIS_E_QUOTA)) {
            w->no = no != 0 ? no : EPROTO;
        }
        atomic_fetch_add(w->count, code == CIS_OK);
        cis_vfs_close(v);
    }
    return NULL;
}

static void sixteen_writers_fill_a_quota_and_never_pass_it(void **state)
{
    struct fixture *f = *state;
    struct cis_tenant quota = {.quota_files = 300, .quota_bytes = 997 * 250};
    assert_ok(cis_store_tenant_quota(f->store, TENANT, &quota, NULL, err));
    struct worker w[16];
    atomic_uint count = 0;
    for (int i = 0; i < 16; i++) {
        w[i] = (struct worker){.f = f, .count = &count};
    }
    together(w, 16, fill);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(w[i].no, 0);
    }
    cis_vfs *v = view_main(f);
    struct cis_vfs_usage usage;
    assert_int_equal(cis_vfs_statfs(v, &nobody, &usage), 0);
    assert_int_equal(atomic_load(&count), 250);
    assert_int_equal(usage.bytes, 997 * 250);
    assert_int_equal(usage.bytes_free, 0);
    assert_int_equal(usage.files, 250);
    cis_vfs_close(v);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(sixty_four_writers_of_distinct_files_all_commit),
        TEST(exactly_one_writer_of_a_name_wins_each_round),
        TEST(readers_see_only_their_own_state_while_others_commit),
        TEST(commits_take_a_moment_while_operations_go_on),
        TEST(sixteen_writers_fill_a_quota_and_never_pass_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
