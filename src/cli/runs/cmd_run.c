/* `cis run`: one run of a program, a module of WASI 0.1 or a component of 0.2. */
#include "cli/app.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/parts.h"
#include "cli/patience.h"
#include "cli/runs/ask.h"
#include "cli/runs/program.h"
#include "cli/runs/recording.h"
#include "config/config.h"

#define MODULE_MAX (1ull << 30)

struct job {
    struct cis_cli *cli;
    const struct cis_program_own *own; /* NULL: the one that the user named */
    cis_app *app;
    struct cis_program_env wasi_env;
    int fd; /* of the module: read when it has to be; -1: it is in `module` */
    struct cis_buf module;
    struct cis_cli_parts parts; /* --plug: the module first, then its plugs */
    const char **args;          /* the program's: its name, what follows on the command line */
    char *skill;                /* "file:STEM" */
    const char *label;
    struct cis_stop stop;
    cis_engine_module *compiled;
    cis_recording *recording;
    struct cis_cli_answers answers;
    struct cis_grants grants;
    struct cis_log_service log;
    struct cis_run_request request;
};

static void job_done(struct job *j)
{
    cis_recording_free(j->recording);
    cis_cli_answers_done(&j->answers);
    cis_engine_module_unref(j->compiled);
    cis_program_env_done(&j->wasi_env);
    if (j->fd >= 0) {
        close(j->fd);
    }
    cis_grants_done(&j->grants);
    cis_buf_done(&j->module);
    cis_cli_parts_done(&j->parts);
    cis_free(j->args);
    cis_free(j->skill);
    cis_app_close(j->app);
}

/* ---- the module ---- */

static const char *module_path(const struct job *j)
{
    return j->own != NULL ? j->own->module : j->cli->args[0];
}

