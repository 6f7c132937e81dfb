/* Tools that installed skills declare: listed with what they were then; called as runs. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "skill/plugs.h"
#include "skill/schema.h"
#include "store/calls.h"

#define OUTPUT_MAX ((uint64_t)8 << 20)
#define STRUCTURED_MAX ((size_t)1 << 20)
#define STRUCTURED_VALUES CIS_MCP_VALUES_MAX
#define CONFIG_MAX 256u

/* ---- the list ---- */

/* By what it was granted, whatever the skill says of itself. */
static json_t *annotations(const struct cis_grants *g)
{
    bool outside = cis_grants_has(g, CIS_GRANT_HTTP) || cis_grants_has(g, CIS_GRANT_NET) ||
                   cis_grants_has(g, CIS_GRANT_AI);
    bool changes = outside || cis_grants_has(g, CIS_GRANT_FS_WRITE) ||
                   cis_grants_has(g, CIS_GRANT_MEMORY_WRITE);
    return json_pack("{s:b,s:b,s:b,s:b}", "readOnlyHint", changes ? 0 : 1, "destructiveHint",
                     changes ? 1 : 0, "openWorldHint", outside ? 1 : 0, "idempotentHint",
                     changes ? 0 : 1);
}

static json_t *spec_of(const struct cis_grants *may, const struct cis_manifest_tool *t)
{
    json_t *input = json_loads(t->input, 0, NULL);
    json_t *spec = json_pack("{s:s,s:o,s:o,s:o,s:o}", "name", t->name, "title",
                             cis_mcp_text_of(t->title[0] != 0 ? t->title : t->name), "description",
                             cis_mcp_text_of(t->description), "inputSchema", input, "annotations",
                             annotations(may));
    if (spec != NULL && t->output != NULL) {
        json_object_set_new(spec, "outputSchema", json_loads(t->output, 0, NULL));
    }
    return spec;
}

/* What a call may be allowed, before it is made or by the person in the middle of it. */
const struct cis_grants *cis_mcp_skill_may(const struct cis_mcp *m,
                                           const struct cis_installed *skill)
{
    return m->o.ask_grants ? &skill->manifest.asked : &skill->grants;
}

static mcp_tool_run skill_call;

static cis_code take_method(struct mcp_lists *l, struct mcp_tool *tool,
                            const struct cis_installed *skill, const char *method,
                            struct cis_error *err)
{
    l->runs_skills = true;
    tool->skill = cis_strdup(skill->name);
    tool->method = cis_strdup(method);
    tool->digest = cis_strdup(skill->digest);
    return tool->skill != NULL && tool->method != NULL && tool->digest != NULL
               ? CIS_OK
               : cis_fail(err, CIS_E_NOMEM, "tools: out of memory");
}

cis_code cis_mcp_tools_add(struct mcp_lists *l, const struct cis_installed *skill,
                           struct cis_error *err)
{
    struct cis_mcp *m = l->mcp;
    for (size_t i = 0; i < skill->manifest.ntools; i++) {
        const struct cis_manifest_tool *t = &skill->manifest.tools[i];
        struct mcp_tool *tool;
        if (!cis_mcp_tool_wanted(m, t->name)) {
            continue;
        }
        if (cis_mcp_tool_find(l, cis_str_of(t->name)) != NULL) {
            cis_mcp_left_out(m, skill->name, "tools are",
                             "another skill has a tool of the same name");
            continue;
        }
        if (l->ntools == MCP_TOOLS_MAX) { /* with a line, as all that is left out: the rest works */
            cis_mcp_left_out(m, skill->name, "tools are", "there are too many");
            break;
        }
        json_t *spec = spec_of(cis_mcp_skill_may(m, skill), t);
        if (spec == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "tools: out of memory");
        }
        CIS_TRY(cis_mcp_tool_add(l, spec, skill_call, false, &tool, err));
        tool->gives = t->content ? MCP_GIVES_CONTENT : MCP_GIVES_TEXT;
        CIS_TRY(take_method(l, tool, skill, t->method, err));
    }
    return CIS_OK;
}

