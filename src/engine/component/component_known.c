/* Links that failed, remembered with the module: a component that nobody can provide for is not
 * walked again for each run. */
#include "base/mem.h"
#include "engine/component/component_in.h"

#define FAILURES 4u /* of one module */

struct cis_link_failures {
    size_t n; /* ever; the oldest is replaced */
    struct {
        uint64_t id; /* of the provider; 0: free */
        struct cis_error why;
    } at[FAILURES];
};

uint64_t cis_iface_provider_id(struct cis_str text)
{
    uint8_t hash[CIS_SHA256_BYTES];
    uint64_t id;
    cis_sha256(cis_bytes_of(text.ptr, text.len), hash);
    memcpy(&id, hash, sizeof id);
    return id | 1;
}

bool cis_link_known(cis_engine_module *module, uint64_t id, struct cis_error *out)
{
    bool found = false;
    cis_mutex_lock(&module->programs_lock, engine_lock_programs);
    const struct cis_link_failures *f = module->link_failures;
    for (size_t i = 0; id != 0 && f != NULL && i < FAILURES && !found; i++) {
        found = f->at[i].id == id;
        if (found) {
            *out = f->at[i].why;
        }
    }
    cis_mutex_unlock(&module->programs_lock, engine_lock_programs);
    return found;
}

void cis_link_keep(cis_engine_module *module, uint64_t id, const struct cis_error *why)
{
    if (id == 0 || (why->code != CIS_E_IMPORT && why->code != CIS_E_LIMIT)) {
        return;
    }
    cis_mutex_lock(&module->programs_lock, engine_lock_programs);
    if (module->link_failures == NULL) {
        module->link_failures = cis_zalloc(sizeof *module->link_failures);
    }
    struct cis_link_failures *f = module->link_failures;
    if (f != NULL) {
        f->at[f->n % FAILURES].id = id;
        f->at[f->n % FAILURES].why = *why;
        f->n++;
    }
    cis_mutex_unlock(&module->programs_lock, engine_lock_programs);
}
