/* Components: which row serves which function of an imported interface. The calls themselves are in
 * component_call.c. */
#include "engine/component/component.h"

#include <stdio.h>
#include "base/mem.h"
#include "engine/component/layout.h"

/* Programs of one module whose rows have an owner: each was linked with others, and none goes
 * before the module does. */
#define OWNED_MAX 64u
#define OTHER_TYPE " with another type"

static void bound_free(struct cis_bound_iface *bound, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cis_layout_free(bound[i].layout);
        cis_free(bound[i].of);
        cis_free(bound[i].missing);
        cis_free(bound[i].made);
    }
    cis_free(bound);
}

/* ---- finding rows ---- */

struct link {
    cis_engine_module *module;
    const struct cis_iface_provider *from;
    const struct cis_stop *stop;
    struct cis_bound_iface *bound;    /* found so far */
    struct cis_bound_iface *defining; /* a program's, in the second walk */
    struct cis_type_names names;      /* of the interface that is being walked */
    struct cis_missing resources;     /* of all */
    size_t n, cap, missing;
    uint32_t cost;   /* of the arguments of what was defined */
    char first[160]; /* the first import that cannot be provided */
    wasmtime_component_linker_instance_t *root, *into; /* in the second walk */
};

static bool takes_unknown(const struct link *l)
{
    return l->from->trap_unknown || l->from->recorded;
}

static const wasm_engine_t *engine_of(const cis_engine_module *module)
{
    return module->profile->wasm;
}

static void lacks(struct link *l, struct cis_str interface, struct cis_str name, const char *why)
{
    if (l->missing++ == 0) {
        int i = interface.len > 64 ? 64 : (int)interface.len;
        int n = name.len > 48 ? 48 : (int)name.len;
        snprintf(l->first, sizeof l->first, "%.*s%s%.*s%s", i, interface.ptr,
                 name.len != 0 ? "." : "", n, name.ptr, why);
    }
}

static bool well_formed(const struct cis_ifacefn *row)
{
    return row->grant < 16 &&
           (row->shape != CIS_SHAPE_VALUES ? row->typed != NULL
            : row->structs != NULL
                ? row->handler == NULL
                : row->handler != NULL && (row->grant == 0 || row->refuse != NULL));
}

static cis_code bind(struct link *l, struct cis_bound_iface bound, struct cis_error *err)
{
    if (l->n == l->cap) {
        size_t cap = cis_cap_next(l->cap, 32, CIS_MEM_MAX);
        struct cis_bound_iface *more = cis_realloc_array(l->bound, cap, sizeof *more);
        if (more == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", l->module->name);
        }
        l->bound = more;
        l->cap = cap;
    }
    l->bound[l->n++] = bound;
    return CIS_OK;
}

/* In its arguments, which end where the result begins. */
static bool takes_resources(const char *type)
{
    const char *end = strstr(type, ") -> "), *own = strstr(type, "own<"),
               *borrow = strstr(type, "borrow<");
    return (own != NULL && (end == NULL || own < end)) ||
           (borrow != NULL && (end == NULL || borrow < end));
}

static cis_code bind_row(struct link *l, const struct cis_ifacefn *row, struct cis_error *err)
{
    if (!well_formed(row)) {
        return cis_fail(err, CIS_E_INTERNAL, "host function %s.%s: malformed row", row->interface,
                        row->name);
    }
    return bind(l,
                (struct cis_bound_iface){.row = row,
                                         .grant_bit = row->grant != 0 ? 1u << row->grant : 0,
                                         .metered = l->module->profile->fuel,
                                         .has_result = strstr(row->type, ") -> ") != NULL,
                                         .takes_resources = takes_resources(row->type)},
                err);
}

