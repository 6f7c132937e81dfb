/* `cis skill run` and `cis skill call`: one run of a module file or an installed skill. */
#include "cli/memory/file_memory.h"
#include "cli/parts.h"
#include "cli/patience.h"
#include "cli/skill/skill.h"
#include "cli/runs/ask.h"
#include "cli/runs/recording.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "config/config.h"
#include "lib/lib.h"
#include "run/run.h"
#include "service/ai/ai.h"

#define INPUT_MAX (1ull << 30)

/* What a run is made from; everything here lives until the outcome is printed. */
struct job {
    struct cis_cli *cli;
    cis_app *app;
    struct cis_installed skill; /* an installed skill … */
    bool installed;
    struct cis_buf module;             /* … or a file */
    struct cis_cli_parts parts;        /* with plugs: the module first */
    struct cis_buf composed;           /* what a recording holds then */
    char *name;                        /* "file:STEM" or the installed name */
    char file_memory[CIS_FILE_NS_MAX]; /* of a file: the namespace of its memory */
    const char *label;                 /* for messages: the file, or the name */
    struct cis_grants grants;
    struct cis_buf input;
    struct cis_str_pair config[256];
    struct cis_run_request request;
    cis_engine_module *compiled;
    cis_recording *recording;
    struct cis_cli_answers answers;
};

static void job_done(struct job *j)
{
    cis_recording_free(j->recording);
    cis_cli_answers_done(&j->answers);
    cis_engine_module_unref(j->compiled);
    if (j->installed) {
        cis_skill_close(&j->skill);
    }
    cis_cli_parts_done(&j->parts);
    cis_buf_done(&j->composed);
    cis_buf_done(&j->module);
    cis_buf_done(&j->input);
    cis_grants_done(&j->grants);
    cis_free(j->name);
    cis_app_close(j->app);
}

static cis_code read_input(struct job *j, struct cis_error *err)
{
    const char *spec = cis_cli_value(j->cli, "input");
    size_t at;
    struct cis_error why;
    cis_code code = cis_cli_input(spec != NULL ? spec : "{}", &j->input, &why);
    if (code != CIS_OK) { /* a file that the user named wrongly, unless the machine is at fault */
        bool named = code == CIS_E_NOTFOUND || code == CIS_E_INVALID;
        return cis_fail(err, named ? CIS_E_USAGE : code, "--input: %s", why.msg);
    }
    if (!cis_json_valid(j->input.ptr, j->input.len, &at)) {
        return cis_fail(err, CIS_E_USAGE, "--input: not JSON (at byte %zu)", at);
    }
    return CIS_OK;
}

static char *file_name(const char *path)
{
    struct cis_str stem = cis_file_stem(cis_str_of(path));
    size_t n = cis_size_add(stem.len, sizeof "file:");
    char *name = cis_alloc(n);
    if (name != NULL) {
        snprintf(name, n, "file:%.*s", (int)stem.len, stem.ptr);
    }
    return name;
}

/* What cis 0.1 kept for every file of this stem, and what `cis memory set` put there before the
 * file was run, belongs to the first file that asks for it. */
static cis_code claim_memory(struct job *j, struct cis_error *err)
{
    struct cis_str stem = cis_file_stem(cis_str_of(j->label));
    struct cis_stop stop = {CIS_NEVER, j->cli->cancel};
    uint64_t moved = 0;
    if (j->installed || !(cis_grants_has(&j->grants, CIS_GRANT_MEMORY_READ) ||
                          cis_grants_has(&j->grants, CIS_GRANT_MEMORY_WRITE))) {
        return CIS_OK;
    }
    CIS_TRY(cis_file_memory_claim(j->request.store, cis_str_of(j->cli->tenant),
                                  cis_str_of(j->file_memory), stem, &moved, &stop, err));
    if (moved != 0) {
        cis_cli_line(stderr,
                     "cis %s: %" PRIu64 " keys that were kept for the name %.*s belong to %s now",
                     j->cli->command->name, moved, (int)stem.len, stem.ptr,
                     j->file_memory + strlen("file:"));
    }
    return CIS_OK;
}

