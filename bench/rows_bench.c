/* The rows of the versioned filesystem, straight at the store and without the caches above it: the
 * embedded store and a private PostgreSQL server in one run, with the disk's own fsync beside them.
 * Content does not compress. Each figure is the best of three rounds. */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/file.h"
#include "bench/rows.h"
#include "bench/store.h"
#include "store/chunk.h"
#include "store/commit.h"
#include "store/calls.h"

#define DIRS 100
#define FILES 1000 /* of each */
#define ROUNDS 3

static uint64_t state; /* of next(), the same sequence on both stores */
static const char *what;
static uint64_t dirs[DIRS], top[3];

static int next(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)(state >> 40);
}

static void row(const char *name, double n, double ns, const char *unit)
{
    printf("%-9s %-52s %12.0f %s\n", what, name, n / ns * 1e9, unit);
    fflush(stdout);
}

/* ---- trees ---- */
static void build(void)
{
    uint64_t at = CIS_FS_ROOT;
    for (int i = 0; i < 3; i++) {
        at = top[i] = make(at, "top", 0, 1, S_IFDIR | 0755);
    }
    uint64_t first = make(at, "dir", 0, DIRS, S_IFDIR | 0755);
    for (int i = 0; i < DIRS; i++) {
        dirs[i] = first + (uint64_t)i;
        make(dirs[i], "file", 0, FILES, S_IFREG | 0644);
    }
}

static bool count_step(void *self, size_t i, const struct cis_fs_dirent *d,
                       const struct cis_fs_inode *inode)
{
    (void)i;
    (void)d;
    *(size_t *)self += inode != NULL;
    return true;
}

static bool count_entry(void *self, const struct cis_fs_dirent *d, const struct cis_fs_inode *inode)
{
    (void)d;
    *(size_t *)self += inode != NULL;
    return true;
}

static void walks(void)
{
    struct cis_view at = head();
    double best1 = 1e18, best5 = 1e18;
    const int n = 20000;
    for (int r = 0; r < ROUNDS; r++) {
        char name[24], dir[24];
        size_t found = 0;
        double t = bench_now();
        for (int i = 0; i < n; i++) {
            snprintf(name, sizeof name, "file%06d", next() % FILES);
            struct cis_str one = cis_str_of(name);
            MUST(cis_store_walk(s, T,
                                &(struct cis_fs_walk_query){
                                    .at = at, .dir = dirs[next() % DIRS], .names = &one, .n = 1},
                                count_step, &found, NULL, err));
        }
        t = bench_now() - t;
        best1 = t < best1 ? t : best1;
        t = bench_now();
        for (int i = 0; i < n / 4; i++) {
            snprintf(name, sizeof name, "file%06d", next() % FILES);
            snprintf(dir, sizeof dir, "dir%06d", next() % DIRS);
            struct cis_str path[] = {CIS_STR("top000000"), CIS_STR("top000000"),
                                     CIS_STR("top000000"), cis_str_of(dir), cis_str_of(name)};
            MUST(cis_store_walk(
                s, T,
                &(struct cis_fs_walk_query){.at = at, .dir = CIS_FS_ROOT, .names = path, .n = 5},
                count_step, &found, NULL, err));
        }
        t = bench_now() - t;
        best5 = t < best5 ? t : best5;
        if (found != (size_t)n + (size_t)n / 4 * 5) {
            exit(2);
        }
    }
    row("look-up and stat of a name, one by one", n, best1, "op/s");
    row("path of 5 components, cold, one trip", n / 4, best5, "path/s");
}

static void lists(void)
{
    uint64_t dir = make(CIS_FS_ROOT, "big", 0, 1, S_IFDIR | 0755);
    double t = bench_now();
    make(dir, "file", 0, 10000, S_IFREG | 0644);
    row("create 10,000 files in one durable commit", 10000, bench_now() - t, "files/s");
    double best = 1e18;
    struct cis_view at = head();
    for (int r = 0; r < 5; r++) {
        size_t n = 0;
        t = bench_now();
        MUST(cis_store_list(s, T,
                            &(struct cis_fs_list_query){
                                .at = at, .dir = dir, .max = UINT32_MAX, .attributes = true},
                            count_entry, &n, NULL, err));
        t = bench_now() - t;
        best = t < best ? t : best;
        if (n != 10000) {
            exit(2);
        }
    }
    row("list 10,000 entries with attributes", 10000, best, "entries/s");
}

static void commits(void)
{
    double best = 1e18;
    uint64_t n = 0;
    for (int r = 0; r < ROUNDS; r++) {
        double t = bench_now();
        for (int i = 0; i < 200; i++) {
            make(dirs[0], "one", n++, 1, S_IFREG | 0644);
        }
        t = bench_now() - t;
        best = t < best ? t : best;
    }
    row("one file, one durable commit", 200, best, "commits/s");
    double t = bench_now();
    static char names[1000][16];
    struct cis_str forks[1000];
    for (int i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof names[i], "fork%04d", i);
        forks[i] = cis_str_of(names[i]);
    }
    MUST(cis_store_fork(s, T, head(), forks, 1000, NULL, err));
    row("1,000 forks of it in one command", 1000, bench_now() - t, "forks/s");
}

/* ---- content ---- */
#define CHUNKS 4096 /* 256 MiB */

