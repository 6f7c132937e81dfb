/* Programs: a module whose imports are bound to rows of host functions. */
#include "engine/instance/linked.h"

#include <stdio.h>
#include "base/mem.h"
#include "engine/instance/internal.h"

#define MEMORY_PAGES_MAX 8192u

/* ---- function types ---- */

static wasm_valkind_t valkind(char c)
{
    switch (c) {
    case 'I':
        return WASM_I64;
    case 'f':
        return WASM_F32;
    case 'F':
        return WASM_F64;
    default:
        return WASM_I32;
    }
}

size_t cis_functype_slots(const char *type)
{
    const char *colon = strchr(type, ':');
    size_t params = colon != NULL ? (size_t)(colon - type) : strlen(type);
    size_t results = colon != NULL ? strlen(colon + 1) : 0;
    size_t n = params > results ? params : results;
    return n > 0 ? n : 1;
}

static void valtypes(const char *text, size_t n, wasm_valtype_vec_t *out)
{
    wasm_valtype_vec_new_uninitialized(out, n);
    for (size_t i = 0; i < n; i++) {
        out->data[i] = wasm_valtype_new(valkind(text[i]));
    }
}

/* False for types that host functions do not have: references, vectors, too many. */
static bool functype_ok(const char *type)
{
    size_t len = strlen(type);
    return len == strspn(type, "iIfF:") && strchr(type, ':') != NULL &&
           strchr(type, ':') == strrchr(type, ':') &&
           cis_functype_slots(type) <= CIS_HOSTFN_SLOTS_MAX;
}

static wasm_functype_t *functype(const char *type)
{
    const char *colon = strchr(type, ':');
    wasm_valtype_vec_t params, results;
    valtypes(type, (size_t)(colon - type), &params);
    valtypes(colon + 1, strlen(colon + 1), &results);
    return wasm_functype_new(&params, &results); /* takes both */
}

/* ---- linking ---- */

static void core_free(struct cis_core_program *p)
{
    if (p == NULL) {
        return;
    }
    if (p->pre != NULL) {
        wasmtime_instance_pre_delete(p->pre);
    }
    if (p->linker != NULL) {
        wasmtime_linker_delete(p->linker);
    }
    if (p->memory != NULL) {
        wasm_memorytype_delete(p->memory);
    }
    for (size_t i = 0; i < p->nmade; i++) {
        cis_free(p->made[i].module);
        cis_free(p->made[i].name);
    }
    cis_free(p->made);
    cis_free(p);
}

static void core_freep(struct cis_core_program **p)
{
    core_free(*p);
}

static void free_all(struct cis_engine_module *module)
{
    cis_linked *p = atomic_load(&module->programs);
    while (p != NULL) {
        cis_linked *next = p->next;
        p->kind->free(p);
        p = next;
    }
}

void cis_program_keep(cis_linked *program)
{
    cis_engine_module *module = program->module;
    module->programs_free = free_all;
    program->next = atomic_load(&module->programs);
    atomic_store_explicit(&module->programs, program, memory_order_release);
}

static struct cis_bound bind(const struct cis_hostfn *row, bool metered)
{
    return (struct cis_bound){.handler = row->handler,
                              .row = row,
                              .grant_bit = row->grant != 0 ? 1u << row->grant : 0,
                              .grant = row->grant,
                              .cost = row->cost,
                              .result = strchr(row->type, ':')[1],
                              .metered = metered};
}

static cis_code never_called(cis_engine_instance *instance, union cis_slot *io,
                             struct cis_error *err)
{
    (void)instance;
    (void)io;
    return cis_fail(err, CIS_E_INTERNAL, "a host function that only a recorded run has");
}

const struct cis_hostfn cis_hostfn_missing = {
    .module = "", .name = "", .type = ":", .doc = "an import that nobody provides"};

/* A row for an import as it is; NULL without memory, or for a type that host functions do not
 * have. */
static const struct cis_hostfn *make_row(struct cis_core_program *p,
                                         const cis_engine_module *module,
                                         const struct cis_extern *import)
{
    if (!functype_ok(import->type)) {
        return NULL;
    }
    if (p->made == NULL) {
        p->made = cis_calloc(module->info->nimports, sizeof *p->made);
    }
    if (p->made == NULL) {
        return NULL;
    }
    struct cis_made_row *made = &p->made[p->nmade++];
    made->module = cis_strndup(import->module.ptr, import->module.len);
    made->name = cis_strndup(import->name.ptr, import->name.len);
    made->row = (struct cis_hostfn){.module = made->module,
                                    .name = made->name,
                                    .type = import->type,
                                    .handler = never_called,
                                    .params = "",
                                    .doc = ""};
    return made->module != NULL && made->name != NULL ? &made->row : NULL;
}

static bool is_memory(const struct cis_extern *import)
{
    return import->kind == CIS_EXTERN_MEMORY && cis_str_is(import->module, "env") &&
           cis_str_is(import->name, "memory");
}

struct linking {
    cis_resolver *resolve;
    void *self;
    bool recording;
};