/* --allow G, --http X and --net X; an installed skill gets only what its manifest asks for. */
static cis_code add_grants(struct job *j, struct cis_error *err)
{
    static const char *const options[] = {"allow", "http", "net"};
    static const char *const prefixes[] = {"", "http=", "net="};
    struct cis_grants extra CIS_CLEANUP(cis_grants_done) = CIS_GRANTS_INIT;
    for (int o = 0; o < 3; o++) {
        const char *text;
        for (int i = 0; (text = cis_cli_nth(j->cli, options[o], i)) != NULL; i++) {
            CIS_CLEANUP(cis_buf_done) struct cis_buf one = CIS_BUF_INIT(16384);
            cis_buf_text(&one, prefixes[o]);
            cis_buf_text(&one, text);
            CIS_TRY(cis_buf_check(&one, "grant", err));
            CIS_TRY(cis_grants_add(&extra, cis_buf_view(&one), err));
            if (j->installed && !j->skill.manifest.bare &&
                !cis_grants_cover(&j->skill.manifest.asked, &extra)) {
                return cis_fail(err, CIS_E_DENIED, "%s: its manifest does not ask for %s",
                                j->skill.name, cis_buf_cstr(&one));
            }
            CIS_TRY(cis_grants_add(&j->grants, cis_buf_view(&one), err));
        }
    }
    return CIS_OK;
}

/* --deny G takes away what was granted before; clocks and random, which are on for everybody, too.
 */
static cis_code take_grants_away(struct job *j, struct cis_error *err)
{
    const struct cis_config *c = cis_app_config(j->app);
    struct cis_run_request *r = &j->request;
    r->no_clock = !c->enable_clocks && !cis_grants_has(&j->grants, CIS_GRANT_CLOCKS);
    r->no_random = !c->enable_random && !cis_grants_has(&j->grants, CIS_GRANT_RANDOM);
    const char *text;
    for (int i = 0; (text = cis_cli_nth(j->cli, "deny", i)) != NULL; i++) {
        CIS_TRY(cis_grants_remove(&j->grants, cis_str_of(text), err));
        r->no_clock |= strcmp(text, "clocks") == 0;
        r->no_random |= strcmp(text, "random") == 0;
    }
    for (size_t i = 0; i < j->grants.nenv; i++) {
        if (cis_ai_key_is_in(c->ai_api_key_env, j->grants.env[i])) {
            return cis_fail(err, CIS_E_DENIED,
                            "env=%s: the key of an AI provider stays on the host",
                            j->grants.env[i]);
        }
    }
    return CIS_OK;
}

static cis_code open_file(struct job *j, const char *path, struct cis_error *err)
{
    j->label = path;
    j->name = file_name(path);
    cis_file_memory_ns(path, j->file_memory);
    if (j->name == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", path);
    }
    CIS_TRY(cis_cli_read(path, &j->module, err));
    /* A bare file: log and its own memory, nothing else. */
    return cis_grants_add(&j->grants, CIS_STR("memory"), err);
}

static cis_code open_installed(struct job *j, const char *name, struct cis_error *err)
{
    struct cis_skill_home home;
    j->label = name;
    CIS_TRY(cis_cli_skill_home(j->app, &home, err));
    CIS_TRY(cis_skill_open(&home, cis_str_of(j->cli->tenant), cis_str_of(name), &j->skill, err));
    j->installed = true;
    j->name = cis_strdup(name);
    if (j->name == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", name);
    }
    return cis_grants_copy(&j->skill.grants, &j->grants, err);
}

