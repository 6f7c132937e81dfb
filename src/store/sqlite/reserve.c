/* A file that is given back when the disk is full, so that removing always works: a commit that
 * removes something writes too, and so do gc, pins and the log's index. As long as it is not whole
 * again, what grows is refused, or it would eat what was given back. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "store/sqlite/internal.h"

#define RESERVE ((int64_t)16 << 20)
#define TO_OPEN ((int64_t)1 << 20) /* a connection needs some for the log's index */

struct room {
    int64_t free, kept; /* bytes of the disk, of the file */
};

static bool look(const struct sql_store *store, const char *path, struct room *out)
{
    struct statvfs fs;
    struct stat st;
    if (path == NULL || statvfs(store->dir, &fs) != 0) {
        return false;
    }
    out->free = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    out->kept = lstat(path, &st) == 0 && S_ISREG(st.st_mode) ? (int64_t)st.st_blocks * 512 : 0;
    return true;
}

/* Best effort: what cannot be reserved is not. */
static void resize(const char *path, int64_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && (ftruncate(fd, 0) != 0 || (size != 0 && fallocate(fd, 0, 0, size) != 0))) {
        (void)!ftruncate(fd, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
}

void cis_sql_reserve_keep(const struct sql_store *store)
{
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(store->dir, "reserve");
    struct room room;
    if (!look(store, path, &room)) {
        return;
    }
    if (room.kept < RESERVE && room.free >= 3 * RESERVE) {
        resize(path, RESERVE);
    } else if (room.free < TO_OPEN && room.kept > RESERVE / 2) {
        resize(path, RESERVE / 2);
    }
}

void cis_sql_reserve_spend(const struct sql_store *store)
{
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(store->dir, "reserve");
    struct room room;
    if (look(store, path, &room) && room.free < RESERVE / 2 && room.kept > 0) {
        resize(path, 0);
    }
}

cis_code cis_sql_reserve_check(const struct sql_store *store, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(store->dir, "reserve");
    struct room room;
    if (!look(store, path, &room) || room.free >= RESERVE || room.kept >= RESERVE ||
        !cis_file_exists(path)) {
        return CIS_OK;
    }
    return cis_fail(err, CIS_E_STORE,
                    "%s: the disk is full: %" PRId64 " KiB are left, which are kept for removing; "
                    "remove files, then: cis fs gc",
                    store->dir, room.free / 1024);
}
