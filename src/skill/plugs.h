/* The plugs of a skill ([compose] of its manifest), checked against their hashes. */
#ifndef CIS_SKILL_PLUGS_H
#define CIS_SKILL_PLUGS_H

#include "engine/code/compose.h"
#include "skill/registry.h"

/* Every plug of a package is there, and has the hash that the manifest says. CIS_E_CHECKSUM,
 * CIS_E_NOTFOUND. */
cis_code cis_plugs_check(const struct cis_manifest *manifest, int root, struct cis_error *err);
/* Reads them once; what was read is what was checked. out: room for manifest->nplugs. */
cis_code cis_plugs_read(const struct cis_manifest *manifest, int root, struct cis_buf *out,
                        struct cis_error *err);
/* What a run of an installed skill executes: its module, with its plugs where it has any. Whoever
 * runs a skill takes it from here or composes what else is plugged in: never the module alone. */
cis_code cis_skill_module(cis_engine *engine, const struct cis_installed *skill,
                          const struct cis_engine_module_options *options,
                          cis_engine_module **out_module, struct cis_error *err);

#endif
