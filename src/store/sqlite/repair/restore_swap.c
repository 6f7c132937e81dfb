/* A store that was made beside takes the place of the one in the folder. All tenants are in one
 * folder, so one rename changes them all. The catalogue is not carried over: one that is missing is
 * made again from the tenants, with what they publish, by whoever opens the store next. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/sqlite/repair/restore.h"

#define DMS_BYTE 128 /* of a log's index: every user of the database holds it shared */

static void dir_close(DIR **dir)
{
    if (*dir != NULL) {
        closedir(*dir);
    }
}

static void conn_drop(struct sql_conn **conn)
{
    cis_sql_conn_close(*conn);
}

/* ---- who has it open ---- */

/* Closing a descriptor ends this process's locks on the file: it has no store open here. */
static cis_code unused(const char *db, struct cis_error *err)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s-shm", db) >= sizeof path) {
        return cis_fail(err, CIS_E_USAGE, "%s: the name is too long", db);
    }
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = DMS_BYTE, .l_len = 1};
    bool used = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0) {
        close(fd);
    }
    return used ? cis_fail(err, CIS_E_CONFLICT,
                           "%s: process %d has it open; end mounts, runs and commands first", db,
                           (int)lock.l_pid)
                : CIS_OK;
}

/* *out_any: is there anything in the folder of tenants? */
static cis_code tenants_unused(const char *tenants, bool *out_any, struct cis_error *err)
{
    CIS_CLEANUP(dir_close) DIR *dir = opendir(tenants);
    *out_any = false;
    if (dir == NULL) {
        return errno == ENOENT ? CIS_OK : cis_fail_sys(err, CIS_E_STORE, errno, "%s", tenants);
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        size_t len = strlen(e->d_name);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        *out_any = true;
        if (len > 3 && strcmp(e->d_name + len - 3, ".db") == 0) {
            CIS_CLEANUP(cis_freep) char *db = cis_path_join(tenants, e->d_name);
            if (db == NULL) {
                return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", tenants);
            }
            CIS_TRY(unused(db, err));
        }
    }
    return CIS_OK;
}

/* ---- what is there ---- */

struct place {
    const char *dir;
    char tenants[PATH_MAX], catalogue[PATH_MAX];
    bool any; /* it holds something that would be lost */
};

static cis_code place_of(const char *dir, struct place *out, struct cis_error *err)
{
    out->dir = dir;
    if ((size_t)snprintf(out->tenants, sizeof out->tenants, "%s/tenants", dir) >=
            sizeof out->tenants - 128 ||
        (size_t)snprintf(out->catalogue, sizeof out->catalogue, "%s/catalogue.db", dir) >=
            sizeof out->catalogue - 128) {
        return cis_fail(err, CIS_E_USAGE, "%s: the name is too long", dir);
    }
    return CIS_OK;
}

/* A catalogue that knows a tenant speaks of one that was lost. Folds its log in besides. One that
 * cannot be read is something. */
static cis_code catalogue_look(struct place *p, struct cis_error *err)
{
    struct sql_store at = {.dir = (char *)(uintptr_t)p->dir};
    struct stat st;
    if (lstat(p->catalogue, &st) != 0) {
        return CIS_OK;
    }
    CIS_TRY(unused(p->catalogue, err));
    CIS_CLEANUP(conn_drop) struct sql_conn *conn = NULL;
    bool row = true;
    cis_code code = cis_sql_catalogue_open(&at, NULL, &conn, err);
    if (code == CIS_OK) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *list = NULL;
        code = cis_sql_get(conn, SQL_TENANT_LIST, &list, err);
        code = code == CIS_OK ? cis_sql_row(conn, list, "listing tenants", &row, err) : code;
    }
    if (code == CIS_OK) {
        code = cis_sql_exec(conn, "PRAGMA wal_checkpoint(TRUNCATE)", "restore", err);
    }
    p->any |= code != CIS_OK || row;
    return CIS_OK;
}

static cis_code look(struct place *p, bool replace, struct cis_error *err)
{
    bool any;
    CIS_TRY(tenants_unused(p->tenants, &any, err));
    p->any = any;
    CIS_TRY(catalogue_look(p, err));
    return !p->any || replace
               ? CIS_OK
               : cis_fail(err, CIS_E_EXISTS,
                          "%s: this store holds tenants; restore into another folder, or give "
                          "--replace, which keeps them aside",
                          p->dir);
}

