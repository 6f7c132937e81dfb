/* Page sums: an SQLite VFS over the default one that keeps 8 bytes of checksum at the end of every
 * page of a database file (they are reserved there, so SQLite never uses them) and checks them when
 * a page is read, so that a flipped bit is an error and never a wrong answer.
 *
 * The sum covers the page's number too: a page in another's place does not pass. It is made where a
 * page enters the database file. A page in the write-ahead log is covered by SQLite's own frame
 * checksum, which SQLite looks at in recovery only; here it is checked at every read (logfile.c),
 * and before a recovery the log is held against its mark (logmark.h). Files without the reserved
 * bytes (made before, or by others) pass unchecked. One object a file, used by the one thread that
 * uses the connection. */
#include "store/sqlite/integrity/pagesum.h"

#include <stdatomic.h>
#include "base/le.h"
#include "base/mem.h"
#include "store/sqlite/integrity/sum.h"
#include "store/sqlite/integrity/sumfile.h"

#define SUM_BYTES 8u
#define PAGE_MAX 65536
#define SHM_WRITE_LOCK 0   /* the writer's lock among those of the log's index … */
#define SHM_RECOVER_LOCK 2 /* … and that of whoever reads the whole log to make the index */

/* ---- sums ---- */

/* The stamp in page 1 is not the page's: SQLite knows zeros there. */
static bool page_right(uint8_t *page, int amount, sqlite3_int64 at)
{
    size_t n = (size_t)amount - SUM_BYTES;
    if (at == 0) {
        memset(page + CIS_SQL_STAMP_AT, 0, CIS_SQL_STAMP_BYTES);
    }
    return cis_le64(page + n) == cis_sql_page_sum(page, n, (uint64_t)(at / amount) + 1);
}

/* ---- is the file one with sums? ---- */

static void learn(struct sum_file *f, const uint8_t *head)
{
    static const char magic[] = "SQLite format 3"; /* with its NUL */
    if (memcmp(head, magic, sizeof magic) == 0) {
        uint32_t page = (uint32_t)head[16] << 8 | head[17];
        f->page = page == 1 ? PAGE_MAX : page;
        f->on |= head[20] == SUM_BYTES;
    }
}

/* At open. A file whose head says that it has no sums, but where the first page is right once that
 * byte is put right, or the second page is, has damage there. */
static void look(struct sum_file *f, sqlite3_file *file)
{
    uint8_t head[100];
    sqlite3_file *real = sum_below(file);
    if (real->pMethods->xRead(real, head, sizeof head, 0) != SQLITE_OK) {
        return;
    }
    learn(f, head);
    if (f->on || !sum_page_sized((int)f->page)) {
        return;
    }
    int n = (int)f->page;
    if (f->scratch == NULL) {
        f->scratch = cis_alloc(PAGE_MAX);
    }
    if (f->scratch == NULL || real->pMethods->xRead(real, f->scratch, n, 0) != SQLITE_OK) {
        return;
    }
    f->scratch[20] = SUM_BYTES;
    f->on = page_right(f->scratch, n, 0) ||
            (real->pMethods->xRead(real, f->scratch, n, n) == SQLITE_OK &&
             page_right(f->scratch, n, n));
}

/* ---- files ---- */

static int sum_close(sqlite3_file *file)
{
    struct sum_file *f = (struct sum_file *)file;
    cis_free(f->scratch);
    f->scratch = NULL;
    cis_sql_mark_done(&f->mark);
    if (f->db != NULL) {
        f->db->wal = NULL;
    }
    return sum_below(file)->pMethods->xClose(sum_below(file));
}

static int db_read(sqlite3_file *file, void *out, int amount, sqlite3_int64 at)
{
    struct sum_file *f = (struct sum_file *)file;
    int rc = sum_below(file)->pMethods->xRead(sum_below(file), out, amount, at);
    if (rc == SQLITE_OK && at == 0 && amount >= 100) {
        learn(f, out);
    }
    if (!sum_whole_page(f, amount, at)) {
        return rc;
    }
    if (rc == SQLITE_IOERR_SHORT_READ && at != 0) {
        return sum_fault(f, at / amount + 1); /* cut: SQLite would go on with zeros */
    }
    if (rc == SQLITE_OK) {
        if (!page_right(out, amount, at)) {
            bool none = cis_le64((uint8_t *)out + amount - SUM_BYTES) == 0;
            return sum_fault(f, none ? -(at / amount + 1) : at / amount + 1);
        }
        /* What is in memory and in the log has zeros there: so a page that another program put into
         * the file is told from a damaged one. */
        memset((uint8_t *)out + amount - SUM_BYTES, 0, SUM_BYTES);
    }
    return rc;
}

