/* Content that was stored ahead of its commit and is gone when the commit comes: what memory still
 * knows is written again, and a file of which something is lost is named until somebody writes it
 * again or removes it. Nothing else is lost with it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include "vfs/backend_layered.h"
#include "store/calls.h"

enum { BYTES = 900 * 1024 + 123, BLOCK = CIS_FS_BLOCK };

static const struct cis_vfs_call nobody = {0};

struct world {
    struct layered_place *place;
    cis_fs_cache *fs_cache;
    cis_vfs *v;
    uint8_t *room;
    struct cis_store_ops ops; /* with a commit that something comes before */
    const struct cis_store_ops *real;
    uint64_t kept; /* chunks up to it stay */
};
static struct world *late; /* whose chunks go before its next commits */
static int late_left;
static uint64_t late_collected;

static uint8_t byte_at(unsigned seed, size_t i)
{
    uint32_t x = (uint32_t)(i / 4 + 1) * 2654435761u ^ seed * 2246822519u;
    return (uint8_t)((x ^ x >> 13) * 3266489917u >> 17);
}

/* cache: bytes of content that the fs cache keeps. */
static void begin(struct world *w, uint64_t cache, uint64_t dirty)
{
    *w = (struct world){.place = layered_begin(), .room = malloc(2 * BYTES)};
    struct cis_fs_cache_options fo = CIS_FS_CACHE_OPTIONS_INIT;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    fo.chunk_bytes = cache;
    o.tenant = LAYERED_TENANT;
    o.auto_commit = true;
    o.dirty_bytes = dirty;
    assert_ok(cis_fs_cache_new(w->place->store, &fo, &w->fs_cache, err));
    assert_ok(cis_layered_open(w->fs_cache, &o, NULL, &w->v, err));
}

static void end(struct world *w)
{
    cis_vfs_close(w->v);
    cis_fs_cache_free(w->fs_cache);
    layered_end(w->place);
    free(w->room);
}

static bool note_last(void *self, const struct cis_fs_chunk_info *info)
{
    uint64_t *last = self;
    *last = info->id;
    return true;
}

/* As gc does when nobody names or holds them. Returns how many. */
static uint64_t collect(struct world *w)
{
    cis_store *s = w->place->store;
    static uint64_t ids[4096];
    uint64_t last = 0, removed = 0, n = 0;
    assert_ok(cis_store_chunk_list(s, LAYERED_TENANT, &(struct cis_fs_chunk_query){0, 0}, note_last,
                                   &last, NULL, err));
    for (uint64_t id = w->kept + 1; id <= last; id++) {
        assert_true(n < 4096);
        ids[n++] = id;
    }
    assert_ok(cis_store_chunk_remove(s, LAYERED_TENANT,
                                     &(struct cis_fs_remove_request){ids, n, INT64_MAX}, &removed,
                                     NULL, err));
    return removed;
}

static void keep(struct world *w)
{
    cis_store *s = w->place->store;
    assert_ok(cis_store_chunk_list(s, LAYERED_TENANT, &(struct cis_fs_chunk_query){0, 0}, note_last,
                                   &w->kept, NULL, err));
}

static cis_vfs_file *create(struct world *w, const char *name)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    uint64_t node;
    assert_int_equal(cis_vfs_create(w->v, &nobody,
                                    &(struct cis_vfs_create_request){CIS_FS_ROOT, cis_str_of(name),
                                                                     0644, O_RDWR},
                                    &file, &node, &attr),
                     0);
    cis_vfs_forget(w->v, node, 1);
    return file;
}

static int write_at(cis_vfs_file *file, size_t at, const void *data, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)data, len};
    size_t n = 0;
    uint64_t to;
    int no = cis_vfs_write(file, &nobody, &iov, 1, at, &n, &to);
    return no != 0 || n == len ? no : EIO;
}

