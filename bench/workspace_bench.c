/* What bench/peers/agentfs.mjs does, in the layered filesystem: the same operations on the same
 * sizes, once with each operation durable by itself, once all of them in one run with one durable
 * commit. One JSON object on stdout: {"run": {row: rate}, "each": {row: rate}}.
 *
 *   workspace_bench FOLDER N [sqlite|postgres]        (FOLDER: empty, for the SQLite store) */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "bench/measure.h"
#include "bench/store.h"
#include "service/memory/memory.h"
#include "vfs/layered/layered.h"
#include "vfs/walk.h"
#include "store/calls.h"

#define DIRS 10
#define BIG (8u << 20)

struct bench {
    cis_store *store;
    cis_fs_cache *fs_cache;
    cis_vfs *vfs;
    cis_ns *ns;
    cis_dir *root;
    bool each; /* every operation durable */
    int n;
    bool first;
    uint8_t *big;
    uint32_t seed;
    struct cis_store_memory service;
    struct cis_budget budget;
    cis_memory_view *memory; /* the run's */
};

static const struct cis_str tenant = {"bench", 5};

static void die(const char *what, int no, const struct cis_error *err)
{
    fprintf(stderr, "%s: %s %s\n", what, no != 0 ? strerror(no) : "", err != NULL ? err->msg : "");
    exit(1);
}

static void fill(struct bench *b, uint8_t *ptr, size_t len)
{
    for (size_t i = 0; i + 4 <= len; i += 4) {
        b->seed = b->seed * 1664525u + 1013904223u;
        memcpy(ptr + i, &b->seed, 4);
    }
}

static void memory_open(struct bench *b)
{
    static const struct cis_call call = {
        .tenant = "bench", .skill = "bench", .run_id = "", .deadline_ns = UINT64_MAX};
    struct cis_error err;
    b->budget = (struct cis_budget){.limit = 1u << 30};
    if (cis_memory_view_new(&b->service.service, &call, &b->budget, &b->memory, &err) != CIS_OK) {
        die("memory", 0, &err);
    }
}

static void commit(struct bench *b)
{
    struct cis_error err;
    const struct cis_memory_op *ops;
    size_t n = 0;
    if (cis_memory_view_ops(b->memory, &ops, &n, &err) != CIS_OK) {
        die("memory", 0, &err);
    }
    struct cis_kv_op *kv = calloc(n + 1, sizeof *kv);
    for (size_t i = 0; i < n; i++) {
        kv[i] = (struct cis_kv_op){.ns = CIS_STR("bench"),
                                   .key = {ops[i].key, ops[i].key_len},
                                   .value = {ops[i].value, ops[i].value_len},
                                   .is_public = -1};
    }
    struct cis_store_commit with = {.kv = kv, .nkv = n, .kind = "run"};
    struct cis_fs_committed done;
    if (cis_layered_commit(b->vfs, &with, &done, NULL, &err) != CIS_OK) {
        die("commit", 0, &err);
    }
    free(kv);
    if (b->each) { /* the next operation is another run */
        cis_memory_view_free(b->memory);
        memory_open(b);
    }
}

typedef int bench_op(struct bench *b, int i);

static void place(char *out, size_t size, int i, const char *tail)
{
    snprintf(out, size, "d%d/file-%d%s", i % DIRS, i, tail);
}

static const struct cis_vfs_call call;

static int write_file(struct bench *b, const char *path, uint8_t *data, size_t len)
{
    cis_vfs_file *file;
    struct cis_vfs_attr attr;
    int no =
        cis_at_open(b->root, &call, cis_str_of(path),
                    &(struct cis_open_how){0, O_WRONLY | O_CREAT | O_TRUNC, 0644}, &file, &attr);
    size_t n = 0;
    uint64_t end;
    if (no == 0) {
        no = cis_vfs_write(file, &call, &(struct iovec){data, len}, 1, 0, &n, &end);
        cis_vfs_file_close(file);
    }
    return no != 0 ? no : n == len ? 0 : EIO;
}

