#include "run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "action.h"
#include "options.h"
#include "prepare.h"
#include "progress.h"
#include "vars.h"

#define NONE SIZE_MAX

struct user {
    uint64_t number;
    const char *tenant;
    struct vars vars;
    json_t *outputs;
    struct session *session;
    struct pool *pool; /* NULL: no address */
    uint32_t *held;    /* the addresses it holds; the last one is the current */
    size_t nheld;
    uint64_t iteration, actions, steps; /* iteration from 1 */
    size_t node;
    uint64_t due; /* when its next step is */
    /* an action under way */
    struct action *action;
    json_t *with;
    uint64_t began;
    size_t place; /* among those that act, or wait */
};

struct run {
    const struct scenario *s;
    struct pools *pools;
    struct totals *t;
    struct vars vars;          /* of the scenario */
    json_t *shared;            /* what actions gave to all */
    uint64_t start, stop, now; /* stop: no iteration begins after it */
    /* users: those that act, and those that wait, in a heap by `due` */
    struct user **acting, **waiting;
    size_t nacting, nwaiting;
    /* users to come */
    size_t *order; /* phases by time */
    size_t phase;
    uint64_t in_phase, last_spawn, freed; /* freed: when a user last left */
    bool any_spawned, announced;
    bool ended; /* an action, since all that act were looked at last */
    uint32_t shared_ip;
    struct pool *shared_pool;
    uint64_t number; /* of the last user that was due, of whatever instance */
    uint64_t max_users;
    struct progress *progress; /* NULL: nobody wants to know */
};

/* ---- users that wait: the earliest first ---- */
static void heap_set(struct run *r, size_t i, struct user *u)
{
    r->waiting[i] = u;
    u->place = i;
}

