/* Component types as text, so that types are compared as strings and shown in messages. */
#include "engine/component_in.h"

#define DEPTH_MAX 16u

static void text_of(const wasmtime_component_valtype_t *type, unsigned depth, struct cis_buf *out);

static void inner(wasmtime_component_valtype_t *type, unsigned depth, struct cis_buf *out)
{
    text_of(type, depth + 1, out);
    wasmtime_component_valtype_delete(type);
}

static void name_of(const char *name, size_t len, struct cis_buf *out)
{
    cis_buf_str(out, (struct cis_str){name, len});
}

static void record(const wasmtime_component_record_type_t *r, unsigned depth, struct cis_buf *out)
{
    size_t n = wasmtime_component_record_type_field_count(r), len;
    const char *name;
    wasmtime_component_valtype_t type;
    cis_buf_text(out, "record{");
    for (size_t i = 0; i < n && out->failed == CIS_OK; i++) {
        if (wasmtime_component_record_type_field_nth(r, i, &name, &len, &type)) {
            cis_buf_text(out, i != 0 ? "," : "");
            name_of(name, len, out);
            cis_buf_byte(out, ':');
            inner(&type, depth, out);
        }
    }
    cis_buf_byte(out, '}');
}

static void tuple(const wasmtime_component_tuple_type_t *t, unsigned depth, struct cis_buf *out)
{
    size_t n = wasmtime_component_tuple_type_types_count(t);
    wasmtime_component_valtype_t type;
    cis_buf_text(out, "tuple<");
    for (size_t i = 0; i < n && out->failed == CIS_OK; i++) {
        if (wasmtime_component_tuple_type_types_nth(t, i, &type)) {
            cis_buf_text(out, i != 0 ? "," : "");
            inner(&type, depth, out);
        }
    }
    cis_buf_byte(out, '>');
}

static void variant(const wasmtime_component_variant_type_t *v, unsigned depth, struct cis_buf *out)
{
    size_t n = wasmtime_component_variant_type_case_count(v), len;
    const char *name;
    bool payload;
    wasmtime_component_valtype_t type;
    cis_buf_text(out, "variant{");
    for (size_t i = 0; i < n && out->failed == CIS_OK; i++) {
        if (wasmtime_component_variant_type_case_nth(v, i, &name, &len, &payload, &type)) {
            cis_buf_text(out, i != 0 ? "," : "");
            name_of(name, len, out);
            if (payload) {
                cis_buf_byte(out, '(');
                inner(&type, depth, out);
                cis_buf_byte(out, ')');
            }
        }
    }
    cis_buf_byte(out, '}');
}

static void enumeration(const wasmtime_component_enum_type_t *e, struct cis_buf *out)
{
    size_t n = wasmtime_component_enum_type_names_count(e), len;
    const char *name;
    cis_buf_text(out, "enum{");
    for (size_t i = 0; i < n && out->failed == CIS_OK; i++) {
        if (wasmtime_component_enum_type_names_nth(e, i, &name, &len)) {
            cis_buf_text(out, i != 0 ? "," : "");
            name_of(name, len, out);
        }
    }
    cis_buf_byte(out, '}');
}

static void result(const wasmtime_component_result_type_t *r, unsigned depth, struct cis_buf *out)
{
    wasmtime_component_valtype_t type;
    bool ok = wasmtime_component_result_type_ok(r, &type);
    cis_buf_text(out, "result");
    if (ok) {
        cis_buf_byte(out, '<');
        inner(&type, depth, out);
    }
    if (wasmtime_component_result_type_err(r, &type)) {
        cis_buf_text(out, ok ? ", " : "<_, ");
        inner(&type, depth, out);
        ok = true;
    }
    cis_buf_text(out, ok ? ">" : "");
}

static void text_of(const wasmtime_component_valtype_t *type, unsigned depth, struct cis_buf *out)
{
    static const char *const simple[] = {"bool", "s8",  "s16", "s32", "s64",  "u8",    "u16",
                                         "u32",  "u64", "f32", "f64", "char", "string"};
    wasmtime_component_valtype_t item;
    if (depth > DEPTH_MAX) {
        out->failed = out->failed != CIS_OK ? out->failed : CIS_E_LIMIT;
        return;
    }
    switch (type->kind) {
    case WASMTIME_COMPONENT_VALTYPE_LIST:
        wasmtime_component_list_type_element(type->of.list, &item);
        cis_buf_text(out, "list<");
        inner(&item, depth, out);
        cis_buf_byte(out, '>');
        break;
    case WASMTIME_COMPONENT_VALTYPE_OPTION:
        wasmtime_component_option_type_ty(type->of.option, &item);
        cis_buf_text(out, "option<");
        inner(&item, depth, out);
        cis_buf_byte(out, '>');
        break;
    case WASMTIME_COMPONENT_VALTYPE_RECORD:
        record(type->of.record, depth, out);
        break;
    case WASMTIME_COMPONENT_VALTYPE_TUPLE:
        tuple(type->of.tuple, depth, out);
        break;
    case WASMTIME_COMPONENT_VALTYPE_VARIANT:
        variant(type->of.variant, depth, out);
        break;
    case WASMTIME_COMPONENT_VALTYPE_ENUM:
        enumeration(type->of.enum_, out);
        break;
    case WASMTIME_COMPONENT_VALTYPE_RESULT:
        result(type->of.result, depth, out);
        break;
    default:
        /* What no table has (resources, flags, streams, maps) need not be told apart. */
        cis_buf_text(out, type->kind < sizeof simple / sizeof *simple ? simple[type->kind] : "?");
        break;
    }
}

void cis_functext(const wasmtime_component_func_type_t *type, struct cis_buf *out)
{
    size_t n = wasmtime_component_func_type_param_count(type), len;
    const char *name;
    wasmtime_component_valtype_t item;
    cis_buf_text(out, wasmtime_component_func_type_async(type) ? "async func(" : "func(");
    for (size_t i = 0; i < n && out->failed == CIS_OK; i++) {
        if (wasmtime_component_func_type_param_nth(type, i, &name, &len, &item)) {
            cis_buf_text(out, i != 0 ? ", " : "");
            inner(&item, 0, out);
        }
    }
    cis_buf_byte(out, ')');
    if (wasmtime_component_func_type_result(type, &item)) {
        cis_buf_text(out, " -> ");
        inner(&item, 0, out);
    }
}
