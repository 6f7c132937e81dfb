/* Engine profiles: one Wasmtime engine for each combination of features, fuel and allocation that
 * was asked for. */
#include "engine/code/code.h"

#include "base/mem.h"

#define SMALLEST_POOL 8u

cis_code cis_profile_engine(unsigned features, bool fuel, uint32_t pool_slots, uint64_t slot_bytes,
                            wasm_engine_t **out, struct cis_error *err)
{
    struct cis_glue_engine_config config = {
        .size = sizeof config,
        .features = features & CIS_FEATURES_COMPILED,
        .fuel = fuel,
        .compiler = true,
        .slot_bytes = slot_bytes,
        .reserve_bytes = CIS_ENGINE_RESERVE_BYTES,
        .stack_bytes = CIS_ENGINE_STACK_BYTES,
        .pool_slots = pool_slots,
        .pool_tables = CIS_ENGINE_POOL_TABLES,
        .table_elements = CIS_ENGINE_POOL_ELEMENTS,
    };
    wasm_engine_t *made = NULL;
    uint64_t before = cis_glue_heap_short();
    wasmtime_error_t *error = cis_glue_engine_new(&config, &made);
    if (error != NULL) {
        return cis_engine_fail(err, CIS_E_NOMEM, "engine", error, NULL);
    }
    cis_code code = cis_engine_enough(before, "engine", err);
    if (code != CIS_OK) {
        wasm_engine_delete(made);
        return code;
    }
    *out = made;
    return CIS_OK;
}

/* A refused reservation halves the pool of this and all later profiles, then there is none. */
static cis_code make_pooled(struct cis_engine *e, struct cis_profile *p, uint32_t *out_slots,
                            struct cis_error *err)
{
    while (!e->pool_refused) {
        if (e->pool_slots < SMALLEST_POOL && e->options.pool_slots != e->pool_slots) {
            break;
        }
        uint64_t before = cis_glue_heap_short();
        cis_code code = cis_profile_engine(p->features, p->fuel, e->pool_slots,
                                           e->options.slot_bytes, &p->wasm, err);
        if (code != CIS_OK && cis_glue_heap_short() != before) {
            return code; /* says nothing about how large a pool may be */
        }
        if (code == CIS_OK) {
            *out_slots = e->pool_slots;
            return CIS_OK;
        }
        e->pool_slots /= 2;
        if (e->pool_slots == 0) {
            break;
        }
    }
    e->pool_refused = true;
    return CIS_OK;
}

static cis_code make(struct cis_engine *e, unsigned features, bool fuel, bool pooled,
                     struct cis_profile **out, struct cis_error *err)
{
    struct cis_profile *p = cis_zalloc(sizeof *p);
    if (p == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "engine: out of memory");
    }
    p->owner = e;
    p->features = features;
    p->fuel = fuel;
    uint32_t slots = 0;
    cis_code code = pooled ? make_pooled(e, p, &slots, err) : CIS_OK;
    if (code == CIS_OK && p->wasm == NULL) {
        code = cis_profile_engine(features, fuel, 0, e->options.slot_bytes, &p->wasm, err);
    }
    if (code != CIS_OK) {
        cis_free(p);
        return code;
    }
    p->fingerprint = cis_glue_engine_fingerprint(p->wasm);
    code = cis_pool_open(&p->pool, e->slots, slots, e->options.cpu_slots, err);
    if (code != CIS_OK) {
        cis_profile_free(p);
        return code;
    }
    *out = p;
    return CIS_OK;
}

cis_code cis_profile_get(struct cis_engine *e, unsigned features, bool fuel, bool pooled,
                         struct cis_profile **out, struct cis_error *err)
{
    features &= CIS_FEATURES_COMPILED;
    size_t at = features | (fuel ? 4u : 0u) | (pooled ? 16u : 0u);
    struct cis_profile *p = atomic_load_explicit(&e->profiles[at], memory_order_acquire);
    if (p != NULL) {
        *out = p;
        return CIS_OK;
    }
    cis_mutex_lock(&e->profiles_lock, engine_lock_profiles);
    p = atomic_load(&e->profiles[at]);
    cis_code code = p != NULL ? CIS_OK : make(e, features, fuel, pooled, &p, err);
    if (code == CIS_OK) {
        atomic_store_explicit(&e->profiles[at], p, memory_order_release);
    }
    cis_mutex_unlock(&e->profiles_lock, engine_lock_profiles);
    if (code == CIS_OK) {
        *out = p;
    }
    return code;
}

void cis_profile_free(struct cis_profile *profile)
{
    if (profile == NULL) {
        return;
    }
    wasm_engine_delete(profile->wasm);
    cis_pool_close(&profile->pool);
    cis_free(profile);
}
