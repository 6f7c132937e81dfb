/* From the text of a scenario to a run of it, and to what `run-scenario` returns. */
#include "prepare.h"
#include <stdlib.h>
#include <string.h>
#include "options.h"

bool make_pools(const struct scenario *s, struct pools *pools, char **out_error)
{
    const struct load_def *l = &s->load;
    json_t *wanted = json_object();
    bool ok = true;
    if (!l->bound) {
        json_decref(wanted);
        return true;
    }
    json_object_set_new(wanted, l->pool, json_true());
    for (size_t i = 0; i < l->nphases; i++) {
        if (l->phases[i].pool != NULL) {
            json_object_set_new(wanted, l->phases[i].pool, json_true());
        }
    }
    for (size_t i = 0; ok && i < s->npools; i++) {
        if (json_object_del(wanted, s->pools[i].id) == 0) {
            struct pool p;
            ok = pool_init(&p, &s->pools[i], out_error);
            if (ok) {
                pool_share(&p, options.share, options.of);
                *ONE_MORE(pools->list, pools->n) = p;
            }
        }
    }
    if (ok && json_object_size(wanted) > 0) {
        struct text e = TEXT_INIT(600);
        text_format(&e, "IP pool '%.200s' not found in workbook",
                    json_object_iter_key(json_object_iter(wanted)));
        *out_error = text_take(&e);
        ok = false;
    }
    json_decref(wanted);
    return ok;
}

void tell_pools(const struct pools *pools)
{
    for (size_t i = 0; i < pools->n; i++) {
        const struct pool_def *d = pools->list[i].def;
        say("✓ Initialized IP pool '%s' (%s)\n  - Ranges: ", d->id, d->name);
        for (size_t k = 0; k < d->nranges; k++) {
            say("%s%s", k > 0 ? ", " : "", d->ranges[k].cidr);
        }
        say("\n  - Total IPs: %u\n✓ Initialized IP pool '%s'\n", pools->list[i].total, d->id);
        say("  Pool '%s': 0 allocated, %u available (total: %u)\n", d->id, pools->list[i].total,
            pools->list[i].total);
    }
}

void make_vars(const struct scenario *s, struct vars *out)
{
    for (size_t i = 0; i < s->nresources; i++) {
        const char *key;
        json_t *value;
        json_object_foreach(s->resources[i].properties, key, value)
        {
            char *text = value_text(value);
            if (text != NULL) {
                struct text name = TEXT_INIT(1000);
                text_format(&name, "%s.%s", s->resources[i].id, key);
                vars_set(out, name.at, text);
                text_done(&name);
            }
            free(text);
        }
    }
}

void tell_load(const struct scenario *s)
{
    const struct load_def *l = &s->load;
    say("🚀 Running load test: %s\nRamp-up phases: %zu\nUser lifetime: %s\nIterations: %llu\n"
        "Think time: %s\n",
        s->name, l->nphases, l->loop ? "Loop" : "Once", (unsigned long long)l->iterations,
        l->think_text);
}

/* Instances share nothing, so neither do their users. */
static void check_shared(const struct scenario *s, struct text *out)
{
    for (size_t i = 0; i < s->nactions && options.of > 1; i++) {
        const struct action_def *a = &s->actions[i];
        for (size_t k = 0; k < a->nexports; k++) {
            if (out->len == 0 && export_is_shared(&a->exports[k])) {
                text_format(out,
                            "action `%.200s` exports `%.200s` to all users (scope: %s), and %u "
                            "instances share nothing: run one, or leave the scope out",
                            a->id, a->exports[k].name, a->exports[k].scope, options.of);
            }
        }
    }
}

/* What is wrong with it before anything is sent. */
static bool read_scenario(const char *yaml, size_t n, struct scenario *s, struct text *out)
{
    char *why = NULL;
    if (!scenario_parse(yaml, n, s, &why)) {
        text_format(out, "Failed to parse scenario YAML: failed to parse scenario: %s", why);
    } else if (!scenario_check(s, &why)) {
        text_format(out, "Scenario validation failed: %s", why);
    } else if (!s->has_load) {
        text_add(out, "Load configuration is required for WASM component");
    } else if (s->start == SIZE_MAX) {
        text_add(out, "the workflow has no node `start`");
    } else if (s->load.max_users != 0 && s->load.max_users < options.of) {
        text_format(out, "max_concurrent_users: %llu are too few for %u instances",
                    (unsigned long long)s->load.max_users, options.of);
    } else {
        check_shared(s, out);
    }
    free(why);
    return out->len == 0;
}

/* What a scenario that was only checked has. */
static void put_check(struct text *out, const struct scenario *s)
{
    json_t *j = json_object();
    uint64_t users = 0;
    for (size_t i = 0; i < s->load.nphases; i++) {
        users += s->load.phases[i].users;
    }
    json_object_set_new(j, "scenario", json_string(s->name));
    json_object_set_new(j, "users", json_integer((json_int_t)users));
    json_object_set_new(j, "actions", json_integer((json_int_t)s->nactions));
    json_object_set_new(j, "nodes", json_integer((json_int_t)s->nnodes));
    json_object_set_new(j, "thresholds", json_integer((json_int_t)s->nthresholds));
    char *line = json_dumps(j, JSON_COMPACT);
    text_add(out, line != NULL ? line : "");
    free(line);
    json_decref(j);
}

static bool run_read(const struct scenario *s, struct text *out)
{
    struct pools pools = {0};
    char *why = NULL;
    struct totals *t = need(sizeof *t);
    t->errors = json_object();
    bool ok = make_pools(s, &pools, &why);
    if (ok && options.check) {
        put_check(out, s);
    } else if (ok && run_load(s, &pools, t, &why)) {
        summary_text(out, s, &pools, t);
        summary_json(out, s, &pools, t);
    } else {
        text_add(out, why);
        ok = false;
    }
    free(why);
    for (size_t i = 0; i < pools.n; i++) {
        pool_done(&pools.list[i]);
    }
    free(pools.list);
    json_decref(t->errors);
    free(t);
    return ok;
}

bool run_scenario(const char *yaml, size_t n, char **out)
{
    struct scenario s = {0};
    struct text text = TEXT_INIT((size_t)1 << 20), failed = TEXT_INIT((size_t)1 << 20);
    char *why = NULL;
    bool ok = options_read(&options, &why);
    if (!ok) {
        text_add(&text, why);
    } else {
        ok = read_scenario(yaml, n, &s, &text) && run_read(&s, &text);
        scenario_done(&s);
    }
    free(why);
    fflush(stdout);
    if (!ok) {
        text_format(&failed, "Scenario execution failed: %s", text.at);
        text_done(&text);
    }
    *out = text_take(ok ? &text : &failed);
    return ok;
}
