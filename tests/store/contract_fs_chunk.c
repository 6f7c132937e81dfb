/* The contract of chunks: stored once, stamped, checked when read, swept by age. */
#include "harness.h"

#include <pthread.h>
#include "base/crypto.h"
#include "store/chunk.h"
#include "tree.h"
#include "store/calls.h"

static uint64_t stored(cis_store *s)
{
    struct cis_tenant tenant;
    assert_ok(cis_store_tenant_get(s, T, &tenant, NULL, err));
    return tenant.stored;
}

static bool add_bytes(void *self, const struct cis_fs_chunk_info *info)
{
    *(uint64_t *)self += info->bytes;
    return true;
}

/* Bytes of all chunks. */
static uint64_t packed_all(cis_store *s)
{
    uint64_t bytes = 0;
    assert_ok(cis_store_chunk_list(s, T, &(struct cis_fs_chunk_query){0, 0}, add_bytes, &bytes,
                                   NULL, err));
    return bytes;
}

static void the_same_content_is_stored_once_whichever_way_it_comes(void **state)
{
    cis_store *s = fs_store(state);
    static uint8_t noise[CIS_FS_BLOCK];
    cis_random_bytes(noise, sizeof noise);
    struct packed p[3] = {packed_new(s, "small", 5), packed_new(s, noise, sizeof noise),
                          packed_new(s, "small\0\0", 7)};
    struct cis_fs_chunk chunks[3] = {p[0].chunk, p[1].chunk, p[2].chunk};
    uint64_t ids[3], again[3];
    assert_memory_equal(chunks[0].hash, chunks[2].hash, 32);
    assert_ok(
        cis_store_chunk_put(s, T, &(struct cis_fs_put_request){chunks, 3, false}, ids, NULL, err));
    assert_true(ids[0] != 0 && ids[1] != 0 && ids[0] != ids[1] && ids[2] == ids[0]);
    uint64_t used = stored(s);
    assert_true(used >= sizeof noise);
    struct cis_fs_chunk turned[3] = {chunks[1], chunks[2], chunks[0]};
    assert_ok(cis_store_chunk_put(s, T, &(struct cis_fs_put_request){turned, 3, false}, again, NULL,
                                  err));
    assert_true(again[0] == ids[1] && again[1] == ids[0] && again[2] == ids[0]);
    assert_int_equal(stored(s), used);
    used = packed_all(s);
    struct tree *t = tree_new(s, "main"); /* in a commit: the same one again */
    uint64_t file = tree_file(t, CIS_FS_ROOT, "f", "");
    tree_size(t, file, 5);
    t->chunks[t->fs.nchunks++] = chunks[0];
    tree_extent(t, file, 0, 0, 0);
    struct cis_view at = tree_commit(t);
    assert_extents(s, at, file, 0, 1, "0:a", ids);
    assert_int_equal(packed_all(s), used);
    for (int i = 0; i < 3; i++) {
        free(p[i].bytes);
    }
}

static void chunks_of_a_commit_are_read_like_others(void **state)
{
    cis_store *s = fs_store(state);
    struct tree *t = tree_new(s, "main");
    uint64_t file = tree_file(t, CIS_FS_ROOT, "f", "");
    char text[10][32];
    struct packed p[10];
    tree_size(t, file, 10 * (uint64_t)CIS_FS_BLOCK);
    for (int i = 0; i < 10; i++) {
        snprintf(text[i], sizeof text[i], "content of block %d", i);
        p[i] = packed_new(s, text[i], strlen(text[i]));
        t->chunks[t->fs.nchunks++] = p[i].chunk;
        tree_extent(t, file, (uint64_t)(9 - i), 0, i);
    }
    struct cis_view at = tree_commit(t);
    uint64_t ids[11] = {0};
    for (int i = 0; i < 10; i++) {
        assert_ok(cis_store_chunk_put(s, T, &(struct cis_fs_put_request){&p[i].chunk, 1, false},
                                      &ids[9 - i], NULL, err));
        free(p[i].bytes);
    }
    assert_extents(s, at, file, 0, 10, "0:a 1:b 2:c 3:d 4:e 5:f 6:g 7:h 8:i 9:j", ids);
    s = fs_reopen(state);
    for (int i = 0; i < 10; i++) {
        uint8_t got[64];
        memset(got, 0xee, sizeof got);
        assert_int_equal(packed_read(s, ids[9 - i], 0, sizeof got, got), CIS_OK);
        assert_memory_equal(got, text[i], strlen(text[i]));
        for (size_t k = strlen(text[i]); k < sizeof got; k++) {
            assert_int_equal(got[k], 0); /* what a chunk does not reach */
        }
    }
}

