/* Writing JSON: a list of parts is added to a buffer, whose maximum and sticky failure hold here
 * as well. Commas and escapes are the writer's (cis_buf_json). It looks at the last byte of the
 * buffer instead of keeping a state of its own, so that a value may be written in many calls, also
 * beside cis_buf_str: after the end of a value comes a comma, after anything else none.
 *
 *     cis_json_object(out, CIS_JSON(CIS_J("name", r->name), CIS_J("epoch", r->head.epoch),
 *                                   CIS_J_IF(r->held, CIS_J("holder", r->holder))));
 */
#ifndef CIS_BASE_JSON_WRITE_H
#define CIS_BASE_JSON_WRITE_H

#include "base/buf.h"

enum cis_json_kind {
    CIS_JSON_END, /* of the list of parts */
    CIS_JSON_NOTHING,
    CIS_JSON_KEY,
    CIS_JSON_STR,
    CIS_JSON_UINT,
    CIS_JSON_INT,
    CIS_JSON_RAW,
    CIS_JSON_CLOSE
};

struct cis_json_part {
    enum cis_json_kind kind;
    const char *name; /* NULL: an element of a list, or the value after a key */
    struct cis_str text;
    uint64_t number;
};

/* Adds the parts to the object or list that is open. NULL: none. */
void cis_json_write(struct cis_buf *out, const struct cis_json_part *parts);
/* Adds a whole object with these members. */
void cis_json_object(struct cis_buf *out, const struct cis_json_part *parts);

/* A list of parts. */
#define CIS_JSON(...) ((const struct cis_json_part[]){__VA_ARGS__, {.kind = CIS_JSON_END}})

/* A member: a string (NULL is ""), a number or a bool. int does not compile: it may be a condition.
 */
#define CIS_J(name, value)                                                                         \
    _Generic((value),                                                                              \
        char *: cis_json_text,                                                                     \
        const char *: cis_json_text,                                                               \
        struct cis_str: cis_json_str,                                                              \
        bool: cis_json_bool,                                                                       \
        unsigned: cis_json_uint,                                                                   \
        unsigned long: cis_json_uint,                                                              \
        unsigned long long: cis_json_uint,                                                         \
        long: cis_json_int,                                                                        \
        long long: cis_json_int)((name), (value))
#define CIS_J_INT(name, value) cis_json_int((name), (value))
#define CIS_J_BOOL(name, value) cis_json_bool((name), (value))
/* JSON as it is; empty: null, or as an element nothing. */
#define CIS_J_RAW(name, value) cis_json_part((name), CIS_JSON_RAW, (value), 0)
#define CIS_J_NULL(name) CIS_J_RAW((name), CIS_STR("null"))
/* The part, when the condition holds; its value is not looked at else. */
#define CIS_J_IF(condition, part)                                                                  \
    ((condition) ? (part) : (struct cis_json_part){.kind = CIS_JSON_NOTHING})
/* A key that is no literal; its value is the next part, without a name. */
#define CIS_J_KEY(key) cis_json_part(NULL, CIS_JSON_KEY, (key), 0)
#define CIS_J_OPEN(name) CIS_J_RAW((name), CIS_STR("{"))
#define CIS_J_CLOSE cis_json_part(NULL, CIS_JSON_CLOSE, CIS_STR("}"), 0)
#define CIS_J_LIST(name) CIS_J_RAW((name), CIS_STR("["))
#define CIS_J_LIST_END cis_json_part(NULL, CIS_JSON_CLOSE, CIS_STR("]"), 0)

static inline struct cis_json_part cis_json_part(const char *name, enum cis_json_kind kind,
                                                 struct cis_str text, uint64_t number)
{
    return (struct cis_json_part){kind, name, text, number};
}

static inline struct cis_json_part cis_json_str(const char *name, struct cis_str text)
{
    return cis_json_part(name, CIS_JSON_STR, text, 0);
}

static inline struct cis_json_part cis_json_text(const char *name, const char *text)
{
    return cis_json_str(name, cis_str_of(text));
}

static inline struct cis_json_part cis_json_uint(const char *name, uint64_t number)
{
    return cis_json_part(name, CIS_JSON_UINT, CIS_STR(""), number);
}

static inline struct cis_json_part cis_json_int(const char *name, int64_t number)
{
    return cis_json_part(name, CIS_JSON_INT, CIS_STR(""), (uint64_t)number);
}

static inline struct cis_json_part cis_json_bool(const char *name, bool value)
{
    return CIS_J_RAW(name, value ? CIS_STR("true") : CIS_STR("false"));
}

#endif
