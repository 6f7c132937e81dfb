/* A file that is given back piece by piece when a write finds the disk full, so that removing
 * always works: a commit that removes something writes too, and so do gc, pins and the log's index.
 * As long as it is not whole again, what grows is refused, or it would eat what was given back.
 * Nothing is given before it is needed: another program may be what fills the disk. Commits that
 * remove leave the last of it for gc: each of them writes, and only gc makes room. */
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
#define PIECE ((int64_t)4 << 20)
#define HELP ((int64_t)256 << 10) /* for the log's index, or a few rows */

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
static void resize(const char *path, int64_t size, bool grows)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 &&
        (ftruncate(fd, grows ? 0 : size) != 0 || (grows && fallocate(fd, 0, 0, size) != 0))) {
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
    if (look(store, path, &room) && room.kept < RESERVE && room.free >= 3 * RESERVE) {
        resize(path, RESERVE, true);
    }
}

bool cis_sql_reserve_spend(const struct sql_store *store, enum sql_spend what)
{
    static const struct {
        int64_t piece, leave;
    } ways[] = {[SQL_SPEND_GC] = {PIECE, 0},
                [SQL_SPEND_COMMIT] = {PIECE, PIECE},
                [SQL_SPEND_HELP] = {HELP, RESERVE / 2},
                [SQL_SPEND_OPEN] = {HELP, PIECE / 2}};
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(store->dir, "reserve");
    int64_t piece = ways[what].piece, leave = ways[what].leave, before;
    struct room room;
    if (!look(store, path, &room) || room.free >= RESERVE / 2 || room.kept <= leave) {
        return false;
    }
    before = room.kept;
    resize(path, before - leave > piece ? before - piece : leave, false);
    /* What it takes is not its length alone, and it may not be ours to cut. */
    return look(store, path, &room) && room.kept < before;
}

cis_code cis_sql_reserve_check(const struct sql_store *store, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(store->dir, "reserve");
    struct room room;
    if (!look(store, path, &room) || room.free + room.kept >= RESERVE || !cis_file_exists(path)) {
        return CIS_OK;
    }
    return cis_fail(err, CIS_E_STORE,
                    "%s: the disk is full: %" PRId64 " KiB are left, which are kept for removing; "
                    "remove files, then: cis fs gc",
                    store->dir, room.free / 1024);
}
