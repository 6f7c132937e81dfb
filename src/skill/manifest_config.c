/* [exports], [config] and [[dependencies]] of a manifest. */
#include "skill/manifest_read.h"

#include "base/mem.h"

static cis_code no_memory(struct cis_manifest_reader *r)
{
    return cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
}

/* ---- [exports] ---- */

static cis_code read_convention(struct cis_manifest_reader *r, const char *path,
                                const json_t *value, enum cis_export_convention *out)
{
    static const char *const names[] = {"auto", "text", "numbers"};
    if (!json_is_string(value)) {
        return cis_manifest_wrong_type(r, path, "\"text\" or \"numbers\"", value);
    }
    for (int i = 0; i < 3; i++) {
        if (strcmp(names[i], json_string_value(value)) == 0) {
            *out = (enum cis_export_convention)i;
            return CIS_OK;
        }
    }
    return cis_manifest_bad(r, path, "\"%.40s\" is not text, numbers or auto",
                            json_string_value(value));
}

static cis_code read_default_convention(struct cis_manifest_reader *r, const char *path,
                                        const json_t *value)
{
    return read_convention(r, path, value, &r->m->convention);
}

/* An item is a name, or a table with name, convention and description. */
static cis_code read_export(struct cis_manifest_reader *r, const char *path, const json_t *value,
                            struct cis_manifest_export *out)
{
    if (json_is_string(value)) {
        CIS_TRY(cis_manifest_text(r, path, value, 1024, &out->name));
    } else if (!json_is_object(value)) {
        return cis_manifest_wrong_type(r, path, "a name or a table", value);
    }
    const char *key;
    json_t *field;
    json_object_foreach((json_t *)(uintptr_t)value, key, field)
    {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_below(at, path, key);
        if (strcmp(key, "name") == 0) {
            CIS_TRY(cis_manifest_text(r, at, field, 1024, &out->name));
        } else if (strcmp(key, "convention") == 0) {
            CIS_TRY(read_convention(r, at, field, &out->convention));
        } else if (strcmp(key, "description") == 0) {
            CIS_TRY(cis_manifest_text(r, at, field, 65536, &out->description));
        } else {
            CIS_TRY(cis_manifest_warn(r, at, "unknown key, ignored"));
        }
    }
    if (out->name == NULL || out->name[0] == 0) {
        return cis_manifest_bad(r, path, "has no name");
    }
    if (out->description == NULL && (out->description = cis_strdup("")) == NULL) {
        return no_memory(r);
    }
    return CIS_OK;
}

static cis_code read_exports(struct cis_manifest_reader *r, const char *path, const json_t *value,
                             enum cis_export_kind kind)
{
    CIS_TRY(cis_manifest_list(r, path, value));
    struct cis_manifest *m = r->m;
    size_t n = json_array_size(value);
    if (n == 0) {
        return CIS_OK;
    }
    struct cis_manifest_export *grown =
        cis_realloc_array(m->exports, cis_size_add(m->nexports, n), sizeof *grown);
    if (grown == NULL) {
        return no_memory(r);
    }
    m->exports = grown;
    for (size_t i = 0; i < n; i++) {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_item(at, path, i);
        struct cis_manifest_export *e = &m->exports[m->nexports++];
        *e = (struct cis_manifest_export){.kind = kind};
        CIS_TRY(read_export(r, at, json_array_get(value, i), e));
    }
    return CIS_OK;
}

static cis_code read_functions(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return read_exports(r, path, value, CIS_EXPORT_FUNCTION);
}

static cis_code read_events(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return read_exports(r, path, value, CIS_EXPORT_EVENT);
}

static cis_code read_commands(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return read_exports(r, path, value, CIS_EXPORT_COMMAND);
}

const struct cis_manifest_key cis_manifest_exports_keys[] = {
    {"functions", read_functions, 0, 0},
    {"events", read_events, 0, 0},
    {"commands", read_commands, 0, 0},
    {"convention", read_default_convention, 0, 0},
    {"entry", NULL, offsetof(struct cis_manifest, method), 1024},
    {NULL, NULL, 0, 0},
};

/* ---- [config] ---- */

char *cis_manifest_value_text(const json_t *value)
{
    if (json_is_string(value)) {
        return cis_strndup(json_string_value(value), json_string_length(value));
    }
    return cis_manifest_json(value);
}

