/* The layered filesystem on the embedded store or a private PostgreSQL server, ext4 (or whatever
 * holds TMPDIR) beside it in the same run. Figures that wait for the disk stand beside a probe of
 * what a sync costs at that moment.
 *
 * On a busy machine CIS_BENCH_CPU=1 counts the thread's own time where nothing waits for the disk.
 *
 *     vfs_bench [MIB [PARTS [STORE]]]      size of the large file, default 1024;
 *                                          stat,create,commit,cold,large; sqlite or postgres */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "bench/measure.h"
#include "bench/store.h"
#include "vfs/layered/layered.h"
#include "vfs/walk.h"

enum { ROUNDS = 5, FILES = 10000, STATS = 300000, COMMITS = 60, RANDOMS = 100000 };
#define TENANT CIS_STR("bench")

static cis_store *store;
static cis_fs_cache *fs_cache;
static char folder[512], host[600];
static size_t large = 1024u << 20;
static const struct cis_vfs_call nobody = {0};
static uint8_t *noise; /* 16 MiB that do not compress */
enum { NOISE = 16 << 20 };

static void must(cis_code code, const struct cis_error *err)
{
    if (code != CIS_OK) {
        fprintf(stderr, "%s: %s\n", cis_code_name(code), err->msg);
        exit(1);
    }
}
#define MUST(call)                                                                                 \
    do {                                                                                           \
        struct cis_error err_ = {0}, *err = &err_;                                                 \
        must((call), err);                                                                         \
    } while (0)

static void check(int no, const char *what)
{
    if (no != 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(no));
        exit(1);
    }
}

static void check_host(bool good, const char *what)
{
    check(good ? 0 : errno, what);
}

static double since(double start) /* seconds */
{
    return (bench_now() - start) / 1e9;
}

/* For what stays in memory. */
static double now(void)
{
    struct timespec t;
    clock_gettime(getenv("CIS_BENCH_CPU") != NULL ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double took(double start)
{
    return (now() - start) / 1e9;
}

static void row(const char *name, double *rounds, const char *unit)
{
    struct bench_spread s = bench_spread(rounds, ROUNDS);
    printf("  %-58s %10.1f %-9s (%.1f to %.1f)\n", name, s.median, unit, s.min, s.max);
    fflush(stdout);
}

static void probe(void)
{
    char path[700], page[4096] = {1};
    double t[21];
    snprintf(path, sizeof path, "%s/probe", folder);
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    for (int i = 0; i < 21; i++) {
        double start = bench_now();
        check_host(pwrite(fd, page, sizeof page, i * 4096) == 4096 && fdatasync(fd) == 0, "probe");
        t[i] = since(start) * 1e3;
    }
    close(fd);
    unlink(path);
    printf("  (a sync of 4 KiB now: %.3f ms)\n", bench_percentile(t, 21, 50));
}

/* ---- a view, and small verbs ---- */
static void fresh_fs_cache(uint64_t chunk_bytes)
{
    struct cis_fs_cache_options o = CIS_FS_CACHE_OPTIONS_INIT;
    o.chunk_bytes = chunk_bytes;
    cis_fs_cache_free(fs_cache);
    fs_cache = NULL;
    MUST(cis_fs_cache_new(store, &o, &fs_cache, err));
}

static cis_vfs *view(void)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    cis_vfs *vfs = NULL;
    o.tenant = TENANT;
    MUST(cis_layered_open(fs_cache, &o, NULL, &vfs, err));
    return vfs;
}

static uint64_t make_dir(cis_vfs *v, uint64_t dir, const char *name)
{
    struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
    struct cis_vfs_attr attr;
    uint64_t ino = 0;
    check(cis_vfs_make(v, &nobody, dir, cis_str_of(name), &make, &ino, &attr), name);
    return ino;
}

static cis_vfs_file *make_file(cis_vfs *v, uint64_t dir, const char *name)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    uint64_t ino;
    check(cis_vfs_create(v, &nobody,
                         &(struct cis_vfs_create_request){dir, cis_str_of(name), 0644, O_RDWR},
                         &file, &ino, &attr),
          name);
    cis_vfs_forget(v, ino, 1);
    return file;
}

