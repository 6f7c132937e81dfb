/* Files and connections: who may own them, how they are opened, what is switched off. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/chunk.h"
#include "store/sqlite/internal.h"
#include "store/sqlite/integrity/pagesum.h"
#include "store/sqlite/read.h"

static cis_code dir_check(const char *path, struct cis_error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return cis_fail_sys(err, CIS_E_STORE, errno, "%s", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        return cis_fail(err, CIS_E_DENIED, "%s: not a folder", path);
    }
    if (st.st_uid != geteuid()) {
        return cis_fail(err, CIS_E_DENIED, "%s: the store belongs to another user (uid %u)", path,
                        (unsigned)st.st_uid);
    }
    if ((st.st_mode & 022) != 0) {
        return cis_fail(err, CIS_E_DENIED,
                        "%s: other users may write to the store (mode %03o); chmod it to 700", path,
                        (unsigned)st.st_mode & 0777);
    }
    return CIS_OK;
}

cis_code cis_sql_dir_prepare(const char *dir, char **out_real, struct cis_error *err)
{
    CIS_TRY(cis_file_mkdirs(dir, 0700, err));
    /* The way to the store is the user's own affair; below it nothing may be a symbolic link. */
    CIS_CLEANUP(cis_freep) char *real = realpath(dir, NULL);
    if (real == NULL) {
        return cis_fail_sys(err, CIS_E_STORE, errno, "%s", dir);
    }
    CIS_TRY(dir_check(real, err));
    CIS_CLEANUP(cis_freep) char *tenants = cis_path_join(real, "tenants");
    if (tenants == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", dir);
    }
    if (mkdir(tenants, 0700) != 0 && errno != EEXIST) {
        return cis_fail_sys(err, CIS_E_STORE, errno, "%s", tenants);
    }
    CIS_TRY(dir_check(tenants, err));
    *out_real = cis_take(&real);
    return CIS_OK;
}

cis_code cis_store_sqlite_find(const char *dir, struct cis_error *err)
{
    /* Opening makes the folder, the first tenant the catalogue: either shows a store. */
    static const char *const parts[] = {"catalogue.db", "tenants"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        CIS_CLEANUP(cis_freep) char *path = cis_path_join(dir, parts[i]);
        if (path == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", dir);
        }
        struct stat st;
        if (lstat(path, &st) == 0) {
            return CIS_OK;
        }
        if (errno != ENOENT && errno != ENOTDIR) {
            return cis_fail_sys(err, CIS_E_STORE, errno, "%s", path);
        }
    }
    return cis_fail(err, CIS_E_NOTFOUND, "%s: there is no store in this folder", dir);
}

char *cis_sql_tenant_path(const struct sql_store *store, const char *tenant)
{
    size_t n = cis_size_add(strlen(store->dir), CIS_TENANT_MAX + 16);
    char *path = cis_alloc(n);
    if (path != NULL) {
        snprintf(path, n, "%s/tenants/%s.db", store->dir, tenant);
    }
    return path;
}

static void sync_folder_of(const char *path)
{
    CIS_CLEANUP(cis_freep) char *dir = cis_strndup(path, (size_t)(strrchr(path, '/') - path));
    int fd = dir != NULL ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd); /* best effort: the file is empty until its first transaction */
        close(fd);
    }
}

/* The file exists, is ours alone, and is no link. It is made with mknod and looked at with lstat:
 * closing any descriptor of a database drops this process's locks on it. The folder is closed to
 * others, so nobody changes it between the look and the open. */