static void many_ranges_are_read_in_one_call(void **state)
{
    cis_store *s = fs_store(state);
    static uint8_t noise[CIS_FS_BLOCK], plain[CIS_FS_BLOCK], got[64][4096];
    cis_random_bytes(noise, sizeof noise);
    for (size_t i = 0; i < sizeof plain; i++) {
        plain[i] = (uint8_t)(i / 64);
    }
    uint64_t ids[2] = {packed_put(s, noise, sizeof noise), packed_put(s, plain, sizeof plain)};
    struct cis_fs_read reads[64];
    for (uint32_t i = 0; i < 64; i++) {
        reads[i] = (struct cis_fs_read){.chunk = ids[i % 2],
                                        .off = i * 997,
                                        .len = 1 + i * 64 % 4096,
                                        .dst = got[i],
                                        .code = CIS_E_STORE};
    }
    reads[33].chunk = 1u << 30; /* there is none: the others do not mind */
    assert_ok(cis_store_chunk_read(s, T, reads, 64, NULL, err));
    for (uint32_t i = 0; i < 64; i++) {
        if (i == 33) {
            assert_int_equal(reads[i].code, CIS_E_DAMAGED);
            continue;
        }
        assert_int_equal(reads[i].code, CIS_OK);
        uint32_t rest = CIS_FS_BLOCK - reads[i].off;
        uint32_t n = reads[i].len < rest ? reads[i].len : rest;
        assert_memory_equal(got[i], (i % 2 != 0 ? plain : noise) + reads[i].off, n);
        for (; n < reads[i].len; n++) {
            assert_int_equal(got[i][n], 0); /* beyond the block */
        }
    }
}

static void a_touched_chunk_is_stamped_and_a_lost_one_is_told(void **state)
{
    cis_store *s = fs_store(state);
    uint64_t ids[3] = {packed_put(s, "one", 3), 77777, packed_put(s, "two", 3)};
    bool lost[3] = {true, false, true};
    assert_ok(cis_store_chunk_touch(s, T, ids, 3, lost, NULL, err));
    assert_true(!lost[0] && lost[1] && !lost[2]);
}

struct listed {
    struct cis_fs_chunk_info info[64];
    size_t n;
};

static bool note_chunk(void *self, const struct cis_fs_chunk_info *info)
{
    struct listed *listed = self;
    assert_true(listed->n < 64);
    listed->info[listed->n++] = *info;
    return true;
}