static cis_code names(struct job *j, struct cis_error *err)
{
    const char *path = module_path(j);
    const char *slash = strrchr(path, '/');
    const char *base = strcmp(path, "-") == 0 ? "stdin" : slash != NULL ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    size_t stem = dot != NULL && dot != base ? (size_t)(dot - base) : strlen(base);
    stem = stem < CIS_STORE_NAME_MAX - 5 ? stem : CIS_STORE_NAME_MAX - 5;
    j->label = j->own != NULL ? j->own->label : strcmp(path, "-") == 0 ? "stdin" : path;
    j->args = cis_calloc(cis_size_add((size_t)j->cli->nargs, 1), sizeof *j->args);
    j->skill = cis_alloc(cis_size_add(stem, 6));
    if (j->args == NULL || j->skill == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    memcpy(j->skill, "file:", 5);
    memcpy(j->skill + 5, base, stem);
    j->skill[5 + stem] = 0;
    j->args[0] = base;
    for (int i = 1; i < j->cli->nargs; i++) {
        j->args[i] = j->cli->args[i];
    }
    return CIS_OK;
}

/* Whatever is wrong with the file: it cannot be loaded. */
static cis_code cannot_load(cis_code code, struct cis_error *err)
{
    if (code == CIS_E_IO || code == CIS_E_DENIED) {
        struct cis_error why = *err;
        return cis_fail(err, CIS_E_INVALID, "%s", why.msg);
    }
    return code;
}

/* A file of a disk need not be read when it was run before. What else there is (a pipe, stdin), and
 * what is recorded with its module, is read now. */
static cis_code open_module(struct job *j, struct cis_error *err)
{
    const char *path = module_path(j);
    struct stat st;
    int plugs = cis_cli_count(j->cli, "plug");
    if (plugs != 0) {
        CIS_TRY(cis_cli_parts_init(&j->parts, (size_t)plugs + 1, err));
        CIS_TRY(cannot_load(cis_cli_parts_add(&j->parts, NULL, path, err), err));
        return cannot_load(cis_cli_parts_plugs(&j->parts, j->cli, err), err);
    }
    if (strcmp(path, "-") != 0 && !cis_cli_has(j->cli, "record") && stat(path, &st) == 0 &&
        S_ISREG(st.st_mode)) {
        j->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    return j->fd >= 0
               ? CIS_OK
               : cannot_load(cis_cli_read(strcmp(path, "-") == 0 ? NULL : path, &j->module, err),
                             err);
}

static cis_code read_module(void *self, int fd, struct cis_bytes *out, struct cis_error *err)
{
    struct job *j = self;
    CIS_TRY(cannot_load(cis_file_read_fd(fd, j->label, &j->module, err), err));
    *out = cis_buf_bytes(&j->module);
    return CIS_OK;
}

/* A recording holds the module that ran. */
static cis_code load_composed(struct job *j, const struct cis_engine_module_options *o,
                              struct cis_error *err)
{
    cis_engine *engine = j->request.engine;
    const struct cis_composition *c = &j->parts.composition;
    if (!cis_cli_has(j->cli, "record")) {
        return cis_engine_module_load_composed(engine, c, o, &j->compiled, err);
    }
    CIS_TRY(cis_engine_compose(engine, c, o, &j->module, NULL, err));
    return cis_engine_module_load(engine, cis_buf_bytes(&j->module), o, &j->compiled, err);
}

static cis_code load(struct job *j, struct cis_error *err)
{
    const struct cis_config *c = cis_app_config(j->app);
    struct cis_run_request *r = &j->request;
    struct cis_engine_module_options o = {.name = j->label,
                                          .fuel = r->limits.fuel != 0,
                                          .memory_limit = r->limits.memory_bytes,
                                          .stop = j->stop};
    o.features =
        (c->memory64 ? CIS_FEATURE_MEMORY64 : 0u) | (c->exceptions ? CIS_FEATURE_EXCEPTIONS : 0u);
    o.features |= cis_cli_record_features(j->cli);
    const char *feature;
    for (int i = 0; (feature = cis_cli_nth(j->cli, "enable", i)) != NULL; i++) {
        o.features |= feature[0] == 'm' ? CIS_FEATURE_MEMORY64 : CIS_FEATURE_EXCEPTIONS;
    }
    CIS_TRY(cis_app_engine(j->app, CIS_APP_RUN_SLOTS, &r->engine, err));
    cis_patience *patience = cis_patience_begin(j->cli, "compiling", j->label);
    cis_code code =
        j->parts.n != 0 ? load_composed(j, &o, err)
        : j->fd >= 0
            ? cis_engine_module_load_file(r->engine, j->fd, &o, read_module, j, &j->compiled, err)
            : cis_engine_module_load(r->engine, cis_buf_bytes(&j->module), &o, &j->compiled, err);
    cis_patience_end(patience);
    CIS_TRY(code);
    struct cis_engine_stats stats;
    cis_engine_stats(r->engine, &stats);
    r->compiled_code = stats.compiled != 0 ? "compiled" : "disk";
    r->module = j->compiled;
    return CIS_OK;
}

static cis_code take_tx(struct job *j, struct cis_error *err)
{
    const char *tx = cis_cli_value(j->cli, "tx");
    struct cis_run_request *r = &j->request;
    if (tx == NULL && j->own != NULL) {
        r->tx = j->own->tx;
        return CIS_OK;
    }
    if (cis_program_tx(tx != NULL ? tx : "commit-on-success", &r->tx)) {
        return CIS_OK;
    }
    if (strncmp(tx, "fork=", 5) == 0) {
        r->fork = tx + 5;
        if (!cis_fs_ref_valid(cis_str_of(r->fork))) {
            return cis_fail(err, CIS_E_USAGE, "--tx %.100s: not a valid name for a branch", tx);
        }
        CIS_TRY(cis_fs_ref_check_free(cis_str_of(r->fork), err));
        for (size_t i = 0; i < j->wasi_env.nmounts; i++) {
            if (j->wasi_env.mounts[i].host == NULL && j->wasi_env.mounts[i].from == NULL) {
                return CIS_OK;
            }
        }
        return cis_fail(err, CIS_E_USAGE, "--tx %.100s: there is no workspace to fork (-w)", tx);
    }
    return cis_fail(err, CIS_E_USAGE,
                    "--tx %.60s: not one of commit-on-success, always, discard, fork=NAME", tx);
}

/* ---- all of it ---- */

static cis_code open_files(struct job *j, struct cis_error *err)
{
    struct cis_run_request *r = &j->request;
    CIS_TRY(cis_app_run_store(j->app, &r->store, err));
    if (j->wasi_env.needs_store) {
        struct cis_history h = {r->store, cis_str_of(j->cli->tenant), &j->stop, 0};
        CIS_TRY(cis_linked_resolve(&j->wasi_env, &h, err));
        CIS_TRY(cis_app_fs_cache(j->app, &r->fs_cache, err));
    }
    r->mounts = j->wasi_env.mounts;
    r->nmounts = j->wasi_env.nmounts;
    return CIS_OK;
}

/* What the host says of a run while it goes on: that something was refused, and what would allow
 * it. */
static void log_line(void *self, const struct cis_call *call, enum cis_log_level level,
                     const char *text, size_t len)
{
    const struct job *j = self;
    (void)call, (void)level, (void)len;
    cis_cli_say(j->cli, j->label, "%s", text);
}

static cis_code take_grants(struct job *j, struct cis_error *err)
{
    struct cis_run_request *r = &j->request;
    CIS_TRY(cis_program_grants(j->cli, &j->grants, err));
    r->grants = &j->grants;
    if (cis_grants_has(&j->grants, CIS_GRANT_HTTP)) {
        CIS_TRY(cis_app_http(j->app, &r->services.http, err));
    }
    r->dns_servers = cis_app_config(j->app)->dns_servers;
    j->log = (struct cis_log_service)CIS_LOG_SERVICE_INIT;
    j->log.self = j;
    j->log.line = log_line;
    r->services.log = j->cli->json ? NULL : &j->log;
    r->result_in_report = j->cli->json;
    return CIS_OK;
}

static cis_code prepare(struct job *j, struct cis_error *err)
{
    struct cis_run_request *r = &j->request;
    struct cis_cli *cli = j->cli;
    const char *report = cis_cli_value(cli, "report");
    CIS_TRY(cis_app_open(cli, &j->app, err));
    if (report != NULL) { /* before anything runs: a run that is repeated does its work twice */
        CIS_TRY(cis_file_can_put(report, err));
    }
    CIS_TRY(names(j, err));
    j->wasi_env.own_paths = j->own != NULL;
    CIS_TRY(cis_program_mounts(&j->wasi_env, cli, err));
    CIS_TRY(j->own != NULL ? j->own->prepare(j->own->self, &j->wasi_env, err) : CIS_OK);
    CIS_TRY(cis_program_limits(cli, cis_app_config(j->app), r, err));
    CIS_TRY(take_tx(j, err));
    CIS_TRY(cis_cli_answers_take(&j->answers, cli, err));
    CIS_TRY(take_grants(j, err));
    const char *const *args = j->own != NULL ? j->own->args : j->args;
    CIS_TRY(cis_program_env(&j->wasi_env, cli, args, cli->json, err));
    j->wasi_env.program.no_wasi = !cis_app_config(j->app)->enable_wasi;
    CIS_TRY(cis_app_wasi_features(j->app, &j->wasi_env.program.wasi, err));
    CIS_TRY(cis_program_env_check(&j->wasi_env, cis_app_config(j->app)->ai_api_key_env, err));
    CIS_TRY(open_module(j, err));
    CIS_TRY(load(j, err));
    CIS_TRY(open_files(j, err));
    r->tenant = cli->tenant;
    r->skill = j->skill;
    r->cancel = cli->cancel;
    r->program = &j->wasi_env.program;
    r->read_only = cis_cli_has(cli, "read-only");
    r->no_clock = cis_cli_has(cli, "no-clock");
    r->no_random = cis_cli_has(cli, "no-random");
    r->trace = cis_cli_has(cli, "trace") ? cis_cli_trace_line : NULL;
    struct cis_recording_source source = {.module = cis_buf_bytes(&j->module),
                                          .name = j->label,
                                          .program = true,
                                          .without = j->wasi_env.program.without,
                                          .wasi = j->wasi_env.program.wasi};
    CIS_TRY(cis_cli_record(j->app, cli, j->compiled, &source, &j->recording, err));
    r->recording = j->recording;
    return CIS_OK;
}

/* ---- what is told afterwards ---- */

static void missing_imports(const struct job *j)
{
    const struct cis_engine_module_info *info = cis_engine_module_info(j->compiled);
    for (size_t i = 0; i < info->nimports; i++) {
        const struct cis_extern *e = &info->imports[i];
        if (j->wasi_env.program.no_wasi || !cis_run_provides(e)) {
            CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
            cis_buf_printf(&text, "  " CIS_STR_FMT "." CIS_STR_FMT, CIS_STR_ARG(e->module),
                           CIS_STR_ARG(e->name));
            if (e->kind == CIS_EXTERN_FUNC) {
                cis_abi_type_text(e->type, &text);
            } else {
                cis_buf_printf(&text, " %s", e->type);
            }
            CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(8192);
            cis_cli_printable_line(&line, cis_buf_view(&text));
            cis_buf_byte(&line, '\n');
            cis_fd_write_all(STDERR_FILENO, line.ptr, line.len);
        }
    }
}

/* What would give a component the interface that the message names. */
static void advise_plug(const struct job *j, const char *message)
{
    const struct cis_engine_module_info *info = cis_engine_module_info(j->compiled);
    const char *at = strstr(message, "imports ");
    struct cis_str named = cis_str_of(at != NULL ? at + strlen("imports ") : "");
    for (size_t i = 0; info->component && i < info->nimports; i++) {
        struct cis_str name = info->imports[i].name;
        if (name.len != 0 && cis_str_starts(named, name) &&
            !cis_str_starts(name, CIS_STR("wasi:"))) {
            cis_cli_say(j->cli, j->label,
                        "a component that exports " CIS_STR_FMT " can be plugged in: `cis run "
                        "--plug FILE`, or `cis compose --plug FILE`",
                        CIS_STR_ARG(name));
            return;
        }
    }
}

static int exit_code(const struct cis_run_outcome *o)
{
    bool own = o->exited && (o->code == CIS_OK || o->code == CIS_E_FAILED);
    return own ? o->exit_code & 0xff : cis_code_run_exit(o->code);
}

/* The report, with what the program wrote when that was kept. */
static void print_report(const struct cis_run_outcome *o)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf more = CIS_BUF_INIT(256u << 20);
    cis_json_write(&more, CIS_JSON(CIS_J("stdout", cis_buf_view(&o->std[1].kept)),
                                   CIS_J("stderr", cis_buf_view(&o->std[2].kept))));
    cis_cli_out(o->report.ptr, o->report.len - 1); /* without its last brace */
    cis_cli_printf(",");
    cis_cli_out(more.ptr, more.len);
    cis_cli_printf("}\n");
}

static int print_outcome(const struct job *j, const struct cis_run_outcome *o)
{
    struct cis_program_end end = {.label = j->label,
                                  .id = o->id,
                                  .branch = o->branch,
                                  .dropped = o->dropped_changes,
                                  .folder = strncmp(o->branch, "cow-", 4) == 0};
    if (j->cli->json) {
        print_report(o);
    } else {
        cis_cli_out(o->output.ptr, o->output.len);
    }
    if (o->code != CIS_OK && !(o->code == CIS_E_FAILED && o->exited)) {
        cis_cli_say(j->cli, j->label, "%s", o->error.msg);
        if (o->code == CIS_E_IMPORT) {
            missing_imports(j);
            advise_plug(j, o->error.msg);
        }
        CIS_CLEANUP(cis_buf_done) struct cis_buf trace = CIS_BUF_INIT(1 << 20);
        cis_cli_printable(&trace, cis_str_of(o->backtrace != NULL ? o->backtrace : ""));
        cis_fd_write_all(STDERR_FILENO, trace.ptr, trace.len);
    }
    return cis_program_end(j->cli, &end, cis_buf_bytes(&o->report), exit_code(o));
}

int cis_program_run(struct cis_cli *cli, const struct cis_program_own *own)
{
    struct job *j CIS_CLEANUP(cis_freep) = cis_zalloc(sizeof *j);
    struct cis_error err = {0};
    struct cis_run_outcome outcome = {0};
    if (j == NULL) {
        cis_fail(&err, CIS_E_NOMEM, "out of memory");
        return cis_cli_fail(cli, &err), cis_code_run_exit(err.code);
    }
    j->cli = cli;
    j->own = own;
    j->wasi_env = (struct cis_program_env)CIS_PROGRAM_WORLD_INIT;
    j->fd = -1;
    j->module = CIS_BUF_INIT(MODULE_MAX);
    j->stop = (struct cis_stop){CIS_NEVER, cli->cancel};
    cis_code code = prepare(j, &err);
    if (code == CIS_OK) {
        code = cis_cli_answers_run(&j->answers, cli, j->label, &j->request, &outcome, &err);
    }
    int exit = cis_code_run_exit(code);
    if (code == CIS_OK) {
        exit = print_outcome(j, &outcome);
        cis_run_outcome_done(&outcome);
    } else if (code != CIS_E_USAGE || err.msg[0] != 0) {
        cis_cli_fail(cli, &err);
    }
    job_done(j);
    return exit;
}

static int run(struct cis_cli *cli)
{
    return cis_program_run(cli, NULL);
}

static const struct cis_cli_option options[] = {
    {"dir", 0, "HOST[::GUEST][:MODE]", true, NULL},
    {"workspace", 'w', "GUEST[=BRANCH]", true, NULL},
    {"snapshot", 0, "NAME", false, NULL},
    {"published", 0, "GUEST=TENANT/BRANCH", true, NULL},
    {"read-only", 0, NULL, false, NULL},
    {"tx", 0, "WHEN", false, NULL},
    {"env", 0, "NAME[=VALUE]", true, NULL},
    {"stdin", 0, "FILE", false, NULL},
    {"invoke", 0, "CALL", false, NULL},
    {"memory", 0, "SIZE", false, NULL},
    {"max-memory", 0, "SIZE", false, NULL},
    {"time", 0, "TIME", false, NULL},
    {"max-execution-time", 0, "MS", false, NULL},
    {"enable-wasi", 0, "BOOL", false, "true|false"},
    {"fuel", 0, "N", false, NULL},
    {"files", 0, "N", false, NULL},
    {"sockets", 0, "N", false, NULL},
    {"handles", 0, "N", false, NULL},
    {"allow", 0, "GRANT", true, NULL},
    {"net", 0, "RULE", true, NULL},
    {"http", 0, "ORIGIN", true, NULL},
    {"listen", 0, "ADDRESS:PORT", true, NULL},
    {"answer", 0, "KEY=JSON", true, NULL},
    {"no-clock", 0, NULL, false, NULL},
    {"no-random", 0, NULL, false, NULL},
    {"fixed-clock", 0, "TIME", false, NULL},
    {"seed", 0, "SEED", false, NULL},
    {"trap-unknown-imports", 0, NULL, false, NULL},
    {"wasi", 0, "FEATURES", true, NULL},
    {"without", 0, "PACKAGE", false, NULL},
    {"plug", 0, "FILE", true, NULL},
    {"enable", 0, "FEATURE", true, "memory64|exceptions"},
    {"trace", 0, "WHAT", false, "host"},
    {"report", 0, "FILE", false, NULL},
    {"record", 0, "FILE", false, NULL},
    {"record-max", 0, "SIZE", false, NULL},
    CIS_CLI_COMPILE_OPTIONS,
    {0}};

const struct cis_cli_command cis_cmd_run = {.name = "run",
                                            .options = options,
                                            .min_args = 1,
                                            .max_args = -1,
                                            .foreign = true,
                                            .alone = "w/workspace=main",
                                            .run = run};
