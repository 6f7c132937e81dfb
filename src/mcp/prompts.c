/* Prompts: texts of skills that a person chooses in the client, or what a method of them gives.
 * They are read with the tools (lists.c). */
#include "mcp/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"

#define PROMPTS_MAX 1000u
#define TEXT_MAX ((size_t)1 << 20) /* of one, with its arguments */

struct mcp_prompt {
    char *name;
    json_t *spec; /* as prompts/list shows it; owned */
    char *text;   /* with its arguments' names; NULL: the method gives it */
    struct mcp_tool tool;
};

static void prompt_done(struct mcp_prompt *p)
{
    cis_free(p->name);
    cis_free(p->text);
    cis_mcp_tool_done(&p->tool);
    json_decref(p->spec);
}

void cis_mcp_prompts_done(struct mcp_lists *l)
{
    for (size_t i = 0; i < l->nprompts; i++) {
        prompt_done(&l->prompts[i]);
    }
    cis_free(l->prompts);
}

static const struct mcp_prompt *find(const struct mcp_lists *l, struct cis_str name)
{
    for (size_t i = 0; i < l->nprompts; i++) {
        if (cis_str_is(name, l->prompts[i].name)) {
            return &l->prompts[i];
        }
    }
    return NULL;
}

static json_t *spec_of(const struct cis_manifest_prompt *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->nargs; i++) {
        json_t *one = json_pack("{s:s,s:b}", "name", p->args[i].name, "required",
                                p->args[i].required ? 1 : 0);
        if (p->args[i].description != NULL) {
            json_object_set_new(one, "description", cis_mcp_text_of(p->args[i].description));
        }
        json_array_append_new(list, one);
    }
    json_t *spec = json_pack("{s:s,s:o}", "name", p->name, "arguments", list);
    if (p->title != NULL) {
        json_object_set_new(spec, "title", cis_mcp_text_of(p->title));
    }
    if (p->description != NULL) {
        json_object_set_new(spec, "description", cis_mcp_text_of(p->description));
    }
    return spec;
}

/* Takes *tool. */
static cis_code add(struct mcp_lists *l, const struct cis_manifest_prompt *p, struct mcp_tool *tool,
                    struct cis_error *err)
{
    if (l->nprompts == l->prompts_cap) {
        size_t cap = cis_cap_next(l->prompts_cap, 16, 2 * PROMPTS_MAX);
        struct mcp_prompt *more = cis_realloc_array(l->prompts, cap, sizeof *more);
        l->prompts = more != NULL ? more : l->prompts;
        l->prompts_cap = more != NULL ? cap : l->prompts_cap;
    }
    struct mcp_prompt one = {.name = cis_strdup(p->name), .spec = spec_of(p), .tool = *tool};
    one.text = p->text != NULL ? cis_strdup(p->text) : NULL;
    if (one.name == NULL || one.spec == NULL || (p->text != NULL && one.text == NULL) ||
        l->nprompts == l->prompts_cap) {
        prompt_done(&one);
        return cis_fail(err, CIS_E_NOMEM, "prompts: out of memory");
    }
    l->prompts[l->nprompts++] = one;
    return CIS_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct mcp_prompt *)a)->name, ((const struct mcp_prompt *)b)->name);
}

/* What it runs, if it runs something; else it is left out, for the reason that is said. */
static cis_code take_tool(struct mcp_lists *l, const struct cis_installed *skill,
                          const struct cis_manifest_prompt *p, struct mcp_tool *out,
                          struct cis_error *err)
{
    if (find(l, cis_str_of(p->name)) != NULL) {
        return cis_fail(err, CIS_E_EXISTS, "another skill has one of the name");
    }
    char name[CIS_TOOL_NAME_MAX + 16];
    snprintf(name, sizeof name, "prompts/%s", p->name);
    return p->text != NULL
               ? CIS_OK
               : cis_mcp_tool_of_method(l, skill, name, p->method, MCP_GIVES_MESSAGES, out, err);
}

cis_code cis_mcp_prompts_add(struct mcp_lists *l, const struct cis_installed *skill,
                             struct cis_error *err)
{
    for (size_t i = 0; i < skill->manifest.nprompts; i++) {
        const struct cis_manifest_prompt *p = &skill->manifest.prompts[i];
        if (l->nprompts == PROMPTS_MAX) {
            cis_mcp_left_out(l->mcp, skill->name, "prompts are", "there are too many");
            break;
        }
        struct mcp_tool tool = {0};
        struct cis_error why = {0};
        cis_code code = take_tool(l, skill, p, &tool, &why);
        if (code == CIS_OK) {
            CIS_TRY(add(l, p, &tool, err));
            continue;
        }
        char what[CIS_TOOL_NAME_MAX + 16];
        snprintf(what, sizeof what, "prompt %s is", p->name);
        cis_mcp_left_out(l->mcp, skill->name, what, why.msg);
        cis_mcp_tool_done(&tool);
    }
    if (l->nprompts != 0) {
        qsort(l->prompts, l->nprompts, sizeof *l->prompts, by_name);
    }
    return CIS_OK;
}