static void fill(struct world *w, cis_vfs_file *file, unsigned seed)
{
    for (size_t i = 0; i < BYTES; i++) {
        w->room[i] = byte_at(seed, i);
    }
    for (size_t at = 0; at < BYTES; at += 50000) {
        size_t n = BYTES - at < 50000 ? BYTES - at : 50000;
        assert_int_equal(write_at(file, at, w->room + at, n), 0);
    }
}

static void put(struct world *w, const char *name, unsigned seed)
{
    cis_vfs_file *file = create(w, name);
    fill(w, file, seed);
    cis_vfs_release(file);
}

static int flush(struct world *w, struct cis_error *why)
{
    struct cis_vfs_call call = {.err = why};
    *why = (struct cis_error){0};
    return cis_vfs_flush(w->v, &call);
}

static size_t read_all(struct world *w, cis_vfs *v, const char *name)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    uint64_t node;
    size_t n = 0;
    struct iovec iov = {w->room, 2 * BYTES};
    assert_int_equal(cis_vfs_lookup(v, &nobody, CIS_FS_ROOT, cis_str_of(name), &node, &attr), 0);
    assert_int_equal(cis_vfs_open(v, &nobody, node, O_RDONLY, &file), 0);
    int no = cis_vfs_read(file, &nobody, &iov, 1, 0, &n);
    cis_vfs_release(file);
    cis_vfs_forget(v, node, 1);
    return no == 0 ? n : 0;
}

/* In the store, with empty caches. */
static void assert_stored(struct world *w, const char *name, unsigned seed, size_t at,
                          const char *over)
{
    cis_fs_cache *fs_cache = NULL;
    cis_vfs *v = NULL;
    struct cis_fs_cache_options fo = CIS_FS_CACHE_OPTIONS_INIT;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = LAYERED_TENANT;
    o.read_only = true;
    assert_ok(cis_fs_cache_new(w->place->store, &fo, &fs_cache, err));
    assert_ok(cis_layered_open(fs_cache, &o, NULL, &v, err));
    assert_int_equal(read_all(w, v, name), BYTES);
    for (size_t i = 0; i < BYTES; i++) {
        bool other = over != NULL && i >= at && i < at + strlen(over);
        if (w->room[i] != (other ? (uint8_t)over[i - at] : byte_at(seed, i))) {
            fail_msg("%s: byte %zu is another one", name, i);
        }
    }
    cis_vfs_close(v);
    cis_fs_cache_free(fs_cache);
}

static void lost_content_is_told_by_the_name_of_its_file(void **state)
{
    (void)state;
    struct world w;
    struct cis_error why;
    begin(&w, 64 << 10, 128 << 10); /* a cache that holds nothing */
    put(&w, "before", 1);
    assert_int_equal(flush(&w, &why), 0);
    keep(&w);
    put(&w, "lost", 2);
    assert_true(collect(&w) > 5);
    put(&w, "after", 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(flush(&w, &why), EIO);
        assert_int_equal(why.code, CIS_E_IO);
        assert_non_null(strstr(why.msg, "lost: content that was written is gone"));
    }
    assert_int_equal(cis_layered_commit_fork(w.v, CIS_STR("saved"), NULL, NULL, NULL, &why),
                     CIS_E_IO);
    assert_non_null(strstr(why.msg, "lost: "));
    /* Removed, all else is whole. */
    assert_int_equal(cis_vfs_unlink(w.v, &nobody, CIS_FS_ROOT, CIS_STR("lost")), 0);
    assert_int_equal(flush(&w, &why), 0);
    assert_stored(&w, "before", 1, 0, NULL);
    assert_stored(&w, "after", 3, 0, NULL);
    end(&w);
}

static void lost_content_that_is_written_again_is_lost_no_more(void **state)
{
    (void)state;
    struct world w;
    struct cis_error why;
    begin(&w, 64 << 10, 128 << 10);
    cis_vfs_file *file = create(&w, "f");
    fill(&w, file, 1);
    assert_true(collect(&w) > 5);
    /* Blocks that are partly written are of no use without the rest. */
    assert_int_equal(write_at(file, 3 * BLOCK + 5, "x", 1), 0);
    assert_int_equal(flush(&w, &why), EIO);
    assert_non_null(strstr(why.msg, "f: content"));
    fill(&w, file, 4);
    assert_int_equal(flush(&w, &why), 0);
    assert_stored(&w, "f", 4, 0, NULL);
    cis_vfs_release(file);
    end(&w);
}

