/* [[tools]] of a manifest: methods that models may call. What is here is shown to a model, so it is
 * checked when the skill is installed, and never again changed by the skill. */
#include "skill/manifest_read.h"

#include "base/mem.h"
#include "skill/schema.h"

#define TEXT_MAX 4096u
#define TITLE_MAX 200u
#define SCHEMA_MAX 65536u

void cis_manifest_tools_done(struct cis_manifest *m)
{
    for (size_t i = 0; i < m->ntools; i++) {
        struct cis_manifest_tool *t = &m->tools[i];
        cis_free(t->name);
        cis_free(t->method);
        cis_free(t->title);
        cis_free(t->description);
        cis_free(t->input);
        cis_free(t->output);
    }
    cis_free(m->tools);
    m->tools = NULL;
    m->ntools = 0;
}

bool cis_manifest_has_tool(const struct cis_manifest *m, const char *name)
{
    for (size_t i = 0; i < m->ntools; i++) {
        if (m->tools[i].name != NULL && strcmp(m->tools[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- one ---- */

bool cis_manifest_tool_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return n != 0 && n <= CIS_TOOL_NAME_MAX && name[n] == 0;
}

/* Those of the server itself, now and later. */
static bool name_reserved(const char *name)
{
    static const char *const beginnings[] = {"fs_", "run_", "runs_", "cis_"};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0) {
            return true;
        }
    }
    return strcmp(name, "shell") == 0 || strcmp(name, "all") == 0;
}

static cis_code read_name(struct cis_manifest_reader *r, const char *path, const json_t *value,
                          char **out)
{
    CIS_TRY(cis_manifest_text(r, path, value, 1024, out));
    if (!cis_manifest_tool_name(*out)) {
        return cis_manifest_bad(r, path, "\"%.80s\" is not 1 to %u letters, digits and _", *out,
                                CIS_TOOL_NAME_MAX);
    }
    return name_reserved(*out) ? cis_manifest_bad(r, path,
                                                  "\"%s\": fs_…, run_…, runs_…, cis_…, shell and "
                                                  "all are the server's own names",
                                                  *out)
                               : CIS_OK;
}

cis_code cis_manifest_said(struct cis_manifest_reader *r, const char *path, const json_t *value,
                           size_t max, char **out)
{
    CIS_TRY(cis_manifest_text(r, path, value, max, out));
    size_t len = strlen(*out);
    for (size_t i = 0, n; i < len; i += n) {
        unsigned char c = (unsigned char)(*out)[i];
        n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4; /* well-formed: it is JSON's */
        if (c != '\n' && c != '\t' && cis_utf8_hides(*out + i, n < len - i ? n : len - i)) {
            return cis_manifest_bad(r, path, "has control or invisible characters (at byte %zu)",
                                    i);
        }
    }
    return len == json_string_length(value) ? CIS_OK : cis_manifest_bad(r, path, "has a zero byte");
}

static cis_code read_schema(struct cis_manifest_reader *r, const char *path, const json_t *value,
                            char **out)
{
    struct cis_error why = {0};
    const char *type = json_string_value(json_object_get(value, "type"));
    if (cis_schema_check(value, strrchr(path, '.') + 1, &why) != CIS_OK) {
        return cis_manifest_bad(r, path, "%s", why.msg);
    }
    if (type == NULL || strcmp(type, "object") != 0) {
        return cis_manifest_bad(r, path, "is not of type \"object\"");
    }
    char *text = cis_manifest_json(value);
    if (text == NULL) {
        return cis_manifest_no_memory(r);
    }
    cis_free(*out);
    *out = text;
    return strlen(text) <= SCHEMA_MAX
               ? CIS_OK
               : cis_manifest_bad(r, path, "longer than %u bytes", SCHEMA_MAX);
}

static cis_code read_field(struct cis_manifest_reader *r, const char *at, const char *key,
                           const json_t *field, void *item)
{
    struct cis_manifest_tool *out = item;
    if (strcmp(key, "name") == 0) {
        return read_name(r, at, field, &out->name);
    }
    if (strcmp(key, "method") == 0) {
        return cis_manifest_said(r, at, field, 256, &out->method);
    }
    if (strcmp(key, "title") == 0) {
        return cis_manifest_said(r, at, field, TITLE_MAX, &out->title);
    }
    if (strcmp(key, "description") == 0) {
        return cis_manifest_said(r, at, field, TEXT_MAX, &out->description);
    }
    if (strcmp(key, "input") == 0) {
        return read_schema(r, at, field, &out->input);
    }
    if (strcmp(key, "output") == 0) {
        return read_schema(r, at, field, &out->output);
    }
    if (strcmp(key, "content") == 0) {
        out->content = json_is_true(field);
        return json_is_boolean(field) ? CIS_OK : cis_manifest_wrong_type(r, at, "a boolean", field);
    }
    return cis_manifest_bad(
        r, at, "unknown key: name, method, title, description, input, output, content");
}

static cis_code fallback(struct cis_manifest_reader *r, char **field, const char *text)
{
    if (*field == NULL) {
        *field = cis_strdup(text);
    }
    return *field != NULL ? CIS_OK : cis_manifest_no_memory(r);
}

static cis_code whole(struct cis_manifest_reader *r, const char *path, void *item)
{
    struct cis_manifest_tool *out = item;
    if (out->name == NULL || out->method == NULL || out->method[0] == 0) {
        return cis_manifest_bad(r, path, "needs name and method");
    }
    if (out->content && out->output != NULL) {
        return cis_manifest_bad(r, path, "content and output: a result is one or the other");
    }
    CIS_TRY(fallback(r, &out->title, ""));
    CIS_TRY(fallback(r, &out->description, ""));
    return fallback(r, &out->input, "{\"type\":\"object\"}");
}

static cis_code read_all(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    static const struct cis_manifest_items tools = {.what = "tools",
                                                    .most = CIS_MANIFEST_TOOLS_MAX,
                                                    .size = sizeof(struct cis_manifest_tool),
                                                    .member = read_field,
                                                    .whole = whole};
    void *items = NULL;
    cis_code code = cis_manifest_items(r, path, value, &tools, &items, &r->m->ntools);
    r->m->tools = items;
    return code;
}

cis_code cis_manifest_tools(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    cis_manifest_tools_done(r->m);
    cis_code code = read_all(r, path, value);
    if (code != CIS_OK && code != CIS_E_NOMEM && r->lines == NULL) {
        /* Installed before anybody read this key, when it could say anything: it has no tools. */
        cis_manifest_tools_done(r->m);
        return CIS_OK;
    }
    return code;
}