static cis_code file_prepare(const char *path, struct cis_error *err)
{
    struct stat st;
    if (mknod(path, S_IFREG | 0600, 0) == 0) {
        sync_folder_of(path);
    } else if (errno != EEXIST) {
        return cis_fail_sys(err, CIS_E_STORE, errno, "%s", path);
    }
    if (lstat(path, &st) != 0) {
        return cis_fail_sys(err, CIS_E_STORE, errno, "%s", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return cis_fail(err, CIS_E_DENIED, "%s: %s", path,
                        S_ISLNK(st.st_mode) ? "is a symbolic link" : "not a regular file");
    }
    if (st.st_uid != geteuid()) {
        return cis_fail(err, CIS_E_DENIED, "%s: belongs to another user (uid %u)", path,
                        (unsigned)st.st_uid);
    }
    if ((st.st_mode & 077) != 0 && chmod(path, st.st_mode & 0700) != 0) {
        return cis_fail_sys(err, CIS_E_STORE, errno, "%s: cannot close it to other users", path);
    }
    return CIS_OK;
}

bool cis_sql_busy_wait(struct sql_conn *conn, int count)
{
    uint64_t now = cis_clock_mono_ns();
    if (count == 0) {
        conn->waiting_since_ns = now;
    } else if (now - conn->waiting_since_ns >
               (conn->wait_most_ns != 0 ? conn->wait_most_ns : CIS_STORE_LOCK_NS)) {
        return false;
    }
    struct cis_stop nap = {CIS_NEVER, NULL};
    if (conn->stop != NULL) {
        if (cis_stop_check(conn->stop, "", NULL) != CIS_OK) {
            return false;
        }
        nap = *conn->stop;
    }
    uint64_t step = CIS_NS_PER_MS << (count < 3 ? count : 3);
    uint64_t until = cis_clock_after(now, step);
    nap.deadline_ns = nap.deadline_ns < until ? nap.deadline_ns : until;
    (void)cis_stop_wait(&nap, -1, 0, "", NULL);
    return true;
}

static int on_busy(void *self, int count)
{
    return cis_sql_busy_wait(self, count);
}

static int on_progress(void *self)
{
    const struct sql_conn *conn = self;
    return conn->stop != NULL && cis_stop_check(conn->stop, "", NULL) != CIS_OK;
}

/* For a file that is made now; one that is there keeps what it has. Rows with a file's content in
 * them (CIS_FS_INLINE_MAX) fit pages of this size without overflow. */
static cis_code shape(struct sql_conn *conn, struct cis_error *err)
{
    int reserve = CIS_SQL_SUM_BYTES;
    int rc = sqlite3_file_control(conn->db, NULL, SQLITE_FCNTL_RESERVE_BYTES, &reserve);
    if (rc != SQLITE_OK) {
        return cis_sql_fail(conn, rc, "reserving bytes for checksums", err);
    }
    return cis_sql_exec(conn, "PRAGMA page_size = 8192", "settings", err);
}

static cis_code harden(struct sql_conn *conn, struct cis_error *err)
{
    static const struct {
        int what, value;
    } switches[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
        /* A short-lived process would pay two more fsyncs at its end; the log stays beside the
         * file and is folded in by a later commit. */
        {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1},
    };
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        int rc = sqlite3_db_config(conn->db, switches[i].what, switches[i].value, NULL);
        if (rc != SQLITE_OK) {
            return cis_sql_fail(conn, rc, "settings", err);
        }
    }
    /* The keys of one commit are the longest value (store/commit.h). */
    sqlite3_limit(conn->db, SQLITE_LIMIT_LENGTH, 272 * 1024 * 1024);
    sqlite3_limit(conn->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_busy_handler(conn->db, on_busy, conn);
    sqlite3_progress_handler(conn->db, 2000, on_progress, conn);
    conn->full_sync = true;
    cis_sql_log_watch(conn);
    CIS_TRY(cis_sql_pin_watch(conn, err));
    return cis_sql_exec(conn,
                        "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
                        "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048;"
                        "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216",
                        "settings", err);
}

void cis_sql_conn_close(struct sql_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    if (conn->reading) {
        cis_sql_read_end(conn);
    }
    sqlite3_blob_close(conn->blob); /* when an error had ended the transaction before */
    for (int i = 0; i < SQL_COUNT; i++) {
        sqlite3_finalize(conn->stmts[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        for (size_t n = 0; n < conn->nversions[i]; n++) {
            sqlite3_finalize(conn->versions[i][n]);
        }
        cis_free(conn->versions[i]);
    }
    sqlite3_close_v2(conn->db);
    cis_sql_chunk_file_closep(&conn->chunk_fd);
    cis_chunk_codec_free(conn->codec);
    cis_free(conn->payload);
    cis_free(conn->content);
    for (size_t i = 0; i < SQL_CHAINS; i++) {
        cis_free(conn->chains[i].touched);
    }
    cis_free(conn->path);
    cis_free(conn);
}

static void conn_drop(struct sql_conn **conn)
{
    cis_sql_conn_close(*conn);
}

/* A database without a schema: new, or what is left of one? */
static cis_code may_begin(struct sql_conn *conn, const struct sql_schema *schema,
                          const struct sql_store *home, const char *tenant, struct cis_error *err)
{
    bool made;
    int64_t version;
    CIS_TRY(cis_sql_catalogue_made(home, tenant, conn->stop, &made, err));
    if (!made) {
        return CIS_OK;
    }
    CIS_TRY(cis_sql_version(conn, schema, &version, err)); /* another process made it meanwhile? */
    return version != 0 ? CIS_OK
                        : cis_fail(err, CIS_E_DAMAGED,
                                   "%s: the database is empty, but the catalogue has the tenant: "
                                   "restore it from a copy, or run: cis store repair",
                                   conn->path);
}

struct cis_str cis_sql_name_of(const struct sql_conn *conn)
{
    struct cis_str name = cis_str_of(strrchr(conn->path, '/') + 1);
    name.len -= name.len > 3 ? 3 : 0; /* .db */
    return name;
}

/* A file that was moved into another tenant's place would hand out its content there. */
static cis_code name_check(struct sql_conn *conn, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    bool row;
    CIS_TRY(cis_sql_get(conn, SQL_TREE_NAME, &st, err));
    CIS_TRY(cis_sql_row(conn, st, "open", &row, err));
    struct cis_str name = row ? cis_sql_str(st, 0) : (struct cis_str){"", 0};
    return name.len == 0 || cis_str_eq(name, cis_sql_name_of(conn))
               ? CIS_OK
               : cis_fail(err, CIS_E_DAMAGED,
                          "%s: this is the database of tenant " CIS_STR_FMT
                          ": put the right one back",
                          conn->path, CIS_STR_ARG(name));
}

/* home and tenant NULL: not the file of a tenant. */
static cis_code file_open(const char *path, const struct sql_schema *schema,
                          const struct sql_store *home, const char *tenant,
                          const struct cis_stop *stop, struct sql_conn **out_conn,
                          struct cis_error *err)
{
    CIS_CLEANUP(conn_drop) struct sql_conn *conn = cis_zalloc(sizeof *conn);
    int64_t version;
    if (conn != NULL) {
        conn->chunk_fd = -1;
        conn->path = cis_strdup(path);
    }
    if (conn == NULL || conn->path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", path);
    }
    conn->stop = stop;
    CIS_TRY(file_prepare(path, err));
    int rc = cis_sql_pagesum_register();
    if (rc != SQLITE_OK) {
        return cis_sql_fail(conn, rc, "open", err);
    }
    rc = sqlite3_open_v2(path, &conn->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
                             SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
                         CIS_SQL_VFS);
    if (rc != SQLITE_OK) {
        return cis_sql_fail(conn, rc, "open", err);
    }
    CIS_TRY(harden(conn, err));
    CIS_TRY(shape(conn, err));
    CIS_TRY(cis_sql_version(conn, schema, &version, err));
    if (version == 0 && tenant != NULL) {
        CIS_TRY(may_begin(conn, schema, home, tenant, err));
    }
    if (version != schema->version) {
        CIS_TRY(cis_sql_migrate(conn, schema, err));
    }
    if (tenant != NULL) {
        CIS_TRY(name_check(conn, err));
    }
    conn->stop = NULL;
    *out_conn = cis_take(&conn);
    return CIS_OK;
}

cis_code cis_sql_tenant_file_open(const char *path, struct sql_conn **out_conn,
                                  struct cis_error *err)
{
    return file_open(path, &cis_sql_tenant_schema, NULL, NULL, NULL, out_conn, err);
}

cis_code cis_sql_tenant_open_there(const struct sql_store *store, const char *tenant,
                                   const struct cis_stop *stop, struct sql_conn **out_conn,
                                   struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_sql_tenant_path(store, tenant);
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", store->dir);
    }
    CIS_TRY(file_open(path, &cis_sql_tenant_schema, store, tenant, stop, out_conn, err));
    (*out_conn)->stop = stop;
    return CIS_OK;
}

cis_code cis_sql_catalogue_open(const struct sql_store *store, const struct cis_stop *stop,
                                struct sql_conn **out_conn, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(store->dir, "catalogue.db");
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", store->dir);
    }
    bool there; /* or it is lost, and what is beside it would be */
    CIS_TRY(cis_sql_database_holds(path, &there, err));
    CIS_TRY(file_open(path, &cis_sql_catalogue_schema, NULL, NULL, stop, out_conn, err));
    (*out_conn)->stop = stop;
    return CIS_OK;
}

static cis_code catalogue_do(const struct sql_store *store, enum sql_id id, const char *tenant,
                             const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(conn_drop) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_catalogue_open(store, stop, &conn, err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, id, &st, err));
    cis_sql_bind_str(st, 1, cis_str_of(tenant));
    if (id == SQL_TENANT_PUT) {
        sqlite3_bind_int64(st, 2, cis_clock_wall_ms());
    }
    return cis_sql_done(conn, st, "entering the tenant", err);
}

