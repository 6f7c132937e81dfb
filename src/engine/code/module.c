/* Modules: the memory cache over disk cache and compiler. One thread loads a module, the others
 * that want the same wait for it; what cannot be loaded is remembered too. */
#include "engine/code/module.h"

#include <stdio.h>
#include <sys/stat.h>
#include "base/mem.h"
#include "engine/code/code.h"
#include "engine/code/file_hash.h"

#define FAILURES_MAX 256u /* remembered refusals */

enum slot_state { SLOT_EMPTY, SLOT_LOADING, SLOT_READY, SLOT_FAILED };

/* What makes two loads the same. Names differ in messages only. */
struct module_key {
    uint8_t sha256[CIS_SHA256_BYTES];
    uint8_t features, fuel, small; /* small: the limit fits a pool slot */
};

struct cis_engine_module_slot {
    struct cis_engine_module_slot *next; /* in its bucket */
    struct module_key key;
    enum slot_state state;
    unsigned waiters;                 /* threads that hold a pointer to the slot */
    struct cis_engine_module *module; /* READY: the cache's own reference */
    struct cis_error failure;         /* FAILED; the message without the name of the module */
    uint64_t used;
};

cis_engine_module *cis_engine_module_ref(cis_engine_module *module)
{
    atomic_fetch_add_explicit(&module->refs, 1, memory_order_relaxed);
    return module;
}