cis_code cis_mcp_tool_of_method(struct mcp_lists *l, const struct cis_installed *skill,
                                const char *name, const char *method, enum mcp_gives gives,
                                struct mcp_tool *out, struct cis_error *err)
{
    if (!cis_mcp_tool_wanted(l->mcp, "")) {
        return cis_fail(err, CIS_E_UNSUPPORTED, "it runs a method, and --tools names tools alone");
    }
    out->name = cis_strdup(name);
    out->run = skill_call;
    out->gives = gives;
    return out->name != NULL ? take_method(l, out, skill, method, err)
                             : cis_fail(err, CIS_E_NOMEM, "%s: out of memory", name);
}

/* ---- a call ---- */

struct job {
    struct mcp_call *call;
    const struct mcp_tool *tool;
    struct cis_installed skill;
    struct mcp_answers answers;
    struct cis_log_service log; /* to the client, and as this process logs */
    const struct cis_log_service *below;
    struct cis_buf input;
    struct cis_str_pair config[CONFIG_MAX];
    struct cis_run_mount mount;
    struct cis_run_request request;
    cis_engine_module *module;
    struct cis_run_outcome outcome;
};

static void job_done(struct job *j)
{
    cis_run_outcome_done(&j->outcome);
    cis_engine_module_unref(j->module);
    cis_skill_close(&j->skill);
    cis_mcp_answers_done(&j->answers);
    cis_buf_done(&j->input);
}

static cis_code take_config(struct job *j, struct cis_error *err)
{
    struct cis_run_request *r = &j->request;
    if (j->skill.nconfig > CONFIG_MAX) {
        return cis_fail(err, CIS_E_USAGE, "%s: more than %u settings", j->skill.name, CONFIG_MAX);
    }
    for (size_t i = 0; i < j->skill.nconfig; i++) {
        j->config[r->nconfig++] = (struct cis_str_pair){cis_str_of(j->skill.config[i].key),
                                                        cis_str_of(j->skill.config[i].value)};
    }
    r->config = j->config;
    r->config_check = cis_skill_config_check;
    r->config_self = &j->skill.manifest;
    return cis_skill_config_complete(&j->skill.manifest, j->skill.name, r->config, r->nconfig, err);
}

static void take_limits(struct job *j)
{
    const struct cis_mcp_options *o = &j->call->mcp->o;
    struct cis_run_request *r = &j->request;
    struct cis_skill_limits mine = cis_skill_limits_meet(&j->skill.manifest.limits, &o->usual);
    mine = cis_skill_limits_meet(&o->most, &mine);
    r->limits.memory_bytes = mine.memory_bytes;
    r->limits.fuel = mine.fuel;
    r->limits.host_bytes = o->host_bytes;
    r->time_ns = mine.time_ns;
    r->output_max =
        mine.output_bytes != 0 && mine.output_bytes < OUTPUT_MAX ? mine.output_bytes : OUTPUT_MAX;
    r->handles_max = o->handles_max;
    r->ai_calls_max = o->ai_calls_max;
    r->ai_tokens_max = o->ai_tokens_max;
}

/* The served tree is its workspace, as far as it was granted one. */
static void take_files(struct job *j)
{
    const struct cis_mcp *m = j->call->mcp;
    struct cis_run_request *r = &j->request;
    bool reads = cis_grants_has(&j->skill.grants, CIS_GRANT_FS_READ);
    bool writes = cis_grants_has(&j->skill.grants, CIS_GRANT_FS_WRITE);
    if (!reads && !writes) {
        return;
    }
    j->mount = (struct cis_run_mount){.guest_path = CIS_RUN_SKILL_WORKSPACE,
                                      .host = m->o.folder,
                                      .exact = true,
                                      .branch = m->branch};
    j->mount.mode = m->o.folder != NULL ? CIS_MOUNT_COW : writes ? CIS_MOUNT_RW : CIS_MOUNT_RO;
    r->fs_cache = m->o.fs_cache;
    r->mounts = &j->mount;
    r->nmounts = 1;
    r->read_only = !writes;
}

static void log_line(void *self, const struct cis_call *call, enum cis_log_level level,
                     const char *text, size_t len)
{
    struct job *j = self;
    if (j->below != NULL && j->below->line != NULL) {
        j->below->line(j->below->self, call, level, text, len);
    }
    cis_mcp_log_line(j->call, j->skill.name, level, (struct cis_str){text, len});
}