cis_code cis_sql_catalogue_enter(const struct sql_store *store, const char *tenant,
                                 const struct cis_stop *stop, struct cis_error *err)
{
    return catalogue_do(store, SQL_TENANT_PUT, tenant, stop, err);
}

cis_code cis_sql_catalogue_forget(const struct sql_store *store, const char *tenant,
                                  struct cis_error *err)
{
    return catalogue_do(store, SQL_TENANT_DELETE, tenant, NULL, err);
}

cis_code cis_sql_tenant_make(const struct sql_store *store, const char *tenant,
                             struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_sql_tenant_path(store, tenant);
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", store->dir);
    }
    if (mknod(path, S_IFREG | 0600, 0) != 0) {
        return errno == EEXIST ? cis_fail(err, CIS_E_EXISTS, "tenant %s: exists already", tenant)
                               : cis_fail_sys(err, CIS_E_STORE, errno, "%s", path);
    }
    sync_folder_of(path);
    return CIS_OK;
}

cis_code cis_sql_tenant_unlink(const struct sql_store *store, const char *tenant,
                               struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_sql_tenant_path(store, tenant);
    CIS_CLEANUP(cis_freep) char *chunks = path != NULL ? cis_sql_chunk_file_path(path) : NULL;
    if (chunks == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", store->dir);
    }
    if (unlink(chunks) != 0 && errno != ENOENT) {
        return cis_fail_sys(err, CIS_E_STORE, errno, "%s", chunks);
    }
    /* The mark first: without its log it would tell of a loss. The database before what is made by
     * those who look whether it is deleted: a log that outlived it would be taken for the next's.
     */
    static const char *const ends[] = {"-mark", "-wal", "-shm", "", "-mark", "-wal", "-shm"};
    size_t len = strlen(path); /* cis_sql_tenant_path leaves room for the ends */
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        memcpy(path + len, ends[i], strlen(ends[i]) + 1);
        if (unlink(path) != 0 && errno != ENOENT) {
            return cis_fail_sys(err, CIS_E_STORE, errno, "%s", path);
        }
    }
    sync_folder_of(path);
    return CIS_OK;
}

