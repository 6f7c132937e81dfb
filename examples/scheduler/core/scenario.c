#include "scenario.h"
#include <stdlib.h>
#include <string.h>
#include "fields.h"
#include "simple.h"
#include "vars.h"

#define ACTION_TIMEOUT (30 * SECOND)

void *one_more(void *array, size_t *n, size_t size)
{
    if ((*n & (*n - 1)) == 0) { /* a power of two: it is full */
        array = need_more(array, (*n == 0 ? 1 : *n * 2) * size);
    }
    memset((char *)array + *n * size, 0, size);
    ++*n;
    return array;
}

#define EACH(item, list)                                                                           \
    const struct yaml_node *item = (list) != NULL ? (list)->child : NULL;                          \
    item != NULL;                                                                                  \
    item = item->next

static bool field_duration(struct text *e, const struct yaml_node *map, const char *key,
                           enum want want, char **out_text, uint64_t *out_ns)
{
    if (!field_text(e, map, key, want, out_text)) {
        return false;
    }
    return *out_text == NULL || duration_of(*out_text, out_ns) ||
           fail_at(e, yaml_get(map, key), "Invalid duration format: '%.100s'. " DURATION_FORM,
                   *out_text);
}

/* ---- workbook ---- */
static bool read_pool(struct text *e, const struct yaml_node *n, struct pool_def *p)
{
    const struct yaml_node *ranges;
    if (!is_map(e, n) || !field_text(e, n, "id", REQUIRED, &p->id) ||
        !field_text(e, n, "name", REQUIRED, &p->name) ||
        !field_text(e, n, "allocation_strategy", OPTIONAL, &p->strategy) ||
        !field_node(e, n, "ranges", REQUIRED, YAML_LIST, &ranges)) {
        return false;
    }
    for (EACH(r, ranges)) {
        if (!yaml_is_string(r)) {
            return fail_at(e, r, "ranges: expected addresses such as 10.0.1.0/24");
        }
        *ONE_MORE(p->ranges, p->nranges) =
            (struct range_def){need_text(r->text, r->len), place_of(r)};
    }
    return true;
}

static bool read_workbook(struct text *e, const struct yaml_node *root, struct scenario *s)
{
    const struct yaml_node *book, *resources, *pools;
    if (!field_node(e, root, "workbook", OPTIONAL, YAML_MAP, &book) ||
        !field_node(e, book, "resources", OPTIONAL, YAML_LIST, &resources) ||
        !field_node(e, book, "ip_pools", OPTIONAL, YAML_LIST, &pools)) {
        return false;
    }
    for (EACH(n, resources)) {
        struct resource_def *r = ONE_MORE(s->resources, s->nresources);
        if (!is_map(e, n) || !field_text(e, n, "id", REQUIRED, &r->id) ||
            !field_text(e, n, "type", REQUIRED, &r->type) ||
            !field_json(e, n, "properties", &r->properties)) {
            return false;
        }
    }
    for (EACH(n, pools)) {
        if (!read_pool(e, n, ONE_MORE(s->pools, s->npools))) {
            return false;
        }
    }
    return true;
}

/* ---- actions ---- */
static bool read_export(struct text *e, const struct yaml_node *n, struct export_def *x)
{
    if (!is_map(e, n) || !field_text(e, n, "type", REQUIRED, &x->type) ||
        !field_text(e, n, "name", REQUIRED, &x->name) ||
        !field_text(e, n, "scope", OPTIONAL, &x->scope)) {
        return false;
    }
    const struct yaml_node *initial = yaml_get(n, "default");
    x->initial = initial != NULL ? yaml_json(initial) : NULL;
    return true;
}

static bool read_action(struct text *e, const struct yaml_node *n, struct action_def *a)
{
    const struct yaml_node *exports, *with;
    char *timeout = NULL;
    a->timeout = ACTION_TIMEOUT;
    if (!is_map(e, n) || !field_text(e, n, "id", REQUIRED, &a->id) ||
        !field_text(e, n, "call", REQUIRED, &a->call) || !field_json(e, n, "with", &a->with) ||
        !field_node(e, n, "export", OPTIONAL, YAML_LIST, &exports)) {
        return false;
    }
    with = yaml_get(n, "with");
    bool ok = field_duration(e, with, "timeout", OPTIONAL, &timeout, &a->timeout);
    free(timeout);
    for (EACH(x, exports)) {
        ok = ok && read_export(e, x, ONE_MORE(a->exports, a->nexports));
    }
    return ok;
}

