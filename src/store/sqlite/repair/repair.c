/* Repair of a database and its log, which nobody has open. First everything is looked at; what is
 * about to be changed is copied aside; then it is mended, or, with the user's word for it, given
 * up.
 */
#include "store/sqlite/repair/mending.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/sqlite/integrity/pagesum.h"

#define DMS_BYTE 128 /* of the log's index: every user of the database holds it shared */

void cis_repair_tell(struct repair *r, bool bad, const char *what, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    r->bad |= bad;
    r->each(r->self, bad, what, text);
}

/* ---- files ---- */

const char *cis_repair_path(const struct repair *r, const char *end, char out[PATH_ROOM])
{
    snprintf(out, PATH_ROOM, "%s%s", r->path, end);
    return out;
}

int64_t cis_repair_size(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static void shut(sqlite3_file **file)
{
    if (*file != NULL && (*file)->pMethods != NULL) {
        (void)(*file)->pMethods->xClose(*file);
    }
    cis_free(*file);
    *file = NULL;
}

static void repair_done(struct repair *r)
{
    cis_sql_mark_done(&r->mark);
    cis_free(r->room);
    shut(&r->log);
    shut(&r->db);
    sqlite3_free_filename(r->names[0]);
    sqlite3_free_filename(r->names[1]);
}

/* Either as a database: a log is not opened without one. */
static cis_code reach(struct repair *r, sqlite3_filename name, sqlite3_file **out)
{
    int got = 0, flags = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READWRITE;
    if (cis_repair_size(name) < 0) {
        return CIS_OK;
    }
    sqlite3_file *file = cis_zalloc((size_t)r->vfs->szOsFile);
    if (file == NULL) {
        return cis_fail(r->err, CIS_E_NOMEM, "repair: out of memory");
    }
    int rc = r->vfs->xOpen(r->vfs, name, file, flags, &got);
    *out = file;
    return rc == SQLITE_OK ? CIS_OK : cis_fail(r->err, CIS_E_STORE, "%s: cannot be opened", name);
}

static cis_code reach_all(struct repair *r)
{
    uint8_t head[100];
    shut(&r->log);
    shut(&r->db);
    CIS_TRY(reach(r, r->names[0], &r->db));
    CIS_TRY(reach(r, r->names[1], &r->log));
    r->sums = r->db != NULL && r->db->pMethods->xRead(r->db, head, sizeof head, 0) == SQLITE_OK &&
              head[20] == CIS_SQL_SUM_BYTES;
    return CIS_OK;
}

/* POSIX locks of this process go when any descriptor of the file is closed: nobody here has it. */
static cis_code unused(struct repair *r)
{
    char path[PATH_ROOM];
    int fd = open(cis_repair_path(r, "-shm", path), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = DMS_BYTE, .l_len = 1};
    bool used = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0) {
        close(fd);
    }
    return used ? cis_fail(r->err, CIS_E_CONFLICT, "%s: process %d has it open; end it first",
                           r->path, (int)lock.l_pid)
                : CIS_OK;
}

/* ---- copies of what is changed ---- */

static cis_code copy_file(struct repair *r, const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int out = in >= 0 ? open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    ssize_t n = -1;
    while (out >= 0 && (n = copy_file_range(in, NULL, out, NULL, 64u << 20, 0)) > 0) {
    }
    bool good = n == 0 && fsync(out) == 0;
    int sys = errno;
    if (in >= 0) {
        close(in);
    }
    if (out >= 0) {
        close(out);
    }
    return good ? CIS_OK : cis_fail_sys(r->err, CIS_E_STORE, sys, "%s: cannot keep a copy", to);
}

/* Once, before the first change. */
cis_code cis_repair_keep(struct repair *r)
{
    static const char *const ends[] = {"", "-wal", "-mark"};
    if (r->aside[0] != 0) {
        return CIS_OK;
    }
    snprintf(r->aside, sizeof r->aside, "%s/damaged/%s-%" PRId64, r->dir, r->name,
             cis_clock_wall_ms());
    CIS_TRY(cis_file_mkdirs(r->aside, 0700, r->err));
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char from[PATH_ROOM], to[PATH_ROOM + 128];
        if (cis_repair_size(cis_repair_path(r, ends[i], from)) >= 0) {
            snprintf(to, sizeof to, "%s%s", r->aside, strrchr(from, '/'));
            CIS_TRY(copy_file(r, from, to));
        }
    }
    cis_repair_tell(r, false, "copies", "what was there is kept in %s", r->aside);
    return CIS_OK;
}

cis_code cis_repair_away(struct repair *r, const char *path)
{
    char to[PATH_ROOM + 128];
    CIS_TRY(cis_repair_keep(r));
    snprintf(to, sizeof to, "%s%s", r->aside, strrchr(path, '/'));
    return rename(path, to) == 0 || errno == ENOENT
               ? CIS_OK
               : cis_fail_sys(r->err, CIS_E_STORE, errno, "%s: cannot move it away", path);
}

cis_code cis_store_sqlite_repair(const char *dir, const struct cis_store_repair *how,
                                 cis_store_repair_each *each, void *self, struct cis_error *err)
{
    CIS_CLEANUP(repair_done) struct repair r = {.how = how, .each = each, .self = self, .err = err};
    if (how->size != sizeof *how || strlen(dir) >= sizeof r.dir - 128) {
        return cis_fail(err, CIS_E_USAGE, "repair: wrong options");
    }
    if (how->tenant != NULL) {
        CIS_TRY(cis_store_tenant_check(cis_str_of(how->tenant), err));
    }
    CIS_TRY(cis_store_sqlite_find(dir, err));
    if (realpath(dir, r.dir) == NULL) {
        return cis_fail_sys(err, CIS_E_STORE, errno, "%s", dir);
    }
    snprintf(r.name, sizeof r.name, "%s", how->tenant != NULL ? how->tenant : "catalogue");
    snprintf(r.path, sizeof r.path, "%s/%s%s.db", r.dir, how->tenant != NULL ? "tenants/" : "",
             r.name);
    if (cis_sql_pagesum_register() != SQLITE_OK) {
        return cis_fail(err, CIS_E_STORE, "SQLite cannot be used");
    }
    r.vfs = sqlite3_vfs_find(NULL);
    char log[PATH_ROOM];
    r.names[0] = sqlite3_create_filename(r.path, "", "", 0, NULL);
    r.names[1] = sqlite3_create_filename(cis_repair_path(&r, "-wal", log), "", "", 0, NULL);
    r.room = r.vfs != NULL ? cis_zalloc((size_t)r.vfs->szOsFile) : NULL;
    if (r.names[0] == NULL || r.names[1] == NULL || r.room == NULL ||
        cis_sql_mark_init(&r.mark, r.vfs, r.room, r.path) != SQLITE_OK) {
        return cis_fail(err, CIS_E_NOMEM, "repair: out of memory");
    }
    CIS_TRY(unused(&r));
    CIS_TRY(reach_all(&r));
    CIS_TRY(cis_repair_mend(&r));
    return r.bad ? cis_fail(err, CIS_E_DAMAGED, "%s: not everything could be repaired", r.path)
                 : CIS_OK;
}
