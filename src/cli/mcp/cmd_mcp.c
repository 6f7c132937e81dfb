/* `cis mcp`: a server of the Model Context Protocol on stdin and stdout, or over HTTP. */
#include "mcp/mcp.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/seal.h"
#include "cli/beside.h"
#include "cli/mcp/place.h"
#include "cli/skill/skill.h"
#include "config/config.h"

#define HTTP_FILES 4096u

struct serving {
    struct cis_cli *cli;
    cis_app *app;
    char *folder; /* what stands before ":cow" */
    char *shell;  /* the interpreter of its tool; NULL: it was not built */
    struct cis_mcp_options o;
    struct cis_mcp_http http;
    struct cis_buf token;
};

static void serving_done(struct serving *s)
{
    if (s->token.ptr != NULL) {
        cis_wipe(s->token.ptr, s->token.len);
    }
    cis_buf_done(&s->token);
    cis_free(s->folder);
    cis_free(s->shell);
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

/* A descriptor for each connection, besides those of runs. */
static void more_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < HTTP_FILES) {
        files.rlim_cur = files.rlim_max < HTTP_FILES ? files.rlim_max : HTTP_FILES;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* What is said on stderr is for who reads it: a client that started this and does not read it is
 * not to stop its calls, and no signal. A pipe is opened again for that: whoever else has it goes
 * on waiting in it. */
static void never_wait_for_stderr(void)
{
    struct stat st;
    if (fstat(STDERR_FILENO, &st) != 0) {
        return;
    }
    if (S_ISFIFO(st.st_mode)) {
        int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0) {
            (void)dup2(fd, STDERR_FILENO);
            close(fd);
        }
    } else if (S_ISSOCK(st.st_mode)) {
        (void)fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
    }
}

/* What a user has to give a client. */
static void http_ready(void *self, const char *address, bool loopback)
{
    const struct serving *s = self;
    cis_cli_line(stderr, "cis mcp: http://%s/mcp", address);
    if (s->http.token == NULL) {
        cis_cli_line(stderr, "cis mcp: without a token: every user of this machine may call");
    } else if (!cis_cli_has(s->cli, "token-file")) {
        cis_cli_line(stderr, "cis mcp: Authorization: Bearer %s", s->http.token);
    }
    if (!loopback) {
        cis_cli_line(stderr, "cis mcp: others reach this address, and read what is sent: it is not "
                             "encrypted");
    }
}

static cis_code take_http(struct serving *s, struct cis_error *err)
{
    const struct cis_cli *cli = s->cli;
    const char *address = cis_cli_value(cli, "http"), *file = cis_cli_value(cli, "token-file");
    bool open = cis_cli_has(cli, "no-token");
    if (address == NULL) {
        bool more = open || file != NULL || cis_cli_has(cli, "http-host");
        return more ? cis_fail(err, CIS_E_USAGE,
                               "--token-file, --no-token and --http-host go with --http")
                    : CIS_OK;
    }
    if (open && file != NULL) {
        return cis_fail(err, CIS_E_USAGE, "--token-file and --no-token cannot be used together");
    }
    s->token = CIS_BUF_INIT(1024);
    if (!open) {
        CIS_TRY(cis_cli_mcp_token(file, &s->token, err));
    }
    s->http = (struct cis_mcp_http){.address = address,
                                    .token = open ? NULL : cis_buf_cstr(&s->token),
                                    .host = cis_cli_value(cli, "http-host"),
                                    .ready = http_ready,
                                    .self = s};
    s->o.http = &s->http;
    more_files();
    return CIS_OK;
}

static cis_code take_options(struct serving *s, struct cis_error *err)
{
    const struct cis_cli *cli = s->cli;
    const char *dir = cis_cli_value(cli, "dir"), *branch = cis_cli_value(cli, "workspace");
    if (dir != NULL && branch != NULL) {
        return cis_fail(err, CIS_E_USAGE, "--dir and --workspace cannot be used together");
    }
    if (branch != NULL && !cis_fs_ref_valid(cis_str_of(branch))) {
        return cis_fail(err, CIS_E_USAGE,
                        "--workspace: \"%.100s\" is not a valid name for a branch", branch);
    }
    s->o.branch = branch;
    s->o.tools = cis_cli_value(cli, "tools");
    s->o.ask_grants =
        cis_cli_has(cli, "grants") && strcmp(cis_cli_value(cli, "grants"), "ask") == 0;
    CIS_TRY(take_http(s, err));
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

/* One key a store: what was sealed for another one's questions answers none of this one's. */
static cis_code take_state_key(struct serving *s, struct cis_error *err)
{
    const char *store = cis_app_config(s->app)->store != NULL ? cis_app_config(s->app)->store : "";
    uint8_t digest[CIS_SHA256_BYTES];
    char hex[2 * CIS_SHA256_BYTES + 1], name[40];
    cis_sha256(cis_bytes_of(store, strlen(store)), digest);
    cis_hex(digest, sizeof digest, hex);
    snprintf(name, sizeof name, "state-%.16s.key", hex);
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(cis_app_data_dir(s->app), name);
    return path != NULL ? cis_key_file(path, "key of sealed states", s->o.state_key, err)
                        : cis_fail(err, CIS_E_NOMEM, "out of memory");
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
    struct cis_error none; /* then there is no such tool */
    o->shell = cis_cli_shell_module(s->cli, &s->shell, &none) == CIS_OK ? s->shell : NULL;
    CIS_TRY(take_state_key(s, err));
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
    never_wait_for_stderr();
    return serve(&s, &err) == CIS_OK ? 0 : cis_cli_fail(cli, &err);
}

static const struct cis_cli_option options[] = {{"dir", 0, "HOST:cow", false, NULL},
                                                {"workspace", 'w', "BRANCH", false, NULL},
                                                {"tools", 0, "NAMES", false, NULL},
                                                {"grants", 0, "WHAT", false, "ask|deny"},
                                                {"http", 0, "ADDRESS", false, NULL},
                                                {"token-file", 0, "FILE", false, NULL},
                                                {"no-token", 0, NULL, false, NULL},
                                                {"http-host", 0, "NAME", false, NULL},
                                                {0}};

const struct cis_cli_command cis_cmd_mcp = {.name = "mcp", .options = options, .run = run};
