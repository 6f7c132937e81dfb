/* cis_skills: WebAssembly and native skills by name. */
#include "lib/internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "skill/manifest.h"

struct entry {
    atomic_uint refs;
    char *name, *version, *description;
    cis_module *module; /* NULL: native */
    struct cis_services services;
    struct cis_memory_service own_memory; /* what services.memory points to, if it was given */
    struct cis_grants grants;
    uint64_t memory, time_ms, fuel;
    cis_native_skill_fn *native;
    void *self;
};

struct cis_skills {
    cis_runtime *runtime;
    pthread_mutex_t lock; /* held for look-ups only, never while a skill runs */
    struct cis_map entries CIS_GUARDED_BY(lib_lock_skills);
};

static void entry_unref(void *ptr)
{
    struct entry *e = ptr;
    if (e == NULL || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    cis_module_unref(e->module);
    cis_grants_done(&e->grants);
    cis_free(e->name);
    cis_free(e->version);
    cis_free(e->description);
    cis_free(e);
}

cis_code cis_skills_new(cis_runtime *runtime, cis_skills **out_skills, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(runtime, err));
    cis_skills *s = cis_zalloc(sizeof *s);
    if (s == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "skills: out of memory");
    }
    s->runtime = runtime;
    cis_lock_alone(lib_lock_skills);
    s->entries = CIS_MAP_INIT;
    pthread_mutex_init(&s->lock, NULL);
    *out_skills = s;
    return CIS_OK;
}

void cis_skills_free(cis_skills *skills)
{
    if (skills == NULL || cis_lib_here(skills->runtime, NULL) != CIS_OK) {
        return;
    }
    cis_map_done(&skills->entries, entry_unref);
    pthread_mutex_destroy(&skills->lock);
    cis_free(skills);
}

static cis_code entry_new(const char *name, const char *version, const char *description,
                          struct entry **out, struct cis_error *err)
{
    if (!cis_skill_name_valid(cis_str_of(name))) {
        return cis_fail(err, CIS_E_USAGE, "skill %s: not [a-z0-9][a-z0-9._-]*, at most 256", name);
    }
    struct entry *e = cis_zalloc(sizeof *e);
    if (e != NULL) {
        atomic_init(&e->refs, 1);
        e->name = cis_strdup(name);
        e->version = cis_strdup(version != NULL ? version : "0.0.0");
        e->description = cis_strdup(description != NULL ? description : "");
    }
    if (e == NULL || e->name == NULL || e->version == NULL || e->description == NULL) {
        entry_unref(e);
        return cis_fail(err, CIS_E_NOMEM, "skill %s: out of memory", name);
    }
    *out = e;
    return CIS_OK;
}

/* Takes the entry in any case. */
static cis_code insert(cis_skills *skills, struct entry *e, struct cis_error *err)
{
    cis_mutex_lock(&skills->lock, lib_lock_skills);
    cis_code code = CIS_OK;
    struct cis_str name = cis_str_of(e->name);
    if (cis_map_get(&skills->entries, name) != NULL) {
        code = cis_fail(err, CIS_E_EXISTS, "skill %s: loaded already", e->name);
    } else {
        code = cis_map_set(&skills->entries, name, e, NULL, err);
    }
    cis_mutex_unlock(&skills->lock, lib_lock_skills);
    if (code != CIS_OK) {
        entry_unref(e);
    }
    return code;
}

static cis_code load(cis_skills *skills, const void *wasm, size_t len,
                     const struct cis_skill_options *o, struct entry *e, struct cis_error *err)
{
    static const char *const own_memory[] = {"memory", NULL};
    const char *const *grants = o->grants != NULL ? o->grants : own_memory;
    for (size_t i = 0; grants[i] != NULL; i++) {
        CIS_TRY(cis_grants_add(&e->grants, cis_str_of(grants[i]), err));
    }
    e->services = skills->runtime->services;
    if (o->memory_service != NULL) {
        CIS_TRY(cis_lib_memory_take(o->memory_service, &e->own_memory, err));
        e->services.memory = &e->own_memory;
    }
    e->memory = o->memory;
    e->time_ms = o->time_ms;
    e->fuel = o->fuel;
    return cis_module_load(skills->runtime, wasm, len, e->name, &e->module, err);
}