static bool earlier(const struct user *a, const struct user *b)
{
    return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void heap_push(struct run *r, struct user *u)
{
    *ONE_MORE(r->waiting, r->nwaiting) = u;
    size_t i = r->nwaiting - 1;
    while (i > 0 && earlier(u, r->waiting[(i - 1) / 2])) {
        heap_set(r, i, r->waiting[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_set(r, i, u);
}

static struct user *heap_pop(struct run *r)
{
    struct user *first = r->waiting[0], *last = r->waiting[--r->nwaiting];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= r->nwaiting) {
            break;
        }
        if (child + 1 < r->nwaiting && earlier(r->waiting[child + 1], r->waiting[child])) {
            child++;
        }
        if (!earlier(r->waiting[child], last)) {
            break;
        }
        heap_set(r, i, r->waiting[child]);
        i = child;
    }
    if (r->nwaiting > 0) {
        heap_set(r, i, last);
    }
    return first;
}

/* ---- addresses ---- */
static struct pool *pool_named(const struct pools *pools, const char *id)
{
    for (size_t i = 0; i < pools->n; i++) {
        if (strcmp(pools->list[i].def->id, id) == 0) {
            return &pools->list[i];
        }
    }
    return NULL;
}

static void use_address(struct user *u, uint32_t ip)
{
    char text[16];
    ip_text(ip, text);
    vars_set(&u->vars, "user.allocated_ip", text);
}

static void take_address(struct run *r, struct user *u)
{
    const struct load_def *l = &r->s->load;
    uint32_t ip;
    if (u->pool == NULL || (l->strategy != PER_TASK && u->nheld > 0)) {
        return;
    }
    if (l->strategy == SHARED && r->shared_pool == u->pool) {
        use_address(u, r->shared_ip);
        return;
    }
    if (!pool_take(u->pool, &ip)) {
        fprintf(stderr, "⚠️  Failed to allocate IP for user-%llu: IP pool is full\n",
                (unsigned long long)u->number);
        return;
    }
    use_address(u, ip);
    if (l->strategy == SHARED && r->shared_pool == NULL) {
        r->shared_ip = ip; /* kept until the end */
        r->shared_pool = u->pool;
        return;
    }
    *ONE_MORE(u->held, u->nheld) = ip;
}

static void give_back(struct user *u)
{
    for (size_t i = 0; i < u->nheld; i++) {
        pool_give_back(u->pool, u->held[i]);
    }
    u->nheld = 0;
}

/* ---- the end of a user ---- */
static void leave(struct run *r, struct user *u, bool failed)
{
    give_back(u);
    r->t->users_completed += !failed;
    r->t->users_failed += failed;
    r->freed = r->now;
    session_free(u->session);
    vars_done(&u->vars);
    json_decref(u->outputs);
    free(u->held);
    free(u);
}

static void fail(struct run *r, struct user *u, const char *why)
{
    fprintf(stderr, "✗ User-%llu failed: User %llu iteration %llu failed: %s\n",
            (unsigned long long)u->number, (unsigned long long)u->number,
            (unsigned long long)u->iteration, why);
    leave(r, u, true);
}

static void complete(struct run *r, struct user *u)
{
    unsigned long long n = u->number, i = u->iteration;
    say("[User-%llu] Completed %llu iterations\n", n, i);
    say("✓ User-%llu completed %llu iterations, %llu actions\n", n, i,
        (unsigned long long)u->actions);
    leave(r, u, false);
}

/* ---- steps ---- */
static struct scope scope_of(const struct run *r, const struct user *u)
{
    return (struct scope){&r->vars, &u->vars, u->outputs, r->shared};
}

static void begin_iteration(struct run *r, struct user *u)
{
    unsigned long long all = r->s->load.loop ? r->s->load.iterations : 1;
    u->iteration++;
    u->steps = 0;
    u->node = r->s->start;
    say(all != 0 ? "[User-%llu] Starting iteration %llu/%llu\n"
                 : "[User-%llu] Starting iteration %llu\n",
        (unsigned long long)u->number, (unsigned long long)u->iteration, all);
}

/* true: another one follows, due after the time to think. */
static bool next_iteration(struct run *r, struct user *u)
{
    const struct load_def *l = &r->s->load;
    uint64_t all = l->loop ? l->iterations : 1;
    if ((all != 0 && u->iteration >= all) || r->now + l->think >= r->stop) {
        return false;
    }
    u->due += l->think;
    u->node = NONE;
    return true;
}

/* The edge that is taken; NULL: none. */
static const struct edge_def *edge_of(const struct node_def *n, const struct scope *scope)
{
    for (size_t i = 0; i < n->nedges; i++) {
        const struct edge_def *e = &n->edges[i];
        if (!e->trigger || (e->condition != NULL && condition_holds(scope, e->condition))) {
            return e;
        }
    }
    return NULL;
}

static void count_error(struct totals *t, const struct outcome *o)
{
    const char *what = o->net != NET_OK ? net_error_text(o->net) : "other";
    json_t *n = json_object_get(t->errors, what);
    json_object_set_new(t->errors, what, json_integer(json_integer_value(n) + 1));
    t->failed++;
}

static void count_answer(struct run *r, struct user *u, const struct outcome *o)
{
    struct totals *t = r->t;
    bool good = o->status >= 200 && o->status < 300;
    uint64_t latency = r->now > u->due ? r->now - u->due : 0;
    t->actions++;
    u->actions++;
    t->successful += good;
    t->failed += !good;
    t->statuses[o->status >= 0 && o->status < 600 ? o->status : 0]++;
    cis_histogram_add(&t->ms, latency / MS);
    cis_histogram_add(&t->us, latency / 1000);
}

/* An action begins; false: it cannot, and the user has left. */
static bool act(struct run *r, struct user *u, const struct action_def *def)
{
    struct scope scope = scope_of(r, u);
    take_address(r, u);
    u->with = def->constant ? json_incref(def->with) : expand_json(&scope, def->with);
    if (u->with == NULL) {
        fail(r, u, "a value of `with` is larger than 1 MiB");
        return false;
    }
    action_announce(def, u->with);
    u->began = net_now();
    cis_histogram_add(&r->t->late, u->began > u->due ? (u->began - u->due) / 1000 : 0);
    u->action = action_begin(def, u->with, u->began, &u->session);
    *ONE_MORE(r->acting, r->nacting) = u;
    u->place = r->nacting - 1;
    return true;
}

enum after { STAYS, LEFT };

/* From a node along its edge. */
static enum after go_on(struct run *r, struct user *u)
{
    const struct node_def *n = &r->s->nodes[u->node];
    struct scope scope = scope_of(r, u);
    const struct edge_def *e = edge_of(n, &scope);
    struct text why = TEXT_INIT(400);
    if (e != NULL && ++u->steps < STEPS_MAX) {
        u->node = e->target;
        return STAYS;
    }
    if (e != NULL) {
        text_format(&why, "The workflow did not end within %d nodes", STEPS_MAX);
    } else {
        text_format(&why, "No matching edge found for node '%.200s'", n->id);
    }
    fail(r, u, why.at);
    text_done(&why);
    return LEFT;
}

/* Until it acts, waits or has left. */
static void step(struct run *r, struct user *u)
{
    for (;;) {
        if (u->node == NONE) {
            begin_iteration(r, u);
        }
        const struct node_def *n = &r->s->nodes[u->node];
        if (n->end) {
            if (!next_iteration(r, u)) {
                complete(r, u);
                return;
            }
        } else if (n->action_index != NONE) {
            act(r, u, &r->s->actions[n->action_index]);
            return;
        } else if (go_on(r, u) == LEFT) {
            return;
        }
        if (u->due > r->now || u->node == NONE) {
            heap_push(r, u);
            return;
        }
    }
}

/* The lines of failed assertions, each with its user. */
static void tell(const struct user *u, struct text *failures)
{
    char *line = failures->at;
    for (char *end; line != NULL && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        fprintf(stderr, "✗ User-%llu: %.*s\n", (unsigned long long)u->number, (int)(end - line),
                line);
    }
    text_done(failures);
}

static void finish(struct run *r, struct user *u, struct outcome *o)
{
    const struct node_def *n = &r->s->nodes[u->node];
    const struct action_def *def = &r->s->actions[n->action_index];
    r->now = net_now();
    action_free(u->action);
    u->action = NULL;
    r->ended = true;
    json_decref(u->with);
    u->with = NULL;
    if (!r->s->load.until_exit) {
        give_back(u);
    }
    if (o->error != NULL) {
        struct text why = TEXT_INIT(4000);
        count_error(r->t, o);
        text_format(&why, "Action '%.200s' execution failed: %s", def->id, o->error);
        fail(r, u, why.at);
        text_done(&why);
        return;
    }
    count_answer(r, u, o);
    struct scope scope = scope_of(r, u);
    struct answer answer = {o->status, (r->now - u->began) / MS, o->body, o->body_kept};
    struct text failures = TEXT_INIT(10000);
    exports_take(def, &answer, &scope, u->outputs, r->shared, r->t, &failures);
    tell(u, &failures);
    u->due = r->now + n->think;
    if (go_on(r, u) == LEFT) {
        return;
    }
    if (u->due > r->now) {
        heap_push(r, u);
    } else {
        step(r, u);
    }
}

/* ---- users that come ---- */
static uint64_t next_spawn(const struct run *r)
{
    const struct load_def *l = &r->s->load;
    if (r->phase == l->nphases) {
        return UINT64_MAX;
    }
    const struct phase_def *p = &l->phases[r->order[r->phase]];
    uint64_t at = r->start + p->at;
    if (p->users > 0) {
        at += (uint64_t)((double)p->over / (double)p->users * (double)r->in_phase);
    }
    if (r->any_spawned && at < r->last_spawn + l->spawn_gap) {
        at = r->last_spawn + l->spawn_gap;
    }
    return at;
}

static bool is_full(const struct run *r)
{
    return r->max_users != 0 && r->nacting + r->nwaiting >= r->max_users;
}

static void spawn(struct run *r, const struct phase_def *p, uint64_t due)
{
    const struct load_def *l = &r->s->load;
    struct user *u = need(sizeof *u);
    char number[24];
    u->number = r->number;
    r->t->users++;
    u->node = NONE;
    u->due = due;
    u->tenant = p->tenant != NULL ? p->tenant : "default-tenant";
    u->outputs = json_object();
    u->pool = l->bound ? pool_named(r->pools, p->pool != NULL ? p->pool : l->pool) : NULL;
    snprintf(number, sizeof number, "%llu", (unsigned long long)u->number);
    vars_set(&u->vars, "user.id", number);
    vars_set(&u->vars, "tenant.id", u->tenant);
    if (l->strategy != PER_TASK) {
        take_address(r, u);
    }
    heap_push(r, u);
    uint64_t active = r->nacting + r->nwaiting;
    r->t->users_peak = active > r->t->users_peak ? active : r->t->users_peak;
}

static void spawn_due(struct run *r)
{
    const struct load_def *l = &r->s->load;
    while (r->phase < l->nphases) {
        const struct phase_def *p = &l->phases[r->order[r->phase]];
        uint64_t at = next_spawn(r);
        if (at > r->now) {
            return;
        }
        if (!r->announced) {
            say("\n📊 Phase at %llus: Spawning %llu users...\n",
                (unsigned long long)(p->at / SECOND), (unsigned long long)p->users);
            r->announced = true;
        }
        if (r->in_phase >= p->users || at >= r->stop) {
            r->phase++;
            r->in_phase = 0;
            r->announced = false;
            continue;
        }
        bool ours = r->number % options.of == options.share;
        if (ours && is_full(r)) {
            return;
        }
        /* Who had to wait for a place is due from when there was one. */
        uint64_t due = ours && l->max_users != 0 && r->freed > at ? r->freed : at;
        r->in_phase++;
        r->number++;
        r->any_spawned = true;
        r->last_spawn = due;
        if (ours) {
            spawn(r, p, due);
        }
    }
}

/* ---- the loop ---- */
static void act_on(struct run *r)
{
    r->ended = false;
    for (size_t i = 0; i < r->nacting;) {
        struct user *u = r->acting[i];
        struct net_socket *s = action_socket(u->action);
        struct outcome o = {0};
        if ((s != NULL && !s->ready && action_deadline(u->action) > r->now) ||
            !action_step(u->action, r->now, &o)) {
            i++;
            continue;
        }
        r->acting[i] = r->acting[--r->nacting]; /* another one is at this place now */
        finish(r, u, &o);
        outcome_done(&o);
    }
}

static void wait(struct run *r)
{
    struct net_socket **list = need((r->nacting + 1) * sizeof(struct net_socket *));
    size_t n = 0;
    uint64_t until = is_full(r) ? UINT64_MAX : next_spawn(r);
    if (r->nwaiting > 0 && r->waiting[0]->due < until) {
        until = r->waiting[0]->due;
    }
    for (size_t i = 0; i < r->nacting; i++) {
        struct net_socket *s = action_socket(r->acting[i]->action);
        uint64_t deadline = action_deadline(r->acting[i]->action);
        if (s != NULL) {
            list[n++] = s;
        } else if (r->ended) {
            until = 0; /* it may begin now */
        }
        until = deadline < until ? deadline : until;
    }
    until = progress_due(r->progress) < until ? progress_due(r->progress) : until;
    if (n > 0 || until > net_now()) {
        net_wait(list, n, until);
    }
    free(list);
}

static void loop(struct run *r)
{
    uint64_t flushed = 0;
    for (;;) {
        r->now = net_now();
        if (r->now - flushed >
            100 * MS) { /* a console sees it; a file is not written line by line */
            fflush(stdout);
            flushed = r->now;
        }
        spawn_due(r);
        while (r->nwaiting > 0 && r->waiting[0]->due <= r->now) {
            step(r, heap_pop(r));
            spawn_due(r);
        }
        act_on(r);
        if (progress_due(r->progress) <= r->now) {
            progress_tell(r->progress, r->t, r->nacting + r->nwaiting, r->now);
        }
        if (r->nacting == 0 && r->nwaiting == 0 && r->phase == r->s->load.nphases) {
            return;
        }
        if (r->nacting > 0 || r->nwaiting > 0 || next_spawn(r) > r->now) {
            wait(r);
        }
    }
}

/* ---- beginning ---- */
static const struct scenario *sorting;

static int by_time(const void *a, const void *b)
{
    size_t i = *(const size_t *)a, k = *(const size_t *)b;
    uint64_t x = sorting->load.phases[i].at, y = sorting->load.phases[k].at;
    return x != y ? (x < y ? -1 : 1) : (i < k ? -1 : i > k);
}

bool run_load(const struct scenario *s, struct pools *pools, struct totals *t, char **out_error)
{
    struct run *r = need(sizeof *r);
    *r = (struct run){.s = s, .pools = pools, .t = t, .stop = UINT64_MAX};
    tell_load(s);
    tell_pools(pools);
    say("\n⏱️  Starting ramp-up...\n");
    if (!actions_begin(out_error)) {
        free(r);
        return false;
    }
    make_vars(s, &r->vars);
    r->shared = json_object();
    r->max_users =
        s->load.max_users / options.of + (options.share < s->load.max_users % options.of);
    r->order = need((s->load.nphases + 1) * sizeof *r->order);
    for (size_t i = 0; i < s->load.nphases; i++) {
        r->order[i] = i;
    }
    sorting = s;
    qsort(r->order, s->load.nphases, sizeof *r->order, by_time);
    r->start = net_now();
    if (s->load.duration != 0) {
        r->stop = r->start + s->load.duration;
    }
    r->progress = progress_begin(s, r->start);
    loop(r);
    progress_end(r->progress, t, pools, net_now());
    t->took = net_now() - r->start;
    actions_end();
    if (r->shared_pool != NULL) {
        pool_give_back(r->shared_pool, r->shared_ip);
    }
    vars_done(&r->vars);
    json_decref(r->shared);
    free(r->order);
    free(r->acting);
    free(r->waiting);
    free(r);
    return true;
}
