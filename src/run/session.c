/* Opening and closing a guest with its host state, and what it changed. */
#include "run/session.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "host/form.h"
#include "provider/corelibs/corelibs.h"
#include "run/program.h"
#include "service/ai/ai.h"
#include "wasi/p1/p1.h"
#include "wasi/p2/p2.h"
#include "store/calls.h"

/* All else in a report is less: a guest that fills its log still has a record. */
#define LOG_BYTES_MAX (CIS_STORE_REPORT_MAX - (4u << 20))

static cis_code take_config(cis_session *s, struct cis_error *err)
{
    const struct cis_run_request *r = &s->request;
    for (size_t i = 0; i < r->nconfig; i++) {
        const struct cis_str_pair *p = &r->config[i];
        CIS_TRY(cis_host_config_begin(&s->host, p->key, p->value, err));
    }
    cis_host_config_keep(&s->host);
    s->host.config_check = r->config_check;
    s->host.config_self = r->config_self;
    return CIS_OK;
}

/* Of the process's environment the guest sees what env=NAME grants name, and nothing else. */
static cis_code take_env(cis_session *s, struct cis_error *err)
{
    const struct cis_grants *grants = &s->host.grants;
    size_t n = 0;
    if (grants->nenv == 0) {
        return CIS_OK;
    }
    s->env = cis_calloc(cis_size_add(grants->nenv, 1), sizeof *s->env);
    for (size_t i = 0; s->env != NULL && i < grants->nenv; i++) {
        if (cis_ai_key_is_in(cis_ai_key_variable(s->host.services.ai), grants->env[i])) {
            return cis_fail(err, CIS_E_DENIED,
                            "env=%s: the key of an AI provider stays on the host", grants->env[i]);
        }
        const char *value = getenv(grants->env[i]);
        if (value == NULL) {
            continue;
        }
        size_t len = cis_size_add(strlen(grants->env[i]), cis_size_add(strlen(value), sizeof "="));
        CIS_TRY(cis_budget_charge(&s->host.budget, len, "environment", err));
        s->env[n] = cis_alloc(len);
        if (s->env[n] == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "environment: out of memory");
        }
        snprintf(s->env[n++], len, "%s=%s", grants->env[i], value);
    }
    s->host.env = (const char *const *)s->env;
    return s->env != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "environment: out of memory");
}

static void free_env(char **env)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        cis_free(env[i]);
    }
    cis_free(env);
}

static void init_host(cis_session *s)
{
    const struct cis_run_request *r = &s->request;
    struct cis_host *h = &s->host;
    h->call = (struct cis_call){.size = sizeof h->call,
                                .tenant = r->tenant,
                                .skill = r->skill,
                                .run_id = s->id,
                                .deadline_ns = s->stop.deadline_ns,
                                .stop = &s->stop};
    s->memory_call = h->call;
    s->memory_call.skill = r->memory != NULL ? r->memory : r->skill;
    h->services = r->services;
    h->budget.limit = r->limits.host_bytes;
    h->skill = r->skill;
    h->input = r->input;
    h->output = CIS_BUF_INIT(r->output_max);
    h->errors = CIS_BUF_INIT(CIS_LOG_LINE_MAX);
    h->log = CIS_BUF_INIT(LOG_BYTES_MAX);
    h->question = CIS_BUF_INIT(CIS_HOST_ASK_REQUEST_MAX + 4096);
    h->answered = CIS_BUF_INIT((size_t)CIS_FORM_ALL_MAX * (CIS_HOST_ASK_ANSWER_MAX + 512));
    h->answers = r->answers;
    h->nanswers = r->nanswers;
    h->progress = r->progress;
    h->progress_self = r->progress_self;
    h->log_lines_max = CIS_LOG_LINES_MAX_DEFAULT;
    h->ai_calls_max = r->ai_calls_max;
    h->ai_tokens_max = r->ai_tokens_max;
    h->http_body_max = CIS_HTTP_BODY_MAX_DEFAULT;
    h->no_clock = r->no_clock;
    h->no_random = r->no_random;
    h->config = h->config_before = CIS_MAP_INIT;
}

