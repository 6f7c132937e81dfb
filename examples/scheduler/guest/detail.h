/* One action from its beginning to its end, and its outcome in one line. */
#ifndef SCHEDULER_DETAIL_H
#define SCHEDULER_DETAIL_H

#include "action.h"

/* true: it was answered with 2xx. The caller frees the detail. */
bool action_run(const struct action_def *def, const json_t *with, const char *url,
                char **out_detail);

#endif
