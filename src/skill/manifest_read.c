/* From parsed TOML (as JSON with lines) to struct cis_manifest: checking one
 * value, walking a table, the whole with its defaults and canonical forms. Sections are in
 * manifest_sections.c and manifest_config.c. */
#include "skill/manifest_read.h"

#include <stdarg.h>
#include <stdio.h>
#include "base/mem.h"
#include "engine/code/engine.h"

static void drop_json(json_t **value)
{
    json_decref(*value);
}

/* The line of a key, else of the closest table around it; 0 when none is known. */
static long long line_of(const struct cis_manifest_reader *r, const char *path)
{
    char at[CIS_MANIFEST_PATH_MAX];
    snprintf(at, sizeof at, "%s", path);
    while (r->lines != NULL && at[0] != 0) {
        const json_t *line = json_object_get(r->lines, at);
        if (json_is_integer(line)) {
            return json_integer_value(line);
        }
        char *dot = strrchr(at, '.');
        if (dot == NULL) {
            break;
        }
        *dot = 0;
    }
    return 0;
}

static void place(const struct cis_manifest_reader *r, const char *path, char *out, size_t len)
{
    long long line = line_of(r, path);
    if (line > 0) {
        snprintf(out, len, "%s:%lld", r->name, line);
    } else {
        snprintf(out, len, "%s", r->name);
    }
}

cis_code cis_manifest_bad(struct cis_manifest_reader *r, const char *path, const char *fmt, ...)
{
    char text[CIS_ERROR_MSG_MAX], where[CIS_ERROR_MSG_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    place(r, path, where, sizeof where);
    return cis_fail(r->err, CIS_E_INVALID, "%s: %s: %s", where, path, text);
}

cis_code cis_manifest_warn(struct cis_manifest_reader *r, const char *path, const char *text)
{
    struct cis_manifest *m = r->m;
    if (m->nwarnings == CIS_MANIFEST_ITEMS_MAX) {
        return CIS_OK; /* a thousand say enough */
    }
    char where[CIS_ERROR_MSG_MAX], line[2 * CIS_ERROR_MSG_MAX + CIS_MANIFEST_PATH_MAX];
    place(r, path, where, sizeof where);
    snprintf(line, sizeof line, "%s: %s: %s", where, path, text);
    char **grown = cis_realloc_array(m->warnings, cis_size_add(m->nwarnings, 1), sizeof *grown);
    if (grown == NULL) {
        return cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
    }
    m->warnings = grown;
    grown[m->nwarnings] = cis_strdup(line);
    if (grown[m->nwarnings] == NULL) {
        return cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
    }
    m->nwarnings++;
    return CIS_OK;
}

cis_code cis_manifest_wrong_type(struct cis_manifest_reader *r, const char *path, const char *want,
                                 const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "a table",     [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a float",   [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null",
    };
    return cis_manifest_bad(r, path, "must be %s, is %s", want, names[json_typeof(value)]);
}

void cis_manifest_below(char out[CIS_MANIFEST_PATH_MAX], const char *path, const char *key)
{
    int n = snprintf(out, CIS_MANIFEST_PATH_MAX, "%s%s%s", path, path[0] != 0 ? "." : "", key);
    if (n >= CIS_MANIFEST_PATH_MAX) {
        out[cis_utf8_floor(out, CIS_MANIFEST_PATH_MAX - 1, CIS_MANIFEST_PATH_MAX - 4)] = 0;
    }
}

void cis_manifest_item(char out[CIS_MANIFEST_PATH_MAX], const char *path, size_t index)
{
    char number[24];
    snprintf(number, sizeof number, "%zu", index);
    cis_manifest_below(out, path, number);
}

cis_code cis_manifest_text(struct cis_manifest_reader *r, const char *path, const json_t *value,
                           size_t max, char **out)
{
    if (!json_is_string(value)) {
        return cis_manifest_wrong_type(r, path, "a string", value);
    }
    if (json_string_length(value) > max) {
        return cis_manifest_bad(r, path, "longer than %zu bytes", max);
    }
    char *copy = cis_strndup(json_string_value(value), json_string_length(value));
    if (copy == NULL) {
        return cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
    }
    cis_free(*out);
    *out = copy;
    return CIS_OK;
}

cis_code cis_manifest_flag(struct cis_manifest_reader *r, const char *path, const json_t *value,
                           bool *out)
{
    if (!json_is_boolean(value)) {
        return cis_manifest_wrong_type(r, path, "true or false", value);
    }
    *out = json_is_true(value);
    return CIS_OK;
}

cis_code cis_manifest_list(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    if (!json_is_array(value)) {
        return cis_manifest_wrong_type(r, path, "an array", value);
    }
    if (json_array_size(value) > CIS_MANIFEST_ITEMS_MAX) {
        return cis_manifest_bad(r, path, "more than %d items", CIS_MANIFEST_ITEMS_MAX);
    }
    return CIS_OK;
}

static const struct cis_manifest_key *find_key(const struct cis_manifest_key *keys,
                                               const char *name)
{
    for (; keys != NULL && keys->name != NULL; keys++) {
        if (strcmp(keys->name, name) == 0) {
            return keys;
        }
    }
    return NULL;
}

cis_code cis_manifest_table(struct cis_manifest_reader *r, const char *path, const json_t *table,
                            const struct cis_manifest_key *keys,
                            const struct cis_manifest_key *more)
{
    if (!json_is_object(table)) {
        return cis_manifest_wrong_type(r, path, "a table", table);
    }
    const char *name;
    json_t *value;
    /* jansson's iteration takes a plain pointer but changes nothing. */
    json_object_foreach((json_t *)(uintptr_t)table, name, value)
    {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_below(at, path, name);
        const struct cis_manifest_key *key = find_key(keys, name);
        if (key == NULL) {
            key = find_key(more, name);
        }
        if (key == NULL) {
            CIS_TRY(cis_manifest_warn(r, at, "unknown key, ignored"));
        } else if (key->read != NULL) {
            CIS_TRY(key->read(r, at, value));
        } else {
            char **field = (char **)(void *)((char *)r->m + key->text_at);
            CIS_TRY(cis_manifest_text(r, at, value, key->text_max, field));
        }
    }
    return CIS_OK;
}

static cis_code set_default(struct cis_manifest_reader *r, char **field, const char *text)
{
    if (*field == NULL) {
        *field = cis_strdup(text);
    }
    return *field != NULL ? CIS_OK : cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
}

static int collect(const char *part, size_t len, void *buf)
{
    cis_buf_add(buf, part, len);
    return 0;
}

char *cis_manifest_json(const json_t *value)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT((size_t)64 * CIS_MANIFEST_MAX);
    int rc =
        json_dump_callback(value, collect, &text, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_COMPACT);
    size_t len;
    return rc == 0 ? (char *)cis_buf_take(&text, &len) : NULL;
}

