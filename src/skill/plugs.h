/* The plugs of a skill ([compose] of its manifest), checked against their hashes. */
#ifndef CIS_SKILL_PLUGS_H
#define CIS_SKILL_PLUGS_H

#include "skill/registry.h"

/* Every plug of a package is there, and has the hash that the manifest says. CIS_E_CHECKSUM,
 * CIS_E_NOTFOUND. */
cis_code cis_plugs_check(const struct cis_manifest *manifest, int root, struct cis_error *err);
/* Reads them once; what was read is what was checked. out: room for manifest->nplugs. */
cis_code cis_plugs_read(const struct cis_manifest *manifest, int root, struct cis_buf *out,
                        struct cis_error *err);
#endif
