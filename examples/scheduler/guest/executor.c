/* The exports of scheduler:executor: action-context, whose calls are only kept, and execute-action,
 * which does what they say and then the action. */
#include <stdio.h>
#include <string.h>
#include "actions.h"
#include "detail.h"
#include "tasks.h"

#define CONTEXT "scheduler:executor/context@0.1.0"
#define API "scheduler:executor/component-api@0.1.0"

GUEST_IMPORT("[export]" CONTEXT, "[resource-new]action-context")
uint32_t context_handle(struct events *rep);
GUEST_IMPORT("[export]" CONTEXT, "[resource-rep]action-context")
struct events *context_rep(uint32_t handle);
GUEST_IMPORT("[export]" CONTEXT, "[resource-drop]action-context")
void context_drop(uint32_t handle);

/* wbs-edge as it lies in memory. */
struct record_edge {
    struct guest_text target;
    struct guest_maybe condition, label;
};

/* ---- what callers give: as JSON, and freed ---- */
static json_t *take_text(struct guest_text t)
{
    json_t *out = json_stringn(t.len > 0 ? t.at : "", t.len);
    guest_free(t.at);
    return out;
}

static json_t *take_maybe(struct guest_maybe m)
{
    return m.is ? take_text(m.text) : json_null();
}

static json_t *take_edge(struct record_edge e)
{
    json_t *out = json_object();
    json_object_set_new(out, "target", take_text(e.target));
    json_object_set_new(out, "condition", take_maybe(e.condition));
    json_object_set_new(out, "label", take_maybe(e.label));
    return out;
}

static json_t *take_action(ACTION_DEF)
{
    json_t *out = json_object(), *list = json_array();
    json_object_set_new(out, "id", take_text((struct guest_text){id, id_len}));
    json_object_set_new(out, "call", take_text((struct guest_text){call, call_len}));
    json_object_set_new(out, "with", take_text((struct guest_text){with, with_len}));
    for (size_t i = 0; i < nexports; i++) {
        json_t *x = json_object();
        json_object_set_new(x, "type", take_text(exports[i].type));
        json_object_set_new(x, "name", take_text(exports[i].name));
        json_object_set_new(x, "scope", take_maybe(exports[i].scope));
        json_object_set_new(x, "default", take_maybe(exports[i].initial));
        json_array_append_new(list, x);
    }
    guest_free(exports);
    json_object_set_new(out, "exports", list);
    return out;
}

/* wbs-task as parameters. */
#define TASK                                                                                       \
    char *id, size_t id_len, int32_t has_action, char *action, size_t action_len, int32_t kind,    \
        struct record_edge *edges, size_t nedges

static json_t *take_task(TASK)
{
    json_t *out = json_object(), *list = json_array();
    json_object_set_new(out, "id", take_text((struct guest_text){id, id_len}));
    json_object_set_new(out, "action",
                        take_maybe((struct guest_maybe){has_action != 0, {action, action_len}}));
    json_object_set_new(out, "end", json_boolean(kind == 1));
    for (size_t i = 0; i < nedges; i++) {
        json_array_append_new(list, take_edge(edges[i]));
    }
    guest_free(edges);
    json_object_set_new(out, "outgoing", list);
    return out;
}

static void put(struct events *e, const char *name, json_t *value)
{
    events_put(e, name, json_string_value(json_object_get(value, "id")), value);
}

/* ---- action-context ---- */
GUEST_EXPORT(CONTEXT "#[constructor]action-context") uint32_t context_new(void)
{
    struct events *e = need(sizeof *e);
    events_init(e);
    return context_handle(e);
}

GUEST_EXPORT(CONTEXT "#[dtor]action-context") void context_dtor(struct events *e)
{
    events_done(e);
    free(e);
}

#define METHOD(name) GUEST_EXPORT(CONTEXT "#[method]action-context." name)

METHOD("register-action") void context_register(struct events *e, ACTION_DEF)
{
    put(e, "register-action",
        take_action(id, id_len, call, call_len, with, with_len, exports, nexports));
}

METHOD("add-task") void context_add_task(struct events *e, TASK)
{
    put(e, "add-task", take_task(id, id_len, has_action, action, action_len, kind, edges, nedges));
}

METHOD("update-task") void context_update_task(struct events *e, TASK)
{
    put(e, "update-task",
        take_task(id, id_len, has_action, action, action_len, kind, edges, nedges));
}

METHOD("remove-task") void context_remove_task(struct events *e, char *id, size_t n)
{
    json_t *name = take_text((struct guest_text){id, n});
    events_put(e, "remove-task", json_string_value(name), json_null());
    json_decref(name);
}

METHOD("add-edge")
void context_add_edge(struct events *e, char *from, size_t from_len, char *to, size_t to_len,
                      int32_t has_condition, char *condition, size_t condition_len,
                      int32_t has_label, char *label, size_t label_len)
{
    json_t *name = take_text((struct guest_text){from, from_len});
    struct record_edge edge = {{to, to_len},
                               {has_condition != 0, {condition, condition_len}},
                               {has_label != 0, {label, label_len}}};
    events_put(e, "add-edge", json_string_value(name), take_edge(edge));
    json_decref(name);
}

METHOD("remove-edge")
void context_remove_edge(struct events *e, char *from, size_t from_len, char *to, size_t to_len)
{
    json_t *name = take_text((struct guest_text){from, from_len});
    events_put(e, "remove-edge", json_string_value(name),
               take_text((struct guest_text){to, to_len}));
    json_decref(name);
}

/* ---- component-api ---- */
static void tell(void *with, const char *line)
{
    (void)with;
    printf("[Executor] %s\n", line);
}

static bool run_one(void *with, const json_t *action, char **out_detail)
{
    struct action_def def = {0};
    json_t *params = json_loads(json_string_value(json_object_get(action, "with")), 0, NULL);
    const char *url = json_string_value(json_object_get(params, "url"));
    const char *id = json_string_value(json_object_get(action, "id"));
    const char *call = json_string_value(json_object_get(action, "call"));
    bool good = false;
    (void)with;
    if (url == NULL || id == NULL || call == NULL) {
        struct text e = TEXT_INIT(600);
        text_format(&e,
                    params == NULL ? "action `%.200s`: with-params is not JSON"
                                   : "action `%.200s` missing `with.url`",
                    id);
        *out_detail = text_take(&e);
    } else {
        def.id = need_text(id, strlen(id));
        def.call = need_text(call, strlen(call));
        good = action_run(&def, params, url, out_detail);
        free(def.id);
        free(def.call);
    }
    json_decref(params);
    return good;
}

static struct guest_outcome executed;

GUEST_EXPORT(API "#execute-action") struct guest_outcome *execute_action(ACTION_DEF, uint32_t ctx)
{
    json_t *action = take_action(id, id_len, call, call_len, with, with_len, exports, nexports);
    char *detail = NULL, *why = NULL;
    executed = (struct guest_outcome){0};
    if (actions_begin(&why)) {
        executed.is.ok.failed = !tasks_run(context_rep(ctx), action, run_one, tell, NULL, &detail);
        actions_end();
        executed.is.ok.detail = (struct guest_maybe){1, {detail, strlen(detail)}};
    } else {
        executed.failed = 1;
        executed.is.error = (struct guest_text){why, strlen(why)};
    }
    context_drop(ctx); /* it was given: its destructor runs here, once */
    json_decref(action);
    fflush(stdout);
    return &executed;
}

GUEST_EXPORT("cabi_post_" API "#execute-action")
void execute_action_post(const struct guest_outcome *o)
{
    guest_free(o->failed ? o->is.error.at : o->is.ok.detail.text.at);
}
