/* Everything below may fail, at every call: the store, memory. Then the operation says so, nothing
 * of what was there before is lost, and the same operation succeeds when tried again. */
#include "fixture.h"

#include <stdatomic.h>
#include "base/mem.h"
#include "store/calls.h"

/* ---- a store whose n-th call fails ---- */
struct faulty {
    cis_store base;
    struct cis_store_ops ops;
    struct cis_store_fs_ops fs;
    cis_store *below;
    atomic_long left; /* calls until one fails; negative: none */
    atomic_long calls;
    void (*before_commit)(void *arg); /* once */
    bool full;                        /* commits and chunks find no space */
    bool cancelled;                   /* commits are interrupted */
    void *arg;
};

static struct faulty *faulty_of(cis_store *store)
{
    return (struct faulty *)(void *)store;
}

static cis_code fails(cis_store *store, struct cis_error *err)
{
    struct faulty *s = faulty_of(store);
    atomic_fetch_add(&s->calls, 1);
    return atomic_fetch_sub(&s->left, 1) == 0
               ? cis_fail(err, CIS_E_STORE, "the store failed on purpose")
               : CIS_OK;
}

#define BELOW faulty_of(store)->below
#define TAIL const struct cis_stop *stop, struct cis_error *err
#define PASS_ON(name, ...)                                                                         \
    do {                                                                                           \
        CIS_TRY(fails(store, err));                                                                \
        return BELOW->fs->name(BELOW, __VA_ARGS__, stop, err);                                     \
    } while (0)

static cis_code f_tenant_get(cis_store *store, struct cis_str t, struct cis_tenant *out, TAIL)
{
    PASS_ON(tenant_get, t, out);
}

static cis_code f_walk(cis_store *store, struct cis_str t, const struct cis_fs_walk_query *query,
                       cis_fs_step_each *each, void *self, TAIL)
{
    PASS_ON(walk, t, query, each, self);
}

static cis_code f_inodes(cis_store *store, struct cis_str t, const struct cis_fs_inode_query *query,
                         cis_fs_inode_each *each, void *self, TAIL)
{
    PASS_ON(inodes, t, query, each, self);
}

static cis_code f_list(cis_store *store, struct cis_str t, const struct cis_fs_list_query *query,
                       cis_fs_dirent_each *each, void *self, TAIL)
{
    PASS_ON(list, t, query, each, self);
}

static cis_code f_extents(cis_store *store, struct cis_str t,
                          const struct cis_fs_extent_query *query, cis_fs_extent_each *each,
                          void *self, TAIL)
{
    PASS_ON(extents, t, query, each, self);
}

static cis_code f_chunk_read(cis_store *store, struct cis_str t, struct cis_fs_read *reads,
                             size_t n, TAIL)
{
    PASS_ON(chunk_read, t, reads, n);
}

static cis_code f_reserve_inodes(cis_store *store, struct cis_str t, uint32_t n, uint64_t *out,
                                 TAIL)
{
    PASS_ON(reserve_inodes, t, n, out);
}

static cis_code no_space(struct cis_error *err)
{
    return cis_fail_sys(err, CIS_E_STORE, ENOSPC, "the disk");
}

static cis_code f_chunk_put(cis_store *store, struct cis_str t,
                            const struct cis_fs_put_request *request, uint64_t *ids, TAIL)
{
    if (faulty_of(store)->full) {
        return no_space(err);
    }
    PASS_ON(chunk_put, t, request, ids);
}

static cis_code f_ref_get(cis_store *store, struct cis_str t, struct cis_str name,
                          struct cis_fs_ref *out, TAIL)
{
    PASS_ON(ref_get, t, name, out);
}

static cis_code f_commits(cis_store *store, struct cis_str t, const struct cis_fs_log_query *query,
                          cis_fs_commit_each *each, void *self, TAIL)
{
    PASS_ON(commits, t, query, each, self);
}

static cis_code f_pin(cis_store *store, struct cis_str t, const struct cis_fs_pin_request *request,
                      uint64_t *out, TAIL)
{
    PASS_ON(pin, t, request, out);
}

static cis_code f_commit(cis_store *store, struct cis_str t, const struct cis_store_commit *c, TAIL)
{
    struct faulty *s = faulty_of(store);
    void (*hook)(void *) = s->before_commit;
    s->before_commit = NULL;
    if (hook != NULL) {
        hook(s->arg);
    }
    CIS_TRY(fails(store, err));
    if (s->full || s->cancelled) {
        return s->full ? no_space(err) : cis_fail(err, CIS_E_CANCELLED, "interrupted");
    }
    return cis_store_commit(BELOW, t, c, stop, err);
}

