#include "harness.h"

#include <sys/stat.h>
#include "store/chunk.h"
#include "contract.h"
#include "workload.h"
#include "store/calls.h"

#define FILES 3
#define KEYS 5
#define SMALL 5000 /* bytes of a file's first block, stored in the commit itself */
#define BULK 3     /* whole blocks after it, stored before the commit */
#define CYCLE 8    /* five runs, a fork, a snapshot, a move */

static void run_id(unsigned i, char out[27])
{
    snprintf(out, 27, "01WRK%021u", i);
}

static bool is_bulk(unsigned i)
{
    return i % 3 == 0;
}

static uint64_t big_size(unsigned i)
{
    return is_bulk(i) ? (1 + BULK) * CIS_FS_BLOCK : SMALL;
}

/* What block b of step i's big file begins with; nothing that compresses. */
static size_t block_fill(unsigned i, unsigned b, uint8_t *out)
{
    uint64_t z = (uint64_t)i * 8 + b + 1;
    size_t n = b == 0 ? SMALL : CIS_FS_BLOCK;
    for (size_t at = 0; at < n; at += sizeof z) {
        z ^= z << 13;
        z ^= z >> 7;
        z ^= z << 17;
        memcpy(out + at, &z, sizeof z);
    }
    return n;
}

/* ---- a run ---- */

struct work {
    char names[FILES][32], keys[KEYS][32];
    struct cis_fs_dirent dirents[FILES];
    struct cis_fs_change changes[FILES];
    struct cis_fs_delta delta;
    struct cis_fs_new_extent extents[1 + BULK];
    struct cis_fs_chunk chunks[1 + BULK];
    uint8_t content[CIS_FS_BLOCK], packed[1 + BULK][CIS_CHUNK_PACKED_MAX];
    struct cis_kv_op ops[KEYS + 2], config;
    struct cis_fs_commit fs;
};

static void work_files(struct work *w, unsigned i, uint64_t ino)
{
    struct cis_fs_time t = {1700000000 + i, i};
    for (unsigned f = 0; f < FILES; f++) {
        bool big = f == FILES - 1;
        snprintf(w->names[f], sizeof w->names[f], "f%06u-%u", i, f);
        w->dirents[f] = (struct cis_fs_dirent){
            .parent = 1, .ino = ino + f, .mode = S_IFREG, .name = cis_str_of(w->names[f])};
        w->changes[f] = (struct cis_fs_change){
            .kind = CIS_FS_PUT,
            .is_new = true,
            .inode = {.ino = ino + f,
                      .mode = S_IFREG | 0644,
                      .nlink = 1,
                      .size = big ? big_size(i) : 9,
                      .stored = big ? (is_bulk(i) ? 1 + BULK : 1) * CIS_FS_BLOCK : 0,
                      .atime = t,
                      .mtime = t,
                      .ctime = t,
                      .btime = t,
                      .is_inline = !big,
                      .data = big ? (struct cis_bytes){NULL, 0} : cis_bytes_of("some text", 9)}};
    }
    w->delta = (struct cis_fs_delta){.ino = 1, .mtime = t, .ctime = t};
    for (unsigned b = 0; b <= BULK; b++) {
        w->extents[b] = (struct cis_fs_new_extent){
            .ino = ino + FILES - 1, .block = b, .new_chunk = b == 0 ? 0 : -1};
    }
}

static cis_code work_chunks(cis_store *s, struct work *w, unsigned i, struct cis_error *err)
{
    struct cis_tenant tenant;
    cis_chunk_codec *codec = NULL;
    CIS_TRY(cis_store_tenant_get(s, T, &tenant, NULL, err));
    CIS_TRY(cis_chunk_codec_new(&codec, err));
    for (unsigned b = 0; b <= BULK; b++) {
        struct cis_bytes content = {w->content, block_fill(i, b, w->content)};
        cis_chunk_hash(tenant.key, content, w->chunks[b].hash);
        w->chunks[b].packed =
            (struct cis_bytes){w->packed[b], cis_chunk_pack(codec, content, true, w->packed[b])};
    }
    cis_chunk_codec_free(codec);
    uint64_t ids[BULK];
    if (is_bulk(i)) {
        CIS_TRY(cis_store_chunk_put(s, T, &(struct cis_fs_put_request){w->chunks + 1, BULK, false},
                                    ids, NULL, err));
        for (unsigned b = 0; b < BULK; b++) {
            w->extents[1 + b].chunk = ids[b];
        }
    }
    return CIS_OK;
}

static void work_memory(struct work *w, unsigned i)
{
    for (unsigned k = 0; k < KEYS; k++) {
        snprintf(w->keys[k], sizeof w->keys[k], "k%06u-%u", i, k);
        w->ops[k] = store_put("a", w->keys[k], "a value of some length, searchable");
    }
    w->ops[KEYS] = store_put("a", "latest", w->keys[0]);
    w->ops[KEYS + 1] = i % 2 == 0 ? store_put("a", "flag", "up") : store_del("a", "flag");
    w->config = store_put("a", "last", w->keys[0]);
}

