/* [[prompts]] of a manifest: texts that a person chooses in a client, with arguments put in. Like
 * tools they are checked when the skill is installed, and never again changed by the skill. */
#include "skill/manifest_read.h"

#include "base/mem.h"

#define NAME_TEXT_MAX 1024u
#define TITLE_MAX 200u
#define DESCRIPTION_MAX 4096u
#define TEXT_MAX 16384u

static cis_code no_memory(struct cis_manifest_reader *r)
{
    return cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
}

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

static cis_code read_name(struct cis_manifest_reader *r, const char *path, const json_t *value,
                          char **out)
{
    CIS_TRY(cis_manifest_text(r, path, value, NAME_TEXT_MAX, out));
    return cis_manifest_tool_name(*out)
               ? CIS_OK
               : cis_manifest_bad(r, path, "\"%.80s\" is not 1 to %u letters, digits and _", *out,
                                  CIS_TOOL_NAME_MAX);
}

/* ---- arguments ---- */

static cis_code read_argument(struct cis_manifest_reader *r, const char *path, const json_t *value,
                              struct cis_manifest_argument *out)
{
    const char *key;
    json_t *field;
    if (!json_is_object(value)) {
        return cis_manifest_wrong_type(r, path, "a table", value);
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, field)
    {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_below(at, path, key);
        if (strcmp(key, "name") == 0) {
            CIS_TRY(read_name(r, at, field, &out->name));
        } else if (strcmp(key, "description") == 0) {
            CIS_TRY(cis_manifest_said(r, at, field, DESCRIPTION_MAX, &out->description));
        } else if (strcmp(key, "required") == 0) {
            CIS_TRY(cis_manifest_flag(r, at, field, &out->required));
        } else {
            return cis_manifest_bad(r, at, "unknown key: name, description, required");
        }
    }
    return out->name != NULL ? CIS_OK : cis_manifest_bad(r, path, "needs a name");
}

static cis_code read_arguments(struct cis_manifest_reader *r, const char *path, const json_t *value,
                               struct cis_manifest_prompt *p)
{
    CIS_TRY(cis_manifest_list(r, path, value));
    size_t n = json_array_size(value);
    if (n > CIS_MANIFEST_ARGUMENTS_MAX) {
        return cis_manifest_bad(r, path, "more than %u arguments", CIS_MANIFEST_ARGUMENTS_MAX);
    }
    p->args = cis_calloc(n > 0 ? n : 1, sizeof *p->args);
    if (p->args == NULL) {
        return no_memory(r);
    }
    for (size_t i = 0; i < n; i++) {
        char at[CIS_MANIFEST_PATH_MAX];
        struct cis_manifest_argument one = {0};
        cis_manifest_item(at, path, i);
        cis_code code = read_argument(r, at, json_array_get(value, i), &one);
        if (code == CIS_OK && argument(p, cis_str_of(one.name)) != NULL) {
            code = cis_manifest_bad(r, at, "two arguments are named %s", one.name);
        }
        p->args[p->nargs++] = one;
        CIS_TRY(code);
    }
    return CIS_OK;
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
                           const json_t *field, struct cis_manifest_prompt *out)
{
    if (strcmp(key, "name") == 0) {
        return read_name(r, at, field, &out->name);
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
    return strcmp(key, "arguments") == 0
               ? read_arguments(r, at, field, out)
               : cis_manifest_bad(r, at, "unknown key: name, title, description, text, arguments");
}

static cis_code read_prompt(struct cis_manifest_reader *r, const char *path, const json_t *value,
                            struct cis_manifest_prompt *out)
{
    const char *key;
    json_t *field;
    if (!json_is_object(value)) {
        return cis_manifest_wrong_type(r, path, "a table", value);
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, field)
    {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_below(at, path, key);
        CIS_TRY(read_field(r, at, key, field, out));
    }
    return out->name != NULL && out->text != NULL && out->text[0] != 0
               ? check_text(r, path, out)
               : cis_manifest_bad(r, path, "needs name and text");
}

static cis_code read_all(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    CIS_TRY(cis_manifest_list(r, path, value));
    size_t n = json_array_size(value);
    if (n > CIS_MANIFEST_PROMPTS_MAX) {
        return cis_manifest_bad(r, path, "more than %u prompts", CIS_MANIFEST_PROMPTS_MAX);
    }
    r->m->prompts = cis_calloc(n > 0 ? n : 1, sizeof *r->m->prompts);
    if (r->m->prompts == NULL) {
        return no_memory(r);
    }
    for (size_t i = 0; i < n; i++) {
        char at[CIS_MANIFEST_PATH_MAX];
        struct cis_manifest_prompt *prompt = &r->m->prompts[r->m->nprompts++];
        cis_manifest_item(at, path, i);
        CIS_TRY(read_prompt(r, at, json_array_get(value, i), prompt));
        for (size_t k = 0; k < i; k++) {
            if (strcmp(r->m->prompts[k].name, prompt->name) == 0) {
                return cis_manifest_bad(r, at, "two prompts are named %s", prompt->name);
            }
        }
    }
    return CIS_OK;
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
