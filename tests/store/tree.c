#include "tree.h"

#include <sys/stat.h>
#include "harness.h"
#include "store/chunk.h"
#include "store/calls.h"

/* ---- one commit ---- */

struct tree *tree_new_at(cis_store *s, const char *ref, struct cis_view base)
{
    struct tree *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->s = s;
    t->fs = (struct cis_fs_commit){.base = base,
                                   .dirents = t->dirents,
                                   .changes = t->changes,
                                   .deltas = t->deltas,
                                   .extents = t->extents,
                                   .chunks = t->chunks};
    t->commit = (struct cis_store_commit){.ref = cis_str_of(ref), .fs = &t->fs, .kind = "fs"};
    t->now = 1700000000 + (int64_t)base.epoch;
    return t;
}

struct tree *tree_new(cis_store *s, const char *ref)
{
    return tree_new_at(s, ref, tree_head(s, ref));
}

static struct cis_fs_time now(const struct tree *t)
{
    return (struct cis_fs_time){t->now, 42};
}

void tree_name(struct tree *t, uint64_t parent, const char *name, uint64_t ino, uint32_t type)
{
    struct cis_str text = cis_str_of(name);
    size_t i = 0;
    while (i < t->fs.ndirents &&
           (t->dirents[i].parent != parent || !cis_str_eq(t->dirents[i].name, text))) {
        i++;
    }
    assert_true(i < TREE_MAX);
    t->fs.ndirents += i == t->fs.ndirents;
    t->dirents[i] = (struct cis_fs_dirent){
        .parent = parent, .ino = ino, .mode = ino != 0 ? type : 0, .name = text};
}

static void delta(struct tree *t, uint64_t ino, int nlink)
{
    for (size_t i = 0; i < t->fs.nchanges; i++) {
        if (t->changes[i].inode.ino == ino && t->changes[i].is_new) {
            t->changes[i].inode.nlink += (uint32_t)nlink;
            return; /* a new directory's row is whole */
        }
    }
    size_t i = 0;
    while (i < t->fs.ndeltas && t->deltas[i].ino != ino) {
        i++;
    }
    assert_true(i < TREE_MAX);
    t->fs.ndeltas += i == t->fs.ndeltas;
    t->deltas[i].ino = ino;
    t->deltas[i].nlink += nlink;
    t->deltas[i].mtime = t->deltas[i].ctime = now(t);
}

static struct cis_fs_change *change_add(struct tree *t, enum cis_fs_inode_kind kind, uint64_t ino,
                                        uint32_t mode)
{
    assert_true(t->fs.nchanges < TREE_MAX);
    struct cis_fs_change *c = &t->changes[t->fs.nchanges++];
    *c = (struct cis_fs_change){.kind = kind,
                                .inode = {.ino = ino,
                                          .mode = mode,
                                          .nlink = S_ISDIR(mode) ? 2 : 1,
                                          .atime = now(t),
                                          .mtime = now(t),
                                          .ctime = now(t),
                                          .btime = now(t)}};
    return c;
}

static struct cis_fs_inode *inode_new(struct tree *t, uint64_t parent, const char *name,
                                      uint32_t mode)
{
    if (t->next_ino == t->last_ino) {
        assert_ok(cis_store_reserve_inodes(t->s, T, 64, &t->next_ino, NULL, err));
        t->last_ino = t->next_ino + 64;
    }
    struct cis_fs_change *c = change_add(t, CIS_FS_PUT, t->next_ino++, mode);
    c->is_new = true;
    tree_name(t, parent, name, c->inode.ino, mode & S_IFMT);
    delta(t, parent, S_ISDIR(mode) ? 1 : 0);
    t->fs.files++;
    return &c->inode;
}

uint64_t tree_mkdir(struct tree *t, uint64_t parent, const char *name)
{
    struct cis_fs_inode *in = inode_new(t, parent, name, S_IFDIR | 0755);
    in->parent = parent;
    return in->ino;
}

