/* Pins of processes that live. A pin has a time, which its process moves on; a process that is
 * stopped cannot. So the store keeps one connection, the witness, that does nothing but hold an
 * advisory lock for each pin: the server drops it when the connection ends, and the connection of a
 * stopped process goes on. Who asks for pins counts one whose time is over as long as its lock is
 * there. Without the lock (no connection left) a pin goes by its time alone.
 *
 * The witness is beside the pool: what a pool's connection holds goes with DISCARD ALL. */
#include "base/mem.h"
#include "store/postgres/internal.h"

struct pg_held_pin {
    uint64_t id;
    struct pg_held_pin *next;
};

void cis_pg_witness_close(struct pg_store *store)
{
    for (struct pg_held_pin *pin; (pin = store->held) != NULL;) {
        store->held = pin->next;
        cis_free(pin);
    }
    cis_pg_conn_close(cis_take(&store->witness));
}

/* ---- one thread at a time has it, with the list; no lock is held while the server is asked ----
 */

static cis_code take(struct pg_store *store, const struct cis_stop *stop, struct cis_error *err)
{
    cis_code code = CIS_OK;
    cis_mutex_lock(&store->lock, pg_lock_store);
    while (code == CIS_OK && store->witness_out) {
        code = cis_pg_wait(store, stop, "waiting for a store connection", err);
    }
    store->witness_out |= code == CIS_OK;
    cis_mutex_unlock(&store->lock, pg_lock_store);
    if (code == CIS_OK && store->witness != NULL && !cis_pg_conn_alive(store->witness)) {
        cis_pg_witness_close(store);
    }
    return code;
}

static void give(struct pg_store *store)
{
    if (store->witness != NULL) {
        cis_pg_settle(store->witness);
        store->witness->stop = NULL;
        if (store->witness->lost) {
            cis_pg_witness_close(store);
        }
    }
    cis_mutex_lock(&store->lock, pg_lock_store);
    store->witness_out = false;
    pthread_cond_broadcast(&store->freed);
    cis_mutex_unlock(&store->lock, pg_lock_store);
}

static struct pg_held_pin **find(struct pg_store *store, uint64_t id)
{
    struct pg_held_pin **at = &store->held;
    while (*at != NULL && (*at)->id != id) {
        at = &(*at)->next;
    }
    return at;
}

static cis_code ask(struct pg_store *store, enum pg_id what, uint64_t id,
                    const struct cis_stop *stop, bool *out_yes)
{
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_u64(&args, id);
    store->witness->stop = stop;
    CIS_TRY(cis_pg_ask(store->witness, what, &args, &res, NULL));
    *out_yes = cis_pg_int(res, 0, 0) != 0;
    return CIS_OK;
}

static cis_code begin(struct pg_store *store, const struct cis_stop *stop)
{
    if (store->witness != NULL) {
        return CIS_OK;
    }
    CIS_TRY(cis_pg_conn_open(store, store->url, stop, &store->witness, NULL));
    store->witness->stop = stop;
    return cis_pg_bind(store->witness, 0, NULL);
}

/* ---- */

int64_t cis_pg_pin_witness(struct pg_store *store, uint64_t id, const struct cis_stop *stop)
{
    int64_t pid = 0;
    if (take(store, stop, NULL) == CIS_OK) {
        pid = *find(store, id) != NULL ? PQbackendPID(store->witness->pg) : 0;
        give(store);
    }
    return pid;
}

bool cis_pg_pin_hold(struct pg_store *store, uint64_t id, const struct cis_stop *stop)
{
    bool held = false;
    struct pg_held_pin *pin = cis_zalloc(sizeof *pin);
    if (pin == NULL || take(store, stop, NULL) != CIS_OK) {
        cis_free(pin);
        return false;
    }
    struct pg_held_pin *old = *find(store, id);
    if (old != NULL) { /* but the server knows nothing of it */
        cis_pg_witness_close(store);
    }
    if (begin(store, stop) == CIS_OK) {
        (void)!ask(store, PG_PIN_WITNESS, id, stop, &held);
    }
    if (held) {
        pin->id = id;
        pin->next = store->held;
        store->held = cis_take(&pin);
    }
    give(store);
    cis_free(pin);
    return held;
}

void cis_pg_pin_let(struct pg_store *store, uint64_t id, const struct cis_stop *stop)
{
    bool was;
    if (take(store, stop, NULL) != CIS_OK) {
        return; /* it is gone, or lapses */
    }
    struct pg_held_pin **at = find(store, id), *pin = *at;
    if (pin != NULL) {
        *at = pin->next;
        cis_free(pin);
        (void)!ask(store, PG_PIN_LET, id, stop, &was);
    }
    give(store);
}