/* The setting with this key, made when absent. */
static cis_code setting(struct cis_manifest_reader *r, const char *path, const char *key,
                        struct cis_manifest_setting **out)
{
    struct cis_manifest *m = r->m;
    for (size_t i = 0; i < m->nsettings; i++) {
        if (strcmp(m->settings[i].key, key) == 0) {
            *out = &m->settings[i];
            return CIS_OK;
        }
    }
    if (m->nsettings == CIS_MANIFEST_ITEMS_MAX) {
        return cis_manifest_bad(r, path, "more than %d settings", CIS_MANIFEST_ITEMS_MAX);
    }
    if (key[0] == 0 || strlen(key) > 1024) {
        return cis_manifest_bad(r, path, "a key has 1 to 1024 bytes");
    }
    struct cis_manifest_setting *grown =
        cis_realloc_array(m->settings, cis_size_add(m->nsettings, 1), sizeof *grown);
    if (grown == NULL) {
        return no_memory(r);
    }
    m->settings = grown;
    struct cis_manifest_setting *s = &grown[m->nsettings];
    *s = (struct cis_manifest_setting){.key = cis_strdup(key), .description = cis_strdup("")};
    m->nsettings++;
    if (s->key == NULL || s->description == NULL) {
        return no_memory(r);
    }
    *out = s;
    return CIS_OK;
}

static cis_code read_setting_type(struct cis_manifest_reader *r, const char *path,
                                  const json_t *value, enum cis_setting_type *out)
{
    if (!json_is_string(value)) {
        return cis_manifest_wrong_type(r, path, "the name of a type", value);
    }
    for (enum cis_setting_type t = CIS_SETTING_STRING; t <= CIS_SETTING_OBJECT; t++) {
        if (strcmp(cis_setting_type_name(t), json_string_value(value)) == 0) {
            *out = t;
            return CIS_OK;
        }
    }
    return cis_manifest_bad(r, path,
                            "\"%.40s\" is not string, integer, number, boolean, array or object",
                            json_string_value(value));
}

static cis_code read_choices(struct cis_manifest_reader *r, const char *path, const json_t *value,
                             struct cis_manifest_setting *s)
{
    CIS_TRY(cis_manifest_list(r, path, value));
    size_t n = json_array_size(value);
    if (n == 0 || s->nchoices != 0) {
        return cis_manifest_bad(r, path, "does not name a value");
    }
    s->choices = cis_calloc(n, sizeof *s->choices);
    if (s->choices == NULL) {
        return no_memory(r);
    }
    for (size_t i = 0; i < n; i++) {
        s->choices[s->nchoices] = cis_manifest_value_text(json_array_get(value, i));
        if (s->choices[s->nchoices++] == NULL) {
            return no_memory(r);
        }
    }
    return CIS_OK;
}

static cis_code read_fallback(struct cis_manifest_reader *r, const char *path, const json_t *value,
                              struct cis_manifest_setting *s)
{
    (void)path;
    char *text = cis_manifest_value_text(value);
    if (text == NULL) {
        return no_memory(r);
    }
    cis_free(s->fallback);
    s->fallback = text;
    return CIS_OK;
}

static cis_code read_schema_entry(struct cis_manifest_reader *r, const char *path,
                                  const json_t *value, struct cis_manifest_setting *s)
{
    if (json_is_string(value)) {
        return read_setting_type(r, path, value, &s->type);
    }
    if (!json_is_object(value)) {
        return cis_manifest_wrong_type(r, path, "the name of a type or a table", value);
    }
    const char *key;
    json_t *field;
    json_object_foreach((json_t *)(uintptr_t)value, key, field)
    {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_below(at, path, key);
        if (strcmp(key, "type") == 0) {
            CIS_TRY(read_setting_type(r, at, field, &s->type));
        } else if (strcmp(key, "required") == 0) {
            CIS_TRY(cis_manifest_flag(r, at, field, &s->required));
        } else if (strcmp(key, "default") == 0) {
            CIS_TRY(read_fallback(r, at, field, s));
        } else if (strcmp(key, "enum") == 0) {
            CIS_TRY(read_choices(r, at, field, s));
        } else if (strcmp(key, "description") == 0) {
            CIS_TRY(cis_manifest_text(r, at, field, 65536, &s->description));
        } else {
            CIS_TRY(cis_manifest_warn(r, at, "unknown key, ignored"));
        }
    }
    return CIS_OK;
}

static cis_code read_required(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    CIS_TRY(cis_manifest_list(r, path, value));
    for (size_t i = 0; i < json_array_size(value); i++) {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_item(at, path, i);
        const char *key = json_string_value(json_array_get(value, i));
        if (key == NULL) {
            return cis_manifest_wrong_type(r, at, "a string", json_array_get(value, i));
        }
        struct cis_manifest_setting *s = NULL;
        CIS_TRY(setting(r, at, key, &s));
        s->in_schema = s->required = true;
    }
    return CIS_OK;
}

