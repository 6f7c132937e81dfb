/* The table of tools: those of this server, then those that skills declare. */
#include "mcp/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "skill/schema.h"

#define READS "\"readOnlyHint\":true,\"openWorldHint\":false"
#define CHANGES(idempotent)                                                                        \
    "\"readOnlyHint\":false,\"destructiveHint\":true,\"openWorldHint\":false,"                     \
    "\"idempotentHint\":" idempotent
#define PATH                                                                                       \
    "\"path\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":4095,\"description\":\"/ is the " \
    "root\"}"
#define RUN                                                                                        \
    "\"run\":{\"type\":\"string\",\"minLength\":26,\"maxLength\":26,\"description\":\"the run's "  \
    "id\"}"
#define OBJECT(properties, required)                                                               \
    "{\"type\":\"object\",\"properties\":{" properties "},\"required\":[" required                 \
    "],\"additionalProperties\":false}"
#define TOOL(name, title, description, schema, hints)                                              \
    "{\"name\":\"" name "\",\"title\":\"" title "\",\"description\":\"" description                \
    "\",\"inputSchema\":" schema ",\"annotations\":{" hints "}}"

struct built_in {
    mcp_tool_run *run;
    const char *spec;
};

static const struct built_in built_in[] = {
    {cis_mcp_fs_edit,
     TOOL(
         "fs_edit", "Edit a file",
         "Replaces the one place where a file has the text old by new. Fails, and changes nothing, "
         "when old is not there or is there more than once.",
         OBJECT(PATH ",\"old\":{\"type\":\"string\",\"minLength\":1},\"new\":{\"type\":\"string\"}",
                "\"path\",\"old\",\"new\""),
         CHANGES("false"))},
    {cis_mcp_fs_list, TOOL("fs_list", "List a folder", "What is in a folder: names, types, sizes.",
                           OBJECT(PATH, "\"path\""), READS)},
    {cis_mcp_fs_read, TOOL("fs_read", "Read a file", "The text of a file of at most 4 MiB.",
                           OBJECT(PATH, "\"path\""), READS)},
    {cis_mcp_fs_search,
     TOOL("fs_search", "Search files",
          "Lines of text files at or below path that have the text pattern in them, as it stands "
          "(no wildcards).",
          OBJECT(PATH ",\"pattern\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":1024}",
                 "\"pattern\""),
          READS)},
    {cis_mcp_fs_write,
     TOOL("fs_write", "Write a file",
          "Makes a file, or replaces what is in it. Folders on the way are made.",
          OBJECT(PATH ",\"content\":{\"type\":\"string\"}", "\"path\",\"content\""),
          CHANGES("true"))},
    {cis_mcp_run_apply,
     TOOL(
         "run_apply", "Apply a run to the folder",
         "Brings what a run of this server changed, and what came before it, to the folder that is "
         "served. Asks the person first, each time.",
         OBJECT(RUN, "\"run\""), CHANGES("false"))},
    {cis_mcp_run_diff,
     TOOL("run_diff", "What a run changed", "What a run of this server changed, as a unified diff.",
          OBJECT(RUN, "\"run\""), READS)},
    {cis_mcp_run_redo, TOOL("run_redo", "Redo a run", "Brings back what run_undo took back.",
                            OBJECT(RUN, "\"run\""), CHANGES("false"))},
    {cis_mcp_run_undo,
     TOOL(
         "run_undo", "Undo a run",
         "Takes back what a run of this server changed, also when others came after it. Fails, and "
         "changes nothing, when they changed the same.",
         OBJECT(RUN, "\"run\""), CHANGES("false"))},
    {cis_mcp_runs_list, TOOL("runs_list", "List runs",
                             "The runs of this server, newest first: id, status, what it was.",
                             OBJECT("", ""), READS)},
    {cis_mcp_shell,
     TOOL("shell", "Run a shell command",
          "Runs a script in the language of bash, with its usual commands (grep, sed, awk, find, "
          "jq, diff, tar and more) and no other programs, in a sandbox without network. It begins "
          "in /, the root of the files, and what it changes there is one run. Nothing else is kept "
          "between calls: no variables, no folder, no /tmp.",
          OBJECT("\"command\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":1048576}",
                 "\"command\""),
          CHANGES("false"))},
};