uint64_t tree_file(struct tree *t, uint64_t parent, const char *name, const char *text)
{
    struct cis_fs_inode *in = inode_new(t, parent, name, S_IFREG | 0644);
    in->data = cis_bytes_of(text, strlen(text));
    in->size = in->data.len;
    in->is_inline = true;
    t->fs.bytes += (int64_t)in->size;
    return in->ino;
}

uint64_t tree_link(struct tree *t, uint64_t parent, const char *name, const char *target)
{
    struct cis_fs_inode *in = inode_new(t, parent, name, S_IFLNK | 0777);
    in->data = cis_bytes_of(target, strlen(target));
    in->size = in->data.len;
    t->fs.bytes += (int64_t)in->size;
    return in->ino;
}

void tree_unlink(struct tree *t, uint64_t parent, const char *name, uint64_t ino)
{
    struct cis_fs_inode row;
    assert_true(tree_stat(t->s, t->fs.base, ino, &row, NULL));
    tree_name(t, parent, name, 0, 0);
    change_add(t, CIS_FS_GONE, ino, row.mode);
    delta(t, parent, 0);
    t->fs.files--;
    t->fs.bytes -= (int64_t)row.size;
}

void tree_rmdir(struct tree *t, uint64_t parent, const char *name, uint64_t ino)
{
    tree_name(t, parent, name, 0, 0);
    change_add(t, CIS_FS_GONE, ino, S_IFDIR | 0755);
    delta(t, parent, -1);
    t->fs.files--;
}

void tree_move(struct tree *t, uint64_t from, const char *name, uint64_t to, uint64_t ino)
{
    tree_name(t, from, name, 0, 0);
    tree_name(t, to, name, ino, S_IFDIR);
    change_add(t, CIS_FS_MOVED, ino, S_IFDIR | 0755)->inode.parent = to;
    delta(t, from, -1);
    delta(t, to, 1);
}

void tree_rename(struct tree *t, uint64_t from, const char *name, uint64_t to, const char *to_name,
                 uint64_t ino)
{
    tree_name(t, from, name, 0, 0);
    tree_name(t, to, to_name, ino, S_IFREG);
    tree_row(t, ino);
    delta(t, from, 0);
    delta(t, to, 0);
}

struct cis_fs_inode *tree_row(struct tree *t, uint64_t ino)
{
    for (size_t i = 0; i < t->fs.nchanges; i++) {
        if (t->changes[i].inode.ino == ino) {
            return &t->changes[i].inode;
        }
    }
    struct cis_fs_inode row;
    char *text = calloc(1, CIS_FS_INLINE_MAX + 1);
    t->texts[t->ntexts++] = text;
    assert_true(tree_stat(t->s, t->fs.base, ino, &row, text));
    struct cis_fs_change *c = change_add(t, CIS_FS_PUT, ino, row.mode);
    c->inode = row;
    if (row.is_inline) {
        c->inode.data = cis_bytes_of(text, row.size);
    }
    c->inode.mtime = c->inode.ctime = now(t);
    return &c->inode;
}

void tree_text(struct tree *t, uint64_t ino, const char *text)
{
    struct cis_fs_inode *in = tree_row(t, ino);
    t->fs.bytes += (int64_t)strlen(text) - (int64_t)in->size;
    in->data = cis_bytes_of(text, strlen(text));
    in->size = in->data.len;
    in->is_inline = true;
}

void tree_size(struct tree *t, uint64_t ino, uint64_t size)
{
    struct cis_fs_inode *in = tree_row(t, ino);
    t->fs.bytes += (int64_t)size - (int64_t)in->size;
    in->data = (struct cis_bytes){NULL, 0};
    in->size = size;
    in->is_inline = false;
}

void tree_extent(struct tree *t, uint64_t ino, uint64_t block, uint64_t chunk, int32_t new_chunk)
{
    assert_true(t->fs.nextents < TREE_MAX);
    t->extents[t->fs.nextents++] = (struct cis_fs_new_extent){ino, block, chunk, new_chunk};
}

static int dirent_order(const void *a, const void *b)
{
    const struct cis_fs_dirent *x = a, *y = b;
    return x->parent != y->parent ? (x->parent < y->parent ? -1 : 1)
                                  : cis_str_cmp(x->name, y->name);
}