cis_code cis_sql_swap_check(const char *dir, bool replace, struct cis_error *err)
{
    struct place p;
    CIS_TRY(place_of(dir, &p, err));
    return look(&p, replace, err);
}

/* ---- changing places ---- */

static cis_code sync_dir(const char *path, struct cis_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int sys = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return sys == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_STORE, sys, "%s: cannot sync it", path);
}

/* Its log was folded in, and goes first: at no moment is there a log without its database. */
static cis_code catalogue_away(const struct place *p, const char *kept, struct cis_error *err)
{
    static const char *const ends[] = {"-mark", "-wal", "-shm", ""};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char from[PATH_MAX + 8], to[PATH_MAX + 32];
        snprintf(from, sizeof from, "%s%s", p->catalogue, ends[i]);
        snprintf(to, sizeof to, "%s/catalogue.db%s", kept, ends[i]);
        if ((kept[0] != 0 ? rename(from, to) : unlink(from)) != 0 && errno != ENOENT) {
            return cis_fail_sys(err, CIS_E_STORE, errno, "%s: cannot move it away", from);
        }
    }
    return CIS_OK;
}

static cis_code keep_make(const struct place *p, char kept[PATH_MAX], struct cis_error *err)
{
    if ((size_t)snprintf(kept, PATH_MAX, "%s/before-restore-%" PRId64, p->dir,
                         cis_clock_wall_ms()) >= PATH_MAX - 64) {
        return cis_fail(err, CIS_E_USAGE, "%s: the name is too long", p->dir);
    }
    return mkdir(kept, 0700) == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_STORE, errno, "%s", kept);
}

/* The one moment. */
static cis_code exchange(const char *a, const char *b, struct cis_error *err)
{
    return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0
               ? CIS_OK
               : cis_fail_sys(err, CIS_E_STORE, errno, "%s: cannot exchange it with %s", a, b);
}

/* The new tenants go to where the old ones are kept, and there the two change places: so the old
 * ones are never in a folder that somebody clears away. */
static cis_code put_in_place(const struct place *p, const struct place *m, const char *kept,
                             struct cis_error *err)
{
    char there[PATH_MAX + 16];
    bool any;
    snprintf(there, sizeof there, "%s/tenants", kept);
    if (rename(m->tenants, there) != 0) {
        return cis_fail_sys(err, CIS_E_STORE, errno, "%s", there);
    }
    cis_code code = exchange(there, p->tenants, err);
    if (code != CIS_OK) {
        (void)rename(there, m->tenants);
        return code;
    }
    code = tenants_unused(there, &any, err); /* who came in that very moment */
    if (code == CIS_OK && any && !p->any) {
        code = cis_fail(err, CIS_E_CONFLICT, "%s: a tenant was made meanwhile", p->dir);
    }
    if (code != CIS_OK && exchange(there, p->tenants, NULL) == CIS_OK) {
        (void)rename(there, m->tenants);
    }
    return code;
}

cis_code cis_sql_swap(const char *made, const char *dir, bool replace, char kept[PATH_MAX],
                      struct cis_error *err)
{
    struct place p, m;
    char there[PATH_MAX + 16];
    CIS_TRY(place_of(dir, &p, err));
    CIS_TRY(place_of(made, &m, err));
    CIS_TRY(look(&p, replace, err)); /* again: filling took its time */
    if (mkdir(p.tenants, 0700) != 0 && errno != EEXIST) {
        return cis_fail_sys(err, CIS_E_STORE, errno, "%s", p.tenants);
    }
    CIS_TRY(sync_dir(m.tenants, err));
    CIS_TRY(keep_make(&p, kept, err));
    cis_code code = catalogue_away(&p, p.any ? kept : "", err);
    code = code == CIS_OK ? put_in_place(&p, &m, kept, err) : code;
    code = code == CIS_OK ? sync_dir(kept, err) : code;
    code = code == CIS_OK ? sync_dir(dir, err) : code;
    if (!p.any) { /* neither goes when there is something in it */
        snprintf(there, sizeof there, "%s/tenants", kept);
        (void)rmdir(there);
        kept[rmdir(kept) == 0 ? 0 : strlen(kept)] = 0;
    }
    return code;
}
