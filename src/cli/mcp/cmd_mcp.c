/* `cis mcp`: a server of the Model Context Protocol on stdin and stdout. */
#include "mcp/mcp.h"

#include <stdio.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "cli/mcp/place.h"
#include "cli/skill/skill.h"
#include "config/config.h"

struct serving {
    struct cis_cli *cli;
    cis_app *app;
    char *folder; /* what stands before ":cow" */
    struct cis_mcp_options o;
};

static void serving_done(struct serving *s)
{
    cis_free(s->folder);
    cis_app_close(s->app);
}

static void say(void *self, const char *line)
{
    (void)self;
    cis_cli_line(stderr, "cis mcp: %s", line);
}

static cis_code open_base(void *self, bool network, struct cis_mcp_base *out, struct cis_error *err)
{
    struct serving *s = self;
    const struct cis_config *c = cis_app_config(s->app);
    CIS_TRY(cis_app_engine(s->app, CIS_APP_RUN_SLOTS, &out->engine, err));
    CIS_TRY(cis_app_services(s->app, network, &out->services, err));
    CIS_TRY(cis_app_wasi_features(s->app, &out->wasi, err));
    out->features =
        (c->memory64 ? CIS_FEATURE_MEMORY64 : 0u) | (c->exceptions ? CIS_FEATURE_EXCEPTIONS : 0u);
    return CIS_OK;
}

const char *cis_cli_mcp_cow(const char *spec)
{
    const char *cow = NULL;
    for (const char *at = spec; (at = strstr(at, ":cow")) != NULL; at++) {
        cow = at[4] == 0 || at[4] == '=' ? at : cow;
    }
    return cow != spec ? cow : NULL;
}

static cis_code take_folder(struct serving *s, const char *spec, struct cis_error *err)
{
    const char *cow = cis_cli_mcp_cow(spec);
    if (cow == NULL) {
        return cis_fail(err, CIS_E_USAGE,
                        "--dir %.100s: must be HOST:cow or HOST:cow=BRANCH, so that what a model "
                        "changes can be undone",
                        spec);
    }
    s->o.branch = cow[4] == '=' ? cow + 5 : NULL;
    s->folder = cis_strndup(spec, (size_t)(cow - spec));
    s->o.folder = s->folder;
    if (s->o.branch != NULL && !cis_fs_ref_valid(cis_str_of(s->o.branch))) {
        return cis_fail(err, CIS_E_USAGE, "--dir: \"%.100s\" is not a valid name for a branch",
                        s->o.branch);
    }
    return s->folder != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "out of memory");
}

static cis_code take_options(struct serving *s, struct cis_error *err)
{
    const struct cis_cli *cli = s->cli;
    const char *dir = cis_cli_value(cli, "dir"), *branch = cis_cli_value(cli, "workspace");
    if (cis_cli_has(cli, "http")) {
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "--http is not supported yet; the server uses stdin and stdout");
    }
    if (dir != NULL && branch != NULL) {
        return cis_fail(err, CIS_E_USAGE, "--dir and --workspace cannot be used together");
    }
    if (branch != NULL && !cis_fs_ref_valid(cis_str_of(branch))) {
        return cis_fail(err, CIS_E_USAGE,
                        "--workspace: \"%.100s\" is not a valid name for a branch", branch);
    }
    s->o.branch = branch;
    s->o.tools = cis_cli_value(cli, "tools");
    return dir != NULL ? take_folder(s, dir, err) : CIS_OK;
}

static void take_config(struct serving *s)
{
    const struct cis_config *c = cis_app_config(s->app);
    struct cis_mcp_options *o = &s->o;
    o->history_bytes = c->history_bytes;
    o->host_bytes = c->host_bytes;
    o->time_ns = c->max_execution_time_ns;
    o->most = (struct cis_skill_limits){.memory_bytes = c->max_memory,
                                        .time_ns = c->max_execution_time_ns};
    o->usual = (struct cis_skill_limits){.memory_bytes = c->memory,
                                         .time_ns = c->time_ns,
                                         .fuel = c->fuel,
                                         .output_bytes = c->output_max};
    o->ai_calls_max = c->ai_calls_max;
    o->ai_tokens_max = c->ai_tokens_max;
    o->handles_max = c->handles;
    o->dns_servers = c->dns_servers;
    o->no_clock = !c->enable_clocks;
    o->no_random = !c->enable_random;
    o->no_wasi = !c->enable_wasi;
}

static cis_code serve(struct serving *s, struct cis_error *err)
{
    struct cis_mcp_options *o = &s->o;
    cis_store *store;
    CIS_TRY(take_options(s, err));
    CIS_TRY(cis_app_open(s->cli, &s->app, err));
    CIS_TRY(cis_app_run_store(s->app, &store, err));
    CIS_TRY(cis_app_fs_cache(s->app, &o->fs_cache, err));
    CIS_TRY(cis_cli_skill_home(s->app, &o->home, err));
    take_config(s);
    o->tenant = s->cli->tenant;
    o->in = STDIN_FILENO;
    o->out = STDOUT_FILENO;
    o->cancel = s->cli->cancel;
    o->version = CIS_VERSION;
    o->wasi_env = open_base;
    o->say = say;
    o->self = s;
    return cis_mcp_serve(o, err);
}

static int run(struct cis_cli *cli)
{
    struct cis_error err = {0};
    CIS_CLEANUP(serving_done) struct serving s = {.cli = cli};
    return serve(&s, &err) == CIS_OK ? 0 : cis_cli_fail(cli, &err);
}

static const struct cis_cli_option options[] = {{"dir", 0, "HOST:cow", false, NULL},
                                                {"workspace", 'w', "BRANCH", false, NULL},
                                                {"tools", 0, "NAMES", false, NULL},
                                                {"http", 0, "ADDRESS", false, NULL},
                                                {0}};

const struct cis_cli_command cis_cmd_mcp = {.name = "mcp", .options = options, .run = run};
