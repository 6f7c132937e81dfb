#include "harness.h"

#include <sys/stat.h>
#include "store/chunk.h"
#include "contract.h"
#include "rich.h"
#include "store/calls.h"

#define DIRS 12
#define FILES 25 /* in each: every third inline, every third small chunks, the rest large ones */
#define EPOCHS 6

/* ---- a store worth damaging ---- */

static void content_of(uint64_t ino, unsigned version, uint8_t *out, size_t len)
{
    uint64_t x = ino * 1000003 + version;
    for (size_t i = 0; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        out[i] = ino % 2 != 0 ? (uint8_t)(x >> 56) : (uint8_t)(x >> 62); /* half of it packs */
    }
}

static struct cis_fs_inode inode_of(uint64_t ino, uint32_t mode, uint64_t parent, uint64_t size)
{
    struct cis_fs_time t = {1700000000 + (int64_t)ino, (uint32_t)ino};
    return (struct cis_fs_inode){.ino = ino,
                                 .mode = mode,
                                 .nlink = parent != 0 ? 2 : 1,
                                 .parent = parent,
                                 .size = size,
                                 .atime = t,
                                 .mtime = t,
                                 .ctime = t,
                                 .btime = t};
}

struct cis_view rich_head(cis_store *s, const char *ref)
{
    struct cis_fs_ref r;
    assert_ok(cis_store_ref_get(s, T, cis_str_of(ref), &r, NULL, err));
    return r.head;
}

static void commit(cis_store *s, const char *ref, struct cis_fs_commit *fs)
{
    struct cis_store_commit c = {.ref = cis_str_of(ref), .fs = fs, .kind = "fs"};
    struct cis_kv_op op = store_put("skill", "key", ref);
    c.kv = &op;
    c.nkv = 1;
    fs->base = rich_head(s, ref);
    assert_ok(cis_store_commit(s, T, &c, NULL, err));
}

static void make_dirs(struct rich *f)
{
    struct cis_fs_dirent d[DIRS];
    struct cis_fs_change c[DIRS];
    char names[DIRS][16];
    assert_ok(cis_store_reserve_inodes(f->s, T, DIRS, &f->dirs, NULL, err));
    for (uint32_t i = 0; i < DIRS; i++) {
        snprintf(names[i], sizeof names[i], "dir%02u", (unsigned)i);
        d[i] = (struct cis_fs_dirent){.parent = CIS_FS_ROOT,
                                      .ino = f->dirs + i,
                                      .mode = S_IFDIR,
                                      .name = cis_str_of(names[i])};
        c[i] = (struct cis_fs_change){CIS_FS_PUT, true,
                                      inode_of(f->dirs + i, S_IFDIR | 0755, CIS_FS_ROOT, 0)};
    }
    struct cis_fs_delta delta = {CIS_FS_ROOT, DIRS, {1800000000, 0}, {1800000000, 0}};
    commit(f->s, "main",
           &(struct cis_fs_commit){.dirents = d,
                                   .ndirents = DIRS,
                                   .changes = c,
                                   .nchanges = DIRS,
                                   .deltas = &delta,
                                   .ndeltas = 1,
                                   .files = DIRS});
}

struct batch {
    struct cis_fs_dirent d[FILES];
    struct cis_fs_change c[FILES];
    struct cis_fs_new_extent x[2 * FILES];
    char names[FILES][16];
    uint8_t data[FILES][CIS_FS_INLINE_MAX];
    size_t nx;
    int64_t bytes;
};

static uint64_t put_chunk(cis_store *s, cis_chunk_codec *codec, uint64_t ino, unsigned version,
                          size_t len)
{
    static uint8_t content[CIS_FS_BLOCK], packed[CIS_CHUNK_PACKED_MAX];
    struct cis_tenant t;
    struct cis_fs_chunk chunk;
    uint64_t id = 0;
    content_of(ino, version, content, len);
    assert_ok(cis_store_tenant_get(s, T, &t, NULL, err));
    cis_chunk_hash(t.key, cis_bytes_of(content, len), chunk.hash);
    chunk.packed =
        cis_bytes_of(packed, cis_chunk_pack(codec, cis_bytes_of(content, len), true, packed));
    assert_ok(
        cis_store_chunk_put(s, T, &(struct cis_fs_put_request){&chunk, 1, false}, &id, NULL, err));
    return id;
}

