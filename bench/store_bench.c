/* The embedded store by itself, without the caches that stand above it: look-ups, lists, chunks,
 * commits, and whether snapshots and forks cost the same whatever the tree holds. Every figure that
 * waits for the disk stands beside a probe of what a sync costs at that moment.
 *
 *     store_bench [FILES]      files of the large tree, default 1000000 */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "bench/measure.h"
#include "store/chunk.h"
#include "store/sqlite/integrity/pagesum.h"
#include "store/sqlite/sqlite.h"
#include "store/calls.h"

enum { ROUNDS = 7, PER_DIR = 1000, PER_COMMIT = 10000, BLOCK = CIS_FS_BLOCK };
#define TENANT CIS_STR("bench")

static cis_store *store;
static char *folder;
static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

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

static void row(const char *name, double *rounds, const char *unit)
{
    struct bench_spread s = bench_spread(rounds, ROUNDS);
    printf("  %-52s %11.1f %-7s (%.1f to %.1f)\n", name, s.median, unit, s.min, s.max);
    fflush(stdout);
}

static double since(double start) /* seconds */
{
    return (bench_now() - start) / 1e9;
}

/* What one sync of 4 KiB costs here and now. */
static double probe_ms(void)
{
    char path[4200], page[4096] = {1};
    double t[15];
    snprintf(path, sizeof path, "%s/probe", folder);
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    for (int i = 0; i < 15; i++) {
        double start = bench_now();
        if (pwrite(fd, page, sizeof page, i * 4096) != 4096 || fdatasync(fd) != 0) {
            exit(1);
        }
        t[i] = since(start) * 1e3;
    }
    close(fd);
    unlink(path);
    return bench_percentile(t, 15, 50);
}

/* On the disk once the log is folded in. */
static double disk_kib(void)
{
    double sum = 0;
    static const char *const ends[] = {"db", "db-wal", "chunks"};
    char path[4200];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/tenants/bench.db", folder);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, CIS_SQL_VFS) != SQLITE_OK) {
        exit(1);
    }
    sqlite3_busy_timeout(db, 5000);
    (void)sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    sqlite3_close(db);
    for (int i = 0; i < 3; i++) {
        struct stat st;
        snprintf(path, sizeof path, "%s/tenants/bench.%s", folder, ends[i]);
        sum += stat(path, &st) == 0 ? (double)st.st_blocks / 2 : 0;
    }
    return sum;
}

/* ---- making trees ---- */

static struct cis_view head(const char *ref)
{
    struct cis_fs_ref r;
    MUST(cis_store_ref_get(store, TENANT, cis_str_of(ref), &r, NULL, err));
    return r.head;
}

static struct cis_fs_inode new_inode(uint64_t ino, uint64_t parent, uint32_t mode)
{
    struct cis_fs_time t = {1700000000, 123456789};
    bool dir = parent != 0;
    return (struct cis_fs_inode){.ino = ino,
                                 .mode = mode,
                                 .nlink = dir ? 2 : 1,
                                 .parent = parent,
                                 .atime = t,
                                 .mtime = t,
                                 .ctime = t,
                                 .btime = t};
}

/* One commit: entries [first, first + n) of a directory, named PREFIXnnnnnn. */
static uint64_t add(const char *ref, uint64_t dir, const char *prefix, uint32_t first, uint32_t n,
                    bool dirs)
{
    static struct cis_fs_dirent d[PER_COMMIT];
    static struct cis_fs_change c[PER_COMMIT];
    static char names[PER_COMMIT][24];
    uint64_t ino;
    uint32_t type = dirs ? S_IFDIR : S_IFREG;
    MUST(cis_store_reserve_inodes(store, TENANT, n, &ino, NULL, err));
    for (uint32_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "%s%06u", prefix, (unsigned)(first + i));
        d[i] = (struct cis_fs_dirent){
            .parent = dir, .ino = ino + i, .mode = type, .name = cis_str_of(names[i])};
        c[i] = (struct cis_fs_change){CIS_FS_PUT, true,
                                      new_inode(ino + i, dirs ? dir : 0, type | 0755)};
    }
    struct cis_fs_delta delta = {dir, dirs ? (int32_t)n : 0, {1700000001, 0}, {1700000001, 0}};
    struct cis_fs_commit fs = {.base = head(ref),
                               .dirents = d,
                               .ndirents = n,
                               .changes = c,
                               .nchanges = n,
                               .deltas = &delta,
                               .ndeltas = 1,
                               .files = n};
    struct cis_store_commit commit = {.ref = cis_str_of(ref), .fs = &fs, .kind = "fs"};
    MUST(cis_store_commit(store, TENANT, &commit, NULL, err));
    return ino;
}

