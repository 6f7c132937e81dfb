/* What an action gives to those after it: values of its answer by name, and assertions. */
#include <stdlib.h>
#include <string.h>
#include "run.h"
#include "vars.h"

/* By a path with dots; a part that is a number is an item of a list. NULL: it is not there. */
static const json_t *at_path(const json_t *value, const char *path)
{
    while (value != NULL && *path != '\0') {
        size_t n = strcspn(path, ".");
        char *part = need_text(path, n);
        uint64_t i;
        if (json_is_array(value)) {
            value = number_of(part, n, SIZE_MAX / 2, &i) ? json_array_get(value, (size_t)i) : NULL;
        } else {
            value = json_object_get(value, part);
        }
        free(part);
        path += n + (path[n] == '.');
    }
    return value;
}

/* "result.json" is what is at `result`, as JSON, unless there is a member `json`. */
static const json_t *asserted(const json_t *body, const char *path)
{
    const json_t *found = at_path(body, path);
    size_t n = strlen(path);
    if (found == NULL && n > 5 && strcmp(path + n - 5, ".json") == 0) {
        char *parent = need_text(path, n - 5);
        found = at_path(body, parent);
        free(parent);
    }
    return found;
}

static void store(json_t *to, const char *action, const char *name, const char *value)
{
    struct text key = TEXT_INIT(1000);
    text_add(&key, action);
    text_put(&key, ".", 1);
    text_add(&key, name);
    if (!key.cut) {
        json_object_set_new(to, key.at, json_string(value));
    }
    text_done(&key);
}

static void store_number(json_t *to, const char *action, const char *name, uint64_t value)
{
    struct text number = TEXT_INIT(40);
    text_number(&number, value);
    store(to, action, name, number.at);
    text_done(&number);
}

static char *expanded(const struct scope *scope, json_t *value)
{
    json_t *made = value != NULL ? expand_json(scope, value) : NULL;
    char *text = made != NULL ? value_text(made) : NULL;
    json_decref(made);
    return text;
}

/* JSON that says the same, or the same text. */
static bool equals(const json_t *found, const char *expected)
{
    char *text = found != NULL ? value_text(found) : NULL;
    bool same = text != NULL && strcmp(text, expected) == 0;
    free(text);
    json_t *other = !same && found != NULL ? json_loads(expected, JSON_DECODE_ANY, NULL) : NULL;
    same = same || (other != NULL && json_equal(found, other));
    json_decref(other);
    return same;
}

static void check(const struct action_def *def, const struct export_def *x, const json_t *body,
                  const struct scope *scope, struct totals *t, struct text *failures)
{
    const json_t *found = asserted(body, x->name);
    char *expected = expanded(scope, x->initial);
    bool holds = expected != NULL ? equals(found, expected) : found != NULL;
    t->assertions++;
    if (!holds) {
        char *got = found != NULL ? value_text(found) : NULL;
        t->assertions_failed++;
        text_format(
            failures, "Assertion '%.100s' of action '%.100s' failed: expected %.200s, got %.200s\n",
            x->name, def->id, expected != NULL ? expected : "a value", got != NULL ? got : "none");
        free(got);
    }
    free(expected);
}

bool export_is_shared(const struct export_def *x)
{
    return x->scope != NULL &&
           (strcmp(x->scope, "workbook") == 0 || strcmp(x->scope, "global") == 0);
}

void exports_take(const struct action_def *def, const struct answer *answer,
                  const struct scope *scope, json_t *outputs, json_t *shared, struct totals *t,
                  struct text *failures)
{
    store_number(outputs, def->id, "status_code", (uint64_t)answer->status);
    store_number(outputs, def->id, "response_time_ms", answer->response_ms);
    if (def->nexports == 0) {
        return;
    }
    json_t *body = answer->body != NULL
                       ? json_loadb(answer->body, answer->body_len, JSON_DECODE_ANY, NULL)
                       : NULL;
    for (size_t i = 0; i < def->nexports; i++) {
        const struct export_def *x = &def->exports[i];
        if (strcmp(x->type, "assert") == 0) {
            check(def, x, body, scope, t, failures);
            continue;
        }
        bool for_all = export_is_shared(x);
        json_t *to = for_all ? shared : outputs;
        if (strcmp(x->name, "status_code") == 0) {
            store_number(to, def->id, x->name, (uint64_t)answer->status);
        } else if (strcmp(x->name, "response_time_ms") == 0) {
            store_number(to, def->id, x->name, answer->response_ms);
        } else {
            const json_t *found = at_path(body, x->name);
            char *text = found != NULL ? value_text(found) : expanded(scope, x->initial);
            if (text != NULL) {
                store(to, def->id, x->name, text);
            }
            free(text);
        }
    }
    json_decref(body);
}