/* The files of one directory, new or all written anew. */
static void write_files(struct rich *f, cis_chunk_codec *codec, const char *ref, unsigned dir,
                        unsigned version)
{
    static struct batch b;
    b.nx = 0;
    b.bytes = 0;
    for (uint32_t i = 0; i < FILES; i++) {
        uint64_t ino = f->files + dir * FILES + i;
        static const uint32_t sizes[] = {100, 1500, CIS_FS_BLOCK + 9000};
        uint32_t size = sizes[i % 3];
        snprintf(b.names[i], sizeof b.names[i], "file%03u", (unsigned)i);
        b.d[i] = (struct cis_fs_dirent){
            .parent = f->dirs + dir, .ino = ino, .mode = S_IFREG, .name = cis_str_of(b.names[i])};
        b.c[i] = (struct cis_fs_change){CIS_FS_PUT, version == 0,
                                        inode_of(ino, S_IFREG | 0644, 0, size)};
        b.c[i].inode.mtime.s += version;
        if (i % 3 == 0) {
            content_of(ino, version, b.data[i], size);
            b.c[i].inode.is_inline = true;
            b.c[i].inode.data = cis_bytes_of(b.data[i], size);
        } else {
            b.c[i].inode.stored = (size + CIS_FS_BLOCK - 1) / CIS_FS_BLOCK * CIS_FS_BLOCK;
        }
        for (uint32_t block = 0; i % 3 != 0 && block * CIS_FS_BLOCK < size; block++) {
            uint32_t left = size - block * CIS_FS_BLOCK;
            b.x[b.nx++] =
                (struct cis_fs_new_extent){ino, block,
                                           put_chunk(f->s, codec, ino * 8 + block, version,
                                                     left < CIS_FS_BLOCK ? left : CIS_FS_BLOCK),
                                           -1};
        }
        b.bytes += version == 0 ? size : 0;
    }
    struct cis_fs_delta delta = {f->dirs + dir, 0, {1800000001, 0}, {1800000001, 0}};
    commit(f->s, ref,
           &(struct cis_fs_commit){.dirents = b.d,
                                   .ndirents = version == 0 ? FILES : 0,
                                   .changes = b.c,
                                   .nchanges = FILES,
                                   .deltas = &delta,
                                   .ndeltas = version == 0,
                                   .extents = b.x,
                                   .nextents = b.nx,
                                   .files = version == 0 ? FILES : 0,
                                   .bytes = b.bytes});
}

void rich_make(struct rich *f)
{
    cis_chunk_codec *codec = NULL;
    assert_ok(cis_store_tenant_create(f->s, T, 0, 0, NULL, err));
    assert_ok(cis_chunk_codec_new(&codec, err));
    make_dirs(f);
    assert_ok(cis_store_reserve_inodes(f->s, T, DIRS * FILES, &f->files, NULL, err));
    for (unsigned dir = 0; dir < DIRS; dir++) {
        write_files(f, codec, "main", dir, 0);
    }
    struct cis_str fork = CIS_STR("fork");
    struct cis_fs_snapshot snap = {
        .name = "snap", .view = rich_head(f->s, "main"), .note = CIS_STR("before the fork")};
    assert_ok(cis_store_fork(f->s, T, rich_head(f->s, "main"), &fork, 1, NULL, err));
    assert_ok(cis_store_snapshot_put(f->s, T, &snap, NULL, err));
    for (unsigned e = 1; e < EPOCHS; e++) {
        write_files(f, codec, e % 2 != 0 ? "main" : "fork", e, e);
    }
    cis_chunk_codec_free(codec);
}

