/* Component types as text: how the types of rows are written (typematch.c compares by it), those of
 * exports are compared, and both are shown. */
#include "base/mem.h"
#include "engine/component/component_in.h"

#define DEPTH_MAX 16u

/* What is being written, and how resources are called where it stands. */
struct writer {
    const struct cis_type_names *names;
    struct cis_buf *out;
    unsigned depth;
};

static void text_of(struct writer *w, const wasmtime_component_valtype_t *type);

static void inner(struct writer *w, wasmtime_component_valtype_t *type)
{
    w->depth++;
    text_of(w, type);
    w->depth--;
    wasmtime_component_valtype_delete(type);
}

/* Before the i-th item: a comma but for the first; and its name. */
static void item(struct writer *w, size_t i, const char *name, size_t len)
{
    cis_buf_text(w->out, i != 0 ? "," : "");
    cis_buf_str(w->out, (struct cis_str){name, len});
}

static void record(struct writer *w, const wasmtime_component_record_type_t *r)
{
    size_t n = wasmtime_component_record_type_field_count(r), len;
    const char *name;
    wasmtime_component_valtype_t type;
    cis_buf_text(w->out, "record{");
    for (size_t i = 0; i < n && w->out->failed == CIS_OK; i++) {
        if (wasmtime_component_record_type_field_nth(r, i, &name, &len, &type)) {
            item(w, i, name, len);
            cis_buf_byte(w->out, ':');
            inner(w, &type);
        }
    }
    cis_buf_byte(w->out, '}');
}

static void tuple(struct writer *w, const wasmtime_component_tuple_type_t *t)
{
    size_t n = wasmtime_component_tuple_type_types_count(t);
    wasmtime_component_valtype_t type;
    cis_buf_text(w->out, "tuple<");
    for (size_t i = 0; i < n && w->out->failed == CIS_OK; i++) {
        if (wasmtime_component_tuple_type_types_nth(t, i, &type)) {
            item(w, i, "", 0);
            inner(w, &type);
        }
    }
    cis_buf_byte(w->out, '>');
}

static void variant(struct writer *w, const wasmtime_component_variant_type_t *v)
{
    size_t n = wasmtime_component_variant_type_case_count(v), len;
    const char *name;
    bool payload;
    wasmtime_component_valtype_t type;
    cis_buf_text(w->out, "variant{");
    for (size_t i = 0; i < n && w->out->failed == CIS_OK; i++) {
        if (wasmtime_component_variant_type_case_nth(v, i, &name, &len, &payload, &type)) {
            item(w, i, name, len);
            if (payload) {
                cis_buf_byte(w->out, '(');
                inner(w, &type);
                cis_buf_byte(w->out, ')');
            }
        }
    }
    cis_buf_byte(w->out, '}');
}

static void enumeration(struct writer *w, const wasmtime_component_enum_type_t *e)
{
    size_t n = wasmtime_component_enum_type_names_count(e), len;
    const char *name;
    cis_buf_text(w->out, "enum{");
    for (size_t i = 0; i < n && w->out->failed == CIS_OK; i++) {
        if (wasmtime_component_enum_type_names_nth(e, i, &name, &len)) {
            item(w, i, name, len);
        }
    }
    cis_buf_byte(w->out, '}');
}

static void flags(struct writer *w, const wasmtime_component_flags_type_t *f)
{
    size_t n = wasmtime_component_flags_type_names_count(f), len;
    const char *name;
    cis_buf_text(w->out, "flags{");
    for (size_t i = 0; i < n && w->out->failed == CIS_OK; i++) {
        if (wasmtime_component_flags_type_names_nth(f, i, &name, &len)) {
            item(w, i, name, len);
        }
    }
    cis_buf_byte(w->out, '}');
}

static void result(struct writer *w, const wasmtime_component_result_type_t *r)
{
    wasmtime_component_valtype_t type;
    bool ok = wasmtime_component_result_type_ok(r, &type);
    cis_buf_text(w->out, "result");
    if (ok) {
        cis_buf_byte(w->out, '<');
        inner(w, &type);
    }
    if (wasmtime_component_result_type_err(r, &type)) {
        cis_buf_text(w->out, ok ? ", " : "<_, ");
        inner(w, &type);
        ok = true;
    }
    cis_buf_text(w->out, ok ? ">" : "");
}