static int change_order(const void *a, const void *b)
{
    const struct cis_fs_change *x = a, *y = b;
    return x->inode.ino != y->inode.ino ? (x->inode.ino < y->inode.ino ? -1 : 1)
                                        : (int)x->kind - (int)y->kind;
}

static int delta_order(const void *a, const void *b)
{
    const struct cis_fs_delta *x = a, *y = b;
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static int extent_order(const void *a, const void *b)
{
    const struct cis_fs_new_extent *x = a, *y = b;
    return x->ino != y->ino ? (x->ino < y->ino ? -1 : 1)
                            : (x->block < y->block ? -1 : x->block > y->block);
}

void tree_free(struct tree *t)
{
    for (size_t i = 0; i < t->ntexts; i++) {
        free(t->texts[i]);
    }
    free(t);
}

cis_code tree_try(struct tree *t, struct cis_fs_committed *out, struct cis_error *err)
{
    struct cis_fs_committed done = {{0, 0}, 0, 0};
    qsort(t->dirents, t->fs.ndirents, sizeof *t->dirents, dirent_order);
    qsort(t->changes, t->fs.nchanges, sizeof *t->changes, change_order);
    qsort(t->deltas, t->fs.ndeltas, sizeof *t->deltas, delta_order);
    qsort(t->extents, t->fs.nextents, sizeof *t->extents, extent_order);
    t->commit.out = &done;
    cis_code code = cis_store_commit(t->s, T, &t->commit, NULL, err);
    if (code == CIS_OK && out != NULL) {
        *out = done;
    }
    tree_free(t);
    return code;
}

struct cis_view tree_commit(struct tree *t)
{
    struct cis_fs_committed done = {{0, 0}, 0, 0};
    assert_ok(tree_try(t, &done, err));
    return done.view;
}

/* ---- what a view shows ---- */

struct cis_view tree_head(cis_store *s, const char *ref)
{
    struct cis_fs_ref r;
    assert_ok(cis_store_ref_get(s, T, cis_str_of(ref), &r, NULL, err));
    return r.head;
}

struct last {
    uint64_t ino;
    size_t steps;
};

static bool last_step(void *self, size_t index, const struct cis_fs_dirent *dirent,
                      const struct cis_fs_inode *inode)
{
    struct last *last = self;
    assert_int_equal(index, last->steps);
    assert_true((dirent->ino == 0) == (inode == NULL));
    if (inode != NULL) {
        assert_true(inode->ino == dirent->ino && !inode->gone);
        assert_int_equal(inode->mode & S_IFMT, dirent->mode);
    }
    last->ino = dirent->ino;
    last->steps++;
    return true;
}

uint64_t tree_find(cis_store *s, struct cis_view at, const char *path)
{
    struct cis_str names[64], rest = cis_str_of(path);
    size_t n = 0;
    struct last last = {CIS_FS_ROOT, 0};
    for (bool more = rest.len != 0; more; n++) {
        assert_true(n < 64);
        more = cis_str_split(&rest, '/', &names[n]);
    }
    if (n != 0) {
        assert_ok(cis_store_walk(s, T, &(struct cis_fs_walk_query){at, CIS_FS_ROOT, names, n},
                                 last_step, &last, NULL, err));
    }
    return last.steps == n ? last.ino : 0;
}

struct stat_out {
    struct cis_fs_inode *out;
    char *text;
    bool found;
};

static bool keep_inode(void *self, const struct cis_fs_inode *inode)
{
    struct stat_out *want = self;
    *want->out = *inode;
    want->out->data = (struct cis_bytes){NULL, 0};
    if (want->text != NULL && inode->data.len <= CIS_FS_INLINE_MAX) {
        memcpy(want->text, inode->data.len != 0 ? inode->data.ptr : (const uint8_t *)"",
               inode->data.len);
        want->text[inode->data.len] = 0;
    }
    want->found = true;
    return true;
}

bool tree_stat(cis_store *s, struct cis_view at, uint64_t ino, struct cis_fs_inode *out,
               char text[CIS_FS_INLINE_MAX + 1])
{
    struct stat_out want = {out, text, false};
    assert_ok(cis_store_inodes(s, T, &(struct cis_fs_inode_query){at, &ino, 1}, keep_inode, &want,
                               NULL, err));
    assert_true(!want.found || out->ino == ino);
    return want.found;
}

static bool note_name(void *self, const struct cis_fs_dirent *dirent,
                      const struct cis_fs_inode *inode)
{
    struct cis_buf *out = self;
    assert_non_null(inode);
    assert_true(inode->ino == dirent->ino);
    cis_buf_text(out, out->len != 0 ? " " : "");
    cis_buf_str(out, dirent->name);
    cis_buf_text(out, S_ISDIR(dirent->mode) ? "/" : "");
    return true;
}

void assert_names(cis_store *s, struct cis_view at, const char *path, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1u << 20);
    uint64_t dir = tree_find(s, at, path);
    assert_int_not_equal(dir, 0);
    assert_ok(cis_store_list(
        s, T, &(struct cis_fs_list_query){at, dir, (struct cis_str){NULL, 0}, 100000, true},
        note_name, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), expected);
}

