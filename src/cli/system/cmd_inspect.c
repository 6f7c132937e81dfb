/* `cis inspect`: what is in a module, without compiling it. */
#include "cli/app.h"
#include "cli/patience.h"

#include <jansson.h>
#include "base/clock.h"
#include "config/config.h"
#include "engine/code/document.h"
#include "lib/composed.h"
#include "lib/lib.h"
#include "skill/manifest.h"

#define WIT_MAX ((size_t)16 << 20)

/* Names come from the module, or from whoever named the file. */
static void print_line(const char *before, const char *text, const char *after)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1 << 20);
    cis_buf_text(&line, before);
    cis_cli_printable_line(&line, cis_str_of(text));
    cis_buf_text(&line, after);
    cis_buf_byte(&line, '\n');
    cis_cli_out(line.ptr, line.len);
}

static struct cis_str text_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return (struct cis_str){json_string_value(value), json_string_length(value)};
}

static void print_list(const json_t *list, const char *title, bool imports)
{
    size_t i;
    json_t *item;
    cis_cli_printf("%s: %zu\n", title, json_array_size(list));
    json_array_foreach(list, i, item)
    {
        CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1 << 20);
        cis_buf_text(&line, "  ");
        if (imports && text_at(item, "module").ptr != NULL) {
            cis_cli_printable_line(&line, text_at(item, "module"));
            cis_buf_byte(&line, '.');
        }
        cis_cli_printable_line(&line, text_at(item, "name"));
        struct cis_str kind = text_at(item, "kind"), type = text_at(item, "type");
        cis_buf_printf(&line, "  " CIS_STR_FMT, CIS_STR_ARG(kind));
        if (!cis_str_eq(kind, type)) { /* of a component the kind says all */
            cis_buf_byte(&line, ' ');
            cis_cli_printable_line(&line, type);
        }
        cis_buf_byte(&line, '\n');
        cis_cli_out(line.ptr, line.len);
    }
}

static void print_words(const json_t *list, const char *title)
{
    size_t i;
    json_t *item;
    cis_cli_printf("%s:", title);
    json_array_foreach(list, i, item)
    {
        cis_cli_printf(" %s", json_string_value(item));
    }
    cis_cli_printf("%s\n", json_array_size(list) == 0 ? " none" : "");
}

/* Of a composed component: who its parts are, and which of them asks for what. */
static void print_parts(const json_t *composed)
{
    const json_t *parts = json_object_get(composed, "parts"), *part, *grant;
    size_t i, j;
    if (composed == NULL) {
        return;
    }
    cis_cli_printf("parts: %zu, which share one set of grants: what is allowed, any of them may "
                   "do\n",
                   json_array_size(parts));
    json_array_foreach(parts, i, part)
    {
        const json_t *needs = json_object_get(part, "needs");
        CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1 << 20);
        cis_buf_text(&line, "  ");
        cis_cli_printable_line(&line, text_at(part, "name"));
        cis_buf_text(&line, "  asks for:");
        json_array_foreach(needs, j, grant)
        {
            cis_buf_printf(&line, " %s", json_string_value(grant));
        }
        cis_buf_text(&line, json_array_size(needs) == 0 ? " nothing\n" : "\n");
        cis_cli_out(line.ptr, line.len);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(64u << 20);
    cis_composed_text(composed, &text);
    cis_cli_printf("\n");
    cis_cli_foreign(text.ptr, text.len);
    cis_cli_printf("\n");
}

