/* Components: this room owns
 *   - interfaces bound to rows, and what a program of a component has  struct cis_component_program
 *   - types: as text, compared with a row's, as C structs              struct cis_layout
 *   - values: read, built, charged                                     struct cis_val
 *   - the trampolines of typed host calls, and calls of exports
 * It runs nothing by itself: guests, limits and ends are those of engine/instance. Inside the
 * engine only; component.h and value.h are for everybody. */
#ifndef CIS_ENGINE_COMPONENT_IN_H
#define CIS_ENGINE_COMPONENT_IN_H

#include "engine/component/component.h"
#include "engine/instance/internal.h"

#define CIS_TYPE_TEXT_MAX 4096u

/* A row as a component's program uses it: a function's, or a resource's. */
struct cis_bound_iface {
    const struct cis_ifacefn *row;
    const struct cis_iface_resource *resource;
    struct cis_layout *layout; /* of a row whose handler takes structs */
    uint32_t grant_bit;
    bool metered, has_result;
    bool takes_resources;
    uint8_t nargs; /* of a row with a shape */
    uint16_t nof; /* resources that its arguments name, in order; owned list; layouts have theirs */
    const struct cis_iface_resource **of;
    char *missing;            /* nobody provides it: what is said when it is called; owned */
    struct cis_ifacefn *made; /* of a replay: `row`, as the guest imports it; owned */
};

#define CIS_COMPONENT_INSTANCES_MAX 128u /* core instances; tools make one to seven a part */

struct cis_component_program {
    struct cis_linked base;
    wasmtime_component_linker_t *linker;
    struct cis_glue_pre *pre;
    struct cis_bound_iface *ifaces; /* one for each imported function, in order */
    size_t nifaces;
    uint32_t cost; /* cost.c: the most that arguments of its imports have */
    void *owner;   /* of rows that do not live as long as the process; or NULL */
    void (*owner_unref)(void *owner);
    void (*given)(cis_engine_instance *instance, uint32_t kind, uint32_t rep); /* or NULL */
};

/* Of a program whose module is a component. */
static inline struct cis_component_program *cis_component_of(cis_linked *program)
{
    return (struct cis_component_program *)program;
}

/* How an interface calls the resources that its functions name; zero at the start. */
struct cis_type_name {
    wasmtime_component_resource_type_t *type;
    struct cis_str name; /* of the component's type, which outlives it */
    bool provided;       /* by this name in this interface; else it is one that nobody has */
};
struct cis_type_names {
    struct cis_type_name *at;
    size_t n, cap;
};

/* typetext.c: the type as text; a nesting that is too deep or a text that is too long fails out.
 * names may be NULL: then resources are "?". */
void cis_functext(const wasmtime_component_func_type_t *type, const struct cis_type_names *names,
                  struct cis_buf *out);
void cis_type_names_done(struct cis_type_names *names);
const char *cis_type_simple(uint8_t kind); /* "u8"; NULL: it is made of others */
/* typematch.c: is it the type that this text is? Costs no more than the text is long. */
bool cis_functype_fits(const wasmtime_component_func_type_t *type,
                       const struct cis_type_names *names, const char *text);

/* component_walk.c: what a component imports, in order and in one pass. */
struct cis_import {
    struct cis_str interface, name; /* interface "": a function of its own */
    const wasmtime_component_item_t *item;
};
struct cis_import_visitor {
    /* A function or a resource. */
    cis_code (*item)(void *self, const struct cis_import *import, struct cis_error *err);
    /* Before and after those of one interface; end may be NULL. */
    cis_code (*begin)(void *self, struct cis_str interface, struct cis_error *err);
    void (*end)(void *self);
    /* What is neither, and cannot be provided. */
    void (*other)(void *self, struct cis_str interface, struct cis_str name);
    void *self;
};
/* CIS_E_LIMIT: there are too many; CIS_E_DEADLINE, CIS_E_CANCELLED. */
cis_code cis_imports_walk(const cis_engine_module *module, const struct cis_import_visitor *visitor,
                          const struct cis_stop *stop, struct cis_error *err);

/* value.c */
uint8_t cis_val_kind_of(const cis_val *val); /* WASMTIME_COMPONENT_* */
cis_val *cis_val_nth_mut(cis_val *array, size_t i);
cis_val *cis_val_inner_mut(cis_val *val);
/* value_build.c. Memory of values, until the call has returned. */
cis_code cis_val_charge(cis_engine_instance *instance, uint64_t bytes, struct cis_error *err);
void cis_val_set_number(cis_val *out, uint8_t kind, uint64_t n);
void cis_val_set_case(cis_val *out, struct cis_str name, cis_val **out_inner);
/* A record whose fields are named one by one. */
void cis_val_set_fields(cis_val *out, size_t n);
void cis_val_name_field(cis_val *record, size_t i, struct cis_str name);
/* A resource of an argument becomes its rep, and its handle is gone from the engine: a borrowed one
 * is given back, an owned one is the host's from here on. */
