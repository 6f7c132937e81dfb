#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include "base/file.h"
#include "shim_vfs.h"

#define SECTOR 512

/* ---- what is to happen ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long count, syncs, reads, fail_at = -1, kill_at = -1, failed;
static int fail_code;
static unsigned fail_how;
static bool recording;
static sqlite3_vfs *real_vfs;

enum event_kind { EVENT_WRITE, EVENT_TRUNCATE, EVENT_SYNC, EVENT_DELETE, EVENT_MARK };

struct event {
    enum event_kind kind;
    size_t file;
    sqlite3_int64 at;
    int len;
    unsigned char *data;
};

/* What is on the disk for sure, and what may be: while power losses are played. */
struct disk_file {
    char *path;
    unsigned char *bytes;
    size_t len;
    bool exists;
    size_t *pending; /* events since the last sync */
    size_t npending;
};

static struct event *events;
static size_t nevents, cap_events, played;
static struct disk_file *files;
static size_t nfiles;
static unsigned marks;

static size_t file_of(const char *path)
{
    for (size_t i = 0; i < nfiles; i++) {
        if (strcmp(files[i].path, path) == 0) {
            return i;
        }
    }
    files = realloc(files, (nfiles + 1) * sizeof *files);
    files[nfiles] = (struct disk_file){.path = strdup(path)};
    return nfiles++;
}

static void note(enum event_kind kind, const char *path, sqlite3_int64 at, const void *data,
                 int len)
{
    if (nevents == cap_events) {
        cap_events = cap_events != 0 ? cap_events * 2 : 1024;
        events = realloc(events, cap_events * sizeof *events);
    }
    struct event *e = &events[nevents++];
    *e = (struct event){
        .kind = kind, .file = path != NULL ? file_of(path) : 0, .at = at, .len = len};
    if (data != NULL) {
        e->data = malloc((size_t)len);
        memcpy(e->data, data, (size_t)len);
    }
}

/* Under the lock. Does this operation fail? */
static int check(bool is_sync)
{
    long all = count++, of_syncs = syncs;
    syncs += is_sync;
    bool counts = (is_sync || (fail_how & SHIM_SYNCS) == 0) && (fail_how & SHIM_READS) == 0;
    long now = (fail_how & SHIM_SYNCS) != 0 ? of_syncs : all;
    bool first = counts && now == fail_at;
    bool later = (fail_how & SHIM_LASTING) != 0 && failed != 0;
    if (fail_at < 0 || (!first && !later)) {
        return SQLITE_OK;
    }
    failed++;
    return fail_code;
}

/* ---- the VFS ---- */

struct shim_file {
    sqlite3_file base;
    char *path;
    sqlite3_file *real; /* follows this struct */
};

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct shim_file *)file)->real;
}

static int shim_close(sqlite3_file *file)
{
    struct shim_file *f = (struct shim_file *)file;
    int rc = f->real->pMethods != NULL ? f->real->pMethods->xClose(f->real) : SQLITE_OK;
    free(f->path);
    return rc;
}

static int shim_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    pthread_mutex_lock(&lock);
    bool fault = reads++ == fail_at && (fail_how & SHIM_READS) != 0;
    failed += fault;
    int code = fail_code;
    pthread_mutex_unlock(&lock);
    if (fault) {
        return code;
    }
    return real_of(file)->pMethods->xRead(real_of(file), out, len, at);
}

static int shim_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    struct shim_file *f = (struct shim_file *)file;
    pthread_mutex_lock(&lock);
    bool dies = kill_at >= 0 && count == kill_at;
    int rc = check(false);
    if (dies) {
        (void)f->real->pMethods->xWrite(f->real, data, len / 2, at);
        raise(SIGKILL);
    }
    if (rc == SQLITE_OK) {
        rc = f->real->pMethods->xWrite(f->real, data, len, at);
        if (recording && rc == SQLITE_OK && f->path != NULL) {
            note(EVENT_WRITE, f->path, at, data, len);
        }
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct shim_file *f = (struct shim_file *)file;
    pthread_mutex_lock(&lock);
    if (kill_at >= 0 && count == kill_at) {
        raise(SIGKILL);
    }
    int rc = check(false);
    if (rc == SQLITE_OK) {
        rc = f->real->pMethods->xTruncate(f->real, size);
        if (recording && rc == SQLITE_OK && f->path != NULL) {
            note(EVENT_TRUNCATE, f->path, size, NULL, 0);
        }
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

static int shim_sync(sqlite3_file *file, int flags)
{
    struct shim_file *f = (struct shim_file *)file;
    pthread_mutex_lock(&lock);
    if (kill_at >= 0 && count == kill_at) {
        raise(SIGKILL);
    }
    int rc = check(true);
    if (rc == SQLITE_OK) {
        /* What the test learns from the record needs no real sync. */
        rc = recording ? SQLITE_OK : f->real->pMethods->xSync(f->real, flags);
        if (recording && f->path != NULL) {
            note(EVENT_SYNC, f->path, 0, NULL, 0);
        }
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *out)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), out);
}