static uint64_t first_dir; /* of the tree: dirs follow each other */
static uint32_t dirs_made, files_made;

/* Files in directories of PER_DIR, until there are n. */
static void grow(uint32_t n)
{
    double start = bench_now();
    uint32_t before = files_made;
    for (; files_made < n; files_made += PER_DIR) {
        (void)add("main", first_dir + dirs_made++, "file_", 0, PER_DIR, false);
    }
    if (files_made != before) {
        double s = since(start);
        printf("  %-52s %11.1f k/s\n", "files made, 1,000 a durable commit",
               (files_made - before) / s / 1e3);
    }
}

/* ---- look-ups ---- */

static bool nothing(void *self, const struct cis_fs_inode *inode)
{
    *(uint64_t *)self += inode->size;
    return true;
}

static bool step(void *self, size_t index, const struct cis_fs_dirent *d,
                 const struct cis_fs_inode *inode)
{
    *(uint64_t *)self += inode != NULL ? 1 : 0;
    (void)index;
    (void)d;
    return true;
}

struct work {
    struct cis_view at;
    int kind, n;
    uint64_t seed, found, cpu_ns;
};

static void look_up(struct work *w)
{
    uint64_t start = cis_clock_thread_cpu_ns();
    for (int i = 0; i < w->n; i++) {
        w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t at = (uint32_t)((w->seed >> 33) % files_made);
        uint64_t dir = first_dir + at / PER_DIR;
        char names[2][24];
        snprintf(names[0], sizeof names[0], "dir_%06u", (unsigned)(at / PER_DIR));
        snprintf(names[1], sizeof names[1], "file_%06u", (unsigned)(at % PER_DIR));
        struct cis_str path[2] = {cis_str_of(names[0]), cis_str_of(names[1])};
        if (w->kind == 0) {
            uint64_t ino = first_dir + (w->seed >> 33) % (files_made + dirs_made);
            MUST(cis_store_inodes(store, TENANT,
                                  &(struct cis_fs_inode_query){.at = w->at, .inos = &ino, .n = 1},
                                  nothing, &w->found, NULL, err));
        } else if (w->kind == 1) {
            MUST(cis_store_walk(
                store, TENANT,
                &(struct cis_fs_walk_query){.at = w->at, .dir = dir, .names = path + 1, .n = 1},
                step, &w->found, NULL, err));
        } else {
            MUST(cis_store_walk(
                store, TENANT,
                &(struct cis_fs_walk_query){.at = w->at, .dir = CIS_FS_ROOT, .names = path, .n = 2},
                step, &w->found, NULL, err));
        }
    }
    w->cpu_ns = cis_clock_thread_cpu_ns() - start;
}

static void *look_up_main(void *arg)
{
    look_up(arg);
    return NULL;
}

static double look_ups(const char *name, int kind, int threads, int n)
{
    double k[ROUNDS], cpu[ROUNDS];
    for (int r = -1; r < ROUNDS; r++) { /* one to warm up */
        struct work w[4];
        pthread_t t[4];
        double start = bench_now();
        for (int i = 0; i < threads; i++) {
            w[i] = (struct work){.at = head("main"), .kind = kind, .n = n, .seed = next_random()};
            pthread_create(&t[i], NULL, look_up_main, &w[i]);
        }
        for (int i = 0; i < threads; i++) {
            pthread_join(t[i], NULL);
        }
        if (r >= 0) {
            k[r] = threads * n / since(start) / 1e3;
            cpu[r] = 0;
            for (int i = 0; i < threads; i++) {
                cpu[r] += (double)w[i].cpu_ns / (threads * n);
            }
        }
    }
    row(name, k, "k/s");
    row("    its processor time", cpu, "ns");
    return bench_spread(k, ROUNDS).median;
}

static bool entry(void *self, const struct cis_fs_dirent *d, const struct cis_fs_inode *inode)
{
    (void)d;
    (void)inode;
    ++*(int *)self;
    return true;
}

static void lists(uint64_t dir)
{
    double k[2][ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        for (int attributes = 0; attributes < 2; attributes++) {
            int n = 0;
            double start = bench_now();
            MUST(cis_store_list(store, TENANT,
                                &(struct cis_fs_list_query){.at = head("main"),
                                                            .dir = dir,
                                                            .max = UINT32_MAX,
                                                            .attributes = attributes != 0},
                                entry, &n, NULL, err));
            k[attributes][r] = n / since(start) / 1e3;
        }
    }
    row("list 10,000 entries", k[0], "k/s");
    row("list 10,000 entries with attributes", k[1], "k/s");
}

/* ---- chunks ---- */