void assert_text(cis_store *s, struct cis_view at, const char *path, const char *expected)
{
    struct cis_fs_inode row;
    char text[CIS_FS_INLINE_MAX + 1];
    uint64_t ino = tree_find(s, at, path);
    if (expected == NULL) {
        assert_int_equal(ino, 0);
        return;
    }
    assert_int_not_equal(ino, 0);
    assert_true(tree_stat(s, at, ino, &row, text));
    assert_string_equal(text, expected);
    assert_int_equal(row.size, strlen(expected));
}

struct extents_out {
    struct cis_buf text;
    const uint64_t *ids;
};

static bool note_extent(void *self, const struct cis_fs_extent *extent)
{
    struct extents_out *out = self;
    char letter = '-';
    for (int i = 0; extent->chunk != 0 && (letter == '-' || i == 0); i++) {
        assert_true(out->ids[i] != 0);
        letter = out->ids[i] == extent->chunk ? (char)('a' + i) : '-';
    }
    cis_buf_printf(&out->text, "%s%llu:%c", out->text.len != 0 ? " " : "",
                   (unsigned long long)extent->block, letter);
    return true;
}

void assert_extents(cis_store *s, struct cis_view at, uint64_t ino, uint64_t first, uint64_t count,
                    const char *expected, const uint64_t *ids)
{
    struct extents_out out = {CIS_BUF_INIT(65536), ids};
    assert_ok(cis_store_extents(s, T, &(struct cis_fs_extent_query){at, ino, first, count},
                                note_extent, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out.text), expected);
    cis_buf_done(&out.text);
}

/* ---- chunks ---- */

struct packed packed_new(cis_store *s, const void *content, size_t len)
{
    struct cis_tenant tenant;
    cis_chunk_codec *codec = NULL;
    struct packed p = {.bytes = malloc(CIS_CHUNK_PACKED_MAX)};
    assert_ok(cis_store_tenant_get(s, T, &tenant, NULL, err));
    assert_ok(cis_chunk_codec_new(&codec, err));
    cis_chunk_hash(tenant.key, cis_bytes_of(content, len), p.chunk.hash);
    p.chunk.packed =
        cis_bytes_of(p.bytes, cis_chunk_pack(codec, cis_bytes_of(content, len), true, p.bytes));
    cis_chunk_codec_free(codec);
    return p;
}

uint64_t packed_put(cis_store *s, const void *content, size_t len)
{
    struct packed p = packed_new(s, content, len);
    uint64_t id = 0;
    assert_ok(cis_store_chunk_put(s, T, &(struct cis_fs_put_request){&p.chunk, 1, false}, &id, NULL,
                                  err));
    free(p.bytes);
    assert_int_not_equal(id, 0);
    return id;
}

cis_code packed_read(cis_store *s, uint64_t chunk, uint32_t off, uint32_t len, uint8_t *dst)
{
    struct cis_fs_read read = {.chunk = chunk, .off = off, .len = len, .dst = dst};
    assert_ok(cis_store_chunk_read(s, T, &read, 1, NULL, err));
    return read.code;
}
