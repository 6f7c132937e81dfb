/* Values of component calls: the engine's own structs behind an opaque name, so that nothing is
 * copied for the handlers. Text is checked before the engine gets it: it takes UTF-8 for granted.
 */
#include "engine/component.h"

#include "engine/component_in.h"

/* What one byte of a built value costs while a call lasts: our value and the engine's copy. */
#define TEXT_COST 2u
#define ITEM_COST 80u
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

const cis_val *cis_val_nth(const cis_val *array, size_t i)
{
    return (const cis_val *)(in(array) + i);
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
    default:
        return 0;
    }
}

size_t cis_val_len(const cis_val *val)
{
    const val_t *v = in(val);
    return v->kind == WASMTIME_COMPONENT_LIST     ? v->of.list.size
           : v->kind == WASMTIME_COMPONENT_TUPLE  ? v->of.tuple.size
           : v->kind == WASMTIME_COMPONENT_RECORD ? v->of.record.size
                                                  : 0;
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
    case WASMTIME_COMPONENT_STRING:
        print_text(view(&v->of.string), out);
        break;
    case WASMTIME_COMPONENT_ENUM:
        print_case(cis_val_text(val), NULL, depth, out);
        break;
    case WASMTIME_COMPONENT_VARIANT:
        print_case(cis_val_text(val), cis_val_inner(val), depth, out);
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

/* ---- building ---- */

static cis_code charge(cis_guest *guest, uint64_t bytes, struct cis_error *err)
{
    CIS_TRY(cis_budget_charge(guest->budget, bytes, "values of a call", err));
    guest->values_bytes += bytes;
    return CIS_OK;
}

/* An empty value of this kind in place of what was there. */
static val_t *fresh(cis_val *out, wasmtime_component_valkind_t kind)
{
    val_t *v = inout(out);
    wasmtime_component_val_delete(v);
    memset(v, 0, sizeof *v);
    v->kind = kind;
    return v;
}

static val_t *boxed(void)
{
    val_t none = {.kind = WASMTIME_COMPONENT_BOOL};
    return wasmtime_component_val_new(&none);
}

cis_code cis_val_set_text(cis_guest *guest, cis_val *out, struct cis_str text,
                          struct cis_error *err)
{
    if (!cis_utf8_valid(text.ptr, text.len)) {
        return cis_fail(err, CIS_E_INVALID, "text is not UTF-8");
    }
    CIS_TRY(charge(guest, TEXT_COST * (uint64_t)text.len, err));
    wasm_name_new(&fresh(out, WASMTIME_COMPONENT_STRING)->of.string, text.len, text.ptr);
    return CIS_OK;
}

cis_code cis_val_set_list(cis_guest *guest, cis_val *out, size_t n, struct cis_error *err)
{
    CIS_TRY(charge(guest, ITEM_COST * (uint64_t)n, err));
    wasmtime_component_vallist_new_uninit(&fresh(out, WASMTIME_COMPONENT_LIST)->of.list, n);
    return CIS_OK;
}

cis_code cis_val_set_bytes(cis_guest *guest, cis_val *out, struct cis_bytes bytes,
                           struct cis_error *err)
{
    CIS_TRY(cis_val_set_list(guest, out, bytes.len, err));
    val_t *items = inout(out)->of.list.data;
    for (size_t i = 0; i < bytes.len; i++) {
        items[i].kind = WASMTIME_COMPONENT_U8;
        items[i].of.u8 = bytes.ptr[i];
    }
    return CIS_OK;
}

void cis_val_set_u16(cis_val *out, uint16_t n)
{
    fresh(out, WASMTIME_COMPONENT_U16)->of.u16 = n;
}

void cis_val_set_u64(cis_val *out, uint64_t n)
{
    fresh(out, WASMTIME_COMPONENT_U64)->of.u64 = n;
}

void cis_val_set_none(cis_val *out)
{
    fresh(out, WASMTIME_COMPONENT_OPTION)->of.option = NULL;
}

cis_val *cis_val_set_some(cis_val *out)
{
    return (cis_val *)(fresh(out, WASMTIME_COMPONENT_OPTION)->of.option = boxed());
}

void cis_val_set_result(cis_val *out, bool is_ok, cis_val **out_inner)
{
    val_t *v = fresh(out, WASMTIME_COMPONENT_RESULT);
    v->of.result.is_ok = is_ok;
    if (out_inner != NULL) {
        v->of.result.val = boxed();
        *out_inner = (cis_val *)v->of.result.val;
    }
}

void cis_val_set_variant(cis_val *out, const char *name, cis_val **out_inner)
{
    val_t *v = fresh(out, WASMTIME_COMPONENT_VARIANT);
    wasm_name_new(&v->of.variant.discriminant, strlen(name), name);
    if (out_inner != NULL) {
        v->of.variant.val = boxed();
        *out_inner = (cis_val *)v->of.variant.val;
    }
}

void cis_val_set_record(cis_val *out, const char *const *names, size_t n)
{
    wasmtime_component_valrecord_t *r = &fresh(out, WASMTIME_COMPONENT_RECORD)->of.record;
    wasmtime_component_valrecord_new_uninit(r, n);
    for (size_t i = 0; i < n; i++) {
        wasm_name_delete(&r->data[i].name);
        wasm_name_new(&r->data[i].name, strlen(names[i]), names[i]);
    }
}

void cis_val_set_tuple(cis_val *out, size_t n)
{
    wasmtime_component_valtuple_new_uninit(&fresh(out, WASMTIME_COMPONENT_TUPLE)->of.tuple, n);
}
