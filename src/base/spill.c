#include "base/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/mem.h"

/* Not every filesystem has files that begin without a name. */
static int open_in(const char *dir)
{
    char path[PATH_MAX];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    int n = snprintf(path, sizeof path, "%s/cis-spill-XXXXXX", dir);
    if (fd >= 0 || n < 0 || (size_t)n >= sizeof path) {
        return fd;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) {
        (void)unlink(path);
    }
    return fd;
}

static cis_code file_new(int *out_fd, struct cis_error *err)
{
    const char *chosen = getenv("TMPDIR");
    const char *const dirs[] = {chosen, "/var/tmp", "/tmp"};
    for (size_t i = chosen != NULL && *chosen == '/' ? 0 : 1; i < 3; i++) {
        int fd = open_in(dirs[i]);
        if (fd >= 0) {
            *out_fd = fd;
            return CIS_OK;
        }
    }
    return cis_fail_sys(err, CIS_E_IO, errno,
                        "cannot make a temporary file (TMPDIR names the folder)");
}

static cis_code allocate(int fd, size_t cap, struct cis_error *err)
{
    int sys;
    do {
        sys = posix_fallocate(fd, 0, (off_t)cap);
    } while (sys == EINTR);
    return sys == 0
               ? CIS_OK
               : cis_fail_sys(err, CIS_E_IO, sys,
                              "cannot make a temporary file of %zu bytes (TMPDIR names the folder)",
                              cap);
}

/* From the heap into a file. */
static cis_code move_out(struct cis_spill *s, size_t cap, struct cis_error *err)
{
    int fd;
    CIS_TRY(file_new(&fd, err));
    cis_code code = allocate(fd, cap, err);
    void *map = MAP_FAILED;
    if (code == CIS_OK) {
        map = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            code = cis_fail_sys(err, CIS_E_NOMEM, errno, "cannot map a temporary file into memory");
        }
    }
    if (code != CIS_OK) {
        close(fd);
        return code;
    }
    if (s->len != 0) {
        memcpy(map, s->ptr, s->len);
    }
    cis_free(s->ptr);
    s->ptr = map;
    s->cap = cap;
    s->file = fd + 1;
    return CIS_OK;
}

/* Room for so many bytes at the end, not yet counted in len and not zeroed. */
static cis_code room(struct cis_spill *s, size_t bytes, struct cis_error *err)
{
    size_t want = cis_size_add(s->len, bytes), cap = s->cap;
    if (want <= s->cap) {
        return CIS_OK;
    }
    while (cap < want && cap != SIZE_MAX) {
        cap = cis_cap_next(cap, 4096, CIS_MEM_MAX);
    }
    if (cap == SIZE_MAX) {
        return cis_fail(err, CIS_E_NOMEM, "a temporary file would be larger than 1 TiB");
    }
    if (cap <= CIS_SPILL_MEMORY) {
        void *more = cis_realloc(s->ptr, cap);
        if (more == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "out of memory");
        }
        s->ptr = more;
        s->cap = cap;
        return CIS_OK;
    }
    if (s->file == 0) {
        return move_out(s, cap, err);
    }
    CIS_TRY(allocate(s->file - 1, cap, err));
    void *map = mremap(s->ptr, s->cap, cap, MREMAP_MAYMOVE);
    if (map == MAP_FAILED) {
        return cis_fail_sys(err, CIS_E_NOMEM, errno, "cannot map a temporary file into memory");
    }
    s->ptr = map;
    s->cap = cap;
    return CIS_OK;
}

cis_code cis_spill_add(struct cis_spill *s, const void *ptr, size_t bytes, struct cis_error *err)
{
    CIS_TRY(room(s, bytes, err));
    memcpy(s->ptr + s->len, ptr, bytes);
    s->len += bytes;
    return CIS_OK;
}

cis_code cis_spill_zeros(struct cis_spill *s, size_t bytes, struct cis_error *err)
{
    CIS_TRY(room(s, bytes, err));
    if (bytes != 0) {
        memset(s->ptr + s->len, 0, bytes);
    }
    s->len += bytes;
    return CIS_OK;
}

void cis_spill_done(struct cis_spill *s)
{
    if (s->file != 0) {
        (void)munmap(s->ptr, s->cap);
        close(s->file - 1);
    } else {
        cis_free(s->ptr);
    }
    *s = (struct cis_spill){0};
}
