/* Reading a manifest: checking one value, walking a table. */
#include "skill/manifest_read.h"

#include <stdarg.h>
#include <stdio.h>
#include "base/mem.h"

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

cis_code cis_manifest_no_memory(struct cis_manifest_reader *r)
{
    return cis_fail(r->err, CIS_E_NOMEM, "%s: out of memory", r->name);
}

static const char *name_of(const void *item)
{
    const char *name;
    memcpy(&name, item, sizeof name);
    return name;
}

static cis_code read_item(struct cis_manifest_reader *r, const char *path, const json_t *value,
                          const struct cis_manifest_items *how, void *item)
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
        CIS_TRY(how->member(r, at, key, field, item));
    }
    return how->whole(r, path, item);
}

cis_code cis_manifest_items(struct cis_manifest_reader *r, const char *path, const json_t *value,
                            const struct cis_manifest_items *how, void **out_items, size_t *out_n)
{
    CIS_TRY(cis_manifest_list(r, path, value));
    size_t n = json_array_size(value);
    if (n > how->most) {
        return cis_manifest_bad(r, path, "more than %zu %s", how->most, how->what);
    }
    char *items = cis_calloc(n > 0 ? n : 1, how->size);
    if (items == NULL) {
        return cis_manifest_no_memory(r);
    }
    *out_items = items;
    for (size_t i = 0; i < n; i++) {
        char at[CIS_MANIFEST_PATH_MAX];
        char *item = items + i * how->size;
        *out_n = i + 1;
        cis_manifest_item(at, path, i);
        CIS_TRY(read_item(r, at, json_array_get(value, i), how, item));
        for (size_t k = 0; k < i; k++) {
            if (strcmp(name_of(items + k * how->size), name_of(item)) == 0) {
                return cis_manifest_bad(r, at, "two %s are named %s", how->what, name_of(item));
            }
        }
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
