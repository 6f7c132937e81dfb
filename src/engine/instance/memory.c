/* Guest memory as host functions see it, and the limit over all memories and tables of a store.
 * A pointer is made from (offset, length) after a check against the memory as it is now. */
#include "engine/instance/internal.h"

#define PAGE 65536ull
#define TABLE_ELEMENT_BYTES 8u
#define TABLE_ELEMENTS_DEFAULT 10000000ull

/* ---- the limit ---- */

/* Everything within the limit: it holds what was there before `more`. */
static uint64_t asked(const cis_engine_instance *instance, uint64_t more)
{
    uint64_t all = instance->memory_bytes + instance->state_bytes;
    return more > UINT64_MAX - all ? UINT64_MAX : all + more;
}

static bool fits(cis_engine_instance *instance, uint64_t more)
{
    uint64_t now = instance->memory_bytes;
    if (asked(instance, more) > instance->limits.memory_bytes) {
        instance->memory_limit_hit = true;
        instance->memory_limit_asked = asked(instance, more);
        return false;
    }
    instance->memory_bytes = now + more;
    if (instance->memory_bytes > instance->memory_peak) {
        instance->memory_peak = instance->memory_bytes;
    }
    return true;
}

static bool table_fits(cis_engine_instance *instance, uint64_t more)
{
    if (more > instance->limits.table_elements - instance->table_elements) {
        instance->memory_limit_hit = true;
        instance->memory_limit_asked = asked(instance, more * TABLE_ELEMENT_BYTES);
        return false;
    }
    if (!fits(instance, more * TABLE_ELEMENT_BYTES)) {
        return false;
    }
    instance->table_elements += more;
    return true;
}