static void fill_defaults(struct cis_run_request *r)
{
    if (r->tenant == NULL) {
        r->tenant = "default";
    }
    if (r->limits.host_bytes == 0) {
        r->limits.host_bytes = CIS_HOST_BYTES_DEFAULT;
    }
    if (r->output_max == 0) {
        r->output_max = CIS_OUTPUT_MAX_DEFAULT;
    }
    if (r->ai_calls_max == 0) {
        r->ai_calls_max = CIS_AI_CALLS_MAX_DEFAULT;
    }
    if (r->ai_tokens_max == 0) {
        r->ai_tokens_max = CIS_AI_TOKENS_MAX_DEFAULT;
    }
}

static void set_deadline(cis_session *s)
{
    s->started_ns = cis_clock_mono_ns();
    s->stop.deadline_ns = cis_clock_after(s->started_ns, s->request.time_ns);
    s->stop.cancel = s->request.cancel;
    s->host.call.deadline_ns = s->memory_call.deadline_ns = s->stop.deadline_ns;
}

static cis_code mount(cis_session *s, struct cis_error *err)
{
    const struct cis_run_request *r = &s->request;
    if (r->nmounts == 0) {
        return CIS_OK;
    }
    struct cis_run_files_options o = {.fs_cache = r->fs_cache,
                                      .store = r->store,
                                      .tenant = r->tenant,
                                      .run_id = s->id,
                                      .note = r->skill,
                                      .fork = r->fork,
                                      .mounts = r->mounts,
                                      .nmounts = r->nmounts,
                                      .read_only = r->read_only,
                                      .budget = &s->host.budget,
                                      .stop = &s->stop};
    return cis_run_files_open(&o, &s->files, err);
}

static cis_code link(cis_session *s, struct cis_error *err)
{
    const struct cis_run_request *r = &s->request;
    struct cis_str entry;
    if (r->program == NULL) {
        return cis_skillabi_link(r->module, &r->abi, &s->stop, &s->program, err);
    }
    if (!r->program->no_entry) {
        CIS_TRY(cis_run_program_entry(r, &entry, err));
    }
    return cis_run_program_link(r, &s->stop, &s->program, err);
}

void cis_session_pause(void *session)
{
    cis_session *s = session;
    if (s->host.instance != NULL) {
        cis_engine_instance_block(s->host.instance);
    }
}

cis_code cis_session_resume(void *session, struct cis_error *err)
{
    cis_session *s = session;
    return s->host.instance != NULL ? cis_engine_instance_unblock(s->host.instance, err) : CIS_OK;
}

/* For what a search looks at: memory is read faster than by the guest, but each word reads it. */
static cis_code burn_search(void *session, uint64_t bytes, struct cis_error *err)
{
    cis_session *s = session;
    return s->host.instance != NULL ? cis_engine_instance_burn(s->host.instance, bytes / 8, err)
                                    : CIS_OK;
}

static cis_code view_new(cis_session *s, cis_memory_view **out_view, struct cis_error *err)
{
    struct cis_host *h = &s->host;
    CIS_TRY(cis_memory_view_new(h->services.memory, &s->memory_call, &h->budget, out_view, err));
    cis_memory_view_pause(*out_view, (struct cis_memory_pause){s, cis_session_pause,
                                                               cis_session_resume, burn_search});
    return CIS_OK;
}

static cis_code start(cis_session *s, struct cis_error *err)
{
    const struct cis_run_request *r = &s->request;
    if (r->grants != NULL) {
        CIS_TRY(cis_grants_copy(r->grants, &s->host.grants, err));
        CIS_TRY(r->program == NULL ? take_env(s, err) : CIS_OK);
    }
    CIS_TRY(view_new(s, &s->host.memory, err));
    CIS_TRY(take_config(s, err));
    CIS_TRY(link(s, err));
    CIS_TRY(mount(s, err));
    cis_run_program_env(s);
    if (r->program != NULL || s->files != NULL) { /* else made when a skill asks for it */
        CIS_TRY(cis_wasi_p1_start(&s->host, err));
    }
    struct cis_engine_instance_options o = {.limits = r->limits,
                                            .stop = s->stop,
                                            .tenant = r->tenant,
                                            .weight = r->weight,
                                            .grants = cis_host_guest_grants(&s->host),
                                            .host = &s->host,
                                            .budget = &s->host.budget};
    cis_recording_watch(r->recording, &o);
    if (r->trace != NULL) {
        o.trace = cis_trace_line;
        o.trace_iface = cis_trace_typed;
        o.trace_self = s;
    }
    /* Where callbacks look for it: they come from its start function already. */
    return cis_engine_instance_new(r->engine, s->program, &o, &s->host.instance, err);
}

