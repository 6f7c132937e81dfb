#include "vars.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "scenario.h"

void vars_set(struct vars *v, const char *name, const char *value)
{
    if (v->index == NULL) {
        v->index = json_object();
    }
    json_t *at = json_object_get(v->index, name);
    if (at != NULL) {
        struct var *old = &v->list[json_integer_value(at)];
        free(old->value);
        old->value = need_text(value, strlen(value));
        return;
    }
    if (json_object_set_new(v->index, name, json_integer((json_int_t)v->n)) != 0) {
        return; /* not UTF-8: nothing can ask for it */
    }
    *ONE_MORE(v->list, v->n) =
        (struct var){need_text(name, strlen(name)), need_text(value, strlen(value))};
}

void vars_done(struct vars *v)
{
    for (size_t i = 0; i < v->n; i++) {
        free(v->list[i].name);
        free(v->list[i].value);
    }
    free(v->list);
    json_decref(v->index);
    *v = (struct vars){0};
}

char *value_text(const json_t *value)
{
    char number[64];
    switch (json_typeof(value)) {
    case JSON_STRING:
        return need_text(json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        return need_text(number, strlen(number));
    case JSON_REAL:
        snprintf(number, sizeof number, "%.15g", json_real_value(value));
        return need_text(number, strlen(number));
    case JSON_TRUE:
        return need_text("true", 4);
    case JSON_FALSE:
        return need_text("false", 5);
    case JSON_NULL:
        return NULL;
    default: {
        char *json = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        return json != NULL ? json : need_text("", 0);
    }
    }
}

/* ---- templates ---- */
/* What one expansion may still do: values that are expanded in values could double each time. */
struct work {
    const struct scope *scope;
    size_t left;
    struct text *out;
};
#define WORK(scope, out)                                                                           \
    {                                                                                              \
        (scope), 100000, (out)                                                                     \
    }

/* `from`: variables before this place are not looked at; the user's follow the scenario's. */
static bool expand_from(struct work *w, const char *s, size_t n, size_t from);

/* Puts the value of a name, when something has it. */
static bool put_value(struct work *w, const char *name, size_t from)
{
    const struct scope *scope = w->scope;
    const struct vars *levels[] = {scope->all, scope->user};
    size_t base = 0;
    for (size_t i = 0; i < 2; i++) {
        json_t *at = levels[i] != NULL ? json_object_get(levels[i]->index, name) : NULL;
        size_t place = base + (at != NULL ? (size_t)json_integer_value(at) : 0);
        if (at != NULL && place >= from) {
            const char *value = levels[i]->list[place - base].value;
            if (w->left == 0) {
                w->out->cut = true;
                return true;
            }
            w->left--;
            expand_from(w, value, strlen(value), place + 1);
            return true;
        }
        base += levels[i] != NULL ? levels[i]->n : 0;
    }
    json_t *given = json_object_get(scope->outputs, name);
    given = given != NULL ? given : json_object_get(scope->shared, name);
    if (given == NULL) {
        return false;
    }
    text_put(w->out, json_string_value(given), json_string_length(given));
    return true;
}

static bool expand_from(struct work *w, const char *s, size_t n, size_t from)
{
    struct text *out = w->out;
    while (n > 0 && !out->cut) {
        const char *open = memmem(s, n, "{{", 2);
        size_t before = open != NULL ? (size_t)(open - s) : n;
        text_put(out, s, before);
        s += before;
        n -= before;
        if (open == NULL) {
            break;
        }
        /* The last of several: "{{{a}}" is "{" and "{{a}}". A name has at most 256 bytes. */
        size_t skip = 2;
        const char *close = memmem(s + 2, n - 2 < 258 ? n - 2 : 258, "}}", 2);
        if (close != NULL && memchr(s + 2, '{', (size_t)(close - s) - 2) == NULL) {
            char *name = need_text(s + 2, (size_t)(close - s) - 2);
            bool put = put_value(w, name, from);
            free(name);
            if (put) {
                skip = (size_t)(close - s) + 2;
                s += skip;
                n -= skip;
                continue;
            }
        }
        skip = 1;
        text_put(out, s, skip);
        s += skip;
        n -= skip;
    }
    return !out->cut;
}

bool expand(const struct scope *scope, const char *s, size_t n, struct text *out)
{
    struct work w = WORK(scope, out);
    return expand_from(&w, s, n, 0);
}

static json_t *expand_text(const struct scope *scope, const char *s, size_t n)
{
    struct text t = TEXT_INIT(EXPANDED_MAX);
    text_put(&t, "", 0);
    json_t *out = expand(scope, s, n, &t) ? json_stringn(t.at, t.len) : NULL;
    text_done(&t);
    return out;
}

json_t *expand_json(const struct scope *scope, json_t *value)
{
    json_t *out, *item, *made;
    const char *key;
    size_t i;
    if (json_is_string(value)) {
        return expand_text(scope, json_string_value(value), json_string_length(value));
    }
    if (json_is_array(value)) {
        out = json_array();
        json_array_foreach(value, i, item)
        {
            if ((made = expand_json(scope, item)) == NULL ||
                json_array_append_new(out, made) != 0) {
                json_decref(out);
                return NULL;
            }
        }
        return out;
    }
    if (!json_is_object(value)) {
        return json_deep_copy(value);
    }
    out = json_object();
    json_object_foreach(value, key, item)
    {
        json_t *name = expand_text(scope, key, strlen(key));
        made = name != NULL ? expand_json(scope, item) : NULL;
        bool ok = made != NULL && json_object_set_new(out, json_string_value(name), made) == 0;
        json_decref(name);
        if (!ok) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

bool is_constant(json_t *value)
{
    json_t *item;
    const char *key;
    size_t i;
    if (json_is_string(value)) {
        const char *s = json_string_value(value);
        return memmem(s, json_string_length(value), "{{", 2) == NULL;
    }
    json_array_foreach(value, i, item)
    {
        if (!is_constant(item)) {
            return false;
        }
    }
    json_object_foreach(value, key, item)
    {
        if (strstr(key, "{{") != NULL || !is_constant(item)) {
            return false;
        }
    }
    return true;
}

/* ---- conditions ---- */
/* A side inside the braces: a variable's value, else the text without its quotes. */
static void side(const struct scope *scope, struct slice s, struct text *out)
{
    char *name = need_text(s.at, s.len);
    struct work w = WORK(scope, out);
    if (!put_value(&w, name, 0)) {
        if (s.len >= 2 && (s.at[0] == '"' || s.at[0] == '\'') && s.at[s.len - 1] == s.at[0]) {
            s.at++;
            s.len -= 2;
        }
        text_put(out, s.at, s.len);
    }
    free(name);
}

/* Where == or != is; 0 neither. */
static char operator_in(const char *s, size_t n, size_t *out_at)
{
    for (size_t i = 0; i + 1 < n; i++) {
        if ((s[i] == '=' || s[i] == '!') && s[i + 1] == '=') {
            *out_at = i;
            return s[i];
        }
    }
    return 0;
}

static bool compare(struct slice a, struct slice b, char op)
{
    bool same = a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
    return op == '=' ? same : !same;
}

/* "{{a == b}}": the operator is between the braces. */
static bool inside_braces(const struct scope *scope, struct slice s, char op, size_t at)
{
    struct text left = TEXT_INIT(EXPANDED_MAX), right = TEXT_INIT(EXPANDED_MAX);
    side(scope, slice_trim(s.at, at), &left);
    side(scope, slice_trim(s.at + at + 2, s.len - at - 2), &right);
    text_put(&left, "", 0);
    text_put(&right, "", 0);
    bool holds = compare(slice_trim(left.at, left.len), slice_trim(right.at, right.len), op);
    text_done(&left);
    text_done(&right);
    return holds;
}

bool condition_holds(const struct scope *scope, const char *condition)
{
    struct slice s = slice_trim(condition, strlen(condition));
    size_t at = 0;
    if (s.len >= 4 && memcmp(s.at, "{{", 2) == 0 && memcmp(s.at + s.len - 2, "}}", 2) == 0) {
        struct slice in = slice_trim(s.at + 2, s.len - 4);
        char op = operator_in(in.at, in.len, &at);
        if (op != 0 && memmem(in.at, in.len, "}}", 2) == NULL) {
            return inside_braces(scope, in, op, at);
        }
    }
    struct text t = TEXT_INIT(EXPANDED_MAX);
    text_put(&t, "", 0);
    bool holds = false;
    if (expand(scope, s.at, s.len, &t)) {
        s = slice_trim(t.at, t.len);
        char op = operator_in(s.at, s.len, &at);
        holds = op == 0
                    ? slice_is(s, "true")
                    : compare(slice_trim(s.at, at), slice_trim(s.at + at + 2, s.len - at - 2), op);
    }
    text_done(&t);
    return holds;
}
