/* `cis component new`, `cis component wit`: core modules made into components, components read. */
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "cli/app.h"
#include "cli/patience.h"
#include "config/config.h"
#include "engine/code/document.h"
#include "skill/manifest.h"

struct job {
    struct cis_cli *cli;
    struct cis_buf input;
    struct cis_engine_module_options options;
};

static cis_code open_job(struct job *j, const cis_app *app, struct cis_error *err)
{
    const struct cis_config *c = cis_app_config(app);
    const char *path = j->cli->args[0];
    j->options = (struct cis_engine_module_options){.name = path,
                                                    .stop = {CIS_NEVER, j->cli->cancel},
                                                    .compiler = j->cli->program,
                                                    .compile_memory = c->compile_memory,
                                                    .compile_ns = c->compile_time_ns};
    return cis_cli_read(strcmp(path, "-") == 0 ? NULL : path, &j->input, err);
}

static cis_code make(struct job *j, struct cis_error *err)
{
    const char *out = cis_cli_value(j->cli, "output"), *path = cis_cli_value(j->cli, "adapter");
    CIS_CLEANUP(cis_buf_done) struct cis_buf adapter = CIS_BUF_INIT(CIS_ADAPTER_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf made = CIS_BUF_INIT(2 * (size_t)CIS_MODULE_MAX);
    if (out == NULL) {
        return cis_fail(err, CIS_E_USAGE, "-o FILE is missing: it names the file to write");
    }
    if (path != NULL && path[strspn(path, "0123456789.")] == '\0') {
        cis_buf_text(&adapter, path); /* the version of a built-in one */
    } else if (path != NULL) {
        CIS_TRY(cis_cli_read(path, &adapter, err));
    }
    cis_patience *patience = cis_patience_begin(j->cli, "reading", j->options.name);
    cis_code code = cis_component_make(cis_buf_bytes(&j->input), cis_buf_bytes(&adapter),
                                       &j->options, &made, err);
    cis_patience_end(patience);
    CIS_TRY(code);
    if (strcmp(out, "-") == 0) {
        cis_cli_out(made.ptr, made.len);
        return CIS_OK;
    }
    return cis_file_put(out, cis_buf_bytes(&made), 0644, err);
}

static cis_code show(struct job *j, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf wit = CIS_BUF_INIT(64u << 20);
    cis_patience *patience = cis_patience_begin(j->cli, "reading", j->options.name);
    cis_code code = cis_component_wit(cis_buf_bytes(&j->input), &j->options, &wit, err);
    cis_patience_end(patience);
    CIS_TRY(code);
    if (j->cli->json) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(256u << 20);
        cis_json_object(&line, CIS_JSON(CIS_J("schema", 1u), CIS_J("wit", cis_buf_view(&wit))));
        cis_buf_byte(&line, '\n');
        CIS_TRY(cis_buf_check(&line, "wit", err));
        cis_cli_out(line.ptr, line.len);
        return CIS_OK;
    }
    cis_cli_foreign(wit.ptr, wit.len);
    return CIS_OK;
}

static int run(struct cis_cli *cli, cis_code (*verb)(struct job *, struct cis_error *))
{
    struct job j = {.cli = cli, .input = CIS_BUF_INIT(CIS_MODULE_MAX)};
    struct cis_error err = {0};
    cis_app *app = NULL;
    cis_code code = cis_app_open(cli, &app, &err);
    code = code == CIS_OK ? open_job(&j, app, &err) : code;
    code = code == CIS_OK ? verb(&j, &err) : code;
    cis_buf_done(&j.input);
    cis_app_close(app);
    return code == CIS_OK ? 0 : cis_cli_fail(cli, &err);
}

static int component_new(struct cis_cli *cli)
{
    return run(cli, make);
}

static int component_wit(struct cis_cli *cli)
{
    return run(cli, show);
}

static const struct cis_cli_option new_options[] = {{"output", 'o', "FILE", false, NULL},
                                                    {"adapter", 0, "VERSION|FILE", false, NULL},
                                                    CIS_CLI_COMPILE_OPTIONS,
                                                    {0}};

const struct cis_cli_command cis_cmd_component_new = {.name = "component new",
                                                      .options = new_options,
                                                      .min_args = 1,
                                                      .max_args = 1,
                                                      .run = component_new};

const struct cis_cli_command cis_cmd_component_wit = {
    .name = "component wit", .min_args = 1, .max_args = 1, .run = component_wit};