/* Fills in the rows; names the first import that nothing provides and counts the others. */
static cis_code resolve_all(cis_engine_module *module, const struct linking *by,
                            struct cis_core_program *p, struct cis_error *err)
{
    const struct cis_extern *first = NULL;
    size_t missing = 0, memories = 0;
    for (size_t i = 0; i < module->info->nimports; i++) {
        const struct cis_extern *import = &module->info->imports[i];
        if (is_memory(import) && memories++ == 0) {
            continue;
        }
        const struct cis_hostfn *row =
            import->kind == CIS_EXTERN_FUNC ? by->resolve(by->self, import) : NULL;
        if (row == &cis_hostfn_missing) {
            row = make_row(p, module, import);
            if (row != NULL) { /* the trampoline knows it by that it has no handler */
                p->made[p->nmade - 1].row.handler = NULL;
                p->bound[p->nbound++] = bind(row, module->profile->fuel);
                continue;
            }
        }
        if (by->recording && import->kind == CIS_EXTERN_FUNC &&
            (row == NULL || strcmp(row->type, import->type) != 0)) {
            row = make_row(p, module, import);
        }
        if (row == NULL || strcmp(row->type, import->type) != 0) {
            first = first != NULL ? first : import;
            missing++;
            continue;
        }
        if (row->grant >= 16 || row->handler == NULL || !functype_ok(row->type)) {
            return cis_fail(err, CIS_E_INTERNAL, "host function %s.%s: malformed row", row->module,
                            row->name);
        }
        p->bound[p->nbound++] = bind(row, module->profile->fuel);
    }
    if (missing == 0) {
        return CIS_OK;
    }
    char more[48] = "";
    if (missing > 1) {
        snprintf(more, sizeof more, " (and %zu more)", missing - 1);
    }
    return cis_fail(err, CIS_E_IMPORT,
                    "%s: imports " CIS_STR_FMT "." CIS_STR_FMT " (%s), which nothing provides%s",
                    module->name, CIS_STR_ARG(first->module), CIS_STR_ARG(first->name), first->type,
                    more);
}

static cis_code import_memory(cis_engine_module *module, const struct cis_extern *import,
                              struct cis_core_program *p, struct cis_error *err)
{
    uint64_t max = import->max_pages < MEMORY_PAGES_MAX ? import->max_pages : MEMORY_PAGES_MAX;
    if (import->min_pages > MEMORY_PAGES_MAX) {
        return cis_fail(err, CIS_E_IMPORT,
                        "%s: imports env.memory of %llu pages; 1 to %u can be provided",
                        module->name, (unsigned long long)import->min_pages, MEMORY_PAGES_MAX);
    }
    bool wide = strstr(import->type, "i64") != NULL;
    wasmtime_error_t *e =
        wasmtime_memorytype_new(import->min_pages, true, max, wide, false, 16, &p->memory);
    return e == NULL ? CIS_OK : cis_engine_fail(err, CIS_E_IMPORT, module->name, e, NULL);
}

static cis_code define_all(cis_engine_module *module, struct cis_core_program *p,
                           wasmtime_linker_t *linker, struct cis_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < module->info->nimports; i++) {
        const struct cis_extern *import = &module->info->imports[i];
        if (import->kind != CIS_EXTERN_FUNC) {
            CIS_TRY(import_memory(module, import, p, err));
            continue;
        }
        struct cis_bound *b = &p->bound[n++];
        wasm_functype_t *type = functype(b->row->type);
        wasmtime_error_t *e = wasmtime_linker_define_func_unchecked(
            linker, import->module.ptr, import->module.len, import->name.ptr, import->name.len,
            type, cis_trampoline, b, NULL);
        wasm_functype_delete(type);
        if (e != NULL) {
            return cis_engine_fail(err, CIS_E_IMPORT, module->name, e, NULL);
        }
    }
    return CIS_OK;
}

static cis_code build(cis_engine_module *module, struct cis_core_program *p, struct cis_error *err)
{
    wasmtime_linker_t *linker = wasmtime_linker_new(module->profile->wasm);
    wasmtime_linker_allow_shadowing(linker, true); /* a module may import a function twice */
    cis_code code = define_all(module, p, linker, err);
    if (code == CIS_OK && p->memory != NULL) {
        p->linker = cis_take(&linker);
        return CIS_OK;
    }
    if (code == CIS_OK) {
        wasmtime_error_t *e = wasmtime_linker_instantiate_pre(linker, module->module, &p->pre);
        if (e != NULL) {
            code = cis_engine_fail(err, CIS_E_IMPORT, module->name, e, NULL);
        }
    }
    wasmtime_linker_delete(linker);
    return code;
}

/* ---- instances ---- */

/* A memory made by the host is private to the store: mapped for it, unmapped with it, and counted
 * by the limiter like one of the guest's own. The functions come out of the linker in the order of
 * the module's imports. */