static void write_all(cis_vfs_file *file, uint64_t off, const uint8_t *data, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)data, len};
    size_t n = 0;
    uint64_t end;
    check(cis_vfs_write(file, &nobody, &iov, 1, off, &n, &end), "write");
    check(n == len ? 0 : EIO, "write");
}

static uint64_t look(cis_vfs *v, uint64_t dir, const char *name)
{
    struct cis_vfs_attr attr;
    uint64_t ino = 0;
    check(cis_vfs_lookup(v, &nobody, dir, cis_str_of(name), &ino, &attr), name);
    return ino;
}

/* ---- stat ---- */
struct stater {
    cis_vfs *v;
    const cis_dir *dir;
    int index, fd;
    double took;
    int how; /* 0: one component, 1: a path of five, 2: the host's one, 3: the host's path */
};

static void *stat_on(void *arg)
{
    struct stater *s = arg;
    char one[16], path[64];
    snprintf(one, sizeof one, "f%d", s->index);
    snprintf(path, sizeof path, "a/b/c/d/f%d", s->index);
    struct cis_str name = cis_str_of(one), text = cis_str_of(path);
    uint64_t dir = s->v != NULL ? look(s->v, 1, "a") : 0;
    static const char *const steps[] = {"b", "c", "d"};
    for (int i = 0; i < 3 && s->v != NULL; i++) {
        dir = look(s->v, dir, steps[i]);
    }
    double start = now();
    for (int i = 0; i < STATS; i++) {
        struct cis_vfs_attr attr;
        struct stat st;
        uint64_t ino;
        if (s->how == 0) {
            check(cis_vfs_lookup(s->v, &nobody, dir, name, &ino, &attr), "lookup");
            cis_vfs_forget(s->v, ino, 1);
        } else if (s->how == 1) {
            check(cis_at_stat(s->dir, &nobody, text, 0, &attr), "stat");
        } else {
            check_host(fstatat(s->fd, s->how == 2 ? one : path, &st, 0) == 0, "fstatat");
        }
    }
    s->took = took(start);
    return NULL;
}

static double stats(struct stater *proto, int threads)
{
    struct stater s[2];
    pthread_t t[2];
    double sum = 0;
    for (int i = 0; i < threads; i++) {
        s[i] = *proto;
        s[i].index = i;
        pthread_create(&t[i], NULL, stat_on, &s[i]);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(t[i], NULL);
        sum += STATS / s[i].took;
    }
    return sum / 1e6;
}

static void bench_stat(void)
{
    cis_vfs *v = view();
    uint64_t dir = 1;
    static const char *const steps[] = {"a", "b", "c", "d"};
    char path[700];
    snprintf(path, sizeof path, "%s", host);
    for (int i = 0; i < 4; i++) {
        dir = make_dir(v, dir, steps[i]);
        snprintf(path + strlen(path), sizeof path - strlen(path), "/%s", steps[i]);
        check_host(mkdir(path, 0755) == 0, path);
    }
    for (int i = 0; i < 2; i++) {
        char name[16], file[720];
        snprintf(name, sizeof name, "f%d", i);
        cis_vfs_release(make_file(v, dir, name));
        snprintf(file, sizeof file, "%s/%s", path, name);
        close(open(file, O_CREAT | O_RDWR, 0644));
    }
    MUST(cis_layered_commit(v, NULL, NULL, NULL, err));
    cis_ns *ns = NULL;
    cis_dir *root = NULL;
    MUST(cis_ns_new(&ns, err));
    MUST(cis_ns_mount(ns, CIS_STR("/"), v, 0, false, err));
    check(cis_dir_root(ns, &nobody, CIS_STR("/"), &root), "root");
    int deep = open(path, O_PATH | O_DIRECTORY), top = open(host, O_PATH | O_DIRECTORY);
    struct stater how[] = {{.v = v, .dir = root, .how = 0},
                           {.v = v, .dir = root, .how = 1},
                           {.fd = deep, .how = 2},
                           {.fd = top, .how = 3}};
    static const char *const names[] = {"cached, one component", "cached, five components",
                                        "ext4 stat, one component", "ext4 stat, five components"};
    double r[4][2][ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        for (int h = 0; h < 4; h++) {
            r[h][0][i] = stats(&how[h], 1);
            r[h][1][i] = stats(&how[h], 2);
        }
    }
    printf("stat\n");
    for (int h = 0; h < 4; h++) {
        char name[80];
        row(names[h], r[h][0], "M/s");
        snprintf(name, sizeof name, "%s, 2 threads", names[h]);
        row(name, r[h][1], "M/s");
        printf("  %-58s %10.2f times one thread\n", "", r[h][1][ROUNDS / 2] / r[h][0][ROUNDS / 2]);
    }
    close(deep);
    close(top);
    cis_dir_free(root);
    cis_ns_free(ns);
    cis_vfs_close(v);
}

