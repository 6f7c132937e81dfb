/* What a snapshot, a fork and a rollback cost beside trees of growing size: time, with the disk's
 * own fsync beside it, and bytes stored. Then forks by the thousand, names found through a chain of
 * forks, and commits by the number of changed files.
 *
 *     scale_bench [sqlite|postgres [FILES…]]      default: both, 1,000 100,000 1,000,000 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/file.h"
#include "bench/rows.h"
#include "bench/store.h"
#include "vfs/layered/layered.h"
#include "store/calls.h"

enum { TIMES = 41, MANY = 1000, CHAIN = 32, LOOKS = 10000, DIR_FILES = 1000 };

static struct bench_store place;
static char folder[64];
static uint64_t first_dir;
static const struct cis_vfs_call nobody = {0};

static void row(const char *name, uint64_t files, double *t, size_t n, double scale,
                const char *unit)
{
    double low = bench_percentile(t, n, 10), high = bench_percentile(t, n, 90);
    printf("  %-44s %9llu files %10.3f %s (%.3f to %.3f)\n", name, (unsigned long long)files,
           bench_percentile(t, n, 50) / scale, unit, low / scale, high / scale);
    fflush(stdout);
}

static void check(int no, const char *what)
{
    if (no != 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(no));
        exit(1);
    }
}

/* ---- bytes stored ---- */
static uint64_t counted;

static int count_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path;
    (void)at;
    counted += type == FTW_F ? (uint64_t)st->st_size : 0;
    return 0;
}

static uint64_t stored(void)
{
    if (place.cluster != NULL) { /* of relations: the log is written in files of 16 MiB */
        struct cis_str url = cis_str_of(strrchr(place.url, '@') + 2), db;
        cis_str_split(&url, '?', &db);
        char name[64];
        snprintf(name, sizeof name, CIS_STR_FMT, CIS_STR_ARG(db));
        PGconn *c = pgcluster_connect(place.cluster, "postgres", name);
        PGresult *r = PQexec(c, "SELECT pg_database_size(current_database())");
        uint64_t size = PQntuples(r) == 1 ? strtoull(PQgetvalue(r, 0, 0), NULL, 10) : 0;
        PQclear(r);
        PQfinish(c);
        return size;
    }
    cis_store_close(s); /* what is in its log goes into the database */
    MUST(cis_store_sqlite_open(folder, &s, err));
    place.store = s;
    counted = 0;
    nftw(folder, count_file, 16, FTW_PHYS);
    return counted;
}

/* ---- a tree: directories of a thousand files ---- */
static void grow(uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at += DIR_FILES) {
        uint64_t dir = make(CIS_FS_ROOT, "dir", at / DIR_FILES, 1, S_IFDIR | 0755);
        first_dir = first_dir == 0 ? dir : first_dir;
        make(dir, "file", 0, DIR_FILES, S_IFREG | 0644);
    }
}

static void probe(void)
{
    char path[128];
    double t[TIMES];
    snprintf(path, sizeof path, "%s/probe", folder);
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    for (int i = 0; i < TIMES; i++) {
        double start = bench_now();
        if (fd < 0 || pwrite(fd, t, 4096 < sizeof t ? 4096 : sizeof t, i * 4096) < 0 ||
            fdatasync(fd) != 0) {
            check(errno, path);
        }
        t[i] = bench_now() - start;
    }
    close(fd);
    unlink(path);
    printf("  %-44s %15s %10.3f ms (%.3f to %.3f)\n", "(a sync of the disk now)", "",
           bench_percentile(t, TIMES, 50) / 1e6, bench_percentile(t, TIMES, 10) / 1e6,
           bench_percentile(t, TIMES, 90) / 1e6);
}