static void chunks_are_listed_by_id_and_removed_by_age(void **state)
{
    cis_store *s = fs_store(state);
    struct listed all = {.n = 0}, page = {.n = 0}, left = {.n = 0};
    uint64_t ids[10], removed = 99;
    char text[16];
    int64_t now;
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "chunk %d", i);
        ids[i] = packed_put(s, text, strlen(text));
    }
    assert_ok(cis_store_clock(s, NULL, &now, NULL, err));
    assert_ok(cis_store_chunk_list(s, T, &(struct cis_fs_chunk_query){0, 0}, note_chunk, &all, NULL,
                                   err));
    assert_int_equal(all.n, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_true(all.info[i].stamp_ms <= now + 1000 && all.info[i].stamp_ms > now - 60000);
        assert_true(all.info[i].bytes > CIS_CHUNK_HEAD &&
                    (i == 0 || all.info[i].id > all.info[i - 1].id));
    }
    assert_ok(cis_store_chunk_list(s, T, &(struct cis_fs_chunk_query){all.info[3].id, 4},
                                   note_chunk, &page, NULL, err));
    assert_true(page.n == 4 && page.info[0].id == all.info[4].id);
    uint64_t before = stored(s);
    /* Nothing is older than the oldest. */
    assert_ok(cis_store_chunk_remove(
        s, T, &(struct cis_fs_remove_request){ids, 10, all.info[0].stamp_ms - 1}, &removed, NULL,
        err));
    assert_int_equal(removed, 0);
    assert_ok(cis_store_chunk_remove(s, T, &(struct cis_fs_remove_request){ids, 4, now + 60000},
                                     &removed, NULL, err));
    assert_int_equal(removed, 4);
    assert_ok(cis_store_chunk_list(s, T, &(struct cis_fs_chunk_query){0, 0}, note_chunk, &left,
                                   NULL, err));
    assert_true(left.n == 6 && stored(s) < before);
    uint8_t got[8];
    bool lost;
    assert_int_equal(packed_read(s, ids[0], 0, 8, got), CIS_E_DAMAGED);
    assert_ok(cis_store_chunk_touch(s, T, &ids[1], 1, &lost, NULL, err));
    assert_true(lost);
    uint64_t fresh = packed_put(s, "chunk 0", 7); /* again: under a number never used before */
    assert_true(fresh > left.info[left.n - 1].id);
    assert_int_equal(packed_read(s, fresh, 0, 8, got), CIS_OK);
    assert_memory_equal(got, "chunk 0\0", 8);
    assert_int_equal(packed_read(s, ids[9], 0, 8, got), CIS_OK);
}

static void a_chunk_moved_by_a_touch_is_not_swept(void **state)
{
    cis_store *s = fs_store(state);
    uint64_t id = packed_put(s, "used again", 10), removed;
    struct listed before = {.n = 0}, after = {.n = 0};
    bool lost;
    assert_ok(cis_store_chunk_list(s, T, &(struct cis_fs_chunk_query){0, 0}, note_chunk, &before,
                                   NULL, err));
    int64_t mark;
    do { /* until the database's clock has moved on */
        assert_ok(cis_store_clock(s, NULL, &mark, NULL, err));
    } while (mark <= before.info[0].stamp_ms + 1);
    assert_ok(cis_store_chunk_touch(s, T, &id, 1, &lost, NULL, err));
    assert_ok(cis_store_chunk_list(s, T, &(struct cis_fs_chunk_query){0, 0}, note_chunk, &after,
                                   NULL, err));
    assert_true(!lost && after.info[0].stamp_ms >= mark);
    assert_ok(cis_store_chunk_remove(s, T, &(struct cis_fs_remove_request){&id, 1, mark - 1},
                                     &removed, NULL, err));
    assert_int_equal(removed, 0);
    packed_put(s, "used again", 10); /* storing it again stamps too */
}

static void the_stored_cap_is_kept_by_puts_and_by_commits(void **state)
{
    cis_store *s = fs_store(state);
    static uint8_t noise[CIS_FS_BLOCK];
    struct cis_tenant tenant;
    assert_ok(cis_store_tenant_get(s, T, &tenant, NULL, err));
    tenant.quota_stored = tenant.stored + 3 * (CIS_FS_BLOCK + 1024);
    assert_ok(cis_store_tenant_quota(s, T, &tenant, NULL, err));
    uint64_t ids[8], n = 0;
    struct packed p = {.bytes = NULL};
    cis_code code = CIS_OK;
    for (; code == CIS_OK && n < 8; n += code == CIS_OK) {
        free(p.bytes);
        cis_random_bytes(noise, sizeof noise);
        p = packed_new(s, noise, sizeof noise);
        code = cis_store_chunk_put(s, T, &(struct cis_fs_put_request){&p.chunk, 1, false}, &ids[n],
                                   NULL, NULL);
    }
    assert_int_equal(code, CIS_E_QUOTA);
    assert_true(n == 3 && stored(s) <= tenant.quota_stored);
    struct tree *t = tree_new(s, "main");
    uint64_t file = tree_file(t, CIS_FS_ROOT, "f", "");
    t->chunks[t->fs.nchunks++] = p.chunk;
    tree_size(t, file, CIS_FS_BLOCK);
    tree_extent(t, file, 0, 0, 0);
    assert_fails(CIS_E_QUOTA, "", tree_try(t, NULL, err));
    free(p.bytes);
    /* What is there already costs nothing, and what goes makes room. */
    uint64_t removed;
    assert_ok(cis_store_chunk_remove(s, T, &(struct cis_fs_remove_request){ids, 1, INT64_MAX},
                                     &removed, NULL, err));
    packed_put(s, noise, sizeof noise);
    packed_put(s, noise, sizeof noise);
}

