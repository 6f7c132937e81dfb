#include "wasi/p2/held.h"

#include <errno.h>
#include "base/check.h"
#include "base/mem.h"

int cis_p2_held_add(cis_engine_instance *instance, struct p2_held *held, struct cis_bytes data)
{
    struct cis_error why = {0};
    if (data.len == 0) {
        return 0;
    }
    if (cis_check(data.len <= p2_held_room(held), &why) != CIS_OK) {
        cis_engine_instance_defect(instance, &why);
        return EIO;
    }
    held->at = held->at != NULL ? held->at : cis_alloc(P2_CHUNK);
    if (held->at == NULL) {
        return ENOMEM;
    }
    if (held->from + held->len + data.len > P2_CHUNK) {
        memmove(held->at, held->at + held->from, held->len);
        held->from = 0;
    }
    memcpy(held->at + held->from + held->len, data.ptr, data.len);
    held->len += data.len;
    return 0;
}

void cis_p2_held_gone(struct p2_held *held, size_t n)
{
    held->len -= n < held->len ? n : held->len;
    held->from = held->len != 0 ? held->from + n : 0;
}

void cis_p2_held_done(struct p2_held *held)
{
    cis_free(held->at);
    *held = (struct p2_held){0};
}