static cis_code put_config(struct job *j, struct cis_str key, struct cis_str value,
                           struct cis_error *err)
{
    for (size_t i = 0; i < j->request.nconfig; i++) {
        if (cis_str_eq(j->config[i].key, key)) {
            j->config[i].value = value;
            return CIS_OK;
        }
    }
    if (j->request.nconfig == sizeof j->config / sizeof *j->config) {
        return cis_fail(err, CIS_E_USAGE, "config: more than %zu values", j->request.nconfig);
    }
    j->config[j->request.nconfig++] = (struct cis_str_pair){key, value};
    return CIS_OK;
}

static cis_code take_config(struct job *j, struct cis_error *err)
{
    for (size_t i = 0; j->installed && i < j->skill.nconfig; i++) {
        CIS_TRY(put_config(j, cis_str_of(j->skill.config[i].key),
                           cis_str_of(j->skill.config[i].value), err));
    }
    const char *text;
    for (int i = 0; (text = cis_cli_nth(j->cli, "config", i)) != NULL; i++) {
        struct cis_str value = cis_str_of(text), key;
        if (!cis_str_split(&value, '=', &key) || key.len == 0) {
            return cis_fail(err, CIS_E_USAGE, "--config %s: not KEY=VALUE", text);
        }
        if (j->installed) {
            CIS_TRY(cis_manifest_setting_check(&j->skill.manifest, key, value, err));
        }
        CIS_TRY(put_config(j, key, value, err));
    }
    if (j->installed) {
        CIS_TRY(cis_skill_config_complete(&j->skill.manifest, j->name, j->config,
                                          j->request.nconfig, err));
        j->request.config_check = cis_skill_config_check;
        j->request.config_self = &j->skill.manifest;
    }
    j->request.config = j->config;
    return CIS_OK;
}

static cis_code take_limits(struct job *j, struct cis_error *err)
{
    const struct cis_config *c = cis_app_config(j->app);
    struct cis_run_request *r = &j->request;
    struct cis_skill_limits mine = {c->memory, c->time_ns, c->fuel, c->output_max, 0};
    /* [runtime] is over what is configured and asked for; a flag is over the configuration. */
    if (!cis_cli_has(j->cli, "memory") || cis_cli_has(j->cli, "max-memory")) {
        r->limits.memory_bytes = c->max_memory;
    }
    if (!cis_cli_has(j->cli, "time") || cis_cli_has(j->cli, "max-execution-time")) {
        r->time_ns = c->max_execution_time_ns;
    }
    if (!cis_cli_size(j->cli, "memory", &mine.memory_bytes) ||
        !cis_cli_duration(j->cli, "time", &mine.time_ns) ||
        !cis_cli_number(j->cli, "fuel", &mine.fuel) ||
        !cis_cli_size(j->cli, "output", &mine.output_bytes)) {
        return cis_fail(err, CIS_E_USAGE, "%s", ""); /* told already */
    }
    if (mine.memory_bytes == 0 || mine.time_ns == 0) {
        return cis_fail(err, CIS_E_USAGE, "--memory and --time: must not be 0");
    }
    if (j->installed) {
        mine = cis_skill_limits_meet(&j->skill.manifest.limits, &mine);
    }
    struct cis_skill_limits most = {r->limits.memory_bytes, r->time_ns, 0, 0, 0};
    mine = cis_skill_limits_meet(&most, &mine);
    r->limits.memory_bytes = mine.memory_bytes;
    r->limits.fuel = mine.fuel;
    r->limits.host_bytes = c->host_bytes;
    r->handles_max = c->handles;
    r->time_ns = mine.time_ns;
    r->output_max = mine.output_bytes;
    r->ai_calls_max = c->ai_calls_max;
    r->ai_tokens_max = c->ai_tokens_max;
    return CIS_OK;
}

static void take_exports(struct job *j)
{
    struct cis_skillabi_options *abi = &j->request.abi;
    const struct cis_manifest *m = &j->skill.manifest;
    if (!j->installed) {
        return;
    }
    if (abi->abi == NULL) {
        abi->abi = m->abi;
    }
    if (abi->method == NULL) {
        abi->method = m->method;
    }
    if (abi->convention == CIS_CONVENTION_AUTO && abi->method != NULL) {
        abi->convention = (enum cis_convention)cis_manifest_convention(m, cis_str_of(abi->method));
    }
}