static bool note_tenant(void *self, const struct cis_tenant *tenant)
{
    *(struct cis_tenant *)self = *tenant;
    return true;
}

static void chunks_of_tenants_are_apart(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_tenant mine, theirs;
    struct cis_str other = CIS_STR("other");
    assert_ok(cis_store_tenant_create(s, other, 0, 0, NULL, err));
    assert_ok(cis_store_tenant_get(s, T, &mine, NULL, err));
    assert_ok(cis_store_tenant_get(s, other, &theirs, NULL, err));
    assert_memory_not_equal(mine.key, theirs.key, 32);
    assert_ok(cis_store_tenant_list(s, note_tenant, &mine, NULL, err));
    struct packed p = packed_new(s, "secret", 6); /* the hash of another tells nothing here */
    uint64_t id = 0, removed = 9;
    for (int i = 0; i < 50; i++) { /* numbers that the other tenant does not have */
        char text[16];
        snprintf(text, sizeof text, "filler %d", i);
        id = packed_put(s, text, strlen(text));
    }
    assert_ok(cis_store_chunk_put(s, T, &(struct cis_fs_put_request){&p.chunk, 1, false}, &id, NULL,
                                  err));
    uint8_t got[8] = {0};
    struct cis_fs_read read = {.chunk = id, .len = 6, .dst = got};
    assert_ok(cis_store_chunk_read(s, other, &read, 1, NULL, err));
    assert_int_equal(read.code, CIS_E_DAMAGED);
    assert_memory_not_equal(got, "secret", 6);
    bool lost = false;
    assert_ok(cis_store_chunk_touch(s, other, &id, 1, &lost, NULL, err));
    assert_true(lost);
    assert_ok(cis_store_chunk_remove(s, other, &(struct cis_fs_remove_request){&id, 1, INT64_MAX},
                                     &removed, NULL, err));
    assert_int_equal(removed, 0);
    struct listed none = {.n = 0};
    assert_ok(cis_store_chunk_list(s, other, &(struct cis_fs_chunk_query){0, 0}, note_chunk, &none,
                                   NULL, err));
    assert_int_equal(none.n, 0);
    assert_int_equal(packed_read(s, id, 0, 6, got), CIS_OK);
    assert_memory_equal(got, "secret", 6);
    free(p.bytes);
}

struct putter {
    cis_store *s;
    uint64_t ids[40];
    unsigned seed;
};

/* The same forty chunks, in orders of their own, three at a time. */
static void *put_all(void *arg)
{
    struct putter *p = arg;
    for (int round = 0; round < 40; round++) {
        struct packed packed[3];
        struct cis_fs_chunk chunks[3];
        uint64_t ids[3];
        int which[3];
        for (int i = 0; i < 3; i++) {
            char text[16];
            which[i] = round < 38 || i != 0 ? (int)(rand_r(&p->seed) % 40) : round - 38;
            snprintf(text, sizeof text, "shared %d", which[i]);
            packed[i] = packed_new(p->s, text, strlen(text));
            chunks[i] = packed[i].chunk;
        }
        assert_ok(cis_store_chunk_put(p->s, T, &(struct cis_fs_put_request){chunks, 3, false}, ids,
                                      NULL, err));
        for (int i = 0; i < 3; i++) {
            assert_true(p->ids[which[i]] == 0 || p->ids[which[i]] == ids[i]);
            p->ids[which[i]] = ids[i];
            free(packed[i].bytes);
        }
    }
    return NULL;
}

