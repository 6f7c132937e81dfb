/* What a manifest says, once read: names and paths, limits, settings and their values. */
#include "skill/manifest.h"

#include <jansson.h>
#include "base/json_write.h"
#include "base/mem.h"
#include "skill/manifest_read.h"

#define VALUE_MAX (100u << 10) /* as host_config_set */

static void free_list(char **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cis_free(list[i]);
    }
    cis_free(list);
}

void cis_manifest_done(struct cis_manifest *m)
{
    char *texts[] = {m->name,  m->version, m->description, m->author, m->license,      m->homepage,
                     m->entry, m->abi,     m->method,      m->json,   m->unsigned_json};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cis_free(texts[i]);
    }
    cis_grants_done(&m->asked);
    for (size_t i = 0; i < m->nexports; i++) {
        cis_free(m->exports[i].name);
        cis_free(m->exports[i].description);
    }
    cis_free(m->exports);
    for (size_t i = 0; i < m->nsettings; i++) {
        struct cis_manifest_setting *s = &m->settings[i];
        cis_free(s->key);
        cis_free(s->description);
        cis_free(s->fallback);
        free_list(s->choices, s->nchoices);
    }
    cis_free(m->settings);
    for (size_t i = 0; i < m->ndependencies; i++) {
        cis_free(m->dependencies[i].name);
        cis_free(m->dependencies[i].version);
    }
    cis_free(m->dependencies);
    cis_manifest_tools_done(m);
    cis_manifest_prompts_done(m);
    cis_manifest_resources_done(m);
    for (size_t i = 0; i < m->nplugs; i++) {
        cis_free(m->plugs[i].path);
    }
    cis_free(m->plugs);
    free_list(m->warnings, m->nwarnings);
    *m = CIS_MANIFEST_INIT;
}

const char *cis_skill_type_name(enum cis_skill_type type)
{
    switch (type) {
    case CIS_SKILL_WASM:
        return "wasm";
    case CIS_SKILL_COMPONENT:
        return "component";
    case CIS_SKILL_NATIVE:
        return "native";
    }
    return "";
}

const char *cis_setting_type_name(enum cis_setting_type type)
{
    static const char *const names[] = {"any",     "string", "integer", "number",
                                        "boolean", "array",  "object"};
    return names[type];
}

cis_code cis_manifest_bare(struct cis_str name, struct cis_str entry, bool component,
                           struct cis_manifest *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(65536);
    cis_json_write(&json,
                   CIS_JSON(CIS_J_LIST(NULL), CIS_J(NULL, "bare"), CIS_J_OPEN(NULL),
                            CIS_J_OPEN("skill"), CIS_J("entry", entry), CIS_J("name", name),
                            CIS_J("type", component ? "component" : "wasm"),
                            CIS_J("version", "0.0.0"), CIS_J_CLOSE, CIS_J_CLOSE, CIS_J_LIST_END));
    CIS_TRY(cis_buf_check(&json, "manifest", err));
    return cis_manifest_parse_row(cis_buf_view(&json), out, err);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a == 0 ? b : b == 0 || a < b ? a : b;
}

struct cis_skill_limits cis_skill_limits_meet(const struct cis_skill_limits *a,
                                              const struct cis_skill_limits *b)
{
    return (struct cis_skill_limits){
        .memory_bytes = smaller(a->memory_bytes, b->memory_bytes),
        .time_ns = smaller(a->time_ns, b->time_ns),
        .fuel = smaller(a->fuel, b->fuel),
        .output_bytes = smaller(a->output_bytes, b->output_bytes),
        .files = smaller(a->files, b->files),
    };
}

const struct cis_manifest_setting *cis_manifest_setting_find(const struct cis_manifest *m,
                                                             struct cis_str key)
{
    for (size_t i = 0; i < m->nsettings; i++) {
        if (cis_str_is(key, m->settings[i].key)) {
            return &m->settings[i];
        }
    }
    return NULL;
}

static bool fits(enum cis_setting_type type, const json_t *value)
{
    switch (type) {
    case CIS_SETTING_ANY:
    case CIS_SETTING_STRING:
        return true;
    case CIS_SETTING_INTEGER:
        return json_is_integer(value);
    case CIS_SETTING_NUMBER:
        return json_is_number(value);
    case CIS_SETTING_BOOLEAN:
        return json_is_boolean(value);
    case CIS_SETTING_ARRAY:
        return json_is_array(value);
    case CIS_SETTING_OBJECT:
        return json_is_object(value);
    }
    return false;
}

static cis_code check_choice(const struct cis_manifest_setting *s, const char *text,
                             struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf list = CIS_BUF_INIT(CIS_MANIFEST_MAX * 2);
    for (size_t i = 0; i < s->nchoices; i++) {
        if (strcmp(s->choices[i], text) == 0) {
            return CIS_OK;
        }
        cis_buf_text(&list, i > 0 ? ", " : "");
        cis_buf_text(&list, s->choices[i]);
    }
    return cis_fail(err, CIS_E_USAGE, "%.64s: \"%.40s\" is none of %.80s", s->key, text,
                    cis_buf_cstr(&list));
}

cis_code cis_manifest_setting_check(const struct cis_manifest *m, struct cis_str key,
                                    struct cis_str value, struct cis_error *err)
{
    if (key.len == 0 || key.len > 1024 || !cis_utf8_valid(key.ptr, key.len) ||
        memchr(key.ptr, 0, key.len) != NULL) {
        return cis_fail(err, CIS_E_USAGE, "a config key is text of 1 to 1024 bytes");
    }
    if (value.len > VALUE_MAX || !cis_utf8_valid(value.ptr, value.len)) {
        return cis_fail(err, CIS_E_USAGE, "%.*s: a value is text of at most %u bytes",
                        (int)(key.len > 64 ? 64 : key.len), key.ptr, VALUE_MAX);
    }
    const struct cis_manifest_setting *s = cis_manifest_setting_find(m, key);
    if (m->has_schema && (s == NULL || !s->in_schema)) {
        return cis_fail(err, CIS_E_USAGE, "%.*s: the skill's config.schema has no such key",
                        (int)(key.len > 64 ? 64 : key.len), key.ptr);
    }
    if (s == NULL || (s->nchoices == 0 && s->type <= CIS_SETTING_STRING)) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_freep) char *text = NULL;
    if (s->type > CIS_SETTING_STRING) {
        json_t *parsed = json_loadb(value.ptr, value.len, JSON_DECODE_ANY, NULL);
        bool ok = parsed != NULL && fits(s->type, parsed);
        text = ok ? cis_manifest_value_text(parsed) : NULL;
        json_decref(parsed);
        if (!ok) {
            return cis_fail(err, CIS_E_USAGE, "%.64s: \"%.*s\" is not of type %s", s->key,
                            (int)(value.len > 40 ? 40 : value.len), value.ptr,
                            cis_setting_type_name(s->type));
        }
    } else {
        text = cis_strndup(value.len != 0 ? value.ptr : "", value.len);
    }
    if (text == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", s->key);
    }
    return s->nchoices == 0 ? CIS_OK : check_choice(s, text, err);
}

enum cis_export_convention cis_manifest_convention(const struct cis_manifest *m,
                                                   struct cis_str export_name)
{
    for (size_t i = 0; i < m->nexports; i++) {
        const struct cis_manifest_export *e = &m->exports[i];
        if (e->kind != CIS_EXPORT_EVENT && cis_str_is(export_name, e->name) &&
            e->convention != CIS_EXPORT_AUTO) {
            return e->convention;
        }
    }
    return m->convention;
}
