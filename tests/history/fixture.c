#include "fixture.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include "base/crypto.h"
#include "base/file.h"
#include "history/maintain.h"
#include "store/backup.h"
#include "store/chunk.h"
#include "store/postgres/postgres.h"
#include "store/sqlite/sqlite.h"
#include "tools/pgcluster.h"
#include "store/calls.h"

#ifndef FX_SETTINGS
#define FX_SETTINGS NULL
#endif

static _Atomic uint32_t ticks;

static struct pgcluster *cluster; /* NULL: SQLite */

bool fx_is_sqlite(void)
{
    return cluster == NULL;
}

struct pgcluster *fx_cluster(void)
{
    return cluster;
}

int fx_run(int (*run)(void))
{
#ifdef FX_POSTGRES
    cluster = pgcluster_start(FX_SETTINGS);
#endif
    int failed = run();
    if (cluster != NULL) {
        pgcluster_stop(cluster);
    }
    return failed;
}

void fx_open(struct fx *fx, const char *dir)
{
    if (cluster != NULL) {
        fx->url = pgcluster_store(cluster);
        assert_ok(cis_store_postgres_open(fx->url, NULL, &fx->store, NULL, err));
    } else {
        assert_ok(cis_store_sqlite_open(dir, &fx->store, err));
    }
    fx->h = (struct cis_history){fx->store, CIS_STR("t"), NULL, 0};
}

int fx_setup(void **state)
{
    struct fx *fx = calloc(1, sizeof *fx);
    assert_ok(cis_crypto_init(err));
    fx->dir = test_dir_new();
    fx_open(fx, fx->dir);
    assert_ok(cis_store_tenant_create(fx->store, fx->h.tenant, 0, 0, NULL, err));
    *state = fx;
    return 0;
}

void fx_close(struct fx *fx)
{
    cis_store_close(fx->store);
    if (cluster != NULL) {
        pgcluster_drop(cluster, fx->url);
    }
}

int fx_teardown(void **state)
{
    struct fx *fx = *state;
    struct cis_error err;
    fx_close(fx);
    int failed = cis_file_remove_tree(fx->dir, &err) != CIS_OK;
    free(fx->dir);
    free(fx);
    return failed;
}

static __thread struct cis_history_pin pinned;
static __thread int64_t fixed;

void fx_at(int64_t second)
{
    fixed = second;
}

static void begin(struct fx *fx, struct edit *e, const char *ref)
{
    assert_ok(cis_edit_open(e, &fx->h, cis_str_of(ref), err));
    while (fx->pin) {
        cis_code code = cis_history_pin(&fx->h, e->base, &pinned, NULL);
        if (code == CIS_OK) {
            break;
        }
        assert_int_equal(code, CIS_E_EXPIRED); /* the head moved on, and this one went */
        cis_edit_done(e);
        assert_ok(cis_edit_open(e, &fx->h, cis_str_of(ref), err));
    }
    e->now.ns = 1 + atomic_fetch_add(&ticks, 1) % 999999998u;
    if (fixed != 0) {
        e->now = (struct cis_fs_time){fixed, 0};
    }
}

static void end(struct edit *e, const char *note)
{
    struct cis_history_done done;
    assert_ok(cis_edit_commit(e, "fs", note, &done, err));
    if (pinned.id != 0) {
        cis_history_pin_drop(e->h, &pinned);
    }
    cis_edit_done(e);
}

struct at {
    uint64_t dir, ino;
    uint32_t type;
    struct cis_str name;
};

static struct link look(struct fx *fx, struct cis_view view, uint64_t dir, struct cis_str name)
{
    struct link link = {.parent = dir, .name = name};
    struct links one = {.at = &link, .n = 1};
    assert_ok(cis_links_read(&fx->h, view, &one, 0, err));
    return link;
}

static uint64_t make_dir(struct edit *e, uint64_t parent, struct cis_str name)
{
    struct cis_fs_inode row = {.mode = S_IFDIR | 0755,
                               .nlink = 2,
                               .parent = parent,
                               .atime = e->now,
                               .mtime = e->now,
                               .ctime = e->now,
                               .btime = e->now};
    assert_ok(cis_edit_number(e, &row.ino, err));
    assert_ok(cis_edit_put(e, &row, err));
    assert_ok(cis_edit_name(e, parent, name, (struct edit_end){0, 0},
                            (struct edit_end){row.ino, row.mode}, err));
    return row.ino;
}

