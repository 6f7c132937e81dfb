/* Inside skill/: settings and memory that a name brings along. */
#ifndef CIS_SKILL_INHERIT_H
#define CIS_SKILL_INHERIT_H

#include "skill/package.h"

/* Counts what is there. *out is zero before. */
cis_code cis_inheritance_look(const struct cis_skill_home *home, struct cis_str tenant,
                              struct cis_str name, struct cis_inheritance *out,
                              struct cis_error *err);
/* CIS_E_DENIED while the question is not answered. */
cis_code cis_inheritance_check(const struct cis_inheritance *inheritance, const char *name,
                               struct cis_error *err);

#endif