cis_code cis_session_open(const struct cis_run_request *request, cis_session **out_session,
                          struct cis_error *err)
{
    cis_session *s = cis_zalloc(sizeof *s);
    if (s == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "run: out of memory");
    }
    s->request = *request;
    fill_defaults(&s->request);
    cis_id_new(s->id);
    s->started_ms = cis_clock_wall_ms();
    s->healed = request->store != NULL ? atomic_load(&request->store->healed) : 0;
    set_deadline(s);
    init_host(s);
    *out_session = s;
    return start(s, err);
}

cis_engine_instance *cis_session_instance(cis_session *session)
{
    return session->host.instance;
}

/* What one call wrote is not the next one's: a session that is kept would slowly use up the caps
 * and the host bytes of a single run. */
static void forget_call(struct cis_host *host)
{
    cis_budget_release(&host->budget, (uint64_t)host->output.len + host->log.len);
    struct cis_buf *kept[] = {&host->output, &host->log, &host->errors};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        size_t max = kept[i]->max;
        cis_buf_done(kept[i]); /* not only emptied: what it holds is no longer charged */
        *kept[i] = CIS_BUF_INIT(max);
    }
    host->output_written = false;
    host->log_lines = host->log_dropped = 0;
    host->ai_calls = host->ai_tokens = 0;
    host->http_calls = host->http_bytes_in = host->http_bytes_out = 0;
}

static void rearm(cis_session *session)
{
    set_deadline(session);
    forget_call(&session->host);
    cis_engine_instance_rearm(session->host.instance, &session->stop, session->request.limits.fuel);
}

cis_code cis_session_idle(const cis_session *session, const char *what, struct cis_error *err)
{
    if (session->closing) {
        return cis_fail(err, CIS_E_USAGE, "%s: it is being closed", what);
    }
    if (session->busy) {
        return cis_fail(err, CIS_E_USAGE, "%s: another call is being made", what);
    }
    return CIS_OK;
}

cis_code cis_session_enter(cis_session *session, const char *what, struct cis_error *err)
{
    CIS_TRY(cis_session_idle(session, what, err));
    session->busy = true;
    rearm(session);
    return CIS_OK;
}

void cis_session_leave(cis_session *session)
{
    session->busy = false;
}

bool cis_session_busy(const cis_session *session)
{
    return session != NULL && (session->busy || session->closing);
}

void cis_session_closing(cis_session *session)
{
    if (session != NULL) {
        session->closing = true;
    }
}

void cis_session_discard(cis_session *session)
{
    cis_memory_view_forget(session->host.memory);
    cis_host_config_forget(&session->host);
}

cis_code cis_session_tell_memory(cis_session *session, const struct cis_session_changes *changes,
                                 struct cis_error *err)
{
    const struct cis_memory_service *service = session->host.services.memory;
    struct cis_error why = {0};
    cis_code code = cis_error_foreign(&why,
                                      service->commit(service->self, &session->memory_call,
                                                      changes->memory, changes->nmemory, &why),
                                      "memory");
    return code == CIS_OK ? CIS_OK : cis_fail(err, code, "%s", why.msg);
}

/* Memory and config in one commit where one store keeps both. */
static cis_code commit_changes(cis_session *s, const struct cis_session_changes *c,
                               struct cis_error *err)
{
    const struct cis_run_request *r = &s->request;
    const struct cis_memory_service *service = s->host.services.memory;
    struct cis_store_memory *mine = service != NULL ? cis_store_memory_of(service) : NULL;
    bool together = mine != NULL && mine->store == r->store;
    if (!together && c->nmemory != 0) {
        CIS_TRY(cis_session_tell_memory(s, c, err));
    }
    struct cis_store_commit commit = {.kv = together ? c->kv : NULL,
                                      .nkv = together ? c->nmemory : 0,
                                      .config = c->config,
                                      .nconfig = c->nconfig,
                                      .quota_bytes = together ? mine->quota_bytes : 0,
                                      .quota_keys = together ? mine->quota_keys : 0};
    return r->store != NULL && (commit.nkv != 0 || commit.nconfig != 0)
               ? cis_store_commit(r->store, cis_str_of(r->tenant), &commit, &s->stop, err)
               : CIS_OK;
}

