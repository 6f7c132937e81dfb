/* `cis compose`: components made of components. */
#include <jansson.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/app.h"
#include "cli/parts.h"
#include "cli/patience.h"
#include "config/config.h"
#include "lib/composed.h"
#include "skill/manifest.h"

struct job {
    struct cis_cli *cli;
    struct cis_cli_parts parts;
    struct cis_buf text, made, json;
    const char *label; /* for messages */
};

/* "NAME=FILE" */
static cis_code define(struct job *j, const char *given, struct cis_error *err)
{
    const char *equals = strchr(given, '=');
    if (equals == NULL || equals == given || equals[1] == 0) {
        return cis_fail(err, CIS_E_USAGE, "--define %.100s: not NAME=FILE", given);
    }
    char name[CIS_COMPOSE_NAME_MAX + 1];
    size_t n = (size_t)(equals - given);
    if (n > CIS_COMPOSE_NAME_MAX) {
        return cis_fail(err, CIS_E_USAGE, "--define: the name is longer than %u bytes",
                        CIS_COMPOSE_NAME_MAX);
    }
    memcpy(name, given, n);
    name[n] = 0;
    return cis_cli_parts_add(&j->parts, name, equals + 1, err);
}

static cis_code take_text(struct job *j, const char *file, struct cis_error *err)
{
    const char *given;
    if (j->cli->nargs != 0 || cis_cli_has(j->cli, "plug")) {
        return cis_fail(err, CIS_E_USAGE,
                        "-f cannot be used with a socket or --plug; name the parts with --define");
    }
    j->label = strcmp(file, "-") == 0 ? "stdin" : file;
    CIS_TRY(cis_cli_parts_init(&j->parts, (size_t)cis_cli_count(j->cli, "define"), err));
    j->parts.open = true;
    for (int i = 0; (given = cis_cli_nth(j->cli, "define", i)) != NULL; i++) {
        CIS_TRY(define(j, given, err));
    }
    CIS_TRY(cis_cli_read(strcmp(file, "-") == 0 ? NULL : file, &j->text, err));
    j->parts.composition.wac = cis_buf_view(&j->text);
    if (j->text.len == 0) {
        j->parts.composition.wac = CIS_STR("");
    }
    return CIS_OK;
}

static cis_code take_plugs(struct job *j, struct cis_error *err)
{
    if (j->cli->nargs == 0) {
        return cis_fail(err, CIS_E_USAGE, "give a socket and --plug FILE, or -f FILE.wac");
    }
    if (cis_cli_has(j->cli, "define")) {
        return cis_fail(err, CIS_E_USAGE, "--define can be used only with a WAC text (-f)");
    }
    int plugs = cis_cli_count(j->cli, "plug");
    if (plugs == 0) {
        return cis_fail(err, CIS_E_USAGE,
                        "--plug FILE is missing: it names the component to plug in");
    }
    j->label = j->cli->args[0];
    CIS_TRY(cis_cli_parts_init(&j->parts, (size_t)plugs + 1, err));
    j->parts.open = true;
    CIS_TRY(cis_cli_parts_add(&j->parts, NULL, j->cli->args[0], err));
    return cis_cli_parts_plugs(&j->parts, j->cli, err);
}

static cis_code compose(struct job *j, const struct cis_config *config, struct cis_error *err)
{
    const struct cis_engine_module_options o = {.name = j->label,
                                                .features =
                                                    CIS_FEATURE_MEMORY64 | CIS_FEATURE_EXCEPTIONS,
                                                .stop = {CIS_NEVER, j->cli->cancel},
                                                .compiler = j->cli->program,
                                                .compile_memory = config->compile_memory,
                                                .compile_ns = config->compile_time_ns};
    cis_patience *patience = cis_patience_begin(j->cli, "composing", j->label);
    cis_code code = cis_composition_make(&j->parts.composition, &o, &j->made, &j->json, err);
    cis_patience_end(patience);
    return code;
}

static void sha256_of(const struct cis_buf *bytes, char out[2 * CIS_SHA256_BYTES + 1])
{
    uint8_t sha256[CIS_SHA256_BYTES];
    cis_sha256(cis_buf_bytes(bytes), sha256);
    cis_hex(sha256, sizeof sha256, out);
}

static cis_code as_json(const struct job *j, const json_t *composed, struct cis_buf *out,
                        struct cis_error *err)
{
    char hex[2 * CIS_SHA256_BYTES + 1];
    char *text = composed != NULL ? json_dumps(composed, JSON_COMPACT) : NULL;
    sha256_of(&j->made, hex);
    cis_json_object(out,
                    CIS_JSON(CIS_J("schema", 1u), CIS_J("sha256", hex), CIS_J("size", j->made.len),
                             CIS_J_RAW("composed", cis_str_of(text))));
    cis_buf_byte(out, '\n');
    cis_free(text);
    return cis_buf_check(out, "explain", err);
}

