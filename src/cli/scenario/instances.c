#include "cli/scenario/instances.h"

#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/mem.h"

/* ---- what a run says while it goes on: what was refused, and what would allow it ---- */

static bool is_new(struct cis_scenario_instances *all, const char *text)
{
    bool found = all->nrefusals == CIS_SCENARIO_REFUSALS_SHOWN;
    for (size_t i = 0; i < all->nrefusals && !found; i++) {
        found = strcmp(all->refusals[i], text) == 0;
    }
    char *copy = found ? NULL : cis_strdup(text);
    if (copy != NULL) {
        all->refusals[all->nrefusals++] = copy;
    }
    return !found;
}

static void log_line(void *self, const struct cis_call *call, enum cis_log_level level,
                     const char *text, size_t len)
{
    struct cis_scenario_instances *all = self;
    (void)call, (void)level;
    pthread_mutex_lock(&all->lock);
    bool shows = is_new(all, text);
    pthread_mutex_unlock(&all->lock);
    if (shows) {
        cis_scenario_say(all, "cis scenario run: ", (struct cis_str){text, len});
    }
}

/* ---- one instance ---- */

static struct cis_host_stream stream_of(struct cis_scenario_lines *lines)
{
    return (struct cis_host_stream){
        .kind = CIS_STREAM_CALL, .write = cis_scenario_write, .self = lines};
}

static void *run_one(void *self)
{
    static const char *const args[] = {"scenario", NULL};
    struct cis_scenario_instance *i = self;
    struct cis_scenario_instances *all = i->all;
    struct cis_run_request request = all->scenario->request;
    struct cis_run_program program = {
        .args = args,
        .env = i->env,
        .invoke = cis_buf_cstr(&all->scenario->invoke),
        .invoke_args = args + 1,
        .std = {{.kind = CIS_STREAM_NULL}, stream_of(&i->out), stream_of(&i->errors)}};
    request.program = &program;
    request.services.log = all->quiet ? NULL : &all->log;
    i->code = cis_run_execute(&request, &i->outcome, &i->why);
    cis_scenario_lines_end(&i->errors);
    pthread_mutex_lock(&all->lock);
    all->over++;
    pthread_cond_signal(&all->changed);
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

static void lines_init(struct cis_scenario_lines *l, struct cis_scenario_instances *all, size_t i,
                       bool errors)
{
    *l = (struct cis_scenario_lines){.all = all, .instance = i, .errors = errors};
    l->line = CIS_BUF_INIT(CIS_LOADTEST_RECORD_MAX + 1);
}

static void instance_init(struct cis_scenario_instances *all, size_t i, size_t n)
{
    struct cis_scenario_instance *one = &all->list[i];
    size_t k = 0;
    one->all = all;
    snprintf(one->share, sizeof one->share, "SCHEDULER_SHARE=%zu/%zu", i, n);
    one->env[k++] = "SCHEDULER_PROGRESS=500ms";
    one->env[k++] = one->share;
    if (all->verbose) {
        one->env[k++] = "SCHEDULER_VERBOSE=1";
    }
    lines_init(&one->out, all, i, false);
    lines_init(&one->errors, all, i, true);
}

cis_code cis_scenario_instances_init(struct cis_scenario_instances *all, struct cis_scenario *s,
                                     size_t n, struct cis_error *err)
{
    pthread_condattr_t attr;
    *all = (struct cis_scenario_instances){.scenario = s, .quiet = s->cli->json};
    all->verbose = cis_cli_has(s->cli, "verbose");
    all->log = (struct cis_log_service)CIS_LOG_SERVICE_INIT;
    all->log.self = all;
    all->log.line = log_line;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->changed, &attr);
    pthread_condattr_destroy(&attr);
    CIS_TRY(cis_loadtest_new(n, &all->test, err));
    all->list = cis_calloc(n, sizeof *all->list);
    if (all->list == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    all->n = n;
    for (size_t i = 0; i < n; i++) {
        instance_init(all, i, n);
    }
    return CIS_OK;
}

void cis_scenario_instances_done(struct cis_scenario_instances *all)
{
    for (size_t i = 0; i < all->n; i++) {
        cis_buf_done(&all->list[i].out.line);
        cis_buf_done(&all->list[i].errors.line);
        cis_run_outcome_done(&all->list[i].outcome);
    }
    for (size_t i = 0; i < all->nrefusals; i++) {
        cis_free(all->refusals[i]);
    }
    cis_loadtest_free(all->test);
    cis_free(all->list);
    pthread_mutex_destroy(&all->lock);
    pthread_cond_destroy(&all->changed);
}

/* ---- all of them ---- */

/* true: all that were started have ended. false: a second has gone by. */
static bool wait_second(struct cis_scenario_instances *all, size_t started)
{
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&all->lock);
    while (all->over < started && rc == 0) {
        rc = pthread_cond_timedwait(&all->changed, &all->lock, &until);
    }
    bool over = all->over >= started;
    pthread_mutex_unlock(&all->lock);
    return over;
}

cis_code cis_scenario_instances_run(struct cis_scenario_instances *all, struct cis_error *err)
{
    size_t started = 0;
    int sys = 0;
    all->began_ns = cis_clock_mono_ns();
    while (started < all->n && sys == 0) {
        sys = pthread_create(&all->list[started].thread, NULL, run_one, &all->list[started]);
        started += sys == 0;
    }
    if (sys != 0) { /* a part of the users would be no test */
        cis_cancel_fire(all->scenario->cli->cancel);
    }
    while (!wait_second(all, started)) {
        cis_scenario_progress(all, false);
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(all->list[i].thread, NULL);
    }
    cis_scenario_progress(all, true);
    return sys == 0 ? CIS_OK
                    : cis_fail_sys(err, CIS_E_INTERNAL, sys, "a thread for instance %zu", started);
}
