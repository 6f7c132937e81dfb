/* Inside of signing: the parts of a manifest that are filled in before it is signed. */
#ifndef CIS_SKILL_SIGN_H
#define CIS_SKILL_SIGN_H

#include "skill/package.h"

/* A line that is the header of a table; of this one, where `name` is not NULL. */
bool cis_sign_is_header(struct cis_str line, const char *name);
/* The text with the hashes of [compose] plug as the files have them. The text as it is when they
 * are there already, however they are written. CIS_E_NOTFOUND: a plug is not among the files. */
cis_code cis_sign_plugs(struct cis_str toml, const struct cis_manifest *manifest,
                        const struct cis_package_file *files, size_t nfiles, struct cis_buf *out,
                        struct cis_error *err);

#endif
