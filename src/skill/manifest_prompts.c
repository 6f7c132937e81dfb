/* [[prompts]] of a manifest: texts that a person chooses in a client, with arguments put in, or
 * what a method gives. Like tools they are checked when the skill is installed, and never again
 * changed by the skill. */
#include "skill/manifest_read.h"

#include "base/mem.h"

#define NAME_TEXT_MAX 1024u
#define TITLE_MAX 200u
#define DESCRIPTION_MAX 4096u
#define TEXT_MAX 16384u
#define METHOD_MAX 256u

static void prompt_done(struct cis_manifest_prompt *p)
{
    for (size_t i = 0; i < p->nargs; i++) {
        cis_free(p->args[i].name);
        cis_free(p->args[i].description);
    }
    cis_free(p->args);
    cis_free(p->name);
    cis_free(p->title);
    cis_free(p->description);
    cis_free(p->text);
    cis_free(p->method);
}

void cis_manifest_prompts_done(struct cis_manifest *m)
{
    for (size_t i = 0; i < m->nprompts; i++) {
        prompt_done(&m->prompts[i]);
    }
    cis_free(m->prompts);
    m->prompts = NULL;
    m->nprompts = 0;
}

static const struct cis_manifest_argument *argument(const struct cis_manifest_prompt *p,
                                                    struct cis_str name)
{
    for (size_t i = 0; i < p->nargs; i++) {
        if (p->args[i].name != NULL && cis_str_is(name, p->args[i].name)) {
            return &p->args[i];
        }
    }
    return NULL;
}

cis_code cis_manifest_tool_name_read(struct cis_manifest_reader *r, const char *path,
                                     const json_t *value, char **out)
{
    CIS_TRY(cis_manifest_text(r, path, value, NAME_TEXT_MAX, out));
    return cis_manifest_tool_name(*out)
               ? CIS_OK
               : cis_manifest_bad(r, path, "\"%.80s\" is not 1 to %u letters, digits and _", *out,
                                  CIS_TOOL_NAME_MAX);
}

/* ---- arguments ---- */

static cis_code read_argument(struct cis_manifest_reader *r, const char *path, const char *key,
                              const json_t *value, void *item)
{
    struct cis_manifest_argument *out = item;
    if (strcmp(key, "name") == 0) {
        return cis_manifest_tool_name_read(r, path, value, &out->name);
    }
    if (strcmp(key, "description") == 0) {
        return cis_manifest_said(r, path, value, DESCRIPTION_MAX, &out->description);
    }
    return strcmp(key, "required") == 0
               ? cis_manifest_flag(r, path, value, &out->required)
               : cis_manifest_bad(r, path, "unknown key: name, description, required");
}

static cis_code whole_argument(struct cis_manifest_reader *r, const char *path, void *item)
{
    const struct cis_manifest_argument *out = item;
    return out->name != NULL ? CIS_OK : cis_manifest_bad(r, path, "needs a name");
}

static cis_code read_arguments(struct cis_manifest_reader *r, const char *path, const json_t *value,
                               struct cis_manifest_prompt *p)
{
    static const struct cis_manifest_items arguments = {.what = "arguments",
                                                        .most = CIS_MANIFEST_ARGUMENTS_MAX,
                                                        .size =
                                                            sizeof(struct cis_manifest_argument),
                                                        .member = read_argument,
                                                        .whole = whole_argument};
    void *items = NULL;
    cis_code code = cis_manifest_items(r, path, value, &arguments, &items, &p->nargs);
    p->args = items;
    return code;
}

/* ---- prompts ---- */

bool cis_manifest_prompt_next(struct cis_str *rest, struct cis_str *out_text,
                              struct cis_str *out_name)
{
    const char *open = rest->len != 0 ? memmem(rest->ptr, rest->len, "{{", 2) : NULL;
    if (open == NULL) {
        *out_text = *rest;
        *out_name = (struct cis_str){NULL, 0};
        *rest = (struct cis_str){NULL, 0};
        return out_text->len != 0;
    }
    size_t before = (size_t)(open - rest->ptr), left = rest->len - before - 2;
    const char *close = memmem(open + 2, left, "}}", 2);
    size_t len = close != NULL ? (size_t)(close - open) - 2 : left;
    *out_text = (struct cis_str){rest->ptr, before};
    *out_name = (struct cis_str){open + 2, len};
    size_t used = before + 2 + len + (close != NULL ? 2 : 0);
    *rest = (struct cis_str){rest->ptr + used, rest->len - used};
    return true;
}

static cis_code check_text(struct cis_manifest_reader *r, const char *path,
                           const struct cis_manifest_prompt *p)
{
    struct cis_str rest = cis_str_of(p->text), text, name;
    while (cis_manifest_prompt_next(&rest, &text, &name)) {
        if (name.ptr != NULL && argument(p, name) == NULL) {
            return cis_manifest_bad(r, path, "text: {{%.*s}} is not one of its arguments",
                                    name.len > 64 ? 64 : (int)name.len, name.ptr);
        }
    }
    return CIS_OK;
}

static cis_code read_field(struct cis_manifest_reader *r, const char *at, const char *key,
                           const json_t *field, void *item)
{
    struct cis_manifest_prompt *out = item;
    if (strcmp(key, "name") == 0) {
        return cis_manifest_tool_name_read(r, at, field, &out->name);
    }
    if (strcmp(key, "title") == 0) {
        return cis_manifest_said(r, at, field, TITLE_MAX, &out->title);
    }
    if (strcmp(key, "description") == 0) {
        return cis_manifest_said(r, at, field, DESCRIPTION_MAX, &out->description);
    }
    if (strcmp(key, "text") == 0) {
        return cis_manifest_said(r, at, field, TEXT_MAX, &out->text);
    }
    if (strcmp(key, "method") == 0) {
        return cis_manifest_said(r, at, field, METHOD_MAX, &out->method);
    }
    return strcmp(key, "arguments") == 0
               ? read_arguments(r, at, field, out)
               : cis_manifest_bad(r, at,
                                  "unknown key: name, title, description, text, method, arguments");
}

static cis_code whole_prompt(struct cis_manifest_reader *r, const char *path, void *item)
{
    const struct cis_manifest_prompt *out = item;
    bool text = out->text != NULL && out->text[0] != 0;
    bool method = out->method != NULL && out->method[0] != 0;
    if (out->name == NULL || text == method) {
        return cis_manifest_bad(r, path, "needs name, and either text or method");
    }
    return text ? check_text(r, path, out) : CIS_OK;
}

static cis_code read_all(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    static const struct cis_manifest_items prompts = {.what = "prompts",
                                                      .most = CIS_MANIFEST_PROMPTS_MAX,
                                                      .size = sizeof(struct cis_manifest_prompt),
                                                      .member = read_field,
                                                      .whole = whole_prompt};
    void *items = NULL;
    cis_code code = cis_manifest_items(r, path, value, &prompts, &items, &r->m->nprompts);
    r->m->prompts = items;
    return code;
}

cis_code cis_manifest_prompts(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    cis_manifest_prompts_done(r->m);
    cis_code code = read_all(r, path, value);
    if (code != CIS_OK && code != CIS_E_NOMEM && r->lines == NULL) {
        /* Installed before anybody read this key, when it could say anything: it has no prompts. */
        cis_manifest_prompts_done(r->m);
        return CIS_OK;
    }
    return code;
}
