/* Composing: one component made of several.
 *
 *   cis_composed   what was made: its bytes, and what was joined to what; plain data, any thread
 *
 * Plugs are joined by interface: what the socket or a plug imports is given by the plug that
 * exports it, under the same name or a compatible version ("a:b/c@1.4.0" for 1.0.0, 0.2.3 for
 * 0.2.0). Every plug is instantiated once and shared. What nobody exports stays an import of the
 * result, and the exports are the socket's. Or a text in the WAC language says all of it.
 *
 * The result is an ordinary component: cis_module_load takes it, and so does any other runtime. The
 * same parts under the same names give the same bytes. Its parts share one set of grants when it
 * runs: the sandbox is around the whole.
 *
 * Parts may be hostile. They are read by the runtime's compiler, in its limited process, or here
 * with compile_in_process: a hostile part can end this process then. Together they have at most
 * 256 MiB. */
#ifndef CIS_COMPOSE_H
#define CIS_COMPOSE_H

#include "cis/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cis_composed cis_composed;

struct cis_compose_file {
    /* 1 to 256 bytes of UTF-8. Of a socket or a plug: for messages, and kept in the result. Of a
     * text: the package it stands for, "acme:tools" or "acme:tools@1.2.0". */
    const char *name;
    const void *wasm; /* binary or text */
    size_t len;
};

struct cis_compose_options {
    uint32_t size;
    const struct cis_compose_file *files; /* without `wac`: the socket first, then its plugs */
    size_t nfiles;                        /* at most 1,000 */
    const char *wac; /* a text in the WAC language, NUL-terminated, at most 1 MiB; NULL: plugs */
    const char *wac_name; /* for messages: "app.wac"; NULL: "composition" */
    cis_cancel *cancel;   /* borrowed until the call returns; may be NULL */
};
#define CIS_COMPOSE_OPTIONS_INIT                                                                   \
    {                                                                                              \
        .size = sizeof(struct cis_compose_options)                                                 \
    }

/* CIS_E_INVALID with the reason, which names the parts: a type that differs, two plugs that export
 * the same, plugs that need each other in a circle, a plug that nothing needs, a part that is no
 * component; "app.wac:3:9: …" for what is wrong in a text. CIS_E_LIMIT: the compiler's limits.
 * CIS_E_USAGE: nothing to compose, a name that is none. Threads: any; as many compilers run at once
 * as for compiling. */
CIS_API enum cis_code cis_compose(cis_runtime *runtime, const struct cis_compose_options *options,
                                  cis_composed **out_composed, struct cis_error *err);
CIS_API void cis_composed_free(cis_composed *composed); /* NULL is allowed */
/* The component. Owned by the handle. */
CIS_API const void *cis_composed_wasm(const cis_composed *composed, size_t *out_len);

enum cis_composed_form {
    CIS_COMPOSED_JSON, /* {"parts":[…],"exports":[…]}, as "composed" of cis_module_inspect */
    CIS_COMPOSED_TEXT,
    CIS_COMPOSED_DOT, /* for Graphviz */
    CIS_COMPOSED_SVG
};
/* What was plugged where, and what stays imported; NUL-terminated beyond *out_len (may be NULL).
 * Names in it are the parts' own: text is not made safe for a terminal. Yours to free with
 * cis_output_free. */
CIS_API enum cis_code cis_composed_explain(const cis_composed *composed,
                                           enum cis_composed_form form, char **out_text,
                                           size_t *out_len, struct cis_error *err);

#ifdef __cplusplus
}
#endif
#endif
