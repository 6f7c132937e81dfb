/* Places in an instance pool. The engine refuses an instance when the pool is full; here a guest
 * waits for a place until its deadline. Threads: any. Inside the engine only. */
#ifndef CIS_ENGINE_POOL_H
#define CIS_ENGINE_POOL_H

#include "engine/scheduling/slots.h"

struct cis_pool {
    struct cis_slots *slots; /* who waits for a place is in their list */
    uint32_t total;          /* 0: there is no pool, instances are made on demand */
    struct cis_permits places;
    atomic_ullong ondemand; /* without a pool: how many there are */
};

/* The slots are borrowed; total 0: no pool. */
cis_code cis_pool_open(struct cis_pool *pool, struct cis_slots *slots, uint32_t total,
                       uint32_t cells, struct cis_error *err);
void cis_pool_close(struct cis_pool *pool);
/* A place: waits while all are taken. CIS_E_LIMIT names the pool when the deadline passes first.
 * Without a pool they are only counted. */
cis_code cis_pool_enter(struct cis_pool *pool, const struct cis_stop *stop, uint32_t *out_cell,
                        struct cis_error *err) CIS_TAKES(ENGINE_FROM_SLOTS);
void cis_pool_leave(struct cis_pool *pool, uint32_t cell) CIS_TAKES(ENGINE_FROM_SLOTS);

#endif
