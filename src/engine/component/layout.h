/* The C structs of rows whose handlers take structs. Inside the engine only. */
#ifndef CIS_ENGINE_LAYOUT_H
#define CIS_ENGINE_LAYOUT_H

#include "engine/component/component_in.h"

#define CIS_LAYOUT_MAX 1024u    /* bytes of the arguments, and of the result */
#define CIS_LAYOUT_NOTHING 255u /* a case without a payload */

/* One type in a tree of them; its place in the struct around it. */
struct cis_layout_node {
    uint8_t kind; /* WASMTIME_COMPONENT_*, CIS_LAYOUT_NOTHING */
    bool owned;   /* a resource that is handed over */
    uint16_t nkids;
    uint32_t first, next; /* children, siblings; 0: none */
    uint32_t offset, size, align;
    const struct cis_iface_resource *resource;
    struct cis_str name; /* of a field or a case */
};

struct cis_layout {
    struct cis_layout_node *nodes;
    uint32_t n;
    uint32_t args, result; /* result 0: none */
};

/* Of a row with `structs`, in the interface that the guest imports. CIS_E_INTERNAL: the text does
 * not parse, the sizes are others, or it names a resource that the provider does not have there. */
cis_code cis_layout_new(const struct cis_ifacefn *row, const struct cis_iface_provider *from,
                        struct cis_str interface, struct cis_layout **out_layout,
                        struct cis_error *err);
void cis_layout_free(struct cis_layout *layout);

/* layout_val.c. Memory of lists that were decoded, until the call is over; zero at the start. */
struct cis_layout_lists {
    void *first;
};
void cis_layout_lists_done(struct cis_layout_lists *lists);
/* Values into the struct at `to`; borrowed and owned handles are given back to the engine. */
cis_code cis_layout_decode(cis_engine_instance *instance, const struct cis_layout *layout,
                           cis_val *args, struct cis_layout_lists *lists, uint8_t *to,
                           struct cis_error *err);
cis_code cis_layout_encode(cis_engine_instance *instance, const struct cis_layout *layout,
                           const uint8_t *from, cis_val *result, struct cis_error *err);
/* The result's own error, with this case. False: the type has no such thing. */
bool cis_layout_denied(const struct cis_layout *layout, uint32_t error, uint8_t *result);

#endif