static cis_code explain(const struct job *j, const char *form, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(256u << 20);
    json_t *root = json_loadb((const char *)j->json.ptr, j->json.len, JSON_ALLOW_NUL, NULL);
    const json_t *composed = json_object_get(root, "composed");
    cis_code code =
        root != NULL ? CIS_OK : cis_fail(err, CIS_E_INTERNAL, "the answer of the scan is not JSON");
    if (code != CIS_OK) {
        return code;
    }
    if (j->cli->json || strcmp(form, "json") == 0) {
        code = as_json(j, composed, &out, err);
    } else if (strcmp(form, "dot") == 0) {
        cis_composed_dot(composed, &out);
    } else if (strcmp(form, "svg") == 0) {
        cis_composed_svg(composed, &out);
    } else {
        cis_composed_text(composed, &out);
    }
    json_decref(root);
    code = code == CIS_OK ? cis_buf_check(&out, "explain", err) : code;
    if (code == CIS_OK) {
        cis_cli_foreign(out.ptr, out.len);
    }
    return code;
}

/* Whoever composes writes the file, which has its name only afterwards. */
static cis_code compose_into(struct job *j, const struct cis_config *config, const char *path,
                             struct cis_error *err)
{
    CIS_CLEANUP(cis_file_beside_drop) struct cis_file_beside file = CIS_FILE_BESIDE_INIT;
    CIS_TRY(cis_file_beside_open(path, 0644, &file, err));
    j->parts.composition.to = file.fd;
    CIS_TRY(compose(j, config, err));
    return cis_file_beside_done(&file, err);
}

static cis_code put(const struct job *j, const char *path, struct cis_error *err)
{
    if (strcmp(path, "-") == 0) {
        cis_cli_out(j->made.ptr, j->made.len);
        return CIS_OK;
    }
    return cis_file_put(path, cis_buf_bytes(&j->made), 0644, err);
}

static cis_code all(struct job *j, cis_app *app, struct cis_error *err)
{
    const char *out = cis_cli_value(j->cli, "output"), *file = cis_cli_value(j->cli, "file");
    const char *form = cis_cli_value(j->cli, "explain");
    bool told = form != NULL || j->cli->json;
    if (out == NULL && !told) {
        return cis_fail(err, CIS_E_USAGE, "-o FILE is missing: it names the file to write");
    }
    if (out != NULL && strcmp(out, "-") == 0 && told) {
        return cis_fail(err, CIS_E_USAGE, "-o - and --explain cannot both write to stdout");
    }
    CIS_TRY(file != NULL ? take_text(j, file, err) : take_plugs(j, err));
    if (out != NULL && !told && strcmp(out, "-") != 0 && !cis_file_as_it_is(out)) {
        return compose_into(j, cis_app_config(app), out, err);
    }
    CIS_TRY(compose(j, cis_app_config(app), err));
    if (out != NULL) {
        CIS_TRY(put(j, out, err));
    }
    return told ? explain(j, form != NULL ? form : "json", err) : CIS_OK;
}

static int run(struct cis_cli *cli)
{
    struct job j = {.cli = cli,
                    .text = CIS_BUF_INIT(CIS_COMPOSE_TEXT_MAX),
                    .made = CIS_BUF_INIT(CIS_COMPOSED_MAX),
                    .json = CIS_BUF_INIT(64u << 20)};
    struct cis_error err = {0};
    cis_app *app = NULL;
    cis_code code = cis_app_open(cli, &app, &err);
    code = code == CIS_OK ? all(&j, app, &err) : code;
    cis_cli_parts_done(&j.parts);
    cis_buf_done(&j.text);
    cis_buf_done(&j.made);
    cis_buf_done(&j.json);
    cis_app_close(app);
    return code == CIS_OK ? 0 : cis_cli_fail(cli, &err);
}

static const struct cis_cli_option options[] = {
    {"plug", 0, "FILE", true, NULL},
    {"output", 'o', "FILE", false, NULL},
    {"file", 'f', "FILE", false, NULL},
    {"define", 0, "NAME=FILE", true, NULL},
    {"explain", 0, "[=FORMAT]", false, "text|dot|svg|json"},
    CIS_CLI_COMPILE_OPTIONS,
    {0}};

const struct cis_cli_command cis_cmd_compose = {
    .name = "compose", .options = options, .min_args = 0, .max_args = 1, .run = run};