/* Or a program that changes a byte in each block of what is lost would fill the memory. */
static void what_lost_content_keeps_in_memory_is_bounded(void **state)
{
    (void)state;
    struct world w;
    struct cis_error why;
    begin(&w, 64 << 10, 256 << 10);
    cis_vfs_file *file = create(&w, "f");
    fill(&w, file, 1);
    fill(&w, file, 2);
    assert_int_equal(flush(&w, &why), 0);
    keep(&w);
    for (size_t i = 0; i < 20; i++) { /* one that can be stored: as much as one wants */
        fill(&w, file, (unsigned)i);
    }
    cis_vfs_file *lost = create(&w, "lost");
    for (size_t b = 0; b < 64; b++) {
        memset(w.room, (int)b + 1, BLOCK);
        assert_int_equal(write_at(lost, b * BLOCK, w.room, BLOCK), 0);
    }
    assert_true(collect(&w) > 5);
    size_t done = 0;
    while (done < 50 && write_at(lost, done * BLOCK + 9000, "x", 1) == 0) {
        done++;
    }
    assert_true(done > 1 && done < 50);
    assert_int_equal(flush(&w, &why), EIO);
    assert_int_equal(cis_vfs_unlink(w.v, &nobody, CIS_FS_ROOT, CIS_STR("lost")), 0);
    cis_vfs_release(lost);
    cis_vfs_release(file);
    end(&w);
}

static void what_memory_still_knows_is_written_again(void **state)
{
    (void)state;
    struct world w;
    struct cis_error why;
    begin(&w, 64 << 20, 128 << 10);
    for (unsigned round = 0; round < 4; round++) {
        char name[8] = {'f', (char)('0' + round), 0};
        cis_vfs_file *file = create(&w, name);
        fill(&w, file, round);
        if (!w.place->store->ops->remote || round == 1) { /* else it is kept as it is stored */
            assert_int_equal(read_all(&w, w.v, name), BYTES);
        }
        assert_true(collect(&w) > 5);
        /* In front of, behind and beyond what a block has of its own. */
        size_t at = round * (BLOCK / 3) + 2 * BLOCK;
        assert_int_equal(write_at(file, at, "over it", 7), 0);
        assert_int_equal(flush(&w, &why), 0);
        keep(&w);
        assert_stored(&w, name, round, at, "over it");
        cis_vfs_release(file);
    }
    end(&w);
}

static uint64_t size_of(struct world *w, const char *name)
{
    cis_fs_cache *fs_cache = NULL;
    cis_vfs *v = NULL;
    struct cis_fs_cache_options fo = CIS_FS_CACHE_OPTIONS_INIT;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    struct cis_vfs_attr attr = {0};
    uint64_t node;
    o.tenant = LAYERED_TENANT;
    o.read_only = true;
    assert_ok(cis_fs_cache_new(w->place->store, &fo, &fs_cache, err));
    assert_ok(cis_layered_open(fs_cache, &o, NULL, &v, err));
    int no = cis_vfs_lookup(v, &nobody, CIS_FS_ROOT, cis_str_of(name), &node, &attr);
    if (no == 0) {
        cis_vfs_forget(v, node, 1);
    }
    cis_vfs_close(v);
    cis_fs_cache_free(fs_cache);
    return no == 0 ? attr.size : UINT64_MAX;
}

static bool note_note(void *self, const struct cis_fs_commit_row *row)
{
    snprintf(self, 300, "%.*s", (int)row->note.len, row->note.ptr);
    return true;
}