static void chunk_rates(void)
{
    enum { MIB = 256, N = MIB * 16, BATCH = 128, RANDOM = 100000 };
    static struct cis_fs_chunk chunks[BATCH];
    static uint64_t ids[N];
    static uint8_t content[BLOCK];
    uint8_t *packed = malloc((size_t)BATCH * CIS_CHUNK_PACKED_MAX);
    struct cis_tenant tenant;
    cis_chunk_codec *codec = NULL;
    double wrote[ROUNDS], sequential[ROUNDS], pieces[ROUNDS], prepared[ROUNDS], plain[ROUNDS];
    char path[4200];
    snprintf(path, sizeof path, "%s/plain", folder);
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    MUST(cis_store_tenant_get(store, TENANT, &tenant, NULL, err));
    MUST(cis_chunk_codec_new(&codec, err));
    for (int r = 0; r < ROUNDS; r++) {
        double put = 0, prepare = 0, file = 0;
        for (int i = 0; i < N; i += BATCH) {
            double start = bench_now();
            for (int j = 0; j < BATCH; j++) {
                cis_random_bytes(content, sizeof content);
                chunks[j].packed.ptr = packed + (size_t)j * CIS_CHUNK_PACKED_MAX;
                double from = bench_now();
                cis_chunk_hash(tenant.key, cis_bytes_of(content, BLOCK), chunks[j].hash);
                chunks[j].packed.len = cis_chunk_pack(codec, cis_bytes_of(content, BLOCK), true,
                                                      packed + (size_t)j * CIS_CHUNK_PACKED_MAX);
                prepare += since(from);
            }
            start = bench_now();
            MUST(cis_store_chunk_put(store, TENANT,
                                     &(struct cis_fs_put_request){.chunks = chunks, .n = BATCH},
                                     ids + i, NULL, err));
            put += since(start);
            start = bench_now();
            for (int j = 0; j < BATCH; j++) {
                if (pwrite(fd, chunks[j].packed.ptr, BLOCK, ((r * N + i + j) * (off_t)BLOCK)) !=
                    BLOCK) {
                    exit(1);
                }
            }
            if (fdatasync(fd) != 0) {
                exit(1);
            }
            file += since(start);
        }
        plain[r] = MIB / file;
        wrote[r] = MIB / put;
        prepared[r] = MIB / prepare;
        double start = bench_now();
        for (int i = 0; i < N; i++) {
            struct cis_fs_read read = {ids[i], 0, BLOCK, content, CIS_OK};
            MUST(cis_store_chunk_read(store, TENANT, &read, 1, NULL, err));
            must(read.code, &(struct cis_error){.msg = "read"});
        }
        sequential[r] = MIB / since(start);
        start = bench_now();
        for (int i = 0; i < RANDOM; i++) {
            struct cis_fs_read read = {ids[next_random() % N], next_random() % 16 * 4096, 4096,
                                       content, CIS_OK};
            MUST(cis_store_chunk_read(store, TENANT, &read, 1, NULL, err));
            must(read.code, &(struct cis_error){.msg = "read"});
        }
        pieces[r] = RANDOM / since(start) / 1e3;
    }
    printf("chunks of random bytes, %d MiB (sync: %.2f ms)\n", MIB, probe_ms());
    row("hash and pack (before the store)", prepared, "MiB/s");
    row("store, 8 MiB a call, synced each", wrote, "MiB/s");
    row("the same bytes into a plain file, synced as often", plain, "MiB/s");
    row("read, 64 KiB a call", sequential, "MiB/s");
    row("read 4 KiB at random", pieces, "k/s");
    close(fd);
    unlink(path);
    cis_chunk_codec_free(codec);
    free(packed);
}

/* ---- forks, snapshots, commits ---- */

static void branches(void)
{
    static int serial;
    double fork[ROUNDS], snapshot[ROUNDS], back[ROUNDS], commit[ROUNDS];
    double kib = disk_kib(), probe = probe_ms();
    for (int r = 0; r < ROUNDS; r++) {
        char name[32];
        struct cis_str names[1];
        struct cis_fs_snapshot snap = {.view = head("main"), .note = CIS_STR("")};
        snprintf(name, sizeof name, "fork-%d", ++serial);
        names[0] = cis_str_of(name);
        double start = bench_now();
        MUST(cis_store_fork(store, TENANT, head("main"), names, 1, NULL, err));
        fork[r] = since(start) * 1e3;
        snprintf(snap.name, sizeof snap.name, "snap-%d", serial);
        start = bench_now();
        MUST(cis_store_snapshot_put(store, TENANT, &snap, NULL, err));
        snapshot[r] = since(start) * 1e3;
        struct cis_view moved;
        start = bench_now();
        MUST(cis_store_ref_move(store, TENANT,
                                &(struct cis_fs_move_request){
                                    .name = names[0], .expect = head(name), .to = head("main")},
                                &moved, NULL, err));
        back[r] = since(start) * 1e3;
        start = bench_now();
        (void)add(name, CIS_FS_ROOT, "one_", (uint32_t)r, 1, false);
        commit[r] = since(start) * 1e3;
    }
    printf("a tree of %u files (sync: %.2f ms)\n", (unsigned)files_made, probe);
    row("fork", fork, "ms");
    row("snapshot", snapshot, "ms");
    row("rollback", back, "ms");
    row("commit of one file", commit, "ms");
    printf("  %-52s %11.2f KiB\n", "disk for all of these, each",
           (disk_kib() - kib) / (4 * ROUNDS));
}