static void take_services(struct job *j)
{
    const struct cis_grants *g = &j->skill.grants;
    struct cis_run_request *r = &j->request;
    r->services = j->call->lists->base.services;
    j->below = r->services.log;
    j->log = (struct cis_log_service)CIS_LOG_SERVICE_INIT;
    j->log.self = j;
    j->log.line = log_line;
    r->services.log = &j->log;
    if (!cis_grants_has(g, CIS_GRANT_HTTP) && !cis_grants_has(g, CIS_GRANT_AI)) {
        r->services.http = NULL;
        r->services.ai = NULL;
    }
}

static void progress(void *self, const struct cis_progress *p)
{
    cis_mcp_progress(self, p);
}

/* As it was listed when the call came. */
static cis_code open_skill(struct job *j, struct cis_error *err)
{
    struct cis_mcp *m = j->call->mcp;
    struct cis_skill_home home = cis_mcp_home(j->call);
    cis_code code =
        cis_skill_open(&home, cis_str_of(m->o.tenant), cis_str_of(j->tool->skill), &j->skill, err);
    bool other = code == CIS_OK && strcmp(j->skill.digest, j->tool->digest) != 0;
    if (other || code == CIS_E_NOTFOUND) {
        cis_mcp_lists_stale(m);
    }
    return other ? cis_fail(err, CIS_E_DENIED,
                            "%s: another version was installed meanwhile: list the tools, and call "
                            "again",
                            j->skill.name)
                 : code;
}

static cis_code prepare(struct job *j, const json_t *arguments, struct cis_error *err)
{
    struct cis_mcp *m = j->call->mcp;
    const struct cis_mcp_base *base = &j->call->lists->base;
    struct cis_run_request *r = &j->request;
    CIS_TRY(cis_mcp_grants_keep(j->call, j->tool, err));
    CIS_TRY(open_skill(j, err));
    CIS_TRY(cis_mcp_grants_once(j->call, &j->skill, err));
    CIS_TRY(cis_mcp_answers_take(j->call, &j->answers, err));
    r->answers = j->answers.items;
    r->nanswers = j->answers.n;
    r->ask_refused = cis_mcp_grants_askable(j->call, &j->skill);
    r->progress = progress;
    r->progress_self = j->call;
    cis_mcp_dump((json_t *)(uintptr_t)arguments, &j->input);
    CIS_TRY(cis_buf_check(&j->input, "arguments", err));
    CIS_TRY(take_config(j, err));
    take_limits(j);
    take_files(j);
    take_services(j);
    const struct cis_manifest *manifest = &j->skill.manifest;
    r->engine = base->engine;
    r->store = cis_fs_cache_store(m->o.fs_cache);
    r->tenant = m->o.tenant;
    r->skill = j->skill.name;
    r->memory = j->skill.memory;
    r->grants = &j->skill.grants;
    r->dns_servers = m->o.dns_servers;
    r->no_clock = m->o.no_clock && !cis_grants_has(r->grants, CIS_GRANT_CLOCKS);
    r->no_random = m->o.no_random && !cis_grants_has(r->grants, CIS_GRANT_RANDOM);
    r->cancel = j->call->cancel;
    r->input = cis_buf_bytes(&j->input);
    r->abi.abi = manifest->abi;
    r->abi.method = j->tool->method;
    r->abi.no_wasi = m->o.no_wasi;
    r->abi.wasi = base->wasi;
    r->abi.convention =
        (enum cis_convention)cis_manifest_convention(manifest, cis_str_of(j->tool->method));
    struct cis_engine_module_options module = {.name = j->skill.name,
                                               .fuel = r->limits.fuel != 0,
                                               .memory_limit = r->limits.memory_bytes,
                                               .features = base->features,
                                               .stop = {CIS_NEVER, j->call->cancel}};
    CIS_TRY(cis_skill_module(r->engine, &j->skill, &module, &j->module, err));
    r->module = j->module;
    return CIS_OK;
}

/* ---- what came of it ---- */

static bool take_commit(void *self, const struct cis_fs_commit_row *row)
{
    *(struct cis_view *)self = (struct cis_view){row->branch, row->epoch};
    return false;
}