void rich_write(struct rich *f, unsigned dirs, unsigned version)
{
    cis_chunk_codec *codec = NULL;
    assert_ok(cis_chunk_codec_new(&codec, err));
    for (unsigned dir = 0; dir < dirs; dir++) {
        write_files(f, codec, "main", dir, version);
    }
    cis_chunk_codec_free(codec);
}

/* ---- all its answers ---- */

static void mix(struct rich_survey *v, const void *ptr, size_t len)
{
    const uint8_t *p = ptr;
    for (size_t i = 0; i < len; i++) {
        v->digest = (v->digest ^ p[i]) * 0x100000001b3u;
    }
    v->digest = (v->digest ^ len) * 0x100000001b3u;
}

static void mix_number(struct rich_survey *v, uint64_t n)
{
    mix(v, &n, sizeof n);
}

static void note(struct rich_survey *v, cis_code code)
{
    assert_true(v->n < RICH_ANSWERS);
    v->all[v->n++] = (struct rich_answer){code, v->digest};
    v->digest = 14695981039346656037u;
}

static bool mix_inode(void *self, const struct cis_fs_inode *in)
{
    struct rich_survey *v = self;
    const uint64_t numbers[] = {in->ino,     in->epoch,  in->mode,   in->nlink,
                                in->size,    in->stored, in->parent, (uint64_t)in->mtime.s,
                                in->mtime.ns};
    mix(v, numbers, sizeof numbers);
    mix(v, in->data.ptr, in->data.len);
    return true;
}

static bool mix_entry(void *self, const struct cis_fs_dirent *d, const struct cis_fs_inode *in)
{
    struct rich_survey *v = self;
    mix(v, d->name.ptr, d->name.len);
    mix_number(v, d->ino);
    mix_number(v, d->epoch);
    return in == NULL || mix_inode(v, in);
}

static bool mix_step(void *self, size_t index, const struct cis_fs_dirent *d,
                     const struct cis_fs_inode *in)
{
    mix_number(self, index);
    return mix_entry(self, d, in);
}

struct extents {
    struct rich_survey *v;
    uint64_t chunks[4];
    size_t n;
};

static bool mix_extent(void *self, const struct cis_fs_extent *x)
{
    struct extents *e = self;
    mix_number(e->v, x->block);
    mix_number(e->v, x->chunk);
    if (e->n < 4) {
        e->chunks[e->n++] = x->chunk;
    }
    return true;
}

static bool mix_kv(void *self, const struct cis_kv_entry *e)
{
    mix(self, e->key.ptr, e->key.len);
    mix(self, e->value.ptr, e->value.len);
    return true;
}

static bool mix_commit(void *self, const struct cis_fs_commit_row *c)
{
    mix_number(self, c->epoch);
    mix_number(self, c->files);
    mix(self, c->keys.ptr, c->keys.len);
    return true;
}

static bool mix_snapshot(void *self, const struct cis_fs_snapshot *s)
{
    mix(self, s->name, strlen(s->name));
    mix_number(self, s->view.branch);
    mix_number(self, s->view.epoch);
    mix(self, s->note.ptr, s->note.len);
    return true;
}

static void survey_file(struct rich_survey *v, cis_store *s, struct cis_view at, uint64_t ino)
{
    struct extents x = {.v = v};
    note(v, cis_store_inodes(s, T, &(struct cis_fs_inode_query){at, &ino, 1}, mix_inode, v, NULL,
                             NULL));
    note(v, cis_store_extents(s, T, &(struct cis_fs_extent_query){at, ino, 0, UINT64_MAX},
                              mix_extent, &x, NULL, NULL));
    for (size_t i = 0; i < 2; i++) { /* as many answers as the whole store has */
        static uint8_t content[CIS_FS_BLOCK];
        struct cis_fs_read read = {i < x.n ? x.chunks[i] : 1, 0, CIS_FS_BLOCK, content, CIS_OK};
        cis_code code = cis_store_chunk_read(s, T, &read, 1, NULL, NULL);
        code = code != CIS_OK ? code : read.code;
        if (code == CIS_OK) {
            mix(v, content, sizeof content);
        }
        /* Which chunk is read hangs on the answer before. */
        note(v, x.n == 2 || v->all[v->n - 1 - i].code == CIS_OK ? code : CIS_E_DAMAGED);
    }
}