static void many_forks(void)
{
    static char text[1000][24];
    static struct cis_str names[1000];
    double kib = disk_kib();
    for (int i = 0; i < 1000; i++) {
        snprintf(text[i], sizeof text[i], "many/%04d", i);
        names[i] = cis_str_of(text[i]);
    }
    double start = bench_now();
    MUST(cis_store_fork(store, TENANT, head("main"), names, 1000, NULL, err));
    printf("  %-52s %11.1f ms, %.0f KiB\n", "1,000 forks in one command", since(start) * 1e3,
           disk_kib() - kib);
}

/* A fork of a fork …, each with a commit of its own, so that every one has to be asked. */
static void through_forks(void)
{
    static const int depths[] = {0, 1, 8, 32};
    char ref[32] = "main";
    int depth = 0;
    double base = 0;
    printf("look-up of a name in a directory, through forks that each have a commit\n");
    for (size_t i = 0; i < 4; i++) {
        for (; depth < depths[i]; depth++) {
            char next[32];
            struct cis_str names[1];
            snprintf(next, sizeof next, "deep-%d", depth + 1);
            names[0] = cis_str_of(next);
            MUST(cis_store_fork(store, TENANT, head(ref), names, 1, NULL, err));
            (void)add(next, CIS_FS_ROOT, "deep_", (uint32_t)depth, 1, false);
            memcpy(ref, next, sizeof ref);
        }
        double k[ROUNDS], cpu[ROUNDS];
        for (int r = -1; r < ROUNDS; r++) {
            struct work w = {.at = head(ref), .kind = 1, .n = 20000, .seed = next_random()};
            double start = bench_now();
            look_up(&w);
            if (r >= 0) {
                k[r] = w.n / since(start) / 1e3;
                cpu[r] = (double)w.cpu_ns / w.n;
            }
        }
        char name[64];
        struct bench_spread s = bench_spread(cpu, ROUNDS);
        base = i == 0 ? s.median : base;
        snprintf(name, sizeof name, "%d forks", depth);
        row(name, k, "k/s");
        snprintf(name, sizeof name, "    its processor time (%.2f times that of none)",
                 s.median / base);
        row(name, cpu, "ns");
    }
}

int main(int argc, char **argv)
{
    uint64_t most = 1000000;
    if (argc > 1 && !cis_str_u64(cis_str_of(argv[1]), &most)) {
        fprintf(stderr, "usage: store_bench [FILES]\n");
        return 2;
    }
    const char *base = getenv("TMPDIR");
    if (asprintf(&folder, "%s/cis-bench-XXXXXX", base != NULL ? base : "/tmp") < 0 ||
        mkdtemp(folder) == NULL) {
        perror("bench folder");
        return 1;
    }
    MUST(cis_store_sqlite_open(folder, &store, err));
    MUST(cis_store_tenant_create(store, TENANT, 0, 0, NULL, err));
    uint64_t big = add("main", CIS_FS_ROOT, "big_", 0, 1, true);
    (void)add("main", big, "entry_", 0, 10000, false);
    first_dir = add("main", CIS_FS_ROOT, "dir_", 0, (uint32_t)(most / PER_DIR), true);
    printf("lists\n");
    lists(big);
    for (uint32_t n = 1000; n <= most; n = n == 1000 ? 100000 : n * 10) {
        grow(n);
        branches();
    }
    printf("look-ups in %u files, database warm, nothing cached above the store\n",
           (unsigned)files_made);
    double one = look_ups("stat of an inode", 0, 1, 50000);
    double two = look_ups("stat of an inode, two threads", 0, 2, 50000);
    printf("  %-52s %11.2f times\n", "two threads against one", two / one);
    (void)look_ups("look-up and stat of a name", 1, 1, 50000);
    (void)look_ups("walk of two names, each with its attributes", 2, 1, 30000);
    through_forks();
    many_forks();
    chunk_rates();
    cis_store_close(store);
    MUST(cis_file_remove_tree(folder, err));
    free(folder);
    return 0;
}
