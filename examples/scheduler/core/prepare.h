/* What a run needs before its first user comes. */
#ifndef SCHEDULER_PREPARE_H
#define SCHEDULER_PREPARE_H

#include "run.h"
#include "vars.h"

/* Pools that users have addresses of, each once, in the order of the workbook. */
bool make_pools(const struct scenario *s, struct pools *pools, char **out_error);
/* What the scenario itself defines. */
void make_vars(const struct scenario *s, struct vars *out);
void tell_load(const struct scenario *s);
void tell_pools(const struct pools *pools);

#endif
