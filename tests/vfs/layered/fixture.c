#include "fixture.h"
#include "store/calls.h"

const struct cis_vfs_call nobody = {0};

static void open_both(struct fixture *f, const struct cis_fs_cache_options *options)
{
    assert_ok(cis_store_sqlite_open(f->dir, &f->store, err));
    assert_ok(cis_fs_cache_new(f->store, options, &f->fs_cache, err));
}

static void close_both(struct fixture *f)
{
    cis_fs_cache_free(f->fs_cache);
    cis_store_close(f->store);
}

void fixture_open(struct fixture *f, const struct cis_fs_cache_options *options)
{
    f->dir = test_dir_new();
    open_both(f, options);
}

void fixture_reopen(struct fixture *f, const struct cis_fs_cache_options *options)
{
    close_both(f);
    open_both(f, options);
}

void fixture_close(struct fixture *f)
{
    close_both(f);
    assert_ok(cis_file_remove_tree(f->dir, err));
    free(f->dir);
}

cis_vfs *view_open(struct fixture *f, const struct cis_layered_options *options)
{
    cis_vfs *vfs = NULL;
    assert_ok(cis_layered_open(f->fs_cache, options, NULL, &vfs, err));
    return vfs;
}

cis_vfs *view_main(struct fixture *f)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    return view_open(f, &o);
}

cis_vfs *view_at(struct fixture *f, struct cis_view at)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    o.at = at;
    return view_open(f, &o);
}

int find(cis_vfs *vfs, uint64_t dir, const char *name, uint64_t *out, struct cis_vfs_attr *attr)
{
    struct cis_vfs_attr ignored;
    return cis_vfs_lookup(vfs, &nobody, dir, cis_str_of(name), out, attr != NULL ? attr : &ignored);
}

uint64_t must_find(cis_vfs *vfs, uint64_t dir, const char *name)
{
    uint64_t ino = 0;
    int no = find(vfs, dir, name, &ino, NULL);
    if (no != 0) {
        fail_msg("%s: %s", name, strerror(no));
    }
    return ino;
}

uint64_t must_mkdir(cis_vfs *vfs, uint64_t dir, const char *name)
{
    struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
    struct cis_vfs_attr attr;
    uint64_t ino;
    assert_int_equal(cis_vfs_make(vfs, &nobody, dir, cis_str_of(name), &make, &ino, &attr), 0);
    return ino;
}

cis_vfs_file *must_open(cis_vfs *vfs, uint64_t ino, int flags)
{
    cis_vfs_file *file = NULL;
    int no = cis_vfs_open(vfs, &nobody, ino, flags, &file);
    if (no != 0) {
        fail_msg("open: %s", strerror(no));
    }
    return file;
}

int write_at(cis_vfs_file *file, uint64_t off, const void *data, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)data, len};
    size_t n = 0;
    uint64_t end;
    int no = cis_vfs_write(file, &nobody, &iov, 1, off, &n, &end);
    return no != 0 ? no : n == len ? 0 : EIO;
}

size_t read_at(cis_vfs_file *file, uint64_t off, void *out, size_t len)
{
    struct iovec iov = {out, len};
    size_t n = 0;
    int no = cis_vfs_read(file, &nobody, &iov, 1, off, &n);
    if (no != 0) {
        fail_msg("read: %s", strerror(no));
    }
    return n;
}

void must_write(cis_vfs *vfs, uint64_t dir, const char *name, const void *data, size_t len)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    uint64_t ino;
    int no = cis_vfs_create(vfs, &nobody,
                            &(struct cis_vfs_create_request){dir, cis_str_of(name), 0644, O_RDWR},
                            &file, &ino, &attr);
    if (no == EEXIST) {
        ino = must_find(vfs, dir, name);
        file = must_open(vfs, ino, O_RDWR | O_TRUNC);
    } else if (no != 0) {
        fail_msg("create %s: %s", name, strerror(no));
    }
    no = len > 0 ? write_at(file, 0, data, len) : 0;
    if (no != 0) {
        fail_msg("write %s: %s", name, strerror(no));
    }
    cis_vfs_release(file);
    cis_vfs_forget(vfs, ino, 1);
}

char *must_read(cis_vfs *vfs, uint64_t dir, const char *name, size_t *out_len)
{
    uint64_t ino = must_find(vfs, dir, name);
    size_t size = must_stat(vfs, ino).size;
    char *text = calloc(1, size + 2);
    cis_vfs_file *file = must_open(vfs, ino, O_RDONLY);
    size_t n = read_at(file, 0, text, size + 1);
    assert_int_equal(n, size);
    cis_vfs_release(file);
    cis_vfs_forget(vfs, ino, 1);
    if (out_len != NULL) {
        *out_len = n;
    }
    return text;
}

void must_hold(cis_vfs *vfs, uint64_t dir, const char *name, const char *text)
{
    char *have = must_read(vfs, dir, name, NULL);
    assert_string_equal(have, text);
    free(have);
}

struct cis_vfs_attr must_stat(cis_vfs *vfs, uint64_t ino)
{
    struct cis_vfs_attr attr;
    int no = cis_vfs_getattr(vfs, &nobody, ino, &attr);
    if (no != 0) {
        fail_msg("getattr: %s", strerror(no));
    }
    return attr;
}

void must_commit(cis_vfs *vfs)
{
    assert_ok(cis_layered_commit(vfs, NULL, NULL, NULL, err));
}

struct names {
    char *list[20000];
    size_t n;
};

static bool got_name(void *self, const struct cis_vfs_entry *entry, const struct cis_vfs_attr *attr)
{
    struct names *s = self;
    (void)attr;
    if (!cis_str_is(entry->name, ".") && !cis_str_is(entry->name, "..")) {
        s->list[s->n++] = strndup(entry->name.ptr, entry->name.len);
    }
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *must_list(cis_vfs *vfs, uint64_t dir)
{
    struct names *s = calloc(1, sizeof *s);
    cis_vfs_file *file = must_open(vfs, dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(cis_vfs_readdir(file, &nobody, 0, false, got_name, s), 0);
    cis_vfs_release(file);
    qsort(s->list, s->n, sizeof s->list[0], by_text);
    size_t len = 1, at = 0;
    for (size_t i = 0; i < s->n; i++) {
        len += strlen(s->list[i]) + 1;
    }
    char *out = calloc(1, len);
    for (size_t i = 0; i < s->n; i++) {
        at += (size_t)snprintf(out + at, len - at, "%s ", s->list[i]);
        free(s->list[i]);
    }
    free(s);
    return out;
}

void noise(uint64_t seed, uint8_t *out, size_t len)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out[i] = (uint8_t)(x >> 32);
    }
}
