/* Components made of components: plugs in a socket, or what a text in the WAC language says.
 * Reading hostile parts can cost as much as compiling them, so that is the compiler's work: a child
 * process with limits does it, where there is a compiler. Any threads. */
#ifndef CIS_ENGINE_COMPOSE_H
#define CIS_ENGINE_COMPOSE_H

#include "base/crypto.h"
#include "engine/code/module.h"

#define CIS_COMPOSE_PARTS_MAX 1000u
#define CIS_COMPOSE_NAME_MAX 256u
#define CIS_COMPOSE_TEXT_MAX (1u << 20) /* of WAC */
#define CIS_COMPOSED_MAX (256u << 20)   /* bytes of a result */

struct cis_compose_part {
    struct cis_str name;   /* of a plug: for messages and inside the result; of a WAC text: the
                            * package, "acme:tools" or "acme:tools@1.2.0" */
    struct cis_bytes wasm; /* binary or text */
    /* Not 0: an open regular file, whose wasm.len bytes they are (wasm.ptr is NULL). The child
     * reads them, not its parent. Only for cis_composition_make. */
    int file;
};
#define CIS_COMPOSE_FILES_MAX 15u /* parts that are files */

struct cis_composition {
    const struct cis_compose_part *parts; /* without a text: the socket first, then its plugs */
    size_t nparts;
    struct cis_str wac; /* ptr NULL: plugs */
    /* Not 0: an open file that is empty. The result is written to it, and *out stays empty. After
     * a failure anything may be in it. Only for cis_composition_make. */
    int to;
};

/* Plugs are joined by interface: what the socket or a plug imports, and a plug exports, by the same
 * name or a compatible version. Each is instantiated once, and shared. The same composition gives
 * the same bytes. *out_json (may be NULL): the scan of the result, "composed" says what is where.
 * options: name is the WAC text's, for messages; features as for a scan. CIS_E_INVALID with the
 * reason (a type that differs, two that export the same, a circle, a plug that nothing needs). */
cis_code cis_composition_make(const struct cis_composition *c,
                              const struct cis_engine_module_options *options, struct cis_buf *out,
                              struct cis_buf *out_json, struct cis_error *err);
/* The same with the compiler and the limits of an engine, in a turn among its compilers. */
cis_code cis_engine_compose(cis_engine *engine, const struct cis_composition *c,
                            const struct cis_engine_module_options *options, struct cis_buf *out,
                            struct cis_buf *out_json, struct cis_error *err);
/* What a part is called by its file: "a/wasi-socket-adapter.component.wasm" is wasi-socket-adapter.
 * It goes into the component. Yours to free; NULL: out of memory. */
char *cis_compose_name_of(const char *path);
/* The module of a composition. Composed only when it has to be: not when the hash of its result is
 * remembered in the cache, and the result is compiled. *out_composed (may be NULL; empty when
 * nothing had to be composed) takes the result. */
cis_code cis_engine_module_load_composed(cis_engine *engine, const struct cis_composition *c,
                                         const struct cis_engine_module_options *options,
                                         cis_engine_module **out_module, struct cis_error *err);

#endif
