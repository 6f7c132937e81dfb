/* YAML into a tree, with libyaml. One document; aliases are refused, and keys that come twice. */
#ifndef SCHEDULER_TREE_H
#define SCHEDULER_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define YAML_BYTES_MAX ((size_t)4 << 20)
#define YAML_DEPTH_MAX 64
#define YAML_NODES_MAX 500000

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    bool quoted; /* a scalar that is a string whatever it looks like */
    char *text;  /* a scalar's, with a zero behind; it holds none itself */
    size_t len;
    struct yaml_node *key;   /* in a map: what leads here */
    struct yaml_node *child; /* of a list or map: the first one */
    struct yaml_node *next;
    size_t line, column; /* from 1 */
};

struct yaml {
    struct yaml_node *root; /* NULL: nothing is there */
    void *blocks;           /* all nodes and texts */
};

/* false: the error, which has line and column, is the caller's to free. */
bool yaml_read(const char *at, size_t n, struct yaml *out, char **out_error);
void yaml_done(struct yaml *yaml);

/* What a map has under a key, or NULL. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* What a plain scalar means in the core schema. */
bool yaml_is_null(const struct yaml_node *n);
bool yaml_is_bool(const struct yaml_node *n, bool *out);
bool yaml_is_string(const struct yaml_node *n); /* not a number, bool or null */
/* As JSON: a new reference. */
json_t *yaml_json(const struct yaml_node *n);

#endif
