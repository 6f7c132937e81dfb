/* Values of component calls, reading: the engine's own structs behind an opaque name, so that
 * nothing is copied for the handlers. Resources were replaced by their reps before a handler sees
 * them.
 */
#include "engine/component/component.h"

#include "base/float.h"
#include "engine/component/component_in.h"

#define PRINT_TEXT 48u
#define PRINT_ITEMS 8u
#define PRINT_DEPTH 4u

typedef wasmtime_component_val_t val_t;

static const val_t *in(const cis_val *val)
{
    return (const val_t *)val;
}

static val_t *inout(cis_val *val)
{
    return (val_t *)val;
}

/* ---- reading ---- */

uint8_t cis_val_kind_of(const cis_val *val)
{
    return in(val)->kind;
}

const cis_val *cis_val_nth(const cis_val *array, size_t i)
{
    return (const cis_val *)(in(array) + i);
}

cis_val *cis_val_nth_mut(cis_val *array, size_t i)
{
    return (cis_val *)(inout(array) + i);
}

static struct cis_str view(const wasm_name_t *name)
{
    return (struct cis_str){name->size != 0 ? name->data : "", name->size};
}

struct cis_str cis_val_text(const cis_val *val)
{
    const val_t *v = in(val);
    switch (v->kind) {
    case WASMTIME_COMPONENT_STRING:
        return view(&v->of.string);
    case WASMTIME_COMPONENT_ENUM:
        return view(&v->of.enumeration);
    case WASMTIME_COMPONENT_VARIANT:
        return view(&v->of.variant.discriminant);
    default:
        return CIS_STR("");
    }
}

uint64_t cis_val_uint(const cis_val *val)
{
    const val_t *v = in(val);
    switch (v->kind) {
    case WASMTIME_COMPONENT_BOOL:
        return v->of.boolean ? 1 : 0;
    case WASMTIME_COMPONENT_U8:
        return v->of.u8;
    case WASMTIME_COMPONENT_U16:
        return v->of.u16;
    case WASMTIME_COMPONENT_U32:
        return v->of.u32;
    case WASMTIME_COMPONENT_U64:
        return v->of.u64;
    case WASMTIME_COMPONENT_CHAR:
        return v->of.character;
    default:
        return 0;
    }
}

int64_t cis_val_int(const cis_val *val)
{
    const val_t *v = in(val);
    switch (v->kind) {
    case WASMTIME_COMPONENT_S8:
        return v->of.s8;
    case WASMTIME_COMPONENT_S16:
        return v->of.s16;
    case WASMTIME_COMPONENT_S32:
        return v->of.s32;
    case WASMTIME_COMPONENT_S64:
        return v->of.s64;
    default:
        return (int64_t)cis_val_uint(val);
    }
}

double cis_val_float(const cis_val *val)
{
    const val_t *v = in(val);
    return v->kind == WASMTIME_COMPONENT_F32   ? (double)v->of.f32
           : v->kind == WASMTIME_COMPONENT_F64 ? v->of.f64
                                               : 0;
}

uint32_t cis_val_rep(const cis_val *val)
{
    return (uint32_t)cis_val_uint(val);
}

size_t cis_val_len(const cis_val *val)
{
    const val_t *v = in(val);
    switch (v->kind) {
    case WASMTIME_COMPONENT_LIST:
        return v->of.list.size;
    case WASMTIME_COMPONENT_TUPLE:
        return v->of.tuple.size;
    case WASMTIME_COMPONENT_RECORD:
        return v->of.record.size;
    case WASMTIME_COMPONENT_FLAGS:
        return v->of.flags.size;
    default:
        return 0;
    }
}

struct cis_str cis_val_flag(const cis_val *flags, size_t i)
{
    return view(&in(flags)->of.flags.data[i]);
}

bool cis_val_has_flag(const cis_val *flags, const char *name)
{
    for (size_t i = 0; in(flags)->kind == WASMTIME_COMPONENT_FLAGS && i < cis_val_len(flags); i++) {
        if (cis_str_is(cis_val_flag(flags, i), name)) {
            return true;
        }
    }
    return false;
}

bool cis_val_is_flags(const cis_val *val)
{
    return in(val)->kind == WASMTIME_COMPONENT_FLAGS;
}

bool cis_val_is_record(const cis_val *val)
{
    return in(val)->kind == WASMTIME_COMPONENT_RECORD;
}

struct cis_str cis_val_field_name(const cis_val *record, size_t i)
{
    return view(&in(record)->of.record.data[i].name);
}

cis_val *cis_val_item(cis_val *val, size_t i)
{
    val_t *v = inout(val);
    return (cis_val *)(v->kind == WASMTIME_COMPONENT_LIST    ? &v->of.list.data[i]
                       : v->kind == WASMTIME_COMPONENT_TUPLE ? &v->of.tuple.data[i]
                                                             : &v->of.record.data[i].val);
}

const cis_val *cis_val_at(const cis_val *val, size_t i)
{
    return cis_val_item((cis_val *)(uintptr_t)val, i);
}

const cis_val *cis_val_inner(const cis_val *val)
{
    const val_t *v = in(val);
    return (const cis_val *)(v->kind == WASMTIME_COMPONENT_OPTION    ? v->of.option
                             : v->kind == WASMTIME_COMPONENT_VARIANT ? v->of.variant.val
                             : v->kind == WASMTIME_COMPONENT_RESULT  ? v->of.result.val
                                                                     : NULL);
}