static int shim_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int shim_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int shim_reserved(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int shim_control(sqlite3_file *file, int op, void *arg)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int shim_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int shim_traits(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, out);
}

static int shim_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shim_shm_unmap(sqlite3_file *file, int drop)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), drop);
}

static const sqlite3_io_methods methods = {.iVersion = 2,
                                           .xClose = shim_close,
                                           .xRead = shim_read,
                                           .xWrite = shim_write,
                                           .xTruncate = shim_truncate,
                                           .xSync = shim_sync,
                                           .xFileSize = shim_size,
                                           .xLock = shim_lock,
                                           .xUnlock = shim_unlock,
                                           .xCheckReservedLock = shim_reserved,
                                           .xFileControl = shim_control,
                                           .xSectorSize = shim_sector,
                                           .xDeviceCharacteristics = shim_traits,
                                           .xShmMap = shim_shm_map,
                                           .xShmLock = shim_shm_lock,
                                           .xShmBarrier = shim_shm_barrier,
                                           .xShmUnmap = shim_shm_unmap};

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                     int *out_flags)
{
    (void)vfs;
    struct shim_file *f = (struct shim_file *)file;
    f->path = name != NULL ? strdup(name) : NULL;
    f->real = (sqlite3_file *)(f + 1);
    int rc = real_vfs->xOpen(real_vfs, name, f->real, flags, out_flags);
    f->base.pMethods = f->real->pMethods != NULL ? &methods : NULL;
    if (f->base.pMethods == NULL) {
        free(f->path);
    }
    return rc;
}

static int shim_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    pthread_mutex_lock(&lock);
    if (kill_at >= 0 && count == kill_at) {
        raise(SIGKILL);
    }
    int rc = check(false);
    if (rc == SQLITE_OK) {
        rc = real_vfs->xDelete(real_vfs, name, sync);
        if (recording) {
            note(EVENT_DELETE, name, sync, NULL, 0);
        }
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

/* ---- the chunk file ---- */

ssize_t __real_pwritev(int fd, const struct iovec *v, int n, off_t at);
int __real_ftruncate(int fd, off_t size);
int __real_fdatasync(int fd);
ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_fdatasync(int fd);

static bool is_chunk_file(int fd, char path[1024])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, 1023);
    path[n > 0 ? n : 0] = 0;
    return n > 7 && strcmp(path + n - 7, ".chunks") == 0;
}

/* Under the lock: does it fail? Then errno says why. */
static bool fails(bool is_sync)
{
    int rc = check(is_sync);
    errno = (rc & 0xff) == SQLITE_FULL ? ENOSPC : EIO;
    return rc != SQLITE_OK;
}

ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
    char path[1024];
    if (!is_chunk_file(fd, path)) {
        return __real_pwritev(fd, v, n, at);
    }
    pthread_mutex_lock(&lock);
    if (kill_at >= 0 && count == kill_at) {
        (void)__real_pwritev(fd, v, (n + 1) / 2, at);
        raise(SIGKILL);
    }
    ssize_t wrote = fails(false) ? -1 : __real_pwritev(fd, v, n, at);
    ssize_t left = recording ? wrote : 0;
    for (int i = 0; i < n && left > 0; i++) {
        ssize_t len = (ssize_t)v[i].iov_len < left ? (ssize_t)v[i].iov_len : left;
        note(EVENT_WRITE, path, at, v[i].iov_base, (int)len);
        at += len;
        left -= len;
    }
    pthread_mutex_unlock(&lock);
    return wrote;
}

