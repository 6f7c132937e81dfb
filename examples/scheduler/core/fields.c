#include "fields.h"
#include <stdio.h>
#include <string.h>

struct place place_of(const struct yaml_node *n)
{
    return n != NULL ? (struct place){n->line, n->column} : (struct place){0};
}

bool fail_at(struct text *error, const struct yaml_node *at, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    text_add(error, what);
    if (at != NULL) {
        text_format(error, " at line %zu column %zu", at->line, at->column);
    }
    return false;
}

static const char *kind_name(const struct yaml_node *n)
{
    bool b;
    return n->kind == YAML_MAP       ? "map"
           : n->kind == YAML_LIST    ? "sequence"
           : yaml_is_null(n)         ? "null"
           : yaml_is_bool(n, &b)     ? "boolean"
           : yaml_is_string(n)       ? "string"
           : strpbrk(n->text, ".eE") ? "floating point"
                                     : "integer";
}

static bool wrong_type(struct text *error, const struct yaml_node *n, const char *key,
                       const char *expected)
{
    return n->kind == YAML_SCALAR ? fail_at(error, n, "%s: invalid type: %s `%.60s`, expected %s",
                                            key, kind_name(n), n->text, expected)
                                  : fail_at(error, n, "%s: invalid type: %s, expected %s", key,
                                            kind_name(n), expected);
}

/* NULL with *ok for what is not there. */
static const struct yaml_node *find(struct text *error, const struct yaml_node *map,
                                    const char *key, enum want want, bool *ok)
{
    const struct yaml_node *n = yaml_get(map, key);
    *ok = true;
    if (yaml_is_null(n)) {
        *ok = want == OPTIONAL || fail_at(error, n != NULL ? n : map, "missing field `%s`", key);
        n = NULL;
    }
    return n;
}

bool is_map(struct text *error, const struct yaml_node *n)
{
    return n->kind == YAML_MAP || wrong_type(error, n, "item", "a map");
}

bool field_text(struct text *error, const struct yaml_node *map, const char *key, enum want want,
                char **out)
{
    bool ok;
    const struct yaml_node *n = find(error, map, key, want, &ok);
    if (n == NULL) {
        return ok;
    }
    if (!yaml_is_string(n)) {
        return wrong_type(error, n, key, "a string");
    }
    *out = need_text(n->text, n->len);
    return true;
}

bool field_number(struct text *error, const struct yaml_node *map, const char *key, enum want want,
                  uint64_t max, uint64_t *out)
{
    bool ok;
    const struct yaml_node *n = find(error, map, key, want, &ok);
    uint64_t value;
    if (n == NULL) {
        return ok;
    }
    if (n->kind != YAML_SCALAR || n->quoted || !number_of(n->text, n->len, UINT64_MAX, &value)) {
        return wrong_type(error, n, key, "a whole number of 0 or more");
    }
    if (value > max) {
        return fail_at(error, n, "%s: at most %llu", key, (unsigned long long)max);
    }
    *out = value;
    return true;
}

bool field_bool(struct text *error, const struct yaml_node *map, const char *key, bool *out)
{
    bool ok;
    const struct yaml_node *n = find(error, map, key, REQUIRED, &ok);
    if (n == NULL) {
        return ok;
    }
    return yaml_is_bool(n, out) || wrong_type(error, n, key, "true or false");
}

bool field_node(struct text *error, const struct yaml_node *map, const char *key, enum want want,
                enum yaml_kind kind, const struct yaml_node **out)
{
    bool ok;
    *out = find(error, map, key, want, &ok);
    if (*out != NULL && (*out)->kind != kind) {
        return wrong_type(error, *out, key, kind == YAML_LIST ? "a sequence" : "a map");
    }
    return ok;
}

bool field_word(struct text *error, const struct yaml_node *map, const char *key,
                const char *const *words, unsigned *out)
{
    bool ok;
    const struct yaml_node *n = find(error, map, key, REQUIRED, &ok);
    if (n == NULL) {
        return ok;
    }
    for (unsigned i = 0; n->kind == YAML_SCALAR && words[i] != NULL; i++) {
        if (strcmp(n->text, words[i]) == 0) {
            *out = i;
            return true;
        }
    }
    if (n->kind != YAML_SCALAR) {
        return wrong_type(error, n, key, "a word");
    }
    struct text all = TEXT_INIT(200);
    for (unsigned i = 0; words[i] != NULL; i++) {
        text_format(&all, "%s`%s`", i == 0 ? "" : ", ", words[i]);
    }
    fail_at(error, n, "%s: unknown variant `%.60s`, expected one of %s", key, n->text, all.at);
    text_done(&all);
    return false;
}

bool field_json(struct text *error, const struct yaml_node *map, const char *key, json_t **out)
{
    const struct yaml_node *n;
    if (!field_node(error, map, key, OPTIONAL, YAML_MAP, &n)) {
        return false;
    }
    *out = n != NULL ? yaml_json(n) : json_object();
    return true;
}