static void chunks(void)
{
    cis_chunk_codec *codec = NULL;
    static struct cis_fs_chunk put[64];
    static uint64_t ids[CHUNKS];
    uint8_t key[32] = {0}, *content = malloc(CIS_FS_BLOCK);
    uint8_t *packed = malloc(64 * (size_t)CIS_CHUNK_PACKED_MAX);
    double spent = 0;
    MUST(cis_chunk_codec_new(&codec, err));
    for (int at = 0; at < CHUNKS; at += 64) {
        for (int i = 0; i < 64; i++) {
            uint8_t *to = packed + (size_t)i * CIS_CHUNK_PACKED_MAX;
            cis_random_bytes(content, CIS_FS_BLOCK);
            struct cis_bytes bytes = cis_bytes_of(content, CIS_FS_BLOCK);
            cis_chunk_hash(key, bytes, put[i].hash);
            put[i].packed = cis_bytes_of(to, cis_chunk_pack(codec, bytes, true, to));
        }
        double t = bench_now();
        MUST(cis_store_chunk_put(s, T, &(struct cis_fs_put_request){.chunks = put, .n = 64},
                                 ids + at, NULL, err));
        spent += bench_now() - t;
    }
    double t = bench_now();
    make(dirs[1], "seal", 0, 1, S_IFREG | 0644); /* what was put is safe with the next commit */
    spent += bench_now() - t;
    row("64 KiB chunks, written and committed", CHUNKS / 16.0, spent, "MiB/s");
    double best = 1e18, best4 = 1e18;
    static struct cis_fs_read reads[64];
    uint8_t *out = malloc(64 * (size_t)CIS_FS_BLOCK);
    for (int r = 0; r < ROUNDS; r++) {
        t = bench_now();
        for (int at = 0; at < CHUNKS; at += 64) {
            for (int i = 0; i < 64; i++) {
                reads[i] = (struct cis_fs_read){.chunk = ids[at + i],
                                                .len = CIS_FS_BLOCK,
                                                .dst = out + (size_t)i * CIS_FS_BLOCK};
            }
            MUST(cis_store_chunk_read(s, T, reads, 64, NULL, err));
            if (reads[63].code != CIS_OK) {
                exit(2);
            }
        }
        t = bench_now() - t;
        best = t < best ? t : best;
        t = bench_now();
        for (int k = 0; k < 20000; k += 1) {
            reads[0] = (struct cis_fs_read){.chunk = ids[next() % CHUNKS],
                                            .off = (uint32_t)(next() % 16) * 4096,
                                            .len = 4096,
                                            .dst = out};
            MUST(cis_store_chunk_read(s, T, reads, 1, NULL, err));
            if (reads[0].code != CIS_OK) {
                exit(2);
            }
        }
        t = bench_now() - t;
        best4 = t < best4 ? t : best4;
    }
    row("64 KiB chunks, read warm, 64 at a time", CHUNKS / 16.0, best, "MiB/s");
    row("4 KiB out of a chunk, one by one", 20000, best4, "op/s");
    best4 = 1e18;
    for (int r = 0; r < ROUNDS; r++) {
        t = bench_now();
        for (int k = 0; k < 20000; k += 64) {
            for (int i = 0; i < 64; i++) {
                reads[i] = (struct cis_fs_read){.chunk = ids[next() % CHUNKS],
                                                .off = (uint32_t)(next() % 16) * 4096,
                                                .len = 4096,
                                                .dst = out + (size_t)i * 4096};
            }
            MUST(cis_store_chunk_read(s, T, reads, 64, NULL, err));
        }
        t = bench_now() - t;
        best4 = t < best4 ? t : best4;
    }
    row("4 KiB out of a chunk, 64 at a time", 20000, best4, "op/s");
    cis_chunk_codec_free(codec);
    free(content);
    free(packed);
    free(out);
}

/* ---- many writers ---- */
struct writer {
    int id;
};

static void *write_some(void *arg)
{
    struct writer *w = arg;
    for (uint64_t i = 0; i < 100; i++) {
        make(dirs[2 + w->id], "conc", i, 1, S_IFREG | 0644);
    }
    return NULL;
}

static void writers(void)
{
    pthread_t threads[8];
    struct writer w[8];
    double t = bench_now();
    for (int i = 0; i < 8; i++) {
        w[i].id = i;
        pthread_create(&threads[i], NULL, write_some, &w[i]);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    row("the same, 8 writers on one branch", 800, bench_now() - t, "commits/s");
}

static void probe(const char *dir)
{
    char path[300];
    double best = 1e18;
    what = "disk";
    for (int r = 0; r < ROUNDS; r++) {
        double t = bench_now();
        for (int i = 0; i < 200; i++) {
            snprintf(path, sizeof path, "%s/probe-%d-%d", dir, r, i);
            int fd = open(path, O_CREAT | O_WRONLY, 0600);
            if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) != 0) {
                exit(2);
            }
            close(fd);
        }
        t = bench_now() - t;
        best = t < best ? t : best;
    }
    row("create and fsync of a file", 200, best, "op/s");
}

static void all(const char *name, const char *dir)
{
    struct bench_store b = bench_store_open(name, dir);
    s = b.store;
    what = name;
    state = 1;
    MUST(cis_store_tenant_create(s, T, 0, 0, NULL, err));
    build();
    walks();
    lists();
    commits();
    writers();
    chunks();
    bench_store_close(&b);
}

int main(void)
{
    char dir[] = "/tmp/cis-store-bench-XXXXXX";
    MUST(cis_crypto_init(err));
    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    probe(dir);
    all("sqlite", dir);
    all("postgres", dir);
    probe(dir);
    MUST(cis_file_remove_tree(dir, err));
    return 0;
}