int __wrap_ftruncate(int fd, off_t size)
{
    char path[1024];
    if (!is_chunk_file(fd, path)) {
        return __real_ftruncate(fd, size);
    }
    pthread_mutex_lock(&lock);
    if (kill_at >= 0 && count == kill_at) {
        raise(SIGKILL);
    }
    int rc = fails(false) ? -1 : __real_ftruncate(fd, size);
    if (recording && rc == 0) {
        note(EVENT_TRUNCATE, path, size, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

int __wrap_fdatasync(int fd)
{
    char path[1024];
    if (!is_chunk_file(fd, path)) {
        return __real_fdatasync(fd);
    }
    pthread_mutex_lock(&lock);
    if (kill_at >= 0 && count == kill_at) {
        raise(SIGKILL);
    }
    int rc = fails(true) ? -1 : recording ? 0 : __real_fdatasync(fd);
    if (recording && rc == 0) {
        note(EVENT_SYNC, path, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

void shim_register(void)
{
    static sqlite3_vfs vfs;
    real_vfs = sqlite3_vfs_find(NULL);
    assert_non_null(real_vfs);
    vfs = *real_vfs;
    vfs.zName = "cis-test-shim";
    vfs.pNext = NULL;
    vfs.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
    vfs.xOpen = shim_open;
    vfs.xDelete = shim_delete;
    assert_int_equal(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}

long shim_count(void)
{
    pthread_mutex_lock(&lock);
    long n = count;
    pthread_mutex_unlock(&lock);
    return n;
}

void shim_fail(long n, int code, unsigned how)
{
    pthread_mutex_lock(&lock);
    long now = (how & SHIM_SYNCS) != 0 ? syncs : (how & SHIM_READS) != 0 ? reads : count;
    fail_at = n < 0 ? -1 : now + n;
    fail_code = code;
    fail_how = how;
    failed = 0;
    pthread_mutex_unlock(&lock);
}

long shim_failed(void)
{
    return failed;
}

void shim_kill(long n)
{
    pthread_mutex_lock(&lock);
    kill_at = n >= 0 ? count + n : -1;
    pthread_mutex_unlock(&lock);
}

/* ---- power loss ---- */

void shim_record(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < nevents; i++) {
        free(events[i].data);
    }
    nevents = 0;
    recording = true;
    pthread_mutex_unlock(&lock);
}

void shim_mark(void)
{
    pthread_mutex_lock(&lock);
    note(EVENT_MARK, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
}

size_t shim_events(void)
{
    return nevents;
}

void shim_rewind(void)
{
    for (size_t i = 0; i < nfiles; i++) {
        free(files[i].bytes);
        free(files[i].pending);
        files[i] = (struct disk_file){.path = files[i].path};
    }
    played = 0;
    marks = 0;
}

static void resize(struct disk_file *f, size_t len)
{
    f->bytes = realloc(f->bytes, len != 0 ? len : 1);
    if (len > f->len) {
        memset(f->bytes + f->len, 0, len - f->len);
    }
    f->len = len;
}

static void put(struct disk_file *f, size_t at, const unsigned char *data, size_t len)
{
    if (at + len > f->len) {
        resize(f, at + len);
    }
    memcpy(f->bytes + at, data, len);
}

static void apply(struct disk_file *f, const struct event *e)
{
    if (e->kind == EVENT_TRUNCATE) {
        resize(f, (size_t)e->at);
    } else {
        put(f, (size_t)e->at, e->data, (size_t)e->len);
    }
}

/* A write that was under way: some of its sectors are there. */
static void apply_torn(struct disk_file *f, const struct event *e, unsigned *seed)
{
    size_t at = (size_t)e->at, end = at + (size_t)e->len;
    for (size_t from = at; from < end;) {
        size_t to = (from / SECTOR + 1) * SECTOR;
        to = to < end ? to : end;
        if (rand_r(seed) % 2 == 0) {
            put(f, from, e->data + (from - at), to - from);
        }
        from = to;
    }
}

static void play(const struct event *e, size_t index)
{
    struct disk_file *f = &files[e->file];
    switch (e->kind) {
    case EVENT_MARK:
        marks++;
        break;
    case EVENT_DELETE:
        free(f->bytes);
        free(f->pending);
        *f = (struct disk_file){.path = f->path};
        break;
    case EVENT_SYNC:
        f->exists = true;
        for (size_t i = 0; i < f->npending; i++) {
            apply(f, &events[f->pending[i]]);
        }
        f->npending = 0;
        break;
    case EVENT_WRITE:
    case EVENT_TRUNCATE:
        f->exists = true;
        f->pending = realloc(f->pending, (f->npending + 1) * sizeof *f->pending);
        f->pending[f->npending++] = index;
        break;
    }
}

/* What may be on the disk of one file. mode 0: each write has its own fate; 1: none since the sync
 * is there; 2: all are, but the last is torn. */
static void settle(const struct disk_file *f, int mode, unsigned *seed, const char *path)
{
    struct disk_file copy = {.path = f->path};
    resize(&copy, f->len);
    if (f->len != 0) {
        memcpy(copy.bytes, f->bytes, f->len);
    }
    for (size_t i = 0; i < f->npending; i++) {
        const struct event *e = &events[f->pending[i]];
        int fate = mode == 0 ? rand_r(seed) % 3 : mode == 1 ? 0 : (i + 1 == f->npending ? 2 : 1);
        if (fate == 1 || (fate == 2 && e->kind == EVENT_TRUNCATE)) {
            apply(&copy, e);
        } else if (fate == 2) {
            apply_torn(&copy, e, seed);
        }
    }
    struct cis_bytes bytes = {copy.bytes, copy.len};
    assert_ok(cis_file_write(path, bytes, 0600, err));
    free(copy.bytes);
}

unsigned shim_power_loss(size_t upto, unsigned *seed, const char *from, const char *to)
{
    for (; played < upto && played < nevents; played++) {
        play(&events[played], played);
    }
    char path[1024];
    (void)cis_file_remove_tree(to, NULL);
    assert_int_equal(mkdir(to, 0700), 0);
    snprintf(path, sizeof path, "%s/tenants", to);
    assert_int_equal(mkdir(path, 0700), 0);
    int mode = rand_r(seed) % 3;
    for (size_t i = 0; i < nfiles; i++) {
        const struct disk_file *f = &files[i];
        size_t n = strlen(from);
        if (f->exists && strncmp(f->path, from, n) == 0 && strstr(f->path, "-shm") == NULL) {
            snprintf(path, sizeof path, "%s%s", to, f->path + n);
            settle(f, mode, seed, path);
        }
    }
    return marks;
}