/* The plugs of its manifest, and those of --plug. */
static cis_code take_plugs(struct job *j, struct cis_error *err)
{
    const struct cis_manifest *m = &j->skill.manifest;
    size_t own = j->installed ? m->nplugs : 0, given = (size_t)cis_cli_count(j->cli, "plug");
    if (own + given == 0) {
        return CIS_OK;
    }
    CIS_TRY(cis_cli_parts_init(&j->parts, 1 + own + given, err));
    CIS_TRY(j->installed
                ? cis_cli_parts_give(&j->parts, m->entry, cis_buf_bytes(&j->skill.module), err)
                : cis_cli_parts_give(&j->parts, j->label, cis_buf_bytes(&j->module), err));
    for (size_t i = 0; i < own; i++) {
        CIS_TRY(cis_cli_parts_give(&j->parts, m->plugs[i].path, cis_buf_bytes(&j->skill.plugs[i]),
                                   err));
    }
    return cis_cli_parts_plugs(&j->parts, j->cli, err);
}

/* A recording holds the module that runs, so it is made then. */
static cis_code load_whole(struct job *j, const struct cis_engine_module_options *o,
                           struct cis_error *err)
{
    cis_engine *engine = j->request.engine;
    const struct cis_composition *c = &j->parts.composition;
    const struct cis_buf *bytes = j->installed ? &j->skill.module : &j->module;
    if (j->parts.n != 0 && !cis_cli_has(j->cli, "record")) {
        return cis_engine_module_load_composed(engine, c, o, &j->compiled, err);
    }
    if (j->parts.n != 0) {
        j->composed = CIS_BUF_INIT(CIS_COMPOSED_MAX);
        CIS_TRY(cis_engine_compose(engine, c, o, &j->composed, NULL, err));
        bytes = &j->composed;
    }
    return cis_engine_module_load(engine, cis_buf_bytes(bytes), o, &j->compiled, err);
}

static cis_code load_module(struct job *j, struct cis_error *err)
{
    const struct cis_config *c = cis_app_config(j->app);
    struct cis_engine_module_options o = {.name = j->label,
                                          .fuel = j->request.limits.fuel != 0,
                                          .memory_limit = j->request.limits.memory_bytes,
                                          .stop = {CIS_NEVER, j->cli->cancel}};
    o.features =
        (c->memory64 ? CIS_FEATURE_MEMORY64 : 0u) | (c->exceptions ? CIS_FEATURE_EXCEPTIONS : 0u);
    o.features |= cis_cli_record_features(j->cli);
    const char *feature;
    for (int i = 0; (feature = cis_cli_nth(j->cli, "enable", i)) != NULL; i++) {
        o.features |= feature[0] == 'm' ? CIS_FEATURE_MEMORY64 : CIS_FEATURE_EXCEPTIONS;
    }
    CIS_TRY(take_plugs(j, err));
    CIS_TRY(cis_app_engine(j->app, CIS_APP_RUN_SLOTS, &j->request.engine, err));
    cis_patience *patience = cis_patience_begin(j->cli, "compiling", j->label);
    cis_code code = load_whole(j, &o, err);
    cis_patience_end(patience);
    CIS_TRY(code);
    struct cis_engine_stats stats;
    cis_engine_stats(j->request.engine, &stats);
    j->request.compiled_code = stats.compiled != 0 ? "compiled" : "disk";
    return CIS_OK;
}

static cis_code record(struct job *j, struct cis_error *err)
{
    struct cis_recording_source source = {.module =
                                              cis_buf_bytes(j->composed.len != 0 ? &j->composed
                                                            : j->installed       ? &j->skill.module
                                                                                 : &j->module),
                                          .name = j->label,
                                          .wasi = j->request.abi.wasi};
    CIS_TRY(cis_cli_record(j->app, j->cli, j->compiled, &source, &j->recording, err));
    j->request.recording = j->recording;
    return CIS_OK;
}