static void many_threads_storing_the_same_agree_on_its_number(void **state)
{
    struct putter putters[8];
    pthread_t threads[8];
    for (unsigned i = 0; i < 8; i++) {
        putters[i] = (struct putter){.s = fs_store(state), .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, put_all, &putters[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int k = 0; k < 40; k++) {
        uint64_t id = 0;
        for (int i = 0; i < 8; i++) {
            assert_true(id == 0 || putters[i].ids[k] == 0 || putters[i].ids[k] == id);
            id = putters[i].ids[k] != 0 ? putters[i].ids[k] : id;
        }
    }
}

/* Of each: content that packs and content that does not, in the chunk file and in rows. */
static void content_that_comes_again_heals_a_damaged_chunk(void **state)
{
    struct fs_fixture *f = *state;
    cis_store *s = f->s;
    static uint8_t content[4][CIS_FS_BLOCK], got[CIS_FS_BLOCK];
    static const size_t len[4] = {CIS_FS_BLOCK, CIS_FS_BLOCK, 300, 5000};
    struct packed p[4];
    struct cis_fs_chunk chunks[4];
    uint64_t ids[4], again[4];
    cis_random_bytes(content, sizeof content);
    for (size_t i = 0; i < sizeof content[1]; i++) {
        content[1][i] &= 3;
    }
    for (int i = 0; i < 4; i++) {
        p[i] = packed_new(s, content[i], len[i]);
        chunks[i] = p[i].chunk;
    }
    assert_ok(
        cis_store_chunk_put(s, T, &(struct cis_fs_put_request){chunks, 3, false}, ids, NULL, err));
    struct tree *t = tree_new(s, "main"); /* the last one in a commit, twice */
    uint64_t file = tree_file(t, CIS_FS_ROOT, "f", "");
    tree_size(t, file, len[3]);
    t->chunks[t->fs.nchunks++] = chunks[3];
    tree_extent(t, file, 0, 0, 0);
    (void)tree_commit(t);
    uint64_t used = packed_all(s);
    f->backend->damage(f->place);
    assert_int_equal(packed_read(s, ids[0], 0, 4096, got), CIS_E_DAMAGED);
    /* What was never damaged is not touched, however it is packed. */
    uint64_t healed = s->healed;
    assert_ok(cis_store_chunk_put(s, T, &(struct cis_fs_put_request){chunks, 3, false}, again, NULL,
                                  err));
    assert_int_equal(s->healed - healed, 3);
    t = tree_new(s, "main");
    file = tree_file(t, CIS_FS_ROOT, "g", "");
    tree_size(t, file, len[3]);
    t->chunks[t->fs.nchunks++] = chunks[3];
    tree_extent(t, file, 0, 0, 0);
    (void)tree_commit(t);
    assert_int_equal(s->healed - healed, 4);
    assert_ok(cis_store_chunk_put(s, T, &(struct cis_fs_put_request){&chunks[3], 1, false}, &ids[3],
                                  NULL, err));
    again[3] = ids[3];
    assert_int_equal(s->healed - healed, 4);
    assert_int_equal(packed_all(s), used);
    s = fs_reopen(state);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(again[i], ids[i]);
        assert_int_equal(packed_read(s, ids[i], 0, (uint32_t)len[i], got), CIS_OK);
        assert_memory_equal(got, content[i], len[i]);
        free(p[i].bytes);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_store_check(s, T, &faults, NULL, err));
    assert_string_equal(cis_buf_cstr(&faults), "");
}

const struct fs_test fs_tests_chunk[] = {
    FS_TEST(content_that_comes_again_heals_a_damaged_chunk),
    FS_TEST(the_same_content_is_stored_once_whichever_way_it_comes),
    FS_TEST(chunks_of_a_commit_are_read_like_others),
    FS_TEST(many_ranges_are_read_in_one_call),
    FS_TEST(a_touched_chunk_is_stamped_and_a_lost_one_is_told),
    FS_TEST(chunks_are_listed_by_id_and_removed_by_age),
    FS_TEST(a_chunk_moved_by_a_touch_is_not_swept),
    FS_TEST(the_stored_cap_is_kept_by_puts_and_by_commits),
    FS_TEST(chunks_of_tenants_are_apart),
    FS_TEST(many_threads_storing_the_same_agree_on_its_number),
    {NULL, NULL},
};
