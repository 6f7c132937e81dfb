/* Components as documents: a core module of WASI 0.1 made into one, and the interfaces of one as
 * WIT text. Reading hostile input can cost as much as compiling it, so that is the compiler's work:
 * a child process with limits does it, where the options name a compiler. Any threads. */
#ifndef CIS_ENGINE_DOCUMENT_H
#define CIS_ENGINE_DOCUMENT_H

#include "engine/code/module.h"

#define CIS_ADAPTER_MAX (1u << 20) /* bytes of an adapter; those that exist have 20 to 100 KiB */

/* module: binary or text. adapter: of wasi_snapshot_preview1, a module, or the version of WASI 0.2
 * of a built-in one as text ("0.2.0", "0.2.3", "0.2.12"); empty: the last. A module without _start
 * becomes a reactor. CIS_E_INVALID with the encoder's reason (an import that the adapter does not
 * have, an interface that is not complete). */
cis_code cis_component_make(struct cis_bytes module, struct cis_bytes adapter,
                            const struct cis_engine_module_options *options, struct cis_buf *out,
                            struct cis_error *err);
/* The world of a component, or an encoded package. CIS_E_INVALID: it is a core module, or none. */
cis_code cis_component_wit(struct cis_bytes wasm, const struct cis_engine_module_options *options,
                           struct cis_buf *out, struct cis_error *err);

#endif
