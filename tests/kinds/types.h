/* Types of rows as trees: parsed from a row's text, changed in one place, and written as a
 * component that imports the function so. */
#ifndef CIS_TESTS_KINDS_TYPES_H
#define CIS_TESTS_KINDS_TYPES_H

#include "base/buf.h"

#define NODES_MAX 2048u
#define KIDS_MAX 64u

enum type_kind {
    T_SIMPLE, /* name: "u8" */
    T_LIST,
    T_OPTION,
    T_TUPLE,
    T_RECORD,
    T_VARIANT,
    T_ENUM,
    T_FLAGS,
    T_RESULT, /* two children; NULL: none */
    T_OWN,    /* name: of the resource */
    T_BORROW
};

struct type {
    enum type_kind kind;
    struct cis_str name;
    size_t nkids;
    struct type *kids[KIDS_MAX];     /* of cases: NULL without a payload */
    struct cis_str labels[KIDS_MAX]; /* of fields and cases */
};

struct func {
    size_t nparams;
    struct type *params[KIDS_MAX];
    struct type *result;
    struct type nodes[NODES_MAX]; /* all of them, in the order they were read */
    size_t nnodes;
    bool failed;
};

void func_parse(const char *text, struct func *out);
struct type *type_new(struct func *f, enum type_kind kind, const char *name);
/* For messages. */
void func_text(const struct func *f, struct cis_buf *out);

/* One name of the component's interface for a resource. */
struct resource {
    char name[64];
    char same[64]; /* another one that it is the same as; "" : it is its own */
};

/* A component that imports `interface` with this one function. */
void func_component(const struct func *f, const char *interface, const char *name,
                    const struct resource *resources, size_t n, struct cis_buf *out);

#endif