static bool read_actions(struct text *e, const struct yaml_node *root, struct scenario *s)
{
    const struct yaml_node *outer, *list;
    if (!field_node(e, root, "actions", OPTIONAL, YAML_MAP, &outer) ||
        !field_node(e, outer, "actions", OPTIONAL, YAML_LIST, &list)) {
        return false;
    }
    for (EACH(n, list)) {
        if (!read_action(e, n, ONE_MORE(s->actions, s->nactions))) {
            return false;
        }
    }
    return true;
}

/* ---- workflows ---- */
static bool read_edge(struct text *e, const struct yaml_node *n, struct edge_def *edge)
{
    const struct yaml_node *trigger;
    edge->place = place_of(n);
    if (!is_map(e, n) || !field_text(e, n, "to", REQUIRED, &edge->to) ||
        !field_text(e, n, "label", OPTIONAL, &edge->label) ||
        !field_node(e, n, "trigger", OPTIONAL, YAML_MAP, &trigger)) {
        return false;
    }
    edge->trigger = trigger != NULL;
    return field_text(e, trigger, "condition", OPTIONAL, &edge->condition);
}

static bool read_nodes(struct text *e, const struct yaml_node *root, struct scenario *s)
{
    static const char *const types[] = {"action", "end", NULL};
    const struct yaml_node *flows, *list, *edges;
    if (!field_node(e, root, "workflows", REQUIRED, YAML_MAP, &flows) ||
        !field_node(e, flows, "nodes", REQUIRED, YAML_LIST, &list)) {
        return false;
    }
    for (EACH(n, list)) {
        struct node_def *node = ONE_MORE(s->nodes, s->nnodes);
        unsigned type = 0;
        node->place = place_of(n);
        if (!is_map(e, n) || !field_text(e, n, "id", REQUIRED, &node->id) ||
            !field_word(e, n, "type", types, &type) ||
            !field_text(e, n, "action", OPTIONAL, &node->action) ||
            !field_node(e, n, "edges", OPTIONAL, YAML_LIST, &edges)) {
            return false;
        }
        node->end = type == 1;
        for (EACH(x, edges)) {
            if (!read_edge(e, x, ONE_MORE(node->edges, node->nedges))) {
                return false;
            }
        }
    }
    return true;
}

/* ---- load ---- */
static bool read_phase(struct text *e, const struct yaml_node *n, struct phase_def *p)
{
    uint64_t second = 0;
    bool ok = is_map(e, n) &&
              field_number(e, n, "at_second", REQUIRED, UINT64_C(1000000000), &second) &&
              field_number(e, n, "spawn_users", REQUIRED, USERS_MAX, &p->users) &&
              field_text(e, n, "tenant_id", OPTIONAL, &p->tenant) &&
              field_text(e, n, "ip_pool_override", OPTIONAL, &p->pool);
    p->at = second * SECOND;
    return ok;
}

/* "100/s": the time between two. */
static bool read_rate(struct text *e, const struct yaml_node *map, uint64_t *out_gap)
{
    char *rate = NULL;
    if (!field_text(e, map, "spawn_rate_limit", REQUIRED, &rate)) {
        return false;
    }
    struct slice s = slice_trim(rate, strlen(rate));
    uint64_t n = 0, unit = s.len > 2 && s.at[s.len - 1] == 'm' ? 60 * SECOND : SECOND;
    bool ok =
        s.len > 2 && s.at[s.len - 2] == '/' && (s.at[s.len - 1] == 's' || s.at[s.len - 1] == 'm');
    if (ok) {
        s = slice_trim(s.at, s.len - 2);
        ok = number_of(s.at, s.len, SECOND, &n) && n > 0;
    }
    if (ok) {
        *out_gap = unit / n;
    } else {
        fail_at(e, yaml_get(map, "spawn_rate_limit"),
                "Invalid rate: '%.100s'. Expected format: <number>/s", rate);
    }
    free(rate);
    return ok;
}

