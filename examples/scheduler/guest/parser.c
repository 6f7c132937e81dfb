/* The exports of scheduler:core-libs/parser: a scenario as records, and its check. */
#include <string.h>
#include "actions.h"
#include "scenario.h"
#include "text.h"

#define PARSER "scheduler:core-libs/parser@0.1.0"

struct list {
    void *at;
    size_t len;
};
/* The records of core-libs/types as they lie in memory; export-def is that of actions.h. */
struct record_resource {
    struct guest_text id, type, properties;
};
struct record_action {
    struct guest_text id, call, with;
    struct list exports;
};
struct record_edge {
    struct guest_text to;
    struct guest_maybe condition, label;
};
struct record_node {
    struct guest_text id;
    uint8_t end;
    struct guest_maybe action;
    struct list edges;
};
struct record_scenario {
    struct guest_text version, name;
    struct list resources, actions, nodes;
};
struct said_scenario {
    uint8_t failed;
    union {
        struct record_scenario scenario;
        struct guest_text error;
    } is;
};
_Static_assert(sizeof(struct record_node) == 32 && sizeof(struct record_edge) == 32 &&
                   sizeof(struct said_scenario) == 44,
               "by the ABI");

/* ---- what is given away: freed by the post-return ---- */
static struct guest_text give(const char *s)
{
    return (struct guest_text){need_text(s, strlen(s)), strlen(s)};
}

static struct guest_maybe give_maybe(const char *s)
{
    return s != NULL ? (struct guest_maybe){1, give(s)} : (struct guest_maybe){0};
}

static struct guest_text give_json(const json_t *value)
{
    char *json = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    struct guest_text out = give(json != NULL ? json : "null");
    free(json);
    return out;
}

static struct list give_exports(const struct action_def *a)
{
    struct guest_export *to = need(a->nexports * sizeof *to);
    for (size_t i = 0; i < a->nexports; i++) {
        const struct export_def *x = &a->exports[i];
        to[i] = (struct guest_export){give(x->type), give(x->name), give_maybe(x->scope), {0}};
        if (x->initial != NULL) {
            to[i].initial = (struct guest_maybe){1, give_json(x->initial)};
        }
    }
    return (struct list){to, a->nexports};
}

static struct list give_edges(const struct node_def *n)
{
    struct record_edge *to = need(n->nedges * sizeof *to);
    for (size_t i = 0; i < n->nedges; i++) {
        const struct edge_def *e = &n->edges[i];
        to[i] = (struct record_edge){give(e->to), give_maybe(e->condition), give_maybe(e->label)};
        if (e->trigger && e->condition == NULL) {
            to[i].condition = give_maybe(""); /* a trigger without a condition is never taken */
        }
    }
    return (struct list){to, n->nedges};
}

static void give_scenario(const struct scenario *s, struct record_scenario *out)
{
    struct record_resource *resources = need(s->nresources * sizeof *resources);
    struct record_action *actions = need(s->nactions * sizeof *actions);
    struct record_node *nodes = need(s->nnodes * sizeof *nodes);
    for (size_t i = 0; i < s->nresources; i++) {
        const struct resource_def *r = &s->resources[i];
        resources[i] =
            (struct record_resource){give(r->id), give(r->type), give_json(r->properties)};
    }
    for (size_t i = 0; i < s->nactions; i++) {
        const struct action_def *a = &s->actions[i];
        actions[i] =
            (struct record_action){give(a->id), give(a->call), give_json(a->with), give_exports(a)};
    }
    for (size_t i = 0; i < s->nnodes; i++) {
        const struct node_def *n = &s->nodes[i];
        nodes[i] = (struct record_node){give(n->id), n->end, give_maybe(n->action), give_edges(n)};
    }
    *out = (struct record_scenario){give(s->version),
                                    give(s->name),
                                    {resources, s->nresources},
                                    {actions, s->nactions},
                                    {nodes, s->nnodes}};
}

/* ---- and freed, also what a caller gave ---- */
static void free_maybe(struct guest_maybe m)
{
    if (m.is) {
        guest_free(m.text.at);
    }
}

