/* A subset of JSON Schema 2020-12. */
#include "skill/schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"

#define PLACE_MAX 160u
#define STEPS 4096u         /* between two looks at the time */
#define STEPS_COMPARED 256u /* for two lists or objects, as long as a schema may be */

struct validation {
    struct cis_error *err;
    cis_code code; /* what does not hold is this */
    unsigned depth, steps;
    const struct cis_stop *stop; /* of fits */
    const char *keyword;         /* that is being checked */
    char place[PLACE_MAX];       /* "arguments.list[3]" */
};

static cis_code bad(struct validation *j, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static cis_code bad(struct validation *j, const char *fmt, ...)
{
    char text[CIS_ERROR_MSG_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return cis_fail(j->err, j->code, "%s: %s", j->place, text);
}

/* Goes one place down; the number returned is for leave(). */
static size_t enter(struct validation *j, const char *name, size_t index)
{
    size_t len = strlen(j->place);
    if (name != NULL) {
        snprintf(j->place + len, sizeof j->place - len, ".%s", name);
    } else {
        snprintf(j->place + len, sizeof j->place - len, "[%zu]", index);
    }
    j->place[cis_utf8_floor(j->place, strlen(j->place), sizeof j->place - 1)] = 0;
    j->depth++;
    return len;
}

static void leave(struct validation *j, size_t len)
{
    j->place[len] = 0;
    j->depth--;
}

/* ---- types ---- */

static const char *const types[] = {"null",   "boolean", "object", "array",
                                    "number", "string",  "integer"};

static bool known_type(const json_t *name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (json_is_string(name) && strcmp(json_string_value(name), types[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_whole(const json_t *value)
{
    double real = json_real_value(value);
    return json_is_integer(value) || (json_is_real(value) && floor(real) == real);
}

static bool is_type(const json_t *value, const char *type)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return strcmp(type, "null") == 0;
    case JSON_TRUE:
    case JSON_FALSE:
        return strcmp(type, "boolean") == 0;
    case JSON_OBJECT:
        return strcmp(type, "object") == 0;
    case JSON_ARRAY:
        return strcmp(type, "array") == 0;
    case JSON_STRING:
        return strcmp(type, "string") == 0;
    case JSON_INTEGER:
    case JSON_REAL:
        return strcmp(type, "number") == 0 || (strcmp(type, "integer") == 0 && is_whole(value));
    }
    return false;
}

/* ---- is it a schema ---- */

static cis_code check(struct validation *j, const json_t *schema);

static cis_code check_type(struct validation *j, const json_t *value)
{
    size_t i;
    const json_t *one;
    if (!json_is_array(value)) {
        return known_type(value) ? CIS_OK : bad(j, "type: not the name of one");
    }
    json_array_foreach(value, i, one)
    {
        if (!known_type(one)) {
            return bad(j, "type: not a list of names of types");
        }
    }
    return json_array_size(value) != 0 ? CIS_OK : bad(j, "type: an empty list");
}

static cis_code check_properties(struct validation *j, const json_t *value)
{
    const char *name;
    json_t *one;
    if (!json_is_object(value)) {
        return bad(j, "properties: not an object");
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, one)
    {
        size_t at = enter(j, name, 0);
        CIS_TRY(check(j, one));
        leave(j, at);
    }
    return CIS_OK;
}

static cis_code check_required(struct validation *j, const json_t *value)
{
    size_t i;
    const json_t *one;
    json_array_foreach(value, i, one)
    {
        if (!json_is_string(one)) {
            return bad(j, "required: not a list of names");
        }
    }
    return json_is_array(value) ? CIS_OK : bad(j, "required: not a list of names");
}

static cis_code check_items(struct validation *j, const json_t *value)
{
    size_t at = enter(j, "items", 0);
    CIS_TRY(check(j, value));
    leave(j, at);
    return CIS_OK;
}

static cis_code check_enum(struct validation *j, const json_t *value)
{
    return json_array_size(value) != 0 ? CIS_OK : bad(j, "enum: not a list of values");
}

static cis_code check_any(struct validation *j, const json_t *value)
{
    (void)j, (void)value;
    return CIS_OK;
}

static cis_code check_number(struct validation *j, const json_t *value)
{
    return json_is_number(value) ? CIS_OK : bad(j, "%s: not a number", j->keyword);
}

static cis_code check_count(struct validation *j, const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0
               ? CIS_OK
               : bad(j, "%s: must be an integer of at least 0", j->keyword);
}

static cis_code check_flag(struct validation *j, const json_t *value)
{
    return json_is_boolean(value) ? CIS_OK : bad(j, "%s: must be true or false", j->keyword);
}

static cis_code check_text(struct validation *j, const json_t *value)
{
    return json_is_string(value) ? CIS_OK : bad(j, "%s: must be a text", j->keyword);
}

static const struct {
    const char *name;
    cis_code (*check)(struct validation *j, const json_t *value);
} keywords[] = {
    {"type", check_type},
    {"properties", check_properties},
    {"required", check_required},
    {"additionalProperties", check_flag},
    {"items", check_items},
    {"enum", check_enum},
    {"const", check_any},
    {"minimum", check_number},
    {"maximum", check_number},
    {"exclusiveMinimum", check_number},
    {"exclusiveMaximum", check_number},
    {"minLength", check_count},
    {"maxLength", check_count},
    {"minItems", check_count},
    {"maxItems", check_count},
    {"minProperties", check_count},
    {"maxProperties", check_count},
    {"uniqueItems", check_flag},
    {"title", check_text},
    {"description", check_text},
    {"default", check_any},
    {"examples", check_any},
};

static cis_code check(struct validation *j, const json_t *schema)
{
    const char *name;
    json_t *value;
    if (!json_is_object(schema)) {
        return bad(j, "a schema is an object");
    }
    if (j->depth > CIS_SCHEMA_DEPTH_MAX) {
        return bad(j, "nested deeper than %u", CIS_SCHEMA_DEPTH_MAX);
    }
    json_object_foreach((json_t *)(uintptr_t)schema, name, value)
    {
        size_t i = 0, n = sizeof keywords / sizeof *keywords;
        while (i < n && strcmp(keywords[i].name, name) != 0) {
            i++;
        }
        if (i == n) {
            return bad(j, "keyword \"%.60s\" is not supported (docs/mcp.md)", name);
        }
        j->keyword = keywords[i].name;
        CIS_TRY(keywords[i].check(j, value));
    }
    return CIS_OK;
}

cis_code cis_schema_check(const json_t *schema, const char *what, struct cis_error *err)
{
    struct validation j = {.err = err, .code = CIS_E_INVALID};
    snprintf(j.place, sizeof j.place, "%.80s", what);
    return check(&j, schema);
}

/* ---- does a value fit ---- */

static cis_code fits(struct validation *j, const json_t *schema, const json_t *value);

/* Whoever wrote the schema may have written the value too, to keep us busy. */
static cis_code work(struct validation *j, unsigned steps)
{
    j->steps += steps;
    if (j->steps < STEPS) {
        return CIS_OK;
    }
    j->steps = 0;
    return cis_stop_check(j->stop, j->place, j->err);
}

static cis_code fits_type(struct validation *j, const json_t *type, const json_t *value)
{
    size_t i;
    const json_t *one;
    if (json_is_string(type)) {
        return is_type(value, json_string_value(type))
                   ? CIS_OK
                   : bad(j, "is not of type %s", json_string_value(type));
    }
    json_array_foreach(type, i, one)
    {
        if (is_type(value, json_string_value(one))) {
            return CIS_OK;
        }
        CIS_TRY(work(j, 1));
    }
    return type == NULL ? CIS_OK : bad(j, "is not of a type that its schema allows");
}

/* 1 and 1.0 are one number. */
static bool same_number(const json_t *a, const json_t *b)
{
    if (json_typeof(a) == json_typeof(b)) {
        return json_equal(a, b);
    }
    double real = json_is_real(a) ? json_real_value(a) : json_real_value(b);
    json_int_t whole = json_is_real(a) ? json_integer_value(b) : json_integer_value(a);
    return real >= -0x1p63 && real < 0x1p63 && floor(real) == real && (json_int_t)real == whole;
}

static bool same(const json_t *a, const json_t *b)
{
    size_t i;
    const char *name;
    json_t *one;
    if (json_is_number(a) && json_is_number(b)) {
        return same_number(a, b);
    }
    if (json_is_array(a) && json_is_array(b)) {
        bool all = json_array_size(a) == json_array_size(b);
        for (i = 0; all && i < json_array_size(a); i++) {
            all = same(json_array_get(a, i), json_array_get(b, i));
        }
        return all;
    }
    if (json_is_object(a) && json_is_object(b)) {
        bool all = json_object_size(a) == json_object_size(b);
        json_object_foreach((json_t *)(uintptr_t)a, name, one)
        {
            const json_t *other = all ? json_object_get(b, name) : NULL;
            all = other != NULL && same(one, other);
        }
        return all;
    }
    return json_equal(a, b);
}

static cis_code compare(struct validation *j, const json_t *a, const json_t *b, bool *out_same)
{
    *out_same = same(a, b);
    return work(j, json_is_object(a) || json_is_array(a) ? STEPS_COMPARED : 1);
}

static cis_code fits_values(struct validation *j, const json_t *schema, const json_t *value)
{
    const json_t *list = json_object_get(schema, "enum"), *only;
    size_t i;
    bool found = list == NULL;
    for (i = 0; !found && i < json_array_size(list); i++) {
        CIS_TRY(compare(j, json_array_get(list, i), value, &found));
    }
    if (!found) {
        return bad(j, "is not one of the values that its schema allows (enum)");
    }
    only = json_object_get(schema, "const");
    if (only != NULL) {
        CIS_TRY(compare(j, only, value, &found));
    }
    return found ? CIS_OK : bad(j, "is not the value that its schema requires (const)");
}

static cis_code fits_number(struct validation *j, const json_t *schema, const json_t *value)
{
    static const struct {
        const char *name;
        bool most, open;
    } rules[] = {{"minimum", false, false},
                 {"maximum", true, false},
                 {"exclusiveMinimum", false, true},
                 {"exclusiveMaximum", true, true}};
    for (size_t i = 0; i < 4; i++) {
        const json_t *bound = json_object_get(schema, rules[i].name);
        double at = json_number_value(bound), is = json_number_value(value);
        bool whole = json_is_integer(bound) && json_is_integer(value);
        json_int_t a = json_integer_value(bound), v = json_integer_value(value);
        bool below = whole ? v < a : is < at, equal = whole ? v == a : is == at;
        bool out = rules[i].most ? !below && !equal : below;
        if (bound != NULL && (out || (rules[i].open && equal))) {
            return bad(j, "is outside of its %s", rules[i].name);
        }
    }
    return CIS_OK;
}

static cis_code fits_count(struct validation *j, const json_t *schema, const char *least,
                           const char *most, size_t n)
{
    const json_t *low = json_object_get(schema, least), *high = json_object_get(schema, most);
    if (low != NULL && n < (uint64_t)json_integer_value(low)) {
        return bad(j, "is below its %s", least);
    }
    return high == NULL || n <= (uint64_t)json_integer_value(high)
               ? CIS_OK
               : bad(j, "is above its %s", most);
}

static size_t characters(const json_t *text)
{
    const char *p = json_string_value(text);
    size_t n = 0, len = json_string_length(text);
    for (size_t i = 0; i < len; i++) {
        n += ((unsigned char)p[i] & 0xc0) != 0x80;
    }
    return n;
}

static cis_code fits_object(struct validation *j, const json_t *schema, const json_t *value)
{
    const json_t *properties = json_object_get(schema, "properties"), *rule;
    const json_t *required = json_object_get(schema, "required"), *need;
    bool closed = json_is_false(json_object_get(schema, "additionalProperties"));
    const char *name;
    json_t *one;
    size_t i;
    json_array_foreach(required, i, need)
    {
        if (json_object_get(value, json_string_value(need)) == NULL) {
            return bad(j, "%.64s is missing", json_string_value(need));
        }
        CIS_TRY(work(j, 1));
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, one)
    {
        rule = json_object_get(properties, name);
        if (rule == NULL && closed) {
            return bad(j, "has the property \"%.64s\", which its schema does not allow", name);
        }
        if (rule != NULL) {
            size_t at = enter(j, name, 0);
            CIS_TRY(fits(j, rule, one));
            leave(j, at);
        }
    }
    return fits_count(j, schema, "minProperties", "maxProperties", json_object_size(value));
}

static cis_code unique(struct validation *j, const json_t *value)
{
    size_t n = json_array_size(value);
    if (n > CIS_SCHEMA_UNIQUE_MAX) {
        return bad(j, "has more than %u items, too many to check uniqueItems",
                   CIS_SCHEMA_UNIQUE_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            bool twice;
            CIS_TRY(compare(j, json_array_get(value, i), json_array_get(value, k), &twice));
            if (twice) {
                return bad(j, "has the same item twice");
            }
        }
    }
    return CIS_OK;
}

static cis_code fits_array(struct validation *j, const json_t *schema, const json_t *value)
{
    const json_t *rule = json_object_get(schema, "items"), *one;
    size_t i;
    CIS_TRY(fits_count(j, schema, "minItems", "maxItems", json_array_size(value)));
    json_array_foreach(value, i, one)
    {
        if (rule != NULL) {
            size_t at = enter(j, NULL, i);
            CIS_TRY(fits(j, rule, one));
            leave(j, at);
        }
    }
    return json_is_true(json_object_get(schema, "uniqueItems")) ? unique(j, value) : CIS_OK;
}

static cis_code fits(struct validation *j, const json_t *schema, const json_t *value)
{
    CIS_TRY(work(j, 1));
    CIS_TRY(fits_type(j, json_object_get(schema, "type"), value));
    CIS_TRY(fits_values(j, schema, value));
    if (json_is_number(value)) {
        return fits_number(j, schema, value);
    }
    if (json_is_string(value)) {
        return fits_count(j, schema, "minLength", "maxLength", characters(value));
    }
    if (json_is_object(value)) {
        return fits_object(j, schema, value);
    }
    return json_is_array(value) ? fits_array(j, schema, value) : CIS_OK;
}

cis_code cis_schema_fits(const json_t *schema, const json_t *value, const char *what,
                         const struct cis_stop *stop, struct cis_error *err)
{
    struct validation j = {.err = err, .code = CIS_E_USAGE, .stop = stop};
    snprintf(j.place, sizeof j.place, "%.80s", what);
    return fits(&j, schema, value);
}