/* Its commit may be of files, of memory, or of both. */
void cis_mcp_outcome_note(struct mcp_call *call, const struct cis_run_outcome *o,
                          struct mcp_run *run, struct mcp_result *out)
{
    struct cis_mcp *m = call->mcp;
    cis_store *store = cis_fs_cache_store(m->o.fs_cache);
    struct cis_stop stop = {CIS_NEVER, NULL};
    struct cis_error ignored;
    memcpy(run->id, o->id, sizeof run->id);
    memcpy(out->run, o->id, sizeof out->run);
    run->time_ms = cis_clock_wall_ms();
    out->changes = json_array();
    if (cis_store_commit_of_run(store, cis_str_of(m->o.tenant), o->id, take_commit, &run->commit,
                                &stop, &ignored) == CIS_OK &&
        o->files.branch != 0 && o->files.epoch != 0) {
        struct cis_view before = {o->files.branch, o->files.epoch - 1};
        (void)cis_mcp_diff(call, before, o->files, NULL, out->changes, NULL, &ignored);
    }
    if (o->branch[0] != 0 && strcmp(o->branch, m->branch) != 0) {
        snprintf(run->branch, sizeof run->branch, "%s", o->branch);
    }
    snprintf(run->status, sizeof run->status, "%s", cis_run_status(o->code));
    cis_mcp_run_add(m, run);
}

static void note_run(const struct job *j, struct mcp_result *out)
{
    struct mcp_run run = {.skill = true};
    snprintf(run.what, sizeof run.what, "%s (skill %.40s)", j->tool->name, j->skill.name);
    cis_mcp_outcome_note(j->call, &j->outcome, &run, out);
}

static cis_code take_structured(const struct job *j, struct mcp_result *out, struct cis_error *err)
{
    const struct cis_buf *text = &j->outcome.output;
    if (!j->outcome.is_json || text->len > STRUCTURED_MAX ||
        !cis_json_reads(text->ptr, text->len) ||
        cis_mcp_size(cis_buf_view(text)).values > STRUCTURED_VALUES) {
        return cis_fail(err, CIS_E_FAILED,
                        "%s: its result is not JSON of at most %zu bytes and %u values",
                        j->tool->name, STRUCTURED_MAX, STRUCTURED_VALUES);
    }
    out->structured = json_loadb((const char *)text->ptr, text->len,
                                 JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    return out->structured != NULL
               ? cis_schema_fits(j->tool->output, out->structured, "result", &j->call->stop, err)
               : cis_fail(err, CIS_E_FAILED, "%s: its result has the same name twice",
                          j->tool->name);
}

static cis_code give(const struct job *j, struct mcp_result *out, struct cis_error *err)
{
    const struct cis_run_outcome *o = &j->outcome;
    if (o->code != CIS_OK && !(o->code == CIS_E_FAILED && o->output.len != 0)) {
        return cis_fail(err, o->code, "run %s: %.180s", o->id, o->error.msg);
    }
    out->failed = o->code != CIS_OK;
    enum mcp_gives gives = j->tool->gives;
    if ((gives == MCP_GIVES_CONTENT || gives == MCP_GIVES_MESSAGES) && !out->failed) {
        return cis_mcp_content_read(cis_buf_view(&o->output), gives, &out->content, err);
    }
    cis_buf_str(&out->text, cis_buf_view(&o->output));
    return j->tool->output != NULL && !out->failed ? take_structured(j, out, err) : CIS_OK;
}

/* One run; CIS_E_INPUT_REQUIRED: it asked the person. */
static cis_code run_once(struct job *j, const json_t *arguments, struct mcp_result *out,
                         struct cis_error *err)
{
    CIS_TRY(prepare(j, arguments, err));
    CIS_TRY(cis_run_execute(&j->request, &j->outcome, err));
    note_run(j, out);
    return j->outcome.code != CIS_E_INPUT_REQUIRED
               ? give(j, out, err)
               : cis_mcp_skill_ask(j->call, j->tool, &j->skill, &j->outcome, err);
}

static cis_code skill_call(struct mcp_call *call, const struct mcp_tool *tool,
                           const json_t *arguments, struct mcp_result *out, struct cis_error *err)
{
    struct job *j CIS_CLEANUP(cis_freep) = cis_alloc(sizeof *j);
    if (j == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    *j = (struct job){.call = call, .tool = tool, .input = CIS_BUF_INIT(2 * CIS_MCP_LINE_MAX)};
    cis_code code = run_once(j, arguments, out, err);
    job_done(j);
    return code;
}