/* Nobody is there to write it again, or to remove it. */
static void a_view_that_ends_leaves_out_lost_files_alone(void **state)
{
    (void)state;
    struct world w;
    struct cis_error why;
    char left[CIS_ERROR_MSG_MAX], note[300] = "";
    begin(&w, 64 << 10, 128 << 10);
    cis_store *s = w.place->store;
    put(&w, "over", 1);
    put(&w, "saved", 2);
    cis_vfs_file *open_one = create(&w, "open");
    fill(&w, open_one, 3);
    assert_int_equal(flush(&w, &why), 0);
    keep(&w);
    const struct cis_vfs_ops *ops = w.v->ops;
    struct cis_vfs_attr attr;
    uint64_t node;
    /* Lost: a new one of two names, one written over, one put in the place of a committed one. */
    put(&w, "new", 4);
    assert_int_equal(cis_vfs_lookup(w.v, &nobody, CIS_FS_ROOT, CIS_STR("new"), &node, &attr), 0);
    assert_int_equal(ops->link(w.v, &nobody, node, CIS_FS_ROOT, CIS_STR("new2"), &attr), 0);
    cis_vfs_forget(w.v, node, 1);
    fill(&w, open_one, 5);
    put(&w, "temporary", 6);
    assert_int_equal(ops->rename(w.v, &nobody, CIS_FS_ROOT, CIS_STR("temporary"), CIS_FS_ROOT,
                                 CIS_STR("saved"), 0),
                     0);
    assert_true(collect(&w) > 15);
    put(&w, "whole", 7);
    assert_int_equal(flush(&w, &why), EIO);
    struct cis_str fork = CIS_STR("beside");
    struct cis_fs_ref ref;
    for (int i = 0; i < 2; i++) {
        assert_ok(cis_layered_commit_rest(w.v, i == 0 ? &fork : NULL, left, NULL, err));
        if (i == 0) {
            assert_non_null(strstr(left, " and 2 more files"));
        }
        assert_ok(
            cis_store_ref_get(s, LAYERED_TENANT, i == 0 ? fork : CIS_STR("main"), &ref, NULL, err));
        assert_ok(cis_store_commits(s, LAYERED_TENANT,
                                    &(struct cis_fs_log_query){.branch = ref.head.branch,
                                                               .after = ref.head.epoch - 1,
                                                               .upto = ref.head.epoch},
                                    note_note, note, NULL, err));
        if (i == 0) {
            assert_non_null(strstr(note, "left out"));
            assert_non_null(strstr(note, left));
        }
        assert_int_equal(ref.files, 4);
        assert_int_equal(ref.bytes, 4 * BYTES);
    }
    assert_stored(&w, "over", 1, 0, NULL);
    assert_stored(&w, "saved", 2, 0, NULL);
    assert_stored(&w, "open", 3, 0, NULL);
    assert_stored(&w, "whole", 7, 0, NULL);
    assert_true(size_of(&w, "new") == UINT64_MAX && size_of(&w, "new2") == UINT64_MAX);
    assert_true(size_of(&w, "temporary") == UINT64_MAX);
    cis_vfs_release(open_one);
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(65536);
    assert_ok(cis_store_check(s, LAYERED_TENANT, &faults, NULL, err));
    assert_string_equal(cis_buf_cstr(&faults), "");
    end(&w);
}

/* ---- many lost files among many names ---- */
static uint64_t thread_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t began_ms, before_ms[4]; /* what came before each commit of the store */
static size_t ncommits;

static cis_code commit_timed(cis_store *store, struct cis_str tenant,
                             const struct cis_store_commit *c, const struct cis_stop *stop,
                             struct cis_error *err)
{
    struct world *w = late;
    before_ms[ncommits++ % 4] = thread_ms() - began_ms;
    cis_code code = w->real->commit(store, tenant, c, stop, err);
    began_ms = thread_ms();
    return code;
}

