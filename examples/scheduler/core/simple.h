/* The short form of a scenario, translated: `scenario:` with a load in one ramp and a workflow that
 * is a list of requests. */
#ifndef SCHEDULER_SIMPLE_H
#define SCHEDULER_SIMPLE_H

#include "fields.h"

bool simple_read(struct text *error, const struct yaml_node *root, struct scenario *out);

#endif
