/* The imports of a component, told one after the other: how many there may be, and when to stop. */
#include "engine/component/component_in.h"

/* A type that is written once can be imported a thousand times: this bounds what a few bytes of a
 * component can make the host look at. The largest real ones have some hundred. */
#define ITEMS_MAX 10000u
#define LOOK 256u /* items between two looks at the clock */

struct walk {
    const cis_engine_module *module;
    const struct cis_import_visitor *visitor;
    const struct cis_stop *stop;
    struct cis_str interface; /* that is being told */
    bool inside;
    uint32_t items;
    cis_code code;
    struct cis_error *err;
};

static void leave(struct walk *w)
{
    if (w->inside && w->visitor->end != NULL) {
        w->visitor->end(w->visitor->self);
    }
    w->inside = false;
}

static cis_code enter(struct walk *w, struct cis_str name)
{
    w->interface = name;
    w->inside = true;
    return w->visitor->begin(w->visitor->self, name, w->err);
}

static cis_code one(struct walk *w, struct cis_str outer, struct cis_str name,
                    const wasmtime_component_item_t *item)
{
    const struct cis_import_visitor *v = w->visitor;
    bool own = outer.len == 0, resource = item->kind == WASMTIME_COMPONENT_ITEM_RESOURCE;
    if (own) {
        leave(w);
    }
    if (item->kind == WASMTIME_COMPONENT_ITEM_TYPE) {
        return CIS_OK; /* another name for a plain type */
    }
    if (own && item->kind == WASMTIME_COMPONENT_ITEM_COMPONENT_INSTANCE) {
        return enter(w, name);
    }
    if (item->kind == WASMTIME_COMPONENT_ITEM_COMPONENT_FUNC || (resource && !own)) {
        const struct cis_import import = {own ? CIS_STR("") : w->interface, name, item};
        return v->item(v->self, &import, w->err);
    }
    v->other(v->self, own ? name : w->interface, own ? CIS_STR("") : name);
    return CIS_OK;
}

static bool visit(void *self, const char *outer, size_t outer_len, const char *name,
                  size_t name_len, const wasmtime_component_item_t *item)
{
    struct walk *w = self;
    if (w->items++ == ITEMS_MAX) {
        w->code =
            cis_fail(w->err, CIS_E_LIMIT, "%s: imports more than %u functions, resources and types",
                     w->module->name, ITEMS_MAX);
    } else if (w->items % LOOK == 0 && w->stop != NULL) {
        w->code = cis_stop_check(w->stop, "link", w->err);
    }
    if (w->code == CIS_OK) {
        w->code =
            one(w, (struct cis_str){outer, outer_len}, (struct cis_str){name, name_len}, item);
    }
    return w->code == CIS_OK;
}

cis_code cis_imports_walk(const cis_engine_module *module, const struct cis_import_visitor *visitor,
                          const struct cis_stop *stop, struct cis_error *err)
{
    struct walk w = {.module = module, .visitor = visitor, .stop = stop, .err = err};
    cis_glue_component_imports(module->component, visit, &w);
    leave(&w);
    return w.code;
}
