#include "wasi/place.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "store/postgres/postgres.h"
#include "store/sqlite/sqlite.h"
#include "tools/pgcluster.h"
#include "vfs/ops.h"
#include "store/calls.h"

const char *const backend_names[BACKENDS] = {"sqlite", "postgres", "hostdir", "cow"};
static struct pgcluster *cluster;

void places_start(enum backend backend)
{
    if (backend == POSTGRES) {
        cluster = pgcluster_start(NULL);
    }
}

void places_stop(void)
{
    if (cluster != NULL) {
        pgcluster_stop(cluster);
        cluster = NULL;
    }
}

static char *folder(const struct place *p, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", p->base, name) > 0);
    assert_int_equal(mkdir(path, 0755), 0);
    return path;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* What a guest finds in a folder of the host already: links that lead out, a file of 1969. */
static void tempt(const struct place *p)
{
    static const struct timespec early[2] = {{-1, 999999999}, {-1000000000, 1}};
    int fd = open(p->folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(symlinkat(p->secret, fd, "out_absolute"), 0);
    assert_int_equal(symlinkat("../outside/secret", fd, "out_relative"), 0);
    assert_int_equal(symlinkat("../outside", fd, "out_dir"), 0);
    int old = openat(fd, "old", O_CREAT | O_WRONLY, 0644);
    assert_int_equal(futimens(old, early), 0);
    close(old);
    close(fd);
}

static void open_store(struct place *p)
{
    if (p->backend == HOSTDIR) {
        return;
    }
    struct cis_fs_cache_options small = CIS_FS_CACHE_OPTIONS_INIT;
    small.entries = small.inodes = 4096; /* so that caches are left, too */
    if (p->backend == POSTGRES) {
        p->store_place = pgcluster_store(cluster);
        assert_ok(cis_store_postgres_open(p->store_place, NULL, &p->store, NULL, err));
    } else {
        p->store_place = folder(p, "store");
        assert_ok(cis_store_sqlite_open(p->store_place, &p->store, err));
    }
    assert_ok(cis_fs_cache_new(p->store, &small, &p->fs_cache, err));
}

void place_begin(struct place *place, enum backend backend)
{
    *place = (struct place){.backend = backend, .base = test_dir_new()};
    assert_int_equal(chmod(place->base, 0755), 0);
    place->folder = folder(place, "folder");
    place->other = folder(place, "other");
    place->fixed = folder(place, "fixed");
    char *outside = folder(place, "outside");
    assert_true(asprintf(&place->secret, "%s/secret", outside) > 0);
    put(place->secret, "OUTSIDE");
    free(outside);
    open_store(place);
    if (backend == HOSTDIR || backend == COW) {
        tempt(place);
    }
}

void place_end(struct place *p)
{
    cis_fs_cache_free(p->fs_cache);
    if (p->store != NULL) {
        cis_store_close(p->store);
    }
    if (p->backend == POSTGRES) {
        pgcluster_drop(cluster, p->store_place);
    } else {
        free(p->store_place);
    }
    if (p->mounted) {
        umount2(p->folder, MNT_DETACH);
    }
    remove_deep(p->base);
    free(p->base);
    free(p->folder);
    free(p->other);
    free(p->fixed);
    free(p->secret);
}

/* A number over names, types, sizes, links, times of change and link targets of a tree. nftw has no
 * argument of its own. */
static uint64_t sum;
static int add(const char *path, const struct stat *st, int type, struct FTW *at)
{
    char text[512], target[128] = "";
    (void)type;
    if (S_ISLNK(st->st_mode)) {
        assert_true(readlink(path, target, sizeof target - 1) > 0);
    }
    snprintf(text, sizeof text, "%.200s %o %lld %lu %lld.%09ld %s", path + at->base, st->st_mode,
             S_ISDIR(st->st_mode) ? 0 : (long long)st->st_size, (unsigned long)st->st_nlink,
             (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, target);
    uint64_t one = 14695981039346656037ull;
    for (const char *p = text; *p != '\0'; p++) {
        one = (one ^ (uint8_t)*p) * 1099511628211ull;
    }
    sum += one; /* in whatever order they come */
    return 0;
}

static uint64_t sum_of(const struct place *p)
{
    char outside[4200], text[16] = "";
    int fd = open(p->secret, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 7);
    assert_string_equal(text, "OUTSIDE");
    close(fd);
    sum = 0;
    snprintf(outside, sizeof outside, "%s/outside", p->base);
    assert_int_equal(nftw(outside, add, 16, FTW_PHYS), 0);
    if (p->backend == COW) {
        assert_int_equal(nftw(p->folder, add, 16, FTW_PHYS), 0);
    }
    return sum;
}

void place_mark(struct place *place)
{
    place->mark = sum_of(place);
}

void place_untouched(const struct place *place)
{
    assert_true(sum_of(place) == place->mark);
}

struct cis_run_mount place_main(const struct place *p)
{
    struct cis_run_mount m = {.guest_path = "/w"};
    if (p->backend == HOSTDIR || p->backend == COW) {
        m.host = p->folder;
        m.mode = p->backend == COW ? CIS_MOUNT_COW : CIS_MOUNT_RW;
        m.branch = p->backend == COW ? "changes" : NULL;
    }
    return m;
}

/* A branch of its own with the file r, for /ro of the workspace kinds. */
static struct cis_view state_with_r(const struct place *p)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    struct cis_vfs_call call = {0};
    struct cis_fs_committed done;
    cis_vfs *vfs = NULL;
    cis_vfs_file *file = NULL;
    cis_node node;
    struct cis_vfs_attr attr;
    char text[] = "read";
    struct iovec iov = {text, 4};
    size_t n;
    uint64_t end;
    o.tenant = CIS_STR("default");
    assert_ok(cis_layered_open(p->fs_cache, &o, NULL, &vfs, err));
    assert_int_equal(
        cis_vfs_create(vfs, &call,
                       &(struct cis_vfs_create_request){vfs->root, CIS_STR("r"), 0644, O_WRONLY},
                       &file, &node, &attr),
        0);
    assert_int_equal(cis_vfs_write(file, &call, &iov, 1, 0, &n, &end), 0);
    cis_vfs_release(file);
    cis_vfs_forget(vfs, node, 1);
    assert_ok(cis_layered_commit_fork(vfs, CIS_STR("fixed"), NULL, &done, NULL, err));
    cis_layered_discard(vfs);
    cis_vfs_close(vfs);
    return done.view;
}

void place_three(struct place *p, struct cis_run_mount out[3])
{
    out[0] = place_main(p);
    out[1] = (struct cis_run_mount){.guest_path = "/x", .host = p->other, .mode = CIS_MOUNT_RW};
    out[2] = (struct cis_run_mount){.guest_path = "/ro", .mode = CIS_MOUNT_RO};
    if (p->backend == HOSTDIR || p->backend == COW) {
        char path[4200];
        snprintf(path, sizeof path, "%s/r", p->fixed);
        put(path, "read");
        out[2].host = p->fixed;
    } else {
        out[2].at = state_with_r(p);
    }
}

/* In a mount namespace of this process: nobody else sees it, and it goes with the process. */
static bool mount_small(struct place *p, uint64_t bytes)
{
    static bool apart;
    char options[64];
    if (!apart &&
        (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)) {
        print_message("no small filesystem can be mounted here: %s\n", strerror(errno));
        return false;
    }
    apart = true;
    snprintf(options, sizeof options, "size=%llu", (unsigned long long)bytes);
    p->mounted = mount("small", p->folder, "tmpfs", 0, options) == 0;
    return p->mounted;
}

const char *place_limit(struct place *p, uint64_t bytes, bool stored)
{
    if (p->backend == HOSTDIR) {
        return mount_small(p, bytes) ? "ENOSPC" : NULL;
    }
    struct cis_tenant limits = {.quota_bytes = stored ? 0 : bytes,
                                .quota_stored = stored ? bytes : 0};
    assert_ok(cis_store_tenant_create(p->store, CIS_STR("default"), 0, 0, NULL, err));
    assert_ok(cis_store_tenant_quota(p->store, CIS_STR("default"), &limits, NULL, err));
    return stored ? "ENOSPC" : "EDQUOT";
}
