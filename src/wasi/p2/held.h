/* Bytes that a stream has taken and that could not go on yet: one queue, in order, of at most
 * P2_CHUNK bytes. What check-write promises is never more than the room of the queue that a write
 * may need, and every write lowers both, so a queue that is too small is a defect. */
#ifndef CIS_WASI_P2_HELD_H
#define CIS_WASI_P2_HELD_H

#include "wasi/p2/internal.h"

struct p2_held {
    uint8_t *at; /* P2_CHUNK bytes; NULL: nothing was ever held */
    size_t from, len;
};

static inline size_t p2_held_room(const struct p2_held *held)
{
    return P2_CHUNK - held->len;
}
static inline struct cis_bytes p2_held_bytes(const struct p2_held *held)
{
    return held->len != 0 ? cis_bytes_of(held->at + held->from, held->len)
                          : (struct cis_bytes){NULL, 0};
}
/* Puts all of it behind what is there. ENOMEM; EIO: there is no room for it, and the guest ends.
 * The caller has charged P2_CHUNK. */
int cis_p2_held_add(cis_engine_instance *instance, struct p2_held *held, struct cis_bytes data);
/* The first n bytes have gone on. */
void cis_p2_held_gone(struct p2_held *held, size_t n);
void cis_p2_held_done(struct p2_held *held);

#endif