static void survey_view(struct rich_survey *v, const struct rich *f, struct cis_view at)
{
    cis_store *s = f->s;
    for (unsigned dir = 0; dir < DIRS; dir++) {
        char name[16];
        snprintf(name, sizeof name, "dir%02u", dir);
        struct cis_str path[2] = {cis_str_of(name), CIS_STR("file004")};
        note(v, cis_store_list(s, T,
                               &(struct cis_fs_list_query){at, f->dirs + dir, CIS_STR(""),
                                                           UINT32_MAX, dir % 2 == 0},
                               mix_entry, v, NULL, NULL));
        note(v, cis_store_walk(s, T, &(struct cis_fs_walk_query){at, CIS_FS_ROOT, path, 2},
                               mix_step, v, NULL, NULL));
        for (uint32_t i = 0; i < FILES; i += 2) {
            survey_file(v, s, at, f->files + dir * FILES + i);
        }
    }
    note(v, cis_store_kv_list(s, T, &(struct cis_kv_query){.at = at, .values = true}, mix_kv, v,
                              NULL, NULL));
    note(v, cis_store_commits(
                s, T,
                &(struct cis_fs_log_query){.branch = at.branch, .upto = UINT64_MAX, .keys = true},
                mix_commit, v, NULL, NULL));
}

void rich_survey(struct rich_survey *v, const struct rich *f, const struct cis_view heads[2])
{
    static const char *const refs[] = {"main", "fork"};
    v->n = 0;
    v->digest = 14695981039346656037u;
    for (int i = 0; i < 2; i++) {
        struct cis_fs_ref r;
        cis_code code = cis_store_ref_get(f->s, T, cis_str_of(refs[i]), &r, NULL, NULL);
        if (code == CIS_OK) {
            mix_number(v, r.head.branch);
            mix_number(v, r.head.epoch);
            mix_number(v, r.files);
            mix_number(v, r.bytes);
        }
        note(v, code);
        survey_view(v, f, heads[i]);
    }
    note(v, cis_store_snapshots(f->s, T, CIS_STR(""), mix_snapshot, v, NULL, NULL));
}

size_t rich_check(const struct rich_survey *now, const struct rich_survey *before, const char *what)
{
    size_t refused = 0;
    assert_int_equal(now->n, before->n);
    for (size_t i = 0; i < now->n; i++) {
        cis_code code = now->all[i].code;
        bool told = code == CIS_E_DAMAGED || code == CIS_E_STORE || code == CIS_E_NOMEM;
        if (!told && (code != CIS_OK || now->all[i].digest != before->all[i].digest)) {
            fail_msg("%s: answer %zu is %s and differs", what, i, cis_code_name(code));
        }
        refused += told;
    }
    return refused;
}

bool rich_check_tells(const struct rich *f)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(1u << 20);
    cis_code code = cis_store_check(f->s, T, &faults, NULL, NULL);
    return code != CIS_OK || faults.len != 0;
}

struct rich_run *rich_begin(const struct rich *f)
{
    struct rich_run *r = calloc(1, sizeof *r);
    r->heads[0] = rich_head(f->s, "main");
    r->heads[1] = rich_head(f->s, "fork");
    rich_survey(&r->before, f, r->heads);
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_store_check(f->s, T, &faults, NULL, err));
    assert_string_equal(cis_buf_cstr(&faults), "");
    assert_int_equal(rich_check(&r->before, &r->before, "whole"), 0);
    return r;
}
