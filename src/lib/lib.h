/* libcis: the public API (include/cis) over the rooms below. What the command line needs beyond the
 * public headers is here. */
#ifndef CIS_LIB_LIB_H
#define CIS_LIB_LIB_H

#include "engine/code/module.h"
#include "skillabi/skillabi.h"

/* Everything known of a module without compiling it, as JSON: layer, digest, imports, exports,
 * memories, ABIs, entry point, grants its imports would need, and why it would not run. */
cis_code cis_inspect_json(const struct cis_engine_module_info *info, const char *name,
                          const struct cis_skillabi_options *options, struct cis_buf *out,
                          struct cis_error *err);
/* "text" "numbers" "auto" or NULL; CIS_E_USAGE. */
cis_code cis_convention_parse(const char *text, enum cis_convention *out, struct cis_error *err);

#endif