/* ---- many small files ---- */
static void bench_create(void)
{
    double ours[ROUNDS], apart[ROUNDS], theirs[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        char name[64], path[700];
        cis_vfs *v = view();
        double start = bench_now();
        snprintf(name, sizeof name, "many%d", r);
        uint64_t dir = make_dir(v, 1, name);
        for (int i = 0; i < FILES; i++) {
            snprintf(name, sizeof name, "file%d", i);
            cis_vfs_file *file = make_file(v, dir, name);
            write_all(file, 0, noise + ((size_t)(r * FILES + i) * 4099) % (NOISE - 4096), 4096);
            cis_vfs_release(file);
        }
        apart[r] = since(start);
        MUST(cis_layered_commit(v, NULL, NULL, NULL, err));
        ours[r] = FILES / since(start) / 1e3;
        apart[r] = FILES / apart[r] / 1e3;
        cis_vfs_close(v);
        snprintf(path, sizeof path, "%s/many%d", host, r);
        start = bench_now();
        check_host(mkdir(path, 0755) == 0, path);
        int at = open(path, O_PATH | O_DIRECTORY);
        for (int i = 0; i < FILES; i++) {
            snprintf(name, sizeof name, "file%d", i);
            int fd = openat(at, name, O_CREAT | O_RDWR, 0644);
            check_host(write(fd, noise + ((size_t)i * 4099) % (NOISE - 4096), 4096) == 4096, name);
            close(fd);
        }
        close(at);
        theirs[r] = FILES / since(start) / 1e3;
    }
    printf("create %d files of 4 KiB\n", FILES);
    row("in one run, committed durably", ours, "k/s");
    row("  before the commit", apart, "k/s");
    row("ext4, not synced", theirs, "k/s");
    probe();
}

static void bench_commit(void)
{
    double ours[ROUNDS], theirs[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        char name[64], path[700];
        cis_vfs *v = view();
        double start = bench_now();
        for (int i = 0; i < COMMITS; i++) {
            snprintf(name, sizeof name, "one%d.%d", r, i);
            cis_vfs_file *file = make_file(v, 1, name);
            write_all(file, 0, noise + i * 4096, 4096);
            cis_vfs_release(file);
            MUST(cis_layered_commit(v, NULL, NULL, NULL, err));
        }
        ours[r] = COMMITS / since(start);
        cis_vfs_close(v);
        start = bench_now();
        for (int i = 0; i < COMMITS; i++) {
            snprintf(path, sizeof path, "%s/one%d.%d", host, r, i);
            int fd = open(path, O_CREAT | O_RDWR, 0644);
            check_host(write(fd, noise + i * 4096, 4096) == 4096 && fsync(fd) == 0, path);
            close(fd);
        }
        theirs[r] = COMMITS / since(start);
    }
    printf("one file of 4 KiB, durable\n");
    row("create, write, commit", ours, "/s");
    row("ext4: create, write, fsync", theirs, "/s");
    probe();
}

