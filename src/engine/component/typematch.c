/* Is the type of a function the one that a row was written for? The row's text (typetext.c has its
 * grammar) is read beside the type: what the guest declares beyond it is never looked at. A
 * resource fits by what it is, not by what the guest calls it: it has to be the one that the
 * interface has under the row's name for it. */
#include "engine/component/component_in.h"

#define DEPTH_MAX 16u

struct matcher {
    const struct cis_type_names *names;
    const char *at; /* of the row's text: what is left */
    unsigned depth;
};

static bool fits(struct matcher *m, const wasmtime_component_valtype_t *type);

static bool eat(struct matcher *m, const char *text)
{
    size_t n = strlen(text);
    if (strncmp(m->at, text, n) != 0) {
        return false;
    }
    m->at += n;
    return true;
}

static bool eat_name(struct matcher *m, const char *name, size_t len)
{
    if (strncmp(m->at, name, len) != 0 || strnlen(m->at, len) != len) {
        return false;
    }
    m->at += len;
    return true;
}

/* Before the i-th item. */
static bool comma(struct matcher *m, size_t i)
{
    return i == 0 || eat(m, ",");
}

/* Deletes the type. */
static bool inner(struct matcher *m, wasmtime_component_valtype_t *type)
{
    m->depth++;
    bool same = m->depth <= DEPTH_MAX && fits(m, type);
    m->depth--;
    wasmtime_component_valtype_delete(type);
    return same;
}

static bool record(struct matcher *m, const wasmtime_component_record_type_t *r)
{
    size_t n = wasmtime_component_record_type_field_count(r), len;
    const char *name;
    wasmtime_component_valtype_t type;
    bool same = eat(m, "record{");
    for (size_t i = 0; i < n && same; i++) {
        same = wasmtime_component_record_type_field_nth(r, i, &name, &len, &type);
        if (same && !(comma(m, i) && eat_name(m, name, len) && eat(m, ":"))) {
            wasmtime_component_valtype_delete(&type);
            return false;
        }
        same = same && inner(m, &type);
    }
    return same && eat(m, "}");
}

static bool tuple(struct matcher *m, const wasmtime_component_tuple_type_t *t)
{
    size_t n = wasmtime_component_tuple_type_types_count(t);
    wasmtime_component_valtype_t type;
    bool same = eat(m, "tuple<");
    for (size_t i = 0; i < n && same; i++) {
        same =
            comma(m, i) && wasmtime_component_tuple_type_types_nth(t, i, &type) && inner(m, &type);
    }
    return same && eat(m, ">");
}

static bool variant(struct matcher *m, const wasmtime_component_variant_type_t *v)
{
    size_t n = wasmtime_component_variant_type_case_count(v), len;
    const char *name;
    bool payload, same = eat(m, "variant{");
    wasmtime_component_valtype_t type;
    for (size_t i = 0; i < n && same; i++) {
        same = wasmtime_component_variant_type_case_nth(v, i, &name, &len, &payload, &type);
        if (!same) {
            return false;
        }
        same = comma(m, i) && eat_name(m, name, len);
        if (payload && !(same && eat(m, "("))) {
            wasmtime_component_valtype_delete(&type);
            return false;
        }
        same = same && (!payload || (inner(m, &type) && eat(m, ")")));
    }
    return same && eat(m, "}");
}

static bool enumeration(struct matcher *m, const wasmtime_component_enum_type_t *e)
{
    size_t n = wasmtime_component_enum_type_names_count(e), len;
    const char *name;
    bool same = eat(m, "enum{");
    for (size_t i = 0; i < n && same; i++) {
        same = comma(m, i) && wasmtime_component_enum_type_names_nth(e, i, &name, &len) &&
               eat_name(m, name, len);
    }
    return same && eat(m, "}");
}

static bool flags(struct matcher *m, const wasmtime_component_flags_type_t *f)
{
    size_t n = wasmtime_component_flags_type_names_count(f), len;
    const char *name;
    bool same = eat(m, "flags{");
    for (size_t i = 0; i < n && same; i++) {
        same = comma(m, i) && wasmtime_component_flags_type_names_nth(f, i, &name, &len) &&
               eat_name(m, name, len);
    }
    return same && eat(m, "}");
}

