/* Guest memory as host functions see it, and the limit over all memories and tables of a store.
 * A pointer is made from (offset, length) after a check against the memory as it is now. */
#include "engine/instance/instance.h"

#define PAGE 65536ull
#define TABLE_ELEMENT_BYTES 8u
#define TABLE_ELEMENTS_DEFAULT 10000000ull

/* ---- the limit ---- */

/* Everything within the limit: it holds what was there before `more`. */
static uint64_t asked(const cis_guest *guest, uint64_t more)
{
    uint64_t all = guest->memory_bytes + guest->state_bytes;
    return more > UINT64_MAX - all ? UINT64_MAX : all + more;
}

static bool fits(cis_guest *guest, uint64_t more)
{
    uint64_t now = guest->memory_bytes;
    if (asked(guest, more) > guest->limits.memory_bytes) {
        guest->memory_limit_hit = true;
        guest->memory_limit_asked = asked(guest, more);
        return false;
    }
    guest->memory_bytes = now + more;
    if (guest->memory_bytes > guest->memory_peak) {
        guest->memory_peak = guest->memory_bytes;
    }
    return true;
}

static bool table_fits(cis_guest *guest, uint64_t more)
{
    if (more > guest->limits.table_elements - guest->table_elements) {
        guest->memory_limit_hit = true;
        guest->memory_limit_asked = asked(guest, more * TABLE_ELEMENT_BYTES);
        return false;
    }
    if (!fits(guest, more * TABLE_ELEMENT_BYTES)) {
        return false;
    }
    guest->table_elements += more;
    return true;
}

static bool answer(cis_guest *guest, bool table, uint64_t from, uint64_t to)
{
    if (CIS_HOOKED(guest, may_grow) && !guest->hooks->may_grow(guest, table, from, to)) {
        guest->memory_limit_hit = true;
        guest->memory_limit_asked = asked(guest, to > from ? to - from : 0);
        return false;
    }
    bool yes = to >= from && (!table || to <= UINT32_MAX) &&
               (table ? table_fits(guest, to - from) : fits(guest, to - from));
    if (CIS_HOOKED(guest, asked)) {
        guest->hooks->asked(guest, table, from, to, yes);
    }
    return yes;
}

/* What is above a memory's own maximum fails before anybody asks: a no here is always the limit. */
static bool memory_growing(void *self, uint64_t current, uint64_t desired, bool has_max,
                           uint64_t max)
{
    (void)has_max;
    (void)max;
    return answer(self, false, current, desired);
}

static bool table_growing(void *self, uint64_t current, uint64_t desired, bool has_max,
                          uint64_t max)
{
    (void)has_max;
    (void)max;
    return answer(self, true, current, desired);
}

void cis_guest_limiter(cis_guest *guest)
{
    if (guest->limits.table_elements == 0) {
        guest->limits.table_elements = TABLE_ELEMENTS_DEFAULT;
    }
    struct cis_glue_limiter limiter = {.self = guest,
                                       .memory_growing = memory_growing,
                                       .table_growing = table_growing,
                                       .max_instances = guest->program->kind->instances_max,
                                       .max_tables = 1000,
                                       .max_memories = 100};
    cis_glue_store_limiter(guest->store, &limiter);
}

/* ---- access ---- */

void cis_guest_find_memory(cis_guest *guest)
{
    wasmtime_extern_t item;
    if (wasmtime_instance_export_get(guest->context, &guest->instance, "memory", 6, &item)) {
        if (item.kind == WASMTIME_EXTERN_MEMORY) {
            guest->memory = item.of.memory;
            guest->has_memory = true;
        }
        wasmtime_extern_delete(&item);
    }
}

static void refresh(cis_guest *guest)
{
    if (guest->has_memory) {
        guest->mem_base = wasmtime_memory_data(guest->context, &guest->memory);
        guest->mem_size = wasmtime_memory_data_size(guest->context, &guest->memory);
    }
    guest->mem_fresh = true;
}