/* ---- snapshot, fork, rollback ---- */
static void states(uint64_t files)
{
    static int serial;
    double snap[TIMES], fork_[TIMES], back[TIMES];
    for (int i = 0; i < TIMES; i++, serial++) {
        struct cis_fs_snapshot shot = {.view = head(), .note = CIS_STR("")};
        char name[32];
        snprintf(shot.name, sizeof shot.name, "snap%d", serial);
        cis_id_new(shot.id);
        double t = bench_now();
        MUST(cis_store_snapshot_put(s, T, &shot, NULL, err));
        snap[i] = bench_now() - t;
        snprintf(name, sizeof name, "fork%d", serial);
        struct cis_str one = cis_str_of(name);
        t = bench_now();
        MUST(cis_store_fork(s, T, head(), &one, 1, NULL, err));
        fork_[i] = bench_now() - t;
        struct cis_fs_ref ref;
        struct cis_view moved;
        MUST(cis_store_ref_get(s, T, one, &ref, NULL, err));
        t = bench_now();
        MUST(cis_store_ref_move(
            s, T, &(struct cis_fs_move_request){.name = one, .expect = ref.head, .to = shot.view},
            &moved, NULL, err));
        back[i] = bench_now() - t;
    }
    row("snapshot", files, snap, TIMES, 1e6, "ms");
    row("fork", files, fork_, TIMES, 1e6, "ms");
    row("rollback", files, back, TIMES, 1e6, "ms");
    probe();
}

static void thousand(uint64_t files)
{
    static char names[MANY][24];
    static struct cis_str forks[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "many%d", i);
        forks[i] = cis_str_of(names[i]);
    }
    uint64_t before = stored();
    double t = bench_now();
    MUST(cis_store_fork(s, T, head(), forks, MANY, NULL, err));
    t = bench_now() - t;
    printf("  %-44s %9llu files %10.3f s, %lld KiB more on the disk\n", "1,000 forks, one command",
           (unsigned long long)files, t / 1e9, (long long)(stored() - before) / 1024);
}

/* ---- names through a chain of forks ---- */
static cis_vfs *view_of(cis_fs_cache *fs_cache, const char *ref)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    cis_vfs *v = NULL;
    o.tenant = T;
    o.ref = cis_str_of(ref);
    MUST(cis_layered_open(fs_cache, &o, NULL, &v, err));
    return v;
}

/* Looks LOOKS different names up, twice; seconds of each time. */
static void look(const char *ref, double out[2])
{
    cis_fs_cache *fs_cache = NULL;
    MUST(cis_fs_cache_new(s, NULL, &fs_cache, err));
    cis_vfs *v = view_of(fs_cache, ref);
    for (int again = 0; again < 2; again++) {
        double t = bench_now();
        for (int i = 0; i < LOOKS; i++) {
            char name[24];
            struct cis_vfs_attr attr;
            cis_node dir, node;
            snprintf(name, sizeof name, "dir%06d", (int)((unsigned)i * 7919u % 10));
            check(cis_vfs_lookup(v, &nobody, v->root, cis_str_of(name), &dir, &attr), name);
            snprintf(name, sizeof name, "file%06d", i / 10);
            check(cis_vfs_lookup(v, &nobody, dir, cis_str_of(name), &node, &attr), name);
            cis_vfs_forget(v, node, 1);
            cis_vfs_forget(v, dir, 1);
        }
        out[again] = (bench_now() - t) / 1e9;
    }
    cis_vfs_close(v);
    cis_fs_cache_free(fs_cache);
}

static void chain(uint64_t files)
{
    struct cis_fs_ref ref;
    struct cis_view at = head();
    char name[24] = "";
    for (int i = 0; i < CHAIN; i++) {
        snprintf(name, sizeof name, "chain%d", i);
        struct cis_str one = cis_str_of(name);
        MUST(cis_store_fork(s, T, at, &one, 1, NULL, err));
        cis_fs_cache *fs_cache = NULL;
        MUST(cis_fs_cache_new(s, NULL, &fs_cache, err));
        cis_vfs *v = view_of(fs_cache, name);
        struct cis_vfs_make dir = {.mode = S_IFDIR | 0755};
        struct cis_vfs_attr attr;
        cis_node node;
        check(cis_vfs_make(v, &nobody, v->root, one, &dir, &node, &attr), name);
        cis_vfs_forget(v, node, 1);
        MUST(cis_layered_commit(v, NULL, NULL, NULL, err));
        cis_vfs_close(v);
        cis_fs_cache_free(fs_cache);
        MUST(cis_store_ref_get(s, T, one, &ref, NULL, err));
        at = ref.head;
    }
    double direct[2], through[2], ratio[2][5];
    for (int r = 0; r < 5; r++) {
        look("main", direct);
        look(name, through);
        ratio[0][r] = through[0] / direct[0];
        ratio[1][r] = through[1] / direct[1];
    }
    row("names through 32 forks, uncached, times direct", files, ratio[0], 5, 1, "x");
    row("the same, cached", files, ratio[1], 5, 1, "x");
}