cis_code cis_val_take_resource(cis_engine_instance *instance, cis_val *val, uint32_t *out_kind,
                               bool *out_owned, struct cis_error *err);
/* Gives a borrowed one back; drops what an owned one names, as the guest's own drop would. */
cis_code cis_val_drop_resource(cis_engine_instance *instance, cis_val *val, struct cis_error *err);
typedef cis_code cis_val_act(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                             cis_val *val, struct cis_error *err);
/* Of every resource in a value that the engine decoded. */
cis_code cis_val_each_resource(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                               cis_val *val, cis_val_act *act, struct cis_error *err);

/* cost.c: bytes that the host has, for each that the engine counts, of values of these types. What
 * the engine lets through for one call is within a budget divided by it. */
#define CIS_COST_LEAST 3u /* a list of numbers */
uint32_t cis_cost_of_arguments(const wasmtime_component_func_type_t *type);
uint32_t cis_cost_of_result(const wasmtime_component_func_type_t *type);

/* missing.c: imports that are left to trap. */
struct cis_missing_resource {
    wasmtime_component_resource_type_t *type;
    const struct cis_iface_resource *resource;
};
struct cis_missing { /* resources of the imports so far, each once; zero at the start */
    struct cis_missing_resource *at;
    size_t n, cap;
};
extern const struct cis_ifacefn cis_ifacefn_missing;
/* The kind of all resources that nobody provides. */
#define CIS_KIND_UNKNOWN 0xfffffff0u
/* A row of values that is never performed, in one block; owned. */
cis_code cis_missing_row(struct cis_str interface, struct cis_str name, struct cis_str type,
                         struct cis_ifacefn **out, struct cis_error *err);
/* "wasi:x/y@0.2.0.f"; owned. */
cis_code cis_missing_name(struct cis_str interface, struct cis_str name, char **out,
                          struct cis_error *err);
cis_code cis_missing_note(struct cis_missing *m, const wasmtime_component_resource_type_t *type,
                          const struct cis_iface_resource *resource, struct cis_error *err);
/* What this type was noted with; NULL: it is a new one. */
const struct cis_iface_resource *cis_missing_find(const struct cis_missing *m,
                                                  const wasmtime_component_resource_type_t *type);
extern const struct cis_iface_resource cis_resource_unknown; /* never made */
void cis_missing_done(struct cis_missing *m);
wasmtime_error_t *cis_missing_trampoline(void *env, wasmtime_context_t *context,
                                         const wasmtime_component_func_type_t *type,
                                         wasmtime_component_val_t *args, size_t nargs,
                                         wasmtime_component_val_t *results, size_t nresults);

/* The one gate between handles that a guest gives and handlers, for every way that they come: is it
 * of the kind that was linked, and does the host have such a thing there? */
static inline bool cis_handle_fits(cis_engine_instance *instance,
                                   const struct cis_iface_resource *as, uint32_t kind, uint32_t rep)
{
    return kind == as->kind && (as->is == NULL || as->is(instance, kind, rep));
}
/* Ends the run; returns the code of that. */
cis_code cis_handle_refuse(cis_engine_instance *instance, const struct cis_ifacefn *row);

/* component_call.c */
void cis_component_limits(cis_engine_instance *instance);
wasmtime_error_t *cis_component_instantiate(cis_engine_instance *instance, wasm_trap_t **out_trap);
/* As struct cis_program_kind has it. */
bool cis_component_broke(cis_engine_instance *instance, const struct cis_error *text);

/* component_call.c: the callback of every row; env is a struct cis_bound_iface. */
wasmtime_error_t *cis_iface_trampoline(void *env, wasmtime_context_t *context,
                                       const wasmtime_component_func_type_t *type,
                                       wasmtime_component_val_t *args, size_t nargs,
                                       wasmtime_component_val_t *results, size_t nresults);

/* A call of an export, for hooks. */
struct cis_export_call {
    struct cis_str name, text;
    const char *type; /* NULL: a call as text */
    cis_vals *vals;
    size_t nvals;
};

/* component_known.c: what lies in the component and in what there is for it, not in the moment. */
bool cis_link_known(cis_engine_module *module, uint64_t id, struct cis_error *out);
void cis_link_keep(cis_engine_module *module, uint64_t id, const struct cis_error *why);

/* typed.c: how many arguments a function of this shape has, as its handler gets them. */
size_t cis_shape_args(enum cis_shape shape);
wasmtime_error_t *cis_typed_define(wasmtime_component_linker_instance_t *into, struct cis_str name,
                                   struct cis_bound_iface *bound);
wasmtime_error_t *cis_resource_define(wasmtime_component_linker_instance_t *into,
                                      struct cis_str name, struct cis_bound_iface *bound);

#endif