/* Counts "own<NAME>" and "borrow<NAME>" among its arguments, and tells the n-th name. */
static size_t resources_of(const char *type, size_t n, struct cis_str *out_name)
{
    size_t found = 0;
    const char *end = strstr(type, ") -> ");
    for (const char *at = strchr(type, '<'); at != NULL && (end == NULL || at < end);
         at = strchr(at + 1, '<')) {
        size_t before = (size_t)(at - type);
        if ((before >= 3 && memcmp(at - 3, "own", 3) == 0) ||
            (before >= 6 && memcmp(at - 6, "borrow", 6) == 0)) {
            if (found++ == n) {
                *out_name = (struct cis_str){at + 1, strcspn(at + 1, ">")};
            }
        }
    }
    return found;
}

/* What handles that come are compared with. A row with structs has it in its layout. */
static cis_code find_resources(struct link *l, struct cis_str interface,
                               struct cis_bound_iface *bound, struct cis_error *err)
{
    const struct cis_ifacefn *row = bound->row;
    struct cis_str name = {"", 0};
    size_t n = resources_of(row->type, SIZE_MAX, &name);
    bound->nargs = (uint8_t)cis_shape_args(row->shape);
    if (n == 0 || (row->structs != NULL && row->shape == CIS_SHAPE_VALUES)) {
        return CIS_OK;
    }
    bound->of = cis_calloc(n, sizeof *bound->of);
    if (bound->of == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", l->module->name);
    }
    for (; bound->nof < n; bound->nof++) {
        resources_of(row->type, bound->nof, &name);
        bound->of[bound->nof] =
            l->from->resource != NULL ? l->from->resource(l->from->self, interface, name) : NULL;
        if (bound->of[bound->nof] == NULL) {
            return cis_fail(err, CIS_E_INTERNAL, "host function %s.%s: malformed row",
                            row->interface, row->name);
        }
    }
    return CIS_OK;
}

static cis_code bind_missing(struct link *l, struct cis_str interface, struct cis_str name,
                             struct cis_error *err)
{
    struct cis_bound_iface bound = {.row = &cis_ifacefn_missing,
                                    .metered = l->module->profile->fuel};
    CIS_TRY(cis_missing_name(interface, name, &bound.missing, err));
    cis_code code = bind(l, bound, err);
    if (code != CIS_OK) {
        cis_free(bound.missing);
    }
    return code;
}

static cis_code bind_recorded(struct link *l, struct cis_str interface, struct cis_str name,
                              const wasmtime_component_func_type_t *type, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_TYPE_TEXT_MAX);
    struct cis_ifacefn *row = NULL;
    cis_functext(type, &l->names, &text);
    if (text.failed == CIS_E_NOMEM) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", l->module->name);
    }
    /* A type that no text holds was never provided either. */
    struct cis_str shown = text.failed == CIS_OK ? cis_buf_view(&text) : CIS_STR("func()");
    CIS_TRY(cis_missing_row(interface, name, shown, &row, err));
    cis_code code = bind_row(l, row, err);
    if (code != CIS_OK) {
        cis_free(row);
        return code;
    }
    l->bound[l->n - 1].made = row;
    return CIS_OK;
}

/* Of one module, the n-th import is always the same: a program that has this row there was linked
 * after their types were compared. An import that is missing shifts the rest, and fails it all. */
static bool checked(const struct link *l, const struct cis_ifacefn *row)
{
    cis_linked *at = atomic_load_explicit(&l->module->programs, memory_order_acquire);
    for (; at != NULL; at = at->next) {
        const struct cis_component_program *p = cis_component_of(at);
        if (l->n < p->nifaces && p->ifaces[l->n].row == row) {
            return true;
        }
    }
    return false;
}

static cis_code resolve_func(struct link *l, struct cis_str interface, struct cis_str name,
                             const wasmtime_component_func_type_t *type, struct cis_error *err)
{
    const struct cis_ifacefn *row = l->from->function(l->from->self, interface, name);
    if (row == NULL && l->from->recorded) {
        return bind_recorded(l, interface, name, type, err);
    }
    if (row == NULL && l->from->trap_unknown) {
        return bind_missing(l, interface, name, err);
    }
    if (row == NULL) {
        const char *off =
            l->from->off != NULL ? l->from->off(l->from->self, interface, name) : NULL;
        lacks(l, interface, name, off != NULL ? off : "");
        return CIS_OK;
    }
    if (!checked(l, row) && !cis_functype_fits(type, &l->names, row->type)) {
        lacks(l, interface, name, OTHER_TYPE);
        return CIS_OK;
    }
    CIS_TRY(bind_row(l, row, err));
    return find_resources(l, interface, &l->bound[l->n - 1], err);
}