cis_code cis_skills_load_wasm(cis_skills *skills, const char *name, const void *wasm, size_t len,
                              const struct cis_skill_options *options, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(skills->runtime, err));
    struct cis_skill_options whole = CIS_SKILL_OPTIONS_INIT, *o = &whole;
    CIS_TRY(cis_sized_take(&cis_sized_skill_options, options, &whole, err));
    struct entry *e = NULL;
    CIS_TRY(entry_new(name != NULL      ? name
                      : o->name != NULL ? o->name
                                        : "",
                      o->version, o->description, &e, err));
    if (wasm == NULL) {
        wasm = o->wasm_bytes;
        len = o->wasm_len;
    }
    cis_code code = wasm != NULL
                        ? load(skills, wasm, len, o, e, err)
                        : cis_fail(err, CIS_E_USAGE, "skill %s: the module is empty", e->name);
    if (code != CIS_OK) {
        entry_unref(e);
        return code;
    }
    return insert(skills, e, err);
}

cis_code cis_skills_register_native(cis_skills *skills, const char *name,
                                    cis_native_skill_fn *skill, void *self, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(skills->runtime, err));
    struct entry *e = NULL;
    if (name == NULL || skill == NULL) {
        return cis_fail(err, CIS_E_USAGE, "skill %s: a native skill needs a name and a function",
                        name != NULL ? name : "(none)");
    }
    CIS_TRY(entry_new(name, NULL, NULL, &e, err));
    e->native = skill;
    e->self = self;
    return insert(skills, e, err);
}

cis_code cis_skills_remove(cis_skills *skills, const char *name, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(skills->runtime, err));
    cis_mutex_lock(&skills->lock, lib_lock_skills);
    struct entry *e = cis_map_remove(&skills->entries, cis_str_of(name));
    cis_mutex_unlock(&skills->lock, lib_lock_skills);
    if (e == NULL) {
        return cis_fail(err, CIS_E_NOTFOUND, "skill %s: not loaded", name);
    }
    entry_unref(e);
    return CIS_OK;
}

/* Counted, in order of loading; NULL: out of memory. */
static struct entry **entries_now(cis_skills *skills, size_t *out_n)
{
    size_t n = 0;
    cis_mutex_lock(&skills->lock, lib_lock_skills);
    struct entry **list =
        cis_calloc(cis_size_add(skills->entries.count, 1), sizeof(struct entry *));
    if (list != NULL) {
        cis_map_foreach (&skills->entries, item) {
            list[n] = item->value;
            atomic_fetch_add_explicit(&list[n++]->refs, 1, memory_order_relaxed);
        }
    }
    cis_mutex_unlock(&skills->lock, lib_lock_skills);
    *out_n = n;
    return list;
}

cis_code cis_skills_each(cis_skills *skills, cis_skills_each_fn *each, void *self,
                         struct cis_error *err)
{
    size_t n;
    CIS_TRY(cis_lib_here(skills->runtime, err));
    struct entry **list = entries_now(skills, &n);
    if (list == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "skills: out of memory");
    }
    cis_code said = CIS_OK;
    for (size_t i = 0; i < n; i++) {
        const struct entry *e = list[i];
        said = said == CIS_OK ? each(self, e->name, e->version, e->native != NULL) : said;
        entry_unref(list[i]);
    }
    cis_free(list);
    return cis_lib_ended(said, CIS_OK, err);
}

static cis_code sink_write(void *self, const void *data, size_t len)
{
    struct cis_buf *buf = self;
    cis_buf_add(buf, data, len);
    return buf->failed;
}

