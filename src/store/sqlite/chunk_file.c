/* The chunk file: payloads of chunks that came in bulk, TENANT.chunks beside TENANT.db.
 *
 * It is only ever appended to: bytes that a row names never change, and a place is never used
 * again, so a crash leaves at worst bytes that nobody names, and a row read from an older snapshot
 * finds its own bytes or zeros, which its checksums refuse. Space comes back by punching holes; so
 * payloads begin at whole blocks of the file system.
 *
 * Locks are of the open file (F_OFD), hence between threads and processes alike: ALLOCATE for the
 * moment in which the file grows, IN_FLIGHT (shared) from then until the rows are committed, HELD
 * (shared) by who reads what older rows name, and alone by who makes holes of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite/read.h"

#define ALIGN 4096
#define VECTORS 256
#define SYNC_AHEAD (8u << 20) /* the disk starts on this much while more is written */
enum { ALLOCATE, IN_FLIGHT, HELD };

char *cis_sql_chunk_file_path(const char *db_path)
{
    size_t n = strlen(db_path);
    char *path = n > 3 ? cis_alloc(cis_size_add(n, 8)) : NULL;
    if (path != NULL) {
        memcpy(path, db_path, n - 3);
        memcpy(path + n - 3, ".chunks", 8);
    }
    return path;
}

static cis_code made(const char *path, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *dir = cis_strndup(path, (size_t)(strrchr(path, '/') - path));
    CIS_CLEANUP(cis_sql_chunk_file_closep)
    int fd = dir != NULL ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    return fd >= 0 && fsync(fd) == 0
               ? CIS_OK
               : cis_fail_sys(err, CIS_E_STORE, errno, "%s: cannot sync its folder", path);
}

cis_code cis_sql_chunk_file_open(const char *db_path, bool create, int *out_fd,
                                 struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_sql_chunk_file_path(db_path);
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", db_path);
    }
    int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    CIS_CLEANUP(cis_sql_chunk_file_closep) int fd = open(path, flags);
    if (fd < 0 && errno == ENOENT && !create) {
        *out_fd = -1;
        return CIS_OK;
    }
    if (fd < 0 && errno == ENOENT) {
        fd = open(path, flags | O_CREAT, 0600);
        if (fd >= 0) {
            CIS_TRY(made(path, err)); /* also when another process was faster */
        }
    }
    if (fd < 0 && (errno == EACCES || errno == EROFS) && !create) {
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    }
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return cis_fail_sys(err, CIS_E_STORE, errno, "%s", path);
    }
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
        return cis_fail(err, CIS_E_DENIED, "%s: not a file of this user", path);
    }
    *out_fd = fd;
    fd = -1;
    return CIS_OK;
}

cis_code cis_sql_chunk_file_there(int fd, struct cis_error *err)
{
    struct stat st;
    return fd < 0 || (fstat(fd, &st) == 0 && st.st_nlink != 0)
               ? CIS_OK
               : cis_fail(err, CIS_E_NOTFOUND, "chunk file: the tenant is deleted");
}

void cis_sql_chunk_file_closep(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* A holder may be stopped: waits in steps, at most as long as for a database lock. */
static cis_code lock(int fd, int byte, short type, const struct cis_stop *stop,
                     struct cis_error *err)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    uint64_t end = cis_clock_after(cis_clock_mono_ns(), CIS_STORE_LOCK_NS);
    while (fcntl(fd, F_OFD_SETLK, &range) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
            return cis_fail_sys(err, CIS_E_STORE, errno, "chunk file: cannot lock it");
        }
        if (cis_clock_mono_ns() > end) {
            return cis_fail(err, CIS_E_STORE, "chunk file: locked by another process");
        }
        struct cis_stop nap = {CIS_NEVER, NULL};
        if (stop != NULL) {
            CIS_TRY(cis_stop_check(stop, "chunk file", err));
            nap = *stop;
        }
        uint64_t until = cis_clock_after(cis_clock_mono_ns(), CIS_NS_PER_MS);
        nap.deadline_ns = nap.deadline_ns < until ? nap.deadline_ns : until;
        (void)cis_stop_wait(&nap, -1, 0, "", NULL);
    }
    return CIS_OK;
}

bool cis_sql_chunk_file_alone(int fd)
{
    struct flock range = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = IN_FLIGHT, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &range) == 0;
}

cis_code cis_sql_chunk_file_hold(int fd, const struct cis_stop *stop, struct cis_error *err)
{
    return lock(fd, HELD, F_RDLCK, stop, err);
}

bool cis_sql_chunk_file_let(int fd)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = HELD, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &range) == 0;
}