static cis_code prepare(struct job *j, const char *name, const char *method, struct cis_error *err)
{
    struct cis_run_request *r = &j->request;
    const char *file = cis_cli_value(j->cli, "wasm"), *tx = cis_cli_value(j->cli, "tx");
    CIS_TRY(cis_convention_parse(cis_cli_value(j->cli, "convention"), &r->abi.convention, err));
    CIS_TRY(read_input(j, err));
    CIS_TRY(cis_cli_answers_take(&j->answers, j->cli, err));
    CIS_TRY(cis_app_open(j->cli, &j->app, err));
    CIS_TRY(file != NULL ? open_file(j, file, err) : open_installed(j, name, err));
    CIS_TRY(add_grants(j, err));
    CIS_TRY(take_grants_away(j, err));
    CIS_TRY(take_config(j, err));
    CIS_TRY(take_limits(j, err));
    r->abi.abi = cis_cli_value(j->cli, "abi");
    r->abi.method = method != NULL ? method : cis_cli_value(j->cli, "method");
    r->abi.event = cis_cli_value(j->cli, "event");
    r->abi.no_wasi = !cis_app_config(j->app)->enable_wasi;
    CIS_TRY(cis_app_wasi_features(j->app, &r->abi.wasi, err));
    take_exports(j);
    r->tenant = j->cli->tenant;
    r->skill = j->name;
    r->memory = j->installed ? j->skill.memory : j->file_memory;
    r->grants = &j->grants;
    r->dns_servers = cis_app_config(j->app)->dns_servers;
    r->cancel = j->cli->cancel;
    r->input = cis_buf_bytes(&j->input);
    r->result_in_report = j->cli->json;
    r->tx = tx == NULL || strcmp(tx, "commit-on-success") == 0 ? CIS_TX_ON_SUCCESS
            : strcmp(tx, "always") == 0                        ? CIS_TX_ALWAYS
                                                               : CIS_TX_DISCARD;
    r->trace = cis_cli_has(j->cli, "trace") ? cis_cli_trace_line : NULL;
    CIS_TRY(cis_app_run_store(j->app, &r->store, err));
    CIS_TRY(claim_memory(j, err));
    if (cis_grants_has(&j->grants, CIS_GRANT_FS_READ)) {
        CIS_TRY(cis_app_fs_cache(j->app, &r->fs_cache, err));
    }
    bool network =
        cis_grants_has(&j->grants, CIS_GRANT_HTTP) || cis_grants_has(&j->grants, CIS_GRANT_AI);
    CIS_TRY(cis_app_services(j->app, network, &r->services, err));
    CIS_TRY(load_module(j, err));
    r->module = j->compiled;
    return record(j, err);
}

static int print_outcome(const struct job *j, const struct cis_run_outcome *o)
{
    if (j->cli->json) {
        cis_cli_out(o->report.ptr, o->report.len);
        cis_cli_out("\n", 1);
    } else if (o->code == CIS_OK || o->code == CIS_E_FAILED) {
        cis_cli_foreign(o->output.ptr, o->output.len);
        if (!o->raw && o->output.len != 0) {
            cis_cli_out("\n", 1);
        }
    }
    if (o->code != CIS_OK) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf trace = CIS_BUF_INIT(1 << 20);
        cis_cli_say(j->cli, j->label, "%s", o->error.msg);
        cis_cli_printable(&trace, cis_str_of(o->backtrace != NULL ? o->backtrace : ""));
        cis_fd_write_all(STDERR_FILENO, trace.ptr, trace.len);
    }
    return cis_code_skill_exit(o->code);
}