static wasmtime_error_t *instantiate_with_memory(cis_engine_instance *instance,
                                                 wasm_trap_t **out_trap)
{
    const struct cis_core_program *p = cis_core_of(instance->program);
    const cis_engine_module *module = p->base.module;
    wasmtime_error_t *e = wasmtime_memory_new(instance->context, p->memory, &instance->memory);
    if (e != NULL) {
        return e;
    }
    instance->has_memory = true;
    size_t n = module->info->nimports;
    wasmtime_extern_t *imports = cis_calloc(n, sizeof *imports);
    if (imports == NULL) {
        (void)cis_engine_instance_ended(instance, CIS_E_NOMEM, NULL, 0, 0, "%s: out of memory",
                                        module->name);
        return wasmtime_error_new("out of memory");
    }
    for (size_t i = 0; i < n && e == NULL; i++) {
        const struct cis_extern *import = &module->info->imports[i];
        if (import->kind == CIS_EXTERN_MEMORY) {
            imports[i].kind = WASMTIME_EXTERN_MEMORY;
            imports[i].of.memory = instance->memory;
        } else if (!wasmtime_linker_get(p->linker, instance->context, import->module.ptr,
                                        import->module.len, import->name.ptr, import->name.len,
                                        &imports[i])) {
            e = wasmtime_error_new("an import is missing in the linker");
        }
    }
    if (e == NULL) {
        e = wasmtime_instance_new(instance->context, module->module, imports, n,
                                  &instance->instance, out_trap);
    }
    cis_free(imports);
    return e;
}

static wasmtime_error_t *instantiate(cis_engine_instance *instance, wasm_trap_t **out_trap)
{
    const struct cis_core_program *p = cis_core_of(instance->program);
    return p->memory != NULL ? instantiate_with_memory(instance, out_trap)
                             : wasmtime_instance_pre_instantiate(p->pre, instance->context,
                                                                 &instance->instance, out_trap);
}

static void kind_free(cis_linked *program)
{
    core_free(cis_core_of(program));
}

static const struct cis_program_kind core_modules = {.instances_max = 4,
                                                     .instantiate = instantiate,
                                                     .instantiated =
                                                         cis_engine_instance_find_memory,
                                                     .free = kind_free};

/* ---- programs of a module ---- */

static bool same_row(const struct cis_bound *a, const struct cis_bound *b)
{
    return a->row == b->row || (a->handler == NULL && b->handler == NULL);
}

static cis_linked *find(cis_engine_module *module, const struct cis_core_program *like)
{
    cis_linked *at = atomic_load_explicit(&module->programs, memory_order_acquire);
    for (; at != NULL; at = at->next) {
        const struct cis_core_program *p = cis_core_of(at);
        size_t i = 0;
        while (i < p->nbound && i < like->nbound && same_row(&p->bound[i], &like->bound[i])) {
            i++;
        }
        if (i == p->nbound && i == like->nbound) {
            return at;
        }
    }
    return NULL;
}

static cis_code link_by(cis_engine_module *module, const struct linking *by,
                        cis_linked **out_program, struct cis_error *err)
{
    if (module->module == NULL) {
        return cis_fail(err, CIS_E_UNSUPPORTED, "%s: is a component, not a core module",
                        module->name);
    }
    CIS_CLEANUP(core_freep)
    struct cis_core_program *p = cis_zalloc(
        cis_size_add(sizeof *p, cis_size_mul(module->info->nimports, sizeof(struct cis_bound))));
    if (p == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", module->name);
    }
    p->base.module = module;
    p->base.kind = &core_modules;
    CIS_TRY(resolve_all(module, by, p, err));
    cis_linked *found = find(module, p);
    if (found == NULL) {
        cis_mutex_lock(&module->programs_lock, engine_lock_programs);
        found = find(module, p);
        uint64_t before = cis_glue_heap_short();
        cis_code code = found == NULL ? build(module, p, err) : CIS_OK;
        code = code == CIS_OK ? cis_engine_enough(before, module->name, err) : code;
        if (code == CIS_OK && found == NULL) {
            found = &cis_take(&p)->base;
            cis_program_keep(found);
        }
        cis_mutex_unlock(&module->programs_lock, engine_lock_programs);
        CIS_TRY(code);
    }
    *out_program = cis_linked_ref(found);
    return CIS_OK;
}

cis_code cis_linked_new(cis_engine_module *module, cis_resolver *resolve, void *self,
                        cis_linked **out_program, struct cis_error *err)
{
    const struct linking by = {resolve, self, false};
    return link_by(module, &by, out_program, err);
}

cis_code cis_linked_new_recorded(cis_engine_module *module, cis_resolver *resolve, void *self,
                                 cis_linked **out_program, struct cis_error *err)
{
    const struct linking by = {resolve, self, true};
    return link_by(module, &by, out_program, err);
}

cis_linked *cis_linked_ref(cis_linked *program)
{
    if (program != NULL) {
        cis_engine_module_ref(program->module);
    }
    return program;
}

void cis_linked_unref(cis_linked *program)
{
    if (program != NULL) {
        cis_engine_module_unref(
            program->module); /* the last one frees the program with the module */
    }
}

cis_engine_module *cis_linked_module(const cis_linked *program)
{
    return program->module;
}
