/* Prompts: texts of skills that a person chooses in the client. They are read with the tools when
 * the server starts; getting one runs nothing. */
#include "mcp/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"

#define PROMPTS_MAX 1000u
#define TEXT_MAX ((size_t)1 << 20) /* of one, with its arguments */

struct mcp_prompt {
    char *name;
    json_t *spec; /* as prompts/list shows it; owned */
    char *text;   /* with its arguments' names */
};

static void prompt_done(struct mcp_prompt *p)
{
    cis_free(p->name);
    cis_free(p->text);
    json_decref(p->spec);
}

void cis_mcp_prompts_done(struct cis_mcp *m)
{
    for (size_t i = 0; i < m->nprompts; i++) {
        prompt_done(&m->prompts[i]);
    }
    cis_free(m->prompts);
}

static const struct mcp_prompt *find(const struct cis_mcp *m, struct cis_str name)
{
    for (size_t i = 0; i < m->nprompts; i++) {
        if (cis_str_is(name, m->prompts[i].name)) {
            return &m->prompts[i];
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

static cis_code add(struct cis_mcp *m, const struct cis_manifest_prompt *p, struct cis_error *err)
{
    if (m->nprompts == m->prompts_cap) {
        size_t cap = cis_cap_next(m->prompts_cap, 16, PROMPTS_MAX);
        struct mcp_prompt *more = cis_realloc_array(m->prompts, cap, sizeof *more);
        m->prompts = more != NULL ? more : m->prompts;
        m->prompts_cap = more != NULL ? cap : m->prompts_cap;
    }
    struct mcp_prompt one = {.name = cis_strdup(p->name), .spec = spec_of(p)};
    one.text = cis_strdup(p->text);
    if (one.name == NULL || one.spec == NULL || one.text == NULL || m->nprompts == m->prompts_cap) {
        prompt_done(&one);
        return cis_fail(err, CIS_E_NOMEM, "prompts: out of memory, or more than %u", PROMPTS_MAX);
    }
    m->prompts[m->nprompts++] = one;
    return CIS_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct mcp_prompt *)a)->name, ((const struct mcp_prompt *)b)->name);
}

cis_code cis_mcp_prompts_add(struct cis_mcp *m, const struct cis_installed *skill,
                             struct cis_error *err)
{
    for (size_t i = 0; i < skill->manifest.nprompts; i++) {
        const struct cis_manifest_prompt *p = &skill->manifest.prompts[i];
        if (find(m, cis_str_of(p->name)) != NULL) {
            char line[256];
            snprintf(line, sizeof line,
                     "skill %.64s: its prompt %.64s is left out: another skill has one of the name",
                     skill->name, p->name);
            m->o.say(m->o.self, line);
            continue;
        }
        CIS_TRY(add(m, p, err));
    }
    if (m->nprompts != 0) {
        qsort(m->prompts, m->nprompts, sizeof *m->prompts, by_name);
    }
    return CIS_OK;
}

/* ---- methods ---- */

void cis_mcp_prompts_list(const struct mcp_call *call, struct mcp_reply *out)
{
    const struct cis_mcp *m = call->mcp;
    size_t from, to;
    if (!cis_mcp_page(call->message.params, m->nprompts, &from, &to, out)) {
        return;
    }
    json_t *list = json_array();
    for (size_t i = from; i < to; i++) {
        json_array_append(list, m->prompts[i].spec);
    }
    json_t *result = json_pack("{s:o}", "prompts", list);
    if (to < m->nprompts) {
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

void cis_mcp_prompts_get(struct mcp_call *call, struct mcp_reply *out)
{
    struct cis_str name = cis_mcp_field(call->message.params, "name");
    const json_t *given = json_object_get(call->message.params, "arguments");
    const struct mcp_prompt *p = find(call->mcp, name);
    if (p == NULL) {
        cis_mcp_refuse(out, MCP_PARAMS, "%.64s: this server has no such prompt",
                       name.ptr != NULL ? name.ptr : "");
        return;
    }
    if (!arguments_fit(p, given, out)) {
        return;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(TEXT_MAX);
    fill(p, given, &text);
    if (text.failed != CIS_OK) {
        cis_mcp_refuse(out, MCP_PARAMS, "%s: longer than %zu bytes with its arguments", p->name,
                       TEXT_MAX);
        return;
    }
    json_t *result = json_pack("{s:[{s:s,s:{s:s,s:o}}]}", "messages", "role", "user", "content",
                               "type", "text", "text", cis_mcp_text(cis_buf_view(&text)));
    json_t *description = json_object_get(p->spec, "description");
    if (result != NULL && description != NULL) {
        json_object_set(result, "description", description);
    }
    cis_mcp_result(call, result, false, out);
}