static int db_write(sqlite3_file *file, const void *data, int amount, sqlite3_int64 at)
{
    struct sum_file *f = (struct sum_file *)file;
    sqlite3_file *real = sum_below(file);
    if (at == 0 && amount >= 100) {
        learn(f, data);
    }
    if (!sum_whole_page(f, amount, at)) {
        return real->pMethods->xWrite(real, data, amount, at);
    }
    if (f->scratch == NULL && (f->scratch = cis_alloc(PAGE_MAX)) == NULL) {
        return SQLITE_IOERR_NOMEM;
    }
    size_t n = (size_t)amount - SUM_BYTES;
    memcpy(f->scratch, data, n);
    cis_put_le64(f->scratch + n, cis_sql_page_sum(f->scratch, n, (uint64_t)(at / amount) + 1));
    if (at != 0) {
        return real->pMethods->xWrite(real, f->scratch, amount, at);
    }
    /* Around the stamp, which another connection may write: the log still has the whole page. */
    int rest = CIS_SQL_STAMP_AT + CIS_SQL_STAMP_BYTES;
    int rc = real->pMethods->xWrite(real, f->scratch, CIS_SQL_STAMP_AT, 0);
    return rc == SQLITE_OK ? real->pMethods->xWrite(real, f->scratch + rest, amount - rest, rest)
                           : rc;
}

static int sum_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    struct sum_file *f = (struct sum_file *)file;
    const sqlite3_io_methods *real = sum_below(file)->pMethods;
    if (offset == SHM_WRITE_LOCK) {
        f->own = INT64_MAX; /* a transaction begins or is over */
        f->commit_end = 0;
    }
    int rc = real->xShmLock(sum_below(file), offset, n, flags);
    bool recovery = (flags & SQLITE_SHM_EXCLUSIVE) != 0 && offset <= SHM_RECOVER_LOCK &&
                    SHM_RECOVER_LOCK < offset + n;
    bool recovers = recovery && (flags & SQLITE_SHM_LOCK) != 0;
    if (recovery && !recovers && f->wal != NULL) {
        f->wal->ended = f->wal->gone_past < f->wal->holes.n;
    }
    if (rc == SQLITE_OK && recovers && f->wal != NULL) {
        /* Its end is about to be decided, for all connections: nobody writes. */
        f->wal->gone_past = 0;
        rc = cis_sql_log_check(&f->mark, sum_stamped(f), sum_below(&f->wal->base), &f->wal->holes,
                               &f->loss);
        f->lost = rc == SQLITE_IOERR_DATA;
        if (rc != SQLITE_OK) {
            (void)real->xShmLock(sum_below(file), offset, n,
                                 SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
        }
    }
    return rc;
}

static int sum_control(sqlite3_file *file, int op, void *arg)
{
    if (op == CIS_SQL_FCNTL_BAD_PAGE) {
        *(sqlite3_int64 *)arg = ((struct sum_file *)file)->bad;
        return SQLITE_OK;
    }
    if (op == CIS_SQL_FCNTL_HAS_SUMS) {
        *(int *)arg = ((struct sum_file *)file)->on;
        return SQLITE_OK;
    }
    if (op == CIS_SQL_FCNTL_LOSS) {
        const struct sum_file *f = (const struct sum_file *)file;
        *(const struct sql_loss **)arg = f->lost ? &f->loss : NULL;
        return SQLITE_OK;
    }
    return sum_below(file)->pMethods->xFileControl(sum_below(file), op, arg);
}

/* ---- the rest passes through ---- */

static int sum_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return sum_below(file)->pMethods->xTruncate(sum_below(file), size);
}

static int sum_sync(sqlite3_file *file, int flags)
{
    return sum_below(file)->pMethods->xSync(sum_below(file), flags);
}

static int sum_size(sqlite3_file *file, sqlite3_int64 *out)
{
    return sum_below(file)->pMethods->xFileSize(sum_below(file), out);
}

static int sum_lock(sqlite3_file *file, int level)
{
    return sum_below(file)->pMethods->xLock(sum_below(file), level);
}

static int sum_unlock(sqlite3_file *file, int level)
{
    return sum_below(file)->pMethods->xUnlock(sum_below(file), level);
}