static int read_file(struct bench *b, const char *path, uint8_t *data, size_t len)
{
    cis_vfs_file *file;
    struct cis_vfs_attr attr;
    int no = cis_at_open(b->root, &call, cis_str_of(path), &(struct cis_open_how){0, O_RDONLY, 0},
                         &file, &attr);
    size_t n = 0;
    if (no == 0) {
        no = cis_vfs_read(file, &call, &(struct iovec){data, len}, 1, 0, &n);
        cis_vfs_file_close(file);
    }
    return no != 0 ? no : n == len ? 0 : EIO;
}

static int op_write(struct bench *b, int i)
{
    char path[64];
    place(path, sizeof path, i, "");
    fill(b, b->big, 4096);
    return write_file(b, path, b->big, 4096);
}

static int op_read(struct bench *b, int i)
{
    char path[64];
    place(path, sizeof path, i, "");
    return read_file(b, path, b->big, 4096);
}

static int op_stat(struct bench *b, int i)
{
    char path[64];
    struct cis_vfs_attr attr;
    place(path, sizeof path, i, "");
    int no = cis_at_stat(b->root, &call, cis_str_of(path), 0, &attr);
    return no != 0 ? no : attr.size == 4096 ? 0 : EIO;
}

static int op_mkdir(struct bench *b, int i)
{
    char path[64];
    snprintf(path, sizeof path, "d%d/dir-%d", i % DIRS, i);
    return cis_at_make(b->root, &call, cis_str_of(path), 0,
                       &(struct cis_vfs_make){.mode = S_IFDIR | 0755});
}

static int op_rename(struct bench *b, int i)
{
    char from[64], to[64];
    place(from, sizeof from, i, "");
    place(to, sizeof to, i, ".new");
    return cis_at_rename(b->root, cis_str_of(from), b->root, cis_str_of(to), &call, 0, 0);
}

static int op_unlink(struct bench *b, int i)
{
    char path[64];
    place(path, sizeof path, i, ".new");
    return cis_at_unlink(b->root, &call, cis_str_of(path), 0);
}

static int op_write_big(struct bench *b, int i)
{
    char path[64];
    snprintf(path, sizeof path, "big%d", i);
    return write_file(b, path, b->big, BIG);
}

static int op_read_big(struct bench *b, int i)
{
    char path[64];
    snprintf(path, sizeof path, "big%d", i);
    return read_file(b, path, b->big, BIG);
}

static int op_kv_set(struct bench *b, int i)
{
    char key[32], value[32];
    struct cis_error err;
    snprintf(key, sizeof key, "key-%d", i);
    snprintf(value, sizeof value, "{\"value\":%d}", i);
    return cis_memory_view_set(b->memory, cis_str_of(key), cis_bytes_of(value, strlen(value)),
                               &err) == CIS_OK
               ? 0
               : EIO;
}

static int op_kv_get(struct bench *b, int i)
{
    char key[32], value[32];
    bool found = false;
    struct cis_bytes got;
    struct cis_error err;
    snprintf(key, sizeof key, "key-%d", i);
    snprintf(value, sizeof value, "{\"value\":%d}", i);
    cis_code code = cis_memory_view_get(b->memory, cis_str_of(key), &got, &found, &err);
    return code == CIS_OK && found && got.len == strlen(value) &&
                   memcmp(got.ptr, value, got.len) == 0
               ? 0
               : EIO;
}

/* The rate counts the commit that makes it durable. */
static void timed(struct bench *b, const char *name, int n, double unit, bool writes, bench_op *op)
{
    double begin = bench_now();
    for (int i = 0; i < n; i++) {
        int no = op(b, i);
        if (no != 0) {
            die(name, no, NULL);
        }
        if (writes && b->each) {
            commit(b);
        }
    }
    if (writes && !b->each) {
        commit(b);
    }
    printf("%s\"%s\": %.1f", b->first ? "" : ", ", name, n * unit / (bench_now() - begin) * 1e9);
    b->first = false;
}