/* The functions behind it name it so. */
static cis_code note_resource(struct cis_type_names *names, struct cis_str name, bool provided,
                              const wasmtime_component_resource_type_t *type, struct cis_error *err)
{
    if (names->n == names->cap) {
        size_t cap = cis_cap_next(names->cap, 8, CIS_MEM_MAX);
        struct cis_type_name *more = cis_realloc_array(names->at, cap, sizeof *more);
        if (more == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "link: out of memory");
        }
        names->at = more;
        names->cap = cap;
    }
    names->at[names->n++] =
        (struct cis_type_name){wasmtime_component_resource_type_clone(type), name, provided};
    return CIS_OK;
}

/* One resource of the guest is one of the host, whatever interfaces call it. */
static cis_code resolve_resource(struct link *l, struct cis_str interface, struct cis_str name,
                                 const wasmtime_component_resource_type_t *type,
                                 struct cis_error *err)
{
    const struct cis_iface_resource *found =
        l->from->resource != NULL ? l->from->resource(l->from->self, interface, name) : NULL;
    const struct cis_iface_resource *before = cis_missing_find(&l->resources, type);
    bool provided = found != NULL;
    if (provided && before != NULL && before->kind != found->kind) {
        lacks(l, interface, name, " as another resource");
        return CIS_OK;
    }
    if (found == NULL && takes_unknown(l)) {
        found = before != NULL ? before : &cis_resource_unknown;
    }
    if (found == NULL) {
        lacks(l, interface, name, "");
        return CIS_OK;
    }
    if (before == NULL) {
        CIS_TRY(cis_missing_note(&l->resources, type, found, err));
    }
    CIS_TRY(note_resource(&l->names, name, provided, type, err));
    return bind(l, (struct cis_bound_iface){.resource = found}, err);
}

static cis_code on_resolve(void *self, const struct cis_import *import, struct cis_error *err)
{
    struct link *l = self;
    if (import->interface.len == 0 && !takes_unknown(l)) {
        lacks(l, import->name, CIS_STR(""), "");
        return CIS_OK;
    }
    return import->item->kind == WASMTIME_COMPONENT_ITEM_RESOURCE
               ? resolve_resource(l, import->interface, import->name, import->item->of.resource,
                                  err)
               : resolve_func(l, import->interface, import->name, import->item->of.component_func,
                              err);
}

static cis_code on_begin(void *self, struct cis_str interface, struct cis_error *err)
{
    (void)self, (void)interface, (void)err;
    return CIS_OK;
}

static void on_end(void *self)
{
    cis_type_names_done(&((struct link *)self)->names);
}

static void on_other(void *self, struct cis_str interface, struct cis_str name)
{
    lacks(self, interface, name, "");
}

static cis_code resolve_all(struct link *l, struct cis_error *err)
{
    const struct cis_import_visitor visitor = {on_resolve, on_begin, on_end, on_other, l};
    cis_code code = cis_imports_walk(l->module, &visitor, l->stop, err);
    cis_missing_done(&l->resources);
    return code;
}

/* ---- defining them, in the same order ---- */

static cis_code failed(const struct link *l, wasmtime_error_t *e, struct cis_error *err)
{
    return e == NULL ? CIS_OK : cis_engine_fail(err, CIS_E_IMPORT, l->module->name, e, NULL);
}

/* Are its arguments values of the engine? Those of a function with a shape are not. */
static bool decodes(const struct cis_bound_iface *bound)
{
    return bound->missing != NULL ||
           (bound->resource == NULL && bound->row->shape == CIS_SHAPE_VALUES);
}