static void faulty_init(struct faulty *s, cis_store *below)
{
    s->below = below;
    s->ops = *below->ops;
    s->fs = *below->fs;
    s->base = (cis_store){.ops = &s->ops, .fs = &s->fs};
    s->ops.commit = f_commit;
    s->fs.tenant_get = f_tenant_get;
    s->fs.walk = f_walk;
    s->fs.inodes = f_inodes;
    s->fs.list = f_list;
    s->fs.extents = f_extents;
    s->fs.chunk_read = f_chunk_read;
    s->fs.reserve_inodes = f_reserve_inodes;
    s->fs.chunk_put = f_chunk_put;
    s->fs.ref_get = f_ref_get;
    s->fs.commits = f_commits;
    s->fs.pin = f_pin;
    atomic_store(&s->left, -1);
}

struct faults {
    struct fixture f;
    struct faulty store;
    cis_fs_cache *fs_cache;
};

static int setup(void **state)
{
    struct faults *x = calloc(1, sizeof *x);
    fixture_open(&x->f, NULL);
    cis_vfs *v = view_main(&x->f);
    uint64_t dir = must_mkdir(v, 1, "dir"), sub = must_mkdir(v, dir, "sub");
    uint8_t data[200000];
    noise(1, data, sizeof data);
    must_write(v, dir, "large", data, sizeof data);
    must_write(v, dir, "small", "small", 5);
    must_write(v, sub, "deep", "deep", 4);
    must_commit(v);
    cis_vfs_close(v);
    faulty_init(&x->store, x->f.store);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct faults *x = *state;
    fixture_close(&x->f);
    free(x);
    return 0;
}

/* ---- a small piece of work, step by step; each step is tried again until it passes ---- */
struct work {
    cis_vfs *vfs;
    uint64_t dir, sub, large, made;
    cis_vfs_file *file, *fresh;
    uint8_t *data; /* what "large" holds in the end */
};

typedef int step(struct work *w);

static int do_find_dir(struct work *w)
{
    return find(w->vfs, 1, "dir", &w->dir, NULL);
}
static int do_find_sub(struct work *w)
{
    return find(w->vfs, w->dir, "sub", &w->sub, NULL);
}
static int do_find_large(struct work *w)
{
    return find(w->vfs, w->dir, "large", &w->large, NULL);
}
static int do_open(struct work *w)
{
    return cis_vfs_open(w->vfs, &nobody, w->large, O_RDWR, &w->file);
}
static int do_read(struct work *w)
{
    uint8_t have[1000];
    struct iovec iov = {have, sizeof have};
    size_t n = 0;
    int no = cis_vfs_read(w->file, &nobody, &iov, 1, 65000, &n);
    if (no == 0) {
        assert_int_equal(n, sizeof have);
        assert_memory_equal(have, w->data + 65000, n);
    }
    return no;
}
static int put(struct work *w, size_t at, size_t len, uint64_t seed)
{
    uint8_t bytes[70000];
    noise(seed, bytes, len);
    struct iovec iov = {bytes, len};
    size_t n = 0;
    uint64_t end;
    int no = cis_vfs_write(w->file, &nobody, &iov, 1, at, &n, &end);
    if (no != 0 || n < len) {
        return no != 0 ? no : EIO; /* a part may be there: tried again as a whole */
    }
    memcpy(w->data + at, bytes, len);
    return 0;
}
static int do_write(struct work *w)
{
    return put(w, 100, 50, 11);
}
static int do_write_gap(struct work *w)
{
    return put(w, 30000, 70000, 12);
}
static int do_write_before(struct work *w)
{
    return put(w, 110000, 20, 13);
}
static int do_cut(struct work *w)
{
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE, .size = 150000};
    return cis_vfs_setattr(w->vfs, &nobody, w->large, &set, NULL);
}
static int do_rename(struct work *w)
{
    return w->vfs->ops->rename(w->vfs, &nobody, w->dir, CIS_STR("small"), w->sub, CIS_STR("moved"),
                               0);
}
static int do_rmdir(struct work *w)
{
    int no = cis_vfs_rmdir(w->vfs, &nobody, w->dir, CIS_STR("sub"));
    return no == ENOTEMPTY ? 0 : no == 0 ? EILSEQ : no;
}
static int do_create(struct work *w)
{
    struct cis_vfs_attr attr;
    return cis_vfs_create(w->vfs, &nobody,
                          &(struct cis_vfs_create_request){w->sub, CIS_STR("new"), 0600, O_RDWR},
                          &w->fresh, &w->made, &attr);
}
static int do_fill(struct work *w)
{
    uint8_t bytes[1 << 18];
    noise(77, bytes, sizeof bytes);
    struct iovec iov = {bytes, sizeof bytes};
    size_t n = 0;
    uint64_t end;
    int no = cis_vfs_write(w->fresh, &nobody, &iov, 1, 0, &n, &end);
    return no != 0 ? no : n == sizeof bytes ? 0 : EIO;
}
static int do_link(struct work *w)
{
    struct cis_vfs_attr attr;
    int no = w->vfs->ops->link(w->vfs, &nobody, w->made, 1, CIS_STR("link"), &attr);
    return no;
}
static int do_unlink(struct work *w)
{
    return cis_vfs_unlink(w->vfs, &nobody, w->sub, CIS_STR("deep"));
}
static bool count_entry(void *self, const struct cis_vfs_entry *e, const struct cis_vfs_attr *attr)
{
    *(int *)self += e->ino != 0 && attr != NULL;
    return true;
}
static int do_list(struct work *w)
{
    cis_vfs_file *file;
    int n = 0, no = cis_vfs_open(w->vfs, &nobody, w->sub, O_RDONLY, &file);
    if (no != 0) {
        return no;
    }
    no = cis_vfs_readdir(file, &nobody, 0, true, count_entry, &n);
    cis_vfs_release(file);
    if (no == 0) {
        assert_int_equal(n, 4); /* . .. moved new */
    }
    return no;
}
static int do_commit(struct work *w)
{
    struct cis_error err = {0};
    cis_code code = cis_layered_commit(w->vfs, NULL, NULL, NULL, &err);
    if (code != CIS_OK) {
        assert_true(code == CIS_E_STORE || code == CIS_E_NOMEM);
        assert_true(err.msg[0] != 0);
        assert_true(cis_layered_dirty(w->vfs)); /* as it was */
    }
    return code != CIS_OK ? EIO : 0;
}

