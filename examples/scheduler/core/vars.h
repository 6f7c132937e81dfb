/* Variables and templates: {{name}} in text is replaced by a value.
 *
 * Variables of the scenario and of the user have an order; a value is expanded with those that come
 * after it. What an action gave is put in as it is. Names that nothing has stay as they are. */
#ifndef SCHEDULER_VARS_H
#define SCHEDULER_VARS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "text.h"

#define EXPANDED_MAX ((size_t)1 << 20)

struct var {
    char *name, *value;
};
/* In their order. */
struct vars {
    struct var *list;
    size_t n;
    json_t *index; /* name to its place */
};
/* What a template sees: the scenario's variables, the user's, what actions gave. */
struct scope {
    const struct vars *all, *user;
    json_t *outputs, *shared; /* objects: of this user, of everybody; may be NULL */
};

void vars_set(struct vars *v, const char *name, const char *value);
void vars_done(struct vars *v);

/* A value as text: strings as they are, numbers and words printed, the rest as JSON. NULL: null.
 * The caller frees it. */
char *value_text(const json_t *value);

/* false: more than EXPANDED_MAX bytes. */
bool expand(const struct scope *scope, const char *s, size_t n, struct text *out);
/* Every text in a value, keys as well: a new reference, NULL when one is too large. */
json_t *expand_json(const struct scope *scope, json_t *value);
/* Would that be the value itself, whatever is in the scope? */
bool is_constant(json_t *value);
/* The condition of an edge: "true", or two sides with == or != between. */
bool condition_holds(const struct scope *scope, const char *condition);

#endif