static void free_actions(struct list actions)
{
    struct record_action *a = actions.at;
    for (size_t i = 0; i < actions.len; i++) {
        struct guest_export *x = a[i].exports.at;
        for (size_t k = 0; k < a[i].exports.len; k++) {
            guest_free(x[k].type.at);
            guest_free(x[k].name.at);
            free_maybe(x[k].scope);
            free_maybe(x[k].initial);
        }
        guest_free(x);
        guest_free(a[i].id.at);
        guest_free(a[i].call.at);
        guest_free(a[i].with.at);
    }
    guest_free(a);
}

static void free_nodes(struct list nodes)
{
    struct record_node *n = nodes.at;
    for (size_t i = 0; i < nodes.len; i++) {
        struct record_edge *e = n[i].edges.at;
        for (size_t k = 0; k < n[i].edges.len; k++) {
            guest_free(e[k].to.at);
            free_maybe(e[k].condition);
            free_maybe(e[k].label);
        }
        guest_free(e);
        guest_free(n[i].id.at);
        free_maybe(n[i].action);
    }
    guest_free(n);
}

static void free_scenario(const struct record_scenario *s)
{
    struct record_resource *r = s->resources.at;
    for (size_t i = 0; i < s->resources.len; i++) {
        guest_free(r[i].id.at);
        guest_free(r[i].type.at);
        guest_free(r[i].properties.at);
    }
    guest_free(r);
    free_actions(s->actions);
    free_nodes(s->nodes);
    guest_free(s->version.at);
    guest_free(s->name.at);
}

/* ---- parse-scenario ---- */
static struct said_scenario parsed;

GUEST_EXPORT(PARSER "#parse-scenario") struct said_scenario *parse_scenario(char *yaml, size_t n)
{
    struct scenario s;
    char *why = NULL;
    parsed = (struct said_scenario){0};
    if (scenario_parse(yaml, n, &s, &why)) {
        give_scenario(&s, &parsed.is.scenario);
        scenario_done(&s);
    } else {
        struct text e = TEXT_INIT(2000);
        text_format(&e, "failed to parse scenario: %s", why);
        parsed.failed = 1;
        parsed.is.error.len = e.len;
        parsed.is.error.at = text_take(&e);
        free(why);
    }
    guest_free(yaml);
    return &parsed;
}

GUEST_EXPORT("cabi_post_" PARSER "#parse-scenario")
void parse_scenario_post(const struct said_scenario *said)
{
    if (said->failed) {
        guest_free(said->is.error.at);
    } else {
        free_scenario(&said->is.scenario);
    }
}

/* ---- validate-scenario ---- */
static char *text_of(struct guest_text t)
{
    return need_text(t.at, t.len);
}

/* Nodes and names of actions: all that is checked. */
static void take_scenario(const struct record_scenario *from, struct scenario *out)
{
    const struct record_action *a = from->actions.at;
    const struct record_node *n = from->nodes.at;
    *out = (struct scenario){.start = SIZE_MAX};
    for (size_t i = 0; i < from->actions.len; i++) {
        ONE_MORE(out->actions, out->nactions)->id = text_of(a[i].id);
    }
    for (size_t i = 0; i < from->nodes.len; i++) {
        struct node_def *node = ONE_MORE(out->nodes, out->nnodes);
        const struct record_edge *e = n[i].edges.at;
        node->id = text_of(n[i].id);
        node->action = n[i].action.is ? text_of(n[i].action.text) : NULL;
        for (size_t k = 0; k < n[i].edges.len; k++) {
            ONE_MORE(node->edges, node->nedges)->to = text_of(e[k].to);
        }
    }
}

static struct guest_said said;

GUEST_EXPORT(PARSER "#validate-scenario")
struct guest_said *validate_scenario(char *version, size_t version_len, char *name, size_t name_len,
                                     void *resources, size_t nresources, void *actions,
                                     size_t nactions, void *nodes, size_t nnodes)
{
    struct record_scenario given = {{version, version_len},
                                    {name, name_len},
                                    {resources, nresources},
                                    {actions, nactions},
                                    {nodes, nnodes}};
    struct scenario s;
    char *why = NULL;
    take_scenario(&given, &s);
    said = (struct guest_said){0};
    if (!scenario_check(&s, &why)) {
        said.failed = 1;
        said.text = (struct guest_text){why, strlen(why)};
    }
    scenario_done(&s);
    free_scenario(&given);
    return &said;
}

GUEST_EXPORT("cabi_post_" PARSER "#validate-scenario")
void validate_scenario_post(const struct guest_said *of)
{
    if (of->failed) {
        guest_free(of->text.at);
    }
}