static void print_readable(const char *text, const char *name)
{
    json_t *o = json_loads(text, JSON_ALLOW_NUL, NULL);
    if (o == NULL) {
        cis_cli_printf("%s\n", text);
        return;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf what = CIS_BUF_INIT(256);
    cis_buf_printf(&what, ": %s, sha256 %s", json_string_value(json_object_get(o, "layer")),
                   json_string_value(json_object_get(o, "sha256")));
    print_line("", name, cis_buf_cstr(&what));
    print_words(json_object_get(o, "features"), "features");
    cis_cli_printf("memories: %lld, at least %lld bytes\n",
                   (long long)json_integer_value(json_object_get(o, "memories")),
                   (long long)json_integer_value(json_object_get(o, "min_memory_bytes")));
    print_list(json_object_get(o, "imports"), "imports", true);
    print_list(json_object_get(o, "exports"), "exports", false);
    print_words(json_object_get(o, "abis"), "abis");
    const char *entry = json_string_value(json_object_get(o, "entry"));
    if (entry != NULL) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf kind = CIS_BUF_INIT(256);
        cis_buf_printf(&kind, " (%s)", json_string_value(json_object_get(o, "entry_kind")));
        print_line("entry: ", entry, cis_buf_cstr(&kind));
    }
    print_words(json_object_get(o, "needs"), "grants needed");
    print_parts(json_object_get(o, "composed"));
    const char *why = json_string_value(json_object_get(o, "why_not"));
    print_line(why == NULL ? "runs: yes" : "runs: no: ", why == NULL ? "" : why, "");
    struct cis_str wit = text_at(o, "wit");
    const char *no_wit = json_string_value(json_object_get(o, "why_no_wit"));
    if (wit.ptr != NULL) {
        cis_cli_printf("\n");
        cis_cli_foreign(wit.ptr, wit.len);
    } else if (no_wit != NULL) {
        print_line("interfaces: not shown: ", no_wit, "");
    }
    json_decref(o);
}

/* The interfaces of a component as text, behind what is known of it already: "wit", or
 * "why_no_wit". Read in the limited process; a component whose interfaces cannot be printed is
 * inspected all the same. */
static cis_code add_wit(struct cis_bytes bytes, const struct cis_engine_module_options *o,
                        struct cis_buf *json, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf wit = CIS_BUF_INIT(WIT_MAX);
    struct cis_error why = {0};
    cis_code code = cis_component_wit(bytes, o, &wit, &why);
    if (code == CIS_E_CANCELLED || code == CIS_E_NOMEM) {
        *err = why;
        return code;
    }
    json->len--; /* the closing brace */
    cis_json_write(json, CIS_JSON(code == CIS_OK ? CIS_J("wit", cis_buf_view(&wit))
                                                 : CIS_J("why_no_wit", why.msg),
                                  CIS_J_CLOSE));
    return cis_buf_check(json, "inspect", err);
}

static cis_code inspect(const struct cis_cli *cli, const struct cis_config *config,
                        struct cis_buf *json, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(CIS_MODULE_MAX);
    struct cis_engine_module_options o = {.name = cli->args[0],
                                          .features = CIS_FEATURE_MEMORY64 | CIS_FEATURE_EXCEPTIONS,
                                          .stop = {CIS_NEVER, cli->cancel},
                                          .compiler = cli->program,
                                          .compile_memory = config->compile_memory,
                                          .compile_ns = config->compile_time_ns};
    struct cis_skillabi_options abi = {.abi = cis_cli_value(cli, "abi"),
                                       .method = cis_cli_value(cli, "method")};
    struct cis_engine_module_info *info = NULL;
    CIS_TRY(cis_cli_read(cli->args[0], &bytes, err));
    cis_patience *patience = cis_patience_begin(cli, "reading", cli->args[0]);
    cis_code code = cis_engine_module_scan(cis_buf_bytes(&bytes), &o, &info, err);
    cis_patience_end(patience);
    CIS_TRY(code);
    bool component = info->component;
    code = cis_inspect_json(info, cli->args[0], &abi, json, err);
    cis_engine_module_info_free(info);
    return code == CIS_OK && component ? add_wit(cis_buf_bytes(&bytes), &o, json, err) : code;
}

static int run(struct cis_cli *cli)
{
    struct cis_error err = {0};
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(256u << 20);
    cis_app *app = NULL;
    cis_code code = cis_app_open(cli, &app, &err);
    code = code == CIS_OK ? inspect(cli, cis_app_config(app), &json, &err) : code;
    cis_app_close(app);
    if (code != CIS_OK) {
        return cis_cli_fail(cli, &err);
    }
    if (cli->json) {
        cis_cli_out(json.ptr, json.len);
        cis_cli_out("\n", 1);
    } else {
        print_readable(cis_buf_cstr(&json), cli->args[0]);
    }
    return 0;
}

static const struct cis_cli_option options[] = {{"abi", 0, "NAME", false, NULL},
                                                {"method", 0, "NAME", false, NULL},
                                                CIS_CLI_COMPILE_OPTIONS,
                                                {0}};

const struct cis_cli_command cis_cmd_inspect = {
    .name = "inspect", .options = options, .min_args = 1, .max_args = 1, .run = run};
