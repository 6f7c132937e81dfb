#include "tasks.h"
#include <stdlib.h>
#include <string.h>
#include "text.h"

void events_init(struct events *e)
{
    e->list = json_array();
}

void events_done(struct events *e)
{
    json_decref(e->list);
    e->list = NULL;
}

void events_put(struct events *e, const char *name, const char *id, json_t *value)
{
    json_array_append_new(e->list, json_pack("[s, s, o*]", name, id, value));
}

/* The state of one call. */
struct tree {
    json_t *actions, *tasks; /* objects by id */
    json_t *ran;             /* tasks that have run */
    json_t *queue;           /* ids of tasks that shall run, in order */
};

static void line(void (*trace)(void *, const char *), void *with, const char *what, const char *id)
{
    struct text t = TEXT_INIT(1000);
    text_format(&t, "%s %.200s", what, id);
    trace(with, t.at);
    text_done(&t);
}

/* Takes edges to a target away. */
static void remove_edges(json_t *task, const char *target)
{
    json_t *edges = json_object_get(task, "outgoing");
    for (size_t i = json_array_size(edges); i > 0; i--) {
        const char *to = json_string_value(json_object_get(json_array_get(edges, i - 1), "target"));
        if (to != NULL && strcmp(to, target) == 0) {
            json_array_remove(edges, i - 1);
        }
    }
}

static void put_task(struct tree *t, const char *id, json_t *task)
{
    json_object_set(t->tasks, id, task);
    if (json_object_get(t->ran, id) == NULL) {
        json_array_append_new(t->queue, json_string(id));
    }
}

static void remove_task(struct tree *t, const char *id)
{
    const char *key;
    json_t *task;
    json_object_del(t->tasks, id);
    json_object_foreach(t->tasks, key, task)
    {
        remove_edges(task, id);
    }
}

static void apply(struct tree *t, const char *name, const char *id, json_t *value)
{
    json_t *task = json_object_get(t->tasks, id);
    if (strcmp(name, "register-action") == 0) {
        json_object_set(t->actions, id, value);
    } else if (strcmp(name, "add-task") == 0 || strcmp(name, "update-task") == 0) {
        put_task(t, id, value);
    } else if (strcmp(name, "remove-task") == 0) {
        remove_task(t, id);
    } else if (strcmp(name, "add-edge") == 0) {
        json_array_append(json_object_get(task, "outgoing"), value);
    } else if (strcmp(name, "remove-edge") == 0) {
        remove_edges(task, json_string_value(value));
    }
}

/* The next task that has an action that is known; NULL: none. */
static const json_t *next_action(struct tree *t, size_t *at, const char **out_id)
{
    while (*at < json_array_size(t->queue)) {
        const char *id = json_string_value(json_array_get(t->queue, (*at)++));
        const json_t *task = json_object_get(t->tasks, id);
        const char *name = json_string_value(json_object_get(task, "action"));
        const json_t *action = name != NULL ? json_object_get(t->actions, name) : NULL;
        if (action != NULL && !json_is_true(json_object_get(task, "end")) &&
            json_object_get(t->ran, id) == NULL) {
            *out_id = id;
            json_object_set_new(t->ran, id, json_true());
            return action;
        }
    }
    return NULL;
}

bool tasks_run(struct events *events, json_t *action, task_runner *run,
               void (*trace)(void *with, const char *line), void *with, char **out_detail)
{
    struct tree t = {json_object(), json_object(), json_object(), json_array()};
    const char *id = json_string_value(json_object_get(action, "id"));
    size_t event = 0, next = 0, count = 0;
    bool good = true;
    id = id != NULL ? id : "";
    json_object_set(t.actions, id, action);
    *out_detail = NULL;
    do {
        for (; event < json_array_size(events->list); event++) {
            json_t *e = json_array_get(events->list, event);
            const char *name = json_string_value(json_array_get(e, 0));
            const char *of = json_string_value(json_array_get(e, 1));
            if (name != NULL && of != NULL) {
                line(trace, with, name, of);
                apply(&t, name, of, json_array_get(e, 2));
            }
        }
        char *detail = NULL;
        line(trace, with, count == 0 ? "action" : "task", id);
        bool ok = run(with, action, &detail);
        if (*out_detail == NULL || (good && !ok)) {
            char *old = *out_detail;
            *out_detail = detail;
            detail = old;
        }
        free(detail);
        good = good && ok;
        action = (json_t *)(uintptr_t)next_action(&t, &next, &id);
    } while (action != NULL && ++count < TASKS_MAX);
    json_decref(t.actions);
    json_decref(t.tasks);
    json_decref(t.ran);
    json_decref(t.queue);
    return good;
}