static step *const steps[] = {
    do_find_dir, do_find_sub,     do_find_large, do_open,  do_read,   do_write,
    do_commit,   do_write_gap,    do_rename,     do_rmdir, do_create, do_fill,
    do_link,     do_write_before, do_unlink,     do_list,  do_cut,    do_commit,
};
enum { STEPS = sizeof steps / sizeof steps[0] };

static void check_result(struct faults *x, const struct work *w)
{
    cis_vfs *v = view_main(&x->f);
    uint64_t dir = must_find(v, 1, "dir"), sub = must_find(v, dir, "sub");
    size_t n;
    char *large = must_read(v, dir, "large", &n);
    assert_int_equal(n, 150000);
    assert_memory_equal(large, w->data, n);
    free(large);
    must_hold(v, sub, "moved", "small");
    char *list = must_list(v, sub);
    assert_string_equal(list, "moved new ");
    free(list);
    uint8_t bytes[1 << 18];
    noise(77, bytes, sizeof bytes);
    char *fresh = must_read(v, 1, "link", &n);
    assert_int_equal(n, sizeof bytes);
    assert_memory_equal(fresh, bytes, n);
    free(fresh);
    cis_vfs_close(v);
}

enum what { STORE, MEMORY };

/* All steps; the n-th call or allocation fails once. True: it came to that. */
static bool work_with_fault(struct faults *x, enum what what, long n)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    struct work w = {.data = calloc(1, 200000)};
    noise(1, w.data, 200000);
    o.tenant = TENANT;
    o.dirty_bytes = 100000; /* so that it spills */
    assert_ok(cis_fs_cache_new(&x->store.base, NULL, &x->fs_cache, err));
    assert_ok(cis_layered_open(x->fs_cache, &o, NULL, &w.vfs, err));
    int failed = 0;
    if (what == STORE) {
        atomic_store(&x->store.left, n);
    }
    for (int i = 0; i < STEPS; i++) {
        int no;
        bool tried = false;
        do {
            if (what == MEMORY && n >= i * 1000 && n < (i + 1) * 1000 && !tried) {
                cis_mem_fail_after((size_t)(n % 1000));
            }
            no = steps[i](&w);
            cis_mem_fail_after(SIZE_MAX);
            if (no != 0 && (tried || (no != EIO && no != ENOMEM))) {
                fail_msg("step %d, fault %ld: %s", i, n, strerror(no));
            }
            failed += no != 0;
            tried = true;
        } while (no != 0);
    }
    bool came = what == STORE ? atomic_load(&x->store.left) < 0 : failed > 0;
    atomic_store(&x->store.left, -1);
    cis_vfs_release(w.file);
    cis_vfs_release(w.fresh);
    cis_vfs_close(w.vfs);
    cis_fs_cache_free(x->fs_cache);
    check_result(x, &w);
    free(w.data);
    return came;
}

