/* Pins of processes that live. A pin has a time, which its process moves on; a process that is
 * stopped cannot. So it also holds one byte of the tenant's chunk file for each pin, by a lock of
 * the open file: the kernel drops it when the process ends, however it ends, and not before. Who
 * asks for pins counts one whose time is over as long as its byte is locked. Without the lock (no
 * descriptor left, a full disk) a pin goes by its time alone. */
#include <fcntl.h>
#include "base/mem.h"
#include "store/sqlite/read.h"

#define FIRST ((off_t)1 << 62) /* behind any content, and behind the bytes of chunk_file.c */

struct sql_held_pin {
    uint64_t id;
    struct sql_held_pin *next;
};

static struct flock byte_of(uint64_t id, short type)
{
    return (struct flock){.l_type = type,
                          .l_whence = SEEK_SET,
                          .l_start = FIRST + (off_t)(id & (((uint64_t)1 << 61) - 1)),
                          .l_len = 1};
}

/* ---- asking ---- */

static bool is_held(struct sql_conn *conn, uint64_t id)
{
    /* Opened anew: the locks of one open file are no obstacle to itself. */
    CIS_CLEANUP(cis_sql_chunk_file_closep) int fd = -1;
    struct flock range = byte_of(id, F_WRLCK);
    return cis_sql_chunk_file_open(conn->path, false, &fd, NULL) == CIS_OK && fd >= 0 &&
           fcntl(fd, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}

static void ask(sqlite3_context *context, int n, sqlite3_value **values)
{
    bool held =
        n == 1 && is_held(sqlite3_user_data(context), (uint64_t)sqlite3_value_int64(*values));
    sqlite3_result_int(context, held);
}

cis_code cis_sql_pin_watch(struct sql_conn *conn, struct cis_error *err)
{
    int rc = sqlite3_create_function_v2(conn->db, "cis_pin_held", 1, SQLITE_UTF8 | SQLITE_INNOCUOUS,
                                        conn, ask, NULL, NULL, NULL);
    return rc == SQLITE_OK ? CIS_OK : cis_sql_fail(conn, rc, "settings", err);
}

/* ---- holding: under the store's lock ---- */

static struct sql_held_pin **find(struct sql_tenant *t, uint64_t id)
{
    struct sql_held_pin **at = &t->pins;
    while (*at != NULL && (*at)->id != id) {
        at = &(*at)->next;
    }
    return at;
}

void cis_sql_pins_let(struct sql_tenant *tenant)
{
    for (struct sql_held_pin *pin; (pin = tenant->pins) != NULL;) {
        tenant->pins = pin->next;
        cis_free(pin);
    }
    cis_sql_chunk_file_closep(&tenant->pins_fd);
}

bool cis_sql_pin_mine(struct sql_conn *conn, uint64_t id)
{
    struct sql_tenant *t = conn->tenant;
    cis_mutex_lock(&conn->store->lock, sql_lock_store);
    bool mine = *find(t, id) != NULL && cis_sql_chunk_file_there(t->pins_fd, NULL) == CIS_OK;
    cis_mutex_unlock(&conn->store->lock, sql_lock_store);
    return mine;
}

void cis_sql_pin_hold(struct sql_conn *conn, uint64_t id)
{
    struct sql_tenant *t = conn->tenant;
    CIS_CLEANUP(cis_sql_chunk_file_closep) int fd = -1;
    struct sql_held_pin *pin = cis_zalloc(sizeof *pin);
    struct flock range = byte_of(id, F_RDLCK);
    if (pin == NULL || cis_sql_chunk_file_open(conn->path, true, &fd, NULL) != CIS_OK) {
        cis_free(pin);
        return;
    }
    pin->id = id;
    cis_mutex_lock(&conn->store->lock, sql_lock_store);
    if (t->pins_fd >= 0 && cis_sql_chunk_file_there(t->pins_fd, NULL) != CIS_OK) {
        cis_sql_pins_let(t); /* of a tenant that had this name before */
    }
    if (t->pins_fd < 0) {
        t->pins_fd = fd;
        fd = -1;
    }
    if (fcntl(t->pins_fd, F_OFD_SETLK, &range) == 0 && *find(t, id) == NULL) {
        pin->next = t->pins;
        t->pins = cis_take(&pin);
    }
    cis_mutex_unlock(&conn->store->lock, sql_lock_store);
    cis_free(pin);
}

void cis_sql_pin_let(struct sql_store *store, struct cis_str tenant, uint64_t id)
{
    struct flock range = byte_of(id, F_UNLCK);
    cis_mutex_lock(&store->lock, sql_lock_store);
    struct sql_tenant *t = cis_map_get(&store->tenants, tenant);
    struct sql_held_pin **at = t != NULL ? find(t, id) : NULL, *pin = at != NULL ? *at : NULL;
    if (pin != NULL) {
        (void)fcntl(t->pins_fd, F_OFD_SETLK, &range);
        *at = pin->next;
        cis_free(pin);
    }
    if (t != NULL && t->pins == NULL) {
        cis_sql_chunk_file_closep(&t->pins_fd);
    }
    cis_mutex_unlock(&store->lock, sql_lock_store);
}