static cis_code call_native(struct entry *e, const char *method, struct cis_str input,
                            const struct cis_run_options *o, uint64_t default_ms,
                            cis_result **out_result, struct cis_error *err)
{
    uint64_t ms = o->time_ms != 0 ? o->time_ms : default_ms, ns;
    if (__builtin_mul_overflow(ms, CIS_NS_PER_MS, &ns)) {
        ns = CIS_NEVER;
    }
    struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), ns), o->cancel};
    struct cis_call call = {.size = sizeof call,
                            .tenant = o->tenant != NULL ? o->tenant : "default",
                            .skill = e->name,
                            .run_id = "native",
                            .deadline_ns = stop.deadline_ns,
                            .stop = &stop};
    CIS_CLEANUP(cis_buf_done)
    struct cis_buf output =
        CIS_BUF_INIT(o->output_max != 0 ? o->output_max : CIS_OUTPUT_MAX_DEFAULT);
    struct cis_sink sink = {&output, sink_write};
    struct cis_error why = {0};
    cis_code code = cis_error_foreign(
        &why, e->native(e->self, &call, method, input.ptr, input.len, &sink, &why), e->name);
    if (code == CIS_OK) {
        code = cis_buf_check(&output, "output", &why);
    }
    return cis_lib_result_new(code, &why, &output, e->name, out_result, err);
}

static uint64_t narrower(uint64_t mine, uint64_t asked)
{
    return mine == 0 || (asked != 0 && asked < mine) ? asked : mine;
}

static cis_code call_wasm(cis_skills *skills, struct entry *e, const char *method,
                          struct cis_str input, struct cis_run_options o, cis_result **out_result,
                          struct cis_error *err)
{
    o.skill = e->name;
    o.memory = narrower(e->memory, o.memory);
    o.time_ms = narrower(e->time_ms, o.time_ms);
    o.fuel = narrower(e->fuel, o.fuel);
    if (method != NULL) {
        o.method = method;
    }
    struct cis_lib_request q;
    CIS_TRY(cis_lib_request_make(skills->runtime, e->module, &o, &q, err));
    struct cis_grants granted = CIS_GRANTS_INIT;
    cis_code code = o.grants != NULL ? cis_grants_intersect(&e->grants, &q.grants, &granted, err)
                                     : cis_grants_copy(&e->grants, &granted, err);
    if (code == CIS_OK) {
        cis_grants_done(&q.grants);
        q.grants = granted;
        q.request.services = e->services;
        code = cis_lib_request_deny(&q, &o, err);
    }
    if (code == CIS_OK) {
        code = cis_lib_run(&q, input.ptr, input.len, out_result, err);
    }
    cis_lib_request_done(&q);
    return code;
}

cis_code cis_skills_call(cis_skills *skills, const char *name, const char *method,
                         const char *input_json, size_t input_len,
                         const struct cis_run_options *options, cis_result **out_result,
                         struct cis_error *err)
{
    CIS_TRY(cis_lib_here(skills->runtime, err));
    struct cis_run_options o;
    CIS_TRY(cis_lib_run_options(options, &o, err));
    cis_mutex_lock(&skills->lock, lib_lock_skills);
    struct entry *e = cis_map_get(&skills->entries, cis_str_of(name));
    if (e != NULL) {
        atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    }
    cis_mutex_unlock(&skills->lock, lib_lock_skills);
    if (e == NULL) {
        return cis_fail(err, CIS_E_NOTFOUND, "skill %s: not loaded", name);
    }
    struct cis_str input = {input_json, input_len};
    cis_code code = e->native != NULL ? call_native(e, method, input, &o,
                                                    skills->runtime->max_time_ms, out_result, err)
                                      : call_wasm(skills, e, method, input, o, out_result, err);
    entry_unref(e);
    return code;
}