cis_code cis_session_commit(cis_session *session, struct cis_error *err)
{
    struct cis_session_changes c;
    cis_code code = cis_session_changes(session, true, &c, err);
    if (code == CIS_OK) {
        code = commit_changes(session, &c, err);
        cis_session_changes_done(&c);
    }
    if (code != CIS_OK) {
        cis_session_discard(session); /* else the next call would commit it */
        return code;
    }
    cis_memory_view_forget(session->host.memory); /* it is now read from the service */
    cis_host_config_keep(&session->host);
    return CIS_OK;
}

void cis_session_end_guest(cis_session *session)
{
    cis_engine_instance *instance = session->host.instance;
    session->host.instance = NULL;
    cis_engine_instance_free(instance);
}

void cis_session_close(cis_session *session)
{
    if (session == NULL) {
        return;
    }
    session->closing = true; /* services are told of ends below, and may ask for anything */
    cis_session_end_guest(session);
    cis_wasi_p2_end(&session->host);
    cis_corelibs_end(&session->host);
    cis_wasi_p1_end(&session->host);
    cis_host_net_end(&session->host);
    cis_run_files_close(session->files);
    cis_linked_unref(session->program);
    cis_memory_view_free(session->host.memory);
    cis_grants_done(&session->host.grants);
    cis_host_config_done(&session->host);
    free_env(session->env);
    cis_buf_done(&session->host.output);
    cis_buf_done(&session->host.errors);
    cis_buf_done(&session->host.log);
    cis_buf_done(&session->host.question);
    cis_buf_done(&session->host.answered);
    for (size_t i = 0; i < 3; i++) {
        cis_buf_done(&session->host.wasi_env.std[i].kept);
    }
    cis_free(session);
}

cis_code cis_session_changes(cis_session *session, bool keep, struct cis_session_changes *out,
                             struct cis_error *err)
{
    struct cis_session_changes c = {0};
    if (!keep || session->host.memory == NULL) {
        *out = c;
        return CIS_OK;
    }
    struct cis_str ns = cis_str_of(session->memory_call.skill);
    CIS_TRY(cis_memory_view_ops(session->host.memory, &c.memory, &c.nmemory, err));
    if (c.nmemory != 0) {
        c.kv = cis_calloc(c.nmemory, sizeof *c.kv);
        if (c.kv == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "commit of %zu memory keys: out of memory",
                            c.nmemory);
        }
    }
    for (size_t i = 0; i < c.nmemory; i++) {
        const struct cis_memory_op *op = &c.memory[i];
        c.kv[i] = (struct cis_kv_op){.ns = ns,
                                     .key = {op->key, op->key_len},
                                     .value = {op->value, op->value_len},
                                     .remove = op->value == NULL,
                                     .is_public = -1};
    }
    if (session->host.config_dirty) {
        c.config = cis_calloc(session->host.config.count, sizeof *c.config);
        if (c.config == NULL) {
            cis_free(c.kv);
            return cis_fail(err, CIS_E_NOMEM, "commit of config: out of memory");
        }
        cis_map_foreach (&session->host.config, e) {
            const struct cis_host_value *v = e->value;
            if (v->changed) {
                c.config[c.nconfig++] = (struct cis_kv_op){.ns = ns,
                                                           .key = e->key,
                                                           .value = cis_bytes_of(v->text, v->len),
                                                           .is_public = -1};
            }
        }
    }
    *out = c;
    return CIS_OK;
}

void cis_session_changes_done(struct cis_session_changes *changes)
{
    cis_free(changes->kv);
    cis_free(changes->config);
    *changes = (struct cis_session_changes){0};
}