static cis_code run_step(cis_store *s, unsigned i, struct cis_error *err)
{
    struct cis_fs_ref ref;
    struct cis_run_row run;
    uint64_t ino = 0;
    CIS_TRY(cis_store_reserve_inodes(s, T, FILES, &ino, NULL, err)); /* makes the tenant, too */
    CIS_TRY(cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, err));
    struct work *w = calloc(1, sizeof *w);
    work_files(w, i, ino);
    work_memory(w, i);
    cis_code code = work_chunks(s, w, i, err);
    w->fs = (struct cis_fs_commit){.base = ref.head,
                                   .dirents = w->dirents,
                                   .ndirents = FILES,
                                   .changes = w->changes,
                                   .nchanges = FILES,
                                   .deltas = &w->delta,
                                   .ndeltas = 1,
                                   .extents = w->extents,
                                   .nextents = is_bulk(i) ? 1 + BULK : 1,
                                   .chunks = w->chunks,
                                   .nchunks = 1,
                                   .files = FILES,
                                   .bytes = (int64_t)(18 + big_size(i))};
    store_run_row(&run, "a", "ok");
    run_id(i, run.id);
    struct cis_store_commit c = {.run = &run,
                                 .fs = &w->fs,
                                 .kv = w->ops,
                                 .nkv = KEYS + 2,
                                 .config = &w->config,
                                 .nconfig = 1};
    if (code == CIS_OK) {
        code = cis_store_commit(s, T, &c, NULL, err);
    }
    free(w);
    return code;
}

/* ---- steps ---- */

static void ref_name(unsigned i, char out[32])
{
    snprintf(out, 32, "b%06u", i);
}

static cis_code fork_step(cis_store *s, unsigned i, struct cis_error *err)
{
    char name[32];
    struct cis_fs_ref ref;
    ref_name(i, name);
    struct cis_str names[] = {cis_str_of(name)};
    CIS_TRY(cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, err));
    return cis_store_fork(s, T, ref.head, names, 1, NULL, err);
}

static cis_code snapshot_step(cis_store *s, unsigned i, struct cis_error *err)
{
    struct cis_fs_ref ref;
    CIS_TRY(cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, err));
    struct cis_fs_snapshot snapshot = {.view = ref.head, .note = CIS_STR("a note")};
    snprintf(snapshot.name, sizeof snapshot.name, "s%06u", i);
    return cis_store_snapshot_put(s, T, &snapshot, NULL, err);
}

/* The fork of two steps before goes back to the first commit there was. */
static cis_code move_step(cis_store *s, unsigned i, struct cis_error *err)
{
    char name[32];
    struct cis_fs_ref ref;
    ref_name(i - 2, name);
    CIS_TRY(cis_store_ref_get(s, T, cis_str_of(name), &ref, NULL, err));
    if (ref.head.epoch == 1) {
        return CIS_OK;
    }
    struct cis_view out;
    return cis_store_ref_move(
        s, T, &(struct cis_fs_move_request){cis_str_of(name), ref.head, {1, 1}, 0, CIS_STR("")},
        &out, NULL, err);
}

cis_code workload_step(cis_store *s, unsigned i, struct cis_error *err)
{
    struct cis_error why = {0};
    cis_code code = i % CYCLE < 5    ? run_step(s, i, &why)
                    : i % CYCLE == 5 ? fork_step(s, i, &why)
                    : i % CYCLE == 6 ? snapshot_step(s, i, &why)
                                     : move_step(s, i, &why);
    if (code == CIS_E_EXISTS) {
        return CIS_OK;
    }
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    return code;
}

/* ---- the audit ---- */

struct big {
    uint64_t ino, size, chunks[1 + BULK];
};

static bool keep_inode(void *self, size_t index, const struct cis_fs_dirent *dirent,
                       const struct cis_fs_inode *inode)
{
    (void)index;
    (void)dirent;
    struct big *big = self;
    if (inode != NULL) {
        big->ino = inode->ino;
        big->size = inode->size;
    }
    return true;
}

static bool keep_chunk(void *self, const struct cis_fs_extent *extent)
{
    ((struct big *)self)->chunks[extent->block] = extent->chunk;
    return true;
}