static bool result(struct matcher *m, const wasmtime_component_result_type_t *r)
{
    wasmtime_component_valtype_t type;
    bool same = eat(m, "result"), open = false;
    if (wasmtime_component_result_type_ok(r, &type)) {
        open = true;
        same = same && eat(m, "<");
        same = inner(m, &type) && same;
    }
    if (wasmtime_component_result_type_err(r, &type)) {
        same = same && eat(m, open ? ", " : "<_, ");
        open = true;
        same = inner(m, &type) && same;
    }
    return same && (!open || eat(m, ">"));
}

/* "own<NAME>": the interface exports this resource under that name, and the host has it. */
static bool resource(struct matcher *m, const char *how,
                     const wasmtime_component_resource_type_t *type)
{
    struct cis_str name;
    if (!eat(m, how)) {
        return false;
    }
    name = (struct cis_str){m->at, strcspn(m->at, ">")};
    m->at += name.len;
    for (size_t i = 0; i < m->names->n; i++) {
        const struct cis_type_name *known = &m->names->at[i];
        if (cis_str_eq(known->name, name)) {
            return known->provided && wasmtime_component_resource_type_equal(known->type, type) &&
                   eat(m, ">");
        }
    }
    return false;
}

static bool one_inside(struct matcher *m, const char *what, wasmtime_component_valtype_t *type)
{
    bool same = eat(m, what);
    return inner(m, type) && same && eat(m, ">");
}

static bool fits(struct matcher *m, const wasmtime_component_valtype_t *type)
{
    wasmtime_component_valtype_t in;
    switch (type->kind) {
    case WASMTIME_COMPONENT_VALTYPE_LIST:
        wasmtime_component_list_type_element(type->of.list, &in);
        return one_inside(m, "list<", &in);
    case WASMTIME_COMPONENT_VALTYPE_OPTION:
        wasmtime_component_option_type_ty(type->of.option, &in);
        return one_inside(m, "option<", &in);
    case WASMTIME_COMPONENT_VALTYPE_RECORD:
        return record(m, type->of.record);
    case WASMTIME_COMPONENT_VALTYPE_TUPLE:
        return tuple(m, type->of.tuple);
    case WASMTIME_COMPONENT_VALTYPE_VARIANT:
        return variant(m, type->of.variant);
    case WASMTIME_COMPONENT_VALTYPE_ENUM:
        return enumeration(m, type->of.enum_);
    case WASMTIME_COMPONENT_VALTYPE_RESULT:
        return result(m, type->of.result);
    case WASMTIME_COMPONENT_VALTYPE_FLAGS:
        return flags(m, type->of.flags);
    case WASMTIME_COMPONENT_VALTYPE_OWN:
        return resource(m, "own<", type->of.own);
    case WASMTIME_COMPONENT_VALTYPE_BORROW:
        return resource(m, "borrow<", type->of.borrow);
    default: /* streams, futures and maps have no text: they fit nothing */
        return cis_type_simple(type->kind) != NULL && eat(m, cis_type_simple(type->kind));
    }
}

bool cis_functype_fits(const wasmtime_component_func_type_t *type,
                       const struct cis_type_names *names, const char *text)
{
    size_t n = wasmtime_component_func_type_param_count(type), len;
    const char *name;
    struct matcher m = {names, text, 0};
    wasmtime_component_valtype_t in;
    bool same = !wasmtime_component_func_type_async(type) && eat(&m, "func(");
    for (size_t i = 0; i < n && same; i++) {
        same = (i == 0 || eat(&m, ", ")) &&
               wasmtime_component_func_type_param_nth(type, i, &name, &len, &in) && inner(&m, &in);
    }
    same = same && eat(&m, ")");
    if (wasmtime_component_func_type_result(type, &in)) {
        same = same && eat(&m, " -> ");
        same = inner(&m, &in) && same;
    }
    return same && *m.at == 0;
}
