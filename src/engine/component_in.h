/* Inside the engine room: components. Not included outside src/engine. */
#ifndef CIS_ENGINE_COMPONENT_IN_H
#define CIS_ENGINE_COMPONENT_IN_H

#include "engine/component.h"
#include "engine/guest_in.h"

#define CIS_TYPE_TEXT_MAX 4096u

/* A row as a component's program uses it: a function's, or a resource's. */
struct cis_bound_iface {
    const struct cis_ifacefn *row;
    const struct cis_iface_resource *resource;
    uint32_t grant_bit;
    bool metered, has_result;
};

/* typetext.c: the type as text; a nesting that is too deep or a text that is too long fails out. */
void cis_functext(const wasmtime_component_func_type_t *type, struct cis_buf *out);

/* component_call.c: the callback of every row; env is a struct cis_bound_iface. */
wasmtime_error_t *cis_iface_trampoline(void *env, wasmtime_context_t *context,
                                       const wasmtime_component_func_type_t *type,
                                       wasmtime_component_val_t *args, size_t nargs,
                                       wasmtime_component_val_t *results, size_t nresults);

/* typed.c: the callback of every row with a shape; env is a struct cis_bound_iface. */
bool cis_typed_trampoline(void *env, void *data, const struct cis_glue_arg *args,
                          struct cis_glue_out *out);
wasmtime_error_t *cis_typed_define(wasmtime_component_linker_instance_t *into, struct cis_str name,
                                   struct cis_bound_iface *bound);
wasmtime_error_t *cis_resource_define(wasmtime_component_linker_instance_t *into,
                                      struct cis_str name, struct cis_bound_iface *bound);

#endif