/* The big file of a run has every byte. */
static void audit_content(cis_store *s, struct cis_view head, unsigned i)
{
    char text[32];
    struct big big = {0};
    snprintf(text, sizeof text, "f%06u-%u", i, FILES - 1);
    struct cis_str name = cis_str_of(text);
    assert_ok(cis_store_walk(s, T, &(struct cis_fs_walk_query){head, 1, &name, 1}, keep_inode, &big,
                             NULL, err));
    assert_int_equal(big.size, big_size(i));
    assert_ok(cis_store_extents(s, T, &(struct cis_fs_extent_query){head, big.ino, 0, 1 + BULK},
                                keep_chunk, &big, NULL, err));
    static uint8_t got[CIS_FS_BLOCK], want[CIS_FS_BLOCK];
    for (unsigned b = 0; b <= (is_bulk(i) ? BULK : 0); b++) {
        struct cis_fs_read read = {
            .chunk = big.chunks[b], .len = (uint32_t)block_fill(i, b, want), .dst = got};
        assert_ok(cis_store_chunk_read(s, T, &read, 1, NULL, err));
        assert_int_equal(read.code, CIS_OK);
        assert_memory_equal(got, want, read.len);
    }
}

static bool seen_commit(void *self, const struct cis_fs_commit_row *row)
{
    (void)row;
    *(bool *)self = true;
    return true;
}

static bool seen_snapshot(void *self, const struct cis_fs_snapshot *snapshot)
{
    (void)snapshot;
    *(bool *)self = true;
    return true;
}

static void assert_ok_or_absent(cis_code code, const struct cis_error *why)
{
    if (code != CIS_OK && code != CIS_E_NOTFOUND) {
        fail_msg("%s", why->msg);
    }
}

static bool is_there(cis_store *s, unsigned i)
{
    char name[32];
    bool seen = false;
    struct cis_error why = {0};
    struct cis_fs_ref ref;
    switch (i % CYCLE) {
    case 5:
    case 7:
        ref_name(i % CYCLE == 5 ? i : i - 2, name);
        seen = cis_store_ref_get(s, T, cis_str_of(name), &ref, NULL, &why) == CIS_OK;
        assert_ok_or_absent(seen ? CIS_OK : why.code, &why);
        return seen && (i % CYCLE == 5 || ref.head.epoch == 1);
    case 6:
        snprintf(name, sizeof name, "s%06u", i);
        assert_ok_or_absent(
            cis_store_snapshots(s, T, cis_str_of(name), seen_snapshot, &seen, NULL, &why), &why);
        return seen;
    default: {
        char id[27];
        run_id(i, id);
        assert_ok_or_absent(cis_store_commit_of_run(s, T, id, seen_commit, &seen, NULL, &why),
                            &why);
        return seen;
    }
    }
}

struct counted {
    uint64_t bytes, keys;
};

static bool count_entry(void *self, const struct cis_kv_entry *e)
{
    struct counted *c = self;
    c->bytes += e->key.len + e->value.len;
    c->keys++;
    return true;
}

static void audit_memory(cis_store *s, unsigned runs)
{
    struct counted c = {0, 0};
    uint64_t bytes, keys;
    struct cis_kv_query query = {.ns = CIS_STR("a"), .prefix = CIS_STR("")};
    assert_ok(cis_store_kv_list(s, T, &query, count_entry, &c, NULL, err));
    assert_ok(cis_store_kv_usage(s, T, CIS_VIEW_HEAD, &bytes, &keys, NULL, err));
    assert_int_equal(c.bytes, bytes);
    assert_int_equal(c.keys, keys);
    c.keys = 0;
    query.prefix = CIS_STR("k");
    assert_ok(cis_store_kv_list(s, T, &query, count_entry, &c, NULL, err));
    assert_int_equal(c.keys, runs * KEYS);
}

unsigned workload_audit_store(cis_store *s, unsigned acked)
{
    unsigned n = 0, runs = 0;
    uint64_t size = 0;
    struct cis_fs_ref ref;
    while (is_there(s, n)) {
        if (n % CYCLE < 5) {
            runs++;
            size += 18 + big_size(n);
        }
        n++;
    }
    for (unsigned i = n; i < n + 2 * CYCLE; i++) {
        assert_false(is_there(s, i));
    }
    if (n < acked) {
        fail_msg("step %u was acknowledged and is not there", n);
    }
    struct cis_error why = {0};
    cis_code code = cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, &why);
    if (n == 0 && code == CIS_E_NOTFOUND) { /* not even a tenant */
        return 0;
    }
    assert_ok_or_absent(code, &why);
    assert_int_equal(code, CIS_OK);
    assert_int_equal(ref.files, runs * FILES);
    assert_int_equal(ref.bytes, size);
    for (unsigned i = 0; i < n; i++) {
        if (i % CYCLE < 5) {
            audit_content(s, ref.head, i);
        }
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf damage = CIS_BUF_INIT(65536);
    assert_ok(cis_store_check(s, T, &damage, NULL, err));
    assert_string_equal(cis_buf_cstr(&damage), "");
    audit_memory(s, runs);
    return n;
}
