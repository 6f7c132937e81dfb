/* Files of a skill's folder that clients read, first of all SKILL.md: what a skill's folder tells
 * agents of the skill, in the form that they know. It is a text of the skill and no more: shown to
 * people and models as such, never taken for settings. */
#ifndef CIS_SKILL_GUIDE_H
#define CIS_SKILL_GUIDE_H

#include "skill/registry.h"

#define CIS_SKILL_GUIDE "SKILL.md"
#define CIS_SKILL_GUIDE_MAX (256u * 1024u)

/* A file of the folder of an installed skill, as it is now: cis_skill_verify says afterwards
 * whether it is what was installed. CIS_E_NOTFOUND, CIS_E_LIMIT: longer than out may be. */
cis_code cis_skill_file(const struct cis_installed *skill, const char *path, struct cis_buf *out,
                        struct cis_error *err);
/* At install: are the files there that its resources name? */
cis_code cis_skill_resources_check(int root, const struct cis_manifest *manifest,
                                   struct cis_error *err);
/* At install: is there none, or one that can be shown? CIS_E_INVALID, CIS_E_LIMIT. */
cis_code cis_skill_guide_check(int root, const char *name, struct cis_error *err);
/* Of an installed skill, as it was installed: everything of the skill is hashed before.
 * CIS_E_NOTFOUND: it has none; CIS_E_CHECKSUM: something of it was changed since. */
cis_code cis_skill_guide(const struct cis_skill_home *home, struct cis_str tenant,
                         const struct cis_installed *skill, struct cis_buf *out,
                         struct cis_error *err);

#endif