/* ---- names that no cache holds; listings ---- */
static bool count_entry(void *self, const struct cis_vfs_entry *entry,
                        const struct cis_vfs_attr *attr)
{
    uint64_t *n = self;
    *n += entry->ino != 0 && attr != NULL;
    return true;
}

static double list_once(cis_vfs *v, uint64_t dir)
{
    cis_vfs_file *file = NULL;
    uint64_t n = 0;
    double start = now();
    check(cis_vfs_open(v, &nobody, dir, O_RDONLY, &file), "open");
    check(cis_vfs_readdir(file, &nobody, 0, true, count_entry, &n), "readdir");
    cis_vfs_release(file);
    check(n == FILES + 2 ? 0 : EIO, "entries");
    return FILES / took(start) / 1e3;
}

static void bench_cold(void)
{
    double names[ROUNDS], first[ROUNDS], again[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        char name[64];
        fresh_fs_cache(0);
        cis_vfs *v = view();
        uint64_t dir = look(v, 1, "many0");
        double start = now();
        for (int i = 0; i < FILES; i++) {
            snprintf(name, sizeof name, "file%d", (int)((unsigned)i * 7919u % FILES));
            cis_vfs_forget(v, look(v, dir, name), 1);
        }
        names[r] = FILES / took(start) / 1e3;
        cis_vfs_close(v);
        fresh_fs_cache(0);
        v = view();
        dir = look(v, 1, "many0");
        first[r] = list_once(v, dir);
        again[r] = list_once(v, dir);
        cis_vfs_close(v);
    }
    printf("own caches empty, database warm\n");
    row("stat", names, "k/s");
    row("list 10,000 entries with attributes", first, "k/s");
    row("the same, cached", again, "k/s");
}

/* ---- one large file ---- */
static double cpu(void) /* seconds of all threads */
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double write_cpu; /* seconds of the last write_large */

static double write_large(const char *name)
{
    cis_vfs *v = view();
    double used = cpu();
    double start = bench_now();
    cis_vfs_file *file = make_file(v, 1, name);
    for (size_t at = 0; at < large; at += 1 << 20) {
        memcpy(noise + at % NOISE, &at, sizeof at); /* so that no block is stored already */
        memcpy(noise + at % NOISE + name[5], &name, sizeof name);
        for (size_t b = 0; b < 16; b++) {
            uint64_t mark = (uint64_t)at * 31 + b + (uint64_t)name[5] * 1000003;
            memcpy(noise + at % NOISE + b * 65536 + 100, &mark, sizeof mark);
        }
        write_all(file, at, noise + at % NOISE, 1 << 20);
    }
    cis_vfs_release(file);
    MUST(cis_layered_commit(v, NULL, NULL, NULL, err));
    double took = since(start);
    write_cpu = cpu() - used;
    cis_vfs_close(v);
    return (double)(large >> 20) / took;
}

static double write_host(void)
{
    char path[700];
    snprintf(path, sizeof path, "%s/large", host);
    double start = bench_now();
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0644);
    for (size_t at = 0; at < large; at += 1 << 20) {
        check_host(write(fd, noise + at % NOISE, 1 << 20) == 1 << 20, path);
    }
    check_host(fsync(fd) == 0, path);
    double took = since(start);
    close(fd);
    unlink(path);
    return (double)(large >> 20) / took;
}

static double read_large(cis_vfs *v, size_t step)
{
    static uint8_t data[1 << 20];
    uint64_t ino = look(v, 1, "large0");
    cis_vfs_file *file = NULL;
    check(cis_vfs_open(v, &nobody, ino, O_RDONLY, &file), "open");
    double start = now();
    for (size_t at = 0; at < large; at += step) {
        struct iovec iov = {data, step};
        size_t n = 0;
        check(cis_vfs_read(file, &nobody, &iov, 1, at, &n), "read");
        check(n == step ? 0 : EIO, "read");
    }
    double spent = took(start);
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    return (double)(large >> 20) / spent;
}