bool cis_sql_tenant_is_fresh(const struct sql_store *store, const char *tenant)
{
    CIS_CLEANUP(cis_freep) char *path = cis_sql_tenant_path(store, tenant);
    struct stat st;
    return path == NULL || lstat(path, &st) != 0 || st.st_size == 0;
}

cis_code cis_sql_conn_open(struct sql_store *store, const char *tenant, const struct cis_stop *stop,
                           struct sql_conn **out_conn, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_sql_tenant_path(store, tenant);
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", store->dir);
    }
    cis_sql_reserve_keep(store);
    bool fresh = cis_sql_tenant_is_fresh(store, tenant), there;
    CIS_CLEANUP(cis_sql_gate_leave) struct sql_gate gate = SQL_GATE_INIT;
    if (fresh) {
        CIS_TRY(cis_sql_gate_enter(cis_sql_tenant_path(store, tenant), stop, &gate, err));
        fresh = cis_sql_tenant_is_fresh(store, tenant);
    }
    if (fresh) {
        CIS_TRY(cis_sql_tenant_exists(store, tenant, stop, &there, err));
        CIS_TRY(cis_sql_catalogue_enter(store, tenant, stop, err));
    }
    CIS_CLEANUP(conn_drop) struct sql_conn *conn = NULL;
    struct cis_error why = {0};
    cis_code code;
    do {
        code = file_open(path, &cis_sql_tenant_schema, store, tenant, stop, &conn, &why);
    } while (code != CIS_OK && why.sys == ENOSPC && cis_sql_reserve_spend(store, SQL_SPEND_OPEN));
    if (code != CIS_OK) {
        if (err != NULL) {
            *err = why;
        }
        return code;
    }
    if (fresh) { /* from here on a file that is not there is one that was lost */
        CIS_TRY(catalogue_do(store, SQL_TENANT_MADE, tenant, stop, err));
    }
    *out_conn = cis_take(&conn);
    return CIS_OK;
}
