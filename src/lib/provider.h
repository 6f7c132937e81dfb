/* Inside lib/: interfaces that an embedder provides, and what a run of them holds. */
#ifndef CIS_LIB_PROVIDER_H
#define CIS_LIB_PROVIDER_H

#include <stdatomic.h>
#include "cis/component.h"
#include "engine/component/component.h"
#include "host/host.h"

#define CIS_LIB_PROVIDERS_MAX 8u /* of one run */
/* Kinds of resources, apart from those of WASI; never used twice in a process. */
#define CIS_LIB_FIRST_KIND 0x100000u

struct cis_lib_interface {
    char *text;          /* "acme:shop/orders@1.2.0" */
    struct cis_str path; /* of text: before the version */
    struct cis_str version;
};

/* A row, with what an embedder's function needs. */
struct cis_lib_function {
    struct cis_ifacefn row; /* its texts are the three below */
    char *in, *name, *type;
    const struct cis_lib_interface *interface;
    cis_provider *provider;
    cis_wit_fn *call;
    void *self;
    size_t nargs;
};

struct cis_lib_resource {
    struct cis_iface_resource row;
    char *name; /* the row's */
    const cis_provider *provider;
    const struct cis_lib_interface *interface;
    cis_wit_drop_fn *drop;
    void *self;
};

struct cis_lib_list { /* owns what it points to; a thing never moves */
    void **at;
    size_t n;
};
struct cis_provider {
    atomic_uint refs;
    struct cis_error first;         /* what the first failed step said */
    struct cis_lib_list interfaces; /* struct cis_lib_interface, in the order they were named */
    struct cis_lib_list functions;  /* struct cis_lib_function */
    struct cis_lib_list resources;  /* struct cis_lib_resource */
};

/* The providers of one run, counted: programs that were linked with them keep them. */
struct cis_lib_set {
    atomic_uint refs;
    uint64_t id; /* never used twice in a process */
    size_t n;
    cis_provider *at[CIS_LIB_PROVIDERS_MAX];
};
/* Of a set, which must outlive it. */
struct cis_iface_provider cis_lib_set_provider(struct cis_lib_set *set);
/* A new set with one more; the old one (NULL: none) is given up in any case. CIS_E_EXISTS: somebody
 * provides one of its functions already. */
cis_code cis_lib_set_add(struct cis_lib_set **inout_set, cis_provider *provider,
                         const char *without, uint32_t wasi, struct cis_error *err);
void cis_lib_set_unref(struct cis_lib_set *set);
/* The resource that a function of this interface calls so; *out_own: it is the interface's, not one
 * of another of its package. */
const struct cis_lib_resource *cis_lib_resource_of(const cis_provider *provider,
                                                   struct cis_str interface, struct cis_str name,
                                                   bool *out_own);

/* ---- objects of a run ---- */
/* What handles of the guest stand for. One run, one thread. */
struct cis_lib_object {
    void *object;
    const struct cis_lib_resource *type; /* NULL: a free entry */
    uint32_t next;                       /* free entry, or given one */
    bool given, taken;
};
struct cis_lib_embedder {
    void *data; /* of cis_wasi_config_data */
    struct cis_lib_object *at;
    uint32_t n, cap, free, given; /* entry 0 is not used */
    uint64_t charged;
};
#define CIS_LIB_OBJECTS_MAX 1000000u
cis_code cis_lib_object_new(cis_engine_instance *instance, const struct cis_lib_resource *type,
                            void *object, uint32_t *out_rep, struct cis_error *err);
struct cis_lib_object *cis_lib_object_at(cis_engine_instance *instance,
                                         uint32_t rep); /* NULL: there is none */
/* Forgets it without a word to its owner. */
void cis_lib_object_forget(cis_engine_instance *instance, uint32_t rep);
/* After a function: what was handed over and not taken is dropped. */
void cis_lib_objects_settle(cis_engine_instance *instance);
/* At the end of the run: drops all that is left. */
void cis_lib_embedder_done(struct cis_lib_embedder *embedder);
/* Callbacks of a resource's row. */
cis_code cis_lib_object_drop(cis_engine_instance *instance, uint32_t rep, struct cis_error *err);
bool cis_lib_object_is(cis_engine_instance *instance, uint32_t kind, uint32_t rep);
void cis_lib_object_given(cis_engine_instance *instance, uint32_t kind, uint32_t rep);

/* wit.c: the handler of every function. */
cis_ifacefn_handler cis_lib_wit_handler;

/* A function's type as the engine writes it: without names of parameters, with its own spaces.
 * CIS_E_USAGE: that is no type of a function. */
cis_code cis_lib_type_text(const char *text, struct cis_buf *out, size_t *out_nargs,
                           struct cis_error *err);

#endif