static cis_code on_define(void *self, const struct cis_import *import, struct cis_error *err)
{
    struct link *l = self;
    struct cis_bound_iface *bound = &l->defining[l->n++];
    struct cis_str name = import->name;
    wasmtime_component_linker_instance_t *into = import->interface.len == 0 ? l->root : l->into;
    if (bound->row != NULL && bound->row->shape == CIS_SHAPE_VALUES &&
        bound->row->structs != NULL) {
        CIS_TRY(cis_layout_new(bound->row, l->from, import->interface, &bound->layout, err));
    }
    wasmtime_error_t *e =
        bound->missing != NULL ? wasmtime_component_linker_instance_add_func(
                                     into, name.ptr, name.len, cis_missing_trampoline, bound, NULL)
        : bound->resource != NULL ? cis_resource_define(into, name, bound)
        : bound->row->shape != CIS_SHAPE_VALUES
            ? cis_typed_define(into, name, bound)
            : wasmtime_component_linker_instance_add_func(into, name.ptr, name.len,
                                                          cis_iface_trampoline, bound, NULL);
    if (decodes(bound)) {
        uint32_t cost = cis_cost_of_arguments(import->item->of.component_func);
        l->cost = cost > l->cost ? cost : l->cost;
    }
    return failed(l, e, err);
}

static cis_code on_define_begin(void *self, struct cis_str interface, struct cis_error *err)
{
    struct link *l = self;
    return failed(l,
                  wasmtime_component_linker_instance_add_instance(l->root, interface.ptr,
                                                                  interface.len, &l->into),
                  err);
}

static void on_define_end(void *self)
{
    struct link *l = self;
    if (l->into != NULL) {
        wasmtime_component_linker_instance_delete(l->into);
    }
    l->into = NULL;
}

/* ---- programs ---- */

static void program_free(cis_linked *program)
{
    struct cis_component_program *p = cis_component_of(program);
    cis_glue_pre_free(p->pre);
    if (p->linker != NULL) {
        wasmtime_component_linker_delete(p->linker);
    }
    bound_free(p->ifaces, p->nifaces);
    if (p->owner != NULL) {
        p->owner_unref(p->owner);
    }
    cis_free(p);
}

static const struct cis_program_kind components = {.instances_max = CIS_COMPONENT_INSTANCES_MAX,
                                                   .limits = cis_component_limits,
                                                   .instantiate = cis_component_instantiate,
                                                   .broke = cis_component_broke,
                                                   .free = program_free};

/* ---- linking ---- */

static cis_code define(struct link *l, struct cis_component_program *p, struct cis_error *err)
{
    const struct cis_import_visitor visitor = {on_define, on_define_begin, on_define_end, on_other,
                                               l};
    p->linker = wasmtime_component_linker_new(engine_of(l->module));
    l->root = wasmtime_component_linker_root(p->linker);
    l->n = 0;
    l->cost = CIS_COST_LEAST;
    l->defining = p->ifaces;
    cis_code code = cis_imports_walk(l->module, &visitor, l->stop, err);
    l->n = 0;
    p->cost = l->cost;
    wasmtime_component_linker_instance_delete(l->root);
    code = code == CIS_OK && l->stop != NULL ? cis_stop_check(l->stop, "link", err) : code;
    return code == CIS_OK
               ? failed(l, cis_glue_pre_new(p->linker, l->module->component, &p->pre), err)
               : code;
}

/* Two rows that were made for the same import are the same. */
static bool same(const struct cis_bound_iface *a, const struct cis_bound_iface *b)
{
    return a->resource == b->resource && (a->row == b->row || (a->made != NULL && b->made != NULL));
}

static cis_linked *find(const cis_engine_module *module, const struct link *l)
{
    cis_linked *at = atomic_load_explicit(&module->programs, memory_order_acquire);
    for (; at != NULL; at = at->next) {
        const struct cis_component_program *p = cis_component_of(at);
        size_t i = 0;
        while (i < p->nifaces && i < l->n && same(&p->ifaces[i], &l->bound[i])) {
            i++;
        }
        if (i == p->nifaces && i == l->n) {
            return at;
        }
    }
    return NULL;
}

