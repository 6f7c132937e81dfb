/* cis_module: bytes and the compiled variants of them. */
#include "lib/internal.h"

#include "base/clock.h"
#include "base/mem.h"

static cis_engine_module *variant_of(const cis_module *module, bool fuel, uint64_t memory_limit)
{
    for (size_t i = 0; i < sizeof module->variants / sizeof *module->variants; i++) {
        cis_engine_module *found =
            atomic_load_explicit(&module->variants[i].module, memory_order_acquire);
        if (found != NULL && module->variants[i].fuel == fuel &&
            module->variants[i].memory_limit >= memory_limit) {
            return found;
        }
    }
    return NULL;
}

cis_code cis_module_variant(cis_module *module, bool fuel, uint64_t memory_limit,
                            const struct cis_stop *stop, cis_engine_module **out_module,
                            struct cis_error *err)
{
    enum { N = sizeof module->variants / sizeof *module->variants };
    cis_engine_module *found = variant_of(module, fuel, memory_limit);
    if (found != NULL) {
        *out_module = found;
        return CIS_OK;
    }
    struct cis_engine_module_options o = {.name = module->name,
                                          .features = module->runtime->features,
                                          .fuel = fuel,
                                          .memory_limit = memory_limit,
                                          .stop = *stop};
    /* Not under the lock: compiling takes long. The engine makes one of concurrent calls. */
    CIS_TRY(cis_engine_module_load(module->runtime->engine,
                                   cis_bytes_of(module->bytes, module->len), &o, &found, err));
    cis_mutex_lock(&module->lock, lib_lock_module);
    cis_engine_module *kept = variant_of(module, fuel, memory_limit); /* another run's, meanwhile */
    bool stored = false; /* with this reference; another run's may be of the same module */
    for (int i = 0; i < N && kept == NULL; i++) {
        if (atomic_load(&module->variants[i].module) == NULL) {
            module->variants[i].fuel = fuel;
            module->variants[i].memory_limit = memory_limit;
            atomic_store_explicit(&module->variants[i].module, found, memory_order_release);
            kept = found;
            stored = true;
        }
    }
    cis_mutex_unlock(&module->lock, lib_lock_module);
    if (!stored) {
        cis_engine_module_unref(found);
    }
    *out_module = kept;
    return kept != NULL ? CIS_OK
                        : cis_fail(err, CIS_E_LIMIT,
                                   "%s: more than %d combinations of fuel and memory limit",
                                   module->name, (int)N);
}

cis_code cis_module_load(cis_runtime *runtime, const void *wasm, size_t len, const char *name,
                         cis_module **out_module, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(runtime, err));
    cis_module *m = cis_zalloc(sizeof *m);
    if (m == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "module: out of memory");
    }
    atomic_init(&m->refs, 1);
    pthread_mutex_init(&m->lock, NULL);
    m->runtime = runtime;
    m->name = cis_strdup(name != NULL ? name : "module");
    m->bytes = cis_alloc(len);
    m->len = len;
    cis_code code = CIS_OK;
    if (m->name == NULL || m->bytes == NULL) {
        code = cis_fail(err, CIS_E_NOMEM, "%s: out of memory", name != NULL ? name : "module");
    } else {
        memcpy(m->bytes, wasm, len);
        struct cis_stop stop = {CIS_NEVER, NULL};
        cis_engine_module *module;
        code = cis_module_variant(m, false, runtime->max_memory, &stop, &module, err);
    }
    if (code != CIS_OK) {
        cis_module_unref(m);
        return code;
    }
    *out_module = m;
    return CIS_OK;
}

cis_module *cis_module_ref(cis_module *module)
{
    atomic_fetch_add_explicit(&module->refs, 1, memory_order_relaxed);
    return module;
}

void cis_module_unref(cis_module *module)
{
    if (module == NULL || cis_lib_here(module->runtime, NULL) != CIS_OK ||
        atomic_fetch_sub_explicit(&module->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < sizeof module->variants / sizeof *module->variants; i++) {
        cis_engine_module_unref(atomic_load(&module->variants[i].module));
    }
    cis_lock_alone(lib_lock_module);
    pthread_mutex_destroy(&module->lock);
    cis_free(module->inspect);
    cis_free(module->name);
    cis_free(module->bytes);
    cis_free(module);
}

const char *cis_module_inspect(cis_module *module)
{
    if (cis_lib_here(module->runtime, NULL) != CIS_OK) {
        return "{}";
    }
    cis_mutex_lock(&module->lock, lib_lock_module);
    if (module->inspect == NULL) {
        struct cis_buf json = CIS_BUF_INIT(64u << 20);
        const struct cis_skillabi_options none = {.no_wasi = !module->runtime->wasi};
        const struct cis_engine_module_info *info =
            cis_engine_module_info(atomic_load(&module->variants[0].module));
        if (cis_inspect_json(info, module->name, &none, &json, NULL) == CIS_OK) {
            module->inspect = (char *)cis_buf_take(&json, NULL);
        }
        cis_buf_done(&json);
    }
    const char *text = module->inspect != NULL ? module->inspect : "{}";
    cis_mutex_unlock(&module->lock, lib_lock_module);
    return text;
}