/* ---- the table ---- */

static bool is_named(const struct cis_mcp *m, const char *name)
{
    struct cis_str rest = cis_str_of(m->o.tools != NULL ? m->o.tools : "all"), one;
    for (bool more = true; more;) {
        more = cis_str_split(&rest, ',', &one);
        if (cis_str_is(one, name)) {
            return true;
        }
    }
    return false;
}

bool cis_mcp_tool_wanted(const struct cis_mcp *m, const char *name)
{
    return is_named(m, "all") || is_named(m, name);
}

cis_code cis_mcp_tool_add(struct mcp_lists *l, json_t *spec, mcp_tool_run *run, bool lane,
                          struct mcp_tool **out, struct cis_error *err)
{
    const char *name = json_string_value(json_object_get(spec, "name"));
    char *copy = name != NULL ? cis_strdup(name) : NULL;
    if (l->ntools == l->tools_cap && copy != NULL) {
        size_t cap = cis_cap_next(l->tools_cap, 16, 2 * MCP_TOOLS_MAX);
        struct mcp_tool *more = cis_realloc_array(l->tools, cap, sizeof *more);
        l->tools = more != NULL ? more : l->tools;
        l->tools_cap = more != NULL ? cap : l->tools_cap;
    }
    if (copy == NULL || l->ntools == l->tools_cap) {
        cis_free(copy);
        json_decref(spec);
        return cis_fail(err, CIS_E_NOMEM, "tools: out of memory");
    }
    l->tools[l->ntools] = (struct mcp_tool){.name = copy,
                                            .spec = spec,
                                            .input = json_object_get(spec, "inputSchema"),
                                            .output = json_object_get(spec, "outputSchema"),
                                            .run = run,
                                            .lane = lane};
    *out = &l->tools[l->ntools++];
    return CIS_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct mcp_tool *)a)->name, ((const struct mcp_tool *)b)->name);
}

cis_code cis_mcp_tools_check(const struct mcp_lists *l, struct cis_error *err)
{
    const struct cis_mcp *m = l->mcp;
    struct cis_str rest = cis_str_of(m->o.tools != NULL ? m->o.tools : "all"), one;
    for (bool more = true; more;) {
        more = cis_str_split(&rest, ',', &one);
        if (!cis_str_is(one, "all") && cis_mcp_tool_find(l, one) == NULL) {
            return cis_fail(
                err, CIS_E_USAGE,
                "--tools: \"%.*s\" is not a tool; the tools are fs_edit, fs_list, fs_read, "
                "fs_search, fs_write, run_apply (with --dir), run_diff, run_redo, run_undo, "
                "runs_list, shell (where its interpreter was built), and those of skills",
                one.len > 64 ? 64 : (int)one.len, one.ptr);
        }
    }
    return CIS_OK;
}

cis_code cis_mcp_tools_load(struct mcp_lists *l, struct cis_error *err)
{
    const struct cis_mcp *m = l->mcp;
    struct mcp_tool *tool;
    for (size_t i = 0; i < sizeof built_in / sizeof *built_in; i++) {
        json_t *spec = json_loads(built_in[i].spec, 0, NULL);
        if (spec == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "tools: out of memory");
        }
        const char *name = json_string_value(json_object_get(spec, "name"));
        /* It asks: only when it is named, and nothing waits behind it. */
        bool asks = built_in[i].run == cis_mcp_run_apply;
        bool wanted = asks ? is_named(m, name != NULL ? name : "") && m->o.folder != NULL
                           : cis_mcp_tool_wanted(m, name != NULL ? name : "");
        if (!wanted || (built_in[i].run == cis_mcp_shell && m->o.shell == NULL)) {
            json_decref(spec);
            continue;
        }
        CIS_TRY(cis_mcp_tool_add(l, spec, built_in[i].run, !asks, &tool, err));
    }
    return CIS_OK;
}

