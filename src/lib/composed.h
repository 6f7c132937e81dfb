/* What a component was composed of, for people: text, a graph for Graphviz, a picture. Made from
 * "composed" of a scan (engine/src/parts.rs has its shape), whose names are a stranger's: they are
 * escaped for each form. Any thread. */
#ifndef CIS_LIB_COMPOSED_H
#define CIS_LIB_COMPOSED_H

#include <jansson.h>
#include "base/buf.h"

/* One line for each import of each part, what stays imported and for whom, what is exported. */
void cis_composed_text(const json_t *composed, struct cis_buf *out);
void cis_composed_dot(const json_t *composed, struct cis_buf *out);
void cis_composed_svg(const json_t *composed, struct cis_buf *out);

#endif