static struct at walk(struct fx *fx, struct edit *e, const char *path)
{
    struct cis_str rest = cis_str_of(path);
    struct at at = {.dir = CIS_FS_ROOT};
    for (bool fresh = false;;) {
        bool more = cis_str_split(&rest, '/', &at.name);
        struct link l = {.parent = 0};
        if (!fresh) {
            l = look(fx, e->base, at.dir, at.name);
        }
        if (!more) {
            at.ino = l.ino[0];
            at.type = l.type[0];
            return at;
        }
        fresh = l.ino[0] == 0;
        at.dir = fresh ? make_dir(e, at.dir, at.name) : l.ino[0];
    }
}

static void put_content(struct edit *e, struct cis_fs_inode *row, const uint8_t *data, size_t len)
{
    struct extents want = {0};
    if (len <= CIS_FS_INLINE_MAX) {
        row->is_inline = true;
        row->data = (struct cis_bytes){data, len};
        row->stored = 0;
    }
    struct cis_tenant tenant;
    cis_chunk_codec *codec;
    const struct cis_history *h = e->h;
    assert_ok(cis_store_tenant_get(h->store, h->tenant, &tenant, NULL, err));
    assert_ok(cis_chunk_codec_new(&codec, err));
    uint8_t *packed = malloc(CIS_CHUNK_PACKED_MAX);
    for (size_t at = 0; !row->is_inline && at < len; at += CIS_FS_BLOCK) {
        struct cis_bytes piece = {data + at, len - at < CIS_FS_BLOCK ? len - at : CIS_FS_BLOCK};
        struct cis_fs_chunk chunk;
        struct cis_fs_extent *x = vec_add(&want);
        cis_chunk_hash(tenant.key, piece, chunk.hash);
        chunk.packed = (struct cis_bytes){packed, cis_chunk_pack(codec, piece, true, packed)};
        *x = (struct cis_fs_extent){.block = at / CIS_FS_BLOCK};
        assert_ok(cis_store_chunk_put(h->store, h->tenant,
                                      &(struct cis_fs_put_request){&chunk, 1, false}, &x->chunk,
                                      NULL, err));
        row->stored += CIS_FS_BLOCK;
    }
    assert_ok(cis_edit_put(e, row, err));
    assert_ok(cis_edit_content(e, row->ino, &want, err));
    cis_extents_done(&want);
    cis_chunk_codec_free(codec);
    free(packed);
}

void fx_write(struct fx *fx, const char *ref, const char *path, const void *data, size_t len)
{
    struct edit e;
    begin(fx, &e, ref);
    struct at at = walk(fx, &e, path);
    struct cis_fs_inode row = {.ino = at.ino,
                               .mode = S_IFREG | 0644,
                               .nlink = 1,
                               .size = len,
                               .atime = e.now,
                               .mtime = e.now,
                               .ctime = e.now,
                               .btime = e.now};
    if (at.ino == 0) {
        assert_ok(cis_edit_number(&e, &row.ino, err));
    }
    put_content(&e, &row, data, len);
    assert_ok(cis_edit_name(&e, at.dir, at.name, (struct edit_end){at.ino, at.type},
                            (struct edit_end){row.ino, row.mode}, err));
    end(&e, path);
}

void fx_big(struct fx *fx, const char *ref, const char *path, uint32_t seed)
{
    uint8_t *data = malloc(200000);
    for (size_t i = 0; i < 200000; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
    fx_write(fx, ref, path, data, 200000);
    free(data);
}

void fx_text(struct fx *fx, const char *ref, const char *path, const char *text)
{
    fx_write(fx, ref, path, text, strlen(text));
}

void fx_mkdir(struct fx *fx, const char *ref, const char *path)
{
    struct edit e;
    begin(fx, &e, ref);
    struct at at = walk(fx, &e, path);
    assert_int_equal(at.ino, 0);
    make_dir(&e, at.dir, at.name);
    end(&e, path);
}

void fx_deep(struct fx *fx, const char *ref, const char *name, size_t n)
{
    struct edit e;
    uint64_t dir = CIS_FS_ROOT;
    begin(fx, &e, ref);
    for (size_t i = 0; i < n; i++) {
        dir = make_dir(&e, dir, cis_str_of(name));
    }
    end(&e, "deep");
}

void fx_many(struct fx *fx, const char *ref, size_t n)
{
    struct edit e;
    char name[32];
    begin(fx, &e, ref);
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "folder%05zu", i);
        make_dir(&e, CIS_FS_ROOT, cis_str_of(name));
    }
    end(&e, "many");
}