static bool answer(cis_engine_instance *instance, bool table, uint64_t from, uint64_t to)
{
    if (CIS_HOOKED(instance, may_grow) && !instance->hooks->may_grow(instance, table, from, to)) {
        instance->memory_limit_hit = true;
        instance->memory_limit_asked = asked(instance, to > from ? to - from : 0);
        return false;
    }
    bool yes = to >= from && (!table || to <= UINT32_MAX) &&
               (table ? table_fits(instance, to - from) : fits(instance, to - from));
    if (CIS_HOOKED(instance, asked)) {
        instance->hooks->asked(instance, table, from, to, yes);
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

void cis_engine_instance_limiter(cis_engine_instance *instance)
{
    if (instance->limits.table_elements == 0) {
        instance->limits.table_elements = TABLE_ELEMENTS_DEFAULT;
    }
    struct cis_glue_limiter limiter = {.self = instance,
                                       .memory_growing = memory_growing,
                                       .table_growing = table_growing,
                                       .max_instances = instance->program->kind->instances_max,
                                       .max_tables = 1000,
                                       .max_memories = 100};
    cis_glue_store_limiter(instance->store, &limiter);
}

/* ---- access ---- */

void cis_engine_instance_find_memory(cis_engine_instance *instance)
{
    wasmtime_extern_t item;
    if (wasmtime_instance_export_get(instance->context, &instance->instance, "memory", 6, &item)) {
        if (item.kind == WASMTIME_EXTERN_MEMORY) {
            instance->memory = item.of.memory;
            instance->has_memory = true;
        }
        wasmtime_extern_delete(&item);
    }
}

static void refresh(cis_engine_instance *instance)
{
    if (instance->has_memory) {
        instance->mem_base = wasmtime_memory_data(instance->context, &instance->memory);
        instance->mem_size = wasmtime_memory_data_size(instance->context, &instance->memory);
    }
    instance->mem_fresh = true;
}

uint64_t cis_engine_instance_memory_size(cis_engine_instance *instance)
{
    if (!instance->mem_fresh) {
        refresh(instance);
    }
    return instance->mem_size;
}

void *cis_engine_instance_peek(cis_engine_instance *instance, uint64_t ptr, uint64_t len)
{
    static char nothing; /* for empty spans of a guest without a memory */
    if (!instance->mem_fresh) {
        refresh(instance);
    }
    if (ptr > instance->mem_size || len > instance->mem_size - ptr) {
        return NULL;
    }
    return instance->mem_base != NULL ? (void *)(instance->mem_base + ptr) : &nothing;
}

void *cis_engine_instance_out(cis_engine_instance *instance, uint64_t ptr, uint64_t len)
{
    void *at = cis_engine_instance_peek(instance, ptr, len);
    if (CIS_HOOKED(instance, out) && at != NULL) {
        instance->hooks->out(instance, ptr, len);
    }
    return at;
}

const void *cis_engine_instance_at(cis_engine_instance *instance, uint64_t ptr, uint64_t len)
{
    const void *at = cis_engine_instance_peek(instance, ptr, len);
    if (CIS_HOOKED(instance, read) && at != NULL) {
        instance->hooks->read(instance, ptr, at, len);
    }
    return at;
}

void cis_engine_instance_wrote(cis_engine_instance *instance, uint64_t total)
{
    if (CIS_HOOKED(instance, wrote)) {
        instance->hooks->wrote(instance, total);
    }
}

bool cis_engine_instance_holds(cis_engine_instance *instance, uint64_t ptr, uint64_t len)
{
    return cis_engine_instance_peek(instance, ptr, len) != NULL;
}

bool cis_engine_instance_recorded(const cis_engine_instance *instance)
{
    return CIS_HOOKED(instance, out);
}

void cis_engine_instance_shown(cis_engine_instance *instance, unsigned stream, const void *data,
                               size_t len)
{
    if (CIS_HOOKED(instance, shown)) {
        instance->hooks->shown(instance, stream, data, len);
    }
}

cis_code cis_engine_instance_span(cis_engine_instance *instance, uint64_t ptr, uint64_t len,
                                  const char *what, const void **out, struct cis_error *err)
{
    const void *p = cis_engine_instance_at(instance, ptr, len);
    if (p == NULL) {
        return cis_fail(err, CIS_E_BADPTR,
                        "%s: %llu bytes at 0x%llx are outside the guest's memory of %llu bytes",
                        what, (unsigned long long)len, (unsigned long long)ptr,
                        (unsigned long long)instance->mem_size);
    }
    *out = p;
    return CIS_OK;
}

static cis_code grow(cis_engine_instance *instance, uint64_t bytes, uint64_t *out_ptr,
                     struct cis_error *err)
{
    uint64_t pages = bytes / PAGE + (bytes % PAGE != 0), before = 0;
    if (!instance->has_memory) {
        return cis_fail(err, CIS_E_MEMORY, "the guest has no memory that could grow");
    }
    wasmtime_error_t *e =
        wasmtime_memory_grow(instance->context, &instance->memory, pages, &before);
    instance->mem_fresh = false;
    if (e != NULL) {
        wasmtime_error_delete(e);
        return cis_fail(err, CIS_E_MEMORY,
                        "the guest's memory of %llu bytes cannot grow by %llu bytes",
                        (unsigned long long)cis_engine_instance_memory_size(instance),
                        (unsigned long long)bytes);
    }
    *out_ptr = before * PAGE;
    return CIS_OK;
}

cis_code cis_engine_instance_grow(cis_engine_instance *instance, uint64_t bytes, uint64_t *out_ptr,
                                  struct cis_error *err)
{
    uint64_t ptr = 0;
    if (CIS_HOOKED(instance, grow)) {
        instance->hooks->grow(instance, bytes);
    }
    cis_code code = grow(instance, bytes, &ptr, err);
    if (CIS_HOOKED(instance, grew)) {
        instance->hooks->grew(instance, code == CIS_OK, ptr);
    }
    if (code == CIS_OK) {
        *out_ptr = ptr;
    }
    return code;
}
