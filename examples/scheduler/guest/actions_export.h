#ifndef SCHEDULER_ACTIONS_EXPORT_H
#define SCHEDULER_ACTIONS_EXPORT_H

#include <jansson.h>
#include "actions.h"
#include "scenario.h"

/* What a component does for an action; says what came of it once. */
void do_action(const struct action_def *def, const json_t *with, const char *url);
/* Both take the text. */
void outcome_is(bool failed, char *detail);
void outcome_error(char *why);

#endif