void fx_remove(struct fx *fx, const char *ref, const char *path)
{
    struct edit e;
    begin(fx, &e, ref);
    struct at at = walk(fx, &e, path);
    assert_int_not_equal(at.ino, 0);
    if (S_ISDIR(at.type)) {
        assert_ok(cis_edit_empty(&e, at.ino, err));
    }
    assert_ok(cis_edit_name(&e, at.dir, at.name, (struct edit_end){at.ino, at.type},
                            (struct edit_end){0, 0}, err));
    end(&e, path);
}

void fx_rename(struct fx *fx, const char *ref, const char *from, const char *to)
{
    struct edit e;
    begin(fx, &e, ref);
    struct at a = walk(fx, &e, from), b = walk(fx, &e, to);
    assert_int_not_equal(a.ino, 0);
    assert_ok(cis_edit_name(&e, a.dir, a.name, (struct edit_end){a.ino, a.type},
                            (struct edit_end){0, 0}, err));
    assert_ok(cis_edit_name(&e, b.dir, b.name, (struct edit_end){b.ino, b.type},
                            (struct edit_end){a.ino, a.type}, err));
    end(&e, from);
}

void fx_link(struct fx *fx, const char *ref, const char *from, const char *to)
{
    struct edit e;
    begin(fx, &e, ref);
    struct at a = walk(fx, &e, from), b = walk(fx, &e, to);
    assert_ok(cis_edit_name(&e, b.dir, b.name, (struct edit_end){b.ino, b.type},
                            (struct edit_end){a.ino, a.type}, err));
    end(&e, to);
}

void fx_chmod(struct fx *fx, const char *ref, const char *path, uint32_t mode)
{
    struct edit e;
    struct edit_file *file;
    struct cis_fs_inode *row;
    begin(fx, &e, ref);
    struct at at = walk(fx, &e, path);
    assert_ok(cis_edit_file(&e, at.ino, &file, err));
    assert_ok(cis_edit_row(&e, file, &row, err));
    row->mode = (row->mode & ~07777u) | mode;
    row->ctime = e.now;
    *(S_ISDIR(at.type) ? &file->attrs : &file->put) = true;
    end(&e, path);
}

void fx_memory(struct fx *fx, const char *ref, const char *key, const char *value)
{
    struct cis_kv_op op = {.ns = CIS_STR("skill"),
                           .key = cis_str_of(key),
                           .value = {(const uint8_t *)value, value != NULL ? strlen(value) : 0},
                           .remove = value == NULL};
    struct cis_store_commit commit = {.ref = cis_str_of(ref), .kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(fx->store, fx->h.tenant, &commit, NULL, err));
}

struct cis_view fx_head(struct fx *fx, const char *ref)
{
    struct cis_fs_ref out;
    assert_ok(cis_store_ref_get(fx->store, fx->h.tenant, cis_str_of(ref), &out, NULL, err));
    return out.head;
}

void fx_fork(struct fx *fx, struct cis_view from, const char *name)
{
    struct cis_str n = cis_str_of(name);
    assert_ok(cis_store_fork(fx->store, fx->h.tenant, from, &n, 1, NULL, err));
}

void fx_snapshot(struct fx *fx, struct cis_view view, const char *name)
{
    struct cis_fs_snapshot s = {.view = view, .note = CIS_STR("")};
    snprintf(s.name, sizeof s.name, "%s", name);
    cis_id_new(s.id);
    assert_ok(cis_store_snapshot_put(fx->store, fx->h.tenant, &s, NULL, err));
}

uint64_t fx_ino(struct fx *fx, const char *ref, const char *path)
{
    struct cis_str rest = cis_str_of(path), name;
    struct link l = {.ino = {CIS_FS_ROOT}};
    for (bool more = true; more;) {
        more = cis_str_split(&rest, '/', &name);
        l = look(fx, fx_head(fx, ref), l.ino[0], name);
    }
    return l.ino[0];
}

/* ---- dumps ---- */
struct names {
    struct links links;
    struct arena arena;
};

static bool take(void *self, const struct cis_fs_dirent *dirent, const struct cis_fs_inode *inode)
{
    struct names *v = self;
    struct link *l = vec_add(&v->links);
    struct cis_error err;
    (void)inode;
    *l = (struct link){.parent = dirent->parent, .ino = {dirent->ino}, .type = {dirent->mode}};
    return cis_arena_str(&v->arena, dirent->name, &l->name, &err) == CIS_OK;
}