static bool read_binding(struct text *e, const struct yaml_node *load, struct load_def *l)
{
    static const char *const strategies[] = {"per_user", "shared", "per_task", NULL};
    static const char *const releases[] = {"task_end", "user_exit", NULL};
    const struct yaml_node *resources, *binding;
    unsigned strategy = 0, release = 0;
    if (!field_node(e, load, "user_resources", OPTIONAL, YAML_MAP, &resources) ||
        !field_node(e, resources, "ip_binding", OPTIONAL, YAML_MAP, &binding)) {
        return false;
    }
    if (binding == NULL) {
        return true;
    }
    bool ok = field_bool(e, binding, "enabled", &l->bound) &&
              field_text(e, binding, "pool_id", REQUIRED, &l->pool) &&
              field_word(e, binding, "strategy", strategies, &strategy) &&
              field_word(e, binding, "release_on", releases, &release);
    l->strategy = (enum binding)strategy;
    l->until_exit = release == 1;
    return ok;
}

static bool read_load(struct text *e, const struct yaml_node *root, struct scenario *s)
{
    static const char *const modes[] = {"once", "loop", NULL};
    const struct yaml_node *load, *ramp, *phases, *life, *most;
    struct load_def *l = &s->load;
    unsigned mode = 0;
    char *duration = NULL;
    if (!field_node(e, root, "load", OPTIONAL, YAML_MAP, &load) || load == NULL) {
        return e->len == 0;
    }
    s->has_load = true;
    if (!field_node(e, load, "ramp_up", REQUIRED, YAML_MAP, &ramp) ||
        !field_node(e, ramp, "phases", REQUIRED, YAML_LIST, &phases) ||
        !field_node(e, load, "user_lifetime", REQUIRED, YAML_MAP, &life)) {
        return false;
    }
    uint64_t all = 0;
    for (EACH(n, phases)) {
        if (!read_phase(e, n, ONE_MORE(l->phases, l->nphases))) {
            return false;
        }
        all += l->phases[l->nphases - 1].users;
        if (all > USERS_MAX) {
            return fail_at(e, n, "spawn_users: more than 1000000 users");
        }
    }
    bool ok = field_word(e, life, "mode", modes, &mode) &&
              field_number(e, life, "iterations", REQUIRED, UINT64_MAX, &l->iterations) &&
              field_duration(e, life, "think_time", REQUIRED, &l->think_text, &l->think) &&
              field_duration(e, load, "duration", OPTIONAL, &duration, &l->duration) &&
              read_binding(e, load, l) &&
              field_node(e, load, "concurrency", OPTIONAL, YAML_MAP, &most);
    l->loop = mode == 1;
    free(duration);
    return ok && (most == NULL || (field_number(e, most, "max_concurrent_users", REQUIRED,
                                                UINT64_MAX, &l->max_users) &&
                                   read_rate(e, most, &l->spawn_gap)));
}

bool thresholds_read(struct text *e, const struct yaml_node *map, struct scenario *s)
{
    const struct yaml_node *list;
    if (!field_node(e, map, "thresholds", OPTIONAL, YAML_LIST, &list)) {
        return false;
    }
    for (EACH(n, list)) {
        struct cis_threshold t;
        if (s->nthresholds == THRESHOLDS_MAX) {
            return fail_at(e, n, "thresholds: more than %d", THRESHOLDS_MAX);
        }
        if (!yaml_is_string(n) || !cis_threshold_parse(n->text, n->len, &t)) {
            return fail_at(e, n, "thresholds: `%.60s` is none; expected such as %s",
                           n->kind == YAML_SCALAR ? n->text : "", CIS_THRESHOLD_EXAMPLES);
        }
        *ONE_MORE(s->thresholds, s->nthresholds) = t;
    }
    return true;
}

bool scenario_parse(const char *yaml, size_t n, struct scenario *out, char **out_error)
{
    struct yaml tree;
    struct text e = TEXT_INIT(1000);
    *out = (struct scenario){.start = SIZE_MAX};
    if (!yaml_read(yaml, n, &tree, out_error)) {
        return false;
    }
    const struct yaml_node *root = tree.root;
    bool ok;
    if (root == NULL || yaml_is_null(root)) {
        ok = fail_at(&e, root, "the text is empty: missing field `version`");
    } else if (!is_map(&e, root)) {
        ok = false;
    } else if (yaml_get(root, "scenario") != NULL && yaml_get(root, "version") == NULL) {
        ok = simple_read(&e, root, out);
    } else {
        ok = field_text(&e, root, "version", REQUIRED, &out->version) &&
             field_text(&e, root, "name", REQUIRED, &out->name) && read_workbook(&e, root, out) &&
             read_actions(&e, root, out) && read_nodes(&e, root, out) && read_load(&e, root, out) &&
             thresholds_read(&e, root, out);
    }
    yaml_done(&tree);
    if (!ok) {
        scenario_done(out);
        *out_error = text_take(&e);
    }
    text_done(&e);
    return ok;
}