/* ---- broken ---- */
static void every_call_of_the_store_may_fail_once(void **state)
{
    long n = 0;
    for (bool came = true; came; n++) {
        void *fresh = NULL;
        assert_int_equal(setup(&fresh), 0);
        came = work_with_fault(fresh, STORE, n);
        assert_int_equal(teardown(&fresh), 0);
    }
    (void)state;
    print_message("%ld calls\n", n);
    assert_true(n > 15);
}

static void every_allocation_of_an_operation_may_fail_once(void **state)
{
    int count = 0;
    for (long i = 0; i < STEPS; i++) {
        for (long n = 0, quiet = 0; n < 400 && quiet < 8; n++) {
            void *fresh = NULL;
            assert_int_equal(setup(&fresh), 0);
            bool came = work_with_fault(fresh, MEMORY, i * 1000 + n);
            quiet = came ? 0 : quiet + 1; /* some failures only cost a cache entry */
            count += came;
            assert_int_equal(teardown(&fresh), 0);
        }
    }
    (void)state;
    print_message("%d failures\n", count);
    assert_true(count > 30);
}

struct meanwhile {
    struct faults *x;
    cis_vfs *mine;
};

/* While the commit is on its way: another writer commits, first something else, and this one goes
 * on with the same file. */
static void both_write(void *arg)
{
    struct meanwhile *m = arg;
    cis_vfs *theirs = view_main(&m->x->f);
    must_write(theirs, 1, "apart", "theirs", 6);
    must_commit(theirs);
    must_write(theirs, must_find(theirs, 1, "dir"), "small", "theirs", 6);
    must_commit(theirs);
    cis_vfs_close(theirs);
    must_write(m->mine, must_find(m->mine, 1, "dir"), "small", "mine", 4);
}

static void what_came_after_a_commit_began_does_not_go_over_what_others_did(void **state)
{
    struct faults *x = *state;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    cis_vfs *v = NULL;
    o.tenant = TENANT;
    o.auto_commit = true;
    assert_ok(cis_fs_cache_new(&x->store.base, NULL, &x->fs_cache, err));
    assert_ok(cis_layered_open(x->fs_cache, &o, NULL, &v, err));
    struct meanwhile m = {x, v};
    x->store.before_commit = both_write;
    x->store.arg = &m;
    must_write(v, 1, "first", "part", 4);
    assert_int_equal(cis_vfs_flush(v, &nobody), 0);
    must_hold(v, 1, "first", "part");
    uint64_t dir = must_find(v, 1, "dir");
    must_hold(v, dir, "small", "mine"); /* as it was left, to look at */
    assert_fails(CIS_E_CONFLICT, "another run", cis_layered_commit(v, NULL, NULL, NULL, err));
    cis_vfs *now = view_main(&x->f);
    must_hold(now, must_find(now, 1, "dir"), "small", "theirs");
    must_hold(now, 1, "first", "part");
    cis_layered_discard(v);
    must_hold(v, dir, "small", "theirs");
    must_write(v, dir, "small", "after", 5);
    assert_int_equal(cis_vfs_flush(v, &nobody), 0);
    cis_vfs_close(now);
    cis_vfs_close(v);
    cis_fs_cache_free(x->fs_cache);
}

static cis_vfs *mounted(struct faults *x)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    cis_vfs *v = NULL;
    o.tenant = TENANT;
    o.auto_commit = true;
    assert_ok(cis_fs_cache_new(&x->store.base, NULL, &x->fs_cache, err));
    assert_ok(cis_layered_open(x->fs_cache, &o, NULL, &v, err));
    return v;
}