void cis_engine_module_unref(cis_engine_module *module)
{
    if (module == NULL || atomic_fetch_sub_explicit(&module->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    cis_lock_alone(engine_lock_programs);
    if (module->programs_free != NULL) {
        module->programs_free(module);
    }
    if (module->module != NULL) {
        wasmtime_module_delete(module->module);
    }
    if (module->component != NULL) {
        wasmtime_component_delete(module->component);
    }
    cis_engine_module_info_free(module->info);
    cis_free(module->link_failures);
    cis_free(module->name);
    pthread_mutex_destroy(&module->programs_lock);
    cis_free(module);
}

const struct cis_engine_module_info *cis_engine_module_info(const cis_engine_module *module)
{
    return module->info;
}

const struct cis_extern *cis_engine_module_export(const cis_engine_module *module,
                                                  struct cis_str name)
{
    return cis_info_export(module->info, name);
}

/* ---- one load ---- */

struct load {
    struct cis_engine *engine;
    struct cis_bytes wasm; /* as given: text or binary; NULL: only what is compiled already */
    const char *name;
    struct cis_engine_module_options options;
    struct module_key key;
    bool *out_passing; /* as in struct cis_child_limits */
};

static struct cis_cache_key disk_key(const struct load *l, const struct cis_profile *profile)
{
    struct cis_cache_key key = {
        .features = l->key.features, .fuel = l->key.fuel != 0, .fingerprint = profile->fingerprint};
    memcpy(key.sha256, l->key.sha256, sizeof key.sha256);
    return key;
}

/* As it lies in its file where that can be had. Where it cannot (no /proc, a policy against code in
 * memory files) the engine copies the bytes; and says what is wrong, if that was not it. */
static wasmtime_error_t *take_in(wasm_engine_t *wasm, const struct cis_engine_module_info *info,
                                 struct cis_artefact *artefact, wasmtime_module_t **out_module,
                                 wasmtime_component_t **out_component)
{
    if (artefact->fd >= 0) {
        wasmtime_error_t *error = info->component
                                      ? cis_glue_component_load(wasm, artefact->fd, out_component)
                                      : cis_glue_module_load(wasm, artefact->fd, out_module);
        if (error == NULL) {
            return NULL;
        }
        wasmtime_error_delete(error);
    }
    struct cis_bytes bytes = cis_artefact_bytes(artefact);
    return info->component
               ? wasmtime_component_deserialize(wasm, bytes.ptr, bytes.len, out_component)
               : wasmtime_module_deserialize(wasm, bytes.ptr, bytes.len, out_module);
}

/* Loads the artefact into the pooled engine when its instances fit a slot, else (or when the pool
 * does not want it: too many globals or imports for a slot) into the on-demand one. */
static cis_code adopt(const struct load *l, struct cis_engine_module_info *info,
                      struct cis_artefact *artefact, struct cis_engine_module **out,
                      struct cis_error *err)
{
    struct cis_engine *e = l->engine;
    bool pooled = cis_info_fits_pool(info, e->options.slot_bytes, l->options.memory_limit);
    wasmtime_module_t *native = NULL;
    wasmtime_component_t *component = NULL;
    struct cis_profile *profile = NULL;
    bool loaded = false;
    cis_code code = CIS_OK;
    uint64_t before = 0;
    for (int attempt = pooled ? 0 : 1; attempt < 2 && !loaded; attempt++) {
        CIS_TRY(cis_profile_get(e, l->key.features, l->key.fuel != 0, attempt == 0, &profile, err));
        before = cis_glue_heap_short();
        wasmtime_error_t *error = take_in(profile->wasm, info, artefact, &native, &component);
        loaded = error == NULL;
        if (!loaded) {
            native = NULL;
            component = NULL;
            code = cis_engine_fail(err, CIS_E_INTERNAL, l->name, error, NULL);
        }
    }
    if (!loaded) {
        return code;
    }
    struct cis_engine_module *module = cis_zalloc(sizeof *module);
    char *name = cis_strdup(l->name);
    if (module == NULL || name == NULL || cis_engine_enough(before, l->name, NULL) != CIS_OK) {
        if (native != NULL) {
            wasmtime_module_delete(native);
        }
        if (component != NULL) {
            wasmtime_component_delete(component);
        }
        cis_free(module);
        cis_free(name);
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", l->name);
    }
    module->engine = e;
    module->profile = profile;
    module->module = native;
    module->component = component;
    module->info = info;
    module->name = name;
    atomic_init(&module->refs, 1);
    pthread_mutex_init(&module->programs_lock, NULL);
    *out = module;
    return CIS_OK;
}

/* CIS_E_NOTFOUND: not there, or refused. */
static cis_code from_disk(const struct load *l, const struct cis_profile *profile,
                          struct cis_engine_module **out, struct cis_error *err)
{
    struct cis_engine *e = l->engine;
    struct cis_cache_key key = disk_key(l, profile);
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(0);
    CIS_CLEANUP(cis_artefact_done) struct cis_artefact artefact = CIS_ARTEFACT_INIT;
    enum cis_cache_found found = cis_cache_get(&e->cache, &key, &json, &artefact);
    struct cis_engine_module_info *info = NULL;
    if (found == CIS_CACHE_HIT) {
        cis_code code = cis_info_from_json(cis_buf_view(&json), key.sha256, &info, err);
        code = code == CIS_OK ? adopt(l, info, &artefact, out, err) : code;
        if (code == CIS_OK) {
            atomic_fetch_add(&e->disk_hits, 1);
            return CIS_OK;
        }
        cis_engine_module_info_free(info);
        if (code == CIS_E_NOMEM) {
            return code;
        }
        cis_cache_drop(&e->cache, &key); /* ours, but this engine does not take it */
    }
    if (found != CIS_CACHE_MISS) {
        atomic_fetch_add(&e->disk_rejected, 1);
    }
    return CIS_E_NOTFOUND;
}

/* One turn among the children for both, reading and compiling. */
struct turn {
    struct cis_engine *engine;
    bool held;
};

static void turn_end(struct turn *turn)
{
    if (turn->held) {
        cis_child_turn_end(turn->engine);
        turn->held = false;
    }
}

static cis_code turn_take(struct turn *turn, const struct load *l, struct cis_error *err)
{
    if (!turn->held) {
        CIS_TRY(cis_child_turn_begin(turn->engine, &l->options.stop, l->name, err));
        turn->held = true;
    }
    return CIS_OK;
}

static cis_code examine(const struct load *l, struct turn *turn, struct cis_buf *converted,
                        struct cis_engine_module_info **out, struct cis_error *err)
{
    const struct cis_engine_options *o = &l->engine->options;
    const struct cis_child_limits limits = {.program = o->compile_in_process ? NULL : o->compiler,
                                            .memory_bytes = o->compile_memory,
                                            .ns = o->compile_ns,
                                            .out_passing = l->out_passing};
    if (cis_module_is_read_apart(l->wasm)) {
        CIS_TRY(turn_take(turn, l, err));
    }
    return cis_module_examine(l->wasm, l->key.sha256, &l->options, &limits, converted, out, err);
}

static cis_code from_compiler(const struct load *l, const struct cis_profile *profile,
                              struct cis_engine_module **out, struct cis_error *err)
{
    struct cis_engine *e = l->engine;
    CIS_CLEANUP(cis_buf_done) struct cis_buf converted = CIS_BUF_INIT(CIS_MODULE_MAX);
    struct cis_engine_module_info *info = NULL;
    CIS_CLEANUP(turn_end) struct turn turn = {e, false};
    CIS_TRY(examine(l, &turn, &converted, &info, err));
    struct cis_bytes binary = converted.len != 0 ? cis_buf_bytes(&converted) : l->wasm;
    struct cis_compile_job job = {.binary = binary,
                                  .name = l->name,
                                  .features = l->key.features,
                                  .fuel = l->key.fuel != 0,
                                  .fingerprint = profile->fingerprint,
                                  .stop = l->options.stop,
                                  .out_passing = l->out_passing};
    CIS_CLEANUP(cis_buf_done) struct cis_buf artefact = CIS_BUF_INIT(CIS_ARTEFACT_MAX);
    cis_code code = turn_take(&turn, l, err);
    code = code == CIS_OK ? cis_compile(e, &job, &artefact, err) : code;
    turn_end(&turn);
    struct cis_artefact made = {.fd = -1, .bytes = cis_buf_bytes(&artefact)};
    code = code == CIS_OK ? adopt(l, info, &made, out, err) : code;
    if (code != CIS_OK) {
        cis_engine_module_info_free(info);
        return code;
    }
    struct cis_cache_key key = disk_key(l, profile);
    cis_cache_put(&e->cache, &key, cis_str_of(info->json), cis_buf_bytes(&artefact));
    return CIS_OK;
}

static cis_code load_now(const struct load *l, struct cis_engine_module **out,
                         struct cis_error *err)
{
    /* Pooled and on-demand engines have the same fingerprint: this one names both. */
    struct cis_profile *profile;
    CIS_TRY(cis_profile_get(l->engine, l->key.features, l->key.fuel != 0, false, &profile, err));
    cis_code code = from_disk(l, profile, out, err);
    return code == CIS_E_NOTFOUND && l->wasm.ptr != NULL ? from_compiler(l, profile, out, err)
                                                         : code;
}

/* ---- the memory cache ---- */

/* A failure that the next try would meet again: it lies in the bytes, not in this moment. */
static bool lasting(cis_code code)
{
    return code == CIS_E_INVALID || code == CIS_E_UNSUPPORTED || code == CIS_E_LIMIT;
}

static void slot_free(struct cis_engine_module_slot *slot)
{
    cis_engine_module_unref(slot->module);
    cis_free(slot);
}

/* Keeps at most max entries in this state: those used longest ago go, unless they are in use. */
static void evict(struct cis_engine *e, enum slot_state state, size_t max)
    CIS_REQUIRES(engine_lock_modules)
{
    size_t n = 0;
    struct cis_engine_module_slot **oldest = NULL;
    for (size_t b = 0; b < CIS_IMAGE_BUCKETS; b++) {
        for (struct cis_engine_module_slot **at = &e->modules[b]; *at != NULL; at = &(*at)->next) {
            struct cis_engine_module_slot *slot = *at;
            if (slot->state != state) {
                continue;
            }
            n++;
            bool held = slot->module != NULL && atomic_load(&slot->module->refs) > 1;
            if (slot->waiters == 0 && !held && (oldest == NULL || slot->used < (*oldest)->used)) {
                oldest = at;
            }
        }
    }
    if (n > max && oldest != NULL) {
        struct cis_engine_module_slot *gone = *oldest;
        *oldest = gone->next;
        slot_free(gone);
    }
}

static cis_code slot_get(struct cis_engine *e, const struct module_key *key,
                         struct cis_engine_module_slot **out, struct cis_error *err)
    CIS_REQUIRES(engine_lock_modules)
{
    struct cis_engine_module_slot **bucket = &e->modules[key->sha256[0] % CIS_IMAGE_BUCKETS], *slot;
    for (slot = *bucket; slot != NULL; slot = slot->next) {
        if (memcmp(&slot->key, key, sizeof *key) == 0) {
            *out = slot;
            return CIS_OK;
        }
    }
    slot = cis_zalloc(sizeof *slot);
    if (slot == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "module: out of memory");
    }
    slot->key = *key;
    slot->next = *bucket;
    *bucket = slot;
    *out = slot;
    return CIS_OK;
}

/* The slot is ours (LOADING). The lock is let go meanwhile. */
static cis_code slot_fill(struct cis_engine *e, struct cis_engine_module_slot *slot,
                          const struct load *l, struct cis_error *err)
    CIS_REQUIRES(engine_lock_modules)
{
    cis_mutex_unlock(&e->modules_lock, engine_lock_modules);
    struct cis_error why = {0};
    struct cis_engine_module *module = NULL;
    bool passing = false;
    struct load own = *l;
    own.out_passing = &passing;
    cis_code code = load_now(&own, &module, &why);
    cis_mutex_lock(&e->modules_lock, engine_lock_modules);
    slot->state = code == CIS_OK              ? SLOT_READY
                  : lasting(code) && !passing ? SLOT_FAILED
                                              : SLOT_EMPTY;
    slot->module = module;
    slot->failure = why;
    size_t prefix = strlen(l->name);
    if (strncmp(why.msg, l->name, prefix) == 0 && strncmp(why.msg + prefix, ": ", 2) == 0) {
        memmove(slot->failure.msg, why.msg + prefix + 2, sizeof why.msg - prefix - 2);
    }
    pthread_cond_broadcast(&e->modules_done);
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    return code;
}

static cis_code slot_wait(struct cis_engine *e, struct cis_engine_module_slot *slot,
                          const struct load *l, struct cis_engine_module **out,
                          struct cis_error *err) CIS_REQUIRES(engine_lock_modules)
{
    for (;;) {
        switch (slot->state) {
        case SLOT_READY:
            atomic_fetch_add(&e->memory_hits, 1);
            *out = cis_engine_module_ref(slot->module);
            return CIS_OK;
        case SLOT_FAILED:
            return cis_fail(err, slot->failure.code, "%s: %s", l->name, slot->failure.msg);
        case SLOT_LOADING:
            CIS_TRY(
                cis_wait_cond(&e->modules_done, &e->modules_lock, &l->options.stop, l->name, err));
            break;
        case SLOT_EMPTY:
            slot->state = SLOT_LOADING;
            CIS_TRY(slot_fill(e, slot, l, err));
            *out = cis_engine_module_ref(slot->module);
            return CIS_OK;
        }
    }
}

/* With wasm.ptr NULL: CIS_E_NOTFOUND when it is not compiled. */
static cis_code load_named(cis_engine *e, const uint8_t sha256[CIS_SHA256_BYTES],
                           struct cis_bytes wasm, const struct cis_engine_module_options *options,
                           cis_engine_module **out_module, struct cis_error *err)
{
    struct load l = {.engine = e,
                     .wasm = wasm,
                     .name = options->name != NULL ? options->name : "module",
                     .options = *options};
    if (l.options.stop.deadline_ns == 0) {
        l.options.stop.deadline_ns = CIS_NEVER;
    }
    memcpy(l.key.sha256, sha256, sizeof l.key.sha256);
    l.key.features = options->features & CIS_FEATURES_COMPILED;
    l.key.fuel = options->fuel ? 1 : 0;
    l.key.small = options->memory_limit <= e->options.slot_bytes ? 1 : 0;

    cis_mutex_lock(&e->modules_lock, engine_lock_modules);
    struct cis_engine_module_slot *slot = NULL;
    struct cis_engine_module *module = NULL;
    cis_code code = slot_get(e, &l.key, &slot, err);
    if (code == CIS_OK) {
        slot->used = ++e->modules_clock;
        slot->waiters++;
        bool loaded = slot->state == SLOT_EMPTY;
        code = slot_wait(e, slot, &l, &module, err);
        slot->waiters--;
        if (loaded || code != CIS_OK) {
            evict(e, SLOT_READY, e->options.modules);
            evict(e, SLOT_FAILED, FAILURES_MAX);
            evict(e, SLOT_EMPTY, 0);
        }
    }
    cis_mutex_unlock(&e->modules_lock, engine_lock_modules);
    if (code == CIS_OK) {
        *out_module = module;
    }
    return code;
}

cis_code cis_engine_module_load(cis_engine *e, struct cis_bytes wasm,
                                const struct cis_engine_module_options *options,
                                cis_engine_module **out_module, struct cis_error *err)
{
    if (wasm.len > CIS_MODULE_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "%s: larger than %u bytes",
                        options->name != NULL ? options->name : "module", CIS_MODULE_MAX);
    }
    uint8_t sha256[CIS_SHA256_BYTES];
    cis_sha256(wasm, sha256);
    return load_named(e, sha256, wasm.ptr != NULL ? wasm : cis_bytes_of("", 0), options, out_module,
                      err);
}

