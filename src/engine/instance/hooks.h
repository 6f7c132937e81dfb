/* What is called around a guest that somebody watches: a recorder, who writes down all that the
 * host does to it, or a player, who does it again (engine/recording/recording.h). Instances and
 * components call these and know nothing else of them. A guest that nobody watches has
 * none: its calls cost one look at a pointer. Every hook may be NULL. On the guest's thread. Inside
 * the engine only. */
#ifndef CIS_ENGINE_HOOKS_H
#define CIS_ENGINE_HOOKS_H

#include "engine/instance/instance.h"

struct cis_bound;       /* instance.h */
struct cis_bound_iface; /* these: component_in.h, component.h */
struct cis_export_call;
struct cis_iface_resource;
struct cis_typed;
struct cis_answer;
struct cis_val;

/* The host calls themselves, for hooks that stand around them. The code is that of the guest's end,
 * which is recorded. */
typedef cis_code cis_core_perform(cis_engine_instance *instance, const struct cis_bound *bound,
                                  union cis_slot *io);
typedef cis_code cis_typed_perform(cis_engine_instance *instance,
                                   const struct cis_bound_iface *bound,
                                   const struct cis_typed *args, struct cis_answer *out);
typedef cis_code cis_values_perform(cis_engine_instance *instance,
                                    const struct cis_bound_iface *bound, struct cis_val *args,
                                    size_t nargs, struct cis_val *result);
typedef cis_code cis_drop_perform(cis_engine_instance *instance,
                                  const struct cis_iface_resource *resource, uint32_t rep);

struct cis_engine_instance_hooks {
    /* ---- the guest and its calls ---- */

    void (*watch)(void *self, cis_engine_instance *instance); /* it is being made; NULL: it goes */
    /* Before its start function; what has begun is followed by `returned`. */
    cis_code (*start)(cis_engine_instance *instance, const struct cis_limits *limits,
                      struct cis_error *err);
    cis_code (*call)(cis_engine_instance *instance, const struct cis_extern *export,
                     const union cis_slot *io, struct cis_error *err);
    /* Results are read when code is CIS_OK. */
    cis_code (*returned)(cis_engine_instance *instance, const char *type, const union cis_slot *io,
                         cis_code code, struct cis_error *err);
    void (*rearm)(cis_engine_instance *instance, uint64_t fuel);
    cis_code (*tick)(
        cis_engine_instance *instance); /* each tick of guest code; a failure ends it */

    /* ---- host calls ---- */

    /* Around perform, or in place of it. */
    cis_code (*host_call)(cis_engine_instance *instance, const struct cis_bound *bound,
                          union cis_slot *io, cis_core_perform *perform);
    /* Whoever looks at the guest now is a trace, not the host; and no longer. */
    void (*pause)(cis_engine_instance *instance, bool on);

    /* ---- memory ---- */

    void (*read)(cis_engine_instance *instance, uint64_t ptr, const void *at, uint64_t len);
    void (*out)(cis_engine_instance *instance, uint64_t ptr,
                uint64_t len); /* the host is going to write there */
    void (*wrote)(cis_engine_instance *instance, uint64_t total);
    void (*shown)(cis_engine_instance *instance, unsigned stream, const void *data, size_t len);
    /* May memory, or a table, grow? Asked before the limits are; then what the answer was. */
    bool (*may_grow)(cis_engine_instance *instance, bool table, uint64_t from, uint64_t to);
    void (*asked)(cis_engine_instance *instance, bool table, uint64_t from, uint64_t to, bool yes);
    /* The host grows it: before, and after. */
    void (*grow)(cis_engine_instance *instance, uint64_t bytes);
    void (*grew)(cis_engine_instance *instance, bool ok, uint64_t ptr);

    /* ---- components ---- */

    bool no_resources; /* nothing is behind handles: they are not looked at */
    /* Around perform, or in place of it. */
    cis_code (*typed)(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                      const struct cis_typed *args, struct cis_answer *out,
                      cis_typed_perform *perform);
    cis_code (*values)(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                       struct cis_val *args, size_t nargs, struct cis_val *result,
                       cis_values_perform *perform);
    cis_code (*dropped)(cis_engine_instance *instance, const struct cis_iface_resource *resource,
                        uint32_t rep, cis_drop_perform *perform);
    /* A call of what nobody provides, which has ended the guest. */
    void (*missing)(cis_engine_instance *instance, const struct cis_bound_iface *bound);
    /* A resource was made for a value: what the engine calls it, and what it is. */
    void (*own)(cis_engine_instance *instance, const void *any, uint32_t kind, uint32_t rep);
    /* Of exports. text: the result of a call as text. */
    cis_code (*export_called)(cis_engine_instance *instance, const struct cis_export_call *call,
                              struct cis_error *err);
    cis_code (*export_returned)(cis_engine_instance *instance, const struct cis_export_call *call,
                                struct cis_bytes text, cis_code code, struct cis_error *err);
};

#endif