void cis_mcp_tools_sort(struct mcp_lists *l)
{
    if (l->ntools != 0) {
        qsort(l->tools, l->ntools, sizeof *l->tools, by_name);
    }
}

void cis_mcp_tool_done(struct mcp_tool *t)
{
    cis_free(t->name);
    cis_free(t->skill);
    cis_free(t->method);
    cis_free(t->digest);
    json_decref(t->spec);
    *t = (struct mcp_tool){0};
}

void cis_mcp_tools_done(struct mcp_lists *l)
{
    for (size_t i = 0; i < l->ntools; i++) {
        cis_mcp_tool_done(&l->tools[i]);
    }
    cis_free(l->tools);
}

const struct mcp_tool *cis_mcp_tool_find(const struct mcp_lists *l, struct cis_str name)
{
    for (size_t i = 0; i < l->ntools; i++) {
        if (cis_str_is(name, l->tools[i].name)) {
            return &l->tools[i];
        }
    }
    return NULL;
}

/* ---- tools/list ---- */

void cis_mcp_tools_list(const struct mcp_call *call, struct mcp_reply *out)
{
    const struct mcp_lists *l = call->lists;
    size_t from, to;
    if (!cis_mcp_page(call->message.params, l->ntools, &from, &to, out)) {
        return;
    }
    json_t *list = json_array();
    for (size_t i = from; i < to; i++) {
        json_array_append(list, l->tools[i].spec);
    }
    json_t *result = json_pack("{s:o}", "tools", list);
    if (to < l->ntools) {
        json_object_set_new(result, "nextCursor", json_sprintf("%zu", to));
    }
    cis_mcp_result(call, result, true, out);
}

/* ---- tools/call ---- */

static json_t *content_of(struct mcp_result *r)
{
    json_t *content = r->content != NULL ? json_incref(r->content) : json_array();
    if (r->content == NULL) {
        json_array_append_new(content, json_pack("{s:s,s:o}", "type", "text", "text",
                                                 cis_mcp_text(cis_buf_view(&r->text))));
    }
    if (r->run[0] != 0 && json_array_size(r->changes) != 0) {
        json_array_append_new(content,
                              json_pack("{s:s,s:o,s:s,s:s}", "type", "resource_link", "uri",
                                        json_sprintf("cis:///runs/%s/diff", r->run), "name",
                                        "what this run changed", "mimeType", "text/x-diff"));
    }
    return content;
}

json_t *cis_mcp_run_meta(const struct mcp_result *r)
{
    json_t *changes = r->changes != NULL ? json_incref(r->changes) : json_array();
    return json_pack("{s:s,s:o}", "cis/run", r->run, "cis/changes", changes);
}

void cis_mcp_result_done(struct mcp_result *r)
{
    json_decref(r->structured);
    json_decref(r->content);
    json_decref(r->changes);
    cis_buf_done(&r->text);
}

static void give(const struct mcp_call *call, struct mcp_result *r, struct mcp_reply *out)
{
    json_t *result = json_pack("{s:o,s:b}", "content", content_of(r), "isError", r->failed ? 1 : 0);
    if (result != NULL && r->structured != NULL) {
        json_object_set(result, "structuredContent", r->structured);
    }
    if (result != NULL && r->run[0] != 0) {
        json_object_set_new(result, "_meta", cis_mcp_run_meta(r));
    }
    cis_mcp_result(call, result, false, out);
}

static void failed(struct mcp_result *r, const struct cis_error *err)
{
    cis_buf_reset(&r->text);
    cis_buf_printf(&r->text, "%s: %s", cis_code_name(err->code), err->msg);
    json_decref(r->structured);
    json_decref(r->content);
    r->structured = r->content = NULL;
    r->failed = true;
}