bool cis_mcp_prompts_same(const struct mcp_lists *a, const struct mcp_lists *b)
{
    bool same = a->nprompts == b->nprompts;
    for (size_t i = 0; same && i < a->nprompts; i++) {
        same = json_equal(a->prompts[i].spec, b->prompts[i].spec);
    }
    return same;
}

/* ---- methods ---- */

void cis_mcp_prompts_list(const struct mcp_call *call, struct mcp_reply *out)
{
    const struct mcp_lists *l = call->lists;
    size_t from, to;
    if (!cis_mcp_page(call->message.params, l->nprompts, &from, &to, out)) {
        return;
    }
    json_t *list = json_array();
    for (size_t i = from; i < to; i++) {
        json_array_append(list, l->prompts[i].spec);
    }
    json_t *result = json_pack("{s:o}", "prompts", list);
    if (to < l->nprompts) {
        json_object_set_new(result, "nextCursor", json_sprintf("%zu", to));
    }
    cis_mcp_result(call, result, true, out);
}

/* Every argument is one that it has, and none is missing. */
static bool arguments_fit(const struct mcp_prompt *p, const json_t *given, struct mcp_reply *out)
{
    const json_t *list = json_object_get(p->spec, "arguments");
    size_t known = 0;
    if (given != NULL && !json_is_object(given)) {
        cis_mcp_refuse(out, MCP_PARAMS, "%s: arguments is not an object", p->name);
        return false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        const json_t *value = json_object_get(given, name);
        known += value != NULL;
        if (value == NULL ? json_is_true(json_object_get(one, "required"))
                          : !json_is_string(value)) {
            cis_mcp_refuse(out, MCP_PARAMS, "%s: argument %.64s %s", p->name, name,
                           value == NULL ? "is missing" : "is not a text");
            return false;
        }
    }
    if (known != json_object_size(given)) {
        cis_mcp_refuse(out, MCP_PARAMS, "%s: an argument that it does not have", p->name);
        return false;
    }
    return true;
}

/* Once: what an argument says is not looked into. */
static void fill(const struct mcp_prompt *p, const json_t *given, struct cis_buf *out)
{
    struct cis_str rest = cis_str_of(p->text), text, name;
    while (cis_manifest_prompt_next(&rest, &text, &name)) {
        char key[CIS_TOOL_NAME_MAX + 1] = "";
        cis_buf_str(out, text);
        memcpy(key, name.len != 0 ? name.ptr : "", name.len < sizeof key ? name.len : 0);
        struct cis_str value = cis_mcp_field(given, key);
        cis_buf_str(out, value.ptr != NULL ? value : CIS_STR(""));
    }
}

static json_t *of_text(const struct mcp_prompt *p, const json_t *given, struct mcp_reply *out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(TEXT_MAX);
    fill(p, given, &text);
    if (text.failed != CIS_OK) {
        cis_mcp_refuse(out, MCP_PARAMS, "%s: longer than %zu bytes with its arguments", p->name,
                       TEXT_MAX);
        return NULL;
    }
    return json_pack("{s:[{s:s,s:{s:s,s:o}}]}", "messages", "role", "user", "content", "type",
                     "text", "text", cis_mcp_text(cis_buf_view(&text)));
}

static json_t *of_method(struct mcp_call *call, const struct mcp_prompt *p, const json_t *given,
                         struct mcp_reply *out)
{
    struct mcp_result r = {.text = CIS_BUF_INIT(TEXT_MAX)};
    json_t *arguments = given != NULL ? json_deep_copy(given) : json_object();
    json_t *result =
        cis_mcp_tool_give(call, &p->tool, arguments, &r, out)
            ? json_pack("{s:O,s:o}", "messages", r.content, "_meta", cis_mcp_run_meta(&r))
            : NULL;
    json_decref(arguments);
    cis_mcp_result_done(&r);
    return result;
}

bool cis_mcp_prompt_runs(const struct mcp_lists *l, struct cis_str name)
{
    const struct mcp_prompt *p = name.ptr != NULL ? find(l, name) : NULL;
    return p != NULL && p->text == NULL;
}

void cis_mcp_prompts_get(struct mcp_call *call, struct mcp_reply *out)
{
    struct cis_str name = cis_mcp_field(call->message.params, "name");
    const json_t *given = cis_mcp_member(call->message.params, "arguments");
    const struct mcp_prompt *p = find(call->lists, name);
    if (p == NULL) {
        cis_mcp_refuse(out, MCP_PARAMS, "%.64s: this server has no such prompt",
                       name.ptr != NULL ? name.ptr : "");
        return;
    }
    if (!arguments_fit(p, given, out)) {
        return;
    }
    json_t *result = p->text != NULL ? of_text(p, given, out) : of_method(call, p, given, out);
    if (out->code != 0 || out->result != NULL || call->waits) {
        return;
    }
    json_t *description = json_object_get(p->spec, "description");
    if (result != NULL && description != NULL) {
        json_object_set(result, "description", description);
    }
    cis_mcp_result(call, result, false, out);
}