cis_code cis_engine_module_load_file(
    cis_engine *e, int fd, const struct cis_engine_module_options *options,
    cis_code (*read)(void *self, int fd, struct cis_bytes *out, struct cis_error *err), void *self,
    cis_engine_module **out_module, struct cis_error *err)
{
    uint8_t sha256[CIS_SHA256_BYTES];
    if (cis_file_hash_get(&e->cache, fd, sha256)) {
        cis_code code = load_named(e, sha256, cis_bytes_of(NULL, 0), options, out_module, err);
        if (code != CIS_E_NOTFOUND) {
            return code;
        }
    }
    struct stat before;
    struct cis_bytes wasm;
    bool whole = fstat(fd, &before) == 0;
    CIS_TRY(read(self, fd, &wasm, err));
    CIS_TRY(cis_engine_module_load(e, wasm, options, out_module, err));
    if (whole) {
        uint64_t now = (uint64_t)cis_clock_wall_ms() * CIS_NS_PER_MS;
        cis_file_hash_put(&e->cache, fd, &before, now, (*out_module)->info->sha256);
    }
    return CIS_OK;
}

cis_code cis_engine_module_load_made(cis_engine *e, const uint8_t key[CIS_SHA256_BYTES],
                                     const struct cis_engine_module_options *options,
                                     cis_code (*make)(void *self, struct cis_bytes *out,
                                                      struct cis_error *err),
                                     void *self, cis_engine_module **out_module,
                                     struct cis_error *err)
{
    uint8_t sha256[CIS_SHA256_BYTES];
    if (cis_file_hash_made_get(&e->cache, key, sha256)) {
        cis_code code = load_named(e, sha256, cis_bytes_of(NULL, 0), options, out_module, err);
        if (code != CIS_E_NOTFOUND) {
            return code;
        }
    }
    struct cis_bytes wasm;
    CIS_TRY(make(self, &wasm, err));
    CIS_TRY(cis_engine_module_load(e, wasm, options, out_module, err));
    cis_file_hash_made_put(&e->cache, key, (*out_module)->info->sha256);
    return CIS_OK;
}

void cis_engine_modules_done(struct cis_engine *e)
{
    cis_lock_alone(engine_lock_modules);
    for (size_t b = 0; b < CIS_IMAGE_BUCKETS; b++) {
        while (e->modules[b] != NULL) {
            struct cis_engine_module_slot *slot = e->modules[b];
            e->modules[b] = slot->next;
            slot_free(slot);
        }
    }
}