cis_val *cis_val_inner_mut(cis_val *val)
{
    return (cis_val *)(uintptr_t)cis_val_inner(val);
}

bool cis_val_is_ok(const cis_val *result)
{
    return in(result)->kind == WASMTIME_COMPONENT_RESULT && in(result)->of.result.is_ok;
}

void cis_val_copy_bytes(const cis_val *list, uint8_t *out)
{
    const wasmtime_component_vallist_t *l = &in(list)->of.list;
    for (size_t i = 0; i < l->size; i++) {
        out[i] = l->data[i].of.u8;
    }
}

/* ---- printing ---- */

static void print(const val_t *v, unsigned depth, struct cis_buf *out);

static void print_text(struct cis_str text, struct cis_buf *out)
{
    size_t n = cis_utf8_floor(text.ptr, text.len, PRINT_TEXT);
    cis_buf_json(out, (struct cis_str){text.ptr, n});
    cis_buf_text(out, n < text.len ? "…" : "");
}

static void print_items(const cis_val *val, const char *open, const char *close, unsigned depth,
                        struct cis_buf *out)
{
    size_t n = cis_val_len(val);
    const val_t *v = in(val);
    cis_buf_text(out, open);
    for (size_t i = 0; i < n && i < PRINT_ITEMS; i++) {
        cis_buf_text(out, i != 0 ? ", " : "");
        if (v->kind == WASMTIME_COMPONENT_RECORD) {
            cis_buf_str(out, view(&v->of.record.data[i].name));
            cis_buf_text(out, ": ");
        }
        print(in(cis_val_at(val, i)), depth + 1, out);
    }
    if (n > PRINT_ITEMS) {
        cis_buf_printf(out, ", … %zu items", n);
    }
    cis_buf_text(out, close);
}

static void print_case(struct cis_str name, const cis_val *inner, unsigned depth,
                       struct cis_buf *out)
{
    cis_buf_str(out, name);
    if (inner != NULL) {
        cis_buf_byte(out, '(');
        print(in(inner), depth + 1, out);
        cis_buf_byte(out, ')');
    }
}

static void print_flags(const cis_val *val, struct cis_buf *out)
{
    cis_buf_byte(out, '{');
    for (size_t i = 0; i < cis_val_len(val) && i < PRINT_ITEMS; i++) {
        cis_buf_text(out, i != 0 ? ", " : "");
        cis_buf_str(out, cis_val_flag(val, i));
    }
    cis_buf_byte(out, '}');
}

static void print(const val_t *v, unsigned depth, struct cis_buf *out)
{
    const cis_val *val = (const cis_val *)v;
    if (depth > PRINT_DEPTH) {
        cis_buf_text(out, "…");
        return;
    }
    switch (v->kind) {
    case WASMTIME_COMPONENT_BOOL:
        cis_buf_text(out, v->of.boolean ? "true" : "false");
        break;
    case WASMTIME_COMPONENT_U8:
    case WASMTIME_COMPONENT_U16:
    case WASMTIME_COMPONENT_U32:
    case WASMTIME_COMPONENT_U64:
        cis_buf_printf(out, "%llu", (unsigned long long)cis_val_uint(val));
        break;
    case WASMTIME_COMPONENT_S8:
    case WASMTIME_COMPONENT_S16:
    case WASMTIME_COMPONENT_S32:
    case WASMTIME_COMPONENT_S64:
        cis_buf_printf(out, "%lld", (long long)cis_val_int(val));
        break;
    case WASMTIME_COMPONENT_F32:
    case WASMTIME_COMPONENT_F64:
        cis_buf_float(out, cis_val_float(val));
        break;
    case WASMTIME_COMPONENT_CHAR:
        cis_buf_printf(out, "U+%04X", (unsigned)v->of.character);
        break;
    case WASMTIME_COMPONENT_FLAGS:
        print_flags(val, out);
        break;
    case WASMTIME_COMPONENT_STRING:
        print_text(view(&v->of.string), out);
        break;
    case WASMTIME_COMPONENT_ENUM:
        print_case(cis_val_text(val), NULL, depth, out);
        break;
    case WASMTIME_COMPONENT_VARIANT:
        print_case(cis_val_text(val), cis_val_inner(val), depth, out);
        break;
    case WASMTIME_COMPONENT_RESOURCE:
        cis_buf_text(out, "<handle>");
        break;
    case WASMTIME_COMPONENT_OPTION:
        print_case(v->of.option != NULL ? CIS_STR("some") : CIS_STR("none"), cis_val_inner(val),
                   depth, out);
        break;
    case WASMTIME_COMPONENT_RESULT:
        print_case(v->of.result.is_ok ? CIS_STR("ok") : CIS_STR("err"), cis_val_inner(val), depth,
                   out);
        break;
    case WASMTIME_COMPONENT_LIST:
        print_items(val, "[", "]", depth, out);
        break;
    case WASMTIME_COMPONENT_TUPLE:
        print_items(val, "(", ")", depth, out);
        break;
    case WASMTIME_COMPONENT_RECORD:
        print_items(val, "{", "}", depth, out);
        break;
    default:
        cis_buf_text(out, "?");
        break;
    }
}

void cis_val_print(const cis_val *val, struct cis_buf *out)
{
    print(in(val), 0, out);
}
