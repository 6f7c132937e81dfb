#include "diskfault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static struct diskfault *shared;

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("CIS_DISKFAULT");
    int fd = name != NULL ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    void *at = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    shared = at != MAP_FAILED ? at : NULL;
    close(fd);
}

static int fails(int kind)
{
    if (shared == NULL) {
        return 0;
    }
    long n = atomic_fetch_add(&shared->done[kind], 1), at = atomic_load(&shared->at[kind]);
    if (at < 0 || (shared->lasting ? n < at : n != at)) {
        return 0;
    }
    atomic_fetch_add(&shared->failed, 1);
    errno = shared->error;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    return fails(DISKFAULT_WRITES) ? -1 : REAL(pwrite)(fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    return fails(DISKFAULT_WRITES) ? -1 : REAL(pwrite64)(fd, data, n, at);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
    return fails(DISKFAULT_WRITES) ? -1 : REAL(pwritev)(fd, v, n, at);
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t at)
{
    return fails(DISKFAULT_WRITES) ? -1 : REAL(pwritev64)(fd, v, n, at);
}

int fsync(int fd)
{
    return fails(DISKFAULT_SYNCS) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    return fails(DISKFAULT_SYNCS) ? -1 : REAL(fdatasync)(fd);
}