static void resource(struct writer *w, const char *how,
                     const wasmtime_component_resource_type_t *type)
{
    struct cis_str name = CIS_STR("?");
    for (size_t i = 0; w->names != NULL && i < w->names->n; i++) {
        if (wasmtime_component_resource_type_equal(w->names->at[i].type, type)) {
            name = w->names->at[i].name;
            break;
        }
    }
    cis_buf_printf(w->out, "%s<" CIS_STR_FMT ">", how, CIS_STR_ARG(name));
}

static void one_inside(struct writer *w, const char *what, wasmtime_component_valtype_t *type)
{
    cis_buf_text(w->out, what);
    inner(w, type);
    cis_buf_byte(w->out, '>');
}

const char *cis_type_simple(uint8_t kind)
{
    static const char *const simple[] = {"bool", "s8",  "s16", "s32", "s64",  "u8",    "u16",
                                         "u32",  "u64", "f32", "f64", "char", "string"};
    return kind < sizeof simple / sizeof *simple ? simple[kind] : NULL;
}

static void text_of(struct writer *w, const wasmtime_component_valtype_t *type)
{
    wasmtime_component_valtype_t in;
    if (w->depth > DEPTH_MAX) {
        w->out->failed = w->out->failed != CIS_OK ? w->out->failed : CIS_E_LIMIT;
        return;
    }
    switch (type->kind) {
    case WASMTIME_COMPONENT_VALTYPE_LIST:
        wasmtime_component_list_type_element(type->of.list, &in);
        one_inside(w, "list<", &in);
        break;
    case WASMTIME_COMPONENT_VALTYPE_OPTION:
        wasmtime_component_option_type_ty(type->of.option, &in);
        one_inside(w, "option<", &in);
        break;
    case WASMTIME_COMPONENT_VALTYPE_RECORD:
        record(w, type->of.record);
        break;
    case WASMTIME_COMPONENT_VALTYPE_TUPLE:
        tuple(w, type->of.tuple);
        break;
    case WASMTIME_COMPONENT_VALTYPE_VARIANT:
        variant(w, type->of.variant);
        break;
    case WASMTIME_COMPONENT_VALTYPE_ENUM:
        enumeration(w, type->of.enum_);
        break;
    case WASMTIME_COMPONENT_VALTYPE_RESULT:
        result(w, type->of.result);
        break;
    case WASMTIME_COMPONENT_VALTYPE_FLAGS:
        flags(w, type->of.flags);
        break;
    case WASMTIME_COMPONENT_VALTYPE_OWN:
        resource(w, "own", type->of.own);
        break;
    case WASMTIME_COMPONENT_VALTYPE_BORROW:
        resource(w, "borrow", type->of.borrow);
        break;
    default:
        /* What no table has (streams, futures, maps) need not be told apart. */
        cis_buf_text(w->out,
                     cis_type_simple(type->kind) != NULL ? cis_type_simple(type->kind) : "?");
        break;
    }
}

void cis_functext(const wasmtime_component_func_type_t *type, const struct cis_type_names *names,
                  struct cis_buf *out)
{
    size_t n = wasmtime_component_func_type_param_count(type), len;
    const char *name;
    struct writer w = {names, out, 0};
    wasmtime_component_valtype_t in;
    cis_buf_text(out, wasmtime_component_func_type_async(type) ? "async func(" : "func(");
    for (size_t i = 0; i < n && out->failed == CIS_OK; i++) {
        if (wasmtime_component_func_type_param_nth(type, i, &name, &len, &in)) {
            cis_buf_text(out, i != 0 ? ", " : "");
            inner(&w, &in);
        }
    }
    cis_buf_byte(out, ')');
    if (wasmtime_component_func_type_result(type, &in)) {
        cis_buf_text(out, " -> ");
        inner(&w, &in);
    }
}

void cis_type_names_done(struct cis_type_names *names)
{
    for (size_t i = 0; i < names->n; i++) {
        wasmtime_component_resource_type_delete(names->at[i].type);
    }
    cis_free(names->at);
    *names = (struct cis_type_names){0};
}
