/* The overlay, shared by view.c and view_search.c. */
#ifndef CIS_SERVICE_MEMORY_INTERNAL_H
#define CIS_SERVICE_MEMORY_INTERNAL_H

#include "service/memory/memory.h"

/* One key that the run has read or written. */
struct memory_entry {
    uint8_t *value; /* NULL: absent or deleted */
    size_t len;
    bool dirty;
    struct memory_entry *next; /* dirty ones, in order of first write */
    size_t key_len;
    char key[];
};

struct cis_memory_view {
    const struct cis_memory_service *service, *given; /* given: by the maker */
    struct cis_store_memory fixed; /* what service points at once reads see one state */
    bool is_fixed;
    const struct cis_call *call;
    struct cis_budget *budget;
    struct cis_memory_pause pause; /* begin NULL: none */
    struct cis_map entries;        /* key → struct memory_entry * */
    struct memory_entry *first, *last;
    size_t ndirty;
    uint64_t charged;
    struct cis_memory_op *ops; /* made by cis_memory_view_ops */
};

cis_code cis_memory_view_ready(const cis_memory_view *view, struct cis_error *err);
/* Before and after a call of the service, with what it answered. *inout_why is the error that it
 * was given. */
void cis_memory_view_leave(cis_memory_view *view);
cis_code cis_memory_view_return(cis_memory_view *view, cis_code code, struct cis_error *inout_why);
/* Before a read of the service: from now on all reads see one state. */
cis_code cis_memory_view_reads(cis_memory_view *view, struct cis_error *err);
/* Charge and remember, so that freeing the view gives all of it back. */
cis_code cis_memory_view_charge(cis_memory_view *view, uint64_t bytes, struct cis_error *err);
void cis_memory_view_release(cis_memory_view *view, uint64_t bytes);

#endif