static cis_code make(struct link *l, cis_linked **out, struct cis_error *err)
    CIS_REQUIRES(engine_lock_programs)
{
    struct cis_component_program *p = cis_zalloc(sizeof *p);
    if (p == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", l->module->name);
    }
    if (l->from->owner != NULL && l->module->owned_programs == OWNED_MAX) {
        cis_free(p);
        return cis_fail(err, CIS_E_LIMIT,
                        "%s: is linked with %u sets of provided interfaces already, which is the "
                        "maximum; make one set and use it again",
                        l->module->name, OWNED_MAX);
    }
    if (l->from->owner != NULL) {
        l->module->owned_programs++;
        l->from->ref(l->from->owner);
        p->owner = l->from->owner;
        p->owner_unref = l->from->unref;
        p->given = l->from->given;
    }
    p->base.module = l->module;
    p->base.kind = &components;
    p->ifaces = l->bound;
    p->nifaces = l->n;
    l->bound = NULL; /* the program's from here on */
    l->n = 0;
    uint64_t before = cis_glue_heap_short();
    cis_code code = define(l, p, err);
    code = code == CIS_OK ? cis_engine_enough(before, l->module->name, err) : code;
    if (code != CIS_OK) {
        program_free(&p->base);
        return code;
    }
    cis_program_keep(&p->base);
    *out = &p->base;
    return CIS_OK;
}

static cis_code link_now(struct link *l, cis_linked **out, struct cis_error *err)
{
    CIS_TRY(resolve_all(l, err));
    if (l->missing != 0) {
        char more[48] = "";
        if (l->missing > 1) {
            snprintf(more, sizeof more, " (and %zu more)", l->missing - 1);
        }
        return cis_fail(
            err, CIS_E_IMPORT,
            "%s: imports %s, which nothing provides%s: a matching implementation was not "
            "found in the linker",
            l->module->name, l->first, more);
    }
    cis_mutex_lock(&l->module->programs_lock, engine_lock_programs);
    cis_linked *found = find(l->module, l);
    cis_code code = found == NULL ? make(l, &found, err) : CIS_OK;
    if (code == CIS_OK) {
        *out = cis_linked_ref(found);
    }
    cis_mutex_unlock(&l->module->programs_lock, engine_lock_programs);
    return code;
}

cis_code cis_component_link(cis_engine_module *module, const struct cis_iface_provider *provider,
                            const struct cis_stop *stop, cis_linked **out_program,
                            struct cis_error *err)
{
    struct cis_error why = {0};
    if (module->component == NULL) {
        return cis_fail(err, CIS_E_UNSUPPORTED, "%s: is a core module, not a component",
                        module->name);
    }
    cis_code code = CIS_OK;
    if (cis_link_known(module, provider->id, &why)) {
        code = why.code;
    } else {
        struct link l = {.module = module, .from = provider, .stop = stop};
        code = link_now(&l, out_program, &why);
        bound_free(l.bound, l.n);
        cis_missing_done(&l.resources);
        cis_link_keep(module, code != CIS_OK ? provider->id : 0, &why);
    }
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    return code;
}

cis_code cis_component_export_type(cis_engine_module *module, struct cis_str name,
                                   struct cis_buf *out, struct cis_error *err)
{
    wasmtime_component_item_t item;
    bool found = false;
    if (module->component != NULL) {
        wasmtime_component_type_t *type = wasmtime_component_type(module->component);
        if (wasmtime_component_type_export_get(type, engine_of(module), name.ptr, name.len,
                                               &item)) {
            found = item.kind == WASMTIME_COMPONENT_ITEM_COMPONENT_FUNC;
            if (found) {
                cis_functext(item.of.component_func, NULL, out);
            }
            wasmtime_component_item_delete(&item);
        }
        wasmtime_component_type_delete(type);
    }
    if (!found) {
        return cis_fail(err, CIS_E_NOTFOUND, "%s: exports no function " CIS_STR_FMT, module->name,
                        CIS_STR_ARG(name));
    }
    return cis_buf_check(out, "type of an export", err);
}