/* ---- references ---- */
static bool unknown(char **out_error, struct place at, const char *what, const char *name,
                    const char *by, const char *node)
{
    struct text e = TEXT_INIT(1000);
    text_format(&e, "unknown %s `%.200s` referenced by %s", what, name, by);
    if (node != NULL) {
        text_format(&e, " `%.200s`", node);
    }
    if (at.line != 0) {
        text_format(&e, " at line %zu column %zu", at.line, at.column);
    }
    *out_error = text_take(&e);
    return false;
}

/* The index behind a name, SIZE_MAX: none. The first of a name counts. */
static size_t index_of(json_t *names, const char *name)
{
    json_t *n = json_object_get(names, name);
    return n != NULL ? (size_t)json_integer_value(n) : SIZE_MAX;
}

static void name_index(json_t *names, const char *name, size_t i)
{
    if (json_object_get(names, name) == NULL) {
        json_object_set_new(names, name, json_integer((json_int_t)i));
    }
}

bool scenario_check(struct scenario *s, char **out_error)
{
    json_t *actions = json_object(), *nodes = json_object();
    bool ok = true;
    for (size_t i = 0; i < s->nactions; i++) {
        name_index(actions, s->actions[i].id, i);
        s->actions[i].constant = is_constant(s->actions[i].with);
    }
    for (size_t i = 0; i < s->nnodes; i++) {
        name_index(nodes, s->nodes[i].id, i);
    }
    for (size_t i = 0; ok && i < s->nnodes; i++) {
        struct node_def *n = &s->nodes[i];
        n->action_index = n->action != NULL ? index_of(actions, n->action) : SIZE_MAX;
        if (n->action != NULL && n->action_index == SIZE_MAX) {
            ok = unknown(out_error, n->place, "action", n->action, "workflow node", n->id);
        }
    }
    for (size_t i = 0; ok && i < s->nnodes; i++) {
        for (size_t k = 0; ok && k < s->nodes[i].nedges; k++) {
            struct edge_def *e = &s->nodes[i].edges[k];
            e->target = index_of(nodes, e->to);
            ok = e->target != SIZE_MAX ||
                 unknown(out_error, e->place, "workflow node", e->to, "edge", NULL);
        }
    }
    s->start = index_of(nodes, "start");
    json_decref(actions);
    json_decref(nodes);
    return ok;
}

void scenario_done(struct scenario *s)
{
    for (size_t i = 0; i < s->nresources; i++) {
        free(s->resources[i].id);
        free(s->resources[i].type);
        json_decref(s->resources[i].properties);
    }
    for (size_t i = 0; i < s->npools; i++) {
        for (size_t k = 0; k < s->pools[i].nranges; k++) {
            free(s->pools[i].ranges[k].cidr);
        }
        free(s->pools[i].ranges);
        free(s->pools[i].id);
        free(s->pools[i].name);
        free(s->pools[i].strategy);
    }
    for (size_t i = 0; i < s->nactions; i++) {
        for (size_t k = 0; k < s->actions[i].nexports; k++) {
            struct export_def *x = &s->actions[i].exports[k];
            free(x->type);
            free(x->name);
            free(x->scope);
            json_decref(x->initial);
        }
        free(s->actions[i].exports);
        free(s->actions[i].id);
        free(s->actions[i].call);
        json_decref(s->actions[i].with);
    }
    for (size_t i = 0; i < s->nnodes; i++) {
        for (size_t k = 0; k < s->nodes[i].nedges; k++) {
            free(s->nodes[i].edges[k].to);
            free(s->nodes[i].edges[k].condition);
            free(s->nodes[i].edges[k].label);
        }
        free(s->nodes[i].edges);
        free(s->nodes[i].id);
        free(s->nodes[i].action);
    }
    for (size_t i = 0; i < s->load.nphases; i++) {
        free(s->load.phases[i].tenant);
        free(s->load.phases[i].pool);
    }
    free(s->thresholds);
    free(s->load.phases);
    free(s->load.think_text);
    free(s->load.pool);
    free(s->resources);
    free(s->pools);
    free(s->actions);
    free(s->nodes);
    free(s->version);
    free(s->name);
    *s = (struct scenario){.start = SIZE_MAX};
}
