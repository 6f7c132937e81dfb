/* The subset of JSON Schema 2020-12 that tools of skills may use: what it is, and does a value fit.
 *
 * type (a name or a list), properties, required, additionalProperties (true or false), items (one
 * schema), enum, const, minimum, maximum, exclusiveMinimum, exclusiveMaximum, minLength, maxLength,
 * minItems, maxItems, minProperties, maxProperties, uniqueItems; title, description, default and
 * examples say something and check nothing. Everything else is refused, so that no rule that a
 * skill's author wrote is silently without effect.
 *
 * Pure. Time may be in proportion to the schema times the value (an enum of items), so that a stop
 * ends it; uniqueItems is refused above CIS_SCHEMA_UNIQUE_MAX items. Threads: any; schemas are only
 * read. */
#ifndef CIS_SKILL_SCHEMA_H
#define CIS_SKILL_SCHEMA_H

#include <jansson.h>
#include "base/cancel.h"

#define CIS_SCHEMA_DEPTH_MAX 16u
#define CIS_SCHEMA_UNIQUE_MAX 256u

/* Is it a schema of this subset? what: for messages. CIS_E_INVALID names the place and the keyword.
 */
cis_code cis_schema_check(const json_t *schema, const char *what, struct cis_error *err);
/* Does the value fit a schema that was checked? CIS_E_USAGE names the place and the rule;
 * CIS_E_DEADLINE, CIS_E_CANCELLED: it was not known when it had to end. */
cis_code cis_schema_fits(const json_t *schema, const json_t *value, const char *what,
                         const struct cis_stop *stop, struct cis_error *err);

#endif