int64_t cis_sql_chunk_file_aligned(int64_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* Grows the file by total bytes that are this caller's: behind its end, and behind where rows say
 * that it ends, since what was cut off is still looked for there. */
static cis_code allocate(int fd, int64_t from, int64_t total, const struct cis_stop *stop,
                         int64_t *out_start, struct cis_error *err)
{
    CIS_TRY(lock(fd, IN_FLIGHT, F_RDLCK, stop, err));
    CIS_TRY(lock(fd, ALLOCATE, F_WRLCK, stop, err));
    struct stat st;
    int64_t start = 0;
    int rc = fstat(fd, &st);
    if (rc == 0) {
        start = cis_sql_chunk_file_aligned(st.st_size > from ? st.st_size : from);
        rc = ftruncate(fd, start + total);
    }
    int sys = errno;
    struct flock range = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = ALLOCATE, .l_len = 1};
    (void)fcntl(fd, F_OFD_SETLK, &range);
    if (rc != 0) {
        return cis_fail_sys(err, CIS_E_STORE, sys, "chunk file: cannot grow it");
    }
    *out_start = start;
    return CIS_OK;
}

/* All of the vectors, which are consumed. */
static cis_code write_all(int fd, struct iovec *v, int n, int64_t at, struct cis_error *err)
{
    while (n > 0) {
        ssize_t wrote = pwritev(fd, v, n, at);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote < 0 && errno == ENOSPC) {
            return cis_fail_sys(err, CIS_E_STORE, ENOSPC, "chunk file: the disk is full");
        }
        if (wrote <= 0) {
            return cis_fail_sys(err, CIS_E_STORE, errno, "chunk file: cannot write it");
        }
        at += wrote;
        while (n > 0 && (size_t)wrote >= v->iov_len) {
            wrote -= (ssize_t)v->iov_len;
            v++;
            n--;
        }
        if (n > 0) {
            v->iov_base = (char *)v->iov_base + wrote;
            v->iov_len -= (size_t)wrote;
        }
    }
    return CIS_OK;
}

/* Payloads with zeros between them, as many as fit into one call. Returns how many. */
static size_t gather(const struct cis_bytes *payloads, size_t n, struct iovec *v, int *out_nv,
                     int64_t *out_len)
{
    static const uint8_t zeros[ALIGN];
    size_t i = 0;
    *out_nv = 0;
    *out_len = 0;
    for (; i < n && *out_nv + 2 <= VECTORS && *out_len < SYNC_AHEAD; i++) {
        int64_t len = (int64_t)payloads[i].len, gap = cis_sql_chunk_file_aligned(len) - len;
        v[(*out_nv)++] = (struct iovec){(void *)(uintptr_t)payloads[i].ptr, payloads[i].len};
        if (gap != 0) {
            v[(*out_nv)++] = (struct iovec){(void *)(uintptr_t)zeros, (size_t)gap};
        }
        *out_len += len + gap;
    }
    return i;
}

cis_code cis_sql_chunk_file_append(int fd, int64_t from, const struct cis_bytes *payloads, size_t n,
                                   int64_t *out_places, const struct cis_stop *stop,
                                   struct cis_error *err)
{
    int64_t total = 0, start = 0;
    for (size_t i = 0; i < n; i++) {
        total += cis_sql_chunk_file_aligned((int64_t)payloads[i].len);
    }
    CIS_TRY(allocate(fd, from, total, stop, &start, err));
    int64_t at = start;
    cis_code code = CIS_OK;
    for (size_t done = 0; done < n && code == CIS_OK;) {
        struct iovec v[VECTORS];
        int nv;
        int64_t len, place = at;
        size_t some = gather(payloads + done, n - done, v, &nv, &len);
        for (size_t i = 0; i < some; i++, done++) {
            out_places[done] = place;
            place += cis_sql_chunk_file_aligned((int64_t)payloads[done].len);
        }
        code = write_all(fd, v, nv, at, err);
        if (code == CIS_OK && done < n) {
            (void)sync_file_range(fd, at, len, SYNC_FILE_RANGE_WRITE);
        }
        at += len;
    }
    if (code == CIS_OK && fdatasync(fd) != 0) {
        code = cis_fail_sys(err, CIS_E_STORE, errno, "chunk file: cannot sync it");
    }
    if (code != CIS_OK) {
        cis_sql_chunk_file_punch(fd, start, total);
    }
    return code;
}

cis_code cis_sql_chunk_file_read(int fd, int64_t place, void *out, size_t len,
                                 struct cis_error *err)
{
    size_t got = 0;
    while (got < len && fd >= 0) {
        ssize_t n = pread(fd, (char *)out + got, len - got, place + (int64_t)got);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return cis_fail_sys(err, errno == EIO ? CIS_E_DAMAGED : CIS_E_STORE, errno,
                                "chunk file: cannot read it");
        }
        if (n == 0) {
            break;
        }
        got += (size_t)n;
    }
    return got == len ? CIS_OK : cis_fail(err, CIS_E_DAMAGED, "the chunk file is cut or gone");
}

void cis_sql_chunk_file_punch(int fd, int64_t place, int64_t len)
{
    if (len > 0) {
        (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, place,
                        cis_sql_chunk_file_aligned(len));
    }
}
