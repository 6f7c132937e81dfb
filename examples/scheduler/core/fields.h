/* Fields of a YAML map, by name and type. Each returns false once with the error in *error. */
#ifndef SCHEDULER_FIELDS_H
#define SCHEDULER_FIELDS_H

#include "scenario.h"
#include "text.h"
#include "tree.h"

enum want { OPTIONAL, REQUIRED };

bool fail_at(struct text *error, const struct yaml_node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A copy; NULL when it is not there. */
bool field_text(struct text *error, const struct yaml_node *map, const char *key, enum want want,
                char **out);
bool field_number(struct text *error, const struct yaml_node *map, const char *key, enum want want,
                  uint64_t max, uint64_t *out);
bool field_bool(struct text *error, const struct yaml_node *map, const char *key, bool *out);
/* NULL when it is not there or null. */
bool field_node(struct text *error, const struct yaml_node *map, const char *key, enum want want,
                enum yaml_kind kind, const struct yaml_node **out);
/* One of these words; its index. */
bool field_word(struct text *error, const struct yaml_node *map, const char *key,
                const char *const *words, unsigned *out);
/* An object, empty when it is not there. */
bool field_json(struct text *error, const struct yaml_node *map, const char *key, json_t **out);
/* The list `thresholds` of a map. */
bool thresholds_read(struct text *error, const struct yaml_node *map, struct scenario *s);
/* The item of a list is a map. */
bool is_map(struct text *error, const struct yaml_node *n);
struct place place_of(const struct yaml_node *n);

#endif