/* KEY = { type, required, enum, default, description } or KEY = "type"; or the outer form of JSON
 * Schema: type = "object", properties = { KEY = … }, required = [ KEY … ]. */
static cis_code read_schema(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    if (!json_is_object(value)) {
        return cis_manifest_wrong_type(r, path, "a table", value);
    }
    r->m->has_schema = true;
    const json_t *kind = json_object_get(value, "type");
    const json_t *properties = json_object_get(value, "properties");
    char inner[CIS_MANIFEST_PATH_MAX];
    if (json_is_string(kind) && strcmp(json_string_value(kind), "object") == 0 &&
        json_is_object(properties)) {
        const json_t *required = json_object_get(value, "required");
        if (required != NULL) {
            cis_manifest_below(inner, path, "required");
            CIS_TRY(read_required(r, inner, required));
        }
        cis_manifest_below(inner, path, "properties");
        path = inner;
        value = properties;
    }
    const char *key;
    json_t *entry;
    json_object_foreach((json_t *)(uintptr_t)value, key, entry)
    {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_below(at, path, key);
        struct cis_manifest_setting *s = NULL;
        CIS_TRY(setting(r, at, key, &s));
        s->in_schema = true;
        CIS_TRY(read_schema_entry(r, at, entry, s));
    }
    return CIS_OK;
}

static cis_code read_defaults(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    if (!json_is_object(value)) {
        return cis_manifest_wrong_type(r, path, "a table", value);
    }
    const char *key;
    json_t *entry;
    json_object_foreach((json_t *)(uintptr_t)value, key, entry)
    {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_below(at, path, key);
        struct cis_manifest_setting *s = NULL;
        CIS_TRY(setting(r, at, key, &s));
        CIS_TRY(read_fallback(r, at, entry, s));
    }
    return CIS_OK;
}

const struct cis_manifest_key cis_manifest_config_keys[] = {
    {"schema", read_schema, 0, 0},
    {"defaults", read_defaults, 0, 0},
    {NULL, NULL, 0, 0},
};

cis_code cis_manifest_config_check(struct cis_manifest_reader *r)
{
    for (size_t i = 0; i < r->m->nsettings; i++) {
        const struct cis_manifest_setting *s = &r->m->settings[i];
        if (s->fallback == NULL) {
            continue;
        }
        struct cis_error why = {0};
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_below(at, "config.defaults", s->key);
        if (cis_manifest_setting_check(r->m, cis_str_of(s->key), cis_str_of(s->fallback), &why) !=
            CIS_OK) {
            return why.code == CIS_E_NOMEM ? no_memory(r) : cis_manifest_bad(r, at, "%s", why.msg);
        }
    }
    return CIS_OK;
}

/* ---- [[dependencies]] ---- */

static cis_code read_dependency(struct cis_manifest_reader *r, const char *path,
                                const json_t *value, struct cis_manifest_dependency *out)
{
    if (!json_is_object(value)) {
        return cis_manifest_wrong_type(r, path, "a table", value);
    }
    const char *key;
    json_t *field;
    json_object_foreach((json_t *)(uintptr_t)value, key, field)
    {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_below(at, path, key);
        if (strcmp(key, "name") == 0) {
            CIS_TRY(cis_manifest_text(r, at, field, CIS_SKILL_NAME_MAX, &out->name));
        } else if (strcmp(key, "version") == 0) {
            CIS_TRY(cis_manifest_text(r, at, field, 256, &out->version));
        } else {
            CIS_TRY(cis_manifest_warn(r, at, "unknown key, ignored"));
        }
    }
    if (out->name == NULL || !cis_skill_name_valid(cis_str_of(out->name))) {
        return cis_manifest_bad(r, path, "has no name of a skill");
    }
    if (out->version == NULL && (out->version = cis_strdup("")) == NULL) {
        return no_memory(r);
    }
    return CIS_OK;
}

cis_code cis_manifest_dependencies(struct cis_manifest_reader *r, const char *path,
                                   const json_t *value)
{
    CIS_TRY(cis_manifest_list(r, path, value));
    size_t n = json_array_size(value);
    r->m->dependencies = cis_calloc(n > 0 ? n : 1, sizeof *r->m->dependencies);
    if (r->m->dependencies == NULL) {
        return no_memory(r);
    }
    for (size_t i = 0; i < n; i++) {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_item(at, path, i);
        CIS_TRY(read_dependency(r, at, json_array_get(value, i),
                                &r->m->dependencies[r->m->ndependencies++]));
    }
    return CIS_OK;
}
