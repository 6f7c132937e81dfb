#include "simple.h"
#include <stdlib.h>
#include <string.h>

#define POOL "ip-pool"

/* Seconds as a number, or a duration as text. */
static bool field_time(struct text *e, const struct yaml_node *map, const char *key,
                       uint64_t *out_ns)
{
    const struct yaml_node *n = yaml_get(map, key);
    uint64_t seconds;
    if (yaml_is_null(n)) {
        return true;
    }
    if (n->kind == YAML_SCALAR && number_of(n->text, n->len, UINT64_C(1000000000), &seconds)) {
        *out_ns = seconds * SECOND;
        return true;
    }
    return (n->kind == YAML_SCALAR && duration_of(n->text, out_ns)) ||
           fail_at(e, n, "Invalid duration format: '%.100s'. " DURATION_FORM,
                   n->kind == YAML_SCALAR ? n->text : key);
}

static char *copy(const char *s)
{
    return need_text(s, strlen(s));
}

static bool read_load(struct text *e, const struct yaml_node *load, struct scenario *s)
{
    struct load_def *l = &s->load;
    struct phase_def *p = ONE_MORE(l->phases, l->nphases);
    const struct yaml_node *pool;
    s->has_load = true;
    if (!field_number(e, load, "total_users", REQUIRED, USERS_MAX, &p->users) ||
        !field_time(e, load, "ramp_duration", &p->over) ||
        !field_time(e, load, "test_duration", &l->duration) ||
        !field_node(e, load, "ip_pool", OPTIONAL, YAML_LIST, &pool)) {
        return false;
    }
    l->loop = l->duration != 0;
    l->iterations = l->loop ? 0 : 1;
    l->think_text = copy("0ms");
    if (pool == NULL || pool->child == NULL) {
        return true;
    }
    struct pool_def *made = ONE_MORE(s->pools, s->npools);
    made->id = copy(POOL);
    made->name = copy(POOL);
    for (const struct yaml_node *n = pool->child; n != NULL; n = n->next) {
        if (!yaml_is_string(n)) {
            return fail_at(e, n, "ip_pool: expected addresses such as 127.0.0.1");
        }
        struct text cidr = TEXT_INIT(200);
        text_format(&cidr, "%s%s", n->text, strchr(n->text, '/') != NULL ? "" : "/32");
        *ONE_MORE(made->ranges, made->nranges) = (struct range_def){text_take(&cidr), place_of(n)};
    }
    l->bound = true;
    l->pool = copy(POOL);
    l->until_exit = true;
    return true;
}

/* One step: an action and a node, which the one before leads to. */
static bool read_step(struct text *e, const struct yaml_node *n, struct scenario *s, json_t *seen)
{
    const struct yaml_node *params;
    char *type = NULL, *method = NULL;
    struct action_def *a = ONE_MORE(s->actions, s->nactions);
    struct node_def *node = ONE_MORE(s->nodes, s->nnodes);
    node->place = place_of(n);
    a->timeout = 30 * SECOND;
    bool ok = is_map(e, n) && field_text(e, n, "id", REQUIRED, &a->id) &&
              field_text(e, n, "type", OPTIONAL, &type) &&
              field_node(e, n, "params", REQUIRED, YAML_MAP, &params) &&
              field_text(e, params, "method", OPTIONAL, &method) &&
              field_json(e, n, "params", &a->with) && field_time(e, n, "think_time", &node->think);
    if (ok && type != NULL && strcmp(type, "http") != 0) {
        ok =
            fail_at(e, yaml_get(n, "type"), "type: unknown variant `%.60s`, expected `http`", type);
    }
    free(type);
    a->call = method != NULL ? method : copy("get");
    if (!ok) {
        return false;
    }
    json_object_del(a->with, "method");
    if (s->load.bound && json_object_get(a->with, "bind_ip") == NULL) {
        json_object_set_new(a->with, "bind_ip", json_string("{{user.allocated_ip}}"));
    }
    if (json_object_get(seen, a->id) != NULL) {
        return fail_at(e, n, "duplicate step `%.100s`", a->id);
    }
    json_object_set_new(seen, a->id, json_true());
    struct text id = TEXT_INIT(40);
    text_format(&id, s->nnodes == 1 ? "start" : "step-%zu", s->nnodes);
    node->id = text_take(&id);
    node->action = copy(a->id);
    return true;
}

bool simple_read(struct text *e, const struct yaml_node *root, struct scenario *s)
{
    const struct yaml_node *body, *load, *flow;
    if (!field_node(e, root, "scenario", REQUIRED, YAML_MAP, &body) ||
        !field_text(e, body, "id", REQUIRED, &s->name) ||
        !field_node(e, body, "load", OPTIONAL, YAML_MAP, &load) ||
        !field_node(e, body, "workflow", REQUIRED, YAML_LIST, &flow) ||
        (load != NULL && !read_load(e, load, s)) || !thresholds_read(e, body, s)) {
        return false;
    }
    s->version = copy("1.0");
    json_t *seen = json_object();
    bool ok = true;
    for (const struct yaml_node *n = flow->child; ok && n != NULL; n = n->next) {
        ok = read_step(e, n, s, seen);
    }
    json_decref(seen);
    if (!ok) {
        return false;
    }
    struct node_def *last = ONE_MORE(s->nodes, s->nnodes);
    last->id = copy(s->nnodes == 1 ? "start" : "end");
    last->end = true;
    for (size_t i = 0; i + 1 < s->nnodes; i++) {
        struct edge_def *edge = ONE_MORE(s->nodes[i].edges, s->nodes[i].nedges);
        edge->to = copy(s->nodes[i + 1].id);
    }
    return true;
}