static double read_random(cis_vfs *v, size_t within)
{
    uint8_t data[4096];
    uint64_t ino = look(v, 1, "large0"), x = 88172645463325252u;
    cis_vfs_file *file = NULL;
    check(cis_vfs_open(v, &nobody, ino, O_RDONLY, &file), "open");
    double start = now();
    for (int i = 0; i < RANDOMS; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        struct iovec iov = {data, 4096};
        size_t n = 0;
        check(cis_vfs_read(file, &nobody, &iov, 1, x % (within / 4096) * 4096, &n), "read");
        check(n == 4096 ? 0 : EIO, "read");
    }
    double spent = took(start);
    cis_vfs_release(file);
    cis_vfs_forget(v, ino, 1);
    return RANDOMS / spent / 1e3;
}

static void bench_large(void)
{
    double w[ROUNDS], h[ROUNDS], warm[ROUNDS], cached[ROUNDS], rnd[ROUNDS], rndc[ROUNDS];
    long idle = bench_rss_kib(), most = idle;
    int rounds = ROUNDS < 3 ? ROUNDS : 3;
    for (int r = 0; r < ROUNDS; r++) {
        char name[16];
        snprintf(name, sizeof name, "large%d", r);
        fresh_fs_cache(0);
        w[r] = r < rounds ? write_large(name) : w[r - rounds];
        most = bench_rss_kib() > most ? bench_rss_kib() : most;
        h[r] = r < rounds ? write_host() : h[r - rounds];
    }
    printf("one file of %zu MiB that does not compress\n", large >> 20);
    row("written and committed durably", w, "MiB/s");
    printf("  %-58s %10.2f s of processor time a GiB\n", "",
           write_cpu * 1024 / (double)(large >> 20));
    row("ext4, written and synced", h, "MiB/s");
    probe();
    for (int r = 0; r < ROUNDS; r++) {
        fresh_fs_cache(0);
        cis_vfs *v = view();
        warm[r] = read_large(v, 1 << 20);
        cis_vfs_close(v);
        fresh_fs_cache(0);
        v = view();
        rnd[r] = read_random(v, large);
        cis_vfs_close(v);
    }
    most = bench_rss_kib() > most ? bench_rss_kib() : most;
    printf("  %-58s %10.1f MiB above idle\n", "memory while writing and reading",
           (double)(most - idle) / 1024);
    fresh_fs_cache((uint64_t)large * 5 / 4);
    cis_vfs *v = view();
    (void)read_large(v, 1 << 20);
    for (int r = 0; r < ROUNDS; r++) {
        cached[r] = read_large(v, 1 << 20);
        rndc[r] = read_random(v, large);
    }
    cis_vfs_close(v);
    row("read in order, database warm", warm, "MiB/s");
    row("read in order, cached", cached, "MiB/s");
    row("4 KiB at random, database warm", rnd, "k/s");
    row("4 KiB at random, cached", rndc, "k/s");
}

int main(int argc, char **argv)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/cis-vfs-bench-XXXXXX", base != NULL ? base : "/tmp");
    check_host(mkdtemp(folder) != NULL, folder);
    snprintf(host, sizeof host, "%s/host", folder);
    check_host(mkdir(host, 0755) == 0, host);
    large = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) << 20 : large;
    noise = malloc(NOISE);
    uint64_t x = 42;
    for (size_t i = 0; i < NOISE; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        noise[i] = (uint8_t)(x >> 32);
    }
    char dir[600];
    snprintf(dir, sizeof dir, "%s/store", folder);
    struct bench_store place = bench_store_open(argc > 3 ? argv[3] : "sqlite", dir);
    store = place.store;
    fresh_fs_cache(0);
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"stat", bench_stat},
                 {"create", bench_create},
                 {"commit", bench_commit},
                 {"cold", bench_cold}, /* lists what create made */
                 {"large", bench_large}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (argc < 3 || argv[2][0] == 0 || strstr(argv[2], parts[i].name) != NULL) {
            parts[i].run();
        }
    }
    cis_fs_cache_free(fs_cache);
    bench_store_close(&place);
    free(noise);
    MUST(cis_file_remove_tree(folder, err));
    return 0;
}