/* What the revision of 2026 answers to a client that cannot do what a call needs. */
static void lacks(const struct mcp_call *call, const struct cis_error *err, struct mcp_reply *out)
{
    cis_mcp_refuse(out, MCP_CAPABILITY, "%s", err->msg);
    out->data = json_pack("{s:{s:{}}}", "requiredCapabilities", call->unable);
}

/* With what the person said. CIS_OK with an answer in *out (a question, or what is lacking), or a
 * call that waits: there is no result. */
static cis_code call_it(struct mcp_call *call, const struct mcp_tool *tool, const json_t *arguments,
                        struct mcp_result *r, struct mcp_reply *out, struct cis_error *err)
{
    if (!cis_mcp_ask_begin(call, tool, arguments, out)) {
        return CIS_OK;
    }
    cis_code code = cis_mcp_ask_answered(call, err);
    if (code == CIS_OK && tool->input != NULL) {
        code = cis_schema_fits(tool->input, arguments, "arguments", &call->stop, err);
    }
    if (code == CIS_OK) {
        code = tool->run(call, tool, arguments, r, err);
        cis_mcp_changed(call->mcp, r->changes);
    }
    code = code == CIS_OK ? cis_buf_check(&r->text, tool->name, err) : code;
    call->waits = code == CIS_E_INPUT_REQUIRED && call->open != NULL && !call->modern;
    if (call->waits) {
        return CIS_OK;
    }
    if (code == CIS_E_INPUT_REQUIRED && call->open != NULL) {
        return cis_mcp_ask_reply(call, tool, arguments, out, err);
    }
    if (code == CIS_E_UNSUPPORTED && call->modern && call->unable != NULL) {
        lacks(call, err, out);
        return CIS_OK;
    }
    return code;
}

bool cis_mcp_tool_give(struct mcp_call *call, const struct mcp_tool *tool, const json_t *arguments,
                       struct mcp_result *r, struct mcp_reply *out)
{
    struct cis_error err = {0};
    cis_code code = call_it(call, tool, arguments, r, out, &err);
    bool given = code == CIS_OK && out->code == 0 && out->result == NULL && !call->waits;
    if (code != CIS_OK) {
        cis_mcp_refuse(out, MCP_INTERNAL, "%s: %s", cis_code_name(err.code), err.msg);
    } else if (given && r->failed) {
        struct cis_str said = cis_buf_view(&r->text);
        cis_mcp_refuse(out, MCP_INTERNAL, "%s: %.*s", tool->name,
                       (int)cis_utf8_floor(said.ptr, said.len, 180), said.ptr);
    }
    if (given && r->failed && r->run[0] != 0) {
        out->data = cis_mcp_run_meta(r);
    }
    return given && !r->failed;
}

void cis_mcp_tools_call(struct mcp_call *call, struct mcp_reply *out)
{
    struct cis_str name = cis_mcp_field(call->message.params, "name");
    json_t *given = cis_mcp_member(call->message.params, "arguments");
    const struct mcp_tool *tool = cis_mcp_tool_find(call->lists, name);
    struct mcp_result r = {.text = CIS_BUF_INIT(2 * CIS_MCP_LINE_MAX)};
    struct cis_error err = {0};
    if (tool == NULL || (given != NULL && !json_is_object(given))) {
        cis_mcp_refuse(out, MCP_PARAMS,
                       tool == NULL ? "%.64s: this server has no such tool"
                                    : "%.64s: arguments is not an object",
                       name.ptr != NULL ? name.ptr : "");
        return;
    }
    json_t *arguments = given != NULL ? json_incref(given) : json_object();
    if (call_it(call, tool, arguments, &r, out, &err) != CIS_OK) {
        failed(&r, &err);
    }
    if (out->code == 0 && out->result == NULL && !call->waits) {
        give(call, &r, out);
    }
    json_decref(arguments);
    cis_mcp_result_done(&r);
}