/* ---- commits by size ---- */
static void commits(uint64_t files)
{
    static const int sizes[] = {1, 1000, 100000};
    for (int k = 0; k < 3; k++) {
        double t[3];
        int rounds = sizes[k] == 1 ? 3 : sizes[k] == 1000 ? 3 : 1;
        for (int r = 0; r < rounds; r++) {
            char name[32];
            cis_fs_cache *fs_cache = NULL;
            MUST(cis_fs_cache_new(s, NULL, &fs_cache, err));
            cis_vfs *v = view_of(fs_cache, "main");
            struct cis_vfs_attr attr;
            struct cis_vfs_make dir = {.mode = S_IFDIR | 0755}, file = {.mode = S_IFREG | 0644};
            cis_node node, at;
            snprintf(name, sizeof name, "run%d-%d", k, r);
            check(cis_vfs_make(v, &nobody, v->root, cis_str_of(name), &dir, &at, &attr), name);
            for (int i = 0; i < sizes[k]; i++) {
                snprintf(name, sizeof name, "file%06d", i);
                check(cis_vfs_make(v, &nobody, at, cis_str_of(name), &file, &node, &attr), name);
                cis_vfs_forget(v, node, 1);
            }
            cis_vfs_forget(v, at, 1);
            double start = bench_now();
            MUST(cis_layered_commit(v, NULL, NULL, NULL, err));
            t[r] = bench_now() - start;
            cis_vfs_close(v);
            cis_fs_cache_free(fs_cache);
        }
        char label[64];
        snprintf(label, sizeof label, "commit of %d changed files", sizes[k]);
        row(label, files, t, (size_t)rounds, 1e6, "ms");
    }
}

static void all(const char *kind, const uint64_t *sizes, size_t n)
{
    snprintf(folder, sizeof folder, "/tmp/cis-scale-bench-XXXXXX");
    if (mkdtemp(folder) == NULL) {
        exit(1);
    }
    place = bench_store_open(kind, folder);
    s = place.store;
    printf("%s\n", kind);
    MUST(cis_store_tenant_create(s, T, 0, 0, NULL, err));
    uint64_t have = 0;
    for (size_t i = 0; i < n; i++) {
        double t = bench_now();
        grow(have, sizes[i]);
        printf("  (%llu files made in %.1f s)\n", (unsigned long long)sizes[i],
               (bench_now() - t) / 1e9);
        have = sizes[i];
        states(have);
    }
    thousand(have);
    if (have >= LOOKS) {
        chain(have);
    }
    commits(have);
    bench_store_close(&place);
    MUST(cis_file_remove_tree(folder, err));
}

int main(int argc, char **argv)
{
    static uint64_t sizes[8] = {1000, 100000, 1000000};
    size_t n = 3;
    MUST(cis_crypto_init(err));
    for (int i = 2; i < argc && i < 10; i++) {
        sizes[i - 2] = strtoull(argv[i], NULL, 10);
        n = (size_t)i - 1;
    }
    if (argc < 2 || strcmp(argv[1], "sqlite") == 0) {
        all("sqlite", sizes, n);
    }
    if (argc < 2 || strcmp(argv[1], "postgres") == 0) {
        all("postgres", sizes, n);
    }
    return 0;
}