static cis_code dump(struct cis_manifest_reader *r, const json_t *value, char **out)
{
    *out = cis_manifest_json(value);
    return *out != NULL ? CIS_OK : cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
}

/* Canonical forms: what the registry keeps, and what a signature covers. */
static cis_code canonical(struct cis_manifest_reader *r, const json_t *value)
{
    CIS_TRY(dump(r, value, &r->m->json));
    CIS_CLEANUP(drop_json) json_t *bare = json_deep_copy(value);
    if (bare == NULL) {
        return cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
    }
    json_object_del(json_object_get(bare, "integrity"), "signature");
    return dump(r, bare, &r->m->unsigned_json);
}

/* A module without a manifest is ["bare", {…}] in its row: no TOML document can say that. */
static const json_t *bare_value(const json_t *root)
{
    const char *word = json_string_value(json_array_get(root, 0));
    return json_array_size(root) == 2 && word != NULL && strcmp(word, "bare") == 0
               ? json_array_get(root, 1)
               : NULL;
}

static cis_code read_value(struct cis_manifest_reader *r, const json_t *value, bool row)
{
    const json_t *whole = value;
    if (row && bare_value(value) != NULL) {
        value = bare_value(value);
        r->m->bare = true;
    }
    if (!json_is_object(value)) {
        return cis_fail(r->err, CIS_E_INVALID, "%s: not a table", r->name);
    }
    bool flat = json_object_get(value, "skill") == NULL;
    CIS_TRY(cis_manifest_table(r, "", value, cis_manifest_top_keys,
                               flat ? cis_manifest_flat_keys : NULL));
    if (r->m->name == NULL) {
        return cis_fail(r->err, CIS_E_INVALID, "%s: skill.name is missing", r->name);
    }
    if (r->m->version == NULL) {
        CIS_TRY(cis_manifest_warn(r, "skill.version", "missing, 0.0.0 is used"));
    }
    CIS_TRY(set_default(r, &r->m->version, "0.0.0"));
    CIS_TRY(set_default(r, &r->m->description, ""));
    CIS_TRY(set_default(r, &r->m->author, ""));
    CIS_TRY(set_default(r, &r->m->license, ""));
    CIS_TRY(set_default(r, &r->m->homepage, ""));
    CIS_TRY(set_default(r, &r->m->entry, "skill.wasm"));
    CIS_TRY(cis_manifest_config_check(r));
    return canonical(r, whole);
}

static cis_code parse(struct cis_str json, const char *name, bool row, struct cis_manifest *out,
                      struct cis_error *err)
{
    json_error_t why;
    CIS_CLEANUP(drop_json) json_t *root = json_loadb(json.ptr, json.len, 0, &why);
    if (root == NULL) {
        return cis_fail(err, CIS_E_INVALID, "%s: %s", name, why.text);
    }
    CIS_CLEANUP(cis_manifest_done) struct cis_manifest m = CIS_MANIFEST_INIT;
    struct cis_manifest_reader r = {name, row ? NULL : json_object_get(root, "lines"), &m, err};
    CIS_TRY(read_value(&r, row ? root : json_object_get(root, "value"), row));
    *out = m;
    m = CIS_MANIFEST_INIT;
    return CIS_OK;
}

cis_code cis_manifest_parse_json(struct cis_str json, const char *name, struct cis_manifest *out,
                                 struct cis_error *err)
{
    return parse(json, name, false, out, err);
}

cis_code cis_manifest_parse_row(struct cis_str json, struct cis_manifest *out,
                                struct cis_error *err)
{
    return parse(json, "registry", true, out, err);
}

cis_code cis_manifest_parse(struct cis_str toml, const char *name, struct cis_manifest *out,
                            struct cis_error *err)
{
    if (toml.len > CIS_MANIFEST_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "%s: larger than %u bytes", name, CIS_MANIFEST_MAX);
    }
    /* JSON of the values and of their lines: a few times the text. */
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT((size_t)64 * CIS_MANIFEST_MAX);
    CIS_TRY(cis_toml_to_json(toml, name, &json, err));
    return parse(cis_buf_view(&json), name, false, out, err);
}
