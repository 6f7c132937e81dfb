/* A table of empty pages that is given back when the server's disk is full, so that removing always
 * works: it writes rows, too. Of what it gave, what grows may take half as long as it is not there
 * again; rows that were removed and vacuumed leave room that counts for nobody. */
#include "base/clock.h"
#include "store/postgres/internal.h"

#define TRY_NS (10 * CIS_NS_PER_S)

static bool ask(struct pg_conn *conn, enum pg_id id)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    struct cis_stop own = {cis_clock_after(cis_clock_mono_ns(), TRY_NS), NULL};
    const struct cis_stop *stop = conn->stop;
    cis_pg_settle(conn); /* the write is over */
    conn->stop = &own;
    bool helped = cis_pg_ask(conn, id, NULL, &res, NULL) == CIS_OK && cis_pg_int(res, 0, 0) != 0;
    conn->stop = stop;
    return helped;
}

/* Making it fills a disk that has no room for it for a moment: not again and again. */
static bool is_time(struct pg_store *store)
{
    uint64_t now = cis_clock_boot_ns(), last = atomic_load(&store->reserve_ns);
    return (last == 0 || now - last > TRY_NS) &&
           atomic_compare_exchange_strong(&store->reserve_ns, &last, now);
}

bool cis_pg_reserve_help(struct pg_conn *conn, bool frees)
{
    return frees ? ask(conn, PG_RESERVE_SPEND) : is_time(conn->store) && ask(conn, PG_RESERVE_MAKE);
}