static void all(struct bench *b)
{
    for (int d = 0; d < DIRS; d++) {
        char path[16];
        snprintf(path, sizeof path, "d%d", d);
        int no = cis_at_make(b->root, &call, cis_str_of(path), 0,
                             &(struct cis_vfs_make){.mode = S_IFDIR | 0755});
        if (no != 0) {
            die("mkdir", no, NULL);
        }
    }
    commit(b);
    timed(b, "write 4 KiB", b->n, 1, true, op_write);
    timed(b, "read 4 KiB", b->n, 1, false, op_read);
    timed(b, "stat", b->n, 1, false, op_stat);
    timed(b, "mkdir", b->n, 1, true, op_mkdir);
    timed(b, "rename", b->n, 1, true, op_rename);
    timed(b, "unlink", b->n, 1, true, op_unlink);
    fill(b, b->big, BIG);
    timed(b, "write 8 MiB, MiB/s", 3, 8, true, op_write_big);
    timed(b, "read 8 MiB, MiB/s", 3, 8, false, op_read_big);
    timed(b, "key-value set", b->n, 1, true, op_kv_set);
    timed(b, "key-value get", b->n, 1, false, op_kv_get);
}

static void run(struct bench *b, const char *ref, bool each)
{
    struct cis_error err;
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = tenant;
    o.ref = cis_str_of(ref);
    struct cis_fs_ref head;
    if (each &&
        (cis_store_ref_get(b->store, tenant, CIS_STR(CIS_FS_MAIN), &head, NULL, &err) != CIS_OK ||
         cis_store_fork(b->store, tenant, (struct cis_view){head.head.branch, 0}, &o.ref, 1, NULL,
                        &err) != CIS_OK)) {
        die("fork", 0, &err);
    }
    if (cis_layered_open(b->fs_cache, &o, NULL, &b->vfs, &err) != CIS_OK ||
        cis_ns_new(&b->ns, &err) != CIS_OK ||
        cis_ns_mount(b->ns, CIS_STR("/"), b->vfs, 0, false, &err) != CIS_OK) {
        die("open", 0, &err);
    }
    int no = cis_dir_root(b->ns, &call, CIS_STR("/"), &b->root);
    if (no != 0) {
        die("root", no, NULL);
    }
    b->each = each;
    b->first = true;
    memory_open(b);
    all(b);
    cis_memory_view_free(b->memory);
    cis_dir_free(b->root);
    cis_ns_free(b->ns);
    cis_vfs_close(b->vfs);
}

int main(int argc, char **argv)
{
    struct cis_error err;
    struct bench b = {.seed = 1, .n = 1000};
    uint64_t n = 1000;
    if (argc < 2 || (argc > 2 && (!cis_str_u64(cis_str_of(argv[2]), &n) || n < 1 || n > 1000000))) {
        fprintf(stderr, "usage: workspace_bench FOLDER N\n");
        return 2;
    }
    b.n = (int)n;
    b.big = malloc(BIG);
    struct cis_fs_cache_options fs_cache = CIS_FS_CACHE_OPTIONS_INIT;
    struct bench_store at = bench_store_open(argc > 3 ? argv[3] : "sqlite", argv[1]);
    b.store = at.store;
    if (cis_fs_cache_new(b.store, &fs_cache, &b.fs_cache, &err) != CIS_OK) {
        die("store", 0, &err);
    }
    cis_store_memory_init(&b.service, b.store, 0, 0);
    printf("{\"run\": {");
    run(&b, CIS_FS_MAIN, false);
    printf("}, \"each\": {");
    run(&b, "each", true);
    printf("}}\n");
    cis_fs_cache_free(b.fs_cache);
    bench_store_close(&at);
    return 0;
}
