/* One at a time makes or deletes the tenant of a name: its files are unlinked by their names, and
 * the next tenant may have them as soon as the database is gone. The lock is a file beside it,
 * which goes when it is given back. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/mem.h"
#include "store/sqlite/internal.h"

#define LOOK_MS 10

void cis_sql_gate_leave(struct sql_gate *gate)
{
    if (gate->fd >= 0) {
        unlink(gate->path);
        close(gate->fd);
    }
    cis_free(gate->path);
    *gate = SQL_GATE_INIT;
}

/* Whether what is locked is still the file of that name: who had the lock before unlinked it. */
static bool is_there(const char *path, int fd)
{
    struct stat locked, named;
    return fstat(fd, &locked) == 0 && lstat(path, &named) == 0 && locked.st_ino == named.st_ino &&
           locked.st_dev == named.st_dev;
}

cis_code cis_sql_gate_enter(char *file, const struct cis_stop *stop, struct sql_gate *out,
                            struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = file;
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "store: out of memory");
    }
    memcpy(path + strlen(path), "-lock", 6); /* cis_sql_tenant_path leaves room for the ends */
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        int rc = fd < 0 ? -1 : flock(fd, LOCK_EX | LOCK_NB);
        if (rc == 0 && is_there(path, fd)) {
            *out = (struct sql_gate){cis_take(&path), fd};
            return CIS_OK;
        }
        int why = errno;
        if (fd >= 0) {
            close(fd);
        }
        if (rc != 0 && why != EWOULDBLOCK && why != EINTR) {
            return cis_fail_sys(err, CIS_E_STORE, why, "%s", path);
        }
        if (stop != NULL) {
            CIS_TRY(cis_stop_check(stop, "waiting for another to make or delete the tenant", err));
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
}