static int sum_reserved(sqlite3_file *file, int *out)
{
    return sum_below(file)->pMethods->xCheckReservedLock(sum_below(file), out);
}

static int sum_sector(sqlite3_file *file)
{
    return sum_below(file)->pMethods->xSectorSize(sum_below(file));
}

static int sum_device(sqlite3_file *file)
{
    return sum_below(file)->pMethods->xDeviceCharacteristics(sum_below(file));
}

static int sum_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return sum_below(file)->pMethods->xShmMap(sum_below(file), page, size, extend, out);
}

static void sum_shm_barrier(sqlite3_file *file)
{
    sum_below(file)->pMethods->xShmBarrier(sum_below(file));
}

static int sum_shm_unmap(sqlite3_file *file, int remove)
{
    return sum_below(file)->pMethods->xShmUnmap(sum_below(file), remove);
}

/* Version 2: without xFetch there is no memory map. */
#define METHODS(read, write, truncate, sync)                                                       \
    {                                                                                              \
        2, sum_close, read, write, truncate, sync, sum_size, sum_lock, sum_unlock, sum_reserved,   \
            sum_control, sum_sector, sum_device, sum_shm_map, sum_shm_lock, sum_shm_barrier,       \
            sum_shm_unmap, NULL, NULL                                                              \
    }
static const sqlite3_io_methods db_methods = METHODS(db_read, db_write, sum_truncate, sum_sync);
static const sqlite3_io_methods log_methods =
    METHODS(cis_sql_log_read, cis_sql_log_write, cis_sql_log_truncate, cis_sql_log_sync);

/* Bytes of a file object of the VFS below, so that another can follow. */
static int room_of(const sqlite3_vfs *real)
{
    return (real->szOsFile + 15) & ~15;
}

static int sum_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    sqlite3_vfs *real = vfs->pAppData;
    size_t len = strlen(name);
    int rc = SQLITE_OK;
    if (len > 4 && strcmp(name + len - 4, "-wal") == 0) {
        rc = cis_sql_log_goes(real, name);
        rc = rc == SQLITE_OK ? cis_sql_mark_remove(real, name) : rc;
    }
    return rc == SQLITE_OK ? real->xDelete(real, name, sync) : rc;
}

static int sum_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    sqlite3_vfs *real = vfs->pAppData;
    if ((flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0) {
        return real->xOpen(real, name, file, flags, out);
    }
    struct sum_file *f = (struct sum_file *)file;
    *f = (struct sum_file){.own = INT64_MAX};
    int rc = real->xOpen(real, name, sum_below(file), flags, out);
    if (sum_below(file)->pMethods == NULL) {
        return rc;
    }
    if ((flags & SQLITE_OPEN_WAL) != 0) {
        f->db = (struct sum_file *)sqlite3_database_file_object(name);
        f->db->wal = f;
    } else if (rc == SQLITE_OK) {
        sqlite3_file *room = (sqlite3_file *)((char *)sum_below(file) + room_of(real));
        rc = cis_sql_mark_init(&f->mark, real, room, name);
    }
    file->pMethods = f->db != NULL ? &log_methods : &db_methods;
    if (rc == SQLITE_OK && f->db == NULL) {
        look(f, file);
    }
    return rc;
}

int cis_sql_pagesum_register(void)
{
    static sqlite3_vfs vfs; /* SQLite keeps it until the process ends */
    static atomic_flag busy = ATOMIC_FLAG_INIT;
    static bool tried;
    int rc = SQLITE_OK;
    while (atomic_flag_test_and_set(&busy)) {
    }
    if (!tried) {
        /* A lock around every allocation, for statistics that nobody reads: without them two
         * threads read twice as much as one. Refused, without harm, when the program uses SQLite
         * already. */
        (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
        tried = true;
    }
    sqlite3_vfs *real = sqlite3_vfs_find(NULL); /* initialises SQLite */
    if (real == NULL) {
        rc = SQLITE_ERROR;
    } else if (sqlite3_vfs_find(CIS_SQL_VFS) == NULL) {
        vfs = *real;
        vfs.zName = CIS_SQL_VFS;
        vfs.pAppData = real;
        vfs.pNext = NULL;
        vfs.szOsFile = (int)sizeof(struct sum_file) + 2 * room_of(real);
        vfs.xOpen = sum_open;
        vfs.xDelete = sum_delete;
        rc = sqlite3_vfs_register(&vfs, 0);
    }
    atomic_flag_clear(&busy);
    return rc;
}