static void content(const struct cis_history *h, struct cis_view view,
                    const struct cis_fs_inode *row, struct cis_buf *out)
{
    struct cis_sha256_state sha;
    uint8_t digest[32];
    char hex[65];
    uint8_t *piece = malloc(1u << 20);
    cis_sha256_init(&sha);
    for (uint64_t at = 0; S_ISREG(row->mode) && at < row->size; at += 1u << 20) {
        size_t n = row->size - at < 1u << 20 ? (size_t)(row->size - at) : 1u << 20;
        assert_ok(cis_history_read(h, view, row, at, piece, n, err));
        cis_sha256_update(&sha, (struct cis_bytes){piece, n});
    }
    cis_sha256_final(&sha, digest);
    cis_hex(digest, 8, hex);
    cis_buf_printf(out, " %s", hex);
    free(piece);
}

static void dump(const struct cis_history *h, struct cis_view view, uint64_t dir,
                 const char *prefix, bool exact, struct cis_buf *out)
{
    struct names v = {0};
    assert_ok(cis_store_list(h->store, h->tenant,
                             &(struct cis_fs_list_query){view, dir, CIS_STR(""), 1000000, false},
                             take, &v, NULL, err));
    for (size_t i = 0; i < v.links.n; i++) {
        const struct link *l = &v.links.at[i];
        struct rows rows = {0};
        uint64_t ino = l->ino[0];
        struct numbers one = {.at = &ino, .n = 1};
        char path[4096];
        assert_ok(cis_rows_read(h, view, &one, &rows, err));
        assert_int_equal(rows.n, 1);
        const struct cis_fs_inode *row = &rows.at[0];
        snprintf(path, sizeof path, "%s%.*s", prefix, (int)l->name.len, l->name.ptr);
        cis_buf_printf(out, "%s %o %u %" PRIu64, path, row->mode, row->nlink, row->size);
        if (exact) {
            cis_buf_printf(out, " %" PRIu64 " %" PRId64 ".%u %" PRId64 ".%u", row->ino,
                           row->mtime.s, row->mtime.ns, row->ctime.s, row->ctime.ns);
        }
        content(h, view, row, out);
        cis_buf_byte(out, '\n');
        if (S_ISDIR(row->mode)) {
            char below[4200];
            snprintf(below, sizeof below, "%s/", path);
            dump(h, view, row->ino, below, exact, out);
        }
        cis_rows_done(&rows);
    }
    free(v.links.at);
    cis_arena_done(&v.arena);
}

static char *dump_all(const struct cis_history *h, struct cis_view view, bool exact)
{
    struct cis_buf out = CIS_BUF_INIT(1u << 30);
    dump(h, view, CIS_FS_ROOT, "", exact, &out);
    char *text = strdup(cis_buf_cstr(&out));
    cis_buf_done(&out);
    return text;
}

char *fx_dump(const struct cis_history *h, struct cis_view view)
{
    return dump_all(h, view, false);
}

char *fx_dump_exact(const struct cis_history *h, struct cis_view view)
{
    return dump_all(h, view, true);
}

static bool print_fault(void *self, const struct cis_fault *fault)
{
    (void)self;
    print_message("fault: %s %.*s: %.*s\n", fault->what, (int)fault->path.len, fault->path.ptr,
                  (int)fault->text.len, fault->text.ptr);
    return true;
}

void fx_whole(struct fx *fx)
{
    struct cis_fsck_counts counts;
    assert_ok(cis_history_fsck(&fx->h, true, print_fault, NULL, &counts, err));
    assert_int_equal(counts.faults, 0);
    fx_backup_whole(fx);
}

void fx_backup_whole(struct fx *fx)
{
    char path[] = "/tmp/cis-whole-XXXXXX";
    struct cis_backup_summary sum;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_ok(cis_backup_write(fx->store, fd, NULL, &sum, NULL, err));
    close(fd);
}

struct cis_view fx_rev(struct fx *fx, const char *text)
{
    struct cis_rev out;
    assert_ok(cis_history_resolve(&fx->h, cis_str_of(text), &out, err));
    return out.view;
}

cis_code fx_back_to(struct fx *fx, const char *ref, const char *rev, struct cis_error *err)
{
    struct cis_rev to;
    struct cis_view head;
    CIS_TRY(cis_history_resolve(&fx->h, cis_str_of(rev), &to, err));
    return cis_history_rollback(&fx->h, cis_str_of(ref), to.view, cis_str_of(rev), &head, err);
}