static void what_lost_files_cost_is_one_look_at_all_names(void **state)
{
    (void)state;
    enum { LOST = 2000, NAMES = 100000 };
    struct world w;
    char left[CIS_ERROR_MSG_MAX], name[32];
    struct cis_vfs_attr attr;
    struct cis_fs_ref ref;
    uint64_t node;
    begin(&w, 64 << 10, 128 << 10);
    const struct cis_vfs_ops *ops = w.v->ops;
    cis_store *s = w.place->store;
    for (size_t i = 0; i < BYTES; i++) {
        w.room[i] = byte_at(1, i);
    }
    for (int i = 0; i < LOST; i++) {
        snprintf(name, sizeof name, "lost%d", i);
        cis_vfs_file *file = create(&w, name);
        assert_int_equal(write_at(file, 0, w.room + i, 8000), 0);
        cis_vfs_release(file);
    }
    cis_vfs_release(create(&w, "kept"));
    assert_int_equal(cis_vfs_lookup(w.v, &nobody, CIS_FS_ROOT, CIS_STR("kept"), &node, &attr), 0);
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(ops->link(w.v, &nobody, node, CIS_FS_ROOT, cis_str_of(name), &attr), 0);
    }
    cis_vfs_forget(w.v, node, 1);
    assert_true(collect(&w) > 100);
    w.real = w.place->store->ops;
    w.ops = *w.real;
    w.ops.commit = commit_timed;
    w.place->store->ops = &w.ops;
    late = &w;
    ncommits = 0;
    began_ms = thread_ms();
    assert_ok(cis_layered_commit_rest(w.v, NULL, left, NULL, err));
    w.place->store->ops = w.real;
    assert_int_equal(ncommits, 3); /* refused, refused, without what is lost */
    print_message("before the commits: %llu, %llu, %llu ms\n", (unsigned long long)before_ms[0],
                  (unsigned long long)before_ms[1], (unsigned long long)before_ms[2]);
    assert_true(before_ms[2] < 3 * before_ms[0] + 300);
    assert_ok(cis_store_ref_get(s, LAYERED_TENANT, CIS_STR("main"), &ref, NULL, err));
    assert_true(ref.files >= 1 && ref.files < 100); /* of the last ones memory knows the content */
    assert_int_equal(ref.bytes, (ref.files - 1) * 8000);
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(65536);
    assert_ok(cis_store_check(s, LAYERED_TENANT, &faults, NULL, err));
    assert_string_equal(cis_buf_cstr(&faults), "");
    end(&w);
}

/* The whole of it is stored right before the commit, and gone when that comes. */
static cis_code commit_late(cis_store *store, struct cis_str tenant,
                            const struct cis_store_commit *c, const struct cis_stop *stop,
                            struct cis_error *err)
{
    struct world *w = late;
    late_collected = late_left > 0 ? late_collected + collect(w) : late_collected;
    late_left--;
    return w->real->commit(store, tenant, c, stop, err);
}

static void what_goes_between_its_storing_and_the_commit_is_stored_again(void **state)
{
    (void)state;
    struct world w;
    struct cis_error why;
    for (int times = 1; times <= 3; times++) {
        begin(&w, 64 << 10, 64 << 20); /* nothing is stored before */
        w.real = w.place->store->ops;
        w.ops = *w.real;
        w.ops.commit = commit_late;
        w.place->store->ops = &w.ops;
        late = &w;
        late_left = times;
        late_collected = 0;
        put(&w, "f", 6);
        int no = flush(&w, &why);
        assert_true(late_collected > 5);
        assert_int_equal(no == 0, times < 3); /* not for ever */
        assert_int_equal(flush(&w, &why), 0);
        w.place->store->ops = w.real;
        assert_stored(&w, "f", 6, 0, NULL);
        end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_content_is_told_by_the_name_of_its_file),
        cmocka_unit_test(lost_content_that_is_written_again_is_lost_no_more),
        cmocka_unit_test(what_lost_content_keeps_in_memory_is_bounded),
        cmocka_unit_test(what_memory_still_knows_is_written_again),
        cmocka_unit_test(a_view_that_ends_leaves_out_lost_files_alone),
        cmocka_unit_test(what_lost_files_cost_is_one_look_at_all_names),
        cmocka_unit_test(what_goes_between_its_storing_and_the_commit_is_stored_again),
    };
    stores_start();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stores_stop();
    return failed;
}
