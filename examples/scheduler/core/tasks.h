/* What an executor is told through an action-context, and its work: tasks that come and go while
 * actions run. Events come before actions; each task whose action is known runs once, in the order
 * in which tasks came. */
#ifndef SCHEDULER_TASKS_H
#define SCHEDULER_TASKS_H

#include <jansson.h>
#include <stdbool.h>

#define TASKS_MAX 10000 /* that run in one call */

/* Events, in order: arrays that begin with their name. All take what they are given; NULL is a text
 * that is none, or an option that is not there. */
struct events {
    json_t *list;
};
void events_init(struct events *e);
void events_done(struct events *e);
/* An edge: {"target", "condition", "label"}; a task: {"id", "action", "end", "outgoing"}; an
 * action:
 * {"id", "call", "with", …}. */
void events_put(struct events *e, const char *name, const char *id, json_t *value);

/* Runs an action; true: it succeeded. *out_detail is the caller's. */
typedef bool task_runner(void *with, const json_t *action, char **out_detail);
/* The action that was given, and what the events brought. The detail is that of the given action,
 * or of the first one that failed. `trace` hears of each step, a line without its end. */
bool tasks_run(struct events *events, json_t *action, task_runner *run,
               void (*trace)(void *with, const char *line), void *with, char **out_detail);

#endif