/* Also for who gives no place for the words. */
static void a_full_disk_is_enospc_and_nothing_is_lost(void **state)
{
    struct faults *x = *state;
    cis_vfs *v = mounted(x);
    struct cis_error err = {0};
    struct cis_vfs_call call = {.err = &err};
    must_write(v, 1, "waiting", "kept", 4);
    x->store.full = true;
    assert_int_equal(cis_vfs_flush(v, &nobody), ENOSPC);
    assert_int_equal(cis_vfs_flush(v, &call), ENOSPC);
    assert_non_null(strstr(err.msg, "the disk: No space left on device"));
    cis_vfs_file *file = must_open(v, must_find(v, 1, "waiting"), O_WRONLY | O_SYNC);
    size_t n = 0;
    struct iovec iov = {(char[]){"x"}, 1};
    assert_int_equal(cis_vfs_write(file, &nobody, &iov, 1, 4, &n, NULL), ENOSPC);
    cis_vfs_release(file);
    x->store.full = false;
    assert_int_equal(cis_vfs_flush(v, &nobody), 0);
    cis_vfs *now = view_main(&x->f);
    must_hold(now, 1, "waiting", "keptx");
    cis_vfs_close(now);
    cis_vfs_close(v);
    cis_fs_cache_free(x->fs_cache);
}

/* EINTR would make the program try again, and its line would be there twice. */
static void a_write_that_was_accepted_is_not_said_to_be_interrupted(void **state)
{
    struct faults *x = *state;
    cis_vfs *v = mounted(x);
    must_write(v, 1, "log", "", 0);
    cis_vfs_file *file = must_open(v, must_find(v, 1, "log"), O_WRONLY | O_SYNC | O_APPEND);
    struct iovec iov = {(char[]){"line\n"}, 5};
    size_t n = 0;
    int no = EINTR;
    x->store.cancelled = true;
    for (int i = 0; no == EINTR && i < 3; i++) {
        no = cis_vfs_write(file, &nobody, &iov, 1, 0, &n, NULL);
    }
    assert_int_equal(no, EIO);
    assert_int_equal(cis_vfs_sync(file, &nobody, false), EINTR); /* which writes nothing */
    x->store.cancelled = false;
    assert_int_equal(cis_vfs_sync(file, &nobody, false), 0);
    must_hold(v, 1, "log", "line\n");
    cis_vfs_release(file);
    cis_vfs_close(v);
    cis_fs_cache_free(x->fs_cache);
}

static void a_damaged_chunk_is_an_error_of_its_range_only(void **state)
{
    struct faults *x = *state;
    cis_vfs *v = view_main(&x->f);
    char path[600];
    cis_vfs_close(v);
    cis_fs_cache_free(x->f.fs_cache);
    cis_store_close(x->f.store);
    /* Chunks of 64 KiB that do not compress are in the file beside the database. */
    snprintf(path, sizeof path, "%s/tenants/acme.chunks", x->f.dir);
    int fd = open(path, O_RDWR);
    if (fd >= 0) {
        uint8_t bad[64] = {0xff, 1, 2, 3};
        assert_int_equal(pwrite(fd, bad, sizeof bad, 70000), sizeof bad);
        close(fd);
    }
    assert_ok(cis_store_sqlite_open(x->f.dir, &x->f.store, err));
    assert_ok(cis_fs_cache_new(x->f.store, NULL, &x->f.fs_cache, err));
    if (fd < 0) {
        print_message("no chunk file beside the database: nothing to damage\n");
        return;
    }
    v = view_main(&x->f);
    uint64_t dir = must_find(v, 1, "dir"), ino = must_find(v, dir, "large");
    cis_vfs_file *file = must_open(v, ino, O_RDONLY);
    int bad = 0, good = 0;
    struct cis_error err = {0};
    struct cis_vfs_call call = {.err = &err};
    for (uint64_t at = 0; at + 4096 <= 200000; at += 4096) {
        uint8_t have[4096], want[4096];
        struct iovec iov = {have, sizeof have};
        size_t n = 0;
        int no = cis_vfs_read(file, &call, &iov, 1, at, &n);
        bad += no == EIO;
        good += no == 0;
        assert_true(no == 0 || no == EIO);
        (void)want;
    }
    assert_true(bad >= 1 && bad <= 17);
    assert_true(good >= 30);
    assert_non_null(strstr(err.msg, "damaged"));
    cis_vfs_release(file);
    must_hold(v, dir, "small", "small");
    cis_vfs_close(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_of_the_store_may_fail_once),
        cmocka_unit_test(every_allocation_of_an_operation_may_fail_once),
        cmocka_unit_test_setup_teardown(
            what_came_after_a_commit_began_does_not_go_over_what_others_did, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_enospc_and_nothing_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_that_was_accepted_is_not_said_to_be_interrupted,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_chunk_is_an_error_of_its_range_only, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