uint64_t cis_guest_memory_size(cis_guest *guest)
{
    if (!guest->mem_fresh) {
        refresh(guest);
    }
    return guest->mem_size;
}

void *cis_guest_peek(cis_guest *guest, uint64_t ptr, uint64_t len)
{
    static char nothing; /* for empty spans of a guest without a memory */
    if (!guest->mem_fresh) {
        refresh(guest);
    }
    if (ptr > guest->mem_size || len > guest->mem_size - ptr) {
        return NULL;
    }
    return guest->mem_base != NULL ? (void *)(guest->mem_base + ptr) : &nothing;
}

void *cis_guest_out(cis_guest *guest, uint64_t ptr, uint64_t len)
{
    void *at = cis_guest_peek(guest, ptr, len);
    if (CIS_HOOKED(guest, out) && at != NULL) {
        guest->hooks->out(guest, ptr, len);
    }
    return at;
}

const void *cis_guest_at(cis_guest *guest, uint64_t ptr, uint64_t len)
{
    const void *at = cis_guest_peek(guest, ptr, len);
    if (CIS_HOOKED(guest, read) && at != NULL) {
        guest->hooks->read(guest, ptr, at, len);
    }
    return at;
}

void cis_guest_wrote(cis_guest *guest, uint64_t total)
{
    if (CIS_HOOKED(guest, wrote)) {
        guest->hooks->wrote(guest, total);
    }
}

bool cis_guest_holds(cis_guest *guest, uint64_t ptr, uint64_t len)
{
    return cis_guest_peek(guest, ptr, len) != NULL;
}

bool cis_guest_recorded(const cis_guest *guest)
{
    return CIS_HOOKED(guest, out);
}

void cis_guest_shown(cis_guest *guest, unsigned stream, const void *data, size_t len)
{
    if (CIS_HOOKED(guest, shown)) {
        guest->hooks->shown(guest, stream, data, len);
    }
}

cis_code cis_guest_span(cis_guest *guest, uint64_t ptr, uint64_t len, const char *what,
                        const void **out, struct cis_error *err)
{
    const void *p = cis_guest_at(guest, ptr, len);
    if (p == NULL) {
        return cis_fail(err, CIS_E_BADPTR,
                        "%s: %llu bytes at 0x%llx are outside the guest's memory of %llu bytes",
                        what, (unsigned long long)len, (unsigned long long)ptr,
                        (unsigned long long)guest->mem_size);
    }
    *out = p;
    return CIS_OK;
}

static cis_code grow(cis_guest *guest, uint64_t bytes, uint64_t *out_ptr, struct cis_error *err)
{
    uint64_t pages = bytes / PAGE + (bytes % PAGE != 0), before = 0;
    if (!guest->has_memory) {
        return cis_fail(err, CIS_E_MEMORY, "the guest has no memory that could grow");
    }
    wasmtime_error_t *e = wasmtime_memory_grow(guest->context, &guest->memory, pages, &before);
    guest->mem_fresh = false;
    if (e != NULL) {
        wasmtime_error_delete(e);
        return cis_fail(
            err, CIS_E_MEMORY, "the guest's memory of %llu bytes cannot grow by %llu bytes",
            (unsigned long long)cis_guest_memory_size(guest), (unsigned long long)bytes);
    }
    *out_ptr = before * PAGE;
    return CIS_OK;
}

cis_code cis_guest_grow(cis_guest *guest, uint64_t bytes, uint64_t *out_ptr, struct cis_error *err)
{
    uint64_t ptr = 0;
    if (CIS_HOOKED(guest, grow)) {
        guest->hooks->grow(guest, bytes);
    }
    cis_code code = grow(guest, bytes, &ptr, err);
    if (CIS_HOOKED(guest, grew)) {
        guest->hooks->grew(guest, code == CIS_OK, ptr);
    }
    if (code == CIS_OK) {
        *out_ptr = ptr;
    }
    return code;
}