static int run_job(struct cis_cli *cli, const char *name, const char *method)
{
    struct job *j CIS_CLEANUP(cis_freep) = cis_zalloc(sizeof *j);
    struct cis_error err = {0};
    struct cis_run_outcome outcome = {0};
    if (j == NULL) {
        cis_fail(&err, CIS_E_NOMEM, "out of memory");
        return cis_cli_fail(cli, &err);
    }
    j->cli = cli;
    j->module = CIS_BUF_INIT(CIS_MODULE_MAX);
    j->input = CIS_BUF_INIT(INPUT_MAX);
    cis_code code = prepare(j, name, method, &err);
    if (code == CIS_OK) {
        code = cis_cli_answers_run(&j->answers, cli, j->label, &j->request, &outcome, &err);
    }
    int exit_code;
    if (code == CIS_OK) {
        exit_code = print_outcome(j, &outcome);
        cis_run_outcome_done(&outcome);
    } else {
        exit_code = code == CIS_E_USAGE && err.msg[0] == 0 ? cis_code_skill_exit(code)
                                                           : cis_cli_fail(cli, &err);
    }
    job_done(j);
    return exit_code;
}

static int skill_run(struct cis_cli *cli)
{
    bool file = cis_cli_has(cli, "wasm");
    if (file == (cli->nargs == 1)) {
        return cis_cli_usage(cli, file ? "--wasm and NAME cannot be used together"
                                       : "NAME or --wasm FILE is missing");
    }
    return run_job(cli, cli->nargs == 1 ? cli->args[0] : NULL, NULL);
}

static int skill_call(struct cis_cli *cli)
{
    bool file = cis_cli_has(cli, "wasm");
    if (cli->nargs != (file ? 1 : 2)) {
        return cis_cli_usage(cli, "give NAME METHOD, or --wasm FILE METHOD");
    }
    return run_job(cli, file ? NULL : cli->args[0], cli->args[file ? 0 : 1]);
}

#define RUN_OPTIONS                                                                                \
    {"wasm", 0, "FILE", false, NULL}, {"input", 'i', "JSON", false, NULL},                         \
        {"allow", 0, "GRANT", true, NULL}, {"http", 0, "ORIGIN", true, NULL},                      \
        {"net", 0, "RULE", true, NULL}, {"deny", 0, "GRANT", true, NULL},                          \
        {"memory", 0, "SIZE", false, NULL}, {"time", 0, "TIME", false, NULL},                      \
        {"max-memory", 0, "SIZE", false, NULL}, {"max-execution-time", 0, "MS", false, NULL},      \
        {"enable-wasi", 0, "BOOL", false, "true|false"}, {"fuel", 0, "N", false, NULL},            \
        {"output", 0, "SIZE", false, NULL}, {"handles", 0, "N", false, NULL},                      \
        {"answer", 0, "KEY=JSON", true, NULL}, {"event", 0, "NAME", false, NULL},                  \
        {"abi", 0, "NAME", false, NULL}, {"convention", 0, "KIND", false, "auto|text|numbers"},    \
        {"config", 0, "K=V", true, NULL}, {"enable", 0, "FEATURE", true, "memory64|exceptions"},   \
        CIS_CLI_COMPILE_OPTIONS, {"slots", 0, "N", false, NULL},                                   \
        {"trace", 0, "WHAT", false, "host"}, {"plug", 0, "FILE", true, NULL},                      \
        {"record", 0, "FILE", false, NULL}, {"record-max", 0, "SIZE", false, NULL},                \
    {                                                                                              \
        "tx", 0, "WHEN", false, "commit-on-success|always|discard"                                 \
    }

static const struct cis_cli_option run_options[] = {
    RUN_OPTIONS, {"method", 0, "NAME", false, NULL}, {0}};
static const struct cis_cli_option call_options[] = {RUN_OPTIONS, {0}};

const struct cis_cli_command cis_cmd_skill_run = {
    .name = "skill run", .options = run_options, .max_args = 1, .run = skill_run};

const struct cis_cli_command cis_cmd_skill_call = {
    .name = "skill call", .options = call_options, .min_args = 1, .max_args = 2, .run = skill_call};
